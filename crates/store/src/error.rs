//! Why a store could not be opened or maintained.

use std::io;

/// Why a store could not be opened, checkpointed or snapshotted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system's error.
    #[error("store i/o: {0}")]
    Io(#[from] io::Error),
    /// What was read is not what was written, or not with this key. Nothing was changed.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The index engine's error.
    #[error("the index engine failed: {0}")]
    Index(String),
    /// An earlier failure stopped the store.
    #[error("the store has stopped: {0}")]
    Stopped(String),
}
