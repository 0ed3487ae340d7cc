"""Rights that were taken away, and names that were made anew: what was gone with the old ones stays gone."""

import json
import threading
from datetime import datetime, timedelta, timezone

import pytest

from callers import Actor, allow, deny, document, fresh, told
from escalation import S3_DENIED, a_group, account, denied_to, done_by, world  # noqa: F401 - the fixtures
from s3raw import Signer


# Who is made anew under an old name.

def remade(account, user):
    """Deletes the user and makes another of that name."""
    iam = account.iam
    for name in iam.list_user_policies(UserName=user.name)["PolicyNames"]:
        iam.delete_user_policy(UserName=user.name, PolicyName=name)
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access)
    iam.delete_user(UserName=user.name)
    again = account.user(name=user.name)
    assert again.arn == user.arn and again.id != user.id
    return again


def test_a_new_user_of_an_old_name_has_nothing_by_bucket_policy(world, account):
    at, user = world.object(), account.user()
    account.bucket_policy(at["Bucket"], {**allow("s3:GetObject"), "Principal": {"AWS": user.arn}})
    done_by(world, user, "s3", "get_object", **at)
    again = remade(account, user)
    denied_to(world, again, "s3", "get_object", **at)
    shown = json.loads(account.s3.get_bucket_policy(Bucket=at["Bucket"])["Policy"])
    assert shown["Statement"][0]["Principal"]["AWS"] == user.id


def test_a_new_user_of_an_old_name_has_nothing_by_key_policy_or_grant(world, account):
    key, user = account.key(), account.user()
    account.key_policy(key, {**allow("kms:DescribeKey"), "Principal": {"AWS": user.arn}})
    account.kms.create_grant(KeyId=key, GranteePrincipal=user.arn, Operations=["Encrypt"])
    done_by(world, user, "kms", "describe_key", KeyId=key)
    done_by(world, user, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    again = remade(account, user)
    denied_to(world, again, "kms", "describe_key", KeyId=key)
    denied_to(world, again, "kms", "encrypt", KeyId=key, Plaintext=b"x")
    shown = json.loads(account.kms.get_key_policy(KeyId=key)["Policy"])
    assert user.id in json.dumps(shown)


def test_a_new_user_of_an_old_name_has_nothing_by_trust_policy(world, account):
    user = account.user()
    role = account.role(allow(), trust=account.trust(user.arn))
    account.assume(user, role)
    again = remade(account, user)
    denied_to(world, again, "sts", "assume_role", RoleArn=role, RoleSessionName="session")


def test_a_new_role_of_an_old_name_has_nothing_by_bucket_policy_and_no_old_session(world, account):
    at, name = world.object(), fresh("r-")
    role = account.role(name=name)
    account.bucket_policy(at["Bucket"], {**allow("s3:GetObject"), "Principal": {"AWS": role}})
    session = account.assume(world.all, role)
    done_by(world, session, "s3", "get_object", **at)
    account.iam.delete_role(RoleName=name)
    answer = told(lambda: world.of(session, "s3").get_object(**at))
    assert answer.status in (400, 403) and answer.code in ("InvalidToken", "AccessDenied", "InvalidAccessKeyId"), answer
    assert account.role(name=name) == role
    answer = told(lambda: world.of(session, "s3").get_object(**at))
    assert answer.status in (400, 403), answer
    denied_to(world, account.assume(world.all, role), "s3", "get_object", **at)


# What is taken away is gone with the next request.

def test_every_way_of_taking_away_works_at_once(world, account):
    at = world.object()
    user, group = account.user(), a_group(account, allow("s3:GetObject"))
    get = lambda: told(lambda: world.of(user, "s3").get_object(**at)).short  # noqa: E731
    arn = account.managed(allow("s3:GetObject"))
    ways = {
        "inline policy": (lambda: account.set_user(user.name, allow("s3:GetObject")),
                          lambda: account.iam.delete_user_policy(UserName=user.name, PolicyName="p")),
        "attached policy": (lambda: account.iam.attach_user_policy(UserName=user.name, PolicyArn=arn),
                            lambda: account.iam.detach_user_policy(UserName=user.name, PolicyArn=arn)),
        "group": (lambda: account.iam.add_user_to_group(GroupName=group, UserName=user.name),
                  lambda: account.iam.remove_user_from_group(GroupName=group, UserName=user.name)),
        "bucket policy": (lambda: account.bucket_policy(at["Bucket"], {**allow("s3:GetObject"),
                                                                       "Principal": {"AWS": user.arn}}),
                          lambda: account.bucket_policy(at["Bucket"])),
    }
    for name, (give, take) in ways.items():
        assert get() == S3_DENIED, name
        give()
        assert get() == (200, None), name
        take()
        assert get() == S3_DENIED, name
    account.iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    assert get() == (200, None)
    account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(allow("s3:PutObject")), SetAsDefault=True)
    assert get() == S3_DENIED, "another version"
    account.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert get() == (200, None)
    account.iam.put_user_permissions_boundary(UserName=user.name,
                                              PermissionsBoundary=account.managed(allow("s3:PutObject")))
    assert get() == S3_DENIED, "a boundary"
    account.iam.delete_user_permissions_boundary(UserName=user.name)
    assert get() == (200, None)
    account.iam.update_access_key(UserName=user.name, AccessKeyId=user.access, Status="Inactive")
    assert get() == (403, "InvalidAccessKeyId")
    account.iam.update_access_key(UserName=user.name, AccessKeyId=user.access, Status="Active")
    assert get() == (200, None)
    account.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access)
    assert get() == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("bucket_key", [False, True], ids=["own data keys", "bucket key"])
def test_a_key_taken_away_is_gone_at_once_from_s3(world, account, bucket_key):
    key = account.key()
    at = world.object(ServerSideEncryption="aws:kms", SSEKMSKeyId=key, BucketKeyEnabled=bucket_key)
    user = account.user(allow("s3:*"))
    read = lambda: told(lambda: world.of(user, "s3").get_object(**at)["Body"].read()).short  # noqa: E731
    sent = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": bucket_key}
    write = lambda: told(lambda: world.of(user, "s3").put_object(  # noqa: E731
        Bucket=at["Bucket"], Key="new", Body=b"x", **sent)).short
    assert (read(), write()) == (S3_DENIED, S3_DENIED)
    named = {**allow(["kms:Decrypt", "kms:GenerateDataKey"]), "Principal": {"AWS": user.arn}}
    grants = []

    def grant():
        made = account.kms.create_grant(KeyId=key, GranteePrincipal=user.arn,
                                        Operations=["Decrypt", "GenerateDataKey"])
        grants.append(made["GrantId"])

    ways = {
        "key policy": (lambda: account.key_policy(key, named), lambda: account.key_policy(key)),
        "grant": (grant, lambda: account.kms.revoke_grant(KeyId=key, GrantId=grants.pop())),
        "identity policy": (lambda: account.set_user(user.name, allow(["s3:*", "kms:*"])),
                            lambda: account.set_user(user.name, allow("s3:*"))),
    }
    for name, (give, take) in ways.items():
        give()
        for _ in range(3):  # The bucket key is warm.
            assert (read(), write()) == ((200, None), (200, None)), name
        take()
        assert (read(), write()) == (S3_DENIED, S3_DENIED), name


def test_a_session_has_what_its_role_has_now(world, account):
    at, name = world.object(), fresh("r-")
    role = account.role(allow("s3:GetObject"), name=name)
    session = account.assume(world.all, role)
    done_by(world, session, "s3", "get_object", **at)
    account.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(allow("s3:PutObject")))
    denied_to(world, session, "s3", "get_object", **at)
    account.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(allow("s3:GetObject")))
    done_by(world, session, "s3", "get_object", **at)
    # AWS's way to revoke sessions: what was issued before now is denied.
    soon = (datetime.now(timezone.utc) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    account.iam.put_role_policy(RoleName=name, PolicyName="revoked", PolicyDocument=document(
        deny(Condition={"DateLessThan": {"aws:TokenIssueTime": soon}})))
    denied_to(world, session, "s3", "get_object", **at)


def test_a_session_of_a_user_ends_with_the_user(world, account):
    user = account.user(allow("s3:ListAllMyBuckets"))
    made = world.of(user, "sts").get_session_token()["Credentials"]
    session = Actor(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    done_by(world, session, "s3", "list_buckets")
    account.set_user(user.name, allow("s3:GetObject"))
    denied_to(world, session, "s3", "list_buckets")
    account.set_user(user.name, allow("s3:ListAllMyBuckets"))
    done_by(world, session, "s3", "list_buckets")
    remade(account, user)
    answer = told(world.of(session, "s3").list_buckets)
    assert answer.status in (400, 403) and answer.code in ("InvalidToken", "InvalidAccessKeyId", "AccessDenied"), answer


def test_rights_taken_away_during_a_storm_of_requests_stay_away(world, account):
    """No request that starts after the change is answered by what was before."""
    at, user = world.object(), account.user(allow("s3:GetObject"))
    taken, wrong = threading.Event(), []

    def reader():
        signer = Signer(user.access, user.secret, world.callers.region)
        raw = world.callers.raw(user)
        for _ in range(150):
            was_taken = taken.is_set()
            reply = raw.send("GET", f"/{at['Bucket']}/{at['Key']}", signer=signer)
            if was_taken and reply.status == 200:
                wrong.append(reply)
            if was_taken:
                break

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    account.set_user(user.name, deny())
    taken.set()
    for thread in threads:
        thread.join()
    assert not wrong
