//! A directory of the operating system.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, Mode, OFlags, ResolveFlags, fallocate, fstatvfs, openat2};
use rustix::io::{ReadWriteFlags, preadv2};

use super::{Disk, DiskFile};

/// A directory, held with an exclusive lock for as long as this lives.
///
/// Files are readable and writable by their owner only.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    directory: File,
}

impl RealDisk {
    /// Opens the directory `root`, makes it if it does not exist, and locks it.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` when another process holds the lock; else the operating system's.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        make_dir(&root)?;
        let directory = File::open(&root)?;
        match directory.try_lock() {
            Ok(()) => Ok(Self { root, directory }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another process", root.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(RealFile(options.open(self.root.join(path))?)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        Ok(Arc::new(RealFile(options.open(self.root.join(path))?)))
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        // Whatever is wrong shows again when the caller opens in the other way. That includes
        // kernels before 5.12 and sandboxes, which do not know the call.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat2(
            &self.directory,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::CACHED,
        );
        Some(Arc::new(RealFile(file.ok()?.into())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            // Names that are not ours need not be UTF-8; they are no files of ours either.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        fs::exists(self.root.join(path))
    }

    fn create_dir(&self, directory: &str) -> io::Result<()> {
        make_dir(&self.root.join(directory))
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        if directory.is_empty() {
            self.directory.sync_all()
        } else {
            File::open(self.root.join(directory))?.sync_all()
        }
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let stat = fstatvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        outcome => outcome,
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn read_cached_at(&self, offset: u64, out: &mut [u8]) -> bool {
        let wanted = out.len();
        let mut slices = [io::IoSliceMut::new(out)];
        // Whatever is wrong shows again when the caller reads in the other way.
        preadv2(&self.0, &mut slices, offset, ReadWriteFlags::NOWAIT) == Ok(wanted)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        match fallocate(&self.0, FallocateFlags::empty(), 0, len_bytes) {
            // Some file systems cannot reserve; the length alone still saves the size update.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                if self.len_bytes()? < len_bytes {
                    self.0.set_len(len_bytes)?;
                }
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one() {
        let temp = tempfile::tempdir().unwrap();
        let held = RealDisk::open(temp.path()).unwrap();
        let error = RealDisk::open(temp.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(held);
        RealDisk::open(temp.path()).unwrap();
    }

    #[test]
    fn files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(temp.path().join("data")).unwrap();
        disk.create("file").unwrap();
        disk.create_dir("dir").unwrap();
        for (path, mode) in [("data", 0o700), ("data/dir", 0o700), ("data/file", 0o600)] {
            let found = fs::metadata(temp.path().join(path))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn cached_reads_are_whole_or_refused() {
        let temp = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(temp.path()).unwrap();
        let file = disk.create("file").unwrap();
        file.write_at(0, b"abc").unwrap();
        let mut out = [0; 2];
        if file.read_cached_at(1, &mut out) {
            assert_eq!(&out, b"bc");
        }
        assert!(!file.read_cached_at(2, &mut out), "past the end");
    }

    #[test]
    fn cached_opens_find_the_file_or_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(temp.path()).unwrap();
        disk.create_dir("dir").unwrap();
        disk.create("dir/file")
            .unwrap()
            .write_at(0, b"abc")
            .unwrap();
        if let Some(file) = disk.open_cached("dir/file") {
            let mut out = [0; 3];
            file.read_at(0, &mut out).unwrap();
            assert_eq!(&out, b"abc");
        }
        assert!(disk.open_cached("dir/other").is_none());
    }

    #[test]
    fn allocation_extends_with_zeros() {
        let temp = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(temp.path()).unwrap();
        let file = disk.create("file").unwrap();
        file.write_at(0, b"abc").unwrap();
        file.allocate(8192).unwrap();
        assert_eq!(file.len_bytes().unwrap(), 8192);
        let mut out = [1; 8];
        file.read_at(0, &mut out).unwrap();
        assert_eq!(&out, b"abc\0\0\0\0\0");
    }
}
