//! The background thread that removes what deletions left, and files that nothing refers to.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_s3::S3;
use strongroom_store::DurableMeta;

use super::background::{Background, Stuck};
use super::backups::Backups;

/// How long the collector rests between rounds.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// How often orphaned files are looked for. A file counts as one when two sweeps saw it.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// Rows collected in one step, so that a stop is noticed soon.
const STEP_ROWS_MAX: usize = 256;

/// Starts the thread. It begins with a round and a sweep, for what a crash left.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn start(
    s3: Arc<S3>,
    meta: Arc<DurableMeta>,
    backups: Arc<Backups>,
    stuck: Stuck,
) -> io::Result<Background> {
    let mut meta = Some(meta);
    let mut next_sweep = Instant::now();
    Background::start("collector", stuck, move || {
        // A server that is only ever killed would never let go of an old journal file.
        if let Some(meta) = meta.take()
            && let Err(error) = meta.checkpoint()
        {
            tracing::warn!(%error, "no checkpoint at the start");
        }
        // What a backup is being taken of stays until it is done.
        let Some(_no_backup) = backups.keep_out() else {
            return ROUND_EVERY;
        };
        if collect(&s3) {
            return Duration::ZERO;
        }
        if Instant::now() >= next_sweep {
            // A second look soon: what a crash left shall not stay for an hour.
            let pause = if sweep(&s3) { ROUND_EVERY } else { SWEEP_EVERY };
            next_sweep = Instant::now() + pause;
        }
        ROUND_EVERY
    })
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
