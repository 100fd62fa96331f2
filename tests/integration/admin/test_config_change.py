#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rotations that change kube-apiserver's file, config apply and config rollback, where no API server can be asked: what is written
and kept, what is refused, cut at every write, changed by others meanwhile. tests/e2e/test_inline_rotation.py has the cluster."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cluster import Cluster  # noqa: E402
from program import KEYTURN, PATIENCE, Terminal, fault, until  # noqa: E402

FORCED = ["--force", "--yes"]
REWRITES = "what is stored stays as it is, and can be read: there is no kubeconfig"


def digest(path):
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


class Changes(Cluster):
    def founding(self):
        return ["--provider", "aescbc"]

    def setUp(self):
        super().setUp()
        self.folder = self.work / "etc"
        self.folder.mkdir()
        self.enc = self.folder / "enc.json"
        self.expect(self.on("a", "config", "show", "--out", self.enc), 0)

    def run_on(self, *command, **more):
        return self.on("a", *command, "--encryption-config", self.enc, **more)

    def forced(self, *command, status=0, **more):
        return self.expect(self.run_on(*command, *FORCED, **more), status)

    def order(self, path=None):
        """Names and types in the order in which they stand."""
        providers = json.loads((path or self.enc).read_text())["resources"][0]["providers"]
        return [name for provider in providers for kind in provider
                for name in ([key["name"] for key in provider[kind]["keys"]] if kind == "aescbc" else [kind])]

    def names(self):
        return [key["name"] for key in self.info("a")["keys"]]

    def kept(self):
        folder = self.state_of("a") / "config-previous"
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}

    def kept_name(self, suffix):
        return str(self.enc.resolve()).replace("%", "%25").replace("/", "%2F") + "." + suffix

    def kept_file(self, became=None):
        """What it was before it became that; what it is now."""
        name = self.kept_name(hashlib.sha256(self.enc.read_bytes() if became is None else became).hexdigest())
        return self.state_of("a") / "config-previous" / name

    def undone(self):
        return self.state_of("a") / "config-previous" / self.kept_name("undone")

    def behind(self):
        """The keyring has a second key that the file lacks."""
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add-aescbc", "second", "stage", "prepare")), 0)

    def config_lines(self):
        return [(line["config"]["before"], line["config"]["after"]) for line in self.lines("a") if line.get("config")]


class Rotation(Changes):
    def test_prepare_rotate_and_back(self):
        first = self.order()[0]
        hashes = [digest(self.enc)]
        self.forced("prepare")
        new = self.names()[1]
        self.assertEqual(self.order(), [first, new, "identity"])
        hashes.append(digest(self.enc))
        self.assertEqual(self.kept_file().stat().st_mode & 0o7777, 0o600)
        self.assertEqual(digest(self.kept_file()), hashes[0])
        before = self.numbers("a")
        self.forced("prepare")
        self.assertEqual((self.numbers("a"), digest(self.kept_file())), (before, hashes[0]))
        self.forced("rotate")
        self.assertEqual((self.order(), self.names()), ([new, first, "identity"], [new, first]))
        hashes.append(digest(self.enc))
        self.assertEqual(digest(self.kept_file()), hashes[1])
        self.assertEqual(self.config_lines(), list(zip(hashes, hashes[1:])))
        self.assertEqual(list(self.folder.iterdir()), [self.enc])
        self.expect(self.verify("a"), 0)
        self.assertEqual(self.on("a", "config", "diff", "--encryption-config", self.enc).returncode, 0)
        # The names and the bytes are the keyring's.
        whole = self.expect(self.on("a", "config", "show", "--show-secrets"), 0).stdout
        self.assertEqual(json.loads(self.enc.read_text()), json.loads(whole))

    def test_cancel(self):
        first = self.order()[0]
        self.forced("prepare")
        second = self.names()[1]
        self.forced("prepare", "--cancel")
        self.assertEqual(self.order(), [first, second, "identity"])  # it is retiring: still decrypts
        self.assertEqual([key["state"] for key in self.info("a")["keys"]], ["active", "retiring"])

    def test_disable_and_enable(self):
        first = self.order()[0]
        self.assertIn(REWRITES, self.forced("disable", status=4).stderr)
        self.assertEqual(self.order(), ["identity", first])
        status = self.expect(self.run_on("status"), 7).stdout
        self.assertIn("Encryption Status: Disabled", status)
        self.assertNotIn(" *", status)
        self.assertIn(REWRITES, self.forced("disable", status=4).stderr)
        self.assertIn(REWRITES, self.forced("enable", status=4).stderr)
        self.assertEqual(self.order(), [first, "identity"])
        self.assertIn("Encryption Status: Enabled", self.expect(self.run_on("status"), 7).stdout)
        self.assertEqual(len(self.config_lines()), 2)
        self.expect(self.verify("a"), 0)

    def test_the_file_keeps_owner_mode_and_attributes(self):
        link = self.work / "link.json"
        real = self.enc
        if os.getuid() == 0:
            os.chown(real, 4321, 4322)
        real.chmod(0o640)
        os.setxattr(real, "user.keyturn.test", b"kept")
        link.symlink_to(real)
        self.enc = link
        self.forced("prepare")
        status = real.stat()
        self.assertEqual(status.st_mode & 0o7777, 0o640)
        if os.getuid() == 0:
            self.assertEqual((status.st_uid, status.st_gid), (4321, 4322))
        self.assertEqual(os.getxattr(real, "user.keyturn.test"), b"kept")
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.order(), self.names() + ["identity"])
        self.assertEqual(list(self.kept()), [self.kept_file().name])

    def test_changed_by_another_one_meanwhile(self):
        """Stopped between the generation and the file: what somebody wrote then is not written over, and nothing is lost."""
        self.behind()
        saved = self.enc.read_text()
        last = self.writes(lambda env: self.run_on("config", "apply", *FORCED, env=env), "keyturn")
        ended = []
        for at in range(1, last + 1):
            self.enc.write_text(saved)
            ended.append(self.stopped_at(at, saved))
        self.assertIn(5, ended, "none was stopped where it matters")

    def stopped_at(self, at, saved):
        process = subprocess.Popen([KEYTURN, "config", "apply", "--config", self.config_of("a"), "--encryption-config", self.enc,
                                    *FORCED, "-o", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=self.environment(fault(at, "stop")))
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        until(lambda: process.poll() is not None or self.is_stopped(process.pid), "it has stopped or ended")
        other = saved.replace('"identity"', '"identity" ')
        if process.poll() is None:
            self.enc.write_text(other)
            process.send_signal(18)
        said = process.communicate(timeout=PATIENCE)[1]
        self.assertIn(process.returncode, (0, 5), said)
        if process.returncode == 5:
            self.assertEqual(self.enc.read_text(), other)
        return process.returncode

    @staticmethod
    def is_stopped(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def test_rotate_cut_at_every_write(self):
        files = [self.enc.read_bytes()]
        self.forced("prepare")
        files.append(self.enc.read_bytes())
        first, second = self.names()

        def check(_):
            self.assertEqual({*self.order()}, {first, second, "identity"})
            # Whatever the file is, what it was before that is kept.
            before = files[0] if self.enc.read_bytes() == files[1] else files[1]
            self.assertEqual(self.kept_file().read_bytes(), before)
            self.forced("rotate")
            self.assertEqual((self.order(), self.names()), ([second, first, "identity"], [second, first]))
            self.assertEqual(self.kept_file().read_bytes(), files[1])
            # Cut before it removed the older one, it leaves that to the next change.
            self.assertLessEqual({*self.kept()}, {self.kept_file(files[1]).name, self.kept_file().name})

        self.walk(lambda env: self.run_on("rotate", *FORCED, env=env), check, 20)

    def test_changes_nothing_where_the_file_is_not_as_it_should_be(self):
        good, before = self.enc.read_text(), self.files()
        secret = json.loads(good)["resources"][0]["providers"][0]["aescbc"]["keys"][0]["secret"]
        # A key that only bears the name, and one that nobody knows.
        for text in (good.replace(secret, "A" * 43 + "="), good.replace("aescbckey", "another")):
            self.enc.write_text(text)
            for command in ("prepare", "disable", "config apply"):
                run = self.refused("a", *command.split(), "--encryption-config", self.enc, *FORCED, code="REFUSED", words="does not know")
                self.assertNotIn(secret, run.stderr)
        self.enc.write_text(good)
        self.assertEqual({**self.files(), f"{self.enc.relative_to(self.work)}": 0, "a/state/rotation.lock": 0},
                         {**before, f"{self.enc.relative_to(self.work)}": 0, "a/state/rotation.lock": 0})


class Apply(Changes):
    def test_shows_and_asks(self):
        self.behind()
        before = self.enc.read_bytes()
        secrets = [key["secret"] for key in json.loads(before)["resources"][0]["providers"][0]["aescbc"]["keys"]]
        run = self.expect(self.run_on("config", "apply", "--dry-run"), 0)
        self.assertIn('+                "name": "second",', run.stderr)
        self.assertIn("write the config file", run.stdout)
        self.assertNotIn(secrets[0], run.stdout + run.stderr)
        self.expect(self.run_on("config", "apply", "-o", "json"), 2, "USAGE", "--yes")
        with Terminal(KEYTURN, "config", "apply", "--config", self.config_of("a"), "--encryption-config", self.enc) as terminal:
            terminal.until(b"Write it?")
            terminal.type("n")
            self.assertNotEqual(terminal.end(), 0)
        self.assertEqual((self.enc.read_bytes(), self.kept(), self.config_lines()), (before, {}, []))
        self.forced("config", "apply")
        self.assertEqual(self.order(), ["aescbckey", "second", "identity"])
        again = self.ok("a", "config", "apply", "--encryption-config", self.enc, *FORCED)
        self.assertEqual((again["changed"], len(self.config_lines())), (False, 1))

    def test_says_what_it_could_not_see(self):
        self.behind()
        run = self.expect(self.run_on("config", "apply", "--yes", "--timeout", "1", "-o", "json"), 4, "INCOMPLETE", "there is no kubeconfig")
        self.assertEqual(self.order(), ["aescbckey", "second", "identity"])
        self.assertIn("run it again", json.loads(run.stderr)["error"]["hint"])

    def test_begun_together(self):
        """However they fall: each says what it did, and the file is written once; the same for going back."""
        self.behind()
        first = self.enc.read_bytes()
        for command, changed in ((["config", "apply"], "changed"), (["config", "rollback"], "changed")):
            runs = [subprocess.Popen([KEYTURN, *command, "--config", self.config_of("a"), "--encryption-config", self.enc, *FORCED, "-o", "json"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment())
                    for _ in range(4)]
            ended = [(*run.communicate(timeout=PATIENCE), run.returncode) for run in runs]
            for _, said, status in ended:
                self.assertIn(status, (0, 5), said)
            self.assertEqual(sum(json.loads(out)[changed] for out, _, status in ended if status == 0), 1)
            self.assertEqual(self.order(), ["aescbckey", "second", "identity"] if command[1] == "apply" else ["aescbckey", "identity"])
        self.assertEqual((self.enc.read_bytes(), len(self.config_lines())), (first, 2))
        self.expect(self.verify("a"), 0)

    def test_no_file(self):
        self.expect(self.on("a", "config", "apply", "--yes", "-o", "json"), 2, "CONFIG", "--encryption-config")
        self.expect(self.on("a", "config", "apply", "--yes", "-o", "json", "--encryption-config", self.work / "none"), 1, "IO", "none")


class Rollback(Changes):
    def back(self, *more, status=4, words="is as it was before"):
        return self.expect(self.run_on("config", "rollback", "--yes", "--timeout", "1", "-o", "json", *more), status,
                           "INCOMPLETE" if status == 4 else "REFUSED", words)

    def test_puts_the_previous_file_back(self):
        self.back(status=3, words="there is no previous one")
        first = self.enc.read_bytes()
        self.forced("prepare")
        second = self.enc.read_bytes()
        self.expect(self.run_on("config", "rollback", "-o", "json"), 2, "USAGE", "--yes")
        self.expect(self.run_on("config", "rollback", "--force", "-o", "json"), 2, "USAGE", "--yes")
        self.assertTrue(self.ok("a", "config", "rollback", "--dry-run", "--encryption-config", self.enc)["wouldChange"])
        self.assertEqual(self.enc.read_bytes(), second)
        self.back()
        # Once more, as the exit status asks for: it is not undone, and nothing is written.
        numbers = self.numbers("a")
        self.back()
        run = self.forced("config", "rollback")
        self.assertIn("--force goes on", run.stderr)
        self.assertEqual(run.stdout, f"{self.enc}: is as it was before\n")
        self.assertEqual((self.enc.read_bytes(), self.undone().read_bytes(), self.numbers("a")), (first, second, numbers))
        self.assertEqual(self.undone().stat().st_mode & 0o7777, 0o600)
        # And forward again.
        self.forced("config", "apply")
        self.assertEqual((self.enc.read_bytes(), self.kept_file().read_bytes()), (second, first))
        self.assertIn("put back", self.forced("config", "rollback").stdout)
        self.assertEqual(self.enc.read_bytes(), first)
        self.assertEqual([line["command"] for line in self.lines("a")][-3:], ["config rollback", "config apply --force", "config rollback --force"])
        self.expect(self.verify("a"), 0)

    def test_there_and_back_again(self):
        """What the file becomes it had been before."""
        first = self.enc.read_bytes()
        self.forced("disable", status=4)
        second = self.enc.read_bytes()
        self.forced("enable", status=4)
        self.assertEqual(self.enc.read_bytes(), first)
        for _ in range(2):
            self.forced("config", "rollback")
            self.assertEqual((self.enc.read_bytes(), self.undone().read_bytes()), (second, first))

    def test_takes_no_key_away_that_may_have_encrypted(self):
        self.forced("prepare")
        older = self.kept_file().read_bytes()
        self.forced("rotate")
        rotated = self.enc.read_bytes()
        for kept, words in ((older, "the very key"),
                            (rotated.replace(b'"secret": "', b'"secret": "AAAA', 1).replace(b'=="', b'"', 1), None),
                            (rotated.replace(b'"secrets"', b'"configmaps"'), "the same resources")):
            self.kept_file().write_bytes(kept)
            run = self.run_on("config", "rollback", "--yes", "--force", "--timeout", "1", "-o", "json")
            self.assertIn(run.returncode, (2, 3), run.stderr)
            if words:
                self.expect(run, 3, "REFUSED", words)
            self.assertEqual(self.enc.read_bytes(), rotated)
        self.forced("disable", status=3)

    def test_identity_is_not_taken_away(self):
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "enabled", "false")), 0)
        self.forced("config", "apply")
        text = json.loads(self.kept_file().read_text())
        text["resources"][0]["providers"].pop()
        self.kept_file().write_text(json.dumps(text))
        self.back(status=3, words="identity")

    def test_a_file_that_was_broken(self):
        """What kube-apiserver will not start with again."""
        self.forced("prepare")
        self.forced("rotate")
        kept = self.kept_file()
        good = kept.read_bytes()
        for broken in (b"resources: [", b"kind: X\n"):
            self.enc.write_bytes(broken)
            self.forced("prepare", status=2)
            self.back()
            self.assertEqual((self.enc.read_bytes(), self.undone().read_bytes()), (good, broken))
        # One from before the key that is active now.
        kept.write_bytes(self.expect(self.on("a", "config", "show", "--show-secrets"), 0).stdout.replace(self.names()[0], "gone").encode())
        self.enc.write_bytes(b"resources: [")
        self.back(status=3, words="the previous file: expected")

    def test_copies_that_are_not_ours(self):
        self.forced("prepare")
        kept, now = self.kept_file(), self.enc.read_bytes()
        kept.chmod(0o640)
        self.expect(self.run_on("config", "rollback", "--yes", "-o", "json"), 3, "PERMISSION", "0640")
        kept.chmod(0o600)
        kept.rename(kept.with_name("saved"))
        self.back(status=3, words="there is no previous one")
        kept.symlink_to("saved")
        self.expect(self.run_on("config", "rollback", "--yes", "-o", "json"), 3, "PERMISSION", "link")
        self.assertEqual(self.enc.read_bytes(), now)

    def test_cut_at_every_write(self):
        """After a change that was cut as well: a copy is left of what never took place."""
        self.behind()
        first = self.enc.read_bytes()
        self.forced("config", "apply")
        second = self.enc.read_bytes()
        stale = self.kept_file(b"never written")
        stale.write_bytes(b"resources: [")
        stale.chmod(0o600)

        def check(run):
            self.assertIn(self.enc.read_bytes(), (first, second))
            if run.returncode == 0:
                self.assertEqual(self.enc.read_bytes(), first)
            for _ in range(2):
                again = self.forced("config", "rollback")
                self.assertEqual(self.enc.read_bytes(), first, again.stdout)
            self.assertEqual(self.undone().read_bytes(), second)
            self.forced("config", "apply")
            self.assertEqual(len(self.config_lines()), 3)  # what was noted before the cut was not noted twice
            self.assertEqual((self.enc.read_bytes(), self.kept_file().read_bytes()), (second, first))

        self.walk(lambda env: self.run_on("config", "rollback", *FORCED, env=env), check, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
