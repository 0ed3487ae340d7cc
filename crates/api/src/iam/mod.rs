//! The IAM API in front of the identity service.
//!
//! ```text
//!   query (bounds, signature, parameters) -> operations (the table) -> IamService
//!                              answers (XML), error (what is told)
//! ```
//!
//! Source: IAM API Reference (2010-05-08).

mod answers;
mod credentials;
mod error;
mod oidc_providers;
mod operations;

use std::error::Error;
use std::sync::Arc;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use strongroom_iam::IamService;
use strongroom_ports::{Clock, Entropy};
use strongroom_types::Region;

pub use credentials::IamCredentials;

use crate::query::{Operation, QueryEdge, QueryEdgeOptions, QueryService};
use crate::recording::Recorder;
use crate::s3::{AnyBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::{Service, Verifier};

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct IamApiOptions {
    /// This server's region.
    pub region: Region,
    /// Answers with secrets over plain HTTP to other hosts.
    pub danger_keys_over_plain_http: bool,
}

/// Of the service's XML documents.
pub(crate) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The IAM protocol in front of the identity service.
pub struct IamApi(QueryEdge<Iam>);

/// IAM's half of the identity service.
struct Iam(Arc<IamService>);

impl QueryService for Iam {
    const SERVICE: Service = Service::Iam;
    const VERSION: &'static str = "2010-05-08";
    const NAMESPACE: &'static str = NAMESPACE;
    const TAKES_GET: bool = true;
    const FOR_STRANGERS: &'static [&'static str] = &[];

    fn operation(name: &str) -> Option<&'static Operation<Self>> {
        operations::OPERATIONS.iter().find(|it| it.name == name)
    }
}

impl IamApi {
    /// Puts the protocol in front of a service.
    pub fn new(
        service: Arc<IamService>,
        verifier: Verifier,
        options: IamApiOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let options = QueryEdgeOptions {
            region: options.region,
            danger_keys_over_plain_http: options.danger_keys_over_plain_http,
        };
        let service = Arc::new(Iam(service));
        Self(QueryEdge::new(
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
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    operations::OPERATIONS.iter().map(|it| (it.name, it.action))
}
