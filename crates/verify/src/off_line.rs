//! The rows of a store that no server uses, read from snapshot and journal. Nothing is written.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{
    CommitError, MetaError, MetaStore, PendingCommit, Row, RowVersion, Scan, ScanPage, Stored,
    Table, Transaction,
};
use strongroom_recover::rows::{Rows, StoredRow};
use strongroom_recover::{Loss, Progress};

/// What was read.
pub struct OffLine {
    /// The rows.
    pub rows: Arc<dyn MetaStore>,
    /// What is damaged or missing.
    pub losses: Vec<Loss>,
    /// The last commit that is left.
    pub last_commit: u64,
}

/// Reads the rows of the metadata directory `meta`. Their values, sealed as they are, go to a file
/// without a name: beside the journal, or where temporary files go if nothing can be written there.
///
/// # Errors
///
/// The operating system's. Damage is none: see [`OffLine::losses`].
pub fn read(
    meta: &Path,
    ring: &Keyring<Unsealed>,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<OffLine> {
    let spill = nameless(meta).or_else(|_| nameless(&std::env::temp_dir()))?;
    let loaded = Rows::load(meta, ring, spill, &|_| true, &mut |at| match at {
        Progress::Rows(done, all) => progress(done, all),
        Progress::Objects(..) | Progress::Blobs(..) => {}
    })?;
    Ok(OffLine {
        rows: Arc::new(AtRest(loaded.rows)),
        losses: loaded.losses,
        last_commit: loaded.last_commit,
    })
}

/// A file that is gone when it is closed, also if the process is killed.
fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::open(directory, flags, mode)?.into())
}

struct AtRest(Rows);

impl MetaStore for AtRest {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        Ok(self.0.stored_row(table.0, key).map(|row| Stored {
            value: row.value.into(),
            version: RowVersion(row.version),
        }))
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        let found = self
            .0
            .stored_rows(scan.table.0, &scan.start, scan.end.as_deref());
        let wanted = scan.limit.saturating_add(1);
        let found: Option<Vec<StoredRow>> = if scan.reverse {
            found.rev().take(wanted).collect()
        } else {
            found.take(wanted).collect()
        };
        let found = found.ok_or_else(|| {
            MetaError::Io("rows that were set aside cannot be read again".to_owned())
        })?;
        let more = found.len() > scan.limit;
        let rows = found.into_iter().take(scan.limit).map(|row| Row {
            key: row.key.into(),
            value: row.value.into(),
            version: RowVersion(row.version),
        });
        Ok(ScanPage {
            rows: rows.collect(),
            more,
        })
    }

    fn commit(&self, _: Transaction) -> PendingCommit {
        let refused = CommitError::Failed("the store is only looked at".to_owned());
        PendingCommit::ready(Err(refused))
    }
}
