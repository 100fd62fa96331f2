#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn migrate from another KMS plugin, on a real kube-apiserver and etcd: another keyturnd, with a keyring and a name of its own,
plays that plugin. A reader sees no error all the while, and the other plugin can go afterwards."""

import json

import harness
from daemon import Daemon
from harness import proved
from one_server import OneServer
from reader import Reader

THEIRS, OURS = b"k8s:enc:kms:v2:theirs:", b"k8s:enc:kms:v2:keyturn:"


class Takeover(OneServer):
    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.theirs, cls.daemon = Daemon(path / "theirs").init(), Daemon(path / "d").init()
        for daemon in (cls.theirs, cls.daemon):
            cls.workspace.on_close(daemon.kill)
            daemon.start()
        cls.config = path / "encryption.json"
        cls.config.touch(mode=0o600)
        cls.config.write_text(json.dumps({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [
                {"kms": {"apiVersion": "v2", "name": "theirs", "endpoint": f"unix://{cls.theirs.socket}", "timeout": "3s"}},
                {"identity": {}}]}]}, indent=2))
        cls.start_cluster()

    def providers(self):
        return json.loads(self.config.read_text())["resources"][0]["providers"]

    def names(self):
        return [provider["kms"]["name"] if "kms" in provider else "identity" for provider in self.providers()]

    def begin_with(self):
        return {value[:len(OURS)] for _, value in self.cluster.etcd.all("/registry/secrets/")}

    def test_1_theirs(self):
        for i in range(30):
            self.create_kept(f"s{i}")
        self.assertTrue(all(value.startswith(THEIRS) for value in self.begin_with()))
        error = self.keyturn("rotate-keys", "-o", "json", status=3).error()
        self.assertIn("keyturn migrate", error["hint"])
        self.keyturn("census", "--fail-on", "other", status=8)

    def test_2_migrated(self):
        reader = Reader(self.cluster.api, self.kept)
        reader.start()
        try:
            answer = self.keyturn("migrate", "--to", "kms", "--yes", "-o", "json").json()
        finally:
            reader.end()
        self.assertEqual(reader.errors[:3], [])
        self.assertGreaterEqual(answer["rewritten"], len(self.kept))
        self.assertEqual(self.names(), ["keyturn", "identity", "theirs"])
        self.assertEqual(self.begin_with(), {OURS})
        self.keyturn("census", "--fail-on", "plaintext,unknown,other")
        self.assertFalse(self.keyturn("migrate", "--to", "kms", "--yes", "-o", "json").json()["changed"])
        proved(f"taken over from another plugin while {reader.reads} reads saw no error, the longest {reader.longest * 1000:.0f} ms")

    def test_3_without_theirs(self):
        """Nothing needs it any more."""
        text = json.loads(self.config.read_text())
        text["resources"][0]["providers"].pop()
        self.config.write_text(json.dumps(text, indent=2))
        self.theirs.kill()
        self.cluster.api.stop()
        self.cluster.api.start()
        self.read_all()


if __name__ == "__main__":
    harness.main(harness.assets)
