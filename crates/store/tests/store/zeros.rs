//! Journal files that are filled with zeros ahead of their frames, in several pieces.

use crate::common::{MANUAL, open_meta, rows};
use strongroom_ports::{CommitError, MetaStore, Table, Transaction};
use strongroom_store::MetaOptions;
use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};

const T: Table = Table::SETTINGS;
const COMMITS: u64 = 14;
const ROW_BYTES: usize = 24 << 10;

/// Frames of 24 KiB are written within zeros that are there, and such of 192 KiB across their end;
/// the files end, too.
const OPTIONS: MetaOptions = MetaOptions {
    journal_file_len_bytes: 384 << 10,
    ..MANUAL
};

const fn rows_of(number: u64) -> u64 {
    if number % 4 == 3 { 8 } else { 1 }
}

/// Commits: the numbers of those that were acknowledged, and of the first one of which nobody told.
fn run(disk: &SimDisk) -> (Vec<u64>, Option<u64>) {
    let mut acknowledged = Vec::new();
    let Ok(meta) = open_meta(disk, OPTIONS) else {
        return (acknowledged, None);
    };
    for number in 0..COMMITS {
        match meta.commit(commit(number)).wait() {
            Ok(_) => acknowledged.push(number),
            Err(CommitError::NoSpace) => {}
            Err(_) => return (acknowledged, Some(number)),
        }
    }
    (acknowledged, None)
}

fn commit(number: u64) -> Transaction {
    let byte = u8::try_from(number + 1).unwrap();
    (0..rows_of(number)).fold(Transaction::new(), |transaction, row| {
        transaction.put(T, format!("{number:02}/{row}"), vec![byte; ROW_BYTES])
    })
}

/// The numbers of the commits that are there, each whole.
fn found(disk: &SimDisk, what: &str) -> Vec<u64> {
    let meta = open_meta(disk, OPTIONS).unwrap_or_else(|error| panic!("{what}: {error}"));
    let rows = rows(&meta, T);
    let mut numbers: Vec<u64> = Vec::new();
    for (key, value) in &rows {
        let number = std::str::from_utf8(&key[..2]).unwrap().parse().unwrap();
        assert!(*value == vec![u8::try_from(number + 1).unwrap(); ROW_BYTES]);
        if numbers.last() != Some(&number) {
            numbers.push(number);
        }
    }
    let whole: u64 = numbers.iter().copied().map(rows_of).sum();
    assert_eq!(
        u64::try_from(rows.len()).unwrap(),
        whole,
        "{what}: a commit is there in part"
    );
    numbers
}

fn check(disk: &SimDisk, (acknowledged, unknown): &(Vec<u64>, Option<u64>), what: &str) {
    let found = found(disk, what);
    let with_unknown: Vec<u64> = acknowledged.iter().copied().chain(*unknown).collect();
    assert!(
        found == *acknowledged || found == with_unknown,
        "{what}: {found:?} of {acknowledged:?} and {unknown:?}"
    );
}

#[test]
fn zeros_ahead_take_nothing_away_whatever_fails() {
    let disk = SimDisk::new();
    let all: Vec<u64> = (0..COMMITS).collect();
    assert_eq!(run(&disk), (all.clone(), None));
    let files: Vec<Vec<u8>> = disk
        .paths()
        .iter()
        .filter_map(|path| path.starts_with("journal/").then(|| disk.bytes(path))?)
        .collect();
    assert!(files.len() > 2, "the frames fill files");
    let operations = disk.operations();
    disk.crash(Crash::DropUnsynced);
    assert_eq!(found(&disk, "without a fault"), all);
    for at_operation in 0..operations {
        for (kind, sticky) in [
            (FaultKind::PowerOff, true),
            (FaultKind::Eio, false),
            (FaultKind::ShortWrite, false),
            (FaultKind::Enospc, false),
            (FaultKind::Enospc, true),
            (FaultKind::EnospcAtSync, false),
        ] {
            let disk = SimDisk::new();
            disk.set_fault(Some(Fault {
                at_operation,
                kind,
                sticky,
            }));
            let told = run(&disk);
            let seeds = if kind == FaultKind::PowerOff {
                0..3
            } else {
                0..1
            };
            let torn = seeds.map(|seed| Crash::Torn {
                seed: seed * 1000 + at_operation,
            });
            for crash in [Crash::Killed, Crash::DropUnsynced].into_iter().chain(torn) {
                let what = format!("{kind:?} {sticky} at {at_operation}, {crash:?}");
                let disk = disk.fork();
                disk.crash(crash);
                check(&disk, &told, &what);
                // And what was found is found again.
                disk.crash(Crash::DropUnsynced);
                check(&disk, &told, &what);
            }
        }
    }
}
