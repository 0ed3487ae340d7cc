//! Taking, going on, pruning and restoring, with a store that is played.
#![cfg(test)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test reports by panicking, and reads files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom_backup::{
    Begun, Directory, Extent, Lineage, Origin, OriginError, Place as _, RestoreError, Restored,
    Sources, TakeError, Taken, Wanted, list, prune, restore, take,
};
use strongroom_crypto::{Keyring, ManifestKey, ShredId, ShredKey, UnsealKey, Unsealed};
use strongroom_types::{Entropy, Timestamp};

struct Fill(u8);

impl Entropy for Fill {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0);
    }
}

/// A data directory with files of the right shapes, and its ring.
struct Played {
    root: tempfile::TempDir,
    ring: Keyring<Unsealed>,
    unseal_key: UnsealKey,
    in_use: BTreeSet<[u8; 16]>,
    mark: u64,
    /// The hold ends before the last signature.
    cut_off: bool,
    signed: u32,
}

impl Played {
    fn new(seed: u8) -> Self {
        let (ring, unseal_key) = Keyring::create(Timestamp::from_seconds(1), &Fill(seed));
        let played = Self {
            root: tempfile::tempdir().unwrap(),
            ring,
            unseal_key,
            in_use: BTreeSet::new(),
            mark: 10,
            cut_off: false,
            signed: 0,
        };
        for directory in [
            "meta/journal",
            "meta/snapshot",
            "blobs/blobs",
            "shreds/a",
            "shreds/b",
        ] {
            fs::create_dir_all(played.path(directory)).unwrap();
        }
        played.write("meta/journal/00000001.srj", &[1; 1000]);
        played
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("data").join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), bytes).unwrap();
    }

    fn blob(&self, number: u8, body: &[u8]) -> String {
        let name = format!("blobs/blobs/{number:02x}/{}", hex::encode([number; 16]));
        self.write(&name, &[b"SRB1", body].concat());
        name
    }

    fn shred(&mut self, number: u8) {
        let id = ShredId::from_bytes([number; 16]);
        let key = ShredKey::random(&Fill(number));
        let file = self.ring.seal_shred_key(id, &key, &Fill(number));
        for copy in ["a", "b"] {
            self.write(
                &format!("shreds/{copy}/{}", hex::encode([number; 16])),
                &file,
            );
        }
        self.in_use.insert([number; 16]);
    }

    fn sources(&self) -> Sources {
        Sources {
            meta: self.path("meta"),
            blobs: self.path("blobs"),
            shreds: self.path("shreds"),
        }
    }

    fn take(&mut self, place: &Path) -> Result<Taken, TakeError> {
        let lineage = Lineage {
            own: "one".to_owned(),
            parent: None,
        };
        self.take_as(place, &lineage)
    }

    fn take_as(&mut self, place: &Path, lineage: &Lineage) -> Result<Taken, TakeError> {
        let place = Directory::create(place).unwrap();
        self.signed = 0;
        take(&self.sources(), lineage, &place, self, &mut |_| {})
    }

    fn restore(&self, place: &Path, wanted: Wanted) -> (PathBuf, Result<Restored, RestoreError>) {
        let target = self.root.path().join(format!(
            "{}",
            fs::read_dir(self.root.path()).unwrap().count()
        ));
        fs::create_dir(&target).unwrap();
        let mut open = |bytes: &[u8]| {
            let ring = Keyring::parse(bytes)?.unseal(&self.unseal_key)?;
            Ok(ManifestKey::of(&ring))
        };
        let place = Directory::open(place);
        let restored = restore(&place, wanted, &target, &mut open, &mut |_| {});
        (target, restored)
    }

    fn place(&self) -> PathBuf {
        self.root.path().join("place")
    }
}

impl Origin for Played {
    fn begin(&mut self) -> Result<Begun, OriginError> {
        let journal = fs::read_dir(self.path("meta/journal"))?;
        let mut extents = Vec::new();
        for entry in journal {
            let entry = entry?;
            extents.push(Extent {
                path: format!("journal/{}", entry.file_name().display()),
                len_bytes: entry.metadata()?.len(),
            });
        }
        extents.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Begun {
            mark: self.mark,
            marked: "2026-01-01T00:00:00Z".to_owned(),
            ring_id: hex::encode(self.ring.ring_id()),
            extents,
        })
    }

    fn go_on(&mut self) -> Result<(), OriginError> {
        Ok(())
    }

    fn shreds(&mut self) -> Result<BTreeSet<[u8; 16]>, OriginError> {
        Ok(self.in_use.clone())
    }

    fn ring(&mut self) -> Result<Vec<u8>, OriginError> {
        Ok(self.ring.encode(&self.unseal_key, &Fill(9)))
    }

    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 32], OriginError> {
        self.signed += 1;
        if self.cut_off {
            return Err("the hold is over".into());
        }
        Ok(ManifestKey::of(&self.ring).mac(digest))
    }

    fn end(&mut self) {}
}

fn same(one: &Path, other: &Path, path: &str) -> bool {
    fs::read(one.join(path)).unwrap() == fs::read(other.join(path)).unwrap()
}

#[test]
fn everything_comes_back_and_only_what_is_new_is_copied() {
    let mut store = Played::new(1);
    let blobs = [store.blob(1, &[1; 5000]), store.blob(2, &[2; 2_000_000])];
    store.shred(7);
    let place = store.place();
    let first = store.take(&place).unwrap();
    assert_eq!(
        (
            first.summary.number,
            first.copied_blobs,
            first.summary.shreds
        ),
        (1, 2, 1)
    );
    // The journal grows, and there is one more blob.
    store.write("meta/journal/00000001.srj", &[1; 1500]);
    let third = store.blob(3, b"three");
    let second = store.take(&place).unwrap();
    assert_eq!((second.summary.number, second.copied_blobs), (2, 1));
    assert!(second.copied_bytes < 3000, "{second:?}");
    let data = store.path("");
    let (target, restored) = store.restore(&place, Wanted::Newest);
    assert_eq!(restored.unwrap().summary.number, 2);
    let shred = format!("shreds/b/{}", hex::encode([7; 16]));
    for path in blobs.iter().chain([&third, &shred]) {
        assert!(same(&data, &target, path), "{path}");
    }
    assert!(same(&data, &target, "meta/journal/00000001.srj"));
    let (target, restored) = store.restore(&place, Wanted::Number(1));
    assert_eq!(restored.unwrap().summary.number, 1);
    assert_eq!(
        fs::read(target.join("meta/journal/00000001.srj")).unwrap(),
        [1; 1000]
    );
    assert!(!target.join(&third).exists());
}

#[test]
fn a_journal_that_is_another_one_is_copied_anew() {
    let mut store = Played::new(1);
    let place = store.place();
    store.take(&place).unwrap();
    store.write("meta/journal/00000001.srj", &[2; 1200]);
    store.take(&place).unwrap();
    let (target, restored) = store.restore(&place, Wanted::Newest);
    restored.unwrap();
    assert_eq!(
        fs::read(target.join("meta/journal/00000001.srj")).unwrap(),
        [2; 1200]
    );
}

#[test]
fn zeros_behind_the_last_frame_are_left_out() {
    let mut store = Played::new(1);
    store.write(
        "meta/journal/00000001.srj",
        &[[1; 1000].as_slice(), &[0; 3_000_000]].concat(),
    );
    let place = store.place();
    assert!(store.take(&place).unwrap().copied_bytes < 5000);
    let (target, restored) = store.restore(&place, Wanted::Newest);
    restored.unwrap();
    let journal = fs::read(target.join("meta/journal/00000001.srj")).unwrap();
    assert!((1064..1100).contains(&journal.len()) && journal[..1000] == [1; 1000]);
}

#[test]
fn who_is_cut_off_has_no_backup_and_the_next_run_takes_what_is_there() {
    let mut store = Played::new(1);
    store.blob(1, &[1; 5000]);
    let place = store.place();
    store.cut_off = true;
    assert!(matches!(store.take(&place), Err(TakeError::Origin(_))));
    assert!(list(&Directory::open(&place)).unwrap().is_empty());
    store.cut_off = false;
    let taken = store.take(&place).unwrap();
    assert_eq!((taken.summary.number, taken.copied_blobs), (1, 0));
    assert_eq!(
        fs::read_dir(place.join("runs")).unwrap().count(),
        1,
        "the leftovers are gone"
    );
}

#[test]
fn a_body_that_is_missing_or_cut_in_the_place_is_copied_again() {
    let mut store = Played::new(1);
    store.blob(1, &[1; 5000]);
    let place = store.place();
    store.take(&place).unwrap();
    let body = place.join("blobs/01").join(hex::encode([1; 16]));
    fs::write(&body, b"SRB1").unwrap();
    assert_eq!(store.take(&place).unwrap().copied_blobs, 1);
    store.restore(&place, Wanted::Newest).1.unwrap();
    fs::remove_file(&body).unwrap();
    assert_eq!(store.take(&place).unwrap().copied_blobs, 1);
    store.restore(&place, Wanted::Newest).1.unwrap();
}

#[test]
fn what_is_destroyed_goes_and_does_not_come_back() {
    let mut store = Played::new(1);
    store.shred(7);
    store.shred(8);
    let place = store.place();
    store.take(&place).unwrap();
    let kept = place.clone();
    let copy = store.root.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(kept.join("shreds")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    store.in_use.remove(&[7; 16]);
    let second = store.take(&place).unwrap();
    assert_eq!((second.destroyed, second.summary.shreds), (1, 1));
    assert_eq!(fs::read_dir(place.join("shreds")).unwrap().count(), 1);
    // Somebody puts the old copy back.
    for entry in fs::read_dir(&copy).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.join("shreds").join(entry.file_name())).unwrap();
    }
    let (target, restored) = store.restore(&place, Wanted::Number(1));
    assert_eq!(restored.unwrap().destroyed, 1);
    assert!(!target.join("shreds/a").join(hex::encode([7; 16])).exists());
    assert!(target.join("shreds/a").join(hex::encode([8; 16])).exists());
    // And the next run takes them away once more.
    assert_eq!(store.take(&place).unwrap().destroyed, 1);
    // A shred file that a row needs and that is not there was not destroyed.
    for copy in ["a", "b"] {
        fs::remove_file(store.path("shreds").join(copy).join(hex::encode([8; 16]))).unwrap();
    }
    let last = store.take(&place).unwrap();
    assert_eq!((last.destroyed, last.summary.unreadable.len()), (0, 1));
    assert_eq!(fs::read_dir(place.join("shreds")).unwrap().count(), 1);
}

#[test]
fn a_store_that_goes_another_way_takes_no_backup_there() {
    let mut store = Played::new(1);
    store.shred(7);
    let place = store.place();
    store.take(&place).unwrap();
    store.take(&place).unwrap();
    let of = |number| Lineage {
        own: "two".to_owned(),
        parent: Some(("one".to_owned(), number)),
    };
    let refused = store.take_as(&place, &of(1));
    assert!(matches!(refused, Err(TakeError::OtherLineage(_, 2))));
    store.mark -= 1;
    assert!(matches!(
        store.take(&place),
        Err(TakeError::OtherLineage(_, 2))
    ));
    store.mark += 1;
    assert_eq!(store.take_as(&place, &of(2)).unwrap().summary.number, 3);
    assert!(matches!(
        store.take(&place),
        Err(TakeError::OtherLineage(_, 3))
    ));
    let mut other = Played::new(2);
    assert!(matches!(other.take(&place), Err(TakeError::OtherStore(..))));
}

#[test]
fn nothing_is_taken_from_a_manifest_that_does_not_verify() {
    let mut store = Played::new(1);
    store.blob(1, &[1; 5000]);
    let place = store.place();
    store.take(&place).unwrap();
    let path = place.join("manifests/00000001.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"mark\":10", "\"mark\":11")).unwrap();
    let (_, restored) = store.restore(&place, Wanted::Newest);
    assert!(matches!(restored, Err(RestoreError::Manifest(1, _))));
    let second = store.take(&place).unwrap();
    assert_eq!(
        (second.summary.number, second.ignored.as_slice()),
        (2, [1].as_slice())
    );
    store.restore(&place, Wanted::Newest).1.unwrap();
}

#[test]
fn every_flipped_byte_of_the_place_is_found() {
    let mut store = Played::new(1);
    store.blob(1, &[1; 40]);
    store.shred(7);
    store.write("meta/journal/00000001.srj", &[1; 100]);
    let place = store.place();
    store.take(&place).unwrap();
    let objects = Directory::open(&place).list("").unwrap();
    assert_eq!(
        objects.len(),
        5,
        "manifest, journal, blob, shred key, ring: {objects:?}"
    );
    for (name, len) in objects {
        let good = fs::read(place.join(&name)).unwrap();
        for byte in (0..usize::try_from(len).unwrap()).step_by(7) {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            fs::write(place.join(&name), &bad).unwrap();
            let (target, restored) = store.restore(&place, Wanted::Newest);
            assert!(restored.is_err(), "{name} byte {byte}");
            fs::remove_dir_all(target).unwrap();
        }
        fs::write(place.join(&name), &good).unwrap();
    }
    store.restore(&place, Wanted::Newest).1.unwrap();
}

#[test]
fn pruning_leaves_what_the_kept_ones_need() {
    let mut store = Played::new(1);
    let gone = store.blob(1, &[1; 5000]);
    let place = store.place();
    store.take(&place).unwrap();
    fs::remove_file(store.path(&gone)).unwrap();
    store.blob(2, &[2; 5000]);
    store.take(&place).unwrap();
    let directory = Directory::create(&place).unwrap();
    let pruned = prune(&directory, 2).unwrap();
    assert_eq!((pruned.backups, pruned.objects), (0, 0));
    let pruned = prune(&directory, 1).unwrap();
    assert!(pruned.backups == 1 && pruned.bytes > 5000, "{pruned:?}");
    drop(directory);
    store.restore(&place, Wanted::Newest).1.unwrap();
    assert!(matches!(
        store.restore(&place, Wanted::Number(1)).1,
        Err(RestoreError::NoBackup(_))
    ));
}
