//! Bucket keys: what they save, and for whom.

use std::sync::Arc;

use strongroom_ports::KeyError;
use strongroom_s3::{GetObjectInput, S3Error, Versioning};
use strongroom_types::{Principal, RequestContext, Session, SessionKind, Timestamp};

use super::{ROOT, arn_only, get_as, put, with_bucket_key};
use crate::support::keys::TestTrail;
use crate::support::{Fixture, context};

const BUCKET_ARN: &str = "arn:aws:s3:::bucket";

fn session(name: &str) -> Arc<RequestContext> {
    Arc::new(RequestContext {
        session: Some(token_of(name)),
        ..(*context()).clone()
    })
}

fn token_of(name: &str) -> Arc<Session> {
    Arc::new(Session {
        kind: SessionKind::Token,
        issued: Timestamp::from_millis(0),
        expires: Timestamp::from_millis(u64::MAX),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: Some(name.to_owned()),
        federated_provider: None,
        web_identity: None,
    })
}

#[test]
fn bucket_keys_save_calls_and_no_decision_and_are_nobody_elses() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for name in ["k", "l", "m"] {
        put(&f, name, with_bucket_key(&key), b"x").unwrap();
    }
    let calls = f.keys.take_log();
    assert!(
        calls
            .iter()
            .all(|call| call.context == arn_only(BUCKET_ARN))
    );
    let count = |operation| {
        calls
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    };
    assert_eq!(count("GenerateDataKey"), 1);
    assert_eq!(count("authorize GenerateDataKey"), 3);
    assert_eq!(count("authorize Decrypt"), 3);
    // The writer reads without a cryptographic call, another session does not.
    f.get("k");
    assert_eq!(f.keys.take_operations(), ["authorize Decrypt"]);
    get_as(&f, session("other"), "k").unwrap();
    assert_eq!(f.keys.take_operations(), ["authorize Decrypt", "Decrypt"]);
    get_as(&f, session("other"), "l").unwrap();
    assert_eq!(f.keys.take_operations(), ["authorize Decrypt"]);
    // After its time it is made anew.
    f.clock.advance_seconds(300);
    put(&f, "n", with_bucket_key(&key), b"x").unwrap();
    assert!(f.keys.take_operations().contains(&"GenerateDataKey"));
    f.get("k");
    assert_eq!(f.keys.take_operations(), ["authorize Decrypt", "Decrypt"]);
    // A permission that goes is gone at once, for reads and for writes.
    f.keys.deny(ROOT, "Decrypt");
    let denied = |error| matches!(error, S3Error::Kms(KeyError::AccessDenied(_)));
    assert!(denied(
        f.try_get("k", GetObjectInput::default()).unwrap_err()
    ));
    assert!(denied(
        put(&f, "k", with_bucket_key(&key), b"x").unwrap_err()
    ));
}

#[test]
fn requesters_are_told_apart_by_all_that_names_them() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    put(&f, "k", with_bucket_key(&key), b"x").unwrap();
    let base = (*context()).clone();
    let mut others = vec![RequestContext {
        session: Some(token_of("s")),
        ..base.clone()
    }];
    others.push(RequestContext {
        access_key_id: strongroom_types::AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").ok(),
        ..base.clone()
    });
    assert_eq!(base.principal.arn(), ROOT);
    assert!(matches!(base.principal, Principal::Root { .. }));
    for other in others {
        f.keys.take_log();
        get_as(&f, Arc::new(other), "k").unwrap();
        assert_eq!(f.keys.take_operations(), ["authorize Decrypt", "Decrypt"]);
    }
}

#[test]
fn a_bucket_key_is_kept_for_others_only_with_its_record() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || with_bucket_key(&key);
    f.keys.trail.set_broken(true);
    for _ in 0..2 {
        let refused = put(&f, "k", sse(), b"x").unwrap_err();
        assert_eq!(refused, S3Error::Kms(KeyError::Unavailable));
    }
    f.keys.trail.set_broken(false);
    for _ in 0..3 {
        put(&f, "k", sse(), b"x").unwrap();
    }
    assert_eq!(TestTrail::count(&*f.keys.trail), 1);
}
