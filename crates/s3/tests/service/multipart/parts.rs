//! Parts: sent, copied, listed, under one customer key, and read back as one object.

use crc_fast::{CrcAlgorithm, checksum as crc};
use md5::{Digest as _, Md5};
use strongroom_crypto::{keyless_checksum, parse_footer};
use strongroom_policy::actions::{GetObject, ListMultipartUploadParts, PutObject};
use strongroom_ports::Table;
use strongroom_s3::{
    CompleteMultipartUploadInput, CopySource, CreateMultipartUploadInput, ExpectedDigests,
    GetObjectInput, ListPartsInput, PutObjectInput, ReadConditions, S3Error, UploadPartCopyInput,
    Versioning,
};
use strongroom_sse::{CustomerHeaders, SseError, SseHeaders};
use strongroom_types::{ByteRange, ChecksumAlgorithm, ChecksumType, ETag, PartNumber, RangeSpec};

use super::{
    MIB_5, assert_nothing_left, complete, completion, create, delete, listed, no_key, number, part,
    try_part, with_key,
};
use crate::support::{Fixture, bucket, customer, object_key, pattern};

fn read_part(f: &Fixture, key: &str, part: u64) -> Result<Vec<u8>, S3Error> {
    let input = GetObjectInput {
        part_number: Some(number(part)),
        ..GetObjectInput::default()
    };
    f.read(key, input)
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
    // Behind the list is a checksum of it and of the file's name, for who has no keys (ADR 0012).
    let (sealed, sum) = bytes.split_last_chunk::<8>().unwrap();
    let named = [sealed, manifest.as_bytes()].concat();
    assert_eq!(*sum, keyless_checksum(&named));
    for id in parts {
        let (footer, _) = parse_footer(&f.blob_bytes(id)).unwrap();
        assert_eq!(footer.blob_id, Some(*id.as_bytes()));
    }
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
