"""Server access logs of S3: lines in AWS's format, delivered as objects that the target's default encrypts, without secrets."""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from conftest import Clients, new_bucket, poll, refused, tool

CUSTOMER_KEY = bytes(range(100, 132))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}
FIELDS = ("owner bucket time ip requester request_id operation key uri status error sent size total turnaround referer agent version "
          "host_id signature cipher authentication host tls access_point acl source_region").split()
GRANTS = [{"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}, "Permission": "READ"}]
FIELD = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


def parsed(text):
    """The lines of a log, each as a dictionary."""
    lines = []
    for line in text.splitlines():
        fields = FIELD.findall(line)
        assert len(fields) == len(FIELDS), line
        lines.append(dict(zip(FIELDS, (field.strip('"[]') for field in fields))))
    return lines


class Logged:
    """A bucket whose requests are logged into another."""

    def __init__(self, server, prefix="", **more):
        self.server = server
        self.clients = Clients(server.access())
        self.s3, self.kms = self.clients.boto("https"), self.clients.boto(service="kms")
        self.source, self.target, self.prefix = new_bucket(self.s3), new_bucket(self.s3), prefix
        self.account = self.clients.boto(service="sts").get_caller_identity()["Account"]
        self.allow()
        self.s3.put_bucket_logging(Bucket=self.source, BucketLoggingStatus={
            "LoggingEnabled": {"TargetBucket": self.target, "TargetPrefix": prefix, **more}})
        # A change of the configuration counts after a moment, as with AWS, where it takes longer.
        poll(lambda: self.s3.head_bucket(Bucket=self.source) and self.objects(), 60, 0.3)

    def allow(self, **condition):
        statement = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
                     "Resource": f"arn:aws:s3:::{self.target}/{self.prefix}*",
                     "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{self.source}"},
                                   "StringEquals": {"aws:SourceAccount": self.account}, **condition}}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.s3.put_bucket_policy(Bucket=self.target, Policy=json.dumps(policy))

    def objects(self):
        return [it["Key"] for it in self.s3.list_objects_v2(Bucket=self.target).get("Contents", [])]

    def text(self):
        return "".join(self.s3.get_object(Bucket=self.target, Key=key)["Body"].read().decode() for key in self.objects())

    def lines(self, answer):
        """The lines of a call."""
        headers = answer["ResponseMetadata"]["HTTPHeaders"]

        def found():
            return [line for line in parsed(self.text()) if line["request_id"] == headers["x-amz-request-id"]]

        return poll(found, 60, 0.3)

    def line(self, answer):
        """The one line of a call."""
        lines = self.lines(answer)
        assert len(lines) == 1, lines
        return lines[0]


def signed_by(server, **credentials):
    """A client with other credentials."""
    return Clients(SimpleNamespace(**{**vars(server.access()), **credentials})).boto()


@pytest.fixture
def server(make_server):
    return make_server("--access-log-interval", "1")


def test_lines_have_the_fields_of_s3(server):
    logged = Logged(server, "logs/")
    s3, bucket = logged.s3, logged.source
    put = s3.put_object(Bucket=bucket, Key='a b/"c"', Body=b"x" * 1000)
    get = s3.get_object(Bucket=bucket, Key='a b/"c"', Range="bytes=0-9")
    get["Body"].read()
    missing = refused(s3.get_object, Bucket=bucket, Key="none")
    listed = s3.list_objects_v2(Bucket=bucket)
    line = logged.line(put)
    assert line["bucket"] == bucket and line["operation"] == "REST.PUT.OBJECT" and line["status"] == "200"
    assert line["key"] == "a%20b/%22c%22" and line["error"] == "-" and line["size"] == "1000" and line["ip"] == "127.0.0.1"
    assert line["owner"] == line["requester"] == s3.list_buckets()["Owner"]["ID"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", line["time"])
    assert line["uri"].startswith("PUT /") and line["uri"].endswith(" HTTP/1.1") and "Boto3" in line["agent"]
    assert line["signature"] == "SigV4" and line["authentication"] == "AuthHeader" and line["tls"] == "TLSv1.3"
    assert line["cipher"].startswith("TLS_") and line["source_region"] == "-" and line["host"].startswith("127.0.0.1") and line["host_id"] == put["ResponseMetadata"]["HostId"]
    assert int(line["total"]) >= 0
    line = logged.line(get)
    assert (line["operation"], line["status"], line["sent"], line["size"]) == ("REST.GET.OBJECT", "206", "10", "1000")
    line = logged.line(missing.answer)
    assert (line["status"], line["error"]) == ("404", "NoSuchKey")
    assert logged.line(listed)["operation"] == "REST.GET.BUCKET"
    assert all(re.fullmatch(r"logs/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}", key) for key in logged.objects())


def test_copies_and_deletions_are_told_object_by_object(server):
    logged = Logged(server)
    s3, source, other = logged.s3, logged.source, new_bucket(logged.s3)
    of_part = {"uri": "-", "sent": "-", "size": "-", "total": "-", "turnaround": "-", "referer": "-", "agent": "-"}

    def is_part(line, **expected):
        expected = {"bucket": source, "signature": "SigV4", "authentication": "AuthHeader", **of_part, **expected}
        assert line == {**line, **expected}

    from_a = {"Bucket": source, "Key": "a b"}
    s3.put_object(**from_a, Body=b"x")
    # Out of the bucket: what was read is in its log, though the request was another bucket's.
    is_part(logged.line(s3.copy_object(Bucket=other, Key="copy", CopySource=from_a)),
            operation="REST.COPY.OBJECT_GET", key="a%20b", status="200", error="-", requester=s3.list_buckets()["Owner"]["ID"])
    within = {line["operation"]: line for line in logged.lines(s3.copy_object(Bucket=source, Key="c", CopySource=from_a))}
    assert set(within) == {"REST.COPY.OBJECT", "REST.COPY.OBJECT_GET"}
    assert (within["REST.COPY.OBJECT"]["key"], within["REST.COPY.OBJECT_GET"]["key"]) == ("c", "a%20b")
    assert within["REST.COPY.OBJECT"]["uri"].startswith("PUT /")
    upload = s3.create_multipart_upload(Bucket=other, Key="parts")["UploadId"]
    part = s3.upload_part_copy(Bucket=other, Key="parts", UploadId=upload, PartNumber=1, CopySource=from_a)
    is_part(logged.line(part), operation="REST.COPY.PART_GET", key="a%20b", status="200")
    # What is not there, and what may not be read.
    missing = refused(s3.copy_object, Bucket=other, Key="copy", CopySource={"Bucket": source, "Key": "none"})
    is_part(logged.line(missing.answer), operation="REST.COPY.OBJECT_GET", key="none", status="404", error="NoSuchKey")
    iam = logged.clients.boto(service="iam")
    iam.create_user(UserName="thief")
    iam.put_user_policy(UserName="thief", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{other}/*"]}}))
    key = iam.create_access_key(UserName="thief")["AccessKey"]
    thief = signed_by(server, access=key["AccessKeyId"], secret=key["SecretAccessKey"])
    denied = refused(thief.copy_object, Bucket=other, Key="copy", CopySource=from_a)
    is_part(logged.line(denied.answer), operation="REST.COPY.OBJECT_GET", key="a%20b", status="403", error="AccessDenied",
            requester=f"arn:aws:iam::{logged.account}:user/thief")
    # What its destination refuses has read nothing.
    nowhere = refused(s3.copy_object, Bucket="no-such-bucket-anywhere", Key="copy", CopySource=from_a)
    both = s3.delete_objects(Bucket=source, Delete={"Objects": [{"Key": "a b"}, {"Key": "c"}]})
    lines = logged.lines(both)
    assert sorted(line["operation"] for line in lines) == ["BATCH.DELETE.OBJECT"] * 2 + ["REST.POST.MULTI_OBJECT_DELETE"]
    each = {line["key"]: line for line in lines if line["operation"] == "BATCH.DELETE.OBJECT"}
    assert set(each) == {"a%20b", "c"}
    for line in each.values():
        is_part(line, status="204", error="-")
    assert nowhere.headers["x-amz-request-id"] not in logged.text()


def test_requests_that_get_no_further_than_their_head_have_lines(server):
    logged = Logged(server)
    absent = refused(logged.s3.get_object_torrent, Bucket=logged.source, Key="k")
    line = logged.line(absent.answer)
    assert (line["operation"], line["key"], line["status"], line["error"]) == ("REST.GET.OBJECT", "k", "501", "NotImplemented")
    wrong = signed_by(server, secret="wrong")
    line = logged.line(refused(wrong.get_object, Bucket=logged.source, Key="k").answer)
    assert (line["operation"], line["key"], line["status"]) == ("REST.GET.OBJECT", "k", "403")
    assert (line["error"], line["requester"], line["authentication"]) == ("SignatureDoesNotMatch", "-", "-")


def test_nothing_secret_is_in_a_log(server):
    logged = Logged(server)
    s3, bucket = logged.s3, logged.source
    s3.put_object(Bucket=bucket, Key="c", Body=b"x", **SSE_C)
    signer = logged.clients.boto("https", signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "c", "SSECustomerAlgorithm": "AES256",
                                                          "SSECustomerKey": CUSTOMER_KEY})
    signature = re.search(r"X-Amz-Signature=([0-9a-f]+)", url)[1]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=30, context=ssl.create_default_context(cafile=server.access().ca))
    url = signer.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    listing = urllib.request.urlopen(url, timeout=30, context=ssl.create_default_context(cafile=server.access().ca))
    line = logged.line({"ResponseMetadata": {"HTTPHeaders": {k.lower(): v for k, v in listing.headers.items()}}})
    assert line["authentication"] == "QueryString" and "X-Amz-Signature=REDACTED" in line["uri"]
    text = logged.text()
    digest = hashlib.md5(CUSTOMER_KEY, usedforsecurity=False).digest()
    for secret in (signature, base64.b64encode(CUSTOMER_KEY).decode(), CUSTOMER_KEY.hex(), base64.b64encode(digest).decode(),
                   re.search(r"X-Amz-Signature=([0-9a-f]+)", url)[1], server.access().secret):
        assert secret not in text


def test_log_objects_are_encrypted_as_the_target_says(server):
    logged = Logged(server)
    key = logged.kms.create_key()["KeyMetadata"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}}
    logged.s3.put_bucket_encryption(Bucket=logged.target, ServerSideEncryptionConfiguration={"Rules": [rule]})
    before = set(logged.objects())
    waits = logged.s3.put_object(Bucket=logged.source, Key="k", Body=b"x")
    # The key's policy does not let the logging service: nothing is delivered, and nothing is lost.
    logged.s3.head_bucket(Bucket=logged.source)
    statement = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
                 "Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Resource": "*"}
    policy = json.loads(logged.kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])
    policy["Statement"].append(statement)
    logged.kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy))
    assert logged.line(waits)["operation"] == "REST.PUT.OBJECT"
    new = [logged.s3.head_object(Bucket=logged.target, Key=name) for name in set(logged.objects()) - before]
    assert [it for it in new if it["ServerSideEncryption"] == "aws:kms" and it["SSEKMSKeyId"] == key["Arn"]]


@pytest.mark.parametrize("source", ["EventTime", "DeliveryTime"])
def test_partitioned_keys(server, source):
    shape = {"PartitionedPrefix": {"PartitionDateSource": source}}
    logged = Logged(server, "p/", TargetObjectKeyFormat=shape)
    place = f"p/{logged.account}/us-east-1/{logged.source}/"
    time = "00-00-00" if source == "EventTime" else r"\d\d-\d\d-\d\d"
    for key in logged.objects():
        assert re.fullmatch(place + r"(\d{4})/(\d\d)/(\d\d)/\1-\2-\3-" + time + r"-[0-9A-F]{16}", key), key
    status = logged.s3.get_bucket_logging(Bucket=logged.source)["LoggingEnabled"]
    assert status == {"TargetBucket": logged.target, "TargetPrefix": "p/", "TargetObjectKeyFormat": shape}


def test_lines_survive_a_crash_and_a_target_that_refuses(server):
    logged = Logged(server)
    # Nobody may put: lines wait as rows.
    logged.s3.delete_bucket_policy(Bucket=logged.target)
    put = logged.s3.put_object(Bucket=logged.source, Key="k", Body=b"x")
    access = server.access()

    def failures():
        with urllib.request.urlopen(f"{access.http}/_strongroom/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return sum(float(it) for it in re.findall(r"^strongroom_access_log_failures_total (\S+)", text, re.M))

    poll(lambda: failures() >= 2, 60)
    server.kill()
    server.start()
    logged.clients = Clients(server.access())
    logged.s3 = logged.clients.boto("https")
    logged.allow()
    assert logged.line(put)["key"] == "k"


def test_targets_are_checked(server):
    s3 = Clients(server.access()).boto()
    source, target = new_bucket(s3), new_bucket(s3)

    def put(bucket, **more):
        return dict(Bucket=source, BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "x", **more}})

    for bucket in ("no-such-bucket-anywhere", target):
        assert refused(s3.put_bucket_logging, **put(bucket)).code == "InvalidTargetBucketForLogging"
    # The text says what helps.
    assert "policy of the target bucket must allow logging.s3.amazonaws.com" in refused(s3.put_bucket_logging, **put(target)).message
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=source)
    # A new bucket takes no lists.
    assert refused(s3.put_bucket_logging, **put(target, TargetGrants=GRANTS)).code == "AccessControlListNotSupported"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=source)
    assert refused(s3.put_bucket_logging, Bucket="no-such-bucket-anywhere", BucketLoggingStatus={}).code == "NoSuchBucket"


def test_grants_are_on_every_log_object_while_the_target_takes_lists(server):
    clients = Clients(server.access())
    s3 = clients.boto("https")
    own = s3.list_buckets()["Owner"]["ID"]
    logged = Logged(server, "g/")
    s3, target = logged.s3, logged.target
    s3.put_bucket_ownership_controls(Bucket=target, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    status = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "h/", "TargetGrants": GRANTS}}
    logged.prefix = "h/"
    logged.allow()
    # s3:PutObject is all that the log's service needs; whoever denies lists denies its lists.
    policy = json.loads(s3.get_bucket_policy(Bucket=target)["Policy"])
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectAcl", "Resource": f"arn:aws:s3:::{target}/*"}
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps(policy | {"Statement": [*policy["Statement"], denial]}))
    assert refused(s3.put_bucket_logging, Bucket=logged.source, BucketLoggingStatus=status).code == "AccessDenied"
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps(policy))
    s3.put_bucket_logging(Bucket=logged.source, BucketLoggingStatus=status)
    assert s3.get_bucket_logging(Bucket=logged.source)["LoggingEnabled"]["TargetGrants"] == GRANTS

    def delivered():
        s3.head_bucket(Bucket=logged.source)
        return {key for key in logged.objects() if key.startswith("h/")}

    first = poll(delivered, 60, 0.3)
    acl = s3.get_object_acl(Bucket=target, Key=min(first))
    assert {(it["Grantee"].get("ID", it["Grantee"].get("URI")), it["Permission"]) for it in acl["Grants"]} == {
        (own, "FULL_CONTROL"), (GRANTS[0]["Grantee"]["URI"], "READ")}
    # Lists count no more: the log goes on without.
    s3.put_bucket_ownership_controls(Bucket=target, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    before = delivered()
    poll(lambda: delivered() - before, 60, 0.3)


def test_the_aws_cli(server, tmp_path):
    logged = Logged(server, "cli/")
    env = logged.clients.env(tmp_path)

    def aws(*args):
        done = subprocess.run([tool("aws"), *args], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = json.loads(aws("s3api", "get-bucket-logging", "--bucket", logged.source))
    assert shown["LoggingEnabled"] == {"TargetBucket": logged.target, "TargetPrefix": "cli/"}
    status = {"LoggingEnabled": {"TargetBucket": logged.target, "TargetPrefix": "cli/other/"}}
    aws("s3api", "put-bucket-logging", "--bucket", logged.source, "--bucket-logging-status", json.dumps(status))
    assert "cli/other/" in aws("s3api", "get-bucket-logging", "--bucket", logged.source)
    aws("s3api", "put-bucket-logging", "--bucket", logged.source, "--bucket-logging-status", "{}")
    assert aws("s3api", "get-bucket-logging", "--bucket", logged.source).strip() in ("", "{}")
