"""A server with an account for attempts to get more than was given; each refusal is exact and leaves its record."""

import json

import pytest

from callers import Account, Callers, TimedServer, allow, document, fresh, told
from conftest import common_server
from test_audit_verbs import audit

S3_DENIED, KMS_DENIED = (403, "AccessDenied"), (400, "AccessDeniedException")


class World:
    def __init__(self, server):
        self.server = server
        self.callers = Callers(server.access())
        self.account = Account(self.callers)
        self.all = self.account.user(allow())
        self.admin = self.account.role(allow())

    def of(self, actor, service):
        return self.callers.of(actor, service)

    def object(self, bucket=None, body=b"secret", **sent):
        at = {"Bucket": bucket or self.account.bucket(), "Key": fresh("o-")}
        self.account.s3.put_object(**at, Body=body, **sent)
        return at


@pytest.fixture(scope="module")
def world(request):
    REFUSED.clear()
    with common_server(request, "escalation", kind=TimedServer) as server:
        yield World(server)
        each_refusal_left_its_record(server)


# Service and request id of every call that the module's server refused for lack of rights.
REFUSED = []


def each_refusal_left_its_record(server):
    denials = {"s3": "AccessDenied", "kms": "AccessDenied", "iam": "AccessDenied", "sts": "AccessDenied"}
    records = [json.loads(line) for line in audit(server, "search", "--json", "-n", "1000000").stdout.splitlines()]
    for service, request_id in REFUSED:
        found = [it for it in records if it.get("requestID") == request_id
                 and it["eventSource"] == f"{service}.amazonaws.com" and "invokedBy" not in it["userIdentity"]]
        assert [it.get("errorCode") for it in found] == [denials[service]], (service, request_id, found)


@pytest.fixture
def account(world):
    return world.account


def fine(call, *args, **members):
    answer = told(lambda: call(*args, **members))
    assert answer.fine, answer
    return answer.answer


def denied(call, *args, **members):
    """The call must be refused for lack of rights, in its service's words."""
    service = call.__self__.meta.service_model.service_name
    answer = told(lambda: call(*args, **members))
    assert answer.short == (KMS_DENIED if service == "kms" else S3_DENIED), answer
    if call.__self__._request_signer._credentials.actor.access is not None:
        REFUSED.append((service, answer.answer["ResponseMetadata"]["RequestId"]))
    return answer


def denied_to(world, actor, service, method, **members):
    return denied(getattr(world.of(actor, service), method), **members)


def done_by(world, actor, service, method, **members):
    return fine(getattr(world.of(actor, service), method), **members)


def a_group(account, *statements):
    name = fresh("g-")
    account.iam.create_group(GroupName=name)
    account.iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=document(*statements))
    return name
