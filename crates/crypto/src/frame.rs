//! Sealed frames of journal and snapshot files.

use crate::aead::{Aead, NONCE_LEN_BYTES, TAG_LEN_BYTES};
use crate::kdf::{derive, label};
use crate::{OpenError, ServiceKey};

/// What a sealed frame has above its plaintext: the tag.
pub const FRAME_OVERHEAD_BYTES: usize = TAG_LEN_BYTES;

/// Seals the frames of one file, AES-256-GCM with the frame's index as the nonce.
///
/// **An index must never be sealed twice under one salt**, not even when the first frame was torn
/// by a crash: the torn bytes may have reached the disk, and two messages under one nonce give both
/// away. Whoever opens a file for writing after a restart starts a new file with a fresh random salt.
pub struct FrameCipher {
    cipher: Aead,
}

impl FrameCipher {
    /// Derives the file's key from the service key and the file's salt.
    pub fn new(service_key: &ServiceKey, salt: &[u8; 32]) -> Self {
        let keys = derive::<1>(salt, service_key.expose(), label::FRAME, &[]);
        let [key] = &*keys;
        Self {
            cipher: Aead::gcm(key),
        }
    }

    /// Seals `buffer[from..]` in place as frame `index` and appends the tag. `aad` is what the
    /// frame keeps in clear.
    pub fn seal(&self, index: u64, aad: &[u8], buffer: &mut Vec<u8>, from: usize) {
        self.cipher.seal_tail(nonce(index), aad, buffer, from);
    }

    /// Opens the frame `index`, `ciphertext || tag`, in place. `stored` is wiped if it does not verify.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`].
    pub fn open<'a>(
        &self,
        index: u64,
        aad: &[u8],
        stored: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        self.cipher
            .open(nonce(index), aad, stored)
            .ok_or(OpenError::Damaged)
    }
}

/// `0x00000000 || BE64(index)`.
fn nonce(index: u64) -> [u8; NONCE_LEN_BYTES] {
    let mut nonce = [0; NONCE_LEN_BYTES];
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    nonce
}
