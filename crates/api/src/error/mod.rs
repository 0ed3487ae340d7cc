//! From errors to AWS's answers: one table per domain, one rendering.
//!
//! No other module of the edge knows an error code of S3 (the codes of authentication are
//! `sigv4`'s own table).

#[cfg(test)]
mod golden;
mod render;
mod request;
mod table;

pub(crate) use render::{ErrorPlace, error_document, error_response};
pub(crate) use request::{RequestError, Unconfigured};

use strongroom_s3::{BodyError, S3Error};
use strongroom_sse::SseError;
use strongroom_types::TagError;

use crate::chunked::ChunkError;
use crate::sigv4::AuthError;
use crate::xml::XmlError;

/// Why a request to S3 got no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The service refused.
    S3(S3Error),
    /// The signature, or its lack, refused.
    Auth(AuthError),
    /// The framing of the body refused.
    Chunk(ChunkError),
    /// The request cannot be read as an operation.
    Request(RequestError),
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Self::S3(error)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::S3(error.into())
    }
}

impl From<SseError> for Failure {
    fn from(error: SseError) -> Self {
        Self::S3(error.into())
    }
}

impl From<TagError> for Failure {
    fn from(error: TagError) -> Self {
        Self::S3(error.into())
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<ChunkError> for Failure {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

impl From<XmlError> for Failure {
    fn from(_: XmlError) -> Self {
        Self::Request(RequestError::MalformedXml)
    }
}
