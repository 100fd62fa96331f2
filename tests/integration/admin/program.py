# SPDX-License-Identifier: Apache-2.0
"""keyturn as a script sees it: run it in a directory of its own, look at exit status, output and files."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["KEYTURN_BUILD"])
KEYTURN = BUILD / "bin/keyturn"
FAULT = BUILD / "tests/fault/libkt_kill_at_write.so"



def fault(at, do, programs="keyturn"):
    """Environment that makes the at-th writing call of these programs fail, or end them (tests/fault)."""
    return {"LD_PRELOAD": str(FAULT), "KEYTURN_FAULT_PROGRAM": programs, "KEYTURN_FAULT_AT": str(at), "KEYTURN_FAULT_DO": do,
            # ASan wants to be the first library, and has nothing to say about what a killed process leaks.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}


class Case(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.dir = self.work / "d"
        self.recovery = self.work / "recovery"
        self.config = self.dir / "keyturn.yaml"

    def keyturn(self, *arguments, env=None, stdin="", cwd=None):
        return subprocess.run([KEYTURN, *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=120,
                              env={**os.environ, **(env or {})}, start_new_session=True, cwd=cwd)

    def init(self, *more, env=None):
        return self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, *more, env=env)

    def expect(self, run, status, code=None, words=""):
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        if code:
            error = json.loads(run.stderr)["error"]
            self.assertEqual(error["code"], code, error)
            self.assertIn(words, error["message"] + error["hint"])
        return run

    def writes(self, run, programs="keyturn"):
        """How many calls that change something on disk run(env) makes; of several programs, the one that makes most. So
        that a walk through them does not end at one whose failure does no harm."""
        with tempfile.NamedTemporaryFile() as counts:
            self.expect(run({**fault(0, "count", programs), "KEYTURN_FAULT_COUNT_FILE": counts.name}), 0)
            return max(map(int, counts.read().split()))

    def json(self, *arguments, status=0):
        run = self.expect(self.keyturn(*arguments, "-o", "json", "--config", self.config), status)
        return json.loads(run.stdout)

    def files(self):
        """Every file below the work directory with its bytes."""
        return {str(p.relative_to(self.work)): p.read_bytes() for p in sorted(self.work.rglob("*")) if p.is_file()}
