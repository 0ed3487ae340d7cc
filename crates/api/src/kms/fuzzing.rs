//! The readers of requests that `fuzz/` feeds with bytes of strangers. Nothing here is part of the
//! product.

use super::operations;
use crate::json::read_document;

/// Reads a document as the input of every operation whose name begins with `operation`; says how
/// many took it.
///
/// # Panics
///
/// When a refusal is no error of the client's, or longer than clients should be sent.
pub fn request(operation: &str, document: &[u8]) -> usize {
    let mut taken = 0;
    for operation in operations::all().filter(|it| it.name.starts_with(operation)) {
        match read_document(operation.members, document) {
            Ok(_) => taken += 1,
            Err(error) => {
                let answer = error.answer();
                assert!(answer.status == 400, "{}", answer.name);
                let len = answer.message.as_deref().unwrap_or_default().len();
                // Twenty failures, each with its value and the longest constraint.
                assert!(len <= 20 * (document.len() + 1024), "{len} bytes");
                let body = answer.document();
                assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
            }
        }
    }
    taken
}
