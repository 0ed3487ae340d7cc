#!/usr/bin/env python3
"""A second reader of Strongroom's formats, written from FORMAT.md alone.

Reads the golden vectors, opens what must open, and refuses what must be refused.
Needs the PyPI package `cryptography` 45 or later.
Usage: second_reader.py DIRECTORY-OF-VECTORS
"""

import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ZERO_NONCE = bytes(12)


class Refused(Exception):
    """The bytes must not be accepted."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def be(number, length):
    return number.to_bytes(length, "big")


def lp(data):
    return be(len(data), 4) + data


def derive(salt, key, label, context, length):
    info = label.encode() + b"\0" + context
    return HKDF(hashes.SHA512(), length, salt, info).derive(key)


def sha512(data):
    return hashlib.sha512(data).digest()


def equal(a, b):
    return hmac.compare_digest(a, b)


def reflected_table(polynomial):
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


CRC64 = reflected_table(0x9A6C9329AC4BC9B5)
CRC32C = reflected_table(0x82F63B78)


def crc(table, bits, data):
    value = ones = (1 << bits) - 1
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return be(value ^ ones, bits // 8)


def crc64(data):
    return crc(CRC64, 64, data)


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        need(self.at + length <= len(self.data), "short")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def prefixed(self):
        return self.take(self.number(4))

    def rest(self):
        return self.take(len(self.data) - self.at)

    def finish(self):
        need(self.at == len(self.data), "trailing bytes")


def identity_hash(bucket, key, version):
    return sha512(lp(bucket) + lp(key) + lp(version))


# Streams


def parse_header(stored, suite):
    """The header that `stored` starts with, nothing of it verified."""
    fields = Fields(stored)
    need(fields.take(4) == b"SRB1", "magic")
    need(fields.number(1) == 1, "version")
    need(fields.number(1) == suite, "suite")
    log2 = fields.number(1)
    need(12 <= log2 <= 20, "segment size")
    flags = fields.number(1)
    need(flags & ~1 == 0, "flags")
    header_len = fields.number(4)
    need(header_len <= {1: 1216, 2: 1408}[suite] and header_len % 8 == 0, "header length")
    need(header_len <= len(stored), "short")
    number = fields.number(4)
    need(1 <= number <= 10000 if flags & 1 else number == 0, "part number")
    salt, commitment = fields.take(32), fields.take(32)
    tlv = Fields(stored[80 : header_len - 32])

    def field(kind, length=None):
        need(tlv.number(1) == kind, "field")
        size = tlv.number(2)
        need(length in (None, size), "field length")
        return tlv.take(size)

    uids = [field(1, 16), field(2, 16)]
    attempt = field(3, 16) if flags & 1 else b""
    sealed = field({1: 4, 2: 5}[suite])
    need(len(sealed) > 16, "sealed field")
    padding = tlv.rest()
    need(len(padding) < 8 and not any(padding), "padding")
    return {
        "bytes": stored[:header_len], "suite": suite, "log2": log2, "salt": salt,
        "commitment": commitment, "uids": uids, "part": (number, attempt), "sealed": sealed,
    }


def verify_header(header, master, label, bucket, key, version, part):
    """Verifies a header of either suite; returns the segment key."""
    want = part if part else (0, b"")
    transcript = b"".join(
        lp(x)
        for x in (b"SRB1", b"\x01", be(header["suite"], 1), be(header["log2"], 1), bucket, key,
                  version, be(want[0], 4), want[1])
    )
    keys = derive(header["salt"], master, label, sha512(transcript), 96)
    need(equal(keys[:32], header["commitment"]), "commitment")
    mac = hmac.new(keys[64:], header["bytes"][:-32], hashlib.sha256).digest()
    need(equal(mac, header["bytes"][-32:]), "header MAC")
    need(header["uids"] == [bucket, version], "identity in the header")
    need(header["part"] == want, "part in the header")
    return keys[32:64]


def open_name(header, data_key):
    """Recovery: the name opens without knowing it."""
    name_key = derive(header["salt"], data_key, "strongroom/1 name", b"".join(header["uids"]), 32)
    return AESGCM(name_key).decrypt(ZERO_NONCE, header["sealed"], None)


def open_inner_header(header, outer_key):
    """The inner header that an outer one holds, nothing of it verified but its seal."""
    label = "strongroom/1 outer header"
    header_key = derive(header["salt"], outer_key, label, b"".join(header["uids"]), 32)
    inner = AESGCM(header_key).decrypt(ZERO_NONCE, header["sealed"], None)
    return parse_header(inner, 1), inner


def open_stream(stored, data_key, bucket, key, version, part, outer_key=None):
    identity = (bucket, key, version, part)
    header = first = parse_header(stored, 2 if outer_key else 1)
    outer = None
    if outer_key:
        label = "strongroom/1 outer stream"
        outer = AESGCM(verify_header(header, outer_key, label, *identity))
        header, inner = open_inner_header(header, outer_key)
        need(header["bytes"] == inner and header["log2"] == first["log2"], "inner header")
    cipher = AESGCM(verify_header(header, data_key, "strongroom/1 stream", *identity))
    need(open_name(header, data_key) == key, "name")

    body, plaintext, index = stored[len(first["bytes"]) :], b"", 0
    need(body, "no segment")
    overhead = 40 if outer else 24
    stride = (1 << header["log2"]) + overhead
    while body:
        segment, body = body[:stride], body[stride:]
        last = not body
        size = len(segment)
        need(size > overhead or (index == 0 and size == overhead), "segment length")
        need(crc64(segment[:-8]) == segment[-8:], "checksum")
        nonce = bytes(4) + be(index, 7) + be(last, 1)
        sealed = segment[:-8]
        if outer:
            sealed = outer.decrypt(nonce, sealed, None)
        plaintext += cipher.decrypt(nonce, sealed, None)
        index += 1
    return plaintext


# Wrapped keys, the ring, the verifier


def unwrap(stored, bucket, key, version, modes, ring=None, customer_key=None, kms_key=None):
    """Unwraps a record of one of `modes`; returns the key and the ciphertext blob, if it has one.

    Without an object key, as recovery begins, the half that binds it is not compared yet.
    """
    fields = Fields(stored)
    need(fields.number(1) == 1, "version")
    mode = fields.number(1)
    need(mode in modes, "mode")
    ident = fields.take(fields.number(1))
    key_version = fields.number(4)
    blob = b""
    if mode in (1, 5):
        need(len(ident) == 16, "ring id")
        need(ring is not None and ring["id"] == ident, "another ring")
        need(key_version in ring["roots"], "root version")
        root = ring["roots"][key_version]
    else:
        need(ident == b"" and key_version == 0, "record without an id")
        root = kms_key if mode == 2 else customer_key
    if mode == 2:
        blob = fields.take(fields.number(2))
        need(1 <= len(blob) <= 6144, "blob")
    prefix = stored[: fields.at]
    label = "strongroom/1 wrap " + {1: "ring", 2: "kms", 3: "customer", 5: "outer"}[mode]
    salt, commitment = fields.take(32), fields.take(16)
    aad = stored[: fields.at]
    sealed = fields.take(80)
    fields.finish()
    keys = derive(salt, root, label, prefix + bucket + version, 64)
    need(equal(keys[32:48], commitment), "commitment")
    opened = AESGCM(keys[:32]).decrypt(ZERO_NONCE, sealed, aad)
    if key is not None:
        need(equal(opened[32:], identity_hash(bucket, key, version)[:32]), "identity")
    return opened[:32], blob


def layers_of(stored):
    """The inner and the outer record of a wrapped key of two layers."""
    fields = Fields(stored)
    need(fields.take(2) == b"\x01\x04", "mode")
    return fields.take(fields.number(2)), fields.rest()


def unwrap_two_layers(stored, bucket, key, version, ring, kms_key):
    inner, outer = layers_of(stored)
    data_key, blob = unwrap(inner, bucket, key, version, (2,), kms_key=kms_key)
    outer_key, _ = unwrap(outer, bucket, key, version, (5,), ring=ring)
    return data_key, outer_key, blob


def open_ring(stored, unseal_key):
    need(stored[:4] == b"SRR1", "magic")
    need(len(stored) >= 8 and crc64(stored[:-8]) == stored[-8:], "damaged")
    fields = Fields(stored[:-8])
    fields.take(4)
    need(fields.take(4) == b"\x01\x01\0\0", "version or suite")
    need(fields.number(4) == len(stored), "length")
    ring_id, generation = fields.take(16), fields.take(8)
    salt, check = fields.take(32), fields.take(32)
    slots = [
        (fields.number(1), fields.prefixed().decode(), fields.prefixed())
        for _ in range(fields.number(4))
    ]
    aad = stored[: fields.at + 4]
    sealed = fields.prefixed()
    fields.finish()
    keys = derive(salt, unseal_key, "strongroom/1 ring", ring_id + generation, 64)
    need(equal(keys[:32], check), "wrong unseal key")
    body = Fields(AESGCM(keys[32:]).decrypt(ZERO_NONCE, sealed, aad))
    need(body.number(1) == 1, "body version")
    roots, active, previous = {}, None, 0
    for _ in range(body.number(4)):
        version = body.number(4)
        body.take(8)
        state, key = body.number(1), body.take(32)
        need(version > previous and active is None and state in (0, 1), "root versions")
        roots[version], previous = key, version
        if state == 1:
            active = version
    need(active is not None, "no active version")
    services = {}
    need(body.number(4) == 6, "service keys")
    for purpose in range(1, 7):
        need(body.number(1) == purpose, "purpose")
        wrap_salt, commitment, wrapped = body.take(32), body.take(16), body.take(48)
        context = ring_id + be(active, 4) + be(purpose, 1)
        keys = derive(wrap_salt, roots[active], "strongroom/1 wrap service", context, 64)
        need(equal(keys[32:48], commitment), "service key commitment")
        services[purpose] = AESGCM(keys[:32]).decrypt(ZERO_NONCE, wrapped, None)
    body.finish()
    return {
        "id": ring_id, "generation": int.from_bytes(generation, "big"), "slots": slots,
        "roots": roots, "active": active, "services": services,
    }


def verify_customer_key(stored, customer_key, pepper):
    need(len(stored) == 64, "length")
    message = b"strongroom/1 customer key verifier\0" + stored[:32] + customer_key
    mac = hmac.new(pepper, message, hashlib.sha256).digest()
    need(equal(mac, stored[32:]), "another key")
    return b""


# The key service


def open_blob(stored, material, arn, context):
    need(len(stored) <= 6144, "length")
    fields = Fields(stored)
    need(fields.take(2) == b"\x01\x01", "version or suite")
    need(fields.take(16).hex() == arn.split("/")[1].replace("-", ""), "another key")
    fields.take(32)
    names = stored[:50]
    salt, commitment = fields.take(32), fields.take(32)
    arn = lp(arn.encode())
    keys = derive(salt, material, "strongroom/1 kms blob", names + arn, 64)
    need(equal(keys[32:], commitment), "commitment")
    pairs = sorted((name.encode(), value.encode()) for name, value in context.items())
    canonical = b"kmsctx1" + be(len(pairs), 4) + b"".join(lp(n) + lp(v) for n, v in pairs)
    return AESGCM(keys[:32]).decrypt(ZERO_NONCE, fields.rest(), stored[:82] + arn + canonical)


def material_id(key_id, material):
    message = b"strongroom/1 material id\0" + key_id
    return hashlib.sha256(hmac.new(material, message, hashlib.sha256).digest()).digest()


def root_key(ring, ident, version):
    need(ring["id"] == ident, "another ring")
    need(version in ring["roots"], "root version")
    return ring["roots"][version]


def open_shred(stored, ring, shred_id):
    fields = Fields(stored)
    need(fields.take(8) == b"SRK1\x01\x01\0\0", "magic, version or suite")
    root = root_key(ring, fields.take(16), fields.number(4))
    need(fields.take(16) == shred_id, "another shred key")
    salt, commitment = fields.take(32), fields.take(16)
    sealed, checksum = fields.take(48), fields.take(8)
    fields.finish()
    need(crc64(stored[:-8]) == checksum, "damaged")
    keys = derive(salt, root, "strongroom/1 shred", stored[:44], 64)
    need(equal(keys[32:48], commitment), "commitment")
    return AESGCM(keys[:32]).decrypt(ZERO_NONCE, sealed, stored[:92])


def open_material(stored, ring, shred_key, arn, material, spec):
    fields = Fields(stored)
    need(fields.take(2) == b"\x01\x01", "version or suite")
    root = root_key(ring, fields.take(16), fields.number(4))
    salt, commitment, sealed = fields.take(32), fields.take(32), fields.rest()
    need(16 <= len(sealed) <= 8192 + 16, "length")
    context = stored[:22] + lp(arn.encode()) + material + lp(spec.encode())
    half = derive(salt, root, "strongroom/1 material root", context, 32)
    keys = derive(half, shred_key, "strongroom/1 material", context, 64)
    need(equal(keys[32:], commitment), "commitment")
    return AESGCM(keys[:32]).decrypt(ZERO_NONCE, sealed, stored[:86])


# Rows, attributes, footer, frames, pages


def open_row(stored, service_key, table, row_key):
    fields = Fields(stored)
    need(fields.number(1) == 1, "version")
    nonce = fields.take(12)
    key = derive(bytes(64), service_key, "strongroom/1 row", b"", 32)
    aad = b"strongroom/1 row\0" + be(table, 1) + row_key
    return AESGCMSIV(key).decrypt(nonce, fields.rest(), aad)


def open_attribute(stored, data_key, attribute, bucket, key, version):
    fields = Fields(stored)
    need(fields.number(1) == 1, "version")
    salt = fields.take(16)
    context = attribute + identity_hash(bucket, key, version)
    derived = derive(salt, data_key, "strongroom/1 attribute", context, 32)
    return AESGCMSIV(derived).decrypt(ZERO_NONCE, fields.rest(), b"")


def parse_footer(tail):
    """The fields of the footer that `tail` ends with, by their types, and the footer's length."""
    need(len(tail) >= 16 and tail[-8:] == b"SRBFOOT1", "end magic")
    total = int.from_bytes(tail[-16:-12], "big")
    need(16 <= total <= min(len(tail), 256 << 10), "length")
    footer = tail[-total:]
    need(crc(CRC32C, 32, footer[:-12]) == footer[-12:-8], "checksum")
    fields = Fields(footer[:-16])
    need(fields.take(4) == b"SRF1", "magic")
    found = {}
    while fields.at < len(fields.data):
        kind, value = fields.number(1), fields.prefixed()
        if kind in (1, 2, 3, 0x80, 0x81):
            need(kind not in found, "repeated field")
            found[kind] = value
        else:
            need(kind & 0x80, "unknown field")
    need(set(found) >= {1, 2}, "missing field")
    need(len(found.get(0x80, bytes(8))) == 8, "length of the header's checksum")
    need(len(found.get(0x81, bytes(16))) == 16, "length of the blob's name")
    return found, total


def open_footer(tail):
    found, total = parse_footer(tail)
    return found[1] + found[2] + found.get(0x80, b"") + found.get(0x81, b"") + str(total).encode()


def open_frame(stored, service_key, salt, index, aad):
    key = derive(salt, service_key, "strongroom/1 frame", b"", 32)
    return AESGCM(key).decrypt(bytes(4) + be(index, 8), stored, aad)


def open_page(stored, service_key, page):
    need(len(stored) == 8 + 4096 + 16, "length")
    key = derive(bytes(64), service_key, "strongroom/1 page", b"", 32)
    aad = b"strongroom/1 page\0" + stored[:8]
    return AESGCMSIV(key).decrypt(be(page, 8) + bytes(4), stored[8:], aad)


# Vectors


def read(case):
    def data(name):
        return bytes.fromhex(case[name])

    def identity():
        return data("bucket_uid"), case["object_key"].encode(), data("version_uid")

    def part():
        if case.get("part_number") is None:
            return None
        return case["part_number"], data("attempt_uid")

    stored, kind = data("stored"), case["kind"]
    if kind == "stream":
        return open_stream(stored, data("data_key"), *identity(), part())
    if kind == "stream_two_layers":
        return open_stream(stored, data("data_key"), *identity(), part(), data("outer_key"))
    if kind == "wrap_two_layers":
        ring = open_ring(data("ring"), data("unseal_key"))
        data_key, outer_key, blob = unwrap_two_layers(stored, *identity(), ring, data("kms_key"))
        need(blob == data("blob"), "blob")
        return open_stream(data("probe"), data_key, *identity(), None, outer_key)
    if kind in ("wrap_ring", "wrap_customer", "wrap_kms"):
        if kind == "wrap_ring":
            opener = {"modes": (1,), "ring": open_ring(data("ring"), data("unseal_key"))}
        elif kind == "wrap_kms":
            opener = {"modes": (2,), "kms_key": data("kms_key")}
        else:
            opener = {"modes": (3,), "customer_key": data("customer_key")}
        data_key, blob = unwrap(stored, *identity(), **opener)
        need(kind != "wrap_kms" or blob == data("blob"), "blob")
        return open_stream(data("probe"), data_key, *identity(), None)
    if kind == "kms_blob":
        return open_blob(stored, data("material"), case["arn"], case["context"])
    if kind == "material_id":
        need(material_id(data("key_id"), data("material")) == stored, "another id")
        return b""
    if kind in ("shred_file", "material"):
        file, wrapped = stored, data("other")
        if kind == "material":
            file, wrapped = wrapped, file
        ring = open_ring(data("ring"), data("unseal_key"))
        shred_key = open_shred(file, ring, data("shred_id"))
        material = data("material_id")
        return open_material(wrapped, ring, shred_key, case["arn"], material, case["spec"])
    if kind == "ring":
        ring = open_ring(stored, data("unseal_key"))
        return f"{ring['generation']} {ring['active']}".encode()
    if kind == "verifier":
        return verify_customer_key(stored, data("customer_key"), data("service_key"))
    if kind == "row":
        return open_row(stored, data("service_key"), case["table"], data("row_key"))
    if kind == "attribute":
        number, attempt = 0, bytes(16)
        code = {"checksum": 1, "part_checksum": 2, "footer_record": 3}[case["attribute"]]
        if code == 2:
            number, attempt = part()
        attribute = be(code, 1) + be(number, 4) + attempt
        return open_attribute(stored, data("data_key"), attribute, *identity())
    if kind == "footer":
        return open_footer(stored)
    if kind == "frame":
        index, aad = case["index"], data("aad")
        return open_frame(stored, data("service_key"), data("salt"), index, aad)
    if kind == "page":
        return open_page(stored, data("service_key"), case["page"])
    raise KeyError(kind)


def expected(case):
    if "pattern_len" in case:
        length = case["pattern_len"]
        return (bytes(range(251)) * (length // 251 + 1))[:length]
    return bytes.fromhex(case["plaintext"])


def main():
    opened = refused = 0
    failures = []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        cases = json.loads(path.read_text())
        # Escrow's one vector has a form, and a reader, of its own.
        for case in cases if isinstance(cases, list) else []:
            try:
                got = read(case)
            except (Refused, InvalidTag, ValueError) as error:
                got = error
            if "error" in case:
                refused += 1
                if not isinstance(got, Exception):
                    failures.append(f"{path.name}: {case['name']}: was accepted")
            else:
                opened += 1
                if got != expected(case):
                    failures.append(f"{path.name}: {case['name']}: {got!r:.200}")
    if not opened or not refused:
        failures.append("no vectors were found")
    print(f"{opened} opened, {refused} refused, {len(failures)} failures")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
