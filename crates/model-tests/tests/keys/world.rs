//! The key service and S3 on one durable store, over a disk that can lose power, with a clock and
//! randomness that tests decide.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use strongroom_audit::{AuditLog, Home};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_kms::{KeyService, KeyServiceOptions, KeyServicePorts};
use strongroom_policy::{Action, NoPrincipals, RootOnly, actions};
use strongroom_ports::{BlobStore, Clock, Entropy, MetaStore, ShredStore};
use strongroom_rows::{Custody, SealedRows};
use strongroom_s3::{
    BodyError, BodySource, CreateBucketInput, Entry, ObjectBody, ReadError, S3, S3Options, S3Ports,
};
use strongroom_store::disk::{Crash, Disk, Fault, FaultKind, SimDisk};
use strongroom_store::{BlobOptions, DurableMeta, FileBlobs, FileShreds, MetaOptions, StoreKeys};
use strongroom_types::{
    AccountId, BucketName, CanonicalId, ObjectKey, Principal, Region, RequestContext, RequestId,
    TagSet, Timestamp, Transport,
};
use tokio::runtime::Runtime;

pub(crate) const START_MILLIS: u64 = 1_800_000_000_000;
const ACCOUNT: &str = "111122223333";
const BUCKET: &str = "bucket";
/// Small, so that bodies of both kinds are short.
pub(crate) const INLINE_MAX_BYTES: usize = 8192;

/// The services that run, and what they stand on.
pub(crate) struct Services {
    pub(crate) s3: Arc<S3>,
    pub(crate) kms: Arc<KeyService>,
    pub(crate) meta: Arc<dyn MetaStore>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) shreds: Arc<dyn ShredStore>,
}

/// What outlives a loss of power, and the services while there is power.
pub(crate) struct World {
    services: Option<Services>,
    pub(crate) disk: SimDisk,
    pub(crate) custody: Arc<Custody>,
    ring: Arc<Keyring<Unsealed>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) entropy: Arc<TestEntropy>,
    runtime: Runtime,
}

impl World {
    /// With an empty bucket.
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START_MILLIS)));
        let entropy = Arc::new(TestEntropy(AtomicU64::new(seed)));
        let (ring, _) = Keyring::<Unsealed>::create(clock.now(), &*entropy);
        let ring = Arc::new(ring);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut world = Self {
            services: None,
            disk: SimDisk::new(),
            custody: Arc::new(Custody::new(Arc::clone(&ring))),
            ring,
            clock,
            entropy,
            runtime,
        };
        world.services = Some(world.start(&world.disk, &world.disk));
        let s3 = &world.services().s3;
        let entry = s3.enter_account::<actions::CreateBucket>(context());
        let input = CreateBucketInput {
            name: bucket(),
            tags: TagSet::default(),
            ownership: None,
            acl: strongroom_s3::WantedAcl::Unspecified,
        };
        s3.create_bucket(entry.unwrap(), input).unwrap();
        world
    }

    pub(crate) fn services(&self) -> &Services {
        self.services.as_ref().unwrap()
    }

    /// Lets the power go at the `offset`-th change of the disk from now on.
    pub(crate) fn plan_power_loss(&self, offset: u64) {
        self.disk.set_fault(Some(Fault {
            at_operation: self.disk.operations() + offset,
            sticky: true,
            kind: FaultKind::PowerOff,
        }));
    }

    /// Power goes, and comes back: what was not synced is lost or torn, and everything is opened
    /// again.
    pub(crate) fn lose_power(&mut self, seed: u64) {
        // The stores' threads end before the disk forgets.
        self.services = None;
        self.disk.crash(Crash::Torn { seed });
        self.services = Some(self.start(&self.disk, &self.disk));
    }

    /// The services end, and others start.
    pub(crate) fn restart(&mut self) {
        self.services = None;
        self.services = Some(self.start(&self.disk, &self.disk));
    }

    /// From now on everything but the shred keys is that of `earlier`, and so is the time: a backup
    /// was brought back.
    pub(crate) fn bring_back(&mut self, earlier: &SimDisk, now: u64) {
        self.services = None;
        self.clock.0.store(now, Ordering::SeqCst);
        self.services = Some(self.start(earlier, &self.disk));
    }

    /// Small bounds, so that a short history crosses checkpoints and snapshots.
    fn start(&self, disk: &SimDisk, shreds: &SimDisk) -> Services {
        let options = MetaOptions {
            journal_file_len_bytes: 64 << 10,
            memtable_bytes: 16 << 10,
            index_cache_bytes: 1 << 20,
            snapshot_after_bytes: 128 << 10,
            floor_bytes: 0,
        };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let store_keys = Arc::clone(&self.ring) as Arc<dyn StoreKeys>;
        let entropy = Arc::clone(&self.entropy) as Arc<dyn Entropy>;
        let meta = DurableMeta::open(Arc::clone(&disk), store_keys, Arc::clone(&entropy), options);
        let meta: Arc<dyn MetaStore> = Arc::new(meta.unwrap());
        let blobs = FileBlobs::open(disk, BlobOptions { floor_bytes: 0 });
        let blobs: Arc<dyn BlobStore> = Arc::new(blobs.unwrap());
        let shreds = FileShreds::open(Arc::new(shreds.clone()));
        let shreds: Arc<dyn ShredStore> = Arc::new(shreds.unwrap());
        let region = Region::parse("us-east-1").unwrap();
        let rows = SealedRows {
            meta: Arc::clone(&meta),
            custody: Arc::clone(&self.custody),
            entropy: Arc::clone(&entropy),
        };
        let home = Home {
            account: AccountId::parse(ACCOUNT).unwrap(),
            region: region.clone(),
        };
        let audit = AuditLog::new(rows.clone(), Arc::clone(&self.clock) as _, home);
        let ports = KeyServicePorts {
            rows,
            shreds: Arc::clone(&shreds),
            authorizer: Arc::new(RootOnly::default()),
            principals: Arc::new(RootOnly::default()),
            audit: audit.clone(),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&entropy),
        };
        let options = KeyServiceOptions {
            region: region.clone(),
            // Its clock jumps: time passes in steps.
            danger_trust_clock: true,
        };
        let kms = Arc::new(KeyService::new(ports, options));
        let ports = S3Ports {
            meta: Arc::clone(&meta),
            blobs: Arc::clone(&blobs),
            custody: Arc::clone(&self.custody),
            keys: Arc::clone(&kms) as _,
            authorizer: Arc::new(RootOnly::default()),
            principals: Arc::new(NoPrincipals::default()),
            audit: Arc::new(audit),
            clock: Arc::clone(&self.clock) as _,
            entropy,
        };
        let options = S3Options {
            region,
            block_sse_c_on_new_buckets: false,
            danger_keys_over_plain_http: false,
            inline_max_bytes: INLINE_MAX_BYTES,
            bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
        };
        Services {
            s3: Arc::new(S3::new(ports, options)),
            kms,
            meta,
            blobs,
            shreds,
        }
    }

    pub(crate) fn enter<A: Action>(&self, name: &str) -> Entry<A> {
        let key = ObjectKey::parse(name).unwrap();
        let s3 = &self.services().s3;
        s3.enter_object(context(), &bucket(), &key, None).unwrap()
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// All bytes of a body, or why they cannot be read.
    pub(crate) fn drain(&self, body: ObjectBody) -> Result<Vec<u8>, ReadError> {
        match body {
            ObjectBody::Whole(bytes) => Ok(bytes.to_vec()),
            ObjectBody::Stream(mut stream) => self.wait(async {
                let mut all = Vec::new();
                while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    all.extend_from_slice(&piece?);
                }
                Ok(all)
            }),
        }
    }
}

pub(crate) fn bucket() -> BucketName {
    BucketName::parse(BUCKET).unwrap()
}

/// A request of the account's root user from this host.
pub(crate) fn context() -> Arc<RequestContext> {
    Arc::new(RequestContext {
        request_id: RequestId::random(&TestEntropy(AtomicU64::new(7))),
        received: Timestamp::from_millis(0),
        principal: Principal::Root {
            account: AccountId::parse(ACCOUNT).unwrap(),
        },
        canonical_id: Some(CanonicalId::parse(&"ab".repeat(32)).unwrap()),
        access_key_id: None,
        session: None,
        via_service: None,
        region: Region::parse("us-east-1").unwrap(),
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::Plain,
        user_agent: None,
        sent: None,
    })
}

/// A body in pieces of odd sizes.
pub(crate) struct Pieces(std::vec::IntoIter<Bytes>);

impl Pieces {
    pub(crate) fn of(body: &[u8]) -> Pin<Box<Self>> {
        let pieces: Vec<Bytes> = body.chunks(7001).map(Bytes::copy_from_slice).collect();
        Box::pin(Self(pieces.into_iter()))
    }
}

impl BodySource for Pieces {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Time as tests set it; both clocks go alike.
pub(crate) struct TestClock(pub(crate) AtomicU64);

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

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            // SplitMix64.
            let seed = self.0.fetch_add(1, Ordering::SeqCst);
            let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
