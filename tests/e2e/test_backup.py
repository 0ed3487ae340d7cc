"""`strongroom backup`, `restore` and `backup drill`: everything acknowledged before the mark comes back, whatever happens
meanwhile, and nothing that opens the store is in the backup."""

import datetime
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import Clients, Server, binary, clean_env, files, poll
from terminal import Terminal
from test_kms_import import bring
from test_recover import KEY, PART, SSE_C, Zoo

ABSENT = "absent"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def run(server, *words, code=0, env=None, seal=True):
    """A command of the program, with the store's seal."""
    key = ["--key-file", str(server.key_file)] if seal else []
    done = subprocess.run([binary(), *map(str, words), *key], env=clean_env(server.home, **(env or {})), capture_output=True,
                          text=True, timeout=180)
    assert done.returncode == code, (words, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


def backup(server, to, *more, code=0, env=None):
    done = run(server, "backup", "--to", to, "--data", server.data, "--json", *more, code=code, env=env)
    return json.loads(done.stdout) if code in (0, 5) and done.stdout else done


def restore(server, place, home, *more, env=None):
    """A server that is made out of a backup, not started."""
    restored = Server(home, trace=False)
    run(server, "restore", "--from", place, "--data", restored.data, *more, env=env)
    restored.key_file = server.key_file
    return restored


def drill(server, place, *more, code=0, env=None):
    done = run(server, "backup", "drill", "--from", place, "--data", server.data, "--json", *more, code=code, env=env)
    return json.loads(done.stdout) if done.stdout else done


def observe(s3, bucket, key, **more):
    try:
        return digest(s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read())
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return ABSENT
        # Another mode: the request must not, or must, bring a customer key.
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error
        return observe(s3, bucket, key, **({} if more else SSE_C))


@pytest.fixture
def made(make_server, tmp_path):
    """Starts restored servers, and sees to their end."""
    started = []

    def start(restored):
        started.append(restored)
        return restored.start()

    yield start
    for server in started:
        if server.running():
            server.stop()
        server.assert_sane()


class Writer(threading.Thread):
    """Writes keys of its own, and remembers when each state was begun and acknowledged."""

    def __init__(self, number, access, kms_key, stop):
        super().__init__(daemon=True)
        self.s3 = Clients(access).boto("https")
        self.rng, self.stop, self.error = random.Random(number), stop, None
        self.keys = [(bucket, f"w{number}/{i}") for i in range(3) for bucket in ("plain", "versioned")]
        self.history = {key: [(0.0, 0.0, ABSENT)] for key in self.keys}
        self.versions = []  # (acknowledged, bucket, key, version id, digest, mode)
        self.modes = [{}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key},
                      {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True},
                      {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": kms_key}, SSE_C]

    def put(self, bucket, key, mode):
        body = self.rng.randbytes(self.rng.choice([0, 900, 15_000, 40_000, 200_000]))
        return body, lambda: self.s3.put_object(Bucket=bucket, Key=key, Body=body, **mode)

    def multipart(self, bucket, key, mode):
        own = SSE_C if mode is SSE_C else {}
        bodies = [self.rng.randbytes(PART), self.rng.randbytes(30_000)]

        def act():
            upload = self.s3.create_multipart_upload(Bucket=bucket, Key=key, **mode)["UploadId"]
            parts = [{"PartNumber": n, "ETag": self.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=n, Body=b,
                                                                  **own)["ETag"]} for n, b in enumerate(bodies, 1)]
            return self.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **own)
        return b"".join(bodies), act

    def delete(self, bucket, key, mode):
        return None, lambda: self.s3.delete_object(Bucket=bucket, Key=key)

    def run(self):
        try:
            while not self.stop.is_set():
                bucket, key = place = self.rng.choice(self.keys)
                kind = self.rng.choices([self.put, self.multipart, self.delete], [80, 5, 15])[0]
                mode = self.rng.choice(self.modes)
                body, act = kind(bucket, key, mode)
                state = ABSENT if body is None else digest(body)
                begun = time.time()
                answer = act()
                done = time.time()
                self.history[place].append((begun, done, state))
                if bucket == "versioned" and body is not None:
                    self.versions.append((done, bucket, key, answer["VersionId"], state, mode))
        except (BotoCoreError, ClientError, AssertionError) as error:  # Reported by the main thread.
            self.error = error


def seconds(iso):
    return datetime.datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


def assert_as_of(s3, writers, marked, ended):
    """Every key is as it was at the mark, or as what was under way then made it."""
    checked = 0
    for writer in writers:
        for (bucket, key), history in writer.history.items():
            before = max(i for i, (_, done, _) in enumerate(history) if done < marked)
            possible = {history[before][2]} | {state for begun, _, state in history[before + 1:] if begun <= ended}
            assert observe(s3, bucket, key) in possible, (bucket, key)
            checked += 1
        for done, bucket, key, version, state, mode in writer.versions:
            if done < marked:
                own = SSE_C if mode is SSE_C else {}
                body = s3.get_object(Bucket=bucket, Key=key, VersionId=version, **own)["Body"].read()
                assert digest(body) == state, (bucket, key, version)
                checked += 1
    return checked


def test_a_backup_under_load_restores_everything_acknowledged_before_its_mark(make_server, made, tmp_path):
    server = make_server(trace=False)
    access = server.access()
    s3, kms = Clients(access).boto("https"), Clients(access).boto(service="kms")
    for bucket in ("plain", "versioned"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    kms_key = kms.create_key()["KeyMetadata"]["Arn"]
    stop = threading.Event()
    writers = [Writer(number, access, kms_key, stop) for number in range(6)]
    for writer in writers:
        writer.start()
    written = lambda: sum(len(writer.versions) for writer in writers)
    taken = []
    for _ in range(2):
        enough = written() + 40
        poll(lambda: written() > enough or any(writer.error for writer in writers), 60)
        one = backup(server, tmp_path / "place")
        taken.append((one, time.time()))
    more = written() + 20
    poll(lambda: written() > more or any(writer.error for writer in writers), 60)
    stop.set()
    for writer in writers:
        writer.join(60)
        assert writer.error is None, writer.error
    assert 0 < taken[1][0]["copied_blobs"] < taken[1][0]["blobs"]
    (tmp_path / "customer.key").write_bytes(KEY)
    for number, (one, ended) in enumerate(taken, 1):
        report = drill(server, tmp_path / "place", "--number", number, "--sse-c-key", tmp_path / "customer.key")
        assert report["passed"] and report["backup"] == number and not report["losses"] and not report["warnings"], report
        assert set(report["versions"]) == {"AES256", "SSE-C", "aws:kms", "aws:kms:dsse"}
        restored = made(restore(server, tmp_path / "place", tmp_path / f"restored{number}", "--number", number))
        again = Clients(restored.access()).boto("https")
        assert assert_as_of(again, writers, seconds(one["marked"]), ended) > 50
        again.put_object(Bucket="plain", Key="new", Body=b"it goes on")
        assert observe(again, "plain", "new") == digest(b"it goes on")


def test_only_what_is_new_is_copied(make_server, made, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="photos")
    bodies = {f"{i}": os.urandom(100_000 + i) for i in range(20)}
    for key, body in bodies.items():
        s3.put_object(Bucket="photos", Key=key, Body=body)
    place = tmp_path / "place"
    first = backup(server, place)
    assert first["copied_blobs"] == first["blobs"] == first["copied_footers"] == 20 and first["copied_bytes"] > 2_000_000
    again = backup(server, place)
    assert again["copied_blobs"] == again["copied_footers"] == 0 and again["copied_bytes"] < 30_000, again
    s3.put_object(Bucket="photos", Key="new", Body=b"n" * 50_000)
    third = backup(server, place)
    assert third["copied_blobs"] == 1 and 50_000 < third["copied_bytes"] < 80_000, third
    # A rotation of the root key changes every footer and no body.
    run(server, "root-key", "rotate", "--wait", "--data", server.data, seal=False)
    fourth = backup(server, place)
    assert fourth["copied_blobs"] == 0 and fourth["copied_footers"] == 21 and fourth["copied_bytes"] < 120_000, fourth
    listed = json.loads(run(server, "backup", "list", "--from", place, "--json", seal=False).stdout)["backups"]
    assert [it["number"] for it in listed] == [1, 2, 3, 4] and all(it["bytes"] >= 2_000_000 for it in listed)
    s3.delete_object(Bucket="photos", Key="0")
    size = lambda: sum(p.stat().st_size for p in files(place))
    before = size()
    pruned = json.loads(run(server, "backup", "prune", "--from", place, "--keep", 1, "--json", seal=False).stdout)
    assert pruned["backups_removed"] == 3 and size() < before
    restored = made(restore(server, place, tmp_path / "restored"))
    there = Clients(restored.access()).boto()
    for key, body in {**bodies, "new": b"n" * 50_000}.items():
        assert there.get_object(Bucket="photos", Key=key)["Body"].read() == body


def test_a_store_that_does_not_run_is_backed_up_with_its_seal(make_server, made, tmp_path):
    zoo = Zoo(make_server())
    zoo.server.stop()
    (tmp_path / "customer.key").write_bytes(KEY)
    taken = backup(zoo.server, tmp_path / "place")
    assert taken["number"] == 1 and taken["shreds"] > 0
    report = drill(zoo.server, tmp_path / "place", "--sse-c-key", tmp_path / "customer.key")
    assert report["passed"] and sum(it["recovered"] for it in report["versions"].values()) == len(zoo.expected)
    # The report is in the data directory, and anyone verifies it.
    signed = sorted((zoo.server.data / "reports").glob("backup-1-drilled-*.json"))
    assert len(signed) == 1 and json.loads(signed[0].read_text())["passed"]
    subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", zoo.server.data / "reports/report-key.pem", "-in",
                    signed[0], "-sigfile", f"{signed[0]}.sig"], check=True, capture_output=True)
    # Without the customer's key its objects are looked at all the same.
    report = drill(zoo.server, tmp_path / "place")
    assert report["passed"] and report["without_customer_key"] > 0
    restored = made(restore(zoo.server, tmp_path / "place", tmp_path / "restored"))
    s3 = Clients(restored.access()).boto("https")
    for (bucket, key, version), sha in zoo.expected.items():
        assert observe(s3, bucket, key, VersionId=version, **(SSE_C if key.startswith("SSE-C") else {})) == sha, key


def many_blobs(server, count):
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="many")
    bodies = {f"{i}": os.urandom(20_000) for i in range(count)}
    for key, body in bodies.items():
        s3.put_object(Bucket="many", Key=key, Body=body)
    return bodies


def begin(server, place):
    """A backup that is in the middle of its blobs."""
    count = lambda: len(list((place / "blobs").glob("*/*")))
    before = count()
    process = subprocess.Popen([binary(), "backup", "--to", str(place), "--data", str(server.data)], env=clean_env(server.home),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    poll(lambda: process.poll() is not None or count() > before + 5, 30, interval=0.001)
    return process


def test_kill_of_the_backup_or_the_server_leaves_the_last_backup_and_the_next_goes_on(make_server, made, tmp_path):
    server = make_server()
    place = tmp_path / "place"
    assert backup(server, place)["blobs"] == 0
    bodies = many_blobs(server, 400)
    process = begin(server, place)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL, "it was too fast for this test"
    assert drill(server, place)["backup"] == 1
    copied = {p.name for p in (place / "blobs").glob("*/*") if not p.name.endswith(".unfinished")}
    process = begin(server, place)
    server.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, -signal.SIGKILL) and "server" in said, said
    assert drill(server, place)["backup"] == 1
    server.start()
    second = backup(server, place)
    assert second["number"] == 2 and second["blobs"] == 400 and second["copied_blobs"] <= 400 - len(copied), second
    assert {p.parent.name[:8] for p in files(place / "runs")} == {"00000001", "00000002"}
    assert len({p.parent.name for p in files(place / "runs")}) == 2
    restored = made(restore(server, place, tmp_path / "restored"))
    s3 = Clients(restored.access()).boto()
    for key, body in bodies.items():
        assert s3.get_object(Bucket="many", Key=key)["Body"].read() == body


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def swap(path, other):
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def test_whatever_is_damaged_missing_swapped_or_old_is_found_by_restore_and_drill(make_server, tmp_path):
    server = make_server()
    access = server.access()
    s3, kms = Clients(access).boto(), Clients(access).boto(service="kms")
    s3.create_bucket(Bucket="data")
    kms_key = kms.create_key()["KeyMetadata"]["Arn"]
    for i in range(3):
        s3.put_object(Bucket="data", Key=str(i), Body=os.urandom(30_000), ServerSideEncryption="aws:kms", SSEKMSKeyId=kms_key)
    good = tmp_path / "good"
    backup(server, good)
    s3.put_object(Bucket="data", Key="later", Body=os.urandom(30_000))
    backup(server, good)
    blobs = lambda place: sorted((place / "blobs").glob("*/*"))
    newest = lambda place, what: sorted((place / "runs").glob(f"00000002-*/{what}"))[0]
    damages = {
        "flipped blob": lambda p: flip(blobs(p)[0]), "cut blob": lambda p: truncate(blobs(p)[1]), "no blob": lambda p: blobs(p)[2].unlink(),
        "swapped blobs": lambda p: swap(*blobs(p)[:2]), "flipped journal": lambda p: flip(newest(p, "meta-1")),
        "no journal": lambda p: newest(p, "meta-1").unlink(), "flipped footers": lambda p: flip(newest(p, "footers-1")),
        "flipped ring": lambda p: flip(newest(p, "ring")), "no ring": lambda p: newest(p, "ring").unlink(),
        "old journal": lambda p: shutil.copy(sorted((p / "runs").glob("00000001-*/meta-1"))[0], newest(p, "meta-1")),
        "flipped shred key": lambda p: flip(sorted((p / "shreds").iterdir())[0]),
        "flipped manifest": lambda p: flip(p / "manifests/00000002.json"), "cut manifest": lambda p: truncate(p / "manifests/00000002.json"),
        "old manifest": lambda p: shutil.copy(p / "manifests/00000001.json", p / "manifests/00000002.json")}
    for name, damage in damages.items():
        place, target = tmp_path / name, tmp_path / f"restored {name}"
        shutil.copytree(good, place)
        damage(place)
        done = run(server, "restore", "--from", place, "--data", target, code=5)
        assert "strongroom: error" in done.stderr, name
        # What was begun is no store.
        served = run(server, "serve", "--data", target, "--listen", "127.0.0.1:0", "--listen-tls", "off", code=5)
        assert "interrupted" in served.stderr, (name, served.stderr)
        report = drill(server, place, "--report", tmp_path / "reports" / name, code=5)
        assert failed_report(tmp_path / "reports" / name) == report and f"strongroom: error: {report['failure']}" in done.stderr, name
    # The one before is whole where only the newer one's own files are damaged.
    run(server, "restore", "--from", tmp_path / "flipped manifest", "--data", tmp_path / "before", "--number", "1")
    # A new backup does not build on what is damaged.
    taken = backup(server, tmp_path / "no blob")
    assert taken["copied_blobs"] == 1 and drill(server, tmp_path / "no blob")["passed"]
    taken = backup(server, tmp_path / "old manifest")
    assert taken["number"] == 3 and taken["manifests_ignored"] == [2] and drill(server, tmp_path / "old manifest")["passed"]


def failed_report(directory):
    """The one report of a failed drill in a directory, after a look at its signature."""
    (signed,) = directory.glob("backup-drill-failed-*.json")
    subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", directory / "report-key.pem", "-in", signed,
                    "-sigfile", f"{signed}.sig"], check=True, capture_output=True)
    report = json.loads(signed.read_text())
    assert report["what"] == "strongroom backup drill" and not report["passed"] and report["began"] <= report["ended"]
    return report


def test_a_drill_that_fails_early_leaves_a_signed_report_of_what_failed(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=os.urandom(100_000))
    place = tmp_path / "place"
    backup(server, place)
    shutil.copytree(place, tmp_path / "good")
    (blob,) = (place / "blobs").glob("*/*")
    flip(blob)
    # Beside the running server: among its reports.
    said = drill(server, place, "--number", 1, code=5)
    report = failed_report(server.data / "reports")
    assert report == said and report["backup"] == 1 and report["place"] == str(place) and blob.name in report["failure"], report
    own_key = (server.data / "reports/report-key.pem").read_bytes()
    # On a machine without the store, the backup itself has the key; and it is the same key.
    elsewhere = ["--data", tmp_path / "no store", "--report", tmp_path / "elsewhere"]
    run(server, "backup", "drill", "--from", place, *elsewhere, code=5)
    assert failed_report(tmp_path / "elsewhere")["failure"] == report["failure"]
    assert (tmp_path / "elsewhere/report-key.pem").read_bytes() == own_key
    # Where nothing of the backup opens, the store in the data directory signs, whether it runs or not.
    (ring,) = (place / "runs").glob("*/ring")
    flip(ring)
    said = drill(server, place, "--report", tmp_path / "ring", code=5)
    assert failed_report(tmp_path / "ring") == said and "ring" in said["failure"] and "backup" not in said
    server.stop()
    said = drill(server, tmp_path / "not there", "--report", tmp_path / "no place", code=2)
    assert failed_report(tmp_path / "no place") == said and "not there" in said["failure"]
    for name in ("ring", "no place"):
        assert (tmp_path / name / "report-key.pem").read_bytes() == own_key
    # Where there is neither, that is said.
    done = run(server, "backup", "drill", "--from", place, "--data", tmp_path / "no store", "--report", tmp_path / "nothing", code=5)
    assert "leaves no signed report" in done.stderr and not (tmp_path / "nothing").exists()
    assert drill(server, tmp_path / "good")["passed"]


def test_what_opens_the_store_is_not_in_the_backup(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=os.urandom(100_000))
    text = server.key_file.read_bytes()
    secret = [line for line in text.splitlines() if line and not line.startswith(b"#")][0]
    fake = "ab" * 16
    for path in ("a.key", "ring/b.key", "meta/c.key", "meta/journal/d.key", f"blobs/blobs/ab/{fake}", f"shreds/a/{fake}", "reports/e"):
        (server.data / path).parent.mkdir(exist_ok=True)
        (server.data / path).write_bytes(text)
    taken = backup(server, tmp_path / "place", code=5)
    assert taken["unreadable"] == [f"blobs/blobs/ab/{fake}"], "what is no blob is told, and not copied"
    access = server.access()
    tls = (server.data / "tls/key.pem").read_bytes()
    for path in files(tmp_path / "place"):
        data = path.read_bytes()
        for needle in (secret, bytes.fromhex(secret.decode()), access.secret.encode(), tls[40:100]):
            assert needle not in data, path
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "place").rglob("*"))


def test_a_key_that_is_destroyed_does_not_come_back(make_server, made, tmp_path):
    server = make_server()
    access = server.access()
    s3, kms = Clients(access).boto(), Clients(access).boto(service="kms")
    s3.create_bucket(Bucket="data")
    doomed = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    bring(kms, doomed, os.urandom(32))
    stays = kms.create_key()["KeyMetadata"]["Arn"]
    for name, key in (("doomed", doomed), ("stays", stays)):
        s3.put_object(Bucket="data", Key=name, Body=b"x" * 50_000, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    place = tmp_path / "place"
    backup(server, place)
    shreds = lambda: {p.name.split("-")[0] for p in (place / "shreds").iterdir()}
    before = shreds()
    kms.delete_imported_key_material(KeyId=doomed)
    second = backup(server, place)
    assert second["shred_keys_destroyed"] == 1 and len(before - shreds()) == 1
    gone = (before - shreds()).pop()
    # Somebody has put it back from an older copy of the place: the newer manifest knows better.
    (place / "shreds" / f"{gone}-0000000000000000").write_bytes(b"x")
    done = run(server, "restore", "--from", place, "--data", tmp_path / "restored/data", "--number", 1)
    assert "destroyed after this backup" in done.stdout
    restored = Server(tmp_path / "restored", trace=False)
    restored.key_file = server.key_file
    there = Clients(made(restored).access()).boto()
    assert there.get_object(Bucket="data", Key="stays")["Body"].read() == b"x" * 50_000
    with pytest.raises(ClientError):
        there.get_object(Bucket="data", Key="doomed")
    # A drill of the old backup says so, and one of the new backup has nothing to say.
    report = drill(server, place, "--number", 1, code=5)
    assert not report["passed"] and any("doomed" in it["what"] for it in report["losses"]) and report["warnings"]
    report = drill(server, place, code=5)
    assert any("doomed" in it["what"] for it in report["losses"])


def test_a_backup_goes_to_a_bucket_and_comes_back(make_server, made, tmp_path):
    server, other = make_server(), make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    bodies = {"small": b"s", "large": os.urandom(20 << 20), "third": os.urandom(70_000)}
    for key, body in bodies.items():
        s3.put_object(Bucket="data", Key=key, Body=body)
    target = other.access()
    Clients(target).boto().create_bucket(Bucket="backups")
    env = {"AWS_ACCESS_KEY_ID": target.access, "AWS_SECRET_ACCESS_KEY": target.secret, "AWS_CA_BUNDLE": target.ca}
    place = "s3://backups/of/server"
    more = ["--endpoint-url", target.https, "--region", target.region]
    first = backup(server, place, *more, env=env)
    assert first["copied_blobs"] == 2 and first["copied_bytes"] > 20 << 20
    s3.put_object(Bucket="data", Key="fourth", Body=bodies["third"])
    second = backup(server, place, *more, env=env)
    assert second["copied_blobs"] == 1 and second["copied_bytes"] < 120_000, second
    assert drill(server, place, *more, env=env)["passed"]
    restored = made(restore(server, place, tmp_path / "restored", *more, env=env))
    there = Clients(restored.access()).boto()
    for key, body in {**bodies, "fourth": bodies["third"]}.items():
        assert there.get_object(Bucket="data", Key=key)["Body"].read() == body
    # Nobody reads there what is in the clear, and a thief of the bucket has no seal.
    listed = json.loads(run(server, "backup", "list", "--from", place, *more, "--json", env=env, seal=False).stdout)["backups"]
    assert [it["number"] for it in listed] == [1, 2]
    name = Clients(target).boto().list_objects_v2(Bucket="backups", Prefix="of/server/blobs/")["Contents"][0]["Key"]
    Clients(target).boto().put_object(Bucket="backups", Key=name, Body=b"forged")
    drill(server, place, *more, env=env, code=5)
    # The server itself is no place for its own backup.
    own = server.access()
    env = {**env, "AWS_CA_BUNDLE": own.ca}
    refused = backup(server, "s3://data/x", "--endpoint-url", own.https, env=env, code=2)
    assert "very server" in refused.stderr


def test_a_store_restored_from_an_older_backup_does_not_take_what_the_newer_one_needs(make_server, made, tmp_path):
    server = make_server()
    access = server.access()
    s3, kms = Clients(access).boto(), Clients(access).boto(service="kms")
    s3.create_bucket(Bucket="data")
    place = tmp_path / "place"
    backup(server, place)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket="data", Key="new", Body=b"x" * 50_000, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    backup(server, place)
    old = restore(server, place, tmp_path / "old", "--number", 1)
    # It has another future than the second backup, in which that key never was.
    made(old)
    for i in range(50):
        Clients(old.access()).boto().list_buckets()
    assert "place of their own" in backup(old, place, code=2).stderr
    assert backup(old, tmp_path / "own")["number"] == 1
    assert drill(server, place)["passed"]
    newest = restore(server, place, tmp_path / "newest")
    assert backup(newest, place)["number"] == 3
    assert "place of their own" in backup(server, place, code=2).stderr


def test_mistakes_are_refused_with_the_cure(make_server, tmp_path):
    server, other = make_server(), make_server()
    place = tmp_path / "place"
    backup(server, place)
    assert "another store" in backup(other, place, code=2).stderr
    assert "lies in the data directory" in backup(server, server.data / "backup", code=2).stderr
    assert "where to" in run(server, "backup", "--data", server.data, code=2).stderr
    assert "no store" in run(server, "backup", "--to", place, "--data", tmp_path / "nothing", code=2).stderr
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").write_text("x")
    assert "not empty" in run(server, "restore", "--from", place, "--data", full, code=2).stderr
    assert {p.name for p in full.iterdir()} == {"x"}
    assert "no such backup" in run(server, "restore", "--from", place, "--data", tmp_path / "new", "--number", 9, code=2).stderr
    assert "no directory" in run(server, "restore", "--from", tmp_path / "nowhere", "--data", tmp_path / "new2", code=2).stderr
    # Another store's seal does not open it.
    wrong = subprocess.run([binary(), "restore", "--from", place, "--data", tmp_path / "new3", "--key-file", other.key_file],
                           env=clean_env(server.home), capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 3, wrong.stderr


def test_a_person_takes_drills_and_restores_a_backup_at_a_terminal(make_server, tmp_path):
    server = make_server()
    Clients(server.access()).boto().create_bucket(Bucket="data")
    place, key = tmp_path / "place", server.key_file
    env = clean_env(server.home)
    for words in (["backup"], ["backup", "list"], ["backup", "drill"], ["backup", "prune"], ["restore"]):
        terminal = Terminal([binary(), *words, "--help"], env=env)
        terminal.expect("Example")
        assert terminal.end() == 0
    terminal = Terminal([binary(), "backup", "--to", place, "--data", server.data], env=env)
    terminal.expect("Backup 1 is in")
    assert terminal.end() == 0
    terminal = Terminal([binary(), "backup", "list", "--from", place], env=env)
    terminal.expect("1  20")
    assert terminal.end() == 0
    terminal = Terminal([binary(), "backup", "drill", "--from", place, "--data", server.data, "--key-file", key], env=env)
    terminal.expect("restores").expect("signed report")
    assert terminal.end() == 0
    terminal = Terminal([binary(), "restore", "--from", place, "--data", tmp_path / "new", "--key-file", key], env=env)
    terminal.expect("every one verified").expect("strongroom serve")
    assert terminal.end() == 0
