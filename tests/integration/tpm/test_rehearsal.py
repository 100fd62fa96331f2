#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recovery, rehearsed: a TPM that was cleared, another board, changed PCRs. Each time the node cannot open its keyring, its daemon
says why and what to type, and the node comes back: by the recovery key alone, or by another member. Then it serves the same
keys, and unwraps what it wrapped before."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402
from test_policies import key_pair  # noqa: E402

GONE = "another TPM, or a cleared one"


class Calamities:
    """What befalls node b; `lasting`: nothing brings its private half back."""
    policy = ()
    other_policy = ()  # under which the new one is sealed, where the old policy cannot be kept
    lasting = True
    kind = "--tpm"

    def prepare(self):
        """Before b joins."""

    def befall(self):
        raise NotImplementedError

    words = (GONE, "keyturn recovery use")

    # The rehearsals

    def setUp(self):
        super().setUp()
        self.prepare()
        self.join_tpm("b", *self.policy)
        self.start("b")
        self.key, self.wrapped = self.serves("b")[0], self.wrap("b")
        self.stop("b")
        self.before = self.sealed("b").read_bytes()
        self.befall()
        self.said = self.cannot_open("b", self.words[0])
        for words in self.words:
            self.assertIn(words, self.said)

    def is_back(self):
        self.assertEqual(self.serves("b")[0], self.key)
        self.unwraps("b", self.wrapped)
        wrapped = self.wrap("b")
        self.stop("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], self.key)
        for one in (self.wrapped, wrapped):
            self.unwraps("b", one)
        self.assertEqual(self.kept("b"), ["node.tpm"])
        self.assertNotEqual(self.sealed("b").read_bytes(), self.before)
        self.assertFalse(list((self.work / "b").glob("*.join")))
        found = self.check("b")
        self.assertEqual((found["opens"], found["policy"].split(" ")[0]), (True, self.policy_text))
        self.assertEqual(self.tpms["b"].left_behind(), "")

    def refused_first(self, command):
        """What may open again is not given up, and nothing has changed; then it is, as the message says."""
        if self.lasting:
            return ()
        before = self.files()
        run = self.expect(command(), 3, "REFUSED", "--force")
        self.assertIn(self.words[0], run.stderr)
        after = {name: data for name, data in self.files().items() if ".join" not in name and not name.endswith(".log")}
        self.assertEqual(after, {name: data for name, data in before.items() if name in after})
        return ("--force", *self.other_policy)

    def test_by_the_recovery_key_alone(self):
        """No member is left, and the daemon runs."""
        shutil.rmtree(self.work / "a")
        force = self.refused_first(lambda: self.use("b", self.kind))
        self.assertTrue(json.loads(self.expect(self.use("b", self.kind, *force), 0).stdout)["served"])
        self.is_back()
        self.ok("b", "node", "remove", "a", "--key-file", self.recovery, "--yes")
        self.assertEqual(self.names("b"), ["b", "recovery"])

    def test_by_the_recovery_key_without_a_daemon(self):
        self.stop("b")
        force = self.refused_first(lambda: self.use("b", self.kind))
        self.assertFalse(json.loads(self.expect(self.use("b", self.kind, *force), 0).stdout)["served"])
        self.start("b")
        self.is_back()
        self.expect(self.offer("a", of="b"), 0)
        self.assertTrue(self.opens("a"))

    def test_by_another_member(self):
        force = self.refused_first(lambda: self.keyturn("node", "request", "--dir", self.work / "b", self.kind, "--out",
                                                        self.file("b", "request"), "-o", "json"))
        fingerprint = self.request("b", self.kind, *force, "--yes")
        self.assertEqual(self.sealed("b").read_bytes(), self.before, "the old one stays until the new one has opened something")
        owner = self.approve("a", "b", fingerprint, "--replace", "b")
        self.assertEqual(self.sealed("b").read_bytes(), self.before)
        self.assertTrue(json.loads(self.expect(self.install("b", owner), 0).stdout)["served"])
        self.is_back()
        self.assertEqual(self.numbers("a"), self.numbers("b"))


class Cleared(Calamities, Enrolled):
    policy_text = "none"

    def befall(self):
        self.tpms["b"].tool("tpm2_clear")


class AnotherBoard(Calamities, Enrolled):
    policy_text = "none"

    def befall(self):
        self.another_board("b")

    def test_on_the_first_board_again(self):
        """With nothing done meanwhile, the old private half opens there; and nothing made for the other one does."""
        self.stop("b")
        self.first_board_again("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], self.key)
        self.stop("b")
        self.another_board("b")
        self.expect(self.use("b"), 0)
        self.assertTrue(self.opens("b"))
        self.first_board_again("b")
        self.refused("b", "node", "verify", code="NODE_KEY_LOST", status=6, words="another TPM, a cleared one")


class DeadTpm(Calamities, Enrolled):
    """It may answer again; but the node need not wait for another board: its private half goes into a file."""
    lasting = False
    kind = "--no-tpm"
    words = ("the TPM does not answer", "tpm.tcti")

    def befall(self):
        # Not to wait for long each time: it is tried again for a third of that.
        text = self.config_of("b").read_text()
        self.config_of("b").write_text(text.replace('timeout: "30s"', 'timeout: "6s"').replace("timeout: 30s", "timeout: 6s"))
        self.tpms["b"].stop()

    def refused_first(self, command):
        force = super().refused_first(command)
        run = self.use("b", "--tpm", *force)
        self.expect(run, 7, "UNREACHABLE", self.words[0])
        self.assertEqual((self.sealed("b").read_bytes(), self.config_line("b", "recipient")), (self.before, "tpm2"))
        return force

    def is_back(self):
        self.assertEqual(self.serves("b")[0], self.key)
        self.unwraps("b", self.wrapped)
        self.stop("b")
        self.start("b")
        self.unwraps("b", self.wrapped)
        self.assertEqual((self.kept("b"), self.config_line("b", "recipient")), (["node.key"], "file"))

    def test_it_answers_again(self):
        self.tpms["b"].start()
        self.stop("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], self.key)


class OtherPcrs(Calamities, Enrolled):
    policy = ("--tpm-policy", "pcr:sha256:14,16")
    policy_text = "pcr:sha256:14,16"
    lasting = False
    words = ("the PCRs are not those that the key was sealed to", "keyturn node check")

    def befall(self):
        self.tpms["b"].extend(14)

    def test_the_old_pcrs_again(self):
        self.assertEqual([p["pcr"] for p in self.check("b", status=8)["pcrs"] if p["differs"]], [14])
        self.stop("b")
        self.tpms["b"].reboot()
        self.start("b")
        self.assertEqual(self.serves("b")[0], self.key)
        self.assertEqual(self.sealed("b").read_bytes(), self.before)


class NotSigned(Calamities, Enrolled):
    """And the key that signs is not to be had."""
    policy_text = "none"
    other_policy = ("--tpm-policy", "none")
    lasting = False
    words = ("no signature for the present values of the PCRs", "keyturn node sign-pcrs")

    def sign(self, pcr11):
        return self.keyturn("node", "sign-pcrs", "--signing-key", self.private, "--pcrs", "sha256:11,16", "--pcr", f"11={pcr11}", "--pcr",
                            f"16={'0' * 64}", "--out", self.signatures, "-o", "json")

    def prepare(self):
        self.private, public = key_pair(self.work, "k", "ec")
        self.signatures = self.work / "s.json"
        self.expect(self.sign("0" * 64), 0)
        self.policy = ("--tpm-policy", f"signed:sha256:11,16:{public}", "--pcr-signature", self.signatures)

    def befall(self):
        self.tpms["b"].extend(11)

    def sign_present(self):
        values = {p["pcr"]: p["actual"] for p in self.check("b", status=8)["pcrs"]}
        self.expect(self.sign(values[11]), 0)

    def test_signed_again(self):
        """What it says: no recovery key is needed."""
        self.sign_present()
        self.stop("b")
        self.start("b")
        self.assertEqual(self.serves("b")[0], self.key)

    def refused_first(self, command):
        """The policy would be kept, and what is sealed under it must open; without a signature it does not, and nothing changes."""
        force = super().refused_first(command)
        run = self.use("b", "--force")
        self.expect(run, 6, "NODE_KEY", self.words[0])
        self.assertEqual(self.sealed("b").read_bytes(), self.before)
        return force


class NewMachine(Enrolled):
    """All that is left is a keyring from a backup, the recovery key, and a machine with a TPM."""

    def test_with_a_tpm(self):
        self.join_tpm("b")
        self.start("b")
        key, wrapped = self.serves("b")[0], self.wrap("b")
        self.stop("b")
        backup = shutil.copy(self.keyring_of("b"), self.work / "backup.yaml")
        for node in "ab":
            shutil.rmtree(self.work / node)
        self.tpms["b"].stop()
        self.board("n")
        self.expect(self.use("n", "--node", "n", "--keyring", backup, *self.ask("n", "--tpm-policy", "pcr:sha256:14")), 0)
        self.assertEqual(self.kept("n"), ["node.tpm"])
        self.start("n")
        self.assertEqual(self.serves("n")[0], key)
        self.unwraps("n", wrapped)
        for gone in "ab":
            self.ok("n", "node", "remove", gone, "--key-file", self.recovery, "--yes")
        self.join_tpm("m", by="n")
        self.assertEqual(self.names("m"), ["m", "n", "recovery"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
