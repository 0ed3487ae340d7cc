//! Rows in memory that are not in the index yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
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
}

/// Rows and deletions, ordered.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    tables: BTreeMap<Table, BTreeMap<Bytes, Slot>>,
    used_bytes: usize,
}

impl Memtable {
    /// Applies the writes of one transaction.
    pub(crate) fn apply(&mut self, sequence: u64, writes: Vec<Write>) {
        let version = RowVersion(sequence);
        for write in writes {
            let (table, key, value) = match write {
                Write::Put { table, key, value } => (table, key, Some(value)),
                Write::Delete { table, key } => (table, key, None),
            };
            self.insert(table, key, Slot { version, value });
        }
    }

    /// Takes over all rows of `other`, which is newer.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (table, rows) in other.tables {
            for (key, slot) in rows {
                self.insert(table, key, slot);
            }
        }
    }

    fn insert(&mut self, table: Table, key: Bytes, slot: Slot) {
        // Replaced values are not subtracted: the journal holds them as well, and it is what the
        // bound is about.
        self.used_bytes +=
            ROW_OVERHEAD_BYTES + key.len() + slot.value.as_ref().map_or(0, Bytes::len);
        self.tables.entry(table).or_default().insert(key, slot);
    }

    /// The newest state of a row, if it is here.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<&Slot> {
        self.tables.get(&table)?.get(key)
    }

    /// Memory taken, about.
    pub(crate) const fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
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
