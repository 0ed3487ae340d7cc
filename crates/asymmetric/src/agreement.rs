//! ECDH (SP 800-56A, 5.7.1.2), as DeriveSharedSecret uses it.

use aws_lc_rs::agreement::{self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, UnparsedPublicKey};
use strongroom_types::kms::KeySpec;
use zeroize::Zeroizing;

use crate::der::have_one_algorithm;
use crate::{AsymmetricError, PrivateKey};

impl PrivateKey {
    /// The secret shared with the owner of the peer's public key (DER `SubjectPublicKeyInfo`): the
    /// x coordinate of the common point, big-endian, as long as the field (32, 48 or 66 bytes).
    /// Raw, as AWS gives it out; a caller derives keys from it before use.
    ///
    /// # Errors
    /// `KeyAgreement` if the spec has none (it is for the NIST curves); `PeerPublicKey` if the
    /// peer's is malformed, not on the curve, or of another curve.
    pub fn derive_shared_secret(
        &self,
        peer_spki_der: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AsymmetricError> {
        let algorithm = ecdh(self.spec()).ok_or(AsymmetricError::KeyAgreement(self.spec()))?;
        let refused = AsymmetricError::PeerPublicKey(self.spec());
        // The library also takes bare points and curves without a name, which are no SPKI of AWS.
        if !have_one_algorithm(peer_spki_der, self.public_key_der()) {
            return Err(refused);
        }
        let private = agreement::PrivateKey::from_private_key_der(algorithm, self.pkcs8())
            .map_err(|_| AsymmetricError::Internal)?;
        agreement::agree(
            &private,
            UnparsedPublicKey::new(algorithm, peer_spki_der),
            refused,
            |secret| Ok(Zeroizing::new(secret.to_vec())),
        )
    }
}

/// The curves whose keys can have KeyUsage `KEY_AGREEMENT`.
const fn ecdh(spec: KeySpec) -> Option<&'static Algorithm> {
    match spec {
        KeySpec::EccNistP256 => Some(&ECDH_P256),
        KeySpec::EccNistP384 => Some(&ECDH_P384),
        KeySpec::EccNistP521 => Some(&ECDH_P521),
        KeySpec::Rsa2048
        | KeySpec::Rsa3072
        | KeySpec::Rsa4096
        | KeySpec::EccSecgP256k1
        | KeySpec::EccNistEdwards25519
        | KeySpec::MlDsa44
        | KeySpec::MlDsa65
        | KeySpec::MlDsa87
        | KeySpec::SymmetricDefault
        | KeySpec::Hmac224
        | KeySpec::Hmac256
        | KeySpec::Hmac384
        | KeySpec::Hmac512
        | KeySpec::Sm2 => None,
    }
}
