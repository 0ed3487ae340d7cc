//! Grant tokens: a grant's name that cannot be made up, for the time until all nodes know the grant.
//!
//! A token tells nobody anything and gives no right of its own: the grant must exist when the token
//! is presented. It is a sealed row of a table that no store has, so that only this server makes it.

use minicbor::{Decode, Encode};
use strongroom_crypto::RowSealer;
use strongroom_rows::Record;
use strongroom_types::kms::{KeyArn, KeyId};
use strongroom_types::{AccountId, Entropy, Region, Timestamp};

use super::record::GrantId;
use crate::KmsError;

/// How long a token can be presented with a use of the key, in milliseconds. Our own figure; AWS says
/// that grants are everywhere within five minutes at most.
pub(super) const TOKEN_LIFE_MILLIS: u64 = 10 * 60 * 1000;
/// Longest token, in characters (KMS API Reference).
const TOKEN_MAX_CHARS: usize = 8192;
/// Not the number of any table of a store.
const TOKENS: u8 = 250;
const PLACE: &[u8] = b"grant token";

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GrantToken {
    /// The key.
    pub(super) key: KeyArn,
    /// The grant.
    pub(super) grant: GrantId,
    /// Until when it can be presented with a use of the key.
    pub(super) expires: Timestamp,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct TokenRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; 16],
    #[n(1)]
    account: String,
    #[n(2)]
    region: String,
    #[cbor(n(3), with = "minicbor::bytes")]
    grant: [u8; 32],
    #[n(4)]
    expires_millis: u64,
}

impl Record for TokenRecord {
    const KIND: u8 = 0x1f;
}

impl GrantToken {
    /// The token as text: another one each time, by the seal's nonce.
    pub(super) fn seal(&self, sealer: &RowSealer, entropy: &dyn Entropy) -> String {
        let record = TokenRecord {
            key: *self.key.id.as_bytes(),
            account: self.key.account.to_string(),
            region: self.key.region.to_string(),
            grant: self.grant.0,
            expires_millis: self.expires.as_millis(),
        };
        hex::encode(sealer.seal(TOKENS, PLACE, &Record::encode(&record), entropy))
    }

    /// Reads a token that this server made.
    ///
    /// # Errors
    ///
    /// `InvalidGrantTokenException`.
    pub(super) fn open(text: &str, sealer: &RowSealer) -> Result<Self, KmsError> {
        let record = (text.len() <= TOKEN_MAX_CHARS)
            .then(|| hex::decode(text).ok())
            .flatten()
            .and_then(|sealed| sealer.open(TOKENS, PLACE, &sealed).ok())
            .and_then(|opened| <TokenRecord as Record>::decode(&opened));
        let read = record.and_then(|record| {
            Some(Self {
                key: KeyArn {
                    region: Region::parse(&record.region).ok()?,
                    account: AccountId::parse(&record.account).ok()?,
                    id: KeyId::from_bytes(record.key),
                },
                grant: GrantId(record.grant),
                expires: Timestamp::from_millis(record.expires_millis),
            })
        });
        read.ok_or_else(invalid_token)
    }
}

/// The text of AWS is not known.
pub(super) fn invalid_token() -> KmsError {
    KmsError::InvalidGrantToken("The grant token is not valid.".to_owned())
}
