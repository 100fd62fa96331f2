# SPDX-License-Identifier: Apache-2.0
"""Simulated TPMs of a test's own (swtpm, one process, directory and socket each), and nodes that seal to them."""
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["KEYTURN_BUILD"])
KEYTURN = BUILD / "bin/keyturn"
KEYTURND = BUILD / "sbin/keyturnd"
FAULT = BUILD / "tests/tcti_fault.so"
KILL = BUILD / "tests/fault/libkt_kill_at_write.so"
PATIENCE = 60
LOAD, UNSEAL, READ_PUBLIC, START_SESSION, CREATE_PRIMARY, CREATE, PCR_READ, POLICY_PCR, FLUSH = (
    0x157, 0x15e, 0x173, 0x176, 0x131, 0x153, 0x17e, 0x17f, 0x165)


def until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {patience} s: {what}")


class Tpm:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        self.socket = self.dir / "sock"
        self.tcti = f"swtpm:path={self.socket}"
        self.process = None
        self.start()

    def start(self):
        """Switches it on, as a boot of the machine does: TPM2_Startup(CLEAR), PCRs at their first values."""
        for name in ("sock", "sock.ctrl"):
            (self.dir / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir}", "--server", f"type=unixio,path={self.socket}",
             "--ctrl", f"type=unixio,path={self.socket}.ctrl", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.socket.exists, "swtpm's socket")

    def stop(self):
        if self.process:
            # In an orderly way: one that is cut off counts against the dictionary attack protection.
            self.tool("tpm2_shutdown", "-c", check=False)
            self.process.kill()
            self.process.wait()
            self.process = None

    def reboot(self):
        self.stop()
        self.start()

    def tool(self, name, *arguments, check=True):
        run = subprocess.run([name, *map(str, arguments)], capture_output=True, text=True, cwd=self.dir,
                             env={**os.environ, "TPM2TOOLS_TCTI": self.tcti}, timeout=PATIENCE)
        if check and run.returncode != 0:
            raise AssertionError(f"{name}: {run.stderr}")
        return run.stdout

    def extend(self, pcr, digit="1"):
        self.tool("tpm2_pcrextend", f"{pcr}:sha256={digit * 64}")

    def left_behind(self):
        """Sessions and transient objects that nobody will flush."""
        return self.tool("tpm2_getcap", "handles-loaded-session") + self.tool("tpm2_getcap", "handles-transient")


def faulty(inner, **options):
    """A TCTI that does what goes wrong (tcti_fault.c)."""
    words = ",".join(f"{key.rstrip('_')}={value}" for key, value in options.items())
    return f"{FAULT}:{words};{inner}"


def counts(commands):
    """How often each command is in a log of tcti_fault.c."""
    return collections.Counter(int(code, 16) for code in commands.read_text().split())


class Case(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.dir = self.work / "d"
        self.recovery = self.work / "recovery"
        self.config = self.dir / "keyturn.yaml"
        self.sealed = self.dir / "state/opener/node.tpm"
        self.daemon = None
        self.tpm = self.new_tpm("tpm")

    def new_tpm(self, name):
        tpm = Tpm(self.work / name)
        self.addCleanup(tpm.stop)
        return tpm

    def keyturn(self, *arguments, env=None):
        return subprocess.run([KEYTURN, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=120, env={**os.environ, **(env or {})}, start_new_session=True)

    def init(self, *more, tcti=None):
        return self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, "--tcti",
                            tcti or self.tpm.tcti, *more)

    def node(self, command, *more, env=None):
        return self.keyturn("node", command, "--config", self.config, *more, env=env)

    def expect(self, run, status=0, code=None, words=""):
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        if code:
            error = json.loads(run.stderr.splitlines()[-1])["error"]
            self.assertEqual(error["code"], code, error)
            self.assertIn(words, error["message"] + " " + error["hint"])
            self.assertTrue(error["hint"], error)
        return run

    def opens(self):
        self.expect(self.node("verify"))

    def refuses(self, code, words, status=6):
        return self.expect(self.node("verify", "-o", "json"), status, code, words)

    def check(self, status=0):
        return json.loads(self.expect(self.node("check", "-o", "json"), status).stdout)

    def set_config(self, name, value):
        lines = [f"  {name}: \"{value}\"" if line.startswith(f"  {name}:") else line
                 for line in self.config.read_text().splitlines()]
        self.config.write_text("\n".join(lines) + "\n")

    def set_tcti(self, tcti):
        self.set_config("tcti", tcti)

    def start(self):
        with open(self.work / "log", "ab") as log:
            self.daemon = subprocess.Popen([KEYTURND, "--config", self.config], stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(self.stop)

    def stop(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(PATIENCE)
            self.daemon = None

    def log(self):
        return (self.work / "log").read_text()

    def status(self, *more):
        """status -o json, and what it says on standard error."""
        run = self.keyturn("status", "--config", self.config, "-o", "json", *more)
        return (json.loads(run.stdout) if run.stdout else None), run
