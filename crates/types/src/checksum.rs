//! The additional checksums of S3: algorithms, values, and how parts combine.
//!
//! Source: S3 User Guide, "Checking object integrity"; API reference, Checksum.

use std::fmt;

/// A checksum algorithm that S3 names and that we compute.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME, S3's default.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    /// Every algorithm, in the order in which S3's documentation lists them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// Parses the value of `x-amz-checksum-algorithm` (`CRC32`, `CRC32C`, ...), in any case.
    ///
    /// # Errors
    ///
    /// [`ChecksumError::Unsupported`] names an algorithm that AWS knows and we do not compute;
    /// [`ChecksumError::Unknown`] anything else.
    pub fn parse(name: &str) -> Result<Self, ChecksumError> {
        let upper = name.to_ascii_uppercase();
        if let Some(algorithm) = Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == upper)
        {
            return Ok(algorithm);
        }
        match ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"]
            .into_iter()
            .find(|known| *known == upper)
        {
            Some(known) => Err(ChecksumError::Unsupported(known)),
            None => Err(ChecksumError::Unknown),
        }
    }

    /// The name in S3's enumerations: `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1`, `SHA256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries the value: `x-amz-checksum-crc32`, ...
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries the value: `ChecksumCRC32`, ...
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// Length of the value, in bytes.
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The type that a multipart upload gets when it names the algorithm only
    /// (S3 User Guide, "Full object and composite checksum types").
    pub const fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => ChecksumType::Composite,
        }
    }

    /// Whether a multipart upload may have a checksum of this type: SHA values do not combine into
    /// one of the whole object, and CRC-64/NVME exists only as one.
    pub const fn allows(self, kind: ChecksumType) -> bool {
        match (self, kind) {
            (Self::Crc32 | Self::Crc32c, _) => true,
            (Self::Crc64Nvme, kind) => matches!(kind, ChecksumType::FullObject),
            (Self::Sha1 | Self::Sha256, kind) => matches!(kind, ChecksumType::Composite),
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a multipart object's checksum covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChecksumType {
    /// The checksum of the parts' checksums; its text form ends in `-N`.
    Composite,
    /// The checksum of the whole object's bytes.
    FullObject,
}

impl ChecksumType {
    /// Parses `COMPOSITE` or `FULL_OBJECT`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "COMPOSITE" => Some(Self::Composite),
            "FULL_OBJECT" => Some(Self::FullObject),
            _ => None,
        }
    }

    /// The name in S3's enumerations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }
}

/// A checksum value over plaintext. Not secret by itself, but it confirms a guess of the content:
/// it is stored sealed and never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// What it covers.
    pub kind: ChecksumType,
    /// The value, [`ChecksumAlgorithm::len_bytes`] bytes, big-endian for CRCs.
    pub value: Vec<u8>,
    /// Number of parts of a composite checksum; zero otherwise.
    pub part_count: u16,
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({}, {})", self.algorithm, self.kind.name())
    }
}

/// Why a checksum algorithm was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// AWS knows the algorithm, Strongroom does not compute it.
    #[error("the checksum algorithm {0} is not supported by this server")]
    Unsupported(&'static str),
    /// Nobody knows the algorithm.
    #[error("checksum algorithm provided is unsupported")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_parse_by_name_in_any_case() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(
                ChecksumAlgorithm::parse(&algorithm.name().to_lowercase()),
                Ok(algorithm)
            );
        }
        assert_eq!(
            ChecksumAlgorithm::parse("xxhash3"),
            Err(ChecksumError::Unsupported("XXHASH3"))
        );
        assert_eq!(
            ChecksumAlgorithm::parse("CRC31"),
            Err(ChecksumError::Unknown)
        );
    }
}
