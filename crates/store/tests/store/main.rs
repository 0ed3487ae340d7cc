//! The durable stores as their users see them, on disks that fail.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

mod common;
mod conformance;
mod crash;
mod mark;
mod model;
mod recovery;
mod spool;
mod zeros;
