"""The commands of docs/howto, typed as they stand there."""

import json
import os
import re
import shutil
import subprocess

from conftest import ROOT, Clients, Server, poll
from machine import Machine
from shell import Shell


def blocks(page):
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/howto" / page).read_text(), re.M | re.S)


def test_the_commands_of_why_access_denied_do_what_the_page_says(make_server, tmp_path):
    server = make_server()
    shell = Shell(server, tmp_path / "work")
    env = {"STRONGROOM_DATA": str(server.data)}
    made, denied, allowed, readers = blocks("why-access-denied.md")
    said = shell.ok("\n".join([made, "echo ====", denied, "echo ====", allowed, "echo ====", readers]), **env)
    _, denied, allowed, readers = said.split("====\n")
    assert denied.startswith("ALLOWED: arn:aws:iam::") and "by policy alice/read, statement 1" in denied
    assert "Together: DENIED" in denied and "attach a policy to arn:aws:iam::" in denied
    assert "Together: ALLOWED" in allowed and "DENIED" not in allowed
    assert "CAN READ IT TODAY: 2 principals" in readers and "user/alice" in readers


def test_the_commands_of_lose_a_node_bring_the_store_back(make_server, tmp_path):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.create_bucket(Bucket="photos")
    bodies = {f"{i}": os.urandom(50_000 * i) for i in range(5)}
    for key, body in bodies.items():
        s3.put_object(Bucket="photos", Key=key, Body=body)
    work = tmp_path / "work"
    real = {"/srv/strongroom": server.data, "/etc/strongroom/root.key": server.key_file, "/mnt/backup": tmp_path / "backup",
            "/srv/new": tmp_path / "new" / "data", "/srv/other": tmp_path / "other" / "data", "/media/usb": tmp_path / "usb"}
    page = "\n".join(blocks("lose-a-node.md"))
    well, lost = page.split("strongroom backup list", 1)
    lost = "strongroom backup list" + lost
    settings = "".join(line + "\n" for line in well.splitlines() if line.startswith("export "))
    for written, there in real.items():
        assert written in page
        well, lost, settings = (text.replace(written, str(there)) for text in (well, lost, settings))
    shell = Shell(server, work)
    said = shell.run("set -euo pipefail\n" + well, prelude=False)
    assert said.code == 0, (said.out, said.err)
    assert "Backup 1 is in" in said.out and "restores" in said.out
    server.kill()
    # All that was on the node is gone, but the seal, which was elsewhere.
    shutil.rmtree(server.data)
    ports = {"STRONGROOM_LISTEN": "127.0.0.1:0", "STRONGROOM_LISTEN_TLS": "127.0.0.1:0"}
    said = shell.run("set -euo pipefail\n" + settings + lost, prelude=False, **ports)
    assert said.code == 0, (said.out, said.err)
    for name, key_file in (("new", server.key_file), ("other", tmp_path / "usb/new.key")):
        restored = Server(tmp_path / name, trace=False)
        restored.key_file = key_file
        restored.start()
        there = Clients(restored.access()).boto()
        for key, body in bodies.items():
            assert there.get_object(Bucket="photos", Key=key)["Body"].read() == body
        restored.stop()
        restored.assert_sane()


# The pages for a machine with systemd. machine.py says what is substituted.

class Authority:
    """The certificate authority that the page speaks of."""

    def __init__(self, machine):
        self.home = machine.home
        self.openssl("req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -out ca.pem -days 2 "
                     "-subj /CN=authority -addext basicConstraints=critical,CA:TRUE")

    def openssl(self, words):
        subprocess.run(["openssl", *words.split()], cwd=self.home, check=True, capture_output=True, timeout=60)

    def sign(self, request, certificate):
        self.openssl(f"x509 -req -in {request} -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copyall -out {certificate}")


def test_the_commands_of_the_first_deployment_and_of_rotation_do_what_the_pages_say(tmp_path):
    machine = Machine(tmp_path)
    authority = Authority(machine)
    deployment = iter(blocks("first-production-deployment.md"))
    try:
        places, function, configuration, first_start, *rest = deployment
        for block in (places, function, configuration):
            machine.run(block)
        assert "strongroom serve" in first_start
        assert "This is the first start" in machine.run_until(first_start, "strongroom: ready")
        second_seal, certificate, service, seals, *rest = rest
        kinds = re.findall(r"(key-file|credential)", machine.run(second_seal))
        assert {"key-file", "credential"} <= set(kinds)
        assert not (tmp_path / "run/strongroom-first").exists()
        machine.run(certificate)
        authority.sign("checkout/s3.csr", "etc/strongroom/tls/cert.pem")
        # The medium with the other seal has left the machine.
        (tmp_path / "media/usb/strongroom.key").rename(tmp_path / "away.key")
        machine.run(service)
        (tmp_path / "away.key").rename(tmp_path / "media/usb/strongroom.key")
        said = machine.run(seals)
        assert "opens" in said and "unreachable" in said
        root, client, bucket, metrics, *rest = rest
        machine.run(root)
        assert "user/admin" in machine.run(client)
        said = machine.run(bucket)
        assert '"aws:kms"' in said
        said = machine.run(metrics)
        assert 'strongroom_kms_keys_pending_deletion{within="7d"} 0' in said and "strongroom_sealed 0" in said
        for block in rest:
            machine.run(block)

        table, *rotation = blocks("rotate-keys.md")
        machine.run(table)
        # For the last section: the pair that replaces the other one.
        request = tmp_path / "checkout/new.csr"
        authority.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "
                          f"etc/strongroom/tls/new-key.pem -out {request} -subj /CN=localhost/O=renewed "
                          "-addext subjectAltName=DNS:localhost")
        authority.sign("checkout/new.csr", "etc/strongroom/tls/new-cert.pem")
        # The deployment has a key and a bucket of the names that this page gives its own.
        rotation = [block.replace("photos", "albums") for block in rotation]
        said = [machine.run(block) for block in rotation]
        together = "\n".join(said)
        assert "Version 2 of the root key wraps from now on" in together
        assert "Signature Verified Successfully" in together
        assert "2 wrapped keys" not in together and "wrapped keys" in together
        assert '"KeyState": "PendingDeletion"' in together
        assert "renewed" in said[-1]
    finally:
        machine.end()


def test_every_page_is_run_by_a_test():
    pages = {path.name for path in (ROOT / "docs/howto").glob("*.md")}
    suite = "".join(path.read_text() for path in (ROOT / "tests/e2e").glob("test_*.py"))
    assert not {page for page in pages if f'{page}"' not in suite}


def test_the_commands_of_read_the_audit_trail_do_what_the_page_says(make_server, tmp_path):
    server = make_server("--trail-delivery-interval", "1")
    shell = Shell(server, tmp_path / "work")
    looked, made, auditor, read, proof = blocks("read-the-audit-trail.md")
    found = shell.ok(looked)
    assert "GenerateDataKey" in found and "Decrypt" in found
    # The page is one shell; what it sets is asked for again here.
    account = shell.ok("aws sts get-caller-identity --query Account --output text").strip()
    said = shell.ok(f"ACCOUNT={account}\n{made}\n{auditor}\necho ==== $TRAIL $LOGKEY")
    trail = re.search(r"==== (\S+) (\S+)", said)[1]
    client = Clients(server.access()).boto(service="cloudtrail")
    poll(lambda: "LatestDeliveryTime" in client.get_trail_status(Name="everything"), 60, 0.5)
    said = shell.ok(f"ACCOUNT={account}\n{read}")
    assert '"IsLogging": true' in said and json.loads(said[said.index('{"Records"'):])["Records"]
    # Instead of waiting for an hour.
    client.stop_logging(Name="everything")
    poll(lambda: "LatestDigestDeliveryTime" in client.get_trail_status(Name="everything"), 60, 0.5)
    said = shell.ok(f"TRAIL={trail}\n{proof}")
    assert "1/1 digest files valid" in said and "INVALID" not in said
