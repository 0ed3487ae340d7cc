//! The service on stores in memory, with the evaluator that the server has.

mod changes;
mod escalation;
mod sessions;
mod web_identity;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_audit::{AuditLog, Event, Home};
use strongroom_crypto::Keyring;
use strongroom_policy::{AccessRequest, Conditions, PolicyAuthorizer, Resource};
use strongroom_ports::{Clock, Entropy, Scan, Table};
use strongroom_rows::{Custody, SealedRows};
use strongroom_store::MemoryMeta;
use strongroom_types::{
    AccessKeyId, AccountId, BucketName, CanonicalId, ObjectKey, Principal, Region, RequestContext,
    RequestId, Timestamp, Transport,
};

use crate::{
    AssumeRoleInput, CreatePolicyInput, CreateRoleInput, GetFederationTokenInput, Holder, IamError,
    IamService, IamServicePorts, Identities, PrimaryAccount, SessionInput, Tag, Taggable,
    TemporaryCredentials, TokenError,
};

const ACCOUNT: &str = "111122223333";
const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const READ: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut word = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bytes = (word ^ (word >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    rows: SealedRows,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy(AtomicU64::new(1)));
        let (ring, _) = Keyring::create(START, &*entropy);
        Self {
            rows: SealedRows {
                meta: Arc::new(MemoryMeta::new()),
                custody: Arc::new(Custody::new(Arc::new(ring))),
                entropy,
            },
            clock: Arc::new(TestClock(AtomicU64::new(START.as_millis()))),
        }
    }

    /// A service that remembers nothing: the process has started.
    fn service(&self) -> IamService {
        let primary = PrimaryAccount {
            id: account(),
            canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
        };
        let identities = Identities::open(self.rows.clone(), &primary, START).unwrap();
        let identities = Arc::new(identities);
        let ports = IamServicePorts {
            rows: self.rows.clone(),
            authorizer: Arc::new(PolicyAuthorizer::new(identities.clone())),
            audit: self.audit(),
            clock: self.clock.clone(),
            entropy: self.rows.entropy.clone(),
        };
        IamService::new(ports, identities)
    }

    fn audit(&self) -> AuditLog {
        let home = Home {
            account: account(),
            region: Region::parse("us-east-1").unwrap(),
        };
        AuditLog::new(self.rows.clone(), self.clock.clone(), home)
    }

    /// The records, oldest first, as they are in the spool.
    fn records(&self) -> Vec<serde_json::Value> {
        let page = self.rows.meta.scan(&Scan {
            table: Table::AUDIT,
            start: bytes::Bytes::new(),
            end: None,
            limit: 10_000,
            reverse: false,
        });
        let opened = |row: strongroom_ports::Row| -> Event {
            self.rows.open(Table::AUDIT, &row.key, &row.value).unwrap()
        };
        let events = page.unwrap().rows.into_iter().map(opened);
        events
            .map(|it| serde_json::from_str(it.document()).unwrap())
            .collect()
    }

    fn wait(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

fn caller(principal: Principal) -> RequestContext {
    RequestContext {
        request_id: RequestId::random(&TestEntropy(AtomicU64::new(7))),
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

fn root() -> RequestContext {
    caller(Principal::Root { account: account() })
}

/// Makes a user with a key and gives the context of its requests.
fn user(iam: &IamService, name: &str) -> RequestContext {
    iam.create_user(&root(), name, None, None, &[]).unwrap();
    let key = iam.create_access_key(&root(), Some(name)).unwrap();
    let id = AccessKeyId::parse(&key.key.id).unwrap();
    let signer = iam.identities().signer(&id).unwrap();
    assert_eq!(signer.secret(), key.secret.expose());
    let mut caller = caller(signer.principal.clone());
    caller.access_key_id = Some(id);
    caller
}

/// The context of the requests of a temporary credential.
fn session(iam: &IamService, made: &TemporaryCredentials) -> Result<RequestContext, TokenError> {
    let id = AccessKeyId::parse(&made.access_key_id).unwrap();
    let token = made.session_token.expose();
    let now = iam.now();
    let temporary = iam.identities().temporary_signer(&id, token, now)?;
    assert_eq!(temporary.signer.secret(), made.secret.expose());
    let mut caller = caller(temporary.signer.principal.clone());
    caller.session = Some(temporary.session);
    caller.access_key_id = Some(id);
    Ok(caller)
}

fn may_read(iam: &IamService, caller: &RequestContext) -> bool {
    let resource = Resource::Object {
        bucket: BucketName::parse("bucket").unwrap(),
        owner: account(),
        key: ObjectKey::parse("key").unwrap(),
    };
    iam.ports
        .authorizer
        .decide(&AccessRequest {
            context: caller,
            action: "s3:GetObject",
            resource: &resource,
            conditions: &Conditions::default(),
            resource_policy: None,
            grants: None,
            acls: None,
        })
        .is_ok()
}

fn allow_read(iam: &IamService, holder: &Holder) {
    iam.put_inline_policy(&root(), holder, "read", READ)
        .unwrap();
}

fn trust(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}]}}"#
    )
}

fn role(iam: &IamService, name: &str, principal: &str) -> String {
    let input = CreateRoleInput {
        name: name.to_owned(),
        path: Some("/p/".to_owned()),
        trust: trust(principal),
        ..CreateRoleInput::default()
    };
    iam.create_role(&root(), &input).unwrap().arn
}

fn assume(role_arn: &str) -> AssumeRoleInput {
    AssumeRoleInput {
        role_arn: role_arn.to_owned(),
        session_name: "session".to_owned(),
        ..AssumeRoleInput::default()
    }
}
