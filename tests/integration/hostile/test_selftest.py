#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bit that flips in the keeper's memory, in a key that it serves: the self-test finds it, and it is told wherever an
operator looks."""
import os
import unittest

from kms_peer import Peer
from memory import pieces
from served import ROOT, Node, keys_of, make_state, metric_in, until


@unittest.skipUnless(ROOT, "needs root to reach into the keeper's memory")
class FlippedBit(unittest.TestCase):
    def setUp(self):
        self.d = Node()
        self.addCleanup(self.d.close)
        self.d.change_config("keys: 1m", "keys: 1s")
        self.d.change_config("listen: .*", 'listen: "127.0.0.1:0"')
        self.d.start()
        offered = os.path.join(self.d.dir, "g2")
        self.active, self.ready = keys_of(make_state("edit", self.d.place, offered, "add", "second").stdout)
        self.assertEqual(self.d.keyturn("keyring", "offer", offered).returncode, 0)
        self.secrets = self.d.secrets(offered)
        self.keeper = self.d.pids()["keeper"]

    def places(self, key):
        """Where that key stands: the beginning of each expanded one is the key itself."""
        value, found = self.secrets[f"key.{key}"], []
        for _, start, piece in pieces(self.keeper, len(value) - 1):
            at = piece.find(value)
            while at >= 0:
                found.append(start + at)
                at = piece.find(value, at + 1)
        return found

    def flip(self, address):
        with open(f"/proc/{self.keeper}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            byte = memory.read(1)[0]
            memory.seek(address)
            memory.write(bytes([byte ^ 1]))

    def metrics(self):
        text = self.d.get("/metrics")[1]
        figures = {"failures": metric_in("keyturn_selftest_failures_total", text)}
        for line in text.splitlines():
            if line.startswith("keyturn_key_selftest_ok{"):
                figures[line.split('"')[1]] = int(line.split()[-1])
        return figures

    def status(self):
        with Peer(self.d.kms) as peer:
            return peer.status()

    def test_in_the_active_key(self):
        places = self.places(self.active)
        self.assertTrue(places, "the search finds it")
        for number, place in enumerate(places, 1):
            self.flip(place)
            self.d.wait_healthz(f"key {self.active}: ")
            self.assertEqual(self.metrics()[self.active], 0)
            self.assertEqual(self.metrics()[self.ready], 1)
            health, key_id = self.status()
            self.assertTrue(health.startswith(f"key {self.active}: "), "kube-apiserver is told")
            self.assertEqual(key_id, self.active)
            self.assertEqual(self.d.get("/readyz")[0], 503)
            failures = self.metrics()["failures"]
            until(lambda: self.metrics()["failures"] > failures, "it is tried again")
            self.flip(place)
            self.d.wait_healthz("ok")
            self.assertEqual(self.metrics()[self.active], 1)
            self.assertEqual(self.d.log().count("event=selftest-failed"), number)
            self.assertEqual(self.d.log().count("event=selftest-recovered"), number)
        self.assertEqual(self.status(), ("ok", self.active))
        self.assertEqual(self.d.get("/readyz")[0], 200)

    def test_in_another_key(self):
        """That one is named, and nothing else suffers."""
        for place in self.places(self.ready):
            self.flip(place)
        until(lambda: self.metrics()[self.ready] == 0, "the self-test fails")
        self.assertIn(f"key {self.ready} failed its self-test", self.d.status().warnings())
        self.assertGreater(self.metrics()["failures"], 0)
        self.assertEqual(self.metrics()[self.active], 1)
        self.assertEqual(self.status(), ("ok", self.active))
        self.assertEqual(self.d.get("/readyz")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
