//! The background threads of the audit trail: one sums up the denials of strangers, takes in what
//! commands noted, moves what was recorded into the chained ledger and removes what is older than 90 days, the other delivers what trails ask for. A bucket that answers
//! slowly holds no record up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_api::Recorder;
use strongroom_api::cloudtrail::S3Delivery;
use strongroom_audit::trails::{Delivery, DigestSigner, Stepped, Trails};
use strongroom_audit::{AuditLog, Lane, Ledger, TrailError};
use strongroom_kms::KeyService;
use strongroom_types::Timestamp;

use super::background::{Background, Stuck};
use crate::data_dir::DataDir;
use crate::notes;

/// How long it rests between rounds: records reach the ledger within about two seconds.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// How long it rests between rounds while much is recorded.
const BUSY_ROUND_EVERY: Duration = Duration::from_millis(100);
/// So many events of a round are much: as many as one batch has.
const BUSY_EVENTS: u64 = 256;
/// How often it looks for records that are too old, in milliseconds.
const SWEEP_EVERY_MILLIS: u64 = 3_600_000;

/// Starts the thread.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn start(
    log: &AuditLog,
    recorder: &Arc<Recorder>,
    kms: Arc<KeyService>,
    data: &DataDir,
    stuck: Stuck,
) -> io::Result<Background> {
    let (log, recorder, data) = (log.clone(), Arc::clone(recorder), data.clone());
    let ledger = Ledger::new(log.rows().clone(), log.home().clone());
    let trails = Trails::new(log.clone());
    let mut swept: Option<Timestamp> = None;
    let clock_is_believed = move || kms.clock_is_believed();
    Background::start("audit-trail", stuck, move || {
        let now = log.now();
        if let Err(error) = notes::take_in(&data, &log) {
            tracing::error!(%error, "notes of commands are not taken into the audit trail; tried again");
            metrics::counter!("strongroom_audit_ledger_failures_total").increment(1);
        }
        let summed_up = sum_up(&log, &recorder);
        match summed_up.and_then(|()| keep(&ledger, &trails, now, &mut swept, &clock_is_believed)) {
            Ok(rest) => rest,
            Err(error) => {
                tracing::error!(%error, "the audit trail is not moved into its ledger; tried again");
                metrics::counter!("strongroom_audit_ledger_failures_total").increment(1);
                ROUND_EVERY
            }
        }
    })
}

/// Records what strangers were denied in the last minute, once a minute.
fn sum_up(log: &AuditLog, recorder: &Recorder) -> Result<(), TrailError> {
    if let Some(summary) = recorder.summary(false) {
        log.append(&[summary]).wait()?;
    }
    Ok(())
}

/// Starts the thread that delivers.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn deliver(
    log: &AuditLog,
    signer: Arc<dyn DigestSigner>,
    to: &S3Delivery,
    every: Duration,
    stuck: Stuck,
) -> io::Result<Background> {
    let log = log.clone();
    let interval_millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    let delivery = Delivery::new(Trails::new(log.clone()), signer, Arc::new(to.sink()?))
        .every(interval_millis);
    Background::start("trail-delivery", stuck, move || {
        match delivery.step(log.now()) {
            Ok(Stepped::Worked) => Duration::ZERO,
            Ok(Stepped::Idle) => ROUND_EVERY,
            Err(error) => {
                tracing::error!(%error, "trails cannot be delivered; tried again");
                metrics::counter!("strongroom_trail_delivery_failures_total").increment(1);
                ROUND_EVERY
            }
        }
    })
}

/// One round; how long to rest after it. Nothing is removed for its age by a clock that is not
/// believed: one that is ahead by mistake would remove all there is.
fn keep(
    ledger: &Ledger,
    trails: &Trails,
    now: Timestamp,
    swept: &mut Option<Timestamp>,
    clock_is_believed: &dyn Fn() -> bool,
) -> Result<Duration, TrailError> {
    let (mut more, mut count) = (false, 0);
    for lane in [Lane::Management, Lane::Data] {
        let moved = ledger.step(lane, now, false)?;
        metrics::counter!("strongroom_audit_events_total", "lane" => lane.name())
            .increment(moved.count);
        more |= moved.more;
        count += moved.count;
    }
    let is_due = swept.is_none_or(|last| {
        let since = now.as_millis().checked_sub(last.as_millis());
        // A clock that was set back ends the wait, too.
        since.is_none_or(|since| since >= SWEEP_EVERY_MILLIS)
    });
    if is_due && !more && clock_is_believed() {
        let mut all_done = true;
        for lane in [Lane::Management, Lane::Data] {
            all_done &= !ledger.sweep(lane, now, trails.keep_from(lane)?)?.more;
        }
        if all_done {
            *swept = Some(now);
        }
        more |= !all_done;
    }
    Ok(match count {
        _ if more => Duration::ZERO,
        BUSY_EVENTS.. => BUSY_ROUND_EVERY,
        _ => ROUND_EVERY,
    })
}

#[cfg(test)]
mod tests {
    use strongroom_audit::{EventBuilder, Home, OWN_SOURCE};
    use strongroom_crypto::Keyring;
    use strongroom_ports::Clock as _;
    use strongroom_rows::{Custody, SealedRows};
    use strongroom_store::MemoryMeta;
    use strongroom_types::{AccountId, Region};

    use super::*;
    use crate::adapters::{SystemClock, SystemEntropy};

    const YEAR_MILLIS: u64 = 365 * 24 * 3_600_000;

    fn log() -> AuditLog {
        let clock = Arc::new(SystemClock::new());
        let (ring, _) = Keyring::create(clock.now(), &SystemEntropy);
        let rows = SealedRows {
            meta: Arc::new(MemoryMeta::new()),
            custody: Arc::new(Custody::new(Arc::new(ring))),
            entropy: Arc::new(SystemEntropy),
        };
        let home = Home {
            account: AccountId::parse("111122223333").unwrap(),
            region: Region::parse("us-east-1").unwrap(),
        };
        AuditLog::new(rows, clock, home)
    }

    #[test]
    fn a_clock_that_is_not_believed_removes_no_record() {
        let log = log();
        let ledger = Ledger::new(log.rows().clone(), log.home().clone());
        let trails = Trails::new(log.clone());
        let event = EventBuilder::by_service(log.home().account, OWN_SOURCE, "VerifyStore");
        log.append(&[log.finish(event)]).wait().unwrap();
        let settled = Timestamp::from_millis(log.now().as_millis() + 1000);
        let a_year_on = Timestamp::from_millis(settled.as_millis() + YEAR_MILLIS);
        let mut swept = None;
        let mut round = |now, believed: bool| {
            keep(&ledger, &trails, now, &mut swept, &|| believed).unwrap();
            let lane = Lane::Management;
            ledger.end(lane).unwrap().batch - ledger.oldest(lane).unwrap().batch
        };
        assert_eq!(round(settled, true), 1);
        assert_eq!(round(a_year_on, false), 1, "the clock may have jumped");
        assert_eq!(round(a_year_on, true), 0, "it was right");
    }
}
