# SPDX-License-Identifier: Apache-2.0
"""What is in the memory of a process, and in what kind of it. Only root may look into ours."""
import base64
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

from served import until

CHUNK = 1 << 22
PTRACE_SEIZE = 0x4206
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# VmFlags of /proc/PID/smaps: locked, and in no core dump. Or droppable (Linux 6.11, mmap(2)): never swapped, in no core
# dump, wiped on fork; glibc 2.41 keeps the state of getrandom(3) there, with the random bytes that it gives out next.
SAFE = ({"lo", "dd"}, {"dp", "dd"})


class Mapping:
    def __init__(self, line):
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
        self.start, self.end = int(found.group(1), 16), int(found.group(2), 16)
        self.mode, self.name, self.flags, self.swapped = found.group(3), found.group(4), set(), 0

    def __repr__(self):
        return f"{self.start:x}-{self.end:x} {self.mode} {self.name or 'anonymous'} flags {' '.join(sorted(self.flags))}"

    def is_safe(self):
        return any(safe <= self.flags for safe in SAFE)


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


def state(pid):
    with open(f"/proc/{pid}/stat") as source:
        return source.read().rpartition(")")[2].split()[0]


def pieces(pid, overlap, wanted=lambda mapping: True):
    """(mapping, address, bytes) of all that is readable, the process stopped for the moment; where a mapping comes in
    several pieces they overlap by so much."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: state(pid) == "T", f"{pid} is stopped")
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for mapping in mappings(pid):
                unreadable = "r" not in mapping.mode or mapping.name in ("[vvar]", "[vsyscall]", "[vvar_vclock]")
                if unreadable or not wanted(mapping):
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
                    yield mapping, at - len(tail), tail + piece
                    at += len(piece)
                    tail = (tail + piece)[-overlap:]
    finally:
        os.kill(pid, signal.SIGCONT)


def search(pid, needles):
    """{name: [mapping]} of the needles that stand in readable memory of a process."""
    found = {}
    for mapping, _, piece in pieces(pid, max(len(data) for data in needles.values()) - 1):
        for name, data in needles.items():
            if data in piece:
                found.setdefault(name, []).append(mapping)
    return found


def peep(pid):
    """What whoever calls this can see of a process; nothing of one that is not dumpable, unless he is root."""
    seen = []
    for name in ("mem", "environ", "smaps", "maps", "auxv", "syscall"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as source:
                source.read(1)
            seen.append(name)
        except PermissionError:
            pass
    try:
        seen.append(f"fd: {os.listdir(f'/proc/{pid}/fd')}")
    except PermissionError:
        pass
    if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) != -1:
        seen.append("it can be traced")
    return " ".join(seen)


def dies(folder, uid=None):
    """The wait status of somebody who is not hardened and gets a signal that makes a core."""
    account = {"user": uid, "group": uid, "extra_groups": []} if uid is not None else {}
    process = subprocess.Popen(["/bin/sh", "-c", "kill -ABRT $$"], cwd=folder, **account)
    process.returncode = 0  # the core's flag is lost on the way through it
    return os.waitpid(process.pid, 0)[1]


def allow_cores(test, uids=()):
    """For this test a core may be as large as it likes. A machine that makes none at all proves nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    test.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))
    folder = tempfile.mkdtemp(prefix="kt")
    test.addCleanup(shutil.rmtree, folder)
    os.chmod(folder, 0o777)
    for uid in uids or [None]:
        if not os.WCOREDUMP(dies(folder, uid)):
            test.skipTest("cores are not made here (RLIMIT_CORE, core_pattern)")


def recovery_bytes(text):
    """docs/keyring-format.md §7."""
    digits = text.strip().replace("-", "")[:52]
    number = 0
    for digit in digits:
        number = number << 5 | CROCKFORD.index(digit)
    return (number >> 4).to_bytes(32, "big")


def forms(name, value):
    """A secret as it is and, since OpenSSL's big numbers have their low end first, backwards; and as text."""
    return {name: value, name + ", backwards": value[::-1], name + ", hex": value.hex().encode(),
            name + ", base64": base64.b64encode(value)[:-4]}
