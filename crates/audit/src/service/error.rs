//! Why an operation is not done.

use strongroom_policy::Denied;

use super::TargetProblem;
use crate::TrailError;
use crate::lookup::LookupError;
use crate::trails::{TrailProblem, TrailsError};
use strongroom_ports::{CommitError, MetaError};

/// Why an operation is not done. The texts are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudTrailError {
    /// `AccessDeniedException`.
    #[error("{0}")]
    AccessDenied(String),
    /// What is wrong with a trail, or with a request for one.
    #[error(transparent)]
    Trail(#[from] TrailProblem),
    /// `InvalidLookupAttributesException`.
    #[error("{0}")]
    LookupAttributes(&'static str),
    /// `InvalidTimeRangeException`.
    #[error("The time range ends before it starts.")]
    TimeRange,
    /// `InvalidMaxResultsException`.
    #[error("The maximum number of results is 1 to 50.")]
    MaxResults,
    /// `InvalidNextTokenException`: of LookupEvents.
    #[error("The NextToken is invalid, or is not one of this request.")]
    NextToken,
    /// `InvalidTokenException`: of other lists.
    #[error("The NextToken is invalid.")]
    Token,
    /// `CloudTrailARNInvalidException`.
    #[error("Invalid trail ARN: {0}")]
    Arn(String),
    /// `ResourceNotFoundException`: what is to be tagged is not there.
    #[error("Unknown resource: {0}")]
    ResourceNotFound(String),
    /// `ResourceTypeNotSupportedException`.
    #[error("This server has no resources of that type: {0}")]
    ResourceType(String),
    /// `InvalidParameterCombinationException`.
    #[error("{0}")]
    ParameterCombination(&'static str),
    /// `UnsupportedOperationException`.
    #[error("{0}")]
    Unsupported(&'static str),
    /// `OrganizationsNotInUseException`.
    #[error("This server has no organizations.")]
    OrganizationsNotInUse,
    /// `InsightNotEnabledException`.
    #[error("Insights are not enabled for the trail {0}.")]
    InsightNotEnabled(String),
    /// Nothing would be delivered there.
    #[error(transparent)]
    Target(#[from] TargetProblem),
    /// `ThrottlingException`: others were faster, again and again.
    #[error("Rate exceeded")]
    Contention,
    /// The store does not answer, or does not take a change: try again.
    #[error("The request could not be completed. You can try it again.")]
    Unavailable,
    /// What is stored does not verify.
    #[error("The request failed because of an internal error.")]
    Damaged,
}

impl From<Denied> for CloudTrailError {
    fn from(denied: Denied) -> Self {
        Self::AccessDenied(denied.message)
    }
}

impl From<LookupError> for CloudTrailError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Attributes => {
                Self::LookupAttributes("The value of a lookup attribute has 1 to 2000 characters.")
            }
            LookupError::TimeRange => Self::TimeRange,
            LookupError::MaxResults => Self::MaxResults,
            LookupError::NextToken => Self::NextToken,
            LookupError::Trail(error) => error.into(),
        }
    }
}

impl From<TrailError> for CloudTrailError {
    fn from(error: TrailError) -> Self {
        match error {
            TrailError::Commit(CommitError::Conflict) => Self::Contention,
            TrailError::Damaged(_) | TrailError::Meta(MetaError::Damaged(_)) => {
                tracing::error!(%error, "the audit trail is damaged");
                metrics::counter!("strongroom_integrity_events_total", "what" => "row")
                    .increment(1);
                Self::Damaged
            }
            TrailError::Meta(_)
            | TrailError::Commit(_)
            | TrailError::Unpackable
            | TrailError::Signing(_) => {
                tracing::error!(%error, "the audit trail cannot be used");
                Self::Unavailable
            }
        }
    }
}

impl From<TrailsError> for CloudTrailError {
    fn from(error: TrailsError) -> Self {
        match error {
            TrailsError::Refused(problem) => Self::Trail(problem),
            TrailsError::Trail(error) => error.into(),
        }
    }
}
