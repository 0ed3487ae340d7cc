//! The sink: events become durable rows of the spool.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_ports::{
    AuditEvent, AuditSink, Clock, PendingCommit, Table, Transaction, UseRecord,
};
use strongroom_rows::SealedRows;
use strongroom_types::Timestamp;

use crate::event::{Event, EventBuilder, Home};
use crate::in_memory::{self, IN_MEMORY};
use crate::records::{Lane, spool_key};

/// Takes events. What it took is found by [`Ledger`](crate::Ledger) and all that reads.
///
/// Contract: as [`AuditSink`]'s. An event is durable when its commit is: alone
/// ([`AuditLog::append`]), or with the change that it is about ([`AuditLog::add`]).
///
/// A commit of events alone may use the space that is reserved for them below the floor of free
/// space, so that reads go on when the disk is full; when that is used up, it fails, and whoever
/// waits for it must not answer.
#[derive(Clone)]
pub struct AuditLog {
    rows: SealedRows,
    clock: Arc<dyn Clock>,
    home: Home,
}

impl AuditLog {
    /// A log in `rows`.
    pub fn new(rows: SealedRows, clock: Arc<dyn Clock>, home: Home) -> Self {
        Self { rows, clock, home }
    }

    /// Whose store this is.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The rows that the log is kept in.
    pub fn rows(&self) -> &SealedRows {
        &self.rows
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The event of a call that ends now.
    pub fn finish(&self, event: EventBuilder<'_>) -> Event {
        event.finish(self.now(), &self.home, &*self.rows.entropy)
    }

    /// Adds an event to the transaction of its change: both become durable, or neither.
    #[must_use]
    pub fn add(&self, transaction: Transaction, event: &Event) -> Transaction {
        let (key, value) = self.row(event);
        if IN_MEMORY {
            in_memory::keep(value);
            return transaction;
        }
        transaction.put(Table::AUDIT, key, value)
    }

    /// Makes events durable, together. The answer that they are about waits for the receipt.
    pub fn append(&self, events: &[Event]) -> PendingCommit {
        let transaction = events
            .iter()
            .fold(Transaction::new(), |transaction, event| {
                self.add(transaction, event)
            });
        if IN_MEMORY {
            return in_memory::receipt();
        }
        self.rows.meta.commit(transaction)
    }

    /// Events of one use of a key, for who uses it to make them durable.
    pub fn use_record(&self, events: &[Event]) -> UseRecord {
        let rows = events
            .iter()
            .fold(Transaction::new(), |transaction, event| {
                self.add(transaction, event)
            });
        UseRecord::new(Arc::clone(&self.rows.meta), rows.writes)
    }

    /// Key and value of the row that holds `event`.
    pub fn row(&self, event: &Event) -> (Bytes, Bytes) {
        let lane = if event.data {
            Lane::Data
        } else {
            Lane::Management
        };
        let key = spool_key(lane, event.id);
        let value = self.rows.seal(Table::AUDIT, &key, event);
        (key.into(), value)
    }
}

/// For the parts of the server that know the port only: their documents are completed.
impl AuditSink for AuditLog {
    fn record(&self, events: Vec<AuditEvent>) -> PendingCommit {
        let completed = |event| Event::completed(event, &self.home, &*self.rows.entropy);
        let events: Vec<Event> = events.iter().map(completed).collect();
        self.append(&events)
    }
}
