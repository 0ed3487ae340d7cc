"""Keys, aliases, policies and tags, with the texts that AWS answers."""

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from conftest import refused

ABSENT = "1234abcd-12ab-34cd-56ef-1234567890ab"


def arn_of(key, resource):
    return key.rsplit(":", 1)[0] + ":" + resource


def new_alias():
    return f"alias/e2e-{uuid.uuid4().hex}"


def test_a_key_is_what_was_asked_for(kms):
    made = kms.create_key(Description="what it is for", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    assert made["Arn"].endswith(f":key/{made['KeyId']}") and made["AWSAccountId"] in made["Arn"]
    assert uuid.UUID(made["KeyId"]).version == 4
    assert abs(made["CreationDate"] - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert len(made["CurrentKeyMaterialId"]) == 64
    expected = dict(Enabled=True, KeyState="Enabled", Description="what it is for", KeyUsage="ENCRYPT_DECRYPT",
                    Origin="AWS_KMS", KeyManager="CUSTOMER", KeySpec="SYMMETRIC_DEFAULT", MultiRegion=False,
                    CustomerMasterKeySpec="SYMMETRIC_DEFAULT", EncryptionAlgorithms=["SYMMETRIC_DEFAULT"])
    assert {name: made.get(name) for name in expected} == expected
    for name in ("SigningAlgorithms", "DeletionDate", "ValidTo", "ExpirationModel"):
        assert name not in made
    for named in (made["KeyId"], made["Arn"]):
        assert kms.describe_key(KeyId=named)["KeyMetadata"] == made


def test_the_old_name_of_the_spec_works_and_both_do_not(kms):
    made = kms.create_key(CustomerMasterKeySpec="SYMMETRIC_DEFAULT")["KeyMetadata"]
    assert made["KeySpec"] == "SYMMETRIC_DEFAULT"
    error = refused(kms.create_key, CustomerMasterKeySpec="SYMMETRIC_DEFAULT", KeySpec="SYMMETRIC_DEFAULT")
    assert (error.status, error.code) == (400, "ValidationException")
    assert error.message.startswith("You cannot specify KeySpec and CustomerMasterKeySpec in the same request.")


def test_specs_and_usages_must_fit(kms):
    error = refused(kms.create_key, KeySpec="RSA_2048")
    assert (error.code, error.message) == (
        "ValidationException",
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
    error = refused(kms.create_key, KeySpec="RSA_2048", KeyUsage="KEY_AGREEMENT")
    assert (error.code, error.message) == (
        "ValidationException", "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048")


def test_custom_key_stores_are_not_there(kms):
    for members in (dict(CustomKeyStoreId="cks-1"), dict(XksKeyId="x"), dict(Origin="AWS_CLOUDHSM"),
                    dict(Origin="EXTERNAL_KEY_STORE")):
        assert refused(kms.create_key, **members).code == "UnsupportedOperationException"


@pytest.mark.parametrize("call", ["describe_key", "enable_key", "disable_key", "schedule_key_deletion",
                                  "cancel_key_deletion", "get_key_policy", "list_resource_tags", "list_grants",
                                  "get_key_rotation_status", "list_key_policies"])
def test_ids_that_name_no_key_are_not_found(kms, key, call):
    error = refused(getattr(kms, call), KeyId="fake-key-id")
    assert (error.status, error.code, error.message) == (400, "NotFoundException", "Invalid keyId 'fake-key-id'")
    error = refused(getattr(kms, call), KeyId=ABSENT)
    absent = arn_of(key, f"key/{ABSENT}")
    assert (error.status, error.code, error.message) == (400, "NotFoundException", f"Key '{absent}' does not exist")


def test_an_absent_alias_is_not_found(kms, key):
    error = refused(kms.describe_key, KeyId="alias/nobody")
    assert (error.code, error.message) == ("NotFoundException", f"Alias {arn_of(key, 'alias/nobody')} is not found.")


def test_states_follow_the_table(kms, key):
    for _ in range(2):
        kms.disable_key(KeyId=key)
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (described["KeyState"], described["Enabled"]) == ("Disabled", False)
    error = refused(kms.encrypt, KeyId=key, Plaintext=b"x")
    assert (error.status, error.code, error.message) == (400, "DisabledException", f"{key} is disabled.")
    for _ in range(2):
        kms.enable_key(KeyId=key)
    kms.encrypt(KeyId=key, Plaintext=b"x")
    error = refused(kms.cancel_key_deletion, KeyId=key)
    assert (error.code, error.message) == ("KMSInvalidStateException", f"{key} is not pending deletion.")


def test_deletion_is_scheduled_and_cancelled(kms, key):
    scheduled = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert (scheduled["KeyId"], scheduled["KeyState"], scheduled["PendingWindowInDays"]) == (key, "PendingDeletion", 7)
    assert timedelta(days=6, hours=23) < scheduled["DeletionDate"] - datetime.now(timezone.utc) <= timedelta(days=7)
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (described["KeyState"], described["DeletionDate"]) == ("PendingDeletion", scheduled["DeletionDate"])
    for call in (kms.schedule_key_deletion, kms.enable_key, kms.disable_key):
        error = refused(call, KeyId=key)
        assert (error.code, error.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    error = refused(kms.encrypt, KeyId=key, Plaintext=b"x")
    assert (error.code, error.message) == ("KMSInvalidStateException", f"{key} is pending deletion.")
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == key
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert "DeletionDate" not in kms.describe_key(KeyId=key)["KeyMetadata"]


@pytest.mark.parametrize("days", [1, 6, 31, 365])
def test_the_waiting_period_is_seven_to_thirty_days(kms, key, days):
    assert refused(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=days).code == "ValidationException"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_descriptions_change(kms, key):
    kms.update_key_description(KeyId=key, Description="new")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "new"
    kms.update_key_description(KeyId=key, Description="")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == ""


def test_keys_are_listed_in_pages(kms):
    made = {kms.create_key()["KeyMetadata"]["Arn"] for _ in range(5)}
    found, marker, pages = [], {}, 0
    while True:
        page = kms.list_keys(Limit=2, **marker)
        assert len(page["Keys"]) <= 2 and page["Truncated"] == ("NextMarker" in page)
        found += [entry["KeyArn"] for entry in page["Keys"]]
        assert all(entry["KeyArn"].endswith(entry["KeyId"]) for entry in page["Keys"])
        pages += 1
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    assert made <= set(found) and pages >= 3
    assert len(found) == len(set(found))
    assert refused(kms.list_keys, Marker="made up").code == "InvalidMarkerException"
    assert refused(kms.list_keys, Limit=1001).code == "ValidationException"


def test_aliases_name_keys(kms, key):
    alias, other = new_alias(), kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == key
    assert kms.describe_key(KeyId=arn_of(key, alias))["KeyMetadata"]["Arn"] == key
    error = refused(kms.create_alias, AliasName=alias, TargetKeyId=key)
    assert (error.code, error.message) == (
        "AlreadyExistsException", f"An alias with the name {arn_of(key, alias)} already exists")
    blob = kms.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    assert kms.encrypt(KeyId=alias, Plaintext=b"x")["KeyId"] == other
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"] == key
    [listed] = kms.list_aliases(KeyId=other)["Aliases"]
    assert (listed["AliasName"], listed["AliasArn"]) == (alias, arn_of(key, alias))
    assert listed["TargetKeyId"] == other.split("/")[1] and listed["LastUpdatedDate"] >= listed["CreationDate"]
    assert kms.list_aliases(KeyId=key)["Aliases"] == []
    kms.delete_alias(AliasName=alias)
    assert refused(kms.describe_key, KeyId=alias).code == "NotFoundException"
    assert refused(kms.delete_alias, AliasName=alias).code == "NotFoundException"
    assert refused(kms.update_alias, AliasName=alias, TargetKeyId=key).code == "NotFoundException"


def test_aliases_are_listed_in_pages(kms, key):
    made = {new_alias() for _ in range(5)}
    for alias in made:
        kms.create_alias(AliasName=alias, TargetKeyId=key)
    pages = list(kms.get_paginator("list_aliases").paginate(KeyId=key, PaginationConfig={"PageSize": 2}))
    assert len(pages) == 3 and {a["AliasName"] for page in pages for a in page["Aliases"]} == made


def test_alias_names_have_rules(kms, key):
    error = refused(kms.create_alias, AliasName="no-prefix", TargetKeyId=key)
    assert (error.code, error.message) == (
        "ValidationException", 'Alias must start with the prefix "alias/". Please see '
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")
    for name in ("alias/aws/s3", "alias/aws/mine"):
        assert refused(kms.create_alias, AliasName=name, TargetKeyId=key).code in (
            "NotAuthorizedException", "AccessDeniedException")
    assert refused(kms.create_alias, AliasName="alias/a:b", TargetKeyId=key).code in (
        "ValidationException", "InvalidAliasNameException")
    assert refused(kms.create_alias, AliasName=new_alias(), TargetKeyId="alias/x").code in (
        "ValidationException", "InvalidArnException", "NotFoundException")


def test_the_key_of_s3_is_nobodys_to_change(kms):
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (managed["KeyManager"], managed["KeyState"]) == ("AWS", "Enabled")
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == managed
    aliases = {a["AliasName"]: a for a in kms.list_aliases(KeyId=managed["KeyId"])["Aliases"]}
    assert aliases["alias/aws/s3"]["TargetKeyId"] == managed["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=managed["KeyId"])["Policy"])
    assert "kms:ViaService" in json.dumps(policy)
    assert kms.get_key_rotation_status(KeyId=managed["KeyId"])["KeyRotationEnabled"] is True
    key = managed["Arn"]
    for call, members in [
        (kms.disable_key, {}), (kms.enable_key, {}), (kms.schedule_key_deletion, {}),
        (kms.put_key_policy, dict(Policy=json.dumps(policy))), (kms.enable_key_rotation, {}),
        (kms.disable_key_rotation, {}), (kms.rotate_key_on_demand, {}), (kms.update_key_description, dict(Description="x")),
        (kms.tag_resource, dict(Tags=[{"TagKey": "a", "TagValue": "b"}])), (kms.untag_resource, dict(TagKeys=["a"])),
        (kms.create_grant, dict(GranteePrincipal=key.replace(":kms:", ":iam:").split(":key/")[0] + ":root",
                                Operations=["Decrypt"])),
        (kms.encrypt, dict(Plaintext=b"x")), (kms.generate_data_key, dict(KeySpec="AES_256")),
    ]:
        assert refused(call, KeyId=key, **members).code == "AccessDeniedException", call


def test_policies_are_kept_as_written(kms, key):
    default = kms.get_key_policy(KeyId=key)
    assert default["PolicyName"] == "default"
    [statement] = json.loads(default["Policy"])["Statement"]
    assert statement["Action"] == "kms:*" and statement["Principal"]["AWS"].endswith(":root")
    text = json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": [statement]}, indent=3)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == text
    listed = kms.list_key_policies(KeyId=key)
    assert (listed["PolicyNames"], listed["Truncated"]) == (["default"], False)
    for policy in ("{", "[]", '{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'):
        assert refused(kms.put_key_policy, KeyId=key, Policy=policy).code == "MalformedPolicyDocumentException", policy
    assert refused(kms.create_key, Policy="{").code == "MalformedPolicyDocumentException"
    error = refused(kms.get_key_policy, KeyId=key, PolicyName="other")
    assert (error.code, error.message) == ("NotFoundException", "No such policy exists")
    assert kms.get_key_policy(KeyId=key)["Policy"] == text


def test_a_policy_that_locks_out_is_refused_unless_asked_for(kms, key):
    [statement] = json.loads(kms.get_key_policy(KeyId=key)["Policy"])["Statement"]
    locked = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Action": "kms:Describe*"}]})
    assert refused(kms.put_key_policy, KeyId=key, Policy=locked).code == "MalformedPolicyDocumentException"
    kms.put_key_policy(KeyId=key, Policy=locked, BypassPolicyLockoutSafetyCheck=True)


def test_tags_are_replaced_removed_and_listed_in_pages(kms, key):
    tags = [{"TagKey": f"k{n}", "TagValue": f"v{n}"} for n in range(5)]
    kms.tag_resource(KeyId=key, Tags=tags)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "k0", "TagValue": "new"}])
    kms.untag_resource(KeyId=key, TagKeys=["k4", "absent"])
    pages = list(kms.get_paginator("list_resource_tags").paginate(KeyId=key, PaginationConfig={"PageSize": 3}))
    assert len(pages) == 2
    found = {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}
    assert found == {"k0": "new", "k1": "v1", "k2": "v2", "k3": "v3"}


def test_tags_have_rules(kms, key):
    tag = {"TagKey": "a", "TagValue": "b"}
    for tags, text in [([tag, tag], "Duplicate tag keys"),
                       ([{"TagKey": "AWS:x", "TagValue": "b"}], "Tags beginning with aws: are reserved"),
                       ([{"TagKey": f"k{n}", "TagValue": ""} for n in range(51)], "Too many tags")]:
        for call, members in ((kms.create_key, {}), (kms.tag_resource, dict(KeyId=key))):
            error = refused(call, Tags=tags, **members)
            assert (error.code, error.message) == ("TagException", text)


def test_everything_survives_a_restart(make_server):
    from conftest import Clients
    from kmsraw import checked
    server = make_server()
    kms = checked(Clients(server.access()).boto(service="kms"))
    key = kms.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    kms.create_alias(AliasName="alias/kept", TargetKeyId=key["KeyId"])
    blob = kms.encrypt(KeyId="alias/kept", Plaintext=b"secret")["CiphertextBlob"]
    server.kill()
    server.start()
    kms = checked(Clients(server.access()).boto(service="kms"))
    assert kms.describe_key(KeyId="alias/kept")["KeyMetadata"] == key
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
