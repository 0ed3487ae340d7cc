//! Old backups, and what only they need.

use std::collections::BTreeSet;

use crate::manifest;
use crate::place::{Place, PlaceError};

/// What went.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Pruned {
    /// Backups.
    pub backups: u64,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the newest `keep` backups, at least one, and removes what no other manifest needs. Nothing
/// is removed that a manifest names which cannot be read.
///
/// # Errors
///
/// [`PlaceError`]. What was removed before stays so; the backups that are kept are whole.
pub fn prune(place: &dyn Place, keep: usize) -> Result<Pruned, PlaceError> {
    let mut pruned = Pruned::default();
    let numbers = manifest::numbers(&place.list("manifests/")?);
    let old = numbers.len().saturating_sub(keep.max(1));
    let (gone, kept) = numbers.split_at_checked(old).unwrap_or((&[], &numbers));
    let mut needed = BTreeSet::new();
    for number in kept {
        let signed = manifest::read(place, *number)?;
        let signed = signed
            .map_err(|error| PlaceError::Failed(manifest::name(*number), error.to_string()))?;
        needed.extend(signed.manifest.objects().into_iter().map(str::to_owned));
    }
    // Manifests first: one that stands is whole at any moment.
    for number in gone {
        place.remove(&manifest::name(*number))?;
        pruned.backups += 1;
    }
    place.sync()?;
    for (name, len) in place.list("")? {
        let is_ours = ["blobs/", "runs/", "shreds/"]
            .iter()
            .any(|it| name.starts_with(it));
        if is_ours && !needed.contains(&name) {
            place.remove(&name)?;
            pruned.objects += 1;
            pruned.bytes += len;
        }
    }
    Ok(pruned)
}
