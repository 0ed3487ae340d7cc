"""A software TPM 2.0 (swtpm) at a Unix socket, and the one command that a test itself gives it."""

import pathlib
import shutil
import socket
import subprocess
import tempfile

from conftest import poll, tool


class SoftTpm:
    def __init__(self):
        # A socket's path must be short.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tpm-"))
        (self.home / "state").mkdir()
        self.socket = self.home / "socket"
        self.process = None
        self.start()

    def start(self):
        """Power on: PCRs are as after a reset."""
        self.process = subprocess.Popen(
            [tool("swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={self.home / 'state'}", "--server",
             f"type=unixio,path={self.socket}", "--flags", "not-need-init,startup-clear"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        poll(self.socket.exists, 30)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.socket.unlink(missing_ok=True)

    def forget(self):
        """Another chip in its place."""
        self.stop()
        shutil.rmtree(self.home / "state")
        (self.home / "state").mkdir()
        self.start()

    def remove(self):
        self.stop()
        shutil.rmtree(self.home)

    def extend(self, pcr):
        """TPM2_PCR_Extend, as a changed boot would."""
        rest = pcr.to_bytes(4) + (9).to_bytes(4) + 0x40000009.to_bytes(4) + bytes(5)
        rest += (1).to_bytes(4) + 0x0B.to_bytes(2) + b"\1" * 32
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(30)
            channel.connect(str(self.socket))
            channel.sendall(0x8002.to_bytes(2) + (10 + len(rest)).to_bytes(4) + 0x182.to_bytes(4) + rest)
            answer = channel.recv(4096)
        assert answer[6:10] == bytes(4), answer.hex()
