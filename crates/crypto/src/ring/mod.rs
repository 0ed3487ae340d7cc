//! The key ring: the root key in all its versions, and the service keys it wraps.
//!
//! A ring is a small file. Parsing it gives a `Keyring<Sealed>`, which knows its seals and no key;
//! the unseal key makes it a `Keyring<Unsealed>`. Only that one wraps:
//!
//! ```compile_fail,E0599
//! # use strongroom_crypto::{DataKey, Keyring, ObjectIdentity, Sealed};
//! # use strongroom_types::Entropy;
//! fn wrap(ring: &Keyring<Sealed>, key: &DataKey, object: &ObjectIdentity, entropy: &dyn Entropy) {
//!     ring.wrap_data_key(key, object, entropy);
//! }
//! ```
//!
//! ```
//! # use strongroom_crypto::{DataKey, Keyring, ObjectIdentity, Unsealed};
//! # use strongroom_types::Entropy;
//! fn wrap(ring: &Keyring<Unsealed>, key: &DataKey, object: &ObjectIdentity, entropy: &dyn Entropy) {
//!     ring.wrap_data_key(key, object, entropy);
//! }
//! ```

mod file;
mod keys;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_types::{Entropy, Timestamp};

use self::file::SealedBody;
use self::keys::RootKeys;
pub use self::keys::{RootState, RootVersion, ServicePurpose};
use crate::codec::{be32, put_prefixed};
use crate::secret::RootKey;
use crate::{RingError, ServiceKey, UnsealKey};

/// The key ring, with or without its keys.
pub struct Keyring<State> {
    ring_id: [u8; 16],
    /// Of the file last read or written. A counter, so that writing needs no exclusive access.
    generation: AtomicU64,
    slots: Vec<RingSlot>,
    state: State,
}

/// State without keys: nothing can be wrapped or unwrapped.
pub struct Sealed {
    body: SealedBody,
}

/// State with the keys in memory.
pub struct Unsealed {
    keys: RootKeys,
}

/// One seal's hold on the unseal key.
#[derive(Clone, PartialEq, Eq)]
pub struct RingSlot {
    /// Which kind of seal; the seals have the list.
    pub kind_code: u8,
    /// Where the seal is, for people. Not secret.
    pub description: String,
    /// What the seal made of the unseal key.
    pub protected: Vec<u8>,
}

impl RingSlot {
    /// The kind of a slot whose seal was removed.
    pub const VACANT: u8 = 0;

    /// Whether the seal of this slot was removed.
    pub fn is_vacant(&self) -> bool {
        self.kind_code == Self::VACANT
    }

    fn vacant() -> Self {
        Self {
            kind_code: Self::VACANT,
            description: String::new(),
            protected: Vec::new(),
        }
    }
}

impl<State> Keyring<State> {
    /// The ring's identity, which wrapped keys name.
    pub fn ring_id(&self) -> [u8; 16] {
        self.ring_id
    }

    /// How often the ring has been written; 0 for a ring that never was.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The seals that hold the unseal key, in order, with the vacant places of those removed.
    pub fn slots(&self) -> &[RingSlot] {
        &self.slots
    }

    /// What the seal of slot `slot_index` must bind: see [`slot_context`].
    pub fn slot_context(&self, slot_index: usize) -> Vec<u8> {
        slot_context(&self.ring_id, slot_index)
    }
}

/// `"strongroom/1 slot" || 0x00 || ring id(16) || BE32(slot index)`: a seal binds it, so that a slot
/// moved to another ring or place does not open.
pub fn slot_context(ring_id: &[u8; 16], slot_index: usize) -> Vec<u8> {
    [
        b"strongroom/1 slot\0",
        ring_id.as_slice(),
        &be32(slot_index),
    ]
    .concat()
}

impl Keyring<Sealed> {
    /// Reads a ring file. Needs no key and proves nothing but that the file is whole.
    ///
    /// # Errors
    ///
    /// [`RingError`] but never [`RingError::WrongUnsealKey`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RingError> {
        file::parse(bytes)
    }

    /// Whether the ring was written under `unseal_key`: by its check value alone, nothing is opened.
    pub fn is_of(&self, unseal_key: &UnsealKey) -> bool {
        self.state.body.is_of(&self.ring_id, unseal_key)
    }

    /// Opens the keys. The sealed ring is consumed; parse again to try another key.
    ///
    /// # Errors
    ///
    /// [`RingError::WrongUnsealKey`] if the key is another, [`RingError::Damaged`] if it is right
    /// and the keys do not open.
    pub fn unseal(self, unseal_key: &UnsealKey) -> Result<Keyring<Unsealed>, RingError> {
        let Self {
            ring_id,
            generation,
            slots,
            state: Sealed { body },
        } = self;
        let keys = body.open(&ring_id, unseal_key)?;
        Ok(Keyring {
            ring_id,
            generation,
            slots,
            state: Unsealed { keys },
        })
    }
}

impl Keyring<Unsealed> {
    /// Makes a new ring: its identity, version 1 of the root key, all service keys, and the unseal
    /// key that its file is to be encoded with. It has no slots yet.
    ///
    /// Never made because a ring was not found: data that exists needs its own ring.
    pub fn create(now: Timestamp, entropy: &dyn Entropy) -> (Self, UnsealKey) {
        let mut ring_id = [0; 16];
        entropy.fill(&mut ring_id);
        let keys = RootKeys::create(&ring_id, now, entropy);
        let ring = Self {
            ring_id,
            generation: AtomicU64::new(0),
            slots: Vec::new(),
            state: Unsealed { keys },
        };
        (ring, UnsealKey::random(entropy))
    }

    /// Adds a seal's slot and returns its index: what the seal made of the unseal key under
    /// [`Keyring::slot_context`] of that index, the number of slots before.
    pub fn add_slot(&mut self, kind_code: u8, description: &str, protected: Vec<u8>) -> usize {
        self.slots.push(RingSlot {
            kind_code,
            description: description.to_owned(),
            protected,
        });
        self.slots.len() - 1
    }

    /// The slot that the next seal takes: the first that a removed seal left vacant, or a new one.
    pub fn free_slot(&self) -> usize {
        let vacant = self.slots.iter().position(RingSlot::is_vacant);
        vacant.unwrap_or(self.slots.len())
    }

    /// Puts a seal's slot where [`Keyring::free_slot`] said. Gives it back if that is no longer so.
    ///
    /// # Errors
    ///
    /// The slot, when `slot_index` is not the free one.
    pub fn put_slot(&mut self, slot_index: usize, slot: RingSlot) -> Result<(), RingSlot> {
        if slot_index != self.free_slot() {
            return Err(slot);
        }
        match self.slots.get_mut(slot_index) {
            Some(vacant) => *vacant = slot,
            None => self.slots.push(slot),
        }
        Ok(())
    }

    /// Puts a seal's slot in the place of the one that is there: the same seal, made anew.
    ///
    /// # Errors
    ///
    /// The slot, when there is none at `slot_index`.
    pub fn replace_slot(&mut self, slot_index: usize, slot: RingSlot) -> Result<(), RingSlot> {
        match self.slots.get_mut(slot_index) {
            Some(there) if !there.is_vacant() => {
                *there = slot;
                Ok(())
            }
            Some(_) | None => Err(slot),
        }
    }

    /// Takes a seal's slot out. Its place stays, vacant, since every other seal binds its own index.
    pub fn vacate_slot(&mut self, slot_index: usize) -> Option<RingSlot> {
        let slot = self.slots.get_mut(slot_index)?;
        if slot.is_vacant() {
            return None;
        }
        Some(std::mem::replace(slot, RingSlot::vacant()))
    }

    /// Writes the ring file under `unseal_key`. Each call counts the generation up and draws a
    /// fresh salt.
    pub fn encode(&self, unseal_key: &UnsealKey, entropy: &dyn Entropy) -> Vec<u8> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        file::encode(self, generation, unseal_key, entropy)
    }

    /// The version of the root key that wraps.
    pub fn active_version(&self) -> u32 {
        self.state.keys.active_version()
    }

    /// All versions of the root key, oldest first.
    pub fn root_versions(&self) -> Vec<RootVersion> {
        self.state.keys.versions()
    }

    /// Adds a version of the root key and makes it the one that wraps. The service keys stay the
    /// same and are wrapped anew. The caller encodes, stores and reads the file back before it
    /// wraps anything with the new version.
    pub fn rotate(&mut self, now: Timestamp, entropy: &dyn Entropy) {
        self.state.keys.rotate(&self.ring_id, now, entropy);
    }

    /// Forgets a version of the root key: what it wrapped is lost. The caller has proven that nothing
    /// is left that needs it, and encodes and stores the file.
    ///
    /// # Errors
    ///
    /// [`RingError::NotRetirable`] of the active version, and of one that the ring does not have.
    pub fn retire(&mut self, version: u32) -> Result<(), RingError> {
        self.state.keys.retire(version)
    }

    /// The same ring once more, to be changed and written while this one is in use.
    ///
    /// # Errors
    ///
    /// [`RingError::Damaged`], which would be a fault of this crate.
    pub fn duplicate(&self) -> Result<Self, RingError> {
        Ok(Self {
            ring_id: self.ring_id,
            generation: AtomicU64::new(self.generation()),
            slots: self.slots.clone(),
            state: Unsealed {
                keys: self.state.keys.duplicate(&self.ring_id)?,
            },
        })
    }

    /// The service key for `purpose`.
    pub fn service_key(&self, purpose: ServicePurpose) -> &ServiceKey {
        self.state.keys.service_key(purpose)
    }

    pub(crate) fn active_root(&self) -> (u32, &RootKey) {
        self.state.keys.active()
    }

    pub(crate) fn root(&self, version: u32) -> Option<&RootKey> {
        self.state.keys.root(version)
    }
}

impl<State> fmt::Debug for Keyring<State> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("generation", &self.generation())
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RingSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingSlot")
            .field("kind_code", &self.kind_code)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// The slots as in the file.
fn put_slots(out: &mut Vec<u8>, slots: &[RingSlot]) {
    out.extend_from_slice(&be32(slots.len()));
    for slot in slots {
        let RingSlot {
            kind_code,
            description,
            protected,
        } = slot;
        out.push(*kind_code);
        put_prefixed(out, description.as_bytes());
        put_prefixed(out, protected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn slot(kind_code: u8) -> RingSlot {
        RingSlot {
            kind_code,
            description: "d".to_owned(),
            protected: vec![kind_code],
        }
    }

    #[test]
    fn a_removed_seal_leaves_its_place_to_the_next_and_moves_no_other() {
        let (mut ring, key) = Keyring::create(Timestamp::from_seconds(1), &Zeros);
        for kind in 1..=3 {
            ring.put_slot(ring.free_slot(), slot(kind)).unwrap();
        }
        assert_eq!(ring.vacate_slot(1).unwrap().kind_code, 2);
        assert_eq!(ring.vacate_slot(1), None, "it is gone");
        assert_eq!(ring.vacate_slot(3), None, "there is none");
        let bytes = ring.encode(&key, &Zeros);
        let sealed = Keyring::<Sealed>::parse(&bytes).unwrap();
        assert!(sealed.is_of(&key) && !sealed.is_of(&UnsealKey::parse(&[1; 32]).unwrap()));
        let mut ring = Keyring::<Sealed>::parse(&bytes)
            .unwrap()
            .unseal(&key)
            .unwrap();
        assert_eq!(ring.slots()[2], slot(3));
        assert_eq!(ring.free_slot(), 1);
        assert!(
            ring.replace_slot(1, slot(9)).is_err(),
            "a vacant place has no seal"
        );
        ring.replace_slot(2, slot(3)).unwrap();
        assert!(ring.put_slot(3, slot(4)).is_err(), "a gap would be left");
        ring.put_slot(1, slot(4)).unwrap();
        let kinds: Vec<u8> = ring.slots().iter().map(|slot| slot.kind_code).collect();
        assert_eq!(kinds, [1, 4, 3]);
    }
}
