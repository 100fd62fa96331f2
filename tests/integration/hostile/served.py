# SPDX-License-Identifier: Apache-2.0
"""A whole keyturnd, with its own front, and what a test may see of its processes from outside. As root each process has
an account of its own, as on a real node; started by somebody else, all run under that uid and cannot be looked into."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kmsplugin"))
from daemon import BUILD, PATIENCE, Daemon, fields_of, keys_of, make_state, receive, until  # noqa: E402, F401

ROOT = os.geteuid() == 0
SHOW_KEYS = os.path.join(BUILD, "tests", "show_keys")
KEYTURN = os.path.join(BUILD, "bin", "keyturn")
FAULT = os.path.join(BUILD, "tests", "fault", "libkt_kill_at_write.so")
ROLES = ("supervisor", "front", "keeper", "exporter")
ACCOUNTS = {"front": 23461, "keeper": 23462, "opener": 23463, "exporter": 23464}


def sanitized():
    with open(os.path.join(BUILD, "libexec", "keyturn", "keyturn-keeper"), "rb") as program:
        text = program.read()
    return b"__asan_init" in text or b"__tsan_init" in text


class Served(Daemon):
    def install(self):
        super().install()
        shutil.copy(os.path.join(BUILD, "libexec", "keyturn", "keyturn-front"), self.program("front"))

    def __init__(self, *settings, separate=ROOT):
        super().__init__(*settings)
        self.kms = os.path.join(self.place, "run", "kms", "kms.sock")
        if ROOT and separate:
            self.separate()

    def separate(self):
        text = self.text(self.config)
        for role, uid in ACCOUNTS.items():
            text = re.sub(rf'(?m)^(accounts:\n(?:  .*\n)*?  {role}:) ""', rf'\1 "{uid}:{uid}"', text)
        with open(self.config, "w") as out:
            out.write(text)
        for path, _, names in os.walk(self.state):
            owner = ACCOUNTS["opener" if path.endswith("opener") else "keeper"]
            for entry in [path] + [os.path.join(path, name) for name in names]:
                os.chown(entry, owner, owner)
        os.chmod(self.state, 0o711)

    def start(self, *args, **kwargs):
        super().start(*args, **kwargs)
        if kwargs.get("wait", True) and not args:
            self.wait_healthz("ok")
        return self

    excused = "\0"

    def log(self):
        """Without the lines that a test has an excuse for."""
        return "".join(line for line in super().log().splitlines(True) if self.excused not in line)

    def keyturn(self, *words, timeout=60):
        return subprocess.run([KEYTURN, *words, "--config", self.config], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def pids(self):
        return {role: pid for role, (pid, _, _) in self.processes().items() if pid and role in ROLES}

    def restarts(self):
        return {role: count for role, (_, count, _) in self.processes().items() if role in ROLES}

    def connections(self):
        return self.metric("keyturn_connections")

    def wait_gone(self, pid):
        until(lambda: self.gone(pid), f"{pid} ends")


class Node(Served):
    """Made by keyturn init, so that the recovery key is known."""

    def __init__(self):
        super().__init__(separate=False)
        shutil.rmtree(self.place)
        self.recovery = os.path.join(self.dir, "recovery")
        made = subprocess.run([KEYTURN, "init", "--dir", self.place, "--yes", "--node", "node-1", "--recovery-out", self.recovery],
                              capture_output=True, text=True, timeout=60)
        if made.returncode:
            raise AssertionError(made.stderr)
        if ROOT:
            self.separate()

    def leave_together(self):
        """All under root, whom no limit of locked memory binds."""
        text = re.sub(r'(?m)^(  (?:front|keeper|opener|exporter):) "\d+:\d+"', r'\1 ""', self.text(self.config))
        with open(self.config, "w") as out:
            out.write(text)
        if ROOT:
            for path, _, names in os.walk(self.state):
                for entry in [path] + [os.path.join(path, name) for name in names]:
                    os.chown(entry, 0, 0)

    def secrets(self, keyring=None):
        return secrets_of(self.place, keyring)


def secrets_of(place, keyring=None):
    """{name: bytes} of all secrets of a node whose files are in `place`, but for the recovery key (show_keys.c)."""
    state = os.path.join(place, "state")
    files = [os.path.join(place, "keyturn.yaml"), keyring or os.path.join(state, "keyring.yaml"),
             os.path.join(state, "opener", "node.key")]
    shown = subprocess.run([SHOW_KEYS, *files], capture_output=True, text=True, timeout=60)
    if shown.returncode:
        raise AssertionError(shown.stderr)
    return {name: bytes.fromhex(value) for name, value in (line.split() for line in shown.stdout.splitlines())}


def get_at(path, page):
    """A page of the exporter where it listens at a Unix socket, head and all."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        connection.sendall(f"GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while piece := connection.recv(65536):
            text += piece
    return text.decode()


def metric_in(name, text):
    """A figure of a /metrics page; None if it is not there."""
    found = re.search("(?m)^" + re.escape(name) + r" (\S+)", text)
    return float(found.group(1)) if found else None


def fds(pid):
    """How many descriptors a process has; None where the kernel does not tell, which only root may ask of ours."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


def anonymous_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"^RssAnon:\s+(\d+)", status.read(), re.M).group(1))
