//! The ciphers of the durable store.

pub(crate) use crate::standin::{FrameCipher, PageCipher};

/// Where the durable store gets its ciphers from. A key ring is one.
pub trait StoreKeys: Send + Sync {
    /// The cipher of one journal file.
    fn journal(&self, salt: &[u8; 32]) -> FrameCipher;
    /// The cipher of one snapshot file.
    fn snapshot(&self, salt: &[u8; 32]) -> FrameCipher;
    /// The cipher of the index file.
    fn index(&self) -> PageCipher;
}
