#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A write under a retiring key after a census has found nothing under it. Of two hosts, each with its kube-apiserver and
keyturnd, one is paused (SIGSTOP) before the rotation and forgotten by mistake. When it goes on, its keyturnd has the keyring
from before. What it writes is found, its hold begins anew, and reencrypt rewrites it, which begins the hold once more. The clock
is moved, never the limit: the rotation is two days ago, what follows from it a day ago, and the end of the hold today. Run by
tools/check-late-write."""

import concurrent.futures
import os
import secrets
import shutil
import signal
import time

import harness
from cluster import ApiServer, EncryptedObject, Etcd, write_kubeconfig
from daemon import Daemon
from harness import BUILD, Pid, proved, wait_for

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
CAUGHT_UP = 90  # s: kube-apiserver asks for the key once a minute
ESTABLISHED = "01"


def days_ago(days):
    """So many, and an hour for each: more than the hold of a day."""
    return {"LD_PRELOAD": str(BUILD / "tests/fault/libkt_clock_ahead.so"), "KT_CLOCK_AHEAD": str(-90000 * days)}


class OtherHost(ApiServer):
    """One that sees the folder `there` in the place of `here`: its file is the same, byte by byte, its keyturnd another."""

    def __init__(self, here, there, *rest):
        super().__init__(*rest)
        self.here, self.there = here, there

    def command(self):
        namespaces = ["--uts", "--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--uts", "--mount"]
        script = 'hostname "$0" && mount --bind "$1" "$2" && shift 2 && exec "$@"'
        return ["unshare", *namespaces, "sh", "-c", script, self.hostname, self.there, self.here, *self.bare_command()]


def is_waiting(port):
    """A connection to it has bytes that nobody has read."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return any(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED and int(row[4].split(":")[1], 16) > 0 for row in rows)


class LateWrite(harness.Case):
    @classmethod
    def prepare(cls):
        path, token = cls.workspace.path, secrets.token_hex(16)
        cls.daemon = Daemon(path / "d").init()
        # The same node on another host: a node of its own could not be asked, and retire would wait for it for ever.
        cls.other = Daemon(path / "o")
        shutil.copytree(cls.daemon.dir, cls.other.dir)
        cls.other.config.write_text(cls.daemon.config.read_text().replace(f'"{cls.daemon.dir}/', f'"{cls.other.dir}/'))
        for daemon in (cls.daemon, cls.other):
            cls.workspace.on_close(daemon.kill)
            daemon.start()
        cls.etcd = Etcd(harness.assets() / "etcd", path / "etcd")
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        binary = harness.assets() / "kube-apiserver"
        cls.configs = [path / "a.yaml", path / "b.yaml"]
        for config in cls.configs:
            config.write_text(cls.daemon.rendered_config())
        cls.a = ApiServer(binary, path / "a", cls.etcd.url(), cls.configs[0], "node-a", token)
        cls.b = OtherHost(cls.daemon.dir, cls.other.dir, binary, path / "b", cls.etcd.url(), cls.configs[1], "node-b", token)
        for api in (cls.a, cls.b):
            cls.workspace.on_close(lambda api=api: api.stop(signal.SIGKILL))
            api.start(wait=False)
        for api in (cls.a, cls.b):
            api.wait_ready()
        cls.kubeconfig = path / "kubeconfig"
        write_kubeconfig(cls.kubeconfig, [cls.a, cls.b])
        cls.kept, cls.paused = {}, []
        cls.workspace.on_close(cls.go_on)

    # The host of b

    @classmethod
    def pause(cls):
        pids = [*cls.other.pids().values(), cls.b.server.process.pid]
        cls.paused = [Pid(pid) for pid in pids]
        for one in reversed(cls.paused):
            one.kill(signal.SIGSTOP)

    @classmethod
    def go_on(cls):
        for one in cls.paused:
            one.kill(signal.SIGCONT)
            one.close()
        cls.paused = []

    def lease_of_b(self):
        """The Lease's name, which is b's ID, or None."""
        leases = self.a.client().get(LEASES)[1]["items"]
        return next((lease["metadata"]["name"] for lease in leases
                     if lease["metadata"]["labels"].get("kubernetes.io/hostname") == "node-b"), None)

    def offer(self):
        """The keyring as it is here."""
        answer = self.other.offer(self.daemon.state / "keyring.yaml")
        self.assertEqual(answer.exit, 0, repr(answer))

    # keyturn, on the host of a

    def keyturn(self, *words, status=0, ago=0):
        options = ["--kubeconfig", self.kubeconfig, "--encryption-config", self.configs[0], "--etcd-endpoints", self.etcd.url()]
        answer = self.daemon.keyturn(*words, *options, timeout=400, env=days_ago(ago) if ago else None)
        self.assertEqual(answer.exit, status, repr(answer))
        return answer

    def refused(self, *words, status=4, ago=0):
        """Its message."""
        return self.keyturn(*words, "-o", "json", status=status, ago=ago).error()["message"]

    def keys(self):
        return [(key["id"], key["state"]) for key in self.daemon.status()["keys"]]

    def since(self):
        """Since when the old key is retiring."""
        return {key["id"]: key["retiringSince"] for key in self.daemon.status()["keys"] if key["state"] == "retiring"}[self.old]

    def under_old(self):
        """[(kind, count)] of what is stored under the old key."""
        rows = self.keyturn("census", "-o", "json").json()["counts"]
        return [(row["resource"], row["count"]) for row in rows if row["key"] == self.old]

    # Secrets

    def create(self, api, name):
        """The key that it is stored under."""
        value = secrets.token_hex(16).encode()
        status, answer = api.client().create_secret(name, value)
        self.assertEqual(status, 201, answer)
        self.kept[name] = value
        return self.key_of(name)

    def key_of(self, name):
        return EncryptedObject(self.etcd.secret(name)).key_id

    def read_all(self, *servers):
        for api in servers:
            client = api.client()
            for name, value in self.kept.items():
                self.assertEqual(client.read_secret(name), value, api.hostname)

    def restart(self, api):
        """Its metrics begin anew; those of the process before tell that it wrote under the old key, today."""
        api.stop()
        api.start()
        write_kubeconfig(self.kubeconfig, [self.a, self.b])

    # Two days ago

    def test_1_rotated_without_b(self):
        type(self).old = self.daemon.key_id()
        for i in range(5):
            for api in (self.a, self.b):
                self.assertEqual(self.create(api, f"{api.hostname}-{i}"), self.old)
        gone = self.lease_of_b()
        self.pause()
        self.assertIn(f"{gone} does not answer", self.refused("rotate-keys", status=3, ago=2))
        self.assertEqual(self.keys(), [(self.old, "active")])
        # The error that the hold is there for: it is forgotten, and its Lease with it, though it comes back.
        self.assertEqual(self.a.client().request("DELETE", f"{LEASES}/{gone}")[0], 200)
        self.keyturn("prepare", "--forget-api-server", gone, ago=2)
        self.keyturn("rotate", ago=2)
        self.assertGreaterEqual(self.keyturn("reencrypt", "-o", "json", ago=2).json()["rewritten"], len(self.kept))
        type(self).fresh = self.daemon.key_id()
        self.assertEqual(self.keys(), [(self.fresh, "active"), (self.old, "retiring")])
        self.assertEqual(self.under_old(), [])
        self.read_all(self.a)

    def test_2_b_goes_on_and_writes(self):
        """Under the old key, since its keyturnd knows no other. What it wrote is read by all who have the keyring."""
        value = secrets.token_hex(16).encode()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # Where it was paused for three minutes, it refuses until it has asked its keyturnd again.
            late = pool.submit(wait_for, "b has written", lambda: self.b.client().create_secret("late", value)[0] == 201, 120, 1)
            wait_for("the write waits for b", lambda: is_waiting(self.b.port))
            self.go_on()
            late.result()
        self.kept["late"] = value
        self.assertEqual(self.key_of("late"), self.old)
        self.assertEqual(self.create(self.a, "in-time"), self.fresh)
        self.read_all(self.a)
        self.assertEqual(self.under_old(), [("secrets", 1)])
        wait_for("b has a Lease again", self.lease_of_b)
        self.assertIn("every API server has been told the new key_id", self.refused("retire", "--timeout", "15", ago=1))
        self.assertEqual(self.keys()[1:], [(self.old, "retiring")])
        self.offer()
        self.read_all(self.a, self.b)

    # A day ago

    def test_3_held_by_what_b_says(self):
        """The day is over by the keyring; b, which has been told the new key, says that it wrote under the old one since."""
        self.restart(self.a)
        before, begun = self.since(), time.monotonic()
        self.assertIn("held until", self.refused("retire", ago=1))
        self.assertLess(time.monotonic() - begun, CAUGHT_UP, "what is not over today is not waited for")
        self.assertEqual((self.keys()[1:], self.since()), ([(self.old, "retiring")], before))
        self.assertEqual(self.create(self.b, "caught-up"), self.fresh)

    def test_4_found_in_the_store(self):
        """Where b does not say so any more, the second census finds it, and the day begins anew."""
        self.restart(self.b)
        before = self.since()
        self.assertIn("held until", self.refused("retire", ago=1))
        self.assertEqual(self.keys()[1:], [(self.old, "retiring")])
        self.assertGreater(self.since(), before)
        self.assertEqual(self.daemon.status()["keyring"]["archived"], 0)
        self.assertEqual(self.key_of("late"), self.old)
        self.read_all(self.a, self.b)

    def test_5_rewritten(self):
        """By the next reencrypt, which finds it too, and begins the day once more."""
        before = self.since()
        self.assertEqual(self.keyturn("reencrypt", "-o", "json", ago=1).json()["rewritten"], 1)
        self.assertEqual(self.key_of("late"), self.fresh)
        self.assertEqual(self.under_old(), [])
        self.assertGreater(self.since(), before)
        self.assertIn("held until", self.refused("retire", ago=1))
        self.assertEqual(self.keys()[1:], [(self.old, "retiring")])

    # Today

    def test_6_archived(self):
        self.keyturn("retire")
        self.assertEqual(self.keys(), [(self.fresh, "active")])
        self.assertEqual(self.daemon.status()["keyring"]["archived"], 1)
        self.offer()
        self.restart(self.b)  # what it has in memory is gone
        self.read_all(self.a, self.b)
        self.keyturn("census", "--fail-on", "plaintext,unknown,other,missing")
        for daemon in (self.daemon, self.other):
            self.assertEqual(daemon.keyturn("audit", "verify").exit, 0)
        proved("a kube-apiserver that was paused and forgotten wrote under the retiring key after the census: found, held anew, "
               f"rewritten, and the key is archived in the end; {len(self.kept)} secrets are read through both")


if __name__ == "__main__":
    harness.main(harness.assets)
