#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn config check: findings in kube-apiserver's words, at their places, and no key shown. That they are kube-apiserver's
words is for tests/oracle to show."""
import base64
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import Case  # noqa: E402

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
BAD_KEY = base64.b64encode(b"a key that is too long for each of them").decode()
FIELDS = {"severity": str, "path": str, "message": str, "line": int, "column": int, "advice": str}


class ConfigCheck(Case):
    def setUp(self):
        super().setUp()
        self.file = self.work / "enc.yaml"

    def check(self, content, status, *words):
        self.file.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.file.chmod(0o600)
        return self.expect(self.keyturn("config", "check", self.file, *words), status)

    def findings(self, content, status):
        """(severity, path, line, column) of each, and the whole answer."""
        run = self.check(content, status, "-o", "json")
        answer = json.loads(run.stdout)
        self.assertEqual((answer["apiVersion"], answer["kind"], answer["file"]), ("keyturn.dev/v1", "ConfigCheck", str(self.file)))
        self.assertEqual((answer["valid"], answer["more"]), (status == 0, 0))
        for finding in answer["findings"]:
            self.assertEqual({name: type(value) for name, value in finding.items()}, FIELDS)
        self.assertEqual(bool(answer["message"]), status != 0)
        if status:
            self.assertEqual(json.loads(run.stderr)["error"]["code"], "FOUND")
        else:
            self.assertEqual(run.stderr, "")
        return [(f["severity"], f["path"], f["line"], f["column"]) for f in answer["findings"]], answer

    def test_a_good_file(self):
        good = HEAD + f"- resources: [secrets]\n  providers:\n  - aescbc: {{keys: [{{name: k, secret: {KEY}}}]}}\n  - identity: {{}}\n"
        run = self.check(good, 0)
        self.assertEqual(run.stdout, f"{self.file}: kube-apiserver takes it\n")
        self.assertEqual(self.findings(good, 0)[0], [])
        self.file.chmod(0o604)
        self.assertIn("every user may open it", self.expect(self.keyturn("config", "check", self.file), 0).stdout)

    def test_what_init_shows_is_good(self):
        self.expect(self.init(), 0)
        shown = self.expect(self.keyturn("config", "show", "--config", self.config), 0).stdout
        self.assertEqual(self.findings(shown, 0)[0], [])

    def test_findings_and_their_places(self):
        bad = HEAD + ("- resources: [secrets, Pods]\n  providers:\n  - kms: {name: \u20ac, endpoint: 'unix:///a', timeout: 0s, apiVersion: v2}\n"
                      "- resources: ['*.']\n  providers: []\n")
        found, answer = self.findings(bad, 8)
        self.assertEqual(found, [("error", "resources[0].resources[1]", 4, 24), ("error", "resources[0].providers[0].kms.timeout", 6, 52),
                                 ("error", "resources[1].providers", 8, 14)])
        self.assertEqual(answer["message"], "error while parsing file: [" + ", ".join(
            f"{f['path']}: {f['message']}" for f in answer["findings"]) + "]")
        self.assertEqual(self.findings(b"\xef\xbb\xbf" + bad.replace("\n", "\r\n").encode(), 8)[0], found)
        text = self.check(bad, 8)
        self.assertIn(f'{self.file}:4:24: resources[0].resources[1]: Invalid value: "Pods": resource name should not contain capital '
                      "letters\n  write the plural", text.stdout)
        self.assertIn(f"kube-apiserver would say:\n  {answer['message']}\n", text.stdout)
        self.assertIn("3 findings", text.stderr)

    def test_what_does_not_decode(self):
        for content, line, column, message in [
                ("", 1, 1, "the file is empty"), ("a: [", 1, 5, "expected YAML"), (HEAD + "- {}\nx: 1\n", 5, 1, 'unknown field "x"'),
                ('{"kind": "EncryptionConfig",\n "apiVersion": "v1",}', 2, 21, "expected a key"), (HEAD + "- \x07", 4, 3, "control characters"),
                ("kind: X\napiVersion: v1\n", 1, 7, 'no kind "X" is registered for version "v1"'), (b"k: \xff", 1, 4, "UTF-8")]:
            with self.subTest(content=content):
                found, answer = self.findings(content, 8)
                self.assertEqual(found, [("error", "", line, column)])
                self.assertIn(message, answer["findings"][0]["message"])
                self.assertTrue(answer["message"].startswith("error while parsing file: error decoding encryption provider "
                                                             f'configuration file "{self.file}": '), answer["message"])

    def test_no_key_is_shown(self):
        contents = [HEAD + "- resources: [a]\n  providers:\n  - " + element + "\n" for element in (
            f"{{identity: {{}}, aescbc: {{keys: [{{name: k, secret: {KEY}}}]}}}}", f"aescbc: {{keys: [{{name: k, secret: {BAD_KEY}}}]}}",
            f"aescbc: {{keys: [{{name: k, secret: [{KEY}]}}]}}", f"aescbc: {{keys: [{{name: k, secret: &a {KEY}, x: *a}}]}}",
            f"aescbc: {{keys: {KEY}}}", f"aescbc: {{keys: [{{name: k, secret: \"{KEY}\\q\"}}]}}", f"aescbc: {{keys: [{{name: k, secret: {KEY}")]
        for content in [*contents, KEY, f"[{KEY}]", f'{{"kind": "{KEY}'[:40] + KEY]:
            for words in ([], ["-o", "json"]):
                with self.subTest(content=content, words=words):
                    run = self.check(content, 8, *words)
                    for key in (KEY, BAD_KEY):
                        self.assertNotIn(key[:16], run.stdout + run.stderr)

    def test_what_terminals_obey_is_escaped(self):
        name = self.work / "x\x1b[31m\nx"
        name.write_text(HEAD + '- resources: [A]\n  providers: [{kms: {name: "a:\\e[31m\\x85", endpoint: "unix:///a", apiVersion: v2}}]\n')
        for words in ([], ["-o", "json"]):
            run = self.expect(self.keyturn("config", "check", name, *words), 8)
            shown = run.stdout + run.stderr
            self.assertFalse(set(shown) & {chr(c) for c in [*range(10), *range(11, 32), *range(127, 160)]}, shown)

    def test_what_cannot_be_read(self):
        link = self.work / "link"
        link.symlink_to("enc.yaml")
        self.check(HEAD + "- resources: [a]\n  providers: [{identity: {}}]\n", 0)
        self.expect(self.keyturn("config", "check", link), 0)
        self.assertIn("No such file", self.expect(self.keyturn("config", "check", self.work / "absent"), 1).stderr)
        self.assertIn("is a directory", self.expect(self.keyturn("config", "check", self.work), 3).stderr)
        os.truncate(self.file, 4 * 1024 * 1024 + 1)
        self.assertNotEqual(self.keyturn("config", "check", self.file).returncode, 0)
        self.expect(self.keyturn("config", "check", link, link), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
