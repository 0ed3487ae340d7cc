//! The one thread that decides and makes durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::RwLock;
use strongroom_ports::{
    CommitError, CommitSequence, Committed, Condition, MetaError, RowVersion, Scan, Table,
    Transaction, Write,
};
use tokio::sync::oneshot;

use super::{Shared, StopOnPanic};
use crate::batch;
use crate::frame::{FRAME_HEADER_LEN_BYTES, FrameSealer, to_u64};
use crate::journal::{AppendError, Journal, Segment};
use crate::memtable::Memtable;
use crate::view::{Indexed, View};

/// Largest group. Bounds how long readers wait for its rows to be published.
const GROUP_MAX_COMMITS: usize = 1024;
/// A group takes no further transaction beyond.
const GROUP_MAX_BYTES: usize = 4 << 20;
/// A frame buffer that grew beyond is given back.
const BUFFER_KEPT_BYTES: usize = 8 << 20;
/// So many transactions of the last group are a crowd, and others are on their way.
const CROWD: usize = 4;
/// Longest wait for the others of a crowd.
const CROWD_WAIT_MAX: Duration = Duration::from_micros(600);
/// When nobody comes for so long, nobody is on the way.
const CROWD_GAP: Duration = Duration::from_micros(200);
/// So many times what a memtable may hold may be written to it, most of it replaced or deleted again:
/// bounds what a start after a crash has to read.
const WRITTEN_FACTOR: usize = 4;
/// The active memtable may grow to so many times its bound while the frozen one moves.
const BACKLOG_FACTOR: usize = 3;

type Reply = oneshot::Sender<Result<Committed, CommitError>>;

/// What the committer is asked to do.
pub(crate) enum Job {
    /// Commits a transaction.
    Commit {
        transaction: Transaction,
        prepared: Prepared,
        reply: Reply,
    },
    /// Freezes the memtable, if none is frozen; answers whether all that was committed is frozen.
    Freeze(SyncSender<bool>),
    /// Answers what is durable by now: the last commit, and the journal files with their ends.
    Mark(SyncSender<(u64, Vec<Segment>)>),
}

/// How much space there is, the most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Free,
    /// Only deletions, what takes away, and records of the audit trail.
    Records,
    /// Only deletions, and what takes away.
    Reserve,
    /// Only deletions.
    Exhausted,
}

/// What the index said about the rows of the conditions.
pub(crate) struct Prepared {
    pub(crate) generation: u64,
    /// One for each condition.
    pub(crate) indexed: Vec<Option<RowVersion>>,
}

/// The committer's own state.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    queue: Receiver<Job>,
    journal: Journal,
    last_sequence: u64,
    buffer: Vec<u8>,
    last_group_len: usize,
    /// How long a group takes to become durable, smoothed.
    usual_append: Duration,
}

/// One group: what it writes, and who waits for it.
#[derive(Default)]
struct Group {
    overlay: Memtable,
    written: u32,
    accepted: Vec<(Reply, u64)>,
    /// Told only after the rows that they conflict with can be read.
    refused: Vec<(Reply, CommitError)>,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        queue: Receiver<Job>,
        journal: Journal,
        last_sequence: u64,
    ) -> Self {
        Self {
            shared,
            queue,
            journal,
            last_sequence,
            buffer: Vec::new(),
            last_group_len: 1,
            usual_append: Duration::ZERO,
        }
    }

    /// Serves until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _stop = StopOnPanic(&shared);
        let mut jobs = VecDeque::new();
        while let Ok(job) = self.queue.recv() {
            jobs.push_back(job);
            self.drain(&mut jobs);
            self.serve(&mut jobs);
        }
    }

    /// Takes what is queued. After a crowd, also waits a moment for who is on the way, for no longer
    /// than a sync takes: a sync costs the processor as much as several small requests do. A few
    /// clients never wait.
    fn drain(&mut self, jobs: &mut VecDeque<Job>) {
        let mut bytes = jobs.iter().map(Job::len_bytes).sum::<usize>();
        let deadline = Instant::now() + self.usual_append.min(CROWD_WAIT_MAX);
        while jobs.len() < GROUP_MAX_COMMITS && bytes < GROUP_MAX_BYTES {
            let next = match self.queue.try_recv() {
                Ok(job) => Ok(job),
                Err(_) if self.last_group_len < CROWD => break,
                Err(_) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.queue.recv_timeout(left.min(CROWD_GAP))
                }
            };
            match next {
                Ok(job) => {
                    bytes += job.len_bytes();
                    jobs.push_back(job);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.last_group_len = jobs.len();
    }

    fn serve(&mut self, jobs: &mut VecDeque<Job>) {
        let deleted = std::mem::take(&mut self.shared.signal.lock().deleted);
        self.journal.forget(&deleted);
        let mut group = Group::default();
        let space = self.space();
        let view = self.shared.view();
        FrameSealer::begin(&mut self.buffer);
        batch::begin(&mut self.buffer, self.last_sequence + 1);
        let (mut freezes, mut marks) = (Vec::new(), Vec::new());
        let stopped = self.shared.stopped();
        for job in jobs.drain(..) {
            match job {
                Job::Freeze(reply) => freezes.push(reply),
                Job::Mark(reply) => marks.push(reply),
                Job::Commit {
                    transaction,
                    prepared,
                    reply,
                } => {
                    let outcome = match &stopped {
                        Some(reason) => Err(CommitError::Failed(reason.clone())),
                        None => self.decide(&view, &mut group, transaction, &prepared, space),
                    };
                    match outcome {
                        Ok(sequence) => group.accepted.push((reply, sequence)),
                        Err(error) => group.refused.push((reply, error)),
                    }
                }
            }
        }
        self.finish(&view, group);
        for reply in marks {
            // Who asked may have gone.
            let _ = reply.send((self.last_sequence, self.journal.segments().to_vec()));
        }
        if stopped.is_none() {
            self.freeze_if_full();
        }
        for reply in freezes {
            let frozen = self.freeze();
            // Who asked may have gone.
            let _ = reply.send(frozen);
        }
    }

    /// Checks one transaction against what is committed and what the group writes, and adds it.
    fn decide(
        &mut self,
        view: &View,
        group: &mut Group,
        transaction: Transaction,
        prepared: &Prepared,
        space: Space,
    ) -> Result<u64, CommitError> {
        let Transaction {
            conditions,
            writes,
            takes_away,
        } = transaction;
        let current = prepared.generation == view.generation;
        for (place, condition) in conditions.iter().enumerate() {
            let indexed = match prepared.indexed.get(place) {
                Some(version) if current => Indexed::Known(*version),
                _ => Indexed::Unknown,
            };
            let holds = holds(view, &group.overlay, condition, indexed)
                .map_err(|error| CommitError::Unreadable(error.to_string()))?;
            if !holds {
                return Err(CommitError::Conflict);
            }
        }
        if writes.is_empty() {
            return Ok(self.last_sequence + u64::from(group.written));
        }
        let fits = match space {
            Space::Free => true,
            Space::Records => {
                takes_away
                    || !writes
                        .iter()
                        .any(|write| takes_space(write) && !is_record(write))
            }
            Space::Reserve => takes_away || !writes.iter().any(takes_space),
            Space::Exhausted => !writes.iter().any(takes_space),
        };
        if !fits {
            return Err(CommitError::NoSpace);
        }
        let before = self.buffer.len();
        if batch::push(&mut self.buffer, &writes).is_none() {
            self.buffer.truncate(before);
            return Err(CommitError::TooLarge);
        }
        group.written += 1;
        let sequence = self.last_sequence + u64::from(group.written);
        group.overlay.apply(sequence, writes);
        Ok(sequence)
    }

    /// Makes the group durable, then visible, then tells everyone.
    fn finish(&mut self, view: &View, group: Group) {
        let Group {
            overlay,
            written,
            accepted,
            refused,
        } = group;
        let outcome = if written == 0 {
            Ok(())
        } else {
            self.append(written)
        };
        if outcome.is_ok() && written > 0 {
            view.active.write().absorb(overlay);
            self.last_sequence += u64::from(written);
        }
        for (reply, sequence) in accepted {
            // Nobody need wait for the answer.
            let _ = reply.send(match &outcome {
                Ok(()) => Ok(Committed {
                    sequence: CommitSequence(sequence),
                }),
                Err(error) => Err(error.clone()),
            });
        }
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }

    fn append(&mut self, written: u32) -> Result<(), CommitError> {
        let failed = |reason: String| {
            self.shared.stop(reason.clone());
            CommitError::Failed(reason)
        };
        if batch::finish(&mut self.buffer, FRAME_HEADER_LEN_BYTES, written).is_none() {
            return Err(failed("a group has no room for its count".to_owned()));
        }
        let started = Instant::now();
        match self
            .journal
            .append(self.last_sequence + 1, &mut self.buffer)
        {
            Ok(bytes) => {
                self.usual_append = (self.usual_append * 7 + started.elapsed()) / 8;
                let mut signal = self.shared.signal.lock();
                signal.journal_bytes += bytes;
                let mib = u32::try_from(signal.journal_bytes >> 20).unwrap_or(u32::MAX);
                drop(signal);
                metrics::gauge!("strongroom_meta_journal_mebibytes").set(f64::from(mib));
                Ok(())
            }
            Err(AppendError::NoSpace) => Err(CommitError::NoSpace),
            Err(AppendError::Failed(error)) => Err(failed(format!("the journal: {error}"))),
        }
    }

    /// What may still be taken.
    fn space(&self) -> Space {
        let options = &self.shared.options;
        let on_disk = match self.shared.disk.available_bytes() {
            Ok(available) if available < options.floor_bytes / 2 => Space::Exhausted,
            Ok(available) if available < options.floor_bytes / 4 * 3 => Space::Reserve,
            Ok(available) if available < options.floor_bytes => Space::Records,
            // If it cannot be told, the journal will tell.
            Ok(_) | Err(_) => Space::Free,
        };
        // Rows that the index has no space for stay in memory, which has a bound as well.
        let in_memory = if self.shared.signal.lock().index_full {
            let used = self.shared.view().active.read().used_bytes();
            let bound = |factor| options.memtable_bytes.saturating_mul(factor);
            match used {
                _ if used >= bound(BACKLOG_FACTOR + 1) => Space::Exhausted,
                _ if used >= bound(BACKLOG_FACTOR * 2 + 1) / 2 => Space::Reserve,
                _ if used >= bound(BACKLOG_FACTOR) => Space::Records,
                _ => Space::Free,
            }
        } else {
            Space::Free
        };
        on_disk.max(in_memory)
    }

    fn freeze_if_full(&mut self) {
        let bound = self.shared.options.memtable_bytes;
        let (used, written) = {
            let view = self.shared.view();
            let active = view.active.read();
            (active.used_bytes(), active.written_bytes())
        };
        let is_full = used >= bound || written >= bound.saturating_mul(WRITTEN_FACTOR);
        if !is_full || self.freeze() || used < bound.saturating_mul(BACKLOG_FACTOR) {
            return;
        }
        // Memory is bounded: whoever writes faster than the index waits for it.
        let mut signal = self.shared.signal.lock();
        while self.shared.view().frozen.is_some()
            && self.shared.stopped().is_none()
            && !signal.closing
            && !signal.index_full
        {
            self.shared.changed.wait(&mut signal);
        }
    }

    /// Freezes the active memtable if none is frozen. True if nothing is left that is not frozen.
    fn freeze(&mut self) -> bool {
        let mut view = self.shared.view.write();
        if view.active.read().is_empty() {
            return true;
        }
        if view.frozen.is_some() {
            return false;
        }
        *view = Arc::new(View {
            active: Arc::new(RwLock::default()),
            frozen: Some((Arc::clone(&view.active), self.last_sequence)),
            index: Arc::clone(&view.index),
            generation: view.generation,
        });
        drop(view);
        let mut signal = self.shared.signal.lock();
        signal.frozen = true;
        signal.segments = self.journal.segments().to_vec();
        self.shared.changed.notify_all();
        true
    }
}

impl Job {
    fn len_bytes(&self) -> usize {
        match self {
            Self::Commit { transaction, .. } => transaction
                .writes
                .iter()
                .map(|write| match write {
                    Write::Put { key, value, .. } => key.len() + value.len(),
                    Write::Delete { key, .. } => key.len(),
                })
                .sum(),
            Self::Freeze(_) | Self::Mark(_) => 0,
        }
    }
}

fn holds(
    view: &View,
    overlay: &Memtable,
    condition: &Condition,
    indexed: Indexed,
) -> Result<bool, MetaError> {
    let version = |table: Table, key: &Bytes| match overlay.get(table, key) {
        Some(slot) => Ok(slot.value.is_some().then_some(slot.version)),
        None => view.version(table, key, indexed),
    };
    match condition {
        Condition::Unchanged {
            table,
            key,
            version: read,
        } => Ok(version(*table, key)? == Some(*read)),
        Condition::Absent { table, key } => Ok(version(*table, key)?.is_none()),
        Condition::RangeEmpty { table, start, end } => {
            let scan = Scan {
                table: *table,
                start: start.clone(),
                end: end.clone(),
                limit: 1,
                reverse: false,
            };
            Ok(view.scan(Some(overlay), &scan)?.rows.is_empty())
        }
    }
}

/// Bytes of frames that a list of journal files holds.
pub(crate) fn journal_bytes(segments: &[Segment]) -> u64 {
    segments
        .iter()
        .map(|segment| segment.used_bytes)
        .sum::<u64>()
        .saturating_sub(to_u64(segments.len()))
}

/// Whether a write is refused on a full disk. What a removal leaves behind is small, and what leads to
/// free space: the note for the collector, and the version that becomes current.
fn takes_space(write: &Write) -> bool {
    match write {
        Write::Put { table, .. } => !matches!(*table, Table::GARBAGE | Table::CURRENT),
        Write::Delete { .. } => false,
    }
}

/// Whether a write is one of the audit trail. Without a record no key may be used, and reading must be
/// possible on a full disk.
fn is_record(write: &Write) -> bool {
    let (Write::Put { table, .. } | Write::Delete { table, .. }) = write;
    matches!(
        *table,
        Table::AUDIT | Table::AUDIT_LEDGER | Table::AUDIT_INDEX
    )
}
