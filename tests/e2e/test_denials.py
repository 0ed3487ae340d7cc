"""Why a request was denied: sealed in its answer, decoded by those of the caller's account who may."""

import json

import pytest

from conftest import new_bucket, refused
from test_iam import AWS, account, as_user, iam, name, sts, trust, user  # noqa: F401 - fixtures

HEADER = "x-strongroom-authorization-message"


@pytest.fixture
def own(iam, user):  # noqa: F811
    return iam.create_access_key(UserName=user)["AccessKey"]


def decoded(sts, message):  # noqa: F811
    return json.loads(sts.decode_authorization_message(EncodedMessage=message)["DecodedMessage"])


def test_denials_of_every_service_can_be_decoded(iam, sts, s3, key, clients, account, user, own):  # noqa: F811
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    role = iam.create_role(RoleName=f"r{user}", AssumeRolePolicyDocument=trust(account))["Role"]["Arn"]
    for service, call, arguments, action, resource in [
        ("s3", "get_object", {"Bucket": bucket, "Key": "k"}, "s3:GetObject", f"arn:aws:s3:::{bucket}/k"),
        ("kms", "disable_key", {"KeyId": key}, "kms:DisableKey", key),
        ("iam", "list_users", {}, "iam:ListUsers", f"arn:aws:iam::{account}:user/"),
        ("sts", "assume_role", {"RoleArn": role, "RoleSessionName": "session"}, "sts:AssumeRole", role),
    ]:
        error = refused(getattr(as_user(clients, own, service), call), **arguments)
        told = decoded(sts, error.headers[HEADER])
        assert told["allowed"] is False and told["explicitDeny"] is False
        context = told["context"]
        assert (context["action"], context["resource"]) == (action, resource)
        assert context["principal"]["arn"] == f"arn:aws:iam::{account}:user/{user}"
        assert len(error.headers[HEADER]) < 4096
        # The user itself may not read it, nor does its text tell more than AWS's.
        assert refused(as_user(clients, own, "sts").decode_authorization_message,
                       EncodedMessage=error.headers[HEADER]).code == "AccessDenied"
        assert "ncoded authorization" not in error.message
    assert HEADER in refused(as_user(clients, own, "s3").head_object, Bucket=bucket, Key="k").headers


def test_a_denial_names_the_statement_that_denied(iam, sts, s3, clients, user, own):  # noqa: F811
    bucket = new_bucket(s3)
    iam.attach_user_policy(UserName=user, PolicyArn=AWS + "AdministratorAccess")
    iam.put_user_policy(UserName=user, PolicyName="no-writes", PolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": {"Sid": "NoWrites", "Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}}))
    error = refused(as_user(clients, own, "s3").put_object, Bucket=bucket, Key="k", Body=b"x")
    told = decoded(sts, error.headers[HEADER])
    assert told["explicitDeny"] is True
    denies = [it for it in told["matchedStatements"]["items"] if it["effect"] == "Deny"]
    assert [(it["statementId"], it["sourcePolicyId"]) for it in denies] == [("NoWrites", f"{user}/no-writes")]
    # A user with the right to decode may, too.
    assert decoded(as_user(clients, own, "sts"), error.headers[HEADER]) == told


def test_strangers_and_good_answers_carry_no_message_and_no_other_text_decodes(s3, sts, iam, raw, clients, user, own):  # noqa: F811,E501
    bucket = new_bucket(s3)
    answer = s3.list_objects_v2(Bucket=bucket)
    assert HEADER not in answer["ResponseMetadata"]["HTTPHeaders"]
    anonymous = clients.boto(signature_version=__import__("botocore").UNSIGNED)
    error = refused(anonymous.list_objects_v2, Bucket=bucket)
    assert error.status == 403 and HEADER not in error.headers
    good = refused(as_user(clients, own, "s3").list_objects_v2, Bucket=bucket).headers[HEADER]
    for wrong in ["x", good[:-2], good[:-1] + ("A" if good[-1] != "A" else "B"), "A" * 20_000]:
        error = refused(sts.decode_authorization_message, EncodedMessage=wrong)
        assert error.code == "InvalidAuthorizationMessageException", wrong
