//! Server access logs of S3: one line a request, in AWS's format (S3 User Guide, "Amazon S3 server
//! access log format"). A copy has a second one, for what it reads, in the log of the source's bucket;
//! DeleteObjects has one for each key.
//!
//! ```text
//!   request -> S3Api -> Lines (memory, bounded) -> rows (a second later) -> objects in the target bucket
//! ```
//!
//! Best effort, as AWS's: no request waits for its line, and what memory has no room for is dropped
//! and counted. No line holds a customer's key, its digest, a signature or a token.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use strongroom_types::{Principal, RequestContext, Timestamp, TlsVersion, Transport};

use crate::recording::{DeletedEntry, S3Asked, S3Outcome};
use crate::s3::{AuthType, copy_source};

/// Most bytes of lines that wait in memory to be written.
const WAITING_MAX_BYTES: usize = 32 << 20;
/// Longest quoted text of a line, in bytes.
const QUOTED_MAX_BYTES: usize = 2048;
/// In the place of what must not be logged.
const REDACTED: &str = "REDACTED";

/// Lines that wait, by the bucket that they are about.
#[derive(Default)]
struct Waiting {
    lines: Vec<AccessLine>,
    bytes: usize,
}

/// A line of a bucket's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLine {
    /// The bucket.
    pub bucket: String,
    /// When the request came, in milliseconds.
    pub millis: u64,
    /// The line, with its end.
    pub text: String,
}

/// The buckets whose requests are logged, with their owners' canonical ids; and the lines.
#[derive(Default)]
pub struct AccessLog {
    logged: ArcSwap<BTreeMap<String, String>>,
    waiting: Mutex<Waiting>,
}

impl AccessLog {
    /// From now on these buckets are logged: names, and the canonical ids of their owners.
    pub fn set(&self, logged: BTreeMap<String, String>) {
        self.logged.store(Arc::new(logged));
    }

    /// Takes the lines that wait.
    pub fn take(&self) -> Vec<AccessLine> {
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.lines)
    }

    /// Whether any bucket is logged: without, nothing is done for a request.
    pub(crate) fn is_on(&self) -> bool {
        !self.logged.load().is_empty()
    }

    /// Logs a request, where its bucket is logged, or that of what it copies. `took` is the time to the
    /// answer's head.
    pub(crate) fn note(&self, outcome: &S3Outcome<'_>, took: Duration) {
        let request = Logged {
            asked: outcome.asked,
            caller: outcome.caller(),
            took,
        };
        let whole = iter::once_with(|| whole(outcome));
        let deleted = outcome.deleted().iter().map(deleted);
        self.put(&request, outcome.asked.bucket, whole.chain(deleted));
        if let Some((bucket, read)) = read_by_copy(outcome) {
            self.put(&request, &bucket, iter::once(read));
        }
    }

    /// Logs a request that got no further than its head: nobody is known to have signed it, or it asks
    /// for nothing that there is. `name` is that of the operation.
    pub(crate) fn note_refused(
        &self,
        asked: S3Asked<'_>,
        name: &str,
        (status, code): (u16, &'static str),
        took: Duration,
    ) {
        let request = Logged {
            asked,
            caller: asked.context,
            took,
        };
        let part = || Part {
            operation: operation(name, &asked, asked.key.is_some()),
            key: asked.key.map(str::to_owned),
            status,
            error: Some(code),
            sent_bytes: None,
            size_bytes: None,
            version: None,
            is_whole: true,
        };
        self.put(&request, asked.bucket, iter::once_with(part));
    }

    /// Writes these parts of a request, if the bucket is logged.
    fn put(&self, request: &Logged<'_>, bucket: &str, parts: impl Iterator<Item = Part>) {
        let logged = self.logged.load();
        let Some(owner) = logged.get(bucket) else {
            return;
        };
        for part in parts {
            let text = request.line(&part, bucket, owner);
            let mut waiting = self.waiting.lock();
            if waiting.bytes + text.len() > WAITING_MAX_BYTES {
                metrics::counter!("strongroom_access_log_lines_dropped_total").increment(1);
                continue;
            }
            waiting.bytes += text.len();
            waiting.lines.push(AccessLine {
                bucket: bucket.to_owned(),
                millis: request.asked.context.received.as_millis(),
                text,
            });
        }
    }
}

/// A request that is logged.
struct Logged<'a> {
    asked: S3Asked<'a>,
    /// Who asked.
    caller: &'a RequestContext,
    /// The time to the answer's head.
    took: Duration,
}

/// What a line is about: a request, or a part of one.
struct Part {
    /// `REST.GET.OBJECT` and its like.
    operation: String,
    key: Option<String>,
    status: u16,
    error: Option<&'static str>,
    sent_bytes: Option<u64>,
    size_bytes: Option<u64>,
    version: Option<String>,
    /// Whether it is the whole request. Of a part there is no URI, time, referer or user agent.
    is_whole: bool,
}

fn whole(outcome: &S3Outcome<'_>) -> Part {
    let key = outcome.key();
    Part {
        operation: operation(outcome.route.name, &outcome.asked, key.is_some()),
        key: key.map(str::to_owned),
        status: outcome.status.as_u16(),
        error: outcome.error.as_ref().map(|(code, _)| *code),
        sent_bytes: outcome.length_bytes.filter(|length| *length > 0),
        size_bytes: object_size(outcome),
        version: outcome.answered("x-amz-version-id").map(str::to_owned),
        is_whole: true,
    }
}

/// A key of DeleteObjects, as if it had been deleted by a request of its own.
fn deleted(entry: &DeletedEntry) -> Part {
    const NO_CONTENT: u16 = 204;
    let (status, error) = match &entry.error {
        None => (NO_CONTENT, None),
        Some(error) => (error.status, Some(error.code)),
    };
    Part {
        operation: "BATCH.DELETE.OBJECT".to_owned(),
        key: Some(entry.key.clone()),
        status,
        error,
        sent_bytes: None,
        size_bytes: None,
        version: entry.version.clone(),
        is_whole: false,
    }
}

/// What a copy reads, and the bucket that it is in. What was refused at its destination has read
/// nothing; any other failure is told of both.
fn read_by_copy(outcome: &S3Outcome<'_>) -> Option<(String, Part)> {
    let operation = match outcome.route.name {
        "CopyObject" => "REST.COPY.OBJECT_GET",
        "UploadPartCopy" => "REST.COPY.PART_GET",
        _ => return None,
    };
    if outcome.is_destination_refused() {
        return None;
    }
    let (bucket, key, version) = copy_source(&outcome.asked.parts.headers)?;
    let read = outcome.answered("x-amz-copy-source-version-id");
    let part = Part {
        operation: operation.to_owned(),
        key: Some(key),
        status: outcome.status.as_u16(),
        error: outcome.error.as_ref().map(|(code, _)| *code),
        sent_bytes: None,
        size_bytes: None,
        version: read.map(str::to_owned).or(version),
        is_whole: false,
    };
    Some((bucket, part))
}

impl Logged<'_> {
    /// The line: fields in AWS's order, `-` where there is nothing to say.
    fn line(&self, part: &Part, bucket: &str, owner: &str) -> String {
        let (asked, context) = (&self.asked, self.caller);
        let header = |name: &str| asked.parts.headers.get(name)?.to_str().ok();
        let requester = match &context.principal {
            Principal::Anonymous => None,
            Principal::Root { .. } => context
                .canonical_id
                .as_ref()
                .map(|it| it.as_str().to_owned()),
            Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::Federated { .. }
            | Principal::Service { .. } => Some(context.principal.arn()),
        };
        let (tls, cipher) = match context.transport {
            Transport::Tls(TlsVersion::V1_2) => (Some("TLSv1.2"), asked.connection.cipher_suite),
            Transport::Tls(TlsVersion::V1_3) => (Some("TLSv1.3"), asked.connection.cipher_suite),
            Transport::Plain | Transport::Forwarded { .. } => (None, None),
        };
        let (signature, authentication) = match asked.auth_type {
            AuthType::Anonymous => (None, None),
            AuthType::Header => (Some("SigV4"), Some("AuthHeader")),
            AuthType::QueryString => (Some("SigV4"), Some("QueryString")),
            AuthType::Form => (Some("SigV4"), Some("-")),
        };
        let number = |number: Option<u64>| number.map(|it| it.to_string());
        let mut line = Fields(String::with_capacity(512));
        line.plain(Some(owner));
        line.plain(Some(bucket));
        line.raw(&format!("[{}]", log_time(context.received)));
        line.plain(Some(&context.source_ip.to_canonical().to_string()));
        line.plain(requester.as_deref());
        line.plain(Some(&context.request_id.to_string()));
        line.plain(Some(&part.operation));
        line.plain(part.key.as_deref().map(encoded_key).as_deref());
        if part.is_whole {
            line.quoted(Some(&request_uri(asked)));
        } else {
            line.plain(None);
        }
        line.plain(Some(&part.status.to_string()));
        line.plain(part.error);
        line.plain(number(part.sent_bytes).as_deref());
        line.plain(number(part.size_bytes).as_deref());
        if part.is_whole {
            let took_millis = self.took.as_millis().to_string();
            line.plain(Some(&took_millis));
            line.plain(Some(&took_millis));
            line.quoted(header("referer"));
            line.quoted(header("user-agent"));
        } else {
            for _ in 0..4 {
                line.plain(None);
            }
        }
        line.plain(part.version.as_deref());
        line.plain(Some(asked.host_id));
        line.plain(signature);
        line.plain(cipher);
        line.plain(authentication);
        line.plain(crate::intake::host(asked.parts));
        line.plain(tls);
        // Access points, and whether an ACL was needed: neither is known. And no region of AWS's is
        // where requests come from.
        for _ in 0..3 {
            line.plain(None);
        }
        line.0.push('\n');
        line.0
    }
}

/// A line in the making.
struct Fields(String);

impl Fields {
    fn raw(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(text);
    }

    /// A field that must not hold a space.
    fn plain(&mut self, text: Option<&str>) {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("-");
        self.raw(&escaped(text, true));
    }

    fn quoted(&mut self, text: Option<&str>) {
        let shown = match text.filter(|text| !text.is_empty()) {
            Some(text) => escaped(text, false),
            None => "-".to_owned(),
        };
        self.raw(&format!("\"{shown}\""));
    }
}

/// A key as URLs show it.
fn encoded_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What could end a field or a line is encoded.
fn escaped(text: &str, is_plain: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if out.len() >= QUOTED_MAX_BYTES {
            break;
        }
        if letter == '"' || letter.is_control() || (is_plain && letter == ' ') {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// `06/Feb/2026:00:00:38 +0000`.
fn log_time(time: Timestamp) -> String {
    // Sat, 21 Nov 2026 02:36:00 GMT
    let date = time.to_http_date();
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    format!(
        "{}/{}/{}:{} +0000",
        part(5, 7),
        part(8, 11),
        part(12, 16),
        part(17, 25)
    )
}

/// `GET /bucket/key?versionId=... HTTP/1.1`, without what signs and what opens.
fn request_uri(asked: &S3Asked<'_>) -> String {
    let parts = asked.parts;
    let mut uri = format!("{} {}", parts.method, parts.uri.path());
    let mut separator = '?';
    for pair in parts.uri.query().unwrap_or_default().split('&') {
        if pair.is_empty() {
            continue;
        }
        uri.push(separator);
        separator = '&';
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                let _ = write!(uri, "{name}={REDACTED}");
            }
            _ => uri.push_str(pair),
        }
    }
    let _ = write!(uri, " {:?}", parts.version);
    uri
}

/// Whether a parameter of the query must not be logged. Its name may be encoded, so that all are
/// secret that are encoded at all.
fn is_secret(name: &str) -> bool {
    const SECRETS: [&str; 6] = [
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-credential",
        "signature",
        "awsaccesskeyid",
        "token",
    ];
    let name = name.to_ascii_lowercase();
    name.contains('%') || SECRETS.contains(&name.as_str()) || name.contains("customer-key")
}

fn object_size(outcome: &S3Outcome<'_>) -> Option<u64> {
    if let Some(range) = outcome.answered("content-range") {
        // bytes 0-9/100
        return range.rsplit('/').next()?.parse().ok();
    }
    match outcome.route.name {
        "GetObject" | "HeadObject" if outcome.status.is_success() => {
            outcome.answered("content-length")?.parse().ok()
        }
        "PutObject" | "UploadPart" => outcome.asked.sent_bytes(),
        _ => None,
    }
}

/// `REST.GET.OBJECT` and its like, of the operation of that name: method, and what it is done to.
fn operation(name: &str, asked: &S3Asked<'_>, has_key: bool) -> String {
    let method = asked.parts.method.as_str();
    let kind = match name {
        "CopyObject" => return "REST.COPY.OBJECT".to_owned(),
        "UploadPartCopy" => return "REST.COPY.PART".to_owned(),
        "DeleteObjects" => "MULTI_OBJECT_DELETE",
        "CreateMultipartUpload" | "ListMultipartUploads" => "UPLOADS",
        "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts" => "UPLOAD",
        "UploadPart" => "PART",
        "ListObjectVersions" => "BUCKETVERSIONS",
        "GetObjectTagging" | "PutObjectTagging" | "DeleteObjectTagging" => "OBJECT_TAGGING",
        "GetObjectAttributes" => "OBJECT_ATTRIBUTES",
        "UpdateObjectEncryption" => "OBJECT_ENCRYPTION",
        "RestoreObject" => "RESTORE",
        _ if name.ends_with("Acl") => "ACL",
        _ if name.ends_with("BucketPolicy") => "BUCKETPOLICY",
        _ if name.ends_with("PolicyStatus") => "POLICY_STATUS",
        _ if name.ends_with("PublicAccessBlock") => "PUBLIC_ACCESS_BLOCK",
        _ if name.ends_with("OwnershipControls") => "OWNERSHIP_CONTROLS",
        _ if name.ends_with("BucketVersioning") => "VERSIONING",
        _ if name.ends_with("BucketEncryption") => "ENCRYPTION",
        _ if name.ends_with("BucketTagging") => "TAGGING",
        _ if name.ends_with("BucketLogging") => "LOGGING_STATUS",
        _ if name.ends_with("BucketLocation") => "LOCATION",
        _ if name.contains("Lifecycle") => "LIFECYCLE",
        _ if name.ends_with("Cors") => "CORS",
        _ if name.ends_with("Website") => "WEBSITE",
        _ if name.contains("Notification") => "NOTIFICATION",
        _ if name.ends_with("RequestPayment") => "REQUEST_PAYMENT",
        _ if name.ends_with("Replication") => "REPLICATION",
        _ if name.contains("Accelerate") => "ACCELERATE",
        _ if name.contains("ObjectLockConfiguration") => "OBJECT_LOCK_CONFIGURATION",
        _ if name.contains("InventoryConfiguration") => "INVENTORY",
        _ if name.contains("AnalyticsConfiguration") => "ANALYTICS",
        _ if name.contains("MetricsConfiguration") => "METRICS",
        _ if name.contains("IntelligentTieringConfiguration") => "INTELLIGENT_TIERING",
        _ if has_key => "OBJECT",
        _ => "BUCKET",
    };
    format!("REST.{method}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_be_forged() {
        let mut fields = Fields(String::new());
        fields.plain(Some("a b\"c\n"));
        fields.quoted(Some("x\" y\r\n"));
        fields.plain(None);
        fields.quoted(None);
        assert_eq!(fields.0, "a%20b%22c%0A \"x%22 y%0D%0A\" - \"-\"");
    }

    #[test]
    fn times_are_those_of_web_servers() {
        let time = Timestamp::parse_iso8601("2026-02-06T00:00:38Z").unwrap();
        assert_eq!(log_time(time), "06/Feb/2026:00:00:38 +0000");
    }

    #[test]
    fn what_signs_and_what_opens_is_secret() {
        for name in [
            "X-Amz-Signature",
            "X-Amz-Security-Token",
            "x-amz-server-side-encryption-customer-key",
            "X%2dAmz-Signature",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["versionId", "X-Amz-Expires", "prefix"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
