//! The reading half: identities as they are now, for authentication and decisions. Nothing here
//! waits for the disk once it is open.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};
use strongroom_policy::Policy;
use strongroom_ports::Transaction;
use strongroom_rows::SealedRows;
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Timestamp};

use crate::directory::{self, Account, Directory};
use crate::records::{AccountRow, Entity as _, KeyUse};
use crate::{AccessKeyView, IamError};

/// How exactly the last use of a key is known.
const USE_MILLIS: u64 = 60_000;

/// The account that the store was made for; its root user's keys are kept elsewhere.
#[derive(Clone, Debug)]
pub struct PrimaryAccount {
    /// Its id.
    pub id: AccountId,
    /// By what S3 names it as an owner.
    pub canonical_id: CanonicalId,
}

/// The last use of a key.
struct Used {
    account: AccountId,
    last: KeyUse,
    /// Whether it is written down.
    is_stored: bool,
}

impl Used {
    fn stored((account, last): (AccountId, KeyUse)) -> Self {
        Self {
            account,
            last,
            is_stored: true,
        }
    }
}

/// All identities of the server. Share it in an `Arc`: between authentication, the evaluator and
/// [`IamService`](crate::IamService), which alone changes it.
pub struct Identities {
    pub(crate) rows: SealedRows,
    pub(crate) primary: AccountId,
    /// Of the primary account's root user, as they are shown.
    pub(crate) root_keys: RwLock<Vec<AccessKeyView>>,
    /// None while it is not known what is stored: then nobody is anybody.
    snapshot: ArcSwapOption<Directory>,
    /// Held while changing. Other processes are found out by the versions of rows.
    pub(crate) writer: Mutex<()>,
    /// By access key id. Not part of the snapshot, as it changes with every request.
    uses: RwLock<HashMap<String, Used>>,
    /// Keys that are gone, and whose last use is still stored.
    gone: Mutex<Vec<(AccountId, String)>>,
    /// Session policies by their text: a session brings its own with every request.
    pub(crate) session_policies: RwLock<HashMap<Box<str>, Arc<Policy>>>,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    /// Reads all identities, and makes the row of the primary account if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// [`IamError::Damaged`] and [`IamError::Unavailable`]: the server must not start without knowing
    /// its identities.
    pub fn open(
        rows: SealedRows,
        primary: &PrimaryAccount,
        now: Timestamp,
    ) -> Result<Self, IamError> {
        let mut loaded = Directory::load(&rows, &Directory::default())?;
        if !loaded.accounts.contains_key(&primary.id) {
            let row = AccountRow {
                name: "primary".to_owned(),
                canonical_id: primary.canonical_id.as_str().to_owned(),
                created_millis: now.as_millis(),
                generation: 0,
                disabled_millis: None,
            };
            let key = directory::row_key(primary.id, &row.id());
            let transaction = Transaction::new().expect(AccountRow::TABLE, key, None);
            let transaction = directory::put(&rows, transaction, primary.id, &row)?;
            rows.meta.commit(transaction).wait()?;
            loaded = Directory::load(&rows, &Directory::default())?;
        }
        let uses = directory::load_uses(&rows)?;
        Ok(Self {
            rows,
            primary: primary.id,
            root_keys: RwLock::default(),
            snapshot: ArcSwapOption::from_pointee(loaded),
            writer: Mutex::new(()),
            uses: RwLock::new(
                uses.into_iter()
                    .map(|(key, used)| (key, Used::stored(used)))
                    .collect(),
            ),
            gone: Mutex::default(),
            session_policies: RwLock::default(),
        })
    }

    /// Tells which access keys the primary account's root user has, and since when.
    pub fn show_root_keys(&self, keys: impl IntoIterator<Item = (AccessKeyId, Timestamp)>) {
        let view = |(id, created): (AccessKeyId, Timestamp)| AccessKeyView {
            id: id.as_str().to_owned(),
            user_name: None,
            active: true,
            created,
        };
        *self.root_keys.write() = keys.into_iter().map(view).collect();
    }

    /// All identities as they are.
    ///
    /// # Errors
    ///
    /// [`IamError::Unavailable`] while that is not known.
    pub(crate) fn current(&self) -> Result<Arc<Directory>, IamError> {
        self.snapshot.load_full().ok_or(IamError::Unavailable)
    }

    /// An account, if there is one of that id.
    pub(crate) fn account(&self, id: AccountId) -> Result<Option<Arc<Account>>, IamError> {
        Ok(self.current()?.accounts.get(&id).cloned())
    }

    pub(crate) fn replace(&self, directory: Directory) {
        self.snapshot.store(Some(Arc::new(directory)));
    }

    /// Finds out what is stored, after a commit whose outcome is unknown or that another process
    /// was faster with. If even that fails, nobody is anybody until it succeeds.
    pub(crate) fn reload(&self) -> Result<(), IamError> {
        let before = self.snapshot.load_full().unwrap_or_default();
        match Directory::load(&self.rows, &before) {
            Ok(directory) => {
                self.replace(directory);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "identities cannot be read; every request is refused");
                self.snapshot.store(None);
                Err(error)
            }
        }
    }

    /// Notes that a request was signed with a key of the account. Never waits for the disk.
    pub(crate) fn note_use(
        &self,
        account: AccountId,
        key: &str,
        (service, region): (&str, &str),
        now: Timestamp,
    ) {
        let at_millis = now.as_millis();
        // AWS, too, is not exact to the minute; most requests take the read lock only.
        let is_known = self
            .uses
            .read()
            .get(key)
            .is_some_and(|Used { last: known, .. }| {
                known.service == service
                    && known.region == region
                    && at_millis.saturating_sub(known.at_millis) < USE_MILLIS
            });
        if !is_known {
            let used = KeyUse {
                key: key.to_owned(),
                at_millis,
                service: service.to_owned(),
                region: region.to_owned(),
            };
            let used = Used {
                account,
                last: used,
                is_stored: false,
            };
            self.uses.write().insert(key.to_owned(), used);
        }
    }

    pub(crate) fn last_use(&self, key: &str) -> Option<KeyUse> {
        self.uses.read().get(key).map(|it| it.last.clone())
    }

    pub(crate) fn forget_use(&self, key: &str) {
        if let Some(used) = self.uses.write().remove(key) {
            self.gone.lock().push((used.account, used.last.key));
        }
    }

    /// Makes durable when keys were last used. Blocks; for a timer and the end of the server.
    ///
    /// # Errors
    ///
    /// [`IamError`]; nothing is lost in memory.
    pub fn save_uses(&self) -> Result<(), IamError> {
        let new: Vec<(AccountId, KeyUse)> = self
            .uses
            .read()
            .values()
            .filter(|used| !used.is_stored)
            .map(|used| (used.account, used.last.clone()))
            .collect();
        for uses in new.chunks(500) {
            let transaction =
                uses.iter()
                    .try_fold(Transaction::new(), |transaction, (account, key)| {
                        directory::put(&self.rows, transaction, *account, key)
                    })?;
            self.rows.meta.commit(transaction).wait()?;
            let mut known = self.uses.write();
            for (_, stored) in uses {
                if let Some(used) = known.get_mut(&stored.key)
                    && used.last == *stored
                {
                    used.is_stored = true;
                }
            }
        }
        // After what was written for them while they were there.
        let gone = std::mem::take(&mut *self.gone.lock());
        for keys in gone.chunks(500) {
            let transaction = keys.iter().fold(Transaction::new(), |it, (account, key)| {
                it.delete(KeyUse::TABLE, directory::row_key(*account, key.as_bytes()))
            });
            if let Err(error) = self.rows.meta.commit(transaction).wait() {
                self.gone.lock().extend_from_slice(keys);
                return Err(error.into());
            }
        }
        Ok(())
    }
}
