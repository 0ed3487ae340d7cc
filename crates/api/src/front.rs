//! The front of the port: which service a request is for.

use std::error::Error;

use bytes::Buf;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;

use crate::kms::KmsApi;
use crate::s3::{ResponseBody, S3Api};
use crate::server::{ConnectionInfo, RequestBody};
use crate::sigv4::{Service, peek_service};

/// All services behind one port.
///
/// A signed request belongs to the service of its credential scope. A request that is signed for S3
/// or not at all, and names a target as the JSON services do, is answered in the shape of that
/// service, which refuses it: scope and target must agree.
pub struct Front {
    s3: S3Api,
    kms: KmsApi,
}

impl Front {
    /// Puts the services behind one port.
    pub fn new(s3: S3Api, kms: KmsApi) -> Self {
        Self { s3, kms }
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
        let is_for_kms = is_for_kms(&parts);
        let request = Request::from_parts(parts, body);
        if is_for_kms {
            self.kms.handle(request, connection).await
        } else {
            self.s3.handle(request, connection).await
        }
    }
}

impl crate::server::Handler for Front {
    type Body = ResponseBody;

    async fn handle(
        &self,
        request: Request<RequestBody>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        Self::handle(self, request, connection).await
    }
}

fn is_for_kms(parts: &Parts) -> bool {
    // A claim that cannot be read is refused by whoever gets it.
    match peek_service(parts).ok().flatten() {
        Some(Service::Kms) => true,
        Some(Service::S3) | None => KmsApi::is_target(&parts.headers),
        Some(
            Service::Iam
            | Service::Sts
            | Service::SecretsManager
            | Service::CloudTrail
            | Service::CloudFormation,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kms(scope: Option<&str>, target: Option<&str>) -> bool {
        let mut request = Request::post("/");
        if let Some(scope) = scope {
            let claim = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/{scope}/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={}",
                "0".repeat(64)
            );
            request = request
                .header("authorization", claim)
                .header("x-amz-date", "20130524T000000Z");
        }
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        is_for_kms(&parts)
    }

    #[test]
    fn the_scope_decides_and_the_target_where_the_scope_is_no_other_service() {
        let target = Some("TrentService.ListKeys");
        assert!(is_kms(Some("kms"), target) && is_kms(Some("kms"), None));
        assert!(is_kms(Some("kms"), Some("secretsmanager.ListSecrets")));
        assert!(is_kms(None, target) && is_kms(Some("s3"), target));
        assert!(!is_kms(Some("iam"), target) && !is_kms(Some("secretsmanager"), target));
        assert!(!is_kms(None, None) && !is_kms(Some("s3"), None));
        assert!(!is_kms(Some("s3"), Some("CloudTrail.ListTrails")));
    }
}
