//! What the rows of the trail hold, and under which keys.

use minicbor::{Decode, Encode};
use strongroom_rows::record_kinds;

use crate::event::{Event, EventId};

/// Management and data events are two logs: each has its own batches and its own chain, so that
/// millions of reads of objects can be let go early.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Management events, uses of keys among them.
    Management,
    /// Data events of S3.
    Data,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Management, Self::Data];

    /// `management` or `data`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Data => "data",
        }
    }

    /// Parses [`Lane::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.name() == name)
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Management => 1,
            Self::Data => 2,
        }
    }
}

/// First byte of a spool row's key. Rows of the first format begin with a time, and so with zero.
pub(crate) const SPOOL: u8 = 1;
/// First byte of a head's key; batches begin with their lane.
const HEAD: u8 = 0;

/// `SPOOL || lane || event id(16)`: in order of time.
pub(crate) fn spool_key(lane: Lane, id: EventId) -> Vec<u8> {
    let mut key = vec![SPOOL, lane.code()];
    key.extend_from_slice(id.as_bytes());
    key
}

/// `lane || BE64(number)`.
pub(crate) fn batch_key(lane: Lane, number: u64) -> Vec<u8> {
    let mut key = vec![lane.code()];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// `0 || lane`.
pub(crate) fn head_key(lane: Lane) -> Vec<u8> {
    vec![HEAD, lane.code()]
}

/// A batch of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct BatchRow {
    /// Its place, as in its key.
    #[n(0)]
    pub number: u64,
    /// The hash of the batch before; zeros of the first.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub previous: [u8; 32],
    /// How many events.
    #[n(2)]
    pub events: u32,
    /// Time of the newest event, in milliseconds.
    #[n(3)]
    pub newest_millis: u64,
    /// Length of the entries, in bytes.
    #[n(4)]
    pub len_bytes: u32,
    /// The entries, deflated. Each: `BE32(length) || EventRecord`.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub entries: Vec<u8>,
}

/// Where a lane begins and ends. Changes with every batch, in its transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct HeadRow {
    /// The number of the batch to come.
    #[n(0)]
    pub next: u64,
    /// The hash of the last batch; zeros before the first.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// Events of all batches ever.
    #[n(2)]
    pub events: u64,
    /// The oldest batch that is kept.
    #[n(3)]
    pub first: u64,
    /// The hash of the batch before it.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub before_first: [u8; 32],
    /// Events of the batches before it.
    #[n(5)]
    pub events_before: u64,
}

/// Which events of a batch have an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PostingRow {
    /// The batch.
    #[n(0)]
    pub batch: u64,
    /// The time of the oldest of them, in milliseconds.
    #[n(1)]
    pub oldest_millis: u64,
    /// Their positions, rising.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub positions: Vec<u8>,
}

/// What the first version of the trail kept in the spool, without the two bytes before it.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct FirstFormatRow {
    #[n(0)]
    pub name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub document: Vec<u8>,
}

record_kinds! {
    FirstFormatRow = 0x22,
    Event = 96,
    BatchRow = 97,
    HeadRow = 98,
    PostingRow = 99,
}
