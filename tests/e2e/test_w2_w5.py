"""W2 to W5: SSE-KMS with the managed and with a customer's key, the bucket's default, DSSE-KMS; typed as written."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import Clients, new_bucket, refused
from shell import Shell

ARN = re.compile(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def shell(make_server, tmp_path):
    return Shell(make_server(), tmp_path / "work")


def answer(shell, command):
    return json.loads(shell.ok(f"{command} --output json"))


def test_w2_the_managed_key_is_made_by_its_first_use_and_nobody_changes_it(shell):
    shell.ok("aws s3 mb s3://w2")
    before = answer(shell, "aws kms list-aliases")["Aliases"]
    assert all("TargetKeyId" not in alias for alias in before if alias["AliasName"] == "alias/aws/s3")
    shell.ok("aws s3 cp testfile.txt s3://w2/k.txt --sse aws:kms; aws s3 cp s3://w2/k.txt back; cmp back testfile.txt")
    head = answer(shell, "aws s3api head-object --bucket w2 --key k.txt")
    assert head["ServerSideEncryption"] == "aws:kms" and ARN.fullmatch(head["SSEKMSKeyId"])
    key = answer(shell, "aws kms describe-key --key-id alias/aws/s3")["KeyMetadata"]
    assert key["KeyManager"] == "AWS" and key["Arn"] == head["SSEKMSKeyId"] and key["Enabled"] is True
    assert key["Description"] == "Default key that protects my S3 objects when no other key is defined"
    policy = json.loads(answer(shell, f"aws kms get-key-policy --key-id {key['KeyId']} --policy-name default")["Policy"])
    through_s3 = policy["Statement"][0]
    assert through_s3["Condition"]["StringEquals"] == {"kms:ViaService": f"s3.{key['Arn'].split(':')[3]}.amazonaws.com",
                                                       "kms:CallerAccount": key["AWSAccountId"]}
    status = answer(shell, f"aws kms get-key-rotation-status --key-id {key['KeyId']}")
    assert status["KeyRotationEnabled"] is True
    (shell.home / "p.json").write_text(json.dumps(policy))
    for refused_command in ("disable-key", "schedule-key-deletion", "enable-key-rotation", "disable-key-rotation",
                            "put-key-policy --policy file://p.json --policy-name default",
                            "update-key-description --description x", "tag-resource --tags TagKey=a,TagValue=b",
                            "create-grant --operations Decrypt --grantee-principal "
                            f"arn:aws:iam::{key['AWSAccountId']}:root", "rotate-key-on-demand"):
        verb, _, rest = refused_command.partition(" ")
        shell.fails(f"aws kms {verb} --key-id {key['KeyId']} {rest}", "AccessDeniedException")
    shell.fails(f"aws kms create-alias --alias-name alias/aws/mine --target-key-id {key['KeyId']}", "Exception")
    # Nobody decrypts with it directly either, and it is the same key after a restart.
    shell.fails(f"aws kms encrypt --key-id {key['KeyId']} --plaintext aGVsbG8=", "AccessDeniedException")
    shell.server.restart()
    shell.ok("aws s3 cp s3://w2/k.txt back2; cmp back2 testfile.txt")
    assert answer(shell, "aws kms describe-key --key-id alias/aws/s3")["KeyMetadata"]["Arn"] == key["Arn"]


def test_w3_taking_the_key_away_takes_the_data_away(shell):
    shell.ok("aws s3 mb s3://w3")
    key = shell.ok("aws kms create-key --query KeyMetadata.KeyId --output text").strip()
    arn = answer(shell, f"aws kms describe-key --key-id {key}")["KeyMetadata"]["Arn"]
    shell.ok(f"aws s3 cp testfile.txt s3://w3/cmk.txt --sse aws:kms --sse-kms-key-id {key}; aws s3 cp s3://w3/cmk.txt b")
    shell.ok(f"aws kms disable-key --key-id {key}")
    shell.fails("aws s3 cp s3://w3/cmk.txt back.txt", "(KMS.DisabledException)", f"{arn} is disabled.")
    shell.fails("aws s3api get-object --bucket w3 --key cmk.txt x", "(KMS.DisabledException)", f"{arn} is disabled.")
    shell.fails(f"aws s3api put-object --bucket w3 --key y --body testfile.txt --server-side-encryption aws:kms "
                f"--ssekms-key-id {key}", "(KMS.DisabledException)")
    shell.ok(f"aws kms enable-key --key-id {key}; aws s3 cp s3://w3/cmk.txt back.txt; cmp back.txt testfile.txt")
    shell.ok(f"aws kms schedule-key-deletion --key-id {key} --pending-window-in-days 7")
    shell.fails("aws s3api get-object --bucket w3 --key cmk.txt x", "(KMS.KMSInvalidStateException)",
                f"{arn} is pending deletion.")
    shell.ok(f"aws kms cancel-key-deletion --key-id {key}")
    shell.fails("aws s3api get-object --bucket w3 --key cmk.txt x", "(KMS.DisabledException)")
    shell.ok(f"aws kms enable-key --key-id {key}")
    first = answer(shell, f"aws kms describe-key --key-id {key}")["KeyMetadata"]["CurrentKeyMaterialId"]
    shell.ok(f"aws kms enable-key-rotation --key-id {key}; aws kms rotate-key-on-demand --key-id {key}")
    assert answer(shell, f"aws kms describe-key --key-id {key}")["KeyMetadata"]["CurrentKeyMaterialId"] != first
    shell.ok("aws s3 cp s3://w3/cmk.txt again; cmp again testfile.txt")
    # Deleting needs no key.
    shell.ok(f"aws kms disable-key --key-id {key}; aws s3 rm s3://w3/cmk.txt")
    shell.fails(f"aws s3api put-object --bucket w3 --key z --body testfile.txt --server-side-encryption aws:kms "
                "--ssekms-key-id fake-key-id", "(KMS.NotFoundException)", "Invalid keyId 'fake-key-id'")


def test_w4_the_buckets_default_and_the_request_that_beats_it(shell):
    shell.ok("aws s3 mb s3://w4; cp testfile.txt new.txt; aws s3 cp new.txt s3://w4/before")
    key = shell.ok("aws kms create-key --query KeyMetadata.KeyId --output text").strip()
    shell.ok(f"""KEY={key}
aws s3api put-bucket-encryption --bucket w4 --server-side-encryption-configuration \\
  '{{"Rules":[{{"ApplyServerSideEncryptionByDefault":{{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"'$KEY'"}},"BucketKeyEnabled":true}}]}}'
""")
    rule = answer(shell, "aws s3api get-bucket-encryption --bucket w4")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert rule["BucketKeyEnabled"] is True
    shell.ok("aws s3 cp new.txt s3://w4/; aws s3 cp new.txt s3://w4/override --sse AES256")
    head = answer(shell, "aws s3api head-object --bucket w4 --key new.txt")
    assert head["ServerSideEncryption"] == "aws:kms" and head["BucketKeyEnabled"] is True
    assert head["SSEKMSKeyId"].endswith(f"key/{key}")
    for name in ("override", "before"):
        head = answer(shell, f"aws s3api head-object --bucket w4 --key {name}")
        assert head["ServerSideEncryption"] == "AES256" and "SSEKMSKeyId" not in head
    # `aws:kms` without a key is the managed key, whatever the default names.
    shell.ok("aws s3 cp new.txt s3://w4/managed --sse aws:kms")
    head = answer(shell, "aws s3api head-object --bucket w4 --key managed")
    managed = answer(shell, "aws kms describe-key --key-id alias/aws/s3")["KeyMetadata"]["Arn"]
    assert head["SSEKMSKeyId"] == managed
    # The default's key gone: writes that rely on it fail, others go on.
    shell.ok(f"aws kms disable-key --key-id {key}")
    shell.fails("aws s3api put-object --bucket w4 --key x --body new.txt", "(KMS.DisabledException)")
    shell.fails("aws s3api get-object --bucket w4 --key new.txt x", "(KMS.DisabledException)")
    shell.ok("aws s3 cp new.txt s3://w4/plain --sse AES256; aws s3 cp s3://w4/before b")


def test_w5_two_layers(shell):
    shell.ok("aws s3 mb s3://w5; head -c 9000001 /dev/urandom > f")
    key = shell.ok("aws kms create-key --query KeyMetadata.KeyId --output text").strip()
    # `aws s3 cp --sse aws:kms:dsse` as the walkthrough has it: version 1 of the CLI does not know the value.
    shell.ok(f"""
aws s3api put-object --bucket w5 --key f --body f --checksum-algorithm SHA256 \\
  --server-side-encryption aws:kms:dsse --ssekms-key-id {key}
aws s3 cp s3://w5/f back; cmp f back
""")
    head = answer(shell, "aws s3api head-object --bucket w5 --key f --checksum-mode ENABLED")
    assert head["ServerSideEncryption"] == "aws:kms:dsse" and head["SSEKMSKeyId"].endswith(key)
    assert "BucketKeyEnabled" not in head
    assert head["ChecksumSHA256"] == shell.ok("openssl dgst -sha256 -binary f | base64").strip()
    data = (shell.home / "f").read_bytes()
    shell.ok("aws s3api get-object --bucket w5 --key f --range bytes=8388607-8388700 part")
    assert (shell.home / "part").read_bytes() == data[8388607:8388701]
    shell.ok(f"aws kms disable-key --key-id {key}")
    shell.fails("aws s3api get-object --bucket w5 --key f x", "(KMS.DisabledException)")
    shell.fails("aws s3api head-object --bucket w5 --key f --checksum-mode ENABLED", "(400)")


def test_w2_to_w5_with_boto3(clients):
    """The same walkthroughs, in the words of the Python SDK."""
    s3, kms = clients.boto(signature_version="s3v4"), clients.boto(service="kms")
    bucket, data = new_bucket(s3), os.urandom(200_000)

    def write(name, **sse):
        s3.put_object(Bucket=bucket, Key=name, Body=data, **sse)
        assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == data
        return s3.head_object(Bucket=bucket, Key=name)

    # W2: the managed key.
    head = write("w2", ServerSideEncryption="aws:kms")
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (head["SSEKMSKeyId"], managed["KeyManager"]) == (managed["Arn"], "AWS")
    assert refused(kms.disable_key, KeyId=managed["KeyId"]).code == "AccessDeniedException"
    # W3: a customer's key is taken away and given back.
    key = kms.create_key()["KeyMetadata"]
    key, arn = key["KeyId"], key["Arn"]
    assert write("w3", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)["SSEKMSKeyId"] == arn
    kms.disable_key(KeyId=key)
    assert refused(s3.get_object, Bucket=bucket, Key="w3").code == "KMS.DisabledException"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert refused(s3.get_object, Bucket=bucket, Key="w3").code == "KMS.KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    kms.rotate_key_on_demand(KeyId=key)
    assert s3.get_object(Bucket=bucket, Key="w3")["Body"].read() == data
    # W4: the bucket's default, and a request that beats it.
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}]
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    head = write("w4")
    assert head["SSEKMSKeyId"] == arn and head["BucketKeyEnabled"] is True
    assert write("w4 override", ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    # W5: two layers.
    head = write("w5", ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=arn)
    assert head["ServerSideEncryption"] == "aws:kms:dsse" and "BucketKeyEnabled" not in head
    kms.disable_key(KeyId=key)
    for name in ("w3", "w4", "w5"):
        assert refused(s3.get_object, Bucket=bucket, Key=name).code == "KMS.DisabledException"
    s3.delete_object(Bucket=bucket, Key="w3")


def test_a_running_download_stops_when_the_key_is_taken_away(make_server):
    """The bound that SECURITY.md states: what was not read yet is not given out."""
    server = make_server()
    access = server.access()
    clients = Clients(access)
    s3, kms = clients.boto(), clients.boto(service="kms")
    bucket, size = new_bucket(s3), 64 << 20
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    s3.put_object(Bucket=bucket, Key="k", Body=os.urandom(size), ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    body = s3.get_object(Bucket=bucket, Key="k")["Body"]
    got = len(body.read(1 << 20))
    kms.disable_key(KeyId=key)
    with pytest.raises(Exception, match="(?i)incomplete|connection|broken|read"):
        while piece := body.read(1 << 20):
            got += len(piece)
    # Socket buffers of both sides hold some megabytes that had left already.
    assert got < size / 2, got
    assert refused(s3.get_object, Bucket=bucket, Key="k").code == "KMS.DisabledException"


def test_keys_die_when_their_time_has_come(make_server, tmp_path):
    """The clock of the server is shifted by eight days (libfaketime); the key and the object are gone for good."""
    server = make_server()
    access = server.access()
    clients = Clients(access)
    s3, kms = clients.boto(), clients.boto(service="kms")
    bucket = new_bucket(s3)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for name, key_id in (("dies", key), ("lives", other)):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x" * 100_000, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    kms.create_alias(AliasName="alias/dying", TargetKeyId=key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    server.stop()
    shifted = subprocess.run(["bash", "-c", "command -v faketime"], capture_output=True, text=True).stdout.strip()
    assert shifted, "faketime is not installed: run tools/setup-tests.sh"
    library = subprocess.run([shifted, "-f", "+0d", "printenv", "LD_PRELOAD"], capture_output=True, text=True)
    os.environ["LD_PRELOAD"], os.environ["FAKETIME"] = library.stdout.strip(), "+8d"
    try:
        server.start("--danger-trust-clock")
    finally:
        del os.environ["LD_PRELOAD"], os.environ["FAKETIME"]
    script = """
import boto3, sys, json
from botocore.exceptions import ClientError
endpoint, access, secret, region, bucket, key = sys.argv[1:]
session = boto3.session.Session(access, secret, region_name=region)
kms, s3 = session.client("kms", endpoint_url=endpoint), session.client("s3", endpoint_url=endpoint)
def code(call, **more):
    try:
        call(**more)
        return "fine"
    except ClientError as error:
        return error.response["Error"]["Code"]
import time
for _ in range(200):
    aliases = [a["AliasName"] for a in kms.list_aliases(Limit=100)["Aliases"]]
    if "alias/dying" not in aliases:
        break
    time.sleep(0.1)
print(json.dumps([code(kms.describe_key, KeyId=key), code(kms.cancel_key_deletion, KeyId=key),
                  code(s3.get_object, Bucket=bucket, Key="dies"), code(s3.get_object, Bucket=bucket, Key="lives"),
                  code(s3.delete_object, Bucket=bucket, Key="dies"), "alias/dying" in aliases]))
"""
    env = {**os.environ, "LD_PRELOAD": library.stdout.strip(), "FAKETIME": "+8d"}
    done = subprocess.run([sys.executable, "-c", script, server.endpoint["http"], access.access, access.secret,
                           access.region, bucket, key], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["NotFoundException", "NotFoundException", "KMS.NotFoundException", "fine", "fine",
                                       False]
    # Back in the present, nothing comes back.
    server.stop()
    server.start()
    clients = Clients(server.access())
    kms, s3 = clients.boto(service="kms"), clients.boto()
    assert refused(kms.describe_key, KeyId=key).code == "NotFoundException"
    assert s3.get_object(Bucket=bucket, Key="lives")["Body"].read() == b"x" * 100_000
