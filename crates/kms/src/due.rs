//! When something is due with a key, as far as it is known: an index in memory, so that a round of
//! due work looks at the keys that are due and not at all keys.
//!
//! ```text
//!   first round, then each hour   all rows are read
//!   every commit                  its keys are marked, and read again in the next round
//! ```
//!
//! It holds only keys with a date: those that rotate, are to be deleted, or have material that
//! expires. A key that is not in it is late by an hour at most, whatever was forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_types::Timestamp;
use strongroom_types::kms::{KeyArn, KeyOrigin};

use crate::key::{Key, Lifecycle};

/// How long the index is believed before all keys are read again.
const SCAN_EVERY: Duration = Duration::from_secs(60 * 60);

/// How a key ends, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It is deleted.
    Deletion(Timestamp),
    /// Its imported material, or the first of several, expires.
    Expiry(Timestamp),
}

impl Ending {
    pub(crate) const fn at(self) -> Timestamp {
        match self {
            Self::Deletion(at) | Self::Expiry(at) => at,
        }
    }
}

/// The dates of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dates {
    /// When there is something to do.
    pub work: Timestamp,
    pub ending: Option<Ending>,
}

impl Dates {
    /// Those of a key, if it has any.
    pub(crate) fn of(key: &Key) -> Option<Self> {
        let expires = key.materials.iter().filter_map(|material| {
            let import = material.import.as_ref().filter(|import| import.present)?;
            import.valid_to
        });
        let rotates = key.rotation.next.filter(|_| {
            key.rotation.enabled
                && key.lifecycle == Lifecycle::Enabled
                && key.origin == KeyOrigin::AwsKms
        });
        let deleted = match key.lifecycle {
            Lifecycle::Destroying => Some(Timestamp::from_millis(0)),
            Lifecycle::PendingDeletion { until } => Some(until),
            Lifecycle::Enabled | Lifecycle::Disabled => None,
        };
        let ending = match key.lifecycle {
            Lifecycle::Destroying => None,
            Lifecycle::PendingDeletion { until } => Some(Ending::Deletion(until)),
            Lifecycle::Enabled | Lifecycle::Disabled => key.valid_to().map(Ending::Expiry),
        };
        let work = expires.chain(rotates).chain(deleted).min()?;
        Some(Self { work, ending })
    }
}

/// The index.
#[derive(Default)]
pub(crate) struct DueDates(Mutex<Index>);

#[derive(Default)]
struct Index {
    dates: BTreeMap<KeyArn, Dates>,
    /// Keys that have changed since they were read.
    changed: BTreeSet<KeyArn>,
    /// When all keys were read, by the monotonic clock.
    scanned: Option<Duration>,
}

impl DueDates {
    /// Marks a key that has changed, after the commit.
    pub(crate) fn touch(&self, arn: &KeyArn) {
        self.0.lock().changed.insert(arn.clone());
    }

    /// Whether all keys are to be read. Then what changes from now on is marked anew.
    pub(crate) fn begin_scan(&self, now: Duration) -> bool {
        let mut index = self.0.lock();
        let scanned = index.scanned;
        let is_old = scanned.is_none_or(|at| now.saturating_sub(at) >= SCAN_EVERY);
        if is_old {
            index.changed.clear();
            index.scanned = None;
        }
        is_old
    }

    /// Takes over what the reading of all keys found.
    pub(crate) fn end_scan(&self, now: Duration, dates: BTreeMap<KeyArn, Dates>) {
        let mut index = self.0.lock();
        index.dates = dates;
        index.scanned = Some(now);
    }

    /// The keys that have changed; they are no longer marked.
    pub(crate) fn take_changed(&self) -> BTreeSet<KeyArn> {
        std::mem::take(&mut self.0.lock().changed)
    }

    /// What a key that was read again has.
    pub(crate) fn set(&self, arn: KeyArn, dates: Option<Dates>) {
        let mut index = self.0.lock();
        match dates {
            Some(dates) => index.dates.insert(arn, dates),
            None => index.dates.remove(&arn),
        };
    }

    /// The keys that are due at `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<KeyArn> {
        let index = self.0.lock();
        let due = index.dates.iter().filter(|(_, dates)| dates.work <= now);
        due.map(|(arn, _)| arn.clone()).collect()
    }

    /// The keys that end, and how.
    pub(crate) fn endings(&self) -> BTreeMap<KeyArn, Ending> {
        let index = self.0.lock();
        let ending = |(arn, dates): (&KeyArn, &Dates)| Some((arn.clone(), dates.ending?));
        index.dates.iter().filter_map(ending).collect()
    }
}
