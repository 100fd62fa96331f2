#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keyturnd where the active key is an inline one: what it serves, what it claims, and what it says."""
import os
import unittest

from daemon import STATUS, UNWRAP, WRAP, Daemon, keys_of, make_state

SEED = b"a seed of thirty-two bytes......"
IDLE = "no key of type kms: the active key is an inline one (aescbc)"


class Case(unittest.TestCase):
    settings = ()

    def setUp(self):
        self.d = Daemon(*self.settings)
        self.addCleanup(self.d.close)
        self.d.start()
        self.number = 1

    def offer(self, *edits):
        """The next generation is in force; the ids of its keys."""
        self.number += 1
        path = os.path.join(self.d.dir, f"g{self.number}")
        ids = keys_of(make_state("edit", self.d.place, path, *edits).stdout)
        reply = self.d.offer(path)
        self.assertIsNone(reply.error, getattr(reply, "message", ""))
        return ids

    def wrapped(self, key):
        answer = self.d.ask(WRAP, SEED)
        self.assertEqual((answer.code, answer.key_id), ("OK", key))
        return answer

    def opens(self, wrapped):
        answer = self.d.ask(UNWRAP, wrapped.data, wrapped.key_id)
        self.assertEqual((answer.code, answer.data), ("OK", SEED))

    def expect_idle(self):
        text = self.d.wait_healthz(IDLE)
        self.assertIn("does not need this plugin", text)
        status = self.d.ask(STATUS)
        self.assertEqual((status.data.decode(), status.key_id), (text, ""))
        self.assertEqual(self.d.ask(WRAP, SEED).code, "KMS_NO_ACTIVE_KEY")
        self.assertEqual(self.d.status().status[29], [1])
        self.assertEqual(self.d.status().warnings(), [])
        self.assertEqual((self.d.metric("keyturn_healthy"), self.d.metric("keyturn_kms_idle")), (0, 1))
        self.assertEqual(self.d.get("/readyz")[0], 200)


class FromInline(Case):
    """A cluster with an aescbc key goes over to the plugin, and nothing becomes unreadable in between."""
    settings = ("type=aescbc",)

    def test_goes_over_to_kms(self):
        self.expect_idle()
        self.assertNotIn("level=error", self.d.log())
        inline, kms = self.offer("add", "kmskey")
        # Second in kube-apiserver's list: it stores nothing under it yet, but needs it in order.
        self.d.wait_healthz("ok")
        self.opens(self.wrapped(kms))
        self.assertEqual(self.d.metric("keyturn_kms_idle"), 0)
        self.assertEqual(self.offer("activate", kms), [kms, inline])
        self.opens(self.wrapped(kms))
        self.offer("state", inline, "retiring")
        self.assertEqual(self.offer("--later", "90000", "archive", inline), [kms])
        self.opens(self.wrapped(kms))
        self.assertEqual(self.d.healthz(), "ok")

    def test_survives_a_restart(self):
        self.expect_idle()
        self.assertEqual(self.d.stop(), 0)
        self.d.start()
        self.expect_idle()


class ToInline(Case):
    """And back again."""

    def test_goes_over_to_aescbc(self):
        self.d.wait_healthz("ok")
        kms = self.d.first_key
        old = self.wrapped(kms)
        _, inline = self.offer("add-aescbc", "aescbckey")
        self.offer("activate", inline)
        self.opens(old)
        self.wrapped(kms)
        # kube-apiserver reads nothing under it before it has wrapped once with it.
        self.offer("state", kms, "retiring")
        self.d.wait_healthz("ok")
        self.opens(old)
        self.opens(self.wrapped(kms))
        self.offer("state", kms, "compromised")
        self.opens(old)
        self.opens(self.wrapped(kms))
        self.offer("state", kms, "retiring")
        self.assertEqual(self.offer("--later", "90000", "archive", kms), [inline])
        self.expect_idle()
        self.assertEqual(self.d.ask(UNWRAP, old.data, old.key_id).code, "KMS_UNKNOWN_KEY")


if __name__ == "__main__":
    unittest.main(verbosity=2)
