# SPDX-License-Identifier: Apache-2.0
"""A machine to install keyturn on: this system's distribution, bootstrapped, its systemd booted by boot-tree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import BUILD, SOURCE, Missing, Pid, wait_for  # noqa: E402  pylint: disable=wrong-import-position

PROGRAMS = ("bin/keyturn", "sbin/keyturnd", "libexec/keyturn/keyturn-front", "libexec/keyturn/keyturn-keeper",
            "libexec/keyturn/keyturn-opener", "libexec/keyturn/keyturn-exporter")
INSIDE = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")


def check_host():
    for filesystem in ("cgroup2", "overlay"):
        if filesystem not in pathlib.Path("/proc/filesystems").read_text().split():
            raise Missing(f"this kernel has no {filesystem}")
    for tool in ("debootstrap", "unshare", "nsenter", "setpriv"):
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed")


def runtime_packages():
    """The packages that have the libraries of our programs."""
    libraries = set()
    for program in PROGRAMS:
        ldd = subprocess.run(["ldd", BUILD / program], text=True, check=True, capture_output=True)
        libraries.update(re.findall(r"=> (\S+)", ldd.stdout))
    # Loaded when they are asked for: how a TPM is reached.
    for module in ("device", "swtpm"):
        libraries.update(map(str, pathlib.Path("/usr/lib").glob(f"*/libtss2-tcti-{module}.so.0")))
    # A library's package may know it by the path with /usr or by the one without.
    paths = sorted({start + re.sub(r"^/usr", "", path) for path in libraries for start in ("", "/usr")})
    owners = subprocess.run(["dpkg-query", "-S", *paths], text=True, check=False, capture_output=True)
    return sorted(set(re.findall(r"^([a-z0-9.+-]+)(?::\w+)?: /", owners.stdout, re.M)))


def tree():
    """The directory of a tree that can run this build: the same distribution, with systemd."""
    suite = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.M).group(1)
    run = subprocess.run([SOURCE / "tools" / "debian-tree", suite, "systemd-sysv", "dbus", *runtime_packages()],
                         text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode == 77:
        raise Missing(run.stderr.strip())
    if run.returncode != 0:
        raise RuntimeError(f"tools/debian-tree {suite}: {run.stderr}")
    return run.stdout.strip()


class Machine:
    """What it writes stays in `work` from one boot to the next. Nothing of it outlives this process."""

    def __init__(self, base, work):
        self.base, self.work = base, pathlib.Path(work)
        self.work.mkdir()
        self.booted = self.pid1 = None

    def boot(self):
        """Up to where systemd says that the boot is done, and all is well."""
        (self.work / "pid").unlink(missing_ok=True)
        with open(self.work / "boot.log", "ab") as log:
            self.booted = subprocess.Popen(  # pylint: disable=consider-using-with
                [HERE / "boot-tree", self.base, self.work], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid1 = Pid(wait_for("the machine boots", self._find_pid1, 30))
        state = wait_for("the boot is done", self._boot_state, 90)
        if state != "running":
            raise RuntimeError(f"the machine is {state}: {self.run('systemctl', '--failed').stdout}")
        return self

    def _find_pid1(self):
        if self.booted.poll() is not None:
            raise RuntimeError(f"boot-tree ended with {self.booted.returncode}; see {self.work}/boot.log")
        return int((self.work / "pid").read_text())

    def _boot_state(self):
        run = self.run("systemctl", "is-system-running", check=False)
        return run.stdout.strip() in ("running", "degraded", "maintenance") and run.stdout.strip()

    def cut_power(self):
        """All of it dies at once."""
        if self.booted is None:
            return
        if self.pid1:
            self.pid1.kill()
            self.pid1.close()
        else:
            self.booted.kill()
        self.booted.wait(30)
        self.booted = self.pid1 = None

    def reboot(self):
        self.cut_power()
        return self.boot()

    def run(self, *command, check=True, timeout=120):
        """Runs a command inside, as root."""
        run = subprocess.run(["nsenter", "--target", str(self.pid1.pid), *INSIDE, "/usr/bin/env", "-i", "LANG=C.UTF-8",
                              "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *map(str, command)],
                             text=True, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        if check and run.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit {run.returncode}\n{run.stdout}{run.stderr}")
        return run

    def path(self, inside):
        """A file of the machine, from outside. Its absolute links would lead out."""
        return pathlib.Path(f"/proc/{self.pid1.pid}/root{inside}")

    def install(self):
        """cmake --install, as README says."""
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, DESTDIR=str(self.path(""))))

    def unit(self, name):
        """systemctl show, as a dict."""
        lines = self.run("systemctl", "show", name).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def pids_of(self, unit):
        """Pids, as seen from outside, of all processes in the unit's cgroup; kernel's word, not the daemon's."""
        procs = self.path(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs")
        return [int(pid) for pid in procs.read_text().split()] if procs.exists() else []
