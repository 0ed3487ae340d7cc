"""W1: SSE-S3, the default of every bucket, typed as written; and the mistakes people make around it."""

import json

import pytest

from conftest import Clients, refused
from s3raw import Signer
from shell import Shell
from datetime import timedelta

AES256_RULE = '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'


@pytest.fixture
def shell(make_server, tmp_path):
    return Shell(make_server(), tmp_path / "work")


def test_w1_works_as_written(shell):
    shell.ok("aws s3 ls")
    shell.ok("""
aws s3 mb s3://w1
aws s3 cp testfile.txt s3://w1/a.txt
aws s3 cp testfile.txt s3://w1/b.txt --sse AES256
aws s3api put-object --bucket w1 --key c.txt --server-side-encryption AES256 --body testfile.txt
""")
    for key in ("a.txt", "b.txt", "c.txt"):
        head = json.loads(shell.ok(f"aws s3api head-object --bucket w1 --key {key} --output json"))
        assert head["ServerSideEncryption"] == "AES256"
        assert "SSEKMSKeyId" not in head and "BucketKeyEnabled" not in head
    shell.ok("aws s3 cp s3://w1/b.txt back.txt && cmp testfile.txt back.txt")
    for _ in range(2):
        found = json.loads(shell.ok("aws s3api get-bucket-encryption --bucket w1 --output json"))
        rule, = found["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert rule["BucketKeyEnabled"] is False
        shell.ok(f"aws s3api put-bucket-encryption --bucket w1 --server-side-encryption-configuration '{AES256_RULE}'")
    shell.server.restart()
    shell.ok("aws s3 cp s3://w1/a.txt again.txt && cmp testfile.txt again.txt")


def test_mistakes_get_the_texts_of_aws(shell):
    shell.ok("aws s3 mb s3://mistakes && aws s3 cp testfile.txt s3://mistakes/k")
    bad_rule = AES256_RULE.replace('"AES256"', '"AES256","KMSMasterKeyID":"k"')
    for script, *texts in [
        ("aws s3 cp testfile.txt s3://no-such-bucket-here/k", "(NoSuchBucket)", "PutObject",
         "The specified bucket does not exist"),
        ("aws s3 ls s3://no-such-bucket-here", "(NoSuchBucket)", "ListObjectsV2"),
        ("aws s3 rb s3://mistakes", "(BucketNotEmpty)", "The bucket you tried to delete is not empty"),
        ("aws s3api get-object --bucket mistakes --key none x", "(NoSuchKey)", "The specified key does not exist."),
        ("aws s3 cp s3://mistakes/none x", "(404)", "HeadObject", 'Key "none" does not exist'),
        ("aws s3api head-bucket --bucket no-such-bucket-here", "(404)", "HeadBucket", "Not Found"),
        ("aws s3api get-object --bucket mistakes --key k --range bytes=999999- x", "(InvalidRange)",
         "The requested range is not satisfiable"),
        (f"aws s3api put-bucket-encryption --bucket mistakes --server-side-encryption-configuration '{bad_rule}'",
         "(InvalidArgument)", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms"),
        ("aws s3 cp testfile.txt s3://mistakes/kms --sse aws:kms --sse-kms-key-id aws/s3", "(KMS.NotFoundException)",
         "Invalid keyId 'aws/s3'"),
        ("AWS_DEFAULT_REGION=xx-wrong-9 aws s3 ls", "(AuthorizationHeaderMalformed)",
         "the region 'xx-wrong-9' is wrong; expecting '"),
        ("AWS_SECRET_ACCESS_KEY=wrong aws s3 ls", "(SignatureDoesNotMatch)",
         "The request signature we calculated does not match the signature you provided."),
        ("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE aws s3 ls", "(InvalidAccessKeyId)",
         "The AWS Access Key Id you provided does not exist in our records."),
        ("aws s3 ls --no-sign-request s3://mistakes", "(AccessDenied)"),
    ]:
        shell.fails(script, *texts)
    listed = shell.ok("aws s3 ls --recursive s3://mistakes")
    assert [line.split()[-1] for line in listed.splitlines()] == ["k"]


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 2, 60 * 24 * 2])
def test_a_clock_that_is_off_is_refused(clients, raw, bucket, minutes):
    signer = Signer(raw.signer.access, raw.signer.secret, raw.signer.region, skew=timedelta(minutes=minutes))
    reply = raw.send("PUT", f"/{bucket}/k", body=b"x", signer=signer)
    assert (reply.status, reply.code) == (403, "RequestTimeTooSkewed")
    assert reply.message == "The difference between the request time and the current time is too large."
    assert raw.send("HEAD", f"/{bucket}/k").status == 404


def test_a_clock_within_fifteen_minutes_is_accepted(raw, bucket):
    for minutes in (-14, 14):
        signer = Signer(raw.signer.access, raw.signer.secret, raw.signer.region, skew=timedelta(minutes=minutes))
        assert raw.send("PUT", f"/{bucket}/k", body=b"x", signer=signer).status == 200


def test_the_key_file_is_tight_and_outside_the_data_directory(shell):
    server = shell.server
    assert server.key_file.stat().st_mode & 0o077 == 0
    assert server.data not in server.key_file.parents
    assert server.data.stat().st_mode & 0o077 == 0


def test_a_lost_key_file_is_never_replaced_over_existing_data(shell):
    server = shell.server
    shell.ok("aws s3 mb s3://kept && aws s3 cp testfile.txt s3://kept/k")
    server.stop()
    away = server.key_file.with_suffix(".away")
    server.key_file.rename(away)
    server.spawn()
    assert server.process.wait(30) != 0
    assert not server.key_file.exists(), "a new ring was made over existing data"
    away.rename(server.key_file)
    server.start()
    shell.ok("aws s3 cp s3://kept/k back && cmp back testfile.txt")


def test_a_second_server_on_the_same_data_is_refused(shell, make_server):
    other = make_server(start=False)
    other.data, other.key_file = shell.server.data, shell.server.key_file
    other.spawn()
    assert other.process.wait(30) != 0
    shell.ok("aws s3 ls")


def test_another_account_of_the_same_server_settings_shares_no_secret(make_server):
    one, two = (make_server().access() for _ in range(2))
    assert (one.access, one.secret) != (two.access, two.secret)
    one.secret = two.secret
    answer = refused(Clients(one).boto().list_buckets)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
