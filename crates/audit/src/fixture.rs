use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_crypto::Keyring;
use strongroom_ports::{Clock, Entropy, MetaStore, Row, Scan, Table};
use strongroom_rows::{Custody, SealedRows};
use strongroom_store::{ConflictRule, MemoryMeta};
use strongroom_types::{
    AccessKeyId, AccountId, Principal, Region, RequestContext, RequestId, Timestamp, TlsVersion,
    Transport,
};

use crate::event::{Event, EventBuilder, Home};
use crate::ledger::Ledger;
use crate::log::AuditLog;
use crate::params::Params;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const KEY_ARN: &str =
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_767_348_000);

/// A store, a clock and what they need.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) meta: Arc<dyn MetaStore>,
    pub(crate) custody: Arc<Custody>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) home: Home,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryMeta::new()))
    }

    pub(crate) fn with_conflicts(seed: u64) -> Self {
        Self::on(Arc::new(MemoryMeta::with_conflicts(ConflictRule {
            one_in: 3,
            seed,
        })))
    }

    pub(crate) fn on(meta: Arc<dyn MetaStore>) -> Self {
        let entropy = Arc::new(TestEntropy::new());
        let (ring, _) = Keyring::create(START, &*entropy);
        Self {
            meta,
            custody: Arc::new(Custody::new(Arc::new(ring))),
            clock: Arc::new(TestClock(AtomicU64::new(START.as_millis()))),
            entropy,
            home: Self::first_home(),
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.home().account
    }

    pub(crate) fn home(&self) -> Home {
        self.home.clone()
    }

    fn first_home() -> Home {
        Home {
            account: AccountId::parse(ACCOUNT).unwrap(),
            region: Region::parse("us-east-1").unwrap(),
        }
    }

    pub(crate) fn rows(&self) -> SealedRows {
        SealedRows {
            meta: Arc::clone(&self.meta),
            custody: Arc::clone(&self.custody),
            entropy: Arc::clone(&self.entropy),
        }
    }

    pub(crate) fn log(&self) -> AuditLog {
        AuditLog::new(self.rows(), Arc::clone(&self.clock) as _, self.home())
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.rows(), self.home())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// A call of KMS by alice.
    pub(crate) fn decrypt(&self, key_arn: &str) -> Event {
        let context = self.alice();
        let event = EventBuilder::of(&context, "kms.amazonaws.com", "Decrypt")
            .params(&Params::new().text("encryptionAlgorithm", "SYMMETRIC_DEFAULT"))
            .resource("AWS::KMS::Key", key_arn, Some(self.account()));
        self.log().finish(event)
    }

    /// Records an event of that name.
    pub(crate) fn record(&self, name: &str) -> Event {
        let context = self.alice();
        let event = self
            .log()
            .finish(EventBuilder::of(&context, "iam.amazonaws.com", name));
        self.log()
            .append(std::slice::from_ref(&event))
            .wait()
            .unwrap();
        event
    }

    pub(crate) fn alice(&self) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&*self.entropy),
            received: self.now(),
            principal: Principal::User {
                account: self.account(),
                user_id: "AIDAEXAMPLEEXAMPLE01".into(),
                path_and_name: "staff/alice".into(),
            },
            canonical_id: None,
            access_key_id: Some(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap()),
            session: None,
            via_service: None,
            region: Region::parse("us-east-1").unwrap(),
            source_ip: [192, 0, 2, 7].into(),
            transport: Transport::Tls(TlsVersion::V1_3),
            user_agent: Some("aws-cli/2.31".into()),
            sent: None,
        }
    }

    /// All rows of a table.
    pub(crate) fn all(&self, table: Table) -> Vec<Row> {
        let scan = Scan {
            table,
            start: bytes::Bytes::new(),
            end: None,
            limit: usize::MAX,
            reverse: false,
        };
        self.meta.scan(&scan).unwrap().rows
    }
}

pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that never repeat and are the same in every run of one thread.
pub(crate) struct TestEntropy(AtomicU64);

impl TestEntropy {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            // SplitMix64.
            let seed = self.0.fetch_add(1, Ordering::SeqCst);
            let mut z = seed
                .wrapping_add(0x9e37_79b9_7f4a_7c15)
                .wrapping_mul(0x2545_f491_4f6c_dd1d);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
