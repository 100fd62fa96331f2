#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recovery key used, replaced, lost; nodes lost one by one; and every write of it cut."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster  # noqa: E402


class Recovers(Cluster):
    def lose_key(self, node):
        (self.state_of(node) / "opener/node.key").unlink()

    def use(self, node, *more, env=None):
        return self.keyturn("recovery", "use", "--dir", self.work / node, "--key-file", self.recovery, "--yes", "-o", "json", *more, env=env)

    def replace(self, node, to, *more, old=None):
        new = self.work / to
        run = self.on(node, "recovery", "replace", "--yes", "--recovery-out", new, "-o", "json",
                      *(["--key-file", old or self.recovery] if "--lost" not in more else []), *more)
        return new, run

    def replaced(self, node, to, *more):
        """Done, and the new key is the one in force."""
        new, run = self.replace(node, to, *more)
        self.recovery = new if self.expect(run, 0) else None
        self.expect(self.on(node, "recovery", "verify", "--key-file", self.recovery), 0)
        return json.loads(run.stdout)

    def set_owner(self, node, owner):
        lines = self.config_of(node).read_text().splitlines(keepends=True)
        self.config_of(node).write_text("".join(f"owner: {owner}\n" if line.startswith("owner:") else line for line in lines))

    def archive_a_key(self):
        """One key in the archive of a's keyring."""
        first = self.info("a")["keys"][0]["id"]
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        second = self.info("a")["keys"][1]["id"]
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "activate", second)), 0)
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "archive", first)), 0)


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


class Interrupted(Recovers):
    """Killed before and after each call that changes something on disk, and with a full disk there."""

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
