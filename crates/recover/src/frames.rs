//! Sealed files, read to the end whatever is in the way (`FORMAT.md`, 15). One frame is in memory at
//! a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use strongroom_crypto::{FrameCipher, ServiceKey};

use crate::{Fields, to_u64};

const HEADER_LEN_BYTES: usize = 80;
const FRAME_HEADER_LEN_BYTES: usize = 16;
const FRAME_MAX_BYTES: u32 = 64 << 20;
const SECTOR_LEN_BYTES: usize = 512;
/// How much is looked at once for bytes that are not zero.
const LOOK_LEN_BYTES: usize = 1 << 20;
const ZERO_BLOCK_LEN_BYTES: usize = 1024;

/// A sealed file.
pub struct SealedFile {
    file: File,
    len: u64,
    offset: u64,
    /// `None` where only checksums are verified.
    cipher: Option<FrameCipher>,
    aad: [u8; 20],
    /// The first commit in a journal file, the last one in a snapshot.
    pub sequence: u64,
    /// The journal file's number; 0 in a snapshot.
    pub number: u64,
}

/// What is at the next place.
#[derive(Debug)]
pub enum Frame {
    /// A frame, and its payload; without a key its ciphertext, of which the checksum is right.
    Opened(u32, Vec<u8>),
    /// Bytes that are no frame, or one that does not open, up to the next place that may be one. Where
    /// they begin.
    Damaged(u64),
    /// A frame at the end that a crash may have cut short before anyone was told of it. Where it
    /// begins.
    Torn(u64),
}

impl SealedFile {
    /// Takes a file; `None` if its header is damaged or another key's. Without a key only checksums
    /// are verified.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(file: File, magic: [u8; 4], key: Option<&ServiceKey>) -> io::Result<Option<Self>> {
        let len = file.metadata()?.len();
        let mut header = read_at(&file, 0, HEADER_LEN_BYTES)?;
        let mut parse = || {
            let mut fields = Fields(&header);
            let found: [u8; 4] = fields.array()?;
            let (version, zero) = (fields.u16()?, fields.u16()?);
            let (number, sequence) = (fields.u64()?, fields.u64()?);
            let salt: [u8; 32] = fields.array()?;
            let checksum = fields.u32()?;
            let is_sound = crc32c(header.get(..56)?) == checksum && is_zero(header.get(60..64)?);
            if found != magic || (version, zero) != (1, 0) || !is_sound {
                return None;
            }
            let cipher = key.map(|key| FrameCipher::new(key, &salt));
            if let Some(cipher) = &cipher {
                let (aad, tag) = header.split_at_mut_checked(64)?;
                cipher.open(0, aad, tag).ok()?;
            }
            Some((cipher, number, sequence))
        };
        let Some((cipher, number, sequence)) = parse() else {
            return Ok(None);
        };
        let mut aad = [0; 20];
        let (magic_place, rest) = aad.split_at_mut(4);
        let (number_place, sequence_place) = rest.split_at_mut(8);
        magic_place.copy_from_slice(&magic);
        number_place.copy_from_slice(&number.to_be_bytes());
        sequence_place.copy_from_slice(&sequence.to_be_bytes());
        Ok(Some(Self {
            file,
            len,
            offset: to_u64(HEADER_LEN_BYTES),
            cipher,
            aad,
            sequence,
            number,
        }))
    }

    /// Whether the header of a file is zeros: it was being made when the server stopped.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn is_blank(file: &File) -> io::Result<bool> {
        Ok(is_zero(&read_at(file, 0, HEADER_LEN_BYTES)?))
    }

    /// How far the file has been read.
    pub const fn read_bytes(&self) -> u64 {
        self.offset
    }

    /// What comes next; `None` at the end. A run of damage is told once.
    ///
    /// # Errors
    ///
    /// The operating system's.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would have to end at the first error"
    )]
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut damage: Option<(u64, bool)> = None;
        let told = |(at, torn)| {
            if torn {
                Frame::Torn(at)
            } else {
                Frame::Damaged(at)
            }
        };
        loop {
            if self.len.saturating_sub(self.offset) < to_u64(FRAME_HEADER_LEN_BYTES) {
                return Ok(damage.map(told));
            }
            match (self.frame_here()?, damage) {
                (Some((index, mut sealed)), None) => {
                    let padded = sealed.len().next_multiple_of(16);
                    let at = self.offset;
                    self.offset += to_u64(FRAME_HEADER_LEN_BYTES + padded);
                    let Some(cipher) = &self.cipher else {
                        return Ok(Some(Frame::Opened(index, sealed)));
                    };
                    let opened = cipher.open(u64::from(index), &self.aad, &mut sealed);
                    let opened_len = opened.map(|payload| payload.len());
                    return Ok(Some(match opened_len {
                        Ok(len) => {
                            sealed.truncate(len);
                            Frame::Opened(index, sealed)
                        }
                        Err(_) => Frame::Damaged(at),
                    }));
                }
                (Some(_), Some((at, _))) => return Ok(Some(Frame::Damaged(at))),
                // Zeros to the end are room that was reserved and not used.
                (None, None) if self.is_zero_to_the_end()? => return Ok(None),
                (None, known) => {
                    damage = Some(match known {
                        Some(known) => known,
                        None => (self.offset, self.may_be_torn()?),
                    });
                    self.offset += to_u64(FRAME_HEADER_LEN_BYTES);
                }
            }
        }
    }

    /// Index and sealed payload of the frame that begins here, if it is whole by its checksums.
    fn frame_here(&self) -> io::Result<Option<(u32, Vec<u8>)>> {
        let header = read_at(&self.file, self.offset, FRAME_HEADER_LEN_BYTES)?;
        let parse = || {
            let mut fields = Fields(&header);
            let (len, payload_checksum) = (fields.u32()?, fields.u32()?);
            let (index, checksum) = (fields.u32()?, fields.u32()?);
            let is_sound = crc32c(header.get(..12)?) == checksum
                && (16..=FRAME_MAX_BYTES).contains(&len)
                && index > 0;
            is_sound.then_some((usize::try_from(len).ok()?, payload_checksum, index))
        };
        let Some((len, payload_checksum, index)) = parse() else {
            return Ok(None);
        };
        let at = self.offset + to_u64(FRAME_HEADER_LEN_BYTES);
        let sealed = read_at(&self.file, at, len)?;
        let is_whole = sealed.len() == len && crc32c(&sealed) == payload_checksum;
        Ok(is_whole.then_some((index, sealed)))
    }

    fn is_zero_to_the_end(&self) -> io::Result<bool> {
        let mut at = self.offset;
        loop {
            let piece = read_at(&self.file, at, LOOK_LEN_BYTES)?;
            if piece.is_empty() {
                return Ok(true);
            }
            if !is_zero(&piece) {
                return Ok(false);
            }
            at += to_u64(piece.len());
        }
    }

    /// Whether the frame that begins here may have been cut short while it was written: then some
    /// sector of it, or its last byte, is still zero.
    fn may_be_torn(&self) -> io::Result<bool> {
        let header = read_at(&self.file, self.offset, FRAME_HEADER_LEN_BYTES)?;
        if is_zero(&header) {
            return Ok(true);
        }
        let len = Fields(&header)
            .u32()
            .unwrap_or(u32::MAX)
            .min(FRAME_MAX_BYTES);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let frame = read_at(
            &self.file,
            self.offset,
            len.saturating_add(FRAME_HEADER_LEN_BYTES),
        )?;
        let sector = to_u64(SECTOR_LEN_BYTES);
        let to_sector = usize::try_from((sector - self.offset % sector) % sector).unwrap_or(0);
        let sectors = frame.get(to_sector..).unwrap_or_default();
        Ok(frame.last() == Some(&0) || sectors.chunks_exact(SECTOR_LEN_BYTES).any(is_zero))
    }
}

/// A journal has tens of megabytes of zeros behind its last frame: looked at block by block, which
/// takes a fraction of what a look that may end at each byte takes.
fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks(ZERO_BLOCK_LEN_BYTES);
    blocks.all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

/// Bytes from `offset` on, as many as there are up to `len`.
///
/// # Errors
///
/// The operating system's.
pub fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(offset);
    let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + to_u64(filled)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).unwrap_or(u32::MAX)
}
