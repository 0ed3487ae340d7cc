//! The bounds of the metadata port.

use strongroom_ports::{
    CommitError, Condition, KEY_MAX_BYTES, TRANSACTION_MAX_BYTES, Transaction, VALUE_MAX_BYTES,
    Write,
};

/// Checks keys, values and their sum.
///
/// # Errors
///
/// [`CommitError::TooLarge`].
pub(crate) fn check(transaction: &Transaction) -> Result<(), CommitError> {
    let Transaction {
        conditions,
        writes,
        takes_away: _,
    } = transaction;
    let mut total = 0_usize;
    let mut add = |len: usize, bound: usize| {
        total = total.saturating_add(len);
        if len > bound || total > TRANSACTION_MAX_BYTES {
            Err(CommitError::TooLarge)
        } else {
            Ok(())
        }
    };
    for condition in conditions {
        match condition {
            Condition::Unchanged { key, .. } | Condition::Absent { key, .. } => {
                add(key.len(), KEY_MAX_BYTES)?;
            }
            Condition::RangeEmpty { start, end, .. } => {
                add(start.len(), KEY_MAX_BYTES)?;
                add(end.as_ref().map_or(0, bytes::Bytes::len), KEY_MAX_BYTES)?;
            }
        }
    }
    for write in writes {
        match write {
            Write::Put { key, value, .. } => {
                add(key.len(), KEY_MAX_BYTES)?;
                add(value.len(), VALUE_MAX_BYTES)?;
            }
            Write::Delete { key, .. } => add(key.len(), KEY_MAX_BYTES)?,
        }
    }
    Ok(())
}
