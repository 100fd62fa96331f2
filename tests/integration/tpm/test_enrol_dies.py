#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A TPM that dies, or is locked out, at each of its commands in turn while a node gets a private half, moves to another one, or
seals it anew. Then it works again, and the same command does what it should have done."""
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import Enrolled  # noqa: E402
from wire import Wire  # noqa: E402

LOCKOUT = 0x921


class Walk:
    """`code`: what the TPM answers; None: nothing any more."""
    code = None
    most = 8  # of its commands in turn; then every third, since each takes as long as the opener tries again

    def setUp(self):
        super().setUp()
        tpm = self.board("b")
        self.wire = Wire(tpm)
        self.addCleanup(self.wire.close)
        self.expect(self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", "--out", self.file("b", "request"), "--tpm",
                                 "--tcti", self.wire.tcti), 0)

    def joined(self):
        self.join("b")
        config = self.config_of("b")
        config.write_text(config.read_text().replace('timeout: "30s"', 'timeout: "2s"').replace("timeout: 30s", "timeout: 2s"))

    def clean(self):
        self.wire.heal()
        for what in ("-t", "-l", "-s"):
            self.tpms["b"].tool("tpm2_flushcontext", what)

    def steps(self, count):
        return range(count) if self.code else [*range(min(count, self.most)), *range(self.most, count, 3)]

    def strike(self, command, check):
        """command() with the TPM failing from its first command on, from its second, ...; check(run) once it works again."""
        saved = self.work.with_name(self.work.name + ".saved")
        self.copy(saved)
        self.wire.heal()
        self.expect(command(), 0)
        count = self.wire.seen
        self.assertGreater(count, 7)
        failed = 0
        for at in self.steps(count):
            self.restore(saved)
            self.clean()
            self.wire.fail(at, self.code)
            run = command()
            self.clean()
            with self.subTest(at=at, of=count):
                self.assertIn(run.returncode, (0, 3, 6, 7), run.stdout + run.stderr)
                if run.returncode:
                    failed += 1
                    error = json.loads(run.stderr)["error"]
                    self.assertTrue(error["hint"], error)
                check()
        self.assertGreater(failed, 5)
        self.restore(saved)

    def copy(self, saved):
        shutil.copytree(self.work, saved, symlinks=True)
        self.addCleanup(shutil.rmtree, saved, ignore_errors=True)

    def ends_well(self):
        self.assertTrue(self.opens("b"))
        self.assertEqual(self.kept("b"), ["node.tpm"])
        self.assertFalse(list((self.work / "b").glob("*.join")))
        self.assertEqual(self.tpms["b"].left_behind(), "")

    def test_request_and_install_of_a_new_node(self):
        owner = self.approve("a", "b", self.request("b"))

        def install():
            return self.install("b", owner)

        def check():
            self.expect(install(), 0)
            self.ends_well()

        self.strike(install, check)

    def test_install_in_place_of_another(self):
        self.joined()
        owner = self.approve("a", "b", self.request("b"), "--replace", "b")

        def check():
            self.expect(self.install("b", owner), 0)
            self.ends_well()

        self.strike(lambda: self.install("b", owner), check)

    def test_request_in_place_of_another(self):
        self.joined()
        before = self.sealed("b").read_bytes()

        def request():
            return self.on("b", "node", "request", "--out", self.file("b", "request"), "-o", "json")

        def check():
            self.assertEqual(self.sealed("b").read_bytes(), before)
            self.assertTrue(self.opens("b"))
            self.expect(request(), 0)

        self.strike(request, check)

    def test_recovery_use(self):
        self.joined()

        def check():
            self.expect(self.use("b"), 0)
            self.ends_well()

        self.strike(lambda: self.use("b"), check)

    def test_reseal(self):
        self.joined()

        def reseal():
            return self.on("b", "node", "reseal", "--tpm-policy", "pcr:sha256:14", "-o", "json")

        def check():
            self.assertTrue(self.opens("b"), "the old one or the new one, always")
            self.expect(reseal(), 0)
            self.ends_well()

        self.strike(reseal, check)


class Dies(Walk, Enrolled):
    pass


class LockedOut(Walk, Enrolled):
    code = LOCKOUT


if __name__ == "__main__":
    unittest.main(verbosity=2)
