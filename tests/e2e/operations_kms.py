"""The operations of the key service; see operations.py."""

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from callers import allow, document, fresh, told
from stage import CONTEXT, Op, plain


def key_of(stage, args):
    return args.get("KeyId") or args.get("TargetKeyId") or stage.key


def kms_state(stage, args):
    kms, key = stage.kms, key_of(stage, args)
    keys = [k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
            for k in page["Keys"]]
    aliases = [(a["AliasName"], a.get("TargetKeyId"))
               for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 100})
               for a in page["Aliases"]]
    calls = [kms.describe_key, kms.get_key_policy, kms.list_grants, kms.list_resource_tags, kms.get_key_rotation_status]
    return keys, aliases, [plain(told(lambda: call(KeyId=key))) for call in calls]


def on_key(call, by="key", **more):
    """On the stage's symmetric key."""
    def prepare(stage):
        return {"KeyId": stage.key, **{k: v(stage) if callable(v) else v for k, v in more.items()}}
    return call, prepare, by


def changed_key(*calls, **members):
    """A key of its own that root's `calls` brought into the state that the operation expects."""
    def prepare(stage):
        key = stage.account.key(**members)
        for call, arguments in calls:
            getattr(stage.kms, call)(KeyId=key, **arguments)
        return {"KeyId": key}
    return prepare


def plus(prepare, **more):
    return lambda stage: {**prepare(stage), **more}


def k_reads(call, prepare, by="key", **more):
    return Op(call, prepare, by, **more)


def k_writes(call, prepare, by="key", **more):
    return Op(call, prepare, by, state=kms_state, **more)


def the_key(**more):
    return lambda stage: {"KeyId": stage.key, **more}


def blob(stage):
    return stage.kms.encrypt(KeyId=stage.key, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]


def alias(stage):
    name = f"alias/{fresh('a-')}"
    stage.kms.create_alias(AliasName=name, TargetKeyId=stage.key)
    return name


def grant(stage):
    root = f"arn:aws:iam::{stage.account.id}:root"
    return stage.kms.create_grant(KeyId=stage.key, GranteePrincipal=root, Operations=["Decrypt"])["GrantId"]


def a_grant(stage):
    return {"KeyId": stage.key, "GrantId": grant(stage)}


def signature(stage):
    return stage.kms.sign(KeyId=stage.signing, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")["Signature"]


def mac(stage):
    return stage.kms.generate_mac(KeyId=stage.mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]


def external(stage):
    return {"KeyId": stage.account.key(Origin="EXTERNAL")}


def material(stage):
    key = external(stage)["KeyId"]
    got = stage.kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256",
                                              WrappingKeySpec="RSA_2048")
    padded = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = load_der_public_key(got["PublicKey"]).encrypt(os.urandom(32), padded)
    return {"KeyId": key, "ImportToken": got["ImportToken"], "EncryptedKeyMaterial": wrapped,
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def imported(stage):
    stage.kms.import_key_material(**(members := material(stage)))
    return {"KeyId": members["KeyId"]}


def own_policy(stage):
    statement = {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{stage.account.id}:root"}}
    return {"KeyId": stage.key, "PolicyName": "default", "Policy": document(statement)}


def re_encryption(stage):
    return {"CiphertextBlob": blob(stage), "SourceKeyId": stage.key, "SourceEncryptionContext": CONTEXT,
            "DestinationKeyId": stage.key}


PAIR = {"KeyPairSpec": "ECC_NIST_P256"}
DATA_KEY = {"KeySpec": "AES_256"}
WRAP = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
KMS = {
    "CreateKey": k_writes("create_key", lambda s: {}, None),
    "CreateKey with tags": k_writes("create_key", lambda s: {"Tags": [{"TagKey": "k", "TagValue": "v"}]}, None),
    "DescribeKey": k_reads("describe_key", the_key(), grant=("DescribeKey",)),
    "ListKeys": k_reads("list_keys", lambda s: {}, None),
    "EnableKey": k_writes("enable_key", changed_key(("disable_key", {}))),
    "DisableKey": k_writes("disable_key", changed_key()),
    "UpdateKeyDescription": k_writes("update_key_description", the_key(Description="changed")),
    "ScheduleKeyDeletion": k_writes("schedule_key_deletion", plus(changed_key(), PendingWindowInDays=7)),
    "CancelKeyDeletion": k_writes("cancel_key_deletion",
                                  changed_key(("schedule_key_deletion", {"PendingWindowInDays": 7}))),
    "GetKeyLastUsage": k_reads("get_key_last_usage", the_key()),
    "CreateAlias": k_writes("create_alias", lambda s: {"AliasName": f"alias/{fresh('a-')}", "TargetKeyId": s.key},
                            alone=False),
    "UpdateAlias": k_writes("update_alias", lambda s: {"AliasName": alias(s), "TargetKeyId": s.key}, alone=False),
    "DeleteAlias": k_writes("delete_alias", lambda s: {"AliasName": alias(s)}, alone=False),
    "ListAliases": k_reads("list_aliases", lambda s: {}, None),
    "ListAliases of a key": k_reads("list_aliases", the_key(), alone=False),
    # The same: a policy that takes the caller's own right away is refused by the lockout check.
    "PutKeyPolicy": k_writes("put_key_policy", own_policy, fine=("MalformedPolicyDocumentException",)),
    "GetKeyPolicy": k_reads("get_key_policy", the_key(PolicyName="default")),
    "ListKeyPolicies": k_reads("list_key_policies", the_key()),
    "TagResource": k_writes("tag_resource", the_key(Tags=[{"TagKey": "k", "TagValue": "v"}])),
    "UntagResource": k_writes("untag_resource", the_key(TagKeys=["k"])),
    "ListResourceTags": k_reads("list_resource_tags", the_key()),
    "Encrypt": k_reads("encrypt", the_key(Plaintext=b"x"), grant=("Encrypt",)),
    "Decrypt": k_reads("decrypt", lambda s: {"KeyId": s.key, "CiphertextBlob": blob(s), "EncryptionContext": CONTEXT},
                       grant=("Decrypt",)),
    "Decrypt without a key id": k_reads(
        "decrypt", lambda s: {"CiphertextBlob": blob(s), "EncryptionContext": CONTEXT}, grant=("Decrypt",)),
    "ReEncrypt": k_reads("re_encrypt", re_encryption, grant=("ReEncryptFrom", "ReEncryptTo")),
    "GenerateDataKey": k_reads("generate_data_key", the_key(**DATA_KEY), grant=("GenerateDataKey",)),
    "GenerateDataKeyWithoutPlaintext": k_reads("generate_data_key_without_plaintext", the_key(**DATA_KEY),
                                               grant=("GenerateDataKeyWithoutPlaintext",)),
    "GenerateDataKeyPair": k_reads("generate_data_key_pair", the_key(**PAIR), grant=("GenerateDataKeyPair",)),
    "GenerateDataKeyPairWithoutPlaintext": k_reads("generate_data_key_pair_without_plaintext", the_key(**PAIR),
                                                   grant=("GenerateDataKeyPairWithoutPlaintext",)),
    "GenerateRandom": k_reads("generate_random", lambda s: {"NumberOfBytes": 8}, None),
    "Sign": k_reads("sign", lambda s: {"KeyId": s.signing, "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"},
                    grant=("Sign",)),
    "Verify": k_reads("verify", lambda s: {"KeyId": s.signing, "Message": b"m", "Signature": signature(s),
                                           "SigningAlgorithm": "ECDSA_SHA_256"}, grant=("Verify",)),
    "GetPublicKey": k_reads("get_public_key", lambda s: {"KeyId": s.signing}, grant=("GetPublicKey",)),
    "GenerateMac": k_reads("generate_mac", lambda s: {"KeyId": s.mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"},
                           grant=("GenerateMac",)),
    "VerifyMac": k_reads("verify_mac", lambda s: {"KeyId": s.mac, "Message": b"m", "Mac": mac(s),
                                                  "MacAlgorithm": "HMAC_SHA_256"}, grant=("VerifyMac",)),
    "DeriveSharedSecret": k_reads("derive_shared_secret", lambda s: {
        "KeyId": s.agreeing, "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": s.kms.get_public_key(KeyId=s.agreeing)["PublicKey"]}, grant=("DeriveSharedSecret",)),
    "EnableKeyRotation": k_writes("enable_key_rotation", changed_key()),
    "DisableKeyRotation": k_writes("disable_key_rotation", changed_key(("enable_key_rotation", {}))),
    "GetKeyRotationStatus": k_reads("get_key_rotation_status", the_key()),
    "RotateKeyOnDemand": k_writes("rotate_key_on_demand", changed_key()),
    "ListKeyRotations": k_reads("list_key_rotations", the_key()),
    "GetParametersForImport": k_reads("get_parameters_for_import", lambda s: {**external(s), **WRAP}),
    "ImportKeyMaterial": k_writes("import_key_material", material),
    "DeleteImportedKeyMaterial": k_writes("delete_imported_key_material", imported),
    "CreateGrant": k_writes("create_grant", lambda s: {
        "KeyId": s.key, "GranteePrincipal": f"arn:aws:iam::{s.account.id}:root", "Operations": ["Decrypt"]},
        grant=("CreateGrant", "Decrypt")),
    "ListGrants": k_reads("list_grants", the_key()),
    "ListRetirableGrants": k_reads("list_retirable_grants",
                                   lambda s: {"RetiringPrincipal": f"arn:aws:iam::{s.account.id}:root"}, None),
    # A key policy can deny it, not allow it.
    "RetireGrant": k_writes("retire_grant", a_grant, alone=False),
    "RevokeGrant": k_writes("revoke_grant", a_grant),
}
# Operations that nobody may do, because this server does not have them.
UNSUPPORTED = {
    "ReplicateKey": ("replicate_key", {"KeyId": "0" * 8, "ReplicaRegion": "eu-west-1"}),
    "UpdatePrimaryRegion": ("update_primary_region", {"KeyId": "0" * 8, "PrimaryRegion": "eu-west-1"}),
    "CreateCustomKeyStore": ("create_custom_key_store", {"CustomKeyStoreName": "n"}),
    "DescribeCustomKeyStores": ("describe_custom_key_stores", {}),
    "UpdateCustomKeyStore": ("update_custom_key_store", {"CustomKeyStoreId": "n"}),
    "DeleteCustomKeyStore": ("delete_custom_key_store", {"CustomKeyStoreId": "n"}),
    "ConnectCustomKeyStore": ("connect_custom_key_store", {"CustomKeyStoreId": "n"}),
    "DisconnectCustomKeyStore": ("disconnect_custom_key_store", {"CustomKeyStoreId": "n"}),
}
