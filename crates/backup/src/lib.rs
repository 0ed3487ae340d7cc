//! Backups of a data directory, and their way back.
//!
//! ```text
//!   data directory --take-->  place: a directory or a bucket            --restore--> data directory
//!                             manifests/00000003.json   what backup 3 is made of; written last
//!                             blobs/ab/abcd...          bodies, once each
//!                             runs/00000003-1f.../...   what run 3 added: journal, snapshot, footers, ring
//!                             shreds/...                the keys whose loss destroys key material
//! ```
//!
//! Ciphertext is copied as it is: nothing is decrypted, and nothing that opens the ring is copied.
//! A manifest names every file by its pieces, each with its SHA-256, and is authenticated with a key
//! of the ring; `FORMAT.md`, 20, has its bytes. An interrupted run leaves no manifest, and the next
//! one takes what it finds there.
//!
//! What is **not** here: how a running store is held still meanwhile ([`Origin`]), and how a bucket
//! is reached ([`Place`]).

mod directory;
mod manifest;
mod place;
mod prune;
mod restore;
mod take;

pub use directory::Directory;
pub use manifest::{Destroyed, Digest, File, Lineage, Manifest, ManifestError, Piece, Summary};
pub use place::{Place, PlaceError};
pub use prune::{Pruned, prune};
pub use restore::{RestoreError, Restored, Ring, Wanted, restore};
pub use take::{Begun, Extent, Origin, OriginError, Sources, TakeError, Taken, take};

use std::collections::BTreeMap;

/// How far it is: bytes done, of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes looked at, copied or written.
    pub done_bytes: u64,
    /// Bytes in all.
    pub all_bytes: u64,
}

/// A manifest's number, and what it says or why it cannot be read.
pub type Listed = (u64, Result<Summary, ManifestError>);

/// The manifests of a place, oldest first, as they say themselves: not verified.
///
/// # Errors
///
/// [`PlaceError`] of the place. What cannot be read as a manifest is in the list all the same.
pub fn list(place: &dyn Place) -> Result<Vec<Listed>, PlaceError> {
    let mut found = Vec::new();
    for number in manifest::numbers(&place.list("manifests/")?) {
        let read = manifest::read(place, number)?;
        found.push((number, read.map(|signed| signed.manifest.summary)));
    }
    Ok(found)
}

/// What lies in a place, with lengths in bytes.
type Objects = BTreeMap<String, u64>;

/// The beginning of `buffer`, as much as is left to do.
fn up_to(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).unwrap_or(usize::MAX);
    let (beginning, _) = buffer.split_at_mut(len.min(buffer.len()));
    beginning
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
