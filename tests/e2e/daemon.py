#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A keyturnd under test, in a directory of its own.

As a command, for tests in other languages: daemon.py start|kill|stop DIR, with KEYTURN_BUILD set."""

import fcntl
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

from harness import KEYTURN, KEYTURND, Pid, wait_for

START_TIMEOUT = 60
STOP_TIMEOUT = 30
# As a service manager passes sockets on: from descriptor 3, and for the pid that it names.
INHERIT = ('exec 3<&%d- 4<&%d-; export LISTEN_FDS=2 LISTEN_FDNAMES=kms:control LISTEN_PID=$$; exec "$@"')


class Answer:
    """How a keyturn command ended."""

    def __init__(self, run):
        self.exit, self.stdout, self.stderr = run.returncode, run.stdout, run.stderr

    def json(self):
        return json.loads(self.stdout)

    def error(self):
        """{"code":, "message":, "hint":} of a command that was run with -o json."""
        return json.loads(self.stderr.splitlines()[-1])["error"]

    def __repr__(self):
        return f"exit {self.exit}\n{self.stdout}{self.stderr}"


class Daemon:
    """D/keyturn.yaml, D/state, D/run/kms/kms.sock, D/run/control.sock, made by keyturn init."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.config = self.dir / "keyturn.yaml"
        self.state = self.dir / "state"
        self.socket = self.dir / "run" / "kms" / "kms.sock"
        self.control = self.dir / "run" / "control.sock"
        self.recovery = self.dir.parent / f"{self.dir.name}.recovery"
        self.log = self.dir.parent / f"{self.dir.name}.log"
        self.pid_file = self.dir.parent / f"{self.dir.name}.pid"
        self.process = None
        self.held = []
        self.before = []  # words before each keyturn command

    def keyturn(self, *words, timeout=120, env=None):
        """Runs a keyturn command that takes --config."""
        run = subprocess.run([*self.before, KEYTURN, *map(str, words), "--config", self.config], text=True, check=False,
                             stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env={**os.environ, **(env or {})})
        return Answer(run)

    def init(self, *options):
        command = [KEYTURN, "init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, *options]
        run = subprocess.run(command, text=True, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if run.returncode != 0:
            raise RuntimeError(f"keyturn init: exit {run.returncode}: {run.stdout}{run.stderr}")
        return self

    def owner(self):
        """The fingerprint that keyturn.yaml pins."""
        return re.search(r"^owner: *[\"']?(sha256:[0-9a-f]{64})", self.config.read_text(), re.M).group(1)

    def hold(self):
        """Listens on both sockets, as a service manager does, until release(): each keyturnd that is started meanwhile
        gets them, and they outlive it. None must run now."""
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.socket, self.control):
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(512)
                self.held.append(fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 10))  # not in the way of 3 and 4

    def release(self):
        for fd in self.held:
            os.close(fd)
        self.held = []

    def start(self, wait=True):
        command = [KEYTURND, "--config", self.config]
        if self.held:
            command = ["/bin/bash", "-c", INHERIT % tuple(self.held), "bash", *command]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=self.held)
        self.pid_file.write_text(str(self.process.pid))
        if wait:
            self.wait_healthy()
        return self

    def status(self):
        answer = self.keyturn("status", "-o", "json")
        if not answer.stdout:
            raise ValueError(f"keyturn status: {answer!r}")
        return answer.json()

    def wait_healthy(self, timeout=START_TIMEOUT):
        def healthy():
            if self.process and self.process.poll() is not None:
                raise RuntimeError(f"keyturnd ended with {self.process.returncode}; see {self.log}")
            status = self.status()
            return status["daemon"]["healthz"] == "ok" and status
        return wait_for("keyturnd is healthy", healthy, timeout)

    def key_id(self):
        return self.status()["daemon"]["keyId"]

    def pids(self):
        """Role to pid of all that run; the supervisor's also where nothing answers."""
        found = {}
        try:
            found = {p["role"]: p["pid"] for p in self.status()["daemon"]["processes"] if p["pid"]}
        except (ValueError, KeyError):
            pass
        if "supervisor" not in found and self.pid_file.exists():
            found["supervisor"] = int(self.pid_file.read_text())
        return found

    def kill(self):
        """kill -9 of the supervisor and of all its processes, at once. Returns when all are gone."""
        held = []
        for pid in self.pids().values():
            try:
                held.append(Pid(pid))
            except ProcessLookupError:
                pass
        self._end(held)

    def kill_one(self, role):
        one = Pid(self.pids()[role])
        try:
            one.kill()
            wait_for(f"{role} is gone", one.gone, STOP_TIMEOUT, 0.005)
        finally:
            one.close()

    def _end(self, held):
        for one in held:
            one.kill()
        for one in held:
            if self.process and one.pid == self.process.pid:
                self.process.wait(STOP_TIMEOUT)
            else:
                wait_for(f"process {one.pid} is gone", one.gone, STOP_TIMEOUT, 0.005)
            one.close()
        self.process = None
        self.pid_file.unlink(missing_ok=True)

    def stop(self):
        """An orderly end: SIGTERM to the supervisor. Returns its exit status, or None where it is no child of ours."""
        if not self.pid_file.exists():
            return None
        children = self.pids()
        children.pop("supervisor", None)
        held = [Pid(pid) for pid in children.values()]
        code = None
        if self.process:
            self.process.terminate()
            code = self.process.wait(STOP_TIMEOUT)
        else:
            one = Pid(int(self.pid_file.read_text()))
            one.kill(15)
            wait_for("keyturnd is gone", one.gone, STOP_TIMEOUT)
            one.close()
        for one in held:
            wait_for(f"process {one.pid} is gone", one.gone, STOP_TIMEOUT)
            one.close()
        self.process = None
        self.pid_file.unlink(missing_ok=True)
        return code

    def offer(self, path, *options):
        return self.keyturn("keyring", "offer", path, "-o", "json", *options)

    def rendered_config(self):
        answer = self.keyturn("config", "show")
        if answer.exit != 0:
            raise RuntimeError(f"keyturn config show: {answer!r}")
        return answer.stdout


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "kill", "stop"):
        sys.exit(__doc__)
    daemon = Daemon(sys.argv[2])
    getattr(daemon, sys.argv[1])()


if __name__ == "__main__":
    main()
