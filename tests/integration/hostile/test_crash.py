#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Killed anywhere, keyturnd serves the old keyring or the new one, never neither, and its callers notice no more than a
pause."""
import contextlib
import errno
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from good_client import DEADLINE, GoodClient
from kms_peer import Failed, Peer, round_trip
from served import FAULT, ROOT, Served, get_at, keys_of, make_state, metric_in, until

SEED = b"a seed of thirty-two bytes......"
TMPFS = "size=256k,mode=0755"


class Case(unittest.TestCase):
    separate = ROOT

    def setUp(self):
        self.d = Served(separate=self.separate)
        self.addCleanup(self.d.close)

    def edit(self, name, *edits, source=None):
        """The next generation in a file, and the key ids in it."""
        path = os.path.join(self.d.dir, name)
        return path, keys_of(make_state("edit", self.d.place, path, *(["--from", source] if source else []), *edits).stdout)

    def serves(self, old=None):
        """A round trip now, and what was wrapped before opens."""
        with Peer(self.d.kms) as peer:
            health, key_id = peer.status()
            self.assertEqual(health, "ok")
            self.assertEqual(round_trip(peer)[1], key_id)
            if old:
                self.assertEqual(peer.decrypt(*old), SEED)
            return old or peer.encrypt(SEED)

    def offered(self, path):
        """An offer as a script makes it: again while another is at it, or nobody is there."""
        def done():
            try:
                reply = self.d.offer(path)
            except OSError:
                return None
            return reply if reply.error not in ("BUSY",) else None
        return until(done, "an answer to the offer")

    def generation(self):
        return self.d.status().status[7][0]  # proto/control.proto

    @contextlib.contextmanager
    def calling(self, kept):
        good = GoodClient(self.d.kms, kept)
        try:
            until(lambda: good.calls.value > 40, "the client calls")
            yield good
            calls = good.calls.value
            until(lambda: good.calls.value > calls + 40, "the client goes on calling")
        finally:
            good.stop()
        print(f"# {self._testMethodName}: {good.calls.value} calls, {good.failed.value} failed, the slowest "
              f"{good.slowest.value * 1000:.0f} ms, the longest pause {good.gap.value * 1000:.0f} ms", flush=True)
        self.assertEqual(good.wrong.value, 0)
        self.assertLess(good.gap.value, DEADLINE, "kube-apiserver's deadline is longer than the pause")
        if kept:
            self.assertEqual(good.failures(), [])

    def kill_everything(self):
        """Returns when nobody holds the listening sockets any more: until then a next start is refused."""
        os.killpg(self.d.process.pid, signal.SIGKILL)
        self.d.process.wait()
        self.wait_stale()

    def wait_stale(self):
        def stale(path):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                return connection.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
        for path in (self.d.kms, os.path.join(self.d.place, "run", "control.sock")):
            until(lambda: stale(path), f"nobody listens at {path}")

    def kill(self, role):
        pid, restarts, _ = self.d.processes()[role]
        os.kill(pid, signal.SIGKILL)

        def again():
            now = self.d.try_status() and self.d.processes()[role]
            return now and now[1] > restarts and now[0]
        until(again, f"{role} is started again")
        self.d.wait_healthz("ok")


class Processes(Case):
    def test_keeper_and_exporter_killed(self):
        """Callers wait for a moment; no call fails."""
        self.d.start()
        with self.calling(kept=True):
            for role in ("keeper", "exporter", "keeper"):
                self.kill(role)

    def test_front_killed(self):
        """Connections break; a caller that connects again is served."""
        self.d.start()
        with self.calling(kept=False) as good:
            for _ in range(2):
                # Connected and served: one that is only about to connect waits in the backlog and sees nothing.
                calls = good.calls.value
                until(lambda: good.calls.value > calls, "the client is served")
                failed, calls = good.failed.value, good.calls.value
                until(lambda: good.calls.value > calls, "the client's connection is the front's")
                self.kill("front")
                until(lambda: good.failed.value > failed, "the client saw it")

    def test_front_killed_while_there_is_no_keeper(self):
        """The next one still names the key and says why it does not serve; with a keeper again it serves that key."""
        listen = os.path.join(self.d.place, "run", "metrics.sock")
        self.d.change_config("listen: .*", f'listen: "{listen}"')
        self.d.start()
        old = self.serves()
        pids, keeper = self.d.pids(), self.d.bytes(self.d.program("keeper"))
        self.d.replace_program("keeper", "#!/bin/sh\nexit 3\n")
        for role in ("keeper", "front"):
            os.kill(pids[role], signal.SIGKILL)
        front = 'keyturn_process_restarts_total{process="front"}'
        until(lambda: metric_in(front, get_at(listen, "/metrics")) == 1, "the front is started again")
        with Peer(self.d.kms) as peer:
            health, key_id = peer.status()
            self.assertRegex(health, "is restarting|ended twice over this call")  # by how fast it ends again
            self.assertEqual(key_id, old[1])
            self.d.replace_program("keeper", keeper)
            until(lambda: peer.status() == ("ok", key_id), "Status is ok again")
        self.serves(old)

    def test_all_killed_at_once(self):
        self.d.start()
        old = self.serves()
        for role, pid in self.d.pids().items():
            if role != "supervisor":
                os.kill(pid, signal.SIGKILL)
        until(lambda: self.d.try_status() and all(self.d.restarts()[r] for r in ("front", "keeper", "exporter")), "all again")
        self.d.wait_healthz("ok")
        self.serves(old)

    def test_opener_killed_while_it_opens(self):
        """The offer fails with an error, nothing changes, and the next one works."""
        self.d.start()
        path, keys = self.edit("g2", "add", "second")
        path, _ = self.edit("g3", "activate", keys[1], source=path)
        seeded, killed = random.Random(3), 0
        real = self.d.bytes(self.d.program("opener"))
        self.d.replace_program("opener", "#!/bin/sh\nexec sleep 600\n")  # the first one lives long enough for sure
        with self.calling(kept=True):
            while killed < 10:
                reader, writer = os.pipe()
                child = os.fork()
                if child == 0:
                    result = self.d.offer(path).error or "installed"
                    os.write(writer, result.encode())
                    os._exit(0)
                os.close(writer)
                seen, answered = 0, False
                while not seen and not answered:  # it lives for some milliseconds
                    answered = select.select([reader], [], [], 0)[0]
                    seen = self.d.processes()["opener"][0]
                if seen:
                    time.sleep(seeded.uniform(0, 0.01) if killed else 0)  # anywhere in its life: decides nothing
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(seen, signal.SIGKILL)
                with os.fdopen(reader) as source:
                    result = source.read()
                os.waitpid(child, 0)
                killed += result != "installed"
                self.d.replace_program("opener", real)
                self.assertEqual(self.generation(), 3 if result == "installed" else 1)
                if result == "installed":
                    break
            self.assertIsNone(self.offered(path).error)
            self.assertEqual(self.generation(), 3)
        print(f"# {killed} openers killed", flush=True)
        self.assertGreater(killed, 0)

    def test_stopped_keeper(self):
        """One that is alive and does not answer: Status says so in words, in time; when it goes on, so does everything."""
        self.d.start()
        old = self.serves()
        pid = self.d.pids()["keeper"]
        restarts = self.d.restarts()
        with Peer(self.d.kms) as peer:
            key_id = peer.status()[1]
            os.kill(pid, signal.SIGSTOP)
            try:
                start = time.monotonic()
                health, same = peer.status()
                self.assertLess(time.monotonic() - start, DEADLINE)
                self.assertEqual(same, key_id, "the key_id does not change for that")
                self.assertIn("does not answer", health)
                start = time.monotonic()
                with self.assertRaises(Failed) as failed:
                    peer.encrypt(SEED)
                self.assertLess(time.monotonic() - start, DEADLINE)
                self.assertIn("does not answer", failed.exception.text)
            finally:
                os.kill(pid, signal.SIGCONT)
            until(lambda: peer.status()[0] == "ok", "Status is ok again")
            self.assertEqual(peer.decrypt(*old), SEED)
        self.assertEqual(self.d.restarts(), restarts)


class Supervisor(Case):
    def test_killed(self):
        """Its children end; the next start takes the stale sockets over."""
        self.d.start()
        old = self.serves()
        children = [os.pidfd_open(pid) for role, pid in self.d.pids().items() if role != "supervisor"]
        self.d.process.kill()
        self.d.process.wait()
        for pidfd in children:
            self.assertTrue(select.select([pidfd], [], [], 60)[0], "its children end with it")
            os.close(pidfd)
        self.wait_stale()
        self.assertTrue(os.path.exists(self.d.kms), "the sockets are left behind")
        self.d.start()
        self.serves(old)

    def test_a_caller_over_its_restart(self):
        self.d.start()
        with self.calling(kept=False):
            self.kill_everything()
            self.d.start()

    def test_two_on_one_directory(self):
        self.d.start()
        before = self.d.pids()
        state = {name: self.d.bytes(os.path.join(self.d.state, name)) for name in ("keyring.yaml", "floor")}
        with self.calling(kept=True):
            for _ in range(3):
                second = subprocess.run([os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config],
                                        capture_output=True, text=True, timeout=60)
                self.assertEqual(second.returncode, 5, second.stderr)
        self.assertEqual(self.d.pids(), before)
        self.assertEqual({name: self.d.bytes(os.path.join(self.d.state, name)) for name in state}, state)

    def test_two_on_one_directory_by_other_sockets(self):
        """The second gets its sockets, but not the lock: it serves nothing and says why."""
        self.d.start()
        self.serves()
        other = os.path.join(self.d.dir, "other.yaml")
        with open(other, "w") as out:
            out.write(self.d.text(self.d.config).replace("/run/", "/run2/"))
        with subprocess.Popen([os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", other],
                              stderr=subprocess.PIPE, text=True) as second:
            words = until(lambda: "state-directory-not-opened" in (line := second.stderr.readline()) and line, "it says why")
            self.assertIn("lock", words)
            with Peer(self.d.kms.replace("/run/", "/run2/")) as peer:
                with self.assertRaises(Failed):
                    peer.encrypt(SEED)
            second.terminate()
            second.communicate()
        self.serves()


class Writes(Case):
    """Offers over a keeper that is killed, or whose disk fails, at its n-th write since it was started; only the first
    keeper of a run is so, the one that is started after it is sound. The offered generation knows nothing of a key,
    so that the one before it goes to superseded/."""

    def setUp(self):
        super().setUp()
        between, _ = self.edit("g2b", "stage", "start")
        self.third, _ = self.edit("g3", "stage", "start", source=between)
        self.d.start()
        second, _ = self.edit("g2", "add", "second", "stage", "prepare")
        self.assertIsNone(self.d.offer(second).error)
        self.old = self.serves()
        self.assertEqual(self.d.stop(), 0)
        # The keeper's filter takes the fault library's kill for an escape: it is killed at that call all the same.
        self.d.excused = "process=keeper"
        self.template = os.path.join(self.d.dir, "template")
        subprocess.run(["cp", "-a", self.d.state, self.template], check=True)
        self.wrap_keeper()

    def wrap_keeper(self):
        real, library = self.d.program("keeper") + ".real", os.path.join(self.d.dir, "fault.so")
        self.armed = os.path.join(self.d.dir, "armed")
        os.rename(self.d.program("keeper"), real)
        shutil.copy(FAULT, library)
        os.mkdir(self.armed)
        os.chmod(self.armed, 0o777)
        with open(self.d.program("keeper"), "w") as out:
            out.write(f"""#!/bin/sh
if read AT DO 2>/dev/null <{self.armed}/now && mv {self.armed}/now {self.armed}/used; then
    export LD_PRELOAD={library} KEYTURN_FAULT_PROGRAM=keyturn-keeper.real KEYTURN_FAULT_AT=$AT KEYTURN_FAULT_DO=$DO
    export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0
fi
exec {real}
""")
        os.chmod(self.d.program("keeper"), 0o755)

    def run_at(self, at, do):
        """Whether the keeper got so far as to be killed; what the offer said, None: installed."""
        try:
            return self.one_run(at, do)
        except AssertionError as error:
            raise AssertionError(f"at write {at}, {do}: {error}\n{self.d.log()[-3000:]}") from error

    def one_run(self, at, do):
        subprocess.run(["rm", "-rf", self.d.state], check=True)
        subprocess.run(["cp", "-a", self.template, self.d.state], check=True)
        with open(os.path.join(self.armed, "now"), "w") as out:
            out.write(f"{at} {do}\n")
        self.d.start()
        try:
            first = self.d.offer(self.third).error
        except OSError:
            first = "killed"
        until(lambda: self.d.try_status() and self.d.healthz() == "ok", "it serves")
        self.assertIn(self.generation(), (2, 3) if first else (3,))
        self.serves(self.old)
        last = self.offered(self.third)
        self.assertIsNone(last.error, getattr(last, "message", ""))
        self.assertEqual(self.generation(), 3)
        self.assertEqual(self.d.bytes(os.path.join(self.d.state, "keyring.yaml")), self.d.bytes(self.third))
        self.assertIn("generation 3", self.d.text(os.path.join(self.d.state, "floor")))
        self.serves(self.old)
        killed = self.d.restarts()["keeper"] > 0
        self.kill_everything()
        return killed, first

    def restarted(self):
        """What is on the disk after all of it is served by the next start, and nothing is left lying about."""
        os.path.exists(os.path.join(self.armed, "now")) and os.unlink(os.path.join(self.armed, "now"))
        self.d.start()
        self.assertEqual(self.generation(), 3)
        self.serves(self.old)
        left = [name for _, _, names in os.walk(self.d.state) for name in names if name.endswith(".tmp")]
        self.assertEqual(left, [])

    def walk_killing(self, do):
        during = 0
        for at in range(1, 200):
            killed, first = self.run_at(at, do)
            during += first == "killed"
            if not killed:
                break
        self.assertGreater(during, 10, "the keeper was killed while it installed")
        self.restarted()
        print(f"# {do}: {at - 1} writes, {during} of them of an offer", flush=True)

    def test_killed_before_each_write(self):
        self.walk_killing("kill")

    def test_killed_after_each_write(self):
        self.walk_killing("kill-after")

    def walk_failing(self, do):
        """To where no offer failed for some writes on: those are the last, of the usage file."""
        refused, last = 0, 0
        for at in range(1, 60):
            if at > last + 12 and refused:
                break
            killed, first = self.run_at(at, do)
            self.assertFalse(killed)
            if first:
                refused, last = refused + 1, at
        self.assertGreater(refused, 5, "offers failed")
        self.restarted()
        print(f"# {do}: {at} writes, {refused} offers refused", flush=True)

    def test_disk_full_at_each_write(self):
        self.walk_failing("enospc")

    def test_disk_read_only_at_each_write(self):
        self.walk_failing("erofs")

    def test_disk_broken_at_each_write(self):
        self.walk_failing("eio")


@unittest.skipUnless(os.environ.get("KEYTURN_TEST_INSIDE"), "runs in Disks, in a mount namespace of its own")
class Inside(Case):
    separate = False

    def setUp(self):
        super().setUp()
        aside = os.path.join(self.d.dir, "aside")
        shutil.copytree(self.d.state, aside, copy_function=shutil.copy2)
        subprocess.run(["mount", "-t", "tmpfs", "-o", TMPFS, "tmpfs", self.d.state], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.d.state], check=False)
        shutil.copytree(aside, self.d.state, dirs_exist_ok=True)
        self.second, keys = self.edit("g2", "add", "second")
        self.third, _ = self.edit("g3", "activate", keys[1], source=self.second)
        self.d.start()
        self.old = self.serves()

    def again(self, generation):
        self.d.stop()
        self.d.start()
        self.assertEqual(self.generation(), generation)
        self.serves(self.old)

    def refused(self, path, generation):
        reply = self.offered(path)
        self.assertIsNotNone(reply.error)
        self.assertIn(reply.error, ("IO", "PERMISSION"))
        self.assertEqual(self.generation(), generation)
        self.serves(self.old)
        return reply

    def test_full_disk(self):
        filler = os.path.join(self.d.state, "filler")
        with self.assertRaises(OSError), open(filler, "wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        self.refused(self.second, 1)
        self.again(1)
        self.refused(self.second, 1)
        os.unlink(filler)
        self.assertIsNone(self.offered(self.second).error)
        self.again(2)

    def remount(self, mode):
        subprocess.run(["mount", "-o", f"remount,bind,{mode}", self.d.state], check=True)

    def test_read_only_disk(self):
        """The keyring is served from it; an offer is refused, and finishes when the disk can be written again."""
        self.d.stop()
        self.remount("ro")
        self.d.start()
        self.refused(self.second, 1)
        self.kill("keeper")
        self.refused(self.second, 1)
        self.remount("rw")
        self.kill("keeper")
        self.assertIsNone(self.offered(self.second).error)
        self.again(2)


class Disks(unittest.TestCase):
    """A real full and a real read-only file system below the state directory, in a mount namespace of their own; not as
    root, in a user namespace too."""

    def test_inside(self):
        if os.environ.get("KEYTURN_TEST_INSIDE"):
            return
        unshare = ["unshare", "--mount"] + ([] if ROOT else ["--user", "--map-root-user"])
        run = subprocess.run([*unshare, sys.executable, "-B", __file__, "Inside"], capture_output=True, text=True, timeout=300,
                             env={**os.environ, "KEYTURN_TEST_INSIDE": "1"})
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("Ran 2 tests", run.stderr)
        self.assertNotIn("skipped", run.stderr)


def load_tests(loader, tests, pattern):
    """Inside is no test of its own, so that nothing is counted as skipped."""
    if os.environ.get("KEYTURN_TEST_INSIDE"):
        return tests
    return unittest.TestSuite(suite for suite in tests if not any(isinstance(test, Inside) for test in suite))


if __name__ == "__main__":
    unittest.main(verbosity=2)
