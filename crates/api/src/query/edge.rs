//! One Query request, from its head to its answer.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use strongroom_types::{Principal, RequestContext, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ErrorAnswer, Params};
use crate::intake::{self, EdgeOptions, EdgePorts};
use crate::json::{ProtocolError, read_body, sha256};
use crate::recording::{Ended, Facts, Recorded, query_parameters, without};
use crate::s3::{AnyBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::{AuthError, Service, parse_authorization};
use crate::worker::on_worker;
use crate::xml::XmlWriter;

/// A service that speaks Query.
pub(crate) trait QueryService: Send + Sync + 'static {
    /// For which clients sign.
    const SERVICE: Service;
    /// `Version`.
    const VERSION: &'static str;
    /// The namespace of answers.
    const NAMESPACE: &'static str;
    /// Whether requests may be made with GET.
    const TAKES_GET: bool;
    /// The operations that need no signature.
    const FOR_STRANGERS: &'static [&'static str];

    /// Finds an operation by its name.
    fn operation(name: &str) -> Option<&'static Operation<Self>>;

    /// The answer to an operation that panicked.
    fn broken() -> ErrorAnswer {
        ErrorAnswer::new(
            "ServiceFailure",
            500,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}

/// An operation of a service.
pub(crate) struct Operation<S: ?Sized> {
    /// Its name.
    pub(crate) name: &'static str,
    /// The IAM action that allows it.
    pub(crate) action: &'static str,
    /// The element of its answer.
    pub(crate) response: &'static str,
    /// The element of what it gives.
    pub(crate) result: &'static str,
    /// Who records its successes.
    pub(crate) recorded: Recorded,
    /// Whether its answer carries a secret.
    pub(crate) gives_secret: bool,
    /// What it does. It may block.
    pub(crate) run: fn(&S, &RequestContext, &Params) -> Outcome,
}

/// Writes what an operation gives.
pub(crate) type Body = Box<dyn FnOnce(&mut XmlWriter) + Send>;

/// What an operation gives: something, nothing, or a failure.
pub(crate) type Outcome = Result<Option<Body>, ErrorAnswer>;

/// An answer that `write` writes.
#[expect(
    clippy::unnecessary_wraps,
    reason = "operations end with it, and they may fail"
)]
pub(crate) fn answer(write: impl FnOnce(&mut XmlWriter) + Send + 'static) -> Outcome {
    Ok(Some(Box::new(write)))
}

/// An answer without anything in it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "operations end with it, and they may fail"
)]
pub(crate) fn void((): ()) -> Outcome {
    Ok(None)
}

/// The protocol in front of a service.
pub(crate) struct QueryEdge<S> {
    service: Arc<S>,
    ports: EdgePorts,
    options: EdgeOptions,
    /// Workers that are left to who does not sign.
    strangers: Arc<Semaphore>,
}

/// How many operations of strangers run at once: a part of the workers (512 if nobody chose), which
/// all services share.
const STRANGERS_MAX: usize = 64;

impl<S: QueryService> QueryEdge<S> {
    /// Puts the protocol in front of a service.
    pub(crate) fn new(service: Arc<S>, ports: EdgePorts, options: EdgeOptions) -> Self {
        Self {
            service,
            ports,
            options,
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        }
    }

    /// Answers one request, whatever is wrong with it.
    pub(crate) async fn handle(
        &self,
        request: Request<AnyBody>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let started = self.ports.clock.monotonic();
        let id = RequestId::random(&*self.ports.entropy);
        let request_id = id.to_uuid();
        let (received, region) = (self.ports.clock.now(), self.options.region.clone());
        let mut context = intake::context(&parts, &connection, id, received, region);
        let mut seen = Seen::default();
        let received = self.receive(&parts, body, &mut context, &mut seen).await;
        let Seen { operation, params } = seen;
        let shown = (operation.is_some()).then(|| query_parameters(params.pairs_as_sent()));
        intake::note_sent(&mut context, &parts, &connection, shown.as_ref());
        let context = Arc::new(context);
        let secrets = params.secrets();
        let outcome = match received {
            Err(error) => Err(error),
            Ok(operation) => {
                let outcome = self.run(operation, Arc::clone(&context), params).await;
                outcome.map(|body| write(operation, body, &request_id))
            }
        };
        let is_recorded =
            outcome.is_ok() && operation.is_some_and(|it| it.recorded == Recorded::InTransaction);
        let error = outcome.as_ref().err();
        let proven = error.and_then(|it| it.proven.clone());
        let context = match proven {
            Some(proven) => Arc::new(context.of_web_identity(proven)),
            None => context,
        };
        let error = error.map(|it| (it.code, without((&*it.message).into(), &secrets)));
        let ended = Ended {
            context: &context,
            service: S::SERVICE,
            operation: operation.map_or(UNKNOWN, |it| it.name),
            error,
            is_done_in_part: false,
            facts: Facts::default(),
            parameters: None,
            is_data: false,
        };
        let outcome = if is_recorded || self.ports.recorder.record(ended).await.is_ok() {
            outcome
        } else {
            Err(S::broken())
        };
        let labels = operation.map_or((UNKNOWN, ""), |it| (it.name, it.action));
        let response = outcome.unwrap_or_else(|error| error.response(S::NAMESPACE, &request_id));
        let took = self.ports.clock.monotonic().saturating_sub(started);
        intake::finish(
            response,
            "text/xml",
            labels,
            &parts.method,
            &request_id,
            took,
        )
    }

    /// Bounds, authenticates and finds the operation, in this order: who may not ask learns nothing
    /// of what could be asked. Who signed is written into `context`, and what is asked for into `seen`.
    async fn receive(
        &self,
        parts: &Parts,
        body: AnyBody,
        context: &mut RequestContext,
        seen: &mut Seen<S>,
    ) -> Result<&'static Operation<S>, ErrorAnswer> {
        let claims_to_sign = parse_authorization(parts)
            .map_err(ProtocolError::from)?
            .is_some();
        let unsigned = || ProtocolError::from(AuthError::MissingAuthenticationToken);
        // A stranger who does not even claim to sign is not read from, unless there is something for
        // strangers.
        if !claims_to_sign && (S::FOR_STRANGERS.is_empty() || is_long(&parts.headers)) {
            return Err(unsigned().into());
        }
        let body = read_body(&parts.headers, body).await?;
        if claims_to_sign {
            let verified = self
                .ports
                .verifier
                .verify_with_body_hash(parts, S::SERVICE, &sha256(&body))
                .map_err(ProtocolError::from)?;
            intake::sign_in(context, verified.credential.as_deref());
        }
        let text = if parts.method == Method::POST {
            std::str::from_utf8(&body).map_err(|_| ProtocolError::Serialization(None))?
        } else if parts.method == Method::GET && S::TAKES_GET {
            parts.uri.query().unwrap_or_default()
        } else {
            return Err(ProtocolError::UnknownOperation.into());
        };
        seen.params = match Params::parse(text) {
            Err(_) if !claims_to_sign => return Err(unsigned().into()),
            parsed => parsed?,
        };
        let params = &seen.params;
        let name = params.optional("Action");
        if !claims_to_sign && !name.is_some_and(|name| S::FOR_STRANGERS.contains(&name)) {
            return Err(unsigned().into());
        }
        let name = name.ok_or_else(|| {
            ErrorAnswer::new(
                "MissingAction",
                400,
                "The request is missing an action or a required parameter.",
            )
        })?;
        let version = params.optional("Version").unwrap_or_default();
        let operation = S::operation(name)
            .filter(|_| version == S::VERSION && parts.uri.path() == "/")
            .ok_or_else(|| {
                ErrorAnswer::new(
                    "InvalidAction",
                    400,
                    format!("Could not find operation {name} for version {version}"),
                )
            })?;
        seen.operation = Some(operation);
        let may_travel = context.is_confidential() || self.options.danger_keys_over_plain_http;
        if operation.gives_secret && !may_travel {
            return Err(ProtocolError::PlainHttp.into());
        }
        Ok(operation)
    }

    async fn run(
        &self,
        operation: &'static Operation<S>,
        context: Arc<RequestContext>,
        params: Params,
    ) -> Outcome {
        let place = if matches!(context.principal, Principal::Anonymous) {
            Some(stranger_place(&self.strangers)?)
        } else {
            None
        };
        let service = Arc::clone(&self.service);
        let outcome = on_worker(move || {
            // Until it is done, even if nobody waits for the answer any more.
            let _place = place;
            (operation.run)(&service, &context, &params)
        });
        outcome.await.unwrap_or_else(|| Err(S::broken()))
    }
}

/// A place for an operation of a stranger, or the answer that it may be tried again.
fn stranger_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ErrorAnswer> {
    let throttled = |_| ErrorAnswer::new("Throttling", 400, "Rate exceeded");
    Arc::clone(places).try_acquire_owned().map_err(throttled)
}

/// Longest body that is read from strangers, in bytes: a token and session policies.
const STRANGERS_BODY_MAX_BYTES: u64 = 64 << 10;

/// Whether a body is longer than strangers may send, or does not say how long it is.
fn is_long(headers: &HeaderMap) -> bool {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    announced.is_none_or(|len: u64| len > STRANGERS_BODY_MAX_BYTES)
}

/// What a request asks for, as far as anybody can tell.
struct Seen<S: ?Sized + 'static> {
    operation: Option<&'static Operation<S>>,
    params: Params,
}

impl<S: ?Sized> Default for Seen<S> {
    fn default() -> Self {
        Self {
            operation: None,
            params: Params::default(),
        }
    }
}

/// The name of an operation that nobody knows.
const UNKNOWN: &str = "Unknown";

fn write<S: QueryService>(
    operation: &Operation<S>,
    body: Option<Body>,
    request_id: &str,
) -> Response<ResponseBody> {
    let mut xml = XmlWriter::new(operation.response, Some(S::NAMESPACE));
    if let Some(body) = body {
        xml.nested(operation.result, body);
    }
    xml.nested("ResponseMetadata", |xml| {
        xml.element("RequestId", request_id);
    });
    Response::new(ResponseBody::whole(xml.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_get_some_of_the_workers_and_then_try_again() {
        let places = Arc::new(Semaphore::new(1));
        let first = stranger_place(&places);
        assert!(first.is_ok() && stranger_place(&places).is_err());
        drop(first);
        assert!(stranger_place(&places).is_ok());
    }
}
