"""SSE-C row by row: spec 2.2 (writes), 2.4 (reads), 2.7 (multipart), copies, versions, POST forms, presigned URLs."""

import base64
import hashlib
import os

import pytest

from conftest import assert_empty, refused
from s3raw import b64, checksum, md5_b64, ssec
from test_auth import form

A = base64.b64decode("pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=")
B = base64.b64decode("6b+WOZ1T3cqZMxgThRcXAQBrS5mXKdDUphvpxptl9/4=")
C = "x-amz-server-side-encryption-customer-"
SRC = "x-amz-copy-source-server-side-encryption-customer-"
SSE = "x-amz-server-side-encryption"
BAD_ALGORITHM = "The Encryption request you specified is not valid. Supported value: AES256."
NEED = "Requests specifying Server Side Encryption with Customer provided keys must provide "
WRONG_PARAMETERS = ("The object was stored using a form of Server Side Encryption. "
                    "The correct parameters must be provided to retrieve the object.")
WRONG_KEY = NEED + "the correct secret key."
NOT_APPLICABLE = "The encryption parameters are not applicable to this object."
PART_WITHOUT = ("The multipart upload initiate requested encryption. Subsequent part requests must include the "
                "appropriate encryption parameters.")
PART_OTHER = "The provided encryption parameters did not match the ones used originally."
SHORT = b"k" * 24


def trio(secret=A, prefix=C, **changes):
    """The three headers of `secret`; a change to None leaves one out."""
    values = {"algorithm": "AES256", "key": b64(secret), "key-MD5": md5_b64(secret), **changes}
    return {prefix + name: value for name, value in values.items() if value is not None}


# (what, headers, code, message, ArgumentValue): in the order in which AWS looks.
WRITES = [
    ("both kinds", {**trio(), SSE: "AES256"}, "InvalidArgument", "Server Side Encryption with Customer provided key is "
     "incompatible with the encryption method specified", "AES256"),
    ("conflict before algorithm", {**trio(algorithm="KMS"), SSE: "AES256"}, "InvalidArgument", "Server Side Encryption "
     "with Customer provided key is incompatible with the encryption method specified", "AES256"),
    ("conflict before kms", {**trio(), SSE: "aws:kms"}, "InvalidArgument", "Server Side Encryption with Customer "
     "provided key is incompatible with the encryption method specified", "aws:kms"),
    ("no algorithm", trio(algorithm=None), "InvalidArgument", NEED + "a valid encryption algorithm.", None),
    ("md5 alone", trio(algorithm=None, key=None), "InvalidArgument",
     NEED + "a valid encryption algorithm.", None),
    ("other algorithm", trio(algorithm="AES192"), "InvalidEncryptionAlgorithmError", BAD_ALGORITHM, "AES192"),
    ("lower case algorithm", trio(algorithm="aes256"), "InvalidEncryptionAlgorithmError", BAD_ALGORITHM, "aes256"),
    ("algorithm before key", trio(algorithm="KMS", key=None), "InvalidEncryptionAlgorithmError", BAD_ALGORITHM, "KMS"),
    ("no key", trio(key=None), "InvalidArgument", NEED + "an appropriate secret key.",
     None),
    ("algorithm alone", {C + "algorithm": "AES256"}, "InvalidArgument", NEED + "an appropriate secret key.", None),
    ("no md5", trio(**{"key-MD5": None}), "InvalidArgument", NEED + "the client calculated MD5 of the secret key.",
     None),
    ("other md5", trio(**{"key-MD5": md5_b64(B)}), "InvalidArgument",
     "The calculated MD5 hash of the key did not match the hash that was provided.", None),
    ("md5 before length", trio(SHORT, **{"key-MD5": md5_b64(B)}), "InvalidArgument",
     "The calculated MD5 hash of the key did not match the hash that was provided.", None),
    ("24 bytes", trio(SHORT), "InvalidArgument", "The secret key was invalid for the specified algorithm.", None),
    ("33 bytes", trio(A + b"x"), "InvalidArgument", "The secret key was invalid for the specified algorithm.", None),
    ("no base64", {**trio(), C + "key": "*" * 44}, "InvalidArgument",
     "The secret key was invalid for the specified algorithm.", None),
]


@pytest.mark.parametrize("what, headers, code, message, value", WRITES, ids=[w[0] for w in WRITES])
def test_a_write_with_bad_parameters_is_refused_in_the_order_of_aws(raw, s3, bucket, what, headers, code, message,
                                                                    value):
    source = bucket + "-s"
    raw.send("PUT", f"/{source}"), raw.send("PUT", f"/{source}/k", body=b"x")
    upload = s3.create_multipart_upload(Bucket=source, Key="u", SSECustomerAlgorithm="AES256",
                                        SSECustomerKey=A)["UploadId"]
    writes = [("PUT", f"/{bucket}/k", [], {}, b"data"), ("POST", f"/{bucket}/k", ["uploads"], {}, b""),
              ("PUT", f"/{bucket}/k", [], {"x-amz-copy-source": f"/{source}/k"}, b"")]
    if SSE not in headers:
        writes.append(("PUT", f"/{source}/u", [("partNumber", "1"), ("uploadId", upload)], {}, b"data"))
    for method, path, query, more, body in writes:
        reply = raw.send(method, path, query, {**headers, **more}, body)
        assert (reply.status, reply.code, reply.message) == (400, code, message), (method, query, more)
        assert reply.field("ArgumentName") == SSE
        assert reply.field("ArgumentValue") in ([value] if value else [None, "null"])
        assert b64(A).encode() not in reply.body
    assert_empty(s3, bucket)
    assert not s3.list_parts(Bucket=source, Key="u", UploadId=upload).get("Parts")


@pytest.mark.parametrize("size", [0, 1, 13, 1024, 65535, 65536, 65537, 1 << 20, 8 << 20])
def test_an_object_opens_with_its_key_and_shows_no_other_encryption(raw, bucket, size):
    data = os.urandom(size)
    put = raw.send("PUT", f"/{bucket}/k", headers=trio(), body=data)
    replies = [put, raw.send("GET", f"/{bucket}/k", headers=trio()), raw.send("HEAD", f"/{bucket}/k", headers=trio())]
    for reply in replies:
        assert reply.status == 200
        assert (reply.headers[C + "algorithm"], reply.headers[C + "key-MD5"]) == ("AES256", md5_b64(A))
        assert reply.headers[SSE] is None and reply.headers[C + "key"] is None
        assert reply.headers["ETag"] == put.headers["ETag"]
    etag = put.headers["ETag"].strip('"')
    assert len(etag) == 32 and int(etag, 16) >= 0 and etag != hashlib.md5(data).hexdigest()
    assert replies[1].body == data
    if size > 1:
        ranged = raw.send("GET", f"/{bucket}/k", headers={**trio(), "Range": f"bytes={size // 2}-"})
        assert (ranged.status, ranged.body) == (206, data[size // 2:])
    again = raw.send("PUT", f"/{bucket}/k2", headers=trio(), body=data)
    assert again.headers["ETag"] != put.headers["ETag"], "equal content shows through the ETag"
    listed = raw.send("GET", f"/{bucket}", [("list-type", "2")])
    assert (listed.field("Size"), listed.field("ETag")) == (str(size), put.headers["ETag"])


READS = [
    ("no header", {}, 400, "InvalidRequest", WRONG_PARAMETERS),
    ("bad algorithm", trio(algorithm="AES192"), 400, "InvalidEncryptionAlgorithmError", BAD_ALGORITHM),
    ("wrong key", trio(B), 403, "AccessDenied", WRONG_KEY),
    ("short key with its md5", trio(SHORT), 403, "AccessDenied", WRONG_KEY),
    ("long key with its md5", trio(b64(A).encode()), 403, "AccessDenied", WRONG_KEY),
    ("right key, other md5", trio(**{"key-MD5": md5_b64(B)}), 400, "InvalidArgument",
     "The calculated MD5 hash of the key did not match the hash that was provided."),
    ("sse header", {SSE: "AES256"}, 400, None, None),
    ("sse header and trio", {**trio(), SSE: "AES256"}, 400, None, None),
]


@pytest.mark.parametrize("what, headers, status, code, message", READS, ids=[r[0] for r in READS])
def test_a_read_with_other_parameters_is_refused(raw, bucket, what, headers, status, code, message):
    raw.send("PUT", f"/{bucket}/k", headers=trio(), body=b"secret body")
    for query, more in [([], {}), ([], {"Range": "bytes=0-1"}),
                        (["attributes"], {"x-amz-object-attributes": "ETag,Checksum"})]:
        reply = raw.send("GET", f"/{bucket}/k", query, {**headers, **more})
        assert reply.status == status, (what, query, reply)
        assert (code, message) == (None, None) or (reply.code, reply.message) == (code, message)
        assert b"secret body" not in reply.body
    reply = raw.send("HEAD", f"/{bucket}/k", headers=headers)
    assert (reply.status, reply.body) == (status, b"")
    if any(k.startswith(C) for k in headers) or not headers:
        source = {k.replace(C, SRC): v for k, v in headers.items() if k.startswith(C)}
        reply = raw.send("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": f"/{bucket}/k", **source})
        if SSE not in headers:
            assert (reply.status, reply.code, reply.message) == (status, code, message)
            assert raw.send("HEAD", f"/{bucket}/copy").status == 404


def test_parameters_on_an_object_without_sse_c_are_refused(raw, bucket):
    raw.send("PUT", f"/{bucket}/k", body=b"x")
    reply = raw.send("GET", f"/{bucket}/k", headers=trio())
    assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", NOT_APPLICABLE)
    assert raw.send("HEAD", f"/{bucket}/k", headers=trio()).status == 400
    reply = raw.send("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": f"/{bucket}/k", **trio(prefix=SRC)})
    assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", NOT_APPLICABLE)
    assert raw.send("GET", f"/{bucket}/none", headers=trio()).code == "NoSuchKey"


@pytest.mark.parametrize("source", [None, A])
@pytest.mark.parametrize("target", [None, {SSE: "AES256"}, A, B])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_copy_goes_from_any_mode_to_any_mode(raw, bucket, source, target, size):
    data = os.urandom(size)
    raw.send("PUT", f"/{bucket}/k", headers=trio(source) if source else {}, body=data)
    headers = {"x-amz-copy-source": f"/{bucket}/k", **(trio(source, SRC) if source else {})}
    headers |= trio(target) if isinstance(target, bytes) else target or {}
    reply = raw.send("PUT", f"/{bucket}/copy", headers=headers)
    assert reply.status == 200
    etag = (reply.field("ETag") or "").strip('"')
    if isinstance(target, bytes):
        assert reply.headers[C + "key-MD5"] == md5_b64(target) and reply.headers[SSE] is None
        assert etag != hashlib.md5(data).hexdigest()
        assert raw.send("GET", f"/{bucket}/copy", headers=trio(target)).body == data
        assert raw.send("GET", f"/{bucket}/copy").status == 400
    else:
        assert reply.headers[SSE] == "AES256" and reply.headers[C + "algorithm"] is None
        assert etag == hashlib.md5(data).hexdigest()
        assert raw.send("GET", f"/{bucket}/copy").body == data


def test_bad_algorithms_of_source_and_target_are_one_error(raw, bucket):
    raw.send("PUT", f"/{bucket}/k", headers=trio(), body=b"x")
    headers = {"x-amz-copy-source": f"/{bucket}/k", **trio(algorithm="BAD"), **trio(prefix=SRC, algorithm="BAD")}
    reply = raw.send("PUT", f"/{bucket}/copy", headers=headers)
    assert (reply.status, reply.code, reply.message, reply.field("ArgumentName")) == (
        400, "InvalidEncryptionAlgorithmError", BAD_ALGORITHM, SSE)


def test_the_key_is_turned_by_a_copy_onto_itself(raw, versioned):
    first = raw.send("PUT", f"/{versioned}/k", headers=trio(A), body=b"data").headers["x-amz-version-id"]
    headers = {"x-amz-copy-source": f"/{versioned}/k", **trio(A, SRC), **trio(B)}
    assert raw.send("PUT", f"/{versioned}/k", headers=headers).status == 200
    assert raw.send("GET", f"/{versioned}/k", headers=trio(B)).body == b"data"
    assert raw.send("GET", f"/{versioned}/k", headers=trio(A)).code == "AccessDenied"
    assert raw.send("GET", f"/{versioned}/k", [("versionId", first)], trio(A)).body == b"data"


def test_each_version_has_its_own_key(raw, versioned):
    ids = {}
    for key, body in ((A, b"a"), (B, b"b"), (None, b"plain")):
        reply = raw.send("PUT", f"/{versioned}/k", headers=trio(key) if key else {}, body=body)
        ids[key] = reply.headers["x-amz-version-id"], body
    for key, (version, body) in ids.items():
        for given in (A, B, None):
            reply = raw.send("GET", f"/{versioned}/k", [("versionId", version)], trio(given) if given else {})
            if given == key:
                assert reply.body == body
            else:
                want = (400, WRONG_PARAMETERS) if given is None else (400, NOT_APPLICABLE) if key is None else (
                    403, WRONG_KEY)
                assert (reply.status, reply.message) == want
    for version, _ in ids.values():  # Deleting needs no key.
        assert raw.send("DELETE", f"/{versioned}/k", [("versionId", version)]).status == 204
    assert raw.send("GET", f"/{versioned}/k").code == "NoSuchKey"


def test_tags_and_deletion_need_no_key(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey=A, Tagging="a=b")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": []})
    s3.delete_object(Bucket=bucket, Key="k")
    assert_empty(s3, bucket)


class Parts:
    """A raw multipart upload, so that each request has exactly the headers that the test gives it."""

    def __init__(self, raw, bucket, headers):
        self.raw, self.path = raw, f"/{bucket}/m"
        self.reply = raw.send("POST", self.path, ["uploads"], headers)
        self.id, self.rows = self.reply.field("UploadId"), []

    def part(self, number, body, headers):
        reply = self.raw.send("PUT", self.path, [("partNumber", str(number)), ("uploadId", self.id)], headers, body)
        if reply.status == 200:
            etag = reply.headers["ETag"] or f'"{reply.field("ETag")}"'
            self.rows.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        return reply

    def complete(self, headers=None):
        xml = f"<CompleteMultipartUpload>{''.join(self.rows)}</CompleteMultipartUpload>".encode()
        return self.raw.send("POST", self.path, [("uploadId", self.id)], headers, xml)


def test_every_part_needs_the_key_of_the_upload(raw, bucket):
    upload = Parts(raw, bucket, trio())
    assert (upload.reply.headers[C + "algorithm"], upload.reply.headers[C + "key-MD5"]) == ("AES256", md5_b64(A))
    assert upload.reply.headers[SSE] is None
    for headers, message in [({}, PART_WITHOUT), (trio(B), PART_OTHER)]:
        reply = upload.part(1, b"x", headers)
        assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", message)
    assert upload.part(1, b"x", trio(**{"key-MD5": md5_b64(B)})).status == 400
    assert upload.complete().status == 400  # There is no part.
    plain = Parts(raw, bucket, {})
    reply = plain.part(1, b"x", trio())
    assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", PART_WITHOUT)
    reply = upload.part(1, b"x", trio())
    assert (reply.status, reply.headers[C + "key-MD5"], reply.headers[SSE]) == (200, md5_b64(A), None)


@pytest.mark.parametrize("part_size", [5 << 20, (5 << 20) + 1])
@pytest.mark.parametrize("complete_with", [{}, trio()])
def test_a_multipart_object_opens_with_its_key_at_every_edge(raw, bucket, part_size, complete_with):
    data = os.urandom(2 * part_size + 77)
    upload = Parts(raw, bucket, {**trio(), "x-amz-meta-a": "1", "Content-Type": "a/b"})
    etags = []
    for number in (1, 2, 3):
        body = data[(number - 1) * part_size:number * part_size]
        etag = upload.part(number, body, trio()).headers["ETag"].strip('"')
        assert etag != hashlib.md5(body).hexdigest()
        etags.append(etag)
    assert raw.send("GET", upload.path, headers=trio()).code == "NoSuchKey"
    assert raw.send("GET", upload.path).code == "NoSuchKey"
    parts = raw.send("GET", upload.path, [("uploadId", upload.id)])
    assert (parts.status, parts.field("Size")) == (200, str(part_size))
    reply = upload.complete(complete_with)
    assert (reply.status, reply.headers[SSE]) == (200, None)
    want = hashlib.md5(b"".join(bytes.fromhex(e) for e in etags)).hexdigest() + "-3"
    assert reply.field("ETag").strip('"') == want
    found = raw.send("GET", upload.path, headers=trio())
    assert found.body == data and found.headers["x-amz-meta-a"] == "1" and found.headers["Content-Type"] == "a/b"
    for first in (0, part_size - 1, part_size, part_size + 1, 2 * part_size - 65536, len(data) - 1):
        got = raw.send("GET", upload.path, headers={**trio(), "Range": f"bytes={first}-{first + 70_000}"})
        assert got.body == data[first:first + 70_001]
    got = raw.send("GET", upload.path, [("partNumber", "2")], trio())
    assert got.body == data[part_size:2 * part_size] and got.headers["x-amz-mp-parts-count"] == "3"
    assert raw.send("GET", upload.path, headers=trio(B)).code == "AccessDenied"
    assert raw.send("GET", upload.path).message == WRONG_PARAMETERS
    if not complete_with:  # Completed without the key, there is nothing to seal a checksum under.
        head = raw.send("HEAD", upload.path, headers={**trio(), "x-amz-checksum-mode": "ENABLED"})
        assert not [h for h in head.headers if h.lower().startswith("x-amz-checksum")]


def test_completion_needs_the_right_key_or_none(raw, bucket):
    upload = Parts(raw, bucket, trio())
    upload.part(1, b"x", trio())
    reply = upload.complete(trio(B))
    assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", PART_OTHER)
    assert upload.complete().status == 200


def test_completion_of_an_upload_with_checksums_needs_the_key(raw, bucket):
    upload = Parts(raw, bucket, {**trio(), "x-amz-checksum-algorithm": "SHA256"})
    value = checksum("SHA256", b"x")
    assert upload.part(1, b"x", {**trio(), "x-amz-checksum-sha256": value}).status == 200
    upload.rows = [row.replace("</Part>", f"<ChecksumSHA256>{value}</ChecksumSHA256></Part>") for row in upload.rows]
    assert upload.complete().status == 400
    reply = upload.complete(trio())
    assert reply.status == 200 and reply.field("ChecksumSHA256").endswith("-1")
    head = raw.send("HEAD", upload.path, headers={**trio(), "x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-sha256"] == reply.field("ChecksumSHA256")


def test_parts_are_copied_between_keys(raw, bucket):
    data = os.urandom(200_000)
    raw.send("PUT", f"/{bucket}/source", headers=trio(A), body=data)
    raw.send("PUT", f"/{bucket}/plain", body=data)
    copy = {"x-amz-copy-source": f"/{bucket}/source", "x-amz-copy-source-range": "bytes=65530-140000"}
    for source, want in [({}, (400, WRONG_PARAMETERS)), (trio(B, SRC), (403, WRONG_KEY))]:
        reply = Parts(raw, bucket, trio(B)).part(1, b"", {**copy, **trio(B), **source})
        assert (reply.status, reply.message) == want
    plain = {**copy, "x-amz-copy-source": f"/{bucket}/plain"}
    for start, headers in [(trio(B), {**copy, **trio(B), **trio(A, SRC)}), ({}, {**copy, **trio(A, SRC)}),
                           (trio(B), {**plain, **trio(B)})]:
        upload = Parts(raw, bucket, start)
        reply = upload.part(1, b"", headers)
        assert reply.status == 200
        assert upload.complete().status == 200
        assert raw.send("GET", upload.path, headers=start).body == data[65530:140001]
    reply = Parts(raw, bucket, trio(B)).part(1, b"", {**plain, **trio(B), **trio(A, SRC)})
    assert (reply.status, reply.message) == (400, NOT_APPLICABLE)
    reply = Parts(raw, bucket, trio(B)).part(1, b"", {**copy, **trio(A, SRC)})
    assert (reply.status, reply.message) == (400, PART_WITHOUT)


def test_a_single_put_has_a_checksum_that_the_key_opens(raw, bucket):
    raw.send("PUT", f"/{bucket}/k", headers=trio(), body=b"data")
    mode = {"x-amz-checksum-mode": "ENABLED"}
    head = raw.send("HEAD", f"/{bucket}/k", headers={**trio(), **mode})
    assert head.headers["x-amz-checksum-crc64nvme"] == checksum("CRC64NVME", b"data")
    reply = raw.send("GET", f"/{bucket}/k", ["attributes"], {**trio(), "x-amz-object-attributes": "Checksum,ObjectSize"})
    assert (reply.status, reply.field("ChecksumCRC64NVME"), reply.field("ObjectSize")) == (
        200, checksum("CRC64NVME", b"data"), "4")


def test_a_browser_form_carries_the_key_as_fields(raw, s3, bucket):
    fields = trio()
    conditions = [["starts-with", f"${name}", ""] for name in fields]
    assert form(raw, bucket, conditions=conditions, fields=fields).status == 204
    assert raw.send("GET", f"/{bucket}/k", headers=trio()).body == b"data"
    assert raw.send("GET", f"/{bucket}/k").message == WRONG_PARAMETERS
    reply = form(raw, bucket, "bad", conditions, trio(algorithm="AES192"))
    assert (reply.status, reply.code) == (400, "InvalidEncryptionAlgorithmError")
    assert raw.send("HEAD", f"/{bucket}/bad").status == 404


def test_a_presigned_url_binds_the_key_headers(raw, bucket):
    signed = ("host", *(name.lower() for name in trio()))
    assert raw.send("PUT", f"/{bucket}/k", headers=trio(), body=b"x", sign="query", signed=signed).status == 200
    assert raw.send("GET", f"/{bucket}/k", headers=trio(), sign="query", signed=signed).body == b"x"
    def other(request):
        request.headers.update(trio(B))
    reply = raw.send("GET", f"/{bucket}/k", headers=trio(), sign="query", signed=signed, tamper=other)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    reply = raw.send("GET", f"/{bucket}/k", headers=trio(), sign="query")  # Sent, but not signed.
    assert (reply.status, reply.code) == (403, "AccessDenied")


def test_header_names_are_of_any_case(raw, bucket):
    headers = {k.upper(): v for k, v in ssec(A).items()}
    assert raw.send("PUT", f"/{bucket}/k", headers=headers, body=b"x").status == 200
    assert raw.send("GET", f"/{bucket}/k", headers={k.lower(): v for k, v in headers.items()}).body == b"x"


def test_boto3_sends_the_key_its_own_way(s3, bucket):
    """botocore encodes the raw key and computes its MD5."""
    more = {"Bucket": bucket, "Key": "k", "SSECustomerAlgorithm": "AES256"}
    s3.put_object(Body=b"x", SSECustomerKey=A, **more)
    assert s3.get_object(SSECustomerKey=A, **more)["Body"].read() == b"x"
    answer = refused(s3.get_object, SSECustomerKey=b64(A), **more)  # 44 bytes: a match decides, not the length.
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert refused(s3.head_object, SSECustomerKey=B, **more).status == 403
