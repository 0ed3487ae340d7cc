"""Multipart uploads: parts, copies of parts, completion and its refusals, listings, parts of a finished object."""

import hashlib
import os

import pytest

from conftest import assert_empty, refused

MIB = 1 << 20
PART = 5 * MIB
NO_UPLOAD = ("The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
             "or completed.")


class Upload:
    """An upload in progress and the parts it has."""

    def __init__(self, s3, bucket, key="k", **more):
        self.s3, self.where = s3, {"Bucket": bucket, "Key": key}
        self.created = s3.create_multipart_upload(**self.where, **more)
        self.where["UploadId"] = self.created["UploadId"]
        self.parts = {}

    def part(self, number, body, **more):
        self.parts[number] = self.s3.upload_part(**self.where, PartNumber=number, Body=body, **more)["ETag"]
        return self.parts[number]

    def copy(self, number, source, **more):
        answer = self.s3.upload_part_copy(**self.where, PartNumber=number, CopySource=source, **more)
        self.parts[number] = answer["CopyPartResult"]["ETag"]
        return answer

    def complete(self, parts=None, **more):
        rows = [{"PartNumber": n, "ETag": e} for n, e in parts or sorted(self.parts.items())]
        return self.s3.complete_multipart_upload(**self.where, MultipartUpload={"Parts": rows}, **more)


def etag_of(*parts):
    joined = b"".join(hashlib.md5(p).digest() for p in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


@pytest.fixture(scope="module")
def bodies():
    return [os.urandom(PART), os.urandom(PART + 1), os.urandom(3)]


@pytest.fixture
def finished(s3, bucket, bodies):
    """An object of three parts."""
    upload = Upload(s3, bucket, Metadata={"m": "v"}, ContentType="a/b", Tagging="t=1")
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    upload.answer = upload.complete()
    return upload


def test_a_multipart_object_is_its_parts_in_order(s3, bucket, bodies, finished):
    whole, etag = b"".join(bodies), etag_of(*bodies)
    assert finished.created["ServerSideEncryption"] == "AES256"
    assert (finished.answer["ETag"], finished.answer["Bucket"], finished.answer["Key"]) == (etag, bucket, "k")
    assert finished.answer["ServerSideEncryption"] == "AES256"
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == whole
    assert (found["ETag"], found["Metadata"], found["ContentType"], found["TagCount"]) == (etag, {"m": "v"}, "a/b", 1)
    row, = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (row["Size"], row["ETag"]) == (len(whole), etag)
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    edges = [0, PART, 2 * PART + 1, len(whole)]
    marks = sorted({e + d for e in edges for d in (-65537, -1, 0, 1, 65536) if 0 <= e + d < len(whole)})
    for first in marks:
        for last in (first, min(first + 131_073, len(whole) - 1), len(whole) - 1):
            got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")["Body"].read()
            assert got == whole[first:last + 1], (first, last)


def test_a_part_number_reads_one_part(s3, bucket, bodies, finished):
    start = 0
    whole = sum(map(len, bodies))
    for number, body in enumerate(bodies, 1):
        for call in (s3.get_object, s3.head_object):
            found = call(Bucket=bucket, Key="k", PartNumber=number)
            assert (found["ContentLength"], found["PartsCount"]) == (len(body), 3)
            assert found["ETag"] == finished.answer["ETag"]
            assert found["ContentRange"] == f"bytes {start}-{start + len(body) - 1}/{whole}"
            assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
            if "Body" in found:
                assert found["Body"].read() == body
        start += len(body)
    for number in (4, 10_000):
        answer = refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=number)
        assert (answer.status, answer.code) == (416, "InvalidPartNumber")
        assert answer.message == "The requested partnumber is not satisfiable"
    answer = refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=2, Range="bytes=0-0")
    assert (answer.status, answer.code, answer.message) == (
        400, "InvalidRequest", "Cannot specify both Range header and partNumber query parameter")


def test_the_only_part_of_a_plain_object_is_number_one(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    found = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert (found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"], "PartsCount" in found) == (
        b"abc", 206, False)
    answer = refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=2)
    assert (answer.status, answer.code) == (416, "InvalidPartNumber")


def test_a_part_may_be_uploaded_again_and_the_last_one_counts(s3, bucket):
    upload = Upload(s3, bucket)
    old = upload.part(1, b"old")
    upload.part(1, b"new")
    answer = refused(upload.complete, [(1, old)])
    assert (answer.status, answer.code) == (400, "InvalidPart")
    upload.complete()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


def test_completion_takes_the_parts_it_names_and_drops_the_rest(s3, bucket, bodies):
    upload = Upload(s3, bucket)
    for number, body in zip((2, 7, 10_000), [*bodies[:2], b"dropped"]):  # Gaps are allowed.
        upload.part(number, body)
    upload.complete(sorted(upload.parts.items())[:2])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bodies[0] + bodies[1]


def test_a_completion_that_is_wrong_is_refused_and_the_upload_lives(s3, bucket, bodies):
    upload = Upload(s3, bucket)
    one, two = upload.part(1, bodies[0]), upload.part(2, b"small")
    three = upload.part(3, b"last")
    missing = "One or more of the specified parts could not be found."
    for parts, code, message in [
        ([(1, one), (4, two)], "InvalidPart", missing), ([(1, '"' + "0" * 32 + '"')], "InvalidPart", missing),
        ([(1, one), (2, one)], "InvalidPart", missing),
        ([(2, two), (1, one)], "InvalidPartOrder",
         "The list of parts was not in ascending order. Parts must be ordered by part number."),
        ([(1, one), (1, one)], "InvalidPartOrder", None),
        ([(1, one), (2, two), (3, three)], "EntityTooSmall",
         "Your proposed upload is smaller than the minimum allowed size"),
    ]:
        answer = refused(upload.complete, parts)
        assert (answer.status, answer.code) == (400, code), parts
        assert message is None or answer.message.startswith(message)
    assert refused(s3.head_object, Bucket=bucket, Key="k").status == 404
    upload.complete([(1, one), (3, three)])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bodies[0] + b"last"


@pytest.mark.parametrize("body", [
    b"", b"<CompleteMultipartUpload/>", b"<CompleteMultipartUpload><Part></CompleteMultipartUpload>", b"not xml",
    b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
    b'<!DOCTYPE x [<!ENTITY e "x">]><CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&e;</ETag></Part>'
    b"</CompleteMultipartUpload>",
])
def test_a_completion_that_is_not_the_schema_is_refused(raw, s3, bucket, body):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    reply = raw.send("POST", f"/{bucket}/k", [("uploadId", upload.where["UploadId"])], body=body)
    assert (reply.status, reply.code) in [(400, "MalformedXML"), (400, "InvalidRequest")]
    assert refused(s3.head_object, Bucket=bucket, Key="k").status == 404
    upload.complete()


def test_completion_answers_a_retry_as_it_answered_first(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    first = upload.complete()
    again = upload.complete()
    assert (again["ETag"], again["Key"]) == (first["ETag"], first["Key"])
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    try:
        upload.complete()
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchUpload"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"newer", "a retry undid a later write"


def test_completion_is_conditional(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    for given in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        answer = refused(upload.complete, **given)
        assert (answer.status, answer.code) == (412, "PreconditionFailed")
    upload.complete(IfMatch=s3.head_object(Bucket=bucket, Key="k")["ETag"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_an_aborted_or_unknown_upload_does_not_exist(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    assert s3.abort_multipart_upload(**upload.where)["ResponseMetadata"]["HTTPStatusCode"] == 204
    other_key = Upload(s3, bucket, "other")
    for where in (upload.where, {**upload.where, "UploadId": "unknown"},
                  {**other_key.where, "Key": "k"}):
        for call in (lambda: s3.upload_part(**where, PartNumber=1, Body=b"x"), lambda: s3.list_parts(**where),
                     lambda: s3.complete_multipart_upload(
                         **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": upload.parts[1]}]})):
            answer = refused(call)
            assert (answer.status, answer.code, answer.message) == (404, "NoSuchUpload", NO_UPLOAD)
    s3.abort_multipart_upload(**other_key.where)
    assert_empty(s3, bucket)


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "1.5"])
def test_a_part_number_outside_the_limits_is_refused(raw, s3, bucket, number):
    upload = Upload(s3, bucket)
    query = [("partNumber", number), ("uploadId", upload.where["UploadId"])]
    reply = raw.send("PUT", f"/{bucket}/k", query, body=b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert reply.message == "Part number must be an integer between 1 and 10000, inclusive"
    assert s3.list_parts(**upload.where).get("Parts", []) == []


def test_parts_are_listed_in_pages(s3, bucket):
    upload = Upload(s3, bucket)
    for number in (7, 1, 3, 10_000, 2):
        upload.part(number, b"x" * number)
    seen, marker = [], 0
    while True:
        page = s3.list_parts(**upload.where, MaxParts=2, PartNumberMarker=marker)
        seen += [(p["PartNumber"], p["Size"], p["ETag"]) for p in page["Parts"]]
        if not page["IsTruncated"]:
            break
        assert len(page["Parts"]) == 2
        marker = page["NextPartNumberMarker"]
    assert seen == [(n, n, upload.parts[n]) for n in (1, 2, 3, 7, 10_000)]
    assert (page["StorageClass"], page["Key"]) == ("STANDARD", "k")
    assert page["Initiator"]["ID"] and page["Owner"]["ID"]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_uploads_are_listed_in_pages_by_key_then_by_start(s3, bucket, size):
    keys = ["a", "a/1", "a/1", "a/1", "a/2", "b", "b"]
    ids = [(key, Upload(s3, bucket, key).where["UploadId"]) for key in keys]
    seen, marker = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=size, **marker)
        seen += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        if not page["IsTruncated"]:
            break
        assert len(page["Uploads"]) == size
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert seen == ids
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/"]
    assert [u["Key"] for u in grouped["Uploads"]] == ["a", "b", "b"]
    assert len(s3.list_multipart_uploads(Bucket=bucket, Prefix="a/1")["Uploads"]) == 3


def test_parts_are_copied_whole_and_by_range(s3, bucket, bodies):
    s3.put_object(Bucket=bucket, Key="source", Body=bodies[0])
    upload = Upload(s3, bucket)
    upload.copy(1, f"{bucket}/source")
    upload.copy(2, f"{bucket}/source", CopySourceRange="bytes=65535-131072")
    upload.complete()
    want = bodies[0] + bodies[0][65535:131073]
    found = s3.get_object(Bucket=bucket, Key="k")
    assert found["Body"].read() == want and found["ETag"] == etag_of(bodies[0], bodies[0][65535:131073])
    for given in ("bytes=0-", "bytes=-5", "0-5", "bytes=5-3", "bytes=1-99999999"):
        answer = refused(upload_copy, s3, bucket, given)
        assert (answer.status, answer.code) in [(400, "InvalidArgument"), (416, "InvalidRange"),
                                                (400, "InvalidRange"), (400, "InvalidRequest")], given


def upload_copy(s3, bucket, given):
    upload = Upload(s3, bucket, "other")
    upload.copy(1, f"{bucket}/source", CopySourceRange=given)


def test_a_copy_of_a_multipart_object_is_one_object_again(s3, bucket, bodies, finished):
    whole = b"".join(bodies)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    found = s3.get_object(Bucket=bucket, Key="copy")
    assert (found["Body"].read(), found["ETag"]) == (whole, f'"{hashlib.md5(whole).hexdigest()}"')
    assert finished.answer["ETag"] != found["ETag"]


def test_multipart_writes_versions(s3, versioned):
    ids = []
    for body in (b"1", b"2"):
        upload = Upload(s3, versioned)
        upload.part(1, body)
        ids.append(upload.complete()["VersionId"])
    for version, body in zip(ids, (b"1", b"2")):
        assert s3.get_object(Bucket=versioned, Key="k", VersionId=version)["Body"].read() == body


def test_the_buckets_default_and_headers_of_the_start_hold_for_the_object(s3, bucket):
    upload = Upload(s3, bucket, ServerSideEncryption="AES256", CacheControl="c", StorageClass="STANDARD")
    answer = s3.upload_part(**upload.where, PartNumber=1, Body=b"x")
    assert answer["ServerSideEncryption"] == "AES256"
    upload.parts[1] = answer["ETag"]
    upload.complete()
    assert s3.head_object(Bucket=bucket, Key="k")["CacheControl"] == "c"


def test_a_bucket_with_an_upload_can_be_deleted_and_the_upload_is_gone(s3, bucket):
    upload = Upload(s3, bucket)
    s3.delete_bucket(Bucket=bucket)
    answer = refused(s3.upload_part, **upload.where, PartNumber=1, Body=b"x")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
