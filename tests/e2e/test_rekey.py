"""`seal rekey`: a new unseal key, every seal made anew, old ones good for no later ring, and never a ring that nothing opens."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import binary, clean_env
from sealing import (PASSPHRASE, add_kms_seal, authority, command, credentials_of, hsm, ring, run, run_json,  # noqa: F401
                     stored, with_passphrase)
from terminal import Terminal

NEW = "another horse and another battery"


def key_lines(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def rotate(server):
    return subprocess.run([binary(), "root-key", "rotate", "--wait", "--data", str(server.data)], env=clean_env(server.home),
                          capture_output=True, text=True, timeout=120)


def rekey_json(server, *more, **options):
    """What was done, and the new shares by their seals."""
    text = run(server, "seal", "rekey", *more, "--json", **options).stdout
    told = [json.loads(line) for line in text.splitlines()]
    shares = told[0]["shares"] if "shares" in told[0] else {}
    assert told[-1]["rekeyed"] is True and len(told) == 1 + bool(shares)
    return told[-1], shares


def keep(server, place):
    """What somebody may have kept from before: the ring's copies and the key files."""
    place.mkdir()
    shutil.copytree(server.data / "ring", place / "ring")
    shutil.copytree(server.key_file.parent, place / "seal")
    return place


def test_old_seals_open_no_later_ring(stored, tmp_path):  # noqa: F811
    server = stored
    second = server.home / "seal" / "second.key"
    run(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", second)
    with_passphrase(server)
    shares = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "4", "--threshold", "2")["shares"]
    kept = keep(server, tmp_path / "kept")
    before = run_json(server, "seal", "list")

    told, dealt = rekey_json(server, "--key-file", server.key_file, "--passphrase-fd", 1000, given={1000: NEW + "\n"})
    after = run_json(server, "seal", "list")
    assert told["generation"] == after["generation"] == before["generation"] + 1 and told["dropped"] == []
    assert [(seal["seal"], seal["kind"]) for seal in told["seals"]] == [(0, "key-file"), (1, "key-file"), (2, "passphrase"), (3, "shares")]
    assert [(it["seal"], it["kind"], it["place"]) for it in after["seals"]] == [(it["seal"], it["kind"], it["place"]) for it in before["seals"]]
    (new_shares,) = dealt.values()
    assert len(new_shares) == 4 and not set(new_shares) & set(shares)
    for path in (server.key_file, second):
        assert len(key_lines(path)) == 1 and key_lines(path) != key_lines(kept / "seal" / path.name)
        assert path.stat().st_mode & 0o777 == 0o600

    # The new ones open, each alone; the old ones do not.
    for path in (server.key_file, second):
        path.rename(path.with_suffix(".away"))
    nothing = server.home / "nothing.key"
    for given in (NEW, "\n".join(new_shares[1:3])):
        run(server, "env", "--key-file", nothing, "--unseal-fd", 1000, given={1000: given})
    for given in (PASSPHRASE, "\n".join(shares[:2])):
        run(server, "env", "--key-file", nothing, "--unseal-fd", 1000, given={1000: given}, expect=3)
    for name in ("root.key", "second.key"):
        run(server, "env", "--key-file", kept / "seal" / name, expect=3)
        run(server, "env", "--key-file", server.home / "seal" / name.replace(".key", ".away"))
    for path in (server.key_file, second):
        path.with_suffix(".away").rename(path)
    server.start()
    assert server.intact()
    server.stop()
    # And what was kept, put back, is refused: the store has seen a newer ring.
    for name in ("ring.a", "ring.b"):
        shutil.copy(kept / "ring" / name, server.data / "ring" / name)
    assert "an older copy was put in its place" in run(server, "env", "--key-file", kept / "seal" / "root.key", expect=4).stderr


def test_a_running_server_takes_the_new_key_and_goes_on_to_rotate(stored, tmp_path):  # noqa: F811
    server = stored
    server.start()
    kept = keep(server, tmp_path / "kept")
    told, _ = rekey_json(server, "--key-file", server.key_file)
    assert server.intact() and "the key ring is rekeyed" in server.log.read_text()
    # The next ring, with the next root key, is written under the new unseal key.
    done = rotate(server)
    assert done.returncode == 0, done.stderr
    assert run_json(server, "seal", "list")["generation"] > told["generation"]
    run(server, "seal", "test", "--key-file", server.key_file)
    refused = run(server, "seal", "add", "--unseal-with", kept / "seal" / "root.key", "--key-file", server.home / "x.key", expect=3)
    assert "not the seal that protects the key ring" in refused.stderr
    assert server.intact()
    server.restart()
    assert server.intact()
    server.stop()
    for name in ("ring.a", "ring.b"):
        shutil.copy(kept / "ring" / name, server.data / "ring" / name)
    # The new key does not open what was kept, and the old one opens what the store refuses.
    secret = key_lines(server.key_file)[0]
    server.spawn()
    assert server.process.wait(30) == 3
    server.key_file = kept / "seal" / "root.key"
    server.spawn()
    assert server.process.wait(30) == 4
    assert "older than the data" in server.output.read_text() and secret not in server.log.read_text()


def test_a_seal_that_is_away_is_not_passed_over_but_given_up(stored):  # noqa: F811
    server = stored
    second = server.home / "seal" / "second.key"
    run(server, "seal", "add", "--unseal-with", server.key_file, "--key-file", second)
    away = second.rename(server.home / "away.key")
    before = {path: path.read_bytes() for path in (*ring(server), server.key_file)}
    refused = run(server, "seal", "rekey", "--key-file", server.key_file, expect=3).stderr
    assert "seal 1" in refused and "second.key" in refused and "does not exist" in refused and "--drop NUMBER" in refused
    run(server, "seal", "rekey", "--key-file", server.key_file, "--drop", "7", expect=2)
    none_left = run(server, "seal", "rekey", "--key-file", server.key_file, "--drop", "0", "--drop", "1", expect=3).stderr
    assert "no seal would be left" in none_left
    # A passphrase that is too weak, and one that nobody gives.
    with_passphrase(server)
    before = {path: path.read_bytes() for path in before}
    for given in ("short\n", "\n"):
        run(server, "seal", "rekey", "--key-file", server.key_file, "--drop", "1", "--passphrase-fd", 1000, given={1000: given}, expect=3)
    run(server, "seal", "rekey", "--key-file", server.key_file, "--drop", "1", expect=3)
    assert {path: path.read_bytes() for path in before} == before, "what was refused changed nothing"

    told, _ = rekey_json(server, "--key-file", server.key_file, "--drop", "1", "--passphrase-fd", 1000, given={1000: NEW})
    assert told["dropped"] == [1] and [seal["seal"] for seal in told["seals"]] == [0, 2]
    run(server, "env", "--key-file", server.home / "nothing", "--unseal-fd", 1000, given={1000: NEW})
    run(server, "env", "--key-file", away, expect=3)
    # `seal remove` offers the same.
    shown = run(server, "seal", "remove", "--help").stdout
    assert "--rekey" in shown
    removed = run_json(server, "seal", "remove", "2", "--rekey", "--key-file", server.key_file)
    assert removed["rekeyed"] and removed["dropped"] == [2]
    assert [it["seal"] for it in run_json(server, "seal", "list")["seals"]] == [0]
    server.start()
    assert server.intact()


def test_services_tokens_and_credentials_are_made_anew(stored, authority, hsm):  # noqa: F811
    server = stored
    credentials = credentials_of(authority, server.home / "kms-credentials")
    add_kms_seal(server, authority, authority.access().http, credentials)
    run(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom", **hsm)
    source = server.home / "seal" / "ring.credential"
    run(server, "seal", "add", "--unseal-with", server.key_file, "--credential", "ring", "--key-file", source)
    handed_over = server.home / "credentials"
    handed_over.mkdir()
    old = source.rename(handed_over / "ring")
    env = {**hsm, "STRONGROOM_KMS_SEAL_CREDENTIALS": str(credentials)}
    place = dict(CREDENTIALS_DIRECTORY=str(handed_over))
    slots = ring(server)[0].read_bytes()

    # The service away: nothing changes.
    without = {name: value for name, value in env.items() if "KMS" not in name}
    assert "seal 1" in run(server, "seal", "rekey", "--key-file", server.key_file, expect=3, **without, **place).stderr
    # Neither the credential nor a file for a new one.
    assert "--credential-file" in run(server, "seal", "rekey", "--key-file", server.key_file, expect=3, **env).stderr
    assert ring(server)[0].read_bytes() == slots

    # As it is handed over.
    rekey_json(server, "--key-file", server.key_file, **env, **place)
    lost = server.key_file.rename(server.home / "lost.key")
    assert [it["outcome"] for it in run_json(server, "seal", "test", expect=6, **env, **place)["seals"]] == \
        ["unreachable", "opens", "opens", "opens"]
    # With a new one.
    new = server.home / "seal" / "new.credential"
    rekey_json(server, "--key-file", lost, "--credential-file", new, **env, **place)
    tested = run_json(server, "seal", "test", "--key-file", lost, expect=3, **env, **place)["seals"]
    assert [it["outcome"] for it in tested] == ["opens", "opens", "opens", "wrong"]
    old.unlink()
    new.rename(old)
    run(server, "seal", "test", "--key-file", lost, **env, **place)
    server.key_file = lost
    server.start()
    assert server.intact()


def test_a_person_is_asked_for_the_new_passphrase_and_shown_the_new_shares(stored):  # noqa: F811
    server = stored
    with_passphrase(server)
    run(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "3", "--threshold", "2")
    env = clean_env(server.home)
    person = Terminal(command(server, "seal", "rekey", "--key-file", server.key_file), env=env)
    person.expect("New passphrase of seal 1:").type(NEW).expect("The same again:").type(NEW)
    assert person.end() == 0, person.shown
    assert NEW not in person.shown
    shares = re.findall(r"SRS1-[-0-9A-Z]+", person.shown)
    assert len(shares) == 3 and "The key ring is rekeyed" in person.shown
    assert person.shown.index("SRS1-") < person.shown.index("The key ring is rekeyed"), "nobody loses them to a crash"
    run(server, "env", "--key-file", server.home / "nothing", "--unseal-fd", 1000, given={1000: NEW})
    run(server, "env", "--key-file", server.home / "nothing", "--unseal-fd", 1000, given={1000: "\n".join(shares[:2])})
    broken_off = Terminal(command(server, "seal", "rekey", "--key-file", server.key_file), env=env)
    broken_off.expect("New passphrase of seal 1:")
    second = run(server, "seal", "rekey", "--key-file", server.key_file, expect=3).stderr
    assert "somebody else is rekeying" in second
    broken_off.press(b"\x03")
    assert broken_off.end() == 3
    assert len(key_lines(server.key_file)) == 1
    help_text = subprocess.run([binary(), "seal", "rekey", "--help"], capture_output=True, text=True).stdout
    assert "Examples:" in help_text and "--json" in help_text and "strongroom seal rekey" in help_text


def test_a_link_stays_a_link_and_a_file_keeps_its_owner(stored):  # noqa: F811
    server = stored
    real = server.home / "real.key"
    server.key_file.rename(real)
    server.key_file.symlink_to(real)
    if os.geteuid() == 0:
        # Root's command on a server that is another user's.
        for path in (real, *ring(server)):
            os.chown(path, 12345, 12345)
    before = real.read_text()
    # As root, a key file of somebody else's is no key file.
    run(server, "seal", "rekey", "--key-file", server.key_file, expect=3 if os.geteuid() == 0 else 0)
    if os.geteuid() == 0:
        os.chown(real, 0, 12345)
        run(server, "seal", "rekey", "--key-file", server.key_file)
        assert (real.stat().st_uid, real.stat().st_gid) == (0, 12345)
        assert all((path.stat().st_uid, path.stat().st_gid) == (12345, 12345) for path in ring(server))
    assert server.key_file.is_symlink() and real.read_text() != before


@pytest.mark.parametrize("running", [False, True], ids=["off line", "on line"])
def test_a_kill_at_any_moment_leaves_a_ring_that_opens(stored, running):  # noqa: F811
    """By the key file, whichever key counts, and by the old shares or the new ones."""
    server = stored
    if running:
        server.start()
    run(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "2", "--threshold", "2")
    words = [*command(server, "seal", "rekey", "--key-file", server.key_file), "--json"]
    started = time.monotonic()
    told, dealt = rekey_json(server, "--key-file", server.key_file)
    whole = time.monotonic() - started
    (old,) = dealt.values()
    ends = {"before": 0, "after": 0, "finished": 0}
    tries = 30
    for turn in range(tries):
        generation = run_json(server, "seal", "list")["generation"]
        process = subprocess.Popen(words, env=clean_env(server.home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # Not a wait for something, but the moment at which it is cut off: all over the time that it takes.
        time.sleep(whole * 1.2 * turn / tries)
        process.send_signal(signal.SIGKILL)
        text = process.communicate()[0].decode()
        lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        new = next((next(iter(it["shares"].values())) for it in lines if "shares" in it), None)
        # The key file opens, without anybody's help and without waiting.
        run(server, "seal", "test", "--key-file", server.key_file)
        now = run_json(server, "seal", "list")["generation"]
        changed = now > generation
        assert new is not None or not changed, "shares that count were shown to nobody"
        ends["finished" if any(it.get("rekeyed") for it in lines) else "after" if changed else "before"] += 1
        old = new if changed else old
        tested = run_json(server, "seal", "test", "--unseal-fd", 1000, given={1000: "\n".join(old)})["seals"]
        assert [it["outcome"] for it in tested] == ["opens", "opens"], turn
    assert ends["before"] > 0, ends
    if running:
        # A server that was not told says what to do, and does not write over the ring.
        done = rotate(server)
        assert done.returncode == 0 or "restart the server" in done.stderr, done.stderr
        assert server.intact()
        server.stop()
    server.start()
    assert server.intact()
    server.stop()
    # The next one that comes to its end leaves one key in the file.
    rekey_json(server, "--key-file", server.key_file)
    assert len(key_lines(server.key_file)) == 1
