#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where secrets are: known seeds are wrapped and unwrapped, then the memory of every process is searched for them and for
the keys. They are found only where DESIGN.md §1.2 says. Memory can be read by root only, so somebody else proves that it
cannot be read at all."""
import base64
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import unittest

from kms_peer import Peer
from served import BUILD, KEYTURN, ROLES, ROOT, Served, get_at, keys_of, make_state, metric_in, sanitized, until

SHOW_KEYS = os.path.join(BUILD, "tests", "show_keys")
PTRACE_SEIZE = 0x4206
LITTLE = 8 << 20  # what a plain user has by default
SEEDS = 200
CHUNK = 1 << 22
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Mapping:
    def __init__(self, line):
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
        self.start, self.end = int(found.group(1), 16), int(found.group(2), 16)
        self.mode, self.name, self.flags, self.swapped = found.group(3), found.group(4), set(), 0

    def __repr__(self):
        return f"{self.start:x}-{self.end:x} {self.mode} {self.name or 'anonymous'} flags {' '.join(sorted(self.flags))}"


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                found.append(Mapping(line))
            elif line.startswith("VmFlags:"):
                found[-1].flags = set(line.split()[1:])
            elif line.startswith("Swap:"):
                found[-1].swapped = int(line.split()[1])
    return found


def search(pid, needles):
    """{name: [mapping]} of the needles that stand in readable memory of a process, stopped for the moment."""
    found = {}
    longest = max(len(data) for data in needles.values())
    os.kill(pid, signal.SIGSTOP)
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for mapping in mappings(pid):
                if "r" not in mapping.mode or mapping.name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                    continue
                at, tail = mapping.start, b""
                while at < mapping.end:
                    try:
                        memory.seek(at)
                        piece = memory.read(min(CHUNK, mapping.end - at))
                    except OSError:
                        break  # nothing is mapped behind a file's end
                    if not piece:
                        break
                    at += len(piece)
                    piece = tail + piece
                    for name, data in needles.items():
                        if data in piece:
                            found.setdefault(name, []).append(mapping)
                    tail = piece[-longest + 1:]
    finally:
        os.kill(pid, signal.SIGCONT)
    return found


def recovery_bytes(text):
    """docs/keyring-format.md §7."""
    digits = text.strip().replace("-", "")[:52]
    number = 0
    for digit in digits:
        number = number << 5 | CROCKFORD.index(digit)
    return (number >> 4).to_bytes(32, "big")


class Node(Served):
    """Made by keyturn init, so that the recovery key is known."""

    def __init__(self):
        super().__init__(separate=False)
        shutil.rmtree(self.place)
        self.recovery = os.path.join(self.dir, "recovery")
        made = subprocess.run([KEYTURN, "init", "--dir", self.place, "--yes", "--node", "node-1", "--recovery-out", self.recovery],
                              capture_output=True, text=True, timeout=60)
        if made.returncode:
            raise AssertionError(made.stderr)
        if ROOT:
            self.separate()

    def leave_together(self):
        """All under root, whom no limit of locked memory binds."""
        text = re.sub(r'(?m)^(  (?:front|keeper|opener|exporter):) "\d+:\d+"', r'\1 ""', self.text(self.config))
        with open(self.config, "w") as out:
            out.write(text)
        if ROOT:
            for path, _, names in os.walk(self.state):
                for entry in [path] + [os.path.join(path, name) for name in names]:
                    os.chown(entry, 0, 0)

    def secrets(self, keyring=None):
        files = [self.config, keyring or os.path.join(self.state, "keyring.yaml"), os.path.join(self.state, "opener", "node.key")]
        shown = subprocess.run([SHOW_KEYS, *files], capture_output=True, text=True, timeout=60)
        if shown.returncode:
            raise AssertionError(shown.stderr)
        return {name: bytes.fromhex(value) for name, value in (line.split() for line in shown.stdout.splitlines())}


class Case(unittest.TestCase):
    def setUp(self):
        self.d = Node()
        self.addCleanup(self.d.close)
        self.first, self.last = os.urandom(12), os.urandom(12)
        self.secrets = self.d.secrets()
        text = self.d.text(self.d.recovery).strip()
        self.secrets["recovery-key"] = recovery_bytes(text)
        self.recovery_text = text.encode()

    def use(self):
        """Each seed is `first`, eight bytes of its own, and `last`, so that two searches find any of them."""
        wrapped = []
        with Peer(self.d.kms) as peer:
            for n in range(SEEDS):
                seed = self.first + n.to_bytes(8, "big") + self.last
                wrapped.append((seed, *peer.encrypt(seed)))
            for seed, *what in wrapped:
                self.assertEqual(peer.decrypt(*what), seed)

    def rotate(self):
        """One more key by an offer, so that an opener ran with the daemon up, and a keyring was swapped."""
        offered = os.path.join(self.d.dir, "g2")
        out = make_state("edit", self.d.place, offered, "add", "second").stdout
        run = self.d.keyturn("keyring", "offer", offered)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.secrets.update({f"2nd {name}": value for name, value in self.d.secrets(offered).items()})
        activated = os.path.join(self.d.dir, "g3")
        make_state("edit", self.d.place, activated, "--from", offered, "activate", keys_of(out)[1])
        self.assertEqual(self.d.keyturn("keyring", "offer", activated).returncode, 0)
        self.secrets.update({f"3rd {name}": value for name, value in self.d.secrets(activated).items()})

    def needles(self):
        """Each secret as it is and, since OpenSSL's big numbers have their low end first, backwards; and as text."""
        found = {"seeds, begin": self.first, "seeds, end": self.last, "recovery-key, text": self.recovery_text}
        for name, value in self.secrets.items():
            found[name] = value
            found[name + ", backwards"] = value[::-1]
            found[name + ", hex"] = value.hex().encode()
            found[name + ", base64"] = base64.b64encode(value)[:-4]
        return found

    def texts(self):
        needles = self.needles()
        for name, value in (("seeds, begin", self.first), ("seeds, end", self.last)):
            needles[name + ", hex"] = value.hex().encode()
            needles[name + ", base64"] = base64.b64encode(value)
        return needles


class Memory(Case):
    def serve(self):
        self.d.start()
        self.use()
        self.rotate()
        self.use()
        until(lambda: self.d.status().status.get(24) == [1], "the keyring on disk is tested")
        until(lambda: not self.d.processes()["opener"][0], "no opener runs")
        return self.d.pids()

    def test_nobody_else_may_look(self):
        """Not even the uid that started it, where it is not root."""
        if sanitized():
            return  # LeakSanitizer traces its process, which therefore stays dumpable
        for role, pid in self.serve().items():
            self.assertIn("NoNewPrivs:\t1", self.d.text(f"/proc/{pid}/status"), role)
            # What is not dumpable belongs to root in /proc, whatever uid it runs under.
            self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0, f"{role} is not dumpable")
            if ROOT:
                self.assertRegex(self.d.text(f"/proc/{pid}/limits"), r"Max core file size +0 +0 ", role)
                continue
            for name in ("mem", "environ", "smaps", "maps", "auxv"):
                with self.assertRaises(PermissionError, msg=f"{role} {name}"), open(f"/proc/{pid}/{name}", "rb") as source:
                    source.read(1)
            with self.assertRaises(PermissionError, msg=f"{role} fd"):
                os.listdir(f"/proc/{pid}/fd")
            self.assertEqual(ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0), -1, f"{role} can be traced")

    def judge(self, pids):
        """[(role, what, mapping)] of all that is found where it may not be, {(role, what): times} of all that is found."""
        wrong, seen = [], {}
        for role, pid in pids.items():
            for name, places in search(pid, self.needles()).items():
                seen[role, name] = len(places)
                for mapping in places:
                    is_key = re.match(r"(2nd |3rd )?key\.", name) and "," not in name
                    if role == "front" and name.startswith("seeds"):
                        continue  # gRPC's buffers: a named exception
                    if role == "keeper" and is_key and {"lo", "dd"} <= mapping.flags:
                        continue
                    wrong.append((role, name, mapping))
        return wrong, seen

    def look(self, locked):
        if sanitized():
            return  # their runtimes hold back what was freed
        pids = self.serve()
        self.assertEqual(set(pids), set(ROLES))
        if not ROOT:
            for pid in pids.values():
                self.assertRaises(PermissionError, search, pid, self.needles())
            return
        wrong, seen = self.judge(pids)
        print(f"# {self._testMethodName}: found {seen}", flush=True)
        self.assertEqual(wrong, [])
        keys = [name for role, name in seen if role == "keeper" and name.startswith("3rd key.")]
        self.assertEqual(len(keys), 2, "the search finds what is there: both keys, in the keeper")
        metrics = get_at(os.path.join(self.d.place, "run", "metrics.sock"), "/metrics")
        self.assertEqual(metric_in('keyturn_memory_locked{process="keeper"}', metrics), locked)
        swapped = {role: [m for m in mappings(pid) if m.swapped] for role, pid in pids.items()}
        if locked:
            self.assertEqual(swapped["keeper"], [])

    def limit(self, size):
        soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, size))
        if ROOT:
            self.addCleanup(resource.setrlimit, resource.RLIMIT_MEMLOCK, (soft, hard))

    def test_keys_are_in_the_keeper_only(self):
        """As the unit starts it: everything can be locked (here because root may, whatever the limit)."""
        self.d.leave_together()
        self.look(locked=1)

    def test_keys_are_in_the_keeper_only_where_little_can_be_locked(self):
        self.limit(LITTLE)
        self.look(locked=0)


class Elsewhere(Case):
    def test_logs_arguments_environment_files(self):
        self.d.start()
        self.use()
        self.rotate()
        pids = self.d.pids()
        texts = {"the log": self.d.bytes(self.d.log_path), "metrics": get_at(self.d.status().status[27][0].decode(), "/metrics").encode(),
                 "status": self.d.keyturn("status", "-v").stdout.encode(),
                 "status -o json": self.d.keyturn("status", "-o", "json").stdout.encode(),
                 "probe": self.d.keyturn("probe", "-o", "json").stdout.encode()}
        for role, pid in pids.items():
            texts[f"{role}'s arguments"] = self.d.bytes(f"/proc/{pid}/cmdline")
            if ROOT:
                texts[f"{role}'s environment"] = self.d.bytes(f"/proc/{pid}/environ")
        for folder, _, names in os.walk(self.d.place):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and name != "node.key":
                    texts[path] = self.d.bytes(path)
        for name, value in self.texts().items():
            for where, text in texts.items():
                self.assertNotIn(value, text, f"{name} in {where}")

    def test_no_process_leaves_a_core(self):
        """Killed by a signal that makes one, in a directory where it could, with a limit that allows it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))
        self.d.start(cwd=self.d.dir)
        self.use()
        for role in ("keeper", "front", "exporter"):
            pid = self.d.pids()[role]
            os.kill(pid, signal.SIGQUIT)
            self.d.wait_gone(pid)
            until(lambda: (self.d.try_status() and self.d.pids().get(role, pid)) not in (None, pid), f"{role} is started again")
        supervisor = self.d.process
        supervisor.send_signal(signal.SIGABRT)
        self.assertEqual(supervisor.wait(60), -signal.SIGABRT)
        self.assertEqual([name for name in os.listdir(self.d.dir) if "core" in name], [])
        self.assertNotIn("core dumped", self.d.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
