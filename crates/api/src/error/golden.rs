//! The whole table as text, held against `testdata/error_table.txt`: a change of what clients are
//! told shows in the diff.

use strongroom_policy::Denied;
use strongroom_ports::KeyError;
use strongroom_s3::{AclRefusal, BodyError, GranteePlace, ReEncryptionRefusal, S3Error};
use strongroom_sse::SseError;
use strongroom_types::{
    AccountId, BucketName, CanonicalId, ChecksumAlgorithm, ETag, ObjectKey, Region, TagError,
    Timestamp, VersionId,
};

use super::{ErrorPlace, Failure, RequestError, Unconfigured};
use crate::chunked::ChunkError;
use crate::form::FormError;
use crate::samples::samples;
use crate::sigv4::{AuthError, Dialect, Expired, Mismatch, ScopePlace, Skew};

const TIME: Timestamp = Timestamp::from_seconds(1_369_353_600);

fn service_errors() -> Vec<S3Error> {
    use S3Error as E;
    let bucket = BucketName::parse("abc").unwrap();
    let key = ObjectKey::parse("k").unwrap();
    samples!(S3Error {
        E::NoSuchBucket(_) => E::NoSuchBucket(bucket.clone()),
        E::BucketAlreadyOwnedByYou(_) => E::BucketAlreadyOwnedByYou(bucket.clone()),
        E::BucketAlreadyExists(_) => E::BucketAlreadyExists(bucket.clone()),
        E::BucketNotEmpty(_) => E::BucketNotEmpty(bucket),
        E::TooManyBuckets => E::TooManyBuckets,
        E::LogTarget(_) => E::LogTarget(strongroom_s3::TargetRefusal::NoBucket),
        E::UnexpectedBucketOwner(_) =>
            E::UnexpectedBucketOwner(AccountId::parse("111122223333").unwrap()),
        E::IllegalLocationConstraint => E::IllegalLocationConstraint,
        E::NoSuchKey { .. } =>
            E::NoSuchKey { key: key.clone(), delete_marker: Some(VersionId::Null) },
        E::NoSuchVersion { .. } => E::NoSuchVersion { key, version: VersionId::Null },
        E::IsDeleteMarker { .. } =>
            E::IsDeleteMarker { version: VersionId::Null, last_modified: TIME },
        E::NoSuchUpload => E::NoSuchUpload,
        E::InvalidPart { .. } => E::InvalidPart { part_number: 1 },
        E::InvalidPartOrder => E::InvalidPartOrder,
        E::EntityTooSmall { .. } => E::EntityTooSmall {
            part_number: 1,
            size_bytes: 2,
            etag: ETag::from_digest([0; 16]),
        },
        E::EntityTooLarge { .. } => E::EntityTooLarge { size_bytes: 2, max_bytes: 1 },
        E::MalformedPartList => E::MalformedPartList,
        E::ObjectSizeMismatch => E::ObjectSizeMismatch,
        E::PreconditionFailed { .. } => E::PreconditionFailed { condition: "If-Match" },
        E::NotModified { .. } => E::NotModified {
            etag: ETag::from_digest([0; 16]),
            last_modified: TIME,
            version: Some(VersionId::Null),
        },
        E::ConditionalRequestConflict => E::ConditionalRequestConflict,
        E::InvalidRange { .. } => E::InvalidRange { size_bytes: 1 },
        E::InvalidPartNumber { .. } => E::InvalidPartNumber { part_number: 2, part_count: 1 },
        E::BadDigest { .. } => E::BadDigest { expected: [0; 16], computed: [1; 16] },
        E::ContentSha256Mismatch { .. } =>
            E::ContentSha256Mismatch { expected: [0; 32], computed: [1; 32] },
        E::ChecksumMismatch(_) => E::ChecksumMismatch(ChecksumAlgorithm::Crc32),
        E::ChecksumAlgorithmMismatch { .. } => E::ChecksumAlgorithmMismatch {
            expected: Some(ChecksumAlgorithm::Sha256),
            got: None,
        },
        E::ChecksumTypeNotAllowed(_) => E::ChecksumTypeNotAllowed(ChecksumAlgorithm::Sha1),
        E::TrailerMissing => E::TrailerMissing,
        E::Body(_) => E::Body(BodyError::Incomplete),
        E::Sse(_) => E::Sse(SseError::CustomerKeyRequired),
        E::Kms(_) => E::Kms(KeyError::Unavailable),
        E::ReEncryption(_) => E::ReEncryption(ReEncryptionRefusal::NotSigned),
        E::Acl(_) => E::Acl(AclRefusal::NotSupported),
        E::AccessDenied(_) => E::AccessDenied(Denied { message: "Access Denied".to_owned(), is_implicit: false }),
        E::Tag(_) => E::Tag(TagError::InvalidKey),
        E::MalformedPolicy(_) => E::MalformedPolicy("Invalid principal in policy"),
        E::NoSuchTagSet => E::NoSuchTagSet,
        E::MetadataTooLarge { .. } => E::MetadataTooLarge { size_bytes: 2049 },
        E::CopyOntoItself => E::CopyOntoItself,
        E::CopySourceIsDeleteMarker => E::CopySourceIsDeleteMarker,
        E::CopySourceTooLarge { .. } => E::CopySourceTooLarge { size_bytes: 1 },
        E::InvalidCopySourceRange { .. } => E::InvalidCopySourceRange { size_bytes: 1 },
        E::Damaged => E::Damaged,
        E::NoSpace => E::NoSpace,
        E::Contention => E::Contention,
        E::Unavailable => E::Unavailable,
        E::NotInMemory => E::NotInMemory,
    })
}

/// The enum grows elsewhere: whatever is added is answered as a body that did not arrive.
fn body_errors() -> [BodyError; 5] {
    [
        BodyError::Incomplete,
        BodyError::TooSlow,
        BodyError::SignatureMismatch,
        BodyError::Malformed("aws-chunked"),
        BodyError::TooLong,
    ]
}

fn encryption_errors() -> Vec<SseError> {
    use SseError as E;
    let value = || "aws:kms".to_owned();
    samples!(SseError {
        E::CustomerKeyConflict { .. } => E::CustomerKeyConflict { value: value() },
        E::CustomerAlgorithmMissing => E::CustomerAlgorithmMissing,
        E::CustomerAlgorithmInvalid { .. } => E::CustomerAlgorithmInvalid { value: value() },
        E::CustomerKeyMissing => E::CustomerKeyMissing,
        E::CustomerKeyMd5Missing => E::CustomerKeyMd5Missing,
        E::CustomerKeyMd5Mismatch => E::CustomerKeyMd5Mismatch,
        E::CustomerKeyInvalid => E::CustomerKeyInvalid,
        E::CustomerKeyRequired => E::CustomerKeyRequired,
        E::CustomerKeyNotApplicable => E::CustomerKeyNotApplicable,
        E::CustomerKeyWrong => E::CustomerKeyWrong,
        E::UploadEncryptionMissing => E::UploadEncryptionMissing,
        E::UploadKeyMismatch => E::UploadKeyMismatch,
        E::CustomerKeyOverPlainHttp => E::CustomerKeyOverPlainHttp,
        E::CustomerKeysBlocked => E::CustomerKeysBlocked,
        E::AlgorithmInvalid { .. } => E::AlgorithmInvalid { value: value() },
        E::KmsKeyWithoutKms => E::KmsKeyWithoutKms,
        E::ContextWithoutKms => E::ContextWithoutKms,
        E::BucketKeyEnabledInvalid { .. } => E::BucketKeyEnabledInvalid { value: value() },
        E::NotApplicableToRead => E::NotApplicableToRead,
        E::ContextInvalid => E::ContextInvalid,
        E::ContextReserved { .. } => E::ContextReserved { name: "aws:s3:arn".to_owned() },
        E::KmsNotSigned => E::KmsNotSigned,
        E::KmsOverPlainHttp => E::KmsOverPlainHttp,
    })
}

/// The enum grows elsewhere: whatever is added is answered as a key service that does not answer.
fn key_errors() -> [KeyError; 9] {
    let text = || "KMS says why.".to_owned();
    [
        KeyError::NotFound(text()),
        KeyError::Disabled(text()),
        KeyError::InvalidState(text()),
        KeyError::InvalidKeyUsage(text()),
        KeyError::AccessDenied(text()),
        KeyError::InvalidCiphertext,
        KeyError::Damaged,
        KeyError::Throttled,
        KeyError::Unavailable,
    ]
}

fn tag_errors() -> Vec<TagError> {
    use TagError as E;
    samples!(TagError {
        E::TooMany { .. } => E::TooMany { max_tags: 10 },
        E::InvalidKey => E::InvalidKey,
        E::InvalidValue => E::InvalidValue,
        E::SystemKey => E::SystemKey,
        E::Duplicate => E::Duplicate,
    })
}

fn acl_refusals() -> Vec<AclRefusal> {
    use AclRefusal as E;
    let id = CanonicalId::parse(&"ab".repeat(32)).unwrap();
    samples!(AclRefusal {
        E::NotSupported => E::NotSupported,
        E::TooManyGrants => E::TooManyGrants,
        E::NoSuchGrantee { .. } => E::NoSuchGrantee { id, place: GranteePlace::Header },
        E::ReachesBeyondOwner => E::ReachesBeyondOwner,
        E::Public => E::Public,
        E::NoOwnershipControls => E::NoOwnershipControls,
    })
}

fn request_errors() -> Vec<RequestError> {
    use RequestError as E;
    let text = || "x".to_owned();
    samples!(RequestError {
        E::InvalidUri => E::InvalidUri,
        E::InvalidBucketName(_) => E::InvalidBucketName(text()),
        E::KeyTooLong { .. } => E::KeyTooLong { size_bytes: 1025 },
        E::MethodNotAllowed { .. } =>
            E::MethodNotAllowed { method: "POST".to_owned(), resource_type: "BUCKET".to_owned() },
        E::NotImplemented { .. } => E::NotImplemented { header: text() },
        E::InvalidArgument { .. } =>
            E::InvalidArgument { message: "Invalid.", name: "x", value: Some(text()) },
        E::InvalidRequest(_) => E::InvalidRequest("Invalid.".to_owned()),
        E::MalformedXml => E::MalformedXml,
        E::DocumentTooLong { .. } => E::DocumentTooLong { max_bytes: 1 },
        E::MissingContentLength => E::MissingContentLength,
        E::InvalidDigest(_) => E::InvalidDigest(text()),
        E::MissingDigest => E::MissingDigest,
        E::InvalidLocationConstraint(_) => E::InvalidLocationConstraint(text()),
        E::IllegalLocationConstraint(_) => E::IllegalLocationConstraint(String::new()),
        E::InvalidStorageClass(_) => E::InvalidStorageClass(text()),
        E::MalformedAcl => E::MalformedAcl,
        E::UnresolvableGrantByEmail(_) => E::UnresolvableGrantByEmail("a@example.com".to_owned()),
        E::MissingAcl => E::MissingAcl,
        E::UnexpectedContent => E::UnexpectedContent,
        E::MalformedForm(_) => E::MalformedForm(FormError::NoFile),
        E::FormTooSmall { .. } => E::FormTooSmall { size_bytes: 1, min_bytes: 2 },
        E::FormTooLarge { .. } => E::FormTooLarge { size_bytes: 2, max_bytes: 1 },
        E::Unconfigured(..) => E::Unconfigured(Unconfigured::Policy, "abc".to_owned()),
    })
}

fn unconfigured() -> Vec<Unconfigured> {
    use Unconfigured as E;
    samples!(Unconfigured {
        E::Policy => E::Policy,
        E::Cors => E::Cors,
        E::Website => E::Website,
        E::Lifecycle => E::Lifecycle,
        E::Replication => E::Replication,
        E::ObjectLock => E::ObjectLock,
        E::ObjectRetention => E::ObjectRetention,
        E::PublicAccessBlock => E::PublicAccessBlock,
        E::ById => E::ById,
    })
}

fn form_errors() -> Vec<FormError> {
    use FormError as E;
    samples!(FormError {
        E::NotAForm => E::NotAForm,
        E::Malformed => E::Malformed,
        E::FieldsTooLarge => E::FieldsTooLarge,
        E::NoFile => E::NoFile,
        E::Truncated => E::Truncated,
    })
}

fn framing_errors() -> Vec<ChunkError> {
    use ChunkError as E;
    samples!(ChunkError {
        E::MissingDecodedLength => E::MissingDecodedLength,
        E::InvalidDecodedLength => E::InvalidDecodedLength,
        E::InvalidTrailerHeader => E::InvalidTrailerHeader,
        E::Malformed => E::Malformed,
        E::ChunkTooLarge => E::ChunkTooLarge,
        E::ChunkTooSmall => E::ChunkTooSmall,
        E::SignatureDoesNotMatch => E::SignatureDoesNotMatch,
        E::LengthMismatch => E::LengthMismatch,
        E::TrailerMismatch => E::TrailerMismatch,
        E::InvalidTrailingChecksum(_) => E::InvalidTrailingChecksum(ChecksumAlgorithm::Crc32),
        E::Truncated => E::Truncated,
    })
}

fn auth_errors() -> Vec<AuthError> {
    use AuthError as E;
    samples!(AuthError {
        E::MissingAuthenticationToken => E::MissingAuthenticationToken,
        E::AmbiguousMechanism => E::AmbiguousMechanism,
        E::UnsupportedAuthorizationType => E::UnsupportedAuthorizationType,
        E::UnsupportedMechanism => E::UnsupportedMechanism,
        E::HeaderMalformed(_) => E::HeaderMalformed("x.".into()),
        E::QueryMalformed(_) => E::QueryMalformed("x.".into()),
        E::WrongRegion { .. } => E::WrongRegion {
            place: ScopePlace::Header,
            sent: "eu-west-1".to_owned(),
            expected: Region::parse("us-east-1").unwrap(),
        },
        E::InvalidDate => E::InvalidDate,
        E::RequestTimeTooSkewed(_) => E::RequestTimeTooSkewed(Box::new(Skew {
            request_time: TIME,
            server_time: TIME,
        })),
        E::Expired(_) => E::Expired(Box::new(Expired {
            expires_seconds: 1,
            expires: TIME,
            server_time: TIME,
        })),
        E::NotYetValid => E::NotYetValid,
        E::HeadersNotSigned(_) => E::HeadersNotSigned("host".to_owned()),
        E::MissingContentSha256 => E::MissingContentSha256,
        E::InvalidContentSha256 => E::InvalidContentSha256,
        E::ContentSha256Mismatch => E::ContentSha256Mismatch,
        E::InvalidAccessKeyId(_) => E::InvalidAccessKeyId("AKIAIOSFODNN7EXAMPLE".to_owned()),
        E::InvalidToken => E::InvalidToken,
        E::ExpiredToken => E::ExpiredToken,
        E::SignatureDoesNotMatch(_) => E::SignatureDoesNotMatch(Box::new(Mismatch {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            signature_provided: "x".to_owned(),
            string_to_sign: "x".to_owned(),
            canonical_request: "x".to_owned(),
        })),
        E::InvalidUri => E::InvalidUri,
        E::PostFieldMissing(_) => E::PostFieldMissing("key"),
        E::InvalidPolicyDocument(_) => E::InvalidPolicyDocument("x".into()),
        E::PolicyViolated(_) => E::PolicyViolated("x".to_owned()),
        E::PolicyExpired => E::PolicyExpired,
    })
}

/// The variant's name, which is how `Debug` begins.
fn variant(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    text.chars().take(end).collect()
}

fn table() -> String {
    let mut rows: Vec<(String, Failure)> = Vec::new();
    let mut add = |kind: &str, name: String, failure: Failure| {
        rows.push((format!("{kind}::{name}"), failure));
    };
    for error in service_errors() {
        add("S3Error", variant(&error), error.into());
    }
    for error in body_errors() {
        add("BodyError", variant(&error), error.into());
    }
    for error in encryption_errors() {
        add("SseError", variant(&error), error.into());
    }
    for error in tag_errors() {
        add("TagError", variant(&error), error.into());
    }
    for error in key_errors() {
        add("KeyError", variant(&error), S3Error::Kms(error).into());
    }
    for refusal in [
        ReEncryptionRefusal::SourceSseC,
        ReEncryptionRefusal::SourceDsse,
        ReEncryptionRefusal::NotSigned,
        ReEncryptionRefusal::ForeignKey,
    ] {
        add(
            "ReEncryptionRefusal",
            variant(&refusal),
            S3Error::ReEncryption(refusal).into(),
        );
    }
    for refusal in acl_refusals() {
        add(
            "AclRefusal",
            variant(&refusal),
            S3Error::Acl(refusal).into(),
        );
    }
    for error in request_errors() {
        add("RequestError", variant(&error), error.into());
    }
    for what in unconfigured() {
        let error = RequestError::Unconfigured(what, "abc".to_owned());
        add("Unconfigured", variant(&what), error.into());
    }
    for error in form_errors() {
        add(
            "FormError",
            variant(&error),
            RequestError::MalformedForm(error).into(),
        );
    }
    for error in framing_errors() {
        add("ChunkError", variant(&error), error.into());
    }
    for error in auth_errors() {
        add("AuthError", variant(&error), error.into());
    }
    let place = ErrorPlace {
        upload_id: "u".to_owned(),
        range: Some("bytes=9-".to_owned()),
        ..ErrorPlace::default()
    };
    let mut text = String::new();
    for (name, failure) in rows {
        let answer = failure.answer(&place);
        assert!((300..600).contains(&answer.status), "{name}");
        assert!(
            !answer.code.is_empty() && !answer.message.is_empty(),
            "{name}"
        );
        let names = |pairs: &[(&'static str, String)]| {
            pairs
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(",")
        };
        let line = format!(
            "{name} | {} {} | {} | {} | {}",
            answer.status,
            answer.code,
            answer.message,
            names(&answer.details),
            names(&answer.headers)
        );
        // Empty columns at the end are left out, and so is the white space.
        text.push_str(line.trim_end_matches([' ', '|']));
        text.push('\n');
    }
    text
}

#[test]
fn the_table_is_the_one_that_was_agreed() {
    let (agreed, actual) = (
        include_str!("../../../../testdata/error_table.txt"),
        table(),
    );
    for (agreed, actual) in agreed.lines().zip(actual.lines()) {
        assert_eq!(actual, agreed);
    }
    assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
}

#[test]
fn a_five_hundred_tells_nothing_of_the_inside() {
    let inner = [S3Error::Damaged, S3Error::Unavailable];
    for error in inner {
        let answer = Failure::from(error).answer(&ErrorPlace::default());
        assert!(answer.status >= 500 && answer.details.is_empty());
    }
}

#[test]
fn other_protocols_have_a_code_for_every_error_too() {
    for error in auth_errors() {
        for dialect in [Dialect::Json, Dialect::Query] {
            let answer = error.answer(dialect);
            assert!(matches!(answer.status, 400 | 403), "{error:?}");
            assert!(!answer.code.is_empty() && !answer.message.is_empty());
        }
    }
}
