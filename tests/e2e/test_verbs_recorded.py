"""What an operator does by commands is in the audit trail: with a server at once, without one from its next start on."""

import json
import os
import shutil
import subprocess

import pytest

import test_seals
from conftest import Clients, Server, binary, clean_env, poll
from test_seals import PASSPHRASE, lose_key_file, start_sealed, with_passphrase

OWN = "strongroom.local"


def run(server, *words, code=0, key=True):
    """A command of the operator's, with the store's seal."""
    seal = ["--key-file", server.key_file] if key else []
    done = subprocess.run([binary(), *map(str, words), "--data", str(server.data), *map(str, seal)], env=clean_env(server.home),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
    assert done.returncode == code, (words, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


def records(server, name=None):
    """Events of the server's own, oldest first."""
    event = ["--event", name] if name else []
    found = map(json.loads, run(server, "audit", "search", "--json", *event).stdout.splitlines())
    return [record for record in found if record["eventSource"] == OWN]


def notes(server):
    return sorted(path.name for path in (server.data / "deeds").glob("*"))


def add_seal(server, tmp_path):
    run(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", tmp_path / "second.key", key=False)


def remove_seal(server, tmp_path):
    add_seal(server, tmp_path)
    run(server, "seal", "remove", 1)


def export(server, tmp_path):
    made = subprocess.run([binary(), "escrow", "generate-recipient", "--identity", tmp_path / "identity", "--recipient",
                           tmp_path / "recipient"], env=clean_env(server.home), capture_output=True, timeout=60)
    assert made.returncode == 0, made.stderr
    run(server, "escrow", "export", "--recipient", tmp_path / "recipient", "--out", tmp_path / "escrow")


def open_escrow(server, tmp_path):
    export(server, tmp_path)
    run(server, "escrow", "open", "--escrow", tmp_path / "escrow", "--identity", tmp_path / "identity", "--new-key-file",
        tmp_path / "new.key", key=False)


def backup(server, tmp_path):
    run(server, "backup", "--to", tmp_path / "place")


def drill(server, tmp_path):
    if not (tmp_path / "place").exists():
        backup(server, tmp_path)
    run(server, "backup", "drill", "--from", tmp_path / "place")


# Verb -> what does it, with and without a server; the record's name; what it must tell.
VERBS = {
    "verify": (lambda server, _: run(server, "verify"), "VerifyStore", {"withoutKeys": False}),
    "seal add": (add_seal, "AddSeal", {"kind": "key-file"}),
    "seal remove": (remove_seal, "RemoveSeal", {"seal": 1, "kind": "key-file"}),
    "seal rekey": (lambda server, _: run(server, "seal", "rekey"), "RekeyRing", {"dropped": []}),
    "seal test": (lambda server, _: run(server, "seal", "test"), "TestSeals", {"seals": ["0 opens"]}),
    "escrow export": (export, "ExportEscrow", {}),
    "escrow open": (open_escrow, "OpenEscrow", {"ringPutBack": False, "kind": "key-file"}),
    "backup": (backup, "BackupStore", {}),
    "backup drill": (drill, "DrillBackup", {"backup": 1, "passed": True, "losses": 0}),
    "env": (lambda server, _: run(server, "env"), "ShowRootAccessKey", {}),
    "credentials rotate": (lambda server, _: run(server, "credentials", "rotate"), "RootAccessKeyRotated", {}),
    "account create": (lambda server, _: run(server, "account", "create", "blue"), "AccountCreated", {}),
}
# Verbs that ask the server, or of which only one form is there.
ON_LINE = {
    "root-key rotate": (lambda server, _: run(server, "root-key", "rotate", key=False), "RotateRootKey", {"version": 2}),
    "root-key rewrap": (lambda server, _: run(server, "root-key", "rewrap", key=False), "RewrapKeys", {}),
    "verify --sealed": (lambda server, _: run(server, "verify", "--sealed"), "VerifyStore", {"withoutKeys": True}),
}
# Verbs whose records other parts of the server make, without the operator's uid.
BY_CHANGE = {"RootAccessKeyRotated", "AccountCreated"}


def assert_recorded(record, name, told):
    assert record["eventType"] == "AwsServiceEvent" and "errorCode" not in record, record
    details = record.get("serviceEventDetails") or {}
    assert {member: details.get(member) for member in told} == told, record
    if name not in BY_CHANGE:
        assert details["operatorUid"] == os.geteuid(), record


@pytest.mark.parametrize("verb", [*VERBS, *ON_LINE])
def test_beside_a_server_the_record_is_there_within_a_second(make_server, tmp_path, verb):
    act, name, told = {**VERBS, **ON_LINE}[verb]
    server = make_server()
    before = len(records(server, name))
    act(server, tmp_path)
    found = poll(lambda: (lambda it: len(it) > before and it)(records(server, name)), 10)
    assert len(found) == before + 1, found
    assert_recorded(found[-1], name, told)
    poll(lambda: notes(server) == [], 10)


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_server_the_record_is_there_once_from_the_next_start_on(make_server, tmp_path, verb):
    act, name, told = VERBS[verb]
    server = make_server()
    before = len(records(server, name))
    server.stop()
    act(server, tmp_path)
    server.start()
    for _ in range(2):
        found = records(server, name)
        assert len(found) == before + 1, found
        assert_recorded(found[-1], name, told)
        assert notes(server) == []
        server.restart()
    run(server, "audit", "verify")


def test_what_only_looks_is_recorded_where_it_opens_the_key_ring(make_server):
    server = make_server()
    clients = Clients(server.access())
    s3 = clients.boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x")
    key = clients.boto(service="kms").create_key()["KeyMetadata"]["KeyId"]
    looks = [
        (["inspect", "s3://data/k"], 0, "InspectObject", {"bucketName": "data", "key": "k"}),
        (["inspect", "s3://data/missing"], 1, "InspectObject", {"bucketName": "data", "key": "missing"}),
        (["kms", "impact", key], 0, "AssessKeyImpact", {"keyId": key}),
        (["account", "list"], 0, "ListAccounts", {}),
        (["audit", "search", "--event", "CreateKey"], 0, "ReadAuditTrail", {"command": "search"}),
        (["audit", "verify"], 0, "ReadAuditTrail", {"command": "verify"}),
    ]
    server.stop()
    for words, code, _, _ in looks:
        run(server, *words, code=code)
    # It opens nothing.
    run(server, "verify", "--sealed", key=False)
    assert len(notes(server)) == len(looks)
    server.start()

    def told():
        names = {name for _, _, name, _ in looks}
        return [record for record in records(server) if record["eventName"] in names]

    found = told()
    assert [record["eventName"] for record in found] == [name for _, _, name, _ in looks]
    for record, (words, code, name, details) in zip(found, looks):
        if code == 0:
            assert_recorded(record, name, details)
        else:
            assert record["errorCode"] == "Failed" and record["serviceEventDetails"]["key"] == "missing", record
    # A server has it open.
    for words, code, _, _ in looks:
        run(server, *words, code=code)
    assert notes(server) == [] and told() == found


def test_a_restored_store_begins_its_trail_with_where_it_came_from(make_server, tmp_path):
    server = make_server()
    backup(server, tmp_path)
    [signed] = poll(lambda: records(server, "SignBackup"), 10)
    assert len(signed["serviceEventDetails"]["manifestSha256"]) == 64
    restored = Server(tmp_path / "restored", trace=False)
    restored.key_file = server.key_file
    run(restored, "restore", "--from", tmp_path / "place")
    assert len(notes(restored)) == 1
    restored.start()
    try:
        [record] = records(restored, "RestoreStore")
        details = record["serviceEventDetails"]
        assert details["from"].endswith("place") and details["backup"] == 1 and details["openedBy"] == "seal"
        assert records(server, "RestoreStore") == []
    finally:
        restored.stop()


def test_a_recovery_is_recorded_by_the_next_server_of_the_store(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 40_000)
    server.stop()
    done = run(server, "recover", "--out", tmp_path / "out")
    assert "no record" not in done.stderr
    [note] = (server.data / "deeds").iterdir()
    assert str(tmp_path).encode() not in note.read_bytes(), "it is sealed"
    # A verification finds it in its place.
    assert "0 damaged, 0 foreign, 0 left over" in run(server, "verify").stdout
    server.start()
    [record] = records(server, "RecoverStore")
    details = record["serviceEventDetails"]
    assert details["output"] == str(tmp_path / "out") and details["losses"] == 0 and details["plaintextBytes"] >= 40_000
    assert record["eventTime"][:19] <= details["ended"][:19]
    assert note.name == record["eventID"] and notes(server) == []


def test_a_recovery_that_cannot_leave_a_note_says_so_and_why(make_server, tmp_path):
    server = make_server()
    server.stop()
    # As on a medium that cannot be written.
    (server.data / "deeds").write_text("")
    done = run(server, "recover", "--out", tmp_path / "out")
    assert "this command leaves no record in the audit trail: " in done.stderr and "deeds" in done.stderr
    (server.data / "deeds").unlink()
    (server.key_file).unlink()
    assert "no seal opened the key ring" in run(server, "seal", "test", code=6).stderr


def test_a_command_that_fails_or_is_killed_is_recorded_as_that(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=os.urandom(60_000))
    server.stop()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    run(server, "recover", "--out", tmp_path / "full", code=2)
    [note] = (server.data / "deeds").iterdir()
    # As a kill between begin and end leaves it: the first entry alone.
    text = note.read_bytes()
    first = 4 + int.from_bytes(text[:4], "big")
    assert first < len(text)
    kept = tmp_path / "kept"
    shutil.copy(note, kept)
    server.start()
    [failed] = records(server, "RecoverStore")
    assert failed["errorCode"] == "Failed" and "not empty" in failed["errorMessage"]
    # Put back, it is not recorded again; cut, under its name, neither.
    server.stop()
    note.write_bytes(text[:first])
    server.start()
    assert records(server, "RecoverStore") == [failed] and notes(server) == []
    # One of nobody: the server says so, and goes on.
    (server.data / "deeds" / "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b").write_bytes(kept.read_bytes())
    [damaged] = poll(lambda: records(server, "NoteDamaged"), 10)
    assert damaged["serviceEventDetails"]["note"] == "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
    poll(lambda: notes(server) == [], 10)


def test_a_sealed_server_records_it_when_it_is_opened(make_server):
    server = make_server()
    server.stop()
    with_passphrase(server)
    lose_key_file(server)
    start_sealed(server)
    test_seals.run(server, "seal", "test", "--unseal-fd", 1000, given={1000: PASSPHRASE}, expect=6)
    assert len(notes(server)) == 2
    test_seals.run(server, "unseal", "--fd", 1000, given={1000: PASSPHRASE})
    found = run(server, "audit", "search", "--json", "--event", "TestSeals", key=False).stdout.splitlines()
    [record] = map(json.loads, found)
    assert record["serviceEventDetails"]["seals"] == ["0 unreachable", "1 opens"] and notes(server) == []
