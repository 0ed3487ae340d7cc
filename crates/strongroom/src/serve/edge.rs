//! What answers requests.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode};
use strongroom_api::server::{ConnectionInfo, Handler, RequestBody};

use super::Parts;
use crate::config::Settings;

/// The handler of all requests.
pub(super) fn handler(_settings: &Settings, _parts: &Parts) -> Arc<impl Handler> {
    Arc::new(|_: Request<RequestBody>, _: ConnectionInfo| async {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
}
