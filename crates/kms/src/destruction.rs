//! What is due: keys past their date go, with everything that is theirs.

use std::time::Duration;

use parking_lot::Mutex;
use strongroom_ports::Clock;
use strongroom_types::Timestamp;

/// A wall clock that is ahead of the monotonic one by more than this has jumped.
const JUMP: Duration = Duration::from_secs(5 * 60);
/// How long after a jump nothing is destroyed.
const QUARANTINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Notices when the wall clock jumps ahead, so that a wrong clock destroys no key.
pub(crate) struct ClockGuard(Mutex<Guard>);

struct Guard {
    wall: Timestamp,
    monotonic: Duration,
    /// When a jump was noticed, by the monotonic clock.
    jumped: Option<Duration>,
}

impl ClockGuard {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self(Mutex::new(Guard {
            wall: clock.now(),
            monotonic: clock.monotonic(),
            jumped: None,
        }))
    }
}
