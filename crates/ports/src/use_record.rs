//! The record of a key's use, on its way to the disk.

use std::fmt;
use std::sync::Arc;

use crate::{CommitSequence, Committed, MetaStore, PendingCommit, Transaction, Write};

/// The record of a key's use, which must be durable before anything is answered by that use.
///
/// It is written by who uses the key, because that costs least: in the transaction of the change that
/// the key is for ([`UseRecord::writes`]), or in a commit of its own that runs beside other work
/// ([`UseRecord::submit`]). One that is dropped without either is submitted, so that no use is lost;
/// but nobody has waited for it then.
#[must_use = "no answer may be given before the record of the use is durable"]
pub struct UseRecord {
    store: Arc<dyn MetaStore>,
    writes: Vec<Write>,
    /// Some transaction has them.
    given_away: bool,
}

impl UseRecord {
    /// The rows that record a use, of `store`. Without rows, the use is recorded already.
    pub fn new(store: Arc<dyn MetaStore>, writes: Vec<Write>) -> Self {
        Self {
            store,
            writes,
            given_away: false,
        }
    }

    /// Makes the record durable in a commit of its own, which joins the next group. Does not block.
    ///
    /// A receipt that fails means that the answer must not be given.
    pub fn submit(mut self) -> PendingCommit {
        let writes = std::mem::take(&mut self.writes);
        if writes.is_empty() {
            return PendingCommit::ready(Ok(Committed {
                sequence: CommitSequence(0),
            }));
        }
        commit(&*self.store, writes)
    }

    /// What to write in a transaction of the same store. If that one does not happen, the record is
    /// to be [submitted](UseRecord::submit); if it does, [`UseRecord::written`] says so.
    pub fn writes(&mut self) -> &[Write] {
        self.given_away = true;
        &self.writes
    }

    /// A transaction with its writes is durable.
    pub fn written(mut self) {
        self.writes.clear();
    }
}

fn commit(store: &dyn MetaStore, writes: Vec<Write>) -> PendingCommit {
    store.commit(Transaction {
        writes,
        ..Transaction::new()
    })
}

impl Drop for UseRecord {
    fn drop(&mut self) {
        let writes = std::mem::take(&mut self.writes);
        if !writes.is_empty() && !self.given_away {
            drop(commit(&*self.store, writes));
        }
    }
}

impl fmt::Debug for UseRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UseRecord({} rows)", self.writes.len())
    }
}
