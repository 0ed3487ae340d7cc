//! Sealed files, read to the end whatever is in the way (`FORMAT.md`, 15).

use strongroom_crypto::{FrameCipher, ServiceKey};

use crate::Fields;

const HEADER_LEN_BYTES: usize = 80;
const FRAME_HEADER_LEN_BYTES: usize = 16;
const FRAME_MAX_BYTES: u32 = 64 << 20;
const SECTOR_LEN_BYTES: usize = 512;

/// A sealed file in memory.
pub(crate) struct SealedFile<'a> {
    cipher: FrameCipher,
    aad: [u8; 20],
    /// The first commit in a journal file, the last one in a snapshot.
    pub(crate) sequence: u64,
    pub(crate) number: u64,
    rest: &'a mut [u8],
    /// Where `rest` begins in the file.
    offset: usize,
}

/// What is at the next place.
pub(crate) enum Frame<'a> {
    /// A frame, and its payload.
    Opened(u32, &'a [u8]),
    /// Bytes that are no frame, or one that does not open, up to the next place that may be one.
    Damaged,
    /// A frame at the end that a crash may have cut short before anyone was told of it.
    Torn,
}

impl<'a> SealedFile<'a> {
    /// Takes a file; `None` if its header is damaged or another key's.
    pub(crate) fn open(bytes: &'a mut [u8], magic: [u8; 4], key: &ServiceKey) -> Option<Self> {
        let (header, rest) = bytes.split_at_mut_checked(HEADER_LEN_BYTES)?;
        let mut fields = Fields(header);
        let found: [u8; 4] = fields.array()?;
        let (version, zero) = (fields.u16()?, fields.u16()?);
        let (number, sequence) = (fields.u64()?, fields.u64()?);
        let salt: [u8; 32] = fields.array()?;
        let checksum = fields.u32()?;
        if found != magic || (version, zero) != (1, 0) || crc32c(header.get(..56)?) != checksum {
            return None;
        }
        let cipher = FrameCipher::new(key, &salt);
        let (aad, tag) = header.split_at_mut_checked(64)?;
        cipher.open(0, aad, tag).ok()?;
        let mut frame_aad = [0; 20];
        frame_aad.get_mut(..4)?.copy_from_slice(&magic);
        frame_aad
            .get_mut(4..12)?
            .copy_from_slice(&number.to_be_bytes());
        frame_aad
            .get_mut(12..)?
            .copy_from_slice(&sequence.to_be_bytes());
        Some(Self {
            cipher,
            aad: frame_aad,
            sequence,
            number,
            rest,
            offset: HEADER_LEN_BYTES,
        })
    }

    /// What comes next; `None` at the end. A run of damage is told once.
    pub(crate) fn next(&mut self) -> Option<Frame<'a>> {
        let mut damage: Option<bool> = None;
        loop {
            let rest = std::mem::take(&mut self.rest);
            if rest.len() < FRAME_HEADER_LEN_BYTES {
                return damage.map(|torn| if torn { Frame::Torn } else { Frame::Damaged });
            }
            match (frame_at(rest), damage) {
                (Some((index, sealed_len)), None) => {
                    let (_, behind) = rest.split_at_mut_checked(FRAME_HEADER_LEN_BYTES)?;
                    let padded = sealed_len.next_multiple_of(16).min(behind.len());
                    let (stored, behind) = behind.split_at_mut_checked(padded)?;
                    self.rest = behind;
                    self.offset += FRAME_HEADER_LEN_BYTES + padded;
                    let sealed = stored.get_mut(..sealed_len)?;
                    let opened = self.cipher.open(u64::from(index), &self.aad, sealed);
                    return Some(match opened {
                        Ok(payload) => Frame::Opened(index, payload),
                        Err(_) => Frame::Damaged,
                    });
                }
                (Some(_), Some(_)) => {
                    self.rest = rest;
                    return Some(Frame::Damaged);
                }
                // Zeros to the end are room that was reserved and not used.
                (None, None) if rest.iter().all(|byte| *byte == 0) => return None,
                (None, known) => {
                    damage = Some(known.unwrap_or_else(|| may_be_torn(rest, self.offset)));
                    let (_, behind) = rest.split_at_mut_checked(FRAME_HEADER_LEN_BYTES)?;
                    self.rest = behind;
                    self.offset += FRAME_HEADER_LEN_BYTES;
                }
            }
        }
    }
}

/// Whether the frame with which `bytes` begin may have been cut short while it was written: then
/// some sector of it, or its last byte, is still zero.
fn may_be_torn(bytes: &[u8], offset: usize) -> bool {
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let mut fields = Fields(bytes);
    let len = fields.u32().and_then(|len| usize::try_from(len).ok());
    let header = bytes.get(..FRAME_HEADER_LEN_BYTES).unwrap_or(bytes);
    if is_zero(header) {
        return true;
    }
    let end = len
        .unwrap_or(usize::MAX)
        .saturating_add(FRAME_HEADER_LEN_BYTES);
    let frame = bytes.get(..end).unwrap_or(bytes);
    let to_sector = (SECTOR_LEN_BYTES - offset % SECTOR_LEN_BYTES) % SECTOR_LEN_BYTES;
    let sectors = frame.get(to_sector..).unwrap_or_default();
    frame.last() == Some(&0) || sectors.chunks_exact(SECTOR_LEN_BYTES).any(is_zero)
}

/// Index and sealed length of the frame with which `bytes` begin, if they are whole by their
/// checksums.
fn frame_at(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut fields = Fields(bytes);
    let (len, payload_checksum) = (fields.u32()?, fields.u32()?);
    let (index, checksum) = (fields.u32()?, fields.u32()?);
    if crc32c(bytes.get(..12)?) != checksum || !(16..=FRAME_MAX_BYTES).contains(&len) {
        return None;
    }
    let len = usize::try_from(len).ok()?;
    let sealed = fields.bytes(len)?;
    (index > 0 && crc32c(sealed) == payload_checksum).then_some((index, len))
}

fn crc32c(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).unwrap_or(u32::MAX)
}
