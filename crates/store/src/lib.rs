//! Adapters of the storage ports.
//!
//! - [`MemoryMeta`] and [`MemoryBlobs`]: for tests of whatever is built on the ports.

mod bounds;
mod memory;

pub use memory::{ConflictRule, MemoryBlobs, MemoryMeta};
