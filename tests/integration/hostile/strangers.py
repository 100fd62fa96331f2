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


def in_child(what, uid=None, gid=None, groups=(), namespace=False):
    """The text that what() returns, called under those ids (root only); namespace: as root of a user namespace of its
    own after that."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
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
    with os.fdopen(reader) as source:
        result = source.read()
    os.waitpid(child, 0)
    return result
