#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""enable --strict on a real kube-apiserver and etcd: identity retires as a key does, after its hold. Run by tools/check-migrate."""

import json

import harness
from harness import proved
from inline_side import YESTERDAY
from one_server import OneServer


class Strict(OneServer):
    def test_0_encrypted_since_yesterday(self):
        self.create_kept("before")
        for words in (["prepare"], ["rotate"], ["reencrypt"]):
            self.keyturn(*words, env=YESTERDAY if words == ["reencrypt"] else None)
        self.cluster.api.stop()
        self.cluster.api.start()
        self.write_kubeconfig()

    def test_1_strict(self):
        """What somebody puts into the store in clear is read before, and is refused after identity has left the list."""
        planted, path = "/registry/secrets/default/planted", "/api/v1/namespaces/default/secrets/planted"
        plain = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "planted", "namespace": "default"}}).encode()
        client = self.cluster.api.client()
        self.cluster.etcd.put(planted, plain)
        self.assertEqual(client.get(path)[0], 200)
        self.keyturn("census", "--fail-on", "plaintext", status=8)
        self.cluster.etcd.delete(planted)
        self.assertIn("identity", self.config.read_text())
        self.keyturn("enable", "--strict", "--yes")
        self.assertNotIn("identity", self.config.read_text())
        self.cluster.etcd.put(planted, plain)
        status, answer = client.get(path)
        self.assertEqual((status, "no matching prefix found" in str(answer)), (500, True), answer)
        self.cluster.etcd.delete(planted)
        self.read_all()
        self.create_kept("strictly")
        self.read_all()
        self.daemon.keyturn("audit", "verify")
        proved("enable --strict: what is planted in clear is refused, what is encrypted is read")


if __name__ == "__main__":
    harness.main(harness.assets)
