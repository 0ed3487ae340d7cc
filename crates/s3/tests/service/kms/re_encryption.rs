//! Other keys for what is stored: one version, and a prefix page by page.

use strongroom_policy::actions::ListBucketVersions;
use strongroom_ports::{KeyError, Table};
use strongroom_s3::{GetObjectInput, ReEncryptionJob, ReEncryptionRefusal, S3Error, Versioning};
use strongroom_sse::SseHeaders;
use strongroom_types::SseAlgorithm;
use strongroom_types::kms::KeyArn;

use super::{answer, checksums, dsse, kms, put, update};
use crate::support::keys::KeyState;
use crate::support::{Fixture, bucket, context, customer, pattern};

#[test]
fn updating_the_encryption_changes_the_key_and_nothing_else() {
    let f = Fixture::new(Versioning::Enabled);
    let (first, second) = (f.keys.create(), f.keys.create());
    for size in [100, 100_000] {
        let body = pattern(size);
        put(&f, "k", SseHeaders::default(), &body).unwrap();
        let before = f.try_get("k", checksums()).unwrap().object;
        let blobs = f.blob_ids();
        for (key, bucket_key) in [(&first, false), (&second, true), (&first, true)] {
            f.clock.advance_seconds(1);
            update(&f, key, bucket_key).unwrap();
            let output = f.try_get("k", checksums()).unwrap();
            let after = output.object.clone();
            assert_eq!(f.drain(output).unwrap(), body);
            assert_eq!(
                after.encryption,
                answer(SseAlgorithm::AwsKms, key, bucket_key)
            );
            assert_eq!(
                (
                    after.etag,
                    after.last_modified,
                    after.version,
                    after.checksum
                ),
                (
                    before.etag.clone(),
                    before.last_modified,
                    before.version,
                    before.checksum.clone()
                )
            );
            assert_eq!(f.blob_ids(), blobs);
        }
        // Now it is the new key that decides.
        f.keys.set(&second, KeyState::Deleted);
        assert_eq!(f.get("k"), body);
        f.keys.set(&first, KeyState::Disabled);
        assert!(f.try_get("k", GetObjectInput::default()).is_err());
        assert!(update(&f, &second, false).is_err());
        f.keys.set(&first, KeyState::Enabled);
        f.keys.set(&second, KeyState::Enabled);
    }
    put(&f, "k", dsse(&first), b"x").unwrap();
    let refused = |refusal| Err(S3Error::ReEncryption(refusal));
    assert_eq!(
        update(&f, &second, false),
        refused(ReEncryptionRefusal::SourceDsse)
    );
    let sse = SseHeaders {
        customer: customer(1),
        ..SseHeaders::default()
    };
    put(&f, "k", sse, b"x").unwrap();
    assert_eq!(
        update(&f, &second, false),
        refused(ReEncryptionRefusal::SourceSseC)
    );
    put(&f, "k", SseHeaders::default(), b"x").unwrap();
    let foreign = KeyArn {
        account: strongroom_types::AccountId::parse("222222222222").unwrap(),
        ..second
    };
    assert_eq!(
        update(&f, &foreign, false),
        refused(ReEncryptionRefusal::ForeignKey)
    );
}

#[test]
fn a_prefix_is_encrypted_anew_page_by_page_and_goes_on_where_it_was() {
    let f = Fixture::new(Versioning::Enabled);
    let (key, other) = (f.keys.create(), f.keys.create());
    for number in 0..7 {
        put(&f, &format!("a/{number}"), SseHeaders::default(), b"x").unwrap();
    }
    put(&f, "a/5", kms(Some(&key.to_string())), b"newer").unwrap();
    put(&f, "a/8", dsse(&other), b"two layers").unwrap();
    put(&f, "b", SseHeaders::default(), b"x").unwrap();
    let job = ReEncryptionJob {
        prefix: "a/".to_owned(),
        key: key.clone(),
        bucket_key: false,
    };
    let page = || {
        let entry = f
            .service
            .enter_bucket::<ListBucketVersions>(context(), &bucket(), None)
            .unwrap();
        f.service.reencrypt(entry, &job, 4)
    };
    let entry = || {
        let bucket = bucket();
        let entered = f
            .service
            .enter_bucket::<ListBucketVersions>(context(), &bucket, None);
        entered.unwrap()
    };
    let counted = |from| f.service.count_versions(&entry(), "a/", from).unwrap();
    assert_eq!((counted(None).count, counted(None).next), (9, None));
    assert_eq!(counted(Some(vec![0xff; 20].into())).count, 0);
    // A key that serves no version stops the job before it begins.
    f.keys.set(&key, KeyState::Disabled);
    assert!(matches!(page(), Err(S3Error::Kms(KeyError::Disabled(_)))));
    f.keys.set(&key, KeyState::Enabled);
    let first = page().unwrap();
    assert_eq!((first.updated, first.looked_at, first.done), (4, 4, false));
    // What would meet every version alike stops the job where it is.
    f.keys.set_unavailable(true);
    assert_eq!(page().unwrap_err(), S3Error::Kms(KeyError::Unavailable));
    f.keys.set_unavailable(false);
    assert!(!page().unwrap().done);
    let last = page().unwrap();
    assert!(last.done);
    assert_eq!((last.updated, last.already, last.skipped), (7, 1, 1));
    assert_eq!((last.failed, last.looked_at), (0, 9));
    let skipped: Vec<_> = last
        .skipped_here
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(skipped, ["a/8"]);
    assert!(f.rows(Table::REENCRYPTION_JOBS).is_empty());
    assert_eq!(f.get("a/3"), b"x");
    f.keys.set(&key, KeyState::Disabled);
    assert!(f.try_get("a/3", GetObjectInput::default()).is_err());
    assert_eq!(f.get("b"), b"x");
}

#[test]
fn a_damaged_row_does_not_hold_up_the_versions_behind_it() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for name in ["a", "b", "c"] {
        put(&f, name, SseHeaders::default(), b"x").unwrap();
    }
    let row = f.rows(Table::VERSIONS).remove(1);
    let mut value = row.value.to_vec();
    value[9] ^= 1;
    f.replace_row(Table::VERSIONS, &row.key, value);
    let job = |key: &KeyArn| {
        let entry = f
            .service
            .enter_bucket::<ListBucketVersions>(context(), &bucket(), None)
            .unwrap();
        let job = ReEncryptionJob {
            prefix: String::new(),
            key: key.clone(),
            bucket_key: true,
        };
        f.service.reencrypt(entry, &job, 1000)
    };
    let done = job(&key).unwrap();
    assert_eq!((done.updated, done.failed, done.looked_at), (2, 1, 3));
    let skipped = &done.skipped_here[0];
    assert_eq!(
        (
            skipped.key.as_str(),
            skipped.version,
            skipped.is_expected(),
            &skipped.reason
        ),
        ("b", None, false, &S3Error::Damaged)
    );
    let foreign = KeyArn {
        account: strongroom_types::AccountId::parse("222222222222").unwrap(),
        ..key
    };
    assert_eq!(
        job(&foreign).unwrap_err(),
        S3Error::ReEncryption(ReEncryptionRefusal::ForeignKey)
    );
}

#[test]
fn a_lost_key_is_skipped_and_a_target_that_goes_stops_the_job() {
    let f = Fixture::new(Versioning::Enabled);
    let (target, broken) = (f.keys.create(), f.keys.create());
    for number in 0..6 {
        put(&f, &format!("k{number}"), SseHeaders::default(), b"x").unwrap();
    }
    put(&f, "k3", kms(Some(&broken.to_string())), b"lost").unwrap();
    f.keys.set(&broken, KeyState::Lost);
    let job = ReEncryptionJob {
        prefix: String::new(),
        key: target.clone(),
        bucket_key: false,
    };
    let page = |limit| {
        let entry = f
            .service
            .enter_bucket::<ListBucketVersions>(context(), &bucket(), None)
            .unwrap();
        f.service.reencrypt(entry, &job, limit)
    };
    let first = page(2).unwrap();
    assert_eq!((first.updated, first.skipped), (2, 0));
    // The page begins with a usable key and loses it on the way: nothing of it is counted.
    f.keys.disable_after(&target, 2);
    assert!(matches!(page(10), Err(S3Error::Kms(KeyError::Disabled(_)))));
    assert_eq!(f.rows(Table::REENCRYPTION_JOBS).len(), 1);
    f.keys.set(&target, KeyState::Enabled);
    let last = page(10).unwrap();
    assert_eq!((last.updated + last.already, last.skipped), (6, 1));
    assert_eq!((last.failed, last.looked_at, last.done), (1, 7, true));
    let skipped = &last.skipped_here[0];
    assert_eq!(skipped.key, "k3");
    assert_eq!(skipped.reason, S3Error::Kms(KeyError::Unavailable));
}
