//! Time as a port.

use std::time::Duration;

use strongroom_types::Timestamp;

/// Wall and monotonic time.
///
/// Contract: `monotonic` never goes back and does not jump with the wall clock; deadlines that
/// protect data (a key's deletion) are checked against both, so that a clock set forward does not
/// fire them early. Orders of versions never come from either: they come from sequences.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary, fixed start.
    fn monotonic(&self) -> Duration;
}
