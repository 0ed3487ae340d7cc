"""Before a key dies: what depends on it, counted by hand and by `strongroom kms impact`; what the log and the metrics
say when somebody endangers a key."""

import collections
import json
import os
import subprocess
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from conftest import Clients, binary, clean_env, metric, new_bucket, poll
from test_kms_import import bring

NOTHING = {"objects": 0, "versions": 0, "bytes": 0, "bucket_key_versions": 0, "dsse_versions": 0, "uploads": 0}


def command(server, *args, on_line=True):
    key_file = [] if on_line else ["--key-file", server.key_file]
    return [binary(), "kms", "impact", *args, "--data", server.data, *key_file]


def impact(server, key, *flags, code=0, on_line=True):
    done = subprocess.run(command(server, key, "--json", *flags, on_line=on_line), capture_output=True, text=True,
                          timeout=120, env=clean_env(server.home))
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


class Store:
    """A server with a bucket, and a client that keeps count."""

    def __init__(self, server, make_client=None):
        self.server = server
        self.clients = make_client or Clients(server.access())
        self.s3, self.kms = self.clients.boto(), self.clients.boto(service="kms")
        # No answer tells the key of an upload.
        self.keys_of_uploads = {}
        self.account = self.clients.boto(service="sts").get_caller_identity()["Account"]

    def key(self, **more):
        return self.kms.create_key(**more)["KeyMetadata"]["Arn"]

    def bucket(self, versioned=False):
        name = new_bucket(self.s3)
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def put(self, bucket, name, size, key=None, mode="aws:kms", bucket_key=False, **more):
        kms = {"ServerSideEncryption": mode, "SSEKMSKeyId": key} if key else {}
        if bucket_key:
            kms["BucketKeyEnabled"] = True
        return self.s3.put_object(Bucket=bucket, Key=name, Body=os.urandom(size), **kms, **more)

    def upload(self, bucket, name, key, sizes=(5 << 20, 1000), complete=True):
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        id = self.s3.create_multipart_upload(Bucket=bucket, Key=name, **kms)["UploadId"]
        self.keys_of_uploads[id] = key
        parts = []
        for number, size in enumerate(sizes, 1):
            part = self.s3.upload_part(Bucket=bucket, Key=name, UploadId=id, PartNumber=number, Body=os.urandom(size))
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        if complete:
            self.s3.complete_multipart_upload(Bucket=bucket, Key=name, UploadId=id, MultipartUpload={"Parts": parts})

    def by_hand(self, key):
        """The same counts by listings and HEAD requests, of the buckets that this client sees."""
        found = collections.defaultdict(lambda: dict(NOTHING))
        for bucket in (it["Name"] for it in self.s3.list_buckets()["Buckets"]):
            for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for it in page.get("Versions", []):
                    head = self.s3.head_object(Bucket=bucket, Key=it["Key"], VersionId=it["VersionId"])
                    if head.get("SSEKMSKeyId") != key:
                        continue
                    counts = found[bucket]
                    counts["objects"] += it["IsLatest"]
                    counts["versions"] += 1
                    counts["bytes"] += it["Size"]
                    counts["bucket_key_versions"] += head.get("BucketKeyEnabled", False)
                    counts["dsse_versions"] += head["ServerSideEncryption"] == "aws:kms:dsse"
            for it in self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                found[bucket]["uploads"] += self.keys_of_uploads[it["UploadId"]] == key
        return {bucket: counts for bucket, counts in found.items() if counts != NOTHING}


def counts_of(report):
    return {it["bucket"]: {name: it[name] for name in NOTHING} for it in report["buckets"]}


def sum_of(counts):
    return {name: sum(it[name] for it in counts) for name in NOTHING}


def check(store, key, code=0, **options):
    """The report, after it was held against the count by hand."""
    report = impact(store.server, key, code=code, **options)
    by_hand = store.by_hand(report["key"]["arn"])
    assert counts_of(report) == by_hand
    assert report["unreadable"] == {"buckets": len(by_hand), **sum_of(by_hand.values())}
    assert {name: of["versions"] for name, of in report["accounts"].items()} == (
        {store.account: sum_of(by_hand.values())["versions"]} if by_hand else {})
    wrapped = sum(it["wrapped_keys"] for it in report["key"]["materials"])
    assert wrapped == report["unreadable"]["versions"] + report["unreadable"]["uploads"]
    assert report["damaged_rows"] == 0
    return report


def test_every_mode_and_version_is_counted_as_by_hand_on_line_and_off_line(make_server):
    store = Store(make_server(trace=False))
    key, other = store.key(), store.key()
    plain, versions = store.bucket(), store.bucket(versioned=True)
    store.put(plain, "sse-s3", 11)
    store.put(plain, "other", 12, other)
    for size in (0, 100, 100_000):
        store.put(plain, f"kms-{size}", size, key)
        store.put(plain, f"bucket-key-{size}", size, key, bucket_key=True)
        store.put(plain, f"dsse-{size}", size, key, mode="aws:kms:dsse")
    store.upload(plain, "parts", key)
    store.upload(plain, "in-progress", key, sizes=(1000,), complete=False)
    for size in (1, 20, 300):
        store.put(versions, "k", size, key)
    store.put(versions, "moved-on", 7, key)
    store.put(versions, "moved-on", 7)
    store.put(versions, "deleted", 50, key, bucket_key=True)
    store.s3.delete_object(Bucket=versions, Key="deleted")
    store.put(plain, "removed", 999, key)
    store.s3.delete_object(Bucket=plain, Key="removed")
    report = check(store, key)
    assert report["in_use"] and report["key"]["state"] == "Enabled"
    assert report["unreadable"] == {"buckets": 2, "objects": 11, "versions": 15, "bytes": 3 * 100_100 + (5 << 20) + 1378,
                                    "bucket_key_versions": 4, "dsse_versions": 3, "uploads": 1}
    assert check(store, other)["unreadable"]["versions"] == 1
    unused = store.key()
    assert not check(store, unused)["in_use"]

    # Another key around the same bodies.
    done = subprocess.run([binary(), "reencrypt", f"s3://{versions}", "--kms-key", other, "--data", store.server.data],
                          capture_output=True, text=True, timeout=120, env=clean_env(store.server.home))
    assert done.returncode == 0, done.stderr
    assert {it["bucket"] for it in check(store, key)["buckets"]} == {plain}
    assert check(store, other)["unreadable"]["versions"] == 1 + 6

    # The exit code tells a script whether to go on.
    impact(store.server, key, "--fail-if-used", code=14)
    assert not impact(store.server, unused, "--fail-if-used")["in_use"]

    # While no server runs, the store is read.
    on_line = impact(store.server, key)
    store.server.stop()
    off_line = impact(store.server, key, on_line=False)
    assert off_line == on_line
    impact(store.server, key, "--fail-if-used", code=14, on_line=False)
    store.server.start()


def test_a_key_is_named_by_id_arn_and_alias_and_shown_with_what_belongs_to_it(make_server):
    store = Store(make_server(trace=False))
    bucket, arn = store.bucket(), store.key()
    alias = f"alias/{uuid.uuid4().hex}"
    store.kms.create_alias(AliasName=alias, TargetKeyId=arn)
    store.kms.create_grant(KeyId=arn, GranteePrincipal=f"arn:aws:iam::{store.account}:root", Operations=["Decrypt"])
    store.put(bucket, "k", 5, arn)
    store.kms.rotate_key_on_demand(KeyId=arn)
    store.put(bucket, "l", 5, arn)
    store.put(bucket, "m", 5, arn)
    region = store.clients.region
    names = [arn, arn.rpartition("/")[2], alias, f"arn:aws:kms:{region}:{store.account}:{alias}"]
    first, *rest = [impact(store.server, name) for name in names]
    assert rest == [first] * 3
    shown = first["key"]
    assert (shown["arn"], shown["aliases"], shown["grants"]) == (arn, [alias], 1)
    assert shown["last_used_for"] == "GenerateDataKey" and shown["last_used"]
    old, new = shown["materials"]
    assert [old["wrapped_keys"], new["wrapped_keys"]] == [1, 2] and new["current"] and not old["current"]
    assert "no such key" in impact(store.server, "alias/nothing", code=1)
    absent = arn[:-12] + "000000000000"
    assert "nothing is encrypted under it" in impact(store.server, absent, code=1)
    said = subprocess.run(command(store.server, alias), capture_output=True, text=True, timeout=60,
                          env=clean_env(store.server.home))
    assert said.returncode == 0 and f"aliases    {alias}" in said.stdout and "  versions  3" in said.stdout, said
    assert said.stderr == "", "no bar where nobody looks"


def test_default_encryption_that_names_a_key_counts_whatever_the_name_is(make_server):
    store = Store(make_server(trace=False))
    arn, alias = store.key(), f"alias/{uuid.uuid4().hex}"
    store.kms.create_alias(AliasName=alias, TargetKeyId=arn)
    region, want = store.clients.region, []
    names = (arn, arn.rpartition("/")[2], alias, f"arn:aws:kms:{region}:{store.account}:{alias}")
    for name in names:
        bucket = store.bucket()
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": name}}
        store.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        want.append(bucket)
    managed = store.bucket()
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    store.s3.put_bucket_encryption(Bucket=managed, ServerSideEncryptionConfiguration={"Rules": [rule]})
    report = impact(store.server, arn)
    assert report["default_encryption"] == sorted(want) and report["buckets"] == [] and report["in_use"]
    impact(store.server, arn, "--fail-if-used", code=14)
    store.put(managed, "k", 3)
    report = impact(store.server, "alias/aws/s3")
    assert report["default_encryption"] == [managed] and report["unreadable"]["versions"] == 1
    assert report["key"]["manager"] == "AWS"


def test_what_another_account_keeps_under_the_key_counts_too(make_server):
    server = make_server(trace=False)
    store = Store(server)
    made = subprocess.run([binary(), "account", "create", "other", "--json", "--data", server.data], check=True,
                          capture_output=True, text=True, env=clean_env(server.home))
    made = json.loads(made.stdout)
    access = server.access()
    access.access, access.secret = made["AccessKeyId"], made["SecretAccessKey"]
    other = Store(server, Clients(access))
    assert other.account != store.account
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam::{it}:root" for it in (store.account, other.account)]},
         "Action": "kms:*", "Resource": "*"}]}
    key = store.key(Policy=json.dumps(policy))
    store.put(store.bucket(), "k", 10, key)
    theirs = other.bucket()
    for name in "ab":
        other.put(theirs, name, 100, key)
    report = impact(server, key)
    by_hand = {**store.by_hand(key), **other.by_hand(key)}
    assert counts_of(report) == by_hand and len(by_hand) == 2
    assert {account: it["versions"] for account, it in report["accounts"].items()} == {store.account: 1,
                                                                                       other.account: 2}
    # An id means the home account's key; that of another account is named by its ARN.
    foreign = other.key()
    other.put(theirs, "c", 1, foreign)
    assert impact(server, foreign)["unreadable"]["versions"] == 1
    impact(server, foreign.rpartition("/")[2], code=1)


def test_who_endangers_a_key_is_heard_of_with_what_depends_on_it(make_server):
    store = Store(make_server(trace=False))
    access = store.server.access()
    bucket, key = store.bucket(), store.key()
    id = key.rpartition("/")[2]
    for name, size in (("a", 10), ("b", 20)):
        store.put(bucket, name, size, key)

    def logged(*texts):
        lines = store.server.log.read_text().splitlines()
        return [line for line in lines if all(text in line for text in texts)]

    answer = store.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=8)
    date = answer["DeletionDate"].strftime("%Y-%m-%dT%H:%M")
    assert set(answer) == {"KeyId", "DeletionDate", "KeyState", "PendingWindowInDays", "ResponseMetadata"}
    at_once, = logged("WARN", key, "is to be deleted")
    assert date in at_once and f"aws kms cancel-key-deletion --key-id {id}" in at_once
    outcome, = poll(lambda: logged("WARN", f"key {key} will be deleted at {date}"), 30)
    assert "2 objects (2 versions), 30 bytes in 1 buckets become unreadable" in outcome
    assert f"strongroom kms impact {key}" in outcome and f"cancel-key-deletion --key-id {id}" in outcome
    within = "strongroom_kms_keys_pending_deletion"
    assert poll(lambda: metric(access, within), 30) == 1
    at = metric(access, "strongroom_kms_next_key_deletion_timestamp_seconds")
    assert abs(at - answer["DeletionDate"].timestamp()) < 2
    assert metric(access, "strongroom_kms_keys_endangered_total") == 1
    report = impact(store.server, key)
    assert report["key"]["state"] == "PendingDeletion" and report["key"]["deletion_date"].startswith(date)
    assert report["unreadable"]["bytes"] == 30

    # The server is as ready as before, and a restart says nothing twice.
    store.server.restart()
    store = Store(store.server)
    store.kms.cancel_key_deletion(KeyId=key)
    store.kms.enable_key(KeyId=key)
    store.kms.disable_key(KeyId=key)
    assert logged("WARN", key, "the key is disabled")
    assert poll(lambda: logged("WARN", f"key {key} is disabled: 2 objects"), 30)
    assert len(logged("will be deleted")) == 1 and not logged("will be deleted within")
    assert poll(lambda: metric(store.server.access(), within) == 0 or None, 30)

    material = os.urandom(32)
    external = store.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    bring(store.kms, external, material, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon)
    store.put(bucket, "c", 5, external)
    assert impact(store.server, external)["key"]["valid_to"]
    store.kms.delete_imported_key_material(KeyId=external)
    assert logged("WARN", external, "imported material of the key is deleted")
    assert poll(lambda: logged("WARN", f"key {external} has lost imported material: 1 objects"), 30)
    lost = impact(store.server, external)
    assert lost["key"]["state"] == "PendingImport" and [it["available"] for it in lost["key"]["materials"]] == [False]


def test_dates_that_draw_near_are_told_at_the_start_and_only_once(make_server):
    server = make_server(trace=False)
    store = Store(server)
    external = store.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    bring(store.kms, external, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=soon)
    store.put(store.bucket(), "k", 5, external)
    server.restart()

    def logged(text):
        return [line for line in server.log.read_text().splitlines() if text in line and external in line]

    assert poll(lambda: logged("expires within 7 days"), 30)
    assert poll(lambda: logged(f"key {external} has material that expires at"), 30)
    near = poll(lambda: metric(server.access(), "strongroom_kms_keys_with_expiring_material"), 30)
    assert near == 2, "within 7 days and within 30"
    server.restart()
    assert poll(lambda: metric(server.access(), "strongroom_kms_keys_with_expiring_material"), 30) == 2
    assert len(logged("expires within")) == 1
