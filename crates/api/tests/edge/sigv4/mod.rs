//! SigV4 against AWS's published examples, against botocore, and against tampering.

mod bodies;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use strongroom_api::sigv4::{Credential, CredentialSource, SessionToken, SigningSecret, Verifier};
use strongroom_ports::Clock;
use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Principal, Region, Timestamp};

const ACCESS: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct One(Arc<Credential>);

impl CredentialSource for One {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (*id == self.0.access_key_id).then(|| self.0.clone())
    }
}

fn verifier_with(region: &str, now: &str, token: Option<SessionToken>) -> Verifier {
    let credential = Credential {
        access_key_id: AccessKeyId::parse(ACCESS).unwrap(),
        secret: SigningSecret::new(SECRET),
        principal: Principal::Root {
            account: AccountId::parse("000000000001").unwrap(),
        },
        canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
        session_token: token,
    };
    Verifier::new(
        Region::parse(region).unwrap(),
        Arc::new(At(Timestamp::parse_amz_date(now).unwrap())),
        Arc::new(One(Arc::new(credential))),
    )
}

fn verifier() -> Verifier {
    verifier_with("us-east-1", "20130524T000000Z", None)
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS}/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
    )
}
