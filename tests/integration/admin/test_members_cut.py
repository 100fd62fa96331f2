#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""node request, approve and install, cut at every write."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster  # noqa: E402


class Interrupted(Cluster):
    """Each of its writes killed, and with a full disk there; then the same command again."""

    def test_approve(self):
        fingerprint = self.request("b")

        def command(env):
            return self.on("a", *self.approve_arguments("b", fingerprint), "-o", "json", env=env)

        def check(_):
            self.assertTrue(self.opens("a"))
            owner = self.approve("a", "b", fingerprint)
            self.assertEqual(self.numbers("a"), (2, 2))
            self.expect(self.install("b", owner), 0)
            self.assertTrue(self.opens("b"))

        self.walk(command, check, 15)

    def test_request_and_install(self):
        owner = self.ok("a", "node", "list")["fingerprint"]

        def request(env):
            return self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", "--out", self.file("b", "request"), "-o",
                                "json", env=env)

        def check_request(_):
            self.join("b")
            self.assertTrue(self.opens("b"))

        self.walk(request, check_request, 15)
        self.approve("a", "b", self.request("b"))

        def check_install(_):
            self.expect(self.install("b", owner), 0)
            self.assertTrue(self.opens("b"))
            self.assertFalse(list((self.work / "b").glob("*.join")))

        self.walk(lambda env: self.install("b", owner, env=env), check_install, 30)

    def test_install_of_another_key(self):
        self.join("b")
        owner = self.approve("a", "b", self.request("b"), "--replace", "b")

        def check(_):
            self.expect(self.install("b", owner), 0)
            self.assertTrue(self.opens("b"))
            self.assertEqual(self.keyring_of("b").read_bytes(), self.keyring_of("a").read_bytes())
            self.assertFalse(list((self.work / "b").glob("*.join")))

        self.walk(lambda env: self.install("b", owner, env=env), check, 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
