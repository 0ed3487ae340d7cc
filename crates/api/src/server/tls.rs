//! Certificates: made at the first start or given by the operator, reloaded without a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ServerConfig};
use strongroom_types::Timestamp;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Shutdown;
use crate::limits::{TLS_FILE_MAX_BYTES, TLS_FILES_POLL};

/// How long a certificate of our own making is valid (ours: ten years; nobody renews it).
const SELF_SIGNED_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds nothing usable.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key does not belong to the certificate, or its kind is not supported.
    #[error("certificate and key are not usable together")]
    Unusable(#[from] rustls::Error),
    /// A self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made")]
    Generate(#[from] rcgen::Error),
}

impl TlsFiles {
    /// Makes a self-signed certificate unless there is one: for `localhost`, `127.0.0.1`, `::1` and
    /// `hostname`. The key is readable by its owner only. True when one was made.
    ///
    /// The certificate is written last, so that an interrupted first start makes both again.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn ensure_self_signed(&self, hostname: &str, now: Timestamp) -> Result<bool, TlsError> {
        if self.certificate.exists() {
            return Ok(false);
        }
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if !hostname.is_empty() && hostname.chars().all(is_name) && hostname != "localhost" {
            names.push(hostname.to_owned());
        }
        let mut parameters = rcgen::CertificateParams::new(names)?;
        let seconds = i64::try_from(now.as_seconds()).unwrap_or_default();
        let start =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        // A client whose clock is a little behind must not see a certificate from the future.
        parameters.not_before = start - Duration::from_hours(1);
        parameters.not_after = start + SELF_SIGNED_VALIDITY;
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Strongroom self-signed");
        let key = rcgen::KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let key = Zeroizing::new(key.serialize_pem());
        write_file(&self.key, key.as_bytes(), 0o600)?;
        write_file(&self.certificate, certificate.pem().as_bytes(), 0o644)?;
        Ok(true)
    }

    /// Reads both files into a configuration: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, and the
    /// post-quantum hybrid X25519MLKEM768 before all other key exchanges.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certificate = read_file(&self.certificate)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| content(&self.certificate, "not a PEM certificate"))?;
        if chain.is_empty() {
            return Err(content(&self.certificate, "holds no certificate"));
        }
        let key = read_file(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| content(&self.key, "holds no private key"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn stamp(&self) -> Option<[Stamp; 2]> {
        Some([Stamp::of(&self.certificate)?, Stamp::of(&self.key)?])
    }
}

/// A cipher suite as AWS writes it, into records and access logs: by OpenSSL's names, `TLS_AES_...` of
/// TLS 1.3 and `ECDHE-RSA-...` of TLS 1.2 (S3 User Guide, "Amazon S3 server access log format").
pub(super) fn suite_name(suite: CipherSuite) -> Option<&'static str> {
    use CipherSuite as S;
    const NAMES: [(CipherSuite, &str); 9] = [
        (S::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
        (S::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
        (
            S::TLS13_CHACHA20_POLY1305_SHA256,
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
        (
            S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        (
            S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-RSA-AES128-GCM-SHA256",
        ),
        (
            S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-RSA-AES256-GCM-SHA384",
        ),
        (
            S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-RSA-CHACHA20-POLY1305",
        ),
    ];
    let known = NAMES.iter().find(|(of, _)| *of == suite);
    known.map(|(_, name)| *name).or_else(|| suite.as_str())
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len_bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            len_bytes: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The configuration that new connections get, kept up to date with its files.
pub struct TlsReloader {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    /// The files as they were when last looked at, good or bad.
    seen: Mutex<Option<[Stamp; 2]>>,
}

impl TlsReloader {
    /// Loads the files for the first time.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = files.stamp();
        let current = ArcSwap::new(files.load()?);
        Ok(Self {
            files,
            current,
            seen: Mutex::new(seen),
        })
    }

    /// What a new connection gets.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Loads the files again if they have changed, true when that gave a new configuration. Files
    /// that cannot be used are reported once and leave the old configuration in place.
    ///
    /// # Errors
    ///
    /// [`TlsError`] of files that changed and cannot be used.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let mut seen = self.seen.lock();
        let stamp = self.files.stamp();
        if *seen == stamp {
            return Ok(false);
        }
        *seen = stamp;
        self.current.store(self.files.load()?);
        Ok(true)
    }

    /// Watches the files until the server stops: every few seconds, and at `SIGHUP`.
    pub(super) async fn watch(self: Arc<Self>, mut shutdown: Shutdown) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut ticks = tokio::time::interval(TLS_FILES_POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let signalled = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = signalled => *self.seen.lock() = None,
                _ = ticks.tick() => {}
            }
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload_if_changed()).await {
                Ok(Ok(true)) => tracing::info!("certificate reloaded"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "certificate not reloaded, the old one stays in use");
                }
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }
}

fn content(path: &Path, reason: &'static str) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        reason,
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let read = || {
        let file = File::open(path)?;
        let len = file.metadata()?.len().min(TLS_FILE_MAX_BYTES);
        // Room for all of it, so that growing leaves no copy of a key behind.
        let capacity = usize::try_from(len).unwrap_or_default().saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(TLS_FILE_MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// Replaces a file as a whole, so that no reader and no crash sees a part of it.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let write = || {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => {
                File::open(directory)?.sync_all()
            }
            _ => Ok(()),
        }
    };
    write().map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn files(directory: &Path) -> TlsFiles {
        TlsFiles {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        }
    }

    #[test]
    fn the_first_start_makes_a_certificate_and_the_second_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        assert!(files.ensure_self_signed("host.example", NOW).unwrap());
        assert!(!files.ensure_self_signed("host.example", NOW).unwrap());
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        files.load().unwrap();
    }

    #[test]
    fn the_post_quantum_hybrid_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        files.ensure_self_signed("", NOW).unwrap();
        let config = files.load().unwrap();
        let first = config.crypto_provider().kx_groups[0].name();
        assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(config.alpn_protocols[0], b"h2");
    }

    #[test]
    fn every_suite_that_is_offered_has_the_name_that_aws_writes() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        files.ensure_self_signed("", NOW).unwrap();
        let config = files.load().unwrap();
        let suites = &config.crypto_provider().cipher_suites;
        assert!(suites.len() >= 9);
        for suite in suites {
            let name = suite_name(suite.suite()).unwrap();
            let is_new = suite.tls13().is_some();
            assert!(
                name.starts_with(if is_new { "TLS_" } else { "ECDHE-" }),
                "{name}"
            );
            assert!(is_new || !name.contains('_'), "{name}");
        }
    }

    #[test]
    fn changed_files_are_loaded_and_bad_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        files.ensure_self_signed("", NOW).unwrap();
        let reloader = TlsReloader::new(files.clone()).unwrap();
        let first = reloader.current();
        assert!(!reloader.reload_if_changed().unwrap());
        fs::remove_file(&files.certificate).unwrap();
        files.ensure_self_signed("", NOW).unwrap();
        assert!(reloader.reload_if_changed().unwrap());
        let second = reloader.current();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(&files.certificate, "nonsense").unwrap();
        assert!(reloader.reload_if_changed().is_err());
        assert!(!reloader.reload_if_changed().unwrap());
        assert!(Arc::ptr_eq(&second, &reloader.current()));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut one = files(directory.path());
        one.ensure_self_signed("", NOW).unwrap();
        let other = tempfile::tempdir().unwrap();
        let two = files(other.path());
        two.ensure_self_signed("", NOW).unwrap();
        one.key = two.key;
        assert!(matches!(one.load(), Err(TlsError::Unusable(_))));
    }
}
