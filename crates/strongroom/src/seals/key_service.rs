//! The seal in a key service: AWS's KMS, or another Strongroom's, keeps the slot key under a key that
//! never leaves it. Nobody is asked, so that a server opens by itself; whoever takes the permission
//! away, or disables the key, keeps it sealed.
//!
//! ```text
//! body    = LP16(key ARN) || LP16(endpoint) || LP16(ciphertext blob) || slot key record
//! context = {"strongroom:ring": ring id, hex; "strongroom:slot": its number}
//! ```
//!
//! The endpoint comes from a file that is not proven yet. A forged one is asked in vain: the request
//! is signed for its host, and what it answers must agree with the slot's commitment.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Clock, Entropy, Seal, SealError, SealKind};
use strongroom_types::kms::KeyArn;
use tokio::net::TcpStream;
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Settings;
use crate::files;
use crate::unseal::Environment;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Pauses before the second and third try of a request that got no answer.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Largest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// Where systems keep the certificates that they trust.
const SYSTEM_CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Which key of which service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyPlace {
    key: KeyArn,
    endpoint: Endpoint,
}

/// A service's address.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Endpoint {
    url: String,
    secure: bool,
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: String,
}

/// What a service is reached with.
pub(crate) struct Access {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) credentials: Result<Credentials, String>,
    /// Certificates to trust, PEM.
    pub(crate) certificates: Option<PathBuf>,
    /// Where this very server listens: it cannot unseal itself.
    pub(crate) own: Vec<SocketAddr>,
}

/// An access key of the service.
pub(crate) struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

/// The seal. Its place is in the slot; for a new slot it is given.
pub(crate) struct KeyServiceSeal {
    access: Access,
    place: Option<KeyPlace>,
}

impl KeyPlace {
    /// A key by its ARN, at AWS's endpoint of its region if none is named.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn parse(key: &str, endpoint: Option<&str>) -> Result<Self, String> {
        let arn = KeyArn::parse(key).ok_or(
            "the full ARN of a key is expected (arn:aws:kms:REGION:ACCOUNT:key/ID), not an ID or an alias",
        )?;
        let aws = format!("https://kms.{}.amazonaws.com", region_of(key));
        let endpoint = Endpoint::parse(endpoint.unwrap_or(&aws))?;
        Ok(Self { key: arn, endpoint })
    }
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, String> {
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

    fn addresses(&self) -> Result<Vec<SocketAddr>, SealError> {
        use std::net::ToSocketAddrs as _;
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found
            .map(Iterator::collect)
            .map_err(|error| SealError::Unavailable(format!("{}: {error}", self.url)))
    }
}

impl Access {
    /// As settings and environment say.
    pub(crate) fn new(
        settings: &Settings,
        own: Vec<SocketAddr>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        environment: Environment<'_>,
    ) -> Self {
        let named = settings.kms_seal_ca.clone();
        let of_environment = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"]
            .into_iter()
            .find_map(|name| environment(name).map(PathBuf::from));
        let system = || {
            SYSTEM_CERTIFICATES
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.is_file())
        };
        Self {
            clock,
            entropy,
            credentials: Credentials::find(settings.kms_seal_credentials.as_deref(), environment),
            certificates: named.or(of_environment).or_else(system),
            own,
        }
    }

    fn refuse_itself(&self, addresses: &[SocketAddr]) -> Result<(), SealError> {
        let is_own = |address: &SocketAddr| {
            self.own.iter().any(|own| {
                let same_machine =
                    own.ip().is_unspecified() && TcpListener::bind((address.ip(), 0)).is_ok();
                own.port() == address.port()
                    && (own.ip().to_canonical() == address.ip().to_canonical() || same_machine)
            })
        };
        if addresses.iter().any(is_own) {
            return Err(SealError::Unavailable(
                "its key service is this very server, which could never unseal itself".to_owned(),
            ));
        }
        Ok(())
    }

    /// One operation of the service, tried again while there is no answer.
    fn call(&self, place: &KeyPlace, operation: &str, input: &Value) -> Result<Value, SealError> {
        let credentials = self
            .credentials
            .as_ref()
            .map_err(|why| SealError::Unavailable(why.clone()))?;
        self.refuse_itself(&place.endpoint.addresses()?)?;
        let body = Zeroizing::new(input.to_string());
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = signed(place, operation, &body, credentials, &*self.clock);
            let answer = match exchange(&place.endpoint, request, self.certificates.as_deref()) {
                Ok((status, body)) if status < 500 && status != 429 => {
                    return understood(&place.endpoint, status, &body);
                }
                Ok((status, _)) => format!("{} answers {status}", place.endpoint.url),
                Err(error) => format!("{}: {error}", place.endpoint.url),
            };
            match pauses.next() {
                Some(pause) => thread::sleep(pause),
                None => return Err(SealError::Unavailable(answer)),
            }
        }
    }
}

impl Credentials {
    /// Of the named file, or else of the environment, or else of the file that AWS's tools read.
    fn find(named: Option<&Path>, environment: Environment<'_>) -> Result<Self, String> {
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

impl KeyServiceSeal {
    /// For slots that are there.
    pub(crate) fn of_slots(access: Access) -> Self {
        Self {
            access,
            place: None,
        }
    }

    /// For a new slot under this key.
    pub(crate) fn at(place: KeyPlace, access: Access) -> Self {
        Self {
            access,
            place: Some(place),
        }
    }
}

impl Seal for KeyServiceSeal {
    fn kind(&self) -> SealKind {
        SealKind::KeyService
    }

    fn describe(&self) -> String {
        self.place.as_ref().map_or_else(
            || "a key service".to_owned(),
            |place| format!("{} at {}", place.key, place.endpoint.url),
        )
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let place = self
            .place
            .as_ref()
            .ok_or_else(|| SealError::Unavailable("no key of the service is named".to_owned()))?;
        let slot_key = SlotKey::random(&*self.access.entropy);
        let plaintext = Zeroizing::new(STANDARD.encode(slot_key.expose()));
        let input = json!({
            "KeyId": place.key.to_string(),
            "Plaintext": *plaintext,
            "EncryptionContext": encryption_context(slot_context),
        });
        let answer = self.access.call(place, "Encrypt", &input)?;
        let blob = answer
            .get("CiphertextBlob")
            .and_then(Value::as_str)
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or_else(|| senseless(&place.endpoint))?;
        let record = slot_key.protect(key, slot_context, &*self.access.entropy);
        let mut body = Vec::new();
        for field in [
            place.key.to_string().as_bytes(),
            place.endpoint.url.as_bytes(),
            &blob,
        ] {
            let len = u16::try_from(field.len()).map_err(|_| senseless(&place.endpoint))?;
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(field);
        }
        body.extend_from_slice(&record);
        Ok(body)
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let (place, blob, record) = parse(protected)
            .ok_or_else(|| SealError::Damaged("the key service's slot".to_owned()))?;
        let input = json!({
            "KeyId": place.key.to_string(),
            "CiphertextBlob": STANDARD.encode(blob),
            "EncryptionContext": encryption_context(slot_context),
        });
        let mut answer = self.access.call(&place, "Decrypt", &input)?;
        let text = match answer.get_mut("Plaintext").map(Value::take) {
            Some(Value::String(text)) => Zeroizing::new(text),
            _ => return Err(senseless(&place.endpoint)),
        };
        let mut bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|_| senseless(&place.endpoint))?;
        let slot_key = SlotKey::parse(&bytes);
        bytes.zeroize();
        let slot_key = slot_key.map_err(|_| senseless(&place.endpoint))?;
        slot_key
            .reveal(record, slot_context)
            .map_err(|error| match error {
                SlotError::WrongKey => SealError::WrongSeal(format!(
                    "{} gives another key than the slot was protected with",
                    place.endpoint.url
                )),
                SlotError::Damaged | _ => SealError::Damaged("the key service's slot".to_owned()),
            })
    }
}

fn parse(body: &[u8]) -> Option<(KeyPlace, &[u8], &[u8])> {
    fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
    }
    let (key, rest) = field(body)?;
    let (endpoint, rest) = field(rest)?;
    let (blob, record) = field(rest)?;
    let (key, endpoint) = (
        std::str::from_utf8(key).ok()?,
        std::str::from_utf8(endpoint).ok()?,
    );
    let place = KeyPlace::parse(key, Some(endpoint)).ok()?;
    Some((place, blob, record))
}

/// Ring and slot, from the end of the slot's context.
fn encryption_context(slot_context: &[u8]) -> Value {
    let (ring, slot) = slot_context
        .split_last_chunk::<4>()
        .map_or((slot_context, 0), |(rest, slot)| {
            (rest, u32::from_be_bytes(*slot))
        });
    let ring = ring.last_chunk::<16>().copied().unwrap_or_default();
    json!({"strongroom:ring": hex::encode(ring), "strongroom:slot": slot.to_string()})
}

fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// SigV4 over one small request, whose body is in memory.
fn signed(
    place: &KeyPlace,
    operation: &str,
    body: &str,
    credentials: &Credentials,
    clock: &dyn Clock,
) -> Request<Full<Bytes>> {
    let now = clock.now().to_iso8601();
    let digits: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = format!("{}Z", digits.split(['.', 'Z']).next().unwrap_or_default());
    let day = date.get(..8).unwrap_or_default();
    let arn = place.key.to_string();
    let scope = format!("{day}/{}/kms/aws4_request", region_of(&arn));
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("host", place.endpoint.authority.clone()),
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
    for word in [day, region_of(&arn), "kms", "aws4_request"] {
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
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
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
fn exchange(
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
    Ok((status, Zeroizing::new(collected.to_bytes().to_vec())))
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

/// An answer that came, good or bad.
fn understood(endpoint: &Endpoint, status: u16, body: &[u8]) -> Result<Value, SealError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| senseless(endpoint))?;
    if status == 200 {
        return Ok(value);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("__type").rsplit('#').next().unwrap_or_default();
    let told = format!("{} answers {name} {}", endpoint.url, text("message"));
    Err(match name {
        "InvalidCiphertextException" | "IncorrectKeyException" => SealError::WrongSeal(told),
        _ => SealError::Unavailable(told),
    })
}

fn senseless(endpoint: &Endpoint) -> SealError {
    SealError::Unavailable(format!("{} answers as no key service does", endpoint.url))
}

#[cfg(test)]
mod tests {
    use strongroom_types::Timestamp;

    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(1_440_938_160)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn access(own: &[&str]) -> Access {
        Access {
            clock: Arc::new(Noon),
            entropy: Arc::new(crate::adapters::SystemEntropy),
            credentials: Err("none".to_owned()),
            certificates: None,
            own: own.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (url, good) in [
            ("https://kms.example.org", true),
            ("https://kms.example.org:9443/", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", true),
            ("http://kms.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("https://user@kms.example.org", false),
            ("https://kms.example.org/path", false),
            ("https://kms.example.org/?q", false),
            ("ftp://kms.example.org", false),
            ("kms.example.org", false),
            ("", false),
        ] {
            assert_eq!(Endpoint::parse(url).is_ok(), good, "{url}");
        }
        let aws = KeyPlace::parse(ARN, None).unwrap();
        assert_eq!(aws.endpoint.url, "https://kms.eu-central-1.amazonaws.com");
        assert_eq!(aws.endpoint.port, 443);
        assert!(KeyPlace::parse("alias/x", None).is_err());
    }

    #[test]
    fn a_server_does_not_unseal_itself() {
        let refused = |own: &[&str], address: &str| {
            access(own)
                .refuse_itself(&[address.parse().unwrap()])
                .is_err()
        };
        assert!(refused(&["127.0.0.1:9000"], "127.0.0.1:9000"));
        assert!(refused(&["0.0.0.0:9000"], "127.0.0.1:9000"));
        assert!(refused(&["[::]:9443"], "127.0.0.1:9443"));
        assert!(!refused(&["127.0.0.1:9000"], "127.0.0.1:9001"));
        assert!(
            !refused(&["0.0.0.0:9000"], "192.0.2.1:9000"),
            "another machine's"
        );
        assert!(!refused(&[], "127.0.0.1:9000"));
    }

    /// With the key of AWS's published example, and its day, region and words.
    #[test]
    fn the_signing_key_is_derived_as_published() {
        let start = hmac::Key::new(
            hmac::HMAC_SHA256,
            b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        );
        let mut key = start;
        for word in ["20120215", "us-east-1", "iam", "aws4_request"] {
            key = hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&key, word.as_bytes()).as_ref(),
            );
        }
        let signed = hmac::sign(&key, b"").as_ref().to_vec();
        assert_eq!(signed.len(), 32);
        let place = KeyPlace::parse(ARN, None).unwrap();
        let credentials = Credentials {
            id: "AKID".to_owned(),
            secret: Zeroizing::new("secret".to_owned()),
            token: Some(Zeroizing::new("token".to_owned())),
        };
        let request = super::signed(&place, "Decrypt", "{}", &credentials, &Noon);
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert!(header("authorization").contains(
            "Credential=AKID/20150830/eu-central-1/kms/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="
        ));
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

    #[test]
    fn the_context_names_ring_and_slot() {
        let context = strongroom_crypto::ring::slot_context(&[0xAB; 16], 3);
        let named = encryption_context(&context);
        assert_eq!(named["strongroom:ring"], "ab".repeat(16));
        assert_eq!(named["strongroom:slot"], "3");
    }

    #[test]
    fn errors_of_the_service_are_told_apart() {
        let endpoint = Endpoint::parse("https://kms.example.org").unwrap();
        let told = |name: &str| {
            let body = format!(r#"{{"__type":"{name}","message":"m"}}"#);
            understood(&endpoint, 400, body.as_bytes()).unwrap_err()
        };
        assert!(matches!(
            told("com.amazonaws.kms#InvalidCiphertextException"),
            SealError::WrongSeal(_)
        ));
        assert!(matches!(
            told("DisabledException"),
            SealError::Unavailable(_)
        ));
        assert!(matches!(
            told("AccessDeniedException"),
            SealError::Unavailable(_)
        ));
        assert!(matches!(
            understood(&endpoint, 200, b"<html>"),
            Err(SealError::Unavailable(_))
        ));
    }
}
