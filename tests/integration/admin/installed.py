# SPDX-License-Identifier: Apache-2.0
"""keyturn and keyturnd as they are installed, for tests of what outside programs rely on. `setUpModule = install`."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from program import BUILD, Case

STATUS = {
    "apiVersion": str, "kind": str, "enable": bool, "stage": str, "activekey": str, "inactivekeys": [str], "hashmatch": bool,
    "hasherror": str, "keyring": {"id": str, "membership": int, "generation": int},
    "keys": [{"id": str, "type": str, "name": str, "state": str, "created": str, "active": bool}],
    "daemon": {"reachable": bool, "generation": int, "keyId": str, "healthz": str,
               "processes": [{"role": str, "pid": int, "restarts": int}]},
    "apiServers": [{"id": str, "address": str, "keyIdHash": str, "configHash": str, "current": bool}],
}


def install():
    prefix = pathlib.Path(tempfile.mkdtemp(prefix="kt.prefix."))
    unittest.addModuleCleanup(shutil.rmtree, prefix)
    subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    Installed.prefix, Installed.program, Installed.daemon = prefix, prefix / "bin/keyturn", prefix / "sbin/keyturnd"


def misfit(value, shape, place):
    """Where a JSON value is not of that shape; None if it is. More fields may be there."""
    if isinstance(shape, type):
        return None if type(value) is shape else f"{place} is {value!r}, expected {shape.__name__}"
    if type(value) is not type(shape):
        return f"{place} is {value!r}, expected {type(shape).__name__}"
    if isinstance(shape, list):
        parts = ((entry, shape[0], f"{place}[]") for entry in value)
    else:
        parts = ((value.get(name, "missing"), inner, f"{place}.{name}") for name, inner in shape.items())
    return next(filter(None, (misfit(*part) for part in parts)), None)


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Installed(Case):
    def found(self):
        self.expect(self.init(), 0)

    def here(self, *words, **more):
        return self.keyturn(*words, "--config", self.config, **more)

    def status(self, status=0, code=None):
        """The JSON of status. Where it exits otherwise than 0, the first problem is on standard error."""
        run = self.expect(self.here("status", "-o", "json"), status)
        if status:
            self.error(run, code)
        else:
            self.assertEqual(run.stderr, "")
        return json.loads(run.stdout)

    def error(self, run, code):
        error = json.loads(run.stderr)
        self.assertEqual(misfit(error, {"error": {"code": str, "message": str, "hint": str}}, "standard error"), None)
        self.assertEqual((set(error), set(error["error"])), ({"error"}, {"code", "message", "hint"}))
        self.assertEqual(error["error"]["code"], code, error)
        self.assertTrue(error["error"]["message"], error)
        return error["error"]["message"]

    def fails(self, status, code, *words, **more):
        """In words and, with -o json, as one object on standard error; nothing else, and the same exit status."""
        run = self.expect(self.keyturn(*words, **more), status)
        self.assertRegex(run.stderr, r"^(Usage: )?keyturn\b.*\S")
        self.assertEqual(run.stdout, "")
        run = self.expect(self.keyturn(*words, "-o", "json", **more), status)
        self.assertEqual(run.stdout, "")
        return self.error(run, code)

    @contextlib.contextmanager
    def silent(self, path):
        """Somebody listens there and never answers."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            try:
                yield listener
            finally:
                path.unlink()

    @contextlib.contextmanager
    def locked(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as lock:
            path.chmod(0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
