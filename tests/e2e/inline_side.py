# SPDX-License-Identifier: Apache-2.0
"""A cluster whose keyring has inline keys: what tests of those begin with."""

import hashlib
import json
import os
import secrets
import signal

import harness
from cluster import Cluster, write_kubeconfig
from daemon import Daemon
from harness import BUILD, wait_for

TYPES = {"aescbc": "AES-CBC", "secretbox": "XSalsa20-POLY1305"}
YESTERDAY = {"LD_PRELOAD": str(BUILD / "tests/fault/libkt_clock_ahead.so"), "KT_CLOCK_AHEAD": "-90000"}
RELOADED = 150  # s: kube-apiserver looks once a minute, on a busy machine


class Side:
    """One cluster; its keys are of one type. keyturnd runs, for status; kube-apiserver needs none."""

    def __init__(self, workspace, kind):
        path = workspace.path / kind
        path.mkdir()
        self.kind, self.kept = kind, {}
        self.daemon = Daemon(path / "d").init("--provider", kind)
        self.config = path / "encryption.json"
        answer = self.daemon.keyturn("config", "show", "--out", self.config)
        if answer.exit != 0:
            raise RuntimeError(f"keyturn config show: {answer!r}")
        workspace.on_close(self.daemon.kill)
        self.daemon.start(wait=False)
        wait_for("keyturnd answers", lambda: self.daemon.keyturn("status").exit == 0)
        self.cluster = Cluster(harness.assets(), path, self.config)
        workspace.on_close(lambda: self.cluster.stop(signal.SIGKILL))
        self.cluster.start()
        self.kubeconfig = path / "kubeconfig"
        write_kubeconfig(self.kubeconfig, [self.cluster.api])

        self.other = Daemon(path / "other").init()
        workspace.on_close(self.other.kill)

    def add_foreign(self):
        """Another KMS plugin, behind all others."""
        text = json.loads(self.config.read_text())
        text["resources"][0]["providers"].append({"kms": {"apiVersion": "v2", "name": "foreign", "endpoint": f"unix://{self.other.socket}",
                                                          "timeout": "3s"}})
        fresh = self.config.with_name("fresh")
        fresh.write_text(json.dumps(text, indent=2))
        os.rename(fresh, self.config)

    def options(self):
        return ["--kubeconfig", self.kubeconfig, "--encryption-config", self.config, "--etcd-endpoints", self.cluster.etcd.url()]

    def keyturn(self, *words, env=None):
        return self.daemon.keyturn(*words, *self.options(), timeout=400, env=env)

    def restart(self):
        self.cluster.api.stop()
        self.cluster.api.start()
        write_kubeconfig(self.kubeconfig, [self.cluster.api])

    def order(self):
        providers = json.loads(self.config.read_text())["resources"][0]["providers"]
        return [name for provider in providers for kind in provider
                for name in ([key["name"] for key in provider[kind]["keys"]] if "keys" in provider[kind] else [kind])]

    def store(self):
        """What etcd holds of a new Secret."""
        name, value = f"s-{secrets.token_hex(4)}", f"plaintext-{secrets.token_hex(24)}".encode()
        status, answer = self.cluster.api.client().create_secret(name, value)
        if status != 201:
            raise AssertionError(f"{status} {answer}")
        self.kept[name] = value
        return self.cluster.etcd.secret(name)

    def hash(self):
        return "sha256:" + hashlib.sha256(self.config.read_bytes()).hexdigest()

    def prefix(self, name):
        return f"k8s:enc:{self.kind}:v1:{name}:".encode()
