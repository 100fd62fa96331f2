#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The census, and what is rewritten by it, on a real kube-apiserver and etcd, with writers, readers and deleters at work."""

import base64
import contextlib
import json
import random
import secrets
import signal
import subprocess
import threading
import time

import harness
from cluster import PREFIX, EncryptedObject, write_kubeconfig
from daemon import Daemon
from harness import KEYTURN, proved, wait_for
from one_server import OneServer

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
KINDS = ("secrets", "configmaps", "widgets.example.com")


def path_of(kind, namespace="default", name=""):
    base = WIDGETS if kind == "widgets.example.com" else f"/api/v1/namespaces/{namespace}/{kind}"
    return f"{base}/{name}" if name else base


def body_of(kind, name, value, immutable=False):
    """value is a text that the object holds, and nothing else does."""
    if kind == "secrets":
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "immutable": immutable,
                "data": {"value": base64.b64encode(value.encode()).decode()}}
    if kind == "configmaps":
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "immutable": immutable, "data": {"value": value}}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "value": value}


def value_in(kind, answer):
    if kind == "secrets":
        return base64.b64decode(answer["data"]["value"]).decode()
    return answer["data"]["value"] if kind == "configmaps" else answer["value"]


class Traffic:
    """Writers, readers and deleters, until it is stopped. `kept` is what must be readable afterwards, and as what."""

    def __init__(self, api, kept):
        self.api, self.kept, self.lock = api, kept, threading.Lock()
        self.errors, self.longest, self.counts = [], 0.0, {"created": 0, "updated": 0, "read": 0, "deleted": 0}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self.write, self.read, self.read)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def check(self, what, got, good):
        if got[0] not in good:
            self.errors.append(f"{what}: {got}")

    def note(self, what):
        with self.lock:
            self.counts[what] += 1

    def write(self):
        client, own = self.api.client(keep=True), []
        while not self.over.is_set():
            kind, name, value = random.choice(KINDS), f"w-{secrets.token_hex(4)}", secrets.token_hex(20)
            self.check(f"POST {kind}", client.request("POST", path_of(kind), body_of(kind, name, value)), (201,))
            with self.lock:
                self.kept[kind, name] = value
            own.append((kind, name))
            self.note("created")
            kind, name = random.choice(own)
            value = secrets.token_hex(20)
            with self.lock:
                self.kept[kind, name] = None  # either is good until the answer is there
            found = client.get(path_of(kind, name=name))
            found[1].update({key: part for key, part in body_of(kind, name, value).items() if key in ("data", "value")})
            status = client.request("PUT", path_of(kind, name=name), found[1])
            # What was rewritten meanwhile is another version: as every writer has to expect.
            self.check(f"PUT {kind}", status, (200, 409))
            with self.lock:
                self.kept[kind, name] = value if status[0] == 200 else value_in(kind, client.get(path_of(kind, name=name))[1])
            self.note("updated")
            if len(own) > 30:
                kind, name = own.pop(random.randrange(len(own)))
                with self.lock:
                    self.kept[kind, name] = None
                self.check(f"DELETE {kind}", client.request("DELETE", path_of(kind, name=name)), (200,))
                with self.lock:
                    del self.kept[kind, name]
                self.note("deleted")
        client.close()

    def read(self):
        client = self.api.client(keep=True)
        while not self.over.is_set():
            with self.lock:
                (kind, name), value = random.choice(list(self.kept.items()))
            begun = time.monotonic()
            got = client.get(path_of(kind, name=name))
            self.longest = max(self.longest, time.monotonic() - begun)
            self.check(f"GET {kind} {name}", got, (200, 404))
            with self.lock:
                same = self.kept.get((kind, name)) == value and value is not None
            if got[0] == 404 and same or got[0] == 200 and same and value_in(kind, got[1]) != value:
                self.errors.append(f"{kind} {name}: is not what was written: {got}")
            self.note("read")
        client.close()


class Reencrypt(OneServer):
    KINDS = KINDS
    N = 120  # of each kind

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.client = cls.cluster.api.client(keep=True)
        cls.make_widgets()
        for kind in KINDS:
            for i in range(cls.N):
                cls.create(kind, f"o-{i}", immutable=i % 7 == 0 and kind != "widgets.example.com")

    @classmethod
    def make_widgets(cls):
        schema = {"type": "object", "properties": {"value": {"type": "string"}}}
        status, answer = cls.client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
        assert status == 201, answer
        wait_for("widgets are served", lambda: cls.client.get(WIDGETS)[0] == 200, 60)

    @classmethod
    def create(cls, kind, name, immutable=False):
        value = secrets.token_hex(20)
        status, answer = cls.client.request("POST", path_of(kind), body_of(kind, name, value, immutable))
        assert status == 201, answer
        cls.kept[kind, name] = value

    # ---- what everybody asks ----

    def census(self, *more, status=0):
        return self.keyturn("census", "-o", "json", *more, status=status).json()

    @contextlib.contextmanager
    def running(self, *words):
        with subprocess.Popen([KEYTURN, *words, *self.options(), "--config", self.daemon.config], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            try:
                yield run
            finally:
                run.kill()

    def stored(self):
        """[(key, value)] of all that is below /registry/, by etcd's own JSON gateway."""
        return self.cluster.etcd.all("/registry/")

    def rows(self, census, resource):
        return [(row["provider"], row["key"], row["state"], row["count"]) for row in census["counts"] if row["resource"] == resource]

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def check_all(self, key=None):
        """Each object can be read and is as it was written; all of ours are stored under the active key; nothing leaked."""
        key = key or self.daemon.key_id()
        for (kind, name), value in self.kept.items():
            status, answer = self.client.get(path_of(kind, name=name))
            self.assertEqual((status, value_in(kind, answer) if status == 200 else answer), (200, value), f"{kind} {name}")
        for at, value in self.stored():
            if at.split("/")[2] in ("secrets", "configmaps") or at.startswith("/registry/example.com/widgets/"):
                self.assertEqual(EncryptedObject(value).key_id, key, at)
        census = self.census("--fail-on", "plaintext,unknown,other")
        for kind in KINDS:
            (provider, found, state, _), = self.rows(census, kind)
            self.assertEqual((provider, found, state), ("kms-v2", key, "active"), kind)

    # ---- tests ----

    def test_1_census(self):
        census, key = self.census(), self.daemon.key_id()
        self.assertEqual((census["kind"], census["complete"], census["prefix"]), ("Census", True, "/registry/"))
        stored = self.stored()
        self.assertEqual(census["total"], len(stored))
        for kind in KINDS:
            place = "/registry/example.com/widgets/" if "." in kind else f"/registry/{kind}/"
            encrypted = sum(at.startswith(place) and value.startswith(PREFIX) for at, value in stored)
            self.assertEqual(self.rows(census, kind), [("kms-v2", key, "active", encrypted)])
        # Whatever kind the API has, and kube-apiserver has made by itself, is told by its name and group.
        names = {row["resource"] for row in census["counts"]}
        self.assertTrue({"clusterroles.rbac.authorization.k8s.io", "services", "leases.coordination.k8s.io", "namespaces",
                         "customresourcedefinitions.apiextensions.k8s.io"} <= names, names)
        known = self.all_kinds()
        strange = {row["resource"] for row in census["counts"] if row["state"] != "internal"} - known
        self.assertEqual(strange, set())
        self.assertEqual(census["found"], {"plaintext": 0, "unknown": 0, "other": 0, "missing": 0, "uncovered": sum(
            row["count"] for row in census["counts"] if row["state"] == "uncovered")})
        error = self.keyturn("census", "--fail-on", "uncovered,plaintext", "-o", "json", status=8).error()
        self.assertEqual((error["code"], "no rule covers" in error["message"]), ("FOUND", True))
        self.census("--fail-on", "plaintext,unknown,other,key-older-than=1d")
        self.assertEqual(self.keyturn("census", "--fail-on", "nonsense", "-o", "json", status=2).error()["code"], "USAGE")
        text = self.keyturn("census").stdout
        self.assertRegex(text, rf"(?m)^secrets +kms-v2 keyturn {key} +active +\d+[mh] +{self.rows(census, 'secrets')[0][3]}$")
        proved(f"census: {census['total']} objects of {len(names)} kinds, as etcd itself has them")

    def all_kinds(self):
        found = set()
        groups = self.client.get("/apis")[1]["groups"]
        for base in ["/api/v1"] + [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]:
            group = base.split("/")[2] if base.startswith("/apis/") else ""
            for resource in self.client.get(base)[1].get("resources", []):
                found.add(resource["name"] + (f".{group}" if group else ""))
        return found

    def test_2_rotated_with_everybody_at_work(self):
        before = self.daemon.key_id()
        plan, census = self.keyturn("rotate-keys", "--dry-run", "-o", "json").json(), self.census()
        self.assertEqual(plan["estimate"]["objects"], sum(count for kind in KINDS for _, _, _, count in self.rows(census, kind)))
        self.assertEqual((plan["changed"], self.daemon.key_id()), (False, before))
        with Traffic(self.cluster.api, self.kept) as traffic:
            answer = self.keyturn("rotate-keys", "-o", "json").json()
        self.assertEqual(traffic.errors[:5], [])
        self.assertEqual((answer["stage"], answer["leftOver"]), ("reencrypt_finished", []))
        self.assertGreaterEqual(answer["rewritten"], 3 * self.N)
        key = self.daemon.key_id()
        self.assertNotEqual(key, before)
        self.check_all(key)
        self.assertEqual([entry["state"] for entry in self.daemon.status()["keys"]], ["active", "retiring"])
        events = self.client.get("/api/v1/namespaces/default/events")[1]["items"]
        told = [(event["reason"], event["type"], event["involvedObject"]["kind"], event["message"]) for event in events
                if event["source"].get("component") == "secrets-reencrypt"]
        self.assertIn(("SecretsUpdateComplete", "Normal", "Node", f"reencrypted {answer['rewritten']} objects"), told)
        proved(f"rotate-keys: {answer['rewritten']} rewritten, none under the old key; meanwhile {traffic.counts}, no error, the "
               f"longest read {traffic.longest * 1000:.0f} ms")

    def test_3_what_cannot_be_rewritten(self):
        """A ciphertext under another name than its own, and objects that a webhook refuses: listed, not tried again and again,
        and their key stays."""
        etcd = self.cluster.etcd
        etcd.put("/registry/secrets/default/copied", etcd.secret("o-1"))
        self.assertEqual(self.client.get(path_of("secrets", name="copied"))[0], 500)
        policy = self.refuse("o-2")
        self.keyturn("prepare")
        self.keyturn("rotate")
        old = self.daemon.status()["keys"][1]["id"]
        answer = self.keyturn("reencrypt", "-o", "json", status=4)
        left = {item["name"]: item for item in answer.json()["leftOver"]}
        self.assertEqual(sorted(left), ["copied", "o-2"], answer)
        self.assertIn(old, left["copied"]["storedAs"])
        self.assertIn("message authentication failed", left["copied"]["reason"])
        self.assertIn("keyturn says no", left["o-2"]["reason"])
        self.assertEqual(answer.error()["code"], "INCOMPLETE")
        said = self.keyturn("reencrypt", status=4).stderr
        self.assertRegex(said, r"(?m)^keyturn: left over: secrets default/copied, stored as kms-v2 keyturn " + old + r": .*failed")
        self.assertEqual(self.daemon.status()["stage"], "reencrypt_active")
        self.assertEqual([entry["state"] for entry in self.daemon.status()["keys"]], ["active", "ready", "ready"])
        self.assertEqual([count for _, key, _, count in self.rows(self.census(), "secrets") if key == old], [2])
        self.allow(policy)
        etcd.delete("/registry/secrets/default/copied")
        self.assertEqual(self.keyturn("reencrypt").stdout, "reencryption finished\n")
        self.check_all()

    def refuse(self, name):
        """Updates of that secret are refused by an admission policy, as a webhook would refuse them."""
        group = "/apis/admissionregistration.k8s.io/v1"
        match = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"]}]}
        policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no"},
                  "spec": {"failurePolicy": "Fail", "matchConstraints": match,
                           "validations": [{"expression": f"object.metadata.name != '{name}'", "message": "keyturn says no"}]}}
        binding = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
                   "metadata": {"name": "no"}, "spec": {"policyName": "no", "validationActions": ["Deny"]}}
        paths = []
        for kind, body in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
            status, answer = self.client.request("POST", f"{group}/{kind}", body)
            self.assertEqual(status, 201, answer)
            paths.append(f"{group}/{kind}/no")
        wait_for("it refuses", lambda: self.client.request(
            "PATCH", path_of("secrets", name=name), {"metadata": {"labels": {"a": secrets.token_hex(2)}}},
            "application/merge-patch+json")[0] == 422, 60)
        return paths

    def allow(self, paths):
        for path in paths:
            self.assertEqual(self.client.request("DELETE", path)[0], 200)
        wait_for("nothing is refused", lambda: self.client.request(
            "PATCH", path_of("configmaps", name="o-1"), {"metadata": {"labels": {"a": "b"}}}, "application/merge-patch+json")[0] == 200
            and self.client.request("PATCH", path_of("secrets", name="o-2") + "?dryRun=All",
                                    {"metadata": {"labels": {"a": secrets.token_hex(2)}}}, "application/merge-patch+json")[0] == 200, 60)

    def test_4_in_clear_where_encryption_had_been_finished(self):
        """An alarm, not work."""
        body = {**body_of("secrets", "planted", "not-from-here"), "type": "Opaque"}
        body["metadata"].update(namespace="default", uid="6b1ad6a7-bc1c-4bd2-a9b1-b1b9f5a3c0de", creationTimestamp="2026-01-01T00:00:00Z")
        planted = json.dumps(body).encode()
        key = "/registry/secrets/default/planted"
        self.cluster.etcd.put(key, planted)
        self.assertEqual(self.census("--fail-on", "plaintext", status=8)["found"]["plaintext"], 1)
        lines = self.keyturn("census", "--objects=plaintext").stdout.splitlines()
        self.assertEqual(lines[-1], "secrets default/planted plain")
        answer = self.keyturn("reencrypt", "-o", "json", status=8)
        self.assertEqual(answer.error()["code"], "FOUND")
        self.assertEqual(self.cluster.etcd.get(key), planted)
        self.keyturn("reencrypt", "--accept-plaintext")
        self.assertEqual(EncryptedObject(self.cluster.etcd.get(key)).key_id, self.daemon.key_id())
        self.kept["secrets", "planted"] = "not-from-here"
        # One that kube-apiserver says it wrote, and does not: it ends, and says which.
        self.cluster.etcd.put("/registry/secrets/default/odd", json.dumps(body_of("secrets", "odd", "x")).encode())
        left, = self.keyturn("reencrypt", "--accept-plaintext", "-o", "json", status=4).json()["leftOver"]
        self.assertEqual((left["name"], left["storedAs"], left["passing"]), ("odd", "plain", False))
        self.cluster.etcd.delete("/registry/secrets/default/odd")
        # What nobody understands is counted, and holds the end up.
        self.cluster.etcd.put("/registry/secrets/default/broken", b"k8s:enc:kms:v2:keyturn:\x0a\x01")
        self.census("--fail-on", "unknown", status=8)
        self.cluster.etcd.put("/registry/secrets/default/other", b"k8s:enc:aescbc:v1:theirs:" + secrets.token_bytes(48))
        self.assertIn(("aescbc", "theirs", "not listed", 1), self.rows(self.census("--fail-on", "other", status=8), "secrets"))
        for name in ("broken", "other"):
            self.cluster.etcd.delete(f"/registry/secrets/default/{name}")
        self.check_all()

    def test_5_killed_in_the_middle_and_narrowed(self):
        self.keyturn("prepare")
        self.keyturn("rotate")
        old = self.daemon.status()["keys"][1]["id"]
        for kind in ("configmap", "widgets", "configmaps.example.com"):
            error = self.keyturn("reencrypt", "--resource", kind, "-o", "json", status=3).error()
            self.assertIn(f"--resource {kind}: expected a kind of the API", error["message"])
        answer = self.keyturn("reencrypt", "--resource", "configmaps", "--namespace", "default").stdout
        self.assertEqual(answer, "what was asked for is rewritten; nothing retires\n")
        states = {kind: {(key, state) for _, key, state, _ in self.rows(self.census(), kind)} for kind in KINDS}
        fresh = self.daemon.key_id()
        self.assertIn((old, "ready"), states["secrets"])
        self.assertEqual({at for at, value in self.stored() if at.startswith("/registry/configmaps/default/")
                          and EncryptedObject(value).key_id != fresh}, set())
        with Traffic(self.cluster.api, self.kept) as traffic:
            kills = 0
            for _ in range(6):
                left = sum(count for _, key, _, count in self.rows(self.census(), "secrets") if key == old)
                with self.running("reencrypt", "--max-rate", "60") as run:
                    wait_for("some more are rewritten", lambda: run.poll() is not None or left > sum(
                        count for _, key, _, count in self.rows(self.census(), "secrets") if key == old), 60)
                    kills += run.poll() is None
                    run.kill()
                    run.wait()
            with self.running("reencrypt", "--max-rate", "30", "--concurrency", "2") as run:
                wait_for("it has begun", lambda: run.stderr.readline() != "" or self.daemon.status()["stage"] == "reencrypt_active", 60)
                run.send_signal(signal.SIGINT)
                run.communicate(timeout=60)
                self.assertIn(run.returncode, (0, 4))
            self.keyturn("reencrypt")
        self.assertEqual(traffic.errors[:5], [])
        self.check_all(fresh)
        proved(f"reencrypt: killed {kills} times and interrupted, then finished; meanwhile {traffic.counts}, no error")

    def test_5_without_the_api_server(self):
        """Killed in the middle, and not back: what it was asked for is given up after --timeout, and the same command finishes later."""
        self.keyturn("prepare")
        self.keyturn("rotate")
        with self.running("reencrypt", "--max-rate", "60", "--timeout", "10", "-o", "json") as run:
            wait_for("it is at it", lambda: (self.daemon.status()["underWay"] or {}).get("ended", 0) > 0, 60)
            self.cluster.api.stop(signal.SIGKILL)
            said = run.communicate(timeout=400)[1]
        self.assertEqual((run.returncode, json.loads(said.splitlines()[-1])["error"]["code"]), (4, "INCOMPLETE"), said)
        self.cluster.api.start()
        write_kubeconfig(self.kubeconfig, [self.cluster.api])
        type(self).client = self.cluster.api.client(keep=True)
        self.keyturn("reencrypt")
        self.check_all()

    def test_6_a_second_admin(self):
        self.keyturn("prepare")
        self.keyturn("rotate")
        with self.running("reencrypt", "--max-rate", "100") as run:
            wait_for("it is at it", lambda: (self.daemon.status()["underWay"] or {}).get("ended", 0) > 0, 60)
            run.send_signal(signal.SIGSTOP)
            now = self.daemon.status()["underWay"]
            self.assertEqual((now["command"], now["pid"], now["failed"]), ("reencrypt", run.pid, 0))
            self.assertLess(now["ended"], now["objects"])
            self.assertIn(f"reencrypt (pid {run.pid}) is rewriting: {now['ended']} of {now['objects']} objects, 0 failed",
                          self.daemon.keyturn("status").stdout)
            self.assertEqual(self.keyturn("reencrypt", "-o", "json", status=5).error()["code"], "BUSY")
            run.send_signal(signal.SIGCONT)
            said, progress = run.communicate(timeout=300)
        self.assertEqual((run.returncode, said), (0, "reencryption finished\n"), progress)
        self.assertIsNone(self.daemon.status()["underWay"])
        self.check_all()
        self.keyturn("audit", "verify")

    def test_7_a_backup(self):
        """What is counted of it is what was counted in the store; damaged anywhere, it is not counted at all."""
        backup = self.workspace.path / "backup.db"
        live = self.census()
        subprocess.run([harness.assets() / "etcdctl", "--endpoints", self.cluster.etcd.url(), "snapshot", "save", backup], check=True,
                       capture_output=True)
        good = backup.read_bytes()
        saved = self.saved(backup)
        self.assertEqual(saved["counts"], live["counts"])
        self.assertEqual((saved["total"], saved["complete"], saved["snapshot"]["checksum"]), (live["total"], True, True))
        self.assertGreaterEqual(saved["revision"], live["revision"])
        self.assertEqual(saved["snapshot"]["canBeRead"], "yes")
        self.assertEqual([(entry["key"], entry["isIn"]) for entry in saved["keys"]], [(self.daemon.key_id(), "keyring")])
        listed = self.daemon.keyturn("census", "--snapshot", backup, "--objects=uncovered", "-o", "json", "--encryption-config", self.config)
        self.assertEqual(len(listed.json()["objects"]), saved["found"]["uncovered"])
        for at in [0, 20, 4096, len(good) - 1, *(random.randrange(len(good)) for _ in range(12))]:
            backup.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1:])
            self.assertIn(self.saved(backup, status=None).exit, (1, 2), f"byte {at}")
            backup.write_bytes(good[:at])
            self.assertIn(self.saved(backup, status=None).exit, (1, 2), f"cut at {at}")
        # As it lies in member/snap/db.
        backup.write_bytes(good[:-32])
        self.assertIn("--skip-hash-check", self.saved(backup, status=2).error()["hint"])
        bare = self.saved(backup, "--skip-hash-check")
        self.assertEqual((bare["counts"], bare["snapshot"]["checksum"]), (saved["counts"], False))
        # Of another cluster, whose keys nobody has here.
        other = Daemon(self.workspace.path / "other").init()
        answer = other.keyturn("census", "--snapshot", backup, "--skip-hash-check", "--fail-on", "missing", "-o", "json")
        self.assertEqual((answer.exit, answer.json()["snapshot"]["canBeRead"]), (8, "no"))
        self.assertEqual({entry["isIn"] for entry in answer.json()["keys"]}, {"missing"})
        proved(f"census --snapshot: {saved['total']} objects as in the store; cut and altered at 16 places each, it is refused")

    def saved(self, backup, *options, status=0):
        """status None: the answer as it is."""
        answer = self.daemon.keyturn("census", "--snapshot", backup, *options, "-o", "json", "--encryption-config", self.config)
        if status is not None:
            self.assertEqual(answer.exit, status, repr(answer))
        return answer.json() if status == 0 else answer


if __name__ == "__main__":
    harness.main(harness.assets)
