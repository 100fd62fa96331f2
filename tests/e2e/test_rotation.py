#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rotation of kms keys on a real kube-apiserver and etcd: prepare, rotate, and what etcd holds then."""

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import signal
import subprocess
import threading
import time

import harness
from cluster import EncryptedObject
from harness import BUILD, KEYTURN, proved, wait_for
from one_server import OneServer

FAULT = BUILD / "tests/fault/libkt_kill_at_write.so"
KEYS = "Active  Key Type  Name\n------  --------  ----\n"


def sha256(data):
    return "sha256:" + hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


class Rotation(OneServer):
    def store(self, name):
        self.create_kept(name)
        return EncryptedObject(self.cluster.etcd.secret(name)).key_id

    def test_1_status(self):
        self.store("first")
        said = self.keyturn("status").stdout
        self.assertEqual(said, "Encryption Status: Enabled\nCurrent Rotation Stage: start\n"
                               f"Server Encryption Hashes: All hashes match\n\n{KEYS} *      KMS-v2    kmskey\n\n")
        status = self.keyturn("status", "-o", "json").json()
        self.assertEqual((status["hashmatch"], status["hasherror"]), (True, ""))
        server, = status["apiServers"]
        self.assertEqual(server, {"id": server["id"], "address": f"https://127.0.0.1:{self.cluster.api.port}",
                                  "keyIdHash": sha256(self.daemon.key_id()), "configHash": sha256(self.config.read_bytes()),
                                  "current": True, "reachable": True, "reloadFailure": ""})
        self.assertRegex(self.keyturn("status", "-v").stdout, r"(?m)^API server: \S+ https://127.0.0.1:\d+, current, .*\n"
                         r"  wrote last at \S+, under key_id " + sha256(self.daemon.key_id()))

    def lines(self):
        return [json.loads(line) for line in (self.daemon.state / "audit.log").read_text().splitlines()]

    def names(self):
        return [(key["name"], key["state"]) for key in self.daemon.status()["keys"]]

    def test_2_prepare(self):
        before = self.daemon.key_id()
        plan = self.keyturn("prepare", "--dry-run").stdout
        self.assertRegex(plan, r"(?m)^ 1  start +write a generation: remember the API servers that were seen\n"
                               r" 2  start +write a generation: add a new key, last$")
        self.assertEqual(self.names(), [("kmskey", "active")])
        self.assertIn("incorrect stage: start found on node", self.keyturn("rotate", status=3).stderr)
        self.assertEqual(self.keyturn("prepare").stdout, "prepare completed successfully\n")
        (first, *_), (name, state) = self.names()
        self.assertEqual((first, state), ("kmskey", "ready"))
        self.assertRegex(name, r"^kmskey-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(self.daemon.key_id(), before)
        again = self.keyturn("prepare", "-o", "json").json()
        self.assertEqual((again["kind"], again["command"], again["changed"], again["stage"], again["served"]),
                         ("Rotation", "prepare", False, "prepare", True))
        self.assertEqual(self.keyturn("prepare", "--cancel").stdout, "prepare canceled\n")
        self.assertEqual(self.names(), [("kmskey", "active"), (name, "retiring")])
        self.keyturn("prepare")
        self.assertEqual(len(self.names()), 3)
        self.assertEqual([line["command"] for line in self.lines()],
                         ["init", "prepare", "prepare", "prepare --cancel", "prepare"])

    def test_3_rotate(self):
        old, begun = self.daemon.key_id(), time.monotonic()
        with self.rotating("rotate") as run:
            wait_for("the new key is the active one", lambda: self.daemon.key_id() != old, 60)
            run.send_signal(signal.SIGSTOP)
            self.assertEqual(self.keyturn("rotate", "-o", "json", status=5).error()["code"], "BUSY")
            run.send_signal(signal.SIGCONT)

            def under_new_key():
                self.assertIsNone(run.poll() or None, "rotate failed")
                fresh = self.daemon.key_id()
                return fresh != old and self.store(f"new-{secrets.token_hex(4)}") == fresh
            wait_for("an object is stored under the new key", under_new_key, 120, 0.2)
            first = time.monotonic() - begun
            said, progress = run.communicate(timeout=300)
        self.assertEqual((run.returncode, said), (0, "rotate completed successfully\n"), progress)
        seconds, fresh = time.monotonic() - begun, self.daemon.key_id()
        self.assertRegex(progress, r"keyturn: waiting for \d+ s: rotate: expected every API server has been told the new key_id")
        self.assertEqual(EncryptedObject(self.canary()).key_id, fresh)
        self.assertEqual(EncryptedObject(self.cluster.etcd.secret("first")).key_id, old)
        self.read_all()
        self.assertEqual(self.store("after"), fresh)
        begun = time.monotonic()
        self.assertEqual(self.keyturn("rotate").stdout, "rotate completed successfully\n")
        proved(f"rotate: the first object under the new key {first:.1f} s after it was started, done after {seconds:.1f} s, "
               f"again {time.monotonic() - begun:.1f} s; what was stored before is read")

    @contextlib.contextmanager
    def rotating(self, *words):
        with subprocess.Popen(
                [KEYTURN, *words, "--config", self.daemon.config, "--kubeconfig", self.kubeconfig, "--encryption-config",
                 self.config, "--etcd-endpoints", self.cluster.etcd.url()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True) as run:
            try:
                yield run
            finally:
                run.kill()

    def canary(self):
        """What etcd holds of it; there is one API server, so one canary."""
        path = "/api/v1/namespaces/kube-system/secrets?labelSelector=app.kubernetes.io/managed-by%3Dkeyturn"
        item, = self.cluster.api.client().get(path)[1]["items"]
        return self.cluster.etcd.secret(item["metadata"]["name"], "kube-system")

    def test_4_api_server_that_is_gone(self):
        """It is remembered, and holds everything up until somebody says that it is gone."""
        out = self.workspace.path / "next.yaml"
        subprocess.run([BUILD / "tests" / "make_state", "edit", self.daemon.dir, out, "api-server", "apiserver-gone"],
                       check=True, capture_output=True, env={**os.environ, "KEYTURN_BUILD": str(BUILD)})
        self.assertEqual(self.daemon.offer(out).exit, 0)
        answer = self.keyturn("rotate", "--timeout", "1", status=4)
        self.assertRegex(answer.stderr, r"keyturn: out of time: rotate: expected every API server is known and can be asked, found "
                                        r"apiserver-gone does not answer")
        mine = self.keyturn("status", "-o", "json").json()["apiServers"][0]["id"]
        error = self.keyturn("rotate", "--forget-api-server", mine, "-o", "json", status=3).error()
        self.assertIn("found that it answers", error["message"])
        done = self.keyturn("rotate", "--forget-api-server", "apiserver-gone", "-o", "json").json()
        self.assertEqual([step["change"] for step in done["generations"]], ["forget API servers that are gone"])
        self.assertFalse(self.keyturn("rotate", "--forget-api-server", "apiserver-gone", "-o", "json").json()["changed"])

    def test_5_prepare_where_a_rotation_is_under_way(self):
        self.assertEqual(self.daemon.status()["stage"], "rotate")
        self.assertIn("incorrect stage: rotate found on node", self.keyturn("prepare", status=3).stderr)
        said = self.keyturn("prepare", "--force", "--yes").stderr
        self.assertIn("Risk: the rotation under way is left where it is", said)
        self.assertEqual(self.lines()[-1]["command"], "prepare --force")
        self.keyturn("audit", "verify")

    def test_6_killed_and_by_the_metric_of_writes(self):
        """Where nobody may look into the store. The first run is killed (-9) in the middle, the next is interrupted."""
        old = self.daemon.key_id()
        with self.rotating("rotate") as run:
            wait_for("the new key is the active one", lambda: self.daemon.key_id() != old, 60)
            run.kill()
            run.wait()
        with self.rotating("rotate") as run:
            line = run.stderr.readline()
            self.assertIn("waiting for 0 s: rotate: expected", line)
            run.send_signal(signal.SIGINT)
            said = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 4, said)
        self.assertRegex(said, r"keyturn: interrupted: rotate: expected .*\n  run it again: it goes on from here; ")
        self.assertEqual(self.keyturn("rotate", store=False).stdout, "rotate completed successfully\n")
        fresh = self.daemon.key_id()
        self.assertNotEqual(fresh, old)
        self.assertEqual(EncryptedObject(self.canary()).key_id, fresh)
        self.read_all()
        self.assertIn("Server Encryption Hashes: All hashes match\n", self.keyturn("status").stdout)


    # Killed (-9) before each write of its own, and at times in between: the daemon writes, and kube-apiserver

    def fault(self, at, do):
        return {"LD_PRELOAD": str(FAULT), "KEYTURN_FAULT_PROGRAM": "keyturn,keyturn-opener", "KEYTURN_FAULT_AT": str(at),
                "KEYTURN_FAULT_DO": do, "KEYTURN_FAULT_COUNT_FILE": str(self.workspace.path / "writes"),
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}

    def writes(self, *words):
        """How many it makes; it succeeds."""
        counts = self.workspace.path / "writes"
        counts.unlink(missing_ok=True)
        self.keyturn(*words, env=self.fault(0, "count"))
        return max(map(int, counts.read_text().split()))

    def cut(self, at, *words):
        """Killed before its at-th write, and again until the end."""
        self.keyturn(*words, status=-signal.SIGKILL, env=self.fault(at, "kill"))
        self.keyturn(*words)

    def cut_after(self, seconds, *words):
        """Killed then, wherever it is, if it has not ended; and again until the end."""
        with self.rotating(*words) as run, contextlib.suppress(subprocess.TimeoutExpired):
            run.communicate(timeout=seconds)
        self.keyturn(*words)

    @contextlib.contextmanager
    def writers(self):
        """Secrets are written and read all the while; each must be there as it was."""
        stop, wrong, kept = threading.Event(), [], {}

        def work(number):
            client = self.cluster.api.client(keep=True)
            for i in itertools.count():
                if stop.is_set():
                    break
                name, value = f"writer-{number}-{i}", secrets.token_hex(16).encode()
                status, answer = client.create_secret(name, value)
                if status != 201:
                    wrong.append(answer)
                    break
                kept[name] = value
                read = f"writer-{number}-{secrets.randbelow(i + 1)}"
                if client.read_secret(read) != kept[read]:
                    wrong.append(read)
                stop.wait(0.1)
            client.close()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(kept), 20)
        self.kept.update(kept)

    def rotated(self, name, cut):
        """A rotation that is cut ends with the new key in use."""
        old = self.daemon.key_id()
        self.keyturn("prepare", "--force", "--yes")
        cut("rotate")
        fresh = self.daemon.key_id()
        self.assertNotEqual(fresh, old)
        self.assertEqual(EncryptedObject(self.canary()).key_id, fresh)
        self.assertEqual(self.store(name), fresh)

    def test_7_killed_anywhere(self):
        with self.writers():
            self.keyturn("prepare", "--force", "--yes")
            cancels = self.writes("prepare", "--cancel")
            prepares = self.writes("prepare")
            self.keyturn("prepare", "--cancel")
            for at in range(1, prepares + 1):
                self.cut(at, "prepare")
                self.cut(1 + at % cancels, "prepare", "--cancel")
            for step in range(1, 9):
                self.cut_after(step * 0.05, "prepare")
                self.cut_after(step * 0.05, "prepare", "--cancel")
            self.keyturn("prepare")
            rotates = self.writes("rotate")
            for at in range(1, rotates + 1):
                self.rotated(f"cut-{at}", lambda *words, at=at: self.cut(at, *words))
            for step in range(1, 5):
                self.rotated(f"cut-after-{step}", lambda *words, step=step: self.cut_after(step * 0.1, *words))
        self.read_all()
        self.assertEqual(self.daemon.keyturn("audit", "verify").exit, 0)
        proved(f"prepare, prepare --cancel and rotate killed before each of their {prepares}, {cancels} and {rotates} writes and twenty times "
               f"in between, and run again: {len(self.kept)} secrets of writers that went on all the while are as they were")


if __name__ == "__main__":
    harness.main(harness.assets)
