//! Tags of objects: when they decide, and that nobody learns them by being refused.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use strongroom_policy::actions::{GetObject, GetObjectTagging, PutObjectTagging};
use strongroom_ports::Clock as _;
use strongroom_s3::{GetObjectInput, S3Error};
use strongroom_types::{
    BucketName, ObjectKey, Region, RequestContext, RequestId, TagSet, Transport,
};

use super::{Counting, Fixed, OTHER, OWNER, World, deny, root, user};

#[tokio::test]
async fn the_tags_of_an_object_decide_where_a_policy_asks_for_them() {
    let world = World::with_object().await;
    let secret = [("x-amz-tagging", "class=secret")];
    world.owner("PUT", "/abc/s", &secret, b"x").await;
    let reader = world.set_user(
        "reader",
        r#"{"Effect":"Allow","Action":["s3:GetObject*","s3:DeleteObject*"],"Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"open"}}}"#,
    );
    for (at, status) in [
        (("GET", "/abc/k"), 200),
        (("HEAD", "/abc/k"), 200),
        (("GET", "/abc/k?versionId=null"), 200),
        (("GET", "/abc/k?tagging"), 200),
        (("GET", "/abc/s"), 403),
        (("GET", "/abc/s?versionId=null"), 403),
        (("GET", "/abc/none"), 403),
        (("DELETE", "/abc/k"), 403),
    ] {
        let told = world.call(&reader, at, &[], b"").await;
        assert_eq!(told.status, status, "{at:?} {}", told.body);
    }
    let guarded = r#"{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}}"#;
    world.set_policy(guarded).await;
    let get = async |target| {
        world
            .call(&root(OWNER), ("GET", target), &[], b"")
            .await
            .status
    };
    assert_eq!((get("/abc/k").await, get("/abc/s").await), (200, 403));
}

#[tokio::test]
async fn tags_whose_names_differ_in_case_hide_no_value() {
    let world = World::with_object().await;
    let tags = "class=secret&Class=open";
    world
        .owner("PUT", "/abc/s", &[("x-amz-tagging", tags)], b"x")
        .await;
    let values = Some(["secret", "open"].map(str::to_owned).to_vec());
    let mut got = world.values("s3:PutObject", "s3:RequestObjectTag/CLASS");
    got.as_mut().unwrap().sort_by(|a, b| b.cmp(a));
    assert_eq!(got, values);
    for wanted in ["secret", "open"] {
        let guarded = deny(
            "s3:GetObject",
            &format!(r#"{{"StringEquals":{{"s3:ExistingObjectTag/class":"{wanted}"}}}}"#),
        );
        world.set_policy(&guarded).await;
        let told = world.call(&root(OWNER), ("GET", "/abc/s"), &[], b"").await;
        assert_eq!(told.status, 403, "{wanted}");
    }
}

#[tokio::test]
async fn nobody_learns_the_tags_of_objects_from_denials() {
    let world = World::with_object().await;
    let secret = [("x-amz-tagging", "class=secret")];
    world.owner("PUT", "/abc/s", &secret, b"x").await;
    let curious = |value: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}},{{"Sid":"Guess","Effect":"Deny","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"s3:ExistingObjectTag/class":"{value}"}}}}}}"#
        )
    };
    // The first eight bytes of the id that requests have here.
    let id = 9_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let ask = async |account: &str, guess: &str, target: &str| {
        world.set_user("curious", &curious(guess));
        let told = world
            .call(&user(account, "curious"), ("GET", target), &[], b"")
            .await;
        assert_eq!(told.status, 403);
        world.denials.take(id).unwrap().message
    };
    let own = ask(OWNER, "other", "/abc/s").await;
    assert!(!own.contains("secret"), "{own}");
    let right = ask(OTHER, "secret", "/abc/s").await;
    assert!(
        !right.contains("secret") && !right.contains("Guess"),
        "{right}"
    );
    assert_eq!(right, ask(OTHER, "wrong", "/abc/s").await);
    let other_object = ask(OTHER, "secret", "/abc/k").await;
    assert_eq!(right, other_object.replace("/k\"", "/s\""));
}

#[tokio::test]
async fn what_was_let_in_by_tags_is_not_done_to_an_object_with_others() {
    let world = World::with_object().await;
    world.set_user(
        "reader",
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"open"}}}"#,
    );
    let context = Arc::new(RequestContext {
        request_id: RequestId::random(&Counting(AtomicU64::new(9))),
        received: Fixed.now(),
        principal: user(OWNER, "reader"),
        canonical_id: None,
        access_key_id: None,
        session: None,
        via_service: None,
        region: Region::parse("us-east-1").unwrap(),
        source_ip: Ipv4Addr::LOCALHOST.into(),
        transport: Transport::Plain,
        user_agent: None,
        sent: None,
    });
    let bucket = BucketName::parse("abc").unwrap();
    let key = ObjectKey::parse("k").unwrap();
    let s3 = &world.s3;
    let get = || s3.enter_version::<GetObject>(context.clone(), &bucket, &key, None, None);
    let get_tags =
        || s3.enter_version::<GetObjectTagging>(context.clone(), &bucket, &key, None, None);
    let put_tags =
        || s3.enter_version::<PutObjectTagging>(context.clone(), &bucket, &key, None, None);
    let (read, listed, changed) = (get().unwrap(), get_tags().unwrap(), put_tags().unwrap());
    assert!(
        s3.head_object(get().unwrap(), GetObjectInput::default())
            .is_ok()
    );
    let tagging =
        br"<Tagging><TagSet><Tag><Key>class</Key><Value>secret</Value></Tag></TagSet></Tagging>";
    world.owner("PUT", "/abc/k?tagging", &[], tagging).await;
    let outcomes = [
        s3.head_object(read, GetObjectInput::default()).err(),
        s3.get_object_tagging(listed, None).err(),
        s3.put_object_tagging(changed, None, TagSet::default())
            .err(),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Some(S3Error::Contention)), "{outcome:?}");
    }
    assert!(matches!(get(), Err(S3Error::AccessDenied(_))));
}

#[tokio::test]
async fn the_tags_that_a_copy_takes_along_are_tags_of_the_request() {
    let world = World::with_object().await;
    let source = ("x-amz-copy-source", "/abc/k");
    let replace = ("x-amz-tagging-directive", "REPLACE");
    world.owner("PUT", "/abc/copy", &[source], b"").await;
    for action in ["s3:PutObject", "s3:PutObjectTagging"] {
        let value = world.values(action, "s3:RequestObjectTag/class");
        assert_eq!(value, Some(vec!["open".to_owned()]), "{action}");
        let keys = world.values(action, "s3:RequestObjectTagKeys");
        assert_eq!(keys, Some(vec!["class".to_owned()]), "{action}");
    }
    let condition = r#"{"StringEquals":{"s3:RequestObjectTag/class":"open"}}"#;
    for action in ["s3:PutObject", "s3:PutObjectTagging"] {
        world.set_policy(&deny(action, condition)).await;
        let at = ("PUT", "/abc/copy");
        let told = world.call(&root(OWNER), at, &[source], b"").await;
        assert_eq!(told.code, "AccessDenied", "{action}");
        world
            .owner("PUT", "/abc/copy", &[source, replace], b"")
            .await;
    }
}
