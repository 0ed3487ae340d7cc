//! Reading the journal back.

use std::sync::Arc;

use strongroom_ports::Write;

use super::{DIRECTORY, Segment, path};
use crate::batch;
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{
    FILE_HEADER_LEN_BYTES, FileHeader, FileKind, FrameReader, HeaderDamage, NextFrame, to_u64,
};
use crate::keys::{FrameCipher, StoreKeys};

/// Where the journal ends.
pub(crate) struct Replayed {
    pub(crate) segments: Vec<Segment>,
    pub(crate) next_number: u64,
    pub(crate) last_sequence: u64,
}

/// Applies every transaction behind `position`, in order, and makes the end clean: a torn tail of
/// the last file is cut off.
///
/// Everything is verified before anything is changed.
pub(crate) fn replay(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    position: u64,
    apply: &mut dyn FnMut(u64, Vec<Write>) -> Result<(), StoreError>,
) -> Result<Replayed, StoreError> {
    let numbers = numbers(disk)?;
    let next_number = numbers.last().map_or(1, |number| number + 1);
    let mut files = Vec::new();
    let mut unborn = Vec::new();
    for number in numbers {
        match open(disk, keys, number)? {
            Some(file) => files.push(file),
            None => unborn.push(number),
        }
    }
    if files.is_empty() && position > 0 {
        return Err(StoreError::Damaged(format!(
            "the index holds commit {position}, but there is no journal"
        )));
    }
    let mut segments = Vec::new();
    let mut expected: Option<u64> = None;
    let mut end = None;
    let count = files.len();
    let firsts: Vec<u64> = files.iter().map(|file| file.header.sequence).collect();
    for (place, file) in files.into_iter().enumerate() {
        let FileHeader {
            number, sequence, ..
        } = file.header;
        let is_last = place + 1 == count;
        let gap = match expected {
            Some(expected) => sequence != expected,
            None => sequence > position + 1,
        };
        if gap {
            return Err(StoreError::Damaged(format!(
                "{} begins with commit {sequence}; the commits before it are missing",
                path(number)
            )));
        }
        let next_first = firsts.get(place + 1).copied();
        if let Some(next_first) = next_first.filter(|next| *next <= position + 1) {
            // All of it is in the index.
            segments.push(Segment {
                number,
                first_sequence: sequence,
                used_bytes: file.file.len_bytes()?,
            });
            expected = Some(next_first);
            continue;
        }
        let mut reader = FrameReader::new(
            Arc::clone(&file.file),
            path(number),
            &file.header,
            file.cipher,
        )?;
        let mut next = sequence;
        let torn = loop {
            let payload = match reader.next()? {
                NextFrame::Payload(payload) => payload,
                NextFrame::End => break false,
                NextFrame::Torn if is_last => break true,
                NextFrame::Torn => {
                    return Err(StoreError::Damaged(format!(
                        "{} at byte {}: a frame is damaged, and later files exist",
                        path(number),
                        reader.offset()
                    )));
                }
            };
            let batch = batch::parse(&payload)
                .filter(|batch| batch.first_sequence == next)
                .ok_or_else(|| {
                    StoreError::Damaged(format!("{}: a frame is out of order", path(number)))
                })?;
            for writes in batch.transactions {
                if next > position {
                    apply(next, writes)?;
                }
                next += 1;
            }
        };
        segments.push(Segment {
            number,
            first_sequence: sequence,
            used_bytes: reader.offset(),
        });
        expected = Some(next);
        if is_last {
            end = Some((file.file, reader.offset(), reader.last_extent(), torn));
        }
    }
    let last_sequence = match expected {
        Some(next) => next - 1,
        None => position,
    };
    if last_sequence < position {
        return Err(StoreError::Damaged(format!(
            "the journal ends at commit {last_sequence}, but the index holds commit {position}"
        )));
    }
    if let Some((file, offset, last_extent, torn)) = end {
        settle(file.as_ref(), offset, last_extent, torn)?;
    }
    for number in unborn {
        disk.unlink(&path(number))?;
    }
    Ok(Replayed {
        segments,
        next_number,
        last_sequence,
    })
}

/// Makes the end of the last file what it will be for ever.
fn settle(
    file: &dyn DiskFile,
    offset: u64,
    last_extent: Option<(u64, usize)>,
    torn: bool,
) -> Result<(), StoreError> {
    if let Some((start, len)) = last_extent {
        // An earlier process may have seen its sync of this frame fail. The kernel then calls the
        // pages clean although they are not on the disk, and no sync would write them again:
        // so they are made dirty once more.
        let mut frame = vec![0; len];
        file.read_at(start, &mut frame)?;
        file.write_at(start, &frame)?;
    }
    if torn {
        file.set_len(offset)?;
    }
    file.sync_data()?;
    Ok(())
}

struct Found {
    file: Arc<dyn DiskFile>,
    header: FileHeader,
    cipher: FrameCipher,
}

fn numbers(disk: &dyn Disk) -> Result<Vec<u64>, StoreError> {
    let mut numbers: Vec<u64> = disk
        .list(DIRECTORY)?
        .iter()
        .filter_map(|name| name.strip_suffix(".srj")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens a file and checks its header. `None` for a file whose header never became durable: no
/// frame can be in it.
fn open(disk: &dyn Disk, keys: &dyn StoreKeys, number: u64) -> Result<Option<Found>, StoreError> {
    let name = path(number);
    let file = disk.open(&name)?;
    let mut bytes = [0; FILE_HEADER_LEN_BYTES];
    if file.len_bytes()? < to_u64(bytes.len()) {
        return Ok(None);
    }
    file.read_at(0, &mut bytes)?;
    let damaged = |what: &str| StoreError::Damaged(format!("{name}: {what}"));
    let header = match FileHeader::parse(FileKind::Journal, &bytes) {
        Ok(header) => header,
        Err(HeaderDamage::Version) => {
            return Err(damaged("not a journal of a version that can be read"));
        }
        Err(HeaderDamage::Checksum) => {
            return if is_unborn(file.as_ref(), &bytes)? {
                Ok(None)
            } else {
                Err(damaged("the header does not match its checksum"))
            };
        }
    };
    let cipher = keys.journal(&header.salt);
    if !FileHeader::verify(&cipher, &bytes) {
        return if is_unborn(file.as_ref(), &bytes)? {
            Ok(None)
        } else {
            Err(damaged("not sealed with this key, or changed"))
        };
    }
    if header.number != number {
        return Err(damaged("the file has another file's name"));
    }
    Ok(Some(Found {
        file,
        header,
        cipher,
    }))
}

/// Whether the header's write was cut short: it ends with zeros, and so does the file behind it.
fn is_unborn(
    file: &dyn DiskFile,
    header: &[u8; FILE_HEADER_LEN_BYTES],
) -> Result<bool, StoreError> {
    if !header.ends_with(&[0]) {
        return Ok(false);
    }
    let len = file.len_bytes()?;
    let mut offset = to_u64(header.len());
    let mut buffer = vec![0; 256 << 10];
    while offset < len {
        let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
        let end = left.min(buffer.len());
        let Some(chunk) = buffer.get_mut(..end) else {
            break;
        };
        file.read_at(offset, chunk)?;
        if chunk.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += to_u64(end);
    }
    Ok(true)
}
