#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that join with a private half in their TPM, or move to one, and back: what is carried, kept and refused."""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from enrolled import PATIENCE, Enrolled  # noqa: E402
from test_policies import key_pair  # noqa: E402


def name_of(tpm, *object_options):
    """An object's name, read by other tools."""
    tpm.tool("tpm2_readpublic", *object_options, "-n", "name")
    return (tpm.dir / "name").read_bytes().hex()


def lines_of(request):
    return dict(line.split(": ", 1) for line in request.read_text().splitlines())


class Joins(Enrolled):
    def test_a_node_with_a_tpm(self):
        self.start("a")
        wrapped = self.wrap("a")
        tpm = self.board("b")
        self.request("b", *self.ask("b"))
        asked = lines_of(self.file("b", "request"))
        tpm.tool("tpm2_createek", "-G", "ecc", "-c", "ek.ctx")
        self.assertEqual(asked["tpmName"], name_of(tpm, "-c", "ek.ctx"))
        self.assertEqual(asked["srkName"], name_of(tpm, "-c", "0x81000001"))
        self.assertEqual(asked["recipient"], "tpm2")
        tpm.tool("tpm2_flushcontext", "-t")
        self.join("b")  # without options: that request again
        self.assertEqual(lines_of(self.file("b", "request")), asked)
        kinds = {n["name"]: n["kind"] for n in self.ok("b", "node", "list")["nodes"]}
        self.assertEqual(kinds, {"a": "file", "b": "tpm2", "recovery": "recovery"})
        self.assertEqual(self.kept("b"), ["node.tpm"])
        self.assertEqual(oct(self.sealed("b").stat().st_mode & 0o777), "0o600")
        self.assertEqual((self.config_line("b", "recipient"), self.config_line("b", "tcti")), ("tpm2", tpm.tcti))
        self.start("b")
        self.assertEqual(self.serves("b"), self.serves("a"))
        self.unwraps("b", wrapped)
        self.unwraps("a", self.wrap("b"))
        self.assertEqual(tpm.left_behind(), "")

    def test_by_a_member_that_has_one_too(self):
        self.join_tpm("b")
        self.join_tpm("c", by="b")
        self.assertNotEqual(lines_of(self.file("b", "request"))["tpmName"], lines_of(self.file("c", "request"))["tpmName"])
        self.assertEqual(self.names("c"), ["a", "b", "c", "recovery"])
        self.expect(self.offer("a", of="c"), 0)
        self.assertTrue(all(self.opens(n) for n in "abc"))

    def test_under_literal_pcrs(self):
        self.join_tpm("b", "--tpm-policy", "pcr:sha256:14,16")
        self.assertEqual(self.check("b")["policy"], "pcr:sha256:14,16")
        self.assertTrue(self.opens("b"))
        self.tpms["b"].extend(16)
        self.assertFalse(self.opens("b"))

    def test_under_signed_pcrs(self):
        private, public = key_pair(self.work, "k", "ec")
        self.expect(self.keyturn("node", "sign-pcrs", "--signing-key", private, "--pcrs", "sha256:16", "--pcr", f"16={'0' * 64}", "--out",
                                 self.work / "s.json"), 0)
        self.join_tpm("b", "--tpm-policy", f"signed:sha256:16:{public}", "--pcr-signature", self.work / "s.json")
        self.assertEqual(self.config_line("b", "pcrSignature"), str(self.work / "s.json"))
        self.assertTrue(self.opens("b"))

    def test_pcrs_that_change_while_a_machine_runs(self):
        self.board("b")
        run = self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", *self.ask("b", "--tpm-policy", "pcr:sha256:11"),
                           "-o", "json")
        self.expect(run, 3, "REFUSED")
        self.assertFalse((self.work / "b").exists())

    def test_no_endorsement_key_to_be_had(self):
        tpm = self.board("b")
        tpm.tool("tpm2_changeauth", "-c", "endorsement", "secret")
        self.join("b", ask=self.ask("b"))
        self.assertEqual(lines_of(self.file("b", "request"))["tpmName"], "none")
        self.assertTrue(self.opens("b"))

    def test_no_tpm_there(self):
        self.board("b").stop()
        run = self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", *self.ask("b"), "-o", "json")
        self.expect(run, 7, "UNREACHABLE")
        self.tpms["b"].start()
        self.join("b", ask=self.ask("b"))

    def test_wrong_use(self):
        self.board("b")
        run = self.keyturn("node", "request", "--dir", self.work / "b", "--node", "b", *self.ask("b"), "--no-tpm", "-o", "json")
        self.expect(run, 2, "USAGE", "--no-tpm")


class Altered(Enrolled):
    """Somebody changes a TPM's name on the way."""

    def altered(self):
        text = self.file("b", "request").read_text()
        found = lines_of(self.file("b", "request"))
        tpm, srk = found["tpmName"], found["srkName"]
        other = srk[:-1] + ("0" if srk[-1] != "0" else "1")
        return text, [text.replace(f"srkName: {srk}", f"srkName: {other}"), text.replace(f"tpmName: {tpm}", f"tpmName: {srk}"),
                      text.replace(f"tpmName: {tpm}\nsrkName: {srk}", f"tpmName: {srk}\nsrkName: {tpm}"),
                      text.replace(f"tpmName: {tpm}", "tpmName: none")]

    def test_where_it_is_approved(self):
        self.board("b")
        fingerprint = self.request("b", *self.ask("b"))
        before = self.numbers("a")
        _, texts = self.altered()
        for text in texts:
            self.file("b", "request").write_text(text)
            self.refused("a", *self.approve_arguments("b", fingerprint), code="REQUEST_ALTERED")
        self.assertEqual(self.numbers("a"), before)

    def test_where_the_altered_one_was_approved(self):
        self.board("b")
        self.request("b", *self.ask("b"))
        whole, texts = self.altered()
        for number, text in enumerate(texts):
            self.file("b", "request").write_text(text)
            fingerprint = hashlib.sha256(b"keyturn.dev/v1 node-request\0" + text.encode()).hexdigest()
            owner = self.approve("a", "b", fingerprint)
            with self.subTest(number):
                self.expect(self.install("b", owner), 3, "REQUEST_ALTERED")
                self.assertFalse(self.config_of("b").exists())
        self.file("b", "request").write_text(whole)
        self.join("b")
        self.assertTrue(self.opens("b"))

    def test_names_that_none_can_have(self):
        self.board("b")
        fingerprint = self.request("b", *self.ask("b"))
        whole, _ = self.altered()
        for wrong in ("000", "xy", "", "00" * 67, "NONE"):
            self.file("b", "request").write_text(re.sub("srkName: .*", f"srkName: {wrong}", whole))
            self.refused("a", *self.approve_arguments("b", fingerprint), code="REQUEST_FORMAT")


    def test_each_field(self):
        """Altered, it has another fingerprint; and approved for all that, its bundle is refused, by name."""
        self.board("b")
        self.board("x")
        asked = self.request("b", *self.ask("b"))
        self.request("x", *self.ask("x"))
        whole, ours, theirs = self.file("b", "request").read_text(), lines_of(self.file("b", "request")), lines_of(self.file("x", "request"))
        self.assertEqual({field for field in ours if ours[field] != theirs[field]}, {"node", "publicKey", "tpmName", "srkName", "nonce"})
        for field in ("node", "publicKey", "tpmName", "srkName", "nonce", "recipient"):
            text = whole.replace(f"{field}: {ours[field]}", f"{field}: {theirs[field]}")
            if field == "recipient":
                text = re.sub("(tpmName|srkName): .*", r"\1: none", whole.replace("recipient: tpm2", "recipient: file"))
            self.file("b", "request").write_text(text)
            with self.subTest(field):
                self.refused("a", *self.approve_arguments("b", asked), code="REQUEST_ALTERED")
                blind = hashlib.sha256(b"keyturn.dev/v1 node-request\0" + text.encode()).hexdigest()
                name = theirs["node"] if field == "node" else "b"
                more = ["--replace", name] if name in self.names("a") else []
                owner = self.approve("a", "b", blind, *more)
                self.expect(self.install("b", owner), 3, "BUNDLE_REQUEST" if field == "nonce" else "REQUEST_ALTERED")
                self.assertFalse(self.config_of("b").exists())
                if name == "x":
                    self.file("b", "request").write_text(whole)
                    self.refused("a", *self.approve_arguments("b", asked), code="EXISTS", words="keyturn node remove x")
                    self.ok("a", "node", "remove", "x", "--key-file", self.recovery, "--yes")
        self.file("b", "request").write_text(whole)
        self.expect(self.install("b", self.approve("a", "b", asked, "--replace", "b")), 0)
        self.assertTrue(self.opens("b"))


class Owners(Enrolled):
    def test_a_founding_owner_that_is_not_pinned(self):
        """The recovery key was lost; who confirms the new owner's fingerprint has not yet changed what root has pinned."""
        self.join_tpm("b")
        before = self.sealed("b").read_bytes()
        fingerprint = self.request("b")
        lost = self.replaced("a", "second", "--lost")
        owner = self.approve("a", "b", fingerprint, "--replace", "b")
        self.assertEqual(owner, lost["fingerprint"])
        self.expect(self.install("b", owner), 3, "BUNDLE_OWNER", "recovery replace --lost")
        self.assertEqual(self.sealed("b").read_bytes(), before)
        self.assertTrue(self.opens("b"))
        self.set_owner("b", owner)
        self.expect(self.install("b", owner), 0)
        self.assertTrue(self.opens("b"))


class TwoAdmins(Enrolled):
    """They approve at the same time."""

    def approvals(self, *which):
        """(member, node) each; what became of them."""
        fingerprints = {node: self.request(node) for _, node in which}
        running = [subprocess.Popen([self.program, *map(str, self.approve_arguments(node, fingerprints[node])), "--config",
                                     self.config_of(member), "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for member, node in which]
        ends = [process.communicate(timeout=PATIENCE) for process in running]
        return fingerprints, [(process.returncode, *end) for process, end in zip(running, ends)]

    def test_on_one_member(self):
        self.start("a")
        fingerprints, ends = self.approvals(("a", "c"), ("a", "d"), ("a", "e"))
        self.assertIn(0, [status for status, _, _ in ends], ends)
        for status, _, error in ends:
            if status:
                # It came second, or while the first one's keyring was being taken in.
                self.assertIn((status, json.loads(error)["error"]["code"]), [(3, "KEYRING_STALE"), (5, "BUSY")], error)
        owner = None
        for node in "cde":
            owner = self.approve("a", node, fingerprints[node])
        self.assertEqual(self.names("a"), ["a", "c", "d", "e", "recovery"])
        for node in "cde":
            self.expect(self.install(node, owner), 0)
            self.expect(self.offer(node, of="a"), 0)
            self.assertTrue(self.opens(node))

    def test_on_two_members(self):
        self.join_tpm("b")
        fingerprints, ends = self.approvals(("a", "c"), ("b", "d"))
        self.assertEqual([status for status, _, _ in ends], [0, 0], ends)
        owner = json.loads(ends[0][1])["fingerprint"]
        for node in "cd":
            self.expect(self.install(node, owner), 0)
        for to, of in (("a", "b"), ("b", "a"), ("d", "c"), ("c", "d")):
            before = self.keyring_of(to).read_bytes()
            self.expect(self.offer(to, of), 3, "KEYRING_FORK", "repeat the other change")
            self.assertEqual(self.keyring_of(to).read_bytes(), before)
        # What it says: the other change once more, over the one that is kept.
        self.approve("a", "d", fingerprints["d"])
        for node in "bcd":
            self.expect(self.offer(node, of="a"), 0)
            self.assertTrue(self.opens(node))
        self.assertEqual(self.names("b"), ["a", "b", "c", "d", "recovery"])


class Waits(Enrolled):
    """A request that waits for its bundle, asked for again in other words."""

    def staged(self, node):
        return (self.work / node / "state.join/opener/node.tpm").read_bytes()

    def again(self, node, *more):
        return self.keyturn("node", "request", "--dir", self.work / node, "--node", node, "--out", self.file(node, "request"), "-o", "json",
                            *more)

    def test_other_options(self):
        self.board("b")
        first = self.request("b", *self.ask("b", "--tpm-policy", "pcr:sha256:16"))
        half = self.staged("b")
        self.assertEqual(json.loads(self.expect(self.again("b"), 0).stdout)["policy"], "pcr:sha256:16")
        others = [("--no-tpm",), ("--tcti", self.tpms["b"].tcti + "x"), self.ask("b", "--tpm-policy", "none"),
                  self.ask("b", "--tpm-policy", "pcr:sha256:14")]
        for other in others:
            with self.subTest(other):
                self.expect(self.again("b", *other), 3, "EXISTS", "--force")
                self.assertEqual(self.staged("b"), half)
        self.assertEqual(self.request("b", *self.ask("b", "--tpm-policy", "pcr:sha256:16")), first)
        self.expect(self.again("b", "--no-tpm", "--force"), 2, "USAGE", "--yes")
        self.assertEqual(self.staged("b"), half)
        self.expect(self.again("b", "--no-tpm", "--force", "--yes"), 0)
        self.assertEqual(lines_of(self.file("b", "request"))["recipient"], "file")
        self.join("b")
        self.assertEqual(self.kept("b"), ["node.key"])

    def test_its_private_half_will_not_open_any_more(self):
        tpm = self.board("b")
        first = self.request("b", *self.ask("b"))
        tpm.tool("tpm2_clear")
        second = self.request("b")
        self.assertNotEqual(second, first)
        self.join("b")
        self.assertTrue(self.opens("b"))

    def test_its_private_half_is_gone(self):
        self.board("b")
        first = self.request("b", *self.ask("b"))
        (self.work / "b/state.join/opener/node.tpm").unlink()
        self.assertNotEqual(self.request("b"), first)
        self.join("b")
        self.assertTrue(self.opens("b"))

    def test_its_private_half_may_open_again(self):
        self.board("b")
        first = self.request("b", *self.ask("b", "--tpm-policy", "pcr:sha256:16"))
        self.tpms["b"].extend(16)
        self.expect(self.again("b"), 6, "NODE_KEY", "--force")
        self.tpms["b"].reboot()
        self.assertEqual(self.request("b"), first)
        self.tpms["b"].extend(16)
        self.assertNotEqual(self.request("b", "--force", "--yes"), first)
        self.join("b")
        self.assertTrue(self.opens("b"))


class Moves(Enrolled):
    def move(self, node, *ask):
        owner = self.approve("a", node, self.request(node, *ask), "--replace", node)
        return self.install(node, owner)

    def test_from_a_file_into_the_tpm_and_back(self):
        self.join("b")
        self.config_of("b").write_text("# ours\n" + self.config_of("b").read_text() + "# the end\n")
        before = self.config_of("b").read_text()
        self.start("b")
        key, wrapped = self.serves("b")[0], self.wrap("b")
        self.board("b")
        fingerprint = self.request("b", *self.ask("b"))
        self.assertEqual((self.kept("b"), self.config_of("b").read_text()), (["node.key"], before), "in use until the bundle is installed")
        self.assertTrue(self.opens("b"))
        owner = self.approve("a", "b", fingerprint, "--replace", "b")
        self.assertTrue(json.loads(self.expect(self.install("b", owner), 0).stdout)["served"])
        self.assertEqual(self.kept("b"), ["node.tpm"], "the file is gone")
        after = before.replace("recipient: file", "recipient: tpm2").replace("device:/dev/tpmrm0", self.tpms["b"].tcti)
        self.assertEqual(self.config_of("b").read_text(), after)
        for _ in range(2):
            self.assertEqual(self.serves("b")[0], key)
            self.unwraps("b", wrapped)
            self.stop("b")
            self.start("b")
        self.assertTrue(json.loads(self.expect(self.move("b", "--no-tpm"), 0).stdout)["served"])
        self.assertEqual((self.kept("b"), self.config_line("b", "recipient")), (["node.key"], "file"))
        self.unwraps("b", wrapped)
        self.assertFalse(list((self.work / "b").glob("*.join")))

    def test_a_policy_is_kept_unless_another_one_is_asked_for(self):
        self.join_tpm("b", "--tpm-policy", "pcr:sha256:16")
        old = self.sealed("b").read_bytes()
        self.expect(self.move("b"), 0)
        self.assertNotEqual(self.sealed("b").read_bytes(), old)
        self.assertEqual(self.check("b")["policy"], "pcr:sha256:16")
        self.expect(self.on("b", "node", "suspend"), 0)
        self.expect(self.move("b"), 0)
        self.assertEqual((self.check("b")["policy"], self.check("b")["suspended"]), ("pcr:sha256:16", False))
        self.expect(self.move("b", "--tpm-policy", "none"), 0)
        self.assertEqual(self.check("b")["policy"], "none")

    def test_a_configuration_that_cannot_be_edited(self):
        self.join("b")
        text = self.config_of("b").read_text()
        flow = re.sub(r"^tpm:\n( .*\n)*", "tpm: {tcti: 'device:/dev/tpmrm0'}\n", text, flags=re.M)
        self.config_of("b").write_text(flow)
        self.board("b")
        owner = self.approve("a", "b", self.request("b", *self.ask("b")), "--replace", "b")
        run = self.expect(self.install("b", owner), 2, "CONFIG", "by hand")
        self.assertIn("recipient: tpm2; tpm.tcti: \\\"swtpm:", run.stderr)
        self.assertEqual((self.config_of("b").read_text(), self.kept("b")), (flow, ["node.key"]))
        self.assertTrue(self.opens("b"))
        self.config_of("b").write_text(re.sub(r"^tpm: .*\n", f"tpm: {{tcti: '{self.tpms['b'].tcti}'}}\n", flow, flags=re.M)
                                       .replace("recipient: file", "recipient: tpm2"))
        self.expect(self.install("b", owner), 0)
        self.assertTrue(self.opens("b"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
