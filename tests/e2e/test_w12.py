"""W12: encryption in transit: HTTPS out of the box, the operator's own certificate, SSE-C only over a safe way."""

import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import Clients, new_bucket, poll
from s3raw import ssec
from shell import Shell

INSECURE = ("Requests specifying Server Side Encryption with Customer provided keys must be made over a secure "
            "connection.")


def own_address():
    """An address of this machine that is not loopback; as root one is added to lo where there is none."""
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    plain = [a for a in shown if ":" not in a and not a.startswith("127.")]
    if plain:
        return plain[0]
    address = "198.51.100.7"
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    return address


def certificate(directory, name):
    """A self-signed certificate for 127.0.0.1, as an operator would bring it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256()))
    chain, secret = directory / "tls.crt", directory / "tls.key"
    pem = serialization.Encoding.PEM
    for path, content in ((chain, made.public_bytes(pem)), (secret, key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))):
        fresh = path.with_suffix(path.suffix + ".new")
        fresh.write_bytes(content)
        fresh.chmod(0o600)
        os.replace(fresh, path)
    return chain, secret, made


def served_certificate(url):
    host, port = url.removeprefix("https://").rsplit(":", 1)
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))


def test_https_works_out_of_the_box_with_the_certificate_that_env_names(make_server, tmp_path):
    shell = Shell(make_server(), tmp_path / "work")
    prelude = f'eval "$(strongroom env --tls --data {shell.server.data} --key-file {shell.server.key_file})"\n'
    done = shell.run(prelude + """
set -e
case "$AWS_ENDPOINT_URL" in https://*) ;; *) echo "endpoint $AWS_ENDPOINT_URL"; exit 1 ;; esac
aws s3 mb s3://w12
aws s3 cp testfile.txt s3://w12/a.txt
aws s3 cp s3://w12/a.txt back.txt
cmp testfile.txt back.txt
""", prelude=False)
    assert done.code == 0, done.out + done.err


def test_a_client_that_does_not_know_the_certificate_refuses_it(make_server, tmp_path):
    shell = Shell(make_server(), tmp_path / "work")
    shell.fails(f"aws s3 ls --endpoint-url {shell.server.endpoint['https']}", "SSL")


def test_the_first_certificate_stays_over_restarts(make_server):
    server = make_server()
    before = served_certificate(server.endpoint["https"])
    server.restart()
    assert served_certificate(server.endpoint["https"]) == before


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_below_1_2_is_refused(clients, version):
    raw = clients.raw("https")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with raw.socket() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


def test_the_operators_certificate_is_reloaded_without_a_restart(make_server, tmp_path):
    chain, secret, first = certificate(tmp_path, "first")
    der = serialization.Encoding.DER
    server = make_server("--tls-cert", str(chain), "--tls-key", str(secret))
    assert served_certificate(server.endpoint["https"]) == first.public_bytes(der)
    _, _, second = certificate(tmp_path, "second")
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: served_certificate(server.endpoint["https"]) == second.public_bytes(der), 30)
    # A half-written pair must not take the endpoint down.
    chain.write_bytes(b"-----BEGIN CERTIFICATE-----\nnot one\n")
    server.process.send_signal(signal.SIGHUP)
    poll(lambda: b"ert" in server.log.read_bytes(), 30)
    assert served_certificate(server.endpoint["https"]) == second.public_bytes(der)


def test_plain_http_beyond_loopback_needs_the_danger_switch(make_server):
    server = make_server(start=False, listen="0.0.0.0:0").spawn()
    out, _ = server.process.communicate(timeout=30)
    assert server.process.returncode != 0
    assert "danger-plain-http" in (out.decode() + server.output.read_text())


def test_sse_c_is_refused_over_plain_http_except_from_loopback(make_server):
    address = own_address()
    server = make_server("--danger-plain-http", listen=f"{address}:0")
    access = server.access()
    bucket = new_bucket(Clients(access).boto())
    key = os.urandom(32)
    plain, tls = Clients(access).raw(), Clients(access).raw("https")
    assert plain.send("PUT", f"/{bucket}/plain", body=b"x").status == 200
    assert tls.send("PUT", f"/{bucket}/k", headers=ssec(key), body=b"x").status == 200
    copy = {"x-amz-copy-source": f"/{bucket}/k", **ssec(key, "x-amz-copy-source-")}
    for method, path, query, headers in [
        ("PUT", "new", [], ssec(key)), ("GET", "k", [], ssec(key)), ("POST", "new", ["uploads"], ssec(key)),
        ("PUT", "new", [], copy), ("GET", "k", ["attributes"], {**ssec(key), "x-amz-object-attributes": "ETag"}),
    ]:
        reply = plain.send(method, f"/{bucket}/{path}", query, headers)
        assert (reply.status, reply.code, reply.message) == (400, "InvalidRequest", INSECURE), (method, query)
    assert plain.send("HEAD", f"/{bucket}/k", headers=ssec(key)).status == 400
    assert plain.send("HEAD", f"/{bucket}/new").status == 404


def test_sse_c_works_over_plain_http_from_loopback_and_over_tls(clients, bucket):
    key = os.urandom(32)
    for scheme in ("http", "https"):
        raw = clients.raw(scheme)
        assert raw.send("PUT", f"/{bucket}/{scheme}", headers=ssec(key), body=b"x").status == 200
        assert raw.send("GET", f"/{bucket}/{scheme}", headers=ssec(key)).body == b"x"


def test_a_plain_request_to_the_tls_port_does_not_get_an_answer_with_data(clients):
    raw = clients.raw("https")
    with socket.create_connection((raw.host, raw.port), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" not in plain.recv(65536)
