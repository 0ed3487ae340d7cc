//! Seals: ways to keep the root key ring's unseal key.

use strongroom_crypto::UnsealKey;

/// Which kind of seal holds the unseal key. Stored in the ring's slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SealKind {
    /// A key file outside the data directory.
    KeyFile,
    /// A passphrase that people know.
    Passphrase,
    /// A key file that the service manager hands over.
    Credential,
    /// A secret shared among people, of whom some must come together.
    Shares,
    /// A key of a key service, AWS's or another server's.
    KeyService,
    /// A key inside of a hardware security module.
    Token,
    /// The machine's TPM 2.0.
    Tpm,
}

impl SealKind {
    /// All kinds, by code.
    pub const ALL: [Self; 7] = [
        Self::KeyFile,
        Self::Passphrase,
        Self::Credential,
        Self::Shares,
        Self::KeyService,
        Self::Token,
        Self::Tpm,
    ];

    /// The byte in the ring file. 0 is a slot whose seal was removed.
    pub const fn code(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
            Self::Credential => 3,
            Self::Shares => 4,
            Self::KeyService => 5,
            Self::Token => 6,
            Self::Tpm => 7,
        }
    }

    /// The kind of a byte in the ring file; `None` for those of newer versions.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::Passphrase => "passphrase",
            Self::Credential => "credential",
            Self::Shares => "shares",
            Self::KeyService => "kms",
            Self::Token => "pkcs11",
            Self::Tpm => "tpm",
        }
    }

    /// Whether the seal opens without a person, as far as its kind says.
    pub const fn is_automatic(self) -> bool {
        match self {
            Self::KeyFile | Self::Credential | Self::KeyService | Self::Token | Self::Tpm => true,
            Self::Passphrase | Self::Shares => false,
        }
    }
}

/// One seal. A ring has several slots; each holds the same unseal key, protected by one seal.
///
/// Contract: `protect` never returns the unseal key in clear unless the seal's whole point is to
/// hold it (a key file holds the key that encrypts it, elsewhere). `reveal` distinguishes "this is
/// the wrong seal" from "the slot is damaged" and from "the seal cannot be reached".
pub trait Seal: Send + Sync {
    /// What kind it is.
    fn kind(&self) -> SealKind;

    /// Where it is, for people: a path, a token label. Never a secret.
    fn describe(&self) -> String;

    /// Protects `key`; `slot_context` names ring and slot and must be bound.
    ///
    /// # Errors
    ///
    /// [`SealError::Unavailable`].
    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what [`Seal::protect`] returned under the same `slot_context`.
    ///
    /// # Errors
    ///
    /// [`SealError`], each variant as it says.
    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError>;
}

/// Why a seal did not open. The texts say what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The seal works, but it is not the one that protected this slot.
    #[error("this is not the seal that protects the key ring: {0}")]
    WrongSeal(String),
    /// The seal cannot be used: file missing, permissions too open, device unplugged.
    #[error("the seal cannot be used: {0}")]
    Unavailable(String),
    /// The slot's bytes are not what a seal wrote.
    #[error("the seal's slot in the key ring is damaged: {0}")]
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back_and_none_is_that_of_a_vacant_slot() {
        for kind in SealKind::ALL {
            assert_eq!(SealKind::of_code(kind.code()), Some(kind));
            assert_ne!(kind.code(), 0);
        }
        assert_eq!(SealKind::of_code(0), None);
        assert_eq!(SealKind::of_code(200), None);
    }
}
