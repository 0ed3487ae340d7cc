//! A key pair of the service: made, stored, imported, and its public half.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use strongroom_types::kms::KeySpec;
use zeroize::Zeroizing;

use crate::AsymmetricError;
use crate::der::is_one_sequence;
use crate::rsa::{RsaPair, key_size};

/// The private half of an asymmetric KMS key, with the public half that belongs to it.
///
/// It can do what its spec can do; which of that its KeyUsage allows, the caller has decided.
/// Not `Clone`, and its `Debug` shows the spec alone.
///
/// ```
/// fn anything<T>() {}
/// anything::<strongroom_asymmetric::PrivateKey>();
/// ```
/// ```compile_fail,E0277
/// fn cloneable<T: Clone>() {}
/// cloneable::<strongroom_asymmetric::PrivateKey>();
/// ```
pub struct PrivateKey {
    spec: KeySpec,
    pub(crate) pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    public_key_der: Vec<u8>,
}

/// The parsed key. It agrees with `PrivateKey::spec`, which `PrivateKey::from_pair` sees to.
pub(crate) enum Pair {
    Rsa(Box<RsaPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

impl PrivateKey {
    /// Makes a new key. RSA takes long (seconds at 4096 bits): call it on a worker thread.
    ///
    /// # Errors
    /// `UnsupportedKeySpec` for symmetric specs and `SM2`; `Internal`.
    pub fn generate(spec: KeySpec) -> Result<Self, AsymmetricError> {
        let pair = match family(spec)? {
            Family::Rsa => {
                let pkcs8 = key_size(spec)
                    .and_then(RsaPair::generate_pkcs8)
                    .ok_or(AsymmetricError::Internal)?;
                return Self::from_pkcs8(spec, &pkcs8);
            }
            Family::Ecdsa(algorithm) => EcdsaKeyPair::generate(algorithm).map(Pair::Ecdsa),
            Family::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Family::MlDsa(algorithm) => PqdsaKeyPair::generate(algorithm).map(Pair::MlDsa),
        };
        pair.ok()
            .and_then(|pair| Self::from_pair(spec, pair))
            .ok_or(AsymmetricError::Internal)
    }

    /// Reads a stored or an imported key: PKCS#8 DER, unencrypted (RFC 5208, RFC 5958). An ML-DSA
    /// key must hold its seed (RFC 9881); from the expanded key alone it cannot be restored.
    ///
    /// # Errors
    /// `KeyMaterial` unless it is exactly one consistent key of `spec`; `UnsupportedKeySpec` for
    /// symmetric specs and `SM2`.
    pub fn from_pkcs8(spec: KeySpec, pkcs8: &[u8]) -> Result<Self, AsymmetricError> {
        let family = family(spec)?;
        let refused = AsymmetricError::KeyMaterial(spec);
        if !is_one_sequence(pkcs8) {
            return Err(refused);
        }
        let pair = match family {
            Family::Rsa => key_size(spec)
                .and_then(|size| RsaPair::from_pkcs8(size, pkcs8))
                .map(|pair| Pair::Rsa(Box::new(pair))),
            Family::Ecdsa(algorithm) => EcdsaKeyPair::from_pkcs8(algorithm, pkcs8)
                .ok()
                .map(Pair::Ecdsa),
            Family::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Pair::Ed25519),
            Family::MlDsa(algorithm) => PqdsaKeyPair::from_pkcs8(algorithm, pkcs8)
                .ok()
                .map(Pair::MlDsa),
        };
        pair.and_then(|pair| Self::from_pair(spec, pair))
            .ok_or(refused)
    }

    /// Both encodings are made anew from the parsed key, so that one key has one encoding,
    /// whichever of PKCS#8's shapes it was imported in.
    fn from_pair(spec: KeySpec, pair: Pair) -> Option<Self> {
        let (pkcs8, public_key_der) = match &pair {
            Pair::Rsa(pair) => (pair.to_pkcs8()?, pair.public_key_der()?),
            Pair::Ecdsa(pair) => (
                Zeroizing::new(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
                pair.public_key().as_der().ok()?.as_ref().to_vec(),
            ),
            Pair::Ed25519(pair) => (
                Zeroizing::new(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
                pair.public_key().as_der().ok()?.as_ref().to_vec(),
            ),
            Pair::MlDsa(pair) => (
                Zeroizing::new(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
                pair.public_key().as_der().ok()?.as_ref().to_vec(),
            ),
        };
        Some(Self {
            spec,
            pair,
            pkcs8,
            public_key_der,
        })
    }

    /// What kind of key this is.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// The key as PKCS#8 DER, to be sealed and stored, or given out by GenerateDataKeyPair.
    /// **Secret**: whoever has these bytes has the key.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key as DER `SubjectPublicKeyInfo` (RFC 5280), as GetPublicKey answers it. The
    /// same bytes at every call and after every reload.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, REDACTED)", self.spec.name())
    }
}

enum Family {
    Rsa,
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    MlDsa(&'static PqdsaSigningAlgorithm),
}

fn family(spec: KeySpec) -> Result<Family, AsymmetricError> {
    Ok(match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => Family::Rsa,
        KeySpec::EccNistP256 => Family::Ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeySpec::EccNistP384 => Family::Ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeySpec::EccNistP521 => Family::Ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
        KeySpec::EccSecgP256k1 => Family::Ecdsa(&ECDSA_P256K1_SHA256_ASN1_SIGNING),
        KeySpec::EccNistEdwards25519 => Family::Ed25519,
        KeySpec::MlDsa44 => Family::MlDsa(&ML_DSA_44_SIGNING),
        KeySpec::MlDsa65 => Family::MlDsa(&ML_DSA_65_SIGNING),
        KeySpec::MlDsa87 => Family::MlDsa(&ML_DSA_87_SIGNING),
        KeySpec::SymmetricDefault
        | KeySpec::Hmac224
        | KeySpec::Hmac256
        | KeySpec::Hmac384
        | KeySpec::Hmac512
        | KeySpec::Sm2 => return Err(AsymmetricError::UnsupportedKeySpec(spec)),
    })
}
