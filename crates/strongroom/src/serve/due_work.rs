//! The background thread that does what is due with keys: destructions, expiries, rotations.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_kms::{DueWork, KeyService, NearEndings};
use strongroom_types::Timestamp;

use super::background::{Background, Stuck};

/// How long it rests between rounds. Dates of keys are days apart.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// Starts the thread. It begins at once, for what came due while nothing ran.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn start(kms: Arc<KeyService>, stuck: Stuck) -> io::Result<Background> {
    Background::start("due-work", stuck, move || {
        match kms.run_due_work() {
            Ok(work) => report(work),
            Err(error) => {
                tracing::error!(%error, "due work of keys not done; tried again later");
                metrics::counter!("strongroom_kms_due_work_failures_total").increment(1);
            }
        }
        report_endings(&kms.near_endings());
        ROUND_EVERY
    })
}

/// How many keys end soon. Gauges of a fixed number: a label for each key would grow for ever.
pub(super) fn report_endings(near: &NearEndings) {
    let within = ["1d", "7d", "30d"];
    let figures = within.iter().zip(near.deletions).zip(near.expiries);
    for ((within, deletions), expiries) in figures {
        metrics::gauge!("strongroom_kms_keys_pending_deletion", "within" => *within)
            .set(gauge(deletions));
        metrics::gauge!("strongroom_kms_keys_with_expiring_material", "within" => *within)
            .set(gauge(expiries));
    }
    let seconds = |at: Option<Timestamp>| gauge(at.map_or(0, Timestamp::as_seconds));
    metrics::gauge!("strongroom_kms_next_key_deletion_timestamp_seconds")
        .set(seconds(near.next_deletion));
    metrics::gauge!("strongroom_kms_next_material_expiry_timestamp_seconds")
        .set(seconds(near.next_expiry));
}

/// Seconds and counts stay far below what is exact.
fn gauge(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

fn report(work: DueWork) {
    let DueWork {
        keys_destroyed,
        materials_expired,
        keys_rotated,
        shred_keys_destroyed,
        shred_keys_repaired,
        last_uses_written: _,
        postponed,
        failed,
    } = work;
    let done = [
        ("keys_destroyed", keys_destroyed),
        ("materials_expired", materials_expired),
        ("keys_rotated", keys_rotated),
        ("shred_keys_destroyed", shred_keys_destroyed),
        ("shred_keys_repaired", shred_keys_repaired),
        ("failed", failed),
    ];
    for (what, count) in done {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        metrics::counter!("strongroom_kms_due_work_total", "what" => what).increment(count);
    }
    if done.iter().any(|(_, count)| *count > 0) {
        tracing::info!(
            keys_destroyed,
            materials_expired,
            keys_rotated,
            shred_keys_destroyed,
            shred_keys_repaired,
            failed,
            "due work of keys"
        );
    }
    if postponed > 0 {
        tracing::warn!(
            postponed,
            "the clock has jumped ahead: keys that seem to be due are not destroyed yet"
        );
    }
}
