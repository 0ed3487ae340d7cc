//! How far a trail has delivered, and what it is about to.

use minicbor::{Decode, Encode};
use strongroom_rows::record_kinds;
use strongroom_types::Timestamp;

use crate::trails::Trail;
use crate::trails::earlier::Earlier;
use crate::trails::signing::SigningKeyRow;
use crate::trails::store::AccountTrailsRow;

/// A trail's progress. Changed only in transactions on the condition that nobody else changed it: that
/// is the fence between two processes that deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TrailState {
    /// The next batch of management events.
    #[n(0)]
    pub management: u64,
    /// The next batch of data events.
    #[n(1)]
    pub data: u64,
    /// Events before are not delivered: when logging was started, in milliseconds.
    #[n(2)]
    pub since_millis: u64,
    /// The digest to come, while there is a chain.
    #[n(3)]
    pub window: Option<Window>,
    /// What is about to be put, or was before a crash.
    #[n(4)]
    pub pending: Option<Pending>,
    /// When events were last looked for, in milliseconds.
    #[n(5)]
    pub flushed_millis: u64,
    /// Logging was stopped at that time, in milliseconds, and the rest has still to be delivered.
    #[n(6)]
    pub stopping_millis: Option<u64>,
    /// The end of the last digest, in milliseconds: no two end in the same second.
    #[n(7)]
    pub last_end_millis: u64,
    /// Failed attempts since the last one that did not.
    #[n(8)]
    pub failures: u32,
    /// Not to be tried before, in milliseconds.
    #[n(9)]
    pub retry_millis: u64,
    /// `LatestDeliveryTime`, in milliseconds.
    #[n(10)]
    pub delivered_millis: Option<u64>,
    /// `LatestDeliveryError`: an S3 error code.
    #[n(11)]
    pub delivery_error: Option<String>,
    /// `LatestDigestDeliveryTime`, in milliseconds.
    #[n(12)]
    pub digest_millis: Option<u64>,
    /// `LatestDigestDeliveryError`: an S3 error code.
    #[n(13)]
    pub digest_error: Option<String>,
    /// `StartLoggingTime`, in milliseconds.
    #[n(14)]
    pub started_millis: Option<u64>,
    /// `StopLoggingTime`, in milliseconds.
    #[n(15)]
    pub stopped_millis: Option<u64>,
    /// The trail was deleted, and goes when the rest is delivered.
    #[n(16)]
    pub deleted: bool,
    /// A log file that is refused, put aside for a digest that is due. It keeps its name: that it was
    /// refused may be what was misheard.
    #[n(17)]
    pub held: Option<Pending>,
    /// What was wanted before, oldest first, while events of that time are still to be delivered.
    #[n(18)]
    #[cbor(default)]
    pub earlier: Vec<Earlier>,
}

/// What the next digest covers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Window {
    /// `digestStartTime`, in milliseconds; whole seconds.
    #[n(0)]
    pub start_millis: u64,
    /// What was delivered since.
    #[n(1)]
    pub files: Vec<Delivered>,
    /// The digest before; none of the first of a chain.
    #[n(2)]
    pub previous: Option<Previous>,
}

impl Window {
    /// Of a chain that begins then.
    pub(crate) fn beginning(millis: u64) -> Self {
        let start = Timestamp::from_seconds(Timestamp::from_millis(millis).as_seconds());
        Self {
            start_millis: start.as_millis(),
            files: Vec::new(),
            previous: None,
        }
    }
}

/// A log file that was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Delivered {
    /// The bucket.
    #[n(0)]
    pub bucket: String,
    /// The key.
    #[n(1)]
    pub key: String,
    /// SHA-256 of the file before compression.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// Time of the oldest event, in milliseconds.
    #[n(3)]
    pub oldest_millis: u64,
    /// Time of the newest event, in milliseconds.
    #[n(4)]
    pub newest_millis: u64,
}

/// The digest before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Previous {
    /// Its bucket.
    #[n(0)]
    pub bucket: String,
    /// Its key.
    #[n(1)]
    pub key: String,
    /// SHA-256 of it before compression.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// Its signature.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

/// An object that is about to be put. With the ledger and the rest of the state it says every byte.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Pending {
    /// A log file.
    #[n(0)]
    File {
        /// The bucket.
        #[n(0)]
        bucket: String,
        /// The key.
        #[n(1)]
        key: String,
        /// The batch of management events behind the last that is in it.
        #[n(2)]
        management_end: u64,
        /// The batch of data events behind the last that is in it.
        #[n(3)]
        data_end: u64,
    },
    /// A digest.
    #[n(1)]
    Digest {
        /// The bucket.
        #[n(0)]
        bucket: String,
        /// The key.
        #[n(1)]
        key: String,
        /// `digestEndTime`, in milliseconds; whole seconds.
        #[n(2)]
        end_millis: u64,
        /// The key pair that signs.
        #[n(3)]
        fingerprint: String,
        /// Whether the chain ends with it.
        #[n(4)]
        last: bool,
    },
}

impl TrailState {
    /// `LatestDeliveryTime`.
    pub fn delivered(&self) -> Option<Timestamp> {
        self.delivered_millis.map(Timestamp::from_millis)
    }

    /// Whether anything is left to deliver: logging is on, or the rest of it is due.
    pub fn is_active(&self, trail: &Trail) -> bool {
        trail.logging
            || self.stopping_millis.is_some()
            || self.pending.is_some()
            || self.held.is_some()
    }

    /// The end of the last digest, also of one that is about to be put, in milliseconds.
    pub(crate) fn last_end(&self) -> u64 {
        match self.pending {
            Some(Pending::Digest { end_millis, .. }) => end_millis.max(self.last_end_millis),
            Some(Pending::File { .. }) | None => self.last_end_millis,
        }
    }

    /// Begins a chain of digests if the trail is to have one and has none; goes on with one that was
    /// about to end.
    pub(crate) fn prove(&mut self, trail: &Trail, at_millis: u64) {
        if !(trail.logging && trail.validation) {
            return;
        }
        if self.window.is_none() {
            self.window = Some(Window::beginning(at_millis));
        } else if let Some(Pending::Digest { last, .. }) = &mut self.pending {
            *last = false;
        }
    }
}

record_kinds! {
    Trail = 100,
    TrailState = 101,
    SigningKeyRow = 102,
    AccountTrailsRow = 103,
}
