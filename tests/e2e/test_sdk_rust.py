"""W2 to W5 through the AWS SDK for Rust: builds tests/sdk-rust and runs it against a fresh server."""

import subprocess

import pytest

from conftest import ROOT, Clients


@pytest.mark.timeout(1500)
def test_w2_to_w5_through_the_sdk_for_rust(make_server, tmp_path):
    manifest = ROOT / "tests" / "sdk-rust" / "Cargo.toml"
    built = subprocess.run(["cargo", "build", "--locked", "--manifest-path", str(manifest)], capture_output=True,
                           text=True, timeout=1400)
    assert built.returncode == 0, built.stderr[-4000:]
    program = manifest.parent / "target" / "debug" / "strongroom-sdk-rust"
    env = Clients(make_server().access()).env(tmp_path)
    done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout
