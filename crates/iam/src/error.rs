//! Why an operation fails.

use strongroom_policy::Denied;
use strongroom_ports::{CommitError, MetaError};
use strongroom_rows::RowError;

/// An error of IAM or STS: the names are AWS's, the texts AWS's where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IamError {
    /// `AccessDenied`.
    #[error("{0}")]
    AccessDenied(String),
    /// `DeleteConflict`.
    #[error("{0}")]
    DeleteConflict(String),
    /// `EntityAlreadyExists`.
    #[error("{0}")]
    EntityAlreadyExists(String),
    /// `InvalidAuthorizationMessageException`.
    #[error("Message is not valid")]
    InvalidAuthorizationMessage,
    /// `InvalidIdentityToken`: a web identity token that is not good.
    #[error("{0}")]
    InvalidIdentityToken(String),
    /// `ExpiredTokenException`: a web identity token whose time is over.
    #[error("{0}")]
    ExpiredToken(String),
    /// `IDPRejectedClaim`: a web identity token that does not hold now.
    #[error("{0}")]
    IdpRejectedClaim(String),
    /// `IDPCommunicationError`: the issuer does not answer; may be tried again.
    #[error("The identity provider cannot be reached.")]
    IdpCommunication,
    /// `InvalidAction`: an operation, or a part of one, that this server does not have.
    #[error("{0}")]
    InvalidAction(String),
    /// `InvalidClientTokenId`: the credentials are not good for this service.
    #[error("The security token included in the request is invalid")]
    InvalidClientTokenId,
    /// `InvalidInput`.
    #[error("{0}")]
    InvalidInput(String),
    /// `InvalidParameterValue`.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// `LimitExceeded`.
    #[error("{0}")]
    LimitExceeded(String),
    /// `MalformedPolicyDocument`.
    #[error("{0}")]
    MalformedPolicyDocument(String),
    /// `NoSuchEntity`.
    #[error("{0}")]
    NoSuchEntity(String),
    /// `PackedPolicyTooLarge`.
    #[error("{0}")]
    PackedPolicyTooLarge(String),
    /// `PolicyNotAttachable`.
    #[error("{0}")]
    PolicyNotAttachable(String),
    /// `ValidationError`.
    #[error("{0}")]
    Validation(String),
    /// `ServiceFailure`: stored data does not verify.
    #[error("stored identities do not verify")]
    Damaged,
    /// `Throttling`: too many writers at once, after many attempts; may be tried again.
    #[error("Rate exceeded")]
    Contention,
    /// `ServiceFailure`: storage failed, or the audit trail takes no record.
    #[error("the identity service is unavailable")]
    Unavailable,
}

impl IamError {
    /// One value that breaks its constraint, in AWS's words.
    pub(crate) fn constraint(value: &str, member: &str, must: &str) -> Self {
        Self::Validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {must}"
        ))
    }
}

impl From<Denied> for IamError {
    fn from(denied: Denied) -> Self {
        Self::AccessDenied(denied.message)
    }
}

impl From<RowError> for IamError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Meta(error) => error.into(),
            RowError::Damaged(_) | _ => Self::Damaged,
        }
    }
}

impl From<MetaError> for IamError {
    fn from(error: MetaError) -> Self {
        tracing::error!(%error, "identities cannot be read");
        match error {
            MetaError::Damaged(_) => Self::Damaged,
            MetaError::Io(_) | MetaError::NotInMemory | _ => Self::Unavailable,
        }
    }
}

impl From<CommitError> for IamError {
    fn from(error: CommitError) -> Self {
        if matches!(error, CommitError::Conflict) {
            return Self::Contention;
        }
        tracing::error!(%error, "identities cannot be written");
        Self::Unavailable
    }
}

impl strongroom_rows::Contended for IamError {
    fn contention() -> Self {
        Self::Contention
    }

    fn is_contention(&self) -> bool {
        matches!(self, Self::Contention)
    }
}
