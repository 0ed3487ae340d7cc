//! The service on stores in memory, with a clock and randomness that tests decide.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

pub(crate) mod keys;

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_policy::actions::{CreateBucket, GetObject, PutBucketVersioning, PutObject};
use strongroom_policy::{Action, Authorizer, NoPrincipals, PrincipalDirectory, RootOnly};
use strongroom_ports::{
    AuditEvent, AuditSink, BlobStore as _, Clock, CommitSequence, Committed, Entropy,
    MetaStore as _, PendingCommit, Row, Scan, Table, Transaction,
};
use strongroom_rows::SealedRows;
use strongroom_s3::{
    BodyError, BodySource, CreateBucketInput, Custody, Entry, GetObjectInput, GetObjectOutput,
    ObjectBody, PutObjectInput, PutObjectOutput, ReadError, S3, S3Error, S3Options, S3Ports,
    Versioning,
};
use strongroom_sse::CustomerHeaders;
use strongroom_store::{MemoryBlobs, MemoryMeta};
use strongroom_types::{
    AccountId, BlobId, BucketName, CanonicalId, ObjectKey, Principal, Region, RequestContext,
    RequestId, TagSet, Timestamp, Transport,
};
use tokio::runtime::Runtime;

pub(crate) use keys::TestKeys;

/// Streams up to this stored length are inline in tests.
pub(crate) const INLINE_MAX_BYTES: usize = 8192;

/// The service and what it stands on.
pub(crate) struct Fixture {
    pub(crate) service: Arc<S3>,
    pub(crate) meta: Arc<MemoryMeta>,
    pub(crate) blobs: Arc<MemoryBlobs>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) audit: Arc<TestAudit>,
    pub(crate) keys: Arc<TestKeys>,
    /// The rows of the service, for what works on them without it.
    pub(crate) sealed: SealedRows,
    pub(crate) runtime: Runtime,
}

impl Fixture {
    /// With a bucket `bucket` of that versioning.
    pub(crate) fn new(versioning: Versioning) -> Self {
        Self::on(MemoryMeta::new(), MemoryBlobs::new(), versioning)
    }

    /// With streams and manifests inline only up to that stored length.
    pub(crate) fn with_inline_max(inline_max_bytes: usize) -> Self {
        Self::configured(
            MemoryMeta::new(),
            MemoryBlobs::new(),
            Versioning::Never,
            inline_max_bytes,
        )
    }

    /// On those stores.
    pub(crate) fn on(meta: MemoryMeta, blobs: MemoryBlobs, versioning: Versioning) -> Self {
        Self::configured(meta, blobs, versioning, INLINE_MAX_BYTES)
    }

    /// With decisions by policies.
    pub(crate) fn deciding(
        authorizer: Arc<dyn Authorizer>,
        principals: Arc<dyn PrincipalDirectory>,
    ) -> Self {
        Self::assembled(
            MemoryMeta::new(),
            MemoryBlobs::new(),
            Versioning::Never,
            INLINE_MAX_BYTES,
            authorizer,
            principals,
        )
    }

    fn configured(
        meta: MemoryMeta,
        blobs: MemoryBlobs,
        versioning: Versioning,
        inline_max_bytes: usize,
    ) -> Self {
        Self::assembled(
            meta,
            blobs,
            versioning,
            inline_max_bytes,
            Arc::new(RootOnly::default()),
            Arc::new(NoPrincipals::default()),
        )
    }

    fn assembled(
        meta: MemoryMeta,
        blobs: MemoryBlobs,
        versioning: Versioning,
        inline_max_bytes: usize,
        authorizer: Arc<dyn Authorizer>,
        principals: Arc<dyn PrincipalDirectory>,
    ) -> Self {
        let (meta, blobs) = (Arc::new(meta), Arc::new(blobs));
        let clock = Arc::new(TestClock(AtomicU64::new(1_700_000_000_000)));
        let audit = Arc::new(TestAudit::default());
        let test_keys = Arc::new(TestKeys::new());
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy(AtomicU64::new(1)));
        let (ring, _) = Keyring::<Unsealed>::create(clock.now(), &*entropy);
        let sealed = SealedRows {
            meta: Arc::clone(&meta) as _,
            custody: Arc::new(Custody::new(Arc::new(ring))),
            entropy: Arc::clone(&entropy),
        };
        let ports = S3Ports {
            meta: Arc::clone(&meta) as _,
            blobs: Arc::clone(&blobs) as _,
            custody: Arc::clone(&sealed.custody),
            keys: Arc::clone(&test_keys) as _,
            authorizer,
            principals,
            audit: Arc::clone(&audit) as _,
            clock: Arc::clone(&clock) as _,
            entropy,
        };
        let options = S3Options {
            region: Region::parse("us-east-1").unwrap(),
            block_sse_c_on_new_buckets: false,
            danger_keys_over_plain_http: false,
            inline_max_bytes,
            bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
        };
        let service = Arc::new(S3::new(ports, options));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let fixture = Self {
            service,
            meta,
            blobs,
            clock,
            audit,
            keys: test_keys,
            sealed,
            runtime,
        };
        let entry = fixture
            .service
            .enter_account::<CreateBucket>(context())
            .unwrap();
        let input = CreateBucketInput {
            name: bucket(),
            tags: TagSet::default(),
            ownership: None,
            acl: strongroom_s3::WantedAcl::Unspecified,
        };
        fixture.service.create_bucket(entry, input).unwrap();
        fixture.set_versioning(versioning);
        fixture
    }

    pub(crate) fn set_versioning(&self, versioning: Versioning) {
        if versioning != Versioning::Never {
            let entry = self
                .service
                .enter_bucket::<PutBucketVersioning>(context(), &bucket(), None)
                .unwrap();
            self.service
                .put_bucket_versioning(entry, versioning)
                .unwrap();
        }
    }

    pub(crate) fn entry<A: Action>(&self, key: &str) -> Entry<A> {
        self.service
            .enter_object(context(), &bucket(), &object_key(key), None)
            .unwrap()
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) -> PutObjectOutput {
        self.try_put(key, PutObjectInput::default(), body).unwrap()
    }

    /// Puts a body that comes in pieces of odd sizes; its length is filled in.
    pub(crate) fn try_put(
        &self,
        key: &str,
        input: PutObjectInput,
        body: &[u8],
    ) -> Result<PutObjectOutput, S3Error> {
        let input = PutObjectInput {
            content_length: body.len() as u64,
            ..input
        };
        self.put_pieces(key, input, Pieces::of(body))
    }

    pub(crate) fn put_pieces(
        &self,
        key: &str,
        input: PutObjectInput,
        body: Pieces,
    ) -> Result<PutObjectOutput, S3Error> {
        let entry = self.entry::<PutObject>(key);
        self.runtime
            .block_on(self.service.put_object(entry, input, Box::pin(body)))
    }

    pub(crate) fn try_get(
        &self,
        key: &str,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        self.service.get_object(self.entry::<GetObject>(key), input)
    }

    /// All bytes that a read gives.
    pub(crate) fn read(&self, key: &str, input: GetObjectInput) -> Result<Vec<u8>, S3Error> {
        let output = self.try_get(key, input)?;
        Ok(self.drain(output).unwrap())
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        self.read(key, GetObjectInput::default()).unwrap()
    }

    /// The body's bytes, or the error that it ended with.
    pub(crate) fn drain(&self, output: GetObjectOutput) -> Result<Vec<u8>, ReadError> {
        match output.body.unwrap() {
            ObjectBody::Whole(bytes) => Ok(bytes.to_vec()),
            ObjectBody::Stream(mut stream) => self.runtime.block_on(async {
                let mut all = Vec::new();
                while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    all.extend_from_slice(&piece?);
                }
                Ok(all)
            }),
        }
    }

    pub(crate) fn rows(&self, table: Table) -> Vec<Row> {
        let scan = Scan {
            table,
            start: Bytes::new(),
            end: None,
            limit: usize::MAX,
            reverse: false,
        };
        self.meta.scan(&scan).unwrap().rows
    }

    pub(crate) fn blob_ids(&self) -> Vec<BlobId> {
        self.blobs.list(None, usize::MAX).unwrap()
    }

    pub(crate) fn blob_bytes(&self, id: BlobId) -> Vec<u8> {
        let reader = self.blobs.open(id).unwrap();
        let mut bytes = vec![0; usize::try_from(reader.len_bytes()).unwrap()];
        reader.read_at(0, &mut bytes).unwrap();
        bytes
    }

    /// Puts other bytes where a blob was, as a broken disk would.
    pub(crate) fn replace_blob(&self, id: BlobId, bytes: &[u8]) {
        self.blobs.delete(id).unwrap();
        let mut writer = self.blobs.create(id, 0).unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap();
    }

    /// Loses a blob.
    pub(crate) fn blobs_delete(&self, id: BlobId) {
        self.blobs.delete(id).unwrap();
    }

    /// Puts another value where a row was.
    pub(crate) fn replace_row(&self, table: Table, key: &[u8], value: Vec<u8>) {
        let key = Bytes::copy_from_slice(key);
        self.meta
            .commit(Transaction::new().put(table, key, value))
            .wait()
            .unwrap();
    }
}

/// The bucket that every fixture has.
pub(crate) fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

pub(crate) fn object_key(key: &str) -> ObjectKey {
    ObjectKey::parse(key).unwrap()
}

/// A request of the account's root from this host.
pub(crate) fn context() -> Arc<RequestContext> {
    context_from(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

pub(crate) fn context_from(source_ip: IpAddr) -> Arc<RequestContext> {
    Arc::new(RequestContext {
        request_id: RequestId::random(&TestEntropy(AtomicU64::new(7))),
        received: Timestamp::from_millis(0),
        principal: Principal::Root {
            account: AccountId::parse("111111111111").unwrap(),
        },
        canonical_id: Some(CanonicalId::parse(&"ab".repeat(32)).unwrap()),
        access_key_id: None,
        session: None,
        via_service: None,
        region: Region::parse("us-east-1").unwrap(),
        source_ip,
        transport: Transport::Plain,
        user_agent: None,
        sent: None,
    })
}

/// Bytes of which every stretch tells where it is from.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|index| (mix(index / 8) >> (index % 8 * 8)) as u8)
        .collect()
}

/// The trio of an SSE-C key made of one byte.
pub(crate) fn customer(byte: u8) -> CustomerHeaders {
    let key = [byte; 32];
    CustomerHeaders {
        algorithm: Some("AES256".to_owned()),
        key: Some(BASE64.encode(key).into()),
        key_md5: Some(BASE64.encode(Md5::digest(key))),
    }
}

/// A body in pieces.
pub(crate) struct Pieces {
    pieces: std::vec::IntoIter<Result<Bytes, BodyError>>,
    trailing: Option<Vec<u8>>,
}

impl Pieces {
    /// In pieces of odd sizes, small and large.
    pub(crate) fn of(body: &[u8]) -> Self {
        let sizes = [1, 4095, 70_000, 3, 300_000, 16_384, 65_536];
        let (mut rest, mut pieces) = (body, Vec::new());
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(Ok(Bytes::copy_from_slice(piece)));
            rest = after;
        }
        Self {
            pieces: pieces.into_iter(),
            trailing: None,
        }
    }

    pub(crate) fn with_trailer(self, value: Vec<u8>) -> Self {
        Self {
            trailing: Some(value),
            ..self
        }
    }

    /// Ends with an error behind all pieces.
    pub(crate) fn failing(self, error: BodyError) -> Self {
        let pieces: Vec<_> = self.pieces.chain([Err(error)]).collect();
        Self {
            pieces: pieces.into_iter(),
            trailing: self.trailing,
        }
    }
}

impl BodySource for Pieces {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(self.pieces.next())
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        self.trailing.clone()
    }
}

/// Time as tests set it.
pub(crate) struct TestClock(pub(crate) AtomicU64);

impl TestClock {
    pub(crate) fn advance_seconds(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
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
pub(crate) struct TestEntropy(pub(crate) AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = mix(self.0.fetch_add(1, Ordering::SeqCst)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Keeps the names of the events.
#[derive(Default)]
pub(crate) struct TestAudit(pub(crate) parking_lot::Mutex<Vec<&'static str>>);

impl AuditSink for TestAudit {
    fn record(&self, events: Vec<AuditEvent>) -> PendingCommit {
        self.0.lock().extend(events.iter().map(|event| event.name));
        PendingCommit::ready(Ok(Committed {
            sequence: CommitSequence(0),
        }))
    }
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A body that says when it is asked for its first piece, and waits then.
pub(crate) struct Gated {
    inner: Pieces,
    gate: Option<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>)>,
}

impl Gated {
    pub(crate) fn new(
        inner: Pieces,
        entered: std::sync::mpsc::Sender<()>,
        finish: std::sync::mpsc::Receiver<()>,
    ) -> Self {
        Self {
            inner,
            gate: Some((entered, finish)),
        }
    }
}

impl BodySource for Gated {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some((entered, finish)) = self.gate.take() {
            entered.send(()).unwrap();
            // The runtime has a second worker, and this one has nothing else to do.
            finish.recv().unwrap();
        }
        Pin::new(&mut self.inner).poll_piece(cx)
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        None
    }
}
