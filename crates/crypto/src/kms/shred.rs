//! Shred keys: one file each, so that destroying the file destroys what the key helped to wrap, in
//! every journal, snapshot and backup that holds it.
//!
//! ```text
//! "SRK1" || version(1) = 1 || suite(1) = 1 || 0x0000 || ring id(16) || BE32(root key version) ||
//! shred id(16) || salt(32) || commitment(16) || sealed shred key(32) || tag(16) || CRC-64(8)
//! ```

use std::fmt;

use strongroom_types::Entropy;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::Reader;
use crate::kdf::{Derived, derive, label};
use crate::{FormatError, Keyring, ShredKey, Unsealed, UnwrapError};

/// Length of a shred file, in bytes.
pub const SHRED_FILE_LEN_BYTES: usize = 148;

const MAGIC: &[u8; 4] = b"SRK1";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
/// Everything before the salt.
const PREFIX_LEN_BYTES: usize = 44;
const SALT_LEN_BYTES: usize = 32;
const COMMITMENT_LEN_BYTES: usize = 16;
const AAD_LEN_BYTES: usize = PREFIX_LEN_BYTES + SALT_LEN_BYTES + COMMITMENT_LEN_BYTES;
const SEALED_LEN_BYTES: usize = 32 + TAG_LEN_BYTES;

const _: () = assert!(AAD_LEN_BYTES + SEALED_LEN_BYTES + 8 == SHRED_FILE_LEN_BYTES);

/// The name of a shred key: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShredId([u8; 16]);

impl ShredId {
    /// Draws a fresh id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Takes an id from storage.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ShredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ShredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShredId({self})")
    }
}

/// The version of the root key that a shred file needs, so that a rotation finds the old ones.
///
/// # Errors
///
/// [`FormatError`] for what is not a whole shred file of this version.
pub fn shred_file_root_version(stored: &[u8]) -> Result<u32, FormatError> {
    ShredFile::parse(stored).map(|file| file.root_version)
}

/// The ring under which a shred file is sealed, and the key that it says it holds. Nothing is proved
/// by that: it needs no key.
///
/// # Errors
///
/// As [`shred_file_root_version`].
pub fn shred_file_names(stored: &[u8]) -> Result<([u8; 16], ShredId), FormatError> {
    ShredFile::parse(stored).map(|file| (file.ring_id, file.id))
}

impl Keyring<Unsealed> {
    /// The content of the file of `key`, sealed under the active version of the root key.
    pub fn seal_shred_key(&self, id: ShredId, key: &ShredKey, entropy: &dyn Entropy) -> Vec<u8> {
        let (version, root) = self.active_root();
        let mut out = Vec::with_capacity(SHRED_FILE_LEN_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, SUITE, 0, 0]);
        out.extend_from_slice(&self.ring_id());
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(id.as_bytes());
        let mut salt = [0; SALT_LEN_BYTES];
        entropy.fill(&mut salt);
        let keys = derive_keys(root.expose(), &salt, &out);
        let [wrapping_key, commitment] = &*keys;
        out.extend_from_slice(&salt);
        out.extend_from_slice(&commitment[..COMMITMENT_LEN_BYTES]);
        let mut sealed = Zeroizing::new(*key.expose());
        let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &out, sealed.as_mut_slice());
        out.extend_from_slice(sealed.as_slice());
        out.extend_from_slice(&tag);
        let checksum = crc64(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Opens the file of the shred key `id`.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike: damage, another id's file, another ring.
    pub fn open_shred_key(&self, id: ShredId, stored: &[u8]) -> Result<ShredKey, UnwrapError> {
        let file = ShredFile::parse(stored).map_err(|_| UnwrapError)?;
        if file.id != id {
            return Err(UnwrapError);
        }
        let root = self.root_named(file.ring_id, file.root_version)?;
        let keys = derive_keys(root, file.salt, file.prefix);
        let [wrapping_key, commitment] = &*keys;
        if !bool::from(commitment[..COMMITMENT_LEN_BYTES].ct_eq(file.commitment)) {
            return Err(UnwrapError);
        }
        let mut sealed = Zeroizing::new(*file.sealed);
        let opened: &[u8] = Aead::gcm(wrapping_key)
            .open(SINGLE_USE_NONCE, file.aad, sealed.as_mut_slice())
            .ok_or(UnwrapError)?;
        let key = opened.first_chunk().ok_or(UnwrapError)?;
        Ok(ShredKey::from_unwrapped(key))
    }
}

/// A shred file, taken apart; its checksum is right.
struct ShredFile<'a> {
    ring_id: [u8; 16],
    root_version: u32,
    id: ShredId,
    prefix: &'a [u8],
    salt: &'a [u8; SALT_LEN_BYTES],
    commitment: &'a [u8; COMMITMENT_LEN_BYTES],
    aad: &'a [u8],
    sealed: &'a [u8; SEALED_LEN_BYTES],
}

impl<'a> ShredFile<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Reader::new(bytes);
        if fields.array()? != MAGIC {
            return Err(FormatError::BadMagic);
        }
        let &[version, suite, reserved @ ..] = fields.array::<4>()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        if suite != SUITE {
            return Err(FormatError::UnknownSuite(suite));
        }
        let ring_id = *fields.array()?;
        let root_version = fields.u32()?;
        let id = ShredId(*fields.array()?);
        let salt = fields.array()?;
        let commitment = fields.array()?;
        let sealed = fields.array()?;
        let checksum: &[u8; 8] = fields.array()?;
        fields.finish()?;
        let (checked, _) = bytes
            .split_last_chunk::<8>()
            .ok_or(FormatError::BadLength)?;
        if crc64(checked) != *checksum {
            return Err(FormatError::Checksum);
        }
        if reserved != [0, 0] {
            return Err(FormatError::BadValue);
        }
        Ok(Self {
            ring_id,
            root_version,
            id,
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

/// `wrapping key || commitment(16) || unused(16)`.
///
/// ```text
/// HKDF-SHA-512(salt, root key, "strongroom/1 shred" || 0x00 || prefix(44), 64)
/// ```
fn derive_keys(root: &[u8; 32], salt: &[u8; SALT_LEN_BYTES], prefix: &[u8]) -> Derived<2> {
    derive(salt, root, label::SHRED, &[prefix])
}

fn crc64(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes()
}
