"""What people do with boto3 and the AWS CLI beyond the plain calls: presigned URLs, forms, streams, odd keys, mistakes."""

import base64
import hashlib
import io
import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import assert_empty, refused, tool
from s3raw import b64, checksum, md5_b64, ssec

SSE = "x-amz-server-side-encryption"
KEY = hashlib.sha256(b"a customer's key").digest()
TRIO = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}


class Plain(io.BytesIO):
    """A stream that tells nobody its length and cannot go back, as a pipe."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")

    def tell(self):
        raise io.UnsupportedOperation("tell")


def fetch(url, method="GET", body=None, headers=None, ca=None):
    """A client that knows nothing of S3: status, headers, body."""
    import ssl
    context = ssl.create_default_context(cafile=ca) if url.startswith("https") else None
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.fixture(scope="module")
def s3v4(clients):
    return clients.boto(signature_version="s3v4")


# Presigned URLs, as boto3 makes them

@pytest.mark.parametrize("key", ["k", "a b/\u00fc+%&=?#'()*!~.txt", "/lead", "a//b", "trail/"])
def test_presigned_urls_of_boto3_put_get_head_and_delete(clients, s3, bucket, key):
    signer = clients.boto(signature_version="s3v4")
    def url(operation, **more):
        return signer.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key, **more}, ExpiresIn=60)
    head = {"Content-Type": ""}
    assert fetch(url("put_object"), "PUT", b"body", head)[0] == 200
    status, headers, body = fetch(url("get_object", ResponseContentDisposition='attachment; filename="\u00fc x"'))
    assert (status, body) == (200, b"body")
    assert headers["Content-Disposition"].startswith("attachment")
    assert fetch(url("head_object"), "HEAD")[0] == 200
    assert fetch(url("get_object"), "HEAD")[0] == 403, "the method is signed"
    assert fetch(url("delete_object"), "DELETE")[0] == 204
    assert_empty(s3, bucket)


def test_version_2_is_refused_with_a_hint(clients, s3, bucket):
    """boto3 signs URLs by Version 2 in us-east-1 unless told otherwise; S3 takes them for no bucket made since 2020."""
    old = clients.boto(signature_version="s3-query")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    status, _, body = fetch(old.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}))
    assert status == 400 and b"<Code>InvalidRequest</Code>" in body and b"Please use AWS4-HMAC-SHA256." in body


def test_a_presigned_put_binds_its_encryption_header(s3v4, s3, bucket):
    url = s3v4.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k", "ServerSideEncryption": "AES256"})
    head = {"Content-Type": ""}
    status, _, body = fetch(url, "PUT", b"x", head)
    assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in body
    assert_empty(s3, bucket)
    status, headers, _ = fetch(url, "PUT", b"x", {**head, SSE: "AES256"})
    assert (status, headers[SSE]) == (200, "AES256")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_presigned_urls_for_a_customer_key_carry_no_key(clients, bucket, scheme):
    s3, ca = clients.boto(scheme, signature_version="s3v4"), clients.access.ca
    params = {"Bucket": bucket, "Key": "k", **TRIO}
    trio = {**ssec(KEY), "Content-Type": ""}
    put, get = s3.generate_presigned_url("put_object", Params=params), s3.generate_presigned_url("get_object", Params=params)
    for url in (put, get):
        assert b64(KEY) not in urllib.request.unquote(url)
    status, headers, body = fetch(put, "PUT", b"secret", trio, ca)
    assert (status, headers[SSE]) == (200, None), body
    assert headers[SSE + "-customer-algorithm"] == "AES256"
    assert fetch(get, headers=ssec(KEY), ca=ca)[2] == b"secret"
    other = hashlib.sha256(b"other").digest()
    assert fetch(get, headers=ssec(other), ca=ca)[0] == 403
    assert fetch(get, ca=ca)[0] == 403, "the headers are signed and not there"


def test_presigned_parts_make_an_object(s3v4, bucket):
    s3 = s3v4
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = []
    for number, body in ((1, os.urandom(5 << 20)), (2, b"tail")):
        url = s3.generate_presigned_url("upload_part", Params={"Bucket": bucket, "Key": "k", "UploadId": upload,
                                                              "PartNumber": number})
        status, headers, answer = fetch(url, "PUT", body, {"Content-Type": ""})
        assert status == 200, answer
        parts.append({"PartNumber": number, "ETag": headers["ETag"]})
    url = s3.generate_presigned_url("complete_multipart_upload", Params={
        "Bucket": bucket, "Key": "k", "UploadId": upload})
    rows = "".join(f"<Part><ETag>{p['ETag']}</ETag><PartNumber>{p['PartNumber']}</PartNumber></Part>" for p in parts)
    xml = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</CompleteMultipartUpload>'
    status, _, answer = fetch(url, "POST", xml.encode(), {"Content-Type": ""})
    assert status == 200, answer
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == (5 << 20) + 4


def test_a_presigned_listing_is_a_listing(s3v4, bucket):
    s3 = s3v4
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "a ", "Delimiter": "/"})
    status, _, body = fetch(url)
    assert status == 200 and b"<Key>a b</Key>" in body.replace(b"a+b", b"a b").replace(b"a%20b", b"a b")


# Forms, as boto3 makes them

def post(url, fields, file, name="f.txt"):
    border = uuid.uuid4().hex
    body = b"".join(f'--{border}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
                    for k, v in fields.items())
    body += (f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
             "Content-Type: text/plain\r\n\r\n").encode() + file + f"\r\n--{border}--\r\n".encode()
    return fetch(url, "POST", body, {"Content-Type": f"multipart/form-data; boundary={border}"})


def test_a_form_of_boto3_is_accepted(s3v4, bucket):
    s3 = s3v4
    made = s3.generate_presigned_post(bucket, "up/${filename}", Fields={SSE: "AES256", "success_action_status": "201"},
                                      Conditions=[{SSE: "AES256"}, {"success_action_status": "201"},
                                                  ["content-length-range", 1, 100]])
    status, headers, body = post(made["url"], made["fields"], b"data", "\u00fc x.txt")
    assert status == 201, body
    assert headers[SSE] == "AES256" and b"<PostResponse>" in body
    assert s3.get_object(Bucket=bucket, Key="up/\u00fc x.txt")["Body"].read() == b"data"
    assert post(made["url"], made["fields"], b"x" * 101)[0] == 400
    assert post(made["url"], {**made["fields"], "key": "elsewhere"}, b"x")[0] == 403


def test_a_form_with_a_customer_key_is_accepted(s3v4, bucket):
    s3 = s3v4
    fields = {k.lower(): v for k, v in ssec(KEY).items()}
    made = s3.generate_presigned_post(bucket, "k", Fields=fields, Conditions=[{k: v} for k, v in fields.items()])
    status, _, body = post(made["url"], made["fields"], b"data")
    assert status == 204, body
    assert s3.get_object(Bucket=bucket, Key="k", **TRIO)["Body"].read() == b"data"
    assert refused(s3.get_object, Bucket=bucket, Key="k").status == 400


# Checksums and framing, as botocore chooses them

@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("when", ["when_supported", "when_required"])
@pytest.mark.parametrize("size", [0, 1, 70_000, 9 << 20])
def test_every_framing_of_botocore_stores_the_same_bytes(clients, bucket, scheme, when, size):
    s3 = clients.boto(scheme, request_checksum_calculation=when, response_checksum_validation=when)
    data = os.urandom(size)
    for body in (data, io.BytesIO(data)):
        answer = s3.put_object(Bucket=bucket, Key="k", Body=body, ContentEncoding="gzip")
        assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        found = s3.get_object(Bucket=bucket, Key="k")
        assert (found["Body"].read(), found["ContentEncoding"]) == (data, "gzip")
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        answer = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
        assert answer[f"Checksum{algorithm}"] == checksum(algorithm, data)
    s3.upload_fileobj(Plain(data), bucket, "piped")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "piped", out)
    assert out.getvalue() == data


def test_empty_and_full_puts_alternate_on_one_connection(clients, bucket):
    s3 = clients.boto(max_pool_connections=1)
    for number in range(12):
        data = b"" if number % 2 == 0 else os.urandom(number * 1000)
        s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data))
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == data
        error = refused(s3.put_object, Bucket="e2e-no-such-bucket", Key="k", Body=io.BytesIO(b"x" * 1000))
        assert (error.status, error.code) == (404, "NoSuchBucket")


def test_refusals_of_bodies_do_not_disturb_the_next_request(clients, bucket):
    """A refused body must not be read as the head of the next request on its connection."""
    s3 = clients.boto(max_pool_connections=4)
    def round(number):
        answer = refused(s3.put_object, Bucket="e2e-no-such-bucket", Key="k", Body=b"x" * (number % 7 + 1))
        kept = s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"y")
        return (answer.status, answer.code, kept["ResponseMetadata"]["HTTPStatusCode"])
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(round, range(60))) == {(404, "NoSuchBucket", 200)}


# Copies

def test_parts_are_copied_from_older_versions_with_their_own_keys(s3, versioned):
    one = s3.put_object(Bucket=versioned, Key="a b/\u00fc+", Body=os.urandom(6 << 20), **TRIO)["VersionId"]
    first = s3.get_object(Bucket=versioned, Key="a b/\u00fc+", **TRIO)["Body"].read()
    s3.put_object(Bucket=versioned, Key="a b/\u00fc+", Body=b"newer")
    new = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": hashlib.sha256(b"new").digest()}
    upload = s3.create_multipart_upload(Bucket=versioned, Key="to", **new)["UploadId"]
    at = {"Bucket": versioned, "Key": "to", "UploadId": upload}
    source = {"Bucket": versioned, "Key": "a b/\u00fc+", "VersionId": one}
    old = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
    last = len(first) - 1
    a = s3.upload_part_copy(**at, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=0-{(5 << 20) - 1}", **old, **new)
    assert a["CopySourceVersionId"] == one
    assert refused(s3.upload_part_copy, **at, PartNumber=2, CopySource=source, **new).status == 400
    assert refused(s3.upload_part_copy, **at, PartNumber=2, CopySource=source, CopySourceRange=f"bytes=0-{last + 1}",
                   **old, **new).code == "InvalidArgument"
    b = s3.upload_part_copy(**at, PartNumber=2, CopySource=source, CopySourceRange=f"bytes={5 << 20}-{last}", **old, **new)
    c = s3.upload_part_copy(**at, PartNumber=3, CopySource={"Bucket": versioned, "Key": "a b/\u00fc+"}, **new)
    assert "CopySourceVersionId" in c
    parts = [{"PartNumber": n, "ETag": p["CopyPartResult"]["ETag"]} for n, p in ((1, a), (3, c))]
    assert refused(s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": a["CopyPartResult"]["ETag"]}, {"PartNumber": 2, "ETag": b["CopyPartResult"]["ETag"]},
        {"PartNumber": 3, "ETag": c["CopyPartResult"]["ETag"]}]}).code == "EntityTooSmall"
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=versioned, Key="to", **new)["Body"].read() == first[:5 << 20] + b"newer"


@pytest.mark.parametrize("key", ["a b", "a+b", "a%2Fb", "\u00fc/\u65e5\u672c", "a?b", "a?versionId=x", "/lead", "//", "..", "a/../b",
                                 "a&b=c;d", "\U0001f512", "'\"<>", "x" * 1024])
def test_odd_keys_are_copied_tagged_listed_and_deleted(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"a": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode()
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "t", "Value": key[:200].replace("?", "")
                          if key.isalnum() else "v"}]})
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    assert [v["Key"] for v in s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]] == [key]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)
    assert upload["Key"] == key
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket, Prefix=key)["Uploads"]] == [key]
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
    assert s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})["Deleted"] == [{"Key": key}]
    assert refused(s3.head_object, Bucket=bucket, Key=key).status == 404


# Mistakes

def test_mistakes_are_told_in_the_words_of_aws(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body")
    no_upload = refused(s3.list_parts, Bucket=bucket, Key="k", UploadId="made-up")
    assert (no_upload.status, no_upload.code, no_upload.error["UploadId"]) == (404, "NoSuchUpload", "made-up")
    for call, status, code in [
        (lambda: s3.get_object(Bucket=bucket, Key="none"), 404, "NoSuchKey"),
        (lambda: s3.get_object(Bucket=bucket, Key="k", Range="bytes=9-"), 416, "InvalidRange"),
        (lambda: s3.get_object(Bucket=bucket, Key="k", IfMatch='"x"'), 412, "PreconditionFailed"),
        (lambda: s3.get_object(Bucket=bucket, Key="k", PartNumber=2), 416, "InvalidPartNumber"),
        (lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*"), 412, "PreconditionFailed"),
        (lambda: s3.put_object(Bucket=bucket, Key="n", Body=b"", StorageClass="GLACIER"), 400, "InvalidStorageClass"),
        (lambda: s3.put_object(Bucket=bucket, Key="n", Body=b"", ServerSideEncryption="aws:kms",
                               SSEKMSKeyId="aws/s3"), 400, "KMS.NotFoundException"),
        (lambda: s3.put_object(Bucket=bucket, Key="n", Body=b"", ACL="public-read"), 400, "AccessControlListNotSupported"),
        (lambda: s3.put_object(Bucket=bucket, Key="n", Body=b"", Tagging="a=1&a=2"), 400, "InvalidArgument"),
        (lambda: s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k"), 400, "InvalidRequest"),
        (lambda: s3.copy_object(Bucket=bucket, Key="n", CopySource=f"{bucket}/none"), 404, "NoSuchKey"),
        (lambda: s3.copy_object(Bucket=bucket, Key="n", CopySource="e2e-no-such-bucket/k"), 404, "NoSuchBucket"),
        (lambda: s3.get_object(Bucket=bucket, Key="k", **TRIO), 400, "400"),
        (lambda: s3.list_objects_v2(Bucket="e2e-no-such-bucket"), 404, "NoSuchBucket"),
        (lambda: s3.list_objects_v2(Bucket=bucket, ContinuationToken="!"), 400, "InvalidArgument"),
        (lambda: s3.put_bucket_policy(Bucket=bucket, Policy="{}"), 400, "MalformedPolicy"),
        (lambda: s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}}), 501, "NotImplemented"),
        (lambda: s3.delete_bucket(Bucket=bucket), 409, "BucketNotEmpty"),
        (lambda: s3.create_bucket(Bucket="UPPER_CASE"), 400, "InvalidBucketName"),
        (lambda: s3.get_object_tagging(Bucket=bucket, Key="k", VersionId="nope"), 400, "InvalidArgument"),
    ]:
        answer = refused(call)
        assert answer.status == status, answer
        assert code == "400" or answer.code == code, answer
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


def test_header_names_are_read_in_any_case(raw, s3, bucket):
    headers = {"X-AMZ-Meta-A": "1", "x-Amz-SERVER-side-Encryption": "AES256", "CACHE-control": "no-store",
               "X-Amz-Storage-Class": "STANDARD"}
    assert raw.send("PUT", f"/{bucket}/k", [], headers, b"x").status == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["Metadata"], head["CacheControl"], head["ServerSideEncryption"]) == ({"a": "1"}, "no-store", "AES256")


# The AWS CLI

@pytest.fixture
def aws(clients, tmp_path, bucket):
    """Runs the AWS CLI; gives what it printed, or what it complained of where it must fail."""
    def aws(*words, fails=False, stdin=b"", **env):
        done = subprocess.run([tool("aws"), *map(str, words)], cwd=tmp_path, capture_output=True, timeout=120, input=stdin,
                              env=clients.env(tmp_path, LC_ALL="C.UTF-8", **env))
        assert (done.returncode != 0) is fails, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stderr.decode() if fails else done.stdout
    aws.home = tmp_path
    return aws


def test_the_cli_streams_syncs_and_presigns(aws, s3, bucket):
    where, data = f"s3://{bucket}", os.urandom(9 << 20)
    aws("s3", "cp", "-", f"{where}/stdin", stdin=data)
    assert aws("s3", "cp", f"{where}/stdin", "-") == data
    aws("s3", "cp", "-", f"{where}/empty", stdin=b"")
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0
    aws("s3", "cp", "-", f"{where}/sse", "--sse", "AES256", stdin=b"x")
    aws("s3", "cp", "-", f"{where}/kms", "--sse", "aws:kms", stdin=data)
    assert aws("s3", "cp", f"{where}/kms", "-") == data
    message = aws("s3", "cp", "-", f"{where}/no", "--sse", "aws:kms", "--sse-kms-key-id", "no-key", fails=True, stdin=b"x")
    assert "KMS.NotFoundException" in message and "Invalid keyId 'no-key'" in message
    (aws.home / "key").write_bytes(KEY)
    customer = ["--sse-c", "AES256", "--sse-c-key", "fileb://key"]
    aws("s3", "cp", "-", f"{where}/sse-c", *customer, stdin=data)
    assert aws("s3", "cp", f"{where}/sse-c", "-", *customer) == data
    assert "(400)" in aws("s3", "cp", f"{where}/sse-c", "-", fails=True)
    aws("s3", "cp", f"{where}/sse-c", f"{where}/plain", "--sse-c-copy-source", "AES256", "--sse-c-copy-source-key",
        "fileb://key")
    assert s3.get_object(Bucket=bucket, Key="plain")["Body"].read() == data
    aws("configure", "set", "default.s3.signature_version", "s3v4")
    url = aws("s3", "presign", f"{where}/plain", "--expires-in", "60").decode().strip()
    out = subprocess.run(["curl", "-sS", "-f", url], capture_output=True, timeout=60)
    assert out.stdout == data, out.stderr
    out = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url.replace("plain", "sse")],
                         capture_output=True, timeout=60)
    assert out.stdout == b"403"
    tree = aws.home / "tree"
    for name in ("a", "d/b", "d/\u00fc &"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode())
    aws("s3", "sync", "tree", f"{where}/tree")
    (tree / "a").unlink()
    assert b"delete: " in aws("s3", "sync", "tree", f"{where}/tree", "--delete")
    assert aws("s3", "sync", "tree", f"{where}/tree", "--delete") == b""
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="tree/")["Contents"]]
    assert keys == ["tree/d/b", "tree/d/\u00fc &"]


def test_s3api_knows_every_operation(aws, s3, bucket):
    """One call of each operation, in the order of an object's life."""
    def api(operation, *words, on=bucket, **how):
        out = aws("s3api", operation, *(["--bucket", on] if on else []), *words, **how)
        return json.loads(out) if not how.get("fails") and out.strip() else out
    (aws.home / "f").write_bytes(b"hello")
    assert any(b["Name"] == bucket for b in api("list-buckets", on=None)["Buckets"])
    api("head-bucket")
    assert "LocationConstraint" in api("get-bucket-location")
    api("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    assert api("get-bucket-versioning")["Status"] == "Enabled"
    rule = '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'
    api("put-bucket-encryption", "--server-side-encryption-configuration", rule)
    assert api("get-bucket-encryption")["ServerSideEncryptionConfiguration"]["Rules"]
    api("delete-bucket-encryption")
    api("put-bucket-tagging", "--tagging", "TagSet=[{Key=a,Value=b}]")
    assert api("get-bucket-tagging")["TagSet"] == [{"Key": "a", "Value": "b"}]
    api("delete-bucket-tagging")
    put = api("put-object", "--key", "k", "--body", "f", "--metadata", "a=1", "--tagging", "t=1", "--acl", "private")
    assert api("head-object", "--key", "k")["Metadata"] == {"a": "1"}
    api("get-object", "--key", "k", "--range", "bytes=1-2", "out")
    assert (aws.home / "out").read_bytes() == b"el"
    attributes = api("get-object-attributes", "--key", "k", "--object-attributes", "ETag", "ObjectSize", "Checksum")
    assert attributes["ObjectSize"] == 5
    assert api("get-object-tagging", "--key", "k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    api("put-object-tagging", "--key", "k", "--tagging", "TagSet=[{Key=x,Value=y}]")
    api("delete-object-tagging", "--key", "k")
    api("copy-object", "--key", "copy", "--copy-source", f"{bucket}/k?versionId={put['VersionId']}",
        "--metadata-directive", "REPLACE", "--metadata", "b=2")
    for listing in ("list-objects", "list-objects-v2"):
        assert [o["Key"] for o in api(listing)["Contents"]] == ["copy", "k"]
    assert [o["Key"] for o in api("list-objects-v2", "--page-size", "1", "--max-items", "1")["Contents"]] == ["copy"]
    upload = api("create-multipart-upload", "--key", "m", "--checksum-algorithm", "SHA256")["UploadId"]
    at = ["--key", "m", "--upload-id", upload]
    part = api("upload-part", *at, "--part-number", "1", "--body", "f", "--checksum-algorithm", "SHA256")
    assert api("list-multipart-uploads")["Uploads"][0]["Key"] == "m"
    assert len(api("list-parts", *at)["Parts"]) == 1
    api("complete-multipart-upload", *at, "--multipart-upload",
        json.dumps({"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]}))
    upload = api("create-multipart-upload", "--key", "m2")["UploadId"]
    api("upload-part-copy", "--key", "m2", "--upload-id", upload, "--part-number", "1", "--copy-source", f"{bucket}/k")
    api("abort-multipart-upload", "--key", "m2", "--upload-id", upload)
    assert api("delete-object", "--key", "k")["DeleteMarker"] is True
    versions = api("list-object-versions")
    doomed = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions["Versions"] + versions["DeleteMarkers"]]
    api("delete-objects", "--delete", json.dumps({"Objects": doomed}))
    for unset in ("get-bucket-policy", "get-bucket-cors", "get-bucket-website", "get-bucket-lifecycle-configuration",
                  "get-bucket-replication", "get-object-lock-configuration"):
        assert "(NoSuch" in (message := api(unset, fails=True)) or "NotFound" in message
    for unset in ("get-bucket-acl", "get-bucket-logging", "get-bucket-request-payment", "get-bucket-ownership-controls",
                  "get-bucket-accelerate-configuration", "get-bucket-notification-configuration",
                  "get-public-access-block"):
        api(unset)
    api("delete-bucket")
    message = api("head-bucket", fails=True)
    assert "404" in message
