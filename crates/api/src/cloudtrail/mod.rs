//! The CloudTrail API in front of the trail.
//!
//! ```text
//!   json (bounds, signature, shapes) -> operations (the table) -> handle_* -> CloudTrail
//!                      shapes (what may be sent)        answers, error (what is told)
//! ```
//!
//! Source: AWS CloudTrail API Reference (2013-11-01).

mod delivery;
mod error;
mod handle_events;
mod handle_selectors;
mod handle_tags;
mod handle_trails;
mod operations;
mod shapes;

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use strongroom_audit::service::CloudTrail;
use strongroom_types::Region;

pub use self::delivery::{S3Delivery, S3DeliveryPorts, S3Sink};
use crate::intake::{EdgeOptions, EdgePorts};
use crate::json::JsonEdge;
use crate::s3::{AnyBody, IncomingBody, ResponseBody};
use crate::server::ConnectionInfo;

/// The CloudTrail protocol in front of the trail.
pub struct CloudTrailApi(JsonEdge<CloudTrail>);

impl CloudTrailApi {
    /// Puts the protocol in front of the service.
    pub fn new(service: Arc<CloudTrail>, ports: EdgePorts, region: Region) -> Self {
        let options = EdgeOptions {
            region,
            // No key material is in any request or answer, and records hide what is secret.
            danger_keys_over_plain_http: true,
        };
        Self(JsonEdge::new(service, ports, options))
    }

    /// Answers one request, whatever is wrong with it.
    pub async fn handle<B: IncomingBody>(
        &self,
        request: Request<B>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        self.0.handle(request.map(AnyBody::new), connection).await
    }

    /// Whether the headers name a target of CloudTrail.
    pub(crate) fn is_target(headers: &HeaderMap) -> bool {
        JsonEdge::<CloudTrail>::is_target(headers)
    }
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    operations::supported().map(|it| (it.name, it.action))
}
