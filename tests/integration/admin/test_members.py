#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that join, get another key and leave: what is made, and what is refused, each by its own name."""
import os
import pathlib
import pty
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import KEYTURN, Cluster  # noqa: E402

NONE = "0" * 64


class Joins(Cluster):
    def test_a_second_node(self):
        before = self.numbers("a")
        installed = self.join("b")
        self.assertEqual((installed["membership"], installed["generation"]), (before[0] + 1, before[1] + 1))
        self.assertEqual(self.keyring_of("a").read_bytes(), self.keyring_of("b").read_bytes())
        self.assertEqual(self.names("b"), ["a", "b", "recovery"])
        self.assertTrue(self.opens("a") and self.opens("b"))
        modes = {name: oct((self.work / "b" / name).stat().st_mode & 0o777)
                 for name in ["keyturn.yaml", "state", "state/opener", "state/opener/node.key", "state/keyring.yaml", "state/audit.log", "state/floor"]}
        self.assertEqual(modes, {"keyturn.yaml": "0o644", "state": "0o711", "state/opener": "0o700", "state/opener/node.key": "0o600",
                                 "state/keyring.yaml": "0o640", "state/audit.log": "0o640", "state/floor": "0o640"})
        left = sorted(p.name for p in self.state_of("b").iterdir())
        self.assertEqual(left, ["audit.log", "floor", "keyring.yaml", "lock", "opener"])
        self.assertFalse(list((self.work / "b").glob("*.join")))
        # What the node pins is what the first one does.
        owner = re.compile(r"^owner: .*$", re.M)
        self.assertEqual(owner.search(self.config_of("a").read_text()).group(), owner.search(self.config_of("b").read_text()).group())

    def test_no_secret_is_in_what_is_carried(self):
        self.join("b")
        scalar = self.state_of("b") / "opener/node.key"
        for carried in ["request", "bundle"]:
            data = self.file("b", carried).read_bytes()
            self.assertNotIn(scalar.read_bytes()[-32:], data)
            self.assertNotIn(self.recovery.read_text().strip().encode(), data)

    def test_words_and_hex_are_the_same_on_both_sides(self):
        fingerprint = self.request("b")
        text = self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", "--out", self.file("b", "request")).stdout
        self.assertIn(fingerprint, text)
        self.assertRegex(text, r"\n  [a-z]+( [a-z]+){15}\n")
        self.approve("a", "b", fingerprint.removeprefix("sha256:").upper())
        self.assertIn(self.ok("a", "node", "list")["words"], self.on("a", "node", "list").stdout)

    def test_approved_again_only_the_bundle_is_made_anew(self):
        fingerprint = self.request("b")
        self.approve("a", "b", fingerprint)
        before = self.keyring_of("a").read_bytes()
        again = self.ok("a", *self.approve_arguments("b", fingerprint))
        self.assertFalse(again["changed"])
        self.assertEqual(self.keyring_of("a").read_bytes(), before)
        self.expect(self.install("b", again["fingerprint"]), 0)
        # And so may be installed again.
        self.expect(self.install("b", again["fingerprint"]), 0)

    def test_the_second_lets_in_a_third(self):
        self.join("b")
        self.join("c", by="b")
        self.assertEqual(self.names("c"), ["a", "b", "c", "recovery"])
        self.expect(self.offer("a", of="c"), 0)
        self.assertTrue(all(self.opens(n) for n in "abc"))

    def test_another_key_for_a_node(self):
        self.join("b")
        old = (self.state_of("b") / "opener/node.key").read_bytes()
        fingerprint = self.request("b")
        self.assertTrue(self.opens("b"), "the present key stays in use until the bundle is installed")
        self.refused("a", *self.approve_arguments("b", fingerprint), code="EXISTS", words="--replace b")
        self.refused("a", *self.approve_arguments("b", fingerprint, "--replace", "a"), code="REFUSED", words="of node b")
        owner = self.approve("a", "b", fingerprint, "--replace", "b")
        self.expect(self.install("b", owner), 0)
        self.assertNotEqual((self.state_of("b") / "opener/node.key").read_bytes(), old)
        self.assertEqual(self.names("b"), ["a", "b", "recovery"])
        self.assertTrue(self.opens("b"))
        self.assertFalse(list((self.work / "b").glob("*.join")))

    def test_dry_run_changes_nothing(self):
        fingerprint = self.request("b")
        before = self.files()
        self.ok("a", *self.approve_arguments("b", fingerprint, "--dry-run"))
        self.assertEqual(self.files(), before)


class Asked(Cluster):
    """Fingerprints are shown on the terminal, and answered there."""

    def dialogue(self, answer, *arguments):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(KEYTURN, [str(KEYTURN), *map(str, arguments)])
        seen = b""
        while True:
            try:
                chunk = os.read(fd, 4096)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
            if b"[y/N] " in chunk:
                os.write(fd, answer + b"\n")
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()

    def test_both_are_shown_and_asked(self):
        fingerprint = self.request("b")
        owner = self.ok("a", "node", "list")
        approve = ["node", "approve", self.file("b", "request"), "--key-file", self.recovery, "--out", self.file("b", "bundle"), "--yes",
                   "--config", self.config_of("a")]
        status, seen = self.dialogue(b"n", *approve)
        self.assertEqual(status, 3, seen)
        self.assertEqual(self.names("a"), ["a", "recovery"])
        status, seen = self.dialogue(b"y", *approve)
        self.assertEqual(status, 0, seen)
        self.assertIn(fingerprint, seen)
        install = ["node", "install", self.file("b", "bundle"), "--dir", self.work / "b"]
        status, seen = self.dialogue(b"", *install)
        self.assertEqual(status, 3, seen)
        self.assertFalse(self.config_of("b").exists())
        status, seen = self.dialogue(b"yes", *install)
        self.assertEqual(status, 0, seen)
        self.assertIn(owner["fingerprint"], seen)
        self.assertIn(owner["words"], seen)
        self.assertTrue(self.opens("b"))


class Refuses(Cluster):
    def setUp(self):
        super().setUp()
        self.fingerprint = self.request("b")

    def unchanged(self, files):
        self.assertEqual({n: d for n, d in self.files().items() if ".join" not in n},
                         {n: d for n, d in files.items() if ".join" not in n})

    def not_installed(self, code, words="", node="b", owner=NONE, bundle=None):
        before = self.files()
        self.expect(self.install(node, owner, bundle=bundle), 3, code, words)
        self.unchanged(before)

    def test_a_request_whose_fingerprint_is_another(self):
        before = self.files()
        self.refused("a", *self.approve_arguments("b", NONE), code="REQUEST_ALTERED")
        self.unchanged(before)

    def test_without_a_terminal_yes_is_not_enough(self):
        arguments = ["node", "approve", self.file("b", "request"), "--key-file", self.recovery, "--yes"]
        self.refused("a", *arguments, code="USAGE", status=2, words="--fingerprint")
        self.refused("a", *self.approve_arguments("b", "12"), code="USAGE", status=2, words="64 hex digits")
        owner = self.approve("a", "b", self.fingerprint)
        run = self.keyturn("node", "install", self.file("b", "bundle"), "--dir", self.work / "b", "--yes", "-o", "json")
        self.expect(run, 2, "USAGE", "--fingerprint")
        self.expect(self.install("b", owner), 0)

    def test_a_request_altered_on_the_way_and_approved_blindly(self):
        """Somebody puts another public key in the place of the node's, and nobody compares."""
        own = self.file("b", "request").read_text()
        self.request("x")
        theirs = self.file("x", "request").read_text()
        key = re.compile(r"publicKey: (.*)")
        self.file("b", "request").write_text(own.replace(key.search(own).group(1), key.search(theirs).group(1)))
        run = self.on("a", *self.approve_arguments("b", NONE), "-o", "json")
        self.expect(run, 3, "REQUEST_ALTERED")
        fingerprint = self.fingerprint_of(self.file("b", "request"))
        owner = self.approve("a", "b", fingerprint)
        self.not_installed("REQUEST_ALTERED", "altered on its way", owner=owner)

    def fingerprint_of(self, path):
        import hashlib
        return hashlib.sha256(b"keyturn.dev/v1 node-request\0" + path.read_bytes()).hexdigest()

    def test_a_bundle_for_another_request(self):
        owner = self.approve("a", "b", self.fingerprint)
        other = self.request("c")
        self.approve("a", "c", other)
        self.not_installed("BUNDLE_REQUEST", owner=owner, bundle=self.file("c", "bundle"))
        self.expect(self.install("b", owner), 0)

    def test_a_bundle_made_without_the_owners_key(self):
        """Another cluster approves the very same request: all is well with its bundle, but for who signed it."""
        strange = self.work / "strange"
        self.expect(self.keyturn("init", "--dir", self.work / "s", "--node", "a", "--yes", "--recovery-out", strange), 0)
        ours = self.approve("a", "b", self.fingerprint)
        good = self.file("b", "bundle").read_bytes()
        self.ok("s", "node", "approve", self.file("b", "request"), "--fingerprint", self.fingerprint, "--key-file", strange, "--out",
                self.file("b", "bundle"))
        theirs = self.file("b", "bundle").read_bytes()
        self.not_installed("BUNDLE_OWNER", owner=ours)
        # Lines and keyring of one, signature of the other; a line that somebody changed.
        signature = re.compile(rb"\nsignature: .*\n")
        forged = self.file("b", "forged")
        for bad in [signature.sub(lambda _: signature.search(theirs).group(), good),
                    good.replace(b"provider: keyturn", b"provider: evilone"),
                    good.replace(re.search(rb"founder: .*", good).group(), re.search(rb"founder: .*", theirs).group())]:
            self.assertNotEqual(bad, good)
            forged.write_bytes(bad)
            self.not_installed("BUNDLE_OWNER", owner=ours, bundle=forged)
        forged.write_bytes(good[:-10])
        self.not_installed("BUNDLE_FORMAT", owner=ours, bundle=forged)
        forged.write_bytes(b"nothing\n")
        self.not_installed("BUNDLE_FORMAT", owner=ours, bundle=forged)
        forged.write_bytes(good)
        self.expect(self.install("b", ours, bundle=forged), 0)

    def test_with_a_recovery_key_of_another_cluster(self):
        other = self.work / "other"
        self.expect(self.keyturn("init", "--dir", self.work / "s", "--yes", "--recovery-out", other), 0)
        before = self.files()
        arguments = ["node", "approve", self.file("b", "request"), "--fingerprint", self.fingerprint, "--key-file", other]
        self.refused("a", *arguments, code="RECOVERY_KEY", status=6)
        self.unchanged(before)

    def test_an_approval_over_a_keyring_that_was_put_back(self):
        """The node's floor knows better than the keyring that lies there."""
        old = self.keyring_of("a").read_bytes()
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        self.keyring_of("a").write_bytes(old)
        self.refused("a", *self.approve_arguments("b", self.fingerprint), code="KEYRING_STALE", words="no longer the newest")
        self.refused("a", "node", "remove", "b", "--key-file", self.recovery, "--yes", code="KEYRING_STALE")
        self.assertFalse(self.file("b", "bundle").exists())

    def test_an_approval_over_less_than_the_node_knows(self):
        self.join("c")
        self.expect(self.on("c", "keyring", "offer", self.edit("c", "add", "second")), 0)
        before = self.keyring_of("c").read_bytes()
        owner = self.approve("a", "c", self.request("c"), "--replace", "c")
        self.not_installed("KEYRING_STALE", "no longer the newest", node="c", owner=owner)
        self.assertEqual(self.keyring_of("c").read_bytes(), before)
        self.assertTrue(self.opens("c"))

    def test_requests_that_are_none(self):
        for text in ["", "nonsense\n", "apiVersion: keyturn.dev/v1\n", self.file("b", "request").read_text() + "more\n"]:
            bad = self.work / "bad"
            bad.write_text(text)
            run = self.on("a", "node", "approve", bad, "--fingerprint", NONE, "-o", "json")
            self.expect(run, 3, "REQUEST_FORMAT")

    def test_files_that_are_something_else(self):
        self.file("b", "bundle").write_text("a diary")
        self.refused("a", *self.approve_arguments("b", self.fingerprint), code="EXISTS")
        self.assertEqual(self.file("b", "bundle").read_text(), "a diary")
        run = self.keyturn("node", "request", "--dir", self.work / "b", "--out", self.file("b", "bundle"), "-o", "json", "--node", "b")
        self.expect(run, 3, "EXISTS")

    def test_wrong_use(self):
        for arguments in [["node", "approve"], ["node", "install"], ["node", "remove"], ["node", "remove", "a", "b"]]:
            self.assertEqual(self.on("a", *arguments, "-o", "json").returncode, 2, arguments)
        self.refused("a", "node", "request", "--node", "z", code="USAGE", status=2, words="this node is a")
        self.refused("a", "node", "install", self.file("b", "request"), "--fingerprint", NONE, code="BUNDLE_FORMAT")


class Leaves(Cluster):
    def test_what_a_removed_node_can_do(self):
        self.join("b")
        self.join("c")
        self.expect(self.offer("b", of="a"), 0)
        first = self.info("a")["keys"]
        removed = self.ok("a", "node", "remove", "c", "--key-file", self.recovery, "--yes")
        self.assertTrue(removed["rotationNeeded"])
        self.assertEqual(self.names("a"), ["a", "b", "recovery"])
        keys = self.info("a")["keys"]
        self.assertEqual([k["id"] for k in keys][:-1], [k["id"] for k in first])
        self.assertEqual((keys[-1]["state"], keys[0]["active"]), ("ready", True))
        self.assertEqual(self.info("a")["stage"], "prepare")
        # It opens nothing that comes after ...
        self.expect(self.offer("c", of="a"), 6, "KEYRING_RECIPIENT")
        # ... and signs nothing that the others take, however high it counts.
        for _ in range(4):
            self.expect(self.on("c", "keyring", "offer", self.edit("c", "enabled", "true")), 0)
        self.assertGreater(self.numbers("c")[1], self.numbers("a")[1])
        self.expect(self.offer("a", of="c"), 3, "KEYRING_OLDER")
        # A node that has not heard of the removal yet takes the removed one's, and then, for all that, the owner's.
        self.expect(self.offer("b", of="c"), 0)
        self.expect(self.offer("b", of="a"), 0)
        self.assertEqual(self.keyring_of("b").read_bytes(), self.keyring_of("a").read_bytes())
        self.assertTrue(self.opens("b"))

    def test_not_oneself_and_not_nobody(self):
        self.join("b")
        before = self.files()
        self.refused("a", "node", "remove", "a", "--key-file", self.recovery, "--yes", code="REFUSED", words="another node")
        self.refused("a", "node", "remove", "z", "--key-file", self.recovery, "--yes", code="REFUSED", words="none that is called z")
        self.refused("a", "node", "remove", "recovery", "--key-file", self.recovery, "--yes", code="REFUSED")
        self.refused("a", "node", "remove", "b", "--key-file", self.recovery, code="USAGE", status=2, words="--yes")
        self.assertEqual(self.files(), before)


class Daemons(Cluster):
    """The same with keyturnd running on each."""

    def test_a_next_generation_is_served_by_all_and_the_removed_one_is_out(self):
        nodes = "abcd"
        self.start("a")
        for node in nodes[1:]:
            self.join(node)
            self.start(node)
        for node in "bc":
            self.expect(self.offer(node, of="a"), 0)
        key, membership, generation = self.serves("a")
        for node in nodes:
            self.assertEqual(self.serves(node), (key, membership, generation))
        made = self.edit("b", "add", "second")
        self.expect(self.on("b", "keyring", "offer", made), 0)
        second = self.info("b")["keys"][1]["id"]
        made = self.edit("b", "activate", second)
        for node in nodes:
            self.expect(self.on(node, "keyring", "offer", made), 0)
            self.assertEqual(self.serves(node), (second, membership, generation + 2))
        self.assertTrue(self.ok("c", "node", "remove", "d", "--key-file", self.recovery, "--yes")["served"])
        for node in "ab":
            self.expect(self.offer(node, of="c"), 0)
            self.assertEqual(self.serves(node), (second, membership + 1, generation + 3))
        self.expect(self.offer("d", of="c"), 6, "KEYRING_RECIPIENT")
        self.assertEqual(self.serves("d"), (second, membership, generation + 2))
        for node in nodes:
            self.stop(node)
        self.start("b")
        self.assertEqual(self.serves("b"), (second, membership + 1, generation + 3))

    def test_another_key_while_it_serves(self):
        self.start("a")
        self.join("b")
        self.start("b")
        key = self.serves("b")[0]
        owner = self.approve("a", "b", self.request("b"), "--replace", "b")
        self.expect(self.install("b", owner), 0)
        self.assertEqual(self.serves("b"), self.serves("a"))
        self.stop("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], key)


if __name__ == "__main__":
    unittest.main(verbosity=2)
