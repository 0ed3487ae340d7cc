//! The key with which a seal protects the unseal key in its slot of the ring.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use strongroom_types::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::kdf::{Derived, derive, label};
use crate::{KEY_LEN_BYTES, KeyLengthError, UnsealKey};

const VERSION: u8 = 1;
const SALT_LEN_BYTES: usize = 32;
const COMMITMENT_LEN_BYTES: usize = 16;
const SEALED_LEN_BYTES: usize = KEY_LEN_BYTES + TAG_LEN_BYTES;

/// What a seal holds: 32 random bytes, in a file or a device, that protect an unseal key.
///
/// ```compile_fail,E0277
/// fn assert_clone<T: Clone>() {}
/// assert_clone::<strongroom_crypto::SlotKey>();
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SlotKey(Box<[u8; KEY_LEN_BYTES]>);

impl std::fmt::Debug for SlotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlotKey(REDACTED)")
    }
}

impl SlotKey {
    /// Draws a fresh key.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut key = Self(Box::new([0; KEY_LEN_BYTES]));
        entropy.fill(key.0.as_mut_slice());
        key
    }

    /// Takes the bytes that a seal keeps.
    ///
    /// # Errors
    ///
    /// [`KeyLengthError`] unless there are exactly 32.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyLengthError> {
        if bytes.len() != KEY_LEN_BYTES {
            return Err(KeyLengthError {
                got_bytes: bytes.len(),
            });
        }
        let mut key = Self(Box::new([0; KEY_LEN_BYTES]));
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// The raw bytes, for the seal that keeps them. Nobody but a seal calls this.
    pub fn expose(&self) -> &[u8; KEY_LEN_BYTES] {
        &self.0
    }

    /// Protects `unseal_key` in the slot that `slot_context` names
    /// ([`Keyring::slot_context`](crate::Keyring::slot_context)).
    ///
    /// ```text
    /// version 0x01 || salt(32) || commitment(16) || AES-256-GCM(wrapping key, nonce 0, unseal key)(48)
    /// wrapping key || commitment = HKDF-SHA-512(salt, slot key, "strongroom/1 slot key" || 0x00 || slot context)
    /// ```
    ///
    /// The wrapping key is fresh for each salt, so that its one nonce is never used twice.
    pub fn protect(
        &self,
        unseal_key: &UnsealKey,
        slot_context: &[u8],
        entropy: &dyn Entropy,
    ) -> Vec<u8> {
        let mut salt = [0; SALT_LEN_BYTES];
        entropy.fill(&mut salt);
        let keys = self.keys(&salt, slot_context);
        let [wrapping_key, commitment] = &*keys;
        let mut sealed = Zeroizing::new(*unseal_key.expose());
        let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &[VERSION], sealed.as_mut_slice());
        [
            &[VERSION],
            salt.as_slice(),
            commitment_of(commitment),
            sealed.as_slice(),
            &tag,
        ]
        .concat()
    }

    /// Opens what [`SlotKey::protect`] returned under the same `slot_context`.
    ///
    /// # Errors
    ///
    /// [`SlotError`].
    pub fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SlotError> {
        let ([VERSION], rest) = protected.split_first_chunk().ok_or(SlotError::Damaged)? else {
            return Err(SlotError::Damaged);
        };
        let (salt, rest) = rest
            .split_first_chunk::<SALT_LEN_BYTES>()
            .ok_or(SlotError::Damaged)?;
        let (stored, rest) = rest
            .split_first_chunk::<COMMITMENT_LEN_BYTES>()
            .ok_or(SlotError::Damaged)?;
        let sealed: &[u8; SEALED_LEN_BYTES] = rest.try_into().map_err(|_| SlotError::Damaged)?;
        let keys = self.keys(salt, slot_context);
        let [wrapping_key, commitment] = &*keys;
        if verify_slices_are_equal(commitment_of(commitment), stored).is_err() {
            return Err(SlotError::WrongKey);
        }
        let mut sealed = Zeroizing::new(*sealed);
        let opened = Aead::gcm(wrapping_key)
            .open(SINGLE_USE_NONCE, &[VERSION], sealed.as_mut_slice())
            .ok_or(SlotError::Damaged)?;
        UnsealKey::parse(opened).map_err(|_| SlotError::Damaged)
    }

    fn keys(&self, salt: &[u8; SALT_LEN_BYTES], slot_context: &[u8]) -> Derived<2> {
        derive(salt, &self.0, label::SLOT, &[slot_context])
    }
}

fn commitment_of(derived: &[u8; 32]) -> &[u8] {
    derived
        .split_at_checked(COMMITMENT_LEN_BYTES)
        .map_or(&[], |(commitment, _)| commitment)
}

/// Why a slot does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// Another slot key, or another slot.
    #[error("the slot was protected with another key")]
    WrongKey,
    /// Not what a seal wrote.
    #[error("the slot does not verify")]
    Damaged,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU8);

    impl Entropy for Counter {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn counter() -> Counter {
        Counter(1.into())
    }

    #[test]
    fn a_slot_opens_with_its_key_in_its_place_only() {
        let entropy = counter();
        let (slot_key, other) = (SlotKey::random(&entropy), SlotKey::random(&entropy));
        let unseal_key = UnsealKey::random(&entropy);
        let protected = slot_key.protect(&unseal_key, b"slot 0", &entropy);
        assert_eq!(
            slot_key.reveal(&protected, b"slot 0").unwrap().expose(),
            unseal_key.expose()
        );
        assert_eq!(
            other.reveal(&protected, b"slot 0").unwrap_err(),
            SlotError::WrongKey
        );
        assert_eq!(
            slot_key.reveal(&protected, b"slot 1").unwrap_err(),
            SlotError::WrongKey
        );
    }

    #[test]
    fn no_flipped_bit_and_no_other_length_opens() {
        let entropy = counter();
        let slot_key = SlotKey::random(&entropy);
        let protected = slot_key.protect(&UnsealKey::random(&entropy), b"c", &entropy);
        for bit in 0..protected.len() * 8 {
            let mut flipped = protected.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(slot_key.reveal(&flipped, b"c").is_err(), "bit {bit}");
        }
        for len in 0..protected.len() {
            assert_eq!(
                slot_key.reveal(&protected[..len], b"c").unwrap_err(),
                SlotError::Damaged
            );
        }
        let longer = [protected.as_slice(), &[0]].concat();
        assert_eq!(
            slot_key.reveal(&longer, b"c").unwrap_err(),
            SlotError::Damaged
        );
    }

    #[test]
    fn the_same_key_protects_differently_each_time() {
        let entropy = counter();
        let slot_key = SlotKey::random(&entropy);
        let unseal_key = UnsealKey::random(&entropy);
        assert_ne!(
            slot_key.protect(&unseal_key, b"c", &entropy),
            slot_key.protect(&unseal_key, b"c", &entropy)
        );
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(
            format!("{:?}", SlotKey::random(&counter())),
            "SlotKey(REDACTED)"
        );
    }
}
