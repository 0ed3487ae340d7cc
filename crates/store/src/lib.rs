//! Adapters of the storage ports.
//!
//! - [`MemoryMeta`] and [`MemoryBlobs`]: for tests of whatever is built on the ports.
//! - [`DurableMeta`]: metadata behind a journal, sealed on disk.
//! - [`FileBlobs`]: blobs as files.
//! - [`FileShreds`]: shred keys as files, in two copies. [`MemoryShreds`]: for tests.
//! - [`disk`]: the disk as this crate sees it, and one that fails on demand.

mod batch;
mod blobs;
mod bounds;
pub mod disk;
mod durable;
mod error;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod index;
mod journal;
mod keys;
mod memory;
mod memtable;
mod shreds;
mod snapshot;
mod splitmix;
mod view;

pub use blobs::{BlobOptions, FileBlobs};
pub use durable::{DurableMeta, FileExtent, FilesHold, Mark, MetaOptions};
pub use error::StoreError;
pub use index::check::{IndexCheck, check_index};
pub use keys::StoreKeys;
pub use memory::{ConflictRule, MemoryBlobs, MemoryMeta};
pub use shreds::{FileShreds, MemoryShreds};
