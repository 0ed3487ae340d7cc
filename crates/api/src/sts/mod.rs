//! The STS API in front of the identity service.
//!
//! Source: AWS STS API Reference (2011-06-15).

use std::sync::Arc;

use http::{Request, Response};
use strongroom_iam::{
    AssumeRoleInput, AssumeRoleWithWebIdentityInput, GetFederationTokenInput, IamService,
    SessionInput, Tag, TemporaryCredentials,
};
use strongroom_types::RequestContext;
use zeroize::Zeroizing;

use crate::intake::{EdgeOptions, EdgePorts};
use crate::query::{
    ErrorAnswer, Operation, Outcome, Params, QueryEdge, QueryService, answer, date,
};
use crate::recording::Recorded;
use crate::s3::{AnyBody, IncomingBody, ResponseBody};
use crate::server::ConnectionInfo;
use crate::sigv4::Service;
use crate::xml::XmlWriter;

/// Of the service's XML documents.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The STS protocol in front of the identity service.
pub struct StsApi(QueryEdge<Sts>);

/// STS's half of the identity service.
struct Sts(Arc<IamService>);

impl QueryService for Sts {
    const SERVICE: Service = Service::Sts;
    const VERSION: &'static str = "2011-06-15";
    const NAMESPACE: &'static str = NAMESPACE;
    const TAKES_GET: bool = true;
    /// The token is the proof. AssumeRoleWithSAML would be the other one.
    const FOR_STRANGERS: &'static [&'static str] = &["AssumeRoleWithWebIdentity"];

    fn operation(name: &str) -> Option<&'static Operation<Self>> {
        OPERATIONS.iter().find(|it| it.name == name)
    }
}

impl StsApi {
    /// Puts the protocol in front of a service.
    pub fn new(service: Arc<IamService>, ports: EdgePorts, options: EdgeOptions) -> Self {
        Self(QueryEdge::new(Arc::new(Sts(service)), ports, options))
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

macro_rules! operations {
    ($($name:ident $secret:literal $recorded:ident $run:ident;)*) => {
        const OPERATIONS: &[Operation<Sts>] = &[$(
            Operation {
                name: stringify!($name),
                action: concat!("sts:", stringify!($name)),
                response: concat!(stringify!($name), "Response"),
                result: concat!(stringify!($name), "Result"),
                recorded: Recorded::$recorded,
                gives_secret: $secret,
                run: $run,
            },
        )*];
    };
}

operations! {
    AssumeRole true InTransaction assume_role;
    AssumeRoleWithWebIdentity true InTransaction assume_role_with_web_identity;
    DecodeAuthorizationMessage false AtEdge decode_authorization_message;
    GetAccessKeyInfo false AtEdge get_access_key_info;
    GetCallerIdentity false AtEdge get_caller_identity;
    GetFederationToken true InTransaction get_federation_token;
    GetSessionToken true InTransaction get_session_token;
}

type Caller = RequestContext;

fn assume_role(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    if p.optional("TokenCode").is_some() || p.optional("SerialNumber").is_some() {
        return Err(ErrorAnswer::new(
            "AccessDenied",
            403,
            "MultiFactorAuthentication failed with invalid MFA one time pass code.",
        ));
    }
    let input = AssumeRoleInput {
        role_arn: p.required("RoleArn")?.to_owned(),
        session_name: p.required("RoleSessionName")?.to_owned(),
        session: session(p)?,
        transitive_tag_keys: p.list("TransitiveTagKeys"),
        external_id: p.optional("ExternalId").map(str::to_owned),
        source_identity: p.optional("SourceIdentity").map(str::to_owned),
    };
    let assumed = sts.0.assume_role(caller, &input)?;
    answer(move |xml| {
        credentials(xml, &assumed.credentials);
        xml.nested("AssumedRoleUser", |xml| {
            xml.element("AssumedRoleId", &assumed.assumed_role_id);
            xml.element("Arn", &assumed.arn);
        });
        packed(xml, assumed.packed_percent);
        xml.optional("SourceIdentity", assumed.source_identity.as_deref());
    })
}

fn assume_role_with_web_identity(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    // Of providers without OpenID Connect, which are not here.
    if p.optional("ProviderId").is_some() {
        return Err(ErrorAnswer::new(
            "InvalidIdentityToken",
            400,
            "ProviderId is for OAuth 2.0 access tokens, which this server does not take.",
        ));
    }
    let input = AssumeRoleWithWebIdentityInput {
        role_arn: p.required("RoleArn")?.to_owned(),
        session_name: p.required("RoleSessionName")?.to_owned(),
        token: Zeroizing::new(p.required("WebIdentityToken")?.to_owned()),
        session: SessionInput {
            duration_seconds: p.number("DurationSeconds")?,
            policy: p.optional("Policy").map(str::to_owned),
            policy_arns: p.members("PolicyArns", "arn"),
            tags: Vec::new(),
        },
    };
    let mut proven = None;
    let made = sts
        .0
        .assume_role_with_web_identity(caller, &input, &mut proven);
    let made = made.map_err(|error| ErrorAnswer {
        proven,
        ..error.into()
    })?;
    answer(move |xml| {
        credentials(xml, &made.assumed.credentials);
        xml.element("SubjectFromWebIdentityToken", &made.subject);
        xml.nested("AssumedRoleUser", |xml| {
            xml.element("AssumedRoleId", &made.assumed.assumed_role_id);
            xml.element("Arn", &made.assumed.arn);
        });
        packed(xml, made.assumed.packed_percent);
        xml.element("Provider", &made.provider);
        xml.element("Audience", &made.audience);
        xml.optional("SourceIdentity", made.assumed.source_identity.as_deref());
    })
}

fn decode_authorization_message(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    let message = sts
        .0
        .decode_authorization_message(caller, p.required("EncodedMessage")?)?;
    answer(move |xml| xml.element("DecodedMessage", &message))
}

fn get_access_key_info(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    let account = sts
        .0
        .get_access_key_info(caller, p.required("AccessKeyId")?)?;
    answer(move |xml| xml.value("Account", account))
}

fn get_caller_identity(sts: &Sts, caller: &Caller, _: &Params) -> Outcome {
    let identity = sts.0.get_caller_identity(caller)?;
    answer(move |xml| {
        xml.element("Arn", &identity.arn);
        xml.element("UserId", &identity.user_id);
        xml.value("Account", identity.account);
    })
}

fn get_federation_token(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    let input = GetFederationTokenInput {
        name: p.required("Name")?.to_owned(),
        session: session(p)?,
    };
    let federated = sts.0.get_federation_token(caller, &input)?;
    answer(move |xml| {
        credentials(xml, &federated.credentials);
        xml.nested("FederatedUser", |xml| {
            xml.element("FederatedUserId", &federated.federated_user_id);
            xml.element("Arn", &federated.arn);
        });
        packed(xml, federated.packed_percent);
    })
}

fn get_session_token(sts: &Sts, caller: &Caller, p: &Params) -> Outcome {
    let with_mfa = p.optional("TokenCode").is_some() || p.optional("SerialNumber").is_some();
    let seconds = p.number("DurationSeconds")?;
    let made = sts.0.get_session_token(caller, seconds, with_mfa)?;
    answer(move |xml| credentials(xml, &made))
}

fn session(p: &Params) -> Result<SessionInput, ErrorAnswer> {
    Ok(SessionInput {
        duration_seconds: p.number("DurationSeconds")?,
        policy: p.optional("Policy").map(str::to_owned),
        policy_arns: p.members("PolicyArns", "arn"),
        tags: p
            .pairs("Tags")
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect(),
    })
}

fn credentials(xml: &mut XmlWriter, made: &TemporaryCredentials) {
    xml.nested("Credentials", |xml| {
        xml.element("AccessKeyId", &made.access_key_id);
        xml.element("SecretAccessKey", made.secret.expose());
        xml.element("SessionToken", made.session_token.expose());
        xml.element("Expiration", &date(made.expires));
    });
}

fn packed(xml: &mut XmlWriter, percent: usize) {
    if percent > 0 {
        xml.value("PackedPolicySize", percent);
    }
}

/// Every operation and the action that it asks first.
#[cfg(test)]
pub(crate) fn actions() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPERATIONS.iter().map(|it| (it.name, it.action))
}
