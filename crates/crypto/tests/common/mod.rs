//! What the tests of this crate share.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA512, digest};
use strongroom_crypto::{ObjectIdentity, PartIdentity};
use strongroom_types::{AttemptUid, BucketUid, Entropy, ObjectKey, PartNumber, VersionUid};

/// Deterministic entropy: block n is `SHA-512(seed || BE64(n))`.
pub(crate) struct Seeded {
    seed: u64,
    next: AtomicU64,
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }
}

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(64) {
            let block = self.next.fetch_add(1, Ordering::Relaxed);
            let input = [self.seed.to_be_bytes(), block.to_be_bytes()].concat();
            chunk.copy_from_slice(&digest(&SHA512, &input).as_ref()[..chunk.len()]);
        }
    }
}

pub(crate) fn object() -> ObjectIdentity {
    object_named("a//b/../report.csv")
}

pub(crate) fn object_named(key: &str) -> ObjectIdentity {
    ObjectIdentity {
        bucket: BucketUid::from_bytes([0xB1; 16]),
        key: ObjectKey::parse(key).unwrap(),
        version: VersionUid::from_bytes([0x5E; 16]),
    }
}

pub(crate) fn part(number: u64) -> PartIdentity {
    PartIdentity {
        number: PartNumber::new(number).unwrap(),
        attempt: AttemptUid::from_bytes([0xA7; 16]),
    }
}

/// A plaintext whose segments all differ.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(len).collect()
}
