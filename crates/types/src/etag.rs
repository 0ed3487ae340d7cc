//! Entity tags as S3 makes them.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

/// An entity tag without its quotes: 32 hexadecimal digits, `-N` behind them for multipart.
///
/// It is the MD5 of the plaintext for SSE-S3 objects of one piece, and opaque in every other mode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ETag(Arc<str>);

impl ETag {
    /// The tag of an object of one piece, or of one part.
    pub fn from_digest(digest: [u8; 16]) -> Self {
        Self(hex(digest).into())
    }

    /// The tag of a multipart object: `digest` is the MD5 of the concatenated binary part tags.
    pub fn from_parts(digest: [u8; 16], part_count: usize) -> Self {
        Self(format!("{}-{part_count}", hex(digest)).into())
    }

    /// Takes a tag as stored, or as a client sent it with its quotes removed.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 16 bytes in front of any `-N`, as the tag of a multipart object hashes them.
    pub fn digest(&self) -> Option<[u8; 16]> {
        let digits = self.0.split('-').next()?.as_bytes();
        let mut digest = [0; 16];
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(digest)
    }

    /// The tag in its quotes, as headers and XML carry it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(digest: [u8; 16]) -> String {
    digest
        .iter()
        .fold(String::with_capacity(38), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_print_and_give_their_digest_back() {
        let tag = ETag::from_parts([0xA1; 16], 12);
        assert_eq!(tag.as_str(), format!("{}-12", "a1".repeat(16)));
        assert_eq!(tag.digest(), Some([0xA1; 16]));
        assert_eq!(
            ETag::from_digest([1; 16]).quoted(),
            format!("\"{}\"", "01".repeat(16))
        );
        assert_eq!(ETag::from_stored("x").digest(), None);
    }
}
