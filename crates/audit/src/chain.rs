//! Batches: how events are packed, and the hash that chains them.

use aws_lc_rs::digest::{Context, SHA256, digest};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use strongroom_rows::Record;

use crate::event::Event;
use crate::limits::BATCH_MAX_BYTES;
use crate::records::{BatchRow, Lane};

const LABEL: &[u8] = b"strongroom audit batch 1";
/// Fast; records are so alike that more effort gains little.
const COMPRESSION_LEVEL: u8 = 3;

/// Entries of a batch under construction.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    events: u32,
    newest_millis: u64,
}

impl Entries {
    /// Adds an event if it has room; the first one always has.
    pub(crate) fn push(&mut self, event: &Event) -> bool {
        let record = event.encode();
        let len = record.len() + 4;
        if self.events > 0 && self.bytes.len() + len > BATCH_MAX_BYTES {
            return false;
        }
        let Ok(prefix) = u32::try_from(record.len()) else {
            return false;
        };
        self.bytes.extend_from_slice(&prefix.to_be_bytes());
        self.bytes.extend_from_slice(&record);
        self.events += 1;
        self.newest_millis = self.newest_millis.max(event.time_millis);
        true
    }

    /// The batch, and its hash.
    pub(crate) fn into_batch(
        self,
        lane: Lane,
        number: u64,
        previous: [u8; 32],
    ) -> (BatchRow, [u8; 32]) {
        let hash = hash(lane, number, &previous, self.events, &self.bytes);
        let batch = BatchRow {
            number,
            previous,
            events: self.events,
            newest_millis: self.newest_millis,
            len_bytes: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            entries: compress_to_vec(&self.bytes, COMPRESSION_LEVEL),
        };
        (batch, hash)
    }
}

/// ```text
/// SHA-256(label || lane || BE64(number) || previous(32) || BE32(events) || SHA-256(entries))
/// ```
fn hash(lane: Lane, number: u64, previous: &[u8; 32], events: u32, entries: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(LABEL);
    context.update(&[lane.code()]);
    context.update(&number.to_be_bytes());
    context.update(previous);
    context.update(&events.to_be_bytes());
    context.update(digest(&SHA256, entries).as_ref());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// A batch that was unpacked.
pub(crate) struct Unpacked {
    pub events: Vec<Event>,
    /// Over what the batch says and holds; whether it is the right one, the chain says.
    pub hash: [u8; 32],
}

/// Unpacks a batch; `None` if it is not what [`Entries::into_batch`] makes.
pub(crate) fn unpack(lane: Lane, batch: &BatchRow) -> Option<Unpacked> {
    let len = usize::try_from(batch.len_bytes).ok()?;
    // One event may be alone in a batch and as long as a row; nothing is longer.
    let bound = len.min(BATCH_MAX_BYTES * 2);
    let bytes = decompress_to_vec_with_limit(&batch.entries, bound).ok()?;
    if bytes.len() != len {
        return None;
    }
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((prefix, behind)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
        let (record, behind) = behind.split_at_checked(len)?;
        events.push(<Event as Record>::decode(record)?);
        rest = behind;
    }
    if !rest.is_empty() || u32::try_from(events.len()) != Ok(batch.events) {
        return None;
    }
    let hash = hash(lane, batch.number, &batch.previous, batch.events, &bytes);
    Some(Unpacked { events, hash })
}
