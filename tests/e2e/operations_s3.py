"""The operations of S3; see operations.py."""

from botocore.exceptions import ClientError

from callers import allow, document, fresh, post_object, told
from stage import Op, Stage, plain

# What is there, for comparison.

CONFIGURATIONS = ["get_bucket_versioning", "get_bucket_encryption", "get_bucket_tagging", "get_bucket_policy",
                  "get_bucket_acl", "get_bucket_ownership_controls", "get_public_access_block"]


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
