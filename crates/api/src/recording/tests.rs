//! Every call of every table leaves exactly one record, without a secret in it, or no answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Map, Value, json};
use strongroom_audit::service::{CloudTrail, CloudTrailPorts, DeliveryTarget, TargetProblem};
use strongroom_audit::trails::{SigningKeys, Trail, Trails};
use strongroom_audit::{AuditLog, Event, Home, is_hidden};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_iam::{IamService, IamServicePorts, Identities, PrimaryAccount};
use strongroom_kms::{KeyService, KeyServiceOptions, KeyServicePorts};
use strongroom_policy::PolicyAuthorizer;
use strongroom_ports::{
    Clock, CommitError, Entropy, MetaError, MetaStore, PendingCommit, Scan, ScanPage, Stored,
    Table, Transaction,
};
use strongroom_rows::{Custody, SealedRows};
use strongroom_s3::{S3, S3Options, S3Ports};
use strongroom_store::{MemoryBlobs, MemoryMeta, MemoryShreds};
use strongroom_types::{
    AccessKeyId, AccountId, CanonicalId, Principal, Region, RequestContext, Timestamp, TlsVersion,
    Transport,
};

use super::Recorder;
use crate::Front;
use crate::cloudtrail::CloudTrailApi;
use crate::iam::{IamApi, IamApiOptions, IamCredentials};
use crate::json::{Length, Member, Shape};
use crate::kms::{KmsApi, KmsApiOptions};
use crate::s3::{ResponseBody, S3Api, S3ApiOptions};
use crate::server::ConnectionInfo;
use crate::sigv4::{Credential, CredentialSource, SigningSecret, Verifier};
use crate::sts::StsApi;

const ACCOUNT: &str = "111122223333";
const ROOT_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const ROOT_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: Timestamp = Timestamp::from_seconds(1_369_353_600);
const CANARY: &str = "canaryCANARY0123";

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Distinct bytes, the same in every run.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let hash = digest::digest(&digest::SHA256, &number);
            chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
        }
    }
}

/// A store that takes no commits any more when it is told so.
struct Breakable {
    inner: MemoryMeta,
    is_broken: AtomicBool,
}

impl MetaStore for Breakable {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.inner.read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        self.inner.scan(scan)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        if self.is_broken.load(Ordering::Relaxed) {
            return PendingCommit::ready(Err(CommitError::NoSpace));
        }
        self.inner.commit(transaction)
    }
}

struct RootKey(Arc<Credential>);

impl CredentialSource for RootKey {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (id.as_str() == ROOT_KEY).then(|| self.0.clone())
    }
}

/// No bucket takes what a trail delivers.
struct Nowhere;

impl DeliveryTarget for Nowhere {
    fn key_arn(&self, _: &RequestContext, _: &str) -> Result<String, TargetProblem> {
        Err(TargetProblem::Unavailable)
    }

    fn check(&self, _: &Trail) -> Result<(), TargetProblem> {
        Err(TargetProblem::Unavailable)
    }
}

struct World {
    front: Front,
    recorder: Arc<Recorder>,
    meta: Arc<Breakable>,
    rows: SealedRows,
    clock: Arc<TestClock>,
    log: AuditLog,
}

/// Who signs.
#[derive(Clone)]
struct Keys {
    id: String,
    secret: String,
}

struct Told {
    status: u16,
    request_id: String,
    body: String,
}

fn region() -> Region {
    Region::parse("us-east-1").unwrap()
}

fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

fn root() -> Keys {
    Keys {
        id: ROOT_KEY.to_owned(),
        secret: ROOT_SECRET.to_owned(),
    }
}

impl World {
    fn new() -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(0)));
        let clock = Arc::new(TestClock(AtomicU64::new(NOW.as_millis())));
        let (ring, _) = Keyring::<Unsealed>::create(NOW, &*entropy);
        let custody = Arc::new(Custody::new(Arc::new(ring)));
        let meta = Arc::new(Breakable {
            inner: MemoryMeta::new(),
            is_broken: AtomicBool::new(false),
        });
        let rows = SealedRows {
            meta: meta.clone(),
            custody: custody.clone(),
            entropy: entropy.clone(),
        };
        let home = Home {
            account: account(),
            region: region(),
        };
        let log = AuditLog::new(rows.clone(), clock.clone(), home);
        let canonical_id = CanonicalId::parse(&"a1".repeat(32)).unwrap();
        let primary = PrimaryAccount {
            id: account(),
            canonical_id: canonical_id.clone(),
        };
        let identities = Arc::new(Identities::open(rows.clone(), &primary, NOW).unwrap());
        let authorizer = Arc::new(PolicyAuthorizer::new(identities.clone()));
        let iam_ports = IamServicePorts {
            rows: rows.clone(),
            authorizer: authorizer.clone(),
            audit: log.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let iam = Arc::new(IamService::new(iam_ports, identities.clone()));
        let kms_ports = KeyServicePorts {
            rows: rows.clone(),
            shreds: Arc::new(MemoryShreds::new()),
            authorizer: authorizer.clone(),
            principals: identities.clone(),
            audit: log.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let kms_options = KeyServiceOptions {
            danger_trust_clock: false,
            region: region(),
        };
        let kms = Arc::new(KeyService::new(kms_ports, kms_options));
        let s3_ports = S3Ports {
            meta: meta.clone(),
            blobs: Arc::new(MemoryBlobs::new()),
            custody,
            keys: kms.clone(),
            authorizer: authorizer.clone(),
            principals: identities.clone(),
            audit: Arc::new(log.clone()),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let s3_options = S3Options {
            region: region(),
            block_sse_c_on_new_buckets: false,
            danger_keys_over_plain_http: false,
            inline_max_bytes: 4096,
            bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
        };
        let s3 = Arc::new(S3::new(s3_ports, s3_options));
        let root_key = RootKey(Arc::new(Credential {
            access_key_id: AccessKeyId::parse(ROOT_KEY).unwrap(),
            secret: SigningSecret::new(ROOT_SECRET),
            principal: Principal::Root { account: account() },
            canonical_id,
            session_token: None,
        }));
        let credentials = Arc::new(IamCredentials::new(Arc::new(root_key), identities));
        let verifier = || Verifier::new(region(), clock.clone(), credentials.clone());
        let recorder = Arc::new(Recorder::new(log.clone()));
        let cloudtrail = CloudTrail::new(CloudTrailPorts {
            trails: Trails::new(log.clone()),
            signer: Arc::new(SigningKeys::new(rows.clone())),
            target: Arc::new(Nowhere),
            authorizer,
            digests_under_key: false,
        });
        let front = Front::new(
            S3Api::new(
                s3,
                verifier(),
                S3ApiOptions::new(region()),
                clock.clone(),
                entropy.clone(),
                recorder.clone(),
            ),
            KmsApi::new(
                kms,
                verifier(),
                KmsApiOptions {
                    region: region(),
                    danger_keys_over_plain_http: false,
                },
                clock.clone(),
                entropy.clone(),
                recorder.clone(),
            ),
            IamApi::new(
                iam.clone(),
                verifier(),
                iam_options(),
                clock.clone(),
                entropy.clone(),
                recorder.clone(),
            ),
            StsApi::new(
                iam,
                verifier(),
                iam_options(),
                clock.clone(),
                entropy.clone(),
                recorder.clone(),
            ),
            CloudTrailApi::new(
                Arc::new(cloudtrail),
                verifier(),
                region(),
                clock.clone(),
                entropy,
                recorder.clone(),
            ),
        );
        Self {
            front,
            recorder,
            meta,
            rows,
            clock,
            log,
        }
    }

    /// All events that are in the spool.
    fn events(&self) -> Vec<Event> {
        let page = self.meta.scan(&Scan {
            table: Table::AUDIT,
            start: Bytes::new(),
            end: None,
            limit: usize::MAX,
            reverse: false,
        });
        let opened = |row: strongroom_ports::Row| -> Event {
            self.rows.open(Table::AUDIT, &row.key, &row.value).unwrap()
        };
        page.unwrap().rows.into_iter().map(opened).collect()
    }

    /// The records of a request, of that source.
    fn records(&self, request_id: &str, source: &str) -> Vec<Value> {
        let events = self.events();
        let parsed = events
            .iter()
            .map(|it| serde_json::from_str::<Value>(it.document()).unwrap());
        parsed
            .filter(|it| it["requestID"] == request_id && it["eventSource"] == source)
            .collect()
    }

    /// The one record of an answer.
    fn record(&self, told: &Told, source: &str) -> Value {
        let mut records = self.records(&told.request_id, source);
        assert_eq!(records.len(), 1, "{source}: {} {records:#?}", told.body);
        let record = records.remove(0);
        check(&record);
        record
    }

    async fn send(&self, keys: Option<&Keys>, ask: Ask<'_>) -> Told {
        let Ask {
            method,
            target,
            service,
            headers,
            body,
        } = ask;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut all = vec![
            ("host".to_owned(), "localhost:9000".to_owned()),
            ("x-amz-date".to_owned(), "20130524T000000Z".to_owned()),
        ];
        if service == "s3" {
            all.push(("x-amz-content-sha256".to_owned(), hex_sha256(body)));
        }
        for (name, value) in headers {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        all.sort();
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in &all {
            request = request.header(name, value);
        }
        request = request
            .header("user-agent", "test/1")
            .header("content-length", body.len());
        if let Some(keys) = keys {
            let authorization = sign(keys, (method, path, query), service, &all, body);
            request = request.header("authorization", authorization);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .unwrap();
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 5);
        let connection = ConnectionInfo {
            peer,
            local: peer,
            transport: Transport::Tls(TlsVersion::V1_3),
            cipher_suite: Some("TLS13_AES_128_GCM_SHA256"),
        };
        let response: Response<ResponseBody> = self.front.handle(request, connection).await;
        let (parts, body) = response.into_parts();
        let header = |name| Some(parts.headers.get(name)?.to_str().unwrap().to_owned());
        let body = body.collect().await.ok().unwrap().to_bytes();
        Told {
            status: parts.status.as_u16(),
            request_id: header("x-amzn-requestid")
                .or_else(|| header("x-amz-request-id"))
                .unwrap(),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn json(&self, keys: &Keys, service: &str, operation: &str, members: &Value) -> Told {
        let prefix = match service {
            "kms" => "TrentService",
            _ => "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
        };
        let target = format!("{prefix}.{operation}");
        let headers = [("x-amz-target", target.as_str())];
        let body = members.to_string();
        let ask = Ask {
            method: "POST",
            target: "/",
            service,
            headers: &headers,
            body: body.as_bytes(),
        };
        self.send(Some(keys), ask).await
    }

    async fn kms(&self, keys: &Keys, operation: &str, members: &Value) -> Told {
        self.json(keys, "kms", operation, members).await
    }

    async fn query(&self, keys: Option<&Keys>, service: &str, form: &str) -> Told {
        let version = if service == "iam" {
            "2010-05-08"
        } else {
            "2011-06-15"
        };
        let body = format!("{form}&Version={version}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let ask = Ask {
            method: "POST",
            target: "/",
            service,
            headers: &headers,
            body: body.as_bytes(),
        };
        self.send(keys, ask).await
    }

    async fn s3(&self, keys: Option<&Keys>, method: &str, target: &str, body: &[u8]) -> Told {
        let ask = Ask {
            method,
            target,
            service: "s3",
            headers: &[],
            body,
        };
        self.send(keys, ask).await
    }

    /// A user who may do nothing.
    async fn nobody(&self) -> Keys {
        let made = self
            .query(Some(&root()), "iam", "Action=CreateUser&UserName=nobody")
            .await;
        assert_eq!(made.status, 200, "{}", made.body);
        let form = "Action=CreateAccessKey&UserName=nobody";
        let made = self.query(Some(&root()), "iam", form).await;
        Keys {
            id: element(&made.body, "AccessKeyId"),
            secret: element(&made.body, "SecretAccessKey"),
        }
    }
}

/// A world; identities are opened where one may block.
async fn world() -> World {
    tokio::task::spawn_blocking(World::new).await.unwrap()
}

fn iam_options() -> IamApiOptions {
    IamApiOptions {
        region: region(),
        danger_keys_over_plain_http: false,
    }
}

struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    service: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn sign(
    keys: &Keys,
    (method, path, query): (&str, &str, &str),
    service: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|it| !it.is_empty())
        .map(|it| {
            if it.contains('=') {
                it.to_owned()
            } else {
                format!("{it}=")
            }
        })
        .collect();
    pairs.sort();
    let lines: String = headers
        .iter()
        .flat_map(|(name, value)| [name, ":", value, "\n"])
        .collect();
    let canonical = format!(
        "{method}\n{path}\n{}\n{lines}\n{}\n{}",
        pairs.join("&"),
        names.join(";"),
        hex_sha256(body)
    );
    let scope = format!("20130524/us-east-1/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n20130524T000000Z\n{scope}\n{}",
        hex_sha256(canonical.as_bytes())
    );
    let mac = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for piece in ["20130524", "us-east-1", service, "aws4_request"] {
        key = mac(&key, piece);
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={}",
        keys.id,
        names.join(";"),
        hex::encode(mac(&key, &text))
    )
}

fn element(body: &str, name: &str) -> String {
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap_or(("", ""));
    rest.split('<').next().unwrap_or_default().to_owned()
}

/// What every record has (CloudTrail User Guide, "CloudTrail record contents").
fn check(record: &Value) {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    for name in [
        "eventTime",
        "eventSource",
        "eventName",
        "awsRegion",
        "sourceIPAddress",
        "userAgent",
        "requestID",
        "eventID",
    ] {
        assert!(!text(name).is_empty(), "{name}: {record:#}");
    }
    assert_eq!(text("eventVersion"), "1.11");
    assert_eq!(text("eventType"), "AwsApiCall");
    assert_eq!(text("recipientAccountId"), ACCOUNT);
    assert!(record["userIdentity"]["type"].is_string() && record["readOnly"].is_boolean());
    let is_data = text("eventCategory") == "Data";
    assert_eq!(record["managementEvent"], !is_data);
    for name in ["requestParameters", "responseElements"] {
        assert!(record[name].is_object() || record[name].is_null(), "{name}");
    }
    if record["sourceIPAddress"] == "192.0.2.7" {
        let tls = &record["tlsDetails"];
        assert_eq!(tls["tlsVersion"], "TLSv1.3", "{record:#}");
        assert_eq!(tls["cipherSuite"], "TLS13_AES_128_GCM_SHA256");
        assert_eq!(tls["clientProvidedHostHeader"], "localhost:9000");
    }
    assert!(!record.to_string().contains("omitted"));
}

/// An input that has every member of its shape, with the canary in all bytes and in all texts under
/// the names of secrets.
fn filled(members: &[Member]) -> Value {
    let members = members.iter();
    let pairs = members.map(|it| {
        let text = if is_hidden(it.name) { CANARY } else { PLAIN };
        (it.name.to_owned(), fill(it.shape, text))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

const PLAIN: &str = "plainPLAIN012345";

fn fill(shape: &Shape, text: &str) -> Value {
    let sized = |length: &Length, text: &str| {
        let min = length.min.unwrap_or(0).max(text.len());
        text.repeat(min.div_ceil(text.len()))[..min].to_owned()
    };
    match shape {
        Shape::Text(length, Some(pattern)) if !pattern.matches(text) => {
            "a".repeat(length.min.unwrap_or(1).max(1)).into()
        }
        Shape::Text(length, _) => sized(length, text).into(),
        Shape::Choice(choice) => (choice.names)()[0].into(),
        Shape::Blob(length) => BASE64.encode(sized(length, CANARY)).into(),
        Shape::Integer(min, _) => (*min).into(),
        Shape::Boolean => false.into(),
        Shape::Time => 1_400_000_000.into(),
        Shape::List(member, _) => json!([fill(member, text)]),
        Shape::TextMap => json!({ "a": "b" }),
        Shape::Structure(members) => filled(members),
    }
}

#[tokio::test]
async fn every_denied_or_failed_call_of_kms_has_one_record_without_bytes_and_grant_tokens() {
    let world = world().await;
    let nobody = world.nobody().await;
    for keys in [&nobody, &root()] {
        for (name, _) in crate::kms::actions() {
            let input = filled(crate::kms::members(name));
            let told = world.kms(keys, name, &input).await;
            // Two need no key: they list, or make random bytes, or a key.
            let record = if told.status == 200 {
                let records = world.records(&told.request_id, "kms.amazonaws.com");
                assert_eq!(records.len(), 1, "{name}");
                records[0].clone()
            } else {
                let record = world.record(&told, "kms.amazonaws.com");
                let answer: Value = serde_json::from_str(&told.body).unwrap();
                assert_eq!(record["errorCode"], answer["__type"], "{name}");
                assert_eq!(record["responseElements"], Value::Null);
                record
            };
            assert_eq!(record["eventName"], name);
            let text = record.to_string();
            assert!(!text.contains(CANARY), "{name}: {text}");
            assert!(
                !text.contains(&BASE64.encode(CANARY)[..16]),
                "{name}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn every_denied_call_of_iam_sts_and_cloudtrail_has_one_record() {
    let world = world().await;
    let nobody = world.nobody().await;
    for (service, operations) in [
        ("iam", crate::iam::actions().collect::<Vec<_>>()),
        ("sts", crate::sts::actions().collect()),
    ] {
        for (name, _) in operations {
            let secrets = format!(
                "Action={name}&WebIdentityToken={CANARY}&TokenCode={CANARY}&EncodedMessage={CANARY}&Password={CANARY}"
            );
            for form in [format!("Action={name}"), secrets] {
                let told = world.query(Some(&nobody), service, &form).await;
                let record = world.record(&told, &format!("{service}.amazonaws.com"));
                assert_eq!(record["eventName"], name);
                assert_eq!(record["userIdentity"]["userName"], "nobody");
                if told.status != 200 {
                    assert_eq!(record["errorCode"], element(&told.body, "Code"), "{name}");
                }
                assert!(!record.to_string().contains(CANARY), "{name}: {record:#}");
            }
        }
    }
    for (name, _) in crate::cloudtrail::actions() {
        let told = world.json(&nobody, "cloudtrail", name, &json!({})).await;
        let record = world.record(&told, "cloudtrail.amazonaws.com");
        assert_eq!(record["eventName"], name);
        assert!(record["errorCode"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn changes_are_recorded_once_with_what_they_made() {
    let world = world().await;
    let keys = root();
    for (form, elements) in [
        (
            "Action=CreateUser&UserName=alice&Path=/staff/&Tags.member.1.Key=a&Tags.member.1.Value=b",
            json!({ "user": { "userName": "alice", "path": "/staff/", "tags": [{ "key": "a", "value": "b" }] } }),
        ),
        (
            "Action=CreateGroup&GroupName=g",
            json!({ "group": { "groupName": "g" } }),
        ),
        (
            "Action=AddUserToGroup&GroupName=g&UserName=alice",
            Value::Null,
        ),
        (
            "Action=TagUser&UserName=alice&Tags.member.1.Key=a&Tags.member.1.Value=b",
            Value::Null,
        ),
        (
            "Action=CreateAccessKey&UserName=alice",
            json!({ "accessKey": { "userName": "alice", "status": "Active" } }),
        ),
        (
            "Action=CreateRole&RoleName=r&MaxSessionDuration=7200&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22111122223333%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D",
            json!({ "role": { "roleName": "r", "maxSessionDuration": 7200 } }),
        ),
    ] {
        let told = world.query(Some(&keys), "iam", form).await;
        assert_eq!(told.status, 200, "{form}: {}", told.body);
        let record = world.record(&told, "iam.amazonaws.com");
        assert!(holds(&record["responseElements"], &elements), "{record:#}");
        assert_eq!(record["errorCode"], Value::Null);
        assert!(record["requestParameters"].is_object(), "{record:#}");
        let secret = element(&told.body, "SecretAccessKey");
        assert!(secret.is_empty() || !record.to_string().contains(&secret));
    }
    let form = "Action=UpdateUser&UserName=alice&NewPath=/x/";
    let told = world.query(Some(&keys), "iam", form).await;
    let record = world.record(&told, "iam.amazonaws.com");
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/staff/alice");
    assert_eq!(record["resources"][0]["ARN"], arn.as_str());
    let told = world
        .query(Some(&keys), "sts", "Action=GetFederationToken&Name=bob")
        .await;
    assert_eq!(told.status, 200, "{}", told.body);
    let record = world.record(&told, "sts.amazonaws.com");
    let elements = &record["responseElements"];
    assert_eq!(
        elements["credentials"]["accessKeyId"],
        element(&told.body, "AccessKeyId")
    );
    for secret in ["SecretAccessKey", "SessionToken"] {
        assert!(!record.to_string().contains(&element(&told.body, secret)));
    }
    assert_eq!(record["requestParameters"], json!({ "name": "bob" }));
}

/// Whether `whole` has all that `part` has.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part))),
        (whole, part) => whole == part,
    }
}

#[tokio::test]
async fn uses_of_keys_have_their_key_algorithm_context_and_material() {
    let world = world().await;
    let keys = root();
    let key = |told: &Told| -> String {
        let made: Value = serde_json::from_str(&told.body).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let first = key(&world.kms(&keys, "CreateKey", &json!({})).await);
    let second = key(&world.kms(&keys, "CreateKey", &json!({})).await);
    let context = json!({ "plaintext": "shown" });
    let made = world
        .kms(
            &keys,
            "GenerateDataKey",
            &json!({ "KeyId": first, "KeySpec": "AES_256", "EncryptionContext": context }),
        )
        .await;
    let record = world.record(&made, "kms.amazonaws.com");
    let answer: Value = serde_json::from_str(&made.body).unwrap();
    let material = &answer["KeyMaterialId"];
    assert_eq!(&record["additionalEventData"]["keyMaterialId"], material);
    let expected = json!({ "keyId": first, "keySpec": "AES_256", "encryptionContext": context });
    assert_eq!(record["requestParameters"], expected);
    let of_key = |arn: &str| json!({ "accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn });
    assert_eq!(record["resources"], json!([of_key(&first)]));
    assert_eq!(
        (&record["responseElements"], &record["readOnly"]),
        (&Value::Null, &json!(true))
    );
    assert!(
        !record
            .to_string()
            .contains(answer["Plaintext"].as_str().unwrap())
    );

    let sealed =
        json!({ "CiphertextBlob": answer["CiphertextBlob"], "EncryptionContext": context });
    let opened = world.kms(&keys, "Decrypt", &sealed).await;
    let record = world.record(&opened, "kms.amazonaws.com");
    let expected =
        json!({ "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": context });
    assert_eq!(record["requestParameters"], expected);
    assert_eq!(record["resources"], json!([of_key(&first)]));

    let moved = world
        .kms(
            &keys,
            "ReEncrypt",
            &json!({
                "CiphertextBlob": answer["CiphertextBlob"],
                "SourceEncryptionContext": context,
                "DestinationKeyId": second,
            }),
        )
        .await;
    let record = world.record(&moved, "kms.amazonaws.com");
    assert_eq!(
        record["resources"],
        json!([of_key(&first), of_key(&second)])
    );

    let wrong = json!({ "CiphertextBlob": answer["CiphertextBlob"], "KeyId": first });
    let refused = world.kms(&keys, "Decrypt", &wrong).await;
    let record = world.record(&refused, "kms.amazonaws.com");
    assert_eq!(record["errorCode"], "InvalidCiphertextException");
    assert_eq!(record["resources"], json!([of_key(&first)]));
}

#[tokio::test]
async fn failures_name_the_key_behind_the_callers_own_alias() {
    let world = world().await;
    let (keys, nobody) = (root(), world.nobody().await);
    let made = async || -> String {
        let made = world.kms(&keys, "CreateKey", &json!({})).await;
        let made: Value = serde_json::from_str(&made.body).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let (first, second) = (made().await, made().await);
    let alias = json!({ "AliasName": "alias/a", "TargetKeyId": first });
    assert_eq!(world.kms(&keys, "CreateAlias", &alias).await.status, 200);
    let alias_arn = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/a");
    let foreign = "arn:aws:kms:us-east-1:999900001111:alias/a";
    let text = BASE64.encode([0; 64]);
    for (who, operation, input, expected) in [
        (
            &nobody,
            "Encrypt",
            json!({ "KeyId": "alias/a", "Plaintext": text }),
            vec![&first],
        ),
        (
            &nobody,
            "Encrypt",
            json!({ "KeyId": alias_arn, "Plaintext": text }),
            vec![&first],
        ),
        (
            &nobody,
            "DescribeKey",
            json!({ "KeyId": "alias/a" }),
            vec![&first],
        ),
        (
            &keys,
            "Decrypt",
            json!({ "KeyId": "alias/a", "CiphertextBlob": text }),
            vec![&first],
        ),
        (
            &keys,
            "ReEncrypt",
            json!({ "SourceKeyId": second, "DestinationKeyId": "alias/a", "CiphertextBlob": text }),
            vec![&second, &first],
        ),
        // Of others' aliases nothing is told, and where none is taken none is meant.
        (
            &keys,
            "Encrypt",
            json!({ "KeyId": foreign, "Plaintext": text }),
            vec![],
        ),
        (
            &keys,
            "Encrypt",
            json!({ "KeyId": "alias/none", "Plaintext": text }),
            vec![],
        ),
        (&keys, "DisableKey", json!({ "KeyId": "alias/a" }), vec![]),
    ] {
        let told = world.kms(who, operation, &input).await;
        assert_eq!(told.status, 400, "{operation} {input}: {}", told.body);
        let record = world.record(&told, "kms.amazonaws.com");
        let resources = record["resources"].as_array();
        let named = resources.map(|all| all.iter().map(|it| &it["ARN"]).collect::<Vec<_>>());
        assert_eq!(named.unwrap_or_default(), expected, "{operation} {input}");
    }
}

#[tokio::test]
async fn bucket_operations_and_every_denial_of_s3_have_one_record() {
    let world = world().await;
    let (keys, nobody) = (root(), world.nobody().await);
    let made = world.s3(Some(&keys), "PUT", "/abc", b"").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let record = world.record(&made, "s3.amazonaws.com");
    assert_eq!(record["eventName"], "CreateBucket");
    assert_eq!(record["requestParameters"]["bucketName"], "abc");
    assert_eq!(
        record["additionalEventData"]["AuthenticationMethod"],
        "AuthHeader"
    );
    assert_eq!(record["readOnly"], false);

    let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}]}"#;
    let put = world.s3(Some(&keys), "PUT", "/abc?policy", policy).await;
    let record = world.record(&put, "s3.amazonaws.com");
    assert_eq!(
        record["requestParameters"]["bucketPolicy"]["Version"], "2012-10-17",
        "{record:#}"
    );
    let document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let put = world
        .s3(Some(&keys), "PUT", "/abc?versioning", document)
        .await;
    let record = world.record(&put, "s3.amazonaws.com");
    let versioning = &record["requestParameters"]["VersioningConfiguration"];
    assert_eq!(versioning, &json!({ "Status": "Enabled" }));

    // Reads and writes of objects are data events, which nobody asks for here.
    for (method, body) in [("PUT", &b"secret"[..]), ("GET", b"")] {
        let told = world.s3(Some(&keys), method, "/abc/k", body).await;
        assert_eq!(told.status, 200, "{}", told.body);
        assert_eq!(world.records(&told.request_id, "s3.amazonaws.com").len(), 0);
    }
    for (method, target) in [
        ("GET", "/abc/k"),
        ("HEAD", "/abc/k"),
        ("PUT", "/abc/k"),
        ("DELETE", "/abc/k"),
        ("GET", "/abc?encryption"),
        ("GET", "/abc?list-type=2"),
        ("DELETE", "/abc"),
    ] {
        let told = world.s3(Some(&nobody), method, target, b"").await;
        assert_eq!(told.status, 403, "{method} {target}");
        let record = world.record(&told, "s3.amazonaws.com");
        assert_eq!(record["errorCode"], "AccessDenied");
        assert_eq!(record["userIdentity"]["userName"], "nobody");
        assert_eq!(
            record["managementEvent"],
            !target.contains("/k") && !target.contains("list")
        );
    }
    // Of many keys some are denied.
    let document = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(document));
    let headers = [("content-md5", md5.as_str())];
    let ask = Ask {
        method: "POST",
        target: "/abc?delete",
        service: "s3",
        headers: &headers,
        body: document,
    };
    let told = world.send(Some(&nobody), ask).await;
    assert!(
        told.body.contains("<Code>AccessDenied</Code>"),
        "{}",
        told.body
    );
    let record = world.record(&told, "s3.amazonaws.com");
    let entries = &record["additionalEventData"]["deletedObjects"];
    assert_eq!(
        entries,
        &json!([{ "key": "k", "errorCode": "AccessDenied" }])
    );
}

#[tokio::test]
async fn sse_c_keys_tokens_and_signatures_are_in_no_record() {
    let world = world().await;
    let nobody = world.nobody().await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let customer = BASE64.encode([7; 32]);
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest([7; 32]));
    let headers = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        (
            "x-amz-server-side-encryption-customer-key",
            customer.as_str(),
        ),
        (
            "x-amz-server-side-encryption-customer-key-md5",
            md5.as_str(),
        ),
        ("x-amz-meta-secret", CANARY),
        ("cookie", CANARY),
    ];
    for method in ["PUT", "GET"] {
        let ask = Ask {
            method,
            target: "/abc/k?versionId=null&response-content-type=text%2Fplain",
            service: "s3",
            headers: &headers,
            body: b"",
        };
        let told = world.send(Some(&nobody), ask).await;
        let record = world.record(&told, "s3.amazonaws.com").to_string();
        assert!(!record.contains(&customer) && !record.contains(&md5) && !record.contains(CANARY));
        assert!(record.contains("customer-algorithm"));
    }
    // A presigned URL with a wrong signature, and a session token.
    let target = format!(
        "/abc/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ROOT_KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={}&X-Amz-Security-Token={CANARY}",
        "ab".repeat(32)
    );
    let told = world.s3(None, "GET", &target, b"").await;
    assert!(told.status >= 400);
    for event in world.events() {
        let document = event.document();
        assert!(
            !document.contains(CANARY) && !document.contains(&"ab".repeat(32)),
            "{document}"
        );
        assert!(!document.contains(&nobody.secret) && !document.contains("AWS4-HMAC"));
    }
}

#[tokio::test]
async fn strangers_cause_a_bounded_number_of_records_and_all_are_counted() {
    let world = world().await;
    let stranger = Keys {
        id: "AKIAZZZZZZZZZZZZZZZZ".to_owned(),
        secret: "wrong".to_owned(),
    };
    let forger = Keys {
        secret: "wrong".to_owned(),
        ..root()
    };
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let before = world.events().len();
    for n in 0..2500 {
        let keys = [None, Some(&stranger), Some(&forger)][n % 3];
        world.s3(keys, "GET", "/abc/k", b"").await;
        world.query(keys, "iam", "Action=ListUsers").await;
        world.query(keys, "sts", "Action=GetCallerIdentity").await;
        let headers = [("x-amz-target", "TrentService.Decrypt")];
        let ask = Ask {
            method: "POST",
            target: "/",
            service: "kms",
            headers: &headers,
            body: b"{}",
        };
        world.send(keys, ask).await;
    }
    let events = world.events();
    let recorded = events.iter().filter(|it| it.error_code.is_some());
    let recorded = recorded.count();
    assert!((1..=30).contains(&recorded), "{recorded}");
    assert_eq!(events.len(), before + recorded);
    assert!(world.recorder.summary(false).is_none());
    world.clock.0.fetch_add(60_000, Ordering::Relaxed);
    let summary = world.recorder.summary(false).unwrap();
    let document: Value = serde_json::from_str(summary.document()).unwrap();
    assert_eq!(document["serviceEventDetails"]["total"], 10_000);
    world.log.append(&[summary]).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let world = world().await;
    let keys = root();
    let made = world.kms(&keys, "CreateKey", &json!({})).await;
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let key = &made["KeyMetadata"]["Arn"];
    let plaintext = BASE64.encode(CANARY);
    let sealed = world
        .kms(
            &keys,
            "Encrypt",
            &json!({ "KeyId": key, "Plaintext": plaintext }),
        )
        .await;
    let sealed: Value = serde_json::from_str(&sealed.body).unwrap();
    world.s3(Some(&keys), "PUT", "/abc", b"").await;
    world.s3(Some(&keys), "PUT", "/abc/k", b"body").await;
    world.meta.is_broken.store(true, Ordering::Relaxed);

    let input = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let told = world.kms(&keys, "Decrypt", &input).await;
    assert_eq!(told.status, 500);
    assert!(told.body.contains("KMSInternalException") && !told.body.contains(&plaintext));
    for (operation, input) in [
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_256" }),
        ),
        ("ListKeys", json!({})),
        ("DescribeKey", json!({ "KeyId": "alias/none" })),
    ] {
        let told = world.kms(&keys, operation, &input).await;
        assert!(
            told.body.contains("KMSInternalException"),
            "{operation}: {}",
            told.body
        );
    }
    let told = world.query(Some(&keys), "iam", "Action=ListUsers").await;
    assert_eq!(
        (told.status, element(&told.body, "Code").as_str()),
        (500, "ServiceFailure")
    );
    let told = world.s3(Some(&keys), "GET", "/abc?encryption", b"").await;
    assert_eq!(
        (told.status, element(&told.body, "Code").as_str()),
        (500, "InternalError")
    );
    // What was not to be recorded is read as ever.
    let told = world.s3(Some(&keys), "GET", "/abc/k", b"").await;
    assert_eq!((told.status, told.body.as_str()), (200, "body"));
}
