//! The keys of an issuer: a JSON Web Key Set (RFC 7517), as far as tokens are signed with it.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use strongroom_types::AccountId;

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 64;
/// Longest key set, in bytes.
pub(crate) const KEY_SET_MAX_BYTES: usize = 256 << 10;

/// Finds the keys of issuers.
///
/// Contract: it blocks for seconds at most; what it finds is the issuer's own word, over a
/// connection that proves to be the issuer's, or a file of the operator's.
pub trait IssuerKeys: Send + Sync {
    /// The keys of the issuer with that URL (`https://...`, as in `iss`). Its server's certificate is
    /// good if the system trusts it, or if a certificate authority in its chain has one of the
    /// thumbprints (SHA-1, 40 digits). `newer` asks for keys that are not these: the issuer may have
    /// changed them. The account is whose provider it is: what it costs to ask is on its account, and
    /// no other's are kept waiting for it.
    ///
    /// # Errors
    ///
    /// [`IssuerKeysError`].
    fn keys(
        &self,
        account: AccountId,
        issuer: &str,
        thumbprints: &[String],
        newer: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IssuerKeysError>;
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeysError {
    /// The issuer's server does not answer, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// What it answers is nothing that can be used, or may not be asked for.
    #[error("{0}")]
    Unusable(String),
}

/// Finds no keys: for services without issuers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIssuerKeys;

impl IssuerKeys for NoIssuerKeys {
    fn keys(
        &self,
        _: AccountId,
        issuer: &str,
        _: &[String],
        _: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IssuerKeysError> {
        Err(IssuerKeysError::Unusable(format!(
            "no keys of {issuer} are known"
        )))
    }
}

/// The signature algorithms that tokens may have (RFC 7518, RFC 8037). What is not here does not
/// exist: `none`, and those whose key would be a secret that the issuer shares with everybody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A public key.
#[derive(Clone, Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point without compression.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Clone, Debug)]
struct IssuerKey {
    id: Option<String>,
    /// The one algorithm that the issuer uses it for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

/// Keys that an issuer signs with.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<IssuerKey>,
}

/// A text is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Web Key Set")]
pub struct KeySetError;

impl KeySet {
    /// Reads a key set. Keys for anything but signatures, of kinds that are not known, and weak ones
    /// are passed over (RFC 7517, 5), and so are those behind the 64th.
    ///
    /// # Errors
    ///
    /// [`KeySetError`], also for texts beyond 256 KiB.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > KEY_SET_MAX_BYTES {
            return Err(KeySetError);
        }
        let document: Value = serde_json::from_slice(text).map_err(|_| KeySetError)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeySetError)?;
        Ok(Self {
            keys: keys.iter().take(KEYS_MAX).filter_map(key).collect(),
        })
    }

    /// Whether one of the keys that `id` names made the signature; without an id, any of them.
    /// `None` if there is no key to try.
    pub(crate) fn verifies(
        &self,
        id: Option<&str>,
        (name, algorithm): (&str, Algorithm),
        signed: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let mut tried = None;
        let keys = self.keys.iter().filter(|key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => true,
        });
        // A key that the issuer keeps for another algorithm is no key for this one.
        let keys = keys.filter(|key| key.algorithm.as_deref().is_none_or(|own| own == name));
        for key in keys {
            let Some(verified) = key.material.verifies(algorithm, signed, signature) else {
                continue;
            };
            if verified {
                return Some(true);
            }
            tried = Some(false);
        }
        tried
    }
}

impl Material {
    /// `None` if the algorithm is for keys of another kind.
    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Option<bool> {
        use Algorithm as A;
        let rsa = |parameters: &'static RsaParameters| match self {
            Self::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                Some(key.verify(parameters, signed, signature).is_ok())
            }
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => None,
        };
        let other = |by: &'static dyn VerificationAlgorithm, key: &[u8]| {
            let key = UnparsedPublicKey::new(by, key);
            Some(key.verify(signed, signature).is_ok())
        };
        match (algorithm, self) {
            (A::Rs256, _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (A::Rs384, _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
            (A::Rs512, _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
            (A::Ps256, _) => rsa(&RSA_PSS_2048_8192_SHA256),
            (A::Ps384, _) => rsa(&RSA_PSS_2048_8192_SHA384),
            (A::Ps512, _) => rsa(&RSA_PSS_2048_8192_SHA512),
            (A::Es256, Self::P256(point)) => other(&ECDSA_P256_SHA256_FIXED, point),
            (A::Es384, Self::P384(point)) => other(&ECDSA_P384_SHA384_FIXED, point),
            (A::EdDsa, Self::Ed25519(key)) => other(&ED25519, key),
            (A::Es256 | A::Es384 | A::EdDsa, _) => None,
        }
    }
}

fn key(value: &Value) -> Option<IssuerKey> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|it| it != "sig") {
        return None;
    }
    let point = |len: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        (x.len() == len && y.len() == len).then(|| [&[4][..], &x, &y].concat())
    };
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => Material::Rsa {
            modulus: without_zeros(bytes("n")?),
            exponent: without_zeros(bytes("e")?),
        },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|it| it.len() == 32)?),
        _ => return None,
    };
    Some(IssuerKey {
        id: text("kid").map(str::to_owned),
        algorithm: text("alg").map(str::to_owned),
        material,
    })
}

/// Some issuers write numbers with zeros in front, which the library does not take.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
