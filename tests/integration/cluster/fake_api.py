# SPDX-License-Identifier: Apache-2.0
"""HTTPS servers that answer as an API server does, or as a broken one: HTTP/1.1 only, on loopback addresses, with
certificates of a certificate authority of the test's own. And kube_call, which asks them."""
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import unittest

from pki import Authority

KUBE_CALL = pathlib.Path(os.environ["KEYTURN_BUILD"]) / "tests" / "kube_call"
TOKEN = "hunter2-token-of-the-test"
CLUSTER_NAME = "kubernetes.default.svc"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        with contextlib.suppress(OSError):  # a client that goes away is no failure of the test
            super().handle_one_request()
            return
        self.close_connection = True

    def answer(self, status, body="", **headers):
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def json(self, value, status=200, **headers):
        self.answer(status, json.dumps(value), Content_Type="application/json", **headers)

    def fail(self, status, message, **headers):
        """As Kubernetes does."""
        self.json({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}, status,
                  **headers)

    def subject(self):
        found = self.connection.getpeercert() or {}
        return "".join(value for part in found.get("subject", ()) for name, value in part if name == "commonName")

    def route(self):
        api = self.server.api
        path = self.path.split("?")[0]
        with api.lock:
            api.asked.append((self.command, self.path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if api.tokens is not None and self.headers.get("Authorization") not in [f"Bearer {t}" for t in api.tokens]:
            self.fail(401, "Unauthorized")
        elif path in api.routes:
            api.routes[path](self)
        else:
            self.fail(404, "the server could not find the requested resource")

    do_GET = do_POST = do_PATCH = do_DELETE = route

    def log_message(self, *_):
        pass


class FakeApi(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """routes: path to what answers, which gets the handler. tokens: those that are accepted; None: all."""
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, pair, address="127.0.0.1", port=0, client_authority=None):
        super().__init__((address, port), Handler)
        self.api, self.lock = self, threading.Lock()
        self.routes, self.asked, self.tokens, self.connections = {}, [], None, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair)
        if client_authority:
            self.context.load_verify_locations(client_authority)
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def get_request(self):
        connection, peer = super().get_request()
        with self.lock:
            self.connections += 1
        connection.settimeout(120)
        # The handshake is the handler's affair: nobody who dawdles there holds up the others.
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request, client_address):
        """Clients that do not trust us, and those whom we cut off."""

    def count(self, path):
        with self.lock:
            return sum(1 for _, asked in self.asked if asked.split("?")[0] == path)

    @property
    def url(self):
        return f"https://{self.server_address[0]}:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()


class Case(unittest.TestCase):
    """A directory, an authority, servers that are closed afterwards."""

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.authority = Authority(cls.shared)
        cls.pair = cls.authority.sign("server", f"DNS:{CLUSTER_NAME}", "DNS:localhost", "IP:127.0.0.1")

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.config = self.work / "kubeconfig"

    def serve(self, pair=None, **more):
        api = FakeApi(pair or self.pair, **more)
        self.addCleanup(api.close)
        api.routes["/ok"] = lambda h: h.answer(200, "fine")
        return api

    def kubeconfig(self, server, user=None, **cluster):
        """One context; user and cluster as in a kubeconfig. The authority of the test, unless cluster says otherwise."""
        if "insecure-skip-tls-verify" not in cluster:
            cluster.setdefault("certificate-authority", str(self.authority.cert))
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": {"token": TOKEN} if user is None else user}]}))
        return self.config

    def kube_call(self, *words, env=None, status=0):
        run = subprocess.run([KUBE_CALL, "--kubeconfig", self.config, *map(str, words)], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=240, env={**os.environ, **(env or {})}, check=False)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertNotIn(TOKEN, run.stdout + run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def get(self, *paths, **more):
        answers = self.kube_call(*more.pop("options", ()), "get", *paths, **more)
        return answers if len(paths) > 1 else answers[0]
