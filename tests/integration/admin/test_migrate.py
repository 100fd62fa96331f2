#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn migrate, where no API server can be asked: a file that somebody wrote by hand, or a distribution, is taken over with the
names of its keys, its first key first, and only then comes another one to the front; cut at every write, and what is refused.
tests/e2e/test_inline_rotation.py has kube-apiserver."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[2] / "e2e"))
from cluster import BOTH, Cluster  # noqa: E402
import k3s_host  # noqa: E402
from program import KEYTURN, fault  # noqa: E402

FORCED = ["--force", "--yes"]
OLD = "aescbckey-2022-04-21T23:01:02+02:00"


def key(name):
    return {"name": name, "secret": base64.b64encode(os.urandom(32)).decode()}


class Keyring(Cluster):
    """A new keyring of type kms, and a file with two keys that it does not have."""

    def setUp(self):
        super().setUp()
        self.enc = self.work / "enc.json"
        self.secrets = [key("by-hand"), key(OLD)]
        self.write([{"aescbc": {"keys": self.secrets}}, {"identity": {}}])
        self.own = self.names()

    def write(self, providers, resources=("secrets",)):
        self.enc.touch(mode=0o600)
        self.enc.write_text(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                                        "resources": [{"resources": list(resources), "providers": providers}]}, indent=2))

    def migrate(self, *more, env=None):
        return self.on("a", "migrate", "--to", "kms", "--encryption-config", self.enc, *more, "-o", "json", env=env)

    def names(self):
        return [key["name"] for key in self.info("a")["keys"]]

    def states(self):
        return {key["name"]: key["state"] for key in self.info("a")["keys"]}

    def order(self, path=None):
        providers = json.loads((path or self.enc).read_text())["resources"][0]["providers"]
        return [name for provider in providers for kind in provider
                for name in ([key["name"] for key in provider[kind]["keys"]] if "keys" in provider[kind] else [kind])]

    def ends_at_the_rewriting(self, run):
        """There is no kubeconfig."""
        self.expect(run, 4, "INCOMPLETE", "what is stored stays as it is, and can be read")


class Migrates(Keyring):
    def test_taken_over_and_then_to_kms(self):
        self.ends_at_the_rewriting(self.migrate(*FORCED))
        info = self.info("a")
        new = info["keys"][0]["name"]
        self.assertEqual(info["keys"][0]["type"], "kms")
        self.assertNotIn(new, self.own, "a key that nobody has seen yet")
        self.assertEqual(self.names(), [new, "by-hand", *self.own, OLD])
        self.assertEqual(self.order(), ["kms", "by-hand", OLD, "identity"])
        kept = [k for p in json.loads(self.enc.read_text())["resources"][0]["providers"] for k in p.get("aescbc", {}).get("keys", [])]
        self.assertEqual(kept, self.secrets, "with the bytes and names that they had")
        commands = [line["command"] for line in self.lines("a")]
        self.assertEqual(set(commands[1:]), {"migrate --force"})
        self.expect(self.verify("a"), 0)

    def test_listed_before_it_is_first(self):
        """kube-apiserver has a file that lists the plugin second, before it gets the one that begins with it."""
        self.ends_at_the_rewriting(self.migrate(*FORCED))
        before, = (self.state_of("a") / "config-previous").iterdir()
        self.assertEqual((self.order(before), self.order()), (["by-hand", "kms", OLD, "identity"], ["kms", "by-hand", OLD, "identity"]))
        self.assertEqual(sum(line.get("config") is not None for line in self.lines("a")), 2)

    def test_killed_on_the_way(self):
        """At some of its writes; test_rotation.py cuts a rotation at each."""
        saved = self.work.with_name(self.work.name + ".saved")
        shutil.copytree(self.work, saved, symlinks=True)
        self.addCleanup(shutil.rmtree, saved, ignore_errors=True)
        last = self.writes(lambda env: self.migrate(*FORCED, env=env), BOTH, 4)
        self.assertGreater(last, 30)
        for at in range(2, last + 1, last // 6):
            self.restore(saved)
            with self.subTest(at=at):
                self.migrate(*FORCED, env=fault(at, "kill", BOTH))
                self.assertEqual({*self.order()} - {"kms"}, {"by-hand", OLD, "identity"})
                self.assertNotIn(self.order()[0], (OLD, "identity"))
                self.ends_at_the_rewriting(self.migrate(*FORCED))
                self.assertEqual(self.order(), ["kms", "by-hand", OLD, "identity"])
                self.assertEqual((len(self.names()), [*self.states().values()].count("active")), (4, 1))
                self.logs_verify()

    def test_from_another_plugin(self):
        """Ours is listed behind it, then before it; it stays, for what it encrypted nobody else reads. Nothing else takes its place."""
        self.write([{"kms": {"apiVersion": "v2", "name": "other", "endpoint": "unix:///run/other.sock"}}, {"identity": {}}])
        self.expect(self.on("a", "rotate-keys", *FORCED, "--encryption-config", self.enc, "-o", "json"), 3, "REFUSED",
                    "stands first in the config file's lists")
        self.ends_at_the_rewriting(self.migrate(*FORCED))
        before, = (self.state_of("a") / "config-previous").iterdir()
        self.assertEqual((self.plugins(before), self.plugins(self.enc)), (["other", "keyturn", "identity"], ["keyturn", "identity", "other"]))
        self.assertEqual(len(self.names()), 2)
        self.expect(self.verify("a"), 0)

    @staticmethod
    def plugins(path):
        providers = json.loads(path.read_text())["resources"][0]["providers"]
        return [provider["kms"]["name"] if "kms" in provider else "identity" for provider in providers]

    def test_dry_run(self):
        before = self.files()
        said = self.on("a", "migrate", "--to", "kms", "--encryption-config", self.enc, "--dry-run")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn(f"key {OLD} (aescbc) of {self.enc}: to be taken into the keyring", said.stderr)
        for secret in self.secrets:
            self.assertNotIn(secret["secret"], said.stdout + said.stderr)
        self.assertEqual(self.files(), before)

    def test_asks_first(self):
        before = self.names()
        self.expect(self.migrate(), 2, "USAGE", "--yes")
        self.assertEqual(self.names(), before)

    def test_nothing_to_do(self):
        self.expect(self.on("a", "config", "show", "--out", self.work / "new.json"), 0)
        os.rename(self.work / "new.json", self.enc)
        numbers = self.numbers("a")
        run = self.on("a", "migrate", "--to", "kms", "--encryption-config", self.enc, "--yes")
        self.assertEqual((run.returncode, run.stdout), (0, "the active key is of type kms already: nothing to do\n"), run.stderr)
        self.assertEqual(self.numbers("a"), numbers)

    def test_refused(self):
        for words, code in ((["--to", "aesgcm"], "USAGE"), (["--to", "nothing"], "USAGE"), ([], "USAGE")):
            self.expect(self.on("a", "migrate", *words, "--encryption-config", self.enc, "-o", "json", "--yes"), 2, code)
        before = self.names()
        # Lists that are not alike: what comes first in one would be new in the other.
        one, other = ({"resources": [name], "providers": [{"aescbc": {"keys": [key]}}, {"identity": {}}]}
                      for name, key in zip(("secrets", "configmaps"), self.secrets))
        plain_first = {"resources": ["configmaps"], "providers": [{"identity": {}}, {"aescbc": {"keys": [self.secrets[0]]}}]}
        for second in (other, plain_first):
            self.enc.write_text(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                                            "resources": [one, second]}))
            self.expect(self.migrate(*FORCED), 3, "REFUSED", "resources[1] does not")
            self.assertEqual(self.names(), before)
        # A rotation to another type is under way.
        self.write([{"aescbc": {"keys": self.secrets}}, {"identity": {}}])
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add-secretbox", "next", "stage", "prepare")), 0)
        self.expect(self.migrate(*FORCED), 3, "REFUSED", "found one to a key of type secretbox under way")

    def test_a_name_that_means_another_key(self):
        """A key of the keyring's with that name and other bytes: kube-apiserver would take one for the other."""
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add-aescbc", "by-hand")), 0)
        before = self.names(), self.enc.read_bytes()
        self.expect(self.migrate(*FORCED), 3, "REFUSED", "found another one of that name there")
        self.assertEqual((self.names(), self.enc.read_bytes()), before)


class BackToTheDistribution(Keyring):
    """migrate --to distro on a host of k3s; tests/e2e/test_distro.py has kube-apiserver."""

    def setUp(self):
        super().setUp()
        self.write([{"kms": {"apiVersion": "v2", "name": "keyturn", "timeout": "3s",
                             "endpoint": f"unix://{self.work}/a/run/kms/kms.sock"}}, {"identity": {}}])
        self.root = self.work / "host"
        k3s_host.lay_out(self.root)
        self.own_file = self.root / k3s_host.OWN

    def back(self, *more):
        return subprocess.run([*k3s_host.in_its_place(self.root), KEYTURN, "migrate", "--to", "distro", "--config", self.config_of("a"),
                               "--encryption-config", self.enc, *more, "-o", "json"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=self.environment(), timeout=120, check=False)

    def write_own(self, *secrets):
        k3s_host.own_keys(self.own_file, *((secret["name"], secret["secret"]) for secret in secrets))

    def test_its_first_key_becomes_the_active_one(self):
        self.write_own(*self.secrets)
        self.expect(self.back(), 2, "USAGE", "--yes")
        self.assertEqual(self.names(), self.own)
        self.ends_at_the_rewriting(self.back(*FORCED))
        self.assertEqual(self.names(), ["by-hand", *self.own, OLD])
        self.assertEqual(self.order(), ["by-hand", "kms", OLD, "identity"])
        generations = self.numbers("a")
        self.ends_at_the_rewriting(self.back(*FORCED))
        self.assertEqual(self.numbers("a"), generations)
        self.expect(self.verify("a"), 0)

    def test_one_that_was_in_use_before(self):
        """Then it is the last one, and no key is made."""
        self.write_own(self.secrets[0])
        self.ends_at_the_rewriting(self.back(*FORCED))
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "stage", "reencrypt_finished")), 0)
        self.ends_at_the_rewriting(self.migrate(*FORCED))
        new = self.names()[0]
        self.assertEqual(self.names(), [new, "by-hand", *self.own])
        self.expect(self.back(*FORCED), 3, "REFUSED", f"expected a rotation to the key by-hand, or none, found one to the key {new}")
        retiring = self.edit("a", "state", self.info("a")["keys"][1]["id"], "retiring", "stage", "reencrypt_finished")
        self.expect(self.on("a", "keyring", "offer", retiring), 0)
        self.ends_at_the_rewriting(self.back(*FORCED))
        self.assertEqual(self.names(), ["by-hand", new, *self.own])
        self.assertEqual(self.order(), ["by-hand", "kms", "identity"])
        self.expect(self.verify("a"), 0)

    def test_refused(self):
        before = self.names(), self.enc.read_bytes()
        self.expect(self.on("a", "migrate", "--to", "distro", "--encryption-config", self.enc, *FORCED, "-o", "json"), 3, "REFUSED",
                    "expected a host of k3s or RKE2 that encrypts by itself")
        self.expect(self.back(*FORCED), 3, "REFUSED", "found k3s that does not")
        self.write_own(*self.secrets)
        self.expect(self.back(*FORCED, "--encryption-config", f"/{k3s_host.OWN}"), 3, "REFUSED", "found that it reads /var/lib/rancher")
        text = json.loads(self.own_file.read_text())
        text["resources"][0]["providers"].reverse()
        self.own_file.write_text(json.dumps(text))
        self.expect(self.back(*FORCED), 3, "REFUSED", "expected it to begin with a key for secrets")
        self.own_file.write_text("{")
        self.expect(self.back(*FORCED), 2, "CONFIG", "encryption-config.json")
        self.assertEqual((self.names(), self.enc.read_bytes()), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
