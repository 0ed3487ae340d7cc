//! The body of a JSON request: read whole within its bound, wiped afterwards.

use aws_lc_rs::digest;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use serde_json::Value;
use strongroom_s3::BodyError;
use zeroize::{Zeroize as _, Zeroizing};

use super::ProtocolError;
use crate::limits::JSON_DOCUMENT_MAX_BYTES;
use crate::recording::hidden_texts_of_document;
use crate::s3::AnyBody;

/// Room for most requests, in bytes.
const FIRST_BYTES: usize = 8 << 10;

/// Reads a body that nobody has vouched for yet: its size is bounded first.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: AnyBody,
) -> Result<Zeroizing<Vec<u8>>, ProtocolError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let max = u64::try_from(JSON_DOCUMENT_MAX_BYTES).unwrap_or(u64::MAX);
    if announced.is_some_and(|len| len > max) {
        return Err(ProtocolError::BodyTooLarge);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FIRST_BYTES));
    while let Some(piece) = std::future::poll_fn(|cx| body.poll_bytes(cx)).await {
        let piece = piece.map_err(|error| match error {
            BodyError::TooSlow => ProtocolError::BodyTooSlow,
            BodyError::Incomplete
            | BodyError::SignatureMismatch
            | BodyError::Malformed(_)
            | BodyError::TooLong
            | _ => ProtocolError::BodyIncomplete,
        })?;
        let len = bytes.len().saturating_add(piece.len());
        if len > JSON_DOCUMENT_MAX_BYTES {
            return Err(ProtocolError::BodyTooLarge);
        }
        if len > bytes.capacity() {
            // Into a new buffer, so that the old one is wiped and no copy of it stays behind.
            let room = len.max(bytes.capacity().saturating_mul(2));
            let mut grown = Zeroizing::new(Vec::with_capacity(room));
            grown.extend_from_slice(&bytes);
            bytes = grown;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The body's SHA-256, which the signature covers.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// The texts of secrets in a body, as far as it can be read.
pub(crate) fn hidden_texts(bytes: &[u8]) -> Vec<Zeroizing<String>> {
    let document = Document::parse(bytes);
    document.map_or_else(|_| Vec::new(), |it| hidden_texts_of_document(it.value()))
}

/// A parsed document whose texts are wiped on drop: plaintexts travel as texts.
pub(super) struct Document(Value);

impl Document {
    /// Parses a document; an empty one is an empty object.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Serialization`], without a text as AWS has none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ProtocolError> {
        if bytes.is_empty() {
            return Ok(Self(Value::Object(serde_json::Map::new())));
        }
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|_| ProtocolError::Serialization(None))
    }

    /// The document.
    pub(super) fn value(&self) -> &Value {
        &self.0
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The parser's recursion is bounded, and so is this one.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
