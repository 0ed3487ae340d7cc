//! Accounts. Only the operator of the server makes them; none of this is part of AWS's API.

use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Timestamp};
use zeroize::Zeroizing;

use crate::directory::Account;
use crate::records::{AccessKey, AccountRow};
use crate::{IamError, IamService, ids};

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
}

/// A new account, and its root user's access key, which is shown this once.
#[derive(Debug)]
pub struct CreatedAccount {
    /// The account.
    pub account: AccountView,
    /// The key's id.
    pub access_key_id: AccessKeyId,
    /// Its secret.
    pub secret: crate::access_keys::SecretKey,
}

impl IamService {
    /// Makes an account with a root user.
    ///
    /// # Errors
    ///
    /// [`IamError::EntityAlreadyExists`] for a name that is taken, [`IamError::Validation`].
    pub fn create_account(&self, name: &str) -> Result<CreatedAccount, IamError> {
        if name.is_empty() || name.chars().count() > 50 {
            return Err(IamError::constraint(
                name,
                "name",
                "have length between 1 and 50",
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
        };
        let empty = Account::new(id, canonical_id, row);
        let mut account = empty.clone();
        let secret = ids::secret(entropy);
        let key_id = ids::access_key_id(ids::LONG_TERM_KEY, entropy);
        let key = AccessKey {
            id: key_id.clone(),
            user_id: String::new(),
            secret: secret.clone(),
            active: true,
            created_millis: now.as_millis(),
        };
        account.access_keys.insert(key_id.clone(), key.into());
        account.version = Some(self.commit(&empty, &mut account, None)?);
        let view = view(&account);
        self.identities.replace(directory.with(account));
        Ok(CreatedAccount {
            account: view,
            access_key_id: AccessKeyId::parse(&key_id).map_err(|_| IamError::Unavailable)?,
            secret: Zeroizing::new(secret.expose().to_owned()).into(),
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
    }
}
