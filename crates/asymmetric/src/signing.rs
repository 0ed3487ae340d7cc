//! Sign and Verify.

use aws_lc_rs::digest::{self, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, EcdsaKeyPair, Ed25519KeyPair, ML_DSA_44, ML_DSA_65, ML_DSA_87,
    PqdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, UnparsedPublicKey, VerificationAlgorithm,
};
use ed25519_dalek::Digest as _;
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};

use crate::private_key::Pair;
use crate::rsa::RsaPair;
use crate::{AsymmetricError, PrivateKey};

impl PrivateKey {
    /// Signs a message, or what stands for it.
    ///
    /// | key | takes | signature |
    /// |---|---|---|
    /// | RSA | RAW, DIGEST | as long as the modulus; PSS with a salt as long as the hash |
    /// | ECC | RAW, DIGEST | DER `SEQUENCE { r, s }` |
    /// | Ed25519 | RAW for `ED25519_SHA_512`, DIGEST for `ED25519_PH_SHA_512` | 64 bytes |
    /// | ML-DSA | RAW | 2420, 3309 or 4627 bytes; empty context |
    ///
    /// With `ED25519_PH_SHA_512` the 64 bytes given are hashed **once more**, as AWS does (API
    /// reference of Sign): the signature is that of Ed25519ph over the digest as the message.
    ///
    /// # Errors
    /// `SigningAlgorithm` unless it is one of the key's; `MessageType` if the algorithm does not
    /// take it; `DigestLength`; `UnsupportedMessageType` for `EXTERNAL_MU`; `Internal`.
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
    ) -> Result<Vec<u8>, AsymmetricError> {
        let input = self.input(algorithm, message_type, message)?;
        match &self.pair {
            Pair::Rsa(pair) => sign_rsa(pair, algorithm, &input),
            Pair::Ecdsa(pair) => sign_ecdsa(pair, &input),
            Pair::Ed25519(pair) => sign_ed25519(pair, &input),
            Pair::MlDsa(pair) => sign_ml_dsa(pair, &input),
        }
        .ok_or(AsymmetricError::Internal)
    }

    /// Checks a signature by the public half of this key.
    ///
    /// # Errors
    /// `InvalidSignature` for whatever is wrong with it; else as [`sign`](Self::sign).
    pub fn verify(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), AsymmetricError> {
        let input = self.input(algorithm, message_type, message)?;
        if let Input::Ed25519Ph(digest) = &input {
            return match &self.pair {
                Pair::Ed25519(pair) => verify_ed25519ph(pair, digest, signature),
                Pair::Rsa(_) | Pair::Ecdsa(_) | Pair::MlDsa(_) => None,
            }
            .ok_or(AsymmetricError::InvalidSignature);
        }
        let scheme = self
            .verification(algorithm)
            .ok_or(AsymmetricError::Internal)?;
        let public_key = UnparsedPublicKey::new(scheme, self.public_key_der());
        match &input {
            Input::Message(message) => public_key.verify(message, signature),
            Input::Digest(digest) => public_key.verify_digest(digest, signature),
            Input::Ed25519Ph(_) => return Err(AsymmetricError::Internal),
        }
        .map_err(|_| AsymmetricError::InvalidSignature)
    }

    /// Parses what is to be signed: everything about the request that can be wrong is found here.
    fn input<'a>(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &'a [u8],
    ) -> Result<Input<'a>, AsymmetricError> {
        if !self.spec().signing_algorithms().contains(&algorithm) {
            return Err(AsymmetricError::SigningAlgorithm {
                algorithm,
                spec: self.spec(),
            });
        }
        let refused = AsymmetricError::MessageType {
            message_type,
            algorithm,
        };
        let digest = |hash: &'static digest::Algorithm| {
            Digest::import_less_safe(message, hash)
                .map_err(|_| AsymmetricError::DigestLength(algorithm))
        };
        match (message_type, hash(algorithm)) {
            (MessageType::Raw, Hash::Sha(_) | Hash::Ed25519 | Hash::MlDsa) => {
                Ok(Input::Message(message))
            }
            (MessageType::Digest, Hash::Sha(hash)) => digest(hash).map(Input::Digest),
            (MessageType::Digest, Hash::Ed25519Ph) => digest(&SHA512).map(Input::Ed25519Ph),
            (MessageType::ExternalMu, Hash::MlDsa) => {
                Err(AsymmetricError::UnsupportedMessageType {
                    message_type,
                    algorithm,
                })
            }
            (MessageType::Raw, Hash::Ed25519Ph | Hash::None)
            | (MessageType::Digest, Hash::Ed25519 | Hash::MlDsa | Hash::None)
            | (
                MessageType::ExternalMu,
                Hash::Sha(_) | Hash::Ed25519 | Hash::Ed25519Ph | Hash::None,
            ) => Err(refused),
        }
    }

    fn verification(
        &self,
        algorithm: SigningAlgorithm,
    ) -> Option<&'static dyn VerificationAlgorithm> {
        use SigningAlgorithm as S;
        Some(match algorithm {
            S::RsassaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            S::RsassaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            S::RsassaPssSha512 => &RSA_PSS_2048_8192_SHA512,
            S::RsassaPkcs1V15Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            S::RsassaPkcs1V15Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            S::RsassaPkcs1V15Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            S::EcdsaSha256 if self.spec() == KeySpec::EccSecgP256k1 => &ECDSA_P256K1_SHA256_ASN1,
            S::EcdsaSha256 => &ECDSA_P256_SHA256_ASN1,
            S::EcdsaSha384 => &ECDSA_P384_SHA384_ASN1,
            S::EcdsaSha512 => &ECDSA_P521_SHA512_ASN1,
            S::Ed25519Sha512 => &ED25519,
            S::MlDsaShake256 if self.spec() == KeySpec::MlDsa44 => &ML_DSA_44,
            S::MlDsaShake256 if self.spec() == KeySpec::MlDsa65 => &ML_DSA_65,
            S::MlDsaShake256 => &ML_DSA_87,
            S::Ed25519PhSha512 | S::Sm2Dsa => return None,
        })
    }
}

/// What is to be signed, of a type that the algorithm takes.
enum Input<'a> {
    Message(&'a [u8]),
    Digest(Digest),
    Ed25519Ph(Digest),
}

/// What stands between a message and its signature.
enum Hash {
    Sha(&'static digest::Algorithm),
    Ed25519,
    Ed25519Ph,
    MlDsa,
    None,
}

const fn hash(algorithm: SigningAlgorithm) -> Hash {
    use SigningAlgorithm as S;
    match algorithm {
        S::RsassaPssSha256 | S::RsassaPkcs1V15Sha256 | S::EcdsaSha256 => Hash::Sha(&SHA256),
        S::RsassaPssSha384 | S::RsassaPkcs1V15Sha384 | S::EcdsaSha384 => Hash::Sha(&SHA384),
        S::RsassaPssSha512 | S::RsassaPkcs1V15Sha512 | S::EcdsaSha512 => Hash::Sha(&SHA512),
        S::Ed25519Sha512 => Hash::Ed25519,
        S::Ed25519PhSha512 => Hash::Ed25519Ph,
        S::MlDsaShake256 => Hash::MlDsa,
        S::Sm2Dsa => Hash::None,
    }
}

fn sign_rsa(pair: &RsaPair, algorithm: SigningAlgorithm, input: &Input<'_>) -> Option<Vec<u8>> {
    use SigningAlgorithm as S;
    let encoding: &'static dyn RsaEncoding = match algorithm {
        S::RsassaPssSha256 => &RSA_PSS_SHA256,
        S::RsassaPssSha384 => &RSA_PSS_SHA384,
        S::RsassaPssSha512 => &RSA_PSS_SHA512,
        S::RsassaPkcs1V15Sha256 => &RSA_PKCS1_SHA256,
        S::RsassaPkcs1V15Sha384 => &RSA_PKCS1_SHA384,
        S::RsassaPkcs1V15Sha512 => &RSA_PKCS1_SHA512,
        S::EcdsaSha256
        | S::EcdsaSha384
        | S::EcdsaSha512
        | S::Sm2Dsa
        | S::MlDsaShake256
        | S::Ed25519Sha512
        | S::Ed25519PhSha512 => return None,
    };
    let mut signature = vec![0; pair.signing.public_modulus_len()];
    match input {
        Input::Message(message) => {
            pair.signing
                .sign(encoding, &SystemRandom::new(), message, &mut signature)
        }
        Input::Digest(digest) => pair.signing.sign_digest(encoding, digest, &mut signature),
        Input::Ed25519Ph(_) => return None,
    }
    .ok()?;
    Some(signature)
}

fn sign_ecdsa(pair: &EcdsaKeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
    let signature = match input {
        Input::Message(message) => pair.sign(&SystemRandom::new(), message),
        Input::Digest(digest) => pair.sign_digest(digest),
        Input::Ed25519Ph(_) => return None,
    };
    Some(signature.ok()?.as_ref().to_vec())
}

fn sign_ed25519(pair: &Ed25519KeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
    match input {
        Input::Message(message) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        Input::Ed25519Ph(digest) => {
            let signature = prehash_key(pair)?
                .sign_prehashed(prehash(digest), None)
                .ok()?;
            Some(signature.to_bytes().to_vec())
        }
        Input::Digest(_) => None,
    }
}

fn sign_ml_dsa(pair: &PqdsaKeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
    let Input::Message(message) = input else {
        return None;
    };
    let mut signature = vec![0; pair.algorithm().signature_len()];
    let len = pair.sign(message, &mut signature).ok()?;
    signature.truncate(len);
    Some(signature)
}

/// Strict: a signature by a point of small order would be valid for many messages.
fn verify_ed25519ph(pair: &Ed25519KeyPair, digest: &Digest, signature: &[u8]) -> Option<()> {
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    prehash_key(pair)?
        .verifying_key()
        .verify_prehashed_strict(prehash(digest), None, &signature)
        .ok()
}

/// The first step of Ed25519ph (FIPS 186-5, 7.8.1) over the digest, see [`PrivateKey::sign`].
fn prehash(digest: &Digest) -> ed25519_dalek::Sha512 {
    ed25519_dalek::Sha512::new_with_prefix(digest.as_ref())
}

/// The same key for the one scheme that aws-lc-rs does not have.
fn prehash_key(pair: &Ed25519KeyPair) -> Option<ed25519_dalek::SigningKey> {
    let seed = pair.seed().ok()?.as_be_bytes().ok()?;
    Some(ed25519_dalek::SigningKey::from_bytes(
        seed.as_ref().first_chunk::<32>()?,
    ))
}
