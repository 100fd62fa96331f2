#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What keyturn and the opener hold in their hands while they wait: for somebody at a terminal, for each other. Secrets
then stand in locked pages that are in no core dump, and nowhere else; not even the uid that started them may look."""
import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import unittest

from held_opener import POLLIN, HeldOpener, waits_for
from memory import allow_cores, forms, peep, pieces, recovery_bytes, state
from served import BUILD, KEYTURN, PATIENCE, ROOT, Node, keys_of, make_state, sanitized, secrets_of, until
from strangers import in_child

PLAIN = 23465 if ROOT else os.getuid()
ACCOUNT = {"user": PLAIN, "group": PLAIN, "extra_groups": []} if ROOT else {}
HALF = 16
OVERLAP = 128
KEY = re.compile(rb"((?:[0-9A-Z]{4}-){13}[0-9A-Z]{4})")


def text_of(path):
    with open(path) as source:
        return source.read()


def waits_at_terminal(pid):
    """Whether a process sleeps in a system call on its terminal, and has read all that was typed."""
    words = text_of(f"/proc/{pid}/syscall").split()
    if len(words) < 3 or state(pid) != "S":
        return False
    try:
        path = os.readlink(f"/proc/{pid}/fd/{int(words[1], 16)}")
        terminal = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    unread = struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))[0]
    os.close(terminal)
    return path.startswith("/dev/") and unread == 0


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, argv, environment, folder, by_line=True):
        self.seen, self.status = b"", None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                if not by_line:
                    self.no_lines()
                os.chdir(folder)
                if ROOT:
                    os.setgroups([])
                    os.setresgid(PLAIN, PLAIN, PLAIN)
                    os.setresuid(PLAIN, PLAIN, PLAIN)
                os.execve(argv[0], argv, {**os.environ, **environment})
            finally:
                os._exit(126)

    def no_lines(self):
        """What is typed is there to be read before its line ends."""
        mode = termios.tcgetattr(0)
        mode[3] &= ~termios.ICANON
        termios.tcsetattr(0, termios.TCSANOW, mode)

    def read(self):
        with contextlib.suppress(OSError):  # the last one has closed the other side
            while select.select([self.fd], [], [], 0)[0]:
                self.seen += os.read(self.fd, 4096)

    def asks(self, prompt):
        """Root sees also that all is read that was typed, and that the program waits for more."""
        self.read()
        return prompt in self.seen and (not ROOT or waits_at_terminal(self.pid))

    def type(self, text):
        os.write(self.fd, text)

    def ended(self):
        self.read()
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def close(self):
        os.close(self.fd)
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Case(unittest.TestCase):
    def setUp(self):
        self.kept, self.looks = [], 0
        self.dir = tempfile.mkdtemp(prefix="kt")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        os.chmod(self.dir, 0o755)
        self.own = os.path.join(self.dir, "own")
        os.mkdir(self.own)
        os.chown(self.own, PLAIN, PLAIN if ROOT else -1)
        self.place, self.recovery = os.path.join(self.own, "d"), os.path.join(self.own, "recovery")
        self.program = self.copy("bin", "keyturn")
        self.opener = self.copy("libexec/keyturn", "keyturn-opener")

    def copy(self, folder, name):
        os.makedirs(os.path.join(self.dir, folder))
        return shutil.copy(os.path.join(BUILD, folder, name), os.path.join(self.dir, folder))

    def hold(self):
        self.held = HeldOpener(self.dir, self.opener, self.look)
        self.addCleanup(self.held.close)

    def start(self, *words, **popen):
        process = subprocess.Popen([self.program, *words], env={**os.environ, **self.held.environment}, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **ACCOUNT, **popen)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        return process

    def run_plain(self, *argv):
        """Before anything is held."""
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, **ACCOUNT)
        self.assertEqual(done.returncode, 0, done.stderr)

    def finish(self, process):
        self.held.until(lambda: process.poll() is not None, "keyturn ends")
        self.assertEqual(process.returncode, 0, process.stdout.read())

    def init(self):
        """A node with its recovery key in a file."""
        self.run_plain(self.program, "init", "--dir", self.place, "--yes", "--node", "node-1", "--recovery-out", self.recovery)

    def at_terminal(self, *words, **options):
        terminal = Terminal([self.program, *words], self.held.environment, self.own, **options)
        self.addCleanup(terminal.close)
        return terminal

    def ends(self, terminal):
        self.held.until(terminal.ended, "keyturn ends")
        self.assertEqual(terminal.status, 0, terminal.seen)

    def look(self, stage, opener, asking):
        self.keep(stage, "opener", opener)
        if ROOT:
            until(lambda: waits_for(asking, POLLIN), "keyturn waits for the opener")
        self.keep(stage, "keyturn", asking)

    def keep(self, stage, role, pid):
        """Takes down what is in memory, for some of it is known to be a secret only later."""
        if sanitized():
            return
        self.assert_hardened(role, pid)
        self.looks += 1
        if ROOT:
            found = [(mapping, piece) for mapping, _, piece in pieces(pid, OVERLAP) if "w" in mapping.mode or not mapping.name]
            self.kept.append((f"{stage} {self.held.count + 1}", role, found))

    def wait_confined(self, opener):
        """Only root sees that it waits, and it does so after this."""
        until(lambda: "Seccomp:\t2" in text_of(f"/proc/{opener}/status"), "the opener is confined")

    def assert_hardened(self, role, pid):
        if role == "opener":
            self.wait_confined(pid)
        status = text_of(f"/proc/{pid}/status")
        self.assertIn("NoNewPrivs:\t1", status, role)
        uid = int(re.search(r"Uid:\t(\d+)", status).group(1))
        self.assertNotEqual(uid, 0)
        # What is not dumpable belongs to root in /proc, whatever uid it runs under.
        self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0, f"{role} is not dumpable")
        self.assertEqual(in_child(lambda: peep(pid), uid, uid) if ROOT else peep(pid), "", role)
        if ROOT:
            self.assertRegex(text_of(f"/proc/{pid}/limits"), r"Max core file size +0 +0 ", role)

    def secrets(self, text=None, keyring=None):
        if not text:
            text = text_of(self.recovery).strip()
        if ROOT:
            os.chown(os.path.join(self.place, "keyturn.yaml"), 0, 0)  # root reads no other's
        return {**secrets_of(self.place, keyring), "recovery-key": recovery_bytes(text), "recovery-text": text.encode()}

    def first_key(self, secrets):
        return next(name for name in secrets if name.startswith("key."))

    def judge(self, secrets, expected):
        """Nothing stands where it may not, and these (stage, role, secret) stand where they may: the search finds them.
        Either half of a secret is one."""
        needles = {}
        for name, value in secrets.items():
            for half, piece in (("begin", value[:HALF]), ("end", value[HALF:])):
                needles.update({f"{name}, {half}{form[1:]}": data for form, data in forms("x", piece).items()})
        wrong, seen = [], set()
        for stage, role, found in self.kept:
            for mapping, piece in found:
                for name, data in needles.items():
                    if data not in piece:
                        continue
                    seen.add((stage, role, name.split(", ")[0]))
                    if not mapping.is_safe() or (role == "keyturn" and not name.startswith(("recovery-", "key."))):
                        wrong.append((stage, role, name, mapping))
        print(f"# {self._testMethodName}: {self.looks} looks, found {sorted(seen)}", flush=True)
        self.assertEqual(wrong, [])
        if ROOT and not sanitized():
            self.assertLessEqual(set(expected), seen)


class Init(Case):
    def test_at_a_terminal(self):
        self.hold()
        terminal = self.at_terminal("init", "--dir", self.place, "--yes", "--node", "node-1")
        self.held.until(lambda: terminal.asks(b"from your paper: ") or terminal.ended(), "the recovery key is asked for")
        text = KEY.search(terminal.seen).group(1).decode()
        self.keep("prompt", "keyturn", terminal.pid)
        terminal.type(text.encode() + b"\n")
        self.ends(terminal)
        self.assertEqual(self.held.count, 3)  # to found the keyring, to prove the recovery key, to install
        secrets = self.secrets(text)
        self.judge(secrets, [("asked 1", "opener", "recovery-key"), ("asked 1", "keyturn", "recovery-key"),
                             ("prompt 2", "keyturn", "recovery-key"), ("prompt 2", "keyturn", "recovery-text"),
                             ("asked 2", "opener", "recovery-key"), ("asked 2", "keyturn", "recovery-key"),
                             ("answers 3", "opener", self.first_key(secrets))])

    def test_into_a_file(self):
        self.hold()
        self.finish(self.start("init", "--dir", self.place, "--yes", "--node", "node-1", "--recovery-out", self.recovery))
        self.assertEqual(self.held.count, 3)
        secrets = self.secrets()
        self.judge(secrets, [("asked 1", "opener", "recovery-key"), ("asked 2", "opener", "recovery-key"),
                             ("asked 2", "keyturn", "recovery-key"), ("answers 3", "opener", self.first_key(secrets))])


class RecoveryVerify(Case):
    def setUp(self):
        super().setUp()
        self.init()
        self.all = self.secrets()
        self.hold()
        self.words = ["recovery", "verify", "--config", os.path.join(self.place, "keyturn.yaml")]

    def test_typed(self):
        """One half of it, and then the other."""
        terminal = self.at_terminal(*self.words, by_line=False)
        until(lambda: terminal.asks(b"Recovery key: "), "the recovery key is asked for")
        text = self.all["recovery-text"]
        terminal.type(text[:40])
        until(lambda: terminal.asks(b"Recovery key: "), "all that was typed is read")
        self.keep("half", "keyturn", terminal.pid)
        terminal.type(text[40:] + b"\n")
        self.ends(terminal)
        self.judge(self.all, [("half 1", "keyturn", "recovery-text"), ("asked 1", "keyturn", "recovery-key"),
                              ("asked 1", "opener", "recovery-key")])

    def test_from_a_file_and_from_a_pipe(self):
        self.finish(self.start(*self.words, "--key-file", self.recovery))
        with open(self.recovery, "rb") as source:
            self.finish(self.start(*self.words, "--key-file", "-", stdin=source))
        self.judge(self.all, [("asked 1", "keyturn", "recovery-key"), ("asked 1", "opener", "recovery-key"),
                              ("asked 2", "keyturn", "recovery-key"), ("asked 2", "opener", "recovery-key")])


class Offer(Case):
    def test_that_keyturn_installs(self):
        """No keyturnd runs: keyturn itself gets the keys from the opener, and lets them go."""
        self.init()
        before = self.secrets()
        offered = os.path.join(self.own, "g2")
        self.run_plain(self.copy("tests", "make_state"), "edit", self.place, offered, "add", "second")
        after = self.secrets(keyring=offered)
        self.hold()
        self.finish(self.start("keyring", "offer", offered, "--config", os.path.join(self.place, "keyturn.yaml")))
        keys = [name for name in after if name.startswith("key.")]
        self.assertEqual(len(keys), 2)
        self.judge({**{f"{name} before": value for name, value in before.items()}, **after},
                   [(f"answers {self.held.count}", "opener", key) for key in keys])


class Keyturnd(Case):
    """Its openers, which run under an account of their own where it is started by root."""

    def test_start_and_offer(self):
        d = Node()
        self.addCleanup(d.close)
        self.place, self.recovery = d.place, d.recovery
        before = self.secrets()
        self.held = HeldOpener(d.dir, d.program("opener"), lambda stage, opener, _: self.keep(stage, "opener", opener))
        self.addCleanup(self.held.close)
        d.extra_env = self.held.environment
        d.start(wait=False)
        self.held.until(lambda: d.heard("READY=1") and d.try_status(), "keyturnd answers")
        self.held.until(lambda: d.healthz() == "ok" and d.status().status.get(24) == [1], "the keyring on disk is tested")
        offered = os.path.join(d.dir, "g2")
        out = make_state("edit", d.place, offered, "add", "second").stdout
        started = self.held.count
        process = subprocess.Popen([KEYTURN, "keyring", "offer", offered, "--config", d.config], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.held.until(lambda: process.poll() is not None, "keyturn ends")
        self.assertEqual(process.returncode, 0)
        after = self.secrets(keyring=offered)
        self.judge({**{f"{name} before": value for name, value in before.items()}, **after},
                   [("answers 1", "opener", f"{self.first_key(before)} before")] +
                   [(f"answers {started + 1}", "opener", f"key.{key}") for key in keys_of(out)])


@unittest.skipIf(sanitized(), "sanitized programs stay dumpable")
class Cores(Case):
    """A signal that makes one, in a directory where it could be, with a limit that allows it."""

    def setUp(self):
        super().setUp()
        allow_cores(self)
        self.init()
        self.hold()
        self.words = ["recovery", "verify", "--config", os.path.join(self.place, "keyturn.yaml")]

    def look(self, stage, opener, asking):
        self.wait_confined(opener)
        os.kill(opener, signal.SIGABRT)
        self.status = os.waitpid(opener, 0)[1]
        raise InterruptedError

    def test_keyturn(self):
        terminal = self.at_terminal(*self.words)
        until(lambda: terminal.asks(b"Recovery key: "), "the recovery key is asked for")
        os.kill(terminal.pid, signal.SIGABRT)
        until(terminal.ended, "keyturn ends")
        self.assert_no_core(terminal.status)

    def test_opener(self):
        process = self.start(*self.words, "--key-file", self.recovery, cwd=self.own)
        with self.assertRaises(InterruptedError):
            self.finish(process)
        self.assert_no_core(self.status)
        self.assertEqual(process.wait(PATIENCE), 1)

    def assert_no_core(self, status):
        self.assertEqual(os.WTERMSIG(status), signal.SIGABRT)
        self.assertFalse(os.WCOREDUMP(status))
        self.assertEqual(sorted(os.listdir(self.own)), ["d", "recovery"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
