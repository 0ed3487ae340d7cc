//! The account that this store is, and its root access key: sealed rows of the metadata store.

mod ring_seen;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::{Decode, Encode};
use strongroom_audit::{AuditLog, EventBuilder, Home, OWN_SOURCE, Params};
use strongroom_ports::{
    Clock, CommitError, Entropy, MetaStore, RowVersion, Scan, Table, Transaction,
};
use strongroom_rows::SealedRows;
use strongroom_s3::Custody;
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Region, Timestamp};
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::{Exit, Failure};

const ACCOUNT_KEY: &[u8] = b"account";
const ACCOUNT_RECORD: [u8; 2] = [0x20, 1];
const ACCESS_KEY_RECORD: [u8; 2] = [0x21, 1];
const ACCESS_KEYS_MAX: usize = 1000;

/// Who this store belongs to. Drawn once, at the first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) canonical_id: CanonicalId,
    pub(crate) region: Region,
}

/// The root user's access key. Never logged; `Debug` shows the public half only.
pub(crate) struct RootKey {
    pub(crate) id: AccessKeyId,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) created: Timestamp,
}

/// Reads and writes the account's rows.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) meta: Arc<dyn MetaStore>,
    pub(crate) custody: Arc<Custody>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Whether a ring older than the newest that the store has seen may open it.
    pub(crate) danger_accept_older_ring: bool,
}

/// `0x20 0x01 || CBOR`.
#[derive(Encode, Decode)]
#[cbor(map)]
struct AccountRow {
    #[n(0)]
    id: String,
    #[n(1)]
    canonical_id: String,
    #[n(2)]
    region: String,
    #[n(3)]
    created_millis: u64,
    /// The ring that seals this store, and the newest version of it that was in use: an older ring
    /// put in its place would silently lose keys.
    #[cbor(n(4), with = "minicbor::bytes")]
    ring_id: [u8; 16],
    #[n(5)]
    ring_version: u32,
    /// The newest generation of the ring's file that this store has seen: an older file put in its
    /// place would bring back a seal that was removed.
    #[n(6)]
    ring_generation: Option<u64>,
}

/// `0x21 0x01 || CBOR`, under the access key id.
#[derive(Encode, Decode)]
#[cbor(map)]
struct AccessKeyRow {
    #[n(0)]
    secret: String,
    #[n(1)]
    created_millis: u64,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({}, REDACTED)", self.id)
    }
}

impl Accounts {
    /// The store's account, for commands: none of them makes one where the metadata is gone.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`] for damage and where there is no account, [`Exit::Ring`] for an older ring.
    pub(crate) fn loaded(&self) -> Result<Account, Failure> {
        let account = self.load(None)?.ok_or_else(|| {
            Failure::new(
                Exit::Store,
                "there is no account in this store: its metadata is missing, or it is new",
                "restore DIR/meta from a backup; a new store gets its account when a server \
                 starts: strongroom serve",
            )
        })?;
        self.note_ring_at_start()?;
        Ok(account)
    }

    /// The store's account; the second value is true when it has just been made. `holds_data` says
    /// whether there is anything besides that only a store with an account can hold.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`] for damage, [`Exit::Ring`] for an older ring, [`Exit::Usage`] when `region`
    /// contradicts the store.
    pub(crate) fn load_or_create(
        &self,
        region: Option<&Region>,
        holds_data: bool,
    ) -> Result<(Account, bool), Failure> {
        if let Some(account) = self.load(region)? {
            self.note_ring_at_start()?;
            return Ok((account, false));
        }
        // To an empty metadata store every body is an orphan, and would be swept away.
        if holds_data {
            return Err(damaged(
                "there are bodies of objects or keys, but the metadata that names them is missing",
            ));
        }
        // Without this row a store is new; with other rows, the row has been lost.
        for table in [Table::ACCESS_KEYS, Table::BUCKETS] {
            if !self.rows(table, 1)?.is_empty() {
                return Err(damaged(
                    "the account's row is missing from a store that holds data",
                ));
            }
        }
        let account = Account {
            id: parsed(AccountId::parse(&self.digits()))?,
            canonical_id: parsed(CanonicalId::parse(&hex::encode(self.random::<32>())))?,
            region: match region {
                Some(region) => region.clone(),
                None => parsed(Region::parse("us-east-1"))?,
            },
        };
        let row = self.account_row(&account);
        let root = self.draw_root_key()?;
        let transaction = Transaction::new()
            .expect(Table::SETTINGS, ACCOUNT_KEY, None)
            .put(
                Table::SETTINGS,
                ACCOUNT_KEY,
                self.seal(Table::SETTINGS, ACCOUNT_KEY, ACCOUNT_RECORD, &row),
            );
        let transaction = self.put_root_key(transaction, &root);
        self.commit(self.audited(transaction, &account, "AccountCreated", &root.id))?;
        Ok((account, true))
    }

    /// All active root access keys.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(crate) fn root_keys(&self) -> Result<Vec<RootKey>, Failure> {
        let mut keys = Vec::new();
        for (key, value) in self.rows(Table::ACCESS_KEYS, ACCESS_KEYS_MAX)? {
            let row: AccessKeyRow =
                self.open(Table::ACCESS_KEYS, &key, &value, ACCESS_KEY_RECORD)?;
            let id = std::str::from_utf8(&key)
                .ok()
                .and_then(|text| AccessKeyId::parse(text).ok());
            let id = id.ok_or_else(|| damaged("an access key's row has an impossible name"))?;
            keys.push(RootKey {
                id,
                secret: Zeroizing::new(row.secret),
                created: Timestamp::from_millis(row.created_millis),
            });
        }
        Ok(keys)
    }

    /// Replaces every root access key by a new one, in one commit.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`]; the old keys then still hold.
    pub(crate) fn rotate_root_key(&self) -> Result<RootKey, Failure> {
        let account = self
            .load(None)?
            .ok_or_else(|| damaged("the account's row is gone"))?;
        let root = self.draw_root_key()?;
        let mut transaction = self.put_root_key(Transaction::new(), &root);
        for (key, _) in self.rows(Table::ACCESS_KEYS, ACCESS_KEYS_MAX)? {
            transaction = transaction.delete(Table::ACCESS_KEYS, key);
        }
        let name = "RootAccessKeyRotated";
        self.commit(self.audited(transaction, &account, name, &root.id))?;
        Ok(root)
    }

    fn read_account_row(&self) -> Result<Option<(AccountRow, RowVersion)>, Failure> {
        let stored = self
            .meta
            .read(Table::SETTINGS, ACCOUNT_KEY)
            .map_err(|error| damaged(&error.to_string()))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let row = self.open(Table::SETTINGS, ACCOUNT_KEY, &stored.value, ACCOUNT_RECORD)?;
        Ok(Some((row, stored.version)))
    }

    fn load(&self, region: Option<&Region>) -> Result<Option<Account>, Failure> {
        let Some((row, _)) = self.read_account_row()? else {
            return Ok(None);
        };
        self.check_ring(&row)?;
        let account = Account {
            id: parsed(AccountId::parse(&row.id))?,
            canonical_id: parsed(CanonicalId::parse(&row.canonical_id))?,
            region: parsed(Region::parse(&row.region))?,
        };
        match region {
            Some(region) if *region != account.region => Err(Failure::new(
                Exit::Usage,
                format!("this store's region is {}, not {region}", account.region),
                "leave --region out: the region is chosen at the first start",
            )),
            _ => Ok(Some(account)),
        }
    }

    fn account_row(&self, account: &Account) -> AccountRow {
        AccountRow {
            id: account.id.as_str().to_owned(),
            canonical_id: account.canonical_id.as_str().to_owned(),
            region: account.region.as_str().to_owned(),
            created_millis: self.clock.now().as_millis(),
            ring_id: self.custody.ring().ring_id(),
            ring_version: self.custody.ring().active_version(),
            ring_generation: Some(self.custody.ring().generation()),
        }
    }

    /// `AKIA` and 16 characters of base 32 (80 bits), and 40 of base 64 (240 bits), as AWS's have.
    fn draw_root_key(&self) -> Result<RootKey, Failure> {
        const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let tail = self
            .random::<16>()
            .into_iter()
            .filter_map(|byte| BASE32.get(usize::from(byte & 31)));
        let id: String = "AKIA"
            .chars()
            .chain(tail.map(|byte| char::from(*byte)))
            .collect();
        let mut bytes = Zeroizing::new([0_u8; 30]);
        self.entropy.fill(bytes.as_mut_slice());
        let secret = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        Ok(RootKey {
            id: parsed(AccessKeyId::parse(&id))?,
            secret,
            created: self.clock.now(),
        })
    }

    fn put_root_key(&self, transaction: Transaction, root: &RootKey) -> Transaction {
        let mut row = AccessKeyRow {
            secret: root.secret.as_str().to_owned(),
            created_millis: root.created.as_millis(),
        };
        let key = root.id.as_str().as_bytes();
        let value = self.seal(Table::ACCESS_KEYS, key, ACCESS_KEY_RECORD, &row);
        row.secret.zeroize();
        transaction.put(Table::ACCESS_KEYS, key.to_vec(), value)
    }

    /// Adds the event to the transaction that it is about: both become durable, or neither.
    fn audited(
        &self,
        transaction: Transaction,
        account: &Account,
        name: &'static str,
        id: &AccessKeyId,
    ) -> Transaction {
        let log = self.audit_log(account);
        let event = EventBuilder::by_service(account.id, OWN_SOURCE, name)
            .service_details(&Params::new().shown("accessKeyId", id));
        log.add(transaction, &log.finish(event))
    }

    /// The audit trail of this store.
    pub(crate) fn audit_log(&self, account: &Account) -> AuditLog {
        let home = Home {
            account: account.id,
            region: account.region.clone(),
        };
        AuditLog::new(self.sealed_rows(), self.clock.clone(), home)
    }

    /// The sealed rows of this store.
    pub(crate) fn sealed_rows(&self) -> SealedRows {
        SealedRows {
            meta: self.meta.clone(),
            custody: self.custody.clone(),
            entropy: self.entropy.clone(),
        }
    }

    fn commit(&self, transaction: Transaction) -> Result<(), Failure> {
        self.meta
            .commit(transaction)
            .wait()
            .map(|_| ())
            .map_err(|error| match error {
                CommitError::NoSpace => Failure::new(
                    Exit::Environment,
                    error.to_string(),
                    "free disk space, or lower --free-space-floor",
                ),
                other @ (CommitError::Conflict
                | CommitError::TooLarge
                | CommitError::Failed(_)
                | _) => Failure::new(
                    Exit::Store,
                    other.to_string(),
                    "look at the disk; then start again",
                ),
            })
    }

    fn rows(
        &self,
        table: Table,
        limit: usize,
    ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, Failure> {
        let scan = Scan {
            table,
            start: bytes::Bytes::new(),
            end: None,
            limit,
            reverse: false,
        };
        let page = self
            .meta
            .scan(&scan)
            .map_err(|error| damaged(&error.to_string()))?;
        Ok(page
            .rows
            .into_iter()
            .map(|row| (row.key, row.value))
            .collect())
    }

    fn seal<R: Encode<()>>(&self, table: Table, key: &[u8], record: [u8; 2], row: &R) -> Vec<u8> {
        // Room for any row of this module, so that growing leaves no copies of a secret behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(1024));
        plaintext.extend_from_slice(&record);
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(row, &mut *plaintext);
        self.custody
            .rows()
            .seal(table.0, key, &plaintext, &*self.entropy)
    }

    fn open<R: for<'b> Decode<'b, ()>>(
        &self,
        table: Table,
        key: &[u8],
        stored: &[u8],
        record: [u8; 2],
    ) -> Result<R, Failure> {
        let opened = self
            .custody
            .rows()
            .open(table.0, key, stored)
            .map(Zeroizing::new);
        let plaintext = opened.map_err(|_| damaged("a row of the account does not verify"))?;
        plaintext
            .strip_prefix(&record)
            .and_then(|body| minicbor::decode(body).ok())
            .ok_or_else(|| damaged("a row of the account has an unknown form"))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Twelve digits that do not start with zero, since people lose those.
    fn digits(&self) -> String {
        let number = u64::from_be_bytes(self.random::<8>()) % 900_000_000_000;
        number.saturating_add(100_000_000_000).to_string()
    }
}

fn damaged(what: &str) -> Failure {
    Failure::new(
        Exit::Store,
        format!("the metadata store is damaged: {what}"),
        "restore it from a backup; keep the damaged one",
    )
}

fn parsed<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    use strongroom_crypto::Keyring;
    use strongroom_store::MemoryMeta;
    use strongroom_types::Timestamp;

    use super::*;
    use crate::adapters::{SystemClock, SystemEntropy};

    pub(crate) fn accounts() -> Accounts {
        let (ring, _) = Keyring::create(Timestamp::from_seconds(1), &SystemEntropy);
        let custody = Arc::new(Custody::new(Arc::new(ring)));
        let meta: Arc<dyn MetaStore> = Arc::new(MemoryMeta::new());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        Accounts {
            danger_accept_older_ring: false,
            meta,
            custody,
            clock: Arc::new(SystemClock::new()),
            entropy,
        }
    }

    #[test]
    fn bodies_without_metadata_are_not_started_over() {
        let accounts = accounts();
        let refused = accounts.load_or_create(None, true).unwrap_err();
        assert_eq!(refused.exit, Exit::Store);
        // With its account a store may have bodies, of course.
        accounts.load_or_create(None, false).unwrap();
        assert!(accounts.load_or_create(None, true).is_ok());
    }

    #[test]
    fn the_account_is_made_once() {
        let accounts = accounts();
        let (made, new) = accounts.load_or_create(None, false).unwrap();
        assert!(new && made.region.as_str() == "us-east-1");
        assert_eq!(accounts.load_or_create(None, false).unwrap(), (made, false));
        assert_eq!(accounts.root_keys().unwrap().len(), 1);
    }

    #[test]
    fn the_region_stays() {
        let accounts = accounts();
        let (eu, us) = (
            Region::parse("eu-west-1").unwrap(),
            Region::parse("us-east-1").unwrap(),
        );
        accounts.load_or_create(Some(&eu), false).unwrap();
        assert_eq!(accounts.load_or_create(None, false).unwrap().0.region, eu);
        assert_eq!(
            accounts.load_or_create(Some(&us), false).unwrap_err().exit,
            Exit::Usage
        );
    }

    #[test]
    fn root_keys_look_like_awss() {
        let accounts = accounts();
        accounts.load_or_create(None, false).unwrap();
        let key = accounts.root_keys().unwrap().remove(0);
        assert!(key.id.as_str().starts_with("AKIA") && key.id.as_str().len() == 20);
        assert_eq!(key.secret.len(), 40);
        assert!(!format!("{key:?}").contains(key.secret.as_str()));
    }

    #[test]
    fn rotation_leaves_only_the_new_key() {
        let accounts = accounts();
        accounts.load_or_create(None, false).unwrap();
        let old = accounts.root_keys().unwrap().remove(0);
        let new = accounts.rotate_root_key().unwrap();
        let keys = accounts.root_keys().unwrap();
        assert!(
            keys.len() == 1
                && keys[0].id == new.id
                && new.id != old.id
                && *keys[0].secret == *new.secret
        );
    }

    #[test]
    fn secrets_are_sealed_in_the_store() {
        let accounts = accounts();
        accounts.load_or_create(None, false).unwrap();
        let secret = accounts.root_keys().unwrap().remove(0).secret;
        for table in 1..=12 {
            for (_, value) in accounts.rows(Table(table), 100).unwrap() {
                assert!(
                    !value.windows(40).any(|window| window == secret.as_bytes()),
                    "table {table}"
                );
            }
        }
    }

    #[test]
    fn a_lost_account_row_is_damage_and_not_a_first_start() {
        let accounts = accounts();
        accounts.load_or_create(None, false).unwrap();
        accounts
            .meta
            .commit(Transaction::new().delete(Table::SETTINGS, ACCOUNT_KEY))
            .wait()
            .unwrap();
        assert_eq!(
            accounts.load_or_create(None, false).unwrap_err().exit,
            Exit::Store
        );
    }
}
