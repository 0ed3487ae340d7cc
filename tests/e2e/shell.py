"""A person's shell: a fresh server, `eval "$(strongroom env)"`, and the AWS CLI from PyPI."""

import os
import subprocess
from types import SimpleNamespace

from conftest import binary, clean_env, tool


class Shell:
    def __init__(self, server, home):
        self.server, self.home = server, home
        home.mkdir(parents=True, exist_ok=True)
        (home / "testfile.txt").write_bytes(b"The quick brown fox jumps over the lazy dog.\n" * 100)
        tool("aws")

    def run(self, script, prelude=True, **env):
        """Runs `script` as a person would type it; returns code, out and err."""
        start = f'eval "$(strongroom env --data {self.server.data} --key-file {self.server.key_file})"\n'
        path = os.path.dirname(binary())
        base = clean_env(self.home)
        done = subprocess.run(["bash", "-c", (start if prelude else "") + script], cwd=self.home, text=True,
                              capture_output=True, timeout=120, env={**base, "PATH": f"{path}:{base['PATH']}", **env})
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    def ok(self, script, **env):
        done = self.run("set -e -o pipefail\n" + script, **env)
        assert done.code == 0, f"{script}\n{done.out}\n{done.err}"
        return done.out

    def fails(self, script, *texts, **env):
        """The last command must fail, and say every one of `texts`."""
        done = self.run(script, **env)
        assert done.code != 0, f"{script} succeeded: {done.out}"
        for text in texts:
            assert text in done.err, f"{script}: {text!r} not in {done.err!r}"
        return done
