//! Batches: how events are packed, and the hash that chains them.

use std::io::Read as _;

use aws_lc_rs::digest::{Context, SHA256, digest};
use flate2::bufread::DeflateDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use strongroom_rows::Record;

use crate::event::Event;
use crate::limits::BATCH_MAX_BYTES;
use crate::records::{BatchRow, Lane};

const LABEL: &[u8] = b"strongroom audit batch 1";
/// Fast; records are so alike that more effort gains little.
const COMPRESSION_LEVEL: u32 = 2;

/// Entries of a batch under construction.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    events: u32,
    newest_millis: u64,
}

impl Entries {
    /// Adds an event of that time, encoded, if it has room; the first one always has.
    pub(crate) fn push(&mut self, record: &[u8], time_millis: u64) -> bool {
        let len = record.len() + 4;
        if self.events > 0 && self.bytes.len() + len > BATCH_MAX_BYTES {
            return false;
        }
        let Ok(prefix) = u32::try_from(record.len()) else {
            return false;
        };
        self.bytes.extend_from_slice(&prefix.to_be_bytes());
        self.bytes.extend_from_slice(record);
        self.events += 1;
        self.newest_millis = self.newest_millis.max(time_millis);
        true
    }

    /// The batch, and its hash; `None` if it cannot be packed.
    pub(crate) fn into_batch(
        self,
        lane: Lane,
        number: u64,
        previous: [u8; 32],
        packer: &mut Packer,
    ) -> Option<(BatchRow, [u8; 32])> {
        let hash = hash(lane, number, &previous, self.events, &self.bytes);
        let batch = BatchRow {
            number,
            previous,
            events: self.events,
            newest_millis: self.newest_millis,
            len_bytes: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            entries: packer.deflate(&self.bytes)?,
        };
        Some((batch, hash))
    }
}

/// Makes batches smaller. Its state is large, and is used again.
pub(crate) struct Packer(Compress);

impl Packer {
    pub(crate) fn new() -> Self {
        Self(Compress::new(Compression::new(COMPRESSION_LEVEL), false))
    }

    /// All of `bytes`, or nothing: what was packed is removed from where it was.
    fn deflate(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.reset();
        let mut deflated = Vec::new();
        loop {
            // Records shrink to less than that; what does not shrink asks for more.
            deflated.reserve(bytes.len() / 4 + 64);
            let taken = usize::try_from(self.0.total_in()).ok()?;
            let rest = bytes.get(taken..)?;
            let packed = self
                .0
                .compress_vec(rest, &mut deflated, FlushCompress::Finish);
            if packed.ok()? == Status::StreamEnd {
                return Some(deflated);
            }
        }
    }
}

/// What was deflated, if it is so many bytes and nothing is behind it.
fn inflate(deflated: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    let bound = u64::try_from(len).ok()?.checked_add(1)?;
    let mut decoder = DeflateDecoder::new(deflated).take(bound);
    decoder.read_to_end(&mut bytes).ok()?;
    (bytes.len() == len && decoder.into_inner().into_inner().is_empty()).then_some(bytes)
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
    let bytes = entries(batch)?;
    let events = records(&bytes).map(|record| <Event as Record>::decode(record?));
    let events: Vec<Event> = events.collect::<Option<_>>()?;
    if u32::try_from(events.len()) != Ok(batch.events) {
        return None;
    }
    let hash = hash(lane, batch.number, &batch.previous, batch.events, &bytes);
    Some(Unpacked { events, hash })
}

/// The events of a batch at these positions, which rise: the others are passed over.
pub(crate) fn pick(batch: &BatchRow, positions: &[u8]) -> Option<Vec<Event>> {
    let bytes = entries(batch)?;
    let mut positions = positions.iter().map(|it| usize::from(*it)).peekable();
    let mut events = Vec::new();
    for (at, record) in records(&bytes).enumerate() {
        let record = record?;
        if positions.next_if_eq(&at).is_some() {
            events.push(<Event as Record>::decode(record)?);
        }
    }
    Some(events)
}

fn entries(batch: &BatchRow) -> Option<Vec<u8>> {
    let len = usize::try_from(batch.len_bytes).ok()?;
    if len > BATCH_MAX_BYTES {
        return None;
    }
    inflate(&batch.entries, len)
}

/// The encoded events of a batch's entries; `None` last if they are cut off.
fn records(entries: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(entries).filter(|rest| !rest.is_empty());
    std::iter::from_fn(move || {
        let entry = rest.take()?.split_first_chunk::<4>();
        let split = entry.and_then(|(prefix, behind)| {
            let len = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
            behind.split_at_checked(len)
        });
        let Some((record, behind)) = split else {
            return Some(None);
        };
        rest = Some(behind).filter(|rest| !rest.is_empty());
        Some(Some(record))
    })
}
