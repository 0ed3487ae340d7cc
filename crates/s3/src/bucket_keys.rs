//! S3 Bucket Keys in use: data keys of the key service that serve many objects of a bucket for a
//! short while.
//!
//! A key is found again only by the requester for whom it was made: bucket, KMS key, encryption
//! context, principal, access key and session all agree. It saves the cryptographic call and its
//! record, never the decision: who asks here was authorised for this very request.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use strongroom_crypto::KmsDataKey;
use strongroom_ports::KeyLease;
use strongroom_types::kms::KeyArn;
use strongroom_types::{AccessKeyId, BucketUid, Principal, RequestContext, Session};

/// How long, how many and how often.
#[derive(Clone, Copy)]
struct Bounds {
    ttl: Duration,
    /// Keys kept, of each of the two kinds.
    kept: usize,
    /// Objects for which one bucket key may wrap a data key.
    wraps: u32,
}

/// Whose bucket key it is, and for what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BucketKeyOwner {
    bucket: BucketUid,
    key: KeyArn,
    /// The encryption context, canonical.
    context: Vec<u8>,
    principal: Principal,
    access_key: Option<AccessKeyId>,
    session: Option<Arc<Session>>,
}

impl BucketKeyOwner {
    pub(crate) fn new(
        bucket: BucketUid,
        key: KeyArn,
        context: Vec<u8>,
        caller: &RequestContext,
    ) -> Self {
        Self {
            bucket,
            key,
            context,
            principal: caller.principal.clone(),
            access_key: caller.access_key_id.clone(),
            session: caller.session.clone(),
        }
    }
}

/// A bucket key.
#[derive(Clone, Debug)]
pub(crate) struct BucketKey {
    pub key: Arc<KmsDataKey>,
    /// The key service's ciphertext of it.
    pub blob: Arc<[u8]>,
    /// From when it was made or decrypted.
    pub lease: KeyLease,
}

/// The bucket keys in use. A plaintext is forgotten (and wiped, once nobody works with it) when its
/// time is over or its KMS key cannot be used any more: at the next [`BucketKeys::sweep`], if nobody
/// asks before.
pub(crate) struct BucketKeys {
    bounds: Bounds,
    /// For writes: the newest of its owner.
    made: Mutex<Kept<BucketKeyOwner>>,
    /// For reads: by its ciphertext as well, since objects outlive the keys for writes.
    opened: Mutex<Kept<(BucketKeyOwner, Arc<[u8]>)>>,
}

/// Who has a key, for fairness: contexts are the client's choice and must not crowd out others.
trait Requested {
    fn requester(&self) -> &Principal;
}

impl Requested for BucketKeyOwner {
    fn requester(&self) -> &Principal {
        &self.principal
    }
}

impl Requested for (BucketKeyOwner, Arc<[u8]>) {
    fn requester(&self) -> &Principal {
        &self.0.principal
    }
}

struct Kept<K> {
    entries: HashMap<K, Entry>,
    uses: u64,
}

struct Entry {
    key: BucketKey,
    since: Duration,
    wraps: u32,
    last_use: u64,
}

impl BucketKeys {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self::bounded(Bounds {
            ttl,
            kept: 1024,
            wraps: 1 << 20,
        })
    }

    fn bounded(bounds: Bounds) -> Self {
        Self {
            bounds,
            made: Mutex::new(Kept::new()),
            opened: Mutex::new(Kept::new()),
        }
    }

    /// The key with which `owner` may wrap one more data key.
    pub(crate) fn for_write(&self, owner: &BucketKeyOwner, now: Duration) -> Option<BucketKey> {
        count(self.made.lock().find(owner, self.bounds, now))
    }

    /// The key behind `blob`, if it is `owner`'s.
    pub(crate) fn for_read(
        &self,
        owner: BucketKeyOwner,
        blob: &[u8],
        now: Duration,
    ) -> Option<BucketKey> {
        let place = (owner, blob.into());
        count(self.opened.lock().find(&place, self.bounds, now))
    }

    /// Keeps a key that was just made.
    pub(crate) fn keep_made(&self, owner: BucketKeyOwner, key: &BucketKey, now: Duration) {
        if !self.bounds.ttl.is_zero() {
            let place = (owner.clone(), Arc::clone(&key.blob));
            let bounds = self.bounds;
            self.opened.lock().keep(place, key.clone(), bounds, now);
            self.made.lock().keep(owner, key.clone(), bounds, now);
        }
    }

    /// Keeps a key that was just decrypted.
    pub(crate) fn keep_opened(&self, owner: BucketKeyOwner, key: &BucketKey, now: Duration) {
        if !self.bounds.ttl.is_zero() {
            let place = (owner, Arc::clone(&key.blob));
            self.opened
                .lock()
                .keep(place, key.clone(), self.bounds, now);
        }
    }

    /// Forgets what must not be used any more.
    pub(crate) fn sweep(&self, now: Duration) {
        self.opened.lock().sweep(self.bounds, now);
        self.made.lock().sweep(self.bounds, now);
    }
}

/// Counts calls of the key service that were saved, and those that were not.
fn count(found: Option<BucketKey>) -> Option<BucketKey> {
    if found.is_some() {
        metrics::counter!("strongroom_bucket_key_hits_total").increment(1);
    } else {
        metrics::counter!("strongroom_bucket_key_misses_total").increment(1);
    }
    found
}

impl<K: Hash + Eq + Clone + Requested> Kept<K> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            uses: 0,
        }
    }

    fn find(&mut self, place: &K, bounds: Bounds, now: Duration) -> Option<BucketKey> {
        let entry = self.entries.get_mut(place)?;
        if !entry.is_usable(bounds, now) {
            self.entries.remove(place);
            return None;
        }
        self.uses = self.uses.saturating_add(1);
        entry.wraps = entry.wraps.saturating_add(1);
        entry.last_use = self.uses;
        Some(entry.key.clone())
    }

    fn keep(&mut self, place: K, key: BucketKey, bounds: Bounds, now: Duration) {
        self.sweep(bounds, now);
        if self.entries.len() >= bounds.kept && !self.entries.contains_key(&place) {
            self.make_room();
        }
        self.uses = self.uses.saturating_add(1);
        let entry = Entry {
            key,
            since: now,
            wraps: 1,
            last_use: self.uses,
        };
        self.entries.insert(place, entry);
    }

    fn sweep(&mut self, bounds: Bounds, now: Duration) {
        self.entries.retain(|_, entry| entry.is_usable(bounds, now));
    }

    /// Whoever has the most keys gives up the one that was not used for the longest time.
    fn make_room(&mut self) {
        let mut counts: HashMap<&Principal, usize> = HashMap::new();
        for place in self.entries.keys() {
            let count = counts.entry(place.requester()).or_default();
            *count = count.saturating_add(1);
        }
        let most = counts.values().copied().max();
        let has_most = |place: &K| counts.get(place.requester()).copied() == most;
        let candidates = self.entries.iter().filter(|(place, _)| has_most(place));
        let oldest = candidates.min_by_key(|(_, entry)| entry.last_use);
        if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
            self.entries.remove(&oldest);
        }
    }
}

impl Entry {
    fn is_usable(&self, bounds: Bounds, now: Duration) -> bool {
        now.saturating_sub(self.since) < bounds.ttl
            && self.wraps < bounds.wraps
            && self.key.lease.check.still_usable().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use strongroom_ports::{KeyError, LeaseCheck};
    use strongroom_types::kms::KeyId;
    use strongroom_types::{AccountId, Region};

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    struct Usable(AtomicBool);

    impl LeaseCheck for Usable {
        fn still_usable(&self) -> Result<(), KeyError> {
            if self.0.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err(KeyError::Unavailable)
            }
        }
    }

    fn kept(kept: usize, wraps: u32) -> BucketKeys {
        BucketKeys::bounded(Bounds {
            ttl: Duration::from_secs(300),
            kept,
            wraps,
        })
    }

    fn arn() -> KeyArn {
        KeyArn {
            region: Region::parse("us-east-1").unwrap(),
            account: AccountId::parse("111111111111").unwrap(),
            id: KeyId::from_bytes([7; 16]),
        }
    }

    /// By account and encryption context.
    fn owner(account: &str, context: u8) -> BucketKeyOwner {
        BucketKeyOwner {
            bucket: BucketUid::from_bytes([1; 16]),
            key: arn(),
            context: vec![context],
            principal: Principal::Root {
                account: AccountId::parse(account).unwrap(),
            },
            access_key: None,
            session: None,
        }
    }

    fn key(usable: &Arc<Usable>) -> BucketKey {
        BucketKey {
            key: Arc::new(KmsDataKey::parse(&[9; 32]).unwrap()),
            blob: [3, 4].as_slice().into(),
            lease: KeyLease {
                key: arn(),
                check: Arc::clone(usable) as _,
            },
        }
    }

    fn usable() -> Arc<Usable> {
        Arc::new(Usable(AtomicBool::new(true)))
    }

    const ONE: &str = "111111111111";
    const OTHER: &str = "222222222222";

    #[test]
    fn a_bucket_key_wraps_so_many_data_keys_and_no_more() {
        let keys = kept(4, 3);
        keys.keep_made(owner(ONE, 0), &key(&usable()), NOW);
        // Making it wrapped the first.
        assert!(keys.for_write(&owner(ONE, 0), NOW).is_some());
        assert!(keys.for_write(&owner(ONE, 0), NOW).is_some());
        assert!(keys.for_write(&owner(ONE, 0), NOW).is_none());
        assert_eq!(BucketKeys::new(NOW).bounds.wraps, 1 << 20);
    }

    #[test]
    fn the_one_that_was_not_used_for_the_longest_time_goes() {
        let keys = kept(3, 100);
        for context in 0..3 {
            keys.keep_made(owner(ONE, context), &key(&usable()), NOW);
        }
        assert!(keys.for_write(&owner(ONE, 0), NOW).is_some());
        keys.keep_made(owner(ONE, 3), &key(&usable()), NOW);
        let found = |context| keys.for_write(&owner(ONE, context), NOW).is_some();
        assert_eq!([0, 1, 2, 3].map(found), [true, false, true, true]);
    }

    #[test]
    fn many_contexts_of_one_requester_leave_the_others_keys_alone() {
        let keys = kept(4, 100);
        keys.keep_made(owner(OTHER, 0), &key(&usable()), NOW);
        for context in 0..50 {
            keys.keep_made(owner(ONE, context), &key(&usable()), NOW);
        }
        assert!(keys.for_write(&owner(OTHER, 0), NOW).is_some());
        assert_eq!(keys.made.lock().entries.len(), 4);
        assert_eq!(keys.opened.lock().entries.len(), 4);
    }

    #[test]
    fn a_sweep_forgets_what_is_too_old_and_what_may_not_be_used() {
        let keys = kept(4, 100);
        let (usable, other) = (usable(), usable());
        keys.keep_made(owner(ONE, 0), &key(&usable), NOW);
        keys.keep_made(owner(ONE, 1), &key(&other), NOW);
        let sizes = || {
            let made = keys.made.lock().entries.len();
            (made, keys.opened.lock().entries.len())
        };
        keys.sweep(NOW);
        assert_eq!(sizes(), (2, 2));
        let held = key(&usable);
        keys.keep_made(owner(ONE, 0), &held, NOW);
        usable.0.store(false, Ordering::SeqCst);
        keys.sweep(NOW);
        assert_eq!(sizes(), (1, 1));
        assert_eq!(Arc::strong_count(&held.key), 1, "the plaintext is let go");
        // Keeping another sweeps too.
        let later = NOW + Duration::from_secs(300);
        keys.keep_opened(owner(ONE, 2), &key(&other), later);
        assert_eq!(sizes(), (1, 1));
        keys.sweep(later);
        assert_eq!(sizes(), (0, 1));
    }
}
