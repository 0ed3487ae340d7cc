//! One stored stream: its segments, piece by piece, by as many workers as are free.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use strongroom_crypto::{StreamLayout, StreamOpener, segment_checksum_ok};

use crate::pace::Pace;
use crate::tally::ModeTally;
use crate::text::{to_u64, to_usize};

/// Segments that a worker takes at a time: 16 MiB of them.
const PIECE_SEGMENTS: u64 = 256;
/// Segments that are read at once: 1 MiB.
const READ_SEGMENTS: u64 = 16;
/// Damaged segments that are told of one stream; a truncated one would tell of all.
const TOLD_MAX: u64 = 8;

/// Where a stored stream is.
#[derive(Clone)]
pub(crate) enum Source {
    /// In a row.
    Memory(Bytes),
    /// The start of a file.
    File(Arc<File>),
}

impl Source {
    /// Bytes from `offset` on, as many as there are up to `len`.
    pub(crate) fn read(&self, pace: &Pace<'_>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(pace, offset, len, &mut bytes)?;
        Ok(bytes)
    }

    /// The same in the place of what is in `bytes`, whose memory is used again.
    fn read_into(
        &self,
        pace: &Pace<'_>,
        offset: u64,
        len: usize,
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Self::Memory(stored) => {
                let from = to_usize(offset).min(stored.len());
                let to = from.saturating_add(len).min(stored.len());
                bytes.clear();
                bytes.extend_from_slice(stored.get(from..to).unwrap_or_default());
            }
            Self::File(file) => {
                bytes.resize(len, 0);
                let filled = pace.read(file, offset, bytes)?;
                bytes.truncate(filled);
            }
        }
        Ok(())
    }

    pub(crate) fn len_bytes(&self) -> io::Result<u64> {
        match self {
            Self::Memory(stored) => Ok(to_u64(stored.len())),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

/// What is wrong with a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) why: String,
    pub(crate) offset: u64,
}

/// A stream whose header has been read.
pub(crate) struct Stream {
    pub(crate) source: Source,
    pub(crate) layout: StreamLayout,
    /// `None`: only checksums are verified.
    pub(crate) opener: Option<StreamOpener>,
    /// Length of its plaintext.
    pub(crate) size_bytes: u64,
    pub(crate) tally: Arc<ModeTally>,
    /// Who is told of damage.
    pub(crate) tell: Box<dyn Fn(Fault) + Send + Sync>,
    next: AtomicU64,
    told: AtomicU64,
}

impl Stream {
    pub(crate) fn new(
        source: Source,
        (layout, opener): (StreamLayout, Option<StreamOpener>),
        size_bytes: u64,
        tally: Arc<ModeTally>,
        tell: Box<dyn Fn(Fault) + Send + Sync>,
    ) -> Self {
        Self {
            source,
            layout,
            opener,
            size_bytes,
            tally,
            tell,
            next: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// How many workers it is worth.
    pub(crate) fn pieces(&self) -> u64 {
        self.layout
            .segment_count(self.size_bytes)
            .div_ceil(PIECE_SEGMENTS)
    }

    /// Verifies pieces until none is left.
    pub(crate) fn verify(&self, pace: &Pace<'_>) {
        let count = self.layout.segment_count(self.size_bytes);
        let mut stored = Vec::new();
        while !pace.is_cancelled() {
            let first = self.next.fetch_add(PIECE_SEGMENTS, Ordering::Relaxed);
            if first >= count {
                return;
            }
            let end = count.min(first + PIECE_SEGMENTS);
            let from = self.offset_of(first);
            let len = self.offset_of(end).saturating_sub(from);
            if let Source::File(file) = &self.source {
                pace.announce(file, from, len);
            }
            let mut at = first;
            while at < end && !pace.is_cancelled() {
                let until = end.min(at + READ_SEGMENTS);
                self.verify_segments(pace, at, until, &mut stored);
                at = until;
            }
            if let Source::File(file) = &self.source {
                pace.release(file, from, len);
            }
        }
    }

    /// Where a segment begins.
    fn offset_of(&self, index: u64) -> u64 {
        to_u64(self.layout.header_len_bytes())
            + index * to_u64(self.layout.stored_segment_len_bytes())
    }

    fn verify_segments(&self, pace: &Pace<'_>, first: u64, end: u64, stored: &mut Vec<u8>) {
        let count = self.layout.segment_count(self.size_bytes);
        let from = self.offset_of(first);
        let to = if end == count {
            self.layout.stored_len_bytes(self.size_bytes)
        } else {
            self.offset_of(end)
        };
        let wanted = to_usize(to - from);
        if let Err(error) = self.source.read_into(pace, from, wanted, stored) {
            return self.fail("unreadable", error.to_string(), from);
        }
        let full = self.layout.stored_segment_len_bytes();
        let mut sound = 0;
        let mut rest = stored.as_mut_slice();
        for index in first..end {
            let is_last = index + 1 == count;
            let len = if is_last {
                to_usize(to - self.offset_of(index))
            } else {
                full
            };
            if rest.len() < len {
                let short = "the stored stream ends before its last segment";
                self.fail("truncated", short.to_owned(), self.offset_of(index));
                break;
            }
            let (segment, behind) = rest.split_at_mut(len);
            rest = behind;
            let is_sound = match &self.opener {
                Some(opener) => opener.open_segment(index, is_last, segment).is_ok(),
                None => segment_checksum_ok(segment),
            };
            if !is_sound {
                let at = self.offset_of(index);
                // It was wiped: read once more, to tell damage from a change that hides itself.
                let again = self.source.read(pace, at, len).unwrap_or_default();
                let why = if segment_checksum_ok(&again) {
                    format!(
                        "segment {index} does not open, though its checksum is right: it was changed, or is another's"
                    )
                } else {
                    format!("segment {index} is damaged")
                };
                self.fail("segment", why, at);
            }
            sound += u64::from(is_sound);
        }
        self.tally.segments(sound, self.opener.is_some());
    }

    fn fail(&self, what: &'static str, why: String, offset: u64) {
        if self.told.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
            (self.tell)(Fault { what, why, offset });
        }
    }
}
