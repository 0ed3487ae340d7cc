//! Which trails there are, and which of them want what.

use strongroom_types::AccountId;

use super::{BUCKET, Setting};
use crate::fixture::{KEY_ARN, START, World};
use crate::trails::{
    DataEvents, DataLevel, DataResource, ReadWrite, Selector, Selectors, Trail, TrailName,
    TrailProblem, Trails, TrailsError, UpdateTrail, trails_under_key,
};

#[test]
fn names_are_unique_and_trails_are_five() {
    let setting = Setting::new(World::with_conflicts(4));
    let home = setting.world.home();
    let create = |name: &str| {
        let name = TrailName::parse(name).unwrap();
        let trail = Trail::new(&name, home.account, &home.region, BUCKET, START);
        setting
            .trails
            .create(home.account, &trail, &setting.call("CreateTrail"))
    };
    for name in ["t1x", "t2x", "t3x", "t4x"] {
        create(name).unwrap();
    }
    assert!(matches!(
        create("t1x"),
        Err(TrailsError::Refused(TrailProblem::Exists(_)))
    ));
    create("t5x").unwrap();
    assert!(matches!(
        create("t6x"),
        Err(TrailsError::Refused(TrailProblem::TooMany))
    ));
    assert_eq!(setting.trails.list(home.account).unwrap().len(), 5);
    let other = AccountId::parse("111122223334").unwrap();
    assert!(setting.trails.list(other).unwrap().is_empty());
}

#[test]
fn a_trail_is_found_by_its_key_until_it_is_deleted() {
    let setting = Setting::new(World::new());
    let under = |key: &str| -> Vec<String> {
        let found = trails_under_key(&setting.world.rows(), key).unwrap();
        found.into_iter().map(|trail| trail.name).collect()
    };
    assert!(under(KEY_ARN).is_empty());
    setting.create(UpdateTrail {
        kms_key_arn: Some(KEY_ARN.to_owned()),
        ..UpdateTrail::default()
    });
    assert_eq!(under(KEY_ARN), ["mgmt"]);
    assert!(under("arn:aws:kms:us-east-1:111122223333:key/other").is_empty());
    setting
        .trails
        .delete(
            setting.account(),
            &Setting::name(),
            &setting.call("DeleteTrail"),
        )
        .unwrap();
    assert!(under(KEY_ARN).is_empty());
}

#[test]
fn data_events_are_wanted_while_a_trail_that_selects_them_is_on() {
    let world = World::new();
    let context = world.alice();
    let call = |name: &str, key: &str| {
        let arn = format!("arn:aws:s3:::photos/{key}");
        let event = crate::EventBuilder::of(&context, "s3.amazonaws.com", name).data();
        let event = event.resource("AWS::S3::Object", &arn, None);
        world.log().finish(event)
    };
    let (put, get) = (call("PutObject", "raw/a"), call("GetObject", "raw/a"));
    let wanted = DataEvents::new(DataLevel::Denied);
    let mut setting = Setting::new(world.clone());
    setting.trails = setting.trails.telling(wanted.clone());
    let writes_to_raw = Selectors::Basic(vec![Selector {
        read_write: ReadWrite::WriteOnly,
        management: true,
        data_resources: vec![DataResource {
            kind: "AWS::S3::Object".to_owned(),
            values: vec!["arn:aws:s3:::photos/raw/".to_owned()],
        }],
        excluded_sources: Vec::new(),
    }]);
    setting.create(UpdateTrail::default());
    let event = setting.call("PutEventSelectors");
    let change = |trail| {
        Ok(Trail {
            selectors: writes_to_raw.clone(),
            ..trail
        })
    };
    let name = Setting::name();
    let changed = setting
        .trails
        .update(world.account(), &name, &event, change);
    changed.unwrap();
    assert!(!wanted.any(), "it is not on yet");
    setting.start();
    assert!(wanted.any() && wanted.take(&put) && !wanted.take(&get));
    assert!(!wanted.take(&call("PutObject", "other")));
    // The same after a restart.
    let again = DataEvents::new(DataLevel::Denied);
    drop(Trails::new(world.log()).telling(again.clone()));
    assert!(again.take(&put));
    setting.stop();
    assert!(!wanted.any() && !wanted.take(&put));
    // What the operator wants needs no trail.
    let writes = DataEvents::new(DataLevel::Write);
    assert!(writes.any() && writes.take(&put) && !writes.take(&get));
    assert!(DataEvents::new(DataLevel::All).take(&get));
    wanted.lose();
    assert!(
        wanted.any() && wanted.take(&get),
        "who does not know takes all"
    );
}
