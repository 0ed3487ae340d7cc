//! What can go wrong, by what the caller can do about it.

use strongroom_types::kms::{
    EncryptionAlgorithm, KeySpec, MacAlgorithm, MessageType, SigningAlgorithm, WrappingAlgorithm,
    WrappingKeySpec,
};

/// Why an operation of this crate did not happen.
///
/// Nothing in it depends on a secret: it names algorithms, specs and lengths of the request, and a
/// failed decryption, unwrapping or verification has one variant without a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AsymmetricError {
    /// Not a spec of this kind of key (`PrivateKey`: asymmetric, `MacKey`: HMAC), or `SM2`.
    #[error("key spec {} is not supported here", .0.name())]
    UnsupportedKeySpec(KeySpec),
    /// A wrapping key of `SM2`.
    #[error("wrapping key spec {} is not supported", .0.name())]
    UnsupportedWrappingKeySpec(WrappingKeySpec),
    /// A wrapping algorithm that AWS has withdrawn (`RSAES_PKCS1_V1_5`), or that of `SM2`.
    #[error("wrapping algorithm {} is not supported", .0.name())]
    UnsupportedWrappingAlgorithm(WrappingAlgorithm),
    /// The bytes are no key of this spec: not readable, another kind or length, inconsistent.
    #[error("the key material is not of key spec {}", .0.name())]
    KeyMaterial(KeySpec),
    /// The signing algorithm is not one of the key's.
    #[error("Algorithm {} is incompatible with key spec {}.", algorithm.name(), spec.name())]
    SigningAlgorithm {
        /// What was asked for.
        algorithm: SigningAlgorithm,
        /// The key's.
        spec: KeySpec,
    },
    /// The encryption algorithm is not one of the key's.
    #[error("Algorithm {} is incompatible with key spec {}.", algorithm.name(), spec.name())]
    EncryptionAlgorithm {
        /// What was asked for.
        algorithm: EncryptionAlgorithm,
        /// The key's.
        spec: KeySpec,
    },
    /// The MAC algorithm is not the key's.
    #[error("Algorithm {} is incompatible with key spec {}.", algorithm.name(), spec.name())]
    MacAlgorithm {
        /// What was asked for.
        algorithm: MacAlgorithm,
        /// The key's.
        spec: KeySpec,
    },
    /// The algorithm does not take this type of message.
    #[error("MessageType {} is not compatible with algorithm {}.", message_type.name(), algorithm.name())]
    MessageType {
        /// What was asked for.
        message_type: MessageType,
        /// The algorithm that does not take it.
        algorithm: SigningAlgorithm,
    },
    /// A digest, or ML-DSA's message representative, has not the length that the algorithm makes.
    #[error("Digest is invalid length for algorithm {}.", .0.name())]
    DigestLength(SigningAlgorithm),
    /// More than fits into one RSA-OAEP block of the key.
    #[error("Algorithm {} and key spec {} cannot encrypt data larger than {max_len_bytes} bytes.", algorithm.name(), spec.name())]
    PlaintextLength {
        /// What was asked for.
        algorithm: EncryptionAlgorithm,
        /// The key's.
        spec: KeySpec,
        /// What would have fitted.
        max_len_bytes: usize,
    },
    /// The ciphertext does not decrypt under this key and algorithm.
    #[error("the ciphertext does not decrypt")]
    Decrypt,
    /// The wrapped key material does not unwrap under this key and algorithm.
    #[error("the key material does not unwrap")]
    Unwrap,
    /// The signature is not one of this key over this message.
    #[error("the signature is not valid")]
    InvalidSignature,
    /// The MAC is not one of this key over this message.
    #[error("the MAC is not valid")]
    InvalidMac,
    /// A key of this spec agrees on no secrets.
    #[error("key spec {} has no key agreement", .0.name())]
    KeyAgreement(KeySpec),
    /// The peer's public key is not a DER `SubjectPublicKeyInfo` on the curve of the key.
    #[error("the public key is not a valid key of key spec {}", .0.name())]
    PeerPublicKey(KeySpec),
    /// The library refused what it never should: out of memory or of randomness.
    #[error("the cryptographic library failed")]
    Internal,
}
