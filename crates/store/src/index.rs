//! The index: where rows are found once they have left memory.
//!
//! An ordered tree (`redb`) in one file, whose pages of 4,096 bytes are encrypted one by one
//! (AES-256-GCM-SIV), so that neither keys nor structure can be read on a stolen disk. It need not be
//! durable on its own: journal and snapshot rebuild it. It commits in whole steps, each with the
//! position in the journal up to which it is complete.
//!
//! ```text
//! rows:      table 1 || key  ->  version 8 || CRC-32C of (table || key || version || value) 4 || value
//! position:  ()              ->  last sequence 8
//! ```

pub(crate) mod check;
mod memo;
mod pages;

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::{
    AccessGuard, Database, Durability, ReadOnlyTable, ReadableDatabase, StorageError,
    TableDefinition,
};
use strongroom_ports::{MetaError, Row, RowVersion, Stored, Table};

use self::memo::Memo;
use self::pages::SealedFile;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::Fields;
use crate::memtable::Memtable;
use strongroom_crypto::PageCipher;

/// The path of the index file.
pub(crate) const PATH: &str = "index.srx";
/// The path while it is rebuilt.
pub(crate) const REBUILD_PATH: &str = "index.srx.new";

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const POSITION: TableDefinition<'static, (), u64> = TableDefinition::new("position");

/// The index file.
pub(crate) struct Index {
    database: Database,
    given_up: Arc<AtomicBool>,
}

/// Why the index cannot be used.
pub(crate) enum IndexError {
    /// It must be rebuilt.
    Unreadable(String),
    /// The disk failed; the index may be good.
    Io(io::Error),
}

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Unreadable(text) => Self::Index(text),
            IndexError::Io(error) => Self::Io(error),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's errors are not ours; what is not i/o means that the file is of no use"
)]
impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Io(error)
            }
            other => Self::Unreadable(other.to_string()),
        }
    }
}

impl Index {
    /// Opens the index in `file`, or makes one if the file is empty.
    pub(crate) fn open(
        file: Arc<dyn DiskFile>,
        cipher: PageCipher,
        cache_bytes: usize,
    ) -> Result<Self, IndexError> {
        let given_up = Arc::new(AtomicBool::new(false));
        let backend = SealedFile::new(file, cipher, Arc::clone(&given_up));
        // The engine asserts on some kinds of damage; the file is then rebuilt like any other
        // unreadable one.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(cache_bytes)
                .create_with_backend(backend)?;
            let index = Self { database, given_up };
            index.prepare()?;
            Ok(index)
        }));
        opened.unwrap_or_else(|_| Err(IndexError::Unreadable("the engine panicked".to_owned())))
    }

    /// Writes nothing any more, not even when it is dropped.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    fn prepare(&self) -> Result<(), IndexError> {
        let reading = self.database.begin_read()?;
        if reading.open_table(ROWS).is_ok() && reading.open_table(POSITION).is_ok() {
            return Ok(());
        }
        drop(reading);
        let writing = self.begin_write()?;
        writing.open_table(ROWS)?;
        writing.open_table(POSITION)?;
        writing.commit()?;
        Ok(())
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction, IndexError> {
        let mut writing = self.database.begin_write()?;
        writing
            .set_durability(Durability::Immediate)
            .map_err(|error| IndexError::Unreadable(error.to_string()))?;
        // After kill -9 the file opens at once instead of being walked. Implies two-phase commit.
        writing.set_quick_repair(true);
        Ok(writing)
    }

    /// The last commit that is in the index.
    pub(crate) fn position(&self) -> Result<u64, IndexError> {
        let reading = self.database.begin_read()?;
        let table = reading.open_table(POSITION)?;
        Ok(table.get(())?.map_or(0, |position| position.value()))
    }

    /// The index as it is now.
    pub(crate) fn reader(&self) -> Result<IndexReader, IndexError> {
        let reading = self.database.begin_read()?;
        Ok(IndexReader {
            rows: reading.open_table(ROWS)?,
            memo: Memo::default(),
        })
    }

    /// Applies all rows of `memtable` and then moves the position, durably.
    ///
    /// It goes in steps of about `step_bytes` of keys and values, each a transaction of its own: the engine copies every page
    /// that a transaction touches and frees the old one only after it, and rows in random order touch
    /// every page. One large step would need the whole index twice. `stepped` gets the index behind
    /// each step: as long as an older one is held, its pages are not used again.
    ///
    /// After a crash between two steps the position says less than the index holds. That is harmless:
    /// the journal is applied again from the position, and ends in the same rows.
    pub(crate) fn apply(
        &self,
        memtable: &Memtable,
        position: u64,
        step_bytes: usize,
        stepped: &mut dyn FnMut(IndexReader),
    ) -> Result<(), IndexError> {
        let applied = catch_unwind(AssertUnwindSafe(|| {
            self.apply_in_steps(memtable, position, step_bytes, stepped)
        }));
        applied.unwrap_or_else(|_| Err(IndexError::Unreadable("the engine panicked".to_owned())))
    }

    fn apply_in_steps(
        &self,
        memtable: &Memtable,
        position: u64,
        step_bytes: usize,
        stepped: &mut dyn FnMut(IndexReader),
    ) -> Result<(), IndexError> {
        let mut changes = memtable.iter().peekable();
        let (mut path, mut stored) = (Vec::new(), Vec::new());
        loop {
            let writing = self.begin_write()?;
            {
                let mut rows = writing.open_table(ROWS)?;
                let mut taken_bytes = 0;
                while taken_bytes < step_bytes.max(1)
                    && let Some((table, key, slot)) = changes.next()
                {
                    join(&mut path, table, key);
                    taken_bytes += path.len();
                    match &slot.value {
                        Some(value) => {
                            encode(&mut stored, &path, slot.version, value);
                            taken_bytes += stored.len();
                            rows.insert(path.as_slice(), stored.as_slice())?;
                        }
                        None => {
                            rows.remove(path.as_slice())?;
                        }
                    }
                }
            }
            let is_last = changes.peek().is_none();
            if is_last {
                writing.open_table(POSITION)?.insert((), position)?;
            }
            writing.commit()?;
            stepped(self.reader()?);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Fills an empty index with rows in ascending order, durably.
    pub(crate) fn fill(
        &self,
        position: u64,
        rows: &mut dyn Iterator<Item = Result<SnapshotRow, StoreError>>,
    ) -> Result<(), StoreError> {
        let index = IndexError::from;
        let writing = self.begin_write()?;
        {
            let mut table = writing.open_table(ROWS).map_err(index)?;
            let mut stored = Vec::new();
            for row in rows {
                let SnapshotRow {
                    path,
                    version,
                    value,
                } = row?;
                encode(&mut stored, &path, version, &value);
                table
                    .insert(path.as_ref(), stored.as_slice())
                    .map_err(IndexError::from)?;
            }
            writing
                .open_table(POSITION)
                .map_err(IndexError::from)?
                .insert((), position)
                .map_err(IndexError::from)?;
        }
        writing.commit().map_err(IndexError::from)?;
        Ok(())
    }
}

/// A row of a snapshot: table and key in one, as in the index.
pub(crate) struct SnapshotRow {
    pub(crate) path: Bytes,
    pub(crate) version: RowVersion,
    pub(crate) value: Bytes,
}

/// The index as it was at one moment. Holding it keeps its pages from being used again.
pub(crate) struct IndexReader {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    memo: Memo,
}

/// Rows of the index in one direction.
pub(crate) struct IndexRange {
    range: redb::Range<'static, &'static [u8], &'static [u8]>,
    reverse: bool,
}

/// A row that was found and not copied yet.
pub(crate) struct IndexRow {
    path: AccessGuard<'static, &'static [u8]>,
    stored: AccessGuard<'static, &'static [u8]>,
}

impl IndexReader {
    /// Reads one row.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        let mut path = Vec::with_capacity(1 + key.len());
        join(&mut path, table, key);
        if let Some(known) = self.memo.row(&path) {
            return Ok(Some(known));
        }
        let row = guarded(|| {
            let Some(stored) = self.rows.get(path.as_slice()).map_err(read_error)? else {
                return Ok(None);
            };
            let (version, value) = decode(&path, stored.value())?;
            Ok(Some(Stored {
                value: Bytes::copy_from_slice(value),
                version,
            }))
        })?;
        // That there is none is not kept: every new key is looked for once, and never again.
        if let Some(row) = &row {
            self.memo.keep_row(&path, row);
        }
        Ok(row)
    }

    /// As [`IndexReader::get`], if it was read before.
    pub(crate) fn get_in_memory(&self, table: Table, key: &[u8]) -> Option<Stored> {
        let mut path = Vec::with_capacity(1 + key.len());
        join(&mut path, table, key);
        self.memo.row(&path)
    }

    /// The version of one row.
    pub(crate) fn version(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<RowVersion>, MetaError> {
        let mut path = Vec::with_capacity(1 + key.len());
        join(&mut path, table, key);
        guarded(|| {
            let stored = self.rows.get(path.as_slice()).map_err(read_error)?;
            stored
                .map(|stored| decode(&path, stored.value()).map(|(version, _)| version))
                .transpose()
        })
    }

    /// Rows of `start..end`, which must not be backwards.
    pub(crate) fn range(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
    ) -> Result<IndexRange, MetaError> {
        let mut from = Vec::with_capacity(1 + start.len());
        join(&mut from, table, start);
        let mut to = Vec::new();
        let to = match (end, table.0.checked_add(1)) {
            (Some(end), _) => {
                join(&mut to, table, end);
                Bound::Excluded(to.as_slice())
            }
            (None, Some(next)) => {
                to.push(next);
                Bound::Excluded(to.as_slice())
            }
            (None, None) => Bound::Unbounded,
        };
        let range = guarded(|| {
            self.rows
                .range::<&[u8]>((Bound::Included(from.as_slice()), to))
                .map_err(read_error)
        })?;
        Ok(IndexRange { range, reverse })
    }

    /// All rows, in order.
    pub(crate) fn all(
        &self,
    ) -> Result<impl Iterator<Item = Result<SnapshotRow, MetaError>> + use<>, MetaError> {
        let mut range = guarded(|| self.rows.range::<&[u8]>(..).map_err(read_error))?;
        Ok(std::iter::from_fn(move || {
            let row = guarded(|| {
                let Some(row) = range.next() else {
                    return Ok(None);
                };
                let (path, stored) = row.map_err(read_error)?;
                let (version, value) = decode(path.value(), stored.value())?;
                Ok(Some(SnapshotRow {
                    path: Bytes::copy_from_slice(path.value()),
                    version,
                    value: Bytes::copy_from_slice(value),
                }))
            });
            row.transpose()
        }))
    }
}

impl IndexRange {
    /// The next row in the direction of the scan.
    pub(crate) fn next(&mut self) -> Result<Option<IndexRow>, MetaError> {
        guarded(|| {
            let row = if self.reverse {
                self.range.next_back()
            } else {
                self.range.next()
            };
            row.map(|row| {
                let (path, stored) = row.map_err(read_error)?;
                // Both must lie within their page, or this panics: here, and never later.
                let _ = (path.value(), stored.value());
                Ok(IndexRow { path, stored })
            })
            .transpose()
        })
    }
}

impl IndexRow {
    /// The key, without its table.
    pub(crate) fn key(&self) -> &[u8] {
        self.path.value().split_first().map_or(&[], |(_, key)| key)
    }

    /// Copies the row.
    pub(crate) fn to_row(&self) -> Result<Row, MetaError> {
        let (version, value) = decode(self.path.value(), self.stored.value())?;
        Ok(Row {
            key: Bytes::copy_from_slice(self.key()),
            value: Bytes::copy_from_slice(value),
            version,
        })
    }
}

/// Runs what reads pages. The engine asserts on some kinds of damage instead of reporting it; that
/// must not unwind through whoever asked for a row.
fn guarded<T>(read: impl FnOnce() -> Result<T, MetaError>) -> Result<T, MetaError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let text = "the engine panicked on a page of the index";
        Err(MetaError::Damaged(text.to_owned()))
    })
}

fn join(path: &mut Vec<u8>, table: Table, key: &[u8]) {
    path.clear();
    path.push(table.0);
    path.extend_from_slice(key);
}

fn encode(stored: &mut Vec<u8>, path: &[u8], version: RowVersion, value: &[u8]) {
    stored.clear();
    stored.extend_from_slice(&version.0.to_be_bytes());
    stored.extend_from_slice(&checksum(path, version, value).to_be_bytes());
    stored.extend_from_slice(value);
}

fn decode<'a>(path: &[u8], stored: &'a [u8]) -> Result<(RowVersion, &'a [u8]), MetaError> {
    let damaged = || MetaError::Damaged("a row of the index does not match its checksum".into());
    let mut fields = Fields(stored);
    let version = RowVersion(u64::from_be_bytes(fields.take().ok_or_else(damaged)?));
    let sum = u32::from_be_bytes(fields.take().ok_or_else(damaged)?);
    let value = fields.0;
    if sum == checksum(path, version, value) {
        Ok((version, value))
    } else {
        Err(damaged())
    }
}

fn checksum(path: &[u8], version: RowVersion, value: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(path);
    digest.update(&version.0.to_be_bytes());
    digest.update(value);
    u32::try_from(digest.finalize() & u64::from(u32::MAX)).unwrap_or(0)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's errors are not ours; all but damage mean that reading failed"
)]
fn read_error(error: StorageError) -> MetaError {
    match error {
        StorageError::Corrupted(text) => MetaError::Damaged(text),
        other => MetaError::Io(other.to_string()),
    }
}

/// Removes what a crash may have left of a rebuild.
pub(crate) fn remove_leftovers(disk: &dyn Disk) -> io::Result<()> {
    if disk.exists(REBUILD_PATH)? {
        disk.unlink(REBUILD_PATH)?;
    }
    Ok(())
}
