//! The key pair of GetParametersForImport, under which ImportKeyMaterial receives key material.

use std::fmt;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use strongroom_types::kms::{EncryptionAlgorithm, KeySpec, WrappingAlgorithm, WrappingKeySpec};
use zeroize::Zeroizing;

use crate::{AsymmetricError, PrivateKey};

/// An RSA key that unwraps imported key material. Not `Clone`; its `Debug` shows the spec alone.
pub struct ImportWrappingKey {
    spec: WrappingKeySpec,
    key: PrivateKey,
}

impl ImportWrappingKey {
    /// Makes a new key pair. Takes up to seconds: call it on a worker thread.
    ///
    /// # Errors
    /// `UnsupportedWrappingKeySpec` for `SM2`; `Internal`.
    pub fn generate(spec: WrappingKeySpec) -> Result<Self, AsymmetricError> {
        let key = PrivateKey::generate(key_spec(spec)?)?;
        Ok(Self { spec, key })
    }

    /// Reads a stored key pair: PKCS#8 DER.
    ///
    /// # Errors
    /// `KeyMaterial` unless it is a key of `spec`; `UnsupportedWrappingKeySpec` for `SM2`.
    pub fn from_pkcs8(spec: WrappingKeySpec, pkcs8: &[u8]) -> Result<Self, AsymmetricError> {
        let key = PrivateKey::from_pkcs8(key_spec(spec)?, pkcs8)?;
        Ok(Self { spec, key })
    }

    /// What kind of key pair this is.
    pub fn spec(&self) -> WrappingKeySpec {
        self.spec
    }

    /// The key as PKCS#8 DER, to be sealed and stored. **Secret.**
    pub fn pkcs8(&self) -> &[u8] {
        self.key.pkcs8()
    }

    /// The public key as DER `SubjectPublicKeyInfo`, as GetParametersForImport answers it.
    pub fn public_key_der(&self) -> &[u8] {
        self.key.public_key_der()
    }

    /// Opens imported key material.
    ///
    /// ```text
    /// RSAES_OAEP_SHA_x         OAEP(material)
    /// RSA_AES_KEY_WRAP_SHA_x   OAEP(aes_key(32)) || AES-KWP[aes_key](material)    RFC 5649
    /// ```
    ///
    /// # Errors
    /// `Unwrap` whichever part failed; `UnsupportedWrappingAlgorithm` for `RSAES_PKCS1_V1_5`, which
    /// AWS has withdrawn since it can be made a decryption oracle, and for `SM2PKE`.
    pub fn unwrap(
        &self,
        algorithm: WrappingAlgorithm,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AsymmetricError> {
        let (oaep, with_aes) = match algorithm {
            WrappingAlgorithm::RsaesOaepSha1 => (EncryptionAlgorithm::RsaesOaepSha1, false),
            WrappingAlgorithm::RsaesOaepSha256 => (EncryptionAlgorithm::RsaesOaepSha256, false),
            WrappingAlgorithm::RsaAesKeyWrapSha1 => (EncryptionAlgorithm::RsaesOaepSha1, true),
            WrappingAlgorithm::RsaAesKeyWrapSha256 => (EncryptionAlgorithm::RsaesOaepSha256, true),
            WrappingAlgorithm::RsaesPkcs1V15 | WrappingAlgorithm::Sm2Pke => {
                return Err(AsymmetricError::UnsupportedWrappingAlgorithm(algorithm));
            }
        };
        let material = if with_aes {
            self.unwrap_with_aes(oaep, wrapped)
        } else {
            self.key.decrypt(oaep, wrapped).ok()
        };
        material.ok_or(AsymmetricError::Unwrap)
    }

    fn unwrap_with_aes(
        &self,
        oaep: EncryptionAlgorithm,
        wrapped: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (aes_key, material) = wrapped.split_at_checked(self.modulus_len_bytes())?;
        let aes_key = self.key.decrypt(oaep, aes_key).ok()?;
        // Refuses every length but 32 bytes.
        let aes_key = AesKek::new(&AES_256, &aes_key).ok()?;
        let mut unwrapped = Zeroizing::new(vec![0; material.len()]);
        let len = aes_key
            .unwrap_with_padding(material, &mut unwrapped)
            .ok()?
            .len();
        unwrapped.truncate(len);
        Some(unwrapped)
    }

    const fn modulus_len_bytes(&self) -> usize {
        match self.spec {
            WrappingKeySpec::Rsa2048 => 256,
            WrappingKeySpec::Rsa3072 => 384,
            WrappingKeySpec::Rsa4096 => 512,
            // Not constructed: `key_spec` refuses it.
            WrappingKeySpec::Sm2 => 0,
        }
    }
}

impl fmt::Debug for ImportWrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportWrappingKey({}, REDACTED)", self.spec.name())
    }
}

fn key_spec(spec: WrappingKeySpec) -> Result<KeySpec, AsymmetricError> {
    match spec {
        WrappingKeySpec::Rsa2048 => Ok(KeySpec::Rsa2048),
        WrappingKeySpec::Rsa3072 => Ok(KeySpec::Rsa3072),
        WrappingKeySpec::Rsa4096 => Ok(KeySpec::Rsa4096),
        WrappingKeySpec::Sm2 => Err(AsymmetricError::UnsupportedWrappingKeySpec(spec)),
    }
}
