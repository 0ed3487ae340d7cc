//! The passphrase seal: Argon2id makes the slot key, slowly, of what somebody knows.
//!
//! ```text
//! body     = BE32(memory, KiB) || BE32(passes) || BE32(lanes) || salt(16) || slot key record
//! slot key = Argon2id v1.3 (RFC 9106) of the passphrase's bytes, 32 bytes
//! ```

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::Zeroizing;

/// Fewest bytes of a new passphrase. The ring file can be attacked off line, and the cost of a try
/// is all that stands between its thief and a guessable one.
pub(crate) const PASSPHRASE_MIN_BYTES: usize = 12;
/// Most bytes of a passphrase.
pub(crate) const PASSPHRASE_MAX_BYTES: usize = 1024;
/// Memory that a slot may ask for, in KiB: a forged one must not exhaust the machine.
const MEMORY_MAX_KIB: u32 = 1 << 20;
/// Passes that a slot may ask for: at the largest memory about ten seconds.
const PASSES_MAX: u32 = 16;
/// Lanes that a slot may ask for.
const LANES_MAX: u32 = 16;
const SALT_LEN_BYTES: usize = 16;

/// What a try costs, to us and to whoever guesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Of new slots: about a second.
const COST: Cost = Cost {
    memory_kib: 256 << 10,
    passes: 3,
    lanes: 1,
};

/// A passphrase that somebody gave.
pub(crate) struct Passphrase {
    text: Zeroizing<String>,
    cost: Cost,
    entropy: Arc<dyn Entropy>,
}

impl Passphrase {
    /// Takes it as it was typed: every byte counts.
    pub(crate) fn new(text: Zeroizing<String>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            text,
            cost: COST,
            entropy,
        }
    }

    fn slot_key(&self, cost: Cost, salt: &[u8; SALT_LEN_BYTES]) -> Result<SlotKey, SealError> {
        let damaged = || SealError::Damaged("its Argon2 parameters are impossible".to_owned());
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = cost;
        if memory_kib > MEMORY_MAX_KIB || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(SealError::Damaged(format!(
                "it asks for {memory_kib} KiB, {passes} passes and {lanes} lanes of Argon2id, and this program does \
                 at most {MEMORY_MAX_KIB}, {PASSES_MAX} and {LANES_MAX}"
            )));
        }
        let mut key = Zeroizing::new([0; 32]);
        let params =
            Params::new(memory_kib, passes, lanes, Some(key.len())).map_err(|_| damaged())?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.text.as_bytes(), salt, key.as_mut_slice())
            .map_err(|_| damaged())?;
        SlotKey::parse(key.as_slice()).map_err(|_| damaged())
    }
}

impl Seal for Passphrase {
    fn kind(&self) -> SealKind {
        SealKind::Passphrase
    }

    fn describe(&self) -> String {
        "a passphrase that people know".to_owned()
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let mut salt = [0; SALT_LEN_BYTES];
        self.entropy.fill(&mut salt);
        let slot_key = self.slot_key(self.cost, &salt)?;
        let record = slot_key.protect(key, slot_context, &*self.entropy);
        Ok([
            memory_kib.to_be_bytes().as_slice(),
            &passes.to_be_bytes(),
            &lanes.to_be_bytes(),
            &salt,
            &record,
        ]
        .concat())
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let (cost, salt, record) = parse(protected)
            .ok_or_else(|| SealError::Damaged("the passphrase's slot is too short".to_owned()))?;
        let slot_key = self.slot_key(cost, salt)?;
        slot_key
            .reveal(record, slot_context)
            .map_err(|error| match error {
                SlotError::WrongKey => SealError::WrongSeal("the passphrase is another".to_owned()),
                SlotError::Damaged | _ => SealError::Damaged("the passphrase's slot".to_owned()),
            })
    }
}

fn parse(body: &[u8]) -> Option<(Cost, &[u8; SALT_LEN_BYTES], &[u8])> {
    let (memory_kib, rest) = body.split_first_chunk()?;
    let (passes, rest) = rest.split_first_chunk()?;
    let (lanes, rest) = rest.split_first_chunk()?;
    let (salt, record) = rest.split_first_chunk()?;
    let cost = Cost {
        memory_kib: u32::from_be_bytes(*memory_kib),
        passes: u32::from_be_bytes(*passes),
        lanes: u32::from_be_bytes(*lanes),
    };
    Some((cost, salt, record))
}

/// Why a new passphrase is refused; `None` if it is not.
pub(crate) fn weakness(text: &str) -> Option<String> {
    if text.len() < PASSPHRASE_MIN_BYTES {
        return Some(format!(
            "a passphrase has at least {PASSPHRASE_MIN_BYTES} characters; five or six random words are good"
        ));
    }
    if text.len() > PASSPHRASE_MAX_BYTES {
        return Some(format!(
            "a passphrase has at most {PASSPHRASE_MAX_BYTES} bytes"
        ));
    }
    // Shares are told from passphrases by how they begin.
    if super::shares::is_share(text) {
        return Some("a passphrase does not begin as a share does".to_owned());
    }
    let mut characters = text.chars();
    let first = characters.next();
    characters
        .all(|character| Some(character) == first)
        .then(|| "a passphrase is more than one character again and again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::SystemEntropy;

    fn cheap(text: &str) -> Passphrase {
        let cost = Cost {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        };
        Passphrase {
            text: Zeroizing::new(text.to_owned()),
            cost,
            entropy: Arc::new(SystemEntropy),
        }
    }

    #[test]
    fn only_the_same_passphrase_opens_and_only_in_its_place() {
        let key = UnsealKey::random(&SystemEntropy);
        let body = cheap("correct horse").protect(&key, b"slot 0").unwrap();
        let opened = cheap("correct horse").reveal(&body, b"slot 0").unwrap();
        assert_eq!(opened.expose(), key.expose());
        for (text, place) in [("correct horsf", b"slot 0"), ("correct horse", b"slot 1")] {
            assert!(matches!(
                cheap(text).reveal(&body, place),
                Err(SealError::WrongSeal(_))
            ));
        }
    }

    #[test]
    fn the_cost_of_the_slot_counts_and_not_that_of_today() {
        let key = UnsealKey::random(&SystemEntropy);
        let body = cheap("correct horse").protect(&key, b"c").unwrap();
        let dear = Passphrase::new(
            Zeroizing::new("correct horse".to_owned()),
            Arc::new(SystemEntropy),
        );
        assert_eq!(dear.reveal(&body, b"c").unwrap().expose(), key.expose());
    }

    #[test]
    fn a_forged_cost_is_damage_before_any_memory_is_taken() {
        let key = UnsealKey::random(&SystemEntropy);
        let body = cheap("correct horse").protect(&key, b"c").unwrap();
        for (at, value) in [
            (0, MEMORY_MAX_KIB + 1),
            (0, u32::MAX),
            (0, 0),
            (4, PASSES_MAX + 1),
            (4, 0),
            (8, LANES_MAX + 1),
            (8, 0),
        ] {
            let mut forged = body.clone();
            forged[at..at + 4].copy_from_slice(&value.to_be_bytes());
            let refused = cheap("correct horse").reveal(&forged, b"c");
            assert!(
                matches!(refused, Err(SealError::Damaged(_))),
                "{at} {value}"
            );
        }
        for len in 0..body.len() {
            assert!(cheap("correct horse").reveal(&body[..len], b"c").is_err());
        }
    }

    #[test]
    fn weak_passphrases_are_refused() {
        for weak in ["", "short", "aaaaaaaaaaaaaaaa", "SRS1-0000-0000-0000"] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
        assert!(weakness(&"x ".repeat(1000)).is_some());
        assert_eq!(weakness("correct horse battery"), None);
    }
}
