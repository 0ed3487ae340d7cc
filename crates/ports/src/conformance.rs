//! Conformance suites: public functions that every adapter of a port runs in its tests.
//!
//! They panic with a message that names the clause of the contract that is broken. Each takes a
//! function that gives an empty store, because every clause starts from a fresh one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite is test code that adapters call: panicking is how it reports"
)]

mod blob;
mod meta;
mod shred;

pub use blob::blob_store;
pub use meta::meta_store;
pub use shred::shred_store;
