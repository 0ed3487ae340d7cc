"""Every call leaves exactly one record: reads, changes, uses of keys, failures and denials. Strangers cannot fill the disk."""

import json
import re
from collections import Counter
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from callers import ANONYMOUS, Account, Callers, told
from conftest import common_server
from operations import FREE, OPERATIONS
from operations_kms import UNSUPPORTED
from stage import Stage
from test_audit_verbs import audit

# Calls of S3 that are data events: denials of them are recorded, the others are not unless a trail asks for them.
LISTINGS = {"ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "DeleteObjects", "PostObject"}
# Names that records have from before the API had them.
OLDER = {"ListObjectsV2": "ListObjects", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
         "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
         "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
         "GetBucketNotificationConfiguration": "GetBucketNotification",
         "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration"}
REQUIRED = {"eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
            "userAgent", "requestParameters", "responseElements", "requestID", "eventID", "readOnly", "eventType",
            "managementEvent", "recipientAccountId", "eventCategory"}


def all_records(server):
    found = [json.loads(line) for line in audit(server, "search", "--json", "-n", "1000000").stdout.splitlines()]
    assert len({record["eventID"] for record in found}) == len(found)
    return found


def watch(callers, calls):
    """Notes every answer to a signed call: service, operation, whether it names an object, request id, status, code."""
    def note(parsed, model, context, http_response, **_):
        if callers.switch.actor.access is None:
            return
        has_key = any(member in (context.get("input_params") or context.get("client_request_params") or {})
                      for member in ("Key",)) or "{Key+}" in model.http.get("requestUri", "")
        error = parsed.get("Error", {})
        calls.append((model.service_model.service_name, model.name, has_key, parsed["ResponseMetadata"]["RequestId"],
                      http_response.status_code, error.get("Code"), error.get("Message")))
    callers.session.register("after-call", note)


def is_data(name, has_key):
    return has_key or name in LISTINGS


@pytest.fixture(scope="module")
def world(request):
    class World:
        pass
    world = World()
    with common_server(request, "records") as server:
        callers, calls = Callers(server.access()), []
        watch(callers, calls)
        world.server, world.callers, world.calls, world.account = server, callers, calls, Account(callers)
        yield world


def call(world, service, op, actor, args):
    def made():
        if callable(op.call):
            return op.call(world, actor, args)
        answer = getattr(world.callers.of(actor, service), op.call)(**args)
        if "Body" in answer:
            answer["Body"].read()
        return answer
    return told(made)


def test_every_call_of_every_service_has_exactly_one_record(world):
    account, none = world.account, world.account.user()
    secrets = {world.callers.root.secret, none.secret}
    for (service, name), op in [*OPERATIONS.items(), *((("sts", name), op) for name, op in FREE.items())]:
        args = op.prepare(Stage(account))
        call(world, service, op, none, args)
        answer = call(world, service, op, world.callers.root, args)
        found = re.findall(r"'(?:SecretAccessKey|SessionToken)': '([^']+)'", str(answer.answer))
        secrets.update(found)
    for name, (method, args) in UNSUPPORTED.items():
        told(lambda: getattr(world.callers.of(none, "kms"), method)(**args))

    calls = list(world.calls)
    assert len(calls) > 500
    records = all_records(world.server)
    by_call = {}
    for record in records:
        if record.get("userIdentity", {}).get("invokedBy") is None:
            by_call.setdefault((record["eventSource"].split(".")[0], record.get("requestID")), []).append(record)
    wrong, checked = [], Counter()
    for service, name, has_key, request_id, status, code, message in calls:
        found = by_call.get((service, request_id), [])
        data = service == "s3" and is_data(name, has_key)
        # The first account's own: a call that concerns another account as well has another record there.
        own = [record for record in found if record["recipientAccountId"] == account.id]
        if data and status != 403:
            if len(own) > 1:
                wrong.append((service, name, status, code, len(own)))
            continue
        if len(own) != 1:
            wrong.append((service, name, status, code, len(own)))
            continue
        record = own[0]
        checked[service, "failed" if code else "fine"] += 1
        assert record["eventName"] == OLDER.get(name, name), record
        assert REQUIRED <= set(record), REQUIRED - set(record)
        assert record["managementEvent"] is not data, record
        told_in_body = code is not None and not code.isdigit()
        assert (record.get("errorCode") is not None) == (code is not None), (record, code)
        if told_in_body and service != "s3":
            assert record["errorCode"] == {"AccessDeniedException": "AccessDenied"}.get(code, code), record
            if message:
                assert record["errorMessage"] == message[:1024], record
    assert not wrong, wrong
    for service in ("s3", "kms", "iam", "sts", "cloudtrail"):
        assert checked[service, "failed"] and checked[service, "fine"], checked
    text = json.dumps(records)
    for secret in secrets:
        assert secret not in text
    for word in ("AWS4-HMAC", "X-Amz-Signature", "Signature="):
        assert word not in text


def test_strangers_cannot_fill_the_disk_and_all_of_them_are_counted(make_server):
    server = make_server()
    bucket = Account(Callers(server.access())).bucket()
    at = urlsplit(server.access().http)
    connection = HTTPConnection(at.hostname, at.port)
    before = len(all_records(server))
    for n in range(2000):
        connection.request("GET", f"/{bucket}/key-{n}", headers={} if n % 2 else {
            "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "authorization": f"AWS4-HMAC-SHA256 Credential=AKIA{n:016d}/20130524/us-east-1/s3/aws4_request, "
                             f"SignedHeaders=host;x-amz-date;x-amz-content-sha256, Signature={'0' * 64}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (400, 403), answer.status
    server.stop()
    records = all_records(server)[before:]
    assert 0 < len(records) <= 35, [record["eventName"] for record in records]
    summaries = [record for record in records if record["eventName"] == "UnauthenticatedDenials"]
    total = sum(record["serviceEventDetails"]["total"] for record in summaries)
    # What is sampled is counted, too.
    assert total == 2000, summaries


def test_the_anonymous_are_recorded_as_such(make_server):
    server = make_server()
    callers = Callers(server.access())
    account = Account(callers)
    bucket = account.bucket()
    answer = told(lambda: callers.of(ANONYMOUS, "s3").get_object(Bucket=bucket, Key="k"))
    assert answer.short == (403, "AccessDenied")
    found = [it for it in all_records(server) if it.get("requestID") == answer.answer["ResponseMetadata"]["RequestId"]]
    assert len(found) == 1
    assert found[0]["userIdentity"] == {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
    assert found[0]["eventName"] == "GetObject" and found[0]["errorCode"] == "AccessDenied"
