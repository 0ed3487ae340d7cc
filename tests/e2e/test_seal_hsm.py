"""A seal under a key in a PKCS#11 token: the key never leaves it, and a wrong PIN is not tried twice."""

import os
import pathlib
import re
import subprocess
import threading

from conftest import binary, clean_env, files, poll
from sealing import PIN, SEALED, command, health, hsm, lose_key_file, ring, run, run_json, softhsm, stored  # noqa: F401
from terminal import Terminal


def start_with(server, env, sealed=False):
    server.process = subprocess.Popen(server.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=open(server.output, "ab"), cwd=server.home,
                                      env=clean_env(server.home, **env))
    if not sealed:
        return server.await_ready()
    text = b""
    for line in server.process.stdout:
        text += line
        if found := SEALED.search(text.decode()):
            server.endpoint = {"http": f"http://{found[1]}", "https": f"https://{found[2]}"}
            threading.Thread(target=server.process.stdout.read, daemon=True).start()
            return server
    raise AssertionError(text)


def test_a_key_in_an_hsm_opens_the_store_and_never_leaves(stored, hsm):
    server = stored
    add = ("seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom")
    added = run_json(server, *add, **hsm)
    assert (added["kind"], added["place"]) == ("pkcs11", "key strongroom in token prod")
    lose_key_file(server)
    start_with(server, hsm)
    assert server.intact()
    assert re.search(r"opens +1 ", run(server, "seal", "test", expect=6, **hsm).stdout)
    server.stop()

    # Without the PIN's file a person gives it; the library is still named by the operator.
    no_pin = {name: value for name, value in hsm.items() if name != "STRONGROOM_PKCS11_PIN_FILE"}
    start_with(server, no_pin, sealed=True)
    wrong = Terminal(command(server, "unseal", "--pin"), env=clean_env(server.home))
    wrong.expect("PIN of the token:").type("999999")
    assert wrong.end() == 1 and "refuses the PIN" in wrong.shown and "999999" not in wrong.shown
    right = Terminal(command(server, "unseal", "--pin"), env=clean_env(server.home))
    right.expect("PIN of the token:").type(PIN)
    assert right.end() == 0, right.shown
    assert server.intact()
    server.stop()
    for path in files(server.home):
        if path.name != "pin":
            assert PIN.encode() not in path.read_bytes(), path


def test_an_hsm_that_is_gone_keeps_the_server_sealed_and_a_wrong_pin_is_not_tried_again(stored, hsm, tmp_path):
    server = stored
    run(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom",
        **hsm)
    lose_key_file(server)
    tokens = tmp_path / "tokens"
    tokens.rename(tmp_path / "unplugged")
    tokens.mkdir()
    assert run_json(server, "seal", "test", expect=6, **hsm)["seals"][1]["outcome"] == "unreachable"
    start_with(server, hsm, sealed=True)
    assert "no slot holds a token prod" in health(server, "ready")[1]
    tokens.rmdir()
    (tmp_path / "unplugged").rename(tokens)
    poll(lambda: health(server, "ready")[0] == 200, 90)
    assert server.intact()
    server.stop()

    (server.home / "pin").write_text("999999\n")
    start_with(server, hsm, sealed=True)
    answer = run(server, "unseal", "--retry", expect=1)
    assert answer.stderr
    assert run_json(server, "seal", "test", expect=3, **hsm)["seals"][1]["outcome"] == "wrong"
    # The right PIN from a person still works: the token is not locked.
    person = Terminal(command(server, "unseal", "--pin"), env=clean_env(server.home))
    person.expect("PIN of the token:").type(PIN)
    assert person.end() == 0, person.shown


def test_an_rsa_pair_in_a_token_opens_as_well(stored, hsm, tmp_path):
    server = stored
    private = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                   check=True, capture_output=True)
    subprocess.run(["softhsm2-util", "--import", private, "--token", "prod", "--label", "pair", "--id", "01", "--pin", PIN],
                   env={**os.environ, **hsm}, check=True, capture_output=True)

    added = run_json(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod",
                     "--pkcs11-key", "pair", **hsm)
    assert added["place"] == "key pair in token prod"
    lose_key_file(server)
    assert server.known.access in run(server, "env", **hsm).stdout


def test_a_library_in_the_ring_is_never_loaded(stored, hsm):
    """Who writes the ring's files does not run code: without the operator's word no library is loaded at all."""
    server = stored
    run(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom",
        **hsm)
    assert softhsm().encode() not in ring(server)[0].read_bytes()
    lose_key_file(server)
    answer = run_json(server, "seal", "test", expect=6)["seals"][1]
    assert answer["outcome"] == "unreachable" and "--pkcs11-module" in answer["why"]


def test_the_howto_for_retiring_an_hsm_holds(stored, hsm, tmp_path):
    """Its commands as they stand, with this store's paths, while the server runs."""
    server = stored
    run(server, "seal", "add", "--unseal-with", server.key_file, "--pkcs11-token", "prod", "--pkcs11-key", "strongroom",
        **hsm)
    run(server, "seal", "remove", "0", **hsm)
    lose_key_file(server)
    start_with(server, hsm)
    text = (pathlib.Path(__file__).parents[2] / "docs/howto/retire-an-hsm.md").read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S))
    for written, real in (("/srv/strongroom", server.data), ("/usr/lib/softhsm/libsofthsm2.so", softhsm()),
                          ("/etc/strongroom/pin", server.home / "pin"), ("/media/usb", server.home / "seal")):
        assert written in script
        script = script.replace(written, str(real))
    assert "NUMBER" in script
    number = next(seal["seal"] for seal in run_json(server, "seal", "list")["seals"] if seal["kind"] == "pkcs11")
    script = script.replace("NUMBER", str(number))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "strongroom").symlink_to(binary())
    env = clean_env(server.home, **hsm)
    env["PATH"] = f"{tools}:{env['PATH']}"
    done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    kinds = [seal["kind"] for seal in run_json(server, "seal", "list")["seals"]]
    assert sorted(kinds) == ["key-file", "shares"]
    assert not (tmp_path / "shares.txt").exists()
    assert server.intact()
    server.stop()
    # Without HSM, library and PIN.
    server.key_file = server.home / "seal" / "strongroom.key"
    server.start()
    assert server.intact()
