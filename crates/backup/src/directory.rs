//! A place that is a directory.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::place::{Place, PlaceError};
use crate::{to_u64, up_to};

const CHUNK_LEN_BYTES: usize = 1 << 20;
const UNFINISHED: &str = ".unfinished";
const LOCK: &str = "lock";

/// A directory, readable by its owner alone.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Held by who writes.
    lock: Option<File>,
}

impl Directory {
    /// The directory of backups that is there.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            lock: None,
        }
    }

    /// The same to write to; made if it does not exist, and held against others.
    ///
    /// # Errors
    ///
    /// The operating system's; `ResourceBusy` when another process writes there.
    pub fn create(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(root.join(LOCK))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            root,
            lock: Some(lock),
        })
    }

    fn failed(&self, name: &str, error: &io::Error) -> PlaceError {
        PlaceError::Failed(
            self.root.join(name).display().to_string(),
            error.to_string(),
        )
    }
}

impl Place for Directory {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, prefix: &str) -> Result<BTreeMap<String, u64>, PlaceError> {
        let mut found = BTreeMap::new();
        let (directory, _) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        walk(&self.root, Path::new(directory), &mut found)
            .map_err(|error| self.failed(prefix, &error))?;
        found.retain(|name, _| name.starts_with(prefix) && name != LOCK);
        Ok(found)
    }

    fn read(
        &self,
        name: &str,
        mut offset: u64,
        len_bytes: u64,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), PlaceError> {
        let file = match File::open(self.root.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PlaceError::Missing(name.to_owned()));
            }
            Err(error) => return Err(self.failed(name, &error)),
        };
        let mut buffer = vec![0; CHUNK_LEN_BYTES];
        let mut left = len_bytes;
        while left > 0 {
            let chunk = up_to(&mut buffer, left);
            match file.read_at(chunk, offset) {
                Ok(0) => return Err(PlaceError::Short(name.to_owned())),
                Ok(count) => {
                    each(chunk.get(..count).unwrap_or_default()).map_err(PlaceError::Taker)?;
                    offset += to_u64(count);
                    left = left.saturating_sub(to_u64(count));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(name, &error)),
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, len_bytes: u64, source: &mut dyn Read) -> Result<(), PlaceError> {
        let path = self.root.join(name);
        let unfinished = self.root.join(format!("{name}{UNFINISHED}"));
        let failed = |error: io::Error| self.failed(name, &error);
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&unfinished).map_err(failed)?;
        let mut buffer = vec![0; CHUNK_LEN_BYTES];
        let mut left = len_bytes;
        while left > 0 {
            let chunk = up_to(&mut buffer, left);
            let read = source.read_exact(chunk);
            read.map_err(|error| PlaceError::Source(name.to_owned(), error))?;
            file.write_all(chunk).map_err(failed)?;
            left = left.saturating_sub(to_u64(chunk.len()));
        }
        // The rename must not overtake the bytes.
        file.sync_data().map_err(failed)?;
        fs::rename(&unfinished, &path).map_err(failed)
    }

    fn sync(&self) -> Result<(), PlaceError> {
        let synced = File::open(&self.root)
            .and_then(|root| rustix::fs::syncfs(&root).map_err(io::Error::from));
        synced.map_err(|error| self.failed("", &error))
    }

    /// Overwrites the bytes before the name goes.
    fn remove(&self, name: &str) -> Result<(), PlaceError> {
        let path = self.root.join(name);
        let wipe = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&path)?;
            let len_bytes = file.metadata()?.len();
            // Bodies are ciphertext whose keys are elsewhere; what is small may be a key itself.
            if let Some(zeros) = usize::try_from(len_bytes)
                .ok()
                .filter(|len| *len <= CHUNK_LEN_BYTES)
            {
                file.write_all_at(&vec![0; zeros], 0)?;
                file.sync_data()?;
            }
            fs::remove_file(&path)?;
            if let Some(parent) = path.parent() {
                File::open(parent)?.sync_all()?;
                // One that holds nothing any more goes too; others refuse.
                let _ = fs::remove_dir(parent);
            }
            Ok(())
        };
        match wipe() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(name, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.lock.take());
    }
}

fn walk(root: &Path, below: &Path, found: &mut BTreeMap<String, u64>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(below)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
        } else if let Some(name) = path.to_str().filter(|name| !name.ends_with(UNFINISHED)) {
            found.insert(name.to_owned(), entry.metadata()?.len());
        }
    }
    Ok(())
}
