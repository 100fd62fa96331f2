#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes with a keyring, a keyturnd and a kube-apiserver each, on one etcd, and an admin on each of them. In this release a
keyring gets to the other node by `keyring offer` alone, so what both begin at once is refused; or they make two keyrings of one
generation, which neither node takes from the other. Nothing is lost by that, and when one of both was offered to the other node,
the same command finishes. Run by tools/check-rotation."""

import base64
import contextlib
import json
import re
import secrets
import shutil
import signal
import subprocess

import harness
from cluster import ApiServer, EncryptedObject, Etcd, write_kubeconfig
from daemon import Answer, Daemon
from disk import own_mounts
from harness import KEYTURN, proved, wait_for
from traffic import path_of

OBJECTS = 100
WRITTEN = 10  # more of them, at each step
FORCED = ("rotate-keys", "--force", "--yes", "--timeout", 100)
SHORT = 5  # s that a command waits for what does not come
LONG = 100


class HostApi(ApiServer):
    """On a host of its own also as far as the plugin's socket goes, which has one path in the file of all."""

    def __init__(self, binary, directory, etcd_url, node, sockets, token):
        super().__init__(binary, directory, etcd_url, node.encryption, node.name, token)
        self.kms, self.sockets = node.socket.parent, sockets

    def command(self):
        bind = 'mount --bind "$0" "$1" && hostname "$2" && shift 2 && exec "$@"'
        names = [str(self.kms), str(self.sockets), self.hostname]
        return ["unshare", "--mount", "--uts", "sh", "-c", bind, *names, *self.bare_command()]


def ended(run):
    said, errors = run.communicate(timeout=4 * LONG)
    return Answer(subprocess.CompletedProcess([], run.returncode, said, errors))


class Node(Daemon):
    """With its kube-apiserver and the admin's kubeconfig."""

    def __init__(self, path, name):
        super().__init__(path / name)
        self.name, self.encryption, self.kubeconfig = name, path / name / "encryption.yaml", path / name / "kubeconfig"
        self.api = self.etcd = None

    def command(self, *words):
        return [*map(str, words), "--kubeconfig", self.kubeconfig, "--encryption-config", self.encryption, "--etcd-endpoints",
                self.etcd.url(), "-o", "json"]

    def run(self, *words):
        return self.keyturn(*self.command(*words), timeout=400)

    def begin(self, *words):
        return subprocess.Popen([KEYTURN, *self.command(*words), "--config", self.config], text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def keyring(self):
        """(stage, generation, ids of the keys)"""
        shown = self.keyturn("keyring", "show", "-o", "json").json()
        return shown["stage"], shown["keyring"]["generation"], [key["id"] for key in shown["keys"]]

    def offer_to(self, other):
        return other.offer(self.state / "keyring.yaml")


class TwoAdmins(harness.Case):
    @classmethod
    def prepare(cls):
        path, assets = cls.workspace.path, harness.assets()
        cls.nodes = cls.a, cls.b = [Node(path, name) for name in "ab"]
        cls.a.init("--node", "a")
        cls.join(path)
        cls.etcd = Etcd(assets / "etcd", path / "etcd")
        cls.workspace.on_close(lambda: cls.etcd.stop(signal.SIGKILL))
        cls.etcd.start()
        sockets, token = path / "sockets", secrets.token_hex(16)
        sockets.mkdir()
        for node in cls.nodes:
            cls.workspace.on_close(node.kill)
            node.start()
            node.encryption.write_text(re.sub(r"unix://\S+(?=/)", f"unix://{sockets}", node.rendered_config()))
            node.etcd = cls.etcd
            node.api = HostApi(assets / "kube-apiserver", path / f"api-{node.name}", cls.etcd.url(), node, sockets, token)
            cls.workspace.on_close(lambda node=node: node.api.stop(signal.SIGKILL))
            node.api.start()
        for node in cls.nodes:
            others = [other.api for other in cls.nodes if other is not node]
            write_kubeconfig(node.kubeconfig, [node.api, *others])
        cls.kept = {}
        for node in cls.nodes:
            cls.write(node, OBJECTS // 2)

    @classmethod
    def join(cls, path):
        request, bundle = path / "request", path / "bundle"

        def keyturn(*words):
            run = subprocess.run([KEYTURN, *map(str, words), "-o", "json"], capture_output=True, text=True, check=False,
                                 stdin=subprocess.DEVNULL)
            if run.returncode != 0:
                raise RuntimeError(f"keyturn {words[1]}: exit {run.returncode}: {run.stderr}")
            return json.loads(run.stdout)["fingerprint"] if words[1] != "install" else None
        asked = keyturn("node", "request", "--dir", cls.b.dir, "--node", "b", "--out", request)
        owner = keyturn("node", "approve", request, "--fingerprint", asked, "--key-file", cls.a.recovery, "--out", bundle,
                        "--config", cls.a.config)
        keyturn("node", "install", bundle, "--dir", cls.b.dir, "--fingerprint", owner)

    @classmethod
    def write(cls, node, n):
        client = node.api.client(keep=True)
        for _ in range(n):
            name, value = f"s-{secrets.token_hex(6)}", secrets.token_hex(16).encode()
            status, answer = client.create_secret(name, value)
            if status != 201:
                raise AssertionError(answer)
            cls.kept[name] = value
        client.close()

    def both(self, *words, statuses):
        """On both nodes at once; what each answered."""
        runs = [node.begin(*words) for node in self.nodes]
        answers = [ended(run) for run in runs]
        for answer in answers:
            self.assertIn(answer.exit, statuses, answer)
        return answers

    def refused(self, answer, code):
        self.assertEqual((answer.exit, answer.error()["code"]), (3, code), answer)
        self.assertTrue(answer.error()["hint"], answer)

    def unreadable(self, node):
        client = node.api.client(keep=True)
        found = []
        for name, value in self.kept.items():
            status, answer = client.get(path_of("secrets", name))
            if status == 200:
                self.assertEqual(base64.b64decode(answer["data"]["value"]), value)
            else:
                self.assertIn("no key with that key_id", answer["message"])
                found.append(name)
        client.close()
        return set(found)

    def check_all(self):
        """Each object can be read on each node; more are written on each."""
        for _ in range(2):
            for node in self.nodes:
                self.assertEqual(self.unreadable(node), set(), node.name)
            for node in self.nodes:
                self.write(node, WRITTEN)

    def follow(self, node, other, *words):
        """The command, while each new keyring of that node is offered to the other one."""
        run, seen = node.begin(*words), None
        while run.poll() is None or node.keyring() != seen:
            if node.keyring() != seen:
                seen = node.keyring()
                self.assertEqual(node.offer_to(other).exit, 0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(0.3)
        return ended(run)

    def check_finished(self, winner, loser):
        """All is stored under the one key that both nodes have as the active one, and each node reads all."""
        (stage, generation, keys), of_other = winner.keyring(), loser.keyring()
        self.assertEqual(of_other[:2], (stage, generation))
        self.assertEqual((stage, of_other[2][0]), ("reencrypt_finished", keys[0]))
        wait_for("both kube-apiservers were told the key", lambda: self.told(winner), LONG)  # --force does not
        self.check_all()
        for at, value in self.etcd.all("/registry/secrets/"):
            self.assertEqual(EncryptedObject(value).key_id, keys[0], at)
        self.assertLessEqual(self.damage(winner), {"superseded"})
        # The loser's log has lines of the keyring that was given up. Mended as docs/audit-format.md says, what is found is that
        # keyring, which the node keeps for the key that no other one has.
        self.assertIn("superseded", self.damage(loser))
        shutil.copyfile(winner.state / "audit.log", loser.state / "audit.log")
        self.assertEqual(self.damage(loser), {"superseded"})

    @staticmethod
    def damage(node):
        return {finding["kind"] for finding in node.keyturn("audit", "verify", "-o", "json").json()["findings"]}

    @staticmethod
    def told(node):
        servers = node.run("status").json()["apiServers"]
        return len({server["keyIdHash"] for server in servers}) == 1 and all(server["current"] for server in servers)

    def test_1_rotate_keys(self):
        before = [(stage, keys) for stage, _, keys in (node.keyring() for node in self.nodes)]
        for answer, other in zip(self.both("rotate-keys", "--timeout", SHORT, statuses=(3,)), "ba"):
            self.refused(answer, "REFUSED")
            self.assertIn(f"node {other}, which cannot be asked", answer.error()["message"])
        self.assertEqual([(stage, keys) for stage, _, keys in (node.keyring() for node in self.nodes)], before)
        self.check_all()
        proved(f"rotate-keys on two nodes at once: both refused, exit status 3 ({answer.error()['message']}); no stage and no "
               "key is another")

    def test_2_prepare(self):
        a, b = self.nodes
        self.both("prepare", statuses=(0,))
        self.assertNotEqual(a.keyring()[2], b.keyring()[2])
        for node, other in ((a, b), (b, a)):
            self.refused(node.offer_to(other), "KEYRING_FORK")
            self.refused(node.run("rotate", "--timeout", SHORT), "REFUSED")
        self.check_all()
        own = b.keyring()[2][-1]
        # The one that is to stay has to get newer than the other one.
        self.assertEqual(a.run("prepare", "--cancel").exit, 0)
        self.assertEqual(a.offer_to(b).exit, 0)
        self.assertIn(f"key {own} is only in a superseded keyring", b.keyturn("status").stdout)
        self.assertEqual(a.run("prepare").exit, 0)
        self.assertEqual(a.offer_to(b).exit, 0)
        waits = a.run("rotate-keys", "--timeout", SHORT)
        self.assertEqual((waits.exit, waits.error()["code"]), (4, "INCOMPLETE"), waits)
        # That b has it, keyturn cannot know in this release.
        answer = self.follow(a, b, *FORCED)
        self.assertEqual((answer.exit, answer.json()["leftOver"]), (0, []), answer)
        self.check_finished(a, b)
        proved("prepare on two nodes at once: two keyrings, neither taken by the other node (exit status 3, KEYRING_FORK), rotate "
               f"refused; one made newer and offered, its rotation finished: {answer.json()['rewritten']} rewritten, "
               f"{len(self.kept)} objects read on both")

    def test_3_forced(self):
        """Both go past all gates. What the other one wrote cannot be read then until it has the key, as --force says."""
        answers = self.both(*FORCED[:3], "--timeout", LONG // 2, statuses=(0, 4))
        self.assertIn(4, [answer.exit for answer in answers])
        torn = [self.unreadable(node) for node in self.nodes]
        self.assertEqual(torn[0] & torn[1], set(), "no object is unreadable on both")
        loser, winner = sorted(self.nodes, key=lambda node: node.keyring()[1])
        if loser.keyring()[1] == winner.keyring()[1]:
            self.assertEqual(winner.run("prepare", "--force", "--yes").exit, 0)
        self.refused(loser.offer_to(winner), "KEYRING_OLDER")
        self.assertEqual(winner.offer_to(loser).exit, 0)
        self.assertEqual(self.unreadable(loser), set())
        wait_for("both kube-apiservers were told the one key", lambda: self.told(winner), LONG)
        unread = len(self.unreadable(winner))
        # Where the winner's rotation had finished, what the other one has written since is left.
        again = ("reencrypt" if winner.keyring()[0] == "reencrypt_finished" else "rotate-keys", *FORCED[1:])
        answer = self.follow(winner, loser, *again)
        left = answer.json()["leftOver"] if answer.exit == 4 else []
        for item in left:
            # Where the kube-apiserver that was asked to has no key for it, the other one has: as kubectl does it there.
            self.assertIn("no key with that key_id", item["reason"])
            path = path_of("secrets", item["name"]).replace("/default/", f"/{item['namespace']}/")
            self.assertEqual(loser.api.client().request("PATCH", path, {}, "application/merge-patch+json")[0], 200)
        if left:
            answer = self.follow(winner, loser, *again)
        self.assertEqual((answer.exit, answer.json()["leftOver"]), (0, []), answer)
        self.check_finished(winner, loser)
        proved(f"rotate-keys --force on two nodes at once (exit status {answers[0].exit} and {answers[1].exit}): {len(torn[0])} "
               f"and {len(torn[1])} of {len(self.kept)} objects unreadable on one of them, none on both; one keyring offered, all "
               f"can be read on the node that has both keys, {unread} not yet on the other; {len(left)} left over, rewritten "
               "there, and the same command finished")


if __name__ == "__main__":
    harness.main(own_mounts, harness.assets)
