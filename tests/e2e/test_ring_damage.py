"""Every way in which the key ring's two files may be damaged, lost, rolled back or mixed up: repaired from the good copy, or
refused with the words that say what to do and an exit code of its own; never opened wrong, and never made anew over data."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import Clients, Server, binary, clean_env, common_home, files, new_bucket
from sealing import PASSPHRASE, ring, with_passphrase

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "second_reader"))

from formats import crc64  # noqa: E402
from seals import parse_ring  # noqa: E402

SEAL, RING, STORE, ENVIRONMENT = 3, 4, 5, 6


def regions(data):
    """A byte of each region of a ring file, by name (FORMAT.md, 6)."""
    _, _, _, _, slots, before, sealed = parse_ring(data)
    found = {"magic": 1, "version": 4, "suite": 5, "reserved": 6, "length": 11, "ring id": 20, "generation": 35, "salt": 50,
             "check value": 80, "number of slots": 103}
    at = 104
    for index, (_, description, protected) in enumerate(slots):
        found[f"kind of slot {index}"] = at
        found[f"length of the description of slot {index}"] = at + 4
        found[f"description of slot {index}"] = at + 5
        found[f"date of slot {index}"] = (start := at + 5 + len(description) + 4) + 8
        found[f"salt in slot {index}"] = start + len(protected) - 90
        found[f"commitment in slot {index}"] = start + len(protected) - 60
        found[f"record in slot {index}"] = start + len(protected) - 5
        at = start + len(protected)
    found["length of the body"] = len(before) - 1
    found |= {"body": len(before) + 9, "tag of the body": len(before) + len(sealed) - 3, "checksum": len(data) - 2}
    return found


def flipped(data, at, forged=False):
    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    return data[:-8] + crc64(data[:-8]) if forged else data


class Ring:
    """A stopped store with an object, two seals, older copies of its ring, and another store beside it."""

    def __init__(self, home):
        self.server, self.other = Server(home / "one", trace=False), Server(home / "other", trace=False)
        for server in (self.server, self.other):
            server.start()
            s3 = Clients(server.access()).boto()
            self.bucket = new_bucket(s3)
            s3.put_object(Bucket=self.bucket, Key="k", Body=b"body")
            if server is self.server:
                self.access, self.own_bucket = server.access(), self.bucket
                server.stop()
                self.old = ring(server)[0].read_bytes()
                with_passphrase(server)
                server.start()
            server.stop()
        self.good = ring(self.server)[0].read_bytes()
        self.foreign = ring(self.other)[0].read_bytes()
        self.regions = regions(self.good)
        # As a store that lost everything but what it keeps apart.
        self.meta = home / "meta"
        shutil.copytree(self.server.data / "meta", self.meta)

    def restore(self):
        directory = self.server.data / "ring"
        shutil.rmtree(directory)
        directory.mkdir(mode=0o700)
        for path in ring(self.server):
            path.write_bytes(self.good)
            path.chmod(0o600)
        # Each `env` without a server leaves a journal of 64 MiB; a start takes them away.
        if len(files(self.server.data / "meta" / "journal")) > 8:
            self.server.start()
            self.server.stop()

    def shown(self):
        """The files of the directory, as they are."""
        found = {}
        for path in sorted((self.server.data / "ring").iterdir()):
            found[path.name] = path.read_bytes() if path.is_file() else "no file"
        return found

    def run(self, *words, key_file=None, given=None, code=None):
        pipe = ()
        command = [binary(), *words, "--data", str(self.server.data)]
        if key_file is not False:
            command += ["--key-file", str(key_file or self.server.key_file)]
        if given is not None:
            reader, writer = os.pipe()
            os.write(writer, given.encode())
            os.close(writer)
            command, pipe = [*command, "--unseal-fd", str(reader)], (reader,)
        done = subprocess.run(command, env=clean_env(self.server.home), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, pass_fds=pipe)
        for number in pipe:
            os.close(number)
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def serve(self, code):
        """A start of the server that must fail."""
        self.server.output.unlink(missing_ok=True)
        self.server.spawn()
        assert self.server.process.wait(30) == code, self.server.output.read_text()
        return self.server.output.read_text()

    def intact(self):
        self.server.start()
        try:
            self.access.http = self.server.endpoint["http"]
            return Clients(self.access).boto().get_object(Bucket=self.own_bucket, Key="k")["Body"].read() == b"body"
        finally:
            self.server.stop()


@pytest.fixture(scope="module")
def world(request):
    with common_home(request, "ring") as home:
        made = Ring(home)
        yield made
        for server in (made.server, made.other):
            server.assert_sane()


@pytest.fixture
def store(world):
    world.restore()
    yield world
    world.restore()


REGIONS = ["magic", "version", "suite", "reserved", "length", "ring id", "generation", "salt", "check value", "number of slots",
           "kind of slot 0", "length of the description of slot 0", "description of slot 0", "date of slot 0", "salt in slot 0",
           "commitment in slot 0", "record in slot 0", "kind of slot 1", "description of slot 1", "salt in slot 1",
           "commitment in slot 1", "record in slot 1", "length of the body", "body", "tag of the body", "checksum"]
DAMAGED = {
    **{f"flip in {name}": lambda s, p, name=name: p.write_bytes(flipped(s.good, s.regions[name])) for name in REGIONS},
    "cut by one byte": lambda s, p: p.write_bytes(s.good[:-1]),
    "cut in the body": lambda s, p: p.write_bytes(s.good[:-90]),
    "cut in the slots": lambda s, p: p.write_bytes(s.good[:150]),
    "cut in the header": lambda s, p: p.write_bytes(s.good[:30]),
    "a few bytes": lambda s, p: p.write_bytes(s.good[:3]),
    "emptied": lambda s, p: p.write_bytes(b""),
    "zeros": lambda s, p: p.write_bytes(bytes(len(s.good))),
    "longer": lambda s, p: p.write_bytes(s.good + b"\0"),
    "twice": lambda s, p: p.write_bytes(s.good * 2),
    "huge": lambda s, p: p.write_bytes(s.good + bytes(2 << 20)),
    "something else": lambda s, p: p.write_bytes(b"# strongroom key file 1\n" + b"ab" * 32),
}


def unreadable(store, path):
    """Of a user without rights; who has all of them gets the same by a link that leads to itself."""
    if os.geteuid() == 0:
        path.unlink()
        path.symlink_to(path.name)
    else:
        path.chmod(0)


@pytest.mark.parametrize("which", [0, 1], ids=["ring.a", "ring.b"])
def test_one_bad_copy_is_repaired_from_the_other(store, which):
    path = ring(store.server)[which]
    every = {**DAMAGED, "deleted": lambda s, p: p.unlink(), "rolled back": lambda s, p: p.write_bytes(s.old)}
    for name, damage in every.items():
        damage(store, path)
        store.run("env", code=0)
        assert store.shown() == {"ring.a": store.good, "ring.b": store.good}, name
    # A link that leads nowhere is replaced too, and not followed.
    unreadable(store, path)
    store.run("env", code=0)
    assert not path.is_symlink() and store.shown() == {"ring.a": store.good, "ring.b": store.good}
    assert store.intact()


def test_two_bad_copies_are_refused_as_damage_and_left_alone(store):
    for name, damage in DAMAGED.items():
        store.restore()
        for path in ring(store.server):
            damage(store, path)
        before = store.shown()
        said = store.run("env", code=RING).stderr
        assert "damaged" in said and "restore DIR/ring/ring.a or ring.b from a backup; never start over" in said, (name, said)
        said = store.run("seal", "test", code=RING).stderr
        assert "no copy of the key ring can be read" in said, (name, said)
        assert store.shown() == before, name
    for name in ("flip in body", "emptied", "something else"):
        for path in ring(store.server):
            DAMAGED[name](store, path)
        before = store.shown()
        assert "no copy of the key ring can be used" in store.serve(RING), name
        assert store.shown() == before, name


def test_a_start_without_a_ring_makes_none_over_data(store):
    def gone():
        for path in ring(store.server):
            path.unlink()

    def all_gone():
        shutil.rmtree(store.server.data / "ring")

    def a_file():
        all_gone()
        (store.server.data / "ring").write_bytes(b"")

    for lose in (gone, all_gone):
        store.restore()
        lose()
        assert "restore DIR/ring from a backup" in store.run("env", code=RING).stderr
        assert "its key ring is missing" in store.serve(RING)
        assert not any(path.exists() for path in ring(store.server))
    (store.server.data / "ring").mkdir(exist_ok=True)
    store.restore()
    a_file()
    said = store.run("env").stderr
    assert "damaged" in said or "missing" in said, said
    store.serve(RING)
    assert (store.server.data / "ring").read_bytes() == b""
    (store.server.data / "ring").unlink()
    (store.server.data / "ring").mkdir(mode=0o700)


def test_a_copy_that_cannot_be_written_is_told_by_its_name(store):
    for path in ring(store.server):
        store.restore()
        path.unlink()
        path.mkdir()
        (path / "kept").write_bytes(b"x")
        said = store.run("env", code=ENVIRONMENT).stderr
        assert path.name in said and "directory" in said, said
        assert path.name in store.serve(ENVIRONMENT)
        assert (path / "kept").exists()
    store.restore()
    for path in ring(store.server):
        path.unlink()
        path.mkdir()
    said = store.run("env", code=RING).stderr
    assert "ring.a" in said and "ring.b" in said and "damaged" in said, said
    assert all(path.is_dir() for path in ring(store.server))
    store.restore()
    for path in ring(store.server):
        unreadable(store, path)
    said = store.run("env", code=RING).stderr
    assert "ring.a" in said and "ring.b" in said, said


def test_a_forged_checksum_hides_no_damage(store):
    """Who writes the files can make the checksum agree: then check value, commitments and tags tell, and never a wrong seal
    is called damage, or damage a wrong seal."""
    outcomes = {
        "version": "newer", "suite": "newer", "reserved": "damaged", "length": "damaged", "number of slots": "damaged",
        # What the seals bind. The key file's own commitment tells its key from another.
        "ring id": "wrong", "salt in slot 0": "wrong", "commitment in slot 0": "wrong",
        # Of the seal at hand; the other one may still open the ring, so that it is sealed and not damaged.
        "record in slot 0": "sealed", "length of the description of slot 0": "damaged", "length of the body": "damaged",
        # What the body binds: the slots open, and the ring does not.
        "generation": "damaged", "salt": "damaged", "check value": "damaged", "description of slot 0": "damaged",
        "date of slot 0": "damaged", "body": "damaged", "tag of the body": "damaged",
        # Of the other seal: the key file opens its own slot, and the body binds all of them.
        "kind of slot 1": "damaged", "description of slot 1": "damaged", "salt in slot 1": "damaged",
        "commitment in slot 1": "damaged", "record in slot 1": "damaged",
    }
    codes = {"newer": RING, "damaged": RING, "wrong": SEAL, "sealed": SEAL}
    words = {"newer": "newer", "damaged": "damaged", "wrong": "not the seal", "sealed": "the seal's slot in the key ring is damaged"}
    for name, outcome in outcomes.items():
        bad = flipped(store.good, store.regions[name], forged=True)
        for path in ring(store.server):
            path.write_bytes(bad)
        done = store.run("env")
        assert done.returncode == codes[outcome] and words[outcome] in done.stderr, (name, done.returncode, done.stderr)
        assert store.shown() == {"ring.a": bad, "ring.b": bad}, name
        if name == "record in slot 0":
            assert "damaged" in store.run("env", given=PASSPHRASE, code=RING).stderr
    # Beside a good copy, nothing of it is opened or kept.
    for name, outcome in outcomes.items():
        for path in ring(store.server):
            store.restore()
            path.write_bytes(flipped(store.good, store.regions[name], forged=True))
            before = store.shown()
            done = store.run("env")
            if done.returncode == 0:
                shown = store.shown()
                # Another ring's by what it says of itself, and kept beside this one's.
                aside = [shown.pop(own) for own in list(shown) if ".of-" in own]
                assert len(aside) == (name == "ring id") and shown == {"ring.a": store.good, "ring.b": store.good}, name
            else:
                # It claims to be newer, or of another generation: nobody but a person can know better.
                assert (done.returncode, store.shown()) in [(RING, before), (SEAL, before)], (name, done.stderr)
                assert name not in ("reserved", "length", "salt", "check value", "body", "tag of the body"), (name, done.stderr)


def test_a_wrong_seal_is_told_from_damage(store):
    store.server.key_file.rename(away := store.server.home / "away.key")
    cases = {
        "another store's key file": (dict(key_file=store.other.key_file), SEAL, "not the seal that protects the key ring"),
        "a wrong passphrase": (dict(key_file=False, given="another passphrase"), SEAL, "the passphrase is another"),
        "no seal at all": (dict(key_file=store.server.home / "nothing"), SEAL, "does not exist"),
    }
    try:
        for name, (how, code, words) in cases.items():
            said = store.run("env", **how, code=code).stderr
            assert words in said and "damaged" not in said, (name, said)
        store.run("env", key_file=store.other.key_file, given=PASSPHRASE, code=0)
    finally:
        away.rename(store.server.key_file)


def test_rolled_back_copies_are_refused_by_everything_that_reads_rows(store):
    for path in ring(store.server):
        path.write_bytes(store.old)
    before = store.shown()
    said = store.run("env").stderr
    assert "an older copy was put in its place" in said, said
    assert store.run("env").returncode == RING
    assert "an older copy was put in its place" in store.serve(RING)
    assert store.shown() == before
    # Recovery takes what opens: it has nothing to lose, and says nothing of the rows' own age.
    out = store.server.home / "out"
    store.run("recover", "--out", str(out), code=0)
    shutil.rmtree(out)


def test_copies_of_two_stores_are_told_apart_and_none_is_lost(store):
    foreign_id = f"{store.foreign[12:28].hex()}-{int.from_bytes(store.foreign[28:36])}"
    for path in ring(store.server):
        store.restore()
        path.write_bytes(store.foreign)
        store.run("env", code=0)
        shown = store.shown()
        # The other store's ring is not thrown away: it may be the only one that its people have left.
        assert {shown.pop(f"{path.name}.of-{foreign_id}")} == {store.foreign}
        assert shown == {"ring.a": store.good, "ring.b": store.good}
    store.restore()
    for path in ring(store.server):
        path.write_bytes(store.foreign)
    before = store.shown()
    said = store.run("env", code=SEAL).stderr
    assert "not the seal" in said, said
    # With the other store's seal the ring opens, and this store's data does not.
    done = store.run("env", key_file=store.other.key_file)
    assert done.returncode == STORE and "not sealed with this key" in done.stderr, (done.returncode, done.stderr)
    assert store.shown() == before


def test_check_names_each_damage_before_a_start(store):
    path = ring(store.server)[1]
    path.write_bytes(store.good[:-1])
    found = store.run("check", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0")
    assert "ring.b is damaged" in found.stdout + found.stderr, found
    path.unlink()
    found = store.run("check", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0")
    assert "ring.b is missing" in found.stdout + found.stderr, found
    for path in ring(store.server):
        path.write_bytes(b"x")
    found = store.run("check", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0")
    assert found.returncode == RING, (found.returncode, found.stdout, found.stderr)
    assert store.shown() == {"ring.a": b"x", "ring.b": b"x"}
