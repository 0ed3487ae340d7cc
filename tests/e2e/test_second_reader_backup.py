"""Backups and escrows, read by a second reader in Python that was written from FORMAT.md alone, against what was put, what
`strongroom restore` makes of the same backup, and what `strongroom recover` reads of that."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import Clients, Server, files
from sealing import PASSPHRASE, run_json, with_passphrase
from test_backup import backup, flip, run, swap
from test_kms_import import bring
from test_recover import key_file, lines, recover  # noqa: F401 - the fixture
from test_second_reader import READER, SmallZoo, check_against, compared

from backup import Backup  # noqa: E402 - of the second reader, whose directory test_second_reader names
from escrow import SECRET, key_of_text, open_escrow, open_files  # noqa: E402
from formats import InvalidTag, Refused  # noqa: E402


def read(program, *words, code=0):
    done = subprocess.run([sys.executable, str(READER.with_name(program)), *map(str, words)], capture_output=True, text=True, timeout=280)
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return json.loads(done.stdout)


def escrow_of(server, home):
    """Puts the ring of a store into escrow: the options that open it again."""
    run(server, "escrow", "generate-recipient", "--identity", home / "identity", "--recipient", home / "recipient", seal=False)
    run(server, "escrow", "export", "--recipient", home / "recipient", "--out", home / "escrow", "--data", server.data)
    return ["--escrow", home / "escrow", "--identity", home / "identity"]


def tree(root):
    """What of a data directory a backup brings back."""
    return {str(path.relative_to(root)): path.read_bytes() for name in ("ring", "meta/journal", "meta/snapshot", "blobs/blobs", "shreds")
            for path in (root / name).rglob("*") if path.is_file()}


def test_a_backup_of_every_mode_is_read_whole_by_every_opener(make_server, tmp_path, key_file):  # noqa: F811
    server = make_server()
    zoo = SmallZoo(server)
    place = tmp_path / "place"
    with_passphrase(server)
    texts = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "4", "--threshold", "3")["shares"]
    by_escrow = escrow_of(server, tmp_path)
    first = backup(server, place)
    before = dict(zoo.expected)
    # What a second backup brings: a rotation, which changes every footer, and what was written and deleted since.
    run(server, "root-key", "rotate", "--wait", "--data", server.data, seal=False)
    zoo.put("plain", "AES256/large", b"replaced" * 20_000)
    zoo.put("plain", "later", b"later" * 40_000, **zoo.modes["aws:kms:dsse"])
    second = backup(server, place)
    server.stop()
    lost = server.data.rename(tmp_path / "the store is lost")
    told = read("backup.py", place, "--restore", tmp_path / "python", "--sse-c-key", key_file, "--out", tmp_path / "bodies", *by_escrow)
    check_against(zoo, told)
    assert {it["sha256"] for it in told["objects"] if it.get("sha256")} == {path.name for path in (tmp_path / "bodies").iterdir()}
    assert told["backup"]["number"] == second["number"] == 2 and told["backup"]["last_commit"] == told["backup"]["mark"]
    assert told["backup"]["previous"] == hashlib.sha256((place / "manifests/00000001.json").read_bytes()).hexdigest()
    assert (told["backup"]["unreadable"], told["backup"]["destroyed_since"]) == ([], [])
    # Byte for byte what the program restores, and object for object what it reads of that.
    run(server, "restore", "--from", place, "--data", tmp_path / "rust/data")
    assert tree(tmp_path / "rust/data") == tree(tmp_path / "python")
    restored = Server(tmp_path / "rust", trace=False)
    restored.key_file = server.key_file
    recover(restored, tmp_path / "out", "--sse-c-key", key_file)
    assert [compared(it) for it in told["objects"]] == [compared(it) for it in lines(tmp_path / "out")]
    # The older backup, by the key file: the state of then.
    zoo.expected = before
    check_against(zoo, read("backup.py", place, "--restore", tmp_path / "first", "--number", first["number"], "--key-file", server.key_file,
                            "--sse-c-key", key_file))
    # Every other opener gives the same key; none, and a wrong one, nothing.
    key = Backup(place, key_file=server.key_file.read_text()).unseal_key
    assert Backup(place, passphrase=PASSPHRASE).unseal_key == Backup(place, shares=[texts[3], texts[0], texts[2]]).unseal_key == key
    for wrong in ({"passphrase": "wrong horse"}, {"shares": texts[:2]}, {"unseal_key": bytes(32)}, {}):
        with pytest.raises((Refused, InvalidTag)):
            Backup(place, **wrong)
    assert not server.data.exists()
    lost.rename(server.data)


def test_an_escrow_opens_the_store_whose_seals_are_lost(make_server, tmp_path, key_file):  # noqa: F811
    server = make_server()
    zoo = SmallZoo(server)
    by_escrow = escrow_of(server, tmp_path)
    run(server, "root-key", "rotate", "--wait", "--data", server.data, seal=False)
    zoo.put("plain", "under the new root key", b"n" * 100_000)
    server.stop()
    told = read("escrow.py", *by_escrow[1:])
    opened = open_files(*by_escrow[1::2])
    assert told["ring_id"] == opened["ring_id"].hex() and told["generation"] == opened["generation"]
    server.key_file.rename(tmp_path / "lost")
    check_against(zoo, read("store.py", server.data, "--sse-c-key", key_file, *by_escrow))
    (tmp_path / "lost").rename(server.key_file)


def test_the_python_reader_takes_no_escrow_that_was_changed_or_is_another_recipients(make_server, tmp_path):
    server = make_server()
    escrow_of(server, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    run(server, "escrow", "generate-recipient", "--identity", other / "identity", "--recipient", other / "recipient", seal=False)
    data = (tmp_path / "escrow").read_bytes()
    mine, theirs = (key_of_text((home / "identity").read_text(), "identity", SECRET) for home in (tmp_path, other))
    with pytest.raises(Refused, match="another recipient"):
        open_escrow(data, theirs)
    with pytest.raises(Refused):
        key_of_text((tmp_path / "recipient").read_text(), "identity", SECRET)
    from formats import crc64
    # A place in each field, its checksum right again.
    for at in (0, 4, 5, 6, 11, 13, 30, 40, 50, 80, 200, 1150, 1200, 1230, 1300, len(data) - 12):
        bad = bytearray(data[:-8])
        bad[at] ^= 1
        with pytest.raises((Refused, InvalidTag)):
            open_escrow(bytes(bad) + crc64(bytes(bad)), mine)
    with pytest.raises(Refused):
        open_escrow(data[:-9] + data[-8:], mine)
    assert open_escrow(data, mine)["ring_id"] == (server.data / "ring/ring.a").read_bytes()[12:28]


def test_the_python_reader_refuses_every_damage_of_a_backup(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="data")
    kms = Clients(server.access()).boto(service="kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    good = tmp_path / "good"
    for n in range(3):
        s3.put_object(Bucket="data", Key=f"k{n}", Body=os.urandom(100_000), ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        if n < 2:
            backup(server, good)
    given = {"key_file": server.key_file.read_text()}
    blobs = lambda p: [path for path in files(p / "blobs")]
    newest = lambda p, name: sorted((p / "runs").glob(f"*/{name}"))[-1]
    damages = {
        "flipped blob": lambda p: flip(blobs(p)[0]), "no blob": lambda p: blobs(p)[0].unlink(), "swapped blobs": lambda p: swap(*blobs(p)[:2]),
        "flipped journal": lambda p: flip(newest(p, "meta-1")), "no journal": lambda p: newest(p, "meta-1").unlink(),
        "flipped ring": lambda p: flip(newest(p, "ring")), "flipped shred key": lambda p: flip(sorted((p / "shreds").iterdir())[0]),
        "flipped manifest": lambda p: flip(p / "manifests/00000002.json"),
        "old manifest": lambda p: shutil.copy(p / "manifests/00000001.json", p / "manifests/00000002.json"),
        "a path that leads away": lambda p: edit(p, lambda text: text.replace('"meta/journal/', '"../journal/')),
        "a MAC of nothing": lambda p: edit(p, lambda text: text)}
    for name, damage in damages.items():
        place = tmp_path / name
        shutil.copytree(good, place)
        damage(place)
        with pytest.raises((Refused, InvalidTag)):
            Backup(place, **given).restore(tmp_path / f"restored {name}")
    assert Backup(good, **given).restore(tmp_path / "restored")[0] > 0


def edit(place, change):
    """Changes the newest manifest, and cannot make its MAC anew."""
    path = place / "manifests/00000002.json"
    head, body = path.read_text().split("\n", 1)
    path.write_text(head.replace(head[-10:-2], "00000000") + "\n" + change(body))


def test_the_python_reader_brings_no_key_back_that_was_destroyed_later(make_server, tmp_path):
    server = make_server()
    s3, kms = Clients(server.access()).boto(), Clients(server.access()).boto(service="kms")
    s3.create_bucket(Bucket="data")
    doomed = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    bring(kms, doomed, os.urandom(32))
    s3.put_object(Bucket="data", Key="doomed", Body=b"x" * 50_000, ServerSideEncryption="aws:kms", SSEKMSKeyId=doomed)
    s3.put_object(Bucket="data", Key="stays", Body=b"x" * 50_000)
    place = tmp_path / "place"
    backup(server, place)
    copy = shutil.copytree(place / "shreds", tmp_path / "shreds")
    kms.delete_imported_key_material(KeyId=doomed)
    assert backup(server, place)["shred_keys_destroyed"] == 1
    # Somebody has put it back from an older copy of the place: the newer manifest knows better.
    for path in copy.iterdir():
        shutil.copy(path, place / "shreds")
    told = read("backup.py", place, "--restore", tmp_path / "restored", "--number", 1, "--key-file", server.key_file, code=5)
    assert len(told["backup"]["destroyed_since"]) == 1
    assert {it["key"]: it["outcome"] for it in told["objects"]} == {"stays": "recovered", "doomed": "no-kms-key"}
