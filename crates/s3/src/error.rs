//! Everything that can be wrong with an S3 request, in the service's own words. AWS's codes, texts
//! and statuses are one table in `strongroom-api`.

use strongroom_policy::Denied;
use strongroom_ports::KeyError;
use strongroom_sse::SseError;
use strongroom_types::{
    AccountId, BucketName, CanonicalId, ChecksumAlgorithm, ETag, ObjectKey, TagError, Timestamp,
    VersionId,
};

use crate::{BodyError, GranteePlace, TargetRefusal};

/// Why an operation did not happen. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// Only memory was asked ([`S3::resident`](crate::S3::resident)), and it does not know: ask the
    /// service itself, on a worker thread. Never answered to a client.
    #[error("the answer is not in memory")]
    NotInMemory,
    /// No bucket of that name.
    #[error("no bucket {0}")]
    NoSuchBucket(BucketName),
    /// The caller already owns the bucket (not an error in us-east-1; the edge decides).
    #[error("bucket exists and is yours")]
    BucketAlreadyOwnedByYou(BucketName),
    /// Somebody else owns the bucket.
    #[error("bucket exists and is another's")]
    BucketAlreadyExists(BucketName),
    /// The bucket holds versions or delete markers.
    #[error("bucket is not empty")]
    BucketNotEmpty(BucketName),
    /// The account has as many buckets as it may.
    #[error("too many buckets")]
    TooManyBuckets,
    /// A bucket's requests cannot be logged to that bucket.
    #[error(transparent)]
    LogTarget(#[from] TargetRefusal),
    /// `x-amz-expected-bucket-owner` names another account.
    #[error("bucket owner differs from the expected {0}")]
    UnexpectedBucketOwner(AccountId),
    /// The location constraint is not this server's region.
    #[error("location constraint invalid")]
    IllegalLocationConstraint,
    /// No current version of that key.
    #[error("no such key")]
    NoSuchKey {
        /// The key.
        key: ObjectKey,
        /// The delete marker that hides it, if one does.
        delete_marker: Option<VersionId>,
    },
    /// No such version of that key.
    #[error("no such version")]
    NoSuchVersion {
        /// The key.
        key: ObjectKey,
        /// The version asked for.
        version: VersionId,
    },
    /// GET or HEAD of a delete marker by its version id.
    #[error("the version is a delete marker")]
    IsDeleteMarker {
        /// The marker.
        version: VersionId,
        /// When it was made.
        last_modified: Timestamp,
    },
    /// No such upload, or it was completed or aborted.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part of the completion list does not exist or has another ETag or checksum.
    #[error("invalid part {part_number}")]
    InvalidPart {
        /// The part.
        part_number: u16,
    },
    /// The completion list is not in ascending order.
    #[error("parts are not in ascending order")]
    InvalidPartOrder,
    /// A part other than the last is smaller than 5 MiB.
    #[error("part {part_number} is too small")]
    EntityTooSmall {
        /// The part.
        part_number: u16,
        /// Its size, in bytes.
        size_bytes: u64,
        /// Its tag.
        etag: ETag,
    },
    /// More bytes than S3 allows in one request or object.
    #[error("entity too large")]
    EntityTooLarge {
        /// What was announced or reached.
        size_bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// The completion list is empty or longer than 10,000, or another structural fault of it.
    #[error("malformed completion list")]
    MalformedPartList,
    /// The object size named by `x-amz-mp-object-size` is not the sum of the parts.
    #[error("object size differs from the announced one")]
    ObjectSizeMismatch,
    /// A condition on a read or write did not hold.
    #[error("precondition failed: {condition}")]
    PreconditionFailed {
        /// The header that failed, such as `If-Match`.
        condition: &'static str,
    },
    /// The read's condition says that the client has it already.
    #[error("not modified")]
    NotModified {
        /// The current tag.
        etag: ETag,
        /// The current date.
        last_modified: Timestamp,
        /// The current version, where the bucket has versions.
        version: Option<VersionId>,
    },
    /// A conditional write met a concurrent one; the client may try again.
    #[error("conflicting conditional operation")]
    ConditionalRequestConflict,
    /// The range lies outside of the object.
    #[error("range not satisfiable")]
    InvalidRange {
        /// The object's size, in bytes.
        size_bytes: u64,
    },
    /// The object has no part of that number.
    #[error("no part of that number")]
    InvalidPartNumber {
        /// What was asked for.
        part_number: u16,
        /// Number of parts that there are.
        part_count: u32,
    },
    /// `Content-MD5` does not match the body.
    #[error("Content-MD5 does not match")]
    BadDigest {
        /// The MD5 announced.
        expected: [u8; 16],
        /// The MD5 of what came.
        computed: [u8; 16],
    },
    /// `x-amz-content-sha256` does not match the body.
    #[error("content SHA-256 does not match")]
    ContentSha256Mismatch {
        /// The hash announced.
        expected: [u8; 32],
        /// The hash of what came.
        computed: [u8; 32],
    },
    /// An `x-amz-checksum-*` value does not match the body.
    #[error("{0} checksum does not match")]
    ChecksumMismatch(ChecksumAlgorithm),
    /// The part's checksum algorithm is not the upload's.
    #[error("checksum type mismatch: expected {expected:?}, got {got:?}")]
    ChecksumAlgorithmMismatch {
        /// The upload's.
        expected: Option<ChecksumAlgorithm>,
        /// The part's.
        got: Option<ChecksumAlgorithm>,
    },
    /// The checksum type is not one that the algorithm can have.
    #[error("checksum type not possible with the algorithm")]
    ChecksumTypeNotAllowed(ChecksumAlgorithm),
    /// The declared trailer did not come.
    #[error("declared trailer missing")]
    TrailerMissing,
    /// The body did not arrive whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// An encryption header breaks a rule.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// The key service refuses, or cannot be asked.
    #[error(transparent)]
    Kms(KeyError),
    /// The object's encryption cannot be updated.
    #[error(transparent)]
    ReEncryption(#[from] ReEncryptionRefusal),
    /// An access control list or ownership setting is not as it must be.
    #[error(transparent)]
    Acl(#[from] AclRefusal),
    /// The caller may not.
    #[error(transparent)]
    AccessDenied(#[from] Denied),
    /// The document cannot be the bucket's policy; the text is for the caller.
    #[error("{0}")]
    MalformedPolicy(&'static str),
    /// A tag set breaks a rule.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The bucket has no tags.
    #[error("no tag set")]
    NoSuchTagSet,
    /// User metadata exceeds 2 KB.
    #[error("metadata too large")]
    MetadataTooLarge {
        /// Its size, in bytes.
        size_bytes: usize,
    },
    /// A copy onto itself that changes nothing.
    #[error("copy onto itself without a change")]
    CopyOntoItself,
    /// The copy's source is a delete marker.
    #[error("the copy source is a delete marker")]
    CopySourceIsDeleteMarker,
    /// The copy's source is larger than 5 GiB.
    #[error("the copy source is too large for one copy")]
    CopySourceTooLarge {
        /// Its size, in bytes.
        size_bytes: u64,
    },
    /// The copy's source range is malformed or outside of the source.
    #[error("copy source range invalid")]
    InvalidCopySourceRange {
        /// The source's size, in bytes.
        size_bytes: u64,
    },
    /// Stored data does not verify. An integrity event was raised.
    #[error("stored data does not verify")]
    Damaged,
    /// The floor of free disk space is reached.
    #[error("no space is left")]
    NoSpace,
    /// Too many conflicting writers; the client may try again.
    #[error("too much contention")]
    Contention,
    /// The store takes no writes or cannot be read; the log says why.
    #[error("the store is unavailable")]
    Unavailable,
}

/// Why an object's encryption is not updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReEncryptionRefusal {
    /// The object is SSE-C.
    #[error("the object is encrypted with a customer's key")]
    SourceSseC,
    /// The object is DSSE-KMS.
    #[error("the object is encrypted in two layers")]
    SourceDsse,
    /// Nobody signed the request.
    #[error("the request is not signed")]
    NotSigned,
    /// The key is of another account than the bucket.
    #[error("the key is of another account than the bucket")]
    ForeignKey,
}

/// Why an access control list or an ownership setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclRefusal {
    /// Lists do not count in the bucket.
    #[error("the bucket does not allow ACLs")]
    NotSupported,
    /// A list has more grants than it may.
    #[error("too many grants")]
    TooManyGrants,
    /// A grant is to an account that is not here.
    #[error("no account has the canonical id")]
    NoSuchGrantee {
        /// The id as sent.
        id: CanonicalId,
        /// Where.
        place: GranteePlace,
    },
    /// A bucket's list gives something to others, and is to count no longer.
    #[error("the bucket's ACL reaches beyond its owner")]
    ReachesBeyondOwner,
    /// A new bucket's list is public, and public lists are blocked in new buckets.
    #[error("the bucket's ACL is public")]
    Public,
    /// The bucket's ownership controls were removed.
    #[error("no ownership controls")]
    NoOwnershipControls,
}

impl From<KeyError> for S3Error {
    fn from(error: KeyError) -> Self {
        if error == KeyError::NotInMemory {
            Self::NotInMemory
        } else {
            Self::Kms(error)
        }
    }
}

impl strongroom_rows::Contended for S3Error {
    fn contention() -> Self {
        Self::Contention
    }

    fn is_contention(&self) -> bool {
        matches!(self, Self::Contention)
    }
}
