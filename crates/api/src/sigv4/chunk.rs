//! The signature chain of a chunked body.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;

/// Verifies the signatures of a body's chunks, each of which covers the one before it: a chunk that
/// is changed, replayed, reordered or dropped breaks the chain at that place.
///
/// Source: S3 API Reference, "Transferring payload in multiple chunks", with and without trailers.
#[derive(Clone)]
pub struct ChunkVerifier {
    key: hmac::Key,
    /// `date LF scope LF`, the same in every string to sign.
    prefix: Box<str>,
    previous: [u8; 32],
}

impl ChunkVerifier {
    pub(crate) fn new(key: hmac::Key, amz_date: &str, scope: &str, seed: [u8; 32]) -> Self {
        Self {
            key,
            prefix: format!("{amz_date}\n{scope}\n").into_boxed_str(),
            previous: seed,
        }
    }

    /// Checks the signature of the next chunk and moves on:
    /// `HMAC(key, "AWS4-HMAC-SHA256-PAYLOAD" LF date LF scope LF previous LF hash("") LF hash)`.
    #[must_use = "a chunk whose signature does not match must not be used"]
    pub fn verify_chunk(&mut self, data_sha256: &digest::Digest, signature: &[u8; 32]) -> bool {
        let mut context = self.start("AWS4-HMAC-SHA256-PAYLOAD\n");
        context.update(EMPTY_SHA256.as_bytes());
        context.update(b"\n");
        update_hex(&mut context, data_sha256.as_ref());
        self.finish(context, signature)
    }

    /// Checks the signature of the trailers, given the hash of their canonical form:
    /// `HMAC(key, "AWS4-HMAC-SHA256-TRAILER" LF date LF scope LF previous LF hash)`.
    #[must_use = "trailers whose signature does not match must not be used"]
    pub fn verify_trailer(
        &mut self,
        trailer_sha256: &digest::Digest,
        signature: &[u8; 32],
    ) -> bool {
        let mut context = self.start("AWS4-HMAC-SHA256-TRAILER\n");
        update_hex(&mut context, trailer_sha256.as_ref());
        self.finish(context, signature)
    }

    fn start(&self, algorithm: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(algorithm.as_bytes());
        context.update(self.prefix.as_bytes());
        update_hex(&mut context, &self.previous);
        context.update(b"\n");
        context
    }

    fn finish(&mut self, context: hmac::Context, signature: &[u8; 32]) -> bool {
        let expected = context.sign();
        let matches = bool::from(expected.as_ref().ct_eq(signature));
        if matches {
            self.previous = *signature;
        }
        matches
    }
}

impl fmt::Debug for ChunkVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkVerifier(REDACTED)")
    }
}

pub(super) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn update_hex(context: &mut hmac::Context, bytes: &[u8]) {
    let mut text = [0; 64];
    if let Some(text) = text.get_mut(..bytes.len().saturating_mul(2)) {
        // The length is exact by construction, so this cannot fail; a failure would not verify.
        if hex::encode_to_slice(bytes, text).is_ok() {
            context.update(text);
        }
    }
}
