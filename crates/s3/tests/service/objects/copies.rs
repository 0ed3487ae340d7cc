//! Copies: of what, under which key, and with which tags.

use strongroom_policy::actions::PutEncryptionConfiguration;
use strongroom_s3::{
    CopyObjectInput, CopySource, ETagCondition, EncryptionChange, GetObjectInput,
    MetadataDirective, ReadConditions, S3Error, TaggingDirective, Versioning,
};
use strongroom_sse::{SseError, SseHeaders};
use strongroom_types::{ChecksumAlgorithm, ObjectMetadata, SseAlgorithm, Tag, TagSet};

use super::{clean, copy, copy_input, copy_source, delete, md5_etag, sse_c, sse_c_put};
use crate::support::{Fixture, bucket, context, customer, pattern};

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
