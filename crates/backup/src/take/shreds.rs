//! Shred keys: those that are in use are in the backup, and those that are destroyed go from the place.

use std::collections::BTreeSet;
use std::fs;

use strongroom_crypto::shred_file_root_version;

use super::{Run, TakeError};
use crate::manifest::{self, Destroyed, Digest, File, Piece};
use crate::place::Place;
use crate::to_u64;

impl Run<'_> {
    /// Copies the shred keys that are in use at the end. One that went meanwhile is destroyed, and
    /// must not be here.
    pub(super) fn shreds(&mut self) -> Result<BTreeSet<String>, TakeError> {
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
    pub(super) fn destroyed(&self, in_use: &BTreeSet<String>) -> Vec<Destroyed> {
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

/// Removes shred keys whose destruction the newest manifest tells; how many objects that were.
pub(super) fn remove_destroyed(
    place: &dyn Place,
    destroyed: &[Destroyed],
) -> Result<u64, TakeError> {
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
