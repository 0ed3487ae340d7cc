//! Objects of one stream: round trips, ranges, versions, conditions, copies, SSE-C, digests, damage,
//! and what is left behind.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "shared with the other tests of this crate")]
mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use md5::{Digest as _, Md5};
use strongroom_crypto::{Layers, header_len_bytes};
use strongroom_policy::actions::{
    DeleteObject, DeleteObjectTagging, GetObject, GetObjectTagging, PutEncryptionConfiguration,
    PutObject, PutObjectTagging,
};
use strongroom_ports::Table;
use strongroom_s3::{
    BodyError, ChecksumValue, CopyObjectInput, CopyObjectOutput, CopySource, DeleteObjectInput,
    DeleteObjectOutput, ETagCondition, EncryptionAnswer, EncryptionChange, ExpectedChecksum,
    ExpectedDigests, GetObjectInput, MetadataDirective, PutObjectInput, ReadConditions, ReadError,
    S3Error, TaggingDirective, Versioning, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseError, SseHeaders};
use strongroom_store::{ConflictRule, MemoryBlobs, MemoryMeta};
use strongroom_types::{
    ChecksumAlgorithm, ETag, ObjectMetadata, PartNumber, RangeSpec, SseAlgorithm, Tag, TagSet,
    VersionId,
};

use support::{
    Fixture, INLINE_MAX_BYTES, Pieces, bucket, context, context_from, customer, object_key, pattern,
};

const SEGMENT: usize = 65_536;
const WINDOW: usize = 4 * SEGMENT;

fn inline_max(key: &str) -> usize {
    INLINE_MAX_BYTES - header_len_bytes(&object_key(key), Layers::One) - 24
}

fn sse_c(byte: u8) -> SseHeaders {
    SseHeaders {
        customer: customer(byte),
        ..SseHeaders::default()
    }
}

fn sse_c_put(byte: u8) -> PutObjectInput {
    PutObjectInput {
        sse: sse_c(byte),
        ..PutObjectInput::default()
    }
}

fn at(version: VersionId) -> GetObjectInput {
    GetObjectInput {
        version: Some(version),
        ..GetObjectInput::default()
    }
}

fn ranged(range: RangeSpec) -> GetObjectInput {
    GetObjectInput {
        range: Some(range),
        ..GetObjectInput::default()
    }
}

fn md5_etag(body: &[u8]) -> ETag {
    ETag::from_digest(Md5::digest(body).into())
}

fn delete(f: &Fixture, key: &str, version: Option<VersionId>) -> DeleteObjectOutput {
    let input = DeleteObjectInput {
        version,
        if_match: None,
    };
    f.service
        .delete_object(f.entry::<DeleteObject>(key), input)
        .unwrap()
}

fn copy_source(key: &str) -> CopySource {
    CopySource {
        bucket: bucket(),
        key: object_key(key),
        version: None,
        conditions: ReadConditions::default(),
        customer: CustomerHeaders::default(),
    }
}

fn copy_input() -> CopyObjectInput {
    CopyObjectInput {
        metadata: MetadataDirective::Copy,
        tags: TaggingDirective::Copy,
        website_redirect_location: None,
        storage_class_given: false,
        sse: SseHeaders::default(),
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
        acl: strongroom_s3::WantedAcl::Unspecified,
    }
}

fn copy(
    f: &Fixture,
    source: CopySource,
    to: &str,
    input: CopyObjectInput,
) -> Result<CopyObjectOutput, S3Error> {
    let from = f.entry::<GetObject>(source.key.as_str());
    f.service
        .copy_object(from, f.entry::<PutObject>(to), source, input)
}

/// Works off all garbage and two sweeps, and wants every blob file to have a row.
fn clean(f: &Fixture) {
    f.service.collect_garbage(usize::MAX).unwrap();
    f.service.sweep_orphans().unwrap();
    f.service.sweep_orphans().unwrap();
    assert_eq!(f.rows(Table::GARBAGE).len(), 0);
    assert_eq!(f.rows(Table::BLOBS).len(), f.blob_ids().len());
}

/// Nothing of any object is left, visible or not.
fn assert_nothing_left(f: &Fixture) {
    for table in [
        Table::CURRENT,
        Table::VERSIONS,
        Table::NULL_VERSIONS,
        Table::INLINE,
        Table::BLOBS,
    ] {
        assert_eq!(f.rows(table).len(), 0, "{table:?}");
    }
    assert_eq!(f.blob_ids().len(), 0);
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

#[test]
fn copies_are_encrypted_anew_and_tagged_by_their_own_mode() {
    let f = Fixture::new(Versioning::Enabled);
    for size in [10, 300_000] {
        let body = pattern(size);
        let mut input = sse_c_put(1);
        input.metadata.cache_control = Some("no-cache".to_owned());
        input.metadata.website_redirect_location = Some("/there".to_owned());
        let source = f.try_put("from", input, &body).unwrap();
        let required = copy(&f, copy_source("from"), "to", copy_input()).unwrap_err();
        assert_eq!(required, SseError::CustomerKeyRequired.into());
        let wrong = CopySource {
            customer: customer(2),
            ..copy_source("from")
        };
        assert_eq!(
            copy(&f, wrong, "to", copy_input()).unwrap_err(),
            SseError::CustomerKeyWrong.into()
        );

        let right = || CopySource {
            customer: customer(1),
            ..copy_source("from")
        };
        let plain = copy(&f, right(), "to", copy_input()).unwrap();
        assert_eq!(
            plain.object.etag,
            md5_etag(&body),
            "an SSE-S3 copy has the MD5 of the plaintext"
        );
        assert_eq!(
            (plain.source_version, plain.object.checksum),
            (source.version, source.checksum)
        );
        let output = f.try_get("to", GetObjectInput::default()).unwrap();
        assert_eq!(
            output.object.metadata.cache_control.as_deref(),
            Some("no-cache")
        );
        assert_eq!(
            output.object.metadata.website_redirect_location, None,
            "it is never copied"
        );
        assert!(f.drain(output).unwrap() == body);

        let sha = CopyObjectInput {
            checksum_algorithm: Some(ChecksumAlgorithm::Sha256),
            sse: sse_c(3),
            ..copy_input()
        };
        let sealed = copy(&f, copy_source("to"), "third", sha).unwrap();
        assert_ne!(sealed.object.etag, md5_etag(&body));
        assert_eq!(
            sealed.object.checksum.unwrap().algorithm,
            ChecksumAlgorithm::Sha256
        );
        let get = GetObjectInput {
            sse: sse_c(3),
            ..GetObjectInput::default()
        };
        assert!(f.read("third", get).unwrap() == body);
        let unneeded = CopySource {
            customer: customer(1),
            ..copy_source("to")
        };
        let got = copy(&f, unneeded, "x", copy_input()).unwrap_err();
        assert_eq!(got, SseError::CustomerKeyNotApplicable.into());
    }
}

#[test]
fn a_copy_takes_along_no_tags_but_those_that_were_decided_about() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"abc");
    let to_with = |tags| {
        let tags = TaggingDirective::CopyOf(tags);
        let input = CopyObjectInput {
            tags,
            ..copy_input()
        };
        copy(&f, copy_source("k"), "to", input).map(|_| ())
    };
    let tag = Tag {
        key: "a".to_owned(),
        value: "b".to_owned(),
    };
    let other = TagSet::parse(vec![tag], 1).unwrap();
    assert_eq!(to_with(other), Err(S3Error::Contention));
    assert_eq!(to_with(TagSet::default()), Ok(()));
}

#[test]
fn a_copy_onto_itself_must_change_something() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"abc");
    let onto_itself = |input| copy(&f, copy_source("k"), "k", input).map(|_| ());
    assert_eq!(onto_itself(copy_input()), Err(S3Error::CopyOntoItself));
    let replace = MetadataDirective::Replace(ObjectMetadata::default());
    let aes = SseHeaders {
        algorithm: Some("AES256".to_owned()),
        ..SseHeaders::default()
    };
    let redirect = Some("/x".to_owned());
    assert_eq!(
        onto_itself(CopyObjectInput {
            metadata: replace,
            ..copy_input()
        }),
        Ok(())
    );
    assert_eq!(
        onto_itself(CopyObjectInput {
            tags: TaggingDirective::Replace(TagSet::default()),
            ..copy_input()
        }),
        Ok(())
    );
    assert_eq!(
        onto_itself(CopyObjectInput {
            storage_class_given: true,
            ..copy_input()
        }),
        Ok(())
    );
    assert_eq!(
        onto_itself(CopyObjectInput {
            website_redirect_location: redirect,
            ..copy_input()
        }),
        Ok(())
    );
    assert_eq!(
        onto_itself(CopyObjectInput {
            sse: aes,
            ..copy_input()
        }),
        Ok(())
    );
    let entry = f
        .service
        .enter_bucket::<PutEncryptionConfiguration>(context(), &bucket(), None)
        .unwrap();
    let change = EncryptionChange {
        algorithm: Some(SseAlgorithm::Aes256),
        kms_key_id: None,
        bucket_key_enabled: false,
        blocked: None,
    };
    f.service.put_bucket_encryption(entry, change).unwrap();
    assert_eq!(
        onto_itself(copy_input()),
        Ok(()),
        "an explicit default makes it legal"
    );
    assert_eq!(f.get("k"), b"abc");
    clean(&f);
}

#[test]
fn copy_sources_must_be_there_and_meet_their_conditions() {
    let f = Fixture::new(Versioning::Enabled);
    assert!(matches!(
        copy(&f, copy_source("none"), "to", copy_input()),
        Err(S3Error::NoSuchKey { .. })
    ));
    let put = f.put("k", b"abc");
    let marker = delete(&f, "k", None).version;
    assert!(matches!(
        copy(&f, copy_source("k"), "to", copy_input()),
        Err(S3Error::NoSuchKey { .. })
    ));
    let hidden = CopySource {
        version: marker,
        ..copy_source("k")
    };
    assert_eq!(
        copy(&f, hidden, "to", copy_input()).unwrap_err(),
        S3Error::CopySourceIsDeleteMarker
    );
    let conditions = ReadConditions {
        if_none_match: Some(ETagCondition::Tags(vec![put.etag])),
        ..ReadConditions::default()
    };
    let unmodified = CopySource {
        version: put.version,
        conditions,
        ..copy_source("k")
    };
    let failed = S3Error::PreconditionFailed {
        condition: "x-amz-copy-source-If-None-Match",
    };
    assert_eq!(
        copy(&f, unmodified, "to", copy_input()).unwrap_err(),
        failed,
        "412, not 304"
    );
    let old = CopySource {
        version: put.version,
        ..copy_source("k")
    };
    copy(&f, old, "k", copy_input()).unwrap();
    assert_eq!(
        f.get("k"),
        b"abc",
        "an old version copied onto its key becomes current"
    );
}

#[test]
fn every_flipped_bit_of_a_small_object_is_noticed() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"some plaintext");
    let row = f.rows(Table::INLINE).remove(0);
    for index in 0..row.value.len() {
        let mut value = row.value.to_vec();
        value[index] ^= 1 << (index % 8);
        f.replace_row(Table::INLINE, &row.key, value);
        let got = f
            .try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(got, S3Error::Damaged, "byte {index}");
    }
    for len in [0, 1, row.value.len() - 1] {
        f.replace_row(Table::INLINE, &row.key, row.value[..len].to_vec());
        assert_eq!(
            f.try_get("k", GetObjectInput::default())
                .map(|_| ())
                .unwrap_err(),
            S3Error::Damaged,
            "cut to {len}"
        );
    }
    assert!(f.audit.0.lock().contains(&"IntegrityFailure"));
    f.replace_row(Table::INLINE, &row.key, row.value.to_vec());
    assert_eq!(f.get("k"), b"some plaintext");
    for table in [Table::VERSIONS, Table::BUCKETS] {
        let row = f.rows(table).remove(0);
        for index in [0, 5, row.value.len() / 2, row.value.len() - 1] {
            let mut value = row.value.to_vec();
            value[index] ^= 1;
            f.replace_row(table, &row.key, value);
            let entry =
                f.service
                    .enter_object::<GetObject>(context(), &bucket(), &object_key("k"), None);
            let got =
                entry.and_then(|entry| f.service.get_object(entry, GetObjectInput::default()));
            assert_eq!(
                got.map(|_| ()).unwrap_err(),
                S3Error::Damaged,
                "{table:?} byte {index}"
            );
        }
        f.replace_row(table, &row.key, row.value.to_vec());
    }
}

#[test]
fn damage_to_a_blob_never_gives_wrong_bytes() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(2 * WINDOW + 1000);
    f.put("k", &body);
    let id = f.blob_ids()[0];
    let stored = f.blob_bytes(id);
    let header = header_len_bytes(&object_key("k"), Layers::One);
    let damage_at = |offset: usize| {
        let mut bytes = stored.clone();
        bytes[offset] ^= 0x10;
        f.replace_blob(id, &bytes);
    };
    for offset in [
        0,
        10,
        header - 1,
        header,
        header + SEGMENT + 23,
        header + 3 * (SEGMENT + 24),
    ] {
        damage_at(offset);
        let got = f.try_get("k", GetObjectInput::default()).map(|_| ());
        assert_eq!(
            got.unwrap_err(),
            S3Error::Damaged,
            "in front, byte {offset}: no answer begins"
        );
    }
    for offset in [header + 4 * (SEGMENT + 24), header + 8 * (SEGMENT + 24) + 5] {
        damage_at(offset);
        let output = f.try_get("k", GetObjectInput::default()).unwrap();
        assert_eq!(
            f.drain(output).unwrap_err(),
            ReadError::Damaged,
            "behind, byte {offset}: the stream breaks"
        );
        let intact = f.read("k", ranged(RangeSpec::FromTo(0, 99))).unwrap();
        assert_eq!(intact, body[..100], "a range reads only its own segments");
    }
    f.replace_blob(id, &stored[..stored.len() / 2]);
    assert_eq!(
        f.try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err(),
        S3Error::Damaged,
        "cut in half"
    );
    f.blobs_delete(id);
    assert_eq!(
        f.try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err(),
        S3Error::Damaged,
        "gone"
    );
    f.put("k", b"new");
    assert_eq!(f.get("k"), b"new", "a damaged object can be overwritten");
}

#[test]
fn streams_of_other_objects_do_not_open() {
    let f = Fixture::new(Versioning::Never);
    f.put("a", b"aaa");
    f.put("b", b"bbb");
    let rows = f.rows(Table::INLINE);
    f.replace_row(Table::INLINE, &rows[0].key, rows[1].value.to_vec());
    f.replace_row(Table::INLINE, &rows[1].key, rows[0].value.to_vec());
    for key in ["a", "b"] {
        let got = f.try_get(key, GetObjectInput::default()).map(|_| ());
        assert_eq!(got.unwrap_err(), S3Error::Damaged, "{key}");
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_recovers() {
    let f = Fixture::on(
        MemoryMeta::new(),
        MemoryBlobs::with_capacity(400_000),
        Versioning::Never,
    );
    f.put("kept", &pattern(100_000));
    for _ in 0..3 {
        let full = f
            .try_put("k", PutObjectInput::default(), &pattern(350_000))
            .unwrap_err();
        assert_eq!(full, S3Error::NoSpace);
    }
    assert_eq!(f.get("kept"), pattern(100_000));
    assert_eq!(f.blob_ids().len(), 1);
    delete(&f, "kept", None);
    clean(&f);
    f.put("k", &pattern(350_000));
}

#[test]
fn injected_conflicts_are_retried_until_it_is_in_vain() {
    for seed in 0..8 {
        let meta = MemoryMeta::with_conflicts(ConflictRule { one_in: 3, seed });
        let f = Fixture::on(meta, MemoryBlobs::new(), Versioning::Enabled);
        for size in [10, 20_000] {
            let put = f.put("k", &pattern(size));
            assert_eq!(f.get("k"), pattern(size));
            copy(&f, copy_source("k"), "copy", copy_input()).unwrap();
            f.service
                .put_object_tagging(f.entry::<PutObjectTagging>("k"), None, TagSet::default())
                .unwrap();
            delete(&f, "k", put.version);
            delete(&f, "k", None);
        }
        clean(&f);
    }
}

#[test]
fn what_lost_its_race_for_good_leaves_no_blob() {
    let f = Fixture::new(Versioning::Never);
    let conditions = WriteConditions {
        if_match: None,
        if_none_match: true,
    };
    let input = PutObjectInput {
        conditions,
        content_length: 100_000,
        ..PutObjectInput::default()
    };
    // The key comes into being between the early check and the commit: while the body arrives.
    let (entered, enter) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel();
    let body = support::Gated::new(Pieces::of(&pattern(100_000)), entered, finished);
    let entry = f.entry::<PutObject>("k");
    let service = Arc::clone(&f.service);
    let put = f
        .runtime
        .spawn(async move { service.put_object(entry, input, Box::pin(body)).await });
    enter.recv().unwrap();
    f.put("k", b"first");
    finish.send(()).unwrap();
    let lost = f.runtime.block_on(put).unwrap().unwrap_err();
    assert_eq!(
        lost,
        S3Error::PreconditionFailed {
            condition: "If-None-Match"
        }
    );
    assert_eq!(f.blob_ids().len(), 0);
    assert_eq!(f.get("k"), b"first");
}

#[test]
fn orphans_go_at_the_second_sweep_and_blobs_with_rows_never() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", &pattern(100_000));
    let orphan = strongroom_types::BlobId::from_bytes([9; 16]);
    f.replace_blob(orphan, b"left by a crash");
    let first = f.service.sweep_orphans().unwrap();
    assert_eq!(
        (first.blobs_seen, first.suspected, first.blobs_removed),
        (2, 1, 0)
    );
    let second = f.service.sweep_orphans().unwrap();
    assert_eq!((second.suspected, second.blobs_removed), (0, 1));
    assert_eq!(f.get("k"), pattern(100_000));
}

#[test]
fn a_reader_outlives_its_version() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(3 * WINDOW);
    f.put("k", &body);
    let output = f.try_get("k", GetObjectInput::default()).unwrap();
    f.put("k", b"new");
    clean(&f);
    assert!(f.drain(output).unwrap() == body);
    assert_eq!(f.get("k"), b"new");
}

#[test]
fn eight_writers_of_one_key_keep_its_rows_in_step() {
    for versioning in [
        Versioning::Never,
        Versioning::Enabled,
        Versioning::Suspended,
    ] {
        let f = Fixture::new(versioning);
        std::thread::scope(|scope| {
            for writer in 0..8_usize {
                let f = &f;
                scope.spawn(move || {
                    for round in 0..12_usize {
                        match (writer + round) % 4 {
                            0 => drop(delete(f, "k", None)),
                            1 => drop(f.put("k", &pattern(10_000 + writer * 100 + round))),
                            _ => drop(f.put("k", &pattern(writer * 100 + round))),
                        }
                        match f.read("k", GetObjectInput::default()) {
                            Ok(bytes) => assert!(bytes == pattern(bytes.len()), "no torn object"),
                            Err(S3Error::NoSuchKey { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
        clean(&f);
        let versions = f.rows(Table::VERSIONS).len();
        match versioning {
            Versioning::Never | Versioning::Suspended => assert!(versions <= 1, "{versions}"),
            Versioning::Enabled => assert_eq!(versions, 8 * 12),
        }
        match f.read("k", GetObjectInput::default()) {
            Ok(_) => assert_eq!(f.rows(Table::CURRENT).len(), 1),
            Err(_) => assert_eq!(f.rows(Table::CURRENT).len(), 0),
        }
    }
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
