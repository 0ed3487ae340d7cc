//! Stores that forget: for tests of whatever is built on the ports.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use strongroom_ports::{
    BlobError, BlobReader, BlobStore, BlobWriter, CommitError, CommitSequence, Committed,
    Condition, MetaError, MetaStore, PendingCommit, Row, RowVersion, Scan, ScanPage, Stored, Table,
    Transaction, Write,
};
use strongroom_types::BlobId;

use crate::bounds;
use crate::splitmix::SplitMix;

/// When [`MemoryMeta`] reports a conflict that none of the conditions caused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConflictRule {
    /// One commit in so many conflicts, on average. Zero is none; one is each, for ever.
    pub one_in: u64,
    /// Which ones: the same seed and order of commits give the same conflicts.
    pub seed: u64,
}

impl ConflictRule {
    fn hits(self, commit: u64) -> bool {
        self.one_in != 0
            && SplitMix::new(self.seed ^ SplitMix::new(commit).next()).one_in(self.one_in)
    }
}

/// Metadata in memory.
///
/// With a [`ConflictRule`] it makes transactions with conditions fail although nothing changed,
/// as a store with several writers may. Transactions without conditions never conflict.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    state: Mutex<MetaState>,
    conflicts: Option<ConflictRule>,
}

#[derive(Debug, Default)]
struct MetaState {
    tables: BTreeMap<Table, BTreeMap<Bytes, Stored>>,
    sequence: u64,
    attempts: u64,
}

impl MemoryMeta {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that reports a conflict now and then.
    pub fn with_conflicts(rule: ConflictRule) -> Self {
        Self {
            state: Mutex::default(),
            conflicts: Some(rule),
        }
    }

    fn try_commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        bounds::check(&transaction)?;
        let mut state = self.state.lock();
        state.attempts += 1;
        let injected = self
            .conflicts
            .is_some_and(|rule| rule.hits(state.attempts) && !transaction.conditions.is_empty());
        if injected || !transaction.conditions.iter().all(|it| state.holds(it)) {
            return Err(CommitError::Conflict);
        }
        state.sequence += 1;
        let sequence = state.sequence;
        for write in transaction.writes {
            match write {
                Write::Put { table, key, value } => {
                    let version = RowVersion(sequence);
                    let rows = state.tables.entry(table).or_default();
                    rows.insert(key, Stored { value, version });
                }
                Write::Delete { table, key } => {
                    if let Some(rows) = state.tables.get_mut(&table) {
                        rows.remove(&key);
                    }
                }
            }
        }
        Ok(Committed {
            sequence: CommitSequence(sequence),
        })
    }
}

impl MetaState {
    fn holds(&self, condition: &Condition) -> bool {
        let row = |table, key: &Bytes| self.tables.get(table).and_then(|rows| rows.get(key));
        match condition {
            Condition::Unchanged {
                table,
                key,
                version,
            } => row(table, key).is_some_and(|stored| stored.version == *version),
            Condition::Absent { table, key } => row(table, key).is_none(),
            Condition::RangeEmpty { table, start, end } => {
                self.range(*table, start, end.as_ref()).next().is_none()
            }
        }
    }

    fn range<'a>(
        &'a self,
        table: Table,
        start: &'a Bytes,
        end: Option<&'a Bytes>,
    ) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Stored)> {
        // A map panics on a range whose end is before its start.
        let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.max(start)));
        self.tables
            .get(&table)
            .map(|rows| rows.range::<Bytes, _>((Bound::Included(start), end)))
            .into_iter()
            .flatten()
    }
}

impl MetaStore for MemoryMeta {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        let state = self.state.lock();
        Ok(state
            .tables
            .get(&table)
            .and_then(|rows| rows.get(key))
            .cloned())
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        let Scan {
            table,
            start,
            end,
            limit,
            reverse,
        } = scan;
        let state = self.state.lock();
        let range = state.range(*table, start, end.as_ref());
        let mut rows: Box<dyn Iterator<Item = _>> = if *reverse {
            Box::new(range.rev())
        } else {
            Box::new(range)
        };
        let page = rows
            .by_ref()
            .take(*limit)
            .map(|(key, stored)| Row {
                key: key.clone(),
                value: stored.value.clone(),
                version: stored.version,
            })
            .collect();
        Ok(ScanPage {
            rows: page,
            more: rows.next().is_some(),
        })
    }

    fn read_in_memory(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.read(table, key)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        PendingCommit::ready(self.try_commit(transaction))
    }
}

/// Blobs in memory.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    state: Arc<Mutex<BlobState>>,
}

#[derive(Debug, Default)]
struct BlobState {
    blobs: BTreeMap<BlobId, Bytes>,
    unfinished: BTreeSet<BlobId>,
    used_bytes: u64,
    capacity_bytes: Option<u64>,
    reads_in_memory: u64,
}

impl MemoryBlobs {
    /// An empty store without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that holds `capacity_bytes`, unfinished blobs included, and says
    /// [`BlobError::NoSpace`] beyond.
    pub fn with_capacity(capacity_bytes: u64) -> Self {
        let blobs = Self::new();
        blobs.state.lock().capacity_bytes = Some(capacity_bytes);
        blobs
    }

    /// Lets the next so many reads find their bytes "in memory", as a system's page cache may: none
    /// unless told otherwise.
    pub fn allow_reads_in_memory(&self, count: u64) {
        self.state.lock().reads_in_memory = count;
    }
}

impl BlobState {
    fn available_bytes(&self) -> u64 {
        // Without a limit: as much as a large disk has, so that sums do not overflow.
        self.capacity_bytes
            .unwrap_or(1 << 50)
            .saturating_sub(self.used_bytes)
    }
}

impl BlobStore for MemoryBlobs {
    fn create(&self, id: BlobId, _len_hint_bytes: u64) -> Result<Box<dyn BlobWriter>, BlobError> {
        let mut state = self.state.lock();
        if state.blobs.contains_key(&id) || !state.unfinished.insert(id) {
            return Err(BlobError::Io(io::ErrorKind::AlreadyExists.into()));
        }
        Ok(Box::new(MemoryWriter {
            state: Arc::clone(&self.state),
            id,
            bytes: Vec::new(),
            finished: false,
        }))
    }

    fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, BlobError> {
        let state = self.state.lock();
        let bytes = state.blobs.get(&id).ok_or(BlobError::NotFound(id))?;
        Ok(Arc::new(MemoryReader {
            bytes: bytes.clone(),
            state: Arc::clone(&self.state),
        }))
    }

    fn open_in_memory(&self, id: BlobId) -> Option<Arc<dyn BlobReader>> {
        let allowed = self.state.lock().reads_in_memory > 0;
        allowed.then(|| self.open(id).ok()).flatten()
    }

    fn delete(&self, id: BlobId) -> Result<(), BlobError> {
        let mut state = self.state.lock();
        if let Some(bytes) = state.blobs.remove(&id) {
            state.used_bytes = state.used_bytes.saturating_sub(len_u64(bytes.len()));
        }
        Ok(())
    }

    fn replace_tail(&self, id: BlobId, from_bytes: u64, tail: &[u8]) -> Result<(), BlobError> {
        let mut state = self.state.lock();
        let available_bytes = state.available_bytes();
        let bytes = state.blobs.get_mut(&id).ok_or(BlobError::NotFound(id))?;
        let kept = usize::try_from(from_bytes)
            .ok()
            .and_then(|from| bytes.get(..from))
            .ok_or(BlobError::Io(io::ErrorKind::UnexpectedEof.into()))?;
        let old_len = len_u64(bytes.len());
        let new = Bytes::from([kept, tail].concat());
        let new_len = len_u64(new.len());
        if new_len.saturating_sub(old_len) > available_bytes {
            return Err(BlobError::NoSpace);
        }
        *bytes = new;
        state.used_bytes = state.used_bytes.saturating_sub(old_len) + new_len;
        Ok(())
    }

    fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, BlobError> {
        let state = self.state.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = state.blobs.range((start, Bound::Unbounded));
        Ok(ids.take(limit).map(|(id, _)| *id).collect())
    }

    fn available_bytes(&self) -> Result<u64, BlobError> {
        Ok(self.state.lock().available_bytes())
    }
}

struct MemoryWriter {
    state: Arc<Mutex<BlobState>>,
    id: BlobId,
    bytes: Vec<u8>,
    finished: bool,
}

impl BlobWriter for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let mut state = self.state.lock();
        if len_u64(bytes.len()) > state.available_bytes() {
            return Err(BlobError::NoSpace);
        }
        state.used_bytes += len_u64(bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), BlobError> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        self.finished = true;
        let mut state = self.state.lock();
        state.unfinished.remove(&self.id);
        state.blobs.insert(self.id, bytes);
        Ok(())
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if !self.finished {
            let mut state = self.state.lock();
            state.unfinished.remove(&self.id);
            state.used_bytes = state.used_bytes.saturating_sub(len_u64(self.bytes.len()));
        }
    }
}

struct MemoryReader {
    bytes: Bytes,
    state: Arc<Mutex<BlobState>>,
}

impl BlobReader for MemoryReader {
    fn len_bytes(&self) -> u64 {
        len_u64(self.bytes.len())
    }

    fn read_in_memory(&self, offset: u64, out: &mut [u8]) -> bool {
        {
            let mut state = self.state.lock();
            let Some(left) = state.reads_in_memory.checked_sub(1) else {
                return false;
            };
            state.reads_in_memory = left;
        }
        self.read_at(offset, out).is_ok()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), BlobError> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.bytes.get(offset..offset.checked_add(out.len())?))
            .ok_or(BlobError::Io(io::ErrorKind::UnexpectedEof.into()))?;
        out.copy_from_slice(found);
        Ok(())
    }
}

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use strongroom_ports::conformance;

    use super::*;

    #[test]
    fn memory_meta_conforms() {
        conformance::meta_store(&|| Arc::new(MemoryMeta::new()));
    }

    #[test]
    fn memory_meta_conforms_with_injected_conflicts() {
        for seed in 0..20 {
            conformance::meta_store(&|| {
                Arc::new(MemoryMeta::with_conflicts(ConflictRule { one_in: 3, seed }))
            });
        }
    }

    #[test]
    fn conflicts_are_injected_by_the_seed() {
        let outcomes = |seed| -> Vec<bool> {
            let store = MemoryMeta::with_conflicts(ConflictRule { one_in: 4, seed });
            (0..200)
                .map(|_| {
                    let fence = Transaction::new().expect(Table::CURRENT, "k", None);
                    store.commit(fence).wait().is_err()
                })
                .collect()
        };
        assert_eq!(outcomes(1), outcomes(1));
        assert_ne!(outcomes(1), outcomes(2));
        let hits = outcomes(3).into_iter().filter(|hit| *hit).count();
        assert!((20..90).contains(&hits), "{hits}");
    }

    #[test]
    fn memory_blobs_conform() {
        conformance::blob_store(&|| Arc::new(MemoryBlobs::new()));
    }

    #[test]
    fn full_memory_says_so_and_recovers() {
        let blobs = MemoryBlobs::with_capacity(10);
        let id = BlobId::from_bytes([1; 16]);
        let mut writer = blobs.create(id, 0).unwrap();
        writer.write(b"0123456789").unwrap();
        assert!(matches!(writer.write(b"x"), Err(BlobError::NoSpace)));
        drop(writer);
        assert_eq!(blobs.available_bytes().unwrap(), 10);
        let mut writer = blobs.create(id, 0).unwrap();
        writer.write(b"0123456789").unwrap();
        writer.finish().unwrap();
        assert_eq!(blobs.available_bytes().unwrap(), 0);
        let refused = blobs.replace_tail(id, 8, b"abc");
        assert!(matches!(refused, Err(BlobError::NoSpace)));
        blobs.replace_tail(id, 8, b"a").unwrap();
        assert_eq!(blobs.available_bytes().unwrap(), 1);
        blobs.delete(id).unwrap();
        assert_eq!(blobs.available_bytes().unwrap(), 10);
    }
}
