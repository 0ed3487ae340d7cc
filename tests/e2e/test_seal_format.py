"""A second reader of the key ring's slots, written from FORMAT.md alone: any seal gives the same unseal key, and that one
opens the ring."""

import hashlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from test_seals import PASSPHRASE, run, run_json, stored, with_passphrase  # noqa: F401 - the fixture

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def kdf(salt, key, label, context, length):
    return HKDF(hashes.SHA512(), length, salt, label + b"\0" + context).derive(key)


def parse_ring(data):
    assert data[:8] == b"SRR1\x01\x01\0\0" and struct.unpack(">I", data[8:12])[0] == len(data)
    ring_id, generation, salt, check = data[12:28], data[28:36], data[36:68], data[68:100]
    count, at, slots = struct.unpack(">I", data[100:104])[0], 104, []
    for _ in range(count):
        kind, at, fields = data[at], at + 1, []
        for _ in range(2):
            length = struct.unpack(">I", data[at:at + 4])[0]
            fields.append(data[at + 4:at + 4 + length])
            at += 4 + length
        slots.append((kind, fields[0].decode(), fields[1]))
    length = struct.unpack(">I", data[at:at + 4])[0]
    assert at + 4 + length + 8 == len(data)
    return ring_id, generation, salt, check, slots, data[:at + 4], data[at + 4:at + 4 + length]


def open_record(record, slot_key, ring_id, index):
    """The unseal key of a slot key record, which must be of this slot key."""
    assert len(record) == 97 and record[0] == 1
    context = b"strongroom/1 slot\0" + ring_id + struct.pack(">I", index)
    keys = kdf(record[1:33], slot_key, b"strongroom/1 slot key", context, 64)
    assert keys[32:48] == record[33:49], "the commitment differs"
    return AESGCM(keys[:32]).decrypt(bytes(12), record[49:], b"\x01")


def multiply(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a):
    return next(b for b in range(256) if multiply(a, b) == 1)


def read_share(text):
    prefix, symbols = text.split("-", 1)
    assert prefix == "SRS1"
    number = 0
    for symbol in symbols.replace("-", ""):
        number = number << 5 | ALPHABET.index(symbol)
    data = number.to_bytes(50)
    assert data[46:] == hashlib.sha256(b"strongroom/1 share checksum\0" + data[:46]).digest()[:4]
    return data[:4], data[4:12], data[12], data[13], data[14:46]


def join(shares):
    key = bytearray(32)
    for x, values in shares:
        weight = 1
        for other, _ in shares:
            if other != x:
                weight = multiply(weight, multiply(other, inverse(other ^ x)))
        for i, value in enumerate(values):
            key[i] ^= multiply(value, weight)
    return bytes(key)


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

    digits = [line for line in server.key_file.read_text().splitlines() if not line.startswith("#")]
    by_file = open_record(bodies[0], bytes.fromhex(digits[0]), ring_id, 0)

    memory, passes, lanes = struct.unpack(">III", bodies[1][:12])
    assert (memory, passes, lanes) == (256 << 10, 3, 1)
    argon = Argon2id(salt=bodies[1][12:28], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    by_passphrase = open_record(bodies[1][28:], argon.derive(PASSPHRASE.encode()), ring_id, 1)

    shares = [read_share(text) for text in texts]
    for ring, group, threshold, _, _ in shares:
        assert ring == hashlib.sha256(b"strongroom/1 share ring\0" + ring_id).digest()[:4]
        assert group == bodies[2][:8] and threshold == bodies[2][8] == 3 and bodies[2][9] == 4
    slot_key = join([(index, values) for _, _, _, index, values in (shares[3], shares[0], shares[2])])
    by_shares = open_record(bodies[2][10:], slot_key, ring_id, 2)

    assert by_file == by_passphrase == by_shares
    keys = kdf(salt, by_file, b"strongroom/1 ring", ring_id + generation, 64)
    assert keys[:32] == check
    assert AESGCM(keys[32:]).decrypt(bytes(12), sealed, before)[0] == 1


def crc64(data):
    """CRC-64/NVME."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x9a6c9329ac4bc9b5 if crc & 1 else 0)
    return (crc ^ ((1 << 64) - 1)).to_bytes(8)


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
