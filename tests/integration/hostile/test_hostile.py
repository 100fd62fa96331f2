#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile peers of the KMS socket: nobody else's call fails or passes its deadline, and afterwards descriptors and memory
are where they were."""
import random
import resource
import struct
import time
import unittest

from bystander import Attacked
from kms_peer import (ACK, CONTINUATION, DATA, DEADLINE_EXCEEDED, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HELLO,
                      INITIAL_WINDOW_SIZE, INTERNAL, INVALID_ARGUMENT, PING, PREFACE, RESOURCE_EXHAUSTED, RST_STREAM, SETTINGS,
                      UNIMPLEMENTED, UNKNOWN, Closed, Failed, Peer, field, frame, headers, message, request, round_trip,
                      settings)
from served import anonymous_kib, sanitized, until

REQUEST_BYTES = 32768  # kms.maxRequestBytes, where a test sets it
CONNECTIONS = 256      # kms.maxConnections
MIB = 1 << 20
KEEPALIVE_S = 30       # kmsplugin/front_service.c: a ping after 20 s, cut 10 s later
GOT = (Failed, Closed)


class Junk(Attacked):
    """Bytes that are no HTTP/2, or HTTP/2 that is wrong. The server ends such a connection by itself."""

    def test_no_http2(self):
        self.d.start()
        self.warm_up()
        seeded = random.Random(1)
        cases = {
            "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
            "HTTP/1.1 with a body": b"POST /v2.KeyManagementService/Status HTTP/1.1\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
            "TLS": bytes.fromhex("16030100c4010000c00303") + bytes(200),
            "zeros": bytes(4096),
            "the preface but for its end": PREFACE[:-1] + b"x",
            "preface and junk": PREFACE + seeded.randbytes(4096),
        }
        cases.update({f"random {n}": b"\xff" + seeded.randbytes(seeded.randrange(24, 4096)) for n in range(50)})
        with self.bystander():
            for name, data in cases.items():
                with self.subTest(name):
                    self.assertEqual(self.ends(data), "closed")

    def test_bad_frames(self):
        self.d.start()
        self.warm_up()
        cases = {
            "a frame of 16 MiB": frame(DATA, stream=1, length=0xFFFFFF) + bytes(100),
            "headers of 16 MiB": frame(HEADERS, END_HEADERS, 1, length=0xFFFFFF) + bytes(100),
            "an index that no table has": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\x0f"),
            "an integer without an end": frame(HEADERS, END_HEADERS, 1, b"\x00" + b"\xff" * 40),
            "a string that is longer than its block": frame(HEADERS, END_HEADERS, 1, b"\x00\x7e" + b"a" * 20),
            "continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, headers()),
            "settings of five bytes": frame(SETTINGS, body=b"12345"),
            "a ping of seven bytes": frame(PING, body=b"1234567"),
        }
        borne = {  # a connection that gRPC lets live, and that goes on answering
            "a string of bad Huffman code": frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x01a"),
            "data on no stream": frame(DATA, 0, 0, b"x"),
            "an unknown kind of frame": frame(0xEE, 0xFF, 7, bytes(100)),
        }
        with self.bystander():
            for name, data in cases.items():
                with self.subTest(name):
                    self.assertEqual(self.ends(data, HELLO), "closed")
            for name, data in borne.items():
                with self.subTest(name):
                    self.assertIn(self.ends(data, HELLO), ("closed", "open"))

    def test_cut_anywhere(self):
        """A whole call, of which only the first n bytes come before the peer is gone."""
        self.d.start()
        self.warm_up()
        whole = HELLO + request(1, "Encrypt", field(1, b"x" * 32) + field(2, "uid"))
        with self.bystander():
            for size in range(0, len(whole), 3):
                with Peer(self.d.kms, whole[:size]):
                    pass


class Messages(Attacked):
    """Calls that are well-formed HTTP/2 and wrong above it: each ends with a gRPC status, at once."""

    def refused(self, data, statuses, patience=2.0):
        """The call on stream 1 ends so, or its connection does."""
        with Peer(self.d.kms) as peer:
            try:
                peer.send(data)
                peer.finish(1, time.monotonic() + patience)
            except Failed as failed:
                self.assertIn(failed.status, statuses, failed)
            except Closed:
                self.assertIn("closed", statuses)
            else:
                self.assertIn("ok", statuses)

    def with_body(self, method, body, end=END_STREAM, **more):
        return frame(HEADERS, END_HEADERS, 1, headers(method, **more)) + frame(DATA, end, 1, body)

    def test_wrong_messages(self):
        self.d.start()
        self.warm_up()
        cases = {
            "4 GiB announced, and the end": (self.with_body("Encrypt", message(b"x", length=0xFFFFFFFF)), [3, INTERNAL]),
            "4 GiB announced, and silence": (self.with_body("Encrypt", message(b"x", length=0xFFFFFFFF), end=0, timeout="1S"),
                                             [DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED]),
            "cut in the message": (self.with_body("Encrypt", message(b"12345", length=100)), [3, INTERNAL]),
            "cut in the prefix": (self.with_body("Encrypt", b"\0\0\0"), [3, INTERNAL]),
            "no message": (frame(HEADERS, END_HEADERS | END_STREAM, 1, headers("Encrypt")), [3]),
            "compressed, by an encoding not named": (self.with_body("Encrypt", message(b"x" * 20, compressed=1)), ["ok", 3, INTERNAL]),
            "an encoding that nobody has": (self.with_body("Encrypt", message(b"x" * 20, compressed=1), grpc_encoding="no"),
                                            ["ok", 3, UNIMPLEMENTED, INTERNAL]),
            "an empty plaintext": (self.with_body("Encrypt", message(b"")), ["ok", 3]),
            "no protobuf": (self.with_body("Encrypt", message(b"\xff" * 40)), [3]),
            "a plaintext of 2 KiB": (self.with_body("Encrypt", message(field(1, b"x" * 2048))), [3]),
            "a ciphertext of nonsense": (self.with_body("Decrypt", message(field(1, b"x" * 61) + field(3, "0" * 32))), [3, 5, 9]),
            "unknown method": (self.with_body("Rewrap", message(b"")), [UNIMPLEMENTED]),
            "unknown service": (self.with_body("", message(b""), path="/v1beta1.KeyManagementService/Encrypt"), [UNIMPLEMENTED]),
            "no :authority": (self.with_body("Status", message(b""), authority=""), [UNKNOWN]),
            "any :authority": (self.with_body("Status", message(b""), authority="some.where:1234"), ["ok"]),
        }
        with self.bystander():
            for name, (data, statuses) in cases.items():
                with self.subTest(name):
                    self.refused(data, statuses)

    def test_over_max_request_bytes(self):
        """A limit within HTTP/2's first window: gRPC 1.51 sometimes never opens it for the last bytes of a larger message."""
        self.d.change_config("maxRequestBytes: 65536", f"maxRequestBytes: {REQUEST_BYTES}")
        self.d.start()
        self.warm_up()
        with self.bystander():
            for size, status in ((REQUEST_BYTES, INVALID_ARGUMENT), (REQUEST_BYTES + 1, RESOURCE_EXHAUSTED)):
                start = message(field(1, bytes(size - 4))[:4], length=size)
                with Peer(self.d.kms) as peer:
                    peer.send(frame(HEADERS, END_HEADERS, 1, headers("Encrypt")))
                    peer.push(1, start, size + 5)
                    with self.assertRaises(Failed) as failed:
                        peer.finish(1, time.monotonic() + 3)
                    self.assertEqual(failed.exception.status, status)

    def test_an_announced_message_of_4_gib_that_comes(self):
        """The library looks at kms.maxRequestBytes when a message is whole, and buffers until then (grpc 1.51; a resource
        quota would bound it, and breaks off other callers' streams when it is full). So a peer who may call can take
        memory for as long as its call lives; nobody else's call suffers, and it is all given back."""
        self.d.start()
        self.warm_up()
        front = self.d.pids()["front"]
        with self.bystander():
            for _ in range(3):
                with Peer(self.d.kms) as peer:
                    peer.send(frame(HEADERS, END_HEADERS, 1, headers("Encrypt", timeout="60S")))
                    peer.push(1, message(b"", length=0xFFFFFFFF), 32 * MIB)
                    # As in bystander.py: a sanitizer's quarantine keeps what was given back.
                    self.assertLess(0 if sanitized() else anonymous_kib(front), 160 * 1024)

    def test_fields_without_end(self):
        """64 KiB of two-byte protobuf fields: the parser must not make 32,000 of them into memory that stays."""
        self.d.start()
        self.warm_up()
        with self.bystander():
            for body in (b"\x22\x00" * 32000, b"\x78\x01" * 32000, field(1, b"x" * 30) * 2000):
                with Peer(self.d.kms) as peer:
                    data = message(body)
                    peer.send(frame(HEADERS, END_HEADERS, 1, headers("Decrypt")))
                    for at in range(0, len(data), 16384):
                        peer.send(frame(DATA, END_STREAM if at + 16384 >= len(data) else 0, 1, data[at:at + 16384]))
                    with self.assertRaises(GOT):
                        peer.finish(1, time.monotonic() + 3)


class Crowds(Attacked):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 8192, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def try_connect(self):
        peer = None
        try:
            peer = Peer(self.d.kms, b"")
            peer.send(HELLO)
        except (BlockingIOError, Closed):
            pass
        return peer

    def open_and_closed(self, peers):
        is_closed = []
        for peer in peers:
            peer.socket.setblocking(False)
            try:
                while peer.socket.recv(4096):
                    pass
                is_closed.append(True)
            except BlockingIOError:
                is_closed.append(False)
            except OSError:
                is_closed.append(True)
        return is_closed.count(False), is_closed.count(True)

    def test_1000_idle_connections(self):
        """Over kms.maxConnections callers wait; who is in stays in, and those that leave make room for who waited."""
        self.d.start()
        self.warm_up()
        with self.bystander():
            peers = []
            for _ in range(1000):
                peers.append(until(self.try_connect, "room in the backlog"))
            until(lambda: self.d.metric("keyturn_connections_full_seconds_total") >= 1, "the rest wait")
            self.assertEqual(self.d.connections(), CONNECTIONS)
            late = until(self.try_connect, "room in the backlog")
            for peer in peers:
                peer.close()
            with late:
                round_trip(late, patience=60.0)  # on the very connection that it waited with
        self.assertIn("callers-wait", self.d.log())
        self.assertLess(self.d.log().count("callers-wait"), 10)

    def test_half_open_peers_are_cut(self):
        """Neither the silent nor those that say the preface and then nothing stay: the front's keepalive cuts them."""
        self.d.start()
        self.warm_up()
        with self.bystander():
            start = time.monotonic()
            peers = [Peer(self.d.kms, hello) for hello in [PREFACE, HELLO] * 90 + [b"", PREFACE[:10]] * 10]
            until(lambda: self.open_and_closed(peers)[0] == 0, "the half-open are cut", KEEPALIVE_S + 20)
            self.assertGreater(time.monotonic() - start, 5, "a slow peer has some seconds")
            for peer in peers:
                peer.close()

    def test_a_thousand_half_sent_calls(self):
        self.d.start()
        self.warm_up()
        with self.bystander():
            peers = [Peer(self.d.kms) for _ in range(10)]
            for peer in peers:
                start = frame(DATA, 0, 1, message(b"", length=60000))
                peer.send(b"".join(frame(HEADERS, END_HEADERS, n, headers("Encrypt", timeout="60S")) +
                                   start[:5] + struct.pack(">I", n) + start[9:] for n in range(1, 190, 2)))
            with Peer(self.d.kms) as other:
                round_trip(other)
            for peer in peers:
                peer.close()


class Floods(Attacked):
    """From peers who may call: kube-apiserver with a bug, or somebody in its place. Bounded, as the whole suite is."""

    def test_window_zero(self):
        """Answers that the peer gives no room for, thousands of them."""
        self.d.start()
        self.warm_up()
        with self.bystander():
            for _ in range(3):
                with Peer(self.d.kms, PREFACE + settings((INITIAL_WINDOW_SIZE, 0))) as peer:
                    peer.send_some(b"".join(request(n, timeout="60S") for n in range(1, 6001, 2)), 3)

    def test_ping_flood(self):
        self.d.start()
        self.warm_up()
        with self.bystander():
            with Peer(self.d.kms) as peer:
                peer.send_some(frame(PING, body=b"\0" * 8) * 20000, 5)
                said = peer.closed_within(20)
            self.assertIn(bytes([GOAWAY]), said)

    def test_settings_flood(self):
        self.d.start()
        self.warm_up()
        flood = settings((INITIAL_WINDOW_SIZE, 65535), (INITIAL_WINDOW_SIZE, 65536)) * 20000
        with self.bystander():
            with Peer(self.d.kms) as peer:
                peer.send_some(flood, 3)

    def test_acknowledgements_of_nothing(self):
        self.d.start()
        self.warm_up()
        with self.bystander():
            for data in (frame(SETTINGS, ACK) * 5000, frame(PING, ACK, body=bytes(8)) * 5000):
                with Peer(self.d.kms) as peer:
                    peer.send_some(data, 3)

    def test_endless_headers(self):
        """A header block that goes on in CONTINUATION frames, 4 MiB of it. gRPC core copies what it has at each frame, and
        AddressSanitizer's allocator does so anew, so there 1 MiB is as much work."""
        frames = 64 if sanitized() else 256
        self.d.start()
        self.warm_up()
        start = frame(HEADERS, 0, 1, headers() + b"\0\x01x\x7f\xff\xff\xff\x03")
        with self.bystander():
            with Peer(self.d.kms) as peer:
                peer.send_some(start + frame(CONTINUATION, 0, 1, b"y" * 16384) * frames, 5)

    def test_rapid_reset(self):
        """CVE-2023-44487, which this gRPC has: streams opened and reset at once. No limit of its own stops it."""
        self.d.start()
        self.warm_up()
        block = headers("Status")
        with self.bystander():
            for at in range(0, 20000, 2000):
                with Peer(self.d.kms) as peer:
                    peer.send_some(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, n, block) +
                                            frame(RST_STREAM, 0, n, struct.pack(">I", 8)) for n in range(1, 4001, 2)), 5)

    def test_rapid_reset_with_messages(self):
        """Calls that come whole, so that the keeper is asked too. 5,000 in a row: others wait for a third of a second;
        of 20,000 in a row, for over a second, which is too near to their deadline on a machine that does other things."""
        self.d.start()
        self.warm_up()
        block = headers("Encrypt")
        body = message(field(1, b"x" * 32))
        with self.bystander() as good:
            for _ in range(4):
                with Peer(self.d.kms) as peer:
                    peer.send_some(b"".join(frame(HEADERS, END_HEADERS, n, block) + frame(DATA, END_STREAM, n, body) +
                                            frame(RST_STREAM, 0, n, struct.pack(">I", 8)) for n in range(1, 10001, 2)), 20)
                calls = good.calls.value
                until(lambda: good.calls.value > calls + 8, "the good client's turn")


if __name__ == "__main__":
    unittest.main(verbosity=2)
