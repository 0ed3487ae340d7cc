//! The journal: what makes a commit durable.
//!
//! ```text
//! journal/00000001.srj   journal/00000002.srj   ...
//! ```
//!
//! Each file is a sealed file of the [`frame`](crate::frame) module; each frame is one group commit,
//! written by one write and made durable by one sync. Sequences run on from file to file without a
//! gap: a lost file or a lost end of a file shows as a gap. Numbers may skip.
//!
//! A file is only ever appended to by the process that created it: an index is never sealed twice
//! under one salt. After a crash the torn tail of the last file is cut off, and a new file begins.

mod replay;

use std::io;
use std::sync::Arc;

use strongroom_types::Entropy;

pub(crate) use self::replay::{Replayed, check, replay};
use crate::disk::{Disk, DiskFile, is_full};
use crate::frame::{FILE_HEADER_LEN_BYTES, FileHeader, FileKind, FrameSealer, to_u64};
use crate::keys::StoreKeys;

/// The directory.
pub(crate) const DIRECTORY: &str = "journal";

/// How much is filled with zeros at a time: who commits meanwhile waits for it.
const ZEROS_LEN_BYTES: usize = 128 << 10;

/// The path of the file with this number.
pub(crate) fn path(number: u64) -> String {
    format!("{DIRECTORY}/{number:08}.srj")
}

/// A journal file that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    /// Bytes of frames, header included; an upper bound for files that were not read.
    pub(crate) used_bytes: u64,
}

/// Why a frame is not durable.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing was written that could come back; there may be space later.
    NoSpace,
    /// Unknown whether it will come back. Never append again.
    Failed(io::Error),
}

/// The end of the journal.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    keys: Arc<dyn StoreKeys>,
    entropy: Arc<dyn Entropy>,
    segment_len_bytes: u64,
    next_number: u64,
    open: Option<OpenSegment>,
    /// All files, oldest first.
    segments: Vec<Segment>,
}

struct OpenSegment {
    file: Arc<dyn DiskFile>,
    sealer: FrameSealer,
    offset: u64,
    allocated_bytes: u64,
    /// Up to here it has been written to, if only with zeros.
    written_bytes: u64,
}

impl OpenSegment {
    /// Writes a frame behind the others, and zeros behind it from time to time. Space that is only
    /// allocated becomes part of the file with the first write to it, which a sync has to note in the
    /// file system's own records; a sync of what was written before does not.
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.offset + to_u64(frame.len());
        if end > self.written_bytes {
            let zeros_end = (end + to_u64(ZEROS_LEN_BYTES))
                .min(self.allocated_bytes)
                .max(end);
            let len = usize::try_from(zeros_end - self.written_bytes).unwrap_or(ZEROS_LEN_BYTES);
            self.file.write_at(self.written_bytes, &vec![0; len])?;
            self.written_bytes = zeros_end;
        }
        self.file.write_at(self.offset, frame)
    }
}

impl Journal {
    /// A journal that goes on behind `segments`, in a new file.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        keys: Arc<dyn StoreKeys>,
        entropy: Arc<dyn Entropy>,
        segment_len_bytes: u64,
        segments: Vec<Segment>,
        next_number: u64,
    ) -> Self {
        Self {
            disk,
            keys,
            entropy,
            segment_len_bytes,
            next_number,
            open: None,
            segments,
        }
    }

    /// All files, oldest first.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Forgets files that were deleted.
    pub(crate) fn forget(&mut self, deleted: &[u64]) {
        self.segments
            .retain(|segment| !deleted.contains(&segment.number));
    }

    /// Seals the payload that [`FrameSealer::begin`] made room for in `buffer`, writes it and waits
    /// until it is durable. Returns the bytes written.
    pub(crate) fn append(
        &mut self,
        first_sequence: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<u64, AppendError> {
        // Tag and padding.
        let needed = to_u64(buffer.len()) + 32;
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.offset + needed > open.allocated_bytes)
        {
            self.open = Some(self.create(first_sequence, needed)?);
        }
        let Some(open) = &mut self.open else {
            return Err(AppendError::NoSpace);
        };
        if open.sealer.seal(buffer).is_none() {
            let text = "a journal file has too many frames, or a frame too many bytes";
            return Err(AppendError::Failed(io::Error::other(text)));
        }
        if let Err(error) = open.write(buffer) {
            if !is_full(&error) {
                return Err(AppendError::Failed(error));
            }
            // Part of the frame may be there. It is cut off, and the file is given up, since its
            // next index has been used.
            let cut = open.file.set_len(open.offset);
            let cut = cut.and_then(|()| open.file.sync_data());
            self.open = None;
            return Err(cut.map_or_else(AppendError::Failed, |()| AppendError::NoSpace));
        }
        open.file.sync_data().map_err(AppendError::Failed)?;
        let written = to_u64(buffer.len());
        open.offset += written;
        if let Some(segment) = self.segments.last_mut() {
            segment.used_bytes = open.offset;
        }
        Ok(written)
    }

    fn create(&mut self, first_sequence: u64, needed: u64) -> Result<OpenSegment, AppendError> {
        let number = self.next_number;
        // Also if this fails: the name is not tried again.
        self.next_number += 1;
        let header = FileHeader::new(
            FileKind::Journal,
            number,
            first_sequence,
            self.entropy.as_ref(),
        );
        let path = path(number);
        let header_len = to_u64(FILE_HEADER_LEN_BYTES);
        let made = self.disk.create(&path).and_then(|file| {
            let cipher = self.keys.journal(&header.salt);
            let mut allocated = self.segment_len_bytes.max(header_len + needed);
            if let Err(error) = file.allocate(allocated) {
                if !is_full(&error) {
                    return Err(error);
                }
                // A nearly full disk still has room for deletions.
                allocated = header_len + needed;
                file.allocate(allocated)?;
            }
            file.write_at(0, &header.encode(&cipher))?;
            file.sync_data()?;
            self.disk.sync_dir(DIRECTORY)?;
            Ok(OpenSegment {
                file,
                sealer: FrameSealer::new(&header, cipher),
                offset: header_len,
                allocated_bytes: allocated,
                written_bytes: header_len,
            })
        });
        match made {
            Ok(open) => {
                self.segments.push(Segment {
                    number,
                    first_sequence,
                    used_bytes: header_len,
                });
                Ok(open)
            }
            Err(error) if is_full(&error) => {
                // If this fails too, a file without frames stays, which replay passes over.
                let _ = self.disk.unlink(&path);
                Err(AppendError::NoSpace)
            }
            Err(error) => Err(AppendError::Failed(error)),
        }
    }
}
