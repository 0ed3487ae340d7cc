//! Reading: the rows of the memtables over those of the index.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use strongroom_ports::{MetaError, Row, RowVersion, Scan, ScanPage, Stored, Table};

use crate::index::{IndexReader, IndexRow};
use crate::memtable::{Memtable, Slot};

/// How many rows of the memtables are copied at once, at most.
const CHUNK_MAX_ROWS: usize = 4096;

/// Everything that is committed. A newer layer hides older ones, row by row.
///
/// Holding a view is cheap and blocks nobody. Commits after it was taken may show in it, or not.
#[derive(Clone)]
pub(crate) struct View {
    /// Where commits go. Only the committer writes.
    pub(crate) active: Arc<RwLock<Memtable>>,
    /// What is on its way into the index, and the last commit in it. It does not change any more.
    pub(crate) frozen: Option<(Arc<RwLock<Memtable>>, u64)>,
    /// The rest.
    pub(crate) index: Arc<IndexReader>,
    /// Changes with every new index.
    pub(crate) generation: u64,
}

/// What is known of a row in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Indexed {
    /// Nothing: it must be looked up.
    Unknown,
    /// Its version, or that it is not there.
    Known(Option<RowVersion>),
}

impl View {
    /// Reads one row.
    pub(crate) fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        match self.in_memory(table, key) {
            Some(Slot { version, value, .. }) => Ok(value.map(|value| Stored { value, version })),
            None => self.index.get(table, key),
        }
    }

    /// As [`View::read`], if the answer is known without the disk.
    pub(crate) fn read_in_memory(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Stored>, MetaError> {
        if let Some(Slot { version, value, .. }) = self.in_memory(table, key) {
            return Ok(value.map(|value| Stored { value, version }));
        }
        let known = self.index.get_in_memory(table, key);
        known.map(Some).ok_or(MetaError::NotInMemory)
    }

    fn in_memory(&self, table: Table, key: &[u8]) -> Option<Slot> {
        if let Some(slot) = self.active.read().get(table, key) {
            return Some(slot.clone());
        }
        let (frozen, _) = self.frozen.as_ref()?;
        frozen.read().get(table, key).cloned()
    }

    /// The version of one row. `indexed` is what this view's index says.
    pub(crate) fn version(
        &self,
        table: Table,
        key: &[u8],
        indexed: Indexed,
    ) -> Result<Option<RowVersion>, MetaError> {
        let live = |slot: &Slot| slot.value.is_some().then_some(slot.version);
        if let Some(slot) = self.active.read().get(table, key) {
            return Ok(live(slot));
        }
        if let Some((frozen, _)) = &self.frozen
            && let Some(slot) = frozen.read().get(table, key)
        {
            return Ok(live(slot));
        }
        match indexed {
            Indexed::Known(version) => Ok(version),
            Indexed::Unknown => self.index.version(table, key),
        }
    }

    /// Reads a page of rows. `newest` hides what is committed.
    pub(crate) fn scan(
        &self,
        newest: Option<&Memtable>,
        scan: &Scan,
    ) -> Result<ScanPage, MetaError> {
        let Scan {
            table,
            start,
            end,
            limit,
            reverse,
        } = scan;
        let mut page = ScanPage::default();
        if end.as_ref().is_some_and(|end| end <= start) {
            return Ok(page);
        }
        let mut indexed = self.index.range(*table, start, end.as_deref(), *reverse)?;
        let mut from_index = indexed.next()?;
        let mut low: Bound<Bytes> = Bound::Included(start.clone());
        let mut high: Bound<Bytes> = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut want = limit.saturating_add(1).min(CHUNK_MAX_ROWS);
        loop {
            let (chunk, exhausted) = self.chunk(newest, *table, (&low, &high), *reverse, want);
            if let Some((last, _)) = chunk.last() {
                let bound = Bound::Excluded(last.clone());
                if *reverse {
                    high = bound;
                } else {
                    low = bound;
                }
            }
            for (key, slot) in chunk {
                while let Some(row) = &from_index {
                    match order(row.key(), &key, *reverse) {
                        Ordering::Less => {
                            if !push_indexed(&mut page, *limit, row)? {
                                return Ok(page);
                            }
                            from_index = indexed.next()?;
                        }
                        Ordering::Equal => from_index = indexed.next()?,
                        Ordering::Greater => break,
                    }
                }
                let Slot { version, value, .. } = slot;
                if let Some(value) = value {
                    if page.rows.len() == *limit {
                        page.more = true;
                        return Ok(page);
                    }
                    page.rows.push(Row {
                        key,
                        value,
                        version,
                    });
                }
            }
            if exhausted {
                break;
            }
            // Rows of the index came in between, or very many deletions.
            want = want.saturating_mul(2).min(CHUNK_MAX_ROWS);
        }
        while let Some(row) = &from_index {
            if !push_indexed(&mut page, *limit, row)? {
                return Ok(page);
            }
            from_index = indexed.next()?;
        }
        Ok(page)
    }

    /// The first `want` rows of the memtables in a range, with the deletions between them, and whether
    /// that is all there is. Copied, because nobody may wait for the disk while a memtable is locked.
    /// Deletions do not count, so that a page of few rows is of one moment: a row that moves from one
    /// key to the next, as a current version does, is not missed between two looks.
    fn chunk(
        &self,
        newest: Option<&Memtable>,
        table: Table,
        (low, high): (&Bound<Bytes>, &Bound<Bytes>),
        reverse: bool,
        want: usize,
    ) -> (Vec<(Bytes, Slot)>, bool) {
        let active = self.active.read();
        let frozen = self.frozen.as_ref().map(|(frozen, _)| frozen.read());
        let layers = [newest, Some(&*active), frozen.as_deref()];
        let mut cursors = layers.map(|layer| {
            let range = layer.and_then(|layer| layer.range(table, (as_slice(low), as_slice(high))));
            let mut cursor = Cursor {
                range,
                reverse,
                next: None,
            };
            cursor.advance();
            cursor
        });
        let mut rows = Vec::new();
        let mut live = 0;
        while live < want && rows.len() < CHUNK_MAX_ROWS {
            let mut first: Option<(&Bytes, &Slot)> = None;
            for cursor in &cursors {
                if let Some(next) = cursor.next
                    && first.is_none_or(|first| order(next.0, first.0, reverse) == Ordering::Less)
                {
                    first = Some(next);
                }
            }
            let Some((key, slot)) = first else {
                return (rows, true);
            };
            live += usize::from(slot.value.is_some());
            rows.push((key.clone(), slot.clone()));
            for cursor in &mut cursors {
                if cursor.next.is_some_and(|next| next.0 == key) {
                    cursor.advance();
                }
            }
        }
        (rows, false)
    }
}

/// A place in one memtable.
struct Cursor<'a> {
    range: Option<std::collections::btree_map::Range<'a, Bytes, Slot>>,
    reverse: bool,
    next: Option<(&'a Bytes, &'a Slot)>,
}

impl Cursor<'_> {
    fn advance(&mut self) {
        self.next = self.range.as_mut().and_then(|range| {
            if self.reverse {
                range.next_back()
            } else {
                range.next()
            }
        });
    }
}

/// Adds a row of the index; false when the page was full, and there is more.
fn push_indexed(page: &mut ScanPage, limit: usize, row: &IndexRow) -> Result<bool, MetaError> {
    if page.rows.len() == limit {
        page.more = true;
        return Ok(false);
    }
    page.rows.push(row.to_row()?);
    Ok(true)
}

fn order(left: &[u8], right: &[u8], reverse: bool) -> Ordering {
    if reverse {
        right.cmp(left)
    } else {
        left.cmp(right)
    }
}

fn as_slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
