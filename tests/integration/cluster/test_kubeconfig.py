#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How we prove who we are: certificates, tokens, token files, exec plugins, and what happens when they run out."""
import base64
import json
import sys
import unittest

from fake_api import TOKEN, Case

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"
# Prints the credential that is in credential.json beside it, and counts how often it was asked.
PLUGIN = """#!%s
import os, pathlib
here = pathlib.Path(__file__).parent
with open(here / "runs", "a") as runs:
    runs.write(os.environ["KUBERNETES_EXEC_INFO"] + "\\n")
print((here / "credential.json").read_text())
""" % sys.executable


class User(Case):
    def setUp(self):
        super().setUp()
        self.api = self.serve(client_authority=self.authority.cert)
        self.api.routes["/who"] = lambda h: h.answer(200, h.subject() or "nobody")

    def who(self, user, *paths):
        self.kubeconfig(self.api.url, user)
        return self.get(*(paths or ["/who"]))


class Users(User):
    def test_certificates(self):
        cert, key = self.authority.sign("admin")
        self.assertEqual(self.who({})["body"], "nobody")
        self.assertEqual(self.who({"client-certificate": str(cert), "client-key": str(key)})["body"], "admin")
        data = {"client-certificate-data": base64.b64encode(cert.read_bytes()).decode(),
                "client-key-data": base64.b64encode(key.read_bytes()).decode()}
        self.assertEqual(self.who(data)["body"], "admin")

    def test_key_of_another_certificate(self):
        cert, _ = self.authority.sign("one")
        _, key = self.authority.sign("two")
        answer = self.who({"client-certificate": str(cert), "client-key": str(key)})
        self.assertEqual(answer["outcome"], "TLS", answer)
        self.assertEqual(self.api.asked, [])

    def test_token(self):
        self.api.tokens = [TOKEN]
        self.assertEqual(self.who({"token": TOKEN})["outcome"], "OK")
        answer = self.who({"token": "wrong"})
        self.assertEqual((answer["outcome"], answer["words"]), ("UNAUTHORIZED", "Unauthorized"))
        self.assertEqual(self.api.count("/who"), 2, "asked again with the same token")

    def test_token_that_would_be_two_headers(self):
        self.kubeconfig(self.api.url, {"token": f"{TOKEN}\r\nX-Other: 1"})
        error = self.kube_call("get", "/who", status=1)[0]
        self.assertEqual(error["code"], "CONFIG")
        self.assertEqual(self.api.asked, [])

    def test_token_file(self):
        """Read anew when it is not accepted any more: the kubelet and others write it anew before it runs out."""
        self.api.tokens = ["first"]
        (self.work / "token").write_text("first\n")

        def rotate(handler):
            handler.answer(200, "rotated")
            self.api.tokens = ["second"]
            (self.work / "token").write_text("second\n")
        self.api.routes["/rotate"] = rotate
        answers = self.who({"tokenFile": "token", "token": "stale"}, "/who", "/rotate", "/who", "/who")
        self.assertEqual([a["outcome"] for a in answers], ["OK"] * 4)
        self.assertEqual(self.api.count("/who"), 4, "one of three was asked twice")

    def test_token_file_that_is_gone(self):
        self.api.tokens = [TOKEN]
        self.assertEqual(self.who({"tokenFile": "token", "token": TOKEN})["outcome"], "OK")
        self.kubeconfig(self.api.url, {"tokenFile": "token"})
        error = self.kube_call("get", "/who", status=1)[0]
        self.assertEqual(error["code"], "IO")
        self.assertIn("tokenFile", error["message"])


class Exec(User):
    def plugin(self, status, version=V1, **more):
        path = self.work / "plugin"
        path.write_text(PLUGIN)
        path.chmod(0o700)
        self.credential(status, version)
        return {"exec": {"apiVersion": version, "command": "./plugin", "interactiveMode": "IfAvailable", **more}}

    def credential(self, status, version=V1):
        (self.work / "credential.json").write_text(
            json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))

    def runs(self):
        return [json.loads(line) for line in (self.work / "runs").read_text().splitlines()]

    def test_token_is_kept(self):
        for version in (V1, V1BETA1):
            (self.work / "runs").unlink(missing_ok=True)
            self.api.tokens = [TOKEN]
            user = self.plugin({"token": TOKEN, "expirationTimestamp": "2099-01-01T00:00:00Z"}, version)
            self.assertEqual([a["outcome"] for a in self.who(user, "/who", "/who")], ["OK", "OK"])
            self.assertEqual(self.runs(), [{"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}])

    def test_token_that_has_run_out(self):
        self.api.tokens = [TOKEN]
        user = self.plugin({"token": TOKEN, "expirationTimestamp": "2020-01-01T00:00:00Z"})
        self.assertEqual([a["outcome"] for a in self.who(user, "/who", "/who")], ["OK", "OK"])
        self.assertEqual(len(self.runs()), 2)

    def test_token_that_is_not_accepted(self):
        self.api.tokens = ["first"]
        user = self.plugin({"token": "first"})

        def rotate(handler):
            handler.answer(200, "rotated")
            self.api.tokens = ["second"]
            self.credential({"token": "second"})
        self.api.routes["/rotate"] = rotate
        self.assertEqual([a["outcome"] for a in self.who(user, "/rotate", "/who", "/who")], ["OK"] * 3)
        self.assertEqual(len(self.runs()), 2)
        self.api.tokens = []
        self.assertEqual(self.get("/who")["outcome"], "UNAUTHORIZED")
        self.assertEqual(len(self.runs()), 4, "asked once at first, and once more after 401")

    def test_certificate(self):
        cert, key = self.authority.sign("by-plugin")
        user = self.plugin({"clientCertificateData": cert.read_text(), "clientKeyData": key.read_text()},
                           provideClusterInfo=True)
        self.assertEqual(self.who(user)["body"], "by-plugin")
        cluster = self.runs()[0]["spec"]["cluster"]
        self.assertEqual(cluster["server"], self.api.url)
        self.assertEqual(base64.b64decode(cluster["certificate-authority-data"]), self.authority.cert.read_bytes())

    def test_plugin_that_fails(self):
        user = self.plugin({"token": TOKEN})
        (self.work / "credential.json").unlink()
        self.kubeconfig(self.api.url, user)
        error = self.kube_call("get", "/who", status=1)[0]
        self.assertEqual(error["code"], "DENIED")
        self.assertIn("plugin: it failed with exit status 1", error["message"])
        self.assertEqual(self.api.asked, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
