"""Bucket policies with real clients: who may what, what a policy can ask for, and what public means."""

import json

import botocore
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import boto_client, new_bucket, refused
from s3raw import UNSIGNED
from test_iam import account, as_user, iam, name, sts, user  # noqa: F401 - fixtures


def policy(bucket, *statements):
    def full(statement):
        resource = statement.pop("Resource", f"arn:aws:s3:::{bucket}/*")
        return {"Principal": "*", "Effect": "Allow", "Resource": resource, **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [full(dict(it)) for it in statements]})


@pytest.fixture
def filled(s3):
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"plaintext", Tagging="class=open")
    return bucket


@pytest.fixture
def own(iam, user):  # noqa: F811
    return iam.create_access_key(UserName=user)["AccessKey"]


@pytest.fixture
def nobody(clients):
    return clients.boto(signature_version=botocore.UNSIGNED)


def test_a_policy_names_a_user_and_means_him(s3, iam, clients, account, user, own, filled):  # noqa: F811
    client = as_user(clients, own, "s3")
    arn = f"arn:aws:iam::{account}:user/{user}"
    assert refused(client.get_object, Bucket=filled, Key="k").code == "AccessDenied"
    text = policy(filled, {"Principal": {"AWS": arn}, "Action": "s3:GetObject"})
    s3.put_bucket_policy(Bucket=filled, Policy=text)
    assert s3.get_bucket_policy(Bucket=filled)["Policy"] == text
    assert client.get_object(Bucket=filled, Key="k")["Body"].read() == b"plaintext"
    error = refused(client.put_object, Bucket=filled, Key="k", Body=b"x")
    assert error.message == (f"User: {arn} is not authorized to perform: s3:PutObject on resource: "
                             f"\"arn:aws:s3:::{filled}/k\" because no identity-based policy allows the s3:PutObject "
                             "action")
    # Made again under the same name, it is somebody else.
    iam.delete_access_key(UserName=user, AccessKeyId=own["AccessKeyId"])
    iam.delete_user(UserName=user)
    iam.create_user(UserName=user)
    again = iam.create_access_key(UserName=user)["AccessKey"]
    assert refused(as_user(clients, again, "s3").get_object, Bucket=filled, Key="k").code == "AccessDenied"
    assert "AIDA" in s3.get_bucket_policy(Bucket=filled)["Policy"]


def test_what_is_no_bucket_policy_is_refused(s3, account, filled):  # noqa: F811
    for text, message in [
        ("nonsense", "Policies must be valid JSON and the first byte must be '{'"),
        (policy(filled, {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::another/*"}),
         "Policy has invalid resource"),
        (policy(filled, {"Action": "s3:Fetch"}), "Policy has invalid action"),
        (policy(filled, {"Action": "s3:ListBucket"}), "Action does not apply to any resource(s) in statement"),
        (policy(filled, {"Action": "s3:GetObject", "Principal": {"AWS": f"arn:aws:iam::{account}:user/none"}}),
         "Invalid principal in policy"),
        (json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject",
                                                             "Resource": f"arn:aws:s3:::{filled}/*"}]}),
         "Missing required field Principal"),
    ]:
        error = refused(s3.put_bucket_policy, Bucket=filled, Policy=text)
        assert (error.status, error.code, error.message) == (400, "MalformedPolicy", message)
    assert refused(s3.get_bucket_policy, Bucket=filled).code == "NoSuchBucketPolicy"
    assert refused(s3.get_bucket_policy_status, Bucket=filled).code == "NoSuchBucketPolicy"


def test_nothing_is_public_until_two_locks_are_opened(s3, nobody, filled):
    everything = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True,
                  "RestrictPublicBuckets": True}
    assert s3.get_public_access_block(Bucket=filled)["PublicAccessBlockConfiguration"] == everything
    public = policy(filled, {"Action": "s3:GetObject"})
    error = refused(s3.put_bucket_policy, Bucket=filled, Policy=public)
    assert (error.status, error.code) == (403, "AccessDenied")
    assert "because public policies are blocked by the BlockPublicPolicy block public access setting" in error.message
    s3.put_public_access_block(Bucket=filled, PublicAccessBlockConfiguration={
        **everything, "BlockPublicPolicy": False})
    s3.put_bucket_policy(Bucket=filled, Policy=public)
    assert s3.get_bucket_policy_status(Bucket=filled)["PolicyStatus"]["IsPublic"] is True
    assert refused(nobody.get_object, Bucket=filled, Key="k").message == "Access Denied"
    s3.delete_public_access_block(Bucket=filled)
    assert refused(s3.get_public_access_block, Bucket=filled).code == "NoSuchPublicAccessBlockConfiguration"
    assert nobody.get_object(Bucket=filled, Key="k")["Body"].read() == b"plaintext"
    assert refused(nobody.get_object, Bucket=filled, Key="none").code == "AccessDenied"
    assert refused(nobody.put_object, Bucket=filled, Key="n", Body=b"x").code == "AccessDenied"
    s3.delete_bucket_policy(Bucket=filled)
    assert refused(nobody.get_object, Bucket=filled, Key="k").code == "AccessDenied"


def test_encryption_headers_can_be_demanded_whatever_the_bucket_does_by_itself(s3, key, filled):
    sse, kms_key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    other = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000"
    put = {"Bucket": filled, "Key": "n", "Body": b"x"}
    kms = {"ServerSideEncryption": "aws:kms"}
    cases = [
        ({"Null": {sse: "true"}}, [({}, False), ({"ServerSideEncryption": "AES256"}, True), (kms, True)]),
        ({"StringNotEquals": {sse: "aws:kms"}}, [({}, False), ({"ServerSideEncryption": "AES256"}, False), (kms, True)]),
        ({"StringNotEquals": {kms_key: key}},
         [(kms, False), ({**kms, "SSEKMSKeyId": key}, True), ({**kms, "SSEKMSKeyId": key.rsplit("/")[-1]}, True),
          ({**kms, "SSEKMSKeyId": other}, False)]),
    ]
    for condition, attempts in cases:
        s3.put_bucket_policy(Bucket=filled, Policy=policy(
            filled, {"Effect": "Deny", "Action": "s3:PutObject", "Condition": condition}))
        for headers, may in attempts:
            try:
                s3.put_object(**put, **headers)
                upload = s3.create_multipart_upload(Bucket=filled, Key="m", **headers)["UploadId"]
                part = s3.upload_part(Bucket=filled, Key="m", UploadId=upload, PartNumber=1, Body=b"y")["ETag"]
                s3.complete_multipart_upload(Bucket=filled, Key="m", UploadId=upload, MultipartUpload={
                    "Parts": [{"PartNumber": 1, "ETag": part}]})
                assert may, (condition, headers)
            except ClientError as error:
                assert not may, (condition, headers, error)
                assert "with an explicit deny in a resource-based policy" in str(error)


def test_an_alias_is_the_key_that_it_stands_for(s3, kms, key, filled):
    alias = f"alias/{filled}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    put = {"Bucket": filled, "Key": "n", "Body": b"x", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": alias}
    condition = {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}
    for operator, may in [("StringNotEquals", True), ("StringEquals", False)]:
        s3.put_bucket_policy(Bucket=filled, Policy=policy(
            filled, {"Effect": "Deny", "Action": "s3:PutObject", "Condition": {operator: condition}}))
        try:
            s3.put_object(**put)
            assert may, operator
        except ClientError as error:
            assert not may and error.response["Error"]["Code"] == "AccessDenied", operator


def test_a_presigned_url_has_its_signers_rights(s3, clients, raw, iam, user, own, filled):  # noqa: F811
    client = as_user(clients, own, "s3")
    signer = boto_client("s3", own["AccessKeyId"], own["SecretAccessKey"], region_name=clients.region,
                         endpoint_url=clients.access.http,
                         config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    url = signer.generate_presigned_url("get_object", {"Bucket": filled, "Key": "k"}, ExpiresIn=60)

    def get():
        path, _, query = url.split("/", 3)[3].partition("?")
        connection = raw.connect()
        connection.request("GET", f"/{path}?{query}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    assert get()[0] == 403
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{filled}/*"}
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [allow]}))
    assert get() == (200, b"plaintext")
    s3.put_bucket_policy(Bucket=filled, Policy=policy(filled, {
        "Effect": "Deny", "Action": "s3:*", "Condition": {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}}))
    assert get()[0] == 403
    assert client.get_object(Bucket=filled, Key="k")["Body"].read() == b"plaintext"
    s3.delete_bucket_policy(Bucket=filled)
    iam.delete_user_policy(UserName=user, PolicyName="p")
    assert get()[0] == 403


def test_keys_of_one_request_are_decided_about_one_by_one(s3, clients, iam, user, own, filled):  # noqa: F811
    client = as_user(clients, own, "s3")
    s3.put_object(Bucket=filled, Key="mine/a", Body=b"x")
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:DeleteObject",
                                                "Resource": f"arn:aws:s3:::{filled}/mine/*"}]}))
    answer = client.delete_objects(Bucket=filled, Delete={"Objects": [
        {"Key": "mine/a"}, {"Key": "k"}, {"Key": "mine/a", "VersionId": "null"}]})
    assert [it["Key"] for it in answer["Deleted"]] == ["mine/a"]
    assert [(it["Key"], it["Code"]) for it in answer["Errors"]] == [("k", "AccessDenied"), ("mine/a", "AccessDenied")]
    assert "s3:DeleteObjectVersion" in answer["Errors"][1]["Message"]


def test_a_copy_needs_the_source_and_the_destination(s3, clients, iam, user, own, filled):  # noqa: F811
    client = as_user(clients, own, "s3")
    target = new_bucket(s3)

    def let(*pairs):
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/*"}
                          for action, bucket in pairs]}))

    def copy():
        return client.copy_object(Bucket=target, Key="c", CopySource={"Bucket": filled, "Key": "k"})
    for rights, missing in [
        ([("s3:PutObject", target)], "s3:GetObject"),
        # The tags that come along are part of what is decided about the destination, so they are read first.
        ([("s3:GetObject", filled)], "s3:GetObjectTagging"),
        ([("s3:GetObject", filled), ("s3:PutObject", target)], "s3:GetObjectTagging"),
        ([("s3:GetObject*", filled), ("s3:PutObjectTagging", target)], "s3:PutObject"),
        ([("s3:GetObject*", filled), ("s3:PutObject", target)], "s3:PutObjectTagging"),
    ]:
        let(*rights)
        assert f"is not authorized to perform: {missing} on" in refused(copy).message
    let(("s3:GetObject*", filled), ("s3:PutObject*", target))
    copy()
    assert s3.get_object_tagging(Bucket=target, Key="c")["TagSet"] == [{"Key": "class", "Value": "open"}]


def test_headers_that_were_not_signed_are_refused(raw, filled):
    reply = raw.send("PUT", f"/{filled}/k2", body=b"x", tamper=lambda request: request.headers.__setitem__(
        "x-amz-server-side-encryption", "aws:kms"))
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert reply.message == "There were headers present in the request which were not signed"


def test_an_unsigned_body_is_not_taken_in_before_the_decision(raw, filled):
    """The answer comes before the body was sent."""
    connection = raw.connect()
    connection.putrequest("PUT", f"/{filled}/big")
    connection.putheader("Content-Length", str(1 << 30))
    connection.putheader("x-amz-content-sha256", UNSIGNED)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 403
