"""The commands of docs/howto, typed as they stand there."""

import re

from conftest import ROOT
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
