"""`strongroom recover`: every acknowledged object, byte for byte, from a data directory and its seal alone."""

import base64
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from conftest import Clients, binary, clean_env

PART = 5 << 20
KEY = bytes(range(32))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
ODD_KEYS = ["a", "a/b", "a//b", "../../escape", "./x", "/lead", "trail/", "50% off", "line\nbreak", "gr\u00fcn/\u4e16", "x" * 1000,
            "a/b/../c"]


class Zoo:
    """A store with objects of every kind, and what they must be."""

    def __init__(self, server):
        self.server = server
        access = server.access()
        self.s3, self.kms = Clients(access).boto("https"), Clients(access).boto(service="kms")
        self.expected = {}  # (bucket, key, version id) -> (sha256, kind of place)
        self.key = self.kms.create_key(Description="zoo")["KeyMetadata"]["Arn"]
        self.kms.create_alias(AliasName="alias/zoo", TargetKeyId=self.key)
        self.modes = {
            "AES256": {}, "aws:kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key},
            "bucket-key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, "BucketKeyEnabled": True},
            "aws:kms:dsse": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": self.key},
            "context": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, "SSEKMSEncryptionContext":
                        base64.b64encode(b'{"team":"blue","app":"x"}').decode()},
            "SSE-C": SSE_C}
        self.fill()

    def put(self, bucket, key, body, **mode):
        version = self.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/plain", Metadata={"who": key.encode().hex()[:8]},
                                     Tagging="team=blue", **mode).get("VersionId", "null")
        self.expected[bucket, key, version] = hashlib.sha256(body).hexdigest()

    def multipart(self, bucket, key, sizes, **mode):
        upload = self.s3.create_multipart_upload(Bucket=bucket, Key=key, **mode)["UploadId"]
        own = SSE_C if mode is SSE_C or "SSECustomerKey" in mode else {}
        bodies, parts = [os.urandom(size) for size in sizes], []
        for number, body in enumerate(bodies, 1):
            # An attempt that is replaced must not come out.
            self.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=b"wrong", **own)
            etag = self.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **own)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        version = self.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                                    MultipartUpload={"Parts": parts}, **own).get("VersionId", "null")
        self.expected[bucket, key, version] = hashlib.sha256(b"".join(bodies)).hexdigest()

    def fill(self):
        self.s3.create_bucket(Bucket="plain")
        self.s3.create_bucket(Bucket="versioned")
        self.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        for name, mode in self.modes.items():
            self.put("plain", f"{name}/empty", b"", **mode)
            self.put("plain", f"{name}/small", os.urandom(1000), **mode)
            self.put("plain", f"{name}/large", os.urandom(300_001), **mode)
            self.multipart("plain", f"{name}/parts", [PART, PART + 1, 7], **mode)
            self.multipart("plain", f"{name}/large-parts", [PART, PART + 1, 200_000], **mode)
            for _ in range(3):
                self.put("versioned", name, os.urandom(70_000), **mode)
        for key in ODD_KEYS:
            self.put("plain", key, key.encode())
        # Gone, and not to come back.
        self.put("plain", "deleted", os.urandom(200_000))
        self.s3.delete_object(Bucket="plain", Key="deleted")
        del self.expected["plain", "deleted", "null"]
        self.put("versioned", "marked", b"under a marker")
        self.s3.delete_object(Bucket="versioned", Key="marked")
        # Changed after the write: the newest wrap counts.
        self.put("plain", "moved", os.urandom(300_000))
        self.s3.update_object_encryption(Bucket="plain", Key="moved", ObjectEncryption={"SSEKMS": {"KMSKeyArn": self.key}})


def recover(server, out, *more, code=0):
    done = subprocess.run([binary(), "recover", "--data", str(server.data), "--key-file", str(server.key_file), "--out", str(out),
                           *more], env=clean_env(server.home), capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


def lines(out):
    return [json.loads(line) for line in (out / "objects.jsonl").read_text().splitlines()]


def check_files(out, found):
    for line in found:
        body = (out / line["file"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == line["sha256"]
        assert (out / line["file"]).resolve().is_relative_to(out.resolve())
        assert (out / line["file"]).stat().st_mode & 0o777 == 0o600


@pytest.fixture
def zoo(make_server):
    return Zoo(make_server())


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "customer.key"
    path.write_bytes(KEY)
    return str(path)


def test_everything_acknowledged_comes_back_without_server_and_index(zoo, tmp_path, key_file):
    zoo.server.kill()
    (zoo.server.data / "meta" / "index.srx").unlink(missing_ok=True)
    stored = lambda: {p: p.read_bytes() for p in zoo.server.data.rglob("*") if p.is_file() and p.name != "lock"}
    before = stored()
    out = tmp_path / "out"
    done = recover(zoo.server, out, "--sse-c-key", key_file)
    after = stored()
    # All that it writes there is its note for the audit trail.
    [note] = after.keys() - before.keys()
    assert note.parent == zoo.server.data / "deeds" and {p: text for p, text in after.items() if p != note} == before
    assert "LOST" not in done.stdout
    found = lines(out)
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in found if it.get("outcome") == "recovered"}
    assert whole == zoo.expected
    check_files(out, [it for it in found if "file" in it])
    markers = [it for it in found if it["is_delete_marker"]]
    assert [(it["bucket"], it["key"], it["is_latest"]) for it in markers] == [("versioned", "marked", True)]
    by_key = {it["key"]: it for it in found if it["bucket"] == "plain"}
    small = by_key["aws:kms/small"]
    assert small["headers"] == {"Content-Type": "text/plain"} and small["tags"] == {"team": "blue"}
    assert small["encryption"] == "aws:kms" and small["kms_key_arn"] == zoo.key and by_key["bucket-key/small"]["bucket_key"]
    assert by_key["moved"]["encryption"] == "aws:kms"
    kms = [json.loads(line) for line in (out / "kms-keys.jsonl").read_text().splitlines()]
    ours = next(it for it in kms if it["arn"] == zoo.key)
    assert ours["aliases"] == ["alias/zoo"] and list(ours["materials"].values()) == [True] and ours["description"] == "zoo"
    assert {json.loads(line)["name"] for line in (out / "buckets.jsonl").read_text().splitlines()} == {"plain", "versioned"}
    report = json.loads((out / "report.json").read_text())
    assert report["losses"] == [] and not report["without_rows"]
    assert sum(it["lost"] for it in report["versions"].values()) == 0


def test_without_the_customers_key_its_objects_are_named_as_lost(zoo, tmp_path):
    zoo.server.stop()
    out = tmp_path / "out"
    recover(zoo.server, out, code=5)
    lost = {it["key"] for it in lines(out) if it.get("outcome") == "no-customer-key"}
    assert lost == {key for _, key, _ in zoo.expected if key.startswith("SSE-C")}
    assert not [it for it in lines(out) if it.get("outcome") not in ("recovered", "no-customer-key", None)]


def test_without_journal_and_snapshots_the_blobs_tell_what_they_can(zoo, tmp_path, key_file):
    zoo.server.stop()
    shutil.rmtree(zoo.server.data / "meta")
    out = tmp_path / "out"
    done = recover(zoo.server, out, "--sse-c-key", key_file, code=5)
    assert "neither journal nor snapshot" in done.stdout
    found = {(it["key"], it["sha256"]) for it in lines(out) if it.get("outcome") == "recovered"}
    unproven = {(it["key"], it["sha256"]) for it in lines(out) if it.get("outcome") == "unproven"}
    # Large ones of ring and customer keys: with the journal the keys of the key service are gone, and what lay in it.
    expected = {(key, sha) for (_, key, _), sha in zoo.expected.items()
                if key.split("/")[0] in ("AES256", "SSE-C") and key.split("/")[-1] in ("large", "AES256", "SSE-C")}
    assert expected <= found
    # The list of parts is gone too, so nothing of several parts is called whole, whether it is or not.
    assert not [key for key, _ in found if key.endswith("parts")]
    assert {(key, sha) for (_, key, _), sha in zoo.expected.items()
            if key in ("AES256/large-parts", "SSE-C/large-parts")} <= unproven
    assert {key for key, _ in found} <= {key for _, key, _ in zoo.expected} | {"deleted"}
    report = json.loads((out / "report.json").read_text())
    assert report["without_rows"] and report["versions"]["aws:kms"]["lost"] > 0 and report["versions"]["aws:kms:dsse"]["lost"] > 0
    check_files(out, [it for it in lines(out) if "file" in it])


def test_a_lost_journal_behind_a_snapshot_is_told(zoo, tmp_path, key_file):
    zoo.server.stop()
    meta = zoo.server.data / "meta"
    assert not list((meta / "snapshot").glob("*.srs")), "this store is too small for a snapshot"
    journals = sorted((meta / "journal").iterdir())
    (journals[-1]).unlink()
    out = tmp_path / "out"
    recover(zoo.server, out, "--sse-c-key", key_file, code=5)
    assert not json.loads((out / "report.json").read_text())["losses"] == []


def test_names_that_a_file_system_does_not_take_stop_nothing(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="odd")
    keys = ["x\u0000", "x\u0000/y", "a", "a/b", "a/b/c", "A"]
    for key in keys:
        s3.put_object(Bucket="odd", Key=key, Body=key.encode())
    server.stop()
    out = tmp_path / "out"
    recover(server, out)
    found = lines(out)
    assert {it["key"]: (out / it["file"]).read_bytes() for it in found} == {key: key.encode() for key in keys}


def test_damage_costs_what_it_hit_and_no_more(zoo, tmp_path, key_file):
    zoo.server.stop()
    blobs = sorted((p for p in (zoo.server.data / "blobs" / "blobs").rglob("*") if p.is_file() and p.stat().st_size > 100_000),
                   key=lambda p: p.name)
    cut, flipped, gone = blobs[0], blobs[len(blobs) // 2], blobs[-1]
    cut.write_bytes(cut.read_bytes()[:50_000])
    data = bytearray(flipped.read_bytes())
    data[70_000] ^= 4
    flipped.write_bytes(bytes(data))
    gone.unlink()
    out = tmp_path / "out"
    recover(zoo.server, out, "--sse-c-key", key_file, code=5)
    found = lines(out)
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in found if it.get("outcome") == "recovered"}
    bad = [it for it in found if it.get("outcome") in ("damaged", "missing")]
    # One of the three may be the blob of a deleted object, or two of the same.
    assert 1 <= len(bad) <= 3
    assert whole == {k: v for k, v in zoo.expected.items() if k not in {(it["bucket"], it["key"], it["version_id"]) for it in bad}}
    report = json.loads((out / "report.json").read_text())
    assert {f"s3://{it['bucket']}/{it['key']} version {it['version_id']}" for it in bad} == {it["what"] for it in report["losses"]}


def test_a_damaged_commit_is_told_and_the_rest_comes_back(zoo, tmp_path, key_file):
    zoo.server.stop()
    journal = sorted((zoo.server.data / "meta" / "journal").iterdir())[0]
    data = bytearray(journal.read_bytes())
    used = len(data.rstrip(b"\0"))
    data[used // 2] ^= 1
    journal.write_bytes(bytes(data))
    out = tmp_path / "out"
    recover(zoo.server, out, "--sse-c-key", key_file, code=5)
    report = json.loads((out / "report.json").read_text())
    assert any(it["what"].startswith("rows of") for it in report["losses"])
    shas = {it["sha256"] for it in lines(out) if it.get("outcome") == "recovered"}
    assert len(shas & set(zoo.expected.values())) >= len(zoo.expected) - 6


def test_mistakes_are_refused_with_the_cure(make_server, tmp_path):
    server = make_server()
    out = tmp_path / "out"
    running = recover(server, out, code=5)
    assert "in use" in running.stderr or "running" in running.stderr or "another" in running.stderr, running.stderr
    server.stop()
    out.mkdir(exist_ok=True)
    (out / "something").write_text("x")
    assert "not empty" in recover(server, out, code=2).stderr
    wrong = tmp_path / "wrong.key"
    wrong.write_text("short")
    assert "32 bytes" in recover(server, tmp_path / "other", "--sse-c-key", str(wrong), code=2).stderr
    empty = recover(server, tmp_path / "empty", "--json")
    assert json.loads(empty.stdout)["versions"] == {}
