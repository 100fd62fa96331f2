#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver keeps its Secrets in a real etcd, encrypted through keyturnd: what etcd holds, and what happens
when processes are killed, servers restarted and keys changed."""

import base64
import contextlib
import re
import secrets
import signal
import threading
import time
import urllib.parse

import harness
from cluster import PREFIX, Cluster, EncryptedObject, hexdump, secret_key
from daemon import Daemon
from harness import Pid, proved, wait_for
from keyring_go import KeyringGo

PLUGIN_BACK = 15  # seconds until a killed process of the daemon must serve again
# kube-apiserver's own rhythm. Who asks for its health makes it ask the plugin where the last answer is older than 20 s, or
# the last failure older than 3 s; a call ends after 3 s. The rest is for a busy machine.
NEXT_STATUS = 30  # seconds to the next answer where the plugin was away for a moment
RECONNECTED = 10  # and where it was missed, so that its answers fail, from when it is back
# grpc-go dials again 1, 2.6, 5, 9, 16, 26, 43, 70, 113 s (each step +-20 %) after the first refusal, then every 2 minutes:
# the bound where nobody holds the socket while the plugin is away.
BACK_OFF = 150
# So long the plugin is missed where somebody holds the socket: amid two dials, the next would be some 20 s away.
MISSED = 49


class Loop(threading.Thread):
    """Does one thing over and over, with a pause between, until it is told to end; keeps count and failures."""

    def __init__(self, cluster, action, pause=0):
        super().__init__(daemon=True)
        self.client, self.action, self.pause = cluster.api.client(keep=True), action, pause
        self.done, self.failures, self.ending = 0, [], threading.Event()

    def run(self):
        while not self.ending.is_set():
            try:
                self.action(self.client, self.done)
                self.done += 1
                self.ending.wait(self.pause)
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append((time.monotonic(), error))
                self.ending.wait(0.05)
        self.client.close()

    def end(self):
        self.ending.set()
        self.join(90)
        return not self.is_alive()


class Health(Loop):
    """Asks for kube-apiserver's check of the plugin all the time; keeps when it asked and the HTTP status."""

    def __init__(self, cluster):
        super().__init__(cluster, self.ask, 0.1)
        self.answers = []

    def ask(self, client, _):
        asked = time.time()
        self.answers.append((asked, client.get("/healthz/kms-providers")[0]))

    def bad(self, since):
        return [(asked, status) for asked, status in self.answers if asked >= since and status != 200]

    def wait_missed(self, since):
        """Until kube-apiserver has missed the plugin for so long that back-off would matter."""
        def missed():
            begun = self.bad(since)[0][0] if self.bad(since) else time.time()
            if any(asked > begun and status == 200 for asked, status in self.answers):
                raise AssertionError("the plugin answered while it was to be away")
            return time.time() > begun + MISSED
        wait_for(f"kube-apiserver misses the plugin for {MISSED} s", missed, MISSED + 2 * NEXT_STATUS)


class Secrets(harness.Case):
    """One cluster, one keyring; each test leaves both running."""

    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.daemon = Daemon(path / "d").init()
        cls.workspace.on_close(cls.daemon.kill)
        cls.keyring_go = KeyringGo(path, cls.daemon).build()
        config = path / "encryption.yaml"
        config.touch(mode=0o600)
        config.write_text(cls.daemon.rendered_config())
        cls.daemon.start()
        cls.cluster = Cluster(harness.assets(), path, config)
        cls.workspace.on_close(cls.cluster.stop)
        cls.cluster.start()
        cls.kept = {}
        cls.store("first")

    @classmethod
    def store(cls, name, client=None):
        """Creates a Secret of random text; returns what etcd holds of it."""
        value = f"plaintext-{secrets.token_hex(24)}".encode()
        status, answer = (client or cls.cluster.api.client()).create_secret(name, value)
        if status != 201:
            raise AssertionError(f"POST of secret {name}: {status} {answer}")
        cls.kept[name] = value
        return cls.cluster.etcd.secret(name)

    def read_all(self):
        client = self.cluster.api.client(keep=True)
        for name, value in self.kept.items():
            self.assertEqual(client.read_secret(name), value, f"secret {name} reads as something else")
        client.close()
        return len(self.kept)

    def assert_encrypted(self, stored, value, key_id):
        self.assertTrue(stored.startswith(PREFIX), stored[:40])
        for form in (value, base64.b64encode(value), value.hex().encode(), urllib.parse.quote(value).encode()):
            self.assertNotIn(form, stored)
        found = EncryptedObject(stored)
        self.assertEqual(found.key_id, key_id)
        self.assertEqual(found.source_type, 1)
        return found

    def wait_status(self, since, bound):
        """Until kube-apiserver has had an answer from the plugin later than `since`, and calls it healthy; returns when
        it had it. Both are by the clock. Asking for its health makes it ask."""
        client = self.cluster.api.client()

        def seen():
            healthy = client.get("/healthz/kms-providers")[0] == 200
            times = re.findall(r"^apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds\{.*\} (\S+)$",
                               client.get("/metrics")[1], re.M)
            last = max(map(float, times), default=0)
            return healthy and last > since and last
        begun = time.time()
        last = wait_for("kube-apiserver has had an answer from the plugin", seen, since + bound - begun, 0.2)
        self.assertLess(last - since, bound, "the answer came too late")
        return last

    def assert_connected(self, health, since, bound):
        """kube-apiserver has its next answer in time, and one more in its rhythm, all healthy between; returns the
        seconds to the first."""
        first = self.wait_status(since, bound)
        healthy_from = time.time()
        self.wait_status(first, NEXT_STATUS)
        self.assertEqual(health.bad(healthy_from), [], "kms-providers failed again")
        return first - since

    def test_1_etcd_holds_ciphertext(self):
        stored = self.cluster.etcd.secret("first")
        key_id = self.daemon.key_id()
        found = self.assert_encrypted(stored, self.kept["first"], key_id)
        print(f"the first 64 of {len(stored)} bytes that etcd holds under {secret_key('first')}:")
        print(hexdump(stored[:64]))
        self.assertEqual(len(found.seed), 1 + 12 + 32 + 16, "version, nonce, seed and tag")
        self.assertEqual(found.annotations, [])
        self.read_all()
        proved(f"a Secret is stored as {PREFIX.decode()}... under key_id {key_id}, without its plaintext, and read back")

    def test_2_whole_daemon_killed(self):
        self.daemon.kill()
        self.read_all()
        self.store("while-dead")
        begun = time.time()
        self.daemon.start()
        self.read_all()
        self.store("after-kill")
        self.wait_status(begun, BACK_OFF)
        self.assert_encrypted(self.store("after-kill-and-status"), self.kept["after-kill-and-status"],
                              self.daemon.key_id())
        self.read_all()
        proved("keyturnd killed (-9) as a whole and started again: all is read and written throughout, and kube-apiserver "
               f"had its next answer {time.time() - begun:.1f} s after the start (it asks every 20 s)")

    @contextlib.contextmanager
    def load(self):
        """Reads, writes and questions for the health go on meanwhile, and no read and no write fails."""
        names = list(self.kept)
        reader = Loop(self.cluster, lambda client, n: self.assertEqual(
            client.read_secret(names[n % len(names)]), self.kept[names[n % len(names)]]), 0.02)
        run = secrets.token_hex(4)
        writer = Loop(self.cluster, lambda client, n: self.store(f"loop-{run}-{n}", client), 0.2)
        health = Health(self.cluster)
        loops = (reader, writer, health)
        for loop in loops:
            loop.start()
        try:
            yield reader, writer, health
        finally:
            ended = [loop.end() for loop in loops]
        self.assertTrue(all(ended), "a request hangs")
        self.assertEqual(health.failures, [], "kube-apiserver does not answer for its health")
        self.assertEqual(reader.failures, [], "reads of existing Secrets failed")
        self.assertEqual(writer.failures, [], "writes failed within the three minutes that kube-apiserver coasts")

    def test_3_each_process_killed(self):
        with self.load() as (reader, writer, health):
            for role in ("exporter", "front", "keeper", "supervisor"):
                self.kill_under_load(role, reader, writer, health)
        self.read_all()
        proved(f"each process killed (-9) while {reader.done} reads and {writer.done} writes went on: none failed, and "
               "kube-apiserver had its next answers in its own rhythm")

    def kill_under_load(self, role, reader, writer, health):
        before = self.daemon.pids()
        children = [Pid(pid) for child, pid in before.items() if child != "supervisor"]
        begun = time.time()
        self.daemon.kill_one(role)
        killed = time.time()
        if role == "supervisor":
            for child in children:
                wait_for(f"process {child.pid} ended after its supervisor", child.gone, 15)
            self.daemon.kill()
            self.daemon.start()
        for child in children:
            child.close()
        wait_for(f"the socket serves after {role} was killed", lambda: self.daemon.keyturn("probe").exit == 0, PLUGIN_BACK)
        served = time.time() - begun
        wait_for(f"{role} runs again", lambda: self.daemon.pids().get(role, before[role]) != before[role], PLUGIN_BACK)
        if role != "supervisor":
            self.assert_only_it_restarted(role, before)
        reads, writes = reader.done, writer.done
        wait_for("reads and writes go on", lambda: reader.done > reads + 3 and writer.done > writes + 3, 60)
        if role in ("front", "keeper"):
            seconds = self.assert_connected(health, killed, NEXT_STATUS)
        else:  # with the supervisor the socket goes, as nobody else holds it here
            seconds = self.wait_status(killed, BACK_OFF if role == "supervisor" else NEXT_STATUS) - killed
        self.daemon.wait_healthy()
        print(f"{role} killed: the socket answered a probe again after {served:.2f} s, kube-apiserver had its next answer "
              f"after {seconds:.1f} s")

    def assert_only_it_restarted(self, role, before):
        after = self.daemon.pids()
        others = set(before) - {role}
        self.assertEqual({r: after[r] for r in others}, {r: before[r] for r in others},
                         f"others were started again because {role} died")
        restarts = {p["role"]: p["restarts"] for p in self.daemon.status()["daemon"]["processes"]}
        self.assertEqual(restarts[role], 1, restarts)

    def test_4_front_away_for_long(self):
        supervisor = Pid(self.daemon.pids()["supervisor"])
        self.addCleanup(supervisor.close)
        with self.load() as (_, _, health):
            supervisor.kill(signal.SIGSTOP)
            try:
                self.daemon.kill_one("front")
                health.wait_missed(time.time())
            finally:
                begun = time.time()
                supervisor.kill(signal.SIGCONT)
            seconds = self.assert_connected(health, begun, RECONNECTED)
        self.read_all()
        proved(f"the front was away while kube-apiserver missed it for {MISSED} s, and the supervisor held the socket: it "
               f"had its next answer {seconds:.1f} s after the supervisor could go on")

    def test_5_socket_held_by_another(self):
        self.daemon.stop()
        self.daemon.hold()
        try:
            begun = time.time()
            self.daemon.start()
            self.wait_status(begun, BACK_OFF)
            with self.load() as (_, _, health):
                self.daemon.kill()
                health.wait_missed(time.time())
                begun = time.time()
                self.daemon.start()
                seconds = self.assert_connected(health, begun, RECONNECTED)
            self.read_all()
            self.daemon.stop()
        finally:
            self.daemon.release()
        self.daemon.start()
        proved(f"keyturnd killed (-9) as a whole and missed for {MISSED} s, its sockets held by who started it: "
               f"kube-apiserver had its next answer {seconds:.1f} s after the start")

    def test_6_servers_restarted(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.cluster.stop(number)
            self.cluster.start()
            self.read_all()
        self.daemon.kill()
        self.cluster.stop(signal.SIGKILL)
        self.daemon.start()
        self.cluster.start()
        n = self.read_all()
        killer = threading.Thread(target=self.kill_front_and_keeper)
        self.cluster.api.stop(signal.SIGKILL)
        killer.start()
        self.cluster.api.start()
        killer.join()
        self.read_all()
        self.store(f"after-restarts-{secrets.token_hex(4)}")
        self.read_all()
        proved(f"{n} Secrets are read after restarts and kills of kube-apiserver and etcd, and of all with keyturnd")

    def kill_front_and_keeper(self):
        for role in ("front", "keeper"):
            self.daemon.kill_one(role)
            self.daemon.wait_healthy()

    def test_7_daemon_started_late(self):
        self.daemon.stop()
        self.cluster.api.stop(signal.SIGKILL)
        self.cluster.api.start(wait=False)
        client = self.cluster.api.client()
        wait_for("kube-apiserver refuses a Secret that it cannot decrypt",
                 lambda: client.get("/api/v1/namespaces/default/secrets/first")[0] == 500, 60)
        begun = time.monotonic()
        self.daemon.start()
        self.cluster.api.wait_ready()
        self.read_all()
        self.store(f"after-late-start-{secrets.token_hex(4)}")
        self.read_all()
        proved(f"keyturnd started after kube-apiserver: ready and all read {time.monotonic() - begun:.1f} s later")

    def test_8_next_generations(self):
        out = self.workspace.path / "next.yaml"
        old = self.daemon.key_id()
        self.offer(self.keyring_go.next(out, "add:second", "stage:prepare"))
        self.assertEqual(self.daemon.key_id(), old, "a key that is not active encrypts")
        fresh = next(k["id"] for k in self.keyring_go.open()["keys"] if k["name"] == "second")
        self.offer(self.keyring_go.next(out, f"activate:{fresh}", "stage:rotate"))
        self.assertEqual(self.daemon.key_id(), fresh)
        begun = time.monotonic()
        client, written = self.cluster.api.client(), []

        def under_new_key():
            client.get("/healthz/kms-providers")
            name = f"rotated-{len(written)}"
            written.append(name)
            return EncryptedObject(self.store(name, client)).key_id == fresh
        wait_for("a new Secret is stored under the new key", under_new_key, NEXT_STATUS, 0.5)
        seconds = time.monotonic() - begun
        self.assert_encrypted(self.cluster.etcd.secret(written[-1]), self.kept[written[-1]], fresh)
        self.assertEqual(EncryptedObject(self.cluster.etcd.secret("first")).key_id, old)
        self.read_all()
        self.cluster.api.stop()
        self.cluster.api.start()
        self.read_all()
        proved(f"a new active key was offered, and new Secrets were under it {seconds:.1f} s later; those under the old "
               "one are read, also by a kube-apiserver that starts anew")

    def offer(self, path):
        answer = self.daemon.offer(path)
        self.assertEqual(answer.exit, 0, repr(answer))
        self.assertTrue(answer.json()["served"], repr(answer))

    def test_9_recovered_without_keyturn(self):
        name = list(self.kept)[-1]
        for name in ("first", name):
            found = EncryptedObject(self.cluster.etcd.secret(name))
            words = ["--key-id", found.key_id, "--ciphertext", found.seed.hex(), "--etcd-key", secret_key(name),
                     "--data", found.data.hex()]
            answer = self.keyring_go.unwrap(*words, opening=self.keyring_go.by_recovery)
            self.assertEqual(len(answer["plaintext"]), 64, "a DEK seed has 32 bytes")
            stored = bytes.fromhex(answer["object"])
            self.assertTrue(stored.startswith(b"k8s\0"))
            self.assertIn(self.kept[name], stored)
        proved("from etcd's bytes, the keyring and the recovery key alone, the second implementation gets the Secrets back")


if __name__ == "__main__":
    harness.main(harness.assets, harness.go)
