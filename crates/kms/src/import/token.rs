//! Import tokens: what GetParametersForImport remembers, kept by the client.
//!
//! ```text
//! sealed( key id, wrapping algorithm, wrapping key spec, expiry, PKCS#8 of the wrapping key )
//! ```
//!
//! A sealed row of a table that no store has. So the server keeps nothing until material is
//! imported, and a token can be used again within its life, as AWS's can.

use minicbor::{Decode, Encode};
use strongroom_asymmetric::ImportWrappingKey;
use strongroom_crypto::RowSealer;
use strongroom_rows::Record;
use strongroom_types::kms::{KeyId, WrappingAlgorithm, WrappingKeySpec};
use strongroom_types::{Entropy, Timestamp};
use zeroize::{Zeroize as _, Zeroizing};

use crate::KmsError;

/// How long a token can be used, in milliseconds: 24 hours (KMS API Reference).
pub(super) const TOKEN_LIFE_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Not the number of any table of a store.
const TOKENS: u8 = 251;
const PLACE: &[u8] = b"import token";
/// Of the record, as [`Record`] has it.
const VERSION: u8 = 1;

/// What a token says.
pub(super) struct ImportToken {
    pub(super) key: KeyId,
    pub(super) algorithm: WrappingAlgorithm,
    pub(super) expires: Timestamp,
    pub(super) wrapping_key: ImportWrappingKey,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct TokenRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; 16],
    #[n(1)]
    algorithm: String,
    #[n(2)]
    spec: String,
    #[n(3)]
    expires_millis: u64,
    #[cbor(n(4), with = "minicbor::bytes")]
    pkcs8: Vec<u8>,
}

impl Record for TokenRecord {
    const KIND: u8 = 0x23;
}

impl ImportToken {
    /// The token's bytes: at most 6,144 (KMS API Reference), since the longest wrapping key, of
    /// RSA_4096, takes some 2,400.
    pub(super) fn seal(&self, sealer: &RowSealer, entropy: &dyn Entropy) -> Vec<u8> {
        let mut record = TokenRecord {
            key: *self.key.as_bytes(),
            algorithm: self.algorithm.name().to_owned(),
            spec: self.wrapping_key.spec().name().to_owned(),
            expires_millis: self.expires.as_millis(),
            pkcs8: self.wrapping_key.pkcs8().to_vec(),
        };
        // Room for all of it: the key must not stay behind where a vector grew.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(record.pkcs8.len() + 256));
        plaintext.extend_from_slice(&[TokenRecord::KIND, VERSION]);
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(&record, &mut *plaintext);
        record.pkcs8.zeroize();
        sealer.seal(TOKENS, PLACE, &plaintext, entropy)
    }

    /// Reads a token that this server made.
    ///
    /// # Errors
    ///
    /// `InvalidImportTokenException`.
    pub(super) fn open(bytes: &[u8], sealer: &RowSealer) -> Result<Self, KmsError> {
        let opened = sealer.open(TOKENS, PLACE, bytes).map(Zeroizing::new).ok();
        let record = opened.and_then(|plaintext| <TokenRecord as Record>::decode(&plaintext));
        let read = record.and_then(|mut record| {
            let pkcs8 = Zeroizing::new(std::mem::take(&mut record.pkcs8));
            let spec = WrappingKeySpec::parse(&record.spec)?;
            Some(Self {
                key: KeyId::from_bytes(record.key),
                algorithm: WrappingAlgorithm::parse(&record.algorithm)?,
                expires: Timestamp::from_millis(record.expires_millis),
                wrapping_key: ImportWrappingKey::from_pkcs8(spec, &pkcs8).ok()?,
            })
        });
        read.ok_or_else(invalid_token)
    }
}

/// The text of AWS is not known.
pub(super) fn invalid_token() -> KmsError {
    KmsError::InvalidImportToken("The import token is not valid for this KMS key.".to_owned())
}
