//! ML-DSA over a message representative that somebody else computed (FIPS 204, algorithms 7 and 8,
//! from the line after mu on).
//!
//! ```text
//! mu = SHAKE256(SHAKE256(public_key, 64) || 0 || 0 || message, 64)     for an empty context
//! ```
//!
//! aws-lc-rs signs and verifies whole messages only, so this one message type is RustCrypto's. A
//! signature over mu and one over its message are the same thing; the tests hold the two
//! implementations against each other.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use ml_dsa::signature::rand_core::{TryCryptoRng, TryRng};
use ml_dsa::{
    EncodedSignature, EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Seed, Signature,
    SigningKey, VerifyingKey,
};
use strongroom_types::kms::KeySpec;
use zeroize::Zeroizing;

/// Signs `mu` with a key in the encoding of `PrivateKey::pkcs8`. Hedged: fresh randomness goes into
/// each signature, so that a fault does not give away the key.
pub(crate) fn sign(spec: KeySpec, pkcs8: &[u8], mu: &[u8; 64]) -> Option<Vec<u8>> {
    let seed = seed(pkcs8)?;
    match parameters(spec)? {
        Parameters::Set44 => sign_with::<MlDsa44>(&seed, mu),
        Parameters::Set65 => sign_with::<MlDsa65>(&seed, mu),
        Parameters::Set87 => sign_with::<MlDsa87>(&seed, mu),
    }
}

/// Verifies with the bare public key (not `SubjectPublicKeyInfo`).
pub(crate) fn verify(
    spec: KeySpec,
    public_key: &[u8],
    mu: &[u8; 64],
    signature: &[u8],
) -> Option<()> {
    match parameters(spec)? {
        Parameters::Set44 => verify_with::<MlDsa44>(public_key, mu, signature),
        Parameters::Set65 => verify_with::<MlDsa65>(public_key, mu, signature),
        Parameters::Set87 => verify_with::<MlDsa87>(public_key, mu, signature),
    }
}

enum Parameters {
    Set44,
    Set65,
    Set87,
}

const fn parameters(spec: KeySpec) -> Option<Parameters> {
    match spec {
        KeySpec::MlDsa44 => Some(Parameters::Set44),
        KeySpec::MlDsa65 => Some(Parameters::Set65),
        KeySpec::MlDsa87 => Some(Parameters::Set87),
        KeySpec::Rsa2048
        | KeySpec::Rsa3072
        | KeySpec::Rsa4096
        | KeySpec::EccNistP256
        | KeySpec::EccNistP384
        | KeySpec::EccNistP521
        | KeySpec::EccSecgP256k1
        | KeySpec::EccNistEdwards25519
        | KeySpec::SymmetricDefault
        | KeySpec::Hmac224
        | KeySpec::Hmac256
        | KeySpec::Hmac384
        | KeySpec::Hmac512
        | KeySpec::Sm2 => None,
    }
}

fn sign_with<P: MlDsaParams>(seed: &Seed, mu: &[u8; 64]) -> Option<Vec<u8>> {
    let key = SigningKey::<P>::from_seed(seed);
    let signature = key
        .expanded_key()
        .sign_mu_randomized(&(*mu).into(), &mut SystemRandom)
        .ok()?;
    Some(signature.encode().to_vec())
}

fn verify_with<P: MlDsaParams>(public_key: &[u8], mu: &[u8; 64], signature: &[u8]) -> Option<()> {
    let public_key = EncodedVerifyingKey::<P>::try_from(public_key).ok()?;
    let signature = EncodedSignature::<P>::try_from(signature).ok()?;
    let signature = Signature::<P>::decode(&signature)?;
    VerifyingKey::<P>::decode(&public_key)
        .verify_mu(&(*mu).into(), &signature)
        .then_some(())
}

/// `PrivateKey` keeps ML-DSA keys in the seed form of RFC 9881, whose last field is
/// `[0] IMPLICIT OCTET STRING (SIZE (32))`.
fn seed(pkcs8: &[u8]) -> Option<Zeroizing<Seed>> {
    let (front, seed) = pkcs8.split_last_chunk::<32>()?;
    front
        .ends_with(&[0x04, 0x22, 0x80, 0x20])
        .then(|| Zeroizing::new((*seed).into()))
}

/// The random numbers of aws-lc, under the traits of RustCrypto.
struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Unspecified> {
        let mut bytes = [0; 4];
        rand::fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Unspecified> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Unspecified> {
        rand::fill(out)
    }
}

impl TryCryptoRng for SystemRandom {}
