//! Threads that work in rounds beside the requests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest rest after a round that panicked.
const REST_AFTER_PANIC_MAX: Duration = Duration::from_secs(10);
/// After so many panics in a row a thread does not do its work.
const PANICS_MAX: u32 = 3;

/// How many threads panic in round after round. Shared by all of them.
#[derive(Clone, Default)]
pub(super) struct Stuck(Arc<AtomicUsize>);

impl Stuck {
    /// Whether any thread does not do its work.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// What a thread is told while it rests.
enum Call {
    /// There is work.
    Work,
    /// There will be no more.
    Stop,
}

/// Ends the rest of a thread: there is work for it.
pub(super) struct Waker(Sender<Call>);

impl Waker {
    /// The next round begins now, or as soon as the one that goes on has ended.
    pub(super) fn wake(&self) {
        // A thread that has ended needs no work.
        let _ = self.0.send(Call::Work);
    }
}

/// A running thread; dropping it stops it after its round.
pub(super) struct Background {
    calls: Sender<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts a thread that calls `round` again and again. What it returns is how long it rests. A
    /// round that panics is counted, and followed by the next; rounds change stores by transactions
    /// only, so that a broken one leaves nothing half done.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no thread.
    pub(super) fn start(
        name: &'static str,
        stuck: Stuck,
        mut round: impl FnMut() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let (calls, called) = channel();
        let work = move || {
            let mut panics_in_a_row = 0_u32;
            loop {
                // The hook has told of a panic.
                let rest = if let Ok(rest) = catch_unwind(AssertUnwindSafe(&mut round)) {
                    if panics_in_a_row >= PANICS_MAX {
                        stuck.0.fetch_sub(1, Ordering::AcqRel);
                    }
                    panics_in_a_row = 0;
                    rest
                } else {
                    panics_in_a_row = panics_in_a_row.saturating_add(1);
                    if panics_in_a_row == PANICS_MAX {
                        stuck.0.fetch_add(1, Ordering::AcqRel);
                    }
                    tracing::error!(
                        thread = name,
                        panics_in_a_row,
                        "a round in the background panicked"
                    );
                    metrics::counter!("strongroom_background_panics_total", "thread" => name)
                        .increment(1);
                    rest_after_panic(panics_in_a_row)
                };
                let is_stopped = match called.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => false,
                    // Whatever else was called meanwhile is answered by the same round.
                    Ok(first) => std::iter::once(first)
                        .chain(called.try_iter())
                        .any(|call| matches!(call, Call::Stop)),
                    Err(RecvTimeoutError::Disconnected) => true,
                };
                if is_stopped {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)?;
        Ok(Self {
            calls,
            thread: Some(thread),
        })
    }

    /// For whoever makes work for it.
    pub(super) fn waker(&self) -> Waker {
        Waker(self.calls.clone())
    }
}

/// The first panics are followed by the next round soon: whether the thread is stuck shall be known.
fn rest_after_panic(panics_in_a_row: u32) -> Duration {
    Duration::from_millis(100)
        .saturating_mul(1 << panics_in_a_row.min(10))
        .min(REST_AFTER_PANIC_MAX)
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.calls.send(Call::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_thread_outlives_its_panics_and_says_when_it_is_stuck() {
        let (told, rounds) = sync_channel(0);
        let stuck = Stuck::default();
        let mut round = 0;
        let seen_inside = stuck.clone();
        let thread = Background::start("test", stuck, move || {
            // The outcome of the round before is known.
            let _ = told.send((round, seen_inside.any()));
            round += 1;
            assert!(round > 3, "the first three fail");
            Duration::ZERO
        })
        .unwrap();
        let seen: Vec<(i32, bool)> = rounds.iter().take(5).collect();
        assert_eq!(
            seen,
            [(0, false), (1, false), (2, false), (3, true), (4, false)]
        );
        drop(rounds);
        drop(thread);
    }

    #[test]
    fn a_call_ends_a_rest_and_keeps_no_thread_from_its_end() {
        let (told, rounds) = channel();
        let thread = Background::start("test", Stuck::default(), move || {
            let _ = told.send(());
            Duration::from_secs(3600)
        })
        .unwrap();
        let waker = thread.waker();
        for _ in 0..3 {
            rounds.recv_timeout(Duration::from_secs(30)).unwrap();
            waker.wake();
        }
        drop(thread);
        waker.wake();
        assert!(
            rounds.iter().count() <= 1,
            "the last call may still have begun a round"
        );
    }
}
