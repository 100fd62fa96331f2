#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn init: what it makes, what it refuses, and that a kill or a full disk at any write leaves a node that the next
init brings to its end, with a recovery key that opens."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import sys
import termios
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import KEYTURN, Case, Terminal, fault, shown_key, writes_to_walk  # noqa: E402


class Makes(Case):
    def test_files_modes_and_a_recovery_key_that_opens(self):
        self.expect(self.init(), 0)
        modes = {name: oct((self.dir / name).stat().st_mode & 0o777)
                 for name in ["keyturn.yaml", "state", "state/opener", "state/opener/node.key", "state/keyring.yaml", "run/kms"]}
        self.assertEqual(modes, {"keyturn.yaml": "0o644", "state": "0o711", "state/opener": "0o700", "state/opener/node.key": "0o600",
                                 "state/keyring.yaml": "0o640", "run/kms": "0o755"})
        self.assertEqual(self.recovery.stat().st_mode & 0o777, 0o600)
        verified = self.json("recovery", "verify", "--key-file", self.recovery)
        self.assertEqual((verified["opens"], verified["generation"]), (True, 1))
        self.assertFalse(list(self.dir.glob("*.init")), "the staging directory is gone")

    def test_nothing_secret_stands_in_clear(self):
        self.expect(self.init(), 0)
        recovery = self.recovery.read_text().strip()
        scalar = (self.dir / "state/opener/node.key").read_bytes()[-32:]
        for name, data in self.files().items():
            if name not in ["recovery"]:
                self.assertNotIn(recovery.encode(), data, name)
            if name != "d/state/opener/node.key":
                self.assertNotIn(scalar, data, name)

    def test_allowed_users_and_the_node_name_are_in_the_file(self):
        self.expect(self.init("--allow-uid", "4711", "--node", "cp-1"), 0)
        text = self.config.read_text()
        self.assertRegex(text, r"uids: \[\d+, 4711\]")
        self.assertIn('node: "cp-1"', text)

    def test_dry_run_makes_nothing(self):
        self.expect(self.init("--dry-run"), 0)
        self.assertEqual(list(self.work.iterdir()), [])

    def test_a_directory_by_any_of_its_names(self):
        link = self.work / "link"
        link.symlink_to("d", target_is_directory=True)
        for name, made in [("d/", False), ("d//", True), (".", True), ("../d/.", True), (str(link), True), (f"{link}/", True)]:
            with self.subTest(name=name, made=made):
                if made:
                    self.dir.mkdir()
                self.expect(self.keyturn("init", "--dir", name, "--yes", "--recovery-out", self.recovery, cwd=self.dir if name[0] == "." else self.work), 0)
                self.assertIn(f'stateDir: "{self.dir}/state"\n', self.config.read_text())
                self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)
                shutil.rmtree(self.dir)
                self.recovery.unlink()

    def test_the_recovery_key_in_the_directory_that_it_makes(self):
        for where in [self.dir / "recovery", f"{self.dir}//recovery"]:
            with self.subTest(where=where):
                for more in [["--dry-run"], []]:
                    self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", where, *more), 0)
                self.expect(self.keyturn("recovery", "verify", "--key-file", self.dir / "recovery", "--config", self.config), 0)
                shutil.rmtree(self.dir)


class Refuses(Case):
    def test_a_second_time(self):
        self.expect(self.init(), 0)
        before = self.files()
        self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.work / "other", "-o", "json"), 3, "EXISTS")
        self.assertEqual(self.files(), before)

    def test_a_state_directory_without_its_configuration(self):
        self.expect(self.init(), 0)
        self.config.unlink()
        before = self.files()
        self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.work / "other", "-o", "json"), 3, "EXISTS",
                    "put that file back")
        self.assertEqual(self.files(), before)

    def test_a_recovery_file_that_exists(self):
        self.recovery.write_text("somebody's")
        self.expect(self.init("-o", "json"), 3, "EXISTS")
        self.assertEqual(self.files(), {"recovery": b"somebody's"})

    def test_a_recovery_file_where_init_writes_something_else(self):
        staging = self.dir / "state.init"
        for where in [self.config, self.dir / "state", staging / "keyring.yaml", staging / "floor", staging / "kept",
                      self.dir / "run" / "control.sock", self.work / "link" / "keyturn.yaml", self.dir / "nowhere" / "recovery"]:
            with self.subTest(where=where):
                staging.mkdir(parents=True, exist_ok=True)
                (self.dir / "run").mkdir(exist_ok=True)
                if not (self.work / "link").exists():
                    (self.work / "link").symlink_to(self.dir)
                self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", where, "-o", "json"), 2, "USAGE",
                            "--recovery-out")
                self.assertEqual(self.files(), {})
        beside = self.dir / "recovery"
        self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", beside), 0)
        self.expect(self.keyturn("recovery", "verify", "--key-file", beside, "--config", self.config), 0)

    def refused(self, status, code, words="", directory=None, recovery=None):
        """With and without --dry-run; and nothing is made or changed."""
        before = sorted(self.work.rglob("*")), self.files()
        for more in [["--dry-run"], []]:
            run = self.keyturn("init", "--dir", directory or self.dir, "--yes", "--recovery-out", recovery or self.recovery, "-o", "json", *more)
            self.expect(run, status, code, words)
            self.assertEqual((sorted(self.work.rglob("*")), self.files()), before)

    def test_a_state_directory_that_it_cannot_replace(self):
        state = self.dir / "state"
        elsewhere = self.work / "elsewhere"
        elsewhere.mkdir()
        self.dir.mkdir()
        state.mkdir()
        (state / "other").touch()
        self.refused(3, "EXISTS", "not empty")
        shutil.rmtree(state)
        state.symlink_to(elsewhere)
        self.refused(3, "REFUSED", "symbolic link")
        state.unlink()
        state.touch()
        self.refused(3, "REFUSED", "not a directory")
        state.unlink()
        state.mkdir()
        self.expect(self.init(), 0)

    def test_places_where_it_cannot_make_anything(self):
        (self.work / "file").touch()
        (self.work / "nowhere").symlink_to("absent")
        self.refused(1, "IO", "mkdir -p", directory=self.work / "absent/d")
        self.refused(3, "PERMISSION", "not a directory", directory=self.work / "file")
        self.refused(3, "PERMISSION", "leads nowhere", directory=self.work / "nowhere")
        if os.geteuid() != 0:
            closed = self.work / "closed"
            closed.mkdir(mode=0o555)
            self.refused(3, "PERMISSION", "cannot make anything", directory=closed)
            self.refused(3, "PERMISSION", "cannot make anything", directory=closed / "d")

    def test_recovery_files_in_a_directory_that_is_not_made_yet(self):
        for where in ["keyturn.yaml", "state", "state/x", "state.init", "run/x", "absent/x", "", "."]:
            with self.subTest(where=where):
                self.refused(2, "USAGE", "--recovery-out", recovery=f"{self.dir}/{where}")

    def test_directories_whose_sockets_no_client_could_reach(self):
        for name in ["a b", "a%20b", "a?b", "a#b", "a,b", "a\tb", "a\u00e9b", "a\\b"]:
            with self.subTest(name=name):
                self.refused(2, "CONFIG", "choose another --dir", directory=self.work / name)

    def left_by_a_killed_init(self):
        """Killed before the rename: the recovery file is written, nothing else is in its place."""
        last = self.writes(lambda env: self.init(env=env))
        for at in range(1, last):
            shutil.rmtree(self.dir, ignore_errors=True)
            self.recovery.unlink(missing_ok=True)
            self.init(env=fault(at, "kill"))
            if self.recovery.exists():
                return
        self.fail("the recovery file was never written")

    def test_a_recovery_file_that_a_killed_init_left(self):
        self.left_by_a_killed_init()
        with open(self.dir / "state.init/lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as the init has that is not killed yet
            self.refused(5, "BUSY", "locked")
        self.refused(3, "EXISTS", "opens nothing")
        self.recovery.rename(self.work / "old")
        self.expect(self.init(), 0)
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)

    def test_wrong_use(self):
        cases = [(["--tpm-policy", "pcr:md5:7"], 2, "USAGE"), (["--tpm-policy", "pcr:sha256:11"], 3, "REFUSED"), (["--provider", "aesgcm"], 3, "REFUSED"), (["--node", "Not_A_Name"], 2, "USAGE"),
                 (["--node", "recovery"], 2, "USAGE"), (["--node", "x" * 64], 2, "USAGE"), (["--node", "a..b"], 2, "USAGE"),
                 (["--node", "a-.b"], 2, "USAGE"), (["--node", "a.-b"], 2, "USAGE"), (["--node", ""], 2, "USAGE"), (["--node", 'a"\nb: c'], 2, "USAGE"),
                 (["--allow-uid", "65534"], 2, "USAGE"), (["--allow-uid", "1", "--allow-uid", "65534", "--dry-run"], 2, "USAGE")]
        for more, status, code in cases:
            with self.subTest(more=more):
                error = self.expect(self.init(*more, "-o", "json"), status, code).stderr
                self.assertEqual("nobody" in error, "65534" in more, error)
                self.assertEqual(self.files(), {})
        for more in [["--allow-uid", "-1"], ["--allow-uid", "4294967295"], ["--provider", "rot13"], ["surplus"]]:
            with self.subTest(more=more):
                self.assertEqual(self.init(*more).returncode, 2)

    def test_without_a_terminal_it_needs_a_file_and_yes(self):
        self.expect(self.keyturn("init", "--dir", self.dir, "--yes", "-o", "json"), 2, "USAGE", "--recovery-out")
        self.expect(self.keyturn("init", "--dir", self.dir, "--recovery-out", self.recovery, "-o", "json"), 2, "USAGE", "--yes")
        self.assertFalse(self.dir.exists())

    def test_a_directory_whose_sockets_would_have_too_long_a_path(self):
        self.expect(self.keyturn("init", "--dir", self.work / ("x" * 120), "--yes", "--recovery-out", self.recovery, "-o", "json"), 2,
                    "USAGE", "107")


class Finishes(Case):
    """What a kill between the keyring's rename and keyturn.yaml leaves, and the run that brings it to its end."""

    def cut_short(self):
        self.config.rename(self.dir / "state/keyturn.yaml.init")

    def again(self, *more, env=None):
        """Of another recovery file and node name: neither counts."""
        return self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.work / "new", "--node", "other", *more, env=env)

    def setUp(self):
        super().setUp()
        self.expect(self.init("--node", "cp-1"), 0)
        self.whole = self.files()
        self.cut_short()
        self.cut = self.files()

    def test_says_whose_recovery_key_counts(self):
        text = self.expect(self.again(), 0).stdout
        self.assertIn("node cp-1", text)
        self.assertIn("the one that\nthe earlier init gave out", text)
        self.assertNotIn("other", text.replace("another", ""))
        self.assertNotIn(str(self.work / "new"), text)
        self.assertEqual(self.files(), self.whole)
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)

    def test_as_json(self):
        said = json.loads(self.expect(self.again("-o", "json"), 0).stdout)
        self.assertEqual((said["changed"], said["finishedEarlier"], said["recoveryKeyFile"], said["node"]), (True, True, "", "cp-1"))
        shutil.rmtree(self.dir)
        said = json.loads(self.expect(self.again("-o", "json"), 0).stdout)
        self.assertEqual((said["changed"], said["finishedEarlier"], said["recoveryKeyFile"], said["node"]),
                         (True, False, str(self.work / "new"), "other"))

    def test_dry_run_tells_it_from_a_new_one(self):
        text = self.expect(self.again("--dry-run"), 0).stdout
        self.assertIn(f"Would write {self.config}", text)
        self.assertNotIn("Would make", text)
        said = json.loads(self.expect(self.again("--dry-run", "-o", "json"), 0).stdout)
        self.assertEqual((said["changed"], said["finishedEarlier"], said["wouldFinishEarlier"]), (False, False, True))
        self.assertEqual(self.files(), self.cut)

    def test_what_cannot_be_finished_is_incomplete(self):
        pending = self.dir / "state/keyturn.yaml.init"
        pending.write_text("kind: Other\n")
        for more in [[], ["--dry-run"]]:
            self.expect(self.again("-o", "json", *more), 4, "INCOMPLETE", "keep the recovery key")

    def test_what_waited_for_a_configuration_that_is_there(self):
        shutil.copy(self.dir / "state/keyturn.yaml.init", self.config)
        self.assertTrue(json.loads(self.expect(self.again("-o", "json"), 0).stdout)["finishedEarlier"])
        self.assertEqual(self.files(), self.whole)
        shutil.copy(self.config, self.dir / "state/keyturn.yaml.init")
        self.config.write_text(self.config.read_text() + "# in use\n")
        before = self.tree()
        self.expect(self.again("-o", "json"), 3, "EXISTS")
        self.assertEqual(self.tree(), before)

    def test_disk_full_at_each_write(self):
        last = self.writes(lambda env: self.again(env=env))
        self.assertGreater(last, 5)
        for at in writes_to_walk(last):
            self.cut_short()
            with self.subTest(at=at):
                run = self.again("-o", "json", env=fault(at, "enospc"))
                if run.returncode != 0:
                    self.expect(run, 4, "INCOMPLETE", "keep the recovery key")
                self.expect(self.again(), 0 if run.returncode == 4 else 3)
                self.assertEqual(self.config.read_bytes(), self.whole["d/keyturn.yaml"])


class Undone(Case):
    """A run that fails, and is not killed, takes back what it has made: the recovery key in FILE, the private half, DIR."""

    def again(self):
        return self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.work / "new", "-o", "json")

    def ended(self, run, before):
        """Before the keyring has its place nothing is left, after that nothing is lost; and 4 says that there is something to
        be done by the same command, which then does it."""
        if run.returncode not in [0, 4]:
            self.assertEqual(sorted(self.work.rglob("*")), before, run.stderr)
            return
        if run.returncode == 4:
            self.assertTrue(json.loads(self.expect(self.again(), 0).stdout)["finishedEarlier"])
        whole = self.tree()
        self.expect(self.again(), 3, "EXISTS")
        self.assertEqual(self.tree(), whole)
        self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)

    def walk(self, do, prepare):
        prepare()
        statuses = set()
        last = self.writes(lambda env: self.init(env=env), "keyturn,keyturn-opener")
        for at in writes_to_walk(last):
            for path in self.work.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            prepare()
            before = sorted(self.work.rglob("*"))
            with self.subTest(at=at, do=do):
                run = self.init(env=fault(at, do, "keyturn,keyturn-opener"))
                statuses.add(run.returncode)
                self.ended(run, before)
        self.assertEqual(statuses, {0, 1, 4})

    def test_disk_full_at_each_write(self):
        self.walk("enospc", lambda: None)

    def test_disk_that_fails_at_each_write_in_a_directory_with_something_in_it(self):
        def prepare():
            (self.dir / "run").mkdir(parents=True)
            (self.dir / "state").mkdir()
            (self.dir / "kept").touch()
        self.walk("eio", prepare)


class Typed(Case):
    """The recovery key is shown on the terminal and has to be typed in again."""

    def dialogue(self, *answers):
        with Terminal(KEYTURN, "init", "--dir", self.dir, "--yes") as terminal:
            for answer in answers:
                terminal.until(b"from your paper: ")
                terminal.type(answer(shown_key(terminal)))
            return terminal.end(), terminal.seen

    def test_typed_right_in_lower_case_after_one_mistake(self):
        status, seen = self.dialogue(lambda key: ("0" if key[0] != "0" else "1") + key[1:], str.lower)
        self.assertEqual(status, 0, seen)
        self.assertTrue(self.config.exists())

    def test_typed_wrong_three_times(self):
        status, seen = self.dialogue(*3 * [lambda key: "nonsense"])
        self.assertEqual(status, 6, seen)
        self.assertEqual(list(self.work.iterdir()), [], "nothing is in force that nobody can recover")

    def test_not_confirmed(self):
        with Terminal(KEYTURN, "init", "--dir", self.dir) as terminal:
            terminal.until(b"[y/N] ")
            terminal.type("n")
            self.assertEqual(terminal.end(), 3)
        self.assertEqual(list(self.work.iterdir()), [])


class Jobs(Case):
    """keyturn as a job of a shell that has the terminal: whatever ends or stops it leaves the echo on."""

    def shell(self, arguments):
        """Runs in the child that has the terminal. Says how each wait for the job ended and whether the terminal echoes,
        and lets a stopped job go on."""
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            os.execv(KEYTURN, [str(KEYTURN), *arguments])
        while True:
            status = os.waitpid(job, os.WUNTRACED)[1]
            os.tcsetpgrp(0, os.getpid())
            echo = bool(termios.tcgetattr(0)[3] & termios.ECHO)
            what = "stopped" if os.WIFSTOPPED(status) else f"ended {os.waitstatus_to_exitcode(status)}"
            os.write(1, f"[{what} echo {echo}]".encode())
            if not os.WIFSTOPPED(status):
                return
            os.tcsetpgrp(0, job)
            os.kill(-job, signal.SIGCONT)

    def job(self, keys):
        """keys: what is typed at each prompt."""
        pid, fd = pty.fork()
        if pid == 0:
            try:
                self.shell(["recovery", "verify", "--config", str(self.config)])
            finally:
                os._exit(0)
        seen = b""
        for typed in keys:
            seen += self.until(fd, b"Recovery key: ")
            os.write(fd, typed)
        seen += self.until(fd, b"[ended")
        seen += self.until(fd, b"]")
        os.close(fd)
        os.waitpid(pid, 0)
        return re.findall(r"\[(.*?)\]", seen.decode())

    def until(self, fd, words):
        seen = b""
        while words not in seen:
            self.assertTrue(select.select([fd], [], [], 60)[0], seen)
            seen += os.read(fd, 1)
        return seen

    def test_stopped_and_continued_it_asks_again(self):
        self.expect(self.init(), 0)
        key = self.recovery.read_bytes().strip()
        self.assertEqual(self.job([b"half a k\x1a", b"\x1a", key + b"\n"]), ["stopped echo True", "stopped echo True", "ended 0 echo True"])

    def test_interrupted_it_ends_by_the_signal(self):
        self.expect(self.init(), 0)
        self.assertEqual(self.job([b"half\x03"]), [f"ended {-signal.SIGINT} echo True"])
        self.assertEqual(self.job([b"half\x1c"]), [f"ended {-signal.SIGQUIT} echo True"])


class Interrupted(Case):
    """Fault injection: a kill, or a full or failing disk, at each call that changes something on disk."""

    def faulted(self, at, do):
        return self.init(env=fault(at, do, "keyturn,keyturn-opener"))

    def finish(self, at, do):
        """What an operator does after a crash: the same command again, once the left-over recovery file is out of the way."""
        again = self.init()
        if again.returncode == 3 and not self.config.exists():
            self.assertIn(str(self.recovery), again.stderr, (at, do))
            self.recovery.rename(self.work / "left-over")
            again = self.init()
        if again.returncode == 3:
            self.assertTrue(self.config.exists(), (at, do, again.stderr))
        else:
            self.assertEqual(again.returncode, 0, (at, do, again.stderr))
        # Whichever run made the keyring in force, its recovery key is there and opens it.
        keys = [p for p in [self.recovery, self.work / "left-over"] if p.exists()]
        opened = [p for p in keys if self.keyturn("recovery", "verify", "--config", self.config, "--key-file", p).returncode == 0]
        self.assertEqual(len(opened), 1, (at, do, keys))
        self.assertTrue((self.dir / "state/floor").exists(), (at, do))
        self.assertFalse((self.dir / "state.init").exists(), (at, do))

    def clear(self):
        shutil.rmtree(self.work)
        self.work.mkdir()

    def walk(self, do):
        last = self.writes(lambda env: self.init(env=env), "keyturn,keyturn-opener")
        self.assertGreater(last, 60, "the fault library saw the writes")
        self.clear()
        statuses = set()
        for at in writes_to_walk(last):
            with self.subTest(at=at, do=do):
                run = self.faulted(at, do)
                statuses.add(run.returncode)
                if run.returncode > 0 and (self.dir / "state/keyring.yaml").exists():
                    self.assertEqual(run.returncode, 4, "incomplete: " + run.stderr)
                if run.returncode == 0:
                    self.expect(self.keyturn("recovery", "verify", "--config", self.config, "--key-file", self.recovery), 0)
                else:
                    self.finish(at, do)
            self.clear()
        return statuses

    def test_killed_before_each_write(self):
        self.walk("kill")

    def test_killed_after_each_write(self):
        self.walk("kill-after")

    def test_disk_full_at_each_write(self):
        self.assertEqual(self.walk("enospc"), {0, 1, 4})


if __name__ == "__main__":
    unittest.main(verbosity=2)
