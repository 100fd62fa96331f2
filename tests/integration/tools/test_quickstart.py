#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/quickstart as somebody runs it who has just cloned the tree: from a folder of his own, with nothing built."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kmsplugin"))
from daemon import PATIENCE, until  # noqa: E402

SOURCE = pathlib.Path(os.environ["KEYTURN_SOURCE"])
BUILD_S = 600


def default_interrupt():
    """A shell cannot trap what was ignored when it began, as it is where the suite runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def setUpModule():
    global TREE
    work = tempfile.mkdtemp(prefix="kt.")
    unittest.addModuleCleanup(shutil.rmtree, work, ignore_errors=True)
    TREE = pathlib.Path(work) / "tree"
    shutil.copytree(SOURCE, TREE, symlinks=True, ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.tmp = self.work / "tmp"
        self.caller = self.work / "caller"
        self.tmp.mkdir()
        self.caller.mkdir()
        self.env = {**os.environ, "TMPDIR": str(self.tmp)}
        # A copy of the sources has no build tree to be told of.
        self.env.pop("KEYTURN_BUILD", None)

    def left(self):
        """Processes that run from the copied tree or serve in the caller's folder."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes()
            except OSError:
                continue
            if str(TREE).encode() in words or str(self.work).encode() in words:
                found.append(words)
        return found

    def start(self, *words):
        with open(self.work / "said", "w") as out:
            process = subprocess.Popen([TREE / "tools/quickstart", *words], cwd=self.caller, env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out, start_new_session=True, preexec_fn=default_interrupt)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        """Whatever is left of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

    def said(self):
        return (self.work / "said").read_text()

    def run_it(self, *words, status=0):
        process = self.start(*words)
        process.wait(BUILD_S)
        self.assertEqual(process.returncode, status, self.said())
        self.assertEqual(self.left(), [])
        return self.said()

    def assert_told(self, said, place):
        """The round trip, the configuration, and what to do next."""
        key_id = re.search(r"(?m)^Status: +ok, key_id ([0-9a-f]{32}) ", said).group(1)
        self.assertRegex(said, r"(?m)^Encrypt: a DEK seed of 32 bytes became \d+ bytes, ")
        self.assertRegex(said, r"(?m)^Decrypt: the same 32 bytes came back ")
        written = (place / "encryption-config.yaml").read_text()
        self.assertIn(written, said)
        self.assertIn("kind: EncryptionConfiguration\n", written)
        self.assertIn(f"endpoint: unix://{place}/run/kms/kms.sock\n", written)
        self.assertIn(f"--encryption-provider-config={place}/encryption-config.yaml", said)
        self.assertIn(f"keep {place}/recovery-key offline", said)
        return key_id

    def typed(self, line):
        return subprocess.run(["bash", "-c", line], cwd=self.caller, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout

    def test_a_folder_of_the_caller_twice(self):
        for name in ("here", "../there", str(self.work / "absolute")):
            with self.subTest(name=name):
                place = pathlib.Path(os.path.normpath(self.caller / name))
                said = self.run_it("--dir", name)
                first = self.assert_told(said, place)
                self.assertIn("keyturnd was stopped again", said)
                self.assertFalse((place / "run/kms/kms.sock").exists())
                again = self.run_it("--dir", name)
                self.assertIn("has a keyring already", again)
                self.assertEqual(self.assert_told(again, place), first)
        self.run_it("--dir", "h h", status=2)  # whose sockets no client could reach
        self.assertEqual(os.listdir(self.caller), ["here"])
        self.assertEqual(os.listdir(self.tmp), [])
        before = {path.name for path in SOURCE.iterdir()} | {"build"}
        self.assertLessEqual({path.name for path in TREE.iterdir()}, before, "nothing but build/ is new in the tree")

    def test_what_it_says_to_type_works(self):
        said = self.run_it("--dir", "it's&here")
        hint = re.search(r"(?m)^ +(\S+/keyturn recovery verify .*)$", said).group(1)
        self.assertIn("opens keyring generation 1", self.typed(hint))
        install = re.search(r"cmake --install \S+", said).group(0)
        self.typed(f"{install} --prefix {self.work}/prefix")
        self.assertTrue((self.work / "prefix/sbin/keyturnd").exists())

    @unittest.skipIf(os.access("/dev/tpmrm0", os.R_OK | os.W_OK), "it would seal to this machine's TPM")
    def test_a_simulated_tpm_twice(self):
        said = self.run_it("--tpm", "--dir", "here")
        place = self.caller / "here"
        self.assertIn("a simulated TPM in", said)
        first = self.assert_told(said, place)
        self.assertTrue((place / "state/opener/node.tpm").exists())
        again = self.run_it("--dir", "here")
        self.assertIn("a simulated TPM in", again)
        self.assertEqual(self.assert_told(again, place), first)

    def test_a_directory_of_its_own(self):
        said = self.run_it()
        place, = self.tmp.iterdir()
        self.assert_told(said, place)
        self.assertEqual(os.listdir(self.caller), [])

    def serve(self):
        """--stay, once it says that it serves, and a probe of that."""
        process = self.start("--dir", "here", "--stay")
        until(lambda: "until interrupted." in self.said() or process.poll() is not None, "it serves", BUILD_S)
        place = self.caller / "here"
        self.assert_told(self.said(), place)
        self.typed(f"{TREE}/build/release/bin/keyturn probe --config {place}/keyturn.yaml")
        return process

    def test_stays_until_it_is_interrupted(self):
        """By a terminal, which tells the whole group, or by somebody who tells the script alone."""
        for tell, number in [(os.killpg, signal.SIGINT), (os.kill, signal.SIGINT), (os.kill, signal.SIGTERM)]:
            with self.subTest(tell=tell.__name__, number=number):
                process = self.serve()
                tell(process.pid, number)
                self.assertEqual(process.wait(PATIENCE), 0)
                self.assertEqual(self.left(), [])

    def test_hung_up_it_leaves_no_daemon(self):
        process = self.serve()
        os.killpg(process.pid, signal.SIGHUP)
        process.wait(PATIENCE)
        until(lambda: not self.left(), "the daemon ends")

    def test_wrong_use(self):
        for words in (["--dir"], ["--colour"], ["surplus"], ["--stay", "--dir"]):
            self.assertIn("usage: tools/quickstart", self.run_it(*words, status=2))

    def test_a_daemon_that_does_not_serve(self):
        self.run_it("--dir", "here")
        (self.caller / "here/keyturn.yaml").write_text("junk: 1\n")
        said = self.run_it("--dir", "here", status=1)
        self.assertIn("keyturnd does not serve", said)
        self.assertIn("event=not-started", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
