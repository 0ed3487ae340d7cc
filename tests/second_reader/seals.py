"""Seals of the key ring, read from FORMAT.md (section 6) alone: what each slot's seal gives is the unseal key."""

import hashlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from formats import ZERO_NONCE, Refused, be, derive, equal, need

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY_FILE, PASSPHRASE, CREDENTIAL, SHARES = 1, 2, 3, 4


def parse_ring(data):
    """Ring id, generation, salt, check value, slots, what the body's tag covers, and the sealed body; nothing verified."""
    assert data[:8] == b"SRR1\x01\x01\0\0" and int.from_bytes(data[8:12]) == len(data)
    ring_id, generation, salt, check = data[12:28], data[28:36], data[36:68], data[68:100]
    count, at, slots = int.from_bytes(data[100:104]), 104, []
    for _ in range(count):
        kind, at, fields = data[at], at + 1, []
        for _ in range(2):
            length = int.from_bytes(data[at:at + 4])
            fields.append(data[at + 4:at + 4 + length])
            at += 4 + length
        slots.append((kind, fields[0].decode(), fields[1]))
    length = int.from_bytes(data[at:at + 4])
    assert at + 4 + length + 8 == len(data)
    return ring_id, generation, salt, check, slots, data[:at + 4], data[at + 4:at + 4 + length]


def body_of(protected):
    """What the seal made of the unseal key, behind the date."""
    return protected[9:] if protected[:1] == b"\x02" else protected


def open_record(record, slot_key, ring_id, index):
    """The unseal key of a slot key record, which must be of this slot key."""
    need(len(record) == 97 and record[0] == 1, "slot key record")
    context = b"strongroom/1 slot\0" + ring_id + be(index, 4)
    keys = derive(record[1:33], slot_key, "strongroom/1 slot key", context, 64)
    need(equal(keys[32:48], record[33:49]), "another seal's slot key")
    return AESGCM(keys[:32]).decrypt(ZERO_NONCE, record[49:], b"\x01")


def slot_keys_of_text(text):
    """The slot keys of a key file: one, or two while the ring is rekeyed."""
    lines = text.splitlines()
    need(lines[0] == "# strongroom key file 1", "key file")
    digits = [line for line in lines if not line.startswith("#")]
    need(1 <= len(digits) <= 2 and all(len(line) == 64 for line in digits), "key file")
    return [bytes.fromhex(line) for line in digits]


def slot_key_of_passphrase(body, passphrase):
    memory, passes, lanes = (int.from_bytes(body[at:at + 4]) for at in (0, 4, 8))
    need(memory <= 1 << 20 and passes <= 16 and lanes <= 16, "Argon2 parameters")
    argon = Argon2id(salt=body[12:28], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return argon.derive(passphrase.encode())


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
    """Ring digest, set, threshold, index and bytes of a share."""
    prefix, symbols = text.split("-", 1)
    need(prefix == "SRS1", "share")
    number = 0
    for symbol in symbols.replace("-", ""):
        number = number << 5 | ALPHABET.index(symbol)
    data = number.to_bytes(50)
    need(data[46:] == hashlib.sha256(b"strongroom/1 share checksum\0" + data[:46]).digest()[:4], "checksum of a share")
    return data[:4], data[4:12], data[12], data[13], data[14:46]


def join(shares):
    """The slot key of a threshold of shares, each its index and its bytes."""
    key = bytearray(32)
    for x, values in shares:
        weight = 1
        for other, _ in shares:
            if other != x:
                weight = multiply(weight, multiply(other, inverse(other ^ x)))
        for i, value in enumerate(values):
            key[i] ^= multiply(value, weight)
    return bytes(key)


def unseal_key(data, key_file=None, passphrase=None, shares=()):
    """The unseal key of a ring, by whichever of these opens one of its slots."""
    ring_id, _, _, _, slots, _, _ = parse_ring(data)
    for index, (kind, _, protected) in enumerate(slots):
        body = body_of(protected)
        for slot_key in slot_keys_of_text(key_file) if kind in (KEY_FILE, CREDENTIAL) and key_file is not None else ():
            try:
                return open_record(body, slot_key, ring_id, index)
            except Refused:
                continue
        try:
            if kind == PASSPHRASE and passphrase is not None:
                return open_record(body[28:], slot_key_of_passphrase(body, passphrase), ring_id, index)
            if kind == SHARES and shares:
                read = [read_share(text) for text in shares]
                digest = hashlib.sha256(b"strongroom/1 share ring\0" + ring_id).digest()[:4]
                if all((ring, group) == (digest, body[:8]) for ring, group, _, _, _ in read):
                    points = [(x, values) for _, _, _, x, values in read][:body[8]]
                    return open_record(body[10:], join(points), ring_id, index)
        except Refused:
            continue
    raise Refused("no slot opens with what was given")
