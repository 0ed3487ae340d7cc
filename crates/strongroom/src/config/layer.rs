//! One layer of settings: flags, environment or file, with what it does not say left open.

use std::path::PathBuf;

use clap::Args;
use strongroom_api::Cidr;
use strongroom_types::Region;

use super::value::{
    ByteSize, DataEventLevel, DigestEncryption, IssuerKeysFile, Listen, LogFormat, LogLevel,
};
use crate::failure::{Exit, Failure};

/// Settings that one layer names.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Layer {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address for plain HTTP, or `off` [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,
    /// Address for HTTPS, or `off` [default: 127.0.0.1:9443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen_tls: Option<Listen>,
    /// TOML file with these same names, without the dashes in front
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Key file that opens the key ring [default: the one that the first start made]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// File descriptor that holds a passphrase, shares (one a line) or the text of a key file
    #[arg(long, value_name = "N")]
    pub(crate) unseal_fd: Option<u32>,
    /// Shared credentials file for seals in a key service [default: AWS_ACCESS_KEY_ID and so on, or
    /// AWS_SHARED_CREDENTIALS_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) kms_seal_credentials: Option<PathBuf>,
    /// Certificates that seals in a key service trust, PEM [default: AWS_CA_BUNDLE, or the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) kms_seal_ca: Option<PathBuf>,
    /// The PKCS#11 library of the HSM that holds a seal
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// File with the PIN of that HSM's token, readable by this user only
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    /// The TPM 2.0 that holds a seal: a device, or a software TPM's socket [default: /dev/tpmrm0]
    #[arg(long, value_name = "FILE")]
    pub(crate) tpm_device: Option<PathBuf>,
    /// Start with a key ring older than the newest that the store has seen: seals that were removed
    /// are back
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) danger_accept_older_ring: Option<bool>,
    /// Your own certificate chain, PEM; needs --tls-key
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The region that this server is [default: us-east-1]
    #[arg(long, value_parser = parse_region)]
    pub(crate) region: Option<Region>,
    /// Host name for BUCKET.NAME addressing; may be repeated [default: localhost, s3.localhost and
    /// AWS's names]
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<Vec<String>>,
    /// Serve plain HTTP beyond loopback: anyone on the way reads bodies and replays requests
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) danger_plain_http: Option<bool>,
    /// Take SSE-C keys over plain HTTP: only behind a proxy that ends TLS on a trusted network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) danger_keys_over_plain_http: Option<bool>,
    /// Destroy keys past their date at once, however long this server did not run: if the clock is
    /// wrong, keys are lost for good
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) danger_trust_clock: Option<bool>,
    /// New buckets refuse SSE-C, as AWS's do since April 2026
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) block_sse_c_on_new_buckets: Option<bool>,
    /// Write the log here instead of to standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Free disk space below which writes are refused [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) free_space_floor: Option<ByteSize>,
    /// How long requests may run on after the first signal to stop [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_seconds: Option<u64>,
    /// How long an S3 Bucket Key is used, up to 3600; 0 asks the key service for every object
    /// [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = parse_bucket_key_ttl)]
    pub(crate) bucket_key_ttl: Option<u64>,
    /// How long lines of S3's access logs are collected before they are delivered, 1 to 3600
    /// [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = parse_delivery_interval)]
    pub(crate) access_log_interval: Option<u64>,
    /// Calls on objects that are recorded beside what trails select: denied, write or all
    /// [default: denied]
    #[arg(long, value_name = "WHICH")]
    pub(crate) audit_data_events: Option<DataEventLevel>,
    /// How long trails collect events before they deliver a log file, 1 to 3600 [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = parse_delivery_interval)]
    pub(crate) trail_delivery_interval: Option<u64>,
    /// What encrypts the digest files of trails that have a key and are made or updated from now on:
    /// sse-s3, or trail-key [default: sse-s3]
    #[arg(long, value_name = "WHICH")]
    pub(crate) trail_digest_encryption: Option<DigestEncryption>,
    /// Proxy, or range of them, whose X-Forwarded-For and X-Forwarded-Proto are believed; may be
    /// repeated [default: nobody's]
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Option<Vec<Cidr>>,
    /// Keys of an OpenID Connect issuer, as a JWKS file: nothing is fetched from that issuer; may be
    /// repeated
    #[arg(long, value_name = "ISSUER=FILE")]
    pub(crate) oidc_jwks: Option<Vec<IssuerKeysFile>>,
    /// Certificates that issuers' servers are trusted by, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) oidc_ca: Option<PathBuf>,
    /// Fetch keys of issuers also from private and loopback addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) oidc_allow_private: Option<bool>,
    /// Rotate the root key when its newest version is so many days old; 0 is never [default: 0]
    #[arg(long, value_name = "DAYS")]
    pub(crate) root_key_rotation_days: Option<u32>,
    /// Look at no more than so many wrapped keys a second after a rotation [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) root_key_rewrap_rate: Option<u32>,
}

/// The settings' names, as in the configuration file.
const NAMES: [&str; 36] = [
    "data",
    "listen",
    "listen-tls",
    "config",
    "key-file",
    "unseal-fd",
    "kms-seal-credentials",
    "kms-seal-ca",
    "pkcs11-module",
    "pkcs11-pin-file",
    "tpm-device",
    "danger-accept-older-ring",
    "tls-cert",
    "tls-key",
    "region",
    "domain",
    "danger-plain-http",
    "danger-keys-over-plain-http",
    "danger-trust-clock",
    "block-sse-c-on-new-buckets",
    "log",
    "log-level",
    "log-format",
    "free-space-floor",
    "grace-seconds",
    "bucket-key-ttl",
    "access-log-interval",
    "audit-data-events",
    "trail-delivery-interval",
    "trail-digest-encryption",
    "trusted-proxy",
    "oidc-jwks",
    "oidc-ca",
    "oidc-allow-private",
    "root-key-rotation-days",
    "root-key-rewrap-rate",
];

impl Layer {
    /// What this layer says, and where it is silent, what `lower` says.
    #[must_use]
    pub(crate) fn over(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            listen: self.listen.or(lower.listen),
            listen_tls: self.listen_tls.or(lower.listen_tls),
            config: self.config.or(lower.config),
            key_file: self.key_file.or(lower.key_file),
            unseal_fd: self.unseal_fd.or(lower.unseal_fd),
            kms_seal_credentials: self.kms_seal_credentials.or(lower.kms_seal_credentials),
            kms_seal_ca: self.kms_seal_ca.or(lower.kms_seal_ca),
            pkcs11_module: self.pkcs11_module.or(lower.pkcs11_module),
            pkcs11_pin_file: self.pkcs11_pin_file.or(lower.pkcs11_pin_file),
            tpm_device: self.tpm_device.or(lower.tpm_device),
            danger_accept_older_ring: self
                .danger_accept_older_ring
                .or(lower.danger_accept_older_ring),
            tls_cert: self.tls_cert.or(lower.tls_cert),
            tls_key: self.tls_key.or(lower.tls_key),
            region: self.region.or(lower.region),
            domain: self.domain.or(lower.domain),
            danger_plain_http: self.danger_plain_http.or(lower.danger_plain_http),
            danger_keys_over_plain_http: self
                .danger_keys_over_plain_http
                .or(lower.danger_keys_over_plain_http),
            danger_trust_clock: self.danger_trust_clock.or(lower.danger_trust_clock),
            block_sse_c_on_new_buckets: self
                .block_sse_c_on_new_buckets
                .or(lower.block_sse_c_on_new_buckets),
            log: self.log.or(lower.log),
            log_level: self.log_level.or(lower.log_level),
            log_format: self.log_format.or(lower.log_format),
            free_space_floor: self.free_space_floor.or(lower.free_space_floor),
            grace_seconds: self.grace_seconds.or(lower.grace_seconds),
            bucket_key_ttl: self.bucket_key_ttl.or(lower.bucket_key_ttl),
            access_log_interval: self.access_log_interval.or(lower.access_log_interval),
            audit_data_events: self.audit_data_events.or(lower.audit_data_events),
            trail_delivery_interval: self
                .trail_delivery_interval
                .or(lower.trail_delivery_interval),
            trail_digest_encryption: self
                .trail_digest_encryption
                .or(lower.trail_digest_encryption),
            trusted_proxy: self.trusted_proxy.or(lower.trusted_proxy),
            oidc_jwks: self.oidc_jwks.or(lower.oidc_jwks),
            oidc_ca: self.oidc_ca.or(lower.oidc_ca),
            oidc_allow_private: self.oidc_allow_private.or(lower.oidc_allow_private),
            root_key_rotation_days: self.root_key_rotation_days.or(lower.root_key_rotation_days),
            root_key_rewrap_rate: self.root_key_rewrap_rate.or(lower.root_key_rewrap_rate),
        }
    }

    /// The layer of `STRONGROOM_*` variables.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] for a value that does not parse.
    pub(crate) fn from_environment(
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut layer = Self::default();
        for name in NAMES {
            let variable = format!("STRONGROOM_{}", name.replace('-', "_").to_ascii_uppercase());
            if let Some(text) = environment(&variable) {
                layer
                    .set(name, &text)
                    .map_err(|why| wrong_value(&variable, &text, &why))?;
            }
        }
        Ok(layer)
    }

    /// The layer of a configuration file.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] for bad TOML, an unknown name (with the nearest known one), a bad value.
    pub(crate) fn from_toml(text: &str, source: &str) -> Result<Self, Failure> {
        let table: toml::Table = text.parse().map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("{source} is not TOML: {error}"),
                "correct the line",
            )
        })?;
        let mut layer = Self::default();
        for (name, value) in &table {
            if name == "config" || !NAMES.contains(&name.as_str()) {
                return Err(unknown_name(name, source));
            }
            let text = scalar(value).ok_or_else(|| {
                wrong_value(
                    &format!("{name} in {source}"),
                    &value.to_string(),
                    "a text, number or true/false is expected",
                )
            })?;
            layer
                .set(name, &text)
                .map_err(|why| wrong_value(&format!("{name} in {source}"), &text, &why))?;
        }
        Ok(layer)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "data" => self.data = Some(text.into()),
            "listen" => self.listen = Some(text.parse()?),
            "listen-tls" => self.listen_tls = Some(text.parse()?),
            "config" => self.config = Some(text.into()),
            "key-file" => self.key_file = Some(text.into()),
            "unseal-fd" => {
                self.unseal_fd = Some(text.parse().map_err(|_| "a number is expected")?);
            }
            "kms-seal-credentials" => self.kms_seal_credentials = Some(text.into()),
            "kms-seal-ca" => self.kms_seal_ca = Some(text.into()),
            "pkcs11-module" => self.pkcs11_module = Some(text.into()),
            "pkcs11-pin-file" => self.pkcs11_pin_file = Some(text.into()),
            "tpm-device" => self.tpm_device = Some(text.into()),
            "danger-accept-older-ring" => self.danger_accept_older_ring = Some(parse_bool(text)?),
            "tls-cert" => self.tls_cert = Some(text.into()),
            "tls-key" => self.tls_key = Some(text.into()),
            "region" => self.region = Some(parse_region(text)?),
            "domain" => {
                self.domain = Some(text.split(',').map(|name| name.trim().to_owned()).collect());
            }
            "danger-plain-http" => self.danger_plain_http = Some(parse_bool(text)?),
            "danger-keys-over-plain-http" => {
                self.danger_keys_over_plain_http = Some(parse_bool(text)?);
            }
            "danger-trust-clock" => self.danger_trust_clock = Some(parse_bool(text)?),
            "block-sse-c-on-new-buckets" => {
                self.block_sse_c_on_new_buckets = Some(parse_bool(text)?);
            }
            "log" => self.log = Some(text.into()),
            "log-level" => self.log_level = Some(text.parse()?),
            "log-format" => self.log_format = Some(text.parse()?),
            "free-space-floor" => self.free_space_floor = Some(text.parse()?),
            "grace-seconds" => {
                self.grace_seconds = Some(
                    text.parse()
                        .map_err(|_| "a whole number of seconds is expected")?,
                );
            }
            "bucket-key-ttl" => self.bucket_key_ttl = Some(parse_bucket_key_ttl(text)?),
            "access-log-interval" => {
                self.access_log_interval = Some(parse_delivery_interval(text)?);
            }
            "audit-data-events" => self.audit_data_events = Some(text.parse()?),
            "trail-delivery-interval" => {
                self.trail_delivery_interval = Some(parse_delivery_interval(text)?);
            }
            "trail-digest-encryption" => self.trail_digest_encryption = Some(text.parse()?),
            "trusted-proxy" => self.trusted_proxy = Some(parse_list(text)?),
            "oidc-jwks" => self.oidc_jwks = Some(parse_list(text)?),
            "oidc-ca" => self.oidc_ca = Some(text.into()),
            "oidc-allow-private" => self.oidc_allow_private = Some(parse_bool(text)?),
            "root-key-rotation-days" => self.root_key_rotation_days = Some(parse_count(text)?),
            "root-key-rewrap-rate" => {
                self.root_key_rewrap_rate = Some(parse_count(text)?).filter(|rate| *rate > 0);
            }
            other => return Err(format!("{other} is not a setting")),
        }
        Ok(())
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn parse_region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|error| error.to_string())
}

/// Longest life of an S3 Bucket Key, in seconds: who lost a permission is found out at once, but key
/// material stays in memory that long.
const BUCKET_KEY_TTL_MAX_SECONDS: u64 = 3600;

fn parse_bucket_key_ttl(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds @ 0..=BUCKET_KEY_TTL_MAX_SECONDS) => Ok(seconds),
        Ok(_) | Err(_) => Err("a whole number of seconds from 0 to 3600 is expected".to_owned()),
    }
}

fn parse_delivery_interval(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(seconds),
        Ok(_) | Err(_) => Err("a whole number of seconds from 1 to 3600 is expected".to_owned()),
    }
}

fn parse_list<T: std::str::FromStr<Err = String>>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|it| it.trim().parse()).collect()
}

fn parse_count(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "a whole number is expected".to_owned())
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
    }
}

fn wrong_value(place: &str, text: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{place}: {text:?} is not usable: {why}"),
        "see strongroom serve --help",
    )
}

fn unknown_name(name: &str, source: &str) -> Failure {
    let nearest = NAMES
        .iter()
        .filter(|known| **known != "config")
        .min_by_key(|known| edit_distance(name, known));
    let remedy = match nearest {
        Some(known) if edit_distance(name, known) <= 1 + name.len() / 3 => {
            format!("did you mean {known}?")
        }
        _ => "see strongroom serve --help for the names".to_owned(),
    };
    Failure::new(
        Exit::Usage,
        format!("{source} sets {name:?}, which is not a setting"),
        remedy,
    )
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(x != y));
            left = replaced
                .min(left.saturating_add(1))
                .min(above.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_in_every_layer() {
        let known = |name: &str| match name {
            "region" => "eu-central-1",
            "danger-plain-http"
            | "danger-keys-over-plain-http"
            | "danger-trust-clock"
            | "oidc-allow-private"
            | "danger-accept-older-ring"
            | "block-sse-c-on-new-buckets" => "true",
            "trusted-proxy" => "10.0.0.0/8,192.0.2.1",
            "oidc-jwks" => "https://issuer.example=keys.json",
            "unseal-fd"
            | "grace-seconds"
            | "bucket-key-ttl"
            | "trail-delivery-interval"
            | "access-log-interval"
            | "root-key-rotation-days"
            | "root-key-rewrap-rate" => "5",
            "listen" | "listen-tls" => "127.0.0.1:1",
            "log-level" => "warn",
            "audit-data-events" => "write",
            "trail-digest-encryption" => "trail-key",
            "log-format" => "json",
            "free-space-floor" => "1MiB",
            _ => "x",
        };
        let mut layer = Layer::default();
        for name in NAMES {
            layer.set(name, known(name)).unwrap();
        }
        let merged = Layer::default().over(layer);
        let shown = format!("{merged:?}");
        assert!(
            !shown.contains("None"),
            "a setting is lost on the way: {shown}"
        );
        assert!(
            layer_flags()
                .iter()
                .all(|flag| NAMES.contains(&flag.as_str()))
        );
        assert_eq!(layer_flags().len(), NAMES.len());
    }

    fn layer_flags() -> Vec<String> {
        let command = Layer::augment_args(clap::Command::new("x"));
        command
            .get_arguments()
            .filter_map(|a| a.get_long())
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn unknown_names_are_refused_with_a_suggestion() {
        let failure = Layer::from_toml("lisen = \"127.0.0.1:9000\"", "x.toml").unwrap_err();
        assert_eq!(
            (failure.exit, failure.remedy.as_str()),
            (Exit::Usage, "did you mean listen?")
        );
        let failure = Layer::from_toml("zzzzzzzz = 1", "x.toml").unwrap_err();
        assert!(failure.remedy.contains("--help"));
        assert!(Layer::from_toml("config = \"y.toml\"", "x.toml").is_err());
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for bad in [
            "grace-seconds = 1.5",
            "grace-seconds = -1",
            "bucket-key-ttl = 3601",
            "bucket-key-ttl = -1",
            "trail-delivery-interval = 0",
            "trail-delivery-interval = 3601",
            "bucket-key-ttl = \"5m\"",
            "listen = \"nowhere\"",
            "danger-plain-http = \"maybe\"",
            "region = \"EU\"",
            "trusted-proxy = \"10/8\"",
            "oidc-jwks = \"keys.json\"",
            "[listen]",
            "listen = ",
        ] {
            assert_eq!(
                Layer::from_toml(bad, "x").unwrap_err().exit,
                Exit::Usage,
                "{bad}"
            );
        }
    }

    #[test]
    fn lists_are_arrays_or_commas() {
        let domains = Layer::from_toml("domain = [\"a.test\", \"b.test\"]", "x")
            .unwrap()
            .domain;
        assert_eq!(
            domains,
            Some(vec!["a.test".to_owned(), "b.test".to_owned()])
        );
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, distance) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("listen", "lisen", 1),
        ] {
            assert_eq!(edit_distance(a, b), distance);
        }
    }
}
