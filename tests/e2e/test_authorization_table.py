"""The authorization table: every operation of every service, made by every kind of caller.

The rows are those of docs/authorization.md, the calls those of operations.py; one without the other fails. Each row's
call is made by strangers, by callers whom one layer after the other denies, by callers who lack one of the row's
actions or have them elsewhere, and by callers with exactly the row's actions. Who is refused gets the exact error, and
has changed nothing.
"""

import re

import pytest

from callers import ANONYMOUS, Account, Actor, Callers, allow, deny, document, server_with_expired_session, told
from conftest import common_home
from operations import FREE, OPERATIONS, UNSIGNED, trusting
from operations_kms import UNSUPPORTED, key_of
from stage import Stage, rows

ROWS = rows()
ANSWERS = {
    "s3": {"anonymous": (403, "AccessDenied"), "unknown key": (403, "InvalidAccessKeyId"),
           "wrong signature": (403, "SignatureDoesNotMatch"), "expired session": (400, "ExpiredToken"),
           "denied": (403, "AccessDenied")},
    "kms": {"anonymous": (400, "MissingAuthenticationTokenException"),
            "unknown key": (400, "UnrecognizedClientException"), "wrong signature": (400, "InvalidSignatureException"),
            "expired session": (400, "ExpiredTokenException"), "denied": (400, "AccessDeniedException")},
    "iam": {"anonymous": (403, "MissingAuthenticationToken"), "unknown key": (403, "InvalidClientTokenId"),
            "wrong signature": (403, "SignatureDoesNotMatch"), "expired session": (403, "ExpiredToken"),
            "denied": (403, "AccessDenied")},
}
ANSWERS["sts"] = ANSWERS["iam"]
ANSWERS["cloudtrail"] = ANSWERS["kms"]


class World:
    """A server with one of each kind of caller."""

    def __init__(self, server, expired):
        self.callers = Callers(server.access())
        self.account = account = Account(self.callers)
        root = self.callers.root
        self.strangers = {
            "anonymous": ANONYMOUS,
            "unknown key": Actor("AKIAZZZZZZZZZZZZZZZZ", root.secret),
            "wrong signature": Actor(root.access, root.secret[:-1] + ("a" if root.secret[-1] != "a" else "b")),
            "expired session": expired,
        }
        self.none, self.exact, self.lacking = account.user(), account.user(), account.user()
        self.all = account.user(allow())
        self.denied, self.bounded, self.member = account.user(allow()), account.user(allow()), account.user(allow())
        account.iam.create_group(GroupName="denying")
        account.iam.add_user_to_group(GroupName="denying", UserName=self.member.name)
        self.admin = account.role(allow())

    def bound(self, *statements):
        arn = self.account.managed(*statements)
        self.account.iam.put_user_permissions_boundary(UserName=self.bounded.name, PermissionsBoundary=arn)
        return self.bounded

    def session(self, *statements):
        return self.account.assume(self.all, self.admin, *statements)


@pytest.fixture(scope="session")
def world(request):
    with common_home(request, "table") as home:
        server, expired = server_with_expired_session(home)
        try:
            yield World(server, expired)
        finally:
            server.stop()
        server.assert_sane()


def call(world, row, op, actor, args):
    def made():
        if callable(op.call):
            return op.call(world, actor, args)
        answer = getattr(world.callers.of(actor, row.service), op.call)(**args)
        if "Body" in answer:
            answer["Body"].read()
        return answer
    return told(made)


def expected(row, kind):
    """What a refused caller is told; the answer to HEAD has no body to tell a code."""
    status, code = ANSWERS[row.service][kind]
    return (status, str(status) if row.name.startswith("Head") else code)


def resources(world, row, stage, args):
    """The ARNs that the row speaks of."""
    account, bucket = world.account.id, args.get("Bucket", "none")
    known = {"provider": [f"arn:aws:iam::{account}:oidc-provider/*"], "*": ["*"], "bucket": [f"arn:aws:s3:::{bucket}"], "object": [f"arn:aws:s3:::{bucket}/*"],
             "key": [f"arn:aws:kms:*:{account}:key/*"], "alias": [f"arn:aws:kms:*:{account}:alias/*"],
             "user": [f"arn:aws:iam::{account}:user/*"], "group": [f"arn:aws:iam::{account}:group/*"],
             "trail": [f"arn:aws:cloudtrail:*:{account}:trail/*"],
             "role": [f"arn:aws:iam::{account}:role/*"], "policy": [f"arn:aws:iam::{account}:policy/*"]}
    found = [arn for kind in row.on.split(", ") for arn in known[kind]]
    if row.name == "UpdateObjectEncryption" or row.service != "s3":
        return found
    return [*found, *[f"arn:aws:s3:::{source['Bucket']}/*" for source in [args.get("CopySource")] if source]]


def set_policy(world, stage, kind, args, *statements):
    """Sets the policy of what the call is done to: the usual one and the statements."""
    if kind == "bucket":
        world.account.bucket_policy(args["Bucket"], *statements)
    elif kind == "key":
        world.account.key_policy(key_of(stage, args), *statements)
    else:
        name = args["RoleArn"].rpartition("/")[2]
        world.account.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusting(stage, *statements))


def of_service(row, kind):
    """The row's actions that a policy of the kind speaks of."""
    prefix = {"bucket": "s3:", "key": "kms:", "trust": "sts:"}[kind]
    return [action for action in row.actions if action.startswith(prefix)]


def named(statement, actor, *kind):
    statement = {**statement, "Principal": {"AWS": actor.arn}}
    return {k: v for k, v in statement.items() if k != "Resource"} if kind == ("trust",) else statement


def refusals(world, row, op, stage, args):
    """Who must be refused: (how it is called, actor, the action that the refusal must name)."""
    account, first = world.account, row.actions[0]
    yield "no permission", world.none, None
    account.set_user(world.denied.name, allow(), deny(first))
    yield "denied by identity policy", world.denied, first
    account.iam.put_group_policy(GroupName="denying", PolicyName="p", PolicyDocument=document(deny(first)))
    yield "denied by group policy", world.member, first
    everything_but = {"Effect": "Allow", "NotAction": first, "Resource": "*"}
    yield "not allowed by boundary", world.bound(everything_but), first
    yield "denied by boundary", world.bound(allow(), deny(first)), first
    if op.sessions:
        yield "not allowed by session policy", world.session(everything_but), first
        yield "denied by session policy", world.session(allow(), deny(first)), first
    else:
        yield "a session", world.session(), None
    for action in row.actions:
        account.set_user(world.lacking.name, {**everything_but, "NotAction": action})
        yield f"all but {action}", world.lacking, action
    found = resources(world, row, stage, args)
    if "*" not in found:
        account.set_user(world.lacking.name, {"Effect": "Allow", "Action": row.actions, "NotResource": found})
        yield "allowed elsewhere", world.lacking, None
    for kind in (op.by or "").split():
        actions = of_service(row, kind)
        set_policy(world, stage, kind, args, named(deny(actions), world.all, kind))
        yield f"denied by {kind} policy", world.all, actions[0] if len(row.actions) == 1 else None
        if not op.alone:
            set_policy(world, stage, kind, args, named(allow(actions), world.none, kind))
            yield f"allowed by {kind} policy only", world.none, None
        set_policy(world, stage, kind, args)


def refused_strangers(world, row, op, args):
    for kind, actor in world.strangers.items():
        answer = call(world, row, op, actor, args)
        assert answer.short == expected(row, kind), (kind, answer)


def test_every_row_has_a_call_and_every_call_a_row():
    calls = {*OPERATIONS, *(("kms", name) for name in UNSUPPORTED), *(("sts", name) for name in (*FREE, *UNSIGNED))}
    assert set(ROWS) == calls
    for row in ROWS.values():
        assert row.actions, row.name


@pytest.mark.parametrize("service,name", OPERATIONS, ids=[f"{s}-{n}" for s, n in OPERATIONS])
def test_row(world, service, name):
    row, op, stage = ROWS[service, name], OPERATIONS[service, name], Stage(world.account)
    args = op.prepare(stage)
    if "key" in (op.by or "").split():
        set_policy(world, stage, "key", args)
    before = op.state and op.state(stage, args)
    refused_strangers(world, row, op, args)
    for kind, actor, action in refusals(world, row, op, stage, args):
        answer = call(world, row, op, actor, args)
        assert answer.short == expected(row, "denied"), (kind, answer)
        if op.sessions and answer.message.startswith("User: "):
            asked = re.search(r"perform: (\S+) ", answer.message)[1]
            assert asked == action if action else asked in row.actions, (kind, answer.message)
            assert actor.arn in answer.message
    assert before is None or op.state(stage, args) == before, "a refused call changed something"

    # Those who may. What the refused calls were for comes first: it must still work.
    account = world.account
    exactly = allow(row.actions, resources(world, row, stage, args))
    account.set_user(world.exact.name, exactly)
    allowed(world, row, op, world.exact, args, "exactly the row's actions")
    if op.sessions:
        args = op.prepare(stage)
        session = world.session(allow(row.actions, resources(world, row, stage, args)))
        allowed(world, row, op, session, args, "a session policy of exactly the row's actions")
    if op.by and op.alone:
        args = op.prepare(stage)
        for kind in op.by.split():
            set_policy(world, stage, kind, args, named(allow(of_service(row, kind)), world.none, kind))
        allowed(world, row, op, world.none, args, "the resource's policy alone")
        if name != "DeleteBucket":
            for kind in op.by.split():
                set_policy(world, stage, kind, args)
    if op.grant:
        args = op.prepare(stage)
        key = key_of(stage, args)
        grant = account.kms.create_grant(KeyId=key, GranteePrincipal=world.none.arn, Operations=list(op.grant))
        allowed(world, row, op, world.none, args, "a grant")
        account.kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
        assert call(world, row, op, world.none, args).short == expected(row, "denied"), "revoked"


def allowed(world, row, op, actor, args, kind):
    answer = call(world, row, op, actor, args)
    assert answer.fine or answer.code in op.fine, (kind, answer)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_is_refused_to_everybody(world, name):
    row, (method, args) = ROWS["kms", name], UNSUPPORTED[name]
    for kind, actor in world.strangers.items():
        answer = told(lambda: getattr(world.callers.of(actor, "kms"), method)(**args))
        assert answer.short == expected(row, kind), (kind, answer)
    for actor in (world.none, world.all, world.callers.root):
        answer = told(lambda: getattr(world.callers.of(actor, "kms"), method)(**args))
        assert answer.short == (400, "UnsupportedOperationException"), answer


@pytest.mark.parametrize("name", FREE)
def test_what_asks_no_right_is_for_every_signer_and_cannot_be_denied(world, name):
    row, op = ROWS["sts", name], FREE[name]
    refused_strangers(world, row, op, {})
    action = row.actions[0]
    world.account.set_user(world.denied.name, allow(), deny(action))
    for actor in (world.none, world.denied, world.bound(deny(action)), world.callers.root):
        allowed(world, row, op, actor, {}, "a signer")
    session = world.session(deny(action))
    if op.sessions:
        allowed(world, row, op, session, {}, "a session")
    else:
        assert call(world, row, op, session, {}).short == expected(row, "denied")


@pytest.mark.parametrize("name", UNSIGNED)
def test_what_is_not_signed_needs_its_own_proof(world, name):
    row, op, stage = ROWS["sts", name], UNSIGNED[name], Stage(world.account)
    args = op.prepare(stage)
    for actor in (ANONYMOUS, world.none):
        answer = call(world, row, op, actor, args)
        assert answer.short in {(400, "InvalidIdentityToken"), (403, "AccessDenied")}, answer
