"""Damage on disk: every read gives the identical bytes or an error, never wrong bytes, and an event is raised."""

import http.client
import os
import pathlib
import random
import shutil

import pytest

from conftest import Clients, files, metric, new_bucket, poll
from test_s3_multipart import PART, Upload

SIZE = 1_000_003  # Odd, so that no preallocated file is taken for a blob.
EVENTS = "strongroom_integrity_events_total"


class Store:
    """A server with a few objects, and the file that holds each large one."""

    def __init__(self, server):
        self.server = server
        self.bodies, self.blobs = {}, {}
        s3 = self.connect()
        self.bucket = new_bucket(s3)

    def connect(self):
        self.access = self.server.access()
        self.raw = Clients(self.access).raw()
        self.s3 = Clients(self.access).boto()
        return self.s3

    def put(self, key, size=SIZE, write=None):
        before = files(self.server.data)
        self.bodies[key] = os.urandom(size)
        (write or (lambda body: self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)))(self.bodies[key])
        if size >= SIZE:
            new = [p for p in files(self.server.data) - before if size <= p.stat().st_size <= size * 1.05 + 65536]
            assert len(new) == 1, f"expected one new blob file for {key}: {new}"
            self.blobs[key] = new[0]

    def read(self, key, **headers):
        """The body, or None for an error of any kind (a status, or a connection that breaks off)."""
        try:
            reply = self.raw.send("GET", f"/{self.bucket}/{key}", headers=headers)
        except (http.client.HTTPException, ConnectionError):
            return None
        return reply.body if reply.status in (200, 206) else None

    def events(self):
        return metric(self.access, EVENTS)

    def check(self, key, damaged=True):
        """Never wrong bytes; damage that is seen raises an event."""
        before, got = self.events(), self.read(key)
        assert got in (None, self.bodies[key]), "wrong bytes"
        if damaged:
            assert got is None, "damage went unnoticed"
            poll(lambda: self.events() > before, 10)
            assert "integrity" in self.server.log.read_text(errors="replace").lower()
        assert self.server.running()


@pytest.fixture
def store(make_server):
    return Store(make_server())


def overwrite(path, data):
    path.chmod(0o600)
    path.write_bytes(data)


def flip(data, at, bit=0):
    data = bytearray(data)
    data[at] ^= 1 << bit
    return bytes(data)


STRIDE = 65536 + 24
DAMAGES = {
    "first byte": lambda d: flip(d, 0), "header": lambda d: flip(d, 40, 7), "first segment": lambda d: flip(d, 5000),
    "a middle segment": lambda d: flip(d, len(d) // 2, 3), "last byte": lambda d: flip(d, -1),
    "last segment": lambda d: flip(d, -100), "truncated by one": lambda d: d[:-1],
    "truncated by a segment": lambda d: d[:-STRIDE], "truncated at a segment": lambda d: d[:len(d) // STRIDE * STRIDE],
    "halved": lambda d: d[:len(d) // 2], "emptied": lambda d: b"", "zeroed": lambda d: bytes(len(d)),
    "segments swapped": lambda d: d[:STRIDE] + d[2 * STRIDE:3 * STRIDE] + d[STRIDE:2 * STRIDE] + d[3 * STRIDE:],
    "a segment twice": lambda d: d[:2 * STRIDE] + d[STRIDE:2 * STRIDE] + d[3 * STRIDE:],
    "a segment dropped": lambda d: d[:STRIDE] + d[2 * STRIDE:],
}


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_damaged_blob_is_an_error_and_never_wrong_bytes(store, running):
    store.put("k"), store.put("whole")
    path = store.blobs["k"]
    good = path.read_bytes()
    assert store.read("k") == store.bodies["k"]
    rng = random.Random(7)
    cases = DAMAGES | {f"random {i}": lambda d: flip(d, rng.randrange(len(d)), rng.randrange(8)) for i in range(10)}
    if not running:
        cases = {n: cases[n] for n in ("header", "a middle segment", "truncated by a segment", "emptied", "a segment twice")}
    for name, damage in cases.items():
        if not running:
            store.server.stop()
        bad = damage(good)
        overwrite(path, bad)
        if not running:
            store.server.start()
            store.connect()
        try:
            # No read needs the footer at the end: recovery without metadata and the scrub do. Damage
            # to it alone may give the identical bytes here, and never others.
            store.check("k", damaged=bad[:SIZE] != good[:SIZE])
        except AssertionError as error:
            raise AssertionError(name) from error
        assert store.read("whole") == store.bodies["whole"]
    overwrite(path, good)
    assert store.read("k") == store.bodies["k"], "the damage was in the file alone"


def test_bytes_behind_the_end_of_a_blob_change_nothing(store):
    store.put("k")
    overwrite(store.blobs["k"], store.blobs["k"].read_bytes() + os.urandom(100))
    store.check("k", damaged=False)


def test_a_missing_blob_is_an_error(store):
    store.put("k")
    store.blobs["k"].unlink()
    store.check("k")


def test_a_range_reads_what_is_whole_and_refuses_what_is_not(store):
    store.put("k")
    good = store.blobs["k"].read_bytes()
    overwrite(store.blobs["k"], flip(good, len(good) // 2))
    body = store.bodies["k"]
    assert store.read("k", Range="bytes=0-999") == body[:1000]
    assert store.read("k", Range="bytes=-1000") == body[-1000:]
    middle = SIZE // 2
    got = store.read("k", Range=f"bytes={middle - 70000}-{middle + 70000}")
    assert got is None


def swapped(store, one, two):
    a, b = store.blobs[one].read_bytes(), store.blobs[two].read_bytes()
    overwrite(store.blobs[one], b), overwrite(store.blobs[two], a)
    for key in (one, two):
        store.check(key)
    overwrite(store.blobs[one], a), overwrite(store.blobs[two], b)
    assert store.read(one) == store.bodies[one]


def test_blobs_do_not_move_between_keys(store):
    store.put("k1"), store.put("k2")
    swapped(store, "k1", "k2")


def test_an_old_version_does_not_replace_the_new_one(store):
    store.s3.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    store.put("k")
    old = store.blobs["k"].read_bytes()
    store.put("k")
    overwrite(store.blobs["k"], old)
    store.check("k")


def test_parts_do_not_change_places(store):
    upload = Upload(store.s3, store.bucket, "k")
    for number, size in ((1, PART), (2, PART), (3, SIZE)):
        store.put(f"part {number}", size, lambda body, number=number: upload.part(number, body))
    upload.complete()
    store.bodies["k"] = b"".join(store.bodies[f"part {n}"] for n in (1, 2, 3))
    assert store.read("k") == store.bodies["k"]
    one, two = store.blobs["part 1"], store.blobs["part 2"]
    a, b = one.read_bytes(), two.read_bytes()
    for left, right in ((b, a), (a, a), (b, b)):
        overwrite(one, left), overwrite(two, right)
        store.check("k")
    overwrite(one, a), overwrite(two, b)
    store.check("k", damaged=False)


def test_damaged_records_never_give_wrong_bytes(make_server):
    """Every file but the blobs: a byte flipped, cut off or repeated. The server may refuse to start, saying so."""
    server = make_server()
    store = Store(server)
    for i in range(20):
        store.put(f"small{i}", 100 + i * 97)
    server.stop()
    pristine = server.home / "pristine"
    # The admin socket is no file.
    shutil.copytree(server.data, pristine,
                    ignore=lambda where, names: [n for n in names if (pathlib.Path(where) / n).is_socket()])
    rng = random.Random(11)
    targets = sorted(p for p in files(server.data) if 0 < p.stat().st_size and p.suffix not in (".crt", ".pem"))
    assert targets
    for path in targets:
        good = path.read_bytes()
        used = max((i for i in range(0, len(good), 512) if any(good[i:i + 512])), default=0) + 512
        used = min(used, len(good))  # Behind this, a preallocated file is empty.
        for damage in (lambda d: flip(d, rng.randrange(used), rng.randrange(8)),
                       lambda d: flip(d, used * 2 // 3, rng.randrange(8)),
                       lambda d: d[:used // 2]):
            overwrite(path, damage(good))
            try:
                server.start()
            except AssertionError:
                assert server.process.returncode > 0, "it refused without an error code"
            else:
                store.connect()
                for key, body in store.bodies.items():
                    assert store.read(key) in (None, body), (path.name, key)
            server.kill()
            # What the server did about the damage (a repair, a truncation) must not leak into the next case.
            shutil.rmtree(server.data)
            shutil.copytree(pristine, server.data)
    server.start()
    store.connect()
    for key, body in store.bodies.items():
        assert store.read(key) == body
