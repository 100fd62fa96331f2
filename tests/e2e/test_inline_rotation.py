#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""k3s's test of a single server, with inline keys, on real kube-apiservers: one for each type, side by side, since most of the time
goes by while they reload. What kube-apiserver's file and etcd hold at each step; a file that cannot be loaded."""

import concurrent.futures
import json
import os
import subprocess

import harness
from harness import KEYTURN, proved, wait_for
from inline_side import RELOADED, TYPES, Side


class InlineRotation(harness.Case):
    @classmethod
    def prepare(cls):
        cls.pool = concurrent.futures.ThreadPoolExecutor(len(TYPES))
        cls.workspace.on_close(cls.pool.shutdown)
        cls.sides = list(cls.pool.map(lambda kind: Side(cls.workspace, kind), TYPES))
        cls.names = {}

    def keyturn(self, *words, status=0):
        """On both at once; what each answered."""
        answers = list(self.pool.map(lambda side: side.keyturn(*words), self.sides))
        for side, answer in zip(self.sides, answers):
            self.assertEqual(answer.exit, status, f"{side.kind}: {answer!r}")
        return zip(self.sides, answers)

    def succeeds(self, said, *words):
        for _, answer in self.keyturn(*words):
            self.assertEqual(answer.stdout, said + "\n")

    def shows(self, stage, *keys, enabled="Enabled"):
        """status, byte for byte; names by what they are called on each side."""
        for side, answer in self.keyturn("status"):
            width = max(len(TYPES[side.kind]), len("Key Type"))
            rows = "".join(f" {'*' if mark else ' '}      {TYPES[side.kind]:<{width}}  {self.names[side][i]}\n" for mark, i in keys)
            heads = f"Active  {'Key Type':<{width}}  Name\n------  {'--------':<{width}}  ----\n"
            self.assertEqual(answer.stdout, f"Encryption Status: {enabled}\nCurrent Rotation Stage: {stage}\n"
                                            f"Server Encryption Hashes: All hashes match\n\n{heads}{rows}\n")

    def stored_under(self, i):
        for side in self.sides:
            stored = side.store()
            if i is None:
                self.assertTrue(stored.startswith(b"k8s\0"), stored[:40])
            else:
                self.assertTrue(stored.startswith(side.prefix(self.names[side][i])), stored[:80])
            client = side.cluster.api.client()
            for name, value in side.kept.items():
                self.assertEqual(client.read_secret(name), value)

    def all_stored_under(self, i):
        for side in self.sides:
            prefix = b"k8s\0" if i is None else side.prefix(self.names[side][i])
            self.assertEqual([key for key, value in side.cluster.etcd.all("/registry/secrets/") if not value.startswith(prefix)], [])

    def restart(self):
        list(self.pool.map(Side.restart, self.sides))

    def test_1_start(self):
        for side in self.sides:
            self.names[side] = [f"{side.kind}key"]
        self.shows("start", (True, 0))
        self.stored_under(0)

    def test_2_disable_and_enable(self):
        """Each server has the file before anything is claimed; what was written under the key stays readable."""
        for _, answer in self.keyturn("disable", "--yes", "-o", "json"):
            self.assertGreater(answer.json()["rewritten"], 0)
        self.all_stored_under(None)
        for side in self.sides:
            self.assertEqual(side.order(), ["identity", self.names[side][0]])
        self.shows("start", (False, 0), enabled="Disabled")
        self.stored_under(None)
        for _, answer in self.keyturn("enable", "--yes", "-o", "json"):
            self.assertGreater(answer.json()["rewritten"], 0)
        self.all_stored_under(0)
        for side in self.sides:
            self.assertEqual(side.order(), [self.names[side][0], "identity"])
        self.shows("start", (True, 0))
        self.stored_under(0)

    def test_3_put_back(self):
        """Another plugin in the list is away, so kube-apiserver does not load what is written; what it had before comes back."""
        for side in self.sides:
            side.other.start()
            side.add_foreign()
        wait_for("both have loaded the file", lambda: all(
            "All hashes match" in side.keyturn("status").stdout and
            side.keyturn("status", "-o", "json").json()["apiServers"][0]["configHash"] == side.hash() for side in self.sides), RELOADED, 1)
        before = {}
        for side in self.sides:
            before[side] = side.config.read_bytes()
            side.other.kill()
        runs = [subprocess.Popen([KEYTURN, "prepare", "--timeout", "150", "--config", side.daemon.config, *side.options(), "-o", "json"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for side in self.sides]
        for side, run in zip(self.sides, runs):
            self.workspace.on_close(run.kill)
            wait_for("status says that the file was refused", lambda side=side: "could not load the file" in side.keyturn("status").stdout, 150, 1)
            self.assertIn(str(side.other.socket), side.keyturn("status", "-o", "json").json()["apiServers"][0]["reloadFailure"])
        for side, run in zip(self.sides, runs):
            error = json.loads(run.communicate(timeout=300)[1].splitlines()[-1])["error"]
            self.assertEqual((run.returncode, error["code"]), (4, "INCOMPLETE"), error)
            self.assertIn("the previous config file was put back", error["message"])
            self.assertEqual(side.config.read_bytes(), before[side])
            side.other.start()
        self.stored_under(0)
        proved("a file that no API server could load is taken back, with the reason")

    def test_4_prepare(self):
        self.succeeds("prepare completed successfully", "prepare")
        for side in self.sides:
            name = side.order()[1]
            self.assertRegex(name, f"^{side.kind}key-\\d{{4}}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$")
            self.names[side].append(name)
            self.assertEqual(side.order(), [*self.names[side], "identity", "kms"])
        self.shows("prepare", (True, 0), (False, 1))
        self.stored_under(0)
        self.restart()
        self.shows("prepare", (True, 0), (False, 1))
        self.stored_under(0)

    def test_5_rotate_killed_and_again(self):
        """Killed (-9) as soon as the file is written; the same command goes on."""
        runs = [subprocess.Popen([KEYTURN, "rotate", "--config", side.daemon.config, *side.options()], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for side in self.sides]
        for side, run in zip(self.sides, runs):
            wait_for("the file has the new key first", lambda side=side: side.order()[0] == self.names[side][1], 60)
            run.kill()
            run.communicate()
        for side in self.sides:
            client = side.cluster.api.client()
            for name, value in side.kept.items():
                self.assertEqual(client.read_secret(name), value)
        self.succeeds("rotate completed successfully", "rotate")
        self.shows("rotate", (True, 1), (False, 0))
        self.stored_under(1)
        self.restart()
        self.shows("rotate", (True, 1), (False, 0))
        self.stored_under(1)
        self.succeeds("reencryption finished", "reencrypt")
        self.all_stored_under(1)
        proved("prepare, rotate and restarts of kube-apiserver with aescbc and secretbox keys, as k3s tests them")

    def test_6_a_file_that_cannot_be_loaded(self):
        """status tells, in kube-apiserver's own words; what was loaded before stays in force, and rollback mends it."""
        good = {}
        for side in self.sides:
            good[side] = side.config.read_bytes()
            fresh = side.config.with_name("fresh")
            fresh.write_bytes(good[side].replace(b'"secret": "', b'"secret": "AAAA', 1))
            os.rename(fresh, side.config)

        def refused():
            return all("could not load the file" in answer.stdout for _, answer in self.keyturn("status", status=8))
        wait_for("status says that the file was refused", refused, RELOADED, 1)
        for side, answer in self.keyturn("status", "-o", "json", status=8):
            server, = answer.json()["apiServers"]
            self.assertRegex(server["reloadFailure"], r"could not load the file at \S+: .*resources\[0\].providers\[0\]")
            log = (side.cluster.api.dir / "kube-apiserver.log").read_text().replace('\\"', '"')
            reason = server["reloadFailure"].split(": ", 1)[1].removeprefix(f"{side.config}: ")
            words = reason.split("resources[0]", 1)[1].split(":", 1)[1].strip()[:40]
            self.assertIn(words, log, "it says what kube-apiserver says")
        for _, answer in self.keyturn("prepare", "--force", "--yes", status=2):
            self.assertIn("keyturn", answer.stderr)
        self.stored_under(1)
        for side, answer in self.keyturn("config", "rollback", "--yes", status=3):
            side.config.write_bytes(good[side])
        wait_for("all is well again", lambda: all(side.keyturn("status").exit == 0 for side in self.sides), RELOADED, 1)
        proved("a file that kube-apiserver cannot load is reported with its reason, and nothing becomes unreadable")


if __name__ == "__main__":
    harness.main(harness.assets)
