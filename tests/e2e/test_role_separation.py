"""Role separation: who can do what when storage, keys and their use are in different hands.

Roles x every operation of S3 and KMS x the ways of encryption. What is expected is computed from two tables written by
hand from AWS's rules: the rights of each role (RULES), and what each operation asks (docs/authorization.md and DATA).
The matrix that was seen is published in docs/authorization.md; a cell that is missing there, or tells otherwise, fails.
`pytest tests/e2e/test_role_separation.py -n0 --write-roles` writes it anew.
"""

import fnmatch
import json
import subprocess
from types import SimpleNamespace

import pytest

from callers import Account, Actor, Callers, TimedServer, allow, fresh, told
from conftest import binary, clean_env, common_server
from operations import OPERATIONS
from operations_kms import UNSUPPORTED
from operations_s3 import s3_state
from stage import DOCUMENT, Stage, rows

BEGIN, END = "<!-- roles: generated -->", "<!-- end of roles -->"
ROLES = ["S3 admin", "KMS admin", "both", "application", "auditor", "none", "other account"]

# The key administrators' statement of AWS's console, without the right to hand out the key's use by grants.
MANAGES = ["kms:CreateAlias", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*",
           "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource",
           "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:RotateKeyOnDemand"]
# Of it, what needs the IAM policies of an account: whatever is not about a key.
KEY_SERVICE = ["kms:CreateKey", "kms:ListKeys", "kms:ListAliases", "kms:ListRetirableGrants", "kms:*Alias"]
# The key users' statement.
USES = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
AUDITS = ["s3:ListAllMyBuckets", "s3:ListBucket*", "s3:GetBucket*", "s3:Get*Configuration", "s3:ListMultipartUploadParts",
          "kms:Describe*", "kms:List*", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:GetKeyLastUsage"]
APPLICATION = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
               "s3:ListMultipartUploadParts", "s3:GetObjectAttributes", "s3:UpdateObjectEncryption"]
THROUGH_S3 = ["kms:Decrypt", "kms:GenerateDataKey"]

# Role -> rights: (actions, where). "own" and "shared" are keys, "direct" a call of the key service, "s3" one that S3
# makes for the caller; "foreign" is what belongs to the other account.
RULES = {
    "S3 admin": [(["s3:*"], "s3")],
    "KMS admin": [(MANAGES, "own shared"), (KEY_SERVICE, "service")],
    "both": [(["s3:*"], "s3"), (MANAGES, "own shared"), (KEY_SERVICE, "service")],
    "application": [(APPLICATION, "s3"), (THROUGH_S3, "own through s3")],
    "auditor": [(AUDITS, "s3 own shared service")],
    "none": [],
    # What is its own it may; of this account's, the objects by the bucket's policy and the shared key by the key's.
    "other account": [(["s3:GetObject", "s3:PutObject"], "s3"), (USES, "shared"), (["s3:*", "kms:*"], "foreign")],
}
FOREIGN = {"ListBuckets", "CreateBucket", "CreateKey", "ListKeys", "ListAliases", "GenerateRandom"}
# It names principals of its own account; nobody else has grants that they retire.
FOREIGN |= {"ListRetirableGrants", "CreateBucket with an ACL", "CreateBucket with object ownership", "CreateKey with tags"}
# Operations on a key that work from another account (API Reference, "Cross-account use").
CROSSES = {"DescribeKey", "Encrypt", "Decrypt", "Decrypt without a key id", "ReEncrypt", "GenerateDataKey",
           "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}


def may(role, action, where):
    """Whether the role has the action there: "s3", "own", "own through s3", "shared", "service" or "foreign"."""
    for actions, places in RULES[role]:
        if places == "own through s3":
            placed = where == "own through s3"
        else:
            placed = where.removesuffix(" through s3") in places.split()
        if placed and any(fnmatch.fnmatchcase(action, pattern) for pattern in actions):
            return True
    return False


class Separated:
    """The server, the roles, a bucket and two keys."""

    def __init__(self, server, other):
        self.callers = Callers(server.access())
        self.account = account = Account(self.callers)
        self.other = Account(self.callers, other)
        users = {"S3 admin": account.user(allow("s3:*")), "KMS admin": account.user(allow(KEY_SERVICE)),
                 "both": account.user(allow("s3:*"), allow(KEY_SERVICE)), "application": account.user(),
                 "auditor": account.user(allow(AUDITS)), "none": account.user(), "other account": self.other.user(allow())}
        self.roles = users
        admins = {"AWS": [users["KMS admin"].arn, users["both"].arn]}
        managed = {**allow(MANAGES), "Principal": admins}
        shared = {**allow(USES), "Principal": {"AWS": f"arn:aws:iam::{self.other.id}:root"}}
        self.policies = {"own": [managed], "shared": [managed, shared]}
        self.keys = {kind: account.key(*self.policies[kind]) for kind in self.policies}
        region = self.callers.region
        account.set_user(users["application"].name, allow(APPLICATION),
                         allow(THROUGH_S3, self.keys["own"],
                               Condition={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}))
        self.bucket = self.shared_bucket()

    def shared_bucket(self, versioned=True):
        name = self.account.bucket(versioned=versioned)
        self.share(name)
        return name

    def share(self, bucket):
        self.account.bucket_policy(bucket, {
            **allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::{bucket}/*"),
            "Principal": {"AWS": f"arn:aws:iam::{self.other.id}:root"}})


class SeparatedStage(Stage):
    """A stage whose buckets and keys have the policies of the roles."""

    def __init__(self, world, kind):
        account = SimpleNamespace(
            id=world.account.id, root=world.account.root, trust=world.account.trust,
            key=lambda **members: world.account.key(*world.policies[kind], **members),
            bucket=lambda versioned=True: world.shared_bucket(versioned))
        super().__init__(account)
        self.world, self.bucket, self.key = world, world.bucket, world.keys[kind]

    s3 = property(lambda self: self.world.account.s3)
    kms = property(lambda self: self.world.account.kms)
    iam = property(lambda self: self.world.account.iam)


@pytest.fixture(scope="module")
def world(request):
    with common_server(request, "roles", kind=TimedServer) as server:
        yield Separated(server, other_account(server))


def other_account(server):
    """The root user of a second account."""
    done = subprocess.run([binary(), "account", "create", "other", "--json", "--data", str(server.data), "--key-file",
                           str(server.key_file)], env=clean_env(server.home), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return Actor(made["AccessKeyId"], made["SecretAccessKey"])


# Data operations by mode: the ways of encryption and the key that each needs.
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
MODES = {
    "SSE-S3": (lambda w: {"ServerSideEncryption": "AES256"}, None),
    "SSE-KMS, own key": (lambda w: {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.keys["own"]}, "own"),
    "SSE-KMS, shared key": (lambda w: {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.keys["shared"]}, "shared"),
    "SSE-KMS, own key, bucket key": (lambda w: {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.keys["own"],
                                                "BucketKeyEnabled": True}, "own"),
    "SSE-KMS, shared key, bucket key": (lambda w: {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": w.keys["shared"],
                                                   "BucketKeyEnabled": True}, "shared"),
    "DSSE-KMS, own key": (lambda w: {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": w.keys["own"]}, "own"),
    "SSE-C": (lambda w: dict(CUSTOMER), None),
}


def customer(sent, prefix=""):
    return {prefix + k: v for k, v in sent.items() if k.startswith("SSECustomer")}


def stored(w, sent):
    at = {"Bucket": w.bucket, "Key": fresh("o-")}
    w.account.s3.put_object(**at, Body=b"content", ChecksumAlgorithm="SHA256", **sent)
    return at


def uploading(w, sent, parts=0):
    at = {"Bucket": w.bucket, "Key": fresh("m-")}
    at["UploadId"] = w.account.s3.create_multipart_upload(**at, **sent)["UploadId"]
    if parts:
        w.etag = w.account.s3.upload_part(**at, PartNumber=1, Body=b"part", **customer(sent))["ETag"]
    return at


def completing(w, sent):
    at = uploading(w, sent, 1)
    return {**at, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": w.etag}]}, **customer(sent)}


def new_object(w, sent, prefix="o-"):
    return {"Bucket": w.bucket, "Key": fresh(prefix), **sent}


def attributes(w, sent):
    ours = customer(sent)
    if ours:  # botocore encodes the key for every operation but this one.
        from test_sse_matrix import customer_headers
        coded = list(customer_headers().values())
        ours = {"SSECustomerAlgorithm": coded[0], "SSECustomerKey": coded[1], "SSECustomerKeyMD5": coded[2]}
    return {**stored(w, sent), "ObjectAttributes": ["ETag", "Checksum"], **ours}


# Operation -> (method, arguments, S3 actions, KMS actions where a KMS key encrypts).
DATA = {
    "PutObject": ("put_object", lambda w, s: {**new_object(w, s), "Body": b"x"}, ["PutObject"], ["GenerateDataKey"]),
    "GetObject": ("get_object", lambda w, s: {**stored(w, s), **customer(s)}, ["GetObject"], ["Decrypt"]),
    "HeadObject": ("head_object", lambda w, s: {**stored(w, s), **customer(s)}, ["GetObject"], []),
    "HeadObject with checksum mode": (
        "head_object", lambda w, s: {**stored(w, s), "ChecksumMode": "ENABLED", **customer(s)}, ["GetObject"],
        ["Decrypt"]),
    "GetObjectAttributes": ("get_object_attributes", attributes, ["GetObjectAttributes", "GetObject"], ["Decrypt"]),
    "CopyObject": ("copy_object", lambda w, s: {**new_object(w, s, "c-"), "CopySource": stored(w, s),
                                                **customer(s, "CopySource")},
                   ["GetObject", "PutObject"], ["Decrypt", "GenerateDataKey"]),
    "CopyObject from it to SSE-S3": (
        "copy_object", lambda w, s: {**new_object(w, {"ServerSideEncryption": "AES256"}, "c-"),
                                     "CopySource": stored(w, s), **customer(s, "CopySource")},
        ["GetObject", "PutObject"], ["Decrypt"]),
    "CopyObject to it from SSE-S3": (
        "copy_object", lambda w, s: {**new_object(w, s, "c-"),
                                     "CopySource": stored(w, {"ServerSideEncryption": "AES256"})},
        ["GetObject", "PutObject"], ["GenerateDataKey"]),
    "CreateMultipartUpload": ("create_multipart_upload", lambda w, s: new_object(w, s, "m-"), ["PutObject"],
                              ["GenerateDataKey"]),
    "UploadPart": ("upload_part", lambda w, s: {**uploading(w, s), "PartNumber": 1, "Body": b"x", **customer(s)},
                   ["PutObject"], ["Decrypt"]),
    "UploadPartCopy": ("upload_part_copy", lambda w, s: {
        **uploading(w, s), "PartNumber": 1, "CopySource": stored(w, s), **customer(s), **customer(s, "CopySource")},
        ["PutObject", "GetObject"], ["Decrypt"]),
    "CompleteMultipartUpload": ("complete_multipart_upload", completing, ["PutObject"], ["Decrypt"]),
    "AbortMultipartUpload": ("abort_multipart_upload", uploading, ["AbortMultipartUpload"], []),
    "ListParts": ("list_parts", lambda w, s: uploading(w, s, 1), ["ListMultipartUploadParts"], ["Decrypt"]),
    "GetObjectTagging": ("get_object_tagging", stored, ["GetObjectTagging"], []),
    "PutObjectTagging": ("put_object_tagging", lambda w, s: {**stored(w, s), "Tagging": {"TagSet": []}},
                         ["PutObjectTagging"], []),
    "DeleteObject": ("delete_object", stored, ["DeleteObject"], []),
    "UpdateObjectEncryption to the own key": (
        "update_object_encryption",
        lambda w, s: {**stored(w, s), "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": w.keys["own"]}}},
        ["UpdateObjectEncryption", "PutObject"], ["Decrypt", "GenerateDataKey own"]),
}
# UpdateObjectEncryption is for these only.
REWRAPPED = ["SSE-S3", "SSE-KMS, own key", "SSE-KMS, shared key"]
# Those that leave something behind: arguments serve once.
ONCE = {"CompleteMultipartUpload", "AbortMultipartUpload", "DeleteObject"}


def shown(answer, what):
    """Whether it was done. Anything but success and refusal is a mistake of this test."""
    if answer.fine:
        return True
    assert answer.short in {(403, "AccessDenied"), (403, "403"), (400, "AccessDeniedException")}, (what, answer)
    return False


DATA_CELLS = [(operation, mode) for operation in DATA for mode in MODES
              if mode in REWRAPPED or not operation.startswith("Update")]


@pytest.mark.parametrize("operation,mode", DATA_CELLS)
def test_data(world, request, operation, mode):
    method, prepare, s3_actions, kms_actions = DATA[operation]
    sent, key = MODES[mode][0](world), MODES[mode][1]
    args, seen = prepare(world, sent), {}
    before = s3_state(SimpleNamespace(s3=world.account.s3), args)
    for role in sorted(ROLES, key=lambda it: expected_data(it, s3_actions, kms_actions, key)):
        if operation in ONCE and any(seen.values()):
            args = prepare(world, sent)
        answer = told(lambda: getattr(world.callers.of(world.roles[role], "s3"), method)(**args))
        seen[role] = shown(answer, (operation, mode, role))
        if answer.fine and "Body" in answer.answer:
            assert answer.answer["Body"].read() == b"content"
        if not any(seen.values()):
            assert s3_state(SimpleNamespace(s3=world.account.s3), args) == before, role
    expected = {role: expected_data(role, s3_actions, kms_actions, key) for role in ROLES}
    assert seen == expected
    publish(request, "s3", operation, mode, seen)


def expected_data(role, s3_actions, kms_actions, key):
    asked = [(f"s3:{action}", "s3") for action in s3_actions]
    for action in kms_actions:
        action, _, other = action.partition(" ")
        if other or key:
            asked.append((f"kms:{action}", f"{other or key} through s3"))
    return all(may(role, action, where) for action, where in asked)


# What the data operations do not cover.
COVERED = {name.partition(" ")[0] for name in DATA}
PLAIN = [name for service, name in OPERATIONS if service == "s3" and name.partition(" ")[0] not in COVERED]
KEYS = [name for service, name in OPERATIONS if service == "kms"]
ROWS = rows()


@pytest.mark.parametrize("operation", PLAIN)
def test_buckets(world, request, operation):
    op = OPERATIONS["s3", operation]
    expected = {role: expected_bucket(role, operation) for role in ROLES}
    seen = whole_row(world, "s3", op, expected, SeparatedStage(world, "own"))
    assert seen == expected
    publish(request, "s3", operation, "", seen)
    for call in ("delete_bucket_policy", "delete_bucket_encryption", "delete_bucket_tagging"):
        getattr(world.account.s3, call)(Bucket=world.bucket)
    world.account.s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    world.share(world.bucket)


@pytest.mark.parametrize("kind", ["own", "shared"])
@pytest.mark.parametrize("operation", KEYS)
def test_keys(world, request, operation, kind):
    op = OPERATIONS["kms", operation]
    expected = {role: expected_key(role, operation, kind) for role in ROLES}
    stage = SeparatedStage(world, kind)
    seen = whole_row(world, "kms", op, expected, stage)
    assert seen == expected
    publish(request, "kms", operation, f"{kind} key", seen)
    world.account.key_policy(stage.key, *world.policies[kind])


def expected_bucket(role, operation):
    where = "foreign" if role == "other account" and operation in FOREIGN else "s3"
    return all(may(role, action, where) for action in ROWS["s3", operation].actions)


def expected_key(role, operation, kind):
    row = ROWS["kms", operation]
    if role == "other account":
        if operation in FOREIGN:
            return True
        return operation in CROSSES and all(may(role, action, kind) for action in row.actions)
    # An alias and a key, or the service and a key: the rights on both.
    places = ["service"] if row.on == "*" else []
    if "key" in row.on or operation == "ListAliases of a key":
        places.append(kind)
    if "alias" in row.on:
        places.append("service")
    return all(may(role, action, place) for action in row.actions for place in places)


def whole_row(world, service, op, expected, stage):
    """Every role makes the call, those first that must be refused; role -> whether it was done."""
    args, seen = op.prepare(stage), {}
    before = op.state and op.state(stage, args)
    for role in sorted(ROLES, key=lambda it: expected[it]):
        if op.state and any(seen.values()):
            args = op.prepare(stage)
        actor = world.roles[role]

        def made():
            if callable(op.call):
                return op.call(world, actor, args)
            return getattr(world.callers.of(actor, service), op.call)(**args)

        answer = told(made)
        if answer.code in op.fine:
            seen[role] = True
        elif role == "other account" and answer.code == "NotFoundException":
            seen[role] = False  # An alias, or a key id, of its own account.
        else:
            seen[role] = shown(answer, (role, args))
        if before is not None and not any(seen.values()):
            assert op.state(stage, args) == before, role
    return {role: seen[role] for role in ROLES}


# The published matrix.

def publish(request, service, operation, what, seen):
    cells = request.config.stash[STASH]
    cells[service, operation, what] = [seen[role] for role in ROLES]
    if not request.config.getoption("--write-roles", default=False):
        assert documented().get((service, operation, what)) == cells[service, operation, what]


def documented():
    """(service, operation, encryption) -> cells."""
    text, found = DOCUMENT.read_text(), {}
    assert BEGIN in text and END in text, "docs/authorization.md has no matrix of roles"
    for line in text[text.index(BEGIN):text.index(END)].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(ROLES) + 2 and cells[2] in ("yes", "-"):
            service = "kms" if ("kms", cells[0]) in ROWS else "s3"
            for what in cells[1].split("; "):
                found[service, cells[0], "" if what == "any" else what] = [cell == "yes" for cell in cells[2:]]
    return found


def render(cells):
    head = "| Operation | Encryption, or key | " + " | ".join(ROLES) + " |"
    lines = [BEGIN, "", head, "|---" * (len(ROLES) + 2) + "|"]
    joined = {}
    for (service, operation, what), row in cells.items():
        joined.setdefault((service, operation, tuple(row)), []).append(what or "any")
    for (_, operation, row), whats in joined.items():
        marks = ["yes" if cell else "-" for cell in row]
        lines.append(f"| {operation} | {'; '.join(whats)} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", END])


def every_cell():
    return [*(("s3", operation, mode) for operation, mode in DATA_CELLS),
            *(("s3", operation, "") for operation in PLAIN),
            *(("kms", operation, f"{kind} key") for operation in KEYS for kind in ("own", "shared"))]


def test_the_document_has_every_cell_and_no_other(request):
    if not request.config.getoption("--write-roles", default=False):
        assert set(documented()) == set(every_cell())


def test_every_operation_is_covered():
    covered = {(service, operation.partition(" ")[0]) for service, operation, _ in every_cell()}
    covered |= {("kms", name) for name in UNSUPPORTED}
    assert {(service, name.partition(" ")[0]) for service, name in ROWS if service in ("s3", "kms")} == covered


STASH = pytest.StashKey()


@pytest.fixture(scope="module", autouse=True)
def written_matrix(request):
    config = request.config
    config.stash[STASH] = cells = {}
    yield
    if config.getoption("--write-roles", default=False) and cells:
        ordered = {cell: cells[cell] for cell in every_cell()}
        text = DOCUMENT.read_text()
        head, tail = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
        DOCUMENT.write_text(head + render(ordered) + tail)
