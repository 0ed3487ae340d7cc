//! The audit trail: who used which key, when, for what, and proof that the log is whole.
//!
//! ```text
//!  service --EventBuilder--> Event (a CloudTrail record)
//!     |                        |
//!     |   in the change's      |  grouped with other commits,
//!     |   own transaction      |  before the answer
//!     v                        v
//!   Table::AUDIT, the spool: one sealed row an event, in any order
//!                  |
//!                  |  Ledger::step, once a second: moves, in one transaction
//!                  v
//!   Table::AUDIT_LEDGER: batches 0, 1, 2, ... each with the hash of the one before
//!   Table::AUDIT_INDEX:  (attribute, time) -> positions in a batch
//!      |             |                  |
//!   LookupEvents   verify, search,    trails: gzip log files, signed digests
//! ```
//!
//! - **Durable before the answer.** [`AuditLog`] is the [`AuditSink`](strongroom_ports::AuditSink): an
//!   event travels in the transaction of its change, or in a commit of its own that joins the next
//!   group. A receipt that fails means that the answer must not be given.
//! - **A total order after the fact.** Requests do not wait for each other to be chained. The ledger
//!   takes what it finds in the spool; its order is the order of the batches. So no event can be late,
//!   and moving is exactly-once, because it is one transaction on a head row that must not have
//!   changed. What this proves and what not is in `docs/adr/0010-audit-trail.md`.
//! - **No secret can come in.** [`Params`] takes no bytes, hides AWS's names of secrets, and results of
//!   reads are not recorded at all.
//!
//! What is **not** here: the wire format of the CloudTrail API ([`service`] has what its operations mean),
//! and the writer of objects ([`ObjectSink`](trails::ObjectSink) is a port).

mod chain;
mod completion;
mod event;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gzip;
mod identity;
mod in_memory;
mod index;
mod json;
mod ledger;
pub mod limits;
mod log;
mod lookup;
mod params;
mod read;
mod records;
mod sampling;
pub mod service;
pub mod trails;
mod verify;

pub use event::{
    EVENT_VERSION, Event, EventBuilder, EventId, Home, OWN_SOURCE, Resource, operator_name,
    service_name,
};
pub use identity::{AWS_INTERNAL, forwarded_by};
pub use in_memory::IN_MEMORY;
pub use index::Attribute;
pub use ledger::{Ledger, Moved};
pub use log::AuditLog;
pub use lookup::{Lookup, LookupError, LookupPage};
pub use params::{HIDDEN, Params, is_hidden};
pub use read::{Cursor, Direction, Filter, Outcome, Page};
pub use records::Lane;
pub use sampling::{Denials, Noted, Summary};
pub use verify::{Anchor, Finding, Report, Verification};

use strongroom_ports::{CommitError, MetaError};
use strongroom_rows::{Contended, RowError};

/// Why the trail could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrailError {
    /// The store failed.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The store did not take a change.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A row of this table does not verify, or holds something else.
    #[error("a row of the audit trail (table {0}) does not verify")]
    Damaged(u8),
    /// A batch cannot be packed; its events stay in the spool.
    #[error("a batch of the audit trail cannot be packed")]
    Unpackable,
    /// The signing key failed.
    #[error("the trail's key does not sign: {0}")]
    Signing(#[from] strongroom_asymmetric::AsymmetricError),
}

impl From<RowError> for TrailError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Meta(error) => Self::Meta(error),
            RowError::Damaged(table) => Self::Damaged(table),
            _ => Self::Damaged(0),
        }
    }
}

impl Contended for TrailError {
    fn contention() -> Self {
        Self::Commit(CommitError::Conflict)
    }

    fn is_contention(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Conflict))
    }
}

/// Fixed parts of the tests in this crate.
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
