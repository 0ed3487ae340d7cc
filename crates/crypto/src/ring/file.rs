//! The ring file.
//!
//! ```text
//! "SRR1" || version(1) || suite(1) || 0x0000 || BE32(file length) || ring id(16) ||
//! BE64(generation) || salt(32) || check value(32) ||
//! BE32(slots) || { kind(1) || LP(description) || LP(protected) } ||
//! LP(sealed body || tag(16)) || CRC-64/NVME(8)
//! ```
//!
//! The checksum tells damage from a wrong key before any key is tried; the check value tells a
//! wrong key from damage after.

use std::sync::atomic::AtomicU64;

use strongroom_types::Entropy;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::RootKeys;
use super::{Keyring, RingSlot, Sealed, Unsealed, put_slots};
use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, be32};
use crate::kdf::{Derived, derive, label};
use crate::{RingError, UnsealKey};

const MAGIC: &[u8; 4] = b"SRR1";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
const CHECKSUM_LEN_BYTES: usize = 8;

/// The sealed part of a file, and what opens it.
pub(super) struct SealedBody {
    generation: u64,
    salt: [u8; 32],
    check_value: [u8; 32],
    /// Everything before the sealed body, which is authenticated with it.
    aad: Vec<u8>,
    sealed: Vec<u8>,
}

impl SealedBody {
    pub(super) fn is_of(&self, ring_id: &[u8; 16], unseal_key: &UnsealKey) -> bool {
        let keys = derive_keys(unseal_key, &self.salt, ring_id, self.generation);
        let [expected, _] = &*keys;
        bool::from(expected.ct_eq(&self.check_value))
    }

    pub(super) fn open(
        self,
        ring_id: &[u8; 16],
        unseal_key: &UnsealKey,
    ) -> Result<RootKeys, RingError> {
        let Self {
            generation,
            salt,
            check_value,
            aad,
            sealed,
        } = self;
        let keys = derive_keys(unseal_key, &salt, ring_id, generation);
        let [expected, body_key] = &*keys;
        if !bool::from(expected.ct_eq(&check_value)) {
            return Err(RingError::WrongUnsealKey);
        }
        let mut sealed = Zeroizing::new(sealed);
        let body = Aead::gcm(body_key)
            .open(SINGLE_USE_NONCE, &aad, &mut sealed)
            .ok_or(RingError::Damaged)?;
        RootKeys::decode(ring_id, body)
    }
}

pub(super) fn encode(
    ring: &Keyring<Unsealed>,
    generation: u64,
    unseal_key: &UnsealKey,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mut salt = [0; 32];
    entropy.fill(&mut salt);
    let keys = derive_keys(unseal_key, &salt, &ring.ring_id, generation);
    let [check_value, body_key] = &*keys;
    let mut body = ring.state.keys.encode();

    let mut slots = Vec::new();
    put_slots(&mut slots, &ring.slots);
    let sealed_len = body.len() + TAG_LEN_BYTES;
    let total = FIXED_LEN_BYTES + slots.len() + 4 + sealed_len + CHECKSUM_LEN_BYTES;

    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, SUITE, 0, 0]);
    out.extend_from_slice(&be32(total));
    out.extend_from_slice(&ring.ring_id);
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(check_value);
    out.extend_from_slice(&slots);
    out.extend_from_slice(&be32(sealed_len));
    let tag = Aead::gcm(body_key).seal(SINGLE_USE_NONCE, &out, &mut body);
    out.extend_from_slice(&body);
    out.extend_from_slice(&tag);
    let checksum = checksum(&out);
    out.extend_from_slice(&checksum);
    out
}

pub(super) fn parse(bytes: &[u8]) -> Result<Keyring<Sealed>, RingError> {
    let mut fields = Reader::new(bytes);
    if fields.array().ok() != Some(MAGIC) {
        return Err(RingError::NotARing);
    }
    // The checksum is at the same place in every version, so that damage to the version byte is
    // not taken for a newer format.
    let (checked, stored_checksum) = bytes
        .split_last_chunk::<CHECKSUM_LEN_BYTES>()
        .ok_or(RingError::Damaged)?;
    if checksum(checked) != *stored_checksum {
        return Err(RingError::Damaged);
    }
    let &[version, suite, reserved @ ..] = fields.array::<4>()?;
    if version != VERSION {
        return Err(RingError::UnknownVersion(version));
    }
    if suite != SUITE {
        return Err(RingError::UnknownSuite(suite));
    }
    if reserved != [0, 0] || usize::try_from(fields.u32()?) != Ok(bytes.len()) {
        return Err(RingError::Damaged);
    }
    let ring_id = *fields.array()?;
    let generation = fields.u64()?;
    let salt = *fields.array()?;
    let check_value = *fields.array()?;
    let mut slots = Vec::new();
    for _ in 0..fields.u32()? {
        slots.push(RingSlot {
            kind_code: fields.u8()?,
            description: String::from_utf8(fields.prefixed()?.to_vec())
                .map_err(|_| RingError::Damaged)?,
            protected: fields.prefixed()?.to_vec(),
        });
    }
    let aad_len = bytes.len() - fields.remaining() + 4;
    let sealed = fields.prefixed()?.to_vec();
    fields.take(CHECKSUM_LEN_BYTES)?;
    fields.finish()?;
    Ok(Keyring {
        ring_id,
        generation: AtomicU64::new(generation),
        slots,
        state: Sealed {
            body: SealedBody {
                generation,
                salt,
                check_value,
                aad: bytes.get(..aad_len).ok_or(RingError::Damaged)?.to_vec(),
                sealed,
            },
        },
    })
}

/// Length of everything before the slots.
const FIXED_LEN_BYTES: usize = 4 + 4 + 4 + 16 + 8 + 32 + 32;

/// `check value || body key`.
///
/// ```text
/// HKDF-SHA-512(salt, unseal key, "strongroom/1 ring" || 0x00 || ring id || BE64(generation), 64)
/// ```
fn derive_keys(
    unseal_key: &UnsealKey,
    salt: &[u8; 32],
    ring_id: &[u8; 16],
    generation: u64,
) -> Derived<2> {
    derive(
        salt,
        unseal_key.expose(),
        label::RING,
        &[ring_id, &generation.to_be_bytes()],
    )
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM_LEN_BYTES] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, data).to_be_bytes()
}
