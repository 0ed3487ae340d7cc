//! Snapshots: the whole index at one moment, sealed, so that older journal files can go.
//!
//! ```text
//! snapshot/00000000000000000042.srs      complete up to commit 42
//! ```
//!
//! A sealed file of the [`frame`](crate::frame) module; its header's number is 0 and its sequence the
//! last commit. Frames hold about 1 MiB of rows, in the order of the index:
//!
//! ```text
//! payload:  row count 4 || row ...
//! row:      path length 2 || version 8 || value length 4 || path (table 1 || key) || value
//! last:     0 (row count) 4 || number of all rows 8
//! ```
//!
//! It is written under `snapshot/new.tmp`, synced, and renamed: under its name it is whole.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_ports::RowVersion;
use strongroom_types::Entropy;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::frame::{
    FILE_HEADER_LEN_BYTES, Fields, FileHeader, FileKind, FrameReader, FrameSealer, NextFrame,
    to_u64,
};
use crate::index::{IndexReader, SnapshotRow};
use crate::keys::StoreKeys;

/// The directory.
pub(crate) const DIRECTORY: &str = "snapshot";
const TEMPORARY: &str = "snapshot/new.tmp";
const FRAME_TARGET_BYTES: usize = 1 << 20;

/// The path of the snapshot that is complete up to `sequence`.
pub(crate) fn path(sequence: u64) -> String {
    format!("{DIRECTORY}/{sequence:020}.srs")
}

/// The newest snapshot: the last commit in it, and its length in bytes.
pub(crate) fn newest(disk: &dyn Disk) -> io::Result<Option<(u64, u64)>> {
    let newest = sequences(disk)?.into_iter().max();
    newest
        .map(|sequence| Ok((sequence, disk.open(&path(sequence))?.len_bytes()?)))
        .transpose()
}

fn sequences(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    Ok(disk
        .list(DIRECTORY)?
        .iter()
        .filter_map(|name| name.strip_suffix(".srs")?.parse().ok())
        .collect())
}

/// Removes what a crash may have left.
pub(crate) fn remove_leftovers(disk: &dyn Disk) -> io::Result<()> {
    if disk.exists(TEMPORARY)? {
        disk.unlink(TEMPORARY)?;
    }
    Ok(())
}

/// Writes a snapshot of `reader`, which is complete up to `sequence`, and removes older ones unless
/// `keeps_older`. Returns its length in bytes.
pub(crate) fn write(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    entropy: &dyn Entropy,
    reader: &IndexReader,
    sequence: u64,
    keeps_older: bool,
) -> Result<u64, StoreError> {
    remove_leftovers(disk)?;
    let written = write_temporary(disk, keys, entropy, reader, sequence);
    if written.is_err() {
        // A full disk gets its space back; what cannot be removed now is removed by the next one.
        let _ = remove_leftovers(disk);
    }
    let len = written?;
    disk.rename(TEMPORARY, &path(sequence))?;
    disk.sync_dir(DIRECTORY)?;
    for older in sequences(disk)? {
        if older < sequence && !keeps_older {
            disk.unlink(&path(older))?;
        }
    }
    Ok(len)
}

fn write_temporary(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    entropy: &dyn Entropy,
    reader: &IndexReader,
    sequence: u64,
) -> Result<u64, StoreError> {
    let header = FileHeader::new(FileKind::Snapshot, 0, sequence, entropy);
    let cipher = keys.snapshot(&header.salt);
    let file = disk.create(TEMPORARY)?;
    file.write_at(0, &header.encode(&cipher))?;
    let mut offset = to_u64(FILE_HEADER_LEN_BYTES);
    let mut sealer = FrameSealer::new(&header, cipher);
    let mut frame = Vec::new();
    let mut finish = |frame: &mut Vec<u8>, count: u32| -> Result<(), StoreError> {
        let place = frame.get_mut(crate::frame::FRAME_HEADER_LEN_BYTES..);
        if let Some(place) = place.and_then(|payload| payload.get_mut(..4)) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        sealer
            .seal(frame)
            .ok_or_else(|| StoreError::Index("a snapshot has too many frames".to_owned()))?;
        file.write_at(offset, frame)?;
        offset += to_u64(frame.len());
        Ok(())
    };
    let mut total = 0_u64;
    let mut count = 0_u32;
    begin(&mut frame);
    let rows = reader
        .all()
        .map_err(|error| StoreError::Index(error.to_string()))?;
    for row in rows {
        let row = row.map_err(|error| StoreError::Index(error.to_string()))?;
        encode(&mut frame, &row)
            .ok_or_else(|| StoreError::Index("a row exceeds the bounds".to_owned()))?;
        count += 1;
        total += 1;
        if frame.len() >= FRAME_TARGET_BYTES {
            finish(&mut frame, count)?;
            begin(&mut frame);
            count = 0;
        }
    }
    if count > 0 {
        finish(&mut frame, count)?;
        begin(&mut frame);
    }
    frame.extend_from_slice(&total.to_be_bytes());
    finish(&mut frame, 0)?;
    file.sync_data()?;
    Ok(offset)
}

fn begin(frame: &mut Vec<u8>) {
    FrameSealer::begin(frame);
    frame.extend_from_slice(&[0; 4]);
}

fn encode(frame: &mut Vec<u8>, row: &SnapshotRow) -> Option<()> {
    let SnapshotRow {
        path,
        version,
        value,
    } = row;
    frame.extend_from_slice(&u16::try_from(path.len()).ok()?.to_be_bytes());
    frame.extend_from_slice(&version.0.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(value.len()).ok()?.to_be_bytes());
    frame.extend_from_slice(path);
    frame.extend_from_slice(value);
    Some(())
}

/// The rows of the snapshot of `sequence`, in order. Ends with an error if any is missing.
pub(crate) fn read(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    sequence: u64,
) -> Result<impl Iterator<Item = Result<SnapshotRow, StoreError>>, StoreError> {
    let name = path(sequence);
    let damaged = |what: &str| StoreError::Damaged(format!("{}: {what}", path(sequence)));
    let file = disk.open(&name)?;
    let mut bytes = [0; FILE_HEADER_LEN_BYTES];
    file.read_at(0, &mut bytes)?;
    let header = FileHeader::parse(FileKind::Snapshot, &bytes)
        .map_err(|_| damaged("the header is not one of a snapshot"))?;
    let cipher = keys.snapshot(&header.salt);
    if !FileHeader::verify(&cipher, &bytes) || header.sequence != sequence {
        return Err(damaged("not sealed with this key, or changed"));
    }
    let frames = FrameReader::new(Arc::clone(&file), name.clone(), &header, cipher)?;
    Ok(SnapshotRows {
        frames,
        name,
        rows: Vec::new().into_iter(),
        seen: 0,
        ended: false,
    })
}

struct SnapshotRows {
    frames: FrameReader,
    name: String,
    rows: std::vec::IntoIter<SnapshotRow>,
    seen: u64,
    ended: bool,
}

impl SnapshotRows {
    /// Reads the next frame; false at the end.
    fn refill(&mut self) -> Result<bool, StoreError> {
        let damaged = |what: &str| StoreError::Damaged(format!("{}: {what}", self.name));
        let NextFrame::Payload(payload) = self.frames.next()? else {
            return Err(damaged("the end is missing"));
        };
        let parsed = parse(payload).ok_or_else(|| damaged("a frame is no list of rows"))?;
        match parsed {
            Parsed::Rows(rows) => {
                self.seen += to_u64(rows.len());
                self.rows = rows.into_iter();
                Ok(true)
            }
            Parsed::End(total) if total == self.seen => Ok(false),
            Parsed::End(_) => Err(damaged("rows are missing")),
        }
    }
}

impl Iterator for SnapshotRows {
    type Item = Result<SnapshotRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            if self.ended {
                return None;
            }
            match self.refill() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

enum Parsed {
    Rows(Vec<SnapshotRow>),
    End(u64),
}

fn parse(payload: Vec<u8>) -> Option<Parsed> {
    let payload = Bytes::from(payload);
    let mut fields = Fields(&payload);
    let count = u32::from_be_bytes(fields.take()?);
    if count == 0 {
        let total = u64::from_be_bytes(fields.take()?);
        return fields.0.is_empty().then_some(Parsed::End(total));
    }
    let mut rows = Vec::new();
    for _ in 0..count {
        let path_len = usize::from(u16::from_be_bytes(fields.take()?));
        let version = RowVersion(u64::from_be_bytes(fields.take()?));
        let value_len = usize::try_from(u32::from_be_bytes(fields.take()?)).ok()?;
        let path = payload.slice_ref(fields.slice(path_len)?);
        let value = payload.slice_ref(fields.slice(value_len)?);
        rows.push(SnapshotRow {
            path,
            version,
            value,
        });
    }
    fields.0.is_empty().then_some(Parsed::Rows(rows))
}
