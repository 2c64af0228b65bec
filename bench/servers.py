"""The servers that are measured, each started fresh in a folder of its own."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from load import free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
# A local address that is an alias for one elsewhere.
HERE, THERE = "bench.test", "sink.test"


def program(named):
    """The release binary, which is built where it is missing; or the one that was named."""
    if named is not None:
        return named
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "postrider"
    if not built.exists():
        print("building the release binary", file=sys.stderr)
        subprocess.run(["cargo", "build", "--release", "-p", "postrider"], cwd=ROOT, check=True)
    return built


def tree(root):
    """The process and its descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The fields after the name, which may hold anything and ends with the last parenthesis.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append((int(entry.name), fields))
    found, open_ = [], [root]
    while open_:
        parent = open_.pop()
        for process, fields in children.get(parent, []):
            found.append(fields)
            open_.append(process)
    try:
        found.append(Path(f"/proc/{root}/stat").read_text().rpartition(")")[2].split())
    except OSError:
        pass
    return found


class Server:
    """What both have in common."""

    recipient = f"user@{HERE}"

    def __init__(self, folder, sink_port, options):
        self.folder = folder
        self.sink_port = sink_port
        self.options = options
        self.settings = {}
        self.port = free_port()
        self.process = None

    def memory(self, name="VmRSS"):
        """Resident octets of the process, now or (VmHWM) at the most."""
        for line in Path(f"/proc/{self.process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"the kernel does not tell {name}")

    def cpu_seconds(self):
        """Of the whole tree: user and system, with those of children that have ended."""
        return sum(sum(map(int, fields[11:15])) for fields in tree(self.process)) / TICKS


class Postfix(Server):
    """As Debian ships it, less chroot, TLS and its limits on clients; its queue and its log lie in the folder."""

    def __enter__(self):
        config, queue, data = (self.folder / name for name in ("config", "queue", "data"))
        for folder in (config, queue, data):
            folder.mkdir()
        run = ["chown", "postfix", str(data)]
        subprocess.run(run, check=True)
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": queue,
            "data_directory": data,
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": self.folder / "log",
            "maillog_file_prefixes": self.folder,
            "myhostname": f"mx.{HERE}",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "virtual_alias_domains": HERE,
            "virtual_alias_maps": f"inline:{{user@{HERE}=user@{THERE}}}",
            "transport_maps": f"inline:{{{THERE}=smtp:[127.0.0.1]:{self.sink_port}}}",
            "smtpd_client_connection_count_limit": 0,
            "smtpd_tls_security_level": "none",
            "smtp_tls_security_level": "none",
        }
        (config / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (config / "master.cf").write_text(self.services())
        self.postfix("start")
        self.process = int((queue / "pid" / "master.pid").read_text())
        wait_for_port(self.port)
        return self

    def services(self):
        lines = Path("/usr/share/postfix/master.cf.dist").read_text().splitlines()
        kept = []
        for line in lines:
            fields = line.split()
            if not fields or line[0] in "# \t":
                continue
            if fields[0] == "smtp" and fields[1] == "inet":
                fields[0] = f"127.0.0.1:{self.port}"
            fields[4] = "n"  # not in a chroot
            kept.append(" ".join(fields))
        return "\n".join(kept) + "\n"

    def postfix(self, verb):
        command = ["/usr/sbin/postfix", "-c", str(self.folder / "config"), verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            log = self.folder / "log"
            raise RuntimeError(f"postfix {verb}: {done.stderr}\n{log.read_text() if log.exists() else ''}")

    def __exit__(self, *_):
        self.postfix("stop")


class Postrider(Server):
    """`postrider up` in its data folder: SQLite for queue and directory."""

    def __enter__(self):
        ready = self.folder / "ready.json"
        listen = {
            "mta.listen.mx": f"127.0.0.1:{self.port}",
            "msa.listen.submission": "127.0.0.1:0",
            "msa.listen.submission_alt": "127.0.0.1:0",
            "msa.listen.http": "127.0.0.1:0",
            "msa.listen.submissions": "127.0.0.1:0",
            "service.listen.health": "127.0.0.1:0",
            "service.hostname": f"mx.{HERE}",
            f'mta.routes."{THERE}"': f"127.0.0.1:{self.sink_port}",
            **self.settings,
        }
        data = ["--data", str(self.folder / "data")]
        command = [str(self.options.postrider), "up", *data, "--domain", HERE, "--ready-file", str(ready)]
        for key, value in listen.items():
            command += ["--set", f"{key}={value}"]
        with open(self.folder / "log", "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.process = self.child.pid
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postrider did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)
        json.loads(ready.read_text())
        alias = [str(self.options.postrider), "alias", "add", f"user@{HERE}", f"user@{THERE}", *data]
        subprocess.run(alias, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(40)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
