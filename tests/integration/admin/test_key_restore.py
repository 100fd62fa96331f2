#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn key restore: archived keys come back with the recovery key, decrypt only, without a daemon and with one. That a backup
can be read then is what e2e.retire shows."""
import pathlib
import re
import secrets
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Recovers  # noqa: E402


class Restores(Recovers):
    def setUp(self):
        super().setUp()
        self.first = self.info("a")["keys"][0]["id"]
        self.archive_a_key()

    def key_restore(self, *more, node="a", key=None, env=None):
        return self.on(node, "key", "restore", *more, "--key-file", key or self.recovery, "-o", "json", env=env)

    def keys(self, node="a"):
        return [(key["id"], key["state"]) for key in self.info(node)["keys"]]

    def archived(self, node="a"):
        return self.info(node)["keyring"]["archived"]

    def test_comes_back(self):
        active = self.keys()[0][0]
        before = self.numbers("a")
        # What would come needs no recovery key.
        dry = self.ok("a", "key", "restore", self.first, "--dry-run")
        self.assertEqual((dry["changed"], dry["wouldChange"], [key["id"] for key in dry["keys"]]), (False, True, [self.first]))
        self.assertEqual((self.numbers("a"), self.archived()), (before, 1))
        done = self.expect(self.key_restore(self.first), 0)
        self.assertIn('"changed": true', done.stdout)
        self.assertEqual(self.keys(), [(active, "active"), (self.first, "retiring")])
        self.assertEqual((self.numbers("a"), self.archived()), ((before[0], before[1] + 1), 0))
        again = self.ok("a", "key", "restore", self.first, "--key-file", self.recovery)
        self.assertEqual((again["changed"], again["keys"]), (False, []))
        self.assertEqual(self.numbers("a"), (before[0], before[1] + 1))
        line = self.lines("a")[-1]
        self.assertEqual((line["command"], line["event"], line["after"]["archived"]), ("key restore", "changed", 0))
        self.logs_verify()

    def test_served_at_once(self):
        """And by the others, once they have the keyring."""
        self.join("b")
        for node in "ab":
            self.start(node)
        self.assertTrue(self.ok("a", "key", "restore", self.first, "--key-file", self.recovery)["served"])
        self.expect(self.offer("b", of="a"), 0)
        for node in "ab":
            self.serves(node)
            self.assertIn((self.first, "retiring"), self.keys(node))

    def test_says_what_to_do_next(self):
        run = self.expect(self.on("a", "key", "restore", self.first, "--key-file", self.recovery), 0)
        for words in (f"Key {self.first} (kms, kmskey) is back, retiring: it decrypts, and encrypts nothing.",
                      "keyturn keyring offer FILE", "keyturn reencrypt"):
            self.assertIn(words, run.stdout)

    def test_refused(self):
        before = self.keyring_of("a").read_bytes()
        self.expect(self.keyturn("init", "--dir", self.work / "z", "--node", "z", "--yes", "--recovery-out", self.work / "other"), 0)
        unknown = secrets.token_hex(16)
        for words, status, code, says in (
                ([], 2, "USAGE", "found neither"),
                ([self.first, "--for-snapshot", "x"], 2, "USAGE", "found both"),
                ([self.first, "--skip-hash-check"], 2, "USAGE", "--skip-hash-check with --for-snapshot"),
                ([unknown], 3, "REFUSED", f"{unknown}: expected the id of an archived key"),
                (["--for-snapshot", self.work / "none"], 1, "IO", "none")):
            with self.subTest(says):
                self.expect(self.key_restore(*words), status, code, says)
        self.expect(self.key_restore(self.first, key=self.work / "other"), 6, "RECOVERY_KEY", "not the one of this keyring")
        self.expect(self.key_restore(*[secrets.token_hex(16) for _ in range(17)]), 2)
        self.assertEqual(self.keyring_of("a").read_bytes(), before)

    def test_of_a_lost_recovery_key(self):
        self.replaced("a", "new", "--lost")
        self.expect(self.key_restore(self.first), 3, "REFUSED", "expected one that is sealed to the present recovery key")
        self.assertEqual(self.archived(), 1)

    def test_of_one_that_was_replaced(self):
        self.replaced("a", "new")
        self.expect(self.key_restore(self.first), 0)
        self.assertIn((self.first, "retiring"), self.keys())

    def test_killed_anywhere(self):
        def check(run):
            if (self.first, "retiring") not in self.keys():
                self.expect(self.key_restore(self.first), 0)
            self.assertEqual((self.keys()[1], self.archived()), ((self.first, "retiring"), 0))
            self.assertTrue(self.opens("a"))
        self.walk(lambda env: self.key_restore(self.first, env=env), check, 5)


class Inline(Recovers):
    def founding(self):
        return ["--provider", "aescbc"]

    def edit(self, node, *edits, out=None):
        return super().edit(node, *(re.sub("^add$", "add-aescbc", edit) for edit in edits), out=out)

    def test_is_rendered_again(self):
        before = self.expect(self.on("a", "config", "show", "--show-secrets"), 0).stdout
        first = self.info("a")["keys"][0]["id"]
        secret = re.search(r'"secret": "([^"]+)"', before).group(1)
        self.archive_a_key()
        self.assertNotIn(secret, self.expect(self.on("a", "config", "show", "--show-secrets"), 0).stdout)
        run = self.expect(self.on("a", "key", "restore", first, "--key-file", self.recovery), 0)
        self.assertIn("keyturn config apply", run.stdout)
        after = self.expect(self.on("a", "config", "show", "--show-secrets"), 0).stdout
        self.assertGreater(after.index(secret), after.index('"name": "second"'), "after the one that encrypts")


if __name__ == "__main__":
    unittest.main(verbosity=2)
