#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between the opener and its TPM: each transient code, codes that are never tried again, a TPM that hangs, dies
in mid-command or answers nonsense, somebody on the wire who swaps the storage root key, and devices that cannot be opened."""
import os
import pathlib
import re
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tpm  # noqa: E402
from tpm import (BUILD, CREATE, CREATE_PRIMARY, FLUSH, LOAD, PCR_READ, POLICY_PCR, READ_PUBLIC, START_SESSION, UNSEAL, Case,  # noqa: E402
                 faulty, until)

TRANSIENT = [0x922, 0x908, 0x90a, 0x920, 0x923, 0x902, 0x903, 0x904, 0x905, 0x906, 0x909]
FINAL = [(0x98e, "password"), (0x921, "locked out"), (0x99d, "the PCRs are not those"), (0x12f, "policy only"), (0x126, "not fulfilled"),
         (0x101, "failure mode"), (0x1c4, "refuses")]


class Fault(Case):
    def setUp(self):
        super().setUp()
        self.commands = self.work / "commands"
        self.expect(self.init())

    def through(self, **options):
        """From here on, what is done to the TPM goes through the module."""
        self.commands.unlink(missing_ok=True)
        self.set_tcti(faulty(self.tpm.tcti, log=self.commands, **options))

    def counts(self):
        return tpm.counts(self.commands)


class Retries(Fault):
    def test_nothing_wrong(self):
        self.through()
        self.opens()
        counts = self.counts()
        self.assertEqual((counts[UNSEAL], counts[LOAD], counts[START_SESSION]), (1, 1, 1), counts)
        self.assertNotIn(CREATE_PRIMARY, counts)
        self.assertEqual(self.tpm.left_behind(), "")

    def test_each_transient_code_at_each_command(self):
        for code in TRANSIENT:
            for command in (UNSEAL, LOAD, START_SESSION, READ_PUBLIC):
                with self.subTest(code=hex(code), command=hex(command)):
                    # Some are repeated by tpm2-tss itself, four times and without a pause.
                    times = 6 if code in (0x922, 0x908, 0x90a) else 3
                    self.through(do="code", code=hex(code), command=hex(command), times=times)
                    self.opens()
                    self.assertEqual(self.counts()[command], times + 1)
        self.assertEqual(self.tpm.left_behind(), "")

    def test_with_back_off_and_not_for_ever(self):
        self.through(do="code", code="0x923", command=hex(UNSEAL), times=100000)
        begin = time.monotonic()
        self.refuses("NODE_KEY", "not available")
        self.assertLess(time.monotonic() - begin, 12)
        self.assertLess(self.counts()[UNSEAL], 20, "the pauses grow")
        self.assertEqual(self.tpm.left_behind(), "")

    def test_never_again(self):
        for code, words in FINAL:
            with self.subTest(code=hex(code)):
                self.through(do="code", code=hex(code), command=hex(UNSEAL), times=2)
                self.refuses("NODE_KEY_LOST" if code in (0x98e, 0x12f) else "NODE_KEY", words)
                self.assertEqual(self.counts()[UNSEAL], 1)
        self.through(do="code", code="0x1df", command=hex(LOAD), times=2)
        self.refuses("NODE_KEY_LOST", "does not fit")
        self.assertEqual(self.counts()[LOAD], 1)
        self.assertEqual(self.tpm.left_behind(), "")

    def test_pcr_changed(self):
        self.expect(self.node("reseal", "--tpm-policy", "pcr:sha256:16"))
        for times, opens in ((1, True), (30, True), (31, False)):
            with self.subTest(times=times):
                self.through(do="code", code="0x128", command=hex(UNSEAL), times=times)
                begin = time.monotonic()
                if opens:
                    self.opens()
                else:
                    self.refuses("NODE_KEY", "extended again and again")
                counts = self.counts()
                self.assertEqual(counts[UNSEAL], min(times, 30) + 1)
                self.assertEqual(counts[POLICY_PCR], min(times, 30) + 1, "each time with a new session")
                self.assertLess(time.monotonic() - begin, 20)
        self.through(do="code", code="0x128", command=hex(POLICY_PCR), times=2)
        self.opens()
        self.assertEqual(self.tpm.left_behind(), "")

    def test_io_errors(self):
        for command in (READ_PUBLIC, START_SESSION, LOAD, UNSEAL):
            with self.subTest(command=hex(command)):
                self.through(do="io", command=hex(command), times=1)
                self.opens()
                self.assertEqual(self.counts()[command], 2)
                # Without a resource manager, what the lost connection had loaded stays.
                self.tpm.tool("tpm2_flushcontext", "-l")
                self.tpm.tool("tpm2_flushcontext", "-t")
        self.through(do="io", command=hex(READ_PUBLIC), times=100000)
        self.refuses("UNREACHABLE", "stopped answering", status=7)

    def test_a_deadline(self):
        self.set_config("timeout", "2s")
        self.through(do="hang", command=hex(UNSEAL), times=1)
        begin = time.monotonic()
        self.refuses("TIMEOUT", "hung TPM", status=7)
        self.assertLess(time.monotonic() - begin, 10)

    def test_answers_that_are_none(self):
        for do in ("short", "header", "garbage", "flip"):
            for command in (READ_PUBLIC, START_SESSION, LOAD, UNSEAL):
                if (do, command) == ("flip", READ_PUBLIC):
                    continue  # the qualified name, which nothing depends on
                with self.subTest(do=do, command=hex(command)):
                    self.through(do=do, command=hex(command), times=1)
                    run = self.node("verify", "-o", "json")
                    self.assertIn(run.returncode, (6, 7), run.stdout + run.stderr)
                    self.assertIn("TPM", run.stderr.upper())
                    self.assertNotIn("SIGSYS", run.stderr)
                    self.tpm.tool("tpm2_flushcontext", "-l")
                    self.tpm.tool("tpm2_flushcontext", "-t")
        self.through()
        self.opens()

    def test_an_unseal_answer_with_one_bit_changed(self):
        self.through(do="flip", command=hex(UNSEAL), times=1)
        self.refuses("NODE_KEY", "forged")


class Interposer(Fault):
    def test_swapped_storage_root_key(self):
        """Whoever swaps the SRK on the wire would learn the session's salt, and with it what is unsealed."""
        self.through(do="swap", command=hex(READ_PUBLIC), times=100000)
        self.opens()
        self.assertIn(CREATE_PRIMARY, self.counts(), "the key at the handle is not the pinned one, so it is made again")
        self.commands.unlink()
        self.expect(self.node("check"))
        self.assertNotIn(START_SESSION, self.counts())

    def test_no_session_is_started_with_a_key_that_is_not_the_pinned_one(self):
        self.tpm.tool("tpm2_clear")
        self.tpm.tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx")
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "p.ctx", "0x81000001")
        self.tpm.tool("tpm2_flushcontext", "-t")
        self.through()
        self.refuses("NODE_KEY_LOST", "is not the one that this node's key was sealed under")
        counts = self.counts()
        self.assertNotIn(START_SESSION, counts)
        self.assertNotIn(LOAD, counts)


class Making(Case):
    """Sealing for the first time."""

    def test_a_race_for_the_handle(self):
        log = self.work / "commands"
        # Somebody else takes the handle between our look and our EvictControl, which answers 0x14c.
        self.expect(self.init(tcti=faulty(self.tpm.tcti, do="code", code="0x14c", command="0x120", times=1, log=log)))
        self.set_tcti(self.tpm.tcti)
        self.opens()
        self.assertEqual(self.check()["parent"]["handle"], 0x81000001)

    def test_no_room_for_a_persistent_key(self):
        self.expect(self.init(tcti=faulty(self.tpm.tcti, do="code", code="0x14b", command="0x120", times=1)))
        self.set_tcti(self.tpm.tcti)
        self.assertEqual(self.tpm.tool("tpm2_getcap", "handles-persistent"), "")
        self.opens()
        self.assertEqual(self.check()["parent"]["handle"], 0)

    def test_a_tpm_without_p256(self):
        # TPM_RC_CURVE of the second parameter
        self.expect(self.init(tcti=faulty(self.tpm.tcti, do="code", code="0x2e6", command=hex(CREATE_PRIMARY), times=1)))
        self.set_tcti(self.tpm.tcti)
        self.assertEqual(self.check()["parent"]["type"], "rsa")
        self.opens()
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001")
        self.opens()

    def test_transient_codes_while_sealing(self):
        for i, code in enumerate(TRANSIENT):
            with self.subTest(code=hex(code)):
                self.dir = self.work / f"d{i}"
                self.recovery = self.work / f"recovery{i}"
                self.config = self.dir / "keyturn.yaml"
                self.expect(self.init(tcti=faulty(self.tpm.tcti, do="code", code=hex(code), command=hex(CREATE), times=3)))
        self.assertEqual(self.tpm.left_behind(), "")

    def test_a_failed_init_leaves_nothing(self):
        for code, words in ((0x921, "locked out"), (0x9a2, "password")):
            self.expect(self.init("-o", "json", tcti=faulty(self.tpm.tcti, do="code", code=hex(code), command=hex(CREATE), times=9)), 6,
                        "NODE_KEY", words)
            self.assertFalse(self.config.exists() or self.recovery.exists())
            self.assertFalse(list(self.dir.glob("state*/opener/node.tpm")))
        self.expect(self.init())


class Devices(Fault):
    """tpm2-tss reports all of these alike (0xa000a); an operator has to do something else about each."""

    def test_no_device(self):
        self.set_tcti("device:/nonexistent/tpmrm0")
        self.refuses("UNREACHABLE", "has no TPM, or it is not up yet", status=7)

    def test_no_permission(self):
        device = self.work / "tpmrm0"
        device.touch(mode=0o000)
        self.set_tcti(f"device:{device}")
        if os.geteuid() == 0:
            self.as_another_account(device)
        else:
            self.refuses("PERMISSION", "usermod -aG tss", status=3)

    def as_another_account(self, device):
        """Root may open anything: the opener runs under another account here."""
        uid = 54321
        for path in (self.work, self.dir, self.dir / "state"):
            path.chmod(0o755)
        for path in (self.dir / "state/opener", self.sealed):
            os.chown(path, uid, uid)
        self.set_config("opener", f"{uid}:{uid}")
        self.refuses("PERMISSION", "usermod -aG tss", status=3)

    def test_busy_and_dead(self):
        dead = self.work / "dead"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(dead))
        self.set_tcti(f"device:{dead}")  # ENXIO, as a driver answers whose chip is gone
        self.refuses("UNREACHABLE", "the TPM is dead", status=7)

    def test_no_simulator(self):
        self.tpm.stop()
        self.refuses("UNREACHABLE", "the TPM does not answer", status=7)

    def test_no_module(self):
        self.set_tcti("nonesuch:x")
        self.refuses("CONFIG", "no such TCTI module", status=2)
        self.set_tcti(faulty(self.tpm.tcti, do="nonsense"))
        self.refuses("CONFIG", "refuses its configuration", status=2)

    def test_healthz_and_a_tpm_that_comes_up_late(self):
        self.tpm.stop()
        self.start()
        healthz = until(lambda: self.said("the TPM does not answer"), "healthz says why")
        self.assertIn("tpm.tcti", healthz)
        self.tpm.start()
        self.expect(self.keyturn("status", "--wait", "60", "--config", self.config))
        self.expect(self.keyturn("probe", "--config", self.config))

    def said(self, words):
        status, _ = self.status()
        healthz = (status or {}).get("daemon", {}).get("healthz", "")
        return healthz if words in healthz else None


class Daemon(Fault):
    def test_commands_and_unseals_at_a_start(self):
        """One unseal, however many keys."""
        self.through()
        self.start()
        self.expect(self.keyturn("status", "--wait", "30", "--config", self.config))
        counts = self.counts()
        print(f"figures: a start took {sum(counts.values())} TPM commands, {counts[UNSEAL]} unseal")
        self.assertEqual(counts[UNSEAL], 1)

    def test_killed_in_mid_unseal(self):
        self.set_config("timeout", "2s")
        self.through(do="hang", command=hex(UNSEAL), times=1)
        self.start()
        until(lambda: "opener-timeout" in self.log(), "the opener is stopped")
        self.tpm.tool("tpm2_flushcontext", "-l")  # what a resource manager does
        self.tpm.tool("tpm2_flushcontext", "-t")
        self.set_tcti(self.tpm.tcti)
        self.expect(self.keyturn("status", "--wait", "60", "--config", self.config))


class LogIsOff(Fault):
    def test_whatever_the_environment_says(self):
        run = self.node("verify", env={"TSS2_LOG": "all+TRACE", "TSS2_LOGFILE": str(self.work / "trace")})
        self.expect(run)
        self.assertNotIn("TRACE", run.stderr)
        trace = self.work / "trace"
        self.assertFalse(trace.exists() and trace.stat().st_size)


if __name__ == "__main__":
    unittest.main(verbosity=2)
