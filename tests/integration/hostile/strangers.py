# SPDX-License-Identifier: Apache-2.0
"""Doing something as somebody else, in a child."""
import ctypes
import os

PR_SET_DUMPABLE = 4
CLONE_NEWUSER = 0x10000000


def enter_user_namespace():
    """Become root of a user namespace of one's own."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # a change of uid took it, and with it our own /proc/self
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as out:
            out.write(text)
    assert os.getuid() == 0


class Child:
    """Somebody else who calls what(), under those ids (root only); namespace: as root of a user namespace of its own after
    that."""

    def __init__(self, what, uid=None, gid=None, groups=(), namespace=False):
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if uid is not None:
                    os.setgroups(groups)
                    os.setresgid(gid, gid, gid)
                    os.setresuid(uid, uid, uid)
                if namespace:
                    enter_user_namespace()
                result = what()
            except BaseException as error:  # pylint: disable=broad-except
                result = f"{type(error).__name__}: {error}"
            os.write(writer, result.encode())
            os._exit(0)
        os.close(writer)

    def result(self):
        """The text that what() returned; nothing if a signal ended it."""
        with os.fdopen(self.reader) as source:
            result = source.read()
        os.waitpid(self.pid, 0)
        return result


def in_child(*what, **how):
    return Child(*what, **how).result()
