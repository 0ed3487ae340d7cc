//! Adapters of the storage ports.
//!
//! - [`MemoryMeta`] and [`MemoryBlobs`]: for tests of whatever is built on the ports.
//! - [`disk`]: the disk as this crate sees it, and one that fails on demand.

mod bounds;
pub mod disk;
mod memory;
mod splitmix;

pub use memory::{ConflictRule, MemoryBlobs, MemoryMeta};
