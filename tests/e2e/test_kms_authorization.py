"""Who may use a key: users by policies, grants and key policies, through S3 and directly."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import new_bucket, refused
from test_iam import AWS, account, as_user, iam, name, sts, trust, user  # noqa: F401 - fixtures

PLAINTEXT = b"plaintext"


def statement(action, resource="*", effect="Allow", **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def own_statement(account):  # noqa: F811
    return statement("kms:*", Principal={"AWS": f"arn:aws:iam::{account}:root"})


@pytest.fixture
def arn(account, user):  # noqa: F811
    return f"arn:aws:iam::{account}:user/{user}"


@pytest.fixture
def credentials(iam, user):  # noqa: F811
    return iam.create_access_key(UserName=user)["AccessKey"]


@pytest.fixture
def own(clients, credentials):
    """The user's client of the key service."""
    return as_user(clients, credentials, "kms")


@pytest.fixture
def encrypted(s3, kms, key):
    """A bucket with bucket keys under the key, and an object in it."""
    bucket = new_bucket(s3)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
            "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT)
    return bucket


def allowed(call, **arguments):
    try:
        call(**arguments)
        return True
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException",
                                                   "InvalidAccessKeyId"), error
        return False


def test_a_right_on_a_key_is_gone_with_the_next_request_bucket_keys_included(
        iam, kms, clients, user, arn, account, credentials, key, encrypted):  # noqa: F811
    client = as_user(clients, credentials, "s3")
    iam.put_user_policy(UserName=user, PolicyName="s3", PolicyDocument=policy(
        statement(["s3:GetObject", "s3:PutObject"])))
    use = policy(statement(["kms:Decrypt", "kms:GenerateDataKey"], key))

    def may():
        # Twice, so that a bucket key is at hand.
        reads = [allowed(client.get_object, Bucket=encrypted, Key="k") for _ in range(2)]
        writes = [allowed(client.put_object, Bucket=encrypted, Key="k2", Body=b"x") for _ in range(2)]
        assert len({*reads, *writes}) == 1
        return reads[0]

    assert not may()
    # The user's own policy, and a Deny beside it.
    iam.put_user_policy(UserName=user, PolicyName="kms", PolicyDocument=use)
    assert may()
    iam.put_user_policy(UserName=user, PolicyName="deny", PolicyDocument=policy(
        statement("kms:*", effect="Deny")))
    assert not may()
    iam.delete_user_policy(UserName=user, PolicyName="deny")
    assert may()
    iam.delete_user_policy(UserName=user, PolicyName="kms")
    assert not may()
    # A group's, and a boundary.
    group = f"g{user}"
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="kms", PolicyDocument=use)
    iam.add_user_to_group(GroupName=group, UserName=user)
    assert may()
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=AWS + "AmazonS3FullAccess")
    assert not may()
    iam.delete_user_permissions_boundary(UserName=user)
    assert may()
    iam.remove_user_from_group(GroupName=group, UserName=user)
    assert not may()
    # A grant.
    grant = kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Decrypt", "GenerateDataKey"])["GrantId"]
    assert may()
    kms.revoke_grant(KeyId=key, GrantId=grant)
    assert not may()
    # The key's policy.
    named = statement(["kms:Decrypt", "kms:GenerateDataKey"], Principal={"AWS": arn})
    kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account), named))
    assert may()
    kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account)))
    assert not may()
    # The access key.
    kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account), named))
    assert may()
    iam.update_access_key(UserName=user, AccessKeyId=credentials["AccessKeyId"], Status="Inactive")
    assert not may()


def test_the_key_policy_is_the_root_of_trust(iam, kms, user, arn, account, own, key):  # noqa: F811
    everything = policy(statement("kms:*"))
    iam.put_user_policy(UserName=user, PolicyName="kms", PolicyDocument=everything)
    assert allowed(own.describe_key, KeyId=key)
    # The account delegates no more than its statement says.
    narrow = statement(["kms:PutKeyPolicy", "kms:GetKeyPolicy"], Principal={"AWS": f"arn:aws:iam::{account}:root"})
    kms.put_key_policy(KeyId=key, Policy=policy(narrow))
    assert not allowed(own.describe_key, KeyId=key)
    error = refused(own.encrypt, KeyId=key, Plaintext=b"x")
    assert error.message == (f"User: {arn} is not authorized to perform: kms:Encrypt on resource: {key} because no "
                             "resource-based policy allows the kms:Encrypt action")
    # Who may not write the policy cannot give himself anything by it, nor by a grant.
    iam.put_user_policy(UserName=user, PolicyName="kms", PolicyDocument=policy(statement("kms:Describe*")))
    kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account)))
    assert not allowed(own.put_key_policy, KeyId=key, Policy=policy(own_statement(account), statement(
        "kms:*", Principal={"AWS": arn})))
    assert not allowed(own.create_grant, KeyId=key, GranteePrincipal=arn, Operations=["Decrypt"])


def test_a_policy_names_only_who_exists_and_locks_nobody_out(iam, kms, user, arn, account, own, key):  # noqa: F811
    for nobody in (f"{arn}x", f"arn:aws:iam::{account}:role/nobody", "arn:aws:iam::999988887777:user/u"):
        named = statement("kms:Decrypt", Principal={"AWS": nobody})
        error = refused(kms.put_key_policy, KeyId=key, Policy=policy(own_statement(account), named))
        assert (error.status, error.code) == (400, "MalformedPolicyDocumentException")
        assert error.message == "Policy contains a statement with one or more invalid principals."
    both = policy(own_statement(account), statement("kms:PutKeyPolicy", Principal={"AWS": arn}))
    kms.put_key_policy(KeyId=key, Policy=both)
    assert kms.get_key_policy(KeyId=key)["Policy"] == both
    # The user may put the policy only as long as it names him: he has no right of his own.
    error = refused(own.put_key_policy, KeyId=key, Policy=policy(own_statement(account)))
    assert (error.code, error.message) == ("MalformedPolicyDocumentException", "The new key policy will not allow "
                                           "you to update the key policy in the future.")
    own.put_key_policy(KeyId=key, Policy=policy(own_statement(account)), BypassPolicyLockoutSafetyCheck=True)
    assert not allowed(own.put_key_policy, KeyId=key, Policy=both)


def test_roles_and_their_sessions_are_granted_and_revoked(iam, sts, kms, clients, account, name, key):  # noqa: F811
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(account))["Role"]["Arn"]
    caller = iam.create_user(UserName=f"{name}c")["User"]["Arn"]
    iam.put_user_policy(UserName=f"{name}c", PolicyName="p", PolicyDocument=policy(statement("sts:AssumeRole")))
    made = iam.create_access_key(UserName=f"{name}c")["AccessKey"]
    session = as_user(clients, made, "sts").assume_role(RoleArn=role, RoleSessionName="session")
    client = as_user(clients, session["Credentials"], "kms")
    session_arn = session["AssumedRoleUser"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert caller and not allowed(client.decrypt, CiphertextBlob=blob)
    for principal in (role, session_arn):
        grant = kms.create_grant(KeyId=key, GranteePrincipal=principal, Operations=["Decrypt"])["GrantId"]
        assert kms.list_grants(KeyId=key, GranteePrincipal=principal)["Grants"][0]["GranteePrincipal"] == principal
        assert allowed(client.decrypt, CiphertextBlob=blob)
        kms.revoke_grant(KeyId=key, GrantId=grant)
        assert not allowed(client.decrypt, CiphertextBlob=blob)
        kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account), statement(
            "kms:Decrypt", Principal={"AWS": principal})))
        assert allowed(client.decrypt, CiphertextBlob=blob)
        kms.put_key_policy(KeyId=key, Policy=policy(own_statement(account)))
        assert not allowed(client.decrypt, CiphertextBlob=blob)


def test_grants_hand_on_no_more_than_they_hold_and_are_retired_by_who_may(
        iam, kms, clients, user, arn, account, own, key):  # noqa: F811
    other = iam.create_user(UserName=f"{user}o")["User"]["Arn"]
    others = as_user(clients, iam.create_access_key(UserName=f"{user}o")["AccessKey"], "kms")
    subset = {"EncryptionContextSubset": {"a": "1"}}
    kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Decrypt", "CreateGrant"], Constraints=subset)
    for more in ({"Operations": ["Encrypt"], "Constraints": subset}, {"Operations": ["Decrypt"]},
                 {"Operations": ["Decrypt"], "Constraints": {"EncryptionContextSubset": {"b": "1"}}}):
        assert not allowed(own.create_grant, KeyId=key, GranteePrincipal=other, **more)
    handed = own.create_grant(KeyId=key, GranteePrincipal=other, Operations=["Decrypt"], Constraints=subset,
                              RetiringPrincipal=arn)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    assert allowed(others.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "1"},
                   GrantTokens=[handed["GrantToken"]])
    plain = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert not allowed(others.decrypt, CiphertextBlob=plain)
    mine = kms.create_grant(KeyId=key, GranteePrincipal=other, Operations=["Decrypt"])["GrantId"]
    for grant in (handed["GrantId"], mine):
        assert not allowed(others.retire_grant, KeyId=key, GrantId=grant)
    assert not allowed(own.retire_grant, KeyId=key, GrantId=mine)
    own.retire_grant(GrantToken=handed["GrantToken"])
    assert [it["GrantId"] for it in kms.list_grants(KeyId=key, GranteePrincipal=other)["Grants"]] == [mine]


def test_the_managed_key_is_for_all_who_use_s3_and_for_nobody_directly(
        iam, s3, kms, clients, user, credentials, own):  # noqa: F811
    bucket = new_bucket(s3)
    iam.put_user_policy(UserName=user, PolicyName="s3", PolicyDocument=policy(
        statement(["s3:GetObject", "s3:PutObject"])))
    client = as_user(clients, credentials, "s3")
    client.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT, ServerSideEncryption="aws:kms")
    answer = client.get_object(Bucket=bucket, Key="k")
    assert answer["Body"].read() == PLAINTEXT
    managed = answer["SSEKMSKeyId"]
    assert not allowed(own.encrypt, KeyId=managed, Plaintext=b"x")
    assert not allowed(kms.encrypt, KeyId=managed, Plaintext=b"x")
    iam.put_user_policy(UserName=user, PolicyName="deny", PolicyDocument=policy(
        statement("kms:Decrypt", managed, effect="Deny")))
    assert not allowed(client.get_object, Bucket=bucket, Key="k")
