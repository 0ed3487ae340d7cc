//! Why a request was denied, in its answer: sealed, for those who may decode it.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use strongroom_iam::Identities;
use strongroom_policy::Denials;
use strongroom_ports::Entropy;

use crate::s3::ResponseBody;

/// The header that carries it. AWS has the message in the text of some services' errors (EC2's), and
/// none for those that are here; a header changes no text and reaches also who asks with HEAD.
pub const AUTHORIZATION_MESSAGE: &str = "x-strongroom-authorization-message";

/// Puts an encoded authorization message into every answer that denies. Who has
/// `sts:DecodeAuthorizationMessage` in the caller's account reads it with `aws sts
/// decode-authorization-message`; to everybody else it tells nothing. Strangers get none.
pub struct Explainer {
    denials: Arc<Denials>,
    identities: Arc<Identities>,
    entropy: Arc<dyn Entropy>,
}

impl Explainer {
    /// Explains what is in `denials`, where the authorizer puts it.
    pub fn new(
        denials: Arc<Denials>,
        identities: Arc<Identities>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            denials,
            identities,
            entropy,
        }
    }

    pub(crate) fn explain(&self, response: &mut Response<ResponseBody>) {
        let Some(denial) =
            request_of(response.headers()).and_then(|request| self.denials.take(request))
        else {
            return;
        };
        // The key service says it with 400. A denial that did not decide the answer (which is then
        // another, such as 404) is not told.
        if !matches!(
            response.status(),
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
        ) {
            return;
        }
        let sealed = self.identities.seal_authorization_message(
            denial.account,
            &denial.message,
            &self.entropy,
        );
        if let Ok(value) = HeaderValue::from_str(&sealed) {
            response.headers_mut().insert(AUTHORIZATION_MESSAGE, value);
        }
    }
}

/// The first eight bytes of the request's id, as the services print it: S3 those alone, the others
/// all as a UUID.
fn request_of(headers: &HeaderMap) -> Option<u64> {
    let shown = headers
        .get("x-amz-request-id")
        .or_else(|| headers.get("x-amzn-requestid"))?
        .to_str()
        .ok()?;
    let digits: String = shown.chars().filter(|it| *it != '-').take(16).collect();
    u64::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use strongroom_types::RequestId;

    use super::*;

    #[test]
    fn both_ways_to_print_an_id_name_the_same_request() {
        let id =
            RequestId::from_bytes([0xA1, 2, 3, 4, 5, 6, 7, 0xF8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            request_of(&headers)
        };
        let expected = Some(0xA102_0304_0506_07F8);
        assert_eq!(of("x-amz-request-id", &id.to_string()), expected);
        assert_eq!(of("x-amzn-requestid", &id.to_uuid()), expected);
        assert_eq!(of("x-amz-request-id", "nonsense"), None);
        assert_eq!(request_of(&HeaderMap::new()), None);
    }
}
