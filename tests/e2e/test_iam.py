"""IAM and STS through boto3: every operation once, error codes and texts, pages, and what is refused to whom."""

import json
import urllib.parse
import urllib.request
import uuid

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from conftest import boto_client, refused

READ = json.dumps({"Version": "2012-10-17",
                   "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]})
AWS = "arn:aws:iam::aws:policy/"


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}]})


@pytest.fixture(scope="module")
def iam(clients):
    return clients.boto(service="iam")


@pytest.fixture(scope="module")
def sts(clients):
    return clients.boto(service="sts")


@pytest.fixture(scope="module")
def account(sts):
    return sts.get_caller_identity()["Account"]


@pytest.fixture
def name():
    return f"t{uuid.uuid4().hex[:16]}"


@pytest.fixture
def user(iam, name):
    iam.create_user(UserName=name)
    return name


@pytest.fixture
def policy(iam):
    return iam.create_policy(PolicyName=f"p{uuid.uuid4().hex[:16]}", PolicyDocument=READ)["Policy"]["Arn"]


def as_user(clients, made, service):
    """A client that signs with a key or a temporary credential."""
    return boto_client(service, made["AccessKeyId"], made["SecretAccessKey"], made.get("SessionToken"),
                       region_name=clients.region, endpoint_url=clients.access.http,
                       config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))


def test_users(iam, account, name):
    made = iam.create_user(UserName=name, Path="/a/b/", PermissionsBoundary=AWS + "ReadOnlyAccess",
                           Tags=[{"Key": "k", "Value": "v"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{account}:user/a/b/{name}"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    shown = iam.get_user(UserName=name.upper())["User"]
    assert shown == made
    assert shown["PermissionsBoundary"]["PermissionsBoundaryArn"] == AWS + "ReadOnlyAccess"
    assert shown["Tags"] == [{"Key": "k", "Value": "v"}]
    assert [u["UserName"] for u in iam.list_users(PathPrefix="/a/b/")["Users"] if u["UserName"] == name]
    iam.update_user(UserName=name, NewUserName=name + "2", NewPath="/")
    assert iam.get_user(UserName=name + "2")["User"]["UserId"] == made["UserId"]
    iam.delete_user(UserName=name + "2")
    error = refused(iam.get_user, UserName=name)
    assert (error.status, error.code) == (404, "NoSuchEntity")
    assert error.message == f"The user with name {name} cannot be found."
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{account}:root"


def test_texts_of_errors(iam, user, policy):
    for call, arguments, status, code, text in [
        (iam.create_user, {"UserName": user}, 409, "EntityAlreadyExists", f"User with name {user} already exists."),
        (iam.create_user, {"UserName": "a b"}, 400, "ValidationError",
         "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the "
         "following: +=,.@_-"),
        (iam.put_user_policy, {"UserName": user, "PolicyName": "p", "PolicyDocument": "{"}, 400,
         "MalformedPolicyDocument", "This policy contains invalid Json"),
        (iam.attach_user_policy, {"UserName": user, "PolicyArn": policy + "x"}, 404, "NoSuchEntity",
         f"Policy {policy}x does not exist or is not attachable."),
        (iam.get_policy, {"PolicyArn": policy + "x"}, 404, "NoSuchEntity", f"Policy {policy}x was not found."),
        (iam.detach_user_policy, {"UserName": user, "PolicyArn": policy}, 404, "NoSuchEntity",
         f"Policy {policy} was not found."),
        (iam.get_user_policy, {"UserName": user, "PolicyName": "p"}, 404, "NoSuchEntity",
         "The user policy with name p cannot be found."),
        (iam.delete_policy_version, {"PolicyArn": policy, "VersionId": "v1"}, 409, "DeleteConflict",
         "Cannot delete the default version of a policy."),
        (iam.list_users, {"Marker": "nonsense"}, 400, "ValidationError", "Invalid Marker"),
        (iam.create_login_profile, {"UserName": user, "Password": "x"}, 400, "InvalidAction", None),
    ]:
        error = refused(call, **arguments)
        assert (error.status, error.code) == (status, code), error.message
        assert text is None or error.message == text
        assert error.error["Type"] == "Sender"


def test_access_keys(iam, clients, user, account):
    made = iam.create_access_key(UserName=user)["AccessKey"]
    assert made["AccessKeyId"].startswith("AKIA") and len(made["AccessKeyId"]) == 20
    assert len(made["SecretAccessKey"]) == 40 and made["Status"] == "Active"
    key = {"UserName": user, "AccessKeyId": made["AccessKeyId"]}
    assert "SecretAccessKey" not in iam.list_access_keys(UserName=user)["AccessKeyMetadata"][0]
    assert iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    own = as_user(clients, made, "sts")
    assert own.get_caller_identity()["Arn"] == f"arn:aws:iam::{account}:user/{user}"
    used = iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])
    assert used["UserName"] == user and used["AccessKeyLastUsed"]["ServiceName"] == "sts"
    iam.update_access_key(**key, Status="Inactive")
    error = refused(own.get_caller_identity)
    assert (error.status, error.code) == (403, "InvalidClientTokenId")
    iam.update_access_key(**key, Status="Active")
    own.get_caller_identity()
    iam.create_access_key(UserName=user)
    assert refused(iam.create_access_key, UserName=user).message == "Cannot exceed quota for AccessKeysPerUser: 2"
    iam.delete_access_key(**key)
    assert refused(own.get_caller_identity).code == "InvalidClientTokenId"
    assert refused(iam.delete_access_key, **key).code == "NoSuchEntity"
    assert refused(iam.delete_user, UserName=user).code == "DeleteConflict"


def test_groups(iam, user, name):
    group = "g" + name
    assert iam.create_group(GroupName=group)["Group"]["GroupId"].startswith("AGPA")
    iam.add_user_to_group(GroupName=group, UserName=user)
    assert [u["UserName"] for u in iam.get_group(GroupName=group)["Users"]] == [user]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=user)["Groups"]] == [group]
    assert any(g["GroupName"] == group for g in iam.list_groups()["Groups"])
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=READ)
    assert iam.get_group_policy(GroupName=group, PolicyName="p")["PolicyDocument"] == json.loads(READ)
    assert iam.list_group_policies(GroupName=group)["PolicyNames"] == ["p"]
    iam.attach_group_policy(GroupName=group, PolicyArn=AWS + "ReadOnlyAccess")
    attached = iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"]
    assert attached == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": AWS + "ReadOnlyAccess"}]
    assert refused(iam.delete_group, GroupName=group).code == "DeleteConflict"
    iam.detach_group_policy(GroupName=group, PolicyArn=AWS + "ReadOnlyAccess")
    iam.delete_group_policy(GroupName=group, PolicyName="p")
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.update_group(GroupName=group, NewGroupName=group + "2")
    iam.delete_group(GroupName=group + "2")


def test_roles(iam, account, name):
    made = iam.create_role(RoleName=name, Path="/p/", AssumeRolePolicyDocument=trust(account), Description="d",
                           MaxSessionDuration=7200)["Role"]
    assert made["RoleId"].startswith("AROA")
    shown = iam.get_role(RoleName=name)["Role"]
    assert shown["AssumeRolePolicyDocument"] == json.loads(trust(account))
    assert (shown["Description"], shown["MaxSessionDuration"]) == ("d", 7200)
    assert any(r["RoleName"] == name for r in iam.list_roles(PathPrefix="/p/")["Roles"])
    iam.update_role(RoleName=name, Description="e", MaxSessionDuration=3600)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust(f"arn:aws:iam::{account}:root"))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=READ)
    assert iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"] == json.loads(READ)
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["p"]
    iam.attach_role_policy(RoleName=name, PolicyArn=AWS + "AmazonS3FullAccess")
    assert len(iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]) == 1
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=AWS + "ReadOnlyAccess")
    assert "PermissionsBoundary" in iam.get_role(RoleName=name)["Role"]
    iam.delete_role_permissions_boundary(RoleName=name)
    iam.tag_role(RoleName=name, Tags=[{"Key": "k", "Value": "v"}])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "k", "Value": "v"}]
    iam.untag_role(RoleName=name, TagKeys=["k"])
    assert refused(iam.delete_role, RoleName=name).code == "DeleteConflict"
    iam.detach_role_policy(RoleName=name, PolicyArn=AWS + "AmazonS3FullAccess")
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    error = refused(iam.create_role, RoleName=name, AssumeRolePolicyDocument=READ)
    assert error.code == "MalformedPolicyDocument"


def test_managed_policies(iam, user, policy):
    shown = iam.get_policy(PolicyArn=policy)["Policy"]
    assert (shown["DefaultVersionId"], shown["AttachmentCount"]) == ("v1", 0)
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=READ.replace("Get", "Put"), SetAsDefault=True)
    version = iam.get_policy_version(PolicyArn=policy, VersionId="v2")["PolicyVersion"]
    assert version["IsDefaultVersion"] and version["Document"]["Statement"][0]["Action"] == "s3:PutObject"
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=policy)["Versions"]] == ["v2", "v1"]
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    iam.delete_policy_version(PolicyArn=policy, VersionId="v2")
    iam.attach_user_policy(UserName=user, PolicyArn=policy)
    entities = iam.list_entities_for_policy(PolicyArn=policy)
    assert [u["UserName"] for u in entities["PolicyUsers"]] == [user]
    assert any(p["Arn"] == policy for p in iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"])
    assert refused(iam.delete_policy, PolicyArn=policy).code == "DeleteConflict"
    iam.detach_user_policy(UserName=user, PolicyArn=policy)
    iam.tag_policy(PolicyArn=policy, Tags=[{"Key": "k", "Value": "v"}])
    assert iam.list_policy_tags(PolicyArn=policy)["Tags"] == [{"Key": "k", "Value": "v"}]
    iam.untag_policy(PolicyArn=policy, TagKeys=["k"])
    iam.delete_policy(PolicyArn=policy)
    for name in ["AdministratorAccess", "ReadOnlyAccess", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess",
                 "AWSKeyManagementServicePowerUser"]:
        assert iam.get_policy_version(PolicyArn=AWS + name, VersionId="v1")["PolicyVersion"]["Document"]["Statement"]
    error = refused(iam.create_policy_version, PolicyArn=AWS + "ReadOnlyAccess", PolicyDocument=READ)
    assert error.code == "AccessDenied"


def test_policies_and_tags_of_users(iam, user):
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=READ)
    assert iam.get_user_policy(UserName=user, PolicyName="p")["PolicyDocument"] == json.loads(READ)
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == ["p"]
    iam.attach_user_policy(UserName=user, PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    assert len(iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]) == 1
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=AWS + "AdministratorAccess")
    boundary = iam.list_entities_for_policy(PolicyArn=AWS + "AdministratorAccess",
                                            PolicyUsageFilter="PermissionsBoundary")
    assert user in [u["UserName"] for u in boundary["PolicyUsers"]]
    iam.delete_user_permissions_boundary(UserName=user)
    iam.tag_user(UserName=user, Tags=[{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}])
    iam.untag_user(UserName=user, TagKeys=["K"])
    assert iam.list_user_tags(UserName=user)["Tags"] == [{"Key": "l", "Value": ""}]
    details = iam.get_account_authorization_details(Filter=["User"], MaxItems=1000)["UserDetailList"]
    [mine] = [d for d in details if d["UserName"] == user]
    assert mine["UserPolicyList"] == [{"PolicyName": "p", "PolicyDocument": json.loads(READ)}]
    iam.delete_user_policy(UserName=user, PolicyName="p")
    iam.detach_user_policy(UserName=user, PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 1 and summary["AccessKeysPerUserQuota"] == 2


def test_pages(iam, name):
    for index in range(5):
        iam.create_user(UserName=f"{name}{index}", Path=f"/{name}/")
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=f"/{name}/", PaginationConfig={"PageSize": 2}))
    assert [len(p["Users"]) for p in pages] == [2, 2, 1]
    assert [u["UserName"] for p in pages for u in p["Users"]] == [f"{name}{i}" for i in range(5)]
    marker = pages[0]["Marker"]
    assert refused(iam.list_users, Marker=marker, PathPrefix="/other/").code == "ValidationError"


def test_simulation(iam):
    results = iam.simulate_custom_policy(PolicyInputList=[READ], ActionNames=["s3:GetObject", "s3:PutObject"],
                                         ResourceArns=["arn:aws:s3:::b/k"])["EvaluationResults"]
    assert [(r["EvalActionName"], r["EvalDecision"]) for r in results] == [
        ("s3:GetObject", "allowed"), ("s3:PutObject", "implicitDeny")]


def test_sts_of_the_root_user(sts, account, clients):
    identity = sts.get_caller_identity()
    assert (identity["UserId"], identity["Arn"]) == (account, f"arn:aws:iam::{account}:root")
    made = sts.get_session_token()["Credentials"]
    assert made["AccessKeyId"].startswith("ASIA")
    assert as_user(clients, made, "sts").get_caller_identity()["Arn"] == identity["Arn"]
    assert sts.get_access_key_info(AccessKeyId=clients.access.access)["Account"] == account
    error = refused(sts.assume_role, RoleArn=f"arn:aws:iam::{account}:role/r", RoleSessionName="session")
    assert (error.status, error.code) == (403, "AccessDenied")
    error = refused(sts.assume_role, RoleArn="arn:aws:iam::x:role/long-enough-to-be-sent", RoleSessionName="session")
    assert (error.code, error.message) == ("ValidationError", "arn:aws:iam::x:role/long-enough-to-be-sent is invalid")
    error = refused(sts.decode_authorization_message, EncodedMessage="nonsense")
    assert (error.status, error.code) == (400, "InvalidAuthorizationMessageException")
    federated = sts.get_federation_token(Name="bob", Policy=READ)
    assert federated["FederatedUser"]["Arn"] == f"arn:aws:sts::{account}:federated-user/bob"
    own = as_user(clients, federated["Credentials"], "sts")
    assert own.get_caller_identity()["UserId"] == f"{account}:bob"
    forged = {**made, "SessionToken": "A" + made["SessionToken"][1:][::-1]}
    assert refused(as_user(clients, forged, "sts").get_caller_identity).code == "InvalidClientTokenId"


def send(access, service, body, sign=True, method="POST"):
    data = body.encode() if method == "POST" else None
    url = access.http + "/" + ("" if method == "POST" else "?" + body)
    request = AWSRequest(method, url, data=data,
                         headers={"Content-Type": "application/x-www-form-urlencoded"} if data else {})
    if sign:
        SigV4Auth(Credentials(access.access, access.secret), service, access.region).add_auth(request)
    made = urllib.request.Request(url, data, dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(made, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_protocol(shared):
    version = "Version=2011-06-15"
    status, text = send(shared, "sts", f"Action=GetCallerIdentity&{version}")
    assert status == 200 and "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">" in text
    assert "<GetCallerIdentityResult>" in text and "<ResponseMetadata><RequestId>" in text
    assert send(shared, "sts", f"Action=GetCallerIdentity&{version}", method="GET")[0] == 200
    for service, body, sign, expected in [
        ("sts", f"Action=GetCallerIdentity&{version}", False, (403, "MissingAuthenticationToken")),
        ("sts", f"Action=Nothing&{version}", True, (400, "InvalidAction")),
        ("sts", "Action=GetCallerIdentity&Version=2010-05-08", True, (400, "InvalidAction")),
        ("sts", version, True, (400, "MissingAction")),
        ("iam", "Action=CreateUser&Version=2010-05-08", True, (400, "ValidationError")),
        ("iam", "Action=ListUsers&Version=2010-05-08&Action=DeleteUser", True, (400, "MalformedQueryString")),
        ("iam", "Action=ListUsers&Version=2010-05-08&x=" + "x" * 300_000, True, (413, "RequestEntityTooLarge")),
    ]:
        status, text = send(shared, service, body, sign)
        assert (status, True) == (expected[0], f"<Code>{expected[1]}</Code>" in text), text
        assert "<Type>Sender</Type>" in text and "<RequestId>" in text
