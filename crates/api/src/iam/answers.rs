//! Answers of IAM, as XML.

use strongroom_iam::{
    AccessKeyView, AttachedPolicy, AuthorizationDetail, Document, GroupView, Page,
    PolicyVersionView, PolicyView, RoleView, SimulationDecision, SimulationResult, Tag, UserView,
};

use crate::query::{date, encoded};
use crate::xml::XmlWriter;

/// `IsTruncated` and `Marker`, which end every listing.
pub(super) fn paging(xml: &mut XmlWriter, marker: Option<&str>) {
    xml.value("IsTruncated", marker.is_some());
    xml.optional("Marker", marker);
}

/// A listing of elements that each have members.
pub(super) fn list<T>(
    xml: &mut XmlWriter,
    name: &'static str,
    page: Page<T>,
    mut each: impl FnMut(&mut XmlWriter, T),
) {
    xml.nested(name, |xml| {
        for entry in page.entries {
            xml.nested("member", |xml| each(xml, entry));
        }
    });
    paging(xml, page.next_marker.as_deref());
}

/// A listing of texts.
pub(super) fn texts(xml: &mut XmlWriter, name: &'static str, page: &Page<String>) {
    xml.nested(name, |xml| {
        for text in &page.entries {
            xml.element("member", text);
        }
    });
    paging(xml, page.next_marker.as_deref());
}

pub(super) fn user(xml: &mut XmlWriter, user: &UserView) {
    xml.optional("Path", user.path.as_deref());
    xml.element("UserName", &user.name);
    xml.element("UserId", &user.id);
    xml.element("Arn", &user.arn);
    xml.element("CreateDate", &date(user.created));
}

/// A user as GetUser shows it: listings leave boundary and tags out.
pub(super) fn whole_user(xml: &mut XmlWriter, it: &UserView) {
    user(xml, it);
    boundary(xml, it.boundary.as_deref());
    tags(xml, &it.tags);
}

pub(super) fn group(xml: &mut XmlWriter, group: &GroupView) {
    xml.element("Path", &group.path);
    xml.element("GroupName", &group.name);
    xml.element("GroupId", &group.id);
    xml.element("Arn", &group.arn);
    xml.element("CreateDate", &date(group.created));
}

pub(super) fn role(xml: &mut XmlWriter, role: &RoleView) {
    xml.element("Path", &role.path);
    xml.element("RoleName", &role.name);
    xml.element("RoleId", &role.id);
    xml.element("Arn", &role.arn);
    xml.element("CreateDate", &date(role.created));
    xml.element("AssumeRolePolicyDocument", &encoded(&role.trust));
    xml.optional("Description", role.description.as_deref());
    xml.value("MaxSessionDuration", role.max_session_seconds);
}

/// A role as GetRole shows it.
pub(super) fn whole_role(xml: &mut XmlWriter, it: &RoleView) {
    role(xml, it);
    boundary(xml, it.boundary.as_deref());
    tags(xml, &it.tags);
}

pub(super) fn policy(xml: &mut XmlWriter, policy: &PolicyView) {
    xml.element("PolicyName", &policy.name);
    xml.element("PolicyId", &policy.id);
    xml.element("Arn", &policy.arn);
    xml.element("Path", &policy.path);
    xml.element("DefaultVersionId", &format!("v{}", policy.default_version));
    xml.value("AttachmentCount", policy.attachments);
    xml.value("PermissionsBoundaryUsageCount", policy.boundary_uses);
    xml.value("IsAttachable", true);
    xml.element("CreateDate", &date(policy.created));
    xml.element("UpdateDate", &date(policy.updated));
}

/// A policy as GetPolicy shows it.
pub(super) fn whole_policy(xml: &mut XmlWriter, it: &PolicyView) {
    policy(xml, it);
    xml.optional("Description", it.description.as_deref());
    tags(xml, &it.tags);
}

pub(super) fn version(xml: &mut XmlWriter, version: &PolicyVersionView) {
    xml.element("VersionId", &format!("v{}", version.number));
    xml.value("IsDefaultVersion", version.is_default);
    xml.element("CreateDate", &date(version.created));
}

/// A version as GetPolicyVersion shows it.
pub(super) fn whole_version(xml: &mut XmlWriter, it: &PolicyVersionView) {
    xml.element("Document", &encoded(it.document.text()));
    version(xml, it);
}

pub(super) fn access_key(xml: &mut XmlWriter, key: &AccessKeyView) {
    xml.optional("UserName", key.user_name.as_deref());
    xml.element("AccessKeyId", &key.id);
    xml.element("Status", if key.active { "Active" } else { "Inactive" });
    xml.element("CreateDate", &date(key.created));
}

pub(super) fn attached(xml: &mut XmlWriter, policy: &AttachedPolicy) {
    xml.element("PolicyName", &policy.name);
    xml.element("PolicyArn", &policy.arn);
}

pub(super) fn tag(xml: &mut XmlWriter, tag: &Tag) {
    xml.element("Key", &tag.key);
    xml.element("Value", &tag.value);
}

pub(super) fn tags(xml: &mut XmlWriter, tags: &[Tag]) {
    if !tags.is_empty() {
        members(xml, "Tags", tags, tag);
    }
}

fn boundary(xml: &mut XmlWriter, arn: Option<&str>) {
    if let Some(arn) = arn {
        xml.nested("PermissionsBoundary", |xml| {
            xml.element("PermissionsBoundaryType", "Policy");
            xml.element("PermissionsBoundaryArn", arn);
        });
    }
}

pub(super) fn members<T>(
    xml: &mut XmlWriter,
    name: &'static str,
    items: &[T],
    each: impl Fn(&mut XmlWriter, &T),
) {
    xml.nested(name, |xml| {
        for item in items {
            xml.nested("member", |xml| each(xml, item));
        }
    });
}

fn inline(xml: &mut XmlWriter, (name, document): &(String, Document)) {
    xml.element("PolicyName", name);
    xml.element("PolicyDocument", &encoded(document.text()));
}

/// GetAccountAuthorizationDetails: one list for each kind.
pub(super) fn details(xml: &mut XmlWriter, page: &Page<AuthorizationDetail>) {
    let entries = &page.entries;
    xml.nested("UserDetailList", |xml| {
        for entry in entries {
            if let AuthorizationDetail::User(it) = entry {
                xml.nested("member", |xml| {
                    whole_user(xml, &it.user);
                    xml.nested("GroupList", |xml| {
                        for name in &it.groups {
                            xml.element("member", name);
                        }
                    });
                    members(xml, "UserPolicyList", &it.inline, inline);
                    members(xml, "AttachedManagedPolicies", &it.attached, attached);
                });
            }
        }
    });
    xml.nested("GroupDetailList", |xml| {
        for entry in entries {
            if let AuthorizationDetail::Group(it) = entry {
                xml.nested("member", |xml| {
                    group(xml, &it.group);
                    members(xml, "GroupPolicyList", &it.inline, inline);
                    members(xml, "AttachedManagedPolicies", &it.attached, attached);
                });
            }
        }
    });
    xml.nested("RoleDetailList", |xml| {
        for entry in entries {
            if let AuthorizationDetail::Role(it) = entry {
                xml.nested("member", |xml| {
                    whole_role(xml, &it.role);
                    xml.nested("InstanceProfileList", |_| {});
                    members(xml, "RolePolicyList", &it.inline, inline);
                    members(xml, "AttachedManagedPolicies", &it.attached, attached);
                });
            }
        }
    });
    xml.nested("Policies", |xml| {
        for entry in entries {
            if let AuthorizationDetail::Policy(it) = entry {
                let (shown, versions) = &**it;
                xml.nested("member", |xml| {
                    policy(xml, shown);
                    xml.optional("Description", shown.description.as_deref());
                    members(xml, "PolicyVersionList", versions, whole_version);
                });
            }
        }
    });
    paging(xml, page.next_marker.as_deref());
}

/// SimulatePrincipalPolicy and SimulateCustomPolicy.
pub(super) fn simulation(xml: &mut XmlWriter, results: &[SimulationResult]) {
    members(xml, "EvaluationResults", results, |xml, result| {
        xml.element("EvalActionName", &result.action);
        xml.element("EvalResourceName", &result.resource);
        xml.element(
            "EvalDecision",
            match result.decision {
                SimulationDecision::Allowed => "allowed",
                SimulationDecision::ExplicitDeny => "explicitDeny",
                SimulationDecision::ImplicitDeny => "implicitDeny",
            },
        );
        members(xml, "MatchedStatements", &result.matched, |xml, name| {
            xml.element("SourcePolicyId", name);
        });
        xml.nested("MissingContextValues", |xml| {
            for key in &result.missing_context {
                xml.element("member", key);
            }
        });
    });
    paging(xml, None);
}
