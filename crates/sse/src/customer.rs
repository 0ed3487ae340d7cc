//! The three SSE-C headers, of the object itself or of a copy's source.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use strongroom_crypto::CustomerKey;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::SseError;

/// The trio as sent. `Debug` shows which headers are there and nothing else.
#[derive(Default, Clone)]
pub struct CustomerHeaders {
    /// `x-amz-server-side-encryption-customer-algorithm`.
    pub algorithm: Option<String>,
    /// `x-amz-server-side-encryption-customer-key`: base64 of the key.
    pub key: Option<Zeroizing<String>>,
    /// `x-amz-server-side-encryption-customer-key-MD5`: base64 of the key's MD5.
    pub key_md5: Option<String>,
}

impl CustomerHeaders {
    /// Whether any of the three was sent.
    pub fn is_present(&self) -> bool {
        self.algorithm.is_some() || self.key.is_some() || self.key_md5.is_some()
    }

    /// Validates the trio as a **write** must be (spec `s3-encryption.md` 2.2, rows 2 to 7).
    ///
    /// # Errors
    ///
    /// [`SseError`], the first rule broken in S3's order.
    pub fn parse(&self) -> Result<CustomerKeyInput, SseError> {
        let algorithm = self
            .algorithm
            .as_deref()
            .ok_or(SseError::CustomerAlgorithmMissing)?;
        if algorithm != "AES256" {
            return Err(SseError::CustomerAlgorithmInvalid {
                value: algorithm.to_owned(),
            });
        }
        let key = self.key.as_ref().ok_or(SseError::CustomerKeyMissing)?;
        let md5 = self
            .key_md5
            .as_deref()
            .ok_or(SseError::CustomerKeyMd5Missing)?;
        let bytes = BASE64
            .decode(key.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| SseError::CustomerKeyInvalid)?;
        let computed = BASE64.encode(Md5::digest(bytes.as_slice()));
        if !bool::from(computed.as_bytes().ct_eq(md5.as_bytes())) {
            return Err(SseError::CustomerKeyMd5Mismatch);
        }
        let key = CustomerKey::parse(&bytes).map_err(|_| SseError::CustomerKeyInvalid)?;
        Ok(CustomerKeyInput { key, md5: computed })
    }
}

impl fmt::Debug for CustomerHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerHeaders(present: {})", self.is_present())
    }
}

/// A customer's key, validated, with the MD5 that the answer echoes.
#[derive(Debug)]
pub struct CustomerKeyInput {
    /// The key. It lives as long as the request.
    pub key: CustomerKey,
    /// Base64 of its MD5, for the answer only: it identifies the key and is never stored.
    pub md5: String,
}
