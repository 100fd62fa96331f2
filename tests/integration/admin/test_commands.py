#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of keyturn that need no daemon, and what all of them share: output, errors, exit statuses (keyturn(1))."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import KEYTURN, MAKE_STATE, Case, fault  # noqa: E402
from strange_kms import StrangeKms  # noqa: E402


class Founded(Case):
    def setUp(self):
        super().setUp()
        self.expect(self.init(), 0)

    def offer(self, file, *more, env=None):
        return self.keyturn("keyring", "offer", file, "--config", self.config, *more, env=env)


class Shows(Founded):
    def test_status_without_a_daemon_is_k3s_three_lines_and_table(self):
        run = self.expect(self.keyturn("status", "--config", self.config), 7)
        self.assertTrue(run.stdout.startswith("Encryption Status: Enabled\nCurrent Rotation Stage: start\nServer Encryption Hashes: unknown\n\n"
                                              "Active  Key Type  Name\n------  --------  ----\n *      KMS-v2    kmskey\n\n"), run.stdout)
        self.assertIn("start keyturnd", run.stdout)

    def test_status_json_has_the_contract_fields(self):
        value = self.json("status", status=7)
        self.assertEqual((value["apiVersion"], value["kind"]), ("keyturn.dev/v1", "Status"))
        self.assertEqual((value["enable"], value["stage"], value["activekey"], value["inactivekeys"], value["hashmatch"]),
                         (True, "start", "KMS-v2 kmskey", [], False))
        self.assertEqual(set(value["keyring"]) & {"id", "membership", "generation"}, {"id", "membership", "generation"})
        self.assertEqual(set(value["keys"][0]), {"id", "type", "name", "state", "created", "active"})
        self.assertEqual(value["daemon"]["reachable"], False)
        self.assertEqual(value["daemon"]["processes"], [])
        self.assertEqual(value["apiServers"], [])

    def test_key_list_and_keyring_show_agree(self):
        keys = self.json("key", "list")["keys"]
        shown = self.json("keyring", "show")
        self.assertEqual(keys, shown["keys"])
        self.assertRegex(keys[0]["id"], "^[0-9a-f]{32}$")
        text = self.expect(self.keyturn("key", "list", "--config", self.config), 0).stdout
        self.assertIn(keys[0]["id"], text)

    def test_config_show_is_an_encryption_configuration(self):
        run = self.expect(self.keyturn("config", "show", "--config", self.config), 0)
        self.assertIn(f"endpoint: unix://{self.dir}/run/kms/kms.sock\n", run.stdout)
        self.assertTrue(run.stdout.endswith("      - identity: {}\n"))

    def test_config_show_names_the_provider_as_a_string(self):
        text = self.config.read_text()
        for name in ["keyturn", "123", "null", "No", "1e3", "0x1f", "1_000", ".5", "2001-01-01", "-"]:
            with self.subTest(name=name):
                self.config.write_text(text.replace('provider: "keyturn"', f'provider: "{name}"'))
                run = self.expect(self.keyturn("config", "show", "--config", self.config), 0)
                kms = yaml.safe_load(run.stdout)["resources"][0]["providers"][0]["kms"]
                self.assertEqual((kms["name"], kms["endpoint"]), (name, f"unix://{self.dir}/run/kms/kms.sock"))

    def test_options_may_stand_before_the_command(self):
        self.expect(self.keyturn("--config", self.config, "-o", "json", "key", "list"), 0)

    def test_the_environment_names_the_configuration(self):
        self.expect(self.keyturn("key", "list", env={"KEYTURN_CONFIG": str(self.config)}), 0)

    def test_a_result_that_cannot_be_written_is_a_failure(self):
        for command in [["version"], ["key", "list"], ["status"], ["config", "show"], ["--help"]]:
            with self.subTest(command=command), open("/dev/full", "w") as full:
                options = [] if command == ["--help"] else ["--config", str(self.config)]
                run = subprocess.run([KEYTURN, *command, *options], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(run.returncode, 1, run.stderr)


class Offers(Founded):
    """Without a daemon keyturn installs it itself."""

    def test_a_newer_generation_and_the_same_again(self):
        newer = self.edit(self.work / "2.yaml", "add", "second")
        self.expect(self.offer(newer), 0)
        self.assertEqual((self.dir / "state/keyring.yaml").read_bytes(), newer.read_bytes())
        self.assertEqual([k["name"] for k in self.json("key", "list")["keys"]], ["kmskey", "second"])
        self.assertIn("in force already", self.expect(self.offer(newer), 0).stdout)

    def test_dry_run_changes_nothing(self):
        newer = self.edit(self.work / "2.yaml", "add", "second")
        before = self.files()
        self.assertIn("would be installed", self.expect(self.offer(newer, "--dry-run"), 0).stdout)
        self.assertEqual(self.files(), before)

    def test_dry_run_refuses_what_would_be_refused(self):
        """A superseded keyring that cannot be read: its keys could get lost."""
        newer = self.edit(self.work / "2.yaml", "add", "second")
        (self.dir / "state/superseded").mkdir()
        (self.dir / "state/superseded/1-0.yaml").symlink_to(newer)
        before = self.files()
        for more in [["--dry-run"], []]:
            with self.subTest(more=more):
                self.expect(self.offer(newer, "-o", "json", *more), 3, "REFUSED", "1-0.yaml")
                self.assertEqual(self.files(), before)

    def refused(self, file, status, code):
        before = self.files()
        self.expect(self.offer(file, "-o", "json"), status, code)
        self.assertEqual(self.files(), before, "nothing changed")

    def test_bad_offers_have_an_error_each(self):
        original = (self.dir / "state/keyring.yaml").read_bytes()
        first = self.work / "1.yaml"
        first.write_bytes(original)
        newer = self.edit(self.work / "2a.yaml", "add", "a")
        fork = self.edit(self.work / "2b.yaml", "add", "b")
        foreign_dir = self.work / "foreign"
        self.expect(self.keyturn("init", "--dir", foreign_dir, "--yes", "--recovery-out", self.work / "fr"), 0)
        self.expect(self.offer(newer), 0)
        empty, cut, link = self.work / "empty", self.work / "cut", self.work / "link"
        empty.write_bytes(b"")
        cut.write_bytes(original[:700])
        link.symlink_to(newer)
        os.mkfifo(self.work / "fifo")
        for file, status, code in [(first, 3, "KEYRING_OLDER"), (fork, 3, "KEYRING_FORK"), (empty, 6, "KEYRING_FORMAT"), (cut, 6, "KEYRING_FORMAT"),
                                   (foreign_dir / "state/keyring.yaml", 6, "KEYRING_OWNER"), (link, 3, "PERMISSION"),
                                   (self.work / "fifo", 3, "PERMISSION"), (self.work / "absent", 1, "IO"), (self.work, 3, "PERMISSION")]:
            with self.subTest(file=file.name):
                self.refused(file, status, code)

    def test_killed_or_full_at_each_write_the_old_or_the_new_is_in_force(self):
        newer = self.edit(self.work / "2.yaml", "add", "second")
        state = self.dir / "state"
        old = {p.name: p.read_bytes() for p in state.iterdir() if p.is_file()}

        def restore():
            for name, data in old.items():
                (state / name).write_bytes(data)

        last = self.writes(lambda env: self.offer(newer, env=env))
        self.assertGreater(last, 10, "the fault library saw the writes")
        restore()
        statuses = set()
        for do in ["kill", "kill-after", "enospc", "erofs"]:
            for at in range(1, last + 1):
                run = self.offer(newer, env=fault(at, do))
                statuses.add(run.returncode)
                with self.subTest(do=do, at=at):
                    if run.returncode > 0:
                        installed = (state / "keyring.yaml").read_bytes() == newer.read_bytes()
                        self.assertEqual(run.returncode == 4, installed, run.stderr)
                    # Either generation verifies and opens, and the same command finishes the job.
                    self.assertIn(self.json("keyring", "show")["keyring"]["generation"], [1, 2])
                    self.expect(self.offer(newer), 0)
                    self.assertEqual((state / "keyring.yaml").read_bytes(), newer.read_bytes())
                    self.assertIn(b"generation 2", (state / "floor").read_bytes())
                    self.assertEqual([p.name for p in state.iterdir() if p.name.endswith(".tmp")], [])
                restore()
        self.assertIn(4, statuses)


class Strangers(Founded):
    """What others say, or how files are called, is never taken for an order by root's terminal, and never costs the JSON."""

    def probe(self, *more, **says):
        path = self.dir / "run/kms/kms.sock"
        server = StrangeKms(path, **says)
        try:
            return self.keyturn("probe", "--config", self.config, "--timeout", "20", *more)
        finally:
            server.close()
            path.unlink()

    def test_a_front_that_sends_orders_to_the_terminal(self):
        for says, status, word in [({"healthz": b"\x1b]0;owned\x07\xff"}, 8, "]0;owned"), ({"details": b"%1B]0;owned%07%FF"}, 3, "]0;owned")]:
            with self.subTest(says=says):
                run = self.expect(self.probe(**says), status)
                self.assertIn("\\u001b" + word + "\\u0007\ufffd", run.stderr)
                self.assertNotIn("\x1b", run.stdout + run.stderr)
                self.expect(self.probe("-o", "json", **says), status, "FOUND" if status == 8 else "REFUSED", word)

    def test_every_character_that_a_socket_may_have_reaches_it(self):
        self.dir = self.work / "-._~!$&'()*+;=:@"
        self.config = self.dir / "keyturn.yaml"
        self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.work / "r"), 0)
        self.expect(self.probe(healthz=b"reached"), 8)

    def test_a_file_whose_name_is_no_text(self):
        for name in [b"\xff", b"cut\xe2\x82", b"\x1b[2J"]:
            with self.subTest(name=name):
                run = subprocess.run([KEYTURN, "keyring", "offer", os.fsencode(self.work) + b"/" + name, "--config", self.config, "-o", "json"],
                                     capture_output=True, timeout=60)
                error = json.loads(run.stderr)["error"]
                self.assertEqual((run.returncode, error["code"]), (1, "IO"))
                self.assertIn(str(self.work), error["message"])
                self.assertNotIn(b"\x1b", run.stderr)

    def test_a_recovery_file_whose_name_is_no_text_has_a_field(self):
        out = os.fsencode(self.work) + b"/\xff"
        run = subprocess.run([KEYTURN, "init", "--dir", self.work / "e", "--yes", "--recovery-out", out, "-o", "json"], capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads(run.stdout)["recoveryKeyFile"], f"{self.work}/\ufffd")


class Refuses(Case):
    def test_commands_to_come_and_commands_that_are_none(self):
        for command in [["sync"], ["sync", "x"]]:
            self.expect(self.keyturn(*command, "-o", "json"), 2, "UNSUPPORTED")
        for command in [["frobnicate"], ["keyring"], ["node"], ["status", "--colour"], ["status", "surplus"], ["status", "-o", "xml"]]:
            self.assertEqual(self.keyturn(*command).returncode, 2, command)
            self.expect(self.keyturn(*command, *([] if "xml" in command else ["-o", "json"])), 2, *([] if "xml" in command else ["USAGE"]))
        self.assertIn("Usage:", self.expect(self.keyturn("status", "-o", "json", "--help"), 0).stdout)

    def test_json_is_asked_for_in_every_way_that_options_have(self):
        for options in [["-vo", "json"], ["-vojson"], ["--out", "json"], ["--ou=json"], ["-o", "text", "-o", "json"], ["--timeout", "5", "-ojson"]]:
            with self.subTest(options=options):
                self.expect(self.keyturn("status", "surplus", *options), 2, "USAGE")
                self.expect(self.keyturn(*options, "status", "surplus"), 2, "USAGE")
                self.assertIn("Usage:", self.expect(self.keyturn("status", *options, "--hel"), 0).stdout)
        for options in [["-o", "json", "-o", "text"], ["--config", "-ojson"], ["--", "-ojson"], ["--key-file=x", "-vo", "text"]]:
            with self.subTest(options=options):
                run = self.expect(self.keyturn("version", "surplus", *options), 2)
                self.assertFalse(run.stderr.startswith("{"), run.stderr)

    def test_a_configuration_that_is_missing_or_wrong(self):
        self.config = self.work / "c.yaml"
        self.expect(self.keyturn("key", "list", "--config", self.config, "-o", "json"), 2, "CONFIG", "keyturn init")
        self.config.write_text("apiVersion: keyturn.dev/v1\nkind: Config\nnode: a\nknid: b\n")
        self.expect(self.keyturn("key", "list", "--config", self.config, "-o", "json"), 2, "CONFIG", "line 4, column 1")
        self.config.chmod(0o666)
        self.expect(self.keyturn("key", "list", "--config", self.config, "-o", "json"), 3, "PERMISSION", "chmod")

    def test_recovery_keys_that_do_not_fit(self):
        self.expect(self.init(), 0)
        right = self.recovery.read_text().strip()
        typing_error = ("0" if right[0] != "0" else "1") + right[1:]
        other = self.work / "other"
        self.expect(self.keyturn("init", "--dir", self.work / "e", "--yes", "--recovery-out", other), 0)
        for text, what in [("", "empty"), (right[:-1], "short"), (right + "A", "long"), (typing_error, "mistyped"), (right.replace("-", "!", 1), "sign"),
                           (other.read_text(), "another keyring's")]:
            with self.subTest(what=what):
                run = self.keyturn("recovery", "verify", "--config", self.config, "--key-file", "-", "-o", "json", stdin=text)
                self.assertEqual(run.returncode, 6, run.stderr)
                self.assertNotIn(right[5:30], run.stderr + run.stdout)
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", "-", stdin=right.lower().replace("-", " ")), 0)
        link = self.work / "link"
        link.symlink_to(self.recovery)
        for other in [link, "/dev/stdin"]:
            run = self.keyturn("recovery", "verify", "--config", self.config, "--key-file", other, "-o", "json", stdin=right)
            self.expect(run, 3, "PERMISSION", "--key-file - ")
        self.recovery.chmod(0o644)
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery, "-o", "json"), 3, "PERMISSION", "chmod")

    def test_json_errors_are_one_object(self):
        run = self.keyturn("status", "--config", "/nonexistent/keyturn.yaml", "-o", "json")
        self.assertEqual(set(json.loads(run.stderr)["error"]), {"code", "message", "hint"})
        self.assertEqual(run.stdout, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
