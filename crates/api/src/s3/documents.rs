//! Request bodies that are documents: read whole within bounds, and held against their digests.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use strongroom_s3::{BodySource as _, ChecksumValue, ExpectedDigests, S3Error};
use strongroom_types::ChecksumAlgorithm;

use super::body::DecodedBody;
use crate::error::{Failure, RequestError};

/// Whether the operation's body must come with a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigestRule {
    /// AWS demands `Content-MD5` or a checksum, also of a payload whose hash is signed.
    Required,
    /// The same, but a signed payload serves as well: it is a SHA-256 that the client cannot have
    /// got wrong. For operations whose clients are known to send nothing else.
    RequiredUnlessSigned,
    /// Nothing is demanded; what is sent is checked.
    Optional,
    /// As `Optional`, and a checksum in the head is that of an object, not of the document.
    OfObject,
}

/// A document, or why it could not be read. Handlers let the request in before they look: a caller
/// who may not hears that, and not what is wrong with the document.
#[derive(Debug)]
pub(crate) struct Document(Result<Vec<u8>, Failure>);

impl Document {
    /// A document that could not be read.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self(Err(failure))
    }

    /// The bytes, for the record.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        self.0.as_deref().ok()
    }

    /// The bytes.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, Failure> {
        self.0
    }
}

/// What the head says of a document's digests.
pub(crate) struct Declared {
    /// The digests.
    pub(crate) digests: Result<ExpectedDigests, Failure>,
    /// Whether the signature covers the body.
    pub(crate) is_signed: bool,
    /// Whether one is needed.
    pub(crate) rule: DigestRule,
    /// Longest that is read.
    pub(crate) max_bytes: usize,
}

/// Reads a document.
pub(crate) async fn read(mut source: DecodedBody, declared: Declared) -> Document {
    let mut bytes = Vec::new();
    let max_bytes = declared.max_bytes;
    while let Some(piece) = source.piece().await {
        match piece {
            Ok(piece) if bytes.len().saturating_add(piece.len()) > max_bytes => {
                let error = RequestError::DocumentTooLong { max_bytes };
                return Document::failed(error.into());
            }
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => {
                return Document::failed(match source.fault().get() {
                    Some(fault) => Failure::Chunk(*fault),
                    None => error.into(),
                });
            }
        }
    }
    Document(check(&bytes, declared, source.trailing_checksum()).map(|()| bytes))
}

fn check(bytes: &[u8], declared: Declared, trailer: Option<Vec<u8>>) -> Result<(), Failure> {
    let ExpectedDigests {
        content_md5,
        content_sha256,
        checksum,
    } = declared.digests?;
    let is_needed = match declared.rule {
        DigestRule::Required => true,
        DigestRule::RequiredUnlessSigned => !declared.is_signed,
        DigestRule::Optional | DigestRule::OfObject => false,
    };
    if is_needed && content_md5.is_none() && checksum.is_none() {
        return Err(RequestError::MissingDigest.into());
    }
    if let Some(expected) = content_sha256 {
        let computed = sha256(bytes);
        if computed != expected {
            return Err(S3Error::ContentSha256Mismatch { expected, computed }.into());
        }
    }
    if let Some(expected) = content_md5 {
        let computed: [u8; 16] = Md5::digest(bytes).into();
        if computed != expected {
            return Err(S3Error::BadDigest { expected, computed }.into());
        }
    }
    let Some(checksum) = checksum else {
        return Ok(());
    };
    let expected = match checksum.value {
        ChecksumValue::Header(value) => value,
        ChecksumValue::Trailer => trailer.ok_or(S3Error::TrailerMissing)?,
        ChecksumValue::Computed => return Ok(()),
    };
    if checksum_of(checksum.algorithm, bytes) == expected {
        Ok(())
    } else {
        Err(S3Error::ChecksumMismatch(checksum.algorithm).into())
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn checksum_of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
    use crc_fast::CrcAlgorithm;
    let crc = |algorithm| crc_fast::checksum(algorithm, bytes).to_be_bytes();
    let crc32 = |algorithm| crc(algorithm).iter().skip(4).copied().collect();
    match algorithm {
        ChecksumAlgorithm::Crc32 => crc32(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => crc32(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme).to_vec(),
        ChecksumAlgorithm::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
            .as_ref()
            .to_vec(),
        ChecksumAlgorithm::Sha256 => sha256(bytes).to_vec(),
    }
}
