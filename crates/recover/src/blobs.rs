//! The blob files that are there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::RecoverError;

/// All blob files, and which of them a version led to.
pub(crate) struct Blobs {
    directory: PathBuf,
    files: BTreeMap<[u8; 16], bool>,
}

impl Blobs {
    /// Looks at `directory/00` to `directory/ff`. A directory that is not there has none.
    pub(crate) fn list(directory: &Path) -> Result<Self, RecoverError> {
        let mut files = BTreeMap::new();
        for first in 0..=u8::MAX {
            let path = directory.join(hex::encode([first]));
            let io = |error| RecoverError::Io(path.clone(), error);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            for entry in entries {
                let name = entry.map_err(io)?.file_name();
                if let Some(id) = name.to_str().and_then(parse_hex) {
                    files.insert(id, false);
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            files,
        })
    }

    /// Opens the file that a version names.
    pub(crate) fn claim(&mut self, id: [u8; 16]) -> io::Result<File> {
        if let Some(claimed) = self.files.get_mut(&id) {
            *claimed = true;
        }
        self.open(id)
    }

    pub(crate) fn open(&self, id: [u8; 16]) -> io::Result<File> {
        let name = hex::encode(id);
        let first = name.get(..2).unwrap_or_default();
        File::open(self.directory.join(first).join(&name))
    }

    /// The files that no version named.
    pub(crate) fn unclaimed(&self) -> impl Iterator<Item = [u8; 16]> {
        let files = self.files.iter().filter(|(_, claimed)| !**claimed);
        files.map(|(id, _)| *id)
    }
}

fn parse_hex(name: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    hex::decode_to_slice(name, &mut id).ok()?;
    Some(id)
}
