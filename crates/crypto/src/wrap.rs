//! Wrapped data keys: what is stored instead of a data key.
//!
//! ```text
//! version(1) = 1 || mode(1) || id length(1) || id || BE32(key version) ||
//! salt(32) || commitment(16) || sealed( data key(32) || identity hash(32) ) || tag(16)
//!
//! mode 1: the id is the ring's          mode 3: no id, key version 0
//! mode 2: no id, key version 0, and BE16(length) || ciphertext blob of the key service before the salt
//! mode 4: version(1) = 1 || mode(1) || BE16(length) || record of mode 2 || record of the outer key
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
use crate::{
    CustomerKey, DataKey, FormatError, Keyring, KmsDataKey, ObjectIdentity, OuterKey, Unsealed,
    UnwrapError,
};

/// Longest ciphertext blob of the key service, in bytes: AWS's `CiphertextType`.
pub const KMS_BLOB_MAX_BYTES: usize = 6144;

const VERSION: u8 = 1;
const MODE_RING: u8 = 1;
const MODE_KMS: u8 = 2;
const MODE_CUSTOMER: u8 = 3;
const MODE_TWO_LAYERS: u8 = 4;
/// Of the second half of a record of mode 4; never a record of its own.
const MODE_OUTER: u8 = 5;
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

/// An outer key encrypted for one object version: one half of a [`WrappedKey`] of two layers.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedOuterKey {
    bytes: Vec<u8>,
    ring_id: [u8; 16],
    version: u32,
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
    /// The plaintext of the key service's ciphertext blob that the record holds (SSE-KMS).
    Kms,
    /// The key that the client sends (SSE-C).
    CustomerKey,
    /// The data key as [`WrapMode::Kms`], and the outer key a version of the root key (DSSE-KMS).
    TwoLayers {
        /// The ring.
        ring_id: [u8; 16],
        /// The version of its root key.
        version: u32,
    },
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
    /// [`FormatError`] for what this version cannot read.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mode = if let Some(layers) = Layers::parse(bytes)? {
            let (ring_id, version) = layers.outer_root()?;
            WrapMode::TwoLayers { ring_id, version }
        } else {
            match Fields::parse(bytes)?.wrapper {
                Wrapper::Ring { ring_id, version } => WrapMode::RootRing { ring_id, version },
                Wrapper::Kms(_) => WrapMode::Kms,
                Wrapper::Customer => WrapMode::CustomerKey,
                Wrapper::Outer { .. } => return Err(FormatError::UnknownMode(MODE_OUTER)),
            }
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            mode,
        })
    }

    /// Puts the two keys of a body of two layers into one record.
    ///
    /// # Errors
    ///
    /// [`FormatError::UnknownMode`] unless `inner` is of [`WrapMode::Kms`].
    pub fn two_layers(inner: &Self, outer: &WrappedOuterKey) -> Result<Self, FormatError> {
        if inner.mode != WrapMode::Kms {
            return Err(FormatError::UnknownMode(
                inner.bytes.get(1).copied().unwrap_or_default(),
            ));
        }
        let inner_len = u16::try_from(inner.bytes.len()).map_err(|_| FormatError::BadLength)?;
        let mut bytes = Vec::with_capacity(4 + inner.bytes.len() + outer.bytes.len());
        bytes.extend_from_slice(&[VERSION, MODE_TWO_LAYERS]);
        bytes.extend_from_slice(&inner_len.to_be_bytes());
        bytes.extend_from_slice(&inner.bytes);
        bytes.extend_from_slice(&outer.bytes);
        Ok(Self {
            bytes,
            mode: WrapMode::TwoLayers {
                ring_id: outer.ring_id,
                version: outer.version,
            },
        })
    }

    /// The two records that one of two layers holds, the inner one first.
    pub fn layers(&self) -> Option<(Self, WrappedOuterKey)> {
        let layers = Layers::parse(&self.bytes).ok()??;
        let (ring_id, version) = layers.outer_root().ok()?;
        let inner = Self {
            bytes: layers.inner.to_vec(),
            mode: WrapMode::Kms,
        };
        let outer = WrappedOuterKey {
            bytes: layers.outer.to_vec(),
            ring_id,
            version,
        };
        Some((inner, outer))
    }

    /// The version of the root key without which it does not open; `None` if it needs none.
    pub const fn root_version(&self) -> Option<u32> {
        match self.mode {
            WrapMode::RootRing { version, .. } | WrapMode::TwoLayers { version, .. } => {
                Some(version)
            }
            WrapMode::Kms | WrapMode::CustomerKey => None,
        }
    }

    /// What opens it.
    pub fn mode(&self) -> WrapMode {
        self.mode
    }

    /// The key service's ciphertext blob, if it is the key service's key that opens this.
    pub fn kms_blob(&self) -> Option<&[u8]> {
        match Fields::parse(self.data_key_record()).ok()?.wrapper {
            Wrapper::Kms(blob) => Some(blob),
            Wrapper::Ring { .. } | Wrapper::Customer | Wrapper::Outer { .. } => None,
        }
    }

    /// The record of the data key: all of it, or that of the inner layer.
    fn data_key_record(&self) -> &[u8] {
        match Layers::parse(&self.bytes) {
            Ok(Some(layers)) => layers.inner,
            Ok(None) | Err(_) => &self.bytes,
        }
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WrappedOuterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedOuterKey")
            .field("version", &self.version)
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
        let ring_id = self.ring_id();
        let wrapper = Wrapper::Ring { ring_id, version };
        WrappedKey {
            bytes: wrap(root.expose(), wrapper, data_key.expose(), object, entropy),
            mode: WrapMode::RootRing { ring_id, version },
        }
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
        let opened = unwrap(root, &wrapped.bytes, object.bucket, object.version)?;
        opened.bound_to(object).map(DataKey::from_unwrapped)
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
        let opened = unwrap(root, &wrapped.bytes, bucket, version)?;
        Ok(DataKey::from_unwrapped(opened.key()))
    }

    /// Wraps the outer key of `object` under the active version of the root key. A label of its own
    /// keeps it from standing for a data key.
    pub fn wrap_outer_key(
        &self,
        outer: &OuterKey,
        object: &ObjectIdentity,
        entropy: &dyn Entropy,
    ) -> WrappedOuterKey {
        let (version, root) = self.active_root();
        let ring_id = self.ring_id();
        let wrapper = Wrapper::Outer { ring_id, version };
        WrappedOuterKey {
            bytes: wrap(root.expose(), wrapper, outer.expose(), object, entropy),
            ring_id,
            version,
        }
    }

    /// Unwraps the outer key from a record of two layers.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn unwrap_outer_key(
        &self,
        wrapped: &WrappedKey,
        object: &ObjectIdentity,
    ) -> Result<OuterKey, UnwrapError> {
        let (root, record) = self.outer_of(wrapped)?;
        let opened = unwrap(root, record, object.bucket, object.version)?;
        opened.bound_to(object).map(OuterKey::from_unwrapped)
    }

    /// As [`Keyring::recover_data_key`], for the outer key of a record of two layers.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn recover_outer_key(
        &self,
        wrapped: &WrappedKey,
        bucket: BucketUid,
        version: VersionUid,
    ) -> Result<OuterKey, UnwrapError> {
        let (root, record) = self.outer_of(wrapped)?;
        let opened = unwrap(root, record, bucket, version)?;
        Ok(OuterKey::from_unwrapped(opened.key()))
    }

    /// Wraps anew, under the active version of the root key, what an older version wrapped; `None` if
    /// nothing is to be done, because it is under the active one or needs none. The new record was
    /// opened and holds the same.
    ///
    /// Neither the object key nor, of two layers, the key service is needed: what binds the record to
    /// its object is taken over as it is.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn rewrap(
        &self,
        wrapped: &WrappedKey,
        bucket: BucketUid,
        version: VersionUid,
        entropy: &dyn Entropy,
    ) -> Result<Option<WrappedKey>, UnwrapError> {
        let (active, root) = self.active_root();
        if wrapped.root_version().is_none_or(|it| it == active) {
            return Ok(None);
        }
        let ring_id = self.ring_id();
        let again = |old: &[u8; 32], record: &[u8], wrapper| {
            let opened = unwrap(old, record, bucket, version)?;
            let bytes = wrap_for(
                root.expose(),
                wrapper,
                opened.split(),
                (bucket, version),
                entropy,
            );
            let proof = unwrap(root.expose(), &bytes, bucket, version)?;
            let ((key, identity), (new_key, new_identity)) = (opened.split(), proof.split());
            if bool::from(key.ct_eq(new_key) & identity.ct_eq(new_identity)) {
                Ok(bytes)
            } else {
                Err(UnwrapError)
            }
        };
        let rewrapped = match wrapped.layers() {
            None => {
                let by = Wrapper::Ring {
                    ring_id,
                    version: active,
                };
                WrappedKey {
                    bytes: again(self.root_of(wrapped)?, &wrapped.bytes, by)?,
                    mode: WrapMode::RootRing {
                        ring_id,
                        version: active,
                    },
                }
            }
            Some((inner, _)) => {
                let (old, record) = self.outer_of(wrapped)?;
                let by = Wrapper::Outer {
                    ring_id,
                    version: active,
                };
                let outer = WrappedOuterKey {
                    bytes: again(old, record, by)?,
                    ring_id,
                    version: active,
                };
                WrappedKey::two_layers(&inner, &outer).map_err(|_| UnwrapError)?
            }
        };
        Ok(Some(rewrapped))
    }

    fn outer_of<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
    ) -> Result<(&'a [u8; 32], &'a [u8]), UnwrapError> {
        let layers = Layers::parse(&wrapped.bytes).map_err(|_| UnwrapError)?;
        let layers = layers.ok_or(UnwrapError)?;
        let (ring_id, version) = layers.outer_root().map_err(|_| UnwrapError)?;
        Ok((self.root_named(ring_id, version)?, layers.outer))
    }

    fn root_of(&self, wrapped: &WrappedKey) -> Result<&[u8; 32], UnwrapError> {
        match wrapped.mode {
            WrapMode::RootRing { ring_id, version } => self.root_named(ring_id, version),
            WrapMode::Kms | WrapMode::CustomerKey | WrapMode::TwoLayers { .. } => Err(UnwrapError),
        }
    }

    /// The named version of the root key, if this is the ring and it still holds it.
    pub(crate) fn root_named(
        &self,
        ring_id: [u8; 16],
        version: u32,
    ) -> Result<&[u8; 32], UnwrapError> {
        if ring_id != self.ring_id() {
            return Err(UnwrapError);
        }
        self.root(version)
            .map(crate::secret::RootKey::expose)
            .ok_or(UnwrapError)
    }
}

impl KmsDataKey {
    /// Wraps `data_key` for `object` under this key, of which `blob` is the ciphertext that the key
    /// service gave with it, 1 to [`KMS_BLOB_MAX_BYTES`] long: a record with another does not parse.
    pub fn wrap_data_key(
        &self,
        blob: &[u8],
        data_key: &DataKey,
        object: &ObjectIdentity,
        entropy: &dyn Entropy,
    ) -> WrappedKey {
        let wrapper = Wrapper::Kms(blob);
        WrappedKey {
            bytes: wrap(self.expose(), wrapper, data_key.expose(), object, entropy),
            mode: WrapMode::Kms,
        }
    }

    /// Unwraps what [`KmsDataKey::wrap_data_key`] made for the same object, also from a record of
    /// two layers.
    ///
    /// # Errors
    ///
    /// [`UnwrapError`] for every failure alike.
    pub fn unwrap_data_key(
        &self,
        wrapped: &WrappedKey,
        object: &ObjectIdentity,
    ) -> Result<DataKey, UnwrapError> {
        let record = kms_record(wrapped)?;
        let opened = unwrap(self.expose(), record, object.bucket, object.version)?;
        opened.bound_to(object).map(DataKey::from_unwrapped)
    }

    /// As [`Keyring::recover_data_key`], for who had the blob decrypted.
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
        let opened = unwrap(self.expose(), kms_record(wrapped)?, bucket, version)?;
        Ok(DataKey::from_unwrapped(opened.key()))
    }
}

fn kms_record(wrapped: &WrappedKey) -> Result<&[u8], UnwrapError> {
    match wrapped.mode {
        WrapMode::Kms | WrapMode::TwoLayers { .. } => Ok(wrapped.data_key_record()),
        WrapMode::RootRing { .. } | WrapMode::CustomerKey => Err(UnwrapError),
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
        let wrapper = Wrapper::Customer;
        WrappedKey {
            bytes: wrap(self.expose(), wrapper, data_key.expose(), object, entropy),
            mode: WrapMode::CustomerKey,
        }
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
        let opened = unwrap(key, &wrapped.bytes, object.bucket, object.version)?;
        opened.bound_to(object).map(DataKey::from_unwrapped)
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
        let opened = unwrap(key, &wrapped.bytes, bucket, version)?;
        Ok(DataKey::from_unwrapped(opened.key()))
    }

    fn customer_key_of(&self, wrapped: &WrappedKey) -> Result<&[u8; 32], UnwrapError> {
        match wrapped.mode {
            WrapMode::CustomerKey => Ok(self.expose()),
            WrapMode::RootRing { .. } | WrapMode::Kms | WrapMode::TwoLayers { .. } => {
                Err(UnwrapError)
            }
        }
    }
}

/// What wraps the one key of a record.
#[derive(Clone, Copy)]
enum Wrapper<'a> {
    Ring { ring_id: [u8; 16], version: u32 },
    Kms(&'a [u8]),
    Customer,
    Outer { ring_id: [u8; 16], version: u32 },
}

impl Wrapper<'_> {
    const fn label(self) -> &'static str {
        match self {
            Self::Ring { .. } => label::WRAP_RING,
            Self::Kms(_) => label::WRAP_KMS,
            Self::Customer => label::WRAP_CUSTOMER,
            Self::Outer { .. } => label::WRAP_OUTER,
        }
    }

    /// Everything before the salt.
    fn prefix(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        match self {
            Self::Ring { ring_id, version } | Self::Outer { ring_id, version } => {
                let mode = match self {
                    Self::Outer { .. } => MODE_OUTER,
                    Self::Ring { .. } | Self::Kms(_) | Self::Customer => MODE_RING,
                };
                out.extend_from_slice(&[VERSION, mode, RING_ID_LEN_BYTES]);
                out.extend_from_slice(&ring_id);
                out.extend_from_slice(&version.to_be_bytes());
            }
            Self::Kms(blob) => {
                // A longer one makes a record that no reader accepts.
                let len = u16::try_from(blob.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&[VERSION, MODE_KMS, 0]);
                out.extend_from_slice(&0_u32.to_be_bytes());
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(blob);
            }
            Self::Customer => {
                out.extend_from_slice(&[VERSION, MODE_CUSTOMER, 0]);
                out.extend_from_slice(&0_u32.to_be_bytes());
            }
        }
        out
    }
}

/// The two records in one of mode 4.
struct Layers<'a> {
    inner: &'a [u8],
    outer: &'a [u8],
}

impl<'a> Layers<'a> {
    /// `None` for a record of another mode. Both halves have their structure checked.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, FormatError> {
        let mut fields = Reader::new(bytes);
        if fields.array()? != &[VERSION, MODE_TWO_LAYERS] {
            return Ok(None);
        }
        let inner_len = usize::from(fields.u16()?);
        let inner = fields.take(inner_len)?;
        let outer = fields.take(fields.remaining())?;
        match Fields::parse(inner)?.wrapper {
            Wrapper::Kms(_) => {}
            Wrapper::Ring { .. } | Wrapper::Customer | Wrapper::Outer { .. } => {
                return Err(FormatError::BadValue);
            }
        }
        let layers = Self { inner, outer };
        layers.outer_root()?;
        Ok(Some(layers))
    }

    fn outer_root(&self) -> Result<([u8; 16], u32), FormatError> {
        match Fields::parse(self.outer)?.wrapper {
            Wrapper::Outer { ring_id, version } => Ok((ring_id, version)),
            Wrapper::Ring { .. } | Wrapper::Customer | Wrapper::Kms(_) => {
                Err(FormatError::BadValue)
            }
        }
    }
}

/// A record, taken apart.
struct Fields<'a> {
    wrapper: Wrapper<'a>,
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
        let wrapper = match (mode_byte, id_len) {
            (MODE_RING | MODE_OUTER, RING_ID_LEN_BYTES) => {
                let (ring_id, version) = (*fields.array()?, fields.u32()?);
                if mode_byte == MODE_OUTER {
                    Wrapper::Outer { ring_id, version }
                } else {
                    Wrapper::Ring { ring_id, version }
                }
            }
            (MODE_KMS | MODE_CUSTOMER, 0) => {
                if fields.u32()? != 0 {
                    return Err(FormatError::BadValue);
                }
                if mode_byte == MODE_CUSTOMER {
                    Wrapper::Customer
                } else {
                    let len = usize::from(fields.u16()?);
                    if !(1..=KMS_BLOB_MAX_BYTES).contains(&len) {
                        return Err(FormatError::BadLength);
                    }
                    Wrapper::Kms(fields.take(len)?)
                }
            }
            (MODE_RING | MODE_KMS | MODE_CUSTOMER | MODE_OUTER, _) => {
                return Err(FormatError::BadLength);
            }
            (unknown, _) => return Err(FormatError::UnknownMode(unknown)),
        };
        let prefix_len = bytes.len() - fields.remaining();
        let salt = fields.array()?;
        let commitment = fields.array()?;
        let aad_len = bytes.len() - fields.remaining();
        let sealed = fields.take(SEALED_LEN_BYTES)?;
        fields.finish()?;
        Ok(Self {
            wrapper,
            prefix: bytes.get(..prefix_len).ok_or(FormatError::BadLength)?,
            salt,
            commitment,
            aad: bytes.get(..aad_len).ok_or(FormatError::BadLength)?,
            sealed,
        })
    }
}

/// An unwrapped key and the identity that was wrapped with it.
struct Opened(Zeroizing<[u8; SEALED_LEN_BYTES]>);

impl Opened {
    fn key(&self) -> &[u8; 32] {
        self.split().0
    }

    fn bound_to(&self, object: &ObjectIdentity) -> Result<&[u8; 32], UnwrapError> {
        let (key, identity_half) = self.split();
        if bool::from(half(object).ct_eq(identity_half)) {
            Ok(key)
        } else {
            Err(UnwrapError)
        }
    }

    #[expect(clippy::expect_used, reason = "80 bytes hold twice 32")]
    fn split(&self) -> (&[u8; 32], &[u8; 32]) {
        let (key, rest) = self.0.split_first_chunk().expect("80 bytes");
        (key, rest.first_chunk().expect("48 bytes"))
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
/// HKDF-SHA-512(salt, root key, key of the key service, or customer key,
///              label || 0x00 || prefix || bucket uid || version uid, 64)
/// ```
fn derive_keys(
    key: &[u8; 32],
    wrapper: Wrapper<'_>,
    prefix: &[u8],
    salt: &[u8; SALT_LEN_BYTES],
    bucket: BucketUid,
    version: VersionUid,
) -> crate::kdf::Derived<2> {
    derive(
        salt,
        key,
        wrapper.label(),
        &[prefix, bucket.as_bytes(), version.as_bytes()],
    )
}

/// The record of `content`, a data key or an outer key.
fn wrap(
    key: &[u8; 32],
    wrapper: Wrapper<'_>,
    content: &[u8; 32],
    object: &ObjectIdentity,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let uids = (object.bucket, object.version);
    wrap_for(key, wrapper, (content, &half(object)), uids, entropy)
}

/// As [`wrap`], for who knows of the object no more than what was wrapped before.
fn wrap_for(
    key: &[u8; 32],
    wrapper: Wrapper<'_>,
    (content, identity): (&[u8; 32], &[u8; 32]),
    (bucket, version): (BucketUid, VersionUid),
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mut bytes = wrapper.prefix();
    let mut salt = [0; SALT_LEN_BYTES];
    entropy.fill(&mut salt);
    let keys = derive_keys(key, wrapper, &bytes, &salt, bucket, version);
    let [wrapping_key, commitment] = &*keys;
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(&commitment[..COMMITMENT_LEN_BYTES]);

    let mut sealed = Zeroizing::new([0; 64]);
    let (key_half, identity_half) = sealed.split_at_mut(32);
    key_half.copy_from_slice(content);
    identity_half.copy_from_slice(identity);
    let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &bytes, sealed.as_mut_slice());
    bytes.extend_from_slice(sealed.as_slice());
    bytes.extend_from_slice(&tag);
    bytes
}

fn unwrap(
    key: &[u8; 32],
    record: &[u8],
    bucket: BucketUid,
    version: VersionUid,
) -> Result<Opened, UnwrapError> {
    let fields = Fields::parse(record).map_err(|_| UnwrapError)?;
    let keys = derive_keys(
        key,
        fields.wrapper,
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
    Aead::gcm(wrapping_key)
        .open(SINGLE_USE_NONCE, fields.aad, sealed.as_mut_slice())
        .ok_or(UnwrapError)?;
    Ok(Opened(sealed))
}
