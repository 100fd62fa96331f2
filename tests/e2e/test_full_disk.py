#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rotations on a disk that gets full in the middle: keyturn's own, the one of kube-apiserver's file, the store's. The command says
so and ends as documented, everything can be read, and with space again the same command finishes. Run by tools/check-rotation."""

import harness
from daemon import Daemon
from disk import Disk, own_mounts
from harness import proved, wait_for
from kine import kine
from one_server import OneServer
from test_long_rotation import AWAY, AWAY_END, STORE, Disturbed

FULL = "No space left on device"
OWN, OF_STORE = 16, 256  # MB; etcd allocates 64 for its log, twice
KEPT = 50


class Full(Disturbed):
    N = min(Disturbed.N, 1000)
    disk = None

    def setUp(self):
        super().setUp()
        self.assertFalse(self.disk.filler.exists())
        self.addCleanup(lambda: self.disk.filler.unlink(missing_ok=True))

    def vain(self, answer, statuses=(1, 4)):
        """It says what is wrong, once."""
        self.check_documented(answer, statuses)
        self.assertIn(FULL, answer.error()["message"])


class OwnDisk(Full):
    """keyturn.yaml, the keyring, the audit log and the sockets are on it."""

    @classmethod
    def prepare(cls):
        cls.disk = Disk(cls.workspace.path / "d", OWN)
        cls.workspace.on_close(cls.disk.close)
        super().prepare()

    def keyring(self):
        status = self.daemon.status()
        return status["stage"], status["keyring"]["generation"], [(key["id"], key["state"]) for key in status["keys"]]

    def again_in_vain(self):
        """Also where keyturnd was started on the full disk. Nothing has changed meanwhile."""
        before = self.keyring()
        with self.running(*self.words, "--timeout", "20") as run:
            self.vain(self.ended(run))
        self.daemon.kill()
        self.daemon.start()
        type(self).kills += 1
        with self.running(*self.words, "--timeout", "20") as run:
            self.vain(self.ended(run))
        self.assertEqual(self.keyring(), before)
        self.assertEqual(self.daemon.keyturn("probe").exit, 0)
        self.check_objects()

    def is_full_at(self, words, answer):
        self.vain(answer)
        self.check_objects()
        self.again_in_vain()
        self.disk.free()
        self.finish()
        self.assertEqual(self.daemon.keyturn("audit", "verify").exit, 0)
        why = answer.error()["message"][:200]
        proved(f"keyturn's own disk full {words} (exit status {answer.exit}: {why}): with space again the same command "
               f"finished; {self.traffic.figures()}; no failure")

    def test_1_at_rest(self):
        before = self.keyring()
        self.disk.fill()
        with self.running() as run:
            answer = self.ended(run)
        self.assertEqual(self.keyring(), before)
        self.is_full_at("before it began", answer)

    def test_2_prepared(self):
        self.keyturn("prepare")
        self.disk.fill()
        with self.running() as run:
            answer = self.ended(run)
        self.assertEqual(self.keyring()[0], "prepare")
        self.is_full_at("when the new key was prepared", answer)

    def test_3_rotated(self):
        with self.running() as run:
            wait_for("the new key is the active one", lambda: self.daemon.status()["stage"] == "rotate", 60)
            self.disk.fill()
            answer = self.ended(run)
        self.assertEqual(self.keyring()[0], "rotate")
        self.is_full_at("when the new key was the active one", answer)

    def test_4_rewriting(self):
        with self.running() as run:
            part = self.wait_rewritten(run, 0.3)
            self.disk.fill()
            answer = self.ended(run)
        self.assertEqual(self.left(self.old), 0)
        self.assertEqual(self.keyring()[0], "reencrypt_active")
        self.is_full_at(f"at {part:.0%} of the rewriting", answer)


class FileDisk(OneServer):
    """kube-apiserver's file is on it; the keys are inline, so that each step writes them there."""

    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.disk = Disk(path / "config", OWN)
        cls.workspace.on_close(cls.disk.close)
        cls.daemon = Daemon(path / "d").init("--provider", "aescbc")
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.start(wait=False)
        wait_for("keyturnd answers", lambda: cls.daemon.keyturn("status").exit == 0)
        cls.config = path / "config" / "encryption.json"
        answer = cls.daemon.keyturn("config", "show", "--out", cls.config)
        if answer.exit != 0:
            raise RuntimeError(f"keyturn config show: {answer!r}")
        cls.start_cluster()

    def in_vain(self, stage):
        """Full at the write of the file, which stays as it is, with nothing beside it; twice."""
        before, beside = self.config.read_bytes(), sorted(self.disk.path.iterdir())
        self.disk.fill()
        for _ in range(2):
            answer = self.daemon.keyturn("rotate-keys", "-o", "json", *self.options(), timeout=400)
            self.assertIn(answer.exit, (1, 4), answer)
            self.assertIn(FULL, answer.error()["message"])
            self.assertEqual(self.config.read_bytes(), before)
            self.assertEqual(sorted(self.disk.path.iterdir()), sorted([*beside, self.disk.filler]))
            self.assertEqual(self.daemon.status()["stage"], stage)
        self.read_all()
        self.create_kept(f"in-{stage}")
        self.read_all()
        self.disk.free()
        return answer

    def test_each_step(self):
        for i in range(KEPT):
            self.create_kept(f"kept-{i}")
        prepared = self.in_vain("prepare")
        self.keyturn("prepare")
        rotated = self.in_vain("rotate")
        self.keyturn("rotate-keys")
        self.read_all()
        name = self.daemon.status()["keys"][0]["name"]
        for at, value in self.cluster.etcd.all("/registry/secrets/"):
            self.assertTrue(value.startswith(f"k8s:enc:aescbc:v1:{name}:".encode()), (at, value[:60]))
        self.assertEqual(self.daemon.keyturn("audit", "verify").exit, 0)
        for answer, step in ((prepared, "prepare"), (rotated, "rotate")):
            why = answer.error()["message"][:200]
            proved(f"the disk of kube-apiserver's file full in {step} (exit status {answer.exit}: {why}): the file was left as it "
                   f"was, {len(self.kept)} objects can be read; with space again the same command finished")


class StoreDisk(Full):
    """etcd ends itself then; kine goes on, and refuses to change what is there."""
    # What kine (0.17.5) cannot store it says to have created, so that only keyturn writes here.
    WORKERS = {"writers": 0, "deleters": 0, "readers": 3} if STORE == "kine" else Full.WORKERS

    @classmethod
    def make_cluster(cls):
        cluster = super().make_cluster()
        cls.disk = Disk(cluster.etcd.dir / "data", OF_STORE)
        cls.workspace.on_close(cls.disk.close)
        return cluster

    def test_rewriting(self):
        store = self.cluster.etcd
        with self.traffic.outage("read", "write"):
            with self.running(*self.words, "--timeout", str(AWAY)) as run:
                part = self.wait_rewritten(run, 0.3)
                self.disk.fill()
                answer = self.ended(run, AWAY_END)
            self.check_documented(answer, (4, 7))
            self.check_vain()
            ended = not store.server.alive()
            self.disk.free()
            if ended:
                store.start()
            self.wait_well()
        how = self.finish(answer)
        left = answer.json()["leftOver"] if answer.stdout else []
        words = f", {len(left)} left over are named: {left[0]['reason']}" if left else ""
        proved(f"the disk of {STORE} full at {part:.0%} of the rewriting, {'it ended' if ended else 'it went on'} (exit status "
               f"{answer.exit}: {answer.error()['message'][:200]}{words}): with space again, {how}; {self.traffic.figures()}")


if __name__ == "__main__":
    harness.main(own_mounts, harness.assets, *([kine] if STORE == "kine" else []))
