# SPDX-License-Identifier: Apache-2.0
"""A wire to a simulated TPM that can be cut, or made to refuse, at any command of a whole run of keyturn, however many openers
it takes; tcti_fault.c counts within one process."""
import os
import socket
import threading

FLUSH = 0x165


def read_message(connection):
    """A TPM command or answer: tag, length of all, code; None at the end."""
    data = b""
    while len(data) < 10 or len(data) < int.from_bytes(data[2:6], "big"):
        piece = connection.recv(4096)
        if not piece:
            return None
        data += piece
    return data


class Wire:
    """`tcti` reaches the TPM through it."""

    def __init__(self, tpm):
        self.inner = tpm.socket
        path = f"{tpm.socket}.wire"
        self.tcti = f"swtpm:path={path}"
        self.heal()
        self.listeners = []
        for suffix, serve in (("", self.commands), (".ctrl", self.control)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path + suffix)
            listener.listen()
            self.listeners.append(listener)
            threading.Thread(target=self.accept, args=(listener, suffix, serve), daemon=True).start()

    def close(self):
        for listener in self.listeners:
            name = listener.getsockname()
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            os.unlink(name)

    def heal(self):
        self.seen, self.at, self.code = 0, None, None

    def fail(self, at, code=None):
        """From the at-th command on (from 0) it is dead, or, with a code, answers that; what is loaded can still be flushed."""
        self.seen, self.at, self.code = 0, at, code

    def failing(self):
        return self.at is not None and self.seen > self.at

    def accept(self, listener, suffix, serve):
        while True:
            try:
                outer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connected, args=(outer, suffix, serve), daemon=True).start()

    def connected(self, outer, suffix, serve):
        with outer, socket.socket(socket.AF_UNIX) as inner:
            try:
                if not (self.failing() and self.code is None):
                    inner.connect(f"{self.inner}{suffix}")
                    serve(outer, inner)
            except OSError:
                pass

    def control(self, outer, inner):
        while True:
            data = outer.recv(4096)
            if not data:
                return
            inner.sendall(data)
            outer.sendall(inner.recv(4096))

    def commands(self, outer, inner):
        while True:
            command = read_message(outer)
            if not command:
                return
            flush = int.from_bytes(command[6:10], "big") == FLUSH
            self.seen += not flush
            if not self.failing() or (flush and self.code):
                inner.sendall(command)
                outer.sendall(read_message(inner))
            elif self.code:
                outer.sendall(b"\x80\x01\x00\x00\x00\x0a" + self.code.to_bytes(4, "big"))
            else:
                return
