#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' own KMS v2 client and envelope transformer (tests/conformance) against a keyturnd."""

import os
import shlex
import subprocess
import sys

import harness
from daemon import Daemon
from harness import SOURCE, proved

DAEMON = SOURCE / "tests" / "e2e" / "daemon.py"


class Conformance(harness.Case):
    """All of tests/conformance, against one daemon that it kills and starts."""

    @classmethod
    def prepare(cls):
        cls.daemon = Daemon(cls.workspace.path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        # Started as the conformance client will start it, so that it is nobody's child here.
        subprocess.run([sys.executable, DAEMON, "start", cls.daemon.dir], check=True,
                       env=dict(os.environ, KEYTURN_BUILD=str(harness.BUILD)), timeout=120)

    def test_conformance(self):
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(DAEMON))} %s {shlex.quote(str(self.daemon.dir))}"
        environment = dict(os.environ, KEYTURN_SOCKET=str(self.daemon.socket), KEYTURN_BUILD=str(harness.BUILD),
                           KEYTURN_KILL=command % "kill", KEYTURN_START=command % "start")
        environment.pop("KEYTURN_RESTART", None)
        key_id = self.daemon.key_id()
        run = subprocess.run([harness.go(), "test", "-count=1", "-v", "./..."], cwd=SOURCE / "tests" / "conformance",
                             env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                             timeout=840)
        print(run.stdout)
        self.assertEqual(run.returncode, 0, "the conformance client failed; see above")
        tests = run.stdout.count("--- PASS")
        self.assertGreater(tests, 10, "hardly any test ran")
        self.assertEqual(self.daemon.wait_healthy()["daemon"]["keyId"], key_id)
        proved(f"{tests} conformance tests of Kubernetes' own client pass")


if __name__ == "__main__":
    harness.main(harness.go)
