//! Versions of a key, and what deletes do to them.

use std::collections::BTreeMap;

use strongroom_policy::actions::DeleteObject;
use strongroom_ports::Table;
use strongroom_s3::{
    DeleteObjectInput, DeleteObjectOutput, ETagCondition, GetObjectInput, S3Error, Versioning,
};
use strongroom_types::{ETag, VersionId};

use super::{assert_nothing_left, clean, delete};
use crate::support::{Fixture, bucket, context, object_key, pattern};

fn at(version: VersionId) -> GetObjectInput {
    GetObjectInput {
        version: Some(version),
        ..GetObjectInput::default()
    }
}

#[test]
fn versions_tell_the_story_of_a_key() {
    let f = Fixture::new(Versioning::Never);
    assert_eq!(f.put("k", b"before").version, None);
    f.set_versioning(Versioning::Enabled);
    let first = f.put("k", b"first").version.unwrap();
    let second = f.put("k", b"second").version.unwrap();
    assert_eq!(f.get("k"), b"second");
    assert_eq!(f.read("k", at(first)).unwrap(), b"first");
    assert_eq!(f.read("k", at(VersionId::Null)).unwrap(), b"before");

    let marker = delete(&f, "k", None);
    assert!(marker.delete_marker);
    let marker = marker.version.unwrap();
    let hidden = f.try_get("k", GetObjectInput::default()).unwrap_err();
    assert_eq!(
        hidden,
        S3Error::NoSuchKey {
            key: object_key("k"),
            delete_marker: Some(marker)
        }
    );
    assert!(
        matches!(f.try_get("k", at(marker)), Err(S3Error::IsDeleteMarker { version, .. }) if version == marker)
    );
    assert_eq!(f.rows(Table::CURRENT).len(), 0);

    let removed = delete(&f, "k", Some(marker));
    assert_eq!(
        removed,
        DeleteObjectOutput {
            version: Some(marker),
            delete_marker: true
        }
    );
    assert_eq!(
        f.get("k"),
        b"second",
        "the version behind a removed marker is current again"
    );
    delete(&f, "k", Some(second));
    assert_eq!(f.get("k"), b"first");

    f.set_versioning(Versioning::Suspended);
    assert_eq!(f.put("k", b"null").version, Some(VersionId::Null));
    assert_eq!(f.read("k", at(VersionId::Null)).unwrap(), b"null");
    assert_eq!(
        f.rows(Table::VERSIONS).len(),
        2,
        "the new null version replaced the one from before"
    );
    assert_eq!(f.put("k", b"null again").version, Some(VersionId::Null));
    assert_eq!(f.rows(Table::VERSIONS).len(), 2);

    f.set_versioning(Versioning::Enabled);
    let third = f.put("k", b"third").version.unwrap();
    f.set_versioning(Versioning::Suspended);
    let null_marker = delete(&f, "k", None);
    assert_eq!(
        null_marker,
        DeleteObjectOutput {
            version: Some(VersionId::Null),
            delete_marker: true
        }
    );
    assert_eq!(
        f.rows(Table::VERSIONS).len(),
        3,
        "the null marker replaced the null version in the middle"
    );
    assert!(matches!(
        f.try_get("k", GetObjectInput::default()),
        Err(S3Error::NoSuchKey { .. })
    ));
    delete(&f, "k", Some(VersionId::Null));
    assert_eq!(f.get("k"), b"third");
    assert_eq!(f.rows(Table::NULL_VERSIONS).len(), 0);
    delete(&f, "k", Some(third));
    delete(&f, "k", Some(first));
    clean(&f);
    assert_nothing_left(&f);
}

#[test]
fn deleting_what_is_not_there_succeeds() {
    let f = Fixture::new(Versioning::Never);
    assert_eq!(delete(&f, "k", None), DeleteObjectOutput::default());
    let missing = f.try_get("k", GetObjectInput::default()).unwrap_err();
    assert_eq!(
        missing,
        S3Error::NoSuchKey {
            key: object_key("k"),
            delete_marker: None
        }
    );
    assert_eq!(
        delete(&f, "k", Some(VersionId::Null)),
        DeleteObjectOutput {
            version: Some(VersionId::Null),
            delete_marker: false
        }
    );
    f.set_versioning(Versioning::Enabled);
    assert!(delete(&f, "k", None).delete_marker);
}

#[test]
fn deleting_all_versions_in_one_request_leaves_no_current_row() {
    let f = Fixture::new(Versioning::Enabled);
    let versions: Vec<_> = (0..4).map(|_| f.put("k", b"x").version).collect();
    // Newest first, as ListObjectVersions answers and every script that empties a bucket sends.
    let entries = versions.into_iter().rev().map(|version| {
        let input = DeleteObjectInput {
            version,
            if_match: None,
        };
        (Ok(f.entry::<DeleteObject>("k")), input)
    });
    let outcomes = f.service.delete_objects(entries.collect());
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(f.rows(Table::VERSIONS).is_empty());
    assert!(
        f.rows(Table::CURRENT).is_empty(),
        "a key that lists and cannot be read"
    );
}

#[test]
fn many_deletes_in_one_request_each_have_their_outcome() {
    let f = Fixture::new(Versioning::Never);
    for key in ["a", "b", "c"] {
        f.put(key, &pattern(20_000));
    }
    let entry = |key: &str| Ok(f.entry::<DeleteObject>(key));
    let wrong = DeleteObjectInput {
        version: None,
        if_match: Some(ETagCondition::Tags(vec![ETag::from_stored("x")])),
    };
    let outcomes = f.service.delete_objects(vec![
        (entry("a"), DeleteObjectInput::default()),
        (Err(S3Error::Contention), DeleteObjectInput::default()),
        (entry("a"), DeleteObjectInput::default()),
        (entry("b"), wrong),
        (entry("c"), DeleteObjectInput::default()),
        (entry("none"), DeleteObjectInput::default()),
    ]);
    assert_eq!(outcomes[0], Ok(DeleteObjectOutput::default()));
    assert_eq!(outcomes[1], Err(S3Error::Contention));
    assert_eq!(outcomes[2], Ok(DeleteObjectOutput::default()));
    assert_eq!(
        outcomes[3],
        Err(S3Error::PreconditionFailed {
            condition: "If-Match"
        })
    );
    assert_eq!(outcomes[4], Ok(DeleteObjectOutput::default()));
    assert_eq!(outcomes[5], Ok(DeleteObjectOutput::default()));
    clean(&f);
    assert_eq!(f.rows(Table::CURRENT).len(), 1);
    assert_eq!(f.blob_ids().len(), 1);
}

#[test]
fn listed_sizes_and_tags_are_those_of_the_current_version() {
    let f = Fixture::new(Versioning::Enabled);
    let mut expected = BTreeMap::new();
    for (key, size) in [("a", 1), ("b", 2), ("a", 3)] {
        expected.insert(
            key.to_owned(),
            (size as u64, f.put(key, &pattern(size)).etag),
        );
    }
    let entry = f.service.enter_bucket(context(), &bucket(), None).unwrap();
    let input = strongroom_s3::ListObjectsInput {
        max_keys: 10,
        ..Default::default()
    };
    let page = f.service.list_objects(entry, input).unwrap();
    let listed: BTreeMap<_, _> = page
        .objects
        .into_iter()
        .map(|object| (object.key, (object.size_bytes, object.etag)))
        .collect();
    assert_eq!(listed, expected);
}
