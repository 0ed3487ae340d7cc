//! gzip files of one member (RFC 1952), as `validate-logs` wants them.

use std::io::Read as _;

use flate2::bufread::GzEncoder;
use flate2::{Compression, GzBuilder};

/// Not the most; a log file shrinks to a tenth all the same.
const COMPRESSION_LEVEL: u32 = 6;

/// `bytes` as a gzip file. The same bytes give the same file: it has neither time nor name.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = Vec::new();
    let mut encoder: GzEncoder<&[u8]> =
        GzBuilder::new().buf_read(bytes, Compression::new(COMPRESSION_LEVEL));
    // Reading from memory cannot fail.
    let _ = encoder.read_to_end(&mut zipped);
    zipped
}
