"""Accounts that the operator makes: apart from each other, and together where both sides say so."""

import json
import subprocess

import pytest
from botocore.config import Config

from conftest import Clients, binary, boto_client, clean_env, common_server, new_bucket, refused
from test_iam import AWS, trust


@pytest.fixture(scope="module")
def server(request):
    with common_server(request, "accounts") as server:
        yield server


def strongroom(server, *words, code=0):
    done = subprocess.run([binary(), *words, "--data", str(server.data), "--key-file", str(server.key_file)],
                          env=clean_env(server.home), capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def create(server, name):
    made = json.loads(strongroom(server, "account", "create", name, "--json"))
    assert made["Account"]["Name"] == name and len(made["Account"]["Id"]) == 12
    return made


def client(server, key, service):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto_client(service, key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken"),
                       region_name="us-east-1", endpoint_url=server.endpoint["http"], config=config)


def primary(server, service):
    return Clients(server.access()).boto(service=service)


def test_an_account_is_made_listed_disabled_and_enabled(server):
    made = create(server, "one")
    id, sts = made["Account"]["Id"], client(server, made, "sts")
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{id}:root"
    listed = json.loads(strongroom(server, "account", "list", "--json"))["Accounts"]
    assert {"primary", "one"} <= {it["Name"] for it in listed}
    assert made["SecretAccessKey"] not in strongroom(server, "account", "list")
    assert "already exists" in strongroom(server, "account", "create", "one", code=1)
    iam = client(server, made, "iam")
    iam.create_user(UserName="u")
    iam.attach_user_policy(UserName="u", PolicyArn=AWS + "AdministratorAccess")
    user = iam.create_access_key(UserName="u")["AccessKey"]
    session = client(server, user, "sts").get_session_token()["Credentials"]
    keys = [made, user, session]
    for key in keys:
        client(server, key, "s3").list_buckets()
    strongroom(server, "account", "disable", id)
    for key in keys:
        assert refused(client(server, key, "s3").list_buckets).code == "InvalidAccessKeyId"
    strongroom(server, "account", "enable", id)
    for key in keys:
        client(server, key, "s3").list_buckets()
    own = primary(server, "sts").get_caller_identity()["Account"]
    assert "cannot be disabled" in strongroom(server, "account", "disable", own, code=1)
    assert "no account" in strongroom(server, "account", "disable", "999999999999", code=1)


def test_the_root_user_sees_its_keys_and_the_operator_replaces_them(server):
    made = create(server, "rotated")
    iam = client(server, made, "iam")
    assert [k["AccessKeyId"] for k in iam.list_access_keys()["AccessKeyMetadata"]] == [made["AccessKeyId"]]
    out = strongroom(server, "credentials", "rotate", "--account", made["Account"]["Id"])
    assert refused(iam.list_users).code == "InvalidClientTokenId"
    new = dict(line.strip().split("=", 1) for line in out.splitlines() if "=" in line)
    new = {"AccessKeyId": new["AWS_ACCESS_KEY_ID"], "SecretAccessKey": new["AWS_SECRET_ACCESS_KEY"]}
    shown = client(server, new, "iam").list_access_keys()["AccessKeyMetadata"]
    assert [(k["AccessKeyId"], k["Status"]) for k in shown] == [(new["AccessKeyId"], "Active")]
    # The account of the server: its root user sees the key of `strongroom env`, which the operator alone replaces,
    # with those that were made with it.
    access = server.access()
    iam = primary(server, "iam")
    assert [k["AccessKeyId"] for k in iam.list_access_keys()["AccessKeyMetadata"]] == [access.access]
    assert iam.get_access_key_last_used(AccessKeyId=access.access)["AccessKeyLastUsed"]["ServiceName"]
    assert refused(iam.delete_access_key, AccessKeyId=access.access).code == "InvalidInput"
    more = iam.create_access_key()["AccessKey"]
    assert refused(iam.create_access_key).code == "LimitExceeded"
    client(server, more, "s3").list_buckets()
    strongroom(server, "credentials", "rotate")
    assert refused(client(server, more, "s3").list_buckets).code == "InvalidAccessKeyId"
    assert refused(iam.list_users).code == "InvalidClientTokenId"
    primary(server, "iam").list_users()


def test_accounts_are_kept_and_made_also_while_no_server_runs(make_server):
    server = make_server()
    made = create(server, "before")
    server.stop()
    off_line = create(server, "while")
    listed = json.loads(strongroom(server, "account", "list", "--json"))["Accounts"]
    assert sorted(it["Name"] for it in listed) == ["before", "primary", "while"]
    server.start()
    for key in (made, off_line):
        account = client(server, key, "sts").get_caller_identity()["Account"]
        assert account == key["Account"]["Id"]


def test_nothing_of_another_account_is_there_without_its_consent(server):
    one, two = create(server, "left"), create(server, "right")
    s3 = client(server, one, "s3")
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    key = client(server, one, "kms").create_key()["KeyMetadata"]["Arn"]
    other_s3, other_kms = client(server, two, "s3"), client(server, two, "kms")
    assert refused(other_s3.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert bucket not in [b["Name"] for b in other_s3.list_buckets()["Buckets"]]
    error = refused(other_kms.encrypt, KeyId=key, Plaintext=b"x")
    missing = refused(other_kms.encrypt, KeyId=key[:-4] + "0000", Plaintext=b"x")
    assert error.code == missing.code == "AccessDeniedException"
    # Neither by its text nor by an encoded message does an answer tell that the key is there.
    assert error.message.replace(key, "") == missing.message.replace(key[:-4] + "0000", "")
    assert "x-strongroom-authorization-message" not in {**error.headers, **missing.headers}


def test_a_key_is_used_across_accounts_when_both_sides_allow_it(server):
    one, two = create(server, "owner"), create(server, "user")
    owner, other = one["Account"]["Id"], two["Account"]["Id"]
    kms = client(server, one, "kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{owner}:root"}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other}:root"},
         "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}]}
    iam = client(server, two, "iam")
    iam.create_user(UserName="carol")
    carol = client(server, iam.create_access_key(UserName="carol")["AccessKey"], "kms")
    iam.put_user_policy(UserName="carol", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": key}}))
    assert refused(carol.encrypt, KeyId=key, Plaintext=b"x").code == "AccessDeniedException"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    sealed = carol.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert carol.decrypt(KeyId=key, CiphertextBlob=sealed)["Plaintext"] == b"x"
    assert refused(carol.generate_data_key, KeyId=key, KeySpec="AES_256").code == "AccessDeniedException"
    iam.delete_user_policy(UserName="carol", PolicyName="p")
    assert refused(carol.decrypt, KeyId=key, CiphertextBlob=sealed).code == "AccessDeniedException"


def test_a_role_is_assumed_across_accounts_when_both_sides_allow_it(server):
    one, two = create(server, "roles"), create(server, "people")
    owner, other = one["Account"]["Id"], two["Account"]["Id"]
    s3 = client(server, one, "s3")
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    roles = client(server, one, "iam")
    role = roles.create_role(RoleName="reader", AssumeRolePolicyDocument=trust(owner))["Role"]["Arn"]
    roles.attach_role_policy(RoleName="reader", PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    people = client(server, two, "iam")
    people.create_user(UserName="dave")
    dave = client(server, people.create_access_key(UserName="dave")["AccessKey"], "sts")
    assume = {"RoleArn": role, "RoleSessionName": "visit"}
    people.put_user_policy(UserName="dave", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}}))
    assert refused(dave.assume_role, **assume).code == "AccessDenied"
    roles.update_assume_role_policy(RoleName="reader", PolicyDocument=trust(other))
    session = dave.assume_role(**assume)["Credentials"]
    assert client(server, session, "s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    people.delete_user_policy(UserName="dave", PolicyName="p")
    assert refused(dave.assume_role, **assume).code == "AccessDenied"
