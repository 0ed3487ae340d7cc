//! What is delivered, under which names and keys, whatever refuses it and whoever stops.

use proptest::prelude::*;
use serde_json::Value;
use strongroom_ports::Table;

use super::{HOUR, Outcome, Setting};
use crate::Lane;
use crate::fixture::{KEY_ARN, World};
use crate::limits::{RETENTION_MILLIS, UNDELIVERED_MILLIS};
use crate::trails::{Encryption, Trail, TrailProblem, TrailsError, UpdateTrail};

#[test]
fn a_trail_delivers_what_happens_while_it_logs() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.record("Before");
    setting.pass(2000);
    setting.pass(HOUR);
    assert!(
        setting.bucket.objects.lock().is_empty(),
        "it does not log yet"
    );
    setting.start();
    setting.record("First");
    setting.pass(299_000);
    assert!(
        setting.bucket.objects.lock().is_empty(),
        "five minutes are not over"
    );
    setting.pass(1000);
    assert_eq!(setting.keys("/CloudTrail/").len(), 1);
    setting.record("Second");
    setting.pass(HOUR);
    setting.record("Last");
    setting.stop();
    setting.world.pass(500);
    setting.record("After");
    setting.pass(1500);
    setting.pass(HOUR * 3);
    let (names, digests) = setting.check();
    assert_eq!(
        names,
        ["StartLogging", "First", "Second", "Last", "StopLogging"]
    );
    assert_eq!(digests, 2, "one for the hour, and the last");
    assert_eq!(setting.state().window, None);
}

#[test]
fn names_are_cloudtrails() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail {
        prefix: Some("a/b".to_owned()),
        ..UpdateTrail::default()
    });
    setting.start();
    setting.pass(300_000);
    setting.pass(HOUR);
    // 10:00 and five minutes, and an hour.
    let [file] = setting.keys("/CloudTrail/").try_into().unwrap();
    let (start, unique) = file
        .strip_suffix(".json.gz")
        .unwrap()
        .rsplit_once('_')
        .unwrap();
    assert_eq!(
        start,
        "a/b/AWSLogs/111122223333/CloudTrail/us-east-1/2026/01/02/\
         111122223333_CloudTrail_us-east-1_20260102T1005Z"
    );
    assert!(unique.len() == 16 && unique.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(
        setting.keys("/CloudTrail-Digest/"),
        [
            "a/b/AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/01/02/\
          111122223333_CloudTrail-Digest_us-east-1_mgmt_us-east-1_20260102T110000Z.json.gz"
        ]
    );
}

#[test]
fn files_are_under_the_trails_key_and_digests_under_sse_s3() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail {
        kms_key_arn: Some(KEY_ARN.to_owned()),
        ..UpdateTrail::default()
    });
    setting.start();
    setting.pass(300_000);
    setting.pass(HOUR);
    let change = |under_key| {
        let change = |trail| {
            Ok(Trail {
                digests_under_key: under_key,
                ..trail
            })
        };
        let event = setting.call("UpdateTrail");
        setting
            .trails
            .update(setting.account(), &Setting::name(), &event, change)
            .unwrap();
    };
    let of = |part: &str| {
        let keys = setting.keys(part);
        setting.bucket.objects.lock()[keys.last().unwrap()]
            .encryption
            .clone()
    };
    assert_eq!(of("/CloudTrail/"), Encryption::Kms(KEY_ARN.to_owned()));
    assert_eq!(of("/CloudTrail-Digest/"), Encryption::SseS3);
    change(true);
    setting.pass(HOUR);
    assert_eq!(
        of("/CloudTrail-Digest/"),
        Encryption::Kms(KEY_ARN.to_owned())
    );
}

#[test]
fn hours_without_events_have_digests_those_of_an_outage_too() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.pass(300_000);
    setting.record("Unseen");
    setting.pass(5 * HOUR);
    setting.stop();
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(names, ["StartLogging", "Unseen", "StopLogging"]);
    assert_eq!(digests, 6);
}

#[test]
fn a_bucket_that_refuses_is_tried_again_and_gets_everything() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    *setting.bucket.refuses.lock() = true;
    for _ in 0..50 {
        setting.record("During");
        setting.pass(300_000);
    }
    let state = setting.state();
    assert_eq!(state.delivery_error.as_deref(), Some("AccessDenied"));
    assert_eq!(state.delivered_millis, None);
    assert!(state.failures > 40);
    *setting.bucket.refuses.lock() = false;
    setting.pass(300_000);
    let state = setting.state();
    assert_eq!((state.delivery_error, state.failures), (None, 0));
    assert!(state.delivered_millis.is_some());
    setting.stop();
    setting.pass(2000);
    let (names, _) = setting.check();
    assert_eq!(names.len(), 52);
}

#[test]
fn a_stopped_trail_that_starts_again_begins_a_new_chain() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    for round in 0..3 {
        setting.start();
        setting.record("During");
        setting.pass(600_000);
        setting.stop();
        setting.pass(2000 + round);
        setting.record("Between");
        setting.pass(HOUR);
    }
    let (names, digests) = setting.check();
    assert_eq!(names.iter().filter(|name| *name == "During").count(), 3);
    assert!(!names.contains(&"Between".to_owned()));
    assert_eq!(digests, 3);
    let first = |key: &String| {
        let digest: Value = serde_json::from_slice(&setting.unzipped(key)).unwrap();
        digest["previousDigestS3Object"].is_null()
    };
    assert!(setting.keys("/CloudTrail-Digest/").iter().all(first));
}

#[test]
fn starting_before_the_rest_was_delivered_goes_on_with_the_chain() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.record("A");
    setting.pass(1000);
    setting.stop();
    setting.start();
    setting.record("B");
    setting.pass(300_000);
    setting.stop();
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(
        names
            .iter()
            .filter(|name| ["A", "B"].contains(&name.as_str()))
            .count(),
        2
    );
    assert_eq!(digests, 1);
}

#[test]
fn a_deleted_trail_delivers_the_rest_and_is_gone() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.record("A");
    let delete = || {
        let event = setting.call("DeleteTrail");
        setting
            .trails
            .delete(setting.account(), &Setting::name(), &event)
    };
    delete().unwrap();
    assert!(matches!(
        delete(),
        Err(TrailsError::Refused(TrailProblem::Unknown(_)))
    ));
    assert!(setting.trails.list(setting.account()).unwrap().is_empty());
    setting.create(UpdateTrail::default());
    setting.pass(2000);
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(names, ["StartLogging", "A", "DeleteTrail"]);
    assert_eq!(digests, 1);
    assert_eq!(setting.trails.all().unwrap().len(), 1, "the new one");
    // Whose bucket is gone, in the end goes as well.
    setting.start();
    delete().unwrap();
    *setting.bucket.refuses.lock() = true;
    setting.pass(2000);
    assert_eq!(setting.trails.all().unwrap().len(), 1);
    setting.pass(25 * HOUR);
    setting.pass(25 * HOUR);
    assert!(setting.trails.all().unwrap().is_empty());
    assert_eq!(
        setting.world.all(Table::AUDIT_TRAILS).len(),
        1,
        "the account's row"
    );
}

#[test]
fn what_a_trail_has_still_to_deliver_is_kept_longer() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.pass(2000);
    setting.start();
    setting.pass(2000);
    let sweep = || {
        let keep = setting.trails.keep_from(Lane::Management).unwrap();
        let world = &setting.world;
        let mut removed = 0;
        loop {
            let moved = world
                .ledger()
                .sweep(Lane::Management, world.now(), keep)
                .unwrap();
            removed += moved.count;
            if !moved.more {
                return removed;
            }
        }
    };
    *setting.bucket.refuses.lock() = true;
    setting.record("Late");
    setting.pass(HOUR);
    setting.world.pass(RETENTION_MILLIS);
    let before = sweep();
    assert_eq!(before, 1, "CreateTrail was before the trail logged");
    setting.world.pass(UNDELIVERED_MILLIS);
    assert!(sweep() > 0);
    *setting.bucket.refuses.lock() = false;
    setting.pass(1000);
    // What is gone is not delivered, and what comes is.
    setting.record("New");
    setting.pass(HOUR);
    setting.stop();
    setting.pass(2000);
    let (names, _) = setting.check();
    assert!(names.contains(&"New".to_owned()) && !names.contains(&"Late".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    /// Whatever fails, in whatever order, with answers lost between the put and its record, and with
    /// other processes at the same trail: every event is delivered once, and the chain verifies.
    #[test]
    fn nothing_is_lost_and_nothing_is_delivered_twice(
        operations in proptest::collection::vec((0..10_u8, 0..3_u8), 1..60),
        seed in any::<u64>(),
    ) {
        let setting = Setting::new(World::with_conflicts(seed));
        setting.create(UpdateTrail::default());
        setting.start();
        let mut expected = 1;
        for (operation, kind) in operations {
            match operation {
                0..=3 => {
                    setting.record("Event");
                    expected += 1;
                }
                4..=5 => {
                    let outcome = [Outcome::Refused, Outcome::DoneUnheard, Outcome::Done];
                    setting.bucket.outcomes.lock().insert(0, outcome[usize::from(kind)]);
                }
                6..=7 => setting.pass(300_000),
                8 => setting.world.pass(60_000),
                _ => setting.pass(HOUR * u64::from(kind)),
            }
        }
        setting.bucket.outcomes.lock().clear();
        setting.stop();
        expected += 1;
        for _ in 0..3 {
            setting.pass(300_000);
        }
        let (names, _) = setting.check();
        prop_assert_eq!(names.len(), expected);
    }
}
