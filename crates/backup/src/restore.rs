//! The way back: every piece verified, and nothing that a server would start from before all is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_crypto::ManifestKey;

use crate::Progress;
use crate::manifest::{self, Digest, Manifest, ManifestError, Piece, Summary};
use crate::place::{Place, PlaceError, read_all};

/// Objects up to this length are read as a whole and kept for the next piece: many footers are in one.
const KEPT_MAX_BYTES: u64 = 16 << 20;
/// A ring's file is far shorter.
const RING_MAX_BYTES: u64 = 1 << 20;

/// Which backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The newest.
    Newest,
    /// This one.
    Number(u64),
}

/// The ring's file of a backup, and what opened it.
pub type Ring<'a> =
    &'a mut dyn FnMut(&[u8]) -> Result<ManifestKey, Box<dyn std::error::Error + Send + Sync>>;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The backup.
    pub summary: Summary,
    /// Files written.
    pub files: u64,
    /// Shred keys that were left out, because a later backup says that the store has destroyed them:
    /// what is under their keys does not open.
    pub destroyed: u64,
    /// Later manifests that do not verify: shred keys that they tell of may be among those restored.
    pub unverified_later: Vec<u64>,
    /// The backup's lineage.
    pub lineage: String,
    /// The ring's file, which is not written: the caller puts it in its place last.
    pub ring: Vec<u8>,
}

/// Why nothing was restored. What was written has no ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no backup, or not this one.
    #[error("there is no such backup in {0}")]
    NoBackup(String),
    /// The manifest is none of this ring's.
    #[error("the manifest of backup {0}: {1}")]
    Manifest(u64, ManifestError),
    /// An object is missing, cut, or not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The ring does not open.
    #[error(transparent)]
    Ring(Box<dyn std::error::Error + Send + Sync>),
    /// The place.
    #[error(transparent)]
    Place(PlaceError),
    /// The target.
    #[error("{0}: {1}")]
    Target(PathBuf, io::Error),
}

impl From<PlaceError> for RestoreError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Missing(_) | PlaceError::Short(_) => Self::Damaged(error.to_string()),
            other @ (PlaceError::Source(..) | PlaceError::Taker(_) | PlaceError::Failed(..)) => {
                Self::Place(other)
            }
        }
    }
}

/// Writes the files of a backup below `target`, all but the ring, and syncs them.
///
/// `target` exists, and belongs to the caller.
///
/// # Errors
///
/// [`RestoreError`].
pub fn restore(
    place: &dyn Place,
    wanted: Wanted,
    target: &Path,
    ring: Ring<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, RestoreError> {
    let numbers = manifest::numbers(&place.list("manifests/")?);
    let number = match wanted {
        Wanted::Newest => numbers.last().copied(),
        Wanted::Number(number) => numbers.iter().copied().find(|it| *it == number),
    };
    let number = number.ok_or_else(|| RestoreError::NoBackup(place.describe()))?;
    let refused = |error| RestoreError::Manifest(number, error);
    let signed = manifest::read(place, number)?.map_err(refused)?;
    let ring_piece = &signed.manifest.ring;
    if ring_piece.len > RING_MAX_BYTES {
        return Err(RestoreError::Damaged("the ring is too long".to_owned()));
    }
    let ring_bytes = read_whole(place, ring_piece)?;
    if Digest::of(&ring_bytes) != ring_piece.sha256 {
        return Err(damaged(&ring_piece.object));
    }
    let key = ring(&ring_bytes).map_err(RestoreError::Ring)?;
    signed.verify(number, &key).map_err(refused)?;
    let (destroyed, unverified_later) = destroyed_later(place, number, &numbers, &key)?;
    let Manifest {
        summary,
        files,
        destroyed: destroyed_before,
        lineage,
        ..
    } = signed.manifest;
    let known: BTreeSet<String> = destroyed_before.into_iter().map(|it| it.shred).collect();
    let mut writer = Writer {
        place,
        target,
        kept: None,
        made: BTreeSet::new(),
    };
    let mut done = Progress {
        done_bytes: 0,
        all_bytes: summary.bytes,
    };
    let mut restored = Restored {
        summary,
        files: 0,
        destroyed: 0,
        unverified_later,
        lineage,
        ring: ring_bytes,
    };
    let is_meta = |path: &str| path.starts_with("meta/");
    let meta = files.iter().filter(|(path, _)| is_meta(path));
    let others = files.iter().filter(|(path, _)| !is_meta(path));
    // First what says what the others are: whoever wants to know why they do not come back can read it.
    for (path, file) in meta.chain(others) {
        let shred = path
            .strip_prefix("shreds/")
            .and_then(|path| path.split_once('/'));
        if let Some((copy, id)) = shred
            && (destroyed.contains(id) || known.contains(id))
        {
            restored.destroyed += u64::from(copy == "a");
            continue;
        }
        if !is_safe(path) {
            return Err(RestoreError::Damaged(format!(
                "{path:?} is no path of a data directory"
            )));
        }
        writer.file(path, &file.pieces)?;
        restored.files += 1;
        done.done_bytes += file.len_bytes();
        progress(done);
    }
    let synced =
        fs::File::open(target).and_then(|root| rustix::fs::syncfs(&root).map_err(io::Error::from));
    synced.map_err(|error| RestoreError::Target(target.to_owned(), error))?;
    Ok(restored)
}

/// The shred keys that later backups tell of as destroyed.
fn destroyed_later(
    place: &dyn Place,
    number: u64,
    numbers: &[u64],
    key: &ManifestKey,
) -> Result<(BTreeSet<String>, Vec<u64>), RestoreError> {
    let mut unverified = Vec::new();
    // The newest of them knows all that the others know.
    for later in numbers.iter().copied().filter(|it| *it > number).rev() {
        match manifest::read(place, later)? {
            Ok(signed) if signed.verify(later, key).is_ok() => {
                let all = signed.manifest.destroyed.into_iter().map(|it| it.shred);
                return Ok((all.collect(), unverified));
            }
            Ok(_) | Err(_) => unverified.push(later),
        }
    }
    Ok((BTreeSet::new(), unverified))
}

struct Writer<'a> {
    place: &'a dyn Place,
    target: &'a Path,
    /// The last small object.
    kept: Option<(String, Vec<u8>)>,
    made: BTreeSet<PathBuf>,
}

impl Writer<'_> {
    fn file(&mut self, path: &str, pieces: &[Piece]) -> Result<(), RestoreError> {
        let path = self.target.join(path);
        let failed = |error| RestoreError::Target(path.clone(), error);
        if let Some(parent) = path.parent()
            && self.made.insert(parent.to_owned())
        {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        for piece in pieces {
            self.piece(&mut file, &path, piece)?;
        }
        Ok(())
    }

    fn piece(
        &mut self,
        file: &mut fs::File,
        path: &Path,
        piece: &Piece,
    ) -> Result<(), RestoreError> {
        let failed = |error| RestoreError::Target(path.to_owned(), error);
        let is_shared = piece.object.starts_with("runs/") && piece.object.contains("/footers-");
        if is_shared {
            let bytes = self.shared(piece)?;
            if Digest::of(&bytes) != piece.sha256 {
                return Err(damaged(&piece.object));
            }
            return file.write_all(&bytes).map_err(failed);
        }
        let mut context = Context::new(&SHA256);
        let read = self
            .place
            .read(&piece.object, piece.offset, piece.len, &mut |chunk| {
                context.update(chunk);
                file.write_all(chunk)
            });
        match read {
            Err(PlaceError::Taker(error)) => return Err(failed(error)),
            read => read?,
        }
        if context.finish().as_ref() != piece.sha256.0.as_slice() {
            return Err(damaged(&piece.object));
        }
        Ok(())
    }

    /// A piece of an object that many pieces are in.
    fn shared(&mut self, piece: &Piece) -> Result<Vec<u8>, RestoreError> {
        if self
            .kept
            .as_ref()
            .is_none_or(|(name, _)| *name != piece.object)
        {
            let found: BTreeMap<String, u64> = self.place.list(&piece.object)?;
            let len = found.get(&piece.object).copied();
            let len = len.ok_or_else(|| PlaceError::Missing(piece.object.clone()))?;
            let bytes = read_all(self.place, &piece.object, len.min(KEPT_MAX_BYTES))?;
            self.kept = Some((piece.object.clone(), bytes));
        }
        let bytes = self.kept.as_ref().and_then(|(_, bytes)| {
            let start = usize::try_from(piece.offset).ok()?;
            let end = start.checked_add(usize::try_from(piece.len).ok()?)?;
            bytes.get(start..end)
        });
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| PlaceError::Short(piece.object.clone()).into())
    }
}

fn read_whole(place: &dyn Place, piece: &Piece) -> Result<Vec<u8>, RestoreError> {
    let mut bytes = Vec::with_capacity(usize::try_from(piece.len).unwrap_or_default());
    place.read(&piece.object, piece.offset, piece.len, &mut |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(bytes)
}

fn damaged(object: &str) -> RestoreError {
    RestoreError::Damaged(format!("{object} is not what was written"))
}

/// Only what a backup can hold; whoever forged a manifest must not write elsewhere.
fn is_safe(path: &str) -> bool {
    let is_hex = |text: &str| {
        text.len() == 32
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["meta", "journal", name] => name.strip_suffix(".srj").is_some_and(is_number),
        ["meta", "snapshot", name] => name.strip_suffix(".srs").is_some_and(is_number),
        ["blobs", "blobs", first, name] => {
            is_hex(name) && first.len() == 2 && name.starts_with(first)
        }
        ["shreds", "a" | "b", name] => is_hex(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_data_directory() {
        for good in [
            "meta/journal/00000001.srj",
            "meta/snapshot/00000000000000000042.srs",
            "blobs/blobs/ab/abababababababababababababababab",
            "shreds/b/00000000000000000000000000000000",
        ] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "meta/journal/../../../x.srj",
            "meta/journal/.srj",
            "meta/index.srx",
            "ring/ring.a",
            "FORMAT",
            "blobs/blobs/../abababababababababababababababab",
            "blobs/blobs/cd/abababababababababababababababab",
            "shreds/c/00000000000000000000000000000000",
            "shreds/a/0000000000000000000000000000000G",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
