"""A person at a terminal: what a program asks shows up, what is typed does not unless the program echoes it."""

import fcntl
import os
import pty
import selectors
import signal
import subprocess
import termios
import time

LIMIT_SECONDS = 60


class Terminal:
    """A program whose standard streams are a terminal of its own."""

    def __init__(self, command, **options):
        self.master, slave = pty.openpty()

        def control():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            # Whoever runs these tests in the background may have turned it off for all that they start.
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=control, **options)
        os.close(slave)
        self.shown = ""
        self.read_to = 0

    def expect(self, text):
        """Waits until `text` is shown, behind what was expected before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.master, selectors.EVENT_READ)
            while (at := self.shown.find(text, self.read_to)) < 0:
                assert selector.select(max(0, deadline - time.monotonic())), f"no {text!r} in {self.shown!r}"
                try:
                    piece = os.read(self.master, 4096)
                except OSError:  # The other end is closed.
                    piece = b""
                assert piece, f"no {text!r} in {self.shown!r}"
                self.shown += piece.decode(errors="replace")
        self.read_to = at + len(text)
        return self

    def type(self, text):
        os.write(self.master, f"{text}\n".encode())
        return self

    def press(self, byte):
        os.write(self.master, byte)
        return self

    def end(self):
        """Reads the rest, and returns the exit code."""
        while True:
            try:
                piece = os.read(self.master, 4096)
            except OSError:
                break
            if not piece:
                break
            self.shown += piece.decode(errors="replace")
        os.close(self.master)
        return self.process.wait(LIMIT_SECONDS)
