//! The service on stores that a history can shake: conflicts, and power that goes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use md5::{Digest as _, Md5};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_policy::{NoPrincipals, RootOnly, actions};
use strongroom_ports::{BlobStore, Clock as _, Entropy, MetaStore};
use strongroom_s3::{
    Custody, Entry, ObjectBody, PutObjectInput, PutObjectOutput, S3, S3Error, S3Options, S3Ports,
    UploadPartInput, UploadPartOutput,
};
use strongroom_store::disk::{Crash, Disk, Fault, FaultKind, SimDisk};
use strongroom_store::{
    BlobOptions, ConflictRule, DurableMeta, FileBlobs, MemoryBlobs, MemoryMeta, MetaOptions,
    StoreKeys,
};
use strongroom_types::{ETag, Region};
use tokio::runtime::Runtime;

use crate::support::{INLINE_MAX_BYTES, Pieces, TestAudit, TestClock, TestEntropy, TestKeys};

/// The service, its disk if it has one, and what outlives a loss of power.
pub(crate) struct World {
    /// `None` only while the power is off.
    service: Option<Arc<S3>>,
    blobs: Option<Arc<dyn BlobStore>>,
    disk: Option<SimDisk>,
    ring: Arc<Keyring<Unsealed>>,
    clock: Arc<TestClock>,
    keys: Arc<TestKeys>,
    entropy: Arc<dyn Entropy>,
    runtime: Runtime,
}

impl World {
    pub(crate) fn in_memory() -> Self {
        Self::new(1).powered(Arc::new(MemoryMeta::new()), Arc::new(MemoryBlobs::new()))
    }

    pub(crate) fn with_conflicts(seed: u64) -> Self {
        let meta = MemoryMeta::with_conflicts(ConflictRule { one_in: 3, seed });
        Self::new(1).powered(Arc::new(meta), Arc::new(MemoryBlobs::new()))
    }

    /// On the durable store over a disk that can lose power.
    pub(crate) fn durable(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.disk = Some(SimDisk::new());
        world.start()
    }

    /// Power goes, and comes back: what was not synced is lost or torn, and the stores are opened
    /// again.
    pub(crate) fn lose_power(&mut self, seed: u64) {
        // The stores' threads end before the disk forgets.
        self.service = None;
        self.blobs = None;
        let disk = self.disk.clone().unwrap();
        disk.crash(Crash::Torn { seed });
        let (meta, blobs) = self.open(&disk);
        self.connect(meta, blobs);
    }

    /// Lets the power go at the `offset`-th change of the disk from now on.
    pub(crate) fn plan_power_loss(&self, offset: u64) {
        let disk = self.disk.as_ref().unwrap();
        let at_operation = disk.operations() + offset;
        disk.set_fault(Some(Fault {
            at_operation,
            sticky: true,
            kind: FaultKind::PowerOff,
        }));
    }

    pub(crate) fn service(&self) -> &Arc<S3> {
        self.service.as_ref().unwrap()
    }

    pub(crate) fn put_object(
        &self,
        entry: Entry<actions::PutObject>,
        input: PutObjectInput,
        body: &[u8],
    ) -> Result<PutObjectOutput, S3Error> {
        let content_length = u64::try_from(body.len()).unwrap();
        let input = PutObjectInput {
            content_length,
            ..input
        };
        self.runtime.block_on(
            self.service()
                .put_object(entry, input, Box::pin(Pieces::of(body))),
        )
    }

    pub(crate) fn upload_part(
        &self,
        entry: Entry<actions::PutObject>,
        input: UploadPartInput,
        body: &[u8],
    ) -> Result<UploadPartOutput, S3Error> {
        self.runtime.block_on(
            self.service()
                .upload_part(entry, input, Box::pin(Pieces::of(body))),
        )
    }

    pub(crate) fn read_body(&self, body: ObjectBody) -> Vec<u8> {
        match body {
            ObjectBody::Whole(bytes) => bytes.to_vec(),
            ObjectBody::Stream(mut stream) => self.runtime.block_on(async {
                let mut all = Vec::new();
                while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    all.extend_from_slice(&piece.unwrap());
                }
                all
            }),
        }
    }

    /// Lets the collector finish, and the sweep see everything twice.
    pub(crate) fn collect_everything(&self) {
        while self.service().collect_garbage(1000).unwrap().collected > 0 {}
        self.service().sweep_orphans().unwrap();
        self.service().sweep_orphans().unwrap();
    }

    /// Number of blob files.
    pub(crate) fn blob_count(&self) -> usize {
        self.blobs
            .as_ref()
            .unwrap()
            .list(None, usize::MAX)
            .unwrap()
            .len()
    }

    fn new(seed: u64) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(1_700_000_000_000)));
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy(AtomicU64::new(seed)));
        let (ring, _) = Keyring::<Unsealed>::create(clock.now(), &*entropy);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let ring = Arc::new(ring);
        Self {
            service: None,
            blobs: None,
            disk: None,
            ring,
            clock,
            keys: Arc::new(TestKeys::new()),
            entropy,
            runtime,
        }
    }

    fn start(mut self) -> Self {
        let disk = self.disk.clone().unwrap();
        let (meta, blobs) = self.open(&disk);
        self.connect(meta, blobs);
        self
    }

    fn powered(mut self, meta: Arc<dyn MetaStore>, blobs: Arc<dyn BlobStore>) -> Self {
        self.connect(meta, blobs);
        self
    }

    /// Small bounds, so that a short history crosses checkpoints and snapshots.
    fn open(&self, disk: &SimDisk) -> (Arc<dyn MetaStore>, Arc<dyn BlobStore>) {
        let options = MetaOptions {
            journal_file_len_bytes: 64 << 10,
            memtable_bytes: 16 << 10,
            index_cache_bytes: 1 << 20,
            snapshot_after_bytes: 128 << 10,
            floor_bytes: 0,
        };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let keys = Arc::clone(&self.ring) as Arc<dyn StoreKeys>;
        let meta = DurableMeta::open(Arc::clone(&disk), keys, Arc::clone(&self.entropy), options);
        let blobs = FileBlobs::open(disk, BlobOptions { floor_bytes: 0 });
        (Arc::new(meta.unwrap()), Arc::new(blobs.unwrap()))
    }

    fn connect(&mut self, meta: Arc<dyn MetaStore>, blobs: Arc<dyn BlobStore>) {
        self.blobs = Some(Arc::clone(&blobs));
        let ports = S3Ports {
            meta,
            blobs,
            custody: Arc::new(Custody::new(Arc::clone(&self.ring))),
            keys: Arc::clone(&self.keys) as _,
            authorizer: Arc::new(RootOnly::default()),
            principals: Arc::new(NoPrincipals::default()),
            audit: Arc::new(TestAudit::default()),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy),
        };
        let options = S3Options {
            region: Region::parse("us-east-1").unwrap(),
            block_sse_c_on_new_buckets: false,
            danger_keys_over_plain_http: false,
            inline_max_bytes: INLINE_MAX_BYTES,
            bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
        };
        self.service = Some(Arc::new(S3::new(ports, options)));
    }
}

/// The tag of an SSE-S3 object of one piece.
pub(crate) fn md5_etag(bytes: &[u8]) -> ETag {
    ETag::from_digest(Md5::digest(bytes).into())
}
