"""Seals of the key ring: every kind opens it, a server without one waits sealed, and every fault has its words and its
exit code."""

import fcntl
import os
import re
import subprocess

import pytest

from conftest import Clients, binary, clean_env, files, refused
from sealing import (PASSPHRASE, command, health, lose_key_file, ring, run, run_json, start_sealed, stored,  # noqa: F401
                     with_passphrase)
from terminal import Terminal


def test_a_server_without_its_keys_waits_sealed_and_opens_without_a_restart(stored):
    server = stored
    with_passphrase(server)
    lose_key_file(server)
    start_sealed(server)
    pid = server.process.pid
    assert health(server, "live") == (200, "alive\n")
    status, reason = health(server, "ready")
    assert status == 503 and reason.startswith("sealed: ") and "strongroom unseal" in reason

    server.known.http = server.endpoint["http"]
    clients = Clients(server.known)
    answer = refused(clients.boto().list_buckets)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable") and "strongroom unseal" in answer.message
    for service, call in (("kms", "list_keys"), ("iam", "list_users"), ("sts", "get_caller_identity")):
        answer = refused(getattr(clients.boto(service=service), call))
        assert answer.status == 503 and "sealed" in answer.message, service
    assert clients.raw().send("GET", "/bucket/key").status == 503

    state = run_json(server, "seal", "status")
    assert state["running"] and state["sealed"] and "passphrase" in state["why"]
    # Commands that need the store say what to do.
    assert "strongroom unseal" in run(server, "env", expect=1).stderr

    wrong = run(server, "unseal", "--fd", 1000, given={1000: "correct horse battery stapl\n"}, expect=1)
    assert "the passphrase is another" in wrong.stderr
    assert health(server, "ready")[0] == 503
    assert run_json(server, "unseal", "--fd", 1000, given={1000: PASSPHRASE}) == {"sealed": False}
    assert server.intact() and server.process.pid == pid
    assert health(server, "ready") == (200, "ready\n")
    assert run_json(server, "seal", "status")["sealed"] is False
    assert "open" in run(server, "unseal").stdout, "unsealing twice is no error"
    # What is typed at the wrong place is nowhere on disk or in the log.
    server.stop()
    for path in files(server.home):
        assert b"battery" not in path.read_bytes(), path


def test_a_passphrase_is_asked_for_at_the_terminal_and_does_not_show(stored):
    server = stored
    env = clean_env(server.home)
    adding = Terminal(command(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase"), env=env)
    adding.expect("New passphrase:").type(PASSPHRASE).expect("The same again:").type(PASSPHRASE)
    assert adding.end() == 0, adding.shown
    assert "Seal 1 is added: passphrase" in adding.shown and "battery" not in adding.shown

    differs = Terminal(command(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase"), env=env)
    differs.expect("New passphrase:").type(PASSPHRASE).expect("The same again:").type(PASSPHRASE + "!")
    assert differs.end() == 3 and "differ" in differs.shown
    weak = Terminal(command(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase"), env=env)
    weak.expect("New passphrase:").type("short")
    assert weak.end() == 3 and "at least 12" in weak.shown
    broken_off = Terminal(command(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase"), env=env)
    broken_off.expect("New passphrase:").press(b"corr\x03")
    assert broken_off.end() == 3
    assert len(run_json(server, "seal", "list")["seals"]) == 2

    lose_key_file(server)
    testing = Terminal(command(server, "seal", "test", "--key-file", server.key_file), env=env)
    testing.expect("Passphrase of seal 1").type(PASSPHRASE)
    assert testing.end() == 6 and re.search(r"opens +1 ", testing.shown), testing.shown

    start_sealed(server)
    unsealing = Terminal(command(server, "unseal"), env=env)
    # Typed wrong and mended: one character erased, then the whole line.
    unsealing.expect("Passphrase:").press(b"corrx\x7f\x15").type(PASSPHRASE)
    assert unsealing.end() == 0, unsealing.shown
    assert "battery" not in unsealing.shown and "The server is open." in unsealing.shown
    assert server.intact()
    server.stop()

    # With a person there, the start itself asks.
    starting = Terminal(server.command(), env=env, cwd=server.home)
    starting.expect("Passphrase of the key ring:").type("wrong wrong wrong").expect("the passphrase is another")
    starting.expect("Passphrase of the key ring:").type(PASSPHRASE).expect("strongroom: ready")
    starting.process.terminate()
    assert starting.end() == 0 and "battery" not in starting.shown


def is_ring_free(server):
    directory = os.open(server.data / "ring", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(directory)


def test_nobody_waits_for_a_person_who_changes_the_seals(stored):
    server = stored
    env = clean_env(server.home)
    adding = Terminal(command(server, "seal", "add", "--unseal-with", server.key_file, "--passphrase"), env=env)
    adding.expect("New passphrase:")
    assert is_ring_free(server)
    # What others did meanwhile is not undone.
    other = server.home / "other.key"
    assert run_json(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", str(other))["seal"] == 1
    adding.type(PASSPHRASE).expect("The same again:").type(PASSPHRASE)
    assert adding.end() == 0 and "Seal 2 is added: passphrase" in adding.shown, adding.shown
    assert len(run_json(server, "seal", "list")["seals"]) == 3

    lose_key_file(server)
    other.rename(server.home / "other.away")
    removing = Terminal(command(server, "seal", "remove", "0"), env=env)
    removing.expect("Passphrase of the key ring:")
    assert is_ring_free(server)
    third = server.home / "third.key"
    run(server, "seal", "add", "--unseal-with", server.home / "other.away", "--key-file", third)
    third.unlink()
    removing.type(PASSPHRASE)
    assert removing.end() == 3 and "changed by somebody else" in removing.shown, removing.shown
    assert len(run_json(server, "seal", "list")["seals"]) == 4
    removing = Terminal(command(server, "seal", "remove", "0"), env=env)
    removing.expect("Passphrase of the key ring:").type(PASSPHRASE)
    assert removing.end() == 0 and "strongroom seal rekey" in removing.shown, removing.shown
    assert len(run_json(server, "seal", "list")["seals"]) == 3


def test_people_bring_their_shares_one_after_the_other(stored):
    server = stored
    added = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "5", "--threshold", "3")
    shares = added["shares"]
    assert added["kind"] == "shares" and added["place"] == "any 3 of 5 people" and len(set(shares)) == 5
    shown = run(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "2", "--threshold", "2").stdout
    foreign_set = re.findall(r"SRS1-[-0-9A-Z]+", shown)
    assert len(foreign_set) == 2
    run(server, "seal", "remove", "2", "--key-file", server.key_file)
    lose_key_file(server)
    start_sealed(server)

    def give(text, expect=0):
        return run(server, "unseal", "--fd", 1000, given={1000: text}, expect=expect)

    assert "1 of 3" in give(shares[4]).stdout
    status, reason = health(server, "ready")
    assert status == 503 and not any(share in reason for share in shares)
    assert run_json(server, "seal", "status")["shares"] == {"have": 1, "need": 3}
    assert "given already" in give(shares[4], expect=1).stderr
    assert "checksum" in give(shares[0][:-1] + ("0" if shares[0][-1] != "0" else "1"), expect=1).stderr
    assert "does not have any more" in give(foreign_set[0], expect=1).stderr
    person = Terminal(command(server, "unseal"), env=clean_env(server.home))
    person.expect("Share 2 of 3:").type(shares[1].lower().replace("-", " "))
    assert person.end() == 0 and "2 of 3 shares are here" in person.shown
    assert shares[1].lower()[10:20] not in person.shown
    assert "forgotten" in run(server, "unseal", "--forget").stdout
    assert run_json(server, "seal", "status")["shares"] is None
    assert run_json(server, "unseal", "--fd", 1000, given={1000: f"{shares[0]}\n{shares[1]}\n"}) == \
        {"sealed": True, "shares": {"have": 2, "need": 3}}
    assert "open" in give(shares[2]).stdout
    assert server.intact()
    tested = run(server, "seal", "test", "--unseal-fd", 1000, given={1000: "\n".join(shares[2:])}, expect=6)
    assert re.search(r"opens +1 ", tested.stdout)
    server.stop()
    for path in files(server.home):
        content = path.read_bytes()
        assert not any(share[5:20].encode() in content for share in shares), path


def test_shares_of_another_store_are_named_as_foreign(stored, make_server):
    server, other = stored, make_server(start=False).start()
    share = run_json(other, "seal", "add", "--unseal-with", other.key_file, "--shares", "2", "--threshold", "2")["shares"][0]
    run(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "2", "--threshold", "2")
    lose_key_file(server)
    start_sealed(server)
    answer = run(server, "unseal", "--fd", 1000, given={1000: share}, expect=1)
    assert "another key ring" in answer.stderr


def test_a_store_can_be_used_offline_by_any_seal(stored):
    server = stored
    with_passphrase(server)
    lose_key_file(server)
    shown = run(server, "env", "--unseal-fd", 1000, given={1000: PASSPHRASE}).stdout
    assert server.known.access in shown
    answer = run(server, "env", expect=3)
    assert "nobody has given the passphrase yet" in answer.stderr
    # And a server is given it by whoever starts it.
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode())
    os.close(writer)
    words = server.command("--unseal-fd", str(reader))
    server.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=server.home,
                                      env=clean_env(server.home), pass_fds=(reader,))
    os.close(reader)
    server.await_ready()
    assert server.intact()


def test_a_credential_of_the_service_manager_opens_the_store(stored):
    server = stored
    source = server.home / "seal" / "credential.key"
    run(server, "seal", "add", "--unseal-with", server.key_file, "--credential", "strongroom.key", "--key-file", source)
    handed_over = server.home / "credentials"
    handed_over.mkdir()
    source.rename(handed_over / "strongroom.key")
    (handed_over / "strongroom.key").chmod(0o440)
    lose_key_file(server)
    assert run_json(server, "seal", "list")["seals"][1]["kind"] == "credential"
    words = server.command()
    server.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=server.home,
                                      env=clean_env(server.home, CREDENTIALS_DIRECTORY=str(handed_over)))
    server.await_ready()
    assert server.intact()
    server.stop()
    # The text itself, when the service manager is gone.
    text = (handed_over / "strongroom.key").read_text()
    assert server.known.access in run(server, "env", "--unseal-fd", 1000, given={1000: text}).stdout
    server.spawn()
    assert server.process.wait(30) == 3, "neither key file nor credential: an error of whoever starts it"


def test_the_last_seal_stays_and_what_is_left_must_open(stored):
    server = stored
    last = run(server, "seal", "remove", "0", "--key-file", server.key_file, expect=3)
    assert "last seal" in last.stderr
    with_passphrase(server)
    # The passphrase would be the only seal left, and nobody gives it.
    left = run(server, "seal", "remove", "0", "--key-file", server.key_file, expect=3)
    assert "would be left" in left.stderr
    assert [seal["seal"] for seal in run_json(server, "seal", "list")["seals"]] == [0, 1]
    assert run_json(server, "seal", "remove", "0", "--unseal-fd", 1000, given={1000: PASSPHRASE}) == \
        {"removed": 0, "seals_left": 1}
    assert "WARNING: this is the only seal" in run(server, "seal", "list").stdout
    tested = run_json(server, "seal", "test", "--unseal-fd", 1000, given={1000: PASSPHRASE})["seals"]
    assert [(seal["seal"], seal["outcome"]) for seal in tested] == [(1, "opens")]
    run(server, "seal", "remove", "7", "--unseal-fd", 1000, given={1000: PASSPHRASE}, expect=2)
    # The removed key file opens nothing any more, and its number is given to the next seal.
    run(server, "env", "--key-file", server.key_file, expect=3)
    added = run_json(server, "seal", "add", "--unseal-fd", 1000, "--key-file", server.home / "seal" / "new.key",
                     given={1000: PASSPHRASE})
    assert added["seal"] == 0
    server.key_file = server.home / "seal" / "new.key"
    server.start()
    assert server.intact()


def test_every_outcome_of_a_test_has_its_exit_code(stored):
    server = stored
    with_passphrase(server)
    run(server, "seal", "test", "--key-file", server.key_file)
    right = dict(given={1000: PASSPHRASE})
    run(server, "seal", "test", "--key-file", server.key_file, "--unseal-fd", 1000, **right)
    wrong = run_json(server, "seal", "test", "--key-file", server.key_file, "--unseal-fd", 1000,
                     given={1000: "wrong wrong wrong"}, expect=3)["seals"]
    assert [seal["outcome"] for seal in wrong] == ["opens", "wrong"]
    lose_key_file(server)
    missing = run_json(server, "seal", "test", "--key-file", server.key_file, "--unseal-fd", 1000, expect=6, **right)
    assert [seal["outcome"] for seal in missing["seals"]] == ["unreachable", "opens"]
    none = run_json(server, "seal", "test", "--key-file", server.key_file, expect=6)["seals"]
    assert [seal["outcome"] for seal in none] == ["unreachable", "not-tried"]


def test_one_seal_is_warned_about_and_two_are_not(stored):
    server = stored
    server.start()
    assert "SR12" in server.log.read_text()
    run(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", server.home / "seal" / "b.key")
    server.stop()
    server.log.unlink()
    server.start()
    assert "SR12" not in server.log.read_text()
    assert "WARNING" not in run(server, "seal", "list").stdout


DAMAGES = {
    "flipped": lambda path, old: path.write_bytes((b := path.read_bytes())[:99] + bytes([b[99] ^ 1]) + b[100:]),
    "cut": lambda path, old: path.write_bytes(path.read_bytes()[:-20]),
    "emptied": lambda path, old: path.write_bytes(b""),
    "deleted": lambda path, old: path.unlink(),
    "rolled back": lambda path, old: path.write_bytes(old),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=["first", "second", "both"])
def test_a_bad_copy_of_the_ring_is_repaired_and_two_are_refused(stored, damage, which):
    server, do = stored, DAMAGES[damage]
    old = ring(server)[0].read_bytes()
    with_passphrase(server)
    server.start().stop()
    good = ring(server)[0].read_bytes()
    assert good == ring(server)[1].read_bytes() != old
    for index in which:
        do(ring(server)[index], old)
    before = {path: path.read_bytes() for path in files(server.data / "ring")}
    if len(which) == 1:
        server.start()
        assert server.intact()
        assert [path.read_bytes() for path in ring(server)] == [good, good]
        assert "rewritten from the good copy" in server.log.read_text()
        return
    server.log.unlink()
    server.spawn()
    assert server.process.wait(30) == 4, server.output.read_text()
    said = server.output.read_text()
    words = {"rolled back": "an older copy was put in its place", "deleted": "its key ring is missing"}
    assert words.get(damage, "no copy of the key ring can be used") in said, said
    assert {path: path.read_bytes() for path in files(server.data / "ring")} == before, "nothing is made or mended"
    if damage == "rolled back":
        # Who has no newer copy may say so, and has the store back; from then on that ring is the newest.
        server.start("--danger-accept-older-ring")
        assert server.intact()
        server.stop()
        server.start()
        return
    for path in ring(server):
        path.write_bytes(good)
        path.chmod(0o600)
    server.start()
    assert server.intact()


def test_a_server_that_runs_remembers_the_newest_ring(stored):
    """Without a restart in between: the command tells the server, whose store refuses the older ring later."""
    server = stored
    server.start()
    old = ring(server)[0].read_bytes()
    with_passphrase(server)
    server.stop()
    for path in ring(server):
        path.write_bytes(old)
    server.spawn()
    assert server.process.wait(30) == 4
    assert "an older copy was put in its place" in server.output.read_text()


def test_a_removed_seal_does_not_come_back_by_an_older_copy(stored):
    server = stored
    second = server.home / "seal" / "b.key"
    run(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", second)
    old = ring(server)[1].read_bytes()
    run(server, "seal", "remove", "0", "--key-file", second)
    ring(server)[1].write_bytes(old)
    answer = run(server, "env", "--key-file", server.key_file, expect=3)
    assert "not the seal that protects the key ring" in answer.stderr
    run(server, "env", "--key-file", second)
    assert ring(server)[1].read_bytes() == ring(server)[0].read_bytes() != old


def test_every_command_has_help_with_an_example(tmp_path):
    for words in (["unseal"], *(["seal", verb] for verb in ("list", "add", "remove", "rekey", "test", "status"))):
        shown = subprocess.run([binary(), *words, "--help"], capture_output=True, text=True, timeout=30).stdout
        assert "Example" in shown and "--json" in shown and f"strongroom {' '.join(words)}" in shown, words
