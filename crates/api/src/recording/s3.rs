//! Records of S3: management events of bucket operations, and every denial.
//!
//! Other calls on objects are data events, which are recorded where somebody asks for them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Map, Value};
use strongroom_audit::Params;
use strongroom_ports::Transaction;
use strongroom_types::{AccountId, Principal, RequestContext};

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
    /// The fields of a form that records show as headers.
    pub(crate) fields: OnceLock<HeaderMap>,
    /// Whose the bucket is.
    pub(crate) owner: OnceLock<AccountId>,
    /// Whether the record shows the document in the body: that of a bucket operation.
    pub(crate) shows_document: bool,
    /// That document.
    pub(crate) document: OnceLock<Vec<u8>>,
    /// What became of the keys that DeleteObjects names.
    pub(crate) deleted: OnceLock<Vec<DeletedEntry>>,
    /// The destination of a copy lets nothing in, so that its source is not read.
    pub(crate) destination_refused: OnceLock<()>,
}

/// One key of DeleteObjects.
#[derive(Debug)]
pub(crate) struct DeletedEntry {
    /// The key.
    pub(crate) key: String,
    /// The version that it is about, or that of the delete marker that was made.
    pub(crate) version: Option<String>,
    /// Why it was not deleted.
    pub(crate) error: Option<DeleteError>,
}

/// The error of one key of DeleteObjects.
#[derive(Debug)]
pub(crate) struct DeleteError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// The status that a request of its own would have been answered with.
    pub(crate) status: u16,
}

/// Code and text of an error, as they are told.
pub(crate) type ErrorTold<'a> = (&'static str, Cow<'a, str>);

/// A request to S3, as its records tell it.
#[derive(Clone, Copy)]
pub(crate) struct S3Asked<'a> {
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
    /// `x-amz-id-2`.
    pub(crate) host_id: &'a str,
}

impl S3Asked<'_> {
    /// The length of the body, as the head declares it.
    pub(crate) fn sent_bytes(&self) -> Option<u64> {
        let length = |name| {
            let value = self.parts.headers.get(name)?.to_str().ok()?;
            value.parse::<u64>().ok()
        };
        length("x-amz-decoded-content-length").or_else(|| length("content-length"))
    }

    /// `requestParameters`, as far as the head and those headers have them, and the key.
    fn parameters(&self, key: Option<&str>, headers: &HeaderMap) -> Params {
        let mut params = Params::new();
        if !self.bucket.is_empty() {
            params = params.text("bucketName", self.bucket);
        }
        params = params.optional("Host", intake::host(self.parts));
        params = params.optional("key", key);
        let mut shown = BTreeSet::new();
        for (name, value) in self.query.pairs() {
            if is_shown_parameter(name) && shown.insert(name) {
                params = params.text(name, &String::from_utf8_lossy(value));
            }
        }
        for name in SHOWN_HEADERS {
            if let Some(value) = headers.get(*name) {
                params = params.text(name, &String::from_utf8_lossy(value.as_bytes()));
            }
        }
        params
    }

    /// `additionalEventData`, as far as it does not depend on the outcome.
    fn additional(&self) -> Params {
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
        additional
            .optional("CipherSuite", self.connection.cipher_suite)
            .number("bytesTransferredIn", self.sent_bytes().unwrap_or(0))
            .optional("AuthenticationMethod", method)
            .text("x-amz-id-2", self.host_id)
    }

    /// The context of the record, in which `caller` asked.
    fn recorded_context(&self, caller: &RequestContext) -> RequestContext {
        let mut context = caller.clone();
        intake::note_sent(&mut context, self.parts, self.connection, None);
        context
    }
}

/// A call of S3 that is about to be answered.
pub(crate) struct S3Outcome<'a> {
    /// The request.
    pub(crate) asked: S3Asked<'a>,
    /// The operation.
    pub(crate) route: &'static Route,
    /// What its handler learned.
    pub(crate) learned: Option<&'a Learned>,
    /// Whose the bucket is, where that was found out besides.
    pub(crate) owner: Option<AccountId>,
    /// Code and text of the error, as they are told.
    pub(crate) error: Option<ErrorTold<'a>>,
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The headers of the answer.
    pub(crate) answered: &'a HeaderMap,
    /// The length of the answer, in bytes, where it is known.
    pub(crate) length_bytes: Option<u64>,
}

impl S3Outcome<'_> {
    /// Who asked.
    pub(crate) fn caller(&self) -> &RequestContext {
        let signer = self.learned.and_then(|learned| learned.signer.get());
        signer.map_or(self.asked.context, |signer| signer)
    }

    /// The key.
    pub(crate) fn key(&self) -> Option<&str> {
        let learned = self.learned.and_then(|learned| learned.key.get());
        learned.map(String::as_str).or(self.asked.key)
    }

    /// The headers; of a form, the fields that stand for them.
    fn headers(&self) -> &HeaderMap {
        let fields = self.learned.and_then(|learned| learned.fields.get());
        fields.unwrap_or(&self.asked.parts.headers)
    }

    /// Whether something was changed though there is an error: some of the keys of DeleteObjects.
    fn is_done_in_part(&self) -> bool {
        let entries = self.learned.and_then(|learned| learned.deleted.get());
        self.error.is_none()
            && entries.is_some_and(|entries| entries.iter().any(|entry| entry.error.is_none()))
    }

    /// Code and text of the error; of DeleteObjects, where the whole has none, of the first key that
    /// was denied.
    fn error(&self) -> Option<ErrorTold<'_>> {
        if let Some((code, message)) = &self.error {
            return Some((code, Cow::Borrowed(message)));
        }
        let mut errors = self.deleted().iter().filter_map(|it| it.error.as_ref());
        let denied = errors.find(|error| error.code == DENIED)?;
        Some((denied.code, denied.message.as_str().into()))
    }

    /// What became of the keys of DeleteObjects.
    pub(crate) fn deleted(&self) -> &[DeletedEntry] {
        let entries = self.learned.and_then(|learned| learned.deleted.get());
        entries.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the destination of a copy lets nothing in.
    pub(crate) fn is_destination_refused(&self) -> bool {
        self.learned
            .is_some_and(|it| it.destination_refused.get().is_some())
    }

    /// Whether the caller was refused for lack of rights, be it at the end of a 200.
    fn is_denied(&self) -> bool {
        self.status == StatusCode::FORBIDDEN || self.error().is_some_and(|(code, _)| code == DENIED)
    }

    /// Whether nobody known asked for what is not there.
    fn is_strangers_miss(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.caller().principal == Principal::Anonymous
    }

    /// Whose the bucket is, as far as it is known.
    fn owner(&self) -> Option<AccountId> {
        let learned = self.learned.and_then(|it| it.owner.get().copied());
        learned.or(self.owner)
    }

    /// Whose the bucket is, as far as the caller may know: who was not let in learns it of his own
    /// account's buckets only.
    fn told_owner(&self) -> Option<AccountId> {
        let was_in = self.learned.is_some_and(|it| it.owner.get().is_some());
        let own = self.caller().principal.acts_in();
        self.owner()
            .filter(|owner| was_in || self.error.is_none() || own == Some(*owner))
    }

    /// `requestParameters`.
    fn parameters(&self) -> Params {
        let params = self.asked.parameters(self.key(), self.headers());
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
            "PutObject" | "PostObject" | "CopyObject" | "CreateMultipartUpload"
        ) {
            return None;
        }
        if self.answered(CUSTOMER).is_some() {
            return Some("SSE_C");
        }
        let is_asked = self.headers().contains_key(ALGORITHM);
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
        let mut additional = self.asked.additional();
        if let Some(entries) = self.learned.and_then(|learned| learned.deleted.get()) {
            additional = with_deleted(additional, entries);
        }
        if let Some(given) = self.length_bytes {
            additional = additional.number("bytesTransferredOut", given);
        }
        additional = additional.optional("SSEApplied", self.sse_applied());
        facts.additional = additional;
        facts.response = self.response();
        facts.owner = self.owner();
        facts.of_s3(self.asked.bucket, self.key(), self.told_owner());
        facts
    }

    /// As it is recorded, in that context.
    fn ended<'b>(&'b self, context: &'b RequestContext) -> Ended<'b> {
        Ended {
            context,
            service: Service::S3,
            operation: self.route.event_name(),
            error: self.error(),
            is_done_in_part: self.is_done_in_part(),
            facts: self.facts(),
            parameters: Some(self.parameters()),
            is_data: self.route.is_data(),
        }
    }
}

impl Facts {
    /// The call was about that bucket and that key.
    fn of_s3(&mut self, bucket: &str, key: Option<&str>, owner: Option<AccountId>) {
        if bucket.is_empty() {
            return;
        }
        let bucket = format!("arn:aws:s3:::{bucket}");
        if let Some(key) = key {
            self.subject("AWS::S3::Object", format!("{bucket}/{key}"), None);
        }
        self.subject("AWS::S3::Bucket", bucket, owner);
    }
}

impl Recorder {
    /// Records a call of S3, if it is one that is recorded: operations on buckets, and every call
    /// that is denied. What strangers look for and do not find is counted and sampled as what they
    /// are denied.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the answer must be withheld.
    pub(crate) async fn record_s3(&self, outcome: S3Outcome<'_>) -> Result<(), Unrecorded> {
        // Of calls on objects, denials are always recorded, and others where somebody wants them.
        let is_optional =
            outcome.route.is_data() && !outcome.is_denied() && !outcome.is_strangers_miss();
        if is_optional && !self.wants_data() {
            return Ok(());
        }
        let context = outcome.asked.recorded_context(outcome.caller());
        let ended = outcome.ended(&context);
        if is_optional {
            self.record_if_wanted(ended).await
        } else {
            self.record(ended).await
        }
    }

    /// Adds the record of a call that succeeds to the transaction of its change.
    pub(crate) fn add_s3(&self, transaction: Transaction, outcome: &S3Outcome<'_>) -> Transaction {
        let context = outcome.asked.recorded_context(outcome.caller());
        let events = self.events(outcome.ended(&context));
        let add = |transaction, event| self.log.add(transaction, event);
        events.iter().fold(transaction, add)
    }

    /// Records a request that asks for no operation of this server's, but for `operation` in AWS's words,
    /// by whoever is known. That of nobody known is counted and sampled.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]: the answer must be withheld.
    pub(crate) async fn record_unmatched(
        &self,
        asked: S3Asked<'_>,
        operation: &'static str,
        error: ErrorTold<'_>,
    ) -> Result<(), Unrecorded> {
        let context = asked.recorded_context(asked.context);
        let mut facts = Facts {
            additional: asked.additional(),
            ..Facts::default()
        };
        facts.of_s3(asked.bucket, asked.key, None);
        self.record(Ended {
            context: &context,
            service: Service::S3,
            operation,
            error: Some(error),
            is_done_in_part: false,
            facts,
            parameters: Some(asked.parameters(asked.key, &asked.parts.headers)),
            is_data: asked.key.is_some(),
        })
        .await
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
            let code = entry.error.as_ref().map(|error| error.code);
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

/// Those of them that records show.
pub(crate) fn shown(headers: &HeaderMap) -> HeaderMap {
    let mut shown = HeaderMap::new();
    for name in SHOWN_HEADERS {
        if let Some(value) = headers.get(*name) {
            shown.insert(HeaderName::from_static(name), value.clone());
        }
    }
    shown
}

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
