//! gzip files of one member (RFC 1952), as `validate-logs` wants them.

use crc_fast::{CrcAlgorithm, checksum};
use miniz_oxide::deflate::compress_to_vec;

/// Fast; a log file shrinks to a tenth all the same.
const COMPRESSION_LEVEL: u8 = 6;

/// `bytes` as a gzip file. The same bytes give the same file: it has neither time nor name.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    // ID1 ID2, CM = deflate, FLG = 0, MTIME = 0, XFL = 0, OS = unknown.
    let mut out = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    out.extend(compress_to_vec(bytes, COMPRESSION_LEVEL));
    // CRC-32 and length modulo 2^32, both little-endian.
    let crc = checksum(CrcAlgorithm::Crc32IsoHdlc, bytes);
    out.extend(crc.to_le_bytes().iter().take(4));
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    out.extend(len.to_le_bytes().iter().take(4));
    out
}
