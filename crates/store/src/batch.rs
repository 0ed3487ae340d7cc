//! What a journal frame says: one group of transactions.
//!
//! ```text
//! payload:      first sequence 8 || transaction count 4 || transaction ...
//! transaction:  write count 4 || write ...
//! write:        1 || table 1 || key length 2 || value length 4 || key || value      (put)
//!               2 || table 1 || key length 2 || key                                 (delete)
//! ```
//!
//! Transactions have consecutive sequences. The journal holds no conditions: they held.

use bytes::Bytes;
use strongroom_ports::{Table, Write};

use crate::frame::Fields;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Begins a payload behind what is in `buffer`. The count is filled in by [`finish`].
pub(crate) fn begin(buffer: &mut Vec<u8>, first_sequence: u64) {
    buffer.extend_from_slice(&first_sequence.to_be_bytes());
    buffer.extend_from_slice(&[0; 4]);
}

/// Appends one transaction. The port's bounds make every length fit; `None` says that one did not.
pub(crate) fn push(buffer: &mut Vec<u8>, writes: &[Write]) -> Option<()> {
    buffer.extend_from_slice(&u32::try_from(writes.len()).ok()?.to_be_bytes());
    for write in writes {
        match write {
            Write::Put { table, key, value } => {
                buffer.extend_from_slice(&[PUT, table.0]);
                buffer.extend_from_slice(&u16::try_from(key.len()).ok()?.to_be_bytes());
                buffer.extend_from_slice(&u32::try_from(value.len()).ok()?.to_be_bytes());
                buffer.extend_from_slice(key);
                buffer.extend_from_slice(value);
            }
            Write::Delete { table, key } => {
                buffer.extend_from_slice(&[DELETE, table.0]);
                buffer.extend_from_slice(&u16::try_from(key.len()).ok()?.to_be_bytes());
                buffer.extend_from_slice(key);
            }
        }
    }
    Some(())
}

/// Fills in the number of transactions of the payload that begins at `from`.
pub(crate) fn finish(buffer: &mut [u8], from: usize, count: u32) -> Option<()> {
    buffer
        .get_mut(from..)?
        .get_mut(8..12)?
        .copy_from_slice(&count.to_be_bytes());
    Some(())
}

/// A payload that was read: the first sequence, and the writes of each transaction.
pub(crate) struct Batch {
    pub(crate) first_sequence: u64,
    pub(crate) transactions: Vec<Vec<Write>>,
}

/// Parses a payload; `None` when it is not one.
pub(crate) fn parse(payload: &[u8]) -> Option<Batch> {
    let mut fields = Fields(payload);
    let first_sequence = u64::from_be_bytes(fields.take()?);
    let count = u32::from_be_bytes(fields.take()?);
    let mut transactions = Vec::new();
    for _ in 0..count {
        let write_count = u32::from_be_bytes(fields.take()?);
        let mut writes = Vec::new();
        for _ in 0..write_count {
            let [kind, table] = fields.take()?;
            let key_len = usize::from(u16::from_be_bytes(fields.take()?));
            let table = Table(table);
            writes.push(match kind {
                PUT => {
                    let value_len = usize::try_from(u32::from_be_bytes(fields.take()?)).ok()?;
                    let key = Bytes::copy_from_slice(fields.slice(key_len)?);
                    let value = Bytes::copy_from_slice(fields.slice(value_len)?);
                    Write::Put { table, key, value }
                }
                DELETE => {
                    let key = Bytes::copy_from_slice(fields.slice(key_len)?);
                    Write::Delete { table, key }
                }
                _ => return None,
            });
        }
        transactions.push(writes);
    }
    fields.0.is_empty().then_some(Batch {
        first_sequence,
        transactions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_parse_back_and_prefixes_do_not() {
        let first = vec![
            Write::Put {
                table: Table(4),
                key: "key".into(),
                value: "value".into(),
            },
            Write::Delete {
                table: Table(5),
                key: "".into(),
            },
        ];
        let second = Vec::new();
        let mut buffer = b"header".to_vec();
        begin(&mut buffer, 77);
        push(&mut buffer, &first).unwrap();
        push(&mut buffer, &second).unwrap();
        finish(&mut buffer, 6, 2).unwrap();
        let payload = &buffer[6..];
        let batch = parse(payload).unwrap();
        assert_eq!(batch.first_sequence, 77);
        assert_eq!(batch.transactions, [first, second]);
        for len in 0..payload.len() {
            assert!(parse(&payload[..len]).is_none(), "{len}");
        }
        buffer.push(0);
        assert!(parse(&buffer[6..]).is_none());
    }
}
