//! The service on stores in memory, with the evaluator that the server has.

mod escalation;
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
    RequestId, SessionKind, Timestamp, Transport,
};

use crate::{
    AssumeRoleInput, CreatePolicyInput, CreateRoleInput, GetFederationTokenInput, Holder, IamError,
    IamService, IamServicePorts, Identities, PageInput, PrimaryAccount, SessionInput,
    SimulatePolicyInput, SimulationDecision, Tag, Taggable, TemporaryCredentials, TokenError,
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

#[test]
fn what_was_changed_is_there_after_a_restart() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "Alice");
    iam.create_group(&root(), "g", None).unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    allow_read(&iam, &Holder::Group("g".to_owned()));
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let policy = iam.create_policy(&root(), &input).unwrap();
    iam.create_policy_version(&root(), &policy.arn, READ, true)
        .unwrap();
    iam.attach_policy(&root(), &Holder::User("alice".to_owned()), &policy.arn)
        .unwrap();
    role(&iam, "r", ACCOUNT);
    iam.update_user(&root(), "alice", Some("bob"), Some("/x/"))
        .unwrap();

    let iam = world.service();
    let bob = iam.get_user(&root(), Some("bob")).unwrap();
    assert_eq!(bob.arn, "arn:aws:iam::111122223333:user/x/bob");
    assert!(iam.get_user(&root(), Some("alice")).is_err());
    let id = alice.access_key_id.as_ref().unwrap();
    let signer = iam.identities().signer(id).unwrap();
    assert!(may_read(&iam, &caller(signer.principal.clone())));
    let versions = iam
        .list_policy_versions(&root(), &policy.arn, &PageInput::default())
        .unwrap();
    assert_eq!(
        versions
            .entries
            .iter()
            .map(|it| (it.number, it.is_default))
            .collect::<Vec<_>>(),
        [(2, true), (1, false)]
    );
    assert_eq!(
        iam.list_roles(&root(), None, &PageInput::default())
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
fn secrets_are_nowhere_in_the_store_and_in_no_record() {
    let world = World::new();
    let iam = world.service();
    iam.create_user(&root(), "alice", None, None, &[]).unwrap();
    let made = iam.create_access_key(&root(), Some("alice")).unwrap();
    let secret = made.secret.expose().as_bytes();
    for table in 30..=37 {
        let page = world.rows.meta.scan(&Scan {
            table: Table(table),
            start: bytes::Bytes::new(),
            end: None,
            limit: 100,
            reverse: false,
        });
        for row in page.unwrap().rows {
            assert!(!row.value.windows(secret.len()).any(|it| it == secret));
        }
    }
    assert!(!format!("{made:?}").contains(made.secret.expose()));
    let records = world.records();
    assert_eq!(records.len(), 2);
    for record in records {
        assert!(!record.to_string().contains(made.secret.expose()));
    }
}

#[test]
fn every_way_of_taking_a_right_away_works_with_the_next_request() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let holder = Holder::User("alice".to_owned());
    let key = alice.access_key_id.clone().unwrap();
    assert!(!may_read(&iam, &alice));
    allow_read(&iam, &holder);
    assert!(may_read(&iam, &alice));
    // A boundary that does not allow it.
    let kms = "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser";
    iam.set_boundary(&root(), &holder, Some(kms)).unwrap();
    assert!(!may_read(&iam, &alice));
    iam.set_boundary(&root(), &holder, None).unwrap();
    assert!(may_read(&iam, &alice));
    iam.delete_inline_policy(&root(), &holder, "read").unwrap();
    assert!(!may_read(&iam, &alice));
    // Through a group.
    iam.create_group(&root(), "g", None).unwrap();
    let group = Holder::Group("g".to_owned());
    iam.attach_policy(
        &root(),
        &group,
        "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    )
    .unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    assert!(may_read(&iam, &alice));
    iam.remove_user_from_group(&root(), "g", "alice").unwrap();
    assert!(!may_read(&iam, &alice));
    // The key.
    iam.update_access_key(&root(), Some("alice"), key.as_str(), false)
        .unwrap();
    assert!(iam.identities().signer(&key).is_none());
    iam.update_access_key(&root(), Some("alice"), key.as_str(), true)
        .unwrap();
    assert!(iam.identities().signer(&key).is_some());
    let token = iam.get_session_token(&alice, None, false).unwrap();
    assert!(session(&iam, &token).is_ok());
    iam.delete_access_key(&root(), Some("alice"), key.as_str())
        .unwrap();
    assert!(iam.identities().signer(&key).is_none());
    // The user: also its sessions, and also if another of that name is made.
    iam.delete_user(&root(), "alice").unwrap();
    iam.create_user(&root(), "alice", None, None, &[]).unwrap();
    allow_read(&iam, &holder);
    assert!(matches!(session(&iam, &token), Err(TokenError::Gone)));
    assert!(!may_read(&iam, &alice));
}

#[test]
fn what_has_anything_cannot_be_deleted() {
    let iam = World::new().service();
    let conflict = |outcome: Result<(), IamError>| {
        assert!(
            matches!(outcome, Err(IamError::DeleteConflict(_))),
            "{outcome:?}"
        );
    };
    let alice = user(&iam, "alice");
    conflict(iam.delete_user(&root(), "alice"));
    let key = alice.access_key_id.unwrap();
    iam.delete_access_key(&root(), Some("alice"), key.as_str())
        .unwrap();
    iam.create_group(&root(), "g", None).unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    conflict(iam.delete_user(&root(), "alice"));
    conflict(iam.delete_group(&root(), "g"));
    iam.remove_user_from_group(&root(), "g", "alice").unwrap();
    allow_read(&iam, &Holder::Group("g".to_owned()));
    conflict(iam.delete_group(&root(), "g"));
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let arn = iam.create_policy(&root(), &input).unwrap().arn;
    iam.create_policy_version(&root(), &arn, READ, false)
        .unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    conflict(iam.delete_policy_version(&root(), &arn, "v1"));
    iam.delete_policy_version(&root(), &arn, "v2").unwrap();
    let holder = Holder::User("alice".to_owned());
    iam.set_boundary(&root(), &holder, Some(&arn)).unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    iam.set_boundary(&root(), &holder, None).unwrap();
    iam.attach_policy(&root(), &holder, &arn).unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    conflict(iam.delete_user(&root(), "alice"));
    iam.detach_policy(&root(), &holder, &arn).unwrap();
    iam.delete_policy(&root(), &arn).unwrap();
    iam.delete_user(&root(), "alice").unwrap();
}

#[test]
fn limits_hold() {
    let iam = World::new().service();
    let exceeded =
        |error: IamError| assert!(matches!(error, IamError::LimitExceeded(_)), "{error}");
    user(&iam, "alice");
    iam.create_access_key(&root(), Some("alice")).unwrap();
    exceeded(iam.create_access_key(&root(), Some("alice")).unwrap_err());
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let arn = iam.create_policy(&root(), &input).unwrap().arn;
    for number in 2..=5 {
        let version = iam
            .create_policy_version(&root(), &arn, READ, false)
            .unwrap();
        assert_eq!(version.number, number);
    }
    exceeded(
        iam.create_policy_version(&root(), &arn, READ, false)
            .unwrap_err(),
    );
    iam.delete_policy_version(&root(), &arn, "v5").unwrap();
    // Numbers are not used again.
    assert_eq!(
        iam.create_policy_version(&root(), &arn, READ, false)
            .unwrap()
            .number,
        6
    );
    let holder = Holder::User("alice".to_owned());
    let long = READ.replace('*', &format!("arn:aws:s3:::{}", "b".repeat(1000)));
    iam.put_inline_policy(&root(), &holder, "a", &long).unwrap();
    exceeded(
        iam.put_inline_policy(&root(), &holder, "b", &long)
            .unwrap_err(),
    );
    // White space does not count.
    let spaced = READ.replace(',', &format!(",{}", " ".repeat(2000)));
    iam.put_inline_policy(&root(), &holder, "b", &spaced)
        .unwrap();
    let tags: Vec<Tag> = (0..50)
        .map(|index| Tag {
            key: format!("k{index}"),
            value: String::new(),
        })
        .collect();
    let target = Taggable::User("alice".to_owned());
    iam.tag(&root(), &target, &tags).unwrap();
    let one = [Tag {
        key: "more".to_owned(),
        value: String::new(),
    }];
    exceeded(iam.tag(&root(), &target, &one).unwrap_err());
    iam.untag(&root(), &target, &["K0".to_owned()]).unwrap();
    iam.tag(&root(), &target, &one).unwrap();
}

#[test]
fn pages_join_to_the_whole_and_markers_are_good_for_their_listing_only() {
    let iam = World::new().service();
    for index in 0..7 {
        iam.create_user(&root(), &format!("u{index}"), None, None, &[])
            .unwrap();
    }
    let mut page = PageInput {
        marker: None,
        max_items: Some(3),
    };
    let mut names = Vec::new();
    loop {
        let answer = iam.list_users(&root(), None, &page).unwrap();
        names.extend(answer.entries.into_iter().map(|it| it.name));
        match answer.next_marker {
            Some(marker) => page.marker = Some(marker),
            None => break,
        }
    }
    assert_eq!(
        names,
        (0..7).map(|index| format!("u{index}")).collect::<Vec<_>>()
    );
    assert!(page.marker.is_some());
    assert!(iam.list_groups(&root(), None, &page).is_err());
    page.marker = Some("forged".to_owned());
    assert!(iam.list_users(&root(), None, &page).is_err());
    page.max_items = Some(0);
    assert!(iam.list_users(&root(), None, &page).is_err());
}

#[test]
fn a_role_is_assumed_by_whom_it_trusts_and_who_may() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let bob = user(&iam, "bob");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    allow_read(&iam, &Holder::Role("r".to_owned()));
    assert!(matches!(
        iam.assume_role(&bob, &assume(&arn)),
        Err(IamError::AccessDenied(_))
    ));
    assert!(matches!(
        iam.assume_role(&root(), &assume(&arn)),
        Err(IamError::AccessDenied(_))
    ));
    let assumed = iam.assume_role(&alice, &assume(&arn)).unwrap();
    assert_eq!(
        assumed.arn,
        "arn:aws:sts::111122223333:assumed-role/r/session"
    );
    let session_caller = session(&iam, &assumed.credentials).unwrap();
    assert!(may_read(&iam, &session_caller));
    let identity = iam.get_caller_identity(&session_caller).unwrap();
    assert_eq!(
        (identity.user_id, identity.arn),
        (assumed.assumed_role_id, assumed.arn)
    );
    // A trusted account delegates.
    let arn = role(&iam, "delegated", ACCOUNT);
    assert!(iam.assume_role(&alice, &assume(&arn)).is_err());
    let holder = Holder::User("alice".to_owned());
    let document = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}"#;
    iam.put_inline_policy(&root(), &holder, "assume", document)
        .unwrap();
    assert!(iam.assume_role(&alice, &assume(&arn)).is_ok());
    // It ends by itself, and with the role.
    world.wait(3600);
    assert!(matches!(
        session(&iam, &assumed.credentials),
        Err(TokenError::Expired)
    ));
    let assumed = iam.assume_role(&alice, &assume(&arn)).unwrap();
    iam.delete_role(&root(), "delegated").unwrap();
    assert!(matches!(
        session(&iam, &assumed.credentials),
        Err(TokenError::Gone)
    ));
}

#[test]
fn a_session_is_limited_by_its_policies() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    allow_read(&iam, &Holder::Role("r".to_owned()));
    let with = |policy: Option<&str>, arns: &[&str]| {
        let input = AssumeRoleInput {
            session: SessionInput {
                policy: policy.map(str::to_owned),
                policy_arns: arns.iter().map(|arn| (*arn).to_owned()).collect(),
                ..SessionInput::default()
            },
            ..assume(&arn)
        };
        let assumed = iam.assume_role(&alice, &input).unwrap();
        may_read(&iam, &session(&iam, &assumed.credentials).unwrap())
    };
    assert!(with(None, &[]));
    assert!(with(Some(READ), &[]));
    assert!(!with(Some(&READ.replace("GetObject", "PutObject")), &[]));
    assert!(with(None, &["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    assert!(!with(
        None,
        &["arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser"]
    ));
}

#[test]
fn trust_does_not_come_back_with_the_name() {
    let iam = World::new().service();
    user(&iam, "alice");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    let first = iam.get_user(&root(), Some("alice")).unwrap().id;
    let keys = iam
        .list_access_keys(&root(), Some("alice"), &PageInput::default())
        .unwrap();
    for key in keys.entries {
        iam.delete_access_key(&root(), Some("alice"), &key.id)
            .unwrap();
    }
    iam.delete_user(&root(), "alice").unwrap();
    let alice = user(&iam, "alice");
    assert!(iam.assume_role(&alice, &assume(&arn)).is_err());
    let shown = iam.get_role(&root(), "r").unwrap().trust;
    assert!(
        shown.contains(&first) && !shown.contains("user/alice"),
        "{shown}"
    );
    // Set anew, it means the new one.
    iam.update_assume_role_policy(&root(), "r", &trust("arn:aws:iam::111122223333:user/alice"))
        .unwrap();
    assert!(iam.assume_role(&alice, &assume(&arn)).is_ok());
    let nobody = trust("arn:aws:iam::111122223333:user/nobody");
    assert!(matches!(
        iam.update_assume_role_policy(&root(), "r", &nobody),
        Err(IamError::MalformedPolicyDocument(_))
    ));
}

#[test]
fn transitive_tags_and_source_identities_go_on_and_chains_last_an_hour() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let first = role(&iam, "first", "arn:aws:iam::111122223333:user/alice");
    let second = role(&iam, "second", "arn:aws:iam::111122223333:role/p/first");
    let tag = |key: &str| Tag {
        key: key.to_owned(),
        value: "v".to_owned(),
    };
    let mut input = AssumeRoleInput {
        session: SessionInput {
            tags: vec![tag("a"), tag("b")],
            ..SessionInput::default()
        },
        transitive_tag_keys: vec!["A".to_owned()],
        source_identity: Some("alice".to_owned()),
        ..assume(&first)
    };
    let made = iam.assume_role(&alice, &input).unwrap();
    let caller = session(&iam, &made.credentials).unwrap();
    let made = iam.assume_role(&caller, &assume(&second)).unwrap();
    let chained = session(&iam, &made.credentials).unwrap().session.unwrap();
    assert_eq!(chained.tags, [("A".to_owned(), "v".to_owned())]);
    assert_eq!(chained.source_identity.as_deref(), Some("alice"));
    let mut long = assume(&second);
    long.session.duration_seconds = Some(3601);
    assert!(matches!(
        iam.assume_role(&caller, &long),
        Err(IamError::Validation(_))
    ));
    let mut conflicting = assume(&second);
    conflicting.session.tags = vec![tag("a")];
    assert!(matches!(
        iam.assume_role(&caller, &conflicting),
        Err(IamError::InvalidParameterValue(_))
    ));
    input.transitive_tag_keys = vec!["c".to_owned()];
    assert!(iam.assume_role(&alice, &input).is_err());
}

#[test]
fn inherited_tags_and_source_identities_need_the_consent_of_the_role() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let first = role(&iam, "first", "arn:aws:iam::111122223333:user/alice");
    let second = role(&iam, "second", "arn:aws:iam::111122223333:role/p/first");
    let tag = Tag {
        key: "department".to_owned(),
        value: "admin".to_owned(),
    };
    let trusting = |actions: &str, condition: &str| {
        let principal = "arn:aws:iam::111122223333:role/p/first";
        let document = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":[{actions}]{condition}}}}}"#
        );
        iam.update_assume_role_policy(&root(), "second", &document)
            .unwrap();
    };
    let caller_with = |tags: Vec<Tag>, identity: Option<&str>| {
        let input = AssumeRoleInput {
            transitive_tag_keys: tags.iter().map(|tag| tag.key.clone()).collect(),
            session: SessionInput {
                tags,
                ..SessionInput::default()
            },
            source_identity: identity.map(str::to_owned),
            ..assume(&first)
        };
        let made = iam.assume_role(&alice, &input).unwrap();
        session(&iam, &made.credentials).unwrap()
    };
    let plain = caller_with(Vec::new(), None);
    let tagged = caller_with(vec![tag], None);
    let named = caller_with(Vec::new(), Some("alice"));
    let may = |caller: &RequestContext| iam.assume_role(caller, &assume(&second)).is_ok();

    trusting(r#""sts:AssumeRole""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, false, false)
    );
    trusting(r#""sts:AssumeRole","sts:TagSession""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, true, false)
    );
    trusting(r#""sts:AssumeRole","sts:SetSourceIdentity""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, false, true)
    );
    for (allowed, condition) in [
        (
            true,
            r#"{"StringEquals":{"aws:RequestTag/department":"admin"}}"#,
        ),
        (
            false,
            r#"{"StringEquals":{"aws:RequestTag/department":"sales"}}"#,
        ),
        (
            false,
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["project"]}}"#,
        ),
    ] {
        let condition = format!(r#","Condition":{condition}"#);
        trusting(r#""sts:AssumeRole","sts:TagSession""#, &condition);
        assert_eq!(may(&tagged), allowed, "{condition}");
    }

    // What is inherited takes room like what is sent.
    trusting(r#""sts:AssumeRole","sts:TagSession""#, "");
    let tags_of = |prefix: &str, count: usize| -> Vec<Tag> {
        let tag = |n| Tag {
            key: format!("{prefix}{n}"),
            value: "v".to_owned(),
        };
        (0..count).map(tag).collect()
    };
    let crowded = caller_with(tags_of("a", 30), None);
    let mut input = assume(&second);
    input.session.tags = tags_of("b", 20);
    assert!(iam.assume_role(&crowded, &input).is_ok());
    input.session.tags = tags_of("b", 21);
    assert!(iam.assume_role(&crowded, &input).is_err());
}

#[test]
fn sessions_of_users_cannot_do_what_only_keys_may() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let holder = Holder::User("alice".to_owned());
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_policy(&root(), &holder, admin).unwrap();
    assert!(iam.list_users(&alice, None, &PageInput::default()).is_ok());
    let token = iam.get_session_token(&alice, None, false).unwrap();
    let caller = session(&iam, &token).unwrap();
    assert!(may_read(&iam, &caller));
    assert_eq!(
        iam.list_users(&caller, None, &PageInput::default())
            .unwrap_err(),
        IamError::InvalidClientTokenId
    );
    assert!(iam.get_session_token(&caller, None, false).is_err());
    // A federated user has what both sides allow, and nothing without a policy.
    let federate = |policy: Option<&str>| {
        let input = GetFederationTokenInput {
            name: "bob".to_owned(),
            session: SessionInput {
                policy: policy.map(str::to_owned),
                ..SessionInput::default()
            },
        };
        let made = iam.get_federation_token(&alice, &input).unwrap();
        session(&iam, &made.credentials).unwrap()
    };
    assert!(!may_read(&iam, &federate(None)));
    let federated = federate(Some(READ));
    assert!(may_read(&iam, &federated));
    assert!(matches!(
        federated.session.as_ref().unwrap().kind,
        SessionKind::Federated { .. }
    ));
    iam.detach_policy(&root(), &holder, admin).unwrap();
    assert!(!may_read(&iam, &federated));
}

#[test]
fn a_token_is_good_for_its_key_only_and_every_changed_byte_is_noticed() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let made = iam.get_session_token(&alice, None, false).unwrap();
    let token = made.session_token.expose();
    let identities = iam.identities();
    let id = AccessKeyId::parse(&made.access_key_id).unwrap();
    let other = AccessKeyId::parse("ASIAAAAAAAAAAAAAAAAA").unwrap();
    let open = |id: &AccessKeyId, token: &str| identities.temporary_signer(id, token, START).err();
    assert_eq!(open(&id, token), None);
    assert_eq!(open(&other, token), Some(TokenError::Invalid));
    for index in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(open(&id, &changed), Some(TokenError::Invalid), "{index}");
    }
}

#[test]
fn who_may_not_ask_learns_nothing_and_changes_nothing() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    user(&iam, "bob");
    for name in ["bob", "nobody"] {
        let error = iam.delete_user(&alice, name).unwrap_err();
        let IamError::AccessDenied(text) = error else {
            panic!("{error:?}");
        };
        let arn = format!("arn:aws:iam::111122223333:user/{name}");
        assert!(
            text.contains("iam:DeleteUser") && text.contains(&arn),
            "{text}"
        );
    }
    // Whoever answers records it.
    let records = world.records();
    assert!(records.iter().all(|it| it.get("errorCode").is_none()));
}

#[test]
fn accounts_are_apart_and_trust_each_other_when_both_say_so() {
    let iam = World::new().service();
    let other = iam.create_account("other").unwrap();
    let id = other.account.id;
    assert!(iam.create_account("other").is_err());
    let signer = iam.identities().signer(&other.root.id).unwrap();
    let other_root = caller(signer.principal.clone());
    assert_eq!(signer.principal, Principal::Root { account: id });
    user(&iam, "alice");
    assert!(iam.get_user(&other_root, Some("alice")).is_err());
    iam.create_user(&other_root, "carol", None, None, &[])
        .unwrap();
    let key = iam.create_access_key(&other_root, Some("carol")).unwrap();
    let carol = AccessKeyId::parse(&key.key.id).unwrap();
    let carol = caller(iam.identities().signer(&carol).unwrap().principal.clone());
    let arn = role(&iam, "r", id.as_str());
    assert!(iam.assume_role(&carol, &assume(&arn)).is_err());
    let document = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{arn}"}}}}"#
    );
    let holder = Holder::User("carol".to_owned());
    iam.put_inline_policy(&other_root, &holder, "assume", &document)
        .unwrap();
    assert!(iam.assume_role(&carol, &assume(&arn)).is_ok());
}

#[test]
fn simulation_says_what_would_be_decided() {
    use SimulationDecision::{Allowed, ExplicitDeny, ImplicitDeny};
    let iam = World::new().service();
    user(&iam, "alice");
    allow_read(&iam, &Holder::User("alice".to_owned()));
    let deny = READ
        .replace("Allow", "Deny")
        .replace("GetObject", "DeleteObject");
    let input = SimulatePolicyInput {
        source_arn: Some("arn:aws:iam::111122223333:user/alice".to_owned()),
        policies: vec![deny],
        actions: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
            .map(str::to_owned)
            .to_vec(),
        resources: vec!["arn:aws:s3:::bucket/key".to_owned()],
        ..SimulatePolicyInput::default()
    };
    let results = iam.simulate_policy(&root(), &input).unwrap();
    let decisions: Vec<_> = results.iter().map(|it| it.decision).collect();
    assert_eq!(decisions, [Allowed, ImplicitDeny, ExplicitDeny]);
    assert_eq!(results[0].matched, ["alice/read"]);
}

#[test]
fn a_damaged_row_keeps_the_server_from_starting() {
    let world = World::new();
    let iam = world.service();
    user(&iam, "alice");
    let scan = Scan {
        table: Table::IAM_USERS,
        start: bytes::Bytes::new(),
        end: None,
        limit: 1,
        reverse: false,
    };
    let row = world.rows.meta.scan(&scan).unwrap().rows.remove(0);
    let mut value = row.value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    let transaction = strongroom_ports::Transaction::new().put(Table::IAM_USERS, row.key, value);
    world.rows.meta.commit(transaction).wait().unwrap();
    let primary = PrimaryAccount {
        id: account(),
        canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
    };
    assert!(matches!(
        Identities::open(world.rows.clone(), &primary, START),
        Err(IamError::Damaged)
    ));
}

#[test]
fn two_services_on_one_store_do_not_overwrite_each_other() {
    let world = World::new();
    let (one, two) = (world.service(), world.service());
    one.create_user(&root(), "alice", None, None, &[]).unwrap();
    two.create_user(&root(), "bob", None, None, &[]).unwrap();
    assert!(two.create_user(&root(), "alice", None, None, &[]).is_err());
    one.create_user(&root(), "carol", None, None, &[]).unwrap();
    let names = |iam: &IamService| {
        let page = iam
            .list_users(&root(), None, &PageInput::default())
            .unwrap();
        page.entries
            .into_iter()
            .map(|it| it.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["alice", "bob", "carol"]);
}
