//! The ciphers of the durable store.

use strongroom_crypto::{FrameCipher, Keyring, PageCipher, ServicePurpose, Unsealed};

/// Where the durable store gets its ciphers from. A key ring is one.
pub trait StoreKeys: Send + Sync {
    /// The cipher of one journal file.
    fn journal(&self, salt: &[u8; 32]) -> FrameCipher;
    /// The cipher of one snapshot file.
    fn snapshot(&self, salt: &[u8; 32]) -> FrameCipher;
    /// The cipher of the index file.
    fn index(&self) -> PageCipher;
}

impl StoreKeys for Keyring<Unsealed> {
    fn journal(&self, salt: &[u8; 32]) -> FrameCipher {
        FrameCipher::new(self.service_key(ServicePurpose::Journal), salt)
    }

    fn snapshot(&self, salt: &[u8; 32]) -> FrameCipher {
        FrameCipher::new(self.service_key(ServicePurpose::Snapshot), salt)
    }

    fn index(&self) -> PageCipher {
        PageCipher::new(self.service_key(ServicePurpose::Index))
    }
}
