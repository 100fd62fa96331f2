# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test needs: where things are, a working directory, processes with logs, waiting for conditions."""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("KEYTURN_SOURCE") or pathlib.Path(__file__).resolve().parents[2])
BUILD = pathlib.Path(os.environ.get("KEYTURN_BUILD") or SOURCE / "build" / "dev")
KEYTURN = BUILD / "bin" / "keyturn"
KEYTURND = BUILD / "sbin" / "keyturnd"

LOG_TAIL = 40  # lines of each log that are shown when a test fails


class Missing(Exception):
    """What a test needs is not on this machine. In CI that is a failure, elsewhere a skip."""


def proved(text):
    print(f"proved: {text}", flush=True)


def wait_for(what, condition, timeout=60.0, interval=0.05):
    """Returns the first true answer of condition(), which may raise what a thing that is not ready yet raises."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            answer = condition()
            if answer:
                return answer
        except (OSError, ValueError, KeyError, subprocess.SubprocessError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}" + (f" ({last})" if last else ""))
        time.sleep(interval)  # between two looks at the condition


def free_ports(n):
    """Ports that nobody listens on at the moment. Whoever is late to take one must start again with others."""
    sockets = []
    for _ in range(n):
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        sockets.append(one)
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def go():
    found = shutil.which("go")
    if not found:
        raise Missing("Go is not installed")
    return found


def assets():
    """The directory that holds kube-apiserver and etcd."""
    script = SOURCE / "tests" / "e2e" / "assets" / "build"
    run = subprocess.run([script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode == 77:
        raise Missing(run.stderr.strip().splitlines()[-1])
    if run.returncode != 0:
        raise RuntimeError(f"{script}: {run.stderr}")
    return pathlib.Path(run.stdout.strip())


class Pid:
    """A process that is held by a pidfd: what is signalled is that process, never one that got its number later."""

    def __init__(self, pid):
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    def kill(self, number=signal.SIGKILL):
        try:
            signal.pidfd_send_signal(self.fd, number)
        except ProcessLookupError:
            pass

    def gone(self):
        import select  # pylint: disable=import-outside-toplevel

        return bool(select.select([self.fd], [], [], 0)[0])

    def close(self):
        os.close(self.fd)


class Server:
    """A process of ours in the foreground, with a log."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def alive(self):
        return self.process.poll() is None

    def check(self):
        if not self.alive():
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}; see {self.log}")

    def stop(self, number=signal.SIGTERM, timeout=60):
        """Ends it, and says how it ended."""
        if self.alive():
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Workspace:
    """A short path that other users may traverse, and that is gone afterwards."""

    def __init__(self, name):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"kt-{name}-"))
        self.path.chmod(0o755)
        self.closers = []

    def on_close(self, closer):
        self.closers.append(closer)

    def close(self):
        for closer in reversed(self.closers):
            try:
                closer()
            except Exception as error:  # pylint: disable=broad-except
                print(f"while cleaning up: {error}", file=sys.stderr)
        shutil.rmtree(self.path, ignore_errors=True)

    def show_logs(self):
        for log in sorted(self.path.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            print(f"--- {log.name}: the last {min(len(lines), LOG_TAIL)} of {len(lines)} lines", file=sys.stderr)
            print("\n".join(line[:300] for line in lines[-LOG_TAIL:]), file=sys.stderr)


class Case(unittest.TestCase):
    """A test class with one workspace for all its tests."""

    workspace = None

    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace(cls.__name__.lower())
        # Also runs where what follows fails.
        cls.addClassCleanup(cls.workspace.close)
        try:
            cls.prepare()
        except Missing:
            raise
        except BaseException:
            cls.workspace.show_logs()
            raise

    @classmethod
    def prepare(cls):
        """What all tests of the class need."""

    def run(self, result=None):
        before = (len(result.failures), len(result.errors))
        super().run(result)
        if (len(result.failures), len(result.errors)) != before:
            self.workspace.show_logs()
        return result


def main(*needs):
    """Runs the tests of __main__: exit 0, 1, or 77 where one of the needs (functions) raises Missing."""
    for path in (KEYTURN, KEYTURND):
        if not path.exists():
            print(f"{path} is not built (KEYTURN_BUILD names the build tree)", file=sys.stderr)
            sys.exit(1)
    for need in needs:
        try:
            need()
        except Missing as missing:
            in_ci = bool(os.environ.get("CI"))
            print(f"{'FAILED' if in_ci else 'SKIPPED'}: {missing}")
            sys.exit(1 if in_ci else 77)
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(module="__main__", verbosity=2)
