"""`strongroom escrow`: every seal is lost, and the escrow gives the store a new one."""

import json
import os
import subprocess

import pytest

from conftest import Clients, binary, clean_env
from terminal import Terminal


def run(home, *words, code=0):
    done = subprocess.run([binary(), *map(str, words)], env=clean_env(home), capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


@pytest.fixture
def escrowed(make_server, tmp_path):
    """A running store with an object, its escrow, and what opens that."""
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 50_000)
    made = json.loads(run(tmp_path, "escrow", "generate-recipient", "--identity", tmp_path / "identity", "--recipient",
                          tmp_path / "recipient", "--json").stdout)
    told = json.loads(run(tmp_path, "escrow", "export", "--recipient", tmp_path / "recipient", "--out", tmp_path / "escrow", "--data",
                          server.data, "--key-file", server.key_file, "--json").stdout)
    assert told["recipient"] == made["fingerprint"]
    return server


def assert_serves(server):
    server.start()
    assert Clients(server.access()).boto().get_object(Bucket="data", Key="k")["Body"].read() == b"x" * 50_000


def test_who_lost_the_only_key_file_recovers_by_the_escrow(escrowed, tmp_path):
    server = escrowed
    # The ring's key lives through rotations of the root key, and so does the escrow.
    run(tmp_path, "root-key", "rotate", "--wait", "--data", server.data)
    server.stop()
    server.key_file.unlink()
    seals = json.loads(run(tmp_path, "seal", "test", "--data", server.data, "--json", code=6).stdout)["seals"]
    assert [it["outcome"] for it in seals] == ["unreachable"]
    new = tmp_path / "new.key"
    told = json.loads(run(tmp_path, "escrow", "open", "--escrow", tmp_path / "escrow", "--identity", tmp_path / "identity", "--new-key-file",
                          new, "--data", server.data, "--json").stdout)
    assert told["seal"] == 1 and not told["ring_put_back"]
    server.key_file = new
    assert_serves(server)


def test_the_escrow_adds_a_seal_while_the_server_runs(escrowed, tmp_path):
    server = escrowed
    read, write = os.pipe()
    os.write(write, b"correct horse battery staple 9\n")
    os.close(write)
    added = subprocess.run([binary(), "escrow", "open", "--escrow", tmp_path / "escrow", "--identity", tmp_path / "identity",
                            "--new-passphrase", "--passphrase-fd", str(read), "--data", server.data], env=clean_env(tmp_path),
                           pass_fds=[read], capture_output=True, text=True, timeout=60)
    os.close(read)
    assert added.returncode == 0 and "Seal 1 is added" in added.stdout, added.stderr
    # The server that runs knows of the ring's new generation: an older one is refused at its next start.
    server.stop()
    server.start()


def test_a_ring_that_is_gone_is_put_back_from_the_escrow(escrowed, tmp_path):
    server = escrowed
    server.stop()
    server.key_file.unlink()
    for copy in ("ring.a", "ring.b"):
        (server.data / "ring" / copy).write_bytes(b"not a ring")
    new = tmp_path / "new.key"
    told = json.loads(run(tmp_path, "escrow", "open", "--escrow", tmp_path / "escrow", "--identity", tmp_path / "identity", "--new-key-file",
                          new, "--data", server.data, "--json").stdout)
    assert told["ring_put_back"]
    assert (server.data / "ring/ring.a.damaged").read_bytes() == b"not a ring"
    server.key_file = new
    assert_serves(server)


def test_nobody_but_the_recipient_opens_it_and_nothing_else_is_taken_for_it(escrowed, tmp_path, make_server):
    server = escrowed
    run(tmp_path, "escrow", "generate-recipient", "--identity", tmp_path / "other", "--recipient", tmp_path / "other.pub")
    opened = ["escrow", "open", "--data", server.data, "--new-key-file", tmp_path / "new.key"]
    refused = run(tmp_path, *opened, "--escrow", tmp_path / "escrow", "--identity", tmp_path / "other", code=3)
    assert "another recipient" in refused.stderr
    data = bytearray((tmp_path / "escrow").read_bytes())
    data[1300] ^= 1
    (tmp_path / "flipped").write_bytes(bytes(data))
    run(tmp_path, *opened, "--escrow", tmp_path / "flipped", "--identity", tmp_path / "identity", code=2)
    run(tmp_path, *opened, "--escrow", tmp_path / "identity", "--identity", tmp_path / "identity", code=2)
    run(tmp_path, *opened, "--escrow", tmp_path / "escrow", "--identity", tmp_path / "recipient", code=2)
    # Nothing was made, and nothing is overwritten.
    assert not (tmp_path / "new.key").exists()
    run(tmp_path, "escrow", "generate-recipient", "--identity", tmp_path / "identity", "--recipient", tmp_path / "x", code=6)
    run(tmp_path, "escrow", "export", "--recipient", tmp_path / "recipient", "--out", tmp_path / "escrow", "--data", server.data,
        "--key-file", server.key_file, code=6)
    # Another store's ring.
    another = make_server()
    refused = run(tmp_path, "escrow", "open", "--escrow", tmp_path / "escrow", "--identity", tmp_path / "identity", "--new-key-file",
                  tmp_path / "new.key", "--data", another.data, code=4)
    assert "and this store has" in refused.stderr
    for path in ("identity", "escrow"):
        assert (tmp_path / path).stat().st_mode & 0o077 == 0
    secret = [line for line in server.key_file.read_text().splitlines() if not line.startswith("#")][0]
    assert bytes.fromhex(secret) not in (tmp_path / "escrow").read_bytes()


def test_a_person_makes_exports_and_opens_at_a_terminal(escrowed, tmp_path):
    server = escrowed
    for words in (["escrow"], ["escrow", "generate-recipient"], ["escrow", "export"], ["escrow", "open"]):
        terminal = Terminal([binary(), *words, "--help"], env=clean_env(tmp_path))
        terminal.expect("Example")
        assert terminal.end() == 0
    terminal = Terminal([binary(), "escrow", "generate-recipient", "--identity", tmp_path / "i", "--recipient", tmp_path / "r"],
                        env=clean_env(tmp_path))
    terminal.expect("fingerprint").expect("secret and off line")
    assert terminal.end() == 0
    terminal = Terminal([binary(), "escrow", "export", "--recipient", tmp_path / "r", "--out", tmp_path / "e", "--data", server.data,
                         "--key-file", server.key_file], env=clean_env(tmp_path))
    terminal.expect("encrypted to the recipient")
    assert terminal.end() == 0
    terminal = Terminal([binary(), "escrow", "open", "--escrow", tmp_path / "e", "--identity", tmp_path / "i", "--new-passphrase", "--data",
                         server.data], env=clean_env(tmp_path))
    terminal.expect("New passphrase:").type("correct horse battery staple 9")
    terminal.expect("The same again:").type("correct horse battery staple 9")
    terminal.expect("Seal 1 is added")
    assert terminal.end() == 0
