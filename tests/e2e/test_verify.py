"""`strongroom verify` finds every damage that is done to a data directory, names what is damaged, and finds nothing in a store
that is whole, also while clients write."""

import base64
import json
import os
import random
import shutil
import subprocess
import threading

import pytest

from conftest import Clients, binary, clean_env
from terminal import Terminal

PART = 5 << 20
KEY = bytes(range(32))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
SEGMENT = 65536
DAMAGE, FOREIGN = 12, 13


class Store:
    """A store with an object of every kind: by mode, inline or blob, of parts, versioned, with a delete marker."""

    def __init__(self, server):
        self.server = server
        access = server.access()
        self.s3, self.kms = Clients(access).boto("https"), Clients(access).boto(service="kms")
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.modes = {
            "AES256": {}, "aws:kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key},
            "bucket-key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key, "BucketKeyEnabled": True},
            "aws:kms:dsse": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": self.key, "SSEKMSEncryptionContext":
                             base64.b64encode(b'{"team":"blue"}').decode()},
            "SSE-C": SSE_C}
        self.s3.create_bucket(Bucket="plain")
        self.s3.create_bucket(Bucket="versioned")
        self.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        for name, mode in self.modes.items():
            self.s3.put_object(Bucket="plain", Key=f"{name}/empty", Body=b"", **mode)
            self.s3.put_object(Bucket="plain", Key=f"{name}/small", Body=os.urandom(1000), **mode)
            self.s3.put_object(Bucket="plain", Key=f"{name}/large", Body=os.urandom(300_001), ChecksumAlgorithm="SHA256", **mode)
            for _ in range(2):
                self.s3.put_object(Bucket="versioned", Key=name, Body=os.urandom(70_000), **mode)
        self.multipart("parts", [PART, 200_000])
        self.multipart("SSE-C/parts", [PART, 7], **SSE_C)
        self.upload = self.s3.create_multipart_upload(Bucket="plain", Key="begun", **self.modes["aws:kms"])["UploadId"]
        self.s3.upload_part(Bucket="plain", Key="begun", UploadId=self.upload, PartNumber=1, Body=os.urandom(200_000))
        self.s3.put_object(Bucket="versioned", Key="marked", Body=b"under a marker")
        self.s3.delete_object(Bucket="versioned", Key="marked")
        self.s3.put_object(Bucket="plain", Key="moved", Body=os.urandom(300_000))
        self.s3.update_object_encryption(Bucket="plain", Key="moved", ObjectEncryption={"SSEKMS": {"KMSKeyArn": self.key}})

    def multipart(self, key, sizes, **mode):
        upload = self.s3.create_multipart_upload(Bucket="plain", Key=key, **mode)["UploadId"]
        own = SSE_C if "SSECustomerKey" in mode else {}
        parts = [{"PartNumber": n, "ETag": self.s3.upload_part(Bucket="plain", Key=key, UploadId=upload, PartNumber=n,
                                                               Body=os.urandom(size), **own)["ETag"]}
                 for n, size in enumerate(sizes, 1)]
        self.s3.complete_multipart_upload(Bucket="plain", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **own)

    @property
    def data(self):
        return self.server.data

    def blobs(self):
        return sorted(p for p in (self.data / "blobs" / "blobs").rglob("*") if p.is_file())

    def verify(self, *more, code=0):
        done = subprocess.run([binary(), "verify", "--data", str(self.data), "--key-file", str(self.server.key_file), "--json", *more],
                              env=clean_env(self.server.home), capture_output=True, text=True, timeout=240)
        assert done.returncode == code, (done.returncode, done.stdout[-4000:], done.stderr[-3000:])
        return json.loads(done.stdout)

    def name(self, path):
        return str(path.relative_to(self.data))


@pytest.fixture
def store(make_server):
    return Store(make_server())


@pytest.fixture
def stopped(store):
    store.server.stop()
    return store


@pytest.fixture
def customer_key(tmp_path):
    path = tmp_path / "customer.key"
    path.write_bytes(KEY)
    return ["--sse-c-key", str(path)]


def damaged(report):
    return [it for it in report["findings"] if it["kind"] == "damage"]


def damaged_files(report):
    return {it.get("file") for it in damaged(report)}


class Undo:
    """Puts files back as they were."""

    def __init__(self):
        self.before = {}

    def keep(self, *paths):
        for path in paths:
            self.before.setdefault(path, path.read_bytes() if path.exists() else None)

    def back(self):
        for path, bytes_ in self.before.items():
            if bytes_ is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(bytes_)
        self.before.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.back()


def flip(path, offset, bit=3):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ (1 << bit)]))


def regions(path):
    """Where the header, the first and the last segment and the footer of a blob lie."""
    stored = path.read_bytes()
    header = int.from_bytes(stored[8:12], "big")
    footer = len(stored) - int.from_bytes(stored[-16:-12], "big")
    overhead = 24 if stored[5] == 1 else 40
    last = header + (footer - header - 1) // (SEGMENT + overhead) * (SEGMENT + overhead)
    return {"header": (0, header), "first segment": (header, min(footer, header + SEGMENT + overhead)),
            "last segment": (last, footer), "footer": (footer, len(stored))}


def test_a_whole_store_has_no_findings(stopped, customer_key):
    report = stopped.verify(*customer_key)
    assert report["findings"] == [] and not report["incomplete"] and report["with_keys"]
    modes = report["buckets"]["plain"]["modes"]
    assert {mode: it["versions"] for mode, it in modes.items()} == {"AES256": 4, "aws:kms": 7, "aws:kms:dsse": 3, "SSE-C": 4}
    assert report["buckets"]["versioned"]["delete_markers"] == 1
    assert report["buckets"]["plain"]["uploads"] == 1 and report["buckets"]["plain"]["upload_parts"] == 1
    total = {name: sum(mode[name] for bucket in report["buckets"].values() for mode in bucket["modes"].values())
             for name in ("segments", "segments_by_checksum", "without_customer_key", "under_unavailable_keys", "keys_opened")}
    assert total["segments_by_checksum"] == total["without_customer_key"] == total["under_unavailable_keys"] == 0
    # Two wrapped keys of each version of two layers: three in one bucket, two in the other.
    assert total["keys_opened"] == 18 + 11 + 1 + 5, total
    # By far the most are of the parts of 5 MiB.
    assert total["segments"] >= 2 * 80 + 10 * 5
    assert report["files"]["ring_copies"] == 2 and report["files"]["journal_frames"] > 10 and report["files"]["index_pages"] > 1
    assert report["files"]["materials"] >= 1 and report["files"]["shred_files"] == 2 * report["files"]["materials"]
    assert "tls/key.pem" in report["plaintext_files"]
    without = stopped.verify()
    assert without["findings"] == []
    assert without["buckets"]["plain"]["modes"]["SSE-C"]["without_customer_key"] == 4
    sealed = stopped.verify("--sealed")
    assert sealed["findings"] == [] and not sealed["with_keys"]
    checksums = sum(mode["segments_by_checksum"] for bucket in sealed["buckets"].values() for mode in bucket["modes"].values())
    assert checksums > 160


def test_every_flipped_bit_in_blobs_is_found_and_named(stopped, customer_key):
    rng, blobs = random.Random(1), stopped.blobs()
    assert len(blobs) >= 20
    for region in ("header", "first segment", "last segment", "footer"):
        with Undo() as undo:
            for path in blobs:
                undo.keep(path)
                start, end = regions(path)[region]
                flip(path, rng.randrange(start, end), rng.randrange(8))
            expected = {stopped.name(path) for path in blobs}
            report = stopped.verify(*customer_key, code=DAMAGE)
            assert damaged_files(report) == expected, region
            assert all(it["bucket"] in ("plain", "versioned") and it["key"] for it in damaged(report))
            by_file = {it["file"]: it for it in damaged(report)}
            for path in blobs:
                start, end = regions_of(undo.before[path])[region]
                assert start <= by_file[stopped.name(path)]["offset"] < end
            # Without the customer's key, and without any.
            assert damaged_files(stopped.verify(code=DAMAGE)) == expected, region
            assert damaged_files(stopped.verify("--sealed", code=DAMAGE)) == expected, region
    assert stopped.verify(*customer_key)["findings"] == []


def regions_of(stored):
    class Bytes:
        def read_bytes(self):
            return stored
    return regions(Bytes())


def test_truncated_swapped_missing_extended_and_copied_blobs_are_found(stopped, customer_key):
    rng, blobs = random.Random(2), stopped.blobs()
    with Undo() as undo:
        undo.keep(*blobs)
        for path in blobs:
            os.truncate(path, rng.randrange(1, path.stat().st_size))
        expected = {stopped.name(path) for path in blobs}
        assert damaged_files(stopped.verify(*customer_key, code=DAMAGE)) == expected
        sealed = stopped.verify("--sealed", code=DAMAGE)
        foreign = {it["file"] for it in sealed["findings"] if it["kind"] == "foreign"}
        assert damaged_files(sealed) | foreign == expected
    with Undo() as undo:
        undo.keep(*blobs)
        for one, other in zip(blobs[::2], blobs[1::2]):
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
        assert damaged_files(stopped.verify(*customer_key, code=DAMAGE)) == {stopped.name(p) for p in blobs[:len(blobs) // 2 * 2]}
    with Undo() as undo:
        undo.keep(*blobs)
        for path in blobs:
            path.unlink()
        report = stopped.verify(*customer_key, code=DAMAGE)
        assert damaged_files(report) == {stopped.name(path) for path in blobs}
        assert {it["what"] for it in damaged(report)} == {"missing"}
    with Undo() as undo:
        undo.keep(*blobs)
        for path in blobs:
            path.write_bytes(path.read_bytes() + b"more")
        assert damaged_files(stopped.verify(*customer_key, code=DAMAGE)) == {stopped.name(path) for path in blobs}
        assert damaged_files(stopped.verify("--sealed", code=DAMAGE)) == {stopped.name(path) for path in blobs}
    # A copy under another name of a blob is no damage, but it is told of.
    copy = blobs[0].with_name(blobs[0].name[:-4] + "0000")
    with Undo() as undo:
        undo.keep(copy)
        shutil.copyfile(blobs[0], copy)
        report = stopped.verify()
        assert [(it["kind"], it["file"]) for it in report["findings"]] == [("leftover", stopped.name(copy))]
        assert report["waiting"]["orphan_blobs"] == 1


def test_older_copies_put_back_are_found(store, customer_key):
    """Of blobs after a rotation of the root key, of the ring, of a shred file, of the journal."""
    store.server.stop()
    old = {path: path.read_bytes() for path in store.blobs()}
    ring = {path: path.read_bytes() for path in (store.data / "ring").iterdir()}
    shreds = {path: path.read_bytes() for path in (store.data / "shreds").rglob("*") if path.is_file()}
    store.server.start()
    subprocess.run([binary(), "root-key", "rotate", "--wait", "--data", str(store.data)], env=clean_env(store.server.home), check=True,
                   capture_output=True, timeout=120)
    assert store.verify()["findings"] == []
    store.server.stop()
    assert store.verify(*customer_key)["findings"] == []
    changed = [path for path in store.blobs() if path.read_bytes() != old[path]]
    assert changed
    with Undo() as undo:
        undo.keep(*changed)
        for path in changed:
            path.write_bytes(old[path])
        assert damaged_files(store.verify(code=DAMAGE)) == {store.name(path) for path in changed}
    for path in ring:
        with Undo() as undo:
            undo.keep(path)
            path.write_bytes(ring[path])
            assert damaged_files(store.verify(code=DAMAGE)) == {store.name(path)}
            assert damaged_files(store.verify("--sealed", code=DAMAGE)) == {store.name(path)}
    with Undo() as undo:
        undo.keep(*ring)
        for path, before in ring.items():
            path.write_bytes(before)
        # Everything that was wrapped since does not open, either.
        assert {store.name(path) for path in ring} <= damaged_files(store.verify(code=DAMAGE))
    with Undo() as undo:
        path = next(iter(shreds))
        undo.keep(path)
        path.write_bytes(shreds[path])
        assert damaged(store.verify(code=DAMAGE))


def test_damage_of_journal_index_ring_and_shred_files_is_found(stopped):
    rng = random.Random(3)
    journal = sorted((stopped.data / "meta" / "journal").iterdir())[-1]
    used = len(journal.read_bytes().rstrip(b"\0"))
    others = [stopped.data / "ring" / "ring.a", stopped.data / "ring" / "ring.b",
              *(p for p in (stopped.data / "shreds").rglob("*") if p.is_file())]
    for offset in [5, 20, 60, 70, 85, 93, *(rng.randrange(96, used - 600) for _ in range(6))]:
        with Undo() as undo:
            undo.keep(journal)
            flip(journal, offset)
            assert stopped.name(journal) in damaged_files(stopped.verify(code=DAMAGE)), offset
            # Bytes 64 to 80 are a tag, of which nobody without keys can say anything.
            if not 64 <= offset < 80:
                assert stopped.name(journal) in damaged_files(stopped.verify("--sealed", code=DAMAGE)), offset
    for path in others:
        for offset in (0, rng.randrange(8, path.stat().st_size), path.stat().st_size - 1):
            with Undo() as undo:
                undo.keep(path)
                flip(path, offset)
                assert stopped.name(path) in damaged_files(stopped.verify("--sealed", code=DAMAGE)), (path, offset)
                if path.parent.name != "ring":
                    assert stopped.name(path) in damaged_files(stopped.verify(code=DAMAGE)), (path, offset)
        with Undo() as undo:
            undo.keep(path)
            path.unlink()
            assert damaged_files(stopped.verify(code=DAMAGE)) == {stopped.name(path)}
    index = stopped.data / "meta" / "index.srx"
    pages = [page for page in range(index.stat().st_size // 4120)
             if index.read_bytes()[page * 4120:][:4120].strip(b"\0")]
    with Undo() as undo:
        undo.keep(index)
        for page in pages:
            flip(index, page * 4120 + rng.randrange(4120))
        found = {it["offset"] // 4120 for it in damaged(stopped.verify(code=DAMAGE)) if it["what"] == "index" and "offset" in it}
        assert found == set(pages)
    # A page that is zeros, which a page that was never written is, too.
    with Undo() as undo:
        undo.keep(index)
        with open(index, "r+b") as file:
            file.seek(pages[len(pages) // 2] * 4120)
            file.write(bytes(4120))
        assert stopped.name(index) in damaged_files(stopped.verify(code=DAMAGE))
    # The last frames are gone without a trace in the journal: the index knows of them.
    with Undo() as undo:
        undo.keep(journal)
        frames = frames_of(journal)
        with open(journal, "r+b") as file:
            file.seek(frames[-3])
            file.write(bytes(used - frames[-3] + 16))
        found = damaged(stopped.verify(code=DAMAGE))
        assert any("acknowledged commits are missing" in it["why"] for it in found)
    with Undo() as undo:
        undo.keep(journal)
        os.truncate(journal, 40)
        assert stopped.verify(code=DAMAGE)["damaged"]
    with Undo() as undo:
        undo.keep(journal)
        journal.unlink()
        assert stopped.verify(code=DAMAGE)["damaged"]


def frames_of(journal):
    """Where the frames of a journal file begin."""
    stored, at, found = journal.read_bytes(), 80, []
    while length := int.from_bytes(stored[at:at + 4], "big"):
        found.append(at)
        at += 16 + -(-length // 16) * 16
    return found


def test_an_older_index_is_no_damage_and_an_older_page_is(store):
    index = store.data / "meta" / "index.srx"
    store.server.stop()
    old = index.read_bytes()
    store.server.start()
    s3 = Clients(store.server.access()).boto()
    for n in range(40):
        s3.put_object(Bucket="plain", Key=f"more/{n}", Body=os.urandom(500))
    store.server.stop()
    assert store.verify()["findings"] == []
    new = index.read_bytes()
    with Undo() as undo:
        undo.keep(index)
        index.write_bytes(old)
        # It is brought up to date by the journal.
        assert store.verify()["findings"] == []
    shared = min(len(old), len(new)) // 4120
    changed = [page for page in range(2, shared) if old[page * 4120:][:4120] != new[page * 4120:][:4120]
               and old[page * 4120:][:4120].strip(b"\0")]
    with Undo() as undo:
        undo.keep(index)
        with open(index, "r+b") as file:
            for page in changed:
                file.seek(page * 4120)
                file.write(old[page * 4120:][:4120])
        assert changed and store.name(index) in damaged_files(store.verify(code=DAMAGE))


def test_what_is_none_of_the_stores_is_found(stopped):
    id = "00112233445566778899aabbccddeeff"
    data = stopped.data
    foreign = [data / "core", data / "ring" / "ring.a.bak", data / "meta" / "journal" / "00000001.srj.old", data / "blobs" / "notes.txt",
               data / "blobs" / "blobs" / "01" / id, data / "shreds" / "a" / "readme", data / "tls" / "key.txt"]
    leftover = [data / "ring" / "ring.a.tmp", data / "blobs" / "staging" / id, data / "meta" / "snapshot" / "new.tmp",
                data / "shreds" / "b" / f"{id}.new"]
    with Undo() as undo:
        for path in foreign + leftover:
            undo.keep(path)
            path.write_bytes(b"plaintext")
        for more in ([], ["--sealed"]):
            report = stopped.verify(*more, code=FOREIGN)
            kinds = {kind: {it["file"] for it in report["findings"] if it["kind"] == kind} for kind in ("foreign", "leftover", "damage")}
            assert kinds == {"foreign": {stopped.name(p) for p in foreign}, "leftover": {stopped.name(p) for p in leftover}, "damage": set()}
        # The right name, the wrong content.
        blob = data / "blobs" / "blobs" / id[:2] / id
        undo.keep(blob)
        blob.write_bytes(b"a plaintext that somebody put here")
        for more in ([], ["--sealed"]):
            assert stopped.name(blob) in {it["file"] for it in stopped.verify(*more, code=FOREIGN)["findings"]
                                          if it["kind"] == "foreign"}
    assert stopped.verify()["findings"] == []


def test_a_running_server_finds_damage_in_its_own_files(store):
    rng, blobs = random.Random(4), store.blobs()
    chosen = blobs[::3]
    with Undo() as undo:
        for path in chosen:
            undo.keep(path)
            start, end = regions(path)["first segment"]
            flip(path, rng.randrange(start, end))
        missing = blobs[1]
        undo.keep(missing)
        missing.unlink()
        extra = store.data / "meta" / "extra"
        undo.keep(extra)
        extra.write_bytes(b"x")
        report = store.verify(code=DAMAGE)
        assert report["on_line"] and damaged_files(report) == {store.name(p) for p in [*chosen, missing]}
        assert store.name(extra) in {it["file"] for it in report["findings"] if it["kind"] == "foreign"}
        assert damaged_files(store.verify("--sealed", code=DAMAGE)) == {store.name(path) for path in chosen}
    ring = store.data / "ring" / "ring.b"
    with Undo() as undo:
        undo.keep(ring)
        flip(ring, 40)
        assert damaged_files(store.verify(code=DAMAGE)) == {store.name(ring)}
    assert store.verify("--rate", "1GiB/s")["findings"] == []


def test_keys_that_cannot_be_used_are_said_and_no_damage(store):
    store.kms.disable_key(KeyId=store.key)
    report = store.verify()
    assert report["findings"] == [] and report["unavailable_keys"][store.key]["state"] == "Disabled"
    assert report["buckets"]["plain"]["modes"]["aws:kms:dsse"]["under_unavailable_keys"] == 3
    assert report["buckets"]["plain"]["modes"]["aws:kms:dsse"]["segments"] == 0
    assert report["buckets"]["plain"]["modes"]["aws:kms:dsse"]["segments_by_checksum"] > 0
    store.kms.enable_key(KeyId=store.key)
    store.kms.schedule_key_deletion(KeyId=store.key, PendingWindowInDays=7)
    store.server.stop()
    report = store.verify()
    assert report["findings"] == [] and report["unavailable_keys"][store.key]["state"] == "PendingDeletion"
    blob = store.blobs()[0]
    with Undo() as undo:
        for blob in store.blobs():
            undo.keep(blob)
            flip(blob, regions(blob)["first segment"][0] + 7)
        assert damaged_files(store.verify(code=DAMAGE)) == {store.name(path) for path in store.blobs()}


def test_a_server_under_load_has_no_findings(store):
    """Writers overwrite, delete, upload in parts, rotate and re-encrypt while everything is verified again and again."""
    end, errors = threading.Event(), []

    def writer(number):
        s3, rng = Clients(store.server.access()).boto(), random.Random(number)
        try:
            while not end.is_set():
                key, mode = f"load/{rng.randrange(6)}", rng.choice([m for name, m in store.modes.items() if name != "SSE-C"])
                bucket = rng.choice(["plain", "versioned"])
                act = rng.randrange(6)
                if act == 0:
                    s3.delete_object(Bucket=bucket, Key=key)
                elif act == 1:
                    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **mode)["UploadId"]
                    for _ in range(2):
                        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=os.urandom(200_000))
                    if rng.random() < 0.5:
                        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
                    else:
                        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                                     MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
                else:
                    s3.put_object(Bucket=bucket, Key=key, Body=os.urandom(rng.choice([10, 30_000, 200_000])), **mode)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    def rotate():
        while not end.wait(0.5):
            subprocess.run([binary(), "root-key", "rotate", "--data", str(store.data)], env=clean_env(store.server.home),
                           capture_output=True, timeout=60)

    threads = [threading.Thread(target=writer, args=(n,)) for n in range(4)] + [threading.Thread(target=rotate)]
    for thread in threads:
        thread.start()
    try:
        for more in ([], [], ["--sealed"], []):
            report = store.verify(*more)
            assert [it for it in report["findings"] if it["kind"] != "leftover"] == []
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert errors == []
    store.server.kill()
    try:
        report = store.verify()
    except AssertionError:
        # It was killed between the two copies of a shred file: the next start wraps the other one, too.
        halves = damaged(store.verify(code=DAMAGE))
        assert {it["why"] for it in halves} == {"the copies of a shred file differ"}
        store.server.start()
        store.server.stop()
        report = store.verify()
    assert not damaged(report), report["findings"]


def test_a_sealed_server_verifies_checksums(store, tmp_path):
    store.server.stop()
    away = tmp_path / "away.key"
    os.rename(store.server.key_file, away)
    blob = store.blobs()[0]
    with Undo() as undo:
        undo.keep(blob)
        flip(blob, regions(blob)["first segment"][0])
        done = subprocess.run([binary(), "verify", "--data", str(store.data), "--key-file", str(store.server.key_file)],
                              env=clean_env(store.server.home), capture_output=True, text=True, timeout=60)
        assert done.returncode == 3 and "--sealed" in done.stderr
        assert damaged_files(store.verify("--sealed", code=DAMAGE)) == {store.name(blob)}
    os.rename(away, store.server.key_file)


def test_at_a_terminal(store):
    program = Terminal([binary(), "verify", "--data", store.data, "--rate", "20MiB/s"], env=clean_env(store.server.home))
    program.expect("MiB")
    program.expect("beside the running server")
    program.expect("plain  AES256: 4 versions")
    program.expect("0 damaged, 0 foreign, 0 left over")
    assert program.end() == 0
    store.server.stop()
    blob = store.blobs()[0]
    flip(blob, regions(blob)["first segment"][0])
    program = Terminal([binary(), "verify", "--data", store.data, "--key-file", store.server.key_file], env=clean_env(store.server.home))
    program.expect("DAMAGED: s3://")
    program.expect(store.name(blob)).expect("at byte")
    program.expect("1 damaged, 0 foreign")
    program.expect("what to do:")
    assert program.end() == DAMAGE
