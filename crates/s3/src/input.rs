//! What operations are asked for. Plain data, parsed by the edge.

use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::kms::KeyArn;
use strongroom_types::{
    BlockedEncryption, BucketName, ByteRange, Checksum, ChecksumAlgorithm, ChecksumType, ETag,
    ObjectKey, ObjectMetadata, ObjectOwnership, PartNumber, RangeSpec, SseAlgorithm, TagSet,
    Timestamp, UploadId, VersionId,
};

use crate::WantedAcl;

/// `If-Match` or `If-None-Match`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ETagCondition {
    /// `*`.
    Any,
    /// A list of tags, quotes and weakness marks removed.
    Tags(Vec<ETag>),
}

/// Conditions on a read, or on a copy's source (RFC 9110, 13; S3 API reference, GetObject).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<ETagCondition>,
    /// `If-None-Match`.
    pub if_none_match: Option<ETagCondition>,
    /// `If-Modified-Since`, by whole seconds.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`, by whole seconds.
    pub if_unmodified_since: Option<Timestamp>,
}

/// Conditions on a write, checked in the same transaction that makes the write visible.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteConditions {
    /// `If-Match`: the current version exists and has this tag. 404 when there is none.
    pub if_match: Option<ETagCondition>,
    /// `If-None-Match: *`: there is no current version.
    pub if_none_match: bool,
}

/// The digests that a body must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExpectedDigests {
    /// `Content-MD5`.
    pub content_md5: Option<[u8; 16]>,
    /// `x-amz-content-sha256`, where it is a hash.
    pub content_sha256: Option<[u8; 32]>,
    /// The additional checksum.
    pub checksum: Option<ExpectedChecksum>,
}

/// An additional checksum: which, and what it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedChecksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Where the value is.
    pub value: ChecksumValue,
}

/// Where the value of an additional checksum comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChecksumValue {
    /// In a header, decoded.
    Header(Vec<u8>),
    /// In a trailer that must come.
    Trailer,
    /// Only the algorithm was named: compute and keep it.
    Computed,
}

/// PutObject, and POST Object.
#[derive(Debug, Default)]
pub struct PutObjectInput {
    /// Length of the decoded body, in bytes. S3 demands that it be known.
    pub content_length: u64,
    /// System and user metadata.
    pub metadata: ObjectMetadata,
    /// `x-amz-tagging`.
    pub tags: TagSet,
    /// The encryption headers, raw.
    pub sse: SseHeaders,
    /// Conditions.
    pub conditions: WriteConditions,
    /// Digests.
    pub digests: ExpectedDigests,
    /// The access control list.
    pub acl: WantedAcl,
}

/// GetObject and HeadObject.
#[derive(Debug, Default)]
pub struct GetObjectInput {
    /// `versionId`.
    pub version: Option<VersionId>,
    /// `Range`; ignored where it does not parse. Excludes `part_number`.
    pub range: Option<RangeSpec>,
    /// `partNumber`.
    pub part_number: Option<PartNumber>,
    /// Conditions.
    pub conditions: ReadConditions,
    /// Encryption headers that have no place on a read are refused; the SSE-C trio is used.
    pub sse: SseHeaders,
    /// `x-amz-checksum-mode: ENABLED`.
    pub with_checksum: bool,
}

/// DeleteObject, or one entry of DeleteObjects.
#[derive(Debug, Default, Clone)]
pub struct DeleteObjectInput {
    /// `versionId`.
    pub version: Option<VersionId>,
    /// `If-Match`.
    pub if_match: Option<ETagCondition>,
}

/// The source of a copy.
#[derive(Debug)]
pub struct CopySource {
    /// Bucket.
    pub bucket: BucketName,
    /// Key.
    pub key: ObjectKey,
    /// `?versionId=`.
    pub version: Option<VersionId>,
    /// `x-amz-copy-source-if-*`.
    pub conditions: ReadConditions,
    /// `x-amz-copy-source-server-side-encryption-customer-*`.
    pub customer: CustomerHeaders,
}

/// `x-amz-metadata-directive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataDirective {
    /// `COPY`: the source's metadata.
    Copy,
    /// `REPLACE`: what this request says.
    Replace(ObjectMetadata),
}

/// `x-amz-tagging-directive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaggingDirective {
    /// `COPY`: the source's tags.
    Copy,
    /// `COPY`, allowed for these tags of the source: if it has others by then, it is tried again.
    CopyOf(TagSet),
    /// `REPLACE`: what this request says.
    Replace(TagSet),
}

/// CopyObject.
#[derive(Debug)]
pub struct CopyObjectInput {
    /// The metadata of the copy.
    pub metadata: MetadataDirective,
    /// The tags of the copy.
    pub tags: TaggingDirective,
    /// `x-amz-website-redirect-location`, which is never copied.
    pub website_redirect_location: Option<String>,
    /// `x-amz-storage-class` was sent (a self-copy is then legal).
    pub storage_class_given: bool,
    /// The destination's encryption headers, raw.
    pub sse: SseHeaders,
    /// Conditions on the destination.
    pub conditions: WriteConditions,
    /// `x-amz-checksum-algorithm`: compute this one; else the source's is kept.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// The access control list.
    pub acl: WantedAcl,
}

/// CreateMultipartUpload.
#[derive(Debug, Default)]
pub struct CreateMultipartUploadInput {
    /// System and user metadata.
    pub metadata: ObjectMetadata,
    /// `x-amz-tagging`.
    pub tags: TagSet,
    /// The encryption headers, raw.
    pub sse: SseHeaders,
    /// `x-amz-checksum-algorithm`.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// `x-amz-checksum-type`.
    pub checksum_type: Option<ChecksumType>,
    /// The access control list.
    pub acl: WantedAcl,
}

/// UploadPart.
#[derive(Debug)]
pub struct UploadPartInput {
    /// The upload.
    pub upload: UploadId,
    /// The part.
    pub part_number: PartNumber,
    /// Length of the decoded body, in bytes.
    pub content_length: u64,
    /// The SSE-C trio.
    pub customer: CustomerHeaders,
    /// Digests.
    pub digests: ExpectedDigests,
}

/// UploadPartCopy.
#[derive(Debug)]
pub struct UploadPartCopyInput {
    /// The upload.
    pub upload: UploadId,
    /// The part.
    pub part_number: PartNumber,
    /// `x-amz-copy-source-range`, `bytes=first-last` with both ends, as `start..end`.
    pub source_range: Option<ByteRange>,
    /// The SSE-C trio of the upload.
    pub customer: CustomerHeaders,
}

/// One part of a completion list.
#[derive(Debug, Clone)]
pub struct CompletedPart {
    /// The part.
    pub part_number: PartNumber,
    /// Its tag.
    pub etag: ETag,
    /// Its checksum, if the client repeats it.
    pub checksum: Option<(ChecksumAlgorithm, Vec<u8>)>,
}

/// CompleteMultipartUpload.
#[derive(Debug)]
pub struct CompleteMultipartUploadInput {
    /// The upload.
    pub upload: UploadId,
    /// The list, in the client's order.
    pub parts: Vec<CompletedPart>,
    /// The object's checksum, if the client knows it: `x-amz-checksum-*`, composite or full-object.
    pub checksum: Option<Checksum>,
    /// `x-amz-checksum-type`.
    pub checksum_type: Option<ChecksumType>,
    /// `x-amz-mp-object-size`.
    pub object_size: Option<u64>,
    /// The SSE-C trio.
    pub customer: CustomerHeaders,
    /// Conditions.
    pub conditions: WriteConditions,
}

/// ListParts.
#[derive(Debug)]
pub struct ListPartsInput {
    /// The upload.
    pub upload: UploadId,
    /// `part-number-marker`: only parts behind it.
    pub after: u32,
    /// `max-parts`, at most 1,000; zero gives an empty page.
    pub max_parts: u32,
    /// The SSE-C trio.
    pub customer: CustomerHeaders,
}

/// ListObjects (V1 and V2 differ only in how the edge speaks of the position).
#[derive(Debug, Default, Clone)]
pub struct ListObjectsInput {
    /// `prefix`.
    pub prefix: String,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// Only keys and common prefixes behind it: `marker`, `start-after` or the decoded token.
    pub after: Option<String>,
    /// `max-keys`, at most 1,000; zero gives an empty page.
    pub max_keys: u32,
}

/// ListObjectVersions.
#[derive(Debug, Default, Clone)]
pub struct ListVersionsInput {
    /// `prefix`.
    pub prefix: String,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// `key-marker`.
    pub key_marker: Option<String>,
    /// `version-id-marker`; only with a key marker.
    pub version_marker: Option<VersionId>,
    /// `max-keys`, at most 1,000; zero gives an empty page.
    pub max_keys: u32,
}

/// ListMultipartUploads.
#[derive(Debug, Default, Clone)]
pub struct ListUploadsInput {
    /// `prefix`.
    pub prefix: String,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// `key-marker`.
    pub key_marker: Option<String>,
    /// `upload-id-marker`; only with a key marker.
    pub upload_marker: Option<UploadId>,
    /// `max-uploads`, at most 1,000.
    pub max_uploads: u32,
}

/// GetObjectAttributes.
#[derive(Debug, Default)]
pub struct GetObjectAttributesInput {
    /// `versionId`.
    pub version: Option<VersionId>,
    /// The SSE-C trio; other encryption headers are refused.
    pub sse: SseHeaders,
    /// Whether the answer shows the checksum (needs the object's data key).
    pub with_checksum: bool,
    /// `ObjectParts` wanted: parts behind the marker, and how many at most.
    pub parts: Option<(u32, u32)>,
}

/// CreateBucket.
#[derive(Debug)]
pub struct CreateBucketInput {
    /// The name.
    pub name: BucketName,
    /// Tags of `CreateBucketConfiguration`.
    pub tags: TagSet,
    /// Who is to own its objects; `None` is the default.
    pub ownership: Option<ObjectOwnership>,
    /// The bucket's access control list.
    pub acl: WantedAcl,
}

/// ListBuckets.
#[derive(Debug, Default, Clone)]
pub struct ListBucketsInput {
    /// `prefix`.
    pub prefix: String,
    /// Only buckets behind this name: the decoded continuation token.
    pub after: Option<String>,
    /// `max-buckets`; zero gives an empty page.
    pub max: u32,
}

/// UpdateObjectEncryption.
#[derive(Debug, Clone)]
pub struct UpdateObjectEncryptionInput {
    /// `versionId`.
    pub version: Option<VersionId>,
    /// `KMSKeyArn`.
    pub key: KeyArn,
    /// `BucketKeyEnabled`.
    pub bucket_key: bool,
}

/// PutBucketEncryption: what the one rule says.
#[derive(Debug, Clone, Default)]
pub struct EncryptionChange {
    /// `SSEAlgorithm`; `None` where the rule has no default encryption, which keeps the present one.
    pub algorithm: Option<SseAlgorithm>,
    /// `KMSMasterKeyID`, exactly as given.
    pub kms_key_id: Option<String>,
    /// `BucketKeyEnabled`.
    pub bucket_key_enabled: bool,
    /// `BlockedEncryptionTypes`; `None` where left out, which keeps the present block.
    pub blocked: Option<BlockedEncryption>,
}
