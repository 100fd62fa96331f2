#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The audit log: what is in it, on one node and on several, what verify finds, and logs that cannot be written."""
import base64
import datetime
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster, Recovers  # noqa: E402
from program import BUILD, KEYTURN, told_to_syslog, until  # noqa: E402


class Lines(Recovers):
    """One for each generation, and what it says."""

    def test_of_a_life(self):
        self.join("b")
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second", "stage", "prepare")), 0)
        self.expect(self.offer("b", "a"), 0)
        self.expect(self.on("a", "node", "remove", "b", "--key-file", self.recovery, "--yes"), 0)
        self.replaced("a", "second")
        self.replaced("a", "third", "--lost")
        lines = self.lines("a")
        self.assertEqual([(line["event"], line["subject"], line["command"]) for line in lines], [
            ("founded", "", "init"), ("node-added", "b", "node approve"), ("changed", "", ""), ("node-removed", "b", "node remove"),
            ("recovery-replaced", "", "recovery replace"), ("recovery-lost", "", "recovery replace")])
        self.assertEqual([line["seq"] for line in lines], [1, 2, 3, 4, 5, 6])
        self.assertEqual([line["after"]["generation"] for line in lines], [1, 2, 3, 4, 5, 6])
        self.assertEqual([line["after"]["membership"] for line in lines], [1, 2, 2, 3, 4, 5])
        for before, after in zip(lines, lines[1:]):
            self.assertEqual({name: value for name, value in after["before"].items() if name != "hash"}, before["after"])
        self.assertEqual([len(line["after"]["keys"]) for line in lines], [1, 1, 2, 3, 3, 3])
        self.assertEqual(lines[3]["before"]["recipients"], ["a", "recovery", "b"])
        self.assertEqual(lines[3]["after"]["recipients"], ["a", "recovery"])
        self.assertEqual((lines[2]["before"]["stage"], lines[2]["after"]["stage"]), ("start", "prepare"))
        self.assertEqual(lines[-1]["before"]["hash"], re.search(r"(?m)^previous: (.*)$", self.keyring_of("a").read_text()).group(1))
        self.expect(self.verify("a"), 0)

    def name_of(self, uid):
        """As the accounts of this machine have it; the suite is also run under a uid that they do not have."""
        return {entry.pw_uid: entry.pw_name for entry in reversed(pwd.getpwall())}.get(uid, "")

    def test_who(self):
        fingerprint = self.request("b")
        self.approve("a", "b", fingerprint, env={"SUDO_USER": "al'ice\n"})
        who = self.lines("a")[1]["who"]
        self.assertEqual((who["uid"], who["sudo"]), (os.getuid(), "al?ice?"))
        self.assertEqual(who["user"], self.name_of(os.getuid()))
        # The session's login, where the kernel knows one; root may say who it is.
        run = subprocess.run(["sh", "-c", 'echo 0 >/proc/self/loginuid; cat /proc/self/loginuid; exec "$@"', "sh", KEYTURN, "init", "--dir",
                              self.work / "e", "--yes", "--recovery-out", self.work / "er"], capture_output=True, text=True, check=True,
                             stdin=subprocess.DEVNULL)
        uid = run.stdout.splitlines()[0]
        self.assertRegex(uid, r"^\d+")
        login = int(re.match(r"\d+", uid).group())
        self.assertEqual(self.lines("e")[0]["who"]["login"], "" if login == (1 << 32) - 1 else self.name_of(login))

    def test_nothing_secret_is_in_it(self):
        self.archive_a_key()
        text = self.log_of("a").read_text()
        self.assertNotIn(self.recovery.read_text().strip(), text)
        for blob in re.findall(r"(?m)^ *(?:wrapped|sealed|signerKey|statusKey): (.*)$", self.keyring_of("a").read_text()):
            self.assertNotIn(blob[:40], text)
        scalar = (self.state_of("a") / "opener/node.key").read_bytes()[-32:]
        for form in (scalar.hex(), scalar.hex().upper()):
            self.assertNotIn(form, text)
        self.assertNotIn(str(self.work), text)

    def test_imported_keys(self):
        """Called whatever they are called elsewhere; never their bytes."""
        secret = os.urandom(32)
        name = "it's a \\ \"key\" \u00e9: '1'"
        key = self.work / "key"
        key.write_bytes(secret)
        key.chmod(0o600)
        self.ok("a", "key", "import", "--type", "aescbc", "--name", name, "--file", key, "--raw")
        line = self.lines("a")[1]
        self.assertEqual((line["command"], line["event"], line["after"]["keys"][1]["name"]), ("key import", "changed", name))
        data = self.log_of("a").read_bytes()
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            self.assertNotIn(form, data)
        self.expect(self.verify("a"), 0)
        self.assertIn(f"key {name} ", self.expect(self.on("a", "audit"), 0).stdout)
        self.assertEqual(self.ok("a", "audit")["lines"][1]["after"]["keys"][1]["name"], name)

    def test_shown(self):
        self.join("b")
        text = self.expect(self.on("a", "audit"), 0).stdout
        self.assertRegex(text, r"(?m)^2  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  a: node approve by uid \d+")
        self.assertIn("node-added b: membership 1 -> 2, generation 1 -> 2", text)
        self.assertEqual(self.expect(self.on("a", "audit", "show"), 0).stdout, text)
        shown = self.ok("a", "audit")["lines"]
        self.assertEqual([{name: value for name, value in line.items() if name != "hash"} for line in shown], self.lines("a"))
        self.assertEqual(shown[0]["hash"], shown[1]["prev"])
        self.assertIn(f"auditHead: {shown[1]['hash']}\n", self.keyring_of("a").read_text())

    def test_since(self):
        time = datetime.datetime.fromisoformat(self.lines("a")[0]["time"])
        for since, n in [("1d", 1), (time.strftime("%Y-%m-%dT%H:%M:%SZ"), 1),
                         ((time + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ"), 0)]:
            self.assertEqual(len(self.ok("a", "audit", "--since", since)["lines"]), n, since)
        for since in ["yesterday", "", "1", "2026-11-23", "-1d"]:
            self.refused("a", "audit", "--since", since, code="USAGE", status=2)

    def test_rows_that_cannot_be_read_are_named(self):
        self.join("b")
        rows = self.log_of("a").read_text().splitlines(keepends=True)
        self.log_of("a").write_text(rows[0] + "\x1b[2J\n" + rows[1])
        run = self.expect(self.on("a", "audit"), 8)
        self.assertIn("row 2 cannot be read", run.stdout)
        self.assertNotIn("\x1b", run.stdout)
        self.assertEqual(len(json.loads(self.expect(self.on("a", "audit", "-o", "json"), 8, "FOUND", "1 row").stdout)["lines"]), 2)


class SeveralNodes(Recovers):
    def test_one_that_joins_has_all_that_the_keyring_carries(self):
        self.join("b")
        self.join("c", by="b")
        self.assertEqual([[line["seq"] for line in self.lines(node)] for node in "bc"], [[1, 2, 3], [1, 2, 3]])
        self.logs_verify()

    def test_each_has_the_log_from_its_joining_on(self):
        self.generations("a", 16)
        self.join("b")
        self.join("c", by="b")
        self.expect(self.offer("a", "c"), 0)
        self.assertEqual([[line["seq"] for line in self.lines(node)] for node in "abc"], [list(range(1, 20)), [18, 19], [19]])
        self.assertTrue(self.log_of("a").read_text().endswith(self.log_of("b").read_text()))
        self.logs_verify()
        # One that was replaced goes on with its log; one that has lost it begins with the line that let it in again.
        owner = self.approve("a", "b", self.request("b"), "--replace", "b")
        self.expect(self.install("b", owner), 0)
        self.assertEqual([line["seq"] for line in self.lines("b")], [18, 19, 20])
        shutil.rmtree(self.state_of("c"))
        self.expect(self.offer("a", "b"), 0)
        owner = self.approve("a", "c", self.request("c"), "--replace", "c")
        self.expect(self.install("c", owner), 0)
        self.assertEqual([line["seq"] for line in self.lines("c")], [19, 20, 21], "the keyring still carries the first one")
        self.logs_verify()

    def test_one_that_was_away_catches_up_as_far_as_the_keyring_goes(self):
        self.join("b")
        self.generations("a", 16)
        self.expect(self.offer("b", "a"), 0)
        self.assertEqual([line["seq"] for line in self.lines("b")], list(range(1, 19)))
        self.logs_verify()
        self.generations("a", 17)
        self.expect(self.offer("b", "a"), 0)
        self.assertEqual(self.damage("b"), [("lines-missing", 19)])
        # Another node's copy mends it, and is checked first.
        self.assertEqual(self.damage("b", "--log", self.log_of("b")), [("lines-missing", 19)])
        self.expect(self.verify("b", "--log", self.log_of("a")), 0)
        self.log_of("b").write_bytes(self.log_of("a").read_bytes())
        self.logs_verify()

    def test_what_a_removed_member_signs_is_in_no_log(self):
        self.join("b")
        old = self.edit("b", "add", "mine", out=self.work / "mine.yaml")
        self.expect(self.on("a", "node", "remove", "b", "--key-file", self.recovery, "--yes"), 0)
        before = self.log_of("a").read_bytes()
        self.refused("a", "keyring", "offer", old, code="KEYRING_OLDER")
        self.assertEqual(self.log_of("a").read_bytes(), before)

    def test_a_fork_that_was_in_force_here_is_found(self):
        self.join("b")
        mine = self.edit("a", "add", "mine", out=self.work / "mine.yaml")
        theirs = self.edit("a", "add", "theirs", out=self.work / "theirs.yaml")
        self.expect(self.on("a", "keyring", "offer", theirs), 0)
        self.expect(self.on("b", "keyring", "offer", mine), 0)
        self.logs_verify()
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "stage", "prepare")), 0)
        self.refused("b", "keyring", "offer", theirs, code="KEYRING_FORK")
        self.expect(self.offer("b", "a"), 0)
        self.assertEqual([line["seq"] for line in self.lines("b")], [1, 2, 3, 3, 4])
        self.assertIn(("out-of-order", 4), self.damage("b"))
        self.expect(self.verify("a"), 0)

    def test_two_admins_at_once(self):
        """One wins; the log has its line and no other."""
        requests = {node: self.request(node) for node in "bcde"}
        self.start("a")
        runs = {node: subprocess.Popen([KEYTURN, *map(str, self.approve_arguments(node, requests[node])), "-o", "json", "--config",
                                        self.config_of("a")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       start_new_session=True) for node in requests}
        done = []
        for node, run in runs.items():
            _, error = run.communicate(timeout=120)
            if run.returncode == 0:
                done.append(node)
            else:
                self.assertIn(json.loads(error)["error"]["code"], ["KEYRING_STALE", "BUSY"])
        self.assertTrue(done)
        self.assertEqual({line["subject"] for line in self.lines("a")[1:]}, set(done))
        self.assertEqual(len(self.lines("a")), 1 + len(done))
        self.expect(self.verify("a"), 0)


class Damage(Cluster):
    """On a disk, by whoever may write there: exit 8 and its name."""

    def setUp(self):
        super().setUp()
        self.generations("a", 4)
        self.log = self.log_of("a")
        self.rows = self.log.read_text().splitlines(keepends=True)

    def found(self, text):
        self.log.write_text(text)
        return self.damage("a")

    def test_kinds(self):
        r = self.rows
        for text, expected in [
                (r[1:], ("beginning-cut", 1)), (r[:2] + r[3:], ("lines-missing", 3)), (r[:-1], ("tail-cut", 0)), ([], ("tail-cut", 0)),
                (r[:1] + r, ("out-of-order", 2)), (r[:1] + [r[2], r[1]] + r[3:], ("out-of-order", 3)), (r + r[-1:], ("not-vouched-for", 6)),
                (r[:2] + ["\n"] + r[2:], ("not-a-line", 3)), (r[:4] + [r[4].replace('"enabled":true', '"enabled":false', 1)], ("rewritten", 0)),
                (r[:2] + [r[2].replace('"stage":"start"', '"stage":"rotate"', 1)] + r[3:], ("altered", 4)), (r + ["{"], ("cut-line", 6))]:
            with self.subTest(expected=expected):
                self.assertIn(expected, self.found("".join(text)))
        self.log.write_text("".join(r))
        self.expect(self.verify("a"), 0)

    def test_in_words(self):
        self.log.write_text("".join(self.rows[:-1]))
        run = self.expect(self.on("a", "audit", "verify"), 8)
        self.assertIn("tail-cut: the log ends with line 4, but the keyring in force names line 5", run.stdout)
        self.assertIn("1 finding", run.stderr)

    def test_missing(self):
        self.log.unlink()
        self.assertEqual(self.damage("a"), [("missing", 0)])
        self.assertEqual(self.ok_after_offer(), [1, 2, 3, 4, 5], "the keyring carries all of them")
        self.expect(self.verify("a"), 0)

    def ok_after_offer(self):
        self.expect(self.offer("a", "a"), 0)
        return [line["seq"] for line in self.lines("a")]

    def test_a_tail_that_is_cut_is_there_again_after_a_start(self):
        self.log.write_text("".join(self.rows[:2]) + self.rows[2][:100])
        self.assertIn(("tail-cut", 0), self.damage("a"))
        self.start("a")
        self.assertEqual(self.log.read_text(), "".join(self.rows))
        self.expect(self.verify("a"), 0)
        self.assertEqual(len(re.findall(r"event=audit .*late=true", (self.work / "a.log").read_text())), 3)

    def test_a_keyring_that_was_put_back(self):
        newest = self.keyring_of("a").read_bytes()
        older = self.work / "older"
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "stage", "prepare")), 0)
        older.write_bytes(newest)
        self.keyring_of("a").write_bytes(newest)
        self.assertEqual(self.damage("a"), [("older-keyring", 0), ("not-vouched-for", 6)])
        (self.state_of("a") / "floor").unlink()
        self.assertEqual(self.damage("a"), [("not-vouched-for", 6)])

    def test_superseded_keyrings_vouch_too(self):
        """A generation that another one took the place of was in force here, and its keyring is still there to tell."""
        between = self.edit("a", "stage", "start", out=self.work / "between")
        without = self.work / "without"
        subprocess.run([BUILD / "tests/make_state", "edit", self.work / "a", without, "--from", between, "stage", "start"], check=True,
                       capture_output=True, env={**os.environ, "KEYTURN_BUILD": str(BUILD)})
        for keyring in (self.edit("a", "add", "second", "stage", "prepare"), without):
            self.expect(self.on("a", "keyring", "offer", keyring), 0)
        self.assertTrue(list((self.state_of("a") / "superseded").iterdir()))
        self.assertEqual([line["seq"] for line in self.lines("a")], [1, 2, 3, 4, 5, 6, 6, 7])
        self.assertEqual(self.damage("a"), [("out-of-order", 7), ("superseded", 8)])
        rows = self.log.read_text().splitlines(keepends=True)
        self.log.write_text("".join(rows[:5] + rows[6:]))
        self.assertEqual(self.damage("a"), [("superseded", 7), ("superseded", 0)])


class CannotBeWritten(Cluster):
    """Nothing about the log keeps a keyring from being installed and served; it is told, and made good."""

    def spoilt(self):
        log = self.log_of("a")
        good = log.read_bytes()

        def directory():
            log.unlink()
            log.mkdir()

        def link():
            log.unlink()
            log.symlink_to(self.work / "elsewhere")

        def mode():
            log.chmod(0o666)

        def mend():
            if log.is_dir() and not log.is_symlink():
                log.rmdir()
            else:
                log.unlink()
            log.write_bytes(good)
            log.chmod(0o640)
        return [directory, link, mode], mend

    def test_without_a_daemon(self):
        spoil, mend = self.spoilt()
        for n, how in enumerate(spoil):
            with self.subTest(how=how.__name__):
                how()
                run = self.expect(self.on("a", "keyring", "offer", self.edit("a", "enabled", "false" if n % 2 == 0 else "true")), 0)
                self.assertIn("keyturn: warning: the keyring is in force, but the audit log of this node lacks its line", run.stderr)
                self.assertEqual(self.numbers("a"), (1, n + 2))
                self.expect(self.verify("a"), 3, "PERMISSION", "audit.log")
                mend()
                self.assertIn(("tail-cut", 0), self.damage("a"))
                self.expect(self.offer("a", "a"), 0)
                self.expect(self.verify("a"), 0)
                self.assertEqual(len(self.lines("a")), n + 2)
                spoil, mend = self.spoilt()

    def test_with_a_daemon(self):
        spoil, mend = self.spoilt()
        spoil[0]()
        self.start("a", serving=False)
        until(lambda: "the audit log lacks lines" in self.on("a", "status").stdout, "status says it")
        self.expect(self.on("a", "probe"), 0)
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        self.assertEqual(self.serves_generation(), 2)
        self.refused("a", "status", code="FOUND", status=8, words="audit log lacks lines")
        mend()
        self.expect(self.offer("a", "a"), 0)
        self.expect(self.on("a", "status"), 0)
        self.expect(self.verify("a"), 0)
        self.assertIn("audit-log-not-written", (self.work / "a.log").read_text())

    def serves_generation(self):
        return json.loads(self.on("a", "status", "-o", "json").stdout)["daemon"]["generation"]

    @unittest.skipUnless(os.getuid() == 0, "another owner takes root")
    def test_another_owner(self):
        os.chown(self.log_of("a"), 54321, 54321)
        run = self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        self.assertIn("is owned by uid 54321", run.stderr)
        self.expect(self.verify("a"), 3, "PERMISSION", "uid 54321")

    def test_init_is_not_half_done(self):
        before = self.files()
        (self.work / "e/state.init").mkdir(parents=True)
        (self.work / "e/state.init/audit.log").mkdir()
        run = self.keyturn("init", "--dir", self.work / "e", "--yes", "--recovery-out", self.work / "er", "-o", "json")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("audit.log", run.stderr)
        self.assertFalse((self.work / "er").exists())
        self.assertFalse((self.work / "e/keyturn.yaml").exists())
        self.assertEqual({name for name in self.files() if "state.init" not in name}, set(before))


class Journal(Cluster):
    """Each line goes there: by the daemon's standard error, and without one by syslog(3)."""

    def test_by_the_daemon(self):
        self.start("a")
        self.approve("a", "b", self.request("b"))
        said = (self.work / "a.log").read_text()
        lines = re.findall(r'event=audit hash=(\S+) late=false line="(.*)"$', said, re.M)
        self.assertEqual(len(lines), 1)
        self.assertEqual(json.loads(lines[0][1].replace('\\"', '"')), self.lines("a")[1])
        self.assertIn(f"auditHead: {lines[0][0]}\n", self.keyring_of("a").read_text())

    def test_by_keyturn(self):
        said = told_to_syslog(KEYTURN, "init", "--dir", self.work / "f", "--node", "f", "--yes", "--recovery-out", self.work / "fr")
        self.assertEqual([json.loads(message.partition(": audit ")[2]) for message in said], self.lines("f"))
        self.assertRegex(said[0], r"^<85>.*keyturn\[\d+\]: audit \{")  # authpriv.notice
        said = told_to_syslog(KEYTURN, "keyring", "offer", self.edit("f", "add", "second"), "--config", self.config_of("f"))
        self.assertEqual(len(said), 1)
        self.assertIn('"seq":2,', said[0])
        (self.state_of("f") / "audit.log").unlink()
        (self.state_of("f") / "audit.log").mkdir()
        said = told_to_syslog(KEYTURN, "keyring", "offer", self.edit("f", "add", "third"), "--config", self.config_of("f"))
        self.assertRegex(said[0], r"^<83>.*keyturn\[\d+\]: audit log: .*audit\.log")  # authpriv.err
        self.assertEqual(len(said), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
