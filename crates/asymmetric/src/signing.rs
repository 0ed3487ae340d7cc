//! Sign and Verify.

use aws_lc_rs::digest::{self, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_44,
    ML_DSA_65, ML_DSA_87, PqdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, UnparsedPublicKey, VerificationAlgorithm,
};
use ed25519_dalek::Digest as _;
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};

use crate::private_key::Pair;
use crate::rsa::RsaPair;
use crate::{AsymmetricError, PrivateKey, external_mu};

impl PrivateKey {
    /// Signs a message, or what stands for it.
    ///
    /// | key | takes | signature |
    /// |---|---|---|
    /// | RSA | RAW, DIGEST | as long as the modulus; PSS with a salt as long as the hash |
    /// | ECC | RAW, DIGEST | DER `SEQUENCE { r, s }` |
    /// | Ed25519 | RAW for `ED25519_SHA_512`, DIGEST for `ED25519_PH_SHA_512` | 64 bytes |
    /// | ML-DSA | RAW, EXTERNAL_MU | 2420, 3309 or 4627 bytes; empty context |
    ///
    /// With `ED25519_PH_SHA_512` the 64 bytes given are hashed **once more**, as AWS does (API
    /// reference of Sign): the signature is that of Ed25519ph over the digest as the message.
    ///
    /// # Errors
    /// `SigningAlgorithm` unless it is one of the key's; `MessageType` if the algorithm does not
    /// take it; `DigestLength` (of a mu, too); `Internal`.
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
            Pair::MlDsa(pair) => self.sign_ml_dsa(pair, &input),
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
        let public_key = || {
            verification(self.spec(), algorithm)
                .map(|scheme| UnparsedPublicKey::new(scheme, self.public_key_der()))
                .ok_or(AsymmetricError::Internal)
        };
        match (&input, &self.pair) {
            (Input::Message(message), _) => public_key()?.verify(message, signature).ok(),
            (Input::Digest(digest), _) => public_key()?.verify_digest(digest, signature).ok(),
            (Input::Ed25519Ph(digest), Pair::Ed25519(pair)) => {
                verify_ed25519ph(pair, digest, signature)
            }
            (Input::Mu(mu), Pair::MlDsa(pair)) => {
                external_mu::verify(self.spec(), pair.public_key().as_ref(), mu, signature)
            }
            (Input::Ed25519Ph(_), Pair::Rsa(_) | Pair::Ecdsa(_) | Pair::MlDsa(_))
            | (Input::Mu(_), Pair::Rsa(_) | Pair::Ecdsa(_) | Pair::Ed25519(_)) => None,
        }
        .ok_or(AsymmetricError::InvalidSignature)
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
            (MessageType::ExternalMu, Hash::MlDsa) => <&[u8; 64]>::try_from(message)
                .map(Input::Mu)
                .map_err(|_| AsymmetricError::DigestLength(algorithm)),
            (MessageType::Raw, Hash::Ed25519Ph | Hash::None)
            | (MessageType::Digest, Hash::Ed25519 | Hash::MlDsa | Hash::None)
            | (
                MessageType::ExternalMu,
                Hash::Sha(_) | Hash::Ed25519 | Hash::Ed25519Ph | Hash::None,
            ) => Err(refused),
        }
    }

    fn sign_ml_dsa(&self, pair: &PqdsaKeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
        match input {
            Input::Message(message) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let len = pair.sign(message, &mut signature).ok()?;
                signature.truncate(len);
                Some(signature)
            }
            Input::Mu(mu) => external_mu::sign(self.spec(), self.pkcs8(), mu),
            Input::Digest(_) | Input::Ed25519Ph(_) => None,
        }
    }
}

/// How aws-lc-rs verifies; none for the schemes that it does not have.
pub(crate) fn verification(
    spec: KeySpec,
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
        S::EcdsaSha256 if spec == KeySpec::EccSecgP256k1 => &ECDSA_P256K1_SHA256_ASN1,
        S::EcdsaSha256 => &ECDSA_P256_SHA256_ASN1,
        S::EcdsaSha384 => &ECDSA_P384_SHA384_ASN1,
        S::EcdsaSha512 => &ECDSA_P521_SHA512_ASN1,
        S::Ed25519Sha512 => &ED25519,
        S::MlDsaShake256 if spec == KeySpec::MlDsa44 => &ML_DSA_44,
        S::MlDsaShake256 if spec == KeySpec::MlDsa65 => &ML_DSA_65,
        S::MlDsaShake256 => &ML_DSA_87,
        S::Ed25519PhSha512 | S::Sm2Dsa => return None,
    })
}

/// What is to be signed, of a type that the algorithm takes.
enum Input<'a> {
    Message(&'a [u8]),
    Digest(Digest),
    Ed25519Ph(Digest),
    Mu(&'a [u8; 64]),
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
        Input::Ed25519Ph(_) | Input::Mu(_) => return None,
    }
    .ok()?;
    Some(signature)
}

fn sign_ecdsa(pair: &EcdsaKeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
    let signature = match input {
        Input::Message(message) => pair.sign(&SystemRandom::new(), message),
        Input::Digest(digest) => pair.sign_digest(digest),
        Input::Ed25519Ph(_) | Input::Mu(_) => return None,
    };
    Some(signature.ok()?.as_ref().to_vec())
}

fn sign_ed25519(pair: &Ed25519KeyPair, input: &Input<'_>) -> Option<Vec<u8>> {
    match input {
        Input::Message(message) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        Input::Ed25519Ph(digest) => {
            let signature = prehash_key(pair)?
                .sign_prehashed(prehash(digest.as_ref()), None)
                .ok()?;
            Some(signature.to_bytes().to_vec())
        }
        Input::Digest(_) | Input::Mu(_) => None,
    }
}

/// Strict: a signature by a point of small order would be valid for many messages.
fn verify_ed25519ph(pair: &Ed25519KeyPair, digest: &Digest, signature: &[u8]) -> Option<()> {
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    prehash_key(pair)?
        .verifying_key()
        .verify_prehashed_strict(prehash(digest.as_ref()), None, &signature)
        .ok()
}

/// The first step of Ed25519ph (FIPS 186-5, 7.8.1); over a digest here, see [`PrivateKey::sign`].
fn prehash(message: &[u8]) -> ed25519_dalek::Sha512 {
    ed25519_dalek::Sha512::new_with_prefix(message)
}

/// The same key for the one scheme that aws-lc-rs does not have.
fn prehash_key(pair: &Ed25519KeyPair) -> Option<ed25519_dalek::SigningKey> {
    let seed = pair.seed().ok()?.as_be_bytes().ok()?;
    Some(ed25519_dalek::SigningKey::from_bytes(
        seed.as_ref().first_chunk::<32>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id-Ed25519` private keys: this, then the seed (RFC 8410, 7).
    const PKCS8_FRONT: &str = "302e020100300506032b657004220420";

    fn rfc_8032_key(seed: &str) -> PrivateKey {
        let pkcs8 = hex::decode(format!("{PKCS8_FRONT}{seed}")).unwrap();
        PrivateKey::from_pkcs8(KeySpec::EccNistEdwards25519, &pkcs8).unwrap()
    }

    #[test]
    fn ed25519_signs_as_in_rfc_8032() {
        let key = rfc_8032_key("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex::encode(key.public_key_der());
        assert!(
            public.ends_with("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        );
        let signature = key
            .sign(SigningAlgorithm::Ed25519Sha512, MessageType::Raw, b"")
            .unwrap();
        assert_eq!(
            hex::encode(signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
    }

    #[test]
    fn ed25519ph_signs_as_in_rfc_8032() {
        let key = rfc_8032_key("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
        let Pair::Ed25519(pair) = &key.pair else {
            panic!("an Ed25519 key");
        };
        let signature = prehash_key(pair)
            .unwrap()
            .sign_prehashed(prehash(b"abc"), None)
            .unwrap();
        assert_eq!(
            hex::encode(signature.to_bytes()),
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
        );
    }

    #[test]
    fn the_two_schemes_of_ed25519_do_not_verify_each_other() {
        let key = rfc_8032_key("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
        let [plain, prehashed] = [
            (SigningAlgorithm::Ed25519Sha512, MessageType::Raw),
            (SigningAlgorithm::Ed25519PhSha512, MessageType::Digest),
        ];
        let message = [7; 64];
        for (one, other) in [(plain, prehashed), (prehashed, plain)] {
            let signature = key.sign(one.0, one.1, &message).unwrap();
            assert_eq!(
                key.verify(other.0, other.1, &message, &signature),
                Err(AsymmetricError::InvalidSignature)
            );
        }
    }
}
