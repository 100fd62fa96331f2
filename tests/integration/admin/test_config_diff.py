#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn config diff: what the keyring would change in a file, no key shown, nothing touched."""
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import Case  # noqa: E402

FIELDS = {"apiVersion": str, "kind": str, "file": str, "differs": bool, "diff": str, "lists": int, "membership": int, "generation": int,
          "warnings": list}
KMS = """apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]   # \u20ac
  providers:
  # for the change to keyturn
  - identity: {}
  - kms: {apiVersion: v2, name: keyturn, endpoint: 'unix:///run/keyturn/kms/kms.sock'} # ours
- resources: [configmaps]
  providers: [identity: {}]
"""


class ConfigDiff(Case):
    def setUp(self):
        super().setUp()
        self.file = self.work / "enc.yaml"

    def here(self, *words):
        return self.keyturn(*words, "--config", self.config)

    def offer(self, *edits):
        self.expect(self.here("keyring", "offer", self.edit(self.work / "next.yaml", *edits)), 0)

    def founded(self, provider):
        self.expect(self.init("--provider", provider), 0)
        self.expect(self.here("config", "show", "--out", self.file), 0)

    def keys(self):
        return json.loads(self.expect(self.here("key", "list", "-o", "json"), 0).stdout)["keys"]

    def secrets(self):
        """The keys in base64, as the file is to have them."""
        return re.findall(r'"secret": "([^"]+)"', self.expect(self.here("config", "show", "--show-secrets"), 0).stdout)

    def diff(self, status, code=None):
        """The answer as text, held against the one in JSON; the file stays as it is."""
        before = (self.file.read_bytes(), self.file.stat())
        run = self.expect(self.here("config", "diff", "--encryption-config", self.file), status)
        told = self.expect(self.here("config", "diff", "-o", "json", "--encryption-config", self.file), status, code)
        after = self.file.stat()
        self.assertEqual((self.file.read_bytes(), after.st_ino, after.st_mtime_ns), (before[0], before[1].st_ino, before[1].st_mtime_ns))
        if status not in (0, 8):
            self.assertEqual((run.stdout, told.stdout), ("", ""))
            return json.loads(told.stderr)["error"]
        answer = json.loads(told.stdout)
        self.assertEqual({name: type(value) for name, value in answer.items()}, FIELDS)
        self.assertEqual((answer["kind"], answer["file"], answer["differs"], answer["lists"]), ("ConfigDiff", str(self.file), status == 8, 1))
        if status == 8:
            self.assertEqual(run.stdout.split("\n", 2)[2], answer["diff"])
        else:
            self.assertEqual((run.stdout, run.stderr, answer["diff"]), (f"{self.file}: as the keyring has it\n", "", ""))
        return answer["diff"]

    def patched(self, diff, text=None):
        """The file (or another text) as git makes it of that."""
        copy = self.work / "patched"
        copy.write_text(text or self.file.read_text())
        subprocess.run(["git", "apply", "-"], input=f"--- a/patched\n+++ b/patched\n{diff}".encode(), check=True, cwd=self.work)
        return copy.read_text()

    def test_what_init_made_is_as_it_is_wanted(self):
        for provider in ("kms", "aescbc", "secretbox"):
            with self.subTest(provider=provider):
                self.dir, self.file, self.recovery = (self.work / f"{provider}{n}" for n in range(3))
                self.config = self.dir / "keyturn.yaml"
                self.founded(provider)
                self.assertEqual(self.diff(0), "")

    def test_a_change_of_order(self):
        self.expect(self.init(), 0)
        self.file.write_text(KMS)
        kms = KMS.splitlines()[7]
        identity = "\n".join(KMS.splitlines()[5:7])
        self.assertEqual(self.patched(self.diff(8, "FOUND")), KMS.replace(f"{identity}\n{kms}", f"{kms}\n{identity}"))
        self.offer("enabled", "false")
        self.diff(0)

    def test_our_plugin_by_its_socket_and_another_one(self):
        self.expect(self.init(), 0)
        ours = f"  - kms: {{apiVersion: v2, name: ours, endpoint: 'unix://{self.dir}/run/kms/kms.sock'}}\n"
        other = "  - kms: {apiVersion: v2, name: other, endpoint: 'unix:///other'}\n"
        head = KMS[:KMS.index("  # for")]
        self.file.write_text(head + other + "  - identity: {}\n" + ours)
        self.assertEqual(self.patched(self.diff(8, "FOUND")), head + ours + "  - identity: {}\n" + other)

    def test_the_list_of_secrets_where_nothing_is_ours(self):
        self.expect(self.init(), 0)
        head, tail = KMS[:KMS.index("resources:")], "  - identity: {{}}\n"
        entry = "- resources: [{}]\n  providers:\n" + tail
        for first, second in (("configmaps", "secrets"), ("configmaps", '"*."'), ("configmaps", '"*.*"'), ("events", "pods, secrets")):
            text = head + "resources:\n" + entry.format(first) + entry.format(second)
            self.file.write_text(text)
            wanted = self.patched(self.diff(8, "FOUND"))
            self.assertTrue(wanted.startswith(head + "resources:\n" + entry.format(first)), wanted)
            self.assertIn("name: keyturn", wanted[len(head + entry.format(first)):])

    def test_another_key_and_its_retirement(self):
        self.founded("aescbc")
        self.offer("add-aescbc", "second", "stage", "prepare")
        old, new = self.secrets()
        diff = self.diff(8, "FOUND")
        self.assertEqual([line for line in diff.splitlines() if line.startswith("+")],
                         ["+              },", "+              {", '+                "name": "second",', '+                "secret": "REDACTED"'])
        self.assertIn(' "secret": "REDACTED"', diff)
        whole = self.expect(self.here("config", "show", "--show-secrets"), 0).stdout
        self.assertEqual(self.patched(diff, self.file.read_text().replace(old, "REDACTED")),
                         whole.replace(old, "REDACTED").replace(new, "REDACTED"))
        self.file.write_text(whole)
        self.diff(0)
        self.offer("archive", self.keys()[1]["id"], "stage", "start")
        # The archive has its name, not its bytes, and another key may have that name: it is not taken out.
        self.assertIn("objects may depend on it", self.diff(3, "REFUSED")["hint"])

    def test_no_key_is_shown_in_comments_neither(self):
        self.founded("aescbc")
        secret = self.secrets()[0]
        self.file.write_text(KMS.replace("  - kms", f"  # old: {secret}\n  - aescbc: {{keys: [{{name: aescbckey, secret: {secret}}}]}} #").replace(
            "  - identity", f"  # {secret[:24]}\n  - identity"))
        for words in ([], ["-o", "json"]):
            run = self.expect(self.here("config", "diff", *words, "--encryption-config", self.file), 8)
            self.assertIn("old: REDACTED", run.stdout)
            self.assertNotIn(secret[:24], run.stdout + run.stderr)

    def test_a_key_that_the_keyring_lacks_stops_it(self):
        self.founded("aescbc")
        stranger = base64.b64encode(os.urandom(32)).decode()
        text = self.file.read_text()
        secret = self.secrets()[0]
        for name, key in (("stranger", stranger), ("aescbckey", stranger)):
            self.file.write_text(text.replace('"keys": [', f'"keys": [{{"name": "{name}", "secret": "{key}"}},'))
            error = self.diff(3, "REFUSED")
            self.assertIn("key import", error["hint"])
            self.assertNotIn(key, json.dumps(error))
        self.file.write_text(text.replace(secret, stranger))
        self.assertIn("key import", self.diff(3, "REFUSED")["hint"])

    def test_a_key_that_only_a_superseded_keyring_has_stays(self):
        self.founded("aescbc")
        between = self.edit(self.work / "2b", "stage", "start")
        third = self.edit(self.work / "3", "--from", between, "stage", "start")
        self.offer("add-secretbox", "lost")
        whole = self.expect(self.here("config", "show", "--show-secrets"), 0).stdout
        self.expect(self.here("keyring", "offer", third), 0)
        self.file.write_text(whole)
        self.diff(0)

    def test_what_is_not_there_or_not_taken(self):
        self.founded("kms")
        self.expect(self.here("config", "diff", "-o", "json"), 2, "USAGE", "--encryption-config")
        self.expect(self.here("config", "diff", "-o", "json", "--encryption-config", self.work / "none"), 1, "IO", "none")
        for text, code, status, words in (("kind: X\n", "CONFIG", 2, "config check"), (KMS.replace("v2", "v3"), "REFUSED", 3, "config check"),
                                          (KMS.replace("name: keyturn", "name: other").replace("[secrets]", "[configmaps]"), "REFUSED", 3, "config show"),
                                          (KMS + "---\na: b\n", "REFUSED", 3, "one document")):
            self.file.write_text(text)
            error = self.diff(status, code)
            self.assertIn(words, error["message"] + error["hint"])
            self.assertIn(str(self.file), error["message"])


if __name__ == "__main__":
    unittest.main()
