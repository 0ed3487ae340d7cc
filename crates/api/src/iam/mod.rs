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

use std::sync::Arc;

use http::{Request, Response};
use strongroom_iam::IamService;

pub use credentials::IamCredentials;

use crate::intake::{EdgeOptions, EdgePorts};
use crate::query::{Operation, QueryEdge, QueryService};
use crate::s3::{AnyBody, IncomingBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::Service;

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
    pub fn new(service: Arc<IamService>, ports: EdgePorts, options: EdgeOptions) -> Self {
        Self(QueryEdge::new(Arc::new(Iam(service)), ports, options))
    }

    /// Answers one request, whatever is wrong with it.
    pub async fn handle<B: IncomingBody>(
        &self,
        request: Request<B>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        self.0.handle(request.map(AnyBody::new), connection).await
    }
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    operations::OPERATIONS.iter().map(|it| (it.name, it.action))
}
