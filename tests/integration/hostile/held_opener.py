# SPDX-License-Identifier: Apache-2.0
"""Between keyturn or keyturnd and the real keyturn-opener: the request is passed on but for its last bytes, later the
answer is held back; meanwhile a test may look at both sides, which wait. Where tests/tools/stand_in_opener.c takes the
place of the opener, each one that is started comes here."""
import array
import os
import select
import shutil
import socket
import struct
import subprocess

from memory import state
from served import BUILD, PATIENCE, receive, until

POLLFD = struct.Struct("ihh")
POLLIN, POLLOUT = 1, 4
LAST = 8  # bytes that are kept back


def waits_for(pid, events, fd=None):
    """Whether a process sleeps in poll(2) for these events (of that descriptor). Only root may know."""
    with open(f"/proc/{pid}/syscall") as source:
        words = source.read().split()
    if len(words) < 3 or state(pid) != "S":
        return False
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        try:
            memory.seek(int(words[1], 16))
            polled = POLLFD.unpack(memory.read(POLLFD.size))
        except (OSError, OverflowError, struct.error):
            return False
    return polled[1] == events and fd in (None, polled[0])


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as source:
        return int(source.read().rpartition(")")[2].split()[1])


class HeldOpener:
    """look(stage, opener, client) is called with two pids when the opener waits for the rest of its request ("asked")
    and, as root, when it has done its work and waits until its answer is taken ("answers")."""

    def __init__(self, folder, program, look):
        self.look, self.count = look, 0
        self.real = os.path.join(folder, "real-opener")
        shutil.copy(os.path.join(BUILD, "libexec", "keyturn", "keyturn-opener"), self.real)
        os.unlink(program)
        shutil.copy(os.path.join(BUILD, "tests", "stand_in_opener"), program)
        path = os.path.join(folder, "opener.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(4)
        self.environment = {"KEYTURN_TEST_OPENER": path}

    def close(self):
        self.listener.close()

    def until(self, condition, what):
        """Waits for it, and serves the openers that come in the meantime."""
        def turn():
            if select.select([self.listener], [], [], 0)[0]:
                with self.listener.accept()[0] as connection:
                    self.serve(connection)
            return condition()
        return until(turn, what)

    def serve(self, connection):
        fds = array.array("i")
        config, rights = connection.recvmsg(4096, socket.CMSG_SPACE(fds.itemsize))[:2]
        fds.frombytes(rights[0][2])
        stand_in = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        ours, theirs = socket.socketpair()
        with socket.socket(fileno=fds[0]) as client, ours:
            client.settimeout(PATIENCE)
            ours.settimeout(PATIENCE)
            junk = self.fill(theirs)
            opener = self.start_opener(theirs, config.decode(), *stand_in[:2])
            try:
                self.relay(client, ours, junk, opener.pid, parent_of(stand_in[0]))
                ours.close()
                client.close()
                assert opener.wait(PATIENCE) == 0, f"the opener ended with {opener.returncode}"
                self.count += 1
            finally:
                opener.kill()
                opener.wait()

    def fill(self, theirs):
        """Takes away all the room for an answer. How many bytes stand before it now."""
        theirs.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        junk = 0
        try:
            while True:
                junk += theirs.send(b"j" * 512)
        except BlockingIOError:
            return junk

    def start_opener(self, theirs, config, stand_in, uid):
        """Where the stand-in was started, and under its uid."""
        account = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
        script = f'exec "$0" --config "$1" 3<&{theirs.fileno()}'
        with theirs:
            return subprocess.Popen(["/bin/bash", "-c", script, self.real, config], pass_fds=[theirs.fileno()],
                                    cwd=f"/proc/{stand_in}/cwd", **account)

    def relay(self, client, ours, junk, opener, asking):
        request = b"".join(self.frame(client) for _ in range(2))
        ours.sendall(request[:-LAST])
        if os.geteuid() == 0:
            until(lambda: waits_for(opener, POLLIN, 3), "the opener waits for the rest of its request")
        self.look("asked", opener, asking)
        ours.sendall(request[-LAST:])
        if os.geteuid() == 0:
            until(lambda: waits_for(opener, POLLOUT, 3), "the opener waits until its answer is taken")
            self.look("answers", opener, asking)
        receive(ours, junk)
        while piece := ours.recv(65536):
            client.sendall(piece)

    def frame(self, client):
        size = receive(client, 4)
        return size + receive(client, struct.unpack(">I", size)[0])
