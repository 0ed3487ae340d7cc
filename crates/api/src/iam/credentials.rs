//! Who signs: the root user's keys, users' keys, and temporary credentials.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use strongroom_iam::{Identities, Signer, TemporarySigner, TokenError};
use strongroom_types::{AccessKeyId, Principal, Timestamp};

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
        if let Principal::Root { account } = &credential.principal
            && self.root.credential(&credential.access_key_id).is_some()
        {
            let place = (scope.service.name(), scope.region.as_str());
            let id = &credential.access_key_id;
            self.identities.note_root_signed(*account, id, place, now);
        } else if credential.session_token.is_none()
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use strongroom_audit::{AuditLog, Home};
    use strongroom_crypto::Keyring;
    use strongroom_iam::{IamService, IamServicePorts, PrimaryAccount};
    use strongroom_policy::RootOnly;
    use strongroom_ports::{Clock, Entropy};
    use strongroom_rows::{Custody, SealedRows};
    use strongroom_store::MemoryMeta;
    use strongroom_types::{AccountId, CanonicalId, Region, RequestContext, RequestId, Transport};

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    struct Counting(AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) {
            for byte in out {
                let next = self.0.fetch_add(1, Ordering::Relaxed);
                *byte = next.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0];
            }
        }
    }

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            START
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Nobody;

    impl CredentialSource for Nobody {
        fn credential(&self, _: &AccessKeyId) -> Option<Arc<Credential>> {
            None
        }
    }

    fn service() -> IamService {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(0)));
        let (ring, _) = Keyring::create(START, &*entropy);
        let rows = SealedRows {
            meta: Arc::new(MemoryMeta::new()),
            custody: Arc::new(Custody::new(Arc::new(ring))),
            entropy: entropy.clone(),
        };
        let primary = PrimaryAccount {
            id: account(),
            canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
        };
        let identities = Identities::open(rows.clone(), &primary, START).unwrap();
        let home = Home {
            account: account(),
            region: Region::parse("us-east-1").unwrap(),
        };
        let ports = IamServicePorts {
            rows: rows.clone(),
            authorizer: Arc::new(RootOnly::default()),
            audit: AuditLog::new(rows.clone(), Arc::new(Still), home),
            clock: Arc::new(Still),
            entropy,
        };
        IamService::new(ports, Arc::new(identities))
    }

    fn account() -> AccountId {
        AccountId::parse("111122223333").unwrap()
    }

    fn caller(principal: Principal) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&Counting(AtomicU64::new(0))),
            received: START,
            principal,
            canonical_id: None,
            access_key_id: None,
            session: None,
            via_service: None,
            region: Region::parse("us-east-1").unwrap(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: Transport::Plain,
            user_agent: None,
            sent: None,
        }
    }

    #[test]
    fn a_credential_stays_the_same_until_it_changes_and_is_gone_with_its_key_or_user() {
        let iam = service();
        let credentials = IamCredentials::new(Arc::new(Nobody), Arc::clone(iam.identities()));
        let root = caller(Principal::Root { account: account() });
        iam.create_user(&root, "alice", None, None, &[]).unwrap();
        let made = iam.create_access_key(&root, Some("alice")).unwrap().key.id;
        let id = AccessKeyId::parse(&made).unwrap();
        let first = credentials.credential(&id).unwrap();
        iam.create_user(&root, "bob", None, None, &[]).unwrap();
        assert!(Arc::ptr_eq(&first, &credentials.credential(&id).unwrap()));
        iam.update_user(&root, "alice", Some("carol"), None)
            .unwrap();
        let renamed = credentials.credential(&id).unwrap();
        assert!(renamed.principal.arn().ends_with("user/carol"));

        let carol = RequestContext {
            access_key_id: Some(id.clone()),
            ..caller(renamed.principal.clone())
        };
        let session = iam.get_session_token(&carol, None, false).unwrap();
        let temporary = AccessKeyId::parse(&session.access_key_id).unwrap();
        let find = |token: &str| credentials.temporary(&temporary, token, START);
        let token = session.session_token.expose();
        let first = find(token).unwrap();
        assert!(Arc::ptr_eq(&first, &find(token).unwrap()));
        assert!(credentials.credential(&temporary).is_none());
        assert_eq!(find("forged").unwrap_err(), TemporaryError::Invalid);
        let later = credentials.temporary(&id, token, START);
        assert_eq!(later.unwrap_err(), TemporaryError::Invalid);

        iam.update_access_key(&root, Some("carol"), &made, false)
            .unwrap();
        assert!(credentials.credential(&id).is_none());
        // What the key asked for ends with it.
        assert_eq!(find(token).unwrap_err(), TemporaryError::Unknown);
    }
}
