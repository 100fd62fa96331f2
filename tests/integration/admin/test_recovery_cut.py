#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""recovery use and recovery replace, cut at every write."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Recovers  # noqa: E402


class Interrupted(Recovers):
    """Each of its writes killed, and with a full disk there; then the same command again."""

    def test_use(self):
        self.lose_key("a")

        def check(_):
            self.expect(self.use("a"), 0)
            self.assertTrue(self.opens("a"))
            self.assertFalse(list((self.work / "a").glob("*.join")))
            self.expect(self.on("a", "recovery", "verify", "--key-file", self.recovery), 0)

        self.walk(lambda env: self.use("a", env=env), check, 25)

    def finish_replacement(self, *more):
        """The same again; a file that a cut run has left is moved out of the way, as the refusal says."""
        run = self.replace("a", "second", *more)[1]
        if run.returncode == 3:
            self.assertIn("exists", run.stderr)
            (self.work / "second").rename(self.work / "left")
            left = self.on("a", "recovery", "verify", "--key-file", self.work / "left").returncode == 0
            old = self.work / "left" if left else self.recovery
            run = self.replace("a", "second", *more, old=old)[1]
        self.expect(run, 0)
        opening = [p for p in [self.recovery, self.work / "left", self.work / "second"] if p.exists() and
                   self.on("a", "recovery", "verify", "--key-file", p).returncode == 0]
        self.assertEqual(len(opening), 1, "exactly one recovery key is in force, and it is at hand")
        self.assertNotEqual(opening[0], self.recovery)
        self.assertTrue(self.opens("a"))

    def test_replace(self):
        self.walk(lambda env: self.on("a", "recovery", "replace", "--yes", "--recovery-out", self.work / "second", "--key-file",
                                      self.recovery, env=env), lambda run: self.finish_replacement() if run.returncode else None, 15)

    def test_lost(self):
        self.walk(lambda env: self.on("a", "recovery", "replace", "--lost", "--yes", "--recovery-out", self.work / "second", env=env),
                  lambda run: self.finish_replacement("--lost") if run.returncode else None, 25)


if __name__ == "__main__":
    unittest.main(verbosity=2)
