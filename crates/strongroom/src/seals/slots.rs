//! The slots of a ring as seals write them.
//!
//! ```text
//! protected = 0x02 || BE64(added, milliseconds) || body      body: the seal's own
//! protected = 0x01 || ...                                    a key file's body of before, undated
//! ```

use strongroom_crypto::Keyring;
use strongroom_crypto::ring::RingSlot;
use strongroom_ports::SealKind;
use strongroom_types::Timestamp;

const DATED: u8 = 0x02;

/// A slot that holds a seal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slot<'a> {
    /// Its number, which people call it by.
    pub(crate) index: usize,
    /// `None` for kinds of a newer version.
    pub(crate) kind: Option<SealKind>,
    /// Where the seal is, for people.
    pub(crate) place: &'a str,
    /// When it was added, if it says.
    pub(crate) added: Option<Timestamp>,
    /// What the seal made of the unseal key.
    pub(crate) body: &'a [u8],
}

/// The slots that hold seals.
pub(crate) fn of<State>(ring: &Keyring<State>) -> Vec<Slot<'_>> {
    let slots = ring.slots().iter().enumerate();
    slots
        .filter(|(_, slot)| !slot.is_vacant())
        .map(|(index, slot)| parse(index, slot))
        .collect()
}

/// The slot as it is written.
pub(crate) fn dated(kind: SealKind, place: &str, added: Timestamp, body: &[u8]) -> RingSlot {
    RingSlot {
        kind_code: kind.code(),
        description: place.to_owned(),
        protected: [&[DATED], added.as_millis().to_be_bytes().as_slice(), body].concat(),
    }
}

fn parse(index: usize, slot: &RingSlot) -> Slot<'_> {
    let (added, body) = match slot.protected.split_first_chunk::<9>() {
        Some(([DATED, millis @ ..], body)) => {
            let millis = u64::from_be_bytes(*millis);
            (Some(Timestamp::from_millis(millis)), body)
        }
        _ => (None, slot.protected.as_slice()),
    };
    Slot {
        index,
        kind: SealKind::of_code(slot.kind_code),
        place: &slot.description,
        added,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_back_with_its_date_and_an_old_one_without() {
        let added = Timestamp::from_millis(1_700_000_000_123);
        let new = dated(SealKind::Passphrase, "x", added, b"body");
        let read = parse(3, &new);
        assert_eq!(
            (read.index, read.added, read.body),
            (3, Some(added), b"body".as_slice())
        );
        assert_eq!(read.kind, Some(SealKind::Passphrase));
        let old = RingSlot {
            kind_code: 1,
            description: "/k".to_owned(),
            protected: [1; 97].to_vec(),
        };
        let read = parse(0, &old);
        assert_eq!((read.added, read.body.len()), (None, 97));
    }
}
