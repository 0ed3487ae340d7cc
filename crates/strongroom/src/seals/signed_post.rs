//! Signed requests to a key service or to S3, and their answers: SigV4, TLS and HTTP/1.1.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use strongroom_ports::Clock;
use tokio::net::TcpStream;
use zeroize::{Zeroize as _, Zeroizing};

use crate::files;
use crate::unseal::Environment;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// A service's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    secure: bool,
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: String,
}

/// An access key of the service.
pub(crate) struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Endpoint {
    /// An address over HTTPS, or on this machine.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let endpoint = Self::of_service(url)?;
        let is_near = endpoint.host == "localhost"
            || endpoint
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if !endpoint.secure && !is_near {
            return Err(format!(
                "{url} is plain HTTP: anyone on the way would read what opens the key ring; use https"
            ));
        }
        Ok(endpoint)
    }

    /// An address of any service, over HTTPS or plain HTTP.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn of_service(url: &str) -> Result<Self, String> {
        let wrong =
            || format!("{url:?} is no address of a service; https://HOST or https://HOST:PORT is");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let is_plain =
            uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if !is_plain || host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            secure,
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            host,
            authority: authority.to_string(),
        })
    }

    /// What the name resolves to.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        use std::net::ToSocketAddrs as _;
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found
            .map(Iterator::collect)
            .map_err(|error| format!("{}: {error}", self.url))
    }
}

impl Credentials {
    /// Of the named file, or else of the environment, or else of the file that AWS's tools read.
    pub(crate) fn find(named: Option<&Path>, environment: Environment<'_>) -> Result<Self, String> {
        let profile = environment("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        if let Some(path) = named {
            return Self::read(path, &profile);
        }
        let (id, secret) = (
            environment("AWS_ACCESS_KEY_ID"),
            environment("AWS_SECRET_ACCESS_KEY"),
        );
        if let (Some(id), Some(secret)) = (id, secret) {
            return Ok(Self {
                id,
                secret: Zeroizing::new(secret),
                token: environment("AWS_SESSION_TOKEN").map(Zeroizing::new),
            });
        }
        let shared = environment("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = || environment("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        match shared.or_else(home).filter(|path| path.is_file()) {
            Some(path) => Self::read(&path, &profile),
            None => Err(
                "there are no credentials for the key service; name a file with --kms-seal-credentials FILE"
                    .to_owned(),
            ),
        }
    }

    fn read(path: &Path, profile: &str) -> Result<Self, String> {
        let shown = path.display();
        let bytes = files::read(path).map_err(|error| format!("{shown}: {error}"))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text"))?;
        let (mut id, mut secret, mut token) = (None, None, None);
        let mut is_ours = false;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                is_ours = name.trim() == profile;
            } else if let Some((name, value)) = line.split_once('=').filter(|_| is_ours) {
                let value = value.trim();
                match name.trim() {
                    "aws_access_key_id" => id = Some(value.to_owned()),
                    "aws_secret_access_key" => secret = Some(Zeroizing::new(value.to_owned())),
                    "aws_session_token" => token = Some(Zeroizing::new(value.to_owned())),
                    _ => {}
                }
            }
        }
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Self { id, secret, token }),
            _ => Err(format!("{shown} has no access key for profile {profile}")),
        }
    }
}

/// SigV4 over one small request, whose body is in memory.
pub(super) fn signed(
    endpoint: &Endpoint,
    region: &str,
    operation: &str,
    body: &str,
    credentials: &Credentials,
    clock: &dyn Clock,
) -> Request<Full<Bytes>> {
    let (date, day) = date_of(clock.now());
    let scope = format!("{day}/{region}/kms/aws4_request");
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("host", endpoint.authority.clone()),
        ("x-amz-date", date.clone()),
    ];
    if let Some(token) = &credentials.token {
        headers.push(("x-amz-security-token", token.to_string()));
    }
    headers.push(("x-amz-target", format!("TrentService.{operation}")));
    let claim = claim(
        "POST\n/\n",
        &headers,
        &sha256(body),
        (&date, &scope),
        credentials,
    );
    // It may hold a slot key.
    let body = Bytes::from_owner(Zeroizing::new(body.as_bytes().to_vec()));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    put_headers(
        &mut request,
        headers.into_iter().chain([("authorization", claim)]),
    );
    request
}

/// A request to S3.
pub(crate) struct S3Request {
    method: http::Method,
    /// From the root, of letters that need no escape.
    pub(crate) path: String,
    query: std::collections::BTreeMap<String, String>,
    range: Option<String>,
    body: Bytes,
}

impl S3Request {
    /// Without a body.
    pub(crate) fn new(method: http::Method, path: String) -> Self {
        Self {
            method,
            path,
            query: std::collections::BTreeMap::new(),
            range: None,
            body: Bytes::new(),
        }
    }

    /// With a parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.insert(escaped(name), escaped(value));
        self
    }

    /// For a range of the object.
    pub(crate) fn range(mut self, range: String) -> Self {
        self.range = Some(range);
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

/// SigV4 over one request to S3, with the hash of its body.
pub(crate) fn signed_for_s3(
    endpoint: &Endpoint,
    region: &str,
    request: &S3Request,
    credentials: &Credentials,
    now: strongroom_types::Timestamp,
) -> Request<Full<Bytes>> {
    let hash = hex::encode(digest::digest(&digest::SHA256, &request.body));
    let (date, day) = date_of(now);
    let mut headers = vec![
        ("host", endpoint.authority.clone()),
        ("x-amz-content-sha256", hash.clone()),
        ("x-amz-date", date.clone()),
    ];
    if let Some(token) = &credentials.token {
        headers.push(("x-amz-security-token", token.to_string()));
    }
    let query: Vec<String> = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = query.join("&");
    let start = format!("{}\n{}\n{query}", request.method, request.path);
    let scope = format!("{day}/{region}/s3/aws4_request");
    let claim = claim(&start, &headers, &hash, (&date, &scope), credentials);
    let mut signed = Request::new(Full::new(request.body.clone()));
    *signed.method_mut() = request.method.clone();
    let target = if query.is_empty() {
        request.path.clone()
    } else {
        format!("{}?{query}", request.path)
    };
    // Paths and queries are of our own letters, or escaped.
    if let Ok(uri) = target.parse() {
        *signed.uri_mut() = uri;
    }
    let range = request.range.clone().map(|range| ("range", range));
    put_headers(
        &mut signed,
        headers
            .into_iter()
            .chain(range)
            .chain([("authorization", claim)]),
    );
    signed
}

/// Percent-encoding as SigV4 wants it.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// `20150830T123600Z` and `20150830`.
fn date_of(now: strongroom_types::Timestamp) -> (String, String) {
    let now = now.to_iso8601();
    let digits: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = format!("{}Z", digits.split(['.', 'Z']).next().unwrap_or_default());
    let day = date.get(..8).unwrap_or_default().to_owned();
    (date, day)
}

/// The value of `Authorization`. `start` is method, path and query, each on its line.
fn claim(
    start: &str,
    headers: &[(&'static str, String)],
    body_hash: &str,
    (date, scope): (&str, &str),
    credentials: &Credentials,
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in headers {
        lines.extend([name, ":", value.as_str(), "\n"]);
    }
    let canonical = format!("{start}\n{lines}\n{names}\n{body_hash}");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let start = Zeroizing::new(format!("AWS4{}", *credentials.secret));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, start.as_bytes());
    for word in scope.split('/') {
        key = hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, word.as_bytes()).as_ref(),
        );
    }
    let signature = hex::encode(hmac::sign(&key, to_sign.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    )
}

fn put_headers(
    request: &mut Request<Full<Bytes>>,
    headers: impl Iterator<Item = (&'static str, String)>,
) {
    for (name, value) in headers {
        if let Ok(mut value) = http::HeaderValue::try_from(value) {
            value.set_sensitive(true);
            request
                .headers_mut()
                .insert(http::HeaderName::from_static(name), value);
        }
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Sends a request over a connection of its own, and waits for the answer.
pub(super) fn exchange(
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
    certificates: Option<&Path>,
) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let exchanged = runtime.block_on(async {
        tokio::time::timeout(REQUEST_MAX, send(endpoint, request, certificates)).await
    });
    // A name that does not resolve keeps its thread; nobody waits for it.
    runtime.shutdown_background();
    exchanged.map_err(|_| format!("no answer within {} seconds", REQUEST_MAX.as_secs()))?
}

async fn send(
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
    certificates: Option<&Path>,
) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| told(&error))?;
    if !endpoint.secure {
        return converse(stream, request).await;
    }
    let config = trust(certificates)?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| told(&error))?;
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| told(&error))?;
    converse(stream, request).await
}

async fn converse<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Zeroizing<Vec<u8>>), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(told)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(told)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    let bytes = collected.to_bytes();
    let kept = Zeroizing::new(bytes.to_vec());
    // What the connection's own buffers still hold is not ours to wipe; this is, if nobody shares it.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
    Ok((status, kept))
}

/// How long one request of a bulk transfer may take.
const TRANSFER_MAX: Duration = Duration::from_secs(300);
/// Largest answer of a bulk transfer, in bytes.
const TRANSFER_MAX_BYTES: usize = 64 << 20;

/// Requests one after the other, over a connection that is kept.
pub(crate) struct Exchange {
    runtime: tokio::runtime::Runtime,
    certificates: Option<PathBuf>,
    kept: Option<hyper::client::conn::http1::SendRequest<Full<Bytes>>>,
}

impl Exchange {
    /// Trusts these certificates, PEM.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn new(certificates: Option<PathBuf>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            runtime,
            certificates,
            kept: None,
        })
    }

    /// Sends a request, and waits for the answer: status, headers and body.
    ///
    /// # Errors
    ///
    /// In words, for people. The next request gets a connection of its own.
    pub(crate) fn send(
        &mut self,
        endpoint: &Endpoint,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, http::HeaderMap, Vec<u8>), String> {
        let kept = self.kept.take();
        let certificates = self.certificates.as_deref();
        let sent = self.runtime.block_on(async {
            let transfer = transfer(endpoint, request, certificates, kept);
            tokio::time::timeout(TRANSFER_MAX, transfer).await
        });
        let (answer, kept) =
            sent.map_err(|_| format!("no answer within {} seconds", TRANSFER_MAX.as_secs()))??;
        self.kept = Some(kept);
        Ok(answer)
    }
}

type Transferred = (
    (u16, http::HeaderMap, Vec<u8>),
    hyper::client::conn::http1::SendRequest<Full<Bytes>>,
);

async fn transfer(
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
    certificates: Option<&Path>,
    kept: Option<hyper::client::conn::http1::SendRequest<Full<Bytes>>>,
) -> Result<Transferred, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let mut kept = kept;
    let still_open = match &mut kept {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    let mut sender = match kept.filter(|_| still_open) {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
                .await
                .map_err(|error| told(&error))?;
            stream.set_nodelay(true).map_err(|error| told(&error))?;
            if endpoint.secure {
                let config = trust(certificates)?;
                let name =
                    ServerName::try_from(endpoint.host.clone()).map_err(|error| told(&error))?;
                let connector = tokio_rustls::TlsConnector::from(config);
                let stream = connector.connect(name, stream).await;
                handshake(stream.map_err(|error| told(&error))?).await?
            } else {
                handshake(stream).await?
            }
        }
    };
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| told(&error))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = Limited::new(response.into_body(), TRANSFER_MAX_BYTES);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    Ok(((status, headers, collected.to_bytes().to_vec()), sender))
}

async fn handshake<S>(
    stream: S,
) -> Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

fn trust(certificates: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let path = certificates
        .ok_or("no certificates to trust are found; name some with --kms-seal-ca FILE")?;
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        // Systems trust some that are too old to be read; the others count.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(failed(&"it holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use strongroom_types::Timestamp;

    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(1_440_938_160)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// The signature is botocore's for the same request, second and key.
    #[test]
    fn requests_are_signed_as_aws_signs() {
        let endpoint = Endpoint::parse("https://kms.eu-central-1.amazonaws.com").unwrap();
        let credentials = Credentials {
            id: "AKID".to_owned(),
            secret: Zeroizing::new("secret".to_owned()),
            token: Some(Zeroizing::new("token".to_owned())),
        };
        let request = signed(
            &endpoint,
            "eu-central-1",
            "Decrypt",
            "{}",
            &credentials,
            &Noon,
        );
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-central-1/kms/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=0a91a4b545e9055ea55d5c6ec95c883b81ef9fb4d2eb53635b69e484564165f7"
        );
    }

    #[test]
    fn credentials_are_read_by_profile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        std::fs::write(
            &path,
            "[other]\naws_access_key_id = X\naws_secret_access_key = Y\n\n[default]\naws_access_key_id=A\naws_secret_access_key = b=c\n",
        )
        .unwrap();
        let found = Credentials::find(Some(&path), &|_| None).unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str()), ("A", "b=c"));
        assert!(found.token.is_none());
        let other = |name: &str| (name == "AWS_PROFILE").then(|| "other".to_owned());
        assert_eq!(Credentials::find(Some(&path), &other).unwrap().id, "X");
        assert!(Credentials::find(None, &|_| None).is_err());
        let environment = |name: &str| Some(format!("of {name}"));
        assert_eq!(
            Credentials::find(None, &environment).unwrap().id,
            "of AWS_ACCESS_KEY_ID"
        );
    }
}
