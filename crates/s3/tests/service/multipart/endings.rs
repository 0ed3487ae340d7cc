//! How an upload ends: completed by its rules, once, or aborted.

use strongroom_ports::Table;
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CreateMultipartUploadInput, ExpectedDigests,
    S3Error, Versioning, WriteConditions,
};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumType};

use super::{
    MIB_5, abort, assert_nothing_left, collect, complete, completion, create, delete, listed,
    no_key, part, try_part,
};
use crate::support::{Fixture, pattern};

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
