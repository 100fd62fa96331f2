# SPDX-License-Identifier: Apache-2.0
"""The second reader and writer of keyrings, tests/keyring-go, as a command."""

import json
import pathlib
import re
import subprocess

from harness import SOURCE, go

FOLDER = SOURCE / "tests" / "keyring-go"


def exit_statuses():
    """Error code to exit status of keyturn, from base/errors.def."""
    text = (SOURCE / "base" / "errors.def").read_text()
    return {name: int(status) for name, status in re.findall(r"^KT_ERROR\((\w+), (\d+),", text, re.M)}


class KeyringGo:
    """keyring-go for the keyring of a daemon."""

    def __init__(self, directory, daemon):
        self.binary = pathlib.Path(directory) / "keyring-go"
        self.daemon = daemon
        self.keyring = daemon.state / "keyring.yaml"
        self.by_recovery = ["--recovery", f"@{daemon.recovery}", "--owner", daemon.owner()]
        self.by_node = ["--node-key", daemon.state / "opener" / "node.key", "--owner", daemon.owner()]
        if not self.by_node[1].exists():  # in a TPM, which Go does not speak to here
            self.by_node = self.by_recovery

    def build(self):
        subprocess.run([go(), "build", "-buildvcs=false", "-o", self.binary, "."], cwd=FOLDER, check=True, timeout=600)
        return self

    def run(self, *words):
        run = subprocess.run([self.binary, *map(str, words)], capture_output=True, check=False, timeout=60)
        if run.returncode != 0:
            raise RuntimeError(f"keyring-go {words[0]}: {run.stderr.decode()}")
        return run.stdout

    def kinds(self):
        return json.loads(self.run("kinds"))

    def open(self, opening=None, keyring=None):
        return json.loads(self.run("open", *(opening or self.by_node), keyring or self.keyring))

    def unwrap(self, *words, opening=None, keyring=None):
        return json.loads(self.run("unwrap", *(opening or self.by_node), *words, keyring or self.keyring))

    def audit(self, log):
        return json.loads(self.run("audit", "--owner", self.daemon.owner(), "--log", log, self.keyring))

    def _write(self, out, command, *words):
        self.run(*command, *words, "--out", out, self.keyring)
        return out

    def next(self, out, *edits):
        return self._write(out, ["next"], *self.by_node, *[word for edit in edits for word in ("--edit", edit)])

    def member(self, out, *edits):
        return self._write(out, ["member"], *self.both(), *[word for edit in edits for word in ("--edit", edit)])

    def broken(self, out, kind):
        return self._write(out, ["break", kind], *self.both())

    def both(self):
        return [*self.by_node, *self.by_recovery[:2]]
