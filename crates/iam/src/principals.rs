//! Which principals exist, for the policies of resources that name them.

use strongroom_policy::{PrincipalDirectory, Unreadable};
use strongroom_types::{AccountId, CanonicalId};

use crate::directory::Directory;
use crate::{Identities, names, roles};

impl Identities {
    fn known(&self) -> Result<std::sync::Arc<Directory>, Unreadable> {
        self.current().map_err(|_| Unreadable)
    }
}

impl PrincipalDirectory for Identities {
    fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
        let directory = self.known()?;
        let pin = || {
            let (owner, resource) = names::split_arn(arn).or_else(|| roles::session_owner(arn))?;
            let account = directory.accounts.get(&owner?)?;
            let id = roles::unique_id(account, resource)?;
            Some(match resource.split_once('/') {
                Some(("federated-user", _)) => arn.to_owned(),
                Some(("assumed-role", role_and_session)) => {
                    let (_, session) = role_and_session.split_once('/')?;
                    format!("{id}:{session}")
                }
                _ => id,
            })
        };
        Ok(pin())
    }

    fn account_of(&self, canonical_id: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        let directory = self.known()?;
        let mut accounts = directory.accounts.values();
        let found = accounts.find(|account| account.canonical_id == *canonical_id);
        Ok(found.map(|account| account.id))
    }

    fn canonical_id_of(&self, account: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        let directory = self.known()?;
        let account = directory.accounts.get(&account);
        Ok(account.map(|account| account.canonical_id.clone()))
    }
}
