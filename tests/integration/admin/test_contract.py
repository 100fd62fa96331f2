#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What outside programs rely on, from the first release on: where things are installed, which configuration is read, what init
makes, how the daemon is started, told and stopped, and the fields of status."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from installed import STATUS, Installed, install, misfit, stopped  # noqa: E402
from program import BUILD, SOURCE, until  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from kms_peer import ACK, PING, Closed, Peer, field, frame, request  # noqa: E402

setUpModule = install

SOCKETS = ["run/kms/kms.sock", "run/control.sock"]
MADE = {"keyturn.yaml", "run", "run/kms", "state", "state/audit.log", "state/floor", "state/keyring.yaml", "state/lock", "state/opener",
        "state/opener/node.key"}  # keyturnd(8), FILES
SERVING = {"state/usage", "run/metrics.sock", "run/metrics.sock.lock", *SOCKETS, *(path + ".lock" for path in SOCKETS)}


class Patient(Peer):
    """Reads what is there to read, though nobody listens to it any more."""

    def send(self, data):
        with contextlib.suppress(Closed):
            super().send(data)


class Contract(Installed):
    def names(self):
        return {str(p.relative_to(self.dir)) for p in self.dir.rglob("*")}


class Layout(Installed):
    def test_programs_are_where_they_are_promised(self):
        built = {path.name for path in (BUILD / "libexec/keyturn").iterdir()}
        self.assertEqual(built, {f"keyturn-{role}" for role in ("front", "keeper", "opener", "exporter")})
        self.assertEqual({path.name for path in (self.prefix / "libexec/keyturn").iterdir()}, built)
        for path in ["bin/keyturn", "bin/kubectl-keyturn", "sbin/keyturnd", *(f"libexec/keyturn/{name}" for name in built)]:
            self.assertTrue(os.access(self.prefix / path, os.X_OK) and (self.prefix / path).is_file(), path)

    def test_from_nothing_to_a_served_key(self):
        self.found()
        with self.serving():
            self.expect(self.here("status", "--wait", 5), 0)
            self.expect(self.here("probe"), 0)
            self.program = self.prefix / "bin/kubectl-keyturn"
            self.expect(self.here("probe"), 0)
            self.expect(self.here("keyring", "offer", self.dir / "state/keyring.yaml"), 0)

    def test_moved_elsewhere_they_use_what_was_moved_with_them(self):
        self.found()
        moved = self.work / "moved"
        shutil.copytree(self.prefix, moved, symlinks=True)
        self.program = moved / "bin/keyturn"
        self.expect(self.here("key", "list"), 0)
        (moved / "libexec/keyturn/keyturn-opener").unlink()
        self.expect(self.here("key", "list", "-o", "json"), 2, "CONFIG", "libexec/keyturn/keyturn-opener")


class WhichConfiguration(Installed):
    """--config, else KEYTURN_CONFIG, else /etc/keyturn/keyturn.yaml; keyturn and keyturnd alike."""
    DEFAULT = "/etc/keyturn/keyturn.yaml"

    def setUp(self):
        super().setUp()
        self.found()
        self.named = {}
        for name in ("option", "environment"):
            self.named[name] = self.work / f"{name}.yaml"
            self.named[name].write_text(self.config.read_text().replace('provider: "keyturn"', f'provider: "by-{name}"'))

    def run_both(self, words, environment):
        env = {name: value for name, value in os.environ.items() if name != "KEYTURN_CONFIG"} | environment
        for command in ([self.program, "config", "show"], [self.daemon, "--check"]):
            yield subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, env=env)

    def test_precedence(self):
        option, environment = ["--config", self.named["option"]], {"KEYTURN_CONFIG": str(self.named["environment"])}
        for words, env, which in [(option, environment, "option"), (option, {}, "option"), ([], environment, "environment"),
                                  (option, {"KEYTURN_CONFIG": "/nonexistent"}, "option")]:
            for run in self.run_both(words, env):
                with self.subTest(program=run.args[0].name, which=which):
                    self.expect(run, 0)
                    self.assertRegex(run.stdout, rf'(name|provider): "?by-{which}"?\n')

    def test_a_name_that_is_given_and_wrong_is_not_passed_over(self):
        for words, env in [(["--config", "/nonexistent"], {"KEYTURN_CONFIG": str(self.config)}), ([], {"KEYTURN_CONFIG": "/nonexistent"})]:
            for run in self.run_both(words, env):
                self.assertIn("/nonexistent", self.expect(run, 2).stderr)

    def test_default(self):
        for env in ({}, {"KEYTURN_CONFIG": ""}):
            for run, named in zip(self.run_both([], env), self.run_both(["--config", self.DEFAULT], {})):
                self.assertEqual((run.returncode, run.stdout, run.stderr), (named.returncode, named.stdout, named.stderr))
                if not os.path.exists(self.DEFAULT):
                    self.assertIn(self.DEFAULT, self.expect(run, 2).stderr)


class Init(Contract):
    def test_makes_what_is_named_and_the_daemon_its_sockets(self):
        self.found()
        self.assertEqual(self.names(), MADE)
        with self.serving():
            self.assertEqual(self.names(), MADE | SERVING)
            for path in SOCKETS:
                self.assertTrue(stat.S_ISSOCK((self.dir / path).stat().st_mode), path)
        self.assertEqual([path for path in SERVING if path.endswith(".sock") and (self.dir / path).exists()], [])
        self.assertEqual({p.name for p in self.work.iterdir()}, {"d", "recovery", "keyturnd.log"})

    def test_again_is_refused_and_changes_nothing(self):
        self.found()
        for more in [["--yes", "--recovery-out", self.recovery], ["--yes", "--recovery-out", self.work / "other"], ["--yes"], [],
                     ["--yes", "--dry-run"], ["--yes", "--force", "--recovery-out", self.work / "other"]]:
            with self.subTest(more=more):
                before = self.tree()
                self.fails(3, "EXISTS", "init", "--dir", self.dir, *more)
                self.assertEqual(self.tree(), before)

    def test_without_a_terminal_it_takes_options(self):
        for more in [["--yes"], [], ["--recovery-out", self.recovery]]:
            self.fails(2, "USAGE", "init", "--dir", self.dir, *more)
            self.assertEqual(self.files(), {})

    def test_what_it_takes_and_what_a_later_release_takes(self):
        # A TPM that nobody has: what is wrong with one is told by tests/integration/tpm.
        run = self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, "--tpm", "--tcti",
                           f"swtpm:path={self.work}/none")
        self.expect(run, 7)
        self.assertFalse(self.dir.exists())
        for provider in ("aescbc", "secretbox"):
            run = self.keyturn("init", "--dir", self.dir, "--yes", "--recovery-out", self.recovery, "--provider", provider, "--dry-run")
            self.expect(run, 0)
            self.assertFalse(self.dir.exists())
        self.expect(self.init("--provider", "kms", "--allow-uid", "4711", "--allow-uid", "4712"), 0)
        self.assertRegex(self.config.read_text(), r"uids: \[\d+, 4711, 4712\]")


class Keyturnd(Contract):
    def setUp(self):
        super().setUp()
        self.found()

    def check(self, path):
        return subprocess.run([self.daemon, "--config", path, "--check"], capture_output=True, text=True, timeout=60)

    def test_check_prints_the_effective_configuration(self):
        least = self.work / "least.yaml"
        least.write_text("".join(re.findall(r"(?m)^(?:apiVersion|kind|node|owner):.*\n", self.config.read_text())))
        effective = self.expect(self.check(least), 0).stdout
        fields = re.findall(r'KT_FIELD\("([A-Za-z.]+)"', (SOURCE / "keystore/config.def").read_text())
        self.assertGreater(len(fields), 20)
        for name in fields:
            self.assertRegex(effective, rf"(?m)^ *{name.rsplit('.', 1)[-1]}:", name)
        again = self.work / "again.yaml"
        again.write_text(effective)
        self.assertEqual(self.expect(self.check(again), 0).stdout, effective)
        self.assertEqual(self.names(), MADE, "it starts nothing")

    def test_check_of_what_is_not_valid(self):
        for text in ["", "{", self.config.read_text() + "surplus: 1\n", self.config.read_text().replace("uids: [", "uids: [x")]:
            (self.work / "bad.yaml").write_text(text)
            run = self.expect(self.check(self.work / "bad.yaml"), 2)
            self.assertEqual(run.stdout, "")
            self.assertIn("bad.yaml", run.stderr)

    def processes(self):
        return {p["role"]: p["pid"] for p in self.status()["daemon"]["processes"] if p["pid"]}

    def test_term_drains(self):
        """A call that has come is answered, though the keeper is not there yet; then all end."""
        with self.serving() as process, Patient(str(self.dir / "run/kms/kms.sock")) as peer:
            pids, key_id = self.processes(), self.json("key", "list")["keys"][0]["id"]
            with stopped(pids["keeper"]):
                call = request(1, "Encrypt", field(1, os.urandom(32)) + field(2, "uid"), timeout="50S")
                peer.send(call + frame(PING, body=b"has it?!"))
                until(lambda: peer.next_frame(time.monotonic() + 50)[:2] == (PING, ACK), "the call has come")
                process.terminate()
                until(lambda: "event=drain" in self.log(), "the front drains")
            self.assertEqual(peer.finish(1, time.monotonic() + 50)[2][0].decode(), key_id)
            self.assertEqual(process.wait(60), 0)
        self.assertEqual([pid for pid in pids.values() if os.path.exists(f"/proc/{pid}")], [])
        self.assertFalse(any((self.dir / path).exists() for path in SOCKETS))

    def hup(self, process, condition, what):
        process.send_signal(signal.SIGHUP)
        until(condition, what)

    def test_hup_rereads_the_configuration(self):
        text = self.config.read_text()
        with self.serving() as process:
            self.config.write_text(text.replace(f"uids: [{os.geteuid()}]", "uids: [4711]", 1))
            self.expect(self.here("probe"), 0)
            self.hup(process, lambda: self.here("probe").returncode == 7, "the caller is not allowed any more")
            self.config.write_text(text)
            self.hup(process, lambda: self.here("probe").returncode == 0, "the caller is allowed again")

    def generation(self):
        return json.loads(self.here("status", "-o", "json").stdout)["daemon"]["generation"]

    def test_hup_rereads_the_keyring(self):
        newer = self.edit(self.work / "2.yaml", "add", "second")
        with self.serving() as process:
            shutil.copyfile(newer, self.dir / "state/keyring.yaml")
            self.assertEqual(self.generation(), 1)
            self.hup(process, lambda: self.generation() == 2, "the newer generation is served")
            self.expect(self.here("probe"), 0)


class Status(Installed):
    def setUp(self):
        super().setUp()
        self.found()

    def wait(self, seconds):
        return subprocess.Popen([self.program, "status", "--wait", str(seconds), "--config", self.config], stdout=subprocess.DEVNULL,
                                start_new_session=True)

    def test_waits_for_a_daemon_that_comes(self):
        with self.silent(self.dir / "run/control.sock") as nobody:
            nobody.settimeout(60)
            waiting = self.wait(300)
            self.addCleanup(waiting.kill)
            for _ in range(2):  # it has looked, and looks again
                nobody.accept()[0].close()
        with self.serving(wait=False):
            self.assertEqual(waiting.wait(60), 0)
            self.assertEqual(self.wait(300).wait(60), 0, "one that is there is not waited for")

    def test_waits_no_longer_than_that(self):
        start = time.monotonic()
        self.expect(self.here("status", "--wait", 1), 7)
        self.assertTrue(1 <= time.monotonic() - start < 30)
        for bad in ["-1", "1.5", "soon", "", "3601"]:
            self.fails(2, "USAGE", "status", "--wait", bad, "--config", self.config)

    def test_fields_with_and_without_a_daemon(self):
        down = self.status(7, "UNREACHABLE")
        with self.serving():
            self.edit(self.work / "2.yaml", "add", "second")
            self.expect(self.here("keyring", "offer", self.work / "2.yaml"), 0)
            up = self.status()
        for value in (down, up):
            self.assertEqual(misfit(value, STATUS, "status"), None)
            self.assertEqual((value["apiVersion"], value["kind"]), ("keyturn.dev/v1", "Status"))
            self.assertEqual((value["enable"], value["stage"], value["activekey"]), (True, "start", "KMS-v2 kmskey"))
        self.assertEqual((down["daemon"]["reachable"], down["daemon"]["processes"], down["inactivekeys"]), (False, [], []))
        self.assertEqual((up["daemon"]["reachable"], up["daemon"]["healthz"], up["daemon"]["generation"]), (True, "ok", 2))
        self.assertEqual((up["inactivekeys"], [key["active"] for key in up["keys"]]), (["KMS-v2 second"], [True, False]))
        self.assertEqual(up["daemon"]["keyId"], up["keys"][0]["id"])
        self.assertLessEqual({"supervisor", "front", "keeper", "exporter"}, {p["role"] for p in up["daemon"]["processes"]})
        self.assertRegex(up["keys"][0]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
