//! From errors of the trail to AWS's: the one table.

use std::borrow::Cow;

use strongroom_audit::service::{CloudTrailError, TargetProblem};
use strongroom_audit::trails::TrailProblem;

use crate::json::{ErrorAnswer, Failure};

impl From<CloudTrailError> for Failure {
    fn from(error: CloudTrailError) -> Self {
        Self::Told(answer(&error))
    }
}

/// The answer to what this server does not have.
pub(super) fn unsupported(text: &'static str) -> ErrorAnswer {
    ErrorAnswer::client("UnsupportedOperationException", text)
}

/// What a client is told. Every error of the client's has status 400.
pub(super) fn answer(error: &CloudTrailError) -> ErrorAnswer {
    use CloudTrailError as E;
    let told = |name| ErrorAnswer::client(name, error.to_string());
    let fault = |name, status| ErrorAnswer {
        name,
        status,
        message: Some(Cow::Owned(error.to_string())),
    };
    match error {
        E::AccessDenied(_) => told("AccessDeniedException"),
        E::Trail(problem) => told(problem_name(problem)),
        E::LookupAttributes(_) => told("InvalidLookupAttributesException"),
        E::TimeRange => told("InvalidTimeRangeException"),
        E::MaxResults => told("InvalidMaxResultsException"),
        E::NextToken => told("InvalidNextTokenException"),
        E::Token => told("InvalidTokenException"),
        E::Arn(_) => told("CloudTrailARNInvalidException"),
        E::ResourceNotFound(_) => told("ResourceNotFoundException"),
        E::ResourceType(_) => told("ResourceTypeNotSupportedException"),
        E::ParameterCombination(_) => told("InvalidParameterCombinationException"),
        E::Unsupported(_) => told("UnsupportedOperationException"),
        E::OrganizationsNotInUse => told("OrganizationsNotInUseException"),
        E::InsightNotEnabled(_) => told("InsightNotEnabledException"),
        E::Target(TargetProblem::Unavailable) => fault("ServiceUnavailable", 503),
        E::Target(problem) => told(target_name(problem)),
        // Clients wait and try again, which is what helps.
        E::Contention => told("ThrottlingException"),
        E::Unavailable => fault("ServiceUnavailable", 503),
        E::Damaged => fault("InternalFailure", 500),
    }
}

fn target_name(problem: &TargetProblem) -> &'static str {
    use TargetProblem as T;
    match problem {
        T::NoBucket(_) => "S3BucketDoesNotExistException",
        T::BucketPolicy(_) => "InsufficientS3BucketPolicyException",
        T::KeyPolicy { .. } => "InsufficientEncryptionPolicyException",
        T::KeyNotFound(_) => "KmsKeyNotFoundException",
        T::KeyDisabled(_) => "KmsKeyDisabledException",
        T::KeyId(_) => "InvalidKmsKeyIdException",
        T::Key(_) => "KmsException",
        T::Unavailable => "ServiceUnavailable",
    }
}

fn problem_name(problem: &TrailProblem) -> &'static str {
    use TrailProblem as P;
    match problem {
        P::Name(_) => "InvalidTrailNameException",
        P::BucketName(_) => "InvalidS3BucketNameException",
        P::Prefix => "InvalidS3PrefixException",
        P::EventSelectors(_) => "InvalidEventSelectorsException",
        P::ParameterCombination(_) => "InvalidParameterCombinationException",
        P::TooManyTags => "TagsLimitExceededException",
        P::Tag => "InvalidTagParameterException",
        P::Exists(_) => "TrailAlreadyExistsException",
        P::Unknown(_) => "TrailNotFoundException",
        P::TooMany => "MaximumNumberOfTrailsExceededException",
    }
}
