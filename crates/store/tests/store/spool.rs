//! Rows that live for a second, as the audit trail's spool has them, on disks that fail: each that was
//! acknowledged is in the spool, or was moved out of it once, and never both.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{Random, SMALL, open_meta, rows, seeds};
use strongroom_ports::{CommitError, MetaStore, Scan, Table, Transaction};
use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};
use strongroom_store::{DurableMeta, MetaOptions};

const SPOOL: Table = Table::AUDIT;
const LEDGER: Table = Table::AUDIT_LEDGER;
const OTHER: Table = Table::SETTINGS;
const HEAD: &str = "head";
const WRITERS: u64 = 4;
/// Rows of one writer in one round.
const ROWS: u64 = 40;
/// Rows that one step moves.
const STEP_ROWS: usize = 16;

/// What the writers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<String>,
    /// Of these the store has said that they are not there.
    refused: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Told {
    fn absorb(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
    }
}

/// Memtables so small that rows are moved before, while and after they go into the index; journal
/// files of one frame or two, and ones that are filled with zeros in several pieces.
fn options(random: &mut Random) -> MetaOptions {
    MetaOptions {
        journal_file_len_bytes: [2 << 10, 16 << 10, 2 << 20][random.below(3)],
        memtable_bytes: [1 << 10, 4 << 10, 64 << 10][random.below(3)],
        snapshot_after_bytes: [4 << 10, 32 << 10][random.below(2)],
        ..SMALL
    }
}

fn write(meta: &DurableMeta, ids: impl Iterator<Item = String>) -> Told {
    let mut told = Told::default();
    for (number, id) in ids.enumerate() {
        let mut transaction = Transaction::new().put(SPOOL, id.clone(), vec![7; number * 37 % 900]);
        if number % 3 == 0 {
            transaction = transaction.put(OTHER, format!("k{}", number % 5), id.clone());
        }
        match meta.commit(transaction).wait() {
            Ok(_) => told.acknowledged.insert(id),
            Err(CommitError::NoSpace | CommitError::Unreadable(_)) => told.refused.insert(id),
            Err(CommitError::Failed(_)) => told.unknown.insert(id),
            Err(other) => panic!("{other}"),
        };
    }
    told
}

/// Moves some rows as the ledger's step does. How many; nothing if it was disturbed or refused.
fn step(meta: &DurableMeta) -> Option<usize> {
    let head = meta.read(LEDGER, HEAD.as_bytes()).ok()?;
    let scan = Scan {
        table: SPOOL,
        start: bytes::Bytes::new(),
        end: None,
        limit: STEP_ROWS,
        reverse: false,
    };
    let page = meta.scan(&scan).ok()?;
    let (number, version) = head.map_or((0, None), |head| {
        let number = String::from_utf8(head.value.to_vec()).unwrap();
        (number.parse::<u64>().unwrap(), Some(head.version))
    });
    let ids: Vec<_> = page
        .rows
        .iter()
        .map(|row| String::from_utf8(row.key.to_vec()).unwrap())
        .collect();
    if ids.is_empty() {
        return Some(0);
    }
    let mut transaction = Transaction::new()
        .expect(LEDGER, HEAD, version)
        .put(LEDGER, format!("batch{number:06}"), ids.join(","))
        .put(LEDGER, HEAD, (number + 1).to_string());
    for id in &ids {
        transaction = transaction.delete(SPOOL, id.clone());
    }
    meta.commit(transaction).wait().ok()?;
    Some(ids.len())
}

/// Everything that is there, each once.
fn found(meta: &DurableMeta, what: &str) -> BTreeSet<String> {
    let mut ids: Vec<String> = Vec::new();
    let ledger = rows(meta, LEDGER);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for (place, (key, value)) in ledger.iter().enumerate() {
        if key == HEAD.as_bytes() {
            assert_eq!(text(value), (ledger.len() - 1).to_string(), "{what}");
        } else {
            assert_eq!(text(key), format!("batch{place:06}"), "{what}");
            ids.extend(text(value).split(',').map(str::to_owned));
        }
    }
    ids.extend(rows(meta, SPOOL).iter().map(|(key, _)| text(key)));
    let unique: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "{what}: a row is there twice");
    unique
}

fn check(meta: &DurableMeta, told: &Told, what: &str) {
    let found = found(meta, what);
    let lost: Vec<_> = told.acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} are lost");
    let back: Vec<_> = found.intersection(&told.refused).collect();
    assert!(back.is_empty(), "{what}: {back:?} were refused");
    for id in &found {
        let known = told.acknowledged.contains(id) || told.unknown.contains(id);
        assert!(known, "{what}: nobody wrote {id}");
    }
}

/// Writers, two that move rows, and one that moves what is committed into the index.
fn work(meta: &DurableMeta, seed: u64, round: u64) -> Told {
    let writing = AtomicUsize::new(usize::try_from(WRITERS).unwrap());
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let writing = &writing;
                scope.spawn(move || {
                    // In no order, as ids of several clients are.
                    let id = |n: u64| format!("{:02}-{round}-{writer}-{n}", (n * 7 + writer) % 60);
                    let told = write(meta, (0..ROWS).map(id));
                    writing.fetch_sub(1, Ordering::Release);
                    told
                })
            })
            .collect();
        for mover in 0..2 {
            let writing = &writing;
            scope.spawn(move || {
                let mut random = Random::new(seed ^ (mover << 40));
                while writing.load(Ordering::Acquire) > 0 && meta.stopped().is_none() {
                    let _ = step(meta);
                    thread::yield_now();
                    if random.below(6) == 0 {
                        // Whether it works, the writers are told.
                        let _ = match random.below(2) {
                            0 => meta.checkpoint(),
                            _ => meta.snapshot(),
                        };
                    }
                }
            });
        }
        let mut told = Told::default();
        for writer in writers {
            told.absorb(writer.join().unwrap());
        }
        told
    })
}

fn faulty(random: &mut Random, disk: &SimDisk) -> Fault {
    let kinds = [
        FaultKind::PowerOff,
        FaultKind::PowerOff,
        FaultKind::Eio,
        FaultKind::ShortWrite,
        FaultKind::Enospc,
        FaultKind::EnospcAtSync,
    ];
    let soon = u64::try_from(random.below(400)).unwrap();
    Fault {
        at_operation: disk.operations() + soon,
        kind: kinds[random.below(kinds.len())],
        sticky: random.below(2) == 0,
    }
}

fn any_crash(random: &mut Random) -> Crash {
    match random.below(4) {
        0 => Crash::Killed,
        1 => Crash::DropUnsynced,
        _ => Crash::Torn {
            seed: random.next(),
        },
    }
}

#[test]
fn rows_that_live_for_a_second_are_moved_once_through_any_crash() {
    let (mut acknowledged, mut refused, mut unknown) = (0, 0, 0);
    for seed in seeds(5) {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let mut told = Told::default();
        for round in 0..4 {
            let what = format!("seed {seed}, round {round}");
            let options = options(&mut random);
            let meta = open_meta(&disk, options).unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&meta, &told, &what);
            let fault = faulty(&mut random, &disk);
            disk.set_fault(Some(fault));
            told.absorb(work(&meta, random.next(), round));
            if fault.kind == FaultKind::Enospc {
                disk.set_fault(None);
                meta.checkpoint()
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                let what = format!("{what}: there is space again");
                told.absorb(write(&meta, std::iter::once(format!("later-{round}"))));
                assert!(
                    told.acknowledged.contains(&format!("later-{round}")),
                    "{what}"
                );
                check(&meta, &told, &what);
            }
            drop(meta);
            disk.crash(any_crash(&mut random));
        }
        let what = format!("seed {seed}, at the end");
        let meta = open_meta(&disk, options(&mut random)).unwrap();
        check(&meta, &told, &what);
        while step(&meta).unwrap() > 0 {}
        assert!(rows(&meta, SPOOL).is_empty(), "{what}");
        if random.below(2) == 0 {
            meta.snapshot().unwrap();
        }
        drop(meta);
        disk.crash(Crash::DropUnsynced);
        if random.below(2) == 0 {
            disk.remove("index.srx");
        }
        let meta = open_meta(&disk, options(&mut random)).unwrap();
        assert!(rows(&meta, SPOOL).is_empty(), "{what}");
        check(&meta, &told, &what);
        acknowledged += told.acknowledged.len();
        refused += told.refused.len();
        unknown += told.unknown.len();
    }
    assert!(
        acknowledged > 0 && refused > 0 && unknown > 0,
        "{acknowledged} {refused} {unknown}"
    );
}

/// One row that comes and goes.
fn come_and_go(meta: &DurableMeta, number: u64) {
    let id = format!("{number:08}");
    let put = Transaction::new().put(SPOOL, id.clone(), vec![7; 1000]);
    meta.commit(put).wait().unwrap();
    meta.commit(Transaction::new().delete(SPOOL, id))
        .wait()
        .unwrap();
}

fn snapshots(disk: &SimDisk) -> usize {
    let paths = disk.paths();
    paths
        .iter()
        .filter(|path| path.starts_with("snapshot/"))
        .count()
}

#[test]
fn a_journal_of_rows_that_come_and_go_is_cut_although_they_fill_no_memory() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, SMALL).unwrap();
    let first = "journal/00000001.srj".to_owned();
    for number in 0.. {
        come_and_go(&meta, number);
        if !disk.paths().contains(&first) {
            return;
        }
        assert!(number < 200_000, "the first file stays for ever");
    }
}

#[test]
fn a_snapshot_is_due_by_what_is_in_the_index_or_by_twice_as_much_in_the_journal() {
    let options = MetaOptions {
        journal_file_len_bytes: 1 << 20,
        memtable_bytes: 64 << 20,
        snapshot_after_bytes: 64 << 10,
        ..SMALL
    };
    let disk = SimDisk::new();
    let meta = open_meta(&disk, options).unwrap();
    for number in 0..80 {
        let put = Transaction::new().put(OTHER, format!("{number}"), vec![7; 1000]);
        meta.commit(put).wait().unwrap();
    }
    meta.checkpoint().unwrap();
    assert_eq!(snapshots(&disk), 1, "80 KiB are in the index");

    let disk = SimDisk::new();
    let meta = open_meta(&disk, options).unwrap();
    (0..80).for_each(|number| come_and_go(&meta, number));
    meta.checkpoint().unwrap();
    assert_eq!(snapshots(&disk), 0, "nothing is in the index");
    (80..140).for_each(|number| come_and_go(&meta, number));
    meta.checkpoint().unwrap();
    assert_eq!(snapshots(&disk), 1, "140 KiB are in the journal");
}
