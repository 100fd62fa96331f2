#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpm2-tss's device TCTI, as for /dev/tpmrm0: a terminal in the place of the device, which socat ties to a simulated TPM."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tpm import Case, until  # noqa: E402


class Device(Case):
    def setUp(self):
        super().setUp()
        self.link = self.work / "tpmrm0"
        socat = subprocess.Popen([shutil.which("socat"), f"PTY,link={self.link},raw,echo=0", f"UNIX-CONNECT:{self.tpm.socket}"],
                                 stdin=subprocess.DEVNULL)
        self.addCleanup(socat.wait)
        self.addCleanup(socat.kill)
        until(self.link.exists, "the terminal")
        # A terminal that nobody has open ends; a device does not.
        held = os.open(self.link, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, held)
        self.tcti = f"device:{self.link}"

    def test_seal_serve_and_reseal(self):
        self.expect(self.init(tcti=self.tcti))
        self.opens()
        self.expect(self.node("reseal", "--tpm-policy", "pcr:sha256:16"))
        self.opens()
        self.start()
        self.expect(self.keyturn("status", "--wait", "30", "--config", self.config))
        self.expect(self.keyturn("probe", "--config", self.config))


if __name__ == "__main__":
    unittest.main(verbosity=2)
