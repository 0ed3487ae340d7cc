"""Servers and clients for the end-to-end tests.

STRONGROOM_BIN names the binary (default: target/release/strongroom, then target/debug/strongroom).
STRONGROOM_E2E_ENDPOINT points the tests that need no process of ours at another S3, to record what that one answers;
tests that start servers fail there, because they have nothing to start.
"""

import contextlib
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import weakref
from types import SimpleNamespace

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kmsraw import KmsRaw, checked
from s3raw import Raw

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY = re.compile(r"strongroom: ready http=(\S+) https=(\S+)")
ENDPOINT = os.environ.get("STRONGROOM_E2E_ENDPOINT")
START_LIMIT_SECONDS = 30
STOP_LIMIT_SECONDS = 60


def binary():
    named = os.environ.get("STRONGROOM_BIN")
    for path in [named] if named else [ROOT / "target/release/strongroom", ROOT / "target/debug/strongroom"]:
        if os.access(path, os.X_OK):
            return str(pathlib.Path(path).resolve())
    pytest.exit("no strongroom binary: build it (cargo build --release) or set STRONGROOM_BIN", returncode=4)


def clean_env(home, **more):
    """The environment of a stranger: nothing of AWS, the suite's own tools first in the path."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "XDG_", "RCLONE_", "RESTIC_"))}
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), env.get("PATH", "")])
    return {**env, "PATH": path, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1", **more}


class Server:
    """One data directory and the process that serves it, across restarts."""

    def __init__(self, home, *args, trace=True, listen="127.0.0.1:0"):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.data, self.key_file = self.home / "data", self.home / "seal" / "root.key"
        self.key_file.parent.mkdir(mode=0o700, exist_ok=True)
        self.log, self.output = self.home / "server.log", self.home / "output.txt"
        self.args, self.trace, self.listen = args, trace, listen
        self.process = None
        self.endpoint = {}

    def command(self, *more):
        level = ["--log", str(self.log), "--log-level", "trace" if self.trace else "info"]
        return [binary(), "serve", "--data", str(self.data), "--key-file", str(self.key_file), "--listen", self.listen,
                "--listen-tls", "127.0.0.1:0", *level, *self.args, *more]

    def spawn(self, *more):
        """Starts the process without waiting; stdout is a pipe, stderr goes to a file."""
        (self.home / "tmp").mkdir(exist_ok=True)
        with open(self.output, "ab") as errors:
            self.process = subprocess.Popen(self.command(*more), stdout=subprocess.PIPE, stderr=errors, cwd=self.home,
                                            env=clean_env(self.home, TMPDIR=str(self.home / "tmp")))
        return self

    def start(self, *more):
        return self.spawn(*more).await_ready()

    def await_ready(self):
        out, text = self.process.stdout, b""
        os.set_blocking(out.fileno(), False)
        deadline = time.monotonic() + START_LIMIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                selector.select(deadline - time.monotonic())
                piece = out.read()
                if piece == b"":
                    break
                text += piece or b""
                found = READY.search(text.decode(errors="replace"))
                if found and text.endswith(b"\n"):
                    self.endpoint = {"http": f"http://{found[1]}", "https": f"https://{found[2]}"}
                    # The rest of stdout goes nowhere in particular, but the pipe must not fill.
                    os.set_blocking(out.fileno(), True)
                    subprocess.Popen(["cat"], stdin=out, stdout=open(self.output, "ab"))
                    return self
        try:
            # One that said why it ends is about to.
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        raise AssertionError(f"no ready line; exit {code}; stdout {text!r}; stderr {self.output.read_text()[-3000:]}")

    def env(self, *flags):
        """What `strongroom env` exports, as a dictionary."""
        shown = subprocess.run([binary(), "env", "--data", str(self.data), "--key-file", str(self.key_file), *flags],
                               env=clean_env(self.home), capture_output=True, text=True, timeout=30)
        assert shown.returncode == 0, shown.stderr
        return {k: v.strip("'\"") for k, v in re.findall(r"^export (\w+)=(.*)$", shown.stdout, re.M)}

    def access(self):
        env, tls = self.env(), self.env("--tls")
        return SimpleNamespace(http=self.endpoint["http"], https=self.endpoint["https"], ca=tls["AWS_CA_BUNDLE"],
                               access=env["AWS_ACCESS_KEY_ID"], secret=env["AWS_SECRET_ACCESS_KEY"],
                               region=env["AWS_DEFAULT_REGION"])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.running():
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait(STOP_LIMIT_SECONDS)

    def stop(self):
        """Graceful: SIGTERM, and the exit code must be 0."""
        assert self.running(), f"the server died with {self.process.poll()}: {self.output.read_text()[-3000:]}"
        hang_up(self.endpoint.values())
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_LIMIT_SECONDS) == 0, self.output.read_text()[-3000:]

    def restart(self):
        self.stop()
        return self.start()

    def assert_sane(self):
        for path in (self.log, self.output):
            text = path.read_text(errors="replace") if path.exists() else ""
            # Our hook's line, and what Rust itself prints before the hook is there or when it fails.
            found = re.search(r"ERROR.*panic|panicked at|strongroom::hardening: panic", text)
            assert not found, text[max(0, found.start() - 500):][:2000]


# A session reads and parses the model of each service that it makes clients for, which takes longer than most tests: one
# for all. It is not safe to use from several threads at once.
BOTOCORE = botocore.session.Session()
BOTO, BOTO_LOCK = boto3.session.Session(botocore_session=BOTOCORE), threading.Lock()
BOTO_CLIENTS = weakref.WeakSet()


def boto_client(service, access=None, secret=None, token=None, **options):
    """A boto3 client that signs with these credentials, or with none."""
    with BOTO_LOCK:
        client = BOTO.client(service, aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token,
                             **options)
        BOTO_CLIENTS.add(client)
    return client


def hang_up(endpoints):
    """Closes the idle connections of these endpoints' clients, who can go on with new ones. A server that stops waits two
    seconds for the others to close theirs, and nearly every test stops one."""
    with BOTO_LOCK:
        clients = [client for client in BOTO_CLIENTS if client.meta.endpoint_url in endpoints]
    for client in clients:
        client.close()


class Clients:
    """boto3 and raw clients for one server."""

    def __init__(self, access):
        self.access = access
        self.region = access.region

    def boto(self, scheme="http", style="path", service="s3", **config):
        tls = {"verify": self.access.ca} if scheme == "https" and self.access.ca else {}
        config = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": style}, "max_pool_connections": 32,
                  **config}
        return boto_client(service, self.access.access, self.access.secret, region_name=self.region,
                           endpoint_url=getattr(self.access, scheme), config=Config(**config), **tls)

    def raw(self, scheme="http"):
        a = self.access
        return Raw(getattr(a, scheme), a.access, a.secret, a.region, a.ca)

    def env(self, home, **more):
        a = self.access
        return clean_env(home, **{"AWS_ENDPOINT_URL": a.http, "AWS_ACCESS_KEY_ID": a.access,
                                  "AWS_SECRET_ACCESS_KEY": a.secret, "AWS_DEFAULT_REGION": a.region, **more})


def pytest_addoption(parser):
    parser.addoption("--write-sse-matrix", action="store_true",
                     help="write the table of docs/compatibility.md anew (test_sse_matrix.py, with -n0)")
    parser.addoption("--write-roles", action="store_true",
                     help="write the roles of docs/authorization.md anew (test_role_separation.py, with -n0)")


# Modules whose tests run on one worker, after each other: the heavy and the timed ones, two of which shall never run at
# once, and those that share what takes long to make.
TOGETHER = {"test_crash.py": "alone", "test_http.py": "alone",
            **{name: name for name in ("test_audit_denials.py", "test_authorization_table.py", "test_explain.py",
                                       "test_policy_examples.py", "test_recover_seals.py", "test_ring_damage.py",
                                       "test_role_separation.py", "test_verbs.py")}}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Groups by module. (xdist 3.8 finds no `xdist_group` under pytest 9.2, and says nothing.) Groups come first, the largest
    at the head, so that single tests are left to even out the end."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return TOGETHER.get(nodeid.partition("::")[0].rpartition("/")[2], nodeid)

    return Scheduling(config, log)


@pytest.fixture
def make_server(tmp_path):
    """Servers of the test's own; whatever still runs is stopped gracefully, and none may have panicked."""
    made = []

    def make(*args, start=True, **options):
        server = Server(tmp_path / f"server{len(made)}", *args, **options)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        if server.running():
            server.stop()
    for server in made:
        server.assert_sane()


@contextlib.contextmanager
def common_home(request, name):
    """A directory for what many tests share. It goes when they are over, as their own directories go, unless one failed
    meanwhile: a journal alone is 64 MiB, and a run has dozens of them."""
    failed = request.session.testsfailed
    home = request.getfixturevalue("tmp_path_factory").mktemp(name)
    yield home
    if request.session.testsfailed == failed:
        shutil.rmtree(home)


@contextlib.contextmanager
def common_server(request, name, *args, kind=Server):
    """A server that many tests share; it must survive them all and leave with code 0."""
    with common_home(request, name) as home:
        server = kind(home, *args, trace=False).start()
        try:
            yield server
        finally:
            server.stop()
            server.assert_sane()


@pytest.fixture(scope="session")
def shared(request):
    """Access to the server that tests share."""
    if ENDPOINT:
        secure = os.environ.get("STRONGROOM_E2E_ENDPOINT_TLS", ENDPOINT)
        yield SimpleNamespace(http=ENDPOINT, https=secure, ca=os.environ.get("AWS_CA_BUNDLE"),
                              access=os.environ["AWS_ACCESS_KEY_ID"], secret=os.environ["AWS_SECRET_ACCESS_KEY"],
                              region=os.environ["AWS_DEFAULT_REGION"])
        return
    with common_server(request, "shared") as server:
        yield server.access()


@pytest.fixture(scope="session")
def clients(shared):
    return Clients(shared)


@pytest.fixture(scope="session")
def s3(clients):
    return clients.boto()


@pytest.fixture(scope="session")
def raw(clients):
    return clients.raw()


@pytest.fixture(scope="session")
def kms(clients):
    """A client of the key service whose answers are held against AWS's model."""
    return checked(clients.boto(service="kms"))


@pytest.fixture(scope="session")
def kms_raw(shared):
    return KmsRaw(shared)


@pytest.fixture
def key(kms):
    """The ARN of a symmetric key of the test's own."""
    return kms.create_key()["KeyMetadata"]["Arn"]


def new_bucket(s3, name=None):
    name = name or f"e2e-{uuid.uuid4().hex[:20]}"
    region = s3.meta.region_name
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **where)
    return name


@pytest.fixture
def bucket(s3):
    """A bucket of the test's own."""
    return new_bucket(s3)


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def refused(call, *args, **kwargs):
    """Runs a boto3 call that must fail; returns (status, code, message, Error)."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    answer = caught.value.response
    error = answer["Error"]
    return SimpleNamespace(status=answer["ResponseMetadata"]["HTTPStatusCode"], code=error["Code"],
                           message=error.get("Message", ""), error=error, answer=answer,
                           headers=answer["ResponseMetadata"]["HTTPHeaders"])


def assert_empty(s3, bucket):
    """Nothing was left behind: no version, no delete marker, no upload."""
    versions = s3.list_object_versions(Bucket=bucket)
    uploads = s3.list_multipart_uploads(Bucket=bucket)
    assert not versions.get("Versions") and not versions.get("DeleteMarkers") and not uploads.get("Uploads")


def metric(access, name):
    """The sum of a metric over its labels, 0.0 while it was never counted."""
    import urllib.request
    with urllib.request.urlopen(f"{access.http}/_strongroom/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(float(v) for v in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", text, re.M))


def files(directory):
    """Every regular file below `directory`."""
    return {p for p in pathlib.Path(directory).rglob("*") if p.is_file() and not p.is_symlink()}


def poll(what, seconds, interval=0.05):
    """Waits for `what()` to be true: a deadline, not a sleep that hopes."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(interval)
    return value


def tool(name):
    """The path of a client program; its absence is a failure, tools/setup-tests.sh installs it."""
    beside = pathlib.Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed: run tools/setup-tests.sh"
    return found
