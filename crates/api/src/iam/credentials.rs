//! Who signs: the root user's keys, users' keys, and temporary credentials.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use strongroom_iam::{Identities, Signer, TemporarySigner, TokenError};
use strongroom_types::{AccessKeyId, Timestamp};

use crate::limits::SIGNING_KEYS_CACHED_MAX;
use crate::sigv4::{
    Credential, CredentialSource, Scope, SessionToken, SigningSecret, TemporaryError,
};

/// Credentials of all identities, behind another source that is asked first (the root user's keys).
///
/// What is kept here only keeps each credential the same `Arc`, by which signing keys are cached: that
/// the key, user or role is still there is asked of [`Identities`] for every request.
pub struct IamCredentials {
    root: Arc<dyn CredentialSource>,
    identities: Arc<Identities>,
    long_term: RwLock<HashMap<AccessKeyId, LongTerm>>,
    temporary: RwLock<HashMap<AccessKeyId, Arc<Temporary>>>,
}

type LongTerm = (Arc<Signer>, Arc<Credential>);

struct Temporary {
    verified: TemporarySigner,
    credential: Arc<Credential>,
}

impl fmt::Debug for IamCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IamCredentials")
    }
}

impl IamCredentials {
    /// The credentials of `root` and of `identities`.
    pub fn new(root: Arc<dyn CredentialSource>, identities: Arc<Identities>) -> Self {
        Self {
            root,
            identities,
            long_term: RwLock::default(),
            temporary: RwLock::default(),
        }
    }
}

impl CredentialSource for IamCredentials {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        if let Some(credential) = self.root.credential(id) {
            return Some(credential);
        }
        let Some(signer) = self.identities.signer(id) else {
            // Most unknown keys were never here: the lock that everybody shares is enough for them.
            if self.long_term.read().contains_key(id) {
                self.long_term.write().remove(id);
            }
            return None;
        };
        if let Some((known, credential)) = self.long_term.read().get(id)
            && Arc::ptr_eq(known, &signer)
        {
            return Some(Arc::clone(credential));
        }
        let credential = Arc::new(credential(&signer, None));
        let mut kept = self.long_term.write();
        if kept.len() >= SIGNING_KEYS_CACHED_MAX {
            kept.clear();
        }
        kept.insert(id.clone(), (signer, Arc::clone(&credential)));
        Some(credential)
    }

    fn temporary(
        &self,
        id: &AccessKeyId,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Credential>, TemporaryError> {
        let kept = self.temporary.read().get(id).cloned();
        if let Some(kept) = kept
            && kept
                .credential
                .session_token
                .as_ref()
                .is_some_and(|own| own.matches(token.as_bytes()))
            && self.identities.still_holds(&kept.verified)
        {
            // Its expiry is looked at by who asks, as every credential's is.
            return Ok(Arc::clone(&kept.credential));
        }
        let verified =
            self.identities
                .temporary_signer(id, token, now)
                .map_err(|error| match error {
                    TokenError::Invalid => TemporaryError::Invalid,
                    TokenError::Expired => TemporaryError::Expired,
                    TokenError::Gone | _ => TemporaryError::Unknown,
                })?;
        let session = Arc::clone(&verified.session);
        let token = SessionToken::of_session(token, session);
        let credential = Arc::new(credential(&verified.signer, Some(token)));
        let kept = Arc::new(Temporary {
            verified,
            credential: Arc::clone(&credential),
        });
        let mut all = self.temporary.write();
        if all.len() >= SIGNING_KEYS_CACHED_MAX {
            all.retain(|_, it| now < it.verified.session.expires);
        }
        if all.len() >= SIGNING_KEYS_CACHED_MAX {
            all.clear();
        }
        all.insert(id.clone(), kept);
        Ok(credential)
    }

    fn used(&self, credential: &Credential, scope: &Scope, now: Timestamp) {
        self.root.used(credential, scope, now);
        if credential.session_token.is_none()
            && let Some(signer) = self.identities.signer(&credential.access_key_id)
        {
            let region = scope.region.as_str();
            self.identities
                .note_signed(&signer, scope.service.name(), region, now);
        }
    }
}

fn credential(signer: &Signer, session_token: Option<SessionToken>) -> Credential {
    Credential {
        access_key_id: signer.access_key_id.clone(),
        secret: SigningSecret::new(signer.secret()),
        principal: signer.principal.clone(),
        canonical_id: signer.canonical_id.clone(),
        session_token,
    }
}
