//! Conditions of writes and of reads.

use strongroom_policy::actions::DeleteObject;
use strongroom_s3::{
    DeleteObjectInput, ETagCondition, GetObjectInput, PutObjectInput, ReadConditions, S3Error,
    Versioning, WriteConditions,
};
use strongroom_types::ETag;

use super::{clean, delete, md5_etag};
use crate::support::{Fixture, pattern};

#[test]
fn write_conditions_are_judged_against_the_newest_version() {
    let f = Fixture::new(Versioning::Enabled);
    let put = |conditions: WriteConditions, size: usize| {
        f.try_put(
            "k",
            PutObjectInput {
                conditions,
                ..PutObjectInput::default()
            },
            &pattern(size),
        )
    };
    let absent = WriteConditions {
        if_match: None,
        if_none_match: true,
    };
    let matching = |tag: &ETag| WriteConditions {
        if_match: Some(ETagCondition::Tags(vec![tag.clone()])),
        if_none_match: false,
    };
    // Small bodies and large ones take different ways to the same decision.
    for size in [10, 100_000] {
        assert!(matches!(
            put(matching(&md5_etag(b"")), size),
            Err(S3Error::NoSuchKey { .. })
        ));
        let first = put(absent.clone(), size).unwrap();
        let exists = put(absent.clone(), size).unwrap_err();
        assert_eq!(
            exists,
            S3Error::PreconditionFailed {
                condition: "If-None-Match"
            }
        );
        put(matching(&first.etag), size + 1).unwrap();
        let stale = put(matching(&first.etag), size).unwrap_err();
        assert_eq!(
            stale,
            S3Error::PreconditionFailed {
                condition: "If-Match"
            }
        );
        let input = DeleteObjectInput {
            version: None,
            if_match: Some(ETagCondition::Tags(vec![first.etag])),
        };
        let stale = f
            .service
            .delete_object(f.entry::<DeleteObject>("k"), input)
            .unwrap_err();
        assert_eq!(
            stale,
            S3Error::PreconditionFailed {
                condition: "If-Match"
            }
        );
        delete(&f, "k", None);
        let input = DeleteObjectInput {
            version: None,
            if_match: Some(ETagCondition::Any),
        };
        let nothing = f
            .service
            .delete_object(f.entry::<DeleteObject>("k"), input)
            .unwrap_err();
        assert!(matches!(
            nothing,
            S3Error::NoSuchKey {
                delete_marker: Some(_),
                ..
            }
        ));
    }
    clean(&f);
}

#[test]
fn read_conditions_are_judged() {
    let f = Fixture::new(Versioning::Never);
    let etag = f.put("k", b"abc").etag;
    let get = |conditions| {
        f.try_get(
            "k",
            GetObjectInput {
                conditions,
                ..GetObjectInput::default()
            },
        )
    };
    let tag = |etag: &ETag| Some(ETagCondition::Tags(vec![etag.clone()]));
    let same = ReadConditions {
        if_none_match: tag(&etag),
        ..ReadConditions::default()
    };
    assert!(matches!(get(same), Err(S3Error::NotModified { etag: got, .. }) if got == etag));
    let other = ReadConditions {
        if_match: tag(&md5_etag(b"")),
        ..ReadConditions::default()
    };
    assert_eq!(
        get(other).unwrap_err(),
        S3Error::PreconditionFailed {
            condition: "If-Match"
        }
    );
}
