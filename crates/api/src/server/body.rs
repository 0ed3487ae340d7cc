//! The request body, with a watch on senders that stall or trickle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use crate::limits::{
    BODY_RATE_MIN_BYTES, BODY_RATE_WINDOW, BODY_STALL_TIMEOUT, UNREAD_BODY_MAX_BYTES,
    UNREAD_BODY_TIMEOUT,
};

/// A request body as it arrives.
///
/// Only time spent waiting for the sender counts against it: a slow disk of ours does not make a
/// client slow. Polling it the first time is what sends `100 Continue`.
pub struct RequestBody<B = Incoming> {
    /// There until it is dropped.
    inner: Option<B>,
    /// Fires when the sender has been silent for too long. Made when it is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    /// Time waited and bytes got within the current window.
    waited: Duration,
    got_bytes: u64,
    /// Whether its end was reached.
    is_read: bool,
    /// Whether it gave an error, after which it gives nothing more.
    is_broken: bool,
    remains: Arc<Remains<B>>,
}

/// What is left of a request's body, for who sees to the connection: also when the handler has let
/// go of the body.
pub(super) struct Remains<B> {
    /// Set at the first poll. While it was not, a client that expects `100 Continue` has not been
    /// told to send the body.
    asked: AtomicBool,
    rest: Mutex<Rest<B>>,
}

enum Rest<B> {
    /// The handler has it, and may read on.
    Held,
    /// Nothing is left.
    Nothing,
    /// It broke, and with it the connection.
    Broken,
    /// Nobody wants it.
    Unread(B),
}

impl<B> Remains<B> {
    /// Whether the body was ever asked for its bytes.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl<B> Remains<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Reads what nobody wants, within bounds, and says whether the next request follows on the
    /// connection: the head of one must never be looked for inside of the body of another.
    pub(super) async fn are_read(&self) -> bool {
        let rest = std::mem::replace(&mut *self.rest.lock(), Rest::Held);
        let mut body = match rest {
            Rest::Nothing => return true,
            Rest::Held | Rest::Broken => return false,
            Rest::Unread(body) => body,
        };
        // What says that it is longer is not begun.
        if body.size_hint().lower() > UNREAD_BODY_MAX_BYTES {
            return false;
        }
        let reading = async {
            let mut left = UNREAD_BODY_MAX_BYTES;
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                let Ok(frame) = frame else { return false };
                let len = frame.data_ref().map_or(0, Bytes::len);
                match u64::try_from(len)
                    .ok()
                    .and_then(|len| left.checked_sub(len))
                {
                    Some(still) => left = still,
                    None => return false,
                }
            }
            true
        };
        tokio::time::timeout(UNREAD_BODY_TIMEOUT, reading)
            .await
            .unwrap_or(false)
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        *self.remains.rest.lock() = match self.inner.take() {
            _ if self.is_broken => Rest::Broken,
            Some(inner) if !self.is_read => Rest::Unread(inner),
            Some(_) | None => Rest::Nothing,
        };
    }
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
            inner: Some(inner),
            timer: None,
            waiting_since: None,
            waited: Duration::ZERO,
            got_bytes: 0,
            is_read: false,
            is_broken: false,
            remains: Arc::new(Remains {
                asked: AtomicBool::new(false),
                rest: Mutex::new(Rest::Held),
            }),
        }
    }

    /// What will be left of it.
    pub(super) fn remains(&self) -> Arc<Remains<B>> {
        Arc::clone(&self.remains)
    }

    /// Tells at once that nothing is left: the handler may keep the body until after its answer.
    fn set_read(&mut self) {
        if !std::mem::replace(&mut self.is_read, true) {
            *self.remains.rest.lock() = Rest::Nothing;
        }
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
        this.remains.asked.store(true, Ordering::Relaxed);
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *inner).poll_frame(cx);
        if inner.is_end_stream() {
            this.set_read();
        }
        let error = match polled {
            Poll::Pending => {
                ready!(this.poll_stalled(cx));
                BodyError::Stalled
            }
            Poll::Ready(None) => {
                this.set_read();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => BodyError::Broken(error.into()),
            Poll::Ready(Some(Ok(frame))) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                if this.is_fast_enough(len) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                BodyError::Stalled
            }
        };
        this.is_broken = true;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
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
    async fn what_nobody_reads_is_read_within_bounds() {
        let len = |bytes: u64| usize::try_from(bytes).unwrap();
        let of = |len| RequestBody::new(http_body_util::Full::new(Bytes::from(vec![0; len])));
        let little = of(len(UNREAD_BODY_MAX_BYTES));
        let remains = little.remains();
        assert!(!remains.are_read().await, "somebody has it");
        drop(little);
        assert!(remains.are_read().await && !remains.asked());
        let much = of(len(UNREAD_BODY_MAX_BYTES) + 1);
        let remains = much.remains();
        drop(much);
        assert!(!remains.are_read().await);
        // Read, and kept.
        let mut kept = of(len(UNREAD_BODY_MAX_BYTES) + 1);
        kept.frame().await.unwrap().unwrap();
        assert!(kept.remains().are_read().await);
        // Of unknown length.
        for (pause, len, is_read) in [(0, 1, true), (0, 1000, false), (1, 1, false)] {
            let body = RequestBody::new(trickle(Duration::from_secs(pause), len));
            let remains = body.remains();
            drop(body);
            assert_eq!(remains.are_read().await, is_read, "{pause} {len}");
        }
        let mut stalled = RequestBody::new(trickle(Duration::from_secs(31), 1));
        assert!(stalled.frame().await.unwrap().is_err());
        let remains = stalled.remains();
        drop(stalled);
        assert!(!remains.are_read().await);
    }

    #[tokio::test(start_paused = true)]
    async fn senders_that_stall_or_trickle_are_cut() {
        assert!(matches!(read(31, 1 << 20).await, Err(BodyError::Stalled)));
        assert!(matches!(read(5, 1000).await, Err(BodyError::Stalled)));
        assert_eq!(read(5, 10_000).await.unwrap(), 2_000_000);
        assert_eq!(read(0, 1).await.unwrap(), 200);
    }
}
