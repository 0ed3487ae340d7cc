//! One stored stream, opened piece by piece into a file.

use std::fs::File;
use std::io::{self, Write};

use strongroom_crypto::{
    BodyKeys, HEADER_MAX_BYTES, ObjectIdentity, PartIdentity, StreamLayout, StreamOpener,
    segment_checksum_ok,
};

use crate::frames::read_at;
use crate::report::Outcome;
use crate::to_u64;

/// Where a stored stream is.
pub(crate) enum Stored {
    InMemory(Vec<u8>),
    /// The start of a file.
    InFile(File),
}

/// Why a stream did not come out.
pub(crate) enum Broken {
    /// What is stored.
    Stored(Outcome),
    /// The output.
    Output(io::Error),
}

impl Stored {
    /// Bytes from `offset` on, as many as there are up to `len`.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::InMemory(stored) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let source = stored.get(from..).unwrap_or_default();
                Ok(source.iter().take(len).copied().collect())
            }
            Self::InFile(file) => read_at(file, offset, len),
        }
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::InMemory(stored) => Ok(to_u64(stored.len())),
            Self::InFile(file) => Ok(file.metadata()?.len()),
        }
    }
}

/// Opens a stream of `size_bytes` of plaintext into `out`. Nothing unverified is written.
pub(crate) fn copy(
    stored: &Stored,
    size_bytes: u64,
    keys: &BodyKeys,
    (object, part): (&ObjectIdentity, Option<PartIdentity>),
    out: &mut dyn Write,
) -> Result<(), Broken> {
    let damaged = || Broken::Stored(Outcome::Damaged);
    let unreadable = |_: io::Error| damaged();
    let header = stored.read(0, HEADER_MAX_BYTES).map_err(unreadable)?;
    let opener = StreamOpener::new(keys, object, part, &header).map_err(|_| damaged())?;
    let layout = opener.layout();
    let count = layout.segment_count(size_bytes);
    let overhead = to_u64(layout.segment_overhead_bytes());
    let mut offset = to_u64(layout.header_len_bytes());
    let mut left = size_bytes;
    for index in 0..count {
        let plain = left.min(to_u64(layout.segment_len_bytes()));
        let len = usize::try_from(plain + overhead).map_err(|_| damaged())?;
        let mut segment = stored.read(offset, len).map_err(unreadable)?;
        let plaintext = opener
            .open_segment(index, index + 1 == count, &mut segment)
            .map_err(|_| damaged())?;
        out.write_all(plaintext).map_err(Broken::Output)?;
        offset += plain + overhead;
        left -= plain;
    }
    Ok(())
}

/// Compares a stream of `size_bytes` of plaintext with its checksums, which need no key.
pub(crate) fn check(stored: &Stored, size_bytes: u64) -> Result<(), Broken> {
    let damaged = || Broken::Stored(Outcome::Damaged);
    let unreadable = |_: io::Error| damaged();
    let header = stored.read(0, HEADER_MAX_BYTES).map_err(unreadable)?;
    let layout = StreamLayout::parse(&header).map_err(|_| damaged())?;
    let overhead = to_u64(layout.segment_overhead_bytes());
    let mut offset = to_u64(layout.header_len_bytes());
    let mut left = size_bytes;
    for _ in 0..layout.segment_count(size_bytes) {
        let plain = left.min(to_u64(layout.segment_len_bytes()));
        let len = usize::try_from(plain + overhead).map_err(|_| damaged())?;
        let segment = stored.read(offset, len).map_err(unreadable)?;
        if segment.len() != len || !segment_checksum_ok(&segment) {
            return Err(damaged());
        }
        offset += to_u64(len);
        left -= plain;
    }
    Ok(())
}
