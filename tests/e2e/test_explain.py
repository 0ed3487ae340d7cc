"""`strongroom explain` and `who-can-decrypt`, held against what really happens when each principal asks."""

import json
import subprocess
import types

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import Clients, binary, boto_client, clean_env, common_server, new_bucket

BODY = b"plaintext"
CUSTOMER_KEY = bytes(range(32))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}
MODES = ["AES256", "aws:kms", "bucket-key", "aws:kms:dsse", "SSE-C"]
BUCKET = "zoo-of-principals"
GET, DECRYPT, ASSUME = "s3:GetObject", "kms:Decrypt", "sts:AssumeRole"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {**allow(action, resource, **more), "Effect": "Deny"}


def trust(principal, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": ASSUME, **more})


class Zoo:
    """One server with two accounts, an object of every mode, and principals of every kind."""

    def __init__(self, server):
        self.server = server
        self.access = server.access()
        clients = Clients(self.access)
        self.s3, self.kms = clients.boto("https"), clients.boto("https", service="kms")
        self.iam = clients.boto("https", service="iam")
        self.account = clients.boto("https", service="sts").get_caller_identity()["Account"]
        self.actors = {}  # ARN -> a client of S3
        self.secrets = [self.access.secret]
        self.build()

    def strongroom(self, *words, code=0, **more):
        done = subprocess.run([binary(), *map(str, words), "--data", str(self.server.data)],
                              env=clean_env(self.server.home), capture_output=True, text=True, timeout=120, **more)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def client(self, made, service="s3"):
        return boto_client(service, made["AccessKeyId"], made["SecretAccessKey"], made.get("SessionToken"),
                           region_name=self.access.region, endpoint_url=self.access.https, verify=self.access.ca,
                           config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))

    def arn(self, kind, name):
        return f"arn:aws:iam::{self.account}:{kind}/{name}"

    def user(self, name, *statements, iam=None, **more):
        iam = iam or self.iam
        arn = iam.create_user(UserName=name, **more)["User"]["Arn"]
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        self.secrets.append(made["SecretAccessKey"])
        self.actors[arn] = self.client(made)
        return made

    def role(self, name, trusted, *statements):
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
        return self.arn("role", name)

    def assume(self, made, role, session="session", **more):
        return self.client(made, "sts").assume_role(RoleArn=role, RoleSessionName=session, **more)["Credentials"]

    def build(self):
        read, decrypt = allow(GET), allow(DECRYPT)
        new_bucket(self.s3, BUCKET)
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.actors[f"arn:aws:iam::{self.account}:root"] = self.s3
        self.actors["anonymous"] = boto_client(
            "s3", region_name=self.access.region, endpoint_url=self.access.https, verify=self.access.ca,
            config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}))
        self.user("nobody")
        self.user("storage", read)
        self.user("keys", decrypt)
        self.user("both", read, decrypt)
        self.user("denied", read, decrypt, deny(GET))
        self.user("key-denied", read, decrypt, deny(DECRYPT))
        bound = self.iam.create_policy(PolicyName="only-s3", PolicyDocument=document(allow("s3:*")))["Policy"]["Arn"]
        self.user("bounded", read, decrypt, PermissionsBoundary=bound)
        via = f"s3.{self.access.region}.amazonaws.com"
        self.user("via", read, allow(DECRYPT, Condition={"StringEquals": {"kms:ViaService": via}}))
        self.user("not-via", read, decrypt, deny(DECRYPT, Condition={"StringEquals": {"kms:ViaService": via}}))
        of_object = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{BUCKET}/*"}}
        self.user("context", read, allow(DECRYPT, Condition=of_object))
        self.user("here", allow(GET, Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}), decrypt)
        self.user("elsewhere", allow(GET, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), decrypt)
        self.user("not-from-here", read, decrypt, deny(GET, Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
        self.user("mfa", allow(GET, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}), decrypt)
        self.user("tls", read, decrypt, deny("*", Condition={"Bool": {"aws:SecureTransport": "false"}}))
        tagged = {"StringEquals": {"s3:ExistingObjectTag/team": "${aws:PrincipalTag/team}"}}
        for team in ("blue", "red"):
            self.user(f"team-{team}", allow(GET, Condition=tagged), decrypt, Tags=[{"Key": "team", "Value": team}])
        self.user("granted", read)
        self.user("named-by-key", read)
        self.user("named-by-bucket", decrypt)
        self.user("shut-out", read, decrypt)
        self.user("other-prefix", allow(GET, f"arn:aws:s3:::{BUCKET}/elsewhere/*"), decrypt)
        self.iam.create_group(GroupName="readers")
        self.iam.put_group_policy(GroupName="readers", PolicyName="p", PolicyDocument=document(read, decrypt))
        self.user("member")
        self.iam.add_user_to_group(GroupName="readers", UserName="member")

        # Roles: by the account, in a chain, in a cycle, by nobody, with an external id.
        account = {"AWS": self.account}
        reader = self.role("reader", trust(account), read, decrypt)
        self.to_reader = self.user("assumes", allow(ASSUME, reader))
        middle = self.role("middle", trust(account), allow(ASSUME, self.arn("role", "last")))
        last = self.role("last", trust({"AWS": middle}), read, decrypt, allow(ASSUME, middle))
        self.to_middle = self.user("assumes-two", allow(ASSUME, middle))
        self.role("of-service", trust({"Service": "nobody.amazonaws.com"}), read, decrypt)
        external = self.role("external", trust(account, Condition={"StringEquals": {"sts:ExternalId": "ours"}}), read, decrypt)
        self.to_external = self.user("assumes-external", allow(ASSUME, external))
        half = self.role("half", trust(account), decrypt)
        self.to_half = self.user("assumes-half", allow(ASSUME, half))
        self.actors[reader] = self.client(self.assume(self.to_reader, reader))
        at_middle = self.assume(self.to_middle, middle)
        self.actors[middle] = self.client(at_middle)
        self.actors[last] = self.client(self.assume(at_middle, last))
        self.actors[external] = self.client(self.assume(self.to_external, external, ExternalId="ours"))
        self.actors[half] = self.client(self.assume(self.to_half, half))
        self.session = f"arn:aws:sts::{self.account}:assumed-role/half/named"
        self.actors[self.session] = self.client(self.assume(self.to_half, half, "named"))

        # Another account, which both policies name.
        other = json.loads(self.strongroom("account", "create", "other", "--json", "--key-file", self.server.key_file).stdout)
        self.secrets.append(other["SecretAccessKey"])
        self.other = other["Account"]["Id"]
        self.actors[f"arn:aws:iam::{self.other}:root"] = self.client(other)
        there = self.client(other, "iam")
        self.role("unreachable", trust({"AWS": self.other}), read, decrypt)
        self.user("foreign", read, decrypt, iam=there)
        self.user("foreign-half", read, iam=there)

        def names(*users):
            return {"AWS": [self.arn("user", name) for name in users]}

        anything = f"arn:aws:s3:::{BUCKET}/*"
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=document(
            allow(GET, anything, Sid="Named", Principal=names("named-by-bucket")),
            deny(GET, anything, Sid="ShutOut", Principal=names("shut-out")),
            allow(GET, anything, Sid="Session", Principal={"AWS": self.session}),
            allow(GET, anything, Sid="Other", Principal={"AWS": self.other})))
        self.kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=document(
            allow("kms:*", Sid="Account", Principal={"AWS": f"arn:aws:iam::{self.account}:root"}),
            allow(DECRYPT, Sid="Named", Principal=names("named-by-key")),
            allow(DECRYPT, Sid="Other", Principal={"AWS": self.other}),
            allow(DECRYPT, Sid="Stranger", Principal={"AWS": "arn:aws:iam::999988887777:root"})))
        self.kms.create_grant(KeyId=self.key, GranteePrincipal=self.arn("user", "granted"), Operations=["Decrypt"])

        put = {"Bucket": BUCKET, "Body": BODY, "Tagging": "team=blue"}
        kms = {"SSEKMSKeyId": self.key}
        self.s3.put_object(Key="AES256", **put)
        self.s3.put_object(Key="aws:kms", ServerSideEncryption="aws:kms", **kms, **put)
        self.s3.put_object(Key="bucket-key", ServerSideEncryption="aws:kms", BucketKeyEnabled=True, **kms, **put)
        self.s3.put_object(Key="aws:kms:dsse", ServerSideEncryption="aws:kms:dsse", **kms, **put)
        self.s3.put_object(Key="SSE-C", **SSE_C, **put)

    def reads(self, arn, key):
        """Whether the principal really gets the plaintext."""
        try:
            got = self.actors[arn].get_object(Bucket=BUCKET, Key=key, **(SSE_C if key == "SSE-C" else {}))
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403), error
            return False
        assert got["Body"].read() == BODY
        return True

    def who(self, key, *flags):
        text = self.strongroom("who-can-decrypt", f"s3://{BUCKET}/{key}", "--json", *flags).stdout
        assert not any(secret in text for secret in self.secrets)
        return json.loads(text)

    def explain(self, *words, code=None):
        done = self.strongroom("explain", *words, code=code)
        assert done.returncode in (0, 10, 11), done.stderr
        return types.SimpleNamespace(code=done.returncode, text=done.stdout)

    def short(self, arn):
        return arn.split("/")[-1] if "/" in arn else arn


@pytest.fixture(scope="module")
def zoo(request):
    with common_server(request, "zoo") as server:
        yield Zoo(server)


# Of what depends on the request: whether it holds for requests from here, without MFA.
REALLY = {"here": True, "elsewhere": False, "not-from-here": False, "mfa": False}


@pytest.mark.parametrize("mode", MODES)
def test_who_can_decrypt_is_who_really_reads(zoo, mode):
    report = zoo.who(mode, "--all")
    own = {it["principal"]: it["answer"] for it in report["readers"] if not it["through"]}
    by_role = {it["principal"]: it for it in report["readers"] if it["through"]}
    no = {it["principal"] for it in report["halves"] + report["others"]}
    assert len(zoo.actors) > 25
    wrong = []
    for arn in zoo.actors:
        really, answer = zoo.reads(arn, mode), own.get(arn, "no")
        assert (arn in own or arn in by_role) != (arn in no), arn
        expected = {"yes": True, "no": False, "if": REALLY.get(zoo.short(arn))}[answer]
        if really != expected:
            wrong.append((arn, really, answer))
    assert not wrong
    assert {zoo.short(arn) for arn, answer in own.items() if answer == "if"} == set(REALLY)
    # Nobody is reported who is not here, and everybody who is.
    others = set(own) | set(by_role) | no
    service = "nobody.amazonaws.com"
    assert others - set(zoo.actors) == {zoo.arn("role", "unreachable"), zoo.arn("role", "of-service"), service}

    # Through roles: those that the tests themselves went through.
    ways = {zoo.short(arn): ([zoo.short(role) for role in it["through"]], it["answer"]) for arn, it in by_role.items()}
    expected = {"assumes": (["reader"], "yes"), "assumes-two": (["middle", "last"], "yes"), "middle": (["last"], "yes"),
                "assumes-external": (["external"], "if"), "assumes-half": (["named"], "yes"),
                service: (["of-service"], "yes")}
    assert ways == expected
    unreachable = next(it for it in report["readers"] if it["principal"].endswith("role/unreachable"))
    assert unreachable["out_of_reach"] is True


def test_halves_say_what_they_lack(zoo):
    report = zoo.who("aws:kms")
    halves = {zoo.short(it["principal"]): it for it in report["halves"]}
    assert {"storage", "keys", "denied", "key-denied", "bounded", "not-via", "shut-out", "other-prefix", "team-red",
            "foreign-half", "half"} <= set(halves)
    assert halves["storage"]["key"]["lacks"] == "no identity policy allows it"
    assert halves["storage"]["s3"]["by"] == ["policy storage/p, statement 1"]
    assert halves["keys"]["s3"]["lacks"] == "no identity policy allows it"
    assert halves["denied"]["s3"]["lacks"] == "policy denied/p, statement 3 denies it"
    assert halves["bounded"]["key"]["lacks"] == "no permissions boundary allows it"
    assert halves["shut-out"]["s3"]["lacks"] == 'bucket policy, statement 2 "ShutOut" denies it'
    readers = {zoo.short(it["principal"]): it for it in report["readers"]}
    assert readers["named-by-bucket"]["s3"]["by"] == ['bucket policy, statement 1 "Named"']
    assert readers["named-by-key"]["key"]["by"] == ['key policy, statement 2 "Named"']
    assert readers["granted"]["key"]["by"] == [f"grant to {zoo.arn('user', 'granted')}"]
    assert readers["both"]["key"]["by"] == ['key policy, statement 1 "Account"', "policy both/p, statement 2"]
    assert readers["foreign"]["s3"]["by"] == ['bucket policy, statement 4 "Other"', "policy foreign/p, statement 1"]
    assert readers["here"]["s3"]["conditions"] == ["aws:SourceIp IpAddress 127.0.0.0/8"]
    assert readers["not-from-here"]["s3"]["conditions"] == ["not (aws:SourceIp IpAddress 127.0.0.0/8)"]
    assert report["others"] is None and report["others_count"] > 0
    assert report["object"]["strangers"] == ["arn:aws:iam::999988887777:root"]
    assert report["object"]["key"] == zoo.key and report["object"]["key_state"] == "Enabled"
    assert any("of no use by itself" in note for note in report["notes"])


def test_explain_says_the_same_as_the_report(zoo):
    report = zoo.who("aws:kms", "--all")
    own = {it["principal"]: it["answer"] for it in report["readers"] if not it["through"]}
    codes = {"yes": 0, "if": 11, "no": 10}
    for arn in zoo.actors:
        done = zoo.explain(GET, "--as", arn, "--on", f"s3://{BUCKET}/aws:kms")
        assert done.code == codes[own.get(arn, "no")], (arn, done.text)


def test_explain_names_the_statement_and_what_is_missing(zoo):
    on = f"arn:aws:s3:::{BUCKET}/aws:kms"

    def lines(name, *words, action=GET, on=on, code=10):
        text = zoo.explain(action, "--as", zoo.arn("user", name), "--on", on, *words, code=code).text
        return [" ".join(line.split()) for line in text.splitlines()]

    shown = lines("nobody")
    assert shown[0] == f"DENIED: {zoo.arn('user', 'nobody')} may not {GET} on {on}"
    assert shown[1] == "because no identity policy allows it"
    assert f"attach a policy to {zoo.arn('user', 'nobody')} that allows {GET} on {on}" in shown
    shown = lines("denied")
    assert "because policy denied/p, statement 3 denies it" in shown
    assert any("remove or narrow policy denied/p, statement 3" in line for line in shown)
    shown = lines("storage")
    assert shown[0].startswith("ALLOWED: ") and "Together: DENIED" in shown
    assert any(line.startswith(f"DENIED: {zoo.arn('user', 'storage')} may not {DECRYPT} on {zoo.key} via s3")
               for line in shown)
    assert "identity policies silent" in shown
    # A near miss: the statement, its condition, and what the request has.
    shown = lines("elsewhere", "--context", "aws:SourceIp=192.0.2.7")
    assert "Allow by policy elsewhere/p, statement 1" in shown
    assert "but not aws:SourceIp IpAddress 10.0.0.0/8; the request has 192.0.2.7" in shown
    shown = lines("elsewhere", "--context", "aws:SourceIp=10.1.1.1", code=0)
    assert shown[0].startswith("ALLOWED: ")
    shown = lines("elsewhere", code=11)
    assert shown[0].startswith("ALLOWED IF: ") and any(
        line.startswith("aws:SourceIp IpAddress 10.0.0.0/8") for line in shown)
    shown = lines("tls", "--context", "aws:SecureTransport=false")
    assert "where aws:SecureTransport Bool false; the request has false" in shown
    # A key: what the caller lacks when it asks directly, and as S3 asks for it.
    direct = {"action": DECRYPT, "on": zoo.key}
    shown = lines("via", **direct)
    assert "but not kms:ViaService StringEquals " + f"s3.{zoo.access.region}.amazonaws.com; the request has no such key" in shown
    assert lines("via", "--via", "s3", **direct, code=0)[0].startswith("ALLOWED: ")
    context = f"kms:EncryptionContext:aws:s3:arn=arn:aws:s3:::{BUCKET}/k"
    assert lines("context", "--context", context, **direct, code=0)[0].startswith("ALLOWED: ")
    assert any("the request has no such key" in line for line in lines("context", **direct))
    # A role: by whom, and with what.
    role = {"action": ASSUME, "on": zoo.arn("role", "external")}
    assert lines("assumes-external", "--context", "sts:ExternalId=ours", **role, code=0)[0].startswith("ALLOWED: ")
    assert "sts:ExternalId StringEquals ours" in " ".join(lines("assumes-external", **role, code=11))
    shown = lines("assumes-external", "--context", "sts:ExternalId=theirs", **role)
    assert any("but not sts:ExternalId StringEquals ours; the request has theirs" in line for line in shown)


def test_explain_of_every_kind_of_principal_and_place(zoo):
    explain = zoo.explain
    explain("s3:ListAllMyBuckets", "--as", zoo.account, "--on", "*", code=0)
    explain("s3:ListBucket", "--as", zoo.account, "--on", f"arn:aws:s3:::{BUCKET}", code=0)
    explain("s3:PutObject", "--as", "anonymous", "--on", f"s3://{BUCKET}/new", code=10)
    explain("kms:ListKeys", "--as", zoo.account, "--on", "*", code=0)
    explain("iam:CreateUser", "--as", zoo.arn("user", "both"), "--on", zoo.arn("user", "x"), code=10)
    explain("iam:CreateUser", "--as", zoo.account, "--on", zoo.arn("user", "x"), code=0)
    explain(ASSUME, "--as", zoo.account, "--on", zoo.arn("role", "reader"), code=10)
    explain(GET, "--as", zoo.session, "--on", f"s3://{BUCKET}/aws:kms", code=0)
    explain(GET, "--as", "logging.s3.amazonaws.com", "--on", f"s3://{BUCKET}/aws:kms", code=10)
    explain(GET, "--as", zoo.arn("role", "half"), "--on", f"s3://{BUCKET}/AES256", code=10)
    done = json.loads(explain(GET, "--as", zoo.arn("user", "both"), "--on", f"s3://{BUCKET}/aws:kms", "--json").text)
    assert done["answer"] == "yes" and done["then"]["action"] == DECRYPT
    assert done["deciding"][0]["policy"] == "policy both/p" and done["deciding"][0]["statement"] == 1


@pytest.mark.parametrize("words, code, text", [
    ((GET, "--as", "alice", "--on", "s3://b/k"), 2, "is no principal"),
    ((GET, "--as", "anonymous", "--on", "arn:aws:sqs:::q"), 2, "is no resource"),
    ((GET, "--as", "anonymous", "--on", f"s3://{BUCKET}/k", "--context", "SourceIp=1"), 2, "condition key"),
    ((GET, "--as", "111111111111", "--on", f"s3://{BUCKET}/k"), 1, "no such principal"),
    ((GET, "--as", "anonymous", "--on", "s3://no-such-bucket-here/k"), 1, "no bucket"),
    ((GET, "--as", "anonymous", "--on", f"s3://{BUCKET}"), 1, "ARN of an object"),
    (("s3:GetObjekt", "--as", "anonymous", "--on", f"s3://{BUCKET}/k"), 1, "did you mean s3:GetObject"),
    (("sqs:SendMessage", "--as", "anonymous", "--on", "*"), 1, "is no action"),
])
def test_what_cannot_be_answered_is_an_error_with_a_way_out(zoo, words, code, text):
    done = zoo.strongroom("explain", *words, code=code)
    assert text in done.stderr and not done.stdout


def test_a_key_that_is_disabled_lets_nobody_read(zoo):
    zoo.kms.disable_key(KeyId=zoo.key)
    try:
        report = zoo.who("aws:kms")
        assert report["readers"] == [] and report["object"]["key_state"] == "Disabled"
        assert not zoo.reads(zoo.arn("user", "both"), "aws:kms")
        both = next(it for it in report["halves"] if it["principal"] == zoo.arn("user", "both"))
        assert "is disabled" in both["key"]["lacks"]
        text = zoo.strongroom("who-can-decrypt", f"s3://{BUCKET}/aws:kms").stdout
        assert "CAN READ IT TODAY: nobody" in text and "The key is Disabled" in text
        assert zoo.reads(zoo.arn("user", "both"), "AES256")
    finally:
        zoo.kms.enable_key(KeyId=zoo.key)


def test_versions_need_the_right_on_versions(zoo):
    bucket = new_bucket(zoo.s3, "zoo-of-versions")
    zoo.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = zoo.s3.put_object(Bucket=bucket, Key="k", Body=BODY)["VersionId"]
    zoo.s3.delete_object(Bucket=bucket, Key="k")
    error = zoo.strongroom("who-can-decrypt", f"s3://{bucket}/k", code=1).stderr
    assert "no object k" in error
    text = zoo.strongroom("who-can-decrypt", f"s3://{bucket}/k", "--version-id", version, "--json").stdout
    report = json.loads(text)
    assert [it["principal"] for it in report["readers"]] == [f"arn:aws:iam::{zoo.account}:root"]
    assert report["readers"][0]["s3"]["action"] == "s3:GetObjectVersion"
    assert report["object"]["version"] == version


def test_a_public_bucket_is_everybodys_unless_it_is_blocked(zoo):
    bucket = new_bucket(zoo.s3, "zoo-of-the-public")
    zoo.s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    zoo.s3.delete_public_access_block(Bucket=bucket)
    zoo.s3.put_bucket_policy(Bucket=bucket, Policy=document(
        allow(GET, f"arn:aws:s3:::{bucket}/*", Principal="*")))

    def anonymous():
        report = json.loads(zoo.strongroom("who-can-decrypt", f"s3://{bucket}/k", "--json", "--all").stdout)
        shown = [it for it in report["readers"] if it["principal"] == "anonymous"]
        try:
            really = zoo.actors["anonymous"].get_object(Bucket=bucket, Key="k")["Body"].read() == BODY
        except ClientError:
            really = False
        assert really == bool(shown)
        return really

    assert anonymous()
    zoo.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert not anonymous()
    shown = zoo.explain(GET, "--as", "anonymous", "--on", f"s3://{bucket}/k", code=10).text
    assert "RestrictPublicBuckets" in shown


def test_no_server_no_answer(tmp_path):
    done = subprocess.run([binary(), "who-can-decrypt", "s3://bucket/k", "--data", str(tmp_path)],
                          env=clean_env(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "no server runs" in done.stderr


@pytest.mark.parametrize("verb, texts", [
    ("explain", ["--as arn:aws:iam::111122223333:user/alice", "kms:Decrypt --via s3", "ALLOWED IF", "10 denied"]),
    ("who-can-decrypt", ["who-can-decrypt s3://photos/2025/a.jpg", "--all", "roles", "not counted"]),
])
def test_the_help_teaches_with_examples(verb, texts):
    shown = subprocess.run([binary(), verb, "--help"], capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0
    for text in texts:
        assert text in shown.stdout, shown.stdout
