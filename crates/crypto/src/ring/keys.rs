//! The keys inside an unsealed ring.

use strongroom_types::{Entropy, Timestamp};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, be32};
use crate::kdf::{Derived, derive, label};
use crate::secret::RootKey;
use crate::{FormatError, RingError, ServiceKey};

const BODY_VERSION: u8 = 1;
const COMMITMENT_LEN_BYTES: usize = 16;
const SEALED_KEY_LEN_BYTES: usize = 32 + TAG_LEN_BYTES;

/// What a service key is for. Each purpose has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServicePurpose {
    /// Values of rows in the index.
    Rows,
    /// Journal frames.
    Journal,
    /// Pages of the index file.
    Index,
    /// Pepper of customer key verifiers.
    CustomerKeyPepper,
    /// Authentication of part lists.
    Manifest,
    /// Snapshot files.
    Snapshot,
}

impl ServicePurpose {
    /// All purposes, in the order of the file.
    pub const ALL: [Self; 6] = [
        Self::Rows,
        Self::Journal,
        Self::Index,
        Self::CustomerKeyPepper,
        Self::Manifest,
        Self::Snapshot,
    ];

    /// The byte in the ring file.
    pub const fn code(self) -> u8 {
        match self {
            Self::Rows => 1,
            Self::Journal => 2,
            Self::Index => 3,
            Self::CustomerKeyPepper => 4,
            Self::Manifest => 5,
            Self::Snapshot => 6,
        }
    }
}

/// What a version of the root key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootState {
    /// Wraps and unwraps. Exactly one version.
    Active,
    /// Unwraps only.
    UnwrapOnly,
}

/// A version of the root key, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootVersion {
    /// Its number, from 1; never used again.
    pub version: u32,
    /// When it was made.
    pub created: Timestamp,
    /// What it may do.
    pub state: RootState,
}

/// Root key versions and service keys.
pub(super) struct RootKeys {
    /// All but the active one, oldest first.
    older: Vec<Root>,
    active: Root,
    services: ServiceKeys,
    /// The service keys as wrapped by the active version, in the order of [`ServicePurpose::ALL`].
    wrapped_services: Vec<u8>,
}

struct Root {
    version: u32,
    created: Timestamp,
    key: RootKey,
}

struct ServiceKeys {
    rows: ServiceKey,
    journal: ServiceKey,
    index: ServiceKey,
    customer_key_pepper: ServiceKey,
    manifest: ServiceKey,
    snapshot: ServiceKey,
}

impl RootKeys {
    pub(super) fn create(ring_id: &[u8; 16], now: Timestamp, entropy: &dyn Entropy) -> Self {
        let active = Root {
            version: 1,
            created: now,
            key: RootKey::random(entropy),
        };
        let services = ServiceKeys {
            rows: ServiceKey::random(entropy),
            journal: ServiceKey::random(entropy),
            index: ServiceKey::random(entropy),
            customer_key_pepper: ServiceKey::random(entropy),
            manifest: ServiceKey::random(entropy),
            snapshot: ServiceKey::random(entropy),
        };
        let wrapped_services = services.wrap(ring_id, &active, entropy);
        Self {
            older: Vec::new(),
            active,
            services,
            wrapped_services,
        }
    }

    pub(super) fn rotate(&mut self, ring_id: &[u8; 16], now: Timestamp, entropy: &dyn Entropy) {
        let next = Root {
            // Four billion rotations do not happen; saturating, the file would no longer parse.
            version: self.active.version.saturating_add(1),
            created: now,
            key: RootKey::random(entropy),
        };
        self.wrapped_services = self.services.wrap(ring_id, &next, entropy);
        self.older.push(std::mem::replace(&mut self.active, next));
    }

    pub(super) fn retire(&mut self, version: u32) -> Result<(), RingError> {
        let before = self.older.len();
        self.older.retain(|root| root.version != version);
        if self.older.len() == before {
            return Err(RingError::NotRetirable(version));
        }
        Ok(())
    }

    pub(super) fn duplicate(&self, ring_id: &[u8; 16]) -> Result<Self, RingError> {
        Self::decode(ring_id, &self.encode())
    }

    pub(super) fn active_version(&self) -> u32 {
        self.active.version
    }

    pub(super) fn active(&self) -> (u32, &RootKey) {
        (self.active.version, &self.active.key)
    }

    pub(super) fn root(&self, version: u32) -> Option<&RootKey> {
        self.all()
            .find(|root| root.version == version)
            .map(|root| &root.key)
    }

    pub(super) fn versions(&self) -> Vec<RootVersion> {
        self.all()
            .map(|root| RootVersion {
                version: root.version,
                created: root.created,
                state: if root.version == self.active.version {
                    RootState::Active
                } else {
                    RootState::UnwrapOnly
                },
            })
            .collect()
    }

    pub(super) fn service_key(&self, purpose: ServicePurpose) -> &ServiceKey {
        self.services.of(purpose)
    }

    /// The plaintext of the ring file's sealed body.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all, so that growing leaves no copies of keys behind.
        let versions = self.older.len() + 1;
        let capacity = 16 + versions * 45 + self.wrapped_services.len();
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.push(BODY_VERSION);
        out.extend_from_slice(&be32(versions));
        for root in self.all() {
            let Root {
                version,
                created,
                key,
            } = root;
            out.extend_from_slice(&version.to_be_bytes());
            out.extend_from_slice(&created.as_millis().to_be_bytes());
            out.push(u8::from(*version == self.active.version));
            out.extend_from_slice(key.expose());
        }
        out.extend_from_slice(&be32(ServicePurpose::ALL.len()));
        out.extend_from_slice(&self.wrapped_services);
        out
    }

    pub(super) fn decode(ring_id: &[u8; 16], body: &[u8]) -> Result<Self, RingError> {
        let mut fields = Reader::new(body);
        let version = fields.u8()?;
        if version != BODY_VERSION {
            return Err(RingError::UnknownVersion(version));
        }
        let mut older: Vec<Root> = Vec::new();
        let mut active = None;
        let mut previous = 0;
        for _ in 0..fields.u32()? {
            let version = fields.u32()?;
            let created = Timestamp::from_millis(fields.u64()?);
            let is_active = fields.u8()?;
            let key = RootKey::from_unwrapped(fields.array()?);
            let root = Root {
                version,
                created,
                key,
            };
            // Versions ascend, and the newest is the active one.
            if version <= previous || active.is_some() {
                return Err(RingError::Damaged);
            }
            previous = version;
            match is_active {
                0 => older.push(root),
                1 => active = Some(root),
                _ => return Err(RingError::Damaged),
            }
        }
        let active = active.ok_or(RingError::Damaged)?;
        if usize::try_from(fields.u32()?) != Ok(ServicePurpose::ALL.len()) {
            return Err(RingError::Damaged);
        }
        let wrapped_services = fields.take(fields.remaining())?.to_vec();
        let services = ServiceKeys::unwrap(ring_id, &active, &wrapped_services)?;
        Ok(Self {
            older,
            active,
            services,
            wrapped_services,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Root> {
        self.older.iter().chain(std::iter::once(&self.active))
    }
}

impl ServiceKeys {
    fn of(&self, purpose: ServicePurpose) -> &ServiceKey {
        match purpose {
            ServicePurpose::Rows => &self.rows,
            ServicePurpose::Journal => &self.journal,
            ServicePurpose::Index => &self.index,
            ServicePurpose::CustomerKeyPepper => &self.customer_key_pepper,
            ServicePurpose::Manifest => &self.manifest,
            ServicePurpose::Snapshot => &self.snapshot,
        }
    }

    /// For each purpose: `code(1) || salt(32) || commitment(16) || sealed key(32) || tag(16)`.
    fn wrap(&self, ring_id: &[u8; 16], root: &Root, entropy: &dyn Entropy) -> Vec<u8> {
        let mut out = Vec::with_capacity(ServicePurpose::ALL.len() * 97);
        for purpose in ServicePurpose::ALL {
            let mut salt = [0; 32];
            entropy.fill(&mut salt);
            let keys = wrapping_keys(ring_id, root, purpose, &salt);
            let [wrapping_key, commitment] = &*keys;
            let mut sealed = Zeroizing::new(*self.of(purpose).expose());
            let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &[], sealed.as_mut_slice());
            out.push(purpose.code());
            out.extend_from_slice(&salt);
            out.extend_from_slice(&commitment[..COMMITMENT_LEN_BYTES]);
            out.extend_from_slice(sealed.as_slice());
            out.extend_from_slice(&tag);
        }
        out
    }

    fn unwrap(ring_id: &[u8; 16], root: &Root, wrapped: &[u8]) -> Result<Self, RingError> {
        let mut fields = Reader::new(wrapped);
        let mut next = |purpose: ServicePurpose| -> Result<ServiceKey, RingError> {
            if fields.u8()? != purpose.code() {
                return Err(RingError::Damaged);
            }
            let salt = fields.array()?;
            let keys = wrapping_keys(ring_id, root, purpose, salt);
            let [wrapping_key, commitment] = &*keys;
            let stored: &[u8; COMMITMENT_LEN_BYTES] = fields.array()?;
            if !bool::from(commitment[..COMMITMENT_LEN_BYTES].ct_eq(stored)) {
                return Err(RingError::Damaged);
            }
            let mut sealed = Zeroizing::new(*fields.array::<SEALED_KEY_LEN_BYTES>()?);
            let key = Aead::gcm(wrapping_key)
                .open(SINGLE_USE_NONCE, &[], sealed.as_mut_slice())
                .ok_or(RingError::Damaged)?;
            let key = key.first_chunk().ok_or(RingError::Damaged)?;
            Ok(ServiceKey::from_unwrapped(key))
        };
        let keys = Self {
            rows: next(ServicePurpose::Rows)?,
            journal: next(ServicePurpose::Journal)?,
            index: next(ServicePurpose::Index)?,
            customer_key_pepper: next(ServicePurpose::CustomerKeyPepper)?,
            manifest: next(ServicePurpose::Manifest)?,
            snapshot: next(ServicePurpose::Snapshot)?,
        };
        fields.finish()?;
        Ok(keys)
    }
}

/// `wrapping key || commitment(16) || unused(16)`.
///
/// ```text
/// HKDF-SHA-512(salt, root key,
///              "strongroom/1 wrap service" || 0x00 || ring id || BE32(root version) || purpose, 64)
/// ```
fn wrapping_keys(
    ring_id: &[u8; 16],
    root: &Root,
    purpose: ServicePurpose,
    salt: &[u8; 32],
) -> Derived<2> {
    let version = root.version.to_be_bytes();
    derive(
        salt,
        root.key.expose(),
        label::WRAP_SERVICE,
        &[ring_id, &version, &[purpose.code()]],
    )
}

/// Inside the sealed body, any structural error is damage: the outer seal was verified before.
impl From<FormatError> for RingError {
    fn from(_: FormatError) -> Self {
        Self::Damaged
    }
}
