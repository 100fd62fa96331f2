#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several API servers, found by their EndpointSlice and Leases and asked one by one; some of them broken. (What only real
ones do is in tests/e2e/test_apiservers.py; they refuse an EndpointSlice of loopback addresses.)"""
import hashlib
import threading
import time
import unittest

from fake_api import CLUSTER_NAME, TOKEN, Case
from pki import Authority

SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
SHORT = 2000  # ms: the deadline that servers which hang are to miss
PATIENCE = 60
NAMED, KNOWN, ENDPOINT, LEASE, KUBECONFIG = 1, 2, 4, 8, 16


def sha256(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Server:
    """What one kube-apiserver says of itself; each part can be replaced."""

    def __init__(self, api, name, start):
        self.api, self.name, self.start = api, name, start
        self.key_id, self.config, self.seen_at = "key-1", "config-1", 100.0
        api.tokens = [TOKEN]
        api.routes.update({
            "/version": lambda h: h.json({"major": "1", "gitVersion": "v1.36.2"}),
            "/readyz": lambda h: h.answer(200, "ok"),
            "/healthz/kms-providers": lambda h: h.answer(200, "ok"),
            "/metrics": lambda h: h.answer(200, self.metrics()),
        })

    def metrics(self):
        who = f'apiserver_id_hash="{sha256(self.name)}"' if self.name else ""
        envelope = "apiserver_envelope_encryption_key_id_hash"
        controller = "apiserver_encryption_config_controller"
        key = f'key_id_hash="{sha256(self.key_id)}",provider_name="keyturn"'
        return (f"# TYPE apiserver_request_total counter\napiserver_request_total{{code=\"200\"}} 3\n"
                f'{controller}_last_config_info{{{who},hash="{sha256(self.config)}"}} 1\n'
                f'{envelope}_status_last_timestamp_seconds{{{who},{key}}} {self.seen_at}\n'
                f'{envelope}_total{{{who},{key},transformation_type="to_storage"}} 2\n'
                f"process_start_time_seconds {self.start}\n") if self.name else "apiserver_request_total 1\n"


class Apis(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        addresses = [f"IP:127.0.0.{n}" for n in range(1, 7)]
        cls.cluster_pair = cls.authority.sign("apiserver", f"DNS:{CLUSTER_NAME}", *addresses)
        cls.kubelet_pair = cls.authority.sign("kubelet", *addresses)

    def setUp(self):
        super().setUp()
        self.port = None
        self.slices, self.leases = [], []

    def server(self, n, name, pair=None):
        """At 127.0.0.n, all on one port, as an EndpointSlice has them."""
        api = self.serve(pair or self.cluster_pair, address=f"127.0.0.{n}", port=self.port or 0)
        self.port = api.server_address[1]
        for path, items in ((SLICES, self.slices), (LEASES, self.leases)):
            api.routes[path] = lambda h, i=items: h.json({"items": i})
        return Server(api, name, 1000.0 + n)

    def slice(self, *addresses):
        self.slices.append({"ports": [{"name": "https", "port": self.port}],
                            "endpoints": [{"addresses": [f"127.0.0.{n}"]} for n in addresses]})

    def lease(self, name, address=None):
        meta = {"name": name, "labels": {"kubernetes.io/hostname": f"host-of-{name}"}}
        if address:
            meta["annotations"] = {"kubernetes.io/peer-advertise-address": f"{address}:{self.port}"}
        renewed = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        self.leases.append({"metadata": meta, "spec": {"leaseDurationSeconds": 3600, "renewTime": renewed}})

    def url(self, n):
        return f"https://127.0.0.{n}:{self.port}"

    def find(self, *urls, options=(), **more):
        found = self.kube_call("--timeout", 20000, *options, "find", *urls, **more)[0]
        if "servers" in found:
            self.by_address = {s["address"]: s for s in found["servers"]}
        return found

    def test_finds_all(self):
        """Behind a load balancer, which the kubeconfig names: it is none of them."""
        for n, name in ((1, "lease-b"), (2, "lease-a"), (3, "lease-c")):
            self.server(n, name)
        self.slice(1, 2)
        self.lease("lease-a")
        self.lease("lease-b")
        self.lease("lease-c", "127.0.0.3")
        balancer = self.server(6, "lease-a")
        balancer.start = 1002.0
        self.kubeconfig(balancer.api.url)
        found = self.find()
        self.assertTrue(found["complete"], found)
        self.assertEqual({s["id"]: s["address"] for s in found["servers"]},
                         {"lease-b": self.url(1), "lease-a": self.url(2), "lease-c": self.url(3)})
        two = self.by_address[self.url(2)]
        self.assertEqual(two["sources"], ENDPOINT | LEASE | KUBECONFIG)
        self.assertEqual((two["state"], two["version"], two["ready"], two["kms"]), ("ASKED", "v1.36.2", "GOOD", "GOOD"))
        self.assertEqual((two["host"], two["configHash"]), ("host-of-lease-a", sha256("config-1")))
        self.assertEqual(two["keys"], [{"provider": "keyturn", "hash": sha256("key-1"), "seenAt": 100.0,
                                        "writtenTotal": 2.0, "writtenAt": 0.0}])
        self.assertEqual(two["serverName"], CLUSTER_NAME)
        self.assertIsNone(two["reloadBad"])

    def test_what_is_broken(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        good = self.server(1, "lease-1")
        self.server(2, "lease-2").api.routes["/version"] = lambda h: ended.wait(120)
        sick = self.server(3, "lease-3")
        sick.api.routes["/readyz"] = lambda h: h.answer(500, "[+]ping ok\n[-]etcd failed: reason withheld\n"
                                                             "[-]kms-providers failed: reason withheld\nreadyz check failed\n")
        sick.api.routes["/healthz/kms-providers"] = lambda h: h.answer(
            500, "internal server error: kms-provider-0: rpc error: code = DeadlineExceeded\n")
        sick.api.routes["/metrics"] = lambda h: h.fail(403, "forbidden: no metrics for you")
        old = self.server(4, None)
        old.api.routes["/healthz/kms-providers"] = lambda h: h.answer(404, "404 page not found\n")
        cut = self.server(5, "lease-5")

        def half(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(cut.metrics().encode())
            handler.close_connection = True
        cut.api.routes["/metrics"] = half
        self.slice(1, 2, 3, 4, 5, 6)  # nobody listens at 6
        self.kubeconfig(good.api.url)
        begun = time.monotonic()
        found = self.find(options=["--timeout", SHORT])
        self.assertLess(time.monotonic() - begun, PATIENCE)
        self.assertEqual([s["state"] for s in found["servers"]],
                         ["ASKED", "UNREACHABLE", "ASKED", "ASKED", "UNREACHABLE", "UNREACHABLE"])
        one, two, three, four, five, six = found["servers"]
        self.assertTrue(one["metrics"])
        self.assertIn("no answer in time", two["why"])
        self.assertIn("paused", two["hint"])
        self.assertEqual((three["ready"], three["readyWords"]),
                         ("BAD", "etcd failed: reason withheld, kms-providers failed: reason withheld"))
        self.assertEqual((three["kms"], three["kmsWords"]),
                         ("BAD", "internal server error: kms-provider-0: rpc error: code = DeadlineExceeded"))
        self.assertFalse(three["metrics"])
        self.assertIn("forbidden: no metrics for you", three["metricsWords"])
        self.assertEqual((four["kms"], four["metrics"], four["keys"], four["id"]), ("ABSENT", True, [], self.url(4)))
        self.assertIn("cut", five["why"])
        self.assertEqual(five["keys"], [])
        self.assertIn("no connection", six["why"])

    def test_certificates(self):
        """A kubelet has a certificate of the cluster's authority for its address: it gets no token. A server that the
        user names may be known by its address alone."""
        good = self.server(1, "lease-1")
        kubelet = self.server(2, "lease-2", self.kubelet_pair)
        stranger = self.server(3, "lease-3", Authority(self.work, "other").sign("stranger", f"DNS:{CLUSTER_NAME}"))
        self.slice(1, 2, 3)
        self.kubeconfig(good.api.url)
        found = self.find()
        self.assertEqual([s["state"] for s in found["servers"]], ["ASKED", "UNREACHABLE", "UNREACHABLE"])
        self.assertIn("its certificate is for another name", found["servers"][1]["why"])
        self.assertIn("--api-server https://NAME:PORT", found["servers"][1]["hint"])
        self.assertIn("TLS failed", found["servers"][2]["why"])
        self.assertEqual(kubelet.api.asked + stranger.api.asked, [])
        self.find(kubelet.api.url)
        self.assertEqual(self.by_address[self.url(2)]["state"], "ASKED")
        self.assertEqual(self.by_address[self.url(2)]["serverName"], "127.0.0.2")

    def test_name_of_the_kubeconfig(self):
        """Certificates without the usual name, and a kubeconfig that says which."""
        pair = self.authority.sign("corporate", "DNS:api.example.com")
        one = self.server(1, "lease-1", pair)
        self.server(2, "lease-2", pair)
        self.slice(1, 2)
        self.kubeconfig(one.api.url, **{"tls-server-name": "api.example.com"})
        found = self.find()
        self.assertEqual([s["state"] for s in found["servers"]], ["ASKED", "ASKED"], found)
        self.assertEqual(found["servers"][1]["serverName"], "api.example.com")

    def test_lists_that_cannot_be_had(self):
        one = self.server(1, "lease-1")
        two = self.server(2, "lease-2")
        one.api.routes[SLICES] = lambda h: h.fail(403, "endpointslices is forbidden")
        self.kubeconfig(one.api.url)
        found = self.find(two.api.url)
        self.assertFalse(found["complete"])
        self.assertIn("endpointslices is forbidden", found["why"])
        self.assertEqual([s["address"] for s in found["servers"]], [self.url(2), self.url(1)])
        self.kubeconfig(f"https://127.0.0.9:{self.port}")
        error = self.kube_call("find", status=1)[0]
        self.assertEqual(error["code"], "UNREACHABLE")
        found = self.find(two.api.url)
        self.assertFalse(found["complete"])
        self.assertEqual([s["id"] for s in found["servers"]], ["id:" + sha256("lease-2")])
        self.assertEqual(self.kube_call("find", "http://127.0.0.1:1", status=1)[0]["code"], "CONFIG")

    def test_remembers(self):
        one = self.server(1, "lease-1")
        self.slice(1)
        self.lease("lease-1")
        self.kubeconfig(one.api.url)
        known = ["--known", f"lease-2={self.url(2)}", "--known", f"lease-1={self.url(5)}", "--known", "lease-3="]
        found = self.find(options=known)
        self.assertEqual({s["id"]: s["state"] for s in found["servers"]},
                         {"lease-1": "ASKED", "lease-2": "UNREACHABLE", "lease-3": "NO_ADDRESS"})
        self.assertEqual(self.by_address[self.url(1)]["id"], "lease-1")

    def test_credentials_that_run_out(self):
        """All servers refuse the token at once; the file has a new one."""
        one, two = self.server(1, "lease-1"), self.server(2, "lease-2")
        (self.work / "token").write_text("first")
        one.api.tokens, two.api.tokens = ["first"], ["second"]

        def rotate(handler):
            handler.json({"items": self.leases})
            one.api.tokens = ["second"]
            (self.work / "token").write_text("second")
        one.api.routes[LEASES] = rotate
        self.slice(1, 2)
        self.kubeconfig(one.api.url, {"tokenFile": "token"})
        self.assertEqual([s["state"] for s in self.find()["servers"]], ["ASKED", "ASKED"])

    def test_waits_for_a_key(self):
        """Each round pokes /healthz/kms-providers; the third makes the second server take the new key."""
        one, two = self.server(1, "lease-1"), self.server(2, "lease-2")
        one.key_id = "key-2"

        def poked(handler):
            if two.api.count("/healthz/kms-providers") >= 3:
                two.key_id = "key-2"
            handler.answer(200, "ok")
        two.api.routes["/healthz/kms-providers"] = poked
        self.slice(1, 2)
        self.kubeconfig(one.api.url)
        result = self.kube_call("wait", PATIENCE, "keyturn", sha256("key-2"), "-")[0]
        self.assertTrue(result["met"], result)
        self.assertEqual(two.api.count("/healthz/kms-providers"), 3)

    def test_waits_in_vain(self):
        one = self.server(1, "lease-1")
        self.slice(1)
        self.kubeconfig(one.api.url)
        for words in (("keyturn", sha256("key-2"), "-"), ("keyturn", "-", sha256("config-2")),
                      ("other", sha256("key-1"), "-")):
            result = self.kube_call("wait", 1, *words)[0]
            self.assertFalse(result["met"])
            self.assertEqual(result["servers"][0]["keys"][0]["hash"], sha256("key-1"))
        self.assertTrue(self.kube_call("wait", 1, "keyturn", sha256("key-1"), sha256("config-1"))[0]["met"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
