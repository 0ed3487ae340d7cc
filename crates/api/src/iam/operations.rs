//! The table of IAM's operations.

use strongroom_iam::{
    CreatePolicyInput, CreateRoleInput, DetailFilter, Holder, ListPoliciesInput, PageInput,
    PolicyScope, PolicyUsage, SimulatePolicyInput, Tag, Taggable,
};
use strongroom_types::RequestContext;

use super::{Iam, answers, oidc_providers};
use crate::query::{ErrorAnswer, Operation, Outcome, Params, answer, date, encoded, void};
use crate::recording::Recorded;

macro_rules! operations {
    ($($name:ident $(gives $secret:ident)? $(, in $transaction:ident)? => $run:expr;)*) => {
        /// All of them.
        pub(super) const OPERATIONS: &[Operation<Iam>] = &[$(
            Operation {
                name: stringify!($name),
                action: concat!("iam:", stringify!($name)),
                response: concat!(stringify!($name), "Response"),
                result: concat!(stringify!($name), "Result"),
                recorded: operations!(@recorded $($transaction)?),
                gives_secret: operations!(@secret $($secret)?),
                run: |iam, caller, params| $run(iam, caller, params),
            },
        )*];
    };
    (@recorded) => { Recorded::AtEdge };
    (@recorded transaction) => { Recorded::InTransaction };
    (@secret) => { false };
    (@secret secret) => { true };
}

pub(super) type Caller = RequestContext;

operations! {
    AddClientIDToOpenIDConnectProvider, in transaction => oidc_providers::add_client_id;
    AddUserToGroup, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.add_user_to_group(caller, p.required("GroupName")?, p.required("UserName")?)?)
    };
    AttachGroupPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| attach(iam, caller, p, group);
    AttachRolePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| attach(iam, caller, p, role);
    AttachUserPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| attach(iam, caller, p, user);
    CreateAccessKey gives secret, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let created = iam.0.create_access_key(caller, p.optional("UserName"))?;
        answer(move |xml| xml.nested("AccessKey", |xml| {
            answers::access_key(xml, &created.key);
            xml.element("SecretAccessKey", created.secret.expose());
        }))
    };
    CreateGroup, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let group = iam.0.create_group(caller, p.required("GroupName")?, p.optional("Path"))?;
        answer(move |xml| xml.nested("Group", |xml| answers::group(xml, &group)))
    };
    CreateOpenIDConnectProvider, in transaction => oidc_providers::create;
    CreatePolicy, in transaction => create_policy;
    CreatePolicyVersion, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let version = iam.0.create_policy_version(
            caller,
            p.required("PolicyArn")?,
            p.required("PolicyDocument")?,
            p.flag("SetAsDefault")?,
        )?;
        answer(move |xml| xml.nested("PolicyVersion", |xml| answers::version(xml, &version)))
    };
    CreateRole, in transaction => create_role;
    CreateUser, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let user = iam.0.create_user(
            caller,
            p.required("UserName")?,
            p.optional("Path"),
            p.optional("PermissionsBoundary"),
            &tags(p),
        )?;
        answer(move |xml| xml.nested("User", |xml| answers::whole_user(xml, &user)))
    };
    DeleteAccessKey, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_access_key(caller, p.optional("UserName"), p.required("AccessKeyId")?)?)
    };
    DeleteGroup, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_group(caller, p.required("GroupName")?)?)
    };
    DeleteGroupPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| delete_inline(iam, caller, p, group);
    DeleteOpenIDConnectProvider, in transaction => oidc_providers::delete;
    DeletePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_policy(caller, p.required("PolicyArn")?)?)
    };
    DeletePolicyVersion, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_policy_version(caller, p.required("PolicyArn")?, p.required("VersionId")?)?)
    };
    DeleteRole, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_role(caller, p.required("RoleName")?)?)
    };
    DeleteRolePermissionsBoundary, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.set_boundary(caller, &role(p)?, None)?)
    };
    DeleteRolePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| delete_inline(iam, caller, p, role);
    DeleteUser, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.delete_user(caller, p.required("UserName")?)?)
    };
    DeleteUserPermissionsBoundary, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        void(iam.0.set_boundary(caller, &user(p)?, None)?)
    };
    DeleteUserPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| delete_inline(iam, caller, p, user);
    DetachGroupPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| detach(iam, caller, p, group);
    DetachRolePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| detach(iam, caller, p, role);
    DetachUserPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| detach(iam, caller, p, user);
    GetAccessKeyLastUsed => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let shown = iam.0.get_access_key_last_used(caller, p.required("AccessKeyId")?)?;
        answer(move |xml| {
            xml.optional("UserName", shown.user_name.as_deref());
            xml.nested("AccessKeyLastUsed", |xml| {
                let (service, region) = match &shown.used {
                    Some((at, service, region)) => {
                        xml.element("LastUsedDate", &date(*at));
                        (service.as_str(), region.as_str())
                    }
                    None => ("N/A", "N/A"),
                };
                xml.element("ServiceName", service);
                xml.element("Region", region);
            });
        })
    };
    GetAccountAuthorizationDetails => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let filters = p.list("Filter").iter().map(|name| filter(name)).collect::<Result<Vec<_>, _>>()?;
        let details = iam.0.get_account_authorization_details(caller, &filters, &page(p)?)?;
        answer(move |xml| answers::details(xml, &details))
    };
    GetAccountSummary => |iam: &Iam, caller: &Caller, _: &Params| -> Outcome {
        let summary = iam.0.get_account_summary(caller)?;
        answer(move |xml| xml.nested("SummaryMap", |xml| {
            for (key, value) in summary {
                xml.nested("entry", |xml| {
                    xml.element("key", key);
                    xml.value("value", value);
                });
            }
        }))
    };
    GetGroup => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (group, users) = iam.0.get_group(caller, p.required("GroupName")?, &page(p)?)?;
        answer(move |xml| {
            xml.nested("Group", |xml| answers::group(xml, &group));
            answers::list(xml, "Users", users, |xml, it| answers::user(xml, &it));
        })
    };
    GetGroupPolicy => |iam: &Iam, caller: &Caller, p: &Params| get_inline(iam, caller, p, group);
    GetOpenIDConnectProvider => oidc_providers::get;
    GetPolicy => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let policy = iam.0.get_policy(caller, p.required("PolicyArn")?)?;
        answer(move |xml| xml.nested("Policy", |xml| answers::whole_policy(xml, &policy)))
    };
    GetPolicyVersion => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (arn, id) = (p.required("PolicyArn")?, p.required("VersionId")?);
        let version = iam.0.get_policy_version(caller, arn, id)?;
        answer(move |xml| xml.nested("PolicyVersion", |xml| answers::whole_version(xml, &version)))
    };
    GetRole => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let role = iam.0.get_role(caller, p.required("RoleName")?)?;
        answer(move |xml| xml.nested("Role", |xml| answers::whole_role(xml, &role)))
    };
    GetRolePolicy => |iam: &Iam, caller: &Caller, p: &Params| get_inline(iam, caller, p, role);
    GetUser => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let user = iam.0.get_user(caller, p.optional("UserName"))?;
        answer(move |xml| xml.nested("User", |xml| answers::whole_user(xml, &user)))
    };
    GetUserPolicy => |iam: &Iam, caller: &Caller, p: &Params| get_inline(iam, caller, p, user);
    ListAccessKeys => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let keys = iam.0.list_access_keys(caller, p.optional("UserName"), &page(p)?)?;
        answer(move |xml| {
            answers::list(xml, "AccessKeyMetadata", keys, |xml, it| answers::access_key(xml, &it));
        })
    };
    ListAttachedGroupPolicies => |iam: &Iam, caller: &Caller, p: &Params| list_attached(iam, caller, p, group);
    ListAttachedRolePolicies => |iam: &Iam, caller: &Caller, p: &Params| list_attached(iam, caller, p, role);
    ListAttachedUserPolicies => |iam: &Iam, caller: &Caller, p: &Params| list_attached(iam, caller, p, user);
    ListEntitiesForPolicy => list_entities_for_policy;
    ListGroupPolicies => |iam: &Iam, caller: &Caller, p: &Params| list_inline(iam, caller, p, group);
    ListGroups => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let groups = iam.0.list_groups(caller, p.optional("PathPrefix"), &page(p)?)?;
        answer(move |xml| answers::list(xml, "Groups", groups, |xml, it| answers::group(xml, &it)))
    };
    ListGroupsForUser => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let groups = iam.0.list_groups_for_user(caller, p.required("UserName")?, &page(p)?)?;
        answer(move |xml| answers::list(xml, "Groups", groups, |xml, it| answers::group(xml, &it)))
    };
    ListOpenIDConnectProviderTags => oidc_providers::list_tags;
    ListOpenIDConnectProviders => oidc_providers::list;
    ListPolicies => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let input = ListPoliciesInput {
            scope: match p.optional("Scope") {
                None | Some("All") => PolicyScope::All,
                Some("AWS") => PolicyScope::Aws,
                Some("Local") => PolicyScope::Local,
                Some(other) => return Err(not_of(other, "scope", "[All, AWS, Local]")),
            },
            only_attached: p.flag("OnlyAttached")?,
            path_prefix: p.optional("PathPrefix").map(str::to_owned),
            usage: usage(p.optional("PolicyUsageFilter"))?,
            page: page(p)?,
        };
        let policies = iam.0.list_policies(caller, &input)?;
        answer(move |xml| {
            answers::list(xml, "Policies", policies, |xml, it| answers::policy(xml, &it));
        })
    };
    ListPolicyTags => |iam: &Iam, caller: &Caller, p: &Params| list_tags(iam, caller, p, tagged_policy);
    ListPolicyVersions => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let versions = iam.0.list_policy_versions(caller, p.required("PolicyArn")?, &page(p)?)?;
        answer(move |xml| {
            answers::list(xml, "Versions", versions, |xml, it| answers::version(xml, &it));
        })
    };
    ListRolePolicies => |iam: &Iam, caller: &Caller, p: &Params| list_inline(iam, caller, p, role);
    ListRoleTags => |iam: &Iam, caller: &Caller, p: &Params| list_tags(iam, caller, p, tagged_role);
    ListRoles => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let roles = iam.0.list_roles(caller, p.optional("PathPrefix"), &page(p)?)?;
        answer(move |xml| answers::list(xml, "Roles", roles, |xml, it| answers::role(xml, &it)))
    };
    ListUserPolicies => |iam: &Iam, caller: &Caller, p: &Params| list_inline(iam, caller, p, user);
    ListUserTags => |iam: &Iam, caller: &Caller, p: &Params| list_tags(iam, caller, p, tagged_user);
    ListUsers => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let users = iam.0.list_users(caller, p.optional("PathPrefix"), &page(p)?)?;
        answer(move |xml| answers::list(xml, "Users", users, |xml, it| answers::user(xml, &it)))
    };
    PutGroupPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| put_inline(iam, caller, p, group);
    PutRolePermissionsBoundary, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let boundary = p.required("PermissionsBoundary")?;
        void(iam.0.set_boundary(caller, &role(p)?, Some(boundary))?)
    };
    PutRolePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| put_inline(iam, caller, p, role);
    PutUserPermissionsBoundary, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let boundary = p.required("PermissionsBoundary")?;
        void(iam.0.set_boundary(caller, &user(p)?, Some(boundary))?)
    };
    PutUserPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| put_inline(iam, caller, p, user);
    RemoveClientIDFromOpenIDConnectProvider, in transaction => oidc_providers::remove_client_id;
    RemoveUserFromGroup, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (group, user) = (p.required("GroupName")?, p.required("UserName")?);
        void(iam.0.remove_user_from_group(caller, group, user)?)
    };
    SetDefaultPolicyVersion, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (arn, id) = (p.required("PolicyArn")?, p.required("VersionId")?);
        void(iam.0.set_default_policy_version(caller, arn, id)?)
    };
    SimulateCustomPolicy => |iam: &Iam, caller: &Caller, p: &Params| simulate(iam, caller, p, None);
    SimulatePrincipalPolicy => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        simulate(iam, caller, p, Some(p.required("PolicySourceArn")?))
    };
    TagOpenIDConnectProvider, in transaction => oidc_providers::tag;
    TagPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| tag(iam, caller, p, tagged_policy);
    TagRole, in transaction => |iam: &Iam, caller: &Caller, p: &Params| tag(iam, caller, p, tagged_role);
    TagUser, in transaction => |iam: &Iam, caller: &Caller, p: &Params| tag(iam, caller, p, tagged_user);
    UntagOpenIDConnectProvider, in transaction => oidc_providers::untag;
    UntagPolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| untag(iam, caller, p, tagged_policy);
    UntagRole, in transaction => |iam: &Iam, caller: &Caller, p: &Params| untag(iam, caller, p, tagged_role);
    UntagUser, in transaction => |iam: &Iam, caller: &Caller, p: &Params| untag(iam, caller, p, tagged_user);
    UpdateAccessKey, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let active = match p.required("Status")? {
            "Active" => true,
            "Inactive" => false,
            other => return Err(not_of(other, "status", "[Active, Inactive]")),
        };
        let (name, id) = (p.optional("UserName"), p.required("AccessKeyId")?);
        void(iam.0.update_access_key(caller, name, id, active)?)
    };
    UpdateAssumeRolePolicy, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (name, document) = (p.required("RoleName")?, p.required("PolicyDocument")?);
        void(iam.0.update_assume_role_policy(caller, name, document)?)
    };
    UpdateGroup, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (name, path) = (p.optional("NewGroupName"), p.optional("NewPath"));
        void(iam.0.update_group(caller, p.required("GroupName")?, name, path)?)
    };
    UpdateOpenIDConnectProviderThumbprint, in transaction => oidc_providers::set_thumbprints;
    UpdateRole, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (name, seconds) = (p.required("RoleName")?, p.number("MaxSessionDuration")?);
        iam.0.update_role(caller, name, p.optional("Description"), seconds)?;
        answer(|_| {})
    };
    UpdateUser, in transaction => |iam: &Iam, caller: &Caller, p: &Params| -> Outcome {
        let (name, path) = (p.optional("NewUserName"), p.optional("NewPath"));
        void(iam.0.update_user(caller, p.required("UserName")?, name, path)?)
    };
}

/// Who or what a request is about.
type Find<T> = fn(&Params) -> Result<T, ErrorAnswer>;

fn user(p: &Params) -> Result<Holder, ErrorAnswer> {
    Ok(Holder::User(p.required("UserName")?.to_owned()))
}

fn group(p: &Params) -> Result<Holder, ErrorAnswer> {
    Ok(Holder::Group(p.required("GroupName")?.to_owned()))
}

fn role(p: &Params) -> Result<Holder, ErrorAnswer> {
    Ok(Holder::Role(p.required("RoleName")?.to_owned()))
}

fn tagged_user(p: &Params) -> Result<Taggable, ErrorAnswer> {
    Ok(Taggable::User(p.required("UserName")?.to_owned()))
}

fn tagged_role(p: &Params) -> Result<Taggable, ErrorAnswer> {
    Ok(Taggable::Role(p.required("RoleName")?.to_owned()))
}

fn tagged_policy(p: &Params) -> Result<Taggable, ErrorAnswer> {
    Ok(Taggable::Policy(p.required("PolicyArn")?.to_owned()))
}

pub(super) fn page(p: &Params) -> Result<PageInput, ErrorAnswer> {
    Ok(PageInput {
        marker: p.optional("Marker").map(str::to_owned),
        max_items: p.number("MaxItems")?,
    })
}

pub(super) fn tags(p: &Params) -> Vec<Tag> {
    let pairs = p.pairs("Tags").into_iter();
    pairs.map(|(key, value)| Tag { key, value }).collect()
}

fn not_of(value: &str, member: &str, set: &str) -> ErrorAnswer {
    ErrorAnswer::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy enum value set: {set}"
    ))
}

fn usage(text: Option<&str>) -> Result<Option<PolicyUsage>, ErrorAnswer> {
    match text {
        None => Ok(None),
        Some("PermissionsPolicy") => Ok(Some(PolicyUsage::PermissionsPolicy)),
        Some("PermissionsBoundary") => Ok(Some(PolicyUsage::PermissionsBoundary)),
        Some(other) => Err(not_of(
            other,
            "policyUsageFilter",
            "[PermissionsPolicy, PermissionsBoundary]",
        )),
    }
}

fn filter(name: &str) -> Result<DetailFilter, ErrorAnswer> {
    Ok(match name {
        "User" => DetailFilter::User,
        "Group" => DetailFilter::Group,
        "Role" => DetailFilter::Role,
        "LocalManagedPolicy" => DetailFilter::LocalManagedPolicy,
        "AWSManagedPolicy" => DetailFilter::AwsManagedPolicy,
        other => {
            return Err(not_of(
                other,
                "filter",
                "[User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]",
            ));
        }
    })
}

fn attach(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    void(
        iam.0
            .attach_policy(caller, &holder(p)?, p.required("PolicyArn")?)?,
    )
}

fn detach(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    void(
        iam.0
            .detach_policy(caller, &holder(p)?, p.required("PolicyArn")?)?,
    )
}

fn list_attached(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    let prefix = p.optional("PathPrefix");
    let policies = iam
        .0
        .list_attached(caller, &holder(p)?, prefix, &page(p)?)?;
    answer(move |xml| {
        answers::list(xml, "AttachedPolicies", policies, |xml, it| {
            answers::attached(xml, &it);
        });
    })
}

fn put_inline(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    let (name, document) = (p.required("PolicyName")?, p.required("PolicyDocument")?);
    void(
        iam.0
            .put_inline_policy(caller, &holder(p)?, name, document)?,
    )
}

fn get_inline(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    let (holder, name) = (holder(p)?, p.required("PolicyName")?.to_owned());
    let document = iam.0.get_inline_policy(caller, &holder, &name)?;
    answer(move |xml| {
        match &holder {
            Holder::User(holder) => xml.element("UserName", holder),
            Holder::Group(holder) => xml.element("GroupName", holder),
            Holder::Role(holder) => xml.element("RoleName", holder),
        }
        xml.element("PolicyName", &name);
        xml.element("PolicyDocument", &encoded(document.text()));
    })
}

fn delete_inline(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    void(
        iam.0
            .delete_inline_policy(caller, &holder(p)?, p.required("PolicyName")?)?,
    )
}

fn list_inline(iam: &Iam, caller: &Caller, p: &Params, holder: Find<Holder>) -> Outcome {
    let names = iam.0.list_inline_policies(caller, &holder(p)?, &page(p)?)?;
    answer(move |xml| answers::texts(xml, "PolicyNames", &names))
}

fn tag(iam: &Iam, caller: &Caller, p: &Params, target: Find<Taggable>) -> Outcome {
    void(iam.0.tag(caller, &target(p)?, &tags(p))?)
}

fn untag(iam: &Iam, caller: &Caller, p: &Params, target: Find<Taggable>) -> Outcome {
    void(iam.0.untag(caller, &target(p)?, &p.list("TagKeys"))?)
}

fn list_tags(iam: &Iam, caller: &Caller, p: &Params, target: Find<Taggable>) -> Outcome {
    let tags = iam.0.list_tags(caller, &target(p)?, &page(p)?)?;
    answer(move |xml| answers::list(xml, "Tags", tags, |xml, it| answers::tag(xml, &it)))
}

fn create_policy(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let input = CreatePolicyInput {
        name: p.required("PolicyName")?.to_owned(),
        path: p.optional("Path").map(str::to_owned),
        document: p.required("PolicyDocument")?.to_owned(),
        description: p.optional("Description").map(str::to_owned),
        tags: tags(p),
    };
    let policy = iam.0.create_policy(caller, &input)?;
    answer(move |xml| xml.nested("Policy", |xml| answers::whole_policy(xml, &policy)))
}

fn create_role(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let input = CreateRoleInput {
        name: p.required("RoleName")?.to_owned(),
        path: p.optional("Path").map(str::to_owned),
        trust: p.required("AssumeRolePolicyDocument")?.to_owned(),
        description: p.optional("Description").map(str::to_owned),
        max_session_seconds: p.number("MaxSessionDuration")?,
        boundary: p.optional("PermissionsBoundary").map(str::to_owned),
        tags: tags(p),
    };
    let role = iam.0.create_role(caller, &input)?;
    answer(move |xml| xml.nested("Role", |xml| answers::whole_role(xml, &role)))
}

fn list_entities_for_policy(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let kind = match p.optional("EntityFilter") {
        // AWS's other filters speak of kinds of policies, which one policy has only one of.
        None | Some("LocalManagedPolicy" | "AWSManagedPolicy") => None,
        Some(kind @ ("User" | "Group" | "Role")) => Some(kind),
        Some(other) => {
            let set = "[User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]";
            return Err(not_of(other, "entityFilter", set));
        }
    };
    let usage = usage(p.optional("PolicyUsageFilter"))?;
    let arn = p.required("PolicyArn")?;
    let holders = iam
        .0
        .list_entities_for_policy(caller, arn, kind, usage, &page(p)?)?;
    answer(move |xml| {
        xml.nested("PolicyGroups", |xml| {
            for (holder, id) in &holders.entries {
                if let Holder::Group(name) = holder {
                    xml.nested("member", |xml| {
                        xml.element("GroupName", name);
                        xml.element("GroupId", id);
                    });
                }
            }
        });
        xml.nested("PolicyUsers", |xml| {
            for (holder, id) in &holders.entries {
                if let Holder::User(name) = holder {
                    xml.nested("member", |xml| {
                        xml.element("UserName", name);
                        xml.element("UserId", id);
                    });
                }
            }
        });
        xml.nested("PolicyRoles", |xml| {
            for (holder, id) in &holders.entries {
                if let Holder::Role(name) = holder {
                    xml.nested("member", |xml| {
                        xml.element("RoleName", name);
                        xml.element("RoleId", id);
                    });
                }
            }
        });
        answers::paging(xml, holders.next_marker.as_deref());
    })
}

fn simulate(iam: &Iam, caller: &Caller, p: &Params, source: Option<&str>) -> Outcome {
    let names = p.members("ContextEntries", "ContextKeyName");
    let input = SimulatePolicyInput {
        source_arn: source.map(str::to_owned),
        policies: p.list("PolicyInputList"),
        boundary: p
            .list("PermissionsBoundaryPolicyInputList")
            .into_iter()
            .next(),
        actions: p.list("ActionNames"),
        resources: p.list("ResourceArns"),
        resource_policy: p.optional("ResourcePolicy").map(str::to_owned),
        context: names
            .into_iter()
            .zip(1_usize..)
            .map(|(name, index)| {
                let values = format!("ContextEntries.member.{index}.ContextKeyValues");
                (name, p.list(&values))
            })
            .collect(),
    };
    let results = iam.0.simulate_policy(caller, &input)?;
    answer(move |xml| answers::simulation(xml, &results))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_each_operation_once() {
        let names: Vec<_> = OPERATIONS.iter().map(|it| it.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        let secret: Vec<_> = OPERATIONS.iter().filter(|it| it.gives_secret).collect();
        assert_eq!(secret.len(), 1);
    }
}
