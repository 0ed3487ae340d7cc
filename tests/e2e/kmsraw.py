"""KMS for tests: requests that no SDK would send, and an SDK client whose answers are held against AWS's model."""

import http.client
import json
import uuid
from types import SimpleNamespace
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

JSON = "application/x-amz-json-1.1"


def checked(client):
    """The client; every answer of it must be of the model: no member that AWS does not have, an id that is a UUID."""
    def check(http_response, parsed, model, **_):
        headers = http_response.headers
        assert headers["Content-Type"] == JSON
        assert str(uuid.UUID(headers["x-amzn-RequestId"])) == headers["x-amzn-RequestId"]
        assert parsed["ResponseMetadata"]["RequestId"] == headers["x-amzn-RequestId"]
        if http_response.status_code != 200:
            body = json.loads(http_response.content)
            assert "__type" in body and set(body) <= {"__type", "message"}, body
        elif not model.output_shape or not model.output_shape.members:
            assert http_response.content == b""
        else:
            known(json.loads(http_response.content), model.output_shape)
    client.meta.events.register("after-call.kms", check)
    return client


def known(value, shape):
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), (shape.name, sorted(value))
        for name, member in value.items():
            known(member, shape.members[name])
    elif shape.type_name == "list":
        for item in value:
            known(item, shape.member)
    elif getattr(shape, "enum", None):
        assert value in shape.enum or shape.name == "CustomerMasterKeySpec", (shape.name, value)


class KmsRaw:
    """Signs as told, sends as told."""

    def __init__(self, access, scheme="http"):
        self.access, self.url = access, getattr(access, scheme)

    def send(self, operation, body=b"{}", method="POST", path="/", service="kms", region=None, headers=(), sign=True,
             secret=None, key=None, tamper=None, presign=False, target=None):
        """`operation` becomes the target unless `target` is given; None sends none."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = target or (operation and f"TrentService.{operation}")
        request = AWSRequest(method, self.url + path, data=body, headers={"Content-Type": JSON, **dict(headers)})
        if target:
            request.headers["X-Amz-Target"] = target
        credentials = Credentials(key or self.access.access, secret or self.access.secret)
        if sign:
            auth = SigV4QueryAuth if presign else SigV4Auth
            auth(credentials, service, region or self.access.region).add_auth(request)
        prepared = request.prepare()
        sent = SimpleNamespace(url=prepared.url, headers=dict(prepared.headers), body=body)
        if tamper:
            tamper(sent)
        parts = urlsplit(sent.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        try:
            where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, where, body=sent.body, headers=sent.headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        parsed = json.loads(content) if content.startswith(b"{") else {}
        return SimpleNamespace(status=answer.status, headers=answer.headers, content=content, json=parsed,
                               code=parsed.get("__type"), message=parsed.get("message"))
