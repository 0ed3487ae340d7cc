//! One issuer is asked for its keys (OpenID Connect Discovery, 4; RFC 7517).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use strongroom_iam::{IssuerKeysError, KeySet};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::addresses::is_public;
use super::trust;

/// How long all of it may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Longest document, in bytes.
const DOCUMENT_MAX_BYTES: usize = 256 << 10;
/// Where an issuer says where its keys are.
const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// Asks issuers.
pub(super) struct Fetcher {
    roots: Arc<RootCertStore>,
    allow_private: bool,
}

fn unreachable(why: impl ToString) -> IssuerKeysError {
    IssuerKeysError::Unreachable(why.to_string())
}

fn unusable(why: impl ToString) -> IssuerKeysError {
    IssuerKeysError::Unusable(why.to_string())
}

impl Fetcher {
    pub(super) fn new(roots: Arc<RootCertStore>, allow_private: bool) -> Self {
        Self {
            roots,
            allow_private,
        }
    }

    /// The keys of an issuer. Blocks, for [`PATIENCE`] at most: call it from a worker.
    ///
    /// # Errors
    ///
    /// [`IssuerKeysError`].
    pub(super) fn keys(
        &self,
        issuer: &str,
        thumbprints: &[String],
    ) -> Result<KeySet, IssuerKeysError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(unreachable)?;
        let tls = trust::client(&self.roots, thumbprints).map_err(unusable)?;
        runtime.block_on(async {
            let fetched = tokio::time::timeout(PATIENCE, self.discover(issuer, &tls)).await;
            fetched.map_err(|_| unreachable("no answer in time"))?
        })
    }

    async fn discover(
        &self,
        issuer: &str,
        tls: &Arc<ClientConfig>,
    ) -> Result<KeySet, IssuerKeysError> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let text = self.get(&format!("{base}{CONFIGURATION}"), tls).await?;
        let document: serde_json::Value =
            serde_json::from_slice(&text).map_err(|_| unusable("its configuration is no JSON"))?;
        let member = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
        // Or its keys would be another's (OpenID Connect Discovery, 4.3).
        if member("issuer") != Some(issuer) {
            return Err(unusable("its configuration is another issuer's"));
        }
        let keys =
            member("jwks_uri").ok_or_else(|| unusable("it does not say where its keys are"))?;
        KeySet::parse(&self.get(keys, tls).await?).map_err(unusable)
    }

    async fn get(&self, url: &str, tls: &Arc<ClientConfig>) -> Result<Bytes, IssuerKeysError> {
        let uri: Uri = url.parse().map_err(|_| unusable("a URL that is none"))?;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(unusable("a URL without https"));
        };
        if authority.as_str().contains('@') {
            return Err(unusable("a URL with a user"));
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
            .unwrap_or(host);
        let port = authority.port_u16().unwrap_or(443);
        let stream = self.connect(host, port).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(unusable)?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(name, stream).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(64 << 10)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        let path = uri.path_and_query().map_or("/", |it| it.as_str());
        let request = Request::get(path)
            .header(header::HOST, authority.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "Strongroom")
            .body(Empty::<Bytes>::new())
            .map_err(unusable)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(unreachable)?;
            // A redirect is no answer either: it would lead where nobody looked.
            if response.status() != http::StatusCode::OK {
                return Err(unreachable(format!("status {}", response.status())));
            }
            let body = Limited::new(response.into_body(), DOCUMENT_MAX_BYTES);
            let body = body.collect().await.map_err(unusable)?;
            Ok(body.to_bytes())
        };
        tokio::pin!(exchange);
        // The connection is driven by the same task, so that nothing of it is left behind.
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            outcome = &mut exchange => outcome,
            ended = &mut connection => match ended {
                // It may have ended behind the whole answer.
                Ok(()) => exchange.await,
                Err(error) => Err(unreachable(error)),
            },
        }
    }

    /// Connects to the very address that was looked at: a second look-up might find another.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, IssuerKeysError> {
        let found = tokio::net::lookup_host((host, port))
            .await
            .map_err(unreachable)?;
        let found: Vec<SocketAddr> = found.take(8).collect();
        let usable = |address: &&SocketAddr| self.allow_private || is_public(address.ip());
        let mut last = if found.is_empty() {
            unreachable("its name has no address")
        } else {
            unusable("its address is private; see --oidc-allow-private")
        };
        for address in found.iter().filter(usable) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }
}
