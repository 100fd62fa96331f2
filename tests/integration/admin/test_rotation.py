#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rotations where no API server can be asked: what is refused, waited for, forced, interrupted, cut at every write, and two at
once. tests/e2e/test_rotation.py has the cluster."""
import json
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster  # noqa: E402
from program import BUILD, KEYTURN, PATIENCE, Terminal, fault, until  # noqa: E402

FORCED = ["--force", "--yes"]


class Rotations(Cluster):
    def keys(self):
        return [(key["type"], key["state"]) for key in self.info("a")["keys"]]

    def stage(self):
        return json.loads(self.on("a", "status", "-o", "json").stdout)["stage"]

    def below(self):
        """All but the lock, which may be made by whoever looks whether another one is at it."""
        return {name: data for name, data in self.files().items() if not name.endswith("rotation.lock")}

    def background(self, *words, env=None):
        """One that runs while others are looked at."""
        process = subprocess.Popen([KEYTURN, *words, "--config", self.config_of("a")], stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(env), start_new_session=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process


class KmsKeys(Rotations):
    def test_prepare_and_take_back(self):
        self.start("a")
        self.assertEqual(self.expect(self.on("a", "prepare"), 0).stdout, "prepare completed successfully\n")
        self.assertEqual((self.keys(), self.stage()), ([("kms", "active"), ("kms", "ready")], "prepare"))
        before = self.numbers("a")
        self.assertEqual(self.ok("a", "prepare")["changed"], False)
        self.assertEqual(self.numbers("a"), before)
        self.assertEqual(self.expect(self.on("a", "prepare", "--cancel"), 0).stdout, "prepare canceled\n")
        self.assertEqual((self.keys(), self.stage()), ([("kms", "active"), ("kms", "retiring")], "start"))
        self.assertEqual(self.ok("a", "prepare", "--cancel")["changed"], False)

    def test_rotate_is_refused_where_no_api_server_is_seen(self):
        self.start("a")
        self.refused("a", "rotate", code="REFUSED", words="incorrect stage: start found on node a")
        self.expect(self.on("a", "prepare"), 0)
        before = self.below()
        self.refused("a", "rotate", code="REFUSED", words="there is no kubeconfig")
        self.refused("a", "rotate", "--force", code="USAGE", status=2, words="--yes")
        self.assertEqual(self.below(), before)
        said = self.expect(self.on("a", "rotate", *FORCED), 0)
        self.assertEqual(said.stdout, "rotate completed successfully\n")
        self.assertIn("Risk: nothing proves what that API server does", said.stderr)
        self.assertEqual((self.keys(), self.stage()), ([("kms", "active"), ("kms", "ready")], "rotate"))
        again = self.ok("a", "rotate", *FORCED)
        self.assertEqual((again["changed"], [forced["gate"] for forced in again["forced"]]), (False, ["SERVERS"]))
        self.assertEqual(self.lines("a")[-1]["command"], "rotate --force")

    def kept(self, node):
        """All of a node but what its daemon writes while it serves: its counts and what it prints."""
        own = (f"{node}/state/usage", f"{node}/run/", f"{node}.log")
        return {name: what for name, what in self.tree().items() if not name.startswith(own) and name != f"{node}/state"}

    def test_dry_runs_change_nothing(self):
        self.start("a")
        before = self.kept("a")
        plan = self.ok("a", "prepare", "--dry-run")["plan"]
        self.assertEqual([step["change"] for step in plan if step["change"]], ["add a new key, last"])
        self.expect(self.on("a", "rotate-keys", "--dry-run", *FORCED), 0)
        self.assertEqual(self.kept("a"), before)

    def test_a_key_that_is_young_enough(self):
        """Nobody is asked for that, and nothing is changed; what is under way is gone on with."""
        before = self.below()
        self.assertEqual(self.expect(self.on("a", "rotate-keys", "--if-older-than", "80d", "--yes"), 0).stdout,
                         "the active key is not as old as that: nothing to do\n")
        answer = self.ok("a", "rotate-keys", "--if-older-than", "80d", "--yes")
        self.assertEqual((answer["due"], answer["changed"], answer["stage"]), (False, False, "start"))
        self.assertEqual(self.below(), before)
        for age in ("80", "0d", "-1d", "eighty", ""):
            self.refused("a", "rotate-keys", "--if-older-than", age, code="USAGE", status=2)
        # 81 days later.
        late = {"LD_PRELOAD": str(BUILD / "tests/fault/libkt_clock_ahead.so"), "KT_CLOCK_AHEAD": str(81 * 86400),
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        self.expect(self.on("a", "rotate-keys", "--if-older-than", "80d", "--yes", "-o", "json", env=late), 3, "REFUSED",
                    "there is no kubeconfig")
        self.start("a")
        self.expect(self.on("a", "prepare"), 0)
        run = self.on("a", "rotate-keys", "--if-older-than", "80d", "--yes", "--timeout", "2", "-o", "json")
        self.assertIn("there is no kubeconfig", self.expect(run, 4, "INCOMPLETE").stderr)

    def test_waits_for_the_daemon_and_goes_on(self):
        self.refused("a", "prepare", "--timeout", "1", code="INCOMPLETE", status=4, words="out of time")
        self.assertEqual(self.keys(), [("kms", "active"), ("kms", "ready")])
        said = self.expect(self.on("a", "prepare", "--timeout", "1"), 4).stderr
        self.assertRegex(said, r"(?m)^keyturn: waiting for \d+ s: prepare: expected every node .*, found node a, whose daemon does not "
                               r"answer or serves none of the keys")
        self.assertIn("run it again: it goes on from here", said)
        run = self.background("prepare")
        self.start("a", serving=False)
        self.assertEqual(run.communicate(timeout=PATIENCE)[0], "prepare completed successfully\n")
        self.assertEqual(self.keys(), [("kms", "active"), ("kms", "ready")])

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            run = self.background("prepare", "-o", "json")
            until(lambda: len(self.keys()) == 2, "the generation is written")
            until(lambda: self.catches(run.pid, number), "signals are caught")
            run.send_signal(number)
            said = run.communicate(timeout=PATIENCE)[1]
            error = json.loads(said)["error"]
            self.assertEqual((run.returncode, error["code"]), (4, "INCOMPLETE"), said)
            self.assertIn("interrupted", error["message"])
        self.start("a")
        self.expect(self.on("a", "prepare"), 0)
        self.assertEqual(self.keys(), [("kms", "active"), ("kms", "ready")])

    @staticmethod
    def catches(pid, number):
        caught = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
        return int(caught.split()[1], 16) & 1 << number - 1

    def test_at_a_terminal(self):
        with Terminal(KEYTURN, "prepare", "--config", self.config_of("a")) as terminal:
            terminal.until(b"generation 2: add a new key, last")
            terminal.until(b"\r\x1b[Kwaiting for ")
            line = terminal.until(b"\r\x1b[K")
            self.assertLess(len(line), 80)
            terminal.type("\x03", end="")
            self.assertEqual(terminal.end(), 4, terminal.seen)
            self.assertIn(b"interrupted: prepare: expected every node", terminal.seen)

    def test_two_at_once(self):
        first = self.background("prepare")
        until(lambda: len(self.keys()) == 2, "the generation is written")
        before = self.below()
        self.refused("a", "prepare", code="BUSY", status=5, words="another keyturn is changing keys")
        self.refused("a", "rotate", *FORCED, code="BUSY", status=5)
        self.assertEqual(self.below(), before)
        now = json.loads(self.on("a", "status", "-o", "json").stdout)["underWay"]
        self.assertEqual((now["command"], now["pid"]), ("prepare", first.pid))
        self.assertIn("expected every node", now["waitsFor"])
        self.start("a")
        self.assertEqual(first.communicate(timeout=PATIENCE)[0], "prepare completed successfully\n")
        self.assertIsNone(json.loads(self.on("a", "status", "-o", "json").stdout)["underWay"])

    def test_begun_together(self):
        """However they fall, each key is one that somebody was told of, and nobody was told of what did not happen."""
        self.start("a")
        runs = [self.background("prepare", "-o", "json") for _ in range(4)]
        ended = [(run.communicate(timeout=PATIENCE), run.returncode) for run in runs]
        for (_, said), status in ended:
            self.assertIn(status, (0, 5), said)
        self.assertEqual(sum(json.loads(out)["changed"] for (out, _), status in ended if status == 0), 1)
        self.assertEqual(self.keys(), [("kms", "active"), ("kms", "ready")])
        self.expect(self.verify("a"), 0)

    def test_overtaken_by_who_does_not_take_the_lock(self):
        """Stopped when its generation is made and not in force yet: it is made anew over the one that came in between."""
        run = self.background("prepare", "-o", "json", *FORCED, env=fault(2, "stop"))
        until(lambda: self.state_of_process(run.pid) == "T", "it has stopped")
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "hold", "7200")), 0)
        self.assertEqual((self.numbers("a"), self.keys()), ((1, 2), [("kms", "active")]))
        run.send_signal(signal.SIGCONT)
        out, said = run.communicate(timeout=PATIENCE)
        self.assertEqual(run.returncode, 0, said)
        self.assertEqual([wrote["generation"] for wrote in json.loads(out)["generations"]], [3])
        self.assertEqual((self.numbers("a"), self.keys()), ((1, 3), [("kms", "active"), ("kms", "ready")]))
        self.assertEqual(self.info("a")["holdSeconds"], 7200)
        self.expect(self.verify("a"), 0)

    @staticmethod
    def state_of_process(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    def test_prepare_cut_at_every_write(self):
        def check(_):
            self.expect(self.on("a", "prepare", *FORCED), 0)
            self.assertEqual(self.keys(), [("kms", "active"), ("kms", "ready")])

        self.walk(lambda env: self.on("a", "prepare", *FORCED, env=env), check, 10)

    def test_rotate_cut_at_every_write(self):
        self.expect(self.on("a", "prepare", *FORCED), 0)
        first, second = (key["id"] for key in self.info("a")["keys"])

        def check(_):
            self.expect(self.on("a", "rotate", *FORCED), 0)
            self.assertEqual([key["id"] for key in self.info("a")["keys"]], [second, first])

        self.walk(lambda env: self.on("a", "rotate", *FORCED, env=env), check, 10)


class InlineKeys(Rotations):
    def founding(self):
        return ["--provider", "aescbc"]

    def test_changes_nothing_while_the_file_cannot_be_changed(self):
        file = self.work / "encryption.json"
        self.expect(self.on("a", "config", "show", "--out", file), 0)
        good, before = file.read_text(), self.below()
        self.refused("a", "prepare", code="CONFIG", status=2, words="--encryption-config")
        # A key that only bears the name, and one that nobody knows.
        secret = json.loads(good)["resources"][0]["providers"][0]["aescbc"]["keys"][0]["secret"]
        for text in (good.replace(secret, "A" * 43 + "="), good.replace("aescbckey", "another")):
            file.write_text(text)
            run = self.refused("a", "prepare", "--encryption-config", file, *FORCED, code="REFUSED", words="does not know")
            self.assertNotIn(secret, run.stderr)
        for text in ("resources: [", good.replace("aescbckey", "")):
            file.write_text(text)
            self.refused("a", "prepare", "--encryption-config", file, *FORCED, code="CONFIG", status=2)
        file.unlink()
        self.refused("a", "prepare", "--encryption-config", file, code="IO", status=1)
        file.write_text(good)
        self.assertEqual(self.below(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
