//! What the tests of every protocol stand on: a clock that stands still, bytes that are the same in
//! every run, the root user's access key, and signatures made with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use strongroom_api::sigv4::{Credential, CredentialSource, SigningSecret, Verifier};
use strongroom_api::{EdgePorts, Recorder};
use strongroom_audit::{AuditLog, Home};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{Clock, Entropy, MetaStore};
use strongroom_rows::{Custody, SealedRows};
use strongroom_s3::S3Options;
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Principal, Region, Timestamp};

/// The access key of AWS's examples, the root user's here.
pub(crate) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24, as in AWS's examples.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_369_353_600);

pub(crate) fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

/// It is always `NOW`.
pub(crate) struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Distinct bytes, the same in every run.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let hash = digest::digest(&digest::SHA256, &number);
            chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
        }
    }
}

/// Knows the root user's access key, and no other.
struct RootKey(Arc<Credential>);

impl RootKey {
    fn new() -> Self {
        Self(Arc::new(Credential {
            access_key_id: AccessKeyId::parse(KEY_ID).unwrap(),
            secret: SigningSecret::new(SECRET),
            principal: Principal::Root { account: account() },
            canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
            session_token: None,
        }))
    }
}

impl CredentialSource for RootKey {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (id.as_str() == KEY_ID).then(|| self.0.clone())
    }
}

/// What every edge stands on, where only the root user signs in.
pub(crate) fn edge_ports(region: &Region, entropy: Arc<dyn Entropy>, log: AuditLog) -> EdgePorts {
    EdgePorts {
        verifier: Verifier::new(region.clone(), Arc::new(Fixed), Arc::new(RootKey::new())),
        clock: Arc::new(Fixed),
        entropy,
        recorder: Arc::new(Recorder::new(log)),
    }
}

/// The rows of a store under a ring of their own.
pub(crate) fn rows_of(meta: Arc<dyn MetaStore>, entropy: &Arc<dyn Entropy>) -> SealedRows {
    let (ring, _) = Keyring::<Unsealed>::create(NOW, &**entropy);
    SealedRows {
        meta,
        custody: Arc::new(Custody::new(Arc::new(ring))),
        entropy: entropy.clone(),
    }
}

/// The audit log in those rows.
pub(crate) fn log_in(rows: &SealedRows, clock: Arc<dyn Clock>, region: &Region) -> AuditLog {
    let home = Home {
        account: account(),
        region: region.clone(),
    };
    AuditLog::new(rows.clone(), clock, home)
}

/// Four KiB are inline, and nothing else is special.
pub(crate) fn s3_options(region: &Region) -> S3Options {
    S3Options {
        region: region.clone(),
        block_sse_c_on_new_buckets: false,
        danger_keys_over_plain_http: false,
        inline_max_bytes: 4096,
        bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
    }
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// The signature of a text under the key that the secret gives for a scope
/// (`HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")`; AWS Signature
/// Version 4).
pub(crate) fn signature_of(secret: &str, scope: &str, text: &str) -> String {
    let mac = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let secret = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(secret, |key, part| mac(&key, part));
    hex::encode(mac(&key, text))
}
