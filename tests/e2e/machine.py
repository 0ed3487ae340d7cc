"""A machine with systemd that is not there: the commands of the HOWTOs run as they stand, below a directory, as the user
who runs the tests.

What is substituted, and nothing else:
- absolute places (/etc/strongroom, /var/lib/strongroom, ...) lie below the directory, ports are free ones, and the name
  of the example is localhost;
- useradd, chown and chgrp do nothing, `install` leaves out owner and group, `runuser -u USER -- COMMAND` runs COMMAND;
- `systemd-creds encrypt` keeps the text in base64;
- `systemctl` has systemd verify the unit files, and runs their ExecStart by hand with the credentials' directory set.
"""

import base64
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

from conftest import ROOT, binary, clean_env, tool

UNITS = "/etc/systemd/system"
PLACES = ("/etc/strongroom", "/etc/credstore.encrypted", UNITS, "/var/lib/strongroom", "/run/strongroom-first",
          "/media/usb", "/mnt/backup", "/usr/local/bin", "/srv/backup", "/srv/new")
STUBS = {
    "useradd": "exit 0",
    "chown": "exit 0",
    "chgrp": "exit 0",
    "install": """words=()
while [ $# -gt 0 ]; do
    case $1 in -o|-g) shift ;; *) words+=("$1") ;; esac
    shift
done
exec /usr/bin/install "${words[@]}" """,
    "runuser": '[ "$1" = -u ] && [ "$3" = -- ] || exit 64\nshift 3\nexec "$@"',
    "systemd-creds": """[ "$1" = encrypt ] || exit 64
base64 < "$3" > "$4" """,
    "systemctl": f'exec {shlex.quote(sys.executable)} {shlex.quote(__file__)} "$MACHINE" "$@"',
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Machine:
    """The machine, and a root shell on it that lasts from one block of commands to the next."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.https, self.http = free_port(), free_port()
        for place in (*PLACES, "/run", "/bin", "/checkout"):
            (self.home / place[1:]).mkdir(parents=True, exist_ok=True)
        for place in ("/run/strongroom-first", "/var/lib/strongroom"):
            (self.home / place[1:]).rmdir()
        os.chmod(self.home / "media/usb", 0o700)
        for name, script in STUBS.items():
            stub = self.home / "bin" / name
            stub.write_text(f"#!/bin/bash\n{script}\n")
            stub.chmod(0o755)
        # `target/release/strongroom` and `packaging/` of the sources.
        work = self.home / "checkout"
        (work / "target/release").mkdir(parents=True)
        (work / "target/release/strongroom").symlink_to(binary())
        (work / "packaging").symlink_to(ROOT / "packaging")
        tool("aws")
        env = clean_env(self.home)
        # `*.localhost` is not known to every resolver.
        (self.home / "aws.conf").write_text("[default]\ns3 =\n    addressing_style = path\n")
        env |= {"PATH": f"{self.home}/bin:{env['PATH']}", "MACHINE": str(self.home),
                "AWS_CONFIG_FILE": str(self.home / "aws.conf"), "AWS_CA_BUNDLE": str(self.home / "ca.pem")}
        self.shell = subprocess.Popen(["bash", "--norc", "-eu", "-o", "pipefail"], stdin=subprocess.PIPE, cwd=work,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def here(self, text):
        """`text` with the places, the ports and the name that it means on this machine."""
        text = text.replace("https://s3.example.org", f"https://localhost:{self.https}")
        text = text.replace("s3.example.org:443", f"localhost:{self.https}").replace("s3.example.org", "localhost")
        text = text.replace("0.0.0.0:443", f"127.0.0.1:{self.https}").replace("127.0.0.1:9000", f"127.0.0.1:{self.http}")
        text = text.replace('"10GiB"', '"1MiB"')
        return re.sub("|".join(map(re.escape, PLACES)), lambda place: f"{self.home}{place[0]}", text)

    def run(self, block):
        """Runs a block in the shell, and returns what it printed; a command that fails fails the test."""
        script = self.home / "block.sh"
        script.write_text(self.here(block))
        self.shell.stdin.write(f"set -x; source {script} </dev/null; {{ set +x; }} 2>/dev/null; echo '==''=='\n")
        self.shell.stdin.flush()
        out = ""
        for line in self.shell.stdout:
            if line == "====\n":
                return out
            out += line
        raise AssertionError(f"{block}\n---\n{out}")

    def run_until(self, block, text):
        """Runs a block that goes on until Ctrl-C, which comes when it has printed `text`."""
        out, script = self.home / "foreground.txt", self.home / "foreground.sh"
        script.write_text(self.here(block))
        out.touch()
        self.run(f"set -m; ( source {script} ) > {out} 2>&1 & foreground=$!; set +m")
        deadline = time.monotonic() + 60
        while text not in out.read_text():
            assert time.monotonic() < deadline, out.read_text()
            time.sleep(0.05)
        self.run("kill -INT -- -$foreground; wait $foreground")
        return out.read_text()

    def end(self):
        subprocess.run([sys.executable, __file__, str(self.home), "stop", "strongroom.service"], check=True, timeout=90)
        self.shell.stdin.close()
        self.shell.wait(30)


# What follows is `systemctl` on that machine.

class Unit:
    def __init__(self, home, name):
        self.home, self.name = home, name
        text = (home / UNITS[1:] / name).read_text().replace("\\\n", " ")
        self.settings = [tuple(line.split("=", 1)) for line in text.splitlines() if re.match(r"[A-Za-z]+=", line)]
        self.pid_file = home / "run" / f"{name}.pid"

    def all(self, setting):
        return [value for name, value in self.settings if name == setting]

    def here(self, text):
        return re.sub("|".join(map(re.escape, PLACES)), lambda place: f"{self.home}{place[0]}", text)

    def start(self):
        if self.name.endswith(".timer"):
            return 0
        env = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "AWS_"))}
        credentials = self.home / "run/credentials" / self.name
        for value in self.all("LoadCredentialEncrypted"):
            name, path = value.split(":")
            credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
            (credentials / name).unlink(missing_ok=True)
            (credentials / name).write_bytes(base64.b64decode(pathlib.Path(self.here(path)).read_bytes()))
            (credentials / name).chmod(0o400)
            env["CREDENTIALS_DIRECTORY"] = str(credentials)
        command, = self.all("ExecStart")
        words = shlex.split(self.here(command))
        with open(self.home / "run" / f"{self.name}.log", "ab") as log:
            process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self.home / "var/lib/strongroom", start_new_session=True)
        if self.all("Type") == ["oneshot"]:
            return process.wait(600)
        self.pid_file.write_text(str(process.pid))
        return 0

    def pid(self):
        try:
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
            return pid
        except (FileNotFoundError, ProcessLookupError):
            return None

    def stop(self):
        if pid := self.pid():
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while self.pid() and pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        self.pid_file.unlink(missing_ok=True)
        return 0

    def reload(self):
        command, = self.all("ExecReload")
        assert command == "/bin/kill -HUP $MAINPID"
        os.kill(self.pid(), signal.SIGHUP)
        return 0


def verify(home):
    """systemd reads the units, and names what it does not understand. The program is where it is here."""
    copies = home / "run/units"
    copies.mkdir(exist_ok=True)
    names = sorted(path.name for path in (home / UNITS[1:]).iterdir())
    for name in names:
        text = (home / UNITS[1:] / name).read_text()
        (copies / name).write_text(text.replace("/usr/local/bin/strongroom", binary()))
        for when in Unit(home, name).all("OnCalendar"):
            subprocess.run(["systemd-analyze", "calendar", when], check=True, stdout=subprocess.DEVNULL, timeout=60)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                           *(copies / name for name in names)], text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def systemctl(home, verb, *names):
    home = pathlib.Path(home)
    now, names = "--now" in names, [name for name in names if not name.startswith("--")]
    if verb == "daemon-reload":
        verify(home)
        return 0
    units = [Unit(home, name) for name in names]
    if verb == "enable":
        assert all(unit.all("WantedBy") for unit in units), "nothing wants it"
        return max([unit.start() for unit in units] if now else [0])
    if verb == "restart":
        return max(unit.stop() or unit.start() for unit in units)
    return max({"start": Unit.start, "stop": Unit.stop, "reload": Unit.reload}[verb](unit) for unit in units)


if __name__ == "__main__":
    sys.exit(systemctl(*sys.argv[1:]))
