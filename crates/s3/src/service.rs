//! The service: its ports, how a request enters, and how sealed rows are read and written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use strongroom_policy::{Authorizer, PrincipalDirectory};
use strongroom_ports::{
    AuditSink, BlobError, BlobStore, Clock, CommitError, Entropy, KeyAuthority, MetaError,
    MetaStore, Row, RowVersion, Table,
};
use strongroom_types::{AccountId, BlobId, BucketName, Region, VersionUid};

use crate::bucket_keys::BucketKeys;
use crate::bucket_policy::KnownPolicies;
use crate::footers::FOOTER_TURNS;
use crate::resident::resident_ports;
use crate::rows::{BucketRow, Record};
use crate::windows::WindowPool;
use crate::{BucketView, Custody, S3Error, keys};

/// What the service stands on.
#[derive(Clone)]
pub struct S3Ports {
    /// Metadata.
    pub meta: Arc<dyn MetaStore>,
    /// Bodies.
    pub blobs: Arc<dyn BlobStore>,
    /// Keys.
    pub custody: Arc<Custody>,
    /// The key service, for SSE-KMS and DSSE-KMS.
    pub keys: Arc<dyn KeyAuthority>,
    /// Decisions.
    pub authorizer: Arc<dyn Authorizer>,
    /// Who exists, for policies that name principals.
    pub principals: Arc<dyn PrincipalDirectory>,
    /// The trail.
    pub audit: Arc<dyn AuditSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// This server's region.
    pub region: Region,
    /// New buckets block SSE-C, as AWS's do since April 2026. Off by default.
    pub block_sse_c_on_new_buckets: bool,
    /// TLS ends in front of this server on a trusted network: keys may come over plain HTTP.
    pub danger_keys_over_plain_http: bool,
    /// Streams up to this stored length live in the metadata store.
    pub inline_max_bytes: usize,
    /// How long an S3 Bucket Key is used; zero asks the key service each time.
    pub bucket_key_ttl: Duration,
}

impl S3Options {
    /// The time for which an S3 Bucket Key is used, unless the operator chose another.
    pub const BUCKET_KEY_TTL: Duration = Duration::from_secs(300);
}

/// The S3 service. Cheap to share; all methods take `&self`.
pub struct S3 {
    pub(crate) ports: S3Ports,
    pub(crate) options: S3Options,
    /// Blob files being written, which no row refers to yet.
    pub(crate) blobs_in_flight: Arc<Mutex<BTreeSet<BlobId>>>,
    /// Blob files that the last orphan sweep found without a row.
    pub(crate) suspected_orphans: Mutex<BTreeSet<BlobId>>,
    /// Versions whose parts are being read, and by how many, also by the service on what is in
    /// memory.
    pub(crate) versions_being_read: Arc<Mutex<BTreeMap<VersionUid, usize>>>,
    /// Who rewrites footers holds one, by the version.
    pub(crate) footer_turns: Arc<[Mutex<()>]>,
    /// Buffers for bodies on their way out.
    pub(crate) windows: WindowPool,
    /// Bucket keys in use, also of the service on what is in memory.
    pub(crate) bucket_keys: Arc<BucketKeys>,
    /// Policies of buckets, also of the service on what is in memory.
    pub(crate) known_policies: Arc<KnownPolicies>,
    /// As whom the key service is asked: `s3.REGION.amazonaws.com`.
    pub(crate) service_name: Arc<str>,
    /// This service on what is in memory; none in that one itself.
    pub(crate) resident: Option<Arc<Self>>,
}

impl S3 {
    /// A service on its ports.
    pub fn new(ports: S3Ports, options: S3Options) -> Self {
        let windows = WindowPool::default();
        let bucket_keys = Arc::new(BucketKeys::new(options.bucket_key_ttl));
        let known_policies: Arc<KnownPolicies> = Arc::default();
        let footer_turns: Arc<[Mutex<()>]> = (0..FOOTER_TURNS).map(|_| Mutex::default()).collect();
        let service_name: Arc<str> = format!("s3.{}.amazonaws.com", options.region).into();
        // The collector asks one service only.
        let versions_being_read = Arc::default();
        let resident = Self {
            ports: resident_ports(&ports),
            options: options.clone(),
            blobs_in_flight: Arc::default(),
            suspected_orphans: Mutex::default(),
            versions_being_read: Arc::clone(&versions_being_read),
            footer_turns: Arc::clone(&footer_turns),
            windows: windows.clone(),
            bucket_keys: Arc::clone(&bucket_keys),
            known_policies: Arc::clone(&known_policies),
            service_name: Arc::clone(&service_name),
            resident: None,
        };
        Self {
            ports,
            options,
            blobs_in_flight: Arc::default(),
            suspected_orphans: Mutex::default(),
            versions_being_read,
            footer_turns,
            windows,
            bucket_keys,
            known_policies,
            service_name,
            resident: Some(Arc::new(resident)),
        }
    }

    /// The bucket of that name, and its row's version.
    pub(crate) fn read_bucket(
        &self,
        name: &BucketName,
    ) -> Result<Option<(BucketView, RowVersion)>, S3Error> {
        let Some((row, version)) =
            self.read_row::<BucketRow>(Table::BUCKETS, &keys::bucket(name))?
        else {
            return Ok(None);
        };
        let view = row.into_view(name).ok_or(S3Error::Damaged)?;
        Ok(Some((view, version)))
    }

    /// Whose the bucket of that name is.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn owner_of(&self, name: &BucketName) -> Result<Option<AccountId>, S3Error> {
        let found = self.read_bucket(name)?;
        Ok(found.map(|(bucket, _)| bucket.owner))
    }

    /// Reads, opens and decodes one row.
    pub(crate) fn read_row<R: Record>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(R, RowVersion)>, S3Error> {
        let Some(stored) = self.ports.meta.read(table, key)? else {
            return Ok(None);
        };
        let record = self.open_row(table, key, &stored.value)?;
        Ok(Some((record, stored.version)))
    }

    /// Opens and decodes a row that a scan found.
    pub(crate) fn open_scanned<R: Record>(&self, table: Table, row: &Row) -> Result<R, S3Error> {
        self.open_row(table, &row.key, &row.value)
    }

    /// The value to store for `record` at its place.
    pub(crate) fn seal_row<R: Record>(&self, table: Table, key: &[u8], record: &R) -> Bytes {
        self.ports
            .custody
            .seal_record(table, key, record, &*self.ports.entropy)
    }

    fn open_row<R: Record>(&self, table: Table, key: &[u8], value: &[u8]) -> Result<R, S3Error> {
        let opened = self.ports.custody.open_record(table, key, value);
        opened.map_err(|_| S3Error::Damaged)
    }
}

impl From<MetaError> for S3Error {
    fn from(error: MetaError) -> Self {
        if matches!(error, MetaError::NotInMemory) {
            return Self::NotInMemory;
        }
        tracing::error!(%error, "metadata read failed");
        match error {
            MetaError::Damaged(_) => Self::Damaged,
            MetaError::Io(_) | _ => Self::Unavailable,
        }
    }
}

impl From<BlobError> for S3Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NoSpace => Self::NoSpace,
            BlobError::NotFound(_) => {
                tracing::error!(%error, "blob missing");
                metrics::counter!("strongroom_integrity_events_total", "what" => "blob")
                    .increment(1);
                Self::Damaged
            }
            BlobError::Poisoned | BlobError::Io(_) | _ => {
                tracing::error!(%error, "blob i/o failed");
                Self::Unavailable
            }
        }
    }
}

impl From<CommitError> for S3Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Contention,
            CommitError::NoSpace => Self::NoSpace,
            CommitError::TooLarge | CommitError::Failed(_) | _ => {
                tracing::error!(%error, "commit failed");
                Self::Unavailable
            }
        }
    }
}
