//! The gate in front of all services: shut while the server is sealed, and opened once.

use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use strongroom_ports::Entropy;
use strongroom_types::RequestId;

use crate::front::{Addressee, addressee};
use crate::json::{self, ErrorAnswer};
use crate::query;
use crate::s3::{ResponseBody, set_header};
use crate::server::{ConnectionInfo, Handler, RequestBody};
use crate::xml::XmlWriter;
use crate::{Front, iam, sts};

const MESSAGE: &str =
    "This server is sealed: it has no keys yet. Its operator opens it with: strongroom unseal";

/// Answers every request with 503 until there is a [`Front`], and hands requests to it from then on.
///
/// A sealed server knows no credential, so nothing is authenticated, and the answer is the same for
/// everybody. It is a 503: clients try again, which is right, since the data is there.
pub struct Gate {
    front: OnceLock<Arc<Front>>,
    entropy: Arc<dyn Entropy>,
}

impl Gate {
    /// A gate that is shut.
    pub fn shut(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            front: OnceLock::new(),
            entropy,
        }
    }

    /// Lets requests through to `front` from now on. Nothing shuts a gate again: the first call
    /// counts.
    pub fn open(&self, front: Arc<Front>) {
        // A second front would be another set of services over the same store.
        let _ = self.front.set(front);
    }

    /// [`Front::settled`].
    pub async fn settled(&self) {
        if let Some(front) = self.front.get() {
            front.settled().await;
        }
    }
}

impl Handler for Gate {
    type Body = ResponseBody;

    async fn handle(
        &self,
        request: Request<RequestBody>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        match self.front.get() {
            Some(front) => front.handle(request, connection).await,
            None => refusal(&request.into_parts().0, RequestId::random(&*self.entropy)),
        }
    }
}

/// The refusal in the shape that the client of each protocol understands.
fn refusal(parts: &Parts, request_id: RequestId) -> Response<ResponseBody> {
    metrics::counter!("strongroom_sealed_refusals_total").increment(1);
    let uuid = request_id.to_uuid();
    let query = |namespace: &str| {
        let answer = query::ErrorAnswer::new("ServiceUnavailable", 503, MESSAGE);
        (answer.response(namespace, &uuid), "text/xml")
    };
    let (mut response, kind) = match addressee(parts) {
        Addressee::Kms | Addressee::CloudTrail => {
            let answer = ErrorAnswer {
                name: "ServiceUnavailableException",
                status: 503,
                message: Some(MESSAGE.into()),
            };
            (answer.response(), json::CONTENT_TYPE)
        }
        Addressee::Iam => query(iam::NAMESPACE),
        Addressee::Sts => query(sts::NAMESPACE),
        Addressee::S3 => (s3_refusal(parts, request_id), "application/xml"),
    };
    let headers = response.headers_mut();
    set_header(headers, "content-type", kind);
    set_header(headers, "x-amzn-requestid", &uuid);
    set_header(headers, "x-amz-request-id", &request_id.to_string());
    set_header(headers, "server", "Strongroom");
    response
}

fn s3_refusal(parts: &Parts, request_id: RequestId) -> Response<ResponseBody> {
    let body = if parts.method == Method::HEAD {
        ResponseBody::empty()
    } else {
        let mut xml = XmlWriter::new("Error", None);
        xml.element("Code", "ServiceUnavailable");
        xml.element("Message", MESSAGE);
        xml.element("Resource", parts.uri.path());
        xml.element("RequestId", &request_id.to_string());
        ResponseBody::whole(xml.finish())
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn told(request: http::request::Builder) -> (u16, String, String) {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = refusal(&parts, RequestId::from_bytes([7; 16]));
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response
            .into_body()
            .collect()
            .await
            .ok()
            .unwrap()
            .to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_shut_gate_answers_503_in_every_protocol() {
        let (status, kind, body) = told(Request::get("/bucket/key")).await;
        assert_eq!((status, kind.as_str()), (503, "application/xml"));
        assert!(body.contains("<Code>ServiceUnavailable</Code>"), "{body}");
        assert!(body.contains("strongroom unseal"));

        let (status, _, body) = told(Request::head("/bucket/key")).await;
        assert_eq!((status, body.as_str()), (503, ""));

        let target = Request::post("/").header("x-amz-target", "TrentService.Decrypt");
        let (status, kind, body) = told(target).await;
        assert_eq!((status, kind.as_str()), (503, "application/x-amz-json-1.1"));
        assert!(body.contains("ServiceUnavailableException"), "{body}");

        let form = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
        let (status, kind, body) = told(form).await;
        assert_eq!((status, kind.as_str()), (503, "text/xml"));
        assert!(body.contains("<ErrorResponse"), "{body}");
    }
}
