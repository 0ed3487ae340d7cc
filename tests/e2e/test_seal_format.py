"""A second reader of the key ring's slots, written from FORMAT.md alone: any seal gives the same unseal key, and that one
opens the ring."""

import hashlib
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealing import PASSPHRASE, run, run_json, stored, with_passphrase  # noqa: F401 - the fixture

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "second_reader"))

from formats import crc64, derive  # noqa: E402
from seals import join, open_record, parse_ring, read_share, slot_key_of_passphrase, slot_keys_of_text  # noqa: E402


def test_every_slot_opens_as_the_format_says(stored):  # noqa: F811
    server = stored
    with_passphrase(server)
    texts = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "4", "--threshold", "3")["shares"]
    data = (server.data / "ring" / "ring.a").read_bytes()
    ring_id, generation, salt, check, slots, before, sealed = parse_ring(data)
    assert [kind for kind, _, _ in slots] == [1, 2, 4]
    bodies = []
    for _, _, protected in slots:
        added = struct.unpack(">Q", protected[1:9])[0]
        assert protected[0] == 2 and 1_700_000_000_000 < added < 10_000_000_000_000
        bodies.append(protected[9:])

    by_file = open_record(bodies[0], slot_keys_of_text(server.key_file.read_text())[0], ring_id, 0)

    memory, passes, lanes = struct.unpack(">III", bodies[1][:12])
    assert (memory, passes, lanes) == (256 << 10, 3, 1)
    by_passphrase = open_record(bodies[1][28:], slot_key_of_passphrase(bodies[1], PASSPHRASE), ring_id, 1)

    shares = [read_share(text) for text in texts]
    for ring, group, threshold, _, _ in shares:
        assert ring == hashlib.sha256(b"strongroom/1 share ring\0" + ring_id).digest()[:4]
        assert group == bodies[2][:8] and threshold == bodies[2][8] == 3 and bodies[2][9] == 4
    slot_key = join([(index, values) for _, _, _, index, values in (shares[3], shares[0], shares[2])])
    by_shares = open_record(bodies[2][10:], slot_key, ring_id, 2)

    assert by_file == by_passphrase == by_shares
    keys = derive(salt, by_file, "strongroom/1 ring", ring_id + generation, 64)
    assert keys[:32] == check
    assert AESGCM(keys[32:]).decrypt(bytes(12), sealed, before)[0] == 1


def forge(server, find, replace):
    """Changes both copies so that only what the seals bind can tell."""
    for name in ("ring.a", "ring.b"):
        path = server.data / "ring" / name
        data = path.read_bytes()
        assert crc64(data[:-8]) == data[-8:] and data.count(find) == 1
        data = data[:-8].replace(find, replace)
        path.write_bytes(data + crc64(data))


def test_a_forged_slot_is_damage_and_takes_no_memory(stored):  # noqa: F811
    server = stored
    with_passphrase(server)
    data = (server.data / "ring" / "ring.a").read_bytes()
    slots = parse_ring(data)[4]
    body = slots[1][2][9:]
    given = {1000: PASSPHRASE}

    def outcome(expect):
        tested = run_json(server, "seal", "test", "--key-file", server.key_file, "--unseal-fd", 1000, given=given,
                          expect=expect)
        return [seal["outcome"] for seal in tested["seals"]], tested["seals"][1]["why"]

    assert outcome(0)[0] == ["opens", "opens"]
    # Four TiB for one try.
    huge = struct.pack(">III", 0xFFFFFFFF, 3, 1) + body[12:]
    forge(server, body, huge)
    words, why = outcome(4)
    assert words == ["opens", "damaged"] and "Argon2id" in why
    # A cheaper one opens nothing, and the tag that follows the commitment tells damage from a wrong passphrase.
    forge(server, huge, struct.pack(">III", 8, 1, 1) + body[12:])
    assert outcome(3)[0] == ["opens", "wrong"]
    forge(server, struct.pack(">III", 8, 1, 1) + body[12:], body[:-1] + bytes([body[-1] ^ 1]))
    assert outcome(4)[0] == ["opens", "damaged"]
    # The ring itself binds its slots: also a slot that opens does not open a forged ring.
    answer = run(server, "env", "--key-file", server.key_file, expect=4)
    assert "damaged" in answer.stderr
