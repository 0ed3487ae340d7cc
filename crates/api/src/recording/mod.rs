//! The record of every call: one place for all services.
//!
//! ```text
//!   request -> edge -> service -> outcome
//!                |        |          |
//!                |        |          +-- failure, denial, read, use of a key: here, before the answer
//!                |        +-- successful change: by the service, in the transaction of the change
//!                +-- nobody known: counted and sampled
//! ```
//!
//! The operation's row in its service's table says who records its successes ([`Recorded`]). What
//! cannot be recorded is not answered.

mod facts;
mod json;
mod query;
mod s3;
mod s3_call;

pub(crate) use facts::{Facts, KMS_KEY, Named};
pub(crate) use json::{hidden_texts, hidden_texts_of_document, json_parameters, lower_camel};
pub(crate) use query::query_parameters;
pub(crate) use s3::{DeleteError, DeletedEntry, Learned, S3Asked, S3Outcome, shown};
pub(crate) use s3_call::{BucketChange, LatePorts, LateRecord, S3Call};

use std::borrow::Cow;
use std::collections::BTreeSet;

use parking_lot::Mutex;
use strongroom_audit::trails::DataEvents;
use strongroom_audit::{AuditLog, Denials, Event, EventBuilder, EventId, HIDDEN, Noted, Params};
use strongroom_types::{Principal, RequestContext};

use crate::sigv4::Service;

/// Who records the successes of an operation. Its failures are recorded at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// The service, in the transaction of the change, or before it gives what it made.
    InTransaction,
    /// The edge, before the answer.
    AtEdge,
}

/// Records calls. One for all services.
pub struct Recorder {
    log: AuditLog,
    denials: Mutex<Denials>,
    data_events: DataEvents,
}

/// A call could not be recorded, and must not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unrecorded;

/// A call that has ended.
pub(crate) struct Ended<'a> {
    /// Who asked for what, from where.
    pub(crate) context: &'a RequestContext,
    /// The service.
    pub(crate) service: Service,
    /// `eventName`.
    pub(crate) operation: &'a str,
    /// Code and text of the error, as they are told.
    pub(crate) error: Option<(&'static str, Cow<'a, str>)>,
    /// Whether something was changed all the same.
    pub(crate) is_done_in_part: bool,
    /// What came to light.
    pub(crate) facts: Facts,
    /// `requestParameters`, where the context does not have them.
    pub(crate) parameters: Option<Params>,
    /// Whether it is a data event.
    pub(crate) is_data: bool,
}

impl Recorder {
    /// Records in `log`.
    pub fn new(log: AuditLog) -> Self {
        Self {
            log,
            denials: Mutex::default(),
            data_events: DataEvents::default(),
        }
    }

    /// Records the data events that somebody wants as well.
    #[must_use]
    pub fn wanting(mut self, data_events: DataEvents) -> Self {
        self.data_events = data_events;
        self
    }

    /// Whether anybody wants data events.
    pub(crate) fn wants_data(&self) -> bool {
        self.data_events.any()
    }

    /// What is to be recorded of the calls of strangers that were only counted, once a minute, or
    /// when the server stops (`all`). Ask about once a second.
    pub fn summary(&self, all: bool) -> Option<Event> {
        let now = self.log.now();
        let summary = self.denials.lock().summary(now, all)?;
        let home = self.log.home();
        Some(summary.event(home.account, home, &*self.log.rows().entropy))
    }

    /// Makes the record of a call durable. Failures of callers whom nobody knows are counted, and a
    /// few of them recorded, so that nobody can fill the disk.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the answer must be withheld.
    pub(crate) async fn record(&self, ended: Ended<'_>) -> Result<(), Unrecorded> {
        let is_counted = match &ended.error {
            Some((reason, _)) if ended.context.principal == Principal::Anonymous => {
                let (now, source) = (self.log.now(), ended.context.source_ip);
                self.denials.lock().note(source, reason, now) == Noted::Counted
            }
            Some(_) | None => false,
        };
        if !is_counted {
            let events = self.events(ended);
            return self.keep(&events).await;
        }
        if ended.is_done_in_part {
            return self.record_if_wanted(ended).await;
        }
        Ok(())
    }

    /// As [`Recorder::record`], of a data event: if anybody wants it.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the answer must be withheld.
    pub(crate) async fn record_if_wanted(&self, ended: Ended<'_>) -> Result<(), Unrecorded> {
        let mut events = self.events(ended);
        events.retain(|event| self.data_events.take(event));
        if events.is_empty() {
            return Ok(());
        }
        self.keep(&events).await
    }

    async fn keep(&self, events: &[Event]) -> Result<(), Unrecorded> {
        self.log.append(events).await.map(drop).map_err(|error| {
            tracing::error!(%error, "a call cannot be recorded, and is not answered");
            metrics::counter!("strongroom_audit_withheld_answers_total").increment(1);
            Unrecorded
        })
    }

    /// The record, and that of each other account whose key was used.
    fn events(&self, ended: Ended<'_>) -> Vec<Event> {
        let Ended {
            context,
            service,
            operation,
            error,
            is_done_in_part,
            facts,
            parameters,
            is_data,
        } = ended;
        let Facts {
            subjects,
            additional,
            response,
            owner,
        } = facts;
        let mut event =
            EventBuilder::of(context, source(service), operation).additional(additional);
        if let Some(parameters) = &parameters {
            event = event.params(parameters);
        }
        for subject in &subjects {
            event = event.resource(subject.kind, &subject.arn, subject.account);
        }
        if is_data {
            event = event.data();
        }
        if error.is_none() {
            event = event.response(&response);
        }
        if let Some((code, message)) = &error {
            event = event.failed(code, message);
        }
        if error.is_some() && !is_done_in_part {
            // What failed is the caller's affair alone; of nobody's, the owner's.
            let event = match owner.filter(|_| context.principal.acts_in().is_none()) {
                Some(owner) => event.recipient(owner, None),
                None => event,
            };
            return vec![self.log.finish(event)];
        }
        let own = context.principal.account();
        let is_key = |it: &&facts::Subject| it.kind == KMS_KEY;
        let owners = subjects.iter().filter(is_key).filter_map(|it| it.account);
        let others = owners.chain(owner).filter(|it| Some(*it) != own);
        let others: BTreeSet<_> = others.collect();
        let own = match own {
            Some(own) if !others.is_empty() => own,
            Some(_) => return vec![self.log.finish(event)],
            // Whoever is nobody has no trail: it is in the owner's.
            None => {
                let event = match others.first() {
                    Some(owner) => event.recipient(*owner, None),
                    None => event,
                };
                return vec![self.log.finish(event)];
            }
        };
        let shared = EventId::new(self.log.now(), &*self.log.rows().entropy);
        let concerned = std::iter::once(own).chain(others);
        let each = |account| {
            self.log
                .finish(event.clone().recipient(account, Some(shared)))
        };
        concerned.map(each).collect()
    }
}

/// `eventSource`.
fn source(service: Service) -> &'static str {
    match service {
        Service::S3 => "s3.amazonaws.com",
        Service::Kms => "kms.amazonaws.com",
        Service::Iam => "iam.amazonaws.com",
        Service::Sts => "sts.amazonaws.com",
        Service::SecretsManager => "secretsmanager.amazonaws.com",
        Service::CloudTrail => "cloudtrail.amazonaws.com",
        Service::CloudFormation => "cloudformation.amazonaws.com",
    }
}

/// An error's text for the record: as it is told, but for secrets that it repeats.
pub(crate) fn without<'a, T: AsRef<str>>(message: Cow<'a, str>, secrets: &[T]) -> Cow<'a, str> {
    let mut message = message;
    for secret in secrets.iter().map(AsRef::as_ref) {
        if !secret.is_empty() && message.contains(secret) {
            message = message.replace(secret, HIDDEN).into();
        }
    }
    message
}

#[cfg(test)]
mod tests;
