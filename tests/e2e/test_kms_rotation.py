"""Rotation by itself and on demand."""

from datetime import datetime, timedelta, timezone

import pytest

from conftest import refused


def test_rotation_is_switched_on_and_off(kms, key):
    off = kms.get_key_rotation_status(KeyId=key)
    assert (off["KeyId"], off["KeyRotationEnabled"]) == (key, False)
    assert "RotationPeriodInDays" not in off and "NextRotationDate" not in off
    for days in (None, 90, 2560):
        kms.enable_key_rotation(KeyId=key, **({"RotationPeriodInDays": days} if days else {}))
        on = kms.get_key_rotation_status(KeyId=key)
        assert (on["KeyRotationEnabled"], on["RotationPeriodInDays"]) == (True, days or 365)
        left = on["NextRotationDate"] - datetime.now(timezone.utc)
        assert abs(left - timedelta(days=days or 365)) < timedelta(hours=1)
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


@pytest.mark.parametrize("days,text", [(89, "greater than or equal to 90"), (2561, "less than or equal to 2560")])
def test_the_period_is_bounded(kms_raw, key, days, text):
    error = kms_raw.send("EnableKeyRotation", {"KeyId": key, "RotationPeriodInDays": days})
    assert error.code == "ValidationException"
    assert error.message == (f"1 validation error detected: Value '{days}' at 'rotationPeriodInDays' failed to satisfy "
                             f"constraint: Member must have value {text}")


def test_old_ciphertexts_open_after_every_rotation(kms, key):
    blobs = [kms.encrypt(KeyId=key, Plaintext=b"0")["CiphertextBlob"]]
    materials = [kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]]
    for number in (1, 2, 3):
        assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == key
        blobs.append(kms.encrypt(KeyId=key, Plaintext=str(number).encode())["CiphertextBlob"])
        materials.append(kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"])
    assert len(set(materials)) == 4
    for number, (blob, material) in enumerate(zip(blobs, materials)):
        opened = kms.decrypt(CiphertextBlob=blob)
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (str(number).encode(), material)
    pages = list(kms.get_paginator("list_key_rotations").paginate(KeyId=key, PaginationConfig={"PageSize": 2}))
    rotations = [entry for page in pages for entry in page["Rotations"]]
    assert len(pages) == 2 and [entry["RotationType"] for entry in rotations] == ["ON_DEMAND"] * 3
    assert {entry["KeyMaterialId"] for entry in rotations} == set(materials[1:])
    assert all(entry["KeyId"] == key and entry["RotationDate"] for entry in rotations)
    everything = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert {entry["KeyMaterialId"] for entry in everything} == set(materials)
    states = {entry["KeyMaterialId"]: entry["KeyMaterialState"] for entry in everything}
    assert states[materials[-1]] == "CURRENT" and {states[m] for m in materials[:-1]} == {"NON_CURRENT"}
    [first] = [entry for entry in everything if entry["KeyMaterialId"] == materials[0]]
    assert "RotationDate" not in first and "RotationType" not in first


def test_rotations_on_demand_are_counted(kms, key):
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)
    error = refused(kms.rotate_key_on_demand, KeyId=key)
    assert (error.status, error.code, error.message) == (
        400, "LimitExceededException", "The on-demand rotations limit has been reached for the given keyId. No more "
        f"on-demand rotations can be performed for this key: {key}")


def test_rotation_needs_a_usable_symmetric_key(kms, key):
    kms.disable_key(KeyId=key)
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand):
        error = refused(call, KeyId=key)
        assert (error.code, error.message) == ("DisabledException", f"{key} is disabled.")
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand,
                 kms.get_key_rotation_status):
        assert refused(call, KeyId=mac).code == "UnsupportedOperationException"
    assert refused(kms.rotate_key_on_demand, KeyId=mac).message == ""
    external = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    error = refused(kms.enable_key_rotation, KeyId=external)
    assert (error.code, error.message) == (
        "UnsupportedOperationException", f"{external} origin is EXTERNAL which is not valid for this operation.")


def test_a_key_that_waits_for_its_deletion_does_not_rotate(kms, key):
    kms.enable_key_rotation(KeyId=key)
    kms.schedule_key_deletion(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    error = refused(kms.rotate_key_on_demand, KeyId=key)
    assert (error.code, error.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    kms.cancel_key_deletion(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
