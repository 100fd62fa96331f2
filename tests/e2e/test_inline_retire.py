#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An inline key leaves after its hold: out of the keyring into the archive, out of the file that a real kube-apiserver reads, and out of
every copy of that file that keyturn has."""

import base64
import json
import secrets
import subprocess

import harness
from harness import KEYTURN, proved, wait_for
from inline_side import YESTERDAY, Side


class InlineRetire(harness.Case):
    @classmethod
    def prepare(cls):
        cls.side = Side(cls.workspace, "aescbc")

    def keyturn(self, *words, status=0, env=None):
        answer = self.side.keyturn(*words, env=env)
        self.assertEqual(answer.exit, status, answer)
        return answer

    def secret_of(self, name):
        keys = [key for provider in json.loads(self.side.config.read_text())["resources"][0]["providers"]
                for key in provider.get(self.side.kind, {}).get("keys", [])]
        return next(key["secret"] for key in keys if key["name"] == name).encode()

    def all_readable(self):
        client = self.side.cluster.api.client()
        for name, value in self.side.kept.items():
            self.assertEqual(client.read_secret(name), value)

    def test_1_rotated(self):
        for _ in range(5):
            self.side.store()
        self.keyturn("prepare")
        self.keyturn("rotate")
        self.keyturn("reencrypt", env=YESTERDAY)
        self.side.restart()
        self.assertEqual(len(self.side.order()), 3)

    def test_2_killed_and_again(self):
        new, old, _ = self.side.order()
        secret, before = self.secret_of(old), self.side.config.read_bytes()
        with subprocess.Popen([KEYTURN, "retire", "--config", self.side.daemon.config, *self.side.options()], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            try:
                wait_for("the file is without the old key", lambda: run.poll() is not None or old not in self.side.order(), 400, 0.02)
            finally:
                run.kill()
        self.keyturn("retire")
        shown = self.side.daemon.status()
        self.assertEqual(([key["name"] for key in shown["keys"]], shown["keyring"]["archived"]), ([new], 1))
        self.assertEqual(self.side.order(), [new, "identity"])
        for path in (self.side.daemon.state / "config-previous").iterdir():
            self.assertNotIn(secret, path.read_bytes(), path)
        self.keyturn("config", "rollback", "--yes", status=3)
        server, = self.keyturn("status", "-o", "json").json()["apiServers"]
        self.assertEqual(server["configHash"], self.side.hash())
        self.side.store()
        self.all_readable()
        self.keyturn("audit", "verify")
        self.assertEqual(self.keyturn("retire").stdout, "no key is retiring: nothing to do\n")
        # The file as another host still has it; and one with another key under that name, which may be anybody's.
        other = self.side.config.with_name("other-host")
        for text, status in ((before, 8), (before.replace(secret, base64.b64encode(secrets.token_bytes(32))), 3)):
            other.write_bytes(text)
            self.assertEqual(self.side.daemon.keyturn("config", "diff", "--encryption-config", other).exit, status)
        proved("retire takes an inline key out of kube-apiserver's file, and out of all copies of it")


if __name__ == "__main__":
    harness.main(harness.assets)
