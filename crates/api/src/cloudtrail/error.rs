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
        E::Target(TargetProblem::Unavailable) | E::Unavailable => fault("ServiceUnavailable", 503),
        E::Target(problem) => told(target_name(problem)),
        // Clients wait and try again, which is what helps.
        E::Contention => told("ThrottlingException"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::error_table;
    use crate::samples::named_samples;

    fn text() -> String {
        "text".to_owned()
    }

    fn own() -> Vec<(&'static str, CloudTrailError)> {
        use CloudTrailError as E;
        named_samples!(CloudTrailError {
            E::AccessDenied(_) => E::AccessDenied(text()),
            E::Trail(_) => E::Trail(TrailProblem::Prefix),
            E::LookupAttributes(_) => E::LookupAttributes("text"),
            E::TimeRange => E::TimeRange,
            E::MaxResults => E::MaxResults,
            E::NextToken => E::NextToken,
            E::Token => E::Token,
            E::Arn(_) => E::Arn(text()),
            E::ResourceNotFound(_) => E::ResourceNotFound(text()),
            E::ResourceType(_) => E::ResourceType(text()),
            E::ParameterCombination(_) => E::ParameterCombination("text"),
            E::Unsupported(_) => E::Unsupported("text"),
            E::OrganizationsNotInUse => E::OrganizationsNotInUse,
            E::InsightNotEnabled(_) => E::InsightNotEnabled(text()),
            E::Target(_) => E::Target(TargetProblem::Unavailable),
            E::Contention => E::Contention,
            E::Unavailable => E::Unavailable,
            E::Damaged => E::Damaged,
        })
    }

    fn problems() -> Vec<(&'static str, TrailProblem)> {
        use TrailProblem as P;
        named_samples!(TrailProblem {
            P::Name(_) => P::Name("text"),
            P::BucketName(_) => P::BucketName(text()),
            P::Prefix => P::Prefix,
            P::EventSelectors(_) => P::EventSelectors(text()),
            P::ParameterCombination(_) => P::ParameterCombination("text"),
            P::TooManyTags => P::TooManyTags,
            P::Tag => P::Tag,
            P::Exists(_) => P::Exists(text()),
            P::Unknown(_) => P::Unknown(text()),
            P::TooMany => P::TooMany,
        })
    }

    fn targets() -> Vec<(&'static str, TargetProblem)> {
        use TargetProblem as T;
        named_samples!(TargetProblem {
            T::NoBucket(_) => T::NoBucket(text()),
            T::BucketPolicy(_) => T::BucketPolicy(text()),
            T::KeyPolicy { .. } => T::KeyPolicy { bucket: text(), key: text() },
            T::KeyNotFound(_) => T::KeyNotFound(text()),
            T::KeyDisabled(_) => T::KeyDisabled(text()),
            T::KeyId(_) => T::KeyId(text()),
            T::Key(_) => T::Key(text()),
            T::Unavailable => T::Unavailable,
        })
    }

    #[test]
    fn the_table_is_the_one_that_was_agreed() {
        let problems = problems()
            .into_iter()
            .map(|(name, it)| (name, CloudTrailError::Trail(it)));
        let targets = targets()
            .into_iter()
            .map(|(name, it)| (name, CloudTrailError::Target(it)));
        let all = own().into_iter().chain(problems).chain(targets);
        let actual = error_table(all.map(|(name, error)| (name, answer(&error))));
        let agreed = include_str!("../../../../testdata/cloudtrail_error_table.txt");
        assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
    }
}
