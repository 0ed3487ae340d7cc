//! By which certificates an issuer's server is known.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::failure::{Exit, Failure};

/// Where systems keep the certificate authorities that they trust.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The certificate authorities in `file`, or the system's; none if the system has none.
///
/// # Errors
///
/// [`Exit::Usage`] for a file without any.
pub(super) fn roots(file: Option<&Path>) -> Result<Arc<RootCertStore>, Failure> {
    let wrong = |why: &str, file: &Path| {
        Failure::new(
            Exit::Usage,
            format!("oidc-ca {}: {why}", file.display()),
            "name a PEM file with the certificates of authorities",
        )
    };
    let read = |file: &Path| {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file).map_err(|_| "it cannot be read")?;
        // A system's bundle may have some that are too old for the library.
        let (added, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        if added == 0 {
            return Err("it has no certificate");
        }
        Ok(Arc::new(roots))
    };
    if let Some(file) = file {
        return read(file).map_err(|why| wrong(why, file));
    }
    let systems = SYSTEM_FILES
        .iter()
        .find_map(|file| read(Path::new(file)).ok());
    Ok(systems.unwrap_or_else(|| Arc::new(RootCertStore::empty())))
}

/// TLS to a server that these authorities vouch for, or one whose certificate is in its chain and has
/// one of the thumbprints.
///
/// # Errors
///
/// The library's.
pub(super) fn client(
    roots: &Arc<RootCertStore>,
    thumbprints: &[String],
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(provider::default_provider());
    let usual = if roots.is_empty() {
        None
    } else {
        let builder =
            WebPkiServerVerifier::builder_with_provider(roots.clone(), Arc::clone(&provider));
        Some(
            builder
                .build()
                .map_err(|error| Error::General(error.to_string()))?,
        )
    };
    let verifier = Verifier {
        usual,
        thumbprints: thumbprints.to_vec(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The usual check; where it fails, the same check with the pinned authority alone.
#[derive(Debug)]
struct Verifier {
    usual: Option<Arc<WebPkiServerVerifier>>,
    /// SHA-1 of certificates, in lower case: AWS's, and collisions do not help to match one.
    thumbprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// What the chain's pinned authority vouches for; nothing if none is pinned.
    fn pinned(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<WebPkiServerVerifier>> {
        let is_pinned = |it: &&CertificateDer<'_>| {
            let print = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, it).as_ref());
            self.thumbprints.contains(&print)
        };
        let authority = chain.iter().find(is_pinned)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned()).ok()?;
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .ok()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |by: &WebPkiServerVerifier| {
            by.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let usual = match &self.usual {
            Some(usual) => verify(usual),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        usual.or_else(|error| match self.pinned(intermediates) {
            Some(pinned) => verify(&pinned),
            None => Err(error),
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
