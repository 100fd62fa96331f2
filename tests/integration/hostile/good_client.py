# SPDX-License-Identifier: Apache-2.0
"""A well-behaved caller, in a process of its own: Status, Encrypt, Decrypt, and Decrypt of the first thing it ever
encrypted, over and over, each with the deadline that kube-apiserver gives a KMS plugin by default."""
import multiprocessing
import os
import time

from kms_peer import Closed, Failed, Peer

DEADLINE = 3.0
PACE = 0.002  # between rounds: a caller, not a load


class GoodClient:
    """kept: it may not lose its connection nor see a call fail. Otherwise it connects again, as kube-apiserver does, and
    counts for how long nothing worked; a wrong plaintext is always a failure."""

    def __init__(self, path, kept=True):
        context = multiprocessing.get_context("fork")
        self.path, self.kept = path, kept
        self.calls = context.Value("L", 0)
        self.slowest = context.Value("d", 0.0)
        self.gap = context.Value("d", 0.0)
        self.failed = context.Value("L", 0)
        self.wrong = context.Value("L", 0)
        self.stopped = context.Event()
        self.words = context.SimpleQueue()
        self.process = context.Process(target=self.run, daemon=True)
        self.process.start()

    def run(self):
        peer, first, good_at = None, None, time.monotonic()
        while not self.stopped.is_set():
            try:
                peer = peer or Peer(self.path, patience=DEADLINE)
                first = self.round(peer, first)
                self.gap.value = max(self.gap.value, time.monotonic() - good_at)
                good_at = time.monotonic()
            except (OSError, Failed) as error:
                self.fail(error)
                if isinstance(error, (OSError, Closed)):
                    if peer:
                        peer.close()
                    peer = None
            self.stopped.wait(PACE)
        self.gap.value = max(self.gap.value, time.monotonic() - good_at)
        if peer:
            peer.close()

    def round(self, peer, first):
        seed = os.urandom(32)
        health, key_id = self.timed(peer.status)
        if health != "ok" and self.kept:
            self.fail(health)
        ciphertext, key_id = self.timed(peer.encrypt, seed)
        first = first or (seed, ciphertext, key_id)
        for plaintext, *what in ((seed, ciphertext, key_id), first):
            if self.timed(peer.decrypt, *what) != plaintext:
                self.wrong.value += 1
        return first

    def timed(self, call, *what):
        start = time.monotonic()
        result = call(*what, patience=DEADLINE)
        self.slowest.value = max(self.slowest.value, time.monotonic() - start)
        self.calls.value += 1
        return result

    def fail(self, error):
        self.failed.value += 1
        if self.failed.value <= 5:
            self.words.put(f"{type(error).__name__}: {error}" if isinstance(error, Exception) else error)

    def failures(self):
        found = []
        while not self.words.empty():
            found.append(self.words.get())
        return found

    def stop(self):
        self.stopped.set()
        self.process.join(60)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError("the good client hangs")
        return self
