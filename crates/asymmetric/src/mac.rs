//! HMAC keys (RFC 2104, FIPS 198-1), as GenerateMac and VerifyMac use them.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::hmac;
use strongroom_types::Entropy;
use strongroom_types::kms::{KeySpec, MacAlgorithm};
use zeroize::Zeroizing;

use crate::AsymmetricError;

/// The material of a KMS key of one of the HMAC specs. Not `Clone`; its `Debug` shows the spec alone.
pub struct MacKey {
    spec: KeySpec,
    algorithm: MacAlgorithm,
    bytes: Zeroizing<Vec<u8>>,
}

impl MacKey {
    /// Makes a new key, as long as the hash: 28, 32, 48 or 64 bytes.
    ///
    /// # Errors
    /// `UnsupportedKeySpec` unless it is an HMAC spec.
    pub fn generate(spec: KeySpec, entropy: &dyn Entropy) -> Result<Self, AsymmetricError> {
        let algorithm = algorithm(spec)?;
        let mut bytes = Zeroizing::new(vec![0; *key_len_bytes(algorithm).start()]);
        entropy.fill(&mut bytes);
        Ok(Self {
            spec,
            algorithm,
            bytes,
        })
    }

    /// A stored or an imported key: at least as long as the hash and at most as long as its block,
    /// that is 28..=64, 32..=64, 48..=128 or 64..=128 bytes. (Longer ones HMAC would hash first.)
    ///
    /// # Errors
    /// `KeyMaterial` for other lengths; `UnsupportedKeySpec` unless it is an HMAC spec.
    pub fn from_bytes(spec: KeySpec, bytes: &[u8]) -> Result<Self, AsymmetricError> {
        let algorithm = algorithm(spec)?;
        if !key_len_bytes(algorithm).contains(&bytes.len()) {
            return Err(AsymmetricError::KeyMaterial(spec));
        }
        Ok(Self {
            spec,
            algorithm,
            bytes: Zeroizing::new(bytes.to_vec()),
        })
    }

    /// What kind of key this is.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// The key itself, to be sealed and stored. **Secret.**
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `HMAC(key, message)`, not truncated.
    ///
    /// # Errors
    /// `MacAlgorithm` unless it is the key's.
    pub fn mac(&self, algorithm: MacAlgorithm, message: &[u8]) -> Result<Vec<u8>, AsymmetricError> {
        Ok(hmac::sign(&self.key(algorithm)?, message).as_ref().to_vec())
    }

    /// Checks a MAC in constant time. Truncated MACs are not valid.
    ///
    /// # Errors
    /// `InvalidMac`; `MacAlgorithm` unless it is the key's.
    pub fn verify(
        &self,
        algorithm: MacAlgorithm,
        message: &[u8],
        mac: &[u8],
    ) -> Result<(), AsymmetricError> {
        hmac::verify(&self.key(algorithm)?, message, mac).map_err(|_| AsymmetricError::InvalidMac)
    }

    fn key(&self, algorithm: MacAlgorithm) -> Result<hmac::Key, AsymmetricError> {
        if algorithm != self.algorithm {
            return Err(AsymmetricError::MacAlgorithm {
                algorithm,
                spec: self.spec,
            });
        }
        let algorithm = match algorithm {
            MacAlgorithm::HmacSha224 => hmac::HMAC_SHA224,
            MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        Ok(hmac::Key::new(algorithm, &self.bytes))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKey({}, REDACTED)", self.spec.name())
    }
}

fn algorithm(spec: KeySpec) -> Result<MacAlgorithm, AsymmetricError> {
    spec.mac_algorithm()
        .ok_or(AsymmetricError::UnsupportedKeySpec(spec))
}

/// From the length of the hash to the length of its block (AWS KMS Developer Guide, "Requirements
/// for imported key material").
const fn key_len_bytes(algorithm: MacAlgorithm) -> RangeInclusive<usize> {
    match algorithm {
        MacAlgorithm::HmacSha224 => 28..=64,
        MacAlgorithm::HmacSha256 => 32..=64,
        MacAlgorithm::HmacSha384 => 48..=128,
        MacAlgorithm::HmacSha512 => 64..=128,
    }
}
