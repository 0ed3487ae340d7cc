//! Counting, by bucket and mode, from many threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::report::{BucketCounts, ModeCounts};

/// Of one bucket and mode.
#[derive(Default)]
pub(crate) struct ModeTally {
    pub(crate) versions: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) keys_opened: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) segments_by_checksum: AtomicU64,
    pub(crate) without_customer_key: AtomicU64,
    pub(crate) under_unavailable_keys: AtomicU64,
}

impl ModeTally {
    pub(crate) fn segments(&self, count: u64, with_tags: bool) {
        let counter = if with_tags {
            &self.segments
        } else {
            &self.segments_by_checksum
        };
        add(counter, count);
    }

    fn counts(&self) -> ModeCounts {
        let Self {
            versions,
            streams,
            bytes,
            keys_opened,
            segments,
            segments_by_checksum,
            without_customer_key,
            under_unavailable_keys,
        } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ModeCounts {
            versions: read(versions),
            streams: read(streams),
            bytes: read(bytes),
            keys_opened: read(keys_opened),
            segments: read(segments),
            segments_by_checksum: read(segments_by_checksum),
            without_customer_key: read(without_customer_key),
            under_unavailable_keys: read(under_unavailable_keys),
        }
    }
}

/// Of one bucket.
#[derive(Default)]
pub(crate) struct BucketTally {
    pub(crate) delete_markers: AtomicU64,
    pub(crate) uploads: AtomicU64,
    pub(crate) upload_parts: AtomicU64,
    modes: Mutex<BTreeMap<&'static str, Arc<ModeTally>>>,
}

impl BucketTally {
    pub(crate) fn mode(&self, mode: &'static str) -> Arc<ModeTally> {
        let mut modes = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(modes.entry(mode).or_default())
    }
}

/// Of all buckets.
#[derive(Default)]
pub(crate) struct Tally(Mutex<HashMap<String, Arc<BucketTally>>>);

impl Tally {
    pub(crate) fn bucket(&self, name: &str) -> Arc<BucketTally> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = buckets.get(name) {
            return Arc::clone(known);
        }
        Arc::clone(buckets.entry(name.to_owned()).or_default())
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, BucketCounts> {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = buckets.iter().map(|(name, tally)| {
            let modes = tally.modes.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = BucketCounts {
                delete_markers: tally.delete_markers.load(Ordering::Relaxed),
                uploads: tally.uploads.load(Ordering::Relaxed),
                upload_parts: tally.upload_parts.load(Ordering::Relaxed),
                modes: modes
                    .iter()
                    .map(|(mode, tally)| ((*mode).to_owned(), tally.counts()))
                    .collect(),
            };
            (name.clone(), counts)
        });
        counted.collect()
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
