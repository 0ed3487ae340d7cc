"""The HTTP side: slow, oversized and malformed input, keep-alive, HTTP/2, HEAD, health, graceful shutdown."""

import asyncio
import http.client
import os
import socket
import statistics
import threading
import time

import httpx
import pytest

from conftest import Clients, metric, new_bucket, poll
from s3raw import UNSIGNED

HEADER_LIMIT_SECONDS = 45  # reliability.md row 8: closed within 30 s; the rest is the machine's.


def exchange(raw, data, limit=HEADER_LIMIT_SECONDS):
    """Sends bytes, returns everything that comes back until the server closes or `limit` is over."""
    with raw.socket(limit) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and b"</Error>" in answer:
                    break
        except ConnectionError:
            pass
        except TimeoutError:
            assert answer, "neither an answer nor the end of the connection"
        return answer


def lines(request):
    return "".join(f"{k}: {v}\r\n" for k, v in request.headers.items())


def test_a_client_that_dawdles_over_its_headers_is_closed(raw, bucket):
    began = time.monotonic()
    with raw.socket(1) as connection:
        connection.sendall(f"GET /{bucket} HTTP/1.1\r\nHost: {raw.authority}\r\nx-slow: ".encode())
        while time.monotonic() - began < HEADER_LIMIT_SECONDS:
            try:
                connection.sendall(b"a")
                if connection.recv(4096) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection was kept")


@pytest.mark.parametrize("what, data", [
    ("one large header", b"GET / HTTP/1.1\r\nHost: x\r\nx-big: " + b"a" * (1 << 20) + b"\r\n\r\n"),
    ("many headers", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(20_000)) + b"\r\n"),
    ("a long target", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("no http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600),
    ("no version", b"GET /\r\n\r\n"), ("bad version", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n"), ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
    ("negative length", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
    ("huge length", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
    ("two lengths", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("length and chunked", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n"),
    ("unknown coding", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("nul in a header", b"GET / HTTP/1.1\r\nHost: x\r\nx-a: \0\r\n\r\n"),
    ("bad percent", b"GET /b/%zz HTTP/1.1\r\nHost: x\r\n\r\n"), ("nul in the path", b"GET /b/\0 HTTP/1.1\r\n\r\n"),
])
def test_a_malformed_request_gets_an_error_and_harms_nobody(raw, bucket, what, data):
    answer = exchange(raw, data)
    assert answer == b"" or answer.split(b" ", 2)[1][:1] in (b"4", b"5"), (what, answer[:300])
    assert raw.send("PUT", f"/{bucket}/k", body=b"x").status == 200


def test_a_smuggled_second_request_is_not_run(raw, s3, bucket):
    request = raw.prepare("PUT", f"/{bucket}/evil")
    inner = f"PUT /{bucket}/evil HTTP/1.1\r\n{lines(request)}Content-Length: 0\r\n\r\n"
    outer = raw.prepare("PUT", f"/{bucket}/k", payload=UNSIGNED)
    answer = exchange(raw, (f"PUT /{bucket}/k HTTP/1.1\r\n{lines(outer)}Content-Length: 5\r\n"
                            f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}").encode(), 10)
    assert answer.count(b"HTTP/1.1 200") == 0
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_put_without_a_length_is_refused(raw, bucket):
    request = raw.prepare("PUT", f"/{bucket}/k", payload=UNSIGNED)
    answer = exchange(raw, f"PUT /{bucket}/k HTTP/1.1\r\n{lines(request)}Transfer-Encoding: chunked\r\n\r\n"
                           "3\r\nabc\r\n0\r\n\r\n".encode(), 10)
    assert b" 411 " in answer.split(b"\r\n")[0] and b"<Code>MissingContentLength</Code>" in answer


def test_expect_100_continue_is_answered_before_the_body_and_not_for_a_refusal(raw, bucket):
    def begin(path, **how):
        request = raw.prepare("PUT", path, payload=UNSIGNED, **how)
        connection = raw.socket(20)
        connection.sendall(f"PUT {path} HTTP/1.1\r\n{lines(request)}Content-Length: 3\r\n"
                           "Expect: 100-continue\r\n\r\n".encode())
        return connection, connection.recv(65536)
    connection, answer = begin(f"/{bucket}/k")
    assert answer.startswith(b"HTTP/1.1 100 ")
    connection.sendall(b"abc")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    connection.close()
    assert raw.send("GET", f"/{bucket}/k").body == b"abc"
    for path, how, status in [("/e2e-no-such-bucket/k", {}, b"404"), (f"/{bucket}/k", {"sign": None}, b"403")]:
        connection, answer = begin(path, **how)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 " + status), "the body was asked for and then refused"


@pytest.mark.parametrize("size", [0, 100, 1024, 70_000])
def test_small_gets_on_a_kept_connection_do_not_stall(raw, bucket, size):
    """Nagle against delayed ACK costs 40 ms a request when header and body go out apart."""
    raw.send("PUT", f"/{bucket}/k", body=os.urandom(size))
    connection, times = raw.connect(), []
    for _ in range(100):
        request = raw.prepare("GET", f"/{bucket}/k")
        began = time.perf_counter()
        assert len(raw.dispatch(request, connection).body) == size
        times.append(time.perf_counter() - began)
    connection.close()
    assert statistics.median(times) < 0.020, f"median {statistics.median(times) * 1000:.1f} ms"


def test_a_refused_upload_keeps_the_connection_usable_or_closes_it(raw, bucket):
    connection = raw.connect()
    reply = raw.send("PUT", "/e2e-no-such-bucket/k", body=b"x" * 100_000, connection=connection)
    assert reply.code == "NoSuchBucket"
    try:
        reply = raw.send("GET", f"/{bucket}", connection=connection)
    except (http.client.RemoteDisconnected, ConnectionError):  # Closed: http.client connects anew.
        reply = raw.send("GET", f"/{bucket}", connection=connection)
    assert reply.status == 200 and reply.field("Name") == bucket
    connection.close()


def test_http2_over_tls_carries_many_requests_at_once(clients, bucket):
    raw = clients.raw("https")
    data = os.urandom(300_000)
    with httpx.Client(http2=True, verify=raw.ca or False, timeout=60) as http2:
        def send(method, path, body=b"", client=http2, **headers):
            request = raw.prepare(method, path, headers=headers, body=body)
            return client.request(method, f"https://{raw.authority}{path}", content=body or None,
                                  headers={k: v for k, v in request.headers.items() if k != "Host"})
        put = send("PUT", f"/{bucket}/k", data)
        assert (put.status_code, put.http_version) == (200, "HTTP/2")
        assert send("GET", f"/{bucket}/k").content == data
        assert send("GET", f"/{bucket}/k", range="bytes=5-9").content == data[5:10]
        assert send("HEAD", f"/{bucket}/k").headers["content-length"] == "300000"
        missing = send("GET", f"/{bucket}/none")
        assert missing.status_code == 404 and "NoSuchKey" in missing.text

    async def at_once():
        # One connection for all; the client with threads mixes its streams up.
        async with httpx.AsyncClient(http2=True, verify=raw.ca or False, timeout=60) as client:
            await send("HEAD", f"/{bucket}/k", client=client)
            return await asyncio.gather(*(send("GET", f"/{bucket}/k", client=client) for _ in range(16)))
    found = asyncio.run(at_once())
    assert [(reply.http_version, reply.content == data) for reply in found] == [("HTTP/2", True)] * 16


def test_head_has_the_headers_of_get_and_no_body(raw, bucket):
    raw.send("PUT", f"/{bucket}/k", headers={"x-amz-meta-a": "1"}, body=b"body")
    differ = {"date", "x-amz-request-id", "x-amz-id-2"}
    def shown(reply):
        return {k.lower(): v for k, v in reply.headers.items() if k.lower() not in differ}
    get, head = raw.send("GET", f"/{bucket}/k"), raw.send("HEAD", f"/{bucket}/k")
    assert (shown(get), head.body) == (shown(head), b"")
    assert get.headers["Content-Length"] == "4"
    for path in (f"/{bucket}/none", "/e2e-no-such-bucket"):
        reply = raw.send("HEAD", path)
        assert (reply.status, reply.body) == (404, b"")
    connection = raw.connect()  # A body behind a HEAD would be read as the next answer.
    for path in (f"/{bucket}/none", f"/{bucket}/k", f"/{bucket}/none"):
        raw.send("HEAD", path, connection=connection)
    assert raw.send("GET", f"/{bucket}/k", connection=connection).body == b"body"
    connection.close()


def test_every_answer_has_a_request_id_of_its_own(raw, bucket):
    replies = [raw.send("GET", f"/{bucket}/none"), raw.send("GET", f"/{bucket}"), raw.send("GET", "/", sign=None)]
    ids = [r.headers["x-amz-request-id"] for r in replies]
    assert all(ids) and len(set(ids)) == 3 and all(r.headers["x-amz-id-2"] for r in replies)
    assert replies[0].field("RequestId") == ids[0] and replies[0].field("HostId") == replies[0].headers["x-amz-id-2"]
    assert replies[0].headers["Content-Type"] == "application/xml"


def test_health_and_metrics_answer_without_a_signature(make_server):
    server = make_server(trace=False)
    access = server.access()
    raw = Clients(access).raw()
    for path in ("live", "ready"):
        assert raw.send("GET", f"/_strongroom/health/{path}", sign=None).status == 200
    reply = raw.send("GET", "/_strongroom/metrics", sign=None)
    assert reply.status == 200 and b"# TYPE strongroom_" in reply.body
    assert access.secret.encode() not in reply.body and access.access.encode() not in reply.body
    for name in ("strongroom_integrity_events_total", "strongroom_blobs_orphaned"):
        assert metric(access, name) == 0 and name.encode() in reply.body
    assert raw.send("PUT", "/_strongroom").code == "InvalidBucketName"


def refuses(raw):
    try:
        raw.socket(5).close()
    except OSError:
        return True
    return False


def slow_download(raw, path, started, result):
    """Reads a body slowly enough to be under way when the server is told to stop."""
    connection = raw.connect()
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    request = raw.prepare("GET", path)
    connection.putrequest("GET", request.path, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    data = reply.read(65536)
    started.set()
    result["stopping"].wait(30)
    while piece := reply.read(1 << 20):
        data += piece
    result["data"] = data
    connection.close()


def test_graceful_shutdown_finishes_a_download_and_takes_no_new_connection(make_server):
    server = make_server(trace=False)
    clients = Clients(server.access())
    raw = clients.raw()
    bucket = new_bucket(clients.boto())
    data = os.urandom(32 << 20)
    assert raw.send("PUT", f"/{bucket}/k", body=data, payload=UNSIGNED).status == 200
    started, result = threading.Event(), {"stopping": threading.Event()}
    thread = threading.Thread(target=slow_download, args=(raw, f"/{bucket}/k", started, result))
    thread.start()
    assert started.wait(30)
    server.process.terminate()
    poll(lambda: refuses(raw), 10)
    assert server.running(), "it left while a download was under way"
    result["stopping"].set()
    thread.join(60)
    assert result["data"] == data
    assert server.process.wait(30) == 0


def test_an_upload_cut_off_by_the_end_of_the_grace_is_not_acknowledged(make_server):
    """A second SIGTERM ends the grace at once."""
    server = make_server(trace=False)
    clients = Clients(server.access())
    raw, bucket = clients.raw(), new_bucket(clients.boto())
    request = raw.prepare("PUT", f"/{bucket}/k", payload=UNSIGNED)
    with raw.socket(60) as connection:
        connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\n{lines(request)}Content-Length: 9000000\r\n\r\n".encode()
                           + b"x" * 100_000)
        poll(lambda: raw.send("GET", f"/{bucket}").status == 200, 10)
        server.process.terminate()
        poll(lambda: refuses(raw), 10)
        server.process.terminate()
        server.process.wait(30)
        try:
            assert b" 200 " not in connection.recv(65536)
        except ConnectionError:
            pass
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").code == "NoSuchKey"
