//! The collector, which removes what deleted versions left and completes what re-encryptions did not,
//! and the orphan sweep, which removes what never became part of a version. Both run in the background
//! and may be killed at any point.

use std::collections::BTreeSet;

use bytes::Bytes;
use strongroom_ports::{Row, Scan, Table, Transaction};
use strongroom_types::{AttemptUid, BlobId, BucketUid, VersionUid};

use crate::keys::Garbage;
use crate::rows::{BlobRow, PartRow, PlaceRow};
use crate::{S3, S3Error, keys};

/// Rows of one transaction of the collector; far below the port's bound.
const BATCH_ROWS: usize = 200;
/// Blob names in one page of the sweep.
const SWEEP_PAGE: usize = 1000;

/// What a run of the collector did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Garbage rows worked off.
    pub collected: usize,
    /// Garbage rows left, because somebody still reads what they name, or because it failed.
    pub postponed: usize,
    /// Blob files removed.
    pub blobs_removed: usize,
}

/// What a run of the orphan sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Blob files seen.
    pub blobs_seen: usize,
    /// Blob files without a row, seen for the first time: the next sweep removes them.
    pub suspected: usize,
    /// Blob files removed.
    pub blobs_removed: usize,
}

impl S3 {
    /// Forgets bucket keys that must not be used any more, and works off up to `max` garbage rows.
    /// Blocks; call it in the background until it collects
    /// nothing more.
    ///
    /// Files go first and rows after them, so that a crash in between leaves work to do again and
    /// never a file that nothing names.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`]. What was done before stays done.
    pub fn collect_garbage(&self, max: usize) -> Result<CollectReport, S3Error> {
        self.bucket_keys.sweep(self.ports.clock.monotonic());
        let mut report = CollectReport::default();
        let mut failed = None;
        let mut start = Bytes::new();
        // Postponed rows are passed by, so that they do not hold up what is behind them.
        while report.collected < max {
            let page = self.page(Table::GARBAGE, start, None)?;
            let Some(last) = page.last() else { break };
            start = keys::behind(&last.key);
            for row in page {
                if report.collected >= max {
                    break;
                }
                let Some(garbage) = Garbage::parse(&row.key) else {
                    tracing::error!("a garbage row has a key of no known kind");
                    report.postponed += 1;
                    continue;
                };
                match self.collect_one(garbage, &mut report) {
                    Ok(true) => report.collected += 1,
                    Ok(false) => report.postponed += 1,
                    // Without commits nothing goes on.
                    Err(S3Error::Unavailable) => return Err(S3Error::Unavailable),
                    // One thing that cannot be removed must not hold up what is behind it.
                    Err(error) => {
                        tracing::error!(%error, ?garbage, "garbage cannot be removed");
                        report.postponed += 1;
                        failed = Some(error);
                    }
                }
            }
        }
        failed.map_or(Ok(report), Err)
    }

    /// Removes or completes one thing; false if it has to wait.
    fn collect_one(&self, garbage: Garbage, report: &mut CollectReport) -> Result<bool, S3Error> {
        match garbage {
            Garbage::Blob(id) => {
                // The part list of a version that is being read is a blob of its own.
                let owner = self.read_row::<BlobRow>(Table::BLOBS, &keys::blob(id))?;
                if owner
                    .is_some_and(|(row, _)| self.is_being_read(VersionUid::from_bytes(row.version)))
                {
                    return Ok(false);
                }
                self.ports.blobs.delete(id)?;
                report.blobs_removed += 1;
                let rows = Transaction::new().delete(Table::BLOBS, keys::blob(id));
                self.remove_rows(rows, garbage)?;
            }
            Garbage::Parts(version) => {
                if self.is_being_read(version) {
                    return Ok(false);
                }
                report.blobs_removed += self.collect_parts(version)?;
                self.remove_rows(Transaction::new(), garbage)?;
            }
            Garbage::BucketUploads(bucket) => {
                self.collect_uploads(bucket)?;
                self.remove_rows(Transaction::new(), garbage)?;
            }
            // Its row goes with it, unless it is asked for once more meanwhile.
            Garbage::Footers(version) => return Ok(self.rewrite_pending_footers(version)),
        }
        Ok(true)
    }

    fn is_being_read(&self, version: VersionUid) -> bool {
        self.versions_being_read.lock().contains_key(&version)
    }

    /// Removes blob files that no row refers to: left by a crash between a file and its commit, or
    /// by a commit that did not happen. A file goes when two sweeps in a row find it so, and nobody
    /// is writing it. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::Unavailable`].
    pub fn sweep_orphans(&self) -> Result<SweepReport, S3Error> {
        let mut report = SweepReport::default();
        let before = std::mem::take(&mut *self.suspected_orphans.lock());
        let mut suspects = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.ports.blobs.list(after, SWEEP_PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            report.blobs_seen += page.len();
            for id in page {
                // The order counts: a blob that is no longer in flight has its row by now, or never
                // will.
                if self.blobs_in_flight.lock().contains(&id)
                    || self
                        .ports
                        .meta
                        .read(Table::BLOBS, &keys::blob(id))?
                        .is_some()
                {
                    continue;
                }
                if before.contains(&id) {
                    // A commit that names it may still be on its way, or have an outcome that only
                    // the next start will know. An empty commit waits for the former, and fails
                    // where the latter is possible: the store has stopped then.
                    self.ports.meta.commit(Transaction::new()).wait()?;
                    let named = self.ports.meta.read(Table::BLOBS, &keys::blob(id))?;
                    if named.is_some() || self.blobs_in_flight.lock().contains(&id) {
                        continue;
                    }
                    self.ports.blobs.delete(id)?;
                    report.blobs_removed += 1;
                } else {
                    suspects.insert(id);
                }
            }
        }
        report.suspected = suspects.len();
        *self.suspected_orphans.lock() = suspects;
        Ok(report)
    }

    /// Removes all parts of a version; gives the number of files removed.
    fn collect_parts(&self, version: VersionUid) -> Result<usize, S3Error> {
        let (start, end) = keys::parts_of(version);
        let mut removed = 0;
        loop {
            let page = self.page(Table::PARTS, start.clone(), Some(end.clone()))?;
            if page.is_empty() {
                return Ok(removed);
            }
            let mut transaction = Transaction::new();
            for row in page {
                let part = self.open_scanned::<PartRow>(Table::PARTS, &row)?;
                transaction = match part.place {
                    PlaceRow::Inline => {
                        let attempt = AttemptUid::from_bytes(part.attempt);
                        transaction.delete(Table::INLINE, keys::inline_part(version, attempt))
                    }
                    PlaceRow::Blob(id) => {
                        let id = BlobId::from_bytes(id);
                        self.ports.blobs.delete(id)?;
                        removed += 1;
                        transaction.delete(Table::BLOBS, keys::blob(id))
                    }
                };
                transaction = transaction.delete(Table::PARTS, row.key);
            }
            self.ports.meta.commit(transaction).wait()?;
        }
    }

    /// Turns the uploads in progress of a deleted bucket into garbage of their own.
    fn collect_uploads(&self, bucket: BucketUid) -> Result<(), S3Error> {
        let (start, end) = keys::whole_bucket(bucket);
        loop {
            let page = self.page(Table::UPLOADS, start.clone(), Some(end.clone()))?;
            if page.is_empty() {
                return Ok(());
            }
            let mut transaction = Transaction::new();
            for row in page {
                let (_, upload) = keys::parse_upload(&row.key).ok_or(S3Error::Damaged)?;
                transaction = self.put_garbage(transaction, Garbage::Parts(upload.version_uid));
                transaction = transaction.delete(Table::UPLOADS, row.key);
            }
            self.ports.meta.commit(transaction).wait()?;
        }
    }

    fn remove_rows(&self, transaction: Transaction, garbage: Garbage) -> Result<(), S3Error> {
        self.ports
            .meta
            .commit(transaction.delete(Table::GARBAGE, garbage.key()))
            .wait()?;
        Ok(())
    }

    fn page(&self, table: Table, start: Bytes, end: Option<Bytes>) -> Result<Vec<Row>, S3Error> {
        let scan = Scan {
            table,
            start,
            end,
            limit: BATCH_ROWS,
            reverse: false,
        };
        Ok(self.ports.meta.scan(&scan)?.rows)
    }
}
