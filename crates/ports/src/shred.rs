//! The shred port: where the keys live whose loss destroys key material everywhere else.

/// Small files, each holding one sealed shred key, apart from all other data.
///
/// Key material in the journal, in snapshots and in backups is wrapped by a shred key as well as by
/// the root key. Destroying the shred key destroys them all.
///
/// Contract:
/// - `put` returns once two copies are durable. Files are never changed: `put` of an id that exists
///   already is an error.
/// - `get` gives the first copy that exists; if one is missing or unreadable the other is used, and
///   the lost one is restored. Whether the content verifies is for the caller to find out, who then
///   asks for `get_copies`.
/// - `repair` makes every copy of what is kept under `id` the content that the caller verified. It
///   brings nothing back: without any copy it does nothing.
/// - `destroy` returns once both copies are overwritten and gone, durably. Destroying what does not
///   exist is no error.
/// - Calls block on the disk: call from a worker thread.
pub trait ShredStore: Send + Sync {
    /// Keeps `content` (at most 4 KiB) under `id`.
    ///
    /// # Errors
    ///
    /// [`ShredError`]; nothing is kept then, or only what the next [`ShredStore::destroy`] removes.
    fn put(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError>;

    /// What is kept under `id`, or `None`.
    ///
    /// # Errors
    ///
    /// [`ShredError::Io`].
    fn get(&self, id: [u8; 16]) -> Result<Option<Vec<u8>>, ShredError>;

    /// Every copy that can be read, for who found the first one damaged.
    ///
    /// # Errors
    ///
    /// [`ShredError::Io`].
    fn get_copies(&self, id: [u8; 16]) -> Result<Vec<Vec<u8>>, ShredError>;

    /// Replaces copies that are missing, unreadable or other than `content`, durably and one after
    /// the other; for who found a good copy beside a bad one, or sealed the same key anew.
    ///
    /// # Errors
    ///
    /// [`ShredError`]; the good copy stays.
    fn repair(&self, id: [u8; 16], content: &[u8]) -> Result<(), ShredError>;

    /// Destroys what is kept under `id`, for good.
    ///
    /// # Errors
    ///
    /// [`ShredError::Io`]: it may still be there; destroy again.
    fn destroy(&self, id: [u8; 16]) -> Result<(), ShredError>;

    /// All ids, in no order.
    ///
    /// # Errors
    ///
    /// [`ShredError::Io`].
    fn list(&self) -> Result<Vec<[u8; 16]>, ShredError>;
}

/// Why a shred file could not be kept, read or destroyed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShredError {
    /// The id is taken.
    #[error("a shred key of this id exists already")]
    Exists,
    /// The disk is full.
    #[error("no space is left for shred keys")]
    NoSpace,
    /// The disk failed.
    #[error("shred key i/o: {0}")]
    Io(String),
}
