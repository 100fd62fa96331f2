#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver with the keys in its own file, as keyturn renders it: what etcd holds, and that nothing becomes
unreadable on the way to the plugin and back."""

import os
import secrets
import subprocess

import harness
from cluster import PREFIX, Cluster
from daemon import Daemon
from harness import BUILD, proved

# As a key may be called that comes from elsewhere.
NAME = "aescbckey-2022-04-21T23:01:02+02:00 \"Schlüssel\" 密钥\\"


def prefix_of(kind, name):
    return f"k8s:enc:{kind}:v1:{name}:".encode()


class Inline(harness.Case):
    """One cluster; keyturnd runs only where kube-apiserver needs it."""

    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.daemon = Daemon(path / "d").init("--provider", "aescbc")
        cls.workspace.on_close(cls.daemon.kill)
        cls.config, cls.rendered, cls.offers = path / "encryption.json", 0, 0
        cls.put_config()
        cls.cluster = Cluster(harness.assets(), path, cls.config)
        cls.workspace.on_close(cls.cluster.stop)
        cls.cluster.start()
        cls.kept = {}

    @classmethod
    def put_config(cls):
        """What keyturn renders, written by it and renamed into place."""
        cls.rendered += 1
        fresh = cls.workspace.path / f"fresh-{cls.rendered}"
        answer = cls.daemon.keyturn("config", "show", "--out", fresh)
        if answer.exit != 0:
            raise RuntimeError(f"keyturn config show: {answer!r}")
        os.rename(fresh, cls.config)

    def restart(self):
        """kube-apiserver with the configuration of the keyring in force."""
        self.put_config()
        self.cluster.api.stop()
        self.cluster.api.start()

    def change(self, *edits):
        """The keyring's next generation is in force."""
        type(self).offers += 1
        out = self.workspace.path / f"next-{self.offers}"
        run = subprocess.run([BUILD / "tests" / "make_state", "edit", self.daemon.dir, out, *edits], text=True, check=False,
                             capture_output=True, timeout=60, env=dict(os.environ, KEYTURN_BUILD=str(BUILD)))
        self.assertEqual(run.returncode, 0, run.stderr)
        answer = self.daemon.offer(out)
        self.assertEqual(answer.exit, 0, repr(answer))

    def key(self, name):
        return next(k["id"] for k in self.daemon.keyturn("key", "list", "-o", "json").json()["keys"] if k["name"] == name)

    def store(self, name):
        value = f"plaintext-{secrets.token_hex(24)}".encode()
        status, answer = self.cluster.api.client().create_secret(name, value)
        self.assertEqual(status, 201, answer)
        self.kept[name] = value
        stored = self.cluster.etcd.secret(name)
        self.assertNotIn(value, stored)
        return stored

    def all_read(self):
        client = self.cluster.api.client()
        for name, value in self.kept.items():
            self.assertEqual(client.read_secret(name), value, name)

    def test_1_no_plugin_is_needed(self):
        self.assertTrue(self.store("first").startswith(prefix_of("aescbc", "aescbckey")))
        self.all_read()
        self.assertEqual(self.daemon.keyturn("status").exit, 7, "no keyturnd runs")
        proved("kube-apiserver takes init --provider aescbc's file as it is, and stores under its key")

    def test_2_a_key_from_elsewhere(self):
        path = self.workspace.path / "key"
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
        answer = self.daemon.keyturn("key", "import", "--type", "secretbox", "--name", NAME, "--file", path, "--raw")
        self.assertEqual(answer.exit, 0, repr(answer))
        self.restart()
        self.assertTrue(self.store("second").startswith(prefix_of("aescbc", "aescbckey")), "it is not active by itself")
        self.all_read()
        self.change("activate", self.key(NAME))
        self.restart()
        self.assertTrue(self.store("third").startswith(prefix_of("secretbox", NAME)))
        self.all_read()
        proved("an imported key decrypts at once and encrypts once it is active, whatever it is called")

    def test_3_over_to_the_plugin(self):
        self.daemon.start(wait=False)
        harness.wait_for("keyturnd answers", lambda: self.daemon.keyturn("status").exit == 0)
        self.change("add", "kmskey")
        self.daemon.wait_healthy()
        self.restart()
        self.assertTrue(self.store("fourth").startswith(prefix_of("secretbox", NAME)), "second in the list")
        self.all_read()
        self.change("activate", self.key("kmskey"))
        self.restart()
        self.assertTrue(self.store("fifth").startswith(PREFIX))
        self.all_read()
        proved("from inline keys to the plugin, listed second first, and all is read at each step")

    def test_4_and_back(self):
        kms = self.key("kmskey")
        self.change("activate", self.key("aescbckey"), "state", kms, "retiring")
        self.restart()
        self.assertTrue(self.store("sixth").startswith(prefix_of("aescbc", "aescbckey")))
        self.all_read()
        proved("back to an inline key: a kube-apiserver that starts anew reads what stands under a retiring kms key")

    def test_5_disabled_and_strict(self):
        self.change("enabled", "false")
        self.restart()
        value = b"in clear"
        status, answer = self.cluster.api.client().create_secret("clear", value)
        self.assertEqual(status, 201, answer)
        self.assertIn(value, self.cluster.etcd.secret("clear"))
        self.all_read()
        # A Secret in clear would keep a strict kube-apiserver from ever being ready.
        self.assertEqual(self.cluster.api.client().request("DELETE", "/api/v1/namespaces/default/secrets/clear")[0], 200)
        self.change("enabled", "true", "strict", "true")
        self.restart()
        self.assertTrue(self.store("seventh").startswith(prefix_of("aescbc", "aescbckey")))
        self.all_read()
        self.assertNotIn("identity", self.config.read_text())
        proved("disabled writes in clear and reads all; strict does without identity")


if __name__ == "__main__":
    harness.main(harness.assets)
