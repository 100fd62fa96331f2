#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Five nodes, each with a TPM and a daemon of its own, that share one keyring: what one of them writes all serve, and what
one that was removed writes nobody takes."""
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402
from kms_peer import Failed  # noqa: E402
from tpm import BUILD, CREATE, CREATE_PRIMARY, FLUSH, LOAD, UNSEAL, counts, faulty, until  # noqa: E402

CREATE_LOADED, EVICT_CONTROL = 0x191, 0x120
MAKES = {CREATE, CREATE_PRIMARY, CREATE_LOADED, EVICT_CONTROL}
LAST = 2**53
LEAP = 2**20


class Five(Enrolled):
    nodes = "abcde"

    def commands(self, node):
        return self.boards / f"{node}.commands"

    def ask(self, node, *more):
        """Whatever is asked of its TPM is written down."""
        return "--tpm", "--tcti", faulty(self.tpms[node].tcti, log=self.commands(node)), *more

    def founding(self):
        self.board("a")
        return self.ask("a")

    def setUp(self):
        super().setUp()
        for node in self.nodes[1:]:
            self.join_tpm(node)
        for node in self.nodes[1:-1]:
            self.expect(self.offer(node, of="a"), 0)
        self.assertEqual(len({self.keyring_of(node).read_bytes() for node in self.nodes}), 1, "the same file on all")
        self.counted(self.nodes, self.start)

    def counted(self, nodes, do, unseals=1):
        """do(node) on each; meanwhile its TPM alone is at work, unseals so many times, and makes nothing."""
        for node in nodes:
            sealed = self.sealed(node).read_bytes()
            for other in self.tpms:
                self.commands(other).write_text("")
            do(node)
            until(lambda: self.openings(node) >= unseals, f"{node} has opened {unseals} times")
            found = counts(self.commands(node))
            self.assertEqual((found[UNSEAL], found[LOAD]), (unseals, unseals), (node, found))
            self.assertFalse(MAKES & set(found), (node, found))
            self.assertEqual(self.sealed(node).read_bytes(), sealed, "not sealed anew")
            others = {other: self.commands(other).read_text().split() for other in self.tpms if other != node}
            self.assertFalse(any(others.values()), f"TPMs that had nothing to do with it: {others}")

    def openings(self, node):
        """Those that have come to their end: object and session are flushed."""
        found = counts(self.commands(node))
        return found[UNSEAL] if found[FLUSH] == 2 * found[UNSEAL] else 0

    def taken(self, keyring, nodes):
        """Taken in with one unseal each; and with one more, each sees that its next start would open what is on its disk."""
        self.counted(nodes, lambda node: self.expect(self.on(node, "keyring", "offer", keyring), 0), unseals=2)
        served = {self.serves(node) for node in nodes}
        self.assertEqual(len(served), 1, served)
        return served.pop()

    def written(self, by, *edits):
        """The next generation, by that node through the library."""
        out = self.work / f"by-{by}.yaml"
        self.assertEqual(self.edit(by, *edits, out=out), out)
        return out

    def keys(self, node):
        return {key["name"]: key["id"] for key in self.info(node)["keys"]}


class Share(Five):
    def test_a_key_of_one_is_served_by_all(self):
        halves = {self.sealed(node).read_bytes() for node in self.nodes}
        self.assertEqual(len(halves), len(self.nodes), "each has a private half of its own")
        before = [self.wrap(node) for node in self.nodes]
        served = self.taken(self.written("c", "add", "second"), self.nodes)
        self.assertEqual(served[0], self.keys("a")["kmskey"])
        second = self.keys("e")["second"]
        self.assertEqual(self.taken(self.written("e", "activate", second), self.nodes)[0], second)
        after = [self.wrap(node) for node in self.nodes]
        self.assertEqual({key_id for _, _, key_id in after}, {second})
        for node in self.nodes:
            for wrapped in before + after:
                self.unwraps(node, wrapped)
            self.assertEqual(self.tpms[node].left_behind(), "")
        for node in self.nodes:
            self.stop(node)
        self.counted(self.nodes, self.start)
        self.assertEqual({self.serves(node)[0] for node in self.nodes}, {second})


class Forges:
    """Of e, with tests/tools/forge_keyring."""

    def forged(self, generation, *how):
        out = self.work / "forged.yaml"
        run = subprocess.run([BUILD / "tests/forge_keyring", self.work / "e", out, str(generation), *map(str, how)], capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        return out

    def nobody_takes(self, code, generation, *how):
        keyring = self.forged(generation, *how)
        for node in "abc":
            with self.subTest(node=node, generation=generation, how=how):
                before = self.keyring_of(node).read_bytes(), self.serves(node)
                self.assertIn(f'"{code}"', self.on(node, "keyring", "offer", keyring, "-o", "json").stderr)
                self.assertEqual((self.keyring_of(node).read_bytes(), self.serves(node)), before)


class Member(Forges, Five):
    def test_that_counts_to_the_end(self):
        """It may write what it likes, but not the last word: nobody could be removed after that."""
        for generation in (self.numbers("e")[1] + LEAP + 1, LAST):
            self.nobody_takes("KEYRING_LEAP", generation)
        self.taken(self.forged(self.numbers("e")[1] + LEAP), self.nodes)
        self.ok("a", "node", "remove", "e", "--key-file", self.recovery, "--yes")
        self.assertEqual(self.names("a"), ["a", "b", "c", "d", "recovery"])


class Removed(Forges, Five):
    """e is removed; d has not heard of it yet."""

    def setUp(self):
        super().setUp()
        self.old = self.numbers("e")
        self.counted("a", lambda node: self.ok(node, "node", "remove", "e", "--key-file", self.recovery, "--yes"), unseals=2)
        self.new = self.numbers("a")
        self.assertGreater(self.new[0], self.old[0])
        self.taken(self.keyring_of("a"), "bc")

    def test_it_opens_nothing_that_comes_after(self):
        wrapped = self.wrap("e")
        newest = self.written("b", "activate", self.info("b")["keys"][-1]["id"])
        self.taken(newest, "abc")
        for keyring in (self.keyring_of("d"), newest):
            self.assertEqual(self.opens("e", keyring), keyring != newest)
        self.expect(self.on("e", "keyring", "offer", newest, "-o", "json"), 6, "KEYRING_RECIPIENT")
        self.assertEqual(self.serves("e")[1:], self.old)
        self.unwraps("a", wrapped)
        with self.assertRaisesRegex(Failed, "no key with that key_id"), self.peer("e") as peer:
            peer.decrypt(*self.wrap("a")[1:])

    def test_it_signs_nothing_that_the_others_take(self):
        for generation in (self.new[1], self.new[1] + 1, self.new[1] + 10**6, LAST):
            self.nobody_takes("KEYRING_OLDER", generation)
            self.nobody_takes("KEYRING_SIGNER", generation, "--over", self.keyring_of("a"))
            for membership in (self.new[0], self.new[0] + 1, LAST):
                self.nobody_takes("KEYRING_OWNER", generation, "--membership", membership)

    def test_what_a_node_takes_that_has_not_heard_of_it(self):
        """To d it is a member still; but that is no way back for it, however high it counts."""
        high = self.old[1] + LEAP
        self.refused("d", "keyring", "offer", self.forged(high + 1), code="KEYRING_LEAP")
        self.taken(self.forged(high), "d")
        self.assertEqual(self.numbers("d"), (self.old[0], high))
        self.refused("a", "keyring", "offer", self.keyring_of("d"), code="KEYRING_OLDER")
        self.taken(self.keyring_of("a"), "d")
        self.assertEqual(self.numbers("d"), self.new)
        self.nobody_takes("KEYRING_OLDER", high + 1)
        self.refused("d", "keyring", "offer", self.forged(high + 1), code="KEYRING_OLDER")
        self.taken(self.written("d", "add", "later"), "abcd")


if __name__ == "__main__":
    unittest.main(verbosity=2)
