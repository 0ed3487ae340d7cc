"""kill -9 under 16 concurrent writers: no acknowledged write lost, nothing torn, no orphan left.

STRONGROOM_CRASH_CYCLES=200 makes the long run (CONTRIBUTING names the command); CI runs 10.
"""

import hashlib
import http.client
import os
import random
import threading
import time

import pytest

from conftest import Clients, files, metric, new_bucket, poll
from s3raw import UNSIGNED

CYCLES = int(os.environ.get("STRONGROOM_CRASH_CYCLES", "10"))
SEED = int(os.environ.get("STRONGROOM_CRASH_SEED", str(random.randrange(1 << 32))))
WRITERS, KEYS_PER_WRITER = 16, 4
PART = 5 << 20
ABSENT = "absent"


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Died(Exception):
    """The server went away before it answered: the operation may or may not have happened."""


class Writer(threading.Thread):
    """Writes its own keys, one operation at a time, so that each key has a known state or one of two."""

    def __init__(self, number, clients, buckets, states, seed):
        super().__init__(daemon=True)
        self.raw, self.buckets, self.states = clients.raw(), buckets, states
        self.rng = random.Random(seed)
        self.keys = [(buckets[i % 2], f"w{number}/k{i}") for i in range(KEYS_PER_WRITER)]
        self.connection, self.error, self.done = None, None, 0

    def call(self, method, path, query=(), headers=None, body=b""):
        try:
            self.connection = self.connection or self.raw.connect()
            request = self.raw.prepare(method, path, query, headers, body, payload=UNSIGNED if body else None)
            reply = self.raw.dispatch(request, self.connection)
        except (http.client.HTTPException, OSError) as error:
            raise Died from error
        assert reply.status < 300, f"{method} {path} {query}: {reply}"
        assert reply.code is None, reply  # A 200 may still carry an <Error>.
        return reply

    def body(self):
        """0 B to 2 MiB, small ones the most, and often the border of inline bodies or of a segment."""
        size = self.rng.choice([0, 4095, 4097, 65535, 65536, 65537, int(2 ** self.rng.uniform(0, 21)),
                                int(2 ** self.rng.uniform(0, 14))])
        return self.rng.randbytes(size)

    def put(self, path, body):
        return digest(body), lambda: self.call("PUT", path, body=body)

    def delete(self, path, body):
        return ABSENT, lambda: self.call("DELETE", path)

    def copy(self, path, body):
        """From this writer's other keys: their state is certain while this thread does something else."""
        sources = [k for k in self.keys if "/%s/%s" % k != path and self.states.get(k, ABSENT) != ABSENT]
        if not sources:
            return self.put(path, body)
        source = self.rng.choice(sources)
        headers = {"x-amz-copy-source": "/%s/%s" % source}
        return self.states[source], lambda: self.call("PUT", path, headers=headers)

    def multipart(self, path, body):
        pieces = [self.rng.randbytes(PART), body] if self.rng.random() < 0.3 else [body]
        def run():
            upload = self.call("POST", path, ["uploads"]).field("UploadId")
            rows = ""
            for number, piece in enumerate(pieces, 1):
                query = [("partNumber", str(number)), ("uploadId", upload)]
                etag = self.call("PUT", path, query, body=piece).headers["ETag"]
                rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            xml = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
            self.call("POST", path, [("uploadId", upload)], body=xml)
        return digest(b"".join(pieces)), run

    def run(self):
        try:
            while True:
                key = self.rng.choice(self.keys)
                kind = self.rng.choices([self.put, self.delete, self.copy, self.multipart], [70, 10, 10, 10])[0]
                after, act = kind("/%s/%s" % key, self.body())
                before = self.states.get(key, ABSENT)
                self.states[key] = (before, after)
                act()
                self.states[key] = after
                self.done += 1
        except Died:
            pass
        except BaseException as error:  # Reported by the main thread.
            self.error = error


def possible(state):
    return set(state) if isinstance(state, tuple) else {state}


def observe(raw, bucket, key):
    reply = raw.send("GET", f"/{bucket}/{key}")
    if reply.status == 404:
        assert reply.code == "NoSuchKey"
        return ABSENT
    assert reply.status == 200, f"{key}: {reply}"
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    return digest(reply.body)


def listed(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {row["Key"] for page in pages for row in page.get("Contents", [])}


def empty(s3, bucket):
    """Deletes every version and aborts every upload."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        rows = [{"Key": v["Key"], "VersionId": v["VersionId"]}
                for kind in ("Versions", "DeleteMarkers") for v in page.get(kind, [])]
        if rows:
            assert not s3.delete_objects(Bucket=bucket, Delete={"Objects": rows}).get("Errors")
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def blob_home(server, s3, bucket):
    """The directory directly below the data directory in which large bodies lie."""
    before = files(server.data)
    s3.put_object(Bucket=bucket, Key="probe", Body=os.urandom(3_000_001))
    new = [p for p in files(server.data) - before if 3_000_001 <= p.stat().st_size < 3_200_000]
    assert len(new) == 1, new
    return server.data / new[0].relative_to(server.data).parts[0]


@pytest.mark.timeout(120 + 30 * CYCLES)
def test_no_acknowledged_write_is_lost_or_torn_by_kill(make_server):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    server = make_server(trace=False)
    s3 = Clients(server.access()).boto()
    buckets = [new_bucket(s3), new_bucket(s3)]
    s3.put_bucket_versioning(Bucket=buckets[1], VersioningConfiguration={"Status": "Enabled"})
    blobs = blob_home(server, s3, buckets[0])
    s3.delete_object(Bucket=buckets[0], Key="probe")
    states, done, slowest = {}, 0, 0.0
    for cycle in range(CYCLES):
        clients = Clients(server.access())
        writers = [Writer(n, clients, buckets, states, rng.randrange(1 << 32)) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        # The moment of the kill is the experiment, not a synchronisation.
        time.sleep(rng.uniform(0.05, 1.5))
        server.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive(), "a writer hangs on a dead server"
            if writer.error:
                raise writer.error
            done += writer.done
        began = time.monotonic()
        server.start()
        slowest = max(slowest, time.monotonic() - began)
        clients = Clients(server.access())
        raw, s3 = clients.raw(), clients.boto()
        for key, state in list(states.items()):
            found = observe(raw, *key)
            assert found in possible(state), f"seed {SEED}, cycle {cycle}, {key}: {found} is none of {state}"
            states[key] = found
        for bucket in buckets:
            want = {k for b, k in states if b == bucket and states[(b, k)] != ABSENT}
            assert listed(s3, bucket) == want, f"seed {SEED}, cycle {cycle}: the listing differs from the objects"
    assert done >= CYCLES * WRITERS, f"only {done} operations were acknowledged: the test tested nothing"
    print(f"{done} operations acknowledged in {CYCLES} cycles; the slowest restart took {slowest:.1f} s")
    for key, state in states.items():  # Still so after a graceful restart.
        assert observe(raw, *key) == state
    for bucket in buckets:
        empty(s3, bucket)
    access = server.access()
    poll(lambda: metric(access, "strongroom_blobs_orphaned") == 0 and not files(blobs), 120, 0.5)
    for bucket in buckets:
        s3.delete_bucket(Bucket=bucket)
    print(f"{CYCLES} kills, {done} acknowledged operations, slowest restart {slowest:.2f} s")


def test_deleted_and_overwritten_bodies_leave_the_disk(make_server):
    server = make_server(trace=False)
    s3 = Clients(server.access()).boto()
    bucket = new_bucket(s3)
    blobs = blob_home(server, s3, bucket)
    for _ in range(5):
        s3.put_object(Bucket=bucket, Key="k", Body=os.urandom(1_000_000))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    for _ in range(3):
        s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=os.urandom(1_000_000))
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    poll(lambda: len(files(blobs)) == 2, 120)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "probe"}]})
    poll(lambda: not files(blobs), 120)


def test_a_client_that_breaks_off_leaves_nothing(make_server):
    server = make_server(trace=False)
    clients = Clients(server.access())
    s3, raw = clients.boto(), clients.raw()
    bucket = new_bucket(s3)
    blobs = blob_home(server, s3, bucket)
    for _ in range(4):
        request = raw.prepare("PUT", f"/{bucket}/k", payload=UNSIGNED)
        lines = "".join(f"{k}: {v}\r\n" for k, v in request.headers.items())
        with raw.socket() as connection:
            connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\n{lines}Content-Length: 9000000\r\n\r\n".encode())
            connection.sendall(os.urandom(3_000_000))
    poll(lambda: len(files(blobs)) == 1, 120)
    assert raw.send("GET", f"/{bucket}/k").code == "NoSuchKey"
