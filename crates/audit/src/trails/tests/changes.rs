//! A trail that is changed, stopped or moved while something of it is still to be delivered.

use serde_json::Value;
use strongroom_ports::{Table, Transaction};
use strongroom_types::{AccountId, Timestamp};

use super::{BUCKET, HOUR, Setting};
use crate::Lane;
use crate::fixture::{START, World};
use crate::trails::{ReadWrite, Selector, Selectors, Trail, TrailName, UpdateTrail};

const REFUSED_DIGESTS: Option<&str> = Some("/CloudTrail-Digest/");
const REFUSED_FILES: Option<&str> = Some("/CloudTrail/");

fn logging() -> Setting {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting
}

/// What `check` finds of the events that `record` made.
fn delivered(setting: &Setting) -> Vec<String> {
    setting.stop();
    for _ in 0..4 {
        setting.pass(300_000);
    }
    let (mut names, _) = setting.check();
    names.retain(|name| name.len() == 1);
    names
}

fn nothing() -> Selectors {
    Selectors::Basic(vec![Selector {
        read_write: ReadWrite::All,
        management: false,
        data_resources: Vec::new(),
        excluded_sources: Vec::new(),
    }])
}

#[test]
fn what_the_old_place_refuses_goes_to_the_new_one() {
    let setting = logging();
    // Refused once more at the old place, and then put at the new one.
    let moved = || {
        setting.pass(1000);
        setting.pass(1000);
    };
    setting.record("A");
    *setting.bucket.refused_part.lock() = Some("logs/AWSLogs");
    setting.pass(300_000);
    setting.update(|trail| trail.prefix = Some("p".to_owned()));
    moved();
    assert_eq!(setting.keys("p/AWSLogs/111122223333/CloudTrail/").len(), 1);
    // A digest, too.
    *setting.bucket.refused_part.lock() = Some("logs/p/");
    setting.pass(HOUR);
    setting.update(|trail| trail.prefix = Some("q".to_owned()));
    moved();
    let [digest] = setting.keys("Digest").try_into().unwrap();
    assert!(digest.starts_with("q/AWSLogs/"), "{digest}");
    // And into another bucket.
    setting.record("B");
    *setting.bucket.refused_part.lock() = Some("logs/");
    setting.pass(300_000);
    setting.update(|trail| trail.bucket = "other".to_owned());
    moved();
    let objects = setting.bucket.objects.lock();
    let there = objects.values().filter(|it| it.bucket == "other").count();
    assert_eq!(there, 1);
}

#[test]
fn what_the_old_place_takes_is_not_delivered_again() {
    let setting = logging();
    setting.record("A");
    // Put, and nobody heard of it.
    setting
        .bucket
        .outcomes
        .lock()
        .push(super::Outcome::DoneUnheard);
    setting.pass(300_000);
    setting.update(|trail| trail.prefix = Some("p".to_owned()));
    assert_eq!(delivered(&setting), ["A"]);
}

#[test]
fn an_event_is_delivered_if_it_was_wanted_when_it_happened() {
    let setting = logging();
    setting.record("A");
    setting.update(|trail| trail.selectors = nothing());
    setting.record("B");
    setting.pass(300_000);
    assert_eq!(setting.state().earlier, [], "it is all delivered");
    setting.update(|trail| {
        trail.selectors = Selectors::default();
        trail.global_events = false;
    });
    setting.record("C");
    *setting.bucket.refuses.lock() = true;
    setting.update(|trail| trail.global_events = true);
    setting.record("D");
    setting.pass(5 * HOUR);
    setting.update(|trail| trail.selectors = nothing());
    setting.record("E");
    *setting.bucket.refuses.lock() = false;
    let (names, _) = {
        setting.pass(600_000);
        setting.stop();
        setting.pass(2000);
        setting.check()
    };
    let of_trail = |name: &String| name == "UpdateTrail";
    assert_eq!(
        names.iter().filter(|it| of_trail(it)).count(),
        4,
        "each change is told"
    );
    let records: Vec<&String> = names.iter().filter(|it| it.len() == 1).collect();
    assert_eq!(records, ["A", "D"]);
    assert_eq!(setting.state().earlier, []);
}

#[test]
fn of_too_many_changes_too_much_is_delivered_and_not_too_little() {
    let setting = logging();
    *setting.bucket.refuses.lock() = true;
    setting.record("A");
    for round in 0..20 {
        setting.update(|trail| {
            trail.selectors = if round % 2 == 0 {
                nothing()
            } else {
                Selectors::default()
            };
        });
    }
    assert!(setting.state().earlier.len() <= 8);
    setting.record("B");
    *setting.bucket.refuses.lock() = false;
    assert_eq!(delivered(&setting), ["A", "B"]);
}

#[test]
fn the_time_without_logging_is_left_out_though_the_rest_comes_late() {
    let setting = logging();
    *setting.bucket.refuses.lock() = true;
    setting.record("A");
    setting.stop();
    setting.record("B");
    setting.pass(HOUR);
    setting.start();
    setting.record("C");
    setting.stop();
    setting.record("D");
    setting.start();
    setting.record("E");
    *setting.bucket.refuses.lock() = false;
    assert_eq!(delivered(&setting), ["A", "C", "E"]);
}

#[test]
fn a_trail_that_is_on_and_off_again_before_its_last_digest_loses_nothing() {
    let setting = logging();
    setting.record("A");
    *setting.bucket.refused_part.lock() = REFUSED_DIGESTS;
    setting.stop();
    setting.pass(2000);
    setting.pass(2000);
    setting.start();
    setting.record("B");
    setting.stop();
    *setting.bucket.refused_part.lock() = None;
    setting.pass(HOUR);
    let (names, _) = setting.check();
    assert!(names.contains(&"A".to_owned()) && names.contains(&"B".to_owned()));
}

#[test]
fn what_was_delivered_is_proven_when_validation_is_turned_off() {
    let setting = logging();
    setting.record("A");
    setting.pass(300_000);
    setting.update(|trail| trail.validation = false);
    setting.pass(2000);
    let (_, digests) = setting.check();
    assert_eq!((digests, setting.state().window), (1, None));
    // Who changes his mind before the last digest has one chain.
    setting.update(|trail| trail.validation = true);
    setting.pass(300_000);
    let chain = setting.state().window;
    setting.update(|trail| trail.validation = false);
    setting.update(|trail| trail.validation = true);
    assert_eq!(setting.state().window, chain);
    assert_eq!(delivered(&setting), ["A"]);
}

#[test]
fn a_digest_that_was_on_its_way_comes_though_validation_is_turned_off() {
    let setting = logging();
    setting.record("A");
    setting.pass(300_000);
    *setting.bucket.refused_part.lock() = REFUSED_DIGESTS;
    setting.pass(HOUR);
    let files = setting.keys("/CloudTrail/");
    setting.update(|trail| trail.validation = false);
    *setting.bucket.refused_part.lock() = None;
    setting.pass(2000);
    assert_eq!(setting.state().window, None);
    let listed: Vec<String> = setting
        .keys("Digest")
        .iter()
        .flat_map(|key| {
            let digest: Value = serde_json::from_slice(&setting.unzipped(key)).unwrap();
            let files = digest["logFiles"].as_array().unwrap().clone();
            files
                .into_iter()
                .map(|it| it["s3Object"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(listed, files);
}

#[test]
fn validation_that_is_turned_on_while_a_stopped_trail_ends_begins_with_logging() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.update(|trail| trail.validation = false);
    setting.start();
    setting.stop();
    setting.update(|trail| trail.validation = true);
    setting.start();
    assert!(setting.state().window.is_some());
}

#[test]
fn digests_come_while_log_files_are_refused() {
    let setting = logging();
    setting.record("A");
    *setting.bucket.refused_part.lock() = REFUSED_FILES;
    setting.pass(300_000);
    for _ in 0..4 {
        setting.pass(HOUR);
        setting.pass(300_000);
    }
    assert!(
        setting.keys("Digest").len() >= 4,
        "as if nothing had happened"
    );
    let state = setting.state();
    assert_eq!(state.delivery_error.as_deref(), Some("AccessDenied"));
    assert!(state.digest_millis.is_some() && state.digest_error.is_none());
    *setting.bucket.refused_part.lock() = None;
    assert_eq!(delivered(&setting), ["A"]);
}

#[test]
fn a_new_trail_of_the_same_name_overwrites_no_digest() {
    let setting = logging();
    let delete = || {
        let event = setting.call("DeleteTrail");
        let deleted = setting
            .trails
            .delete(setting.account(), &Setting::name(), &event);
        deleted.unwrap();
    };
    for name in ["A", "B", "C"] {
        setting.record(name);
        delete();
        setting.create(UpdateTrail::default());
        setting.start();
        if name == "B" {
            // And where the one before is gone already.
            setting.pass(300);
        }
    }
    delete();
    setting.pass(300);
    setting.pass(5000);
    assert!(setting.trails.all().unwrap().is_empty());
    let (names, digests) = setting.check();
    let deleted = names.iter().filter(|it| *it == "DeleteTrail");
    assert_eq!((deleted.count(), digests), (4, 4));
}

#[test]
fn a_clock_that_is_set_back_holds_up_neither_files_nor_digests() {
    let setting = logging();
    setting.pass(HOUR);
    setting.pass(300 * HOUR);
    let digests = setting.keys("Digest").len();
    setting
        .world
        .clock
        .set(Timestamp::from_millis(START.as_millis() + HOUR));
    for _ in 0..120 {
        setting.record("A");
        setting.pass(300_000);
    }
    assert!(setting.keys("/CloudTrail/").len() >= 120);
    assert!(setting.keys("Digest").len() >= digests + 100);
    assert_eq!(delivered(&setting).len(), 120);
}

#[test]
fn what_happens_after_the_clock_was_set_back_is_delivered() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    let set_back = || {
        let now = setting.world.now().as_millis();
        setting.world.clock.set(Timestamp::from_millis(now - HOUR));
    };
    setting.world.pass(2 * HOUR);
    setting.record("X");
    setting.start();
    set_back();
    setting.record("A");
    setting.pass(300_000);
    // What is wanted now counts, though the change was in an hour to come.
    setting.update(|trail| trail.selectors = nothing());
    set_back();
    setting.pass(1000);
    setting.pass(300_000);
    setting.record("Y");
    setting.pass(300_000);
    setting.update(|trail| trail.selectors = Selectors::default());
    setting.record("B");
    assert_eq!(delivered(&setting), ["A", "B"]);
}

#[test]
fn what_happens_while_a_file_is_put_is_of_the_next_one() {
    let setting = logging();
    *setting.bucket.busy.lock() = Some(setting.world.clone());
    for files in 1..4 {
        setting.pass(300_000);
        assert_eq!(setting.keys("/CloudTrail/").len(), files);
    }
    *setting.bucket.busy.lock() = None;
    setting.stop();
    setting.pass(2000);
    setting.check();
}

#[test]
fn a_trail_that_is_damaged_holds_no_other_up() {
    let setting = Setting::new(World::new());
    let account = AccountId::parse("000000000001").unwrap();
    let region = setting.world.home().region;
    let trail = Trail::new(&Setting::name(), account, &region, BUCKET, START);
    let event = setting.call("CreateTrail");
    setting.trails.create(account, &trail, &event).unwrap();
    let table = Table::AUDIT_TRAILS;
    let row = setting.world.all(table).into_iter();
    let [damaged] = row
        .filter(|row| row.key[0] == b'T')
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let write = Transaction::new().put(table, damaged.key, b"nothing that opens".as_slice());
    setting.world.meta.commit(write).wait().unwrap();
    setting.create(UpdateTrail::default());
    setting.start();
    setting.world.pass(300_000);
    let now = setting.world.now();
    setting
        .world
        .ledger()
        .step(Lane::Management, now, true)
        .unwrap();
    for _ in 0..3 {
        assert!(setting.delivery.step(now).is_err(), "and it is told");
    }
    assert_eq!(setting.keys("/CloudTrail/").len(), 1);
}

#[test]
fn no_trail_is_overlooked_where_there_are_many() {
    let setting = Setting::new(World::new());
    let home = setting.world.home();
    for number in 0..1001 {
        let account = AccountId::parse(&format!("2222{number:08}")).unwrap();
        let name = TrailName::parse("many").unwrap();
        let trail = Trail::new(&name, account, &home.region, BUCKET, START);
        let event = setting.call("CreateTrail");
        setting.trails.create(account, &trail, &event).unwrap();
    }
    assert_eq!(setting.trails.all().unwrap().len(), 1001);
}
