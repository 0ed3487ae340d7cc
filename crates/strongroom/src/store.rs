//! Opening the stores on disk.

use std::io;
use std::sync::Arc;

use strongroom_ports::{BlobStore, Entropy, ShredStore};
use strongroom_s3::Custody;
use strongroom_store::disk::{Disk, RealDisk};
use strongroom_store::{BlobOptions, DurableMeta, FileBlobs, FileShreds, MetaOptions, StoreError};

use crate::config::Settings;
use crate::failure::{Exit, Failure};

/// Opens the metadata store, or makes one.
///
/// # Errors
///
/// [`Exit::Store`] for damage or a lock, [`Exit::Environment`] for the disk.
pub(crate) fn open_meta(
    settings: &Settings,
    custody: &Arc<Custody>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<DurableMeta>, Failure> {
    let disk = open_disk(RealDisk::open(settings.data.meta()))?;
    // Metadata may use half of what blobs must leave free: on a full disk, deletions still work.
    let options = MetaOptions {
        floor_bytes: settings.free_space_floor.0 / 2,
        ..MetaOptions::default()
    };
    let keys = custody.shared_ring();
    DurableMeta::open(disk, keys, Arc::clone(entropy), options).map(Arc::new).map_err(|error| match error {
        StoreError::Io(error) => unreachable_disk(&error),
        other @ (StoreError::Damaged(_) | StoreError::Index(_) | StoreError::Stopped(_) | _) => Failure::new(
            Exit::Store,
            other.to_string(),
            "nothing was changed; restore DIR/meta from a backup, and keep the damaged one for inspection",
        ),
    })
}

/// Opens the blobs, or makes their directories.
///
/// # Errors
///
/// [`Exit::Environment`] for the disk, [`Exit::Store`] for a lock.
pub(crate) fn open_blobs(settings: &Settings) -> Result<FileBlobs, Failure> {
    let disk = open_disk(RealDisk::open(settings.data.blobs()))?;
    let options = BlobOptions {
        floor_bytes: settings.free_space_floor.0,
    };
    FileBlobs::open(disk, options).map_err(|error| unreachable_disk(&error))
}

/// Opens the shred keys, or makes their directories.
///
/// # Errors
///
/// [`Exit::Environment`] for the disk, [`Exit::Store`] for a lock.
pub(crate) fn open_shreds(settings: &Settings) -> Result<FileShreds, Failure> {
    let disk = open_disk(RealDisk::open(settings.data.shreds()))?;
    FileShreds::open(disk).map_err(|error| unreachable_disk(&error))
}

/// Whether there are bodies of objects, or shred keys of keys.
///
/// # Errors
///
/// [`Exit::Environment`] for the disk.
pub(crate) fn hold_any(blobs: &dyn BlobStore, shreds: &dyn ShredStore) -> Result<bool, Failure> {
    let found = blobs.list(None, 1).map_err(io::Error::other);
    let found = found.map_err(|error| unreachable_disk(&error))?;
    if !found.is_empty() {
        return Ok(true);
    }
    let found = shreds.list().map_err(io::Error::other);
    let found = found.map_err(|error| unreachable_disk(&error))?;
    Ok(!found.is_empty())
}

fn open_disk(opened: io::Result<RealDisk>) -> Result<Arc<dyn Disk>, Failure> {
    match opened {
        Ok(disk) => Ok(Arc::new(disk)),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(Failure::new(
            Exit::Store,
            error.to_string(),
            "stop the other strongroom first",
        )),
        Err(error) => Err(unreachable_disk(&error)),
    }
}

fn unreachable_disk(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Environment,
        format!("the store's disk failed: {error}"),
        "check its permissions, its space and its health",
    )
}
