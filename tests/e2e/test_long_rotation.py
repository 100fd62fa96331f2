#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rotations with thousands of objects and everybody at work, each disturbed in the middle of the rewriting: what was killed comes
back, the same command finishes, and every object is what was written. Run by tools/check-rotation; with KEYTURN_STORE=kine, kine is
in etcd's place."""

import collections
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import time
import unittest

import harness
from cluster import ApiServer, EncryptedObject, write_kubeconfig
from daemon import Answer
from harness import KEYTURN, SOURCE, proved, wait_for
from kine import KineCluster, kine
from one_server import OneServer
from traffic import KINDS, Traffic, path_of
from webhook import Webhook

STORE = os.environ.get("KEYTURN_STORE", "etcd")
MESSAGE = "frozen by the policy of this test"
FILLER = 1 << 20  # bytes of a value that takes etcd's space
QUOTA_ABOVE = 64 << 20  # of what it has: room for what everybody writes until then
AWAY = 40  # s that a command waits for what is away
AWAY_END = 4 * AWAY  # s until it has given up: requests that are on their way come to their end first
END = 900  # s that a command may take to its end


def documented():
    """{exit status: words} of the man page."""
    page = (SOURCE / "docs/man/keyturn.1").read_text()
    section = page[page.index(".Sh EXIT STATUS"):page.index(".Sh OUTPUT")]
    return {int(number): words for number, words in re.findall(r"\.It (\d+)\n(.*)\n", section)}


class Disturbed(OneServer):
    """N Secrets and some ConfigMaps, with everybody at work on them, and a rotation in each test."""
    KINDS = KINDS
    N = int(os.environ.get("KEYTURN_SECRETS", "5000"))
    WORKERS = {"writers": 2, "deleters": 1, "readers": 3}

    @classmethod
    def make_cluster(cls):
        return KineCluster(cls.workspace.path, cls.config) if STORE == "kine" else super().make_cluster()

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.client = cls.cluster.api.client()
        # The rewriting takes so long that something can happen meanwhile.
        cls.words = ["rotate-keys", "-o", "json", "--max-rate", str(max(20, cls.N // 12))]
        cls.logs, cls.kills, cls.checked = itertools.count(1), 0, 0
        cls.outcomes = collections.Counter()  # exit statuses of what was disturbed
        cls.statuses = documented()
        cls.traffic = Traffic(cls.cluster.api, cls.N, max(20, cls.N // 10))
        cls.workspace.on_close(cls.traffic.stop)
        cls.begun = time.monotonic()
        cls.traffic.populate()
        print(f"{len(cls.traffic.live)} objects in {time.monotonic() - cls.begun:.0f} s", flush=True)
        cls.traffic.start(**cls.WORKERS)

    def setUp(self):
        if self.daemon.status()["stage"] not in ("start", "reencrypt_finished"):  # the test before this one has failed
            self.keyturn("rotate-keys")
        self.old = self.daemon.key_id()
        self.traffic.begin()

    def tearDown(self):
        errors, self.traffic.errors[:] = self.traffic.errors[:3], []
        self.assertEqual(errors, [])

    # ---- what every test does ----

    @contextlib.contextmanager
    def running(self, *words):
        """The command, whose standard error is in a log."""
        log = self.workspace.path / f"keyturn-{next(self.logs)}.log"
        with open(log, "w", encoding="utf-8") as errors, subprocess.Popen(
                [KEYTURN, *map(str, words or self.words), *self.options(), "--config", self.daemon.config], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True) as run:
            run.log = log
            try:
                yield run
            finally:
                run.kill()

    def ended(self, run, within=END):
        """How it ended, as Daemon.keyturn says it."""
        try:
            said, _ = run.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.fail(f"keyturn has not ended within {within} s: {run.log.read_text()}")
        return Answer(subprocess.CompletedProcess([], run.returncode, said, run.log.read_text()))

    def left(self, key):
        """How many objects of ours are stored under that key."""
        census = self.keyturn("census", "-o", "json").json()
        return sum(row["count"] for row in census["counts"] if row["key"] == key and row["resource"] in KINDS)

    def wait_rewritten(self, run, part):
        """So large a part of all; what part it is then."""
        total = len(self.traffic.live)

        def rewritten():
            self.assertIsNone(run.poll(), f"ended before it could be disturbed: {run.log.read_text()}")
            if self.daemon.status()["stage"] != "reencrypt_active":
                return None
            now = 1 - self.left(self.old) / total
            return now if now >= part else None
        return wait_for(f"{part:.0%} are rewritten", rewritten, 300, 0.2)

    def check_documented(self, answer, statuses):
        """The exit status is one of these, and in the man page; what went wrong is said in words."""
        self.assertIn(answer.exit, statuses, answer)
        self.assertIn(answer.exit, self.statuses)
        if answer.exit != 0:
            error = answer.error()
            self.assertTrue(error["message"], answer)
            codes = {1: ("IO",), 4: ("INCOMPLETE",), 5: ("BUSY",), 7: ("UNREACHABLE", "TIMEOUT")}
            self.assertIn(error["code"], codes[answer.exit], answer)
            print(f"exit status {answer.exit}: {error['message'][:300]}", flush=True)
        self.outcomes[answer.exit] += 1

    def finish(self, answer=None):
        """The same command again, where it did not end well; after it all is under the new key."""
        again = answer is None or answer.exit != 0
        if again:
            with self.running() as run:
                answer = self.ended(run)
        self.assertEqual(answer.exit, 0, answer)
        result = answer.json()
        self.assertEqual((result["stage"], result["leftOver"]), ("reencrypt_finished", []))
        self.check_current()
        return "the same command again finished it" if again else "it went on by itself"

    def check_current(self):
        """One key is new, all of ours are stored under it, in the store itself too, and each is what was written."""
        status = self.daemon.status()
        key, states = self.daemon.key_id(), [entry["state"] for entry in status["keys"]]
        self.assertNotEqual(key, self.old)
        self.assertEqual(states, ["active"] + ["retiring"] * (len(states) - 1))
        self.assertEqual(status["stage"], "reencrypt_finished")
        census = self.keyturn("census", "-o", "json", "--fail-on", "plaintext,unknown,other,missing").json()
        for kind in KINDS:
            rows = [(row["provider"], row["key"], row["state"]) for row in census["counts"] if row["resource"] == kind]
            self.assertEqual(rows, [("kms-v2", key, "active")], kind)
            for at, value in self.cluster.etcd.all(f"/registry/{kind}/"):
                self.assertEqual(EncryptedObject(value).key_id, key, at)
        self.check_objects()

    def check_objects(self):
        type(self).checked += self.traffic.check_all()
        self.assertEqual(self.traffic.errors[:3], [])

    def check_between(self, run):
        """Of ours, nothing is stored under anything but the two keys; all can be read. run: has ended."""
        self.assertIsNotNone(run.poll())
        census = self.keyturn("census", "-o", "json").json()
        states = {row["state"] for row in census["counts"] if row["resource"] in KINDS}
        self.assertLessEqual(states, {"active", "ready"})
        self.check_objects()

    def check_vain(self):
        """The command run while something is still away."""
        with self.running(*self.words, "--timeout", "5") as run:
            self.check_documented(self.ended(run, AWAY_END), (4, 7))

    def wait_well(self):
        """What was killed is back for readers and writers."""
        body = {"metadata": {"labels": {"seen": str(time.monotonic_ns())}}}
        wait_for("kube-apiserver writes again", lambda: self.cluster.api.client().request(
            "PATCH", "/api/v1/namespaces/default", body, "application/merge-patch+json")[0] == 200, 120, 0.2)


class Rotation(Disturbed):
    def test_1_keyturn(self):
        """kill -9 of the command itself, four times in one rotation."""
        parts = []
        for part in (0.1, 0.3, 0.55, 0.8):
            with self.running() as run:
                parts.append(self.wait_rewritten(run, part))
                run.kill()
                run.wait()
                type(self).kills += 1
                self.assertEqual(self.daemon.status()["stage"], "reencrypt_active")
                self.check_between(run)
        self.finish()
        at = ", ".join(f"{part:.0%}" for part in parts)
        proved(f"keyturn killed at {at} of the rewriting: the same command finished it; {self.traffic.figures()}; no failure")

    def disturb(self, what, kill, start, outage, away=False):
        """kill() in the middle of the rewriting, and start(): at once, or, with away, when keyturn has given up waiting. outage: the
        requests that may fail until then."""
        words = [*self.words, "--timeout", str(AWAY)] if away else self.words
        with self.running(*words) as run:
            part = self.wait_rewritten(run, 0.3)
            with self.traffic.outage(*outage):
                kill()
                type(self).kills += 1
                try:
                    answer = self.ended(run, AWAY_END) if away else None
                    if away:
                        self.check_vain()
                finally:
                    start()
                    self.wait_well()
            answer = answer or self.ended(run)
        self.check_documented(answer, (4, 7) if away else (0, 4, 7))
        how = self.finish(answer)
        proved(f"{what} killed at {part:.0%} of the rewriting, {'back after its end' if away else 'started at once'} (exit status "
               f"{answer.exit}): {how}; {self.traffic.figures()}")

    def test_2_keyturnd(self):
        """kube-apiserver goes on with the seeds that it has: nobody notices."""
        def kill():
            self.daemon.kill()
            reads = self.traffic.counts["read"]
            wait_for("readers go on", lambda: self.traffic.counts["read"] > reads + 200)
        self.disturb("keyturnd", kill, self.daemon.start, ())

    def test_2_keyturnd_away(self):
        self.disturb("keyturnd", self.daemon.kill, self.daemon.start, (), away=True)

    def start_api(self):
        self.cluster.api.start()
        write_kubeconfig(self.kubeconfig, [self.cluster.api])

    def test_3_kube_apiserver(self):
        self.disturb("kube-apiserver", lambda: self.cluster.api.stop(signal.SIGKILL), self.start_api, ("read", "write"))

    def test_3_kube_apiserver_away(self):
        self.disturb("kube-apiserver", lambda: self.cluster.api.stop(signal.SIGKILL), self.start_api, ("read", "write"), away=True)

    def test_4_etcd(self):
        self.disturb(STORE, lambda: self.cluster.etcd.stop(signal.SIGKILL), self.cluster.etcd.start, ("read", "write"))

    def test_4_etcd_away(self):
        self.disturb(STORE, lambda: self.cluster.etcd.stop(signal.SIGKILL), self.cluster.etcd.start, ("read", "write"), away=True)

    def create_kept(self, name):
        """Not one of those that others write."""
        super().create_kept(name)
        return f"/registry/secrets/default/{name}"

    def check_left_over(self, answer, name, reason):
        """That one alone is left over; its key stays, and the rest is done."""
        self.check_documented(answer, (4,))
        left = answer.json()["leftOver"]
        self.assertEqual([(item["resource"], item["namespace"], item["name"]) for item in left], [("secrets", "default", name)], answer)
        self.assertIn(reason, left[0]["reason"])
        self.assertIn(self.old, left[0]["storedAs"])
        self.assertFalse(left[0]["passing"])
        status = self.daemon.status()
        self.assertEqual(status["stage"], "reencrypt_active")
        self.assertIn((self.old, "ready"), [(entry["id"], entry["state"]) for entry in status["keys"]])
        self.assertEqual(self.left(self.old), 1)

    def test_5_webhook(self):
        place, webhook = self.create_kept("frozen"), Webhook(self.workspace.path / "webhook", "frozen", MESSAGE)
        self.addCleanup(webhook.close)
        self.addCleanup(self.client.request, "DELETE", webhook.PLACE)
        webhook.register(self.client, self.is_refused)
        with self.running() as run:
            calls = webhook.calls["frozen"]
            first = self.ended(run)
        self.check_left_over(first, "frozen", MESSAGE)
        self.assertEqual(webhook.calls["frozen"], calls + 1, "what a webhook refuses is not tried again")
        with self.running() as run:
            self.check_left_over(self.ended(run), "frozen", MESSAGE)
        self.read_all()
        self.assertEqual(EncryptedObject(self.cluster.etcd.get(place)).key_id, self.old)
        self.check_objects()
        asked = webhook.calls.total()
        webhook.remove(self.client, self.is_refused)
        self.finish()
        self.read_all()
        proved(f"a webhook, asked {asked} times, refused one of {first.json()['rewritten'] + 1} objects: listed with its reason, its key "
               f"kept; without it the same command finished; {self.traffic.figures()}; no failure")

    def test_5_webhook_away(self):
        """It ends in the middle of the rewriting, and stays registered: nothing is written any more until it is removed."""
        webhook = Webhook(self.workspace.path / "webhook-away", None, MESSAGE)
        self.create_kept("asked")
        self.addCleanup(self.client.request, "DELETE", webhook.PLACE)
        webhook.register(self.client, lambda: not self.is_refused("asked") and webhook.calls["asked"] > 0)
        with self.running() as run:
            part = self.wait_rewritten(run, 0.3)
            with self.traffic.outage("write"):
                webhook.close()
                answer = self.ended(run)
                self.check_documented(answer, (4, 7))
                self.check_between(run)
                webhook.remove(self.client, lambda: self.is_refused("asked"))
                self.wait_well()
        how = self.finish(answer)
        left = answer.json()["leftOver"] if answer.stdout else []
        proved(f"a webhook away at {part:.0%} of the rewriting (exit status {answer.exit}, {len(left)} left over are named): {how}; "
               f"{self.traffic.figures()}")

    def is_refused(self, name="frozen"):
        body = {"metadata": {"labels": {"seen": str(time.monotonic_ns())}}}
        path = path_of("secrets", name) + "?dryRun=All"
        status, answer = self.client.request("PATCH", path, body, "application/merge-patch+json")
        self.assertIn(status, (200, 403, 500), answer)
        return status != 200

    def patches(self, code):
        """PATCH of Secrets that kube-apiserver has answered so."""
        found = re.findall(r'(?m)^apiserver_request_total\{(.*)\} (\S+)$', self.client.get("/metrics")[1])
        wanted = (f'code="{code}"', 'resource="secrets"', 'verb="PATCH"')
        return sum(float(value) for labels, value in found if all(word in labels for word in wanted))

    def test_6_damaged(self):
        place = self.create_kept("damaged")
        whole = self.cluster.etcd.get(place)
        at = whole.index(EncryptedObject(whole).data) + 40
        self.cluster.etcd.put(place, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        self.assertEqual(self.client.get(path_of("secrets", "damaged"))[0], 500)
        refused = self.patches(500)
        with self.running() as run:
            answer = self.ended(run)
        self.check_left_over(answer, "damaged", "message authentication failed")
        self.assertEqual(self.patches(500), refused + 1, "what cannot be decrypted is not tried again")
        self.check_objects()
        self.cluster.etcd.put(place, whole)
        self.finish()
        self.read_all()
        proved(f"one object damaged in {STORE}: listed, tried once, {answer.json()['rewritten']} others rewritten; restored, the same "
               f"command finished; {self.traffic.figures()}; no failure")

    def etcdctl(self, *words):
        return subprocess.run([harness.assets() / "etcdctl", "--endpoints", self.cluster.etcd.url(), "--command-timeout=60s", *words],
                              check=True, capture_output=True, text=True).stdout

    def etcd_status(self):
        return json.loads(self.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]

    def restart_etcd(self, *options):
        with self.traffic.outage("read", "write"):
            self.cluster.etcd.stop()
            self.cluster.etcd.options = options
            self.cluster.etcd.start()
            self.wait_well()

    def fill(self):
        """Until etcd takes nothing more."""
        for i in range(1000):
            try:
                self.cluster.etcd.put(f"/filler/{i}", os.urandom(FILLER))
            except OSError:
                break
        wait_for("etcd says that it is full", lambda: "NOSPACE" in self.etcdctl("alarm", "list"))

    @unittest.skipIf(STORE == "kine", "it has no quota; test_full_disk.py fills its disk")
    def test_7_etcd_is_full(self):
        quota = self.etcd_status()["dbSize"] + QUOTA_ABOVE + self.N * 8000
        self.restart_etcd(f"--quota-backend-bytes={quota}")
        with self.traffic.outage("write"):
            with self.running() as run:
                part = self.wait_rewritten(run, 0.3)
                self.fill()
                answer = self.ended(run)
            self.check_documented(answer, (4, 7))
            self.check_between(run)
            self.check_vain()
            self.check_between(run)
            # As etcd's documentation has it.
            self.etcdctl("del", "--prefix", "/filler/")
            self.etcdctl("compaction", str(self.etcd_status()["header"]["revision"]))
            with self.traffic.outage("read"):
                self.etcdctl("defrag")
            self.etcdctl("alarm", "disarm")
            self.wait_well()
        self.finish()
        self.restart_etcd()
        left = answer.json()["leftOver"] if answer.stdout else []
        words = f", {len(left)} left over are named: {left[0]['reason']}" if left else ""
        proved(f"etcd full at {part:.0%} of the rewriting (exit status {answer.exit}{words}): all can be read; with space again the same "
               f"command finished; {self.traffic.figures()}")

    def test_8_a_second_admin(self):
        with self.running() as one, self.running() as other:
            wait_for("one of both has ended", lambda: one.poll() is not None or other.poll() is not None, 60)
            refused, run = (one, other) if one.poll() is not None else (other, one)
            self.check_documented(self.ended(refused), (5,))
            self.wait_rewritten(run, 0.2)
            for words in (self.words, ["rotate-keys"], ["reencrypt"], ["prepare", "--cancel"], ["rotate"], ["retire"]):
                self.assertEqual(self.keyturn(*words, status=5).exit, 5)
            answer = self.ended(run)
        self.check_documented(answer, (0,))
        self.finish(answer)
        proved(f"a second admin: refused with exit status 5, the first one finished; {self.traffic.figures()}; no failure")

    def test_9_in_the_end(self):
        """Nothing is there that was deleted, and nothing is gone that was not; the audit log is whole."""
        self.traffic.stop()
        self.check_objects()
        known = {f"/registry/{kind}/default/{name}": record.good for (kind, name), record in self.traffic.records.items()}
        stored = {at for kind in KINDS for at, _ in self.cluster.etcd.all(f"/registry/{kind}/default/")}
        self.assertEqual({at for at, good in known.items() if None not in good} - stored, set())
        self.assertEqual({at for at, good in known.items() if good == {None}} & stored, set())
        self.keyturn("audit", "verify")
        totals = ", ".join(f"{n} {what}" for what, n in self.traffic.totals.items())
        statuses = ", ".join(f"{number} {n} times" for number, n in sorted(self.outcomes.items()))
        proved(f"{len(self.traffic.live)} objects in the end; {self.kills} kills; {totals}; {self.checked} checks of single objects "
               f"besides; no object lost or wrong; exit status {statuses}; {time.monotonic() - self.begun:.0f} s")


class TwoServers(Disturbed):
    """One kube-apiserver of two is away from the middle of the rewriting on: the other one has to do the rest. Nobody else writes,
    since what they write is rewritten as well."""
    N = min(Disturbed.N, 2000)
    WORKERS = {"writers": 0, "deleters": 0, "readers": 3}

    @classmethod
    def prepare(cls):
        super().prepare()
        cluster, place = cls.cluster, cls.workspace.path / "second"
        cls.second = ApiServer(cluster.assets / "kube-apiserver", place, cluster.etcd.url(), cls.config, "second", cluster.api.token)
        cls.workspace.on_close(lambda: cls.second.stop(signal.SIGKILL))
        cls.second.start()
        write_kubeconfig(cls.kubeconfig, [cluster.api, cls.second])

    def options(self, store=True):
        return [*super().options(store), "--api-server", f"https://127.0.0.1:{self.second.port}"]

    def test_one_of_two(self):
        with self.running(*self.words, "--timeout", str(AWAY)) as run:
            part = self.wait_rewritten(run, 0.3)
            self.second.stop(signal.SIGKILL)
            type(self).kills += 1
            begun = time.monotonic()
            try:
                answer = self.ended(run, AWAY_END)
            finally:
                left, took = self.left(self.old), time.monotonic() - begun
                self.second.start()
        self.check_documented(answer, (4, 7))
        self.assertEqual(left, 0, "the one that is there has rewritten all")
        how = self.finish(answer)
        proved(f"one kube-apiserver of two away at {part:.0%} of the rewriting: the other one did the rest, and keyturn gave up waiting "
               f"after {took:.0f} s (exit status {answer.exit}); {how}; {self.traffic.figures()}; no failure")
        self.traffic.stop()


if __name__ == "__main__":
    harness.main(harness.assets, *([kine] if STORE == "kine" else []))
