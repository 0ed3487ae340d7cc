//! The shares seal: the slot key is split among people (Shamir), of whom some must come together.
//!
//! ```text
//! body  = set(8) || threshold(1) || count(1) || slot key record
//! share = "SRS1-" || base 32 of: ring digest(4) || set(8) || threshold(1) || index(1) || bytes(32) || checksum(4)
//! ```
//!
//! The base 32 is Crockford's, in groups of five: no letter looks like a digit, and case does not
//! matter. The checksum tells a mistyped share before it spoils a key; ring and set tell a share of
//! another store, or of a seal that was removed, by name.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use strongroom_crypto::sharing::{self, KeyShare};
use strongroom_crypto::{Keyring, Sealed, SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::Zeroizing;

use super::slots;

/// How a share begins, whatever its case.
const PREFIX: &str = "SRS1";
/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP: usize = 5;
const RING_DIGEST_LEN_BYTES: usize = 4;
const SET_LEN_BYTES: usize = 8;
const CHECKSUM_LEN_BYTES: usize = 4;
const PAYLOAD_LEN_BYTES: usize = RING_DIGEST_LEN_BYTES + SET_LEN_BYTES + 2 + 32;
/// Most people that a key is shared among.
pub(crate) const COUNT_MAX: u8 = 16;
/// How long shares wait for the next person, before they are forgotten.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Which seal a share is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ShareSet {
    ring: [u8; RING_DIGEST_LEN_BYTES],
    set: [u8; SET_LEN_BYTES],
    threshold: u8,
}

/// A share that somebody brought.
struct Share {
    of: ShareSet,
    share: KeyShare,
}

/// Why a share does not count. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShareError {
    #[error("this is not a share; shares begin with SRS1")]
    NotAShare,
    #[error("the share is mistyped: its checksum does not agree")]
    Mistyped,
    #[error("the share is of another key ring")]
    ForeignRing,
    #[error("the share is of a seal that this key ring does not have any more")]
    ForeignSet,
    #[error("share {0} has been given already")]
    Duplicate(u8),
    #[error("the shares do not open the key ring, and are forgotten: at least one is forged")]
    DoNotOpen,
    #[error("the seal's slot in the key ring is damaged")]
    Damaged,
}

/// How far people are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) have: u8,
    pub(crate) need: u8,
}

/// What a further share led to.
pub(crate) enum Collected {
    /// More are needed.
    Waiting(Progress),
    /// The ring's unseal key.
    Open(UnsealKey),
}

/// The shares that were given so far.
#[derive(Default)]
pub(crate) struct Collector {
    of: Option<ShareSet>,
    shares: Vec<KeyShare>,
    last: Duration,
    /// A slot that does not count.
    except: Option<usize>,
}

impl Collector {
    /// For the seals of a ring but one.
    pub(crate) fn without(except: Option<usize>) -> Self {
        Self {
            except,
            ..Self::default()
        }
    }

    /// Takes a share at `now`, on a clock that only runs forward.
    ///
    /// # Errors
    ///
    /// [`ShareError`]; what was given before still counts, but for [`ShareError::DoNotOpen`].
    pub(crate) fn add(
        &mut self,
        ring: &Keyring<Sealed>,
        text: &str,
        now: Duration,
    ) -> Result<Collected, ShareError> {
        self.expire(now);
        let Share { of, share } = Share::parse(text)?;
        if of.ring != ring_digest(&ring.ring_id()) {
            return Err(ShareError::ForeignRing);
        }
        let of_kind = |slot: &slots::Slot<'_>| {
            slot.kind == Some(SealKind::Shares) && Some(slot.index) != self.except
        };
        let slot = slots::of(ring).into_iter().find_map(|slot| {
            let body = of_kind(&slot).then(|| Body::parse(slot.body))??;
            (body.set == of.set && body.threshold == of.threshold).then_some((slot.index, body))
        });
        let Some((index, body)) = slot else {
            return Err(ShareError::ForeignSet);
        };
        // Two seals of shares may exist; people come with those of one.
        if self.of != Some(of) {
            self.reset();
            self.of = Some(of);
        }
        if self.shares.iter().any(|given| given.index == share.index) {
            return Err(ShareError::Duplicate(share.index));
        }
        self.shares.push(share);
        self.last = now;
        let progress = Progress {
            have: u8::try_from(self.shares.len()).unwrap_or(u8::MAX),
            need: of.threshold,
        };
        if progress.have < progress.need {
            return Ok(Collected::Waiting(progress));
        }
        let joined = sharing::join(&self.shares);
        self.reset();
        let key = joined.map_err(|_| ShareError::DoNotOpen)?;
        match key.reveal(body.record, &ring.slot_context(index)) {
            Ok(key) => Ok(Collected::Open(key)),
            Err(SlotError::WrongKey) => Err(ShareError::DoNotOpen),
            Err(SlotError::Damaged | _) => Err(ShareError::Damaged),
        }
    }

    /// How many are here at `now`; `None` without any.
    pub(crate) fn progress(&mut self, now: Duration) -> Option<Progress> {
        self.expire(now);
        let of = self.of?;
        Some(Progress {
            have: u8::try_from(self.shares.len()).unwrap_or(u8::MAX),
            need: of.threshold,
        })
    }

    /// Forgets all shares.
    pub(crate) fn reset(&mut self) {
        self.of = None;
        // Each wipes itself.
        self.shares.clear();
    }

    fn expire(&mut self, now: Duration) {
        if now.saturating_sub(self.last) > PATIENCE {
            self.reset();
        }
    }
}

/// A new seal, and the shares to hand out.
pub(crate) struct NewShares {
    key: SlotKey,
    set: [u8; SET_LEN_BYTES],
    threshold: u8,
    count: u8,
    shares: Vec<KeyShare>,
    ring: [u8; RING_DIGEST_LEN_BYTES],
    entropy: Arc<dyn Entropy>,
    /// The texts were printed; a second look would be a second copy.
    told: Mutex<bool>,
}

impl NewShares {
    /// Draws a key and splits it.
    ///
    /// # Errors
    ///
    /// [`sharing::SharingError::Threshold`].
    pub(crate) fn draw(
        ring_id: &[u8; 16],
        threshold: u8,
        count: u8,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, sharing::SharingError> {
        if count > COUNT_MAX {
            return Err(sharing::SharingError::Threshold);
        }
        let key = SlotKey::random(&*entropy);
        let shares = sharing::split(&key, threshold, count, &*entropy)?;
        let mut set = [0; SET_LEN_BYTES];
        entropy.fill(&mut set);
        Ok(Self {
            key,
            set,
            threshold,
            count,
            shares,
            ring: ring_digest(ring_id),
            entropy,
            told: Mutex::new(false),
        })
    }

    /// What each person gets, once; empty the second time.
    pub(crate) fn texts(&self) -> Vec<Zeroizing<String>> {
        if std::mem::replace(&mut *self.told.lock(), true) {
            return Vec::new();
        }
        let of = ShareSet {
            ring: self.ring,
            set: self.set,
            threshold: self.threshold,
        };
        self.shares
            .iter()
            .map(|share| text_of(&of, share))
            .collect()
    }
}

impl Seal for NewShares {
    fn kind(&self) -> SealKind {
        SealKind::Shares
    }

    fn describe(&self) -> String {
        format!("any {} of {} people", self.threshold, self.count)
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let record = self.key.protect(key, slot_context, &*self.entropy);
        Ok([self.set.as_slice(), &[self.threshold, self.count], &record].concat())
    }

    /// By the last of the shares, not by the key that they were made of: they are what is proven.
    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let damaged = || SealError::Damaged("the shares' slot".to_owned());
        let body = Body::parse(protected).ok_or_else(damaged)?;
        if body.set != self.set {
            return Err(SealError::WrongSeal("other shares".to_owned()));
        }
        let last = self.shares.iter().rev().take(usize::from(self.threshold));
        let last: Vec<KeyShare> = last
            .map(|share| KeyShare {
                index: share.index,
                bytes: share.bytes.clone(),
            })
            .collect();
        let key = sharing::join(&last).map_err(|_| damaged())?;
        key.reveal(body.record, slot_context)
            .map_err(|error| match error {
                SlotError::WrongKey => SealError::WrongSeal("other shares".to_owned()),
                SlotError::Damaged | _ => damaged(),
            })
    }
}

/// Whether the text claims to be a share.
pub(crate) fn is_share(text: &str) -> bool {
    let start = text.trim_start().get(..PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// How many of how many shares a slot was made for; `None` if the slot is damaged.
pub(crate) fn dealt(body: &[u8]) -> Option<(u8, u8)> {
    let (_, rest) = body.split_first_chunk::<SET_LEN_BYTES>()?;
    let ([threshold, count], _) = rest.split_first_chunk()?;
    Some((*threshold, *count))
}

/// A slot's body.
struct Body<'a> {
    set: [u8; SET_LEN_BYTES],
    threshold: u8,
    record: &'a [u8],
}

impl<'a> Body<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (set, rest) = body.split_first_chunk()?;
        let ([threshold, _count], record) = rest.split_first_chunk()?;
        Some(Self {
            set: *set,
            threshold: *threshold,
            record,
        })
    }
}

impl Share {
    fn parse(text: &str) -> Result<Self, ShareError> {
        if !is_share(text) {
            return Err(ShareError::NotAShare);
        }
        let symbols = text.trim_start().get(PREFIX.len()..).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(PAYLOAD_LEN_BYTES + CHECKSUM_LEN_BYTES));
        let (mut pending, mut bits) = (0_u16, 0_u8);
        for symbol in symbols.bytes() {
            if symbol == b'-' || symbol.is_ascii_whitespace() {
                continue;
            }
            let value = value_of(symbol).ok_or(ShareError::Mistyped)?;
            pending = (pending << 5) | value;
            bits = bits.saturating_add(5);
            if bits >= 8 {
                bits = bits.saturating_sub(8);
                bytes.push(u8::try_from((pending >> bits) & 0xff).unwrap_or_default());
                pending &= (1_u16 << bits).wrapping_sub(1);
            }
            if bytes.len() > PAYLOAD_LEN_BYTES + CHECKSUM_LEN_BYTES {
                return Err(ShareError::Mistyped);
            }
        }
        let (payload, checksum) = bytes
            .split_at_checked(PAYLOAD_LEN_BYTES)
            .ok_or(ShareError::Mistyped)?;
        if bits != 0 || checksum != checksum_of(payload) {
            return Err(ShareError::Mistyped);
        }
        Self::of_payload(payload).ok_or(ShareError::Mistyped)
    }

    fn of_payload(payload: &[u8]) -> Option<Self> {
        let (ring, rest) = payload.split_first_chunk()?;
        let (set, rest) = rest.split_first_chunk()?;
        let ([threshold, index], rest) = rest.split_first_chunk()?;
        let bytes: &[u8; 32] = rest.try_into().ok()?;
        let of = ShareSet {
            ring: *ring,
            set: *set,
            threshold: *threshold,
        };
        let share = KeyShare {
            index: *index,
            bytes: Zeroizing::new(*bytes),
        };
        (*index != 0).then_some(Self { of, share })
    }
}

fn text_of(of: &ShareSet, share: &KeyShare) -> Zeroizing<String> {
    // Room for everything, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PAYLOAD_LEN_BYTES + CHECKSUM_LEN_BYTES));
    bytes.extend_from_slice(&of.ring);
    bytes.extend_from_slice(&of.set);
    bytes.extend_from_slice(&[of.threshold, share.index]);
    bytes.extend_from_slice(share.bytes.as_slice());
    let checksum = checksum_of(&bytes);
    bytes.extend_from_slice(&checksum);
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str(PREFIX);
    let (mut pending, mut bits, mut written) = (0_u16, 0_u8, 0_usize);
    let mut put = |text: &mut String, value: u16| {
        if written.is_multiple_of(GROUP) {
            text.push('-');
        }
        written = written.saturating_add(1);
        let symbol = ALPHABET.get(usize::from(value & 31)).copied();
        text.push(char::from(symbol.unwrap_or(b'0')));
    };
    for byte in bytes.iter() {
        pending = (pending << 8) | u16::from(*byte);
        bits = bits.saturating_add(8);
        while bits >= 5 {
            bits = bits.saturating_sub(5);
            put(&mut text, pending >> bits);
            pending &= (1_u16 << bits).wrapping_sub(1);
        }
    }
    if bits > 0 {
        put(&mut text, pending << 5_u8.saturating_sub(bits));
    }
    text
}

/// As Crockford reads: O is 0, I and L are 1, case does not matter.
fn value_of(symbol: u8) -> Option<u16> {
    let symbol = match symbol.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    let position = ALPHABET.iter().position(|known| *known == symbol)?;
    u16::try_from(position).ok()
}

fn checksum_of(payload: &[u8]) -> [u8; CHECKSUM_LEN_BYTES] {
    start_of(&[b"strongroom/1 share checksum\0", payload])
}

fn ring_digest(ring_id: &[u8; 16]) -> [u8; RING_DIGEST_LEN_BYTES] {
    start_of(&[b"strongroom/1 share ring\0", ring_id])
}

fn start_of(parts: &[&[u8]]) -> [u8; 4] {
    let whole = Zeroizing::new(parts.concat());
    let digest = digest(&SHA256, &whole);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use strongroom_types::Timestamp;

    use super::*;
    use crate::adapters::SystemEntropy;

    const NOW: Duration = Duration::from_secs(1000);

    struct Fixture {
        ring: Keyring<Sealed>,
        key: UnsealKey,
        texts: Vec<Zeroizing<String>>,
    }

    fn fixture(threshold: u8, count: u8) -> Fixture {
        let (mut ring, key) = Keyring::create(Timestamp::from_seconds(1), &SystemEntropy);
        let new =
            NewShares::draw(&ring.ring_id(), threshold, count, Arc::new(SystemEntropy)).unwrap();
        let body = new.protect(&key, &ring.slot_context(0)).unwrap();
        assert_eq!(
            new.reveal(&body, &ring.slot_context(0)).unwrap().expose(),
            key.expose()
        );
        let slot = slots::dated(
            new.kind(),
            &new.describe(),
            Timestamp::from_seconds(1),
            &body,
        );
        ring.put_slot(0, slot).unwrap();
        let texts = new.texts();
        assert!(new.texts().is_empty(), "shares are told once");
        let ring = Keyring::<Sealed>::parse(&ring.encode(&key, &SystemEntropy)).unwrap();
        Fixture { ring, key, texts }
    }

    fn have(collected: Result<Collected, ShareError>) -> u8 {
        match collected.unwrap() {
            Collected::Waiting(progress) => progress.have,
            Collected::Open(_) => panic!("open"),
        }
    }

    #[test]
    fn people_open_the_ring_one_after_the_other() {
        let f = fixture(3, 5);
        let mut collector = Collector::default();
        assert_eq!(have(collector.add(&f.ring, &f.texts[4], NOW)), 1);
        // As people type.
        let sloppy = format!(
            "  {} ",
            f.texts[0]
                .to_lowercase()
                .replace('-', " ")
                .replace('0', "o")
        );
        assert_eq!(have(collector.add(&f.ring, &sloppy, NOW)), 2);
        assert_eq!(collector.progress(NOW), Some(Progress { have: 2, need: 3 }));
        match collector.add(&f.ring, &f.texts[2], NOW).unwrap() {
            Collected::Open(key) => assert_eq!(key.expose(), f.key.expose()),
            Collected::Waiting(_) => panic!("three are enough"),
        }
        assert_eq!(collector.progress(NOW), None, "nothing is kept");
    }

    #[test]
    fn every_bad_share_is_named_as_what_it_is_and_costs_nothing() {
        let f = fixture(2, 3);
        let other = fixture(2, 3);
        let mut collector = Collector::default();
        have(collector.add(&f.ring, &f.texts[0], NOW));
        let mut add = |text: &str| collector.add(&f.ring, text, NOW).err();
        assert_eq!(add(&f.texts[0]), Some(ShareError::Duplicate(1)));
        assert_eq!(add(&other.texts[0]), Some(ShareError::ForeignRing));
        assert_eq!(add("correct horse"), Some(ShareError::NotAShare));
        assert_eq!(add("SRS1-"), Some(ShareError::Mistyped));
        // Every symbol mistyped, every length.
        let good = f.texts[1].as_bytes();
        for at in PREFIX.len()..good.len() {
            let mut bad = good.to_vec();
            if bad[at] == b'-' {
                continue;
            }
            bad[at] = if bad[at] == b'7' { b'8' } else { b'7' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(add(&bad), Some(ShareError::Mistyped), "{at}");
            assert_eq!(add(&f.texts[1][..at]), Some(ShareError::Mistyped), "{at}");
        }
        assert_eq!(
            add(&format!("{}0", *f.texts[1])),
            Some(ShareError::Mistyped)
        );
    }

    #[test]
    fn shares_of_a_removed_seal_are_named_and_forged_ones_are_forgotten() {
        let f = fixture(2, 2);
        let (mut ring, key) = Keyring::create(Timestamp::from_seconds(1), &SystemEntropy);
        let old = NewShares::draw(&ring.ring_id(), 2, 2, Arc::new(SystemEntropy)).unwrap();
        let new = NewShares::draw(&ring.ring_id(), 2, 2, Arc::new(SystemEntropy)).unwrap();
        let body = new.protect(&key, &ring.slot_context(0)).unwrap();
        let slot = slots::dated(new.kind(), "x", Timestamp::from_seconds(1), &body);
        ring.put_slot(0, slot).unwrap();
        let ring = Keyring::<Sealed>::parse(&ring.encode(&key, &SystemEntropy)).unwrap();
        let mut collector = Collector::default();
        let refused = collector.add(&ring, &old.texts()[0], NOW).err();
        assert_eq!(refused, Some(ShareError::ForeignSet));

        let of = Share::parse(&f.texts[1]).ok().unwrap();
        let forged = KeyShare {
            index: 2,
            bytes: Zeroizing::new([9; 32]),
        };
        let forged = text_of(&of.of, &forged);
        have(collector.add(&f.ring, &f.texts[0], NOW));
        let refused = collector.add(&f.ring, &forged, NOW).err();
        assert_eq!(refused, Some(ShareError::DoNotOpen));
        assert_eq!(collector.progress(NOW), None);
    }

    #[test]
    fn shares_are_forgotten_when_nobody_comes() {
        let f = fixture(2, 3);
        let mut collector = Collector::default();
        have(collector.add(&f.ring, &f.texts[0], NOW));
        let late = NOW + PATIENCE + Duration::from_secs(1);
        assert_eq!(have(collector.add(&f.ring, &f.texts[1], late)), 1);
        assert_eq!(have(collector.add(&f.ring, &f.texts[1], late * 3)), 1);
        collector.reset();
        assert_eq!(collector.progress(late * 3), None);
    }
}
