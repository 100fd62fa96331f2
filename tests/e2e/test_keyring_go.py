#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn's keyrings and those of the second implementation (tests/keyring-go), each read by the other; and every
keyring that is signed as it should be and broken in one rule, offered to keyturnd."""

import base64
import json
import os
import re
import shutil
import subprocess

import harness
from daemon import Daemon
from harness import BUILD, proved
from keyring_go import FOLDER, KeyringGo, exit_statuses

# As kube-apiserver takes them: k3s's with a local time zone, and others.
NAMES = ["aescbckey-2022-04-21T23:01:02+02:00", "two words", "Schlüssel", "密钥", '"q" \\ #', "n" * 253]


def snapshot(daemon):
    """Every byte that a refused offer must leave as it is."""
    files = {}
    for path in sorted(daemon.state.rglob("*")):
        relative = str(path.relative_to(daemon.state))
        if path.is_file() and (relative in ("keyring.yaml", "floor", "audit.log") or relative.startswith(("opener/", "superseded"))):
            files[relative] = (path.read_bytes(), path.stat().st_mode, path.stat().st_uid)
    return files


class Case(harness.Case):
    """A daemon, and keyring-go for its keyring."""

    @classmethod
    def prepare(cls):
        cls.out = cls.workspace.path / "out.yaml"
        cls.daemon = Daemon(cls.workspace.path / "d").init("--node", "node-1").start()
        cls.workspace.on_close(cls.daemon.kill)
        cls.go = KeyringGo(cls.workspace.path, cls.daemon).build()

    def accept(self, path):
        answer = self.daemon.offer(path)
        self.assertEqual(answer.exit, 0, repr(answer))
        return answer.json()

    def assert_serving(self, before):
        status = self.daemon.status()
        self.assertEqual(status["daemon"]["healthz"], "ok")
        self.assertEqual(status["keyring"], before["keyring"])
        self.assertEqual(status["daemon"]["keyId"], before["daemon"]["keyId"])
        lasting = ("supervisor", "front", "keeper", "exporter")
        self.assertEqual(*([(p["role"], p["pid"], p["restarts"]) for p in s["daemon"]["processes"] if p["role"] in lasting]
                           for s in (status, before)))


class BothWays(Case):
    """What one wrote, the other reads."""

    def test_1_own_tests(self):
        run = subprocess.run([harness.go(), "test", "-count=1", "./..."], cwd=FOLDER, text=True, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        self.assertEqual(run.returncode, 0, run.stdout)
        proved("the second implementation passes its own tests (RFC 9180's vector, round trips, breakages)")

    def test_2_keyturns_keyring_opens(self):
        status = self.daemon.status()
        for opening, through in ((self.go.by_node, "node-1"), (self.go.by_recovery, "recovery")):
            seen = self.go.open(opening)
            self.assertEqual(seen["through"], through)
            self.assertEqual(seen["keyring"], status["keyring"]["id"])
            self.assertEqual(seen["membership"], status["keyring"]["membership"])
            self.assertEqual(seen["generation"], status["keyring"]["generation"])
            self.assertEqual(seen["hash"], status["keyring"]["hash"])
            for field in ("id", "name", "type", "state", "created"):
                self.assertEqual([k[field] for k in seen["keys"]], [k[field] for k in status["keys"]])
            self.assertTrue(all(len(k["bytes"]) == 64 for k in seen["keys"]))
        proved("keyturn's keyring opens with the node's key and with the recovery key")

    def test_3_generations_are_served(self):
        first = self.go.open()
        old = first["keys"][0]["id"]
        self.accept(self.go.next(self.out, "add:second", "add:with:colon", "stage:prepare"))
        second = self.go.open()
        fresh = second["keys"][1]["id"]
        taken = self.accept(self.go.next(self.out, f"activate:{fresh}", "stage:rotate", "api-server:a#b"))
        self.assertEqual(self.daemon.key_id(), fresh)
        self.assertEqual(taken["generation"], 3)
        self.accept(self.go.next(self.out, f"retiring:{old}", "stage:reencrypt_active"))
        self.accept(self.go.next(self.out, f"archive:{old}", "stage:reencrypt_finished"))
        keys = {k["name"]: k["state"] for k in self.daemon.status()["keys"]}
        self.assertEqual(keys, {"second": "active", "with:colon": "ready"})
        self.assertEqual(self.go.open(self.go.by_recovery)["archive"][0]["bytes"], first["keys"][0]["bytes"])
        self.assertFalse(self.accept(self.daemon.state / "keyring.yaml")["changed"])
        self.assertEqual(self.daemon.keyturn("probe").exit, 0)
        proved("a whole rotation of generations by the second implementation is taken and served")

    def test_4_memberships_are_served(self):
        other = Daemon(self.workspace.path / "other").init("--node", "node-2")
        seen = KeyringGo(self.workspace.path, other).open()
        public = next(bytes.fromhex(r["publicKey"]) for r in seen["recipients"] if r["kind"] == "file")
        
        self.accept(self.go.member(self.out, f"add-recipient:node-2,file,{base64.b64encode(public).decode()}"))
        words = ["--node-key", other.state / "opener" / "node.key", "--owner", self.daemon.owner()]
        self.assertEqual(self.go.open(words)["through"], "node-2")
        self.accept(self.go.member(self.out, "rename:node-2,node-two", "new-signer"))
        self.accept(self.go.member(self.out, "remove-recipient:node-two"))
        self.assertEqual(self.daemon.status()["keyring"]["membership"], 4)
        self.assertEqual([r["name"] for r in self.daemon.status()["keyring"]["recipients"]], ["node-1", "recovery"])
        proved("memberships by the second implementation (a node added, renamed, removed, a new signer) are taken")

    def test_5_keyturn_writes_on(self):
        edits = ["add:true", "add:a:", "add:1e5", "add:left", *(f"add-aescbc:{name}" for name in NAMES), "api-server:b#c", "api-server:[]", 'api-server:"q"', "hold:601"]
        self.accept(self.go.next(self.out, *edits))
        ids = {k["name"]: k["id"] for k in self.go.open()["keys"]}
        self.accept(self.go.next(self.out, f"retiring:{ids['left']}"))
        before = self.go.open()
        self.accept(self.keyturn_writes("--later", "700", "add", "no", "activate", ids["1e5"], "state", ids["second"], "retiring",
                                        "archive", ids["left"], "stage", "reencrypt_active"))
        after = self.go.open(self.go.by_recovery)
        self.assertEqual(after["generation"], before["generation"] + 1)
        self.assertEqual(after["previous"], before["hash"])
        for field in ("apiServers", "hold", "recipients", "signerKey", "statusKey", "membershipHash"):
            self.assertEqual(after[field], before[field])
        self.assertNotEqual(after["keyringKey"], before["keyringKey"])
        listed, secret = {k["name"]: k for k in after["keys"]}, {k["id"]: k["bytes"] for k in before["keys"]}
        self.assertEqual(after["keys"][0]["name"], "1e5")
        self.assertEqual({n: k["state"] for n, k in listed.items() if k["state"] != "ready"},
                         {"1e5": "active", "second": "retiring"})
        self.assertIn("retiringSince", listed["second"])
        for key in [*after["keys"], *after["archive"]]:
            self.assertEqual(key["bytes"], secret.get(key["id"], key["bytes"]), f"{key['name']} has other bytes")
        self.assertEqual(sorted(k["name"] for k in after["archive"]), ["kmskey", "left"])
        self.assertEqual({name for name, key in listed.items() if key["type"] == "aescbc"}, set(NAMES))
        shown = {k["name"]: k["type"] for k in self.daemon.status()["keys"]}
        self.assertEqual({name for name, kind in shown.items() if kind == "aescbc"}, set(NAMES))
        self.assertEqual(after["stage"], "reencrypt_active")
        self.assertEqual(self.daemon.key_id(), ids["1e5"])
        proved("keyturn's next generation over one of the second implementation's: same keys, names that YAML takes for "
               "something else, archive readable with the recovery key")

    def keyturn_writes(self, *edits):
        command = [BUILD / "tests" / "make_state", "edit", self.daemon.dir, self.out, *edits]
        run = subprocess.run(command, text=True, check=False, capture_output=True, timeout=60,
                             env=dict(os.environ, KEYTURN_BUILD=str(BUILD)))
        self.assertEqual(run.returncode, 0, run.stderr)
        return self.out

    def test_6_survives_a_restart(self):
        before = self.daemon.status()
        self.daemon.kill()
        self.daemon.start()
        after = self.daemon.status()
        self.assertEqual(after["keyring"], before["keyring"])
        self.assertEqual(after["keys"], before["keys"])
        proved("what the second implementation wrote is served after a restart too")

    def test_6_the_audit_log(self):
        """All that both have written so far is one chain, for both."""
        log = self.daemon.state / "audit.log"
        seen = self.go.audit(log)
        verified = self.daemon.keyturn("audit", "verify", "-o", "json")
        self.assertEqual(verified.exit, 0, repr(verified))
        self.assertEqual(seen, {name: verified.json()[name] for name in seen})
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(seen["lines"], self.daemon.status()["keyring"]["generation"])
        self.assertEqual({line["command"] for line in lines}, {"init", "keyring-go", ""})
        self.assertLessEqual({"founded", "changed", "node-added", "node-removed"}, {line["event"] for line in lines})
        rows = log.read_text().splitlines(keepends=True)
        copy = self.workspace.path / "copy.log"
        for spoilt in (rows[:-1], rows[:2] + rows[3:], rows + rows[-1:], [rows[0].replace("init", "exit"), *rows[1:]]):
            copy.write_text("".join(spoilt))
            self.assertEqual(self.daemon.keyturn("audit", "verify", "--log", copy).exit, 8)
            with self.assertRaisesRegex(RuntimeError, "FOUND"):
                self.go.audit(copy)
        proved("the audit log of a keyring that both have written is one chain up to its head, for both")

    def test_7_founded_elsewhere(self):
        daemon = Daemon(self.workspace.path / "f").init("--node", "node-1")
        made = self.workspace.path / "made"
        made.mkdir()
        founded = json.loads(self.go.run("found", "--node", "node-1", "--dir", made))
        for name, into in (("node.key", "opener/node.key"), ("keyring.yaml", "keyring.yaml")):
            # By writing, not by renaming: owner and mode stay those that init gave.
            (daemon.state / into).write_bytes((made / name).read_bytes())
        (daemon.state / "floor").unlink()
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace(daemon.owner(), founded["owner"]))
        shutil.copy(made / "recovery.key", daemon.recovery)
        self.workspace.on_close(daemon.kill)
        daemon.start()
        self.assertEqual(daemon.key_id(), founded["keys"][0]["id"])
        self.assertEqual(daemon.keyturn("probe").exit, 0)
        verify = daemon.keyturn("recovery", "verify", "--key-file", daemon.recovery)
        self.assertEqual(verify.exit, 0, repr(verify))
        self.assertEqual(daemon.stop(), 0)
        proved("a keyring that the second implementation founded is served; keyturn takes its recovery key's text")


class Refusals(Case):
    """Signed as it should be, broken in one rule: each with its own error, and nothing changed."""

    @classmethod
    def prepare(cls):
        super().prepare()
        # Enough of a past for every kind: three memberships, two generations above the last one.
        for make in (cls.go.member, cls.go.member, lambda out: cls.go.next(out, "add:second", "add-aescbc:inline"), cls.go.next):
            answer = cls.daemon.offer(make(cls.out))
            if answer.exit != 0:
                raise RuntimeError(f"the second implementation's keyring is not taken: {answer!r}")
        cls.exits = exit_statuses()

    def refused(self, path, code):
        answer = self.daemon.offer(path)
        self.assertEqual((answer.error()["code"] if answer.exit else "taken", answer.exit), (code, self.exits[code]),
                         repr(answer))
        self.assertTrue(answer.error()["message"], "no message")
        self.assertEqual(answer.stdout, "", "a refusal prints a result")
        for line in answer.stderr.splitlines():
            self.assertIsNone(re.search(r"[A-Za-z0-9+/]{80}", line), "a refusal quotes the keyring")
        return answer

    def kinds(self):
        return [k for k in self.go.kinds() if k["code"]]

    def each_kind(self):
        shown = {}
        files = snapshot(self.daemon)
        for kind in self.kinds():
            with self.subTest(kind["kind"]):
                answer = self.refused(self.go.broken(self.out, kind["kind"]), kind["code"])
                self.assertEqual(snapshot(self.daemon), files, "files have changed")
                shown[kind["kind"]] = answer.error()
        return shown

    def test_1_breakages_offered(self):
        before = self.daemon.status()
        shown = self.each_kind()
        for kind, error in shown.items():
            print(f"  {kind:24} {error['code']:18} {error['message']}")
        self.assert_serving(before)
        self.assertEqual(self.daemon.keyturn("probe").exit, 0)
        proved(f"{len(shown)} kinds of broken keyring are refused by name, files byte for byte as before, all served")

    def test_2_no_bytes_at_all(self):
        files = snapshot(self.daemon)
        good = self.go.next(self.out)
        document = good.read_bytes()
        before = self.daemon.status()
        for name, data in (("empty", b""), ("separators", b"---\n---\n"), ("zeros", bytes(4096)),
                           ("three", document + b"---\n" + document),
                           ("crlf", document.replace(b"\n", b"\r\n")), ("no last line end", document[:-1])):
            with self.subTest(name):
                self.out.write_bytes(data)
                self.refused(self.out, "KEYRING_FORMAT")
        self.out.write_bytes(b"a\n" * (1 << 20))
        answer = self.daemon.offer(self.out)
        self.assertIn(answer.exit, (1, 6), repr(answer))
        self.assertIn("at most 1048576", answer.error()["message"])
        self.assertEqual(snapshot(self.daemon), files)
        self.assert_serving(before)
        proved("what is no keyring at all is refused as malformed")

    def test_3_bytes_cut_and_flipped(self):
        files, before = snapshot(self.daemon), self.daemon.status()
        document = self.go.next(self.workspace.path / "good.yaml").read_bytes()
        step = max(1, len(document) // 40)
        for at in range(0, len(document), step):
            for name, data in ((f"cut at {at}", document[:at]),
                               (f"flipped at {at}", document[:at] + bytes([document[at] ^ 1]) + document[at + 1:])):
                with self.subTest(name):
                    self.out.write_bytes(data)
                    answer = self.daemon.offer(self.out)
                    self.assertEqual(answer.exit, 6, repr(answer))
        self.assertEqual(snapshot(self.daemon), files)
        self.assert_serving(before)
        proved("cut and flipped keyrings are refused")

    def test_4_strangers_files(self):
        missing = self.daemon.offer(self.workspace.path / "nowhere.yaml")
        self.assertNotEqual(missing.exit, 0)
        self.assertIn("nowhere.yaml", missing.error()["message"])
        directory = self.daemon.offer(self.workspace.path)
        self.assertNotEqual(directory.exit, 0)
        self.assertTrue(directory.error()["message"])
        proved("a file that is missing and one that is none are named")

    def test_5_without_a_daemon(self):
        self.assertEqual(self.daemon.stop(), 0)
        try:
            shown = self.each_kind()
        finally:
            self.daemon.start()
        proved(f"{len(shown)} kinds are refused alike where keyturn installs by itself")

    def test_6_good_ones_are_taken(self):
        answer = self.accept(self.go.broken(self.out, "good"))
        self.assertTrue(answer["changed"])
        self.accept(self.go.broken(self.out, "same-name-other-type"))
        last = self.go.open()["keys"][-1]
        answer = self.daemon.offer(self.go.broken(self.out, "key-omitted"))
        self.assertEqual(answer.exit, 0, repr(answer))
        self.assert_superseded(last["id"])
        self.daemon.kill()
        self.daemon.start(wait=False)
        harness.wait_for("keyturnd serves again", lambda: self.daemon.keyturn("probe").exit == 0)
        self.assert_superseded(last["id"])
        proved("a keyring that omits a known key is taken; the key stays loaded, also after a restart, and status says so")

    def assert_superseded(self, key_id):
        answer = self.daemon.keyturn("status", "-o", "json")
        self.assertEqual(answer.exit, 8, repr(answer))
        key = next((k for k in answer.json()["keys"] if k["id"] == key_id), None)
        self.assertTrue(key and key.get("superseded"), repr(answer))
        self.assertTrue(os.listdir(self.daemon.state / "superseded"))

    def test_7_owners_follow_each_other(self):
        answer = self.accept(self.go.broken(self.out, "owner-chain"))
        self.assertTrue(answer["changed"])
        proved("a chain of three owners, each signed by the one before, is followed")

    def test_8_an_audit_log_that_begins_anew(self):
        """A member may write that; it is served, and found."""
        self.assertEqual(self.daemon.keyturn("audit", "verify").exit, 0)
        self.accept(self.go.broken(self.out, "audit-restarted"))
        answer = self.daemon.keyturn("audit", "verify", "-o", "json")
        self.assertEqual(answer.exit, 8, repr(answer))
        self.assertEqual([f["kind"] for f in answer.json()["findings"]], ["out-of-order"])
        self.assertEqual(self.daemon.keyturn("probe").exit, 0)
        proved("a keyring whose audit log begins anew is served, and verify finds it")


class Members(Case):
    """Requests, bundles and owners that follow each other, as keyturn makes them, read by the second implementation."""

    def new_node(self, *words):
        command = [harness.KEYTURN, "node", *words, "--dir", self.workspace.path / "n", "-o", "json"]
        run = subprocess.run([*map(str, command)], text=True, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def test_1_request_and_bundle(self):
        request, bundle = self.workspace.path / "n.request", self.workspace.path / "n.bundle"
        asked = self.new_node("request", "--node", "node-2", "--out", request)
        seen = json.loads(self.go.run("request", request))
        self.assertEqual({k: asked[k] for k in ("node", "recipient", "fingerprint")}, {k: seen[k] for k in ("node", "recipient", "fingerprint")})
        answer = self.daemon.keyturn("node", "approve", request, "--fingerprint", asked["fingerprint"], "--key-file",
                                     self.daemon.recovery, "--out", bundle, "-o", "json")
        self.assertEqual(answer.exit, 0, repr(answer))
        seen = json.loads(self.go.run("bundle", request, bundle))
        self.assertEqual((seen["founder"], seen["owner"], seen["provider"]), (self.daemon.owner(), answer.json()["fingerprint"], "keyturn"))
        self.assertEqual((seen["membership"], seen["generation"]), (2, 2))
        bundle.write_bytes(bundle.read_bytes().replace(b"provider: k", b"provider: x", 1))
        with self.assertRaisesRegex(RuntimeError, "BUNDLE_OWNER"):
            self.go.run("bundle", request, bundle)
        proved("a request and a bundle of keyturn's are read, and a changed one is refused, by the second implementation")

    def test_2_owners_follow_each_other(self):
        archived = self.go.open()["keys"][0]
        self.accept(self.go.next(self.out, "add:second"))
        fresh = self.go.open()["keys"][-1]["id"]
        self.accept(self.go.next(self.out, f"activate:{fresh}"))
        self.accept(self.go.next(self.out, f"archive:{archived['id']}"))
        for name in ("first", "second"):
            new = self.workspace.path / f"recovery.{name}"
            answer = self.daemon.keyturn("recovery", "replace", "--key-file", self.daemon.recovery, "--recovery-out", new, "--yes", "-o", "json")
            self.assertEqual(answer.exit, 0, repr(answer))
            self.daemon.recovery = new
        self.go.by_recovery = ["--recovery", f"@{self.daemon.recovery}", "--owner", self.daemon.owner()]
        seen = self.go.open(self.go.by_recovery)
        self.assertEqual(seen["archive"][0]["bytes"], archived["bytes"])
        self.assertEqual(seen["membership"], self.daemon.status()["keyring"]["membership"])
        self.accept(self.go.member(self.out, "new-signer"))
        proved("a keyring with a chain of three owners of keyturn's opens, its archive too, and is written on")

    def test_3_removal(self):
        before = self.go.open()
        answer = self.daemon.keyturn("node", "remove", "node-2", "--key-file", self.daemon.recovery, "--yes", "-o", "json")
        self.assertEqual(answer.exit, 0, repr(answer))
        after = self.go.open()
        self.assertEqual([r["name"] for r in after["recipients"]], ["node-1", "recovery"])
        self.assertNotEqual(after["signerKey"], before["signerKey"])
        self.assertNotEqual(after["statusKey"], before["statusKey"])
        self.assertEqual(after["stage"], "prepare")
        self.assertEqual(len(after["keys"]), len(before["keys"]) + 1)
        proved("a removal makes a new signer, a new status key and a new key")

    def test_4_a_lost_recovery_key(self):
        lost = self.go.by_recovery
        new = self.workspace.path / "recovery.founded"
        answer = self.daemon.keyturn("recovery", "replace", "--lost", "--recovery-out", new, "--yes", "-o", "json")
        self.assertEqual(answer.exit, 0, repr(answer))
        self.assertEqual(answer.json()["fingerprint"], self.daemon.owner())
        with self.assertRaisesRegex(RuntimeError, "KEYRING_OWNER"):
            self.go.open(lost)
        seen = self.go.open(["--recovery", f"@{new}", "--owner", self.daemon.owner()])
        self.assertEqual(len(seen["archive"]), 1)
        self.assertFalse(seen["archive"][0]["bytes"])
        self.assertEqual(self.daemon.keyturn("probe").exit, 0)
        proved("after a loss the keyring opens under the new founding owner, and what is archived does not")


if __name__ == "__main__":
    harness.main(harness.go)
