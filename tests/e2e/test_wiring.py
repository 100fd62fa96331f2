#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""config wire and config unwire on a control-plane node as kubeadm sets one up: a manifest, a kubelet that starts the real
kube-apiserver from it, and ConfigMap kubeadm-config in the cluster. What etcd holds, and who can read it."""

import pathlib
import re
import secrets
import signal
import threading

import harness
from cluster import ApiServer, EncryptedObject, Etcd, write_kubeconfig
from daemon import Daemon
from harness import proved, wait_for

FILE = "etc/kubernetes/keyturn/encryption-config.yaml"
KUBEADM = """apiServer:
  extraArgs:
  - name: authorization-mode
    value: Node,RBAC
apiVersion: kubeadm.k8s.io/v1beta4
clusterName: kubernetes
controllerManager: {}
kind: ClusterConfiguration
"""


class Kubelet:
    """As far as a static pod goes: runs what the manifest says, anew when it says something else; where a hostPath is mounted it
    sees the host's folder, below a root."""

    def __init__(self, root, api):
        self.root, self.api, self.running, self.starts = root, api, None, 0
        self.folder = root / "etc/kubernetes/manifests"
        self.manifest = self.folder / "kube-apiserver.yaml"
        self.stopping = threading.Event()
        self.plain = [word for word in map(str, api.bare_command()) if "encryption-provider-config" not in word]

    def lay_out(self):
        self.folder.mkdir(parents=True)
        words = "".join(f"    - {word}\n" for word in ["kube-apiserver", *self.plain[1:]])
        self.manifest.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  - command:\n" + words +
                                 "    name: kube-apiserver\n    volumeMounts:\n    - mountPath: /etc/ssl/certs\n      name: ca-certs\n"
                                 "      readOnly: true\n  volumes:\n  - hostPath:\n      path: /etc/ssl/certs\n      type: DirectoryOrCreate\n"
                                 "    name: ca-certs\n")
        self.manifest.chmod(0o600)

    def words(self, text):
        """The flags, with paths that lie in a mount of ours as they are on this machine."""
        mounts = dict(re.findall(r"- mountPath: (\S+)\n      name: (keyturn-\S+)\n", text))
        folders = dict((name, path) for path, name in re.findall(r"path: (\S+)\n      type: Directory\n    name: (keyturn-\S+)\n", text))
        found = []
        for word in re.findall(r"^    - (--\S+)$", text, re.M):
            for inside, name in mounts.items():
                word = word.replace(f"={inside}/", f"={self.root}{folders[name]}/")
            found.append(word)
        return found

    def run(self):
        while not self.stopping.wait(0.1):
            names = [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]  # as kubelet does
            text = self.manifest.read_text()
            if names != ["kube-apiserver.yaml"]:
                raise AssertionError(f"kubelet would start {names}")
            if text != self.running or not self.api.server.alive():
                self.api.stop()
                self.running = text
                command = [self.plain[0], *self.words(text)]
                self.api.bare_command = lambda command=command: command
                self.starts += 1
                self.api.server = harness.Server("kube-apiserver", command, self.api.dir / "kube-apiserver.log")

    def start(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.api.stop(signal.SIGKILL)


class Wiring(harness.Case):
    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.root = path / "host"
        cls.daemon = Daemon(path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.start()
        cls.etcd = Etcd(harness.assets() / "etcd", path / "etcd")
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        cls.api = ApiServer(harness.assets() / "kube-apiserver", path / "api", cls.etcd.url(), pathlib.Path("/none"))
        cls.api.port = harness.free_ports(1)[0]
        cls.kubelet = Kubelet(cls.root, cls.api)
        cls.kubelet.lay_out()
        cls.before = cls.kubelet.manifest.read_bytes()
        # The daemon is on this machine, and not below the root.
        (cls.root / str(cls.daemon.dir)[1:]).parent.mkdir(parents=True)
        (cls.root / str(cls.daemon.dir)[1:]).symlink_to(cls.daemon.dir)
        cls.kubelet.start()
        cls.workspace.on_close(cls.kubelet.stop)
        wait_for("kube-apiserver is ready", lambda: cls.api.client().get("/readyz")[0] == 200, 150, 0.2)
        wait_for("the namespaces are there", lambda: all(
            cls.api.client().get(f"/api/v1/namespaces/{name}")[0] == 200 for name in ("default", "kube-system")), 60, 0.2)
        cls.kubeconfig = path / "kubeconfig"
        write_kubeconfig(cls.kubeconfig, [cls.api])
        cls.kept = {}

    def keyturn(self, *words, root=None, timeout=400):
        return self.daemon.keyturn(*words, "--root", root or self.root, "--kubeconfig", self.kubeconfig, timeout=timeout)

    def kubeadm(self):
        return self.api.client().get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")[1]["data"]["ClusterConfiguration"]

    def store(self):
        name, value = f"s-{secrets.token_hex(4)}", f"plaintext-{secrets.token_hex(24)}".encode()
        status, answer = self.api.client().create_secret(name, value)
        self.assertEqual(status, 201, answer)
        self.kept[name] = value
        return name, self.etcd.secret(name)

    def all_readable(self):
        for name, value in self.kept.items():
            self.assertEqual(self.api.client().read_secret(name), value)

    def again(self):
        wait_for("kube-apiserver is ready", lambda: self.api.client().get("/readyz")[0] == 200, 150, 0.2)

    def test_1_not_yet(self):
        answer = self.keyturn("config", "wire", "--yes", "-o", "json")
        self.assertEqual(answer.exit, 4, answer)
        self.assertIn("kubeadm-config", answer.error()["message"])
        self.assertEqual(self.kubelet.manifest.read_bytes(), self.before)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config"}, "data": {"ClusterConfiguration": KUBEADM}}
        status, answer = self.api.client().request("POST", "/api/v1/namespaces/kube-system/configmaps", body)
        self.assertEqual(status, 201, answer)
        self.assertTrue(self.store()[1].startswith(b"k8s\0"))
        answer = self.keyturn("doctor")
        self.assertEqual(answer.exit, 0, answer)
        self.assertIn("objects are stored in clear", answer.stdout)
        self.assertIn("+  - name: encryption-provider-config\n", answer.stdout)

    def test_2_put_back_where_it_does_not_become_ready(self):
        """The daemon is not there: kube-apiserver starts, and is never ready."""
        self.daemon.kill()
        starts = self.kubelet.starts
        answer = self.keyturn("config", "wire", "--yes", "--timeout", "15", "-o", "json")
        self.assertEqual(answer.exit, 4, answer)
        self.assertIn("was put back", answer.error()["message"])
        self.assertEqual(self.kubelet.manifest.read_bytes(), self.before)
        wait_for("kubelet has started both", lambda: self.kubelet.starts >= starts + 2)
        self.again()
        self.all_readable()
        self.assertTrue(self.store()[1].startswith(b"k8s\0"))
        self.daemon.start()

    def test_3_wired(self):
        answer = self.keyturn("config", "wire", "--yes", "-o", "json")
        self.assertEqual(answer.exit, 0, answer)
        self.assertTrue(answer.json()["changed"] and answer.json()["ready"])
        starts = self.kubelet.starts
        # Listed before first.
        self.assertTrue(self.store()[1].startswith(b"k8s\0"))
        answer = self.on_cluster("config", "apply", "--yes")
        self.assertEqual((answer.exit, answer.stdout), (0, "config applied\n"), answer)
        # Nothing is stored under our key yet, but would be.
        answer = self.keyturn("config", "unwire", "--yes", "-o", "json", "--etcd-endpoints", self.etcd.url())
        self.assertEqual((answer.exit, self.kubelet.starts), (3, starts), answer)
        self.assertIn("found that it begins with one", answer.error()["message"])
        stored = self.store()[1]
        self.assertTrue(stored.startswith(b"k8s:enc:kms:v2:keyturn:"), stored[:60])
        self.all_readable()
        # What was in the store before.
        self.assertEqual(self.on_cluster("census", "--fail-on", "plaintext").exit, 8)
        answer = self.on_cluster("enable", "--yes")
        self.assertEqual(answer.exit, 0, answer)
        self.assertEqual(self.on_cluster("census", "--fail-on", "plaintext,unknown,other").exit, 0)
        self.all_readable()
        for line in ("  - name: encryption-provider-config\n    value: /etc/kubernetes/keyturn/encryption-config.yaml\n",
                     "  - name: encryption-provider-config-automatic-reload\n    value: \"true\"\n", "    name: keyturn-config\n",
                     f"  - hostPath: {self.daemon.dir}/run/kms\n"):
            self.assertIn(line, self.kubeadm())
        answer = self.keyturn("doctor", "-o", "json")
        self.assertEqual((answer.exit, answer.json()["wired"]), (0, True), answer)
        version = self.kubelet.starts
        self.assertFalse(self.keyturn("config", "wire", "--yes", "-o", "json").json()["changed"])
        self.assertEqual(self.kubelet.starts, version)
        proved("kube-apiserver, started by a kubelet from the wired manifest, encrypts with our key")

    def test_4_an_upgrade_would_undo_it(self):
        """What kubeadm has is a part of the wiring."""
        text = self.kubeadm()
        patch = {"data": {"ClusterConfiguration": KUBEADM}}
        path = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
        self.assertEqual(self.api.client().request("PATCH", path, patch, "application/merge-patch+json")[0], 200)
        answer = self.keyturn("doctor")
        self.assertEqual(answer.exit, 8, answer)
        self.assertIn("the next kubeadm upgrade", answer.stdout)
        starts = self.kubelet.starts
        self.assertTrue(self.keyturn("config", "wire", "--yes", "-o", "json").json()["changed"])
        self.assertEqual((self.kubeadm(), self.kubelet.starts), (text, starts))

    def on_cluster(self, *words):
        """The file that was made is the one that the other commands change, and kube-apiserver sees through its mount."""
        return self.daemon.keyturn(*words, "--kubeconfig", self.kubeconfig, "--encryption-config", self.root / FILE,
                                   "--etcd-endpoints", self.etcd.url(), timeout=400)

    def test_5_disable_and_enable(self):
        for command, status, prefix in (("disable", "Disabled", b"k8s\0"), ("enable", "Enabled", b"k8s:enc:kms:v2:keyturn:")):
            answer = self.on_cluster(command, "--yes", "-o", "json")
            self.assertEqual(answer.exit, 0, answer)
            stored = self.store()[1]
            self.assertEqual([key for key, value in self.etcd.all("/registry/secrets/") if not value.startswith(prefix)], [])
            self.assertTrue(stored.startswith(prefix), stored[:60])
            self.all_readable()
            # As the distributions' own tests do after either: it says nothing else.
            answer = self.on_cluster("reencrypt", "--force", "--skip", "--yes")
            self.assertEqual((answer.exit, answer.stdout), (0, "reencryption finished\n"), answer)
            self.assertEqual([key for key, value in self.etcd.all("/registry/secrets/") if not value.startswith(prefix)], [])
            answer = self.on_cluster("status")
            mark = "*" if command == "enable" else " "
            self.assertEqual(answer.stdout, f"Encryption Status: {status}\nCurrent Rotation Stage: start\nServer Encryption Hashes: All hashes "
                                            f"match\n\nActive  Key Type  Name\n------  --------  ----\n {mark}      KMS-v2    kmskey\n\n")

    def restart(self):
        starts = self.kubelet.starts
        self.api.server.stop(signal.SIGKILL)
        wait_for("kubelet has started it again", lambda: self.kubelet.starts > starts)
        self.again()
        self.all_readable()

    def test_6_rotation_of_what_is_wired(self):
        for command in ("prepare", "rotate"):
            answer = self.on_cluster(command, "--yes")
            self.assertEqual((answer.exit, answer.stdout), (0, f"{command} completed successfully\n"), answer)
            self.restart()
            self.assertIn(f"Current Rotation Stage: {command}\nServer Encryption Hashes: All hashes match\n", self.on_cluster("status").stdout)
            self.assertEqual(EncryptedObject(self.store()[1]).key_id, self.daemon.key_id())

    def test_7_unwired_and_wired_again(self):
        """With encrypted objects in the store kube-apiserver does not come up then: so it says, and nothing is lost for good."""
        answer = self.keyturn("config", "unwire", "--yes", "-o", "json")
        self.assertEqual(answer.exit, 3, answer)
        self.assertIn("does not come up", answer.error()["message"])
        starts = self.kubelet.starts
        answer = self.keyturn("config", "unwire", "--yes", "--force", "-o", "json")
        self.assertEqual(answer.exit, 0, answer)
        self.assertEqual(self.kubelet.manifest.read_bytes(), self.before)
        wait_for("kubelet has started it", lambda: self.kubelet.starts > starts)
        log = self.api.dir / "kube-apiserver.log"
        at = log.stat().st_size
        wait_for("it cannot read what is encrypted", lambda: "identity transformer tried to read encrypted data" in log.read_text()[at:], 60)
        # Now and then it answers: where not, --force mends the manifest alone, and a second run kubeadm's configuration.
        answer = self.keyturn("config", "wire", "--yes", "--force", "-o", "json")
        self.assertEqual((answer.exit, answer.json()["ready"]), (0, True), answer)
        self.all_readable()
        answer = self.keyturn("config", "wire", "--yes", "-o", "json")
        self.assertEqual(answer.exit, 0, answer)
        self.assertIn("encryption-provider-config", self.kubeadm())
        self.assertEqual(self.keyturn("doctor").exit, 0)
        proved("unwired and wired again, every secret is readable")

    def test_7_without_keyturn(self):
        """Everything in clear again, then unwired without --force: the cluster goes on without keyturn, and comes back to it."""
        store = ["--etcd-endpoints", self.etcd.url()]
        found = self.keyturn("config", "unwire", "--yes", "-o", "json", *store)
        self.assertEqual(found.exit, 3, found)
        self.assertRegex(found.error()["message"], r"found \d+ objects")
        for command in ("reencrypt", "disable"):
            answer = self.on_cluster(command, "--yes")
            self.assertEqual(answer.exit, 0, answer)
        starts = self.kubelet.starts
        answer = self.keyturn("config", "unwire", "--yes", "-o", "json", *store)
        self.assertEqual(answer.exit, 0, answer)
        self.daemon.kill()
        wait_for("kubelet has started it", lambda: self.kubelet.starts > starts)
        self.again()
        self.all_readable()
        self.assertIn(b"plaintext-", self.store()[1])
        self.daemon.start()
        answer = self.keyturn("config", "wire", "--yes", "-o", "json")
        self.assertEqual((answer.exit, answer.json()["ready"]), (0, True), answer)
        answer = self.on_cluster("enable", "--yes")
        self.assertEqual(answer.exit, 0, answer)
        self.assertEqual(self.on_cluster("census", "--fail-on", "plaintext,unknown,other").exit, 0)
        self.all_readable()
        proved("disabled, unwired, keyturn gone: every secret is readable; wired and enabled again: none is in clear")

    def test_8_a_node_that_joins(self):
        """kubeadm join makes its manifest from kubeadm-config, so it is wired, and has no file: it gets the one that the others have,
        and encrypts from its first write on."""
        root, path = self.workspace.path / "second", self.workspace.path
        api = ApiServer(harness.assets() / "kube-apiserver", path / "api2", self.etcd.url(), pathlib.Path("/none"), token=self.api.token)
        api.port = harness.free_ports(1)[0]
        kubelet = Kubelet(root, api)
        kubelet.lay_out()
        (root / str(self.daemon.dir)[1:]).parent.mkdir(parents=True)
        (root / str(self.daemon.dir)[1:]).symlink_to(self.daemon.dir)
        ours = [line for line in self.kubelet.manifest.read_text().splitlines() if "encryption-provider-config" in line]
        text = kubelet.manifest.read_text().replace("    name: kube-apiserver\n", "\n".join(ours) + "\n    name: kube-apiserver\n")
        one, other = self.kubelet.manifest.read_text(), self.before.decode()
        for begin, end in (("    - mountPath: /etc/kubernetes/keyturn\n", "  volumes:\n"), ("  - hostPath:\n      path: /etc/kubernetes/keyturn\n", "")):
            part = one[one.index(begin):one.index(end, one.index(begin)) if end else len(one)]
            text = text.replace(end, part + end, 1) if end else text + part
        self.assertNotIn("keyturn-config", other)
        kubelet.manifest.write_text(text)
        self.workspace.on_close(kubelet.stop)
        kubelet.start()
        wait_for("it cannot start without the file", lambda: kubelet.starts >= 2)
        answer = self.keyturn("doctor", "-o", "json", root=root)
        self.assertIn("CONFIG_ABSENT", [finding["name"] for finding in answer.json()["findings"]])
        # Its certificate is made when it starts.
        wait_for("its certificate is there", lambda: (api.dir / "apiserver.crt").exists())
        write_kubeconfig(self.kubeconfig, [self.api, api])
        answer = self.keyturn("config", "wire", "--yes", "-o", "json", "--api-server", f"https://127.0.0.1:{api.port}", root=root)
        self.assertEqual((answer.exit, answer.json()["ready"]), (0, True), answer)
        self.assertEqual((root / FILE).read_bytes(), (self.root / FILE).read_bytes())
        name, value = "by-the-second", b"plaintext-of-the-second"
        self.assertEqual(api.client().create_secret(name, value)[0], 201)
        self.assertTrue(self.etcd.secret(name).startswith(b"k8s:enc:kms:v2:keyturn:"))
        self.assertEqual(self.api.client().read_secret(name), value)
        for name, value in self.kept.items():
            self.assertEqual(api.client().read_secret(name), value)


if __name__ == "__main__":
    harness.main(harness.assets)
