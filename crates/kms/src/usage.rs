//! What is remembered of the use of keys: figures, and when each was last used.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::KeyId;
use strongroom_types::{RequestContext, Timestamp};

use crate::rows::LastUsageRow;
use crate::{KeyService, KmsError, keys};

/// Rows of one transaction.
const BATCH_ROWS: usize = 200;

/// A key's last successful cryptographic use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub operation: String,
    pub at: Timestamp,
    pub request_id: [u8; 16],
}

/// Uses that no row remembers yet. A crash forgets those of the last interval, which costs nothing
/// but precision: no decision depends on them.
#[derive(Default)]
pub(crate) struct LastUses(Mutex<BTreeMap<KeyId, (&'static str, Timestamp, [u8; 16])>>);

impl KeyService {
    /// The record of a cryptographic use, or of the attempt: counts it, and remembers a success.
    ///
    /// Every cryptographic operation ends here, so that a trail has one place to hang on.
    pub(crate) fn record_use<T>(
        &self,
        operation: &'static str,
        caller: &RequestContext,
        key: impl FnOnce(&T) -> Option<KeyId>,
        outcome: Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let label = match &outcome {
            // It will be tried again where it may block, and counted there.
            Err(KmsError::NotInMemory) => return outcome,
            Ok(_) => "success",
            Err(_) => "error",
        };
        metrics::counter!("strongroom_kms_requests_total", "operation" => operation, "outcome" => label)
            .increment(1);
        if let Ok(answer) = &outcome
            && let Some(key) = key(answer)
        {
            let used = (operation, self.now(), *caller.request_id.as_bytes());
            self.shared.last_uses.0.lock().insert(key, used);
        }
        outcome
    }

    /// A key's last use, as far as it is known.
    pub(crate) fn last_use(&self, key: KeyId) -> Result<Option<LastUse>, KmsError> {
        let in_memory = self.shared.last_uses.0.lock().get(&key).copied();
        if let Some((operation, at, request_id)) = in_memory {
            return Ok(Some(LastUse {
                operation: operation.to_owned(),
                at,
                request_id,
            }));
        }
        let row = self.read::<LastUsageRow>(Table::KMS_LAST_USAGE, &keys::last_usage(key))?;
        Ok(row.map(|(row, _)| LastUse {
            operation: row.operation,
            at: Timestamp::from_millis(row.at_millis),
            request_id: row.request_id,
        }))
    }

    /// Writes what is remembered. Part of the work in the background.
    pub(crate) fn flush_last_uses(&self) -> Result<usize, KmsError> {
        let uses = std::mem::take(&mut *self.shared.last_uses.0.lock());
        let uses: Vec<_> = uses.into_iter().collect();
        for batch in uses.chunks(BATCH_ROWS) {
            let mut transaction = Transaction::new();
            for (key, (operation, at, request_id)) in batch {
                let row = LastUsageRow {
                    operation: (*operation).to_owned(),
                    at_millis: at.as_millis(),
                    request_id: *request_id,
                };
                let row_key = keys::last_usage(*key);
                transaction = self.put(transaction, Table::KMS_LAST_USAGE, row_key, &row)?;
            }
            self.ports.rows.meta.commit(transaction).wait()?;
        }
        Ok(uses.len())
    }
}
