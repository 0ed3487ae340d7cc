"""Grants: made, found, retired, revoked."""

import pytest

from conftest import refused


@pytest.fixture
def root(key):
    account = key.split(":")[4]
    return f"arn:aws:iam::{account}:root"


def test_grants_are_listed_as_they_were_made(kms, key, root):
    made = kms.create_grant(KeyId=key, GranteePrincipal=root, RetiringPrincipal=root, Operations=["Decrypt", "Encrypt"],
                            Constraints={"EncryptionContextSubset": {"a": "1"}}, Name="mine")
    assert len(made["GrantId"]) == 64 and 0 < len(made["GrantToken"]) <= 8192
    [grant] = kms.list_grants(KeyId=key)["Grants"]
    assert grant.pop("CreationDate")
    assert set(grant.pop("Operations")) == {"Decrypt", "Encrypt"}
    assert grant == {"KeyId": key, "GrantId": made["GrantId"], "Name": "mine", "GranteePrincipal": root,
                     "RetiringPrincipal": root, "IssuingAccount": root,
                     "Constraints": {"EncryptionContextSubset": {"a": "1"}}}
    again = kms.create_grant(KeyId=key, GranteePrincipal=root, RetiringPrincipal=root,
                             Operations=["Decrypt", "Encrypt"], Name="mine",
                             Constraints={"EncryptionContextSubset": {"a": "1"}})
    assert again["GrantId"] == made["GrantId"] and again["GrantToken"] != made["GrantToken"]
    retirable = kms.list_retirable_grants(RetiringPrincipal=root)
    assert made["GrantId"] in {entry["GrantId"] for entry in retirable["Grants"]}


def test_grants_without_a_name_are_new_each_time_and_come_in_pages(kms, key, root):
    made = {kms.create_grant(KeyId=key, GranteePrincipal=root, Operations=["Decrypt"])["GrantId"] for _ in range(5)}
    assert len(made) == 5
    pages = list(kms.get_paginator("list_grants").paginate(KeyId=key, PaginationConfig={"PageSize": 2}))
    assert len(pages) == 3 and {grant["GrantId"] for page in pages for grant in page["Grants"]} == made
    one = made.pop()
    [only] = kms.list_grants(KeyId=key, GrantId=one)["Grants"]
    assert only["GrantId"] == one
    assert kms.list_grants(KeyId=key, GranteePrincipal=root.replace("root", "user/nobody"))["Grants"] == []


def test_principals_that_are_not_there_get_nothing(kms, key, root):
    error = refused(kms.create_grant, KeyId=key, GranteePrincipal=root.replace("root", "user/nobody"),
                    Operations=["Decrypt"])
    assert (error.status, error.code) == (400, "InvalidArnException")


def test_grants_are_revoked_and_retired(kms, key, root):
    grants = [kms.create_grant(KeyId=key, GranteePrincipal=root, RetiringPrincipal=root, Operations=["Decrypt"])
              for _ in range(3)]
    kms.revoke_grant(KeyId=key, GrantId=grants[0]["GrantId"])
    kms.retire_grant(GrantToken=grants[1]["GrantToken"])
    kms.retire_grant(KeyId=key, GrantId=grants[2]["GrantId"])
    assert kms.list_grants(KeyId=key)["Grants"] == []
    error = refused(kms.revoke_grant, KeyId=key, GrantId=grants[0]["GrantId"])
    assert (error.status, error.code) == (400, "NotFoundException")
    assert refused(kms.retire_grant, GrantToken="made up").code == "InvalidGrantTokenException"


def test_dry_runs_of_grants_change_nothing(kms, key, root):
    assert refused(kms.create_grant, KeyId=key, GranteePrincipal=root, Operations=["Decrypt"],
                   DryRun=True).code == "DryRunOperationException"
    made = kms.create_grant(KeyId=key, GranteePrincipal=root, Operations=["Decrypt"])
    assert refused(kms.revoke_grant, KeyId=key, GrantId=made["GrantId"], DryRun=True).code == "DryRunOperationException"
    assert len(kms.list_grants(KeyId=key)["Grants"]) == 1


def test_operations_of_a_grant_are_checked(kms, key, root):
    error = refused(kms.create_grant, KeyId=key, GranteePrincipal=root, Operations=["Decrypt", "Fly"])
    assert error.code == "ValidationException"
    assert "at 'operations' failed to satisfy constraint" in error.message and "[Decrypt, Fly]" in error.message
    assert refused(kms.create_grant, KeyId=key, GranteePrincipal=root, Operations=["Sign"]).code in (
        "ValidationException", "ValidationError")


def test_grant_tokens_are_taken_with_a_request(kms, key, root):
    token = kms.create_grant(KeyId=key, GranteePrincipal=root, Operations=["Encrypt"])["GrantToken"]
    kms.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=[token])
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=["made up"]).code == "InvalidGrantTokenException"
