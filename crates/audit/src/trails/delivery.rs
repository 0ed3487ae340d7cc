//! Delivery, one step at a time.

use std::sync::Arc;

use strongroom_ports::{CommitError, Transaction};
use strongroom_types::Timestamp;

use crate::TrailError;
use crate::event::cut;
use crate::gzip::gzip;
use crate::limits::{
    DELIVERY_INTERVAL_MILLIS, DIGEST_INTERVAL_MILLIS, DIGEST_MAX_FILES, LAST_ATTEMPTS_MILLIS,
    NAME_MAX_BYTES, RETRY_FIRST_MILLIS, RETRY_LAST_MILLIS, SETTLE_MILLIS,
};
use crate::records::Lane;
use crate::trails::Trail;
use crate::trails::digest::{DIGEST_ALGORITHM, Digest, digest_key};
use crate::trails::log_file::{LogFile, Until, file_key, sha256};
use crate::trails::signing::DigestSigner;
use crate::trails::state::{Pending, Previous, TrailState, Window};
use crate::trails::store::{Stored, Trails};

/// How an object is to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Without a header: as the bucket says.
    BucketDefault,
    /// SSE-S3.
    SseS3,
    /// SSE-KMS under the key of that ARN.
    Kms(String),
}

/// An object to put, by `cloudtrail.amazonaws.com`, with the ACL `bucket-owner-full-control`, the
/// content type `application/json` and the content encoding `gzip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredObject {
    /// For `aws:SourceArn`, and for the encryption context `aws:cloudtrail:arn`.
    pub trail_arn: String,
    /// For `aws:SourceAccount`.
    pub account: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The bytes.
    pub body: Vec<u8>,
    /// How to encrypt it.
    pub encryption: Encryption,
    /// User metadata: names without `x-amz-meta-`, and values.
    pub metadata: Vec<(&'static str, String)>,
}

/// Why an object was not put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeliveryError {
    /// S3's error code, for GetTrailStatus.
    pub code: String,
    /// What it says.
    pub message: String,
}

/// Where objects go.
///
/// Contract: the bucket's policy and the key's policy are asked, as for every caller; `Ok` means that
/// the object is durable. To put the same object again under the same name is no error.
pub trait ObjectSink: Send + Sync {
    /// Puts an object. Blocks.
    ///
    /// # Errors
    ///
    /// [`DeliveryError`].
    fn put(&self, object: DeliveredObject) -> Result<(), DeliveryError>;
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Something; call again.
    Worked,
    /// Nothing is due for any trail.
    Idle,
}

/// Delivers what trails ask for. Any number of processes may run it: the transactions on a trail's state
/// let one of them go on. All methods block: call them from a worker thread.
pub struct Delivery {
    trails: Trails,
    signer: Arc<dyn DigestSigner>,
    sink: Arc<dyn ObjectSink>,
    /// How long events are collected, in milliseconds.
    interval_millis: u64,
}

impl Delivery {
    /// Delivers every five minutes.
    pub fn new(trails: Trails, signer: Arc<dyn DigestSigner>, sink: Arc<dyn ObjectSink>) -> Self {
        Self {
            trails,
            signer,
            sink,
            interval_millis: DELIVERY_INTERVAL_MILLIS,
        }
    }

    /// Delivers more or less often.
    #[must_use]
    pub fn every(mut self, interval_millis: u64) -> Self {
        self.interval_millis = interval_millis;
        self
    }

    /// Does the next thing for each trail: records what to put, or puts what was recorded.
    ///
    /// A trail whose objects are not taken is tried again later, and holds no other up; nor does one
    /// whose rows are damaged.
    ///
    /// # Errors
    ///
    /// [`TrailError`] if the store cannot be read or written. What could be done is done.
    pub fn step(&self, now: Timestamp) -> Result<Stepped, TrailError> {
        let mut worked = Stepped::Idle;
        let mut failed = None;
        for stored in self.trails.each()? {
            match stored.and_then(|stored| self.step_trail(&stored, now)) {
                // A conflict: somebody else is at this trail, an API call or another process.
                Ok(Stepped::Worked) | Err(TrailError::Commit(CommitError::Conflict)) => {
                    worked = Stepped::Worked;
                }
                Ok(Stepped::Idle) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(worked), Err)
    }

    fn step_trail(&self, stored: &Stored, now: Timestamp) -> Result<Stepped, TrailError> {
        let (state, version) = self.trails.state(stored.id)?;
        let Stored { id, trail, .. } = stored;
        let now_millis = now.as_millis();
        // A wait from before the clock was set back is not waited for.
        let waits =
            now_millis < state.retry_millis && state.retry_millis - now_millis <= RETRY_LAST_MILLIS;
        if waits {
            return Ok(Stepped::Idle);
        }
        let mut new = state.clone();
        self.forget_earlier(&mut new, now)?;
        if state.pending.is_some() {
            self.put_pending(trail, &mut new, now)?;
        } else if let Some(plan) = self.plan(trail, &mut new, now)? {
            new.pending = Some(plan);
        } else if state.stopping_millis.is_some() && self.is_flushed(&state, now)? {
            if let Some(window) = &state.window {
                let end = self.early_end(trail, window, now)?;
                new.pending = Some(self.digest(trail, end, true)?);
            } else {
                new.stopping_millis = None;
                new.earlier = Vec::new();
            }
        }
        let given_up = state
            .stopped_millis
            .is_some_and(|stopped| now_millis > stopped.saturating_add(LAST_ATTEMPTS_MILLIS));
        if new.deleted && (given_up || !new.is_active(trail)) {
            self.trails.remove(stored, &new, version)?;
            return Ok(Stepped::Worked);
        }
        if new == state {
            return Ok(Stepped::Idle);
        }
        let failed = new.failures > state.failures;
        let transaction = self
            .trails
            .put_state(Transaction::new(), *id, version, &new);
        self.trails.rows.meta.commit(transaction).wait()?;
        Ok(if failed {
            Stepped::Idle
        } else {
            Stepped::Worked
        })
    }

    /// What is due, if anything is. Also moves the cursor over events that are not this trail's.
    fn plan(
        &self,
        trail: &Trail,
        state: &mut TrailState,
        now: Timestamp,
    ) -> Result<Option<Pending>, TrailError> {
        if !state.is_active(trail) {
            return Ok(None);
        }
        let now_millis = now.as_millis();
        // Before new files: each file belongs to the digest whose hour it is delivered in, and hours
        // of an outage have digests of their own.
        if let Some(window) = &state.window {
            let end = window.start_millis + DIGEST_INTERVAL_MILLIS;
            if now_millis >= end {
                return Ok(Some(self.digest(
                    trail,
                    Timestamp::from_millis(end),
                    false,
                )?));
            }
            if !trail.validation {
                // What was delivered while the chain was to be is proven still.
                let early = self.early_end(trail, window, now)?;
                return Ok(Some(self.digest(trail, early, true)?));
            }
            // The clock was set back: nobody waits until it was an hour after an hour to come.
            let set_back = window.start_millis > now_millis.saturating_add(DIGEST_INTERVAL_MILLIS);
            let is_full = window.files.len() >= DIGEST_MAX_FILES;
            if is_full || (set_back && !window.files.is_empty()) {
                let early = self.early_end(trail, window, now)?;
                if set_back || now_millis >= early.as_millis() {
                    return Ok(Some(self.digest(trail, early, false)?));
                }
                return Ok(None);
            }
        }
        if let Some(held) = state.held.take() {
            return Ok(Some(held));
        }
        let age = now_millis.checked_sub(state.flushed_millis);
        let due = age.is_none_or(|age| age >= self.interval_millis);
        if !due && state.stopping_millis.is_none() {
            return Ok(None);
        }
        let file = LogFile::read(&self.trails.ledger, trail, state, Until::Enough)?;
        if file.is_all && state.stopping_millis.is_none() {
            // What comes while this is put is of the next time: else there is no end of small files.
            state.flushed_millis = now_millis;
        }
        if file.events == 0 {
            state.management = file.management_end;
            state.data = file.data_end;
            return Ok(None);
        }
        Ok(Some(Pending::File {
            bucket: trail.bucket.clone(),
            key: self.new_file_key(trail, now),
            management_end: file.management_end,
            data_end: file.data_end,
        }))
    }

    fn digest(&self, trail: &Trail, end: Timestamp, last: bool) -> Result<Pending, TrailError> {
        Ok(Pending::Digest {
            bucket: trail.bucket.clone(),
            key: digest_key(trail, end),
            end_millis: end.as_millis(),
            fingerprint: self.signer.key_for(end)?,
            last,
        })
    }

    /// The end of a digest that comes before its hour is over: whole seconds, and later than the last
    /// of the trail and of any that had its name, which would be overwritten.
    fn early_end(
        &self,
        trail: &Trail,
        window: &Window,
        now: Timestamp,
    ) -> Result<Timestamp, TrailError> {
        // One that is far ahead is from before the clock was set back.
        let near = now.as_millis().saturating_add(DIGEST_INTERVAL_MILLIS);
        let ends = self.trails.last_ends_of(trail)?;
        let last = ends.into_iter().filter(|end| *end <= near).max();
        let after = window.start_millis.max(last.unwrap_or(0)) + 1000;
        let seconds = now.as_seconds().max(after / 1000);
        Ok(Timestamp::from_seconds(seconds))
    }

    /// Whether all events up to the end of logging have been looked at.
    fn is_flushed(&self, state: &TrailState, now: Timestamp) -> Result<bool, TrailError> {
        let Some(stopped) = state.stopping_millis else {
            return Ok(true);
        };
        let ledger = &self.trails.ledger;
        Ok(self.is_in_ledger(stopped, now)?
            && state.management >= ledger.end(Lane::Management)?.batch
            && state.data >= ledger.end(Lane::Data)?.batch)
    }

    /// Whether all events up to that time have left the spool.
    fn is_in_ledger(&self, millis: u64, now: Timestamp) -> Result<bool, TrailError> {
        let ledger = &self.trails.ledger;
        let settled = now.as_millis() >= millis + SETTLE_MILLIS || now.as_millis() < millis;
        Ok(settled
            && !ledger.has_waiting(Lane::Management, Timestamp::from_millis(millis))?
            && !ledger.has_waiting(Lane::Data, Timestamp::from_millis(millis))?)
    }

    /// Forgets what the trail wanted before, when the events of that time are delivered.
    fn forget_earlier(&self, state: &mut TrailState, now: Timestamp) -> Result<(), TrailError> {
        let ledger = &self.trails.ledger;
        let unknown = state.earlier.iter_mut();
        for earlier in unknown.filter(|it| it.management_end.is_none()) {
            // A time to come is from before the clock was set back: what is recorded now is of later.
            let set_back = now.as_millis() < earlier.until_millis;
            if set_back || self.is_in_ledger(earlier.until_millis, now)? {
                earlier.management_end = Some(ledger.end(Lane::Management)?.batch);
                earlier.data_end = Some(ledger.end(Lane::Data)?.batch);
            }
        }
        state.forget_earlier();
        Ok(())
    }

    /// The same thing at the trail's place of now, if that is another.
    fn at_its_place(&self, trail: &Trail, pending: &Pending, now: Timestamp) -> Option<Pending> {
        let (Pending::File { bucket, key, .. } | Pending::Digest { bucket, key, .. }) = pending;
        if *bucket == trail.bucket && key.starts_with(&format!("{}CloudTrail", trail.root())) {
            return None;
        }
        let bucket = trail.bucket.clone();
        Some(match pending {
            Pending::File {
                bucket: _,
                key: _,
                management_end,
                data_end,
            } => Pending::File {
                bucket,
                key: self.new_file_key(trail, now),
                management_end: *management_end,
                data_end: *data_end,
            },
            Pending::Digest {
                bucket: _,
                key: _,
                end_millis,
                fingerprint,
                last,
            } => Pending::Digest {
                bucket,
                key: digest_key(trail, Timestamp::from_millis(*end_millis)),
                end_millis: *end_millis,
                fingerprint: fingerprint.clone(),
                last: *last,
            },
        })
    }

    /// After a refusal: what was planned for a place that the trail has no more goes to the new one,
    /// and a log file lets a digest that is due go first, which may be taken where it is not.
    fn after_refusal(&self, trail: &Trail, state: &mut TrailState, now: Timestamp) {
        let Some(pending) = &state.pending else {
            return;
        };
        if let Some(moved) = self.at_its_place(trail, pending, now) {
            state.pending = Some(moved);
            state.retry_millis = 0;
            return;
        }
        let is_due = |it: &Window| {
            now.as_millis() >= it.start_millis + DIGEST_INTERVAL_MILLIS || !trail.validation
        };
        if matches!(pending, Pending::File { .. }) && state.window.as_ref().is_some_and(is_due) {
            state.held = state.pending.take();
            state.retry_millis = 0;
        }
    }

    fn new_file_key(&self, trail: &Trail, now: Timestamp) -> String {
        let mut random = [0; 16];
        self.trails.rows.entropy.fill(&mut random);
        file_key(trail, now, random)
    }

    /// Puts what was recorded, and records that it was put or why not.
    fn put_pending(
        &self,
        trail: &Trail,
        state: &mut TrailState,
        now: Timestamp,
    ) -> Result<(), TrailError> {
        let Some(pending) = state.pending.clone() else {
            return Ok(());
        };
        let object = |bucket: &str, key: &str, body, encryption, metadata| DeliveredObject {
            trail_arn: trail.arn(),
            account: trail.account.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            body,
            encryption,
            metadata,
        };
        let under_key = |otherwise| trail.kms_key_arn.clone().map_or(otherwise, Encryption::Kms);
        match pending {
            Pending::File {
                bucket,
                key,
                management_end,
                data_end,
            } => {
                let until = Until::Plan {
                    management: management_end,
                    data: data_end,
                };
                let file = LogFile::read(&self.trails.ledger, trail, state, until)?;
                if file.events == 0 {
                    // The trail takes none of them any more.
                    state.management = management_end;
                    state.data = data_end;
                    state.pending = None;
                    return Ok(());
                }
                let (body, delivered) = file.into_object(&bucket, &key);
                let encryption = under_key(Encryption::BucketDefault);
                let put = self
                    .sink
                    .put(object(&bucket, &key, body, encryption, Vec::new()));
                if !settle(state, put, now, false) {
                    self.after_refusal(trail, state, now);
                    return Ok(());
                }
                state.management = management_end;
                state.data = data_end;
                if let Some(window) = &mut state.window {
                    window.files.push(delivered);
                }
            }
            Pending::Digest {
                bucket,
                key,
                end_millis,
                fingerprint,
                last,
            } => {
                let Some(of) = &state.window else {
                    state.pending = None;
                    return Ok(());
                };
                let digest = Digest {
                    trail,
                    window: of,
                    end: Timestamp::from_millis(end_millis),
                    bucket: &bucket,
                    key: &key,
                    fingerprint: &fingerprint,
                };
                let json = digest.json();
                let text = digest.signing_text(&json);
                let signature = self.signer.sign(&fingerprint, text.as_bytes())?;
                let metadata = vec![
                    ("signature", hex::encode(&signature)),
                    ("signature-algorithm", DIGEST_ALGORITHM.to_owned()),
                ];
                let encryption = if trail.digests_under_key {
                    under_key(Encryption::SseS3)
                } else {
                    Encryption::SseS3
                };
                let body = gzip(&json);
                let put = self
                    .sink
                    .put(object(&bucket, &key, body, encryption, metadata));
                if !settle(state, put, now, true) {
                    self.after_refusal(trail, state, now);
                    return Ok(());
                }
                state.last_end_millis = end_millis;
                state.window = (!last).then(|| Window {
                    start_millis: end_millis,
                    files: Vec::new(),
                    previous: Some(Previous {
                        bucket,
                        key,
                        hash: sha256(&json),
                        signature,
                    }),
                });
            }
        }
        Ok(())
    }
}

/// Notes the outcome of a put. True if it is done.
fn settle(
    state: &mut TrailState,
    put: Result<(), DeliveryError>,
    now: Timestamp,
    digest: bool,
) -> bool {
    let now = now.as_millis();
    let (time, failure) = if digest {
        (&mut state.digest_millis, &mut state.digest_error)
    } else {
        (&mut state.delivered_millis, &mut state.delivery_error)
    };
    match put {
        Ok(()) => {
            *time = Some(now);
            *failure = None;
            state.failures = 0;
            state.retry_millis = 0;
            state.pending = None;
            true
        }
        Err(error) => {
            tracing::warn!(%error, "a trail cannot deliver");
            metrics::counter!("strongroom_trail_delivery_failures_total").increment(1);
            *failure = Some(cut(&error.code, NAME_MAX_BYTES).to_owned());
            let wait = RETRY_FIRST_MILLIS << state.failures.min(8);
            state.failures = state.failures.saturating_add(1);
            state.retry_millis = now.saturating_add(wait.min(RETRY_LAST_MILLIS));
            false
        }
    }
}
