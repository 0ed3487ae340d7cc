"""`strongroom audit tail`, `search` and `verify`: the trail for people, with and without a server."""

import json
import os
import re
import shutil
import subprocess

import pytest
from botocore.exceptions import ClientError

from conftest import Clients, binary, clean_env
from terminal import Terminal

LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  \S.*  [\w.]+:\w+  .+  (ok|DENIED \w+|FAILED \w+)  \S.*$")


def command(server, *args):
    return [binary(), "audit", *args, "--data", str(server.data), "--key-file", str(server.key_file)]


def audit(server, *args, code=0):
    done = subprocess.run(command(server, *args), env=clean_env(server.home), capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def records(server, *args):
    """What `search --json` finds."""
    return [json.loads(line) for line in audit(server, "search", "--json", *args).stdout.splitlines()]


def names(found):
    return [record["eventName"] for record in found]


def request_id(answer):
    return answer["ResponseMetadata"]["RequestId"]


@pytest.fixture
def used(make_server):
    """A server that somebody has used: users and keys made, one call refused and one failed."""
    server = make_server()
    clients = Clients(server.access())
    iam, kms = clients.boto(service="iam"), clients.boto(service="kms")
    server.requests = [request_id(iam.create_user(UserName=name)) for name in ("alice", "bob", "carol")]
    key = kms.create_key(Description="audited")["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError):
        iam.create_user(UserName="alice")
    server.iam, server.kms, server.audited_key = iam, kms, key
    return server


def look_at_objects(used):
    """Two objects under the key, one of them read; and the operator puts the bucket under the key."""
    s3 = Clients(used.access()).boto()
    s3.create_bucket(Bucket="looked-at")
    for name in ("a b", "other"):
        s3.put_object(Bucket="looked-at", Key=name, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=used.audited_key)
    s3.get_object(Bucket="looked-at", Key="a b")["Body"].read()
    subprocess.run([binary(), "reencrypt", "s3://looked-at", "--kms-key", used.audited_key, "--data", str(used.data)], check=True,
                   env=clean_env(used.home), capture_output=True, timeout=60)


def test_search_finds_by_each_filter_with_and_without_a_server(used):
    def check():
        found = records(used)
        assert names(found).count("CreateUser") >= 3 and "CreateKey" in names(found)
        times = [record["eventTime"] for record in found]
        assert times == sorted(times)
        assert len({record["eventID"] for record in found}) == len(found)
        created = records(used, "--event", "CreateUser", "--outcome", "ok")
        assert [record["requestID"] for record in created] == used.requests
        assert all(record["userIdentity"]["type"] == "Root" for record in created)
        one = created[1]
        assert records(used, "--request-id", one["requestID"]) == [one]
        assert records(used, "--principal", one["userIdentity"]["arn"], "--event", "CreateUser", "--outcome", "ok") == created
        assert records(used, "--principal", "nobody-of-this-name") == []
        assert names(records(used, "--key", used.audited_key.rsplit("/")[-1])) == ["CreateKey"]
        assert records(used, "--event", "CreateUser", "-n", "2") == records(used, "--event", "CreateUser")[:2]
        assert records(used, "--since", "1h") == found and records(used, "--until", "1h") == []
        day = found[0]["eventTime"][:10]
        assert records(used, "--since", "2000-01-01", "--until", "2000-12-31") == []
        assert [it for it in found if it["eventTime"] < f"{day}T23:59:60"] == records(used, "--since", day, "--until", day)
        last = found[-1]["eventTime"]
        assert records(used, "--until", last) == found

    check()
    on_line = records(used)
    used.stop()
    check()
    # Neither the search nor the end of the server lost or doubled a record.
    off_line = records(used)
    assert off_line[:len(on_line)] == on_line


def test_what_a_line_shows_can_be_asked_for(used):
    look_at_objects(used)

    def check():
        created = records(used, "--event", "CreateUser", "--outcome", "ok")
        assert records(used, "--event", "iam:CreateUser", "--outcome", "ok") == created
        assert records(used, "--event", "createuser", "--outcome", "ok") == created
        assert records(used, "--event", "kms:CreateUser") == []
        assert names(records(used, "--bucket", "s3://looked-at"))[0] == "CreateBucket"
        assert records(used, "--bucket", "looked-at") == records(used, "--bucket", "s3://looked-at/")
        [read] = records(used, "--bucket", "s3://looked-at/a b", "--event", "Decrypt")
        assert read["requestParameters"]["encryptionContext"] == {"aws:s3:arn": "arn:aws:s3:::looked-at/a b"}
        by_operator = records(used, "--principal", f"operator:{os.geteuid()}")
        assert {"ShowRootAccessKey", "ReEncryptObjects"} <= set(names(by_operator))
        assert "ReEncryptObjects" in names(records(used, "--bucket", "looked-at", "--key", used.audited_key))

    check()
    used.stop()
    check()


def test_a_line_says_who_did_what_and_how_it_ended(used):
    look_at_objects(used)
    lines = audit(used, "search").stdout.splitlines()
    assert lines and all(LINE.match(line) for line in lines), lines
    assert [line for line in lines if re.search(r"  \d{12}:root  iam:CreateUser  \S+  ok  127\.0\.0\.1$", line)], lines
    assert [line for line in lines if f"kms:CreateKey  {used.audited_key.split(':')[-1]}  ok" in line], lines
    key = used.audited_key.split(":")[-1]
    deed = f"  operator:{os.geteuid()}  strongroom:ReEncryptObjects  s3://looked-at, {key}  ok  this server"
    assert [line for line in lines if line.endswith(deed)], lines
    # A person who finds nothing hears so; a script sees it.
    nothing = Terminal(command(used, "search", "--event", "NoSuchEvent"), env=clean_env(used.home))
    nothing.expect("no record fits")
    assert nothing.end() == 0
    done = audit(used, "search", "--event", "NoSuchEvent")
    assert (done.stdout, done.stderr) == ("", "")


def test_tail_shows_the_newest_and_follows(used):
    newest = audit(used, "tail", "-n", "2", "--no-follow", "--json").stdout.splitlines()
    assert [json.loads(line) for line in newest] == records(used)[-2:]
    tail = subprocess.Popen(command(used, "tail", "-n", "1", "--json", "--event", "CreateUser", "--outcome", "ok"),
                            env=clean_env(used.home), stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(tail.stdout.readline())["requestID"] == used.requests[-1]
        made = []
        for name in ("dave", "erin"):
            made.append(request_id(used.iam.create_user(UserName=name)))
            used.iam.create_group(GroupName=f"not-shown-{name}")
        assert [json.loads(tail.stdout.readline())["requestID"] for _ in range(2)] == made
    finally:
        tail.kill()
        tail.communicate()
    used.stop()
    # Without a server nothing more can come.
    assert len(audit(used, "tail", "-n", "3").stdout.splitlines()) == 3


def test_at_a_terminal(used):
    tail = Terminal(command(used, "tail", "-n", "5"), env=clean_env(used.home))
    tail.expect("kms:CreateKey  key/")
    used.iam.create_group(GroupName="frank")
    tail.expect("iam:CreateGroup  ").expect("  ok")
    tail.press(b"\x03")
    assert tail.end() == -2
    verify = Terminal(command(used, "verify"), env=clean_env(used.home))
    verify.expect("management: ").expect(" whole; ").expect("anchor management:")
    assert verify.end() == 0
    search = Terminal(command(used, "search", "--event", "CreateUser", "-n", "1"), env=clean_env(used.home))
    search.expect("iam:CreateUser  ")
    assert search.end() == 0


def test_who_stops_to_read_is_no_failure(used):
    shown = subprocess.run(["sh", "-c", '"$0" "$@" | head -n 1', *command(used, "search")], env=clean_env(used.home),
                           capture_output=True, text=True, timeout=60)
    assert shown.stdout.count("\n") == 1 and shown.stderr == ""


def test_verify_compares_with_anchors_and_finds_a_trail_that_was_rolled_back(used, tmp_path):
    def verified(*args, code=0):
        done = audit(used, "verify", "--json", *args, code=code)
        return json.loads(done.stdout), done.stderr

    report, _ = verified()
    management, data = report["lanes"]
    assert report["whole"] and (management["lane"], data["lane"]) == ("management", "data")
    audit(used, "search")  # Chains all that is recorded.
    report, _ = verified()
    assert report["lanes"][0]["events"] + report["lanes"][0]["waiting"] >= 5
    used.stop()
    shutil.copytree(used.data / "meta", tmp_path / "old")
    used.start()
    iam = Clients(used.access()).boto(service="iam")
    iam.create_user(UserName="the-thief")
    audit(used, "search")
    kept = tmp_path / "anchors.txt"
    kept.write_text(audit(used, "verify").stdout)
    anchor = re.search(r"^anchor (management:\d+:[0-9a-f]{64})$", kept.read_text(), re.M)[1]
    iam.create_user(UserName="later")
    audit(used, "search")
    said = audit(used, "verify", "--anchor", str(kept)).stdout
    assert "1 anchors fit" in said and "whole" in said
    assert verified("--anchor", anchor)[0]["whole"]
    # An anchor of another trail does not fit.
    other = anchor[:-1] + ("0" if anchor[-1] != "0" else "1")
    report, why = verified("--anchor", other, code=5)
    assert not report["whole"] and "is not the one of the anchor" in report["lanes"][0]["findings"][0]
    assert "the audit trail is not whole" in why
    # The store as it was before the thief came is sound in itself; only who kept an anchor can tell.
    used.stop()
    shutil.rmtree(used.data / "meta")
    shutil.copytree(tmp_path / "old", used.data / "meta")
    assert verified()[0]["whole"]
    report, _ = verified("--anchor", str(kept), code=5)
    assert not report["whole"]
    used.start()
    report, _ = verified("--anchor", str(kept), code=5)
    assert not report["whole"]


def test_a_store_without_its_metadata_is_no_whole_trail(used):
    """Who looks at a trail that was taken away must not be shown a new and empty one."""
    used.stop()
    for file in (used.data / "meta" / "journal").iterdir():
        file.unlink()
    (used.data / "meta" / "index.srx").unlink()
    for verb in ("verify", "search", "tail"):
        done = audit(used, verb, code=5)
        assert "there is no account in this store: its metadata is missing" in done.stderr and done.stdout == ""
    # Nor does a server begin anew over the keys of a store that lost its metadata.
    serve = subprocess.run([binary(), "serve", "--data", str(used.data), "--key-file", str(used.key_file), "--listen",
                            "127.0.0.1:0", "--listen-tls", "off"], env=clean_env(used.home), capture_output=True, text=True, timeout=60)
    assert serve.returncode == 5 and "the metadata that names them is missing" in serve.stderr, serve


def test_what_cannot_be_asked_is_refused(used, tmp_path):
    assert "--since is later than --until" in audit(used, "search", "--since", "1h", "--until", "2h", code=2).stderr
    assert "s3://BUCKET/KEY" in audit(used, "search", "--bucket", "photos/a.jpg", code=2).stderr
    assert "a time is" in audit(used, "search", "--since", "yesterday", code=2).stderr
    assert "possible values: ok, denied, failed" in audit(used, "search", "--outcome", "maybe", code=2).stderr
    assert "is no anchor" in audit(used, "verify", "--anchor", "management:1:zz", code=2).stderr
    (tmp_path / "empty").write_text("nothing\n")
    assert "there is no anchor in" in audit(used, "verify", "--anchor", str(tmp_path / "empty"), code=2).stderr
    for verb in ("tail", "search", "verify"):
        assert "Examples:" in audit(used, verb, "--help").stdout
