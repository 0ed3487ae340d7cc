//! The disk, as this crate sees it: everything that can fail or be lost goes through here.
//!
//! [`RealDisk`] is a directory. [`SimDisk`] is a disk in memory that knows what has been synced: it
//! loses, tears and refuses what a real one may, at the operation a test names.

mod real;
mod sim;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::{Crash, Fault, FaultKind, SimDisk};

/// A directory tree of its own. Paths are relative to it, with `/` between their parts.
///
/// Contract: as POSIX says, and no more. Bytes are durable after [`DiskFile::sync_data`]; the names
/// of a directory (creations, renames into it, removals) after [`Disk::sync_dir`] of it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a file that does not exist yet (`AlreadyExists` otherwise), for reading and writing.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file (`NotFound` otherwise), for reading and writing.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// As [`Disk::open`], for reading only, if the system knows the file without asking the device:
    /// `None` when it does not, or when there is no such file. Never waits.
    fn open_cached(&self, _path: &str) -> Option<Arc<dyn DiskFile>> {
        None
    }

    /// Renames a file, replacing what is there.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file (`NotFound` if there is none). An open one stays readable.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn unlink(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, in ascending order of their bytes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Whether a file exists.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn exists(&self, path: &str) -> io::Result<bool>;

    /// Makes a directory; one that exists is fine.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn create_dir(&self, directory: &str) -> io::Result<()>;

    /// Makes the names of a directory durable. The empty path is the tree's own directory.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn sync_dir(&self, directory: &str) -> io::Result<()>;

    /// Free space for this user, in bytes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn available_bytes(&self) -> io::Result<u64>;
}

/// An open file. It outlives its name.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills `out` from `offset`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file ends before; else the operating system's.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// As [`DiskFile::read_at`], if the system has the bytes in memory: false, with anything in `out`,
    /// when it would have to wait for the device. Never waits.
    fn read_cached_at(&self, _offset: u64, _out: &mut [u8]) -> bool {
        false
    }

    /// Writes all of `bytes` at `offset`, and extends the file if need be.
    ///
    /// # Errors
    ///
    /// The operating system's; any part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reserves space up to `len_bytes` and extends the file with zeros to that length.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn allocate(&self, len_bytes: u64) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;

    /// Makes bytes and length durable. Never call it again after it failed: the kernel may have
    /// dropped the dirty pages, and the second call would succeed.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length, in bytes.
    ///
    /// # Errors
    ///
    /// The operating system's.
    fn len_bytes(&self) -> io::Result<u64>;
}

/// Whether the error means that the disk, or the user's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
