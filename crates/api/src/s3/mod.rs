//! S3 over HTTP: everything between a request's head and the [`S3`] service.
//!
//! ```text
//!   handle -> sigv4 -> address -> route (the table) -> handle_* -> S3
//!                                   parse_* (inputs)     reply, error (answers)
//! ```

mod absent;
mod address;
mod as_sent;
#[cfg(test)]
mod authorization_tests;
mod body;
mod by_service;
mod call;
mod documents;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle_acl;
mod handle_attributes;
mod handle_bucket;
mod handle_bucket_config;
mod handle_bucket_policy;
mod handle_copy;
mod handle_delete;
mod handle_list;
mod handle_logging;
mod handle_multipart;
mod handle_object;
mod handle_object_config;
mod handle_post;
mod handle_tagging;
mod keep_alive;
mod other_services;
mod parse_acl;
mod parse_digests;
mod parse_headers;
mod parse_query;
mod parse_xml;
mod reply;
mod route;
mod running;
mod unconfigured;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use strongroom_policy::Conditions;
use strongroom_ports::{Clock, Entropy};
use strongroom_s3::{S3, S3Error};
use strongroom_types::{Region, RequestContext, RequestId};

pub use body::{IncomingBody, ResponseBody};
pub use by_service::{ByService, Refusal, ServicePut, ServiceS3};
pub use keep_alive::KeepAlive;
pub use parse_acl::grant_headers;

pub(crate) use as_sent::AuthType;
pub(crate) use body::AnyBody;
pub(crate) use call::owner_of;
pub(crate) use reply::set as set_header;
pub(crate) use route::Route;
#[cfg(test)]
pub(crate) use route::Selector;
pub(crate) use running::One;

use address::Address;
use as_sent::AsSent;
use call::Call;
use other_services::Elsewhere;
use route::{Level, ReplyFuture, Seen};
use running::Running;

use crate::access_log::AccessLog;
use crate::error::{ErrorPlace, error_response};
use crate::intake::{self, EdgePorts};
use crate::recording::{
    BucketChange, Ended, Facts, LatePorts, LateRecord, Learned, Recorded, Recorder, S3Asked,
    S3Call, S3Outcome, Unrecorded,
};
use crate::server::ConnectionInfo;
use crate::sigv4::uri::Query;
use crate::sigv4::{Service, Verified, Verifier};

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct S3ApiOptions {
    /// This server's region.
    pub region: Region,
    /// Domains whose subdomains are buckets, in lower case: `s3.us-east-1.amazonaws.com`,
    /// `localhost`, `s3.localhost`.
    pub domains: Vec<String>,
    /// When the answer to a long Complete or Copy begins.
    pub keep_alive: KeepAlive,
}

impl S3ApiOptions {
    /// The options of a server in `region` that was told nothing else.
    pub fn new(region: Region) -> Self {
        let domains = vec![
            "localhost".to_owned(),
            "s3.localhost".to_owned(),
            format!("s3.{region}.localhost"),
            format!("s3.{region}.amazonaws.com"),
            "s3.amazonaws.com".to_owned(),
        ];
        Self {
            region,
            domains,
            keep_alive: KeepAlive::default(),
        }
    }
}

/// The S3 protocol in front of the S3 service. Clones are one.
#[derive(Clone)]
pub struct S3Api {
    s3: Arc<S3>,
    verifier: Arc<Verifier>,
    options: Arc<S3ApiOptions>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    recorder: Arc<Recorder>,
    access_log: Arc<AccessLog>,
    running: Running,
}

/// What the log and the metrics say of a request.
struct Answered {
    operation: &'static str,
    action: &'static str,
    response: Response<ResponseBody>,
}

impl S3Api {
    /// Puts the protocol in front of a service.
    pub fn new(s3: Arc<S3>, ports: EdgePorts, options: S3ApiOptions) -> Self {
        let EdgePorts {
            verifier,
            clock,
            entropy,
            recorder,
        } = ports;
        Self {
            s3,
            verifier: Arc::new(verifier),
            options: Arc::new(options),
            clock,
            entropy,
            recorder,
            access_log: Arc::default(),
            running: Running::default(),
        }
    }

    /// Waits until the calls have ended that go on whether anybody waits for their answers or not.
    pub async fn settled(&self) {
        self.running.settled().await;
    }

    /// Logs the requests of the buckets that `access_log` names.
    #[must_use]
    pub fn logging(mut self, access_log: Arc<AccessLog>) -> Self {
        self.access_log = access_log;
        self
    }

    /// Answers one request, whatever is wrong with it.
    pub async fn handle<B: IncomingBody>(
        &self,
        request: Request<B>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        let started = self.clock.monotonic();
        let (parts, body) = request.into_parts();
        let request_id = RequestId::random(&*self.entropy);
        let host_id = self.host_id();
        let method = parts.method.clone();
        let Answered {
            operation,
            action,
            mut response,
        } = self
            .answer(parts, AnyBody::new(body), connection, request_id, &host_id)
            .await;
        let request_id = request_id.to_string();
        let headers = response.headers_mut();
        reply::set(headers, "x-amz-request-id", &request_id);
        reply::set(headers, "x-amz-id-2", &host_id);
        reply::set(headers, "server", "Strongroom");
        let took = self.clock.monotonic().saturating_sub(started);
        intake::record((operation, action), &method, &response, &request_id, took);
        response
    }

    async fn answer(
        &self,
        parts: Parts,
        body: AnyBody,
        connection: ConnectionInfo,
        request_id: RequestId,
        host_id: &str,
    ) -> Answered {
        let place = ErrorPlace {
            resource: parts.uri.path().to_owned(),
            method: parts.method.to_string(),
            request_id: request_id.to_string(),
            host_id: host_id.to_owned(),
            range: header_text(&parts, "range"),
            copy_source_range: header_text(&parts, "x-amz-copy-source-range"),
            ..ErrorPlace::default()
        };
        if let Some(elsewhere) = other_services::answer(&parts, request_id) {
            let refused = self.refuse_elsewhere(&parts, &connection, request_id, &place, elsewhere);
            return Answered {
                operation: "OtherService",
                action: "",
                response: refused.await,
            };
        }
        let verified = match self.verifier.verify(&parts) {
            Ok(verified) => verified,
            Err(error) => {
                let failure = error.into();
                let began = self.clock.monotonic();
                let connection = (&connection, began);
                let refused = self.refuse(&parts, connection, request_id, &place, &failure);
                return Answered {
                    operation: "Unknown",
                    action: "",
                    response: refused.await,
                };
            }
        };
        self.answer_verified((parts, body), verified, connection, request_id, place)
            .await
    }

    /// Finds the operation, runs it, and records the call.
    async fn answer_verified(
        &self,
        (mut parts, body): (Parts, AnyBody),
        verified: Verified,
        connection: ConnectionInfo,
        request_id: RequestId,
        mut place: ErrorPlace,
    ) -> Answered {
        let began = self.clock.monotonic();
        let asked = match self.find_operation(&mut parts, &verified) {
            Ok(asked) => asked,
            Err(failure) => {
                let unmatched = self.refuse_unmatched(
                    &parts,
                    &verified,
                    (&connection, began),
                    request_id,
                    &place,
                    &failure,
                );
                return Answered {
                    operation: "Unknown",
                    action: "",
                    response: unmatched.await,
                };
            }
        };
        let Found {
            route,
            auth_type,
            call,
        } = self.call(
            (parts, body),
            asked,
            verified,
            (connection, began),
            request_id,
            &mut place,
        );
        let told = Asking {
            route,
            auth_type,
            connection,
            began,
            place,
            context: Arc::clone(&call.context),
            parts: Arc::clone(&call.parts),
            query: Arc::clone(&call.query),
            learned: call.learned.clone(),
            change: call.change.clone(),
            late: call.late.clone(),
        };
        let handled = (route.handler)(call);
        let response = if self.is_kept_on(route) {
            let api = self.clone();
            self.running
                .to_its_end(async move { api.answer_told(handled, told).await })
                .await
        } else {
            self.answer_told(handled, told).await
        };
        Answered {
            operation: route.name,
            action: route.action,
            response,
        }
    }

    /// Whether a call goes on and is recorded whether anybody waits for its answer or not: its change
    /// of an object may stand then, and somebody wants to know of those. A change of a bucket takes its
    /// record along.
    fn is_kept_on(&self, route: &Route) -> bool {
        route.changes_object() && (self.recorder.wants_data() || self.access_log.is_on())
    }

    /// The answer of the operation, when the call is recorded.
    async fn answer_told(&self, handled: ReplyFuture, told: Asking) -> Response<ResponseBody> {
        let Asking {
            route,
            auth_type,
            connection,
            began,
            place,
            context,
            parts,
            query,
            learned,
            change,
            late,
        } = told;
        let (response, failure) = match handled.await {
            Ok(response) => (response, None),
            Err(failure) => (error_response(&failure, &place), Some(failure)),
        };
        if late.is_some_and(|late| late.is_late()) {
            return response;
        }
        let error = failure.map(|failure| {
            let answer = failure.answer(&place);
            (answer.code, answer.message)
        });
        // Who was not let in learned nothing.
        let owner = if response.status() == StatusCode::FORBIDDEN {
            owner_of(&self.s3, &place.bucket).await
        } else {
            None
        };
        let is_recorded = error.is_none() && change.is_some_and(|change| change.is_kept());
        let outcome = S3Outcome {
            asked: S3Asked {
                context: &context,
                connection: &connection,
                parts: &parts,
                query: &query,
                bucket: &place.bucket,
                key: place.key(),
                auth_type,
                host_id: &place.host_id,
            },
            route,
            learned: learned.as_deref(),
            owner,
            error,
            status: response.status(),
            answered: response.headers(),
            length_bytes: Body::size_hint(response.body()).exact(),
        };
        if self.access_log.is_on() {
            let took = self.clock.monotonic().saturating_sub(began);
            self.access_log.note(&outcome, took);
        }
        let recorded = if is_recorded {
            Ok(())
        } else {
            self.recorder.record_s3(outcome).await
        };
        unless_withheld(recorded, response, &place)
    }

    /// The context of a request that was just read, of which nobody is known to have signed it.
    fn context(
        &self,
        parts: &Parts,
        connection: &ConnectionInfo,
        request_id: RequestId,
    ) -> RequestContext {
        let (received, region) = (self.clock.now(), self.options.region.clone());
        intake::context(parts, connection, request_id, received, region)
    }

    /// The answer to a request that nobody is known to have signed, and its record.
    async fn refuse(
        &self,
        parts: &Parts,
        (connection, began): (&ConnectionInfo, Duration),
        request_id: RequestId,
        place: &ErrorPlace,
        failure: &crate::error::Failure,
    ) -> Response<ResponseBody> {
        let mut context = self.context(parts, connection, request_id);
        intake::note_sent(&mut context, parts, connection, None);
        let asked_for = self.asked_for(parts);
        let (operation, is_data) = match &asked_for {
            Some((query, address)) => {
                let seen = seen(parts, query, address);
                match route::select(&seen) {
                    Ok(route) => (route.event_name(), route.is_data()),
                    Err(_) => (absent_name(&seen), seen.level == Level::Object),
                }
            }
            None => (UNKNOWN, false),
        };
        let answer = failure.answer(place);
        if let Some((query, address)) = &asked_for {
            let asked = S3Asked {
                context: &context,
                connection,
                parts,
                query,
                bucket: address.bucket.as_deref().unwrap_or_default(),
                key: address.key.as_deref(),
                auth_type: AuthType::Anonymous,
                host_id: &place.host_id,
            };
            self.note_refused(asked, operation, (answer.status, answer.code), began);
        }
        let recorded = self.recorder.record(Ended {
            context: &context,
            service: Service::S3,
            operation,
            error: Some((answer.code, answer.message)),
            is_done_in_part: false,
            facts: Facts::default(),
            parameters: None,
            is_data,
        });
        unless_withheld(recorded.await, error_response(failure, place), place)
    }

    /// The answer to a request that asks for nothing that this server does, and its record.
    async fn refuse_unmatched(
        &self,
        parts: &Parts,
        verified: &Verified,
        (connection, began): (&ConnectionInfo, Duration),
        request_id: RequestId,
        place: &ErrorPlace,
        failure: &crate::error::Failure,
    ) -> Response<ResponseBody> {
        let mut context = self.context(parts, connection, request_id);
        intake::sign_in(&mut context, verified.credential.as_deref());
        // What cannot be read is not addressed to anything.
        let (query, address) = self.asked_for(parts).unwrap_or_default();
        let answer = failure.answer(place);
        let asked = S3Asked {
            context: &context,
            connection,
            parts,
            query: &query,
            bucket: address.bucket.as_deref().unwrap_or_default(),
            key: address.key.as_deref(),
            auth_type: auth_type(verified),
            host_id: &place.host_id,
        };
        let operation = absent_name(&seen(parts, &query, &address));
        self.note_refused(asked, operation, (answer.status, answer.code), began);
        let error = (answer.code, answer.message);
        let recorded = self.recorder.record_unmatched(asked, operation, error);
        unless_withheld(recorded.await, error_response(failure, place), place)
    }

    /// Logs a request that got no further than its head.
    fn note_refused(
        &self,
        asked: S3Asked<'_>,
        operation: &str,
        error: (u16, &'static str),
        began: Duration,
    ) {
        if self.access_log.is_on() {
            let took = self.clock.monotonic().saturating_sub(began);
            self.access_log.note_refused(asked, operation, error, took);
        }
    }

    /// The answer to a request for a service that is not here, which nobody has authenticated, and its
    /// record.
    async fn refuse_elsewhere(
        &self,
        parts: &Parts,
        connection: &ConnectionInfo,
        request_id: RequestId,
        place: &ErrorPlace,
        elsewhere: Elsewhere,
    ) -> Response<ResponseBody> {
        let Elsewhere {
            service,
            code,
            response,
        } = elsewhere;
        let mut context = self.context(parts, connection, request_id);
        intake::note_sent(&mut context, parts, connection, None);
        let recorded = self.recorder.record(Ended {
            context: &context,
            service,
            operation: UNKNOWN,
            error: Some((code, "".into())),
            is_done_in_part: false,
            facts: Facts::default(),
            parameters: None,
            is_data: false,
        });
        unless_withheld(recorded.await, response, place)
    }

    /// What a head says of what it asks for, as far as it can be read.
    fn asked_for(&self, parts: &Parts) -> Option<(Query, Address)> {
        let query = Query::parse(parts.uri.query().unwrap_or_default()).ok()?;
        let host = crate::sigv4::host(parts).ok()?.unwrap_or_default();
        let address = Address::parse(parts, host, &self.options.domains).ok()?;
        Some((query, address))
    }

    fn find_operation(
        &self,
        parts: &mut Parts,
        verified: &Verified,
    ) -> Result<Asked, crate::error::Failure> {
        let query = Query::parse(parts.uri.query().unwrap_or_default())
            .map_err(|_| crate::error::RequestError::InvalidUri)?;
        if verified.is_presigned {
            parse_headers::hoist(&query, &mut parts.headers);
        }
        let host = crate::sigv4::host(parts)?.unwrap_or_default().to_owned();
        let address = Address::parse(parts, &host, &self.options.domains)?;
        let route = route::select(&seen(parts, &query, &address))?;
        Ok(Asked {
            route,
            query,
            address,
        })
    }

    /// The request, on its way to its operation.
    fn call(
        &self,
        (parts, body): (Parts, AnyBody),
        asked: Asked,
        verified: Verified,
        (connection, began): (ConnectionInfo, Duration),
        request_id: RequestId,
        place: &mut ErrorPlace,
    ) -> Found {
        let Asked {
            route,
            query,
            address,
        } = asked;
        let level = level(&address);
        let auth_type = auth_type(&verified);
        let mut context = self.context(&parts, &connection, request_id);
        let received = context.received;
        intake::sign_in(&mut context, verified.credential.as_deref());
        place.bucket = address.bucket.clone().unwrap_or_default();
        if let Some(upload_id) = query.get("uploadId") {
            place.upload_id = String::from_utf8_lossy(upload_id).into_owned();
        }
        place.principal_arn = context.principal.arn();
        place.resource_arn = match &address.key {
            Some(key) => format!("arn:aws:s3:::{}/{key}", place.bucket),
            None => format!("arn:aws:s3:::{}", place.bucket),
        };
        let (parts, query) = (Arc::new(parts), Arc::new(query));
        let as_sent = AsSent {
            parts: Arc::clone(&parts),
            query: Arc::clone(&query),
            operation: route.name,
            level,
            auth_type,
            signed: verified.signed,
            received,
            region: self.options.region.clone(),
            account: context.principal.account(),
        };
        // Of calls on objects the record needs no more than the head, or there is none.
        let learns = !route.is_data()
            || matches!(route.name, "PostObject" | "DeleteObjects")
            || (is_copy(route) && self.access_log.is_on())
            || self.recorder.wants_data();
        let learned = Learned {
            shows_document: !route.is_data(),
            ..Learned::default()
        };
        let learned = learns.then(|| Arc::new(learned));
        let context = Arc::new(context);
        let told = || S3Call {
            route,
            context: Arc::clone(&context),
            connection,
            parts: Arc::clone(&parts),
            query: Arc::clone(&query),
            place: place.clone(),
            auth_type,
            learned: learned.clone(),
        };
        let change = match route.recorded() {
            Recorded::InTransaction => {
                let change = BucketChange::new(told(), Arc::clone(&self.recorder));
                Some(Arc::new(change))
            }
            Recorded::AtEdge => None,
        };
        let late = route.may_end_late().then(|| {
            let needs = LatePorts {
                s3: self.s3.clone(),
                recorder: self.recorder.clone(),
                access_log: self.access_log.clone(),
                clock: self.clock.clone(),
            };
            Arc::new(LateRecord::new(told(), needs, began, self.running.one()))
        });
        let call = Call {
            learned,
            change,
            late,
            conditions: Conditions::of(Arc::new(as_sent)),
            s3: self.s3.clone(),
            options: self.options.clone(),
            verifier: self.verifier.clone(),
            context,
            parts,
            query,
            address,
            body,
            payload: verified.payload,
            place: place.clone(),
        };
        Found {
            route,
            auth_type,
            call,
        }
    }

    /// A random text: S3's second id, which support asks for and which tells nothing.
    fn host_id(&self) -> String {
        let mut bytes = [0; 42];
        self.entropy.fill(&mut bytes);
        BASE64.encode(bytes)
    }
}

impl crate::server::Handler for S3Api {
    type Body = ResponseBody;

    async fn handle(
        &self,
        request: Request<crate::server::RequestBody>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        Self::handle(self, request, connection).await
    }
}

/// What a head asks for.
struct Asked {
    route: &'static Route,
    query: Query,
    address: Address,
}

/// An operation, and the request for it.
struct Found {
    route: &'static Route,
    auth_type: AuthType,
    call: Call,
}

/// What is told of a call when it ends.
struct Asking {
    route: &'static Route,
    auth_type: AuthType,
    connection: ConnectionInfo,
    began: Duration,
    place: ErrorPlace,
    context: Arc<RequestContext>,
    parts: Arc<Parts>,
    query: Arc<Query>,
    learned: Option<Arc<Learned>>,
    change: Option<Arc<BucketChange>>,
    late: Option<Arc<LateRecord>>,
}

/// The name in records of what nobody can tell.
const UNKNOWN: &str = "Unknown";

/// The name in records of an operation that is not in the table.
fn absent_name(seen: &Seen<'_>) -> &'static str {
    absent::event_name(seen).unwrap_or(UNKNOWN)
}

fn seen<'a>(parts: &'a Parts, query: &'a Query, address: &Address) -> Seen<'a> {
    Seen {
        method: &parts.method,
        level: level(address),
        query,
        headers: &parts.headers,
    }
}

fn is_copy(route: &Route) -> bool {
    matches!(route.name, "CopyObject" | "UploadPartCopy")
}

/// Bucket, key and version of what a copy reads.
pub(crate) fn copy_source(headers: &HeaderMap) -> Option<(String, String, Option<String>)> {
    let source = parse_headers::copy_source(headers).ok()?;
    let version = source.version.map(|it| it.to_string());
    Some((source.bucket.to_string(), source.key.to_string(), version))
}

fn auth_type(verified: &Verified) -> AuthType {
    match (verified.credential.is_some(), verified.is_presigned) {
        (false, _) => AuthType::Anonymous,
        (true, false) => AuthType::Header,
        (true, true) => AuthType::QueryString,
    }
}

fn level(address: &Address) -> Level {
    match (&address.bucket, &address.key) {
        (None, _) => Level::Service,
        (Some(_), None) => Level::Bucket,
        (Some(_), Some(_)) => Level::Object,
    }
}

/// The answer, or another in its place if the call could not be recorded.
fn unless_withheld(
    recorded: Result<(), Unrecorded>,
    response: Response<ResponseBody>,
    place: &ErrorPlace,
) -> Response<ResponseBody> {
    match recorded {
        Ok(()) => response,
        Err(Unrecorded) => error_response(&S3Error::Damaged.into(), place),
    }
}

fn header_text(parts: &Parts, name: &str) -> Option<String> {
    Some(parts.headers.get(name)?.to_str().ok()?.to_owned())
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    route::ROUTES.iter().map(|route| (route.name, route.action))
}

/// Every operation.
#[cfg(test)]
pub(crate) fn routes() -> &'static [Route] {
    route::ROUTES
}
