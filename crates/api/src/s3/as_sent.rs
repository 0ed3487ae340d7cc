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
use strongroom_types::kms::{KeyArn, KeyId};
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

/// Headers that are keys by their own names: `s3:NAME`.
const HEADERS: [&str; 19] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-storage-class",
    "x-amz-content-sha256",
    "x-amz-website-redirect-location",
    "x-amz-object-ownership",
    "x-amz-request-payer",
    "if-match",
    "if-none-match",
    "x-amz-bypass-governance-retention",
];

/// Of multipart uploads these were said when the upload was created, and count as said then.
const OF_UPLOAD: [&str; 2] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
];

/// Parameters of listings that are keys by their own names.
const LISTING: [&str; 3] = ["prefix", "delimiter", "max-keys"];

impl ConditionSource for AsSent {
    fn conditions(&self) -> Conditions {
        let headers = &self.parts.headers;
        let mut conditions = Conditions::default();
        let is_of_upload = matches!(
            self.operation,
            "UploadPart" | "UploadPartCopy" | "CompleteMultipartUpload"
        );
        for name in HEADERS {
            if is_of_upload && OF_UPLOAD.contains(&name) {
                continue;
            }
            if let Some(value) = joined(headers, name) {
                let value = match name {
                    "x-amz-copy-source" => copy_source(headers).unwrap_or(value),
                    "x-amz-server-side-encryption-aws-kms-key-id" => self.key_arn(value),
                    _ => value,
                };
                conditions = conditions.with(&format!("s3:{name}"), value);
            }
        }
        if let Some(referer) = joined(headers, "referer") {
            conditions = conditions.with("aws:Referer", referer);
        }
        if self.level == Level::Bucket {
            for name in LISTING {
                if let Some(value) = self.query.get(name) {
                    conditions = conditions.with(&format!("s3:{name}"), text(value));
                }
            }
        }
        if let Some(version) = self.query.get("versionId") {
            conditions = conditions.with("s3:VersionId", text(version));
        }
        if let Ok(tags) = parse_headers::tagging(headers)
            && !tags.is_empty()
        {
            conditions = with_object_tags(conditions, &tags);
        }
        let creates = match self.operation {
            "PutObject" | "PostObject" | "CopyObject" | "CompleteMultipartUpload" => Some("true"),
            "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => Some("false"),
            _ => None,
        };
        if let Some(creates) = creates {
            conditions = conditions.with("s3:ObjectCreationOperation", creates);
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

    /// A key that is named by its id is meant in the caller's account. Policies name keys by their
    /// ARNs; what else a key is named by is resolved where keys are known.
    fn key_arn(&self, named: String) -> String {
        match (KeyId::parse(&named), self.account) {
            (Some(id), Some(account)) => KeyArn {
                region: self.region.clone(),
                account,
                id,
            }
            .to_string(),
            _ => named,
        }
    }
}

/// Adds the tags that an object is to have.
pub(crate) fn with_object_tags(mut conditions: Conditions, tags: &TagSet) -> Conditions {
    let mut keys = BTreeSet::new();
    for tag in tags.tags() {
        keys.insert(tag.key.clone());
        conditions = conditions.with(&format!("s3:RequestObjectTag/{}", tag.key), &tag.value);
    }
    conditions.with_all("s3:RequestObjectTagKeys", keys)
}

/// Adds the tags that a bucket is to have.
pub(crate) fn with_resource_tags(mut conditions: Conditions, tags: &TagSet) -> Conditions {
    let mut keys = BTreeSet::new();
    for tag in tags.tags() {
        keys.insert(tag.key.clone());
        conditions = conditions.with(&format!("aws:RequestTag/{}", tag.key), &tag.value);
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
