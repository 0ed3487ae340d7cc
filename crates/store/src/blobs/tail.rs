//! Another end for a blob file, in place.
//!
//! ```text
//! start           stream || old tail
//! 1 write, sync   stream || old tail || gap || new tail      whole old tail
//! 2 write, sync   stream || new tail || zeros || new tail    whole new tail, old one overwritten
//! 3 cut, sync     stream || new tail
//! ```
//!
//! What a write that is cut short may leave, the copy made before makes good: at any moment one of
//! the two tails is there whole. Cutting comes last, and after a sync, because blocks that a file
//! gives back keep their bytes, and a page that was never written is dropped with them.

use std::io;

use crate::disk::DiskFile;
use crate::frame::to_u64;

/// Zeros that are written at a time.
const ZEROS: &[u8; 4096] = &[0; 4096];

/// Where it failed.
#[derive(Debug)]
pub(super) enum TailError {
    /// The file is as the port says it is after an error.
    Write(io::Error),
    /// A sync: nothing can be made durable any more.
    Sync(io::Error),
}

/// Puts `tail` in the place of all that is behind `from`.
pub(super) fn replace(file: &dyn DiskFile, from: u64, tail: &[u8]) -> Result<(), TailError> {
    let old_end = file.len_bytes().map_err(TailError::Write)?;
    if from > old_end {
        return Err(TailError::Write(io::ErrorKind::UnexpectedEof.into()));
    }
    let too_large = || TailError::Write(io::ErrorKind::FileTooLarge.into());
    let new_end = from.checked_add(to_u64(tail.len())).ok_or_else(too_large)?;
    let copy_at = old_end.max(new_end);
    if let Err(error) = write(file, copy_at, tail) {
        // A full disk gets back what it gave; the old tail is whole, however this ends.
        let _ = file.set_len(old_end);
        return Err(TailError::Write(error));
    }
    file.sync_data().map_err(TailError::Sync)?;

    write(file, from, tail).map_err(TailError::Write)?;
    let mut at = new_end;
    while at < copy_at {
        let left = usize::try_from(copy_at - at).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..left).unwrap_or(ZEROS);
        write(file, at, zeros).map_err(TailError::Write)?;
        at = at.saturating_add(to_u64(zeros.len()));
    }
    file.sync_data().map_err(TailError::Sync)?;

    file.set_len(new_end).map_err(TailError::Write)?;
    file.sync_data().map_err(TailError::Sync)
}

fn write(file: &dyn DiskFile, at: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    file.write_at(at, bytes)
}
