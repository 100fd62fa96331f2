#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where secrets are: known seeds are wrapped and unwrapped, then the memory of every process is searched for them and for
the keys. They are found only where DESIGN.md §1.2 says. Memory can be read by root only, so somebody else proves that it
cannot be read at all."""
import base64
import contextlib
import ctypes
import os
import re
import resource
import signal
import unittest

from kms_peer import Peer
from memory import allow_cores, forms, mappings, peep, recovery_bytes, search, state
from served import ACCOUNTS, ROLES, ROOT, Node, get_at, keys_of, make_state, metric_in, sanitized, until

LITTLE = 8 << 20  # what a plain user has by default
SEEDS = 200
PR_SET_CHILD_SUBREAPER = 36
CHILDREN = ("front", "keeper", "exporter")


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
        """One more key by an offer, so that an opener ran with the daemon up, and a keyring was swapped; and an inline one,
        which is none of the daemon's business."""
        offered = os.path.join(self.d.dir, "g2")
        out = make_state("edit", self.d.place, offered, "add", "second", "add-aescbc", "inline").stdout
        run = self.d.keyturn("keyring", "offer", offered)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.secrets.update({f"2nd {name}": value for name, value in self.d.secrets(offered).items()})
        activated = os.path.join(self.d.dir, "g3")
        make_state("edit", self.d.place, activated, "--from", offered, "activate", keys_of(out)[1])
        self.assertEqual(self.d.keyturn("keyring", "offer", activated).returncode, 0)
        self.secrets.update({f"3rd {name}": value for name, value in self.d.secrets(activated).items()})

    def needles(self):
        found = {"seeds, begin": self.first, "seeds, end": self.last, "recovery-key, text": self.recovery_text}
        for name, value in self.secrets.items():
            found.update(forms(name, value))
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
            self.assertEqual(peep(pid), "", role)

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
                    if role == "keeper" and is_key and mapping.is_safe():
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
        self.assertIn("inline", " ".join(self.secrets), "and an inline key was looked for")
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
        """Ended by a signal that makes one, in a directory where each may make one, with a limit that allows it; judged by
        the kernel's own word to the parent. The supervisor goes first, so that the others become children of the test,
        stopped, for else they would end with their lifeline."""
        if sanitized():
            return  # they stay dumpable, and a core_pattern that is a pipe knows no limit
        allow_cores(self, ACCOUNTS.values() if ROOT else [])
        os.chmod(self.d.dir, 0o777)
        self.d.start(cwd=self.d.dir)
        self.use()
        before = sorted(os.listdir(self.d.dir))
        self.adopt_orphans()
        self.stopped = set()
        self.addCleanup(self.end_stopped)
        pids = self.d.pids()
        for role in CHILDREN:
            os.kill(pids[role], signal.SIGSTOP)
            self.stopped.add(pids[role])
            until(lambda: state(pids[role]) == "T", f"{role} is stopped")
        self.d.process.send_signal(signal.SIGABRT)
        self.d.process.returncode = -signal.SIGABRT  # the core's flag would be lost
        self.assert_no_core("supervisor", pids["supervisor"])
        for role in CHILDREN:
            os.kill(pids[role], signal.SIGABRT)
            os.kill(pids[role], signal.SIGCONT)
            self.assert_no_core(role, pids[role])
        self.assertEqual(sorted(os.listdir(self.d.dir)), before)

    def adopt_orphans(self):
        libc = ctypes.CDLL(None)
        self.assertEqual(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0)
        self.addCleanup(libc.prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def end_stopped(self):
        """After a failure: nobody else would ever end them."""
        for pid in self.stopped:
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def assert_no_core(self, role, pid):
        status = until(lambda: os.waitpid(pid, os.WNOHANG)[1], f"{role} ends")
        self.stopped.discard(pid)
        self.assertEqual((os.WTERMSIG(status), os.WCOREDUMP(status)), (signal.SIGABRT, False), role)


if __name__ == "__main__":
    unittest.main(verbosity=2)
