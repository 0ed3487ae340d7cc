//! A connection's bytes: peers that stop reading are cut, and a close does not lose the answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::WRITE_STALL_TIMEOUT;

/// How long, and over how many bytes, a closed connection is still read from. A client that is
/// still sending its body would otherwise get a reset instead of the answer that refuses it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MAX_BYTES: usize = 1 << 20;

/// Guards a stream.
pub(super) struct GuardedIo<S> {
    inner: S,
    /// When the peer began to take nothing; the timer is made when that first happens.
    stalled_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

struct Linger {
    timer: Pin<Box<Sleep>>,
    read_bytes: usize,
}

impl<S> GuardedIo<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            stalled_since: None,
            timer: None,
            linger: None,
        }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled_since = None;
            return result;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let deadline = since + WRITE_STALL_TIMEOUT;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watch(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, pieces);
        this.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let result = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.watch(cx, result))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            timer: Box::pin(tokio::time::sleep(LINGER)),
            read_bytes: 0,
        });
        let mut scratch = [0; 4096];
        while linger.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    linger.read_bytes = linger.read_bytes.saturating_add(buffer.filled().len());
                    if linger.read_bytes > LINGER_MAX_BYTES {
                        break;
                    }
                }
                // The peer has closed as well, or is gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut guarded = GuardedIo::new(ours);
        let started = Instant::now();
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= WRITE_STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_the_peer_but_not_for_ever() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let mut guarded = GuardedIo::new(ours);
        guarded.write_all(b"answer").await.unwrap();
        theirs.write_all(&[1; 1000]).await.unwrap();
        let started = Instant::now();
        guarded.shutdown().await.unwrap();
        assert!(started.elapsed() >= LINGER);
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        drop(theirs);

        let (ours, theirs) = tokio::io::duplex(16);
        drop(theirs);
        let started = Instant::now();
        GuardedIo::new(ours).shutdown().await.unwrap();
        assert!(started.elapsed() < LINGER);
    }
}
