//! What metadata rows hold: versioned CBOR records, sealed row by row.
//!
//! Domain types do not encode themselves: what is on disk is spelled out here.

use minicbor::{Decode, Encode};
pub(crate) use strongroom_rows::Record;
use strongroom_types::{ChecksumAlgorithm, ChecksumType};

use crate::logging::LoggingRow;
use crate::reencryption::ReEncryptionRow;

strongroom_rows::record_kinds!(
    BucketRow = 1,
    CurrentRow = 2,
    VersionRow = 3,
    NullVersionRow = 4,
    UploadRow = 5,
    PartRow = 6,
    BlobRow = 7,
    GarbageRow = 8,
    KmsRow = 10,
    ReEncryptionRow = 11,
    PendingFootersRow = 12,
    PolicyRow = 13
);

/// A key and a value, of tags and user metadata.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PairRow {
    #[n(0)]
    pub key: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

/// A bucket.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct BucketRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub uid: [u8; 16],
    #[n(1)]
    pub owner: String,
    #[n(2)]
    pub owner_canonical_id: String,
    #[n(3)]
    pub region: String,
    #[n(4)]
    pub created_millis: u64,
    /// 0 never, 1 enabled, 2 suspended.
    #[n(5)]
    pub versioning: u8,
    #[n(6)]
    pub encryption: EncryptionRow,
    #[n(7)]
    pub tags: Option<Vec<PairRow>>,
    /// The bucket's policy, in a row of its own: it may be longer than this row has space for.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub policy: Option<[u8; 16]>,
    /// See [`crate::PublicAccessBlock`]; `None` in rows from before there was one.
    #[n(9)]
    pub public_access_block: Option<u8>,
    /// 0 controls removed, 1 `BucketOwnerEnforced`, 2 `BucketOwnerPreferred`, 3 `ObjectWriter`;
    /// `None`, of a time without ACLs, is 1.
    #[n(10)]
    pub ownership: Option<u8>,
    /// The access control list; `None` if it is private.
    #[n(11)]
    pub acl: Option<Vec<AclGrantRow>>,
    /// Where its requests are logged to.
    #[n(12)]
    pub logging: Option<LoggingRow>,
}

/// A bucket's policy.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PolicyRow {
    /// As it was sent.
    #[n(0)]
    pub text: String,
    /// By which is decided, if that differs.
    #[n(1)]
    pub pinned: Option<String>,
}

/// A line of an access control list. The list's owner is that of the row it is in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AclGrantRow {
    /// 1 `READ`, 2 `WRITE`, 3 `READ_ACP`, 4 `WRITE_ACP`, 5 `FULL_CONTROL`.
    #[n(0)]
    pub permission: u8,
    /// The canonical id of an account; otherwise the grantee is a group.
    #[n(1)]
    pub account: Option<String>,
    /// 1 `AllUsers`, 2 `AuthenticatedUsers`, 3 `LogDelivery`.
    #[n(2)]
    pub group: Option<u8>,
}

/// A bucket's default encryption.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct EncryptionRow {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`.
    #[n(0)]
    pub algorithm: String,
    #[n(1)]
    pub kms_key_id: Option<String>,
    #[n(2)]
    pub bucket_key_enabled: bool,
    #[n(3)]
    pub blocks_sse_c: bool,
    #[n(4)]
    pub explicitly_set: bool,
}

/// What a listing shows of a key's current version.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct CurrentRow {
    #[n(0)]
    pub sequence: u64,
    #[n(1)]
    pub size_bytes: u64,
    #[n(2)]
    pub etag: String,
    #[n(3)]
    pub last_modified_millis: u64,
    /// Checksum algorithm and type, see [`ChecksumKindRow`].
    #[n(4)]
    pub checksum: Option<ChecksumKindRow>,
    /// Canonical id.
    #[n(5)]
    pub owner: String,
}

/// Which checksum, but not its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ChecksumKindRow {
    /// 1 CRC32, 2 CRC32C, 3 CRC64NVME, 4 SHA1, 5 SHA256.
    #[n(0)]
    pub algorithm: u8,
    /// Covers the whole object (otherwise composite).
    #[n(1)]
    pub full_object: bool,
}

/// Where a stored stream is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum PlaceRow {
    /// In `INLINE`, under the identity of the version or of the part's attempt.
    #[n(0)]
    Inline,
    /// A blob file.
    #[n(1)]
    Blob(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]),
}

/// How a version's data key is kept.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeyRow {
    /// [`strongroom_crypto::WrappedKey`] bytes; its mode byte says how to open it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    /// SSE-C only: what recognises the customer's key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub customer_verifier: Option<Vec<u8>>,
    /// SSE-KMS and DSSE-KMS only: what the key service is asked, and answers show.
    #[n(2)]
    pub kms: Option<KmsRow>,
}

/// What is remembered of an encryption under a key of the key service. In a version's row, and as a
/// record of its own in blob footers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KmsRow {
    /// `aws:kms`, `aws:kms:dsse`.
    #[n(0)]
    pub algorithm: String,
    /// The ARN of the key, as it was resolved on the write.
    #[n(1)]
    pub key_arn: String,
    /// The client's pairs of the encryption context.
    #[n(2)]
    pub client_pairs: Vec<PairRow>,
    /// The context's `aws:s3:arn`.
    #[n(3)]
    pub s3_arn: String,
    #[n(4)]
    pub bucket_key: bool,
}

/// System-defined and user metadata.
#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct MetadataRow {
    #[n(0)]
    pub content_type: Option<String>,
    #[n(1)]
    pub cache_control: Option<String>,
    #[n(2)]
    pub content_disposition: Option<String>,
    #[n(3)]
    pub content_encoding: Option<String>,
    #[n(4)]
    pub content_language: Option<String>,
    #[n(5)]
    pub expires: Option<String>,
    #[n(6)]
    pub website_redirect_location: Option<String>,
    #[n(7)]
    pub user: Vec<PairRow>,
}

/// One version of an object, or a delete marker.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct VersionRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub uid: [u8; 16],
    /// Its S3 version id is `null`.
    #[n(1)]
    pub is_null: bool,
    #[n(2)]
    pub last_modified_millis: u64,
    /// Canonical id of the owner.
    #[n(3)]
    pub owner: String,
    /// `None` for a delete marker.
    #[n(4)]
    pub object: Option<ObjectRow>,
    /// The access control list; `None` if it is private.
    #[n(5)]
    pub acl: Option<Vec<AclGrantRow>>,
}

/// What a version holds that is not a delete marker.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ObjectRow {
    #[n(0)]
    pub size_bytes: u64,
    #[n(1)]
    pub etag: String,
    #[n(2)]
    pub key: KeyRow,
    #[n(3)]
    pub content: ContentRow,
    #[n(4)]
    pub checksum_kind: Option<ChecksumKindRow>,
    /// The checksum's value (and BE16 part count), sealed once more under the data key.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub sealed_checksum: Option<Vec<u8>>,
    #[n(6)]
    pub metadata: MetadataRow,
    #[n(7)]
    pub tags: Vec<PairRow>,
}

/// One stream, or a list of parts.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) enum ContentRow {
    /// A single PUT or a copy.
    #[n(0)]
    Single(#[n(0)] PlaceRow),
    /// A completed multipart upload: the parts stay in `PARTS` under the version's uid, in the order
    /// and with the lengths of the manifest.
    #[n(1)]
    Parts(#[n(0)] ManifestRow),
}

/// Where the authenticated part list is. See `manifest.rs`.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ManifestRow {
    #[n(0)]
    pub part_count: u32,
    /// The sealed manifest itself, while it is small.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub inline: Option<Vec<u8>>,
    /// The blob that holds it otherwise.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub blob: Option<[u8; 16]>,
    /// The manifest's own random identity: an earlier manifest of the same upload does not open.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// The client named the checksum algorithm: then the parts' checksums are shown.
    #[n(4)]
    pub checksum_declared: bool,
}

/// Where a key's null version is, while the bucket has versions.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct NullVersionRow {
    #[n(0)]
    pub sequence: u64,
}

/// A multipart upload in progress.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct UploadRow {
    /// Canonical id of the initiator.
    #[n(0)]
    pub owner: String,
    #[n(1)]
    pub key: KeyRow,
    #[n(2)]
    pub metadata: MetadataRow,
    #[n(3)]
    pub tags: Vec<PairRow>,
    #[n(4)]
    pub checksum: Option<ChecksumKindRow>,
    /// A Complete has frozen the parts; it may be tried again, but no part may change.
    #[n(5)]
    pub completing: bool,
    /// The client named the checksum algorithm; otherwise it is S3's default and not spoken of
    /// before the object is complete.
    #[n(6)]
    pub checksum_declared: bool,
    /// `x-amz-server-side-encryption` of the request, by which its parts are decided as well.
    #[n(7)]
    pub asked_encryption: Option<String>,
    /// The key's ARN, if the request named one.
    #[n(8)]
    pub asked_kms_key: Option<String>,
    /// Canonical id of the object's owner, if that is not the initiator.
    #[n(9)]
    pub object_owner: Option<String>,
    /// The object's access control list; `None` if it is private.
    #[n(10)]
    pub acl: Option<Vec<AclGrantRow>>,
}

impl UploadRow {
    /// Canonical id of who owns the object that it becomes.
    pub(crate) fn object_owner(&self) -> &str {
        self.object_owner.as_deref().unwrap_or(&self.owner)
    }

    /// The checksum algorithm and type that the client chose when it created the upload.
    pub(crate) fn declared_checksum(&self) -> Option<(ChecksumAlgorithm, ChecksumType)> {
        self.checksum
            .filter(|_| self.checksum_declared)
            .and_then(ChecksumKindRow::parse)
    }
}

/// One part of an upload or of a completed multipart object.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PartRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub attempt: [u8; 16],
    #[n(1)]
    pub size_bytes: u64,
    #[n(2)]
    pub etag: String,
    #[n(3)]
    pub last_modified_millis: u64,
    #[n(4)]
    pub place: PlaceRow,
    /// Sealed under the data key.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub sealed_checksum: Option<Vec<u8>>,
}

/// Who refers to a blob file: for the collector, the scrubber and recovery.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct BlobRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bucket: [u8; 16],
    /// The version (or upload) that owns it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub version: [u8; 16],
    /// The part, if it is one.
    #[n(2)]
    pub part_number: Option<u16>,
}

/// Something to remove.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct GarbageRow {
    #[n(0)]
    pub since_millis: u64,
}

/// Blobs of a version whose footers still hold its data key as it was wrapped before.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PendingFootersRow {
    #[n(0)]
    pub since_millis: u64,
    /// Key of the version's row.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub version_row: Vec<u8>,
}
