"""Access control lists and object ownership, between two accounts and for nobody."""

import urllib.error
import urllib.request
import uuid

import pytest

from conftest import new_bucket, refused
from test_accounts import client, create, server  # noqa: F401 - the fixture

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture(scope="module")
def two(server):  # noqa: F811
    """The S3 clients of two accounts' root users, and their canonical ids."""
    clients = [client(server, create(server, name), "s3") for name in ("acl-owner", "acl-other")]
    return clients + [s3.list_buckets()["Owner"]["ID"] for s3 in clients]


@pytest.fixture
def bucket(two):
    owner = two[0]
    bucket = new_bucket(owner)
    owner.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={
        "Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    owner.put_object(Bucket=bucket, Key="k", Body=b"body")
    return bucket


def unblock(s3, bucket):
    s3.delete_public_access_block(Bucket=bucket)


def anonymous(server, path):  # noqa: F811
    try:
        with urllib.request.urlopen(server.endpoint["http"] + path) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def grants(acl):
    return [(g["Grantee"].get("ID") or g["Grantee"]["URI"], g["Permission"]) for g in acl["Grants"]]


def test_an_account_is_let_in_by_a_list_and_no_further(two, bucket):
    owner, other, owner_id, other_id = two
    assert refused(other.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    owner.put_object_acl(Bucket=bucket, Key="k", GrantRead=f'id="{other_id}"')
    assert other.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    assert grants(owner.get_object_acl(Bucket=bucket, Key="k")) == [(other_id, "READ")]
    for call in (other.get_object_acl, other.delete_object, other.get_object_tagging):
        assert refused(call, Bucket=bucket, Key="k").code == "AccessDenied"
    assert refused(other.list_objects_v2, Bucket=bucket).code == "AccessDenied"
    owner.put_bucket_acl(Bucket=bucket, AccessControlPolicy={
        "Owner": {"ID": owner_id},
        "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": other_id}, "Permission": "READ"}]})
    assert [it["Key"] for it in other.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
    assert refused(other.put_object, Bucket=bucket, Key="n", Body=b"").code == "AccessDenied"
    owner.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    assert refused(other.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert grants(owner.get_object_acl(Bucket=bucket, Key="k")) == [(owner_id, "FULL_CONTROL")]


def test_who_writes_owns_and_the_buckets_owner_may_take_all(two, bucket):
    owner, other, owner_id, other_id = two
    owner.put_bucket_acl(Bucket=bucket, GrantWrite=f"id={other_id}")
    other.put_object(Bucket=bucket, Key="theirs", Body=b"theirs")
    assert refused(owner.get_object, Bucket=bucket, Key="theirs").code == "AccessDenied"
    assert refused(owner.put_object_acl, Bucket=bucket, Key="theirs", ACL="private").code == "AccessDenied"
    other.put_object(Bucket=bucket, Key="shared", Body=b"shared", ACL="bucket-owner-full-control")
    assert owner.get_object(Bucket=bucket, Key="shared")["Body"].read() == b"shared"
    listed = owner.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert {it["Key"]: it["Owner"]["ID"] for it in listed} == {"k": owner_id, "theirs": other_id, "shared": other_id}
    enforce = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    error = refused(owner.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=enforce)
    assert (error.status, error.code) == (400, "InvalidBucketAclWithObjectOwnership")
    owner.put_bucket_acl(Bucket=bucket, ACL="private")
    owner.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforce)
    assert owner.get_object(Bucket=bucket, Key="theirs")["Body"].read() == b"theirs"
    assert refused(other.get_object, Bucket=bucket, Key="theirs").code == "AccessDenied"
    listed = owner.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert {it["Owner"]["ID"] for it in listed} == {owner_id}
    assert refused(owner.put_bucket_acl, Bucket=bucket, ACL="private").code == "AccessControlListNotSupported"


def test_the_public_gets_what_a_list_gives_unless_it_is_blocked(server, two, bucket):  # noqa: F811
    owner = two[0]
    path = f"/{bucket}/k"
    assert refused(owner.put_object_acl, Bucket=bucket, Key="k", ACL="public-read").code == "AccessDenied"
    assert refused(owner.put_object, Bucket=bucket, Key="n", Body=b"", ACL="public-read").code == "AccessDenied"
    unblock(owner, bucket)
    assert anonymous(server, path) == 403
    owner.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert (ALL_USERS, "READ") in grants(owner.get_object_acl(Bucket=bucket, Key="k"))
    assert anonymous(server, path) == 200
    assert anonymous(server, path + "?acl") == 403
    assert anonymous(server, f"/{bucket}") == 403
    deny = """{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*",
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*"}}""" % bucket
    owner.put_bucket_policy(Bucket=bucket, Policy=deny)
    assert anonymous(server, path) == 403
    owner.delete_bucket_policy(Bucket=bucket)
    assert anonymous(server, path) == 200
    owner.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert anonymous(server, path) == 403


def test_an_encrypted_object_needs_its_key_too(server, two, bucket):  # noqa: F811
    owner, other, _, other_id = two
    unblock(owner, bucket)
    owner.put_object(Bucket=bucket, Key="sealed", Body=b"x", ServerSideEncryption="aws:kms",
                     GrantRead=f'id={other_id},uri="{ALL_USERS}"')
    assert owner.get_object(Bucket=bucket, Key="sealed")["Body"].read() == b"x"
    assert refused(other.get_object, Bucket=bucket, Key="sealed").code == "AccessDenied"
    assert anonymous(server, f"/{bucket}/sealed") in (400, 403)


def test_a_bucket_is_made_with_its_ownership_and_list(two):
    owner, _, owner_id, other_id = two
    bucket = f"e2e-{uuid.uuid4().hex[:20]}"
    owner.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerPreferred", GrantRead=f"id={other_id}")
    assert grants(owner.get_bucket_acl(Bucket=bucket)) == [(other_id, "READ")]
    rules = owner.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerPreferred"}]
    error = refused(owner.create_bucket, Bucket=bucket + "-x", GrantRead=f"id={other_id}")
    assert (error.status, error.code) == (400, "InvalidBucketAclWithObjectOwnership")
    owner.delete_bucket_ownership_controls(Bucket=bucket)
    error = refused(owner.get_bucket_ownership_controls, Bucket=bucket)
    assert (error.status, error.code) == (404, "OwnershipControlsNotFoundError")
    assert owner_id != other_id
