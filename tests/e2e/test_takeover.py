#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn migrate from what others set up, on a real kube-apiserver and etcd: from another KMS plugin (another keyturnd, with a keyring
and a name of its own), and from keys that somebody wrote into the file by hand. A reader sees no error all the while, and what was there
before can go afterwards. Then from one type of key to another, and back. Run by tools/check-migrate."""

import base64
import json
import os

import harness
from daemon import Daemon
from harness import proved
from inline_side import Side
from one_server import OneServer
from reader import Reader

THEIRS, OURS = b"k8s:enc:kms:v2:theirs:", b"k8s:enc:kms:v2:keyturn:"


class Others(OneServer):
    """kube-apiserver has a file that knows nothing of keyturn, whose keyring is a new one of type kms."""

    @classmethod
    def prepare(cls):
        cls.daemon = Daemon(cls.workspace.path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.start()
        cls.config = cls.workspace.path / "encryption.json"
        cls.config.touch(mode=0o600)
        cls.write([*cls.first_providers(), {"identity": {}}])
        cls.start_cluster()

    @classmethod
    def write(cls, providers):
        cls.config.write_text(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                                          "resources": [{"resources": ["secrets"], "providers": providers}]}, indent=2))

    def providers(self):
        return json.loads(self.config.read_text())["resources"][0]["providers"]

    def names(self):
        """In their order, of plugins and keys."""
        return [name for provider in self.providers() for kind, value in provider.items()
                for name in ([key["name"] for key in value["keys"]] if "keys" in value else [value.get("name", kind)])]

    def begin_with(self):
        return {value[:len(OURS)] for _, value in self.cluster.etcd.all("/registry/secrets/")}

    def migrate(self):
        """With a reader; what it answered."""
        reader = Reader(self.cluster.api, self.kept)
        reader.start()
        try:
            answer = self.keyturn("migrate", "--to", "kms", "--yes", "-o", "json").json()
        finally:
            reader.end()
        self.assertEqual(reader.errors[:3], [])
        self.assertGreaterEqual(answer["rewritten"], len(self.kept))
        self.assertEqual(self.begin_with(), {OURS})
        self.keyturn("census", "--fail-on", "plaintext,unknown,other")
        self.assertFalse(self.keyturn("migrate", "--to", "kms", "--yes", "-o", "json").json()["changed"])
        return f"{reader.reads} reads saw no error, the longest {reader.longest * 1000:.0f} ms"


class FromAPlugin(Others):
    @classmethod
    def first_providers(cls):
        cls.theirs = Daemon(cls.workspace.path / "theirs").init()
        cls.workspace.on_close(cls.theirs.kill)
        cls.theirs.start()
        return [{"kms": {"apiVersion": "v2", "name": "theirs", "endpoint": f"unix://{cls.theirs.socket}", "timeout": "3s"}}]

    def test_1_theirs(self):
        for i in range(30):
            self.create_kept(f"s{i}")
        self.assertTrue(all(value.startswith(THEIRS) for value in self.begin_with()))
        error = self.keyturn("rotate-keys", "-o", "json", status=3).error()
        self.assertIn("keyturn migrate", error["hint"])
        self.keyturn("census", "--fail-on", "other", status=8)

    def test_2_migrated(self):
        said = self.migrate()
        self.assertEqual(self.names(), ["keyturn", "identity", "theirs"])
        proved(f"taken over from another plugin while {said}")

    def test_3_without_theirs(self):
        """Nothing needs it any more."""
        self.write(self.providers()[:-1])
        self.theirs.kill()
        self.cluster.api.stop()
        self.cluster.api.start()
        self.read_all()


class FromKeysByHand(Others):
    OLD = "aescbckey-2022-04-21T23:01:02+02:00"  # as k3s calls them

    @classmethod
    def first_providers(cls):
        cls.keys = [{"name": name, "secret": base64.b64encode(os.urandom(32)).decode()} for name in ("by-hand", cls.OLD)]
        return [{"aescbc": {"keys": cls.keys}}]

    def test_1_taken_over(self):
        for i in range(30):
            self.create_kept(f"s{i}")
        before = [key["name"] for key in self.daemon.status()["keys"]]
        said = self.migrate()
        self.assertEqual(self.names(), ["keyturn", "by-hand", self.OLD, "identity"])
        listed = [key for provider in self.providers() for key in provider.get("aescbc", {}).get("keys", [])]
        self.assertEqual(listed, self.keys, "with the names and bytes that they had")
        states = {key["name"]: (key["type"], key["state"]) for key in self.daemon.status()["keys"]}
        self.assertEqual(states.pop(next(iter(states))), ("kms", "active"))
        self.assertEqual(states, {"by-hand": ("aescbc", "retiring"), self.OLD: ("aescbc", "retiring"), before[0]: ("kms", "retiring")})
        self.read_all()
        self.daemon.keyturn("audit", "verify")
        proved(f"taken over from keys in a file that was written by hand while {said}")


class ThereAndBack(harness.Case):
    """Keys of the keyring's own."""

    def test_to_kms_and_back(self):
        side = Side(self.workspace, "secretbox")
        for _ in range(30):
            side.store()
        for kind, prefix, first in (("kms", OURS, "kms"), ("aescbc", b"k8s:enc:aescbc:v1:aescbckey", "aescbckey")):
            reader = Reader(side.cluster.api, side.kept)
            reader.start()
            try:
                answer = side.keyturn("migrate", "--to", kind, "--yes", "-o", "json")
            finally:
                reader.end()
            self.assertEqual((answer.exit, reader.errors[:3]), (0, []), answer)
            self.assertTrue(side.order()[0].startswith(first), side.order())
            self.assertEqual([key for key, value in side.cluster.etcd.all("/registry/secrets/") if not value.startswith(prefix)], [])
            self.assertEqual(side.keyturn("census", "--fail-on", "plaintext,unknown,other").exit, 0)
            proved(f"migrated to {kind} while {reader.reads} reads saw no error, the longest {reader.longest * 1000:.0f} ms")


if __name__ == "__main__":
    harness.main(harness.assets)
