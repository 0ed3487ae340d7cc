//! Seals: ways to keep the root key ring's unseal key.

use strongroom_crypto::UnsealKey;

/// Which kind of seal holds the unseal key. Stored in the ring's slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SealKind {
    /// A key file outside the data directory.
    KeyFile,
}

impl SealKind {
    /// The byte in the ring file.
    pub const fn code(self) -> u8 {
        match self {
            Self::KeyFile => 1,
        }
    }

    /// The word that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
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
