//! Errors of the Query protocol, and how any error is told.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Response, StatusCode};
use strongroom_types::Session;

use crate::json::ProtocolError;
use crate::s3::ResponseBody;
use crate::sigv4::Dialect;
use crate::xml::XmlWriter;

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    /// `Code`.
    pub(crate) code: &'static str,
    /// The HTTP status; from 500 on the error is the server's.
    pub(crate) status: u16,
    /// `Message`.
    pub(crate) message: Cow<'static, str>,
    /// Who asked, where the operation itself found out. Nobody is told; the record says it.
    pub(crate) proven: Option<Arc<Session>>,
}

impl ErrorAnswer {
    pub(crate) fn new(
        code: &'static str,
        status: u16,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            status,
            message: message.into(),
            proven: None,
        }
    }

    /// A parameter that breaks its constraint.
    pub(crate) fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// `<ErrorResponse>` with its status.
    pub(crate) fn response(&self, namespace: &str, request_id: &str) -> Response<ResponseBody> {
        let mut xml = XmlWriter::new("ErrorResponse", Some(namespace));
        xml.nested("Error", |xml| {
            let side = if self.status < 500 {
                "Sender"
            } else {
                "Receiver"
            };
            xml.element("Type", side);
            xml.element("Code", self.code);
            xml.element("Message", &self.message);
        });
        xml.element("RequestId", request_id);
        let mut response = Response::new(ResponseBody::whole(xml.finish()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

impl From<ProtocolError> for ErrorAnswer {
    /// The one table of protocol errors.
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::Auth(error) => {
                let answer = error.answer(Dialect::Query);
                Self::new(answer.code, answer.status, answer.message)
            }
            ProtocolError::BodyTooLarge => {
                Self::new("RequestEntityTooLarge", 413, "The request is too large.")
            }
            ProtocolError::BodyIncomplete => Self::new(
                "IncompleteBody",
                400,
                "The request body ended before its announced length.",
            ),
            ProtocolError::BodyTooSlow => Self::new(
                "RequestTimeout",
                400,
                "The request body was not received within the timeout period.",
            ),
            ProtocolError::PlainHttp => Self::new(
                "AccessDenied",
                403,
                "Requests whose answers carry secrets must be made over a secure connection.",
            ),
            ProtocolError::UnknownOperation => Self::new(
                "InvalidAction",
                400,
                "The action or operation requested is invalid.",
            ),
            ProtocolError::Serialization(_) => Self::new(
                "MalformedQueryString",
                400,
                "The query string contains a syntax error.",
            ),
            ProtocolError::Invalid(texts) => Self::validation(texts.join("; ")),
            ProtocolError::Internal => Self::new(
                "InternalFailure",
                500,
                "The request could not be processed.",
            ),
        }
    }
}
