"""W6: SSE-C, the customer keeps the key, typed as written."""

import hashlib
import json

import pytest

from shell import Shell

WRONG_PARAMETERS = ("The object was stored using a form of Server Side Encryption. "
                    "The correct parameters must be provided to retrieve the object.")


@pytest.fixture
def shell(make_server, tmp_path):
    shell = Shell(make_server(), tmp_path / "work")
    shell.ok("aws s3 mb s3://w6; cp testfile.txt f; openssl rand -out sse-c.key 32; openssl rand -out other.key 32")
    return shell


def test_w6_works_as_written(shell):
    shell.ok("""
aws s3 cp f s3://w6/sse-c --sse-c AES256 --sse-c-key fileb://sse-c.key
aws s3 cp s3://w6/sse-c back --sse-c AES256 --sse-c-key fileb://sse-c.key
cmp f back
""")
    shell.fails("aws s3api get-object --bucket w6 --key sse-c x", "(InvalidRequest)", "GetObject", WRONG_PARAMETERS)
    shell.fails("aws s3 cp s3://w6/sse-c x",
                "An error occurred (400) when calling the HeadObject operation: Bad Request")
    answer = json.loads(shell.ok("""
aws s3api put-object --output json --bucket w6 --key api --body f --sse-customer-algorithm AES256 \
  --sse-customer-key "$(base64 -w0 sse-c.key)" --sse-customer-key-md5 "$(openssl md5 -binary sse-c.key | base64)"
"""))
    key = (shell.home / "sse-c.key").read_bytes()
    data = (shell.home / "f").read_bytes()
    assert answer["SSECustomerAlgorithm"] == "AES256"
    assert answer["SSECustomerKeyMD5"] == shell.ok("openssl md5 -binary sse-c.key | base64").strip()
    assert answer["ETag"].strip('"') != hashlib.md5(data).hexdigest() and len(answer["ETag"].strip('"')) == 32
    assert "ServerSideEncryption" not in answer and len(key) == 32


def test_the_wrong_key_is_denied(shell):
    shell.ok("aws s3 cp f s3://w6/k --sse-c AES256 --sse-c-key fileb://sse-c.key")
    shell.fails("""aws s3api get-object --bucket w6 --key k --sse-customer-algorithm AES256 \
  --sse-customer-key "$(base64 -w0 other.key)" --sse-customer-key-md5 "$(openssl md5 -binary other.key | base64)" x""",
                "(AccessDenied)", "Requests specifying Server Side Encryption with Customer provided keys must "
                "provide the correct secret key.")
    shell.fails("aws s3 cp s3://w6/k x --sse-c AES256 --sse-c-key fileb://other.key", "(403)", "HeadObject",
                "Forbidden")


def test_large_files_go_in_parts_under_the_customers_key_and_the_key_can_be_changed(shell):
    shell.ok("""
head -c 20971521 /dev/urandom > big
aws s3 cp big s3://w6/big --sse-c AES256 --sse-c-key fileb://sse-c.key
aws s3 cp s3://w6/big back --sse-c AES256 --sse-c-key fileb://sse-c.key
cmp big back
aws s3 cp s3://w6/big s3://w6/turned --sse-c-copy-source AES256 --sse-c-copy-source-key fileb://sse-c.key \
  --sse-c AES256 --sse-c-key fileb://other.key
aws s3 cp s3://w6/turned back2 --sse-c AES256 --sse-c-key fileb://other.key
cmp big back2
""")
    shell.fails("aws s3 cp s3://w6/turned x --sse-c AES256 --sse-c-key fileb://sse-c.key", "(403)")


def test_the_key_is_gone_with_the_request(shell):
    """A restart changes nothing: the object opens with the key and with nothing else."""
    shell.ok("aws s3 cp f s3://w6/k --sse-c AES256 --sse-c-key fileb://sse-c.key")
    shell.server.restart()
    shell.ok("aws s3 cp s3://w6/k back --sse-c AES256 --sse-c-key fileb://sse-c.key; cmp f back")
    shell.fails("aws s3api get-object --bucket w6 --key k x", WRONG_PARAMETERS)


POLICY = """{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",
 "Resource":"arn:aws:s3:::w6/*","Condition":{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}}]}"""


def test_with_the_bucket_policy_nothing_is_stored_without_the_customers_key(shell):
    """An explicit deny binds the account's root user, too; and it can always take the policy back."""
    shell.ok("aws s3 cp f s3://w6/before")
    (shell.home / "policy.json").write_text(POLICY)
    shell.ok("aws s3api put-bucket-policy --bucket w6 --policy file://policy.json")
    assert json.loads(json.loads(shell.ok(
        "aws s3api get-bucket-policy --bucket w6 --output json"))["Policy"]) == json.loads(POLICY)
    for command in ["aws s3 cp f s3://w6/plain", "aws s3 cp f s3://w6/plain --sse AES256",
                    "aws s3 cp s3://w6/before s3://w6/plain",
                    "aws s3api create-multipart-upload --bucket w6 --key plain"]:
        shell.fails(command, "AccessDenied", "with an explicit deny in a resource-based policy")
    shell.ok("""
aws s3 cp f s3://w6/sse-c --sse-c AES256 --sse-c-key fileb://sse-c.key
aws s3 cp s3://w6/sse-c back --sse-c AES256 --sse-c-key fileb://sse-c.key; cmp f back
aws s3 cp s3://w6/before -  | cmp f -
""")
    assert json.loads(shell.ok("aws s3api get-bucket-policy-status --bucket w6 --output json")) == {
        "PolicyStatus": {"IsPublic": False}}
    shell.server.restart()
    shell.fails("aws s3 cp f s3://w6/plain", "AccessDenied")
    shell.ok("aws s3api delete-bucket-policy --bucket w6; aws s3 cp f s3://w6/plain")
    shell.fails("aws s3api get-bucket-policy --bucket w6", "NoSuchBucketPolicy")
