#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Old keys leave after their hold and a second census: on a real kube-apiserver and etcd. The hold is a day; it begins a day ago,
for a clock that is moved, and kube-apiserver is restarted, since its metrics say when it last wrote under another key."""

import time

import harness
from cluster import EncryptedObject, write_kubeconfig
from harness import BUILD, proved
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


if __name__ == "__main__":
    harness.main(harness.assets)
