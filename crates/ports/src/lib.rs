//! The ports: small traits behind which every effect of the system lives.
//!
//! Each trait's doc is a contract: atomicity, durability, ordering, and what an error means. Each
//! has a public conformance suite in [`conformance`] that every adapter runs, the in-memory ones
//! that inject faults included. What is **not** here: any adapter, any AWS error code.
//!
//! ```text
//!   services (s3, kms, ...)  --call-->  ports  <--implement--  adapters (store, strongroom)
//! ```
//!
//! The storage ports are synchronous: they are called from worker threads, never from an async
//! task. One hop to a worker per request is cheaper than one per read, and it keeps every decision
//! testable without a runtime. Only waiting for durability is a future ([`PendingCommit`]).

mod audit;
mod blob;
mod clock;
pub mod conformance;
mod keys;
mod meta;
mod seal;
mod shred;
mod use_record;

pub use audit::{AuditError, AuditEvent, AuditSink};
pub use blob::{BlobError, BlobReader, BlobStore, BlobWriter};
pub use clock::Clock;
pub use keys::{
    DecryptedDataKey, GeneratedDataKey, KeyAuthority, KeyError, KeyLease, KeyReference, KeyUse,
    LeaseCheck,
};
pub use meta::{
    CommitError, CommitSequence, Committed, Condition, KEY_MAX_BYTES, MetaError, MetaStore,
    PendingCommit, Row, RowVersion, Scan, ScanPage, Stored, TRANSACTION_MAX_BYTES, Table,
    Transaction, VALUE_MAX_BYTES, Write,
};
pub use seal::{Seal, SealError, SealKind};
pub use shred::{ShredError, ShredStore};
pub use strongroom_types::Entropy;
pub use use_record::UseRecord;
