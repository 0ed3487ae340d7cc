//! What is lost or changed on the disk is rebuilt or noticed, and what is there tells nothing.

use crate::common::{MANUAL, SMALL, open_blobs, open_meta, rows};
use strongroom_ports::{BlobStore, CommitError, MetaStore, Table, Transaction};
use strongroom_store::disk::{Crash, SimDisk};
use strongroom_store::{DurableMeta, StoreError};

const T: Table = Table::CURRENT;
const INDEX: &str = "index.srx";

fn put(meta: &DurableMeta, number: u32) {
    let value = format!("value {number} ").repeat(20);
    let transaction = Transaction::new()
        .put(T, format!("key{number:04}"), value)
        .delete(T, format!("key{:04}", number.wrapping_sub(5)));
    meta.commit(transaction).wait().unwrap();
}

fn files(disk: &SimDisk, directory: &str) -> Vec<String> {
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with(directory));
    paths
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// A closed store with rows in snapshot, index and journal.
fn store() -> (SimDisk, Rows) {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    (0..60).for_each(|number| put(&meta, number));
    meta.snapshot().unwrap();
    (60..90).for_each(|number| put(&meta, number));
    meta.checkpoint().unwrap();
    (90..120).for_each(|number| put(&meta, number));
    let found = rows(&meta, T);
    drop(meta);
    disk.crash(Crash::DropUnsynced);
    (disk, found)
}

#[test]
fn a_deleted_index_is_rebuilt_from_snapshot_and_journal() {
    let (disk, expected) = store();
    assert_eq!(files(&disk, "snapshot/").len(), 1);
    disk.remove(INDEX);
    for _ in 0..2 {
        let meta = open_meta(&disk, MANUAL).unwrap();
        assert_eq!(rows(&meta, T), expected);
        drop(meta);
        disk.crash(Crash::DropUnsynced);
    }
}

#[test]
fn an_unreadable_index_is_rebuilt() {
    let (disk, expected) = store();
    let bytes = disk.bytes(INDEX).unwrap();
    let noise: Vec<u8> = (0..bytes.len())
        .map(|at| at.to_le_bytes()[0] ^ 0x5a)
        .collect();
    for (what, damaged) in [
        ("noise", noise),
        ("empty", Vec::new()),
        ("short", bytes[..5000].to_vec()),
        ("zeros", vec![0; bytes.len()]),
        (
            "no header",
            [vec![7; 4096], bytes[4096..].to_vec()].concat(),
        ),
    ] {
        let disk = disk.fork();
        disk.overwrite(INDEX, damaged);
        let meta = open_meta(&disk, MANUAL).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(rows(&meta, T), expected, "{what}");
    }
}

#[test]
fn without_snapshots_the_journal_is_enough() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    (0..100).for_each(|number| put(&meta, number));
    meta.checkpoint().unwrap();
    let expected = rows(&meta, T);
    drop(meta);
    disk.remove(INDEX);
    assert_eq!(rows(&open_meta(&disk, MANUAL).unwrap(), T), expected);
}

#[test]
fn snapshots_bound_the_journal() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, SMALL).unwrap();
    for number in 0..3000 {
        put(&meta, number);
    }
    meta.checkpoint().unwrap();
    drop(meta);
    // 3,000 commits of 300 bytes are 900 KiB of journal.
    let journal: usize = files(&disk, "journal/")
        .iter()
        .map(|path| disk.bytes(path).unwrap().len())
        .sum();
    assert!(journal < 200 << 10, "{journal} bytes of journal are left");
    assert_eq!(files(&disk, "snapshot/").len(), 1);
    disk.remove(INDEX);
    assert_eq!(rows(&open_meta(&disk, SMALL).unwrap(), T).len(), 5);
}

#[test]
fn other_keys_open_nothing_and_change_nothing() {
    use std::sync::Arc;
    let (disk, expected) = store();
    let entropy = Arc::new(crate::common::Counting::from(99));
    let (other, _) = strongroom_crypto::Keyring::create(
        strongroom_types::Timestamp::from_seconds(0),
        entropy.as_ref(),
    );
    let outcome = DurableMeta::open(Arc::new(disk.clone()), Arc::new(other), entropy, MANUAL);
    assert!(matches!(outcome.err(), Some(StoreError::Damaged(_))));
    disk.crash(Crash::DropUnsynced);
    assert_eq!(rows(&open_meta(&disk, MANUAL).unwrap(), T), expected);
}

#[test]
fn a_flipped_byte_in_the_journal_is_refused_or_cuts_the_last_frame_only() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    (0..39).for_each(|number| put(&meta, number));
    let before_last = rows(&meta, T);
    put(&meta, 39);
    let expected = rows(&meta, T);
    drop(meta);
    disk.crash(Crash::Killed);
    disk.remove(INDEX);
    let files = files(&disk, "journal/");
    assert!(files.len() > 1, "several files");
    let (mut refused, mut cut, mut harmless) = (0, 0, 0);
    for path in &files {
        let bytes = disk.bytes(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for at in 0..used {
            let disk = disk.fork();
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            disk.overwrite(path, damaged);
            match open_meta(&disk, MANUAL) {
                Err(StoreError::Damaged(_)) => refused += 1,
                Err(other) => panic!("{path} at {at}: {other}"),
                Ok(meta) => {
                    let found = rows(&meta, T);
                    if found == expected {
                        harmless += 1;
                    } else {
                        assert_eq!(found, before_last, "{path} at {at}");
                        cut += 1;
                    }
                }
            }
        }
    }
    // Padding is not covered by anything, and holds nothing.
    assert!(harmless <= 40 * 15, "{harmless} flips were not noticed");
    assert!(cut <= 400, "{cut} flips cut the journal");
    assert!(refused > 10_000, "{refused} flips were refused");
}

#[test]
fn a_missing_or_swapped_journal_file_is_refused() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    (0..80).for_each(|number| put(&meta, number));
    drop(meta);
    disk.remove(INDEX);
    let files = files(&disk, "journal/");
    assert!(files.len() >= 3, "several files");
    for path in &files[..files.len() - 1] {
        let disk = disk.fork();
        disk.remove(path);
        let outcome = open_meta(&disk, MANUAL);
        assert!(
            matches!(outcome.err(), Some(StoreError::Damaged(_))),
            "{path}"
        );
    }
    let swapped = disk.fork();
    swapped.overwrite(&files[0], disk.bytes(&files[1]).unwrap());
    assert!(open_meta(&swapped, MANUAL).is_err());
    // Zeros where a frame was are no clean end if frames follow.
    let zeroed = disk.fork();
    let mut bytes = disk.bytes(&files[1]).unwrap();
    bytes[512..1024].fill(0);
    zeroed.overwrite(&files[1], bytes);
    assert!(open_meta(&zeroed, MANUAL).is_err());
}

#[test]
fn a_journal_that_ends_before_the_index_is_refused() {
    let (disk, _) = store();
    let last = files(&disk, "journal/").pop().unwrap();
    let older = {
        let disk = disk.fork();
        for path in files(&disk, "journal/") {
            disk.remove(&path);
        }
        disk
    };
    assert!(open_meta(&older, MANUAL).is_err(), "no journal at all");
    disk.remove(&last);
    // Either the rest ends before the index, or commits behind it are silently gone: only an anchor
    // outside the disk could tell the latter.
    if let Ok(meta) = open_meta(&disk, MANUAL) {
        assert!(rows(&meta, T).len() >= 5);
    }
}

#[test]
fn a_flipped_byte_in_a_snapshot_is_refused() {
    let (disk, _) = store();
    disk.remove(INDEX);
    let path = files(&disk, "snapshot/").pop().unwrap();
    let bytes = disk.bytes(&path).unwrap();
    let mut noticed = 0;
    for at in (0..bytes.len()).step_by(7) {
        let disk = disk.fork();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        disk.overwrite(&path, damaged);
        noticed += usize::from(open_meta(&disk, MANUAL).is_err());
    }
    assert!(
        noticed * 7 + 7 * 8 > bytes.len(),
        "{noticed} of {}",
        bytes.len() / 7
    );
}

#[test]
fn a_bit_flipped_in_the_index_is_no_wrong_row() {
    let (disk, expected) = store();
    let bytes = disk.bytes(INDEX).unwrap();
    let mut damaged_reads = 0;
    for at in (5000..bytes.len()).step_by(bytes.len() / 300) {
        let disk = disk.fork();
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        disk.overwrite(INDEX, damaged);
        let Ok(meta) = open_meta(&disk, MANUAL) else {
            continue;
        };
        for (key, value) in &expected {
            match meta.read(T, key) {
                Ok(Some(stored)) => assert_eq!(stored.value, *value, "at {at}"),
                Ok(None) => panic!("a row is hidden by damage at {at}"),
                Err(_) => damaged_reads += 1,
            }
        }
    }
    assert!(damaged_reads < 300 * 5);
}

#[test]
fn damaged_pages_of_the_index_are_errors_and_never_panics() {
    let (disk, expected) = store();
    let bytes = disk.bytes(INDEX).unwrap();
    let mut opened = 0;
    for (round, at) in (4096..bytes.len()).step_by(1040).enumerate() {
        let end = (at + 16 + round % 3 * 700).min(bytes.len());
        // Pages that were never written are of no interest.
        if bytes[at..end].iter().all(|byte| *byte == 0) {
            continue;
        }
        let disk = disk.fork();
        let mut damaged = bytes.clone();
        damaged[at..end].fill(0xA5);
        disk.overwrite(INDEX, damaged);
        let Ok(meta) = open_meta(&disk, MANUAL) else {
            continue;
        };
        opened += 1;
        for reverse in [false, true] {
            let scan = strongroom_ports::Scan {
                table: T,
                start: bytes::Bytes::new(),
                end: None,
                limit: 1000,
                reverse,
            };
            if let Ok(page) = meta.scan(&scan) {
                assert_eq!(page.rows.len(), expected.len(), "at {at}");
            }
        }
        for (key, value) in &expected {
            if let Ok(stored) = meta.read(T, key) {
                assert_eq!(stored.unwrap().value, *value, "at {at}");
                continue;
            }
            // A page that does not open: the read is refused, and so is a condition on it.
            let key = bytes::Bytes::copy_from_slice(key);
            let transaction = Transaction::new().expect(T, key, None).put(T, "other", "x");
            let outcome = meta.commit(transaction).wait();
            assert!(
                matches!(outcome, Err(CommitError::Unreadable(_))),
                "{outcome:?}"
            );
        }
        // Reading may fail; that alone does not end the store.
        assert_eq!(meta.stopped(), None, "at {at}");
        // What the engine makes of it while it writes is a failure, and not a panic.
        let _ = meta.snapshot();
        drop(meta);
        open_meta(&disk, MANUAL).err();
    }
    assert!(opened > 0, "an index that is damaged is made anew");
}

#[test]
fn neither_keys_nor_values_can_be_read_on_the_disk() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    let blobs = open_blobs(&disk).unwrap();
    for round in 0..6 {
        for number in 0..40 {
            let transaction = Transaction::new()
                .put(T, format!("canary-in-a-key/{round}/{number}"), "x")
                .put(
                    T,
                    format!("{round}/{number}"),
                    "canary-in-a-value".repeat(9),
                );
            meta.commit(transaction).wait().unwrap();
        }
        match round {
            1 | 4 => meta.checkpoint().unwrap(),
            2 => meta.snapshot().unwrap(),
            _ => {}
        }
    }
    drop((meta, blobs));
    let paths = disk.paths();
    for kind in ["journal/", "snapshot/", INDEX] {
        assert!(paths.iter().any(|path| path.starts_with(kind)), "{kind}");
    }
    for path in paths {
        let bytes = disk.bytes(&path).unwrap();
        for canary in [&b"canary"[..], b"in-a-key", b"in-a-value"] {
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary),
                "{path} shows {}",
                String::from_utf8_lossy(canary)
            );
        }
    }
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    use strongroom_store::disk::Disk;
    let (disk, expected) = store();
    let blobs = open_blobs(&disk).unwrap();
    drop(blobs);
    for path in ["snapshot/new.tmp", "index.srx.new", "staging/00"] {
        disk.create(path).unwrap().write_at(0, b"rest").unwrap();
    }
    let meta = open_meta(&disk, MANUAL).unwrap();
    let blobs = open_blobs(&disk).unwrap();
    assert_eq!(rows(&meta, T), expected);
    assert_eq!(blobs.list(None, 10).unwrap(), []);
    for path in ["snapshot/new.tmp", "index.srx.new", "staging/00"] {
        assert!(disk.bytes(path).is_none(), "{path}");
    }
}
