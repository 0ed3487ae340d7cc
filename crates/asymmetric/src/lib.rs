//! The cryptography of KMS keys that are not `SYMMETRIC_DEFAULT`, and of the key pairs under which
//! key material is imported.
//!
//! ```text
//!  PrivateKey         RSA, ECC, Ed25519, ML-DSA    sign, verify, encrypt, decrypt, derive
//!  MacKey             HMAC_224 to HMAC_512         mac, verify
//!  ImportWrappingKey  RSA                          unwrap what ImportKeyMaterial brings
//! ```
//!
//! Signatures, ciphertexts and public keys have the shapes that AWS KMS gives them, so that they can
//! be used outside of the service. This crate is **not** where keys are stored, chosen or
//! authorised: whoever holds one of these types may use it. Unlike the pure crates it draws
//! randomness of its own, since the libraries below take none from outside (RSA primes, ECDSA nonces,
//! PSS salts, OAEP seeds).
//!
//! ```
//! use strongroom_asymmetric::PrivateKey;
//! use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};
//!
//! let key = PrivateKey::generate(KeySpec::EccNistP256)?;
//! let signature = key.sign(SigningAlgorithm::EcdsaSha256, MessageType::Raw, b"paid")?;
//! key.verify(SigningAlgorithm::EcdsaSha256, MessageType::Raw, b"paid", &signature)?;
//! assert!(
//!     key.verify(SigningAlgorithm::EcdsaSha256, MessageType::Raw, b"owed", &signature).is_err()
//! );
//! # Ok::<(), strongroom_asymmetric::AsymmetricError>(())
//! ```

mod agreement;
mod der;
mod encryption;
mod error;
mod external_mu;
mod mac;
mod private_key;
mod rsa;
mod signing;
#[cfg(test)]
mod vectors;
mod wrapping;

pub use error::AsymmetricError;
pub use mac::MacKey;
pub use private_key::PrivateKey;
pub use wrapping::ImportWrappingKey;
