#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What outside programs rely on, from the first release on: the commands, those to come as well, their common options, their JSON,
and their exit statuses."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from installed import STATUS, Installed, install, misfit  # noqa: E402
from program import until  # noqa: E402

setUpModule = install
SOCKETS = ["run/kms/kms.sock", "run/control.sock"]
# All commands that the contract names, the options of those to come, and what the others answer with.
COMMANDS = """init, status, probe, prepare, rotate, reencrypt, rotate-keys, retire, enable, disable, migrate, census, doctor,
config (show, check, diff, apply, rollback, wire, unwire), key (list, import, restore), keyring (show, offer),
node (request, approve, install, list, remove, verify, reseal, suspend, sign-pcrs, check), recovery (verify, use, replace),
sync, audit, version"""
OPTIONS = """--kubeconfig F --context C --api-server URL... --encryption-config F --etcd-endpoints L --etcd-cacert F --etcd-cert F
--etcd-key F --etcd-prefix P --etcd-servers-overrides O"""
READS = {"status": "Status", "probe": "Probe", "key list": "KeyList", "keyring show": "Keyring", "config show": "RenderedConfig",
         "recovery verify": "RecoveryVerification", "node list": "NodeList", "audit": "AuditLog", "audit show": "AuditLog",
         "audit verify": "AuditVerification", "config check": "ConfigCheck", "config diff": "ConfigDiff",
         "version": "Version"}
CHANGES = {"init": "Init", "keyring offer": "KeyringOffer"}
# Their answers: test_members.py, test_recovery.py.
MEMBERS = ["node request", "node approve", "node install", "node remove", "recovery use", "recovery replace"]
# test_rotation.py, test_config_change.py, test_migrate.py, and of tests/e2e.
ROTATES = ["census", "prepare", "rotate", "reencrypt", "rotate-keys", "migrate", "retire", "enable", "disable", "config apply", "config rollback"]
# test_wiring.py, and of tests/e2e.
WIRES = ["config wire", "config unwire", "doctor"]
# test_inline_keys.py, test_key_restore.py.
KEYS = ["key import", "key restore"]
# test_policies.py, test_device.py.
TPM = ["node check", "node reseal", "node sign-pcrs", "node suspend", "node verify"]


def commands():
    """"config show" and so on."""
    for name, more in re.findall(r"([a-z-]+)(?: \(([^)]*)\))?", re.sub(r"\s+", " ", COMMANDS)):
        yield from [f"{name} {second}" for second in more.split(", ")] if more else [name]


class Commands(Installed):
    """Those that the release has, and those that it says it does not have."""

    def good_file(self):
        path = self.work / "encryption-config.yaml"
        path.write_text(self.expect(self.here("config", "show"), 0).stdout)
        return path

    def to_come(self):
        said = self.expect(self.keyturn("--help"), 0).stdout
        have = re.findall(r"(?m)^  ([a-z][a-z -]*?)(?: [A-Z.]+)?  +[A-Z]", said)
        self.assertEqual(set(have), {*READS, *CHANGES, *KEYS, *MEMBERS, *ROTATES, *WIRES, *TPM})
        return [name for name in commands() if name not in have]

    def test_what_is_to_come_says_so(self):
        further = itertools.cycle([[], ["FILE"], ["--yes", "--force"], ["--dry-run", "--help"], ["--config", self.config]])
        for name in self.to_come():
            with self.subTest(command=name):
                said = self.fails(2, "UNSUPPORTED", *name.split(), *next(further))
                self.assertIn("this release does not have that command yet", said)
                self.expect(self.keyturn("--config", self.config, "--yes", *name.split(), "-o", "json"), 2, "UNSUPPORTED")
                self.expect(self.keyturn("-o", "json", *name.split()), 2, "UNSUPPORTED")

    def test_cluster_options_are_taken_by_all(self):
        self.found()
        for option in re.findall(r"--[a-z-]+", OPTIONS):
            for words in (["key", "list", f"{option}=https://F:1"], [option, "https://F:1", "keyring", "show"],
                          ["node", "list", option, "https://F:1", option, "https://G:2"]):
                with self.subTest(words=words):
                    self.expect(self.here(*words), 0)
            for words in (["sync", option, "F"], [option, "F", "sync"], [f"{option}=F", "sync"]):
                with self.subTest(words=words):
                    self.assertIn("this release does not have that command yet", self.fails(2, "UNSUPPORTED", *words))
        self.assertIn("64", self.fails(2, "USAGE", "status", *["--api-server", "https://F:1"] * 65))

    def test_what_is_named_must_be_there(self):
        self.found()
        with self.serving():
            missing = self.work / "none"
            for words, code, status in (
                    (["--kubeconfig", missing], "IO", 1), (["--api-server", "http://F:1"], "CONFIG", 2),
                    (["--etcd-endpoints", "F"], "CONFIG", 2), (["--etcd-endpoints", f"unix://{missing}"], "UNREACHABLE", 7)):
                with self.subTest(words=words):
                    self.expect(self.here("status", *words, "-o", "json"), status, code)
            said = self.expect(self.here("status"), 0).stdout
            self.assertIn("Server Encryption Hashes: unknown\n", said)

    def test_all_that_read_answer_in_json(self):
        self.found()
        with self.serving():
            for name, kind in (READS | CHANGES).items():
                with self.subTest(command=name):
                    more = {"recovery verify": ["--key-file", self.recovery], "config check": [self.good_file()],
                            "config diff": ["--encryption-config", self.good_file()], "keyring offer": [self.dir / "state/keyring.yaml"],
                            "init": ["--dir", self.work / "e", "--yes", "--recovery-out", self.work / "r"]}.get(name, [])
                    for form in (["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]):
                        run = self.here(*name.split(), *more, *form, *(["--dry-run"] if name == "init" else []))
                        value = json.loads(self.expect(run, 0).stdout)
                        self.assertEqual((value["apiVersion"], value["kind"], run.stderr), ("keyturn.dev/v1", kind, ""))

    def test_all_take_the_common_options(self):
        self.found()
        with self.serving():
            for name in READS:
                more = {"recovery verify": ["--key-file", self.recovery], "config check": [self.good_file()],
                        "config diff": ["--encryption-config", self.good_file()]}.get(name, [])
                self.expect(self.here(*name.split(), *more, "--yes", "--force", "--dry-run", "--timeout", "20"), 0)

    def test_dry_runs_change_nothing(self):
        newer = self.work / "2.yaml"
        self.expect(self.init("--dry-run", "--force"), 0)
        self.assertEqual(self.tree(), {})
        self.found()
        self.edit(newer, "add", "second")
        before = self.tree()
        self.expect(self.here("keyring", "offer", newer, "--dry-run", "--force", "--yes"), 0)
        self.assertEqual(self.tree(), before)

    def test_the_recovery_key_by_file_and_by_pipe(self):
        self.found()
        for source, text in [(self.recovery, ""), ("-", self.recovery.read_text())]:
            run = self.expect(self.here("recovery", "verify", "--key-file", source, "-o", "json", stdin=text), 0)
            self.assertTrue(json.loads(run.stdout)["opens"])


class ExitStatus(Installed):
    """0 is what all other tests expect; 4 takes a disk that fails (test_init.py, test_commands.py)."""

    def setUp(self):
        super().setUp()
        self.found()
        self.keyring = self.dir / "state/keyring.yaml"

    def test_1_input_and_output(self):
        self.fails(1, "IO", "keyring", "offer", self.work / "absent", "--config", self.config)
        with open("/dev/full", "w") as full:
            for words in (["version"], ["status"], ["config", "show", "-o", "json"], ["key", "list"]):
                run = subprocess.run([self.program, *words, "--config", self.config], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(run.returncode, 1, run.stderr)

    def test_2_use_and_configuration(self):
        for words in (["frobnicate"], ["node"], ["status", "--colour"], ["status", "surplus"], ["probe", "--timeout", "0"],
                      ["probe", "--timeout", "soon"], ["keyring", "offer"], ["config", "check"], ["recovery", "verify"]):
            with self.subTest(words=words):
                self.fails(2, "USAGE", *words, "--config", self.config)
        for path in (self.work / "absent", self.recovery):
            self.fails(2, "CONFIG", "status", "--config", path)
            self.fails(2, "CONFIG", "probe", "--config", path)
        self.assertEqual(self.keyturn().returncode, 2)
        self.assertEqual(self.keyturn("status", "-o", "xml").returncode, 2)

    def test_3_refused(self):
        newer = self.edit(self.work / "2a.yaml", "add", "a")
        fork = self.edit(self.work / "2b.yaml", "add", "b")
        older = self.work / "1.yaml"
        older.write_bytes(self.keyring.read_bytes())
        self.expect(self.here("keyring", "offer", newer), 0)
        (self.work / "link").symlink_to(newer)
        open_to_all = self.work / "open"
        open_to_all.write_text(self.recovery.read_text())
        open_to_all.chmod(0o644)
        loose = self.work / "loose.yaml"
        loose.write_text(self.config.read_text())
        loose.chmod(0o666)
        cases = [(["keyring", "offer", older], "KEYRING_OLDER"), (["keyring", "offer", fork], "KEYRING_FORK"),
                 (["keyring", "offer", self.work / "link"], "PERMISSION"),
                 (["recovery", "verify", "--key-file", open_to_all], "PERMISSION"),
                 (["status", "--config", loose], "PERMISSION"), (["key", "list", "--config", self.work], "PERMISSION")]
        before = self.tree()
        for daemon in (contextlib.nullcontext(), self.serving()):
            with daemon:
                for words, code in cases:
                    with self.subTest(words=words, daemon=daemon):
                        self.fails(3, code, *words, *([] if "--config" in words else ["--config", self.config]))
        after = self.tree()
        for path in ["d/keyturn.yaml", "d/state/keyring.yaml", "d/state/floor", "d/state/opener/node.key", "recovery"]:
            self.assertEqual(after[path], before[path])

    def test_5_another_one_is_at_it(self):
        fresh = ["init", "--dir", self.work / "e", "--yes", "--recovery-out", self.work / "r"]
        with self.locked(self.work / "e/state.init/lock"):
            self.fails(5, "BUSY", *fresh)
            self.assertFalse((self.work / "r").exists())
        newer = self.edit(self.work / "2.yaml", "add", "second")
        with self.locked(self.dir / "state/lock"):
            before = self.tree()
            said = self.fails(5, "BUSY", "keyring", "offer", newer, "--config", self.config)
            self.assertIn(f"is locked by process {os.getpid()}", said)
            self.assertEqual(self.tree(), before)
        self.expect(self.keyturn(*fresh), 0)
        with self.serving():
            second = subprocess.run([self.daemon, "--config", self.config], capture_output=True, text=True, timeout=60)
            self.assertEqual(second.returncode, 5, second.stderr)
            self.expect(self.here("probe"), 0)

    def test_a_daemon_that_does_not_get_the_lock_says_who_has_it(self):
        with self.locked(self.dir / "state/lock"), self.serving(wait=False):
            until(lambda: f"is locked by process {os.getpid()}" in self.here("status").stdout, "the daemon says so")
            self.expect(self.here("status"), 6)

    def test_6_not_opened(self):
        other = ["init", "--dir", self.work / "e", "--yes", "--recovery-out", self.work / "r"]
        self.expect(self.keyturn(*other), 0)
        junk = self.work / "junk"
        junk.write_text("junk\n")
        junk.chmod(0o600)
        foreign = self.work / "e/state/keyring.yaml"
        for words, code in [(["keyring", "offer", junk], "KEYRING_FORMAT"), (["keyring", "offer", foreign], "KEYRING_OWNER"),
                            (["recovery", "verify", "--key-file", self.work / "r"], "KEYRING_RECIPIENT"),
                            (["recovery", "verify", "--key-file", junk], "RECOVERY_KEY")]:
            self.fails(6, code, *words, "--config", self.config)
        good = self.keyring.read_bytes()
        for spoil, code in [(lambda: self.keyring.write_bytes(good[:700]), "KEYRING_FORMAT"), (self.keyring.unlink, "KEYRING_MISSING")]:
            spoil()
            for words in (["key", "list"], ["keyring", "show"], ["recovery", "verify", "--key-file", self.recovery]):
                self.fails(6, code, *words, "--config", self.config)
        with self.serving(wait=False):
            until(lambda: self.here("status").returncode == 6, "a daemon without a keyring")
            value = self.status(6, "KEYRING_OPEN")
            self.fails(7, "UNREACHABLE", "probe", "--config", self.config)
        self.assertEqual([value[name] for name in ("keyring", "enable", "stage", "activekey")], 4 * [None])
        self.assertEqual(misfit(value["daemon"], STATUS["daemon"], "daemon"), None)
        self.assertEqual((value["daemon"]["reachable"], value["daemon"]["generation"], value["keys"]), (True, 0, []))

    def test_7_not_reachable(self):
        self.fails(7, "UNREACHABLE", "probe", "--config", self.config)
        self.status(7, "UNREACHABLE")
        for path, words in zip(SOCKETS, (["probe"], ["status"])):
            with self.silent(self.dir / path):
                start = time.monotonic()
                self.expect(self.here(*words, "--timeout", "1"), 7)
                self.assertLess(time.monotonic() - start, 20)

    def test_8_a_check_found_something(self):
        between = self.edit(self.work / "2b.yaml", "stage", "start")
        without = self.edit(self.work / "3.yaml", "--from", between, "stage", "start")
        with self.serving():
            added = self.edit(self.work / "2.yaml", "add", "second", "stage", "prepare")
            self.expect(self.here("keyring", "offer", added), 0)
            self.expect(self.here("keyring", "offer", without), 0)
            self.assertEqual(misfit(self.status(8, "FOUND"), STATUS, "status"), None)
            self.assertIn("superseded", self.expect(self.here("status"), 8).stdout)
            self.expect(self.here("probe"), 0)

    def test_8_a_file_that_kube_apiserver_refuses(self):
        bad = self.work / "bad.yaml"
        bad.write_text("kind: EncryptionConfig\napiVersion: v1\n")
        run = self.expect(self.keyturn("config", "check", bad, "-o", "json"), 8)
        self.assertIn("1 finding", self.error(run, "FOUND"))
        self.assertFalse(json.loads(run.stdout)["valid"])

    def test_8_a_daemon_that_is_not_well(self):
        """A key that has reached its limit does not encrypt: status says 6, a probe has found something."""
        key = self.json("key", "list")["keys"][0]["id"]
        (self.dir / "state/usage").write_text(f"keyturn-usage 1\n{key} {1 << 32}\n")
        with self.serving(wait=False):
            until(lambda: "2^32" in self.here("status").stdout, "a daemon that does not encrypt")
            self.assertEqual(misfit(self.status(6, "KMS_NO_ACTIVE_KEY"), STATUS, "status"), None)
            self.assertIn("2^32", self.fails(8, "FOUND", "probe", "--config", self.config))


if __name__ == "__main__":
    unittest.main(verbosity=2)
