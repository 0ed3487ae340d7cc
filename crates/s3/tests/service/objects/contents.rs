//! What is put comes back: every size and range, with its metadata, under the key that was brought.

use std::net::{IpAddr, Ipv4Addr};

use strongroom_crypto::{Layers, header_len_bytes};
use strongroom_policy::actions::{
    DeleteObjectTagging, GetObject, GetObjectTagging, PutObject, PutObjectTagging,
};
use strongroom_ports::Table;
use strongroom_s3::{
    BodyError, ChecksumValue, EncryptionAnswer, ExpectedChecksum, ExpectedDigests, GetObjectInput,
    PutObjectInput, S3Error, Versioning,
};
use strongroom_sse::{SseError, SseHeaders};
use strongroom_types::{ChecksumAlgorithm, ObjectMetadata, PartNumber, RangeSpec, Tag, TagSet};

use super::{
    SEGMENT, WINDOW, assert_nothing_left, clean, delete, md5_etag, ranged, sse_c, sse_c_put,
};
use crate::support::{
    Fixture, INLINE_MAX_BYTES, Pieces, bucket, context_from, object_key, pattern,
};

fn inline_max(key: &str) -> usize {
    INLINE_MAX_BYTES - header_len_bytes(&object_key(key), Layers::One) - 24
}

#[test]
fn every_edge_size_comes_back_whole() {
    let f = Fixture::new(Versioning::Never);
    let edge = inline_max("k");
    let sizes = [
        0,
        1,
        15,
        16,
        17,
        edge - 1,
        edge,
        edge + 1,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        2 * SEGMENT,
        WINDOW - 1,
        WINDOW,
        WINDOW + 1,
        WINDOW + SEGMENT,
        2 * WINDOW - 1,
        2 * WINDOW,
        2 * WINDOW + 1,
        1_000_003,
    ];
    for size in sizes {
        for sse in [SseHeaders::default(), sse_c(1)] {
            let body = pattern(size);
            let is_customer = sse.is_present();
            let input = PutObjectInput {
                sse: sse.clone(),
                ..PutObjectInput::default()
            };
            let put = f.try_put("k", input, &body).unwrap();
            assert_eq!(put.size_bytes, size as u64);
            assert_eq!(put.etag == md5_etag(&body), !is_customer, "{size}");
            let get = GetObjectInput {
                sse,
                with_checksum: true,
                ..GetObjectInput::default()
            };
            let output = f.try_get("k", get).unwrap();
            assert_eq!(output.object.size_bytes, size as u64);
            assert_eq!(
                (output.range, output.object.checksum.clone()),
                (None, put.checksum),
                "{size}"
            );
            assert!(f.drain(output).unwrap() == body, "{size}");
            let inline = f.rows(Table::INLINE).len();
            assert_eq!(inline, usize::from(size <= edge), "{size}");
            clean(&f);
            assert_eq!(f.blob_ids().len(), 1 - inline, "{size}");
        }
    }
    delete(&f, "k", None);
    clean(&f);
    assert_nothing_left(&f);
}

#[test]
fn ranges_hold_around_every_border() {
    let f = Fixture::new(Versioning::Never);
    for size in [1, 1000, WINDOW + SEGMENT + 100] {
        let body = pattern(size);
        f.put("k", &body);
        let mut borders = Vec::new();
        for border in [0, SEGMENT, 2 * SEGMENT, WINDOW, WINDOW + SEGMENT, size] {
            borders.extend([border.saturating_sub(1), border, border + 1]);
        }
        for &start in borders.iter().filter(|start| **start < size) {
            for &last in borders.iter().filter(|last| **last >= start) {
                let end = (last + 1).min(size);
                let output = f
                    .try_get("k", ranged(RangeSpec::FromTo(start as u64, last as u64)))
                    .unwrap();
                assert_eq!(output.range.unwrap().len_bytes(), (end - start) as u64);
                assert!(
                    f.drain(output).unwrap() == body[start..end],
                    "{start}..{end} of {size}"
                );
            }
            let tail = f.read("k", ranged(RangeSpec::From(start as u64))).unwrap();
            assert!(tail == body[start..], "{start}.. of {size}");
            let suffix = f
                .read("k", ranged(RangeSpec::Last((size - start) as u64)))
                .unwrap();
            assert!(suffix == body[start..], "last {} of {size}", size - start);
        }
        let beyond = f.read("k", ranged(RangeSpec::From(size as u64)));
        assert_eq!(
            beyond.unwrap_err(),
            S3Error::InvalidRange {
                size_bytes: size as u64
            }
        );
    }
    f.put("empty", b"");
    let empty = f.read("empty", ranged(RangeSpec::From(0)));
    assert_eq!(empty.unwrap_err(), S3Error::InvalidRange { size_bytes: 0 });
}

#[test]
fn an_object_of_one_piece_has_one_part() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"abc");
    let part = |number| GetObjectInput {
        part_number: PartNumber::new(number),
        ..GetObjectInput::default()
    };
    let output = f.try_get("k", part(1)).unwrap();
    assert_eq!(
        (output.range.unwrap().len_bytes(), output.object.parts_count),
        (3, None)
    );
    assert_eq!(f.drain(output).unwrap(), b"abc");
    let other = f.try_get("k", part(2)).unwrap_err();
    assert_eq!(
        other,
        S3Error::InvalidPartNumber {
            part_number: 2,
            part_count: 1
        }
    );
}

#[test]
fn metadata_and_tags_come_back_and_head_agrees_with_get() {
    let f = Fixture::new(Versioning::Never);
    let mut metadata = ObjectMetadata {
        content_type: Some("text/plain".to_owned()),
        ..ObjectMetadata::default()
    };
    metadata.user.insert("a".to_owned(), b"\xE9".to_vec());
    let tags = TagSet::parse(
        vec![Tag {
            key: "t".to_owned(),
            value: "v".to_owned(),
        }],
        10,
    )
    .unwrap();
    let input = PutObjectInput {
        metadata: metadata.clone(),
        tags: tags.clone(),
        ..PutObjectInput::default()
    };
    f.try_put("k", input, b"abc").unwrap();
    let get = f.try_get("k", GetObjectInput::default()).unwrap();
    let head = f
        .service
        .head_object(f.entry::<GetObject>("k"), GetObjectInput::default())
        .unwrap();
    assert!(head.body.is_none());
    assert_eq!(format!("{:?}", head.object), format!("{:?}", get.object));
    assert!(get.object.metadata == metadata);
    assert_eq!(
        (get.object.tag_count, get.object.encryption),
        (1, EncryptionAnswer::SseS3)
    );
    assert_eq!(get.object.version, None);

    let read = || {
        f.service
            .get_object_tagging(f.entry::<GetObjectTagging>("k"), None)
            .unwrap()
    };
    assert_eq!(read(), (tags, None));
    let other = TagSet::parse(
        vec![Tag {
            key: "o".to_owned(),
            value: String::new(),
        }],
        10,
    )
    .unwrap();
    f.service
        .put_object_tagging(f.entry::<PutObjectTagging>("k"), None, other.clone())
        .unwrap();
    assert_eq!(read().0, other);
    f.service
        .delete_object_tagging(f.entry::<DeleteObjectTagging>("k"), None)
        .unwrap();
    assert!(read().0.is_empty());
    assert_eq!(f.get("k"), b"abc", "tagging leaves the body alone");

    let mut large = ObjectMetadata::default();
    large.user.insert("k".to_owned(), vec![b'x'; 2048]);
    let refused = f.try_put(
        "k",
        PutObjectInput {
            metadata: large,
            ..PutObjectInput::default()
        },
        b"",
    );
    assert_eq!(
        refused.unwrap_err(),
        S3Error::MetadataTooLarge { size_bytes: 2049 }
    );
}

#[test]
fn customer_keys_follow_the_tables_of_the_specification() {
    let f = Fixture::new(Versioning::Enabled);
    let first = f.try_put("k", sse_c_put(1), b"one").unwrap();
    assert!(matches!(first.encryption, EncryptionAnswer::SseC { .. }));
    assert!(first.checksum.is_some());
    let second = f.try_put("k", sse_c_put(2), &pattern(100_000)).unwrap();
    f.put("plain", b"plain");
    let error = |key: &str, input: GetObjectInput| f.try_get(key, input).unwrap_err();
    let with = |sse| GetObjectInput {
        sse,
        ..GetObjectInput::default()
    };

    assert_eq!(f.read("k", with(sse_c(2))).unwrap(), pattern(100_000));
    let old = GetObjectInput {
        version: first.version,
        ..with(sse_c(1))
    };
    assert_eq!(
        f.read("k", old).unwrap(),
        b"one",
        "each version has its own key"
    );
    assert_eq!(
        error("k", with(SseHeaders::default())),
        SseError::CustomerKeyRequired.into()
    );
    assert_eq!(
        error("k", with(sse_c(1))),
        SseError::CustomerKeyWrong.into(),
        "another version's key is wrong"
    );
    assert_eq!(
        error("plain", with(sse_c(1))),
        SseError::CustomerKeyNotApplicable.into()
    );
    let mut bad = sse_c(2);
    bad.customer.algorithm = Some("KMS".to_owned());
    let invalid = SseError::CustomerAlgorithmInvalid {
        value: "KMS".to_owned(),
    };
    assert_eq!(error("k", with(bad)), invalid.into());
    let declared = SseHeaders {
        algorithm: Some("AES256".to_owned()),
        ..SseHeaders::default()
    };
    assert_eq!(
        error("plain", with(declared.clone())),
        SseError::NotApplicableToRead.into()
    );
    assert!(
        matches!(error("none", with(declared)), S3Error::NoSuchKey { .. }),
        "404 precedes every SSE check"
    );
    let head = f
        .service
        .head_object(f.entry::<GetObject>("k"), with(sse_c(1)));
    assert_eq!(head.unwrap_err(), SseError::CustomerKeyWrong.into());
    let head = f
        .service
        .head_object(f.entry::<GetObject>("plain"), with(sse_c(1)));
    assert_eq!(head.unwrap_err(), SseError::CustomerKeyNotApplicable.into());

    let mut conflict = sse_c_put(1);
    conflict.sse.algorithm = Some("AES256".to_owned());
    let got = f.try_put("k", conflict, b"").unwrap_err();
    assert_eq!(
        got,
        SseError::CustomerKeyConflict {
            value: "AES256".to_owned()
        }
        .into()
    );
    let away = context_from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let entry = f
        .service
        .enter_object::<PutObject>(away, &bucket(), &object_key("k"), None)
        .unwrap();
    let put = f
        .service
        .put_object(entry, sse_c_put(1), Box::pin(Pieces::of(b"")));
    assert_eq!(
        f.runtime.block_on(put).unwrap_err(),
        SseError::CustomerKeyOverPlainHttp.into()
    );
    // Deleting needs no key.
    delete(&f, "k", second.version);
    assert_eq!(f.read("k", with(sse_c(1))).unwrap(), b"one");
}

#[test]
fn a_body_that_does_not_match_its_digests_leaves_nothing() {
    for size in [100, 100_000, 2 * WINDOW + 5] {
        let f = Fixture::new(Versioning::Never);
        let body = pattern(size);
        let algorithm = ChecksumAlgorithm::Crc32c;
        let checksum = |value| ExpectedDigests {
            checksum: Some(ExpectedChecksum { algorithm, value }),
            ..ExpectedDigests::default()
        };
        let put = |digests| {
            f.try_put(
                "k",
                PutObjectInput {
                    digests,
                    ..PutObjectInput::default()
                },
                &body,
            )
        };
        let md5 = ExpectedDigests {
            content_md5: Some([1; 16]),
            ..ExpectedDigests::default()
        };
        assert!(matches!(put(md5), Err(S3Error::BadDigest { .. })));
        let sha = ExpectedDigests {
            content_sha256: Some([1; 32]),
            ..ExpectedDigests::default()
        };
        assert!(matches!(
            put(sha),
            Err(S3Error::ContentSha256Mismatch { .. })
        ));
        let wrong = put(checksum(ChecksumValue::Header(vec![0; 4])));
        assert_eq!(wrong.unwrap_err(), S3Error::ChecksumMismatch(algorithm));
        assert_eq!(
            put(checksum(ChecksumValue::Trailer)).unwrap_err(),
            S3Error::TrailerMissing
        );
        let input = || PutObjectInput {
            content_length: size as u64,
            ..PutObjectInput::default()
        };
        let cut = f
            .put_pieces("k", input(), Pieces::of(&body[1..]))
            .unwrap_err();
        assert_eq!(cut, BodyError::Incomplete.into());
        let long = f
            .put_pieces("k", input(), Pieces::of(&pattern(size + 1)))
            .unwrap_err();
        assert_eq!(long, BodyError::TooLong.into());
        let forged = Pieces::of(&body).failing(BodyError::SignatureMismatch);
        assert_eq!(
            f.put_pieces("k", input(), forged).unwrap_err(),
            BodyError::SignatureMismatch.into()
        );
        assert_nothing_left(&f);

        let stored = put(checksum(ChecksumValue::Computed))
            .unwrap()
            .checksum
            .unwrap();
        assert_eq!(stored.algorithm, algorithm);
        let digests = checksum(ChecksumValue::Trailer);
        let trailed = Pieces::of(&body).with_trailer(stored.value.clone());
        let put = f
            .put_pieces("k", PutObjectInput { digests, ..input() }, trailed)
            .unwrap();
        assert_eq!(put.checksum, Some(stored));
    }
}
