//! The data key of a version: made and wrapped on a write, unwrapped on a read.

use std::sync::Arc;

use strongroom_crypto::{
    BodyKeys, CustomerKeyVerifier, DataKey, ObjectIdentity, WrapMode, WrappedKey,
};
use strongroom_sse::{CustomerHeaders, SseError, WritePlan, read_key};

use crate::integrity::Damage;
use crate::rows::KeyRow;
use crate::{EncryptionAnswer, S3, S3Error};

/// A fresh data key and how it is kept.
pub(crate) struct NewKey {
    /// What seals the body; its data key seals the attributes.
    pub body_keys: Arc<BodyKeys>,
    /// As the blob's footer keeps it.
    pub wrapped: WrappedKey,
    /// As the version's row keeps it.
    pub row: KeyRow,
    /// As answers show it.
    pub answer: EncryptionAnswer,
}

/// A version's data key, opened.
pub(crate) struct OpenedKey {
    /// What seals the body; its data key seals the attributes.
    pub body_keys: Arc<BodyKeys>,
    /// As it was stored.
    pub wrapped: WrappedKey,
    /// As answers show it.
    pub answer: EncryptionAnswer,
}

impl S3 {
    /// Draws a data key for `identity` and wraps it as planned.
    pub(crate) fn new_data_key(&self, plan: &WritePlan, identity: &ObjectIdentity) -> NewKey {
        let entropy = &*self.ports.entropy;
        let data_key = DataKey::random(entropy);
        let (wrapped, customer_verifier, answer) = match plan {
            WritePlan::SseS3 => {
                let wrapped = self
                    .ports
                    .custody
                    .ring()
                    .wrap_data_key(&data_key, identity, entropy);
                (wrapped, None, EncryptionAnswer::SseS3)
            }
            WritePlan::SseC(customer) => {
                let pepper = self.ports.custody.customer_key_pepper();
                let verifier = CustomerKeyVerifier::create(&customer.key, pepper, entropy);
                let wrapped = customer.key.wrap_data_key(&data_key, identity, entropy);
                let answer = EncryptionAnswer::SseC {
                    key_md5: customer.md5.clone(),
                };
                (wrapped, Some(verifier.as_bytes().to_vec()), answer)
            }
        };
        let row = KeyRow {
            wrapped: wrapped.as_bytes().to_vec(),
            customer_verifier,
        };
        NewKey {
            body_keys: Arc::new(BodyKeys::single(data_key)),
            wrapped,
            row,
            answer,
        }
    }

    /// Opens a version's (or an upload's) data key with what the request brought.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`] as [`read_key`] says, or [`SseError::CustomerKeyWrong`] for another key than
    /// the stored one; [`S3Error::Damaged`] when the wrapped key does not open although the key is
    /// the right one.
    pub(crate) fn open_data_key(
        &self,
        row: &KeyRow,
        identity: &ObjectIdentity,
        customer: &CustomerHeaders,
        confidential: bool,
    ) -> Result<OpenedKey, S3Error> {
        let damaged = || self.damaged(identity, Damage::of("wrapped key"));
        let customer = read_key(customer, row.is_customer(), confidential)?;
        let wrapped = WrappedKey::parse(&row.wrapped).map_err(|_| damaged())?;
        let (data_key, answer) = match (wrapped.mode(), customer) {
            (WrapMode::RootRing { .. }, None) => {
                let opened = self
                    .ports
                    .custody
                    .ring()
                    .unwrap_data_key(&wrapped, identity);
                (opened, EncryptionAnswer::SseS3)
            }
            (WrapMode::CustomerKey, Some(customer)) => {
                let verifier = row.customer_verifier.as_deref().unwrap_or_default();
                let verifier = CustomerKeyVerifier::parse(verifier).map_err(|_| damaged())?;
                if !verifier.verify(&customer.key, self.ports.custody.customer_key_pepper()) {
                    return Err(SseError::CustomerKeyWrong.into());
                }
                let opened = customer.key.unwrap_data_key(&wrapped, identity);
                (
                    opened,
                    EncryptionAnswer::SseC {
                        key_md5: customer.md5,
                    },
                )
            }
            // The row says one thing and the wrapped key another.
            (WrapMode::RootRing { .. }, Some(_)) | (WrapMode::CustomerKey, None) => {
                return Err(damaged());
            }
            // Nothing of this service writes these yet, so nothing of its own has them.
            (WrapMode::Kms | WrapMode::TwoLayers { .. }, _) => return Err(damaged()),
        };
        let data_key = data_key.map_err(|_| damaged())?;
        Ok(OpenedKey {
            body_keys: Arc::new(BodyKeys::single(data_key)),
            wrapped,
            answer,
        })
    }
}

impl KeyRow {
    /// Whether the customer's key is needed to open it.
    pub(crate) const fn is_customer(&self) -> bool {
        self.customer_verifier.is_some()
    }
}
