"""Nothing secret at rest: canaries of everything a client sends are searched in every file the server writes."""

import base64
import os
import secrets

import pytest

from conftest import Clients, files, new_bucket
from s3raw import md5_b64
from test_s3_multipart import PART, Upload

SEGMENT = 65536


def forms(canary):
    """The bytes themselves, hex in both cases, base64 in both alphabets at all three alignments."""
    found = {canary, canary.hex().encode(), canary.hex().upper().encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + canary)
        inner = coded[4 if shift else 0:len(coded) // 4 * 4 - 4]  # Only the characters that the canary alone decides.
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def hits(roots, canaries, skip=()):
    """(file, what) for each canary found in any form."""
    wanted = [(name, form) for name, canary in canaries.items() for form in forms(canary)]
    found = []
    for root in roots:
        for path in files(root) if root.is_dir() else [root]:
            if path not in skip:
                data = path.read_bytes()
                found += [(path.name, name) for name, form in wanted if form in data]
    return found


def salted(size, canary):
    """Random bytes with the canary at the start, across each kind of segment border, and at the end."""
    data = bytearray(os.urandom(size))
    for at in (0, SEGMENT - 16, SEGMENT, 2 * SEGMENT - 1, 2 * SEGMENT - 31, size // 2, size - 32):
        if 0 <= at <= size - 32:
            data[at:at + 32] = canary
    return bytes(data)


@pytest.fixture
def session(make_server):
    """A server at trace level and what was told to it."""
    server = make_server()
    access = server.access()
    canaries = {"root secret": access.secret.encode()}
    def canary(what):
        canaries[what] = secrets.token_bytes(32)
        return canaries[what]
    def text(what):
        canaries[what] = secrets.token_urlsafe(24).encode()
        return canaries[what].decode()
    s3, tls = Clients(access).boto(), Clients(access).boto("https")
    bucket = new_bucket(s3)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    key = canary("sse-c key")
    canaries["sse-c key md5"] = md5_b64(key).encode()
    trio = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    for size in (32, 1000, SEGMENT, 3 * SEGMENT + 5, 2_000_000):
        for client, name in ((s3, "plain"), (tls, "customer")):
            more = trio if name == "customer" else {"ServerSideEncryption": "AES256"}
            body = salted(size, canary(f"{name} body {size}"))
            client.put_object(Bucket=bucket, Key=f"{name}-{size}", Body=body, Tagging=f"t={text(f'{name} tag {size}')}",
                              Metadata={"m": text(f"{name} metadata {size}")},
                              ContentDisposition=text(f"{name} disposition {size}"), **more)
            client.get_object(Bucket=bucket, Key=f"{name}-{size}", **(trio if more is trio else {}))["Body"].read()
            assert client.head_object(Bucket=bucket, Key=f"{name}-{size}", **(trio if more is trio else {}))
    s3.put_object(Bucket=bucket, Key="plain-1000", Body=salted(1000, canary("overwrite")))
    s3.delete_object(Bucket=bucket, Key="plain-32")
    other = canary("second sse-c key")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/customer-2000000", CopySourceSSECustomerKey=key,
                   CopySourceSSECustomerAlgorithm="AES256", SSECustomerAlgorithm="AES256", SSECustomerKey=other)
    s3.copy_object(Bucket=bucket, Key="opened", CopySource=f"{bucket}/customer-1000", CopySourceSSECustomerKey=key,
                   CopySourceSSECustomerAlgorithm="AES256")
    for more in ({}, trio):
        upload = Upload(s3, bucket, "parts" + "c" * bool(more), Metadata={"m": text(f"upload metadata {len(more)}")},
                        **more)
        for number, size in ((1, PART), (2, 100_000)):
            upload.part(number, salted(size, canary(f"part {number} {len(more)}")), **more)
        upload.complete(**more)
        unfinished = Upload(s3, bucket, "unfinished", **more)
        unfinished.part(1, salted(100_000, canary(f"unfinished part {len(more)}")), **more)
    s3.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": text("tag key"), "Value": "v"}]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "k", "Value": text("bucket tag")}]})
    raw = Clients(access).raw()
    wrong = canary("refused sse-c key")
    raw.send("GET", f"/{bucket}/copy", headers={
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": base64.b64encode(wrong).decode(),
        "x-amz-server-side-encryption-customer-key-MD5": md5_b64(wrong)})
    return server, canaries, bucket, s3


def test_no_plaintext_metadata_tag_or_key_is_found_at_rest(session):
    server, canaries, bucket, s3 = session
    assert server.log.exists() and server.log.stat().st_size > 0, "there is no trace log to search"
    def search():
        return hits([server.home], canaries, skip={server.key_file})
    assert search() == [], "while running"
    server.restart()
    assert search() == [], "after a graceful restart"
    server.kill()
    server.start()
    assert search() == [], "after a kill"
    access = server.access()
    found = Clients(access).boto().get_object(Bucket=bucket, Key="plain-2000000")["Body"].read()
    assert canaries["plain body 2000000"] in found, "the search looked for something else than what was stored"


def test_the_search_itself_finds_each_form(tmp_path):
    """A search that cannot fail proves nothing."""
    canary = secrets.token_bytes(32)
    for i, form in enumerate([canary, canary.hex().encode(), canary.hex().upper().encode(), base64.b64encode(canary),
                              base64.urlsafe_b64encode(b"x" + canary), base64.b64encode(b"xx" + canary + b"yy")]):
        path = tmp_path / str(i)
        path.write_bytes(os.urandom(100) + form + os.urandom(100))
        assert hits([path], {"it": canary}), i


def test_the_sealed_ring_and_the_key_file_are_apart(session):
    server, *_ = session
    seal = server.key_file.read_bytes()
    pieces = {f"seal {i}": seal[i:i + 16] for i in range(0, len(seal) - 15, 16)}
    found = []
    for path in files(server.data) | {server.log, server.output}:
        data = path.read_bytes()
        found += [(path.name, name) for name, piece in pieces.items() if len(set(piece)) > 8 and piece in data]
    assert found == []


def test_object_names_are_not_found_at_rest(make_server):
    server = make_server(trace=False)
    s3 = Clients(server.access()).boto()
    bucket = new_bucket(s3)
    names = [secrets.token_urlsafe(24) for _ in range(4)]
    s3.put_object(Bucket=bucket, Key=names[0], Body=b"small")
    s3.put_object(Bucket=bucket, Key=f"dir/{names[1]}", Body=os.urandom(2_000_000))
    Upload(s3, bucket, names[2]).part(1, b"x")
    s3.put_object(Bucket=bucket, Key=names[3], Body=b"x")
    s3.delete_object(Bucket=bucket, Key=names[3])
    server.stop()
    assert hits([server.data], {name: name.encode() for name in names}) == []
    assert not [p for p in files(server.data) for name in names if name in str(p)]
