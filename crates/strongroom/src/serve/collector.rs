//! The background thread that removes what deletions left, and files that nothing refers to.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strongroom_s3::S3;
use strongroom_store::DurableMeta;

/// How long the collector rests between rounds.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// How often orphaned files are looked for. A file counts as one when two sweeps saw it.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
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
    pub(super) fn start(s3: Arc<S3>, meta: Arc<DurableMeta>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let work = move || {
            // A server that is only ever killed would never let go of an old journal file.
            if let Err(error) = meta.checkpoint() {
                tracing::warn!(%error, "no checkpoint at the start");
            }
            drop(meta);
            let mut next_sweep = Instant::now();
            loop {
                let mut rest = ROUND_EVERY;
                if collect(&s3) {
                    rest = Duration::ZERO;
                } else if Instant::now() >= next_sweep {
                    // A second look soon: what a crash left shall not stay for an hour.
                    let pause = if sweep(&s3) { ROUND_EVERY } else { SWEEP_EVERY };
                    next_sweep = Instant::now() + pause;
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
fn collect(s3: &S3) -> bool {
    match s3.collect_garbage(STEP_ROWS_MAX) {
        Ok(report) => {
            let found = report.collected.saturating_add(report.postponed);
            metrics::gauge!("strongroom_garbage_rows").set(gauge(found));
            metrics::counter!("strongroom_garbage_collected_total")
                .increment(count(report.collected));
            report.collected >= STEP_ROWS_MAX
        }
        Err(error) => {
            tracing::warn!(%error, "garbage not collected; tried again later");
            metrics::counter!("strongroom_collector_failures_total").increment(1);
            false
        }
    }
}

/// Looks for orphaned files; true when some were seen for the first time.
fn sweep(s3: &S3) -> bool {
    match s3.sweep_orphans() {
        Ok(report) => {
            metrics::gauge!("strongroom_blobs_orphaned").set(gauge(report.suspected));
            if report.blobs_removed > 0 {
                tracing::info!(blobs = report.blobs_removed, "orphaned blob files removed");
            }
            report.suspected > 0
        }
        Err(error) => {
            tracing::warn!(%error, "orphaned files not looked for; tried again later");
            metrics::counter!("strongroom_collector_failures_total").increment(1);
            false
        }
    }
}

fn gauge(rows: usize) -> f64 {
    u32::try_from(rows).map_or(f64::from(u32::MAX), f64::from)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
