//! Everything at rest, read and verified: the scrub.
//!
//! ```text
//!   names in the directory ---> what is none of the store's
//!   ring copies, shred files
//!   journal, snapshots -------> frames      checksums without keys, tags and order with them
//!   index --------------------> pages       tags
//!   rows (live, or from journal and snapshot)
//!     uploads, versions ------> wrapped keys, part lists, streams, footers
//!     everything else --------> opens
//!   blob files ---------------> those that no row led to
//! ```
//!
//! With the key ring every tag is verified and every row opened; without it every checksum there is.
//! Nothing is changed. Beside a running server what looks damaged is looked at once more, because it
//! may have been deleted, overwritten or written just then.
//!
//! It reads the format with the readers of `recover`, not with the server's own, so that what is wrong
//! with those shows.

mod blobs;
mod body;
mod findings;
mod index_pages;
mod inspect;
mod keyless;
mod keys;
mod off_line;
mod pace;
mod pool;
mod report;
mod ring_copies;
mod rows;
mod run;
mod sealed_files;
mod shreds;
mod stream;
mod tally;
mod text;
mod tree;
mod walk;

pub use inspect::{
    Encryption, InspectAsk, InspectError, Inspection, Layer, StoredBody, StoredStream, WrappedBy,
    inspect,
};
pub use keys::{CurrentRing, Custody, UnsealRing};
pub use off_line::{OffLine, read as read_off_line};
pub use report::{
    AuditCounts, BucketCounts, FINDINGS_MAX, FileCounts, Finding, Kind, ModeCounts, Report,
    UnavailableKey, WaitingCounts,
};
pub use run::{Opened, Plan, Progress, VerifyError, verify};
