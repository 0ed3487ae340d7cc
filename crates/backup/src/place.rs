//! Where a backup lies: objects under names, each written whole.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// A directory or a bucket.
///
/// Contract:
/// - `write` gives an object its bytes as a whole or not at all: whoever reads the name meanwhile,
///   or after a crash, finds what was there before or the new object. It replaces what is there.
/// - What was written survives power loss once `sync` has returned.
/// - Names are relative paths of ASCII letters, digits, `.`, `-` and `/`.
pub trait Place {
    /// Where it is, for people.
    fn describe(&self) -> String;

    /// All objects whose names begin so, with their lengths in bytes.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Failed`].
    fn list(&self, prefix: &str) -> Result<BTreeMap<String, u64>, PlaceError>;

    /// Reads `len_bytes` of an object from `offset` on.
    ///
    /// # Errors
    ///
    /// [`PlaceError`]; [`PlaceError::Short`] if it ends before.
    fn read(
        &self,
        name: &str,
        offset: u64,
        len_bytes: u64,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), PlaceError>;

    /// Writes an object of `len_bytes`, which `source` gives.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Failed`]; [`PlaceError::Source`] when `source` fails or ends before.
    fn write(&self, name: &str, len_bytes: u64, source: &mut dyn Read) -> Result<(), PlaceError>;

    /// Waits until everything that was written will survive.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Failed`].
    fn sync(&self) -> Result<(), PlaceError>;

    /// Removes an object, as thoroughly as the place can. One that is not there is fine.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Failed`].
    fn remove(&self, name: &str) -> Result<(), PlaceError>;
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// There is no object of that name.
    #[error("{0} is not there")]
    Missing(String),
    /// The object ends too early.
    #[error("{0} is too short")]
    Short(String),
    /// What was to be written cannot be read.
    #[error("{0}: {1}")]
    Source(String, io::Error),
    /// Whoever reads takes no more.
    #[error("{0}")]
    Taker(io::Error),
    /// Anything else, in words.
    #[error("{0}: {1}")]
    Failed(String, String),
}

/// An object of `len_bytes`, in memory.
pub(crate) fn read_all(
    place: &dyn Place,
    name: &str,
    len_bytes: u64,
) -> Result<Vec<u8>, PlaceError> {
    let mut bytes = Vec::new();
    place.read(name, 0, len_bytes, &mut |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(bytes)
}
