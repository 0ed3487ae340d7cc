"""What users and sessions may do with buckets: by policies, within boundaries, until it is taken away."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import Clients, new_bucket, refused
from test_iam import AWS, account, as_user, iam, name, sts, trust, user  # noqa: F401 - fixtures


def statement(action, resource="*", effect="Allow"):
    return json.dumps({"Version": "2012-10-17",
                       "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]})


@pytest.fixture
def filled(s3):
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"plaintext")
    return bucket


@pytest.fixture
def own(iam, clients, user):  # noqa: F811
    """The user's key."""
    return iam.create_access_key(UserName=user)["AccessKey"]


def reads(client, bucket):
    try:
        return client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"plaintext"
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "InvalidAccessKeyId"), error
        return False


def test_a_right_holds_from_the_next_request_until_it_is_taken_away(iam, clients, user, own, filled):  # noqa: F811
    client = as_user(clients, own, "s3")
    assert not reads(client, filled)
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=statement("s3:GetObject"))
    assert reads(client, filled)
    assert refused(client.put_object, Bucket=filled, Key="k", Body=b"x").code == "AccessDenied"
    iam.put_user_policy(UserName=user, PolicyName="d", PolicyDocument=statement("s3:*", effect="Deny"))
    assert not reads(client, filled)
    iam.delete_user_policy(UserName=user, PolicyName="d")
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=AWS + "AWSKeyManagementServicePowerUser")
    assert not reads(client, filled)
    iam.delete_user_permissions_boundary(UserName=user)
    assert reads(client, filled)
    iam.update_access_key(UserName=user, AccessKeyId=own["AccessKeyId"], Status="Inactive")
    assert not reads(client, filled)


def test_users_do_not_manage_iam_unless_they_may(iam, clients, user, own):  # noqa: F811
    client = as_user(clients, own, "iam")
    error = refused(client.list_users)
    assert (error.status, error.code) == (403, "AccessDenied")
    assert "is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::" in error.message
    assert refused(client.get_user).code == "AccessDenied"
    assert refused(client.attach_user_policy, UserName=user, PolicyArn=AWS + "AdministratorAccess").code == "AccessDenied"
    iam.attach_user_policy(UserName=user, PolicyArn=AWS + "AdministratorAccess")
    assert client.get_user()["User"]["UserName"] == user


def test_a_role_is_assumed_and_its_session_limited(iam, clients, account, user, own, filled, name):  # noqa: F811
    role = f"r{name}"
    arn = iam.create_role(RoleName=role, Path="/p/",
                          AssumeRolePolicyDocument=trust(f"arn:aws:iam::{account}:user/{user}"))["Role"]["Arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    sts_of_user = as_user(clients, own, "sts")
    made = sts_of_user.assume_role(RoleArn=arn, RoleSessionName="session")
    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/{role}/session"
    client = as_user(clients, made["Credentials"], "s3")
    assert reads(client, filled)
    assert as_user(clients, made["Credentials"], "sts").get_caller_identity()["UserId"].endswith(":session")
    limited = sts_of_user.assume_role(RoleArn=arn, RoleSessionName="session", Policy=statement("s3:ListBucket"))
    assert limited["PackedPolicySize"] >= 1
    assert not reads(as_user(clients, limited["Credentials"], "s3"), filled)
    error = refused(sts_of_user.assume_role, RoleArn=arn, RoleSessionName="session", DurationSeconds=7200)
    assert error.code == "ValidationError"
    iam.detach_role_policy(RoleName=role, PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    assert not reads(client, filled)
    iam.delete_role(RoleName=role)
    assert refused(client.get_object, Bucket=filled, Key="k").code == "InvalidAccessKeyId"


def test_session_tokens_do_not_reach_iam(iam, clients, user, own, filled):  # noqa: F811
    iam.attach_user_policy(UserName=user, PolicyArn=AWS + "AdministratorAccess")
    made = as_user(clients, own, "sts").get_session_token()["Credentials"]
    assert reads(as_user(clients, made, "s3"), filled)
    error = refused(as_user(clients, made, "iam").list_users)
    assert (error.status, error.code) == (403, "InvalidClientTokenId")


def test_the_last_use_of_a_key_outlives_the_server(make_server):
    server = make_server()
    own_clients = Clients(server.access())
    own_iam = own_clients.boto(service="iam")
    own_iam.create_user(UserName="u")
    made = own_iam.create_access_key(UserName="u")["AccessKey"]
    assert own_iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    as_user(own_clients, made, "sts").get_caller_identity()
    used = own_iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"]
    assert used["ServiceName"] == "sts" and used["Region"] == own_clients.region
    server.restart()
    own_iam = Clients(server.access()).boto(service="iam")
    assert own_iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"] == used
