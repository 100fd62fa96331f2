#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturn on a machine with systemd: installed, enabled, crashed, reloaded, rebooted, as an operator or fate would do it."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import machine
from harness import SOURCE, Case, Missing, Pid, go, main, proved, wait_for
from swtpm import SimulatedTpm

SERVICE = "keyturnd.service"
SOCKETS = ("keyturnd-kms.socket", "keyturnd-control.socket")
UNITS = (*SOCKETS, SERVICE)
BY_TIMER = ("keyturn-retire", "keyturn-rotate-keys")
KMS_DIR = "/run/keyturn/kms"
KMS_SOCKET = KMS_DIR + "/kms.sock"
CONTROL_SOCKET = "/run/keyturn/control.sock"
CONFIG = "/etc/keyturn/keyturn.yaml"
STATE_DIR = "/var/lib/keyturn"
NODE_KEY = STATE_DIR + "/opener/node.key"
TPM_SOCKET = "/run/tpm.sock"
ACCOUNTS = {"front": "keyturn-front", "keeper": "keyturn", "exporter": "keyturn-exporter"}
STRANGER = 23456  # a uid that nothing allows
# systemd-analyze security, in tenths: 0 is the best. Root and its five capabilities are what is left.
EXPOSURE_MAX = 25
CLIENT = "/opt/conformance.test"
# systemd starts it again once nothing of before is left.
KILLED_AND_BACK = """before=$(systemctl show --property=MainPID keyturnd)
systemctl kill --signal=KILL --kill-who={} keyturnd
until now=$(systemctl show --property=MainPID keyturnd) && [ "$now" != "$before" ] && [ "$now" != MainPID=0 ]; do
    sleep 0.02
done"""
RESTARTS = {
    "systemctl restart": "systemctl restart keyturnd",
    "kill -9 of the supervisor": KILLED_AND_BACK.format("main"),
    "kill -9 of everything": KILLED_AND_BACK.format("all"),
}
# The socket's folder is bound elsewhere, as into a container, and cannot be seen where it was.
IN_CONTAINER = f"""set -eu
mkdir -p /mnt/kms
mount --bind {KMS_DIR} /mnt/kms
mount -t tmpfs -o mode=755 tmpfs /run/keyturn
exec "$@"
"""


def build_client(into):
    subprocess.run([go(), "test", "-c", "-o", into, "."], cwd=SOURCE / "tests" / "conformance", check=True,
                   env=dict(os.environ, CGO_ENABLED="0"))


def proc_status(pid):
    """/proc/PID/status: one-line fields, split."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


class Units(Case):
    """Each test begins and ends with a machine that serves."""

    @classmethod
    def prepare(cls):
        cls.machine = machine.Machine(machine.tree(), cls.workspace.path / "m")
        cls.workspace.on_close(cls.machine.cut_power)
        cls.machine.boot().install()
        for command in ("systemd-sysusers", "systemd-tmpfiles --create", "systemctl daemon-reload",
                        "keyturn init --yes --recovery-out /root/recovery-key",
                        f"systemctl enable --now {' '.join(UNITS)}"):
            cls.machine.run(*command.split())
        cls.key_id = cls.wait_serving()["daemon"]["keyId"]

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) != before and self.machine.pid1:
            journal = self.machine.run("journalctl", "--boot", "--no-pager", "--lines=60", "--unit=keyturnd*", check=False)
            print(journal.stdout, file=sys.stderr)
        return result

    # What an operator sees.

    @classmethod
    def keyturn(cls, *words, check=False):
        return cls.machine.run("keyturn", *words, "-o", "json", check=check)

    @classmethod
    def status(cls):
        return json.loads(cls.keyturn("status").stdout)

    @classmethod
    def wait_serving(cls):
        """The status, once all is well: healthz and all processes."""
        def serving():
            status = cls.status()
            roles = {p["role"] for p in status["daemon"]["processes"] if p["pid"]}
            return status["daemon"]["healthz"] == "ok" and roles >= {"supervisor", *ACCOUNTS} and status
        return wait_for("keyturnd serves", serving, 30)

    def processes(self):
        return {p["role"]: p for p in self.wait_serving()["daemon"]["processes"]}

    def outer_pids(self):
        """Role to pid as seen from outside."""
        outer = {int(proc_status(pid)["NSpid"][-1]): pid for pid in self.machine.pids_of(SERVICE)}
        return {role: outer[p["pid"]] for role, p in self.processes().items() if p["pid"] in outer}

    def assert_serves(self):
        self.assertEqual(self.wait_serving()["daemon"]["keyId"], self.key_id)
        probe = self.keyturn("probe")
        self.assertEqual(probe.returncode, 0, probe.stdout + probe.stderr)
        self.assertEqual(self.machine.unit(SERVICE)["SubState"], "running")

    def socket_inodes(self):
        return [self.machine.path(path).stat().st_ino for path in (KMS_DIR, KMS_SOCKET, CONTROL_SOCKET)]

    def kill(self, role, number=signal.SIGKILL):
        """Sends the signal, and returns a hold on the process."""
        one = Pid(self.outer_pids()[role])
        self.addCleanup(one.close)
        one.kill(number)
        return one

    def uid_of(self, account):
        return int(self.machine.run("id", "--user", account).stdout)

    # The units themselves.

    def test_without_a_keyring_nothing_starts_and_nothing_fails(self):
        self.machine.run("systemctl", "stop", *UNITS)
        self.machine.run("mv", CONFIG, CONFIG + ".aside")
        try:
            self.machine.run("systemctl", "start", *UNITS)
            for unit in UNITS:
                shown = self.machine.unit(unit)
                state = (shown["ActiveState"], shown["Result"], shown["ConditionResult"])
                self.assertEqual(state, ("inactive", "success", "no"), unit)
        finally:
            self.machine.run("mv", CONFIG + ".aside", CONFIG)
            self.machine.run("systemctl", "start", *UNITS)
        self.assert_serves()

    def test_units_are_well_formed(self):
        units = [*UNITS, *(f"{name}.{kind}" for name in BY_TIMER for kind in ("service", "timer"))]
        paths = [f"/usr/lib/systemd/system/{unit}" for unit in units]
        verify = self.machine.run("systemd-analyze", "verify", "--man=no", *paths, check=False)
        self.assertEqual((verify.returncode, verify.stdout + verify.stderr), (0, ""))
        journal = self.machine.run("journalctl", "--boot", "--no-pager", "--output=cat", "_PID=1").stdout
        complaints = [line for line in journal.splitlines() if re.search(r"keyturn[\w-]*\.(service|socket|timer):\d+:", line)]
        self.assertEqual(complaints, [], "systemd complains of a unit")

    def test_timers(self):
        """Nobody enables them but an admin; where nothing is due, each ends at once and well."""
        for name in BY_TIMER:
            self.assertEqual(self.machine.unit(f"{name}.timer")["UnitFileState"], "disabled")
            self.machine.run("systemctl", "enable", "--now", f"{name}.timer")
            self.machine.run("systemctl", "start", f"{name}.service")
            shown = self.machine.unit(f"{name}.service")
            self.assertEqual((shown["Result"], shown["ExecMainStatus"]), ("success", "0"), name)
            self.assertEqual(self.machine.unit(f"{name}.timer")["ActiveState"], "active")
            self.machine.run("systemctl", "disable", "--now", f"{name}.timer")
        self.assert_serves()

    def test_exposure(self):
        rows = json.loads(self.machine.run("systemd-analyze", "security", "--no-pager", "--json=short", SERVICE).stdout)
        summary = self.machine.run("systemd-analyze", "security", "--no-pager", SERVICE).stdout.splitlines()[-1]
        tenths = int("".join(filter(str.isdigit, summary.split(":")[1].split()[0])))
        print("\n".join(f"  {row['exposure']:>4} {row['description']}" for row in rows if row.get("exposure")))
        self.assertLessEqual(tenths, EXPOSURE_MAX, summary)
        proved(summary.strip())

    def test_active_and_ready(self):
        for unit in UNITS:
            shown = self.machine.unit(unit)
            state = (shown["ActiveState"], shown["UnitFileState"], shown["Result"])
            self.assertEqual(state, ("active", "enabled", "success"), unit)
        service = self.machine.unit(SERVICE)
        self.assertEqual((service["Type"], service["SubState"], service["NRestarts"]), ("notify", "running", "0"))
        self.assertNotEqual(service["StatusText"], "", "nothing was said with sd_notify")
        self.assertEqual(self.machine.run("systemctl", "is-system-running").stdout.strip(), "running")
        self.assertEqual(self.status()["daemon"]["processes"][0]["pid"], int(service["MainPID"]))
        proved(f"units active, READY, status: {service['StatusText']}")

    def test_never_in_the_way_of_a_boot(self):
        service = self.machine.unit(SERVICE)
        self.assertGreaterEqual(set(service["Before"].split()), {"kubelet.service", "k3s.service", "rke2-server.service"})
        for unit in UNITS:
            shown = self.machine.unit(unit)
            for hold in ("RequiredBy", "RequisiteOf", "BoundBy"):
                self.assertEqual(shown.get(hold, ""), "", f"{unit} {hold}")

    # Who runs, and what they may.

    def test_each_process_under_an_account_of_its_own(self):
        pids = self.outer_pids()
        expected = {role: self.uid_of(account) for role, account in ACCOUNTS.items()}
        self.assertEqual(len({0, *expected.values()}), 1 + len(expected))
        for role, uid in expected.items():
            self.assertEqual(proc_status(pids[role])["Uid"], [str(uid)] * 4, role)
            self.assertEqual(proc_status(pids[role])["Gid"], [str(self.gid_of(ACCOUNTS[role]))] * 4, role)
        as_root = [pid for pid in self.machine.pids_of(SERVICE) if "0" in proc_status(pid)["Uid"]]
        self.assertEqual(as_root, [pids["supervisor"]])
        folder = self.machine.path(NODE_KEY).parent.stat()
        self.assertEqual((folder.st_uid, folder.st_mode & 0o7777), (self.uid_of("keyturn-opener"), 0o700))
        self.assertNotIn(folder.st_uid, {0, *expected.values()})
        proved(f"accounts {expected}, opener {folder.st_uid}, root for the supervisor alone")

    def gid_of(self, account):
        return int(self.machine.run("id", "--group", account).stdout)

    def test_children_are_shut_in(self):
        pids = self.outer_pids()
        above = int(proc_status(pids["supervisor"])["Seccomp_filters"][0])
        for role, pid in pids.items():
            with self.subTest(role):
                status = proc_status(pid)
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["VmSwap"][0]), (["1"], ["2"], "0"))
                limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
                self.assertRegex(limits, r"Max core file size +0 +0 ")
                if role == "supervisor":
                    continue
                for held in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    self.assertEqual(int(status[held][0], 16), 0, held)
                self.assertEqual(status["Groups"], [str(self.gid_of(ACCOUNTS[role]))] if status["Groups"] else [])
                self.assertGreater(int(status["Seccomp_filters"][0]), above, "no filter of its own")
        self.assertGreater(int(proc_status(pids["keeper"])["VmLck"][0]), 0)
        # The unit asks for no limit; a systemd without CAP_SYS_RESOURCE, as in some containers, cannot give that.
        self.assertEqual(self.machine.unit(SERVICE)["LimitMEMLOCK"], "infinity")
        unlimited = self.memlock(pids["keeper"]) == "unlimited"
        self.assertEqual(self.status()["daemon"]["memoryLocked"], "all" if unlimited else "secrets")
        locked = {role: proc_status(pid)["VmLck"][0] + " kB" for role, pid in pids.items()}
        proved(f"no capabilities, a filter for each, no swap, no cores; locked: {locked}")

    @staticmethod
    def memlock(pid):
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        return re.search(r"Max locked memory +(\S+)", limits).group(1)

    # Who may call.

    def test_audit_log(self):
        """Of the daemon's account, whoever made it; each line is in the journal too, by the daemon or by keyturn itself."""
        log = self.machine.path(STATE_DIR + "/audit.log")
        self.machine.run("sh", "-c", "umask 077; head -c 32 /dev/urandom >/root/audited.key; keyturn key import --type kms --raw "
                                     "--name audited --file /root/audited.key")
        self.assertEqual((log.stat().st_uid, log.stat().st_mode & 0o7777), (self.uid_of("keyturn"), 0o640))
        verified = self.keyturn("audit", "verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        newest = log.read_text().splitlines()[-1]
        self.assertIn('"command":"key import"', newest)
        self.wait_journal(newest.replace('"', '\\"'), f"--unit={SERVICE}")
        self.machine.run("keyturn", "init", "--dir", "/root/audited", "--yes", "--recovery-out", "/root/audited.recovery")
        self.wait_journal("audit " + self.machine.path("/root/audited/state/audit.log").read_text().strip(), "--identifier=keyturn")
        self.assert_serves()
        proved("the audit log belongs to the daemon's account, and its lines are in the journal")

    def wait_journal(self, text, *which):
        def there():
            return text in self.machine.run("journalctl", "--boot", "--no-pager", "--output=cat", *which).stdout
        wait_for("the line is in the journal", there, 30)

    def test_sockets(self):
        expected = {"/run/keyturn": (0, 0, 0o40755), KMS_DIR: (0, 0, 0o40755), KMS_SOCKET: (0, 0, 0o140660),
                    CONTROL_SOCKET: (0, 0, 0o140600)}
        for path, owner_and_mode in expected.items():
            found = self.machine.path(path).stat()
            self.assertEqual((found.st_uid, found.st_gid, found.st_mode), owner_and_mode, path)

    def as_stranger(self, *words):
        return self.machine.run("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups",
                                "keyturn", *words, "-o", "json", check=False)

    def test_strangers_learn_nothing(self):
        probe, status = self.as_stranger("probe"), self.as_stranger("status")
        self.assertEqual((probe.returncode, probe.stdout), (7, ""))
        self.assertEqual(status.returncode, 7, status.stdout)
        self.assertNotIn(self.key_id, status.stdout)
        self.assertIn("may not connect", status.stdout + status.stderr)

    def metrics(self, path):
        """The exporter's page and its HTTP status."""
        curl = subprocess.run(["nsenter", "--target", str(self.machine.pid1.pid), "--net",
                               "curl", "-sS", "-w", "\n%{http_code}", f"http://127.0.0.1:9469{path}"], text=True, check=True, capture_output=True)
        return curl.stdout.rsplit("\n", 1)

    def test_metrics(self):
        for path in ("/livez", "/readyz"):
            self.assertEqual(self.metrics(path)[1], "200", path)
        self.assertIn(self.key_id, self.metrics("/metrics")[0])

    # A client that is connected.

    def test_clients_go_on_over_restarts(self):
        try:
            build_client(self.machine.path(CLIENT))
        except Missing as missing:
            if os.environ.get("CI"):
                raise
            self.skipTest(str(missing))
        for what, command in RESTARTS.items():
            with self.subTest(what):
                started = self.machine.unit(SERVICE)["ExecMainStartTimestampMonotonic"]
                self.run_client("^TestRestart", KEYTURN_RESTART=command)
                self.assertNotEqual(self.machine.unit(SERVICE)["ExecMainStartTimestampMonotonic"], started)
                proved(f"the same client goes on over: {what}")
        units = " ".join(UNITS)
        self.run_client("", KEYTURN_RESTART="systemctl restart keyturnd", KEYTURN_KILL=f"systemctl stop {units}",
                        KEYTURN_START=f"systemctl start {units}")
        self.assert_serves()
        proved("all of the conformance client passes from a mount namespace of its own")

    def run_client(self, pattern, **environment):
        settings = [f"{name}={value}" for name, value in environment.items()]
        run = self.machine.run("unshare", "--mount", "sh", "-c", IN_CONTAINER, "sh", "env", *settings,
                               "KEYTURN_SOCKET=/mnt/kms/kms.sock", CLIENT, f"-test.run={pattern}", "-test.v", check=False, timeout=300)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("--- PASS", run.stdout)

    # Crashes.

    def test_a_child_that_crashes_comes_back(self):
        for role in ACCOUNTS:
            with self.subTest(role):
                before, inodes = self.processes(), self.socket_inodes()
                restarts = self.machine.unit(SERVICE)["NRestarts"]
                self.kill(role)
                after = wait_for(f"{role} is back", lambda r=role, b=before: self.came_back(r, b), 20)
                self.assertEqual(after[role]["restarts"], before[role]["restarts"] + 1)
                for other in ({"supervisor", *ACCOUNTS} - {role}):
                    self.assertEqual(after[other], before[other], f"{other} did not go on")
                self.assertEqual(self.socket_inodes(), inodes)
                self.assertEqual(self.machine.unit(SERVICE)["NRestarts"], restarts)
                self.assert_serves()
        proved("front, keeper and exporter come back alone, and the sockets stay")

    def came_back(self, role, before):
        now = self.processes()
        return now[role]["pid"] != before[role]["pid"] and now

    def test_a_supervisor_that_crashes_comes_back(self):
        before, inodes = self.processes(), self.socket_inodes()
        held = [Pid(pid) for pid in self.machine.pids_of(SERVICE)]
        restarts = int(self.machine.unit(SERVICE)["NRestarts"])
        self.kill("supervisor")
        wait_for("all processes of before are gone", lambda: all(one.gone() for one in held), 20)
        for one in held:
            one.close()
        wait_for("systemd has started it again", lambda: int(self.machine.unit(SERVICE)["NRestarts"]) > restarts, 20)
        after = self.processes()
        self.assertFalse({p["pid"] for p in after.values() if p["pid"]} & {p["pid"] for p in before.values()})
        self.assertEqual(self.socket_inodes(), inodes)
        self.assert_serves()
        proved("the supervisor comes back, nothing of before is left, and the sockets stay")

    def test_a_supervisor_that_hangs_is_replaced(self):
        with self.drop_in("[Service]\nWatchdogSec=1s\n"):
            restarts = int(self.machine.unit(SERVICE)["NRestarts"])
            self.kill("supervisor", signal.SIGSTOP)
            wait_for("the watchdog bites", lambda: int(self.machine.unit(SERVICE)["NRestarts"]) > restarts, 30)
            self.assert_serves()
        proved("the watchdog replaces a supervisor that hangs")

    def test_a_keeper_that_crashes_over_and_over_takes_nobody_with_it(self):
        keeper, aside = "/usr/libexec/keyturn/keyturn-keeper", "/usr/libexec/keyturn/aside"
        with self.drop_in("[Service]\nWatchdogSec=1s\n"):
            pids, restarts = self.outer_pids(), self.machine.unit(SERVICE)["NRestarts"]
            front = Pid(pids["front"])
            self.addCleanup(front.close)
            self.machine.run("mv", keeper, aside)
            try:
                self.machine.path(keeper).write_text("#!/bin/sh\nexit 3\n")
                self.machine.path(keeper).chmod(0o755)
                self.kill("keeper")
                # The seventh wait is of three seconds, the eighth of six: the watchdog would have bitten.
                wait_for("the keeper crashes over and over", lambda: self.keepers_started(pids["supervisor"]) >= 8, 30)
                self.assertFalse(front.gone())
                self.assertEqual(self.machine.unit(SERVICE)["NRestarts"], restarts)
            finally:
                self.machine.run("mv", aside, keeper)
            self.wait_serving()
            self.assertFalse(front.gone())
        proved("the front outlives a keeper that crashes over and over")

    def keepers_started(self, supervisor):
        inner = proc_status(supervisor)["NSpid"][-1]
        journal = self.machine.run("journalctl", "--boot", "--no-pager", "--output=cat", f"_PID={inner}").stdout
        return len(re.findall(r"event=started process=keeper\b", journal))

    @contextlib.contextmanager
    def drop_in(self, text, unit=SERVICE):
        path = self.machine.path(f"/run/systemd/system/{unit}.d/test.conf")
        path.parent.mkdir(parents=True)
        path.write_text(text)
        self.start_anew(unit)
        try:
            yield
        finally:
            path.unlink()
            path.parent.rmdir()
            self.start_anew(unit)

    def start_anew(self, unit):
        self.machine.run("systemctl", "daemon-reload")
        if unit == SERVICE:
            self.machine.run("systemctl", "restart", SERVICE)
        else:
            self.machine.run("systemctl", "stop", *UNITS)
            self.machine.run("systemctl", "start", *UNITS)
        self.wait_serving()

    # Reload, stop, boot.

    def test_reload(self):
        with self.drop_in("[Socket]\nSocketMode=0666\n", "keyturnd-control.socket"):
            self.machine.run("systemctl", "log-level", "debug")
            try:
                self.reload()
            finally:
                self.machine.run("systemctl", "log-level", "info")

    def reload(self):
        config, good = self.machine.path(CONFIG), self.machine.path(CONFIG + ".good")
        text = config.read_text()
        inodes, main_pid = self.socket_inodes(), self.machine.unit(SERVICE)["MainPID"]
        try:
            changed = re.sub(r"(?m)(?<=^control:\n)((?:  .*\n)*?)  uids: \[\]", rf"\1  uids: [{STRANGER}]", text)
            config.write_text(changed)
            good.write_text(changed)
            self.assertEqual(self.as_stranger("status").returncode, 7)
            self.machine.run("systemctl", "reload", SERVICE)
            wait_for("the new configuration is in force", lambda: self.as_stranger("status").returncode == 0, 20)
            journal = self.machine.run("journalctl", "--boot", "--no-pager", "--output=cat", "_PID=1").stdout
            reloading = journal.rfind("RELOADING=1")
            self.assertGreater(reloading, 0, "RELOADING was not said")
            self.assertGreater(journal.find("READY=1", reloading), reloading, "READY was not said after RELOADING")
            config.write_text(text + "nonsense: true\n")
            self.machine.run("systemctl", "reload", SERVICE)
            wait_for("the complaint", lambda: "old configuration" in self.machine.unit(SERVICE)["StatusText"], 20)
            # keyturn would refuse the bad file itself.
            asked = self.as_stranger("status", "--config", CONFIG + ".good")
            self.assertEqual(asked.returncode, 0, "the old configuration is not in force")
        finally:
            config.write_text(text)
            good.unlink(missing_ok=True)
            self.machine.run("systemctl", "reload", SERVICE)
        wait_for("as before", lambda: self.as_stranger("status").returncode == 7, 20)
        self.assertEqual((self.socket_inodes(), self.machine.unit(SERVICE)["MainPID"]), (inodes, main_pid))
        self.assert_serves()
        proved("reload: RELOADING and READY; a bad configuration leaves the old one in force and says so")

    def test_reload_returns_when_the_keyring_was_tried(self):
        opener, aside, gate = "/usr/libexec/keyturn/keyturn-opener", "/usr/libexec/keyturn/aside", "/run/gate"
        starts = self.opener_starts()
        self.machine.run("mv", opener, aside)
        try:
            self.machine.path(opener).write_text(
                f'#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.02; done\nexec {aside} "$@"\n')
            self.machine.path(opener).chmod(0o755)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                reload = pool.submit(self.machine.run, "systemctl", "reload", SERVICE)
                wait_for("an opener at work", lambda: self.opener_starts() > starts, 20)
                self.assertEqual(self.machine.unit(SERVICE)["ActiveState"], "reloading")
                self.assertFalse(reload.done())
                self.machine.path(gate).touch()
                self.assertEqual(reload.result(20).returncode, 0)
            self.assertEqual(self.machine.unit(SERVICE)["ActiveState"], "active")
        finally:
            self.machine.run("mv", aside, opener)
            self.machine.path(gate).unlink(missing_ok=True)
        self.assert_serves()
        proved("systemctl reload returns when the keyring was tried")

    def opener_starts(self):
        return int(re.search(r"(?m)^keyturn_opener_starts_total (\d+)", self.metrics("/metrics")[0]).group(1))

    def test_stop(self):
        folder = self.socket_inodes()[0]
        held = [Pid(pid) for pid in self.machine.pids_of(SERVICE)]
        try:
            self.machine.run("systemctl", "stop", *UNITS)
            self.assertEqual([one.gone() for one in held], [True] * len(held))
            for unit in UNITS:
                shown = self.machine.unit(unit)
                self.assertEqual((shown["ActiveState"], shown["Result"]), ("inactive", "success"), unit)
            self.assertEqual(self.machine.path(KMS_DIR).stat().st_ino, folder)
            self.assertEqual(self.keyturn("probe").returncode, 7)
        finally:
            for one in held:
                one.close()
            self.machine.run("systemctl", "start", *UNITS)
        self.assert_serves()
        self.assertEqual(self.socket_inodes()[0], folder)
        proved("stop leaves the folder that containers mount")

    def test_serves_before_kubelet_after_a_power_cut(self):
        kubelet = self.machine.path("/etc/systemd/system/kubelet.service")
        kubelet.write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/keyturn probe\n"
                           "[Install]\nWantedBy=multi-user.target\n")
        self.machine.run("systemctl", "enable", "kubelet.service")
        self.machine.reboot()
        shown = self.machine.unit("kubelet.service")
        self.assertEqual((shown["ActiveState"], shown["Result"]), ("active", "success"))
        self.machine.run("systemctl", "disable", "kubelet.service")
        self.assert_serves()
        proved("after a power cut the same key serves, before kubelet's first call")

    def test_what_does_not_open_does_not_keep_the_node_from_booting(self):
        for missing in (NODE_KEY, STATE_DIR):
            with self.subTest(missing):
                self.machine.run("mv", missing, "/var/lib/aside")
                try:
                    self.machine.reboot()
                    for unit in UNITS:
                        self.assertEqual(self.machine.unit(unit)["ActiveState"], "active", unit)
                    words = wait_for("healthz says why", lambda path=missing: self.words_on(path), 30)
                    wait_for("systemctl status says it too",
                             lambda said=words: said in self.machine.unit(SERVICE)["StatusText"], 30)
                    exits = [self.keyturn(command).returncode for command in ("status", "probe")]
                    self.assertNotIn(0, exits)
                finally:
                    self.machine.run("mv", "/var/lib/aside", missing)
                # The directory's lock was not to be had; a key is just read again.
                self.machine.run("systemctl", "restart" if missing == STATE_DIR else "reload", SERVICE)
                self.assert_serves()
                proved(f"a boot without {missing}: active, `keyturn status` exits {exits[0]}: \"{words}\"")

    def test_a_tpm_that_comes_up_late(self):
        """A boot without the TPM that the node's key is sealed in is a boot all the same; once it is there, keyturnd serves."""
        self.machine.run("systemctl", "stop", *UNITS)
        for path in (STATE_DIR, CONFIG):
            self.machine.run("mv", path, path + ".aside")
        simulator = self.tpm()
        try:
            self.machine.run("keyturn", "init", "--yes", "--recovery-out", "/root/recovery-key-tpm", "--tcti", f"swtpm:path={TPM_SOCKET}",
                             "--tpm-policy", "pcr:sha256:7,14")
            self.machine.run("systemctl", "start", *UNITS)
            key_id = self.wait_serving()["daemon"]["keyId"]
            simulator.stop()
            self.machine.reboot()
            for unit in UNITS:
                self.assertEqual(self.machine.unit(unit)["ActiveState"], "active", unit)
            words = wait_for("healthz says why", lambda: self.words_on("the TPM does not answer"), 30)
            simulator = self.tpm()
            # The keeper asks again at least once a minute.
            wait_for("it serves", lambda: self.status()["daemon"]["healthz"] == "ok", 90)
            self.assertEqual(self.wait_serving()["daemon"]["keyId"], key_id)
            self.assertEqual(self.keyturn("probe").returncode, 0)
        finally:
            simulator.stop()
            self.machine.run("systemctl", "stop", *UNITS)
            self.machine.run("rm", "-rf", STATE_DIR, CONFIG)
            for path in (STATE_DIR, CONFIG):
                self.machine.run("mv", path + ".aside", path)
            self.machine.run("systemctl", "start", *UNITS)
        self.assert_serves()
        proved(f"a boot before the TPM is up: active, \"{words}\", and then it serves, under a policy of PCRs")

    def tpm(self):
        """A simulated TPM, outside, whose socket is in the machine's /run."""
        return SimulatedTpm(self.workspace.path / "tpm", socket=self.machine.path(TPM_SOCKET))

    def words_on(self, path):
        daemon = self.status()["daemon"]
        return daemon["reachable"] and path in daemon["healthz"] and daemon["healthz"]


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIPPED: to boot a machine one has to be root")
        sys.exit(77)
    main(machine.check_host, machine.tree)
