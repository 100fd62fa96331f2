#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""node install and recovery use with a sealed private half in place of one in a file, cut at every write."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402


class Interrupted(Enrolled):
    """Killed at each write, or stopped by a full disk there; then the same command again."""

    def test_install_in_place_of_a_file(self):
        self.join("b")
        self.board("b")
        owner = self.approve("a", "b", self.request("b", *self.ask("b")), "--replace", "b")

        def check(_):
            self.expect(self.install("b", owner), 0)
            self.assertTrue(self.opens("b"))
            self.assertEqual((self.kept("b"), self.config_line("b", "recipient")), (["node.tpm"], "tpm2"))
            self.assertFalse(list((self.work / "b").glob("*.join")))

        self.walk(lambda env: self.install("b", owner, env=env), check, 20)

    def test_from_a_file_into_the_tpm(self):
        self.lose_key("a")
        self.board("a")

        def check(_):
            self.expect(self.use("a", *self.ask("a")), 0)
            self.assertTrue(self.opens("a"))
            self.assertEqual((self.kept("a"), self.config_line("a", "recipient")), (["node.tpm"], "tpm2"))

        self.walk(lambda env: self.use("a", *self.ask("a"), env=env), check, 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
