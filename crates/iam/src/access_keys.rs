//! Access keys.

use std::collections::BTreeMap;

use strongroom_policy::Conditions;
use strongroom_types::{RequestContext, Timestamp};
use zeroize::Zeroizing;

use crate::directory::Account;
use crate::limits::ACCESS_KEYS_PER_USER;
use crate::records::AccessKey;
use crate::service::Asked;
use crate::users::{is_root, no_name, own_name};
use crate::{IamError, IamService, Page, PageInput, ids};

/// A secret access key on its way to its owner, whom it is shown once. Zeroed on drop, never printed.
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// The secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for SecretKey {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("REDACTED")
    }
}

/// An access key, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyView {
    /// Its id.
    pub id: String,
    /// Whose it is; of a root user none.
    pub user_name: Option<String>,
    /// Whether it can be used.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// A new access key.
#[derive(Debug)]
pub struct CreatedAccessKey {
    /// The key.
    pub key: AccessKeyView,
    /// Its secret.
    pub secret: SecretKey,
}

/// When an access key was last used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyLastUsed {
    /// Whose it is; of a root user none.
    pub user_name: Option<String>,
    /// When, for which service, in which region; none if never.
    pub used: Option<(Timestamp, String, String)>,
}

/// Whose keys: the unique id (of a root user nothing) and the name.
struct Owner {
    id: String,
    name: Option<String>,
}

impl IamService {
    /// CreateAccessKey; without a name for the caller.
    ///
    /// # Errors
    ///
    /// [`IamError::LimitExceeded`] beyond two keys.
    pub fn create_access_key(
        &self,
        caller: &RequestContext,
        user_name: Option<&str>,
    ) -> Result<CreatedAccessKey, IamError> {
        let asked = Asked::new(caller, "iam:CreateAccessKey");
        self.change(asked, |account| {
            let owner = self.owner(asked, account, user_name)?;
            let held = account.access_keys.values();
            let held = held.filter(|it| it.user_id == owner.id).count();
            let kept_elsewhere = self.kept_elsewhere(account, &owner).len();
            if held.saturating_add(kept_elsewhere) >= ACCESS_KEYS_PER_USER {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS_PER_USER}"
                )));
            }
            let entropy = &*self.ports.entropy;
            let key = AccessKey {
                id: ids::access_key_id(ids::LONG_TERM_KEY, entropy),
                user_id: owner.id,
                secret: ids::secret(entropy),
                active: true,
                created_millis: self.now_millis(),
            };
            let created = CreatedAccessKey {
                key: view(&key, owner.name),
                secret: SecretKey(Zeroizing::new(key.secret.expose().to_owned())),
            };
            account.access_keys.insert(key.id.clone(), key.into());
            Ok(created)
        })
    }

    /// ListAccessKeys; without a name the caller's.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_access_keys(
        &self,
        caller: &RequestContext,
        user_name: Option<&str>,
        page: &PageInput,
    ) -> Result<Page<AccessKeyView>, IamError> {
        let asked = Asked::new(caller, "iam:ListAccessKeys");
        let account = self.account(asked)?;
        let owner = self.owner(asked, &account, user_name)?;
        let keys = account
            .access_keys
            .values()
            .filter(|it| it.user_id == owner.id)
            .map(|it| (it.id.clone(), view(it, owner.name.clone())));
        let kept_elsewhere = self.kept_elsewhere(&account, &owner).into_iter();
        let keys = kept_elsewhere.map(|it| (it.id.clone(), it)).chain(keys);
        let keys: BTreeMap<_, _> = keys.collect();
        let listing = ["ListAccessKeys", account.id.as_str(), &owner.id];
        self.page(&listing, page, keys.into_iter())
    }

    /// UpdateAccessKey: whether it can be used.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn update_access_key(
        &self,
        caller: &RequestContext,
        user_name: Option<&str>,
        key_id: &str,
        active: bool,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:UpdateAccessKey");
        self.change(asked, |account| {
            let owner = self.owner(asked, account, user_name)?;
            let mut key = self.find_key(account, &owner, key_id)?;
            key.active = active;
            account.access_keys.insert(key.id.clone(), key.into());
            Ok(())
        })
    }

    /// DeleteAccessKey.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn delete_access_key(
        &self,
        caller: &RequestContext,
        user_name: Option<&str>,
        key_id: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeleteAccessKey");
        self.change(asked, |account| {
            let owner = self.owner(asked, account, user_name)?;
            let key = self.find_key(account, &owner, key_id)?;
            account.access_keys.remove(&key.id);
            Ok(())
        })?;
        self.identities.forget_use(key_id);
        Ok(())
    }

    /// GetAccessKeyLastUsed.
    ///
    /// # Errors
    ///
    /// [`IamError::AccessDenied`] for keys that are not there as for those of other accounts.
    pub fn get_access_key_last_used(
        &self,
        caller: &RequestContext,
        key_id: &str,
    ) -> Result<AccessKeyLastUsed, IamError> {
        let asked = Asked::new(caller, "iam:GetAccessKeyLastUsed");
        let account = self.account(asked)?;
        let key = account.access_keys.get(key_id);
        let user = key.and_then(|key| account.user_by_id(&key.user_id));
        let arn = match user {
            Some(user) => account.user_arn(user),
            None => format!("arn:aws:iam::{}:user/", account.id),
        };
        self.authorize(asked, account.id, arn, &Conditions::default())?;
        let is_kept_elsewhere = account.id == self.identities.primary && self.is_root_key(key_id);
        if key.is_none() && !is_kept_elsewhere {
            return Err(IamError::AccessDenied(format!(
                "User: {} is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key {key_id}",
                caller.principal.arn()
            )));
        }
        Ok(AccessKeyLastUsed {
            user_name: user.map(|user| user.name.clone()),
            used: self
                .identities
                .last_use(key_id)
                .map(|it| (Timestamp::from_millis(it.at_millis), it.service, it.region)),
        })
    }

    /// The keys of a root user that are not among the account's.
    fn kept_elsewhere(&self, account: &Account, owner: &Owner) -> Vec<AccessKeyView> {
        if owner.id.is_empty() && account.id == self.identities.primary {
            self.identities.root_keys.read().clone()
        } else {
            Vec::new()
        }
    }

    fn is_root_key(&self, id: &str) -> bool {
        self.identities
            .root_keys
            .read()
            .iter()
            .any(|it| it.id == id)
    }

    fn find_key(
        &self,
        account: &Account,
        owner: &Owner,
        key_id: &str,
    ) -> Result<AccessKey, IamError> {
        if self
            .kept_elsewhere(account, owner)
            .iter()
            .any(|it| it.id == key_id)
        {
            return Err(IamError::InvalidInput(format!(
                "The Access Key with id {key_id} is replaced by the operator of the server only."
            )));
        }
        find(account, owner, key_id)
    }

    fn owner(
        &self,
        asked: Asked<'_>,
        account: &Account,
        user_name: Option<&str>,
    ) -> Result<Owner, IamError> {
        let own = own_name(asked.caller);
        match user_name.or(own.as_deref()) {
            Some(name) => {
                let user = self.find_user(asked, account, name)?;
                Ok(Owner {
                    id: user.id.clone(),
                    name: Some(user.name.clone()),
                })
            }
            None if is_root(asked.caller) => {
                let arn = asked.caller.principal.arn();
                self.authorize(asked, account.id, arn, &Conditions::default())?;
                Ok(Owner {
                    id: String::new(),
                    name: None,
                })
            }
            None => Err(no_name()),
        }
    }
}

fn find(account: &Account, owner: &Owner, key_id: &str) -> Result<AccessKey, IamError> {
    account
        .access_keys
        .get(key_id)
        .filter(|it| it.user_id == owner.id)
        .map(|it| AccessKey::clone(it))
        .ok_or_else(|| {
            IamError::NoSuchEntity(format!("The Access Key with id {key_id} cannot be found."))
        })
}

fn view(key: &AccessKey, user_name: Option<String>) -> AccessKeyView {
    AccessKeyView {
        id: key.id.clone(),
        user_name,
        active: key.active,
        created: Timestamp::from_millis(key.created_millis),
    }
}
