//! What was acknowledged survives; what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::common::{MANUAL, SMALL, open_blobs, open_meta, rows, seeds};
use bytes::Bytes;
use strongroom_ports::{BlobError, BlobStore, CommitError, MetaStore, Table, Transaction, Write};
use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};
use strongroom_store::{DurableMeta, FileBlobs, MetaOptions, StoreError};
use strongroom_types::BlobId;

/// It is behind the other one, whose rows are in the index when these are still on their way.
const T: Table = Table::ACCESS_LOGS;
/// Its rows are written once.
const ONCE: Table = Table::AUDIT;
const STEPS: u32 = 36;

/// What goes into the index goes in several steps; nothing happens by itself, as with [`MANUAL`].
const STEPPED: MetaOptions = MetaOptions {
    memtable_bytes: 64 << 10,
    ..MANUAL
};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a client knows after a run.
#[derive(Default)]
struct Knowledge {
    acknowledged: Model,
    /// A transaction whose outcome nobody told.
    unknown: Option<Transaction>,
    blobs: BTreeMap<BlobId, Vec<u8>>,
    unknown_blobs: BTreeMap<BlobId, Vec<u8>>,
    full: bool,
}

fn apply(model: &mut Model, transaction: &Transaction) {
    for write in &transaction.writes {
        match write {
            Write::Put { key, value, .. } => {
                model.insert(key.to_vec(), value.to_vec());
            }
            Write::Delete { key, .. } => {
                model.remove(key.as_ref());
            }
        }
    }
}

/// Two rows that always change together, and one that comes once and goes for ever, before it is in
/// the index or after.
fn transaction(step: u32) -> Transaction {
    let value = Bytes::from(format!("{step:08}").repeat(70));
    let slot = step % 7;
    let mut transaction = Transaction::new()
        .put(T, format!("left{slot}"), value.clone())
        .put(T, format!("right{slot}"), value)
        .put(ONCE, format!("row{step:04}"), "stays");
    if step >= 3 {
        transaction = transaction.delete(ONCE, format!("row{:04}", step - 3));
    }
    transaction
}

fn blob(step: u32) -> (BlobId, Vec<u8>) {
    let mut id = [0; 16];
    id[0] = u8::try_from(step % 3).unwrap();
    id[12..].copy_from_slice(&step.to_be_bytes());
    (BlobId::from_bytes(id), step.to_be_bytes().repeat(400))
}

fn write_blob(blobs: &FileBlobs, id: BlobId, bytes: &[u8]) -> Result<(), BlobError> {
    let mut writer = blobs.create(id, 0)?;
    writer.write(bytes)?;
    writer.finish()
}

/// Runs the script until it ends or the store stops.
fn run(disk: &SimDisk) -> Knowledge {
    let mut knows = Knowledge::default();
    let Ok(meta) = open_meta(disk, STEPPED) else {
        return knows;
    };
    let Ok(blobs) = open_blobs(disk) else {
        return knows;
    };
    for step in 0..STEPS {
        let transaction = transaction(step);
        match meta.commit(transaction.clone()).wait() {
            Ok(_) => apply(&mut knows.acknowledged, &transaction),
            Err(CommitError::NoSpace) => knows.full = true,
            Err(CommitError::Failed(_)) => {
                knows.unknown = Some(transaction);
                break;
            }
            Err(other) => panic!("{other}"),
        }
        if step % 5 == 1 {
            let (id, bytes) = blob(step);
            match write_blob(&blobs, id, &bytes) {
                Ok(()) => {
                    knows.blobs.insert(id, bytes);
                }
                Err(BlobError::NoSpace) => {
                    knows.full = true;
                    assert!(matches!(blobs.open(id), Err(BlobError::NotFound(_))));
                }
                Err(_) => {
                    knows.unknown_blobs.insert(id, bytes);
                }
            }
        }
        let upkeep = match step % 12 {
            4 | 9 => meta.checkpoint(),
            7 => meta.snapshot(),
            _ => Ok(()),
        };
        match upkeep {
            Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                knows.full = true;
            }
            // The next commit tells whether the store goes on.
            Ok(()) | Err(_) => {}
        }
        // Reads go on whatever happened to writes.
        let found = contents(&meta);
        for (key, value) in &knows.acknowledged {
            assert_eq!(found.get(key), Some(value));
        }
    }
    knows
}

fn contents(meta: &DurableMeta) -> Model {
    let once = rows(meta, ONCE);
    rows(meta, T).into_iter().chain(once).collect()
}

/// Opens what is left and compares.
fn verify(disk: &SimDisk, knows: &Knowledge, what: &str) {
    let meta = open_meta(disk, STEPPED).unwrap_or_else(|error| panic!("{what}: {error}"));
    let blobs = open_blobs(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&meta);
    let mut with_unknown = knows.acknowledged.clone();
    if let Some(transaction) = &knows.unknown {
        apply(&mut with_unknown, transaction);
    }
    assert!(
        found == knows.acknowledged || found == with_unknown,
        "{what}: {} rows instead of {} or {}",
        found.len(),
        knows.acknowledged.len(),
        with_unknown.len()
    );
    for (id, bytes) in knows.blobs.iter().chain(&knows.unknown_blobs) {
        match blobs.open(*id) {
            Ok(reader) => {
                let mut out = vec![0; usize::try_from(reader.len_bytes()).unwrap()];
                reader.read_at(0, &mut out).unwrap();
                assert_eq!(out, *bytes, "{what}: blob {id} is not whole");
            }
            Err(error) => assert!(!knows.blobs.contains_key(id), "{what}: blob {id}: {error}"),
        }
    }
    for id in blobs.list(None, 1000).unwrap() {
        assert!(
            knows.blobs.contains_key(&id) || knows.unknown_blobs.contains_key(&id),
            "{what}"
        );
    }
    // It goes on from there, and that lasts, too.
    let more = Transaction::new().put(T, "after", "crash");
    meta.commit(more.clone()).wait().unwrap();
    let mut after = found;
    apply(&mut after, &more);
    drop(meta);
    disk.crash(Crash::DropUnsynced);
    let meta = open_meta(disk, MANUAL).unwrap_or_else(|error| panic!("{what}, twice: {error}"));
    assert_eq!(contents(&meta), after, "{what}: a second crash");
    // The index may be lost at any time.
    drop(meta);
    disk.crash(Crash::DropUnsynced);
    disk.remove("index.srx");
    let meta = open_meta(disk, MANUAL).unwrap_or_else(|error| panic!("{what}, rebuilt: {error}"));
    assert_eq!(contents(&meta), after, "{what}: the index was lost");
}

fn plan(disk: &SimDisk, at_operation: u64, kind: FaultKind, sticky: bool) {
    disk.set_fault(Some(Fault {
        at_operation,
        kind,
        sticky,
    }));
}

fn operations_of_the_script() -> u64 {
    let disk = SimDisk::new();
    let knows = run(&disk);
    assert_eq!(knows.acknowledged.len(), 7 * 2 + 3);
    let operations = disk.operations();
    assert!(operations > 500, "{operations}");
    operations
}

#[test]
fn power_may_go_at_every_operation() {
    for operation in 0..operations_of_the_script() {
        let crashes = [
            Crash::Killed,
            Crash::DropUnsynced,
            Crash::Torn { seed: operation },
        ];
        let disk = SimDisk::new();
        plan(&disk, operation, FaultKind::PowerOff, true);
        let knows = run(&disk);
        for crash in crashes {
            let disk = disk.fork();
            disk.crash(crash);
            verify(&disk, &knows, &format!("{crash:?} at {operation}"));
        }
    }
}

/// The store on the disk is whole, and goes on, whichever operation failed in that way.
fn any_operation_may_fail(kind: FaultKind, sticky: bool) {
    for operation in 0..operations_of_the_script() {
        let disk = SimDisk::new();
        plan(&disk, operation, kind, sticky);
        let knows = run(&disk);
        for crash in [Crash::Killed, Crash::DropUnsynced] {
            let disk = disk.fork();
            disk.crash(crash);
            let what = format!("{kind:?} {sticky} at {operation}, {crash:?}");
            verify(&disk, &knows, &what);
        }
    }
}

#[test]
fn any_operation_may_fail_with_eio() {
    any_operation_may_fail(FaultKind::Eio, false);
}

#[test]
fn all_operations_may_fail_with_eio_from_any_on() {
    any_operation_may_fail(FaultKind::Eio, true);
}

#[test]
fn any_write_may_stop_half_way() {
    any_operation_may_fail(FaultKind::ShortWrite, false);
}

#[test]
fn any_sync_may_find_no_room() {
    any_operation_may_fail(FaultKind::EnospcAtSync, false);
}

#[test]
fn all_syncs_may_find_no_room_from_any_on() {
    any_operation_may_fail(FaultKind::EnospcAtSync, true);
}

/// After a failed sync the kernel shows what is not on the disk. Who starts again while it does must
/// not cut the journal by it.
#[test]
fn what_a_failed_sync_left_to_be_seen_is_not_built_on() {
    for operation in 0..operations_of_the_script() {
        for (kind, sticky) in [
            (FaultKind::Eio, false),
            (FaultKind::Eio, true),
            (FaultKind::EnospcAtSync, true),
        ] {
            let what = format!("{kind:?} {sticky} at {operation}");
            let disk = SimDisk::new();
            plan(&disk, operation, kind, sticky);
            drop(run(&disk));
            disk.crash(Crash::Killed);
            let meta = open_meta(&disk, STEPPED).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = contents(&meta);
            meta.snapshot().unwrap();
            drop(meta);
            disk.crash(Crash::DropUnsynced);
            let meta = open_meta(&disk, STEPPED).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(contents(&meta), found, "{what}");
            meta.snapshot().unwrap();
        }
    }
}

#[test]
fn a_full_disk_is_survived_without_restart() {
    for operation in 0..operations_of_the_script() {
        for sticky in [false, true] {
            let what = format!("ENOSPC {sticky} at {operation}");
            let disk = SimDisk::new();
            plan(&disk, operation, FaultKind::Enospc, sticky);
            let knows = run(&disk);
            assert!(knows.unknown.is_none(), "{what}: a full disk is no failure");
            disk.crash(Crash::DropUnsynced);
            verify(&disk, &knows, &what);
        }
    }
}

/// The row is in the index, whose position does not say so; and its deletion is in the journal only.
#[test]
fn a_row_that_is_gone_does_not_come_back_with_half_a_step_of_the_index() {
    let mut half = 0;
    for behind in 0..60 {
        let disk = SimDisk::new();
        let meta = open_meta(&disk, STEPPED).unwrap();
        let mut all = Transaction::new().put(ONCE, "once", "x");
        for number in 0..20 {
            all = all.put(T, format!("{number}"), vec![7; 1000]);
        }
        meta.commit(all).wait().unwrap();
        plan(&disk, disk.operations() + behind, FaultKind::Enospc, false);
        half += usize::from(meta.checkpoint().is_err());
        disk.set_fault(None);
        let gone = Transaction::new().delete(ONCE, "once");
        meta.commit(gone).wait().unwrap();
        drop(meta);
        disk.crash(Crash::Killed);
        let meta = open_meta(&disk, STEPPED).unwrap();
        assert!(rows(&meta, ONCE).is_empty(), "{behind} operations later");
        meta.checkpoint().unwrap();
        assert!(rows(&meta, ONCE).is_empty(), "{behind} operations later");
    }
    assert!(half > 20, "{half}");
}

#[test]
fn commits_go_on_once_there_is_space_again() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    meta.commit(transaction(0)).wait().unwrap();
    plan(&disk, disk.operations(), FaultKind::Enospc, true);
    let mut refused = 0;
    for step in 1..20 {
        match meta.commit(transaction(step)).wait() {
            Err(CommitError::NoSpace) => refused += 1,
            Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
        let _ = meta.checkpoint();
    }
    assert!(refused > 10, "{refused}");
    disk.set_fault(None);
    meta.commit(transaction(30)).wait().unwrap();
    meta.checkpoint().unwrap();
    meta.snapshot().unwrap();
    let before = contents(&meta);
    drop(meta);
    disk.crash(Crash::DropUnsynced);
    assert_eq!(contents(&open_meta(&disk, MANUAL).unwrap()), before);
}

#[test]
fn below_the_floor_only_deletions_are_taken() {
    let disk = SimDisk::new();
    let options = MetaOptions {
        floor_bytes: 1 << 20,
        ..MANUAL
    };
    let meta = open_meta(&disk, options).unwrap();
    meta.commit(transaction(0)).wait().unwrap();
    disk.set_capacity(Some(1 << 20));
    assert_eq!(
        meta.commit(transaction(1)).wait(),
        Err(CommitError::NoSpace)
    );
    // A removal leaves a note for the collector, and makes another version current.
    let deletion = Transaction::new()
        .delete(T, "left0")
        .put(Table::GARBAGE, "blob", "x")
        .put(Table::CURRENT, "key", "x");
    meta.commit(deletion).wait().unwrap();
    assert!(meta.read(T, b"left0").unwrap().is_none());
    assert!(meta.read(T, b"right0").unwrap().is_some());
    disk.set_capacity(None);
    meta.commit(transaction(1)).wait().unwrap();
}

#[test]
fn below_the_floor_what_takes_away_may_use_half_of_it() {
    let disk = SimDisk::new();
    let options = MetaOptions {
        floor_bytes: 64 << 20,
        ..MANUAL
    };
    let meta = open_meta(&disk, options).unwrap();
    meta.commit(transaction(0)).wait().unwrap();
    let put = || Transaction::new().put(T, "state", "disabled");
    disk.set_capacity(Some(60 << 20));
    assert_eq!(meta.commit(put()).wait(), Err(CommitError::NoSpace));
    meta.commit(put().taking_away()).wait().unwrap();
    assert!(meta.read(T, b"state").unwrap().is_some());
    // The rest is for deletions.
    disk.set_capacity(Some(30 << 20));
    assert_eq!(
        meta.commit(put().taking_away()).wait(),
        Err(CommitError::NoSpace)
    );
    let deletion = Transaction::new().delete(T, "state");
    meta.commit(deletion).wait().unwrap();
    assert!(meta.read(T, b"state").unwrap().is_none());
}

#[test]
fn below_the_floor_records_of_the_trail_may_use_a_quarter_of_it() {
    let disk = SimDisk::new();
    let options = MetaOptions {
        floor_bytes: 64 << 20,
        ..MANUAL
    };
    let meta = open_meta(&disk, options).unwrap();
    meta.commit(transaction(0)).wait().unwrap();
    let event = || Transaction::new().put(Table::AUDIT, "event", "x");
    let take_away = || Transaction::new().put(T, "state", "disabled").taking_away();
    disk.set_capacity(Some(60 << 20));
    meta.commit(event()).wait().unwrap();
    let step = event()
        .put(Table::AUDIT_LEDGER, "batch", "x")
        .delete(Table::AUDIT, "old");
    meta.commit(step).wait().unwrap();
    // With anything else in it, it is a change like any other.
    let change = event().put(T, "state", "new");
    assert_eq!(meta.commit(change).wait(), Err(CommitError::NoSpace));
    disk.set_capacity(Some(47 << 20));
    assert_eq!(meta.commit(event()).wait(), Err(CommitError::NoSpace));
    meta.commit(take_away()).wait().unwrap();
    disk.set_capacity(None);
    meta.commit(event()).wait().unwrap();
}

#[test]
fn a_failed_sync_stops_the_store_and_is_not_tried_again() {
    let disk = SimDisk::new();
    let meta = open_meta(&disk, MANUAL).unwrap();
    meta.commit(transaction(0)).wait().unwrap();
    // The next commit is a write and a sync.
    plan(&disk, disk.operations() + 1, FaultKind::Eio, false);
    assert!(matches!(
        meta.commit(transaction(1)).wait(),
        Err(CommitError::Failed(_))
    ));
    let operations = disk.operations();
    assert!(matches!(
        meta.commit(transaction(2)).wait(),
        Err(CommitError::Failed(_))
    ));
    assert_eq!(disk.operations(), operations, "nothing is written any more");
    assert!(meta.stopped().is_some());
    assert!(meta.read(T, b"left0").unwrap().is_some(), "reads go on");
    assert!(meta.read(T, b"left1").unwrap().is_none());
}

#[test]
fn a_failed_sync_poisons_the_blobs() {
    let disk = SimDisk::new();
    let blobs = open_blobs(&disk).unwrap();
    let (first, bytes) = blob(1);
    write_blob(&blobs, first, &bytes).unwrap();
    // Create, write, sync.
    plan(&disk, disk.operations() + 2, FaultKind::Eio, false);
    let (second, bytes) = blob(2);
    assert!(matches!(
        write_blob(&blobs, second, &bytes),
        Err(BlobError::Poisoned)
    ));
    assert!(matches!(blobs.open(second), Err(BlobError::NotFound(_))));
    assert!(matches!(blobs.create(second, 0), Err(BlobError::Poisoned)));
    blobs.open(first).unwrap();
    assert_eq!(
        disk.paths()
            .iter()
            .filter(|path| path.starts_with("staging/"))
            .count(),
        0
    );
}

#[test]
fn concurrent_clients_survive_random_crashes() {
    const CLIENTS: usize = 4;
    for seed in seeds(1) {
        let disk = SimDisk::new();
        // What each client was told last.
        let mut told = [0_u64; CLIENTS];
        for round in 0..3 {
            let meta = open_meta(&disk, SMALL).unwrap();
            let found: Vec<u64> = (0..CLIENTS).map(|client| counter(&meta, client)).collect();
            for (client, (found, told)) in found.iter().zip(told).enumerate() {
                assert!(
                    *found == told || *found == told + 1,
                    "seed {seed}, round {round}, client {client}: {found} after {told}"
                );
            }
            // A number in 20..120, spread by the seed.
            let until = 20 + (seed * 7919 + round * 104_729) % 100;
            plan(&disk, disk.operations() + until, FaultKind::PowerOff, true);
            let answers: [AtomicU64; CLIENTS] = std::array::from_fn(|client| found[client].into());
            thread::scope(|scope| {
                for (client, answer) in answers.iter().enumerate() {
                    let meta = &meta;
                    scope.spawn(move || {
                        for number in answer.load(Ordering::Relaxed) + 1.. {
                            if count(meta, client, number).is_err() {
                                break;
                            }
                            answer.store(number, Ordering::Relaxed);
                        }
                    });
                }
            });
            told = std::array::from_fn(|client| answers[client].load(Ordering::Relaxed));
            drop(meta);
            disk.crash(match seed % 4 {
                0 => Crash::DropUnsynced,
                1 => Crash::Killed,
                _ => Crash::Torn { seed },
            });
        }
    }
}

fn count(meta: &DurableMeta, client: usize, number: u64) -> Result<(), CommitError> {
    let value = Bytes::from(format!("{number}/{}", "x".repeat(300)));
    let transaction = Transaction::new()
        .put(T, format!("left{client}"), value.clone())
        .put(T, format!("right{client}"), value)
        .put(T, format!("log{client}/{number:06}"), "x".repeat(100));
    meta.commit(transaction).wait().map(drop)
}

fn counter(meta: &DurableMeta, client: usize) -> u64 {
    let read = |side: &str| -> u64 {
        meta.read(T, format!("{side}{client}").as_bytes())
            .unwrap()
            .map_or(0, |stored| {
                let text = String::from_utf8(stored.value.to_vec()).unwrap();
                text.split('/').next().unwrap().parse().unwrap()
            })
    };
    let (left, right) = (read("left"), read("right"));
    assert_eq!(left, right, "a transaction is there whole or not at all");
    let log = rows(meta, T)
        .iter()
        .filter(|(key, _)| key.starts_with(format!("log{client}/").as_bytes()))
        .count();
    assert_eq!(
        u64::try_from(log).unwrap(),
        left,
        "no commit in between is missing"
    );
    left
}

#[test]
fn concurrent_blobs_survive_random_crashes() {
    for seed in seeds(4) {
        let disk = SimDisk::new();
        let blobs = Arc::new(open_blobs(&disk).unwrap());
        plan(
            &disk,
            disk.operations() + 5 + seed % 97,
            FaultKind::PowerOff,
            true,
        );
        let finished: Vec<Vec<u32>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let blobs = Arc::clone(&blobs);
                    scope.spawn(move || {
                        (0..12)
                            .map(|round| client * 100 + round)
                            .take_while(|number| {
                                let (id, bytes) = blob(*number);
                                write_blob(&blobs, id, &bytes).is_ok()
                            })
                            .collect()
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect()
        });
        drop(blobs);
        disk.crash(Crash::Torn { seed });
        let blobs = open_blobs(&disk).unwrap();
        for number in finished.into_iter().flatten() {
            let (id, _) = blob(number);
            assert!(blobs.open(id).is_ok(), "seed {seed}: blob {number} is lost");
        }
        for id in blobs.list(None, 1000).unwrap() {
            let reader = blobs.open(id).unwrap();
            let mut out = vec![0; usize::try_from(reader.len_bytes()).unwrap()];
            reader.read_at(0, &mut out).unwrap();
            let number = u32::from_be_bytes(id.as_bytes()[12..].try_into().unwrap());
            assert_eq!(out, blob(number).1, "seed {seed}: a torn blob");
        }
    }
}

const FROM: usize = 3000;

/// A disk with one blob, and that blob's stream and tail.
fn disk_with_tail() -> (SimDisk, BlobId, Vec<u8>) {
    let disk = SimDisk::new();
    let id = BlobId::from_bytes([7; 16]);
    let blobs = open_blobs(&disk).unwrap();
    let bytes: Vec<u8> = (0..FROM + 1100)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    write_blob(&blobs, id, &bytes).unwrap();
    (disk, id, bytes)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn path_of(disk: &SimDisk) -> String {
    let mut paths = disk.paths().into_iter();
    paths.find(|path| path.starts_with("blobs/")).unwrap()
}

/// Replaces the tail with a fault at each operation, crashes, and does it again.
fn replace_tail_with(kind: FaultKind, crash: Option<Crash>, tail: &[u8]) {
    let from = u64::try_from(FROM).unwrap();
    for step in 0.. {
        let (disk, id, before) = disk_with_tail();
        let blobs = open_blobs(&disk).unwrap();
        let (stream, old) = before.split_at(FROM);
        let expected = [stream, tail].concat();
        disk.set_fault(Some(Fault {
            at_operation: disk.operations() + step,
            kind,
            sticky: false,
        }));
        let outcome = blobs.replace_tail(id, from, tail);
        disk.set_fault(None);
        if let Some(crash) = crash {
            disk.crash(crash);
        }
        let what = format!("{kind:?} at {step}, {crash:?}, {} bytes", tail.len());
        let bytes = disk.bytes(&path_of(&disk)).unwrap();
        if outcome.is_ok() {
            assert!(bytes == expected, "{what}: done and not durable");
            assert!(step > 4, "{what}: faults were met");
            return;
        }
        let behind = bytes.strip_prefix(stream);
        let behind = behind.unwrap_or_else(|| panic!("{what}: the stream has changed"));
        assert!(
            contains(behind, old) || contains(behind, tail),
            "{what}: neither tail is whole"
        );
        let blobs = open_blobs(&disk).unwrap();
        blobs.replace_tail(id, from, tail).unwrap();
        let bytes = disk.bytes(&path_of(&disk)).unwrap();
        assert!(bytes == expected, "{what}: not completed");
        disk.crash(Crash::DropUnsynced);
        let bytes = disk.bytes(&path_of(&disk)).unwrap();
        assert!(bytes == expected, "{what}: completed and not durable");
    }
}

#[test]
fn a_replaced_tail_is_the_old_or_the_new_one_whatever_fails() {
    for len in [1500, 1100, 600] {
        let tail: Vec<u8> = (0..len).map(|at| u8::try_from(at % 241).unwrap()).collect();
        for kind in [FaultKind::Eio, FaultKind::ShortWrite] {
            replace_tail_with(kind, None, &tail);
            replace_tail_with(kind, Some(Crash::DropUnsynced), &tail);
        }
        replace_tail_with(FaultKind::PowerOff, Some(Crash::Killed), &tail);
        replace_tail_with(FaultKind::PowerOff, Some(Crash::DropUnsynced), &tail);
        for seed in 0..60 {
            replace_tail_with(FaultKind::PowerOff, Some(Crash::Torn { seed }), &tail);
        }
    }
}

#[test]
fn an_old_tail_is_overwritten_before_its_blocks_are_given_back() {
    let from = u64::try_from(FROM).unwrap();
    for len in [1500, 1100, 600] {
        let tail = vec![0xAB; len];
        let (disk, id, before) = disk_with_tail();
        let started = disk.operations();
        let trial = disk.fork();
        let blobs = open_blobs(&trial).unwrap();
        blobs.replace_tail(id, from, &tail).unwrap();
        // The cut and its sync come last: power goes just before them.
        let cut = trial.operations() - 2;
        assert!(cut > started);
        let blobs = open_blobs(&disk).unwrap();
        disk.set_fault(Some(Fault {
            at_operation: cut,
            kind: FaultKind::PowerOff,
            sticky: false,
        }));
        assert!(blobs.replace_tail(id, from, &tail).is_err());
        disk.crash(Crash::DropUnsynced);
        let bytes = disk.bytes(&path_of(&disk)).unwrap();
        assert!(bytes.len() >= before.len(), "not cut yet");
        let (_, old) = before.split_at(FROM);
        assert!(
            old.windows(32)
                .all(|piece| !contains(&bytes[FROM..], piece)),
            "the old tail is still on the disk when the file is cut"
        );
    }
}

#[test]
fn a_tail_for_which_there_is_no_space_leaves_the_blob_as_it_was() {
    let (disk, id, before) = disk_with_tail();
    let blobs = open_blobs(&disk).unwrap();
    let length: usize = disk
        .paths()
        .iter()
        .map(|path| disk.bytes(path).unwrap().len())
        .sum();
    disk.set_capacity(Some(u64::try_from(length + 100).unwrap()));
    let from = u64::try_from(FROM).unwrap();
    let refused = blobs.replace_tail(id, from, &[1; 600]);
    assert!(matches!(refused, Err(BlobError::NoSpace)), "{refused:?}");
    assert!(disk.bytes(&path_of(&disk)).unwrap() == before);
    disk.set_capacity(None);
    blobs.replace_tail(id, from, &[1; 600]).unwrap();
}

#[test]
fn a_tail_whose_sync_fails_poisons_the_blobs() {
    let (disk, id, _) = disk_with_tail();
    let blobs = open_blobs(&disk).unwrap();
    disk.set_fault(Some(Fault {
        at_operation: disk.operations() + 1,
        kind: FaultKind::Eio,
        sticky: false,
    }));
    let outcome = blobs.replace_tail(id, 10, b"tail");
    assert!(matches!(outcome, Err(BlobError::Poisoned)), "{outcome:?}");
    let outcome = blobs.replace_tail(id, 10, b"tail");
    assert!(matches!(outcome, Err(BlobError::Poisoned)), "{outcome:?}");
}
