//! What a ciphertext belongs to.

use aws_lc_rs::digest::{SHA512, digest};
use strongroom_types::{AttemptUid, BucketUid, ObjectKey, PartNumber, VersionUid};

use crate::codec::put_prefixed;

/// One object version. Its ciphertext and its wrapped key open as nothing else.
///
/// Bound are the bucket's identity and not its name, the exact bytes of the object key, and the
/// version's identity. Not bound are the encryption mode, the KMS key and its context, because
/// those may change without the body being touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectIdentity {
    /// The bucket.
    pub bucket: BucketUid,
    /// The object key.
    pub key: ObjectKey,
    /// The version; of a multipart upload, the version that it will become.
    pub version: VersionUid,
}

/// One attempt at one part of a multipart upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartIdentity {
    /// The part's number.
    pub number: PartNumber,
    /// The attempt, so that a retried part shares nothing with the first try.
    pub attempt: AttemptUid,
}

impl ObjectIdentity {
    /// `SHA-512(LP(bucket uid) || LP(object key) || LP(version uid))`, `LP(x) = BE32(len x) || x`.
    pub(crate) fn hash(&self) -> [u8; 64] {
        let Self {
            bucket,
            key,
            version,
        } = self;
        let mut transcript = Vec::with_capacity(3 * 4 + 32 + key.as_bytes().len());
        put_prefixed(&mut transcript, bucket.as_bytes());
        put_prefixed(&mut transcript, key.as_bytes());
        put_prefixed(&mut transcript, version.as_bytes());
        sha512(&transcript)
    }
}

/// SHA-512 (FIPS 180-4).
#[expect(clippy::expect_used, reason = "SHA-512 gives 64 bytes")]
pub(crate) fn sha512(data: &[u8]) -> [u8; 64] {
    digest(&SHA512, data)
        .as_ref()
        .try_into()
        .expect("64 bytes of SHA-512")
}
