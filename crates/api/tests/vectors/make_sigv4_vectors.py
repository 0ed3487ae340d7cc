"""Makes sigv4.json: requests signed by botocore, which our verifier must accept.

Run: python3 make_sigv4_vectors.py > sigv4.json   (needs botocore; no network)
"""
import datetime
import hashlib
import json

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2026, 11, 21, 3, 0, 0)
auth.get_current_datetime = lambda *args, **kwargs: NOW

BASE = "http://bucket.example.com:9000"
PATHS = [
    "/", "/key", "/a//b", "/a/../b", "/./a/.", "/%20", "/a%20b", "/a%2Bb", "/a%2520b", "/~tilde",
    "/%C3%BC%E2%82%AC%F0%9F%94%91", "/a%21%27%28%29%2A", "/a%2Fb", "/%25", "/trailing/", "//",
    "/a%3Fb%23c", "/a%26b%3Dc%40d%3Ae%2Cf%3Bg",
]
QUERIES = [
    "acl", "acl=", "prefix=", "list-type=2&prefix=a%2Fb&delimiter=%2F", "b=2&a=1&b=1", "prefix=a%20b",
    "prefix=a%2Bb", "prefix=%C3%BC", "prefix=~", "key-marker=%25", "a=1&A=2&a-b=3&a.b=4", "uploads",
    "prefix=%00%01%7F", "partNumber=1&uploadId=a.b_c-d~",
]


def headers_of(request):
    return [[name, value] for name, value in request.headers.items()]


def make(name, signer, method, url, headers=(), body=b"", session=None, service="s3"):
    credentials = Credentials(ACCESS, SECRET, session)
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    signer(credentials, service, "us-west-2").add_auth(request)
    prepared = request.prepare()
    return {
        "name": name,
        "service": service,
        "method": method,
        "url": prepared.url,
        "headers": headers_of(prepared),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "session": session,
    }


def main():
    cases = []
    for path in PATHS:
        cases.append(make(f"header path {path}", auth.S3SigV4Auth, "GET", BASE + path))
        cases.append(make(f"query path {path}", auth.S3SigV4QueryAuth, "GET", BASE + path))
    for query in QUERIES:
        url = f"{BASE}/k?{query}"
        cases.append(make(f"header query {query}", auth.S3SigV4Auth, "GET", url))
        cases.append(make(f"query query {query}", auth.S3SigV4QueryAuth, "GET", url))
    cases.append(make(
        "metadata, spaces and a body", auth.S3SigV4Auth, "PUT", BASE + "/k",
        [("x-amz-meta-a", "  two   words  "), ("content-type", "text/plain; charset=utf-8"),
         ("x-amz-acl", "private"), ("x-amz-meta-empty", "")], b"hello"))
    cases.append(make(
        "unsigned payload", auth.S3SigV4Auth, "PUT", BASE + "/k",
        [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], b"hello"))
    for name in ("header", "query"):
        signer = auth.S3SigV4Auth if name == "header" else auth.S3SigV4QueryAuth
        cases.append(make(f"{name} session token", signer, "GET", BASE + "/k",
                          session="FwoGZXIvYXdzEBY+/=token"))
    cases.append(make("query with signed headers", auth.S3SigV4QueryAuth, "PUT", BASE + "/k",
                      [("x-amz-meta-a", "1"), ("content-type", "text/plain")]))
    for service in ("kms", "secretsmanager", "sts", "iam"):
        cases.append(make(
            f"service {service}", auth.SigV4Auth, "POST", "http://localhost:9000/",
            [("x-amz-target", "TrentService.Encrypt"), ("content-type", "application/x-amz-json-1.1")],
            b'{"KeyId":"k"}', service=service))
    cases.append(make("service path", auth.SigV4Auth, "GET",
                      "http://localhost:9000/a/../b%20c//d/", service="kms"))
    print(json.dumps({"now": "20261121T030000Z", "cases": cases}, indent=1))


main()
