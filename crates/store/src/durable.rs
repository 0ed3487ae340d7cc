//! The durable metadata store.
//!
//! ```text
//!   commit -> queue -> committer: check, journal (one write, one sync), memtable, answer
//!                                    |  memtable full
//!                                    v
//!                                 upkeep: index, then snapshot, then old journal files go
//!   read, scan <- memtable, frozen memtable, index
//! ```
//!
//! The journal alone makes a commit durable. The index follows in large steps, and may be lost:
//! the newest snapshot and the journal behind it give it back.

mod committer;
mod mark;
mod open;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, RwLock};
use strongroom_ports::{
    CommitError, Condition, MetaError, MetaStore, PendingCommit, Scan, ScanPage, Stored, Table,
    Transaction,
};
use strongroom_types::Entropy;

use self::committer::{Job, Prepared};
pub use self::mark::{FileExtent, FilesHold, Mark};
use self::upkeep::Upkeep;
use crate::bounds;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::keys::StoreKeys;
use crate::view::View;

/// Sizes of the durable store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetaOptions {
    /// Length of a journal file, reserved when it is created. 64 MiB.
    pub journal_file_len_bytes: u64,
    /// Memory for rows that are not in the index yet; twice that while they move. 32 MiB.
    pub memtable_bytes: usize,
    /// Memory for pages of the index. 48 MiB.
    pub index_cache_bytes: usize,
    /// A snapshot is taken when this much has gone into the index since the last one, or twice that
    /// into the journal, and at least as much as the last one is long. 256 MiB.
    pub snapshot_after_bytes: u64,
    /// Free space below which only deletions are taken. 256 MiB.
    pub floor_bytes: u64,
}

impl MetaOptions {
    /// How much of a memtable moves into the index at a time: 2 MiB of 32 MiB.
    const fn step_bytes(&self) -> usize {
        self.memtable_bytes / 16
    }
}

impl Default for MetaOptions {
    fn default() -> Self {
        Self {
            journal_file_len_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            index_cache_bytes: 48 << 20,
            snapshot_after_bytes: 256 << 20,
            floor_bytes: 256 << 20,
        }
    }
}

/// Metadata on a disk of its own.
///
/// Keys and values that are handed in are kept as they are until they are in the index: a value that
/// is a slice of a larger buffer keeps that buffer in memory for so long.
///
/// Dropping it stops its threads; what was committed is durable already. [`DurableMeta::checkpoint`]
/// before makes the next start faster.
pub struct DurableMeta {
    shared: Arc<Shared>,
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
pub(crate) struct Shared {
    disk: Arc<dyn Disk>,
    keys: Arc<dyn StoreKeys>,
    entropy: Arc<dyn Entropy>,
    options: MetaOptions,
    view: RwLock<Arc<View>>,
    /// Why no more commits are taken.
    stopped: Mutex<Option<String>>,
    upkeep: Mutex<Upkeep>,
    signal: Mutex<Signal>,
    /// Upkeep waits for work here, the committer for room.
    changed: Condvar,
    /// How many keep files of the store from being deleted.
    holds: AtomicUsize,
}

#[derive(Default)]
struct Signal {
    /// A memtable was frozen and not yet looked at.
    frozen: bool,
    closing: bool,
    /// The index waits for space on the disk.
    index_full: bool,
    /// Bytes added to the journal since the last snapshot.
    journal_bytes: u64,
    /// Bytes that went into the index since the last snapshot, about. Most records of the audit trail
    /// are in the journal and never get there.
    indexed_bytes: u64,
    /// Journal files to forget.
    deleted: Vec<u64>,
    /// Journal files, oldest first: the committer's list as of the last freeze.
    segments: Vec<crate::journal::Segment>,
}

impl Shared {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    fn stop(&self, reason: String) {
        tracing::error!(reason, "the metadata store takes no more commits");
        self.stopped.lock().get_or_insert(reason);
        let _signal = self.signal.lock();
        self.changed.notify_all();
    }

    fn stopped(&self) -> Option<String> {
        self.stopped.lock().clone()
    }
}

/// Stops the store when the thread that holds it panics: nobody may wait for a thread that is gone.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop("a thread of the store panicked".to_owned());
        }
    }
}

impl DurableMeta {
    /// Opens the store on `disk`, or makes one if there is none. The disk must be held exclusively
    /// (a [`RealDisk`](crate::disk::RealDisk) is).
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when the journal is not what was written (or the keys are others);
    /// nothing was changed then. Else what the disk said.
    pub fn open(
        disk: Arc<dyn Disk>,
        keys: Arc<dyn StoreKeys>,
        entropy: Arc<dyn Entropy>,
        options: MetaOptions,
    ) -> Result<Self, StoreError> {
        open::open(disk, keys, entropy, options)
    }

    /// Moves all that is committed into the index.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. The store goes on if the disk was full, and takes no more commits if it
    /// failed.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.shared.checkpoint(|job| self.send(job))
    }

    /// Takes a snapshot of all that is committed, and deletes the journal files that it replaces.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. The store goes on: a snapshot is not needed for anything but space.
    pub fn snapshot(&self) -> Result<(), StoreError> {
        self.checkpoint()?;
        self.shared.snapshot()
    }

    /// Ends the upkeep, after what it is at, for a program that is about to end while others still
    /// hold the store. The C library's exit handlers take the random generator away, and a thread
    /// that then asks for random bytes aborts the process.
    pub fn end_upkeep(&self) {
        self.shared.signal.lock().closing = true;
        self.shared.changed.notify_all();
        drop(self.shared.upkeep.lock());
    }

    /// Why the store takes no more commits, if it does not.
    pub fn stopped(&self) -> Option<String> {
        self.shared.stopped()
    }

    fn send(&self, job: Job) -> bool {
        self.queue
            .as_ref()
            .is_some_and(|queue| queue.send(job).is_ok())
    }
}

impl MetaStore for DurableMeta {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.shared.view().read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        self.shared.view().scan(None, scan)
    }

    fn read_in_memory(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.shared.view().read_in_memory(table, key)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        if let Err(error) = bounds::check(&transaction) {
            return PendingCommit::ready(Err(error));
        }
        let prepared = match self.prepare(&transaction) {
            Ok(prepared) => prepared,
            // A store that cannot read cannot decide.
            Err(error) => {
                return PendingCommit::ready(Err(CommitError::Unreadable(error.to_string())));
            }
        };
        let (reply, pending) = PendingCommit::channel();
        // A job that is not taken drops its sender, and the commit fails.
        self.send(Job::Commit {
            transaction,
            prepared,
            reply,
        });
        pending
    }
}

impl DurableMeta {
    /// Looks up on the caller's thread what the index says on the rows in the conditions, so that
    /// the committer need not wait for the disk. It stays true as long as the index does not change.
    fn prepare(&self, transaction: &Transaction) -> Result<Prepared, MetaError> {
        let view = self.shared.view();
        let mut indexed = Vec::with_capacity(transaction.conditions.len());
        for condition in &transaction.conditions {
            indexed.push(match condition {
                Condition::Unchanged { table, key, .. } | Condition::Absent { table, key } => {
                    view.index.version(*table, key)?
                }
                Condition::RangeEmpty { .. } => None,
            });
        }
        Ok(Prepared {
            generation: view.generation,
            indexed,
        })
    }
}

impl Drop for DurableMeta {
    fn drop(&mut self) {
        // The committer ends with its queue.
        self.queue = None;
        self.shared.signal.lock().closing = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
