#!/usr/bin/env python3
"""A second reader of a whole Strongroom store, written from FORMAT.md alone: the sealed ring, snapshots and journal, rows,
key materials, inline and blob objects of every mode, and, where the journal is lost too, what the blobs alone tell.

For small stores: everything is in memory, and checksums are computed in Python.
Usage: store.py DATA (--key-file FILE | --passphrase-file FILE | --shares-file FILE | --escrow FILE --identity FILE)
                [--sse-c-key FILE ...] [--out DIR]
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import sys
import uuid
import zlib
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import escrow  # noqa: E402
import seals  # noqa: E402
from formats import (CRC32C, Fields, InvalidTag, Refused, be, crc, crc64, layers_of, material_id, need,  # noqa: E402
                     open_attribute, open_blob, open_frame, open_inner_header, open_material, open_name, open_ring, open_row,
                     open_shred, open_stream, parse_footer, parse_header, unwrap, verify_customer_key)

ROWS, JOURNAL, PEPPER, MANIFESTS, SNAPSHOT = 1, 2, 4, 5, 6
BUCKETS, VERSIONS, PARTS, INLINE = 3, 5, 8, 9
KMS_KEYS, KMS_ALIASES, KMS_MATERIALS, FOOTERS = 13, 14, 16, 255
# Tables and kinds of records, as section 16 lists them; what is interpreted here has one kind.
SPECIFICATION = (pathlib.Path(__file__).resolve().parents[2] / "FORMAT.md").read_text()
TABLES = {int(number) for number in re.findall(r"^\| (\d+) \| [A-Z_]+ \|", SPECIFICATION, re.M)}
ALL_KINDS = {int(kind, 16) for kind in re.findall(r"^\| 0x([0-9A-Fa-f]{2}) \|", SPECIFICATION, re.M)}
KINDS = {BUCKETS: {0x01}, VERSIONS: {0x03}, PARTS: {0x06}, KMS_KEYS: {0x14}, KMS_ALIASES: {0x17}, KMS_MATERIALS: {0x15, 0x16}}
HEADERS = ["Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
           "x-amz-website-redirect-location"]
BROKEN = (Refused, InvalidTag, ValueError, KeyError, IndexError, AssertionError, UnicodeDecodeError)


class Lost(Exception):
    """An object cannot be had; the outcome in one word, and what there is to say."""

    def __init__(self, outcome, why=""):
        super().__init__(why or outcome)
        self.outcome, self.why = outcome, why


# CBOR, as much as records use (RFC 8949)


def cbor(data):
    fields = Fields(data)
    value = cbor_item(fields)
    fields.finish()
    return value


def cbor_item(fields):
    first = fields.number(1)
    major, info = first >> 5, first & 31
    if major == 7:
        return {20: False, 21: True, 22: None}[info]
    need(info <= 27, "CBOR of no definite length")
    count = info if info < 24 else fields.number(1 << (info - 24))
    if major == 0:
        return count
    if major == 1:
        return -1 - count
    if major == 2:
        return fields.take(count)
    if major == 3:
        return fields.take(count).decode()
    if major == 4:
        return [cbor_item(fields) for _ in range(count)]
    need(major == 5, "CBOR tag")
    return {cbor_item(fields): cbor_item(fields) for _ in range(count)}


def record(data, kinds):
    need(data[0] in kinds and data[1] == 1, f"record of kind {data[0]:#x}")
    return cbor(data[2:])


# Sealed files: snapshots and journal


def zeros(data):
    return not data.strip(b"\0")


class SealedFile:
    """A journal file or snapshot: its header, verified, and its frames."""

    def __init__(self, path, magic, key):
        self.data, self.key = path.read_bytes(), key
        self.used = len(self.data.rstrip(b"\0"))
        self.blank = not self.used
        if self.blank:
            return
        header = Fields(self.data[:80])
        need(header.take(4) == magic and header.take(4) == b"\0\1\0\0", f"header of {path.name}")
        self.number, self.sequence, self.salt = header.number(8), header.number(8), header.take(32)
        need(header.take(4) == crc(CRC32C, 32, self.data[:56]) and zeros(header.take(4)), f"header of {path.name}")
        need(open_frame(header.take(16), key, self.salt, 0, self.data[:64]) == b"", f"tag of {path.name}")
        self.aad = magic + self.data[8:24]

    def frame_at(self, at, index=None):
        """The sealed payload of the frame at `at`, and its index, if it is whole by its checksums."""
        head = Fields(self.data[at:at + 16])
        if len(head.data) < 16:
            return None
        length, check, found = head.number(4), head.take(4), head.number(4)
        if head.take(4) != crc(CRC32C, 32, head.data[:12]) or not 16 <= length <= 64 << 20:
            return None
        sealed = self.data[at + 16:at + 16 + length]
        if len(sealed) < length or check != crc(CRC32C, 32, sealed):
            return None
        return (sealed, found) if index in (None, found) else None

    def frames(self, is_last):
        """Every payload. Of the last file, a frame that a crash cut short ends it (15, Journal, rules 1 to 4)."""
        at, index = 80, 1
        while at < self.used:
            frame = self.frame_at(at, index)
            if frame is None:
                need(is_last and self.is_torn(at, index), f"damage at {at}")
                return
            yield open_frame(frame[0], self.key, self.salt, index, self.aad)
            at, index = at + 16 + -(-len(frame[0]) // 16) * 16, index + 1

    def is_torn(self, at, index):
        later = (self.frame_header(place) for place in range(at + 16, self.used, 16))
        if any(found is not None and found > index for found in later):
            return False
        head = self.data[at:at + 16]
        end = at + 16 + min(int.from_bytes(head[:4]), 64 << 20)
        sectors = range(-(-at // 512) * 512, end - 511, 512)
        return zeros(head) or zeros(self.data[end - 1:end]) or any(zeros(self.data[s:s + 512]) for s in sectors)

    def frame_header(self, at):
        head = self.data[at:at + 16]
        return int.from_bytes(head[8:12]) if not zeros(head) and crc(CRC32C, 32, head[:12]) == head[12:] else None


@dataclass
class Rows:
    """The rows as snapshot and journal leave them, by (table, key): stored values, and the commits that wrote them."""

    stored: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    last: int = 0

    def scan(self, table):
        return sorted((key, value) for (own, key), value in self.stored.items() if own == table)


def read_rows(meta, services):
    """The rows, or None if there is neither snapshot nor journal."""
    rows = Rows()
    snapshots = sorted((meta / "snapshot").glob("*.srs"))
    journals = sorted((meta / "journal").glob("*.srj"), key=lambda path: int(path.stem))
    if not snapshots and not journals:
        return None
    if snapshots:
        snapshot = SealedFile(snapshots[-1], b"SRS1", services[SNAPSHOT])
        rows.last, count, last = snapshot.sequence, 0, None
        need(snapshots[-1].stem == f"{snapshot.sequence:020}" and snapshot.number == 0, "name of the snapshot")
        for payload in snapshot.frames(False):
            need(last is None, "a frame behind the last")
            fields = Fields(payload)
            number = fields.number(4)
            if number == 0:
                last = fields.number(8)
            for _ in range(number):
                path_length, version, length = fields.number(2), fields.number(8), fields.number(4)
                path = fields.take(path_length)
                rows.stored[path[0], path[1:]] = fields.take(length)
                rows.versions[path[0], path[1:]] = version
                count += 1
            fields.finish()
        need(last == count == len(rows.stored), "the snapshot is not whole")
    base = rows.last
    for path in journals:
        journal = SealedFile(path, b"SRJ1", services[JOURNAL])
        if journal.blank:
            need(path == journals[-1], "an empty journal file before the last")
            continue
        need(journal.number == int(path.stem), "number of the journal file")
        if path == journals[0]:
            need(journal.sequence <= base + 1, "the journal begins too late")
            expected = journal.sequence
        # A crash may bring back a file that was deleted because the snapshot replaces it.
        need(journal.sequence == expected or expected < journal.sequence <= base + 1, "a gap between journal files")
        expected = journal.sequence
        for payload in journal.frames(path == journals[-1]):
            fields = Fields(payload)
            first, count = fields.number(8), fields.number(4)
            need(first == expected, "a gap in the journal")
            for sequence in range(first, first + count):
                transaction(fields, rows if sequence > base else Rows(), sequence)
            fields.finish()
            expected = first + count
        rows.last = max(rows.last, expected - 1)
    need(not journals or expected - 1 >= base, "the journal ends before the snapshot")
    return rows


def transaction(fields, rows, sequence):
    for _ in range(fields.number(4)):
        what, table, key_length = fields.number(1), fields.number(1), fields.number(2)
        need(what in (1, 2), "write")
        length = fields.number(4) if what == 1 else 0
        key = fields.take(key_length)
        if what == 1:
            rows.stored[table, key] = fields.take(length)
            rows.versions[table, key] = sequence
        else:
            rows.stored.pop((table, key), None)


# Objects


@dataclass
class Found:
    """One version, or what is left of one."""

    bucket: str
    key: str | None
    version_id: str | None = None
    is_latest: bool = False
    outcome: str = "recovered"
    why: str = ""
    encryption: str | None = None
    body: bytes | None = None
    more: dict = field(default_factory=dict)

    def told(self):
        shown = {"bucket": self.bucket, "key": self.key, "version_id": self.version_id, "is_latest": self.is_latest,
                 "outcome": self.outcome, "encryption": self.encryption, **self.more}
        if self.why:
            shown["why"] = self.why
        if self.body is not None:
            shown |= {"sha256": hashlib.sha256(self.body).hexdigest(), "size_bytes": len(self.body)}
        return shown


def unescape(data):
    """The object key that `esc` wrote, and what is behind it."""
    key, at = b"", 0
    while True:
        if data[at] == 0:
            if data[at + 1] == 0:
                return key, data[at + 2:]
            need(data[at + 1] == 0xFF, "escape")
            at += 1
            key += b"\0"
        else:
            key += data[at:at + 1]
        at += 1


def version_id(uid, sequence):
    mixed = bytes(a ^ b for a, b in zip(be(sequence, 8), uid[:8]))
    return base64.b64encode(uid + mixed, altchars=b"._").decode()


def described(metadata, tags):
    """Headers, user metadata and tags of a record."""
    metadata = metadata or {}
    headers = {name: metadata[number] for number, name in enumerate(HEADERS) if metadata.get(number) is not None}
    texts = {name: value.decode() for name, value in metadata.get(7) or []}
    return {"headers": headers, "user_metadata": texts, "tags": {name: value.decode() for name, value in tags or []}}


MODES = {1: "AES256", 2: "aws:kms", 3: "SSE-C", 4: "aws:kms:dsse"}
SUMS = {1: lambda data: be(zlib.crc32(data), 4), 2: lambda data: crc(CRC32C, 32, data), 3: crc64,
        4: lambda data: hashlib.sha1(data).digest(), 5: lambda data: hashlib.sha256(data).digest()}


def unseal(stored, unseal_key=None, **given):
    """The unseal key of a ring, by what was given; an escrow gives the key itself."""
    return seals.unseal_key(stored, **given) if unseal_key is None else unseal_key


class Store:
    """An opened store."""

    def __init__(self, data, customer_keys=(), **given):
        self.data, self.customer_keys = pathlib.Path(data), customer_keys
        stored = self.newest_ring()
        self.ring = open_ring(stored, unseal(stored, **given))
        self.services = self.ring["services"]
        self.rows = read_rows(self.data / "meta", self.services)
        self.materials = {}
        self.claimed = set()

    def newest_ring(self):
        """The whole copy of the highest generation."""
        copies = []
        for name in ("ring.a", "ring.b"):
            path = self.data / "ring" / name
            stored = path.read_bytes() if path.exists() else b""
            if stored[:4] == b"SRR1" and crc64(stored[:-8]) == stored[-8:]:
                copies.append(stored)
        need(copies, "no copy of the ring is whole")
        return max(copies, key=lambda stored: stored[28:36])

    # Rows

    def get(self, table, key):
        """A record by its row, or None."""
        stored = self.rows and self.rows.stored.get((table, key))
        if stored is None:
            return None
        return record(open_row(stored, self.services[ROWS], table, key), KINDS.get(table, ALL_KINDS))

    def records(self, table):
        return ((key, self.get(table, key)) for key, _ in self.rows.scan(table))

    def check_rows(self):
        """Opens every row of every table: how many there are of each."""
        counts = {}
        for (table, key), _ in self.rows.stored.items():
            need(table in TABLES, f"table {table} is not in FORMAT.md")
            if table != INLINE:
                self.get(table, key)
            counts[table] = counts.get(table, 0) + 1
        return counts

    # Keys

    def material(self, key_id, ident):
        """ARN and bytes of a key material, by the ring and its shred file."""
        if (key_id, ident) not in self.materials:
            self.materials[key_id, ident] = self.open_material(key_id, ident)
        return self.materials[key_id, ident]

    def open_material(self, key_id, ident):
        row = self.get(KMS_MATERIALS, b"\1" + key_id + ident)
        if row is None:
            return None
        account, region = row[2], row[3]
        arn = f"arn:aws:kms:{region}:{account}:key/{uuid.UUID(bytes=key_id)}"
        key = self.get(KMS_KEYS, account.encode() + be(len(region), 1) + region.encode() + key_id)
        for copy in ("a", "b"):
            path = self.data / "shreds" / copy / row[1].hex()
            try:
                shred_key = open_shred(path.read_bytes(), self.ring, row[1])
                opened = open_material(row[0], self.ring, shred_key, arn, ident, key[0])
            except (OSError, *BROKEN):
                continue
            need(material_id(key_id, opened) == ident or key[0] != "SYMMETRIC_DEFAULT", "id of a material")
            return arn, opened
        return None

    def kms_key(self, wrapped, encryption):
        """The plaintext of the ciphertext blob in a record of mode 2."""
        blob = Fields(wrapped[7:]).take(int.from_bytes(wrapped[7:9]) + 2)[2:]
        found = self.material(blob[2:18], blob[18:50])
        if found is None:
            raise Lost("no-kms-key", f"the material of {encryption[1]} is not there")
        arn, material = found
        context = {name: value.decode() for name, value in encryption.get(2) or []} | {"aws:s3:arn": encryption[3]}
        return open_blob(blob, material, arn, context)

    def body_keys(self, wrapped, encryption, bucket, key, version):
        """Data key, and outer key or None. Without an object key, as recovery begins."""
        mode, outer = wrapped[1], None
        if mode == 4:
            wrapped, outer = layers_of(wrapped)
            outer, _ = unwrap(outer, bucket, key, version, (5,), ring=self.ring)
        if mode == 1:
            return unwrap(wrapped, bucket, key, version, (1,), ring=self.ring)[0], None
        if mode == 3:
            for customer_key in self.customer_keys:
                try:
                    return unwrap(wrapped, bucket, key, version, (3,), customer_key=customer_key)[0], None
                except BROKEN:
                    continue
            raise Lost("no-customer-key", "none of the customer keys given opens it")
        need(mode in (2, 4), "mode")
        kms_key = self.kms_key(wrapped, encryption)
        return unwrap(wrapped, bucket, key, version, (2,), kms_key=kms_key)[0], outer

    # Streams

    def blob(self, ident):
        self.claimed.add(ident)
        path = self.data / "blobs" / "blobs" / f"{ident[0]:02x}" / ident.hex()
        if not path.exists():
            raise Lost("missing", "its blob is not there")
        data = path.read_bytes()
        if data[:4] == b"SRB1":
            need(last_footer(data).get(0x81, ident) == ident, "the blob's name in its footer")
        return data

    def stored_stream(self, place, inline_key, size):
        """The stream at a place, without its footer."""
        variant, content = place
        if variant == 0:
            stored = self.rows.stored.get((INLINE, inline_key))
            if stored is None:
                raise Lost("missing", "its inline stream is not there")
            return stored
        return cut(self.blob(content[0]), size)

    def versions(self):
        """Every version that a row names."""
        buckets = {row[0]: name.decode() for name, row in self.records(BUCKETS)}
        before = None
        for row_key, row in self.records(VERSIONS):
            bucket, (key, rest) = row_key[:16], unescape(row_key[16:])
            sequence = ~int.from_bytes(rest) & (1 << 64) - 1
            found = Found(buckets[bucket], key.decode(), "null" if row[1] else version_id(row[0], sequence),
                          (bucket, key) != before)
            before = (bucket, key)
            found.more |= {"last_modified_millis": row[2], "owner": row[3], "is_delete_marker": row.get(4) is None}
            if row.get(4) is None:
                found.outcome = None
                yield found
                continue
            try:
                self.fill(found, row[0], row[4], bucket, key)
            except Lost as lost:
                found.outcome, found.why = lost.outcome, lost.why
            except BROKEN as error:
                found.outcome, found.why = "damaged", f"{error!r}"
            yield found

    def fill(self, found, version, row, bucket, key):
        wrapped, encryption = row[2][0], None
        found.encryption = MODES[wrapped[1]]
        if row[2].get(2) is not None:
            encryption = row[2][2]
            found.more |= {"kms_key_arn": encryption[1], "bucket_key": encryption[4]}
            need(encryption[0] == found.encryption, "mode and encryption record differ")
        found.more |= {"etag": row[1], **described(row[6], row.get(7))}
        keys = self.body_keys(wrapped, encryption, bucket, key, version)
        if found.encryption == "SSE-C":
            need(any(self.is_verified(row[2][1], it) for it in self.customer_keys), "customer key verifier")
        variant, (content,) = row[3]
        if variant == 0:
            stored = self.stored_stream(content, version, row[0])
            body = open_stream(stored, keys[0], bucket, key, version, None, keys[1])
            digests = None
        else:
            body, digests = self.parts(content, row[0], keys, bucket, key, version, row.get(4))
        need(len(body) == row[0], "size")
        if row.get(5) is not None:
            self.check_sum(row, body, digests, keys[0], bucket, key, version)
        found.body = body

    def is_verified(self, stored, customer_key):
        try:
            verify_customer_key(stored, customer_key, self.services[PEPPER])
            return True
        except Refused:
            return False

    def check_sum(self, row, body, digests, data_key, bucket, key, version):
        """The checksum that the client asked for, against the body that was read."""
        plain = open_attribute(row[5], data_key, b"\1" + bytes(20), bucket, key, version)
        value, count = plain[:-2], int.from_bytes(plain[-2:])
        algorithm, whole = row[4][0], row[4][1]
        if whole:
            need(value == SUMS[algorithm](body), "checksum of the object")
        else:
            need(count == len(digests) and value == SUMS[algorithm](b"".join(digests)), "checksum of the checksums")

    def parts(self, manifest, size, keys, bucket, key, version, kind):
        """The body of an object of parts, and its parts' checksums."""
        if manifest.get(1) is not None:
            stored = manifest[1]
        else:
            stored = self.blob(manifest[2])
            groups = -(-manifest[0] // 64)
            length = 56 + 10 * groups + 29 + manifest[0] * 51 + groups * 29
            if len(stored) == length + 8:
                # Since files say their names, the blob's id is in it.
                sums = [crc64(stored[:length] + manifest[2]), crc64(stored[:length])]
                need(stored[length:] in sums, "checksum of the part list")
                stored = stored[:length]
        preamble = b"SRM1" + bucket + version + manifest[3] + be(manifest[0], 4)
        need(stored[:56] == preamble, "preamble of the manifest")
        groups = -(-manifest[0] // 64)
        fields = Fields(stored[56:])
        head = Fields(open_row(fields.take(10 * groups + 29), self.services[MANIFESTS], 1, preamble + key))
        body, digests, seen = b"", [], 0
        for group in range(groups):
            end, first = head.number(8), head.number(2)
            count = min(64, manifest[0] - seen)
            sealed = fields.take(count * 51 + 29)
            entries = Fields(open_row(sealed, self.services[MANIFESTS], 2, preamble + be(group, 4) + key))
            for place in range(count):
                number, attempt, length, own_end = (entries.number(2), entries.take(16), entries.number(8), entries.number(8))
                where, blob = entries.number(1), entries.take(16)
                need(place or number == first, "first part of the group")
                place = [0, []] if where == 0 else [1, [blob]]
                stream = self.stored_stream(place, version + attempt, length)
                plain = open_stream(stream, keys[0], bucket, key, version, (number, attempt), keys[1])
                body += plain
                need(len(plain) == length and len(body) == own_end, "length of a part")
                if kind is not None:
                    digests.append(self.part_sum(kind, plain, number, attempt, keys[0], bucket, key, version))
                seen += 1
            need(len(body) == end, "end of the group")
        fields.finish()
        need(len(body) == size, "size")
        return body, digests

    def part_sum(self, kind, plain, number, attempt, data_key, bucket, key, version):
        """A part's checksum, compared with the one that its row keeps."""
        own = SUMS[kind[0]](plain)
        row = self.get(PARTS, version + be(number, 2))
        need(row[0] == attempt and row[1] == len(plain), "row of a part")
        if row.get(5) is not None:
            attribute = b"\2" + be(number, 4) + attempt
            kept = open_attribute(row[5], data_key, attribute, bucket, key, version)
            need(kept == own + b"\0\0", "checksum of a part")
        return own

    # Blobs that no row names

    def unreferenced(self):
        """What blobs tell that no version led to: uids from the header, data key from the footer, then the name."""
        found, versions = [], {}
        for path in sorted((self.data / "blobs" / "blobs").glob("??/*")):
            if bytes.fromhex(path.name) in self.claimed:
                continue
            data = path.read_bytes()
            if data[:4] == b"SRM1":
                continue
            try:
                bucket, version, told = self.look(data)
                versions.setdefault((bucket, version), []).append(told)
            except Lost as lost:
                found.append(Found(f"blob {path.name}", None, outcome=lost.outcome, why=lost.why, encryption=mode_of(data)))
            except BROKEN as error:
                found.append(Found(f"blob {path.name}", None, outcome="damaged", why=f"{error!r}"))
        for (bucket, version), streams in versions.items():
            streams.sort(key=lambda it: (it["part"] or (0,))[0] * (1 << 64) - it["record"][1])
            newest = {}
            for stream in streams:
                newest.setdefault((stream["part"] or (0,))[0], stream)
            first = streams[0]
            arn = (first["encryption"] or {}).get(3, "")
            name = arn.removeprefix("arn:aws:s3:::").split("/")[0] if arn else f"bucket-{bucket.hex()}"
            found.append(Found(name, first["key"].decode(), encryption=first["mode"],
                               outcome="unproven" if first["part"] else "recovered",
                               body=b"".join(newest[number]["body"] for number in sorted(newest)),
                               more=described(first["record"].get(5), first["record"].get(6))))
            if first["part"]:
                found[-1].why = "the list of its parts is lost"
        return found

    def look(self, data):
        header = parse_header(data, data[5])
        bucket, version = header["uids"]
        footer = last_footer(data)
        encryption = None
        if 3 in footer:
            opened = open_row(footer[3], self.services[ROWS], FOOTERS, bucket + version)
            encryption = record(opened, {0x0A})
        wrapped = footer[1]
        data_key, outer_key = self.body_keys(wrapped, encryption, bucket, None, version)
        inner = open_inner_header(header, outer_key)[0] if outer_key else header
        key = open_name(inner, data_key)
        # Once more, now that the name is known: it is bound to the key.
        data_key, outer_key = self.body_keys(wrapped, encryption, bucket, key, version)
        opened = open_attribute(footer[2], data_key, b"\3" + bytes(20), bucket, key, version)
        row = record(opened, {0x09})
        need(row[0] == key.decode(), "name in the footer")
        part = header["part"] if header["part"][0] else None
        body = open_stream(cut(data, row[3]), data_key, bucket, key, version, part, outer_key)
        return bucket, version, {"key": key, "part": part, "record": row, "body": body, "mode": MODES[wrapped[1]],
                                 "encryption": encryption}

    def key_service(self):
        """Keys of the key service: ARN, aliases, and whether each material opens."""
        aliases = {}
        for row_key, row in self.records(KMS_ALIASES):
            aliases.setdefault(row[0], []).append(row_key[13 + row_key[12]:].decode())
        told = []
        for row_key, row in self.records(KMS_KEYS):
            account, region = row_key[:12].decode(), row_key[13:13 + row_key[12]].decode()
            key_id = row_key[13 + row_key[12]:]
            arn = f"arn:aws:kms:{region}:{account}:key/{uuid.UUID(bytes=key_id)}"
            opens = {it[0].hex(): self.material(key_id, it[0]) is not None for it in row.get(12) or []}
            told.append({"arn": arn, "spec": row[0], "manager": row[3], "description": row[5], "policy": row[6],
                         "aliases": aliases.get(key_id, []), "materials": opens})
        return told

    def everything(self, unreferenced=False):
        """All objects, and a report."""
        report = {"ring": self.ring["id"].hex(), "generation": self.ring["generation"], "without_rows": self.rows is None}
        objects = []
        if self.rows is not None:
            report["rows"] = self.check_rows()
            report["buckets"] = [name.decode() for name, _ in self.records(BUCKETS)]
            report["kms_keys"] = self.key_service()
            objects = list(self.versions())
        if self.rows is None or unreferenced:
            objects += self.unreferenced()
        counts = {}
        for it in objects:
            if it.outcome is not None:
                own = counts.setdefault(it.encryption or "unknown", {})
                own[it.outcome] = own.get(it.outcome, 0) + 1
        report["versions"] = counts
        report["losses"] = [f"{it.bucket}/{it.key}: {it.outcome}: {it.why}" for it in objects
                            if it.outcome not in (None, "recovered")]
        return objects, report


def mode_of(data):
    """How a blob is encrypted, by its footer, which needs no key."""
    return MODES.get(last_footer(data)[1][1])


def cut(data, size):
    """The stream that a blob file starts with, of `size` bytes of plaintext."""
    header = parse_header(data, data[5])
    segments = max(1, -(-size // (1 << header["log2"])))
    length = len(header["bytes"]) + size + {1: 24, 2: 40}[header["suite"]] * segments
    need(length < len(data), "the stream is short")
    return data[:length]


def last_footer(data):
    """The fields of the footer at the last place where a footer ends."""
    end = len(data)
    while (at := data.rfind(b"SRBFOOT1", 0, end)) >= 0:
        try:
            return parse_footer(data[:at + 8])[0]
        except Refused:
            end = at + 7
    raise Refused("no footer")


def add_openers(parser):
    """The options of what opens a store and its objects, and of where they go."""
    for name in ("key-file", "passphrase-file", "shares-file", "escrow", "identity"):
        parser.add_argument(f"--{name}", type=pathlib.Path)
    parser.add_argument("--sse-c-key", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--unreferenced", action="store_true", help="also what no row names")
    parser.add_argument("--out", type=pathlib.Path, help="write bodies there, named by their SHA-256")


def given_openers(args):
    given = {}
    if args.key_file:
        given["key_file"] = args.key_file.read_text()
    if args.passphrase_file:
        given["passphrase"] = args.passphrase_file.read_text().splitlines()[0]
    if args.shares_file:
        given["shares"] = args.shares_file.read_text().split()
    if args.escrow:
        given["unseal_key"] = escrow.open_files(args.escrow, args.identity)["unseal_key"]
    return given


def report_objects(store, args, more):
    """Prints every object, and a report; the exit code."""
    objects, report = store.everything(args.unreferenced)
    if args.out:
        args.out.mkdir(mode=0o700, parents=True)
        for it in objects:
            if it.body is not None:
                (args.out / hashlib.sha256(it.body).hexdigest()).write_bytes(it.body)
    print(json.dumps({"objects": [it.told() for it in objects], "report": report, **more}, indent=1))
    return 5 if report["losses"] or report["without_rows"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    add_openers(parser)
    args = parser.parse_args()
    store = Store(args.data, [path.read_bytes() for path in args.sse_c_key], **given_openers(args))
    return report_objects(store, args, {})


if __name__ == "__main__":
    sys.exit(main())
