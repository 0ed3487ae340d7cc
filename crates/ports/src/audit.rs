//! The audit port.

use bytes::Bytes;
use strongroom_types::{RequestId, Timestamp};

use crate::PendingCommit;

/// One event for the trail. The body is a CloudTrail-shaped JSON document without secrets; the
/// fields beside it are what the trail is searched by.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// When it happened.
    pub time: Timestamp,
    /// The request that caused it, if one did.
    pub request_id: Option<RequestId>,
    /// `PutObject`, `RingCreated`, ...
    pub name: &'static str,
    /// The document.
    pub document: Bytes,
}

/// Where events go.
///
/// Contract: an answer that needs its receipt waits for it, and an `Err` receipt means that the
/// answer must not be given (fail closed). Several events of one call are recorded together or not
/// at all. Events that belong to a metadata change travel in its transaction instead
/// (a row of `Table::AUDIT`), in the same group commit.
pub trait AuditSink: Send + Sync {
    /// Records `events`; the receipt resolves when they are durable.
    fn record(&self, events: Vec<AuditEvent>) -> PendingCommit;
}

/// The trail could not take an event.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit trail cannot be written: {0}")]
pub struct AuditError(pub String);
