//! What is asked before anything is done, and by what it is decided: requests from behind the
//! signature on, against a service in memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use md5::{Digest as _, Md5};
use strongroom_audit::{AuditLog, Home};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_policy::actions::{GetObject, GetObjectTagging, PutObjectTagging};
use strongroom_policy::{
    AccessRequest, Authorizer, Conditions, Denials, Denied, IdentityPolicies, NamedPolicy, Policy,
    PolicyAuthorizer, PrincipalDirectory, PrincipalPolicies, Unreadable,
};
use strongroom_ports::{
    Clock, DecryptedDataKey, Entropy, GeneratedDataKey, KeyAuthority, KeyError, KeyLease,
    KeyReference, KeyUse,
};
use strongroom_ports::{MetaStore as _, Scan, Table, Transaction};
use strongroom_rows::SealedRows;
use strongroom_s3::{Custody, GetObjectInput, S3, S3Error, S3Options, S3Ports};
use strongroom_store::{MemoryBlobs, MemoryMeta};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{
    AccessKeyId, AccountId, BucketName, CanonicalId, ObjectKey, Principal, Region, RequestContext,
    RequestId, TagSet, Timestamp, Transport,
};

use super::route::{ROUTES, Route, Selector};
use super::{AnyBody, S3Api, S3ApiOptions};
use crate::error::ErrorPlace;
use crate::intake::EdgePorts;
use crate::recording::Recorder;
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

const FORM_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
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

/// Target, headers and body that reach a row.
fn request_for(route: &Route) -> (String, Vec<(&'static str, &'static str)>, &'static [u8]) {
    const SOURCE: (&str, &str) = ("x-amz-copy-source", "/abc/k");
    let path = match route.level {
        super::route::Level::Service => "/",
        super::route::Level::Bucket if route.name == "CreateBucket" => "/new",
        super::route::Level::Bucket => "/abc",
        super::route::Level::Object => "/abc/k",
    };
    let (query, headers) = match route.selector {
        Selector::Plain => (String::new(), vec![]),
        Selector::Query(name) => (format!("?{name}"), vec![]),
        Selector::Both(first, second) => (format!("?{first}=1&{second}=1"), vec![]),
        Selector::Value(name, value) => (format!("?{name}={value}"), vec![]),
        Selector::Header(_) => (String::new(), vec![SOURCE]),
        Selector::BothAndHeader(first, second, _) => {
            (format!("?{first}=1&{second}=1"), vec![SOURCE])
        }
        Selector::Form => (
            String::new(),
            vec![("content-type", "multipart/form-data; boundary=x")],
        ),
    };
    let body: &[u8] = match route.name {
        "DeleteObjects" => b"<Delete><Object><Key>k</Key></Object></Delete>",
        "PostObject" => {
            b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\n\
              Content-Disposition: form-data; name=\"file\"\r\n\r\ndata\r\n--x--\r\n"
        }
        _ => b"",
    };
    (format!("{path}{query}"), headers, body)
}

#[tokio::test]
async fn every_operation_asks_for_the_action_of_its_row() {
    let world = World::with_object().await;
    let nobody = world.set_user("nobody", r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#);
    for route in ROUTES {
        let (target, headers, body) = request_for(route);
        // A form's signature is in the form: one without is sent by nobody.
        let caller = if route.name == "PostObject" {
            Principal::Anonymous
        } else {
            nobody.clone()
        };
        let asked = (route.method.as_str(), target.as_str());
        let told = world.call(&caller, asked, &headers, body).await;
        let actions = world.actions();
        // What is copied is asked for first.
        let expected: &[&str] = match route.name {
            "CopyObject" | "UploadPartCopy" => &["s3:GetObject"],
            // The bucket first, whose existence all may know, then key by key.
            "DeleteObjects" => &["s3:DeleteObject", "s3:DeleteObject"],
            _ => &[route.action],
        };
        assert_eq!(actions, expected, "{}", route.name);
        if route.name == "DeleteObjects" {
            assert!(
                told.body.contains("<Code>AccessDenied</Code>"),
                "{}",
                told.body
            );
        } else {
            assert_eq!(told.status, 403, "{}: {}", route.name, told.body);
        }
    }
}

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn copies_and_what_a_write_does_beside_are_asked_for_each() {
    let world = World::with_object().await;
    world.owner("PUT", "/abc/plain", &[], b"x").await;
    let source = ("x-amz-copy-source", "/abc/k");
    let replace = ("x-amz-tagging-directive", "REPLACE");
    let cases: &[(&str, Headers, &[&str])] = &[
        ("PUT /abc/n", &[], &["s3:PutObject"]),
        (
            "PUT /abc/n",
            &[("x-amz-tagging", "a=b")],
            &["s3:PutObject", "s3:PutObjectTagging"],
        ),
        (
            "PUT /abc/n",
            &[("x-amz-acl", "bucket-owner-full-control")],
            &["s3:PutObject", "s3:PutObjectAcl"],
        ),
        (
            "POST /abc/n?uploads",
            &[("x-amz-tagging", "a=b")],
            &["s3:PutObject", "s3:PutObjectTagging"],
        ),
        ("GET /abc/k?versionId=null", &[], &["s3:GetObjectVersion"]),
        ("HEAD /abc/k?versionId=null", &[], &["s3:GetObjectVersion"]),
        ("HEAD /abc", &[], &["s3:ListBucket"]),
        (
            "GET /abc/k?tagging&versionId=null",
            &[],
            &["s3:GetObjectVersionTagging"],
        ),
        (
            "DELETE /abc/k2?tagging&versionId=null",
            &[],
            // The second because it is not there.
            &["s3:DeleteObjectVersionTagging", "s3:ListBucket"],
        ),
        (
            "GET /abc/k?attributes",
            &[("x-amz-object-attributes", "ETag")],
            &["s3:GetObjectAttributes", "s3:GetObject"],
        ),
        (
            "GET /abc/k?attributes&versionId=null",
            &[("x-amz-object-attributes", "ETag")],
            &["s3:GetObjectVersionAttributes", "s3:GetObjectVersion"],
        ),
        (
            "DELETE /abc/gone?versionId=null",
            &[],
            &["s3:DeleteObjectVersion"],
        ),
        // Whether an object has an ETag is told to who may read it; and that it is missing, to who
        // may list.
        (
            "DELETE /abc/gone",
            &[("if-match", "\"e\"")],
            &["s3:DeleteObject", "s3:GetObject", "s3:ListBucket"],
        ),
        (
            "DELETE /abc/gone?versionId=null",
            &[("if-match", "\"e\"")],
            &[
                "s3:DeleteObjectVersion",
                "s3:GetObjectVersion",
                "s3:ListBucket",
            ],
        ),
        (
            "DELETE /abc/gone",
            &[("if-match", "*")],
            &["s3:DeleteObject", "s3:ListBucket"],
        ),
        (
            "PUT /abc/gone",
            &[("if-match", "\"e\"")],
            &["s3:PutObject", "s3:GetObject", "s3:ListBucket"],
        ),
        (
            "PUT /abc/gone",
            &[("if-match", "*")],
            &["s3:PutObject", "s3:ListBucket"],
        ),
        ("PUT /abc/n", &[("if-none-match", "*")], &["s3:PutObject"]),
        (
            "POST /abc/n?uploads",
            &[("if-match", "\"e\"")],
            &["s3:PutObject"],
        ),
        (
            "PUT /abc/gone",
            &[("x-amz-copy-source", "abc/plain"), ("if-match", "\"e\"")],
            // The last for both buckets: either object may be what is missing.
            &[
                "s3:GetObject",
                "s3:PutObject",
                "s3:GetObject",
                "s3:ListBucket",
            ],
        ),
        ("PUT /new1", &[], &["s3:CreateBucket"]),
        (
            "PUT /new2",
            &[("x-amz-acl", "bucket-owner-full-control")],
            &["s3:CreateBucket", "s3:PutBucketAcl"],
        ),
        (
            "PUT /new3",
            &[("x-amz-object-ownership", "BucketOwnerEnforced")],
            &["s3:CreateBucket", "s3:PutBucketOwnershipControls"],
        ),
    ];
    for (target, headers, expected) in cases {
        let at = target.split_once(' ').unwrap();
        world.call(&root(OWNER), at, headers, b"").await;
        // What is not in memory is decided about once more where the disk may be waited for.
        let mut actions = world.actions();
        actions.dedup();
        assert_eq!(actions, *expected, "{target} {headers:?}");
    }
    for (headers, expected) in [
        (
            vec![source],
            vec![
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
        ),
        (vec![source, replace], vec!["s3:GetObject", "s3:PutObject"]),
        (
            vec![source, replace, ("x-amz-tagging", "a=b")],
            vec!["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"],
        ),
        (
            vec![("x-amz-copy-source", "abc/plain")],
            vec!["s3:GetObject", "s3:PutObject"],
        ),
        (
            vec![("x-amz-copy-source", "abc/plain?versionId=null")],
            vec!["s3:GetObjectVersion", "s3:PutObject"],
        ),
    ] {
        world.owner("PUT", "/abc/copy", &headers, b"").await;
        assert_eq!(world.actions(), expected, "{headers:?}");
        for (action, resource) in world.asked() {
            let is_source = action.starts_with("s3:Get");
            assert_eq!(resource == "arn:aws:s3:::abc/copy", !is_source, "{action}");
        }
    }
    let tags = b"<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
    world.owner("PUT", "/new4", &[], tags).await;
    let new = "arn:aws:s3:::new4".to_owned();
    assert_eq!(
        world.asked(),
        [
            ("s3:CreateBucket".to_owned(), new.clone()),
            ("s3:TagResource".to_owned(), new)
        ]
    );
    assert_eq!(
        world.values("s3:CreateBucket", "aws:RequestTag/a"),
        Some(vec!["b".to_owned()])
    );
}

type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, Option<&'a str>);

#[tokio::test]
async fn keys_say_what_the_request_says() {
    let world = World::with_object().await;
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let sse = "x-amz-server-side-encryption";
    let kms_key = "x-amz-server-side-encryption-aws-kms-key-id";
    let cases: Vec<Case<'_>> = vec![
        (
            "PUT /abc/n",
            vec![(sse, "AES256")],
            "s3:x-amz-server-side-encryption",
            Some("AES256"),
        ),
        (
            "PUT /abc/n",
            vec![],
            "s3:x-amz-server-side-encryption",
            None,
        ),
        (
            "PUT /abc/n",
            vec![(sse, "nonsense")],
            "s3:x-amz-server-side-encryption",
            Some("nonsense"),
        ),
        (
            "PUT /abc/n",
            vec![(kms_key, id)],
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            Some(KEY_ARN),
        ),
        (
            "PUT /abc/n",
            vec![(kms_key, KEY_ARN)],
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            Some(KEY_ARN),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "%61bc%2Fk")],
            "s3:x-amz-copy-source",
            Some("abc/k"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "/abc/k?versionId=null")],
            "s3:x-amz-copy-source",
            Some("abc/k?versionId=null"),
        ),
        // To who does not copy, a source means nothing.
        (
            "POST /abc/n?uploads",
            vec![("x-amz-copy-source", "abc/k")],
            "s3:x-amz-copy-source",
            None,
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            Some("b"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTagKeys",
            Some("a"),
        ),
        ("PUT /abc/n", vec![], "s3:RequestObjectTagKeys", None),
        // A copy takes its source's tags unless it is told otherwise.
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "abc/k"), ("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            None,
        ),
        (
            "PUT /abc/n",
            vec![("referer", "https://x/")],
            "aws:Referer",
            Some("https://x/"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-acl", "private")],
            "s3:x-amz-acl",
            Some("private"),
        ),
        (
            "PUT /abc/n",
            vec![("if-none-match", "*")],
            "s3:if-none-match",
            Some("*"),
        ),
        ("PUT /abc/n", vec![], "s3:authType", Some("REST-HEADER")),
        ("PUT /abc/n", vec![], "s3:signatureAge", Some("0")),
        (
            "PUT /abc/n",
            vec![],
            "s3:ObjectCreationOperation",
            Some("true"),
        ),
        (
            "POST /abc/n?uploads",
            vec![],
            "s3:ObjectCreationOperation",
            Some("false"),
        ),
        (
            "GET /abc?prefix=a%2F&max-keys=7",
            vec![],
            "s3:prefix",
            Some("a/"),
        ),
        (
            "GET /abc?prefix=a%2F&max-keys=7",
            vec![],
            "s3:max-keys",
            Some("7"),
        ),
        ("GET /abc?prefix=", vec![], "s3:prefix", Some("")),
        ("GET /abc", vec![], "s3:prefix", None),
        ("GET /abc/k?prefix=a", vec![], "s3:prefix", None),
        ("GET /abc?versions&prefix=a", vec![], "s3:prefix", Some("a")),
        (
            "GET /abc?list-type=2&delimiter=d",
            vec![],
            "s3:delimiter",
            Some("d"),
        ),
        ("GET /abc?uploads&prefix=a", vec![], "s3:prefix", Some("a")),
        ("GET /abc?uploads&max-keys=1", vec![], "s3:max-keys", None),
        // What does not list goes by no prefix.
        ("POST /abc?delete&prefix=a", vec![], "s3:prefix", None),
        ("PUT /abc?tagging&prefix=a", vec![], "s3:prefix", None),
        (
            "GET /abc?location&delimiter=d",
            vec![],
            "s3:delimiter",
            None,
        ),
        ("HEAD /abc?max-keys=1", vec![], "s3:max-keys", None),
        (
            "DELETE /abc/none",
            vec![("if-match", "*")],
            "s3:if-match",
            Some("*"),
        ),
        (
            "GET /abc/k",
            vec![("if-none-match", "x")],
            "s3:if-none-match",
            Some("x"),
        ),
        // To who does not go by it, a condition means nothing.
        (
            "POST /abc?delete",
            vec![("if-match", "*")],
            "s3:if-match",
            None,
        ),
        (
            "POST /abc/n?uploads",
            vec![("if-match", "*")],
            "s3:if-match",
            None,
        ),
        (
            "DELETE /abc/none",
            vec![("if-none-match", "*")],
            "s3:if-none-match",
            None,
        ),
        (
            "GET /abc/k?versionId=null",
            vec![],
            "s3:VersionId",
            Some("null"),
        ),
        ("PUT /abc/n?versionId=null", vec![], "s3:VersionId", None),
        // No header is a key that it is not.
        (
            "PUT /abc/n",
            vec![("aws-sourceip", "1.1.1.1")],
            "aws:SourceIp",
            None,
        ),
        ("PUT /abc/n", vec![("s3-prefix", "x")], "s3:prefix", None),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "aws:RequestTag/a",
            None,
        ),
        (
            "GET /abc/k",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            None,
        ),
    ];
    for (target, headers, key, expected) in cases {
        let at = target.split_once(' ').unwrap();
        world.call(&root(OWNER), at, &headers, b"").await;
        let action = world.actions().remove(0);
        let action = if action == "s3:GetObject" && at.0 == "PUT" {
            "s3:PutObject".to_owned()
        } else {
            action
        };
        let found = world.values(&action, key);
        let expected = expected.map(|value| vec![value.to_owned()]);
        assert_eq!(found, expected, "{target} {headers:?} {key}");
    }
}

fn deny(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"Deny","Principal":"*","Action":"{action}","Resource":"arn:aws:s3:::abc/*","Condition":{condition}}}"#
    )
}

#[tokio::test]
async fn policies_that_demand_encryption_headers_bind_root_too() {
    let world = World::with_object().await;
    let aes = ("x-amz-server-side-encryption", "AES256");
    let kms = ("x-amz-server-side-encryption", "aws:kms");
    let arn = ("x-amz-server-side-encryption-aws-kms-key-id", KEY_ARN);
    let alias = ("x-amz-server-side-encryption-aws-kms-key-id", "alias/known");
    let unknown = ("x-amz-server-side-encryption-aws-kms-key-id", "alias/none");
    let customer = ("x-amz-server-side-encryption-customer-algorithm", "AES256");
    let require_kms =
        r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#.to_owned();
    let require_header = r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#.to_owned();
    let require_key = format!(
        r#"{{"StringNotEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    let forbid_key = format!(
        r#"{{"StringEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    let require_customer =
        r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}"#.to_owned();
    let forbid_customer =
        r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"false"}}"#.to_owned();
    let optional_kms = r#"{"Null":{"s3:x-amz-server-side-encryption":"false"},"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#.to_owned();
    let require_tls = r#"{"Bool":{"aws:SecureTransport":"false"}}"#.to_owned();
    let old_tls = r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#.to_owned();
    for (condition, headers, is_denied) in [
        (&require_kms, vec![], true),
        (&require_kms, vec![aes], true),
        (&require_kms, vec![kms], false),
        (&require_header, vec![], true),
        (&require_header, vec![aes], false),
        (&require_key, vec![], true),
        (&require_key, vec![kms], true),
        (&require_key, vec![kms, arn], false),
        (&require_key, vec![kms, alias], false),
        (&require_key, vec![kms, unknown], true),
        (&forbid_key, vec![kms, alias], true),
        (&forbid_key, vec![kms, unknown], true),
        (&forbid_key, vec![], false),
        (&require_customer, vec![], true),
        (&require_customer, vec![customer], false),
        (&forbid_customer, vec![customer], true),
        (&forbid_customer, vec![], false),
        (&optional_kms, vec![], false),
        (&optional_kms, vec![aes], true),
        (&optional_kms, vec![kms], false),
        (&require_tls, vec![], true),
        // Absent on plain HTTP: this alone does not demand TLS.
        (&old_tls, vec![], false),
    ] {
        world.set_policy(&deny("s3:PutObject", condition)).await;
        for at in [("PUT", "/abc/n"), ("POST", "/abc/n?uploads")] {
            let told = world.call(&root(OWNER), at, &headers, b"").await;
            let got = (told.status == 403, told.code == "AccessDenied");
            assert_eq!(
                got,
                (is_denied, is_denied),
                "{condition} {headers:?} {}",
                told.body
            );
        }
    }
    world
        .set_policy(&deny("s3:PutObject", &require_header))
        .await;
    let told = world.call(&root(OWNER), ("PUT", "/abc/n"), &[], b"").await;
    assert_eq!(
        told.message,
        "User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutObject on \
         resource: &quot;arn:aws:s3:::abc/n&quot; with an explicit deny in a resource-based policy"
    );
}

#[tokio::test]
async fn an_upload_goes_on_as_it_was_begun() {
    let world = World::with_object().await;
    let condition = r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#;
    let begin = async |headers: &[(&str, &str)]| {
        let told = world.owner("POST", "/abc/n?uploads", headers, b"").await;
        element(&told.body, "UploadId")
    };
    let aes = [("x-amz-server-side-encryption", "AES256")];
    let (plain, marked) = (begin(&[]).await, begin(&aes).await);
    world.set_policy(&deny("s3:PutObject", condition)).await;
    for (upload, headers, status) in [
        (&marked, &[][..], 200),
        (&plain, &[][..], 403),
        // What was not said when it was begun cannot be said now.
        (&plain, &aes[..], 403),
    ] {
        let target = format!("/abc/n?partNumber=1&uploadId={upload}");
        let told = world
            .call(&root(OWNER), ("PUT", &target), headers, b"x")
            .await;
        assert_eq!(told.status, status, "{headers:?} {}", told.body);
    }
    // A customer's key is spoken of by each request.
    let condition = r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}"#;
    world.set_policy(&deny("s3:PutObject", condition)).await;
    let target = format!("/abc/n?partNumber=1&uploadId={marked}");
    let told = world.call(&root(OWNER), ("PUT", &target), &[], b"x").await;
    assert_eq!(told.code, "AccessDenied");
}

#[tokio::test]
async fn the_tags_of_an_object_decide_where_a_policy_asks_for_them() {
    let world = World::with_object().await;
    let secret = [("x-amz-tagging", "class=secret")];
    world.owner("PUT", "/abc/s", &secret, b"x").await;
    let reader = world.set_user(
        "reader",
        r#"{"Effect":"Allow","Action":["s3:GetObject*","s3:DeleteObject*"],"Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"open"}}}"#,
    );
    for (at, status) in [
        (("GET", "/abc/k"), 200),
        (("HEAD", "/abc/k"), 200),
        (("GET", "/abc/k?versionId=null"), 200),
        (("GET", "/abc/k?tagging"), 200),
        (("GET", "/abc/s"), 403),
        (("GET", "/abc/s?versionId=null"), 403),
        (("GET", "/abc/none"), 403),
        (("DELETE", "/abc/k"), 403),
    ] {
        let told = world.call(&reader, at, &[], b"").await;
        assert_eq!(told.status, status, "{at:?} {}", told.body);
    }
    let guarded = r#"{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}}"#;
    world.set_policy(guarded).await;
    let get = async |target| {
        world
            .call(&root(OWNER), ("GET", target), &[], b"")
            .await
            .status
    };
    assert_eq!((get("/abc/k").await, get("/abc/s").await), (200, 403));
}

#[tokio::test]
async fn tags_whose_names_differ_in_case_hide_no_value() {
    let world = World::with_object().await;
    let tags = "class=secret&Class=open";
    world
        .owner("PUT", "/abc/s", &[("x-amz-tagging", tags)], b"x")
        .await;
    let values = Some(["secret", "open"].map(str::to_owned).to_vec());
    let mut got = world.values("s3:PutObject", "s3:RequestObjectTag/CLASS");
    got.as_mut().unwrap().sort_by(|a, b| b.cmp(a));
    assert_eq!(got, values);
    for wanted in ["secret", "open"] {
        let guarded = deny(
            "s3:GetObject",
            &format!(r#"{{"StringEquals":{{"s3:ExistingObjectTag/class":"{wanted}"}}}}"#),
        );
        world.set_policy(&guarded).await;
        let told = world.call(&root(OWNER), ("GET", "/abc/s"), &[], b"").await;
        assert_eq!(told.status, 403, "{wanted}");
    }
}

#[tokio::test]
async fn nobody_learns_the_tags_of_objects_from_denials() {
    let world = World::with_object().await;
    let secret = [("x-amz-tagging", "class=secret")];
    world.owner("PUT", "/abc/s", &secret, b"x").await;
    let curious = |value: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}},{{"Sid":"Guess","Effect":"Deny","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"s3:ExistingObjectTag/class":"{value}"}}}}}}"#
        )
    };
    // The first eight bytes of the id that requests have here.
    let id = 9_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let ask = async |account: &str, guess: &str, target: &str| {
        world.set_user("curious", &curious(guess));
        let told = world
            .call(&user(account, "curious"), ("GET", target), &[], b"")
            .await;
        assert_eq!(told.status, 403);
        world.denials.take(id).unwrap().message
    };
    let own = ask(OWNER, "other", "/abc/s").await;
    assert!(!own.contains("secret"), "{own}");
    let right = ask(OTHER, "secret", "/abc/s").await;
    assert!(
        !right.contains("secret") && !right.contains("Guess"),
        "{right}"
    );
    assert_eq!(right, ask(OTHER, "wrong", "/abc/s").await);
    let other_object = ask(OTHER, "secret", "/abc/k").await;
    assert_eq!(right, other_object.replace("/k\"", "/s\""));
}

#[tokio::test]
async fn what_was_let_in_by_tags_is_not_done_to_an_object_with_others() {
    let world = World::with_object().await;
    world.set_user(
        "reader",
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"open"}}}"#,
    );
    let context = Arc::new(RequestContext {
        request_id: RequestId::random(&Counting(AtomicU64::new(9))),
        received: Fixed.now(),
        principal: user(OWNER, "reader"),
        canonical_id: None,
        access_key_id: None,
        session: None,
        via_service: None,
        region: Region::parse("us-east-1").unwrap(),
        source_ip: Ipv4Addr::LOCALHOST.into(),
        transport: Transport::Plain,
        user_agent: None,
        sent: None,
    });
    let bucket = BucketName::parse("abc").unwrap();
    let key = ObjectKey::parse("k").unwrap();
    let s3 = &world.s3;
    let get = || s3.enter_version::<GetObject>(context.clone(), &bucket, &key, None, None);
    let get_tags =
        || s3.enter_version::<GetObjectTagging>(context.clone(), &bucket, &key, None, None);
    let put_tags =
        || s3.enter_version::<PutObjectTagging>(context.clone(), &bucket, &key, None, None);
    let (read, listed, changed) = (get().unwrap(), get_tags().unwrap(), put_tags().unwrap());
    assert!(
        s3.head_object(get().unwrap(), GetObjectInput::default())
            .is_ok()
    );
    let tagging =
        br"<Tagging><TagSet><Tag><Key>class</Key><Value>secret</Value></Tag></TagSet></Tagging>";
    world.owner("PUT", "/abc/k?tagging", &[], tagging).await;
    let outcomes = [
        s3.head_object(read, GetObjectInput::default()).err(),
        s3.get_object_tagging(listed, None).err(),
        s3.put_object_tagging(changed, None, TagSet::default())
            .err(),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Some(S3Error::Contention)), "{outcome:?}");
    }
    assert!(matches!(get(), Err(S3Error::AccessDenied(_))));
}

#[tokio::test]
async fn aliases_of_other_accounts_are_not_looked_up_and_busy_keys_are_no_denial() {
    let world = World::with_object().await;
    let condition = format!(
        r#"{{"StringNotEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    world.set_policy(&deny("s3:PutObject", &condition)).await;
    let ask = async |alias: &str| {
        let kms = ("x-amz-server-side-encryption", "aws:kms");
        let key = ("x-amz-server-side-encryption-aws-kms-key-id", alias);
        let told = world
            .call(&root(OWNER), ("PUT", "/abc/n"), &[kms, key], b"x")
            .await;
        (told.status, told.code)
    };
    let denied = (403, "AccessDenied".to_owned());
    let foreign = ask("arn:aws:kms:us-east-1:444455556666:alias/known").await;
    assert_eq!(foreign, denied);
    assert_eq!(
        foreign,
        ask("arn:aws:kms:us-east-1:444455556666:alias/none").await
    );
    assert_ne!(
        ask("arn:aws:kms:us-east-1:111122223333:alias/known").await,
        denied
    );
    assert_eq!(ask("alias/none").await, denied);
    for alias in ["alias/busy", "alias/away"] {
        assert_eq!(ask(alias).await.0, 503, "{alias}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_to_those_who_may_list() {
    let world = World::with_object().await;
    let get = r#"{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion","s3:PutObject"],"Resource":"*"}"#;
    let list = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::abc"}"#;
    let blind = world.set_user("blind", get);
    let seeing = world.set_user("seeing", &format!("{get},{list}"));
    let source = [("x-amz-copy-source", "/abc/none")];
    for (at, headers) in [
        (("GET", "/abc/none"), &[][..]),
        (("HEAD", "/abc/none"), &[][..]),
        (("GET", "/abc/none?versionId=null"), &[][..]),
        (("PUT", "/abc/n"), &source[..]),
    ] {
        let told = world.call(&blind, at, headers, b"").await;
        assert_eq!(told.status, 403, "{at:?} {}", told.body);
        let told = world.call(&seeing, at, headers, b"").await;
        assert_eq!(told.status, 404, "{at:?} {}", told.body);
    }
    let told = world.call(&blind, ("GET", "/abc/none"), &[], b"").await;
    assert!(
        told.message.contains("s3:ListBucket on resource: &quot;arn:aws:s3:::abc&quot; because no identity-based policy"),
        "{}",
        told.message
    );
}

#[tokio::test]
async fn what_is_missing_is_told_by_no_other_operation_either() {
    let world = World::with_object().await;
    world.owner("PUT", "/other", &[], b"").await;
    let act = r#"{"Effect":"Allow","Action":["s3:*Object","s3:GetObject*","s3:*ObjectTagging","s3:*ObjectAcl","s3:*ObjectEncryption"],"Resource":"*"}"#;
    let list = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::abc"}"#;
    let blind = world.set_user("blind", act);
    let seeing = world.set_user("seeing", &format!("{act},{list}"));
    let tags: &[u8] =
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let encryption = format!(
        "<ObjectEncryption><SSE-KMS><KMSKeyArn>{KEY_ARN}</KMSKeyArn></SSE-KMS></ObjectEncryption>"
    );
    let etag = [("if-match", "\"e\"")];
    let copy_onto = [("x-amz-copy-source", "/abc/k"), ("if-match", "\"e\"")];
    for (at, headers, body) in [
        (("GET", "/abc/none?tagging"), &[][..], &b""[..]),
        (("PUT", "/abc/none?tagging"), &[][..], tags),
        (("DELETE", "/abc/none?tagging"), &[][..], b""),
        (("GET", "/abc/none?acl"), &[][..], b""),
        (("GET", "/abc/none?retention"), &[][..], b""),
        (("GET", "/abc/none?legal-hold"), &[][..], b""),
        (
            ("PUT", "/abc/none?encryption"),
            &[][..],
            encryption.as_bytes(),
        ),
        (("PUT", "/abc/none"), &etag[..], b"x"),
        (("DELETE", "/abc/none"), &etag[..], b""),
        (("PUT", "/abc/none"), &copy_onto[..], b""),
    ] {
        let told = world.call(&blind, at, headers, body).await;
        assert_eq!(told.status, 403, "{at:?} {}", told.body);
        assert!(told.message.contains("s3:ListBucket"), "{}", told.message);
        let told = world.call(&seeing, at, headers, body).await;
        assert_eq!((told.status, &*told.code), (404, "NoSuchKey"), "{at:?}");
    }
    // Who may list the source may not therefore list where the copy goes.
    let told = world
        .call(&seeing, ("PUT", "/other/none"), &copy_onto, b"")
        .await;
    assert!(told.message.contains("arn:aws:s3:::other"), "{}", told.body);
    // Many at once: told key by key.
    let document = br#"<Delete><Object><Key>none</Key><ETag>"e"</ETag></Object></Delete>"#;
    for (caller, code) in [(&blind, "AccessDenied"), (&seeing, "NoSuchKey")] {
        let told = world
            .call(caller, ("POST", "/abc?delete"), &[], document)
            .await;
        assert_eq!(told.code, code, "{}", told.body);
    }
}

#[tokio::test]
async fn deletes_by_etag_are_reads_key_by_key() {
    let world = World::with_object().await;
    let document = br#"<Delete><Object><Key>a</Key><ETag>"e"</ETag></Object>
        <Object><Key>b</Key><ETag> * </ETag></Object><Object><Key>c</Key></Object></Delete>"#;
    let header = [("if-match", "ignored")];
    world.owner("POST", "/abc?delete", &header, document).await;
    let asked = world.authorizer.asked.lock().unwrap();
    let asked: Vec<_> = asked
        .iter()
        .filter(|((action, _), _)| action != "s3:ListBucket")
        .skip(1)
        .map(|((action, on), conditions)| {
            let etag = conditions.get("s3:if-match").map(<[String]>::concat);
            (&**action, on.rsplit('/').next().unwrap(), etag)
        })
        .collect();
    let etag = |etag: &str| Some(etag.to_owned());
    assert_eq!(
        asked,
        [
            ("s3:DeleteObject", "a", etag("\"e\"")),
            ("s3:GetObject", "a", etag("\"e\"")),
            ("s3:DeleteObject", "b", etag("*")),
            ("s3:DeleteObject", "c", None),
        ]
    );
}

#[tokio::test]
async fn conditions_by_etag_need_the_right_to_read() {
    let world = World::with_object().await;
    let writer = world.set_user(
        "writer",
        r#"{"Effect":"Allow","Action":["s3:PutObject","s3:DeleteObject","s3:ListBucket"],"Resource":"*"}"#,
    );
    let upload = world.owner("POST", "/abc/k?uploads", &[], b"").await;
    let complete = format!("/abc/k?uploadId={}", element(&upload.body, "UploadId"));
    let etag = [("if-match", "\"e\"")];
    for at in [("PUT", "/abc/k"), ("DELETE", "/abc/k"), ("POST", &complete)] {
        let told = world.call(&writer, at, &etag, b"").await;
        assert_eq!(told.code, "AccessDenied", "{at:?} {}", told.body);
        assert!(told.message.contains("s3:GetObject"), "{}", told.message);
    }
    let document = br#"<Delete><Object><Key>k</Key><ETag>"e"</ETag></Object></Delete>"#;
    let told = world
        .call(&writer, ("POST", "/abc?delete"), &[], document)
        .await;
    assert_eq!(told.code, "AccessDenied", "{}", told.body);
    // That it is there is not what is in it.
    let any = [("if-match", "*")];
    for at in [("PUT", "/abc/k"), ("DELETE", "/abc/k")] {
        let told = world.call(&writer, at, &any, b"").await;
        assert!(told.status < 300, "{at:?} {}", told.body);
    }
}

#[tokio::test]
async fn to_change_an_objects_key_is_to_write_it() {
    let world = World::with_object().await;
    let body = format!(
        "<ObjectEncryption><SSE-KMS><KMSKeyArn>{KEY_ARN}</KMSKeyArn></SSE-KMS></ObjectEncryption>"
    );
    let at = ("PUT", "/abc/k?encryption");
    let half = world.set_user(
        "half",
        r#"{"Effect":"Allow","Action":"s3:UpdateObjectEncryption","Resource":"*"}"#,
    );
    let told = world.call(&half, at, &[], body.as_bytes()).await;
    assert!(told.message.contains("s3:PutObject"), "{}", told.body);
    let both = world.set_user(
        "both",
        r#"{"Effect":"Allow","Action":["s3:UpdateObjectEncryption","s3:PutObject"],"Resource":"*"}"#,
    );
    // The key is one that nobody has.
    let told = world.call(&both, at, &[], body.as_bytes()).await;
    assert_ne!(told.code, "AccessDenied", "{}", told.body);
    let actions = ["s3:UpdateObjectEncryption", "s3:PutObject"];
    assert_eq!(world.actions(), actions);
    let sse = "s3:x-amz-server-side-encryption";
    let value = world.values("s3:PutObject", sse);
    assert_eq!(value, Some(vec!["aws:kms".to_owned()]));
    let value = world.values("s3:PutObject", &format!("{sse}-aws-kms-key-id"));
    assert_eq!(value, Some(vec![KEY_ARN.to_owned()]));
}

#[tokio::test]
async fn the_tags_that_a_copy_takes_along_are_tags_of_the_request() {
    let world = World::with_object().await;
    let source = ("x-amz-copy-source", "/abc/k");
    let replace = ("x-amz-tagging-directive", "REPLACE");
    world.owner("PUT", "/abc/copy", &[source], b"").await;
    for action in ["s3:PutObject", "s3:PutObjectTagging"] {
        let value = world.values(action, "s3:RequestObjectTag/class");
        assert_eq!(value, Some(vec!["open".to_owned()]), "{action}");
        let keys = world.values(action, "s3:RequestObjectTagKeys");
        assert_eq!(keys, Some(vec!["class".to_owned()]), "{action}");
    }
    let condition = r#"{"StringEquals":{"s3:RequestObjectTag/class":"open"}}"#;
    for action in ["s3:PutObject", "s3:PutObjectTagging"] {
        world.set_policy(&deny(action, condition)).await;
        let at = ("PUT", "/abc/copy");
        let told = world.call(&root(OWNER), at, &[source], b"").await;
        assert_eq!(told.code, "AccessDenied", "{action}");
        world
            .owner("PUT", "/abc/copy", &[source, replace], b"")
            .await;
    }
}

/// A form for `abc/k`, signed a minute ago, with these fields more.
fn signed_form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mac = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let scope = "20130523/us-east-1/s3/aws4_request";
    let credential = format!("{FORM_KEY_ID}/{scope}");
    let mut fields = fields.to_vec();
    fields.extend([
        ("key", "k"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", "20130523T235900Z"),
    ]);
    let conditions: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!(r#"{{"{name}":"{value}"}}"#))
        .collect();
    let policy = STANDARD.encode(format!(
        r#"{{"expiration":"2013-05-24T01:00:00Z","conditions":[{{"bucket":"abc"}},{}]}}"#,
        conditions.join(",")
    ));
    let key = scope
        .split('/')
        .fold(format!("AWS4{FORM_SECRET}").into_bytes(), |key, part| {
            mac(&key, part)
        });
    let signature = hex::encode(mac(&key, &policy));
    fields.extend([("policy", &*policy), ("x-amz-signature", &signature)]);
    fields
        .iter()
        .map(|(name, value)| format!("name=\"{name}\"\r\n\r\n{value}"))
        .chain(["name=\"file\"\r\n\r\ndata".to_owned()])
        .map(|part| format!("--x\r\nContent-Disposition: form-data; {part}\r\n"))
        .chain(["--x--\r\n".to_owned()])
        .collect::<String>()
        .into_bytes()
}

#[tokio::test]
async fn a_form_says_when_it_was_signed_and_not_what_nobody_verifies() {
    let world = World::with_object().await;
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let at = ("POST", "/abc");
    let body = signed_form(&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]);
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.status, 204, "{}", told.body);
    for (key, expected) in [
        ("s3:authType", Some("POST")),
        ("s3:signatureAge", Some("60000")),
        ("s3:x-amz-content-sha256", None),
    ] {
        let value = world.values("s3:PutObject", key);
        assert_eq!(value, expected.map(|value| vec![value.to_owned()]), "{key}");
    }
    let condition = r#"{"NumericGreaterThan":{"s3:signatureAge":"59999"}}"#;
    world.set_policy(&deny("s3:PutObject", condition)).await;
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.code, "AccessDenied", "{}", told.body);
    // A condition on an ETag binds a form as any other write.
    let body = signed_form(&[("if-match", "*")]);
    world.owner("DELETE", "/abc?policy", &[], b"").await;
    world.owner("DELETE", "/abc/k", &[], b"").await;
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.code, "NoSuchKey", "{}", told.body);
    assert_eq!(world.actions(), ["s3:PutObject", "s3:ListBucket"]);
}

#[tokio::test]
async fn many_keys_are_each_decided_about() {
    let world = World::with_object().await;
    let deleter = world.set_user(
        "deleter",
        r#"{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::abc/mine/*"}"#,
    );
    let document = b"<Delete><Object><Key>mine/a</Key></Object><Object><Key>k</Key></Object>\
        <Object><Key>mine/a</Key><VersionId>null</VersionId></Object></Delete>";
    let told = world
        .call(&deleter, ("POST", "/abc?delete"), &[], document)
        .await;
    assert_eq!(told.status, 200);
    assert_eq!(
        world.asked()[1..],
        [
            (
                "s3:DeleteObject".to_owned(),
                "arn:aws:s3:::abc/mine/a".to_owned()
            ),
            (
                "s3:DeleteObject".to_owned(),
                "arn:aws:s3:::abc/k".to_owned()
            ),
            (
                "s3:DeleteObjectVersion".to_owned(),
                "arn:aws:s3:::abc/mine/a".to_owned()
            ),
        ]
    );
    assert_eq!(
        told.body.matches("<Code>AccessDenied</Code>").count(),
        2,
        "{}",
        told.body
    );
    assert_eq!(told.body.matches("<Deleted>").count(), 1);
}

const ALLOW_ALL: &str = r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::abc/*"}"#;

async fn open(world: &World) {
    world
        .owner("DELETE", "/abc?publicAccessBlock", &[], b"")
        .await;
    world.set_policy(ALLOW_ALL).await;
}

#[tokio::test]
async fn nobody_may_what_a_policy_gives_to_everybody() {
    let world = World::with_object().await;
    let nobody = Principal::Anonymous;
    let get = ("GET", "/abc/k");
    assert_eq!(
        world.call(&nobody, get, &[], b"").await.message,
        "Access Denied"
    );
    open(&world).await;
    assert_eq!(world.call(&nobody, get, &[], b"").await.body, "plaintext");
    assert_eq!(
        world
            .call(&nobody, ("PUT", "/abc/new"), &[], b"x")
            .await
            .status,
        200
    );
    for at in [
        ("GET", "/abc"),
        ("GET", "/"),
        ("GET", "/abc?policy"),
        ("PUT", "/abc/k?tagging"),
        ("DELETE", "/abc"),
    ] {
        let told = world.call(&nobody, at, &[], b"").await;
        assert_eq!(
            (told.status, &*told.message),
            (403, "Access Denied"),
            "{at:?}"
        );
    }
    let document = b"<Delete><Object><Key>new</Key></Object></Delete>";
    let told = world
        .call(&nobody, ("POST", "/abc?delete"), &[], document)
        .await;
    assert!(told.body.contains("<Deleted>"), "{}", told.body);
    // Longer documents are not read for nobody's sake.
    let long = vec![b' '; 70_000];
    let told = world
        .call(&nobody, ("POST", "/abc?delete"), &[], &long)
        .await;
    assert_eq!(told.status, 400, "{}", told.body);
    let told = world
        .call(&nobody, ("POST", "/abc/k?uploads"), &[], b"")
        .await;
    assert_eq!(told.status, 200, "{}", told.body);
}

#[tokio::test]
async fn a_public_policy_serves_only_the_owner_once_public_buckets_are_restricted() {
    let world = World::with_object().await;
    open(&world).await;
    let stranger = root(OTHER);
    let get = ("GET", "/abc/k");
    assert_eq!(world.call(&stranger, get, &[], b"").await.status, 200);
    let restrict = b"<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    world
        .owner("PUT", "/abc?publicAccessBlock", &[], restrict)
        .await;
    for caller in [Principal::Anonymous, stranger.clone()] {
        let told = world.call(&caller, get, &[], b"").await;
        assert_eq!(told.message, "Access Denied");
    }
    world.set_user(
        "member",
        r#"{"Effect":"Allow","Action":"sts:*","Resource":"*"}"#,
    );
    let member = user(OWNER, "member");
    assert_eq!(world.call(&member, get, &[], b"").await.status, 200);
    // Not public: the named account is served.
    let named = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}}"#
    );
    world.set_policy(&named).await;
    assert_eq!(world.call(&stranger, get, &[], b"").await.status, 200);
}

#[tokio::test]
async fn new_buckets_refuse_public_policies() {
    let world = World::with_object().await;
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{ALLOW_ALL}]}}"#);
    let put = ("PUT", "/abc?policy");
    let told = world.call(&root(OWNER), put, &[], policy.as_bytes()).await;
    assert_eq!(
        told.message,
        "User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutBucketPolicy on \
         resource: &quot;arn:aws:s3:::abc&quot; because public policies are blocked by the \
         BlockPublicPolicy block public access setting."
    );
    assert_eq!(told.code, "AccessDenied");
    let get = world
        .call(&root(OWNER), ("GET", "/abc?policy"), &[], b"")
        .await;
    assert_eq!(get.code, "NoSuchBucketPolicy");
}

#[tokio::test]
async fn a_policy_is_put_shown_and_removed() {
    let world = World::with_object().await;
    let owner = root(OWNER);
    let told = world
        .call(&owner, ("GET", "/abc?policyStatus"), &[], b"")
        .await;
    assert_eq!((told.status, &*told.code), (404, "NoSuchBucketPolicy"));
    world.set_user(
        "alice",
        r#"{"Effect":"Allow","Action":"sts:*","Resource":"*"}"#,
    );
    let policy = r#"{ "Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}]}"#;
    let put = world
        .owner("PUT", "/abc?policy", &[], policy.as_bytes())
        .await;
    assert_eq!(put.status, 204);
    let shown = world.owner("GET", "/abc?policy", &[], b"").await;
    assert_eq!(shown.body, policy);
    assert_eq!(shown.headers["content-type"], "application/json");
    let status = world.owner("GET", "/abc?policyStatus", &[], b"").await;
    assert!(
        status.body.contains("<IsPublic>false</IsPublic>"),
        "{}",
        status.body
    );
    let alice = user(OWNER, "alice");
    assert_eq!(
        world.call(&alice, ("GET", "/abc/k"), &[], b"").await.status,
        200
    );
    // Who is made again under her name is somebody else.
    world.users.0.lock().unwrap().remove("alice");
    let shown = world.owner("GET", "/abc?policy", &[], b"").await;
    assert!(shown.body.contains(r#""AWS":"alice""#), "{}", shown.body);
    assert_eq!(
        world.owner("DELETE", "/abc?policy", &[], b"").await.status,
        204
    );
    assert_eq!(
        world.owner("DELETE", "/abc?policy", &[], b"").await.status,
        204
    );
    let told = world.call(&owner, ("GET", "/abc?policy"), &[], b"").await;
    assert_eq!(told.code, "NoSuchBucketPolicy");
    let told = world
        .call(&owner, ("PUT", "/abc?policy"), &[], b"not json")
        .await;
    assert_eq!(
        (told.status, &*told.code, &*told.message),
        (
            400,
            "MalformedPolicy",
            "Policies must be valid JSON and the first byte must be '{'"
        )
    );
    // With the bucket goes its policy.
    world
        .owner("PUT", "/abc?policy", &[], deny_policy().as_bytes())
        .await;
    world.owner("DELETE", "/abc/k", &[], b"").await;
    world.owner("DELETE", "/abc", &[], b"").await;
    world.owner("PUT", "/abc", &[], b"").await;
    let told = world.call(&owner, ("GET", "/abc?policy"), &[], b"").await;
    assert_eq!(told.code, "NoSuchBucketPolicy");
}

fn deny_policy() -> String {
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutBucket*","Resource":"arn:aws:s3:::abc"}]}"#.to_owned()
}

#[tokio::test]
async fn only_root_mends_a_policy_that_shuts_everybody_out() {
    let world = World::with_object().await;
    let admin = world.set_user(
        "admin",
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
    );
    let put = ("PUT", "/abc?policy");
    let policy = deny_policy();
    let told = world.call(&admin, put, &[], policy.as_bytes()).await;
    assert_eq!(
        (told.status, &*told.code),
        (400, "MalformedPolicy"),
        "{}",
        told.body
    );
    let confirmed = [("x-amz-confirm-remove-self-bucket-access", "true")];
    let told = world.call(&admin, put, &confirmed, policy.as_bytes()).await;
    assert_eq!(told.status, 204, "{}", told.body);
    let told = world
        .call(&root(OWNER), ("PUT", "/abc?versioning"), &[], b"<x/>")
        .await;
    assert_eq!(told.code, "AccessDenied");
    world
        .owner("PUT", "/abc?policy", &[], policy.as_bytes())
        .await;
    world.owner("DELETE", "/abc?policy", &[], b"").await;
}

#[tokio::test]
async fn a_policy_that_is_damaged_or_missing_leaves_root_its_repair() {
    let rows = || Scan {
        table: Table::BUCKET_POLICIES,
        start: bytes::Bytes::new(),
        end: None,
        limit: 1,
        reverse: false,
    };
    for is_missing in [true, false] {
        for repair in ["PUT /abc?policy", "DELETE /abc?policy", "DELETE /abc"] {
            let world = World::new();
            world.owner("PUT", "/abc", &[], b"").await;
            let admin = world.set_user(
                "admin",
                r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
            );
            let policy = deny_policy();
            world
                .owner("PUT", "/abc?policy", &[], policy.as_bytes())
                .await;
            let row_key = world.meta.scan(&rows()).unwrap().rows.remove(0).key;
            let transaction = Transaction::new();
            let transaction = if is_missing {
                transaction.delete(Table::BUCKET_POLICIES, row_key)
            } else {
                transaction.put(Table::BUCKET_POLICIES, row_key, b"damaged".to_vec())
            };
            // Not on the thread of the test, which may not wait.
            let meta = world.meta.clone();
            let committing = std::thread::spawn(move || meta.commit(transaction).wait());
            committing.join().unwrap().unwrap();
            let at = repair.split_once(' ').unwrap();
            let body = if at.0 == "PUT" {
                policy.as_bytes()
            } else {
                b""
            };
            for (who, at) in [
                (&admin, at),
                (&root(OTHER), at),
                (&root(OWNER), ("GET", "/abc?location")),
            ] {
                let told = world.call(who, at, &[], body).await;
                assert_eq!(told.status, 500, "{who:?} {at:?} {}", told.body);
            }
            world.owner(at.0, at.1, &[], body).await;
        }
    }
}

#[tokio::test]
async fn no_policy_hands_the_policy_to_another_account() {
    let world = World::with_object().await;
    let all = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"s3:*","Resource":["arn:aws:s3:::abc","arn:aws:s3:::abc/*"]}}"#
    );
    world.set_policy(&all).await;
    let stranger = root(OTHER);
    assert_eq!(
        world
            .call(&stranger, ("GET", "/abc/k"), &[], b"")
            .await
            .status,
        200
    );
    for method in ["GET", "PUT", "DELETE"] {
        let told = world
            .call(&stranger, (method, "/abc?policy"), &[], b"{}")
            .await;
        assert_eq!(
            (told.status, &*told.code),
            (405, "MethodNotAllowed"),
            "{method}"
        );
    }
}
