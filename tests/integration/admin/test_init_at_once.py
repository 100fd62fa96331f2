#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several runs of keyturn init on one directory at the same time."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import KEYTURN, PATIENCE, Case, fault, writes_to_walk  # noqa: E402


class AtOnce(Case):
    """One makes the keyring; the others say that there is one (3), or that another one is at it (5), and change nothing."""

    def start(self, number, env=None):
        return subprocess.Popen([KEYTURN, "init", "--dir", self.dir, "--yes", "--recovery-out", self.work / f"recovery.{number}", "-o", "json"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **(env or {})}, start_new_session=True)

    def ended(self, runs):
        """Takes a list of processes; says which number won."""
        said = [(*run.communicate(timeout=PATIENCE), run.returncode) for run in runs]
        statuses = [status for _, _, status in said]
        self.assertEqual(statuses.count(0), 1, said)
        self.assertLessEqual(set(statuses), {0, 3, 5}, said)
        self.assertEqual({path.name for path in self.dir.iterdir()}, {"keyturn.yaml", "run", "state"}, said)
        self.assertEqual([p for p in self.work.rglob("*") if p.name.endswith((".tmp", ".init"))], [], said)
        return statuses.index(0)

    def opened_by(self, number):
        self.assertEqual([p.name for p in self.work.glob("recovery.*")], [f"recovery.{number}"])
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.work / f"recovery.{number}"), 0)

    def clear(self):
        shutil.rmtree(self.work)
        self.work.mkdir()

    def test_eight(self):
        for _ in range(12):
            self.opened_by(self.ended([self.start(number) for number in range(8)]))
            self.clear()

    def overtaken(self, at):
        """The second runs from its beginning to its end while the first stands before a write."""
        first = self.start(0, fault(at, "stop"))
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        try:
            second = self.start(1)
            second.wait(PATIENCE)
        finally:
            first.send_signal(signal.SIGCONT)
        return [first, second]

    def test_one_that_is_overtaken_before_each_write(self):
        last = self.writes(lambda env: self.init(env=env))
        winners = set()
        for at in writes_to_walk(last):
            self.clear()
            with self.subTest(at=at):
                winner = self.ended(self.overtaken(at))
                self.opened_by(winner)
                winners.add(winner)
        self.assertEqual(winners, {0, 1})

    def cut_short(self):
        if not self.config.exists():
            self.expect(self.init(), 0)
        self.config.rename(self.dir / "state/keyturn.yaml.init")

    def test_what_is_finished_by_one_that_is_overtaken_before_each_write(self):
        self.cut_short()
        last = self.writes(lambda env: self.init(env=env))
        for at in writes_to_walk(last):
            self.cut_short()
            with self.subTest(at=at):
                self.ended(self.overtaken(at))
                self.assertEqual(list(self.work.glob("recovery.*")), [])
                self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
