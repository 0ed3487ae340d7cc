"""Imported key material."""

import os
from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from conftest import refused

HASHES = {"RSAES_OAEP_SHA_1": hashes.SHA1, "RSAES_OAEP_SHA_256": hashes.SHA256,
          "RSA_AES_KEY_WRAP_SHA_1": hashes.SHA1, "RSA_AES_KEY_WRAP_SHA_256": hashes.SHA256}


def wrapped(public, algorithm, material):
    key, hash_of = load_der_public_key(public), HASHES[algorithm]
    oaep = padding.OAEP(padding.MGF1(hash_of()), hash_of(), None)
    if algorithm.startswith("RSAES"):
        return key.encrypt(material, oaep)
    inner = os.urandom(32)
    return key.encrypt(inner, oaep) + aes_key_wrap_with_padding(inner, material)


def bring(kms, key, material, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048", **members):
    got = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
    assert got["KeyId"] == key
    left = got["ParametersValidTo"] - datetime.now(timezone.utc)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    members = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **members}
    return kms.import_key_material(KeyId=key, ImportToken=got["ImportToken"],
                                   EncryptedKeyMaterial=wrapped(got["PublicKey"], algorithm, material), **members)


@pytest.fixture
def external(kms):
    made = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    assert (made["KeyState"], made["Enabled"], made["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert "CurrentKeyMaterialId" not in made
    return made["Arn"]


@pytest.mark.parametrize("algorithm,spec", [("RSAES_OAEP_SHA_1", "RSA_2048"), ("RSAES_OAEP_SHA_256", "RSA_3072"),
                                            ("RSA_AES_KEY_WRAP_SHA_1", "RSA_2048"),
                                            ("RSA_AES_KEY_WRAP_SHA_256", "RSA_4096")])
def test_material_comes_in_under_every_wrapping(kms, external, algorithm, spec):
    error = refused(kms.encrypt, KeyId=external, Plaintext=b"x")
    assert (error.code, error.message) == ("KMSInvalidStateException", f"{external} is pending import.")
    done = bring(kms, external, os.urandom(32), algorithm, spec)
    assert done["KeyId"] == external
    described = kms.describe_key(KeyId=external)["KeyMetadata"]
    assert (described["KeyState"], described["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert described["CurrentKeyMaterialId"] == done["KeyMaterialId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_deleted_material_comes_back_only_as_it_was_and_only_in_its_key(kms, external):
    material = os.urandom(32)
    bring(kms, external, material)
    blob = kms.encrypt(KeyId=external, Plaintext=b"x")["CiphertextBlob"]
    assert kms.delete_imported_key_material(KeyId=external)["KeyId"] == external
    assert kms.describe_key(KeyId=external)["KeyMetadata"]["KeyState"] == "PendingImport"
    assert refused(kms.decrypt, CiphertextBlob=blob).code == "KMSInvalidStateException"
    with_other = refused(bring, kms, external, os.urandom(32))
    assert with_other.code == "IncorrectKeyMaterialException"
    bring(kms, external, material)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    other = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    bring(kms, other, material)
    assert refused(kms.decrypt, CiphertextBlob=blob, KeyId=other).code == "IncorrectKeyException"


def test_the_expiry_is_asked_for_and_bounded(kms, external):
    soon = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
    error = refused(bring, kms, external, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES")
    assert (error.code, error.message) == (
        "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
    for members in (dict(ValidTo=soon), dict(ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon - timedelta(days=60)),
                    dict(ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon + timedelta(days=400))):
        assert refused(bring, kms, external, os.urandom(32), **members).code == "ValidationException", members
    bring(kms, external, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon)
    described = kms.describe_key(KeyId=external)["KeyMetadata"]
    assert (described["ExpirationModel"], described["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", soon)


def test_tokens_belong_to_their_key(kms, external):
    other = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    got = kms.get_parameters_for_import(KeyId=external, WrappingAlgorithm="RSAES_OAEP_SHA_256",
                                        WrappingKeySpec="RSA_2048")
    good = wrapped(got["PublicKey"], "RSAES_OAEP_SHA_256", os.urandom(32))
    rest = dict(ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    for key, token in ((other, got["ImportToken"]), (external, got["ImportToken"][:-1]), (external, b"made up")):
        error = refused(kms.import_key_material, KeyId=key, ImportToken=token, EncryptedKeyMaterial=good, **rest)
        assert error.code == "InvalidImportTokenException"
    error = refused(kms.import_key_material, KeyId=external, ImportToken=got["ImportToken"],
                    EncryptedKeyMaterial=good[:-1] + bytes([good[-1] ^ 1]), **rest)
    assert error.code == "InvalidCiphertextException"
    kms.import_key_material(KeyId=external, ImportToken=got["ImportToken"], EncryptedKeyMaterial=good, **rest)


def test_a_key_holds_several_materials_one_at_work(kms, external):
    first, second = os.urandom(32), os.urandom(32)
    one = bring(kms, external, first)["KeyMaterialId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"1")["CiphertextBlob"]
    error = refused(kms.rotate_key_on_demand, KeyId=external)
    assert (error.code, error.message) == (
        "KMSInvalidStateException", f"No available key material pending rotation for the key: {external}.")
    two = bring(kms, external, second, ImportType="NEW_KEY_MATERIAL", KeyMaterialDescription="the second")
    assert refused(bring, kms, external, os.urandom(32), ImportType="NEW_KEY_MATERIAL").code == "KMSInvalidStateException"
    listed = kms.list_key_rotations(KeyId=external, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    states = {entry["KeyMaterialId"]: entry for entry in listed}
    assert states[one]["KeyMaterialState"] == "CURRENT" and states[one]["ImportState"] == "IMPORTED"
    pending = states[two["KeyMaterialId"]]
    assert (pending["KeyMaterialState"], pending["KeyMaterialDescription"]) == ("PENDING_ROTATION", "the second")
    kms.rotate_key_on_demand(KeyId=external)
    assert kms.describe_key(KeyId=external)["KeyMetadata"]["CurrentKeyMaterialId"] == two["KeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == one


def test_keys_of_our_own_material_take_none(kms, key):
    for call, members in [
        (kms.get_parameters_for_import, dict(WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")),
        (kms.import_key_material, dict(ImportToken=b"x", EncryptedKeyMaterial=b"x",
                                       ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")),
        (kms.delete_imported_key_material, {}),
    ]:
        error = refused(call, KeyId=key, **members)
        assert (error.status, error.code, error.message) == (
            400, "UnsupportedOperationException", f"{key} origin is AWS_KMS which is not valid for this operation.")
