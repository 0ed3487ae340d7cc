//! Accounts. Only the operator of the server makes them; none of this is part of AWS's API.

use std::sync::Arc;

use strongroom_audit::{Event, EventBuilder, OWN_SOURCE, Params};
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Timestamp};
use zeroize::Zeroizing;

use crate::directory::Account;
use crate::records::{AccessKey, AccountRow};
use crate::{IamError, IamService, SecretKey, ids};

/// An account, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// By what S3 names it as an owner.
    pub canonical_id: CanonicalId,
    /// The operator's name for it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether nobody of it may sign in.
    pub disabled: bool,
}

/// A root user's new access key, which is shown this once.
#[derive(Debug)]
pub struct RootAccessKey {
    /// Its id.
    pub id: AccessKeyId,
    /// Its secret.
    pub secret: SecretKey,
}

/// A new account, and its root user's access key, which is shown this once.
#[derive(Debug)]
pub struct CreatedAccount {
    /// The account.
    pub account: AccountView,
    /// The key.
    pub root: RootAccessKey,
}

impl IamService {
    /// Makes an account with a root user.
    ///
    /// # Errors
    ///
    /// [`IamError::EntityAlreadyExists`] for a name that is taken, [`IamError::Validation`].
    pub fn create_account(&self, name: &str) -> Result<CreatedAccount, IamError> {
        let is_shown_plainly = |c: char| !c.is_control();
        if name.is_empty() || name.chars().count() > 50 || !name.chars().all(is_shown_plainly) {
            return Err(IamError::constraint(
                name,
                "name",
                "have length between 1 and 50, without control characters",
            ));
        }
        let _alone = self.identities.writer.lock();
        let directory = self.identities.current()?;
        if directory.accounts.values().any(|it| it.row.name == name) {
            return Err(IamError::EntityAlreadyExists(format!(
                "Account with name {name} already exists."
            )));
        }
        let entropy = &*self.ports.entropy;
        let id = self.draw_account_id(|id| !directory.accounts.contains_key(id))?;
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let digits = hex::encode(bytes);
        let canonical_id = CanonicalId::parse(&digits).map_err(|_| IamError::Unavailable)?;
        let now = self.now();
        let row = AccountRow {
            name: name.to_owned(),
            canonical_id: digits,
            created_millis: now.as_millis(),
            generation: 0,
            disabled_millis: None,
        };
        let empty = Account::new(id, canonical_id, row);
        let mut account = empty.clone();
        let root = self.add_root_key(&mut account)?;
        let event = self.operator_event("AccountCreated", id);
        account.version = Some(self.commit(&empty, &mut account, &event)?);
        let view = view(&account);
        self.identities.replace(directory.with(account));
        Ok(CreatedAccount {
            account: view,
            root,
        })
    }

    /// All accounts.
    ///
    /// # Errors
    ///
    /// [`IamError::Unavailable`].
    pub fn accounts(&self) -> Result<Vec<AccountView>, IamError> {
        let directory = self.identities.current()?;
        Ok(directory.accounts.values().map(|it| view(it)).collect())
    }

    /// Lets nobody of an account sign in, or everybody again. What others were allowed on what the
    /// account owns stays allowed.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`]; [`IamError::InvalidInput`] for the account that the server was made
    /// with, whose root user is who would enable it again.
    pub fn disable_account(&self, id: AccountId, disabled: bool) -> Result<AccountView, IamError> {
        if id == self.identities.primary {
            return Err(IamError::InvalidInput(
                "The account that this server was made with cannot be disabled.".to_owned(),
            ));
        }
        let name = if disabled {
            "AccountDisabled"
        } else {
            "AccountEnabled"
        };
        self.operate(id, name, |account| {
            let since = account.row.disabled_millis.unwrap_or(self.now_millis());
            account.row.disabled_millis = disabled.then_some(since);
            Ok(view(account))
        })
    }

    /// Replaces all access keys of an account's root user by a new one.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`]; [`IamError::InvalidInput`] for the account that the server was made
    /// with, whose root user's keys are kept elsewhere.
    pub fn rotate_root_key(&self, id: AccountId) -> Result<RootAccessKey, IamError> {
        if id == self.identities.primary {
            return Err(IamError::InvalidInput(
                "The root access key of this account is not kept here.".to_owned(),
            ));
        }
        self.operate(id, "RootAccessKeyRotated", |account| {
            account.access_keys.retain(|_, key| !key.user_id.is_empty());
            self.add_root_key(account)
        })
    }

    /// Deletes the access keys that the root user of the account that the server was made with has
    /// given itself. Those that are kept elsewhere are not touched.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn delete_own_root_keys(&self) -> Result<(), IamError> {
        let is_of_root = |key: &AccessKey| key.user_id.is_empty();
        let primary = self.known_account(self.identities.primary)?;
        if !primary.access_keys.values().any(|key| is_of_root(key)) {
            return Ok(());
        }
        self.operate(primary.id, "RootAccessKeysDeleted", |account| {
            account.access_keys.retain(|_, key| !is_of_root(key));
            Ok(())
        })
    }

    fn operate<T>(
        &self,
        id: AccountId,
        name: &'static str,
        change: impl Fn(&mut Account) -> Result<T, IamError>,
    ) -> Result<T, IamError> {
        let event = |_: &T| self.operator_event(name, id);
        self.change_of(|| self.known_account(id), event, change)
    }

    fn known_account(&self, id: AccountId) -> Result<Arc<Account>, IamError> {
        let found = self.identities.account(id)?;
        found.ok_or_else(|| IamError::NoSuchEntity(format!("There is no account {id}.")))
    }

    fn add_root_key(&self, account: &mut Account) -> Result<RootAccessKey, IamError> {
        let entropy = &*self.ports.entropy;
        let secret = ids::secret(entropy);
        let id = ids::access_key_id(ids::LONG_TERM_KEY, entropy);
        let key = AccessKey {
            id: id.clone(),
            user_id: String::new(),
            secret: secret.clone(),
            active: true,
            created_millis: self.now_millis(),
        };
        account.access_keys.insert(id.clone(), key.into());
        Ok(RootAccessKey {
            id: AccessKeyId::parse(&id).map_err(|_| IamError::Unavailable)?,
            secret: Zeroizing::new(secret.expose().to_owned()).into(),
        })
    }

    /// The record of what the operator did.
    fn operator_event(&self, name: &'static str, account: AccountId) -> Event {
        let details = Params::new().shown("accountId", &account);
        let event = EventBuilder::by_service(account, OWN_SOURCE, name).service_details(&details);
        self.ports.audit.finish(event)
    }

    fn draw_account_id(&self, is_free: impl Fn(&AccountId) -> bool) -> Result<AccountId, IamError> {
        for _ in 0..64 {
            let mut bytes = [0; 8];
            self.ports.entropy.fill(&mut bytes);
            // Ids with a leading zero are real, and a source of mistakes in spreadsheets.
            let number = 100_000_000_000 + u64::from_be_bytes(bytes) % 900_000_000_000;
            if let Ok(id) = AccountId::parse(&number.to_string())
                && is_free(&id)
            {
                return Ok(id);
            }
        }
        Err(IamError::Unavailable)
    }
}

fn view(account: &Account) -> AccountView {
    AccountView {
        id: account.id,
        canonical_id: account.canonical_id.clone(),
        name: account.row.name.clone(),
        created: Timestamp::from_millis(account.row.created_millis),
        disabled: account.is_disabled(),
    }
}
