"""Seals of every kind for the tests: the commands that make them, and servers that begin sealed."""

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from conftest import START_LIMIT_SECONDS, Clients, binary, clean_env, new_bucket

PASSPHRASE = "correct horse battery staple"
SEALED = re.compile(r"strongroom: sealed http=(\S+) https=(\S+)")
PIN = "123456"


def command(server, *args):
    """One command of the operator's on this store."""
    return [binary(), *map(str, args[:2] if args[0] == "seal" else args[:1]), "--data", str(server.data),
            *map(str, args[2:] if args[0] == "seal" else args[1:])]


def run(server, *args, given=None, expect=0, **env):
    """Runs a command; `given` maps file descriptors to what they hold. Nobody is at a terminal."""
    pipes = {}
    for number, text in (given or {}).items():
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        pipes[number] = reader
    words = [str(pipes.get(word, word)) if isinstance(word, int) else word for word in args]
    done = subprocess.run(command(server, *words), env=clean_env(server.home, **env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, pass_fds=tuple(pipes.values()))
    for reader in pipes.values():
        os.close(reader)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done


def run_json(server, *args, **options):
    return json.loads(run(server, *args, "--json", **options).stdout)


def start_sealed(server, *more):
    """Starts a server that must begin sealed, and reads until it says so."""
    server.spawn(*more)
    text = ""
    watchdog = threading.Timer(START_LIMIT_SECONDS, server.process.kill)
    watchdog.start()
    for line in server.process.stdout:
        text += line.decode()
        if found := SEALED.search(text):
            break
    else:
        raise AssertionError(f"not sealed: {text!r} {server.output.read_text()[-2000:]}")
    watchdog.cancel()
    server.endpoint = {"http": f"http://{found[1]}", "https": f"https://{found[2]}"}
    # What it says later is read, or the pipe would fill.
    threading.Thread(target=server.process.stdout.read, daemon=True).start()
    return server


def health(server, what):
    try:
        with urllib.request.urlopen(f"{server.endpoint['http']}/_strongroom/health/{what}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def stored(make_server):
    """A stopped server with an object in it, and how to check that the object is there."""
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    access = server.access()
    server.stop()

    def intact():
        access.http, access.https = server.endpoint["http"], server.endpoint["https"]
        return Clients(access).boto().get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"

    server.intact, server.known = intact, access
    return server


def with_passphrase(server):
    run(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase", "--passphrase-fd", 1000,
        given={1000: PASSPHRASE + "\n"})


def lose_key_file(server):
    server.key_file.rename(server.key_file.with_suffix(".lost"))


def ring(server):
    return [server.data / "ring" / name for name in ("ring.a", "ring.b")]


def add_kms_seal(server, authority, endpoint, credentials, **options):
    """A seal of `server` under a fresh key of `authority`."""
    key = Clients(authority.access()).boto(service="kms").create_key()["KeyMetadata"]["Arn"]
    added = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--kms-key", key, "--kms-endpoint",
                     endpoint, STRONGROOM_KMS_SEAL_CREDENTIALS=str(credentials), **options)
    assert added["kind"] == "kms" and key in added["place"]
    return key


@pytest.fixture
def authority(make_server):
    """Another server, whose key service opens the first one."""
    return make_server(trace=False)


def credentials_of(authority, path):
    access = authority.access()
    path.write_text(f"[default]\naws_access_key_id = {access.access}\naws_secret_access_key = {access.secret}\n")
    path.chmod(0o600)
    return path


def softhsm():
    for path in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                 "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"):
        if os.path.exists(path):
            return path
    pytest.fail("softhsm2 is not installed: run tools/setup-tests.sh")


def hsm_environment(home, server):
    """A token `prod` in a SoftHSM of the test's own; the environment that reaches it."""
    tokens = home / "tokens"
    tokens.mkdir()
    config = home / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    env = {"SOFTHSM2_CONF": str(config), "STRONGROOM_PKCS11_MODULE": softhsm()}
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "prod", "--pin", PIN, "--so-pin", "654321"],
                   env={**os.environ, **env}, check=True, capture_output=True)
    pin_file = server.home / "pin"
    pin_file.write_text(PIN + "\n")
    pin_file.chmod(0o600)
    env["STRONGROOM_PKCS11_PIN_FILE"] = str(pin_file)
    return env


@pytest.fixture
def hsm(tmp_path, stored):
    """The environment that reaches a token `prod`."""
    return hsm_environment(tmp_path, stored)
