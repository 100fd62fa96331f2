# SPDX-License-Identifier: Apache-2.0
"""A small file system of a test's own, which can be full."""

import contextlib
import errno
import os
import subprocess
import sys

from harness import Missing

MARK = "KEYTURN_OWN_MOUNTS"


def own_mounts():
    """Runs this program anew in a mount namespace of its own, so that its mounts are gone with it; once."""
    if os.environ.get(MARK):
        return
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
        raise Missing("no mount namespaces for this user")
    os.environ[MARK] = "1"
    sys.stdout.flush()
    os.execvp(unshare[0], [*unshare, sys.executable, "-B", *sys.argv])


class Disk:
    """Mounted at that folder; what was in it is not seen until close()."""

    def __init__(self, path, megabytes):
        self.path, self.filler = path, path / "filler"
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "keyturn-test", path], check=True)

    def fill(self):
        """To the last byte. Again, where somebody else has given some back."""
        for size in (1 << 20, 1):
            with contextlib.suppress(OSError), open(self.filler, "ab", buffering=0) as filler:
                while True:
                    filler.write(bytes(size))
        assert os.statvfs(self.path).f_bavail == 0 and self.is_full()

    def is_full(self):
        try:
            (self.path / "probe").write_bytes(b"x")
        except OSError as error:
            return error.errno == errno.ENOSPC
        finally:
            (self.path / "probe").unlink(missing_ok=True)
        return False

    def free(self):
        self.filler.unlink()

    def close(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)
