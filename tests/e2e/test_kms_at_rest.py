"""Nothing of a KMS-encrypted object or of a key is found at rest, and no stored piece opens in another's place."""

import base64
import os
import secrets

import pytest

from conftest import Clients, files, new_bucket
from test_at_rest import hits, salted
from test_s3_multipart import PART, Upload
from test_tamper import SIZE, Store, flip, overwrite, swapped

MODES = {
    "managed": {"ServerSideEncryption": "aws:kms"},
    "customer": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/at-rest"},
    "bucket-key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/at-rest", "BucketKeyEnabled": True},
    "dsse": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "alias/at-rest"},
}


def with_key(server):
    clients = Clients(server.access())
    s3, kms = clients.boto(), clients.boto(service="kms")
    key = kms.create_key(Description="at rest")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/at-rest", TargetKeyId=key)
    return s3, kms, key


def test_no_body_name_data_key_or_key_material_is_found_at_rest(make_server):
    server = make_server()
    s3, kms, key = with_key(server)
    bucket = new_bucket(s3)
    canaries = {}

    def canary(what):
        canaries[what] = secrets.token_bytes(32)
        return canaries[what]

    names = {}
    for mode, sent in MODES.items():
        for size in (32, 65536, 2_000_000):
            name = f"{secrets.token_urlsafe(24)}"
            names[f"{mode} name {size}"] = name.encode()
            s3.put_object(Bucket=bucket, Key=name, Body=salted(size, canary(f"{mode} {size}")), **sent)
            s3.get_object(Bucket=bucket, Key=name)["Body"].read()
        upload = Upload(s3, bucket, f"parts-{mode}", **sent)
        upload.part(1, salted(PART, canary(f"{mode} part 1")))
        upload.part(2, salted(1000, canary(f"{mode} part 2")))
        upload.complete()
    # What the key service gave out or was given must not stay with it.
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    canaries["data key"] = data_key["Plaintext"]
    assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    sealed = kms.encrypt(KeyId=key, Plaintext=canary("encrypted"))["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=sealed)
    canaries["random"] = kms.generate_random(NumberOfBytes=32)["Plaintext"]
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    canaries["private key"] = pair["PrivateKeyPlaintext"][36:68]
    material = canary("imported material")
    external = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    ask = kms.get_parameters_for_import(KeyId=external, WrappingAlgorithm="RSAES_OAEP_SHA_256",
                                        WrappingKeySpec="RSA_2048")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = serialization.load_der_public_key(ask["PublicKey"]).encrypt(material, oaep)
    kms.import_key_material(KeyId=external, ImportToken=ask["ImportToken"], EncryptedKeyMaterial=wrapped,
                            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    blob = kms.encrypt(KeyId=external, Plaintext=canary("under imported"))["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)

    def search():
        return hits([server.home], canaries, skip={server.key_file}) + hits([server.data], names)

    assert server.log.stat().st_size > 0
    assert search() == [], "while running"
    server.restart()
    assert search() == [], "after a restart"
    server.kill()
    server.start()
    assert search() == [], "after a kill"
    kms = Clients(server.access()).boto(service="kms")
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == canaries["encrypted"]


@pytest.fixture
def store(make_server):
    store = Store(make_server())
    kms = Clients(store.access).boto(service="kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/at-rest", TargetKeyId=key)
    return store


def put(store, key, mode, size=SIZE):
    sent = MODES[mode]
    store.put(key, size, lambda body: store.s3.put_object(Bucket=store.bucket, Key=key, Body=body, **sent))


@pytest.mark.parametrize("mode", MODES)
def test_damage_is_an_error_and_never_wrong_bytes(store, mode):
    put(store, "k", mode)
    store.check("k", damaged=False)
    whole = store.blobs["k"].read_bytes()
    for at in (0, 4, 5, 20, 70, 200, 400, 5000, SIZE // 2, SIZE - 10):
        overwrite(store.blobs["k"], flip(whole, at))
        store.check("k", damaged=True)
        overwrite(store.blobs["k"], whole)
    store.check("k", damaged=False)


@pytest.mark.parametrize("mode", MODES)
def test_bodies_and_their_keys_do_not_change_places(store, mode):
    put(store, "one", mode)
    put(store, "two", mode)
    swapped(store, "one", "two")


def test_a_body_of_one_layer_does_not_stand_for_one_of_two(store):
    put(store, "one", "customer")
    put(store, "two", "dsse")
    one, two = store.blobs["one"].read_bytes(), store.blobs["two"].read_bytes()
    store.blobs["two"].write_bytes(one)
    store.check("two")
    store.blobs["two"].write_bytes(two)
    store.check("two", damaged=False)


def test_ciphertexts_open_under_their_key_and_context_only(make_server):
    server = make_server(trace=False)
    _, kms, key = with_key(server)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x" * 100, EncryptionContext={"a": "1"})["CiphertextBlob"]
    raw = Clients(server.access()).boto(service="kms")

    def code(**more):
        try:
            raw.decrypt(**more)
            return None
        except raw.exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    assert code(CiphertextBlob=sealed, EncryptionContext={"a": "1"}) is None
    for context in ({}, {"a": "2"}, {"A": "1"}, {"a": "1", "b": ""}):
        assert code(CiphertextBlob=sealed, EncryptionContext=context) == "InvalidCiphertextException"
    assert code(CiphertextBlob=sealed, EncryptionContext={"a": "1"}, KeyId=other) == "IncorrectKeyException"
    # Every byte counts; a changed key id may also name a key that does not exist.
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert code(CiphertextBlob=bytes(changed), EncryptionContext={"a": "1"}) in (
            "InvalidCiphertextException", "NotFoundException", "AccessDeniedException"), at
    # Two ciphertexts of one key do not mix.
    again = kms.encrypt(KeyId=key, Plaintext=b"x" * 100, EncryptionContext={"a": "1"})["CiphertextBlob"]
    for cut in (60, 82, 114, 150):
        assert code(CiphertextBlob=sealed[:cut] + again[cut:], EncryptionContext={"a": "1"}) == \
            "InvalidCiphertextException"


def test_key_material_files_do_not_change_places(make_server):
    """Shred files of two keys exchanged, or one taken away: no key opens, none opens under the other's."""
    server = make_server(trace=False)
    s3, kms, key = with_key(server)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = {k: kms.encrypt(KeyId=k, Plaintext=base64.b64encode(k.encode()))["CiphertextBlob"] for k in (key, other)}
    server.stop()
    shreds = [p for p in files(server.data) if "shred" in str(p.relative_to(server.data))]
    assert len(shreds) >= 4 and len(shreds) % 2 == 0, shreds
    by_name = {}
    for path in shreds:
        by_name.setdefault(path.name, []).append(path)
    assert all(len(copies) == 2 for copies in by_name.values())
    (first, second), before = list(by_name.values())[:2], {p: p.read_bytes() for p in shreds}
    for one, two in zip(first, second):
        one.write_bytes(before[two])
        two.write_bytes(before[one])
    server.start()
    kms = Clients(server.access()).boto(service="kms")
    for blob in sealed.values():
        with pytest.raises(kms.exceptions.ClientError):
            kms.decrypt(CiphertextBlob=blob)
    server.stop()
    # One copy of each is enough, and is made two again.
    for path, content in before.items():
        path.write_bytes(content)
    for copies in by_name.values():
        os.unlink(copies[0])
    server.start()
    kms = Clients(server.access()).boto(service="kms")
    for key_id, blob in sealed.items():
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == base64.b64encode(key_id.encode())
