"""Every verb of the program, as `--help` tells of them: each explains itself with an example, each that reports speaks
JSON, and what takes long shows a bar to a person and none to a pipe."""

import json
import re
import signal
import subprocess
import time

import pytest

from conftest import Clients, binary, clean_env, common_server, new_bucket
from terminal import Terminal

# Verbs that do something and report nothing.
WITHOUT_REPORT = {"serve", "env", "version", "account disable", "account enable"}


def help_of(*verb):
    done = subprocess.run([binary(), *verb, "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), (verb, done)
    return done.stdout


def walk(*verb):
    """The verb and all below it, each with its help and whether it has verbs of its own."""
    text = help_of(*verb)
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    names = re.findall(r"^  (\S+)", listed[1], re.M) if listed else []
    names = [name for name in names if name != "help"]
    yield " ".join(verb), text, bool(names)
    for name in names:
        yield from walk(*verb, name)


VERBS = list(walk())
LEAVES = {verb: text for verb, text, is_group in VERBS if not is_group}


def test_the_walk_finds_the_verbs():
    assert {"serve", "seal add", "root-key retire", "kms impact", "who-can-decrypt", "reencrypt"} <= set(LEAVES)
    assert WITHOUT_REPORT <= set(LEAVES)


@pytest.mark.parametrize("verb,text", [(verb, text) for verb, text, _ in VERBS], ids=lambda it: it[:20] or "strongroom")
def test_every_verb_explains_itself_with_an_example(verb, text):
    example = re.search(r"^(Examples?|First steps):\n((?:.*\n)+)", text, re.M)
    assert example, f"{verb or 'strongroom'} --help has no example"
    assert f"strongroom {verb}".strip() in example[2], "the example is of another verb"
    assert all(len(line) <= 200 for line in text.splitlines())
    # The example's flags are the verb's.
    flags = set(re.findall(r"--[a-z][a-z0-9-]+", text.partition(example[0])[0]))
    own = [line for line in example[2].splitlines() if re.match(rf"\s+strongroom {verb}(\s|$)", line)]
    for line in own if verb in LEAVES else []:
        used = set(re.findall(r"\s(--[a-z][a-z0-9-]+)", re.split(r"&&|\||\$\(|\)", line)[0]))
        assert used <= flags, (line, used - flags)


@pytest.mark.parametrize("verb", sorted(set(LEAVES) - WITHOUT_REPORT))
def test_every_verb_that_reports_speaks_json(verb):
    assert re.search(r"^\s+--json\b", LEAVES[verb], re.M), f"{verb} has no --json"


@pytest.mark.parametrize("verb", sorted(verb for verb, _, _ in VERBS if verb))
def test_a_flag_that_is_none_is_a_usage_error(verb):
    done = subprocess.run([binary(), *verb.split(), "--no-such-flag"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and "Usage:" in done.stderr, done


@pytest.fixture(scope="module")
def busy(request):
    """A server with a bucket and a key, in no hurry to wrap keys anew."""
    with common_server(request, "busy", "--root-key-rewrap-rate", "20") as server:
        clients = Clients(server.access())
        s3, kms = clients.boto(), clients.boto(service="kms")
        server.bucket, server.arn = new_bucket(s3), kms.create_key()["KeyMetadata"]["Arn"]
        for n in range(12):
            s3.put_object(Bucket=server.bucket, Key=f"k{n}", Body=b"x")
        # With one version of the root key there is nothing to wrap anew.
        subprocess.run([binary(), "root-key", "rotate", "--data", server.data], env=clean_env(server.home), check=True,
                       capture_output=True, timeout=120)
        yield server


def json_of(server, *words, code=0):
    done = subprocess.run([binary(), *words, "--json", "--data", server.data], capture_output=True, text=True,
                          timeout=120, env=clean_env(server.home))
    assert done.returncode == code, (words, done)
    return json.loads(done.stdout)


def test_verbs_that_got_json_late_report_what_they_say(busy):
    # Of its own ports: on a machine that has a server, the usual ones are taken.
    checked = json_of(busy, "check", "--key-file", str(busy.key_file), "--listen", "127.0.0.1:0", "--listen-tls",
                      "127.0.0.1:0", code=5)
    locked, = [it for it in checked["findings"] if it["number"] == "SR09"]
    assert locked["severity"] == "error" and locked["exit_code"] == 5 and locked["what"] and locked["remedy"]
    done = json_of(busy, "reencrypt", f"s3://{busy.bucket}/k1", "--kms-key", busy.arn)
    assert done["done"] and (done["updated"], done["looked_at"], done["failed"]) == (3, 3, 0)
    made = json_of(busy, "account", "create", "tests")
    changed = json_of(busy, "credentials", "rotate", "--account", made["Account"]["Id"])
    assert changed["AccessKeyId"] != made["AccessKeyId"] and changed["SecretAccessKey"]
    rotated = json_of(busy, "credentials", "rotate")
    assert rotated["AccessKeyId"] == busy.env()["AWS_ACCESS_KEY_ID"]


# What takes long, and for how long the server must not answer so that it does here, too.
def long_verbs(server):
    target = f"s3://{server.bucket}"
    return {
        "reencrypt": ([target, "--kms-key", server.arn, "--rate", "20"], 0),
        "root-key rotate": (["--wait"], 0),
        "root-key rewrap": (["--wait"], 0.5),
        "kms impact": ([server.arn], 0.5),
        "verify": (["--rate", "50MiB/s"], 0),
        "who-can-decrypt": ([f"{target}/k1"], 2.5),
    }


@pytest.mark.parametrize("verb", ["reencrypt", "root-key rotate", "root-key rewrap", "kms impact", "verify",
                                  "who-can-decrypt"])
def test_a_person_sees_how_far_long_work_is_and_a_pipe_does_not(busy, verb):
    words, stop = long_verbs(busy)[verb]
    command = [binary(), *verb.split(), *words, "--data", busy.data]
    env = clean_env(busy.home)
    if stop:
        busy.process.send_signal(signal.SIGSTOP)
    terminal = Terminal(command, env=env)
    if stop:
        time.sleep(stop)
        busy.process.send_signal(signal.SIGCONT)
    assert terminal.end() == 0, terminal.shown
    drawn = re.search(r"\r(\x1b\[K)?(\[[#.]{20}\] +\d+ %|\d+ of \d+|who can)", terminal.shown)
    assert drawn, f"no bar in {terminal.shown!r}"
    # It is taken away, or ends with its line; what was found stands by itself.
    ended = re.search(r".*(\r\x1b\[K|\x1b\[K\r\n)(.*)", terminal.shown, re.S)
    assert ended, f"the bar stays: {terminal.shown!r}"
    assert "[#" not in ended[2] and ended[2].strip(), terminal.shown
    if stop:
        busy.process.send_signal(signal.SIGSTOP)
    piped = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if stop:
        time.sleep(stop)
        busy.process.send_signal(signal.SIGCONT)
    out, errors = piped.communicate(timeout=120)
    assert piped.returncode == 0, errors
    assert b"\r" not in out + errors and b"\x1b" not in out + errors and b"[#" not in out + errors


def test_recovery_draws_a_bar_for_a_person_and_none_for_a_pipe(make_server, tmp_path):
    server = make_server(trace=False)
    s3 = Clients(server.access()).boto()
    bucket = new_bucket(s3)
    for n in range(4):
        s3.put_object(Bucket=bucket, Key=f"k{n}", Body=bytes(40 << 20))
    server.stop()
    command = [binary(), "recover", "--data", server.data, "--key-file", server.key_file, "--out"]
    terminal = Terminal([*command, tmp_path / "seen"], env=clean_env(server.home))
    assert terminal.end() == 0, terminal.shown
    assert re.search(r"\r\[[#.]{20}\] +\d+ %", terminal.shown) and "\r\x1b[K" in terminal.shown, terminal.shown
    piped = subprocess.run([*command, tmp_path / "piped"], env=clean_env(server.home), capture_output=True, timeout=120)
    assert piped.returncode == 0 and b"\r" not in piped.stdout + piped.stderr, piped
