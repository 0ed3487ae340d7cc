//! Telling whether a client sent the customer key of an object, without keeping the key.

use std::fmt;

use aws_lc_rs::hmac;
use strongroom_types::Entropy;
use zeroize::Zeroizing;

use crate::kdf::label;
use crate::{CustomerKey, FormatError, ServiceKey};

/// Length of a stored verifier, in bytes: `salt(32) || HMAC(32)`.
pub const CUSTOMER_KEY_VERIFIER_LEN_BYTES: usize = 64;

/// A salted, peppered HMAC of a customer key.
///
/// Customers may choose weak keys; the pepper, a service key, makes a stolen verifier useless for
/// guessing them, and the salt hides which objects share a key.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKeyVerifier([u8; CUSTOMER_KEY_VERIFIER_LEN_BYTES]);

impl CustomerKeyVerifier {
    /// Makes a verifier with a fresh salt. `pepper` is the service key for
    /// [`CustomerKeyPepper`](crate::ServicePurpose::CustomerKeyPepper).
    pub fn create(key: &CustomerKey, pepper: &ServiceKey, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; CUSTOMER_KEY_VERIFIER_LEN_BYTES];
        let (salt, mac) = bytes.split_at_mut(32);
        entropy.fill(salt);
        let tag = hmac::sign(&pepper_key(pepper), &message(salt, key));
        mac.copy_from_slice(tag.as_ref());
        Self(bytes)
    }

    /// As stored: `salt(32) || HMAC-SHA-256(pepper, label || 0x00 || salt || customer key)(32)`.
    pub fn as_bytes(&self) -> &[u8; CUSTOMER_KEY_VERIFIER_LEN_BYTES] {
        &self.0
    }

    /// Takes a stored verifier.
    ///
    /// # Errors
    ///
    /// [`FormatError::BadLength`] unless it has 64 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| FormatError::BadLength)
    }

    /// Whether `key` is the key that this verifier was made of. In constant time.
    pub fn verify(&self, key: &CustomerKey, pepper: &ServiceKey) -> bool {
        let (salt, mac) = self.0.split_at(32);
        hmac::verify(&pepper_key(pepper), &message(salt, key), mac).is_ok()
    }
}

impl fmt::Debug for CustomerKeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKeyVerifier(REDACTED)")
    }
}

fn pepper_key(pepper: &ServiceKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, pepper.expose())
}

fn message(salt: &[u8], key: &CustomerKey) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(128));
    message.extend_from_slice(label::VERIFIER.as_bytes());
    message.push(0);
    message.extend_from_slice(salt);
    message.extend_from_slice(key.expose());
    message
}
