"""W8: role separation. Three users made with `aws iam`; who has both halves reads, nobody else does."""

import json

import pytest

from shell import Shell

KEY_ADMINISTRATION = ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*",
                      "kms:Revoke*", "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource",
                      "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"]


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


class Roles:
    """The shell, the key, and the environment of each of the three."""

    def __init__(self, shell):
        self.shell = shell
        root = json.loads(shell.ok("aws sts get-caller-identity --output json"))
        self.account = root["Account"]
        self.users = {}
        for name in ("storage-admin", "key-admin", "app"):
            shell.ok(f"aws iam create-user --user-name {name}")
            made = json.loads(shell.ok(f"aws iam create-access-key --user-name {name} --output json"))["AccessKey"]
            self.users[name] = made
        (shell.home / "key-policy.json").write_text(policy(
            allow("kms:*", Principal={"AWS": f"arn:aws:iam::{self.account}:root"}),
            allow(KEY_ADMINISTRATION, Principal={"AWS": f"arn:aws:iam::{self.account}:user/key-admin"})))
        self.key = shell.ok("aws kms create-key --policy file://key-policy.json --query KeyMetadata.Arn "
                            "--output text").strip()
        region = self.key.split(":")[3]
        self.put_policy("storage-admin", "s3", policy(allow("s3:*")))
        self.put_policy("app", "s3", policy(
            allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::w8/app/*"),
            allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key,
                  Condition={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}})))
        shell.ok("aws s3 mb s3://w8; cp testfile.txt f")

    def put_policy(self, user, name, document):
        (self.shell.home / "policy.json").write_text(document)
        self.shell.ok(f"aws iam put-user-policy --user-name {user} --policy-name {name} "
                      "--policy-document file://policy.json")

    def script(self, user, script):
        made = self.users[user]
        return (f"export AWS_ACCESS_KEY_ID={made['AccessKeyId']} AWS_SECRET_ACCESS_KEY={made['SecretAccessKey']}\n"
                f"{script}")

    def ok(self, user, script):
        return self.shell.ok(self.script(user, script))

    def fails(self, user, script, *texts):
        return self.shell.fails(self.script(user, script), *texts)


@pytest.fixture
def roles(make_server, tmp_path):
    return Roles(Shell(make_server(), tmp_path / "work"))


def test_w8_works_as_written(roles):
    key = roles.key
    # The application reads and writes through S3, and cannot use the key itself.
    roles.ok("app", f"""
aws s3 cp f s3://w8/app/k --sse aws:kms --sse-kms-key-id {key}
aws s3 cp s3://w8/app/k back; cmp f back""")
    roles.fails("app", f"aws s3 cp f s3://w8/elsewhere/k --sse aws:kms --sse-kms-key-id {key}", "AccessDenied")
    blob = roles.shell.ok(f"aws kms encrypt --key-id {key} --plaintext c2VjcmV0 --query CiphertextBlob "
                          "--output text").strip()
    roles.fails("app", f"echo {blob} | base64 -d > blob; aws kms decrypt --ciphertext-blob fileb://blob",
                "(AccessDeniedException)", f"User: arn:aws:iam::{roles.account}:user/app is not authorized to perform: "
                f"kms:Decrypt on resource: {key} because no identity-based policy allows the kms:Decrypt action")
    roles.fails("app", f"aws kms generate-data-key --key-id {key} --key-spec AES_256", "(AccessDeniedException)")
    # The storage administrator lists, tags and deletes, and reads nothing.
    admin = "storage-admin"
    assert "app/k" in roles.ok(admin, "aws s3 ls --recursive s3://w8")
    roles.ok(admin, "aws s3api put-object-tagging --bucket w8 --key app/k "
                    "--tagging 'TagSet=[{Key=project,Value=p}]'")
    roles.fails(admin, "aws s3api get-object --bucket w8 --key app/k x", "(AccessDenied)", "kms:Decrypt")
    roles.fails(admin, "aws s3api copy-object --bucket w8 --key stolen --copy-source w8/app/k "
                       "--server-side-encryption AES256", "(AccessDenied)")
    roles.fails(admin, f"aws s3 cp f s3://w8/own --sse aws:kms --sse-kms-key-id {key}", "AccessDenied")
    roles.fails(admin, f"aws kms put-key-policy --key-id {key} --policy file://key-policy.json",
                "(AccessDeniedException)")
    roles.fails(admin, f"aws kms create-grant --key-id {key} --operations Decrypt --grantee-principal "
                       f"arn:aws:iam::{roles.account}:user/{admin}", "(AccessDeniedException)")
    # With SSE-S3 it can read: that is why SSE-KMS exists.
    roles.ok("app", "aws s3 cp f s3://w8/app/plain")
    roles.ok(admin, "aws s3 cp s3://w8/app/plain back2; cmp f back2")
    # The key administrator manages the key, and reads nothing.
    admin = "key-admin"
    roles.fails(admin, "aws s3api get-object --bucket w8 --key app/k x", "(AccessDenied)")
    roles.fails(admin, "echo x > blob; aws kms decrypt --ciphertext-blob fileb://blob", "Exception")
    roles.fails(admin, f"aws kms encrypt --key-id {key} --plaintext c2VjcmV0", "(AccessDeniedException)")
    roles.ok(admin, f"aws kms disable-key --key-id {key}")
    roles.fails("app", "aws s3api get-object --bucket w8 --key app/k x", "KMS.DisabledException")
    roles.ok(admin, f"aws kms enable-key --key-id {key}")
    roles.ok("app", "aws s3 cp s3://w8/app/k back3; cmp f back3")
    roles.ok("storage-admin", "aws s3 rm s3://w8/app/k")


def test_a_user_made_again_is_not_the_one_whom_the_key_meant(roles):
    key, shell = roles.key, roles.shell
    roles.ok("key-admin", f"aws kms describe-key --key-id {key}")
    grant = json.loads(shell.ok(f"aws kms create-grant --key-id {key} --operations DescribeKey --grantee-principal "
                                f"arn:aws:iam::{roles.account}:user/key-admin --output json"))["GrantId"]
    access = roles.users["key-admin"]["AccessKeyId"]
    shell.ok(f"""
aws iam delete-access-key --user-name key-admin --access-key-id {access}
aws iam delete-user --user-name key-admin
aws iam create-user --user-name key-admin""")
    made = json.loads(shell.ok("aws iam create-access-key --user-name key-admin --output json"))["AccessKey"]
    roles.users["key-admin"] = made
    roles.fails("key-admin", f"aws kms describe-key --key-id {key}", "(AccessDeniedException)")
    shown = shell.ok(f"aws kms get-key-policy --key-id {key} --policy-name default --query Policy --output text")
    assert "user/key-admin" not in shown and '"AIDA' in shown.replace(": ", ":")
    grants = json.loads(shell.ok(f"aws kms list-grants --key-id {key} --output json"))["Grants"]
    assert [it["GranteePrincipal"][:4] for it in grants] == ["AIDA"] and grants[0]["GrantId"] == grant
