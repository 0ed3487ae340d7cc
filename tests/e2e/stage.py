"""How a row of docs/authorization.md is called, and what its calls are done to."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

from callers import allow, document, fresh
from conftest import ROOT

DOCUMENT = ROOT / "docs" / "authorization.md"
READ = document(allow("s3:GetObject"))
AWS = "arn:aws:iam::aws:policy/"
CONTEXT = {"purpose": "table"}


@dataclass
class Row:
    """A row of the document: the rights that an operation needs."""

    service: str
    name: str
    actions: list
    on: str


def rows():
    """Every row, by (service, name)."""
    found, service = {}, None
    for line in DOCUMENT.read_text().splitlines():
        if heading := re.match(r"## (S3|KMS|IAM|STS|CloudTrail)$", line):
            service = heading[1].lower()
        elif line.startswith("## "):
            service = None
        elif service and (cells := re.match(r"\| `(\w+)`([^|]*) \| ([^|]*) \| ([^|]*) \|", line)):
            name = (cells[1] + cells[2]).strip()
            assert (service, name) not in found, name
            found[service, name] = Row(service, name, re.findall(r"`([a-z0-9]+:\w+)`", cells[3]), cells[4].strip())
    return found


@dataclass
class Op:
    """How a row's call is made."""

    call: str | Callable
    prepare: Callable = lambda stage: {}
    # Whose policies have a say beside those of the caller's identity: "bucket", "key", "bucket key" or "trust".
    by: str | None = None
    # Whether such a policy is enough by itself.
    alone: bool = True
    # Answers of an allowed call that are not success.
    fine: tuple = ()
    # Gives what the call could change; none for calls that only read.
    state: Callable | None = None
    # Whether role sessions can do it at all.
    sessions: bool = True
    # The operations of a grant that allows it.
    grant: tuple = ()


class Stage:
    """What the calls of one row are done to, made by the root user when it is needed."""

    def __init__(self, account):
        self.account = account

    s3 = property(lambda self: self.account.s3)
    kms = property(lambda self: self.account.kms)
    iam = property(lambda self: self.account.iam)
    cloudtrail = property(lambda self: self.account.cloudtrail)

    @cached_property
    def bucket(self):
        return self.account.bucket()

    @property
    def canonical_id(self):
        return self.s3.list_buckets()["Owner"]["ID"]

    @cached_property
    def key(self):
        return self.account.key()

    def of_spec(self, spec, usage):
        return self.account.key(KeySpec=spec, KeyUsage=usage)

    @cached_property
    def signing(self):
        return self.of_spec("ECC_NIST_P256", "SIGN_VERIFY")

    @cached_property
    def agreeing(self):
        return self.of_spec("ECC_NIST_P256", "KEY_AGREEMENT")

    @cached_property
    def mac(self):
        return self.of_spec("HMAC_256", "GENERATE_VERIFY_MAC")

    def sse(self, bucket_key=False):
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, "BucketKeyEnabled": bucket_key}

    def object(self, **sent):
        """Bucket and key of a new object with a tag."""
        at = {"Bucket": self.bucket, "Key": fresh("o-")}
        self.version = self.s3.put_object(**at, Body=b"content", Tagging="a=b", ChecksumAlgorithm="SHA256",
                                          **sent)["VersionId"]
        return at

    def untagged(self, **sent):
        """A new object without tags; its ETag is kept."""
        at = {"Bucket": self.bucket, "Key": fresh("o-")}
        self.etag = self.s3.put_object(**at, Body=b"content", **sent)["ETag"]
        return at

    def upload(self, parts=0, **sent):
        """A multipart upload; its last part's ETag is kept."""
        at = {"Bucket": self.bucket, "Key": fresh("m-")}
        at["UploadId"] = self.s3.create_multipart_upload(**at, **sent)["UploadId"]
        for number in range(1, parts + 1):
            self.etag = self.s3.upload_part(**at, PartNumber=number, Body=b"part")["ETag"]
        return at

    def user(self, **more):
        name = fresh("t-")
        self.iam.create_user(UserName=name, **more)
        return {"UserName": name}

    def group(self):
        name = fresh("t-")
        self.iam.create_group(GroupName=name)
        return {"GroupName": name}

    def role(self):
        name = fresh("t-")
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=self.account.trust(self.account.id))
        return {"RoleName": name}

    def policy(self):
        made = self.iam.create_policy(PolicyName=fresh("t-"), PolicyDocument=READ)["Policy"]
        return {"PolicyArn": made["Arn"]}


def plain(answer):
    """An answer without what differs each time."""
    if answer.fine:
        return json.dumps({k: v for k, v in answer.answer.items() if k != "ResponseMetadata"}, default=str, sort_keys=True)
    return answer.code
