# SPDX-License-Identifier: Apache-2.0
"""keyturn as a script sees it: run it in a directory of its own, look at exit status, output and files; and as an admin sees
it, at a terminal."""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kmsplugin"))
from daemon import PATIENCE, until  # noqa: E402, F401

BUILD = pathlib.Path(os.environ["KEYTURN_BUILD"])
SOURCE = pathlib.Path(os.environ["KEYTURN_SOURCE"])
KEYTURN = BUILD / "bin/keyturn"
KEYTURND = BUILD / "sbin/keyturnd"
FAULT = BUILD / "tests/fault/libkt_kill_at_write.so"
MAKE_STATE = BUILD / "tests/make_state"


def fault(at, do, programs="keyturn"):
    """Environment that makes the at-th writing call of these programs fail, or end them (tests/fault)."""
    return {"LD_PRELOAD": str(FAULT), "KEYTURN_FAULT_PROGRAM": programs, "KEYTURN_FAULT_AT": str(at), "KEYTURN_FAULT_DO": do,
            # ASan wants to be the first library, and has nothing to say about what a killed process leaks.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}


def writes_to_walk(last, first=1):
    """Numbers of the writes that a walk fails one by one: all of them. Where the same walk runs a second time, with sanitizers or
    as another user, each n-th and the last (tests/CMakeLists.txt)."""
    step = int(os.environ.get("KEYTURN_WALK_STEP", "1"))
    return sorted({*range(first, last + 1, step), last})


class Terminal:
    """A program at a terminal of its own; `seen` is all that it has shown."""

    def __init__(self, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execv(command[0], [str(word) for word in command])
            finally:
                os._exit(127)
        self.seen, self.told = b"", 0
        self.status = None  # as subprocess has it: negative, the signal that ended it

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def read(self, deadline):
        """False at the end. A terminal that nobody holds any more fails with EIO."""
        if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more within {PATIENCE} s: {self.seen!r}")
        try:
            piece = os.read(self.fd, 4096)
        except OSError:
            return False
        self.seen += piece
        return piece != b""

    def until(self, text):
        """Waits for the next `text`; what was shown before it, since the last time."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen[self.told:]:
            if not self.read(deadline):
                raise AssertionError(f"ended without {text!r}: {self.seen!r}")
        at = self.seen.index(text, self.told)
        before, self.told = self.seen[self.told:at], at + len(text)
        return before

    def type(self, line, end="\n"):
        os.write(self.fd, line.encode() + end.encode())

    def end(self):
        """Its exit status, once it has shown all."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        until(self.ended, "the program ends")
        return self.status


# Another /dev, in which /dev/log can be made.
NAMESPACE = """
set -e
mkdir "$1/dev"
mount -t tmpfs none "$1/dev"
for name in null zero full random urandom; do touch "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
mount --rbind "$1/dev" /dev
shift
exec "$@"
"""
LISTEN = """
import socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(0)
run = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
try:
    while True:
        sys.stdout.buffer.write(log.recv(65536).rstrip(b"\\0") + b"\\n")
except BlockingIOError:
    sys.exit(run.returncode)
"""


def told_to_syslog(*command):
    """What a command, which succeeds, says by syslog(3): in namespaces of its own, where somebody listens."""
    # Root needs no user namespace, which the kernel makes none of in a chroot.
    spaces = "-m" if os.geteuid() == 0 else "-rm"
    with tempfile.TemporaryDirectory(prefix="kt.") as place:
        run = subprocess.run(["unshare", spaces, "sh", "-c", NAMESPACE, "sh", place, sys.executable, "-c", LISTEN, *map(str, command)],
                             capture_output=True, text=True, timeout=120, start_new_session=True)
    if run.returncode != 0:
        raise AssertionError(run.stderr)
    return run.stdout.splitlines()


def shown_key(terminal):
    """The recovery key that it has shown."""
    return re.search(rb"((?:[0-9A-Z]{4}-){13}[0-9A-Z]{4})", terminal.seen).group(1).decode()


class Case(unittest.TestCase):
    program = KEYTURN
    daemon = KEYTURND

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.dir = self.work / "d"
        self.recovery = self.work / "recovery"
        self.config = self.dir / "keyturn.yaml"

    def environment(self, env=None):
        """No cluster of whoever runs the tests is in it."""
        own = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        return {**own, "HOME": str(self.work), **(env or {})}

    def keyturn(self, *arguments, env=None, stdin="", **more):
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=120,
                              env=self.environment(env), start_new_session=True, **more)

    def init(self, *more, env=None):
        return self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, *more, env=env)

    def expect(self, run, status, code=None, words=""):
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        if code:
            error = json.loads(run.stderr)["error"]
            self.assertEqual(error["code"], code, error)
            self.assertIn(words, error["message"] + error["hint"])
        return run

    def edit(self, out, *edits):
        """The next generation over the keyring of self.dir, into `out`."""
        subprocess.run([MAKE_STATE, "edit", self.dir, out, *edits], check=True, capture_output=True, text=True)
        return out

    @contextlib.contextmanager
    def serving(self, wait=True):
        """keyturnd, in the foreground of nobody; healthy, unless that is not waited for."""
        with open(self.work / "keyturnd.log", "ab") as log:
            process = subprocess.Popen([self.daemon, "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        try:
            if wait:
                self.expect(self.keyturn("status", "--wait", PATIENCE, "--config", self.config), 0)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()

    def log(self):
        return (self.work / "keyturnd.log").read_text()

    def writes(self, run, programs="keyturn", status=0):
        """How many calls that change something on disk run(env), which ends with that, makes; of several programs, the one that makes most. So
        that a walk through them does not end at one whose failure does no harm."""
        with tempfile.NamedTemporaryFile() as counts:
            self.expect(run({**fault(0, "count", programs), "KEYTURN_FAULT_COUNT_FILE": counts.name}), status)
            return max(map(int, counts.read().split()))

    def json(self, *arguments, status=0):
        run = self.expect(self.keyturn(*arguments, "-o", "json", "--config", self.config), status)
        return json.loads(run.stdout)

    def files(self):
        """Every file below the work directory with its bytes."""
        return {str(p.relative_to(self.work)): p.read_bytes() for p in sorted(self.work.rglob("*")) if p.is_file()}

    def tree(self):
        """All below the work directory: what it is, whose, since when, and its bytes."""
        found = {}
        for path in sorted(self.work.rglob("*")):
            st = path.lstat()
            found[str(path.relative_to(self.work))] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino, st.st_mtime_ns,
                                                       path.read_bytes() if stat.S_ISREG(st.st_mode) else None)
        return found
