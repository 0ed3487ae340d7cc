//! Reading and writing records, sealed.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_ports::{Entropy, MetaError, MetaStore, Row, RowVersion, Scan, Table};

use crate::resident::Resident;
use crate::{Custody, Record};

/// The metadata store, as a service with records sees it.
#[derive(Clone)]
pub struct SealedRows {
    /// The store.
    pub meta: Arc<dyn MetaStore>,
    /// What seals.
    pub custody: Arc<Custody>,
    /// Where nonces come from.
    pub entropy: Arc<dyn Entropy>,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The store failed, or only memory was asked and does not know.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The row does not verify, or holds something else.
    #[error("a metadata row of table {0} does not verify")]
    Damaged(u8),
}

impl SealedRows {
    /// The same rows as far as they are in memory: reads never wait for the disk and answer
    /// [`MetaError::NotInMemory`] instead, as scans always do; commits are refused.
    #[must_use]
    pub fn in_memory(&self) -> Self {
        Self {
            meta: Arc::new(Resident(Arc::clone(&self.meta))),
            ..self.clone()
        }
    }

    /// Reads, opens and decodes one row. Blocks.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    pub fn read<R: Record>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(R, RowVersion)>, RowError> {
        let Some(stored) = self.meta.read(table, key)? else {
            return Ok(None);
        };
        Ok(Some((
            self.open(table, key, &stored.value)?,
            stored.version,
        )))
    }

    /// Reads a page of rows. Blocks.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    pub fn scan<R: Record>(
        &self,
        table: Table,
        (start, end): (Bytes, Option<Bytes>),
        limit: usize,
    ) -> Result<(Vec<(Row, R)>, bool), RowError> {
        let page = self.meta.scan(&Scan {
            table,
            start,
            end,
            limit,
            reverse: false,
        })?;
        let rows = page
            .rows
            .into_iter()
            .map(|row| {
                let record = self.open(table, &row.key, &row.value)?;
                Ok((row, record))
            })
            .collect::<Result<_, RowError>>()?;
        Ok((rows, page.more))
    }

    /// Opens and decodes a row that was read.
    ///
    /// # Errors
    ///
    /// [`RowError::Damaged`].
    pub fn open<R: Record>(&self, table: Table, key: &[u8], value: &[u8]) -> Result<R, RowError> {
        self.custody.open_record(table, key, value)
    }

    /// The value to store for `record` at its place.
    pub fn seal<R: Record>(&self, table: Table, key: &[u8], record: &R) -> Bytes {
        self.custody.seal_record(table, key, record, &*self.entropy)
    }
}
