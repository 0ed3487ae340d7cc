//! Why an operation fails.

use strongroom_asymmetric::AsymmetricError;
use strongroom_policy::Denied;
use strongroom_ports::{CommitError, KeyError, MetaError, ShredError};
use strongroom_rows::RowError;

/// An error of the key service: the names are AWS's, the texts AWS's where they are known. Errors
/// without a text have none there either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// `AccessDeniedException`.
    #[error("{0}")]
    AccessDenied(String),
    /// `AlreadyExistsException`.
    #[error("{0}")]
    AlreadyExists(String),
    /// `ConflictException`.
    #[error("{0}")]
    Conflict(String),
    /// `DisabledException`.
    #[error("{0}")]
    Disabled(String),
    /// `DryRunOperationException`: everything would have worked.
    #[error("The request would have succeeded, but the DryRun option is set.")]
    DryRun,
    /// `ExpiredImportTokenException`.
    #[error("{0}")]
    ExpiredImportToken(String),
    /// `IncorrectKeyException`.
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    /// `IncorrectKeyMaterialException`.
    #[error("{0}")]
    IncorrectKeyMaterial(String),
    /// `InvalidAliasNameException`.
    #[error("{0}")]
    InvalidAliasName(String),
    /// `InvalidArnException`.
    #[error("{0}")]
    InvalidArn(String),
    /// `InvalidCiphertextException`, which says nothing more.
    #[error("the ciphertext cannot be decrypted")]
    InvalidCiphertext,
    /// `InvalidGrantIdException`.
    #[error("{0}")]
    InvalidGrantId(String),
    /// `InvalidGrantTokenException`.
    #[error("{0}")]
    InvalidGrantToken(String),
    /// `InvalidImportTokenException`.
    #[error("{0}")]
    InvalidImportToken(String),
    /// `InvalidKeyUsageException`.
    #[error("{0}")]
    InvalidKeyUsage(String),
    /// `InvalidMarkerException`.
    #[error("{0}")]
    InvalidMarker(String),
    /// `KMSInvalidMacException`, which says nothing more.
    #[error("the code does not verify")]
    InvalidMac,
    /// `KMSInvalidSignatureException`, which says nothing more.
    #[error("the signature does not verify")]
    InvalidSignature,
    /// `KMSInvalidStateException`.
    #[error("{0}")]
    InvalidState(String),
    /// `LimitExceededException`.
    #[error("{0}")]
    LimitExceeded(String),
    /// `MalformedPolicyDocumentException`.
    #[error("{0}")]
    MalformedPolicy(String),
    /// `NotAuthorizedException`, of names that services keep to themselves.
    #[error("{0}")]
    NotAuthorized(String),
    /// `NotFoundException`.
    #[error("{0}")]
    NotFound(String),
    /// `TagException`.
    #[error("{0}")]
    Tag(String),
    /// `UnsupportedOperationException`; some have no text.
    #[error("{}", .0.as_deref().unwrap_or("the operation is not supported"))]
    UnsupportedOperation(Option<String>),
    /// `ValidationException`.
    #[error("{0}")]
    Validation(String),
    /// `KMSInternalException`: stored data does not verify.
    #[error("stored key data does not verify")]
    Damaged,
    /// Too many writers at once, after many attempts; may be tried again.
    #[error("too many changes at once")]
    Contention,
    /// `DependencyTimeoutException`: storage failed, or the audit trail takes no record.
    #[error("the key service is unavailable")]
    Unavailable,
    /// Only memory was asked, and it does not know.
    #[error("not in memory")]
    NotInMemory,
}

impl KmsError {
    /// The error's name in AWS's protocol, for records of the trail.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::Conflict(_) => "ConflictException",
            Self::Disabled(_) => "DisabledException",
            Self::DryRun => "DryRunOperationException",
            Self::ExpiredImportToken(_) => "ExpiredImportTokenException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::IncorrectKeyMaterial(_) => "IncorrectKeyMaterialException",
            Self::InvalidAliasName(_) => "InvalidAliasNameException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidGrantId(_) => "InvalidGrantIdException",
            Self::InvalidGrantToken(_) => "InvalidGrantTokenException",
            Self::InvalidImportToken(_) => "InvalidImportTokenException",
            Self::InvalidKeyUsage(_) => "InvalidKeyUsageException",
            Self::InvalidMarker(_) => "InvalidMarkerException",
            Self::InvalidMac => "KMSInvalidMacException",
            Self::InvalidSignature => "KMSInvalidSignatureException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::MalformedPolicy(_) => "MalformedPolicyDocumentException",
            Self::NotAuthorized(_) => "NotAuthorizedException",
            Self::NotFound(_) => "NotFoundException",
            Self::Tag(_) => "TagException",
            Self::UnsupportedOperation(_) => "UnsupportedOperationException",
            Self::Validation(_) => "ValidationException",
            Self::Contention => "ThrottlingException",
            Self::Unavailable | Self::NotInMemory => "DependencyTimeoutException",
            Self::Damaged => "KMSInternalException",
        }
    }
}

impl From<Denied> for KmsError {
    fn from(denied: Denied) -> Self {
        Self::AccessDenied(denied.message)
    }
}

impl From<RowError> for KmsError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Meta(error) => error.into(),
            RowError::Damaged(_) | _ => Self::Damaged,
        }
    }
}

impl From<MetaError> for KmsError {
    fn from(error: MetaError) -> Self {
        if matches!(error, MetaError::NotInMemory) {
            return Self::NotInMemory;
        }
        tracing::error!(%error, "key metadata cannot be read");
        match error {
            MetaError::Damaged(_) => Self::Damaged,
            MetaError::Io(_) | _ => Self::Unavailable,
        }
    }
}

impl From<CommitError> for KmsError {
    fn from(error: CommitError) -> Self {
        if matches!(error, CommitError::Conflict) {
            return Self::Contention;
        }
        tracing::error!(%error, "key metadata cannot be written");
        Self::Unavailable
    }
}

impl From<ShredError> for KmsError {
    fn from(error: ShredError) -> Self {
        tracing::error!(%error, "shred keys cannot be reached");
        Self::Unavailable
    }
}

impl From<AsymmetricError> for KmsError {
    fn from(error: AsymmetricError) -> Self {
        use AsymmetricError as E;
        let text = error.to_string();
        match error {
            E::SigningAlgorithm { .. }
            | E::EncryptionAlgorithm { .. }
            | E::MacAlgorithm { .. }
            | E::KeyAgreement(_) => Self::InvalidKeyUsage(text),
            E::MessageType { .. }
            | E::DigestLength(_)
            | E::PlaintextLength { .. }
            | E::PeerPublicKey(_) => Self::Validation(text),
            E::UnsupportedKeySpec(_)
            | E::UnsupportedWrappingKeySpec(_)
            | E::UnsupportedWrappingAlgorithm(_) => Self::UnsupportedOperation(Some(text)),
            E::Decrypt | E::Unwrap => Self::InvalidCiphertext,
            E::InvalidSignature => Self::InvalidSignature,
            E::InvalidMac => Self::InvalidMac,
            E::KeyMaterial(_) => Self::Damaged,
            E::Internal | _ => Self::Unavailable,
        }
    }
}

/// For the services that use keys: what is no concern of theirs becomes "unavailable".
impl From<KmsError> for KeyError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::AccessDenied(text) | KmsError::NotAuthorized(text) => {
                Self::AccessDenied(text)
            }
            KmsError::Disabled(text) => Self::Disabled(text),
            KmsError::NotFound(text) | KmsError::InvalidArn(text) => Self::NotFound(text),
            KmsError::InvalidState(text) => Self::InvalidState(text),
            KmsError::InvalidKeyUsage(text) => Self::InvalidKeyUsage(text),
            KmsError::IncorrectKey | KmsError::InvalidCiphertext => Self::InvalidCiphertext,
            KmsError::NotInMemory => Self::NotInMemory,
            KmsError::Contention => Self::Throttled,
            KmsError::Damaged => Self::Damaged,
            KmsError::AlreadyExists(_)
            | KmsError::Conflict(_)
            | KmsError::DryRun
            | KmsError::ExpiredImportToken(_)
            | KmsError::IncorrectKeyMaterial(_)
            | KmsError::InvalidAliasName(_)
            | KmsError::InvalidGrantId(_)
            | KmsError::InvalidGrantToken(_)
            | KmsError::InvalidImportToken(_)
            | KmsError::InvalidMarker(_)
            | KmsError::InvalidMac
            | KmsError::InvalidSignature
            | KmsError::LimitExceeded(_)
            | KmsError::MalformedPolicy(_)
            | KmsError::Tag(_)
            | KmsError::UnsupportedOperation(_)
            | KmsError::Validation(_)
            | KmsError::Unavailable => Self::Unavailable,
        }
    }
}

impl strongroom_rows::Contended for KmsError {
    fn contention() -> Self {
        Self::Contention
    }

    fn is_contention(&self) -> bool {
        matches!(self, Self::Contention)
    }
}
