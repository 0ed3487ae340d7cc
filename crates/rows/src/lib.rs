//! Sealed, typed rows: how services keep records in the metadata store.
//!
//! ```text
//!   service -- Record --> SealedRows -- CBOR, sealed --> MetaStore
//! ```
//!
//! A record's kind and version are its first two bytes; the rest is a CBOR map with numbered fields.
//! Fields are only ever added, with new numbers. Which records there are belongs to the services.

mod custody;
mod record;
mod resident;
mod sealed;

pub use custody::Custody;
pub use record::Record;
pub use sealed::{RowError, SealedRows};
