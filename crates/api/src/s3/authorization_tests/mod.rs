//! What is asked before anything is done, and by what it is decided: requests from behind the
//! signature on, against a service in memory.

mod actions;
mod bucket_policies;
mod condition_keys;
mod disclosure;
mod tags;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use md5::{Digest as _, Md5};
use strongroom_audit::{AuditLog, Home};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_policy::{
    AccessRequest, Authorizer, Conditions, Denials, Denied, IdentityPolicies, NamedPolicy, Policy,
    PolicyAuthorizer, PrincipalDirectory, PrincipalPolicies, Unreadable,
};
use strongroom_ports::{
    Clock, DecryptedDataKey, Entropy, GeneratedDataKey, KeyAuthority, KeyError, KeyLease,
    KeyReference, KeyUse,
};
use strongroom_rows::SealedRows;
use strongroom_s3::{Custody, S3, S3Options, S3Ports};
use strongroom_store::{MemoryBlobs, MemoryMeta};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{
    AccessKeyId, AccountId, CanonicalId, Principal, Region, RequestContext, RequestId, Timestamp,
    Transport,
};

use crate::error::ErrorPlace;
use crate::intake::EdgePorts;
use crate::recording::Recorder;
use crate::s3::{AnyBody, S3Api, S3ApiOptions};
use crate::server::ConnectionInfo;
use crate::sigv4::{Credential, CredentialSource, Payload, SigningSecret, Verified, Verifier};

const OWNER: &str = "111122223333";
const OTHER: &str = "444455556666";
const KEY_ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_369_353_600)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Distinct bytes.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let bytes = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// The one key with which forms are signed, the owner's.
struct FormKey;

const FORM_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

impl CredentialSource for FormKey {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        let owner = root(OWNER);
        Some(Arc::new(Credential {
            access_key_id: id.clone(),
            secret: SigningSecret::new(FORM_SECRET),
            canonical_id: canonical_id(owner.account()?),
            principal: owner,
            session_token: None,
        }))
    }
}

/// Has no key, but knows what `alias/known` stands for, in every account.
struct NoKeys;

impl KeyAuthority for NoKeys {
    fn generate_data_key(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KeyError> {
        Err(KeyError::InvalidCiphertext)
    }

    fn decrypt_data_key(
        &self,
        _: &RequestContext,
        _: &[u8],
        _: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        Err(KeyError::InvalidCiphertext)
    }

    fn decrypt_data_key_in_memory(
        &self,
        _: &RequestContext,
        _: &[u8],
        _: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        Err(KeyError::NotInMemory)
    }

    fn authorize(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: KeyUse,
        _: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        Err(KeyError::InvalidCiphertext)
    }

    fn key_named(&self, _: &RequestContext, key_id: &str) -> Result<KeyArn, KeyError> {
        match key_id.rsplit(':').next() {
            Some("alias/known") => Ok(KeyArn::parse(KEY_ARN).unwrap()),
            Some("alias/busy") => Err(KeyError::Throttled),
            Some("alias/away") => Err(KeyError::Unavailable),
            Some(_) | None => Err(KeyError::InvalidCiphertext),
        }
    }

    fn authorize_in_memory(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: KeyUse,
        _: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        Err(KeyError::NotInMemory)
    }
}

/// The users: their policies by their ids.
#[derive(Default)]
struct Users(Mutex<BTreeMap<String, String>>);

impl IdentityPolicies for Users {
    fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
        let Principal::User { user_id, .. } = &context.principal else {
            return Ok(PrincipalPolicies::default());
        };
        let users = self.0.lock().unwrap();
        let text = users.get(&**user_id).ok_or(Unreadable)?;
        Ok(PrincipalPolicies {
            identity: vec![NamedPolicy {
                name: "p".into(),
                policy: Arc::new(Policy::parse(text).map_err(|_| Unreadable)?),
            }],
            ..PrincipalPolicies::default()
        })
    }
}

impl PrincipalDirectory for Users {
    fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
        let name = arn.rsplit('/').next().unwrap_or_default();
        Ok(self
            .0
            .lock()
            .unwrap()
            .contains_key(name)
            .then(|| name.to_owned()))
    }

    fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        Ok(None)
    }

    fn canonical_id_of(&self, account: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok([OWNER, OTHER]
            .contains(&account.as_str())
            .then(|| canonical_id(account)))
    }
}

fn canonical_id(account: AccountId) -> CanonicalId {
    let digit = account.as_str().get(..1).unwrap();
    CanonicalId::parse(&digit.repeat(64)).unwrap()
}

/// What was asked: the action, and on what.
type Asked = (String, String);

/// Decides by policies and remembers what it was asked.
struct Recording {
    policies: PolicyAuthorizer,
    asked: Mutex<Vec<(Asked, Conditions)>>,
}

impl Authorizer for Recording {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        let asked = (request.action.to_owned(), request.resource.arn());
        let conditions = request.conditions.clone();
        self.asked.lock().unwrap().push((asked, conditions));
        self.policies.decide(request)
    }
}

struct World {
    api: S3Api,
    s3: Arc<S3>,
    meta: Arc<MemoryMeta>,
    denials: Arc<Denials>,
    users: Arc<Users>,
    authorizer: Arc<Recording>,
}

struct Told {
    status: u16,
    code: String,
    message: String,
    body: String,
    headers: http::HeaderMap,
}

fn element(body: &str, name: &str) -> String {
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap_or_default();
    let (text, _) = rest.split_once(&format!("</{name}>")).unwrap_or_default();
    text.to_owned()
}

fn root(account: &str) -> Principal {
    Principal::Root {
        account: AccountId::parse(account).unwrap(),
    }
}

fn user(account: &str, name: &str) -> Principal {
    Principal::User {
        account: AccountId::parse(account).unwrap(),
        user_id: name.into(),
        path_and_name: name.into(),
    }
}

impl World {
    fn new() -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(1)));
        let (ring, _) = Keyring::<Unsealed>::create(Fixed.now(), &*entropy);
        let users = Arc::new(Users::default());
        let denials = Arc::new(Denials::default());
        let meta = Arc::new(MemoryMeta::new());
        let authorizer = Arc::new(Recording {
            policies: PolicyAuthorizer::new(users.clone()).telling(denials.clone()),
            asked: Mutex::default(),
        });
        let region = Region::parse("us-east-1").unwrap();
        let custody = Arc::new(Custody::new(Arc::new(ring)));
        let log = AuditLog::new(
            SealedRows {
                meta: meta.clone(),
                custody: custody.clone(),
                entropy: entropy.clone(),
            },
            Arc::new(Fixed),
            Home {
                account: AccountId::parse("111122223333").unwrap(),
                region: region.clone(),
            },
        );
        let ports = S3Ports {
            meta: meta.clone(),
            blobs: Arc::new(MemoryBlobs::new()),
            custody,
            keys: Arc::new(NoKeys),
            authorizer: authorizer.clone(),
            principals: users.clone(),
            audit: Arc::new(log.clone()),
            clock: Arc::new(Fixed),
            entropy: entropy.clone(),
        };
        let options = S3Options {
            region: region.clone(),
            block_sse_c_on_new_buckets: false,
            danger_keys_over_plain_http: false,
            inline_max_bytes: 4096,
            bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
        };
        let verifier = Verifier::new(region.clone(), Arc::new(Fixed), Arc::new(FormKey));
        let s3 = Arc::new(S3::new(ports, options));
        let ports = EdgePorts {
            verifier,
            clock: Arc::new(Fixed),
            entropy,
            recorder: Arc::new(Recorder::new(log)),
        };
        let api = S3Api::new(s3.clone(), ports, S3ApiOptions::new(region));
        Self {
            api,
            s3,
            meta,
            denials,
            users,
            authorizer,
        }
    }

    /// A world with bucket `abc`, and object `k` in it, tagged `class=open`.
    async fn with_object() -> Self {
        let world = Self::new();
        world.owner("PUT", "/abc", &[], b"").await;
        let tagged = [("x-amz-tagging", "class=open")];
        world.owner("PUT", "/abc/k", &tagged, b"plaintext").await;
        world
    }

    fn set_user(&self, name: &str, statements: &str) -> Principal {
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        self.users.0.lock().unwrap().insert(name.to_owned(), policy);
        user(OWNER, name)
    }

    async fn set_policy(&self, statements: &str) {
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        self.owner("PUT", "/abc?policy", &[], policy.as_bytes())
            .await;
    }

    async fn call(
        &self,
        principal: &Principal,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        self.authorizer.asked.lock().unwrap().clear();
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-length", body.len());
        let request = if target.contains('?') && !body.is_empty() {
            request.header("content-md5", STANDARD.encode(Md5::digest(body)))
        } else {
            request
        };
        let (parts, body) = request
            .body(Full::new(bytes::Bytes::copy_from_slice(body)))
            .unwrap()
            .into_parts();
        let credential = principal.account().map(|account| {
            Arc::new(Credential {
                access_key_id: AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap(),
                secret: SigningSecret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                principal: principal.clone(),
                canonical_id: canonical_id(account),
                session_token: None,
            })
        });
        let verified = Verified {
            signed: credential.as_ref().map(|_| Fixed.now()),
            credential,
            scope: None,
            payload: Payload::Unsigned,
            is_presigned: false,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
        let connection = ConnectionInfo {
            peer: address,
            local: address,
            transport: Transport::Plain,
            cipher_suite: None,
        };
        let id = RequestId::random(&Counting(AtomicU64::new(9)));
        let request = (parts, AnyBody::new(body));
        let place = ErrorPlace::default();
        let answered = self
            .api
            .answer_verified(request, verified, connection, id, place);
        let (parts, body) = answered.await.response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Told {
            status: parts.status.as_u16(),
            code: element(&body, "Code"),
            message: element(&body, "Message"),
            body,
            headers: parts.headers,
        }
    }

    /// The owner's root user does it, and may.
    async fn owner(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        let told = self
            .call(&root(OWNER), (method, target), headers, body)
            .await;
        assert!(told.status < 300, "{method} {target}: {}", told.body);
        told
    }

    fn asked(&self) -> Vec<Asked> {
        let asked = self.authorizer.asked.lock().unwrap();
        asked.iter().map(|(asked, _)| asked.clone()).collect()
    }

    fn actions(&self) -> Vec<String> {
        self.asked().into_iter().map(|(action, _)| action).collect()
    }

    /// The values of a key when that action was asked for.
    fn values(&self, action: &str, key: &str) -> Option<Vec<String>> {
        let asked = self.authorizer.asked.lock().unwrap();
        let (_, conditions) = asked
            .iter()
            .find(|((asked, _), _)| asked == action)
            .unwrap();
        conditions.get(key).map(<[String]>::to_vec)
    }
}

fn deny(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"Deny","Principal":"*","Action":"{action}","Resource":"arn:aws:s3:::abc/*","Condition":{condition}}}"#
    )
}
