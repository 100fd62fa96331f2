#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The client of etcd against kine on sqlite, over its Unix socket, with a kube-apiserver in front: what k3s without etcd is.
Run by tools/check-kine, since kine takes two minutes to build."""
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from etcd_probe import Probe  # noqa: E402
from cluster import ApiServer, secret_key  # noqa: E402
from daemon import Daemon  # noqa: E402
from kine import Kine, kine  # noqa: E402
from pki import Authority  # noqa: E402
from harness import Case, assets, main, wait_for  # noqa: E402

SECRETS = 150
OFTEN = ("--compact-interval=1s", "--compact-min-retain=200")


class OnKine(Case):
    @classmethod
    def prepare(cls):
        cls.dir = cls.workspace.path
        cls.kine = Kine(cls.dir / "kine", OFTEN)
        cls.workspace.on_close(lambda: cls.kine.stop(signal.SIGKILL))
        cls.kine.start()
        config = cls.dir / "encryption.yaml"
        config.write_text("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
                          "- resources: [secrets]\n  providers:\n  - aescbc: {keys: [{name: key1, secret: "
                          "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n  - identity: {}\n")
        cls.api = ApiServer(assets() / "kube-apiserver", cls.dir / "api", cls.kine.url(), config)
        cls.workspace.on_close(cls.api.stop)
        cls.api.start()
        client = cls.api.client(keep=True)
        for i in range(SECRETS):
            status, answer = client.create_secret(f"s{i:03}", b"value")
            if status != 201:
                raise AssertionError(answer)
        cls.keys = [secret_key(f"s{i:03}") for i in range(SECRETS)]

    def probe(self, *words, **options):
        probe = Probe(*words, **options)
        self.addCleanup(probe.drop)
        return probe

    def test_1_one_key(self):
        probe = self.probe((self.kine.url(),))
        value, _ = probe.get(self.keys[0])
        self.assertTrue(value.startswith(b"k8s:enc:aescbc:v1:key1:"), value[:40])
        self.assertIsNone(probe.get(secret_key("absent"))[0])
        self.assertEqual(probe.get("/registry/namespaces/default")[0][:4], b"k8s\0")
        probe.close()

    def test_2_all_keys_whatever_the_page(self):
        probe = self.probe((self.kine.url(),))
        for page in (1, 20000, 4 << 20):
            with self.subTest(page=page):
                found = probe.ask(f"range /registry/secrets/default/ {page}")
                self.assertNotIn("error", found)
                self.assertEqual(found["keys"], self.keys)
        everything = probe.ask("range /registry/ 100000")
        self.assertNotIn("error", everything)
        self.assertGreater(everything["pages"], 1)
        self.assertEqual(everything["keys"], sorted(everything["keys"]))
        self.assertLessEqual(set(self.keys), set(everything["keys"]))
        probe.close()

    def test_3_one_revision(self):
        probe = self.probe((self.kine.url(),))
        probe.say("range /registry/secrets/default/ 1000 0 50")
        self.assertEqual(probe.read(), {"at": 50})
        client = self.api.client()
        self.assertEqual(client.create_secret("s149x", b"value")[0], 201)
        self.assertEqual(client.request("DELETE", "/api/v1/namespaces/default/secrets/s148")[0], 200)
        answer = probe.ask("")
        while "at" in answer:
            answer = probe.ask("")
        self.assertEqual(answer.get("keys"), self.keys, answer)
        probe.close()

    def test_4_compacted(self):
        probe = self.probe((self.kine.url(),))
        wait_for("kine has compacted", lambda: probe.ask("range /registry/secrets/default/ 1000 2").get("compacted"))
        probe.close()

    def test_5_killed(self):
        probe = self.probe((self.kine.url(),))
        self.assertIsNotNone(probe.get(self.keys[0])[0])
        self.kine.stop(signal.SIGKILL)
        answer, _ = probe.get(self.keys[0])
        self.assertEqual(answer["error"], "UNREACHABLE")
        self.assertIn("the connection was cut", answer["message"])
        self.kine.start()
        self.assertIsNotNone(probe.get(self.keys[0])[0])
        probe.close()

    def test_6_tls_socket(self):
        """k3s with --kine-tls: the certificate is one for the name of the socket."""
        pki = self.dir / "pki"
        pki.mkdir()
        authority = Authority(pki, "kine-ca")
        certificate, key = authority.sign("kine", "DNS:kine.sock")
        kine_tls = Kine(self.dir / "tls", (f"--server-cert-file={certificate}", f"--server-key-file={key}"), "unixs")
        self.addCleanup(kine_tls.stop, signal.SIGKILL)
        kine_tls.start()
        probe = self.probe((kine_tls.url(),), ca=authority.cert)
        self.assertIsNone(probe.get("/registry/secrets/default/a")[0])
        probe.close()

    def test_7_a_backup(self):
        """Its files, copied while it writes: what is counted of them is what is counted in the store."""
        daemon = Daemon(self.dir / "d").init()
        live = daemon.keyturn("census", "-o", "json", "--etcd-endpoints", self.kine.url()).json()
        states = {row["resource"]: row["state"] for row in live["counts"] if row["resource"] in ("health", "secrets")}
        self.assertEqual(states, {"health": "internal", "secrets": "not listed"})
        self.kine.server.process.send_signal(signal.SIGSTOP)
        for name in ("state.db", "state.db-wal"):
            shutil.copy(self.kine.database.with_name(name), self.dir / f"copy-{name}")
        self.kine.server.process.send_signal(signal.SIGCONT)
        self.assertGreater((self.dir / "copy-state.db-wal").stat().st_size, 0)
        before = sorted(path.name for path in self.dir.glob("copy-*"))
        saved = daemon.keyturn("census", "-o", "json", "--snapshot", self.dir / "copy-state.db").json()
        self.assertEqual((saved["counts"], saved["snapshot"]["format"]), (live["counts"], "kine"))
        self.assertEqual(sorted(path.name for path in self.dir.glob("copy-*")), before)
        self.assertEqual([(entry["key"], entry["isIn"]) for entry in saved["keys"]], [("key1", "missing")])


if __name__ == "__main__":
    main(assets, kine)
