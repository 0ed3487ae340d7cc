//! Rows as far as they are in memory, for tasks: no read here waits for the disk.

use std::sync::Arc;

use strongroom_ports::{
    CommitError, MetaError, MetaStore, PendingCommit, Scan, ScanPage, Stored, Table, Transaction,
};

/// Metadata, as far as it is in memory. Reads answer [`MetaError::NotInMemory`] where they would
/// have to wait; scans always do, and commits are refused.
pub struct Resident(pub Arc<dyn MetaStore>);

impl MetaStore for Resident {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.0.read_in_memory(table, key)
    }

    fn scan(&self, _: &Scan) -> Result<ScanPage, MetaError> {
        Err(MetaError::NotInMemory)
    }

    fn commit(&self, _: Transaction) -> PendingCommit {
        PendingCommit::ready(Err(CommitError::Failed("read only".to_owned())))
    }
}
