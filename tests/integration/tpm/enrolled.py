# SPDX-License-Identifier: Apache-2.0
"""Several nodes, some with a TPM of their own, that share one keyring (tests/integration/admin/cluster.py)."""
import json
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "admin"), str(HERE.parent / "hostile")]
from cluster import PATIENCE, Recovers  # noqa: E402, F401
from kms_peer import Peer  # noqa: E402
from tpm import Tpm, until  # noqa: E402, F401


class Enrolled(Recovers):
    """The first node, a, keeps its private half in a file."""

    def setUp(self):
        # Not in self.work, which walks put back to what it was.
        self.boards = pathlib.Path(tempfile.mkdtemp(prefix="kt."))
        self.addCleanup(shutil.rmtree, self.boards, ignore_errors=True)
        self.tpms = {}
        super().setUp()

    def board(self, node):
        tpm = self.tpms[node] = Tpm(self.boards / node)
        self.addCleanup(tpm.stop)
        return tpm

    def another_board(self, node):
        """In the same place, reached as the first one was."""
        self.tpms[node].stop()
        (self.boards / node).rename(self.boards / f"{node}.old")
        return self.board(node)

    def first_board_again(self, node):
        self.tpms[node].stop()
        shutil.rmtree(self.boards / node)
        (self.boards / f"{node}.old").rename(self.boards / node)
        self.tpms[node].start()

    def ask(self, node, *more):
        """The options of a request for a private half in that node's TPM."""
        return "--tpm", "--tcti", self.tpms[node].tcti, *more

    def join_tpm(self, node, *more, by="a"):
        self.board(node)
        return self.join(node, by, ask=self.ask(node, *more))

    def folder(self, node):
        return self.state_of(node) / "opener"

    def sealed(self, node):
        return self.folder(node) / "node.tpm"

    def kept(self, node):
        """The files of the opener's folder, but for its lock."""
        return sorted(p.name for p in self.folder(node).iterdir() if p.name != "node.lock")

    def check(self, node, status=0):
        return json.loads(self.expect(self.on(node, "node", "check", "-o", "json"), status).stdout)

    def config_line(self, node, name):
        lines = [line.strip() for line in self.config_of(node).read_text().splitlines()]
        return next(line.partition(":")[2].strip().strip('"') for line in lines if line.startswith(f"{name}:"))

    # What a daemon serves

    def peer(self, node):
        return Peer(str(self.work / node / "run/kms/kms.sock"))

    def wrap(self, node):
        """A seed, and what became of it."""
        seed = os.urandom(32)
        with self.peer(node) as peer:
            return seed, *peer.encrypt(seed)

    def unwraps(self, node, wrapped):
        seed, *what = wrapped
        with self.peer(node) as peer:
            self.assertEqual(peer.decrypt(*what), seed)

    def healthz(self, node):
        return json.loads(self.on(node, "status", "-o", "json").stdout)["daemon"]["healthz"]

    def cannot_open(self, node, words):
        """The daemon, started, says why, and what to type; all of it."""
        self.start(node, serving=False)
        said = until(lambda: words in self.healthz(node) and self.healthz(node), f"healthz with {words}")
        self.assertNotEqual(self.on(node, "probe").returncode, 0)
        return said
