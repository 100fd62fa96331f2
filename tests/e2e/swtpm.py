# SPDX-License-Identifier: Apache-2.0
"""A TPM of a test's own: swtpm, reached by a Unix socket."""

import pathlib
import subprocess

from harness import wait_for


class SimulatedTpm:
    def __init__(self, directory, socket=None):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o700, exist_ok=True)
        self.socket = pathlib.Path(socket or self.dir / "sock")
        self.tcti = f"swtpm:path={self.socket}"
        self.process = None
        self.start()

    def start(self):
        for path in (self.socket, pathlib.Path(f"{self.socket}.ctrl")):
            path.unlink(missing_ok=True)
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir}", "--server", f"type=unixio,path={self.socket},mode=0666",
             "--ctrl", f"type=unixio,path={self.socket}.ctrl,mode=0666", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the simulated TPM", self.socket.exists, 30)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(30)
            self.process = None
