//! What answers requests: the S3 protocol in front of the S3 service.

use std::sync::Arc;

use http::{Request, Response};
use strongroom_api::s3::{ResponseBody, S3Api, S3ApiOptions};
use strongroom_api::server::{ConnectionInfo, Handler, RequestBody};
use strongroom_api::sigv4::Verifier;

use super::Parts;
use crate::config::Settings;

/// The S3 protocol, as the server shell calls it.
pub(super) struct Edge(S3Api);

impl Handler for Edge {
    type Body = ResponseBody;

    fn handle(
        &self,
        request: Request<RequestBody>,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<ResponseBody>> + Send {
        self.0.handle(request, connection)
    }
}

/// The handler of all requests.
pub(super) fn handler(settings: &Settings, parts: &Parts) -> Arc<Edge> {
    let region = parts.account.region.clone();
    let mut options = S3ApiOptions::new(region.clone());
    if !settings.domains.is_empty() {
        options.domains.clone_from(&settings.domains);
    }
    let verifier = Verifier::new(region, parts.clock.clone(), parts.credentials.clone());
    let (s3, clock, entropy) = (parts.s3.clone(), parts.clock.clone(), parts.entropy.clone());
    Arc::new(Edge(S3Api::new(s3, verifier, options, clock, entropy)))
}
