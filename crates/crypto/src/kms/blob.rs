//! Ciphertext blobs: what `Encrypt` and `GenerateDataKey` give to clients.
//!
//! ```text
//! version(1) = 1 || suite(1) = 1 || key id(16) || key material id(32) || salt(32) || commitment(32) ||
//! ciphertext || tag(16)
//! ```
//!
//! Each blob has its own key, derived with a fresh salt and used once. So a key of the key service
//! has no limit of messages, and no nonce is drawn.

use strongroom_types::Entropy;
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId, KeyMaterialId};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, put_prefixed};
use crate::kdf::{Derived, derive, label};
use crate::{FormatError, KMS_BLOB_MAX_BYTES, SymmetricMaterial, UnwrapError};

/// What a blob has above its plaintext, in bytes.
pub const BLOB_OVERHEAD_BYTES: usize = CIPHERTEXT_AT + TAG_LEN_BYTES;

const VERSION: u8 = 1;
/// HKDF-SHA-512, AES-256-GCM, key commitment.
const SUITE: u8 = 1;
/// Version, suite, key id, material id.
const NAMES_LEN_BYTES: usize = 50;
const SALT_LEN_BYTES: usize = 32;
const COMMITMENT_AT: usize = NAMES_LEN_BYTES + SALT_LEN_BYTES;
const CIPHERTEXT_AT: usize = COMMITMENT_AT + 32;

/// Encrypts `plaintext` under `material`, the material `material_id` of the key `key`, whose ARN is
/// `arn`. At most [`KMS_BLOB_MAX_BYTES`] less [`BLOB_OVERHEAD_BYTES`] of plaintext: a longer blob
/// does not parse.
pub fn seal_blob(
    material: &SymmetricMaterial,
    key: KeyId,
    material_id: KeyMaterialId,
    arn: &KeyArn,
    context: &EncryptionContext,
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Vec<u8> {
    // All the room that is needed: plaintext must not stay behind where a vector grew.
    let mut out = Vec::with_capacity(BLOB_OVERHEAD_BYTES + plaintext.len());
    out.extend_from_slice(&[VERSION, SUITE]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(material_id.as_bytes());
    let mut salt = [0; SALT_LEN_BYTES];
    entropy.fill(&mut salt);
    let arn = arn.to_string();
    let keys = derive_keys(material, &salt, &out, &arn);
    let [cipher_key, commitment] = &*keys;
    out.extend_from_slice(&salt);
    let aad = aad(&out, &arn, context);
    out.extend_from_slice(commitment);
    out.extend_from_slice(plaintext);
    Aead::gcm(cipher_key).seal_tail(SINGLE_USE_NONCE, &aad, &mut out, CIPHERTEXT_AT);
    out
}

/// A blob of the right structure. What it names is unverified: it says which key to try, and the
/// caller authorises that key before it opens anything.
#[derive(Clone, Copy, Debug)]
pub struct CiphertextBlob<'a> {
    key: KeyId,
    material: KeyMaterialId,
    names: &'a [u8],
    salt: &'a [u8; SALT_LEN_BYTES],
    /// Names and salt.
    before_commitment: &'a [u8],
    commitment: &'a [u8; 32],
    sealed: &'a [u8],
}

impl<'a> CiphertextBlob<'a> {
    /// Takes a blob apart. Needs no key and proves nothing.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for what this version cannot read.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Reader::new(bytes);
        let version = fields.u8()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        let suite = fields.u8()?;
        if suite != SUITE {
            return Err(FormatError::UnknownSuite(suite));
        }
        let key = KeyId::from_bytes(*fields.array()?);
        let material = KeyMaterialId::from_bytes(*fields.array()?);
        let salt = fields.array()?;
        let commitment = fields.array()?;
        let sealed = fields.take(fields.remaining())?;
        if sealed.len() < TAG_LEN_BYTES || bytes.len() > KMS_BLOB_MAX_BYTES {
            return Err(FormatError::BadLength);
        }
        Ok(Self {
            key,
            material,
            names: bytes.get(..NAMES_LEN_BYTES).ok_or(FormatError::BadLength)?,
            salt,
            before_commitment: bytes.get(..COMMITMENT_AT).ok_or(FormatError::BadLength)?,
            commitment,
            sealed,
        })
    }

    /// The key that the blob says it was made with.
    pub fn key_id(&self) -> KeyId {
        self.key
    }

    /// Which of the key's materials.
    pub fn material_id(&self) -> KeyMaterialId {
        self.material
    }

    /// Decrypts what [`seal_blob`] made with the same material, ARN and context.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn open(
        &self,
        material: &SymmetricMaterial,
        arn: &KeyArn,
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let arn = arn.to_string();
        let keys = derive_keys(material, self.salt, self.names, &arn);
        let [cipher_key, commitment] = &*keys;
        // First: a blob opens under one key at most, and trying several is no oracle.
        if !bool::from(commitment.ct_eq(self.commitment)) {
            return Err(UnwrapError);
        }
        let aad = aad(self.before_commitment, &arn, context);
        let mut out = Zeroizing::new(self.sealed.to_vec());
        let len_bytes = Aead::gcm(cipher_key)
            .open(SINGLE_USE_NONCE, &aad, &mut out)
            .ok_or(UnwrapError)?
            .len();
        out.truncate(len_bytes);
        Ok(out)
    }
}

/// `cipher key || commitment`.
///
/// ```text
/// HKDF-SHA-512(salt, material, "strongroom/1 kms blob" || 0x00 || names(50) || LP(key ARN), 64)
/// ```
fn derive_keys(
    material: &SymmetricMaterial,
    salt: &[u8; SALT_LEN_BYTES],
    names: &[u8],
    arn: &str,
) -> Derived<2> {
    let mut owner = Vec::with_capacity(4 + arn.len());
    put_prefixed(&mut owner, arn.as_bytes());
    derive(salt, material.expose(), label::KMS_BLOB, &[names, &owner])
}

/// `names(50) || salt(32) || LP(key ARN) || canonical context`.
fn aad(before_commitment: &[u8], arn: &str, context: &EncryptionContext) -> Vec<u8> {
    let mut out = before_commitment.to_vec();
    put_prefixed(&mut out, arn.as_bytes());
    out.extend_from_slice(&context.canonical());
    out
}
