"""What `strongroom verify` finds of files that were exchanged, moved or put back: without keys whatever files say of themselves in
clear, and in plain words what it cannot see; with keys all of it, on line and off line."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import Clients, binary, clean_env
from terminal import Terminal
from test_recover import recover
from test_second_reader import second_reader, write_snapshot
from test_verify import DAMAGE, Store, Undo, customer_key, damaged, damaged_files  # noqa: F401 - the fixture

UNSEEN = "found with keys only"


@pytest.fixture
def store(make_server):
    return Store(make_server())


def exchange(one, other):
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def rotate(store):
    subprocess.run([binary(), "root-key", "rotate", "--wait", "--data", str(store.data)], env=clean_env(store.server.home), check=True,
                   capture_output=True, timeout=120)


def test_every_exchange_of_two_files_is_found_with_keys_and_without(store, customer_key):  # noqa: F811
    # A second journal file, and one more object and key in it.
    store.server.restart()
    clients = Clients(store.server.access())
    clients.boto(service="kms").create_key()
    clients.boto().put_object(Bucket="plain", Key="behind", Body=os.urandom(300_000))
    store.server.stop()
    clean = store.verify("--sealed")
    assert clean["findings"] == [] and set(clean["root_key_versions"]) == {"1"}
    assert not [it for it in clean["unchecked"] if "under their own names" in it] and any(UNSEEN in it for it in clean["unchecked"])
    blobs = store.blobs()
    journals = sorted((store.data / "meta" / "journal").iterdir())
    shreds = sorted(path for path in (store.data / "shreds" / "a").iterdir())
    assert len(journals) >= 2 and len(shreds) >= 2
    pairs = [*zip(blobs[::2], blobs[1::2]), tuple(journals[:2]), tuple(shreds[:2])]
    with Undo() as undo:
        undo.keep(*(path for pair in pairs for path in pair))
        for pair in pairs:
            exchange(*pair)
        expected = {store.name(path) for pair in pairs for path in pair}
        found = store.verify("--sealed", code=DAMAGE)
        assert damaged_files(found) == expected
        names = {it["file"] for it in damaged(found) if it["what"] == "name"}
        assert names == {store.name(path) for pair in pairs for path in pair if path in blobs}
    # With keys, each pair by itself: an exchanged journal leaves no rows to go by. With and without the customers' keys.
    with Undo() as undo:
        for pair in [*zip(blobs[::2], blobs[1::2]), tuple(shreds[:2])]:
            undo.keep(*pair)
            exchange(*pair)
        expected -= {store.name(path) for path in journals[:2]}
        assert damaged_files(store.verify(*customer_key, code=DAMAGE)) == expected
        assert damaged_files(store.verify(code=DAMAGE)) == expected
    with Undo() as undo:
        undo.keep(*journals[:2])
        exchange(*journals[:2])
        assert {store.name(path) for path in journals[:2]} <= damaged_files(store.verify(code=DAMAGE))
    assert store.verify(*customer_key)["findings"] == []


def test_files_of_another_store_are_found(store, make_server, customer_key):  # noqa: F811
    """Under the names of this one's files; the index, of which nothing is in clear, with keys only."""
    other = Store(make_server())
    other.server.stop()
    store.server.stop()
    ours, theirs = store.blobs(), other.blobs()
    shred = next((store.data / "shreds" / "b").iterdir())
    with Undo() as undo:
        undo.keep(*ours, shred)
        for path, another in zip(ours, theirs):
            shutil.copyfile(another, path)
        shutil.copyfile(next((other.data / "shreds" / "b").iterdir()), shred)
        expected = {store.name(path) for path in [*ours, shred]}
        assert damaged_files(store.verify("--sealed", code=DAMAGE)) == expected
        assert damaged_files(store.verify(*customer_key, code=DAMAGE)) == expected
    index = store.data / "meta" / "index.srx"
    journal = sorted((store.data / "meta" / "journal").iterdir())[-1]
    for path in (index, journal):
        with Undo() as undo:
            undo.keep(path)
            shutil.copyfile(other.data / path.relative_to(store.data), path)
            assert store.name(path) in damaged_files(store.verify(code=DAMAGE))
            # Nothing that can be read without keys tells of it; that it was not looked at is said.
            sealed = store.verify("--sealed")
            assert sealed["findings"] == [] and any("index" in it for it in sealed["unchecked"])
            assert any(UNSEEN in it for it in sealed["unchecked"])


@pytest.mark.parametrize("how", ["rotation", "re-encryption"])
def test_an_older_copy_of_a_blob_is_found_with_keys_and_named_as_unseen_without(store, customer_key, how):  # noqa: F811
    store.server.stop()
    old = {path: path.read_bytes() for path in store.blobs()}
    store.server.start()
    if how == "rotation":
        rotate(store)
    else:
        s3 = Clients(store.server.access()).boto()
        for key in ("AES256/large", "parts"):
            s3.update_object_encryption(Bucket="plain", Key=key, ObjectEncryption={"SSEKMS": {"KMSKeyArn": store.key}})
    changed = [path for path in old if path.read_bytes() != old[path]]
    assert len(changed) >= 3
    # Beside the running server, and when it is stopped.
    for keys in ([], customer_key):
        with Undo() as undo:
            undo.keep(*changed)
            for path in changed:
                path.write_bytes(old[path])
            assert damaged_files(store.verify(*keys, code=DAMAGE)) == {store.name(path) for path in changed}
            sealed = store.verify("--sealed")
            assert sealed["findings"] == [] and not sealed["with_keys"]
            assert any("older copy of a file" in it and UNSEEN in it for it in sealed["unchecked"])
            # Footers that were written anew say the file's name as before.
            assert not any("under their own names" in it for it in sealed["unchecked"])
            if how == "rotation":
                # A hint, and no finding: the rotation may not be through.
                assert sealed["root_key_versions"] == {"1": len(changed)}
        if not keys:
            store.server.stop()
    one = changed[0]
    if how == "rotation":
        with Undo() as undo:
            undo.keep(one)
            one.write_bytes(old[one])
            assert store.verify("--sealed")["root_key_versions"] == {"1": 1, "2": len(changed) - 1}
            program = Terminal([binary(), "verify", "--sealed", "--data", store.data], env=clean_env(store.server.home))
            program.expect("checksums alone, without keys")
            program.expect("more than one is an unfinished rotation, or older copies put back")
            program.expect("not verified: whether every file is there")
            assert program.end() == 0


def test_a_missing_blob_and_a_lost_end_of_the_journal_are_found_with_keys_and_named_as_unseen_without(store):
    store.server.stop()
    blob = store.blobs()[0]
    with Undo() as undo:
        undo.keep(blob)
        blob.unlink()
        assert damaged_files(store.verify(code=DAMAGE)) == {store.name(blob)}
        sealed = store.verify("--sealed")
        assert sealed["findings"] == [] and any("what is missing" in it for it in sealed["unchecked"])
    journal = sorted((store.data / "meta" / "journal").iterdir())[-1]
    old = journal.read_bytes()
    store.server.start()
    s3 = Clients(store.server.access()).boto()
    for n in range(40):
        s3.put_object(Bucket="plain", Key=f"more/{n}", Body=os.urandom(500))
    store.server.stop()
    newest = sorted((store.data / "meta" / "journal").iterdir())[-1]
    with Undo() as undo:
        # Back to the state before the last start: the files since then are gone, the older one is as it was.
        for path in (store.data / "meta" / "journal").iterdir():
            if path > journal:
                undo.keep(path)
                path.unlink()
        undo.keep(journal)
        journal.write_bytes(old)
        found = damaged(store.verify(code=DAMAGE))
        assert any("acknowledged commits are missing" in it["why"] for it in found)
        sealed = store.verify("--sealed")
        assert sealed["findings"] == [] and any("the end of the journal" in it for it in sealed["unchecked"])
    assert newest.exists() and store.verify()["findings"] == []


def test_an_older_journal_beneath_a_running_server_is_found(make_server):
    """The server writes on into the file that it has open; what lies there by name is the older copy."""
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    journal = sorted((server.data / "meta" / "journal").iterdir())[-1]
    old, own = journal.read_bytes(), server.home / "the server's"
    for n in range(5):
        s3.put_object(Bucket="data", Key=f"k{n}", Body=b"acknowledged")
    os.link(journal, own)
    journal.unlink()
    journal.write_bytes(old)
    found = damaged(json.loads(verify(server, "--json", code=DAMAGE).stdout))
    assert ["acknowledged commits are missing" in it["why"] for it in found] == [True], found
    os.replace(own, journal)
    assert json.loads(verify(server, "--json").stdout)["findings"] == []


def test_a_journal_file_that_a_crash_brought_back_is_no_damage(make_server, tmp_path):
    """Files that a snapshot replaces are deleted without a sync between: after power loss any of them may be there again."""
    server = make_server()
    Clients(server.access()).boto().create_bucket(Bucket="data")
    for _ in range(2):
        server.restart()
        Clients(server.access()).boto().put_object(Bucket="data", Key="k", Body=os.urandom(1000))
    server.stop()
    oldest, *between, _ = sorted((server.data / "meta" / "journal").iterdir())
    assert between
    kept = oldest.read_bytes()
    write_snapshot(server)
    oldest.write_bytes(kept)
    for more in ([], ["--sealed"]):
        assert json.loads(verify(server, "--json", *more).stdout)["findings"] == []
    recover(server, tmp_path / "out")
    assert second_reader(server, "--key-file", server.key_file)["report"]["losses"] == []
    server.start()
    assert json.loads(verify(server, "--json").stdout)["findings"] == []


def signed_by(directory, report, text=None):
    """Whether openssl takes the signature of a report, or of a changed text, for that of the store."""
    content = directory / "looked at"
    content.write_bytes(report.read_bytes() if text is None else text)
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", directory / "report-key.pem", "-in", content,
                           "-sigfile", f"{report}.sig"], capture_output=True)
    content.unlink()
    return done.returncode == 0


def verify(server, *words, code=0):
    done = subprocess.run([binary(), "verify", "--data", str(server.data), "--key-file", str(server.key_file), *map(str, words)],
                          env=clean_env(server.home), capture_output=True, text=True, timeout=240)
    assert done.returncode == code, (done.returncode, done.stdout[-4000:], done.stderr[-3000:])
    return done


def reports(directory):
    return sorted(directory.glob("verified-*.json"))


def test_the_report_is_signed_by_the_store_whoever_made_it(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=os.urandom(100_000))
    kept = server.data / "reports"
    printed = verify(server, "--json").stdout
    [on_line] = reports(kept)
    assert printed.encode() == on_line.read_bytes(), "what is printed is what is signed"
    report = json.loads(printed)
    ring = (server.data / "ring/ring.a").read_bytes()[12:28].hex()
    assert report["what"] == "strongroom verify" and report["ring_id"] == ring and report["began"] <= report["ended"] and report["on_line"]
    assert re.fullmatch(r"verified-\d{8}T\d{6}Z\.json", on_line.name) and on_line.stat().st_mode & 0o077 == 0
    assert signed_by(kept, on_line) and not signed_by(kept, on_line, printed.replace('"damaged": 0', '"damaged": 1').encode())
    key = (kept / "report-key.pem").read_bytes()
    on_line.rename(tmp_path / "first")
    # Checksums alone, by the same server; elsewhere, too.
    said = verify(server, "--sealed", "--report", tmp_path / "elsewhere").stdout
    [copy] = reports(tmp_path / "elsewhere")
    assert f"The signed report is {copy}." in said and signed_by(tmp_path / "elsewhere", copy)
    assert not json.loads(copy.read_text())["with_keys"] and (tmp_path / "elsewhere/report-key.pem").read_bytes() == key
    [path.unlink() for path in reports(kept)]
    server.stop()
    # Without the server, by the same key; of damage as well.
    said = verify(server).stdout
    [off_line] = reports(kept)
    assert f"The signed report is {off_line}." in said and signed_by(kept, off_line) and not json.loads(off_line.read_text())["on_line"]
    assert (kept / "report-key.pem").read_bytes() == key
    [blob] = [path for path in (server.data / "blobs/blobs").rglob("*") if path.is_file()]
    with Undo() as undo:
        undo.keep(blob)
        blob.write_bytes(blob.read_bytes()[:-1])
        printed = verify(server, "--json", "--report", tmp_path / "damage", code=DAMAGE).stdout
        [of_damage] = reports(tmp_path / "damage")
        assert printed.encode() == of_damage.read_bytes() and json.loads(printed)["damaged"] == 1
        assert signed_by(tmp_path / "damage", of_damage) and (tmp_path / "damage/report-key.pem").read_bytes() == key
    # Without keys nobody can sign, and that is said.
    before = reports(kept)
    done = verify(server, "--sealed")
    assert "leaves no signed report: that takes the store's keys" in done.stderr and reports(kept) == before


def test_a_store_that_was_never_verified_signs_without_the_server(make_server):
    server = make_server()
    server.stop()
    assert not reports(server.data / "reports")
    assert "The signed report is" in verify(server).stdout
    [report] = reports(server.data / "reports")
    assert signed_by(server.data / "reports", report)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root verifies what is another user's")
def test_what_root_keeps_of_a_verification_is_the_servers(make_server):
    server = make_server()
    server.stop()
    shutil.rmtree(server.data / "reports", ignore_errors=True)
    for path in [server.data, *server.data.rglob("*")]:
        os.chown(path, 4242, 4243)
    verify(server)
    made = [server.data / "reports", *(server.data / "reports").iterdir()]
    assert len(made) == 4 and {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4242, 4243)}
    for path in [server.data, *server.data.rglob("*")]:
        os.chown(path, 0, 0)


def test_a_report_that_cannot_be_kept_fails_no_verification(make_server, tmp_path):
    server = make_server()
    (tmp_path / "file").write_text("no directory")
    for beside in (True, False):
        done = verify(server, "--report", tmp_path / "file" / "below")
        assert "leaves no signed report" in done.stderr and "0 damaged" in done.stdout
        if beside:
            server.stop()
