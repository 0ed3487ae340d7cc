//! The HTTP shell over real sockets on ports that the system chooses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use strongroom_api::limits::{CONNECTIONS_MAX, HTTP_HEAD_MAX_BYTES, HTTP_HEADERS_MAX};
use strongroom_api::server::{
    BoxError, ConnectionInfo, ManagementRoutes, MetricsAudience, RequestBody, Server,
    ServerOptions, ShutdownSwitch, TlsFiles,
};
use strongroom_types::{Timestamp, TlsVersion, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

fn full(status: StatusCode, text: String) -> Answer {
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    Response::builder()
        .status(status)
        .body(body.boxed_unsync())
        .unwrap()
}

/// A body of one piece, followed by an error.
fn failing(length: Option<u64>) -> Answer {
    let frames: Vec<Result<Frame<Bytes>, BoxError>> = vec![
        Ok(Frame::data(Bytes::from_static(b"partial"))),
        Err("damage found".into()),
    ];
    // The pause between lets the first piece leave.
    let stream = futures_util::stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    let mut response = Response::builder();
    if let Some(length) = length {
        response = response.header("content-length", length);
    }
    response
        .body(StreamBody::new(stream).boxed_unsync())
        .unwrap()
}

struct Running {
    http: SocketAddr,
    https: SocketAddr,
    switch: ShutdownSwitch,
    task: JoinHandle<()>,
    /// Lets `/wait` answer; and says that it was reached.
    gate: Arc<Notify>,
    reached: Arc<Notify>,
    directory: tempfile::TempDir,
}

async fn start(grace: Duration) -> Running {
    start_with(grace, CONNECTIONS_MAX).await
}

async fn start_with(grace: Duration, connections_max: usize) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
    };
    files
        .ensure_self_signed("", Timestamp::from_seconds(1_795_000_000))
        .unwrap();
    let mut options = ServerOptions::new(ManagementRoutes {
        ready: Arc::new(|| Ok(())),
        metrics: Arc::new(|| "strongroom_up 1\n".to_owned()),
        metrics_audience: MetricsAudience::Loopback,
    });
    options.http = vec!["127.0.0.1:0".parse().unwrap()];
    options.https = vec!["127.0.0.1:0".parse().unwrap()];
    options.tls = Some(files);
    options.grace = grace;
    options.connections_max = connections_max;
    let server = Server::bind(options).await.unwrap();
    let (http, https) = (server.http_addresses()[0], server.https_addresses()[0]);
    let (switch, shutdown) = ShutdownSwitch::new();
    let (gate, reached) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_gate, handler_reached) = (gate.clone(), reached.clone());
    let handler = move |request: Request<RequestBody>, connection: ConnectionInfo| {
        let (gate, reached) = (handler_gate.clone(), handler_reached.clone());
        async move {
            assert_eq!(
                request.extensions().get::<ConnectionInfo>(),
                Some(&connection)
            );
            assert!(
                !format!("{request:?}").contains("canary"),
                "secrets do not print"
            );
            match request.uri().path() {
                "/secret" => full(StatusCode::OK, format!("{:?}", request.headers())),
                "/echo" => match request.into_body().collect().await {
                    Ok(body) => full(
                        StatusCode::OK,
                        String::from_utf8(body.to_bytes().to_vec()).unwrap(),
                    ),
                    Err(_) => full(StatusCode::BAD_REQUEST, String::new()),
                },
                "/refuse" => full(StatusCode::FORBIDDEN, "no".to_owned()),
                "/transport" => full(StatusCode::OK, format!("{:?}", connection.transport)),
                "/fail-length" => failing(Some(100)),
                "/fail-chunked" => failing(None),
                "/wait" => {
                    reached.notify_one();
                    gate.notified().await;
                    full(StatusCode::OK, "waited".to_owned())
                }
                "/panic" => panic!("a bug"),
                _ => full(StatusCode::NOT_FOUND, String::new()),
            }
        }
    };
    let task = tokio::spawn(server.run(Arc::new(handler), shutdown));
    Running {
        http,
        https,
        switch,
        task,
        gate,
        reached,
        directory,
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well; what came before it counts.
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_small_answer_arrives_in_one_piece_and_the_connection_lives_on() {
    let running = start(Duration::from_secs(5)).await;
    let mut stream = connect(running.http).await;
    for _ in 0..3 {
        stream
            .write_all(b"GET /transport HTTP/1.1\r\nhost: h\r\n\r\n")
            .await
            .unwrap();
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        let text = std::str::from_utf8(&buffer[..read]).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nPlain"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn headers_that_hold_secrets_do_not_print() {
    let running = start(Duration::from_secs(5)).await;
    let secrets = "authorization: canary\r\nx-amz-security-token: canary\r\nx-amz-server-side-encryption-customer-key: canary\r\nx-amz-copy-source-server-side-encryption-customer-key: canary\r\n";
    let head = format!("GET /secret HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{secrets}\r\n");
    let text = exchange(running.http, &head).await;
    assert_eq!(text.matches("Sensitive").count(), 4, "{text}");
}

#[tokio::test]
async fn health_and_metrics_answer_beside_the_handler() {
    let running = start(Duration::from_secs(5)).await;
    for (path, expected) in [
        ("health/live", "alive\n"),
        ("health/ready", "ready\n"),
        ("metrics", "strongroom_up 1\n"),
    ] {
        let text = exchange(running.http, &get(&format!("/_strongroom/{path}"))).await;
        assert!(text.ends_with(expected), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_reads_no_body_and_closes() {
    let running = start(Duration::from_secs(5)).await;
    let head =
        "PUT /refuse HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    let text = exchange(running.http, head).await;
    assert!(
        text.starts_with("HTTP/1.1 403 ") && !text.contains("100 Continue"),
        "{text}"
    );
    // What comes next may be the body or another request: nobody may guess.
    assert!(text.contains("connection: close\r\n"), "{text}");
    let mut stream = connect(running.http).await;
    let next = "GET /x HTTP/1.1\r\nhost: h\r\n\r\n";
    let both = format!("{head}{next}");
    stream.write_all(both.as_bytes()).await.unwrap();
    let text = read_all(&mut stream).await;
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    // A client that sends at once gets the answer as well, not a reset.
    let mut stream = connect(running.http).await;
    stream
        .write_all(b"PUT /refuse HTTP/1.1\r\nhost: h\r\ncontent-length: 900000\r\n\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.split();
    let body = vec![b'x'; 900_000];
    let (text, _) = tokio::join!(read_all(&mut reader), writer.write_all(&body));
    assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
}

/// Reads an answer that ends with `end`, as text.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.ends_with(end) {
        let len = stream.read(&mut buffer).await.unwrap();
        assert_ne!(len, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_refusal_of_a_body_keeps_the_connection_or_says_that_it_ends() {
    let running = start(Duration::from_secs(5)).await;
    for (size, is_chunked, is_kept) in [
        (10, false, true),
        (5_000, false, true),
        (5_000, true, true),
        (60_000, false, true),
        (100_000, false, false),
        (100_000, true, false),
        (10_000_000, false, false),
    ] {
        let mut stream = connect(running.http).await;
        let (mut reader, mut writer) = stream.split();
        let (framing, first, last) = if is_chunked {
            let first = format!("{size:x}\r\n");
            (
                "transfer-encoding: chunked".to_owned(),
                first,
                "\r\n0\r\n\r\n",
            )
        } else {
            (format!("content-length: {size}"), String::new(), "")
        };
        let head = format!("PUT /refuse HTTP/1.1\r\nhost: h\r\n{framing}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        let body = [first.as_bytes(), &vec![b'x'; size], last.as_bytes()].concat();
        // A connection that ends need not take the body to its end.
        let send = async { writer.write_all(&body).await.is_ok() };
        let (text, is_sent) = tokio::join!(read_until(&mut reader, "no"), send);
        assert!(text.starts_with("HTTP/1.1 403 "), "{size} {text}");
        let says_close = text.contains("connection: close\r\n");
        assert_eq!(says_close, !is_kept, "{size} {is_chunked} {text}");
        if is_kept {
            assert!(is_sent);
            writer
                .write_all(b"GET /transport HTTP/1.1\r\nhost: h\r\n\r\n")
                .await
                .unwrap();
            let text = read_until(&mut reader, "Plain").await;
            assert!(text.starts_with("HTTP/1.1 200 "), "{size} {text}");
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_does_not_hold_up_its_refusal() {
    let running = start(Duration::from_secs(5)).await;
    for body in ["", "12345"] {
        let mut stream = connect(running.http).await;
        let head = "PUT /refuse HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n";
        let sent = format!("{head}{body}");
        stream.write_all(sent.as_bytes()).await.unwrap();
        let text = read_until(&mut stream, "no").await;
        assert!(text.contains("connection: close\r\n"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_is_read_is_asked_for() {
    let running = start(Duration::from_secs(5)).await;
    let mut stream = connect(running.http).await;
    let head = b"PUT /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn an_empty_body_that_waits_to_be_asked_for_ends_the_connection() {
    let running = start(Duration::from_secs(5)).await;
    let head = "PUT /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nexpect: 100-continue\r\n\r\n";
    let text = exchange(running.http, head).await;
    assert!(text.contains("connection: close\r\n"), "{text}");
}

#[tokio::test]
async fn a_body_that_fails_never_ends_cleanly() {
    let running = start(Duration::from_secs(5)).await;
    let text = exchange(running.http, &get("/fail-length")).await;
    assert!(
        text.contains("content-length: 100") && !text.ends_with("\r\n0\r\n\r\n"),
        "{text}"
    );
    let text = exchange(running.http, &get("/fail-chunked")).await;
    assert!(
        text.contains("transfer-encoding: chunked") && !text.contains("0\r\n\r\n"),
        "{text}"
    );
}

#[tokio::test]
async fn heads_are_bounded() {
    let running = start(Duration::from_secs(5)).await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: h\r\na: {}\r\n\r\n",
        "x".repeat(HTTP_HEAD_MAX_BYTES)
    );
    let text = exchange(running.http, &long).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    let many = format!(
        "GET / HTTP/1.1\r\nhost: h\r\n{}\r\n",
        "a: b\r\n".repeat(HTTP_HEADERS_MAX)
    );
    let text = exchange(running.http, &many).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    // Two framings of one body are one request too many.
    let smuggled =
        "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello";
    assert!(
        exchange(running.http, smuggled)
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn a_panic_takes_down_one_request_only() {
    let running = start(Duration::from_secs(5)).await;
    assert_eq!(exchange(running.http, &get("/panic")).await, "");
    assert!(
        exchange(running.http, &get("/transport"))
            .await
            .ends_with("Plain")
    );
}

/// A connection from another address of this host, which counts as another peer.
async fn connect_from(peer: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{peer}:0").parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

/// Whether the connection gets an answer; it stays open then.
async fn is_served(stream: &mut TcpStream) -> bool {
    // What refuses it may be faster than we are: then writing fails already.
    let written = stream
        .write_all(b"GET /transport HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    written.is_ok() && matches!(stream.read(&mut [0; 4096]).await, Ok(1..))
}

#[tokio::test]
async fn a_peer_that_opens_all_connections_does_not_shut_out_another() {
    let running = start_with(Duration::from_secs(5), 64).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for count in 0..200 {
        // Both listeners draw from the same seats.
        let address = [running.http, running.https][count % 2];
        let mut stream = connect_from("127.0.0.2", address).await;
        // On the other one it stays in its handshake.
        if address == running.https || is_served(&mut stream).await {
            held.push(stream);
        } else {
            refused += 1;
        }
    }
    assert!(refused > 0, "the flood is bounded");
    for _ in 0..4 {
        let mut stream = connect_from("127.0.0.3", running.http).await;
        assert!(is_served(&mut stream).await, "another peer is let in");
        held.push(stream);
    }
    // The flood ends: its peer is welcome again, as soon as the server has seen it end.
    drop(held);
    let welcome = async {
        while !is_served(&mut connect_from("127.0.0.2", running.http).await).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), welcome)
        .await
        .unwrap();
    running.switch.stop();
    running.task.await.unwrap();
}

#[tokio::test]
async fn stopping_lets_a_request_finish_and_takes_no_more() {
    let running = start(Duration::from_mins(10)).await;
    let mut waiting = connect(running.http).await;
    waiting.write_all(get("/wait").as_bytes()).await.unwrap();
    running.reached.notified().await;
    let mut idle = connect(running.http).await;
    idle.write_all(b"GET /transport HTTP/1.1\r\nhost: h\r\n\r\n")
        .await
        .unwrap();
    idle.read_exact(&mut [0; 10]).await.unwrap();
    running.switch.stop();
    // The idle connection is closed, whatever the grace.
    read_all(&mut idle).await;
    drop(idle);
    running.gate.notify_one();
    assert!(read_all(&mut waiting).await.ends_with("waited"));
    drop(waiting);
    running.task.await.unwrap();
    assert!(TcpStream::connect(running.http).await.is_err());
}

#[tokio::test]
async fn a_second_stop_cuts() {
    let running = start(Duration::from_mins(10)).await;
    let mut waiting = connect(running.http).await;
    waiting.write_all(get("/wait").as_bytes()).await.unwrap();
    running.reached.notified().await;
    running.switch.stop();
    running.switch.stop();
    assert_eq!(read_all(&mut waiting).await, "");
    running.task.await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_grace_cuts() {
    let running = start(Duration::from_millis(1)).await;
    let mut waiting = connect(running.http).await;
    waiting.write_all(get("/wait").as_bytes()).await.unwrap();
    running.reached.notified().await;
    running.switch.stop();
    assert_eq!(read_all(&mut waiting).await, "");
    running.task.await.unwrap();
}

async fn connect_tls(
    address: SocketAddr,
    directory: &std::path::Path,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(directory.join("tls.crt")).unwrap();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), connect(address).await)
        .await
        .unwrap()
}

#[tokio::test]
async fn tls_serves_http1_with_the_hybrid_key_exchange() {
    let running = start(Duration::from_secs(5)).await;
    let mut stream = connect_tls(running.https, running.directory.path(), b"http/1.1").await;
    let group = stream
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .unwrap()
        .name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    stream
        .write_all(get("/transport").as_bytes())
        .await
        .unwrap();
    let text = read_all(&mut stream).await;
    assert!(
        text.ends_with(&format!("{:?}", Transport::Tls(TlsVersion::V1_3))),
        "{text}"
    );
}

#[tokio::test]
async fn http2_answers_and_resets_a_failing_body() {
    let running = start(Duration::from_secs(5)).await;
    let stream = connect_tls(running.https, running.directory.path(), b"h2").await;
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = |path: &str| {
        Request::builder()
            .method(Method::GET)
            .uri(format!("https://localhost{path}"))
            .body(())
            .unwrap()
    };
    let mut client = client.ready().await.unwrap();
    let (failing, _) = client.send_request(request("/fail-chunked"), true).unwrap();
    let mut body = failing.await.unwrap().into_body();
    let error = loop {
        match body.data().await {
            Some(Ok(data)) => assert_eq!(&data[..], b"partial"),
            Some(Err(error)) => break error,
            None => panic!("the body must not end cleanly"),
        }
    };
    assert!(error.is_reset(), "{error}");
    // The panic of one stream leaves the others alone.
    let (panicking, _) = client.send_request(request("/panic"), true).unwrap();
    assert!(panicking.await.is_err());
    let (good, _) = client.send_request(request("/transport"), true).unwrap();
    assert_eq!(good.await.unwrap().status(), StatusCode::OK);
    drop(client);
    drop(driving);
}
