//! Sealed bodies: a header, then segments that each verify on their own.
//!
//! ```text
//! suite 1, one layer
//! stored stream  = header || segment_0 || segment_1 || ...
//! stored segment = ciphertext || tag(16) || CRC-64/NVME(8) of ciphertext || tag
//! nonce          = 0x00000000 || BE56(index) || (last ? 0x01 : 0x00)
//!
//! suite 2, two layers (DSSE-KMS): the header of suite 1 is sealed in the outer one, and each sealed
//! segment is sealed once more, by another implementation and under another key
//! stored stream  = outer header || segment_0 || segment_1 || ...
//! stored segment = outer ciphertext of (ciphertext || tag(16)) || outer tag(16) || CRC-64/NVME(8)
//! ```
//!
//! The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar, 2015): the index in the nonce
//! stops reordering and repetition, the last flag stops truncation and extension. The key is derived
//! for one stream, from everything that the stream belongs to, so a stream does not open elsewhere.

mod header;
mod layout;
mod opener;
mod sealer;
mod segment;

pub use header::{HEADER_MAX_BYTES, header_len_bytes, recover_identity, stream_uids};
pub use layout::{
    Layers, SEGMENT_LEN_BYTES, SEGMENT_OVERHEAD_BYTES, SEGMENT_OVERHEAD_MAX_BYTES, SegmentSpan,
    StreamLayout,
};
pub use opener::{StreamOpener, open_whole, segment_checksum_ok};
pub use sealer::{StreamSealer, seal_whole};

use crate::aead::{NONCE_LEN_BYTES, TAG_LEN_BYTES};

/// Length of the keyless checksum, in bytes.
const CHECKSUM_LEN_BYTES: usize = 8;

const _: () = assert!(SEGMENT_OVERHEAD_BYTES == TAG_LEN_BYTES + CHECKSUM_LEN_BYTES);
const _: () =
    assert!(SEGMENT_OVERHEAD_MAX_BYTES == SEGMENT_OVERHEAD_BYTES + strongroom_outer::TAG_LEN_BYTES);

/// Highest segment index: 56 bits are what the nonce has room for.
const SEGMENT_INDEX_MAX: u64 = (1 << 56) - 1;

/// `0x00000000 || BE56(index) || (last ? 0x01 : 0x00)`; unique, for the key belongs to one stream.
fn nonce(index: u64, last: bool) -> [u8; NONCE_LEN_BYTES] {
    let mut nonce = [0; NONCE_LEN_BYTES];
    let counter = index << 8 | u64::from(last);
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// The checksum that needs no key: CRC-64/NVME, big-endian. Behind every segment, of every header, and
/// behind part lists in blobs of their own. It detects damage, not tampering.
pub fn keyless_checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN_BYTES] {
    checksum(bytes)
}

/// The keyless checksum: CRC-64/NVME, big-endian.
fn checksum(sealed: &[u8]) -> [u8; CHECKSUM_LEN_BYTES] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, sealed).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonce_holds_index_and_last_flag() {
        assert_eq!(nonce(0, false), [0; 12]);
        assert_eq!(nonce(1, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(
            nonce(SEGMENT_INDEX_MAX, false),
            [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 0]
        );
    }

    #[test]
    fn checksum_is_crc_64_nvme() {
        // The check value of the CRC catalogue.
        assert_eq!(
            checksum(b"123456789"),
            0xae8b_1486_0a79_9888_u64.to_be_bytes()
        );
    }
}
