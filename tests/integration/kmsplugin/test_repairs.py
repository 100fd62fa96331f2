# SPDX-License-Identifier: Apache-2.0
"""What keyturnd puts right by itself, and what it says meanwhile: children that crash over and over, get stuck or lose
each other, and signals that come at the wrong moment."""
import os
import signal
import unittest

from daemon import Daemon, until

CRASH = "#!/bin/sh\nexit 3\n"


class Case(unittest.TestCase):
    settings = ()

    def setUp(self):
        self.d = Daemon(*self.settings)
        self.addCleanup(self.d.close)

    def ends_of(self, role):
        """How often one has ended by itself; the control socket cannot tell while the keeper is away."""
        return sum("event=ended" in line and f"process={role} " in line for line in self.d.log().splitlines())


class Watchdog(Case):
    def test_a_keeper_that_crashes_over_and_over(self):
        """is no reason to have everything killed: the front serves on."""
        self.d.extra_env = {"WATCHDOG_USEC": "400000"}
        self.d.start().wait_healthz("ok")
        processes = self.d.processes()
        self.d.replace_program("keeper", CRASH)
        os.kill(processes["keeper"][0], signal.SIGKILL)
        until(lambda: self.pings() and self.ends_of("keeper") >= 7, "the keeper is away for three seconds")
        pings = self.pings()
        until(lambda: self.pings() > pings + 3, "pings go on")
        self.assertEqual((self.ends_of("keeper"), self.ends_of("front")), (7, 0))

    def pings(self):
        """So far. A service manager that did not listen would make keyturnd wait."""
        self.d.heard("")
        return self.d.notified.count("WATCHDOG=1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
