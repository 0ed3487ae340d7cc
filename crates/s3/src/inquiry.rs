//! What the operator of the server may know of an object's encryption, and the same service on
//! another authorizer, so that decisions can be explained by making them again.

use std::sync::Arc;

use strongroom_policy::Authorizer;
use strongroom_ports::{KeyAuthority, KeyReference, KeyUse};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::limits::OBJECT_TAGS_MAX;
use strongroom_types::{BucketName, ObjectKey, RequestContext, SseAlgorithm, VersionId};

use crate::convert::tags_from_rows;
use crate::{BucketView, S3, S3Error, S3Ports};

/// A version and how it is kept, for who explains access to it. Nothing secret.
#[derive(Clone, Debug)]
pub struct KeptObject {
    /// Its bucket.
    pub bucket: BucketView,
    /// Its id, in a bucket that ever had versions.
    pub version: Option<VersionId>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// How it is encrypted.
    pub encryption: KeptEncryption,
}

/// How a version is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptEncryption {
    /// Under the server's own keys.
    SseS3,
    /// Under a key that only the customer has.
    SseC,
    /// SSE-KMS or DSSE-KMS.
    Kms {
        /// Which of the two.
        algorithm: SseAlgorithm,
        /// The key.
        key: KeyArn,
        /// The encryption context: of the object, or under a bucket key of the bucket.
        context: EncryptionContext,
        /// An S3 Bucket Key is used.
        bucket_key: bool,
    },
}

impl S3 {
    /// The same buckets under another authorizer and key service. Only for asking: what one changes,
    /// the other may remember for longer.
    #[must_use]
    pub fn with_authorizer(
        &self,
        authorizer: Arc<dyn Authorizer>,
        keys: Arc<dyn KeyAuthority>,
    ) -> Self {
        let ports = S3Ports {
            keys,
            authorizer,
            ..self.ports.clone()
        };
        Self::new(ports, self.options.clone())
    }

    /// How a version is kept, for the operator: asks for no authorization. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], and as reads have it where there is no such version.
    pub fn kept(
        &self,
        name: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<KeptObject, S3Error> {
        let bucket = self.bucket_for_operator(name)?;
        let (found, object) = self.existing_object(&bucket, key, version)?;
        let encryption = match &object.key.kms {
            None if object.key.is_customer() => KeptEncryption::SseC,
            None => KeptEncryption::SseS3,
            Some(kms) => {
                let kept = kms.parse().ok_or(S3Error::Damaged)?;
                KeptEncryption::Kms {
                    algorithm: kept.algorithm,
                    context: kept.context()?,
                    bucket_key: kept.bucket_key,
                    key: kept.key,
                }
            }
        };
        let tags = tags_from_rows(&object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)?;
        let tags = tags.tags().iter();
        Ok(KeptObject {
            tags: tags
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
            version: found.shown_id(&bucket),
            bucket,
            encryption,
        })
    }

    /// A bucket, for the operator: asks for no authorization. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn bucket_for_operator(&self, name: &BucketName) -> Result<BucketView, S3Error> {
        let found = self.read_bucket(name)?;
        found
            .map(|(bucket, _)| bucket)
            .ok_or_else(|| S3Error::NoSuchBucket(name.clone()))
    }

    /// Whether the key service lets the sender of the request have the key of what is kept so, as a
    /// read would ask it; without using the key. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`], [`S3Error::Kms`].
    pub fn may_use_key_of(
        &self,
        context: &RequestContext,
        encryption: &KeptEncryption,
    ) -> Result<(), S3Error> {
        let KeptEncryption::Kms {
            key,
            context: encryption_context,
            ..
        } = encryption
        else {
            return Ok(());
        };
        self.allow_kms(context)?;
        let key = KeyReference::Named(key.to_string());
        let caller = self.forwarded(context);
        let authority = &*self.ports.keys;
        authority.authorize(&caller, &key, KeyUse::Decrypt, encryption_context)?;
        Ok(())
    }
}
