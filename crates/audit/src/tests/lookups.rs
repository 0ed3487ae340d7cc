//! LookupEvents.

use std::cmp::Reverse;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use strongroom_ports::{
    MetaError, MetaStore, PendingCommit, Scan, ScanPage, Stored, Table, Transaction,
};
use strongroom_types::{AccountId, Timestamp};

use crate::fixture::{KEY_ARN, START, World};
use crate::limits::{RETENTION_MILLIS, SETTLE_MILLIS};
use crate::{Attribute, Event, EventBuilder, Lookup, LookupError};

impl World {
    fn query(&self, by: Option<(Attribute, &str)>) -> Lookup {
        Lookup {
            account: self.account(),
            by: by.map(|(attribute, value)| (attribute, value.to_owned())),
            start: None,
            end: None,
            max_results: 50,
            next_token: None,
        }
    }

    fn found(&self, query: &Lookup) -> Vec<Event> {
        self.ledger().lookup(query, self.now()).unwrap().events
    }

    fn count(&self, attribute: Attribute, value: &str) -> usize {
        self.found(&self.query(Some((attribute, value)))).len()
    }
}

#[test]
fn an_event_is_found_by_each_attribute_at_once_and_from_the_ledger() {
    let world = World::new();
    let event = world.decrypt(KEY_ARN);
    world
        .log()
        .append(std::slice::from_ref(&event))
        .wait()
        .unwrap();
    world.record("CreateUser");
    for settled in [false, true] {
        if settled {
            world.settle();
        }
        let id = event.id.to_string();
        for (attribute, value, count) in [
            (Attribute::EventId, id.as_str(), 1),
            (
                Attribute::EventId,
                "1234abcd-12ab-74cd-96ef-1234567890ab",
                0,
            ),
            (Attribute::EventId, "odd", 0),
            (Attribute::EventName, "Decrypt", 1),
            (Attribute::EventName, "decrypt", 0),
            (Attribute::ReadOnly, "true", 1),
            (Attribute::ReadOnly, "false", 1),
            (Attribute::Username, "alice", 2),
            (Attribute::Username, "bob", 0),
            (Attribute::ResourceType, "AWS::KMS::Key", 1),
            (Attribute::ResourceName, KEY_ARN, 1),
            (
                Attribute::ResourceName,
                "1234abcd-12ab-34cd-56ef-1234567890ab",
                1,
            ),
            (Attribute::EventSource, "kms.amazonaws.com", 1),
            (Attribute::AccessKeyId, "AKIAIOSFODNN7EXAMPLE", 2),
        ] {
            assert_eq!(
                world.count(attribute, value),
                count,
                "{attribute:?} {value} {settled}"
            );
        }
        assert_eq!(world.found(&world.query(None)).len(), 2);
        let strangers = Lookup {
            account: AccountId::parse("999999999999").unwrap(),
            ..world.query(None)
        };
        assert!(world.found(&strangers).is_empty());
    }
}

#[test]
fn data_events_are_never_found_and_old_ones_no_longer() {
    let world = World::new();
    let context = world.alice();
    let data = EventBuilder::of(&context, "s3.amazonaws.com", "GetObject").data();
    let data = world.log().finish(data);
    world.log().append(&[data]).wait().unwrap();
    world.record("CreateUser");
    world.settle();
    assert_eq!(world.found(&world.query(None)).len(), 1);
    world.pass(RETENTION_MILLIS - SETTLE_MILLIS);
    assert_eq!(world.found(&world.query(None)).len(), 1);
    world.pass(1);
    assert!(world.found(&world.query(None)).is_empty());
}

#[test]
fn a_token_is_good_for_its_query_alone() {
    let world = World::new();
    for _ in 0..3 {
        world.record("A");
    }
    let query = Lookup {
        max_results: 1,
        ..world.query(None)
    };
    let page = world.ledger().lookup(&query, world.now()).unwrap();
    let token = page.next_token.unwrap();
    let again = |query: Lookup| {
        let query = Lookup {
            next_token: Some(token.clone()),
            ..query
        };
        world.ledger().lookup(&query, world.now())
    };
    assert_eq!(
        again(Lookup {
            max_results: 2,
            ..query.clone()
        })
        .unwrap()
        .events
        .len(),
        2
    );
    for other in [
        world.query(Some((Attribute::EventName, "A"))),
        Lookup {
            start: Some(START),
            ..query.clone()
        },
        Lookup {
            end: Some(world.now()),
            ..query.clone()
        },
        Lookup {
            account: AccountId::parse("999999999999").unwrap(),
            ..query.clone()
        },
    ] {
        assert!(matches!(again(other), Err(LookupError::NextToken)));
    }
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 5;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let query = Lookup {
        next_token: Some(String::from_utf8(forged).unwrap()),
        ..query
    };
    assert!(matches!(
        world.ledger().lookup(&query, world.now()),
        Err(LookupError::NextToken)
    ));
}

#[test]
fn queries_out_of_bounds_are_refused() {
    let world = World::new();
    let ask = |query: Lookup| world.ledger().lookup(&query, world.now());
    for max_results in [0, 51] {
        let query = Lookup {
            max_results,
            ..world.query(None)
        };
        assert!(matches!(ask(query), Err(LookupError::MaxResults)));
    }
    let empty = world.query(Some((Attribute::EventName, "")));
    assert!(matches!(ask(empty), Err(LookupError::Attributes)));
    let long = "x".repeat(2001);
    let long = world.query(Some((Attribute::EventName, &long)));
    assert!(matches!(ask(long), Err(LookupError::Attributes)));
    let start = Some(Timestamp::from_seconds(START.as_seconds() + 1));
    let query = Lookup {
        start,
        end: Some(START),
        ..world.query(None)
    };
    assert!(matches!(ask(query), Err(LookupError::TimeRange)));
}

#[test]
fn the_last_second_of_a_range_counts_whole() {
    let world = World::new();
    world.pass(999);
    world.record("A");
    world.settle();
    let query = Lookup {
        start: Some(START),
        end: Some(START),
        ..world.query(None)
    };
    assert_eq!(world.found(&query).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Pages of any size, over any mixture of spool and ledger, clocks that jump included, put together
    /// are what a list of all events, sorted, says.
    #[test]
    fn pages_are_the_sorted_list(
        operations in proptest::collection::vec((0..8_u8, any::<u16>()), 1..100),
        max_results in 1..9_usize,
        seed in any::<u64>(),
    ) {
        let world = World::with_conflicts(seed);
        let mut all: Vec<Event> = Vec::new();
        for (operation, amount) in operations {
            match operation {
                0..=3 => all.push(world.record(["A", "B", "C"][usize::from(amount % 3)])),
                4 => drop(world.settle()),
                5 => drop(world.ledger().step(crate::Lane::Management, world.now(), true).unwrap()),
                6 => world.pass(u64::from(amount % 3000)),
                _ => {
                    let now = world.now().as_millis() + u64::from(amount);
                    world.clock.set(Timestamp::from_millis(now - 32_768));
                }
            }
        }
        world.pass(60_000);
        all.sort_by_key(|event| Reverse((event.time_millis, event.id)));
        for by in [None, Some("A"), Some("Z")] {
            for (start, end) in [(0, 100), (1, 2), (3, 20)] {
                let second = |n: u64| Timestamp::from_seconds(START.as_seconds() - 20 + n);
                let (start, end) = (second(start), second(end));
                let mut query = Lookup {
                    start: Some(start),
                    end: Some(end),
                    max_results,
                    ..world.query(by.map(|name| (Attribute::EventName, name)))
                };
                let mut found = Vec::new();
                loop {
                    let page = world.ledger().lookup(&query, world.now()).unwrap();
                    found.extend(page.events);
                    match page.next_token {
                        Some(token) => query.next_token = Some(token),
                        None => break,
                    }
                }
                let expected: Vec<Event> = all
                    .iter()
                    .filter(|event| {
                        let second = event.time().as_seconds();
                        (start.as_seconds()..=end.as_seconds()).contains(&second)
                            && by.is_none_or(|name| event.name == name)
                    })
                    .cloned()
                    .collect();
                prop_assert!(found == expected, "{} {}", found.len(), expected.len());
            }
        }
    }
}

/// Lets somebody else act once, before the index is scanned.
struct Meanwhile {
    meta: Arc<dyn MetaStore>,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl MetaStore for Meanwhile {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.meta.read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        let act = self
            .act
            .lock()
            .take_if(|_| scan.table == Table::AUDIT_INDEX);
        if let Some(act) = act {
            act();
        }
        self.meta.scan(scan)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        self.meta.commit(transaction)
    }
}

#[test]
fn an_event_that_moves_while_it_is_looked_for_is_found_once() {
    let world = World::new();
    world.record("A");
    let other = world.clone();
    let act = move || assert_eq!(other.settle(), 1);
    let watched = World {
        meta: Arc::new(Meanwhile {
            meta: Arc::clone(&world.meta),
            act: Mutex::new(Some(Box::new(act))),
        }),
        ..world.clone()
    };
    assert_eq!(watched.found(&watched.query(None)).len(), 1);
    assert!(world.all(Table::AUDIT).is_empty(), "it moved");
}
