#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The client of etcd against a real one: TLS and plain, a Unix socket, several endpoints, everything that goes wrong on the
way, and passes over many keys of which none may be missing."""
import base64
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from etcd_probe import Probe  # noqa: E402
from cluster import Cluster, Etcd  # noqa: E402
from pki import Authority  # noqa: E402
from harness import Case, assets, free_ports, main, wait_for  # noqa: E402

KEY, VALUE = "/registry/secrets/default/a", b"k8s:enc:kms:v2:keyturn:\x00\xff value"


def put(etcd, items):
    """Through etcd's own JSON gateway, a hundred in one transaction."""
    items = list(items)
    for start in range(0, len(items), 100):
        operations = [{"requestPut": {"key": base64.b64encode(key.encode()).decode(),
                                      "value": base64.b64encode(value).decode()}} for key, value in items[start:start + 100]]
        post(etcd, "/v3/kv/txn", {"success": operations})


def post(etcd, path, body):
    request = urllib.request.Request(etcd.url() + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class StoreCase(Case):
    def probe(self, *words, **options):
        probe = Probe(*words, **options)
        self.addCleanup(probe.drop)
        return probe

    def expect_error(self, answer, code, *parts, hint=""):
        self.assertIn("error", answer)
        self.assertEqual(answer["error"], code, answer)
        for part in parts:
            self.assertIn(part, answer["message"])
        self.assertIn(hint, answer["hint"])


class Connections(StoreCase):
    @classmethod
    def prepare(cls):
        cls.dir = cls.workspace.path
        pki = cls.dir / "pki"
        pki.mkdir()
        cls.authority, cls.other = Authority(pki, "etcd-ca"), Authority(pki, "other-ca")
        server = cls.authority.sign("server", "IP:127.0.0.1", "IP:::1", "DNS:localhost", "DNS:etcd.test", "DNS:tls.sock")
        cls.client = cls.authority.sign("client")
        cls.client_rsa = cls.authority.sign("client-rsa", rsa=True)
        cls.stranger = cls.other.sign("stranger")
        cls.etcd = Etcd(assets() / "etcd", cls.dir / "etcd",
                        ("https://127.0.0.1:{port}", f"unix://{cls.dir}/etcd.sock", f"unixs://{cls.dir}/tls.sock"),
                        (f"--cert-file={server[0]}", f"--key-file={server[1]}", f"--trusted-ca-file={cls.authority.cert}",
                         "--client-cert-auth"))
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        cls.https = f"https://127.0.0.1:{cls.etcd.ports[2]}"
        put(cls.etcd, [(KEY, VALUE)])

    def test_every_way_in(self):
        port = self.etcd.ports[2]
        ways = [((self.etcd.url(),), {}), ((f"unix://{self.dir}/etcd.sock",), {}),
                ((self.https,), {"ca": self.authority.cert, "pair": self.client}),
                ((self.https,), {"ca": self.authority.cert, "pair": self.client_rsa}),
                ((f"https://localhost:{port}",), {"ca": self.authority.cert, "pair": self.client}),
                ((self.https,), {"ca": self.authority.cert, "pair": self.client, "server_name": "etcd.test"}),
                ((f"unixs://{self.dir}/tls.sock",), {"ca": self.authority.cert, "pair": self.client})]
        for endpoints, options in ways:
            with self.subTest(endpoints=endpoints, options=options):
                probe = self.probe(endpoints, **options)
                self.assertEqual(probe.get(KEY)[0], VALUE)
                self.assertIsNone(probe.get(KEY + "x")[0])
                self.assertIsNone(probe.get(KEY[:-1])[0])
                # What TLS takes of OpenSSL's arena must leave room in keyturn's 4 MiB.
                self.assertLess(probe.close()["arena_peak"], 2 << 20)

    def test_newest_and_its_numbers(self):
        probe = self.probe((self.etcd.url(),))
        put(self.etcd, [("/numbers", b"1")])
        first = probe.ask("get /numbers")
        put(self.etcd, [("/numbers", b"2")])
        second = probe.ask("get /numbers")
        self.assertEqual((first["version"], second["version"]), (1, 2))
        self.assertEqual(second["mod"], first["mod"] + 1)
        self.assertEqual(second["revision"], second["mod"])
        self.assertEqual(base64.b64decode(second["value"]), b"2")
        probe.close()

    def test_no_proxy(self):
        trap = "http://127.0.0.1:1"
        probe = self.probe((self.etcd.url(),),
                           environment={name: trap for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")})
        self.assertEqual(probe.get(KEY)[0], VALUE)
        probe.close()

    # What goes wrong, in words.

    def failed(self, code, parts, endpoints, **options):
        hint = options.pop("hint", "")
        probe = self.probe(endpoints, **options)
        answer, _ = probe.get(KEY)
        self.expect_error(answer, code, *parts, hint=hint)
        probe.close()

    def test_wrong_ca(self):
        self.failed("UNREACHABLE", [self.https, "does not come from the CA in", "other-ca.pem"], (self.https,),
                    ca=self.other.cert, pair=self.client, hint="--etcd-cacert")

    def test_no_client_certificate(self):
        self.failed("UNREACHABLE", ["wants a client certificate, and got none"], (self.https,), ca=self.authority.cert,
                    hint="--etcd-cert")

    def test_client_certificate_of_another_ca(self):
        self.failed("UNREACHABLE", ["the client certificate"], (self.https,), ca=self.authority.cert, pair=self.stranger,
                    hint="--trusted-ca-file")

    def test_client_certificate_expired(self):
        old = self.authority.sign("old", dates=("20200101000000Z", "20210101000000Z"))
        self.failed("UNREACHABLE", ["the client certificate has expired"], (self.https,), ca=self.authority.cert, pair=old,
                    hint="clock")

    def test_another_server_name(self):
        self.failed("UNREACHABLE", ["not one for elsewhere.test"], (self.https,), ca=self.authority.cert, pair=self.client,
                    server_name="elsewhere.test")

    def test_plain_at_a_tls_port(self):
        self.failed("UNREACHABLE", ["may expect TLS"], (f"http://127.0.0.1:{self.etcd.ports[2]}",), hint="https://")
        self.failed("UNREACHABLE", ["may expect TLS"], (f"unix://{self.dir}/tls.sock",), hint="unixs://")

    def test_tls_at_a_plain_port(self):
        self.failed("UNREACHABLE", ["may not speak TLS"], (f"https://127.0.0.1:{self.etcd.ports[0]}",),
                    ca=self.authority.cert, pair=self.client, hint="http://")

    def test_refused(self):
        (port,) = free_ports(1)
        self.failed("UNREACHABLE", ["connection refused"], (f"http://127.0.0.1:{port}",))
        self.failed("UNREACHABLE", ["connection refused"], (f"https://127.0.0.1:{port}",), ca=self.authority.cert)

    def test_no_socket_and_a_dead_one(self):
        self.failed("UNREACHABLE", ["no such socket"], (f"unix://{self.dir}/absent.sock",))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.dir / "dead.sock"))
        self.failed("UNREACHABLE", ["connection refused"], (f"unix://{self.dir}/dead.sock",))

    def test_no_such_name(self):
        self.failed("UNREACHABLE", ["its name has no address"], ("http://nowhere.invalid:2379",))

    def test_silent_server(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            self.failed("TIMEOUT", ["takes the connection, but does not answer"], (f"http://127.0.0.1:{port}",),
                        timeout_ms=2000)
            self.failed("TIMEOUT", ["takes the connection, but does not answer"], (f"https://127.0.0.1:{port}",),
                        ca=self.authority.cert, timeout_ms=2000)

    def test_something_else_answers(self):
        server = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}, text=True)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        port = int(server.stdout.readline().split(" port ")[1].split()[0])
        self.failed("UNREACHABLE", ["HTTP/2"], (f"http://127.0.0.1:{port}",))

    def test_files(self):
        garbage = self.dir / "garbage"
        garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        locked = self.dir / "locked.key"
        subprocess.run(["openssl", "ec", "-in", self.client[1], "-aes256", "-passout", "pass:x", "-out", locked], check=True,
                       stderr=subprocess.DEVNULL)
        link = self.dir / "link.crt"
        link.symlink_to(self.authority.cert)
        cases = [({"ca": garbage}, "CONFIG", "expected a certificate in PEM"),
                 ({"ca": self.dir / "absent"}, "IO", "No such file"),
                 ({"ca": self.authority.cert, "pair": (self.client[0], garbage)}, "CONFIG", "expected a private key in PEM"),
                 ({"ca": self.authority.cert, "pair": (self.client[0], locked)}, "CONFIG", "without a passphrase"),
                 ({"ca": self.authority.cert, "pair": (self.client[0], self.stranger[1])}, "CONFIG", "expected the private key of"),
                 ({}, "CONFIG", "expected a CA")]
        for options, code, part in cases:
            with self.subTest(part=part):
                probe = Probe((self.https,), **options)
                self.addCleanup(probe.drop)
                self.expect_error(probe.first, code, part)
        probe = self.probe((self.https,), ca=link, pair=self.client)
        self.assertEqual(probe.get(KEY)[0], VALUE)
        probe.close()

    # Several endpoints.

    def test_dead_endpoint_first(self):
        (port,) = free_ports(1)
        probe = self.probe((f"https://127.0.0.1:{port}", f"unix://{self.dir}/absent.sock", self.https), ca=self.authority.cert,
                           pair=self.client)
        for _ in range(2):
            self.assertEqual(probe.get(KEY)[0], VALUE)
        probe.close()

    def test_all_dead_are_named(self):
        ports = free_ports(2)
        probe = self.probe([f"http://127.0.0.1:{port}" for port in ports] + [self.https], ca=self.other.cert)
        answer, _ = probe.get(KEY)
        self.expect_error(answer, "UNREACHABLE", *(f"http://127.0.0.1:{port}: connection refused" for port in ports),
                          "does not come from the CA")
        probe.close()

    def test_stopped_endpoint_first(self):
        """Within the connect time, however long a call may take."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            probe = self.probe((f"http://127.0.0.1:{silent.getsockname()[1]}", self.etcd.url()), timeout_ms=600000)
            value, seconds = probe.get(KEY)
            self.assertEqual(value, VALUE)
            self.assertLess(seconds, 120)
            value, seconds = probe.get(KEY)
            self.assertEqual(value, VALUE)
            self.assertLess(seconds, 4, "it begins with the one that answered last")
            probe.close()


class Roles(StoreCase):
    """etcd with users of its own."""

    @classmethod
    def prepare(cls):
        cls.etcd = Etcd(assets() / "etcd", cls.workspace.path / "etcd")
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        put(cls.etcd, [(KEY, VALUE)])
        post(cls.etcd, "/v3/auth/user/add", {"name": "root", "password": "test"})
        post(cls.etcd, "/v3/auth/role/add", {"name": "root"})
        post(cls.etcd, "/v3/auth/user/grant", {"user": "root", "role": "root"})
        post(cls.etcd, "/v3/auth/enable", {})

    def test_denied(self):
        probe = self.probe((self.etcd.url(),))
        answer, _ = probe.get(KEY)
        self.expect_error(answer, "DENIED", "etcd wants a user", hint="--etcd-cert")
        probe.close()


class Restarts(StoreCase):
    """What a client sees of an etcd that goes and comes."""

    @classmethod
    def prepare(cls):
        cls.etcd = Etcd(assets() / "etcd", cls.workspace.path / "etcd")
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        put(cls.etcd, [(KEY, VALUE)])

    def test_killed_and_started_again(self):
        probe = self.probe((self.etcd.url(),))
        self.assertEqual(probe.get(KEY)[0], VALUE)
        for _ in range(2):
            self.etcd.stop(signal.SIGKILL)
            self.expect_error(probe.get(KEY)[0], "UNREACHABLE", "connection refused")
            self.expect_error(probe.get(KEY)[0], "UNREACHABLE", "connection refused")
            self.etcd.start()
            self.assertEqual(probe.get(KEY)[0], VALUE)  # at once: no back-off of gRPC's
        probe.close()

    def test_stopped_in_the_middle(self):
        probe = self.probe((self.etcd.url(),), timeout_ms=1500)
        self.assertEqual(probe.get(KEY)[0], VALUE)
        pid = self.etcd.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        wait_for("etcd stands still", lambda: all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in
                                                  pathlib.Path(f"/proc/{pid}/task").glob("*/stat")))
        try:
            self.expect_error(probe.get(KEY)[0], "TIMEOUT", "no answer within 1.5 s")
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("etcd answers again", lambda: probe.get(KEY)[0] == VALUE)
        probe.close()


class Passes(StoreCase):
    """Ranges: whole, at one revision, in pages of so many bytes."""

    @classmethod
    def prepare(cls):
        cls.etcd = Etcd(assets() / "etcd", cls.workspace.path / "etcd", (f"unix://{cls.workspace.path}/etcd.sock",))
        cls.workspace.on_close(cls.etcd.stop)
        cls.etcd.start()
        # Sizes from nothing to 200 kB, in no order.
        cls.items = {f"/registry/secrets/n{i % 7}/{i:05}": bytes([i % 251]) * ((i * 7919) % 997) for i in range(3000)}
        cls.items.update({f"/registry/secrets/big/{i}": bytes(200000) for i in range(12)})
        put(cls.etcd, [(key, value) for key, value in cls.items.items() if len(value) < 1000])
        for key, value in cls.items.items():
            if len(value) >= 1000:
                put(cls.etcd, [(key, value)])
        # Neighbours that do not belong to it.
        put(cls.etcd, [("/registry/secrets", b"x"), ("/registry/secretsx/a", b"x"), ("/registry/secrets0", b"x")])

    def setUp(self):
        self.client = self.probe((self.etcd.url(),))

    def tearDown(self):
        if self.client.process.poll() is None:
            self.client.close()

    def test_whole_whatever_the_page(self):
        for page in (1, 50000, 300000, 4 << 20, 16 << 20):
            with self.subTest(page=page):
                found = self.client.ask(f"range /registry/secrets/ {page}")
                self.assertEqual(found["keys"], sorted(self.items))
                self.assertEqual(found["values"], sum(map(len, self.items.values())))
                self.assertFalse(found["compacted"])
                if page == 1:
                    self.assertGreater(found["pages"], len(self.items) - 300)
                if page == 16 << 20:
                    self.assertLess(found["pages"], 5)

    def test_larger_than_a_message(self):
        """The first page would be of 80 MB; it is asked for again, smaller."""
        keys = [f"/registry/large/{i:02}" for i in range(80)]
        for key in keys:
            put(self.etcd, [(key, bytes(1000000))])
        found = self.client.ask("range /registry/large/ 4000000")
        self.assertEqual(found["keys"], keys)
        self.assertEqual(found["values"], 80 * 1000000)
        post(self.etcd, "/v3/kv/deleterange", {"key": base64.b64encode(b"/registry/large/").decode(),
                                               "range_end": base64.b64encode(b"/registry/large0").decode()})

    def test_nothing(self):
        self.assertEqual(self.client.ask("range /registry/configmaps/ 1000")["keys"], [])

    def test_refused(self):
        self.expect_error(self.client.ask("range /registry/ 0"), "USAGE", "pages")
        self.expect_error(self.client.ask(f"range /registry/ {(16 << 20) + 1}"), "USAGE", "pages")

    def test_one_revision(self):
        """What is written, deleted and created meanwhile is not seen."""
        self.client.say("range /registry/secrets/ 100000 0 500")
        self.assertEqual(self.client.read(), {"at": 500})
        put(self.etcd, [("/registry/secrets/n6/99999", b"new")])
        post(self.etcd, "/v3/kv/deleterange", {"key": base64.b64encode(b"/registry/secrets/n6/00006").decode()})
        try:
            self.client.say("")
            answer = self.client.read()
            while "at" in answer:
                answer = self.client.ask("")
            self.assertEqual(answer["keys"], sorted(self.items))
        finally:
            post(self.etcd, "/v3/kv/deleterange", {"key": base64.b64encode(b"/registry/secrets/n6/99999").decode()})
            put(self.etcd, [("/registry/secrets/n6/00006", self.items["/registry/secrets/n6/00006"])])

    def test_compacted_meanwhile(self):
        self.client.say("range /registry/secrets/ 100000 0 500")
        self.assertEqual(self.client.read(), {"at": 500})
        put(self.etcd, [("/elsewhere", b"x")])
        now = int(post(self.etcd, "/v3/kv/range", {"key": base64.b64encode(b"/elsewhere").decode()})["header"]["revision"])
        post(self.etcd, "/v3/kv/compaction", {"revision": now, "physical": True})
        answer = self.client.ask("")
        while "at" in answer:
            answer = self.client.ask("")
        self.assertTrue(answer["compacted"])
        self.assertLess(len(answer["keys"]), len(self.items))
        # An old revision from the start, and one that is not there yet.
        self.assertTrue(self.client.ask("range /registry/secrets/ 100000 2")["compacted"])
        self.expect_error(self.client.ask(f"range /registry/secrets/ 100000 {now + 1000}"), "UNREACHABLE", "future revision")

    def test_visitor_stops(self):
        self.client.say("range /registry/secrets/ 100000 0 10")
        self.assertEqual(self.client.read(), {"at": 10})
        self.expect_error(self.client.ask("stop"), "REFUSED", "stopped by the visitor")

    def test_second_endpoint_goes_on(self):
        """The connection dies in the middle; the other way in goes on at the same revision."""
        with Relay(self.etcd.ports[0]) as relay:
            client = self.probe((f"http://127.0.0.1:{relay.port}", f"unix://{self.workspace.path}/etcd.sock"))
            client.say("range /registry/secrets/ 100000 0 1000")
            self.assertEqual(client.read(), {"at": 1000})
            relay.cut()
            answer = client.ask("")
            while "at" in answer:
                answer = client.ask("")
            self.assertEqual(answer["keys"], sorted(self.items))
            client.close()

    def test_z_killed_in_the_middle(self):
        """Never a shorter list."""
        self.client.say("range /registry/secrets/ 100000 0 1000")
        self.assertEqual(self.client.read(), {"at": 1000})
        self.etcd.stop(signal.SIGKILL)
        answer = self.client.ask("")
        while "at" in answer:
            answer = self.client.ask("")
        self.expect_error(answer, "UNREACHABLE", "the connection was cut", "connection refused")
        self.etcd.start()
        self.assertEqual(self.client.ask("range /registry/secrets/ 100000")["keys"], sorted(self.items))


KEY_BYTES = base64.b64encode(bytes(range(32))).decode()
# What encrypts what: (provider, its key). Without a colon no key would be interesting.
ENCRYPTED = {"secrets": ("aescbc", "team:blue"), "configmaps": ("aesgcm", "key1"),
             "leases.coordination.k8s.io": ("secretbox", "secretboxkey-2025-12-31T00:00:00+02:00"),
             "nodes.example.com": ("aescbc", "aescbckey-2022-04-21T23:01:02Z")}
CONFIG = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
    {"resources": [resource], "providers": [{kind: {"keys": [{"name": name, "secret": KEY_BYTES}]}}]}
    for resource, (kind, name) in ENCRYPTED.items()]}
CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "nodes.example.com"},
       "spec": {"group": "example.com", "scope": "Cluster",
                "names": {"plural": "nodes", "singular": "node", "kind": "Node"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
PODS = {"selector": {"matchLabels": {"a": "b"}}, "template": {
    "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
# (resource, namespace, path of the API up to the namespace, object)
OBJECTS = [
    ("secrets", "default", "/api/v1", {"kind": "Secret"}),
    ("configmaps", "default", "/api/v1", {"kind": "ConfigMap"}),
    ("services", "default", "/api/v1", {"kind": "Service", "spec": {"ports": [{"port": 1}]}}),
    ("endpoints", "default", "/api/v1", {"kind": "Endpoints"}),
    ("nodes", None, "/api/v1", {"kind": "Node"}),
    ("replicationcontrollers", "default", "/api/v1",
     {"kind": "ReplicationController", "spec": {"selector": {"a": "b"}, "template": PODS["template"]}}),
    ("deployments.apps", "default", "/apis/apps/v1", {"kind": "Deployment", "spec": PODS}),
    ("ingresses.networking.k8s.io", "default", "/apis/networking.k8s.io/v1",
     {"kind": "Ingress", "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}),
    ("leases.coordination.k8s.io", "default", "/apis/coordination.k8s.io/v1", {"kind": "Lease"}),
    ("events.events.k8s.io", "default", "/apis/events.k8s.io/v1",
     {"kind": "Event", "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "r", "action": "a", "type": "Normal",
      "reportingController": "e/c", "reportingInstance": "i",
      "regarding": {"kind": "Secret", "namespace": "default", "name": "a"}}),
    ("clusterroles.rbac.authorization.k8s.io", None, "/apis/rbac.authorization.k8s.io/v1", {"kind": "ClusterRole"}),
    ("priorityclasses.scheduling.k8s.io", None, "/apis/scheduling.k8s.io/v1", {"kind": "PriorityClass", "value": 1}),
    ("poddisruptionbudgets.policy", "default", "/apis/policy/v1", {"kind": "PodDisruptionBudget", "spec": {}}),
    ("storageclasses.storage.k8s.io", None, "/apis/storage.k8s.io/v1", {"kind": "StorageClass", "provisioner": "p"}),
    ("nodes.example.com", None, "/apis/example.com/v1", {"kind": "Node"}),
]


class Places(StoreCase):
    """Where a real kube-apiserver puts what kinds of objects, and what it writes before their ciphertext."""

    @classmethod
    def prepare(cls):
        config = cls.workspace.path / "encryption.json"
        config.write_text(json.dumps(CONFIG))
        cls.cluster = Cluster(assets(), cls.workspace.path, config)
        cls.workspace.on_close(cls.cluster.stop)
        cls.cluster.start()

    def create(self, resource, namespace, path, body):
        version = path.removeprefix("/apis/").removeprefix("/api/")
        within = f"/namespaces/{namespace}" if namespace else ""
        return self.cluster.api.client().request("POST", f"{path}{within}/{resource.split('.')[0]}", {
            "apiVersion": version, "metadata": {"name": "kt-place", "namespace": namespace or ""}, **body})

    def test_keys(self):
        client = self.cluster.api.client()
        self.assertEqual(client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)[0], 201)
        probe = self.probe((self.cluster.etcd.url(),))
        for resource, namespace, path, body in OBJECTS:
            with self.subTest(resource=resource):
                wait_for(f"{resource} is created", lambda one=(resource, namespace, path, body): self.create(*one)[0] in (201, 409))
                key = probe.ask(f"key {resource} {namespace or '-'} kt-place")["key"]
                stored = probe.ask(f"get {key}")
                self.assertTrue(stored.get("found"), key)
                self.assertEqual((stored["provider"], stored["name"]), ENCRYPTED.get(resource, ("plain", "")))
        for resource, name in (("customresourcedefinitions.apiextensions.k8s.io", "nodes.example.com"),
                               ("apiservices.apiregistration.k8s.io", "v1.apps"), ("namespaces", "default")):
            key = probe.ask(f"key {resource} - {name}")["key"]
            self.assertIsInstance(probe.get(key)[0], bytes, key)
        probe.close()


class Relay:
    """A TCP port that passes everything on to another, until it is cut."""

    def __init__(self, port):
        (self.port,) = free_ports(1)
        self.process = subprocess.Popen(["socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork",
                                         f"TCP:127.0.0.1:{port}"], start_new_session=True)

    def __enter__(self):
        wait_for("the relay listens", lambda: socket.create_connection(("127.0.0.1", self.port), 5).close() is None)
        return self

    def cut(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # its children are in the session that was made for it
        self.process.wait()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.cut()


if __name__ == "__main__":
    main(assets)
