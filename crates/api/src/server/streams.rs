//! The requests that run on a connection: counted, and on HTTP/2 watched one by one.
//!
//! HTTP/1 needs no watch of its own, since its answers stall with their connection (`GuardedIo`).
//! An HTTP/2 client may keep the connection busy and leave one stream's window closed, and with it
//! hold the answer and everything behind it for ever. The future that sends an answer polls the
//! body only when the piece before it found room in the window; the time between is what counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, timeout};

use crate::limits::{HTTP_IDLE_TIMEOUT, WRITE_STALL_TIMEOUT};

/// Counts the requests that run on a connection, to tell when it is idle.
#[derive(Default)]
pub(super) struct Activity {
    running: AtomicUsize,
    changed: Notify,
}

/// A request that runs, until dropped.
pub(super) struct Running(Arc<Activity>);

impl Activity {
    pub(super) fn start(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Running(Arc::clone(self))
    }

    /// Resolves when nothing has run for the whole of the idle timeout.
    pub(super) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.running.load(Ordering::Relaxed) > 0 {
                changed.await;
            } else if timeout(HTTP_IDLE_TIMEOUT, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

/// Runs HTTP/2 streams, and drops the ones whose client makes no room for their answers. The
/// connection and its other streams go on; the client sees a reset.
#[derive(Clone, Copy)]
pub(super) struct StreamExecutor;

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(WatchedStream {
            stream,
            sending: Arc::default(),
            timer: None,
        });
    }
}

tokio::task_local! {
    /// The watch over the stream that is being polled.
    static SENDING: Arc<Sending>;
}

/// What an answer's body tells the stream that sends it.
#[derive(Default)]
struct Sending {
    /// Since when a piece has been waiting for room; `None` while we are the ones waited for.
    since: Mutex<Option<Instant>>,
}

pin_project! {
    struct WatchedStream<F> {
        #[pin]
        stream: F,
        sending: Arc<Sending>,
        // Made when a piece first has to wait, and set again only when it fires early.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for WatchedStream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let stream = this.stream;
        if SENDING
            .sync_scope(Arc::clone(this.sending), || stream.poll(cx))
            .is_ready()
        {
            return Poll::Ready(());
        }
        let Some(since) = *this.sending.since.lock() else {
            return Poll::Pending;
        };
        let deadline = since + WRITE_STALL_TIMEOUT;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                tracing::debug!("a stream is reset: its client made no room for the answer");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

pin_project! {
    /// An answer's body that keeps its request counted as running, and tells the watch over its
    /// stream, if there is one, when it gives a piece away.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        running: Running,
        sending: Option<Arc<Sending>>,
        // The last byte of the body, given as a piece of its own.
        last: Option<Bytes>,
    }
}

impl<B> Answer<B> {
    /// To be called on the task that will send the body.
    pub(super) fn new(body: B, running: Running) -> Self {
        Self {
            body,
            running,
            sending: SENDING.try_with(Arc::clone).ok(),
            last: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(sending) = this.sending else {
            return this.body.poll_frame(cx);
        };
        *sending.since.lock() = None;
        let mut frame = match this.last.take() {
            Some(last) => Frame::data(last),
            None => match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            },
        };
        // Nobody waits for room for the last piece: the stream hands it over, and ends. So that
        // piece is one byte, and handing it over means that there was room for all before it.
        if let Some(data) = frame.data_mut()
            && data.len() > 1
            && (this.body.is_end_stream() || this.body.size_hint().exact() == Some(0))
        {
            *this.last = Some(data.split_off(data.len().saturating_sub(1)));
        }
        *sending.since.lock() = Some(Instant::now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.last.is_some() {
            return SizeHint::with_exact(1);
        }
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use h2::client::SendRequest;
    use http::{Request, Response};
    use http_body_util::StreamBody;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioIo, TokioTimer};

    use super::*;

    const WINDOW_BYTES: u32 = 1000;

    /// A client that opens `WINDOW_BYTES` for each stream, at a server whose paths say the length of
    /// the answer's pieces in bytes, `/`, and the pause before each in seconds.
    async fn client() -> SendRequest<Bytes> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let activity = Arc::new(Activity::default());
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let running = activity.start();
            let numbers: Vec<u64> = request
                .uri()
                .path()
                .split('/')
                .filter_map(|number| number.parse().ok())
                .collect();
            async move {
                let pieces = futures_util::stream::iter(numbers[1..].to_vec()).then(move |len| {
                    let pause = Duration::from_secs(numbers[0]);
                    async move {
                        tokio::time::sleep(pause).await;
                        let len = usize::try_from(len).unwrap();
                        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![7; len])))
                    }
                });
                let body = Sized {
                    left_bytes: numbers_sum(request.uri().path()),
                    body: StreamBody::new(Box::pin(pieces)),
                };
                Ok::<_, Infallible>(Response::new(Answer::new(body, running)))
            }
        });
        tokio::spawn(async move {
            let mut builder = http2::Builder::new(StreamExecutor);
            builder.timer(TokioTimer::new());
            drop(builder.serve_connection(TokioIo::new(ours), service).await);
        });
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES);
        let (client, connection) = builder.handshake(theirs).await.unwrap();
        tokio::spawn(connection);
        client.ready().await.unwrap()
    }

    fn numbers_sum(path: &str) -> u64 {
        let numbers = path
            .split('/')
            .filter_map(|number| number.parse::<u64>().ok());
        numbers.skip(1).sum()
    }

    /// Knows its length, as our answers do.
    struct Sized<B> {
        left_bytes: u64,
        body: B,
    }

    impl<B: Body<Data = Bytes> + Unpin> Body for Sized<B> {
        type Data = Bytes;
        type Error = B::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            if let Some(Ok(frame)) = &frame {
                let len = frame.data_ref().map_or(0, Bytes::len);
                self.left_bytes -= u64::try_from(len).unwrap();
            }
            Poll::Ready(frame)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.left_bytes)
        }
    }

    /// Asks for `path`, opening the window again for what arrived if `reads`.
    async fn get(
        client: &mut SendRequest<Bytes>,
        path: &str,
        reads: bool,
    ) -> Result<usize, h2::Error> {
        let request = Request::get(format!("http://h{path}")).body(()).unwrap();
        let mut body = client.send_request(request, true)?.0.await?.into_body();
        let mut got = 0;
        while let Some(data) = body.data().await {
            let len = data?.len();
            got += len;
            if reads {
                body.flow_control().release_capacity(len)?;
            }
        }
        Ok(got)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_window_stays_closed_is_reset_and_the_others_go_on() {
        let mut client = client().await;
        for pieces in ["/0/5000/5000", "/0/5000", "/0/999/2", "/0/1001"] {
            let started = Instant::now();
            let error = get(&mut client, pieces, false).await.unwrap_err();
            assert!(error.is_reset(), "{pieces}: {error}");
            assert!(started.elapsed() >= WRITE_STALL_TIMEOUT);
            assert_eq!(get(&mut client, pieces, true).await.unwrap(), {
                usize::try_from(numbers_sum(pieces)).unwrap()
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_fills_the_window_needs_no_more_of_it() {
        let mut client = client().await;
        let started = Instant::now();
        for pieces in ["/0/1000", "/0/1", "/0/500/500", "/0/999/1"] {
            let got = get(&mut client, pieces, false).await.unwrap();
            assert_eq!(u64::try_from(got).unwrap(), numbers_sum(pieces), "{pieces}");
        }
        assert!(started.elapsed() < WRITE_STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_slow_in_coming_is_waited_for() {
        let mut client = client().await;
        let path = "/300/100/100/5000";
        assert_eq!(get(&mut client, path, true).await.unwrap(), 5200);
    }
}
