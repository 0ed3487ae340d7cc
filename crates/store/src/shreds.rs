//! Shred keys as files: few, small, in two copies, and destroyed for good.
//!
//! ```text
//! a/3f0c...        first copy; named by the id in hexadecimal digits; never changes
//! b/3f0c...        second copy
//! a/3f0c....new    being written; wiped when the store is opened
//! ```
//!
//! Writing is, for each copy: write, sync, rename, sync of the directory. Destroying is, for each
//! copy: overwrite in place with zeros, sync, unlink, sync of the directory. What a drive keeps of
//! overwritten sectors is beyond a file's reach; the content is sealed under the root key besides.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use strongroom_ports::{ShredError, ShredStore};

use crate::disk::{Disk, is_full};

/// Longest content, in bytes.
const CONTENT_MAX_BYTES: usize = 4096;
const COPIES: [&str; 2] = ["a", "b"];
const UNFINISHED: &str = ".new";

/// Shred keys as files of a disk that holds nothing else.
#[derive(Debug)]
pub struct FileShreds {
    disk: Arc<dyn Disk>,
    /// Who writes, restores or destroys; a restoration must not bring back what is being destroyed.
    changing: Mutex<()>,
}

impl FileShreds {
    /// Opens the shred keys on `disk`, makes the directories if there are none, and wipes what an
    /// earlier process left unfinished. The disk must be held exclusively.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        for directory in COPIES {
            disk.create_dir(directory)?;
        }
        disk.sync_dir("")?;
        for directory in COPIES {
            let mut wiped = false;
            for name in disk.list(directory)? {
                if name.ends_with(UNFINISHED) {
                    wipe(&*disk, &format!("{directory}/{name}"))?;
                    wiped = true;
                }
            }
            if wiped {
                disk.sync_dir(directory)?;
            }
        }
        Ok(Self {
            disk,
            changing: Mutex::new(()),
        })
    }

    fn write_copy(&self, directory: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let path = format!("{directory}/{name}");
        let unfinished = format!("{path}{UNFINISHED}");
        wipe(&*self.disk, &unfinished)?;
        let file = self.disk.create(&unfinished)?;
        file.write_at(0, content)?;
        file.sync_data()?;
        self.disk.rename(&unfinished, &path)?;
        self.disk.sync_dir(directory)
    }

    fn read_copy(&self, directory: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.disk.open(&format!("{directory}/{name}")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len_bytes = usize::try_from(file.len_bytes()?).unwrap_or(usize::MAX);
        if len_bytes > CONTENT_MAX_BYTES {
            return Err(io::Error::other("a shred file is too long"));
        }
        let mut content = vec![0; len_bytes];
        file.read_at(0, &mut content)?;
        Ok(Some(content))
    }

    /// Writes a copy anew from the other one. A failure costs nothing but the second copy.
    fn restore(&self, directory: &str, name: &str, from: &str) {
        let _changing = self.changing.lock();
        // It may just have been destroyed.
        let restored = match self.read_copy(from, name) {
            Ok(Some(content)) => self.write_copy(directory, name, &content),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match restored {
            Ok(()) => tracing::warn!(directory, name, "a lost copy of a shred key is restored"),
            Err(error) => {
                tracing::error!(%error, directory, name, "a lost copy of a shred key stays lost");
            }
        }
    }

    fn destroy_copies(&self, name: &str) -> io::Result<()> {
        for directory in COPIES {
            let path = format!("{directory}/{name}");
            wipe(&*self.disk, &path)?;
            wipe(&*self.disk, &format!("{path}{UNFINISHED}"))?;
            // Also where nothing was left: the removal before may have failed at this point.
            self.disk.sync_dir(directory)?;
        }
        Ok(())
    }
}

impl ShredStore for FileShreds {
    fn put(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        check_len(content)?;
        let name = name_of(id);
        let _changing = self.changing.lock();
        for directory in COPIES {
            let path = format!("{directory}/{name}");
            if self.disk.exists(&path).map_err(|error| failed(&error))? {
                return Err(ShredError::Exists);
            }
        }
        for directory in COPIES {
            if let Err(error) = self.write_copy(directory, &name, content) {
                // Nobody will ask for it. If this fails too, it stays until it is destroyed.
                if let Err(error) = self.destroy_copies(&name) {
                    tracing::warn!(%error, "an unfinished shred key stays");
                }
                return Err(failed(&error));
            }
        }
        Ok(())
    }

    fn get(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, ShredError> {
        let name = name_of(id);
        let [first, second] = COPIES;
        let unreadable = match self.read_copy(first, &name) {
            Ok(Some(content)) => {
                if !self
                    .disk
                    .exists(&format!("{second}/{name}"))
                    .unwrap_or(true)
                {
                    self.restore(second, &name, first);
                }
                return Ok(Some(content));
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        match (self.read_copy(second, &name), unreadable) {
            (Ok(Some(content)), _) => {
                self.restore(first, &name, second);
                Ok(Some(content))
            }
            (Ok(None), None) => Ok(None),
            (Ok(None), Some(error)) | (Err(error), _) => Err(failed(&error)),
        }
    }

    fn get_copies(&self, id: [u8; 16]) -> Result<Vec<Vec<u8>>, ShredError> {
        let name = name_of(id);
        let mut copies = Vec::new();
        for directory in COPIES {
            match self.read_copy(directory, &name) {
                Ok(copy) => copies.extend(copy),
                Err(error) => {
                    tracing::error!(%error, directory, name, "a copy of a shred key is unreadable");
                }
            }
        }
        Ok(copies)
    }

    fn repair(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        check_len(content)?;
        let name = name_of(id);
        let _changing = self.changing.lock();
        let mut any = false;
        let mut bad = Vec::new();
        for directory in COPIES {
            match self.read_copy(directory, &name) {
                Ok(Some(copy)) => {
                    any = true;
                    if copy != content {
                        bad.push(directory);
                    }
                }
                Ok(None) => bad.push(directory),
                // It is there, and cannot be read.
                Err(_) => {
                    any = true;
                    bad.push(directory);
                }
            }
        }
        // Without any it was destroyed, and stays so.
        if !any {
            return Ok(());
        }
        for directory in bad {
            self.write_copy(directory, &name, content)
                .map_err(|error| failed(&error))?;
            tracing::warn!(directory, name, "a bad copy of a shred key is repaired");
        }
        Ok(())
    }

    fn destroy(&self, id: [u8; 16]) -> Result<(), ShredError> {
        let _changing = self.changing.lock();
        self.destroy_copies(&name_of(id))
            .map_err(|error| failed(&error))
    }

    fn list(&self) -> Result<Vec<[u8; 16]>, ShredError> {
        let mut ids = BTreeSet::new();
        for directory in COPIES {
            let names = self.disk.list(directory).map_err(|error| failed(&error))?;
            ids.extend(names.iter().filter_map(|name| id_of(name)));
        }
        Ok(ids.into_iter().collect())
    }
}

/// Overwrites a file with zeros and removes its name, which is durable once the directory is synced.
/// There need not be such a file.
fn wipe(disk: &dyn Disk, path: &str) -> io::Result<()> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let len_bytes = usize::try_from(file.len_bytes()?).unwrap_or(usize::MAX);
    file.write_at(0, &vec![0; len_bytes.min(CONTENT_MAX_BYTES)])?;
    file.sync_data()?;
    disk.unlink(path)
}

fn name_of(id: [u8; 16]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut name, byte| {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

fn id_of(name: &str) -> Option<[u8; 16]> {
    let id = u128::from_str_radix(name, 16).ok()?.to_be_bytes();
    (name_of(id) == name).then_some(id)
}

fn check_len(content: &[u8]) -> Result<(), ShredError> {
    if content.len() > CONTENT_MAX_BYTES {
        return Err(ShredError::Io("a shred key is too long".to_owned()));
    }
    Ok(())
}

fn failed(error: &io::Error) -> ShredError {
    if is_full(error) {
        ShredError::NoSpace
    } else {
        ShredError::Io(error.to_string())
    }
}

/// Shred keys in memory.
#[derive(Debug, Default)]
pub struct MemoryShreds {
    kept: Mutex<BTreeMap<[u8; 16], Vec<u8>>>,
}

impl MemoryShreds {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl ShredStore for MemoryShreds {
    fn put(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        check_len(content)?;
        let mut kept = self.kept.lock();
        if kept.contains_key(&id) {
            return Err(ShredError::Exists);
        }
        kept.insert(id, content.to_vec());
        Ok(())
    }

    fn get(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, ShredError> {
        Ok(self.kept.lock().get(&id).cloned())
    }

    fn get_copies(&self, id: [u8; 16]) -> Result<Vec<Vec<u8>>, ShredError> {
        Ok(self.kept.lock().get(&id).cloned().into_iter().collect())
    }

    fn repair(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError> {
        if let Some(kept) = self.kept.lock().get_mut(&id) {
            *kept = content.to_vec();
        }
        Ok(())
    }

    fn destroy(&self, id: [u8; 16]) -> Result<(), ShredError> {
        self.kept.lock().remove(&id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<[u8; 16]>, ShredError> {
        Ok(self.kept.lock().keys().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_ports::conformance;

    use super::*;
    use crate::disk::{Crash, Fault, FaultKind, SimDisk};

    const ID: [u8; 16] = [0xAB; 16];
    const SECRET: &[u8] = b"a sealed shred key, 148 bytes in truth";

    fn open(disk: &SimDisk) -> FileShreds {
        FileShreds::open(Arc::new(disk.clone())).unwrap()
    }

    fn path(directory: &str) -> String {
        format!("{directory}/{}", "ab".repeat(16))
    }

    #[test]
    fn both_stores_keep_the_contract() {
        conformance::shred_store(&|| Arc::new(open(&SimDisk::new())));
        conformance::shred_store(&|| Arc::new(MemoryShreds::new()));
    }

    #[test]
    fn what_was_put_survives_power_loss_in_both_copies() {
        let disk = SimDisk::new();
        open(&disk).put(ID, SECRET).unwrap();
        disk.crash(Crash::DropUnsynced);
        assert_eq!(open(&disk).get_copies(ID).unwrap(), [SECRET, SECRET]);
    }

    #[test]
    fn a_copy_that_is_other_than_it_should_be_is_repaired_for_good() {
        for bad in COPIES {
            let disk = SimDisk::new();
            let shreds = open(&disk);
            shreds.put(ID, SECRET).unwrap();
            disk.open(&path(bad)).unwrap().write_at(3, b"?").unwrap();
            assert_ne!(shreds.get_copies(ID).unwrap(), [SECRET, SECRET]);
            shreds.repair(ID, SECRET).unwrap();
            disk.crash(Crash::DropUnsynced);
            assert_eq!(open(&disk).get_copies(ID).unwrap(), [SECRET, SECRET]);
        }
    }

    #[test]
    fn a_missing_copy_is_replaced_by_the_other_and_restored() {
        for (lost, kept) in [("a", "b"), ("b", "a")] {
            let disk = SimDisk::new();
            let shreds = open(&disk);
            shreds.put(ID, SECRET).unwrap();
            disk.remove(&path(lost));
            assert_eq!(shreds.get(ID).unwrap().as_deref(), Some(SECRET));
            disk.crash(Crash::DropUnsynced);
            assert_eq!(disk.bytes(&path(lost)).as_deref(), Some(SECRET));
            assert_eq!(disk.bytes(&path(kept)).as_deref(), Some(SECRET));
        }
    }

    #[test]
    fn what_is_destroyed_does_not_come_back_after_power_loss() {
        let disk = SimDisk::new();
        let shreds = open(&disk);
        shreds.put(ID, SECRET).unwrap();
        shreds.destroy(ID).unwrap();
        disk.crash(Crash::DropUnsynced);
        assert_eq!(open(&disk).get(ID).unwrap(), None);
        assert!(disk.paths().is_empty(), "{:?}", disk.paths());
    }

    /// Power is lost at every operation of a life: put, get, destroy.
    #[test]
    fn power_loss_at_any_point_keeps_what_was_put_and_destroys_what_was_destroyed() {
        for at_operation in 0.. {
            for seed in 0..8 {
                let disk = SimDisk::new();
                let shreds = open(&disk);
                let base = disk.operations();
                disk.set_fault(Some(Fault {
                    at_operation: base + at_operation,
                    kind: FaultKind::PowerOff,
                    sticky: true,
                }));
                let put = shreds.put(ID, SECRET).is_ok();
                let destroyed = put && shreds.destroy(ID).is_ok();
                disk.crash(Crash::Torn { seed });
                let again = open(&disk);
                if destroyed {
                    assert!(again.get_copies(ID).unwrap().is_empty());
                    if seed == 7 {
                        return;
                    }
                    continue;
                }
                // Destruction that was interrupted is done again, whatever is left.
                again.destroy(ID).unwrap();
                disk.crash(Crash::DropUnsynced);
                assert!(open(&disk).list().unwrap().is_empty());
                assert!(disk.paths().is_empty(), "{:?}", disk.paths());
            }
        }
    }

    #[test]
    fn a_put_that_was_answered_is_whole_wherever_power_is_lost_later() {
        for seed in 0..32 {
            let disk = SimDisk::new();
            let shreds = open(&disk);
            shreds.put(ID, SECRET).unwrap();
            let base = disk.operations();
            disk.set_fault(Some(Fault {
                at_operation: base + seed % 5,
                kind: FaultKind::PowerOff,
                sticky: true,
            }));
            let _ = shreds.put([1; 16], b"another");
            disk.crash(Crash::Torn { seed });
            assert_eq!(open(&disk).get_copies(ID).unwrap(), [SECRET, SECRET]);
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_a_full_disk_is_told() {
        for at in 0..8 {
            let disk = SimDisk::new();
            let shreds = open(&disk);
            disk.set_fault(Some(Fault {
                at_operation: disk.operations() + at,
                kind: FaultKind::Enospc,
                sticky: false,
            }));
            match shreds.put(ID, SECRET) {
                Ok(()) => assert_eq!(shreds.get(ID).unwrap().as_deref(), Some(SECRET)),
                Err(error) => {
                    assert!(matches!(error, ShredError::NoSpace), "{error:?}");
                    assert!(shreds.list().unwrap().is_empty());
                }
            }
        }
    }

    #[test]
    fn a_thief_finds_zeros_where_a_destroyed_key_was() {
        let disk = SimDisk::new();
        let shreds = open(&disk);
        shreds.put(ID, SECRET).unwrap();
        // The unlink of the first copy fails: its bytes must be gone already.
        let base = disk.operations();
        disk.set_fault(Some(Fault {
            at_operation: base + 2,
            kind: FaultKind::Eio,
            sticky: true,
        }));
        assert!(shreds.destroy(ID).is_err());
        let left = disk.bytes(&path("a")).unwrap();
        assert!(left.iter().all(|byte| *byte == 0));
        disk.set_fault(None);
        shreds.destroy(ID).unwrap();
        assert!(disk.paths().is_empty());
    }
}
