//! Decisions by policies.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use strongroom_policy::{
    Conditions, NamedPolicy, Outcome, Policy, PrincipalAttributes, PrincipalPolicies, Question,
    QuestionedResource, ResourceKind, evaluate, explain,
};
use strongroom_types::{
    AccessKeyId, AccountId, Entropy, Principal, Region, RequestContext, RequestId, Timestamp,
    TlsVersion, Transport,
};

/// Decisions by an arbitrary document in every place where one can be. Where it allows, a Deny must
/// still win, and nobody may pass by a key's policy.
pub fn policy_decision(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(policy) = Policy::parse(text) else {
        return;
    };
    let _ = policy.condition_keys();
    let named = NamedPolicy {
        name: "p".into(),
        policy: Arc::new(policy),
    };
    let deny_all = NamedPolicy {
        name: "deny".into(),
        policy: Arc::new(parse(
            r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#,
        )),
    };
    let attributes = PrincipalAttributes {
        role_arn: Some("arn:aws:iam::111122223333:role/app".into()),
        tags: vec![("Team".into(), "r*d".into())],
        ..PrincipalAttributes::default()
    };
    let with = |identity: &[&NamedPolicy], limits: Option<&NamedPolicy>| PrincipalPolicies {
        identity: identity.iter().map(|it| NamedPolicy::clone(it)).collect(),
        boundary: limits.cloned(),
        session: limits.cloned().into_iter().collect(),
        attributes: attributes.clone(),
    };
    let conditions = Conditions::default()
        .with("s3:x-amz-server-side-encryption", "aws:kms")
        .with_all("aws:TagKeys", ["a".to_owned(), "b".to_owned()]);
    for context in contexts() {
        for (action, arn, kind) in [
            (
                "s3:GetObject",
                "arn:aws:s3:::b/a:b/c",
                ResourceKind::Ordinary,
            ),
            (
                "kms:Decrypt",
                "arn:aws:kms:us-east-1:111122223333:key/1234",
                ResourceKind::Key,
            ),
            (
                "sts:AssumeRole",
                "arn:aws:iam::111122223333:role/app",
                ResourceKind::RoleTrust,
            ),
        ] {
            let decide = |policies: &PrincipalPolicies, resource_policy| {
                let question = Question {
                    context: &context,
                    action,
                    resource: QuestionedResource {
                        arn,
                        owner: AccountId::parse("111122223333").expect("an account"),
                        kind,
                    },
                    conditions: &conditions,
                    principal: Ok(policies),
                    resource_policy: Ok(resource_policy),
                    grants: None,
                    acls: None,
                    overrides: None,
                };
                let decision = evaluate(&question);
                assert_eq!(decision.outcome, explain(&question).outcome);
                let _ = decision.message(&question);
                decision.outcome
            };
            let own = decide(&with(&[&named], None), None);
            let _ = decide(&with(&[&named], Some(&named)), Some(&*named.policy));
            let _ = decide(&with(&[], None), Some(&*named.policy));
            if kind != ResourceKind::Ordinary {
                assert!(!matches!(own, Outcome::Allowed(_)));
            }
            for resource_policy in [None, Some(&*named.policy)] {
                let denied = decide(&with(&[&named, &deny_all], None), resource_policy);
                assert!(matches!(denied, Outcome::ExplicitlyDenied(_)));
            }
        }
    }
}

fn parse(text: &str) -> Policy {
    Policy::parse(text).expect("a policy")
}

fn contexts() -> [RequestContext; 4] {
    let account = AccountId::parse("111122223333").expect("an account");
    let user = Principal::User {
        account,
        user_id: "AIDAEXAMPLE".into(),
        path_and_name: "team/alice".into(),
    };
    let session = Principal::RoleSession {
        account,
        role_id: "AROAEXAMPLE".into(),
        role_name: "app".into(),
        role_arn: "arn:aws:iam::111122223333:role/app".into(),
        session_name: "s".into(),
    };
    [
        Principal::Root { account },
        user,
        session,
        Principal::Anonymous,
    ]
    .map(|principal| RequestContext {
        request_id: RequestId::random(&Zeroes),
        received: Timestamp::from_seconds(1_767_323_045),
        principal,
        canonical_id: None,
        access_key_id: AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").ok(),
        session: None,
        via_service: None,
        region: Region::parse("us-east-1").expect("a region"),
        source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        transport: Transport::Tls(TlsVersion::V1_3),
        user_agent: None,
        sent: None,
    })
}

struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
