//! Multipart uploads: every rule, every race, and that nothing is left behind.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "shared with the other tests of this crate")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest as sha};
use crc_fast::{CrcAlgorithm, checksum as crc};
use md5::{Digest as _, Md5};
use strongroom_policy::actions::{
    AbortMultipartUpload, DeleteObject, GetObject, GetObjectAttributes, ListMultipartUploadParts,
    PutObject,
};
use strongroom_ports::Table;
use strongroom_s3::{
    ChecksumValue, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CopySource, CreateMultipartUploadInput, DeleteObjectInput, ExpectedChecksum, ExpectedDigests,
    GetObjectAttributesInput, GetObjectInput, ListPartsInput, PutObjectInput, ReadConditions,
    S3Error, UploadPartCopyInput, UploadPartInput, UploadPartOutput, Versioning, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseError, SseHeaders};
use strongroom_store::{ConflictRule, MemoryBlobs, MemoryMeta};
use strongroom_types::{
    ByteRange, Checksum, ChecksumAlgorithm, ChecksumType, ETag, PartNumber, RangeSpec, UploadId,
};
use support::{Fixture, Pieces, bucket, customer, object_key, pattern};

const MIB_5: usize = 5 << 20;

fn number(number: u64) -> PartNumber {
    PartNumber::new(number).unwrap()
}

fn no_key() -> CustomerHeaders {
    CustomerHeaders::default()
}

fn with_key(byte: u8) -> CreateMultipartUploadInput {
    let sse = SseHeaders {
        customer: customer(byte),
        ..SseHeaders::default()
    };
    CreateMultipartUploadInput {
        sse,
        ..CreateMultipartUploadInput::default()
    }
}

fn declaring(algorithm: ChecksumAlgorithm, kind: ChecksumType) -> CreateMultipartUploadInput {
    CreateMultipartUploadInput {
        checksum_algorithm: Some(algorithm),
        checksum_type: Some(kind),
        ..CreateMultipartUploadInput::default()
    }
}

fn create(f: &Fixture, key: &str, input: CreateMultipartUploadInput) -> UploadId {
    f.service
        .create_multipart_upload(f.entry::<PutObject>(key), input)
        .unwrap()
        .upload
}

fn try_part(
    f: &Fixture,
    (key, upload): (&str, UploadId),
    part: u64,
    body: &[u8],
    customer: CustomerHeaders,
    digests: ExpectedDigests,
) -> Result<UploadPartOutput, S3Error> {
    let input = UploadPartInput {
        upload,
        part_number: number(part),
        content_length: body.len() as u64,
        customer,
        digests,
    };
    let body = Box::pin(Pieces::of(body));
    f.runtime.block_on(
        f.service
            .upload_part(f.entry::<PutObject>(key), input, body),
    )
}

fn part(f: &Fixture, at: (&str, UploadId), number: u64, body: &[u8]) -> CompletedPart {
    let output = try_part(f, at, number, body, no_key(), ExpectedDigests::default()).unwrap();
    listed(number, output.etag)
}

fn listed(part: u64, etag: ETag) -> CompletedPart {
    CompletedPart {
        part_number: number(part),
        etag,
        checksum: None,
    }
}

fn completion(upload: UploadId, parts: &[CompletedPart]) -> CompleteMultipartUploadInput {
    CompleteMultipartUploadInput {
        upload,
        parts: parts.to_vec(),
        checksum: None,
        checksum_type: None,
        object_size: None,
        customer: no_key(),
        conditions: WriteConditions::default(),
    }
}

fn complete(
    f: &Fixture,
    key: &str,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    f.service
        .complete_multipart_upload(f.entry::<PutObject>(key), input)
}

fn abort(f: &Fixture, key: &str, upload: UploadId) -> Result<(), S3Error> {
    f.service
        .abort_multipart_upload(f.entry::<AbortMultipartUpload>(key), upload)
}

fn read_part(f: &Fixture, key: &str, part: u64) -> Result<Vec<u8>, S3Error> {
    let input = GetObjectInput {
        part_number: Some(number(part)),
        ..GetObjectInput::default()
    };
    f.read(key, input)
}

fn delete(f: &Fixture, key: &str) {
    f.service
        .delete_object(f.entry::<DeleteObject>(key), DeleteObjectInput::default())
        .unwrap();
}

fn collect(f: &Fixture) {
    f.service.collect_garbage(10_000).unwrap();
}

/// No row but the bucket's, and no file.
fn assert_nothing_left(f: &Fixture) {
    collect(f);
    for table in [
        Table::CURRENT,
        Table::VERSIONS,
        Table::UPLOADS,
        Table::PARTS,
        Table::INLINE,
        Table::BLOBS,
        Table::GARBAGE,
    ] {
        assert!(f.rows(table).is_empty(), "{table:?}");
    }
    assert!(f.blob_ids().is_empty());
}

fn sent(algorithm: ChecksumAlgorithm, value: Vec<u8>) -> ExpectedDigests {
    let value = ChecksumValue::Header(value);
    ExpectedDigests {
        checksum: Some(ExpectedChecksum { algorithm, value }),
        ..ExpectedDigests::default()
    }
}

fn sha256(data: &[u8]) -> Vec<u8> {
    sha(&SHA256, data).as_ref().to_vec()
}

fn crc64(data: &[u8]) -> Vec<u8> {
    crc(CrcAlgorithm::Crc64Nvme, data).to_be_bytes().to_vec()
}

#[test]
fn parts_make_an_object() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(2 * MIB_5 + 100_003);
    let (first, rest) = body.split_at(MIB_5 + 1);
    let (second, third) = rest.split_at(MIB_5);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    f.clock.advance_seconds(60);
    let at = ("k", upload);
    // Numbers may have gaps, and parts may come in any order.
    let parts = [third, first, second];
    let [p9, p1, p4] =
        [(9, parts[0]), (1, parts[1]), (4, parts[2])].map(|(n, b)| part(&f, at, n, b));
    assert_eq!(
        f.try_get("k", GetObjectInput::default())
            .unwrap_err()
            .to_string(),
        "no such key"
    );
    let input = CompleteMultipartUploadInput {
        object_size: Some(body.len() as u64),
        ..completion(upload, &[p1, p4, p9])
    };
    let output = complete(&f, "k", input).unwrap();

    let mut tags = Vec::new();
    for part in [first, second, third] {
        tags.extend(Md5::digest(part));
    }
    let expected = ETag::from_parts(Md5::digest(&tags).into(), 3);
    assert_eq!(output.etag, expected);
    assert_eq!(output.version, None);
    let checksum = output.checksum.unwrap();
    assert_eq!(
        (checksum.algorithm, checksum.kind),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject)
    );
    assert_eq!(checksum.value, crc64(&body));

    assert!(f.get("k") == body);
    for (from, to) in [
        (0, 0),
        (MIB_5 - 3, MIB_5 + 3),
        (MIB_5, 2 * MIB_5 + 50),
        (body.len() - 1, body.len() - 1),
    ] {
        let range = Some(RangeSpec::FromTo(from as u64, to as u64));
        let got = f
            .read(
                "k",
                GetObjectInput {
                    range,
                    ..GetObjectInput::default()
                },
            )
            .unwrap();
        assert!(got == body[from..=to], "{from}-{to}");
    }
    assert!(read_part(&f, "k", 4).unwrap() == second);
    let refused = S3Error::InvalidPartNumber {
        part_number: 2,
        part_count: 3,
    };
    assert_eq!(read_part(&f, "k", 2), Err(refused));
    let head = f
        .service
        .head_object(f.entry::<GetObject>("k"), GetObjectInput::default())
        .unwrap();
    assert_eq!(head.object.last_modified, upload.initiated);
    assert!(f.rows(Table::UPLOADS).is_empty());

    delete(&f, "k");
    assert_nothing_left(&f);
}

#[test]
fn a_list_that_breaks_a_rule_is_refused_and_the_upload_goes_on() {
    let f = Fixture::new(Versioning::Never);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let at = ("k", upload);
    let small = part(&f, at, 1, b"small");
    let large = part(&f, at, 2, &pattern(MIB_5));
    let last = part(&f, at, 3, b"last");
    let refused =
        |parts: &[CompletedPart]| complete(&f, "k", completion(upload, parts)).unwrap_err();
    assert_eq!(refused(&[]), S3Error::MalformedPartList);
    assert_eq!(
        refused(&vec![large.clone(); 10_001]),
        S3Error::MalformedPartList
    );
    assert_eq!(
        refused(&[last.clone(), large.clone()]),
        S3Error::InvalidPartOrder
    );
    assert_eq!(
        refused(&[large.clone(), large.clone()]),
        S3Error::InvalidPartOrder
    );
    let absent = listed(7, last.etag.clone());
    assert_eq!(
        refused(&[large.clone(), absent]),
        S3Error::InvalidPart { part_number: 7 }
    );
    let foreign = listed(3, large.etag.clone());
    assert_eq!(
        refused(&[large.clone(), foreign]),
        S3Error::InvalidPart { part_number: 3 }
    );
    let etag = small.etag.clone();
    let too_small = S3Error::EntityTooSmall {
        part_number: 1,
        size_bytes: 5,
        etag,
    };
    assert_eq!(refused(&[small, large.clone()]), too_small);
    let both = [large, last];
    let size = CompleteMultipartUploadInput {
        object_size: Some(7),
        ..completion(upload, &both)
    };
    assert_eq!(
        complete(&f, "k", size).unwrap_err(),
        S3Error::ObjectSizeMismatch
    );
    let checksum = Some(Checksum {
        algorithm: ChecksumAlgorithm::Crc64Nvme,
        kind: ChecksumType::FullObject,
        value: vec![0; 8],
        part_count: 0,
    });
    let wrong = CompleteMultipartUploadInput {
        checksum,
        ..completion(upload, &both)
    };
    let mismatch = S3Error::ChecksumMismatch(ChecksumAlgorithm::Crc64Nvme);
    assert_eq!(complete(&f, "k", wrong).unwrap_err(), mismatch);
    let kind = CompleteMultipartUploadInput {
        checksum_type: Some(ChecksumType::Composite),
        ..completion(upload, &both)
    };
    let not_allowed = S3Error::ChecksumTypeNotAllowed(ChecksumAlgorithm::Crc64Nvme);
    assert_eq!(complete(&f, "k", kind).unwrap_err(), not_allowed);

    // Released: parts can still be replaced.
    let again = part(&f, at, 3, b"again");
    let [large, _] = both;
    complete(&f, "k", completion(upload, &[large, again])).unwrap();
    assert!(f.get("k").ends_with(b"again"));
    collect(&f);
    assert_eq!(f.rows(Table::PARTS).len(), 2, "the unused part is gone");
    assert!(f.get("k").ends_with(b"again"));
    delete(&f, "k");
    assert_nothing_left(&f);
}

#[test]
fn composite_checksums_need_each_part_to_bring_its_own() {
    let f = Fixture::new(Versioning::Never);
    let algorithm = ChecksumAlgorithm::Sha256;
    let upload = create(&f, "k", declaring(algorithm, ChecksumType::Composite));
    let at = ("k", upload);
    let bodies = [pattern(MIB_5), b"tail".to_vec()];
    let bare = try_part(&f, at, 1, &bodies[0], no_key(), ExpectedDigests::default());
    let mismatch = S3Error::ChecksumAlgorithmMismatch {
        expected: Some(algorithm),
        got: None,
    };
    assert_eq!(bare.unwrap_err(), mismatch);
    let wrong = try_part(
        &f,
        at,
        1,
        &bodies[0],
        no_key(),
        sent(algorithm, vec![0; 32]),
    );
    assert_eq!(wrong.unwrap_err(), S3Error::ChecksumMismatch(algorithm));
    let mut list = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        let value = sha256(body);
        let output = try_part(
            &f,
            at,
            number,
            body,
            no_key(),
            sent(algorithm, value.clone()),
        )
        .unwrap();
        assert_eq!(output.checksum.unwrap().value, value);
        let checksum = Some((algorithm, value));
        list.push(CompletedPart {
            checksum,
            ..listed(number, output.etag)
        });
    }
    let mut lying = list.clone();
    lying[1].checksum = Some((algorithm, vec![1; 32]));
    let refused = complete(&f, "k", completion(upload, &lying)).unwrap_err();
    assert_eq!(refused, S3Error::InvalidPart { part_number: 2 });

    let whole = sha256(&[sha256(&bodies[0]), sha256(&bodies[1])].concat());
    let output = complete(&f, "k", completion(upload, &list)).unwrap();
    let checksum = output.checksum.unwrap();
    assert_eq!((checksum.value, checksum.part_count), (whole.clone(), 2));

    let attributes = |parts| {
        let entry = f.entry::<GetObjectAttributes>("k");
        let input = GetObjectAttributesInput {
            with_checksum: true,
            parts,
            ..GetObjectAttributesInput::default()
        };
        f.service.get_object_attributes(entry, input).unwrap()
    };
    let shown = attributes(Some((0, 1)));
    assert_eq!(shown.object.checksum.unwrap().value, whole);
    let parts = shown.parts.unwrap();
    assert_eq!(
        (parts.total, parts.next_after, parts.parts.len()),
        (2, Some(1), 1)
    );
    assert_eq!(
        parts.parts[0].checksum.as_ref().unwrap().value,
        sha256(&bodies[0])
    );
    let parts = attributes(Some((1, 1000))).parts.unwrap();
    assert_eq!(
        (parts.next_after, parts.parts[0].part_number),
        (None, number(2))
    );
    assert_eq!(parts.parts[0].size_bytes, 4);
    assert!(attributes(None).parts.is_none());
}

#[test]
fn full_object_checksums_are_combined_from_the_parts() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(MIB_5 + 12_345);
    let (first, last) = body.split_at(MIB_5);
    let upload = create(
        &f,
        "k",
        declaring(ChecksumAlgorithm::Crc32c, ChecksumType::FullObject),
    );
    let parts = [
        part(&f, ("k", upload), 1, first),
        part(&f, ("k", upload), 2, last),
    ];
    let value = u32::try_from(crc(CrcAlgorithm::Crc32Iscsi, &body))
        .unwrap()
        .to_be_bytes()
        .to_vec();
    let checksum = Some(Checksum {
        algorithm: ChecksumAlgorithm::Crc32c,
        kind: ChecksumType::FullObject,
        value: value.clone(),
        part_count: 0,
    });
    let input = CompleteMultipartUploadInput {
        checksum,
        ..completion(upload, &parts)
    };
    assert_eq!(
        complete(&f, "k", input).unwrap().checksum.unwrap().value,
        value
    );
    let head = GetObjectInput {
        with_checksum: true,
        ..GetObjectInput::default()
    };
    let shown = f
        .service
        .head_object(f.entry::<GetObject>("k"), head)
        .unwrap();
    assert_eq!(shown.object.checksum.unwrap().value, value);
}

#[test]
fn customer_keys_must_be_the_same_for_every_part() {
    let f = Fixture::new(Versioning::Never);
    let upload = create(&f, "k", with_key(1));
    let at = ("k", upload);
    let body = pattern(MIB_5);
    let attempt = |key| try_part(&f, at, 1, &body, key, ExpectedDigests::default());
    assert_eq!(
        attempt(no_key()).unwrap_err(),
        SseError::UploadEncryptionMissing.into()
    );
    assert_eq!(
        attempt(customer(2)).unwrap_err(),
        SseError::UploadKeyMismatch.into()
    );
    let broken = CustomerHeaders {
        key_md5: customer(2).key_md5,
        ..customer(1)
    };
    assert_eq!(
        attempt(broken).unwrap_err(),
        SseError::CustomerKeyMd5Mismatch.into()
    );
    let first = attempt(customer(1)).unwrap();
    let output = try_part(&f, at, 2, &body, customer(1), ExpectedDigests::default()).unwrap();
    assert_ne!(
        first.etag, output.etag,
        "equal parts do not show that they are equal"
    );
    let plain = create(&f, "k", CreateMultipartUploadInput::default());
    let refused = try_part(
        &f,
        ("k", plain),
        1,
        &body,
        customer(1),
        ExpectedDigests::default(),
    );
    assert_eq!(
        refused.unwrap_err(),
        SseError::UploadEncryptionMissing.into()
    );

    let page = ListPartsInput {
        upload,
        after: 0,
        max_parts: 1000,
        customer: no_key(),
    };
    let parts = f
        .service
        .list_parts(f.entry::<ListMultipartUploadParts>("k"), page)
        .unwrap();
    assert_eq!(parts.parts.len(), 2);

    // No key is needed to complete; a wrong one is refused all the same.
    let list = [listed(1, first.etag), listed(2, output.etag)];
    let wrong = CompleteMultipartUploadInput {
        customer: customer(2),
        ..completion(upload, &list)
    };
    assert_eq!(
        complete(&f, "k", wrong).unwrap_err(),
        SseError::UploadKeyMismatch.into()
    );
    let output = complete(&f, "k", completion(upload, &list)).unwrap();
    assert!(output.checksum.is_none() && output.encryption.is_none());
    let keyed = |key| {
        let sse = SseHeaders {
            customer: key,
            ..SseHeaders::default()
        };
        GetObjectInput {
            sse,
            with_checksum: true,
            ..GetObjectInput::default()
        }
    };
    assert_eq!(
        f.try_get("k", keyed(no_key())).unwrap_err(),
        SseError::CustomerKeyRequired.into()
    );
    assert!(
        f.try_get("k", keyed(customer(1)))
            .unwrap()
            .object
            .checksum
            .is_none()
    );
    assert!(f.read("k", keyed(customer(1))).unwrap() == [body.clone(), body].concat());
}

#[test]
fn a_declared_checksum_makes_complete_need_the_customer_key() {
    let f = Fixture::new(Versioning::Never);
    let declared = declaring(ChecksumAlgorithm::Crc32, ChecksumType::FullObject);
    let upload = create(
        &f,
        "k",
        CreateMultipartUploadInput {
            sse: with_key(1).sse,
            ..declared
        },
    );
    let output = try_part(
        &f,
        ("k", upload),
        1,
        b"x",
        customer(1),
        ExpectedDigests::default(),
    )
    .unwrap();
    let list = [listed(1, output.etag)];
    let attempt = |key| {
        complete(
            &f,
            "k",
            CompleteMultipartUploadInput {
                customer: key,
                ..completion(upload, &list)
            },
        )
    };
    assert_eq!(
        attempt(no_key()).unwrap_err(),
        SseError::UploadEncryptionMissing.into()
    );
    assert_eq!(
        attempt(customer(2)).unwrap_err(),
        SseError::UploadKeyMismatch.into()
    );
    let page = |key| ListPartsInput {
        upload,
        after: 0,
        max_parts: 1,
        customer: key,
    };
    let listed = |key| {
        f.service
            .list_parts(f.entry::<ListMultipartUploadParts>("k"), page(key))
    };
    assert_eq!(
        listed(no_key()).unwrap_err(),
        SseError::UploadEncryptionMissing.into()
    );
    assert!(listed(customer(1)).unwrap().parts[0].checksum.is_some());
    let value = u32::try_from(crc(CrcAlgorithm::Crc32IsoHdlc, b"x"))
        .unwrap()
        .to_be_bytes();
    assert_eq!(attempt(customer(1)).unwrap().checksum.unwrap().value, value);
}

#[test]
fn parts_list_in_pages() {
    let f = Fixture::new(Versioning::Never);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    for number in [2, 5, 300, 10_000] {
        part(
            &f,
            ("k", upload),
            number,
            format!("part {number}").as_bytes(),
        );
    }
    let page = |after, max_parts| {
        let input = ListPartsInput {
            upload,
            after,
            max_parts,
            customer: no_key(),
        };
        let page = f
            .service
            .list_parts(f.entry::<ListMultipartUploadParts>("k"), input)
            .unwrap();
        let numbers: Vec<u16> = page
            .parts
            .iter()
            .map(|part| part.part_number.value())
            .collect();
        (numbers, page.next_after)
    };
    assert_eq!(page(0, 1000), (vec![2, 5, 300, 10_000], None));
    assert_eq!(page(0, 2), (vec![2, 5], Some(5)));
    assert_eq!(page(5, 2), (vec![300, 10_000], None));
    assert_eq!(page(2, 0), (vec![], None));
    assert_eq!(page(10_000, 5), (vec![], None));
    assert_eq!(page(u32::MAX, 5), (vec![], None));
}

#[test]
fn nothing_is_left_of_an_aborted_upload() {
    let f = Fixture::new(Versioning::Never);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let at = ("k", upload);
    part(&f, at, 1, &pattern(100_000));
    part(&f, at, 2, b"inline");
    // Replaced attempts: blob by blob, inline by blob, blob by inline.
    part(&f, at, 1, &pattern(90_000));
    part(&f, at, 2, &pattern(90_000));
    part(&f, at, 1, b"inline");
    collect(&f);
    assert_eq!((f.blob_ids().len(), f.rows(Table::INLINE).len()), (1, 1));
    abort(&f, "k", upload).unwrap();
    assert_eq!(abort(&f, "k", upload), Err(S3Error::NoSuchUpload));
    let late = try_part(&f, at, 3, b"late", no_key(), ExpectedDigests::default());
    assert_eq!(late.unwrap_err(), S3Error::NoSuchUpload);
    assert_nothing_left(&f);
}

#[test]
fn a_repeated_complete_gets_the_same_answer() {
    let f = Fixture::new(Versioning::Enabled);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let list = [part(&f, ("k", upload), 1, b"body")];
    let first = complete(&f, "k", completion(upload, &list)).unwrap();
    assert!(first.version.is_some());
    f.put("k", b"newer");
    let again = complete(&f, "k", completion(upload, &list)).unwrap();
    assert_eq!((again.etag, again.version), (first.etag, first.version));
    assert_eq!(again.checksum, first.checksum);
    assert_eq!(f.get("k"), b"newer");
    let other = create(&f, "k", CreateMultipartUploadInput::default());
    abort(&f, "k", other).unwrap();
    assert_eq!(
        complete(&f, "k", completion(other, &list)).unwrap_err(),
        S3Error::NoSuchUpload
    );
    // The upload is one of this key.
    assert_eq!(
        complete(&f, "l", completion(upload, &list)).unwrap_err(),
        S3Error::NoSuchUpload
    );
}

#[test]
fn conditions_are_judged_when_the_object_becomes_current() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"there");
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let list = [part(&f, ("k", upload), 1, b"body")];
    let conditions = WriteConditions {
        if_none_match: true,
        ..WriteConditions::default()
    };
    let input = || CompleteMultipartUploadInput {
        conditions: conditions.clone(),
        ..completion(upload, &list)
    };
    let failed = S3Error::PreconditionFailed {
        condition: "If-None-Match",
    };
    assert_eq!(complete(&f, "k", input()).unwrap_err(), failed);
    delete(&f, "k");
    complete(&f, "k", input()).unwrap();
    assert_eq!(f.get("k"), b"body");
}

#[test]
fn parts_are_copied_from_ranges_of_objects() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(200_000);
    let sse = SseHeaders {
        customer: customer(3),
        ..SseHeaders::default()
    };
    f.try_put(
        "source",
        PutObjectInput {
            sse,
            ..PutObjectInput::default()
        },
        &body,
    )
    .unwrap();
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let copy = |number: u64, source_range, key| {
        let source = CopySource {
            bucket: bucket(),
            key: object_key("source"),
            version: None,
            conditions: ReadConditions::default(),
            customer: key,
        };
        let input = UploadPartCopyInput {
            upload,
            part_number: PartNumber::new(number).unwrap(),
            source_range,
            customer: no_key(),
        };
        let (from, to) = (f.entry::<GetObject>("source"), f.entry::<PutObject>("k"));
        f.service.upload_part_copy(from, to, source, input)
    };
    assert_eq!(
        copy(1, None, no_key()).unwrap_err(),
        SseError::CustomerKeyRequired.into()
    );
    let outside = Some(ByteRange {
        start: 1,
        end: 200_001,
    });
    let refused = S3Error::InvalidCopySourceRange {
        size_bytes: 200_000,
    };
    assert_eq!(copy(1, outside, customer(3)).unwrap_err(), refused);
    let output = copy(
        1,
        Some(ByteRange {
            start: 65_000,
            end: 199_999,
        }),
        customer(3),
    )
    .unwrap();
    let digest: [u8; 16] = Md5::digest(&body[65_000..199_999]).into();
    assert_eq!(output.etag, ETag::from_digest(digest));
    complete(&f, "k", completion(upload, &[listed(1, output.etag)])).unwrap();
    assert!(f.get("k") == body[65_000..199_999]);
}

#[test]
fn a_manifest_in_a_blob_is_read_and_its_damage_is_found() {
    let f = Fixture::with_inline_max(64);
    let body = pattern(MIB_5 + 7);
    let (head, tail) = body.split_at(MIB_5);
    let upload = create(&f, "k", CreateMultipartUploadInput::default());
    let list = [
        part(&f, ("k", upload), 1, head),
        part(&f, ("k", upload), 2, tail),
    ];
    let parts = f.blob_ids();
    complete(&f, "k", completion(upload, &list)).unwrap();
    assert!(f.get("k") == body);
    let manifest = f
        .blob_ids()
        .into_iter()
        .find(|id| !parts.contains(id))
        .unwrap();
    let bytes = f.blob_bytes(manifest);
    // Behind the list is a checksum of it, for who has no keys (ADR 0012).
    for at in [0, 60, bytes.len() - 9] {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        f.replace_blob(manifest, &broken);
        assert_eq!(
            f.try_get("k", GetObjectInput::default()).unwrap_err(),
            S3Error::Damaged
        );
    }
    assert!(f.audit.0.lock().contains(&"IntegrityFailure"));
    f.replace_blob(manifest, &bytes);
    assert!(f.get("k") == body);
    delete(&f, "k");
    assert_nothing_left(&f);
}

/// A store on which every third conditional commit conflicts for no reason.
fn quarrelsome() -> Arc<Fixture> {
    let rule = ConflictRule {
        one_in: 3,
        seed: 11,
    };
    let meta = MemoryMeta::with_conflicts(rule);
    Arc::new(Fixture::on(meta, MemoryBlobs::new(), Versioning::Enabled))
}

#[test]
fn conflicts_change_no_outcome() {
    let f = quarrelsome();
    for round in 0..20 {
        let key = format!("k{round}");
        let upload = create(&f, &key, CreateMultipartUploadInput::default());
        part(&f, (&key, upload), 1, b"first try");
        let list = [part(&f, (&key, upload), 1, b"second try")];
        complete(&f, &key, completion(upload, &list)).unwrap();
        assert_eq!(f.get(&key), b"second try");
        let given_up = create(&f, &key, CreateMultipartUploadInput::default());
        part(&f, (&key, given_up), 1, b"x");
        abort(&f, &key, given_up).unwrap();
    }
    collect(&f);
    assert_eq!(f.rows(Table::PARTS).len(), 20);
    assert!(f.rows(Table::UPLOADS).is_empty() && f.rows(Table::GARBAGE).is_empty());
}

#[test]
fn of_several_completes_one_makes_the_object_and_all_answer_alike() {
    for _ in 0..20 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"body")];
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let (f, list) = (Arc::clone(&f), list.clone());
                std::thread::spawn(move || complete(&f, "k", completion(upload, &list)))
            })
            .collect();
        let outputs: Vec<_> = racers
            .into_iter()
            .map(|racer| racer.join().unwrap().unwrap())
            .collect();
        assert!(
            outputs
                .iter()
                .all(|output| output.version == outputs[0].version)
        );
        assert_eq!(f.rows(Table::VERSIONS).len(), 1);
        assert_eq!(f.get("k"), b"body");
    }
}

#[test]
fn either_complete_or_abort_wins() {
    for _ in 0..30 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"body")];
        let racer = {
            let f = Arc::clone(&f);
            std::thread::spawn(move || complete(&f, "k", completion(upload, &list)))
        };
        let aborted = abort(&f, "k", upload);
        let completed = racer.join().unwrap();
        collect(&f);
        match (completed, aborted) {
            (Ok(_), Err(S3Error::NoSuchUpload)) => assert_eq!(f.get("k"), b"body"),
            (Err(S3Error::NoSuchUpload), Ok(())) => {
                assert!(f.rows(Table::VERSIONS).is_empty() && f.rows(Table::PARTS).is_empty());
            }
            other => panic!("{other:?}"),
        }
        assert!(f.rows(Table::UPLOADS).is_empty());
    }
}

#[test]
fn a_part_is_never_replaced_under_a_complete() {
    let (mut before, mut refused) = (0, 0);
    for _ in 0..30 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"listed")];
        let racer = {
            let f = Arc::clone(&f);
            std::thread::spawn(move || {
                let digests = ExpectedDigests::default();
                try_part(&f, ("k", upload), 1, b"replaced", no_key(), digests)
            })
        };
        let completed = complete(&f, "k", completion(upload, &list));
        let replaced = racer.join().unwrap();
        collect(&f);
        match (completed, replaced) {
            (Ok(_), Err(S3Error::Contention | S3Error::NoSuchUpload)) => {
                refused += 1;
                assert_eq!(f.get("k"), b"listed");
            }
            // The part came first: then the list names an attempt that is gone.
            (Err(S3Error::InvalidPart { part_number: 1 }), Ok(_)) => before += 1,
            (Err(S3Error::InvalidPart { part_number: 1 }), Err(error)) => panic!("{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(before + refused, 30);
}

/// Reads part 1 of `k` in one of the ways in which a part list is read.
fn read_by_part(f: &Fixture, round: u32) -> Result<(), S3Error> {
    let input = GetObjectInput {
        part_number: Some(number(1)),
        with_checksum: true,
        ..GetObjectInput::default()
    };
    let object = match round % 4 {
        0 => {
            let output = f.try_get("k", input)?;
            let object = output.object.clone();
            assert_eq!(f.drain(output).unwrap().len(), 300);
            object
        }
        1 => {
            let entry = f.entry::<GetObject>("k");
            f.service.head_object(entry, input)?.object
        }
        2 => {
            let resident = f.service.resident().unwrap();
            let entry =
                resident.enter_object(support::context(), &bucket(), &object_key("k"), None);
            resident.head_object(entry?, input)?.object
        }
        _ => {
            let input = GetObjectAttributesInput {
                with_checksum: true,
                parts: Some((0, 10)),
                ..GetObjectAttributesInput::default()
            };
            let entry = f.entry::<GetObjectAttributes>("k");
            let output = f.service.get_object_attributes(entry, input)?;
            let parts = output.parts.unwrap().parts;
            assert!(parts.len() == 1 && parts.iter().all(|part| part.checksum.is_some()));
            output.object
        }
    };
    assert!(object.checksum.is_some(), "round {round}");
    Ok(())
}

#[test]
fn reads_by_part_are_not_disturbed_by_who_replaces_the_object() {
    // Manifests are blobs of their own in the one, and parts are rows in the other.
    for inline_max_bytes in [64, 8192] {
        let f = Fixture::with_inline_max(inline_max_bytes);
        let replace = || {
            let declared = declaring(ChecksumAlgorithm::Crc32c, ChecksumType::FullObject);
            let upload = create(&f, "k", declared);
            let list = [part(&f, ("k", upload), 1, &pattern(300))];
            complete(&f, "k", completion(upload, &list)).unwrap();
            collect(&f);
        };
        replace();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|first| {
                    let (f, done) = (&f, &done);
                    scope.spawn(move || {
                        let mut read = 0_u32;
                        for round in first.. {
                            if done.load(Ordering::SeqCst) {
                                break;
                            }
                            match read_by_part(f, round) {
                                Ok(()) => read += 1,
                                // What the client, or the caller, tries again.
                                Err(S3Error::Contention | S3Error::NotInMemory) => {}
                                Err(error) => panic!("round {round}: {error}"),
                            }
                        }
                        read
                    })
                })
                .collect();
            for _ in 0..1500 {
                replace();
            }
            done.store(true, Ordering::SeqCst);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
        assert!(f.audit.0.lock().is_empty(), "no false alarm");
        // The leases are gone with the readers: nothing stays uncollected.
        delete(&f, "k");
        assert_nothing_left(&f);
    }
}
