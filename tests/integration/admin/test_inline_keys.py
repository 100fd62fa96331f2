#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys that kube-apiserver has in its own file: founded, taken in from elsewhere, rendered, and shown to nobody by accident."""
import base64
import json
import os
import pathlib
import pwd
import re
import secrets
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from installed import Installed, install  # noqa: E402
from program import Terminal  # noqa: E402

setUpModule = install
LENGTHS = {"aescbc": (16, 24, 32), "aesgcm": (16, 24, 32), "secretbox": (32,), "kms": (32,)}
# As kube-apiserver takes them, and as keyturn shows them.
NAMES = ["key1", "aescbckey-2022-04-21T23:01:02+02:00", "two words", '"q" \\ #', "Schlüssel", "密钥", "n" * 253]
# RKE2's file, as its documentation shows it.
RKE2 = """{
  "kind": "EncryptionConfiguration",
  "apiVersion": "apiserver.config.k8s.io/v1",
  "resources": [
    {
      "resources": [
        "secrets"
      ],
      "providers": [
        {
          "PROVIDER": {
            "keys": [
              {
                "name": "NAME",
                "secret": "SECRET"
              }
            ]
          }
        },
        {
          "identity": {}
        }
      ]
    }
  ]
}
"""


class Case(Installed):
    def found(self, provider="kms", *more):
        self.expect(self.init("--provider", provider, *more), 0)

    def import_key(self, kind, name, key, *more, text=None, **options):
        """key: bytes, by pipe."""
        text = base64.b64encode(key).decode() + "\n" if text is None else text
        return self.here("key", "import", "--type", kind, "--name", name, *more, stdin=text, **options)

    def keys(self):
        return self.json("key", "list")["keys"]

    def rendered(self):
        """The file whole, as JSON."""
        return json.loads(self.expect(self.here("config", "show", "--show-secrets"), 0).stdout)

    def providers(self):
        return self.rendered()["resources"][0]["providers"]

    def secret_of(self, kind, name):
        for provider in self.providers():
            for key in provider.get(kind, {}).get("keys", []):
                if key["name"] == name:
                    return base64.b64decode(key["secret"])
        return None


class Founded(Case):
    def test_one_key_in_the_form_of_rke2(self):
        for provider, name in (("aescbc", "aescbckey"), ("secretbox", "secretboxkey"), ("aesgcm", "aesgcmkey")):
            with self.subTest(provider=provider):
                place = self.work / provider
                more = ["--allow-aesgcm"] if provider == "aesgcm" else []
                run = self.keyturn("init", "--dir", place, "--yes", "--recovery-out", self.work / f"r-{provider}",
                                   "--provider", provider, *more)
                self.assertIn(f"one key ({name})", self.expect(run, 0).stdout)
                self.config = place / "keyturn.yaml"
                key = self.keys()[0]
                self.assertEqual((key["type"], key["name"], key["state"]), (provider, name, "active"))
                out = self.work / f"{provider}.json"
                self.expect(self.here("config", "show", "--out", out), 0)
                text = out.read_text()
                secret = re.search(r'"secret": "([^"]*)"', text).group(1)
                self.assertEqual(len(base64.b64decode(secret, validate=True)), 32)
                want = RKE2.replace("PROVIDER", provider).replace("NAME", name)
                self.assertEqual(text, want.replace("SECRET", secret))
                self.assertEqual(self.expect(self.here("config", "show"), 0).stdout, want.replace("SECRET", "REDACTED"))

    def test_aesgcm_has_to_be_allowed(self):
        said = self.fails(3, "REFUSED", "init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, "--provider", "aesgcm")
        self.assertIn("200,000 writes", said)
        self.assertEqual(self.files(), {})
        self.fails(2, "USAGE", "init", "--dir", self.dir, "--provider", "rot13")

    def test_what_init_says_next_makes_the_file(self):
        run = self.init("--provider", "aescbc")
        self.expect(run, 0)
        words = re.search(r"(?m)^  keyturn (config show .*)$", run.stdout).group(1).split()
        self.expect(self.keyturn(*words, cwd=self.work), 0)
        self.assertIn('"name": "aescbckey"', (self.work / "encryption-config.json").read_text())

    def test_status_of_a_cluster_that_needs_no_plugin(self):
        self.found("aescbc")
        with self.serving():
            run = self.expect(self.here("status", "-v"), 0)
            self.assertIn(" *      AES-CBC   aescbckey\n", run.stdout)
            self.assertIn("it does not need this plugin", run.stdout)
            value = self.status()
            self.assertEqual((value["activekey"], value["daemon"]["keyId"]), ("AES-CBC aescbckey", ""))
            self.assertIn("does not need this plugin", self.fails(7, "UNREACHABLE", "probe", "--config", self.config))


class Shown(Case):
    def setUp(self):
        super().setUp()
        self.found("aescbc")
        self.key = self.secret_of("aescbc", "aescbckey")
        self.shown = base64.b64encode(self.key).decode()

    def test_no_key_by_accident(self):
        for words in (["config", "show"], ["config", "show", "-o", "json"], ["key", "list"], ["keyring", "show", "-o", "json"],
                      ["status", "-v"], ["config", "show", "--out", self.work / "f", "-o", "json"]):
            run = self.here(*words)
            for text in (self.shown, self.key.hex()):
                self.assertNotIn(text, run.stdout + run.stderr, words)
        run = self.expect(self.here("config", "show"), 0)
        self.assertIn("--out FILE", run.stderr)
        value = self.json("config", "show")
        self.assertTrue(value["masked"])
        self.assertIn('"secret": "REDACTED"', value["encryptionConfiguration"])

    def test_written_for_its_owner_alone(self):
        out = self.work / "enc.json"
        old = os.umask(0)
        try:
            self.expect(self.here("config", "show", "--out", out), 0)
        finally:
            os.umask(old)
        st = out.stat()
        self.assertEqual((stat.S_IMODE(st.st_mode), st.st_uid), (0o600, os.geteuid()))
        self.assertIn(self.shown, out.read_text())
        before = self.tree()
        self.assertFalse(self.json("config", "show", "--out", out)["changed"])
        self.assertEqual(self.tree(), before)

    def test_never_over_another_file(self):
        out = self.work / "enc.json"
        self.expect(self.here("config", "show", "--out", out), 0)
        out.write_text(out.read_text().replace(self.shown, "AAAA"))
        for more in ([], ["--force", "--yes"], ["--dry-run"]):
            before = out.read_bytes()
            self.assertIn("exists", self.fails(3, "EXISTS", "config", "show", "--out", out, "--config", self.config, *more))
            self.assertEqual(out.read_bytes(), before)
        out.chmod(0o644)
        self.fails(3, "PERMISSION", "config", "show", "--out", out, "--config", self.config)
        (self.work / "link").symlink_to(self.work / "elsewhere")
        self.expect(self.here("config", "show", "--out", self.work / "link"), 3)
        self.assertFalse((self.work / "elsewhere").exists())

    def test_dry_run_writes_nothing(self):
        before = self.tree()
        value = self.json("config", "show", "--out", self.work / "enc.json", "--dry-run")
        self.assertEqual((value["changed"], value["wouldChange"]), (False, True))
        self.assertEqual(self.tree(), before)

    def test_standard_output_that_others_may_read(self):
        for mode, status in ((0o600, 0), (0o640, 3), (0o604, 3)):
            with open(self.work / f"out-{mode:o}", "wb") as out:
                os.fchmod(out.fileno(), mode)
                run = subprocess.run([self.program, "config", "show", "--show-secrets", "--config", self.config], stdout=out,
                                     stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(run.returncode, status, run.stderr)
            self.assertEqual(self.shown in (self.work / f"out-{mode:o}").read_text(), status == 0)

    def test_wrong_use(self):
        for more in (["--show-secrets", "-o", "json"], ["--show-secrets", "--out", self.work / "f"], ["--out", ""]):
            run = self.expect(self.here("config", "show", *more), 2)
            self.assertNotIn(self.shown, run.stdout + run.stderr)
        self.assertFalse((self.work / "f").exists())

    @unittest.skipUnless(os.geteuid() == 0, "as another user: only root can become one")
    def test_nobody_else_gets_them(self):
        for path in (self.prefix, self.work, self.dir):
            path.chmod(0o755)
        nobody = pwd.getpwnam("daemon")
        program, config = self.program, self.config
        for words in (["config", "show", "--show-secrets"], ["config", "show"], ["config", "show", "--out", self.work / "none"]):
            run = subprocess.run([program, *words, "--config", config], capture_output=True, text=True, timeout=60,
                                 user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
            self.assertNotEqual(run.returncode, 0, run.stdout)
            self.assertNotIn("aescbckey", run.stdout)

    def test_a_key_that_only_a_superseded_keyring_has_is_rendered(self):
        between = self.edit(self.work / "2b", "stage", "start")
        third = self.edit(self.work / "3", "--from", between, "stage", "start")
        self.expect(self.here("keyring", "offer", self.edit(self.work / "2", "add-secretbox", "lost")), 0)
        lost = self.secret_of("secretbox", "lost")
        self.assertEqual(len(lost), 32)
        self.expect(self.here("keyring", "offer", third), 0)
        self.assertEqual(self.secret_of("secretbox", "lost"), lost)
        self.assertEqual([next(iter(p)) for p in self.providers()], ["aescbc", "secretbox", "identity"])

    def test_a_keyring_that_was_put_back_is_not_rendered(self):
        first = (self.dir / "state/keyring.yaml").read_bytes()
        self.expect(self.here("keyring", "offer", self.edit(self.work / "2", "add-secretbox", "second")), 0)
        (self.dir / "state/keyring.yaml").write_bytes(first)
        self.assertIn("generation 2", self.fails(3, "KEYRING_OLDER", "config", "show", "--config", self.config))

    def test_identity_by_enabled_and_strict(self):
        cases = [(("enabled", "false"), ["identity", "aescbc"]), (("enabled", "true", "strict", "true"), ["aescbc"]),
                 (("strict", "false"), ["aescbc", "identity"])]
        for number, (edits, want) in enumerate(cases):
            self.expect(self.here("keyring", "offer", self.edit(self.work / f"{number}", *edits)), 0)
            self.assertEqual([next(iter(p)) for p in self.providers()], want)


class Imported(Case):
    def setUp(self):
        super().setUp()
        self.found()

    def test_each_type_by_its_lengths(self):
        for kind, lengths in LENGTHS.items():
            for length in (1, 15, 16, 24, 31, 32, 33):
                with self.subTest(kind=kind, length=length):
                    key, name, before = secrets.token_bytes(length), f"{kind}-{length}", self.keys()
                    more = ["--allow-aesgcm"] if kind == "aesgcm" else []
                    run = self.import_key(kind, name, key, *more, "-o", "json")
                    if length not in lengths:
                        self.assertIn(self.expect(run, run.returncode).returncode, (2, 3), run.stderr)
                        self.assertEqual(self.keys(), before)
                        continue
                    value = json.loads(self.expect(run, 0).stdout)
                    last = self.keys()[-1]
                    self.assertEqual((last["id"], last["type"], last["name"], last["state"]),
                                     (value["key"]["id"], kind, name, "ready"))
                    self.assertEqual(self.keys()[:-1], before, "the others stay as they are, the active one too")
                    if kind != "kms":
                        self.assertEqual(self.secret_of(kind, name), key)

    def test_names_as_kube_apiserver_takes_them(self):
        for name in NAMES:
            self.expect(self.import_key("aescbc", name, secrets.token_bytes(32)), 0)
        self.assertEqual([k["name"] for k in self.keys()], ["kmskey", *NAMES])
        listed = self.expect(self.here("key", "list"), 0).stdout
        status = self.here("status").stdout
        for name in NAMES:
            self.assertIn(f"  {name}\n", listed)
            self.assertIn(f"  {name}\n", status)
        self.assertEqual([k["name"] for k in self.providers()[1]["aescbc"]["keys"]], NAMES)
        for name in ("", " a", "a ", "a\nb", "\x1b[2J", "\u202egnol", "n" * 254):
            self.expect(self.import_key("aescbc", name, secrets.token_bytes(32), "-o", "json"), 2, "USAGE")

    def test_ways_to_hand_it_over(self):
        key = self.work / "key"
        for number, (content, more) in enumerate([(base64.b64encode(b"1" * 32), []), (base64.b64encode(b"2" * 32) + b"\n", []),
                                                  (base64.b64encode(b"3" * 32) + b"\r\n", []), (b"4" * 32, ["--raw"]),
                                                  (b"\n" * 16, ["--raw"])]):
            key.write_bytes(content)
            key.chmod(0o600)
            run = self.here("key", "import", "--type", "aescbc", "--name", f"f{number}", "--file", key, *more)
            self.expect(run, 0)
        self.assertEqual([self.secret_of("aescbc", f"f{n}") for n in range(5)],
                         [b"1" * 32, b"2" * 32, b"3" * 32, b"4" * 32, b"\n" * 16])
        raw = bytes(range(32))
        run = subprocess.run([self.program, "key", "import", "--type", "secretbox", "--name", "p", "--file", "-", "--raw", "--config",
                              self.config], input=raw, capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.secret_of("secretbox", "p"), raw)

    def test_typed_at_a_terminal_it_is_not_shown(self):
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        with Terminal(self.program, "key", "import", "--type", "aescbc", "--name", "typed", "--config", self.config) as terminal:
            terminal.until(b"Key (base64): ")
            terminal.type(key)
            self.assertEqual(terminal.end(), 0, terminal.seen)
            self.assertNotIn(key.encode(), terminal.seen)
        self.assertEqual(base64.b64encode(self.secret_of("aescbc", "typed")).decode(), key)

    def test_files_that_others_may_read_are_refused(self):
        key = self.work / "key"
        key.write_text(base64.b64encode(b"k" * 32).decode())
        key.chmod(0o640)
        words = ["key", "import", "--type", "aescbc", "--name", "a", "--config", self.config]
        self.fails(3, "PERMISSION", *words, "--file", key)
        (self.work / "link").symlink_to(key)
        self.fails(3, "PERMISSION", *words, "--file", self.work / "link")
        self.fails(1, "IO", *words, "--file", self.work / "none")
        self.assertEqual(len(self.keys()), 1)

    def test_what_is_no_key_is_not_repeated(self):
        junk = "this-is-a-secret-that-was-pasted-wrongly"
        for text in (junk, "=" * 44, "A" * 44, base64.b64encode(b"a" * 32).decode()[:-1], "AAAA\nAAAA\n", "\n", "", "A" * 4000):
            with self.subTest(text=text[:50]):
                run = self.import_key("aescbc", "a", b"", "-o", "json", text=text)
                self.assertIn(run.returncode, (2, 3), run.stdout)
                self.assertNotIn(junk, run.stdout + run.stderr)
        self.assertEqual(len(self.keys()), 1)

    def test_never_as_an_argument(self):
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        for more in ([key], ["--key", key], [f"--secret={key}"]):
            run = self.here("key", "import", "--type", "aescbc", "--name", "a", *more)
            self.assertEqual(run.returncode, 2, run.stdout)
        self.assertEqual(len(self.keys()), 1)

    def test_duplicates(self):
        key = secrets.token_bytes(32)
        self.expect(self.import_key("aescbc", "key1", key), 0)
        before = self.tree()
        id_ = self.keys()[1]["id"]
        for kind, name, other in (("aescbc", "key1", secrets.token_bytes(32)), ("aescbc", "key1", key), ("aescbc", "key2", key),
                                  ("secretbox", "key2", key), ("kms", "key2", key)):
            self.expect(self.import_key(kind, name, other, "-o", "json"), 3, "EXISTS", id_)
        self.expect(self.import_key("aescbc", "key1:more", secrets.token_bytes(32), "-o", "json"), 3, "REFUSED", "both keys")
        self.assertEqual(self.tree(), before)
        # As in the first EncryptionConfig there was: one name in each provider.
        self.expect(self.import_key("secretbox", "key1", secrets.token_bytes(32)), 0)

    def test_aesgcm_has_to_be_allowed(self):
        self.expect(self.import_key("aesgcm", "a", b"k" * 32, "-o", "json"), 3, "REFUSED", "200,000 writes")
        self.expect(self.import_key("aesgcm", "a", b"k" * 32, "--allow-aesgcm"), 0)

    def test_not_while_a_rotation_is_prepared(self):
        prepared = self.edit(self.work / "2", "add", "second", "stage", "prepare")
        self.expect(self.here("keyring", "offer", prepared), 0)
        before = self.tree()
        self.expect(self.import_key("aescbc", "a", b"k" * 32, "-o", "json"), 3, "REFUSED", "prepare --cancel")
        self.assertEqual(self.tree(), before)

    def test_dry_run_and_wrong_use(self):
        before = self.tree()
        value = json.loads(self.expect(self.import_key("aescbc", "a", b"k" * 32, "--dry-run", "-o", "json"), 0).stdout)
        self.assertEqual((value["changed"], value["wouldChange"]), (False, True))
        self.assertEqual(self.tree(), before)
        for more in ([], ["--type", "aescbc"], ["--name", "a"], ["--type", "rot13", "--name", "a"], ["--type", "aescbc", "--name", "a", "--file", ""]):
            self.assertEqual(self.here("key", "import", *more, "-o", "json").returncode, 2)

    def test_a_daemon_takes_it_in(self):
        with self.serving():
            value = json.loads(self.expect(self.import_key("kms", "elsewhere", secrets.token_bytes(32), "-o", "json"), 0).stdout)
            self.assertTrue(value["served"])
            status = self.status()
            self.assertEqual([k["name"] for k in status["keys"]], ["kmskey", "elsewhere"])
            self.assertEqual(status["daemon"]["keyId"], status["keys"][0]["id"])
            self.expect(self.here("probe"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
