"""`strongroom inspect` shows how an object is encrypted, and never a key."""

import base64
import json
import os
import subprocess

import pytest

from conftest import Clients, binary, clean_env
from terminal import Terminal

PART = 5 << 20
KEY = bytes(range(100, 132))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}


def inspect(server, target, *more, code=0):
    done = subprocess.run([binary(), "inspect", target, "--data", str(server.data), "--key-file", str(server.key_file), *more],
                          env=clean_env(server.home), capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if code == 0 and "--json" in more else done.stdout + done.stderr


@pytest.fixture
def store(make_server):
    server = make_server()
    access = server.access()
    server.s3, server.kms = Clients(access).boto("https"), Clients(access).boto(service="kms")
    server.s3.create_bucket(Bucket="box")
    server.s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    server.key = server.kms.create_key()["KeyMetadata"]["Arn"]
    return server


def test_every_mode_is_shown_as_it_is(store):
    context = base64.b64encode(b'{"team":"blue"}').decode()
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": store.key, "SSEKMSEncryptionContext": context}
    dsse = {**kms, "ServerSideEncryption": "aws:kms:dsse"}
    table = {
        # mode: arguments, mode that is shown, kinds of what wraps, bucket key
        "s3": ({}, "AES256", ["root-key"], False),
        "kms": (kms, "aws:kms", ["kms-key"], False),
        "bucket-key": ({**kms, "BucketKeyEnabled": True}, "aws:kms", ["kms-key"], True),
        "dsse": (dsse, "aws:kms:dsse", ["kms-key", "root-key"], False),
        "sse-c": (SSE_C, "SSE-C", ["customer-key"], False),
    }
    material = store.kms.list_key_rotations(KeyId=store.key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"][0]["KeyMaterialId"]
    secrets = [KEY.hex(), base64.b64encode(KEY).decode()]

    def check():
        for size, place in ((100, None), (200_000, "blobs/blobs/")):
            for name, (mode, shown, kinds, bucket_key) in table.items():
                target = f"s3://box/{name}/{size}"
                found = inspect(store, target, "--json")
                encryption, body = found["encryption"], found["body"]
                assert encryption["mode"] == shown and encryption["bucket_key"] == bucket_key
                layers = [layer["wrapped_by"] for layer in encryption["layers"]]
                assert [layer["kind"] for layer in layers] == kinds
                assert len({layer["library"] for layer in encryption["layers"]}) == len(kinds)
                if "kms-key" in kinds:
                    assert layers[0]["key_arn"] == store.key and layers[0]["state"] == "Enabled"
                    assert layers[0]["key_material_id"] == material
                    arn = "arn:aws:s3:::box" if bucket_key else f"arn:aws:s3:::box/{name}/{size}"
                    assert encryption["encryption_context"] == {"team": "blue", "aws:s3:arn": arn}
                else:
                    assert encryption["encryption_context"] == {}
                if "root-key" in kinds:
                    assert layers[-1]["version"] == 1 and layers[-1]["is_active"] and len(layers[-1]["ring_id"]) == 32
                assert body["size_bytes"] == size and body["checksum"] == "SHA256" and body["checksum_type"] == "FULL_OBJECT"
                [stream] = body["streams"]
                overhead = 40 if name == "dsse" else 24
                assert stream["segments"] == -(-size // 65536) and stream["segment_bytes"] == 65536
                assert stream["stored_bytes"] > size + overhead * stream["segments"]
                assert (stream.get("file") or "").startswith(place or "") and ("file" in stream) == (place is not None)
                assert found["is_latest"] and not found["is_delete_marker"]
                text = inspect(store, target)
                for word in (shown, f"{size} bytes", "SHA256", found["version_id"]):
                    assert word in text, (word, text)
                for secret in secrets:
                    assert secret not in text and secret not in json.dumps(found)

    for size in (100, 200_000):
        for name, (mode, *_) in table.items():
            store.s3.put_object(Bucket="box", Key=f"{name}/{size}", Body=os.urandom(size), ChecksumAlgorithm="SHA256", **mode)
    check()
    store.stop()
    check()


def test_no_bytes_of_a_wrapped_key_or_a_body_are_shown(store):
    marker = os.urandom(32)
    store.s3.put_object(Bucket="box", Key="k", Body=marker * 3000)
    found = inspect(store, "s3://box/k", "--json")
    blob = (store.data / found["body"]["streams"][0]["file"]).read_bytes()
    shown = json.dumps(found) + inspect(store, "s3://box/k")
    assert marker.hex() not in shown
    footer = blob[-int.from_bytes(blob[-16:-12], "big"):]
    for at in range(len(footer) - 16):
        piece = footer[at:at + 16]
        if piece.hex() in shown:
            # The ring's id alone is in clear, in the wrapped key too, and the file's own name.
            layer, stream = found["encryption"]["layers"][0], found["body"]["streams"][0]
            assert piece.hex() in layer["wrapped_by"]["ring_id"] or stream["file"].endswith(piece.hex())


def test_parts_versions_markers_and_what_is_not_there(store):
    upload = store.s3.create_multipart_upload(Bucket="box", Key="parts")["UploadId"]
    parts = [{"PartNumber": n, "ETag": store.s3.upload_part(Bucket="box", Key="parts", UploadId=upload, PartNumber=n,
                                                            Body=os.urandom(size))["ETag"]}
             for n, size in ((1, PART), (3, 70_000))]
    store.s3.complete_multipart_upload(Bucket="box", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    body = inspect(store, "s3://box/parts", "--json")["body"]
    assert body["parts"] == 2 and [stream["part"] for stream in body["streams"]] == [1, 3]
    assert [stream["segments"] for stream in body["streams"]] == [80, 2]
    first = store.s3.put_object(Bucket="box", Key="k", Body=b"one")["VersionId"]
    subprocess.run([binary(), "root-key", "rotate", "--wait", "--data", str(store.data)], env=clean_env(store.home), check=True,
                   capture_output=True, timeout=60)
    second = store.s3.put_object(Bucket="box", Key="k", Body=b"second")["VersionId"]
    marker = store.s3.delete_object(Bucket="box", Key="k")["VersionId"]
    assert inspect(store, "s3://box/k", "--json")["is_delete_marker"]
    assert "delete marker" in inspect(store, "s3://box/k", "--version-id", marker)
    for version, size in ((first, 3), (second, 6)):
        found = inspect(store, "s3://box/k", "--version-id", version, "--json")
        assert found["body"]["size_bytes"] == size and not found["is_latest"]
        assert found["encryption"]["layers"][0]["wrapped_by"]["version"] == 2
    assert "no bucket" in inspect(store, "s3://none/k", code=1)
    assert "no object" in inspect(store, "s3://box/none", code=1)
    assert "no such version" in inspect(store, "s3://box/k", "--version-id", "null", code=1)
    store.kms.disable_key(KeyId=store.key)
    store.stop()
    assert "no object" in inspect(store, "s3://box/none", code=1)


def test_at_a_terminal(store):
    store.s3.put_object(Bucket="box", Key="a\x1b[31mred", Body=b"x")
    program = Terminal([binary(), "inspect", "s3://box/a\x1b[31mred", "--data", store.data], env=clean_env(store.home))
    program.expect("mode").expect("AES256").expect("root key version 1, the active one").expect("among the rows")
    assert program.end() == 0 and "\x1b[31m" not in program.shown
