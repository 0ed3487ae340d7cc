"""The operations of IAM; see operations.py."""

import json

from callers import fresh, told
from stage import AWS, READ, Op, Stage, plain


def iam_state(stage, args):
    """What is of the table's making: the identities of the callers change all the time."""
    iam, found = stage.iam, {}
    pages = iam.get_paginator("get_account_authorization_details").paginate(
        Filter=["User", "Group", "Role", "LocalManagedPolicy"], PaginationConfig={"PageSize": 1000})
    for page in pages:
        for kind, name in (("UserDetailList", "UserName"), ("GroupDetailList", "GroupName"),
                           ("RoleDetailList", "RoleName"), ("Policies", "PolicyName")):
            for entity in page.get(kind, []):
                if entity[name].startswith("t-"):
                    found[kind, entity[name]] = json.dumps(entity, default=str, sort_keys=True)
    if "UserName" in args:
        found["keys"] = plain(told(lambda: iam.list_access_keys(UserName=args["UserName"])))
    return found


def i_reads(call, prepare=lambda stage: {}, **more):
    return Op(call, prepare, **more)


def i_writes(call, prepare, **more):
    return Op(call, prepare, state=iam_state, **more)


def new(member, **more):
    return lambda stage: {member: fresh("t-"), **more}


def new_role(**more):
    return lambda stage: {"RoleName": fresh("t-"), "AssumeRolePolicyDocument": stage.account.trust(stage.account.id),
                          **more}


def holder(kind, *calls, **more):
    """A user, group or role that root's `calls` prepared."""
    def prepare(stage):
        args = getattr(stage, kind)()
        for call, arguments in calls:
            getattr(stage.iam, call)(**args, **arguments)
        return {**args, **more}
    return prepare


def inline(kind):
    return holder(kind, (f"put_{kind}_policy", {"PolicyName": "p", "PolicyDocument": READ}), PolicyName="p")


def attached(kind):
    arn = {"PolicyArn": AWS + "ReadOnlyAccess"}
    return holder(kind, (f"attach_{kind}_policy", arn), **arn)


def tagged(kind):
    return holder(kind, (f"tag_{kind}", {"Tags": [{"Key": "k", "Value": "v"}]}), TagKeys=["k"])


def bounded(kind):
    return holder(kind, (f"put_{kind}_permissions_boundary", {"PermissionsBoundary": AWS + "ReadOnlyAccess"}))


def with_key(**more):
    def prepare(stage):
        args = stage.user()
        return {**args, "AccessKeyId": stage.iam.create_access_key(**args)["AccessKey"]["AccessKeyId"], **more}
    return prepare


def with_version(stage):
    args = stage.policy()
    stage.iam.create_policy_version(**args, PolicyDocument=READ)
    return {**args, "VersionId": "v2"}


def member(stage):
    args = {**stage.group(), **stage.user()}
    stage.iam.add_user_to_group(**args)
    return args


I_TAGS = {"Tags": [{"Key": "k", "Value": "v"}]}
P_POLICY = {"PolicyName": "p", "PolicyDocument": READ}
BOUNDARY = {"PermissionsBoundary": AWS + "ReadOnlyAccess"}
IAM = {
    "AddUserToGroup": i_writes("add_user_to_group", lambda s: {**s.group(), **s.user()}),
    "CreateAccessKey": i_writes("create_access_key", Stage.user),
    "CreateGroup": i_writes("create_group", new("GroupName")),
    "CreatePolicy": i_writes("create_policy", new("PolicyName", PolicyDocument=READ)),
    "CreatePolicy with tags": i_writes("create_policy", new("PolicyName", PolicyDocument=READ, **I_TAGS)),
    "CreatePolicyVersion": i_writes("create_policy_version", lambda s: {**s.policy(), "PolicyDocument": READ}),
    "CreateRole": i_writes("create_role", new_role()),
    "CreateRole with tags": i_writes("create_role", new_role(**I_TAGS)),
    "CreateUser": i_writes("create_user", new("UserName")),
    "CreateUser with tags": i_writes("create_user", new("UserName", **I_TAGS)),
    "DeleteAccessKey": i_writes("delete_access_key", with_key()),
    "DeleteGroup": i_writes("delete_group", Stage.group),
    "DeletePolicy": i_writes("delete_policy", Stage.policy),
    "DeletePolicyVersion": i_writes("delete_policy_version", with_version),
    "DeleteRole": i_writes("delete_role", Stage.role),
    "DeleteRolePermissionsBoundary": i_writes("delete_role_permissions_boundary", bounded("role")),
    "DeleteUser": i_writes("delete_user", Stage.user),
    "DeleteUserPermissionsBoundary": i_writes("delete_user_permissions_boundary", bounded("user")),
    "GetAccessKeyLastUsed": i_reads("get_access_key_last_used",
                                    lambda s: {"AccessKeyId": with_key()(s)["AccessKeyId"]}),
    "GetAccountAuthorizationDetails": i_reads("get_account_authorization_details"),
    "GetAccountSummary": i_reads("get_account_summary"),
    "GetGroup": i_reads("get_group", Stage.group),
    "GetPolicy": i_reads("get_policy", Stage.policy),
    "GetPolicyVersion": i_reads("get_policy_version", with_version),
    "GetRole": i_reads("get_role", Stage.role),
    "GetUser": i_reads("get_user", Stage.user),
    "ListAccessKeys": i_reads("list_access_keys", Stage.user),
    "ListEntitiesForPolicy": i_reads("list_entities_for_policy", Stage.policy),
    "ListGroups": i_reads("list_groups"),
    "ListGroupsForUser": i_reads("list_groups_for_user", Stage.user),
    "ListPolicies": i_reads("list_policies"),
    "ListPolicyVersions": i_reads("list_policy_versions", Stage.policy),
    "ListRoles": i_reads("list_roles"),
    "ListUsers": i_reads("list_users"),
    "PutRolePermissionsBoundary": i_writes("put_role_permissions_boundary", holder("role", **BOUNDARY)),
    "PutUserPermissionsBoundary": i_writes("put_user_permissions_boundary", holder("user", **BOUNDARY)),
    "RemoveUserFromGroup": i_writes("remove_user_from_group", member),
    "SetDefaultPolicyVersion": i_writes("set_default_policy_version", with_version),
    "SimulateCustomPolicy": i_reads("simulate_custom_policy",
                                    lambda s: {"PolicyInputList": [READ], "ActionNames": ["s3:GetObject"]}),
    "SimulatePrincipalPolicy": i_reads("simulate_principal_policy", lambda s: {
        "PolicySourceArn": f"arn:aws:iam::{s.account.id}:user/{s.user()['UserName']}",
        "ActionNames": ["s3:GetObject"]}),
    "UpdateAccessKey": i_writes("update_access_key", with_key(Status="Inactive")),
    "UpdateAssumeRolePolicy": i_writes("update_assume_role_policy", lambda s: {
        **s.role(), "PolicyDocument": s.account.trust(s.account.root.arn)}),
    "UpdateGroup": i_writes("update_group", lambda s: {**s.group(), "NewGroupName": fresh("t-")}),
    "UpdateRole": i_writes("update_role", holder("role", Description="changed")),
    "UpdateUser": i_writes("update_user", lambda s: {**s.user(), "NewUserName": fresh("t-")}),
}
for kind in ("Group", "Role", "User"):
    low = kind.lower()
    IAM |= {
        f"Attach{kind}Policy": i_writes(f"attach_{low}_policy", holder(low, PolicyArn=AWS + "ReadOnlyAccess")),
        f"Delete{kind}Policy": i_writes(f"delete_{low}_policy", inline(low)),
        f"Detach{kind}Policy": i_writes(f"detach_{low}_policy", attached(low)),
        f"Get{kind}Policy": i_reads(f"get_{low}_policy", inline(low)),
        f"ListAttached{kind}Policies": i_reads(f"list_attached_{low}_policies", holder(low)),
        f"List{kind}Policies": i_reads(f"list_{low}_policies", holder(low)),
        f"Put{kind}Policy": i_writes(f"put_{low}_policy", holder(low, **P_POLICY)),
    }
for kind in ("Policy", "Role", "User"):
    low = kind.lower()
    IAM |= {
        f"Tag{kind}": i_writes(f"tag_{low}", holder(low, **I_TAGS)),
        f"Untag{kind}": i_writes(f"untag_{low}", tagged(low)),
        f"List{kind}Tags": i_reads(f"list_{low}_tags", holder(low)),
    }


def provider(stage, **more):
    """An OpenID Connect provider; nothing is fetched from it."""
    thumbprint = "0" * 40
    made = stage.iam.create_open_id_connect_provider(Url=f"https://{fresh('t-')}.example", ClientIDList=["app"],
                                                     ThumbprintList=[thumbprint], **more)
    return {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}


def oidc(**more):
    return lambda stage: {**provider(stage), **more}


def oidc_state(stage, args):
    found = {}
    for it in stage.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        shown = told(lambda: stage.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=it["Arn"]))
        found[it["Arn"]] = plain(shown)
    return found


def o_writes(call, prepare):
    return Op(call, prepare, state=oidc_state)


NEW_PROVIDER = {"ClientIDList": ["app"], "ThumbprintList": ["0" * 40]}
IAM |= {
    "AddClientIDToOpenIDConnectProvider": o_writes("add_client_id_to_open_id_connect_provider", oidc(ClientID="b")),
    "CreateOpenIDConnectProvider": o_writes(
        "create_open_id_connect_provider", lambda s: {"Url": f"https://{fresh('t-')}.example", **NEW_PROVIDER}),
    "CreateOpenIDConnectProvider with tags": o_writes(
        "create_open_id_connect_provider", lambda s: {"Url": f"https://{fresh('t-')}.example", **NEW_PROVIDER, **I_TAGS}),
    "DeleteOpenIDConnectProvider": o_writes("delete_open_id_connect_provider", provider),
    "GetOpenIDConnectProvider": i_reads("get_open_id_connect_provider", provider),
    "ListOpenIDConnectProviders": i_reads("list_open_id_connect_providers"),
    "ListOpenIDConnectProviderTags": i_reads("list_open_id_connect_provider_tags", provider),
    "RemoveClientIDFromOpenIDConnectProvider": o_writes("remove_client_id_from_open_id_connect_provider",
                                                        oidc(ClientID="app")),
    "TagOpenIDConnectProvider": o_writes("tag_open_id_connect_provider", oidc(**I_TAGS)),
    "UntagOpenIDConnectProvider": o_writes("untag_open_id_connect_provider", oidc(TagKeys=["k"])),
    "UpdateOpenIDConnectProviderThumbprint": o_writes("update_open_id_connect_provider_thumbprint",
                                                      oidc(ThumbprintList=["1" * 40])),
}
