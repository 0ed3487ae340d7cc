//! What a request says of itself, under the names that policies have for it (Service Authorization
//! Reference, "Condition keys for Amazon S3"): as it was sent, before anything of it is interpreted
//! and before a bucket's defaults.
//!
//! Names of headers are mapped one by one: no header sets a key that is not its own.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use strongroom_policy::{ConditionSource, Conditions};
use strongroom_s3::{NAMED_KMS_KEY, TaggingDirective};
use strongroom_types::kms::{KeyArn, KeyIdentifier};
use strongroom_types::{AccountId, Region, TagSet, Timestamp};

use super::parse_headers;
use super::route::Level;
use crate::sigv4::uri::Query;

/// How a request proves who sent it: `s3:authType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthType {
    /// It does not.
    Anonymous,
    /// The `Authorization` header.
    Header,
    /// A presigned URL.
    QueryString,
    /// A form's policy.
    Form,
}

/// A request, for decisions that look into it.
pub(crate) struct AsSent {
    /// Its head; of a form, the fields as headers.
    pub(crate) parts: Arc<Parts>,
    /// Its query.
    pub(crate) query: Arc<Query>,
    /// AWS's name of the operation.
    pub(crate) operation: &'static str,
    /// What it is addressed to.
    pub(crate) level: Level,
    /// How it was signed.
    pub(crate) auth_type: AuthType,
    /// When.
    pub(crate) signed: Option<Timestamp>,
    /// When it arrived.
    pub(crate) received: Timestamp,
    /// Where keys are that are named by their ids.
    pub(crate) region: Region,
    /// The caller's account.
    pub(crate) account: Option<AccountId>,
}

/// Which operations a header means something to. To others it says nothing, or it would be a way to
/// claim what is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// To all.
    Always,
    /// To those that say how an object is to be. The parts of a multipart upload go by what was said
    /// when it was created.
    Object,
    /// To those that copy.
    Copy,
    /// To those that copy a whole object.
    WholeCopy,
    /// To those that set an ACL.
    Acl,
    /// To CreateBucket.
    Bucket,
    /// To those that go by the ETag of what is there: reads, writes, DeleteObject. DeleteObjects
    /// goes by those of its entries.
    ETag,
    /// To those that go by what is not there: reads and writes.
    NoETag,
}

impl Means {
    fn to(self, operation: &str) -> bool {
        let makes_object = matches!(
            operation,
            "PutObject" | "PostObject" | "CopyObject" | "CreateMultipartUpload"
        );
        match self {
            Self::Always => true,
            Self::Object => makes_object,
            Self::Copy => matches!(operation, "CopyObject" | "UploadPartCopy"),
            Self::WholeCopy => operation == "CopyObject",
            Self::Acl => {
                makes_object
                    || matches!(operation, "CreateBucket" | "PutBucketAcl" | "PutObjectAcl")
            }
            Self::Bucket => operation == "CreateBucket",
            Self::ETag => Self::NoETag.to(operation) || operation == "DeleteObject",
            Self::NoETag => matches!(
                operation,
                "PutObject"
                    | "PostObject"
                    | "CopyObject"
                    | "CompleteMultipartUpload"
                    | "GetObject"
                    | "HeadObject"
            ),
        }
    }
}

/// Headers that are keys by their own names: `s3:NAME`.
const HEADERS: [(&str, Means); 18] = [
    ("x-amz-server-side-encryption", Means::Object),
    (KMS_KEY, Means::Object),
    (
        "x-amz-server-side-encryption-customer-algorithm",
        Means::Always,
    ),
    ("x-amz-acl", Means::Acl),
    ("x-amz-grant-full-control", Means::Acl),
    ("x-amz-grant-read", Means::Acl),
    ("x-amz-grant-read-acp", Means::Acl),
    ("x-amz-grant-write", Means::Acl),
    ("x-amz-grant-write-acp", Means::Acl),
    (COPY_SOURCE, Means::Copy),
    ("x-amz-metadata-directive", Means::WholeCopy),
    ("x-amz-storage-class", Means::Object),
    ("x-amz-website-redirect-location", Means::Object),
    ("x-amz-object-ownership", Means::Bucket),
    ("x-amz-content-sha256", Means::Always),
    ("x-amz-request-payer", Means::Always),
    ("if-match", Means::ETag),
    ("if-none-match", Means::NoETag),
];

const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const COPY_SOURCE: &str = "x-amz-copy-source";

/// Parameters that are keys by their own names, of the listings that go by them. To other operations
/// they say nothing: what may be done under a prefix only is not done because one was named.
fn listing_keys(operation: &str) -> &'static [&'static str] {
    match operation {
        "ListObjects" | "ListObjectsV2" | "ListObjectVersions" => {
            &["prefix", "delimiter", "max-keys"]
        }
        "ListMultipartUploads" => &["prefix", "delimiter"],
        _ => &[],
    }
}

impl ConditionSource for AsSent {
    fn conditions(&self) -> Conditions {
        let headers = &self.parts.headers;
        let mut conditions = Conditions::default();
        for (name, means) in HEADERS {
            let Some(value) = joined(headers, name).filter(|_| means.to(self.operation)) else {
                continue;
            };
            conditions = match name {
                KMS_KEY => self.with_kms_key(conditions, value),
                COPY_SOURCE => {
                    let source = copy_source(headers).unwrap_or(value);
                    conditions.with("s3:x-amz-copy-source", source)
                }
                _ => conditions.with(&format!("s3:{name}"), value),
            };
        }
        if let Some(referer) = joined(headers, "referer") {
            conditions = conditions.with("aws:Referer", referer);
        }
        for name in listing_keys(self.operation) {
            if let Some(value) = self.query.get(name) {
                conditions = conditions.with(&format!("s3:{name}"), text(value));
            }
        }
        // What is not sent in this header is the handlers' to add.
        let tags = match self.operation {
            "PutObject" | "CreateMultipartUpload" => parse_headers::tagging(headers).ok(),
            "CopyObject" => match parse_headers::tagging_directive(headers) {
                Ok(TaggingDirective::Replace(tags)) => Some(tags),
                Ok(TaggingDirective::Copy | TaggingDirective::CopyOf(_)) | Err(_) => None,
            },
            _ => None,
        };
        if let Some(tags) = tags.filter(|tags| !tags.is_empty()) {
            conditions = with_object_tags(conditions, &tags);
        }
        let creates = match self.operation {
            "PutObject" | "PostObject" | "CopyObject" | "CompleteMultipartUpload" => Some("true"),
            "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => Some("false"),
            _ => None,
        };
        match creates {
            Some(creates) => conditions = conditions.with("s3:ObjectCreationOperation", creates),
            // What creates a version does not name one.
            None if self.level == Level::Object => {
                if let Some(version) = self.query.get("versionId") {
                    conditions = conditions.with("s3:VersionId", text(version));
                }
            }
            None => {}
        }
        self.with_signature(conditions)
    }
}

impl AsSent {
    fn with_signature(&self, mut conditions: Conditions) -> Conditions {
        let auth_type = match self.auth_type {
            AuthType::Anonymous => None,
            AuthType::Header => Some("REST-HEADER"),
            AuthType::QueryString => Some("REST-QUERY-STRING"),
            AuthType::Form => Some("POST"),
        };
        if let Some(auth_type) = auth_type {
            conditions = conditions.with("s3:authType", auth_type);
        }
        if let Some(signed) = self.signed {
            let age = self.received.as_millis().saturating_sub(signed.as_millis());
            conditions = conditions.with("s3:signatureAge", age.to_string());
        }
        conditions
    }

    /// Policies name keys by their ARNs. A key that is named by its id is meant in the caller's
    /// account; what an alias stands for is found where keys are known.
    fn with_kms_key(&self, conditions: Conditions, named: String) -> Conditions {
        let arn = match KeyIdentifier::parse(&named) {
            Ok(KeyIdentifier::Arn(arn)) => Some(arn),
            Ok(KeyIdentifier::Id(id)) => self.account.map(|account| KeyArn {
                region: self.region.clone(),
                account,
                id,
            }),
            Ok(KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_)) | Err(_) => None,
        };
        match arn {
            Some(arn) => conditions.with(&format!("s3:{KMS_KEY}"), arn.to_string()),
            None => conditions.with(NAMED_KMS_KEY, named),
        }
    }
}

/// Adds the tags that an object is to have.
pub(crate) fn with_object_tags(mut conditions: Conditions, tags: &TagSet) -> Conditions {
    let mut keys = BTreeSet::new();
    for tag in tags.tags() {
        keys.insert(tag.key.clone());
        conditions =
            conditions.with_one_more(&format!("s3:RequestObjectTag/{}", tag.key), &tag.value);
    }
    conditions.with_all("s3:RequestObjectTagKeys", keys)
}

/// Adds the tags that a bucket is to have.
pub(crate) fn with_resource_tags(mut conditions: Conditions, tags: &TagSet) -> Conditions {
    let mut keys = BTreeSet::new();
    for tag in tags.tags() {
        keys.insert(tag.key.clone());
        conditions = conditions.with_one_more(&format!("aws:RequestTag/{}", tag.key), &tag.value);
    }
    conditions.with_all("aws:TagKeys", keys)
}

/// A header's value; of one that is repeated, all of them: who reads it will refuse it.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter().map(|it| text(it.as_bytes()));
    let mut joined = values.next()?.into_owned();
    for value in values {
        joined.push(',');
        joined.push_str(&value);
    }
    Some(joined)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// `bucket/key`, however it was encoded, and `?versionId=ID` if it was sent.
fn copy_source(headers: &HeaderMap) -> Option<String> {
    let source = parse_headers::copy_source(headers).ok()?;
    let version = source
        .version
        .map(|version| format!("?versionId={version}"))
        .unwrap_or_default();
    Some(format!("{}/{}{version}", source.bucket, source.key))
}
