//! Taking a backup.
//!
//! ```text
//!   begin: nothing is deleted from now on; the mark is set
//!   snapshot, journal up to the mark    blob files    shred keys that are in use    the ring
//!   manifest, signed: only now there is a backup
//!   shred keys that are destroyed go from the place too
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_crypto::{FOOTER_MAX_BYTES, parse_footer, shred_file_root_version};

use crate::manifest::{self, Destroyed, Digest, File, Lineage, Manifest, Piece, Signed, Summary};
use crate::place::{Place, PlaceError};
use crate::{Objects, Progress, to_u64};

const CHUNK_LEN_BYTES: usize = 1 << 20;
/// Footers are collected up to this length.
const PACK_LEN_BYTES: usize = 4 << 20;
/// How often a footer is read that changes while it is.
const TRIES_MAX: u32 = 5;
/// What blob files begin with: streams, and lists of parts.
const BLOB_MAGICS: [&[u8]; 2] = [b"SRB1", b"SRM1"];

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

/// Removes shred keys whose destruction the newest manifest tells; how many objects that were.
fn remove_destroyed(place: &dyn Place, destroyed: &[Destroyed]) -> Result<u64, TakeError> {
    let ids: BTreeSet<&str> = destroyed.iter().map(|it| it.shred.as_str()).collect();
    let mut removed = 0;
    for name in place.list("shreds/")?.keys() {
        let id = name
            .strip_prefix("shreds/")
            .and_then(|name| name.split_once('-'));
        if id.is_some_and(|(id, _)| ids.contains(id)) {
            place.remove(name)?;
            removed += 1;
        }
    }
    Ok(removed)
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

/// Footers, many to an object.
#[derive(Default)]
struct Pack {
    bytes: Vec<u8>,
    /// The files whose last pieces these are.
    waiting: Vec<(String, File)>,
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
        for blob in blobs {
            let len = blob.len;
            self.blob(blob)?;
            self.advance(len)?;
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

    fn list_blobs(&self) -> Result<Vec<Blob>, TakeError> {
        let root = self.sources.blobs.join("blobs");
        let mut found = Vec::new();
        for first in 0..=u8::MAX {
            let directory = root.join(format!("{first:02x}"));
            let failed = |error| TakeError::Source(directory.clone(), error);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let Some(id) = name.to_str().filter(|name| is_blob_name(name, first)) else {
                    continue;
                };
                match entry.metadata() {
                    Ok(metadata) => found.push(Blob {
                        id: id.to_owned(),
                        path: entry.path(),
                        len: metadata.len(),
                        changed: changed_nanos(&metadata),
                    }),
                    // It was in flight, and did not come to be.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    fn blob(&mut self, blob: Blob) -> Result<(), TakeError> {
        let (first, _) = blob.id.split_at_checked(2).unwrap_or_default();
        let in_manifest = format!("blobs/blobs/{first}/{}", blob.id);
        let seen = (blob.changed, blob.len);
        let before = self.base.file(&in_manifest).cloned();
        if let Some(file) = &before
            && file.seen == Some(seen)
            && file.pieces.iter().all(|piece| piece.is_in(&self.objects))
        {
            self.files.insert(in_manifest, file.clone());
            return Ok(());
        }
        match self.copy_blob(&blob, &in_manifest, before) {
            Err(TakeError::Source(_, error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // The others must not go without a backup for it.
            Err(TakeError::Source(_, _)) => {
                self.unreadable.push(in_manifest);
                Ok(())
            }
            done => done,
        }
    }

    fn copy_blob(
        &mut self,
        blob: &Blob,
        in_manifest: &str,
        before: Option<File>,
    ) -> Result<(), TakeError> {
        let unreadable = |error| TakeError::Source(blob.path.clone(), error);
        let file = fs::File::open(&blob.path).map_err(unreadable)?;
        let mut magic = [0; 4];
        match file.read_exact_at(&mut magic, 0) {
            Ok(()) if BLOB_MAGICS.contains(&magic.as_slice()) => {}
            // Not a blob, whatever its name is: it may be anything that somebody put there.
            Ok(()) => return Err(unreadable(io::ErrorKind::InvalidData.into())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(unreadable(io::ErrorKind::InvalidData.into()));
            }
            Err(error) => return Err(unreadable(error)),
        }
        let end = footer_of(&file).map_err(unreadable)?;
        let (first, _) = blob.id.split_at_checked(2).unwrap_or_default();
        let own = format!("blobs/{first}/{}", blob.id);
        // A body never changes: where the place has it, it is not read again.
        let known = before.and_then(|file| file.pieces.into_iter().next());
        let known = known.filter(|piece| {
            piece.object == own && piece.len == end.body_len && piece.is_in(&self.objects)
        });
        let body = match known {
            Some(piece) => piece,
            None => self.body(&file, blob, &own, end.body_len)?,
        };
        let mut file = File {
            pieces: vec![body],
            seen: Some((end.changed, end.body_len + to_u64(end.footer.len()))),
        };
        if end.footer.is_empty() {
            self.files.insert(in_manifest.to_owned(), file);
            return Ok(());
        }
        file.pieces.push(Piece {
            // Named when the pack is written.
            object: String::new(),
            offset: to_u64(self.pack.bytes.len()),
            len: to_u64(end.footer.len()),
            sha256: Digest::of(&end.footer),
        });
        self.pack.bytes.extend_from_slice(&end.footer);
        self.pack.waiting.push((in_manifest.to_owned(), file));
        self.copied_footers += 1;
        if self.pack.bytes.len() >= PACK_LEN_BYTES {
            self.flush_pack()?;
        }
        Ok(())
    }

    /// A body that no manifest has. An interrupted run may have copied it.
    fn body(
        &mut self,
        file: &fs::File,
        blob: &Blob,
        own: &str,
        len: u64,
    ) -> Result<Piece, TakeError> {
        let mut object = own.to_owned();
        if let Some(there) = self.objects.get(own).copied() {
            let unreadable = |error| TakeError::Source(blob.path.clone(), error);
            let mut hashing = Hashing::new(file, 0, len);
            io::copy(&mut hashing, &mut io::sink()).map_err(unreadable)?;
            let sha256 = hashing.finish();
            if there == len && self.holds(own, len, sha256)? {
                return Ok(Piece {
                    object,
                    offset: 0,
                    len,
                    sha256,
                });
            }
            // Older manifests may need it as it is, if it is theirs.
            object = format!("{}/blob-{}", self.name, blob.id);
        }
        let piece = self.copy(file, &blob.path, (0, len), object)?;
        self.copied_blobs += 1;
        Ok(piece)
    }

    fn holds(&self, name: &str, len: u64, sha256: Digest) -> Result<bool, TakeError> {
        let mut context = Context::new(&SHA256);
        self.place.read(name, 0, len, &mut |chunk| {
            context.update(chunk);
            Ok(())
        })?;
        Ok(digest_of(context) == sha256)
    }

    fn flush_pack(&mut self) -> Result<(), TakeError> {
        let Pack { bytes, waiting } = std::mem::take(&mut self.pack);
        if waiting.is_empty() {
            return Ok(());
        }
        self.packs += 1;
        let object = format!("{}/footers-{}", self.name, self.packs);
        let piece = manifest::put(self.place, &object, &bytes)?;
        self.copied_bytes += piece.len;
        self.objects.insert(object.clone(), piece.len);
        for (path, mut file) in waiting {
            if let Some(footer) = file.pieces.last_mut() {
                footer.object.clone_from(&object);
            }
            self.files.insert(path, file);
        }
        Ok(())
    }

    /// Copies the shred keys that are in use at the end. One that went meanwhile is destroyed, and
    /// must not be here.
    fn shreds(&mut self) -> Result<BTreeSet<String>, TakeError> {
        let mut in_use = self.origin.shreds().map_err(TakeError::Origin)?;
        let mut missing = Vec::new();
        for id in &in_use {
            match self.shred(*id)? {
                Some(file) => {
                    for copy in ["a", "b"] {
                        let path = format!("shreds/{copy}/{}", hex::encode(id));
                        self.files.insert(path, file.clone());
                    }
                }
                None => missing.push(*id),
            }
        }
        if !missing.is_empty() {
            in_use = self.origin.shreds().map_err(TakeError::Origin)?;
            for id in missing.into_iter().filter(|id| in_use.contains(id)) {
                self.unreadable
                    .push(format!("shreds/a/{}", hex::encode(id)));
            }
        }
        let in_use: BTreeSet<String> = in_use.iter().map(hex::encode).collect();
        self.files
            .retain(|path, _| match path.strip_prefix("shreds/") {
                Some(path) => path
                    .split_once('/')
                    .is_some_and(|(_, id)| in_use.contains(id)),
                None => true,
            });
        Ok(in_use)
    }

    fn shred(&mut self, id: [u8; 16]) -> Result<Option<File>, TakeError> {
        let id = hex::encode(id);
        for copy in ["a", "b"] {
            let path = self.sources.shreds.join(copy).join(&id);
            let Ok(bytes) = fs::read(&path) else { continue };
            if shred_file_root_version(&bytes).is_err() {
                continue;
            }
            let sha256 = Digest::of(&bytes);
            let (short, _) = sha256.0.split_at(8);
            let object = format!("shreds/{id}-{}", hex::encode(short));
            let piece = Piece {
                object,
                offset: 0,
                len: to_u64(bytes.len()),
                sha256,
            };
            let before = self.base.file(&format!("shreds/a/{id}"));
            let is_there = before.is_some_and(|file| file.pieces == [piece.clone()])
                && piece.is_in(&self.objects);
            if !is_there {
                manifest::put(self.place, &piece.object, &bytes)?;
                self.copied_bytes += piece.len;
            }
            return Ok(Some(File {
                pieces: vec![piece],
                seen: None,
            }));
        }
        Ok(None)
    }

    /// Of the shred keys that this place ever held, those that are in use no more.
    fn destroyed(&self, in_use: &BTreeSet<String>) -> Vec<Destroyed> {
        let Some(before) = &self.base.manifest else {
            return Vec::new();
        };
        let by = self.base.next_number;
        let gone = before
            .shreds()
            .into_iter()
            .filter(|id| !in_use.contains(*id));
        let gone = gone.map(|id| Destroyed {
            shred: id.to_owned(),
            by,
        });
        before.destroyed.iter().cloned().chain(gone).collect()
    }
}

/// A blob file, as it was listed.
struct Blob {
    id: String,
    path: PathBuf,
    len: u64,
    changed: u64,
}

/// Where a blob file's footer begins, and the footer.
struct End {
    body_len: u64,
    footer: Vec<u8>,
    changed: u64,
}

/// Reads the footer, again while it is being replaced. A file that ends with none is all body: a list
/// of parts, or what a crash left, whose footer is found by who reads it.
fn footer_of(file: &fs::File) -> io::Result<End> {
    let mut end = read_end(file)?;
    for _ in 1..TRIES_MAX {
        let changed = changed_nanos(&file.metadata()?);
        if changed == end.changed && !end.footer.is_empty() {
            break;
        }
        end = read_end(file)?;
    }
    Ok(end)
}

fn read_end(file: &fs::File) -> io::Result<End> {
    let metadata = file.metadata()?;
    let len = metadata.len();
    let tail_len = len.min(to_u64(FOOTER_MAX_BYTES));
    let mut tail = vec![0; usize::try_from(tail_len).unwrap_or_default()];
    file.read_exact_at(&mut tail, len - tail_len)?;
    let footer_len = parse_footer(&tail).map_or(0, |(_, len)| len);
    let footer = tail.split_off(tail.len().saturating_sub(footer_len));
    Ok(End {
        body_len: len - to_u64(footer.len()),
        footer,
        changed: changed_nanos(&metadata),
    })
}

/// How long a journal file is without the zeros behind its last frame. A frame may end with a few
/// zeros of its own; they stay.
fn without_zeros(file: &fs::File, len: u64) -> io::Result<u64> {
    let len = len.min(file.metadata()?.len());
    let mut end = len;
    let mut buffer = vec![0; CHUNK_LEN_BYTES];
    while end > 0 {
        let start = end.saturating_sub(to_u64(buffer.len()));
        let count = usize::try_from(end - start).unwrap_or_default();
        let Some(chunk) = buffer.get_mut(..count) else {
            break;
        };
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

fn is_blob_name(name: &str, first: u8) -> bool {
    name.len() == 32
        && name.starts_with(&format!("{first:02x}"))
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn changed_nanos(metadata: &fs::Metadata) -> u64 {
    let nanos = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    u64::try_from(nanos).unwrap_or_default()
}

/// A name that no run before had. Nothing depends on its being secret.
fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or_default()
}

/// Part of a file, and the hash of what was read of it.
struct Hashing<'a> {
    file: &'a fs::File,
    offset: u64,
    left: u64,
    context: Context,
}

impl<'a> Hashing<'a> {
    fn new(file: &'a fs::File, offset: u64, left: u64) -> Self {
        Self {
            file,
            offset,
            left,
            context: Context::new(&SHA256),
        }
    }

    fn finish(self) -> Digest {
        digest_of(self.context)
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let Some(chunk) = out.get_mut(..len).filter(|chunk| !chunk.is_empty()) else {
            return Ok(0);
        };
        let count = self.file.read_at(chunk, self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.context.update(chunk.get(..count).unwrap_or_default());
        self.offset += to_u64(count);
        self.left -= to_u64(count);
        Ok(count)
    }
}

/// A source that keeps the store held while it is read.
struct Living<'a, 'b> {
    source: &'a mut Hashing<'b>,
    origin: &'a mut dyn Origin,
    failure: Option<OriginError>,
}

impl Read for Living<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Err(error) = self.origin.go_on() {
            self.failure = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.source.read(out)
    }
}

fn digest_of(context: Context) -> Digest {
    let mut hash = [0; 32];
    let output = context.finish();
    hash.iter_mut()
        .zip(output.as_ref())
        .for_each(|(to, from)| *to = *from);
    Digest(hash)
}
