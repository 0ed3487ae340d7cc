//! The data key of a version: made and wrapped on a write, unwrapped on a read.

use std::sync::Arc;

use strongroom_crypto::{
    BodyKeys, CustomerKeyVerifier, DataKey, Keyring, ObjectIdentity, OuterKey, Unsealed, WrapMode,
    WrappedKey,
};
use strongroom_ports::{KeyError, KeyLease, KeyReference, UseRecord};
use strongroom_sse::{
    Circumstances, ClientContext, CustomerHeaders, SseError, SseHeaders, WritePlan, allow_kms,
    plan_write, read_key,
};
use strongroom_types::{Principal, RequestContext, SseAlgorithm};

use crate::integrity::Damage;
use crate::kms_keys::{KmsEncryption, bucket_arn, object_arn, whole_context};
use crate::recorded::KeyUses;
use crate::rows::KeyRow;
use crate::{BucketView, EncryptionAnswer, S3, S3Error};

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
    /// How long it may be used, where a key of the key service decides.
    pub lease: Option<KeyLease>,
    /// The record of that key's use: the answer waits for it.
    pub record: Option<UseRecord>,
    /// The ring that wrapped it: kept until the write is committed, so that no version of the root
    /// key is retired that it needs.
    _ring: Arc<Keyring<Unsealed>>,
}

/// A version's data key, opened.
pub(crate) struct OpenedKey {
    /// What seals the body; its data key seals the attributes.
    pub body_keys: Arc<BodyKeys>,
    /// As it was stored.
    pub wrapped: WrappedKey,
    /// As answers show it.
    pub answer: EncryptionAnswer,
    /// How long it may be used, where a key of the key service decides.
    pub lease: Option<KeyLease>,
    /// As of a [`NewKey`]: the footers of an upload's parts hold what was stored.
    _ring: Arc<Keyring<Unsealed>>,
}

/// A data key, wrapped under one of the key service.
pub(crate) struct KmsWrapped {
    pub wrapped: WrappedKey,
    pub encryption: KmsEncryption,
    pub lease: KeyLease,
    /// The record of the key's use: the answer waits for it.
    pub record: Option<UseRecord>,
}

/// Refuses to go on with a key that was taken away since.
///
/// # Errors
///
/// [`S3Error::Kms`].
pub(crate) fn check_lease(lease: Option<&KeyLease>) -> Result<(), S3Error> {
    match lease {
        Some(lease) => Ok(lease.check.still_usable()?),
        None => Ok(()),
    }
}

impl S3 {
    /// How a write to `key` of `bucket` is encrypted.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`].
    pub(crate) fn plan_write(
        &self,
        headers: &SseHeaders,
        bucket: &BucketView,
        key: &strongroom_types::ObjectKey,
        context: &RequestContext,
    ) -> Result<WritePlan, S3Error> {
        let circumstances = Circumstances {
            confidential: self.is_confidential(context),
            signed: is_signed(context),
            by_service: matches!(context.principal, Principal::Service { .. }),
            object_arn: &object_arn(&bucket.name, key),
            bucket_arn: &bucket_arn(&bucket.name),
        };
        Ok(plan_write(headers, &bucket.encryption, circumstances)?)
    }

    /// Draws a data key for `identity` and wraps it as planned. Blocks where the plan needs the key
    /// service.
    ///
    /// # Errors
    ///
    /// [`S3Error::Kms`].
    pub(crate) fn new_data_key(
        &self,
        plan: &WritePlan,
        identity: &ObjectIdentity,
        bucket: &BucketView,
        context: &RequestContext,
    ) -> Result<NewKey, S3Error> {
        let entropy = &*self.ports.entropy;
        let ring = self.ports.custody.ring();
        let data_key = DataKey::random(entropy);
        let mut row = KeyRow {
            wrapped: Vec::new(),
            customer_verifier: None,
            kms: None,
        };
        let mut record = None;
        let (body_keys, wrapped, answer, lease) = match plan {
            WritePlan::SseS3 => {
                let wrapped = ring.wrap_data_key(&data_key, identity, entropy);
                (
                    BodyKeys::single(data_key),
                    wrapped,
                    EncryptionAnswer::SseS3,
                    None,
                )
            }
            WritePlan::SseC(customer) => {
                let pepper = self.ports.custody.customer_key_pepper();
                let verifier = CustomerKeyVerifier::create(&customer.key, pepper, entropy);
                let wrapped = customer.key.wrap_data_key(&data_key, identity, entropy);
                let answer = EncryptionAnswer::SseC {
                    key_md5: customer.md5.clone(),
                };
                row.customer_verifier = Some(verifier.as_bytes().to_vec());
                (BodyKeys::single(data_key), wrapped, answer, None)
            }
            WritePlan::Kms {
                key,
                context: client,
                bucket_key,
            } => {
                let wish = (SseAlgorithm::AwsKms, key, client, *bucket_key);
                let kms = self.wrap_under_kms(&data_key, identity, bucket, context, wish)?;
                record = kms.record;
                row.kms = Some(kms.encryption.to_row());
                let answer = kms.encryption.answer(client.header().map(str::to_owned));
                let body_keys = BodyKeys::single(data_key);
                (body_keys, kms.wrapped, answer, Some(kms.lease))
            }
            WritePlan::Dsse {
                key,
                context: client,
            } => {
                let wish = (SseAlgorithm::AwsKmsDsse, key, client, false);
                let kms = self.wrap_under_kms(&data_key, identity, bucket, context, wish)?;
                record = kms.record;
                let outer = OuterKey::random(entropy);
                let wrapped_outer = ring.wrap_outer_key(&outer, identity, entropy);
                // Too long a ciphertext of the key service is the one thing that can be wrong.
                let wrapped = WrappedKey::two_layers(&kms.wrapped, &wrapped_outer)
                    .map_err(|_| KeyError::Unavailable)?;
                row.kms = Some(kms.encryption.to_row());
                let answer = kms.encryption.answer(client.header().map(str::to_owned));
                let body_keys = BodyKeys::two_layers(data_key, outer);
                (body_keys, wrapped, answer, Some(kms.lease))
            }
        };
        row.wrapped = wrapped.as_bytes().to_vec();
        Ok(NewKey {
            body_keys: Arc::new(body_keys),
            wrapped,
            row,
            answer,
            lease,
            record,
            _ring: ring,
        })
    }

    /// Wraps `data_key` under a data key of the key service. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::Kms`].
    pub(crate) fn wrap_under_kms(
        &self,
        data_key: &DataKey,
        identity: &ObjectIdentity,
        bucket: &BucketView,
        context: &RequestContext,
        (algorithm, key, client, bucket_key): (SseAlgorithm, &KeyReference, &ClientContext, bool),
    ) -> Result<KmsWrapped, S3Error> {
        let s3_arn = if bucket_key {
            bucket_arn(&bucket.name)
        } else {
            object_arn(&bucket.name, &identity.key)
        };
        let whole = whole_context(client.pairs(), &s3_arn)?;
        let (key, kms_key, record) =
            self.generate_kms_key(context, bucket.uid, key, &whole, bucket_key)?;
        let entropy = &*self.ports.entropy;
        let wrapped = kms_key
            .key
            .wrap_data_key(&kms_key.blob, data_key, identity, entropy);
        Ok(KmsWrapped {
            wrapped,
            encryption: KmsEncryption {
                algorithm,
                key,
                client_pairs: client.pairs().clone(),
                s3_arn,
                bucket_key,
            },
            lease: kms_key.lease,
            record,
        })
    }

    /// Opens a version's (or an upload's) data key with what the request brought. Blocks where the
    /// key service has to be asked, until the use of its key is recorded.
    ///
    /// # Errors
    ///
    /// As [`S3::open_data_key_for`]; [`S3Error::NotInMemory`] where nothing may block.
    pub(crate) fn open_data_key(
        &self,
        row: &KeyRow,
        identity: &ObjectIdentity,
        customer: &CustomerHeaders,
        context: &RequestContext,
    ) -> Result<OpenedKey, S3Error> {
        if self.is_resident() && row.kms.is_some() {
            return Err(S3Error::NotInMemory);
        }
        let mut uses = KeyUses::default();
        let opened = self.open_data_key_for(&mut uses, row, identity, customer, context);
        uses.recorded(opened).wait()
    }

    /// As [`S3::open_data_key`], for who waits for the records of `uses` before it answers. Does not
    /// block if this is the service on what is in memory.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`] as [`read_key`] and [`allow_kms`] say, or [`SseError::CustomerKeyWrong`] for
    /// another key than the stored one; [`S3Error::Kms`]; [`S3Error::Damaged`] when the wrapped key
    /// does not open although the key is the right one.
    pub(crate) fn open_data_key_for(
        &self,
        uses: &mut KeyUses,
        row: &KeyRow,
        identity: &ObjectIdentity,
        customer: &CustomerHeaders,
        context: &RequestContext,
    ) -> Result<OpenedKey, S3Error> {
        let damaged = |what| self.damaged(identity, Damage::of(what));
        let customer = read_key(customer, row.is_customer(), self.is_confidential(context))?;
        let wrapped = WrappedKey::parse(&row.wrapped).map_err(|_| damaged("wrapped key"))?;
        let ring = self.ports.custody.ring();
        let (body_keys, answer, lease) = match (wrapped.mode(), customer, &row.kms) {
            (WrapMode::RootRing { .. }, None, None) => {
                let opened = ring.unwrap_data_key(&wrapped, identity);
                (opened.map(BodyKeys::single), EncryptionAnswer::SseS3, None)
            }
            (WrapMode::CustomerKey, Some(customer), None) => {
                let verifier = row.customer_verifier.as_deref().unwrap_or_default();
                let verifier =
                    CustomerKeyVerifier::parse(verifier).map_err(|_| damaged("wrapped key"))?;
                if !verifier.verify(&customer.key, self.ports.custody.customer_key_pepper()) {
                    return Err(SseError::CustomerKeyWrong.into());
                }
                let opened = customer.key.unwrap_data_key(&wrapped, identity);
                let answer = EncryptionAnswer::SseC {
                    key_md5: customer.md5,
                };
                (opened.map(BodyKeys::single), answer, None)
            }
            (mode @ (WrapMode::Kms | WrapMode::TwoLayers { .. }), None, Some(kms)) => {
                let two_layers = matches!(mode, WrapMode::TwoLayers { .. });
                let kept = kms.parse().ok_or_else(|| damaged("key row"))?;
                if two_layers != (kept.algorithm == SseAlgorithm::AwsKmsDsse) {
                    return Err(damaged("key row"));
                }
                self.allow_kms(context)?;
                let blob = wrapped.kms_blob().unwrap_or_default();
                let opened = self.decrypt_kms_key(uses, context, identity.bucket, &kept, blob);
                let (kms_key, lease) = opened.map_err(|error| {
                    if error == S3Error::Kms(KeyError::InvalidCiphertext) {
                        damaged("KMS ciphertext")
                    } else {
                        error
                    }
                })?;
                let inner = kms_key.unwrap_data_key(&wrapped, identity);
                let keys = if two_layers {
                    let outer = ring
                        .unwrap_outer_key(&wrapped, identity)
                        .map_err(|_| damaged("outer wrapped key"))?;
                    inner.map(|inner| BodyKeys::two_layers(inner, outer))
                } else {
                    inner.map(BodyKeys::single)
                };
                (keys, kept.answer(None), Some(lease))
            }
            // The row says one thing and the wrapped key another.
            (
                WrapMode::RootRing { .. }
                | WrapMode::CustomerKey
                | WrapMode::Kms
                | WrapMode::TwoLayers { .. },
                _,
                _,
            ) => return Err(damaged("wrapped key")),
        };
        let body_keys = body_keys.map_err(|_| damaged("wrapped key"))?;
        Ok(OpenedKey {
            body_keys: Arc::new(body_keys),
            wrapped,
            answer,
            lease,
            _ring: ring,
        })
    }

    /// How a version or upload is encrypted, told without its key. What a client must be to hear of
    /// KMS-encrypted content at all is checked here too.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`], [`S3Error::Damaged`].
    pub(crate) fn shown_encryption(
        &self,
        row: &KeyRow,
        identity: &ObjectIdentity,
        context: &RequestContext,
    ) -> Result<EncryptionAnswer, S3Error> {
        let Some(kms) = &row.kms else {
            return Ok(EncryptionAnswer::SseS3);
        };
        self.allow_kms(context)?;
        let kept = kms.parse();
        let kept = kept.ok_or_else(|| self.damaged(identity, Damage::of("key row")))?;
        Ok(kept.answer(None))
    }

    /// Whether KMS-encrypted content may be asked for by this request.
    pub(crate) fn allow_kms(&self, context: &RequestContext) -> Result<(), S3Error> {
        Ok(allow_kms(
            is_signed(context),
            self.is_confidential(context),
        )?)
    }
}

fn is_signed(context: &RequestContext) -> bool {
    context.principal != Principal::Anonymous
}

impl KeyRow {
    /// Whether the customer's key is needed to open it.
    pub(crate) const fn is_customer(&self) -> bool {
        self.customer_verifier.is_some()
    }

    /// Whether ETags of what it encrypts say nothing of the content.
    pub(crate) const fn hides_md5(&self) -> bool {
        self.customer_verifier.is_some() || self.kms.is_some()
    }
}
