//! A service on stores in memory, for the tests of this crate: with a clock that stands still, and
//! stores that die where a test says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_audit::{AuditLog, Event, Home};
use strongroom_crypto::Keyring;
use strongroom_policy::{
    AccessRequest, Authorizer, Denied, IdentityPolicies, NamedPolicy, Policy, PolicyAuthorizer,
    PrincipalDirectory, PrincipalPolicies, Unreadable,
};
use strongroom_ports::{
    Clock, CommitError, Entropy, MetaError, MetaStore, PendingCommit, Row, Scan, ScanPage,
    ShredError, ShredStore, Stored, Table, Transaction, Write,
};
use strongroom_rows::{Custody, SealedRows};
use strongroom_store::{ConflictRule, MemoryMeta};
use strongroom_types::kms::{KeyArn, KeyId, KeyManager, KeyOrigin, KeySpec, KeyState, KeyUsage};
use strongroom_types::{
    AccountId, CanonicalId, Principal, Region, RequestContext, RequestId, Timestamp, Transport,
};

use crate::key::{Key, Lifecycle, Rotation};
use crate::materials::Material;
use crate::policies::KeyPolicy;
use crate::{KeyService, KeyServiceOptions, KeyServicePorts, keys};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ROOT: &str = "arn:aws:iam::111122223333:root";
/// Of the root user alone.
pub(crate) const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;
const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What outlives a service.
pub(crate) struct World {
    pub(crate) meta: Arc<MortalMeta>,
    pub(crate) shreds: Arc<MemoryShreds>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) people: Arc<People>,
    /// Actions that were decided about, with the condition keys that their requests had; if somebody
    /// wants to know.
    pub(crate) decisions: Decisions,
    entropy: Arc<TestEntropy>,
    custody: Arc<Custody>,
}

impl World {
    pub(crate) fn new() -> Self {
        let entropy = Arc::new(TestEntropy(AtomicU64::new(1)));
        let (ring, _) = Keyring::create(START, &*entropy);
        Self {
            meta: Arc::default(),
            shreds: Arc::default(),
            clock: Arc::new(TestClock {
                since_start: AtomicU64::new(0),
                ahead: AtomicU64::new(START.as_millis()),
            }),
            people: Arc::default(),
            decisions: Arc::default(),
            custody: Arc::new(Custody::new(Arc::new(ring))),
            entropy,
        }
    }

    /// With a store that reports conflicts that nobody caused.
    pub(crate) fn with_conflicts(rule: ConflictRule) -> Self {
        Self {
            meta: Arc::new(MortalMeta {
                meta: MemoryMeta::with_conflicts(rule),
                ..MortalMeta::default()
            }),
            ..Self::new()
        }
    }

    /// A service that remembers nothing: the process has started, and its clock is right.
    pub(crate) fn service(&self) -> KeyService {
        self.start(true)
    }

    /// As [`World::service`], of a process that compares its clock with the last run.
    pub(crate) fn wary_service(&self) -> KeyService {
        self.start(false)
    }

    fn start(&self, danger_trust_clock: bool) -> KeyService {
        let entropy: Arc<dyn Entropy> = Arc::clone(&self.entropy) as _;
        let ports = KeyServicePorts {
            rows: self.sealed_rows(),
            shreds: Arc::clone(&self.shreds) as _,
            authorizer: Arc::new(Watched {
                decides: PolicyAuthorizer::new(Arc::clone(&self.people) as _),
                seen: Arc::clone(&self.decisions),
            }),
            principals: Arc::clone(&self.people) as _,
            audit: self.audit(),
            clock: Arc::clone(&self.clock) as _,
            entropy,
        };
        let region = Region::parse("us-east-1").unwrap();
        let options = KeyServiceOptions {
            region,
            danger_trust_clock,
        };
        KeyService::new(ports, options)
    }

    fn sealed_rows(&self) -> SealedRows {
        SealedRows {
            meta: Arc::clone(&self.meta) as _,
            custody: Arc::clone(&self.custody),
            entropy: Arc::clone(&self.entropy) as _,
        }
    }

    fn audit(&self) -> AuditLog {
        let home = Home {
            account: AccountId::parse(ACCOUNT).unwrap(),
            region: Region::parse("us-east-1").unwrap(),
        };
        AuditLog::new(self.sealed_rows(), Arc::clone(&self.clock) as _, home)
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The records of the trail, oldest first.
    pub(crate) fn trail(&self) -> Vec<serde_json::Value> {
        let scan = Scan {
            table: Table::AUDIT,
            start: keys::prefix(Vec::new()).0,
            end: None,
            limit: 100_000,
            reverse: false,
        };
        let rows = self.meta.scan(&scan).unwrap().rows;
        let event = |row: Row| {
            let event: Event = self
                .sealed_rows()
                .open(Table::AUDIT, &row.key, &row.value)
                .unwrap();
            serde_json::from_str(event.document()).unwrap()
        };
        rows.into_iter().map(event).collect()
    }

    /// The records that `doing` leaves.
    pub(crate) fn trail_of<T>(&self, doing: impl FnOnce() -> T) -> (T, Vec<serde_json::Value>) {
        let before = self.trail();
        let done = doing();
        let mut after = self.trail();
        after.retain(|event| !before.contains(event));
        (done, after)
    }

    /// Makes a key, in the state that CreateKey leaves it in.
    pub(crate) fn key(&self, spec: KeySpec, usage: KeyUsage, origin: KeyOrigin) -> KeyArn {
        let service = self.service();
        let arn = service.arn(
            AccountId::parse(ACCOUNT).unwrap(),
            KeyId::random(&*self.entropy),
        );
        let mut key = Key {
            arn: arn.clone(),
            spec,
            usage,
            origin,
            manager: KeyManager::Customer,
            lifecycle: Lifecycle::Enabled,
            description: String::new(),
            policy: KeyPolicy::of_accounts(POLICY.to_owned()),
            tags: Vec::new(),
            created: service.now(),
            rotation: Rotation::OFF,
            on_demand_rotations: 0,
            materials: Vec::new(),
            current: None,
            pending: None,
        };
        let mut transaction = Transaction::new();
        if origin == KeyOrigin::AwsKms {
            let material = Material::generate(&service, spec).unwrap();
            let kept = service.keep_material(&arn, spec, &material, None).unwrap();
            key.materials.push(kept.entry.clone());
            key.current = Some(kept.entry.id);
            transaction = service.put_material(transaction, &arn, &kept).unwrap();
        }
        let transaction = service.put_key(transaction, &key).unwrap();
        service.commit(transaction, &[], &[&arn]).unwrap();
        arn
    }

    pub(crate) fn symmetric(&self) -> KeyArn {
        self.key(
            KeySpec::SymmetricDefault,
            KeyUsage::EncryptDecrypt,
            KeyOrigin::AwsKms,
        )
    }

    pub(crate) fn external(&self) -> KeyArn {
        self.key(
            KeySpec::SymmetricDefault,
            KeyUsage::EncryptDecrypt,
            KeyOrigin::External,
        )
    }

    /// The key's row, changed behind the service's back.
    pub(crate) fn change(&self, arn: &KeyArn, change: impl FnOnce(&mut Key)) {
        let service = self.service();
        let mut key = service.opened_key(arn).unwrap().unwrap().key.clone();
        change(&mut key);
        let transaction = service.put_key(Transaction::new(), &key).unwrap();
        service.commit(transaction, &[], &[arn]).unwrap();
    }

    pub(crate) fn key_row(&self, arn: &KeyArn) -> Key {
        self.service().opened_key(arn).unwrap().unwrap().key.clone()
    }

    pub(crate) fn state(&self, arn: &KeyArn) -> KeyState {
        self.key_row(arn).state(self.clock.now()).unwrap()
    }

    /// The rows of a table.
    pub(crate) fn rows(&self, table: Table) -> usize {
        let (start, _) = keys::prefix(Vec::new());
        let scan = Scan {
            table,
            start,
            end: None,
            limit: 100_000,
            reverse: false,
        };
        self.meta.scan(&scan).unwrap().rows.len()
    }
}

/// The account's root user.
pub(crate) fn root() -> RequestContext {
    caller(ACCOUNT)
}

pub(crate) fn caller(account: &str) -> RequestContext {
    RequestContext {
        request_id: RequestId::random(&TestEntropy(AtomicU64::new(7))),
        received: START,
        principal: Principal::Root {
            account: AccountId::parse(account).unwrap(),
        },
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

pub(crate) type Decisions = Arc<Mutex<Option<Vec<(String, Vec<&'static str>)>>>>;

/// Decides, and notes what was decided about.
struct Watched {
    decides: PolicyAuthorizer,
    seen: Decisions,
}

impl Authorizer for Watched {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        if let Some(seen) = &mut *self.seen.lock() {
            // Who looks for a key's aliases is asked again with them: the last counts.
            let has = |key: &&&str| request.conditions.get(key).is_some();
            let keys = CONDITION_KEYS.iter().filter(has).copied().collect();
            seen.push((request.action.to_owned(), keys));
        }
        self.decides.decide(request)
    }
}

/// The condition keys that services bring to decisions about keys, with some of their names.
const CONDITION_KEYS: &[&str] = &[
    "aws:RequestTag/t",
    "aws:ResourceTag/own",
    "aws:TagKeys",
    "kms:BypassPolicyLockoutSafetyCheck",
    "kms:CustomerMasterKeySpec",
    "kms:CustomerMasterKeyUsage",
    "kms:DataKeyPairSpec",
    "kms:EncryptionAlgorithm",
    "kms:EncryptionContext:a",
    "kms:EncryptionContextKeys",
    "kms:ExpirationModel",
    "kms:GrantConstraintType",
    "kms:GranteePrincipal",
    "kms:GrantIsForAWSResource",
    "kms:GrantOperations",
    "kms:KeyAgreementAlgorithm",
    "kms:KeyOrigin",
    "kms:KeySpec",
    "kms:KeyUsage",
    "kms:MacAlgorithm",
    "kms:MessageType",
    "kms:MultiRegion",
    "kms:ReEncryptOnSameKey",
    "kms:RequestAlias",
    "kms:ResourceAliases",
    "kms:RetiringPrincipal",
    "kms:RotationPeriodInDays",
    "kms:ScheduleKeyDeletionPendingWindowInDays",
    "kms:SigningAlgorithm",
    "kms:ValidTo",
    "kms:WrappingAlgorithm",
    "kms:WrappingKeySpec",
];

/// The users and roles that there are beside the root users of all accounts.
#[derive(Default)]
pub(crate) struct People(Mutex<BTreeMap<String, Person>>);

struct Person {
    id: Arc<str>,
    policies: Vec<NamedPolicy>,
}

impl People {
    /// Makes a user, or one anew, with a policy of the account's; the request is its.
    pub(crate) fn user(&self, account: &str, name: &str, policy: Option<&str>) -> RequestContext {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        let user_id = self.put(arn, "AIDA", policy);
        RequestContext {
            principal: Principal::User {
                account: AccountId::parse(account).unwrap(),
                user_id,
                path_and_name: name.into(),
            },
            ..caller(account)
        }
    }

    /// As [`People::user`], a role and the request of a session of it.
    pub(crate) fn role(&self, account: &str, name: &str, policy: Option<&str>) -> RequestContext {
        let arn = format!("arn:aws:iam::{account}:role/{name}");
        let role_id = self.put(arn.clone(), "AROA", policy);
        RequestContext {
            principal: Principal::RoleSession {
                account: AccountId::parse(account).unwrap(),
                role_id,
                role_name: name.into(),
                role_arn: arn.into(),
                session_name: "s".into(),
            },
            ..caller(account)
        }
    }

    pub(crate) fn delete(&self, arn: &str) {
        self.0.lock().remove(arn);
    }

    fn put(&self, arn: String, prefix: &str, policy: Option<&str>) -> Arc<str> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id: Arc<str> = format!("{prefix}{}", IDS.fetch_add(1, Ordering::SeqCst)).into();
        let named = |text: &str| NamedPolicy {
            name: "p".into(),
            policy: Arc::new(Policy::parse(text).unwrap()),
        };
        let person = Person {
            id: Arc::clone(&id),
            policies: policy.map(named).into_iter().collect(),
        };
        self.0.lock().insert(arn, person);
        id
    }
}

impl PrincipalDirectory for People {
    fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
        Ok(self.0.lock().get(arn).map(|person| person.id.to_string()))
    }

    fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        Ok(None)
    }

    fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok(None)
    }
}

impl IdentityPolicies for People {
    fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
        let id = match &context.principal {
            Principal::User { user_id, .. } => user_id,
            Principal::RoleSession { role_id, .. } => role_id,
            Principal::Root { .. }
            | Principal::Federated { .. }
            | Principal::Service { .. }
            | Principal::Anonymous => return Ok(PrincipalPolicies::default()),
        };
        let people = self.0.lock();
        let (arn, person) = people
            .iter()
            .find(|(_, person)| person.id == *id)
            .ok_or(Unreadable)?;
        let mut held = PrincipalPolicies {
            identity: person.policies.clone(),
            ..PrincipalPolicies::default()
        };
        held.attributes.role_arn = arn.contains(":role/").then(|| arn.as_str().into());
        Ok(held)
    }
}

/// When the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// Just before the commit is made.
    BeforeCommit,
    /// Just after it was made, before anybody hears of it.
    AfterCommit,
}

/// Metadata in memory, behind a process that may die.
#[derive(Default)]
pub(crate) struct MortalMeta {
    meta: MemoryMeta,
    death: Mutex<Option<(usize, Death, bool)>>,
    dead: AtomicBool,
    full: AtomicBool,
    reads: AtomicU64,
}

impl MortalMeta {
    /// How many rows were read one by one, and pages scanned, so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Lets the process die at its next commit; the stores live on with the next process.
    pub(crate) fn die_at_next_commit(&self, death: Death) {
        *self.death.lock() = Some((0, death, false));
    }

    /// Lets so many commits pass, and the process die at the next one for good: nothing is committed
    /// until [`MortalMeta::revive`].
    pub(crate) fn die_after_commits(&self, commits: usize, death: Death) {
        *self.death.lock() = Some((commits, death, true));
    }

    /// Sets whether the disk has reached the floor of free space.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Whether the process did not come that far.
    pub(crate) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }

    /// The next process starts.
    pub(crate) fn revive(&self) {
        *self.death.lock() = None;
        self.dead.store(false, Ordering::SeqCst);
    }

    /// Whether it would still have died.
    pub(crate) fn live_on(&self) -> bool {
        self.death.lock().take().is_some()
    }
}

impl MetaStore for MortalMeta {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.meta.read(table, key)
    }

    fn read_in_memory(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.meta.scan(scan)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        let creates = transaction.writes.iter().any(|write| match write {
            // The trail has a reserve of its own.
            Write::Put { table, .. } => *table != Table::AUDIT,
            Write::Delete { .. } => false,
        });
        if self.full.load(Ordering::SeqCst) && creates && !transaction.takes_away {
            return PendingCommit::ready(Err(CommitError::NoSpace));
        }
        let died = || Err(CommitError::Failed("the process died".to_owned()));
        let mut planned = self.death.lock();
        match planned.take() {
            _ if self.dead.load(Ordering::SeqCst) => PendingCommit::ready(died()),
            None => self.meta.commit(transaction),
            Some((0, death, for_good)) => {
                self.dead.store(for_good, Ordering::SeqCst);
                if death == Death::AfterCommit {
                    self.meta.commit(transaction).wait().unwrap();
                }
                PendingCommit::ready(died())
            }
            Some((left, death, for_good)) => {
                *planned = Some((left - 1, death, for_good));
                self.meta.commit(transaction)
            }
        }
    }
}

/// Shred keys in memory.
#[derive(Default)]
pub(crate) struct MemoryShreds(Mutex<BTreeMap<[u8; 16], [Vec<u8>; 2]>>);

impl MemoryShreds {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Damages one of the two copies of each shred key.
    pub(crate) fn damage(&self, copy: usize) {
        for copies in self.0.lock().values_mut() {
            copies[copy][0] ^= 1;
        }
    }

    /// Whether both copies of all are alike.
    pub(crate) fn are_whole(&self) -> bool {
        self.0.lock().values().all(|[a, b]| a == b)
    }
}

impl ShredStore for MemoryShreds {
    fn put(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        match self
            .0
            .lock()
            .insert(id, [content.to_vec(), content.to_vec()])
        {
            None => Ok(()),
            Some(_) => Err(ShredError::Exists),
        }
    }

    fn get(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, ShredError> {
        Ok(self.0.lock().get(&id).map(|[first, _]| first.clone()))
    }

    fn get_copies(&self, id: [u8; 16]) -> Result<Vec<Vec<u8>>, ShredError> {
        let copies = self.0.lock().get(&id).cloned();
        Ok(copies.into_iter().flatten().collect())
    }

    fn repair(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        if let Some(copies) = self.0.lock().get_mut(&id) {
            *copies = [content.to_vec(), content.to_vec()];
        }
        Ok(())
    }

    fn destroy(&self, id: [u8; 16]) -> Result<(), ShredError> {
        self.0.lock().remove(&id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<[u8; 16]>, ShredError> {
        Ok(self.0.lock().keys().copied().collect())
    }
}

/// Time as tests set it, in milliseconds.
pub(crate) struct TestClock {
    since_start: AtomicU64,
    /// What the wall clock has in advance of the monotonic one.
    ahead: AtomicU64,
}

impl TestClock {
    pub(crate) fn advance_seconds(&self, seconds: u64) {
        self.since_start.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn advance_days(&self, days: u64) {
        self.advance_seconds(days * 24 * 60 * 60);
    }

    /// Somebody sets the wall clock right.
    pub(crate) fn jump_back_days(&self, days: u64) {
        self.ahead
            .fetch_sub(days * 24 * 60 * 60 * 1000, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock ahead.
    pub(crate) fn jump_days(&self, days: u64) {
        self.ahead
            .fetch_add(days * 24 * 60 * 60 * 1000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_millis(ahead + self.since_start.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.since_start.load(Ordering::SeqCst))
    }
}

/// Bytes that never repeat and are the same in every run of one thread.
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            // SplitMix64.
            let seed = self.0.fetch_add(1, Ordering::SeqCst);
            let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
