#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rotation of kms keys on a real kube-apiserver and etcd: prepare, rotate, and what etcd holds then."""

import hashlib
import secrets
import signal

import harness
from cluster import Cluster, EncryptedObject, write_kubeconfig
from daemon import Daemon


KEYS = "Active  Key Type  Name\n------  --------  ----\n"


def sha256(data):
    return "sha256:" + hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


class Rotation(harness.Case):
    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.daemon = Daemon(path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.start()
        cls.config = path / "encryption.yaml"
        cls.config.write_text(cls.daemon.rendered_config())
        cls.cluster = Cluster(harness.assets(), path, cls.config)
        cls.workspace.on_close(lambda: cls.cluster.stop(signal.SIGKILL))
        cls.cluster.start()
        cls.kubeconfig = path / "kubeconfig"
        write_kubeconfig(cls.kubeconfig, [cls.cluster.api])
        cls.kept = {}

    def keyturn(self, *words, status=0, store=True):
        more = ["--kubeconfig", self.kubeconfig, "--encryption-config", self.config]
        if store:
            more += ["--etcd-endpoints", self.cluster.etcd.url()]
        answer = self.daemon.keyturn(*words, *more, timeout=400)
        self.assertEqual(answer.exit, status, repr(answer))
        self.assertNotIn(self.cluster.api.token, answer.stdout + answer.stderr)
        return answer

    def store(self, name):
        value = secrets.token_hex(16).encode()
        status, answer = self.cluster.api.client().create_secret(name, value)
        self.assertEqual(status, 201, answer)
        self.kept[name] = value
        return EncryptedObject(self.cluster.etcd.secret(name)).key_id

    def read_all(self):
        client = self.cluster.api.client()
        for name, value in self.kept.items():
            self.assertEqual(client.read_secret(name), value)

    def test_1_status(self):
        self.store("first")
        said = self.keyturn("status").stdout
        self.assertEqual(said, "Encryption Status: Enabled\nCurrent Rotation Stage: start\n"
                               f"Server Encryption Hashes: All hashes match\n\n{KEYS} *      KMS-v2    kmskey\n\n")
        status = self.keyturn("status", "-o", "json").json()
        self.assertEqual((status["hashmatch"], status["hasherror"]), (True, ""))
        server, = status["apiServers"]
        self.assertEqual(server, {"id": server["id"], "address": f"https://127.0.0.1:{self.cluster.api.port}",
                                  "keyIdHash": sha256(self.daemon.key_id()), "configHash": sha256(self.config.read_bytes()),
                                  "current": True, "reachable": True})
        self.assertRegex(self.keyturn("status", "-v").stdout, r"(?m)^API server: \S+ https://127.0.0.1:\d+, current, ")


if __name__ == "__main__":
    harness.main(harness.assets)
