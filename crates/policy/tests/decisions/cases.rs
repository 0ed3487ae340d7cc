//! Decisions to be made, as plain data: made from a seed, asked of the evaluator, or written down
//! for another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_policy::{
    Acls, Conditions, Decision, Grant, GrantSource, NamedPolicy, Policy, PrincipalAttributes,
    PrincipalPolicies, Question, QuestionedResource, ResourceKind, Unreadable, explain,
};
use strongroom_types::kms::{EncryptionContext, GrantOperation};
use strongroom_types::{
    AccessKeyId, AccountId, Acl, CanonicalId, Entropy, Grantee, Principal, Region, RequestContext,
    RequestId, ServiceSource, Timestamp, TlsVersion, Transport,
};

pub(crate) const OWNER: &str = "111122223333";
pub(crate) const OTHER: &str = "444455556666";
pub(crate) const KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// One decision.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) principal: Principal,
    pub(crate) attributes: PrincipalAttributes,
    pub(crate) canonical_id: Option<String>,
    pub(crate) signed: bool,
    pub(crate) via_service: Option<String>,
    pub(crate) source_ip: String,
    pub(crate) tls: Option<TlsVersion>,
    pub(crate) user_agent: Option<String>,
    pub(crate) received: Timestamp,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) owner: String,
    pub(crate) kind: ResourceKind,
    pub(crate) conditions: Vec<(String, Vec<String>)>,
    pub(crate) context: BTreeMap<String, String>,
    pub(crate) identity: Vec<String>,
    pub(crate) boundary: Option<String>,
    pub(crate) session: Vec<String>,
    pub(crate) resource_policy: Option<String>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) acls: Option<Lists>,
}

/// Access control lists that count.
#[derive(Clone, Debug)]
pub(crate) struct Lists {
    pub(crate) bucket: Acl,
    pub(crate) object: Option<Acl>,
    pub(crate) ignores_public: bool,
}

pub(crate) fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub(crate) fn root(id: &str) -> Principal {
    Principal::Root {
        account: account(id),
    }
}

pub(crate) fn user(id: &str, path_and_name: &str) -> Principal {
    Principal::User {
        account: account(id),
        user_id: format!("AIDA{}", path_and_name.replace('/', "").to_uppercase()).into(),
        path_and_name: path_and_name.into(),
    }
}

pub(crate) fn session(id: &str, role: &str, name: &str) -> Principal {
    Principal::RoleSession {
        account: account(id),
        role_id: format!("AROA{}", role.to_uppercase()).into(),
        role_name: role.into(),
        role_arn: format!("arn:aws:iam::{id}:role/{role}").into(),
        session_name: name.into(),
    }
}

pub(crate) fn federated(id: &str, name: &str) -> Principal {
    Principal::Federated {
        account: account(id),
        name: name.into(),
    }
}

pub(crate) fn service(name: &str) -> Principal {
    Principal::Service {
        name: name.into(),
        source: None,
    }
}

/// A service that acts for something of an account.
pub(crate) fn service_for(name: &str, id: &str, arn: &str) -> Principal {
    let source = ServiceSource {
        account: account(id),
        arn: arn.to_owned(),
    };
    Principal::Service {
        name: name.into(),
        source: Some(source.into()),
    }
}

/// A policy of these statements.
pub(crate) fn policy(statements: &[&str]) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
        statements.join(",")
    )
}

impl Case {
    /// A request to an object of [`OWNER`] over TLS, without any policies.
    pub(crate) fn new(principal: Principal, action: &str, resource: &str) -> Self {
        let mut attributes = PrincipalAttributes::default();
        if let Principal::RoleSession {
            account, role_name, ..
        } = &principal
        {
            attributes.role_arn = Some(format!("arn:aws:iam::{account}:role/{role_name}").into());
        }
        Self {
            signed: principal != Principal::Anonymous,
            principal,
            attributes,
            canonical_id: None,
            via_service: None,
            source_ip: "203.0.113.7".to_owned(),
            tls: Some(TlsVersion::V1_3),
            user_agent: Some("aws-cli/2".to_owned()),
            received: Timestamp::from_seconds(1_767_323_045),
            action: action.to_owned(),
            resource: resource.to_owned(),
            owner: OWNER.to_owned(),
            kind: if resource.starts_with("arn:aws:kms:") {
                ResourceKind::Key
            } else if action == "sts:AssumeRole" {
                ResourceKind::RoleTrust
            } else {
                ResourceKind::Ordinary
            },
            conditions: Vec::new(),
            context: BTreeMap::new(),
            identity: Vec::new(),
            boundary: None,
            session: Vec::new(),
            resource_policy: None,
            grants: Vec::new(),
            acls: None,
        }
    }

    pub(crate) fn condition(mut self, key: &str, value: &str) -> Self {
        self.conditions
            .push((key.to_owned(), vec![value.to_owned()]));
        self
    }

    pub(crate) fn identity(mut self, statements: &[&str]) -> Self {
        self.identity.push(policy(statements));
        self
    }

    pub(crate) fn boundary(mut self, statements: &[&str]) -> Self {
        self.boundary = Some(policy(statements));
        self
    }

    pub(crate) fn session(mut self, statements: &[&str]) -> Self {
        self.session.push(policy(statements));
        self
    }

    pub(crate) fn resource_policy(mut self, statements: &[&str]) -> Self {
        self.resource_policy = Some(policy(statements));
        self
    }

    pub(crate) fn grant(mut self, grantee: &str, operations: &[GrantOperation]) -> Self {
        self.grants.push(Grant {
            grantee_principal: grantee.to_owned(),
            retiring_principal: None,
            operations: operations.to_vec(),
            context_equals: None,
            context_subset: None,
        });
        self
    }

    pub(crate) fn is_allowed(&self) -> bool {
        self.decide().is_allowed()
    }

    pub(crate) fn message(&self) -> String {
        self.ask(|question| explain(question).message(question))
    }

    pub(crate) fn decide(&self) -> Decision {
        self.ask(|question| {
            let decision = explain(question);
            let short = strongroom_policy::evaluate(question);
            let short_denied = short
                .matched
                .iter()
                .any(|it| it.effect == strongroom_policy::Effect::Deny);
            assert_eq!(short.outcome, decision.outcome, "{self:?}");
            assert!(short.matched.iter().all(|it| decision.matched.contains(it)));
            assert!(
                short_denied
                    || !matches!(
                        short.outcome,
                        strongroom_policy::Outcome::ExplicitlyDenied(_)
                    )
            );
            decision
        })
    }

    pub(crate) fn ask<T>(&self, answer: impl FnOnce(&Question<'_>) -> T) -> T {
        let context = self.request_context();
        let mut conditions = Conditions::default();
        for (key, values) in &self.conditions {
            conditions = conditions.with_all(key, values.clone());
        }
        let encryption_context = EncryptionContext::new(self.context.clone()).unwrap();
        let conditions = conditions.with_encryption_context(&encryption_context);
        let policies = self.policies();
        let resource_policy = self.resource_policy.as_deref().map(parse).transpose();
        answer(&Question {
            context: &context,
            action: &self.action,
            resource: QuestionedResource {
                arn: &self.resource,
                owner: account(&self.owner),
                kind: self.kind,
            },
            conditions: &conditions,
            principal: policies.as_ref().map_err(|error| *error),
            resource_policy: match &resource_policy {
                Ok(policy) => Ok(policy.as_deref()),
                Err(error) => Err(*error),
            },
            grants: Some(&Grants(self.grants.clone())),
            acls: self.acls.as_ref().map(|lists| Acls {
                bucket: &lists.bucket,
                object: lists.object.as_ref(),
                ignores_public: lists.ignores_public,
            }),
            overrides: None,
        })
    }

    pub(crate) fn policies(&self) -> Result<PrincipalPolicies, Unreadable> {
        let named = |(index, text): (usize, &String)| {
            Ok(NamedPolicy {
                name: index.to_string().into(),
                policy: parse(text)?,
            })
        };
        Ok(PrincipalPolicies {
            identity: self
                .identity
                .iter()
                .enumerate()
                .map(named)
                .collect::<Result<_, _>>()?,
            boundary: self
                .boundary
                .iter()
                .enumerate()
                .map(named)
                .next()
                .transpose()?,
            session: self
                .session
                .iter()
                .enumerate()
                .map(named)
                .collect::<Result<_, _>>()?,
            attributes: self.attributes.clone(),
        })
    }

    pub(crate) fn request_context(&self) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&Zeroes),
            received: self.received,
            principal: self.principal.clone(),
            canonical_id: self
                .canonical_id
                .as_deref()
                .map(|id| CanonicalId::parse(id).unwrap()),
            access_key_id: self
                .signed
                .then(|| AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap()),
            session: None,
            via_service: self.via_service.as_deref().map(Into::into),
            region: Region::parse("us-east-1").unwrap(),
            source_ip: self.source_ip.parse().unwrap(),
            transport: self.tls.map_or(Transport::Plain, Transport::Tls),
            user_agent: self.user_agent.as_deref().map(Into::into),
            sent: None,
        }
    }

    /// For an evaluator in another language. What condition keys follow from it is its to know.
    pub(crate) fn to_json(&self) -> Value {
        let principal = match &self.principal {
            Principal::Root { account } => json!({"kind": "root", "account": account.as_str()}),
            Principal::User {
                account,
                user_id,
                path_and_name,
            } => json!({
                "kind": "user", "account": account.as_str(), "id": **user_id, "path": **path_and_name,
            }),
            Principal::RoleSession {
                account,
                role_id,
                role_name,
                session_name,
                role_arn: _,
            } => json!({
                "kind": "session", "account": account.as_str(), "id": **role_id,
                "role": **role_name, "session": **session_name,
            }),
            Principal::Federated { account, name } => json!({
                "kind": "federated", "account": account.as_str(), "name": **name,
            }),
            Principal::Service { name, source } => json!({
                "kind": "service", "name": **name,
                "source": source.as_ref().map(|it| json!({"account": it.account.as_str(), "arn": it.arn})),
            }),
            Principal::Anonymous => json!({"kind": "anonymous"}),
        };
        let attributes = &self.attributes;
        let tags: Vec<_> = attributes
            .tags
            .iter()
            .map(|(name, value)| [&**name, &**value])
            .collect();
        let grants: Vec<_> = self
            .grants
            .iter()
            .map(|grant| {
                json!({
                    "grantee": grant.grantee_principal,
                    "retiring": grant.retiring_principal,
                    "operations": grant.operations.iter().map(|it| it.name()).collect::<Vec<_>>(),
                    "equals": grant.context_equals.as_ref().map(EncryptionContext::pairs),
                    "subset": grant.context_subset.as_ref().map(EncryptionContext::pairs),
                })
            })
            .collect();
        json!({
            "principal": principal,
            "role_arn": attributes.role_arn.as_deref(),
            "federator_arn": attributes.federator_arn.as_deref(),
            "provider": attributes.federated_provider.as_deref(),
            "tags": tags,
            "token_issued": attributes.token_issued.map(Timestamp::as_millis),
            "mfa": attributes.multi_factor_auth,
            "source_identity": attributes.source_identity.as_deref(),
            "canonical_id": self.canonical_id,
            "signed": self.signed,
            "via": self.via_service,
            "ip": self.source_ip,
            "tls": self.tls.map(|it| match it { TlsVersion::V1_2 => "1.2", TlsVersion::V1_3 => "1.3" }),
            "user_agent": self.user_agent,
            "received": self.received.as_millis(),
            "region": "us-east-1",
            "action": self.action,
            "resource": self.resource,
            "owner": self.owner,
            "kind": match self.kind {
                ResourceKind::Ordinary => "ordinary",
                ResourceKind::Key => "key",
                ResourceKind::RoleTrust => "trust",
            },
            "conditions": self.conditions,
            "context": self.context,
            "identity": self.identity,
            "boundary": self.boundary,
            "session": self.session,
            "resource_policy": self.resource_policy,
            "grants": grants,
            "acls": self.acls.as_ref().map(|lists| json!({
                "bucket": acl_to_json(&lists.bucket),
                "object": lists.object.as_ref().map(acl_to_json),
                "ignores_public": lists.ignores_public,
            })),
        })
    }
}

fn acl_to_json(acl: &Acl) -> Value {
    let grants: Vec<_> = acl
        .grants()
        .iter()
        .map(|grant| {
            let grantee = match &grant.grantee {
                Grantee::CanonicalUser(id) => id.as_str(),
                Grantee::Group(group) => group.uri(),
            };
            [grantee, grant.permission.name()]
        })
        .collect();
    json!({"owner": acl.owner.as_str(), "grants": grants})
}

fn parse(text: &str) -> Result<Arc<Policy>, Unreadable> {
    Policy::parse(text).map(Arc::new).map_err(|_| Unreadable)
}

#[derive(Debug)]
pub(crate) struct Grants(pub(crate) Vec<Grant>);

impl GrantSource for Grants {
    fn grants_for(&self, _: &RequestContext) -> Vec<Grant> {
        self.0.clone()
    }
}

pub(crate) struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
