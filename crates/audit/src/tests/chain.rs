//! The ledger: order, crashes, and what somebody who can change rows cannot hide.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use strongroom_ports::{AuditEvent, AuditSink as _, Row, Table, Transaction};
use strongroom_rows::Record as _;

use crate::fixture::{KEY_ARN, START, World};
use crate::limits::{BATCH_MAX_EVENTS, RETENTION_MILLIS, SETTLE_MILLIS, STEP_MAX_EVENTS};
use crate::records::{BatchRow, FirstFormatRow, HeadRow, batch_key, head_key, spool_key};
use crate::{
    Anchor, Cursor, Direction, Event, EventBuilder, EventId, Filter, Finding, Lane, Moved,
    OWN_SOURCE, Outcome, Page, Params, Report,
};

const LANE: Lane = Lane::Management;

impl World {
    /// Moves all that has settled.
    pub(crate) fn settle(&self) -> u64 {
        self.pass(SETTLE_MILLIS);
        let mut moved = 0;
        loop {
            let Moved { count, more } = self.ledger().step(LANE, self.now(), false).unwrap();
            moved += count;
            if !more {
                return moved;
            }
        }
    }

    fn names(&self) -> Vec<String> {
        let events = self.events(LANE);
        events.into_iter().map(|event| event.name).collect()
    }

    /// All that is in the ledger.
    pub(crate) fn events(&self, lane: Lane) -> Vec<Event> {
        let mut events = Vec::new();
        let mut place = Cursor::default();
        loop {
            let from = (place, Direction::Forward);
            let page = self.ledger().read_page(lane, from, &Filter::default(), 99);
            let page = page.unwrap();
            events.extend(page.events);
            place = page.at;
            if page.is_end {
                return events;
            }
        }
    }

    fn verified(&self) -> Report {
        self.ledger().verify(LANE, &[]).unwrap()
    }

    /// Several batches, of one event each.
    fn batches(&self, count: usize) {
        for n in 0..count {
            self.record(["A", "B", "C", "D", "E"][n % 5]);
            self.settle();
        }
    }

    fn write(&self, table: Table, key: Vec<u8>, value: impl Into<bytes::Bytes>) {
        self.meta
            .commit(Transaction::new().put(table, key, value))
            .wait()
            .unwrap();
    }

    fn remove(&self, table: Table, key: Vec<u8>) {
        self.meta
            .commit(Transaction::new().delete(table, key))
            .wait()
            .unwrap();
    }

    fn batch(&self, number: u64) -> BatchRow {
        self.ledger().read_batch(LANE, number).unwrap().unwrap().0
    }

    /// Writes a batch as somebody can who holds the keys.
    fn forge(&self, number: u64, batch: &BatchRow) {
        let key = batch_key(LANE, number);
        let value = self.rows().seal(Table::AUDIT_LEDGER, &key, batch);
        self.write(Table::AUDIT_LEDGER, key, value);
    }
}

#[test]
fn events_move_into_the_ledger_once_and_in_order_of_time() {
    for world in [
        World::new(),
        World::with_conflicts(1),
        World::with_conflicts(2),
    ] {
        for name in ["A", "B", "C"] {
            world.record(name);
            world.pass(1);
        }
        let step = || world.ledger().step(LANE, world.now(), false).unwrap();
        assert_eq!(step().count, 0, "they have not settled");
        assert_eq!(world.settle(), 3);
        assert_eq!(step(), Moved::default());
        world.record("D");
        assert_eq!(
            world.ledger().step(LANE, world.now(), true).unwrap().count,
            1
        );
        assert_eq!(world.names(), ["A", "B", "C", "D"]);
        assert!(world.all(Table::AUDIT).is_empty());
        let report = world.verified();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.batches, report.events), (2, 4));
    }
}

#[test]
fn an_event_of_a_change_is_there_if_the_change_is() {
    let world = World::with_conflicts(3);
    let log = world.log();
    let event = world.decrypt(KEY_ARN);
    let t = Table::SETTINGS;
    let lost = log.add(
        Transaction::new().expect(t, "k", Some(strongroom_ports::RowVersion(9))),
        &event,
    );
    assert!(world.meta.commit(lost.put(t, "k", "v")).wait().is_err());
    assert!(world.all(Table::AUDIT).is_empty());
    let kept = log.add(Transaction::new().put(t, "k", "v"), &event);
    world.meta.commit(kept).wait().unwrap();
    assert_eq!(world.settle(), 1);
    assert_eq!(world.names(), ["Decrypt"]);
}

#[test]
fn many_steps_at_once_lose_and_double_nothing() {
    let world = World::new();
    let mut ids = BTreeSet::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let world = world.clone();
                scope.spawn(move || {
                    let record = |_| world.record("W").id;
                    (0..200).map(record).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..2 {
            let world = world.clone();
            scope.spawn(move || {
                for _ in 0..60 {
                    world.ledger().step(LANE, world.now(), true).unwrap();
                }
            });
        }
        for writer in writers {
            ids.extend(writer.join().unwrap());
        }
    });
    while world.ledger().step(LANE, world.now(), true).unwrap().count > 0 {}
    let events = world.events(LANE);
    let found: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!((found.len(), events.len()), (ids.len(), ids.len()));
    assert!(found == ids);
    assert!(world.verified().is_whole());
}

#[test]
fn batches_are_bounded_in_events_bytes_and_time() {
    let world = World::new();
    for _ in 0..=BATCH_MAX_EVENTS {
        world.record("A");
    }
    assert_eq!(world.settle(), 257);
    let report = world.verified();
    assert!(report.batches >= 2 && report.is_whole());
    world.record("Before");
    world.pass(3_600_000);
    world.record("After");
    world.settle();
    assert_eq!(world.verified().batches, report.batches + 2);
    // The largest events that there are, and of the worst kind to compress.
    let context = world.alice();
    for _ in 0..12 {
        let mut noise = vec![0; 18_000];
        world.entropy.fill(&mut noise);
        let params = Params::new().text("policy", &hex::encode(noise));
        let event = EventBuilder::of(&context, "kms.amazonaws.com", "PutKeyPolicy").params(&params);
        let event = world.log().finish(event);
        world.log().append(&[event]).wait().unwrap();
    }
    assert_eq!(world.settle(), 12);
    assert!(world.verified().is_whole());
}

#[test]
fn each_removed_batch_is_found() {
    for number in 0..5 {
        let world = World::new();
        world.batches(5);
        world.remove(Table::AUDIT_LEDGER, batch_key(LANE, number));
        assert_eq!(world.verified().findings, [Finding::Missing(number)]);
    }
}

#[test]
fn each_changed_byte_of_each_row_is_found() {
    let world = World::new();
    world.batches(2);
    world.record("Waiting");
    assert!(world.verified().is_whole());
    for table in [Table::AUDIT_LEDGER, Table::AUDIT_INDEX, Table::AUDIT] {
        for Row { key, value, .. } in world.all(table) {
            for at in 0..value.len() {
                let mut changed = value.to_vec();
                changed[at] ^= 1;
                world.write(table, key.to_vec(), changed);
                assert!(!world.verified().is_whole(), "{table:?} {key:?} {at}");
            }
            world.write(table, key.to_vec(), value.clone());
        }
    }
    assert!(world.verified().is_whole());
}

#[test]
fn rows_put_in_each_others_place_are_found() {
    let world = World::new();
    world.batches(3);
    let rows = world.all(Table::AUDIT_LEDGER);
    for a in &rows {
        for b in rows.iter().filter(|b| b.key != a.key) {
            world.write(Table::AUDIT_LEDGER, a.key.to_vec(), b.value.clone());
            assert!(!world.verified().is_whole());
            world.write(Table::AUDIT_LEDGER, a.key.to_vec(), a.value.clone());
        }
    }
    assert!(world.verified().is_whole());
}

/// Who holds the keys can seal rows. The chain still holds, unless all of it behind is made anew; then
/// an anchor that was kept elsewhere does.
#[test]
fn what_is_forged_with_the_keys_in_hand_is_found() {
    let world = World::new();
    world.batches(5);
    let end = world.verified().end.unwrap();
    let [batch, other] = [world.batch(2), world.batch(3)];
    // Another event in the batch's place.
    world.forge(
        2,
        &BatchRow {
            entries: other.entries.clone(),
            len_bytes: other.len_bytes,
            ..batch.clone()
        },
    );
    assert!(world.verified().findings.contains(&Finding::Unchained(3)));
    // Two batches in each other's place, renumbered.
    world.forge(
        2,
        &BatchRow {
            number: 2,
            ..other.clone()
        },
    );
    world.forge(
        3,
        &BatchRow {
            number: 3,
            ..batch.clone()
        },
    );
    assert!(world.verified().findings.contains(&Finding::Unchained(2)));
    world.forge(2, &batch);
    world.forge(3, &other);
    assert!(world.verified().is_whole());
    // One more, behind the end.
    world.forge(
        5,
        &BatchRow {
            number: 5,
            ..other.clone()
        },
    );
    assert_eq!(world.verified().findings, [Finding::Unknown(5)]);
    world.remove(Table::AUDIT_LEDGER, batch_key(LANE, 5));
    // The last two forgotten, head and all.
    let (head, _) = world.ledger().head(LANE).unwrap();
    let cut = HeadRow {
        next: 3,
        hash: other.previous,
        events: 3,
        ..head
    };
    let value = world
        .rows()
        .seal(Table::AUDIT_LEDGER, &head_key(LANE), &cut);
    world.write(Table::AUDIT_LEDGER, head_key(LANE), value);
    for number in [3, 4] {
        world.remove(Table::AUDIT_LEDGER, batch_key(LANE, number));
    }
    assert!(world.verified().is_whole(), "nothing in the store tells");
    let report = world.ledger().verify(LANE, &[end]).unwrap();
    assert_eq!(
        report.findings,
        [Finding::Anchor(4)],
        "what was kept elsewhere does"
    );
    assert_eq!(Anchor::parse(&end.to_string()), Some(end));
}

#[test]
fn a_lost_head_and_a_lost_index_row_are_found() {
    let world = World::new();
    world.batches(3);
    let postings = world.all(Table::AUDIT_INDEX);
    world.remove(Table::AUDIT_INDEX, postings[0].key.to_vec());
    assert!(matches!(world.verified().findings[..], [Finding::Index(_)]));
    world.write(
        Table::AUDIT_INDEX,
        postings[0].key.to_vec(),
        postings[0].value.clone(),
    );
    let head = world.all(Table::AUDIT_LEDGER).remove(0);
    world.remove(Table::AUDIT_LEDGER, head.key.to_vec());
    assert!(!world.verified().is_whole());
}

#[test]
fn old_batches_go_with_their_index_and_the_chain_goes_on_from_there() {
    let world = World::with_conflicts(5);
    world.batches(6);
    let anchor = world.verified().end.unwrap();
    world.pass(RETENTION_MILLIS + 1000);
    world.batches(2);
    let sweep = |keep| {
        let mut removed = 0;
        loop {
            let Moved { count, more } = world.ledger().sweep(LANE, world.now(), keep).unwrap();
            removed += count;
            if !more {
                return removed;
            }
        }
    };
    assert_eq!(sweep(Some(2)), 2, "a trail has still to deliver the others");
    assert_eq!(sweep(None), 4);
    assert_eq!(world.names(), ["A", "B"]);
    assert_eq!(world.all(Table::AUDIT_LEDGER).len(), 3);
    let report = world.ledger().verify(LANE, &[anchor]).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let kept: usize = (6..8)
        .map(|number| {
            let (_, unpacked) = world.ledger().read_batch(LANE, number).unwrap().unwrap();
            crate::index::postings(number, &unpacked.events).len()
        })
        .sum();
    assert_eq!(world.all(Table::AUDIT_INDEX).len(), kept);
}

#[test]
fn data_events_have_a_chain_of_their_own() {
    let world = World::new();
    let context = world.alice();
    let event = EventBuilder::of(&context, "s3.amazonaws.com", "GetObject").data();
    let event = world.log().finish(event);
    world.log().append(&[event]).wait().unwrap();
    world.record("A");
    world.settle();
    assert_eq!(world.names(), ["A"]);
    world.ledger().step(Lane::Data, world.now(), false).unwrap();
    let report = world.ledger().verify(Lane::Data, &[]).unwrap();
    assert_eq!((report.events, report.is_whole()), (1, true));
    let rows = world.all(Table::AUDIT_INDEX).len();
    world.record("A");
    assert!(world.verified().is_whole() && rows > 0);
}

/// Letters that nothing makes shorter.
fn noise(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from_u32(0x4e00 + u32::try_from(state % 0x5000).unwrap()).unwrap()
    };
    (0..len).map(|_| letter()).collect()
}

#[test]
fn records_that_do_not_shrink_take_more_batches_and_none_is_lost() {
    let world = World::new();
    let context = world.alice();
    let mut noted = Vec::new();
    // The longest ones, and many of 3 KB.
    for (n, len) in (0..).zip([13_000; 8].into_iter().chain([1_000; 200])) {
        let params = Params::new().text("note", &noise(n, len));
        let event = EventBuilder::of(&context, "kms.amazonaws.com", "Encrypt").params(&params);
        let event = world.log().finish(event);
        world
            .log()
            .append(std::slice::from_ref(&event))
            .wait()
            .unwrap();
        noted.push((event.id, event.document));
    }
    assert_eq!(world.settle(), 208);
    assert!(world.verified().is_whole());
    let rows = world.all(Table::AUDIT_LEDGER);
    assert!(rows.len() > 12, "{}", rows.len());
    let longest = rows.iter().map(|row| row.value.len()).max().unwrap();
    assert!(longest > 40 << 10, "{longest}");
    let mut kept: Vec<_> = world
        .events(LANE)
        .into_iter()
        .map(|it| (it.id, it.document))
        .collect();
    kept.sort();
    noted.sort();
    assert!(kept == noted);
}

#[test]
fn rows_that_do_not_verify_hold_no_others_up_however_many_they_are() {
    let world = World::new();
    let rows = u64::try_from(STEP_MAX_EVENTS).unwrap() + 9;
    let damaged = (0..rows).fold(Transaction::new(), |transaction, n| {
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&n.to_be_bytes());
        let key = spool_key(LANE, EventId::with_tail(START, tail));
        transaction.put(Table::AUDIT, key, "damaged")
    });
    world.meta.commit(damaged).wait().unwrap();
    world.pass(1);
    world.record("A");
    assert!(world.ledger().has_waiting(LANE, world.now()).unwrap());
    assert_eq!(world.settle(), 1);
    assert_eq!(world.names(), ["A"]);
    assert!(!world.ledger().has_waiting(LANE, world.now()).unwrap());
    assert_eq!(world.verified().waiting, rows);
}

#[test]
fn a_step_says_that_there_is_more_of_either_format() {
    let world = World::new();
    for n in 0..600_u64 {
        let time = START.as_millis() + n;
        let key = [time.to_be_bytes(), [1; 8], [2; 8], n.to_be_bytes()].concat();
        let row = FirstFormatRow {
            name: "DisableKey".to_owned(),
            document: br#"{"eventSource":"kms.amazonaws.com"}"#.to_vec(),
        };
        let value = world.rows().seal(Table::AUDIT, &key, &row);
        world.write(Table::AUDIT, key, value);
        world.record("A");
    }
    while world.ledger().step(LANE, world.now(), true).unwrap().more {}
    assert_eq!(world.events(LANE).len(), 1200);
    assert!(world.all(Table::AUDIT).is_empty());
}

#[test]
fn what_the_first_version_of_the_trail_left_is_taken_over() {
    let world = World::new();
    let request_id = [9; 16];
    for counter in [u64::MAX, 0, 1] {
        let time = START.as_millis() + 5;
        let key = [
            time.to_be_bytes().as_slice(),
            &request_id,
            &counter.to_be_bytes(),
        ]
        .concat();
        let row = FirstFormatRow {
            name: "DisableKey".to_owned(),
            document: br#"{"eventSource":"kms.amazonaws.com","eventName":"DisableKey",
                "userIdentity":{"arn":"arn:aws:iam::111122223333:root"}}"#
                .to_vec(),
        };
        assert_eq!(row.encode()[..2], [0x22, 1]);
        let value = world.rows().seal(Table::AUDIT, &key, &row);
        world.write(Table::AUDIT, key, value);
    }
    assert_eq!(world.verified().waiting, 3);
    assert_eq!(world.settle(), 0);
    world.pass(10);
    assert_eq!(world.settle(), 3);
    let events = world.events(LANE);
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(events[0].user_name.as_deref(), Some("root"));
    assert!(events[0].document().contains("09090909-0909"));
    assert!(world.verified().is_whole());
}

#[test]
fn the_port_records_through_the_same_log() {
    let world = World::new();
    let event = |name| AuditEvent {
        time: world.now(),
        request_id: None,
        name,
        document: bytes::Bytes::from_static(b"{}"),
    };
    world
        .log()
        .record(vec![event("RingCreated"), event("Sealed")])
        .wait()
        .unwrap();
    let third = Event::completed(&event("Third"), &world.home(), &*world.entropy);
    let (key, value) = world.log().row(&third);
    world.write(Table::AUDIT, key.to_vec(), value);
    world.settle();
    let names: BTreeSet<_> = world.names().into_iter().collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_row_of_the_spool_that_does_not_verify_stays_and_holds_nothing_up() {
    let world = World::new();
    let event = world.decrypt(KEY_ARN);
    let (key, value) = world.log().row(&event);
    let mut broken = value.to_vec();
    broken[20] ^= 1;
    world.write(Table::AUDIT, key.to_vec(), broken);
    world.record("A");
    assert_eq!(world.settle(), 1);
    assert_eq!(world.verified().findings, [Finding::Spool]);
    assert_eq!(world.settle(), 0);
}

#[test]
fn search_filters() {
    let world = World::new();
    let context = world.alice();
    let denied = EventBuilder::of(&context, "kms.amazonaws.com", "Decrypt")
        .params(&Params::new().text("x", "arn:aws:s3:::photos/cat"))
        .failed("AccessDeniedException", "no")
        .resource("AWS::KMS::Key", KEY_ARN, Some(world.account()));
    let denied = world.log().finish(denied);
    let granted = world.decrypt(KEY_ARN);
    world.log().append(&[denied, granted]).wait().unwrap();
    world.record("CreateUser");
    world.settle();
    let count = |filter: Filter| {
        let place = (Cursor::default(), Direction::Forward);
        let page = world.ledger().read_page(LANE, place, &filter, 99).unwrap();
        assert!(page.is_end);
        page.events.len()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(count(Filter::default()), 3);
    assert_eq!(
        count(Filter {
            outcome: Some(Outcome::Denied),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            outcome: Some(Outcome::Ok),
            ..Filter::default()
        }),
        2
    );
    assert_eq!(
        count(Filter {
            bucket: text("photos"),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            bucket: text("photo"),
            ..Filter::default()
        }),
        0
    );
    assert_eq!(
        count(Filter {
            key: text("1234abcd"),
            ..Filter::default()
        }),
        2
    );
    assert_eq!(
        count(Filter {
            principal: text("alice"),
            ..Filter::default()
        }),
        3
    );
    assert_eq!(
        count(Filter {
            event_name: text("CreateUser"),
            ..Filter::default()
        }),
        1
    );
    for (name, found) in [
        ("kms:Decrypt", 2),
        ("decrypt", 2),
        ("KMS:decrypt", 2),
        ("s3:Decrypt", 0),
        ("Decryp", 0),
    ] {
        let event_name = text(name);
        let filter = Filter {
            event_name,
            ..Filter::default()
        };
        assert_eq!(count(filter), found, "{name}");
    }
    for (place, found) in [("photos/cat", 1), ("photos/ca", 0), ("photos/cat/", 0)] {
        let bucket = text(place);
        let filter = Filter {
            bucket,
            ..Filter::default()
        };
        assert_eq!(count(filter), found, "{place}");
    }
    let late = strongroom_types::Timestamp::from_millis(START.as_millis() + 1);
    assert_eq!(
        count(Filter {
            from: Some(late),
            ..Filter::default()
        }),
        0
    );
}

#[test]
fn what_the_operator_did_and_what_was_copied_is_found() {
    let world = World::new();
    let context = world.alice();
    let details = Params::new()
        .text("bucketName", "photos")
        .number("operatorUid", 1000);
    let deed = EventBuilder::by_service(world.account(), OWN_SOURCE, "ReEncryptObjects")
        .service_details(&details);
    let copy = EventBuilder::of(&context, "s3.amazonaws.com", "CopyObject")
        .params(&Params::new().text("x-amz-copy-source", "secrets/a%20b"))
        .data()
        .resource("AWS::S3::Object", "arn:aws:s3:::photos/copy", None);
    let aliased = EventBuilder::of(&context, "kms.amazonaws.com", "DescribeKey")
        .params(&Params::new().text("keyId", "arn:aws:kms:us-east-1:111122223333:alias/photos"));
    // Who writes such a name into a request of his own is no operator.
    let forged = EventBuilder::of(&context, "s3.amazonaws.com", "PutBucketPolicy")
        .params(&Params::new().number("operatorUid", 1000));
    let events = [deed, copy, aliased, forged].map(|event| world.log().finish(event));
    let takes = |filter: &Filter| {
        let taken = events.iter().filter(|event| filter.takes(event));
        taken.map(|event| event.name.as_str()).collect::<Vec<_>>()
    };
    let of_bucket = |name: &str| {
        takes(&Filter {
            bucket: Some(name.to_owned()),
            ..Filter::default()
        })
    };
    assert_eq!(of_bucket("photos"), ["ReEncryptObjects", "CopyObject"]);
    assert_eq!(of_bucket("secrets"), ["CopyObject"]);
    assert_eq!(of_bucket("ecrets"), Vec::<&str>::new());
    let by = |name: &str| {
        takes(&Filter {
            principal: Some(name.to_owned()),
            ..Filter::default()
        })
    };
    assert_eq!(by("operator:1000"), ["ReEncryptObjects"]);
    assert_eq!(by("operator:10000"), Vec::<&str>::new());
    let alias = |name: &str| {
        takes(&Filter {
            key: Some(name.to_owned()),
            ..Filter::default()
        })
    };
    for name in [
        "alias/photos",
        "arn:aws:kms:us-east-1:111122223333:alias/photos",
    ] {
        assert_eq!(alias(name), ["DescribeKey"], "{name}");
    }
    assert_eq!(alias("alias/photo"), Vec::<&str>::new());
}

#[test]
fn pages_meet_from_both_ends() {
    let world = World::new();
    for round in 0..5 {
        for call in 0..3 {
            world.record(&format!("Call{round}{call}"));
        }
        world.settle();
    }
    let names = |page: &Page| {
        let names = page.events.iter().map(|it| it.name.clone());
        names.collect::<Vec<_>>()
    };
    let read = |from, direction, limit| {
        let all = Filter::default();
        let page = world
            .ledger()
            .read_page(LANE, (from, direction), &all, limit);
        page.unwrap()
    };
    let all = read(Cursor::default(), Direction::Forward, 99);
    assert_eq!((all.events.len(), all.is_end), (15, true));
    assert_eq!(all.at, world.ledger().end(LANE).unwrap());
    let first = read(Cursor::default(), Direction::Forward, 4);
    assert_eq!(
        (first.events.len(), first.is_end),
        (6, false),
        "whole batches"
    );
    let rest = read(first.at, Direction::Forward, 99);
    assert_eq!([names(&first), names(&rest)].concat(), names(&all));
    let last = read(all.at, Direction::Back, 4);
    assert_eq!((last.events.len(), last.is_end), (6, false));
    let before = read(last.at, Direction::Back, 99);
    assert!(before.is_end);
    assert_eq!([names(&before), names(&last)].concat(), names(&all));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any history of records, steps, sweeps, and clocks that jump: each event is there once, until it
    /// is 90 days old, and the chain verifies.
    #[test]
    fn any_history_verifies(
        operations in proptest::collection::vec((0..6_u8, any::<u16>()), 1..80),
        seed in any::<u64>(),
    ) {
        let world = World::with_conflicts(seed);
        let mut expected: Vec<Event> = Vec::new();
        for (operation, amount) in operations {
            match operation {
                0..=2 => expected.push(world.record("E")),
                3 => drop(world.settle()),
                4 => world.pass(u64::from(amount)),
                _ => {
                    // Set back or forward by up to nine hours.
                    let now = world.now().as_millis() + u64::from(amount) * 1000;
                    let now = strongroom_types::Timestamp::from_millis(now - 32_768_000);
                    world.clock.set(now);
                }
            }
        }
        while world.ledger().step(LANE, world.now(), true).unwrap().count > 0 {}
        let mut found = world.events(LANE);
        found.sort_by_key(|event| event.id);
        expected.sort_by_key(|event| event.id);
        prop_assert!(found == expected);
        let report = world.verified();
        prop_assert!(report.is_whole(), "{:?}", report);
        prop_assert_eq!(report.events, u64::try_from(expected.len()).unwrap());
    }
}

#[test]
fn nothing_of_an_event_is_readable_in_its_rows() {
    let world = World::new();
    let context = world.alice();
    let params = Params::new().text("description", "canary-canary");
    let event = EventBuilder::of(&context, "kms.amazonaws.com", "CreateKey").params(&params);
    let event = world.log().finish(event);
    world.log().append(&[event]).wait().unwrap();
    let rows = |table| -> Vec<u8> {
        let rows = world.all(table).into_iter();
        rows.flat_map(|row| [row.key.to_vec(), row.value.to_vec()].concat())
            .collect()
    };
    let clear = |bytes: Vec<u8>| {
        ["canary", "alice", "CreateKey"].iter().any(|text| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
    };
    assert!(!clear(rows(Table::AUDIT)));
    world.settle();
    assert!(!clear(rows(Table::AUDIT_LEDGER)) && !clear(rows(Table::AUDIT_INDEX)));
    drop(Arc::clone(&world.meta));
}
