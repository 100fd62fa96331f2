#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn migrate --to distro, and config unwire after it, with a real kube-apiserver and etcd, and the files of k3s: back to the key
of its own file, which kube-apiserver reads alone in the end. Run by tools/check-migrate."""

import base64
import json
import os
import shutil

import harness
import k3s_host
from cluster import write_kubeconfig
from harness import BUILD, proved
from one_server import OneServer
from reader import Reader

YESTERDAY = {"LD_PRELOAD": str(BUILD / "tests/fault/libkt_clock_ahead.so"), "KT_CLOCK_AHEAD": "-90000"}
FIRST, NEXT = "aescbckey", "aescbckey-2026-11-01T10:11:12Z"
OURS = b"k8s:enc:kms:v2:keyturn:"
FILE = "etc/rancher/k3s/keyturn/encryption-config.yaml"


def prefix_of(name):
    return f"k8s:enc:aescbc:v1:{name}:".encode()


class ToDistro(OneServer):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.root = cls.workspace.path / "host"
        k3s_host.lay_out(cls.root)
        cls.keys = {name: base64.b64encode(os.urandom(32)).decode() for name in (FIRST, NEXT)}
        cls.own(FIRST)
        # The daemon is on this machine, and not below the root.
        (cls.root / str(cls.daemon.dir)[1:]).parent.mkdir(parents=True)
        (cls.root / str(cls.daemon.dir)[1:]).symlink_to(cls.daemon.dir)
        cls.daemon.before = k3s_host.in_its_place(cls.root)

    @classmethod
    def own(cls, *names):
        """What k3s has, the first one first."""
        k3s_host.own_keys(cls.root / k3s_host.OWN, *((name, cls.keys[name]) for name in names))

    def states(self):
        return {key["name"]: key["state"] for key in self.daemon.status()["keys"]}

    def begin_with(self, prefix):
        self.assertEqual([key for key, value in self.cluster.etcd.all("/registry/secrets/") if not value.startswith(prefix)], [])

    def migrate(self, where, **how):
        """With a reader; what it says of that."""
        reader = Reader(self.cluster.api, self.kept)
        reader.start()
        try:
            answer = self.keyturn("migrate", "--to", where, "--yes", "-o", "json", **how).json()
        finally:
            reader.end()
        self.assertEqual(reader.errors[:3], [])
        self.assertGreaterEqual(answer["rewritten"], len(self.kept))
        self.assertEqual(answer["stage"], "reencrypt_finished")
        self.keyturn("census", "--fail-on", "plaintext,unknown,other")
        return f"{reader.reads} reads saw no error, the longest {reader.longest * 1000:.0f} ms"

    def test_1_to_a_key_that_is_new(self):
        for i in range(30):
            self.create_kept(f"s{i}")
        self.begin_with(OURS)
        before = self.states()
        dry = self.keyturn("migrate", "--to", "distro", "--dry-run")
        self.assertIn(f"key {FIRST} (aescbc) of /{k3s_host.OWN}: to be taken into the keyring", dry.stderr)
        self.assertEqual(self.states(), before)
        said = self.migrate("distro")
        self.begin_with(prefix_of(FIRST))
        self.assertEqual(self.states()[FIRST], "active")
        self.assertNotIn(self.keys[FIRST], self.daemon.log.read_text(errors="replace"))
        self.assertFalse(self.keyturn("migrate", "--to", "distro", "--yes", "-o", "json").json()["changed"])
        proved(f"migrated to the key of k3s' own file while {said}")

    def test_2_away_from_it(self):
        """Its key leaves no list that k3s may go back to; the others retire as ever."""
        first = next(name for name in self.states() if name.startswith("kmskey"))
        self.migrate("kms", env=YESTERDAY)
        self.begin_with(OURS)
        self.cluster.api.stop()
        self.cluster.api.start()
        self.write_kubeconfig()
        self.keyturn("retire")
        states = self.states()
        self.assertEqual(states[FIRST], "retiring")
        self.assertNotIn(first, states)
        self.assertIn("no key can leave", self.keyturn("retire").stdout)
        self.assertIn(FIRST, self.config.read_text())

    def unwire(self, *more, status=0):
        """On a host where the file that is wired is as kube-apiserver has it."""
        self.daemon.before, before = [], self.daemon.before
        (self.root / FILE).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.config, self.root / FILE)
        try:
            wired = self.daemon.keyturn("config", "wire", "--yes", "--force", "--root", self.root, "-o", "json")
            self.assertEqual(wired.exit, 0, wired)
            answer = self.daemon.keyturn("config", "unwire", "--yes", "--root", self.root, "--kubeconfig", self.kubeconfig,
                                         "--etcd-endpoints", self.cluster.etcd.url(), "-o", "json", *more)
        finally:
            self.daemon.before = before
        self.assertEqual(answer.exit, status, answer)
        return answer

    def test_3_not_unwired(self):
        """While something is stored under a key that k3s does not have."""
        self.assertRegex(self.unwire(status=3).error()["message"], r"will not have, .* found \d+ objects")

    def test_4_and_back(self):
        """To a key that was in use before."""
        self.keyturn("prepare")
        error = self.keyturn("migrate", "--to", "distro", "--yes", "-o", "json", status=3).error()
        self.assertIn(f"expected a rotation to the key {FIRST}, or none", error["message"])
        self.keyturn("prepare", "--cancel")
        said = self.migrate("distro")
        self.begin_with(prefix_of(FIRST))
        proved(f"and back to it, after others, while {said}")

    def test_5_to_the_next_key_of_k3s(self):
        """After secrets-encrypt prepare, and rotate."""
        self.own(NEXT, FIRST)
        said = self.migrate("distro")
        self.begin_with(prefix_of(NEXT))
        proved(f"to the next key of k3s' own while {said}")

    def test_6_without_keyturn(self):
        self.unwire()
        self.daemon.kill()
        self.cluster.api.stop()
        self.cluster.api.config = self.root / k3s_host.OWN
        self.cluster.api.start()
        write_kubeconfig(self.kubeconfig, [self.cluster.api])
        self.create_kept("afterwards")
        self.begin_with(prefix_of(NEXT))
        self.read_all()
        self.assertEqual([kind for provider in json.loads(self.cluster.api.config.read_text())["resources"][0]["providers"]
                          for kind in provider], ["aescbc", "identity"])
        proved("unwired, keyturn gone: k3s' own file is all that is needed")


if __name__ == "__main__":
    harness.main(harness.assets)
