//! Bodies between HTTP and the service.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use strongroom_s3::{BodyError, BodySource, ObjectBody, ReadError};
use strongroom_types::ChecksumAlgorithm;

use crate::chunked::{ChunkError, ChunkEvent, ChunkedDecoder};
use crate::sigv4::Payload;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body, whatever HTTP library it comes from.
pub trait IncomingBody: Body<Data: Buf + Send, Error: Into<BoxError>> + Send + 'static {}

impl<B> IncomingBody for B where B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send + 'static {}

/// A request's body, its type forgotten. The default is an empty one.
#[derive(Default)]
pub(crate) struct AnyBody(Option<UnsyncBoxBody<Bytes, BoxError>>);

impl AnyBody {
    /// Takes a body.
    pub(crate) fn new(body: impl IncomingBody) -> Self {
        let body =
            body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())));
        Self(Some(body.map_err(Into::into).boxed_unsync()))
    }

    /// The next bytes; trailers of HTTP are skipped, since no signature covers them.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        loop {
            let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Ok(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(body_error(&*error)))),
            }
        }
    }
}

/// A stalled body is reported by the server as a time-out; anything else is a client that left.
fn body_error(error: &(dyn Error + 'static)) -> BodyError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(crate::server::BodyError::Stalled) = error.downcast_ref() {
            return BodyError::TooSlow;
        }
        cause = error.source();
    }
    BodyError::Incomplete
}

/// How an `aws-chunked` body failed: finer than the service needs to know, for the answer.
pub(crate) type ChunkFault = Arc<OnceLock<ChunkError>>;

/// A request's body for the service: without framing, verified as far as framing can be.
pub(crate) struct DecodedBody {
    body: AnyBody,
    decoder: Option<ChunkedDecoder>,
    input: Bytes,
    is_done: bool,
    checksum: Option<Vec<u8>>,
    fault: ChunkFault,
}

/// What a head says of the body: the source to read, and the object's length where it is known.
pub(crate) struct Incoming {
    /// The source.
    pub(crate) source: DecodedBody,
    /// The length of the decoded body, in bytes.
    pub(crate) length: Option<u64>,
}

/// The adapter from an HTTP body to what the service reads.
///
/// # Errors
///
/// [`ChunkError`] when the headers that describe the framing are missing or malformed.
pub(crate) fn decoded_body(
    body: AnyBody,
    payload: &Payload,
    headers: &HeaderMap,
) -> Result<Incoming, ChunkError> {
    let (decoder, length) = match ChunkedDecoder::from_head(payload, headers)? {
        Some((decoder, length)) => (Some(decoder), Some(length)),
        None => (None, content_length(headers)),
    };
    let source = DecodedBody {
        body,
        decoder,
        input: Bytes::new(),
        is_done: false,
        checksum: None,
        fault: ChunkFault::default(),
    };
    Ok(Incoming { source, length })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl DecodedBody {
    /// Where the reason of a broken framing will be.
    pub(crate) fn fault(&self) -> ChunkFault {
        self.fault.clone()
    }

    /// The next piece.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_piece(cx)).await
    }

    fn fail(&mut self, error: ChunkError) -> BodyError {
        // Only the first fault is told; a second one follows from it.
        let _ = self.fault.set(error);
        match error {
            ChunkError::SignatureDoesNotMatch => BodyError::SignatureMismatch,
            ChunkError::Truncated => BodyError::Incomplete,
            ChunkError::LengthMismatch => BodyError::TooLong,
            ChunkError::MissingDecodedLength
            | ChunkError::InvalidDecodedLength
            | ChunkError::InvalidTrailerHeader
            | ChunkError::Malformed
            | ChunkError::ChunkTooLarge
            | ChunkError::ChunkTooSmall
            | ChunkError::InvalidTrailingChecksum(_)
            | ChunkError::TrailerMismatch => BodyError::Malformed("aws-chunked"),
        }
    }

    /// Keeps the checksum among the trailers. One of an algorithm that nobody computes is none:
    /// the head, which must announce it, was refused.
    fn take_trailers(&mut self, trailers: &[(String, String)]) -> Result<(), ChunkError> {
        for (name, value) in trailers {
            let algorithm = name
                .strip_prefix("x-amz-checksum-")
                .and_then(|name| ChecksumAlgorithm::parse(name).ok());
            if let Some(algorithm) = algorithm {
                let value = super::parse_digests::decode(algorithm, value.trim());
                self.checksum = Some(value.ok_or(ChunkError::InvalidTrailingChecksum(algorithm))?);
            }
        }
        Ok(())
    }
}

impl BodySource for DecodedBody {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(decoder) = &mut this.decoder
                && !this.is_done
            {
                match decoder.decode(&mut this.input) {
                    Ok(Some(ChunkEvent::Data(bytes))) => return Poll::Ready(Some(Ok(bytes))),
                    Ok(Some(ChunkEvent::End { trailers })) => {
                        this.is_done = true;
                        if let Err(error) = this.take_trailers(&trailers) {
                            return Poll::Ready(Some(Err(this.fail(error))));
                        }
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Some(Err(this.fail(error)))),
                }
            }
            match std::task::ready!(this.body.poll_bytes(cx)) {
                Some(Ok(bytes)) if this.decoder.is_none() => return Poll::Ready(Some(Ok(bytes))),
                // What follows the end of the framing was never announced.
                Some(Ok(bytes)) if this.is_done && !bytes.is_empty() => {
                    return Poll::Ready(Some(Err(this.fail(ChunkError::Malformed))));
                }
                Some(Ok(bytes)) => this.input = bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if this.decoder.is_some() && !this.is_done => {
                    return Poll::Ready(Some(Err(this.fail(ChunkError::Truncated))));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        self.checksum.clone()
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send>>;

/// A response's body. An error in it cuts the connection: the client must notice.
pub struct ResponseBody(Inner);

enum Inner {
    Whole(Bytes),
    Pieces { pieces: Pieces, left_bytes: u64 },
    Unsized(Pieces),
}

impl ResponseBody {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self(Inner::Whole(Bytes::new()))
    }

    /// All bytes, in one frame.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Whole(bytes.into()))
    }

    /// An object's bytes, of which there are `len_bytes`.
    pub(crate) fn object(body: ObjectBody, len_bytes: u64) -> Self {
        match body {
            ObjectBody::Whole(bytes) => Self(Inner::Whole(bytes)),
            ObjectBody::Stream(pieces) => Self(Inner::Pieces {
                pieces,
                left_bytes: len_bytes,
            }),
        }
    }

    /// Bytes whose number is not known when the answer begins.
    pub(crate) fn unsized_stream(
        pieces: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    ) -> Self {
        Self(Inner::Unsized(Box::pin(pieces)))
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseBody")
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let frame = match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => None,
            Inner::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Inner::Unsized(pieces) => std::task::ready!(pieces.as_mut().poll_next(cx)),
            Inner::Pieces { pieces, left_bytes } => {
                let piece = std::task::ready!(pieces.as_mut().poll_next(cx));
                if let Some(Ok(bytes)) = &piece {
                    let len_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    *left_bytes = left_bytes.saturating_sub(len_bytes);
                }
                piece
            }
        };
        Poll::Ready(frame.map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Pieces { .. } | Inner::Unsized(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Inner::Pieces { left_bytes, .. } => SizeHint::with_exact(*left_bytes),
            Inner::Unsized(_) => SizeHint::default(),
        }
    }
}
