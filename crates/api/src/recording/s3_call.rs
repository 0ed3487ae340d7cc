//! Records of S3 that are not made where an answer's head is: that of a change of a bucket, which is
//! in the transaction of the change, and that of an answer that began before its end was known.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use strongroom_ports::{Clock, Transaction};
use strongroom_s3::{ChangeRecord, S3};
use strongroom_types::{AccountId, RequestContext};

use super::s3::ErrorTold;
use super::{Learned, Recorder, S3Asked, S3Outcome, Unrecorded};
use crate::access_log::AccessLog;
use crate::error::{ErrorPlace, Failure};
use crate::s3::{AuthType, One, Route, owner_of};
use crate::server::ConnectionInfo;
use crate::sigv4::uri::Query;

/// A call of S3, without its outcome.
pub(crate) struct S3Call {
    /// The operation.
    pub(crate) route: &'static Route,
    /// Who asked.
    pub(crate) context: Arc<RequestContext>,
    /// Through what.
    pub(crate) connection: ConnectionInfo,
    /// The head of the request.
    pub(crate) parts: Arc<Parts>,
    /// Its query.
    pub(crate) query: Arc<Query>,
    /// What it is addressed to.
    pub(crate) place: ErrorPlace,
    /// How it was signed.
    pub(crate) auth_type: AuthType,
    /// What its handler learns.
    pub(crate) learned: Option<Arc<Learned>>,
}

impl S3Call {
    /// The outcome of a call that was answered with 200 or 204.
    fn outcome<'a>(
        &'a self,
        answered: &'a HeaderMap,
        error: Option<ErrorTold<'a>>,
        length_bytes: Option<u64>,
    ) -> S3Outcome<'a> {
        S3Outcome {
            asked: S3Asked {
                context: &self.context,
                connection: &self.connection,
                parts: &self.parts,
                query: &self.query,
                bucket: &self.place.bucket,
                key: self.place.key(),
                auth_type: self.auth_type,
                host_id: &self.place.host_id,
            },
            route: self.route,
            learned: self.learned.as_deref(),
            owner: None,
            error,
            status: StatusCode::OK,
            answered,
            length_bytes,
        }
    }
}

/// The record of a call that changes a bucket, for the transaction of the change. The answers to all
/// of them are empty, so that nothing of them is missing in a record that is made before.
pub(crate) struct BucketChange {
    call: S3Call,
    recorder: Arc<Recorder>,
    is_kept: AtomicBool,
}

impl BucketChange {
    /// The record of `call`, not kept yet.
    pub(crate) fn new(call: S3Call, recorder: Arc<Recorder>) -> Self {
        Self {
            call,
            recorder,
            is_kept: AtomicBool::new(false),
        }
    }

    /// Whether it is durable. It is not where the call changed nothing: making one's bucket again, or
    /// removing what was never there. Then it is recorded at the edge.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }
}

impl ChangeRecord for BucketChange {
    fn add(&self, transaction: Transaction, owner: AccountId) -> Transaction {
        let answered = HeaderMap::new();
        let outcome = S3Outcome {
            owner: Some(owner),
            ..self.call.outcome(&answered, None, Some(0))
        };
        self.recorder.add_s3(transaction, &outcome)
    }

    fn kept(&self) {
        self.is_kept.store(true, Ordering::Release);
    }
}

impl fmt::Debug for BucketChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketChange({})", self.call.route.name)
    }
}

/// What the record of a late end needs.
pub(crate) struct LatePorts {
    /// The service, which knows whose buckets are.
    pub(crate) s3: Arc<S3>,
    /// The trail.
    pub(crate) recorder: Arc<Recorder>,
    /// The access log.
    pub(crate) access_log: Arc<AccessLog>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The record of a call whose answer may begin before its end is known; and its line in the access
/// log.
pub(crate) struct LateRecord {
    call: S3Call,
    ports: LatePorts,
    began: Duration,
    is_late: AtomicBool,
    /// The server waits for it when it stops.
    _running: One,
}

impl LateRecord {
    /// The record of `call`, which is being answered since `began`.
    pub(crate) fn new(call: S3Call, ports: LatePorts, began: Duration, running: One) -> Self {
        Self {
            call,
            ports,
            began,
            is_late: AtomicBool::new(false),
            _running: running,
        }
    }

    /// The answer begins now: the call is recorded at its end, and nowhere else.
    pub(crate) fn begin(&self) {
        self.is_late.store(true, Ordering::Release);
    }

    /// Whether the answer began before the end was known.
    pub(crate) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Acquire)
    }

    /// Records how the call ended: with these headers, which nobody gets any more, or with this error.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the end must be withheld.
    pub(crate) async fn end(
        &self,
        outcome: Result<&HeaderMap, &Failure>,
    ) -> Result<(), Unrecorded> {
        let LatePorts {
            s3,
            recorder,
            access_log,
            clock,
        } = &self.ports;
        let none = HeaderMap::new();
        let (mut error, mut owner) = (None, None);
        if let Err(failure) = outcome {
            let answer = failure.answer(&self.call.place);
            // Who was not let in learned nothing.
            if answer.status == StatusCode::FORBIDDEN.as_u16() {
                owner = owner_of(s3, &self.call.place.bucket).await;
            }
            error = Some((answer.code, answer.message));
        }
        let outcome = S3Outcome {
            owner,
            ..self.call.outcome(outcome.unwrap_or(&none), error, None)
        };
        if access_log.is_on() {
            let took = clock.monotonic().saturating_sub(self.began);
            access_log.note(&outcome, took);
        }
        recorder.record_s3(outcome).await
    }
}
