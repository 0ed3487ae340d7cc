//! Calls of the key service: as the caller, via S3, with the encryption context of the object or,
//! under a bucket key, of the bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_crypto::KmsDataKey;
use strongroom_ports::{
    DecryptedDataKey, GeneratedDataKey, KeyError, KeyLease, KeyReference, KeyUse, UseRecord,
};
use strongroom_sse::ARN_PAIR;
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{BucketName, BucketUid, ObjectKey, RequestContext, SseAlgorithm};

use crate::bucket_keys::{BucketKey, BucketKeyOwner};
use crate::recorded::KeyUses;
use crate::rows::{KmsRow, PairRow};
use crate::{EncryptionAnswer, S3, S3Error};

/// `arn:aws:s3:::BUCKET`.
pub(crate) fn bucket_arn(bucket: &BucketName) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// `arn:aws:s3:::BUCKET/KEY`.
pub(crate) fn object_arn(bucket: &BucketName, key: &ObjectKey) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// How something is encrypted under a key of the key service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KmsEncryption {
    /// SSE-KMS or DSSE-KMS.
    pub algorithm: SseAlgorithm,
    pub key: KeyArn,
    pub client_pairs: BTreeMap<String, String>,
    /// The context's `aws:s3:arn`.
    pub s3_arn: String,
    pub bucket_key: bool,
}

impl KmsEncryption {
    /// The whole encryption context.
    pub(crate) fn context(&self) -> Result<EncryptionContext, S3Error> {
        whole_context(&self.client_pairs, &self.s3_arn)
    }

    /// As answers show it.
    pub(crate) fn answer(&self, context: Option<String>) -> EncryptionAnswer {
        EncryptionAnswer::Kms {
            algorithm: self.algorithm,
            key: self.key.clone(),
            bucket_key: self.bucket_key,
            context,
        }
    }

    /// As rows hold it.
    pub(crate) fn to_row(&self) -> KmsRow {
        let pair = |(key, value): (&String, &String)| PairRow {
            key: key.clone(),
            value: value.clone().into_bytes(),
        };
        KmsRow {
            algorithm: self.algorithm.name().to_owned(),
            key_arn: self.key.to_string(),
            client_pairs: self.client_pairs.iter().map(pair).collect(),
            s3_arn: self.s3_arn.clone(),
            bucket_key: self.bucket_key,
        }
    }
}

impl KmsRow {
    /// What the row means; `None` for nonsense.
    pub(crate) fn parse(&self) -> Option<KmsEncryption> {
        let algorithm = match SseAlgorithm::parse(&self.algorithm)? {
            SseAlgorithm::Aes256 => return None,
            kms @ (SseAlgorithm::AwsKms | SseAlgorithm::AwsKmsDsse) => kms,
        };
        let pair = |row: &PairRow| {
            let value = String::from_utf8(row.value.clone()).ok()?;
            Some((row.key.clone(), value))
        };
        Some(KmsEncryption {
            algorithm,
            key: KeyArn::parse(&self.key_arn)?,
            client_pairs: self.client_pairs.iter().map(pair).collect::<Option<_>>()?,
            s3_arn: self.s3_arn.clone(),
            bucket_key: self.bucket_key,
        })
    }
}

/// The client's pairs and S3's own.
pub(crate) fn whole_context(
    client_pairs: &BTreeMap<String, String>,
    s3_arn: &str,
) -> Result<EncryptionContext, S3Error> {
    EncryptionContext::new(client_pairs.clone())
        .and_then(|context| context.with(ARN_PAIR, s3_arn))
        .map_err(|_| S3Error::Sse(strongroom_sse::SseError::ContextInvalid))
}

impl S3 {
    /// A data key of the key service, under which to wrap one data key, and the record of its making,
    /// if it was made now and nobody has waited for that yet.
    ///
    /// Blocks: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Kms`].
    pub(crate) fn generate_kms_key(
        &self,
        context: &RequestContext,
        bucket: BucketUid,
        key: &KeyReference,
        encryption_context: &EncryptionContext,
        bucket_key: bool,
    ) -> Result<(KeyArn, BucketKey, Option<UseRecord>), S3Error> {
        let caller = self.forwarded(context);
        let authority = &*self.ports.keys;
        let now = self.ports.clock.monotonic();
        let owner = |key| BucketKeyOwner::new(bucket, key, encryption_context.canonical(), context);
        if bucket_key {
            let lease =
                authority.authorize(&caller, key, KeyUse::GenerateDataKey, encryption_context)?;
            // A bucket key is checked by decrypting it, so its makers need that permission too.
            let resolved = KeyReference::Named(lease.key.to_string());
            authority.authorize(&caller, &resolved, KeyUse::Decrypt, encryption_context)?;
            let arn = lease.key.clone();
            if let Some(found) = self.bucket_keys.for_write(&owner(arn.clone()), now) {
                return Ok((arn, BucketKey { lease, ..found }, None));
            }
        }
        let GeneratedDataKey {
            key,
            plaintext,
            ciphertext,
            lease,
            record,
        } = authority.generate_data_key(&caller, key, encryption_context)?;
        let made = BucketKey {
            key: Arc::new(KmsDataKey::parse(&plaintext).map_err(|_| KeyError::Unavailable)?),
            blob: ciphertext.into(),
            lease,
        };
        if bucket_key {
            // Others will use it without a record of their own.
            KeyUses::of(Some(record)).recorded(Ok(())).wait()?;
            self.bucket_keys.keep_made(owner(key.clone()), &made, now);
            return Ok((key, made, None));
        }
        Ok((key, made, Some(record)))
    }

    /// The data key of the key service behind `blob`. The service on what is in memory asks only
    /// what the key service has in memory. The record of a use is added to `uses`.
    ///
    /// # Errors
    ///
    /// [`S3Error::Kms`], among them [`KeyError::InvalidCiphertext`] for another context or damage.
    pub(crate) fn decrypt_kms_key(
        &self,
        uses: &mut KeyUses,
        context: &RequestContext,
        bucket: BucketUid,
        kept: &KmsEncryption,
        blob: &[u8],
    ) -> Result<(Arc<KmsDataKey>, KeyLease), S3Error> {
        let caller = self.forwarded(context);
        let authority = &*self.ports.keys;
        let encryption_context = kept.context()?;
        let now = self.ports.clock.monotonic();
        let owner = || {
            let canonical = encryption_context.canonical();
            BucketKeyOwner::new(bucket, kept.key.clone(), canonical, context)
        };
        if kept.bucket_key {
            let key = KeyReference::Named(kept.key.to_string());
            let lease = if self.is_resident() {
                authority.authorize_in_memory(&caller, &key, KeyUse::Decrypt, &encryption_context)
            } else {
                authority.authorize(&caller, &key, KeyUse::Decrypt, &encryption_context)
            }?;
            if let Some(found) = self.bucket_keys.for_read(owner(), blob, now) {
                return Ok((found.key, lease));
            }
            if self.is_resident() {
                // Others will use it without a record of their own: this one's is waited for.
                return Err(S3Error::NotInMemory);
            }
        }
        let DecryptedDataKey {
            plaintext,
            lease,
            record,
        } = if self.is_resident() {
            authority.decrypt_data_key_in_memory(&caller, blob, &encryption_context)
        } else {
            authority.decrypt_data_key(&caller, blob, &encryption_context)
        }?;
        if kept.bucket_key {
            KeyUses::of(Some(record)).recorded(Ok(())).wait()?;
        } else {
            uses.add(record);
        }
        if lease.key != kept.key {
            // The row names one key and the ciphertext is another's.
            return Err(S3Error::Kms(KeyError::InvalidCiphertext));
        }
        let key = KmsDataKey::parse(&plaintext).map_err(|_| KeyError::InvalidCiphertext)?;
        let opened = BucketKey {
            key: Arc::new(key),
            blob: blob.into(),
            lease,
        };
        if kept.bucket_key {
            self.bucket_keys.keep_opened(owner(), &opened, now);
        }
        Ok((opened.key, opened.lease))
    }

    /// The request as the key service sees it: the caller's, made by S3.
    pub(crate) fn forwarded(&self, context: &RequestContext) -> RequestContext {
        RequestContext {
            via_service: Some(Arc::clone(&self.service_name)),
            ..context.clone()
        }
    }
}
