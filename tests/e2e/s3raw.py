"""A small S3 client for requests that no SDK would send: its own SigV4, open to tampering at every step.

`Raw.send` signs, hands the finished request to `tamper`, and puts the bytes on the wire as they are.
"""

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
# Values over which AWS's examples and a signing proxy agree; the time is the caller's.
AMZ_DATE = "%Y%m%dT%H%M%SZ"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def b64(data):
    return base64.b64encode(data).decode()


def md5_b64(data):
    return b64(hashlib.md5(data).digest())


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _crc_table(poly):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (poly if byte & 1 else 0)
        table.append(byte)
    return table


_CRC32C = _crc_table(0x82F63B78)
_CRC64NVME = _crc_table(0x9A6C9329AC4BC9B5)


def _crc(table, bits, data):
    crc = mask = (1 << bits) - 1
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return (crc ^ mask).to_bytes(bits // 8, "big")


CHECKSUMS = {
    "CRC32": lambda d: zlib.crc32(d).to_bytes(4, "big"),
    "CRC32C": lambda d: _crc(_CRC32C, 32, d),
    "CRC64NVME": lambda d: _crc(_CRC64NVME, 64, d),
    "SHA1": lambda d: hashlib.sha1(d).digest(),
    "SHA256": lambda d: hashlib.sha256(d).digest(),
}


def checksum(algorithm, data):
    """The value of `x-amz-checksum-*` for `data`."""
    return b64(CHECKSUMS[algorithm](data))


def ssec(key, prefix="x-amz-"):
    """The three SSE-C headers of a 32-byte key (`prefix="x-amz-copy-source-"` for a copy's source)."""
    head = prefix + "server-side-encryption-customer-"
    return {head + "algorithm": "AES256", head + "key": b64(key), head + "key-MD5": md5_b64(key)}


@dataclass
class Reply:
    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    def field(self, name):
        """Text of the first element called `name` in an XML body, or None."""
        try:
            root = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            return None
        for element in root.iter():
            if element.tag.rpartition("}")[2] == name:
                return element.text or ""
        return None

    @property
    def code(self):
        return self.field("Code")

    @property
    def message(self):
        return self.field("Message")

    def __repr__(self):
        return f"<{self.status} {self.reason} {dict(self.headers)} {self.body[:600]!r}>"


@dataclass
class Request:
    method: str
    path: str
    query: list
    headers: dict
    body: object
    target: str = ""
    context: dict = field(default_factory=dict)


def encode_path(path):
    return quote(path, safe="/-_.~")


def encode_query(pairs):
    return "&".join(f"{quote(str(k), safe='-_.~')}={quote(str(v), safe='-_.~')}" for k, v in sorted(pairs))


class Signer:
    """AWS Signature Version 4, as the S3 documentation describes it."""

    def __init__(self, access, secret, region, service="s3", skew=timedelta()):
        self.access, self.secret, self.region, self.service, self.skew = access, secret, region, service, skew

    def stamp(self):
        return (datetime.now(timezone.utc) + self.skew).strftime(AMZ_DATE)

    def scope(self, stamp):
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, stamp):
        key = ("AWS4" + self.secret).encode()
        for text in (stamp[:8], self.region, self.service, "aws4_request"):
            key = _hmac(key, text)
        return key

    def signature(self, stamp, method, path, query, headers, signed, payload):
        lower = {k.lower(): " ".join(str(v).split()) for k, v in headers.items()}
        canonical = "\n".join(
            [method, encode_path(path), encode_query(query)]
            + [f"{name}:{lower[name]}" for name in signed]
            + ["", ";".join(signed), payload]
        )
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, self.scope(stamp), sha256(canonical.encode())])
        return _hmac(self.key(stamp), text).hex()

    def sign(self, request, payload):
        """Adds x-amz-date, x-amz-content-sha256 and Authorization."""
        stamp = self.stamp()
        request.headers = {**request.headers, "x-amz-date": stamp, "x-amz-content-sha256": payload}
        signed = sorted(h.lower() for h in request.headers if h.lower() not in ("expect", "connection"))
        seed = self.signature(stamp, request.method, request.path, request.query, request.headers, signed, payload)
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(stamp)}, "
            f"SignedHeaders={';'.join(signed)}, Signature={seed}"
        )
        request.context = {"stamp": stamp, "seed": seed}

    def presign(self, request, expires=300, signed=("host",)):
        """Moves the signature into the query."""
        stamp = self.stamp()
        query = list(request.query) + [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access}/{self.scope(stamp)}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", ";".join(sorted(signed))),
        ]
        seal = self.signature(stamp, request.method, request.path, query, request.headers, sorted(signed), UNSIGNED)
        request.query = query + [("X-Amz-Signature", seal)]
        request.context = {"stamp": stamp, "seed": seal}

    def chunk_signature(self, stamp, previous, data):
        text = "\n".join(
            ["AWS4-HMAC-SHA256-PAYLOAD", stamp, self.scope(stamp), previous, EMPTY_SHA256, sha256(data)]
        )
        return _hmac(self.key(stamp), text).hex()

    def trailer_signature(self, stamp, previous, trailers):
        block = "".join(f"{k}:{v}\n" for k, v in trailers)
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, self.scope(stamp), previous, sha256(block.encode())])
        return _hmac(self.key(stamp), text).hex()


def chunk_frames(signer, stamp, seed, chunks, trailers=(), signed=True):
    """The frames of an aws-chunked body, the closing one and the trailers as last elements."""
    frames, previous = [], seed
    for data in [*chunks, b""]:
        head = f"{len(data):x}"
        if signed:
            previous = signer.chunk_signature(stamp, previous, data)
            head += f";chunk-signature={previous}"
        # The frame of length zero is closed by the trailers' empty line.
        frames.append(head.encode() + b"\r\n" + data + (b"\r\n" if data else b""))
    tail = "".join(f"{k}:{v}\r\n" for k, v in trailers)
    if signed and trailers:
        tail += f"x-amz-trailer-signature:{signer.trailer_signature(stamp, previous, trailers)}\r\n"
    return [*frames, tail.encode() + b"\r\n"]


class Raw:
    """One endpoint and one credential."""

    def __init__(self, url, access, secret, region, ca=None):
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port or (443 if self.tls else 80)
        self.signer = Signer(access, secret, region)
        self.ca = ca

    @property
    def authority(self):
        return f"{self.host}:{self.port}"

    def connect(self, timeout=60):
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def socket(self, timeout=60):
        """A bare connection for malformed requests."""
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def prepare(self, method, path, query=(), headers=None, body=b"", *, sign="header", payload=None, signer=None,
                host=None, **how):
        query = [(q, "") if isinstance(q, str) else q for q in query]
        request = Request(method, path, query, {"Host": host or self.authority, **(headers or {})}, body)
        signer = signer or self.signer
        if sign == "header":
            signer.sign(request, payload or sha256(body))
        elif sign == "query":
            signer.presign(request, **how)
        return request

    def send(self, method, path, query=(), headers=None, body=b"", *, tamper=None, connection=None, **how):
        request = self.prepare(method, path, query, headers, body, **how)
        if tamper:
            tamper(request)
        return self.dispatch(request, connection)

    def chunked(self, path, chunks, *, signed=True, trailers=(), tamper=None, headers=None, decoded=None, query=(),
                drop=None, signer=None):
        """PUT of an aws-chunked body. `tamper(frames)` edits the frames, `drop(request)` the signed request."""
        signer = signer or self.signer
        payload = {(True, False): STREAMING, (True, True): STREAMING_TRAILER,
                   (False, True): STREAMING_UNSIGNED_TRAILER}[signed, bool(trailers)]
        head = {
            "Content-Encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(sum(map(len, chunks)) if decoded is None else decoded),
            **({"x-amz-trailer": ",".join(k for k, _ in trailers)} if trailers else {}),
            **(headers or {}),
        }
        request = self.prepare("PUT", path, query, head, payload=payload, signer=signer)
        context = request.context
        frames = chunk_frames(signer, context["stamp"], context["seed"], chunks, trailers, signed)
        if tamper:
            frames = tamper(frames) or frames
        request.body = b"".join(frames)
        if drop:
            drop(request)
        return self.dispatch(request)

    def dispatch(self, request, connection=None):
        own = connection is None
        connection = connection or self.connect()
        target = request.target or encode_path(request.path)
        if request.query and not request.target:
            target += "?" + encode_query(request.query)
        body = request.body
        try:
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            names = {name.lower() for name in request.headers}
            for name, value in request.headers.items():
                connection.putheader(name, value)
            if not names & {"content-length", "transfer-encoding"} and (body or request.method in ("PUT", "POST")):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            try:
                connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # An early refusal may close the connection; the answer can still be read.
            reply = connection.getresponse()
            return Reply(reply.status, reply.reason, reply.headers, reply.read())
        finally:
            if own:
                connection.close()
