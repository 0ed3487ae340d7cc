//! `responseElements` of changes: what they made, as CloudTrail's records show it. Secrets are never
//! among it.

use serde_json::Value;
use strongroom_audit::Params;
use strongroom_types::{RequestContext, Timestamp};

use crate::access_keys::CreatedAccessKey;
use crate::directory::Account;
use crate::sts::TemporaryCredentials;
use crate::{GroupView, OidcProviderView, PolicyVersionView, PolicyView, RoleView, Tag, UserView};

/// The outcome of a change, as its record shows it.
pub(crate) trait Elements {
    /// `responseElements`; empty where AWS has none.
    fn elements(&self) -> Params;

    /// What was made: its kind and its ARN.
    fn made(&self) -> Option<(&'static str, &str)> {
        None
    }
}

impl Elements for () {
    fn elements(&self) -> Params {
        Params::new()
    }
}

impl Elements for UserView {
    fn elements(&self) -> Params {
        let user = Params::new()
            .optional("path", self.path.as_deref())
            .text("userName", &self.name)
            .text("userId", &self.id)
            .text("arn", &self.arn)
            .time("createDate", self.created);
        let user = with_boundary(user, self.boundary.as_deref());
        Params::new().object("user", &with_tags(user, &self.tags))
    }

    fn made(&self) -> Option<(&'static str, &str)> {
        Some(("AWS::IAM::User", &self.arn))
    }
}

impl Elements for GroupView {
    fn elements(&self) -> Params {
        let group = Params::new()
            .text("path", &self.path)
            .text("groupName", &self.name)
            .text("groupId", &self.id)
            .text("arn", &self.arn)
            .time("createDate", self.created);
        Params::new().object("group", &group)
    }

    fn made(&self) -> Option<(&'static str, &str)> {
        Some(("AWS::IAM::Group", &self.arn))
    }
}

impl Elements for RoleView {
    fn elements(&self) -> Params {
        let role = Params::new()
            .text("path", &self.path)
            .text("roleName", &self.name)
            .text("roleId", &self.id)
            .text("arn", &self.arn)
            .time("createDate", self.created)
            .text("assumeRolePolicyDocument", &self.trust)
            .optional("description", self.description.as_deref())
            .number("maxSessionDuration", self.max_session_seconds.into());
        let role = with_boundary(role, self.boundary.as_deref());
        Params::new().object("role", &with_tags(role, &self.tags))
    }

    fn made(&self) -> Option<(&'static str, &str)> {
        Some(("AWS::IAM::Role", &self.arn))
    }
}

impl Elements for PolicyView {
    fn elements(&self) -> Params {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let policy = Params::new()
            .text("policyName", &self.name)
            .text("policyId", &self.id)
            .text("arn", &self.arn)
            .text("path", &self.path)
            .text("defaultVersionId", &format!("v{}", self.default_version))
            .number("attachmentCount", count(self.attachments))
            .number("permissionsBoundaryUsageCount", count(self.boundary_uses))
            .flag("isAttachable", true)
            .time("createDate", self.created)
            .time("updateDate", self.updated);
        Params::new().object("policy", &with_tags(policy, &self.tags))
    }

    fn made(&self) -> Option<(&'static str, &str)> {
        Some(("AWS::IAM::Policy", &self.arn))
    }
}

impl Elements for PolicyVersionView {
    fn elements(&self) -> Params {
        let version = Params::new()
            .text("versionId", &format!("v{}", self.number))
            .flag("isDefaultVersion", self.is_default)
            .time("createDate", self.created);
        Params::new().object("policyVersion", &version)
    }
}

impl Elements for CreatedAccessKey {
    fn elements(&self) -> Params {
        let key = Params::new()
            .optional("userName", self.key.user_name.as_deref())
            .text("accessKeyId", &self.key.id)
            .text(
                "status",
                if self.key.active {
                    "Active"
                } else {
                    "Inactive"
                },
            )
            .time("createDate", self.key.created);
        Params::new().object("accessKey", &key)
    }
}

impl Elements for OidcProviderView {
    fn elements(&self) -> Params {
        let provider = Params::new().text("openIDConnectProviderArn", &self.arn);
        with_tags(provider, &self.tags)
    }

    fn made(&self) -> Option<(&'static str, &str)> {
        Some(("AWS::IAM::OIDCProvider", &self.arn))
    }
}

/// What a request names that is there, with its ARNs.
pub(crate) fn named(account: &Account, caller: &RequestContext) -> Vec<(&'static str, String)> {
    let sent = caller.sent.as_ref();
    let parameters: Option<Value> = sent
        .and_then(|sent| sent.parameters.as_deref())
        .and_then(|text| serde_json::from_str(text).ok());
    let text = |name: &str| parameters.as_ref()?.get(name)?.as_str();
    let user = || Some(account.user_arn(account.user(text("userName")?)?));
    let group = || Some(account.group_arn(account.group(text("groupName")?)?));
    let role = || Some(account.role_arn(account.role(text("roleName")?)?));
    let exactly = |name| text(name).map(str::to_owned);
    let found = [
        ("AWS::IAM::User", user()),
        ("AWS::IAM::Group", group()),
        ("AWS::IAM::Role", role()),
        ("AWS::IAM::Policy", exactly("policyArn")),
        (
            "AWS::IAM::OIDCProvider",
            exactly("openIDConnectProviderArn"),
        ),
    ];
    let present = |(kind, arn): (&'static str, Option<String>)| Some((kind, arn?));
    found.into_iter().filter_map(present).collect()
}

/// A temporary credential without what makes it one.
pub(crate) fn credentials(made: &TemporaryCredentials) -> Params {
    let credentials = Params::new()
        .text("accessKeyId", &made.access_key_id)
        .time("expiration", whole_second(made.expires));
    Params::new().object("credentials", &credentials)
}

/// `assumedRoleUser`.
pub(crate) fn assumed_role_user(id: &str, arn: &str) -> Params {
    Params::new().text("assumedRoleId", id).text("arn", arn)
}

/// Adds `packedPolicySize`, where there is any.
pub(crate) fn packed(elements: Params, percent: usize) -> Params {
    match u64::try_from(percent) {
        Ok(percent @ 1..) => elements.number("packedPolicySize", percent),
        Ok(0) | Err(_) => elements,
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_seconds(time.as_seconds())
}

fn with_boundary(params: Params, arn: Option<&str>) -> Params {
    match arn {
        Some(arn) => {
            let boundary = Params::new()
                .text("permissionsBoundaryType", "Policy")
                .text("permissionsBoundaryArn", arn);
            params.object("permissionsBoundary", &boundary)
        }
        None => params,
    }
}

fn with_tags(params: Params, tags: &[Tag]) -> Params {
    if tags.is_empty() {
        return params;
    }
    let tag = |tag: &Tag| {
        Params::new()
            .text("key", &tag.key)
            .text("value", &tag.value)
    };
    let tags: Vec<Params> = tags.iter().map(tag).collect();
    params.objects("tags", &tags)
}
