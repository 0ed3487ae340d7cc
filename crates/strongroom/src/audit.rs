//! The trail's spool: sealed rows of the metadata store, until a delivery takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_ports::{
    AuditEvent, AuditSink, Entropy, MetaStore, PendingCommit, Table, Transaction,
};
use strongroom_s3::Custody;

const RECORD: [u8; 2] = [0x22, 1];

/// Writes events to [`Table::AUDIT`].
///
/// Key = `BE64(milliseconds) || request id(16, zeros without one) || BE64(counter)`, so that a scan
/// is in order of time and no two events share a row.
pub(crate) struct TableAudit {
    meta: Arc<dyn MetaStore>,
    custody: Arc<Custody>,
    entropy: Arc<dyn Entropy>,
    /// Starts at random, so that two runs within one millisecond do not meet.
    counter: AtomicU64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct EventRow {
    #[n(0)]
    name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    document: Vec<u8>,
}

impl TableAudit {
    /// A spool in `meta`.
    pub(crate) fn new(
        meta: Arc<dyn MetaStore>,
        custody: Arc<Custody>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let mut start = [0; 8];
        entropy.fill(&mut start);
        Self {
            meta,
            custody,
            entropy,
            counter: AtomicU64::new(u64::from_be_bytes(start)),
        }
    }

    /// The row of one event, for the transaction that it belongs to.
    pub(crate) fn row(&self, event: &AuditEvent) -> (Bytes, Bytes) {
        let request_id = event.request_id.map_or([0; 16], |id| *id.as_bytes());
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let key = [
            event.time.as_millis().to_be_bytes().as_slice(),
            &request_id,
            &counter.to_be_bytes(),
        ]
        .concat();
        let row = EventRow {
            name: event.name.to_owned(),
            document: event.document.to_vec(),
        };
        let mut plaintext = RECORD.to_vec();
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(&row, &mut plaintext);
        let value = self
            .custody
            .rows()
            .seal(Table::AUDIT.0, &key, &plaintext, &*self.entropy);
        (key.into(), value.into())
    }
}

impl AuditSink for TableAudit {
    fn record(&self, events: Vec<AuditEvent>) -> PendingCommit {
        let transaction = events
            .iter()
            .fold(Transaction::new(), |transaction, event| {
                let (key, value) = self.row(event);
                transaction.put(Table::AUDIT, key, value)
            });
        self.meta.commit(transaction)
    }

    fn row_of(&self, event: &AuditEvent) -> Option<(Bytes, Bytes)> {
        Some(self.row(event))
    }
}

#[cfg(test)]
mod tests {
    use strongroom_ports::Scan;
    use strongroom_types::Timestamp;

    use super::*;
    use crate::account::tests::accounts;

    #[test]
    fn events_are_kept_sealed_and_in_order_of_time() {
        let accounts = accounts();
        let event = |millis, name| AuditEvent {
            time: Timestamp::from_millis(millis),
            request_id: None,
            name,
            document: Bytes::from_static(b"{\"canary\":1}"),
        };
        let events = vec![event(2, "Second"), event(1, "First"), event(2, "Third")];
        accounts.audit.record(events).wait().unwrap();
        let scan = Scan {
            table: Table::AUDIT,
            start: Bytes::new(),
            end: None,
            limit: 9,
            reverse: false,
        };
        let rows = accounts.meta.scan(&scan).unwrap().rows;
        let names: Vec<String> = rows
            .iter()
            .map(|row| {
                let opened = accounts
                    .custody
                    .rows()
                    .open(Table::AUDIT.0, &row.key, &row.value)
                    .unwrap();
                assert!(!row.value.windows(6).any(|window| window == b"canary"));
                minicbor::decode::<EventRow>(opened.strip_prefix(&RECORD).unwrap())
                    .unwrap()
                    .name
            })
            .collect();
        assert_eq!(names, ["First", "Second", "Third"]);
    }
}
