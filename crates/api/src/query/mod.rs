//! AWS Query: what every service of that protocol does with a request.
//!
//! ```text
//!   size -> sigv4 -> Params -> Action, Version (the service's table) -> the operation
//!                                                                           |
//!   client <- <OpResponse><OpResult>..., or <ErrorResponse> <---------------+
//! ```
//!
//! Parameters may be secrets' names and policies, answers secrets: neither is ever logged.
//!
//! Source: Smithy, "AWS query protocol"; IAM and STS API References, "Making query requests".

mod edge;
mod error;
mod params;

pub(crate) use edge::{Operation, Outcome, QueryEdge, QueryService, answer, void};
pub(crate) use error::ErrorAnswer;
pub(crate) use params::Params;

use strongroom_types::Timestamp;

use crate::sigv4::uri;

/// A document as answers carry it: every byte but `A-Z a-z 0-9 - . _ ~` as `%XX` (RFC 3986).
pub(crate) fn encoded(document: &str) -> String {
    let mut out = Vec::with_capacity(document.len().saturating_mul(2));
    uri::encode_into(&mut out, document.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// `2026-11-21T02:36:00Z`: without a fraction.
pub(crate) fn date(time: Timestamp) -> String {
    let text = Timestamp::from_seconds(time.as_seconds()).to_iso8601();
    text.replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_dates_have_the_form_of_iam() {
        assert_eq!(encoded(r#"{"a": "~*"}"#), "%7B%22a%22%3A%20%22~%2A%22%7D");
        assert_eq!(
            date(Timestamp::from_millis(1_369_353_600_123)),
            "2013-05-24T00:00:00Z"
        );
    }
}
