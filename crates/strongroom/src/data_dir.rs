//! The data directory: what is where, who may look, and which format it has.
//!
//! ```text
//!   DIR/FORMAT      the version of everything below
//!   DIR/lock        held by the one process that owns the store
//!   DIR/ring/       the sealed root key ring, twice
//!   DIR/meta/       the metadata store
//!   DIR/blobs/      bodies
//!   DIR/shreds/     the keys whose loss destroys key material
//!   DIR/reports/    signed reports
//!   DIR/deeds/      notes of commands that the audit trail has still to take
//!   DIR/lineage     which store it is of those that came out of one by backups
//!   DIR/tls/        certificate and key
//!   DIR/admin.sock  the running server's admin channel
//!   DIR/endpoint    where the running server listens
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::files;

/// The format that this binary writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

const FORMAT_PREFIX: &str = "strongroom data directory, format ";
/// What the version file says until a restoration is done: no server starts from that.
const BEING_RESTORED: &str = "strongroom data directory, being restored: not whole\n";

/// A data directory's paths.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// The right to open the store; released when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataDir {
    /// Names a directory; touches nothing.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            root: std::path::absolute(&root).unwrap_or(root),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.root.join("ring")
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.root.join("meta")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn shreds(&self) -> PathBuf {
        self.root.join("shreds")
    }

    pub(crate) fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }

    pub(crate) fn deeds(&self) -> PathBuf {
        self.root.join("deeds")
    }

    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.root.join("admin.sock")
    }

    pub(crate) fn endpoint(&self) -> PathBuf {
        self.root.join("endpoint")
    }

    /// Which of the stores of one ring this is.
    pub(crate) fn lineage(&self) -> PathBuf {
        self.root.join("lineage")
    }

    fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    /// Makes the directory and its version file where they are missing.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        files::make_private_dir(&self.root)?;
        if self.format_version()?.is_none() {
            files::replace(
                &self.format(),
                format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n").as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Makes the directory for a restoration, which must not be taken for a store before its end.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn begin_restoration(&self) -> io::Result<()> {
        files::make_private_dir(&self.root)?;
        files::replace(&self.format(), BEING_RESTORED.as_bytes())
    }

    /// Whether a restoration was begun here and is not done.
    pub(crate) fn is_being_restored(&self) -> bool {
        files::read(&self.format()).is_ok_and(|bytes| bytes == BEING_RESTORED.as_bytes())
    }

    /// All is there, and synced: from now on it is a store.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn end_restoration(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()?;
        files::replace(
            &self.format(),
            format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n").as_bytes(),
        )
    }

    /// The format version on disk; `None` where there is no version file yet.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the file says something else than a version.
    pub(crate) fn format_version(&self) -> io::Result<Option<u32>> {
        let bytes = match files::read(&self.format()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let version = text
            .strip_prefix(FORMAT_PREFIX)
            .and_then(|rest| rest.trim_end().parse().ok());
        version
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether anything is stored that a key ring must open: then none may be created.
    ///
    /// # Errors
    ///
    /// The operating system's: what cannot be looked at counts as data.
    pub(crate) fn holds_data(&self) -> io::Result<bool> {
        Ok(holds_a_file(&self.meta())?
            || holds_a_file(&self.blobs())?
            || holds_a_file(&self.shreds())?)
    }

    /// Takes the lock, or reports that another process has it.
    ///
    /// # Errors
    ///
    /// The operating system's; `Ok(None)` when it is taken.
    pub(crate) fn lock(&self) -> io::Result<Option<DataLock>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.root.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DataLock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is wrong with the directory's owner or permissions, for people.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn exposure(&self) -> io::Result<Option<String>> {
        let metadata = fs::metadata(&self.root)?;
        let root = self.root.display();
        if !metadata.is_dir() {
            return Ok(Some(format!("{root} is not a directory")));
        }
        let (owner, user) = (metadata.uid(), geteuid().as_raw());
        if owner != user {
            return Ok(Some(format!(
                "{root} belongs to user {owner}, but this is user {user}"
            )));
        }
        let mode = metadata.permissions().mode() & 0o777;
        Ok((mode & 0o077 != 0)
            .then(|| format!("{root} can be entered by others (mode {mode:03o})")))
    }
}

fn holds_a_file(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || holds_a_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::new(temp.path().join("data"));
        data.prepare().unwrap();
        (temp, data)
    }

    #[test]
    fn a_prepared_directory_is_private_and_versioned() {
        let (_temp, data) = prepared();
        assert_eq!(data.format_version().unwrap(), Some(FORMAT_VERSION));
        assert_eq!(
            fs::metadata(data.root()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(data.exposure().unwrap(), None);
        assert!(!data.holds_data().unwrap());
    }

    #[test]
    fn a_garbled_version_is_not_taken_for_a_missing_one() {
        let (_temp, data) = prepared();
        fs::write(data.format(), "format none\n").unwrap();
        assert_eq!(
            data.format_version().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn directories_open_to_others_are_reported() {
        let (_temp, data) = prepared();
        fs::set_permissions(data.root(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(data.exposure().unwrap().unwrap().contains("mode 750"));
    }

    #[test]
    fn the_lock_is_exclusive_until_it_is_dropped() {
        let (_temp, data) = prepared();
        let held = data.lock().unwrap().unwrap();
        assert!(data.lock().unwrap().is_none());
        drop(held);
        assert!(data.lock().unwrap().is_some());
    }

    #[test]
    fn a_file_at_any_depth_is_data_and_empty_directories_are_not() {
        let (_temp, data) = prepared();
        fs::create_dir_all(data.blobs().join("aa")).unwrap();
        assert!(!data.holds_data().unwrap());
        fs::write(data.blobs().join("aa/b"), "").unwrap();
        assert!(data.holds_data().unwrap());
    }
}
