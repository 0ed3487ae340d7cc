//! Records of S3: management events of bucket operations, and every denial.
//!
//! Other calls on objects are data events, which are recorded where somebody asks for them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use strongroom_audit::Params;
use strongroom_types::{AccountId, RequestContext};

use super::{Ended, Facts, Recorder, Unrecorded};
use crate::intake;
use crate::s3::{AuthType, Route};
use crate::server::ConnectionInfo;
use crate::sigv4::Service;
use crate::sigv4::uri::Query;
use crate::xml::{Element, parse};

/// What handlers learn that no head of a request says. Each is written once.
#[derive(Default)]
pub(crate) struct Learned {
    /// Who signed a form.
    pub(crate) signer: OnceLock<Arc<RequestContext>>,
    /// The key that a form names.
    pub(crate) key: OnceLock<String>,
    /// Whose the bucket is.
    pub(crate) owner: OnceLock<AccountId>,
    /// Whether the record shows the document in the body: that of a bucket operation.
    pub(crate) shows_document: bool,
    /// That document.
    pub(crate) document: OnceLock<Vec<u8>>,
    /// What became of the keys that DeleteObjects names.
    pub(crate) deleted: OnceLock<Vec<DeletedEntry>>,
}

/// One key of DeleteObjects.
#[derive(Debug)]
pub(crate) struct DeletedEntry {
    /// The key.
    pub(crate) key: String,
    /// Code and text of its error.
    pub(crate) error: Option<(&'static str, String)>,
}

/// A call of S3 that is about to be answered.
pub(crate) struct S3Outcome<'a> {
    /// The operation.
    pub(crate) route: &'static Route,
    /// Who asked; of forms, whoever signed the request, which is nobody.
    pub(crate) context: &'a RequestContext,
    /// Through what.
    pub(crate) connection: &'a ConnectionInfo,
    /// The head of the request.
    pub(crate) parts: &'a Parts,
    /// Its query.
    pub(crate) query: &'a Query,
    /// The bucket, as addressed; empty where there is none.
    pub(crate) bucket: &'a str,
    /// The key, as addressed.
    pub(crate) key: Option<&'a str>,
    /// How it was signed.
    pub(crate) auth_type: AuthType,
    /// What its handler learned.
    pub(crate) learned: Option<&'a Learned>,
    /// Code and text of the error, as they are told.
    pub(crate) error: Option<(&'static str, Cow<'a, str>)>,
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The headers of the answer.
    pub(crate) answered: &'a HeaderMap,
    /// The length of the answer, in bytes, where it is known.
    pub(crate) length_bytes: Option<u64>,
    /// `x-amz-id-2`.
    pub(crate) host_id: &'a str,
}

impl S3Outcome<'_> {
    /// Who asked.
    pub(crate) fn caller(&self) -> &RequestContext {
        let signer = self.learned.and_then(|learned| learned.signer.get());
        signer.map_or(self.context, |signer| signer)
    }

    /// The key.
    pub(crate) fn key(&self) -> Option<&str> {
        let learned = self.learned.and_then(|learned| learned.key.get());
        learned.map(String::as_str).or(self.key)
    }

    /// Code and text of the error; of DeleteObjects, where the whole has none, of the first key that
    /// was denied.
    fn error(&self) -> Option<(&'static str, Cow<'_, str>)> {
        if let Some((code, message)) = &self.error {
            return Some((code, Cow::Borrowed(message)));
        }
        let entries = self.learned.and_then(|learned| learned.deleted.get())?;
        let denied = |it: &DeletedEntry| it.error.clone().filter(|(code, _)| *code == DENIED);
        let (code, message) = entries.iter().find_map(denied)?;
        Some((code, message.into()))
    }

    /// Whether the caller was refused for lack of rights.
    fn is_denied(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
            || self.error.is_none() && self.error().is_some_and(|(code, _)| code == DENIED)
    }

    /// The length of the body, as the head declares it.
    pub(crate) fn sent_bytes(&self) -> Option<u64> {
        let length = |name| {
            let value = self.parts.headers.get(name)?.to_str().ok()?;
            value.parse::<u64>().ok()
        };
        length("x-amz-decoded-content-length").or_else(|| length("content-length"))
    }

    /// `requestParameters`.
    fn parameters(&self) -> Params {
        let mut params = Params::new();
        if !self.bucket.is_empty() {
            params = params.text("bucketName", self.bucket);
        }
        params = params.optional("Host", intake::host(self.parts));
        params = params.optional("key", self.key());
        let mut shown = BTreeSet::new();
        for (name, value) in self.query.pairs() {
            if is_shown_parameter(name) && shown.insert(name) {
                params = params.text(name, &String::from_utf8_lossy(value));
            }
        }
        for name in SHOWN_HEADERS {
            if let Some(value) = self.parts.headers.get(*name) {
                params = params.text(name, &String::from_utf8_lossy(value.as_bytes()));
            }
        }
        match self.learned.and_then(|learned| learned.document.get()) {
            Some(document) => with_document(params, document),
            None => params,
        }
    }

    pub(crate) fn answered(&self, name: &str) -> Option<&str> {
        self.answered.get(name)?.to_str().ok()
    }

    /// `responseElements`.
    fn response(&self) -> Params {
        let shown = ANSWERED_HEADERS.iter();
        shown.fold(Params::new(), |response, name| {
            response.optional(name, self.answered(name))
        })
    }

    /// `SSEApplied`: what encrypted the object that the call made, and whether the request asked for
    /// it or the bucket's default decided (S3 User Guide, "Monitoring default encryption").
    fn sse_applied(&self) -> Option<&'static str> {
        const CUSTOMER: &str = "x-amz-server-side-encryption-customer-algorithm";
        const ALGORITHM: &str = "x-amz-server-side-encryption";
        if !matches!(
            self.route.name,
            "PutObject" | "CopyObject" | "CreateMultipartUpload"
        ) {
            return None;
        }
        if self.answered(CUSTOMER).is_some() {
            return Some("SSE_C");
        }
        let is_asked = self.parts.headers.contains_key(ALGORITHM);
        Some(match (self.answered(ALGORITHM)?, is_asked) {
            ("AES256", true) => "SSE_S3",
            ("AES256", false) => "Default_SSE_S3",
            ("aws:kms", true) => "SSE_KMS",
            ("aws:kms", false) => "Default_SSE_KMS",
            ("aws:kms:dsse", true) => "SSE_KMS_DSSE",
            ("aws:kms:dsse", false) => "Default_SSE_KMS_DSSE",
            _ => return None,
        })
    }

    /// `additionalEventData` and `resources`.
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let method = match self.auth_type {
            AuthType::Anonymous => None,
            AuthType::Header => Some("AuthHeader"),
            AuthType::QueryString => Some("QueryString"),
            AuthType::Form => Some("HtmlForm"),
        };
        let mut additional = Params::new();
        if method.is_some() {
            additional = additional.text("SignatureVersion", "SigV4");
        }
        additional = additional.optional("CipherSuite", self.connection.cipher_suite);
        additional = additional.number("bytesTransferredIn", self.sent_bytes().unwrap_or(0));
        additional = additional.optional("AuthenticationMethod", method);
        additional = additional.text("x-amz-id-2", self.host_id);
        if let Some(entries) = self.learned.and_then(|learned| learned.deleted.get()) {
            additional = with_deleted(additional, entries);
        }
        if let Some(given) = self.length_bytes {
            additional = additional.number("bytesTransferredOut", given);
        }
        additional = additional.optional("SSEApplied", self.sse_applied());
        facts.additional = additional;
        facts.response = self.response();
        facts.owner = self.learned.and_then(|it| it.owner.get().copied());
        if !self.bucket.is_empty() {
            let bucket = format!("arn:aws:s3:::{}", self.bucket);
            if let Some(key) = self.key() {
                facts.subject("AWS::S3::Object", format!("{bucket}/{key}"), None);
            }
            facts.subject("AWS::S3::Bucket", bucket, None);
        }
        facts
    }
}

impl Recorder {
    /// Records a call of S3, if it is one that is recorded: operations on buckets, and every call
    /// that is denied.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the answer must be withheld.
    pub(crate) async fn record_s3(&self, outcome: S3Outcome<'_>) -> Result<(), Unrecorded> {
        let is_data = outcome.route.is_data();
        // Of calls on objects, denials are always recorded, and others where somebody wants them.
        let is_optional = is_data && !outcome.is_denied();
        if is_optional && !self.wants_data() {
            return Ok(());
        }
        let mut context = Cow::Borrowed(outcome.caller());
        intake::note_sent(context.to_mut(), outcome.parts, outcome.connection, None);
        let ended = Ended {
            context: &context,
            service: Service::S3,
            operation: outcome.route.event_name(),
            error: outcome.error(),
            facts: outcome.facts(),
            parameters: Some(outcome.parameters()),
            is_data,
        };
        if is_optional {
            self.record_if_wanted(ended).await
        } else {
            self.record(ended).await
        }
    }
}

/// Headers of answers that records of writes show as `responseElements`.
const ANSWERED_HEADERS: [&str; 6] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-version-id",
    "x-amz-delete-marker",
];

/// The error of who may not.
const DENIED: &str = "AccessDenied";
/// Most keys of DeleteObjects that a record names, and most bytes of them; a whole record has room for
/// 40 KiB.
const DELETED_MAX: usize = 100;
const DELETED_MAX_BYTES: usize = 16 << 10;

/// The keys that DeleteObjects named, which CloudTrail does not tell, and what became of each: as many
/// as have room, and how many there are.
fn with_deleted(additional: Params, entries: &[DeletedEntry]) -> Params {
    let mut bytes = 0;
    let shown: Vec<Params> = entries
        .iter()
        .take(DELETED_MAX)
        .take_while(|entry| {
            bytes += entry.key.len();
            bytes <= DELETED_MAX_BYTES
        })
        .map(|entry| {
            let code = entry.error.as_ref().map(|(code, _)| *code);
            Params::new()
                .text("key", &entry.key)
                .optional("errorCode", code)
        })
        .collect();
    additional.objects("deletedObjects", &shown).number(
        "deletedObjectsCount",
        u64::try_from(entries.len()).unwrap_or(u64::MAX),
    )
}

/// Headers that records show. Those that are not here are secrets, or say nothing of what is asked.
const SHOWN_HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-copy-source",
    "x-amz-copy-source-range",
    "x-amz-metadata-directive",
    "x-amz-storage-class",
    "x-amz-object-ownership",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-expected-bucket-owner",
    "x-amz-source-expected-bucket-owner",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
];

/// Whether records show a parameter of the query. Those that sign are never shown.
fn is_shown_parameter(name: &str) -> bool {
    const PARAMETERS: &[&str] = &[
        "bucket-region",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "id",
        "key-marker",
        "list-type",
        "marker",
        "max-buckets",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "partNumber",
        "prefix",
        "start-after",
        "upload-id-marker",
        "uploadId",
        "version-id-marker",
        "versionId",
    ];
    PARAMETERS.contains(&name) || Route::is_subresource(name)
}

/// Longest document that goes into a record, in bytes; a whole record has room for 40 KiB.
const DOCUMENT_MAX_BYTES: usize = 32 << 10;

/// A configuration under its own name, a policy as `bucketPolicy`. What nobody can read is left out.
fn with_document(params: Params, document: &[u8]) -> Params {
    if document.len() > DOCUMENT_MAX_BYTES {
        return params;
    }
    if document.trim_ascii_start().first() == Some(&b'{') {
        return match serde_json::from_slice::<Value>(document) {
            Ok(policy) => params.document("bucketPolicy", &policy),
            Err(_) => params,
        };
    }
    match parse(document) {
        Ok(root) => {
            let name = root.name.clone();
            params.document(&name, &json(root))
        }
        Err(_) => params,
    }
}

/// An element as JSON; of several with one name a list. The depth is the parser's, which is bounded.
fn json(element: Element) -> Value {
    let Element {
        name: _,
        attributes,
        text,
        children,
    } = element;
    if attributes.is_empty() && children.is_empty() {
        return text.into();
    }
    let mut members = Map::new();
    for (name, value) in attributes {
        members.insert(name, value.into());
    }
    for child in children {
        let name = child.name.clone();
        let value = json(child);
        match members.get_mut(&name) {
            None => {
                members.insert(name, value);
            }
            Some(Value::Array(items)) => items.push(value),
            Some(one) => {
                let first = one.take();
                *one = Value::Array(vec![first, value]);
            }
        }
    }
    Value::Object(members)
}
