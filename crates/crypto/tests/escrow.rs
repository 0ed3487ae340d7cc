//! Escrows: what is written opens for its recipient and for nobody else, and no changed bit is taken.
#![cfg(test)]

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use strongroom_crypto::{
    Escrow, EscrowError, EscrowIdentity, EscrowRecipient, FormatError, Keyring, UnsealKey,
};
use strongroom_types::{Entropy, Timestamp};

const GOLDEN: &str = include_str!("../../../testdata/format/v1/escrow.json");
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Counts instead of drawing.
struct Counting(AtomicU64);

impl Counting {
    fn from(seed: u8) -> Self {
        Self(AtomicU64::new(u64::from(seed) << 32))
    }
}

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
        }
    }
}

struct Made {
    unseal_key: UnsealKey,
    file: Vec<u8>,
    identity: EscrowIdentity,
    escrow: Escrow,
}

fn made(seed: u8) -> Made {
    let entropy = Counting::from(seed);
    let (mut ring, unseal_key) = Keyring::create(NOW, &entropy);
    ring.add_slot(1, "/seal/key", vec![7; 40]);
    let file = ring.encode(&unseal_key, &entropy);
    let identity = EscrowIdentity::generate(&entropy).unwrap();
    let escrow = Escrow::seal(identity.recipient(), &unseal_key, &file, NOW, &entropy).unwrap();
    Made {
        unseal_key,
        file,
        identity,
        escrow,
    }
}

/// As a forger would: the checksum agrees.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 8;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn an_escrow_gives_its_recipient_the_ring_and_the_key_that_opens_it() {
    let made = made(1);
    let parsed = Escrow::parse(made.escrow.as_bytes()).unwrap();
    assert_eq!(parsed.generation(), 1);
    assert_eq!(parsed.made(), NOW);
    assert_eq!(parsed.recipient(), made.identity.recipient().fingerprint());
    let identity = EscrowIdentity::parse(made.identity.expose()).unwrap();
    let opened = parsed.open(&identity).unwrap();
    assert_eq!(opened.file, made.file);
    assert_eq!(opened.unseal_key.expose(), made.unseal_key.expose());
    assert_eq!(opened.ring.ring_id(), parsed.ring_id());
    assert_eq!(opened.ring.slots().len(), 1);
    // Two sevens may be in anything that is random.
    assert!(!format!("{opened:?} {identity:?} {parsed:?}").contains("7, 7, 7, 7"));
}

#[test]
fn no_two_escrows_of_the_same_ring_are_alike() {
    let made = made(1);
    let recipient = EscrowRecipient::parse(made.identity.recipient().as_bytes()).unwrap();
    let entropy = Counting::from(2);
    let other = Escrow::seal(&recipient, &made.unseal_key, &made.file, NOW, &entropy).unwrap();
    let (one, two) = (made.escrow.as_bytes(), other.as_bytes());
    assert_eq!(one[..76], two[..76]);
    for part in [76..108, 108..1196, 1196..1228, 1228..1260, 1260..1292] {
        assert_ne!(one[part.clone()], two[part.clone()], "{part:?}");
    }
}

#[test]
fn nobody_else_opens_it() {
    let (made, other) = (made(1), made(2));
    let refused = made.escrow.open(&other.identity).unwrap_err();
    assert_eq!(refused, EscrowError::OtherRecipient);
    // Also not one who writes their own fingerprint into it.
    let mut forged = made.escrow.as_bytes().to_vec();
    forged[44..76].copy_from_slice(&other.identity.recipient().fingerprint());
    let forged = Escrow::parse(&with_checksum(forged)).unwrap();
    assert_eq!(
        forged.open(&other.identity).unwrap_err(),
        EscrowError::Damaged
    );
    // Both halves of the identity are needed.
    for half in [0..2400, 2400..2432] {
        let mut mixed = made.identity.expose().to_vec();
        mixed[half.clone()].copy_from_slice(&other.identity.expose()[half]);
        let mixed = EscrowIdentity::parse(&mixed).unwrap();
        let mut forged = made.escrow.as_bytes().to_vec();
        forged[44..76].copy_from_slice(&mixed.recipient().fingerprint());
        let forged = Escrow::parse(&with_checksum(forged)).unwrap();
        assert_eq!(forged.open(&mixed).unwrap_err(), EscrowError::Damaged);
    }
}

#[test]
fn every_flipped_bit_is_refused_with_and_without_its_checksum_mended() {
    let made = made(1);
    let bytes = made.escrow.as_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Escrow::parse(&changed).is_err(), "bit {bit}");
        if bit / 8 >= bytes.len() - 8 {
            continue;
        }
        if let Ok(parsed) = Escrow::parse(&with_checksum(changed)) {
            assert!(parsed.open(&made.identity).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn what_is_cut_or_longer_is_refused() {
    let made = made(1);
    let bytes = made.escrow.as_bytes();
    for len in 0..bytes.len() {
        assert!(Escrow::parse(&bytes[..len]).is_err(), "{len}");
    }
    let longer = [bytes, &[0; 8]].concat();
    assert_eq!(
        Escrow::parse(&with_checksum(longer)).unwrap_err(),
        FormatError::BadLength
    );
}

#[test]
fn keys_that_are_none_are_refused() {
    let made = made(1);
    let recipient = made.identity.recipient().as_bytes();
    assert!(EscrowRecipient::parse(&recipient[1..]).is_err());
    assert!(EscrowIdentity::parse(&made.identity.expose()[1..]).is_err());
    let entropy = Counting::from(3);
    // X25519 with a point of small order gives a secret that everybody knows.
    let mut small = recipient.to_vec();
    small[1184..].fill(0);
    let small = EscrowRecipient::parse(&small);
    let sealed =
        small.and_then(|small| Escrow::seal(&small, &made.unseal_key, &made.file, NOW, &entropy));
    assert!(sealed.is_err());
    // A coefficient above the modulus (FIPS 203, 7.2).
    let mut broken = recipient.to_vec();
    broken[..3].fill(0xff);
    let broken = EscrowRecipient::parse(&broken);
    let sealed = broken
        .and_then(|broken| Escrow::seal(&broken, &made.unseal_key, &made.file, NOW, &entropy));
    assert!(sealed.is_err());
}

#[test]
fn a_key_that_does_not_open_the_ring_is_not_put_into_escrow() {
    let (made, other) = (made(1), made(2));
    let entropy = Counting::from(3);
    let recipient = made.identity.recipient();
    let sealed = Escrow::seal(recipient, &other.unseal_key, &made.file, NOW, &entropy);
    assert_eq!(sealed.unwrap_err(), EscrowError::Damaged);
}

/// ML-KEM draws its own randomness, so this file is written once and not again
/// (`STRONGROOM_WRITE_ESCROW=1`), and read for ever.
#[test]
fn the_golden_escrow_is_read_as_ever() {
    if std::env::var_os("STRONGROOM_WRITE_ESCROW").is_some() {
        let made = made(1);
        let golden = json!({
            "identity": hex::encode(made.identity.expose()),
            "recipient": hex::encode(made.identity.recipient().as_bytes()),
            "escrow": hex::encode(made.escrow.as_bytes()),
            "unseal_key": hex::encode(made.unseal_key.expose()),
            "ring": hex::encode(&made.file),
        });
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/format/v1/escrow.json"
        );
        #[expect(clippy::disallowed_methods, reason = "writes test data on request")]
        std::fs::write(path, serde_json::to_string_pretty(&golden).unwrap()).unwrap();
        return;
    }
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let bytes = |name: &str| hex::decode(golden[name].as_str().unwrap()).unwrap();
    let identity = EscrowIdentity::parse(&bytes("identity")).unwrap();
    assert_eq!(
        identity.recipient().as_bytes().as_slice(),
        bytes("recipient")
    );
    let opened = Escrow::parse(&bytes("escrow"))
        .unwrap()
        .open(&identity)
        .unwrap();
    assert_eq!(opened.file, bytes("ring"));
    assert_eq!(opened.unseal_key.expose().as_slice(), bytes("unseal_key"));
}
