//! One signed request to a key service, and its answer: SigV4, TLS and HTTP/1.1.

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
pub(super) struct Endpoint {
    pub(super) url: String,
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
        let wrong = || {
            format!("{url:?} is no address of a key service; https://HOST or https://HOST:PORT is")
        };
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
        let is_near =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !secure && !is_near {
            return Err(format!(
                "{url} is plain HTTP: anyone on the way would read what opens the key ring; use https"
            ));
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
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        use std::net::ToSocketAddrs as _;
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found
            .map(Iterator::collect)
            .map_err(|error| format!("{}: {error}", self.url))
    }
}

impl Credentials {
    /// Of the named file, or else of the environment, or else of the file that AWS's tools read.
    pub(super) fn find(named: Option<&Path>, environment: Environment<'_>) -> Result<Self, String> {
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
    let now = clock.now().to_iso8601();
    let digits: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = format!("{}Z", digits.split(['.', 'Z']).next().unwrap_or_default());
    let day = date.get(..8).unwrap_or_default();
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
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        lines.extend([
            name,
            ":",
            value.as_str(),
            "
",
        ]);
    }
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256(body));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let start = Zeroizing::new(format!("AWS4{}", *credentials.secret));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, start.as_bytes());
    for word in [day, region, "kms", "aws4_request"] {
        key = hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, word.as_bytes()).as_ref(),
        );
    }
    let signature = hex::encode(hmac::sign(&key, to_sign.as_bytes()));
    let claim = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    );
    // It may hold a slot key.
    let body = Bytes::from_owner(Zeroizing::new(body.as_bytes().to_vec()));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    for (name, value) in headers.into_iter().chain([("authorization", claim)]) {
        if let Ok(mut value) = http::HeaderValue::try_from(value) {
            value.set_sensitive(true);
            request
                .headers_mut()
                .insert(http::HeaderName::from_static(name), value);
        }
    }
    request
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
