//! The end of a blob file: what makes it recoverable with the ring alone.
//!
//! ```text
//! footer = "SRF1" || fields || BE32(length of the footer) || CRC-32C(4) || "SRBFOOT1"
//! field  = type(1) || BE32(length) || value
//! ```
//!
//! The footer is outside the stream. It authenticates nothing itself: the wrapped key and the
//! record do, and both are bound to the object.

use crate::codec::{Reader, be32, put_prefixed};
use crate::{FormatError, WrappedKey};

/// Length of the fixed end of a footer, in bytes: read this much first.
pub const FOOTER_END_LEN_BYTES: usize = 16;
/// Longest footer, in bytes; our own limit, so that a damaged length asks for no more.
pub const FOOTER_MAX_BYTES: usize = 256 << 10;

const MAGIC: &[u8; 4] = b"SRF1";
const END_MAGIC: &[u8; 8] = b"SRBFOOT1";
const FIELD_WRAPPED_KEY: u8 = 1;
const FIELD_RECORD: u8 = 2;
const FIELD_ENCRYPTION: u8 = 3;
const FIELD_HEADER_CHECKSUM: u8 = 0x80;
const FIELD_BLOB_ID: u8 = 0x81;
/// Set in the type of a field that a reader may skip if it does not know it.
const FIELD_OPTIONAL: u8 = 0x80;

/// What a blob file says about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The data key, wrapped.
    pub wrapped_key: WrappedKey,
    /// The object's record, sealed with
    /// [`Attribute::FooterRecord`](crate::Attribute::FooterRecord). Opaque here.
    pub record: Vec<u8>,
    /// What a key service needs to be told before the wrapped key opens, sealed by who wrote it.
    /// Opaque here.
    pub encryption: Option<Vec<u8>>,
    /// [`keyless_checksum`](crate::keyless_checksum) of the stream's header, so that a scrub without
    /// keys sees damage there too; absent in footers from before there was one.
    pub header_checksum: Option<[u8; 8]>,
    /// The name of the file that it stands in, so that a scrub without keys sees files that were
    /// exchanged; absent in footers from before there was one.
    pub blob_id: Option<[u8; 16]>,
}

/// Writes a footer. A record beyond [`FOOTER_MAX_BYTES`] makes one that no reader accepts.
pub fn encode_footer(footer: &Footer) -> Vec<u8> {
    let Footer {
        wrapped_key,
        record,
        encryption,
        header_checksum,
        blob_id,
    } = footer;
    let mut out = Vec::with_capacity(64 + wrapped_key.as_bytes().len() + record.len());
    out.extend_from_slice(MAGIC);
    out.push(FIELD_WRAPPED_KEY);
    put_prefixed(&mut out, wrapped_key.as_bytes());
    out.push(FIELD_RECORD);
    put_prefixed(&mut out, record);
    if let Some(encryption) = encryption {
        out.push(FIELD_ENCRYPTION);
        put_prefixed(&mut out, encryption);
    }
    if let Some(checksum) = header_checksum {
        out.push(FIELD_HEADER_CHECKSUM);
        put_prefixed(&mut out, checksum);
    }
    if let Some(id) = blob_id {
        out.push(FIELD_BLOB_ID);
        put_prefixed(&mut out, id);
    }
    out.extend_from_slice(&be32(out.len() + FOOTER_END_LEN_BYTES));
    let checksum = crc32c(&out);
    out.extend_from_slice(&checksum);
    out.extend_from_slice(END_MAGIC);
    out
}

/// Reads the footer that `tail`, the end of a blob file, ends with. Returns it with its length, so
/// that the caller knows where the stream ends.
///
/// # Errors
///
/// [`FormatError::Incomplete`] if `tail` is shorter than the footer and says how much is needed;
/// any other [`FormatError`] if it is none that this version reads.
pub fn parse_footer(tail: &[u8]) -> Result<(Footer, usize), FormatError> {
    let (before_end, end) =
        tail.split_last_chunk::<FOOTER_END_LEN_BYTES>()
            .ok_or(FormatError::Incomplete {
                needed_bytes: FOOTER_END_LEN_BYTES,
            })?;
    let mut end = Reader::new(end);
    let total = usize::try_from(end.u32()?).map_err(|_| FormatError::BadLength)?;
    let stored_checksum: &[u8; 4] = end.array()?;
    if end.array()? != END_MAGIC {
        return Err(FormatError::BadMagic);
    }
    if total > FOOTER_MAX_BYTES {
        return Err(FormatError::BadLength);
    }
    let fields_len = total
        .checked_sub(FOOTER_END_LEN_BYTES)
        .ok_or(FormatError::BadLength)?;
    let start = before_end
        .len()
        .checked_sub(fields_len)
        .ok_or(FormatError::Incomplete {
            needed_bytes: total,
        })?;
    let (_, fields) = before_end.split_at(start);
    let checked = tail
        .get(start..before_end.len() + 4)
        .ok_or(FormatError::BadLength)?;
    if crc32c(checked) != *stored_checksum {
        return Err(FormatError::Checksum);
    }

    let mut fields = Reader::new(fields);
    if fields.array()? != MAGIC {
        return Err(FormatError::BadMagic);
    }
    let (mut wrapped_key, mut record, mut encryption) = (None, None, None);
    let (mut header_checksum, mut blob_id) = (None, None);
    while fields.remaining() > 0 {
        let kind = fields.u8()?;
        let value = fields.prefixed()?;
        match kind {
            FIELD_WRAPPED_KEY if wrapped_key.is_none() => {
                wrapped_key = Some(WrappedKey::parse(value)?);
            }
            FIELD_RECORD if record.is_none() => record = Some(value.to_vec()),
            FIELD_ENCRYPTION if encryption.is_none() => encryption = Some(value.to_vec()),
            FIELD_HEADER_CHECKSUM if header_checksum.is_none() => {
                header_checksum = Some(value.try_into().map_err(|_| FormatError::BadLength)?);
            }
            FIELD_BLOB_ID if blob_id.is_none() => {
                blob_id = Some(value.try_into().map_err(|_| FormatError::BadLength)?);
            }
            other
                if other >= FIELD_OPTIONAL
                    && other != FIELD_HEADER_CHECKSUM
                    && other != FIELD_BLOB_ID => {}
            unknown => return Err(FormatError::UnknownField(unknown)),
        }
    }
    let (Some(wrapped_key), Some(record)) = (wrapped_key, record) else {
        return Err(FormatError::BadValue);
    };
    let footer = Footer {
        wrapped_key,
        record,
        encryption,
        header_checksum,
        blob_id,
    };
    Ok((footer, total))
}

/// CRC-32C (Castagnoli), big-endian: detects damage, not tampering.
fn crc32c(data: &[u8]) -> [u8; 4] {
    let value = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, data);
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}
