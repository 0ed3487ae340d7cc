//! What depends on a key: counted whatever the size of a page, and never twice.

use std::collections::BTreeMap;

use strongroom_policy::actions::{DeleteObject, PutObject};
use strongroom_s3::{
    CreateMultipartUploadInput, DeleteObjectInput, DependentCounts, Dependents, DependentsPlace,
    KeyNames, PutObjectInput, Versioning,
};
use strongroom_sse::SseHeaders;
use strongroom_types::kms::KeyArn;

use crate::support::Fixture;

fn under(algorithm: &str, key: &KeyArn, bucket_key: bool) -> SseHeaders {
    SseHeaders {
        algorithm: Some(algorithm.to_owned()),
        kms_key_id: Some(key.to_string()),
        bucket_key_enabled: bucket_key.then(|| "true".to_owned()),
        ..SseHeaders::default()
    }
}

fn put(f: &Fixture, name: &str, sse: SseHeaders, len: usize) {
    let input = PutObjectInput {
        sse,
        ..PutObjectInput::default()
    };
    f.try_put(name, input, &vec![7; len]).unwrap();
}

/// Counts of each key by the walk with pages of `limit`, and wrapped keys of all materials.
fn walk(f: &Fixture, keys: &[KeyArn], limit: usize) -> (Vec<DependentCounts>, u64, u64) {
    let names: Vec<KeyNames> = keys
        .iter()
        .map(|arn| KeyNames {
            arn: arn.clone(),
            aliases: Vec::new(),
        })
        .collect();
    let walk = Dependents::new(&f.sealed, &names);
    let mut counts: BTreeMap<usize, DependentCounts> = BTreeMap::new();
    let (mut wrapped, mut looked_at, mut place) = (0, 0, None);
    loop {
        let page = walk.page(place, limit).unwrap();
        assert_eq!(page.damaged, 0);
        assert!(page.looked_at <= u64::try_from(limit).unwrap());
        for (at, found) in page.found {
            counts.entry(at).or_default().add(&found.counts);
        }
        wrapped += page.materials.values().sum::<u64>();
        looked_at += page.looked_at;
        let Some(next) = page.next else {
            break;
        };
        // As it goes through a socket.
        place = Some(DependentsPlace::parse(&next.to_bytes()).unwrap());
        assert_eq!(place.as_ref(), Some(&next));
    }
    let counts = (0..keys.len()).map(|at| counts.remove(&at).unwrap_or_default());
    (counts.collect(), wrapped, looked_at)
}

#[test]
fn every_version_and_upload_is_counted_once_whatever_the_pages_are() {
    let f = Fixture::new(Versioning::Enabled);
    let (a, b) = (f.keys.create(), f.keys.create());
    put(&f, "plain", SseHeaders::default(), 5);
    put(&f, "k", under("aws:kms", &a, false), 10);
    put(&f, "k", under("aws:kms", &a, true), 20);
    put(&f, "k", under("aws:kms", &b, false), 40);
    put(&f, "l", under("aws:kms:dsse", &a, false), 80);
    put(&f, "gone", under("aws:kms", &a, true), 160);
    let entry = f.entry::<DeleteObject>("gone");
    f.service
        .delete_object(entry, DeleteObjectInput::default())
        .unwrap();
    let input = CreateMultipartUploadInput {
        sse: under("aws:kms", &a, true),
        ..CreateMultipartUploadInput::default()
    };
    let entry = f.entry::<PutObject>("m");
    f.service.create_multipart_upload(entry, input).unwrap();
    let of_a = DependentCounts {
        // `k` has a current version under the other key, and `gone` has none.
        objects: 1,
        versions: 4,
        bytes: 270,
        bucket_key_versions: 2,
        dsse_versions: 1,
        uploads: 1,
    };
    let of_b = DependentCounts {
        objects: 1,
        versions: 1,
        bytes: 40,
        ..DependentCounts::default()
    };
    // Six versions, a delete marker and an upload.
    for limit in [1, 2, 3, 7, 8, 9, 1000] {
        let (counts, wrapped, looked_at) = walk(&f, &[a.clone(), b.clone()], limit);
        assert_eq!(counts, [of_a, of_b], "{limit}");
        assert_eq!((wrapped, looked_at), (6, 8), "{limit}");
    }
    let (mut total, mut from) = (0, None);
    loop {
        let (count, next) = Dependents::count(&f.sealed, from.as_deref(), 3).unwrap();
        total += count;
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(total, 8);
    assert_eq!(
        walk(&f, &[f.keys.create()], 3).0,
        [DependentCounts::default()]
    );
}

#[test]
fn a_place_that_is_none_is_refused() {
    for wrong in [&[][..], &[1], &[0, 0], &[4, 0], &[1, 2, b'a']] {
        assert_eq!(DependentsPlace::parse(wrong), None, "{wrong:?}");
    }
}
