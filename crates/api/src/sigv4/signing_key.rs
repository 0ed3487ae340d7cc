//! Signing keys: derived once a day for each credential, region and service.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use aws_lc_rs::hmac;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::Credential;
use super::authorization::CredentialClaim;
use crate::limits::SIGNING_KEYS_CACHED_MAX;

/// `HMAC(HMAC(HMAC(HMAC("AWS4" || secret, date), region), service), "aws4_request")`
/// (IAM User Guide, "Create a signed AWS API request", step 4).
pub(super) fn derive(credential: &Credential, claim: &CredentialClaim<'_>) -> hmac::Key {
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, credential.secret.prefixed());
    for input in [
        claim.date(),
        &claim.region,
        claim.service.name(),
        "aws4_request",
    ] {
        let mut next = Zeroizing::new([0; 32]);
        next.copy_from_slice(hmac::sign(&key, input.as_bytes()).as_ref());
        key = hmac::Key::new(hmac::HMAC_SHA256, next.as_slice());
    }
    key
}

/// A bounded cache of signing keys, by the text of the credential with its scope.
///
/// An entry is good only while the very credential lives from which it was derived: a rotated or
/// deleted secret has another [`Arc`], so its keys are never found again. Only keys that verified a
/// signature are put in, so a stranger cannot push others out.
#[derive(Default)]
pub(super) struct SigningKeys(RwLock<HashMap<Box<str>, Entry>>);

struct Entry {
    credential: Weak<Credential>,
    key: hmac::Key,
}

impl SigningKeys {
    pub(super) fn find(&self, credential: &Arc<Credential>, name: &str) -> Option<hmac::Key> {
        let keys = self.0.read();
        let entry = keys.get(name)?;
        std::ptr::eq(entry.credential.as_ptr(), Arc::as_ptr(credential)).then(|| entry.key.clone())
    }

    pub(super) fn insert(&self, credential: &Arc<Credential>, name: &str, key: hmac::Key) {
        let mut keys = self.0.write();
        if keys.len() >= SIGNING_KEYS_CACHED_MAX {
            keys.retain(|_, entry| entry.credential.strong_count() > 0);
        }
        if keys.len() >= SIGNING_KEYS_CACHED_MAX {
            // Deriving again costs microseconds: no order of use is worth keeping for it.
            keys.clear();
        }
        let credential = Arc::downgrade(credential);
        keys.insert(name.into(), Entry { credential, key });
    }
}
