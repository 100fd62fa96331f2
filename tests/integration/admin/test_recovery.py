#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recovery key used, replaced, lost; nodes lost one by one."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Recovers  # noqa: E402


class Uses(Recovers):
    def test_the_node_key_is_gone(self):
        self.join("b")
        key = self.info("a")["keys"][0]["id"]
        self.lose_key("a")
        self.assertFalse(self.opens("a"))
        self.expect(self.use("a"), 0)
        self.assertTrue(self.opens("a"))
        self.assertEqual(self.info("a")["keys"][0]["id"], key)
        self.expect(self.offer("b", of="a"), 0)
        self.assertEqual(self.names("b"), ["a", "b", "recovery"])
        self.assertFalse(list((self.work / "a").glob("*.join")))
        self.assertFalse(list(self.state_of("a").glob("superseded/*")), "nothing that the new private half cannot open")

    def test_a_daemon_that_cannot_open_gets_it(self):
        self.start("a")
        key = self.serves("a")[0]
        self.stop("a")
        self.lose_key("a")
        self.start("a", serving=False)
        self.assertNotEqual(self.on("a", "probe").returncode, 0)
        self.assertTrue(json.loads(self.expect(self.use("a"), 0).stdout)["served"])
        self.assertEqual(self.serves("a")[0], key)

    def test_by_another_member(self):
        self.join("b")
        self.lose_key("b")
        owner = self.approve("a", "b", self.request("b"), "--replace", "b")
        self.expect(self.install("b", owner), 0)
        self.assertTrue(self.opens("b"))

    def test_no_member_is_left(self):
        """All that is left is a keyring from a backup and the recovery key."""
        backup = self.work / "backup.yaml"
        shutil.copy(self.keyring_of("a"), backup)
        key = self.info("a")["keys"][0]["id"]
        owner = self.ok("a", "node", "list")["fingerprint"]
        shutil.rmtree(self.work / "a")
        self.expect(self.use("n", "--node", "n"), 6, "KEYRING_MISSING", "--keyring")
        self.expect(self.use("n", "--node", "n", "--keyring", backup), 0)
        self.assertEqual(self.names("n"), ["a", "n", "recovery"])
        self.assertEqual(self.ok("n", "node", "list")["fingerprint"], owner)
        self.start("n")
        self.assertEqual(self.serves("n")[0], key)
        self.ok("n", "node", "remove", "a", "--key-file", self.recovery, "--yes")
        self.assertEqual(self.names("n"), ["n", "recovery"])
        self.join("a", by="n")
        self.assertTrue(self.opens("a"))

    def test_one_after_the_other_is_lost(self):
        for node in "bcd":
            self.join(node)
        key = self.info("a")["keys"][0]["id"]
        newest = self.work / "newest.yaml"
        shutil.copy(self.keyring_of("a"), newest)
        for node in "abc":
            shutil.rmtree(self.work / node)
            by = chr(ord(node) + 1)
            self.expect(self.on(by, "keyring", "offer", newest), 0)
            self.ok(by, "node", "remove", node, "--key-file", self.recovery, "--yes")
            shutil.copy(self.keyring_of(by), newest)
        shutil.rmtree(self.work / "d")
        self.expect(self.use("e", "--node", "e", "--keyring", newest), 0)
        self.start("e")
        self.assertEqual(self.serves("e")[0], key)

    def test_the_state_directory_is_gone(self):
        backup = self.work / "backup.yaml"
        shutil.copy(self.keyring_of("a"), backup)
        key = self.info("a")["keys"][0]["id"]
        shutil.rmtree(self.state_of("a"))
        self.expect(self.use("a"), 6, "KEYRING_MISSING", "--keyring")
        self.expect(self.use("a", "--keyring", backup), 0)
        self.start("a")
        self.assertEqual(self.serves("a")[0], key)

    def test_refused(self):
        self.join("b")
        old = self.work / "old.yaml"
        shutil.copy(self.keyring_of("a"), old)
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        self.lose_key("a")
        before = self.files()
        self.expect(self.use("a", "--keyring", old), 3, "KEYRING_STALE")
        other = self.work / "other"
        self.expect(self.keyturn("init", "--dir", self.work / "s", "--yes", "--recovery-out", other), 0)
        run = self.keyturn("recovery", "use", "--dir", self.work / "a", "--key-file", other, "--yes", "-o", "json")
        self.expect(run, 6, "RECOVERY_KEY")
        same = {n: d for n, d in self.files().items() if n in before and ".join" not in n}
        self.assertEqual(same, {n: d for n, d in before.items() if ".join" not in n})
        self.expect(self.use("a"), 0)
        self.assertTrue(self.opens("a"))


class Replaces(Recovers):
    def test_twice_while_a_node_sleeps(self):
        self.join("b")
        self.join("c")
        self.archive_a_key()
        founder = self.ok("a", "node", "list")["fingerprint"]
        first, before = self.recovery, self.numbers("a")
        asleep = self.keyring_of("b").read_bytes()
        second = self.replaced("a", "second")
        self.assertEqual((second["archivedKeysLost"], second["membership"]), (0, before[0] + 1))
        self.expect(self.offer("c", of="a"), 0)
        middle = self.recovery
        self.replaced("c", "third")
        self.assertEqual(self.keyring_of("b").read_bytes(), asleep)
        for node in "ab":
            self.expect(self.offer(node, of="c"), 0)
            self.assertTrue(self.opens(node))
            self.assertIn(founder, self.config_of(node).read_text())
            self.assertNotEqual(self.ok(node, "node", "list")["fingerprint"], founder)
        for old in [first, middle]:
            self.refused("a", "recovery", "verify", "--key-file", old, code="KEYRING_RECIPIENT", status=6)
            self.refused("a", "node", "remove", "b", "--key-file", old, "--yes", code="RECOVERY_KEY", status=6)
        # The chain is what a new node gets, and it compares the present owner.
        fingerprint = self.request("d")
        owner = self.approve("b", "d", fingerprint)
        self.assertNotEqual(owner, founder)
        self.expect(self.install("d", founder), 3, "BUNDLE_OWNER")
        self.expect(self.install("d", owner), 0)
        self.assertIn(founder, self.config_of("d").read_text())

    def test_who_was_replaced_does_not_come_back(self):
        self.join("b")
        shutil.copytree(self.work / "b", self.work / "thief")
        text = self.config_of("thief").read_text()
        self.config_of("thief").write_text(text.replace(f"{self.work}/b/", f"{self.work}/thief/"))
        stolen = self.recovery
        self.replaced("a", "second")
        self.expect(self.offer("b", of="a"), 0)
        for name in ["x", "y", "z"]:
            fingerprint = self.request(name)
            self.ok("thief", "node", "approve", self.file(name, "request"), "--fingerprint", fingerprint, "--key-file", stolen, "--out",
                    self.file(name, "bundle"))
        self.assertGreater(self.numbers("thief")[0], self.numbers("a")[0])
        for node in "ab":
            self.expect(self.offer(node, of="thief"), 6, "KEYRING_OWNER")

    def test_the_new_one_must_be_new_and_the_old_one_right(self):
        before = self.files()
        other = self.work / "other"
        self.expect(self.keyturn("init", "--dir", self.work / "s", "--yes", "--recovery-out", other), 0)
        self.assertEqual(self.replace("a", "second", old=other)[1].returncode, 6)
        self.assertFalse((self.work / "second").exists())
        self.expect(self.replace("a", "recovery")[1], 3, "EXISTS")
        run = self.on("a", "recovery", "replace", "--key-file", self.recovery, "--yes", "-o", "json")
        self.expect(run, 2, "USAGE", "--recovery-out")
        run = self.on("a", "recovery", "replace", "--key-file", self.recovery, "--recovery-out", self.work / "second", "-o", "json")
        self.expect(run, 2, "USAGE", "--yes")
        self.assertEqual({n: d for n, d in self.files().items() if n in before}, before)

    def test_lost(self):
        self.join("b")
        self.archive_a_key()
        self.expect(self.offer("b", of="a"), 0)
        self.start("b")
        key = self.serves("b")[0]
        lost = self.recovery.rename(self.work / "lost")
        run = self.replace("a", "second", "--lost")[1]
        self.recovery = self.work / "second"
        answer = json.loads(self.expect(run, 0).stdout)
        self.assertEqual(answer["archivedKeysLost"], 1)
        self.assertTrue(self.opens("a"))
        self.assertFalse(list((self.work / "a").glob("*.refound")))
        self.assertIn(answer["fingerprint"], self.config_of("a").read_text())
        self.assertEqual(len([p for p in self.state_of("a").rglob("superseded/*")]), 0)
        # Not before root has pinned it.
        self.expect(self.offer("b", of="a"), 6, "KEYRING_OWNER")
        self.set_owner("b", answer["fingerprint"])
        self.expect(self.offer("b", of="a"), 0)
        self.assertEqual(self.serves("b")[0], key)
        self.stop("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], key)
        self.assertFalse((self.state_of("b") / "superseded").exists() and list((self.state_of("b") / "superseded").iterdir()))
        # The old chain counts for nothing any more.
        self.refused("b", "node", "remove", "a", "--key-file", lost, "--yes", code="RECOVERY_KEY", status=6)
        self.join("c", by="b")
        self.assertTrue(self.opens("c"))

    def test_lost_says_so(self):
        self.archive_a_key()
        run = self.on("a", "recovery", "replace", "--lost", "--yes", "--recovery-out", self.work / "second")
        self.assertIn("The archive is lost: 1 retired key can be opened only with the old recovery key.", self.expect(run, 0).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
