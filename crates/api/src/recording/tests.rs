//! Every call of every table leaves exactly one record, without a secret in it, or no answer.

mod bounds;
mod calls;
mod keys;
mod s3;
mod s3_changes;

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
use strongroom_audit::trails::{DataEvents, SigningKeys, Trail, Trails};
use strongroom_audit::{AuditLog, Event, EventId, Home, is_hidden};
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
use crate::iam::{IamApi, IamCredentials};
use crate::intake::{EdgeOptions, EdgePorts};
use crate::json::{Length, Member, Shape};
use crate::kms::KmsApi;
use crate::s3::{KeepAlive, ResponseBody, S3Api, S3ApiOptions};
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

/// A store that takes no commits any more, disturbs every other one, holds them up, or answers to no
/// read, when it is told so.
struct Breakable {
    inner: Arc<dyn MetaStore>,
    is_broken: AtomicBool,
    is_disturbed: AtomicBool,
    is_held: AtomicBool,
    commits: AtomicU64,
    holds_commits: AtomicBool,
    held_commits: AtomicU64,
}

impl MetaStore for Breakable {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        while self.is_held.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        self.inner.read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        self.inner.scan(scan)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        if self.holds_commits.load(Ordering::Acquire) {
            self.held_commits.fetch_add(1, Ordering::AcqRel);
            while self.holds_commits.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        if self.is_broken.load(Ordering::Relaxed) {
            return PendingCommit::ready(Err(CommitError::NoSpace));
        }
        let before = self.commits.fetch_add(1, Ordering::Relaxed);
        let is_other = before.is_multiple_of(2);
        let depends = !transaction.conditions.is_empty();
        if self.is_disturbed.load(Ordering::Relaxed) && depends && is_other {
            return PendingCommit::ready(Err(CommitError::Conflict));
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

/// What a world stands on.
struct Ground {
    meta: Arc<dyn MetaStore>,
    ring: Arc<Keyring<Unsealed>>,
    entropy: Arc<dyn Entropy>,
    keep_alive: KeepAlive,
    data_events: DataEvents,
}

impl Ground {
    fn new() -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(0)));
        let (ring, _) = Keyring::<Unsealed>::create(NOW, &*entropy);
        Self {
            meta: Arc::new(MemoryMeta::new()),
            ring: Arc::new(ring),
            entropy,
            keep_alive: KeepAlive::default(),
            data_events: DataEvents::default(),
        }
    }
}

struct World {
    front: Front,
    iam: Arc<IamService>,
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
        Self::on(Ground::new()).unwrap()
    }

    /// A server on that; none if its disk does not let it start.
    fn on(ground: Ground) -> Option<Self> {
        let Ground {
            meta,
            ring,
            entropy,
            keep_alive,
            data_events,
        } = ground;
        let clock = Arc::new(TestClock(AtomicU64::new(NOW.as_millis())));
        let custody = Arc::new(Custody::new(ring));
        let meta = Arc::new(Breakable {
            inner: meta,
            is_broken: AtomicBool::new(false),
            is_disturbed: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            holds_commits: AtomicBool::new(false),
            held_commits: AtomicU64::new(0),
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
        let identities = Arc::new(Identities::open(rows.clone(), &primary, NOW).ok()?);
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
        let recorder = Arc::new(Recorder::new(log.clone()).wanting(data_events));
        let ports = || EdgePorts {
            verifier: Verifier::new(region(), clock.clone(), credentials.clone()),
            clock: clock.clone(),
            entropy: entropy.clone(),
            recorder: recorder.clone(),
        };
        let options = || EdgeOptions {
            region: region(),
            danger_keys_over_plain_http: false,
        };
        let cloudtrail = CloudTrail::new(CloudTrailPorts {
            trails: Trails::new(log.clone()),
            signer: Arc::new(SigningKeys::new(rows.clone())),
            target: Arc::new(Nowhere),
            authorizer,
            digests_under_key: false,
        });
        let s3_options = S3ApiOptions {
            keep_alive,
            ..S3ApiOptions::new(region())
        };
        let front = Front::new(
            S3Api::new(s3, ports(), s3_options),
            KmsApi::new(kms, ports(), options()),
            IamApi::new(iam.clone(), ports(), options()),
            StsApi::new(iam.clone(), ports(), options()),
            CloudTrailApi::new(Arc::new(cloudtrail), ports(), region()),
        );
        Some(Self {
            front,
            iam,
            recorder,
            meta,
            rows,
            clock,
            log,
        })
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
        Self::told(self.answer(keys, ask).await).await
    }

    /// The whole of an answer.
    async fn told(response: Response<ResponseBody>) -> Told {
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

    /// The beginning of an answer to a call of S3 whose end waits until then.
    async fn early(
        &self,
        keys: impl Into<Option<&Keys>>,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<ResponseBody> {
        let ask = Ask {
            method,
            target,
            service: "s3",
            headers,
            body,
        };
        self.meta.is_held.store(true, Ordering::Release);
        let response = self.answer(keys.into(), ask).await;
        self.meta.is_held.store(false, Ordering::Release);
        assert_eq!(response.status(), 200);
        response
    }

    /// As [`World::early`], with its end.
    async fn late(
        &self,
        keys: impl Into<Option<&Keys>>,
        asked: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        Self::told(self.early(keys, asked, headers, body).await).await
    }

    /// Asks S3 as root for a change, and goes away while that is being written; gives what is recorded
    /// then.
    async fn left(
        &self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<Event> {
        let before: Vec<EventId> = self.events().into_iter().map(|it| it.id).collect();
        let ask = Ask {
            method,
            target,
            service: "s3",
            headers,
            body,
        };
        let keys = root();
        let mut answer = Box::pin(self.answer(Some(&keys), ask));
        let held = self.meta.held_commits.load(Ordering::Acquire);
        self.meta.holds_commits.store(true, Ordering::Release);
        let writes = async {
            while self.meta.held_commits.load(Ordering::Acquire) == held {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            response = &mut answer => panic!("{method} {target}: {}", response.status()),
            () = writes => {}
        }
        drop(answer);
        self.meta.holds_commits.store(false, Ordering::Release);
        self.front.settled().await;
        let mut events = self.events();
        events.retain(|it| !before.contains(&it.id));
        events
    }

    async fn answer(&self, keys: Option<&Keys>, ask: Ask<'_>) -> Response<ResponseBody> {
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
        // Forms are signed by their fields.
        let is_form = headers
            .iter()
            .any(|(_, value)| value.starts_with("multipart/"));
        if service == "s3" && !is_form {
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
            cipher_suite: Some("TLS_AES_128_GCM_SHA256"),
        };
        self.front.handle(request, connection).await
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

    /// A call of S3 with headers.
    async fn s3_with(
        &self,
        keys: Option<&Keys>,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        let ask = Ask {
            method,
            target,
            service: "s3",
            headers,
            body,
        };
        self.send(keys, ask).await
    }

    /// The root user of another account, and that account's number.
    async fn other_account(&self) -> (Keys, String) {
        let iam = Arc::clone(&self.iam);
        let made = tokio::task::spawn_blocking(move || iam.create_account("other"));
        let made = made.await.unwrap().unwrap();
        let keys = Keys {
            id: made.root.id.to_string(),
            secret: made.root.secret.expose().to_owned(),
        };
        (keys, made.account.id.to_string())
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

async fn world_on(ground: Ground) -> World {
    let opened = tokio::task::spawn_blocking(|| World::on(ground));
    opened.await.unwrap().unwrap()
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
        assert_eq!(tls["cipherSuite"], "TLS_AES_128_GCM_SHA256");
        assert_eq!(tls["clientProvidedHostHeader"], "localhost:9000");
    }
    assert!(!record.to_string().contains("omitted"));
}
