//! The key authority: the key service, as the services that encrypt under its keys see it.

use std::sync::Arc;

use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionContext, KeyArn};
use zeroize::Zeroizing;

use crate::UseRecord;

/// A key as a request or a bucket's configuration names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyReference {
    /// The AWS managed key of the asking service in the caller's account (`alias/aws/s3`), made by
    /// its first use.
    AwsManaged,
    /// A text: id, ARN, alias or alias ARN. Not yet parsed; resolved in the caller's account.
    Named(String),
}

/// A data key, both halves.
pub struct GeneratedDataKey {
    /// The key under which it was made, resolved.
    pub key: KeyArn,
    /// The plaintext half: 32 bytes.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The encrypted half: what to keep.
    pub ciphertext: Vec<u8>,
    /// How long it may be used.
    pub lease: KeyLease,
    /// The record of this use.
    pub record: UseRecord,
}

/// A data key that was decrypted.
pub struct DecryptedDataKey {
    /// The plaintext half, of the length that it was made with.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// How long it may be used.
    pub lease: KeyLease,
    /// The record of this use.
    pub record: UseRecord,
}

/// What a use of a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyUse {
    /// `kms:GenerateDataKey`.
    GenerateDataKey,
    /// `kms:Decrypt`.
    Decrypt,
}

/// The right to go on using a data key whose KMS key was usable when the lease was made. Cheap to
/// check; a long transfer checks it before each piece that it lets out or in.
#[derive(Clone)]
pub struct KeyLease {
    /// The key.
    pub key: KeyArn,
    /// Says whether the key is still usable now.
    pub check: Arc<dyn LeaseCheck>,
}

/// The authority's side of a lease.
pub trait LeaseCheck: Send + Sync {
    /// Whether the key can still be used: neither disabled, nor pending deletion, nor without its
    /// material since. Does not wait for the disk, and asks for no authorization.
    ///
    /// # Errors
    ///
    /// [`KeyError`], as a new use of the key would get it.
    fn still_usable(&self) -> Result<(), KeyError>;
}

/// The key authority.
///
/// Contract:
/// - Each call is decided anew for `caller`, who is the one that asked the calling service, with
///   [`RequestContext::via_service`] set by that service. Nothing is remembered from one decision to
///   the next.
/// - Each use leaves exactly one record in the trail, and so does each refusal and failure. That of a
///   success is the caller's to make durable ([`UseRecord`]) before it answers anybody by that use;
///   that of an error is durable when the error is returned. Where the record of an error cannot be
///   written, the error is [`KeyError::Unavailable`].
/// - [`KeyAuthority::authorize`] records refusals alone, as the use that was refused: it is no
///   cryptographic use, and counts as none in figures and keys' last use.
/// - Calls may block on the disk: call from a worker thread. The `in_memory` ones do not, and
///   answer [`KeyError::NotInMemory`] where they would have to, and so instead of any other error:
///   whoever asks again on a worker gets that, with its record. `NotInMemory` leaves none.
pub trait KeyAuthority: Send + Sync {
    /// Makes a data key of 32 bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    fn generate_data_key(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KeyError>;

    /// Decrypts a data key, under the key that its ciphertext names.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    fn decrypt_data_key(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError>;

    /// As [`KeyAuthority::decrypt_data_key`], without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotInMemory`] too.
    fn decrypt_data_key_in_memory(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError>;

    /// Resolves the key and makes every check of a use without the cryptography: existence, the
    /// caller's permission, usage, state. For who holds a data key already, such as a bucket key.
    ///
    /// # Errors
    ///
    /// As the use itself.
    fn authorize(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError>;

    /// The ARN of the key that `key_id` (an id, ARN, alias or alias ARN) names for `caller` now. Asks
    /// for no authorization, so its answer is for the decisions of the asking service only, and says
    /// nothing of the key but its name.
    ///
    /// # Errors
    ///
    /// [`KeyError`] of a text that names no key.
    fn key_named(&self, caller: &RequestContext, key_id: &str) -> Result<KeyArn, KeyError>;

    /// As [`KeyAuthority::authorize`], without waiting for the disk.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotInMemory`] too.
    fn authorize_in_memory(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError>;
}

/// Why a key cannot be used. The texts are those of AWS KMS; what each becomes in another
/// service's protocol is that service's edge's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// `NotFoundException`.
    #[error("{0}")]
    NotFound(String),
    /// `DisabledException`.
    #[error("{0}")]
    Disabled(String),
    /// `KMSInvalidStateException`.
    #[error("{0}")]
    InvalidState(String),
    /// `InvalidKeyUsageException`.
    #[error("{0}")]
    InvalidKeyUsage(String),
    /// `AccessDeniedException`.
    #[error("{0}")]
    AccessDenied(String),
    /// `InvalidCiphertextException`: nothing more is told.
    #[error("the ciphertext cannot be decrypted")]
    InvalidCiphertext,
    /// `ThrottlingException`.
    #[error("the key service is asked too often")]
    Throttled,
    /// The key service cannot answer now: storage failed.
    #[error("the key service is unavailable")]
    Unavailable,
    /// What is stored of the key does not verify. The key service has counted it.
    #[error("what is stored of the key does not verify")]
    Damaged,
    /// Only memory was asked, and it does not know.
    #[error("the key is not in memory")]
    NotInMemory,
}

impl std::fmt::Debug for GeneratedDataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GeneratedDataKey({})", self.key)
    }
}

impl std::fmt::Debug for DecryptedDataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DecryptedDataKey({})", self.lease.key)
    }
}

impl std::fmt::Debug for KeyLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyLease({})", self.key)
    }
}
