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

/// Keys kept, at most, of each of the two kinds.
const KEPT_MAX: usize = 1024;
/// Objects for which one bucket key may wrap a data key.
const WRAPS_MAX: u32 = 1 << 20;

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

/// The bucket keys in use.
pub(crate) struct BucketKeys {
    ttl: Duration,
    /// For writes: the newest of its owner.
    made: Mutex<Kept<BucketKeyOwner>>,
    /// For reads: by its ciphertext as well, since objects outlive the keys for writes.
    opened: Mutex<Kept<(BucketKeyOwner, Arc<[u8]>)>>,
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
        Self {
            ttl,
            made: Mutex::new(Kept::new()),
            opened: Mutex::new(Kept::new()),
        }
    }

    /// The key with which `owner` may wrap one more data key.
    pub(crate) fn for_write(&self, owner: &BucketKeyOwner, now: Duration) -> Option<BucketKey> {
        count(self.made.lock().find(owner, self.ttl, now))
    }

    /// The key behind `blob`, if it is `owner`'s.
    pub(crate) fn for_read(
        &self,
        owner: &BucketKeyOwner,
        blob: &[u8],
        now: Duration,
    ) -> Option<BucketKey> {
        let place = (owner.clone(), blob.into());
        count(self.opened.lock().find(&place, self.ttl, now))
    }

    /// Keeps a key that was just made.
    pub(crate) fn keep_made(&self, owner: BucketKeyOwner, key: &BucketKey, now: Duration) {
        if !self.ttl.is_zero() {
            let place = (owner.clone(), Arc::clone(&key.blob));
            self.opened.lock().keep(place, key.clone(), now);
            self.made.lock().keep(owner, key.clone(), now);
        }
    }

    /// Keeps a key that was just decrypted.
    pub(crate) fn keep_opened(&self, owner: BucketKeyOwner, key: &BucketKey, now: Duration) {
        if !self.ttl.is_zero() {
            let place = (owner, Arc::clone(&key.blob));
            self.opened.lock().keep(place, key.clone(), now);
        }
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

impl<K: Hash + Eq + Clone> Kept<K> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            uses: 0,
        }
    }

    fn find(&mut self, place: &K, ttl: Duration, now: Duration) -> Option<BucketKey> {
        let entry = self.entries.get_mut(place)?;
        let fresh = now.saturating_sub(entry.since) < ttl && entry.wraps < WRAPS_MAX;
        if !fresh || entry.key.lease.check.still_usable().is_err() {
            self.entries.remove(place);
            return None;
        }
        self.uses = self.uses.saturating_add(1);
        entry.wraps = entry.wraps.saturating_add(1);
        entry.last_use = self.uses;
        Some(entry.key.clone())
    }

    fn keep(&mut self, place: K, key: BucketKey, now: Duration) {
        if self.entries.len() >= KEPT_MAX && !self.entries.contains_key(&place) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.entries.remove(&oldest);
            }
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
}
