//! Opened keys: parsed rows and unwrapped materials, so that using a key costs one read in memory.
//!
//! An entry is good for the version of the row that it was made from, and every use reads that
//! version from the store. Nothing depends on what this process remembers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use strongroom_ports::RowVersion;
use strongroom_types::kms::{KeyArn, KeyMaterialId};

use crate::key::Key;
use crate::materials::Material;

/// Entries beyond which the least recently used are dropped, and their materials wiped.
const MAX_KEYS: usize = 4096;

/// A key, and as many of its materials as were needed so far.
pub(crate) struct OpenedKey {
    pub key: Key,
    /// Of the row.
    pub version: RowVersion,
    materials: RwLock<BTreeMap<KeyMaterialId, Arc<Material>>>,
    used: AtomicU64,
}

impl OpenedKey {
    /// A material that was opened before.
    pub(crate) fn material(&self, id: KeyMaterialId) -> Option<Arc<Material>> {
        self.materials.read().get(&id).map(Arc::clone)
    }

    /// Keeps a material that was just opened.
    pub(crate) fn keep(&self, id: KeyMaterialId, material: Arc<Material>) {
        self.materials.write().insert(id, material);
    }

    /// Takes over what an older version of the key had opened and this one still has.
    fn inherit(&self, older: &Self) {
        let mut materials = self.materials.write();
        for (id, material) in older.materials.read().iter() {
            let of = |key: &Key| key.material(*id).map(|it| it.shred);
            let present = self
                .key
                .material(*id)
                .is_some_and(|it| it.import.as_ref().is_none_or(|import| import.present));
            if present && of(&self.key) == of(&older.key) {
                materials.insert(*id, Arc::clone(material));
            }
        }
    }
}

/// The opened keys of this process.
#[derive(Default)]
pub(crate) struct OpenedKeys {
    entries: RwLock<BTreeMap<KeyArn, Arc<OpenedKey>>>,
    /// Counts uses, to know the least recent.
    uses: AtomicU64,
}

impl OpenedKeys {
    /// The opened key, if it was made from that version of its row.
    pub(crate) fn find(&self, arn: &KeyArn, version: RowVersion) -> Option<Arc<OpenedKey>> {
        let entries = self.entries.read();
        let opened = entries.get(arn).filter(|it| it.version == version)?;
        opened.used.store(self.tick(), Ordering::Relaxed);
        Some(Arc::clone(opened))
    }

    /// Whether there was such a key not long ago.
    pub(crate) fn knows(&self, arn: &KeyArn) -> bool {
        self.entries.read().contains_key(arn)
    }

    /// Keeps a key that was just read.
    pub(crate) fn insert(&self, key: Key, version: RowVersion) -> Arc<OpenedKey> {
        let arn = key.arn.clone();
        let opened = Arc::new(OpenedKey {
            key,
            version,
            materials: RwLock::default(),
            used: AtomicU64::new(self.tick()),
        });
        let mut entries = self.entries.write();
        match entries.get(&arn) {
            // A slow reader must not replace what is newer.
            Some(newer) if newer.version > version => return opened,
            Some(older) => opened.inherit(older),
            None => {}
        }
        entries.insert(arn, Arc::clone(&opened));
        if entries.len() > MAX_KEYS {
            drop_least_used(&mut entries);
        }
        opened
    }

    /// Drops a key that is gone.
    pub(crate) fn forget(&self, arn: &KeyArn) {
        // Most callers ask for what is not there.
        if self.knows(arn) {
            self.entries.write().remove(arn);
        }
    }
}

impl OpenedKeys {
    fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

/// Drops a sixteenth at once, so that the search is rare.
fn drop_least_used(entries: &mut BTreeMap<KeyArn, Arc<OpenedKey>>) {
    let mut uses: Vec<u64> = entries
        .values()
        .map(|it| it.used.load(Ordering::Relaxed))
        .collect();
    uses.sort_unstable();
    let Some(bound) = uses.get(uses.len() / 16) else {
        return;
    };
    entries.retain(|_, it| it.used.load(Ordering::Relaxed) > *bound);
}
