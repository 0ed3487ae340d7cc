//! Settings: flag, then environment, then file, then default.
//!
//! Every layer fills the same [`Layer`] through the same parser, so that a name means the same
//! everywhere: `--free-space-floor 2GiB`, `STRONGROOM_FREE_SPACE_FLOOR=2GiB`,
//! `free-space-floor = "2GiB"`.

mod layer;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_api::Cidr;
use strongroom_s3::S3Options;
use strongroom_types::Region;

use crate::data_dir::DataDir;
use crate::failure::{Exit, Failure};
use crate::files;

pub(crate) use layer::Layer;
pub(crate) use value::{
    ByteSize, DataEventLevel, DigestEncryption, IssuerKeysFile, Listen, LogFormat, LogLevel,
};

/// What the program works with, every setting decided.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own that the operator sets by name"
)]
pub(crate) struct Settings {
    pub(crate) data: DataDir,
    pub(crate) listen: Listen,
    pub(crate) listen_tls: Listen,
    pub(crate) key_file: Option<PathBuf>,
    /// Where another program left what opens the ring.
    pub(crate) unseal_fd: Option<u32>,
    pub(crate) kms_seal_credentials: Option<PathBuf>,
    pub(crate) kms_seal_ca: Option<PathBuf>,
    pub(crate) pkcs11_module: Option<PathBuf>,
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    #[cfg_attr(
        not(feature = "tpm"),
        expect(dead_code, reason = "the setting is known in every build")
    )]
    pub(crate) tpm_device: Option<PathBuf>,
    pub(crate) danger_accept_older_ring: bool,
    pub(crate) tls_files: Option<TlsFiles>,
    /// `None` is the region of the store, and `us-east-1` for a new one.
    pub(crate) region: Option<Region>,
    /// Host names under which `bucket.DOMAIN` is understood; empty for the edge's own list.
    pub(crate) domains: Vec<String>,
    pub(crate) danger_plain_http: bool,
    pub(crate) danger_keys_over_plain_http: bool,
    pub(crate) danger_trust_clock: bool,
    pub(crate) block_sse_c_on_new_buckets: bool,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    pub(crate) free_space_floor: ByteSize,
    pub(crate) grace: Duration,
    /// After how many days the root key is rotated; zero is never by itself.
    pub(crate) root_key_rotation_days: u32,
    /// Wrapped keys that are looked at in a second after a rotation, at most.
    pub(crate) root_key_rewrap_rate: u32,
    /// How long an S3 Bucket Key is used; zero is not at all.
    pub(crate) bucket_key_ttl: Duration,
    /// How long lines of access logs are collected before they are delivered.
    pub(crate) access_log_interval: Duration,
    /// Data events that are recorded whatever trails want.
    pub(crate) audit_data_events: DataEventLevel,
    /// How long trails collect events before they deliver them.
    pub(crate) trail_delivery_interval: Duration,
    /// What encrypts the digest files of trails that have a key.
    pub(crate) trail_digest_encryption: DigestEncryption,
    /// Whose word on their clients' addresses is believed.
    pub(crate) trusted_proxies: Vec<Cidr>,
    /// Issuers whose keys are not fetched.
    pub(crate) oidc_jwks: Vec<IssuerKeysFile>,
    /// `None` is the system's.
    pub(crate) oidc_ca: Option<PathBuf>,
    pub(crate) oidc_allow_private: bool,
}

/// The operator's own certificate and key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Settings {
    /// Decides every setting from the flags, the environment (`environment(NAME)`), and the file
    /// that one of them names.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] that names the setting and where it came from.
    pub(crate) fn decide(
        flags: Layer,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let named = flags.over(Layer::from_environment(environment)?);
        let decided = match &named.config {
            Some(path) => {
                let file = read_config(path)?;
                named.over(file)
            }
            None => named,
        };
        Self::complete(decided)
    }

    fn complete(layer: Layer) -> Result<Self, Failure> {
        let tls_files = match (layer.tls_cert, layer.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(usage(
                    "tls-cert and tls-key belong together, and one of them is missing",
                    "name both files, or none to use the certificate that the server makes",
                ));
            }
        };
        let settings = Self {
            data: DataDir::new(layer.data.unwrap_or_else(|| "strongroom-data".into())),
            listen: layer.listen.unwrap_or(Listen::loopback(9000)),
            listen_tls: layer.listen_tls.unwrap_or(Listen::loopback(9443)),
            key_file: layer.key_file,
            unseal_fd: layer.unseal_fd,
            kms_seal_credentials: layer.kms_seal_credentials,
            kms_seal_ca: layer.kms_seal_ca,
            pkcs11_module: layer.pkcs11_module,
            pkcs11_pin_file: layer.pkcs11_pin_file,
            tpm_device: layer.tpm_device,
            danger_accept_older_ring: layer.danger_accept_older_ring.unwrap_or(false),
            tls_files,
            region: layer.region,
            domains: layer.domain.unwrap_or_default(),
            danger_plain_http: layer.danger_plain_http.unwrap_or(false),
            danger_keys_over_plain_http: layer.danger_keys_over_plain_http.unwrap_or(false),
            danger_trust_clock: layer.danger_trust_clock.unwrap_or(false),
            block_sse_c_on_new_buckets: layer.block_sse_c_on_new_buckets.unwrap_or(false),
            log: layer.log,
            log_level: layer.log_level.unwrap_or(LogLevel::Info),
            log_format: layer.log_format.unwrap_or(LogFormat::Text),
            free_space_floor: layer.free_space_floor.unwrap_or(ByteSize(1 << 30)),
            grace: Duration::from_secs(layer.grace_seconds.unwrap_or(30)),
            root_key_rotation_days: layer.root_key_rotation_days.unwrap_or(0),
            root_key_rewrap_rate: layer.root_key_rewrap_rate.unwrap_or(2000),
            bucket_key_ttl: layer
                .bucket_key_ttl
                .map_or(S3Options::BUCKET_KEY_TTL, Duration::from_secs),
            access_log_interval: Duration::from_secs(layer.access_log_interval.unwrap_or(300)),
            audit_data_events: layer.audit_data_events.unwrap_or(DataEventLevel::Denied),
            trail_delivery_interval: Duration::from_secs(
                layer.trail_delivery_interval.unwrap_or(300),
            ),
            trail_digest_encryption: layer
                .trail_digest_encryption
                .unwrap_or(DigestEncryption::SseS3),
            trusted_proxies: layer.trusted_proxy.unwrap_or_default(),
            oidc_jwks: layer.oidc_jwks.unwrap_or_default(),
            oidc_ca: layer.oidc_ca,
            oidc_allow_private: layer.oidc_allow_private.unwrap_or(false),
        };
        settings.refuse_exposed_http()?;
        Ok(settings)
    }

    /// Plain HTTP carries signatures that can be replayed for minutes and bodies that anyone reads.
    fn refuse_exposed_http(&self) -> Result<(), Failure> {
        match self.listen {
            Listen::At(address) if !address.ip().is_loopback() && !self.danger_plain_http => {
                Err(usage(
                    &format!("plain HTTP on {address} would be reachable from other machines"),
                    "serve others over TLS (--listen-tls), or accept the danger with --danger-plain-http",
                ))
            }
            Listen::At(_) | Listen::Off => Ok(()),
        }
    }
}

fn read_config(path: &Path) -> Result<Layer, Failure> {
    let shown = path.display();
    let bytes = files::read(path).map_err(|error| {
        usage(
            &format!("the configuration file {shown} cannot be read: {error}"),
            "check its name and its permissions",
        )
    })?;
    let text = String::from_utf8_lossy(&bytes);
    Layer::from_toml(&text, &shown.to_string())
}

fn usage(what: &str, remedy: &str) -> Failure {
    Failure::new(Exit::Usage, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn config_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strongroom.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn flag_wins_over_environment_over_file_over_default() {
        let (_dir, path) =
            config_file("grace-seconds = 1\nlog-level = \"warn\"\nregion = \"eu-west-1\"\n");
        let environment = |name: &str| match name {
            "STRONGROOM_GRACE_SECONDS" => Some("2".to_owned()),
            "STRONGROOM_LOG_LEVEL" => Some("debug".to_owned()),
            _ => None,
        };
        let flags = Layer {
            config: Some(path),
            grace_seconds: Some(3),
            ..Layer::default()
        };
        let settings = Settings::decide(flags, &environment).unwrap();
        assert_eq!(settings.grace, Duration::from_secs(3));
        assert_eq!(settings.log_level, LogLevel::Debug);
        assert_eq!(settings.region.unwrap().as_str(), "eu-west-1");
        assert_eq!(settings.free_space_floor, ByteSize(1 << 30));
    }

    #[test]
    fn bucket_keys_live_five_minutes_unless_told_otherwise() {
        let ttl = |bucket_key_ttl| {
            let flags = Layer {
                bucket_key_ttl,
                ..Layer::default()
            };
            Settings::decide(flags, &nothing).unwrap().bucket_key_ttl
        };
        assert_eq!(ttl(None), Duration::from_secs(300));
        assert_eq!(ttl(Some(0)), Duration::ZERO);
        assert_eq!(ttl(Some(3600)), Duration::from_secs(3600));
    }

    #[test]
    fn the_environment_may_name_the_file() {
        let (_dir, path) = config_file("listen = \"127.0.0.1:0\"\n");
        let name = path.display().to_string();
        let environment = |key: &str| (key == "STRONGROOM_CONFIG").then(|| name.clone());
        let settings = Settings::decide(Layer::default(), &environment).unwrap();
        assert_eq!(settings.listen, Listen::loopback(0));
    }

    #[test]
    fn plain_http_beyond_loopback_needs_the_danger_switch() {
        let listen = Some(Listen::At("0.0.0.0:9000".parse().unwrap()));
        let refused = Settings::decide(
            Layer {
                listen,
                ..Layer::default()
            },
            &nothing,
        )
        .unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.remedy.contains("--danger-plain-http"));
        let accepted = Layer {
            listen,
            danger_plain_http: Some(true),
            ..Layer::default()
        };
        assert!(Settings::decide(accepted, &nothing).is_ok());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let flags = Layer {
            tls_cert: Some("c.pem".into()),
            ..Layer::default()
        };
        assert_eq!(
            Settings::decide(flags, &nothing).unwrap_err().exit,
            Exit::Usage
        );
    }

    #[test]
    fn a_missing_configuration_file_is_an_error() {
        let flags = Layer {
            config: Some("/nonexistent/strongroom.toml".into()),
            ..Layer::default()
        };
        assert_eq!(
            Settings::decide(flags, &nothing).unwrap_err().exit,
            Exit::Usage
        );
    }
}
