"""kill -9 while keys are used and things are changed: every answered call has its record, exactly once, and the chain is whole.

STRONGROOM_CRASH_CYCLES sets the number of kills (5 here in CI).
"""

import collections
import json
import os
import random
import shutil
import subprocess
import threading

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import Clients, binary, clean_env, new_bucket, poll

CYCLES = max(5, int(os.environ.get("STRONGROOM_CRASH_CYCLES", "10")) // 2)
SEED = int(os.environ.get("STRONGROOM_CRASH_SEED", str(random.randrange(1 << 32))))
WORKERS = 8


def audit(server, *args, code=0):
    done = subprocess.run([binary(), "audit", *args, "--data", str(server.data), "--key-file", str(server.key_file)],
                          env=clean_env(server.home), capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr)
    return done.stdout


def short(request_id):
    """S3 shows the first half of what other services show in full as a UUID."""
    return request_id.replace("-", "").upper()[:16]


def records(server):
    return [json.loads(line) for line in audit(server, "search", "--json").splitlines()]


class Died(Exception):
    """The server went away before it answered."""


class Caller(threading.Thread):
    """Makes calls, and keeps which records each answered one must have."""

    def __init__(self, clients, bucket, key, seed):
        super().__init__(daemon=True)
        self.rng, self.bucket, self.key = random.Random(seed), bucket, key
        self.kms, self.iam, self.s3 = (clients.boto(service=it) for it in ("kms", "iam", "s3"))
        self.blob = self.object = None
        self.answered, self.error = {}, None

    def ask(self, expected, call, **more):
        """A call and the records (source, name) that it leaves when it is answered, with success or without."""
        try:
            answer = call(**more)
        except ClientError as error:
            raise AssertionError(f"{expected}: {error}") from error
        except BotoCoreError as error:
            raise Died from error
        meta = answer["ResponseMetadata"]
        request_id = meta["HTTPHeaders"].get("x-amz-request-id") or meta["RequestId"]
        self.answered[short(request_id)] = expected
        return answer

    def create_user(self):
        self.ask([("iam", "CreateUser")], self.iam.create_user, UserName=f"u{self.rng.getrandbits(64):x}")

    def tag_key(self):
        self.ask([("kms", "TagResource")], self.kms.tag_resource, KeyId=self.key,
                 Tags=[{"TagKey": f"k{self.rng.randrange(9)}", "TagValue": "v"}])

    def encrypt(self):
        self.blob = self.ask([("kms", "Encrypt")], self.kms.encrypt, KeyId=self.key, Plaintext=b"p")["CiphertextBlob"]

    def decrypt(self):
        if self.blob is None:
            return self.encrypt()
        self.ask([("kms", "Decrypt")], self.kms.decrypt, CiphertextBlob=self.blob)

    def data_key(self):
        self.ask([("kms", "GenerateDataKey")], self.kms.generate_data_key, KeyId=self.key, KeySpec="AES_256")

    def put(self):
        size = self.rng.choice([10, 4096, 100_000])
        name = f"o{self.rng.getrandbits(64):x}"
        self.ask([("kms", "GenerateDataKey")], self.s3.put_object, Bucket=self.bucket, Key=name, Body=b"x" * size,
                 ServerSideEncryption="aws:kms", SSEKMSKeyId=self.key)
        self.object = name

    def get(self):
        if self.object is None:
            return self.put()
        answer = self.ask([("kms", "Decrypt")], self.s3.get_object, Bucket=self.bucket, Key=self.object)
        try:
            answer["Body"].read()
        except BotoCoreError as error:
            raise Died from error

    def run(self):
        steps = [self.create_user, self.tag_key, self.encrypt, self.decrypt, self.data_key, self.put, self.get]
        try:
            while True:
                self.rng.choice(steps)()
        except Died:
            pass
        except BaseException as error:  # Reported by the main thread.
            self.error = error


def check(server, answered):
    """Whatever was answered has its records, once."""
    found = records(server)
    ids = collections.Counter(record["eventID"] for record in found)
    assert max(ids.values()) == 1, ids.most_common(3)
    by_request = collections.defaultdict(collections.Counter)
    for record in found:
        if "requestID" in record and "errorCode" not in record:
            call = record["eventSource"].removesuffix(".amazonaws.com"), record["eventName"]
            by_request[short(record["requestID"])][call] += 1
    for request_id, expected in answered.items():
        assert by_request[request_id] == collections.Counter(expected), (request_id, expected, by_request[request_id])
    # Of a call that was cut off there may be a record, too: but never two.
    doubled = {request_id: calls for request_id, calls in by_request.items() if max(calls.values(), default=0) > 1}
    assert not doubled
    report = json.loads(audit(server, "verify", "--json"))
    assert report["whole"], report
    return report


@pytest.mark.timeout(1200)
def test_every_answered_call_has_its_record_exactly_once(make_server):
    print(f"STRONGROOM_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    server = make_server(trace=False)
    clients = Clients(server.access())
    bucket = new_bucket(clients.boto())
    key = clients.boto(service="kms").create_key()["KeyMetadata"]["Arn"]
    answered, anchors = {}, server.home / "anchors.txt"
    for cycle in range(CYCLES):
        callers = [Caller(Clients(server.access()), bucket, key, rng.getrandbits(32)) for _ in range(WORKERS)]
        for caller in callers:
            caller.start()
        # So many answers, then dead in the middle of whatever is going on.
        enough = rng.randrange(20, 400)
        poll(lambda: sum(len(it.answered) for it in callers) >= enough or any(it.error for it in callers), 120, 0.005)
        server.kill()
        for caller in callers:
            caller.join(60)
            assert not caller.is_alive() and caller.error is None, caller.error
            answered.update(caller.answered)
        # Without a server and with one, and the past has not changed.
        if cycle % 2:
            check(server, answered)
        server.start()
        check(server, answered)
        if anchors.exists():
            audit(server, "verify", "--anchor", str(anchors))
        anchors.write_text(audit(server, "verify"))
    assert len(answered) >= 20 * CYCLES


def test_without_room_for_its_record_no_key_is_used(make_server):
    server = make_server(start=False)
    free = shutil.disk_usage(server.home).free
    server.start()
    access = server.access()
    clients = Clients(access)
    bucket, s3, kms = new_bucket(clients.boto()), clients.boto(), clients.boto(service="kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.put_object(Bucket=bucket, Key="own", Body=b"not by a key of the key service")
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    # Asked of the server: off line it would leave a note, which must be recorded before a start.
    before = len(records(server))
    server.stop()
    server.start("--free-space-floor", str(free * 20))
    # Nobody is told the root access key without a record either.
    told = subprocess.run([binary(), "env", "--data", str(server.data)], env=clean_env(server.home), capture_output=True, text=True)
    assert told.returncode == 1 and "cannot be recorded in the audit trail" in told.stderr
    access.http = server.endpoint["http"]
    clients = Clients(access)
    s3, kms = clients.boto(), clients.boto(service="kms")
    refused = [lambda: kms.decrypt(CiphertextBlob=blob), lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
               lambda: s3.get_object(Bucket=bucket, Key="k"), lambda: kms.describe_key(KeyId=key)]
    for call in refused:
        with pytest.raises(ClientError) as error:
            call()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error.value.response
    # What needs no key of the key service is read all the same.
    assert s3.get_object(Bucket=bucket, Key="own")["Body"].read() == b"not by a key of the key service"
    server.stop()
    server.start()
    clients = Clients(server.access())
    assert clients.boto(service="kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"
    assert clients.boto().get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
    after = records(server)
    assert len(after) > before
    assert json.loads(audit(server, "verify", "--json"))["whole"]
