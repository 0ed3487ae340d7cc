//! One JSON request, from its head to its answer.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use strongroom_audit::Params;
use strongroom_types::kms::KeyArn;
use strongroom_types::{RequestContext, RequestId};
use zeroize::Zeroizing;

use super::body;
use super::slow::SlowLane;
use super::{ErrorAnswer, Failure, Input, Member, ProtocolError, Writer, read_document};
use crate::intake::{self, EdgeOptions, EdgePorts};
use crate::recording::{Ended, Facts, Named, Recorded, hidden_texts, json_parameters, without};
use crate::s3::{AnyBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::{AuthError, Service, parse_authorization};
use crate::worker::on_worker;

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

    /// The answer in the place of one that could not be recorded.
    fn unrecorded() -> ErrorAnswer {
        ProtocolError::Internal.answer()
    }

    /// What a call is about, by its input alone: for the records of those that fail.
    fn named(_context: &RequestContext, _input: &Input) -> Named {
        Named::default()
    }

    /// The key that a caller's own alias stands for, where the operation takes aliases. It may block.
    fn key_of_alias(
        &self,
        _context: &RequestContext,
        _operation: &'static str,
        _alias: &str,
    ) -> Option<KeyArn> {
        None
    }

    /// `requestParameters`: what was sent, without secrets.
    fn parameters(_operation: &'static str, input: &Input) -> Params {
        json_parameters(input)
    }

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
    /// Who records its successes.
    pub(crate) recorded: Recorded,
    /// What it does, and where.
    pub(crate) run: Run<S>,
}

/// Rows of operations that AWS has and this server has not: `unsupported!["kms:", refuse; ReplicateKey]`.
macro_rules! unsupported {
    [$prefix:literal, $refuse:path; $($name:ident)+] => {
        &[$(
            $crate::json::Operation {
                name: stringify!($name),
                action: concat!($prefix, stringify!($name)),
                members: &[],
                recorded: $crate::recording::Recorded::AtEdge,
                run: $crate::json::Run::Worker($refuse),
            },
        )+]
    };
}
pub(crate) use unsupported;

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

/// The protocol in front of a service.
pub(crate) struct JsonEdge<S> {
    service: Arc<S>,
    ports: EdgePorts,
    options: EdgeOptions,
    slow: SlowLane,
}

impl<S: JsonService> JsonEdge<S> {
    /// Puts the protocol in front of a service.
    pub(crate) fn new(service: Arc<S>, ports: EdgePorts, options: EdgeOptions) -> Self {
        Self {
            service,
            ports,
            options,
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
        request: Request<AnyBody>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let started = self.ports.clock.monotonic();
        let request_id = RequestId::random(&*self.ports.entropy);
        let (received, region) = (self.ports.clock.now(), self.options.region.clone());
        let mut context = intake::context(&parts, &connection, request_id, received, region);
        let received = self.receive(&parts, body, &mut context).await;
        let parameters = match &received {
            Ok((operation, input)) => Some(S::parameters(operation.name, input)),
            Err(_) => None,
        };
        intake::note_sent(&mut context, &parts, &connection, parameters.as_ref());
        let context = Arc::new(context);
        let (operation, named, secrets, outcome) = match received {
            Err(refused) => {
                let Refused {
                    operation,
                    secrets,
                    error,
                } = refused;
                let outcome = Err(Failure::from(error));
                (operation, Named::default(), secrets, outcome)
            }
            Ok((operation, input)) => {
                let (named, secrets) = (S::named(&context, &input), hidden_texts(&input));
                let outcome = self.run(operation, Arc::clone(&context), input).await;
                (Some(operation), named, secrets, outcome)
            }
        };
        let (facts, told) = match outcome {
            Ok(Some(mut document)) => {
                let facts = std::mem::take(&mut document.facts);
                // What was asked for by name, and answered, is what was named.
                (facts.or(named.without_aliases()), Ok(Some(document)))
            }
            Ok(None) => (named.without_aliases(), Ok(None)),
            Err(failure) => {
                let answer = match failure {
                    Failure::Told(answer) => answer,
                    // Nobody answers so behind the worker; if somebody did, it is an error of ours.
                    Failure::NotInMemory => S::broken(),
                };
                (self.resolved(operation, &context, named).await, Err(answer))
            }
        };
        let is_recorded =
            told.is_ok() && operation.is_some_and(|it| it.recorded == Recorded::InTransaction);
        let error = told.as_ref().err().map(|answer| {
            let message = answer.message.as_deref().unwrap_or_default();
            (answer.name, without(message.into(), &secrets))
        });
        let ended = Ended {
            context: &context,
            service: S::SERVICE,
            operation: operation.map_or(UNKNOWN, |it| it.name),
            error,
            is_done_in_part: false,
            facts,
            parameters: None,
            is_data: false,
        };
        let told = if is_recorded || self.ports.recorder.record(ended).await.is_ok() {
            told
        } else {
            Err(S::unrecorded())
        };
        let response = match told {
            Ok(Some(document)) => Response::new(ResponseBody::whole(document.finish())),
            Ok(None) => Response::new(ResponseBody::empty()),
            Err(answer) => answer.response(),
        };
        let labels = operation.map_or((UNKNOWN, ""), |it| (it.name, it.action));
        let request_id = request_id.to_uuid();
        let took = self.ports.clock.monotonic().saturating_sub(started);
        intake::finish(
            response,
            CONTENT_TYPE,
            labels,
            &parts.method,
            &request_id,
            took,
        )
    }

    /// Bounds, authenticates, finds the operation and reads its input, in this order: who may not
    /// ask learns nothing of what could be asked. Who signed is written into `context`.
    async fn receive(
        &self,
        parts: &Parts,
        body: AnyBody,
        context: &mut RequestContext,
    ) -> Result<(&'static Operation<S>, Input), Refused<S>> {
        let operation = operation::<S>(parts);
        let refused = |error| Refused {
            operation,
            secrets: Vec::new(),
            error,
        };
        if !context.is_confidential() && !self.options.danger_keys_over_plain_http {
            return Err(refused(ProtocolError::PlainHttp));
        }
        // A stranger who does not even claim to sign is not read from.
        let claim = parse_authorization(parts).map_err(|error| refused(error.into()))?;
        if claim.is_none() {
            return Err(refused(AuthError::MissingAuthenticationToken.into()));
        }
        let body = body::read(&parts.headers, body).await.map_err(refused)?;
        let hash = body::sha256(&body);
        let verified = self
            .ports
            .verifier
            .verify_with_body_hash(parts, S::SERVICE, &hash)
            .map_err(|error| refused(error.into()))?;
        intake::sign_in(context, verified.credential.as_deref());
        let operation = operation.ok_or_else(|| refused(ProtocolError::UnknownOperation))?;
        let input = read_document(operation.members, &body).map_err(|error| Refused {
            secrets: body::hidden_texts(&body),
            ..refused(error)
        })?;
        Ok((operation, input))
    }

    /// What a failed call was about, with the keys that its aliases stand for.
    async fn resolved(
        &self,
        operation: Option<&'static Operation<S>>,
        context: &Arc<RequestContext>,
        named: Named,
    ) -> Facts {
        let Some(operation) = operation.filter(|_| named.has_aliases()) else {
            return named.without_aliases();
        };
        let (service, context) = (Arc::clone(&self.service), Arc::clone(context));
        let keys = named.clone();
        let on_worker = move || {
            keys.with_aliases(|alias| service.key_of_alias(&context, operation.name, alias))
        };
        let resolved = tokio::task::spawn_blocking(on_worker).await;
        resolved.unwrap_or_else(|_| named.without_aliases())
    }

    async fn run(
        &self,
        operation: &'static Operation<S>,
        context: Arc<RequestContext>,
        input: Input,
    ) -> Outcome {
        let mut place = None;
        let work = match operation.run {
            Run::Worker(work) => work,
            Run::Slow(work, is_slow) => {
                if is_slow(&input) {
                    let Some(taken) = self.slow.place().await else {
                        return Err(S::throttled().into());
                    };
                    place = Some(taken);
                }
                work
            }
            Run::MemoryFirst(work) => {
                if let Some(resident) = self.service.resident() {
                    match work(resident, &context, &input) {
                        Err(Failure::NotInMemory) => {}
                        outcome => return outcome,
                    }
                }
                work
            }
        };
        let service = Arc::clone(&self.service);
        let outcome = on_worker(move || {
            // Held until the work is done, also where nobody waits for it any more.
            let _place = place;
            work(&service, &context, &input)
        });
        outcome.await.unwrap_or_else(|| Err(S::broken().into()))
    }
}

/// A request that did not become a call.
struct Refused<S: ?Sized + 'static> {
    /// What it asked for, as far as anybody can tell.
    operation: Option<&'static Operation<S>>,
    /// What its error must not carry into a record.
    secrets: Vec<Zeroizing<String>>,
    error: ProtocolError,
}

/// The name of an operation that nobody knows.
const UNKNOWN: &str = "Unknown";
const TARGET: &str = "x-amz-target";
/// Of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

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
