"""Server-side encryption by operation: every way to encrypt times every way to write, read and delete.

Each cell does the operation, checks it (bytes back, headers, borders, refusals) and tells in one line what the client
saw. The lines are the table in docs/compatibility.md; a cell that is missing there, or tells otherwise, fails.
`pytest tests/e2e/test_sse_matrix.py -n0 --write-sse-matrix` writes the table anew.
"""

import base64
import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import ROOT, new_bucket, refused

DOCUMENT = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- sse matrix: generated -->", "<!-- end of sse matrix -->"
SEGMENT, PART = 64 << 10, 5 << 20
CUSTOMER_KEY = bytes(range(32))
BODY = (b"0123456789abcdef" * (PART // 16))[:PART] + os.urandom(SEGMENT + 777)
SMALL = b"matrix " * 20000


class World:
    """One bucket, one key, one alias: what the modes need."""

    def __init__(self, clients):
        config = {"signature_version": "s3v4"}
        self.s3, self.kms = clients.boto(**config), clients.boto(service="kms")
        self.raw = clients.raw()
        self.bucket = new_bucket(self.s3)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        metadata = self.kms.create_key(Description="matrix")["KeyMetadata"]
        self.key_id, self.key_arn = metadata["KeyId"], metadata["Arn"]
        self.alias = f"alias/matrix-{uuid.uuid4().hex}"
        self.kms.create_alias(AliasName=self.alias, TargetKeyId=self.key_id)
        self.managed_arn = self.kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]

    def name(self):
        return f"o/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def world(clients):
    return World(clients)


CONTEXT = base64.b64encode(json.dumps({"department": "10"}).encode()).decode()

# What a write sends (boto3's words), and which key it must end with.
MODES = {
    "none given": lambda w: ({}, None),
    "AES256": lambda w: ({"ServerSideEncryption": "AES256"}, None),
    "aws:kms": lambda w: ({"ServerSideEncryption": "aws:kms"}, w.managed_arn),
    "aws:kms, key id": lambda w: ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.key_id}, w.key_arn),
    "aws:kms, alias": lambda w: ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.alias}, w.key_arn),
    "aws:kms, context": lambda w: ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.key_arn,
                                    "SSEKMSEncryptionContext": CONTEXT}, w.key_arn),
    "aws:kms, bucket key": lambda w: ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.key_arn,
                                       "BucketKeyEnabled": True}, w.key_arn),
    "aws:kms:dsse": lambda w: ({"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": w.key_arn}, w.key_arn),
    "SSE-C": lambda w: ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}, None),
}
HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
}


def customer(sent, prefix=""):
    """The SSE-C members of a read, empty for other modes."""
    return {prefix + k: v for k, v in sent.items() if k.startswith("SSECustomer")}


def customer_headers():
    md5 = base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode()
    head = "x-amz-server-side-encryption-customer-"
    return {head + "algorithm": "AES256", head + "key": base64.b64encode(CUSTOMER_KEY).decode(), head + "key-MD5": md5}


def as_headers(sent):
    if customer(sent):
        return customer_headers()
    return {HEADERS[k]: str(v).lower() if isinstance(v, bool) else v for k, v in sent.items()}


def shown(answer):
    """What the answer says about the encryption, in a few words. `answer` is boto3's or a dict of headers."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders") or {k.lower(): v for k, v in answer.items()}
    words = []
    if value := headers.get("x-amz-server-side-encryption"):
        words.append(f"`{value}`")
    if "x-amz-server-side-encryption-aws-kms-key-id" in headers:
        words.append("key ARN")
    if headers.get("x-amz-server-side-encryption-bucket-key-enabled") == "true":
        words.append("bucket key")
    if "x-amz-server-side-encryption-context" in headers:
        words.append("context")
    if "x-amz-server-side-encryption-customer-algorithm" in headers:
        words.append("customer algorithm, key MD5")
        assert headers["x-amz-server-side-encryption-customer-key-md5"] == customer_headers()[
            "x-amz-server-side-encryption-customer-key-MD5"]
    return ", ".join(words) or "nothing"


def without_context(answer):
    """As a read shows it: what the context was is told to the writer alone."""
    return shown(answer).replace(", context", "")


def key_of(answer):
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders") or {k.lower(): v for k, v in answer.items()}
    return headers.get("x-amz-server-side-encryption-aws-kms-key-id")


def etag_kind(etag, body):
    etag = etag.strip('"')
    if re.fullmatch(r"[0-9a-f]{32}-\d+", etag):
        return "ETag of parts"
    assert re.fullmatch(r"[0-9a-f]{32}", etag), etag
    return "ETag is the MD5" if etag == hashlib.md5(body).hexdigest() else "ETag is opaque"


def read_back(w, name, sent, body):
    answer = w.s3.get_object(Bucket=w.bucket, Key=name, **customer(sent))
    assert answer["Body"].read() == body
    return answer


def put(w, sent, body=SMALL):
    name = w.name()
    return name, w.s3.put_object(Bucket=w.bucket, Key=name, Body=body, **sent)


def op_put(w, sent, key):
    name, answer = put(w, sent)
    read = read_back(w, name, sent, SMALL)
    assert key_of(answer) == key_of(read) == key and without_context(answer) == shown(read)
    return f"200: {shown(answer)}; {etag_kind(answer['ETag'], SMALL)}"


def send(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def presigned_put(w, sent, name):
    url = w.s3.generate_presigned_url("put_object", Params={"Bucket": w.bucket, "Key": name, **sent})
    signed = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
    headers = as_headers(sent)
    sendable = {k: v for k, v in headers.items() if k.lower() in signed or customer(sent)}
    return send(urllib.request.Request(url, data=SMALL, method="PUT", headers=sendable))


def op_presigned_put(w, sent, key):
    name = w.name()
    status, answered, text = presigned_put(w, sent, name)
    assert status == 200, text
    assert key_of(answered) == key
    read_back(w, name, sent, SMALL)
    return f"200: {shown(answered)}"


def post_form(w, sent, name):
    fields = as_headers(sent)
    form = w.s3.generate_presigned_post(w.bucket, name, Fields=dict(fields),
                                        Conditions=[{k: v} for k, v in fields.items()])
    boundary = uuid.uuid4().hex
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
             for k, v in form["fields"].items()]
    lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*lines, SMALL, f"\r\n--{boundary}--\r\n".encode()])
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return send(urllib.request.Request(form["url"], data=body, headers=kind, method="POST"))


def op_post_form(w, sent, key):
    name = w.name()
    status, answered, text = post_form(w, sent, name)
    assert status == 204, text
    assert key_of(answered) == key
    read_back(w, name, sent, SMALL)
    return f"204: {shown(answered)}"


def multipart(w, sent, parts, copy_from=None):
    """Uploads `parts`; returns the name and what create, part and Complete showed."""
    name = w.name()
    created = w.s3.create_multipart_upload(Bucket=w.bucket, Key=name, **sent)
    upload = {"Bucket": w.bucket, "Key": name, "UploadId": created["UploadId"]}
    done = []
    for number, part in enumerate(parts, 1):
        if copy_from:
            answer = w.s3.upload_part_copy(**upload, PartNumber=number, CopySource=copy_from[0], CopySourceRange=part,
                                           **customer(sent), **customer(copy_from[1], "CopySource"))
            etag = answer["CopyPartResult"]["ETag"]
        else:
            answer = w.s3.upload_part(**upload, PartNumber=number, Body=part, **customer(sent))
            etag = answer["ETag"]
        done.append({"PartNumber": number, "ETag": etag})
    completed = w.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done}, **customer(sent))
    return name, created, answer, completed


def op_multipart(w, sent, key):
    name, created, part, completed = multipart(w, sent, [BODY[:PART], BODY[PART:]])
    read = read_back(w, name, sent, BODY)
    assert key_of(created) == key_of(part) == key_of(completed) == key_of(read) == key
    return f"Create {shown(created)}; part {shown(part)}; Complete {shown(completed)}; " \
           f"{etag_kind(completed['ETag'], BODY)}"


def op_part_copy(w, sent, key):
    source, _ = put(w, {}, BODY)
    ranges = [f"bytes=0-{PART - 1}", f"bytes={PART}-{len(BODY) - 1}"]
    name, created, part, completed = multipart(w, sent, ranges, ({"Bucket": w.bucket, "Key": source}, {}))
    read_back(w, name, sent, BODY)
    # And from this mode into a plain upload.
    back, *_ = multipart(w, {}, ranges, ({"Bucket": w.bucket, "Key": name}, sent))
    read_back(w, back, {}, BODY)
    assert key_of(created) == key_of(part) == key_of(completed) == key
    return f"Create {shown(created)}; part {shown(part)}; Complete {shown(completed)}"


def copy_from(mode):
    def op(w, sent, key):
        from_sent, _ = MODES[mode](w)
        source, _ = put(w, from_sent)
        name = w.name()
        answer = w.s3.copy_object(Bucket=w.bucket, Key=name, CopySource={"Bucket": w.bucket, "Key": source}, **sent,
                                  **customer(from_sent, "CopySource"))
        read = read_back(w, name, sent, SMALL)
        assert key_of(answer) == key_of(read) == key and without_context(answer) == shown(read)
        if customer(from_sent):
            wrong = refused(w.s3.copy_object, Bucket=w.bucket, Key=w.name(),
                            CopySource={"Bucket": w.bucket, "Key": source}, **sent)
            assert (wrong.status, wrong.code) == (400, "InvalidRequest")
        return f"200: {shown(answer)}; {etag_kind(answer['CopyObjectResult']['ETag'], SMALL)}"
    return op


def refuse_write_header(w, call, name, sent):
    """The headers of a write have no meaning on a read."""
    event = f"before-sign.s3.{call}"

    def add(request, **_):
        request.headers["x-amz-server-side-encryption"] = sent.get("ServerSideEncryption", "AES256")

    w.s3.meta.events.register(event, add)
    try:
        method = w.s3.get_object if call == "GetObject" else w.s3.head_object
        failure = refused(method, Bucket=w.bucket, Key=name, **customer(sent))
    finally:
        w.s3.meta.events.unregister(event, add)
    assert failure.status == 400, failure.answer


def op_get(w, sent, key):
    name, _ = put(w, sent)
    answer = read_back(w, name, sent, SMALL)
    assert key_of(answer) == key
    refuse_write_header(w, "GetObject", name, sent)
    words = f"200: {shown(answer)}; with a write's header 400"
    if customer(sent):
        failure = refused(w.s3.get_object, Bucket=w.bucket, Key=name)
        words += f"; without the key {failure.status} `{failure.code}`"
        other = {**customer(sent), "SSECustomerKey": bytes(32)}
        failure = refused(w.s3.get_object, Bucket=w.bucket, Key=name, **other)
        words += f"; with another {failure.status} `{failure.code}`"
    return words


def borders(size):
    """Ranges around segment and part borders, and the ends."""
    for edge in (SEGMENT, 2 * SEGMENT, PART - SEGMENT, PART, PART + SEGMENT):
        for start in (edge - 1, edge, edge + 1):
            for length in (1, 2, SEGMENT - 1, SEGMENT, SEGMENT + 1):
                yield start, min(start + length, size) - 1
    yield 0, 0
    yield size - 1, size - 1
    yield 1, size - 2


def op_ranges(w, sent, key):
    single, _ = put(w, sent, BODY)
    parts, *_ = multipart(w, sent, [BODY[:PART], BODY[PART:]])
    for name in (single, parts):
        for first, last in borders(len(BODY)):
            answer = w.s3.get_object(Bucket=w.bucket, Key=name, Range=f"bytes={first}-{last}", **customer(sent))
            assert answer["Body"].read() == BODY[first:last + 1], (first, last)
            assert answer["ContentRange"] == f"bytes {first}-{last}/{len(BODY)}" and key_of(answer) == key
    for number, expected in ((1, BODY[:PART]), (2, BODY[PART:])):
        answer = w.s3.get_object(Bucket=w.bucket, Key=parts, PartNumber=number, **customer(sent))
        assert answer["Body"].read() == expected and answer["PartsCount"] == 2
    failure = refused(w.s3.get_object, Bucket=w.bucket, Key=single, Range=f"bytes={len(BODY)}-", **customer(sent))
    assert failure.code == "InvalidRange"
    return f"206: {shown(answer)}"


def op_head(w, sent, key):
    name, written = put(w, {**sent, "ChecksumAlgorithm": "SHA256"})
    answer = w.s3.head_object(Bucket=w.bucket, Key=name, ChecksumMode="ENABLED", **customer(sent))
    digest = base64.b64encode(hashlib.sha256(SMALL).digest()).decode()
    assert answer["ChecksumSHA256"] == written["ChecksumSHA256"] == digest
    assert answer["ContentLength"] == len(SMALL) and answer["ETag"] == written["ETag"] and key_of(answer) == key
    refuse_write_header(w, "HeadObject", name, sent)
    words = f"200: {shown(answer)}"
    if customer(sent):
        words += f"; without the key {refused(w.s3.head_object, Bucket=w.bucket, Key=name).status}"
    return words


def op_attributes(w, sent, key):
    name, _ = put(w, {**sent, "ChecksumAlgorithm": "SHA1"})
    wanted = ["ETag", "Checksum", "ObjectSize", "StorageClass"]
    ours = customer(sent)
    if ours:  # botocore encodes the key for every operation but this one.
        coded = list(customer_headers().values())
        ours = {"SSECustomerAlgorithm": coded[0], "SSECustomerKey": coded[1], "SSECustomerKeyMD5": coded[2]}
    answer = w.s3.get_object_attributes(Bucket=w.bucket, Key=name, ObjectAttributes=wanted, **ours)
    assert answer["ObjectSize"] == len(SMALL) and "ChecksumSHA1" in answer["Checksum"]
    words = f"200: {shown(answer)}"
    if customer(sent):
        failure = refused(w.s3.get_object_attributes, Bucket=w.bucket, Key=name, ObjectAttributes=wanted)
        words += f"; without the key {failure.status} `{failure.code}`"
    return words


def op_versions(w, sent, key):
    name = w.name()
    old = w.s3.put_object(Bucket=w.bucket, Key=name, Body=SMALL, **sent)
    new = w.s3.put_object(Bucket=w.bucket, Key=name, Body=b"plain")
    answer = w.s3.get_object(Bucket=w.bucket, Key=name, VersionId=old["VersionId"], **customer(sent))
    assert answer["Body"].read() == SMALL and key_of(answer) == key
    latest = w.s3.get_object(Bucket=w.bucket, Key=name)
    assert latest["Body"].read() == b"plain" and latest["VersionId"] == new["VersionId"]
    return f"200: {shown(answer)}; a later version keeps its own"


def op_delete(w, sent, key):
    name, written = put(w, sent)
    marker = w.s3.delete_object(Bucket=w.bucket, Key=name)
    assert marker["DeleteMarker"] and shown(marker) == "nothing"
    gone = w.s3.delete_object(Bucket=w.bucket, Key=name, VersionId=written["VersionId"])
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    failure = refused(w.s3.get_object, Bucket=w.bucket, Key=name, VersionId=written["VersionId"], **customer(sent))
    assert failure.code == "NoSuchVersion"
    return "204, no key needed"


OPERATIONS = {
    "PutObject": op_put,
    "presigned PutObject": op_presigned_put,
    "POST form": op_post_form,
    "multipart upload": op_multipart,
    "UploadPartCopy": op_part_copy,
    **{f"CopyObject from {mode}": copy_from(mode) for mode in MODES},
    "GetObject": op_get,
    "ranges at borders": op_ranges,
    "HeadObject": op_head,
    "GetObjectAttributes": op_attributes,
    "versions": op_versions,
    "DeleteObject": op_delete,
}


class WithOwnKey:
    """The world with a key that nobody else uses, so that it can be taken away."""

    def __init__(self, world):
        self.s3, self.kms, self.raw, self.bucket, self.name = world.s3, world.kms, world.raw, world.bucket, world.name
        metadata = self.kms.create_key(Description="taken away")["KeyMetadata"]
        self.key_id, self.key_arn = metadata["KeyId"], metadata["Arn"]
        self.alias = f"alias/taken-{uuid.uuid4().hex}"
        self.kms.create_alias(AliasName=self.alias, TargetKeyId=self.key_id)


def over_http(answer):
    """A raw answer, in boto3's way."""
    status, headers, text = answer
    if status >= 300:
        code = re.search(r"<Code>([^<]+)</Code>", text.decode())[1]
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "raw")


def away_put(w, sent):
    return lambda: put(w, sent)


def away_presigned_put(w, sent):
    return lambda: over_http(presigned_put(w, sent, w.name()))


def away_post_form(w, sent):
    return lambda: over_http(post_form(w, sent, w.name()))


def away_get(w, sent):
    name, _ = put(w, sent)
    return lambda: read_back(w, name, sent, SMALL)


def away_range(w, sent):
    name, _ = put(w, sent)
    return lambda: w.s3.get_object(Bucket=w.bucket, Key=name, Range="bytes=65535-65537")["Body"].read()


def away_head(w, sent):
    name, _ = put(w, sent)
    return lambda: w.s3.head_object(Bucket=w.bucket, Key=name, ChecksumMode="ENABLED")


def away_copy_source(w, sent):
    source, _ = put(w, sent)
    return lambda: w.s3.copy_object(Bucket=w.bucket, Key=w.name(), CopySource={"Bucket": w.bucket, "Key": source},
                                    ServerSideEncryption="AES256")


def away_copy_destination(w, sent):
    source, _ = put(w, {})
    return lambda: w.s3.copy_object(Bucket=w.bucket, Key=w.name(), CopySource={"Bucket": w.bucket, "Key": source},
                                    **sent)


def away_upload_part(w, sent):
    name = w.name()
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key=name, **sent)["UploadId"]
    return lambda: w.s3.upload_part(Bucket=w.bucket, Key=name, UploadId=upload, PartNumber=1, Body=SMALL)


def away_complete(w, sent):
    name = w.name()
    upload = w.s3.create_multipart_upload(Bucket=w.bucket, Key=name, **sent)["UploadId"]
    upload = {"Bucket": w.bucket, "Key": name, "UploadId": upload}
    part = w.s3.upload_part(**upload, PartNumber=1, Body=SMALL)["ETag"]
    return lambda: w.s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})


# What is prepared while the key is there, and gives the call that is made without it.
AWAY = {
    "PutObject": away_put,
    "presigned PutObject": away_presigned_put,
    "POST form": away_post_form,
    "GetObject": away_get,
    "GetObject of a range": away_range,
    "HeadObject with checksum mode": away_head,
    "CopyObject from it": away_copy_source,
    "CopyObject to it": away_copy_destination,
    "UploadPart": away_upload_part,
    "CompleteMultipartUpload": away_complete,
}
AWAY = {f"{operation}, key taken away": prepare for operation, prepare in AWAY.items()}
# The AWS managed key cannot be taken away.
AWAY_MODES = [mode for mode in MODES if mode.startswith("aws:kms") and mode != "aws:kms"]


def taken_away(world, operation, mode):
    w = WithOwnKey(world)
    sent, _ = MODES[mode](w)
    attempt = AWAY[operation](w, sent)
    w.kms.disable_key(KeyId=w.key_id)
    disabled = refused(attempt)
    w.kms.schedule_key_deletion(KeyId=w.key_id, PendingWindowInDays=7)
    pending = refused(attempt)
    w.kms.cancel_key_deletion(KeyId=w.key_id)
    w.kms.enable_key(KeyId=w.key_id)
    attempt()
    told = [f"{state}: {failure.status}" + (f" `{failure.code}`" if not failure.code.isdigit() else "")
            for state, failure in (("disabled", disabled), ("pending deletion", pending))]
    return "; ".join(told)


def documented():
    """The table's cells: operation -> mode -> text."""
    text = DOCUMENT.read_text()
    assert BEGIN in text and END in text, "docs/compatibility.md has no matrix"
    section = text[text.index(BEGIN):text.index(END)]
    cells = {}
    for block in re.split(r"^### ", section, flags=re.M)[1:]:
        operation, _, rows = block.partition("\n")
        found = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", rows, re.M)
        cells[operation.strip()] = {mode: told for mode, told in found if mode not in ("encryption", "---")}
    return cells


def render(cells):
    lines = [BEGIN, ""]
    for operation, row in cells.items():
        lines += [f"### {operation}", "", "| encryption | what the client sees |", "|---|---|"]
        lines += [f"| {mode} | {told} |" for mode, told in row.items()]
        lines.append("")
    return "\n".join([*lines, END])


def modes_of(operation):
    return AWAY_MODES if operation in AWAY else list(MODES)


def test_the_document_has_every_cell_and_no_other(request):
    if request.config.getoption("--write-sse-matrix"):
        return  # It is being written.
    cells = documented()
    assert list(cells) == [*OPERATIONS, *AWAY]
    for operation, row in cells.items():
        assert list(row) == modes_of(operation), operation


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_cell(world, request, operation, mode):
    sent, key = MODES[mode](world)
    compare(request, operation, mode, OPERATIONS[operation](world, sent, key))


@pytest.mark.parametrize("mode", AWAY_MODES)
@pytest.mark.parametrize("operation", AWAY)
def test_cell_with_the_key_taken_away(world, request, operation, mode):
    compare(request, operation, mode, taken_away(world, operation, mode))


def compare(request, operation, mode, told):
    written = request.config.getoption("--write-sse-matrix", default=False)
    if written:
        request.config.stash[STASH].setdefault(operation, {})[mode] = told
    else:
        assert documented()[operation][mode] == told


STASH = pytest.StashKey()


@pytest.fixture(scope="session", autouse=True)
def written_matrix(request):
    config = request.config
    config.stash[STASH] = {}
    yield
    cells = config.stash[STASH]
    if config.getoption("--write-sse-matrix", default=False) and cells:
        ordered = {op: {mode: cells[op][mode] for mode in modes_of(op)} for op in [*OPERATIONS, *AWAY]}
        text = DOCUMENT.read_text()
        if BEGIN in text:
            head, tail = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
        else:
            head, tail = text.rstrip() + "\n\n## Encryption by operation\n\n", "\n"
        DOCUMENT.write_text(head + render(ordered) + tail)
