# SPDX-License-Identifier: Apache-2.0
"""A real kine on sqlite, on a Unix socket, as k3s without etcd has it; and a look into its table."""

import contextlib
import pathlib
import signal
import socket
import sqlite3
import subprocess

from cluster import Cluster, secret_key
from harness import SOURCE, Missing, Server, assets, wait_for

# As k3s has them.
PARAMETERS = "_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
# The newest row of a name is the object; `deleted` says that there is none.
NEWEST = "SELECT name, value FROM kine WHERE id IN (SELECT max(id) FROM kine WHERE {} GROUP BY name) AND deleted = 0 ORDER BY name"
PATIENCE = 60  # s for a lock of the database


def kine():
    """The program."""
    script = SOURCE / "tests" / "e2e" / "assets" / "build-kine"
    run = subprocess.run([script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode == 77:
        raise Missing(run.stderr.strip().splitlines()[-1])
    if run.returncode != 0:
        raise RuntimeError(f"{script}: {run.stderr}")
    return pathlib.Path(run.stdout.strip())


class Kine:
    """In place of cluster.Etcd. What is read comes from the database, past kine; what is written goes through it, so that
    kube-apiserver gets to know it. options: more of its flags; scheme unixs: with a certificate among them."""

    def __init__(self, directory, options=(), scheme="unix"):
        self.binary, self.dir, self.options, self.scheme = kine(), directory, options, scheme
        self.dir.mkdir()
        self.socket, self.database = self.dir / "kine.sock", self.dir / "data" / "state.db"
        self.server = None

    def start(self):
        self.database.parent.mkdir(exist_ok=True)
        command = [self.binary, f"--listen-address=unix://{self.socket}", "--metrics-bind-address=0",
                   f"--endpoint=sqlite://{self.database}?{PARAMETERS}", *self.options]
        self.server = Server("kine", command, self.dir / "kine.log")
        wait_for("kine listens or ends", lambda: not self.server.alive() or self.listens())
        self.server.check()

    def listens(self):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self.socket))
        return True

    def url(self):
        return f"{self.scheme}://{self.socket}"

    def stop(self, number=signal.SIGTERM):
        if self.server:
            self.server.stop(number)

    def rows(self, condition, *values):
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as database:
            return database.execute(NEWEST.format(condition), values).fetchall()

    def get(self, key):
        """The stored bytes."""
        found = self.rows("name = ?", key)
        return found[0][1] if found else None

    def all(self, prefix):
        """[(key, value)] of all that begins with it."""
        return self.rows("name >= ? AND name < ?", prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))

    def etcdctl(self, *words, said=b""):
        command = [assets() / "etcdctl", "--endpoints", self.url(), "--command-timeout=60s", *words]
        run = subprocess.run(command, input=said, capture_output=True, check=False)
        if run.returncode != 0:
            raise OSError(f"etcdctl {words[0]}: {run.stderr.decode(errors='replace')}")
        return run.stdout.decode(errors="replace")

    def put(self, key, value):
        self.etcdctl("put", key, said=value)

    def delete(self, key):
        """kine knows but the transactions of kube-apiserver."""
        quoted, revision = f'"{key}"', self.revision(key)
        if revision:
            said = f"mod({quoted}) = \"{revision}\"\n\ndel {quoted}\n\nget {quoted}\n\n"
            if not self.etcdctl("txn", said=said.encode()).startswith("SUCCESS"):
                raise OSError(f"{key} has changed meanwhile")

    def revision(self, key):
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as database:
            row = database.execute("SELECT id, deleted FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1", (key,)).fetchone()
        return row[0] if row and not row[1] else None

    def secret(self, name, namespace="default"):
        return self.get(secret_key(name, namespace))


class KineCluster(Cluster):
    """kine and kube-apiserver."""

    def __init__(self, directory, encryption_config):  # pylint: disable=super-init-not-called
        self.etcd = Kine(directory / "kine")
        self.assets, self.dir, self.config = assets(), directory, encryption_config
        self.api = None
