//! Rows in memory that are not in the index yet.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry, Range};
use std::ops::Bound;

use bytes::Bytes;
use strongroom_ports::{RowVersion, Table, Write};

/// What a row costs beside its bytes: nodes, handles, the allocator.
const ROW_OVERHEAD_BYTES: usize = 128;

/// The newest state of a row: a value, or that it was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) version: RowVersion,
    pub(crate) value: Option<Bytes>,
    /// The row is in no older layer: when it is deleted, nothing need be remembered of it.
    is_nowhere_else: bool,
}

impl Slot {
    fn len_bytes(&self, key: &Bytes) -> usize {
        ROW_OVERHEAD_BYTES + key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Rows and deletions, ordered.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    tables: BTreeMap<Table, BTreeMap<Bytes, Slot>>,
    used_bytes: usize,
    written_bytes: usize,
}

impl Memtable {
    /// Applies the writes of one transaction that was just decided.
    pub(crate) fn apply(&mut self, sequence: u64, writes: Vec<Write>) {
        self.apply_as(sequence, writes, Table::is_written_once);
    }

    /// Applies the writes of one transaction of the journal. What they write may be in the index
    /// already: a crash between two of its steps leaves more there than its position says.
    pub(crate) fn replay(&mut self, sequence: u64, writes: Vec<Write>) {
        self.apply_as(sequence, writes, |_| false);
    }

    fn apply_as(&mut self, sequence: u64, writes: Vec<Write>, is_new: impl Fn(Table) -> bool) {
        let version = RowVersion(sequence);
        for write in writes {
            let (table, key, value) = match write {
                Write::Put { table, key, value } => (table, key, Some(value)),
                Write::Delete { table, key } => (table, key, None),
            };
            let is_nowhere_else = value.is_some() && is_new(table);
            let slot = Slot {
                version,
                value,
                is_nowhere_else,
            };
            self.written_bytes += slot.len_bytes(&key);
            self.insert(table, key, slot);
        }
    }

    /// Takes over all rows of `other`, which is newer.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.written_bytes += other.written_bytes;
        for (table, rows) in other.tables {
            for (key, slot) in rows {
                self.insert(table, key, slot);
            }
        }
    }

    fn insert(&mut self, table: Table, key: Bytes, mut slot: Slot) {
        let added = slot.len_bytes(&key);
        match self.tables.entry(table).or_default().entry(key) {
            Entry::Vacant(place) => {
                place.insert(slot);
            }
            Entry::Occupied(mut row) => {
                self.used_bytes -= row.get().len_bytes(row.key());
                let was_nowhere_else = row.get().is_nowhere_else;
                if slot.value.is_none() && was_nowhere_else {
                    row.remove();
                    return;
                }
                slot.is_nowhere_else &= was_nowhere_else;
                row.insert(slot);
            }
        }
        self.used_bytes += added;
    }

    /// The newest state of a row, if it is here.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<&Slot> {
        self.tables.get(&table)?.get(key)
    }

    /// Memory taken, about.
    pub(crate) const fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// What was ever written to it, about: so much of the journal waits to be in the index.
    pub(crate) const fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// Whether nothing was written to it.
    pub(crate) const fn is_empty(&self) -> bool {
        self.written_bytes == 0
    }

    /// Rows of a range that must not be backwards.
    pub(crate) fn range<'a>(
        &'a self,
        table: Table,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Option<Range<'a, Bytes, Slot>> {
        Some(self.tables.get(&table)?.range::<[u8], _>(bounds))
    }

    /// All rows, by table and key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Table, &Bytes, &Slot)> {
        self.tables
            .iter()
            .flat_map(|(table, rows)| rows.iter().map(|(key, slot)| (*table, key, slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"key";

    fn put(table: Table, len: usize) -> Vec<Write> {
        vec![Write::Put {
            table,
            key: KEY.into(),
            value: vec![7; len].into(),
        }]
    }

    fn delete(table: Table) -> Vec<Write> {
        let key = KEY.into();
        vec![Write::Delete { table, key }]
    }

    fn rows(memtable: &Memtable) -> usize {
        memtable.iter().count()
    }

    #[test]
    fn of_a_row_that_came_and_went_nothing_stays_where_no_older_layer_can_hold_it() {
        let mut memtable = Memtable::default();
        memtable.apply(1, put(Table::AUDIT, 1000));
        memtable.apply(2, delete(Table::AUDIT));
        assert_eq!((rows(&memtable), memtable.used_bytes()), (0, 0));
        // The journal has both, and the index must get past them.
        assert!(memtable.written_bytes() > 1000 && !memtable.is_empty());
        // The same when they come in groups.
        for writes in [put(Table::AUDIT, 1000), delete(Table::AUDIT)] {
            let mut group = Memtable::default();
            group.apply(3, writes);
            memtable.absorb(group);
        }
        assert_eq!((rows(&memtable), memtable.used_bytes()), (0, 0));
    }

    #[test]
    fn a_deletion_stays_where_an_older_layer_may_hold_the_row() {
        let mut other_table = Memtable::default();
        other_table.apply(1, put(Table::CURRENT, 10));
        other_table.apply(2, delete(Table::CURRENT));
        assert_eq!(rows(&other_table), 1);

        let mut only_deleted = Memtable::default();
        only_deleted.apply(2, delete(Table::AUDIT));
        assert_eq!(rows(&only_deleted), 1);

        // A crash may have left the row in the index, although its position says no.
        let mut replayed = Memtable::default();
        replayed.replay(1, put(Table::AUDIT, 10));
        replayed.replay(2, delete(Table::AUDIT));
        assert_eq!(rows(&replayed), 1);
        let mut behind = Memtable::default();
        behind.replay(1, put(Table::AUDIT, 10));
        behind.apply(2, delete(Table::AUDIT));
        assert_eq!(rows(&behind), 1);
    }

    #[test]
    fn memory_is_counted_once_however_often_a_row_is_written() {
        let mut memtable = Memtable::default();
        for sequence in 1..100 {
            memtable.apply(sequence, put(Table::CURRENT, 1000));
        }
        assert_eq!(memtable.used_bytes(), ROW_OVERHEAD_BYTES + KEY.len() + 1000);
        assert!(memtable.written_bytes() > 99_000);
    }
}
