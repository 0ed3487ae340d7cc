//! Keys as types: boxed, wiped on drop, never printed, copied, compared or serialised by accident.

use std::fmt;

use strongroom_types::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Layers;

/// Length of every key, in bytes.
pub const KEY_LEN_BYTES: usize = 32;

macro_rules! secret_key {
    ($(#[$doc:meta])* $visibility:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        $visibility struct $name(Box<[u8; KEY_LEN_BYTES]>);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(REDACTED)"))
            }
        }
    };
}

macro_rules! random_key {
    ($visibility:vis $name:ident) => {
        impl $name {
            /// Draws a fresh key.
            $visibility fn random(entropy: &dyn Entropy) -> Self {
                // Drawn straight into the box: a local array would stay behind on the stack.
                let mut key = Self(Box::new([0; KEY_LEN_BYTES]));
                entropy.fill(key.0.as_mut_slice());
                key
            }
        }
    };
}

macro_rules! lent_inside {
    ($name:ident) => {
        impl $name {
            /// The raw bytes. Only this crate's ciphers may look.
            pub(crate) fn expose(&self) -> &[u8; KEY_LEN_BYTES] {
                &self.0
            }
        }
    };
}

macro_rules! handed_out {
    ($name:ident, $why:literal) => {
        impl $name {
            /// The raw bytes.
            ///
            #[doc = $why]
            pub fn expose(&self) -> &[u8; KEY_LEN_BYTES] {
                &self.0
            }
        }
    };
}

macro_rules! parsed_key_inside {
    ($name:ident) => {
        impl $name {
            /// Takes a key that was just unwrapped.
            pub(crate) fn from_unwrapped(bytes: &[u8; KEY_LEN_BYTES]) -> Self {
                let mut key = Self(Box::new([0; KEY_LEN_BYTES]));
                key.0.copy_from_slice(bytes);
                key
            }
        }
    };
}

macro_rules! parsed_key {
    ($name:ident) => {
        impl $name {
            /// Takes key material from outside.
            ///
            /// # Errors
            ///
            /// [`KeyLengthError`] unless `bytes` is exactly [`KEY_LEN_BYTES`] long.
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
        }
    };
}

secret_key! {
    /// A plaintext data key: seals the body and the attributes of exactly one object version.
    ///
    /// Every key type of this crate lacks `Clone`, `Copy`, `PartialEq` and `Display`, so that a key
    /// has one owner and one end:
    ///
    /// ```compile_fail,E0277
    /// fn assert_clone<T: Clone>() {}
    /// assert_clone::<strongroom_crypto::DataKey>();
    /// ```
    ///
    /// What was wrapped may be copied, as this twin shows:
    ///
    /// ```
    /// fn assert_clone<T: Clone>() {}
    /// assert_clone::<strongroom_crypto::WrappedKey>();
    /// ```
    pub DataKey
}
random_key!(pub DataKey);
lent_inside!(DataKey);
parsed_key_inside!(DataKey);

secret_key! {
    /// The key that opens the ring file. A seal keeps it.
    pub UnsealKey
}
random_key!(pub UnsealKey);
parsed_key!(UnsealKey);

impl UnsealKey {
    /// The raw bytes.
    ///
    /// The one exception to "no key leaves this crate": a seal's task is to keep this key
    /// elsewhere. Nobody but a seal calls this.
    pub fn expose(&self) -> &[u8; KEY_LEN_BYTES] {
        &self.0
    }
}

secret_key! {
    /// A key that a client sent for SSE-C. Held for one request, never stored.
    pub CustomerKey
}
parsed_key!(CustomerKey);
lent_inside!(CustomerKey);

secret_key! {
    /// A key of the service itself, for one [`ServicePurpose`](crate::ServicePurpose). Random, and
    /// wrapped in the ring, so that it outlives the root key version that wraps it.
    pub ServiceKey
}
random_key!(pub ServiceKey);
lent_inside!(ServiceKey);
parsed_key_inside!(ServiceKey);

secret_key! {
    /// One version of the root key. Never leaves the ring.
    pub(crate) RootKey
}
random_key!(pub(crate) RootKey);
lent_inside!(RootKey);
parsed_key_inside!(RootKey);

secret_key! {
    /// A plaintext data key that the key service made: wraps the data key of one object, or as a
    /// bucket key those of many. The key service's blob of it is stored beside what it wraps.
    pub KmsDataKey
}
random_key!(pub KmsDataKey);
parsed_key!(KmsDataKey);
handed_out!(KmsDataKey, "`GenerateDataKey` answers with it.");

secret_key! {
    /// The key of the second layer of a body (DSSE-KMS): drawn for one object version, and used by
    /// another implementation than every other key here.
    pub OuterKey
}
random_key!(pub OuterKey);
lent_inside!(OuterKey);
parsed_key_inside!(OuterKey);

secret_key! {
    /// The material of a symmetric key of the key service.
    pub SymmetricMaterial
}
random_key!(pub SymmetricMaterial);
parsed_key!(SymmetricMaterial);
handed_out!(
    SymmetricMaterial,
    "The key service wraps it with [`wrap_material`](crate::Keyring::wrap_material)."
);

secret_key! {
    /// The key without which the materials of one key of the key service do not open: kept in a
    /// file of its own, so that destroying the file destroys them wherever they were copied to.
    pub ShredKey
}
random_key!(pub ShredKey);
lent_inside!(ShredKey);
parsed_key_inside!(ShredKey);

/// What seals a body: the data key, and the key of the second layer where there is one.
///
/// Which of the two shapes it has is never read from the stored stream: a stream of one layer does
/// not open with two keys, nor one of two layers with one.
pub struct BodyKeys {
    data_key: DataKey,
    outer: Option<OuterKey>,
}

impl BodyKeys {
    /// One layer.
    pub const fn single(data_key: DataKey) -> Self {
        Self {
            data_key,
            outer: None,
        }
    }

    /// Two layers (DSSE-KMS): the data key is the inner one's.
    pub const fn two_layers(data_key: DataKey, outer: OuterKey) -> Self {
        Self {
            data_key,
            outer: Some(outer),
        }
    }

    /// How many layers these keys seal.
    pub const fn layers(&self) -> Layers {
        match self.outer {
            None => Layers::One,
            Some(_) => Layers::Two,
        }
    }

    /// The data key, which seals attributes too.
    pub const fn data_key(&self) -> &DataKey {
        &self.data_key
    }

    /// The key of the second layer.
    pub const fn outer(&self) -> Option<&OuterKey> {
        self.outer.as_ref()
    }
}

impl fmt::Debug for BodyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKeys(REDACTED)")
    }
}

/// The key material had the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has {KEY_LEN_BYTES} bytes, got {got_bytes}")]
pub struct KeyLengthError {
    /// Length of the rejected input, in bytes.
    pub got_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_prints_key_bytes() {
        let key = CustomerKey::parse(&[0xAB; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "CustomerKey(REDACTED)");
        let key = UnsealKey::parse(&[0xAB; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "UnsealKey(REDACTED)");
        let data_key = DataKey::from_unwrapped(&[0xAB; 32]);
        let keys = BodyKeys::two_layers(data_key, OuterKey::from_unwrapped(&[0xAB; 32]));
        assert_eq!(format!("{keys:?}"), "BodyKeys(REDACTED)");
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for got_bytes in [0, 16, 31, 33, 64] {
            let bytes = vec![1; got_bytes];
            let expected = KeyLengthError { got_bytes };
            assert_eq!(CustomerKey::parse(&bytes).unwrap_err(), expected);
            assert_eq!(UnsealKey::parse(&bytes).unwrap_err(), expected);
        }
    }
}
