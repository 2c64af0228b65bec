"""What all checks share: messages, how they are compared, and waiting."""
import random
import re
import secrets
import socket
import ssl
import subprocess
import time

OURS, THEIRS = "postrider.test", "postfix.test"
ALICE, BOB, CAROL = f"alice@{OURS}", f"bob@{OURS}", f"carol@{THEIRS}"
# Octets that lines are made of: ASCII and everything above, without control characters and without per cent signs and
# backslashes, in which swaks sees tokens of its own.
EIGHT_BIT = bytes(octet for octet in range(0x20, 0x100) if octet not in b"%\\\x7f")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {seconds} s")
        time.sleep(0.05)
    return value


def message(subject, to, sender=ALICE, size=0):
    """A message that nobody has to complete, with lines that begin with dots, and 8-bit ones up to `size` octets."""
    head = [
        f"From: <{sender}>",
        f"To: <{to}>",
        f"Subject: {subject}",
        "Date: Mon, 23 Nov 2026 12:00:00 +0000",
        f"Message-ID: <{secrets.token_hex(8)}@{OURS}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=iso-8859-1",
        "Content-Transfer-Encoding: 8bit",
        "",
        "A line.",
        ".",
        "..two dots",
        "  spaces at both ends  ",
        "",
    ]
    content = "\r\n".join(head).encode() + b"\r\n"
    noise = random.Random(subject)
    lines = []
    while size > 0:
        line = bytes(noise.choices(EIGHT_BIT, k=min(size, noise.randrange(1, 900))))
        lines.append(line + b"\r\n")
        size -= len(line) + 2
    return content + b"".join(lines)


def unverified():
    """A first start makes a certificate that nobody has signed; names and authorities are the compose test's business."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def call(command, stdin=None):
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, timeout=180)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {said}")


def find(mailbox, subject):
    return find_text(mailbox, f"Subject: {subject}".encode() + b"\n")


def find_text(mailbox, text):
    """The first message that holds the text, line ends made plain."""
    for file in sorted(mailbox.iterdir()) if mailbox.is_dir() else []:
        content = file.read_bytes().replace(b"\r\n", b"\n")
        if text in content[:16_384]:
            return content
    return None


def compare(sent, arrived):
    """What was sent is the end of what arrived; before it stand trace fields and nothing else."""
    sent = sent.replace(b"\r\n", b"\n")
    if not arrived.endswith(sent):
        at = next((i for i, (a, b) in enumerate(zip(reversed(sent), reversed(arrived))) if a != b), -1)
        raise AssertionError(
            f"{len(sent)} octets were sent, {len(arrived)} arrived, and they differ {at} octets before the end:\n"
            f"{sent[max(0, len(sent) - at - 60):][:120]!r}\n{arrived[max(0, len(arrived) - at - 60):][:120]!r}"
        )
    trace = arrived[: -len(sent)].decode()
    unfolded = re.sub(r"\n[ \t]+", " ", trace)
    names = {line.partition(":")[0] for line in unfolded.splitlines()}
    known = {"Return-Path", "Delivered-To", "X-Original-To", "Received"}
    assert names <= known, f"fields were added: {names - known}"
