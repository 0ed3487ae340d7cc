//! `userIdentity`: who asked, for every kind of principal.

use std::sync::Arc;

use strongroom_types::{
    AccessKeyId, AccountId, Principal, RequestContext, Session, SessionKind, Timestamp, WebIdentity,
};

use crate::json::Json;

/// How a call is marked that a service makes in the name of its caller, with the service's first name
/// between the two: `fas.s3.amazonaws.com`. Users of AWS see this name today; older documents say
/// `AWS Internal`. The one place that says so.
const FORWARDED: (&str, &str) = ("fas.", ".amazonaws.com");
/// Who acts when nobody asked: rotation, deletion, delivery (KMS Developer Guide, `ct-rotatekey`).
pub const AWS_INTERNAL: &str = "AWS Internal";

/// The name under which the service `via` calls for its caller: of `s3.us-east-1.amazonaws.com`,
/// `fas.s3.amazonaws.com`.
pub fn forwarded_by(via: &str) -> String {
    let service = via.split('.').next().unwrap_or_default();
    format!("{}{service}{}", FORWARDED.0, FORWARDED.1)
}

/// Who asked, as a record says it and as it is searched by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The member `userIdentity`.
    pub json: String,
    /// What LookupEvents calls `Username`.
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    pub arn: Option<String>,
}

impl Identity {
    /// Who asks in `context`.
    pub(crate) fn of(context: &RequestContext) -> Self {
        let RequestContext {
            principal,
            access_key_id,
            session,
            via_service,
            ..
        } = context;
        let mut json = Json::new();
        json.open();
        let (kind, principal_id, user_name) = match principal {
            Principal::Root { account } => ("Root", account.to_string(), Some("root".to_owned())),
            Principal::User {
                user_id,
                path_and_name,
                ..
            } => {
                let name = path_and_name.rsplit('/').next().unwrap_or_default();
                ("IAMUser", user_id.to_string(), Some(name.to_owned()))
            }
            Principal::RoleSession {
                role_id,
                session_name,
                ..
            } => (
                "AssumedRole",
                format!("{role_id}:{session_name}"),
                Some(session_name.to_string()),
            ),
            Principal::Federated { account, name } => (
                "FederatedUser",
                format!("{account}:{name}"),
                Some(name.to_string()),
            ),
            Principal::Service { name, .. } => {
                json.text("type", "AWSService");
                json.text("invokedBy", name);
                json.close();
                return Self {
                    json: json.into_string(),
                    user_name: Some(name.to_string()),
                    ..Self::default()
                };
            }
            Principal::Anonymous => {
                if let Some((provider, of)) = web_identity(session.as_deref()) {
                    return Self::of_web_identity(provider, of);
                }
                json.text("type", "AWSAccount");
                json.text("principalId", "");
                json.text("accountId", "ANONYMOUS_PRINCIPAL");
                invoked_by(&mut json, via_service.as_ref());
                json.close();
                return Self {
                    json: json.into_string(),
                    ..Self::default()
                };
            }
        };
        let arn = principal.arn();
        json.text("type", kind);
        json.text("principalId", &principal_id);
        json.text("arn", &arn);
        let account = principal.account().map(|it| it.to_string());
        json.optional("accountId", account.as_deref());
        json.optional(
            "accessKeyId",
            access_key_id.as_ref().map(AccessKeyId::as_str),
        );
        if let Principal::User { .. } = principal {
            json.optional("userName", user_name.as_deref());
        }
        session_context(&mut json, context, session.as_deref());
        invoked_by(&mut json, via_service.as_ref());
        json.close();
        Self {
            json: json.into_string(),
            user_name,
            access_key_id: access_key_id.as_ref().map(ToString::to_string),
            arn: Some(arn),
        }
    }

    /// Who proved itself to an OpenID Connect provider (CloudTrail User Guide, "`userIdentity` element",
    /// on AWS STS APIs with SAML and web identity federation).
    fn of_web_identity(provider: &str, WebIdentity { audience, subject }: &WebIdentity) -> Self {
        let mut json = Json::new();
        json.open();
        json.text("type", "WebIdentityUser");
        json.text("principalId", &format!("{provider}:{audience}:{subject}"));
        json.text("userName", subject);
        json.text("identityProvider", provider);
        json.close();
        Self {
            json: json.into_string(),
            user_name: Some(subject.clone()),
            ..Self::default()
        }
    }

    /// A service that acts by itself, in an account.
    pub(crate) fn internal(account: &str) -> Self {
        let mut json = Json::new();
        json.open();
        json.text("accountId", account);
        json.text("invokedBy", AWS_INTERNAL);
        json.close();
        Self {
            json: json.into_string(),
            ..Self::default()
        }
    }

    /// Of somebody of whom only the ARN, and perhaps the access key, is known.
    pub(crate) fn of_arn(arn: &str, access_key_id: Option<&str>) -> Self {
        let mut fields = arn.splitn(6, ':').skip(4);
        let (account, resource) = (fields.next(), fields.next().unwrap_or_default());
        let name = resource.rsplit('/').next().unwrap_or_default();
        let kind = match resource.split('/').next() {
            Some("root") => "Root",
            Some("user") => "IAMUser",
            Some("assumed-role") => "AssumedRole",
            Some("federated-user") => "FederatedUser",
            _ if arn == "anonymous" => "AWSAccount",
            _ => "AWSService",
        };
        let mut json = Json::new();
        json.open();
        json.text("type", kind);
        json.text("arn", arn);
        json.optional("accountId", account);
        json.optional("accessKeyId", access_key_id);
        if kind == "IAMUser" {
            json.text("userName", name);
        }
        json.close();
        Self {
            json: json.into_string(),
            user_name: (!name.is_empty()).then(|| name.to_owned()),
            access_key_id: access_key_id.map(str::to_owned),
            arn: Some(arn.to_owned()),
        }
    }
}

/// The provider that vouches for a caller without an account, and for whom.
fn web_identity(session: Option<&Session>) -> Option<(&str, &WebIdentity)> {
    let session = session?;
    let provider = session.federated_provider.as_deref()?;
    Some((provider, session.web_identity.as_ref()?))
}

/// In whose trail a call is that names nobody else's: in the caller's account, or in that of the
/// provider which vouches for it.
pub(crate) fn account_of(context: &RequestContext) -> Option<AccountId> {
    context.principal.acts_in().or_else(|| {
        let (provider, _) = web_identity(context.session.as_deref())?;
        AccountId::parse(provider.split(':').nth(4)?).ok()
    })
}

fn invoked_by(json: &mut Json, via: Option<&Arc<str>>) {
    if let Some(via) = via {
        json.text("invokedBy", &forwarded_by(via));
    }
}

fn session_context(json: &mut Json, context: &RequestContext, session: Option<&Session>) {
    let Some(session) = session else { return };
    json.name("sessionContext");
    json.open();
    let account = context.principal.account();
    let account = account.as_ref().map_or("", |it| it.as_str());
    match (&context.principal, &session.kind) {
        (
            Principal::RoleSession {
                role_id,
                role_name,
                role_arn,
                ..
            },
            _,
        ) => {
            json.name("sessionIssuer");
            json.open();
            json.text("type", "Role");
            json.text("principalId", role_id);
            json.text("arn", role_arn);
            json.text("accountId", account);
            json.text("userName", role_name);
            json.close();
        }
        (_, SessionKind::Federated { issuer_id }) => {
            json.name("sessionIssuer");
            json.open();
            let root = issuer_id.is_empty();
            json.text("type", if root { "Root" } else { "IAMUser" });
            json.text("principalId", if root { account } else { issuer_id });
            json.text("accountId", account);
            json.close();
        }
        (_, SessionKind::Token | SessionKind::Role | SessionKind::WebIdentity) => {}
    }
    if let Some(provider) = &session.federated_provider {
        json.name("webIdFederationData");
        json.open();
        json.text("federatedProvider", provider);
        json.name("attributes");
        json.open();
        json.close();
        json.close();
    }
    json.name("attributes");
    json.open();
    json.text("creationDate", &whole_second(session.issued));
    json.text("mfaAuthenticated", "false");
    json.close();
    json.optional("sourceIdentity", session.source_identity.as_deref());
    json.close();
}

/// `2026-01-02T10:00:00Z`: records and digests know whole seconds only.
pub(crate) fn whole_second(time: Timestamp) -> String {
    let mut text = time.to_iso8601();
    text.truncate(19);
    text.push('Z');
    text
}
