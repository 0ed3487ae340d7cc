//! Accounts, regions and access key ids.

use std::fmt;
use std::sync::Arc;

/// A 12-digit AWS account id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// Parses exactly 12 digits.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] otherwise.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let digits: [u8; 12] = text
            .as_bytes()
            .try_into()
            .map_err(|_| IdentityError("account id"))?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(IdentityError("account id"))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

/// The 64-hex-digit id by which S3 names an owner in listings and ACLs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CanonicalId(Arc<str>);

impl CanonicalId {
    /// Parses 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] otherwise.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError("canonical id"))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An AWS region name such as `us-east-1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Region(Arc<str>);

impl Region {
    /// Parses a region name: 1 to 32 lower-case letters, digits and hyphens.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] otherwise.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(letter) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError("region"))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of a credential: 16 to 128 letters, digits or underscores.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    /// Parses an access key id.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the length or a character is out of bounds.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (16..=128).contains(&text.len()) && text.bytes().all(word) {
            Ok(Self(text.into()))
        } else {
            Err(IdentityError("access key id"))
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the identity that its place asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct IdentityError(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_bounded() {
        assert_eq!(
            AccountId::parse("000000000001").unwrap().as_str(),
            "000000000001"
        );
        assert!(AccountId::parse("00000000001").is_err());
        assert!(AccountId::parse("00000000000a").is_err());
        assert!(CanonicalId::parse(&"a1".repeat(32)).is_ok());
        assert!(CanonicalId::parse(&"A1".repeat(32)).is_err());
        assert!(Region::parse("us-east-1").is_ok());
        assert!(Region::parse("US EAST").is_err());
        assert!(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").is_ok());
        assert!(AccessKeyId::parse("short").is_err());
    }
}
