//! Key pairs that sign digests. Public halves are kept for ever: a digest of ten years ago must verify.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use strongroom_asymmetric::PrivateKey;
use strongroom_ports::{RowVersion, Table, Transaction};
use strongroom_rows::{SealedRows, until_undisturbed};
use strongroom_types::Timestamp;
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};
use zeroize::{Zeroize as _, Zeroizing};

use crate::TrailError;
use crate::limits::SIGNING_KEY_MILLIS;

/// How long a key is shown as valid after it was to be replaced: digests of an outage are signed late.
const GRACE_MILLIS: u64 = 7 * 24 * 3_600_000;
/// Key pairs read at a time; there is one for each year.
const PAGE_ROWS: usize = 1000;

/// A public key, as ListPublicKeys answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `Value`: DER, PKCS#1 `RSAPublicKey`. `validate-logs` reads no other form.
    pub der: Vec<u8>,
    /// `Fingerprint`.
    pub fingerprint: String,
    /// `ValidityStartTime`.
    pub from: Timestamp,
    /// `ValidityEndTime`.
    pub until: Timestamp,
}

/// Who signs digests.
///
/// Contract: the same key and text give the same signature (PKCS#1 v1.5), so that a digest that is put
/// again after a crash is the same. A key whose fingerprint was given out signs at least until the
/// next but one is made.
pub trait DigestSigner: Send + Sync {
    /// The fingerprint of the key that signs a digest of that end. Makes a key, if it must.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    fn key_for(&self, end: Timestamp) -> Result<String, TrailError>;

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    fn sign(&self, fingerprint: &str, text: &[u8]) -> Result<Vec<u8>, TrailError>;

    /// The public keys that were valid at any time between the two.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    fn public_keys(&self, from: Timestamp, until: Timestamp) -> Result<Vec<PublicKey>, TrailError>;
}

/// Signing keys in sealed rows: RSA of 2048 bits, a new one each year. They sign nothing else, and
/// there is no way to get a private half out.
pub struct SigningKeys {
    rows: SealedRows,
    /// The one used last: parsing is slow.
    parsed: Mutex<Option<(String, Arc<PrivateKey>)>>,
}

/// A key pair.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct SigningKeyRow {
    #[n(0)]
    from_millis: u64,
    /// When it was replaced.
    #[n(1)]
    until_millis: Option<u64>,
    #[cbor(n(2), with = "minicbor::bytes")]
    public_der: Vec<u8>,
    /// PKCS#8; gone when the next but one was made.
    #[n(3)]
    private: Option<PrivateHalf>,
}

#[derive(Clone, Encode, Decode)]
#[cbor(transparent)]
struct PrivateHalf(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);

impl std::fmt::Debug for PrivateHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateHalf(REDACTED)")
    }
}

impl Drop for PrivateHalf {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SigningKeys {
    /// The keys in `rows`.
    pub fn new(rows: SealedRows) -> Self {
        Self {
            rows,
            parsed: Mutex::default(),
        }
    }

    /// All keys, by fingerprint.
    fn all(&self) -> Result<Vec<(String, RowVersion, SigningKeyRow)>, TrailError> {
        let range = (bytes::Bytes::new(), None);
        let (rows, _) = self
            .rows
            .scan(Table::AUDIT_SIGNING_KEYS, range, PAGE_ROWS)?;
        let keys = rows
            .into_iter()
            .map(|(row, key)| (hex::encode(&row.key), row.version, key));
        Ok(keys.collect())
    }

    /// Makes the key that is valid from then on. Retired keys but the last lose their private half.
    fn make(&self, from: Timestamp) -> Result<String, TrailError> {
        let key = PrivateKey::generate(KeySpec::Rsa2048)?;
        let damaged = TrailError::Damaged(Table::AUDIT_SIGNING_KEYS.0);
        let public_der = pkcs1_of_spki(key.public_key_der()).ok_or(damaged)?.to_vec();
        let id = md5_of(&public_der);
        let mut transaction = Transaction::new();
        let table = Table::AUDIT_SIGNING_KEYS;
        let all = self.all()?;
        if all.is_empty() {
            transaction = transaction.expect_range_empty(table, bytes::Bytes::new(), None);
        }
        for (fingerprint, version, mut old) in all {
            let row = hex::decode(&fingerprint).unwrap_or_default();
            // Read by whoever makes another at the same time: one of the two begins again.
            transaction = transaction.expect(table, row.clone(), Some(version));
            if old.until_millis.is_some() {
                old.private = None;
            } else {
                old.until_millis = Some(from.as_millis());
            }
            let value = self.rows.seal(table, &row, &old);
            transaction = transaction.put(table, row, value);
        }
        let made = SigningKeyRow {
            from_millis: from.as_millis(),
            until_millis: None,
            public_der,
            private: Some(PrivateHalf(key.pkcs8().to_vec())),
        };
        let value = self.rows.seal(table, &id, &made);
        let transaction = transaction.put(table, id.to_vec(), value);
        self.rows.meta.commit(transaction).wait()?;
        Ok(hex::encode(id))
    }

    fn private(&self, fingerprint: &str) -> Result<Arc<PrivateKey>, TrailError> {
        if let Some((known, key)) = &*self.parsed.lock()
            && known == fingerprint
        {
            return Ok(Arc::clone(key));
        }
        let damaged = || TrailError::Damaged(Table::AUDIT_SIGNING_KEYS.0);
        let row = hex::decode(fingerprint).map_err(|_| damaged())?;
        let read = self
            .rows
            .read::<SigningKeyRow>(Table::AUDIT_SIGNING_KEYS, &row)?;
        let private = read.and_then(|(key, _)| key.private).ok_or_else(damaged)?;
        let pkcs8 = Zeroizing::new(private.0.clone());
        let key = Arc::new(PrivateKey::from_pkcs8(KeySpec::Rsa2048, &pkcs8)?);
        *self.parsed.lock() = Some((fingerprint.to_owned(), Arc::clone(&key)));
        Ok(key)
    }
}

impl DigestSigner for SigningKeys {
    fn key_for(&self, end: Timestamp) -> Result<String, TrailError> {
        until_undisturbed(|| {
            let end_millis = end.as_millis();
            let mut usable: Vec<_> = self
                .all()?
                .into_iter()
                .filter(|(_, _, key)| key.private.is_some())
                .collect();
            usable.sort_by_key(|(_, _, key)| key.from_millis);
            let of_then = usable
                .iter()
                .rev()
                .find(|(_, _, key)| key.from_millis <= end_millis);
            // A clock that was set back may lead before the first.
            match of_then.or(usable.first()) {
                Some((fingerprint, _, key))
                    if key.until_millis.is_some()
                        || end_millis < key.from_millis.saturating_add(SIGNING_KEY_MILLIS) =>
                {
                    Ok(fingerprint.clone())
                }
                _ => self.make(end),
            }
        })
    }

    fn sign(&self, fingerprint: &str, text: &[u8]) -> Result<Vec<u8>, TrailError> {
        let key = self.private(fingerprint)?;
        let algorithm = SigningAlgorithm::RsassaPkcs1V15Sha256;
        Ok(key.sign(algorithm, MessageType::Raw, text)?)
    }

    fn public_keys(&self, from: Timestamp, until: Timestamp) -> Result<Vec<PublicKey>, TrailError> {
        let mut keys: Vec<PublicKey> = self
            .all()?
            .into_iter()
            .map(|(fingerprint, _, key)| {
                let planned = key.from_millis.saturating_add(SIGNING_KEY_MILLIS);
                let end = key.until_millis.unwrap_or(planned).max(key.from_millis);
                // A first digest may end a moment after what it covers has begun.
                let start = key
                    .from_millis
                    .saturating_sub(crate::limits::DIGEST_INTERVAL_MILLIS);
                PublicKey {
                    der: key.public_der,
                    fingerprint,
                    from: Timestamp::from_millis(start),
                    until: Timestamp::from_millis(end.saturating_add(GRACE_MILLIS)),
                }
            })
            .filter(|key| key.from <= until && key.until >= from)
            .collect();
        keys.sort_by_key(|key| key.from);
        Ok(keys)
    }
}

/// A public key's name: lower-case hexadecimal MD5 of its PKCS#1 DER, as the examples of the User Guide
/// show. A name only, and no proof of anything.
pub fn fingerprint(pkcs1_der: &[u8]) -> String {
    hex::encode(md5_of(pkcs1_der))
}

fn md5_of(der: &[u8]) -> [u8; 16] {
    Md5::digest(der).into()
}

/// The PKCS#1 `RSAPublicKey` in a `SubjectPublicKeyInfo` (RFC 5280, 4.1):
/// `SEQUENCE { AlgorithmIdentifier, BIT STRING { 0 unused bits, RSAPublicKey } }`.
pub fn pkcs1_of_spki(spki: &[u8]) -> Option<&[u8]> {
    let (body, rest) = element(0x30, spki)?;
    let (_, behind) = element(0x30, body)?;
    let (bits, end) = element(0x03, behind)?;
    let (unused, key) = bits.split_first()?;
    (rest.is_empty() && end.is_empty() && *unused == 0).then_some(key)
}

/// The body of the DER element with that tag at the start of `bytes`, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([found, length], rest) = bytes.split_first_chunk::<2>()?;
    if *found != tag {
        return None;
    }
    let (length, body) = match length {
        0..=0x7F => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (length, body) = rest.split_at_checked(usize::from(length & 0x7F))?;
            let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
            (length.iter().fold(0, add), body)
        }
        _ => return None,
    };
    body.split_at_checked(length)
}
