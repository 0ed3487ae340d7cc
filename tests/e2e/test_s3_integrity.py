"""Content-MD5, the additional checksums in headers and trailers, composite and full-object, GetObjectAttributes."""

import base64
import hashlib
import os

import pytest

from conftest import assert_empty, refused
from s3raw import CHECKSUMS, UNSIGNED, b64, checksum, md5_b64
from test_s3_multipart import PART, Upload

ALGORITHMS = list(CHECKSUMS)
BODY = b"The quick brown fox jumps over the lazy dog" * 3000


def header(algorithm):
    return f"x-amz-checksum-{algorithm.lower()}"


@pytest.mark.parametrize("given, status, code, message", [
    (md5_b64(BODY), 200, None, None),
    (md5_b64(b"other"), 400, "BadDigest", "The Content-MD5 you specified did not match what we received."),
    ("", 400, "InvalidDigest", "The Content-MD5 you specified was invalid."),
    ("not base64!", 400, "InvalidDigest", "The Content-MD5 you specified was invalid."),
    (b64(b"short"), 400, "InvalidDigest", "The Content-MD5 you specified was invalid."),
])
def test_content_md5_is_checked(raw, s3, bucket, given, status, code, message):
    upload = Upload(s3, bucket)
    part = [("partNumber", "1"), ("uploadId", upload.where["UploadId"])]
    for query in ([], part):
        reply = raw.send("PUT", f"/{bucket}/k", query, {"Content-MD5": given}, BODY)
        assert (reply.status, reply.code, reply.message) == (status, code, message)
    if status != 200:
        assert not s3.list_parts(**upload.where).get("Parts")
        s3.abort_multipart_upload(**upload.where)
        assert_empty(s3, bucket)


def test_the_signed_hash_of_the_body_is_checked(raw, s3, bucket):
    reply = raw.send("PUT", f"/{bucket}/k", body=BODY, payload=hashlib.sha256(b"other").hexdigest())
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert reply.message == "The provided 'x-amz-content-sha256' header does not match what was computed."
    assert_empty(s3, bucket)


@pytest.mark.parametrize("how", ["header", "trailer", "signed trailer"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_checked_kept_and_shown(clients, s3, bucket, algorithm, how):
    raw = clients.raw("https" if how == "trailer" else "http")
    def put(value):
        if how == "header":
            return raw.send("PUT", f"/{bucket}/k", headers={header(algorithm): value}, body=BODY, payload=UNSIGNED)
        return raw.chunked(f"/{bucket}/k", [BODY[:65536], BODY[65536:]], signed=how == "signed trailer",
                           trailers=[(header(algorithm), value)],
                           headers={"x-amz-sdk-checksum-algorithm": algorithm})
    reply = put(checksum(algorithm, BODY + b"."))
    assert (reply.status, reply.code) == (400, "BadDigest")
    assert reply.message == f"The {algorithm} you specified did not match the calculated checksum."
    for bad in ("", "AAAA", "not base64!"):
        reply = put(bad)
        assert (reply.status, reply.code) == (400, "InvalidRequest"), bad
        assert reply.message == f"Value for {header(algorithm)} {'trailing ' * (how != 'header')}header is invalid."
    assert_empty(s3, bucket)
    want = checksum(algorithm, BODY)
    reply = put(want)
    assert (reply.status, reply.headers[header(algorithm)]) == (200, want)
    assert reply.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    for method in ("GET", "HEAD"):
        reply = raw.send(method, f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"})
        assert (reply.headers[header(algorithm)], reply.headers["x-amz-checksum-type"]) == (want, "FULL_OBJECT")
        assert raw.send(method, f"/{bucket}/k").headers[header(algorithm)] is None
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
    assert attributes["Checksum"] == {f"Checksum{algorithm}": want, "ChecksumType": "FULL_OBJECT"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == want


def test_without_a_checksum_s3_computes_crc64nvme(raw, s3, bucket):
    reply = raw.send("PUT", f"/{bucket}/k", body=BODY)
    want = checksum("CRC64NVME", BODY)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], reply.headers["x-amz-checksum-crc64nvme"]) == (want, want)
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA256")
    assert s3.head_object(Bucket=bucket, Key="other", ChecksumMode="ENABLED")["ChecksumSHA256"] == checksum(
        "SHA256", BODY)


@pytest.mark.parametrize("headers, code, message", [
    ({header("CRC32"): checksum("CRC32", BODY), header("SHA1"): checksum("SHA1", BODY)}, "InvalidRequest",
     "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."),
    ({"x-amz-sdk-checksum-algorithm": "SHA256"}, "InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no "
     "corresponding x-amz-checksum-* or x-amz-trailer headers were found."),
    ({"x-amz-sdk-checksum-algorithm": "SHA256", header("CRC32"): checksum("CRC32", BODY)}, "InvalidRequest", None),
    ({"x-amz-sdk-checksum-algorithm": "CRC31", header("CRC32"): checksum("CRC32", BODY)}, "InvalidRequest", None),
])
def test_checksum_headers_that_disagree_are_refused(raw, s3, bucket, headers, code, message):
    reply = raw.send("PUT", f"/{bucket}/k", headers=headers, body=BODY)
    assert (reply.status, reply.code) == (400, code)
    assert message is None or reply.message == message
    assert_empty(s3, bucket)


@pytest.mark.parametrize("algorithm", ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"])
def test_a_checksum_we_do_not_compute_is_refused_by_its_name(raw, s3, bucket, algorithm):
    """Supported or refused by name: an unknown checksum must never be ignored."""
    for query, headers in [([], {header(algorithm): b64(b"x" * 16)}),
                           (["uploads"], {"x-amz-checksum-algorithm": algorithm})]:
        reply = raw.send("POST" if query else "PUT", f"/{bucket}/k", query, headers, b"" if query else BODY)
        assert reply.status in (400, 501)
        assert algorithm in reply.message.upper()
    assert_empty(s3, bucket)


@pytest.mark.parametrize("algorithm, kind", [
    (a, k) for a in ALGORITHMS for k in ("COMPOSITE", "FULL_OBJECT")])
def test_multipart_checksums_are_composite_or_of_the_whole_object(s3, bucket, algorithm, kind):
    allowed = {"CRC64NVME": ["FULL_OBJECT"], "SHA1": ["COMPOSITE"], "SHA256": ["COMPOSITE"]}.get(
        algorithm, ["COMPOSITE", "FULL_OBJECT"])
    more = {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    if kind not in allowed:
        answer = refused(Upload, s3, bucket, **more)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert algorithm.lower() in answer.message.lower()
        return
    bodies = [os.urandom(PART), os.urandom(7)]
    upload = Upload(s3, bucket, **more)
    assert (upload.created["ChecksumAlgorithm"], upload.created["ChecksumType"]) == (algorithm, kind)
    name, rows = f"Checksum{algorithm}", []
    bad = refused(s3.upload_part, **upload.where, PartNumber=1, Body=b"x", **{name: checksum(algorithm, b"y")})
    assert (bad.status, bad.code) == (400, "BadDigest")
    for number, body in enumerate(bodies, 1):
        value = checksum(algorithm, body)
        answer = s3.upload_part(**upload.where, PartNumber=number, Body=body, **{name: value})
        assert answer[name] == value
        rows.append({"PartNumber": number, "ETag": answer["ETag"], name: value})
    listed = s3.list_parts(**upload.where)
    assert [p[name] for p in listed["Parts"]] == [r[name] for r in rows] and listed["ChecksumType"] == kind
    if kind == "COMPOSITE":
        want = b64(CHECKSUMS[algorithm](b"".join(base64.b64decode(r[name]) for r in rows))) + "-2"
    else:
        want = checksum(algorithm, b"".join(bodies))
    swapped = [{**rows[0], name: rows[1][name]}, rows[1]]
    answer = refused(s3.complete_multipart_upload, **upload.where, MultipartUpload={"Parts": swapped})
    assert (answer.status, answer.code) == (400, "InvalidPart")
    answer = refused(s3.complete_multipart_upload, **upload.where, MultipartUpload={"Parts": rows},
                     **{name: checksum(algorithm, b"other") + ("-2" if kind == "COMPOSITE" else "")})
    assert (answer.status, answer.code) == (400, "BadDigest")
    done = s3.complete_multipart_upload(**upload.where, MultipartUpload={"Parts": rows}, MpuObjectSize=PART + 7)
    assert (done[name], done["ChecksumType"]) == (want, kind)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (want, kind)


def test_an_upload_of_another_size_than_announced_is_refused(s3, bucket):
    upload = Upload(s3, bucket)
    upload.part(1, b"abc")
    answer = refused(upload.complete, MpuObjectSize=4)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    upload.complete(MpuObjectSize=3)


def test_a_part_without_the_uploads_checksum_is_refused(raw, s3, bucket):
    upload = Upload(s3, bucket, ChecksumAlgorithm="SHA256")
    part = [("partNumber", "1"), ("uploadId", upload.where["UploadId"])]
    reply = raw.send("PUT", f"/{bucket}/k", part, {header("CRC32"): checksum("CRC32", b"x")}, b"x")
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert reply.message == ("Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: "
                             "crc32")


def test_multipart_without_a_checksum_has_crc64nvme_of_the_whole(raw, s3, bucket):
    bodies = [os.urandom(PART), b"tail"]
    upload = raw.send("POST", f"/{bucket}/k", ["uploads"]).field("UploadId")
    rows = ""
    for number, body in enumerate(bodies, 1):
        reply = raw.send("PUT", f"/{bucket}/k", [("partNumber", str(number)), ("uploadId", upload)], body=body)
        rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{reply.headers['ETag']}</ETag></Part>"
    xml = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    assert raw.send("POST", f"/{bucket}/k", [("uploadId", upload)], body=xml).status == 200
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == checksum("CRC64NVME", b"".join(bodies))
    assert head["ChecksumType"] == "FULL_OBJECT"


def test_object_attributes_are_the_ones_that_were_asked_for(s3, versioned):
    upload = Upload(s3, versioned, ChecksumAlgorithm="SHA256")
    bodies = [os.urandom(PART), b"tail"]
    rows = []
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(**upload.where, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        rows.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    done = s3.complete_multipart_upload(**upload.where, MultipartUpload={"Parts": rows})
    every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    def ask(*names, **more):
        return s3.get_object_attributes(Bucket=versioned, Key="k", ObjectAttributes=list(names or every), **more)
    found = ask()
    assert (found["ETag"], found["ObjectSize"], found["StorageClass"], found["VersionId"]) == (
        done["ETag"].strip('"'), PART + 4, "STANDARD", done["VersionId"])
    # Here, and only here, S3 shows a composite checksum without its count of parts.
    assert found["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"].partition("-")[0],
                                 "ChecksumType": "COMPOSITE"}
    parts = found["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"]) == (2, False)
    assert [(p["PartNumber"], p["Size"], p["ChecksumSHA256"]) for p in parts["Parts"]] == [
        (n, len(b), checksum("SHA256", b)) for n, b in enumerate(bodies, 1)]
    page = ask("ObjectParts", MaxParts=1)["ObjectParts"]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], len(page["Parts"])) == (True, 1, 1)
    page = ask("ObjectParts", PartNumberMarker=1)["ObjectParts"]
    assert [p["PartNumber"] for p in page["Parts"]] == [2]
    assert set(ask("ETag")) & set(every) == {"ETag"}
    raw_headers = found["ResponseMetadata"]["HTTPHeaders"]
    assert not [h for h in raw_headers if h.startswith("x-amz-server-side-encryption")]
    s3.put_object(Bucket=versioned, Key="plain", Body=b"x")
    assert "ObjectParts" not in s3.get_object_attributes(
        Bucket=versioned, Key="plain", ObjectAttributes=every)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    assert (refused(ask).status, refused(ask, VersionId=marker).status) == (404, 405)


def test_object_attributes_need_to_be_named(raw, bucket):
    raw.send("PUT", f"/{bucket}/k", body=b"x")
    for headers in ({}, {"x-amz-object-attributes": "Nothing"}):
        reply = raw.send("GET", f"/{bucket}/k", ["attributes"], headers)
        assert (reply.status, reply.code) == (400, "InvalidArgument")
