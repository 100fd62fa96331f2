# SPDX-License-Identifier: Apache-2.0
"""The client of cluster/etcd.h (etcd_probe.c), to be driven by a test."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
from harness import BUILD  # noqa: E402

PROBE = BUILD / "tests" / "etcd_probe"


class Probe:
    """A client that lives until close()."""

    def __init__(self, endpoints, ca=None, pair=None, server_name=None, timeout_ms=20000, environment=None):
        words = [PROBE, "--endpoints", ",".join(endpoints), "--timeout", timeout_ms]
        words += ["--cacert", ca] if ca else []
        words += ["--cert", pair[0], "--key", pair[1]] if pair else []
        words += ["--server-name", server_name] if server_name else []
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})})
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the probe ended: {self.process.wait()} {self.process.stderr.read()}")
        return json.loads(line)

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, text):
        self.say(text)
        return self.read()

    def get(self, key):
        """The bytes, None, or the error; and the seconds that it took."""
        begin = time.monotonic()
        answer = self.ask(f"get {key}")
        seconds = time.monotonic() - begin
        if "error" in answer:
            return answer, seconds
        return base64.b64decode(answer["value"]) if answer["found"] else None, seconds

    def close(self):
        """What it says at its end; it must end well, and with nothing on standard error."""
        out, error = self.process.communicate(timeout=60)
        if self.process.returncode != 0 or error:
            raise RuntimeError(f"the probe ended with {self.process.returncode}: {error}")
        return json.loads(out) if out else {}

    def drop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
