//! `<Error>` documents and the responses that carry them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::Failure;
use crate::s3::ResponseBody;
use crate::xml::XmlWriter;

/// What an error's document says of the request beside the error itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorPlace {
    /// The path as sent, for `Resource`.
    pub(crate) resource: String,
    /// The bucket; empty where there is none.
    pub(crate) bucket: String,
    /// The method.
    pub(crate) method: String,
    /// `Range`, as sent.
    pub(crate) range: Option<String>,
    /// `x-amz-copy-source-range`, as sent.
    pub(crate) copy_source_range: Option<String>,
    /// `uploadId`, decoded; empty where there is none.
    pub(crate) upload_id: String,
    /// Who asks.
    pub(crate) principal_arn: String,
    /// At what.
    pub(crate) resource_arn: String,
    /// `x-amz-request-id`.
    pub(crate) request_id: String,
    /// `x-amz-id-2`.
    pub(crate) host_id: String,
}

impl ErrorPlace {
    /// The key of the object; none where there is no object.
    pub(crate) fn key(&self) -> Option<&str> {
        let path = self.resource_arn.strip_prefix("arn:aws:s3:::")?;
        path.strip_prefix(&self.bucket)?.strip_prefix('/')
    }
}

/// The response to a failed request. The caller adds the headers that every response has.
pub(crate) fn error_response(failure: &Failure, place: &ErrorPlace) -> Response<ResponseBody> {
    let answer = failure.answer(place);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // Neither has a body by HTTP's rules (RFC 9110, 9.3.2 and 15.4.5).
    let bodiless = place.method == "HEAD" || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless {
        ResponseBody::empty()
    } else {
        ResponseBody::whole(error_document(failure, place))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    if status != StatusCode::NOT_MODIFIED {
        let xml = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(CONTENT_TYPE, xml);
    }
    response
}

/// The `<Error>` document.
pub(crate) fn error_document(failure: &Failure, place: &ErrorPlace) -> Bytes {
    let answer = failure.answer(place);
    let mut xml = XmlWriter::new("Error", None);
    xml.element("Code", answer.code);
    xml.element("Message", &answer.message);
    for (name, value) in &answer.details {
        xml.element(name, value);
    }
    if !answer.details.iter().any(|(name, _)| *name == "Resource") {
        xml.element("Resource", &place.resource);
    }
    xml.element("RequestId", &place.request_id);
    xml.element("HostId", &place.host_id);
    xml.finish()
}
