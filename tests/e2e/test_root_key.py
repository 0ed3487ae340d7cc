"""Rotation of the root key: everything is wrapped anew, under load and across crashes, and old versions go for good."""

import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import threading
import time

import pytest

from conftest import Clients, binary, clean_env, poll
from test_recover import Zoo, lines, recover

CYCLE_SECONDS = float(os.environ.get("STRONGROOM_ROTATE_SECONDS", "30"))


def root_key(server, *args, code=0):
    done = subprocess.run([binary(), "root-key", *args, "--data", str(server.data)], env=clean_env(server.home),
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def status(server):
    return json.loads(root_key(server, "status", "--json").stdout)


def at_once(server, *requests):
    """Asks the server's admin socket, each request at the heels of the one before; the answers."""
    # By way of the directory: the path may be too long for a socket's address.
    directory = os.open(server.data, os.O_PATH | os.O_DIRECTORY)
    streams = []
    for request in requests:
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(120)
        stream.connect(f"/proc/self/fd/{directory}/admin.sock")
        text = json.dumps(request).encode()
        stream.sendall(len(text).to_bytes(4, "big") + text)
        streams.append(stream.makefile("rb"))
        stream.close()
    os.close(directory)
    return [json.loads(stream.read(int.from_bytes(stream.read(4), "big"))) for stream in streams]


def test_everything_is_wrapped_anew_and_the_old_version_goes(make_server, tmp_path):
    server = make_server()
    zoo = Zoo(server)
    key_file = tmp_path / "customer.key"
    key_file.write_bytes(bytes(range(32)))
    upload = zoo.s3.create_multipart_upload(Bucket="plain", Key="going-on")["UploadId"]
    part = zoo.s3.upload_part(Bucket="plain", Key="going-on", UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
    assert [it["version"] for it in status(server)["versions"]] == [1]
    assert "it is the one that wraps" in root_key(server, "retire", "1", code=1).stderr
    assert "does not hold it" in root_key(server, "retire", "9", code=1).stderr
    blobs = {p: p.read_bytes()[:-5000] for p in (server.data / "blobs" / "blobs").rglob("*") if p.is_file() and p.stat().st_size > 20_000}
    said = root_key(server, "rotate", "--wait").stdout
    assert "Version 2 of the root key wraps from now on." in said and "DAMAGED" not in said
    now = status(server)
    assert now["work"] == "idle" and now["failed"] == 0 and now["rewrapped"] >= 50
    # Bodies are left alone.
    assert all(p.read_bytes()[:len(body)] == body for p, body in blobs.items() if p.exists())
    said = root_key(server, "retire", "1").stdout
    assert "is retired" in said
    assert [it["version"] for it in status(server)["versions"]] == [2]
    zoo.s3.complete_multipart_upload(Bucket="plain", Key="going-on", UploadId=upload,
                                     MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    zoo.expected["plain", "going-on", "null"] = hashlib.sha256(b"x" * (5 << 20)).hexdigest()
    # The evidence holds for anyone who has openssl.
    reports = server.data / "reports"
    report = reports / "root-key-1-retired.json"
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(reports / "report-key.pem"), "-in", str(report),
              "-sigfile", f"{report}.sig"]
    assert subprocess.run(verify, capture_output=True).returncode == 0
    assert json.loads(report.read_text())["wrapped_keys_that_need_it"] == 0
    # After a restart, and from the files alone, everything opens with the new version only.
    server.restart()
    for (bucket, key, version), sha in zoo.expected.items():
        own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))} if key.startswith("SSE-C") else {}
        s3 = Clients(server.access()).boto("https")
        body = s3.get_object(Bucket=bucket, Key=key, VersionId=version, **own)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == sha, key
    server.stop()
    out = tmp_path / "out"
    recover(server, out, "--sse-c-key", str(key_file))
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in lines(out) if it.get("outcome") == "recovered"}
    assert whole == zoo.expected
    # The footers too: rows are not needed.
    (server.data / "meta").rename(tmp_path / "meta")
    blobs_only = tmp_path / "blobs-only"
    recover(server, blobs_only, "--sse-c-key", str(key_file), code=5)
    assert not [it for it in json.loads((blobs_only / "report.json").read_text())["losses"] if "does not open with this ring" in it["why"]]
    (tmp_path / "meta").rename(server.data / "meta")


def test_a_part_that_is_on_its_way_does_not_bring_the_old_version_back(make_server, tmp_path):
    server = make_server()
    access = server.access()
    s3 = Clients(access).boto()
    s3.create_bucket(Bucket="rotated")
    upload = s3.create_multipart_upload(Bucket="rotated", Key="k")["UploadId"]
    body = os.urandom(6 << 20)
    url = Clients(access).boto(signature_version="s3v4").generate_presigned_url("upload_part", Params={"Bucket": "rotated", "Key": "k", "UploadId": upload, "PartNumber": 1})
    host = access.http.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.putrequest("PUT", url.split(host, 1)[1])
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:1 << 20])
    time.sleep(1)  # The part has begun; it has no other trace.
    root_key(server, "rotate", "--wait")
    said = subprocess.run([binary(), "root-key", "retire", "1", "--data", str(server.data)], env=clean_env(server.home),
                          capture_output=True, text=True, timeout=60)
    for at in range(1 << 20, len(body), 1 << 16):
        connection.send(body[at:at + (1 << 16)])
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    reply.read()
    if said.returncode:  # Refused, because the part was on its way: then it goes now.
        root_key(server, "retire", "1")
    s3.complete_multipart_upload(Bucket="rotated", Key="k", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": reply.headers["ETag"]}]})
    assert s3.get_object(Bucket="rotated", Key="k")["Body"].read() == body
    # The footer on the disk is under the new version too.
    root_key(server, "rotate", "--wait")
    assert status(server)["failed"] == 0
    root_key(server, "retire", "2")


def test_a_ring_that_was_put_back_under_a_running_server_is_not_written_over(make_server):
    server = make_server()
    copies = {name: (server.data / "ring" / name).read_bytes() for name in ("ring.a", "ring.b")}
    root_key(server, "rotate", "--wait")
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="rotated")
    s3.put_object(Bucket="rotated", Key="k", Body=b"under version 2")
    newest = {name: (server.data / "ring" / name).read_bytes() for name in copies}
    for name, data in copies.items():
        (server.data / "ring" / name).write_bytes(data)
    assert "older than the one in use" in root_key(server, "rotate", code=1).stderr
    for name, data in newest.items():
        (server.data / "ring" / name).write_bytes(data)
    root_key(server, "rotate", "--wait")
    server.restart()
    s3 = Clients(server.access()).boto()
    assert s3.get_object(Bucket="rotated", Key="k")["Body"].read() == b"under version 2"


def test_a_ring_from_before_the_rotation_is_refused(make_server, tmp_path):
    server = make_server()
    copies = {name: (server.data / "ring" / name).read_bytes() for name in ("ring.a", "ring.b")}
    root_key(server, "rotate", "--wait")
    server.stop()
    for name, data in copies.items():
        (server.data / "ring" / name).write_bytes(data)
    with pytest.raises(AssertionError, match="exit 4"):
        server.start()
    assert "older than the data" in server.output.read_text()


def test_a_schedule_rotates_by_itself(make_server):
    server = make_server("--root-key-rotation-days", "1", start=False)
    server.start()
    assert [it["version"] for it in status(server)["versions"]] == [1]
    server.stop()
    # Two days later; a `faketime` around the server would shift the monotonic clock too, and with it every wait.
    shifted = subprocess.run(["bash", "-c", "command -v faketime"], capture_output=True, text=True).stdout.strip()
    assert shifted, "faketime is not installed: run tools/setup-tests.sh"
    library = subprocess.run([shifted, "-f", "+0s", "bash", "-c", "echo $LD_PRELOAD"], capture_output=True, text=True).stdout.strip()
    command = server.command
    server.command = lambda *more: ["env", f"LD_PRELOAD={library}", "FAKETIME=+2d", "FAKETIME_DONT_FAKE_MONOTONIC=1", *command(*more)]
    server.start()
    poll(lambda: [it["version"] for it in status(server)["versions"]] == [1, 2], 60, 0.5)
    poll(lambda: status(server)["work"] == "idle", 60, 0.5)
    server.stop()
    server.command = command


def test_rotation_every_second_under_writers_and_kill_9(make_server):
    """16 writers, a rotation a second, kill -9 every ten: nothing undecryptable, and in the end one version opens all.

    STRONGROOM_ROTATE_SECONDS=300 makes it five minutes."""
    server = make_server()
    end = time.monotonic() + CYCLE_SECONDS
    done, lock = {}, threading.Lock()
    stop = threading.Event()
    access = {"now": server.access()}
    s3 = Clients(access["now"]).boto()
    s3.create_bucket(Bucket="load")
    keys = Clients(access["now"]).boto(service="kms")
    arn = keys.create_key()["KeyMetadata"]["Arn"]
    modes = [{}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn}, {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": arn}]

    def write(number):
        dice = random.Random(number)
        for count in range(1_000_000):
            if stop.is_set():
                return
            key, body = f"{number}/{count % 50}", os.urandom(dice.choice([100, 30_000, 300_000]))
            try:
                Clients(access["now"]).boto(connect_timeout=2, read_timeout=10).put_object(
                    Bucket="load", Key=key, Body=body, **dice.choice(modes))
            except Exception:  # noqa: BLE001 - the server was killed; what was not acknowledged does not count
                with lock:
                    done.pop(key, None)
                time.sleep(0.2)
                continue
            with lock:
                done[key] = hashlib.sha256(body).hexdigest()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    rotations, refused, retired, killed = 0, 0, 0, time.monotonic()
    try:
        while time.monotonic() < end or rotations < 5:
            if time.monotonic() - killed > min(10, CYCLE_SECONDS / 3):
                server.kill()
                server.start()
                access["now"] = server.access()
                killed = time.monotonic()
            # The server begins at once to wrap anew what the old version has wrapped: who asks at the same moment is refused.
            oldest = status(server)["versions"][0]["version"]
            rotated, said = at_once(server, {"request": "rotate-root-key"}, {"request": "retire-root-key", "version": oldest})
            assert rotated["answer"] == "root-key-rotated", rotated
            rotations, refused = rotations + 1, refused + (said["answer"] == "refused")
            oldest = status(server)["versions"][0]["version"]
            said = subprocess.run([binary(), "root-key", "retire", str(oldest), "--data", str(server.data)],
                                  env=clean_env(server.home), capture_output=True, text=True, timeout=120)
            retired, refused = retired + (said.returncode == 0), refused + (said.returncode != 0)
            time.sleep(1)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    print(f"{rotations} rotations, {retired} retirements, {refused} refused, {len(done)} objects")
    assert rotations >= 5 and refused > 0
    root_key(server, "rotate", "--wait")
    while len(versions := status(server)["versions"]) > 1:
        root_key(server, "retire", str(versions[0]["version"]))
    server.restart()
    s3 = Clients(server.access()).boto()
    for key, sha in done.items():
        assert hashlib.sha256(s3.get_object(Bucket="load", Key=key)["Body"].read()).hexdigest() == sha, key
