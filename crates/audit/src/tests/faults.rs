//! The log on a disk that fails: what was answered has its record, once.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{CommitError, Entropy, MetaStore, PendingCommit, Table, Transaction};
use strongroom_rows::Custody;
use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};
use strongroom_store::{DurableMeta, MetaOptions};

use crate::fixture::{KEY_ARN, START, TestEntropy, World};
use crate::{EventId, Lane};

const LANE: Lane = Lane::Management;
const OPTIONS: MetaOptions = MetaOptions {
    journal_file_len_bytes: 16 << 10,
    memtable_bytes: 64 << 10,
    index_cache_bytes: 1 << 20,
    snapshot_after_bytes: 256 << 10,
    floor_bytes: 0,
};

static ENTROPY: LazyLock<Arc<TestEntropy>> = LazyLock::new(|| Arc::new(TestEntropy::new()));
static RING: LazyLock<Arc<Keyring<Unsealed>>> =
    LazyLock::new(|| Arc::new(Keyring::create(START, &**ENTROPY).0));

/// A process on `disk`; `None` if the disk does not let it start.
fn start(disk: &SimDisk, options: MetaOptions) -> Option<World> {
    let meta = DurableMeta::open(
        Arc::new(disk.clone()),
        RING.clone(),
        Arc::clone(&*ENTROPY) as Arc<dyn Entropy>,
        options,
    );
    let world = World::on(Arc::new(meta.ok()?) as Arc<dyn MetaStore>);
    Some(World {
        custody: Arc::new(Custody::new(Arc::clone(&RING))),
        entropy: Arc::clone(&*ENTROPY) as _,
        ..world
    })
}

/// What happens: uses of keys, a change with its event, and steps of the ledger now and then. The
/// answered ones are added to `answered`.
fn history(world: &World, answered: &mut BTreeSet<EventId>) {
    for n in 0..14 {
        let event = world.decrypt(KEY_ARN);
        let receipt = if n % 3 == 0 {
            let change = Transaction::new().put(Table::SETTINGS, format!("k{n}"), "v");
            world.meta.commit(world.log().add(change, &event))
        } else {
            world.log().append(std::slice::from_ref(&event))
        };
        if PendingCommit::wait(receipt).is_ok() {
            answered.insert(event.id);
        }
        world.pass(300);
        if n % 4 == 3 {
            // Whether it works is of no consequence for any answer.
            drop(world.ledger().step(LANE, world.now(), false));
        }
    }
}

fn check(world: &World, answered: &BTreeSet<EventId>, what: &str) {
    while world.ledger().step(LANE, world.now(), true).unwrap().count > 0 {}
    let events = world.events(LANE);
    let found: BTreeSet<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(found.len(), events.len(), "{what}: none is doubled");
    assert!(answered.is_subset(&found), "{what}: none is lost");
    let report = world.ledger().verify(LANE, &[]).unwrap();
    assert!(report.is_whole(), "{what}: {report:?}");
    assert_eq!(report.waiting, 0);
}

#[test]
fn an_answered_use_has_its_record_after_any_fault_and_any_crash() {
    let disk = SimDisk::new();
    drop(start(&disk, OPTIONS).unwrap());
    let base = disk.operations();
    let whole = disk.fork();
    let mut answered = BTreeSet::new();
    history(&start(&whole, OPTIONS).unwrap(), &mut answered);
    assert_eq!(answered.len(), 14);
    let operations = whole.operations();
    let mut lost = 0;
    for at_operation in (base..operations).step_by(3) {
        for kind in [
            FaultKind::Eio,
            FaultKind::Enospc,
            FaultKind::ShortWrite,
            FaultKind::PowerOff,
        ] {
            let disk = disk.fork();
            let sticky = at_operation % 2 == 0;
            disk.set_fault(Some(Fault {
                at_operation,
                kind,
                sticky,
            }));
            let mut answered = BTreeSet::new();
            if let Some(world) = start(&disk, OPTIONS) {
                history(&world, &mut answered);
            }
            lost += 14 - answered.len();
            let crash = match at_operation % 3 {
                0 => Crash::Killed,
                1 => Crash::DropUnsynced,
                _ => Crash::Torn { seed: at_operation },
            };
            disk.crash(crash);
            let world = start(&disk, OPTIONS).unwrap();
            check(
                &world,
                &answered,
                &format!("{at_operation} {kind:?} {crash:?}"),
            );
        }
    }
    assert!(lost > 0, "faults were hit");
}

#[test]
fn on_a_full_disk_records_have_a_reserve_and_then_keys_are_not_used() {
    let disk = SimDisk::new();
    let options = MetaOptions {
        floor_bytes: 256 << 10,
        memtable_bytes: 4 << 20,
        snapshot_after_bytes: 64 << 20,
        ..OPTIONS
    };
    let world = start(&disk, options).unwrap();
    let change = || Transaction::new().put(Table::SETTINGS, "k", "v");
    let used = || -> u64 {
        let bytes =
            |path: &String| u64::try_from(disk.bytes(path).map_or(0, |it| it.len())).unwrap();
        disk.paths().iter().map(bytes).sum()
    };
    // A little less than the floor is free.
    disk.set_capacity(Some(used() + (250 << 10)));
    assert_eq!(
        world.meta.commit(change()).wait(),
        Err(CommitError::NoSpace)
    );
    let mut answered = BTreeSet::new();
    let outcome = loop {
        let event = world.decrypt(KEY_ARN);
        match world.log().append(std::slice::from_ref(&event)).wait() {
            Ok(_) => drop(answered.insert(event.id)),
            Err(error) => break error,
        }
        assert!(answered.len() < 10_000, "the reserve ends");
        world.pass(1);
    };
    assert_eq!(outcome, CommitError::NoSpace, "no receipt, no answer");
    assert!(
        answered.len() > 10,
        "there was a reserve: {}",
        answered.len()
    );
    world.meta.commit(change().taking_away()).wait().unwrap();
    // With space again everything goes on, without a restart, and nothing is lost.
    disk.set_capacity(None);
    world.meta.commit(change()).wait().unwrap();
    let event = world.decrypt(KEY_ARN);
    world
        .log()
        .append(std::slice::from_ref(&event))
        .wait()
        .unwrap();
    answered.insert(event.id);
    check(&world, &answered, "full disk");
}
