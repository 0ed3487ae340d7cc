"""A seal in the machine's TPM 2.0: opens by itself on this machine, and nowhere else."""

import re

import pytest

from softtpm import SoftTpm
from conftest import files, poll
from sealing import health, lose_key_file, run, run_json, start_sealed, stored  # noqa: F401 - the fixture


@pytest.fixture
def tpm():
    made = SoftTpm()
    yield made
    made.remove()


def where(tpm):
    return {"STRONGROOM_TPM_DEVICE": str(tpm.socket)}


def test_a_tpm_opens_the_store_by_itself_and_after_a_reboot(stored, tpm):  # noqa: F811
    server = stored
    added = run_json(server, "seal", "add", "--tpm", "--unseal-with", server.key_file, **where(tpm))
    assert (added["kind"], added["place"]) == ("tpm", "this machine's TPM")
    lose_key_file(server)
    for _ in range(2):
        server.start("--tpm-device", str(tpm.socket))
        assert server.intact()
        server.stop()
        tpm.stop()
        tpm.start()
    assert re.search(r"opens +1 ", run(server, "seal", "test", expect=6, **where(tpm)).stdout)
    out = server.home / "out"
    run(server, "recover", "--out", out, **where(tpm))
    assert [path for path in files(out) if path.read_bytes() == b"body"]
    # Made anew, with the seal that is lost given up.
    told = run_json(server, "seal", "rekey", "--drop", "0", **where(tpm))
    assert [seal["kind"] for seal in told["seals"]] == ["tpm"]
    server.start("--tpm-device", str(tpm.socket))
    assert server.intact()


def test_another_tpm_is_a_wrong_seal_and_none_keeps_the_server_sealed(stored, tpm):  # noqa: F811
    server = stored
    run(server, "seal", "add", "--tpm", "--unseal-with", server.key_file, **where(tpm))
    lose_key_file(server)
    tpm.stop()
    start_sealed(server, "--tpm-device", str(tpm.socket))
    assert str(tpm.socket) in health(server, "ready")[1]
    assert run_json(server, "seal", "test", expect=6, **where(tpm))["seals"][1]["outcome"] == "unreachable"
    tpm.start()
    poll(lambda: health(server, "ready")[0] == 200, 90)
    assert server.intact()
    server.stop()

    tpm.forget()
    tested = run_json(server, "seal", "test", expect=3, **where(tpm))["seals"][1]
    assert tested["outcome"] == "wrong" and "another one than sealed it" in tested["why"]
    nothing = run(server, "seal", "add", "--tpm", "--tpm-device", server.home / "nothing", "--unseal-with", server.key_file, expect=3)
    assert "No such file" in nothing.stderr or "does not exist" in nothing.stderr


def test_pcrs_keep_it_sealed_on_a_machine_that_was_started_another_way(stored, tpm):  # noqa: F811
    server = stored
    add = ("seal", "add", "--tpm", "--unseal-with", server.key_file, "--tpm-pcrs")
    assert "is no PCR" in run(server, *add, "99", expect=3, **where(tpm)).stderr
    added = run_json(server, *add, "7,16", **where(tpm))
    assert added["place"] == "this machine's TPM, with PCRs 7,16 as they are"
    lose_key_file(server)

    def outcome(expect):
        return run_json(server, "seal", "test", expect=expect, **where(tpm))["seals"][1]

    assert outcome(6)["outcome"] == "opens"
    tpm.extend(5)
    assert outcome(6)["outcome"] == "opens"
    tpm.extend(7)
    closed = outcome(6)
    assert closed["outcome"] == "unreachable" and "PCRs are not as they were" in closed["why"]
    tpm.stop()
    tpm.start()
    assert outcome(6)["outcome"] == "opens"
    # Every try leaves room for the next: a TPM has three places or so.
    for _ in range(8):
        assert outcome(6)["outcome"] == "opens"
    server.start("--tpm-device", str(tpm.socket))
    assert server.intact()
