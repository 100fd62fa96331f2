# SPDX-License-Identifier: Apache-2.0
"""A KMS v2 server that says to everybody what a test wants: HTTP/2 (RFC 9113) as far as one call needs it."""
import pathlib
import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STATUS_200 = b"\x88"  # of the static table, RFC 7541


def frame(kind, flags=0, stream=0, body=b""):
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def field(number, data):
    """A length-delimited protobuf field, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(data)]) + data


class StrangeKms:
    """Answers Status with version v2, healthz and key_id; or, where `details` is given, with gRPC status 13 and these
    words (percent-encoded as grpc-message is)."""

    def __init__(self, path, healthz=b"", key_id=b"", details=None):
        self.answer = field(1, b"v2") + field(2, healthz) + field(3, key_id)
        self.details = details
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def run(self):
        try:
            while True:
                connection, _ = self.listener.accept()
                with connection, connection.makefile("rb") as stream:
                    self.serve(connection, stream)
        except OSError:
            return

    def serve(self, connection, stream):
        stream.read(len(PREFACE))
        connection.sendall(frame(SETTINGS))
        while head := stream.read(9):
            kind, flags, number = head[3], head[4], struct.unpack(">I", head[5:])[0]
            body = stream.read(int.from_bytes(head[:3], "big"))
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, body if kind == PING else b""))
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                connection.sendall(self.reply(number))

    def reply(self, number):
        head = STATUS_200 + literal(b"content-type", b"application/grpc")
        if self.details is not None:
            return frame(HEADERS, END_STREAM | END_HEADERS, number,
                         head + literal(b"grpc-status", b"13") + literal(b"grpc-message", self.details))
        message = struct.pack(">BI", 0, len(self.answer)) + self.answer
        return (frame(HEADERS, END_HEADERS, number, head) + frame(DATA, 0, number, message) +
                frame(HEADERS, END_STREAM | END_HEADERS, number, literal(b"grpc-status", b"0")))
