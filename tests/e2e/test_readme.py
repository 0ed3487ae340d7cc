"""The README's commands, typed as they stand there."""

import re

from conftest import ROOT
from shell import Shell


def blocks(title):
    """The shell blocks of one section of the README."""
    text = (ROOT / "README.md").read_text()
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## )", text, re.M | re.S)[1]
    found = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    assert found, title
    # The build's own path is for people; the shell of the test has the binary in its path.
    return [re.sub(r'^eval .*\n', "", block, flags=re.M).replace("./target/release/strongroom", "strongroom")
            for block in found]


def test_the_commands_of_the_readme_do_what_it_says(make_server, tmp_path):
    server = make_server()
    shell = Shell(server, tmp_path / "work")
    (shell.home / "README.md").write_text((ROOT / "README.md").read_text())
    env = {"STRONGROOM_DATA": str(server.data), "STRONGROOM_KEY_FILE": str(server.key_file)}
    first, = blocks("Your first bucket")
    assert "README.md" in shell.ok(first, **env)
    own, everything = blocks("Your own key")
    said = shell.ok(own + "\n" + everything + """
aws s3api head-object --bucket first --key README.md --query SSEKMSKeyId --output text
aws kms describe-key --key-id $KEY --query KeyMetadata.Arn --output text
""", **env)
    assert "nobody reads it now" in said
    assert said.splitlines()[-1] == said.splitlines()[-2], "the object was re-encrypted under the key"
