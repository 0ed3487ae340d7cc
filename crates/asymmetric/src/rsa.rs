//! An RSA key pair in the forms that its two usages want.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::KeyPair as _;
use strongroom_types::kms::KeySpec;
use zeroize::Zeroizing;

/// The library keeps signing and decrypting keys apart; both views share one key's bytes.
pub(crate) struct RsaPair {
    pub(crate) signing: KeyPair,
    pub(crate) decrypting: OaepPrivateDecryptingKey,
    pub(crate) encrypting: OaepPublicEncryptingKey,
}

impl RsaPair {
    /// A new key of `size`, as PKCS#8 DER. Takes up to seconds.
    pub(crate) fn generate_pkcs8(size: KeySize) -> Option<Zeroizing<Vec<u8>>> {
        let pair = KeyPair::generate(size).ok()?;
        let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
        Some(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// Reads PKCS#8 DER. Refuses every modulus that has not exactly the bits of `size`.
    pub(crate) fn from_pkcs8(size: KeySize, pkcs8: &[u8]) -> Option<Self> {
        let signing = KeyPair::from_pkcs8(pkcs8).ok()?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?;
        if decrypting.key_size_bits() != size.len() * 8 {
            return None;
        }
        let encrypting = OaepPublicEncryptingKey::new(decrypting.public_key()).ok()?;
        let decrypting = OaepPrivateDecryptingKey::new(decrypting).ok()?;
        Some(Self {
            signing,
            decrypting,
            encrypting,
        })
    }

    pub(crate) fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let der: Pkcs8V1Der<'_> = self.signing.as_der().ok()?;
        Some(Zeroizing::new(der.as_ref().to_vec()))
    }

    pub(crate) fn public_key_der(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = self.signing.public_key().as_der().ok()?;
        Some(der.as_ref().to_vec())
    }
}

/// The library's name for an RSA spec's length; none for the others.
pub(crate) const fn key_size(spec: KeySpec) -> Option<KeySize> {
    match spec {
        KeySpec::Rsa2048 => Some(KeySize::Rsa2048),
        KeySpec::Rsa3072 => Some(KeySize::Rsa3072),
        KeySpec::Rsa4096 => Some(KeySize::Rsa4096),
        KeySpec::SymmetricDefault
        | KeySpec::EccNistP256
        | KeySpec::EccNistP384
        | KeySpec::EccNistP521
        | KeySpec::EccSecgP256k1
        | KeySpec::EccNistEdwards25519
        | KeySpec::MlDsa44
        | KeySpec::MlDsa65
        | KeySpec::MlDsa87
        | KeySpec::Hmac224
        | KeySpec::Hmac256
        | KeySpec::Hmac384
        | KeySpec::Hmac512
        | KeySpec::Sm2 => None,
    }
}
