# SPDX-License-Identifier: Apache-2.0
"""An admission webhook: an HTTPS server with a certificate authority of its own, that refuses updates of some objects."""

import base64
import collections
import contextlib
import http.server
import json
import socket
import ssl
import sys
import threading

from harness import SOURCE, wait_for

sys.path.insert(0, str(SOURCE / "tests/integration/cluster"))
from pki import Authority  # noqa: E402  pylint: disable=wrong-import-position

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Webhook:
    """Asked about every update of a Secret, from register() to remove(). `calls` counts them by name."""
    PLACE = f"{CONFIGURATIONS}/keyturn"

    def __init__(self, directory, refused, message):
        directory.mkdir()
        self.refused, self.message, self.calls = refused, message, collections.Counter()
        self.authority = Authority(directory, "webhook-ca")
        certificate, key = self.authority.sign("webhook", "IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = Listener(("127.0.0.1", 0), self.handler(), context)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def handler(self):
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece
            disable_nagle_algorithm = True

            def do_POST(self):  # pylint: disable=invalid-name
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                body = json.dumps(webhook.answer(asked)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        return Handler

    def answer(self, asked):
        self.calls[asked["name"]] += 1
        response = {"uid": asked["uid"], "allowed": asked["name"] != self.refused}
        if not response["allowed"]:
            response["status"] = {"code": 403, "message": self.message}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

    def register(self, client, is_refused):
        """is_refused(): whether it is asked already."""
        bundle = base64.b64encode(self.authority.cert.read_bytes()).decode()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"], "scope": "*"}
        hook = {"name": "keyturn.example.com", "rules": [rule], "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 10,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": f"https://127.0.0.1:{self.server.server_address[1]}/", "caBundle": bundle}}
        status, answer = client.request("POST", CONFIGURATIONS, {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "keyturn"},
            "webhooks": [hook]})
        assert status == 201, answer
        wait_for("the webhook is asked", is_refused, 60)

    @staticmethod
    def remove(client, is_refused):
        status, answer = client.request("DELETE", Webhook.PLACE)
        assert status == 200, answer
        wait_for("the webhook is not asked any more", lambda: not is_refused(), 60)

    def close(self):
        """Connections that are there are cut."""
        self.server.shutdown()
        self.server.server_close()
        self.server.cut()


class Listener(http.server.ThreadingHTTPServer):
    """The handshake is in the thread of the connection."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, handler, context):
        super().__init__(address, handler)
        self.context, self.open = context, set()

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            self.open.add(secure)
            super().finish_request(secure, client_address)
            self.open.discard(secure)

    def cut(self):
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        pass  # the peer is gone
