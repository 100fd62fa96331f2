#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may not call gets no byte from a socket: foreign uids and gids, also of other user namespaces."""
import contextlib
import os
import signal
import socket
import struct
import time
import unittest

from bystander import Attacked
from kms_peer import HELLO, Closed, Peer
from served import ROOT, Served, get_at, metric_in, until
from strangers import Child, in_child

STRANGER, LISTED, GROUP, OVERFLOW = 4321, 4320, 5555, 65534
CROWD, CROWD_S = 1000, 60  # connections of one stranger, and how long he may take
STATUS = struct.pack(">IIHH", 8, 0x4B544354, 1, 1)  # proto/control.h
REFUSED = 'keyturn_peers_refused_total{socket="%s"}'
EVENTS = {"kms": "peer-refused", "control": "control-peer-refused"}
FLOOD = 200


class Case(unittest.TestCase):
    settings = ()
    separate = True

    def setUp(self):
        self.d = Served(*self.settings, separate=self.separate)
        self.addCleanup(self.d.close)

    def open_to_all(self):
        """The mode of the socket is a second fence; here it is taken away."""
        self.d.change_config('mode: "0660"', 'mode: "0666"')

    def kms(self):
        """What a caller sees: an answer, or what came before the connection was closed."""
        try:
            peer = Peer(self.d.kms, b"", patience=20)
        except PermissionError:
            return "no way in"
        with peer:
            try:
                peer.send(HELLO)
                return peer.status(patience=20)[0]
            except Closed:
                return f"closed after {len(peer.closed_within(20))} bytes"

    def control(self):
        connection = socket.socket(socket.AF_UNIX)
        with connection:
            connection.settimeout(20)
            try:
                connection.connect(os.path.join(self.d.place, "run", "control.sock"))
            except PermissionError:
                return "no way in"
            try:
                connection.sendall(STATUS)
            except BrokenPipeError:
                pass
            try:
                said = connection.recv(4096)
            except ConnectionResetError:
                said = b""
            return "ok" if len(said) > 4 else f"closed after {len(said)} bytes"

    def allow(self, **lists):
        for name, ids in lists.items():
            self.d.change_config(rf"(kms:\n(?:  .*\n)*?  {name}: )\[.*\]", rf"\g<1>{ids}  # {name} of this test")

    def metrics_text(self):
        """/metrics at a Unix socket, which also tells when nobody may ask the control socket."""
        return get_at(os.path.join(self.d.place, "run", "metrics.sock"), "/metrics")

    @staticmethod
    def flood(*calls):
        for call in calls:
            for _ in range(FLOOD):
                call()
        return "done"

    @contextlib.contextmanager
    def few_lines(self, *sockets):
        """Within, some stranger is refused over and over: a line a second, however often."""
        before, start = {which: self.refused(which) for which in sockets}, time.monotonic()
        yield
        took = time.monotonic() - start
        for which in sockets:
            self.assertEqual(self.refused(which), before[which] + FLOOD)
            self.assertLess(self.d.log().count(f"event={EVENTS[which]} "), took + 2)

    def refused(self, which="kms"):
        return metric_in(REFUSED % which, self.metrics_text())


class OwnNamespace(Case):
    def setUp(self):
        super().setUp()
        self.d.change_config("listen: .*", f'listen: "{self.d.place}/run/metrics.sock"')

    def test_a_caller_that_is_not_listed(self):
        """As root, somebody else; else we ourselves, who are not in the list."""
        self.open_to_all()
        self.allow(uids="[0]")
        self.d.start()
        for n in range(1, 4):
            said = in_child(self.kms, STRANGER, STRANGER) if ROOT else self.kms()
            self.assertEqual(said, "closed after 0 bytes")
            self.assertEqual(self.refused(), n)
        log = self.d.log()
        self.assertIn(f"event=peer-refused uid={STRANGER if ROOT else os.getuid()}", log)
        if ROOT:
            self.assertEqual(self.kms(), "ok")

    def test_the_mode_of_the_sockets_keeps_strangers_out_first(self):
        self.d.start()
        if ROOT:
            self.assertEqual(in_child(self.kms, STRANGER, STRANGER), "no way in")
            self.assertEqual(in_child(self.control, STRANGER, STRANGER), "no way in")
        for name, mode in (("kms/kms.sock", 0o660), ("control.sock", 0o600)):
            self.assertEqual(os.stat(os.path.join(self.d.place, "run", name)).st_mode & 0o777, mode, name)
        self.assertEqual((self.kms(), self.control()), ("ok", "ok"))

    def test_groups(self):
        """kms.gids lets in by the primary group and by a supplementary one."""
        self.open_to_all()
        group = GROUP if ROOT else os.getgid()
        self.allow(uids="[0]", gids="[]")
        self.d.start()
        calls = [lambda: self.kms()]
        if ROOT:
            calls = [lambda: in_child(self.kms, STRANGER, GROUP), lambda: in_child(self.kms, STRANGER, STRANGER, [7, GROUP])]
        for call in calls:
            self.assertEqual(call(), "closed after 0 bytes")
        self.allow(gids=f"[{group}]")
        self.d.process.send_signal(signal.SIGHUP)
        until(lambda: metric_in("keyturn_config_reloads_total", self.metrics_text()) == 1, "the reload is done")
        for call in calls:
            until(lambda: call() == "ok", "the group is let in")  # the front reads its configuration when it comes
        if ROOT:
            self.assertEqual(in_child(self.kms, STRANGER, STRANGER, [7, 8]), "closed after 0 bytes")

    def test_a_caller_that_is_taken_off_the_list(self):
        """is cut off on the connection that it has."""
        self.open_to_all()
        self.allow(uids=f"[{os.getuid()}]")
        self.d.start()
        with Peer(self.d.kms) as peer:
            self.assertEqual(peer.status()[0], "ok")
            self.allow(uids=f"[{STRANGER}]")
            self.d.process.send_signal(signal.SIGHUP)
            peer.closed_within(20)
        self.assertEqual(self.kms(), "closed after 0 bytes")
        self.assertIn(f"event=peer-revoked uid={os.getuid()}", self.d.log())

    def test_root_of_a_namespace_of_its_own(self):
        """is who it is outside: a stranger stays one, and we stay ourselves."""
        self.open_to_all()
        self.d.start()
        if ROOT:
            self.assertEqual(in_child(self.kms, STRANGER, STRANGER, namespace=True), "closed after 0 bytes")
            self.assertEqual(self.refused(), 1)
        self.assertEqual(in_child(self.kms, namespace=True), "ok")

    def test_control_socket(self):
        if ROOT:
            self.d.change_config(r"(control:\n(?:  .*\n)*?  uids: )\[\]", rf"\g<1>[{STRANGER}]")
            self.d.start()
            self.assertEqual(in_child(self.control, STRANGER, STRANGER), "ok")
            for n, uid in enumerate((STRANGER + 1, OVERFLOW), 1):
                self.assertEqual(in_child(self.control, uid, uid, [0]), "closed after 0 bytes")
                self.assertEqual(self.refused("control"), n)
        else:
            self.d.start()
            self.assertEqual(in_child(self.control, namespace=True), "ok")
        self.assertEqual(self.control(), "ok")

    @unittest.skipUnless(ROOT, "OtherNamespace has it for who is not root")
    def test_a_stranger_does_not_fill_the_log(self):
        self.d.change_config(r"(control:\n(?:  .*\n)*?  uids: )\[\]", rf"\g<1>[{STRANGER}]")
        self.open_to_all()
        self.d.start()
        with self.few_lines("kms", "control"):
            in_child(lambda: self.flood(self.kms, self.control), STRANGER + 1, STRANGER + 1)


class OtherNamespace(Case):
    """keyturnd in a user namespace that maps nobody, so that everybody in it and outside is 65534: that is no identity,
    and nobody is let in, not even when the number is listed."""
    separate = False

    def test_overflow_ids_are_never_allowed(self):
        self.open_to_all()
        self.allow(uids=f"[0, {OVERFLOW}]", gids=f"[{OVERFLOW}]")
        self.d.change_config("listen: .*", f'listen: "{self.d.place}/run/metrics.sock"')
        daemon = [os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config]
        self.d.start(wait=False, command=["unshare", "--user", *daemon])
        until(lambda: self.d.heard("READY=1"), "READY=1")
        for n in range(1, 4):
            self.assertEqual(self.kms(), "closed after 0 bytes")
            self.assertEqual(self.refused(), n)
        self.assertIn(f"event=peer-refused uid={OVERFLOW}", self.d.log())
        self.assertEqual(self.control(), "closed after 0 bytes")
        self.assertEqual(self.refused("control"), 1)
        with self.few_lines("kms", "control"):
            self.flood(self.kms, self.control)

    def test_a_namespace_that_maps_us(self):
        """Its root is us; who is not mapped is 65534 there."""
        self.open_to_all()
        self.allow(uids="[0]")
        self.d.change_config("listen: .*", f'listen: "{self.d.place}/run/metrics.sock"')
        daemon = [os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config]
        self.d.start(wait=False, command=["unshare", "--user", "--map-root-user", *daemon])
        until(lambda: self.d.heard("READY=1"), "READY=1")
        until(lambda: self.kms() == "ok", "we are let in")
        if ROOT:
            self.assertEqual(in_child(self.kms, STRANGER, STRANGER), "closed after 0 bytes")
            self.assertIn(f"event=peer-refused uid={OVERFLOW}", self.d.log())


class Crowd(Attacked):
    """Thousands who are turned away, while those who may call go on calling."""

    def setUp(self):
        super().setUp()
        self.d.change_config('mode: "0660"', 'mode: "0666"')
        self.d.change_config(r"(control:\n(?:  .*\n)*?  uids: )\[\]", rf"\g<1>[{LISTED}]")

    def connect_often(self, path, data):
        """How many connections were closed, and how many bytes came before that."""
        signal.alarm(CROWD_S)
        closed = got = 0
        for _ in range(CROWD):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                try:
                    connection.sendall(data)
                    got += len(connection.recv(4096))
                except (BrokenPipeError, ConnectionResetError):
                    pass
                closed += 1
        return f"{closed} closed after {got} bytes"

    def attack(self, path, data, crowd):
        """All of them at once."""
        children = [Child(lambda: self.connect_often(path, data), **who) for who in crowd]
        self.assertEqual([child.result() for child in children], [f"{CROWD} closed after 0 bytes"] * len(children))
        return CROWD * len(children)

    def turned_away(self, crowd):
        self.warm_up()
        with self.operated():
            sent = {"kms": self.attack(self.d.kms, HELLO, crowd),
                    "control": self.attack(os.path.join(self.d.place, "run", "control.sock"), STATUS, crowd)}
        for name, count in sent.items():
            self.assertEqual(self.d.metric(REFUSED % name), count)
        for event in ("event=peer-refused", "event=control-peer-refused"):
            self.assertIn(self.d.log().count(event), range(1, 100), "some are named in the log, and they do not fill it")


@unittest.skipUnless(ROOT, "needs root to become others")
class OwnNamespaceCrowd(Crowd):
    def test_uids_gids_and_namespaces(self):
        self.d.change_config(r"(kms:\n(?:  .*\n)*?  gids: )\[\]", rf"\g<1>[{GROUP}]")
        self.d.start()
        self.turned_away([{"uid": STRANGER, "gid": STRANGER}, {"uid": STRANGER, "gid": STRANGER + 1, "groups": [7, GROUP + 1]},
                          {"uid": STRANGER, "gid": STRANGER, "namespace": True}, {"uid": OVERFLOW, "gid": OVERFLOW}])


@unittest.skipUnless(ROOT, "needs root to become others")
class OtherNamespaceCrowd(Crowd):
    """keyturnd in a user namespace that maps root only: all others are 65534 there. At the control socket it is listed, in
    vain; the KMS socket could not be given to it."""
    separate = False

    def test_overflow_ids(self):
        self.d.change_config(rf"uids: \[{LISTED}\]", f"uids: [{LISTED}, {OVERFLOW}]")
        daemon = [os.path.join(self.d.prefix, "sbin", "keyturnd"), "--config", self.d.config]
        self.d.start(command=["unshare", "--user", "--map-root-user", *daemon])
        self.turned_away([{"uid": STRANGER, "gid": STRANGER}, {"uid": OVERFLOW, "gid": OVERFLOW},
                          {"uid": STRANGER, "gid": STRANGER, "namespace": True}])
        self.assertIn(f"event=peer-refused uid={OVERFLOW} gid={OVERFLOW}", self.d.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
