"""`strongroom recover` by every kind of seal: each alone gives back every acknowledged object of every mode, with the
metadata index deleted, and what the blobs tell when the journal is lost too."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import Server, binary, clean_env, common_home
from sealing import PASSPHRASE, PIN, add_kms_seal, credentials_of, hsm_environment, run, run_json, with_passphrase
from softtpm import SoftTpm
from test_recover import KEY, lines
from test_second_reader import SmallZoo

KINDS = ["key-file", "passphrase", "shares", "credential", "credential-by-fd", "kms", "pkcs11", "tpm"]


class Sealed:
    """A killed store with a seal of each kind, none of which lies where it would be found by itself."""

    def __init__(self, home):
        self.authority = Server(home / "authority", trace=False).start()
        self.server = server = Server(home / "store")
        server.start()
        self.zoo = SmallZoo(server)
        with_passphrase(server)
        texts = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--shares", "4", "--threshold", "3")["shares"]
        source = home / "credentials" / "ring"
        source.parent.mkdir()
        run(server, "seal", "add", "--unseal-with", server.key_file, "--credential", "ring", "--key-file", source)
        access = self.authority.access()
        credentials = credentials_of(self.authority, home / "kms-credentials")
        add_kms_seal(server, self.authority, access.http, credentials)
        hsm = hsm_environment(home, server)
        run(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom", **hsm)
        self.tpm = SoftTpm()
        tpm = {"STRONGROOM_TPM_DEVICE": str(self.tpm.socket)}
        run(server, "seal", "add", "--unseal-with", server.key_file, "--tpm", **tpm)
        server.kill()
        away = home / "away.key"
        server.key_file.rename(away)
        (server.data / "meta" / "index.srx").unlink()
        # Flags, what file descriptor 1000 holds, and the environment.
        self.openers = {
            "key-file": (["--key-file", str(away)], None, {}),
            "passphrase": (["--unseal-fd", 1000], PASSPHRASE, {}),
            "shares": (["--unseal-fd", 1000], "\n".join([texts[3], texts[0], texts[2]]), {}),
            "credential": ([], None, {"CREDENTIALS_DIRECTORY": str(source.parent)}),
            "credential-by-fd": (["--unseal-fd", 1000], source.read_text(), {}),
            "kms": ([], None, {"STRONGROOM_KMS_SEAL_CREDENTIALS": str(credentials)}),
            "pkcs11": ([], None, hsm),
            "tpm": ([], None, tpm),
        }
        assert {seal["kind"] for seal in run_json(server, "seal", "list")["seals"]} == set(KINDS) - {"credential-by-fd"}

    def recover(self, flags, text, env, *more, code=0):
        words, pipe = [str(word) for word in flags], ()
        if text is not None:
            reader, writer = os.pipe()
            os.write(writer, text.encode())
            os.close(writer)
            words, pipe = [str(reader) if word == "1000" else word for word in words], (reader,)
        done = subprocess.run([binary(), "recover", "--data", str(self.server.data), *words, *map(str, more)],
                              env=clean_env(self.server.home, **env), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, pass_fds=pipe)
        for number in pipe:
            os.close(number)
        assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done


@pytest.fixture(scope="module")
def sealed(request):
    with common_home(request, "sealed") as home:
        made = Sealed(home)
        yield made
        made.tpm.remove()
        made.authority.stop()
        for server in (made.authority, made.server):
            server.assert_sane()


@pytest.fixture
def customer_key(tmp_path):
    path = tmp_path / "customer.key"
    path.write_bytes(KEY)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_each_seal_alone_recovers_every_object_of_every_mode(sealed, kind, tmp_path, customer_key):
    out = tmp_path / "out"
    sealed.recover(*sealed.openers[kind], "--sse-c-key", customer_key, "--out", out)
    found = lines(out)
    whole = {(it["bucket"], it["key"], it["version_id"]): it["sha256"] for it in found if it.get("outcome") == "recovered"}
    assert whole == sealed.zoo.expected
    assert {it["encryption"] for it in found if it.get("outcome")} == {"AES256", "aws:kms", "aws:kms:dsse", "SSE-C"}
    assert json.loads((out / "report.json").read_text())["losses"] == []
    shutil.rmtree(out)


@pytest.mark.parametrize("kind", KINDS)
def test_each_seal_alone_opens_what_blobs_tell_without_the_journal(sealed, kind, tmp_path, customer_key):
    meta, aside = sealed.server.data / "meta", sealed.server.home / "meta.aside"
    meta.rename(aside)
    try:
        out = tmp_path / "out"
        done = sealed.recover(*sealed.openers[kind], "--sse-c-key", customer_key, "--out", out, code=5)
    finally:
        aside.rename(meta)
    assert "neither journal nor snapshot" in done.stdout
    whole = {(it["key"], it["sha256"]) for it in lines(out) if it.get("outcome") == "recovered" and it["key"] != "deleted"}
    expected = {(key, sha) for (_, key, _), sha in sealed.zoo.expected.items()}
    assert whole <= expected and {key for key, _ in whole} >= {"AES256/large", "SSE-C/large", "AES256", "SSE-C"}
    report = json.loads((out / "report.json").read_text())
    assert report["without_rows"]
    # What is encrypted under KMS has its keys in the journal: all of it is told as lost, none is passed over.
    for mode in ("aws:kms", "aws:kms:dsse"):
        assert report["versions"][mode]["recovered"] == 0 and report["versions"][mode]["lost"] > 0
    shutil.rmtree(out)


def test_nothing_opens_without_a_seal_or_with_a_wrong_one(sealed, tmp_path):
    out = tmp_path / "out"
    assert "nobody has given" in sealed.recover([], None, {}, "--out", out, code=3).stderr
    wrong = sealed.recover(["--unseal-fd", 1000], "another passphrase", {}, "--out", out, code=3)
    assert "the passphrase is another" in wrong.stderr and not out.exists()
    _, texts, _ = sealed.openers["shares"]
    sealed.recover(["--unseal-fd", 1000], "\n".join(texts.split("\n")[:2]), {}, "--out", out, code=3)
    token = sealed.openers["pkcs11"][2]
    pin = tmp_path / "pin"
    pin.write_text("999999\n")
    pin.chmod(0o600)
    refused = sealed.recover([], None, {**token, "STRONGROOM_PKCS11_PIN_FILE": str(pin)}, "--out", out, code=3)
    assert "PIN" in refused.stderr and PIN not in refused.stderr and not out.exists()
