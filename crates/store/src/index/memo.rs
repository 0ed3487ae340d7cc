//! What was read from the index lately, so that it can be read again without the disk.
//!
//! An index does not change while it is held, so nothing here is ever wrong; with the next index
//! everything is forgotten.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::RwLock;
use strongroom_ports::Stored;

/// Memory for it; when it is full, all of it is forgotten.
const USED_MAX_BYTES: usize = 8 << 20;
/// What an entry costs beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 160;
/// Longer values are not kept: few of them would push all others out.
const VALUE_MAX_BYTES: usize = 32 << 10;

/// A bounded memory of reads, by the paths that were asked for.
#[derive(Default)]
pub(super) struct Memo(RwLock<Known>);

#[derive(Default)]
struct Known {
    rows: HashMap<Bytes, Stored>,
    used_bytes: usize,
}

impl Memo {
    /// The row at `path`.
    pub(super) fn row(&self, path: &[u8]) -> Option<Stored> {
        self.0.read().rows.get(path).cloned()
    }

    pub(super) fn keep_row(&self, path: &[u8], row: &Stored) {
        if let Some(mut known) = self.room(path.len(), row.value.len()) {
            known.rows.insert(Bytes::copy_from_slice(path), row.clone());
        }
    }

    fn room(
        &self,
        path_len: usize,
        value_len: usize,
    ) -> Option<parking_lot::RwLockWriteGuard<'_, Known>> {
        if value_len > VALUE_MAX_BYTES {
            return None;
        }
        let mut known = self.0.write();
        let needed = ENTRY_OVERHEAD_BYTES + path_len + value_len;
        if known.used_bytes + needed > USED_MAX_BYTES {
            *known = Known::default();
        }
        known.used_bytes += needed;
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_ports::RowVersion;

    use super::*;

    #[test]
    fn what_was_read_is_known_and_memory_is_bounded() {
        let memo = Memo::default();
        assert!(memo.row(b"a").is_none());
        let row = Stored {
            value: Bytes::from(vec![1; 30_000]),
            version: RowVersion(1),
        };
        memo.keep_row(b"a", &row);
        assert!(memo.row(b"a").is_some());
        for index in 0..1000_u32 {
            memo.keep_row(&index.to_be_bytes(), &row);
            assert!(memo.0.read().used_bytes <= USED_MAX_BYTES);
        }
        assert!(memo.row(&999_u32.to_be_bytes()).is_some());
        assert!(memo.row(b"a").is_none(), "forgotten, not wrong");
    }
}
