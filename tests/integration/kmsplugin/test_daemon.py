# SPDX-License-Identifier: Apache-2.0
"""keyturnd as an operator meets it: starts, restarts, offers, reloads, and what it says when something is wrong."""
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from daemon import BUILD, STATUS, UNWRAP, WRAP, Daemon, keys_of, make_state, until

HANG = "#!/bin/sh\nexec sleep 600\n"


class Case(unittest.TestCase):
    settings = ()

    def setUp(self):
        self.d = Daemon(*self.settings)
        self.addCleanup(self.d.close)

    def next_generation(self, name, *edits, source=None):
        path = os.path.join(self.d.dir, name)
        before = ["--from", source] if source else []
        return path, make_state("edit", self.d.place, path, *before, *edits).stdout

    def without(self, generation):
        """The keyring of that generation that knows of no key but the first: another branch than the one that is served."""
        path = os.path.join(self.d.state, "keyring.yaml")
        for number in range(2, generation + 1):
            path, _ = self.next_generation(f"w{number}", "stage", "start", source=path)
        return path

    def assert_serves(self):
        wrapped = self.d.ask(WRAP, b"a seed of thirty-two bytes......")
        self.assertEqual(wrapped.code, "OK")
        opened = self.d.ask(UNWRAP, wrapped.data, wrapped.key_id)
        self.assertEqual((opened.code, opened.data), ("OK", b"a seed of thirty-two bytes......"))
        return wrapped


class Lifecycle(Case):
    def test_start_serve_stop(self):
        self.d.start().wait_healthz("ok")
        answer = self.d.ask(STATUS)
        self.assertEqual((answer.data, answer.key_id, answer.generation), (b"ok", self.d.first_key, 1))
        self.assert_serves()
        reply = self.d.status()
        self.assertEqual(reply.status[4][0].decode(), self.d.first_key)
        self.assertEqual(reply.status[24], [1])  # the keyring on disk opened
        self.assertEqual(self.d.get("/readyz"), (200, "ok\n"))
        self.assertEqual(self.d.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.d.get("/nothing")[0], 404)
        self.assertEqual(self.d.metric("keyturn_keyring_generation"), 1)
        pids = [pid for pid, _, _ in self.d.processes().values() if pid]
        self.assertFalse(self.d.heard("STOPPING=1"))
        self.assertEqual(self.d.stop(), 0)
        self.assertEqual((self.d.notified.count("READY=1"), self.d.notified.count("STOPPING=1")), (1, 1))
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertEqual([name for name in os.listdir(os.path.join(self.d.place, "run", "kms")) if "lock" not in name], [])
        self.assertNotIn("level=error", self.d.log())

    def test_usage_is_exact_after_a_clean_end(self):
        self.d.start().wait_healthz("ok")
        for _ in range(5):
            self.assert_serves()
        self.d.stop()
        lines = self.d.text(os.path.join(self.d.state, "usage")).splitlines()
        self.assertEqual(lines, ["keyturn-usage 1", f"{self.d.first_key} 6"])  # five and one self-test

    def test_usage_is_reserved_ahead(self):
        """With half of the first block used, not when a call needs the next."""
        self.d.start().wait_healthz("ok")
        with self.d.connect() as connection:
            for _ in range(130):
                self.assertEqual(self.d.ask(WRAP, b"x", connection=connection).code, "OK")
        until(lambda: int(self.d.text(os.path.join(self.d.state, "usage")).split()[-1]) > 65536, "the next block is reserved")

    def test_second_daemon_is_refused_and_harms_nothing(self):
        self.d.start().wait_healthz("ok")
        second = subprocess.run([os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config],
                                capture_output=True, timeout=60)
        self.assertEqual(second.returncode, 5)
        self.assert_serves()

    def test_program_missing(self):
        os.unlink(self.d.program("exporter"))
        self.d.start(wait=False)
        self.assertEqual(self.d.process.wait(30), 1)
        self.assertIn("keyturn-exporter", self.d.log())

    def test_program_not_executable(self):
        self.d.replace_program("front", "#!/nonexistent/interpreter\n")
        self.d.start(wait=False)
        self.assertEqual(self.d.process.wait(30), 1)
        self.assertIn("not-executable", self.d.log())

    def test_bad_config(self):
        self.d.change_config("maxStreams", "maxSteams")
        self.d.start(wait=False)
        self.assertEqual(self.d.process.wait(30), 2)
        self.assertIn("maxStreams", self.d.log())

    def test_interrupt_of_the_whole_group_drains(self):
        self.d.start().wait_healthz("ok")
        os.killpg(self.d.process.pid, signal.SIGINT)
        self.assertEqual(self.d.process.wait(30), 0)
        self.assertNotIn("signal=", self.d.log())

    def test_interrupt_of_the_whole_group_spares_an_opener_at_work(self):
        self.d.replace_program("opener", HANG)
        self.d.start()
        until(lambda: self.d.processes()["opener"][0], "an opener at work")
        os.killpg(self.d.process.pid, signal.SIGINT)
        self.assertEqual(self.d.process.wait(30), 0)
        self.assertNotIn("signal=", self.d.log())

    def test_metrics_port_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.d.change_config("127.0.0.1:0", "127.0.0.1:%d" % taken.getsockname()[1])
            self.d.start().wait_healthz("ok")
            self.assertIn("metrics-not-served", self.d.log())

    def test_inherited_sockets(self):
        os.makedirs(os.path.join(self.d.place, "run", "kms"))
        listeners, paths = [], [os.path.join(self.d.place, "run", name) for name in ("kms/kms.sock", "control.sock")]
        for path in paths:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(16)
            listeners.append(listener)
        script = ('exec 3<&%d 4<&%d; export LISTEN_FDS=2 LISTEN_FDNAMES=kms:control LISTEN_PID=$$; '
                  'exec "$0" --config "$1"') % tuple(listener.fileno() for listener in listeners)
        for listener in listeners:
            os.set_inheritable(listener.fileno(), True)
        self.d.start(command=["/bin/bash", "-c", script, os.path.join(self.d.prefix, "sbin", "keyturnd"),
                              self.d.config], close_fds=False).wait_healthz("ok")
        self.assert_serves()
        self.assertEqual(self.d.stop(), 0)
        for path in paths:
            self.assertTrue(os.path.exists(path))

    def test_watchdog(self):
        self.d.extra_env = {"WATCHDOG_USEC": "400000"}
        self.d.start()
        until(lambda: self.d.heard("WATCHDOG=1"), "WATCHDOG=1")


class Restarts(Case):
    def loop(self, stop, calls, failures):
        connection = self.d.connect()
        while not stop.is_set():
            try:
                wrapped = self.d.ask(WRAP, b"x" * 32, connection=connection)
                opened = self.d.ask(UNWRAP, wrapped.data, wrapped.key_id, connection=connection)
                if opened.data == b"x" * 32:
                    calls.append(time.monotonic())
                else:
                    failures.append((wrapped.code, opened.code))
            except OSError:
                connection.close()
                connection = self.d.connect()
        connection.close()

    def test_each_child_killed_under_load(self):
        self.d.start().wait_healthz("ok")
        stop, calls, failures = threading.Event(), [], []
        caller = threading.Thread(target=self.loop, args=(stop, calls, failures))
        caller.start()
        try:
            for role in ("keeper", "exporter", "front", "keeper", "front"):
                pid, restarts, _ = self.d.processes()[role]
                os.kill(pid, signal.SIGKILL)

                def again():
                    return self.d.try_status() and self.d.processes()[role][1] > restarts and self.d.processes()[role][0]
                until(again, f"{role} is started again")
                self.d.wait_healthz("ok")
                before = len(calls)
                until(lambda: len(calls) > before + 10, f"calls go on after {role} was killed")
        finally:
            stop.set()
            caller.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.d.metric('keyturn_process_restarts_total{process="keeper"}'), 2)

    def test_back_off(self):
        self.d.start().wait_healthz("ok")
        self.d.replace_program("exporter", "#!/bin/sh\nexit 3\n")
        start = time.monotonic()
        os.kill(self.d.processes()["exporter"][0], signal.SIGKILL)
        until(lambda: self.d.processes()["exporter"][1] >= 5, "five restarts")
        # Before the second one a tenth of a second, then twice as much each time.
        self.assertGreater(time.monotonic() - start, 0.1 + 0.2 + 0.4 + 0.8)
        self.assert_serves()

    def test_children_end_with_the_supervisor(self):
        self.d.start().wait_healthz("ok")
        pids = [pid for role, (pid, _, _) in self.d.processes().items() if pid and role != "supervisor"]
        self.d.process.kill()
        self.d.process.wait()
        for pid in pids:
            until(lambda: self.d.gone(pid), f"{pid} ends")


class Offers(Case):
    def test_rotation(self):
        self.d.start().wait_healthz("ok")
        first = self.assert_serves()
        prepared, out = self.next_generation("g2", "add", "second")
        second_key = keys_of(out)[1]
        reply = self.d.offer(prepared)
        self.assertIsNone(reply.error)
        self.assertEqual((reply.offer[1], reply.offer[3]), ([1], [2]))
        self.assertEqual(self.d.ask(STATUS).key_id, self.d.first_key)
        rotated, _ = self.next_generation("g3", "activate", second_key)
        self.assertEqual(self.d.offer(rotated).offer[4], [second_key.encode()])
        self.assertEqual(self.d.ask(STATUS).key_id, second_key)
        self.assertEqual(self.assert_serves().key_id, second_key)
        self.assertEqual(self.d.ask(UNWRAP, first.data, first.key_id).code, "OK")
        again = self.d.offer(rotated)
        self.assertNotIn(1, again.offer)  # changed: false
        self.assertEqual(self.d.metric("keyturn_keyring_generation"), 3)
        until(lambda: self.d.status().status.get(24) == [1], "the keyring on disk is tested again")

    def test_refused_ones_leave_the_old_serving(self):
        self.d.start().wait_healthz("ok")
        second, _ = self.next_generation("g2", "add", "second")
        fork, _ = self.next_generation("g2b", "add", "other")
        first = os.path.join(self.d.dir, "g1")
        shutil.copy(os.path.join(self.d.state, "keyring.yaml"), first)
        self.assertIsNone(self.d.offer(second).error)
        truncated = os.path.join(self.d.dir, "cut")
        with open(truncated, "wb") as out:
            out.write(self.d.bytes(second)[:-200])
        flipped = os.path.join(self.d.dir, "flipped")
        with open(flipped, "w") as out:
            out.write(self.d.text(second).replace("generation: 2", "generation: 9"))
        other = Daemon()
        self.addCleanup(other.close)
        foreign = os.path.join(other.state, "keyring.yaml")
        for path, code in ((first, "KEYRING_OLDER"), (fork, "KEYRING_FORK"), (truncated, "KEYRING_FORMAT"),
                           (flipped, "KEYRING_SIGNER"), (foreign, "KEYRING_OWNER")):
            reply = self.d.offer(path)
            self.assertEqual(reply.error, code, path)
            self.assertTrue(reply.message)
            self.assertEqual(self.d.ask(STATUS).generation, 2)
            self.assert_serves()
        self.assertEqual(self.d.metric('keyturn_offers_total{result="refused"}'), 5)
        self.assertEqual(self.d.healthz(), "ok")

    def test_installed_one_survives_kill(self):
        self.d.start().wait_healthz("ok")
        second, _ = self.next_generation("g2", "add", "second")
        self.assertIsNone(self.d.offer(second).error)
        os.killpg(self.d.process.pid, signal.SIGKILL)
        self.d.process.wait()
        self.d.start().wait_healthz("ok")
        self.assertEqual(self.d.ask(STATUS).generation, 2)

    def test_key_that_is_left_out_still_decrypts(self):
        without = self.without(3)
        self.d.start().wait_healthz("ok")
        second, _ = self.next_generation("g2", "add", "second", "stage", "prepare")
        self.assertIsNone(self.d.offer(second).error)
        reply = self.d.offer(without)
        self.assertIsNone(reply.error)
        self.assertTrue(any("superseded" in warning for warning in reply.warnings()))

    def test_one_at_a_time(self):
        self.d.start().wait_healthz("ok")
        second, _ = self.next_generation("g2", "add", "second")
        self.d.replace_program("opener", HANG)
        body = struct.pack(">IHH", 0x4B544354, 1, 2) + self.d.bytes(second)
        with self.d.connect_control() as waiting:
            waiting.sendall(struct.pack(">I", len(body)) + body)
            until(lambda: self.d.processes()["opener"][0], "an opener runs")
            self.assertEqual(self.d.offer(second).error, "BUSY")
            self.assert_serves()
        # The client has gone; its job goes on to its own end, and nothing hangs on it.
        self.assertEqual(self.d.ask(STATUS).data, b"ok")


class Trouble(Case):
    def test_no_keyring(self):
        saved = os.path.join(self.d.dir, "saved")
        shutil.move(os.path.join(self.d.state, "keyring.yaml"), saved)
        self.d.start()
        self.assertIn("keyturn keyring offer", self.d.wait_healthz("no keyring.yaml"))
        self.assertEqual(self.d.ask(WRAP, b"x").code, "KEYRING_MISSING")
        self.assertEqual(self.d.ask(STATUS).key_id, "")
        self.assertEqual(self.d.get("/readyz")[0], 503)
        self.assertIsNone(self.d.offer(saved).error)
        self.d.wait_healthz("ok")
        self.assert_serves()

    def test_corrupt_keyring(self):
        path = os.path.join(self.d.state, "keyring.yaml")
        good = self.d.text(path)
        with open(path, "w") as out:
            out.write(good[:-100])
        self.d.start()
        until(lambda: self.d.healthz() not in ("", "ok") and "starting" not in self.d.healthz(), "healthz says it")
        with open(path, "w") as out:
            out.write(good)
        self.d.process.send_signal(signal.SIGHUP)
        self.d.wait_healthz("ok")

    def test_older_keyring_decrypts_only(self):
        first = os.path.join(self.d.dir, "g1")
        shutil.copy2(os.path.join(self.d.state, "keyring.yaml"), first)
        self.d.start().wait_healthz("ok")
        wrapped = self.assert_serves()
        second, _ = self.next_generation("g2", "add", "second")
        self.assertIsNone(self.d.offer(second).error)
        self.d.stop()
        shutil.copy2(first, os.path.join(self.d.state, "keyring.yaml"))
        self.d.start()
        self.d.wait_healthz("decrypt only")
        self.assertEqual(self.d.ask(WRAP, b"x").code, "KMS_NO_ACTIVE_KEY")
        self.assertEqual(self.d.ask(UNWRAP, wrapped.data, wrapped.key_id).code, "OK")
        self.assertIsNone(self.d.offer(second).error)
        self.d.wait_healthz("ok")

    def test_fork_on_disk_gives_way_to_the_one_that_was_installed(self):
        self.d.start().wait_healthz("ok")
        right, _ = self.next_generation("g2", "add", "right")
        wrong, out = self.next_generation("g2b", "add", "wrong")
        self.assertIsNone(self.d.offer(right).error)
        wrapped = self.assert_serves()
        self.d.stop()
        shutil.copyfile(wrong, os.path.join(self.d.state, "keyring.yaml"))
        self.d.start().wait_healthz("decrypt only")
        self.assertEqual(self.d.ask(UNWRAP, wrapped.data, wrapped.key_id).code, "OK")
        self.assertEqual(self.d.offer(wrong).error, "KEYRING_FORK")
        self.assertIsNone(self.d.offer(right).error)
        self.d.wait_healthz("ok")
        self.assert_serves()
        self.assertTrue(any(keys_of(out)[1] in warning for warning in self.d.status().warnings()), "the fork's key is kept")

    def faulted(self, at, do, **more):
        """The keeper's at-th call that changes something on disk fails (tests/fault)."""
        self.d.extra_env = {"LD_PRELOAD": os.path.join(BUILD, "tests", "fault", "libkt_kill_at_write.so"),
                            "KEYTURN_FAULT_PROGRAM": "keyturn-keeper", "KEYTURN_FAULT_AT": str(at), "KEYTURN_FAULT_DO": do,
                            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **more}

    def test_full_disk_at_a_start_keeps_nobody_from_being_served(self):
        floor = os.path.join(self.d.state, "floor")
        counts = os.path.join(self.d.dir, "counts")
        self.faulted(0, "count", KEYTURN_FAULT_COUNT_FILE=counts)
        self.d.start().wait_healthz("ok")
        self.d.stop()
        last = max(map(int, self.d.text(counts).split()))
        self.assertGreater(last, 12)
        behind = 0
        for at in range(2, last + 1):  # the first one opens the lock
            with self.subTest(at=at):
                os.unlink(floor)
                self.faulted(at, "enospc")
                self.d.start().wait_healthz("ok")
                self.assert_serves()
                if any("floor" in warning for warning in self.d.status().warnings()):
                    behind += 1
                    self.assertIsNone(self.d.control(3).error)
                    self.assertIn(b"generation 1", self.d.bytes(floor))
                    self.assertFalse(any("floor" in warning for warning in self.d.status().warnings()))
                self.d.stop()
        self.assertNotIn("keyring-not-opened", self.d.log())
        self.assertGreater(behind, 2)

    def test_offer_cut_short_by_a_full_disk_is_told(self):
        newer, _ = self.next_generation("g2", "add", "second")
        keyring = os.path.join(self.d.state, "keyring.yaml")
        first = self.d.bytes(keyring)
        cut_short = 0
        for at in range(12, 40):
            with self.subTest(at=at):
                self.faulted(at, "enospc")
                self.d.start().wait_healthz("ok")
                if self.d.offer(newer).error and self.d.bytes(keyring) != first:
                    cut_short += 1
                    self.assertEqual(self.d.ask(STATUS).generation, 1)
                    until(lambda: any("holds generation 2" in w for w in self.d.status().warnings()), "status says it")
                    self.assertIsNone(self.d.offer(newer).error)
                    until(lambda: not any("generation 2" in w for w in self.d.status().warnings()), "it is finished")
                self.d.stop()
            for name in ("floor", "usage"):
                os.unlink(os.path.join(self.d.state, name))
            with open(keyring, "wb") as out:
                out.write(first)
        self.assertGreater(cut_short, 4)

    def test_state_directory_locked(self):
        with open(os.path.join(self.d.state, "lock"), "w") as lock:
            os.chmod(lock.name, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.d.start()
            self.d.wait_healthz("locked by")
        self.d.wait_healthz("ok")

    def test_opener_hangs(self):
        self.d.change_config("timeout: 30s", "timeout: 1s")
        real = self.d.bytes(self.d.program("opener"))
        self.d.replace_program("opener", HANG)
        self.d.start()
        until(lambda: self.d.healthz() not in ("", "ok") and "starting" not in self.d.healthz(), "healthz says it")
        self.assertGreaterEqual(self.d.metric("keyturn_opener_timeouts_total"), 1)
        self.d.replace_program("opener", real)
        self.d.wait_healthz("ok")

    def test_unknown_key_and_bad_ciphertext(self):
        self.d.start().wait_healthz("ok")
        wrapped = self.assert_serves()
        self.assertEqual(self.d.ask(UNWRAP, wrapped.data, "0" * 32).code, "KMS_UNKNOWN_KEY")
        bad = bytes([wrapped.data[0]]) + bytes(len(wrapped.data) - 1)
        self.assertEqual(self.d.ask(UNWRAP, bad, wrapped.key_id).code, "KMS_CIPHERTEXT")
        self.assertEqual(self.d.ask(WRAP, b"x" * 1000).code, "KMS_TOO_LARGE")

    def test_a_bad_superseded_keyring_keeps_nobody_from_being_served(self):
        folder = os.path.join(self.d.state, "superseded")
        os.makedirs(os.path.join(folder, "1-1.yaml"))
        self.d.start().wait_healthz("ok")
        self.assert_serves()
        self.assertTrue(any("superseded keyring is not read" in warning for warning in self.d.status().warnings()))
        second, _ = self.next_generation("g2", "add", "second")
        self.assertEqual(self.d.offer(second).error, "REFUSED")
        os.rmdir(os.path.join(folder, "1-1.yaml"))
        self.assertIsNone(self.d.offer(second).error)
        self.assertEqual(self.d.status().warnings(), [])

    def test_malformed_usage_is_a_warning(self):
        with open(os.path.join(self.d.state, "usage"), "w") as out:
            os.chmod(out.name, 0o600)
            out.write("keyturn-usage 1\nnonsense\n")
        self.d.start().wait_healthz("ok")
        self.assert_serves()
        self.assertTrue(any("rotate" in warning for warning in self.d.status().warnings()))


class Reload(Case):
    def test_config(self):
        self.d.start().wait_healthz("ok")
        good = self.d.text(self.d.config)
        self.d.change_config("maxStreams", "maxSteams")
        self.d.process.send_signal(signal.SIGHUP)
        until(lambda: self.d.metric("keyturn_config_reload_failures_total") == 1, "the reload is refused")
        self.assert_serves()
        with open(self.d.config, "w") as out:
            out.write(good.replace('uids: []', 'uids: [4321]').replace("run/control.sock", "run/other.sock"))
        self.d.process.send_signal(signal.SIGHUP)
        until(lambda: self.d.metric("keyturn_config_reloads_total") == 1, "the reload is done")
        self.assertIn("needs-restart", self.d.log())
        self.assert_serves()
        self.assertTrue(self.d.heard("RELOADING=1"))

    def test_the_owner_is_pinned_for_good(self):
        self.d.start().wait_healthz("ok")
        good = self.d.text(self.d.config)
        owner = next(line for line in good.splitlines() if line.startswith("owner:"))
        for number, line in enumerate(["", "owner: sha256:" + "ab" * 32], 1):
            with open(self.d.config, "w") as out:
                out.write(good.replace(owner, line))
            self.d.process.send_signal(signal.SIGHUP)
            until(lambda: self.d.metric("keyturn_config_reload_failures_total") == number, "the reload is refused")
        check = subprocess.run([os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config, "--check"], capture_output=True)
        self.assertEqual(check.returncode, 0, "another owner is a configuration of its own")
        with open(self.d.config, "w") as out:
            out.write(good.replace(owner, ""))
        check = subprocess.run([os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config, "--check"], capture_output=True)
        self.assertEqual(check.returncode, 2)
        with open(self.d.config, "w") as out:
            out.write(good)
        self.assert_serves()

    def test_keyring_from_disk(self):
        self.d.start().wait_healthz("ok")
        second, _ = self.next_generation("g2", "add", "second")
        path = os.path.join(self.d.state, "keyring.yaml")
        first = self.d.text(path)
        with open(path, "w") as out:
            out.write(self.d.text(second))
        reply = self.d.control(3)
        self.assertIsNone(reply.error)
        self.assertEqual(self.d.ask(STATUS).generation, 2)
        with open(path, "w") as out:
            out.write(first)
        self.assertEqual(self.d.control(3).error, "KEYRING_OLDER")
        self.assertEqual(self.d.ask(STATUS).generation, 2)
        self.assertEqual(self.d.healthz(), "ok")
        self.assertTrue(self.d.status().warnings())


    def test_failure_of_the_opener_is_not_held_against_the_keyring(self):
        self.d.start().wait_healthz("ok")
        os.chmod(os.path.join(self.d.state, "opener"), 0o755)
        self.assertEqual(self.d.control(3).error, "PERMISSION")
        self.assertTrue(any("opener" in warning for warning in self.d.status().warnings()))
        os.chmod(os.path.join(self.d.state, "opener"), 0o700)
        until(lambda: self.d.status().warnings() == [], "the keyring on disk is tested again")
        self.assertEqual(self.d.status().status[24], [1])


class ReplacedByHand(Case):
    """keyring.yaml is overwritten while it is served, by one that knows nothing of a key."""

    def setUp(self):
        super().setUp()
        self.d.start().wait_healthz("ok")
        second, out = self.next_generation("g2", "add", "second")
        self.key = keys_of(out)[1]
        rotated, _ = self.next_generation("g3", "activate", self.key, source=second)
        self.next_generation("g4", "activate", self.d.first_key, "stage", "prepare", source=rotated)
        self.other = self.without(5)
        self.assertIsNone(self.d.offer(rotated).error)
        self.wrapped = self.assert_serves()
        self.assertEqual(self.wrapped.key_id, self.key)
        shutil.copyfile(self.other, os.path.join(self.d.state, "keyring.yaml"))

    def assert_kept(self):
        self.assertEqual(self.d.ask(STATUS).generation, 5)
        self.assertEqual(self.d.ask(UNWRAP, self.wrapped.data, self.wrapped.key_id).code, "OK")
        self.assertTrue(any(self.key in warning and "superseded" in warning for warning in self.d.status().warnings()))

    def test_reload(self):
        self.assertIsNone(self.d.control(3).error)
        self.assert_kept()
        os.killpg(self.d.process.pid, signal.SIGKILL)
        self.d.process.wait()
        self.d.start().wait_healthz("ok")
        self.assert_kept()

    def test_offer_of_the_same(self):
        self.assertIsNone(self.d.offer(self.other).error)
        self.assert_kept()

    def test_restart(self):
        self.assertEqual(self.d.stop(), 0)
        self.d.start().wait_healthz("ok")
        self.assert_kept()

    def test_put_back(self):
        self.assertIsNone(self.d.control(3).error)
        listed, _ = self.next_generation("g6", "stage", "start", source=os.path.join(self.d.dir, "g4"))
        shutil.copyfile(os.path.join(self.d.dir, "g3"), os.path.join(self.d.state, "keyring.yaml"))
        self.assertEqual(self.d.control(3).error, "KEYRING_OLDER")
        self.assertEqual(self.d.ask(STATUS).generation, 5)
        self.assertEqual(self.d.offer(listed).error, "KEYRING_FORK")
        latest, _ = self.next_generation("g6b", "stage", "start", source=listed)
        self.assertIsNone(self.d.offer(latest).error)
        self.assertEqual(self.d.ask(UNWRAP, self.wrapped.data, self.wrapped.key_id).code, "OK")
        self.assertEqual(os.listdir(os.path.join(self.d.state, "superseded")), [], "nothing is needed any more")


class Control(Case):
    def keeper_fds(self):
        return len(os.listdir(f"/proc/{self.d.processes()['keeper'][0]}/fd"))

    def test_junk_and_vanishing_clients(self):
        self.d.start().wait_healthz("ok")
        self.d.status()
        fds = self.keeper_fds() if os.geteuid() == 0 else None
        for data in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack(">I", 0), struct.pack(">I", 0xFFFFFFFF),
                     struct.pack(">I", 100) + b"x", struct.pack(">IIHH", 8, 0x4B544354, 9, 1),
                     struct.pack(">IIHH", 8, 0x4B544354, 1, 99), struct.pack(">IIHH", 8, 0x4B544354, 1, 2)):
            for _ in range(5):
                with self.d.connect_control() as connection:
                    connection.sendall(data)
        self.assertEqual(self.d.healthz(), "ok")
        if fds is not None:
            until(lambda: self.keeper_fds() == fds, "descriptors return")

    def test_idle_clients_do_not_stop_kms(self):
        self.d.start().wait_healthz("ok")
        idle = [self.d.connect_control() for _ in range(20)]
        self.assert_serves()
        for connection in idle:
            connection.close()
        self.d.wait_healthz("ok")

    def test_unknown_operation(self):
        self.d.start()
        self.assertEqual(self.d.control(99).error, "UNSUPPORTED")
        self.assertEqual(self.d.control(2).error, "USAGE")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become others")
    def test_other_uids(self):
        self.d.change_config(r"(control:\n(?:.*\n)*?  uids: )\[\]", r"\1[4321]")
        self.d.start().wait_healthz("ok")
        self.assertEqual(self.as_uid(4321, 1), "answer")
        self.assertEqual(self.as_uid(4321, 3), "DENIED")
        self.assertEqual(self.as_uid(4322, 1), "closed")
        self.assertEqual(self.as_uid(65534, 1), "closed")
        self.assertEqual(self.d.metric('keyturn_peers_refused_total{socket="control"}'), 2)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become others")
    def test_offers_of_other_uids(self):
        """Who is listed may offer; what somebody else sends is not even read."""
        self.d.change_config(r"(control:\n(?:.*\n)*?  uids: )\[\]", r"\1[4321]")
        self.d.start().wait_healthz("ok")
        newer = self.d.bytes(self.next_generation("g2", "add", "second")[0])
        self.assertEqual(self.as_uid(4322, 2, newer), "closed")
        self.assertEqual(self.d.metric('keyturn_offers_total{result="installed"}'), 0)
        self.assertEqual(self.d.ask(STATUS).generation, 1)
        self.assertEqual(self.as_uid(4321, 2, newer[:-200]), "KEYRING_FORMAT")
        self.assertEqual(self.as_uid(4321, 2, newer), "answer")
        self.assertEqual(self.d.metric('keyturn_offers_total{result="installed"}'), 1)
        self.assertEqual(self.d.ask(STATUS).generation, 2)
        self.assertEqual(self.d.bytes(os.path.join(self.d.state, "keyring.yaml")), newer)
        self.assertEqual(self.d.metric('keyturn_peers_refused_total{socket="control"}'), 1)

    def as_uid(self, uid, op, document=b""):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            try:
                result = self.d.control(op, document).error or "answer"
            except OSError:
                result = "closed"
            os.write(writer, result.encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader) as source:
            return source.read()


class SelfTests(Case):
    def test_every_key_is_tried_again_and_again(self):
        self.d.change_config("keys: 1m", "keys: 1s")
        self.d.start().wait_healthz("ok")
        second, out = self.next_generation("g2", "add", "second")
        self.assertIsNone(self.d.offer(second).error)
        before, since = self.d.metric("keyturn_selftests_total"), self.d.metric("keyturn_selftest_timestamp_seconds")
        until(lambda: self.d.metric("keyturn_selftests_total") >= before + 4, "two keys, twice")
        self.assertGreater(self.d.metric("keyturn_selftest_timestamp_seconds"), since)
        self.assertEqual(self.d.metric("keyturn_selftest_failures_total"), 0)
        metrics = self.d.get("/metrics")[1]
        for key in keys_of(out):
            self.assertRegex(metrics, rf'(?m)^keyturn_key_selftest_ok{{key_id="{key}".*}} 1$')
        self.assertEqual(self.d.healthz(), "ok")


class Metrics(Case):
    """Others at the port keep no scraper out, and the exporter is not restarted for it."""

    def setUp(self):
        super().setUp()
        self.d.start().wait_healthz("ok")
        host, port = self.d.status().status[27][0].decode().rsplit(":", 1)
        self.address = (host, int(port))
        self.exporter = self.d.processes()["exporter"]

    def strangers(self, n, data):
        found = []
        for _ in range(n):
            found.append(socket.create_connection(self.address, timeout=10))
            self.addCleanup(found[-1].close)
            found[-1].sendall(data)
        return found

    def assert_scraped(self):
        for path in ("/livez", "/readyz", "/metrics"):
            self.assertEqual(self.d.get(path, patience=5)[0], 200, path)
        self.assertEqual(self.d.processes()["exporter"], self.exporter)

    def test_burst_that_goes_away(self):
        for n in (200, 400):
            for connection in self.strangers(n, b"GET /"):
                connection.close()
            self.assert_scraped()

    def test_silent_connections_are_cut(self):
        for data in (b"", b"GET /"):
            silent = self.strangers(200, data)
            self.assert_scraped()
            for connection in silent:
                connection.settimeout(20)
                try:
                    self.assertEqual(connection.recv(1), b"")
                except ConnectionResetError:
                    pass
            self.assert_scraped()


class Textfile(Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.d.dir, "keyturn.prom")
        self.d.change_config('textfile: ""', f'textfile: "{self.path}"')

    def test_written_whole(self):
        self.d.start()
        until(lambda: os.path.exists(self.path), "the text file")
        text = self.d.text(self.path)
        self.assertIn("# TYPE keyturn_requests_total counter", text)
        self.assertTrue(text.endswith("\n"))


class LateTextfile(Case):
    """With metrics.listen off there is no exporter until a text file is asked for."""
    settings = ("metrics=off",)

    def reload(self, pattern, replacement):
        self.d.change_config(pattern, replacement)
        self.d.process.send_signal(signal.SIGHUP)

    def exporter(self):
        return self.d.processes()["exporter"]

    def test_asked_for_and_not_any_more(self):
        path = os.path.join(self.d.dir, "keyturn.prom")
        self.d.start().wait_healthz("ok")
        self.assertEqual(self.exporter()[:2], (0, 0))
        for _ in range(2):
            self.reload('textfile: ""', f'textfile: "{path}"')
            until(lambda: os.path.exists(path), "the text file")
            self.assertNotEqual(self.exporter()[0], 0)
            self.reload(f'textfile: "{path}"', 'textfile: ""')
            until(lambda: self.exporter()[0] == 0, "the exporter ends")
            os.unlink(path)
        self.assertEqual(self.exporter()[1], 0, "none of this is a restart after a crash")
        self.assertNotIn("level=warning role=supervisor", self.d.log())


@unittest.skipUnless(os.geteuid() == 0, "needs root to give processes other uids")
class Accounts(Case):
    settings = ("account=23456:23457", "uid=23456")

    def test_uids(self):
        for path in (self.d.dir, self.d.prefix):
            os.chmod(path, 0o755)
        self.d.start().wait_healthz("ok")
        self.assert_serves()
        found = self.d.processes()
        self.assertEqual({role: found[role][2] for role in ("supervisor", "front", "keeper", "exporter")},
                         {"supervisor": 0, "front": 23456, "keeper": 23456, "exporter": 23456})
        for role in ("front", "keeper", "exporter"):
            self.assertEqual(os.stat(f"/proc/{found[role][0]}/task").st_uid in (0, 23456), True)
            status = self.d.text(f"/proc/{found[role][0]}/status")
            self.assertIn("Uid:\t23456\t23456\t23456\t23456", status)
        second, _ = self.next_generation("g2", "add", "second")
        self.assertIsNone(self.d.offer(second).error)
        self.assertEqual(self.d.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
