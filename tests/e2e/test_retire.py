#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Old keys leave after their hold and a second census: on a real kube-apiserver and etcd. The hold is a day; it begins a day ago,
for a clock that is moved, and kube-apiserver is restarted, since its metrics say when it last wrote under another key."""

import shutil
import subprocess
import time

import harness
from cluster import EncryptedObject, write_kubeconfig
from harness import BUILD, proved, wait_for
from one_server import OneServer

CLOCK = BUILD / "tests/fault/libkt_clock_ahead.so"
YESTERDAY = {"LD_PRELOAD": str(CLOCK), "KT_CLOCK_AHEAD": "-90000"}


class Retire(OneServer):
    def keys(self):
        return [(key["name"], key["state"]) for key in self.daemon.status()["keys"]]

    def since(self, name):
        return {key["name"]: key.get("retiringSince", "") for key in self.daemon.status()["keys"]}[name]

    def rotate(self):
        """The name of the key that retires, since yesterday."""
        self.keyturn("prepare")
        self.keyturn("rotate")
        self.keyturn("reencrypt", env=YESTERDAY)
        return self.keys()[1][0]

    def test_0_a_backup(self):
        """Of this day; it is put back three rotations later."""
        for i in range(20):
            self.create_kept(f"saved-{i}")
        type(self).backup = self.workspace.path / "backup.db"
        type(self).saved = dict(self.kept)
        type(self).saved_under = self.daemon.key_id()
        subprocess.run([harness.assets() / "etcdctl", "--endpoints", self.cluster.etcd.url(), "snapshot", "save", self.backup],
                       check=True, capture_output=True)

    def test_1_held(self):
        """The day is not over, whatever somebody forces, for kube-apiserver itself says that it wrote under it just now."""
        self.create_kept("first")
        type(self).before = self.cluster.etcd.secret("first")
        type(self).first = self.rotate()
        begun = time.monotonic()
        for more in ([], ["--force", "--yes"]):
            error = self.keyturn("retire", *more, "-o", "json", status=4).error()
            self.assertIn("held until", error["message"])
        self.assertLess(time.monotonic() - begun, 60, "what is not over today is not waited for")
        self.assertEqual(self.keys()[1:], [(self.first, "retiring")])

    def test_2_a_write_during_the_hold(self):
        """Of two keys whose day is over, one leaves; the other one is found in the store, and its day begins anew."""
        self.create_kept("second")
        late = self.cluster.etcd.secret("second")
        second = self.rotate()
        self.cluster.api.stop()
        self.cluster.api.start()
        write_kubeconfig(self.kubeconfig, [self.cluster.api])
        self.cluster.etcd.put("/registry/secrets/default/second", late)
        error = self.keyturn("retire", "-o", "json", store=False, status=4).error()
        self.assertIn("the store can be counted", error["message"])
        before = self.since(second)
        error = self.keyturn("retire", "-o", "json", status=4).error()
        self.assertIn(f"{second} held until", error["message"])
        self.assertIn("keyturn reencrypt rewrites them", error["hint"])
        self.assertEqual(self.keys()[1:], [(second, "retiring")])
        self.assertGreater(self.since(second), before)
        self.assertEqual(self.daemon.status()["keyring"]["archived"], 1)
        self.read_all()
        self.keyturn("audit", "verify")
        proved(f"retire: {self.first} is archived, {second} was found in the store and is held anew")

    def test_3_after_it(self):
        """What came late is rewritten; what comes back under an archived key is found, and the key is not served any more."""
        self.assertGreater(self.keyturn("reencrypt", "-o", "json").json()["rewritten"], 0)
        self.assertEqual(EncryptedObject(self.cluster.etcd.secret("second")).key_id, self.daemon.key_id())
        self.read_all()
        self.cluster.etcd.put("/registry/secrets/default/first", self.before)
        row, = [row for row in self.keyturn("census", "--fail-on", "other", "-o", "json", status=8).json()["counts"]
                if row["state"] == "archived"]
        self.assertEqual((row["resource"], row["key"], row["count"]), ("secrets", EncryptedObject(self.before).key_id, 1))
        left, = self.keyturn("reencrypt", "-o", "json", status=4).json()["leftOver"]
        self.assertEqual(left["name"], "first")
        self.assertIn(f"its key is archived: keyturn key restore {row['key']}", left["reason"])

    def put_back(self):
        """As etcd's documentation has it; kube-apiserver begins anew with it."""
        etcd, api = self.cluster.etcd, self.cluster.api
        api.stop()
        etcd.stop()
        shutil.rmtree(etcd.dir / "data")
        peer = f"http://127.0.0.1:{etcd.ports[1]}"
        subprocess.run([harness.assets() / "etcdutl", "snapshot", "restore", self.backup, "--data-dir", etcd.dir / "data",
                        "--name", "e2e", "--initial-cluster", f"e2e={peer}", "--initial-advertise-peer-urls", peer],
                       check=True, capture_output=True)
        etcd.start()
        api.start(wait=False)
        write_kubeconfig(self.kubeconfig, [api])

    def test_4_the_backup_is_put_back(self):
        """Three rotations later its key is in the archive: nothing can be read, until the recovery key has brought it back."""
        self.cluster.etcd.delete("/registry/secrets/default/first")  # which nobody can read any more, as test_3 saw
        self.rotate()
        need, = self.daemon.keyturn("census", "--snapshot", self.backup, "-o", "json").json()["keys"]
        self.assertEqual((need["key"], need["isIn"]), (self.saved_under, "archive"))
        self.put_back()
        client = self.cluster.api.client()
        saved = "/api/v1/namespaces/default/secrets/saved-0"
        wait_for("it says that it cannot decrypt", lambda: "failed to decrypt" in str(client.get(saved)), 120)
        self.assertFalse(self.cluster.api.ready(), "not before it can read all secrets")
        restore = ["key", "restore", "--for-snapshot", self.backup, "--key-file", self.daemon.recovery, "-o", "json"]
        said = self.daemon.keyturn(*restore).json()
        self.assertEqual(([key["id"] for key in said["keys"]], said["missing"], said["served"]), ([self.saved_under], 0, True))
        self.assertIn((self.first, "retiring"), self.keys())
        self.cluster.api.wait_ready()
        type(self).kept = dict(self.saved)
        self.read_all()
        self.assertFalse(self.daemon.keyturn(*restore).json()["changed"])
        self.assertEqual(self.daemon.keyturn("census", "--snapshot", self.backup, "-o", "json").json()["snapshot"]["canBeRead"], "yes")
        # What is written is written under the active key, and so is all of it after the next reencrypt.
        active = self.daemon.key_id()
        self.create_kept("afterwards")
        self.assertEqual(EncryptedObject(self.cluster.etcd.secret("afterwards")).key_id, active)
        self.assertGreaterEqual(self.keyturn("reencrypt", "-o", "json", env=YESTERDAY).json()["rewritten"], len(self.saved))
        for name in self.kept:
            self.assertEqual(EncryptedObject(self.cluster.etcd.secret(name)).key_id, active)
        self.read_all()
        self.keyturn("census", "--fail-on", "plaintext,unknown,other,missing")
        self.assertIn((self.first, "retiring"), self.keys())
        self.daemon.keyturn("audit", "verify")
        proved(f"a backup of {len(self.saved)} secrets, three rotations old: not one could be read, and all of them after key restore")


if __name__ == "__main__":
    harness.main(harness.assets)
