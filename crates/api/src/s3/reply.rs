//! Answers: the headers that several operations share.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG,
    EXPIRES, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
};
use http::{Response, StatusCode};
use strongroom_s3::{EncryptionAnswer, ObjectView};
use strongroom_types::{Checksum, ChecksumAlgorithm, ETag, ObjectMetadata, VersionId};

use super::ResponseBody;
use super::parse_digests::checksum_text;

/// 200 with a document.
pub(crate) fn document(document: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(document));
    set(response.headers_mut(), "content-type", "application/xml");
    response
}

/// A status alone.
pub(crate) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header whose value is text. What no header can carry is left out, never truncated.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    set_bytes(headers, HeaderName::from_static(name), value.as_bytes());
}

fn set_bytes(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) -> bool {
    match HeaderValue::from_bytes(value) {
        Ok(value) => {
            headers.insert(name, value);
            true
        }
        Err(_) => false,
    }
}

/// `ETag`, in quotes.
pub(crate) fn set_etag(headers: &mut HeaderMap, etag: &ETag) {
    set_bytes(headers, ETAG, etag.quoted().as_bytes());
}

/// A version id, where there is one.
pub(crate) fn set_version(headers: &mut HeaderMap, name: &'static str, version: Option<VersionId>) {
    if let Some(version) = version {
        set(headers, name, &version.to_string());
    }
}

/// How an object is encrypted (spec `s3-encryption.md` 1.1).
pub(crate) fn set_encryption(headers: &mut HeaderMap, encryption: &EncryptionAnswer) {
    match encryption {
        EncryptionAnswer::SseS3 => set(headers, "x-amz-server-side-encryption", "AES256"),
        EncryptionAnswer::SseC { key_md5 } => {
            set(
                headers,
                "x-amz-server-side-encryption-customer-algorithm",
                "AES256",
            );
            set(
                headers,
                "x-amz-server-side-encryption-customer-key-md5",
                key_md5,
            );
        }
        EncryptionAnswer::Kms {
            algorithm,
            key,
            bucket_key,
            context,
        } => {
            set(headers, "x-amz-server-side-encryption", algorithm.name());
            set(
                headers,
                "x-amz-server-side-encryption-aws-kms-key-id",
                &key.to_string(),
            );
            if *bucket_key {
                set(
                    headers,
                    "x-amz-server-side-encryption-bucket-key-enabled",
                    "true",
                );
            }
            if let Some(context) = context {
                set(headers, "x-amz-server-side-encryption-context", context);
            }
        }
    }
}

/// A checksum and its type.
pub(crate) fn set_checksum(headers: &mut HeaderMap, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        set_part_checksum(headers, Some(checksum));
        set(headers, "x-amz-checksum-type", checksum.kind.name());
    }
}

/// A part's checksum, which has no type.
pub(crate) fn set_part_checksum(headers: &mut HeaderMap, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        set(
            headers,
            checksum_header(checksum.algorithm),
            &checksum_text(checksum),
        );
    }
}

fn checksum_header(algorithm: ChecksumAlgorithm) -> &'static str {
    algorithm.header()
}

/// What GetObject and HeadObject say of an object.
pub(crate) fn set_object(headers: &mut HeaderMap, object: &ObjectView) {
    let ObjectView {
        size_bytes: _,
        etag,
        last_modified,
        version,
        metadata,
        storage_class: _,
        encryption,
        checksum,
        tag_count,
        parts_count,
    } = object;
    set_bytes(
        headers,
        LAST_MODIFIED,
        last_modified.to_http_date().as_bytes(),
    );
    set_etag(headers, etag);
    set(headers, "accept-ranges", "bytes");
    set_version(headers, "x-amz-version-id", *version);
    set_encryption(headers, encryption);
    set_checksum(headers, checksum.as_ref());
    if *tag_count > 0 {
        set(headers, "x-amz-tagging-count", &tag_count.to_string());
    }
    if let Some(count) = parts_count {
        set(headers, "x-amz-mp-parts-count", &count.to_string());
    }
    set_metadata(headers, metadata);
}

fn set_metadata(headers: &mut HeaderMap, metadata: &ObjectMetadata) {
    let ObjectMetadata {
        content_type,
        cache_control,
        content_disposition,
        content_encoding,
        content_language,
        expires,
        website_redirect_location,
        user,
    } = metadata;
    let content_type = content_type.as_deref().unwrap_or("binary/octet-stream");
    set_bytes(headers, CONTENT_TYPE, content_type.as_bytes());
    let system = [
        (CACHE_CONTROL, cache_control),
        (CONTENT_DISPOSITION, content_disposition),
        (CONTENT_ENCODING, content_encoding),
        (CONTENT_LANGUAGE, content_language),
        (EXPIRES, expires),
        (
            HeaderName::from_static("x-amz-website-redirect-location"),
            website_redirect_location,
        ),
    ];
    for (name, value) in system {
        if let Some(value) = value {
            set_bytes(headers, name, value.as_bytes());
        }
    }
    let mut missing = 0_usize;
    for (name, value) in user {
        let name = HeaderName::try_from(format!("x-amz-meta-{name}"));
        let is_set = name.is_ok_and(|name| set_bytes(headers, name, value));
        missing = missing.saturating_add(usize::from(!is_set));
    }
    if missing > 0 {
        set(headers, "x-amz-missing-meta", &missing.to_string());
    }
}
