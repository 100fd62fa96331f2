# SPDX-License-Identifier: Apache-2.0
"""Several nodes in private directories that share one keyring, with the recovery key at hand; each may have a daemon."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import BUILD, KEYTURN, Case, fault, writes_to_walk  # noqa: E402,F401

PATIENCE = 60
BOTH = "keyturn,keyturn-opener"


class Cluster(Case):
    """self.recovery is the recovery key in force; nodes are known by one letter, which is their directory too."""

    def setUp(self):
        super().setUp()
        self.daemons = {}
        self.addCleanup(self.stop_all)
        self.expect(self.keyturn("init", "--dir", self.work / "a", "--node", "a", "--yes", "--recovery-out", self.recovery,
                                 *self.founding()), 0)

    def founding(self):
        """More options of the first node's init."""
        return []

    def config_of(self, node):
        return self.work / node / "keyturn.yaml"

    def state_of(self, node):
        return self.work / node / "state"

    def keyring_of(self, node):
        return self.state_of(node) / "keyring.yaml"

    def on(self, node, *arguments, **more):
        return self.keyturn(*arguments, "--config", self.config_of(node), **more)

    def ok(self, node, *arguments, env=None):
        """What it printed as JSON."""
        return json.loads(self.expect(self.on(node, *arguments, "-o", "json", env=env), 0).stdout)

    def refused(self, node, *arguments, code, status=3, words=""):
        return self.expect(self.on(node, *arguments, "-o", "json"), status, code, words)

    # Enrolment

    def file(self, node, kind):
        return self.work / f"{node}.{kind}"

    def request(self, node, *more, env=None):
        run = self.keyturn("node", "request", "--dir", self.work / node, *([] if self.config_of(node).exists() else ["--node", node]),
                           "--out", self.file(node, "request"), "-o", "json", *more, env=env)
        return json.loads(self.expect(run, 0).stdout)["fingerprint"]

    def approve_arguments(self, node, fingerprint, *more):
        return ["node", "approve", self.file(node, "request"), "--fingerprint", fingerprint, "--key-file", self.recovery,
                "--out", self.file(node, "bundle"), *more]

    def approve(self, by, node, fingerprint, *more, env=None):
        return self.ok(by, *self.approve_arguments(node, fingerprint, *more), env=env)["fingerprint"]

    def install(self, node, owner, env=None, bundle=None):
        return self.keyturn("node", "install", bundle or self.file(node, "bundle"), "--dir", self.work / node, "--fingerprint", owner,
                            "-o", "json", env=env)

    def join(self, node, by="a", *more, ask=()):
        fingerprint = self.request(node, *ask)
        owner = self.approve(by, node, fingerprint, *more)
        return json.loads(self.expect(self.install(node, owner), 0).stdout)

    # What a node has

    def info(self, node):
        """keyring show, of a node that may have no daemon."""
        return self.ok(node, "keyring", "show")

    def numbers(self, node):
        shown = self.info(node)["keyring"]
        return shown["membership"], shown["generation"]

    def names(self, node):
        return sorted(n["name"] for n in self.ok(node, "node", "list")["nodes"])

    def opens(self, node, keyring=None):
        """This node's private half opens that keyring (its own); nothing is changed."""
        return self.on(node, "keyring", "offer", keyring or self.keyring_of(node), "--dry-run").returncode == 0

    def offer(self, to, of):
        return self.on(to, "keyring", "offer", self.keyring_of(of), "-o", "json")

    def edit(self, node, *edits, out=None):
        """The next generation, written with this node's key."""
        out = out or self.work / "next.yaml"
        run = subprocess.run([BUILD / "tests/make_state", "edit", self.work / node, out, *edits], capture_output=True, text=True,
                             env={**os.environ, "KEYTURN_BUILD": str(BUILD)})
        return out if run.returncode == 0 else run

    def generations(self, node, n):
        """So many more, one after the other, in force there."""
        for i in range(n):
            self.expect(self.on(node, "keyring", "offer", self.edit(node, "enabled", "false" if i % 2 == 0 else "true")), 0)

    # Daemons

    def start(self, node, serving=True):
        log = open(self.work / f"{node}.log", "ab")
        self.daemons[node] = subprocess.Popen([BUILD / "sbin/keyturnd", "--config", self.config_of(node)], stdout=log, stderr=log,
                                              start_new_session=True)
        log.close()
        if serving:
            self.expect(self.on(node, "status", "--wait", str(PATIENCE)), 0)
            return
        end = time.monotonic() + PATIENCE
        while self.on(node, "status").returncode == 7:
            self.assertLess(time.monotonic(), end, (self.work / f"{node}.log").read_text())
            time.sleep(0.05)

    def stop(self, node):
        process = self.daemons.pop(node)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0, (self.work / f"{node}.log").read_text())

    def stop_all(self):
        for process in self.daemons.values():
            process.kill()
            process.wait()

    def serves(self, node):
        """key_id and numbers of what the daemon serves."""
        run = self.on(node, "status", "-o", "json")
        status = json.loads(run.stdout)
        self.assertEqual(status["daemon"]["healthz"], "ok", run.stdout + run.stderr)
        self.expect(self.on(node, "probe"), 0)
        return status["daemon"]["keyId"], status["keyring"]["membership"], status["keyring"]["generation"]

    # Audit logs

    def log_of(self, node):
        return self.state_of(node) / "audit.log"

    def lines(self, node):
        return [json.loads(row) for row in self.log_of(node).read_text().splitlines()]

    def verify(self, node, *more):
        return self.on(node, "audit", "verify", "-o", "json", *more)

    def damage(self, node, *more):
        """What verify finds, as (kind, row); it has a finding or it fails."""
        run = self.expect(self.verify(node, *more), 8, "FOUND")
        return [(f["kind"], f["row"]) for f in json.loads(run.stdout)["findings"]]

    def logs_verify(self):
        """On each node that has joined; but for one whose new founding owner has no keyring in force yet."""
        for config in sorted(self.work.glob("?/keyturn.yaml")):
            run = self.verify(config.parent.name)
            if run.returncode != 6 or json.loads(run.stderr)["error"]["code"] != "KEYRING_OWNER":
                self.expect(run, 0)

    def offer_again(self):
        """What a full disk has left out is done where what is in force is offered again."""
        for config in sorted(self.work.glob("?/keyturn.yaml")):
            self.expect(self.offer(config.parent.name, config.parent.name), 0)

    # Walks through every write of a command

    def restore(self, saved):
        shutil.rmtree(self.work)
        shutil.copytree(saved, self.work, symlinks=True)

    def walk(self, command, check, least):
        """command(env) killed before each of its writes in turn, and after the last, and with a full disk at each; after each,
        check(run) is what an operator does. A kill leaves audit logs that verify, and so does that. The directory is as
        before in the end."""
        saved = self.work.with_name(self.work.name + ".saved")
        shutil.copytree(self.work, saved, symlinks=True)
        self.addCleanup(shutil.rmtree, saved, ignore_errors=True)
        last = self.writes(command, BOTH)
        self.assertGreater(last, least, "the fault library saw the writes")
        faults = [(at, do) for do in ["kill", "enospc"] for at in writes_to_walk(last)] + [(last, "kill-after")]
        for at, do in faults:
            self.restore(saved)
            with self.subTest(at=at, do=do):
                run = command(fault(at, do, BOTH))
                if do != "enospc":
                    self.logs_verify()
                check(run)
                if do == "enospc":
                    self.offer_again()
                self.logs_verify()
        self.restore(saved)
        shutil.rmtree(saved)


class Recovers(Cluster):
    def lose_key(self, node):
        (self.state_of(node) / "opener/node.key").unlink()

    def use(self, node, *more, env=None):
        return self.keyturn("recovery", "use", "--dir", self.work / node, "--key-file", self.recovery, "--yes", "-o", "json", *more, env=env)

    def replace(self, node, to, *more, old=None):
        new = self.work / to
        run = self.on(node, "recovery", "replace", "--yes", "--recovery-out", new, "-o", "json",
                      *(["--key-file", old or self.recovery] if "--lost" not in more else []), *more)
        return new, run

    def replaced(self, node, to, *more):
        """Done, and the new key is the one in force."""
        new, run = self.replace(node, to, *more)
        self.recovery = new if self.expect(run, 0) else None
        self.expect(self.on(node, "recovery", "verify", "--key-file", self.recovery), 0)
        return json.loads(run.stdout)

    def set_owner(self, node, owner):
        lines = self.config_of(node).read_text().splitlines(keepends=True)
        self.config_of(node).write_text("".join(f"owner: {owner}\n" if line.startswith("owner:") else line for line in lines))

    def archive_a_key(self):
        """One key in the archive of a's keyring."""
        first = self.info("a")["keys"][0]["id"]
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "add", "second")), 0)
        second = self.info("a")["keys"][1]["id"]
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "activate", second, "state", first, "retiring")), 0)
        self.expect(self.on("a", "keyring", "offer", self.edit("a", "--later", "90000", "archive", first)), 0)
