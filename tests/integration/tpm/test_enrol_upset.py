#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A private half that takes another's place, cut short where they have changed places; and then not the same command comes, but
another bundle, a newer keyring, another command, or a TPM that does not answer. What opens a keyring is never lost."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402
from cluster import BOTH  # noqa: E402
from program import KEYTURN, Terminal, fault  # noqa: E402


class Exchanged(Enrolled):
    def cut(self, node, command):
        """command(env) killed at its first write after the exchange."""
        saved = self.work.with_name(self.work.name + ".saved")
        shutil.copytree(self.work, saved, symlinks=True)
        self.addCleanup(shutil.rmtree, saved, ignore_errors=True)
        mark = self.folder(node) / "exchanged"
        for at in range(1, self.writes(command, BOTH) + 1):
            self.restore(saved)
            command(fault(at, "kill", BOTH))
            if mark.exists():
                return
        self.fail("it was never cut between exchange and offer")

    def rest(self, node):
        """What is left when all is done: one private half, which opens the keyring."""
        self.assertTrue(self.opens(node))
        self.assertEqual(len(self.kept(node)), 1)
        self.assertFalse(list((self.work / node).glob("*.join")))

    def again(self, node, *more):
        return self.keyturn("node", "request", "--dir", self.work / node, "--out", self.file(node, "request"), "-o", "json", *more)


class Install(Exchanged):
    def setUp(self):
        super().setUp()
        self.join_tpm("b")
        self.fingerprint = self.request("b", "--tpm")
        self.owner = self.approve("a", "b", self.fingerprint, "--replace", "b")
        self.cut("b", lambda env: self.install("b", self.owner, env=env))

    def newer(self):
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)

    def test_a_newer_keyring_came_meanwhile(self):
        self.newer()
        self.expect(self.offer("b", of="a"), 0)
        installed = json.loads(self.expect(self.install("b", self.owner), 0).stdout)
        self.assertEqual((installed["membership"], installed["generation"]), self.numbers("a"))
        self.rest("b")

    def test_the_request_is_approved_again(self):
        self.newer()
        first = shutil.copy(self.file("b", "bundle"), self.work / "first")
        self.approve("a", "b", self.fingerprint, "--replace", "b")
        before = self.files()
        wrong = self.file("b", "bundle").read_bytes()
        (self.work / "wrong").write_bytes(wrong.replace(b"provider: keyturn", b"provider: evilone"))
        self.expect(self.install("b", self.owner, bundle=self.work / "wrong"), 3, "BUNDLE_OWNER")
        self.assertEqual({n: d for n, d in self.files().items() if n in before}, before, "what a refused one leaves as it was")
        self.expect(self.install("b", self.owner), 0)
        self.assertEqual(self.numbers("b"), self.numbers("a"))
        self.rest("b")
        self.expect(self.install("b", self.owner, bundle=first), 3, "REFUSED")
        self.rest("b")

    def test_another_command_comes(self):
        self.expect(self.again("b", "--no-tpm", "--force", "--yes"), 3, "EXISTS", "finished now")
        self.assertEqual(self.numbers("b"), self.numbers("a"))
        self.rest("b")

    def test_the_recovery_key_is_used(self):
        answer = json.loads(self.expect(self.use("b"), 0).stdout)
        self.assertEqual((answer["membership"], answer["generation"]), self.numbers("a"), "nothing new had to be made")
        self.rest("b")

    def test_the_tpm_does_not_answer(self):
        half = self.sealed("b").read_bytes()
        self.tpms["b"].stop()
        for command in (lambda: self.install("b", self.owner), lambda: self.again("b", "--no-tpm", "--force", "--yes"), lambda: self.use("b")):
            self.expect(command(), 7, "UNREACHABLE")
            self.assertEqual(self.sealed("b").read_bytes(), half)
        self.tpms["b"].start()
        self.expect(self.install("b", self.owner), 0)
        self.assertEqual(self.sealed("b").read_bytes(), half)
        self.rest("b")

    def test_a_dry_run(self):
        before = self.files()
        run = self.keyturn("node", "install", self.file("b", "bundle"), "--dir", self.work / "b", "--fingerprint", self.owner, "--dry-run",
                           "-o", "json")
        self.assertFalse(json.loads(self.expect(run, 0).stdout)["changed"])
        self.assertEqual(self.files(), before)


class Use(Exchanged):
    def test_another_command_comes(self):
        self.join_tpm("b")
        self.cut("b", lambda env: self.use("b", "--tpm", env=env))
        half = self.sealed("b").read_bytes()
        self.expect(self.again("b"), 3, "EXISTS", "finished now")
        self.assertEqual(self.sealed("b").read_bytes(), half)
        self.rest("b")
        self.expect(self.again("b"), 0)


class Overtaken(Exchanged):
    """While the owner's fingerprint is compared, another membership comes into force, which does not have the new private half."""

    def overtake(self):
        self.join("c")
        self.expect(self.offer("b", of="c"), 0)
        ask = () if "b" in self.tpms else (self.board("b"), self.ask("b"))[1]
        fingerprint = self.request("b", *ask)
        owner = self.approve("a", "b", fingerprint, "--replace", "b")
        old, config = {p.name: p.read_bytes() for p in self.folder("b").iterdir()}, self.config_of("b").read_text()
        self.approve("c", "d", self.request("d"))
        self.expect(self.on("c", "keyring", "offer", self.edit("c", "add", "second")), 0)
        with Terminal(KEYTURN, "node", "install", self.file("b", "bundle"), "--dir", self.work / "b", "-o", "json") as terminal:
            terminal.until(b"[y/N] ")
            self.expect(self.offer("b", of="c"), 0)
            terminal.type("y")
            self.assertEqual(terminal.end(), 3)
            self.assertIn(b"KEYRING_STALE", terminal.seen)
        self.assertEqual({p.name: p.read_bytes() for p in self.folder("b").iterdir()}, old, "the old one is in use again")
        self.assertEqual(self.config_line("b", "recipient"), "tpm2" if "node.tpm" in old else "file")
        self.assertEqual(self.config_of("b").read_text().splitlines()[:6], config.splitlines()[:6])
        self.assertTrue(self.opens("b"))
        # What the refusal says to do.
        self.expect(self.offer("a", of="b"), 0)
        self.approve("a", "b", fingerprint, "--replace", "b")
        self.expect(self.install("b", owner), 0)
        self.assertEqual((self.kept("b"), self.numbers("b")), (["node.tpm"], self.numbers("a")))
        self.rest("b")

    def test_in_the_tpm(self):
        self.join_tpm("b")
        self.overtake()

    def test_in_a_file(self):
        self.join("b")
        self.overtake()


class Older(Exchanged):
    def test_a_bundle_older_than_what_the_node_has(self):
        """Another member's membership was in force before: nothing is asked, exchanged or written."""
        self.join("c")
        self.join_tpm("b")
        self.expect(self.offer("c", of="b"), 0)
        owner = self.approve("a", "b", self.request("b", "--tpm"), "--replace", "b")
        self.approve("c", "d", self.request("d"))
        self.expect(self.on("c", "keyring", "offer", self.edit("c", "add", "second")), 0)
        self.expect(self.offer("b", of="c"), 0)
        before = self.files()
        run = self.keyturn("node", "install", self.file("b", "bundle"), "--dir", self.work / "b", "--fingerprint", owner[::-1], "-o", "json")
        self.expect(run, 3, "KEYRING_STALE")
        changed = {name for name, data in self.files().items() if before.get(name) != data}
        self.assertLessEqual(changed, {"b/state.join/work.yaml"})
        self.assertTrue(self.opens("b"))


class NotGivenUp(Enrolled):
    """What may open again is not given up without --force, whatever has become of the keyring beside it."""

    def refused(self, words, *more):
        before = self.sealed("b").read_bytes()
        backup = shutil.copy(self.keyring_of("a"), self.work / "backup")
        request = ("node", "request", "--dir", self.work / "b", "--out", self.file("b", "request"), "-o", "json", *more)
        self.expect(self.keyturn(*request), 3, "REFUSED", words)
        self.expect(self.use("b", "--keyring", backup, *more), 3, "REFUSED", words)
        self.assertEqual(self.sealed("b").read_bytes(), before)
        self.assertFalse((self.work / "b/state.join/opener").exists())
        self.expect(self.use("b", "--keyring", backup, "--force", *more), 0)
        self.assertTrue(self.opens("b"))

    def other_pcrs(self):
        self.join_tpm("b", "--tpm-policy", "pcr:sha256:14")
        self.tpms["b"].extend(14)

    def test_the_keyring_is_gone(self):
        self.other_pcrs()
        self.keyring_of("b").unlink()
        self.refused("the PCRs are not those")

    def test_the_keyring_is_damaged(self):
        self.other_pcrs()
        self.keyring_of("b").write_text("nonsense\n")
        self.refused("the PCRs are not those")

    def test_a_tcti_that_does_not_exist(self):
        self.join_tpm("b")
        text = self.config_of("b").read_text()
        self.config_of("b").write_text(text.replace(f'"{self.tpms["b"].tcti}"', '"nonesuch:x"'))
        self.refused("no such TCTI module", "--no-tpm")

    def test_wrong_mode(self):
        self.join_tpm("b")
        self.sealed("b").chmod(0o640)
        self.refused("mode", "--no-tpm")


class Replayed(Enrolled):
    def test_an_old_bundle(self):
        self.join_tpm("b")
        bundle = shutil.copy(self.file("b", "bundle"), self.work / "old")
        owner = self.ok("a", "node", "list")["fingerprint"]
        self.assertFalse(json.loads(self.expect(self.install("b", owner, bundle=bundle), 0).stdout)["changed"])
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        self.expect(self.offer("b", of="a"), 0)
        before = self.files()
        self.expect(self.install("b", owner, bundle=bundle), 3, "REFUSED", "no request of this node")
        self.request("b")
        self.expect(self.install("b", owner, bundle=bundle), 3, "BUNDLE_REQUEST")
        self.assertEqual({n: d for n, d in self.files().items() if ".join" not in n and n != "b.request"},
                         {n: d for n, d in before.items() if n != "b.request"})

    def test_nothing_is_left_of_a_refusal(self):
        self.join_tpm("b")
        self.expect(self.on("b", "keyring", "offer", self.edit("b", "add", "second")), 0)
        self.expect(self.install("b", "0" * 64), 3, "REFUSED")
        self.assertFalse(list((self.work / "b").glob("*.join")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
