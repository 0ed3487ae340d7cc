//! Requests and their answers: TLS and HTTP/1.1.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use zeroize::{Zeroize as _, Zeroizing};

use super::endpoint::Endpoint;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// How long one request of a bulk transfer may take.
const TRANSFER_MAX: Duration = Duration::from_secs(300);
/// Largest answer of a bulk transfer, in bytes.
const TRANSFER_MAX_BYTES: usize = 64 << 20;

/// A connection that takes requests.
type Sender = http1::SendRequest<Full<Bytes>>;
/// Status, headers and body.
type Answer = (u16, http::HeaderMap, Vec<u8>);

/// Sends a request over a connection of its own, and waits for the answer.
pub(crate) fn exchange(
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
    let mut sender = connect(endpoint, certificates).await?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    let bytes = collected.to_bytes();
    let kept = Zeroizing::new(bytes.to_vec());
    // What the connection's own buffers still hold is not ours to wipe; this is, if nobody shares it.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
    Ok((status, kept))
}

/// Requests one after the other, over a connection that is kept.
pub(crate) struct Exchange {
    runtime: tokio::runtime::Runtime,
    certificates: Option<PathBuf>,
    kept: Option<Sender>,
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
    ) -> Result<Answer, String> {
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

async fn transfer(
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
    certificates: Option<&Path>,
    mut kept: Option<Sender>,
) -> Result<(Answer, Sender), String> {
    let still_open = match &mut kept {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    let mut sender = match kept.filter(|_| still_open) {
        Some(sender) => sender,
        None => connect(endpoint, certificates).await?,
    };
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = Limited::new(response.into_body(), TRANSFER_MAX_BYTES);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    Ok(((status, headers, collected.to_bytes().to_vec()), sender))
}

/// A new connection. The task that drives it ends with the runtime.
async fn connect(endpoint: &Endpoint, certificates: Option<&Path>) -> Result<Sender, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| told(&error))?;
    stream.set_nodelay(true).map_err(|error| told(&error))?;
    if !endpoint.secure {
        return handshake(stream).await;
    }
    let config = trust(certificates)?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| told(&error))?;
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(name, stream).await;
    handshake(stream.map_err(|error| told(&error))?).await
}

async fn handshake<S>(stream: S) -> Result<Sender, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let made = http1::handshake(TokioIo::new(stream)).await;
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
