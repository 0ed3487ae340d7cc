//! Version ids as clients see them, and part numbers.

use std::fmt;

use crate::VersionUid;
use crate::limits::PART_NUMBER_MAX;

/// The `versionId` of S3: `null`, or an opaque 32-character text.
///
/// The opaque form locates the version: it holds the version's identity and, masked by it, its
/// sequence number within the key: `base64(uid(16) || BE64(sequence) XOR uid[0..8])` over the
/// alphabet `A-Z a-z 0-9 . _`, so that no id starts with a hyphen and none needs URL encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VersionId {
    /// A version written while the bucket was not versioned, or versioning was suspended.
    Null,
    /// A version written while versioning was enabled.
    Id {
        /// The version's identity.
        uid: VersionUid,
        /// Its place in the order of the key's versions; higher is newer.
        sequence: u64,
    },
}

impl VersionId {
    /// Parses the text form.
    ///
    /// # Errors
    ///
    /// [`VersionIdError`]; S3 answers 400 `InvalidArgument` "Invalid version id specified".
    pub fn parse(text: &str) -> Result<Self, VersionIdError> {
        if text == "null" {
            return Ok(Self::Null);
        }
        let text: &[u8; 32] = text.as_bytes().try_into().map_err(|_| VersionIdError)?;
        let mut bytes = [0; 24];
        for (out, quad) in bytes.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
            let word = quad
                .iter()
                .try_fold(0_u32, |word, &c| Some(word << 6 | value_of(c)?))
                .ok_or(VersionIdError)?;
            out.copy_from_slice(&word.to_be_bytes()[1..]);
        }
        let (uid, masked) = bytes.split_at(16);
        let uid: [u8; 16] = uid.try_into().map_err(|_| VersionIdError)?;
        let masked: [u8; 8] = masked.try_into().map_err(|_| VersionIdError)?;
        let sequence = u64::from_be_bytes(masked) ^ mask_of(&uid);
        Ok(Self::Id {
            uid: VersionUid::from_bytes(uid),
            sequence,
        })
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Id { uid, sequence } = self else {
            return f.write_str("null");
        };
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(uid.as_bytes());
        bytes[16..].copy_from_slice(&(sequence ^ mask_of(uid.as_bytes())).to_be_bytes());
        for triple in bytes.chunks_exact(3) {
            let word = triple
                .iter()
                .fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
            for shift in [18, 12, 6, 0] {
                let index = usize::try_from(word >> shift & 0x3f).unwrap_or_default();
                f.write_str(ALPHABET.get(index..=index).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// The text is not a version id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid version id specified")]
pub struct VersionIdError;

/// A part number, 1 to 10,000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartNumber(u16);

impl PartNumber {
    /// Takes a number within bounds.
    pub fn new(number: u64) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (1..=PART_NUMBER_MAX)
            .contains(&number)
            .then_some(Self(number))
    }

    /// The number.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'.' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn mask_of(uid: &[u8; 16]) -> u64 {
    uid.iter()
        .take(8)
        .fold(0, |mask, &byte| mask << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_ids_parse_back() {
        let uid = VersionUid::from_bytes([0xFB; 16]);
        for id in [
            VersionId::Null,
            VersionId::Id { uid, sequence: 1 },
            VersionId::Id {
                uid,
                sequence: u64::MAX,
            },
        ] {
            let text = id.to_string();
            assert_eq!(VersionId::parse(&text), Ok(id));
            assert!(text == "null" || text.len() == 32, "{text}");
        }
    }

    #[test]
    fn foreign_version_ids_are_refused() {
        for bad in [
            "",
            "Null",
            "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrH",
            "short",
            &"A".repeat(33),
        ] {
            assert_eq!(VersionId::parse(bad), Err(VersionIdError), "{bad}");
        }
    }

    #[test]
    fn part_numbers_are_bounded() {
        assert!(PartNumber::new(0).is_none() && PartNumber::new(10_001).is_none());
        assert_eq!(PartNumber::new(10_000).unwrap().value(), 10_000);
    }
}
