#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests to API servers over HTTPS: what is sent, and what is said when something goes wrong."""
import http.server
import socket
import socketserver
import threading
import time
import unittest

from fake_api import CLUSTER_NAME, TOKEN, Case
from pki import Authority

SHORT = 1500  # ms: the deadline of requests that are to miss it
CONNECTIONS = 16  # cluster/http.h
PATIENCE = 60  # s: by when they must have ended all the same, on a busy machine


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Tls(Case):
    def test_answers_over_one_connection(self):
        api = self.serve()
        api.tokens = [TOKEN]
        self.kubeconfig(api.url)
        for answer in self.get("/ok", "/ok", "/ok"):
            self.assertEqual((answer["outcome"], answer["status"], answer["body"]), ("OK", 200, "fine"))
            self.assertFalse(answer["http2"])
        self.assertEqual(api.connections, 1)

    def refused(self, api, outcome, words):
        answer = self.get("/ok")
        self.assertEqual(answer["outcome"], outcome, answer)
        self.assertIn(words, answer["message"])
        self.assertNotEqual(answer["hint"], "")
        self.assertEqual(api.asked, [], "a request went to a server that is not trusted")

    def test_trusts_its_authority_alone(self):
        api = self.serve(Authority(self.work, "other").sign("stranger", "IP:127.0.0.1"))
        self.kubeconfig(api.url)
        self.refused(api, "TLS", "certificate")
        self.kubeconfig(api.url, **{"certificate-authority": None})  # then the system's, which do not know it either
        self.refused(api, "TLS", "certificate")
        self.kubeconfig(api.url, **{"insecure-skip-tls-verify": True})
        self.assertEqual(self.get("/ok")["outcome"], "OK")

    def test_wants_the_right_name(self):
        api = self.serve(self.authority.sign("named", "DNS:api.example.com"))
        seen = []
        api.routes["/ok"] = lambda h: (seen.append(h.headers["Host"]), h.answer(200))
        self.kubeconfig(api.url)
        self.refused(api, "TLS_NAME", "its certificate is for another name")
        self.kubeconfig(api.url, **{"tls-server-name": "other.example.com"})
        self.refused(api, "TLS_NAME", "its certificate is for another name")
        self.kubeconfig(api.url, **{"tls-server-name": "api.example.com"})
        self.assertEqual(self.get("/ok")["outcome"], "OK")
        self.assertEqual(seen, [api.url[len("https://"):]])

    def test_refuses_an_authority_that_is_none(self):
        (self.work / "empty.pem").write_text("no certificate\n")
        api = self.serve()
        self.kubeconfig(api.url, **{"certificate-authority": "empty.pem"})
        self.refused(api, "TLS", "TLS failed")


class Answers(Case):
    def setUp(self):
        super().setUp()
        self.api = self.serve()
        self.kubeconfig(self.api.url)

    def test_statuses(self):
        table = [
            (401, "UNAUTHORIZED", 0), (403, "FORBIDDEN", 0), (404, "NOT_FOUND", 0), (409, "CONFLICT", 0),
            (410, "GONE", 0), (422, "INVALID", 0), (429, "TOO_MANY", 7), (500, "SERVER", 0), (503, "UNAVAILABLE", 3),
            (302, "REDIRECT", 0), (418, "BAD_REQUEST", 0),
        ]
        for status, _, retry in table:
            more = {"Retry_After": str(retry)} if retry else {}
            more.update({"Location": self.api.url + "/ok"} if status == 302 else {})
            self.api.routes[f"/{status}"] = lambda h, s=status, m=more: h.fail(s, f"said {s} \x1b[31m\nhere", **m)
        answers = self.get(*[f"/{status}" for status, _, _ in table])
        for (status, outcome, retry), answer in zip(table, answers):
            self.assertEqual((answer["outcome"], answer["status"], answer["retryAfter"]), (outcome, status, retry))
            self.assertEqual(answer["words"], f"said {status} \\u001b[31m here")
            self.assertIn(f"(status {status}): said {status}", answer["message"])
        self.assertEqual(self.api.count("/ok"), 0, "a redirect was followed")

    def test_cut_connections(self):
        def promise_more(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"only this")
            handler.close_connection = True

        def close(handler):
            handler.close_connection = True
        self.api.routes["/short"] = promise_more
        self.api.routes["/nothing"] = close
        for answer in self.get("/short", "/nothing"):
            self.assertEqual(answer["outcome"], "CUT", answer)
            self.assertIn("the connection was cut", answer["message"])

    def test_slow_answers(self):
        ended = threading.Event()
        self.addCleanup(ended.set)

        def drip(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            while not ended.wait(0.1):
                handler.wfile.write(b".")
        self.api.routes["/never"] = lambda h: ended.wait(120)
        self.api.routes["/drip"] = drip
        begun = time.monotonic()
        answers = self.get("/never", "/drip", "/ok", options=["--timeout", SHORT])
        self.assertLess(time.monotonic() - begun, PATIENCE)
        self.assertEqual([a["outcome"] for a in answers], ["TIMEOUT", "TIMEOUT", "OK"])
        self.assertGreaterEqual(answers[0]["ms"], SHORT)
        self.assertIn("no answer in time", answers[0]["message"])

    def test_oversized_answers(self):
        def pour(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while True:
                handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        def pour_error(handler):
            handler.send_response(500)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(b"y" * 100000)
        self.api.routes["/pour"] = pour
        self.api.routes["/error"] = pour_error
        pour_answer, error_answer = self.get("/pour", "/error")
        self.assertEqual(pour_answer["outcome"], "OVERSIZED")
        self.assertLess(pour_answer["received"], 2 << 20)
        self.assertEqual(error_answer["outcome"], "SERVER")
        self.assertEqual(len(error_answer["body"]), 8192)

    def test_no_server(self):
        self.kubeconfig(f"https://127.0.0.1:{closed_port()}")
        answer = self.get("/ok")
        self.assertEqual(answer["outcome"], "REFUSED")
        self.assertIn("is kube-apiserver running there", answer["hint"])
        self.kubeconfig("https://nowhere.invalid:6443")
        self.assertEqual(self.get("/ok")["outcome"], "DNS")

    def test_no_http(self):
        class Garbage(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.sendall(b"SSH-2.0-nothing\r\n")
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Garbage)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.kubeconfig(f"https://127.0.0.1:{server.server_address[1]}")
        self.assertIn(self.get("/ok")["outcome"], ("TLS", "CUT"))

    def test_many_at_once(self):
        """HTTP/1.1 has a connection for each at once: they are bounded, and so is the memory that they take."""
        gate = threading.Semaphore(0)
        self.addCleanup(gate.release, 10000)

        def gated(handler):
            if self.api.count("/gated") == 1:  # libcurl 8 makes no second connection before the first has brought an answer
                handler.answer(200, "x" * 1000)
                return
            gate.acquire()
            handler.answer(200, "x" * 1000)
            gate.release()
        self.api.routes["/gated"] = gated
        threading.Thread(target=self.release_when_full, args=(gate,), daemon=True).start()
        result = self.kube_call("flood", 500, 100, "/gated")[0]
        self.assertEqual(result["outcomes"], {"OK": 500})
        self.assertEqual(result["last"]["body"], "")
        self.assertIn(self.api.connections, (CONNECTIONS - 1, CONNECTIONS))
        self.assertLess(result["last"]["arena"], 4 << 20)

    def release_when_full(self, gate):
        end = time.monotonic() + PATIENCE
        while self.api.count("/gated") < CONNECTIONS and time.monotonic() < end:
            time.sleep(0.01)
        gate.release(1)


class Proxy(http.server.BaseHTTPRequestHandler):
    """CONNECT, counted."""
    seen = []

    def do_CONNECT(self):
        self.seen.append(self.path)
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as other:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=self.pump, args=(other, self.connection), daemon=True)
            back.start()
            self.pump(self.connection, other)
            back.join(PATIENCE)
        self.close_connection = True

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Proxies(Case):
    def test_proxy(self):
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        api = self.serve()
        Proxy.seen.clear()
        self.kubeconfig(api.url)
        self.assertEqual(self.get("/ok", env={"HTTPS_PROXY": url, "NO_PROXY": ""})["outcome"], "OK")
        self.assertEqual(Proxy.seen, [], "the environment's proxy was asked for loopback")
        self.kubeconfig(api.url, **{"proxy-url": url, "tls-server-name": CLUSTER_NAME})
        self.assertEqual(self.get("/ok")["outcome"], "OK")
        self.assertEqual(Proxy.seen, [api.url[len("https://"):]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
