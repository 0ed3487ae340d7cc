//! The front of the port: which service a request is for.

use http::request::Parts;
use http::{Request, Response};

use crate::cloudtrail::CloudTrailApi;
use crate::explainer::Explainer;
use crate::forwarded::TrustedProxies;
use crate::iam::IamApi;
use crate::kms::KmsApi;
use crate::s3::{IncomingBody, ResponseBody, S3Api};
use crate::server::{ConnectionInfo, RequestBody};
use crate::sigv4::{Service, peek_service};
use crate::sts::StsApi;

/// All services behind one port.
///
/// A signed request belongs to the service of its credential scope. A request that is signed for S3
/// or not at all, and names a target as the JSON services do, is answered in the shape of that
/// service, which refuses it: scope and target must agree. A form that nobody signed is for STS, the
/// only service that has operations for strangers.
pub struct Front {
    s3: S3Api,
    kms: KmsApi,
    iam: IamApi,
    sts: StsApi,
    cloudtrail: CloudTrailApi,
    proxies: TrustedProxies,
    explainer: Option<Explainer>,
}

impl Front {
    /// Puts the services behind one port.
    pub fn new(
        s3: S3Api,
        kms: KmsApi,
        iam: IamApi,
        sts: StsApi,
        cloudtrail: CloudTrailApi,
    ) -> Self {
        Self {
            s3,
            kms,
            iam,
            sts,
            cloudtrail,
            proxies: TrustedProxies::default(),
            explainer: None,
        }
    }

    /// Believes what these proxies say of those who ask through them.
    #[must_use]
    pub fn behind(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Adds to answers why they deny, sealed.
    #[must_use]
    pub fn explaining(mut self, explainer: Explainer) -> Self {
        self.explainer = Some(explainer);
        self
    }

    /// Waits until the calls have ended that go on whether anybody waits for their answers or not: when
    /// nobody asks any more, and before what they need is taken away.
    pub async fn settled(&self) {
        self.s3.settled().await;
    }

    /// Answers one request, whatever is wrong with it.
    pub async fn handle<B: IncomingBody>(
        &self,
        request: Request<B>,
        connection: ConnectionInfo,
    ) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let addressee = addressee(&parts);
        let connection = self.proxies.see_through(&parts.headers, connection);
        let request = Request::from_parts(parts, body);
        let mut response = match addressee {
            Addressee::S3 => self.s3.handle(request, connection).await,
            Addressee::Kms => self.kms.handle(request, connection).await,
            Addressee::Iam => self.iam.handle(request, connection).await,
            Addressee::Sts => self.sts.handle(request, connection).await,
            Addressee::CloudTrail => self.cloudtrail.handle(request, connection).await,
        };
        if let Some(explainer) = &self.explainer {
            explainer.explain(&mut response);
        }
        response
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

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Addressee {
    /// And those that are not there yet, for whom it has an answer in their protocols.
    S3,
    Kms,
    Iam,
    Sts,
    CloudTrail,
}

pub(crate) fn addressee(parts: &Parts) -> Addressee {
    // A claim that cannot be read is refused by whoever gets it.
    match peek_service(parts).ok().flatten() {
        Some(Service::Kms) => Addressee::Kms,
        Some(Service::Iam) => Addressee::Iam,
        Some(Service::Sts) => Addressee::Sts,
        Some(Service::CloudTrail) => Addressee::CloudTrail,
        Some(Service::S3) | None if KmsApi::is_target(&parts.headers) => Addressee::Kms,
        Some(Service::S3) | None if CloudTrailApi::is_target(&parts.headers) => {
            Addressee::CloudTrail
        }
        None if is_form(parts) => Addressee::Sts,
        Some(Service::S3 | Service::SecretsManager | Service::CloudFormation) | None => {
            Addressee::S3
        }
    }
}

/// Whether the request is one of the Query protocol. S3's forms are `multipart/form-data`.
fn is_form(parts: &Parts) -> bool {
    let kind = parts.headers.get(http::header::CONTENT_TYPE);
    parts.method == http::Method::POST
        && parts.uri.path() == "/"
        && kind
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scope: Option<&str>, target: Option<&str>) -> Addressee {
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
        addressee(&parts)
    }

    fn is_kms(scope: Option<&str>, target: Option<&str>) -> bool {
        of(scope, target) == Addressee::Kms
    }

    #[test]
    fn a_form_that_nobody_signed_is_for_sts_and_a_signed_one_for_its_scope() {
        let form = |authorization: Option<&str>| {
            let request = Request::post("/").header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            );
            let request = match authorization {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            let (parts, ()) = request.body(()).unwrap().into_parts();
            addressee(&parts)
        };
        assert_eq!(form(None), Addressee::Sts);
        assert_eq!(of(Some("iam"), None), Addressee::Iam);
        assert_eq!(of(Some("sts"), None), Addressee::Sts);
        assert_eq!(of(Some("cloudformation"), None), Addressee::S3);
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
        for target in [
            "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
            "CloudTrail_20131101.LookupEvents",
        ] {
            assert_eq!(of(None, Some(target)), Addressee::CloudTrail);
            assert_eq!(of(Some("cloudtrail"), Some(target)), Addressee::CloudTrail);
            assert_eq!(of(Some("kms"), Some(target)), Addressee::Kms);
        }
    }
}
