"""W9: the audit trail, with the real AWS CLI over hours of shifted time, for the server and for the client.

The clock that both of them see is in a file (libfaketime); waiting is writing a later time into it.
"""

import contextlib
import gzip
import hashlib
import json
import os
import subprocess
import time
from datetime import datetime, timedelta, timezone

import botocore.auth
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from callers import fresh
from conftest import Clients, poll, refused
from shell import Shell

INTERVAL = "300"
BUCKET = "logs"
NAME = "t"


def library():
    found = subprocess.run(["bash", "-c", "command -v faketime"], capture_output=True, text=True).stdout.strip()
    assert found, "faketime is not installed: run tools/setup-tests.sh"
    return subprocess.run([found, "-f", "+0d", "printenv", "LD_PRELOAD"], capture_output=True, text=True).stdout.strip()


class Clock:
    """The time that server, shell and clients have."""

    def __init__(self, home, monkeypatch):
        self.file, self.shift = home / "clock", 0
        self.env = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        real = botocore.auth.get_current_datetime
        monkeypatch.setattr(botocore.auth, "get_current_datetime",
                            lambda *args, **more: real(*args, **more) + timedelta(seconds=self.shift))
        self.to(0)

    def to(self, shift):
        self.shift = shift
        new = self.file.with_suffix(".new")
        new.write_text(f"+{shift}")
        new.rename(self.file)

    def pass_(self, seconds):
        self.to(self.shift + seconds)

    def now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.shift)

    @contextlib.contextmanager
    def set(self):
        before = {name: os.environ.get(name) for name in self.env}
        os.environ |= self.env
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def key_policy(account, trail):
    return {"Version": "2012-10-17", "Statement": [
        {"Sid": "Root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Sid": "CloudTrailEncrypts", "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "kms:GenerateDataKey*", "Resource": "*",
         "Condition": {"StringEquals": {"aws:SourceArn": trail},
                       "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn":
                                      f"arn:aws:cloudtrail:*:{account}:trail/*"}}},
        {"Sid": "CloudTrailDescribes", "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
         "Action": "kms:DescribeKey", "Resource": "*", "Condition": {"StringEquals": {"aws:SourceArn": trail}}}]}


def bucket_policy(account, trail, bucket=BUCKET):
    service = {"Service": "cloudtrail.amazonaws.com"}
    return {"Version": "2012-10-17", "Statement": [
        {"Sid": "AWSCloudTrailAclCheck", "Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl",
         "Resource": f"arn:aws:s3:::{bucket}", "Condition": {"StringEquals": {"aws:SourceArn": trail}}},
        {"Sid": "AWSCloudTrailWrite", "Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
         "Resource": f"arn:aws:s3:::{bucket}/AWSLogs/{account}/*",
         "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceArn": trail,
                                        "aws:SourceAccount": account}}}]}


class Watch:
    """A server whose clock is ours, a shell at it, and a trail with key and bucket as CloudTrail asks for."""

    def __init__(self, make_server, tmp_path, monkeypatch, *flags, create=True):
        self.clock = Clock(tmp_path, monkeypatch)
        self.server = make_server("--trail-delivery-interval", INTERVAL, *flags, start=False, trace=False)
        with self.clock.set():
            self.server.start()
        self.shell = Shell(self.server, tmp_path / "work")
        self.region = self.server.access().region
        self.account = self.ok("aws sts get-caller-identity --query Account --output text").strip()
        self.arn = f"arn:aws:cloudtrail:{self.region}:{self.account}:trail/{NAME}"
        self.connect()
        if create:
            self.create()

    def connect(self):
        clients = Clients(self.server.access())
        self.clients = clients
        self.s3, self.kms, self.iam = (clients.boto(service=name) for name in ("s3", "kms", "iam"))
        self.trail = clients.boto(service="cloudtrail")

    def again(self):
        with self.clock.set():
            self.server.start()
        self.connect()

    def ok(self, script, **env):
        return self.shell.ok(script, **self.clock.env, **env)

    def fails(self, script, *texts, **env):
        return self.shell.fails(script, *texts, **self.clock.env, **env)

    def create(self):
        """As the walkthrough has it; a trail's name has three letters at least."""
        work = self.shell.home
        (work / "key.json").write_text(json.dumps(key_policy(self.account, self.arn)))
        (work / "bucket.json").write_text(json.dumps(bucket_policy(self.account, self.arn)))
        self.key = self.ok(f"""
aws s3 mb s3://{BUCKET} >&2
aws s3api put-bucket-policy --bucket {BUCKET} --policy file://bucket.json
KEY=$(aws kms create-key --policy file://key.json --query KeyMetadata.Arn --output text)
aws cloudtrail create-trail --name {NAME} --s3-bucket-name {BUCKET} --kms-key-id $KEY \
  --enable-log-file-validation >&2
aws cloudtrail start-logging --name {NAME}
echo $KEY""").strip()

    def status(self):
        return self.trail.get_trail_status(Name=NAME)

    def keys(self, kind="CloudTrail"):
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"AWSLogs/{self.account}/{kind}/")
        return [o["Key"] for page in pages for o in page.get("Contents", [])]

    def records(self):
        """Every record of every log file."""
        found = []
        for key in self.keys():
            body = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            found += json.loads(gzip.decompress(body))["Records"]
        return found

    def delivered(self):
        """Passes the time after which what there is must be delivered, and waits until it is."""
        files = len(self.keys())
        self.until(lambda: len(self.keys()) > files)

    def until(self, holds):
        """Passes the time between deliveries until something holds: one that found nothing in the ledger yet is
        followed by the next after the same time."""
        for _ in range(8):
            self.clock.pass_(int(INTERVAL) + 5)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if holds():
                    return
                time.sleep(0.2)
        raise AssertionError(f"not delivered: {self.status()}")

    def hour(self):
        """Passes an hour, and waits for its digest."""
        digests = len(self.keys("CloudTrail-Digest"))
        self.clock.pass_(3600)
        poll(lambda: len(self.keys("CloudTrail-Digest")) > digests, 60, 0.2)

    def validate(self, code=0):
        """The unmodified CLI, which finds its endpoints in the environment."""
        done = self.shell.run(f"aws cloudtrail validate-logs --trail-arn {self.arn} --start-time {self.start} --verbose",
                              **self.clock.env)
        assert done.code == code, done.out + done.err
        # What is valid is on one stream, and what is not on the other.
        return done.out + done.err


@pytest.fixture
def watch(make_server, tmp_path, monkeypatch):
    watch = Watch(make_server, tmp_path, monkeypatch)
    watch.start = (watch.clock.now() - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return watch


def test_w9_a_trail_is_delivered_validated_and_each_tampering_is_found(watch):
    # Uses, granted and refused, for three hours.
    watch.ok(f"""
aws s3 mb s3://data
aws s3 cp testfile.txt s3://data/f --sse aws:kms --sse-kms-key-id {watch.key}
aws s3 cp s3://data/f - > back.txt && cmp testfile.txt back.txt
aws kms encrypt --key-id {watch.key} --plaintext fileb://testfile.txt > /dev/null || true
""")
    events = json.loads(watch.ok(
        f"aws cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue={watch.key} "
        "--output json"))["Events"]
    names = [event["EventName"] for event in events]
    assert {"CreateKey", "GenerateDataKey", "Decrypt", "CreateTrail"} <= {*names, "CreateTrail"}
    [made] = [json.loads(e["CloudTrailEvent"]) for e in events
              if e["EventName"] == "GenerateDataKey" and "s3:::data/f" in e["CloudTrailEvent"]]
    assert made["userIdentity"]["type"] == "Root" and made["resources"][0]["ARN"] == watch.key
    for _ in range(3):
        watch.iam.create_group(GroupName=fresh("g-"))
        watch.delivered()
        watch.hour()
    status = watch.status()
    assert status["IsLogging"] and "LatestDeliveryError" not in status
    assert status["LatestDeliveryTime"] and status["LatestDigestDeliveryTime"] and status["StartLoggingTime"]

    # Log files under the trail's key, digests under SSE-S3.
    logs, digests = watch.keys(), watch.keys("CloudTrail-Digest")
    assert len(digests) >= 3
    for key in logs:
        head = watch.s3.head_object(Bucket=BUCKET, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", watch.key)
        assert head["ContentType"] == "application/json" and head["ContentEncoding"] == "gzip"
    for key in digests:
        head = watch.s3.head_object(Bucket=BUCKET, Key=key)
        assert head["ServerSideEncryption"] == "AES256" and head["Metadata"]["signature-algorithm"] == "SHA256withRSA"

    # What is in them: each event once, and the trail's own uses of its key too.
    records = watch.records()
    ids = [record["eventID"] for record in records]
    assert len(set(ids)) == len(ids) and sum(r["eventName"] == "CreateGroup" for r in records) == 3
    own = [r for r in records if r["userIdentity"].get("invokedBy") == "cloudtrail.amazonaws.com"]
    assert own and all(r["userIdentity"]["type"] == "AWSService" and r["eventName"] == "GenerateDataKey" for r in own)
    contexts = [r["requestParameters"]["encryptionContext"] for r in own]
    assert all(context["aws:cloudtrail:arn"] == watch.arn for context in contexts)
    assert {context["aws:s3:arn"] for context in contexts} & {f"arn:aws:s3:::{BUCKET}/{key}" for key in logs}

    said = watch.validate()
    assert f"{len(digests)}/{len(digests)} digest files valid" in said, said
    assert "log files valid" in said and "INVALID" not in said
    tampering(watch, logs, digests)
    assert "INVALID" not in watch.validate()


def tampering(watch, logs, digests):
    """Each file is put back after it was found."""
    s3 = watch.s3

    def get(key):
        got = s3.get_object(Bucket=BUCKET, Key=key)
        return got["Body"].read(), got["Metadata"]

    def put(key, body, metadata):
        s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)

    def changed(body):
        document = json.loads(gzip.decompress(body))
        if "Records" in document:
            document["Records"][0]["eventName"] = "Nothing"
        else:
            document["logFiles"] = document["logFiles"][1:]
        return gzip.compress(json.dumps(document).encode())

    def forged(key, body):
        """A digest that leaves a file out, signed by somebody else under the name of the real key."""
        document = json.loads(gzip.decompress(body))
        document["logFiles"] = []
        raw = json.dumps(document).encode()
        text = "\n".join([document["digestEndTime"], f"{BUCKET}/{key}", hashlib.sha256(raw).hexdigest(),
                          document["previousDigestSignature"] or "null"])
        own = rsa.generate_private_key(65537, 2048)
        signature = own.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        return gzip.compress(raw), {"signature": signature, "signature-algorithm": "SHA256withRSA"}

    log, digest, other = logs[1], digests[1], logs[2]
    aside = "AWSLogs/moved.json.gz"
    for key, label in ((log, "Log file"), (digest, "Digest file")):
        body, metadata = get(key)
        put(key, changed(body), metadata)
        said = watch.validate(1)
        assert f"{label}\ts3://{BUCKET}/{key}\tINVALID" in said, said
        put(key, body, metadata)

        s3.delete_object(Bucket=BUCKET, Key=key)
        said = watch.validate(1)
        assert f"{label}\ts3://{BUCKET}/{key}\tINVALID: not found" in said, said

        # Moved: it is there, but not where it was delivered.
        put(aside, body, metadata)
        said = watch.validate(1)
        assert f"{label}\ts3://{BUCKET}/{key}\tINVALID: not found" in said, said
        s3.delete_object(Bucket=BUCKET, Key=aside)

        # Forged: another file of the trail in its place, or one that somebody else signed.
        if key == log:
            put(key, *get(other))
        else:
            put(key, *forged(key, body))
        said = watch.validate(1)
        assert f"{label}\ts3://{BUCKET}/{key}\tINVALID" in said, said
        put(key, body, metadata)


def test_the_auditor_needs_both_halves_and_the_administrator_reads_nothing(watch):
    watch.iam.create_group(GroupName=fresh("g-"))
    watch.delivered()
    [log, *_] = watch.keys()
    users = {"auditor": [("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*"), ("kms:Decrypt", watch.key)],
             "admin": [("s3:*", "*"), ("iam:*", "*"), ("cloudtrail:*", "*")],
             "keeper": [("kms:*", "*")]}
    for name, rights in users.items():
        watch.iam.create_user(UserName=name)
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in rights]
        watch.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": statements}))
        key = watch.iam.create_access_key(UserName=name)["AccessKey"]
        users[name] = f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']} AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}\n"
    read = f"aws s3 cp s3://{BUCKET}/{log} - | gunzip"
    assert "Records" in json.loads(watch.ok(users["auditor"] + read))
    # The bucket's owner sees that it is there, and not what it says.
    watch.fails(users["admin"] + f"aws s3api get-object --bucket {BUCKET} --key {log} out", "AccessDenied", "kms:Decrypt")
    watch.fails(users["keeper"] + f"aws s3api get-object --bucket {BUCKET} --key {log} out", "AccessDenied")


def test_validate_logs_finds_nothing_wrong_before_the_first_digest(watch):
    said = watch.validate()
    assert "No digests found" in said and "INVALID" not in said, said


def test_a_bucket_that_is_gone_is_replaced_and_the_chain_goes_on(watch):
    """What was on its way into the old bucket goes into the new one."""
    s3, new = watch.s3, "logs-again"
    watch.iam.create_group(GroupName="before")
    watch.delivered()
    watch.hour()
    first = set(watch.keys()) | set(watch.keys("CloudTrail-Digest"))
    s3.delete_bucket_policy(Bucket=BUCKET)
    watch.iam.create_group(GroupName="without-bucket")
    watch.until(lambda: watch.status().get("LatestDeliveryError") == "AccessDenied")
    s3.create_bucket(Bucket=new)
    s3.put_bucket_policy(Bucket=new, Policy=json.dumps(bucket_policy(watch.account, watch.arn, new)))
    # The first file is not taken at the old place once more; it goes to the new one without a wait.
    watch.trail.update_trail(Name=NAME, S3BucketName=new)
    poll(lambda: "LatestDeliveryError" not in watch.status(), 30, 0.2)
    watch.clock.pass_(3600)

    def listed():
        return [o["Key"] for o in s3.list_objects_v2(Bucket=new).get("Contents", [])]

    poll(lambda: any("CloudTrail-Digest" in key for key in listed()), 60, 0.2)
    bodies = [gzip.decompress(s3.get_object(Bucket=new, Key=key)["Body"].read()) for key in listed()]
    assert sum(body.count(b"without-bucket") > 0 for body in bodies) == 1
    said = watch.validate()
    assert "INVALID" not in said
    for key in first:
        assert f"s3://{BUCKET}/{key}\tvalid" in said, said


def test_an_outage_is_told_and_caught_up_with(watch):
    """The key is disabled, then the bucket's policy is gone: nothing is lost, and the chain is whole."""
    s3 = watch.s3
    watch.iam.create_group(GroupName="before")
    watch.delivered()
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]

    def errors():
        """Of log files and of digests: whichever is due first is tried, and holds up the other."""
        status = watch.status()
        return [status[name] for name in ("LatestDeliveryError", "LatestDigestDeliveryError") if name in status]

    def fails(code):
        watch.until(lambda: code in errors())

    watch.kms.disable_key(KeyId=watch.key)
    watch.iam.create_group(GroupName="without-key")
    fails("KMS.DisabledException")
    watch.clock.pass_(3600)
    watch.kms.enable_key(KeyId=watch.key)
    watch.clock.pass_(600)
    watch.until(lambda: not errors())
    s3.delete_bucket_policy(Bucket=BUCKET)
    watch.iam.create_group(GroupName="without-policy")
    fails("AccessDenied")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    watch.clock.pass_(600)
    watch.until(lambda: not errors())
    watch.trail.stop_logging(Name=NAME)
    # After it comes the last digest.
    end = watch.clock.now()
    poll(lambda: watch.status().get("LatestDigestDeliveryTime", end - timedelta(hours=1)) >= end - timedelta(seconds=2),
         60, 0.2)
    status = watch.status()
    assert not status["IsLogging"] and status["StopLoggingTime"]
    names = [json.dumps(r.get("requestParameters")) for r in watch.records() if r["eventName"] == "CreateGroup"]
    assert len(names) == 3
    ids = [r["eventID"] for r in watch.records()]
    assert len(set(ids)) == len(ids)
    assert "INVALID" not in watch.validate()


def test_kill_9_while_delivering_loses_and_doubles_nothing(watch):
    """The server dies again and again while files are on their way."""
    asked = []
    for round in range(5):
        for _ in range(5):
            asked.append(watch.iam.create_group(GroupName=fresh("k-"))["ResponseMetadata"]["RequestId"])
        # It notices within a second that a file is due, and dies about then.
        watch.clock.pass_(int(INTERVAL) + 5)
        files = len(watch.keys())
        if round % 2:
            poll(lambda: len(watch.keys()) > files, 60, 0.005)
        else:
            watch.trail.list_trails()
        watch.server.kill()
        watch.again()
    watch.trail.stop_logging(Name=NAME)
    stopped = watch.clock.now() - timedelta(seconds=2)
    poll(lambda: watch.status().get("LatestDigestDeliveryTime", stopped - timedelta(1)) >= stopped, 60, 0.2)
    records = watch.records()
    ids = [record["eventID"] for record in records]
    assert len(set(ids)) == len(ids)
    assert sorted(r["requestID"] for r in records if r["eventName"] == "CreateGroup") == sorted(asked)
    assert "INVALID" not in watch.validate()


def test_a_trail_is_checked_before_it_is_made(make_server, tmp_path, monkeypatch):
    watch = Watch(make_server, tmp_path, monkeypatch, create=False)
    create = watch.trail.create_trail
    s3, kms, account = watch.s3, watch.kms, watch.account
    given = {"Name": NAME, "S3BucketName": BUCKET}
    assert refused(create, **given).code == "S3BucketDoesNotExistException"
    s3.create_bucket(Bucket=BUCKET)
    told = refused(create, **given)
    assert told.code == "InsufficientS3BucketPolicyException" and BUCKET in told.message
    fine = bucket_policy(account, watch.arn)
    # Each part of the policy is needed, and must be for this trail, this account and this ACL.
    wrong = []
    for statement in range(2):
        wrong.append([s for n, s in enumerate(fine["Statement"]) if n != statement])
    for name, value in [("aws:SourceArn", watch.arn + "x"), ("aws:SourceAccount", "999999999999"),
                        ("s3:x-amz-acl", "private")]:
        changed = json.loads(json.dumps(fine["Statement"]))
        changed[1]["Condition"]["StringEquals"][name] = value
        wrong.append(changed)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*",
            "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}
    wrong.append([*fine["Statement"], deny])
    for statements in wrong:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({**fine, "Statement": statements}))
        assert refused(create, **given).code == "InsufficientS3BucketPolicyException", statements
    # That it comes over no network in clear is so.
    secure = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({**fine, "Statement": [*fine["Statement"], secure]}))

    key = kms.create_key()["KeyMetadata"]["Arn"]
    under = {**given, "KmsKeyId": key}
    assert refused(create, **under).code == "InsufficientEncryptionPolicyException"
    for other in (f"arn:aws:kms:{watch.region}:{account}:key/00000000-0000-0000-0000-000000000000", "alias/none"):
        assert refused(create, **{**given, "KmsKeyId": other}).code == "KmsKeyNotFoundException", other
    assert refused(create, **{**given, "KmsKeyId": "what is this"}).code == "InvalidKmsKeyIdException"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(key_policy(account, watch.arn + "x")))
    assert refused(create, **under).code == "InsufficientEncryptionPolicyException"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(key_policy(account, watch.arn)))
    kms.disable_key(KeyId=key)
    assert refused(create, **under).code == "KmsKeyDisabledException"
    kms.enable_key(KeyId=key)
    kms.create_alias(AliasName="alias/trail", TargetKeyId=key)
    made = create(**{**given, "KmsKeyId": "alias/trail"}, EnableLogFileValidation=True)
    assert (made["KmsKeyId"], made["TrailARN"], made["LogFileValidationEnabled"]) == (key, watch.arn, True)
    assert refused(create, **given).code == "TrailAlreadyExistsException"
    # The check of the key was a use of it, which is recorded, as CloudTrail's.
    events = watch.trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName",
                                                          "AttributeValue": "GenerateDataKey"}])["Events"]
    probes = [json.loads(event["CloudTrailEvent"]) for event in events]
    assert probes and all(p["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
                          and p["requestParameters"]["encryptionContext"]["aws:cloudtrail:arn"] == watch.arn
                          for p in probes)
    assert {p.get("errorCode") for p in probes} >= {None, "AccessDenied", "DisabledException"}
    kms.disable_key(KeyId=key)
    assert refused(watch.trail.update_trail, Name=NAME, S3KeyPrefix="p").code == "InsufficientS3BucketPolicyException"
    assert watch.trail.update_trail(Name=NAME, KmsKeyId="").get("KmsKeyId") is None
    assert watch.trail.get_trail(Name=NAME)["Trail"].get("KmsKeyId") is None
