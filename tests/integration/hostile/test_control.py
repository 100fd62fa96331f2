#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile peers of the control socket, from accounts that may use it: keyturn status works all the while, and so does KMS."""
import contextlib
import random
import struct
import time
import unittest

from bystander import Attacked
from served import until

HEAD = struct.Struct(">IIHH")
MAGIC = 0x4B544354
STATUS, OFFER = 1, 2
CLIENT_TIMEOUT_S = 10  # kmsplugin/keeper.h


def head(length=8, magic=MAGIC, version=1, op=STATUS):
    return HEAD.pack(length, magic, version, op)


class Control(Attacked):
    def setUp(self):
        super().setUp()
        self.d.start()
        self.warm_up()

    def answer(self, data):
        with self.d.connect_control() as connection:
            connection.settimeout(CLIENT_TIMEOUT_S + 10)
            try:
                connection.sendall(data)
                said = b""
                while piece := connection.recv(65536):
                    said += piece
            except (BrokenPipeError, ConnectionResetError):
                pass
            return said

    def test_wrong_requests_are_answered_with_an_error(self):
        cases = {
            "wrong magic": head(magic=0x12345678),
            "wrong version": head(version=9),
            "wrong operation": head(op=99),
            "a status with a document": head(9) + b"x",
            "an offer without one": head(op=OFFER),
            "an offer of junk": head(8 + 1000, op=OFFER) + random.Random(1).randbytes(1000),
            "an offer of zeros, as large as possible": head(8 + 1048576, op=OFFER) + bytes(1048576),
            "4 GiB": head(0xFFFFFFFF),
            "one byte too long": head(8 + 1048577),
            "no length": head(0),
            "shorter than a request": head(7),
            "HTTP": b"GET / HTTP/1.1\r\n\r\n",
            "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        }
        with self.operated():
            for name, data in cases.items():
                with self.subTest(name):
                    said = self.answer(data)
                    self.assertGreater(len(said), 4)
                    self.assertEqual(len(said), 4 + struct.unpack(">I", said[:4])[0])
                    self.assertNotIn(data[12:44] or b"none", said, "rejected input is not repeated")
        self.assertEqual(self.d.healthz(), "ok")

    def test_junk_and_vanishing_clients(self):
        seeded = random.Random(2)
        with self.operated():
            for n in range(300):
                with self.d.connect_control() as connection:
                    with contextlib.suppress(OSError):
                        connection.sendall(seeded.randbytes(n % 40) if n % 2 else head(8 + n * 100, op=OFFER) + bytes(n))

    def test_a_100_connections(self):
        with self.operated() as found:
            idle = [self.d.connect_control() for _ in range(100)]
            count = len(found)
            until(lambda: len(found) > count + 3, "keyturn status beside them")
            for connection in idle:
                connection.close()

    def test_slow_senders_are_cut(self):
        """A byte now and then does not keep a place for ever."""
        request = head(8 + 500, op=OFFER) + bytes(500)
        with self.operated():
            start = time.monotonic()
            slow = [self.d.connect_control() for _ in range(5)]
            cut, sent = {}, 0

            def drip():
                nonlocal sent
                took = time.monotonic() - start
                for n, connection in enumerate(slow):
                    try:
                        if n not in cut and took * 20 > sent:
                            connection.send(request[sent:sent + 1])
                    except OSError:
                        cut[n] = took
                sent += took * 20 > sent
                return len(cut) == len(slow)
            until(drip, "all are cut", CLIENT_TIMEOUT_S + 10)
            self.assertGreater(min(cut.values()), 5)
            for connection in slow:
                connection.close()

    def test_clients_that_do_not_read(self):
        with self.operated():
            deaf = [self.d.connect_control() for _ in range(16)]
            for connection in deaf:
                connection.sendall(head())
            self.assertIsNone(self.d.control(STATUS).error)
            for connection in deaf:
                connection.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
