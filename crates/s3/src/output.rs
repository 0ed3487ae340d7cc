//! What operations answer. Plain data; the edge turns it into headers and XML.

use strongroom_types::kms::KeyArn;
use strongroom_types::{
    AccountId, Acl, BucketEncryption, BucketName, BucketUid, ByteRange, CanonicalId, Checksum,
    ChecksumAlgorithm, ChecksumType, ETag, ObjectMetadata, ObjectOwnership, PartNumber, Region,
    SseAlgorithm, StorageClass, TagSet, Timestamp, UploadId, VersionId,
};

use crate::{BucketLogging, ObjectBody, PolicyUid, PublicAccessBlock, S3Error};

/// Versioning of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Versioning {
    /// Never enabled.
    #[default]
    Never,
    /// `Enabled`.
    Enabled,
    /// `Suspended`.
    Suspended,
}

/// A bucket as it was when a request entered.
#[derive(Clone, Debug)]
pub struct BucketView {
    /// Its identity.
    pub uid: BucketUid,
    /// Its name.
    pub name: BucketName,
    /// The account that owns it.
    pub owner: AccountId,
    /// The owner's canonical id.
    pub owner_canonical_id: CanonicalId,
    /// Where it is.
    pub region: Region,
    /// When it was created.
    pub created: Timestamp,
    /// Versioning.
    pub versioning: Versioning,
    /// Default encryption.
    pub encryption: BucketEncryption,
    /// Tags; `None` where there is no tag set.
    pub tags: Option<TagSet>,
    /// Which policy it has, if any: [`S3::policy_of`](crate::S3::policy_of) reads it.
    pub policy: Option<PolicyUid>,
    /// What it blocks of what is public; `None` where the configuration was removed.
    pub public_access_block: Option<PublicAccessBlock>,
    /// Who owns its objects; `None` where the controls were removed.
    pub ownership: Option<ObjectOwnership>,
    /// Its access control list, if that is not private. [`BucketView::acl`] is the one that counts.
    pub stored_acl: Option<Acl>,
    /// Where its requests are logged to, if anywhere.
    pub logging: Option<BucketLogging>,
}

/// How an object is encrypted, as answers show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EncryptionAnswer {
    /// `x-amz-server-side-encryption: AES256`.
    SseS3,
    /// The SSE-C algorithm and the MD5 of the key that the request sent.
    SseC {
        /// Base64, echoed.
        key_md5: String,
    },
    /// SSE-KMS or DSSE-KMS.
    Kms {
        /// Which of the two.
        algorithm: SseAlgorithm,
        /// The key.
        key: KeyArn,
        /// An S3 Bucket Key is used.
        bucket_key: bool,
        /// The context header of the write that this answers, repeated; `None` in every other
        /// answer.
        context: Option<String>,
    },
}

/// PutObject, POST Object.
#[derive(Debug)]
pub struct PutObjectOutput {
    /// The tag.
    pub etag: ETag,
    /// The version, where the bucket has versions (`null` under suspended versioning).
    pub version: Option<VersionId>,
    /// How it is encrypted.
    pub encryption: EncryptionAnswer,
    /// The checksum that is kept.
    pub checksum: Option<Checksum>,
    /// Size, in bytes.
    pub size_bytes: u64,
}

/// What is known of an object version.
#[derive(Clone, Debug)]
pub struct ObjectView {
    /// Size of the whole object, in bytes.
    pub size_bytes: u64,
    /// The tag.
    pub etag: ETag,
    /// When it was written.
    pub last_modified: Timestamp,
    /// The version, where the bucket has or had versions.
    pub version: Option<VersionId>,
    /// Metadata.
    pub metadata: ObjectMetadata,
    /// Storage class.
    pub storage_class: StorageClass,
    /// How it is encrypted.
    pub encryption: EncryptionAnswer,
    /// The checksum, where it was asked for and applies to what is sent.
    pub checksum: Option<Checksum>,
    /// Number of tags.
    pub tag_count: usize,
    /// Number of parts, where a part was asked for of a multipart object.
    pub parts_count: Option<u32>,
}

/// GetObject and HeadObject.
#[derive(Debug)]
pub struct GetObjectOutput {
    /// The object.
    pub object: ObjectView,
    /// The bytes sent, where they are not the whole object: 206 and `Content-Range`.
    pub range: Option<ByteRange>,
    /// The bytes; `None` for HEAD.
    pub body: Option<ObjectBody>,
}

/// DeleteObject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteObjectOutput {
    /// The version removed, or the delete marker made.
    pub version: Option<VersionId>,
    /// Whether a delete marker was made, or the version removed was one.
    pub delete_marker: bool,
}

/// CopyObject.
#[derive(Debug)]
pub struct CopyObjectOutput {
    /// The copy.
    pub object: PutObjectOutput,
    /// When it was written.
    pub last_modified: Timestamp,
    /// The source's version, where its bucket has versions.
    pub source_version: Option<VersionId>,
}

/// CreateMultipartUpload.
#[derive(Debug)]
pub struct CreateMultipartUploadOutput {
    /// The upload.
    pub upload: UploadId,
    /// How it will be encrypted.
    pub encryption: EncryptionAnswer,
    /// Its checksum algorithm and type.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

/// UploadPart and UploadPartCopy.
#[derive(Debug)]
pub struct UploadPartOutput {
    /// The part's tag.
    pub etag: ETag,
    /// When it was written.
    pub last_modified: Timestamp,
    /// The part's checksum.
    pub checksum: Option<Checksum>,
    /// How the upload is encrypted.
    pub encryption: EncryptionAnswer,
    /// UploadPartCopy: the source's version.
    pub source_version: Option<VersionId>,
}

/// CompleteMultipartUpload.
#[derive(Debug)]
pub struct CompleteMultipartUploadOutput {
    /// The object's tag.
    pub etag: ETag,
    /// The version.
    pub version: Option<VersionId>,
    /// The checksum.
    pub checksum: Option<Checksum>,
    /// `None` for SSE-C, of which S3 echoes nothing here.
    pub encryption: Option<EncryptionAnswer>,
}

/// One object of a listing.
#[derive(Debug, Clone)]
pub struct ListedObject {
    /// Key.
    pub key: String,
    /// When it was written.
    pub last_modified: Timestamp,
    /// The tag.
    pub etag: ETag,
    /// Size, in bytes.
    pub size_bytes: u64,
    /// Storage class.
    pub storage_class: StorageClass,
    /// Checksum algorithm and type.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// The owner.
    pub owner: CanonicalId,
}

/// ListObjects: entries and common prefixes, each sorted, together at most `max_keys`.
#[derive(Debug, Default)]
pub struct ListObjectsOutput {
    /// Objects.
    pub objects: Vec<ListedObject>,
    /// Common prefixes.
    pub common_prefixes: Vec<String>,
    /// The last key or common prefix of this page, where there are further ones behind it.
    pub next_after: Option<String>,
}

/// One version or delete marker of a listing.
#[derive(Debug, Clone)]
pub struct ListedVersion {
    /// The object; for a delete marker size and tag mean nothing.
    pub object: ListedObject,
    /// The version.
    pub version: VersionId,
    /// Whether it is the newest of its key.
    pub is_latest: bool,
    /// Whether it is a delete marker.
    pub is_delete_marker: bool,
}

/// ListObjectVersions.
#[derive(Debug, Default)]
pub struct ListVersionsOutput {
    /// Versions and delete markers in order.
    pub versions: Vec<ListedVersion>,
    /// Common prefixes.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts: key (or common prefix) and version marker.
    pub next: Option<(String, Option<VersionId>)>,
}

/// One upload in progress.
#[derive(Debug, Clone)]
pub struct ListedUpload {
    /// Key.
    pub key: String,
    /// The upload.
    pub upload: UploadId,
    /// Storage class.
    pub storage_class: StorageClass,
    /// Checksum algorithm and type.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// The owner.
    pub owner: CanonicalId,
}

/// ListMultipartUploads.
#[derive(Debug, Default)]
pub struct ListUploadsOutput {
    /// The uploads.
    pub uploads: Vec<ListedUpload>,
    /// Common prefixes.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts.
    pub next: Option<(String, Option<UploadId>)>,
}

/// One part of a listing.
#[derive(Debug, Clone)]
pub struct ListedPart {
    /// Number.
    pub part_number: PartNumber,
    /// When it was written.
    pub last_modified: Timestamp,
    /// Tag.
    pub etag: ETag,
    /// Size, in bytes.
    pub size_bytes: u64,
    /// Checksum.
    pub checksum: Option<Checksum>,
}

/// ListParts.
#[derive(Debug)]
pub struct ListPartsOutput {
    /// The parts.
    pub parts: Vec<ListedPart>,
    /// The last part number of this page, where there are further ones.
    pub next_after: Option<u32>,
    /// Storage class.
    pub storage_class: StorageClass,
    /// The upload's checksum algorithm and type.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// The owner.
    pub owner: CanonicalId,
}

/// GetObjectAttributes.
#[derive(Debug)]
pub struct ObjectAttributes {
    /// The object, checksum included where asked for.
    pub object: ObjectView,
    /// For a multipart object: its parts (only those with checksums are listed by S3), their total
    /// number, and where the next page starts.
    pub parts: Option<AttributeParts>,
}

/// `ObjectParts`.
#[derive(Debug)]
pub struct AttributeParts {
    /// Number of all parts.
    pub total: u32,
    /// This page; empty where the upload declared no checksum algorithm.
    pub parts: Vec<ListedPart>,
    /// The last part number of this page, where there are further ones.
    pub next_after: Option<u32>,
}

/// The outcome of one entry of DeleteObjects.
pub type DeleteOutcome = Result<DeleteObjectOutput, S3Error>;

/// ListBuckets.
#[derive(Debug, Default)]
pub struct ListBucketsOutput {
    /// The buckets, by name.
    pub buckets: Vec<BucketView>,
    /// The last name of this page, where there are further ones behind it.
    pub next_after: Option<String>,
}
