//! Requests on the same port that are not for S3: a clear answer in the shape of their protocol.

use http::request::Parts;
use http::{Response, StatusCode};
use strongroom_types::RequestId;

use super::{ResponseBody, reply};
use crate::json::{self, ErrorAnswer};
use crate::sigv4::{Service, peek_service};
use crate::xml::XmlWriter;

/// The answer to a request that is signed for another service, or names its operation as another
/// service's protocol does; `None` for requests to S3. Nothing is authenticated: the answer is the
/// same for everybody.
pub(crate) fn answer(parts: &Parts, request_id: RequestId) -> Option<Response<ResponseBody>> {
    let service = peek_service(parts).ok().flatten().unwrap_or(Service::S3);
    match service {
        Service::S3 if parts.headers.contains_key("x-amz-target") => Some(unknown_operation()),
        Service::S3 => None,
        // Only those of SecretsManager and CloudFormation come here: the front knows the others.
        Service::Kms | Service::SecretsManager | Service::CloudTrail => Some(unknown_operation()),
        Service::Iam | Service::Sts | Service::CloudFormation => {
            Some(invalid_action(service, request_id))
        }
    }
}

/// AWS JSON.
fn unknown_operation() -> Response<ResponseBody> {
    let answer = ErrorAnswer::client(
        "UnknownOperationException",
        "This service is not available in this version of the server.",
    );
    let mut response = answer.response();
    reply::set(response.headers_mut(), "content-type", json::CONTENT_TYPE);
    response
}

/// AWS Query.
fn invalid_action(service: Service, request_id: RequestId) -> Response<ResponseBody> {
    let mut xml = XmlWriter::new("ErrorResponse", None);
    xml.nested("Error", |xml| {
        xml.element("Type", "Sender");
        xml.element("Code", "InvalidAction");
        xml.element(
            "Message",
            &format!("The service {service} is not available in this version of the server."),
        );
    });
    xml.element("RequestId", &request_id.to_string());
    let mut response = reply::document(xml.finish());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    reply::set(response.headers_mut(), "content-type", "text/xml");
    response
}
