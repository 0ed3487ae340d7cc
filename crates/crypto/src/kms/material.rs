//! Key material at rest: it opens with the root key and the shred key, and not with one of them.
//!
//! ```text
//! version(1) = 1 || suite(1) = 1 || ring id(16) || BE32(root key version) ||
//! salt(32) || commitment(32) || sealed material || tag(16)
//! ```

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use strongroom_types::Entropy;
use strongroom_types::kms::{KeyArn, KeyId, KeyMaterialId, KeySpec};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, put_prefixed};
use crate::kdf::{Derived, derive, label};
use crate::{FormatError, Keyring, ShredKey, Unsealed, UnwrapError};

/// Longest key material, in bytes; our own limit. A private key of RSA-4096 has about 2,400.
pub const MATERIAL_MAX_BYTES: usize = 8192;

const VERSION: u8 = 1;
const SUITE: u8 = 1;
/// Everything before the salt.
const PREFIX_LEN_BYTES: usize = 22;
const SALT_LEN_BYTES: usize = 32;
const COMMITMENT_LEN_BYTES: usize = 32;
const AAD_LEN_BYTES: usize = PREFIX_LEN_BYTES + SALT_LEN_BYTES + COMMITMENT_LEN_BYTES;

/// What a wrapped material belongs to. It opens as nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialIdentity {
    /// The key.
    pub arn: KeyArn,
    /// Which of its materials.
    pub material: KeyMaterialId,
    /// What kind of key: one kind's bytes must not be taken for another's.
    pub spec: KeySpec,
}

/// The id of `material` as material of `key`: the same bytes under two keys have two ids, and the
/// id tells nothing about them.
///
/// ```text
/// SHA-256( HMAC-SHA-256(material, "strongroom/1 material id" || 0x00 || key id) )
/// ```
#[expect(clippy::expect_used, reason = "SHA-256 gives 32 bytes")]
pub fn material_id(key: KeyId, material: &[u8]) -> KeyMaterialId {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, material));
    context.update(label::MATERIAL_ID.as_bytes());
    context.update(&[0]);
    context.update(key.as_bytes());
    let id = digest(&SHA256, context.sign().as_ref());
    KeyMaterialId::from_bytes(id.as_ref().try_into().expect("32 bytes of SHA-256"))
}

/// The version of the root key that a wrapped material needs, so that a rotation finds the old ones.
///
/// # Errors
///
/// [`FormatError`] for what this version cannot read.
pub fn wrapped_material_root_version(wrapped: &[u8]) -> Result<u32, FormatError> {
    Fields::parse(wrapped).map(|fields| fields.root_version)
}

impl Keyring<Unsealed> {
    /// Wraps the material of a key under the active version of the root key **and** `shred_key`. At
    /// most [`MATERIAL_MAX_BYTES`] of plaintext: a longer record does not unwrap.
    pub fn wrap_material(
        &self,
        shred_key: &ShredKey,
        identity: &MaterialIdentity,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Vec<u8> {
        let (version, root) = self.active_root();
        let mut out = Vec::with_capacity(AAD_LEN_BYTES + plaintext.len() + TAG_LEN_BYTES);
        out.extend_from_slice(&[VERSION, SUITE]);
        out.extend_from_slice(&self.ring_id());
        out.extend_from_slice(&version.to_be_bytes());
        let mut salt = [0; SALT_LEN_BYTES];
        entropy.fill(&mut salt);
        let keys = derive_keys(root.expose(), shred_key, identity, &out, &salt);
        let [wrapping_key, commitment] = &*keys;
        out.extend_from_slice(&salt);
        out.extend_from_slice(commitment);
        let aad = out.clone();
        out.extend_from_slice(plaintext);
        Aead::gcm(wrapping_key).seal_tail(SINGLE_USE_NONCE, &aad, &mut out, AAD_LEN_BYTES);
        out
    }

    /// Unwraps what [`Keyring::wrap_material`] made for the same material with the same shred key,
    /// under any version of the root key that the ring still holds.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn unwrap_material(
        &self,
        shred_key: &ShredKey,
        identity: &MaterialIdentity,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let fields = Fields::parse(wrapped).map_err(|_| UnwrapError)?;
        let root = self.root_named(fields.ring_id, fields.root_version)?;
        let keys = derive_keys(root, shred_key, identity, fields.prefix, fields.salt);
        let [wrapping_key, commitment] = &*keys;
        if !bool::from(commitment.ct_eq(fields.commitment)) {
            return Err(UnwrapError);
        }
        let mut out = Zeroizing::new(fields.sealed.to_vec());
        let len_bytes = Aead::gcm(wrapping_key)
            .open(SINGLE_USE_NONCE, fields.aad, &mut out)
            .ok_or(UnwrapError)?
            .len();
        out.truncate(len_bytes);
        Ok(out)
    }
}

/// A record, taken apart.
struct Fields<'a> {
    ring_id: [u8; 16],
    root_version: u32,
    prefix: &'a [u8],
    salt: &'a [u8; SALT_LEN_BYTES],
    commitment: &'a [u8; COMMITMENT_LEN_BYTES],
    aad: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Reader::new(bytes);
        let version = fields.u8()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        let suite = fields.u8()?;
        if suite != SUITE {
            return Err(FormatError::UnknownSuite(suite));
        }
        let ring_id = *fields.array()?;
        let root_version = fields.u32()?;
        let salt = fields.array()?;
        let commitment = fields.array()?;
        let sealed = fields.take(fields.remaining())?;
        if !(TAG_LEN_BYTES..=MATERIAL_MAX_BYTES + TAG_LEN_BYTES).contains(&sealed.len()) {
            return Err(FormatError::BadLength);
        }
        Ok(Self {
            ring_id,
            root_version,
            prefix: bytes
                .get(..PREFIX_LEN_BYTES)
                .ok_or(FormatError::BadLength)?,
            salt,
            commitment,
            aad: bytes.get(..AAD_LEN_BYTES).ok_or(FormatError::BadLength)?,
            sealed,
        })
    }
}

/// `wrapping key || commitment`, from both keys: who lacks one of them knows nothing, because HMAC
/// is a pseudo-random function of its key and, as HKDF extracts, of its message.
///
/// ```text
/// context = prefix(22) || LP(key ARN) || key material id(32) || LP(key spec)
/// half    = HKDF-SHA-512(salt, root key, "strongroom/1 material root" || 0x00 || context, 32)
/// keys    = HKDF-SHA-512(half, shred key, "strongroom/1 material" || 0x00 || context, 64)
/// ```
fn derive_keys(
    root: &[u8; 32],
    shred_key: &ShredKey,
    identity: &MaterialIdentity,
    prefix: &[u8],
    salt: &[u8; SALT_LEN_BYTES],
) -> Derived<2> {
    let MaterialIdentity {
        arn,
        material,
        spec,
    } = identity;
    let mut context = prefix.to_vec();
    put_prefixed(&mut context, arn.to_string().as_bytes());
    context.extend_from_slice(material.as_bytes());
    put_prefixed(&mut context, spec.name().as_bytes());
    let half = derive::<1>(salt, root, label::MATERIAL_ROOT, &[&context]);
    let [half] = &*half;
    derive(half, shred_key.expose(), label::MATERIAL, &[&context])
}
