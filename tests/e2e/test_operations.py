"""What the owner of a server does with its commands, and what happens when the key file is not the right one."""

import os
import pty
import selectors
import shutil
import signal
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from conftest import Clients, binary, clean_env, files, new_bucket, poll


def strongroom(server, *command):
    return subprocess.run([binary(), *map(str, command)], env=clean_env(server.home), capture_output=True, text=True,
                          timeout=60)


def test_a_rotated_access_key_is_refused_at_once(make_server):
    server = make_server()
    old = Clients(server.access()).raw()
    assert old.send("GET", "/").status == 200
    done = strongroom(server, "credentials", "rotate", "--data", server.data, "--key-file", server.key_file)
    assert done.returncode == 0, done.stderr
    assert old.send("GET", "/").code == "InvalidAccessKeyId"
    assert Clients(server.access()).raw().send("GET", "/").status == 200
    server.restart()
    assert Clients(server.access()).raw().send("GET", "/").status == 200


def test_a_wrong_key_file_ends_with_code_3_and_changes_nothing(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    server.stop()
    good = server.key_file.read_bytes()
    other = make_server()
    other.stop()
    ring = {p: p.read_bytes() for p in files(server.data / "ring")}
    server.key_file.write_bytes(other.key_file.read_bytes())
    server.spawn()
    assert server.process.wait(30) == 3, server.output.read_text()
    assert "key" in server.output.read_text()
    assert {p: p.read_bytes() for p in files(server.data / "ring")} == ring
    server.key_file.write_bytes(good)
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"


def test_restarts_do_not_fill_the_disk_with_journal_files(make_server):
    server = make_server(trace=False)
    for _ in range(12):
        server.restart()
    assert len(files(server.data / "meta" / "journal")) <= 6


def test_below_the_floor_writes_are_refused_and_all_else_goes_on(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto(retries={"total_max_attempts": 1})
    bucket, bodies = new_bucket(s3), {"small": b"s" * 100, "large": b"l" * 300_000}
    for key, body in bodies.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    server.stop()
    # A full disk stops nobody from starting and reading.
    free = shutil.disk_usage(server.data).free
    # The floor of metadata is half of it, and the audit trail may use a quarter of that: reading goes on.
    server.start("--free-space-floor", str(free // 10 * 23))
    s3 = Clients(server.access()).boto(retries={"total_max_attempts": 1})
    before = files(server.data / "blobs")
    part = dict(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1)
    for write in (lambda: s3.put_object(Bucket=bucket, Key="new", Body=b"x"),
                  lambda: s3.put_object(Bucket=bucket, Key="new", Body=b"x" * 300_000),
                  lambda: s3.upload_part(Body=b"x" * 300_000, **part)):
        with pytest.raises(ClientError) as refused:
            write()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        assert refused.value.response["Error"]["Code"] == "InsufficientStorage"
    assert files(server.data / "blobs") == before
    for key, body in bodies.items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    s3.delete_object(Bucket=bucket, Key="large")
    s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["small"]
    server.restart()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=bucket, Key="new", Body=b"x" * 300_000)


def test_a_second_key_file_opens_the_data_alone(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    second = server.home / "seal" / "second.key"
    added = strongroom(server, "seal", "add", "--data", server.data, "--key-file", second,
                       "--unseal-with", server.key_file)
    assert added.returncode == 0, added.stderr
    server.stop()
    server.key_file.unlink()
    server.key_file = second
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"


def test_a_damaged_ring_is_repaired_or_refused_and_never_made_anew(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    server.stop()
    ring = {p: p.read_bytes() for p in files(server.data / "ring") if p.name in ("ring.a", "ring.b")}
    assert len(ring) == 2
    one, other = sorted(ring)
    one.write_bytes(ring[one][:-1] + bytes([ring[one][-1] ^ 1]))
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"
    server.stop()
    repaired = {p: p.read_bytes() for p in ring}
    assert repaired[one] != ring[one][:-1] + bytes([ring[one][-1] ^ 1])
    for damage in (lambda p: p.write_bytes(b"rubbish"), lambda p: p.unlink()):
        for path in ring:
            damage(path)
        server.spawn()
        assert server.process.wait(30) == 4, server.output.read_text()
        assert not any(p.exists() and p.read_bytes() != b"rubbish" for p in ring), "a ring was made over data"
    for path, content in repaired.items():
        path.write_bytes(content)
        path.chmod(0o600)
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"


def test_bodies_without_their_metadata_are_not_swept_away(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"b" * 300_000)
    server.stop()
    (server.data / "meta").rename(server.home / "meta")
    server.spawn()
    assert server.process.wait(30) == 5, server.output.read_text()
    shutil.rmtree(server.data / "meta", ignore_errors=True)
    (server.home / "meta").rename(server.data / "meta")
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"b" * 300_000


def test_a_hangup_opens_the_log_file_again(make_server):
    server = make_server()
    raw = Clients(server.access()).raw()
    assert raw.send("GET", "/").status == 200
    rotated = server.log.with_suffix(".1")
    server.log.rename(rotated)
    assert raw.send("GET", "/").status == 200
    assert not server.log.exists()
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: server.log.exists() and "log file opened again" in server.log.read_text(), 20)
    assert server.log.stat().st_mode & 0o777 == 0o600
    kept = rotated.read_bytes()
    assert b"log file opened again" not in kept
    # A name that cannot be opened costs no line: the log stays where it is.
    moved = server.log.with_suffix(".2")
    server.log.rename(moved)
    server.log.mkdir()
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: "log file not opened again" in moved.read_text(), 20)
    server.log.rmdir()
    server.stop()
    assert "stopped" in moved.read_text() and rotated.read_bytes() == kept


class Terminal:
    """A first start by a person: standard input and error are a terminal, standard output is read by the suite."""

    def __init__(self, server):
        self.server = server
        self.master, slave = pty.openpty()
        server.process = subprocess.Popen(server.command(), stdin=slave, stdout=subprocess.PIPE, stderr=slave,
                                          cwd=server.home, env=clean_env(server.home), start_new_session=True)
        os.close(slave)
        self.shown = ""

    def await_question(self, limit_seconds=30):
        deadline = time.monotonic() + limit_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.master, selectors.EVENT_READ)
            while "Enter to skip" not in self.shown:
                assert selector.select(deadline - time.monotonic()), f"no question: {self.shown!r}"
                self.shown += os.read(self.master, 4096).decode()
        assert self.server.process.poll() is None

    def answer(self, text):
        self.await_question()
        os.write(self.master, f"{text}\n".encode())


def seals(server):
    shown = strongroom(server, "seal", "list", "--data", server.data)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_the_first_start_offers_a_second_key_file_that_opens_the_data_alone(make_server):
    server = make_server(start=False)
    second = server.home / "elsewhere" / "second.key"
    Terminal(server).answer(second)
    server.await_ready()
    assert second.stat().st_mode & 0o777 == 0o600
    assert str(server.key_file) in seals(server) and str(second) in seals(server)
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    server.stop()
    server.key_file.unlink()
    server.key_file = second
    # Nobody is asked at a later start: without an answer it would never be ready.
    Terminal(server)
    server.await_ready()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"


def test_the_offer_of_a_second_key_file_may_be_declined(make_server):
    server = make_server(start=False)
    Terminal(server).answer("")
    server.await_ready()
    assert str(server.key_file) in seals(server)
    assert len(files(server.key_file.parent)) == 1
    server.restart()


def test_a_second_key_file_beside_the_data_is_refused_and_the_first_one_still_opens(make_server):
    server = make_server(start=False)
    Terminal(server).answer(server.data / "second.key")
    assert server.process.wait(30) == 2
    server.process.stdout.close()
    assert not (server.data / "second.key").exists()
    server.start()
    assert "second.key" not in seals(server)
