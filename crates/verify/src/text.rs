//! Bytes as text.

use std::fmt::Write as _;

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The 16 bytes that 32 hexadecimal digits in small letters name.
pub(crate) fn parse_hex(name: &str) -> Option<[u8; 16]> {
    let is_small = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if name.len() != 32 || !name.bytes().all(is_small) {
        return None;
    }
    let mut id = [0; 16];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(id)
}

pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

pub(crate) fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
