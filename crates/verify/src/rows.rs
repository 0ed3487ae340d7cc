//! Rows of the metadata store, opened, and what their keys say.

use bytes::Bytes;
use strongroom_crypto::{Keyring, RowSealer, ServicePurpose, Unsealed};
use strongroom_ports::{MetaError, MetaStore, Row, Scan, Table};
use strongroom_recover::records::{self, Record};
use strongroom_types::{BucketUid, ObjectKey};

/// Rows of a page.
pub(crate) const PAGE_ROWS: usize = 256;

/// A row that could not be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RowFault {
    /// It does not open, or holds something else.
    Damaged,
    /// The store failed.
    Store(String),
}

impl From<MetaError> for RowFault {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::Damaged(_) => Self::Damaged,
            other @ (MetaError::Io(_) | MetaError::NotInMemory | _) => {
                Self::Store(other.to_string())
            }
        }
    }
}

/// A row that was looked for.
pub(crate) enum Opened<R> {
    Record(R),
    Absent,
}

impl<R> Opened<R> {
    pub(crate) fn record(self) -> Option<R> {
        match self {
            Self::Record(record) => Some(record),
            Self::Absent => None,
        }
    }
}

/// Opens rows.
pub(crate) struct Sealer(RowSealer);

impl Sealer {
    pub(crate) fn new(ring: &Keyring<Unsealed>) -> Self {
        Self(RowSealer::new(ring.service_key(ServicePurpose::Rows)))
    }

    /// The plaintext of a value; also of what is sealed as a row elsewhere.
    pub(crate) fn open(&self, table: u8, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        self.0.open(table, key, value).ok()
    }

    pub(crate) fn decode<R: Record>(&self, table: Table, key: &[u8], value: &[u8]) -> Option<R> {
        records::decode(&self.open(table.0, key, value)?)
    }

    pub(crate) fn read<R: Record>(
        &self,
        meta: &dyn MetaStore,
        table: Table,
        key: &[u8],
    ) -> Result<Opened<R>, RowFault> {
        let Some(stored) = meta.read(table, key)? else {
            return Ok(Opened::Absent);
        };
        let record = self.decode(table, key, &stored.value);
        record.map(Opened::Record).ok_or(RowFault::Damaged)
    }
}

/// All rows of a table between two keys, page by page.
pub(crate) fn each_row(
    meta: &dyn MetaStore,
    table: Table,
    (start, end): (Bytes, Option<Bytes>),
    each: &mut dyn FnMut(Row) -> bool,
) -> Result<(), RowFault> {
    let mut start = start;
    loop {
        let page = meta.scan(&Scan {
            table,
            start,
            end: end.clone(),
            limit: PAGE_ROWS,
            reverse: false,
        })?;
        let Some(last) = page.rows.last() else {
            return Ok(());
        };
        start = [last.key.as_ref(), &[0]].concat().into();
        for row in page.rows {
            if !each(row) {
                return Ok(());
            }
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// The rows whose keys begin with `prefix`.
pub(crate) fn below(prefix: &[u8]) -> (Bytes, Option<Bytes>) {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (Bytes::copy_from_slice(prefix), Some(end.into()));
        }
    }
    (Bytes::copy_from_slice(prefix), None)
}

/// `bucket uid || escaped key || tail`: the bucket, the object's key, and the tail.
pub(crate) fn split_object_row<const TAIL: usize>(
    row_key: &[u8],
) -> Option<(BucketUid, ObjectKey, [u8; TAIL])> {
    let (path, tail) = row_key.split_last_chunk::<TAIL>()?;
    let (bucket, escaped) = path.split_first_chunk::<16>()?;
    let escaped = escaped.strip_suffix(&[0, 0])?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
        key.push(*byte);
    }
    let key = ObjectKey::parse(std::str::from_utf8(&key).ok()?).ok()?;
    Some((BucketUid::from_bytes(*bucket), key, *tail))
}

/// The key of a version's row.
pub(crate) fn version_row_key(bucket: &[u8], key: &[u8], sequence: u64) -> Vec<u8> {
    let mut row_key = versions_of(bucket, key);
    row_key.extend_from_slice(&(!sequence).to_be_bytes());
    row_key
}

/// How the row keys of all versions of an object begin.
pub(crate) fn versions_of(bucket: &[u8], key: &[u8]) -> Vec<u8> {
    let mut row_key = bucket.to_vec();
    for byte in key {
        row_key.push(*byte);
        if *byte == 0 {
            row_key.push(0xff);
        }
    }
    row_key.extend_from_slice(&[0, 0]);
    row_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_keys_of_versions_come_apart_as_they_were_put_together() {
        for key in ["a", "a\0b", "\0", "x\0\u{0}y", "gr\u{fc}n//.."] {
            let row_key = version_row_key(&[7; 16], key.as_bytes(), 5);
            let (bucket, found, tail) = split_object_row::<8>(&row_key).unwrap();
            assert_eq!((bucket.as_bytes(), found.as_str()), (&[7; 16], key));
            assert_eq!(!u64::from_be_bytes(tail), 5);
        }
        assert!(split_object_row::<8>(&[0; 20]).is_none());
    }

    #[test]
    fn a_prefix_of_all_ones_has_no_end() {
        assert_eq!(below(&[1, 0xff]).1.as_deref(), Some(&[2][..]));
        assert_eq!(below(&[0xff, 0xff]).1, None);
    }
}
