//! Every mode through every operation, and how often and as whom the key service is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use strongroom_policy::actions::{DeleteObject, GetObject, PutEncryptionConfiguration};
use strongroom_ports::KeyError;
use strongroom_s3::{
    DeleteObjectInput, EncryptionAnswer, EncryptionChange, GetObjectInput, ReadError, S3Error,
    Versioning,
};
use strongroom_sse::{SseError, SseHeaders};
use strongroom_types::{ETag, PartNumber, RangeSpec, SseAlgorithm};

use super::{
    ROOT, WINDOW, answer, arn_only, attributes, checksums, complete, copy, create, get_as, head,
    kms, list_parts, modes, part, part_copy, put,
};
use crate::support::keys::KeyState;
use crate::support::{Fixture, bucket, context, context_from, object_key, pattern};

const MIB_5: usize = 5 << 20;
const OBJECT_ARN: &str = "arn:aws:s3:::bucket/k";

fn md5_etag(bytes: &[u8]) -> ETag {
    ETag::from_digest(Md5::digest(bytes).into())
}

#[test]
fn every_mode_round_trips_through_every_operation() {
    let f = Fixture::new(Versioning::Enabled);
    let key = f.keys.create();
    for (sse, algorithm, bucket_key) in modes(&key) {
        let expected = answer(algorithm, &key, bucket_key);
        for size in [0, 1, 100, 65_536, WINDOW, 2 * WINDOW + 17] {
            let body = pattern(size);
            let stored = put(&f, "k", sse.clone(), &body).unwrap();
            assert_eq!(stored.encryption, expected);
            assert_ne!(stored.etag, md5_etag(&body), "opaque");
            assert_eq!(f.get("k"), body);
            assert_eq!(head(&f, checksums()).unwrap(), expected);
            assert_eq!(head(&f, GetObjectInput::default()).unwrap(), expected);
            attributes(&f, true).unwrap();
            if size > 100 {
                let ranged = GetObjectInput {
                    range: RangeSpec::parse("bytes=65530-65540"),
                    ..GetObjectInput::default()
                };
                let last = body.len().min(65_541);
                assert_eq!(f.read("k", ranged).unwrap(), &body[65_530..last]);
            }
            let copied = copy(&f, "plain", SseHeaders::default()).unwrap();
            assert_eq!(copied.object.encryption, EncryptionAnswer::SseS3);
            assert_eq!(copied.object.etag, md5_etag(&body));
            let copied = copy(&f, "again", sse.clone()).unwrap();
            assert_eq!(copied.object.encryption, expected);
            assert_eq!(f.get("again"), body);
        }
        let upload = create(&f, "m", sse.clone()).unwrap();
        put(&f, "k", sse.clone(), b"source").unwrap();
        let first = part(&f, "m", upload, 1, &pattern(MIB_5)).unwrap();
        assert_ne!(first, md5_etag(&pattern(MIB_5)));
        let second = part_copy(&f, "m", upload).unwrap();
        assert_eq!(list_parts(&f, "m", upload).unwrap(), 2);
        assert_eq!(
            complete(&f, "m", upload, &[first, second]).unwrap(),
            expected
        );
        assert_eq!(f.get("m"), [pattern(MIB_5).as_slice(), b"our"].concat());
    }
}

#[test]
fn each_operation_makes_the_calls_of_its_row_as_the_caller_via_s3() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = kms(Some(&key.to_string()));
    put(&f, "k", sse.clone(), b"body").unwrap();
    let calls = f.keys.take_log();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].operation, "GenerateDataKey");
    assert_eq!(calls[0].caller, ROOT);
    assert_eq!(calls[0].via.as_deref(), Some("s3.us-east-1.amazonaws.com"));
    assert_eq!(calls[0].context, arn_only(OBJECT_ARN));
    let operations = |what: &str, expected: &[&str]| {
        assert_eq!(f.keys.take_operations(), expected, "{what}");
    };
    f.get("k");
    operations("get", &["Decrypt"]);
    head(&f, GetObjectInput::default()).unwrap();
    operations("head", &[]);
    head(&f, checksums()).unwrap();
    operations("head with checksum", &["Decrypt"]);
    attributes(&f, false).unwrap();
    operations("attributes", &[]);
    attributes(&f, true).unwrap();
    operations("attributes with checksum", &["Decrypt"]);
    copy(&f, "c", sse.clone()).unwrap();
    operations("copy", &["Decrypt", "GenerateDataKey"]);
    let upload = create(&f, "m", sse).unwrap();
    operations("create", &["GenerateDataKey"]);
    let first = part(&f, "m", upload, 1, &pattern(MIB_5)).unwrap();
    operations("part", &["Decrypt"]);
    let second = part_copy(&f, "m", upload).unwrap();
    operations("part copy", &["Decrypt", "Decrypt"]);
    list_parts(&f, "m", upload).unwrap();
    operations("list parts", &["Decrypt"]);
    complete(&f, "m", upload, &[first, second]).unwrap();
    operations("complete", &["Decrypt"]);
    f.service
        .delete_object(f.entry::<DeleteObject>("k"), DeleteObjectInput::default())
        .unwrap();
    operations("delete", &[]);
}

#[test]
fn keys_are_named_in_every_form_and_answered_by_arn() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    f.keys.alias("alias/mine", &key);
    for name in [key.id.to_string(), key.to_string(), "alias/mine".to_owned()] {
        let stored = put(&f, "k", kms(Some(&name)), b"x").unwrap();
        assert_eq!(stored.encryption, answer(SseAlgorithm::AwsKms, &key, false));
    }
    // What the alias points to later does not matter to what is stored.
    f.keys.alias("alias/mine", &f.keys.create());
    assert_eq!(f.get("k"), b"x");
    // The bucket's default names a key; `aws:kms` alone means the AWS managed one all the same.
    let change = EncryptionChange {
        algorithm: Some(SseAlgorithm::AwsKms),
        kms_key_id: Some(key.to_string()),
        bucket_key_enabled: false,
        blocked: None,
    };
    let entry = f
        .service
        .enter_bucket::<PutEncryptionConfiguration>(context(), &bucket(), None)
        .unwrap();
    f.service.put_bucket_encryption(entry, change).unwrap();
    let by_default = put(&f, "k", SseHeaders::default(), b"x").unwrap();
    assert_eq!(
        by_default.encryption,
        answer(SseAlgorithm::AwsKms, &key, false)
    );
    let managed = put(&f, "k", kms(None), b"x").unwrap().encryption;
    let again = put(&f, "k", kms(None), b"x").unwrap().encryption;
    assert_eq!(managed, again);
    assert_ne!(managed, answer(SseAlgorithm::AwsKms, &key, false));
    let wrong = put(&f, "k", kms(Some("aws/s3")), b"x").unwrap_err();
    let text = "Invalid keyId 'aws/s3'".to_owned();
    assert_eq!(wrong, S3Error::Kms(KeyError::NotFound(text)));
}

#[test]
fn a_clients_context_is_kept_and_repeated_only_by_the_write() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let header = BASE64.encode(r#"{"dept":"law"}"#);
    let sse = SseHeaders {
        context: Some(header.clone()),
        ..kms(Some(&key.to_string()))
    };
    let stored = put(&f, "k", sse, b"x").unwrap();
    let EncryptionAnswer::Kms { context, .. } = stored.encryption else {
        panic!("not KMS");
    };
    assert_eq!(context, Some(header));
    assert_eq!(
        head(&f, GetObjectInput::default()).unwrap(),
        answer(SseAlgorithm::AwsKms, &key, false)
    );
    f.keys.take_log();
    assert_eq!(f.get("k"), b"x");
    let expected = arn_only(OBJECT_ARN).with("dept", "law").unwrap();
    assert_eq!(f.keys.take_log()[0].context, expected);
}

#[test]
fn kms_content_needs_a_confidential_connection() {
    let f = Fixture::new(Versioning::Never);
    put(&f, "k", kms(None), b"x").unwrap();
    let remote = context_from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let got = get_as(&f, Arc::clone(&remote), "k").unwrap_err();
    assert_eq!(got, S3Error::Sse(SseError::KmsOverPlainHttp));
    let entry = f
        .service
        .enter_object::<GetObject>(remote, &bucket(), &object_key("k"), None)
        .unwrap();
    let got = f.service.head_object(entry, GetObjectInput::default());
    assert_eq!(got.unwrap_err(), S3Error::Sse(SseError::KmsOverPlainHttp));
}

#[test]
fn what_memory_does_not_hold_is_left_to_a_worker_before_a_key_is_used() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for (sse, _, _) in modes(&key) {
        put(&f, "k", sse.clone(), b"x").unwrap();
        let resident = f.service.resident().unwrap();
        let entry = f.entry::<GetObject>("k");
        f.keys.set_cold(true);
        let got = resident.read_object(&entry, &GetObjectInput::default());
        assert_eq!(got.wait().unwrap_err(), S3Error::NotInMemory);
        f.keys.set_cold(false);
        f.keys.take_log();
        let got = resident.read_object(&entry, &GetObjectInput::default());
        assert_eq!(f.drain(got.wait().unwrap()).unwrap(), b"x");
        assert_eq!(f.keys.take_log().len(), 1);
        // A body that is on the disk is left to a worker before the key service is asked: its file,
        // its header, or either end of its first window.
        let body = pattern(3 * WINDOW);
        put(&f, "k", sse, &body).unwrap();
        f.keys.take_log();
        for reads in 0..3 {
            f.blobs.allow_reads_in_memory(reads);
            let got = resident.read_object(&entry, &GetObjectInput::default());
            assert_eq!(got.wait().unwrap_err(), S3Error::NotInMemory);
            assert!(f.keys.take_log().is_empty());
        }
    }
}

#[test]
fn a_body_in_memory_is_read_there_and_its_key_is_used_once() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let body = pattern(3 * WINDOW + 5);
    for (sse, _, _) in modes(&key) {
        put(&f, "k", sse, &body).unwrap();
        let resident = f.service.resident().unwrap();
        let entry = f.entry::<GetObject>("k");
        let ranged = || GetObjectInput {
            range: RangeSpec::parse("bytes=300000-700000"),
            ..GetObjectInput::default()
        };
        // In memory throughout, or up to some read after the key was used: then a worker goes on.
        for reads in [u64::MAX, 4, 5, 6] {
            let inputs = [
                (GetObjectInput::default(), body.as_slice()),
                (ranged(), &body[300_000..=700_000]),
            ];
            for (input, expected) in inputs {
                f.keys.take_log();
                f.blobs.allow_reads_in_memory(reads);
                let output = resident.read_object(&entry, &input).wait().unwrap();
                assert_eq!(f.drain(output).unwrap(), expected, "{reads}");
                assert_eq!(f.keys.take_log().len(), 1, "{reads}");
            }
        }
        // The lease is asked for each window here too.
        f.blobs.allow_reads_in_memory(u64::MAX);
        let output = resident.read_object(&entry, &GetObjectInput::default());
        f.keys.set(&key, KeyState::Disabled);
        assert_eq!(f.drain(output.wait().unwrap()), Err(ReadError::KeyUnusable));
        f.keys.set(&key, KeyState::Enabled);
    }
}

#[test]
fn a_head_of_parts_uses_its_key_once() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let upload = create(&f, "k", kms(Some(&key.to_string()))).unwrap();
    let etags = [part(&f, "k", upload, 1, b"only").unwrap()];
    complete(&f, "k", upload, &etags).unwrap();
    let resident = f.service.resident().unwrap();
    let entry = f.entry::<GetObject>("k");
    for part_number in [None, PartNumber::new(1)] {
        let input = GetObjectInput {
            part_number,
            ..checksums()
        };
        f.keys.take_log();
        match resident.describe_object(&entry, &input).wait() {
            Ok(_) => {}
            Err(S3Error::NotInMemory) => {
                f.service.describe_object(&entry, &input).wait().unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(f.keys.take_operations(), ["Decrypt"], "{part_number:?}");
    }
}
