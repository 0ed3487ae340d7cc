"""Every use of a KMS key has its record: S3's uses on behalf of a caller, refusals, and what keys' owners change.

Read by LookupEvents under the key's ARN, as an auditor would.
"""

import json
import os
import subprocess
import urllib.request
import uuid

import pytest

from callers import fresh
from conftest import Clients, binary, clean_env, new_bucket, poll, refused
from sealing import PASSPHRASE, lose_key_file, run, start_sealed, with_passphrase

FORWARDED = "fas.s3.amazonaws.com"


@pytest.fixture
def w(clients, shared):
    """A bucket, a key, and who looks at the key's records."""
    class World:
        s3, kms = clients.boto(signature_version="s3v4"), clients.boto(service="kms")
        trail, iam, region = clients.boto(service="cloudtrail"), clients.boto(service="iam"), clients.region
        access = shared.access

        def __init__(self):
            self.bucket = new_bucket(self.s3)
            self.key = self.kms.create_key(Description="audited")["KeyMetadata"]["Arn"]
            self.seen = {e["eventID"] for e in self.of_key()}

        def sse(self, **more):
            return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, **more}

        def put(self, name, body=b"x", **more):
            return self.s3.put_object(Bucket=self.bucket, Key=name, Body=body, **{**self.sse(), **more})

        def arn(self, name):
            return f"arn:aws:s3:::{self.bucket}/{name}"

        def of_key(self, key=None):
            pages = self.trail.get_paginator("lookup_events").paginate(
                LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key or self.key}])
            return [json.loads(e["CloudTrailEvent"]) for page in pages for e in page["Events"]]

        def new(self):
            """The records of the key since the last time, oldest first: (name, error or None)."""
            fresh_ones = [e for e in reversed(self.of_key()) if e["eventID"] not in self.seen]
            self.seen |= {e["eventID"] for e in fresh_ones}
            return fresh_ones

        def uses(self):
            return sorted(e["eventName"] for e in self.new())

    return World()


def assert_by_s3(event, w, name):
    assert event["eventVersion"] == "1.11" and event["eventType"] == "AwsApiCall"
    who = event["userIdentity"]
    assert who["type"] == "Root" and who["accessKeyId"] == w.access and who["invokedBy"] == FORWARDED
    assert event["sourceIPAddress"] == event["userAgent"] == FORWARDED
    assert event["additionalEventData"]["clientIpAddress"] == "127.0.0.1"
    assert len(event["additionalEventData"]["keyMaterialId"]) == 64
    account = w.key.split(":")[4]
    assert event["resources"] == [{"accountId": account, "type": "AWS::KMS::Key", "ARN": w.key}]
    assert event["requestParameters"]["encryptionContext"] == {"aws:s3:arn": w.arn(name)}
    assert event["requestParameters"]["keyId"] == w.key
    assert event["responseElements"] is None and event["readOnly"] is True
    assert event["managementEvent"] is True and event["eventCategory"] == "Management"
    assert event["recipientAccountId"] == account and event["awsRegion"] == w.region
    assert uuid.UUID(event["requestID"]) and uuid.UUID(event["eventID"])
    assert "errorCode" not in event and "tlsDetails" not in event


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20])
def test_a_put_and_a_get_have_one_record_each_of_the_documented_shape(w, size):
    answer = w.put("k", b"a" * size)
    [made] = w.new()
    # S3's ids are the first half of those of records.
    assert made["requestID"].replace("-", "").upper().startswith(answer["ResponseMetadata"]["RequestId"])
    assert made["eventName"] == "GenerateDataKey" and made["requestParameters"]["keySpec"] == "AES_256"
    assert_by_s3(made, w, "k")
    assert len(w.s3.get_object(Bucket=w.bucket, Key="k")["Body"].read()) == size
    [opened] = w.new()
    assert opened["eventName"] == "Decrypt"
    assert opened["requestParameters"]["encryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert_by_s3(opened, w, "k")
    # What needs no key uses none.
    w.s3.head_object(Bucket=w.bucket, Key="k")
    w.s3.list_objects_v2(Bucket=w.bucket)
    w.s3.delete_object(Bucket=w.bucket, Key="k")
    assert w.new() == []


def test_every_way_to_write_has_its_records(w):
    w.put("k")
    assert w.uses() == ["GenerateDataKey"]
    w.s3.copy_object(Bucket=w.bucket, Key="copy", CopySource={"Bucket": w.bucket, "Key": "k"}, **w.sse())
    assert w.uses() == ["Decrypt", "GenerateDataKey"]
    w.put("dsse", ServerSideEncryption="aws:kms:dsse")
    assert w.uses() == ["GenerateDataKey"]
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key="parts", **w.sse())["UploadId"]
    assert w.uses() == ["GenerateDataKey"]
    whole = {"Bucket": w.bucket, "Key": "parts", "UploadId": upload}
    etags = [w.s3.upload_part(**whole, PartNumber=n, Body=b"p" * (5 << 20))["ETag"] for n in (1, 2)]
    assert w.uses() == ["Decrypt", "Decrypt"]
    w.s3.upload_part_copy(**whole, PartNumber=3, CopySource={"Bucket": w.bucket, "Key": "k"})
    assert w.uses() == ["Decrypt", "Decrypt"], "of the source and of the upload"
    w.s3.complete_multipart_upload(**whole, MultipartUpload={
        "Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]})
    assert w.uses() == ["Decrypt"]
    w.s3.get_object(Bucket=w.bucket, Key="parts")["Body"].read()
    assert w.uses() == ["Decrypt"]
    fields = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": w.key}
    form = w.s3.generate_presigned_post(w.bucket, "posted", Fields=dict(fields),
                                        Conditions=[{k: v} for k, v in fields.items()])
    assert posted(form, b"body") == 204
    assert w.uses() == ["GenerateDataKey"]
    other = w.kms.create_key()["KeyMetadata"]["Arn"]
    w.s3.update_object_encryption(Bucket=w.bucket, Key="k", ObjectEncryption={"SSEKMS": {"KMSKeyArn": other}})
    assert w.uses() == ["Decrypt"]
    assert [e["eventName"] for e in reversed(w.of_key(other))] == ["CreateKey", "GenerateDataKey"]


def posted(form, body):
    mark = uuid.uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form["fields"].items()]
    head = "".join(parts) + f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    data = head.encode() + body + f"\r\n--{mark}--\r\n".encode()
    request = urllib.request.Request(form["url"], data, {"Content-Type": f"multipart/form-data; boundary={mark}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status


def test_other_encryptions_use_no_key(w, clients):
    secure = clients.boto("https")
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    w.s3.put_object(Bucket=w.bucket, Key="sse-s3", Body=b"x")
    w.s3.get_object(Bucket=w.bucket, Key="sse-s3")["Body"].read()
    secure.put_object(Bucket=w.bucket, Key="sse-c", Body=b"x", **customer)
    secure.get_object(Bucket=w.bucket, Key="sse-c", **customer)["Body"].read()
    assert w.new() == []
    pages = w.trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "kms.amazonaws.com"}])
    assert not [e for page in pages for e in page["Events"] if w.bucket in e["CloudTrailEvent"]]


def test_a_bucket_key_is_recorded_when_it_is_made_and_not_when_it_serves(w):
    for name in ("one", "two", "three"):
        w.put(name, BucketKeyEnabled=True)
        w.s3.get_object(Bucket=w.bucket, Key=name)["Body"].read()
    [made] = w.new()
    assert made["eventName"] == "GenerateDataKey"
    assert made["requestParameters"]["encryptionContext"] == {"aws:s3:arn": f"arn:aws:s3:::{w.bucket}"}


def test_refusals_have_one_record_with_the_error(w, clients, shared):
    w.put("k")
    w.put("bucket-key", BucketKeyEnabled=True)
    name = fresh("refused-")
    w.iam.create_user(UserName=name)
    w.iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}))
    made = w.iam.create_access_key(UserName=name)["AccessKey"]
    theirs = type(shared)(**{**vars(shared), "access": made["AccessKeyId"], "secret": made["SecretAccessKey"]})
    user = Clients(theirs).boto(signature_version="s3v4")
    w.new()

    def one(event_name, code, who):
        [event] = w.new()
        assert (event["eventName"], event["errorCode"]) == (event_name, code)
        assert event["userIdentity"].get("userName") == who and event["errorMessage"]
        assert event["resources"][0]["ARN"] == w.key and event["responseElements"] is None

    assert refused(user.get_object, Bucket=w.bucket, Key="k").code == "AccessDenied"
    one("Decrypt", "AccessDenied", name)
    assert refused(user.get_object, Bucket=w.bucket, Key="bucket-key").code == "AccessDenied"
    one("Decrypt", "AccessDenied", name)
    assert refused(user.put_object, Bucket=w.bucket, Key="l", Body=b"x", **w.sse()).code == "AccessDenied"
    one("GenerateDataKey", "AccessDenied", name)
    w.kms.disable_key(KeyId=w.key)
    assert [e["eventName"] for e in w.new()] == ["DisableKey"]
    assert refused(w.s3.get_object, Bucket=w.bucket, Key="k").code == "KMS.DisabledException"
    one("Decrypt", "DisabledException", None)
    assert refused(w.put, "l").code == "KMS.DisabledException"
    one("GenerateDataKey", "DisabledException", None)


def test_changes_of_a_key_are_recorded_as_documented(w):
    key = w.key
    w.kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=100)
    w.kms.tag_resource(KeyId=key, Tags=[{"TagKey": "Department", "TagValue": "IT"}])
    grant = w.kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{key.split(':')[4]}:root", Operations=["Decrypt"])
    w.kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    gone = w.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    rotation, tag, granted, revoked, scheduled = w.new()
    assert rotation["requestParameters"] == {"keyId": key, "rotationPeriodInDays": 100}
    assert tag["requestParameters"]["tags"] == [{"tagKey": "Department", "tagValue": "IT"}]
    assert granted["responseElements"] == {"grantId": grant["GrantId"], "keyId": key}
    assert grant["GrantToken"] not in json.dumps(granted)
    assert revoked["requestParameters"] == {"keyId": key, "grantId": grant["GrantId"]}
    date = gone["DeletionDate"]
    hour = date.hour % 12 or 12
    shown = f"{date:%b} {date.day}, {date.year}, {hour}:{date:%M}:{date:%S} {date:%p}"
    assert scheduled["responseElements"] == {"keyId": key, "keyState": "PendingDeletion", "deletionDate": shown}
    for event in (rotation, tag, granted, revoked, scheduled):
        assert event["readOnly"] is False and event["sourceIPAddress"] == "127.0.0.1"
        assert "invokedBy" not in event["userIdentity"] and "boto" in event["userAgent"].lower()


def strongroom(server, *args):
    done = subprocess.run([binary(), *args, "--data", str(server.data)], env=clean_env(server.home),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_events(server, name):
    """What the server recorded of itself under that name, oldest first."""
    found = strongroom(server, "audit", "search", "--json", "--event", name, "--key-file", str(server.key_file))
    events = [json.loads(line) for line in found.splitlines()]
    assert all(e["eventSource"] == "strongroom.local" and e["eventType"] == "AwsServiceEvent" for e in events)
    return [e["serviceEventDetails"] for e in events]


def test_what_the_operator_does_is_recorded_with_his_uid(make_server):
    server = make_server()
    strongroom(server, "root-key", "rotate")
    [rotated] = own_events(server, "RotateRootKey")
    assert rotated == {"version": 2, "operatorUid": os.geteuid()}
    [changed] = own_events(server, "KeyRingChanged")
    assert changed["rootKeyVersion"] == 2 and changed["generation"] > changed["generationBefore"]
    strongroom(server, "credentials", "rotate")
    assert len(own_events(server, "RootAccessKeyRotated")) == 1
    server.env()
    assert own_events(server, "ShowRootAccessKey")[-1] == {"operatorUid": os.geteuid()}
    # The thread that wraps anew says when it is done.
    assert poll(lambda: own_events(server, "KeysRewrapped"), 20)[0]["version"] == 2
    strongroom(server, "root-key", "retire", "1")
    assert poll(lambda: own_events(server, "RootKeyRetired"), 20)[0]["version"] == 1
    assert own_events(server, "RetireRootKey") == [{"version": 1, "operatorUid": os.geteuid()}]


def test_a_seal_is_recorded_at_once_or_at_the_next_start(make_server):
    server = make_server()
    for number, running in [(1, True), (2, False)]:
        if not running:
            server.stop()
        before = len(own_events(server, "KeyRingChanged")) if running else 1
        strongroom(server, "seal", "add", "--unseal-with", str(server.key_file), "--key-file",
                   str(server.home / f"more{number}.key"))
        if not running:
            server.start()
        changes = own_events(server, "KeyRingChanged")
        assert len(changes) == before + 1
        assert len(changes[-1]["seals"]) == number + 1 and changes[-1]["seals"][-1].endswith("key-file")
        assert ("operatorUid" in changes[-1]) == running


def test_who_opened_a_sealed_server_is_recorded_and_how_often_it_was_tried(make_server):
    server = make_server()
    server.stop()
    with_passphrase(server)
    lose_key_file(server)
    start_sealed(server)
    for _ in range(2):
        run(server, "unseal", "--fd", 1000, given={1000: "another passphrase\n"}, expect=1)
    run(server, "unseal", "--fd", 1000, given={1000: PASSPHRASE})
    found = strongroom(server, "audit", "search", "--json", "--event", "Unseal")
    [unsealed] = [json.loads(line)["serviceEventDetails"] for line in found.splitlines()]
    assert unsealed["by"] == "passphrase" and unsealed["operatorUid"] == os.geteuid()
    assert unsealed["refusedAttempts"] == 2 and unsealed["sealedSince"]
