//! Notices a wall clock that jumped ahead, while the process ran or before it started, so that a
//! wrong clock destroys nothing.
//!
//! ```text
//! running:  wall clock against monotonic clock                        > 5 min ahead --+
//! starting: wall clock against the time that the last round wrote     > 1 h ahead ----+
//!                                                                                     v
//!                                              24 h of monotonic time without destruction
//! ```
//!
//! What is left of these 24 hours is written with the time, so that starting again neither shortens
//! nor prolongs them. What is past its date cannot be used either way.

use std::time::Duration;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use strongroom_ports::{Clock, Scan, Table, Transaction};
use strongroom_rows::Record;
use strongroom_types::Timestamp;

use crate::{KeyService, KmsError};

/// A wall clock that is ahead of the monotonic one by more than this has jumped.
const JUMP: Duration = Duration::from_secs(5 * 60);
/// A wall clock that at the start is ahead of the last round by more than this is in doubt.
const DOWNTIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How long after a jump nothing is destroyed.
const QUARANTINE: Duration = Duration::from_secs(24 * 60 * 60);
/// Of [`Table::SETTINGS`].
const ROW_KEY: &[u8] = b"kms-clock";

/// The time of the last round of due work.
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(map)]
struct ClockRow {
    #[n(0)]
    seen_millis: u64,
    /// How long nothing was to be destroyed from then on.
    #[n(1)]
    quarantine_millis: u64,
}

impl Record for ClockRow {
    const KIND: u8 = 0x24;
}

impl KeyService {
    /// Whether the wall clock can be believed so far that what it says is due may be destroyed: keys,
    /// and whatever else goes by its date for good. Blocks.
    pub fn clock_is_believed(&self) -> bool {
        let guard = &self.shared.clock_guard;
        if !guard.is_compared() {
            let last = if self.options.danger_trust_clock {
                tracing::warn!(
                    "the clock is trusted as it is: keys past their date are destroyed at once"
                );
                Ok(Last::Trusted)
            } else {
                self.last_round()
            };
            match last {
                Ok(last) => guard.compare(&*self.ports.clock, last),
                Err(error) => {
                    tracing::error!(%error, "the time of the last round cannot be read: no key is destroyed");
                    return false;
                }
            }
        }
        guard.may_destroy(&*self.ports.clock)
    }

    /// Writes the time, for the next start to compare its clock with. Called in each round and when
    /// the process ends. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError`]. A start that finds an old time only waits longer before it destroys.
    pub fn note_time(&self) -> Result<(), KmsError> {
        let guard = &self.shared.clock_guard;
        // Before it is compared with, it must not be replaced.
        if !guard.is_compared() {
            return Ok(());
        }
        let row = ClockRow {
            seen_millis: self.now().as_millis(),
            quarantine_millis: guard.left_millis(&*self.ports.clock),
        };
        let row_key = Bytes::from_static(ROW_KEY);
        let transaction = Transaction::new().taking_away();
        let transaction = self.put(transaction, Table::SETTINGS, row_key, &row)?;
        self.ports.rows.meta.commit(transaction).wait()?;
        Ok(())
    }

    fn last_round(&self) -> Result<Last, KmsError> {
        if let Some((row, _)) = self.read::<ClockRow>(Table::SETTINGS, ROW_KEY)? {
            return Ok(Last::Round(row));
        }
        let any_key = Scan {
            table: Table::KMS_KEYS,
            start: Bytes::new(),
            end: None,
            limit: 1,
            reverse: false,
        };
        let keys = self.ports.rows.meta.scan(&any_key)?;
        Ok(if keys.rows.is_empty() {
            Last::Trusted
        } else {
            Last::Unknown
        })
    }
}

/// What a start knows of the time before it.
#[derive(Clone, Copy)]
enum Last {
    Round(ClockRow),
    /// There are keys, and no time was written.
    Unknown,
    /// There are no keys, or the operator vouches for the clock.
    Trusted,
}

/// The two clocks, and whether they went on together.
pub(crate) struct ClockGuard(Mutex<Guard>);

struct Guard {
    /// Both clocks at one moment: the start, or the last jump.
    wall: Timestamp,
    monotonic: Duration,
    /// Until when, by the monotonic clock, nothing is destroyed.
    quarantined_until: Duration,
    /// Whether the clock was compared with the last round before the start.
    compared: bool,
}

impl ClockGuard {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self(Mutex::new(Guard {
            wall: clock.now(),
            monotonic: clock.monotonic(),
            quarantined_until: Duration::ZERO,
            compared: false,
        }))
    }

    fn is_compared(&self) -> bool {
        self.0.lock().compared
    }

    fn compare(&self, clock: &dyn Clock, last: Last) {
        let mut guard = self.0.lock();
        if guard.compared {
            return;
        }
        guard.compared = true;
        let left = match last {
            Last::Trusted => Duration::ZERO,
            Last::Unknown => QUARANTINE,
            Last::Round(row) => {
                let now = clock.now().as_millis();
                let ahead = Duration::from_millis(now.saturating_sub(row.seen_millis));
                if ahead > DOWNTIME_MAX {
                    doubt(
                        ahead,
                        "the server did not run for long, or the clock is wrong",
                    );
                    QUARANTINE
                } else {
                    Duration::from_millis(row.quarantine_millis).min(QUARANTINE)
                }
            }
        };
        guard.quarantined_until = clock.monotonic() + left;
    }

    /// How long nothing is destroyed yet, in milliseconds.
    fn left_millis(&self, clock: &dyn Clock) -> u64 {
        let until = self.0.lock().quarantined_until;
        let left = until.saturating_sub(clock.monotonic());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    fn may_destroy(&self, clock: &dyn Clock) -> bool {
        let mut guard = self.0.lock();
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        let wall_progress =
            Duration::from_millis(wall.as_millis().saturating_sub(guard.wall.as_millis()));
        let progress = monotonic.saturating_sub(guard.monotonic);
        if wall_progress > progress + JUMP {
            doubt(
                wall_progress.saturating_sub(progress),
                "the wall clock has jumped ahead",
            );
            guard.wall = wall;
            guard.monotonic = monotonic;
            guard.quarantined_until = monotonic + QUARANTINE;
        } else if wall_progress + JUMP < progress {
            // Set back: from here on a jump ahead is measured anew.
            guard.wall = wall;
            guard.monotonic = monotonic;
        }
        monotonic >= guard.quarantined_until
    }
}

fn doubt(ahead: Duration, why: &str) {
    tracing::warn!(
        ahead_seconds = ahead.as_secs(),
        "{why}: no key, no imported material and no record of the audit trail is destroyed for 24 hours. If the clock is wrong, set \
         it right. If it is right, nothing need be done; to destroy at once what is due, start once \
         with --danger-trust-clock"
    );
    metrics::counter!("strongroom_kms_clock_jumps_total").increment(1);
}
