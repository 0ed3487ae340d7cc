//! Where a trail is to deliver: what is asked before it is made or changed.

use strongroom_types::RequestContext;

use crate::trails::Trail;

/// The buckets and keys of the server, as CloudTrail asks them.
///
/// Contract: nothing is assumed. The policies of bucket and key are asked for the very requests that
/// [`ObjectSink`](crate::trails::ObjectSink) makes for the trail, as `cloudtrail.amazonaws.com`; and
/// the key is used once.
pub trait DeliveryTarget: Send + Sync {
    /// The ARN of the key that `key_id` (an id, an alias, or the ARN of either) means for `caller`.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`TargetProblem`].
    fn key_arn(&self, caller: &RequestContext, key_id: &str) -> Result<String, TargetProblem>;

    /// Whether what the trail delivers would be taken. Blocks.
    ///
    /// # Errors
    ///
    /// [`TargetProblem`].
    fn check(&self, trail: &Trail) -> Result<(), TargetProblem>;
}

/// Why nothing would be delivered. The texts are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetProblem {
    /// `S3BucketDoesNotExistException`.
    #[error("S3 bucket {0} does not exist!")]
    NoBucket(String),
    /// `InsufficientS3BucketPolicyException`.
    #[error("Incorrect S3 bucket policy is detected for bucket: {0}")]
    BucketPolicy(String),
    /// `InsufficientEncryptionPolicyException`.
    #[error("Insufficient permissions to access S3 bucket {bucket} or KMS key {key}.")]
    KeyPolicy {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// `KmsKeyNotFoundException`.
    #[error("KMS key not found: {0}")]
    KeyNotFound(String),
    /// `KmsKeyDisabledException`.
    #[error("KMS key is disabled: {0}")]
    KeyDisabled(String),
    /// `InvalidKmsKeyIdException`.
    #[error("Invalid KMS key ID: {0}")]
    KeyId(String),
    /// `KmsException`.
    #[error("The KMS key cannot be used: {0}")]
    Key(String),
    /// The store or the key service does not answer.
    #[error("The request could not be completed. You can try it again.")]
    Unavailable,
}
