"""S3's calls on objects as data events: CloudTrail's shape, every kind of encryption, and no secret of it."""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import Clients, binary, clean_env, new_bucket

CUSTOMER_KEY = bytes(range(200, 232))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}


def search(server, *args):
    shown = subprocess.run([binary(), "audit", "search", "--json", "--data", str(server.data), "--key-file", str(server.key_file), *args],
                           env=clean_env(server.home), capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def data_events(server, *args):
    return [record for record in search(server, *args) if record["eventCategory"] == "Data"]


class Store:
    def __init__(self, server):
        self.server = server
        clients = Clients(server.access())
        self.s3, self.kms, self.iam = (clients.boto("https", service=it) for it in ("s3", "kms", "iam"))
        self.bucket = new_bucket(self.s3)

    def event(self, answer):
        """The one data event of a call."""
        found = data_events(self.server, "--request-id", answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"])
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def store(make_server):
    return Store(make_server("--audit-data-events", "all"))


def test_a_write_and_a_read_have_the_shape_of_cloudtrail(store):
    put = store.event(store.s3.put_object(Bucket=store.bucket, Key="a/b c", Body=b"x" * 1000))
    account = put["recipientAccountId"]
    assert put["eventSource"] == "s3.amazonaws.com" and put["eventName"] == "PutObject" and put["eventVersion"] == "1.11"
    assert put["managementEvent"] is False and put["readOnly"] is False and put["eventType"] == "AwsApiCall"
    assert put["userIdentity"]["type"] == "Root" and put["userIdentity"]["accountId"] == account
    assert put["sourceIPAddress"] == "127.0.0.1" and "Boto3" in put["userAgent"]
    parameters = put["requestParameters"]
    assert parameters["bucketName"] == store.bucket and parameters["key"] == "a/b c" and parameters["Host"].startswith("127.0.0.1")
    assert put["responseElements"] == {"x-amz-server-side-encryption": "AES256"}
    more = put["additionalEventData"]
    assert more["SignatureVersion"] == "SigV4" and more["AuthenticationMethod"] == "AuthHeader" and more["CipherSuite"].startswith("TLS_")
    assert more["bytesTransferredIn"] == 1000 and more["SSEApplied"] == "Default_SSE_S3" and more["x-amz-id-2"]
    assert put["resources"] == [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{store.bucket}/a/b c"},
                                {"accountId": account, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{store.bucket}"}]
    assert put["tlsDetails"]["tlsVersion"].startswith("TLSv1.") and re.fullmatch(r"[0-9A-F]{16}", put["requestID"])
    get = store.event(store.s3.get_object(Bucket=store.bucket, Key="a/b c"))
    assert get["eventName"] == "GetObject" and get["readOnly"] is True and get["responseElements"] is None
    assert get["additionalEventData"]["bytesTransferredOut"] == 1000 and "SSEApplied" not in get["additionalEventData"]
    listed = store.event(store.s3.list_objects_v2(Bucket=store.bucket, Prefix="a/"))
    assert listed["eventName"] == "ListObjects" and listed["requestParameters"]["prefix"] == "a/"
    with pytest.raises(ClientError) as missing:
        store.s3.get_object(Bucket=store.bucket, Key="none")
    missed = store.event(missing.value.response)
    assert missed["errorCode"] == "NoSuchKey"
    assert data_events(store.server, "--event", "GetObject", "--outcome", "failed") == [missed]


def test_what_encrypted_an_object_is_told(store):
    key = store.kms.create_key()["KeyMetadata"]["Arn"]
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}

    def applied(**more):
        return store.event(store.s3.put_object(Bucket=store.bucket, Key="k", Body=b"x", **more))

    asked = applied(**kms)
    assert asked["additionalEventData"]["SSEApplied"] == "SSE_KMS"
    assert asked["requestParameters"]["x-amz-server-side-encryption"] == "aws:kms"
    assert asked["requestParameters"]["x-amz-server-side-encryption-aws-kms-key-id"] == key
    assert asked["responseElements"]["x-amz-server-side-encryption-aws-kms-key-id"] == key
    assert applied(ServerSideEncryption="AES256")["additionalEventData"]["SSEApplied"] == "SSE_S3"
    assert applied(ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=key)["additionalEventData"]["SSEApplied"] == "SSE_KMS_DSSE"
    customer = applied(**SSE_C)
    assert customer["additionalEventData"]["SSEApplied"] == "SSE_C"
    assert customer["requestParameters"]["x-amz-server-side-encryption-customer-algorithm"] == "AES256"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    store.s3.put_bucket_encryption(Bucket=store.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert applied()["additionalEventData"]["SSEApplied"] == "Default_SSE_KMS"
    upload = store.event(store.s3.create_multipart_upload(Bucket=store.bucket, Key="m"))
    assert upload["additionalEventData"]["SSEApplied"] == "Default_SSE_KMS"
    copy = store.s3.copy_object(Bucket=store.bucket, Key="c", CopySource=f"{store.bucket}/k", ServerSideEncryption="AES256")
    assert store.event(copy)["additionalEventData"]["SSEApplied"] == "SSE_S3"


def test_no_secret_is_in_any_record(store):
    """SSE-C keys, their digests, signatures and tokens: of calls that succeed and of such that do not."""
    s3, bucket = store.s3, store.bucket
    s3.put_object(Bucket=bucket, Key="c", Body=b"canary-body", **SSE_C)
    s3.get_object(Bucket=bucket, Key="c", **SSE_C)["Body"].read()
    wrong = bytes(32)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="c", SSECustomerAlgorithm="AES256", SSECustomerKey=wrong)
    s3.copy_object(Bucket=bucket, Key="d", CopySource=f"{bucket}/c", **SSE_C, CopySourceSSECustomerAlgorithm="AES256",
                   CopySourceSSECustomerKey=CUSTOMER_KEY)
    signer = Clients(store.server.access()).boto("https", signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "c", "SSECustomerAlgorithm": "AES256",
                                                          "SSECustomerKey": CUSTOMER_KEY})
    signature = re.search(r"X-Amz-Signature=([0-9a-f]+)", url)[1]
    # Without the key that its signature demands.
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=30, context=ssl.create_default_context(cafile=store.server.access().ca))
    everything = "\n".join(json.dumps(record) for record in search(store.server))
    for key in (CUSTOMER_KEY, wrong):
        digest = hashlib.md5(key, usedforsecurity=False).digest()
        for secret in (base64.b64encode(key).decode(), key.hex(), base64.b64encode(digest).decode(), digest.hex()):
            assert secret not in everything
    assert signature not in everything and "canary-body" not in everything
    assert store.server.access().secret not in everything


def test_deleted_names_are_told_up_to_a_bound(store):
    names = [f"gone/{number:04}" for number in range(150)]
    deleted = store.event(store.s3.delete_objects(Bucket=store.bucket, Delete={"Objects": [{"Key": it} for it in names]}))
    assert deleted["eventName"] == "DeleteObjects" and deleted["readOnly"] is False
    more = deleted["additionalEventData"]
    assert more["deletedObjectsCount"] == 150
    assert [it["key"] for it in more["deletedObjects"]] == names[:100]
    assert "Delete" not in deleted["requestParameters"]


def test_only_what_is_wanted_is_recorded(make_server):
    server = make_server("--audit-data-events", "write")
    store = Store(server)
    store.s3.put_object(Bucket=store.bucket, Key="k", Body=b"x")
    store.s3.get_object(Bucket=store.bucket, Key="k")
    assert [event["eventName"] for event in data_events(server)] == ["PutObject"]
    server.stop()
    server.args = ()
    server.start()
    store.s3 = Clients(server.access()).boto("https")
    store.s3.put_object(Bucket=store.bucket, Key="k", Body=b"x")
    store.s3.get_object(Bucket=store.bucket, Key="k")
    assert [event["eventName"] for event in data_events(server)] == ["PutObject"]
    # Denials are recorded in any case.
    user = Clients(server.access()).boto("https", service="iam")
    user.create_user(UserName="nobody")
    made = user.create_access_key(UserName="nobody")["AccessKey"]
    access = server.access()
    access.access, access.secret = made["AccessKeyId"], made["SecretAccessKey"]
    with pytest.raises(ClientError):
        Clients(access).boto("https").get_object(Bucket=store.bucket, Key="k")
    denied = data_events(server, "--outcome", "denied")
    assert [(event["eventName"], event["errorCode"], event["userIdentity"]["userName"]) for event in denied] == [
        ("GetObject", "AccessDenied", "nobody")]


def test_the_owner_of_a_bucket_sees_what_others_do_in_it(store):
    made = subprocess.run([binary(), "account", "create", "other", "--json", "--data", str(store.server.data)],
                          env=clean_env(store.server.home), capture_output=True, text=True, timeout=60)
    other = json.loads(made.stdout)
    access = store.server.access()
    access.access, access.secret = other["AccessKeyId"], other["SecretAccessKey"]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": other["Account"]["Id"]}, "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{store.bucket}/*"}]}
    store.s3.put_bucket_policy(Bucket=store.bucket, Policy=json.dumps(policy))
    store.s3.put_object(Bucket=store.bucket, Key="k", Body=b"x")
    answer = Clients(access).boto("https").get_object(Bucket=store.bucket, Key="k")
    found = data_events(store.server, "--request-id", answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"])
    accounts = {event["recipientAccountId"] for event in found}
    assert len(found) == len(accounts) == 2 and other["Account"]["Id"] in accounts
    assert len({event["sharedEventID"] for event in found}) == 1
