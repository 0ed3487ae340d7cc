//! Credentials in memory, replaced whole when they change.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_api::sigv4::{Credential, CredentialSource, SigningSecret};
use strongroom_types::{AccessKeyId, Principal};

use crate::account::{Account, RootKey};

/// What the signature check looks keys up in. Never blocks.
#[derive(Debug)]
pub(crate) struct CredentialMap {
    by_id: ArcSwap<HashMap<AccessKeyId, Arc<Credential>>>,
}

impl CredentialMap {
    /// The root user's keys.
    pub(crate) fn new(account: &Account, keys: &[RootKey]) -> Self {
        Self {
            by_id: ArcSwap::from_pointee(credentials(account, keys)),
        }
    }

    /// From now on these keys hold, and no others.
    pub(crate) fn replace(&self, account: &Account, keys: &[RootKey]) {
        self.by_id.store(Arc::new(credentials(account, keys)));
    }
}

impl CredentialSource for CredentialMap {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        self.by_id.load().get(id).cloned()
    }
}

fn credentials(account: &Account, keys: &[RootKey]) -> HashMap<AccessKeyId, Arc<Credential>> {
    let credential = |key: &RootKey| Credential {
        access_key_id: key.id.clone(),
        secret: SigningSecret::new(&key.secret),
        principal: Principal::Root {
            account: account.id,
        },
        canonical_id: account.canonical_id.clone(),
        session_token: None,
    };
    keys.iter()
        .map(|key| (key.id.clone(), Arc::new(credential(key))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::accounts;

    #[test]
    fn a_replaced_key_is_gone_at_once() {
        let accounts = accounts();
        let (account, _) = accounts.load_or_create(None, false).unwrap();
        let old = accounts.root_keys().unwrap();
        let map = CredentialMap::new(&account, &old);
        assert!(map.credential(&old[0].id).is_some());
        let new = accounts.rotate_root_key().unwrap();
        map.replace(&account, std::slice::from_ref(&new));
        assert!(map.credential(&old[0].id).is_none());
        assert!(map.credential(&new.id).is_some());
    }

    #[test]
    fn the_same_credential_is_the_same_arc() {
        let accounts = accounts();
        let (account, _) = accounts.load_or_create(None, false).unwrap();
        let keys = accounts.root_keys().unwrap();
        let map = CredentialMap::new(&account, &keys);
        let (a, b) = (
            map.credential(&keys[0].id).unwrap(),
            map.credential(&keys[0].id).unwrap(),
        );
        assert!(Arc::ptr_eq(&a, &b));
    }
}
