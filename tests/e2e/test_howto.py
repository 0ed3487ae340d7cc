"""The commands of docs/howto, typed as they stand there."""

import os
import re
import shutil

from conftest import ROOT, Clients, Server
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
