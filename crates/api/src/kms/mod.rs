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

use std::error::Error;
use std::sync::Arc;

use bytes::Buf;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use strongroom_kms::KeyService;
use strongroom_ports::{Clock, Entropy};
use strongroom_types::Region;

use crate::json::{JsonEdge, JsonEdgeOptions};
use crate::recording::Recorder;
use crate::s3::{AnyBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::Verifier;

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct KmsApiOptions {
    /// This server's region.
    pub region: Region,
    /// Answers over plain HTTP to other hosts: plaintexts and data keys in clear.
    pub danger_keys_over_plain_http: bool,
}

/// The KMS protocol in front of the key service.
pub struct KmsApi(JsonEdge<KeyService>);

impl KmsApi {
    /// Puts the protocol in front of a service.
    pub fn new(
        service: Arc<KeyService>,
        verifier: Verifier,
        options: KmsApiOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let options = JsonEdgeOptions {
            region: options.region,
            danger_keys_over_plain_http: options.danger_keys_over_plain_http,
        };
        Self(JsonEdge::new(
            service, verifier, options, clock, entropy, recorder,
        ))
    }

    /// Answers one request, whatever is wrong with it.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody>
    where
        B: Body<Data: Buf + Send> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        self.0.handle(parts, AnyBody::new(body), connection).await
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
