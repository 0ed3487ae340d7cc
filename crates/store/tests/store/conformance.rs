//! The durable stores keep the contracts of the ports.

use std::sync::Arc;

use crate::common::{MANUAL, SMALL, open_blobs, open_meta, open_on};
use strongroom_ports::conformance;
use strongroom_store::disk::{RealDisk, SimDisk};
use strongroom_store::{BlobOptions, FileBlobs, MetaOptions};

#[test]
fn durable_meta_conforms_in_memory() {
    conformance::meta_store(&|| Arc::new(open_meta(&SimDisk::new(), MANUAL).unwrap()));
}

#[test]
fn durable_meta_conforms_while_it_checkpoints_and_snapshots() {
    let tiny = MetaOptions {
        memtable_bytes: 1,
        snapshot_after_bytes: 4 << 10,
        ..SMALL
    };
    conformance::meta_store(&|| Arc::new(open_meta(&SimDisk::new(), tiny).unwrap()));
}

#[test]
fn durable_meta_conforms_on_a_real_disk() {
    let temp = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    conformance::meta_store(&|| {
        count.set(count.get() + 1);
        let disk = RealDisk::open(temp.path().join(count.get().to_string())).unwrap();
        Arc::new(open_on(Arc::new(disk), SMALL).unwrap())
    });
}

#[test]
fn file_blobs_conform_in_memory() {
    conformance::blob_store(&|| Arc::new(open_blobs(&SimDisk::new()).unwrap()));
}

#[test]
fn file_blobs_conform_on_a_real_disk() {
    let temp = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    conformance::blob_store(&|| {
        count.set(count.get() + 1);
        let disk = RealDisk::open(temp.path().join(count.get().to_string())).unwrap();
        let options = BlobOptions { floor_bytes: 0 };
        Arc::new(FileBlobs::open(Arc::new(disk), options).unwrap())
    });
}
