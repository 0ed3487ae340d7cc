//! The table: every domain error and what AWS answers to it.
//!
//! Texts are those of the S3 error reference and of recorded answers; where no recording is known
//! the text is ours. A 5xx says nothing of the inside.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_ports::KeyError;
use strongroom_s3::{
    AclRefusal, BodyError, GranteePlace, ReEncryptionRefusal, S3Error, TargetRefusal,
};
use strongroom_sse::SseError;
use strongroom_types::limits::{PART_MIN_BYTES, SINGLE_PUT_MAX_BYTES, USER_METADATA_MAX_BYTES};
use strongroom_types::{ChecksumAlgorithm, TagError};

use super::{ErrorPlace, Failure, RequestError, Unconfigured};
use crate::form::FormError;
use crate::sigv4::Dialect;

/// What is answered to one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    /// AWS's error code.
    pub(crate) code: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// AWS's text.
    pub(crate) message: Cow<'static, str>,
    /// Elements beside code and message, in order.
    pub(crate) details: Vec<(&'static str, String)>,
    /// Headers beside the common ones.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl ErrorAnswer {
    fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// An answer whose argument is known.
    fn argument(self, name: &str, value: Option<&str>) -> Self {
        let named = self.with("ArgumentName", name);
        match value {
            Some(value) => named.with("ArgumentValue", value),
            None => named,
        }
    }
}

impl Failure {
    /// The row of this error. `place` fills in what the request itself says.
    pub(crate) fn answer(&self, place: &ErrorPlace) -> ErrorAnswer {
        match self {
            Self::S3(error) => s3(error, place),
            Self::Request(error) => request(error),
            Self::Chunk(error) => {
                let (code, message, status) = error.answer();
                row(status, code, message)
            }
            Self::Auth(error) => {
                let answer = error.answer(Dialect::S3);
                ErrorAnswer {
                    code: answer.code,
                    status: answer.status,
                    message: answer.message,
                    details: error.details(),
                    headers: Vec::new(),
                }
            }
        }
    }
}

fn row(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> ErrorAnswer {
    ErrorAnswer {
        code,
        status,
        message: message.into(),
        details: Vec::new(),
        headers: Vec::new(),
    }
}

const MALFORMED_XML: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";
const INTERNAL: &str = "We encountered an internal error. Please try again.";
const METHOD_NOT_ALLOWED: &str = "The specified method is not allowed against this resource.";
const TOO_LARGE: &str = "Your proposed upload exceeds the maximum allowed size";

fn s3(error: &S3Error, place: &ErrorPlace) -> ErrorAnswer {
    match error {
        S3Error::NoSuchBucket(name) => {
            row(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", name)
        }
        S3Error::BucketAlreadyOwnedByYou(name) => row(
            409,
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        )
        .with("BucketName", name),
        S3Error::BucketAlreadyExists(name) => row(
            409,
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all \
             users of the system. Please select a different name and try again.",
        )
        .with("BucketName", name),
        S3Error::BucketNotEmpty(name) => row(
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        )
        .with("BucketName", name),
        S3Error::TooManyBuckets => row(
            400,
            "TooManyBuckets",
            "You have attempted to create more buckets than allowed",
        ),
        S3Error::UnexpectedBucketOwner(_) => row(403, "AccessDenied", "Access Denied"),
        S3Error::IllegalLocationConstraint => row(
            400,
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint \
             this request was sent to.",
        ),
        S3Error::NoSuchKey { key, delete_marker } => {
            let answer =
                row(404, "NoSuchKey", "The specified key does not exist.").with("Key", key);
            match delete_marker {
                Some(version) => answer
                    .header("x-amz-delete-marker", "true")
                    .header("x-amz-version-id", version),
                None => answer,
            }
        }
        S3Error::NoSuchVersion { key, version } => row(
            404,
            "NoSuchVersion",
            "The specified version does not exist.",
        )
        .with("Key", key)
        .with("VersionId", version),
        S3Error::IsDeleteMarker {
            version,
            last_modified,
        } => row(405, "MethodNotAllowed", METHOD_NOT_ALLOWED)
            .with("Method", &place.method)
            .with("ResourceType", "DeleteMarker")
            .header("allow", "DELETE")
            .header("last-modified", last_modified.to_http_date())
            .header("x-amz-delete-marker", "true")
            .header("x-amz-version-id", version),
        S3Error::NoSuchUpload => row(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may \
             have been aborted or completed.",
        )
        .with("UploadId", &place.upload_id),
        S3Error::InvalidPart { part_number } => row(
            400,
            "InvalidPart",
            "One or more of the specified parts could not be found.  The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag.",
        )
        .with("PartNumber", part_number),
        S3Error::InvalidPartOrder => row(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        S3Error::EntityTooSmall {
            part_number,
            size_bytes,
            etag,
        } => row(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("ProposedSize", size_bytes)
        .with("MinSizeAllowed", PART_MIN_BYTES)
        .with("PartNumber", part_number)
        .with("ETag", etag),
        S3Error::EntityTooLarge {
            size_bytes,
            max_bytes,
        } => row(400, "EntityTooLarge", TOO_LARGE)
            .with("ProposedSize", size_bytes)
            .with("MaxSizeAllowed", max_bytes),
        S3Error::MalformedPartList => row(400, "MalformedXML", MALFORMED_XML),
        S3Error::ObjectSizeMismatch => row(
            400,
            "InvalidRequest",
            "The provided 'x-amz-mp-object-size' header does not match what was computed.",
        ),
        S3Error::PreconditionFailed { condition } => row(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
        .with("Condition", condition),
        S3Error::NotModified {
            etag,
            last_modified,
            version,
        } => {
            let answer = row(304, "NotModified", "Not Modified")
                .header("etag", etag.quoted())
                .header("last-modified", last_modified.to_http_date());
            match version {
                Some(version) => answer.header("x-amz-version-id", version),
                None => answer,
            }
        }
        S3Error::ConditionalRequestConflict => row(
            409,
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this \
             resource.",
        ),
        S3Error::InvalidRange { size_bytes } => {
            let answer = row(
                416,
                "InvalidRange",
                "The requested range is not satisfiable",
            );
            match &place.range {
                Some(range) => answer.with("RangeRequested", range),
                None => answer,
            }
            .with("ActualObjectSize", size_bytes)
            .header("content-range", format!("bytes */{size_bytes}"))
        }
        S3Error::InvalidPartNumber {
            part_number,
            part_count,
        } => row(
            416,
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
        )
        .with("PartNumberRequested", part_number)
        .with("ActualPartCount", part_count),
        S3Error::BadDigest { expected, computed } => row(
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        )
        .with("ExpectedDigest", BASE64.encode(expected))
        .with("CalculatedDigest", BASE64.encode(computed)),
        S3Error::ContentSha256Mismatch { expected, computed } => row(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with("ClientComputedContentSHA256", hex::encode(expected))
        .with("S3ComputedContentSHA256", hex::encode(computed)),
        S3Error::ChecksumMismatch(algorithm) => row(
            400,
            "BadDigest",
            format!("The {algorithm} you specified did not match the calculated checksum."),
        ),
        S3Error::ChecksumAlgorithmMismatch { expected, got } => row(
            400,
            "InvalidRequest",
            format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: {}",
                algorithm_name(*expected),
                algorithm_name(*got)
            ),
        ),
        S3Error::ChecksumTypeNotAllowed(algorithm) => {
            let kind = match algorithm {
                ChecksumAlgorithm::Crc64Nvme => "COMPOSITE",
                ChecksumAlgorithm::Crc32
                | ChecksumAlgorithm::Crc32c
                | ChecksumAlgorithm::Sha1
                | ChecksumAlgorithm::Sha256 => "FULL_OBJECT",
            };
            row(
                400,
                "InvalidRequest",
                format!(
                    "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                    algorithm.name().to_ascii_lowercase()
                ),
            )
        }
        S3Error::TrailerMissing => row(400, "MalformedTrailerError", MALFORMED_TRAILER),
        S3Error::Body(error) => body(error),
        S3Error::Sse(error) => sse(error, place),
        S3Error::Kms(error) => kms(error),
        S3Error::ReEncryption(refusal) => re_encryption(*refusal),
        S3Error::LogTarget(refusal) => row(
            400,
            "InvalidTargetBucketForLogging",
            match refusal {
                TargetRefusal::NoBucket => "The target bucket for logging does not exist",
                TargetRefusal::OtherOwner => {
                    "The owner for the bucket to be logged and the target bucket must be the same."
                }
                TargetRefusal::NotAllowed => {
                    "The policy of the target bucket must allow logging.s3.amazonaws.com to do s3:PutObject under the target prefix"
                }
            },
        )
        .with("TargetBucket", &place.bucket),
        S3Error::Acl(refusal) => acl(refusal, place),
        S3Error::AccessDenied(denied) => row(403, "AccessDenied", denied.message.clone()),
        S3Error::MalformedPolicy(text) => row(400, "MalformedPolicy", *text),
        S3Error::Tag(error) => tag(*error),
        S3Error::NoSuchTagSet => {
            row(404, "NoSuchTagSet", "The TagSet does not exist").with("BucketName", &place.bucket)
        }
        S3Error::MetadataTooLarge { size_bytes } => row(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .with("Size", size_bytes)
        .with("MaxSizeAllowed", USER_METADATA_MAX_BYTES),
        S3Error::CopyOntoItself => row(
            400,
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without \
             changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ),
        S3Error::CopySourceIsDeleteMarker => row(
            400,
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version \
             id.",
        ),
        S3Error::CopySourceTooLarge { size_bytes: _ } => row(
            400,
            "InvalidRequest",
            format!(
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {SINGLE_PUT_MAX_BYTES}"
            ),
        ),
        S3Error::InvalidCopySourceRange { size_bytes } => row(
            400,
            "InvalidArgument",
            format!("Range specified is not valid for source object of size: {size_bytes}"),
        )
        .argument(
            "x-amz-copy-source-range",
            place.copy_source_range.as_deref(),
        ),
        S3Error::Damaged => row(500, "InternalError", INTERNAL),
        // Not a 503: SDKs would repeat the upload again and again onto a full disk.
        S3Error::NoSpace => row(
            507,
            "InsufficientStorage",
            "There is not enough free space to store this request. Nothing was stored.",
        ),
        S3Error::Contention => row(503, "SlowDown", "Please reduce your request rate."),
        S3Error::Unavailable | S3Error::NotInMemory => row(
            503,
            "ServiceUnavailable",
            "Service is unable to handle request.",
        ),
    }
}

const MALFORMED_TRAILER: &str = "The request contained trailing data that was not well-formed or \
                                 did not conform to our published schema.";
const INCOMPLETE: &str =
    "You did not provide the number of bytes specified by the Content-Length HTTP header";

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive, and the rest is one answer"
)]
fn body(error: &BodyError) -> ErrorAnswer {
    match error {
        BodyError::TooSlow => row(
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the \
             timeout period. Idle connections will be closed.",
        ),
        BodyError::SignatureMismatch => row(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method.",
        ),
        BodyError::Malformed(what) => row(
            400,
            "InvalidRequest",
            format!("The body of the request is malformed: {what}"),
        ),
        // Incomplete, too long, or whatever way the enum grows by: it did not arrive as announced.
        _ => row(400, "IncompleteBody", INCOMPLETE),
    }
}

/// Why an object's encryption is not updated (spec `s3-encryption.md` 9, 6).
fn re_encryption(refusal: ReEncryptionRefusal) -> ErrorAnswer {
    let invalid = |message: &'static str| row(400, "InvalidRequest", message);
    match refusal {
        ReEncryptionRefusal::SourceSseC => invalid(
            "Updating the encryption of an object that is encrypted with server-side encryption \
             with customer-provided keys (SSE-C) is not supported.",
        ),
        ReEncryptionRefusal::SourceDsse => invalid(
            "Updating the encryption of an object that is encrypted with dual-layer server-side \
             encryption with AWS KMS keys (DSSE-KMS) is not supported.",
        ),
        ReEncryptionRefusal::NotSigned => {
            invalid("Updating the encryption of an object requires AWS Signature Version 4.")
        }
        ReEncryptionRefusal::ForeignKey => row(
            403,
            "AccessDenied",
            "The KMS key must belong to the account that owns the bucket.",
        ),
    }
}

/// The key service's errors, as S3 speaks of them (spec `s3-encryption.md` 4.5).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is non-exhaustive, and the rest is one answer"
)]
fn kms(error: &KeyError) -> ErrorAnswer {
    match error {
        KeyError::NotFound(text) => row(400, "KMS.NotFoundException", text.clone()),
        KeyError::Disabled(text) => row(400, "KMS.DisabledException", text.clone()),
        KeyError::InvalidState(text) => row(400, "KMS.KMSInvalidStateException", text.clone()),
        KeyError::InvalidKeyUsage(text) => row(400, "KMS.InvalidKeyUsageException", text.clone()),
        KeyError::AccessDenied(text) => row(403, "AccessDenied", text.clone()),
        KeyError::Throttled => row(
            503,
            "SlowDown",
            "Please reduce your request rate for operations involving AWS KMS.",
        ),
        KeyError::InvalidCiphertext | KeyError::Damaged => row(500, "InternalError", INTERNAL),
        // Unavailable, or whatever way the enum grows by: never another encryption instead.
        _ => row(
            503,
            "ServiceUnavailable",
            "Service is unable to handle request.",
        ),
    }
}

const SSE: &str = "x-amz-server-side-encryption";
const SSE_CONTEXT: &str = "x-amz-server-side-encryption-context";

fn sse(error: &SseError, place: &ErrorPlace) -> ErrorAnswer {
    let argument = |message: &'static str| row(400, "InvalidArgument", message).argument(SSE, None);
    let valued = |message: &'static str, value: &str| {
        row(400, "InvalidArgument", message).argument(SSE, Some(value))
    };
    match error {
        SseError::CustomerKeyConflict { value } => valued(
            "Server Side Encryption with Customer provided key is incompatible with the encryption \
             method specified",
            value,
        ),
        SseError::CustomerAlgorithmMissing => argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide a \
             valid encryption algorithm.",
        ),
        SseError::CustomerAlgorithmInvalid { value } => row(
            400,
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
        )
        .argument(SSE, Some(value)),
        SseError::CustomerKeyMissing => argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide \
             an appropriate secret key.",
        ),
        SseError::CustomerKeyMd5Missing => argument(
            "Requests specifying Server Side Encryption with Customer provided keys must provide \
             the client calculated MD5 of the secret key.",
        ),
        SseError::CustomerKeyMd5Mismatch => {
            argument("The calculated MD5 hash of the key did not match the hash that was provided.")
        }
        SseError::CustomerKeyInvalid => {
            argument("The secret key was invalid for the specified algorithm.")
        }
        SseError::CustomerKeyRequired => row(
            400,
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object.",
        ),
        SseError::CustomerKeyNotApplicable => row(
            400,
            "InvalidRequest",
            "The encryption parameters are not applicable to this object.",
        ),
        SseError::CustomerKeyWrong => row(
            403,
            "AccessDenied",
            "Requests specifying Server Side Encryption with Customer provided keys must provide \
             the correct secret key.",
        ),
        SseError::UploadEncryptionMissing => row(
            400,
            "InvalidRequest",
            "The multipart upload initiate requested encryption. Subsequent part requests must \
             include the appropriate encryption parameters.",
        ),
        SseError::UploadKeyMismatch => row(
            400,
            "InvalidRequest",
            "The provided encryption parameters did not match the ones used originally.",
        ),
        SseError::CustomerKeyOverPlainHttp => row(
            400,
            "InvalidRequest",
            "Requests specifying Server Side Encryption with Customer provided keys must be made \
             over a secure connection.",
        ),
        SseError::CustomerKeysBlocked => row(
            403,
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: s3:PutObject on resource: \"{}\" because \
                 this bucket has blocked upload requests that specify Server Side Encryption with \
                 Customer provided keys (SSE-C). Please specify a different server-side encryption \
                 type",
                place.principal_arn, place.resource_arn
            ),
        ),
        SseError::AlgorithmInvalid { value } => {
            valued("The encryption method specified is not supported", value)
        }
        SseError::KmsKeyWithoutKms | SseError::ContextWithoutKms => argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header \
             x-amz-server-side-encryption : aws:kms",
        ),
        SseError::BucketKeyEnabledInvalid { value } => row(
            400,
            "InvalidArgument",
            "The value of x-amz-server-side-encryption-bucket-key-enabled must be true or false.",
        )
        .argument(
            "x-amz-server-side-encryption-bucket-key-enabled",
            Some(value),
        ),
        SseError::NotApplicableToRead => {
            argument("x-amz-server-side-encryption header is not supported for this operation.")
        }
        SseError::ContextInvalid => row(
            400,
            "InvalidArgument",
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 \
             string holding JSON which represents a string-string map",
        )
        .argument(SSE_CONTEXT, None),
        SseError::ContextReserved { name } => row(
            400,
            "InvalidArgument",
            format!(
                "The header '{SSE_CONTEXT}' must not set the reserved name {name} to another \
                 value than the service's own"
            ),
        )
        .argument(SSE_CONTEXT, None),
        SseError::KmsNotSigned => row(
            400,
            "InvalidArgument",
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS \
             Signature Version 4.",
        )
        .argument("Authorization", Some("null")),
        SseError::KmsOverPlainHttp => argument(
            "Requests specifying Server Side Encryption with AWS KMS managed keys must be made \
             over a secure connection.",
        ),
    }
}

fn tag(error: TagError) -> ErrorAnswer {
    match error {
        TagError::TooMany { max_tags } if max_tags > 10 => row(
            400,
            "BadRequest",
            format!("Bucket tag count cannot be greater than {max_tags}"),
        ),
        TagError::TooMany { .. } => row(400, "BadRequest", error.to_string()),
        TagError::InvalidKey
        | TagError::InvalidValue
        | TagError::SystemKey
        | TagError::Duplicate => row(400, "InvalidTag", error.to_string()),
    }
}

fn request(error: &RequestError) -> ErrorAnswer {
    match error {
        RequestError::InvalidUri => row(400, "InvalidURI", "Couldn't parse the specified URI."),
        RequestError::InvalidBucketName(name) => row(
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
        )
        .with("BucketName", name),
        RequestError::KeyTooLong { size_bytes } => {
            row(400, "KeyTooLongError", "Your key is too long")
                .with("Size", size_bytes)
                .with(
                    "MaxSizeAllowed",
                    strongroom_types::limits::OBJECT_KEY_MAX_BYTES,
                )
        }
        RequestError::MethodNotAllowed {
            method,
            resource_type,
        } => row(405, "MethodNotAllowed", METHOD_NOT_ALLOWED)
            .with("Method", method)
            .with("ResourceType", resource_type),
        RequestError::NotImplemented { header } => row(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        )
        .with("Header", header),
        RequestError::InvalidArgument {
            message,
            name,
            value,
        } => row(400, "InvalidArgument", *message).argument(name, value.as_deref()),
        RequestError::InvalidRequest(message) => row(400, "InvalidRequest", message.clone()),
        RequestError::MalformedXml => row(400, "MalformedXML", MALFORMED_XML),
        RequestError::DocumentTooLong { max_bytes } => {
            row(400, "MaxMessageLengthExceeded", "Your request was too big.")
                .with("MaxMessageLengthBytes", max_bytes)
        }
        RequestError::MissingContentLength => row(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        ),
        RequestError::InvalidDigest(value) => row(
            400,
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
        )
        .with("Content-MD5", value),
        RequestError::MissingDigest => row(
            400,
            "InvalidRequest",
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        ),
        RequestError::InvalidLocationConstraint(value) => row(
            400,
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
        )
        .with("LocationConstraint", value),
        RequestError::IllegalLocationConstraint(value) => {
            let shown = if value.is_empty() {
                "unspecified"
            } else {
                value.as_str()
            };
            row(
                400,
                "IllegalLocationConstraintException",
                format!(
                    "The {shown} location constraint is incompatible for the region specific \
                     endpoint this request was sent to."
                ),
            )
        }
        RequestError::InvalidStorageClass(value) => row(
            400,
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )
        .with("StorageClassRequested", value),
        RequestError::MalformedAcl => row(400, "MalformedACLError", MALFORMED_XML),
        RequestError::UnresolvableGrantByEmail(address) => row(
            400,
            "UnresolvableGrantByEmailAddress",
            "The e-mail address you provided does not match any account on record.",
        )
        .with("EmailAddress", address),
        RequestError::MissingAcl => row(
            400,
            "MissingSecurityHeader",
            "Your request was missing a required header",
        )
        .with("MissingHeaderName", "x-amz-acl"),
        RequestError::UnexpectedContent => row(
            400,
            "UnexpectedContent",
            "This request does not support content",
        ),
        RequestError::MalformedForm(error) => form(*error),
        RequestError::FormTooSmall {
            size_bytes,
            min_bytes,
        } => row(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("ProposedSize", size_bytes)
        .with("MinSizeAllowed", min_bytes),
        RequestError::FormTooLarge {
            size_bytes,
            max_bytes,
        } => row(400, "EntityTooLarge", TOO_LARGE)
            .with("ProposedSize", size_bytes)
            .with("MaxSizeAllowed", max_bytes),
        RequestError::Unconfigured(what, bucket) => unconfigured(*what, bucket),
    }
}

fn acl(refusal: &AclRefusal, place: &ErrorPlace) -> ErrorAnswer {
    match refusal {
        AclRefusal::NotSupported => row(
            400,
            "AccessControlListNotSupported",
            "The bucket does not allow ACLs",
        ),
        AclRefusal::TooManyGrants => row(400, "MalformedACLError", MALFORMED_XML),
        AclRefusal::NoSuchGrantee { id, place } => row(400, "InvalidArgument", "Invalid id")
            .with(
                "ArgumentName",
                match place {
                    GranteePlace::Header => "id",
                    GranteePlace::Document => "CanonicalUser/ID",
                },
            )
            .with("ArgumentValue", id.as_str()),
        AclRefusal::ReachesBeyondOwner => row(
            400,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ),
        AclRefusal::Public => row(
            400,
            "InvalidBucketAclWithBlockPublicAccessError",
            "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
        ),
        AclRefusal::NoOwnershipControls => row(
            404,
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
        )
        .with("BucketName", &place.bucket),
    }
}

fn form(error: FormError) -> ErrorAnswer {
    let (status, code) = match error {
        FormError::NotAForm => (412, "PreconditionFailed"),
        FormError::Malformed => (400, "MalformedPOSTRequest"),
        FormError::FieldsTooLarge => (400, "MaxPostPreDataLengthExceededError"),
        FormError::NoFile => (400, "InvalidArgument"),
        FormError::Truncated => (400, "IncompleteBody"),
    };
    let answer = row(status, code, error.to_string());
    match error {
        FormError::NoFile => answer.argument("file", Some("0")),
        FormError::NotAForm
        | FormError::Malformed
        | FormError::FieldsTooLarge
        | FormError::Truncated => answer,
    }
}

fn unconfigured(what: Unconfigured, bucket: &str) -> ErrorAnswer {
    let answer = match what {
        Unconfigured::Policy => row(
            404,
            "NoSuchBucketPolicy",
            "The bucket policy does not exist",
        ),
        Unconfigured::Cors => row(
            404,
            "NoSuchCORSConfiguration",
            "The CORS configuration does not exist",
        ),
        Unconfigured::Website => row(
            404,
            "NoSuchWebsiteConfiguration",
            "The specified bucket does not have a website configuration",
        ),
        Unconfigured::Lifecycle => row(
            404,
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
        ),
        Unconfigured::Replication => row(
            404,
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        ),
        Unconfigured::ObjectLock => row(
            404,
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        ),
        Unconfigured::ObjectRetention => row(
            404,
            "NoSuchObjectLockConfiguration",
            "The specified object does not have a ObjectLock configuration",
        ),
        Unconfigured::PublicAccessBlock => row(
            404,
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        ),
        Unconfigured::ById => row(
            404,
            "NoSuchConfiguration",
            "The specified configuration does not exist.",
        ),
    };
    answer.with("BucketName", bucket)
}

fn algorithm_name(algorithm: Option<ChecksumAlgorithm>) -> String {
    algorithm.map_or_else(
        || "null".to_owned(),
        |known| known.name().to_ascii_lowercase(),
    )
}
