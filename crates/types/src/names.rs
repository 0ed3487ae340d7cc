//! Names that users choose: buckets, keys, and the upload ids that we hand out.

use std::fmt;
use std::sync::Arc;

use crate::limits::{BUCKET_NAME_MAX_BYTES, BUCKET_NAME_MIN_BYTES, OBJECT_KEY_MAX_BYTES};
use crate::{Timestamp, VersionUid};

/// A bucket name that satisfies the naming rules of general purpose buckets.
///
/// Source: S3 User Guide, "General purpose bucket naming rules".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Parses a bucket name.
    ///
    /// # Errors
    ///
    /// [`BucketNameError`] when a rule is broken.
    pub fn parse(name: &str) -> Result<Self, BucketNameError> {
        let bytes = name.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let length_ok = (BUCKET_NAME_MIN_BYTES..=BUCKET_NAME_MAX_BYTES).contains(&bytes.len());
        let letters_ok = bytes
            .iter()
            .all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'.'));
        let ends_ok =
            bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let affix_ok = !["xn--", "sthree-", "amzn-s3-demo-"]
            .iter()
            .any(|p| name.starts_with(p))
            && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
                .iter()
                .any(|s| name.ends_with(s));
        if length_ok
            && letters_ok
            && ends_ok
            && affix_ok
            && !name.contains("..")
            && !looks_like_ipv4(name)
        {
            Ok(Self(name.into()))
        } else {
            Err(BucketNameError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketName({})", self.0)
    }
}

/// The bucket name breaks a naming rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the specified bucket is not valid")]
pub struct BucketNameError;

/// An object key: 1 to 1,024 bytes of UTF-8, otherwise arbitrary. `//`, `..` and a leading `/` are
/// ordinary characters; a key is never a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Parses an object key.
    ///
    /// # Errors
    ///
    /// [`ObjectKeyError::TooLong`] above 1,024 bytes, [`ObjectKeyError::Empty`] for no bytes.
    pub fn parse(key: &str) -> Result<Self, ObjectKeyError> {
        match key.len() {
            0 => Err(ObjectKeyError::Empty),
            1..=OBJECT_KEY_MAX_BYTES => Ok(Self(key.into())),
            got_bytes => Err(ObjectKeyError::TooLong { got_bytes }),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that are bound into the ciphertext and that order listings.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({:?})", self.0)
    }
}

/// Why a text is not an object key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectKeyError {
    /// No bytes at all.
    #[error("object key is empty")]
    Empty,
    /// More than 1,024 bytes.
    #[error("your key is too long")]
    TooLong {
        /// Length of the rejected key, in bytes.
        got_bytes: usize,
    },
}

/// The handle of a multipart upload: when it was initiated, and the identity of the version that it
/// will become. The time comes first, so that uploads of one key list in the order of initiation.
///
/// Text form: 48 lower-case hexadecimal digits, `BE64(initiated, ms) || version_uid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UploadId {
    /// When `CreateMultipartUpload` was served.
    pub initiated: Timestamp,
    /// The identity of the version to be.
    pub version_uid: VersionUid,
}

impl UploadId {
    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, uid) = text.split_at_checked(16)?;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !time.bytes().all(lower_hex) {
            return None;
        }
        let initiated = Timestamp::from_millis(u64::from_str_radix(time, 16).ok()?);
        Some(Self {
            initiated,
            version_uid: VersionUid::parse_hex(uid)?,
        })
    }

    /// The stored form, in listing order.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (time, uid) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.initiated.as_millis().to_be_bytes());
        uid.copy_from_slice(self.version_uid.as_bytes());
        bytes
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.initiated.as_millis(), self.version_uid)
    }
}

fn looks_like_ipv4(name: &str) -> bool {
    let mut parts = 0;
    name.split('.').all(|part| {
        parts += 1;
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
    }) && parts == 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules() {
        for good in [
            "w1",
            "abc",
            "a.b.c",
            "my-bucket-1",
            "1abc",
            &"a".repeat(63),
            "1.2.3",
            "w1-x",
        ] {
            assert!(BucketName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "1.2.3.4",
            "xn--abc",
            "sthree-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "a b",
            "abc/def",
        ] {
            assert!(BucketName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_hold_anything_up_to_1024_bytes() {
        for good in ["a", "//", "../..", "a//b/", &"k".repeat(1024)] {
            assert!(ObjectKey::parse(good).is_ok(), "{good}");
        }
        assert_eq!(ObjectKey::parse(""), Err(ObjectKeyError::Empty));
        assert_eq!(
            ObjectKey::parse(&"k".repeat(1025)),
            Err(ObjectKeyError::TooLong { got_bytes: 1025 })
        );
    }

    #[test]
    fn upload_ids_parse_back_and_sort_by_time() {
        let id = |ms| UploadId {
            initiated: Timestamp::from_millis(ms),
            version_uid: VersionUid::from_bytes([9; 16]),
        };
        assert_eq!(UploadId::parse(&id(1234).to_string()), Some(id(1234)));
        assert!(id(1).to_bytes() < id(2).to_bytes());
        for bad in [
            "",
            "zz",
            "+000000000000001",
            &"0".repeat(47),
            &"G".repeat(48),
            "\u{e9}00000000000000",
        ] {
            assert_eq!(UploadId::parse(bad), None, "{bad}");
        }
    }
}
