//! One JSON request, from its head to its answer.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use strongroom_ports::{Clock, Entropy};
use strongroom_types::{Region, RequestContext, RequestId};

use super::body;
use super::slow::SlowLane;
use super::{ErrorAnswer, Failure, Input, Member, ProtocolError, Writer, read_document};
use crate::intake;
use crate::s3::{AnyBody, ResponseBody, set_header};
use crate::server::ConnectionInfo;
use crate::sigv4::{AuthError, Service, Verifier, parse_authorization};

/// A service that speaks JSON.
pub(crate) trait JsonService: Send + Sync + 'static {
    /// For which clients sign.
    const SERVICE: Service;
    /// What stands in front of the operation in `X-Amz-Target`, the dot included: any of these.
    const TARGET_PREFIXES: &'static [&'static str];

    /// Finds an operation by its name.
    fn operation(name: &str) -> Option<&'static Operation<Self>>;

    /// The service on what is in memory: its calls do not block, and fail with
    /// [`Failure::NotInMemory`] where they would have to.
    fn resident(&self) -> Option<&Self>;

    /// The answer to an operation that panicked.
    fn broken() -> ErrorAnswer;

    /// The answer to an operation of the slow lane that is full.
    fn throttled() -> ErrorAnswer;
}

/// An operation of a service.
pub(crate) struct Operation<S: ?Sized> {
    /// Its name in targets.
    pub(crate) name: &'static str,
    /// The IAM action that allows it.
    pub(crate) action: &'static str,
    /// The members of its input.
    pub(crate) members: &'static [Member],
    /// What it does, and where.
    pub(crate) run: Run<S>,
}

/// What an operation gives: a document, nothing (an empty body), or a failure.
pub(crate) type Outcome = Result<Option<Writer>, Failure>;

/// The function behind an operation.
pub(crate) type Work<S> = fn(&S, &RequestContext, &Input) -> Outcome;

/// Where an operation runs.
pub(crate) enum Run<S: ?Sized> {
    /// On a worker: it may block or compute for long.
    Worker(Work<S>),
    /// In memory first, and on a worker when memory does not know. For operations that take a few
    /// microseconds, less than the way to a worker and back.
    MemoryFirst(Work<S>),
    /// On a worker of the few that [`SlowLane`] has, if the input asks for what computes for
    /// seconds; else on any worker.
    Slow(Work<S>, IsSlow),
}

/// Whether an input asks for what computes for seconds.
pub(crate) type IsSlow = fn(&Input) -> bool;

/// What an operator may choose.
#[derive(Debug, Clone)]
pub(crate) struct JsonEdgeOptions {
    /// This server's region.
    pub(crate) region: Region,
    /// Takes requests over plain HTTP from other hosts.
    pub(crate) danger_keys_over_plain_http: bool,
}

/// The protocol in front of a service.
pub(crate) struct JsonEdge<S> {
    service: Arc<S>,
    verifier: Verifier,
    options: JsonEdgeOptions,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    slow: SlowLane,
}

impl<S: JsonService> JsonEdge<S> {
    /// Puts the protocol in front of a service.
    pub(crate) fn new(
        service: Arc<S>,
        verifier: Verifier,
        options: JsonEdgeOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            service,
            verifier,
            options,
            clock,
            entropy,
            slow: SlowLane::of_this_machine(),
        }
    }

    /// Whether the headers name a target of this service.
    pub(crate) fn is_target(headers: &HeaderMap) -> bool {
        headers
            .get(TARGET)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|target| operation_name::<S>(target).is_some())
    }

    /// Answers one request, whatever is wrong with it.
    pub(crate) async fn handle(
        &self,
        parts: Parts,
        body: AnyBody,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        let started = self.clock.monotonic();
        let request_id = RequestId::random(&*self.entropy);
        let (labels, outcome) = match self.receive(&parts, body, &connection, request_id).await {
            Err(error) => (("Unknown", ""), Err(Failure::from(error))),
            Ok(call) => {
                let labels = (call.operation.name, call.operation.action);
                (labels, self.run(call).await)
            }
        };
        let mut response = match outcome {
            Ok(Some(document)) => Response::new(ResponseBody::whole(document.finish())),
            Ok(None) => Response::new(ResponseBody::empty()),
            Err(Failure::Told(answer)) => answer.response(),
            // Nobody answers so behind the worker; if somebody did, it is an error of ours.
            Err(Failure::NotInMemory) => S::broken().response(),
        };
        let request_id = request_id.to_uuid();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        set_header(headers, "x-amzn-requestid", &request_id);
        set_header(headers, "server", "Strongroom");
        let took = self.clock.monotonic().saturating_sub(started);
        intake::record(labels, &parts.method, &response, &request_id, took);
        response
    }

    /// Bounds, authenticates, finds the operation and reads its input, in this order: who may not
    /// ask learns nothing of what could be asked.
    async fn receive(
        &self,
        parts: &Parts,
        body: AnyBody,
        connection: &ConnectionInfo,
        request_id: RequestId,
    ) -> Result<Call<S>, ProtocolError> {
        let (received, region) = (self.clock.now(), self.options.region.clone());
        let mut context = intake::context(parts, connection, request_id, received, region);
        if !context.is_confidential() && !self.options.danger_keys_over_plain_http {
            return Err(ProtocolError::PlainHttp);
        }
        // A stranger who does not even claim to sign is not read from.
        if parse_authorization(parts)?.is_none() {
            return Err(AuthError::MissingAuthenticationToken.into());
        }
        let body = body::read(&parts.headers, body).await?;
        let hash = body::sha256(&body);
        let verified = self
            .verifier
            .verify_with_body_hash(parts, S::SERVICE, &hash)?;
        intake::sign_in(&mut context, verified.credential.as_deref());
        let operation = operation::<S>(parts).ok_or(ProtocolError::UnknownOperation)?;
        let input = read_document(operation.members, &body)?;
        Ok(Call {
            operation,
            context,
            input,
        })
    }

    async fn run(&self, call: Call<S>) -> Outcome {
        let mut place = None;
        let work = match call.operation.run {
            Run::Worker(work) => work,
            Run::Slow(work, is_slow) => {
                if is_slow(&call.input) {
                    let Some(taken) = self.slow.place().await else {
                        return Err(S::throttled().into());
                    };
                    place = Some(taken);
                }
                work
            }
            Run::MemoryFirst(work) => {
                if let Some(resident) = self.service.resident() {
                    match work(resident, &call.context, &call.input) {
                        Err(Failure::NotInMemory) => {}
                        outcome => return outcome,
                    }
                }
                work
            }
        };
        let service = Arc::clone(&self.service);
        let on_worker = move || {
            // Held until the work is done, also where nobody waits for it any more.
            let _place = place;
            work(&service, &call.context, &call.input)
        };
        match tokio::task::spawn_blocking(on_worker).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "an operation did not finish");
                Err(S::broken().into())
            }
        }
    }
}

/// An authenticated request whose input keeps to its shape.
struct Call<S: ?Sized + 'static> {
    operation: &'static Operation<S>,
    context: RequestContext,
    input: Input,
}

const TARGET: &str = "x-amz-target";

/// The operation that a signed head asks for. The target is signed, as every `x-amz-` header is.
fn operation<S: JsonService>(parts: &Parts) -> Option<&'static Operation<S>> {
    let mut targets = parts.headers.get_all(TARGET).iter();
    let (Some(target), None) = (targets.next(), targets.next()) else {
        return None;
    };
    if parts.method != Method::POST || parts.uri.path() != "/" {
        return None;
    }
    S::operation(operation_name::<S>(target.to_str().ok()?)?)
}

/// What stands behind the service's prefix in a target.
fn operation_name<S: JsonService>(target: &str) -> Option<&str> {
    let mut prefixes = S::TARGET_PREFIXES.iter();
    prefixes.find_map(|prefix| target.strip_prefix(prefix))
}
