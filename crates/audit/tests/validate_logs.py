"""Runs the unmodified `aws cloudtrail validate-logs` over a chain that the crate's test made, as it is and
tampered with in each way, against a small server that knows the five calls it makes.

Usage: validate_logs.py CHAIN.json
"""

import base64
import contextlib
import gzip
import http.server
import io
import json
import os
import sys
import threading
import urllib.parse
from xml.sax.saxutils import escape

from awscli.clidriver import create_clidriver

S3 = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Handler(http.server.BaseHTTPRequestHandler):
    """CloudTrail and S3, as far as the command asks."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/xml", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        chain = self.server.chain
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers["X-Amz-Target"].rsplit(".", 1)[1]
        if operation == "DescribeTrails":
            arn = f"arn:aws:cloudtrail:{chain['region']}:{chain['account']}:trail/{chain['trail']}"
            trail = {"TrailARN": arn, "S3BucketName": chain["bucket"], "HomeRegion": chain["region"]}
            result = {"trailList": [trail]}
        else:
            keys = [
                {
                    "Value": base64.b64encode(bytes.fromhex(key["der"])).decode(),
                    "Fingerprint": key["fingerprint"],
                    "ValidityStartTime": key["from"],
                    "ValidityEndTime": key["until"],
                }
                for key in chain["keys"]
            ]
            result = {"PublicKeyList": keys}
        self.answer(200, json.dumps(result).encode(), "application/x-amz-json-1.1")

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        key = urllib.parse.unquote(url.path).lstrip("/").partition("/")[2]
        objects = self.server.objects
        if "location" in query:
            self.answer(200, f"<LocationConstraint {S3}/>".encode())
        elif not key:
            prefix, marker = query["prefix"][0], query.get("marker", [""])[0]
            listed = "".join(
                f"<Contents><Key>{escape(name)}</Key><Size>1</Size></Contents>"
                for name in sorted(objects)
                if name.startswith(prefix) and name > marker
            )
            body = f"<ListBucketResult {S3}><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            self.answer(200, body.encode())
        elif key in objects:
            body, metadata = objects[key]
            headers = [("Content-Encoding", "gzip")]
            headers += [(f"x-amz-meta-{name}", value) for name, value in metadata.items()]
            self.answer(200, body, "application/json", headers)
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>")


def validate(server, objects):
    """Exit status and output of the command."""
    chain, server.objects = server.chain, objects
    arn = f"arn:aws:cloudtrail:{chain['region']}:{chain['account']}:trail/{chain['trail']}"
    command = ["cloudtrail", "validate-logs", "--trail-arn", arn, "--verbose"]
    command += ["--start-time", chain["start"], "--end-time", chain["end"]]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        # One interpreter for all cases: starting one takes seconds.
        status = create_clidriver().main(command)
    return status, said.getvalue()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        chain = json.load(file)
    objects = {it["key"]: (bytes.fromhex(it["body"]), it["metadata"]) for it in chain["objects"]}
    logs = [key for key in objects if "/CloudTrail/" in key]
    digests = [key for key in objects if "/CloudTrail-Digest/" in key]
    changed = gzip.compress(gzip.decompress(objects[logs[1]][0]).replace(b"CreateUser", b"DeleteUser"))
    forged = gzip.compress(gzip.decompress(objects[digests[1]][0]).replace(b"T", b"t", 1))
    without = lambda gone: {key: it for key, it in objects.items() if key != gone}
    moved = digests[1][:-24] + "20260102T123456Z.json.gz"
    whole = f"{len(digests)}/{len(digests)} digest files valid"
    cases = [
        ("as it is", objects, 0, whole),
        ("a changed log file", objects | {logs[1]: (changed, {})}, 1, "hash value doesn't match"),
        ("a deleted log file", without(logs[0]), 1, "not found"),
        ("a deleted digest", without(digests[1]), 1, "not found"),
        ("a changed digest", objects | {digests[1]: (forged, objects[digests[1]][1])}, 1, "INVALID"),
        (
            "a digest of another signature",
            objects | {digests[1]: (objects[digests[1]][0], objects[digests[2]][1])},
            1,
            "signature verification failed",
        ),
        ("a moved digest", without(digests[1]) | {moved: objects[digests[1]]}, 1, "INVALID"),
    ]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.chain = chain
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.upper().startswith("AWS_")]:
        # Where the command has its data, which it says itself.
        if name != "AWS_DATA_PATH":
            del os.environ[name]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": chain["region"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    failed = False
    for name, tampered, status, text in cases:
        got, output = validate(server, tampered)
        right = got == status and text in output
        failed |= not right
        print(f"{'ok' if right else 'WRONG'}: {name}: status {got}")
        if not right:
            print(output)
    sys.exit(failed)


if __name__ == "__main__":
    main()
