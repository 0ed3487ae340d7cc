//! What the tests of this crate share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{MetaStore, Scan, Table};
use strongroom_store::disk::{Disk, SimDisk};
use strongroom_store::{BlobOptions, DurableMeta, FileBlobs, MetaOptions, StoreError};
use strongroom_types::{Entropy, Timestamp};

/// Counts instead of drawing: different each time, the same in each run.
pub(crate) struct Counting(AtomicU64);

impl Counting {
    pub(crate) fn from(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }
}

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self
                .0
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// The seeds of random histories: `STRONGROOM_CRASH_SEEDS` of them, or as many as a build machine can
/// bear, from `STRONGROOM_CRASH_FIRST_SEED` on. A test whose histories are long takes one in `share`.
pub(crate) fn seeds(share: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("STRONGROOM_CRASH_FIRST_SEED").unwrap_or(0);
    first..first + number("STRONGROOM_CRASH_SEEDS").unwrap_or(250) / share
}

pub(crate) static RING: LazyLock<Arc<Keyring<Unsealed>>> =
    LazyLock::new(|| Arc::new(Keyring::create(Timestamp::from_seconds(0), &Counting::from(1)).0));

/// Salts must differ between the processes that a test plays.
static ENTROPY: LazyLock<Arc<Counting>> = LazyLock::new(|| Arc::new(Counting::from(1 << 32)));

/// Everything small, so that everything happens.
pub(crate) const SMALL: MetaOptions = MetaOptions {
    journal_file_len_bytes: 8 << 10,
    memtable_bytes: 16 << 10,
    index_cache_bytes: 1 << 20,
    snapshot_after_bytes: 64 << 10,
    floor_bytes: 0,
};

/// Nothing happens by itself: what runs in the background does so only when it is told.
pub(crate) const MANUAL: MetaOptions = MetaOptions {
    memtable_bytes: 64 << 20,
    ..SMALL
};

pub(crate) fn open_meta(disk: &SimDisk, options: MetaOptions) -> Result<DurableMeta, StoreError> {
    open_on(Arc::new(disk.clone()), options)
}

pub(crate) fn open_on(
    disk: Arc<dyn Disk>,
    options: MetaOptions,
) -> Result<DurableMeta, StoreError> {
    DurableMeta::open(disk, RING.clone(), ENTROPY.clone(), options)
}

pub(crate) fn open_blobs(disk: &SimDisk) -> std::io::Result<FileBlobs> {
    FileBlobs::open(Arc::new(disk.clone()), BlobOptions { floor_bytes: 0 })
}

/// All rows of a table.
pub(crate) fn rows(store: &dyn MetaStore, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scan = Scan {
        table,
        start: bytes::Bytes::new(),
        end: None,
        limit: usize::MAX - 1,
        reverse: false,
    };
    let page = store.scan(&scan).expect("scans succeed");
    assert!(!page.more);
    page.rows
        .into_iter()
        .map(|row| (row.key.to_vec(), row.value.to_vec()))
        .collect()
}
