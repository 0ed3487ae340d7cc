//! Accepting and serving connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use strongroom_types::{TlsVersion, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsAcceptor;

use super::io::GuardedIo;
use super::seats::{Seat, Seats};
use super::shutdown::Phase;
use super::streams::{Activity, Answer, StreamExecutor};
use super::tls::suite_name;
use super::{
    ManagementRoutes, RequestBody, Shutdown, ShutdownSwitch, TlsError, TlsFiles, TlsReloader,
};
use crate::limits::{
    CONNECTIONS_MAX, HTTP_HEAD_MAX_BYTES, HTTP_HEAD_TIMEOUT, HTTP_HEADERS_MAX, HTTP_IDLE_TIMEOUT,
    HTTP1_BUFFER_BYTES, HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_HEADER_LIST_MAX_BYTES,
    HTTP2_PENDING_RESETS_MAX, HTTP2_SEND_BUFFER_BYTES, HTTP2_STREAM_WINDOW_BYTES,
    HTTP2_STREAMS_MAX, SHUTDOWN_GRACE, TLS_HANDSHAKE_TIMEOUT,
};

/// Any error, as bodies have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a request reached us. Also in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The peer's address.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub local: SocketAddr,
    /// Plain, or TLS of which version.
    pub transport: Transport,
    /// The cipher suite of TLS that ends here, by the name that AWS writes.
    pub cipher_suite: Option<&'static str>,
}

/// What answers requests. Closures of the same shape are handlers.
///
/// A handler that answers without reading the body is right to do so: `100 Continue` is sent at the
/// body's first poll only. Behind such an answer what is left of the body is read, if it is little
/// and comes soon; if not, the answer says that the connection is closed. A body that yields an
/// error breaks the connection (HTTP/1) or resets the stream (HTTP/2).
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<RequestBody>,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

impl<F, R, B> Handler for F
where
    F: Fn(Request<RequestBody>, ConnectionInfo) -> R + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;

    fn handle(
        &self,
        request: Request<RequestBody>,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<B>> + Send {
        self(request, connection)
    }
}

/// Where and how to listen.
#[derive(Clone)]
pub struct ServerOptions {
    /// Addresses for plain HTTP/1.1. That they are loopback addresses is for the caller to see to.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS, HTTP/1.1 and HTTP/2.
    pub https: Vec<SocketAddr>,
    /// The certificate; needed when there is an address for HTTPS.
    pub tls: Option<TlsFiles>,
    /// Health and metrics.
    pub management: ManagementRoutes,
    /// How long running requests may take to finish when the server stops.
    pub grace: Duration,
    /// Connections at a time; more wait in the listener's queue. One peer has as many of them as it
    /// leaves free; further ones of the same peer are closed unanswered.
    pub connections_max: usize,
}

impl ServerOptions {
    /// Nothing to listen on, and the limits of [`crate::limits`].
    pub fn new(management: ManagementRoutes) -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            tls: None,
            management,
            grace: SHUTDOWN_GRACE,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is an address for HTTPS and no certificate.
    #[error("HTTPS needs a certificate")]
    NoCertificate,
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens but does not answer yet.
pub struct Server {
    listeners: Vec<(TcpListener, SocketAddr, bool)>,
    tls: Option<Arc<TlsReloader>>,
    options: ServerOptions,
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub async fn bind(options: ServerOptions) -> Result<Self, ServerError> {
        let tls = match &options.tls {
            Some(files) => Some(Arc::new(TlsReloader::new(files.clone())?)),
            None if options.https.is_empty() => None,
            None => return Err(ServerError::NoCertificate),
        };
        let plain = options.http.iter().map(|address| (*address, false));
        let secure = options.https.iter().map(|address| (*address, true));
        let mut listeners = Vec::new();
        for (address, is_tls) in plain.chain(secure) {
            let failed = |source| ServerError::Bind { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            listeners.push((listener, bound, is_tls));
        }
        Ok(Self {
            listeners,
            tls,
            options,
        })
    }

    /// The addresses for plain HTTP, with the ports that were chosen.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(false)
    }

    /// The addresses for HTTPS, with the ports that were chosen.
    pub fn https_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(true)
    }

    /// The certificate in use, for who wants it read again before the next look at its files.
    pub fn tls(&self) -> Option<Arc<TlsReloader>> {
        self.tls.clone()
    }

    fn addresses(&self, wanted: bool) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter(|(_, _, is_tls)| *is_tls == wanted)
            .map(|(_, address, _)| *address)
            .collect()
    }

    /// Answers requests until told to stop and the last connection has ended.
    pub async fn run<H: Handler>(self, handler: Arc<H>, mut shutdown: Shutdown) {
        let Self {
            listeners,
            tls,
            options,
        } = self;
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(shutdown.clone()));
        }
        let seats = Seats::new(options.connections_max);
        // Connections watch this one, so that the end of the grace cuts them as a signal does.
        let (cutter, cut) = ShutdownSwitch::new();
        let shared = Arc::new(Shared {
            handler,
            management: options.management,
            tls,
            shutdown: shutdown.clone(),
            cut,
        });
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|(listener, local, is_tls)| {
                tokio::spawn(accept(
                    listener,
                    local,
                    is_tls,
                    Arc::clone(&seats),
                    Arc::clone(&shared),
                ))
            })
            .collect();
        shutdown.requested().await;
        for task in accepting {
            // It ends by itself; waiting makes sure that no connection is added behind our back.
            drop(task.await);
        }
        tokio::select! {
            () = seats.all_free() => return,
            () = tokio::time::sleep(options.grace) => {}
            () = shutdown.reached(Phase::Cut) => {}
        }
        cutter.cut();
        seats.all_free().await;
    }
}

struct Shared<H> {
    handler: Arc<H>,
    management: ManagementRoutes,
    tls: Option<Arc<TlsReloader>>,
    shutdown: Shutdown,
    cut: Shutdown,
}

async fn accept<H: Handler>(
    listener: TcpListener,
    local: SocketAddr,
    is_tls: bool,
    seats: Arc<Seats>,
    shared: Arc<Shared<H>>,
) {
    let mut shutdown = shared.shutdown.clone();
    loop {
        let next = async {
            let free = seats.next_free().await;
            (free, listener.accept().await)
        };
        let (free, accepted) = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            next = next => next,
        };
        match (free, accepted) {
            (Some(free), Ok((stream, peer))) => {
                let Some(seat) = seats.take(free, peer.ip()) else {
                    // Without an answer: whoever floods us shall cost as little as possible.
                    metrics::counter!("strongroom_connections_refused_total").increment(1);
                    tracing::debug!(%peer, "refused: this peer has its share of the connections");
                    continue;
                };
                tokio::spawn(connect(
                    stream,
                    peer,
                    local,
                    is_tls,
                    seat,
                    Arc::clone(&shared),
                ));
            }
            // The peer is gone already, or we are out of files: neither gets better by spinning.
            (Some(_), Err(error)) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (None, _) => return,
        }
    }
}

async fn connect<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    is_tls: bool,
    _seat: Seat,
    shared: Arc<Shared<H>>,
) {
    // Without it a kept-alive client waits for its own delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let mut cut = shared.cut.clone();
    let serving = async {
        let mut connection = ConnectionInfo {
            peer,
            local,
            transport: Transport::Plain,
            cipher_suite: None,
        };
        let Some(tls) = shared.tls.as_ref().filter(|_| is_tls) else {
            serve(GuardedIo::new(stream), false, connection, &shared).await;
            return;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let stream = match timeout(TLS_HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        let (_, session) = stream.get_ref();
        connection.transport = Transport::Tls(match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        });
        connection.cipher_suite = session
            .negotiated_cipher_suite()
            .and_then(|suite| suite_name(suite.suite()));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        serve(GuardedIo::new(stream), is_http2, connection, &shared).await;
    };
    tokio::select! {
        () = cut.reached(Phase::Cut) => {}
        () = serving => {}
    }
}

/// A handler panicked: the request gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the handler failed")]
struct HandlerPanicked;

async fn serve<H: Handler, S>(
    stream: S,
    is_http2: bool,
    connection: ConnectionInfo,
    shared: &Arc<Shared<H>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, running) = (Arc::clone(shared), activity.start());
        async move {
            let result = answer(request, connection, &shared).await;
            // The answer's body outlives this future; the guard goes with it.
            result.map(|response| response.map(|body| Answer::new(body, running)))
        }
    });
    let io = TokioIo::new(stream);
    let mut shutdown = shared.shutdown.clone();
    let mut is_stopping = false;
    let result = if is_http2 {
        let mut serving = pin!(http2_builder().serve_connection(io, service));
        loop {
            tokio::select! {
                result = serving.as_mut() => break result,
                () = stop_or_idle(&mut shutdown, &activity), if !is_stopping => {
                    is_stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    } else {
        let mut serving = pin!(http1_builder().serve_connection(io, service));
        loop {
            tokio::select! {
                result = serving.as_mut() => break result,
                () = stop_or_idle(&mut shutdown, &activity), if !is_stopping => {
                    is_stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer<H: Handler>(
    request: Request<Incoming>,
    connection: ConnectionInfo,
    shared: &Shared<H>,
) -> Result<Response<Either<Full<Bytes>, H::Body>>, HandlerPanicked> {
    let (method, path) = (request.method(), request.uri().path());
    // A signed request is for S3: in virtual-host style such a path may be an object's key.
    let is_signed = request.headers().contains_key(header::AUTHORIZATION)
        || request
            .uri()
            .query()
            .is_some_and(|query| query.contains("X-Amz-Signature="));
    let is_http1 = request.version() < http::Version::HTTP_2;
    let is_empty = request.body().is_end_stream();
    if !is_signed && let Some(mut response) = shared.management.answer(method, path, &connection) {
        if is_http1 && !is_empty {
            close_behind(&mut response);
        }
        return Ok(response.map(Either::Left));
    }
    let expects = is_http1 && request.headers().contains_key(header::EXPECT);
    let mut request = request.map(RequestBody::new);
    let remains = request.body().remains();
    request.extensions_mut().insert(connection);
    mark_secrets(request.headers_mut());
    // The net below the handler: one request fails, the other streams of the connection do not.
    let handling = AssertUnwindSafe(shared.handler.handle(request, connection)).catch_unwind();
    if let Ok(mut response) = handling.await {
        // Two reasons not to use a connection again after a final answer without `100 Continue`.
        // The client may send its body or go on with the next request (RFC 9110, 10.1.1), and the
        // head of a request must never be read as the body of another. And botocore reads the next
        // answer wrongly; hyper sends no `100 Continue` for an empty body.
        let ends = if expects && (is_empty || !remains.asked()) {
            true
        } else {
            // A connection with an unread body on it is closed. A client that is not told loses the
            // next request that it sends.
            is_http1 && !is_empty && !remains.are_read().await
        };
        if ends {
            close_behind(&mut response);
        }
        Ok(response.map(Either::Right))
    } else {
        tracing::error!("a request handler panicked");
        Err(HandlerPanicked)
    }
}

/// Tells the client that no further request is answered on the connection.
fn close_behind<B>(response: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

/// Marks the headers that hold keys, tokens and signatures, so that printing a request for debugging
/// does not print them.
fn mark_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        let is_secret = *name == header::AUTHORIZATION
            || *name == header::COOKIE
            || name.as_str() == "x-amz-security-token"
            || name.as_str().ends_with("-customer-key");
        if is_secret {
            value.set_sensitive(true);
        }
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_headers(HTTP_HEADERS_MAX)
        .max_header_size(HTTP_HEAD_MAX_BYTES)
        .max_buf_size(HTTP1_BUFFER_BYTES)
        .half_close(false);
    builder
}

fn http2_builder() -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(StreamExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEADER_LIST_MAX_BYTES)
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        // A peer that vanished without a word is found out.
        .keep_alive_interval(HTTP_IDLE_TIMEOUT / 2)
        .keep_alive_timeout(HTTP_IDLE_TIMEOUT / 2);
    builder
}

async fn stop_or_idle(shutdown: &mut Shutdown, activity: &Activity) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = activity.idle() => {}
    }
}
