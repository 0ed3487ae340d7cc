//! Sealed files: a header and a row of frames. The journal and the snapshots are made of them.
//!
//! All integers are big-endian.
//!
//! ```text
//! header (80):  magic 4 || version 2 || zero 2 || number 8 || sequence 8 || salt 32
//!               || CRC-32C of the 56 bytes before 4 || zero 4 || tag 16
//! frame:        length 4 || CRC-32C of the sealed payload 4 || index 4 || CRC-32C of the 12 bytes before 4
//!               || sealed payload (length bytes: ciphertext || tag 16) || zeros to a multiple of 16
//! ```
//!
//! The header's tag is the seal of an empty payload with index 0 and the 64 bytes before it as
//! associated data: it tells a wrong key from an empty file. Frames count from 1; their associated
//! data is `magic || number || sequence`, so that no frame opens at another place or in another file.
//! Frame headers are 16 bytes at multiples of 16: a sector holds all of one or nothing.

use std::sync::Arc;

use strongroom_types::Entropy;

use crate::disk::DiskFile;
use crate::error::StoreError;
use strongroom_crypto::FrameCipher;

/// Length of a file's header.
pub(crate) const FILE_HEADER_LEN_BYTES: usize = 80;
/// Length of a frame's header.
pub(crate) const FRAME_HEADER_LEN_BYTES: usize = 16;
/// Longest sealed payload of a frame. Longer ones are never written.
pub(crate) const FRAME_MAX_BYTES: usize = 64 << 20;

const CHECKED_LEN_BYTES: usize = 56;
const SEALED_LEN_BYTES: usize = 64;
const TAG_LEN_BYTES: usize = 16;
const VERSION: u16 = 1;
const SECTOR_LEN_BYTES: usize = 512;

/// Which kind of sealed file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    Journal,
    Snapshot,
}

impl FileKind {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Journal => *b"SRJ1",
            Self::Snapshot => *b"SRS1",
        }
    }
}

/// CRC-32C (Castagnoli), as in iSCSI.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum & u64::from(u32::MAX)).unwrap_or(0)
}

/// What a sealed file's header says.
#[derive(Clone, Debug)]
pub(crate) struct FileHeader {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) salt: [u8; 32],
}

impl FileHeader {
    /// A header with a fresh salt: a new file never shares a frame key with another one.
    pub(crate) fn new(kind: FileKind, number: u64, sequence: u64, entropy: &dyn Entropy) -> Self {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        Self {
            kind,
            number,
            sequence,
            salt,
        }
    }

    /// The bytes in front of the first frame.
    pub(crate) fn encode(&self, cipher: &FrameCipher) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_HEADER_LEN_BYTES);
        bytes.extend_from_slice(&self.kind.magic());
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        let sum = crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let aad = bytes.clone();
        cipher.seal(0, &aad, &mut bytes, SEALED_LEN_BYTES);
        bytes
    }

    /// Parses the fields; the tag is checked by [`FileHeader::verify`].
    pub(crate) fn parse(
        kind: FileKind,
        bytes: &[u8; FILE_HEADER_LEN_BYTES],
    ) -> Result<Self, HeaderDamage> {
        let (checked, rest) = bytes.split_at(CHECKED_LEN_BYTES);
        let stored_sum = rest.first_chunk().map(|sum| u32::from_be_bytes(*sum));
        if stored_sum != Some(crc32c(checked)) || rest.get(4..8) != Some(&[0; 4]) {
            return Err(HeaderDamage::Checksum);
        }
        let mut fields = Fields(checked);
        let magic: [u8; 4] = fields.take().ok_or(HeaderDamage::Checksum)?;
        let version = u16::from_be_bytes(fields.take().ok_or(HeaderDamage::Checksum)?);
        let zero: [u8; 2] = fields.take().ok_or(HeaderDamage::Checksum)?;
        if magic != kind.magic() || version != VERSION || zero != [0; 2] {
            return Err(HeaderDamage::Version);
        }
        Ok(Self {
            kind,
            number: u64::from_be_bytes(fields.take().ok_or(HeaderDamage::Checksum)?),
            sequence: u64::from_be_bytes(fields.take().ok_or(HeaderDamage::Checksum)?),
            salt: fields.take().ok_or(HeaderDamage::Checksum)?,
        })
    }

    /// Whether the header was sealed with this key.
    pub(crate) fn verify(cipher: &FrameCipher, bytes: &[u8; FILE_HEADER_LEN_BYTES]) -> bool {
        let (aad, tag) = bytes.split_at(SEALED_LEN_BYTES);
        let mut tag = tag.to_vec();
        cipher.open(0, aad, &mut tag).is_ok()
    }

    fn aad(&self) -> [u8; 20] {
        let mut aad = [0; 20];
        let (magic, rest) = aad.split_at_mut(4);
        let (number, sequence) = rest.split_at_mut(8);
        magic.copy_from_slice(&self.kind.magic());
        number.copy_from_slice(&self.number.to_be_bytes());
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        aad
    }
}

/// What is wrong with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderDamage {
    /// It was never written whole, or was changed.
    Checksum,
    /// It is whole, and of a file that this version does not read.
    Version,
}

/// Takes fields off the front of a buffer.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }
}

/// Seals frames of one file, in order. An index is never used twice under one salt: a frame that
/// could not be written is not written again, its file is given up.
pub(crate) struct FrameSealer {
    cipher: FrameCipher,
    aad: [u8; 20],
    next_index: u32,
}

impl FrameSealer {
    pub(crate) fn new(header: &FileHeader, cipher: FrameCipher) -> Self {
        Self {
            cipher,
            aad: header.aad(),
            next_index: 1,
        }
    }

    /// Empties `buffer` and leaves room for the frame's header. The payload goes behind it.
    pub(crate) fn begin(buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.resize(FRAME_HEADER_LEN_BYTES, 0);
    }

    /// Seals the payload in place; `buffer` is then a whole frame. `None` when the file has no
    /// further frame: begin another file.
    pub(crate) fn seal(&mut self, buffer: &mut Vec<u8>) -> Option<()> {
        let index = self.next_index;
        self.next_index = index.checked_add(1)?;
        self.cipher
            .seal(u64::from(index), &self.aad, buffer, FRAME_HEADER_LEN_BYTES);
        let (header, payload) = buffer.split_first_chunk_mut::<FRAME_HEADER_LEN_BYTES>()?;
        let len = u32::try_from(payload.len()).ok()?;
        *header = encode_frame_header(len, crc32c(payload), index);
        buffer.resize(buffer.len().next_multiple_of(FRAME_HEADER_LEN_BYTES), 0);
        Some(())
    }
}

fn encode_frame_header(len: u32, sum: u32, index: u32) -> [u8; FRAME_HEADER_LEN_BYTES] {
    let mut checked = [0; 12];
    for (place, field) in checked.chunks_exact_mut(4).zip([len, sum, index]) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    let mut header = [0; FRAME_HEADER_LEN_BYTES];
    let (front, back) = header.split_at_mut(12);
    front.copy_from_slice(&checked);
    back.copy_from_slice(&crc32c(&checked).to_be_bytes());
    header
}

/// A frame header that was read.
enum FrameHeader {
    Empty,
    Whole { len: usize, sum: u32, index: u32 },
    Damaged,
}

fn parse_frame_header(bytes: &[u8; FRAME_HEADER_LEN_BYTES]) -> FrameHeader {
    if bytes == &[0; FRAME_HEADER_LEN_BYTES] {
        return FrameHeader::Empty;
    }
    let mut fields = Fields(bytes);
    let mut next = || fields.take().map(u32::from_be_bytes);
    let (Some(len), Some(sum), Some(index), Some(header_sum)) = (next(), next(), next(), next())
    else {
        return FrameHeader::Damaged;
    };
    let checked = bytes.split_at(12).0;
    match usize::try_from(len) {
        Ok(len)
            if header_sum == crc32c(checked)
                && (TAG_LEN_BYTES..=FRAME_MAX_BYTES).contains(&len) =>
        {
            FrameHeader::Whole { len, sum, index }
        }
        _ => FrameHeader::Damaged,
    }
}

/// Reads the frames of one file, in order.
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    name: String,
    cipher: FrameCipher,
    aad: [u8; 20],
    next_index: u32,
    offset: u64,
    len_bytes: u64,
    last: Option<(u64, usize)>,
}

/// What follows in a file.
pub(crate) enum NextFrame {
    /// A frame's payload.
    Payload(Vec<u8>),
    /// The file ends here, cleanly.
    End,
    /// A write that was cut short by a crash: the frame that begins here was never acknowledged.
    Torn,
}

impl FrameReader {
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        name: String,
        header: &FileHeader,
        cipher: FrameCipher,
    ) -> Result<Self, StoreError> {
        let len_bytes = file.len_bytes()?;
        Ok(Self {
            file,
            name,
            cipher,
            aad: header.aad(),
            next_index: 1,
            offset: to_u64(FILE_HEADER_LEN_BYTES),
            len_bytes,
            last: None,
        })
    }

    /// Where the next frame begins.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset and length of the last frame that was read.
    pub(crate) const fn last_extent(&self) -> Option<(u64, usize)> {
        self.last
    }

    /// Reads and opens the next frame.
    ///
    /// A frame that does not verify is `Torn` only if it can be nothing else: no later frame
    /// exists, and part of it still is the zeros that were there before. Anything else is damage.
    pub(crate) fn next(&mut self) -> Result<NextFrame, StoreError> {
        let left = self.len_bytes.saturating_sub(self.offset);
        if left < to_u64(FRAME_HEADER_LEN_BYTES) {
            return self.torn_or_end(left);
        }
        let mut header = [0; FRAME_HEADER_LEN_BYTES];
        self.file.read_at(self.offset, &mut header)?;
        let (len, sum, index) = match parse_frame_header(&header) {
            FrameHeader::Empty => return self.torn_or_end(left),
            FrameHeader::Damaged => {
                let behind = self.offset + to_u64(FRAME_HEADER_LEN_BYTES);
                return if header.ends_with(&[0]) && self.is_zero_from(behind)? {
                    Ok(NextFrame::Torn)
                } else {
                    Err(self.damaged("a frame header does not verify"))
                };
            }
            FrameHeader::Whole { len, sum, index } => (len, sum, index),
        };
        if index != self.next_index {
            return Err(self.damaged("a frame is out of order"));
        }
        let extent = (FRAME_HEADER_LEN_BYTES + len).next_multiple_of(FRAME_HEADER_LEN_BYTES);
        let present = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(FRAME_HEADER_LEN_BYTES + len);
        let mut payload = vec![0; present - FRAME_HEADER_LEN_BYTES];
        self.file
            .read_at(self.offset + to_u64(FRAME_HEADER_LEN_BYTES), &mut payload)?;
        if payload.len() < len || crc32c(&payload) != sum {
            let cut = payload.len() < len || self.has_unwritten_part(&payload);
            return if cut && !self.has_later_frame()? {
                Ok(NextFrame::Torn)
            } else {
                Err(self.damaged("a frame does not match its checksum"))
            };
        }
        let opened = self
            .cipher
            .open(u64::from(index), &self.aad, &mut payload)
            .map(|plaintext| plaintext.len());
        let Ok(plaintext_len) = opened else {
            return Err(self.damaged("a frame was not sealed with this key, or was changed"));
        };
        payload.truncate(plaintext_len);
        self.last = Some((self.offset, extent));
        self.offset += to_u64(extent);
        self.next_index = self.next_index.saturating_add(1);
        Ok(NextFrame::Payload(payload))
    }

    /// At an empty header: the end, or a frame of which the first sector was lost.
    fn torn_or_end(&self, left: u64) -> Result<NextFrame, StoreError> {
        if left < to_u64(FRAME_HEADER_LEN_BYTES) || self.is_zero_from(self.offset)? {
            Ok(NextFrame::End)
        } else if self.has_later_frame()? {
            Err(self.damaged("a frame is missing before another one"))
        } else {
            Ok(NextFrame::Torn)
        }
    }

    /// Whether some sector of the payload, or its end, was never written. Ciphertext has no such
    /// zeros but by a chance of one in 256 (the end).
    fn has_unwritten_part(&self, payload: &[u8]) -> bool {
        let start = self.offset + to_u64(FRAME_HEADER_LEN_BYTES);
        let in_sector = usize::try_from(start % to_u64(SECTOR_LEN_BYTES)).unwrap_or(0);
        let (first, rest) = payload
            .split_at_checked(SECTOR_LEN_BYTES - in_sector)
            .unwrap_or((payload, &[]));
        payload.ends_with(&[0])
            || std::iter::once(first)
                .chain(rest.chunks(SECTOR_LEN_BYTES))
                .any(|sector| sector.iter().all(|byte| *byte == 0))
    }

    fn is_zero_from(&self, offset: u64) -> Result<bool, StoreError> {
        let mut zero = true;
        self.each_chunk(offset, |chunk| {
            zero = chunk.iter().all(|byte| *byte == 0);
            zero
        })?;
        Ok(zero)
    }

    /// Whether any frame with a higher index than the expected one lies further on: it was written
    /// after the expected one had been synced.
    fn has_later_frame(&self) -> Result<bool, StoreError> {
        let mut found = false;
        self.each_chunk(self.offset + to_u64(FRAME_HEADER_LEN_BYTES), |chunk| {
            let (headers, _) = chunk.as_chunks::<FRAME_HEADER_LEN_BYTES>();
            found = headers
                .iter()
                .any(|header| match parse_frame_header(header) {
                    FrameHeader::Whole { index, .. } => index > self.next_index,
                    FrameHeader::Empty | FrameHeader::Damaged => false,
                });
            !found
        })?;
        Ok(found)
    }

    fn each_chunk(
        &self,
        mut offset: u64,
        mut go_on: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut buffer = vec![0; 256 << 10];
        while offset < self.len_bytes {
            let left = usize::try_from(self.len_bytes - offset).unwrap_or(usize::MAX);
            let len = left.min(buffer.len());
            let Some(chunk) = buffer.get_mut(..len) else {
                break;
            };
            self.file.read_at(offset, chunk)?;
            if !go_on(chunk) {
                break;
            }
            offset += to_u64(len);
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged(format!("{} at byte {}: {what}", self.name, self.offset))
    }
}

/// Lengths in memory always fit.
pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
