//! How keys and aliases are named.

use std::fmt;
use std::sync::Arc;

use crate::{AccountId, Entropy, Region};

/// The id of a key: a random (version 4) UUID, printed in lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// Draws a fresh id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0F) | 0x40;
        bytes[8] = (bytes[8] & 0x3F) | 0x80;
        Self(bytes)
    }

    /// Takes an id from storage.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let groups = [8, 4, 4, 4, 12];
        let mut bytes = [0; 16];
        let mut digits = 0_usize;
        let mut parts = text.split('-');
        for expected in groups {
            let part = parts.next().filter(|part| part.len() == expected)?;
            for letter in part.chars() {
                let value = u8::try_from(letter.to_digit(16)?).ok()?;
                let byte = bytes.get_mut(digits / 2)?;
                *byte = (*byte << 4) | value;
                digits += 1;
            }
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The id of one material of a key: 32 bytes, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyMaterialId([u8; 32]);

impl KeyMaterialId {
    /// Takes an id from storage, or from the derivation that makes it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            for letter in pair {
                let value = match letter {
                    b'0'..=b'9' => letter - b'0',
                    b'a'..=b'f' => letter - b'a' + 10,
                    _ => return None,
                };
                *byte = (*byte << 4) | value;
            }
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for KeyMaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyMaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterialId({self})")
    }
}

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KeyArn {
    /// The region.
    pub region: Region,
    /// The account that owns the key.
    pub account: AccountId,
    /// The key.
    pub id: KeyId,
}

impl KeyArn {
    /// Parses a full ARN of a key.
    pub fn parse(text: &str) -> Option<Self> {
        let (region, account, resource) = split_arn(text)?;
        Some(Self {
            region,
            account,
            id: KeyId::parse(resource.strip_prefix("key/")?)?,
        })
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            region,
            account,
            id,
        } = self;
        write!(f, "arn:aws:kms:{region}:{account}:key/{id}")
    }
}

/// The name of an alias, `alias/` included: at most 256 letters, digits, `/`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AliasName(Arc<str>);

impl AliasName {
    /// Parses a name. Which names are reserved is the key service's business.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("alias/")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
        (!rest.is_empty() && text.len() <= 256 && rest.bytes().all(allowed))
            .then(|| Self(text.into()))
    }

    /// The name, `alias/` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name that only services make: `alias/aws/...`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("alias/aws/")
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `arn:aws:kms:REGION:ACCOUNT:alias/NAME`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AliasArn {
    /// The region.
    pub region: Region,
    /// The account that owns the alias.
    pub account: AccountId,
    /// The alias.
    pub name: AliasName,
}

impl fmt::Display for AliasArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            region,
            account,
            name,
        } = self;
        write!(f, "arn:aws:kms:{region}:{account}:{name}")
    }
}

/// A `KeyId` parameter, in one of its four forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyIdentifier {
    /// A key id, in the caller's account.
    Id(KeyId),
    /// A key's ARN.
    Arn(KeyArn),
    /// An alias, in the caller's account.
    Alias(AliasName),
    /// An alias's ARN.
    AliasArn(AliasArn),
}

/// The text is none of the four forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid keyId '{0}'")]
pub struct KeyIdentifierError(pub String);

impl KeyIdentifier {
    /// Parses a `KeyId` parameter.
    ///
    /// # Errors
    ///
    /// [`KeyIdentifierError`] with AWS's text.
    pub fn parse(text: &str) -> Result<Self, KeyIdentifierError> {
        let parsed = if text.starts_with("arn:") {
            KeyArn::parse(text).map(Self::Arn).or_else(|| {
                let (region, account, resource) = split_arn(text)?;
                let name = AliasName::parse(resource)?;
                Some(Self::AliasArn(AliasArn {
                    region,
                    account,
                    name,
                }))
            })
        } else if text.starts_with("alias/") {
            AliasName::parse(text).map(Self::Alias)
        } else {
            KeyId::parse(text).map(Self::Id)
        };
        parsed.ok_or_else(|| KeyIdentifierError(text.to_owned()))
    }
}

/// Region, account and resource of `arn:PARTITION:kms:REGION:ACCOUNT:RESOURCE`.
fn split_arn(text: &str) -> Option<(Region, AccountId, &str)> {
    let mut fields = text.splitn(6, ':');
    let (arn, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    if arn != "arn" || partition != "aws" || service != "kms" {
        return None;
    }
    let region = Region::parse(fields.next()?).ok()?;
    let account = AccountId::parse(fields.next()?).ok()?;
    Some((region, account, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_four_forms_parse_back() {
        let arn = format!("arn:aws:kms:us-east-1:111122223333:key/{ID}");
        let Ok(KeyIdentifier::Arn(key)) = KeyIdentifier::parse(&arn) else {
            unreachable!("{arn}");
        };
        assert_eq!(key.to_string(), arn);
        assert_eq!(KeyIdentifier::parse(ID), Ok(KeyIdentifier::Id(key.id)));
        let alias = "arn:aws:kms:us-east-1:111122223333:alias/aws/s3";
        let Ok(KeyIdentifier::AliasArn(parsed)) = KeyIdentifier::parse(alias) else {
            unreachable!("{alias}");
        };
        assert_eq!(parsed.to_string(), alias);
        assert!(parsed.name.is_reserved());
        assert!(matches!(
            KeyIdentifier::parse("alias/a"),
            Ok(KeyIdentifier::Alias(_))
        ));
    }

    #[test]
    fn other_texts_are_refused_with_the_text_of_aws() {
        for bad in [
            "fake-key-id",
            "aws/s3",
            "1234abcd12ab34cd56ef1234567890ab",
            "alias/",
            "alias/a:b",
            "arn:aws:s3:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-1:111122223333:key/x",
            "1234abcd-12ab-34cd-56ef-1234567890ab-",
            "+234abcd-12ab-34cd-56ef-1234567890ab",
            "",
        ] {
            let error = KeyIdentifier::parse(bad).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid keyId '{bad}'"));
        }
    }

    #[test]
    fn material_ids_print_and_parse() {
        let id = KeyMaterialId::from_bytes([0xA5; 32]);
        assert_eq!(id.to_string(), "a5".repeat(32));
        assert_eq!(KeyMaterialId::parse(&id.to_string()), Some(id));
        assert_eq!(KeyMaterialId::parse(&"A5".repeat(32)), None);
    }
}
