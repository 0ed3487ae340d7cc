"""CloudTrail's LookupEvents by boto3: attributes, times, pages, tokens and what it refuses."""

import json
import subprocess
import uuid
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from callers import fresh
from conftest import Clients, binary, clean_env, poll, refused


@pytest.fixture(scope="module")
def trail(clients):
    return clients.boto(service="cloudtrail")


@pytest.fixture(scope="module")
def iam(clients):
    return clients.boto(service="iam")


def request(answer):
    return answer["ResponseMetadata"]["RequestId"]


def request_of(event):
    return json.loads(event["CloudTrailEvent"])["requestID"]


def found(trail, key, value, **more):
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], **more)
    return [event for page in pages for event in page["Events"]]


def test_an_event_is_found_by_each_attribute_and_is_the_record_as_text(trail, iam, shared):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    made = request(iam.create_user(UserName=fresh("looked-")))
    # At once: also before it is in the ledger.
    [event] = [e for e in found(trail, "EventName", "CreateUser") if request_of(e) == made]
    record = json.loads(event["CloudTrailEvent"])
    assert event["EventId"] == record["eventID"] and record["eventName"] == event["EventName"] == "CreateUser"
    assert record["eventSource"] == event["EventSource"] == "iam.amazonaws.com"
    assert event["ReadOnly"] == "false" and record["readOnly"] is False
    assert event["AccessKeyId"] == shared.access == record["userIdentity"]["accessKeyId"]
    assert event["EventTime"].astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") == record["eventTime"]
    assert before <= event["EventTime"] <= datetime.now(timezone.utc)
    assert found(trail, "EventId", event["EventId"]) == [event]
    for key, value in [("ReadOnly", "false"), ("Username", event["Username"]), ("EventSource", "iam.amazonaws.com"),
                       ("AccessKeyId", shared.access)]:
        assert event in found(trail, key, value, StartTime=before), key
        assert found(trail, key, "true" if key == "ReadOnly" else uuid.uuid4().hex,
                     EndTime=before - timedelta(days=1)) == [], key
    # And in the ledger, a moment later.
    poll(lambda: event in found(trail, "EventId", event["EventId"]), 10)


def test_pages_hold_everything_once_newest_first(trail, iam):
    start = datetime.now(timezone.utc).replace(microsecond=0)
    made = [request(iam.create_group(GroupName=fresh("page-"))) for _ in range(7)]
    ask = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateGroup"}], "StartTime": start}
    seen, token = [], None
    while True:
        page = trail.lookup_events(**ask, MaxResults=3, **({"NextToken": token} if token else {}))
        assert len(page["Events"]) <= 3
        seen += page["Events"]
        token = page.get("NextToken")
        if not token:
            break
    assert len({e["EventId"] for e in seen}) == len(seen)
    assert [request_of(e) for e in seen if request_of(e) in made] == made[::-1]
    times = [e["EventTime"] for e in seen]
    assert times == sorted(times, reverse=True)
    # Nothing of the time before or after.
    day = timedelta(days=1)
    assert trail.lookup_events(StartTime=start - 2 * day, EndTime=start - day)["Events"] == []
    assert trail.lookup_events(StartTime=start + day)["Events"] == []


def test_tokens_are_of_one_query_and_cannot_be_made(trail, iam):
    for _ in range(2):
        iam.create_group(GroupName=fresh("token-"))
    ask = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateGroup"}], "MaxResults": 1}
    token = trail.lookup_events(**ask)["NextToken"]
    changed = ("A" if token[9] != "A" else "B").join([token[:9], token[10:]])
    other = {**ask, "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}]}
    for args in ({**ask, "NextToken": changed}, {**other, "NextToken": token}, {**ask, "NextToken": "x"},
                 {**ask, "NextToken": token, "StartTime": datetime(2026, 1, 1)}):
        assert refused(trail.lookup_events, **args).code == "InvalidNextTokenException", args
    assert trail.lookup_events(**{**ask, "MaxResults": 50}, NextToken=token)["Events"]


def test_what_is_wrong_has_its_name(trail, clients):
    by = {"AttributeKey": "EventName", "AttributeValue": "CreateUser"}
    now = datetime.now(timezone.utc)
    unchecked = clients.boto(service="cloudtrail", parameter_validation=False)
    for args, code in [
        ({"LookupAttributes": [by, by]}, "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "ReadOnly", "AttributeValue": "maybe"}]},
         "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": ""}]},
         "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "x" * 2001}]},
         "InvalidLookupAttributesException"),
        ({"LookupAttributes": [{"AttributeKey": "Nothing", "AttributeValue": "x"}]}, "ValidationException"),
        ({"StartTime": now, "EndTime": now - timedelta(seconds=2)}, "InvalidTimeRangeException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
    ]:
        told = refused(unchecked.lookup_events, **args)
        assert (told.status, told.code) == (400, code), args
    assert trail.lookup_events(EventCategory="insight")["Events"] == []
    assert refused(trail.list_public_keys, StartTime=now, EndTime=now - timedelta(days=1)).code == \
        "InvalidTimeRangeException"
    assert refused(trail.list_public_keys, NextToken="x").code == "InvalidTokenException"
    for call in (trail.list_event_data_stores, trail.list_channels, trail.list_imports):
        assert refused(call).code == "UnsupportedOperationException"


def test_an_account_sees_its_own_events_only(make_server):
    server = make_server(trace=False)
    made = subprocess.run([binary(), "account", "create", "other", "--json", "--data", str(server.data),
                           "--key-file", str(server.key_file)],
                          env=clean_env(server.home), capture_output=True, text=True, timeout=30)
    assert made.returncode == 0, made.stderr
    made, access = json.loads(made.stdout), server.access()
    theirs = SimpleNamespace(**{**vars(access), "access": made["AccessKeyId"],
                                "secret": made["SecretAccessKey"]})
    seen = []
    for clients in (Clients(access), Clients(theirs)):
        request_id = request(clients.boto(service="iam").create_user(UserName="same"))
        [event] = found(clients.boto(service="cloudtrail"), "EventName", "CreateUser")
        assert request_of(event) == request_id
        seen.append(event)
    for clients, event in zip((Clients(access), Clients(theirs)), reversed(seen)):
        assert found(clients.boto(service="cloudtrail"), "EventId", event["EventId"]) == []
