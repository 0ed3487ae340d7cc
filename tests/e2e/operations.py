"""One valid call of every operation of every service, with what it needs; the rows are those of docs/authorization.md.

`prepare` makes what the call is done to and gives its arguments; a call may be made once with them. `state` shows what
a call could change, and must not have changed when it was refused.
"""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from callers import allow, document, fresh, post_object, told
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


# What is there, for comparison.

CONFIGURATIONS = ["get_bucket_versioning", "get_bucket_encryption", "get_bucket_tagging", "get_bucket_policy",
                  "get_bucket_acl", "get_bucket_ownership_controls", "get_public_access_block"]


def plain(answer):
    """An answer without what differs each time."""
    if answer.fine:
        return json.dumps({k: v for k, v in answer.answer.items() if k != "ResponseMetadata"}, default=str, sort_keys=True)
    return answer.code


def s3_state(stage, args):
    s3, found = stage.s3, {}
    bucket = args.get("Bucket", "")
    found["buckets"] = bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    if not found["buckets"]:
        return found
    versions = s3.list_object_versions(Bucket=bucket)
    for kind in ("Versions", "DeleteMarkers"):
        found[kind] = [(v["Key"], v["VersionId"], v.get("ETag")) for v in versions.get(kind, [])]
    found["uploads"] = [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    if "UploadId" in args:
        parts = told(lambda: s3.list_parts(**{k: args[k] for k in ("Bucket", "Key", "UploadId")}))
        found["parts"] = plain(parts)
    if "Key" in args and any(key == args["Key"] for key, *_ in found["Versions"]):
        found["tags"] = plain(told(lambda: s3.get_object_tagging(Bucket=bucket, Key=args["Key"])))
        found["acl"] = plain(told(lambda: s3.get_object_acl(Bucket=bucket, Key=args["Key"])))
        head = told(lambda: s3.head_object(Bucket=bucket, Key=args["Key"]))
        found["head"] = head.answer.get("SSEKMSKeyId") if head.fine else head.code
    for name in CONFIGURATIONS:
        found[name] = plain(told(lambda: getattr(s3, name)(Bucket=bucket)))
    return found


def key_of(stage, args):
    return args.get("KeyId") or args.get("TargetKeyId") or stage.key


def kms_state(stage, args):
    kms, key = stage.kms, key_of(stage, args)
    keys = [k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
            for k in page["Keys"]]
    aliases = [(a["AliasName"], a.get("TargetKeyId"))
               for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 100})
               for a in page["Aliases"]]
    calls = [kms.describe_key, kms.get_key_policy, kms.list_grants, kms.list_resource_tags, kms.get_key_rotation_status]
    return keys, aliases, [plain(told(lambda: call(KeyId=key))) for call in calls]


def iam_state(stage, args):
    """What is of the table's making: the identities of the callers change all the time."""
    iam, found = stage.iam, {}
    pages = iam.get_paginator("get_account_authorization_details").paginate(
        Filter=["User", "Group", "Role", "LocalManagedPolicy"], PaginationConfig={"PageSize": 1000})
    for page in pages:
        for kind, name in (("UserDetailList", "UserName"), ("GroupDetailList", "GroupName"),
                           ("RoleDetailList", "RoleName"), ("Policies", "PolicyName")):
            for entity in page.get(kind, []):
                if entity[name].startswith("t-"):
                    found[kind, entity[name]] = json.dumps(entity, default=str, sort_keys=True)
    if "UserName" in args:
        found["keys"] = plain(told(lambda: iam.list_access_keys(UserName=args["UserName"])))
    return found


# S3.

def bucket(stage):
    return {"Bucket": stage.bucket}


def with_sse(stage, **more):
    return {**stage.object(**stage.sse()), **more}


def new_name(stage):
    where = {} if stage.s3.meta.region_name == "us-east-1" else {
        "CreateBucketConfiguration": {"LocationConstraint": stage.s3.meta.region_name}}
    return {"Bucket": fresh("n-"), **where}


def copy(stage, *, sse=False, tagged=False):
    source = (stage.object if tagged else stage.untagged)(**(stage.sse() if sse else {}))
    return {"Bucket": stage.bucket, "Key": fresh("c-"), "CopySource": source, **(stage.sse() if sse else {})}


def part_copy(stage, *, sse=False):
    return {**stage.upload(**(stage.sse() if sse else {})), "PartNumber": 1,
            "CopySource": stage.untagged(**(stage.sse() if sse else {}))}


def versioned(stage, source=False):
    at = stage.untagged()
    at["VersionId"] = stage.s3.head_object(**at)["VersionId"]
    return {"Bucket": stage.bucket, "Key": fresh("c-"), "CopySource": at} if source else at


def part_copy_of_version(stage):
    at = versioned(stage)
    return {**stage.upload(), "PartNumber": 1, "CopySource": at}


def complete(stage, **sent):
    at = stage.upload(1, **sent)
    return {**at, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": stage.etag}]}}


def delete_objects(world, actor, args):
    answer = world.callers.of(actor, "s3").delete_objects(**args)
    for error in answer.get("Errors", []):
        raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}, "DeleteObjects")
    return answer


def post(world, actor, args):
    return post_object(world.callers.access, actor, world.callers.of(actor, "s3"), args["Bucket"], args["Key"])


def owned(stage, ownership="BucketOwnerPreferred"):
    """A bucket with ACLs."""
    name = stage.account.bucket(versioned=False)
    stage.s3.put_bucket_ownership_controls(Bucket=name,
                                           OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]})
    return {"Bucket": name}


def owned_object(stage):
    at = {**owned(stage), "Key": "k"}
    stage.s3.put_object(**at, Body=b"content")
    return at


def of_version(prepare):
    def made(stage):
        at = stage.object()
        return {**at, "VersionId": stage.version, **prepare}
    return made


def reads(call, prepare=bucket, **more):
    return Op(call, prepare, "bucket", **more)


def writes(call, prepare=bucket, by="bucket", **more):
    return Op(call, prepare, by, state=s3_state, **more)


TAGS = {"TagSet": [{"Key": "k", "Value": "v"}]}
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
ATTRIBUTES = {"ObjectAttributes": ["ETag", "ObjectSize", "Checksum"]}


def attributes(stage, **sent):
    return {**stage.object(**sent), **ATTRIBUTES}


def harmless_policy(stage):
    statement = {**allow("s3:ListBucket", f"arn:aws:s3:::{stage.bucket}"),
                 "Principal": {"AWS": f"arn:aws:iam::{stage.account.id}:root"}}
    return {"Bucket": stage.bucket, "Policy": document(statement)}


def unset(call, *codes, **more):
    """A configuration that was never made."""
    return reads(call, lambda s: {"Bucket": s.bucket, **more}, fine=codes)


S3 = {
    "ListBuckets": Op("list_buckets"),
    "CreateBucket": Op("create_bucket", new_name, state=s3_state),
    # A canned ACL of `private` says nothing and asks nothing.
    "CreateBucket with an ACL": Op("create_bucket", lambda s: {
        **new_name(s), "ObjectOwnership": "BucketOwnerPreferred", "GrantRead": f"id={s.canonical_id}"}, state=s3_state),
    "CreateBucket with object ownership": Op(
        "create_bucket", lambda s: {**new_name(s), "ObjectOwnership": "BucketOwnerPreferred"}, state=s3_state),
    "HeadBucket": reads("head_bucket"),
    "DeleteBucket": writes("delete_bucket", lambda s: {"Bucket": s.account.bucket(versioned=False)}),
    "GetBucketLocation": reads("get_bucket_location"),
    "GetBucketVersioning": reads("get_bucket_versioning"),
    "PutBucketVersioning": writes("put_bucket_versioning",
                                  lambda s: {"Bucket": s.bucket, "VersioningConfiguration": {"Status": "Suspended"}}),
    "GetBucketEncryption": reads("get_bucket_encryption"),
    "PutBucketEncryption": writes("put_bucket_encryption", lambda s: {
        "Bucket": s.bucket, "ServerSideEncryptionConfiguration": {"Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}}),
    "DeleteBucketEncryption": writes("delete_bucket_encryption"),
    "GetBucketTagging": reads("get_bucket_tagging", fine=("NoSuchTagSet",)),
    "PutBucketTagging": writes("put_bucket_tagging", lambda s: {"Bucket": s.bucket, "Tagging": TAGS}),
    "DeleteBucketTagging": writes("delete_bucket_tagging"),
    "PutBucketAcl": writes("put_bucket_acl", lambda s: {**owned(s), "ACL": "private"}),
    "GetBucketAcl": reads("get_bucket_acl"),
    "GetBucketPolicy": reads("get_bucket_policy", fine=("NoSuchBucketPolicy",)),
    # Who has the right by the policy that it replaces would have it no more.
    "PutBucketPolicy": writes("put_bucket_policy", harmless_policy, fine=("MalformedPolicy",)),
    "DeleteBucketPolicy": writes("delete_bucket_policy"),
    "GetBucketPolicyStatus": reads("get_bucket_policy_status", fine=("NoSuchBucketPolicy",)),
    "GetPublicAccessBlock": reads("get_public_access_block", fine=("NoSuchPublicAccessBlockConfiguration",)),
    "PutPublicAccessBlock": writes("put_public_access_block", lambda s: {
        "Bucket": s.bucket, "PublicAccessBlockConfiguration": {**BLOCK, "BlockPublicAcls": False}}),
    "DeletePublicAccessBlock": writes("delete_public_access_block"),
    "GetBucketOwnershipControls": reads("get_bucket_ownership_controls", fine=("OwnershipControlsNotFoundError",)),
    "PutBucketOwnershipControls": writes("put_bucket_ownership_controls", lambda s: {
        "Bucket": s.bucket, "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}),
    "DeleteBucketOwnershipControls": writes("delete_bucket_ownership_controls"),
    "GetBucketCors": unset("get_bucket_cors", "NoSuchCORSConfiguration"),
    "GetBucketWebsite": unset("get_bucket_website", "NoSuchWebsiteConfiguration"),
    "GetBucketLifecycleConfiguration": unset("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    "GetBucketReplication": unset("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
    "GetObjectLockConfiguration": unset("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    "GetBucketLogging": unset("get_bucket_logging"),
    "PutBucketLogging": writes("put_bucket_logging", lambda s: {"Bucket": s.bucket, "BucketLoggingStatus": {}}),
    "GetBucketAccelerateConfiguration": unset("get_bucket_accelerate_configuration"),
    "GetBucketNotificationConfiguration": unset("get_bucket_notification_configuration"),
    "GetBucketRequestPayment": unset("get_bucket_request_payment"),
    "GetBucketInventoryConfiguration": unset("get_bucket_inventory_configuration", "NoSuchConfiguration", Id="i"),
    "ListBucketInventoryConfigurations": unset("list_bucket_inventory_configurations"),
    "GetBucketAnalyticsConfiguration": unset("get_bucket_analytics_configuration", "NoSuchConfiguration", Id="i"),
    "ListBucketAnalyticsConfigurations": unset("list_bucket_analytics_configurations"),
    "GetBucketMetricsConfiguration": unset("get_bucket_metrics_configuration", "NoSuchConfiguration", Id="i"),
    "ListBucketMetricsConfigurations": unset("list_bucket_metrics_configurations"),
    "GetBucketIntelligentTieringConfiguration": unset("get_bucket_intelligent_tiering_configuration",
                                                      "NoSuchConfiguration", Id="i"),
    "ListBucketIntelligentTieringConfigurations": unset("list_bucket_intelligent_tiering_configurations"),
    "DeleteBucketCors": writes("delete_bucket_cors"),
    "DeleteBucketWebsite": writes("delete_bucket_website"),
    "DeleteBucketLifecycle": writes("delete_bucket_lifecycle"),
    "DeleteBucketReplication": writes("delete_bucket_replication"),
    "ListObjectVersions": reads("list_object_versions"),
    "ListMultipartUploads": reads("list_multipart_uploads"),
    "ListObjectsV2": reads("list_objects_v2"),
    "ListObjects": reads("list_objects"),
    "DeleteObjects": writes(delete_objects, lambda s: {
        "Bucket": s.bucket, "Delete": {"Objects": [{"Key": s.untagged()["Key"]}]}}),
    "DeleteObjects with a version id": writes(delete_objects, lambda s: {
        "Bucket": s.bucket, "Delete": {"Objects": [{k: v for k, v in versioned(s).items() if k != "Bucket"}]}}),
    "DeleteObjects with an ETag": writes(delete_objects, lambda s: {
        "Bucket": s.bucket, "Delete": {"Objects": [{"Key": s.untagged()["Key"], "ETag": s.etag}]}}),
    "PostObject": writes(post, lambda s: {"Bucket": s.bucket, "Key": fresh("f-")}),
    "CreateMultipartUpload": writes("create_multipart_upload", lambda s: {"Bucket": s.bucket, "Key": fresh("m-")}),
    "CreateMultipartUpload with tags": writes(
        "create_multipart_upload", lambda s: {"Bucket": s.bucket, "Key": fresh("m-"), "Tagging": "a=b"}),
    "CreateMultipartUpload with SSE-KMS": writes(
        "create_multipart_upload", lambda s: {"Bucket": s.bucket, "Key": fresh("m-"), **s.sse()}, "bucket key"),
    "UploadPart": writes("upload_part", lambda s: {**s.upload(), "PartNumber": 1, "Body": b"x"}),
    "UploadPart with SSE-KMS": writes("upload_part", lambda s: {**s.upload(**s.sse()), "PartNumber": 1, "Body": b"x"},
                                      "bucket key"),
    "UploadPartCopy": writes("upload_part_copy", part_copy),
    "UploadPartCopy with a source's version id": writes("upload_part_copy", part_copy_of_version),
    "UploadPartCopy with SSE-KMS": writes("upload_part_copy", lambda s: part_copy(s, sse=True), "bucket key"),
    "CompleteMultipartUpload": writes("complete_multipart_upload", complete),
    "CompleteMultipartUpload with SSE-KMS": writes("complete_multipart_upload", lambda s: complete(s, **s.sse()),
                                                   "bucket key"),
    "AbortMultipartUpload": writes("abort_multipart_upload", lambda s: s.upload()),
    "ListParts": reads("list_parts", lambda s: s.upload()),
    "ListParts with SSE-KMS": Op("list_parts", lambda s: s.upload(1, **s.sse()), "bucket key"),
    "GetObjectAttributes": reads("get_object_attributes", attributes),
    "GetObjectAttributes with a version id": reads("get_object_attributes", of_version(ATTRIBUTES)),
    "GetObjectAttributes with SSE-KMS": Op("get_object_attributes", lambda s: attributes(s, **s.sse()), "bucket key"),
    "GetObjectTagging": reads("get_object_tagging", Stage.object),
    "GetObjectTagging with a version id": reads("get_object_tagging", of_version({})),
    "PutObjectTagging": writes("put_object_tagging", lambda s: {**s.object(), "Tagging": TAGS}),
    "PutObjectTagging with a version id": writes("put_object_tagging", of_version({"Tagging": TAGS})),
    "DeleteObjectTagging": writes("delete_object_tagging", Stage.object),
    "DeleteObjectTagging with a version id": writes("delete_object_tagging", of_version({})),
    "UpdateObjectEncryption": writes("update_object_encryption", lambda s: {
        **s.untagged(), "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": s.key}}}, "bucket key"),
    "UpdateObjectEncryption of an SSE-KMS object": writes("update_object_encryption", lambda s: {
        **s.untagged(**s.sse()), "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": s.key, "BucketKeyEnabled": True}}},
        "bucket key"),
    "GetObjectAcl": reads("get_object_acl", Stage.object),
    "GetObjectAcl with a version id": reads("get_object_acl", of_version({})),
    "PutObjectAcl": writes("put_object_acl", lambda s: {**owned_object(s), "ACL": "private"}),
    "GetObjectLegalHold": reads("get_object_legal_hold", Stage.object,
                                fine=("NoSuchObjectLockConfiguration", "InvalidRequest")),
    "GetObjectRetention": reads("get_object_retention", Stage.object,
                                fine=("NoSuchObjectLockConfiguration", "InvalidRequest")),
    "CopyObject": writes("copy_object", copy),
    "CopyObject of a tagged object": writes("copy_object", lambda s: copy(s, tagged=True)),
    "CopyObject with a source's version id": writes("copy_object", lambda s: versioned(s, source=True)),
    "CopyObject with SSE-KMS": writes("copy_object", lambda s: copy(s, sse=True), "bucket key"),
    "PutObject": writes("put_object", lambda s: {"Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x"}),
    "PutObject with tags": writes(
        "put_object", lambda s: {"Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x", "Tagging": "a=b"}),
    "PutObject with an ETag": writes("put_object", lambda s: {**s.untagged(), "IfMatch": s.etag, "Body": b"x"}),
    "PutObject with an ACL": writes(
        "put_object", lambda s: {**owned(s), "Key": fresh("o-"), "Body": b"x", "ACL": "private"}),
    "PutObject with SSE-C": writes("put_object", lambda s: {
        "Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x", "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": bytes(32)}),
    "PutObject with SSE-KMS": writes(
        "put_object", lambda s: {"Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x", **s.sse()}, "bucket key"),
    "PutObject with SSE-KMS and a bucket key": writes(
        "put_object", lambda s: {"Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x", **s.sse(True)}, "bucket key"),
    "PutObject with DSSE-KMS": writes("put_object", lambda s: {
        "Bucket": s.bucket, "Key": fresh("o-"), "Body": b"x", "ServerSideEncryption": "aws:kms:dsse",
        "SSEKMSKeyId": s.key}, "bucket key"),
    "GetObject": reads("get_object", Stage.object),
    "GetObject with a version id": reads("get_object", of_version({})),
    "GetObject with SSE-KMS": Op("get_object", with_sse, "bucket key"),
    "GetObject with SSE-KMS and a bucket key": Op("get_object", lambda s: s.object(**s.sse(True)), "bucket key"),
    "HeadObject": reads("head_object", Stage.object),
    "HeadObject with a version id": reads("head_object", of_version({})),
    "HeadObject with SSE-KMS": reads("head_object", with_sse),
    "HeadObject with SSE-KMS and checksum mode": Op("head_object", lambda s: with_sse(s, ChecksumMode="ENABLED"),
                                                    "bucket key"),
    "DeleteObject": writes("delete_object", Stage.object),
    "DeleteObject with a version id": writes("delete_object", of_version({})),
    "DeleteObject with an ETag": writes("delete_object", lambda s: {**s.untagged(), "IfMatch": s.etag}),
}


# KMS.

def on_key(call, by="key", **more):
    """On the stage's symmetric key."""
    def prepare(stage):
        return {"KeyId": stage.key, **{k: v(stage) if callable(v) else v for k, v in more.items()}}
    return call, prepare, by


def changed_key(*calls, **members):
    """A key of its own that root's `calls` brought into the state that the operation expects."""
    def prepare(stage):
        key = stage.account.key(**members)
        for call, arguments in calls:
            getattr(stage.kms, call)(KeyId=key, **arguments)
        return {"KeyId": key}
    return prepare


def plus(prepare, **more):
    return lambda stage: {**prepare(stage), **more}


def k_reads(call, prepare, by="key", **more):
    return Op(call, prepare, by, **more)


def k_writes(call, prepare, by="key", **more):
    return Op(call, prepare, by, state=kms_state, **more)


def the_key(**more):
    return lambda stage: {"KeyId": stage.key, **more}


def blob(stage):
    return stage.kms.encrypt(KeyId=stage.key, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]


def alias(stage):
    name = f"alias/{fresh('a-')}"
    stage.kms.create_alias(AliasName=name, TargetKeyId=stage.key)
    return name


def grant(stage):
    root = f"arn:aws:iam::{stage.account.id}:root"
    return stage.kms.create_grant(KeyId=stage.key, GranteePrincipal=root, Operations=["Decrypt"])["GrantId"]


def a_grant(stage):
    return {"KeyId": stage.key, "GrantId": grant(stage)}


def signature(stage):
    return stage.kms.sign(KeyId=stage.signing, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")["Signature"]


def mac(stage):
    return stage.kms.generate_mac(KeyId=stage.mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]


def external(stage):
    return {"KeyId": stage.account.key(Origin="EXTERNAL")}


def material(stage):
    key = external(stage)["KeyId"]
    got = stage.kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256",
                                              WrappingKeySpec="RSA_2048")
    padded = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = load_der_public_key(got["PublicKey"]).encrypt(os.urandom(32), padded)
    return {"KeyId": key, "ImportToken": got["ImportToken"], "EncryptedKeyMaterial": wrapped,
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def imported(stage):
    stage.kms.import_key_material(**(members := material(stage)))
    return {"KeyId": members["KeyId"]}


def own_policy(stage):
    statement = {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{stage.account.id}:root"}}
    return {"KeyId": stage.key, "PolicyName": "default", "Policy": document(statement)}


def re_encryption(stage):
    return {"CiphertextBlob": blob(stage), "SourceKeyId": stage.key, "SourceEncryptionContext": CONTEXT,
            "DestinationKeyId": stage.key}


PAIR = {"KeyPairSpec": "ECC_NIST_P256"}
DATA_KEY = {"KeySpec": "AES_256"}
WRAP = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
KMS = {
    "CreateKey": k_writes("create_key", lambda s: {}, None),
    "CreateKey with tags": k_writes("create_key", lambda s: {"Tags": [{"TagKey": "k", "TagValue": "v"}]}, None),
    "DescribeKey": k_reads("describe_key", the_key(), grant=("DescribeKey",)),
    "ListKeys": k_reads("list_keys", lambda s: {}, None),
    "EnableKey": k_writes("enable_key", changed_key(("disable_key", {}))),
    "DisableKey": k_writes("disable_key", changed_key()),
    "UpdateKeyDescription": k_writes("update_key_description", the_key(Description="changed")),
    "ScheduleKeyDeletion": k_writes("schedule_key_deletion", plus(changed_key(), PendingWindowInDays=7)),
    "CancelKeyDeletion": k_writes("cancel_key_deletion",
                                  changed_key(("schedule_key_deletion", {"PendingWindowInDays": 7}))),
    "GetKeyLastUsage": k_reads("get_key_last_usage", the_key()),
    "CreateAlias": k_writes("create_alias", lambda s: {"AliasName": f"alias/{fresh('a-')}", "TargetKeyId": s.key},
                            alone=False),
    "UpdateAlias": k_writes("update_alias", lambda s: {"AliasName": alias(s), "TargetKeyId": s.key}, alone=False),
    "DeleteAlias": k_writes("delete_alias", lambda s: {"AliasName": alias(s)}, alone=False),
    "ListAliases": k_reads("list_aliases", lambda s: {}, None),
    "ListAliases of a key": k_reads("list_aliases", the_key(), alone=False),
    # The same: a policy that takes the caller's own right away is refused by the lockout check.
    "PutKeyPolicy": k_writes("put_key_policy", own_policy, fine=("MalformedPolicyDocumentException",)),
    "GetKeyPolicy": k_reads("get_key_policy", the_key(PolicyName="default")),
    "ListKeyPolicies": k_reads("list_key_policies", the_key()),
    "TagResource": k_writes("tag_resource", the_key(Tags=[{"TagKey": "k", "TagValue": "v"}])),
    "UntagResource": k_writes("untag_resource", the_key(TagKeys=["k"])),
    "ListResourceTags": k_reads("list_resource_tags", the_key()),
    "Encrypt": k_reads("encrypt", the_key(Plaintext=b"x"), grant=("Encrypt",)),
    "Decrypt": k_reads("decrypt", lambda s: {"KeyId": s.key, "CiphertextBlob": blob(s), "EncryptionContext": CONTEXT},
                       grant=("Decrypt",)),
    "Decrypt without a key id": k_reads(
        "decrypt", lambda s: {"CiphertextBlob": blob(s), "EncryptionContext": CONTEXT}, grant=("Decrypt",)),
    "ReEncrypt": k_reads("re_encrypt", re_encryption, grant=("ReEncryptFrom", "ReEncryptTo")),
    "GenerateDataKey": k_reads("generate_data_key", the_key(**DATA_KEY), grant=("GenerateDataKey",)),
    "GenerateDataKeyWithoutPlaintext": k_reads("generate_data_key_without_plaintext", the_key(**DATA_KEY),
                                               grant=("GenerateDataKeyWithoutPlaintext",)),
    "GenerateDataKeyPair": k_reads("generate_data_key_pair", the_key(**PAIR), grant=("GenerateDataKeyPair",)),
    "GenerateDataKeyPairWithoutPlaintext": k_reads("generate_data_key_pair_without_plaintext", the_key(**PAIR),
                                                   grant=("GenerateDataKeyPairWithoutPlaintext",)),
    "GenerateRandom": k_reads("generate_random", lambda s: {"NumberOfBytes": 8}, None),
    "Sign": k_reads("sign", lambda s: {"KeyId": s.signing, "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"},
                    grant=("Sign",)),
    "Verify": k_reads("verify", lambda s: {"KeyId": s.signing, "Message": b"m", "Signature": signature(s),
                                           "SigningAlgorithm": "ECDSA_SHA_256"}, grant=("Verify",)),
    "GetPublicKey": k_reads("get_public_key", lambda s: {"KeyId": s.signing}, grant=("GetPublicKey",)),
    "GenerateMac": k_reads("generate_mac", lambda s: {"KeyId": s.mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"},
                           grant=("GenerateMac",)),
    "VerifyMac": k_reads("verify_mac", lambda s: {"KeyId": s.mac, "Message": b"m", "Mac": mac(s),
                                                  "MacAlgorithm": "HMAC_SHA_256"}, grant=("VerifyMac",)),
    "DeriveSharedSecret": k_reads("derive_shared_secret", lambda s: {
        "KeyId": s.agreeing, "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": s.kms.get_public_key(KeyId=s.agreeing)["PublicKey"]}, grant=("DeriveSharedSecret",)),
    "EnableKeyRotation": k_writes("enable_key_rotation", changed_key()),
    "DisableKeyRotation": k_writes("disable_key_rotation", changed_key(("enable_key_rotation", {}))),
    "GetKeyRotationStatus": k_reads("get_key_rotation_status", the_key()),
    "RotateKeyOnDemand": k_writes("rotate_key_on_demand", changed_key()),
    "ListKeyRotations": k_reads("list_key_rotations", the_key()),
    "GetParametersForImport": k_reads("get_parameters_for_import", lambda s: {**external(s), **WRAP}),
    "ImportKeyMaterial": k_writes("import_key_material", material),
    "DeleteImportedKeyMaterial": k_writes("delete_imported_key_material", imported),
    "CreateGrant": k_writes("create_grant", lambda s: {
        "KeyId": s.key, "GranteePrincipal": f"arn:aws:iam::{s.account.id}:root", "Operations": ["Decrypt"]},
        grant=("CreateGrant", "Decrypt")),
    "ListGrants": k_reads("list_grants", the_key()),
    "ListRetirableGrants": k_reads("list_retirable_grants",
                                   lambda s: {"RetiringPrincipal": f"arn:aws:iam::{s.account.id}:root"}, None),
    # A key policy can deny it, not allow it.
    "RetireGrant": k_writes("retire_grant", a_grant, alone=False),
    "RevokeGrant": k_writes("revoke_grant", a_grant),
}
# Operations that nobody may do, because this server does not have them.
UNSUPPORTED = {
    "ReplicateKey": ("replicate_key", {"KeyId": "0" * 8, "ReplicaRegion": "eu-west-1"}),
    "UpdatePrimaryRegion": ("update_primary_region", {"KeyId": "0" * 8, "PrimaryRegion": "eu-west-1"}),
    "CreateCustomKeyStore": ("create_custom_key_store", {"CustomKeyStoreName": "n"}),
    "DescribeCustomKeyStores": ("describe_custom_key_stores", {}),
    "UpdateCustomKeyStore": ("update_custom_key_store", {"CustomKeyStoreId": "n"}),
    "DeleteCustomKeyStore": ("delete_custom_key_store", {"CustomKeyStoreId": "n"}),
    "ConnectCustomKeyStore": ("connect_custom_key_store", {"CustomKeyStoreId": "n"}),
    "DisconnectCustomKeyStore": ("disconnect_custom_key_store", {"CustomKeyStoreId": "n"}),
}


# IAM.

def i_reads(call, prepare=lambda stage: {}, **more):
    return Op(call, prepare, **more)


def i_writes(call, prepare, **more):
    return Op(call, prepare, state=iam_state, **more)


def new(member, **more):
    return lambda stage: {member: fresh("t-"), **more}


def new_role(**more):
    return lambda stage: {"RoleName": fresh("t-"), "AssumeRolePolicyDocument": stage.account.trust(stage.account.id),
                          **more}


def holder(kind, *calls, **more):
    """A user, group or role that root's `calls` prepared."""
    def prepare(stage):
        args = getattr(stage, kind)()
        for call, arguments in calls:
            getattr(stage.iam, call)(**args, **arguments)
        return {**args, **more}
    return prepare


def inline(kind):
    return holder(kind, (f"put_{kind}_policy", {"PolicyName": "p", "PolicyDocument": READ}), PolicyName="p")


def attached(kind):
    arn = {"PolicyArn": AWS + "ReadOnlyAccess"}
    return holder(kind, (f"attach_{kind}_policy", arn), **arn)


def tagged(kind):
    return holder(kind, (f"tag_{kind}", {"Tags": [{"Key": "k", "Value": "v"}]}), TagKeys=["k"])


def bounded(kind):
    return holder(kind, (f"put_{kind}_permissions_boundary", {"PermissionsBoundary": AWS + "ReadOnlyAccess"}))


def with_key(**more):
    def prepare(stage):
        args = stage.user()
        return {**args, "AccessKeyId": stage.iam.create_access_key(**args)["AccessKey"]["AccessKeyId"], **more}
    return prepare


def with_version(stage):
    args = stage.policy()
    stage.iam.create_policy_version(**args, PolicyDocument=READ)
    return {**args, "VersionId": "v2"}


def member(stage):
    args = {**stage.group(), **stage.user()}
    stage.iam.add_user_to_group(**args)
    return args


I_TAGS = {"Tags": [{"Key": "k", "Value": "v"}]}
P_POLICY = {"PolicyName": "p", "PolicyDocument": READ}
BOUNDARY = {"PermissionsBoundary": AWS + "ReadOnlyAccess"}
IAM = {
    "AddUserToGroup": i_writes("add_user_to_group", lambda s: {**s.group(), **s.user()}),
    "CreateAccessKey": i_writes("create_access_key", Stage.user),
    "CreateGroup": i_writes("create_group", new("GroupName")),
    "CreatePolicy": i_writes("create_policy", new("PolicyName", PolicyDocument=READ)),
    "CreatePolicy with tags": i_writes("create_policy", new("PolicyName", PolicyDocument=READ, **I_TAGS)),
    "CreatePolicyVersion": i_writes("create_policy_version", lambda s: {**s.policy(), "PolicyDocument": READ}),
    "CreateRole": i_writes("create_role", new_role()),
    "CreateRole with tags": i_writes("create_role", new_role(**I_TAGS)),
    "CreateUser": i_writes("create_user", new("UserName")),
    "CreateUser with tags": i_writes("create_user", new("UserName", **I_TAGS)),
    "DeleteAccessKey": i_writes("delete_access_key", with_key()),
    "DeleteGroup": i_writes("delete_group", Stage.group),
    "DeletePolicy": i_writes("delete_policy", Stage.policy),
    "DeletePolicyVersion": i_writes("delete_policy_version", with_version),
    "DeleteRole": i_writes("delete_role", Stage.role),
    "DeleteRolePermissionsBoundary": i_writes("delete_role_permissions_boundary", bounded("role")),
    "DeleteUser": i_writes("delete_user", Stage.user),
    "DeleteUserPermissionsBoundary": i_writes("delete_user_permissions_boundary", bounded("user")),
    "GetAccessKeyLastUsed": i_reads("get_access_key_last_used",
                                    lambda s: {"AccessKeyId": with_key()(s)["AccessKeyId"]}),
    "GetAccountAuthorizationDetails": i_reads("get_account_authorization_details"),
    "GetAccountSummary": i_reads("get_account_summary"),
    "GetGroup": i_reads("get_group", Stage.group),
    "GetPolicy": i_reads("get_policy", Stage.policy),
    "GetPolicyVersion": i_reads("get_policy_version", with_version),
    "GetRole": i_reads("get_role", Stage.role),
    "GetUser": i_reads("get_user", Stage.user),
    "ListAccessKeys": i_reads("list_access_keys", Stage.user),
    "ListEntitiesForPolicy": i_reads("list_entities_for_policy", Stage.policy),
    "ListGroups": i_reads("list_groups"),
    "ListGroupsForUser": i_reads("list_groups_for_user", Stage.user),
    "ListPolicies": i_reads("list_policies"),
    "ListPolicyVersions": i_reads("list_policy_versions", Stage.policy),
    "ListRoles": i_reads("list_roles"),
    "ListUsers": i_reads("list_users"),
    "PutRolePermissionsBoundary": i_writes("put_role_permissions_boundary", holder("role", **BOUNDARY)),
    "PutUserPermissionsBoundary": i_writes("put_user_permissions_boundary", holder("user", **BOUNDARY)),
    "RemoveUserFromGroup": i_writes("remove_user_from_group", member),
    "SetDefaultPolicyVersion": i_writes("set_default_policy_version", with_version),
    "SimulateCustomPolicy": i_reads("simulate_custom_policy",
                                    lambda s: {"PolicyInputList": [READ], "ActionNames": ["s3:GetObject"]}),
    "SimulatePrincipalPolicy": i_reads("simulate_principal_policy", lambda s: {
        "PolicySourceArn": f"arn:aws:iam::{s.account.id}:user/{s.user()['UserName']}",
        "ActionNames": ["s3:GetObject"]}),
    "UpdateAccessKey": i_writes("update_access_key", with_key(Status="Inactive")),
    "UpdateAssumeRolePolicy": i_writes("update_assume_role_policy", lambda s: {
        **s.role(), "PolicyDocument": s.account.trust(s.account.root.arn)}),
    "UpdateGroup": i_writes("update_group", lambda s: {**s.group(), "NewGroupName": fresh("t-")}),
    "UpdateRole": i_writes("update_role", holder("role", Description="changed")),
    "UpdateUser": i_writes("update_user", lambda s: {**s.user(), "NewUserName": fresh("t-")}),
}
for kind in ("Group", "Role", "User"):
    low = kind.lower()
    IAM |= {
        f"Attach{kind}Policy": i_writes(f"attach_{low}_policy", holder(low, PolicyArn=AWS + "ReadOnlyAccess")),
        f"Delete{kind}Policy": i_writes(f"delete_{low}_policy", inline(low)),
        f"Detach{kind}Policy": i_writes(f"detach_{low}_policy", attached(low)),
        f"Get{kind}Policy": i_reads(f"get_{low}_policy", inline(low)),
        f"ListAttached{kind}Policies": i_reads(f"list_attached_{low}_policies", holder(low)),
        f"List{kind}Policies": i_reads(f"list_{low}_policies", holder(low)),
        f"Put{kind}Policy": i_writes(f"put_{low}_policy", holder(low, **P_POLICY)),
    }
for kind in ("Policy", "Role", "User"):
    low = kind.lower()
    IAM |= {
        f"Tag{kind}": i_writes(f"tag_{low}", holder(low, **I_TAGS)),
        f"Untag{kind}": i_writes(f"untag_{low}", tagged(low)),
        f"List{kind}Tags": i_reads(f"list_{low}_tags", holder(low)),
    }


def provider(stage, **more):
    """An OpenID Connect provider; nothing is fetched from it."""
    thumbprint = "0" * 40
    made = stage.iam.create_open_id_connect_provider(Url=f"https://{fresh('t-')}.example", ClientIDList=["app"],
                                                     ThumbprintList=[thumbprint], **more)
    return {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}


def oidc(**more):
    return lambda stage: {**provider(stage), **more}


def oidc_state(stage, args):
    found = {}
    for it in stage.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        shown = told(lambda: stage.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=it["Arn"]))
        found[it["Arn"]] = plain(shown)
    return found


def o_writes(call, prepare):
    return Op(call, prepare, state=oidc_state)


NEW_PROVIDER = {"ClientIDList": ["app"], "ThumbprintList": ["0" * 40]}
IAM |= {
    "AddClientIDToOpenIDConnectProvider": o_writes("add_client_id_to_open_id_connect_provider", oidc(ClientID="b")),
    "CreateOpenIDConnectProvider": o_writes(
        "create_open_id_connect_provider", lambda s: {"Url": f"https://{fresh('t-')}.example", **NEW_PROVIDER}),
    "CreateOpenIDConnectProvider with tags": o_writes(
        "create_open_id_connect_provider", lambda s: {"Url": f"https://{fresh('t-')}.example", **NEW_PROVIDER, **I_TAGS}),
    "DeleteOpenIDConnectProvider": o_writes("delete_open_id_connect_provider", provider),
    "GetOpenIDConnectProvider": i_reads("get_open_id_connect_provider", provider),
    "ListOpenIDConnectProviders": i_reads("list_open_id_connect_providers"),
    "ListOpenIDConnectProviderTags": i_reads("list_open_id_connect_provider_tags", provider),
    "RemoveClientIDFromOpenIDConnectProvider": o_writes("remove_client_id_from_open_id_connect_provider",
                                                        oidc(ClientID="app")),
    "TagOpenIDConnectProvider": o_writes("tag_open_id_connect_provider", oidc(**I_TAGS)),
    "UntagOpenIDConnectProvider": o_writes("untag_open_id_connect_provider", oidc(TagKeys=["k"])),
    "UpdateOpenIDConnectProviderThumbprint": o_writes("update_open_id_connect_provider_thumbprint",
                                                      oidc(ThumbprintList=["1" * 40])),
}


# STS.

TRUSTED = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def trusting(stage, *statements):
    """A trust policy that leaves it to the account's IAM policies, and the statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": stage.account.id}, "Action": TRUSTED}, *statements]})


def a_role(**more):
    return lambda stage: {"RoleArn": stage.account.role(name=fresh("t-"), trust=trusting(stage)),
                          "RoleSessionName": "session", **more}


STS = {
    "AssumeRole": Op("assume_role", a_role(), "trust"),
    "AssumeRole with tags": Op("assume_role", a_role(**I_TAGS), "trust"),
    "AssumeRole with a source identity": Op("assume_role", a_role(SourceIdentity="somebody"), "trust"),
    "DecodeAuthorizationMessage": Op("decode_authorization_message", lambda s: {"EncodedMessage": "x"},
                                     fine=("InvalidAuthorizationMessageException",)),
    "GetAccessKeyInfo": Op("get_access_key_info", lambda s: {"AccessKeyId": s.account.root.access}),
    "GetFederationToken": Op("get_federation_token", lambda s: {"Name": "somebody", "Policy": READ}, sessions=False),
    "GetFederationToken with tags": Op(
        "get_federation_token", lambda s: {"Name": "somebody", "Policy": READ, **I_TAGS}, sessions=False),
}
# Operations that ask no right of those who sign.
FREE = {
    "GetCallerIdentity": Op("get_caller_identity"),
    "GetSessionToken": Op("get_session_token", sessions=False),
}
# Operations that are not signed: what they bring is the proof. Issuers and tokens are test_web_identity.py's.
UNSIGNED = {"AssumeRoleWithWebIdentity": Op("assume_role_with_web_identity", a_role(WebIdentityToken="a.b.c"))}

# CloudTrail.

def new_trail(**more):
    """A trail to be made; there may be five, so that those of rows before are deleted."""
    def prepare(stage):
        trails, bucket = stage.cloudtrail, stage.account.bucket(versioned=False)
        for trail in trails.list_trails()["Trails"]:
            trails.delete_trail(Name=trail["TrailARN"])
        service = {"Principal": {"Service": "cloudtrail.amazonaws.com"}}
        stage.s3.put_bucket_policy(Bucket=bucket, Policy=document(
            {**allow("s3:GetBucketAcl", f"arn:aws:s3:::{bucket}"), **service},
            {**allow("s3:PutObject", f"arn:aws:s3:::{bucket}/AWSLogs/*"), **service}))
        return {"Name": fresh("t-"), "S3BucketName": bucket, **more}
    return prepare


def trail(name="Name", arn=False, listed=False, **more):
    """A trail, named by its name or its ARN."""
    def prepare(stage):
        made = stage.cloudtrail.create_trail(**new_trail(TagsList=[{"Key": "old", "Value": "v"}])(stage))
        named = made["TrailARN"] if arn else made["Name"]
        return {name: [named] if listed else named, **more}
    return prepare


def trail_state(stage, args):
    found = []
    for trail in stage.cloudtrail.describe_trails()["trailList"]:
        arn = trail["TrailARN"]
        selectors, tags = stage.cloudtrail.get_event_selectors(TrailName=arn), stage.cloudtrail.list_tags(ResourceIdList=[arn])
        logging = stage.cloudtrail.get_trail_status(Name=arn)["IsLogging"]
        found.append([trail, logging, selectors["EventSelectors"], tags["ResourceTagList"]])
    return json.dumps(found, default=str, sort_keys=True)


def t_writes(call, prepare):
    return Op(call, prepare, state=trail_state)


T_TAGS = {"TagsList": [{"Key": "k", "Value": "v"}]}
CLOUDTRAIL = {
    "CreateTrail": t_writes("create_trail", new_trail()),
    "CreateTrail with tags": t_writes("create_trail", new_trail(**T_TAGS)),
    "UpdateTrail": t_writes("update_trail", trail(S3KeyPrefix="", EnableLogFileValidation=True)),
    "DeleteTrail": t_writes("delete_trail", trail()),
    "DescribeTrails": Op("describe_trails"),
    "GetTrail": Op("get_trail", trail()),
    "ListTrails": Op("list_trails"),
    "GetTrailStatus": Op("get_trail_status", trail(arn=True)),
    "StartLogging": t_writes("start_logging", trail()),
    "StopLogging": t_writes("stop_logging", trail()),
    "PutEventSelectors": t_writes("put_event_selectors", trail("TrailName", EventSelectors=[
        {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}])),
    "GetEventSelectors": Op("get_event_selectors", trail("TrailName")),
    "GetEventConfiguration": Op("get_event_configuration", trail("TrailName")),
    "GetInsightSelectors": Op("get_insight_selectors", trail("TrailName"), fine=("InsightNotEnabledException",)),
    "LookupEvents": Op("lookup_events"),
    "ListPublicKeys": Op("list_public_keys"),
    "AddTags": t_writes("add_tags", trail("ResourceId", arn=True, **T_TAGS)),
    "RemoveTags": t_writes("remove_tags", trail("ResourceId", arn=True, TagsList=[{"Key": "old"}])),
    "ListTags": Op("list_tags", trail("ResourceIdList", arn=True, listed=True)),
}

TABLES = {"s3": S3, "kms": KMS, "iam": IAM, "sts": STS, "cloudtrail": CLOUDTRAIL}
OPERATIONS = {(service, name): op for service, table in TABLES.items()
              for name, op in table.items()}
