#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn at a terminal: what is typed, what is shown of it, what commands say to type next, and two admins at once."""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from installed import Installed, install  # noqa: E402
from program import PATIENCE, SOURCE, Terminal, shown_key, until  # noqa: E402

setUpModule = install
ASKS = b"[y/N] "
KEY = b"Recovery key: "
PAPER = b"from your paper: "


def echoes(terminal):
    return bool(termios.tcgetattr(terminal.fd)[3] & termios.ECHO)


class RecoveryVerify(Installed):
    def setUp(self):
        super().setUp()
        self.found()
        self.key = self.recovery.read_text().strip()

    def ask(self, *more):
        return Terminal(self.program, "recovery", "verify", "--config", self.config, *more)

    def test_typed_right_it_opens_and_is_not_shown(self):
        for typed in (self.key, self.key.lower(), self.key.replace("-", " ")):
            with self.subTest(typed=typed), self.ask() as terminal:
                terminal.until(KEY)
                self.assertFalse(echoes(terminal))
                terminal.type(typed)
                self.assertEqual(terminal.end(), 0, terminal.seen)
                self.assertIn(b"opens keyring generation 1", terminal.seen)
                self.assertNotIn(typed.encode()[:9], terminal.seen)
                self.assertTrue(echoes(terminal))

    def test_typed_wrong_it_is_not_shown_either(self):
        for typed in (self.key[:-1] + ("0" if self.key[-1] != "0" else "1"), self.key[:-5], self.key + "-AAAA", "a pass phrase", ""):
            with self.subTest(typed=typed), self.ask("-o", "json") as terminal:
                terminal.until(KEY)
                terminal.type(typed)
                self.assertEqual(terminal.end(), 6, terminal.seen)
                error = json.loads(terminal.seen[terminal.told:])["error"]
                self.assertEqual(error["code"], "RECOVERY_KEY")
                self.assertFalse(typed and typed[:9].encode() in terminal.seen)
                self.assertTrue(echoes(terminal))

    def test_interrupted_the_terminal_is_as_before(self):
        for sent, number in (("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT)):
            with self.subTest(number=number), self.ask() as terminal:
                terminal.until(KEY)
                terminal.type(self.key[:20], end="")
                until(lambda: terminal.type(sent, end="") or terminal.ended(), "it is interrupted")
                self.assertEqual(terminal.end(), -number, terminal.seen)
                self.assertTrue(echoes(terminal))

    def test_end_of_file_is_no_key(self):
        with self.ask() as terminal:
            terminal.until(KEY)
            terminal.type("\x04", end="")
            self.assertEqual(terminal.end(), 6, terminal.seen)


class Confirms(Installed):
    """Without --yes, init asks."""

    def ask(self, *more):
        return Terminal(self.program, "init", "--dir", self.dir, *more)

    def test_yes(self):
        for answer in ("y", "Y", "yes"):
            with self.subTest(answer=answer), self.ask("--recovery-out", self.recovery) as terminal:
                asked = terminal.until(ASKS).decode()
                self.assertIn(str(self.dir / "state"), asked)
                self.assertIn(str(self.config), asked)
                self.assertFalse(self.config.exists())
                terminal.type(answer)
                self.assertEqual(terminal.end(), 0, terminal.seen)
                self.expect(self.here("recovery", "verify", "--key-file", self.recovery), 0)
            self.config.unlink()
            (self.dir / "state").rename(self.work / f"state.{answer}")
            self.recovery.unlink()

    def test_anything_else_is_no(self):
        for answer in ("", "n", "N", "no", "1", "ja", "\x04"):
            with self.subTest(answer=answer), self.ask("--recovery-out", self.recovery, "-o", "json") as terminal:
                terminal.until(ASKS)
                terminal.type(answer)
                self.assertEqual(terminal.end(), 3, terminal.seen)
                self.assertEqual(json.loads(terminal.seen[terminal.seen.index(b"{"):])["error"]["code"], "REFUSED")
                self.assertEqual(self.files(), {})

    def test_asked_shown_and_typed(self):
        with self.ask() as terminal:
            terminal.until(ASKS)
            terminal.type("y")
            terminal.until(PAPER)
            key = shown_key(terminal)
            terminal.type(key)
            self.assertEqual(terminal.end(), 0, terminal.seen)
            self.assertEqual(terminal.seen.count(key.encode()), 1, "shown once")
        self.expect(self.here("recovery", "verify", "--key-file", "-", stdin=key), 0)
        self.assertFalse(any(key.encode() in data for data in self.files().values()))

    def test_two_at_once(self):
        """While the first is typing, the second is told so; the first is not disturbed."""
        with Terminal(self.program, "init", "--dir", self.dir, "--yes") as terminal:
            terminal.until(PAPER)
            self.fails(5, "BUSY", "init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery)
            self.assertFalse(self.recovery.exists())
            key = shown_key(terminal)
            terminal.type(key)
            self.assertEqual(terminal.end(), 0, terminal.seen)
        self.fails(3, "EXISTS", "init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery)
        self.expect(self.here("recovery", "verify", "--key-file", "-", stdin=key), 0)


class Next(Installed):
    """What init, other commands and errors say to type, typed into a shell: it works, whatever the names are."""

    STRANGE = "it's&a;$(touch x)`touch y`|b*"
    IN_URIS = "it's&a;(b)$HOME*~!=:"  # what the path of a socket may have

    def place(self, name):
        self.dir = self.work / name
        self.config = self.dir / "keyturn.yaml"

    def next_in(self, said):
        return [line.strip() for line in said.split("\nNext:\n")[1].splitlines()]

    def lines(self):
        return self.next_in(self.expect(self.init(), 0).stdout)

    def typed(self, *lines):
        path = f"{self.prefix}/bin:{self.prefix}/sbin:{os.environ['PATH']}"
        run = subprocess.run(["bash", "-c", "\n".join(["set -e", *lines])], cwd=self.work, env={**os.environ, "PATH": path},
                             capture_output=True, text=True, timeout=2 * PATIENCE)
        return self.expect(run, 0).stdout

    def served(self, serve, configure):
        """What `configure` says, typed after `serve`."""
        config = shlex.quote(str(self.config))
        (self.work / "encryption-config.yaml").unlink(missing_ok=True)
        self.typed(serve, "trap 'kill $!' EXIT", f"keyturn status --wait {PATIENCE} --config {config} >&2", configure,
                          f"keyturn probe --config {config} >&2", "trap - EXIT", "kill $!", "wait $!")
        return (self.work / "encryption-config.yaml").read_text()

    def test_typed_into_a_shell(self):
        for name in ["d", self.IN_URIS]:
            with self.subTest(name):
                self.place(name)
                self.recovery.unlink(missing_ok=True)
                serve, configure, point = self.lines()
                written = self.served(serve, configure)
                self.assertIn(f"{self.dir}/run/kms/kms.sock", written.replace("''", "'"))
                self.assertRegex(point, r"^kube-apiserver \.\.\. ")

    def confirmed(self, command):
        with Terminal("/bin/bash", "-c", f"cd {self.work} && PATH={self.prefix}/bin:$PATH && {command}") as terminal:
            terminal.until(ASKS)
            terminal.type("y")
            self.assertEqual(terminal.end(), 0, terminal.seen)
            return terminal.seen.decode().replace("\r", "")

    def test_of_a_node_that_joins(self):
        self.found()
        first = self.config
        self.place(self.IN_URIS)
        said = self.expect(self.keyturn("node", "request", "--dir", self.dir, "--node", "b", "--out", "-b&", cwd=self.work), 0).stdout
        approve, _, install = [line.strip() for line in said.split("\nNext, ")[1].splitlines()[1:]]
        self.confirmed(f"{approve} --config {first} --key-file recovery --out 'the bundle'")
        serve, configure = self.next_in(self.confirmed(install.replace("BUNDLE", "'the bundle'")))
        self.assertIn("kind: EncryptionConfiguration", self.served(serve, configure))

    def test_hints_of_errors(self):
        """In words and as JSON; typed, they do what they say."""
        for name in [self.STRANGE, "a b\n\033[2J\udcff", "-d", ""]:
            where = self.work / "x y" / name
            for more in [[], ["-o", "json"]]:
                with self.subTest(name=name, more=more):
                    run = self.expect(self.keyturn("init", "--dir", where / "d", "--yes", "--recovery-out", self.recovery, *more), 1)
                    self.assertNotIn("\033", run.stderr)
                    self.typed(json.loads(run.stderr)["error"]["hint"] if more else run.stderr.splitlines()[-1].strip())
                    self.assertTrue(where.is_dir())
                    self.assertFalse([n for n in "xy" if (self.work / n).exists()])
                    shutil.rmtree(self.work / "x y")

    def test_kube_apiserver_has_the_options_that_are_named(self):
        """tests/e2e starts a real one with the file of `keyturn config show` and these very options."""
        real = (SOURCE / "tests/e2e/cluster.py").read_text()
        named = re.findall(r"--[a-z-]+(?:=true)?", self.lines()[2])
        self.assertEqual(len(named), 2)
        for option in named:
            self.assertIn(f'"{option}', real)


if __name__ == "__main__":
    unittest.main(verbosity=2)
