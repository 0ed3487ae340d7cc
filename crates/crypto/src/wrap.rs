//! Wrapped data keys: what is stored instead of a data key.
//!
//! ```text
//! version(1) = 1 || mode(1) || id length(1) || id || BE32(key version) ||
//! salt(32) || commitment(16) || sealed( data key(32) || identity hash(32) ) || tag(16)
//! ```
//!
//! Each record has its own wrapping key, derived with a fresh salt and used once, so there is no
//! count of messages to keep and no nonce to draw. The object's identity is inside the sealed part
//! as well as in the derivation (bucket and version), so that a record does not open for another
//! object, and yet recovery can open it before it knows the object key.

use std::fmt;

use strongroom_types::{BucketUid, Entropy, VersionUid};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::Reader;
use crate::kdf::{derive, label};
use crate::{CustomerKey, DataKey, FormatError, Keyring, ObjectIdentity, Unsealed, UnwrapError};

const VERSION: u8 = 1;
const MODE_RING: u8 = 1;
const MODE_CUSTOMER: u8 = 3;
const RING_ID_LEN_BYTES: u8 = 16;
const SALT_LEN_BYTES: usize = 32;
const COMMITMENT_LEN_BYTES: usize = 16;
const SEALED_LEN_BYTES: usize = 64 + TAG_LEN_BYTES;

/// A data key encrypted for one object version. Safe to store, to copy and to log.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    bytes: Vec<u8>,
    mode: WrapMode,
}

/// What opens a [`WrappedKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapMode {
    /// A version of the root key (SSE-S3).
    RootRing {
        /// The ring.
        ring_id: [u8; 16],
        /// The version of its root key.
        version: u32,
    },
    /// The key that the client sends (SSE-C).
    CustomerKey,
}

impl WrappedKey {
    /// The record as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes a record from storage. Needs no key and proves nothing.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for what this version cannot read; modes 2 and 4 (KMS) are reserved.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let fields = Fields::parse(bytes)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            mode: fields.mode,
        })
    }

    /// What opens it.
    pub fn mode(&self) -> WrapMode {
        self.mode
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Keyring<Unsealed> {
    /// Wraps `data_key` for `object` under the active version of the root key.
    pub fn wrap_data_key(
        &self,
        data_key: &DataKey,
        object: &ObjectIdentity,
        entropy: &dyn Entropy,
    ) -> WrappedKey {
        let (version, root) = self.active_root();
        let mode = WrapMode::RootRing {
            ring_id: self.ring_id(),
            version,
        };
        wrap(root.expose(), mode, data_key, object, entropy)
    }

    /// Unwraps what [`Keyring::wrap_data_key`] made for the same object, under any version of the
    /// root key that the ring still holds.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn unwrap_data_key(
        &self,
        wrapped: &WrappedKey,
        object: &ObjectIdentity,
    ) -> Result<DataKey, UnwrapError> {
        let root = self.root_of(wrapped)?;
        unwrap(root, wrapped, object.bucket, object.version)?.bound_to(object)
    }

    /// Unwraps without the object key, for recovery when only blob files and the ring are left: the
    /// caller then reads the object key from the stream with
    /// [`recover_identity`](crate::recover_identity), and must unwrap once more with
    /// [`Keyring::unwrap_data_key`], which checks it.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn recover_data_key(
        &self,
        wrapped: &WrappedKey,
        bucket: BucketUid,
        version: VersionUid,
    ) -> Result<DataKey, UnwrapError> {
        let root = self.root_of(wrapped)?;
        Ok(unwrap(root, wrapped, bucket, version)?.data_key)
    }

    fn root_of(&self, wrapped: &WrappedKey) -> Result<&[u8; 32], UnwrapError> {
        match wrapped.mode {
            WrapMode::RootRing { ring_id, version } if ring_id == self.ring_id() => self
                .root(version)
                .map(crate::secret::RootKey::expose)
                .ok_or(UnwrapError),
            WrapMode::RootRing { .. } | WrapMode::CustomerKey => Err(UnwrapError),
        }
    }
}

impl CustomerKey {
    /// Wraps `data_key` for `object` under this customer key.
    pub fn wrap_data_key(
        &self,
        data_key: &DataKey,
        object: &ObjectIdentity,
        entropy: &dyn Entropy,
    ) -> WrappedKey {
        wrap(
            self.expose(),
            WrapMode::CustomerKey,
            data_key,
            object,
            entropy,
        )
    }

    /// Unwraps what [`CustomerKey::wrap_data_key`] made for the same object.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn unwrap_data_key(
        &self,
        wrapped: &WrappedKey,
        object: &ObjectIdentity,
    ) -> Result<DataKey, UnwrapError> {
        let key = self.customer_key_of(wrapped)?;
        unwrap(key, wrapped, object.bucket, object.version)?.bound_to(object)
    }

    /// As [`Keyring::recover_data_key`], for an owner of the customer key.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn recover_data_key(
        &self,
        wrapped: &WrappedKey,
        bucket: BucketUid,
        version: VersionUid,
    ) -> Result<DataKey, UnwrapError> {
        let key = self.customer_key_of(wrapped)?;
        Ok(unwrap(key, wrapped, bucket, version)?.data_key)
    }

    fn customer_key_of(&self, wrapped: &WrappedKey) -> Result<&[u8; 32], UnwrapError> {
        match wrapped.mode {
            WrapMode::CustomerKey => Ok(self.expose()),
            WrapMode::RootRing { .. } => Err(UnwrapError),
        }
    }
}

/// A record, taken apart.
struct Fields<'a> {
    mode: WrapMode,
    /// Version, mode, id and key version: part of the derivation.
    prefix: &'a [u8],
    salt: &'a [u8; SALT_LEN_BYTES],
    commitment: &'a [u8; COMMITMENT_LEN_BYTES],
    /// Everything before the sealed part.
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
        let (mode_byte, id_len) = (fields.u8()?, fields.u8()?);
        let mode = match (mode_byte, id_len) {
            (MODE_RING, RING_ID_LEN_BYTES) => WrapMode::RootRing {
                ring_id: *fields.array()?,
                version: fields.u32()?,
            },
            (MODE_CUSTOMER, 0) => match fields.u32()? {
                0 => WrapMode::CustomerKey,
                _ => return Err(FormatError::BadValue),
            },
            (MODE_RING | MODE_CUSTOMER, _) => return Err(FormatError::BadLength),
            (unknown, _) => return Err(FormatError::UnknownMode(unknown)),
        };
        let prefix_len = bytes.len() - fields.remaining();
        let salt = fields.array()?;
        let commitment = fields.array()?;
        let aad_len = bytes.len() - fields.remaining();
        let sealed = fields.take(SEALED_LEN_BYTES)?;
        fields.finish()?;
        Ok(Self {
            mode,
            prefix: bytes.get(..prefix_len).ok_or(FormatError::BadLength)?,
            salt,
            commitment,
            aad: bytes.get(..aad_len).ok_or(FormatError::BadLength)?,
            sealed,
        })
    }
}

/// An unwrapped data key and the identity that was wrapped with it.
struct Opened {
    data_key: DataKey,
    identity_hash: [u8; 32],
}

impl Opened {
    fn bound_to(self, object: &ObjectIdentity) -> Result<DataKey, UnwrapError> {
        let expected = half(object);
        if bool::from(expected.ct_eq(&self.identity_hash)) {
            Ok(self.data_key)
        } else {
            Err(UnwrapError)
        }
    }
}

/// The first 32 bytes of the identity's hash.
fn half(object: &ObjectIdentity) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&object.hash()[..32]);
    half
}

/// `wrapping key || commitment(16) || unused(16)`.
///
/// ```text
/// HKDF-SHA-512(salt, root key or customer key,
///              label || 0x00 || prefix || bucket uid || version uid, 64)
/// ```
fn derive_keys(
    key: &[u8; 32],
    mode: WrapMode,
    prefix: &[u8],
    salt: &[u8; SALT_LEN_BYTES],
    bucket: BucketUid,
    version: VersionUid,
) -> crate::kdf::Derived<2> {
    let label = match mode {
        WrapMode::RootRing { .. } => label::WRAP_RING,
        WrapMode::CustomerKey => label::WRAP_CUSTOMER,
    };
    derive(
        salt,
        key,
        label,
        &[prefix, bucket.as_bytes(), version.as_bytes()],
    )
}

fn wrap(
    key: &[u8; 32],
    mode: WrapMode,
    data_key: &DataKey,
    object: &ObjectIdentity,
    entropy: &dyn Entropy,
) -> WrappedKey {
    let mut bytes = Vec::with_capacity(192);
    match mode {
        WrapMode::RootRing { ring_id, version } => {
            bytes.extend_from_slice(&[VERSION, MODE_RING, RING_ID_LEN_BYTES]);
            bytes.extend_from_slice(&ring_id);
            bytes.extend_from_slice(&version.to_be_bytes());
        }
        WrapMode::CustomerKey => {
            bytes.extend_from_slice(&[VERSION, MODE_CUSTOMER, 0]);
            bytes.extend_from_slice(&0_u32.to_be_bytes());
        }
    }
    let mut salt = [0; SALT_LEN_BYTES];
    entropy.fill(&mut salt);
    let keys = derive_keys(key, mode, &bytes, &salt, object.bucket, object.version);
    let [wrapping_key, commitment] = &*keys;
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(&commitment[..COMMITMENT_LEN_BYTES]);

    let mut sealed = Zeroizing::new([0; 64]);
    let (key_half, identity_half) = sealed.split_at_mut(32);
    key_half.copy_from_slice(data_key.expose());
    identity_half.copy_from_slice(&half(object));
    let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &bytes, sealed.as_mut_slice());
    bytes.extend_from_slice(sealed.as_slice());
    bytes.extend_from_slice(&tag);
    WrappedKey { bytes, mode }
}

fn unwrap(
    key: &[u8; 32],
    wrapped: &WrappedKey,
    bucket: BucketUid,
    version: VersionUid,
) -> Result<Opened, UnwrapError> {
    let fields = Fields::parse(&wrapped.bytes).map_err(|_| UnwrapError)?;
    let keys = derive_keys(
        key,
        fields.mode,
        fields.prefix,
        fields.salt,
        bucket,
        version,
    );
    let [wrapping_key, commitment] = &*keys;
    // First, so that trying several keys on one record is no oracle and finds one key at most.
    if !bool::from(commitment[..COMMITMENT_LEN_BYTES].ct_eq(fields.commitment)) {
        return Err(UnwrapError);
    }
    let mut sealed = Zeroizing::new([0; SEALED_LEN_BYTES]);
    sealed.copy_from_slice(fields.sealed);
    let opened: &[u8] = Aead::gcm(wrapping_key)
        .open(SINGLE_USE_NONCE, fields.aad, sealed.as_mut_slice())
        .ok_or(UnwrapError)?;
    let (data_key, identity_hash) = opened.split_first_chunk::<32>().ok_or(UnwrapError)?;
    Ok(Opened {
        data_key: DataKey::from_unwrapped(data_key),
        identity_hash: identity_hash.try_into().map_err(|_| UnwrapError)?,
    })
}
