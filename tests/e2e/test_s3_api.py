"""Buckets, objects, ranges, conditions, metadata, tags and bucket encryption, through boto3."""

import hashlib
import os
from datetime import datetime, timedelta, timezone

import pytest

from conftest import assert_empty, new_bucket, refused
from s3raw import md5_b64

PRECONDITION = "At least one of the pre-conditions you specified did not hold"
NOT_IMPLEMENTED = "A header you provided implies functionality that is not implemented"
EDGE = 65536  # The plaintext of one segment: ranges are tested around it.


def put(s3, bucket, key="k", body=b"body", **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more)


def body_of(s3, bucket, key="k", **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


# Buckets

def test_buckets_are_made_listed_headed_located_and_deleted(s3):
    name = new_bucket(s3)
    assert name in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    head = s3.head_bucket(Bucket=name)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == s3.meta.region_name
    region = s3.meta.region_name
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == (None if region == "us-east-1" else region)
    put(s3, name)
    answer = refused(s3.delete_bucket, Bucket=name)
    assert (answer.status, answer.code, answer.message) == (
        409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
    s3.delete_object(Bucket=name, Key="k")
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer = refused(s3.delete_bucket, Bucket=name)
    assert (answer.status, answer.code, answer.message) == (
        404, "NoSuchBucket", "The specified bucket does not exist")
    assert answer.error["BucketName"] == name


def test_a_bucket_is_made_again_by_its_owner_as_its_region_says(s3, bucket):
    if s3.meta.region_name == "us-east-1":
        new_bucket(s3, bucket)  # S3's first region answers 200.
    else:
        answer = refused(new_bucket, s3, bucket)
        assert (answer.status, answer.code) == (409, "BucketAlreadyOwnedByYou")


# Two characters are below AWS's limit, but W1 types `s3://w1`: that length is not judged here.
@pytest.mark.parametrize("name", ["a", "A-upper", "under_score", "a..b", "-dash", "dash-", "192.168.5.4", "x" * 64])
def test_a_bucket_name_outside_the_rules_is_refused(raw, name):
    reply = raw.send("PUT", f"/{name}")
    assert (reply.status, reply.code, reply.message) == (
        400, "InvalidBucketName", "The specified bucket is not valid.")


def test_a_bucket_in_another_region_is_refused(raw):
    xml = b"<CreateBucketConfiguration><LocationConstraint>xx-none-1</LocationConstraint></CreateBucketConfiguration>"
    reply = raw.send("PUT", "/e2e-elsewhere", body=xml)
    assert reply.status == 400
    assert reply.code in ("InvalidLocationConstraint", "IllegalLocationConstraintException")


@pytest.mark.parametrize("operation, code", [
    ("get_bucket_policy", "NoSuchBucketPolicy"), ("get_bucket_policy_status", "NoSuchBucketPolicy"),
    ("get_bucket_cors", "NoSuchCORSConfiguration"), ("get_bucket_website", "NoSuchWebsiteConfiguration"),
    ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
    ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"), ("get_bucket_tagging", "NoSuchTagSet"),
])
def test_what_was_never_configured_is_not_found(s3, bucket, operation, code):
    answer = refused(getattr(s3, operation), Bucket=bucket)
    assert (answer.status, answer.code) == (404, code)
    assert refused(getattr(s3, operation), Bucket="e2e-no-such-bucket").code == "NoSuchBucket"


@pytest.mark.parametrize("operation, expected", [
    ("get_bucket_logging", {}), ("get_bucket_request_payment", {"Payer": "BucketOwner"}),
    ("get_bucket_accelerate_configuration", {}), ("get_bucket_versioning", {}),
    ("get_bucket_notification_configuration", {}),
    ("get_bucket_ownership_controls", {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}),
    ("get_public_access_block", {"PublicAccessBlockConfiguration": {
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}}),
])
def test_what_was_never_configured_has_the_default_of_aws(s3, bucket, operation, expected):
    answer = getattr(s3, operation)(Bucket=bucket)
    assert {k: v for k, v in answer.items() if k != "ResponseMetadata"} == expected
    assert refused(getattr(s3, operation), Bucket="e2e-no-such-bucket").code == "NoSuchBucket"


def test_acls_show_the_owner_alone(s3, bucket):
    put(s3, bucket, ACL="private")
    put(s3, bucket, "owner", ACL="bucket-owner-full-control")
    for acl in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")):
        grant, = acl["Grants"]
        assert grant["Permission"] == "FULL_CONTROL"
        assert grant["Grantee"]["Type"] == "CanonicalUser" and grant["Grantee"]["ID"] == acl["Owner"]["ID"]
    assert s3.list_buckets()["Owner"]["ID"] == acl["Owner"]["ID"]
    answer = refused(put, s3, bucket, "open", ACL="public-read")
    assert (answer.status, answer.code) == (400, "AccessControlListNotSupported")
    assert refused(s3.head_object, Bucket=bucket, Key="open").status == 404


def test_bucket_tags_round_trip(s3, bucket):
    tags = [{"Key": "a", "Value": ""}, {"Key": "b b", "Value": "c/=+@:._-"}, {"Key": "\u00fc", "Value": "\u00f1"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert sorted(s3.get_bucket_tagging(Bucket=bucket)["TagSet"], key=str) == sorted(tags, key=str)
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_tagging, Bucket=bucket).code == "NoSuchTagSet"


@pytest.mark.parametrize("method, path, query, status, code", [
    ("PATCH", "/{b}/k", [], 405, "MethodNotAllowed"), ("PATCH", "/{b}", [], 405, "MethodNotAllowed"),
    ("DELETE", "/", [], 405, "MethodNotAllowed"), ("PUT", "/", [], 405, "MethodNotAllowed"),
    ("PUT", "/{b}", ["accelerate"], 501, "NotImplemented"), ("PUT", "/{b}", ["replication"], 501, "NotImplemented"),
    ("PUT", "/{b}", ["website"], 501, "NotImplemented"), ("POST", "/{b}/k", ["select"], 501, "NotImplemented"),
    ("PUT", "/{b}/k", ["retention"], 501, "NotImplemented"),
])
def test_an_operation_we_do_not_have_is_refused_as_such(raw, s3, bucket, method, path, query, status, code):
    reply = raw.send(method, path.format(b=bucket), query)
    assert (reply.status, reply.code) == (status, code)
    assert reply.field("RequestId") and reply.headers["x-amz-request-id"] == reply.field("RequestId")
    assert_empty(s3, bucket)


# Bucket encryption, spec 6

def rules(s3, bucket):
    return s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]


def set_rules(s3, bucket, *rules):
    return s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": list(rules)})


def default(algorithm="AES256", **more):
    return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm, **more}}


def test_every_bucket_has_aes256_by_default_set_or_not_and_after_delete(s3, bucket):
    def check(enabled=False):
        rule, = rules(s3, bucket)
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert rule["BucketKeyEnabled"] is enabled
    check()
    assert set_rules(s3, bucket, default())["ResponseMetadata"]["HTTPStatusCode"] == 200
    check()
    set_rules(s3, bucket, {**default(), "BucketKeyEnabled": True})
    check(True)
    answer = put(s3, bucket)
    assert answer["ServerSideEncryption"] == "AES256" and "BucketKeyEnabled" not in answer
    for _ in range(2):
        assert s3.delete_bucket_encryption(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        check()


@pytest.mark.parametrize("given, status, code, message", [
    ([], 400, "MalformedXML",
     "The XML you provided was not well-formed or did not validate against our published schema"),
    ([default(), default()], 400, "MalformedXML",
     "The XML you provided was not well-formed or did not validate against our published schema"),
    ([default(KMSMasterKeyID="k")], 400, "InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse "
     "algorithm is not aws:kms or aws:kms:dsse"),
    ([default("AES192")], 400, "MalformedXML", None), ([default("aes256")], 400, "MalformedXML", None),
    ([{"BlockedEncryptionTypes": {"EncryptionType": ["SSE-X"]}}], 400, "MalformedXML", None),
])
def test_a_bucket_rule_that_is_wrong_is_refused_and_changes_nothing(s3, bucket, given, status, code, message):
    before = rules(s3, bucket)
    answer = refused(set_rules, s3, bucket, *given)
    assert (answer.status, answer.code) == (status, code)
    assert message is None or answer.message == message
    if code == "InvalidArgument":
        assert answer.error["ArgumentName"] == "ApplyServerSideEncryptionByDefault"
    assert rules(s3, bucket) == before
    missing = refused(set_rules, s3, "e2e-no-such-bucket", *given)
    assert (missing.status, missing.code) == (404, "NoSuchBucket")


@pytest.mark.parametrize("given", [
    default("aws:kms"), default("aws:kms:dsse"), default("aws:kms", KMSMasterKeyID="no-such-key"),
    default("aws:kms:dsse", KMSMasterKeyID="alias/none"), {**default("aws:kms"), "BucketKeyEnabled": True},
])
def test_a_bucket_rule_names_any_key_and_is_echoed(s3, bucket, given):
    """The key is not looked at before a write needs it."""
    assert set_rules(s3, bucket, given)["ResponseMetadata"]["HTTPStatusCode"] == 200
    shown = rules(s3, bucket)[0]
    assert shown["ApplyServerSideEncryptionByDefault"] == given["ApplyServerSideEncryptionByDefault"]
    assert shown["BucketKeyEnabled"] is given.get("BucketKeyEnabled", False)
    named = given["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")
    if named:
        answer = refused(put, s3, bucket)
        assert (answer.status, answer.code) == (400, "KMS.NotFoundException")
    else:
        assert put(s3, bucket)["SSEKMSKeyId"].startswith("arn:aws:kms:")


def test_put_bucket_encryption_needs_a_checksum_of_its_body(raw, bucket):
    xml = (b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
           b"</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>")
    reply = raw.send("PUT", f"/{bucket}", ["encryption"], body=xml)
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert reply.message == "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
    assert raw.send("PUT", f"/{bucket}", ["encryption"], {"Content-MD5": md5_b64(xml)}, xml).status == 200
    reply = raw.send("PUT", f"/{bucket}", ["encryption"], {"Content-MD5": md5_b64(b"other")}, xml)
    assert (reply.status, reply.code) == (400, "BadDigest")


def test_a_blocked_encryption_type_is_honoured_kept_and_lifted(s3, bucket):
    key = os.urandom(32)
    trio = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    put(s3, bucket, "before", **trio)  # Allowed on a new bucket.
    begun = s3.create_multipart_upload(Bucket=bucket, Key="begun", **trio)["UploadId"]
    set_rules(s3, bucket, {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}})
    set_rules(s3, bucket, default())  # Leaves the block out: it stays.
    s3.delete_bucket_encryption(Bucket=bucket)  # So it does over a delete.
    assert rules(s3, bucket)[0]["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    upload = {"Bucket": bucket, "Key": "begun", "UploadId": begun}
    for call in (
        lambda: put(s3, bucket, "no", **trio),
        lambda: s3.copy_object(Bucket=bucket, Key="no", CopySource=f"{bucket}/before", CopySourceSSECustomerKey=key,
                               CopySourceSSECustomerAlgorithm="AES256", **trio),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="no", **trio),
        lambda: s3.upload_part(**upload, PartNumber=1, Body=b"x", **trio),
        lambda: put(s3, bucket, "no", SSECustomerAlgorithm="AES192", SSECustomerKey=b"short"),
    ):
        answer = refused(call)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert ("because this bucket has blocked upload requests that specify Server Side Encryption with Customer "
                "provided keys (SSE-C). Please specify a different server-side encryption type") in answer.message
    s3.abort_multipart_upload(**upload)
    assert body_of(s3, bucket, "before", **trio) == b"body"
    s3.copy_object(Bucket=bucket, Key="out", CopySource=f"{bucket}/before", CopySourceSSECustomerKey=key,
                   CopySourceSSECustomerAlgorithm="AES256")
    assert body_of(s3, bucket, "out") == b"body"
    set_rules(s3, bucket, {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}})
    put(s3, bucket, "after", **trio)
    assert refused(s3.head_object, Bucket=bucket, Key="no").status == 404


# Objects

@pytest.mark.parametrize("size", [0, 1, EDGE - 1, EDGE, EDGE + 1, 3 * EDGE, 1_000_003, 8 << 20])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_object_of_any_size_comes_back_whole(clients, bucket, scheme, size):
    s3, data = clients.boto(scheme), os.urandom(size)
    answer = put(s3, bucket, body=data)
    md5 = f'"{hashlib.md5(data).hexdigest()}"'
    assert (answer["ETag"], answer["ServerSideEncryption"]) == (md5, "AES256")
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == data
    head = s3.head_object(Bucket=bucket, Key="k")
    for reply in (found, head):
        assert (reply["ETag"], reply["ContentLength"], reply["ServerSideEncryption"]) == (md5, size, "AES256")
        assert reply["AcceptRanges"] == "bytes" and reply["ContentType"] == "binary/octet-stream"
        assert "SSEKMSKeyId" not in reply and "BucketKeyEnabled" not in reply and "StorageClass" not in reply
    assert head["LastModified"] == found["LastModified"]
    assert abs(head["LastModified"] - datetime.now(timezone.utc)) < timedelta(minutes=5)


def test_an_object_is_overwritten_and_deleted_and_delete_is_idempotent(s3, bucket):
    for data in (b"one", b"two" * 100_000, b""):
        put(s3, bucket, body=data)
        assert body_of(s3, bucket) == data
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer = refused(s3.get_object, Bucket=bucket, Key="k")
    assert (answer.status, answer.code, answer.message) == (404, "NoSuchKey", "The specified key does not exist.")
    assert answer.error["Key"] == "k"
    answer = refused(put, s3, "e2e-no-such-bucket")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_delete_objects_reports_each_key(s3, bucket):
    for key in ("a", "b/c", "d e+%&<>"):
        put(s3, bucket, key)
    def delete(keys, quiet):
        return s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys], "Quiet": quiet})
    answer = delete(["a", "never", "d e+%&<>"], False)
    assert sorted(d["Key"] for d in answer["Deleted"]) == ["a", "d e+%&<>", "never"] and "Errors" not in answer
    assert "Deleted" not in delete(["b/c"], True)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    answer = refused(delete, [f"k{i}" for i in range(1001)], True)
    assert (answer.status, answer.code) == (400, "MalformedXML")


@pytest.mark.parametrize("sse, status, code, message", [
    ("aes:kms", 400, "InvalidArgument", "The encryption method specified is not supported"),
    ("", 400, "InvalidArgument", "The encryption method specified is not supported"),
    ("aes256", 400, "InvalidArgument", "The encryption method specified is not supported"),
    ("aws:fsx", 400, "InvalidArgument", "The encryption method specified is not supported"),
])
def test_an_encryption_we_do_not_do_is_refused_and_nothing_is_stored(raw, s3, bucket, sse, status, code, message):
    source = f"{bucket}-source"
    raw.send("PUT", f"/{source}"), raw.send("PUT", f"/{source}/k", body=b"x")
    head = {"x-amz-server-side-encryption": sse}
    for method, query, more, body in [("PUT", [], {}, b"data"), ("POST", ["uploads"], {}, b""),
                                      ("PUT", [], {"x-amz-copy-source": f"/{source}/k"}, b"")]:
        reply = raw.send(method, f"/{bucket}/k", query, {**head, **more}, body)
        assert (reply.status, reply.code) == (status, code), (method, query)
        if message:
            assert reply.message == message
            assert (reply.field("ArgumentName"), reply.field("ArgumentValue") or "") == (
                "x-amz-server-side-encryption", sse)
    assert_empty(s3, bucket)


def test_kms_parameters_without_kms_are_refused(raw, s3, bucket):
    name = "x-amz-server-side-encryption"
    for more in ({}, {name: "AES256"}):
        reply = raw.send("PUT", f"/{bucket}/k", headers={**more, name + "-aws-kms-key-id": "k"}, body=b"x")
        assert (reply.status, reply.code) == (400, "InvalidArgument")
        assert reply.message == ("Server Side Encryption with AWS KMS managed key requires HTTP header "
                                 "x-amz-server-side-encryption : aws:kms")
    reply = raw.send("PUT", f"/{bucket}/k", headers={name: "AES256", name + "-context": "e30="}, body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    reply = raw.send("PUT", f"/{bucket}/k", headers={name + "-bucket-key-enabled": "maybe"}, body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert_empty(s3, bucket)
    head = {name: "AES256", name + "-bucket-key-enabled": "true"}
    reply = raw.send("PUT", f"/{bucket}/k", headers=head, body=b"x")
    assert reply.status == 200 and reply.headers[name] == "AES256"
    assert reply.headers[name + "-bucket-key-enabled"] is None
    for method in ("GET", "HEAD"):
        reply = raw.send(method, f"/{bucket}/k", headers={name: "AES256"})
        assert reply.status == 400
    reply = raw.send("GET", f"/{bucket}/k", headers={name: "AES256"})
    assert (reply.code, reply.message) == (
        "InvalidArgument", "x-amz-server-side-encryption header is not supported for this operation.")


# Ranges

@pytest.mark.parametrize("size", [1, 10, EDGE, 2 * EDGE + 7])
def test_a_range_gives_its_bytes_at_every_edge(s3, bucket, size):
    data = os.urandom(size)
    put(s3, bucket, body=data)
    marks = sorted({m for m in (0, 1, 5, EDGE - 1, EDGE, EDGE + 1, 2 * EDGE, size - 1) if 0 <= m < size})
    for first in marks:
        for last in [m for m in (*marks, size + 100) if m >= first]:
            found = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")
            assert found["Body"].read() == data[first:last + 1]
            end = min(last, size - 1)
            assert found["ContentRange"] == f"bytes {first}-{end}/{size}"
            assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert body_of(s3, bucket, Range=f"bytes={first}-") == data[first:]
    for count in (1, size, size + 5):
        assert body_of(s3, bucket, Range=f"bytes=-{count}") == data[-count:]
    head = s3.head_object(Bucket=bucket, Key="k", Range="bytes=0-0")
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (1, 206)


@pytest.mark.parametrize("given", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"])
def test_a_range_beyond_the_end_is_416(raw, bucket, given):
    raw.send("PUT", f"/{bucket}/k", body=b"0123456789"), raw.send("PUT", f"/{bucket}/empty")
    reply = raw.send("GET", f"/{bucket}/k", headers={"Range": given})
    assert (reply.status, reply.code, reply.message) == (
        416, "InvalidRange", "The requested range is not satisfiable")
    assert (reply.field("ActualObjectSize"), reply.field("RangeRequested")) == ("10", given)
    assert raw.send("HEAD", f"/{bucket}/k", headers={"Range": given}).status == 416
    assert raw.send("GET", f"/{bucket}/empty", headers={"Range": "bytes=0-0"}).status == 416


@pytest.mark.parametrize("given", ["bytes=5-3", "bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4"])
def test_a_range_that_is_none_is_ignored(raw, bucket, given):
    raw.send("PUT", f"/{bucket}/k", body=b"0123456789")
    reply = raw.send("GET", f"/{bucket}/k", headers={"Range": given})
    assert (reply.status, reply.body) == (200, b"0123456789")


# Conditions

OLD, NEW = datetime(2001, 1, 1, tzinfo=timezone.utc), datetime.now(timezone.utc) + timedelta(hours=1)


@pytest.mark.parametrize("given, status", [
    ({"IfMatch": "ETAG"}, 200),
    ({"IfMatch": '"other"'}, 412), ({"IfNoneMatch": '"other"'}, 200), ({"IfNoneMatch": "ETAG"}, 304),
    ({"IfModifiedSince": OLD}, 200), ({"IfModifiedSince": "OWN"}, 304),
    ({"IfUnmodifiedSince": OLD}, 412), ({"IfUnmodifiedSince": "OWN"}, 200), ({"IfUnmodifiedSince": NEW}, 200),
    ({"IfMatch": "ETAG", "IfUnmodifiedSince": OLD}, 200),
    ({"IfNoneMatch": "ETAG", "IfModifiedSince": OLD}, 304), ({"IfMatch": '"other"', "IfNoneMatch": "ETAG"}, 412),
])
def test_conditional_reads(s3, bucket, given, status):
    etag = put(s3, bucket)["ETag"]
    own = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    given = {k: own if v == "OWN" else v.replace("ETAG", etag) if isinstance(v, str) else v for k, v in given.items()}
    for call in (s3.get_object, s3.head_object):
        if status == 200:
            assert call(Bucket=bucket, Key="k", **given)["ETag"] == etag
            continue
        answer = refused(call, Bucket=bucket, Key="k", **given)
        assert answer.status == status
        if status == 412 and call == s3.get_object:
            assert (answer.code, answer.message) == ("PreconditionFailed", PRECONDITION)
        if status == 304:
            assert answer.headers["etag"] == etag
        assert "x-amz-server-side-encryption" not in answer.headers


def test_conditional_writes(s3, bucket):
    answer = refused(put, s3, bucket, IfMatch='"x"')
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    etag = put(s3, bucket, body=b"1", IfNoneMatch="*")["ETag"]
    answer = refused(put, s3, bucket, body=b"2", IfNoneMatch="*")
    assert (answer.status, answer.code, answer.message) == (412, "PreconditionFailed", PRECONDITION)
    assert answer.error["Condition"] == "If-None-Match"
    answer = refused(put, s3, bucket, body=b"2", IfMatch='"other"')
    assert (answer.status, answer.code, answer.error["Condition"]) == (412, "PreconditionFailed", "If-Match")
    answer = refused(put, s3, bucket, body=b"2", IfNoneMatch='"x"')
    assert (answer.status, answer.code, answer.message) == (501, "NotImplemented", NOT_IMPLEMENTED)
    assert body_of(s3, bucket) == b"1"
    put(s3, bucket, body=b"3", IfMatch=etag)
    assert body_of(s3, bucket) == b"3"
    s3.delete_object(Bucket=bucket, Key="k")
    put(s3, bucket, body=b"4", IfNoneMatch="*")
    answer = refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag)
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert body_of(s3, bucket) == b"4"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=s3.head_object(Bucket=bucket, Key="k")["ETag"])
    put(s3, bucket, body=b"5")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert refused(s3.head_object, Bucket=bucket, Key="k").status == 404


def test_one_of_many_conditional_creators_wins(clients, bucket):
    from concurrent.futures import ThreadPoolExecutor
    raw = clients.raw()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda i: raw.send("PUT", f"/{bucket}/k", headers={"If-None-Match": "*"},
                                                    body=str(i).encode() * 100).status, range(32)))
    assert statuses.count(200) == 1 and set(statuses) <= {200, 409, 412}
    assert raw.send("GET", f"/{bucket}/k").body == str(statuses.index(200)).encode() * 100


# Copies

def test_a_copy_keeps_or_replaces_metadata_and_tags(s3, bucket):
    source = "s p/+\u00fc%.txt"
    put(s3, bucket, source, b"data" * 50_000, Metadata={"a": "1"}, ContentType="text/x", CacheControl="no-store",
        Tagging="t=1")
    where = {"Bucket": bucket, "CopySource": {"Bucket": bucket, "Key": source}}
    answer = s3.copy_object(Key="kept", **where)
    assert answer["CopyObjectResult"]["ETag"] == s3.head_object(Bucket=bucket, Key=source)["ETag"]
    assert answer["ServerSideEncryption"] == "AES256"
    s3.copy_object(Key="new", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/y",
                   TaggingDirective="REPLACE", Tagging="u=2&v=", **where)
    for key, metadata, kind, cache, tags in [("kept", {"a": "1"}, "text/x", "no-store", {"t": "1"}),
                                             ("new", {"b": "2"}, "text/y", None, {"u": "2", "v": ""})]:
        found = s3.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == b"data" * 50_000
        assert (found["Metadata"], found["ContentType"], found.get("CacheControl")) == (metadata, kind, cache)
        assert {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]} == tags


def test_a_copy_onto_itself_must_change_something(s3, bucket):
    put(s3, bucket)
    where = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/k"}
    answer = refused(s3.copy_object, **where)
    assert (answer.status, answer.code, answer.message) == (
        400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without "
        "changing the object's metadata, storage class, website redirect location or encryption attributes.")
    s3.copy_object(**where, ServerSideEncryption="AES256")
    s3.copy_object(**where, MetadataDirective="REPLACE", Metadata={"x": "y"})
    set_rules(s3, bucket, default())
    s3.copy_object(**where)
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"x": "y"}
    assert body_of(s3, bucket) == b"body"


@pytest.mark.parametrize("given, holds", [
    ({"CopySourceIfMatch": "ETAG"}, True), ({"CopySourceIfMatch": '"other"'}, False),
    ({"CopySourceIfNoneMatch": '"other"'}, True), ({"CopySourceIfNoneMatch": "ETAG"}, False),
    ({"CopySourceIfModifiedSince": OLD}, True), ({"CopySourceIfUnmodifiedSince": OLD}, False),
    ({"CopySourceIfUnmodifiedSince": NEW}, True),
    ({"CopySourceIfMatch": "ETAG", "CopySourceIfUnmodifiedSince": OLD}, True),
    ({"CopySourceIfNoneMatch": "ETAG", "CopySourceIfModifiedSince": OLD}, False),
])
def test_conditional_copies(s3, bucket, given, holds):
    etag = put(s3, bucket)["ETag"]
    given = {k: etag if v == "ETAG" else v for k, v in given.items()}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    for call, more in ((s3.copy_object, {"Key": "copy"}),
                       (s3.upload_part_copy, {"Key": "m", "UploadId": upload, "PartNumber": 1})):
        if holds:
            call(Bucket=bucket, CopySource=f"{bucket}/k", **more, **given)
        else:
            answer = refused(call, Bucket=bucket, CopySource=f"{bucket}/k", **more, **given)
            assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1 + holds


def test_a_copy_of_nothing_is_refused(raw, s3, bucket):
    for source, status, code in [(f"/{bucket}/none", 404, "NoSuchKey"), ("/e2e-no-such-bucket/k", 404, "NoSuchBucket"),
                                 ("", 400, "InvalidArgument"), ("nothing", 400, "InvalidArgument")]:
        reply = raw.send("PUT", f"/{bucket}/k", headers={"x-amz-copy-source": source})
        assert (reply.status, reply.code) == (status, code), source
    assert_empty(s3, bucket)


# Metadata and headers

def test_metadata_is_kept_byte_for_byte(raw, bucket):
    given = {"x-amz-meta-empty": "", "x-amz-meta-rfc2047": "=?UTF-8?B?w7bDpMO8?= =?UTF-8?Q?=C3=A9?=",
             "x-amz-meta-CASE": "Kept As-Is", "x-amz-meta-punct": "a,b;c=\"d\" <&> %20+", "x-amz-meta-long": "v" * 1500}
    assert raw.send("PUT", f"/{bucket}/k", headers=given, body=b"x").status == 200
    for method in ("GET", "HEAD"):
        reply = raw.send(method, f"/{bucket}/k")
        for name, value in given.items():
            assert reply.headers.get_all(name) == [value], name
        names = [n for n in reply.headers.keys() if n.lower().startswith("x-amz-meta-")]
        assert sorted(names) == sorted(n.lower() for n in given)


def test_metadata_beyond_two_kilobytes_is_refused(raw, s3, bucket):
    reply = raw.send("PUT", f"/{bucket}/k", headers={"x-amz-meta-a": "v" * 2048}, body=b"x")
    assert (reply.status, reply.code) == (400, "MetadataTooLarge")
    assert reply.message == "Your metadata headers exceed the maximum allowed metadata size"
    assert reply.field("MaxSizeAllowed") == "2048"
    assert_empty(s3, bucket)


def test_system_headers_come_back_and_are_overridden_by_the_query(s3, bucket):
    system = {"CacheControl": "max-age=1", "ContentDisposition": 'attachment; filename="a"', "ContentEncoding": "gzip",
              "ContentLanguage": "de, en", "ContentType": "text/plain; charset=utf-8",
              "WebsiteRedirectLocation": "/elsewhere"}
    put(s3, bucket, Expires="Thu, 01 Dec 2050 16:00:00 GMT", StorageClass="STANDARD", **system)
    for reply in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {k: reply[k] for k in system} == system
        assert reply["ExpiresString"] == "Thu, 01 Dec 2050 16:00:00 GMT"
    override = {"CacheControl": "no-cache", "ContentDisposition": "inline", "ContentEncoding": "br",
                "ContentLanguage": "fr", "ContentType": "a/b"}
    asked = {f"Response{k}": v for k, v in override.items()}
    for call in (s3.get_object, s3.head_object):
        reply = call(Bucket=bucket, Key="k", ResponseExpires=datetime(2040, 1, 2, tzinfo=timezone.utc), **asked)
        assert {k: reply[k] for k in override} == override
        assert reply["ExpiresString"] == "Mon, 02 Jan 2040 00:00:00 GMT"
    answer = refused(put, s3, bucket, "bad", StorageClass="COLD")
    assert (answer.status, answer.code, answer.message) == (
        400, "InvalidStorageClass", "The storage class you specified is not valid")


def test_aws_chunked_is_no_content_encoding_of_the_object(raw, bucket):
    for given, kept in (("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip,aws-chunked", "gzip")):
        reply = raw.chunked(f"/{bucket}/k", [b"x" * 9000], headers={"Content-Encoding": given})
        assert reply.status == 200
        assert raw.send("HEAD", f"/{bucket}/k").headers["Content-Encoding"] == kept


def test_virtual_host_style_reaches_the_bucket(raw, bucket):
    for host in (f"{bucket}.localhost:{raw.port}", f"{bucket}.s3.{raw.signer.region}.localhost:{raw.port}"):
        assert raw.send("PUT", "/a/b", body=host.encode(), host=host).status == 200
        assert raw.send("GET", f"/{bucket}/a/b").body == host.encode()
        assert raw.send("GET", "/", [("list-type", "2")], host=host).field("Key") == "a/b"


# Tags

def test_object_tags_round_trip_count_and_do_not_touch_the_object(s3, bucket):
    etag = put(s3, bucket, Tagging="a=1&b%20b=c%2Fd&e=")["ETag"]
    before = s3.get_object(Bucket=bucket, Key="k")
    assert before["TagCount"] == 3
    def tags():
        return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]}
    assert tags() == {"a": "1", "b b": "c/d", "e": ""}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "\u00fc", "Value": "+-= ._:/@"}]})
    assert tags() == {"\u00fc": "+-= ._:/@"}
    assert s3.delete_object_tagging(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags() == {}
    after = s3.get_object(Bucket=bucket, Key="k")
    assert "TagCount" not in after
    assert (after["ETag"], after["LastModified"]) == (etag, before["LastModified"])
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="none").code == "NoSuchKey"


@pytest.mark.parametrize("tags, code", [
    ([("k%d" % i, "v") for i in range(11)], "BadRequest"), ([("a", "1"), ("a", "2")], "InvalidTag"),
    ([("k" * 129, "v")], "InvalidTag"), ([("k", "v" * 257)], "InvalidTag"), ([("", "v")], "InvalidTag"),
    ([("a{b", "v")], "InvalidTag"), ([("aws:x", "v")], "InvalidTag"),
])
def test_tags_outside_the_rules_are_refused(raw, s3, bucket, tags, code):
    raw.send("PUT", f"/{bucket}/k", body=b"x")
    xml = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in tags)
    xml = f"<Tagging><TagSet>{xml}</TagSet></Tagging>".encode()
    reply = raw.send("PUT", f"/{bucket}/k", ["tagging"], {"Content-MD5": md5_b64(xml)}, xml)
    assert (reply.status, reply.code) == (400, code)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
