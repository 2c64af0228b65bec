"""Postfix's load tools: smtp-source sends, smtp-sink takes and counts."""
import re
import socket
import subprocess
import threading
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def source(port, recipient, messages, sessions, size, kept):
    """Sends; returns the seconds that it took until the last 250."""
    command = ["/usr/sbin/smtp-source", "-4", "-C", "20", "-s", sessions, "-m", messages, "-l", size]
    command += ["-f", "bench@source.test", "-t", recipient, "-M", "source.test", *(["-d"] if kept else [])]
    begin = time.monotonic()
    subprocess.run([str(part) for part in [*command, f"127.0.0.1:{port}"]], check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - begin


class Sink:
    """smtp-sink on a port of its own; a closed one is a port that nobody listens on."""

    def __init__(self, closed):
        self.port = free_port()
        self.closed = closed
        self.count = 0
        self.expected = 0
        self.process = None

    def __enter__(self):
        if self.closed:
            return self
        command = ["/usr/sbin/smtp-sink", "-4", "-c", "-m", "4000", "-u", "nobody", f"127.0.0.1:{self.port}", "1024"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()
        wait_for_port(self.port, self.process)
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()

    def _read(self):
        """Its running counter is one line that is overwritten: `sess=1 quit=2 mesg=3` and a carriage return."""
        rest = b""
        while chunk := self.process.stdout.read1(65536):
            numbers = re.findall(rb"mesg=(\d+)\s", rest + chunk)
            rest = (rest + chunk)[-64:]
            if numbers:
                self.count = int(numbers[-1])

    def wait(self, messages):
        """Until that many more than last time have come; returns the seconds that it took."""
        if self.closed:
            return 0.0
        begin = time.monotonic()
        self.expected += messages
        progress, last = begin, self.count
        while self.count < self.expected:
            if self.count != last:
                progress, last = time.monotonic(), self.count
            if time.monotonic() - progress > 60:
                raise RuntimeError(f"the sink has {self.count} of {self.expected} messages, and no more come")
            time.sleep(0.002)
        return time.monotonic() - begin


def wait_for_port(port, process=None, seconds=30):
    """Until somebody listens there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended with {process.returncode}") from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
