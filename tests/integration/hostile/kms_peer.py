# SPDX-License-Identifier: Apache-2.0
"""A KMS v2 caller that writes its own HTTP/2 (RFC 9113), so that a test can also write it wrong."""
import os
import select
import socket
import struct
import time

from served import fields_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
STALLED = 1  # seconds without room
SERVICE = "/v2.KeyManagementService/"

# gRPC statuses that tests name
OK, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 2, 3, 4, 8, 12, 13, 14


class Closed(ConnectionError):
    """The server closed the connection; `got` is what came before on it."""

    def __init__(self, got=b""):
        super().__init__("closed")
        self.got = got


class Failed(Exception):
    """A call that ended with another status than OK."""

    def __init__(self, status, text):
        super().__init__(f"grpc-status {status}: {text}")
        self.status, self.text = status, text


def frame(kind, flags=0, stream=0, body=b"", length=None):
    return struct.pack(">I", len(body) if length is None else length)[1:] + struct.pack(">BBI", kind, flags, stream) + body


def settings(*pairs):
    return frame(SETTINGS, body=b"".join(struct.pack(">HI", name, value) for name, value in pairs))


# No header table: what the server sends is then literal, or stands in the static table of RFC 7541.
HELLO = PREFACE + settings((HEADER_TABLE_SIZE, 0))


def literal(name, value):
    """One header field, RFC 7541 §6.2.2; both parts shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def headers(method="Status", timeout="3S", authority="localhost", path=None, **more):
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path or SERVICE + method)]
    fields += [(":authority", authority)] if authority else []
    fields += [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", timeout)]
    return b"".join(literal(*field) for field in fields + [(name.replace("_", "-"), text) for name, text in more.items()])


def message(body, length=None, compressed=0):
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def field(number, data):
    """A length-delimited protobuf field."""
    data = data.encode() if isinstance(data, str) else data
    size, prefix = len(data), b""
    while size > 127:
        prefix, size = prefix + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + prefix + bytes([size]) + data


def request(stream, method="Status", body=b"", **more):
    return frame(HEADERS, END_HEADERS, stream, headers(method, **more)) + frame(DATA, END_STREAM, stream, message(body))


def header_fields(block):
    """The literal fields of a header block by name; what stands in the static table is passed over."""
    found, at = {}, 0

    def number(bits):
        nonlocal at
        most = (1 << bits) - 1
        value = block[at] & most
        at += 1
        shift = 0
        while value >= most:
            value += (block[at] & 127) << shift
            shift += 7
            at += 1
            if block[at - 1] < 128:
                break
        return value

    def text():
        nonlocal at
        coded = block[at] & 128
        size = number(7)
        at += size
        return None if coded else block[at - size:at].decode("latin-1")

    while at < len(block):
        first = block[at]
        if first & 128:
            number(7)
        elif first & 224 == 32:
            number(5)
        else:
            index = number(6 if first & 64 else 4)
            name = text() if index == 0 else index
            found[name] = text()
    return found


class Peer:
    """One connection. Every wait ends at a deadline."""

    def __init__(self, path, hello=HELLO, patience=30.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.patience = patience
        self.stream = -1
        self.buffer = b""
        if hello:
            self.send(hello)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def send_some(self, data, patience):
        """As much as the server takes within that time; how much it was."""
        end, sent = time.monotonic() + patience, 0
        self.socket.settimeout(0.2)
        try:
            while sent < len(data) and time.monotonic() < end:
                try:
                    sent += self.socket.send(data[sent:sent + 65536])
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self.socket.settimeout(self.patience)
        return sent

    def read(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer within the deadline")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError as error:
            raise Closed from error
        if not data:
            raise Closed
        self.buffer += data

    def next_frame(self, deadline):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            self.read(deadline)
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        body, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        return kind, flags, stream, body

    def finish(self, stream, deadline):
        """The answer's message; Failed, Closed or TimeoutError."""
        answer, said = b"", {}
        while True:
            kind, flags, on, body = self.next_frame(deadline)
            if kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, body=body))
            elif kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK))
            elif kind == GOAWAY:
                raise Closed(body)
            if kind == DATA and body:
                self.send(frame(WINDOW_UPDATE, body=struct.pack(">I", len(body))))
            if on != stream:
                continue
            if kind == RST_STREAM:
                raise Failed(INTERNAL, f"stream reset {body.hex()}")
            if kind == DATA:
                answer += body
            if kind == HEADERS:
                said.update(header_fields(body))
            if flags & END_STREAM and kind in (DATA, HEADERS):
                break
        status = int(said.get("grpc-status", 2))
        if status != OK:
            raise Failed(status, said.get("grpc-message"))
        return fields_of(answer[5:])

    def call(self, method, body=b"", patience=3.0, **more):
        deadline = time.monotonic() + patience
        self.stream += 2
        self.send(request(self.stream, method, body, **more))
        return self.finish(self.stream, deadline)

    def status(self, **more):
        answer = self.call("Status", **more)
        return answer[2][0].decode(), answer[3][0].decode()

    def encrypt(self, plaintext, **more):
        answer = self.call("Encrypt", field(1, plaintext) + field(2, "uid"), **more)
        return answer[1][0], answer[2][0].decode()

    def decrypt(self, ciphertext, key_id, **more):
        return self.call("Decrypt", field(1, ciphertext) + field(2, "uid") + field(3, key_id), **more)[1][0]

    def push(self, stream, first, most, patience=20.0):
        """`first`, then zeros on an open stream, as fast as the server gives room for it (RFC 9113 §5.2), until it has taken so much,
        ends the stream or the connection, or gives no more room for a second. How much it took."""
        self.send(frame(DATA, 0, stream, first))
        sent, start_room = len(first), 65535
        room = {0: start_room - sent, stream: start_room - sent}
        end = time.monotonic() + patience
        try:
            while sent < most and time.monotonic() < end:
                size = min(*room.values(), 16384, most - sent)
                if size > 0:
                    self.send(frame(DATA, 0, stream, bytes(size)))
                    sent, room = sent + size, {on: left - size for on, left in room.items()}
                while select.select([self.socket], [], [], 0 if min(room.values()) > 0 else STALLED)[0] or len(self.buffer) > 8:
                    kind, flags, on, body = self.next_frame(end)
                    if kind == WINDOW_UPDATE:
                        room[on] += struct.unpack(">I", body)[0]
                    elif kind == SETTINGS and not flags & ACK:
                        for name, value in struct.iter_unpack(">HI", body):
                            if name == INITIAL_WINDOW_SIZE:
                                room[stream], start_room = room[stream] + value - start_room, value
                        self.send(frame(SETTINGS, ACK))
                    elif kind == PING and not flags & ACK:
                        self.send(frame(PING, ACK, body=body))
                    elif kind == GOAWAY or on == stream:
                        self.buffer = frame(kind, flags, on, body) + self.buffer  # for finish
                        return sent
                if min(room.values()) <= 0:
                    return sent
        except (Closed, TimeoutError):
            pass
        return sent

    def closed_within(self, patience):
        """Waits until the server closes; all that it sent before."""
        deadline = time.monotonic() + patience
        try:
            while True:
                self.read(deadline)
        except Closed:
            return self.buffer


def round_trip(peer, patience=3.0):
    seed = os.urandom(32)
    ciphertext, key_id = peer.encrypt(seed, patience=patience)
    assert peer.decrypt(ciphertext, key_id, patience=patience) == seed
    return ciphertext, key_id
