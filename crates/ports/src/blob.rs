//! The blob port: byte streams under random names, of which nothing but the end ever changes.

use std::io;
use std::sync::Arc;

use strongroom_types::BlobId;

/// Blobs. What is written stays as it is, but for the end: see [`BlobStore::replace_tail`].
///
/// Contract:
/// - A blob is visible to [`BlobStore::open`] and [`BlobStore::list`] only after
///   [`BlobWriter::finish`] returned `Ok`, and then it is durable: bytes, length and name survive
///   power loss. Afterwards only [`BlobStore::replace_tail`] changes it.
/// - Dropping an unfinished writer leaves nothing behind; a crash leaves at most a file that the
///   adapter removes when it is opened next.
/// - A failed sync poisons the store ([`BlobError::Poisoned`] from then on): it is never retried,
///   because the kernel may have dropped the dirty pages (PostgreSQL's "fsyncgate", 2018).
/// - Running out of space is [`BlobError::NoSpace`], is not sticky, and leaves nothing behind.
pub trait BlobStore: Send + Sync {
    /// Starts a blob under a name that no other blob has. `len_hint_bytes` may be used to reserve
    /// space; zero means unknown.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    fn create(&self, id: BlobId, len_hint_bytes: u64) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a finished blob. An opened blob stays readable while it is held, also if it is deleted.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], or any other.
    fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, BlobError>;

    /// As [`BlobStore::open`], if the blob can be found without waiting for the disk; `None` says
    /// nothing. A task may call it.
    fn open_in_memory(&self, _id: BlobId) -> Option<Arc<dyn BlobReader>> {
        None
    }

    /// Removes a blob. Removing one that does not exist succeeds.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    fn delete(&self, id: BlobId) -> Result<(), BlobError>;

    /// Puts `tail` in the place of all that is behind the first `from_bytes` bytes of a finished
    /// blob, in place, so that the bytes that were there are gone.
    ///
    /// - After `Ok` the blob is its first `from_bytes` bytes and `tail`, durably. What was there
    ///   before was overwritten, durably, before anything was cut off: neither the file nor what it
    ///   gave back holds it, as far as the adapter can know.
    /// - The first `from_bytes` bytes never change and can be read all the time, also through readers
    ///   that were open before. What such a reader finds behind them is not defined.
    /// - After any error and any crash, what is behind them holds the old tail whole, or the new one
    ///   whole, or both, with anything around them; the blob may be longer than with either. To call
    ///   again with the same arguments completes it.
    /// - Space for it may be taken from below the floor: this is how a key is taken away.
    ///
    /// The caller sees to it that nobody else does the same to the same blob at the same time, or
    /// deletes it. Meant for tails that fit into memory.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::Io`] of kind `UnexpectedEof` when the blob is shorter
    /// than `from_bytes`, and nothing has changed; any other.
    fn replace_tail(&self, id: BlobId, from_bytes: u64, tail: &[u8]) -> Result<(), BlobError>;

    /// Up to `limit` finished blobs behind `after`, in ascending order of id.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, BlobError>;

    /// Bytes that can still be written before the floor of free space is reached.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    fn available_bytes(&self) -> Result<u64, BlobError>;
}

/// A blob being written, front to back.
pub trait BlobWriter: Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`BlobError`]; the writer is then only good for dropping.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError>;

    /// Makes the blob durable and visible.
    ///
    /// # Errors
    ///
    /// [`BlobError`]; the blob is then not visible.
    fn finish(self: Box<Self>) -> Result<(), BlobError>;
}

/// A finished blob.
pub trait BlobReader: Send + Sync {
    /// Length, in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `out` from `offset`.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] of kind `UnexpectedEof` when the blob ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), BlobError>;

    /// As [`BlobReader::read_at`], if the bytes are in memory: false, with anything in `out`, when
    /// they are not or cannot be read. Never waits for the disk, so a task may call it.
    fn read_in_memory(&self, _offset: u64, _out: &mut [u8]) -> bool {
        false
    }
}

/// Why a blob operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// No finished blob of that name.
    #[error("blob {0} does not exist")]
    NotFound(BlobId),
    /// The disk is full, or the floor of free space is reached.
    #[error("no space is left for blobs")]
    NoSpace,
    /// A sync failed earlier; nothing can be made durable until the process is restarted.
    #[error("an earlier sync failed; the blob store refuses writes until the server is restarted")]
    Poisoned,
    /// The operating system's error.
    #[error("blob i/o: {0}")]
    Io(#[from] io::Error),
}
