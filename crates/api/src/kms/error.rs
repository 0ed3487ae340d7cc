//! From errors of the key service to AWS's: the one table.

use std::borrow::Cow;

use strongroom_kms::KmsError;

use crate::json::{ErrorAnswer, Failure};

impl From<KmsError> for Failure {
    fn from(error: KmsError) -> Self {
        if error == KmsError::NotInMemory {
            Self::NotInMemory
        } else {
            Self::Told(answer(&error))
        }
    }
}

/// The answer to what this server does not have.
pub(super) fn unsupported(text: &str) -> KmsError {
    KmsError::UnsupportedOperation(Some(text.to_owned()))
}

/// What a client is told. Every error of the client's has status 400; some have no text, because a
/// text could help to guess.
pub(super) fn answer(error: &KmsError) -> ErrorAnswer {
    use KmsError as E;
    let told = |name, text: &str| ErrorAnswer::client(name, text.to_owned());
    let silent = |name| ErrorAnswer {
        name,
        status: 400,
        message: None,
    };
    let fault = |name, status, text: &'static str| ErrorAnswer {
        name,
        status,
        message: Some(Cow::Borrowed(text)),
    };
    match error {
        E::AccessDenied(text) => told("AccessDeniedException", text),
        E::AlreadyExists(text) => told("AlreadyExistsException", text),
        E::Conflict(text) => told("ConflictException", text),
        E::Disabled(text) => told("DisabledException", text),
        E::DryRun => told("DryRunOperationException", &error.to_string()),
        E::ExpiredImportToken(text) => told("ExpiredImportTokenException", text),
        E::IncorrectKey => told("IncorrectKeyException", &error.to_string()),
        E::IncorrectKeyMaterial(text) => told("IncorrectKeyMaterialException", text),
        E::InvalidAliasName(text) => told("InvalidAliasNameException", text),
        E::InvalidArn(text) => told("InvalidArnException", text),
        E::InvalidCiphertext => silent("InvalidCiphertextException"),
        E::InvalidGrantId(text) => told("InvalidGrantIdException", text),
        E::InvalidGrantToken(text) => told("InvalidGrantTokenException", text),
        E::InvalidImportToken(text) => told("InvalidImportTokenException", text),
        E::InvalidKeyUsage(text) => told("InvalidKeyUsageException", text),
        E::InvalidMarker(text) => told("InvalidMarkerException", text),
        E::InvalidMac => silent("KMSInvalidMacException"),
        E::InvalidSignature => silent("KMSInvalidSignatureException"),
        E::InvalidState(text) => told("KMSInvalidStateException", text),
        E::LimitExceeded(text) => told("LimitExceededException", text),
        E::MalformedPolicy(text) => told("MalformedPolicyDocumentException", text),
        E::NotAuthorized(text) => told("NotAuthorizedException", text),
        E::NotFound(text) => told("NotFoundException", text),
        E::Tag(text) => told("TagException", text),
        E::UnsupportedOperation(Some(text)) => told("UnsupportedOperationException", text),
        E::UnsupportedOperation(None) => silent("UnsupportedOperationException"),
        E::Validation(text) => told("ValidationException", text),
        // Clients wait and try again, which is what helps.
        E::Contention => told("ThrottlingException", "Rate exceeded"),
        E::Unavailable | E::NotInMemory => fault(
            "DependencyTimeoutException",
            503,
            "The request could not be completed. You can try it again.",
        ),
        E::Damaged => fault(
            "KMSInternalException",
            500,
            "The request failed because of an internal error.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{ProtocolError, error_table};
    use crate::samples::named_samples;
    use crate::sigv4::AuthError;

    fn kms_errors() -> Vec<(&'static str, KmsError)> {
        use KmsError as E;
        let text = || "text".to_owned();
        named_samples!(KmsError {
            E::AccessDenied(_) => E::AccessDenied(text()),
            E::AlreadyExists(_) => E::AlreadyExists(text()),
            E::Conflict(_) => E::Conflict(text()),
            E::Disabled(_) => E::Disabled(text()),
            E::DryRun => E::DryRun,
            E::ExpiredImportToken(_) => E::ExpiredImportToken(text()),
            E::IncorrectKey => E::IncorrectKey,
            E::IncorrectKeyMaterial(_) => E::IncorrectKeyMaterial(text()),
            E::InvalidAliasName(_) => E::InvalidAliasName(text()),
            E::InvalidArn(_) => E::InvalidArn(text()),
            E::InvalidCiphertext => E::InvalidCiphertext,
            E::InvalidGrantId(_) => E::InvalidGrantId(text()),
            E::InvalidGrantToken(_) => E::InvalidGrantToken(text()),
            E::InvalidImportToken(_) => E::InvalidImportToken(text()),
            E::InvalidKeyUsage(_) => E::InvalidKeyUsage(text()),
            E::InvalidMarker(_) => E::InvalidMarker(text()),
            E::InvalidMac => E::InvalidMac,
            E::InvalidSignature => E::InvalidSignature,
            E::InvalidState(_) => E::InvalidState(text()),
            E::LimitExceeded(_) => E::LimitExceeded(text()),
            E::MalformedPolicy(_) => E::MalformedPolicy(text()),
            E::NotAuthorized(_) => E::NotAuthorized(text()),
            E::NotFound(_) => E::NotFound(text()),
            E::Tag(_) => E::Tag(text()),
            E::UnsupportedOperation(Some(_)) => E::UnsupportedOperation(Some(text())),
            E::UnsupportedOperation(None) => E::UnsupportedOperation(None),
            E::Validation(_) => E::Validation(text()),
            E::Damaged => E::Damaged,
            E::Contention => E::Contention,
            E::Unavailable => E::Unavailable,
            E::NotInMemory => E::NotInMemory,
        })
    }

    fn protocol_errors() -> Vec<(&'static str, ProtocolError)> {
        use ProtocolError as E;
        let text = || "text".to_owned();
        named_samples!(ProtocolError {
            E::Auth(_) => E::Auth(AuthError::MissingAuthenticationToken),
            E::BodyTooLarge => E::BodyTooLarge,
            E::BodyIncomplete => E::BodyIncomplete,
            E::BodyTooSlow => E::BodyTooSlow,
            E::PlainHttp => E::PlainHttp,
            E::UnknownOperation => E::UnknownOperation,
            E::Serialization(Some(_)) => E::Serialization(Some(text())),
            E::Serialization(None) => E::Serialization(None),
            E::Invalid(_) => E::Invalid(vec![text(), text()]),
            E::Internal => E::Internal,
        })
    }

    #[test]
    fn records_of_the_trail_name_errors_as_answers_do() {
        for (_, error) in kms_errors() {
            assert_eq!(answer(&error).name, error.code());
        }
    }

    #[test]
    fn the_table_is_the_one_that_was_agreed() {
        let kms = kms_errors()
            .into_iter()
            .map(|(name, error)| (name, answer(&error)));
        let protocol = protocol_errors()
            .into_iter()
            .map(|(name, error)| (name, error.answer()));
        let actual = error_table(kms.chain(protocol));
        let agreed = include_str!("../../../../testdata/kms_error_table.txt");
        assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
    }
}
