#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An install, by keyturn and by keyturnd, cut at every write: the audit log verifies, and the same command goes on."""
import fcntl
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster, fault  # noqa: E402
from program import until, writes_to_walk  # noqa: E402


class Interrupted(Cluster):
    def test_offer(self):
        newer = self.edit("a", "add", "second")

        def check(_):
            self.expect(self.on("a", "keyring", "offer", newer), 0)
            self.assertEqual([line["seq"] for line in self.lines("a")], [1, 2])

        self.walk(lambda env: self.on("a", "keyring", "offer", newer, env=env), check, 10)

    def test_offer_of_several_generations(self):
        self.join("b")
        self.generations("a", 3)

        def check(_):
            self.expect(self.offer("b", "a"), 0)
            self.assertEqual([line["seq"] for line in self.lines("b")], [1, 2, 3, 4, 5])

        self.walk(lambda env: self.on("b", "keyring", "offer", self.keyring_of("a"), env=env), check, 10)

    def keeper_writes(self, newer):
        """Of its start, and of its start and an offer."""
        counts = self.work / "counts"
        seen = []
        for offers in (False, True):
            os.environ.update(fault(0, "count", "keyturn-keeper"), KEYTURN_FAULT_COUNT_FILE=str(counts))
            self.start("a")
            if offers:
                self.expect(self.on("a", "keyring", "offer", newer), 0)
            self.stop("a")
            self.forget_faults()
            seen.append(max(map(int, counts.read_text().split())))
            counts.unlink()
        return seen

    def forget_faults(self):
        for name in (*fault(0, ""), "KEYTURN_FAULT_COUNT_FILE"):
            os.environ.pop(name, None)

    def test_offer_to_a_daemon(self):
        newer = self.edit("a", "add", "second")
        saved = {p: p.read_bytes() for p in self.state_of("a").iterdir() if p.is_file()}

        def restore():
            for p in self.state_of("a").iterdir():
                if p.is_file() and p not in saved:
                    p.unlink()
            for p, data in saved.items():
                p.write_bytes(data)

        first, last = self.keeper_writes(newer)
        self.assertGreater(last - first, 8)
        for at in writes_to_walk(last, first + 1):
            restore()
            with self.subTest(at=at):
                os.environ.update(fault(at, "kill", "keyturn-keeper"))
                self.start("a")
                self.forget_faults()
                self.on("a", "keyring", "offer", newer)
                process = self.daemons.pop("a")
                process.kill()
                process.wait(60)
                until(lambda: not self.is_locked(), "all of the daemon has ended")
                self.logs_verify()
                self.start("a")
                self.logs_verify()
                self.expect(self.on("a", "keyring", "offer", newer), 0)
                self.assertEqual([line["seq"] for line in self.lines("a")], [1, 2])
                self.logs_verify()
                self.stop("a")

    def is_locked(self):
        with open(self.state_of("a") / "lock", "r+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
