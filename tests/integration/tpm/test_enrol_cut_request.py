#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""node request for a sealed private half, cut at every write."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402


class Interrupted(Enrolled):
    """Killed at each write, or stopped by a full disk there; then the same command again."""

    def ask_again(self, node, *more, env=None):
        return self.keyturn("node", "request", "--dir", self.work / node, "--out", self.file(node, "request"), "-o", "json", *more, env=env)

    def test_request_of_a_new_node(self):
        self.board("b")

        def check(_):
            self.join("b", ask=self.ask("b"))
            self.assertTrue(self.opens("b"))
            self.assertEqual((self.kept("b"), self.config_line("b", "recipient")), (["node.tpm"], "tpm2"))

        self.walk(lambda env: self.ask_again("b", "--node", "b", *self.ask("b"), env=env), check, 15)

    def test_request_in_place_of_another(self):
        self.join_tpm("b")
        before = self.sealed("b").read_bytes(), self.config_of("b").read_text()

        def check(_):
            self.assertEqual((self.sealed("b").read_bytes(), self.config_of("b").read_text()), before)
            self.assertTrue(self.opens("b"))
            self.expect(self.ask_again("b"), 0)

        self.walk(lambda env: self.ask_again("b", env=env), check, 15)


if __name__ == "__main__":
    unittest.main(verbosity=2)
