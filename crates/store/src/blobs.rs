//! Blobs as files.
//!
//! ```text
//! blobs/3f/3f0c...        finished blobs, by the first byte of their random name
//! staging/3f0c...         blobs being written; removed when the store is opened
//! ```
//!
//! Finishing is: write, sync, rename, sync of the directory. Under its name a blob is whole. After
//! that nothing changes but its tail, see `tail.rs`.

mod dir_sync;
mod tail;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use strongroom_ports::{BlobError, BlobReader, BlobStore, BlobWriter};
use strongroom_types::BlobId;

use self::dir_sync::DirSync;
use self::tail::TailError;
use crate::disk::{Disk, DiskFile, is_full};
use crate::frame::to_u64;

const DIRECTORY: &str = "blobs";
const STAGING: &str = "staging";
/// Bytes are collected up to this length before they are written.
const BUFFER_LEN_BYTES: usize = 128 << 10;

/// Sizes of the blob store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobOptions {
    /// Free space that blobs leave to metadata, so that deletions still work on a full disk. 512 MiB.
    pub floor_bytes: u64,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self {
            floor_bytes: 512 << 20,
        }
    }
}

/// Blobs as files of a disk.
///
/// Deleting does not wait for the disk: after a crash a deleted blob may be there again, as an
/// orphan that the collector finds by [`BlobStore::list`].
#[derive(Debug)]
pub struct FileBlobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    options: BlobOptions,
    poisoned: AtomicBool,
    /// Names that are taken and must not be seen.
    unfinished: Mutex<BTreeSet<BlobId>>,
    /// By the first byte of the name.
    directories: Vec<DirSync>,
}

impl FileBlobs {
    /// Opens the blobs on `disk`, makes the directories if there are none, and removes what an
    /// earlier process left unfinished. The disk must be held exclusively.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn open(disk: Arc<dyn Disk>, options: BlobOptions) -> io::Result<Self> {
        for directory in [DIRECTORY, STAGING] {
            disk.create_dir(directory)?;
        }
        let present: BTreeSet<String> = disk.list(DIRECTORY)?.into_iter().collect();
        let mut made = false;
        let mut directories = Vec::with_capacity(256);
        for first in 0..=u8::MAX {
            let path = directory(first);
            if !present.contains(path.rsplit('/').next().unwrap_or_default()) {
                disk.create_dir(&path)?;
                made = true;
            }
            directories.push(DirSync::new(path));
        }
        if made {
            disk.sync_dir(DIRECTORY)?;
            disk.sync_dir("")?;
        }
        for name in disk.list(STAGING)? {
            disk.unlink(&format!("{STAGING}/{name}"))?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                disk,
                options,
                poisoned: AtomicBool::new(false),
                unfinished: Mutex::default(),
                directories,
            }),
        })
    }
}

fn directory(first: u8) -> String {
    format!("{DIRECTORY}/{first:02x}")
}

fn first_byte(id: BlobId) -> u8 {
    let [first, ..] = *id.as_bytes();
    first
}

fn path(id: BlobId) -> String {
    format!("{}/{id}", directory(first_byte(id)))
}

fn staging_path(id: BlobId) -> String {
    format!("{STAGING}/{id}")
}

fn blob_error(error: io::Error) -> BlobError {
    if is_full(&error) {
        BlobError::NoSpace
    } else {
        BlobError::Io(error)
    }
}

impl Shared {
    fn check_poison(&self) -> Result<(), BlobError> {
        if self.poisoned.load(Ordering::Acquire) {
            Err(BlobError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn poison(&self, error: &io::Error) {
        tracing::error!(%error, "a sync failed; the blob store takes no more blobs");
        self.poisoned.store(true, Ordering::Release);
    }

    fn available_bytes(&self) -> Result<u64, BlobError> {
        let free = self.disk.available_bytes()?;
        Ok(free.saturating_sub(self.options.floor_bytes))
    }

    fn sync_directory(&self, id: BlobId) -> Result<(), BlobError> {
        let directory = self
            .directories
            .get(usize::from(first_byte(id)))
            .ok_or_else(|| BlobError::Io(io::ErrorKind::NotFound.into()))?;
        directory.sync(self.disk.as_ref()).map_err(|error| {
            self.poison(&error);
            BlobError::Poisoned
        })
    }

    fn is_visible(&self, id: BlobId) -> bool {
        !self.unfinished.lock().contains(&id)
    }
}

impl BlobStore for FileBlobs {
    fn create(&self, id: BlobId, len_hint_bytes: u64) -> Result<Box<dyn BlobWriter>, BlobError> {
        let shared = &self.shared;
        shared.check_poison()?;
        if shared.available_bytes()? <= len_hint_bytes {
            return Err(BlobError::NoSpace);
        }
        if shared.disk.exists(&path(id))? || !shared.unfinished.lock().insert(id) {
            return Err(BlobError::Io(io::ErrorKind::AlreadyExists.into()));
        }
        let file = match shared.disk.create(&staging_path(id)) {
            Ok(file) => file,
            Err(error) => {
                shared.unfinished.lock().remove(&id);
                return Err(blob_error(error));
            }
        };
        let mut writer = FileWriter {
            shared: Arc::clone(shared),
            id,
            file,
            buffer: Vec::new(),
            written_bytes: 0,
            allocated_bytes: 0,
            published: false,
        };
        writer.reserve(len_hint_bytes)?;
        Ok(Box::new(writer))
    }

    fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, BlobError> {
        if !self.shared.is_visible(id) {
            return Err(BlobError::NotFound(id));
        }
        match self.shared.disk.open(&path(id)) {
            Ok(file) => {
                let len_bytes = file.len_bytes()?;
                Ok(Arc::new(FileReader { file, len_bytes }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::NotFound(id)),
            Err(error) => Err(error.into()),
        }
    }

    fn open_in_memory(&self, id: BlobId) -> Option<Arc<dyn BlobReader>> {
        if !self.shared.is_visible(id) {
            return None;
        }
        let file = self.shared.disk.open_cached(&path(id))?;
        let len_bytes = file.len_bytes().ok()?;
        Some(Arc::new(FileReader { file, len_bytes }))
    }

    fn delete(&self, id: BlobId) -> Result<(), BlobError> {
        if !self.shared.is_visible(id) {
            return Ok(());
        }
        match self.shared.disk.unlink(&path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn replace_tail(&self, id: BlobId, from_bytes: u64, tail: &[u8]) -> Result<(), BlobError> {
        let shared = &self.shared;
        shared.check_poison()?;
        if !shared.is_visible(id) {
            return Err(BlobError::NotFound(id));
        }
        let file = match shared.disk.open(&path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::NotFound(id));
            }
            Err(error) => return Err(error.into()),
        };
        match tail::replace(file.as_ref(), from_bytes, tail) {
            Ok(()) => Ok(()),
            Err(TailError::Write(error)) => Err(blob_error(error)),
            Err(TailError::Sync(error)) => {
                shared.poison(&error);
                Err(BlobError::Poisoned)
            }
        }
    }

    fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, BlobError> {
        let mut found = Vec::new();
        for first in after.map_or(0, first_byte)..=u8::MAX {
            for name in self.shared.disk.list(&directory(first))? {
                if found.len() == limit {
                    return Ok(found);
                }
                if let Some(id) = BlobId::parse_hex(&name)
                    && after.is_none_or(|after| id > after)
                    && self.shared.is_visible(id)
                {
                    found.push(id);
                }
            }
        }
        Ok(found)
    }

    fn available_bytes(&self) -> Result<u64, BlobError> {
        self.shared.available_bytes()
    }
}

struct FileWriter {
    shared: Arc<Shared>,
    id: BlobId,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    written_bytes: u64,
    allocated_bytes: u64,
    /// The blob has its final name; it must not be removed with the writer.
    published: bool,
}

impl FileWriter {
    fn reserve(&mut self, len_bytes: u64) -> Result<(), BlobError> {
        if len_bytes > to_u64(BUFFER_LEN_BYTES) {
            self.file.allocate(len_bytes).map_err(blob_error)?;
            self.allocated_bytes = len_bytes;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let end = self.written_bytes.saturating_add(to_u64(bytes.len()));
        if end > self.allocated_bytes && self.shared.available_bytes()? < to_u64(bytes.len()) {
            return Err(BlobError::NoSpace);
        }
        self.file
            .write_at(self.written_bytes, bytes)
            .map_err(blob_error)?;
        self.written_bytes = end;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlobError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.put(&buffer)?;
            buffer.clear();
        }
        self.buffer = buffer;
        Ok(())
    }
}

impl BlobWriter for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.shared.check_poison()?;
        if self.buffer.len() + bytes.len() > BUFFER_LEN_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_LEN_BYTES {
            return self.put(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), BlobError> {
        self.shared.check_poison()?;
        self.flush()?;
        if self.allocated_bytes > self.written_bytes {
            self.file.set_len(self.written_bytes).map_err(blob_error)?;
        }
        if let Err(error) = self.file.sync_data() {
            self.shared.poison(&error);
            return Err(BlobError::Poisoned);
        }
        let path = path(self.id);
        let renamed = self.shared.disk.rename(&staging_path(self.id), &path);
        renamed.map_err(blob_error)?;
        if let Err(error) = self.shared.sync_directory(self.id) {
            // Not durable, so it must not stay visible. Best effort: after a crash it is an orphan.
            let _ = self.shared.disk.unlink(&path);
            self.published = true;
            return Err(error);
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.shared.disk.unlink(&staging_path(self.id))
        {
            tracing::warn!(%error, "an unfinished blob stays until the next start");
        }
        self.shared.unfinished.lock().remove(&self.id);
    }
}

#[derive(Debug)]
struct FileReader {
    file: Arc<dyn DiskFile>,
    len_bytes: u64,
}

impl BlobReader for FileReader {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), BlobError> {
        // Checked here, because the system's offsets are signed.
        let end = offset.checked_add(to_u64(out.len()));
        if end.is_none_or(|end| end > self.len_bytes) {
            return Err(BlobError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(self.file.read_at(offset, out)?)
    }

    fn read_in_memory(&self, offset: u64, out: &mut [u8]) -> bool {
        let end = offset.checked_add(to_u64(out.len()));
        end.is_some_and(|end| end <= self.len_bytes) && self.file.read_cached_at(offset, out)
    }
}
