"""A whole store, read by a second reader in Python that was written from FORMAT.md alone, against what was put and what
`strongroom recover` gives."""

import base64
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conftest import Clients
from sealing import PASSPHRASE, with_passphrase
from test_recover import SSE_C, Zoo, key_file, lines, recover  # noqa: F401 - the fixture

READER = pathlib.Path(__file__).resolve().parents[1] / "second_reader" / "store.py"
sys.path.insert(0, str(READER.parent))

from formats import CRC32C, be, crc, crc64, derive  # noqa: E402
from store import Store, read_rows  # noqa: E402


def second_reader(server, *more, code=0):
    words = [sys.executable, str(READER), str(server.data), *map(str, more)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return json.loads(done.stdout)


class SmallZoo(Zoo):
    """Every mode and every place, as small as S3 allows."""

    def with_sums(self, key, sizes, **mode):
        """Parts with a checksum of their checksums."""
        own = {**(SSE_C if "SSECustomerKey" in mode else {}), "Bucket": "plain", "Key": key}
        own["UploadId"] = self.s3.create_multipart_upload(Bucket="plain", Key=key, ChecksumAlgorithm="SHA256", **mode)["UploadId"]
        bodies, parts = [bytes([number]) * size for number, size in enumerate(sizes, 3)], []
        for number, body in zip((3, 7), bodies):
            answer = self.s3.upload_part(PartNumber=number, Body=body, ChecksumAlgorithm="SHA256", **own)
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
        self.s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **own)
        self.expected["plain", key, "null"] = hashlib.sha256(b"".join(bodies)).hexdigest()

    def fill(self):
        s3 = self.s3
        s3.create_bucket(Bucket="plain")
        s3.create_bucket(Bucket="versioned")
        s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        self.modes["aws-managed"] = {"ServerSideEncryption": "aws:kms"}
        for name, mode in self.modes.items():
            self.put("plain", f"{name}/empty", b"", **mode)
            self.put("plain", f"{name}/small", b"small " * 100, **mode)
            self.put("plain", f"{name}/large", bytes(range(256)) * 1200, **mode)
            self.multipart("plain", f"{name}/large-parts", [200_000], **mode)
            if name in ("AES256", "SSE-C", "aws:kms:dsse"):
                self.with_sums(f"{name}/sums", [5 << 20, 1000], **mode)
            for turn in range(2):
                self.put("versioned", name, bytes([turn]) * 70_000, **mode)
        for algorithm in ("CRC32", "SHA1", "SHA256"):
            self.put("plain", f"sum/{algorithm}", b"checked" * 3, ChecksumAlgorithm=algorithm)
        # botocore computes these with another package only.
        for algorithm, value in (("CRC32C", crc(CRC32C, 32, b"checked")), ("CRC64NVME", crc64(b"checked"))):
            self.put("plain", f"sum/{algorithm}", b"checked", **{f"Checksum{algorithm}": base64.b64encode(value).decode()})
        for key in ("a//b", "../up", "line\nbreak", "gr\u00fcn/\u4e16", "x" * 1000):
            self.put("plain", key, key.encode())
        self.put("plain", "deleted", b"d" * 200_000)
        s3.delete_object(Bucket="plain", Key="deleted")
        del self.expected["plain", "deleted", "null"]
        self.put("versioned", "marked", b"under a marker")
        s3.delete_object(Bucket="versioned", Key="marked")
        # Changed after the write, small and large: the newest wrap counts.
        for name, size in (("moved", 300_000), ("moved-small", 30)):
            self.put("plain", name, b"m" * size)
            s3.update_object_encryption(Bucket="plain", Key=name, ObjectEncryption={"SSEKMS": {"KMSKeyArn": self.key}})
        # Under a material that does not encrypt any more, and a key that is to be deleted.
        self.kms.rotate_key_on_demand(KeyId=self.key)
        self.put("plain", "rotated", b"r" * 100, **self.modes["aws:kms"])
        doomed = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.put("plain", "doomed", b"still here", ServerSideEncryption="aws:kms", SSEKMSKeyId=doomed)
        self.kms.schedule_key_deletion(KeyId=doomed)


@pytest.fixture
def zoo(make_server):
    return SmallZoo(make_server())


def compared(line):
    """What both readers tell of a version."""
    names = ("bucket", "key", "version_id", "is_latest", "is_delete_marker", "sha256", "size_bytes", "etag", "encryption", "kms_key_arn",
             "owner", "last_modified_millis")
    more = {name: line.get(name) or {} for name in ("headers", "user_metadata", "tags")}
    return {name: line[name] for name in names if line.get(name) is not None} | more | {"bucket_key": bool(line.get("bucket_key"))}


def check_against(zoo, read):
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in read["objects"] if it["outcome"] == "recovered"}
    assert whole == zoo.expected
    assert read["report"]["losses"] == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_second_reader_reads_the_store_as_it_was_written(zoo, tmp_path, key_file, end):  # noqa: F811
    if end == "stop":
        with_passphrase(zoo.server)
    getattr(zoo.server, end)()
    out = tmp_path / "out"
    recover(zoo.server, out, "--sse-c-key", key_file)
    if end == "stop":
        secret = tmp_path / "passphrase"
        secret.write_text(PASSPHRASE + "\n")
        opener = ("--passphrase-file", secret)
    else:
        opener = ("--key-file", zoo.server.key_file)
    read = second_reader(zoo.server, *opener, "--sse-c-key", key_file, "--out", tmp_path / "bodies")
    check_against(zoo, read)
    ours, theirs = lines(out), read["objects"]
    assert [compared(it) for it in theirs] == [compared(it) for it in ours]
    for it in ours:
        if it.get("sha256"):
            assert (tmp_path / "bodies" / it["sha256"]).read_bytes() == (out / it["file"]).read_bytes()
    keys = {json.loads(line)["arn"]: json.loads(line) for line in (out / "kms-keys.jsonl").read_text().splitlines()}
    for it in read["report"]["kms_keys"]:
        assert all(it[name] == keys[it["arn"]][name] for name in it), it
    assert len(keys) == len(read["report"]["kms_keys"]) == 3
    assert sorted(read["report"]["buckets"]) == ["plain", "versioned"]


def write_snapshot(server):
    """Writes what a checkpoint would, as FORMAT.md says: all rows but those of the last journal file, which alone stays."""
    meta, store = server.data / "meta", Store(server.data, key_file=server.key_file.read_text())
    *older, newest = sorted((meta / "journal").glob("*.srj"))
    assert older and not list((meta / "snapshot").glob("*.srs"))
    kept = newest.rename(server.home / "newest")
    rows = read_rows(meta, store.services)
    # A row's version is the sequence of its transaction; what reads rows does not need it, what writes them does.
    body = [be(len(key) + 1, 2) + be(rows.versions[table, key], 8) + be(len(value), 4) + be(table, 1) + key + value
            for (table, key), value in sorted(rows.stored.items(), key=lambda it: bytes([it[0][0]]) + it[0][1])]
    salt, sequence = bytes(range(32)), rows.last
    cipher = AESGCM(derive(salt, store.services[6], "strongroom/1 frame", b"", 32))
    data = b"SRS1\0\1\0\0" + be(0, 8) + be(sequence, 8) + salt
    data += crc(CRC32C, 32, data) + bytes(4)
    aad = data[:4] + data[8:24]
    data += cipher.encrypt(bytes(12), b"", data)
    half = len(body) // 2
    frames = [be(len(some), 4) + b"".join(some) for some in (body[:half], body[half:])] + [be(0, 4) + be(len(body), 8)]
    for index, payload in enumerate(frames, 1):
        sealed = cipher.encrypt(bytes(4) + be(index, 8), payload, aad)
        head = be(len(sealed), 4) + crc(CRC32C, 32, sealed) + be(index, 4)
        data += head + crc(CRC32C, 32, head) + sealed + bytes(-len(sealed) % 16)
    for path in older:
        path.unlink()
    kept.rename(newest)
    (meta / "index.srx").unlink()
    path = meta / "snapshot" / f"{sequence:020}.srs"
    path.write_bytes(data)
    path.chmod(0o600)


def test_a_snapshot_that_the_format_describes_is_read_by_all(zoo, tmp_path, key_file):  # noqa: F811
    server = zoo.server
    server.restart()
    zoo.s3 = Clients(server.access()).boto("https")
    zoo.put("plain", "behind", b"behind the snapshot")
    zoo.s3.delete_object(Bucket="plain", Key="AES256/large")
    del zoo.expected["plain", "AES256/large", "null"]
    server.stop()
    write_snapshot(server)
    check_against(zoo, second_reader(server, "--key-file", server.key_file, "--sse-c-key", key_file))
    recover(server, out := tmp_path / "out", "--sse-c-key", key_file)
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in lines(out) if it.get("outcome") == "recovered"}
    assert whole == zoo.expected
    server.start()
    s3 = Clients(server.access()).boto("https")
    for (bucket, key, version), sha in zoo.expected.items():
        # Its key is to be deleted, which the server must heed and recovery must not.
        if key == "doomed":
            continue
        own = SSE_C if key.startswith("SSE-C") else {}
        body = s3.get_object(Bucket=bucket, Key=key, VersionId=version, **own)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == sha, key


def test_without_journal_the_second_reader_tells_what_the_blobs_tell(zoo, tmp_path, key_file):  # noqa: F811
    zoo.server.stop()
    shutil.rmtree(zoo.server.data / "meta")
    out = tmp_path / "out"
    recover(zoo.server, out, "--sse-c-key", key_file, code=5)
    read = second_reader(zoo.server, "--key-file", zoo.server.key_file, "--sse-c-key", key_file, code=5)
    report = json.loads((out / "report.json").read_text())
    assert read["report"]["without_rows"] and report["without_rows"]

    def told(found):
        return sorted((it["key"], it["encryption"], it["outcome"], it["sha256"]) for it in found if it.get("sha256"))

    assert told(read["objects"]) == told(lines(out))
    expected = {(key, sha) for (_, key, _), sha in zoo.expected.items()}
    whole = {(key, sha) for key, _, outcome, sha in told(read["objects"]) if outcome == "recovered" and key != "deleted"}
    assert whole <= expected and {key for key, _ in whole} >= {"AES256/large", "SSE-C/large", "AES256", "SSE-C"}
    # Parts that were sent are here; that they are all, nothing says.
    unproven = {(key, sha) for key, _, outcome, sha in told(read["objects"]) if outcome == "unproven"}
    assert unproven >= {(key, sha) for key, sha in expected if key in ("AES256/large-parts", "SSE-C/large-parts")}
    # What is lost, both say in the same numbers.
    for mode, counts in report["versions"].items():
        own = read["report"]["versions"][mode]
        lost = sum(number for outcome, number in own.items() if outcome not in ("recovered", "unproven"))
        assert (own.get("recovered", 0), own.get("unproven", 0), lost) == (counts["recovered"], counts["unproven"], counts["lost"]), mode
    assert read["report"]["versions"]["aws:kms"].keys() == read["report"]["versions"]["aws:kms:dsse"].keys() == {"no-kms-key"}


def test_the_second_reader_names_what_lacks_its_customers_key(zoo):
    zoo.server.stop()
    read = second_reader(zoo.server, "--key-file", zoo.server.key_file, code=5)
    lost = {it["key"] for it in read["objects"] if it["outcome"] not in (None, "recovered")}
    assert lost == {key for _, key, _ in zoo.expected if key.startswith("SSE-C")}
    assert {it["outcome"] for it in read["objects"] if it["key"] in lost} == {"no-customer-key"}
