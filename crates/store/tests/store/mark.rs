//! What is copied while the store is held, up to a mark, is the store at that mark.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use strongroom_ports::{MetaStore as _, Table, Transaction};
use strongroom_store::disk::{Disk as _, SimDisk};
use strongroom_store::{DurableMeta, FileExtent, Mark};

use crate::common::{MANUAL, SMALL, open_meta, rows};

fn put(store: &DurableMeta, number: u32) {
    let transaction =
        Transaction::new().put(Table::BUCKETS, number.to_be_bytes().to_vec(), vec![7; 300]);
    store.commit(transaction).wait().unwrap();
}

fn numbers(store: &DurableMeta) -> BTreeSet<u32> {
    let keys = rows(store, Table::BUCKETS);
    keys.into_iter()
        .map(|(key, _)| u32::from_be_bytes(key.try_into().unwrap()))
        .collect()
}

/// Another disk with what a backup would copy.
fn copied(disk: &SimDisk, mark: &Mark) -> SimDisk {
    let copy = SimDisk::new();
    for directory in ["journal", "snapshot"] {
        copy.create_dir(directory).unwrap();
    }
    for FileExtent { path, len_bytes } in mark.snapshot.iter().chain(&mark.journal) {
        let bytes = disk.bytes(path).unwrap();
        let len = usize::try_from(*len_bytes).unwrap().min(bytes.len());
        copy.create(path)
            .unwrap()
            .write_at(0, &bytes[..len])
            .unwrap();
    }
    copy
}

#[test]
fn what_was_acknowledged_before_the_mark_is_in_the_copy_and_nothing_later() {
    let disk = SimDisk::new();
    let store = open_meta(&disk, SMALL).unwrap();
    for number in 0..200 {
        put(&store, number);
    }
    let (done, stop) = (AtomicU32::new(200), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let number = done.load(Ordering::Acquire);
                put(&store, number);
                done.store(number + 1, Ordering::Release);
            }
        });
        for _ in 0..5 {
            let hold = store.hold_files();
            let acknowledged = done.load(Ordering::Acquire);
            let mark = store.mark(&hold).unwrap();
            let begun = done.load(Ordering::Acquire) + 1;
            // The writer goes on, and would have files deleted.
            while done.load(Ordering::Acquire) < begun + 300 {
                std::thread::yield_now();
            }
            let copy = copied(&disk, &mark);
            drop(hold);
            let restored = open_meta(&copy, SMALL).unwrap();
            let found = numbers(&restored);
            let count = u32::try_from(found.len()).unwrap();
            assert!(count >= acknowledged, "{count} of {acknowledged}");
            assert!(count <= begun, "{count}, and {begun} had begun");
            assert_eq!(found, (0..count).collect());
            // It goes on as a store of its own.
            put(&restored, u32::MAX);
        }
        stop.store(true, Ordering::Release);
    });
}

#[test]
fn files_stay_while_they_are_held_and_go_afterwards() {
    let disk = SimDisk::new();
    let store = open_meta(&disk, MANUAL).unwrap();
    for number in 0..100 {
        put(&store, number);
    }
    store.snapshot().unwrap();
    let hold = store.hold_files();
    let mark = store.mark(&hold).unwrap();
    for number in 100..200 {
        put(&store, number);
    }
    store.snapshot().unwrap();
    assert_eq!(
        numbers(&open_meta(&copied(&disk, &mark), MANUAL).unwrap()).len(),
        100
    );
    let old = mark.snapshot.unwrap().path;
    assert!(disk.bytes(&old).is_some());
    drop(hold);
    put(&store, 200);
    store.snapshot().unwrap();
    assert!(disk.bytes(&old).is_none());
    for gone in &mark.journal {
        assert!(disk.bytes(&gone.path).is_none(), "{}", gone.path);
    }
}
