//! The KMS API in front of the key service.
//!
//! ```text
//!   json (bounds, signature, shapes) -> operations (the table) -> handle_* -> KeyService
//!                      shapes (what may be sent)      answers, error (what is told)
//! ```
//!
//! Source: AWS KMS API Reference (2014-11-01).

mod answers;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle_aliases;
mod handle_asymmetric;
mod handle_crypto;
mod handle_grants;
mod handle_import;
mod handle_keys;
mod handle_policies;
mod handle_rotation;
mod operations;
mod records;
mod shapes;

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use strongroom_kms::KeyService;

use crate::intake::{EdgeOptions, EdgePorts};
use crate::json::JsonEdge;
use crate::s3::{AnyBody, IncomingBody, ResponseBody};
use crate::server::ConnectionInfo;

/// The KMS protocol in front of the key service.
pub struct KmsApi(JsonEdge<KeyService>);

impl KmsApi {
    /// Puts the protocol in front of a service.
    pub fn new(service: Arc<KeyService>, ports: EdgePorts, options: EdgeOptions) -> Self {
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

    /// Whether the headers name a target of KMS.
    pub(crate) fn is_target(headers: &HeaderMap) -> bool {
        JsonEdge::<KeyService>::is_target(headers)
    }
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    operations::all().map(|it| (it.name, it.action))
}

/// The members of an operation's input.
#[cfg(test)]
pub(crate) fn members(name: &str) -> &'static [crate::json::Member] {
    let found = operations::all().find(|it| it.name == name);
    found.map_or(&[], |it| it.members)
}
