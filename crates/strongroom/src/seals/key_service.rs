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

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Clock, Entropy, Seal, SealError, SealKind};
use strongroom_types::kms::KeyArn;
use zeroize::{Zeroize as _, Zeroizing};

use super::signed_post::{Credentials, Endpoint, exchange, signed};
use crate::config::Settings;
use crate::unseal::Environment;

/// Pauses before the second and third try of a request that got no answer.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Where systems keep the certificates that they trust.
pub(crate) const SYSTEM_CERTIFICATES: [&str; 3] = [
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
        let addresses = place.endpoint.addresses().map_err(SealError::Unavailable)?;
        self.refuse_itself(&addresses)?;
        let body = Zeroizing::new(input.to_string());
        let arn = place.key.to_string();
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = signed(
                &place.endpoint,
                region_of(&arn),
                operation,
                &body,
                credentials,
                &*self.clock,
            );
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

impl KeyServiceSeal {
    /// For slots that are there.
    pub(crate) fn of_slots(access: Access) -> Self {
        Self {
            access,
            place: None,
        }
    }

    /// For the key that a slot names, to protect it anew; `None` if the slot is damaged.
    pub(crate) fn of_slot(body: &[u8], access: Access) -> Option<Self> {
        let (place, _, _) = parse(body)?;
        Some(Self::at(place, access))
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
        let mut input = json!({
            "KeyId": place.key.to_string(),
            "Plaintext": *plaintext,
            "EncryptionContext": encryption_context(slot_context),
        });
        let answer = self.access.call(place, "Encrypt", &input);
        // The value's own copy of the slot key.
        if let Some(Value::String(text)) = input.get_mut("Plaintext") {
            text.zeroize();
        }
        let answer = answer?;
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
        let bytes = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| senseless(&place.endpoint))?;
        let slot_key = SlotKey::parse(&bytes).map_err(|_| senseless(&place.endpoint))?;
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
    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn access(own: &[&str]) -> Access {
        Access {
            clock: Arc::new(crate::adapters::SystemClock::new()),
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
