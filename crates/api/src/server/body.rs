//! The request body, with a watch on senders that stall or trickle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::limits::{BODY_RATE_MIN_BYTES, BODY_RATE_WINDOW, BODY_STALL_TIMEOUT};

/// A request body as it arrives.
///
/// Only time spent waiting for the sender counts against it: a slow disk of ours does not make a
/// client slow. Polling it the first time is what sends `100 Continue`.
pub struct RequestBody<B = Incoming> {
    inner: B,
    /// Fires when the sender has been silent for too long. Made when it is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    /// Time waited and bytes got within the current window.
    waited: Duration,
    got_bytes: u64,
    /// Set at the first poll.
    asked: Arc<AtomicBool>,
}

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The sender was silent, or slower than the least rate: 400 `RequestTimeout`.
    #[error(
        "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
    )]
    Stalled,
    /// The connection broke, or the framing did: 400 `IncompleteBody`.
    #[error("the request body terminated unexpectedly")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// AWS's code, text and HTTP status.
    pub const fn answer(&self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Stalled => (
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.",
                400,
            ),
            Self::Broken(_) => (
                "IncompleteBody",
                "The request body terminated unexpectedly",
                400,
            ),
        }
    }
}

impl<B> RequestBody<B> {
    /// Watches a body.
    pub fn new(inner: B) -> Self {
        Self {
            inner,
            timer: None,
            waiting_since: None,
            waited: Duration::ZERO,
            got_bytes: 0,
            asked: Arc::default(),
        }
    }

    /// Tells, also when the body is gone, whether it was ever asked for its bytes. While it was
    /// not, a client that expects `100 Continue` has not been told to send them.
    pub(super) fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + BODY_STALL_TIMEOUT;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // The timer of an earlier wait fires early for this one, and is set again only then.
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Counts what arrived; false when the window closed on too little.
    fn is_fast_enough(&mut self, len: usize) -> bool {
        if let Some(since) = self.waiting_since.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.got_bytes = self.got_bytes.saturating_add(len);
        if self.waited < BODY_RATE_WINDOW {
            return true;
        }
        self.waited = Duration::ZERO;
        std::mem::take(&mut self.got_bytes) >= BODY_RATE_MIN_BYTES
    }
}

impl<B> std::fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestBody")
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.asked.store(true, Ordering::Relaxed);
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => {
                ready!(this.poll_stalled(cx));
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(BodyError::Broken(error.into()))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                if this.is_fast_enough(len) {
                    Poll::Ready(Some(Ok(frame)))
                } else {
                    Poll::Ready(Some(Err(BodyError::Stalled)))
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn trickle(pause: Duration, len: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(Box::pin(futures_util::stream::unfold(
            0_u32,
            move |count| async move {
                tokio::time::sleep(pause).await;
                let frame = Frame::data(Bytes::from(vec![0; len]));
                (count < 200).then_some((Ok(frame), count + 1))
            },
        )))
    }

    async fn read(pause_seconds: u64, len: usize) -> Result<usize, BodyError> {
        let body = RequestBody::new(trickle(Duration::from_secs(pause_seconds), len));
        Ok(body.collect().await?.to_bytes().len())
    }

    #[tokio::test(start_paused = true)]
    async fn senders_that_stall_or_trickle_are_cut() {
        assert!(matches!(read(31, 1 << 20).await, Err(BodyError::Stalled)));
        assert!(matches!(read(5, 1000).await, Err(BodyError::Stalled)));
        assert_eq!(read(5, 10_000).await.unwrap(), 2_000_000);
        assert_eq!(read(0, 1).await.unwrap(), 200);
    }
}
