//! What is told of errors of IAM and STS: the one table of their codes and statuses.

use strongroom_iam::IamError;

use crate::query::ErrorAnswer;

/// What a client is told of an error.
fn told(error: &IamError) -> ErrorAnswer {
    use IamError as E;
    let text = error.to_string();
    let (code, status) = match error {
        E::AccessDenied(_) => ("AccessDenied", 403),
        E::DeleteConflict(_) => ("DeleteConflict", 409),
        E::EntityAlreadyExists(_) => ("EntityAlreadyExists", 409),
        E::InvalidAuthorizationMessage => ("InvalidAuthorizationMessageException", 400),
        E::InvalidIdentityToken(_) => ("InvalidIdentityToken", 400),
        E::ExpiredToken(_) => ("ExpiredTokenException", 400),
        E::IdpRejectedClaim(_) => ("IDPRejectedClaim", 403),
        E::IdpCommunication => ("IDPCommunicationError", 400),
        E::InvalidAction(_) => ("InvalidAction", 400),
        E::InvalidClientTokenId => ("InvalidClientTokenId", 403),
        E::InvalidInput(_) => ("InvalidInput", 400),
        E::InvalidParameterValue(_) => ("InvalidParameterValue", 400),
        E::LimitExceeded(_) => ("LimitExceeded", 409),
        E::MalformedPolicyDocument(_) => ("MalformedPolicyDocument", 400),
        E::NoSuchEntity(_) => ("NoSuchEntity", 404),
        E::PackedPolicyTooLarge(_) => ("PackedPolicyTooLarge", 400),
        E::PolicyNotAttachable(_) => ("PolicyNotAttachable", 400),
        E::Validation(_) => ("ValidationError", 400),
        // Clients wait and try again, which is what helps.
        E::Contention => ("Throttling", 400),
        E::Unavailable => ("ServiceUnavailable", 503),
        E::Damaged | _ => ("ServiceFailure", 500),
    };
    // What is wrong inside is for the log.
    let text = if status < 500 {
        text
    } else {
        "The request processing has failed because of an unknown error, exception or failure."
            .to_owned()
    };
    ErrorAnswer::new(code, status, text)
}

impl From<IamError> for ErrorAnswer {
    fn from(error: IamError) -> Self {
        told(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::ProtocolError;
    use crate::sigv4::AuthError;

    #[test]
    fn the_table_is_the_one_that_was_agreed() {
        use IamError as E;
        use ProtocolError as P;
        let text = || "text".to_owned();
        let errors = [
            E::AccessDenied(text()),
            E::DeleteConflict(text()),
            E::EntityAlreadyExists(text()),
            E::InvalidAuthorizationMessage,
            E::InvalidIdentityToken(text()),
            E::ExpiredToken(text()),
            E::IdpRejectedClaim(text()),
            E::IdpCommunication,
            E::InvalidAction(text()),
            E::InvalidClientTokenId,
            E::InvalidInput(text()),
            E::InvalidParameterValue(text()),
            E::LimitExceeded(text()),
            E::MalformedPolicyDocument(text()),
            E::NoSuchEntity(text()),
            E::PackedPolicyTooLarge(text()),
            E::PolicyNotAttachable(text()),
            E::Validation(text()),
            E::Contention,
            E::Unavailable,
            E::Damaged,
        ]
        .map(|error| (format!("{error:?}"), told(&error)));
        let protocol = [
            P::Auth(AuthError::MissingAuthenticationToken),
            P::Auth(AuthError::InvalidAccessKeyId("AKIAIOSFODNN7EXAMPLE".into())),
            P::Auth(AuthError::InvalidToken),
            P::Auth(AuthError::ExpiredToken),
            P::BodyTooLarge,
            P::BodyIncomplete,
            P::BodyTooSlow,
            P::PlainHttp,
            P::UnknownOperation,
            P::Serialization(None),
            P::Internal,
        ]
        .map(|error| (format!("{error:?}"), error.into()));
        let lines: Vec<String> = errors
            .into_iter()
            .chain(protocol)
            .map(|(name, answer): (String, ErrorAnswer)| {
                format!(
                    "{name} | {} {} | {}\n",
                    answer.status, answer.code, answer.message
                )
            })
            .collect();
        let actual = lines.concat();
        let agreed = include_str!("../../../../testdata/iam_error_table.txt");
        assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
    }
}
