//! The vocabulary of server-side encryption.

/// The value of `x-amz-server-side-encryption`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SseAlgorithm {
    /// `AES256`: SSE-S3.
    Aes256,
    /// `aws:kms`: SSE-KMS.
    AwsKms,
    /// `aws:kms:dsse`: DSSE-KMS.
    AwsKmsDsse,
}

impl SseAlgorithm {
    /// Parses the exact, case-sensitive value.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "AES256" => Some(Self::Aes256),
            "aws:kms" => Some(Self::AwsKms),
            "aws:kms:dsse" => Some(Self::AwsKmsDsse),
            _ => None,
        }
    }

    /// The value of the header and of the XML element `SSEAlgorithm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::AwsKms => "aws:kms",
            Self::AwsKmsDsse => "aws:kms:dsse",
        }
    }
}

/// `BlockedEncryptionTypes` of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlockedEncryption {
    /// `NONE`: every encryption type may be written.
    None,
    /// `SSE-C`: writes with customer keys are refused.
    SseC,
}

impl BlockedEncryption {
    /// Parses the value of `EncryptionType`.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "NONE" => Some(Self::None),
            "SSE-C" => Some(Self::SseC),
            _ => None,
        }
    }

    /// The value of `EncryptionType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SseC => "SSE-C",
        }
    }
}

/// A bucket's default encryption (API reference, ServerSideEncryptionConfiguration).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketEncryption {
    /// What a write without encryption headers gets.
    pub algorithm: SseAlgorithm,
    /// `KMSMasterKeyID` exactly as given: id, ARN, alias or alias ARN.
    pub kms_key_id: Option<String>,
    /// `BucketKeyEnabled`.
    pub bucket_key_enabled: bool,
    /// `BlockedEncryptionTypes`.
    pub blocked: BlockedEncryption,
    /// Whether somebody set it. A self-copy that changes nothing is legal in such a bucket.
    pub explicitly_set: bool,
}
