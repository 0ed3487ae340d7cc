//! Random histories against a map.

use std::collections::BTreeMap;

use crate::common::{MANUAL, SMALL, open_blobs, open_meta, rows};
use bytes::Bytes;
use proptest::prelude::*;
use strongroom_ports::{CommitError, MetaStore, Scan, Table, Transaction};
use strongroom_store::DurableMeta;
use strongroom_store::disk::{Crash, SimDisk};

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u8, u16)>),
    Delete(Vec<u8>),
    PutIfAbsent(u8),
    PutIfRangeEmpty(u8, u8),
    Scan(u8, Option<u8>, usize, bool),
    Checkpoint,
    Snapshot,
    Reopen(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec((any::<u8>(), 0_u16..2000), 1..6).prop_map(Step::Put),
        4 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Step::Delete),
        2 => any::<u8>().prop_map(Step::PutIfAbsent),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(start, end)| Step::PutIfRangeEmpty(start, end)),
        8 => (any::<u8>(), any::<Option<u8>>(), 1_usize..40, any::<bool>())
            .prop_map(|(start, end, limit, reverse)| Step::Scan(start, end, limit, reverse)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Snapshot),
        2 => (0_u8..8, any::<bool>()).prop_map(|(crash, lose)| Step::Reopen(crash, lose)),
    ]
}

/// Keys of several lengths that are prefixes of each other.
fn key(number: u8) -> Vec<u8> {
    let mut key = vec![number / 16];
    key.extend(std::iter::repeat_n(b'/', usize::from(number % 16)));
    key
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
const T: Table = Table::VERSIONS;

fn put(model: &mut Model, transaction: Transaction, number: u8, len: u16) -> Transaction {
    let value = vec![number; usize::from(len)];
    model.insert(key(number), value.clone());
    transaction.put(T, key(number), value)
}

fn check_scan(meta: &DurableMeta, model: &Model, scan: &Scan) {
    let page = meta.scan(scan).unwrap();
    let in_range = |key: &&Vec<u8>| {
        key.as_slice() >= scan.start.as_ref()
            && scan
                .end
                .as_ref()
                .is_none_or(|end| key.as_slice() < end.as_ref())
    };
    let mut expected: Vec<&Vec<u8>> = model.keys().filter(in_range).collect();
    if scan.reverse {
        expected.reverse();
    }
    assert_eq!(page.more, expected.len() > scan.limit, "{scan:?}");
    expected.truncate(scan.limit);
    let found: Vec<&[u8]> = page.rows.iter().map(|row| row.key.as_ref()).collect();
    assert_eq!(found, expected, "{scan:?}");
    for row in &page.rows {
        assert_eq!(model.get(row.key.as_ref()).unwrap(), &row.value);
    }
}

fn play(steps: Vec<Step>, small: bool) {
    let options = if small { SMALL } else { MANUAL };
    let disk = SimDisk::new();
    let mut meta = open_meta(&disk, options).unwrap();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Put(rows) => {
                let mut transaction = Transaction::new();
                let rows: BTreeMap<_, _> = rows.into_iter().collect();
                for (number, len) in rows {
                    transaction = put(&mut model, transaction, number, len);
                }
                meta.commit(transaction).wait().unwrap();
            }
            Step::Delete(mut numbers) => {
                numbers.sort_unstable();
                numbers.dedup();
                let mut transaction = Transaction::new();
                for number in numbers {
                    model.remove(&key(number));
                    transaction = transaction.delete(T, key(number));
                }
                meta.commit(transaction).wait().unwrap();
            }
            Step::PutIfAbsent(number) => {
                let absent = !model.contains_key(&key(number));
                let transaction =
                    Transaction::new()
                        .expect(T, key(number), None)
                        .put(T, key(number), "new");
                match meta.commit(transaction).wait() {
                    Ok(_) => assert!(absent),
                    Err(error) => assert!(error == CommitError::Conflict && !absent),
                }
                model.entry(key(number)).or_insert_with(|| b"new".to_vec());
            }
            Step::PutIfRangeEmpty(start, end) => {
                let empty = !model.keys().any(|it| *it >= key(start) && *it < key(end));
                let transaction = Transaction::new()
                    .expect_range_empty(T, key(start), Some(key(end).into()))
                    .put(T, key(start), "in");
                match meta.commit(transaction).wait() {
                    Ok(_) => assert!(empty),
                    Err(error) => assert!(error == CommitError::Conflict && !empty),
                }
                if empty {
                    model.insert(key(start), b"in".to_vec());
                }
            }
            Step::Scan(start, end, limit, reverse) => {
                let scan = Scan {
                    table: T,
                    start: key(start).into(),
                    end: end.map(|end| Bytes::from(key(end))),
                    limit,
                    reverse,
                };
                check_scan(&meta, &model, &scan);
            }
            Step::Checkpoint => meta.checkpoint().unwrap(),
            Step::Snapshot => meta.snapshot().unwrap(),
            Step::Reopen(crash, lose_index) => {
                drop(meta);
                disk.crash(match crash {
                    0 => Crash::Killed,
                    1 => Crash::DropUnsynced,
                    seed => Crash::Torn { seed: seed.into() },
                });
                if lose_index {
                    disk.remove("index.srx");
                }
                meta = open_meta(&disk, options).unwrap();
                open_blobs(&disk).unwrap();
            }
        }
    }
    let found: Model = rows(&meta, T).into_iter().collect();
    assert!(found == model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_an_ordered_map(steps in prop::collection::vec(step(), 1..60)) {
        play(steps, false);
    }

    #[test]
    fn it_still_is_while_it_checkpoints_and_snapshots(steps in prop::collection::vec(step(), 1..60)) {
        play(steps, true);
    }
}
