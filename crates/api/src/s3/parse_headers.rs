//! Headers, as the operations' inputs need them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName};
use strongroom_s3::{CopySource, ETagCondition, ReadConditions, TaggingDirective, WriteConditions};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::limits::{OBJECT_TAGS_MAX, USER_METADATA_MAX_BYTES};
use strongroom_types::{
    BucketName, ETag, ObjectMetadata, StorageClass, Tag, TagSet, Timestamp, VersionId,
};
use zeroize::Zeroizing;

use super::address::parse_key;
use crate::error::{Failure, RequestError};
use crate::sigv4::uri::{Query, decode_path};

/// A header's text. A value that is not UTF-8 is refused: no header that we read as text has one.
pub(crate) fn text<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // A signature covers repeated headers as one, joined by commas: acting on the first of them
    // would be acting on something that was not signed.
    if values.next().is_some() {
        return Err(argument("Header must not be repeated.", name, None));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(argument("Header value is not valid UTF-8.", name, None)),
    }
}

/// An `InvalidArgument`.
pub(crate) fn argument(message: &'static str, name: &'static str, value: Option<&str>) -> Failure {
    RequestError::InvalidArgument {
        message,
        name,
        value: value.map(str::to_owned),
    }
    .into()
}

fn owned(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Failure> {
    Ok(text(headers, name)?.map(str::to_owned))
}

/// The conditions of a read.
pub(crate) fn read_conditions(headers: &HeaderMap) -> Result<ReadConditions, Failure> {
    conditions(
        headers,
        [
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
        ],
    )
}

fn source_conditions(headers: &HeaderMap) -> Result<ReadConditions, Failure> {
    conditions(
        headers,
        [
            "x-amz-copy-source-if-match",
            "x-amz-copy-source-if-none-match",
            "x-amz-copy-source-if-modified-since",
            "x-amz-copy-source-if-unmodified-since",
        ],
    )
}

fn conditions(headers: &HeaderMap, names: [&'static str; 4]) -> Result<ReadConditions, Failure> {
    let [matches, none_match, modified, unmodified] = names;
    // A date that is not one is ignored (RFC 9110, 13.1.3).
    let date = |name| -> Result<Option<Timestamp>, Failure> {
        Ok(text(headers, name)?.and_then(|value| Timestamp::parse_http_date(value).ok()))
    };
    Ok(ReadConditions {
        if_match: text(headers, matches)?.map(etag_condition),
        if_none_match: text(headers, none_match)?.map(etag_condition),
        if_modified_since: date(modified)?,
        if_unmodified_since: date(unmodified)?,
    })
}

/// The conditions of a write.
pub(crate) fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions, Failure> {
    let not_implemented = |header: &str| RequestError::NotImplemented {
        header: header.to_owned(),
    };
    let if_none_match = match text(headers, "if-none-match")? {
        None => false,
        Some("*") => true,
        Some(_) => return Err(not_implemented("If-None-Match").into()),
    };
    let if_match = text(headers, "if-match")?.map(etag_condition);
    if if_none_match && if_match.is_some() {
        return Err(not_implemented("If-Match,If-None-Match").into());
    }
    Ok(WriteConditions {
        if_match,
        if_none_match,
    })
}

/// `*`, or a list of tags.
pub(crate) fn etag_condition(value: &str) -> ETagCondition {
    if value.trim() == "*" {
        return ETagCondition::Any;
    }
    ETagCondition::Tags(value.split(',').map(etag).collect())
}

/// A tag without its quotes and its weakness mark.
pub(crate) fn etag(value: &str) -> ETag {
    let value = value.trim();
    let value = value.strip_prefix("W/").unwrap_or(value);
    ETag::from_stored(value.trim_matches('"'))
}

/// The encryption headers, raw.
pub(crate) fn sse(headers: &HeaderMap) -> Result<SseHeaders, Failure> {
    Ok(SseHeaders {
        algorithm: owned(headers, "x-amz-server-side-encryption")?,
        kms_key_id: owned(headers, "x-amz-server-side-encryption-aws-kms-key-id")?,
        context: owned(headers, "x-amz-server-side-encryption-context")?,
        bucket_key_enabled: owned(headers, "x-amz-server-side-encryption-bucket-key-enabled")?,
        customer: customer(headers)?,
    })
}

/// The SSE-C trio of the object.
pub(crate) fn customer(headers: &HeaderMap) -> Result<CustomerHeaders, Failure> {
    trio(
        headers,
        [
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-server-side-encryption-customer-key-md5",
        ],
    )
}

fn trio(headers: &HeaderMap, names: [&'static str; 3]) -> Result<CustomerHeaders, Failure> {
    let [algorithm, key, key_md5] = names;
    Ok(CustomerHeaders {
        algorithm: owned(headers, algorithm)?,
        key: text(headers, key)?.map(|key| Zeroizing::new(key.to_owned())),
        key_md5: owned(headers, key_md5)?,
    })
}

/// System and user metadata, and what PutObject's kin say of the storage class.
pub(crate) fn metadata(headers: &HeaderMap) -> Result<ObjectMetadata, Failure> {
    storage_class(headers)?;
    Ok(ObjectMetadata {
        content_type: owned(headers, "content-type")?.filter(|value| !value.is_empty()),
        cache_control: owned(headers, "cache-control")?,
        content_disposition: owned(headers, "content-disposition")?,
        content_encoding: text(headers, "content-encoding")?.and_then(without_aws_chunked),
        content_language: owned(headers, "content-language")?,
        expires: owned(headers, "expires")?,
        website_redirect_location: website_redirect_location(headers)?,
        user: user_metadata(headers)?,
    })
}

/// `x-amz-website-redirect-location`.
pub(crate) fn website_redirect_location(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    const NAME: &str = "x-amz-website-redirect-location";
    let Some(value) = text(headers, NAME)? else {
        return Ok(None);
    };
    if !["/", "http://", "https://"]
        .iter()
        .any(|start| value.starts_with(start))
    {
        let message =
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
        return Err(argument(message, NAME, Some(value)));
    }
    Ok(Some(value.to_owned()))
}

/// The framing of the body is not a coding of the object.
fn without_aws_chunked(value: &str) -> Option<String> {
    if !value.to_ascii_lowercase().contains("aws-chunked") {
        return Some(value.to_owned());
    }
    let codings = value.split(',').map(str::trim);
    let kept: Vec<&str> = codings
        .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

const USER_PREFIX: &str = "x-amz-meta-";

fn user_metadata(headers: &HeaderMap) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut user = BTreeMap::<String, Vec<u8>>::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(USER_PREFIX) else {
            continue;
        };
        match user.get_mut(name) {
            // One header sent twice is a list (RFC 9110, 5.3).
            Some(joined) => {
                joined.push(b',');
                joined.extend_from_slice(value.as_bytes());
            }
            None => {
                user.insert(name.to_owned(), value.as_bytes().to_vec());
            }
        }
    }
    check_user_metadata(&user)?;
    Ok(user)
}

/// Holds user metadata against S3's bound.
pub(crate) fn check_user_metadata(user: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
    let size_bytes: usize = user
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    if size_bytes > USER_METADATA_MAX_BYTES {
        return Err(strongroom_s3::S3Error::MetadataTooLarge { size_bytes }.into());
    }
    Ok(())
}

/// Refuses storage classes other than `STANDARD`; says whether one was named.
pub(crate) fn storage_class(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(value) = text(headers, "x-amz-storage-class")? else {
        return Ok(false);
    };
    match StorageClass::parse(value) {
        Some(_) => Ok(true),
        None => Err(RequestError::InvalidStorageClass(value.to_owned()).into()),
    }
}

/// Refuses features of a write whose silent loss would be a lie: object lock headers.
pub(crate) fn refuse_object_lock(headers: &HeaderMap) -> Result<(), Failure> {
    let lock = headers
        .keys()
        .find(|name| name.as_str().starts_with("x-amz-object-lock-"));
    match lock {
        Some(_) => Err(RequestError::InvalidRequest(
            "Bucket is missing Object Lock Configuration".to_owned(),
        )
        .into()),
        None => Ok(()),
    }
}

/// `x-amz-tagging`: tags as a URL query.
pub(crate) fn tagging(headers: &HeaderMap) -> Result<TagSet, Failure> {
    const NAME: &str = "x-amz-tagging";
    let Some(value) = text(headers, NAME)? else {
        return Ok(TagSet::default());
    };
    let message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
                   parameters without tag name duplicates.";
    let malformed = || argument(message, NAME, Some(value));
    let query = Query::parse(value).map_err(|_| malformed())?;
    let mut tags = Vec::new();
    for (key, value) in query.pairs() {
        let value = String::from_utf8(value.clone()).map_err(|_| malformed())?;
        tags.push(Tag {
            key: key.clone(),
            value,
        });
    }
    TagSet::parse(tags, OBJECT_TAGS_MAX).map_err(|error| {
        if error == strongroom_types::TagError::Duplicate {
            malformed()
        } else {
            error.into()
        }
    })
}

/// `x-amz-tagging-directive`.
pub(crate) fn tagging_directive(headers: &HeaderMap) -> Result<TaggingDirective, Failure> {
    match directive(headers, "x-amz-tagging-directive")? {
        Directive::Copy => Ok(TaggingDirective::Copy),
        Directive::Replace => tagging(headers).map(TaggingDirective::Replace),
    }
}

/// `COPY` or `REPLACE`.
pub(crate) enum Directive {
    /// What the source has.
    Copy,
    /// What the request says.
    Replace,
}

/// A directive of CopyObject.
pub(crate) fn directive(headers: &HeaderMap, name: &'static str) -> Result<Directive, Failure> {
    match text(headers, name)? {
        None | Some("COPY") => Ok(Directive::Copy),
        Some("REPLACE") => Ok(Directive::Replace),
        Some(value) if name == "x-amz-metadata-directive" => {
            Err(argument("Unknown metadata directive.", name, Some(value)))
        }
        Some(value) => Err(argument("Unknown tagging directive.", name, Some(value))),
    }
}

/// `x-amz-copy-source` and all that belongs to it: `[/]bucket/key[?versionId=id]`, URL-encoded.
pub(crate) fn copy_source(headers: &HeaderMap) -> Result<CopySource, Failure> {
    const NAME: &str = "x-amz-copy-source";
    let value = text(headers, NAME)?.unwrap_or_default();
    let malformed = |message| argument(message, NAME, Some(value));
    if value.starts_with("arn:") || value.starts_with("/arn:") {
        return Err(RequestError::NotImplemented {
            header: NAME.to_owned(),
        }
        .into());
    }
    let (path, version) = match value.rsplit_once("?versionId=") {
        Some((path, version)) => (path, Some(version_id(version)?)),
        None => (value, None),
    };
    let path = decode_path(path)
        .ok()
        .and_then(|path| String::from_utf8(path).ok())
        .ok_or_else(|| malformed("Invalid copy source encoding"))?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path
        .split_once('/')
        .ok_or_else(|| malformed("Invalid copy source object key"))?;
    let bucket =
        BucketName::parse(bucket).map_err(|_| malformed("Invalid copy source bucket name"))?;
    if key.is_empty() {
        return Err(malformed("Invalid copy source object key"));
    }
    Ok(CopySource {
        bucket,
        key: parse_key(key)?,
        version,
        conditions: source_conditions(headers)?,
        customer: trio(
            headers,
            [
                "x-amz-copy-source-server-side-encryption-customer-algorithm",
                "x-amz-copy-source-server-side-encryption-customer-key",
                "x-amz-copy-source-server-side-encryption-customer-key-md5",
            ],
        )?,
    })
}

/// A version id.
pub(crate) fn version_id(value: &str) -> Result<VersionId, Failure> {
    let message = match value {
        "" => "Version id cannot be the empty string",
        _ => "Invalid version id specified",
    };
    VersionId::parse(value).map_err(|_| argument(message, "versionId", Some(value)))
}

/// `Content-MD5`.
pub(crate) fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, Failure> {
    let Some(value) = text(headers, "content-md5")? else {
        return Ok(None);
    };
    let decoded = BASE64
        .decode(value)
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    match decoded {
        Some(digest) => Ok(Some(digest)),
        None => Err(RequestError::InvalidDigest(value.to_owned()).into()),
    }
}

/// Copies into the headers what a presigned URL carries as query parameters, as SDKs that "hoist"
/// headers write it. The signature covers the query, so these are as good as signed headers.
/// A customer's key is never read from a URL: URLs end up in logs.
pub(crate) fn hoist(query: &Query, headers: &mut HeaderMap) {
    const OF_SIGV4: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ];
    for (name, value) in query.pairs() {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("x-amz-")
            || OF_SIGV4.contains(&name.as_str())
            || name.ends_with("-customer-key")
        {
            continue;
        }
        let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            http::HeaderValue::from_bytes(value),
        ) else {
            continue;
        };
        headers.entry(name).or_insert(value);
    }
}
