"""A seal under a key of another server's key service: opens by itself while that one answers."""

import re

import pytest

from conftest import Clients, poll
from sealing import (add_kms_seal, authority, credentials_of, health, lose_key_file, ring, run, run_json,  # noqa: F401
                     start_sealed, stored)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_another_strongroom_opens_a_server_by_itself(stored, authority, scheme):
    server = stored
    access = authority.access()
    credentials = credentials_of(authority, server.home / "credentials")
    trust = ("--kms-seal-ca", access.ca) if scheme == "https" else ()
    key = add_kms_seal(server, authority, getattr(access, scheme), credentials, STRONGROOM_KMS_SEAL_CA=str(access.ca))
    lose_key_file(server)
    server.start("--kms-seal-credentials", str(credentials), *trust)
    assert server.intact()
    settings = dict(STRONGROOM_KMS_SEAL_CREDENTIALS=str(credentials), STRONGROOM_KMS_SEAL_CA=str(access.ca))
    assert re.search(r"opens +1 ", run(server, "seal", "test", expect=6, **settings).stdout)
    server.stop()

    # Whoever disables the key keeps the server sealed, and it opens by itself when that is undone.
    kms = Clients(access).boto(service="kms")
    kms.disable_key(KeyId=key)
    start_sealed(server, "--kms-seal-credentials", str(credentials), *trust)
    assert "DisabledException" in health(server, "ready")[1]
    unreachable = run_json(server, "seal", "test", expect=6, **settings)["seals"][1]
    assert unreachable["outcome"] == "unreachable" and "DisabledException" in unreachable["why"]
    kms.enable_key(KeyId=key)
    poll(lambda: health(server, "ready")[0] == 200, 90)
    assert server.intact()
    server.stop()
    # Neither the secret key nor what opens the ring went into the log.
    assert access.secret not in server.log.read_text()


def test_a_server_comes_back_when_its_key_service_does(stored, authority):
    server = stored
    access = authority.access()
    credentials = credentials_of(authority, server.home / "credentials")
    authority.listen = access.http.removeprefix("http://")
    add_kms_seal(server, authority, access.http, credentials)
    lose_key_file(server)
    authority.stop()
    start_sealed(server, "--kms-seal-credentials", str(credentials))
    assert access.http in health(server, "ready")[1]
    authority.start()
    assert "open" in run(server, "unseal", "--retry").stdout
    assert server.intact()


def test_a_server_that_waits_for_its_key_service_ends_when_its_ring_is_damaged(stored, authority):
    server = stored
    access = authority.access()
    credentials = credentials_of(authority, server.home / "credentials")
    add_kms_seal(server, authority, access.http, credentials)
    lose_key_file(server)
    authority.stop()
    start_sealed(server, "--kms-seal-credentials", str(credentials))
    for copy in ring(server):
        copy.write_bytes(b"damaged")
    assert server.process.wait(90) == 4


def test_a_key_service_that_is_no_or_another_one_says_so(stored, authority):
    server = stored
    access = authority.access()
    credentials = credentials_of(authority, server.home / "credentials")
    add = ("seal", "add", "--unseal-with", server.key_file, "--kms-key")
    arn = Clients(access).boto(service="kms").create_key()["KeyMetadata"]["Arn"]
    env = dict(STRONGROOM_KMS_SEAL_CREDENTIALS=str(credentials))
    plain = run(server, *add, arn, "--kms-endpoint", "http://kms.example.org", expect=2, **env)
    assert "plain HTTP" in plain.stderr
    run(server, *add, "alias/x", "--kms-endpoint", access.http, expect=2, **env)
    gone = arn[:-12] + "000000000000"
    missing = run(server, *add, gone, "--kms-endpoint", access.http, expect=3, **env)
    assert "NotFoundException" in missing.stderr
    nobody = run(server, *add, arn, "--kms-endpoint", access.http, expect=3)
    assert "--kms-seal-credentials" in nobody.stderr
    # TLS without the certificate to trust.
    untrusted = run(server, *add, arn, "--kms-endpoint", access.https, expect=3, **env)
    assert "certificate" in untrusted.stderr.lower()
    # It cannot be its own: sealed, it could answer nothing.
    server.start()
    own = run(server, *add, arn, "--kms-endpoint", server.endpoint["http"], expect=3, **env)
    assert "this very server" in own.stderr
    assert len(run_json(server, "seal", "list")["seals"]) == 1, "nothing of this was added"
