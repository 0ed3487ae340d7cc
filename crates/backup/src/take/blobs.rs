//! Blob files: bodies once each, and footers packed together.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_crypto::{FOOTER_MAX_BYTES, parse_footer};

use super::reading::{Hashing, digest_of};
use super::{Run, TakeError};
use crate::manifest::{self, Digest, File, Piece};
use crate::to_u64;

/// Footers are collected up to this length.
const PACK_LEN_BYTES: usize = 4 << 20;
/// How often a footer is read that changes while it is.
const TRIES_MAX: u32 = 5;
/// What blob files begin with: streams, and lists of parts.
const BLOB_MAGICS: [&[u8]; 2] = [b"SRB1", b"SRM1"];

/// Footers, many to an object.
#[derive(Default)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    /// The files whose last pieces these are.
    waiting: Vec<(String, File)>,
}

/// A blob file, as it was listed.
pub(super) struct Blob {
    id: String,
    path: PathBuf,
    pub(super) len: u64,
    changed: u64,
}

impl Run<'_> {
    pub(super) fn list_blobs(&self) -> Result<Vec<Blob>, TakeError> {
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

    pub(super) fn blob(&mut self, blob: &Blob) -> Result<(), TakeError> {
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
        match self.copy_blob(blob, &in_manifest, before) {
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

    pub(super) fn flush_pack(&mut self) -> Result<(), TakeError> {
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
