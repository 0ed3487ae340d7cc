"""Attempts to get more than was given. Each is refused with the exact error, and changes nothing."""

import urllib.request
import uuid
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from callers import ANONYMOUS, Actor, allow, deny, document, fresh, post_object, told, urlopen
from escalation import S3_DENIED, a_group, account, denied_to, done_by, world  # noqa: F401 - the fixtures


# Sessions and session policies.

def test_a_session_policy_does_not_widen_its_role(world, account):
    at = world.object()
    narrow = account.role(allow("s3:ListAllMyBuckets"))
    session = account.assume(world.all, narrow, allow())
    done_by(world, session, "s3", "list_buckets")
    denied_to(world, session, "s3", "get_object", **at)
    denied_to(world, session, "iam", "create_user", UserName=fresh())


def test_a_session_policy_of_managed_policies_does_not_widen_either(world, account):
    at, narrow = world.object(), account.role(allow("s3:ListAllMyBuckets"))
    made = world.of(world.all, "sts").assume_role(
        RoleArn=narrow, RoleSessionName="session",
        PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}])["Credentials"]
    session = Actor(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    done_by(world, session, "s3", "list_buckets")
    denied_to(world, session, "s3", "get_object", **at)


def test_a_narrowed_session_does_not_get_rid_of_its_policy(world, account):
    """By assuming its role again it would."""
    wide = account.role(allow())
    session = account.assume(world.all, wide, allow("s3:ListAllMyBuckets"))
    denied_to(world, session, "sts", "assume_role", RoleArn=wide, RoleSessionName="again")
    for method, members in (("get_session_token", {}), ("get_federation_token", {"Name": "somebody"})):
        denied_to(world, session, "sts", method, **members)


def test_a_federated_session_without_a_policy_may_nothing(world, account):
    made = world.of(world.all, "sts").get_federation_token(Name="somebody")["Credentials"]
    session = Actor(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    denied_to(world, session, "s3", "list_buckets")


def test_a_federated_session_has_no_more_than_its_user(world, account):
    user = account.user(allow(["sts:GetFederationToken", "s3:ListAllMyBuckets"]))
    at = world.object()
    made = world.of(user, "sts").get_federation_token(Name="somebody", Policy=document(allow()))["Credentials"]
    session = Actor(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    done_by(world, session, "s3", "list_buckets")
    denied_to(world, session, "s3", "get_object", **at)


def test_a_token_serves_no_other_key_and_no_forged_one(world, account):
    session = account.assume(world.all, world.admin)
    other = account.assume(world.all, account.role())
    mixed = [Actor(other.access, other.secret, session.token), Actor(session.access, other.secret, session.token),
             Actor(world.all.access, world.all.secret, session.token)]
    for actor in mixed:
        answer = told(world.of(actor, "sts").get_caller_identity)
        assert answer.status == 403 and answer.code in ("InvalidClientTokenId", "SignatureDoesNotMatch"), answer
        assert told(world.of(actor, "s3").list_buckets).code in ("InvalidToken", "SignatureDoesNotMatch",
                                                                 "InvalidAccessKeyId")
    without = Actor(session.access, session.secret)
    assert told(world.of(without, "s3").list_buckets).code == "InvalidAccessKeyId"


# Paths through IAM.

def test_a_role_is_not_assumed_whose_trust_policy_does_not_say_so(world, account):
    closed = account.role(allow(), trust=account.trust(account.user().arn))
    denied_to(world, world.all, "sts", "assume_role", RoleArn=closed, RoleSessionName="session")
    unknown = denied_to(world, world.all, "sts", "assume_role", RoleArn=closed + "x", RoleSessionName="session")
    known = denied_to(world, world.all, "sts", "assume_role", RoleArn=closed, RoleSessionName="session")
    assert known.message.replace(closed, "it") == unknown.message.replace(closed + "x", "it"), "whether it exists"


def test_who_may_pass_a_role_cannot_assume_it(world, account):
    user = account.user(allow(["iam:PassRole", "iam:GetRole", "iam:List*"]))
    denied_to(world, user, "sts", "assume_role", RoleArn=world.admin, RoleSessionName="session")


def test_the_trust_policy_cannot_be_changed_by_who_may_not(world, account):
    user = account.user(allow(["sts:AssumeRole", "iam:UpdateRole", "iam:TagRole", "iam:PutUserPolicy"],
                              ["arn:aws:iam::*:role/*"]))
    role = account.role(allow(), trust=account.trust(account.user().arn))
    name = role.rpartition("/")[2]
    denied_to(world, user, "iam", "update_assume_role_policy", RoleName=name, PolicyDocument=account.trust(user.arn))
    denied_to(world, user, "sts", "assume_role", RoleArn=role, RoleSessionName="session")
    assert account.iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] != account.trust(user.arn)


def test_no_right_over_others_is_a_right_over_oneself(world, account):
    other = account.user()
    user = account.user(allow("iam:*", other.arn))
    for method, members in (
        ("put_user_policy", {"PolicyName": "mine", "PolicyDocument": document(allow())}),
        ("attach_user_policy", {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("delete_user_policy", {"PolicyName": "p"}), ("create_access_key", {}),
        ("put_user_permissions_boundary", {"PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ):
        denied_to(world, user, "iam", method, UserName=user.name, **members)
    denied_to(world, user, "iam", "add_user_to_group", UserName=user.name, GroupName=a_group(account, allow()))
    assert account.iam.list_user_policies(UserName=user.name)["PolicyNames"] == ["p"]


def test_policy_versions_are_a_right_of_their_own(world, account):
    arn = account.managed(allow("s3:ListAllMyBuckets"))
    user = account.user(allow(["iam:GetPolicy*", "iam:ListPolicyVersions", "iam:DeletePolicyVersion"]))
    account.iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(allow()))
    denied_to(world, user, "iam", "create_policy_version", PolicyArn=arn, PolicyDocument=document(allow()),
              SetAsDefault=True)
    denied_to(world, user, "iam", "set_default_policy_version", PolicyArn=arn, VersionId="v2")
    denied_to(world, user, "iam", "list_users")
    assert account.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"


def test_a_boundary_cannot_be_taken_off_by_whom_it_binds(world, account):
    bound = account.managed(allow(["s3:*", "iam:*"]), deny(["iam:DeleteUserPermissionsBoundary",
                                                           "iam:PutUserPermissionsBoundary"]))
    user = account.user(allow())
    account.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=bound)
    denied_to(world, user, "iam", "delete_user_permissions_boundary", UserName=user.name)
    denied_to(world, user, "iam", "put_user_permissions_boundary", UserName=user.name,
              PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess")
    denied_to(world, user, "kms", "list_keys")
    assert account.iam.get_user(UserName=user.name)["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == bound


def test_users_are_not_made_without_the_boundary_that_is_demanded(world, account):
    bound = account.managed(allow("s3:*"))
    user = account.user(allow("iam:CreateUser", Condition={"StringEquals": {"iam:PermissionsBoundary": bound}}))
    name = fresh()
    denied_to(world, user, "iam", "create_user", UserName=name)
    denied_to(world, user, "iam", "create_user", UserName=name,
              PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess")
    done_by(world, user, "iam", "create_user", UserName=name, PermissionsBoundary=bound)


def test_a_boundary_holds_for_what_the_account_delegates(world, account):
    """A key policy that delegates to the account, and a bucket policy, are two things (IAM User Guide)."""
    user, key = account.user(allow()), account.key()
    bound = account.managed(allow("s3:*"))
    account.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=bound)
    denied_to(world, user, "kms", "describe_key", KeyId=key)
    role = account.role(allow())
    account.iam.put_role_permissions_boundary(RoleName=role.rpartition("/")[2], PermissionsBoundary=bound)
    session = account.assume(world.all, role)
    account.key_policy(key, {**allow("kms:DescribeKey"), "Principal": {"AWS": [user.arn, role]}})
    done_by(world, user, "kms", "describe_key", KeyId=key)
    denied_to(world, session, "kms", "describe_key", KeyId=key)


def test_a_deny_by_tag_is_not_escaped_by_untagging(world, account):
    user = account.user(allow(), deny("s3:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "out"}}),
                        deny(["iam:TagUser", "iam:UntagUser"]))
    account.iam.tag_user(UserName=user.name, Tags=[{"Key": "team", "Value": "out"}])
    denied_to(world, user, "s3", "list_buckets")
    denied_to(world, user, "iam", "untag_user", UserName=user.name, TagKeys=["team"])
    denied_to(world, user, "iam", "tag_user", UserName=user.name, Tags=[{"Key": "team", "Value": "in"}])
    denied_to(world, user, "s3", "list_buckets")


def test_session_tags_do_not_pretend_to_be_the_tags_of_others(world, account):
    role = account.role(allow("s3:ListAllMyBuckets", Condition={"StringEquals": {"aws:PrincipalTag/team": "in"}}))
    denied_to(world, account.assume(world.all, role), "s3", "list_buckets")
    # Without sts:TagSession in the trust policy nobody brings tags, whatever IAM lets them.
    denied_to(world, world.all, "sts", "assume_role", RoleArn=role, RoleSessionName="session",
              Tags=[{"Key": "team", "Value": "in"}])


# Keys and grants.

def test_a_grant_hands_on_no_more_than_it_holds(world, account):
    holder, other, key = account.user(), account.user(), account.key()
    account.kms.create_grant(KeyId=key, GranteePrincipal=holder.arn, Operations=["CreateGrant", "Encrypt"],
                             Constraints={"EncryptionContextSubset": {"a": "1"}})
    more = [
        {"Operations": ["Decrypt"]}, {"Operations": ["Encrypt", "Decrypt"]}, {"Operations": ["Encrypt"]},
        {"Operations": ["Encrypt"], "Constraints": {"EncryptionContextSubset": {"a": "2"}}},
        {"Operations": ["Encrypt"], "Constraints": {"EncryptionContextEquals": {"b": "1"}}},
        {"Operations": ["RetireGrant", "Encrypt"], "Constraints": {"EncryptionContextSubset": {"a": "1"}}},
        {"Operations": ["DescribeKey"], "Constraints": {"EncryptionContextSubset": {"a": "1"}}},
    ]
    for members in more:
        denied_to(world, holder, "kms", "create_grant", KeyId=key, GranteePrincipal=other.arn, **members)
    assert len(account.kms.list_grants(KeyId=key)["Grants"]) == 1
    done_by(world, holder, "kms", "create_grant", KeyId=key, GranteePrincipal=other.arn, Operations=["Encrypt"],
            Constraints={"EncryptionContextSubset": {"a": "1", "b": "2"}})
    pairs = {"a": "1", "b": "2"}
    blob = done_by(world, other, "kms", "encrypt", KeyId=key, Plaintext=b"x", EncryptionContext=pairs)["CiphertextBlob"]
    denied_to(world, other, "kms", "encrypt", KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})
    denied_to(world, other, "kms", "decrypt", CiphertextBlob=blob, EncryptionContext=pairs)
    denied_to(world, other, "kms", "create_grant", KeyId=key, GranteePrincipal=other.arn, Operations=["Encrypt"],
              Constraints={"EncryptionContextSubset": pairs})


def test_a_grant_for_one_key_is_none_for_another(world, account):
    holder, key, other = account.user(), account.key(), account.key()
    made = account.kms.create_grant(KeyId=key, GranteePrincipal=holder.arn, Operations=["Decrypt", "Encrypt"])
    denied_to(world, holder, "kms", "encrypt", KeyId=other, Plaintext=b"x")
    token = told(lambda: world.of(holder, "kms").encrypt(KeyId=other, Plaintext=b"x", GrantTokens=[made["GrantToken"]]))
    assert token.status == 400 and token.code in ("AccessDeniedException", "InvalidGrantTokenException")


def test_the_token_of_a_grant_is_no_bearer_token(world, account):
    holder, thief, key = account.user(), account.user(), account.key()
    made = account.kms.create_grant(KeyId=key, GranteePrincipal=holder.arn, Operations=["Encrypt", "RetireGrant"])
    token = [made["GrantToken"]]
    done_by(world, holder, "kms", "encrypt", KeyId=key, Plaintext=b"x", GrantTokens=token)
    denied_to(world, thief, "kms", "encrypt", KeyId=key, Plaintext=b"x", GrantTokens=token)
    denied_to(world, thief, "kms", "retire_grant", GrantToken=made["GrantToken"])
    denied_to(world, thief, "kms", "retire_grant", KeyId=key, GrantId=made["GrantId"])
    assert account.kms.list_grants(KeyId=key)["Grants"]


def test_an_explicit_deny_beats_a_grant(world, account):
    holder, key = account.user(), account.key()
    account.kms.create_grant(KeyId=key, GranteePrincipal=holder.arn, Operations=["Encrypt"])
    done_by(world, holder, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    account.set_user(holder.name, deny("kms:Encrypt"))
    denied_to(world, holder, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    account.set_user(holder.name, allow("s3:GetObject"))
    done_by(world, holder, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    account.key_policy(key, {**deny("kms:Encrypt"), "Principal": {"AWS": holder.arn}})
    denied_to(world, holder, "kms", "encrypt", KeyId=key, Plaintext=b"x")


def test_a_key_policy_is_not_edited_to_get_at_the_data(world, account):
    key = account.key()
    user = account.user(allow(["kms:DescribeKey", "kms:GetKeyPolicy", "kms:EnableKey", "kms:DisableKey",
                               "kms:TagResource", "kms:CreateAlias"]), allow("s3:*"))
    at = world.object(ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    before = account.kms.get_key_policy(KeyId=key)["Policy"]
    mine = document({**allow("kms:*"), "Principal": {"AWS": user.arn}})
    for bypass in (False, True):
        denied_to(world, user, "kms", "put_key_policy", KeyId=key, PolicyName="default", Policy=mine,
                  BypassPolicyLockoutSafetyCheck=bypass)
    denied_to(world, user, "kms", "create_grant", KeyId=key, GranteePrincipal=user.arn, Operations=["Decrypt"])
    denied_to(world, user, "s3", "get_object", **at)
    assert account.kms.get_key_policy(KeyId=key)["Policy"] == before


def test_iam_policies_allow_nothing_that_the_key_policy_does_not_delegate(world, account):
    """Not to administrators, and not to the root user: a key policy without the account's statement is all there is."""
    owner, admin, key = account.user(allow()), account.user(allow()), account.key()
    named = document({**allow("kms:*"), "Principal": {"AWS": owner.arn}})
    answer = told(lambda: account.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=named))
    assert answer.short == (400, "MalformedPolicyDocumentException"), "the root user would lock itself out"
    account.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=named, BypassPolicyLockoutSafetyCheck=True)
    for actor in (admin, world.callers.root):
        denied_to(world, actor, "kms", "describe_key", KeyId=key)
        denied_to(world, actor, "kms", "put_key_policy", KeyId=key, PolicyName="default", Policy=named,
                  BypassPolicyLockoutSafetyCheck=True)
        denied_to(world, actor, "kms", "create_grant", KeyId=key, GranteePrincipal=actor.arn, Operations=["Decrypt"])
        denied_to(world, actor, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    done_by(world, owner, "kms", "describe_key", KeyId=key)


def test_an_alias_gives_no_right_to_the_key_behind_it(world, account):
    key, name = account.key(), f"alias/{fresh()}"
    account.kms.create_alias(AliasName=name, TargetKeyId=key)
    user = account.user(allow("kms:*", [f"arn:aws:kms:*:{account.id}:alias/*"]))
    denied_to(world, user, "kms", "encrypt", KeyId=name, Plaintext=b"x")
    # Nor is a right by alias moved to another key by who may not use that.
    mine = account.key()
    mover = account.user(allow("kms:UpdateAlias", [f"arn:aws:kms:*:{account.id}:{name}", mine]))
    denied_to(world, mover, "kms", "update_alias", AliasName=name, TargetKeyId=mine)
    assert key.endswith([a for a in account.kms.list_aliases(Limit=100)["Aliases"] if a["AliasName"] == name][0]
                        ["TargetKeyId"])


def test_a_right_through_s3_is_none_by_hand(world, account):
    """W8: kms:ViaService."""
    key = account.key()
    region = world.callers.region
    user = account.user(allow("s3:*"), allow(["kms:Decrypt", "kms:GenerateDataKey"], key,
                                             Condition={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}))
    at = {"Bucket": account.bucket(), "Key": "k"}
    done_by(world, user, "s3", "put_object", **at, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    done_by(world, user, "s3", "get_object", **at)
    denied_to(world, user, "kms", "generate_data_key", KeyId=key, KeySpec="AES_256")
    blob = account.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    denied_to(world, user, "kms", "decrypt", CiphertextBlob=blob)


def test_the_context_of_an_object_cannot_be_borrowed(world, account):
    """A right to decrypt one prefix of objects is none for the others under the same key."""
    key, bucket = account.key(), account.bucket()
    user = account.user(allow("s3:*"), allow("kms:Decrypt", key, Condition={
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/mine/*"}}))
    for name in ("mine/k", "other/k"):
        account.s3.put_object(Bucket=bucket, Key=name, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    done_by(world, user, "s3", "get_object", Bucket=bucket, Key="mine/k")
    denied_to(world, user, "s3", "get_object", Bucket=bucket, Key="other/k")
    denied_to(world, user, "s3", "copy_object", Bucket=bucket, Key="mine/copy", ServerSideEncryption="AES256",
              CopySource={"Bucket": bucket, "Key": "other/k"})


# Headers.

def raw_get(world, actor, path, headers=None, query=(), tamper=None, sign="header"):
    raw = world.callers.raw(actor)
    return raw.send("GET", path, headers=headers, query=query, tamper=tamper, sign=sign)


FORGED = {"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https", "Forwarded": "for=10.1.2.3;proto=https",
          "X-Real-IP": "10.1.2.3", "X-Forwarded-Port": "443", "Via": "1.1 proxy", "X-Forwarded-Tls-Version": "TLSv1.3",
          "True-Client-IP": "10.1.2.3", "CF-Connecting-IP": "10.1.2.3", "X-Forwarded-Host": "elsewhere"}


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "added"])
@pytest.mark.parametrize("condition", [
    {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"Bool": {"aws:SecureTransport": "true"}},
    {"NumericGreaterThanEquals": {"s3:TlsVersion": "1.2"}}], ids=["address", "TLS", "TLS version"])
def test_forwarded_headers_of_strangers_are_not_believed(world, account, condition, signed):
    at = world.object()
    user = account.user(allow("s3:GetObject", Condition=condition))
    path = f"/{at['Bucket']}/{at['Key']}"
    assert raw_get(world, user, path).status == 403
    for forged in [*[{name: value} for name, value in FORGED.items()], FORGED]:
        if signed:
            reply = raw_get(world, user, path, headers=dict(forged))
        else:
            reply = raw_get(world, user, path, tamper=lambda request: request.headers.update(forged))
        assert (reply.status, reply.code) == S3_DENIED, (forged, reply)


COLLIDING = {
    "aws:PrincipalArn": "arn:aws:iam::{account}:root", "aws:PrincipalAccount": "111122223333",
    "aws:username": "somebody", "aws:userid": "AIDASOMEBODY", "aws:SourceIp": "10.1.2.3", "aws:SecureTransport": "true",
    "aws:ViaAWSService": "true", "aws:PrincipalTag/team": "in", "aws:RequestTag/team": "in",
    "aws:MultiFactorAuthPresent": "true", "aws:SourceArn": "arn:aws:s3:::b", "aws:CalledVia": "s3.amazonaws.com",
    "aws:ResourceAccount": "111122223333", "aws:PrincipalIsAWSService": "true",
    "s3:x-amz-acl": "public-read", "s3:ExistingObjectTag/team": "in", "s3:authType": "REST-QUERY-STRING",
    "s3:prefix": "x", "s3:VersionId": "x", "s3:TlsVersion": "1.3", "s3:signatureversion": "AWS",
    "kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:CallerAccount": "111122223333",
    "kms:EncryptionContext:aws:s3:arn": "x", "kms:GrantIsForAWSResource": "true",
}


@pytest.mark.parametrize("key", COLLIDING)
def test_names_of_condition_keys_in_headers_and_query_mean_nothing(world, account, key):
    at, value = world.object(), COLLIDING[key].format(account=account.id)
    user = account.user(allow("s3:GetObject", Condition={"StringEquals": {key: value}}))
    path = f"/{at['Bucket']}/{at['Key']}"
    tries = [{"query": [(key, value)]}, {"query": [(key.lower(), value)]}]
    name = key.partition(":")[2]
    headers = [name, name.lower(), f"x-amz-{name}", f"x-amz-meta-{name}"]
    if key == "s3:x-amz-acl":
        headers.remove("x-amz-acl")  # On a read it is only a header; that it counts is what the key is for.
    tries += [{"headers": {header.replace("/", "-").replace(":", "-"): value}} for header in headers]
    for more in tries:
        reply = raw_get(world, user, path, **more)
        assert (reply.status, reply.code) == S3_DENIED, (more, reply)
    # A header name with a colon in it is no header name.
    parts = urlsplit(world.callers.access.http)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest("GET", path)
    connection._output(f"{key}: {value}".encode())
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


AFTERWARDS = {
    "x-amz-acl": "public-read", "x-amz-tagging": "team=in", "x-amz-copy-source": None,
    "x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "alias/x",
    "x-amz-server-side-encryption-context": "e30=", "x-amz-meta-more": "x", "x-amz-storage-class": "STANDARD",
    "x-amz-grant-full-control": "id=x", "x-amz-security-token": "x", "x-amz-expected-bucket-owner": "111122223333",
    "x-amz-server-side-encryption-customer-algorithm": "AES256", "x-amz-object-ownership": "ObjectWriter",
}


@pytest.mark.parametrize("header", AFTERWARDS)
def test_amz_headers_added_after_signing_are_refused(world, account, header):
    at = world.object()
    value = AFTERWARDS[header] or f"/{at['Bucket']}/{at['Key']}"
    target = f"/{at['Bucket']}/{fresh()}"
    raw = world.callers.raw(world.all)
    for sign in ("header", "query"):
        reply = raw.send("PUT", target, body=b"x", sign=sign,
                         tamper=lambda request: request.headers.update({header: value}))
        assert reply.status in (400, 403), reply
        assert reply.code in ("AccessDenied", "SignatureDoesNotMatch", "InvalidToken", "InvalidAccessKeyId"), reply
    names = [v["Key"] for v in account.s3.list_object_versions(Bucket=at["Bucket"])["Versions"]]
    assert names == [at["Key"]]


# Confused deputies.

def test_a_copy_reads_nothing_that_its_caller_may_not(world, account):
    mine, theirs = account.bucket(), account.bucket()
    source = world.object(theirs)
    user = account.user(allow("s3:*", [f"arn:aws:s3:::{mine}", f"arn:aws:s3:::{mine}/*"]))
    denied_to(world, user, "s3", "copy_object", Bucket=mine, Key="k", CopySource=source)
    upload = done_by(world, user, "s3", "create_multipart_upload", Bucket=mine, Key="k")["UploadId"]
    denied_to(world, user, "s3", "upload_part_copy", Bucket=mine, Key="k", UploadId=upload, PartNumber=1,
              CopySource=source)
    # Nor does it tell whether the object is there.
    denied_to(world, user, "s3", "copy_object", Bucket=mine, Key="k", CopySource={"Bucket": theirs, "Key": "no"})
    assert not account.s3.list_object_versions(Bucket=mine).get("Versions")


@pytest.mark.parametrize("mode", ["aws:kms", "aws:kms:dsse"])
def test_a_copy_opens_nothing_that_its_caller_may_not(world, account, mode):
    bucket, theirs, mine = account.bucket(), account.key(), account.key()
    source = world.object(bucket, ServerSideEncryption=mode, SSEKMSKeyId=theirs)
    plain = world.object(bucket)
    user = account.user(allow("s3:*"), allow("kms:*", mine))
    for sent in ({"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": mine}):
        denied_to(world, user, "s3", "copy_object", Bucket=bucket, Key="copy", CopySource=source, **sent)
    denied_to(world, user, "s3", "copy_object", Bucket=bucket, Key="copy", CopySource=plain,
              ServerSideEncryption=mode, SSEKMSKeyId=theirs)
    done_by(world, user, "s3", "copy_object", Bucket=bucket, Key="copy", CopySource=plain,
            ServerSideEncryption=mode, SSEKMSKeyId=mine)


def test_delete_objects_deletes_only_what_may_be_deleted(world, account):
    bucket = account.bucket()
    for name in ("mine/a", "other/b", "mine/c"):
        account.s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    user = account.user(allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/mine/*"))
    answer = done_by(world, user, "s3", "delete_objects", Bucket=bucket, Delete={
        "Objects": [{"Key": name} for name in ("mine/a", "other/b", "mine/c", "other/not-there")]})
    assert {it["Key"] for it in answer["Deleted"]} == {"mine/a", "mine/c"}
    assert {(it["Key"], it["Code"]) for it in answer["Errors"]} == {("other/b", "AccessDenied"),
                                                                  ("other/not-there", "AccessDenied")}
    left = [it["Key"] for it in account.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == ["other/b"]
    # Versions are another right.
    version = account.s3.list_object_versions(Bucket=bucket, Prefix="mine/a")["Versions"][0]["VersionId"]
    answer = done_by(world, user, "s3", "delete_objects", Bucket=bucket, Delete={
        "Objects": [{"Key": "mine/a", "VersionId": version}]})
    assert [it["Code"] for it in answer["Errors"]] == ["AccessDenied"]


def test_whether_an_object_is_there_is_for_those_who_may_list(world, account):
    bucket = account.bucket()
    reader = account.user(allow("s3:GetObject"))
    lister = account.user(allow(["s3:GetObject", "s3:ListBucket"]))
    denied_to(world, reader, "s3", "get_object", Bucket=bucket, Key="not-there")
    answer = told(lambda: world.of(lister, "s3").get_object(Bucket=bucket, Key="not-there"))
    assert answer.short == (404, "NoSuchKey")
    denied_to(world, account.user(), "s3", "get_object", Bucket=bucket, Key="not-there")


# What was signed before.

def test_a_presigned_url_has_the_rights_of_its_signer_now(world, account):
    at = world.object()
    user = account.user(allow("s3:GetObject"))
    url = world.of(user, "s3").generate_presigned_url("get_object", Params=at, ExpiresIn=600)
    assert urlopen(urllib.request.Request(url)) == b"secret"
    account.set_user(user.name, allow("s3:PutObject"))
    assert told(lambda: urlopen(urllib.request.Request(url))).short == S3_DENIED
    account.set_user(user.name, allow("s3:GetObject"))
    assert urlopen(urllib.request.Request(url)) == b"secret"
    account.iam.update_access_key(UserName=user.name, AccessKeyId=user.access, Status="Inactive")
    assert told(lambda: urlopen(urllib.request.Request(url))).short == (403, "InvalidAccessKeyId")


def test_a_form_has_the_rights_of_who_signed_its_policy(world, account):
    bucket, user = account.bucket(), account.user()
    client = world.of(user, "s3")
    answer = told(lambda: post_object(world.callers.access, user, client, bucket, "k"))
    assert answer.short == S3_DENIED
    assert told(lambda: post_object(world.callers.access, ANONYMOUS, client, bucket, "k")).short == S3_DENIED
    assert not account.s3.list_object_versions(Bucket=bucket).get("Versions")
    account.set_user(user.name, allow("s3:PutObject"))
    post_object(world.callers.access, user, world.of(user, "s3"), bucket, "k")


def test_a_condition_key_that_is_unknown_allows_nothing(world, account):
    at = world.object()
    user = account.user(allow("s3:GetObject", Condition={"StringEquals": {f"aws:{uuid.uuid4().hex}": "x"}}))
    denied_to(world, user, "s3", "get_object", **at)
