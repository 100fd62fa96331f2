#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""doctor, config wire and config unwire on file trees as the three distributions lay them out, below a root of their own.
tests/e2e/test_wiring.py has the cluster, and a kubelet that starts what is wired."""
import base64
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[2] / "e2e"))
from cluster import Cluster  # noqa: E402
import k3s_host  # noqa: E402
from k3s_host import in_its_place, own_keys  # noqa: E402
from program import KEYTURN, SOURCE, Terminal  # noqa: E402

HOSTS = SOURCE / "tests/unit/cluster/hosts"
MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
KUBEADM_FILE = "etc/kubernetes/keyturn/encryption-config.yaml"
OWN_KEY = base64.b64encode(bytes(range(32))).decode()


class Hosts(Cluster):
    def lay_out(self, name):
        self.root = self.work / "host"
        shutil.copytree(HOSTS / name, self.root)
        subprocess.run(["chmod", "-R", "u+w", self.root], check=True)
        self.before = self.tree_of_root()

    def tree_of_root(self):
        return {str(path.relative_to(self.root)): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def host(self, *command, status=0, code=None, words="", **more):
        run = self.on("a", *command, "--root", self.root, "-o", "json", **more)
        self.expect(run, status, code, words)
        return json.loads(run.stdout) if run.stdout else json.loads(run.stderr)

    def wire(self, *more, **how):
        return self.host("config", "wire", "--yes", *more, **how)

    def unwire(self, *more, **how):
        return self.host("config", "unwire", "--yes", "--force", *more, **how)

    def doctor(self, status=0):
        found = self.host("doctor", status=status)
        return found, [finding["name"] for finding in found["findings"]]

    def changed(self):
        now = self.tree_of_root()
        # A dot file is one that was being written when it was cut, under the name of what it was to be.
        return sorted(name for name in {*now, *self.before} if now.get(name) != self.before.get(name) and "/." not in name)

    def kept(self):
        folder = self.state_of("a") / "wiring-previous"
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


class Doctor(Hosts):
    def test_hosts_that_are_well(self):
        for name, distribution, wired in (("kubeadm", "kubeadm", False), ("k3s", "k3s", False), ("k3s-etcd", "k3s", True),
                                          ("rke2", "rke2", False)):
            with self.subTest(name):
                self.lay_out(name)
                found = self.doctor(8 if wired else 0)[0]
                self.assertEqual((found["distribution"], found["wired"]), (distribution, wired))
                errors = [finding["name"] for finding in found["findings"] if finding["severity"] == "error"]
                self.assertEqual(errors, ["SOCKET_ABSENT"] if wired else [])
                self.assertEqual(self.changed(), [])
                shutil.rmtree(self.root)

    def test_the_lines_to_change(self):
        self.lay_out("kubeadm")
        run = self.expect(self.on("a", "doctor", "--root", self.root), 0)
        self.assertIn("objects are stored in clear", run.stdout)
        for line in ("+    - --encryption-provider-config=/etc/kubernetes/keyturn/encryption-config.yaml",
                     "+    - --encryption-provider-config-automatic-reload=true", "+    - mountPath: /etc/kubernetes/keyturn",
                     f"+      path: {self.work}/a/run/kms"):
            self.assertIn(line + "\n", run.stdout)
        self.assertEqual(self.changed(), [])

    def test_what_is_wrong(self):
        self.lay_out("kubeadm")
        self.wire("--force")
        manifest = self.root / MANIFEST
        text = manifest.read_text()
        shutil.copy(manifest, manifest.with_name("kube-apiserver.yaml.bak"))
        manifest.write_text(text.replace("    - --encryption-provider-config-automatic-reload=true\n", ""))
        self.assertEqual(self.doctor(8)[1][:2], ["RELOAD_OFF", "SOCKET_ABSENT"])
        self.assertIn("MANIFEST_COPY", self.doctor(8)[1])
        run = self.expect(self.on("a", "doctor", "--root", self.root), 8)
        self.assertIn("+    - --encryption-provider-config-automatic-reload=true\n", run.stdout)
        self.assertIn("error: kube-apiserver.yaml.bak is a second manifest", run.stdout)

    def test_no_host(self):
        self.root = self.work / "nothing"
        self.root.mkdir()
        self.host("doctor", status=2, code="CONFIG", words="kubeadm, k3s or RKE2")
        self.wire(status=2, code="CONFIG", words="kubeadm, k3s or RKE2")
        self.host("doctor", "--distro", "k8s", status=2, code="USAGE", words="k8s")
        self.host("doctor", "--distro", "k3s", status=2, code="CONFIG")

    def test_names_of_the_root(self):
        self.lay_out("kubeadm")
        link = self.work / "link"
        link.symlink_to(self.root)
        said = [self.expect(self.on("a", "doctor", "--root", root, cwd=self.work), 0).stdout for root in (
            self.root, f"{self.root}//", link, "host", "./host/../host/")]
        self.assertEqual(said, said[:1] * 5)
        self.expect(self.on("a", "doctor", "--root", self.work / "none", "-o", "json"), 2, "USAGE", "none")

    def test_crlf(self):
        self.lay_out("kubeadm")
        manifest = self.root / MANIFEST
        manifest.write_bytes(self.before[MANIFEST].replace(b"\n", b"\r\n"))
        self.wire("--force")
        self.assertNotIn(b"\n", manifest.read_bytes().replace(b"\r\n", b""))
        self.assertTrue(self.doctor(8)[0]["wired"])
        self.unwire()
        self.assertEqual(manifest.read_bytes(), self.before[MANIFEST].replace(b"\n", b"\r\n"))

    def test_without_a_keyring(self):
        self.lay_out("k3s")
        run = self.keyturn("doctor", "--root", self.root, "--config", self.work / "none.yaml")
        self.assertIn("note: no keyring", self.expect(run, 0).stdout)
        run = self.keyturn("config", "wire", "--root", self.root, "--config", self.work / "none.yaml", "--yes", "-o", "json")
        self.expect(run, 2, "CONFIG", "none.yaml")


class Kubeadm(Hosts):
    def setUp(self):
        super().setUp()
        self.lay_out("kubeadm")

    def test_there_and_back(self):
        self.wire(status=4, code="INCOMPLETE", words="kubeadm upgrade")
        self.assertEqual(self.changed(), [])
        self.assertTrue(self.wire("--force", "--dry-run")["wouldChange"])
        self.assertEqual(self.changed(), [])
        mode = (self.root / MANIFEST).stat().st_mode
        answer = self.wire("--force")
        self.assertEqual((answer["distribution"], answer["changed"], answer["file"]), ("kubeadm", True, str(self.root / KUBEADM_FILE)))
        self.assertEqual(self.changed(), [KUBEADM_FILE, MANIFEST])
        self.assertEqual((self.root / MANIFEST).stat().st_mode, mode)
        self.assertEqual((self.root / KUBEADM_FILE).stat().st_mode & 0o7777, 0o600)
        self.assertEqual((self.root / KUBEADM_FILE).parent.stat().st_mode & 0o7777, 0o755)
        self.assertEqual(self.kept(), {"kube-apiserver.yaml": self.before[MANIFEST]})
        # The file decrypts on every server before one encrypts.
        text = (self.root / KUBEADM_FILE).read_text()
        self.assertLess(text.index("identity"), text.index("kms"))
        self.assertEqual(self.lines("a")[-1]["command"], "config wire")
        self.assertEqual(self.lines("a")[-1]["config"]["before"], "sha256:" + 64 * "0")
        self.expect(self.verify("a"), 0)
        self.assertFalse(self.wire("--force")["changed"])
        self.assertTrue(self.doctor(8)[0]["wired"])
        # And out; the file stays, for what it decrypts.
        self.host("config", "unwire", "--yes", status=3, code="REFUSED", words="--force")
        self.assertEqual(self.changed(), [KUBEADM_FILE, MANIFEST])
        self.unwire()
        self.assertEqual(self.changed(), [KUBEADM_FILE])
        self.assertFalse(self.unwire()["changed"])
        self.wire("--force")
        self.assertEqual(self.changed(), [KUBEADM_FILE, MANIFEST])
        # What is wired is not all of it where the keyring has more than the file.
        self.assertEqual(self.wire("--force")["lacks"], "")
        self.expect(self.on("a", "key", "import", "--type", "aescbc", "--name", "late", stdin="A" * 43 + "=\n"), 0)
        self.assertIn("late", self.wire("--force")["lacks"])

    def test_what_cannot_be_edited(self):
        """It is shown what is to be told, and nothing is written."""
        manifest = self.root / MANIFEST
        text = self.before[MANIFEST].decode()
        first, last = text.index("  - command:"), text.index("    image:")
        for changed in (text[:first] + "  - command: [kube-apiserver, --etcd-servers=https://127.0.0.1:2379]\n" + text[last:],
                        json.dumps({"kind": "Pod", "spec": {"containers": [{"name": "kube-apiserver", "command": ["kube-apiserver"]}]}})):
            manifest.write_text(changed)
            self.wire("--force", status=3, code="REFUSED", words="block style")
            self.assertEqual((manifest.read_text(), self.changed()), (changed, [MANIFEST]))
            run = self.expect(self.on("a", "doctor", "--root", self.root), 0)
            self.assertIn("would refuse", run.stdout)
            self.assertIn("  --encryption-provider-config=/etc/kubernetes/keyturn/encryption-config.yaml\n", run.stdout)
            self.assertIn("  the folder /etc/kubernetes/keyturn, mounted as /etc/kubernetes/keyturn, read-only\n", run.stdout)
        manifest.write_text(text)
        copy = manifest.with_name("kube-apiserver.yaml.bak")
        copy.write_text(text)
        self.wire("--force", status=3, code="REFUSED", words="second manifest")
        self.assertEqual(manifest.read_text(), text)

    def test_asks(self):
        with Terminal(KEYTURN, "config", "wire", "--force", "--config", self.config_of("a"), "--root", self.root) as terminal:
            terminal.until(b"+    - --encryption-provider-config=")
            terminal.until(b"Write it?")
            terminal.type("n")
            self.assertNotEqual(terminal.end(), 0)
        self.host("config", "wire", "--force", status=2, code="USAGE", words="--yes")
        self.assertEqual(self.changed(), [])

    def test_a_file_that_is_there(self):
        path = self.root / KUBEADM_FILE
        path.parent.mkdir()
        for text, words in (("kind: x\n", "is not what the keyring has"), (
                "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n"
                "  providers:\n  - identity: {}\n", "is not what the keyring has")):
            path.write_text(text)
            self.wire("--force", status=3, code="REFUSED", words=words)
            self.assertEqual(self.changed(), [KUBEADM_FILE])
        path.unlink()
        self.expect(self.on("a", "config", "show", "--out", path), 0)
        text = path.read_bytes()
        self.wire("--force")
        self.assertEqual((path.read_bytes(), self.changed()), (text, [KUBEADM_FILE, MANIFEST]))

    def test_another_user(self):
        """It must be able to read the file, and to call the daemon."""
        uid = os.getuid() or 4321
        manifest, config = self.root / MANIFEST, self.config_of("a")
        manifest.write_text(manifest.read_text().replace("  securityContext:\n", f"  securityContext:\n    runAsUser: {uid}\n", 1))
        text = config.read_text()
        if uid == 4321:
            self.wire("--force", status=3, code="REFUSED", words="kms.uids")
            self.assertEqual(self.changed(), [MANIFEST])
            config.write_text(re.sub(r"(?m)^( +uids:).*$", r"\1 [0, 4321]", text))
            self.assertNotEqual(config.read_text(), text)
        self.wire("--force")
        self.assertEqual((self.root / KUBEADM_FILE).stat().st_uid, uid)
        self.assertEqual(self.doctor(8)[1], ["SOCKET_ABSENT"])
        (self.root / KUBEADM_FILE).chmod(0)
        config.write_text(text)
        self.assertEqual(self.doctor(8)[1], ["CONFIG_UNREADABLE", "SOCKET_ABSENT", *(["CONFIGURATION"] if uid == 4321 else [])])

    def test_cut_at_every_write(self):
        """kubelet never finds a second manifest, nor half of one."""
        def check(_):
            folder = (self.root / MANIFEST).parent
            self.assertEqual(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")),
                             ["etcd.yaml", "kube-apiserver.yaml"])
            if (self.root / MANIFEST).read_bytes() != self.before[MANIFEST]:
                self.assertIn(b"kind: EncryptionConfiguration", (self.root / KUBEADM_FILE).read_bytes())
            self.wire("--force")
            self.assertTrue(self.doctor(8)[0]["wired"])
            self.unwire()
            self.assertEqual(self.changed(), [KUBEADM_FILE])

        self.walk(lambda env: self.on("a", "config", "wire", "--yes", "--force", "--root", self.root, env=env), check, 12)


class Rancher(Hosts):
    def own(self, folder, *keys):
        own_keys(self.root / folder / "server/cred/encryption-config.json", *keys)
        self.before = self.tree_of_root()

    def import_key(self, name, secret):
        self.expect(self.on("a", "key", "import", "--type", "aescbc", "--name", name, "--yes", stdin=secret), 0)

    def test_k3s(self):
        self.lay_out("k3s")
        answer = self.wire()
        drop_in, file = "etc/rancher/k3s/config.yaml.d/90-keyturn.yaml", "etc/rancher/k3s/keyturn/encryption-config.yaml"
        self.assertEqual((answer["toldBy"], self.changed()), (str(self.root / drop_in), [drop_in, file]))
        self.assertNotIn("extra-mount", (self.root / drop_in).read_text())
        found = self.doctor(8)[0]
        self.assertTrue(found["wired"] and found["reload"])
        self.assertEqual(found["encryptionConfig"], str(self.root / file))
        self.unwire()
        self.assertEqual(self.changed(), [file])
        text = self.expect(self.on("a", "config", "wire", "--yes", "--root", self.root), 0).stdout
        self.assertIn("systemctl restart k3s\n", text)
        # One that encrypts at once is for a cluster of one API server.
        self.unwire()
        (self.root / file).unlink()
        self.expect(self.on("a", "config", "show", "--out", self.root / file), 0)
        self.wire(status=3, code="REFUSED", words="other API servers could not read")
        self.assertEqual(self.changed(), [file])
        self.wire("--force")
        self.assertEqual(self.changed(), [drop_in, file])

    def test_drop_ins_of_the_unit(self):
        """The last ExecStart= counts, by names; of one name, the one in /etc."""
        self.lay_out("k3s")
        for folder, name, command in (("etc/systemd/system", "20-ours.conf", "/bin/k3s server --kube-apiserver-arg=encryption-provider-config=/srv/a"),
                                      ("usr/lib/systemd/system", "20-ours.conf", "/bin/k3s server"),
                                      ("usr/lib/systemd/system", "10-other.conf", "/bin/k3s server --data-dir /nowhere"),
                                      ("etc/systemd/system", "30-not.txt", "/bin/k3s server")):
            path = self.root / folder / "k3s.service.d" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"[Service]\nExecStart=\nExecStart={command}\n")
        found, names = self.doctor(8)
        self.assertEqual((found["encryptionConfig"], found["wired"]), (f"{self.root}/srv/a", False))
        self.assertEqual(names, ["RELOAD_OFF", "CONFIG_ABSENT", "SOCKET_ABSENT"])

    def test_a_key_that_only_bears_the_name(self):
        """What is stored under the one cannot be read with the other."""
        self.lay_out("rke2")
        self.own("var/lib/rancher/rke2", ("aescbckey", OWN_KEY))
        self.import_key("aescbckey", base64.b64encode(bytes(32)).decode())
        self.wire("--force", status=3, code="REFUSED", words="another one of that name")
        self.assertEqual((self.changed(), self.numbers("a")), ([], (1, 2)))

    def test_two_at_once(self):
        """The second one looks at nothing that the first may be about to change, and writes no line about it."""
        self.lay_out("k3s")
        with open(self.state_of("a") / "rotation.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.wire(status=5, code="BUSY")
            self.host("config", "wire", "--dry-run")
        self.assertEqual(self.changed(), [])
        self.assertEqual(self.numbers("a"), (1, 1))

    def test_keys_of_the_distribution_are_taken_along(self):
        """RKE2 encrypts always: what it stored must stay readable, and other servers must read what this one writes."""
        self.lay_out("rke2")
        self.own("var/lib/rancher/rke2", ("own", OWN_KEY), ("older", base64.b64encode(bytes(32)).decode()))
        run = self.expect(self.on("a", "config", "wire", "--dry-run", "--root", self.root), 0)
        self.assertIn("key own (aescbc) of the distribution: to be taken into the keyring\n", run.stderr)
        self.assertNotIn(OWN_KEY, run.stdout + run.stderr)
        self.assertEqual((self.changed(), self.numbers("a")), ([], (1, 1)))
        # They are in; but the first of the keyring is one that other servers lack.
        self.wire(status=3, code="REFUSED", words="is not the one that the distribution encrypts with")
        self.assertEqual((self.changed(), self.numbers("a")), ([], (1, 2)))
        self.assertEqual([key["name"] for key in self.info("a")["keys"]][1:], ["own", "older"])
        # As after a rotation to it.
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "activate", self.info("a")["keys"][1]["id"])), 0)
        answer = self.wire()
        drop_in, file = "etc/rancher/rke2/config.yaml.d/90-keyturn.yaml", "etc/rancher/rke2/keyturn/encryption-config.yaml"
        self.assertEqual(self.changed(), [drop_in, file])
        self.assertIn(OWN_KEY, (self.root / file).read_text())
        self.assertEqual((self.root / file).stat().st_mode & 0o7777, 0o600)
        self.assertNotIn(OWN_KEY, json.dumps(answer))
        self.assertIn(f"- {self.work}/a/run/kms:{self.work}/a/run/kms\n", (self.root / drop_in).read_text())
        self.assertIn("RESTART_PENDING", self.doctor(8)[1])
        shown = self.expect(self.on("a", "config", "unwire", "--yes", "--force", "--root", self.root), 0)
        self.assertIn("systemctl restart rke2-server", shown.stdout)
        text = self.expect(self.on("a", "config", "wire", "--yes", "--root", self.root), 0).stdout
        for words in ("secrets-encrypt no longer applies", "server/cred", "snapshots"):
            self.assertIn(words, text)


class OwnKeysMeanwhile(Hosts):
    def founding(self):
        return ["--provider", "aescbc"]

    def test_a_key_that_the_distribution_made_stops_a_rotation(self):
        """secrets-encrypt still rotates, though nobody reads its file: something may be written under what it made."""
        self.lay_out("k3s")
        k3s_host.lay_out(self.root)
        enc = self.root / "enc.json"
        self.expect(self.on("a", "config", "show", "--out", enc), 0)
        Rancher.own(self, "var/lib/rancher/k3s", ("elsewhere", OWN_KEY))

        def prepare():
            return subprocess.run([*in_its_place(self.root), KEYTURN, "prepare", "--force", "--yes", "--config", self.config_of("a"),
                                   "--encryption-config", enc, "-o", "json"],
                                  capture_output=True, text=True, env=self.environment(), timeout=120)
        text = enc.read_bytes()
        self.expect(prepare(), 3, "REFUSED", "elsewhere")
        self.assertEqual(enc.read_bytes(), text)
        self.expect(self.on("a", "key", "import", "--type", "aescbc", "--name", "elsewhere", "--yes", stdin=OWN_KEY), 0)
        self.expect(prepare(), 0)
        self.assertNotEqual(enc.read_bytes(), text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
