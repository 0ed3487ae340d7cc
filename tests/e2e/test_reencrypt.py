"""Another key around the same data: UpdateObjectEncryption, and `strongroom reencrypt` for a whole bucket."""

import concurrent.futures
import json
import os
import pty
import re
import selectors
import signal
import subprocess

import pytest

from conftest import Clients, binary, clean_env, metric, new_bucket, refused
from s3raw import md5_b64

CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
SSE_C = "the object is encrypted with a customer's key"
DSSE = "the object is encrypted in two layers"


def target(key, bucket_key=None):
    return {"SSEKMS": {"KMSKeyArn": key, **({} if bucket_key is None else {"BucketKeyEnabled": bucket_key})}}


# UpdateObjectEncryption.

def seen(s3, bucket, key, **version):
    """Everything about an object but how it is encrypted."""
    got = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **version)
    facts = {k: v for k, v in got.items()
             if k not in ("ResponseMetadata", "Body", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")}
    tags = s3.get_object_tagging(Bucket=bucket, Key=key, **version)["TagSet"]
    attributes = s3.get_object_attributes(Bucket=bucket, Key=key, **version,
                                          ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize"])
    attributes.pop("ResponseMetadata")
    return facts, got["Body"].read(), tags, attributes


def encryption(s3, bucket, key, **version):
    head = s3.head_object(Bucket=bucket, Key=key, **version)
    return head["ServerSideEncryption"], head.get("SSEKMSKeyId"), head.get("BucketKeyEnabled", False)


@pytest.mark.parametrize("size", [0, 100, 200_000])
def test_update_changes_the_key_and_nothing_else(s3, kms, bucket, key, size):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="k", Body=os.urandom(size), ContentType="text/x", Metadata={"a": "b"},
                  Tagging="t=1&u=2", ChecksumAlgorithm="SHA256", CacheControl="no-store")
    before, listed = seen(s3, bucket, "k"), s3.list_objects_v2(Bucket=bucket)["Contents"]
    for arn, bucket_key in ((key, None), (other, True), (other, False), (key, True), (key, True)):
        s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption=target(arn, bucket_key))
        assert encryption(s3, bucket, "k") == ("aws:kms", arn, bool(bucket_key))
        assert seen(s3, bucket, "k") == before
        assert s3.list_objects_v2(Bucket=bucket)["Contents"] == listed
    kms.disable_key(KeyId=other)
    assert seen(s3, bucket, "k") == before
    kms.disable_key(KeyId=key)
    assert refused(s3.get_object, Bucket=bucket, Key="k").code == "KMS.DisabledException"


def test_update_of_a_multipart_object_keeps_its_parts(s3, kms, bucket, key):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 1000)):
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=number, Body=os.urandom(size),
                              ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    before = seen(s3, bucket, "m")
    assert before[0]["ETag"].endswith('-2"')
    s3.update_object_encryption(Bucket=bucket, Key="m", ObjectEncryption=target(key))
    assert seen(s3, bucket, "m") == before and encryption(s3, bucket, "m") == ("aws:kms", key, False)
    ranged = s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={(5 << 20) - 3}-{(5 << 20) + 3}")["Body"].read()
    assert ranged == before[1][(5 << 20) - 3:(5 << 20) + 4]


def test_update_keeps_the_clients_encryption_context(s3, bucket, key, kms):
    context = "eyJhIjoiYiJ9"  # {"a":"b"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=context)
    s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption=target(key, True))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_update_of_one_version_leaves_the_others(s3, versioned, key):
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="k", Body=b"2")["VersionId"]
    before = [seen(s3, versioned, "k", VersionId=v) for v in (first, second)]
    s3.update_object_encryption(Bucket=versioned, Key="k", VersionId=first, ObjectEncryption=target(key))
    assert encryption(s3, versioned, "k", VersionId=first) == ("aws:kms", key, False)
    assert encryption(s3, versioned, "k") == ("AES256", None, False)
    assert [seen(s3, versioned, "k", VersionId=v) for v in (first, second)] == before
    assert [v["VersionId"] for v in s3.list_object_versions(Bucket=versioned)["Versions"]] == [second, first]
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    change = {"Bucket": versioned, "Key": "k", "ObjectEncryption": target(key)}
    assert refused(s3.update_object_encryption, **change).status == 404
    gone = refused(s3.update_object_encryption, **change, VersionId=marker)
    assert (gone.status, gone.code) == (405, "MethodNotAllowed")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    gone = refused(s3.update_object_encryption, **change, VersionId=second)
    assert (gone.status, gone.code) == (404, "NoSuchVersion")


def test_update_needs_the_old_key_and_the_new_one(s3, kms, bucket, key):
    new = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    change = {"Bucket": bucket, "Key": "k", "ObjectEncryption": target(new)}
    for disabled in (key, new):
        kms.disable_key(KeyId=disabled)
        answer = refused(s3.update_object_encryption, **change)
        assert (answer.status, answer.code, answer.message) == (400, "KMS.DisabledException", f"{disabled} is disabled.")
        kms.enable_key(KeyId=disabled)
        assert encryption(s3, bucket, "k")[1] == key
    kms.schedule_key_deletion(KeyId=new, PendingWindowInDays=7)
    assert refused(s3.update_object_encryption, **change).code == "KMS.KMSInvalidStateException"
    absent = new[:-12] + "000000000000"
    answer = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption=target(absent))
    assert (answer.code, answer.message) == ("KMS.NotFoundException", f"Key '{absent}' does not exist")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_update_refuses_what_cannot_be_updated(s3, kms, bucket, key):
    s3.put_object(Bucket=bucket, Key="c", Body=b"x", **CUSTOMER)
    s3.put_object(Bucket=bucket, Key="d", Body=b"x", ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=key)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    region, account = key.split(":")[3], key.split(":")[4]
    foreign = key.replace(account, "999999999999")
    start = "Updating the encryption of an object that is encrypted with "
    for name, arn, status, code, message in (
            ("c", key, 400, "InvalidRequest",
             start + "server-side encryption with customer-provided keys (SSE-C) is not supported."),
            ("d", key, 400, "InvalidRequest",
             start + "dual-layer server-side encryption with AWS KMS keys (DSSE-KMS) is not supported."),
            ("k", foreign, 403, "AccessDenied", "The KMS key must belong to the account that owns the bucket."),
            ("absent", key, 404, "NoSuchKey", "The specified key does not exist."),
    ):
        answer = refused(s3.update_object_encryption, Bucket=bucket, Key=name, ObjectEncryption=target(arn))
        assert (answer.status, answer.code, answer.message) == (status, code, message)
    answer = refused(s3.update_object_encryption, Bucket=bucket + "x", Key="k", ObjectEncryption=target(key))
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    answer = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption=target(signing))
    assert answer.code == "KMS.InvalidKeyUsageException" and region in signing
    assert encryption(s3, bucket, "k") == ("AES256", None, False)


def test_update_refuses_documents_each_with_its_own_words(raw, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    kms = "<SSE-KMS><KMSKeyArn>%s</KMSKeyArn>%s</SSE-KMS>"
    invalid_arn = "KMSKeyArn is not valid: the full ARN of a KMS key is needed, not a key ID or an alias."
    other = "Updating the encryption of an object to %s is not supported. Supported value: SSE-KMS."
    for inside, code, message in (
            ("<SSE-S3/>", "InvalidRequest", other % "SSE-S3"),
            ("<SSE-C/>", "InvalidRequest", other % "SSE-C"),
            ("<DSSE-KMS/>", "InvalidRequest", other % "DSSE-KMS"),
            ("", "InvalidRequest", "The encryption type is missing or not valid. Supported value: SSE-KMS."),
            ("<SSE-KMS></SSE-KMS>", "InvalidRequest", "KMSKeyArn is missing."),
            (kms % ("", ""), "InvalidRequest", "KMSKeyArn is missing."),
            (kms % (key.split("/")[1], ""), "InvalidRequest", invalid_arn),
            (kms % ("alias/aws/s3", ""), "InvalidRequest", invalid_arn),
            (kms % (key.replace("key/", "alias/"), ""), "InvalidRequest", invalid_arn),
            (kms % (key, "<BucketKeyEnabled>maybe</BucketKeyEnabled>"), "InvalidRequest",
             "BucketKeyEnabled must be true or false."),
            (kms % (key, "<More/>"), "MalformedXML", None),
            ("<SSE-KMS>", "MalformedXML", None),
    ):
        body = f'<ObjectEncryption xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</ObjectEncryption>'.encode()
        reply = raw.send("PUT", f"/{bucket}/k", ["encryption"], {"Content-MD5": md5_b64(body)}, body)
        assert (reply.status, reply.code) == (400, code), (inside, reply)
        assert message is None or reply.message == message, inside
    whole = ('<ObjectEncryption xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + kms % (key, "")
             + "</ObjectEncryption>").encode()
    assert raw.send("PUT", f"/{bucket}/k", ["encryption"], {}, whole).status == 400, "no digest of the body"
    unsigned = raw.send("PUT", f"/{bucket}/k", ["encryption"], {"Content-MD5": md5_b64(whole)}, whole, sign=None)
    assert (unsigned.status, unsigned.code) == (403, "AccessDenied")
    assert encryption(s3, bucket, "k") == ("AES256", None, False)


# strongroom reencrypt.

class World:
    """A server of the test's own, and its re-encryption command."""

    def __init__(self, server):
        self.server = server
        self.connect()

    def connect(self):
        self.access = self.server.access()
        clients = Clients(self.access)
        self.s3, self.kms = clients.boto(), clients.boto(service="kms")

    def key(self, **more):
        return self.kms.create_key(**more)["KeyMetadata"]["Arn"]

    def command(self, *args):
        return [binary(), "reencrypt", *map(str, args), "--data", str(self.server.data)]

    def run(self, *args):
        return subprocess.run(self.command(*args), env=clean_env(self.server.home), capture_output=True, text=True,
                              timeout=120)

    def ok(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def popen(self, *args):
        return subprocess.Popen(self.command(*args), env=clean_env(self.server.home), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def report(self, *args, code=0):
        path = self.server.home / "report.json"
        path.unlink(missing_ok=True)
        done = self.run(*args, "--report", path)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(path.read_text())

    def fill(self, bucket, names, **more):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: self.s3.put_object(Bucket=bucket, Key=n, Body=n.encode(), **more), names))

    def every_version(self, bucket):
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        return [(v["Key"], v["VersionId"]) for page in pages for v in page.get("Versions", [])]

    def keys_in_use(self, bucket):
        def one(version):
            return encryption(self.s3, bucket, version[0], VersionId=version[1])[1:]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            return set(pool.map(one, self.every_version(bucket)))


@pytest.fixture
def world(make_server):
    return World(make_server(trace=False))


def counts(report):
    return {k: report[k] for k in ("looked_at", "updated", "already", "skipped", "failed", "done")}


def test_an_empty_bucket_is_done_at_once(world):
    bucket, key = new_bucket(world.s3), world.key()
    done = world.ok(f"s3://{bucket}", "--kms-key", key)
    assert f"s3://{bucket}/ under {key}: done" in done.stdout
    assert re.search(r"looked at +0\n", done.stdout) and re.search(r"updated +0\n", done.stdout)
    assert "reencrypt: 0 of 0 versions" in done.stderr and "\r" not in done.stderr


def test_a_bucket_of_every_kind_is_updated_and_the_rest_is_reported(world):
    s3, bucket = world.s3, new_bucket(world.s3)
    old, new = world.key(), world.key()
    s3.put_object(Bucket=bucket, Key="a/null", Body=b"before versions")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(3):
        s3.put_object(Bucket=bucket, Key="a/versions", Body=b"%d" % n)
    s3.put_object(Bucket=bucket, Key="a/kms", Body=b"kms", ServerSideEncryption="aws:kms", SSEKMSKeyId=old)
    s3.put_object(Bucket=bucket, Key="a/new", Body=b"new", ServerSideEncryption="aws:kms", SSEKMSKeyId=new)
    s3.put_object(Bucket=bucket, Key="a/c\x1b", Body=b"c", **CUSTOMER)
    s3.put_object(Bucket=bucket, Key="a/d", Body=b"d", ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=old)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a/multi")["UploadId"]
    tags = [s3.upload_part(Bucket=bucket, Key="a/multi", UploadId=upload, PartNumber=n, Body=bytes([n]) * size)["ETag"]
            for n, size in ((1, 5 << 20), (2, 7))]
    s3.complete_multipart_upload(Bucket=bucket, Key="a/multi", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]})
    s3.put_object(Bucket=bucket, Key="a/gone", Body=b"under a marker")
    s3.delete_object(Bucket=bucket, Key="a/gone")
    s3.put_object(Bucket=bucket, Key="b", Body=b"another prefix")
    readable = [v for v in world.every_version(bucket) if v[0] != "a/c\x1b"]
    before = {v: seen(s3, bucket, v[0], VersionId=v[1]) for v in readable}

    path = world.server.home / "report.json"
    done = world.ok(f"s3://{bucket}/a/", "--kms-key", new, "--report", path)
    report = json.loads(path.read_text())
    # Ten versions and a delete marker; that some are skipped is no failure.
    assert counts(report) == {"looked_at": 11, "updated": 7, "already": 1, "skipped": 2, "failed": 0, "done": True}
    assert [(s["key"], s["reason"], s["failed"]) for s in report["skipped_versions"]] == [
        ("a/c\x1b", SSE_C, False), ("a/d", DSSE, False)]
    assert (report["bucket"], report["prefix"], report["kms_key_arn"], report["bucket_key_enabled"]) == (
        bucket, "a/", new, False)
    assert SSE_C in done.stdout and DSSE in done.stdout and "\x1b" not in done.stdout
    assert {v: seen(s3, bucket, v[0], VersionId=v[1]) for v in readable} == before
    for key, version in readable:
        expected = {"a/d": ("aws:kms:dsse", old, False), "b": ("AES256", None, False)}
        assert encryption(s3, bucket, key, VersionId=version) == expected.get(key, ("aws:kms", new, False)), key
    # Once more: everything is so already, until another way is asked for.
    assert counts(world.report(f"s3://{bucket}/a/", "--kms-key", new))["already"] == 8
    again = counts(world.report(f"s3://{bucket}/a/", "--kms-key", new, "--bucket-key"))
    assert (again["updated"], again["already"]) == (8, 0)
    assert encryption(s3, bucket, "a/kms") == ("aws:kms", new, True)


def test_thousands_of_versions_with_clients_at_work(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    names = [f"p{n % 7}/{n:04}" for n in range(1500)]
    world.fill(bucket, names)
    world.fill(bucket, names[:1000])
    job = world.popen(f"s3://{bucket}", "--kms-key", key, "--bucket-key")
    reads = 0
    while job.poll() is None:
        name = names[reads * 37 % len(names)]
        assert world.s3.get_object(Bucket=bucket, Key=name)["Body"].read() == name.encode()
        world.s3.put_object(Bucket=bucket, Key=f"p9/{reads}", Body=b"meanwhile", ServerSideEncryption="aws:kms",
                            SSEKMSKeyId=key, BucketKeyEnabled=True)
        reads += 1
    out, err = job.communicate()
    assert job.returncode == 0, out + err
    assert reads > 3 and re.search(r"updated +2500\n", out), out
    assert world.keys_in_use(bucket) == {(key, True)}
    world.kms.disable_key(KeyId=key)
    assert refused(world.s3.get_object, Bucket=bucket, Key=names[0]).code == "KMS.DisabledException"


def await_progress(job):
    """Reads standard error until the job has done something."""
    for line in job.stderr:
        if re.search(r"\d+ of \d+ versions", line):
            return line
    raise AssertionError(f"no progress: {job.communicate()}")


def test_ctrl_c_stops_between_pages_and_the_next_run_goes_on(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.fill(bucket, [f"{n:04}" for n in range(300)])
    path = world.server.home / "stopped.json"
    job = world.popen(f"s3://{bucket}", "--kms-key", key, "--rate", 40, "--report", path)
    await_progress(job)
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=30)
    assert job.returncode == 1 and "interrupted" in err and "run the same command again" in err
    stopped = json.loads(path.read_text())
    assert not stopped["done"] and stopped["stopped"] == "interrupted" and "not done yet" in out
    assert 0 < stopped["updated"] < 300
    done = world.ok(f"s3://{bucket}", "--kms-key", key)
    assert f"going on behind {stopped['looked_at']} versions" in done.stderr
    assert re.search(r"looked at +300\n", done.stdout) and re.search(r"updated +300\n", done.stdout)
    assert world.keys_in_use(bucket) == {(key, False)}


def test_kill_9_of_the_command_loses_nothing(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.fill(bucket, [f"{n:04}" for n in range(300)])
    job = world.popen(f"s3://{bucket}", "--kms-key", key, "--rate", 40)
    await_progress(job)
    job.kill()
    job.communicate()
    report = world.report(f"s3://{bucket}", "--kms-key", key)
    assert counts(report) == {"looked_at": 300, "updated": 300, "already": 0, "skipped": 0, "failed": 0, "done": True}
    assert world.keys_in_use(bucket) == {(key, False)}


def test_kill_9_of_the_server_in_the_middle_loses_nothing(world):
    bucket, old, key = new_bucket(world.s3), world.key(), world.key()
    names = [f"{n:04}" for n in range(600)]
    world.fill(bucket, names, ServerSideEncryption="aws:kms", SSEKMSKeyId=old)
    for _ in range(3):
        job = world.popen(f"s3://{bucket}", "--kms-key", key, "--rate", 100)
        await_progress(job)
        world.server.kill()
        out, err = job.communicate(timeout=60)
        assert job.returncode == 1, out + err
        assert "server" in err and "run the same command again" in err, err
        world.server.start()
        world.connect()
    done = world.ok(f"s3://{bucket}", "--kms-key", key)
    assert "going on behind" in done.stderr
    found = {name: int(re.search(rf"{name} +(\d+)\n", done.stdout)[1]) for name in ("updated", "so already", "skipped")}
    # A page that the kill caught was done and not yet counted: its versions are so already.
    assert found["updated"] + found["so already"] == len(names) and found["skipped"] == 0, found
    assert world.keys_in_use(bucket) == {(key, False)}
    world.kms.disable_key(KeyId=old)
    for name in names[::50]:
        assert world.s3.get_object(Bucket=bucket, Key=name)["Body"].read() == name.encode()


def test_a_version_that_fails_is_reported_and_the_exit_code_says_so(world):
    bucket, old, key = new_bucket(world.s3), world.key(), world.key()
    world.fill(bucket, ["a", "c"])
    world.fill(bucket, ["b"], ServerSideEncryption="aws:kms", SSEKMSKeyId=old)
    world.kms.disable_key(KeyId=old)
    report = world.report(f"s3://{bucket}", "--kms-key", key, code=1)
    assert counts(report) == {"looked_at": 3, "updated": 2, "already": 0, "skipped": 1, "failed": 1, "done": True}
    assert report["skipped_versions"] == [
        {"key": "b", "version_id": "null", "reason": f"{old} is disabled.", "failed": True}]
    world.kms.enable_key(KeyId=old)
    assert counts(world.report(f"s3://{bucket}", "--kms-key", key))["updated"] == 1


def test_mistakes_are_answered_with_their_cure(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.fill(bucket, ["k"])
    disabled, signing = world.key(), world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    world.kms.disable_key(KeyId=disabled)
    account = key.split(":")[4]
    for args, code, *texts in (
            ([f"s3://{bucket}-absent", "--kms-key", key], 1, f"there is no bucket {bucket}-absent", "aws s3 ls"),
            ([bucket, "--kms-key", key], 2, "s3://BUCKET/PREFIX is expected"),
            (["s3://No_Bucket", "--kms-key", key], 2, "cannot be the name of a bucket"),
            ([f"s3://{bucket}", "--kms-key", "alias/x"], 2, "full ARN", "aws kms describe-key"),
            ([f"s3://{bucket}", "--kms-key", key.split("/")[1]], 2, "full ARN", "aws kms describe-key"),
            ([f"s3://{bucket}"], 2, "--kms-key"),
            ([f"s3://{bucket}", "--kms-key", key, "--rate", "0"], 2, "--rate"),
            ([f"s3://{bucket}", "--kms-key", disabled], 1, f"{disabled} is disabled", "aws kms enable-key"),
            ([f"s3://{bucket}", "--kms-key", key[:-12] + "0" * 12], 1, "does not exist", "aws kms list-keys"),
            ([f"s3://{bucket}", "--kms-key", signing], 1, "cannot be used", "symmetric"),
            ([f"s3://{bucket}", "--kms-key", key.replace(account, "9" * 12)], 1, "another account"),
            ([f"s3://{bucket}", "--kms-key", key, "--report", "/nowhere/r.json"], 6, "/nowhere/r.json", "--report"),
    ):
        done = world.run(*args)
        assert done.returncode == code, (args, done)
        for text in texts:
            assert text in done.stderr, (args, done.stderr)
    assert encryption(world.s3, bucket, "k") == ("AES256", None, False)
    world.server.stop()
    report = world.server.home / "r.json"
    done = world.run(f"s3://{bucket}", "--kms-key", key, "--report", report)
    assert done.returncode == 1 and "no server runs on" in done.stderr
    assert f"strongroom serve --data {world.server.data}" in done.stderr
    assert not list(world.server.home.glob("r.json*"))


def test_the_help_teaches_with_an_example():
    shown = subprocess.run([binary(), "reencrypt", "--help"], capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0
    for text in ("strongroom reencrypt s3://photos/2025/", "describe-key", "stands in the store", "SSE-C and DSSE-KMS",
                 "exit code"):
        assert text in shown.stdout


def test_a_terminal_shows_one_line_that_is_drawn_over(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.fill(bucket, [f"{n:03}" for n in range(200)])
    master, slave = pty.openpty()
    job = subprocess.Popen(world.command(f"s3://{bucket}", "--kms-key", key), env=clean_env(world.server.home),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    out, _ = job.communicate(timeout=60)
    shown = b""
    with selectors.DefaultSelector() as selector:
        selector.register(master, selectors.EVENT_READ)
        while selector.select(1):
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(master)
    assert job.returncode == 0
    drawn = shown.decode().split("\r")
    assert all(len(line.split("\x1b")[0]) < 80 for line in drawn), drawn
    last = [line for line in drawn if "versions" in line][-1]
    assert "[####################] 100 % 200 of 200 versions" in last
    assert shown.decode().count("\n") == 1


def test_names_stay_out_of_the_log(world):
    bucket, key = new_bucket(world.s3), world.key()
    world.fill(bucket, ["secret-name"])
    world.ok(f"s3://{bucket}/secret-", "--kms-key", key)
    log = world.server.log.read_text()
    assert "re-encrypt" in log and "secret-" not in log


# The life of S3 Bucket Keys.

@pytest.mark.parametrize("setting, hits", [((), True), (("--bucket-key-ttl", "0"), False)])
def test_the_life_of_bucket_keys_is_a_setting(make_server, setting, hits):
    world = World(make_server(*setting, trace=False))
    bucket, key = new_bucket(world.s3), world.key()
    for n in range(3):
        world.s3.put_object(Bucket=bucket, Key=f"{n}", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key,
                            BucketKeyEnabled=True)
        assert world.s3.get_object(Bucket=bucket, Key=f"{n}")["Body"].read() == b"x"
    assert (metric(world.access, "strongroom_bucket_key_hits_total") > 0) is hits
    assert metric(world.access, "strongroom_bucket_key_misses_total") > 0


@pytest.mark.parametrize("wrong", ["3601", "-1", "5m"])
def test_a_bucket_key_life_out_of_bounds_is_refused(make_server, wrong):
    server = make_server(f"--bucket-key-ttl={wrong}", start=False).spawn()
    assert server.process.wait(30) == 2
    server.process.stdout.close()
    assert "from 0 to 3600" in server.output.read_text()
