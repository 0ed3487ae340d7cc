"""Encryption, data keys, random bytes, and what disables them."""

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from conftest import refused


def test_what_is_encrypted_decrypts(kms, key):
    for size in (1, 4096):
        sealed = kms.encrypt(KeyId=key, Plaintext=b"p" * size, EncryptionContext={"a": "1", "b": "2"})
        assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (key, "SYMMETRIC_DEFAULT")
        assert len(sealed["CiphertextBlob"]) <= 6144
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"b": "2", "a": "1"})
        assert (opened["Plaintext"], opened["KeyId"]) == (b"p" * size, key)
        assert opened["KeyMaterialId"] == kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], KeyId=key, EncryptionAlgorithm="SYMMETRIC_DEFAULT",
                    EncryptionContext={"b": "2", "a": "1"})
    assert sealed["CiphertextBlob"] != kms.encrypt(KeyId=key, Plaintext=b"p" * size)["CiphertextBlob"]


def test_whatever_is_wrong_with_a_ciphertext_is_the_same_error_without_a_text(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={"a": "1"})["CiphertextBlob"]
    wrong = [(blob, {}), (blob, {"a": "2"}), (blob, {"A": "1"}), (blob, {"a": "1", "b": "2"}), (blob[:-1], {"a": "1"}),
             (blob + b"x", {"a": "1"}), (b"x", {"a": "1"}), (b"x" * 6144, {"a": "1"})]
    wrong += [(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1:], {"a": "1"}) for at in (0, 1, 60, 90, len(blob) - 1)]
    for ciphertext, context in wrong:
        error = refused(kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=context)
        assert (error.status, error.code, error.message) == (400, "InvalidCiphertextException", "")


def test_another_key_than_the_one_in_the_blob_is_incorrect(kms, key):
    blob, other = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"], kms.create_key()["KeyMetadata"]["Arn"]
    error = refused(kms.decrypt, CiphertextBlob=blob, KeyId=other)
    assert (error.status, error.code, error.message) == (
        400, "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.")


@pytest.mark.parametrize("members,size", [(dict(KeySpec="AES_128"), 16), (dict(KeySpec="AES_256"), 32),
                                          (dict(NumberOfBytes=1), 1), (dict(NumberOfBytes=1024), 1024)])
def test_data_keys_have_the_length_that_was_asked_for(kms, key, members, size):
    made = kms.generate_data_key(KeyId=key, EncryptionContext={"a": "b"}, **members)
    assert len(made["Plaintext"]) == size and made["KeyId"] == key and len(made["KeyMaterialId"]) == 64
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == made["Plaintext"]
    without = kms.generate_data_key_without_plaintext(KeyId=key, **members)
    assert "Plaintext" not in without
    assert len(kms.decrypt(CiphertextBlob=without["CiphertextBlob"])["Plaintext"]) == size


def test_the_length_of_a_data_key_is_given_once(kms, key):
    for members in ({}, dict(KeySpec="AES_256", NumberOfBytes=32)):
        for call in (kms.generate_data_key, kms.generate_data_key_without_plaintext):
            error = refused(call, KeyId=key, **members)
            assert (error.code, error.message) == (
                "ValidationException", "Please specify either number of bytes or key spec.")


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1",
                                  "ECC_NIST_EDWARDS25519"])
def test_data_key_pairs_are_pairs(kms, key, spec):
    made = kms.generate_data_key_pair(KeyId=key, KeyPairSpec=spec, EncryptionContext={"a": "b"})
    private = load_der_private_key(made["PrivateKeyPlaintext"], None)
    assert private.public_key() == load_der_public_key(made["PublicKey"])
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]
    assert (made["KeyId"], made["KeyPairSpec"]) == (key, spec)
    without = kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec=spec)
    assert "PrivateKeyPlaintext" not in without and load_der_public_key(without["PublicKey"])


def test_re_encryption_moves_to_another_key(kms, key):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=other,
                           DestinationEncryptionContext={"b": "2"})
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, other)
    assert moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert moved["SourceKeyMaterialId"] != moved["DestinationKeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"p", other)
    assert refused(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other).code == "InvalidCiphertextException"
    assert refused(kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=other, DestinationKeyId=other,
                   SourceEncryptionContext={"a": "1"}).code == "IncorrectKeyException"


def test_random_bytes(kms):
    one, two = (kms.generate_random(NumberOfBytes=1024)["Plaintext"] for _ in range(2))
    assert len(one) == len(two) == 1024 and one != two
    error = refused(kms.generate_random)
    assert (error.code, error.message) == ("ValidationException", "NumberOfBytes is required.")
    assert refused(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId="c").code == "UnsupportedOperationException"


def test_a_dry_run_does_nothing_and_always_fails(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    text = "The request would have succeeded, but the DryRun option is set."
    for call, members in [
        (kms.encrypt, dict(KeyId=key, Plaintext=b"p")), (kms.decrypt, dict(CiphertextBlob=blob)),
        (kms.generate_data_key, dict(KeyId=key, KeySpec="AES_256")),
        (kms.generate_data_key_without_plaintext, dict(KeyId=key, KeySpec="AES_256")),
        (kms.generate_data_key_pair, dict(KeyId=key, KeyPairSpec="ECC_NIST_P256")),
        (kms.generate_data_key_pair_without_plaintext, dict(KeyId=key, KeyPairSpec="ECC_NIST_P256")),
        (kms.re_encrypt, dict(CiphertextBlob=blob, DestinationKeyId=key)),
    ]:
        error = refused(call, DryRun=True, **members)
        assert (error.status, error.code, error.message) == (400, "DryRunOperationException", text), call
    kms.disable_key(KeyId=key)
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"p", DryRun=True).code == "DisabledException"


def test_a_disabled_key_does_nothing_and_comes_back(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    for call, members in [
        (kms.encrypt, dict(KeyId=key, Plaintext=b"p")), (kms.decrypt, dict(CiphertextBlob=blob)),
        (kms.generate_data_key, dict(KeyId=key, KeySpec="AES_256")),
        (kms.re_encrypt, dict(CiphertextBlob=blob, DestinationKeyId=key)),
    ]:
        error = refused(call, **members)
        assert (error.code, error.message) == ("DisabledException", f"{key} is disabled."), call
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"


def test_the_last_use_is_known(kms, key):
    unused = kms.get_key_last_usage(KeyId=key)
    assert unused["KeyId"] == key and "TrackingStartDate" in unused and "KeyLastUsage" not in unused
    kms.encrypt(KeyId=key, Plaintext=b"p")
    used = kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]
    assert used["Operation"] == "Encrypt" and used["Timestamp"] >= unused["KeyCreationDate"]


def test_contexts_are_exact_unicode_and_bounded(kms, key):
    context = {"naive cafe \u00e9\u4e16\U0001f511": "\u00fc\u0000\"\\", "": "empty name"}
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext=context)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"p"
    empty = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=empty)["Plaintext"] == b"p"
    large = {"a": "v" * 9000}
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"p", EncryptionContext=large).code == "ValidationException"
