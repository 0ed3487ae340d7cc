"""The bucket policies of AWS's guides about encryption, and what each does with every kind of write.

Policies see the request as it was sent: a bucket's default is not a header.
"""

import pytest

from callers import Account, Callers, TimedServer, deny, told
from conftest import common_server

SSE = "s3:x-amz-server-side-encryption"
KEY_ID = SSE + "-aws-kms-key-id"
CUSTOMER = SSE + "-customer-algorithm"
DENIED = (403, "AccessDenied")


@pytest.fixture(scope="module")
def world(request):
    with common_server(request, "examples", kind=TimedServer) as server:
        yield World(server)


class World:
    def __init__(self, server):
        self.callers = Callers(server.access())
        self.account = account = Account(self.callers)
        self.user = account.user({"Effect": "Allow", "Action": "*", "Resource": "*"})
        self.key, self.other = account.key(), account.key()
        self.buckets = {default: account.bucket() for default in ("none", "AES256", "aws:kms")}
        for default in ("AES256", "aws:kms"):
            account.s3.put_bucket_encryption(Bucket=self.buckets[default], ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": default}}]})
        self.writes = {
            "nothing": {}, "AES256": {"ServerSideEncryption": "AES256"},
            "aws:kms": {"ServerSideEncryption": "aws:kms"},
            "aws:kms, key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key},
            "aws:kms, key by id": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key.rpartition("/")[2]},
            "aws:kms, other key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.other},
            "aws:kms:dsse, key": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": self.key},
            "SSE-C": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(32)},
        }


KMS = ["aws:kms", "aws:kms, key", "aws:kms, key by id", "aws:kms, other key"]
# The policy's conditions (each a statement that denies PutObject), and the writes that it lets through.
EXAMPLES = {
    "SSE-KMS demanded": (lambda w: [{"StringNotEquals": {SSE: "aws:kms"}}], KMS),
    "SSE-KMS demanded, in two statements": (
        lambda w: [{"StringNotEquals": {SSE: "aws:kms"}}, {"Null": {SSE: "true"}}], KMS),
    "SSE-KMS demanded of those who say something": (
        lambda w: [{"StringNotEquals": {SSE: "aws:kms"}, "Null": {SSE: "false"}}], ["nothing", "SSE-C", *KMS]),
    "a negation with IfExists": (lambda w: [{"StringNotEqualsIfExists": {SSE: "aws:kms"}}], KMS),
    "any header demanded": (lambda w: [{"Null": {SSE: "true"}}], ["AES256", *KMS, "aws:kms:dsse, key"]),
    "AES256 demanded": (lambda w: [{"StringNotEquals": {SSE: "AES256"}}], ["AES256"]),
    "AES256 forbidden": (lambda w: [{"StringEquals": {SSE: "AES256"}}],
                         ["nothing", *KMS, "aws:kms:dsse, key", "SSE-C"]),
    "one of two": (lambda w: [{"StringNotEquals": {SSE: ["aws:kms", "aws:kms:dsse"]}}], [*KMS, "aws:kms:dsse, key"]),
    "a key demanded": (lambda w: [{"StringNotEquals": {KEY_ID: w.key}}],
                       ["aws:kms, key", "aws:kms, key by id", "aws:kms:dsse, key"]),
    "a key demanded, by ARN": (lambda w: [{"ArnNotEquals": {KEY_ID: w.key}}],
                               ["aws:kms, key", "aws:kms, key by id", "aws:kms:dsse, key"]),
    "SSE-C demanded": (lambda w: [{"Null": {CUSTOMER: "true"}}], ["SSE-C"]),
    "SSE-C forbidden": (lambda w: [{"Null": {CUSTOMER: "false"}}],
                        ["nothing", "AES256", *KMS, "aws:kms:dsse, key"]),
}


@pytest.mark.parametrize("default", ["none", "AES256", "aws:kms"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(world, example, default):
    conditions, passes = EXAMPLES[example]
    bucket, account = world.buckets[default], world.account
    account.bucket_policy(bucket, *[deny("s3:PutObject", f"arn:aws:s3:::{bucket}/*", Principal="*", Condition=condition)
                                    for condition in conditions(world)])
    seen, uploads = [], []
    for name, sent in world.writes.items():
        s3 = world.callers.of(world.user, "s3")
        answer = told(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sent))
        assert answer.fine or answer.short == DENIED, (name, answer)
        seen += [name] if answer.fine else []
        # The steps of an upload are decided by what it was begun with.
        made = told(lambda: s3.create_multipart_upload(Bucket=bucket, Key="m", **sent))
        assert made.fine or made.short == DENIED, (name, made)
        uploads += [name] if made.fine else []
        if made.fine:
            at = {"Bucket": bucket, "Key": "m", "UploadId": made.answer["UploadId"]}
            customer = {k: v for k, v in sent.items() if k.startswith("SSECustomer")}
            part = s3.upload_part(**at, PartNumber=1, Body=b"x", **customer)
            s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
                                         **customer)
    assert seen == [name for name in world.writes if name in passes]
    assert uploads == seen


def test_what_is_wrong_is_denied_before_it_is_wrong(world):
    """Policies come before the meaning of headers: an unknown algorithm or key is 403 where the policy denies it."""
    bucket = world.buckets["none"]
    world.account.bucket_policy(bucket, deny("s3:PutObject", f"arn:aws:s3:::{bucket}/*", Principal="*",
                                             Condition={"StringNotEquals": {SSE: "AES256"}}))
    raw = world.callers.raw(world.user)
    head = "x-amz-server-side-encryption"
    for headers in ({head: "AES192"}, {head: "aws:kms", head + "-aws-kms-key-id": "no such key"},
                    {head + "-customer-algorithm": "AES192"}, {head + "-customer-algorithm": "AES256"}):
        reply = raw.send("PUT", f"/{bucket}/k", headers=headers, body=b"x")
        assert (reply.status, reply.code) == DENIED, (headers, reply)


@pytest.mark.parametrize("example,http,https", [
    ({"Bool": {"aws:SecureTransport": "false"}}, False, True),
    # Without TLS there is no version of it: the guide's policy alone lets plain HTTP through.
    ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, True, True),
    ({"NumericLessThan": {"s3:TlsVersion": "1.4"}}, True, False),
    ({"NumericLessThanIfExists": {"s3:TlsVersion": "1.2"}}, False, True),
], ids=["TLS", "version", "version too high", "version if exists"])
def test_transport(world, example, http, https):
    bucket = world.buckets["none"]
    world.account.bucket_policy(bucket, deny("s3:*", Principal={"AWS": world.user.arn}, Condition=example))
    for scheme, expected in (("http", http), ("https", https)):
        answer = told(lambda: world.callers.of(world.user, "s3", scheme).list_objects_v2(Bucket=bucket))
        assert answer.short == ((200, None) if expected else DENIED), scheme
