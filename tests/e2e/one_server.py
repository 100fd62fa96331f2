# SPDX-License-Identifier: Apache-2.0
"""A daemon, etcd and one kube-apiserver that encrypts with its keys: what tests of rotations begin with."""

import re
import secrets
import signal

import harness
from cluster import Cluster, write_kubeconfig
from daemon import Daemon


class OneServer(harness.Case):
    KINDS = ("secrets",)  # that the one rule of the config file covers

    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.daemon = Daemon(path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.start()
        cls.config = path / "encryption.yaml"
        rule = "".join(rf"\1{kind}\n" for kind in cls.KINDS)
        text, found = re.subn(r"(?m)^( *- )secrets\n", rule, cls.daemon.rendered_config())
        assert found == 1, text
        cls.config.write_text(text)
        cls.start_cluster()

    @classmethod
    def make_cluster(cls):
        """With cls.config as it is, not started yet."""
        return Cluster(harness.assets(), cls.workspace.path, cls.config)

    @classmethod
    def start_cluster(cls):
        cls.cluster = cls.make_cluster()
        cls.workspace.on_close(lambda: cls.cluster.stop(signal.SIGKILL))
        cls.cluster.start()
        cls.kubeconfig = cls.workspace.path / "kubeconfig"
        cls.write_kubeconfig()
        cls.kept = {}

    @classmethod
    def write_kubeconfig(cls):
        """Anew, where kube-apiserver was started again."""
        write_kubeconfig(cls.kubeconfig, [cls.cluster.api])

    def options(self, store=True):
        options = ["--kubeconfig", self.kubeconfig, "--encryption-config", self.config]
        return [*options, "--etcd-endpoints", self.cluster.etcd.url()] if store else options

    def keyturn(self, *words, status=0, store=True, env=None):
        answer = self.daemon.keyturn(*words, *self.options(store), timeout=400, env=env)
        self.assertEqual(answer.exit, status, repr(answer))
        self.assertNotIn(self.cluster.api.token, answer.stdout + answer.stderr)
        return answer

    def create_kept(self, name):
        """A Secret that must be readable afterwards."""
        value = secrets.token_hex(16).encode()
        status, answer = self.cluster.api.client().create_secret(name, value)
        self.assertEqual(status, 201, answer)
        self.kept[name] = value

    def read_all(self):
        client = self.cluster.api.client()
        for name, value in self.kept.items():
            self.assertEqual(client.read_secret(name), value)
