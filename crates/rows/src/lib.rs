//! Sealed, typed rows: how services keep records in the metadata store, and commit in turns.
//!
//! ```text
//!   service -- Record --> SealedRows -- CBOR, sealed --> MetaStore
//! ```
//!
//! A record's kind and version are its first two bytes; the rest is a CBOR map with numbered fields.
//! Fields are only ever added, with new numbers. Which records there are belongs to the services.

mod contention;
mod custody;
mod record;
mod resident;
mod rewrap;
mod sealed;

pub use contention::{ATTEMPTS, Contended, back_off, until_undisturbed};
pub use custody::Custody;
pub use record::Record;
pub use resident::Resident;
pub use rewrap::{RewrapPage, RewrapTask, Rewrapped};
pub use sealed::{RowError, SealedRows};
