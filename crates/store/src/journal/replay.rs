//! Reading the journal back.

use std::sync::Arc;

use strongroom_ports::Write;

use super::{DIRECTORY, Segment, path};
use crate::batch::{self, Batch};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::frame::{
    FILE_HEADER_LEN_BYTES, FileHeader, FileKind, FrameReader, HeaderDamage, NextFrame, to_u64,
};
use crate::keys::StoreKeys;

/// Where the journal ends.
pub(crate) struct Replayed {
    pub(crate) segments: Vec<Segment>,
    pub(crate) next_number: u64,
    pub(crate) last_sequence: u64,
}

/// What is done with the transactions behind a position, in order.
pub(crate) type Apply<'a> = dyn FnMut(u64, Vec<Write>) -> Result<(), StoreError> + 'a;

/// Applies every transaction behind `position`, in order, and makes the end clean: a torn tail of
/// the last file is cut off. Files up to the one that holds the commit behind `covered` are
/// deleted: a snapshot replaces them.
pub(crate) fn replay(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    covered: u64,
    position: u64,
    apply: &mut Apply<'_>,
) -> Result<Replayed, StoreError> {
    let mut found = find(disk, keys, covered)?;
    // The last batch waits: it may not be anywhere else before it is durable here.
    let mut waiting: Option<Batch> = None;
    let walked = walk(
        &found.needed,
        position,
        &mut |batch| match waiting.replace(batch) {
            Some(batch) => apply_batch(batch, position, apply),
            None => Ok(()),
        },
    )?;
    if let Some(end) = walked.end {
        settle(&end)?;
    }
    if let Some(batch) = waiting {
        apply_batch(batch, position, apply)?;
    }
    for number in found.useless.drain(..) {
        disk.unlink(&path(number))?;
    }
    Ok(Replayed {
        segments: walked.segments,
        next_number: found.next_number,
        last_sequence: walked.last_sequence,
    })
}

/// Reads the whole journal behind `covered` and changes nothing.
pub(crate) fn check(disk: &dyn Disk, keys: &dyn StoreKeys, covered: u64) -> Result<(), StoreError> {
    let found = find(disk, keys, covered)?;
    walk(&found.needed, covered, &mut |_| Ok(()))?;
    Ok(())
}

fn apply_batch(batch: Batch, position: u64, apply: &mut Apply<'_>) -> Result<(), StoreError> {
    for (sequence, writes) in (batch.first_sequence..).zip(batch.transactions) {
        if sequence > position {
            apply(sequence, writes)?;
        }
    }
    Ok(())
}

/// The files of the journal.
struct Files<'a> {
    needed: Vec<Found<'a>>,
    /// Files without frames, and files that a snapshot replaces.
    useless: Vec<u64>,
    next_number: u64,
}

fn find<'a>(
    disk: &dyn Disk,
    keys: &'a dyn StoreKeys,
    covered: u64,
) -> Result<Files<'a>, StoreError> {
    let numbers = numbers(disk)?;
    let next_number = numbers.last().map_or(1, |number| number + 1);
    let mut files = Vec::new();
    let mut useless = Vec::new();
    for number in numbers {
        match open(disk, keys, number)? {
            Some(file) => files.push(file),
            None => useless.push(number),
        }
    }
    // A crash while covered files were deleted may have left any of them.
    let first_needed = files
        .iter()
        .rposition(|file| file.header.sequence <= covered + 1)
        .unwrap_or(0);
    useless.extend(files.drain(..first_needed).map(|file| file.header.number));
    Ok(Files {
        needed: files,
        useless,
        next_number,
    })
}

/// What was found on the way.
struct Walked {
    segments: Vec<Segment>,
    last_sequence: u64,
    end: Option<End>,
}

/// The end of the last file.
struct End {
    file: Arc<dyn DiskFile>,
    offset: u64,
    last_extent: Option<(u64, usize)>,
    torn: bool,
}

fn walk(
    files: &[Found<'_>],
    position: u64,
    each: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<Walked, StoreError> {
    if files.is_empty() && position > 0 {
        return Err(StoreError::Damaged(format!(
            "there is no journal, but commit {position} was made"
        )));
    }
    let mut walked = Walked {
        segments: Vec::new(),
        last_sequence: position,
        end: None,
    };
    let mut expected: Option<u64> = None;
    let nexts = files.iter().skip(1).map(Some).chain([None]);
    for (file, next_file) in files.iter().zip(nexts) {
        let FileHeader {
            number, sequence, ..
        } = file.header;
        let gap = match expected {
            Some(expected) => sequence != expected,
            None => sequence > position + 1,
        };
        if gap {
            return Err(StoreError::Damaged(format!(
                "{} begins with commit {sequence}; commits before it are missing",
                path(number)
            )));
        }
        let mut segment = Segment {
            number,
            first_sequence: sequence,
            used_bytes: 0,
        };
        let next = match next_file.map(|next| next.header.sequence) {
            // All of it is in the index.
            Some(next) if next <= position + 1 => {
                segment.used_bytes = file.file.len_bytes()?;
                next
            }
            _ => {
                let (next, end) = walk_file(file, next_file.is_none(), each)?;
                segment.used_bytes = end.offset;
                walked.end = next_file.is_none().then_some(end);
                next
            }
        };
        walked.segments.push(segment);
        expected = Some(next);
    }
    if let Some(next) = expected {
        walked.last_sequence = next - 1;
    }
    if walked.last_sequence < position {
        return Err(StoreError::Damaged(format!(
            "the journal ends at commit {}, but commit {position} was made",
            walked.last_sequence
        )));
    }
    Ok(walked)
}

/// Reads one file; returns the sequence behind it, and where it ends.
fn walk_file(
    found: &Found<'_>,
    is_last: bool,
    each: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(u64, End), StoreError> {
    let name = path(found.header.number);
    let mut reader = FrameReader::new(
        Arc::clone(&found.file),
        name.clone(),
        &found.header,
        found.keys.journal(&found.header.salt),
    )?;
    let mut next = found.header.sequence;
    let torn = loop {
        let payload = match reader.next()? {
            NextFrame::Payload(payload) => payload,
            NextFrame::End => break false,
            NextFrame::Torn if is_last => break true,
            NextFrame::Torn => {
                return Err(StoreError::Damaged(format!(
                    "{name} at byte {}: a frame is damaged, and later files exist",
                    reader.offset()
                )));
            }
        };
        let batch = batch::parse(&payload)
            .filter(|batch| batch.first_sequence == next)
            .ok_or_else(|| StoreError::Damaged(format!("{name}: a frame is out of order")))?;
        next += to_u64(batch.transactions.len());
        each(batch)?;
    };
    let end = End {
        file: Arc::clone(&found.file),
        offset: reader.offset(),
        last_extent: reader.last_extent(),
        torn,
    };
    Ok((next, end))
}

/// Makes the end of the last file what it will be for ever.
fn settle(end: &End) -> Result<(), StoreError> {
    let End {
        file,
        offset,
        last_extent,
        torn,
    } = end;
    // An earlier process may have seen its sync of this frame fail. The kernel then calls the pages
    // clean although they are not on the disk, and no sync would write them again: so they are made
    // dirty once more. Of a file without frames that may be the header, because of which the files
    // before it will be deleted.
    let (start, len) = last_extent.unwrap_or((0, FILE_HEADER_LEN_BYTES));
    let mut written = vec![0; len];
    file.read_at(start, &mut written)?;
    file.write_at(start, &written)?;
    if *torn {
        file.set_len(*offset)?;
    }
    file.sync_data()?;
    Ok(())
}

struct Found<'a> {
    file: Arc<dyn DiskFile>,
    header: FileHeader,
    keys: &'a dyn StoreKeys,
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
fn open<'a>(
    disk: &dyn Disk,
    keys: &'a dyn StoreKeys,
    number: u64,
) -> Result<Option<Found<'a>>, StoreError> {
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
    Ok(Some(Found { file, header, keys }))
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
