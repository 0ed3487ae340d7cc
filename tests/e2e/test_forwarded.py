"""X-Forwarded-For and X-Forwarded-Proto: anybody writes them, and only a named proxy's word counts."""

import json

import pytest

from conftest import Clients, new_bucket, refused
from test_iam import as_user

OUTSIDE = "203.0.113.9"


def prepare(server, condition):
    """A client of a user who may read under a condition; `headers` are sent with every request."""
    clients = Clients(server.access())
    s3, iam = clients.boto(), clients.boto(service="iam")
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": condition}}))
    made = iam.create_access_key(UserName="u")["AccessKey"]

    def reads(**headers):
        client = as_user(clients, made, "s3")
        names = {"address": "X-Forwarded-For", "proto": "X-Forwarded-Proto"}

        # Behind the signature, as a proxy or a forger adds them.
        def add(request, **_):
            request.headers.update({names[k]: v for k, v in headers.items()})

        client.meta.events.register("before-send.s3", add)
        try:
            client.get_object(Bucket=bucket, Key="k")
            return True
        except client.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            return False

    return reads


@pytest.mark.parametrize("flags", [[], ["--trusted-proxy", "203.0.113.0/24"]])
def test_forged_headers_count_for_nothing(make_server, flags):
    reads = prepare(make_server(*flags), {"IpAddress": {"aws:SourceIp": f"{OUTSIDE}/32"}})
    assert not reads() and not reads(address=OUTSIDE) and not reads(address=OUTSIDE, proto="https")


def test_a_named_proxy_is_believed_up_to_the_first_address_that_is_no_proxy(make_server):
    server = make_server("--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8")
    reads = prepare(server, {"IpAddress": {"aws:SourceIp": f"{OUTSIDE}/32"}})
    assert not reads()
    assert reads(address=OUTSIDE) and reads(address=f"198.51.100.1, {OUTSIDE}, 10.1.2.3")
    assert not reads(address=f"{OUTSIDE}, 198.51.100.1") and not reads(address=f"{OUTSIDE}, nonsense")


def test_secure_transport_is_what_the_named_proxy_says(make_server):
    reads = prepare(make_server("--trusted-proxy", "127.0.0.1"), {"Bool": {"aws:SecureTransport": "true"}})
    assert not reads() and not reads(address=OUTSIDE) and not reads(address=OUTSIDE, proto="http")
    assert reads(address=OUTSIDE, proto="https") and not reads(address=OUTSIDE, proto="https, http")


def test_no_header_lets_keys_travel_in_the_clear(make_server):
    """The hop from 127.0.0.1 is confidential; a client that came to the proxy over HTTP is not."""
    server = make_server("--trusted-proxy", "127.0.0.1")
    client = Clients(server.access()).boto(service="kms")
    key = client.create_key()["KeyMetadata"]["Arn"]
    client.generate_data_key(KeyId=key, KeySpec="AES_256")
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    client.meta.events.register("before-send.kms", lambda request, **_: request.headers.update(headers) and None)
    assert refused(client.generate_data_key, KeyId=key, KeySpec="AES_256").status in (400, 403)
    headers["X-Forwarded-Proto"] = "https"
    client.generate_data_key(KeyId=key, KeySpec="AES_256")
