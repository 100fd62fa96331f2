# SPDX-License-Identifier: Apache-2.0
"""Somebody who reads all the while, and notes what was not as it should be."""

import threading
import time


class Reader(threading.Thread):
    """Reads these Secrets ({name: value}, which may grow) through one API server, over and over, until end()."""

    def __init__(self, api, kept):
        super().__init__(daemon=True)
        self.api, self.kept, self.over = api, kept, threading.Event()
        self.errors, self.reads, self.longest = [], 0, 0.0

    def run(self):
        client = self.api.client(keep=True)
        while not self.over.is_set():
            for name, value in list(self.kept.items()):
                begun = time.monotonic()
                found = client.read_secret(name)
                self.longest = max(self.longest, time.monotonic() - begun)
                self.reads += 1
                if found != value:
                    self.errors.append((name, found))
            self.over.wait(0.05)
        client.close()

    def end(self):
        self.over.set()
        self.join(60)
