"""The commands of the walkthroughs that concern keys alone, typed as written with the AWS CLI."""

import pytest

from shell import Shell


@pytest.fixture
def shell(make_server, tmp_path):
    return Shell(make_server(), tmp_path / "home")


def test_the_key_of_s3_as_in_the_walkthrough(shell):
    shell.ok("""
aws kms describe-key --key-id alias/aws/s3 --query KeyMetadata.KeyManager --output text | grep -x AWS
MID=$(aws kms describe-key --key-id alias/aws/s3 --query KeyMetadata.KeyId --output text)
aws kms get-key-policy --key-id $MID --policy-name default --query Policy --output text > policy.json
grep -q '"kms:ViaService"' policy.json && grep -q '"kms:CallerAccount"' policy.json
""")
    shell.fails("MID=$(aws kms describe-key --key-id alias/aws/s3 --query KeyMetadata.KeyId --output text)\n"
                "aws kms disable-key --key-id $MID", "(AccessDeniedException)", "DisableKey")


def test_a_key_of_ones_own_as_in_the_walkthrough(shell):
    shell.ok("""
KEY=$(aws kms create-key --query KeyMetadata.KeyId --output text)
aws kms create-alias --alias-name alias/mine --target-key-id $KEY
aws kms encrypt --key-id alias/mine --plaintext fileb://testfile.txt --query CiphertextBlob --output text |
  base64 -d > sealed
aws kms disable-key --key-id $KEY
! aws kms decrypt --ciphertext-blob fileb://sealed 2> err
grep -q 'DisabledException' err && grep -q "$KEY is disabled." err
aws kms enable-key --key-id $KEY
aws kms decrypt --ciphertext-blob fileb://sealed --query Plaintext --output text | base64 -d | cmp - testfile.txt
aws kms schedule-key-deletion --key-id $KEY --pending-window-in-days 7
! aws kms decrypt --ciphertext-blob fileb://sealed 2> err
grep -q 'KMSInvalidStateException' err && grep -q "$KEY is pending deletion." err
aws kms cancel-key-deletion --key-id $KEY; aws kms enable-key --key-id $KEY
aws kms enable-key-rotation --key-id $KEY; aws kms rotate-key-on-demand --key-id $KEY
aws kms list-key-rotations --key-id $KEY --query 'Rotations[].RotationType' --output text | grep -x ON_DEMAND
aws kms decrypt --ciphertext-blob fileb://sealed --query Plaintext --output text | base64 -d | cmp - testfile.txt
aws kms list-aliases --query "Aliases[?AliasName=='alias/mine'].TargetKeyId" --output text | grep -x $KEY
""".replace("fileb://testfile.txt", "fileb://small.txt").replace("cmp - testfile.txt", "cmp - small.txt")
             .replace("\nKEY=", "\nhead -c 1000 testfile.txt > small.txt\nKEY="))
