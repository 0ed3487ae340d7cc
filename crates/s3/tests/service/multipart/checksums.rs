//! Checksums of parts and of the whole.

use aws_lc_rs::digest::{SHA256, digest as sha};
use crc_fast::{CrcAlgorithm, checksum as crc};
use strongroom_policy::actions::{GetObject, GetObjectAttributes, ListMultipartUploadParts};
use strongroom_s3::{
    ChecksumValue, CompleteMultipartUploadInput, CompletedPart, CreateMultipartUploadInput,
    ExpectedChecksum, ExpectedDigests, GetObjectAttributesInput, GetObjectInput, ListPartsInput,
    S3Error, Versioning,
};
use strongroom_sse::SseError;
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType};

use super::{
    MIB_5, complete, completion, create, declaring, listed, no_key, number, part, try_part,
    with_key,
};
use crate::support::{Fixture, customer, pattern};

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
