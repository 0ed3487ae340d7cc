//! Bodies on their way in and out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

/// A request body, decoded (no `aws-chunked` framing) and verified as far as framing can be.
///
/// Contract: the source yields pieces of any size; after `Ready(None)` the body is complete **and**
/// every signature over its framing was right, so that the service may commit. Any `Err` means that
/// nothing of the body may be kept. A trailing checksum is known only after the end.
pub trait BodySource: Send {
    /// The next piece.
    fn poll_piece(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// The checksum value (decoded from base64) that came as the declared trailer.
    fn trailing_checksum(&self) -> Option<Vec<u8>>;
}

/// No body.
#[derive(Debug, Default, Clone, Copy)]
#[non_exhaustive]
pub struct EmptyBody;

impl BodySource for EmptyBody {
    fn poll_piece(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(None)
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Why a request body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away, or sent fewer bytes than announced.
    #[error("the body ended before the announced length")]
    Incomplete,
    /// The client sends too slowly.
    #[error("the body arrived too slowly")]
    TooSlow,
    /// A chunk's or the trailer's signature is wrong, or chunks were replayed, reordered or dropped.
    #[error("a chunk signature does not match")]
    SignatureMismatch,
    /// The framing is not what was announced.
    #[error("the body's framing is malformed: {0}")]
    Malformed(&'static str),
    /// More bytes than announced.
    #[error("the body is longer than announced")]
    TooLong,
}

/// An object's bytes on their way out. Every byte was verified before it is handed out.
pub enum ObjectBody {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece.
    Stream(Pin<Box<dyn futures_core::Stream<Item = Result<Bytes, ReadError>> + Send>>),
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "ObjectBody::Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("ObjectBody::Stream"),
        }
    }
}

/// A body broke while it was sent. The connection must be cut, never ended cleanly: the client has
/// to notice. The integrity event, if it is one, was raised where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// What is stored does not verify.
    #[error("stored data does not verify")]
    Damaged,
    /// The key service no longer lets the object's key be used.
    #[error("the key of stored data can no longer be used")]
    KeyUnusable,
    /// The disk failed.
    #[error("stored data cannot be read")]
    Unreadable,
}
