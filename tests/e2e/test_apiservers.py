#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two real kube-apiservers on one etcd, as keyturn sees them from the kubeconfig of one: which key and which configuration
each has loaded, and what it says when one is paused, fails to load a file or misses its plugin.

The file of the second is broken when the last rotation is done: kube-apiserver looks at it within a minute, and says so from
then on."""

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time

import harness
from cluster import ApiServer, EncryptedObject, Etcd, write_kubeconfig
from daemon import Daemon
from harness import BUILD, proved, wait_for

KUBE_CALL = BUILD / "tests" / "kube_call"
POKED = 60  # seconds until both have a new key_id: they ask again when the last answer is 20 s old
RELOADED = 150  # and until a changed file was looked at: once a minute
PAUSED = 3000  # ms: the deadline that a paused server is to miss


def sha256(data):
    return "sha256:" + hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


class Relay(threading.Thread):
    """Passes TCP on, but what a client sends on the first connection beyond some bytes goes nowhere, and nothing comes
    back: a host that was switched off."""

    def __init__(self, port, freeze_at):
        super().__init__(daemon=True)
        self.port, self.freeze_at, self.connections = port, freeze_at, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.port))
            limit = self.freeze_at if self.connections == 1 else None
            threading.Thread(target=self.pump, args=(client, server, limit), daemon=True).start()

    @staticmethod
    def pump(client, server, limit):
        sent = 0
        with client, server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    try:
                        data = ready.recv(65536)
                    except OSError:
                        data = b""
                    if not data:
                        return
                    sent += len(data) if ready is client else 0
                    if limit is None or sent <= limit:
                        (server if ready is client else client).sendall(data)

    def close(self):
        self.listener.close()


class ApiServers(harness.Case):
    @classmethod
    def prepare(cls):
        path = cls.workspace.path
        cls.daemon = Daemon(path / "d").init()
        cls.workspace.on_close(cls.daemon.release)
        cls.workspace.on_close(cls.daemon.kill)
        cls.daemon.hold()
        cls.daemon.start()
        cls.good = cls.daemon.rendered_config().encode()
        cls.etcd = Etcd(harness.assets() / "etcd", path / "etcd")
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        cls.a, cls.b = (cls.server(path, name) for name in "ab")
        for api in (cls.a, cls.b):
            api.start(wait=False)
        for api in (cls.a, cls.b):
            api.wait_ready()
        cls.kubeconfig = path / "kubeconfig"
        cls.write_kubeconfig(cls.a.port)

    @classmethod
    def server(cls, path, name):
        config = path / f"{name}.yaml"
        config.touch(mode=0o600)
        config.write_bytes(cls.good)
        api = ApiServer(harness.assets() / "kube-apiserver", path / name, cls.etcd.url(), config, f"node-{name}", "e2e-token")
        cls.workspace.on_close(lambda: api.stop(signal.SIGKILL))
        return api

    @classmethod
    def write_kubeconfig(cls, port):
        write_kubeconfig(cls.kubeconfig, (cls.a, cls.b))
        cls.kubeconfig.write_text(cls.kubeconfig.read_text().replace(f":{cls.a.port}\"", f":{port}\""))

    def call(self, *words, status=0):
        run = subprocess.run([KUBE_CALL, "--kubeconfig", self.kubeconfig, *map(str, words)], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=400, env={**os.environ, "KUBECONFIG": "/nowhere"}, check=False)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertNotIn(self.a.token, run.stdout + run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def find(self, *options):
        """Both servers as they were found, by the host that their Leases name."""
        found = self.call(*options, "find")[0]
        servers = {server["host"]: server for server in found["servers"]}
        self.assertEqual((sorted(servers), len(found["servers"]), found["complete"]), (["node-a", "node-b"], 2, True), found)
        return servers["node-a"], servers["node-b"]

    def key_of(self, server):
        return max((key for key in server["keys"] if key["provider"] == "keyturn"), key=lambda key: key["seenAt"])

    def test_1_finds_both(self):
        leases = self.a.client().get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")[1]["items"]
        names = {item["metadata"]["labels"]["kubernetes.io/hostname"]: item["metadata"]["name"] for item in leases}
        for server, api in zip(self.find(), (self.a, self.b)):
            self.assertEqual(server["id"], names[api.hostname])
            self.assertEqual(server["address"], f"https://127.0.0.1:{api.port}")
            self.assertEqual((server["state"], server["ready"], server["kms"]), ("ASKED", "GOOD", "GOOD"), server)
            self.assertRegex(server["version"], r"^v1\.\d+\.\d+")
            self.assertEqual(server["configHash"], sha256(self.good))
            self.assertEqual(self.key_of(server)["hash"], sha256(self.daemon.key_id()))
            self.assertLess(abs(self.key_of(server)["seenAt"] - time.time()), 90)
            self.assertIsNone(server["reloadBad"])
        proved("both kube-apiservers were found from the kubeconfig of one, with the key and the configuration of each")

    def test_2_canaries(self):
        for kind, key_id in (("secret", self.daemon.key_id()), ("configmap", None)):
            written = self.call("canary", "write", kind, "kube-system")
            self.assertEqual(len({canary["key"] for canary in written}), 2)
            for canary in written:
                stored = self.etcd.get("/registry" + canary["key"])
                if key_id:
                    self.assertEqual(EncryptedObject(stored).key_id, key_id)
                else:
                    self.assertIn(canary["nonce"].encode(), stored)
            again = self.call("canary", "write", kind, "kube-system")
            self.assertEqual([c["key"] for c in again], [c["key"] for c in written])
            for before, after in zip(written, again):
                self.assertNotEqual((before["resourceVersion"], before["nonce"]), (after["resourceVersion"], after["nonce"]))
            self.call("canary", "remove", kind, "kube-system")
            self.call("canary", "remove", kind, "kube-system")
            for canary in written:
                self.assertIsNone(self.etcd.get("/registry" + canary["key"]))
        self.leaves_foreign_objects(written[0]["key"].rsplit("/", 1)[1])
        self.assertEqual(self.call("canary", "write", "secret", "no-such-namespace", status=1)[-1]["code"], "REFUSED")
        self.assertEqual(self.call("canary", "write", "secret", "../secrets", status=1)[-1]["code"], "USAGE")
        proved("a canary of each server is in etcd under the active key, changes with each write, and goes")

    def leaves_foreign_objects(self, name):
        """One of that name without our label is neither changed nor removed."""
        client = self.a.client()
        path = f"/api/v1/namespaces/kube-system/configmaps/{name}"
        self.assertEqual(client.request("POST", path.rsplit("/", 1)[0], {"metadata": {"name": name}, "data": {"a": "b"}})[0], 201)
        for what in ("write", "remove"):
            error = self.call("canary", what, "configmap", "kube-system", status=1)[-1]
            self.assertEqual(error["code"], "EXISTS")
            self.assertIn(name, error["hint"])
        self.assertEqual(client.get(path)[1]["data"], {"a": "b"})
        self.assertEqual(client.request("DELETE", path)[0], 200)

    def test_3_http2(self):
        result = self.call("flood", 1000, 100, "/api/v1/namespaces/default")[0]
        self.assertEqual(result["outcomes"], {"OK": 1000})
        self.assertTrue(result["last"]["http2"])
        relay = Relay(self.a.port, 2000)
        self.addCleanup(relay.close)
        relay.start()
        self.write_kubeconfig(relay.address[1])
        self.addCleanup(self.write_kubeconfig, self.a.port)
        answers = self.call("--timeout", PAUSED, "get", "/livez", f"/livez?{'x' * 3000}", "/livez")
        self.assertEqual([a["outcome"] for a in answers], ["OK", "TIMEOUT", "OK"])
        self.assertEqual(relay.connections, 2)
        proved("HTTP/2, and a connection whose other end went away in silence is given up")

    def test_4_paused(self):
        before = self.find()
        self.b.server.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            a, b = self.find("--timeout", PAUSED)
            seconds = time.monotonic() - begun
        finally:
            self.b.server.process.send_signal(signal.SIGCONT)
        self.assertEqual((a["state"], b["state"]), ("ASKED", "UNREACHABLE"))
        self.assertEqual(b["id"], before[1]["id"])
        self.assertIn("no answer in time", b["why"])
        self.assertLess(seconds, 20 + 2 * PAUSED / 1000)
        wait_for("the server that went on is asked again", lambda: self.find()[1]["state"] == "ASKED", 60)
        proved(f"a paused kube-apiserver is reported after {seconds:.1f} s (the deadline is {PAUSED / 1000:.0f} s)")

    def test_5_new_key(self):
        old = self.daemon.key_id()
        self.offer("add", "second", "stage", "prepare")
        fresh = next(key["id"] for key in self.daemon.status()["keys"] if key["name"] == "second")
        self.offer("activate", fresh, "stage", "rotate")
        begun = time.monotonic()
        result = self.call("wait", POKED, "keyturn", sha256(fresh), "-")[0]
        self.assertTrue(result["met"], result)
        seconds = time.monotonic() - begun
        for canary in self.call("canary", "write", "secret", "kube-system"):
            self.assertEqual(EncryptedObject(self.etcd.get("/registry" + canary["key"])).key_id, fresh)
        for server in self.find():
            written = {key["hash"]: key["writtenTotal"] for key in server["keys"]}
            self.assertGreater(written[sha256(fresh)], 0)
            self.assertIn(sha256(old), written)
        proved(f"poked, both took a new key_id within {seconds:.0f} s, and write with it")

    def rotate(self, *words, status=0):
        answer = self.daemon.keyturn(*words, "--kubeconfig", self.kubeconfig, "--etcd-endpoints", self.etcd.url(), timeout=400)
        self.assertEqual(answer.exit, status, repr(answer))
        return answer

    def test_5_rotated_by_both(self):
        """keyturn rotate is refused while one of them is paused, and done when both write under the new key."""
        self.rotate("prepare", "--force", "--yes")
        status = self.daemon.status()
        fresh = next(key["id"] for key in reversed(status["keys"]) if key["state"] == "ready")
        self.b.server.process.send_signal(signal.SIGSTOP)
        try:
            error = self.rotate("rotate", "-o", "json", "--timeout", "5", status=3).error()
            lease = self.find("--timeout", PAUSED)[1]["id"]
            forgotten = self.rotate("rotate", "--forget-api-server", lease, "-o", "json", status=3).error()
        finally:
            self.b.server.process.send_signal(signal.SIGCONT)
        self.assertEqual(error["code"], "REFUSED")
        self.assertRegex(error["message"], r"rotate: expected every API server is known and can be asked, found apiserver-\S+ does not")
        self.assertEqual(forgotten["code"], "REFUSED")
        self.assertIn(f"kubectl -n kube-system delete lease {lease}", forgotten["hint"])
        self.assertEqual(self.daemon.status()["keyring"]["generation"], status["keyring"]["generation"])
        self.assertEqual(self.daemon.key_id(), status["daemon"]["keyId"])
        wait_for("the server that went on is asked again", lambda: self.find()[1]["state"] == "ASKED", 60)
        begun = time.monotonic()
        self.rotate("rotate")
        seconds = time.monotonic() - begun
        path = "/api/v1/namespaces/kube-system/secrets?labelSelector=app.kubernetes.io/managed-by%3Dkeyturn"
        canaries = self.a.client().get(path)[1]["items"]
        self.assertEqual(len(canaries), 2)
        for canary in canaries:
            stored = self.etcd.get(f"/registry/secrets/kube-system/{canary['metadata']['name']}")
            self.assertEqual(EncryptedObject(stored).key_id, fresh)
        wait_for("status finds nothing", lambda: self.daemon.keyturn(
            "status", "--kubeconfig", self.kubeconfig, "--etcd-endpoints", self.etcd.url()).exit == 0, 60, 1)
        said = self.rotate("status", "-o", "json").json()
        self.assertEqual([server["current"] for server in said["apiServers"]], [True, True])
        self.assertEqual(len(self.daemon.keyturn("keyring", "show", "-o", "json").json()["keys"]), 3)
        proved(f"rotate is refused while a kube-apiserver is paused, and done after {seconds:.0f} s, when both write under the new key")

    def offer(self, *edits):
        out = self.workspace.path / "next.yaml"
        subprocess.run([BUILD / "tests" / "make_state", "edit", self.daemon.dir, out, *edits], check=True, capture_output=True)
        answer = self.daemon.offer(out)
        self.assertEqual(answer.exit, 0, repr(answer))

    def test_6_plugin_away(self):
        """Its sockets are held meanwhile, so that it is not missed for longer than it is away."""
        type(self).broken_since = time.monotonic()
        self.b.config.write_text("resources: [ # broken\n")
        self.daemon.kill()
        begun = time.monotonic()
        try:
            servers = wait_for("both miss the plugin", lambda: self.both(lambda server: server["kms"] == "BAD"), POKED)
        finally:
            self.daemon.start()
        seconds = time.monotonic() - begun
        for server in servers:
            self.assertRegex(server["kmsWords"], "kms-provider-0: .*DeadlineExceeded")
            self.assertEqual((server["state"], server["ready"]), ("ASKED", "BAD"))
            self.assertIn("kms-providers failed", server["readyWords"])
        wait_for("both have the plugin again", lambda: self.both(lambda server: server["kms"] == "GOOD"), POKED)
        proved(f"both say that they miss the plugin, and why, after {seconds:.0f} s")

    def both(self, condition):
        servers = self.find()
        return servers if all(map(condition, servers)) else None

    def test_7_failed_reload(self):
        def tried():
            failed = self.find()[1]["reloadBad"]
            return failed and failed["total"] > 0 and failed  # kube-apiserver sets the time before it counts
        failed = wait_for("the second server has tried the broken file", tried, RELOADED, 1)
        seconds = time.monotonic() - self.broken_since
        a, b = self.find()
        self.assertLess(abs(failed["at"] - time.time()), 90)
        self.assertEqual(b["configHash"], sha256(self.good), "what is loaded is still the good file")
        # Over HTTP it says that the file failed, not why: that is in its log.
        self.assertEqual((b["ready"], b["kms"], b["readyWords"], b["kmsWords"]), ("GOOD", "GOOD", "", ""))
        self.assertIn("error processing encryption config file", self.b.server.log.read_text(errors="replace"))
        self.assertIsNone(a["reloadBad"])
        proved(f"a broken file shows as a failed reload {seconds:.0f} s later, with the good one still loaded")

if __name__ == "__main__":
    harness.main(harness.assets)
