//! SSE-KMS, DSSE-KMS and bucket keys: what is asked of the key service and as whom, what a key that
//! is taken away takes with it, and what does not open for another object.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "shared with the other tests of this crate")]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use strongroom_crypto::parse_footer;
use strongroom_policy::actions::{
    DeleteObject, GetObject, GetObjectAttributes, ListBucketVersions, ListMultipartUploadParts,
    PutEncryptionConfiguration, PutObject, UpdateObjectEncryption,
};
use strongroom_ports::{KeyError, Table};
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopyObjectOutput, CopySource,
    CreateMultipartUploadInput, DeleteObjectInput, EncryptionAnswer, EncryptionChange,
    ExpectedDigests, GetObjectAttributesInput, GetObjectInput, ListPartsInput, MetadataDirective,
    PutObjectInput, PutObjectOutput, ReEncryptionJob, ReEncryptionRefusal, ReadConditions,
    ReadError, S3Error, TaggingDirective, UpdateObjectEncryptionInput, UploadPartCopyInput,
    UploadPartInput, Versioning, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseError, SseHeaders};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{
    ByteRange, ETag, PartNumber, Principal, RangeSpec, RequestContext, Session, SessionKind,
    SseAlgorithm, Timestamp, UploadId,
};
use support::keys::{KeyState, TestTrail};
use support::{
    Fixture, Gated, Pieces, bucket, context, context_from, customer, object_key, pattern,
};

const WINDOW: usize = 256 << 10;
const MIB_5: usize = 5 << 20;
const ROOT: &str = "arn:aws:iam::111111111111:root";
const OBJECT_ARN: &str = "arn:aws:s3:::bucket/k";
const BUCKET_ARN: &str = "arn:aws:s3:::bucket";

fn kms(key: Option<&str>) -> SseHeaders {
    SseHeaders {
        algorithm: Some("aws:kms".to_owned()),
        kms_key_id: key.map(str::to_owned),
        ..SseHeaders::default()
    }
}

fn with_bucket_key(key: &KeyArn) -> SseHeaders {
    SseHeaders {
        bucket_key_enabled: Some("true".to_owned()),
        ..kms(Some(&key.to_string()))
    }
}

fn dsse(key: &KeyArn) -> SseHeaders {
    SseHeaders {
        algorithm: Some("aws:kms:dsse".to_owned()),
        bucket_key_enabled: Some("true".to_owned()),
        ..kms(Some(&key.to_string()))
    }
}

fn put(f: &Fixture, key: &str, sse: SseHeaders, body: &[u8]) -> Result<PutObjectOutput, S3Error> {
    let input = PutObjectInput {
        sse,
        ..PutObjectInput::default()
    };
    f.try_put(key, input, body)
}

fn get_as(f: &Fixture, who: Arc<RequestContext>, key: &str) -> Result<Vec<u8>, S3Error> {
    let entry = f
        .service
        .enter_object::<GetObject>(who, &bucket(), &object_key(key), None)
        .unwrap();
    let output = f.service.get_object(entry, GetObjectInput::default())?;
    Ok(f.drain(output).unwrap())
}

fn checksums() -> GetObjectInput {
    GetObjectInput {
        with_checksum: true,
        ..GetObjectInput::default()
    }
}

fn head(f: &Fixture, input: GetObjectInput) -> Result<EncryptionAnswer, S3Error> {
    let output = f.service.head_object(f.entry::<GetObject>("k"), input)?;
    Ok(output.object.encryption)
}

fn attributes(f: &Fixture, with_checksum: bool) -> Result<(), S3Error> {
    let input = GetObjectAttributesInput {
        with_checksum,
        ..GetObjectAttributesInput::default()
    };
    let entry = f.entry::<GetObjectAttributes>("k");
    f.service.get_object_attributes(entry, input).map(|_| ())
}

fn copy_source() -> CopySource {
    CopySource {
        bucket: bucket(),
        key: object_key("k"),
        version: None,
        conditions: ReadConditions::default(),
        customer: CustomerHeaders::default(),
    }
}

fn copy(f: &Fixture, to: &str, sse: SseHeaders) -> Result<CopyObjectOutput, S3Error> {
    let input = CopyObjectInput {
        metadata: MetadataDirective::Copy,
        tags: TaggingDirective::Copy,
        website_redirect_location: None,
        storage_class_given: false,
        sse,
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
        acl: strongroom_s3::WantedAcl::Unspecified,
    };
    let (from, to) = (f.entry::<GetObject>("k"), f.entry::<PutObject>(to));
    f.service.copy_object(from, to, copy_source(), input)
}

fn create(f: &Fixture, key: &str, sse: SseHeaders) -> Result<UploadId, S3Error> {
    let input = CreateMultipartUploadInput {
        sse,
        ..CreateMultipartUploadInput::default()
    };
    let entry = f.entry::<PutObject>(key);
    Ok(f.service.create_multipart_upload(entry, input)?.upload)
}

fn part(
    f: &Fixture,
    key: &str,
    upload: UploadId,
    number: u64,
    body: &[u8],
) -> Result<ETag, S3Error> {
    let input = UploadPartInput {
        upload,
        part_number: PartNumber::new(number).unwrap(),
        content_length: body.len() as u64,
        customer: CustomerHeaders::default(),
        digests: ExpectedDigests::default(),
    };
    let entry = f.entry::<PutObject>(key);
    let sent = f
        .service
        .upload_part(entry, input, Box::pin(Pieces::of(body)));
    Ok(f.runtime.block_on(sent)?.etag)
}

fn part_copy(f: &Fixture, key: &str, upload: UploadId) -> Result<ETag, S3Error> {
    let input = UploadPartCopyInput {
        upload,
        part_number: PartNumber::new(2).unwrap(),
        source_range: Some(ByteRange { start: 1, end: 4 }),
        customer: CustomerHeaders::default(),
    };
    let (from, to) = (f.entry::<GetObject>("k"), f.entry::<PutObject>(key));
    Ok(f.service
        .upload_part_copy(from, to, copy_source(), input)?
        .etag)
}

fn list_parts(f: &Fixture, key: &str, upload: UploadId) -> Result<usize, S3Error> {
    let input = ListPartsInput {
        upload,
        after: 0,
        max_parts: 10,
        customer: CustomerHeaders::default(),
    };
    let entry = f.entry::<ListMultipartUploadParts>(key);
    Ok(f.service.list_parts(entry, input)?.parts.len())
}

fn complete(
    f: &Fixture,
    key: &str,
    upload: UploadId,
    etags: &[ETag],
) -> Result<EncryptionAnswer, S3Error> {
    let parts = (1..).zip(etags).map(|(number, etag)| CompletedPart {
        part_number: PartNumber::new(number).unwrap(),
        etag: etag.clone(),
        checksum: None,
    });
    let input = CompleteMultipartUploadInput {
        upload,
        parts: parts.collect(),
        checksum: None,
        checksum_type: None,
        object_size: None,
        customer: CustomerHeaders::default(),
        conditions: WriteConditions::default(),
    };
    let entry = f.entry::<PutObject>(key);
    let output = f.service.complete_multipart_upload(entry, input)?;
    Ok(output.encryption.unwrap())
}

fn md5_etag(bytes: &[u8]) -> ETag {
    ETag::from_digest(Md5::digest(bytes).into())
}

fn answer(algorithm: SseAlgorithm, key: &KeyArn, bucket_key: bool) -> EncryptionAnswer {
    EncryptionAnswer::Kms {
        algorithm,
        key: key.clone(),
        bucket_key,
        context: None,
    }
}

fn arn_only(arn: &str) -> EncryptionContext {
    EncryptionContext::default()
        .with("aws:s3:arn", arn)
        .unwrap()
}

/// Every mode of a key of the key service: headers, algorithm, bucket key.
fn modes(key: &KeyArn) -> [(SseHeaders, SseAlgorithm, bool); 3] {
    [
        (kms(Some(&key.id.to_string())), SseAlgorithm::AwsKms, false),
        (with_bucket_key(key), SseAlgorithm::AwsKms, true),
        (dsse(key), SseAlgorithm::AwsKmsDsse, false),
    ]
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
fn a_key_taken_away_fails_every_path_at_once_and_gives_all_back() {
    let f = Fixture::new(Versioning::Never);
    for (sse, _, _) in modes(&f.keys.create()) {
        let key = f.keys.create();
        let sse = SseHeaders {
            kms_key_id: Some(key.to_string()),
            ..sse
        };
        put(&f, "k", sse.clone(), &pattern(100)).unwrap();
        let upload = create(&f, "m", sse.clone()).unwrap();
        let etag = part(&f, "m", upload, 1, &pattern(10)).unwrap();
        let rows = f.rows(Table::VERSIONS).len();
        for state in [
            KeyState::Disabled,
            KeyState::PendingDeletion,
            KeyState::Deleted,
        ] {
            f.keys.set(&key, state);
            let expected = match state {
                KeyState::Disabled => KeyError::Disabled(format!("{key} is disabled.")),
                KeyState::PendingDeletion => {
                    KeyError::InvalidState(format!("{key} is pending deletion."))
                }
                KeyState::Deleted | KeyState::Lost | KeyState::Enabled => {
                    KeyError::NotFound(format!("Key '{key}' does not exist"))
                }
            };
            let expected = S3Error::Kms(expected);
            let failures = [
                ("put", put(&f, "new", sse.clone(), b"x").err()),
                (
                    "large put",
                    put(&f, "new", sse.clone(), &pattern(100_000)).err(),
                ),
                ("get", f.try_get("k", GetObjectInput::default()).err()),
                ("range", {
                    let input = GetObjectInput {
                        range: RangeSpec::parse("bytes=1-2"),
                        ..GetObjectInput::default()
                    };
                    f.try_get("k", input).err()
                }),
                ("head with checksum", head(&f, checksums()).err()),
                ("attributes", attributes(&f, true).err()),
                ("copy source", copy(&f, "new", SseHeaders::default()).err()),
                ("create", create(&f, "m2", sse.clone()).err()),
                ("part", part(&f, "m", upload, 1, &pattern(10)).err()),
                ("part copy", part_copy(&f, "m", upload).err()),
                ("list parts", list_parts(&f, "m", upload).err()),
                (
                    "complete",
                    complete(&f, "m", upload, std::slice::from_ref(&etag)).err(),
                ),
            ];
            for (path, failure) in failures {
                assert_eq!(failure, Some(expected.clone()), "{path} {state:?}");
            }
            assert!(
                head(&f, GetObjectInput::default()).is_ok(),
                "no key is needed"
            );
            assert_eq!(f.rows(Table::VERSIONS).len(), rows);
            f.keys.set(&key, KeyState::Enabled);
            assert_eq!(f.get("k"), pattern(100));
        }
        complete(&f, "m", upload, &[etag]).unwrap();
    }
}

#[test]
fn a_key_service_that_does_not_answer_never_weakens_a_write() {
    let f = Fixture::new(Versioning::Never);
    f.keys.set_unavailable(true);
    for sse in [kms(None), dsse(&f.keys.create())] {
        let got = put(&f, "k", sse, b"x").unwrap_err();
        assert_eq!(got, S3Error::Kms(KeyError::Unavailable));
    }
    assert!(f.rows(Table::VERSIONS).is_empty() && f.blob_ids().is_empty());
}

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
fn a_download_stops_within_a_window_of_the_end_of_its_lease() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let body = pattern(8 * WINDOW);
    for (sse, _, _) in modes(&key) {
        put(&f, "k", sse, &body).unwrap();
        let output = f.try_get("k", GetObjectInput::default()).unwrap();
        f.keys.set(&key, KeyState::Disabled);
        assert_eq!(f.drain(output), Err(ReadError::KeyUnusable));
        f.keys.set(&key, KeyState::Enabled);
        assert_eq!(f.get("k"), body);
    }
}

#[test]
fn an_upload_whose_key_goes_leaves_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for size in [1000, 100_000, 4 * WINDOW] {
        let (entered, at_gate) = std::sync::mpsc::channel();
        let (open, gate) = std::sync::mpsc::channel();
        let body = pattern(size);
        let input = PutObjectInput {
            content_length: body.len() as u64,
            sse: kms(Some(&key.to_string())),
            ..PutObjectInput::default()
        };
        let entry = f.entry::<PutObject>("k");
        let service = Arc::clone(&f.service);
        let gated = Gated::new(Pieces::of(&body), entered, gate);
        let writing = f
            .runtime
            .spawn(async move { service.put_object(entry, input, Box::pin(gated)).await });
        at_gate.recv().unwrap();
        f.keys.set(&key, KeyState::Disabled);
        open.send(()).unwrap();
        let got = f.runtime.block_on(writing).unwrap().unwrap_err();
        assert!(
            matches!(got, S3Error::Kms(KeyError::Disabled(_))),
            "{got:?}"
        );
        assert!(f.rows(Table::VERSIONS).is_empty() && f.blob_ids().is_empty());
        f.keys.set(&key, KeyState::Enabled);
    }
    // Windows later: a copy is an upload and a download at once.
    put(&f, "k", kms(Some(&key.to_string())), &pattern(4 * WINDOW)).unwrap();
    let blobs = f.blob_ids();
    for checks in 0..6 {
        f.keys.break_leases_after(checks);
        let got = copy(&f, "c", kms(Some(&key.to_string()))).unwrap_err();
        assert!(
            matches!(got, S3Error::Kms(KeyError::Disabled(_))),
            "{checks} {got:?}"
        );
        assert_eq!(f.blob_ids(), blobs);
    }
}

#[test]
fn wrapped_keys_and_streams_do_not_fit_another_object_or_version() {
    let f = Fixture::new(Versioning::Enabled);
    let key = f.keys.create();
    for (sse, _, _) in modes(&key) {
        let big = pattern(100_000);
        put(&f, "k", sse.clone(), &big).unwrap();
        put(&f, "k", sse.clone(), &big).unwrap();
        put(&f, "l", sse.clone(), &big).unwrap();
        let rows = f.rows(Table::VERSIONS);
        for (at, from) in [(0, 1), (0, rows.len() - 1), (rows.len() - 1, 0)] {
            // The whole row, key record and context included, moved to another version's place.
            f.replace_row(Table::VERSIONS, &rows[at].key, rows[from].value.to_vec());
            let name = if at == 0 { "k" } else { "l" };
            let got = f.try_get(name, GetObjectInput::default()).unwrap_err();
            assert_eq!(got, S3Error::Damaged);
            f.replace_row(Table::VERSIONS, &rows[at].key, rows[at].value.to_vec());
        }
        let ids = f.blob_ids();
        let (one, other) = (f.blob_bytes(ids[0]), f.blob_bytes(ids[1]));
        f.replace_blob(ids[0], &other);
        f.replace_blob(ids[1], &one);
        let broken = ["k", "l"]
            .iter()
            .filter(|name| f.read(name, GetObjectInput::default()).is_err())
            .count();
        assert!(broken >= 1);
        f.replace_blob(ids[0], &one);
        f.replace_blob(ids[1], &other);
        assert_eq!(f.get("k"), big);
        for name in ["k", "k", "l"] {
            let version = f
                .service
                .head_object(f.entry::<GetObject>(name), GetObjectInput::default())
                .unwrap()
                .object
                .version;
            let input = DeleteObjectInput {
                version,
                if_match: None,
            };
            f.service
                .delete_object(f.entry::<DeleteObject>(name), input)
                .unwrap();
        }
        f.service.collect_garbage(usize::MAX).unwrap();
        assert!(f.blob_ids().is_empty());
    }
}

#[test]
fn a_flipped_bit_in_two_layers_is_damage_and_an_event() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let body = pattern(100_000);
    put(&f, "k", dsse(&key), &body).unwrap();
    let id = f.blob_ids()[0];
    let stored = f.blob_bytes(id);
    let (_, footer_len) = parse_footer(&stored).unwrap();
    let stream_len = stored.len() - footer_len;
    for at in [0, 60, 200, 70_000, stream_len - 1] {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        f.replace_blob(id, &changed);
        let got = f.read("k", GetObjectInput::default());
        assert_eq!(got.unwrap_err(), S3Error::Damaged, "{at}");
        assert!(f.audit.0.lock().pop().is_some());
    }
    f.replace_blob(id, &stored);
    assert_eq!(f.get("k"), body);
}

#[test]
fn a_blob_says_nothing_of_keys_and_names_in_clear() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for (mut sse, _, _) in modes(&key) {
        sse.context = Some(BASE64.encode(r#"{"department":"lawyers"}"#));
        put(&f, "secret-name", sse, &pattern(100_000)).unwrap();
        for id in f.blob_ids() {
            let bytes = f.blob_bytes(id);
            for word in [
                "department",
                "lawyers",
                "secret-name",
                "arn:aws",
                &key.id.to_string(),
            ] {
                let found = bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes());
                assert!(!found, "{word}");
            }
            let (footer, _) = parse_footer(&bytes).unwrap();
            assert!(footer.encryption.is_some() && footer.wrapped_key.kms_blob().is_some());
        }
    }
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

fn update(f: &Fixture, key: &KeyArn, bucket_key: bool) -> Result<(), S3Error> {
    let input = UpdateObjectEncryptionInput {
        version: None,
        key: key.clone(),
        bucket_key,
    };
    let entry = f.entry::<UpdateObjectEncryption>("k");
    f.service.update_object_encryption(entry, input).map(|_| ())
}

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
fn a_key_that_goes_while_the_body_is_synced_leaves_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    // Each is asked for the lease once for the body (a window of a body that is not inline) and once
    // more for the commit.
    let last_checks_refuse = |what: &str, checks: u64, write: &dyn Fn() -> Result<(), S3Error>| {
        let state = || (f.rows(Table::VERSIONS), f.rows(Table::PARTS), f.blob_ids());
        let before = state();
        for left in 0..checks {
            f.keys.break_leases_after(left);
            let got = write().unwrap_err();
            let refused = matches!(got, S3Error::Kms(KeyError::Disabled(_)));
            assert!(refused, "{what}, {left} checks: {got:?}");
            assert!(state() == before, "{what}, {left} checks");
        }
        f.keys.break_leases_after(checks);
        assert_eq!(write(), Ok(()), "{what}");
        f.keys.break_leases_after(u64::MAX);
    };
    let (small, large) = (pattern(100), pattern(WINDOW));
    let put_body = |body: &[u8]| put(&f, "k", sse(), body).map(|_| ());
    last_checks_refuse("small put", 2, &|| put_body(&small));
    last_checks_refuse("copy of a small one", 3, &|| {
        copy(&f, "c", sse()).map(|_| ())
    });
    last_checks_refuse("large put", 3, &|| put_body(&large));
    let upload = create(&f, "m", sse()).unwrap();
    last_checks_refuse("part", 3, &|| part(&f, "m", upload, 1, &large).map(|_| ()));
    let etag = part(&f, "m", upload, 1, &large).unwrap();
    let etags = [etag];
    last_checks_refuse("complete", 2, &|| {
        complete(&f, "m", upload, &etags).map(|_| ())
    });
    last_checks_refuse("update from another key", 2, &|| update(&f, &key, false));
    put(&f, "k", SseHeaders::default(), b"x").unwrap();
    last_checks_refuse("update from SSE-S3", 1, &|| update(&f, &key, false));
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

#[test]
fn every_use_is_recorded_once_and_an_objects_together_with_the_object() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    let alone = || TestTrail::count(&*f.keys.trail);
    let in_transactions = || TestTrail::count(&*f.meta);
    let large = pattern(3 * WINDOW);
    put(&f, "k", sse(), b"x").unwrap();
    assert_eq!((alone(), in_transactions()), (0, 1));
    put(&f, "large", sse(), &large).unwrap();
    assert_eq!((alone(), in_transactions()), (1, 1));
    let read = |key: &str| {
        let entry = f.entry::<GetObject>(key);
        let output = f.service.get_object(entry, GetObjectInput::default());
        f.drain(output.unwrap()).unwrap()
    };
    assert_eq!(read("k"), b"x");
    assert_eq!(read("large"), large);
    assert_eq!((alone(), in_transactions()), (3, 1));
    let upload = create(&f, "m", sse()).unwrap();
    let etags = [part(&f, "m", upload, 1, b"only").unwrap()];
    complete(&f, "m", upload, &etags).unwrap();
    let asked = f.keys.take_operations();
    let uses = asked.iter().filter(|it| !it.starts_with("authorize"));
    assert_eq!(alone() + in_transactions(), uses.count(), "{asked:?}");
}

#[test]
fn a_use_that_cannot_be_recorded_gives_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    let unrecorded = || S3Error::Kms(KeyError::Unavailable);
    put(&f, "k", sse(), b"x").unwrap();
    put(&f, "plain", SseHeaders::default(), b"y").unwrap();
    f.keys.trail.set_broken(true);
    let get = |key: &str| {
        let entry = f.entry::<GetObject>(key);
        f.service.get_object(entry, GetObjectInput::default())
    };
    assert_eq!(get("k").unwrap_err(), unrecorded());
    let resident = f.service.resident().unwrap();
    let entry = f.entry::<GetObject>("k");
    let got = resident.read_object(&entry, &GetObjectInput::default());
    assert_eq!(got.wait().unwrap_err(), unrecorded());
    // A request that fails for another reason has used the key, too.
    let entry = f.entry::<GetObject>("k");
    let input = GetObjectInput {
        range: RangeSpec::parse("bytes=9-"),
        ..GetObjectInput::default()
    };
    assert_eq!(
        f.service.get_object(entry, input).unwrap_err(),
        unrecorded()
    );
    assert_eq!(
        put(&f, "large", sse(), &pattern(3 * WINDOW)).unwrap_err(),
        unrecorded()
    );
    assert_eq!(create(&f, "m", sse()).unwrap_err(), unrecorded());
    // What needs no key of the key service goes on.
    assert!(get("plain").is_ok());
    f.keys.trail.set_broken(false);
    assert!(get("k").is_ok());
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
