//! Shred keys as files, each twice.
//!
//! ```text
//! a/3f0c...       the first copy
//! b/3f0c...       the second
//! */3f0c....new   a copy being written; destroyed when the store is opened
//! ```
//!
//! A copy is written under another name, synced and renamed: under its name it is whole. Destroying
//! overwrites both copies before either of them loses its name, so that no crash leaves one that
//! the other could be restored from.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_ports::{ShredError, ShredStore};

use crate::disk::{Disk, is_full};

const COPIES: [&str; 2] = ["a", "b"];
const UNFINISHED: &str = ".new";
/// Longest content, in bytes (the port's contract).
const CONTENT_MAX_BYTES: u64 = 4096;

/// Shred keys as files of a disk of their own.
///
/// Overwriting in place destroys on file systems and devices that write in place. Snapshots, copies
/// on write and wear levelling keep old blocks: what remains there is still sealed by the root key.
#[derive(Debug)]
pub struct FileShreds {
    disk: Arc<dyn Disk>,
    /// Restoring a copy must not meet its destruction.
    changes: Mutex<()>,
}

impl FileShreds {
    /// Opens the directory, or makes it, and destroys what a crash left unfinished.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        for copy in COPIES {
            disk.create_dir(copy)?;
        }
        disk.sync_dir("")?;
        let shreds = Self {
            disk,
            changes: Mutex::new(()),
        };
        for copy in COPIES {
            for name in shreds.disk.list(copy)? {
                if name.ends_with(UNFINISHED) {
                    let path = format!("{copy}/{name}");
                    shreds.overwrite(&path)?;
                    shreds.remove(&path)?;
                }
            }
            shreds.disk.sync_dir(copy)?;
        }
        Ok(shreds)
    }

    fn write(&self, copy: &str, id: [u8; 16], content: &[u8]) -> io::Result<()> {
        let path = path(copy, id);
        let unfinished = format!("{path}{UNFINISHED}");
        self.overwrite(&unfinished)?;
        self.remove(&unfinished)?;
        let file = self.disk.create(&unfinished)?;
        file.write_at(0, content)?;
        file.sync_data()?;
        self.disk.rename(&unfinished, &path)?;
        self.disk.sync_dir(copy)
    }

    fn read(&self, copy: &str, id: [u8; 16]) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&path(copy, id))?;
        let len_bytes = file.len_bytes()?;
        if len_bytes > CONTENT_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = vec![0; usize::try_from(len_bytes).unwrap_or_default()];
        file.read_at(0, &mut content)?;
        Ok(content)
    }

    /// Writes zeros over a file, if it is there.
    fn overwrite(&self, path: &str) -> io::Result<()> {
        let file = match self.disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let len_bytes = usize::try_from(file.len_bytes()?).unwrap_or_default();
        file.write_at(0, &vec![0; len_bytes])?;
        file.sync_data()
    }

    /// Takes a file's name away, if it is there.
    fn remove(&self, path: &str) -> io::Result<()> {
        match self.disk.unlink(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

impl ShredStore for FileShreds {
    fn put(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        let _alone = self.changes.lock();
        for copy in COPIES {
            if self.disk.exists(&path(copy, id)).map_err(failed)? {
                return Err(ShredError::Exists);
            }
        }
        for copy in COPIES {
            self.write(copy, id, content).map_err(failed)?;
        }
        Ok(())
    }

    fn get(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, ShredError> {
        let _alone = self.changes.lock();
        let [first, second] = COPIES.map(|copy| (copy, self.read(copy, id)));
        let (content, lost) = match (first, second) {
            ((_, Ok(content)), (_, Ok(_))) => return Ok(Some(content)),
            ((_, Ok(content)), (lost, Err(error))) | ((lost, Err(error)), (_, Ok(content))) => {
                tracing::error!(%error, copy = lost, "a copy of a shred key is lost; restored");
                (content, lost)
            }
            ((_, Err(one)), (_, Err(other))) => {
                let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                return match (is_absent(&one), is_absent(&other)) {
                    (true, true) => Ok(None),
                    (true, false) => Err(failed(other)),
                    (false, _) => Err(failed(one)),
                };
            }
        };
        if let Err(error) = self.write(lost, id, &content) {
            // The other copy serves; the next reader tries again.
            tracing::error!(%error, copy = lost, "a lost copy of a shred key is not restored");
        }
        Ok(Some(content))
    }

    fn get_copies(&self, id: [u8; 16]) -> Result<Vec<Vec<u8>>, ShredError> {
        let _alone = self.changes.lock();
        let copies = COPIES.map(|copy| self.read(copy, id));
        Ok(copies.into_iter().filter_map(Result::ok).collect())
    }

    fn destroy(&self, id: [u8; 16]) -> Result<(), ShredError> {
        let _alone = self.changes.lock();
        let paths = COPIES.map(|copy| path(copy, id));
        for path in &paths {
            self.overwrite(path).map_err(failed)?;
            self.overwrite(&format!("{path}{UNFINISHED}"))
                .map_err(failed)?;
        }
        for (copy, path) in COPIES.iter().zip(&paths) {
            self.remove(path).map_err(failed)?;
            self.remove(&format!("{path}{UNFINISHED}"))
                .map_err(failed)?;
            self.disk.sync_dir(copy).map_err(failed)?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<[u8; 16]>, ShredError> {
        let mut ids = BTreeSet::new();
        for copy in COPIES {
            let names = self.disk.list(copy).map_err(failed)?;
            ids.extend(names.iter().filter_map(|name| parse(name)));
        }
        Ok(ids.into_iter().collect())
    }
}

fn path(copy: &str, id: [u8; 16]) -> String {
    format!("{copy}/{:032x}", u128::from_be_bytes(id))
}

fn parse(name: &str) -> Option<[u8; 16]> {
    let is_ours = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if name.len() != 32 || !name.bytes().all(is_ours) {
        return None;
    }
    Some(u128::from_str_radix(name, 16).ok()?.to_be_bytes())
}

fn failed(error: io::Error) -> ShredError {
    if is_full(&error) {
        ShredError::NoSpace
    } else {
        ShredError::Io(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    const ID: [u8; 16] = [0xA7; 16];

    fn disk() -> Arc<SimDisk> {
        Arc::new(SimDisk::new())
    }

    fn opened(disk: &Arc<SimDisk>) -> FileShreds {
        FileShreds::open(disk.clone()).unwrap()
    }

    #[test]
    fn what_is_put_is_there_until_it_is_destroyed() {
        let disk = disk();
        let shreds = opened(&disk);
        assert_eq!(shreds.get(ID).unwrap(), None);
        shreds.put(ID, b"sealed").unwrap();
        assert!(matches!(shreds.put(ID, b"other"), Err(ShredError::Exists)));
        let shreds = opened(&disk);
        assert_eq!(shreds.get(ID).unwrap().unwrap(), b"sealed");
        assert_eq!(shreds.get_copies(ID).unwrap().len(), 2);
        assert_eq!(shreds.list().unwrap(), vec![ID]);
        shreds.destroy(ID).unwrap();
        shreds.destroy(ID).unwrap();
        assert_eq!(shreds.get(ID).unwrap(), None);
        assert!(shreds.list().unwrap().is_empty());
    }

    #[test]
    fn a_lost_copy_is_restored_from_the_other() {
        for lost in COPIES {
            let disk = disk();
            let shreds = opened(&disk);
            shreds.put(ID, b"sealed").unwrap();
            disk.unlink(&path(lost, ID)).unwrap();
            assert_eq!(shreds.list().unwrap(), vec![ID]);
            assert_eq!(shreds.get(ID).unwrap().unwrap(), b"sealed");
            assert_eq!(shreds.get_copies(ID).unwrap().len(), 2);
        }
    }

    #[test]
    fn both_copies_are_overwritten_before_one_goes() {
        let disk = disk();
        let shreds = opened(&disk);
        shreds.put(ID, b"sealed").unwrap();
        let files = COPIES.map(|copy| disk.open(&path(copy, ID)).unwrap());
        shreds.destroy(ID).unwrap();
        for file in files {
            let mut content = [1; 6];
            file.read_at(0, &mut content).unwrap();
            assert_eq!(content, [0; 6]);
        }
    }

    #[test]
    fn what_a_crash_left_unfinished_is_destroyed() {
        let disk = disk();
        let shreds = opened(&disk);
        let unfinished = format!("{}{UNFINISHED}", path("b", ID));
        disk.create(&unfinished)
            .unwrap()
            .write_at(0, b"sealed")
            .unwrap();
        assert!(shreds.list().unwrap().is_empty());
        opened(&disk);
        assert!(!disk.exists(&unfinished).unwrap());
    }

    #[test]
    fn only_names_of_ids_are_ids() {
        assert_eq!(parse(&"a7".repeat(16)), Some(ID));
        for name in [
            "",
            "+7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7",
            &"A7".repeat(16),
            &"a7".repeat(17),
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
