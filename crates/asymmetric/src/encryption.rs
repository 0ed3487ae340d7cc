//! RSA-OAEP (RFC 8017, 7.1), as Encrypt and Decrypt use it with an asymmetric key.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};
use strongroom_types::kms::EncryptionAlgorithm;
use zeroize::Zeroizing;

use crate::private_key::Pair;
use crate::rsa::RsaPair;
use crate::{AsymmetricError, PrivateKey};

impl PrivateKey {
    /// How much plaintext one encryption takes: `modulus - 2 * hash - 2`, in bytes.
    ///
    /// # Errors
    /// `EncryptionAlgorithm` unless it is one of the key's.
    pub fn max_plaintext_len_bytes(
        &self,
        algorithm: EncryptionAlgorithm,
    ) -> Result<usize, AsymmetricError> {
        let (pair, oaep) = self.oaep(algorithm)?;
        Ok(pair.encrypting.max_plaintext_size(oaep))
    }

    /// Encrypts under the public half. The ciphertext is as long as the modulus; the label is empty.
    ///
    /// # Errors
    /// `EncryptionAlgorithm` unless it is one of the key's; `PlaintextLength`; `Internal`.
    pub fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, AsymmetricError> {
        let (pair, oaep) = self.oaep(algorithm)?;
        let max_len_bytes = pair.encrypting.max_plaintext_size(oaep);
        if plaintext.len() > max_len_bytes {
            return Err(AsymmetricError::PlaintextLength {
                algorithm,
                spec: self.spec(),
                max_len_bytes,
            });
        }
        let mut ciphertext = vec![0; pair.encrypting.ciphertext_size()];
        let len = pair
            .encrypting
            .encrypt(oaep, plaintext, &mut ciphertext, None)
            .map_err(|_| AsymmetricError::Internal)?
            .len();
        ciphertext.truncate(len);
        Ok(ciphertext)
    }

    /// Decrypts what `encrypt`, or anybody with the public key, encrypted.
    ///
    /// # Errors
    /// `EncryptionAlgorithm` unless it is one of the key's; `Decrypt` for whatever else it may be.
    pub fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AsymmetricError> {
        let (pair, oaep) = self.oaep(algorithm)?;
        let mut plaintext = Zeroizing::new(vec![0; pair.decrypting.min_output_size()]);
        let len = pair
            .decrypting
            .decrypt(oaep, ciphertext, &mut plaintext, None)
            .map_err(|_| AsymmetricError::Decrypt)?
            .len();
        plaintext.truncate(len);
        Ok(plaintext)
    }

    fn oaep(
        &self,
        algorithm: EncryptionAlgorithm,
    ) -> Result<(&RsaPair, &'static OaepAlgorithm), AsymmetricError> {
        let refused = AsymmetricError::EncryptionAlgorithm {
            algorithm,
            spec: self.spec(),
        };
        let Pair::Rsa(pair) = &self.pair else {
            return Err(refused);
        };
        match algorithm {
            EncryptionAlgorithm::RsaesOaepSha1 => Ok((pair, &OAEP_SHA1_MGF1SHA1)),
            EncryptionAlgorithm::RsaesOaepSha256 => Ok((pair, &OAEP_SHA256_MGF1SHA256)),
            EncryptionAlgorithm::SymmetricDefault | EncryptionAlgorithm::Sm2Pke => Err(refused),
        }
    }
}
