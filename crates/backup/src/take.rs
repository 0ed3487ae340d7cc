//! Taking a backup.
//!
//! ```text
//!   begin: nothing is deleted from now on; the mark is set
//!   snapshot, journal up to the mark    blob files    shred keys that are in use    the ring
//!   manifest, signed: only now there is a backup
//!   shred keys that are destroyed go from the place too
//! ```

mod blobs;
mod reading;
mod shreds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use self::blobs::Pack;
use self::reading::{Hashing, Living};
use self::shreds::remove_destroyed;
use crate::manifest::{self, Destroyed, Digest, File, Lineage, Manifest, Piece, Signed, Summary};
use crate::place::{Place, PlaceError};
use crate::{Objects, Progress, to_u64, up_to};

const CHUNK_LEN_BYTES: usize = 1 << 20;

/// A store that holds still enough.
///
/// Contract: from `begin` until `end`, no file that the mark names is deleted, no blob file that a
/// row at the mark refers to is deleted, and no version of the root key is retired. `sign` fails if
/// that was not so all the time.
pub trait Origin {
    /// Begins, and sets the mark.
    ///
    /// # Errors
    ///
    /// In the caller's own words.
    fn begin(&mut self) -> Result<Begun, OriginError>;

    /// Called again and again while files are copied.
    ///
    /// # Errors
    ///
    /// When it has ended meanwhile.
    fn go_on(&mut self) -> Result<(), OriginError>;

    /// The shred keys that key material needs now.
    ///
    /// # Errors
    ///
    /// In the caller's own words.
    fn shreds(&mut self) -> Result<BTreeSet<[u8; 16]>, OriginError>;

    /// The newest whole copy of the ring's file.
    ///
    /// # Errors
    ///
    /// In the caller's own words.
    fn ring(&mut self) -> Result<Vec<u8>, OriginError>;

    /// The MAC of a manifest, by [`ManifestKey`](strongroom_crypto::ManifestKey).
    ///
    /// # Errors
    ///
    /// In the caller's own words.
    fn sign(&mut self, digest: &[u8; 32]) -> Result<[u8; 32], OriginError>;

    /// Lets go.
    fn end(&mut self);
}

/// What the caller makes of it.
pub type OriginError = Box<dyn std::error::Error + Send + Sync>;

/// What a mark is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begun {
    /// The last commit before it.
    pub mark: u64,
    /// When, ISO 8601.
    pub marked: String,
    /// Id of the ring, in hexadecimal digits.
    pub ring_id: String,
    /// Snapshot and journal files, and how much of each.
    pub extents: Vec<Extent>,
}

/// The beginning of a file of the metadata store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// From the directory of the metadata store.
    pub path: String,
    /// In bytes.
    pub len_bytes: u64,
}

/// Where everything is. Nothing of it is written to.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The directory of `journal/` and `snapshot/`.
    pub meta: PathBuf,
    /// The directory of `blobs/`.
    pub blobs: PathBuf,
    /// The directory of the shred files, with `a/` and `b/`.
    pub shreds: PathBuf,
}

/// What a run did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The backup.
    pub summary: Summary,
    /// Bytes that the place did not have.
    pub copied_bytes: u64,
    /// Bodies that the place did not have.
    pub copied_blobs: u64,
    /// Footers that were copied: of new blobs, and of those whose keys were wrapped anew.
    pub copied_footers: u64,
    /// Shred keys that went from the place, because the store has destroyed them.
    pub destroyed: u64,
    /// Manifests in the place that do not verify; nothing was taken from them.
    pub ignored: Vec<u64>,
}

/// Why no backup was taken. What the place held before still is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The store.
    #[error(transparent)]
    Origin(OriginError),
    /// The place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file that must be in it cannot be read.
    #[error("{0}: {1}")]
    Source(PathBuf, io::Error),
    /// The newest backup in the place is not one that this store goes on from.
    #[error(
        "backup {1} in {0} is not a state that this store has been in: it was restored from an older one, or put back"
    )]
    OtherLineage(String, u64),
    /// The place holds the backups of another store.
    #[error("{0} holds backups of another store, whose key ring is {1}")]
    OtherStore(String, String),
}

/// Takes a backup.
///
/// Blocks for as long as it takes. Memory is bounded by the number of blob files.
///
/// # Errors
///
/// [`TakeError`].
pub fn take(
    sources: &Sources,
    lineage: &Lineage,
    place: &dyn Place,
    origin: &mut dyn Origin,
    progress: &mut dyn FnMut(Progress),
) -> Result<Taken, TakeError> {
    let taken = take_held((sources, lineage), place, origin, progress);
    origin.end();
    let (mut taken, destroyed) = taken?;
    taken.destroyed = remove_destroyed(place, &destroyed)?;
    Ok(taken)
}

fn take_held(
    (sources, lineage): (&Sources, &Lineage),
    place: &dyn Place,
    origin: &mut dyn Origin,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Taken, Vec<Destroyed>), TakeError> {
    let begun = origin.begin().map_err(TakeError::Origin)?;
    let base = Base::find(place, origin, &begun)?;
    if let Some(before) = &base.manifest
        && (!lineage.continues(before) || begun.mark < before.summary.mark)
    {
        let number = before.summary.number;
        return Err(TakeError::OtherLineage(place.describe(), number));
    }
    let number = base.next_number;
    // What an interrupted run for this very number left: no manifest names it.
    let objects = place.list("")?;
    let leftovers = format!("runs/{number:08}-");
    for name in objects.keys().filter(|name| name.starts_with(&leftovers)) {
        place.remove(name)?;
    }
    let mut run = Run {
        sources,
        lineage,
        place,
        origin,
        progress,
        objects,
        base,
        name: format!("{leftovers}{:016x}", fresh()),
        files: BTreeMap::new(),
        unreadable: Vec::new(),
        pack: Pack::default(),
        packs: 0,
        meta_pieces: 0,
        copied_bytes: 0,
        copied_blobs: 0,
        copied_footers: 0,
        done: Progress {
            done_bytes: 0,
            all_bytes: 0,
        },
    };
    run.take(&begun)
}

/// The newest manifest that verifies.
struct Base {
    manifest: Option<Manifest>,
    whole: Option<Digest>,
    next_number: u64,
    ignored: Vec<u64>,
}

impl Base {
    fn find(place: &dyn Place, origin: &mut dyn Origin, begun: &Begun) -> Result<Self, TakeError> {
        let numbers = manifest::numbers(&place.list("manifests/")?);
        let mut base = Self {
            manifest: None,
            whole: None,
            next_number: numbers.last().map_or(1, |number| number + 1),
            ignored: Vec::new(),
        };
        for number in numbers.into_iter().rev() {
            let Ok(Signed {
                manifest,
                digest,
                mac,
                whole,
            }) = manifest::read(place, number)?
            else {
                base.ignored.push(number);
                continue;
            };
            if manifest.summary.ring_id != begun.ring_id {
                let other = manifest.summary.ring_id;
                return Err(TakeError::OtherStore(place.describe(), other));
            }
            let expected = origin.sign(&digest).map_err(TakeError::Origin)?;
            if expected.as_slice() == mac && manifest.summary.number == number {
                base.manifest = Some(manifest);
                base.whole = Some(whole);
                break;
            }
            base.ignored.push(number);
        }
        Ok(base)
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.manifest.as_ref()?.files.get(path)
    }
}

struct Run<'a> {
    sources: &'a Sources,
    lineage: &'a Lineage,
    place: &'a dyn Place,
    origin: &'a mut dyn Origin,
    progress: &'a mut dyn FnMut(Progress),
    objects: Objects,
    base: Base,
    name: String,
    files: BTreeMap<String, File>,
    unreadable: Vec<String>,
    pack: Pack,
    packs: u32,
    meta_pieces: u32,
    copied_bytes: u64,
    copied_blobs: u64,
    copied_footers: u64,
    done: Progress,
}

impl Run<'_> {
    fn take(&mut self, begun: &Begun) -> Result<(Taken, Vec<Destroyed>), TakeError> {
        let blobs = self.list_blobs()?;
        let meta_bytes: u64 = begun.extents.iter().map(|extent| extent.len_bytes).sum();
        self.done.all_bytes = blobs.iter().map(|blob| blob.len).sum::<u64>() + meta_bytes;
        for extent in &begun.extents {
            self.meta_file(extent)?;
        }
        let blob_count = blobs.len();
        for blob in &blobs {
            self.blob(blob)?;
            self.advance(blob.len)?;
        }
        self.flush_pack()?;
        let in_use = self.shreds()?;
        let ring = self.origin.ring().map_err(TakeError::Origin)?;
        let ring = manifest::put(self.place, &format!("{}/ring", self.name), &ring)?;
        self.copied_bytes += ring.len;
        let destroyed = self.destroyed(&in_use);
        let files = std::mem::take(&mut self.files);
        let is_blob = |path: &&String| path.starts_with("blobs/");
        let summary = Summary {
            number: self.base.next_number,
            ring_id: begun.ring_id.clone(),
            mark: begun.mark,
            marked: begun.marked.clone(),
            bytes: files.values().map(File::len_bytes).sum(),
            blobs: to_u64(files.keys().filter(is_blob).count().min(blob_count)),
            shreds: to_u64(
                files
                    .keys()
                    .filter(|path| path.starts_with("shreds/a/"))
                    .count(),
            ),
            unreadable: std::mem::take(&mut self.unreadable),
        };
        let manifest = Manifest {
            summary: summary.clone(),
            lineage: self.lineage.own.clone(),
            previous: self.base.whole,
            ring,
            files,
            destroyed: destroyed.clone(),
        };
        let body = manifest.encode();
        self.place.sync()?;
        // Fails if the store did not hold still.
        let mac = self
            .origin
            .sign(&Digest::of(&body).0)
            .map_err(TakeError::Origin)?;
        let whole = manifest::signed(&body, &mac);
        manifest::put(self.place, &manifest::name(summary.number), &whole)?;
        self.place.sync()?;
        let taken = Taken {
            summary,
            copied_bytes: self.copied_bytes,
            copied_blobs: self.copied_blobs,
            copied_footers: self.copied_footers,
            destroyed: 0,
            ignored: std::mem::take(&mut self.base.ignored),
        };
        Ok((taken, destroyed))
    }

    fn advance(&mut self, bytes: u64) -> Result<(), TakeError> {
        self.done.done_bytes += bytes;
        (self.progress)(self.done);
        self.origin.go_on().map_err(TakeError::Origin)
    }

    /// A snapshot or journal file: what the place has of its beginning stays there.
    fn meta_file(&mut self, extent: &Extent) -> Result<(), TakeError> {
        let path = self.sources.meta.join(&extent.path);
        let in_manifest = format!("meta/{}", extent.path);
        let unreadable = |error| TakeError::Source(path.clone(), error);
        let file = fs::File::open(&path).map_err(unreadable)?;
        let mut len = extent.len_bytes;
        if Path::new(&extent.path)
            .extension()
            .is_some_and(|it| it == "srj")
        {
            len = without_zeros(&file, len).map_err(unreadable)?;
        }
        let mut pieces = Vec::new();
        let mut offset = 0;
        let before = self.base.file(&in_manifest).cloned();
        for piece in before.iter().flat_map(|file| &file.pieces) {
            let end = offset + piece.len;
            if end > len || !piece.is_in(&self.objects) {
                break;
            }
            let mut hashing = Hashing::new(&file, offset, piece.len);
            io::copy(&mut hashing, &mut io::sink()).map_err(unreadable)?;
            if hashing.finish() != piece.sha256 {
                break;
            }
            pieces.push(piece.clone());
            offset = end;
        }
        if offset < len || pieces.is_empty() {
            self.meta_pieces += 1;
            let object = format!("{}/meta-{}", self.name, self.meta_pieces);
            pieces.push(self.copy(&file, &path, (offset, len - offset), object)?);
        }
        self.files.insert(in_manifest, File { pieces, seen: None });
        self.advance(extent.len_bytes)
    }

    fn copy(
        &mut self,
        file: &fs::File,
        path: &Path,
        (offset, len): (u64, u64),
        object: String,
    ) -> Result<Piece, TakeError> {
        let mut source = Hashing::new(file, offset, len);
        let mut living = Living {
            source: &mut source,
            origin: &mut *self.origin,
            failure: None,
        };
        let written = self.place.write(&object, len, &mut living);
        if let Some(failure) = living.failure {
            return Err(TakeError::Origin(failure));
        }
        match written {
            Err(PlaceError::Source(_, error)) => {
                return Err(TakeError::Source(path.to_owned(), error));
            }
            written => written?,
        }
        self.copied_bytes += len;
        self.objects.insert(object.clone(), len);
        Ok(Piece {
            object,
            offset: 0,
            len,
            sha256: source.finish(),
        })
    }
}

/// How long a journal file is without the zeros behind its last frame. A frame may end with a few
/// zeros of its own; they stay.
fn without_zeros(file: &fs::File, len: u64) -> io::Result<u64> {
    let len = len.min(file.metadata()?.len());
    let mut end = len;
    let mut buffer = vec![0; CHUNK_LEN_BYTES];
    while end > 0 {
        let chunk = up_to(&mut buffer, end);
        let start = end - to_u64(chunk.len());
        file.read_exact_at(chunk, start)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok((start + to_u64(last) + 1 + 64)
                .next_multiple_of(16)
                .min(len));
        }
        end = start;
    }
    Ok(0)
}

/// A name that no run before had. Nothing depends on its being secret.
fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or_default()
}
