//! Errors of the JSON protocol, and how any error is told.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::write::Writer;
use crate::limits::JSON_DOCUMENT_MAX_BYTES;
use crate::s3::ResponseBody;
use crate::sigv4::{AuthError, Dialect};

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    /// `__type`.
    pub(crate) name: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// `message`; some errors have none, and must not have one.
    pub(crate) message: Option<Cow<'static, str>>,
}

impl ErrorAnswer {
    /// An error of the client's with a text.
    pub(crate) fn client(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            status: 400,
            message: Some(message.into()),
        }
    }

    /// `{"__type":"...","message":"..."}`.
    pub(crate) fn document(&self) -> Bytes {
        let mut document = Writer::new();
        document.text("__type", self.name);
        document.optional_text("message", self.message.as_deref());
        document.finish()
    }

    /// The document with its status.
    pub(crate) fn response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::whole(self.document()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

/// Why an operation gives no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// This.
    Told(ErrorAnswer),
    /// Only memory was asked, and it does not know; a worker must ask the disk.
    NotInMemory,
}

impl From<ErrorAnswer> for Failure {
    fn from(answer: ErrorAnswer) -> Self {
        Self::Told(answer)
    }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::Told(error.answer())
    }
}

/// What is wrong with a request before its operation is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// The signature, or its lack.
    Auth(AuthError),
    /// The body is longer than [`JSON_DOCUMENT_MAX_BYTES`].
    BodyTooLarge,
    /// The body ended early.
    BodyIncomplete,
    /// The body came too slowly.
    BodyTooSlow,
    /// Key material would travel in clear.
    PlainHttp,
    /// No such target, or not asked as targets are: `POST /`.
    UnknownOperation,
    /// The body is no JSON document, or a member is of another type. AWS gives the first no text.
    Serialization(Option<String>),
    /// Members break their constraints: one text each.
    Invalid(Vec<String>),
    /// A handler asks for what the shapes do not promise: our mistake, which must not look like the
    /// client's.
    Internal,
}

impl ProtocolError {
    /// The one table of protocol errors.
    pub(crate) fn answer(&self) -> ErrorAnswer {
        let told = |name, text: &'static str| ErrorAnswer::client(name, text);
        match self {
            Self::Auth(error) => {
                let answer = error.answer(Dialect::Json);
                ErrorAnswer {
                    name: answer.code,
                    status: answer.status,
                    message: Some(answer.message),
                }
            }
            Self::BodyTooLarge => ErrorAnswer {
                name: "RequestEntityTooLargeException",
                status: 413,
                message: Some(
                    format!("Request size exceeded {JSON_DOCUMENT_MAX_BYTES} bytes.").into(),
                ),
            },
            Self::BodyIncomplete => told(
                "IncompleteBody",
                "The request body ended before its announced length.",
            ),
            Self::BodyTooSlow => told(
                "RequestTimeout",
                "The request body was not received within the timeout period.",
            ),
            Self::PlainHttp => told(
                "ValidationException",
                "Requests that carry key material must be made over a secure connection.",
            ),
            Self::UnknownOperation => ErrorAnswer {
                name: "UnknownOperationException",
                status: 400,
                message: None,
            },
            Self::Serialization(text) => ErrorAnswer {
                name: "SerializationException",
                status: 400,
                message: text.clone().map(Cow::Owned),
            },
            Self::Invalid(texts) => {
                let count = texts.len();
                let errors = if count == 1 { "error" } else { "errors" };
                ErrorAnswer::client(
                    "ValidationException",
                    format!("{count} validation {errors} detected: {}", texts.join("; ")),
                )
            }
            Self::Internal => ErrorAnswer {
                name: "InternalFailure",
                status: 500,
                message: Some("The request could not be processed.".into()),
            },
        }
    }
}

impl From<AuthError> for ProtocolError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

#[cfg(test)]
pub(crate) use tests::table;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of each error, one line each: `Name | 400 NameException | the message`.
    pub(crate) fn table<'a>(answers: impl Iterator<Item = (&'a str, ErrorAnswer)>) -> String {
        let line = |(name, answer): (&str, ErrorAnswer)| {
            let message = answer.message.as_deref().unwrap_or("(none)");
            format!("{name} | {} {} | {message}\n", answer.status, answer.name)
        };
        answers.map(line).collect()
    }

    #[test]
    fn failures_are_counted_and_joined() {
        let texts = ["a", "b"].map(str::to_owned);
        let one = ProtocolError::Invalid(texts.get(..1).unwrap().to_vec()).answer();
        assert_eq!(one.message.unwrap(), "1 validation error detected: a");
        let two = ProtocolError::Invalid(texts.to_vec()).answer();
        assert_eq!(two.message.unwrap(), "2 validation errors detected: a; b");
    }
}
