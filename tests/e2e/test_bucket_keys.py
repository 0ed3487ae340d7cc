"""S3 Bucket Keys on the real key service: a cached key ends when its KMS key does, and comes back with it."""

import pytest

from conftest import new_bucket, refused


@pytest.fixture
def used(clients):
    """A bucket whose objects share a bucket key, and that key's KMS key."""
    s3, kms = clients.boto(signature_version="s3v4"), clients.boto(service="kms")
    key = kms.create_key(Description="bucket keys")["KeyMetadata"]["Arn"]
    bucket = new_bucket(s3)

    def write(name):
        return s3.put_object(Bucket=bucket, Key=name, Body=name.encode(), ServerSideEncryption="aws:kms",
                             SSEKMSKeyId=key, BucketKeyEnabled=True)

    def read(name):
        return s3.get_object(Bucket=bucket, Key=name)["Body"].read()

    # The second write and the reads are served by the cached key.
    for name in ("one", "two"):
        assert write(name)["BucketKeyEnabled"] is True and read(name) == name.encode()
    return kms, key, write, read


def test_a_cached_bucket_key_goes_and_comes_with_its_kms_key(used):
    kms, key, write, read = used

    def stopped(code):
        for failure in (refused(read, "one"), refused(read, "two"), refused(write, "three")):
            assert (failure.status, failure.code) == (400, code)

    def works(name):
        write(name)
        assert read("one") == b"one" and read(name) == name.encode()

    kms.disable_key(KeyId=key)
    stopped("KMS.DisabledException")
    kms.enable_key(KeyId=key)
    works("four")
    kms.rotate_key_on_demand(KeyId=key)
    works("five")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    stopped("KMS.KMSInvalidStateException")
    kms.cancel_key_deletion(KeyId=key)
    stopped("KMS.DisabledException")
    kms.enable_key(KeyId=key)
    works("six")
