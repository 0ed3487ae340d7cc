//! What every protocol stands on, and does with a request beside its own part: the context in which
//! the request is decided, the end of its answer, its line in the log, and its metrics.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use http_body::Body;
use strongroom_audit::Params;
use strongroom_ports::{Clock, Entropy};
use strongroom_types::{Principal, Region, RequestContext, RequestId, Sent, Timestamp};

use crate::recording::Recorder;
use crate::s3::{ResponseBody, set_header};
use crate::server::ConnectionInfo;
use crate::sigv4::{Credential, Verifier};

/// What a protocol stands on beside its service.
pub struct EdgePorts {
    /// Who signed.
    pub verifier: Verifier,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The records of calls.
    pub recorder: Arc<Recorder>,
}

/// What an operator may choose of a protocol that is not S3's.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// This server's region.
    pub region: Region,
    /// Takes and gives key material and secrets over plain HTTP from and to other hosts.
    pub danger_keys_over_plain_http: bool,
}

/// The context of a request that arrived over `connection`; nobody has signed it yet.
pub(crate) fn context(
    parts: &Parts,
    connection: &ConnectionInfo,
    request_id: RequestId,
    received: Timestamp,
    region: Region,
) -> RequestContext {
    RequestContext {
        request_id,
        received,
        principal: Principal::Anonymous,
        canonical_id: None,
        access_key_id: None,
        session: None,
        via_service: None,
        region,
        source_ip: connection.peer.ip(),
        transport: connection.transport,
        user_agent: user_agent(parts),
        sent: None,
    }
}

/// Writes who signed into the context; nothing when nobody did.
pub(crate) fn sign_in(context: &mut RequestContext, credential: Option<&Credential>) {
    if let Some(credential) = credential {
        context.principal = credential.principal.clone();
        context.canonical_id = Some(credential.canonical_id.clone());
        context.access_key_id = Some(credential.access_key_id.clone());
        let token = credential.session_token.as_ref();
        context.session = token.and_then(|token| token.session().cloned());
    }
}

/// Writes into the context what only the request's record tells.
pub(crate) fn note_sent(
    context: &mut RequestContext,
    parts: &Parts,
    connection: &ConnectionInfo,
    parameters: Option<&Params>,
) {
    let parameters = parameters.filter(|it| !it.is_empty());
    context.sent = Some(Arc::new(Sent {
        cipher_suite: connection.cipher_suite,
        host: host(parts).map(Into::into),
        parameters: parameters.map(|it| it.as_json().into()),
    }));
}

/// Longest `Host` kept, in bytes.
const HOST_MAX_BYTES: usize = 256;

/// The host that the client asked, as far as records tell it.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    let text = crate::sigv4::host(parts).ok().flatten()?;
    Some(text.get(..HOST_MAX_BYTES).unwrap_or(text))
}

/// Longest user agent kept, in bytes.
const USER_AGENT_MAX_BYTES: usize = 512;

fn user_agent(parts: &Parts) -> Option<Arc<str>> {
    let text = parts.headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    Some(text.get(..USER_AGENT_MAX_BYTES).unwrap_or(text).into())
}

/// Ends an answer of the services that are not S3, and records the request as [`record`] does.
pub(crate) fn finish(
    mut response: Response<ResponseBody>,
    content_type: &'static str,
    labels: (&'static str, &'static str),
    method: &Method,
    request_id: &str,
    took: Duration,
) -> Response<ResponseBody> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    set_header(headers, "x-amzn-requestid", request_id);
    set_header(headers, "server", "Strongroom");
    record(labels, method, &response, request_id, took);
    response
}

/// The request's line in the log, and its metrics. No names, keys, queries, headers or bodies: what
/// a log may hold is chosen field by field.
pub(crate) fn record(
    (operation, action): (&'static str, &'static str),
    method: &Method,
    response: &Response<ResponseBody>,
    request_id: &str,
    took: Duration,
) {
    let status = response.status().as_u16();
    let bytes = Body::size_hint(response.body()).exact();
    tracing::info!(
        request_id,
        operation,
        action,
        %method,
        status,
        bytes,
        milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    let labels = [
        ("operation", operation.to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("strongroom_requests_total", &labels).increment(1);
    metrics::histogram!("strongroom_request_seconds", "operation" => operation)
        .record(took.as_secs_f64());
}
