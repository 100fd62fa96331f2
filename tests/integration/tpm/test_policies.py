#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node that seals to its TPM: what init makes, how a policy is changed, checked, suspended and kept, and that a kill at
any write of that leaves a sealed key that opens."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "admin")]
from program import told_to_syslog  # noqa: E402
from tpm import KEYTURN, KILL, Case, until  # noqa: E402


def key_pair(directory, name, kind):
    option = {"ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}[kind]
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", *option, "-out", private], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    private.chmod(0o600)
    return private, public


class Serves(Case):
    def test_init_daemon_and_one_seed(self):
        self.expect(self.init())
        self.assertEqual(oct(self.sealed.stat().st_mode & 0o777), "0o600")
        self.assertFalse((self.sealed.parent / "node.key").exists(), "the private half is in the TPM alone")
        self.start()
        self.expect(self.keyturn("status", "--wait", "30", "--config", self.config))
        self.expect(self.keyturn("probe", "--config", self.config))
        self.assertEqual(self.tpm.left_behind(), "")
        self.expect(self.keyturn("keyring", "show", "--config", self.config))
        self.assertIn("(tpm2)", self.keyturn("keyring", "show", "--config", self.config).stdout)

    def test_another_tpm_or_a_cleared_one(self):
        self.expect(self.init())
        other = self.new_tpm("other")
        self.set_tcti(other.tcti)
        self.refuses("NODE_KEY_LOST", "another TPM, or a cleared one")
        other.tool("tpm2_createprimary", "-C", "o", "-G", "rsa2048", "-c", "primary.ctx")
        other.tool("tpm2_evictcontrol", "-C", "o", "-c", "primary.ctx", "0x81000001")
        other.tool("tpm2_flushcontext", "-t")
        self.refuses("NODE_KEY_LOST", "is not the one that this node's key was sealed under")
        self.set_tcti(self.tpm.tcti)
        self.opens()
        self.tpm.tool("tpm2_clear")
        self.refuses("NODE_KEY_LOST", "another TPM, or a cleared one")
        self.start()
        until(lambda: "another TPM" in self.status()[1].stderr, "status says why")

    def test_the_parent_is_found_wherever_it_is(self):
        self.expect(self.init())
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001")
        self.opens()
        self.tpm.tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx", "-a",
                      "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "p.ctx", "0x81000002")
        self.tpm.tool("tpm2_flushcontext", "-t")
        self.opens()
        self.assertEqual(self.tpm.left_behind(), "")

    def take_handle(self, kind, *more, noda=True):
        """Somebody else's key is at the handle of the storage root key."""
        attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt" + ("|noda" if noda else "")
        self.tpm.tool("tpm2_createprimary", "-C", "o", "-G", kind, "-c", "p.ctx", "-a", attributes, *more)
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "p.ctx", "0x81000001")
        self.tpm.tool("tpm2_flushcontext", "-t")

    def test_somebody_elses_rsa_parent(self):
        self.take_handle("rsa2048")
        self.expect(self.init())
        found = self.check()["parent"]
        self.assertEqual((found["type"], found["handle"]), ("rsa", 0x81000001))
        self.opens()
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001")
        self.opens()

    def raw(self, command, body):
        """A command with the owner's empty password, as bytes; what it answers behind the head."""
        body = command.to_bytes(4, "big") + body
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.tpm.socket))
            wire.sendall(b"\x80\x02" + (6 + len(body)).to_bytes(4, "big") + body)
            answer = wire.recv(4096)
        self.assertEqual(answer[6:10], bytes(4), answer)
        return answer[10:]

    def take_handle_zero(self, kind):
        """The template of go-tpm-tools, whose `unique` is zeros; tpm2_createprimary cannot make the one of ECC."""
        password = bytes.fromhex("00000009 40000009 0000 00 0000")
        head = bytes.fromhex({"ecc": "0023", "rsa": "0001"}[kind] + "000b 00030472 0000 0006 0080 0043 0010")
        tail = {"ecc": bytes.fromhex("0003 0010") + (b"\0\x20" + bytes(32)) * 2, "rsa": bytes.fromhex("0800 00000000 0100") + bytes(256)}[kind]
        public = head + tail
        made = self.raw(0x131, bytes.fromhex("40000001") + password + bytes.fromhex("0004 0000 0000") + len(public).to_bytes(2, "big") +
                        public + bytes(2 + 4))
        self.raw(0x120, bytes.fromhex("40000001") + made[:4] + password + bytes.fromhex("81000001"))
        self.tpm.tool("tpm2_flushcontext", "-t")

    def test_the_four_known_templates(self):
        """A parent that somebody else made and that is gone is made again, by whichever of them it was."""
        names = set()
        for number, take in enumerate([lambda: self.take_handle("ecc"), lambda: self.take_handle("rsa2048"),
                                       lambda: self.take_handle_zero("ecc"), lambda: self.take_handle_zero("rsa")]):
            with self.subTest(number):
                take()
                self.dir, self.recovery = self.work / f"d{number}", self.work / f"recovery{number}"
                self.config = self.dir / "keyturn.yaml"
                self.expect(self.init())
                names.add(self.check()["parent"]["name"])
                self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001")
                self.opens()
        self.assertEqual(len(names), 4)
        self.assertEqual(self.tpm.left_behind(), "")

    def test_check_and_reseal_with_what_is_not_its_own(self):
        """node.tpm of another TPM, and of another node in this one: the first does not open, the second opens no keyring of ours."""
        self.expect(self.init())
        own = self.sealed.read_bytes()
        for tcti, code in ((self.new_tpm("other").tcti, "NODE_KEY_LOST"), (self.tpm.tcti, "KEYRING_RECIPIENT")):
            theirs = self.work / code
            self.expect(self.keyturn("init", "--dir", theirs, "--yes", "--recovery-out", self.work / f"r-{code}", "--tcti", tcti))
            self.sealed.write_bytes((theirs / "state/opener/node.tpm").read_bytes())
            before = self.sealed.read_bytes()
            with self.subTest(code):
                self.expect(self.node("reseal", "--tpm-policy", "pcr:sha256:14", "-o", "json"), 6, code)
                self.assertEqual(self.sealed.read_bytes(), before)
                self.refuses(code, "")
                if code == "NODE_KEY_LOST":
                    self.expect(self.node("check", "-o", "json"), 6, code, "restore this node's own")
        self.sealed.write_bytes(own)
        self.opens()

    def test_an_unusable_key_at_the_first_handle(self):
        self.tpm.tool("tpm2_createprimary", "-C", "o", "-G", "rsa2048:null:null", "-a",
                      "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|decrypt", "-c", "p.ctx")
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "p.ctx", "0x81000001")
        self.tpm.tool("tpm2_flushcontext", "-t")
        self.expect(self.init())
        self.assertEqual(self.check()["parent"]["handle"], 0x81000002)

    def test_owner_password(self):
        self.tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        self.expect(self.init("-o", "json"), 6, "NODE_KEY", "the owner hierarchy has a password")
        self.assertFalse(self.config.exists())

    def test_a_storage_root_key_with_a_password(self):
        self.take_handle("ecc", "-p", "secret")
        self.expect(self.init("-o", "json"), 6, "NODE_KEY", "the SRK has a password")
        self.assertEqual(self.tpm.left_behind(), "")

    def test_a_hierarchy_that_is_off(self):
        self.tpm.tool("tpm2_hierarchycontrol", "-C", "p", "shEnable", "clear")
        self.expect(self.init("-o", "json"), 6, "NODE_KEY", "the owner hierarchy is disabled")

    def lock_out(self):
        """A wrong password, often enough, of an object that counts."""
        self.tpm.tool("tpm2_dictionarylockout", "-s", "-n", "2", "-t", "10000", "-l", "10000")
        (self.tpm.dir / "any").write_text("any")
        for name, *words in (["createprimary", "-C", "n", "-c", "n.ctx"],
                             ["create", "-C", "n.ctx", "-p", "right", "-i", "any", "-u", "o.pub", "-r", "o.priv"],
                             ["load", "-C", "n.ctx", "-u", "o.pub", "-r", "o.priv", "-c", "o.ctx"],
                             *[["unseal", "-c", "o.ctx", "-p", "wrong"]] * 4):
            self.tpm.tool("tpm2_" + name, *words, check=name != "unseal")
            self.tpm.tool("tpm2_flushcontext", "-t")
            self.tpm.tool("tpm2_flushcontext", "-l")
        self.assertRegex(self.tpm.tool("tpm2_getcap", "properties-variable"), r"inLockout: +1")

    def test_locked_out(self):
        self.expect(self.init())
        self.lock_out()
        self.opens()

    def test_locked_out_beside_a_storage_root_key_that_counts(self):
        """Under a key without noDA, somebody else's wrong passwords would lock us out: another one is used."""
        self.take_handle("ecc", noda=False)
        self.expect(self.init())
        self.assertEqual(self.check()["parent"]["handle"], 0x81000002)
        self.lock_out()
        self.opens()

    def test_nothing_to_suspend(self):
        self.expect(self.init())
        self.expect(self.node("suspend", "-o", "json"), 3, "REFUSED", "nothing to suspend")

    def test_damaged_and_missing(self):
        self.expect(self.init())
        whole = self.sealed.read_bytes()
        for at in (0, 7, 8, 20, 60, 120, len(whole) - 3):
            self.sealed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
            with self.subTest(at=at):
                self.expect(self.node("verify", "-o", "json"), 6, "NODE_KEY" if at in (7, 60) else "NODE_KEY_LOST")
        self.sealed.write_bytes(whole[:-1])
        self.refuses("NODE_KEY_LOST", "damaged")
        self.sealed.unlink()
        self.refuses("NODE_KEY_LOST", "there is no node.tpm")
        self.sealed.write_bytes(whole)
        self.sealed.chmod(0o640)
        self.refuses("PERMISSION", "mode", status=3)


class Literal(Case):
    def setUp(self):
        super().setUp()
        self.expect(self.init("--tpm-policy", "pcr:sha256:14,16"))

    def test_a_pcr_that_differs(self):
        self.opens()
        self.assertTrue(self.check()["opens"])
        self.tpm.extend(16)
        self.refuses("NODE_KEY", "the PCRs are not those that the key was sealed to")
        found = self.check(status=8)
        self.assertFalse(found["opens"])
        self.assertEqual({p["pcr"]: p["differs"] for p in found["pcrs"]}, {14: False, 16: True})
        wrong = next(p for p in found["pcrs"] if p["differs"])
        self.assertEqual(wrong["expected"], "0" * 64)
        self.assertNotEqual(wrong["actual"], "0" * 64)
        text = self.node("check").stdout
        self.assertIn("PCR 16 (sha256) differs", text)
        self.assertIn("cannot see", text)
        before = self.sealed.read_bytes()
        self.expect(self.node("reseal", "-o", "json"), 6, "NODE_KEY")
        self.assertEqual(self.sealed.read_bytes(), before)
        self.assertEqual(self.tpm.left_behind(), "")
        self.tpm.reboot()
        self.opens()

    def test_healthz_says_it_when_the_daemon_starts(self):
        self.tpm.extend(14)
        self.start()
        text = until(lambda: (self.status()[0] or {}).get("daemon", {}).get("healthz", "").startswith("the PCRs"), "healthz") and \
            self.status()[0]["daemon"]["healthz"]
        self.assertIn("TPM2_Unseal, SRK 0x81000001: 0x99d", text)
        self.assertIn("keyturn node check names the PCR", text)
        self.assertNotIn("..", text)

    def test_reseal_to_another_policy_and_back(self):
        self.expect(self.node("reseal", "--tpm-policy", "none"))
        self.tpm.extend(16)
        self.opens()
        self.tpm.tool("tpm2_pcrextend", f"16:sha384={'3' * 96}")
        self.expect(self.node("reseal", "--tpm-policy", "pcr:sha384:16"))
        self.opens()
        self.assertEqual(self.check()["policy"], "pcr:sha384:16")
        self.tpm.reboot()
        self.refuses("NODE_KEY", "the PCRs are not those")

    def test_what_concerns_this_node_alone_is_in_the_journal(self):
        log = self.dir / "state/audit.log"
        before = log.read_bytes()
        for command in (["reseal"], ["suspend"]):
            said = told_to_syslog(KEYTURN, "node", *command, "--config", self.config)
            self.assertEqual(len(said), 1)
            self.assertRegex(said[0], rf"^<85>.*keyturn\[\d+\]: node {command[0]} on \S+ by uid 0 \(root\), login ")
            self.assertEqual(told_to_syslog(KEYTURN, "node", *command, "--dry-run", "--config", self.config), [])
        self.assertEqual(log.read_bytes(), before)

    def test_pcrs_that_change_at_run_time(self):
        for policy, why in [("pcr:sha256:10", "IMA"), ("pcr:sha256:11,7", "phase"), ("pcr:sha256:15", "while the machine runs")]:
            with self.subTest(policy):
                self.expect(self.node("reseal", "--tpm-policy", policy, "-o", "json"), 3, "REFUSED", why)
        self.expect(self.node("reseal", "--tpm-policy", "pcr:sha256:10", "--force"))
        self.assertIn("Secure Boot", self.expect(self.node("reseal", "--tpm-policy", "pcr:sha256:7")).stderr)
        for policy in ("", "pcr", "pcr:sha256:", "pcr:sha256:24", "pcr:sha256:7,7", "pcr:sha1:7", "pcr:sha256:7,", "signed:sha256:7", "nonesuch"):
            with self.subTest(policy):
                self.expect(self.node("reseal", "--tpm-policy", policy, "-o", "json"), 2, "USAGE")

    def test_suspend_for_one_boot(self):
        self.expect(self.node("suspend"))
        self.tpm.extend(16)
        self.opens()
        self.assertTrue(self.check()["suspended"])
        self.start()
        until(lambda: "suspended" in self.status()[1].stderr, "status says that it is suspended")
        suspended = self.sealed.read_bytes()
        self.stop()
        self.start()
        until(lambda: "suspended" in self.status()[1].stderr, "a restart without a boot leaves it suspended")
        self.assertEqual(self.sealed.read_bytes(), suspended)
        self.stop()
        # The update changes what is measured at boot.
        self.tpm.reboot()
        self.tpm.extend(14, "2")
        self.assertIn("suspended", self.expect(self.node("check")).stdout.lower())
        self.opens()
        self.assertEqual(self.sealed.read_bytes(), suspended, "to look changes nothing")
        self.start()
        self.expect(self.keyturn("status", "--wait", "30", "--config", self.config))
        self.assertNotEqual(self.sealed.read_bytes(), suspended)
        found = self.check()
        self.assertEqual((found["suspended"], found["policy"], found["opens"]), (False, "pcr:sha256:14,16", True))
        self.tpm.extend(14)
        self.refuses("NODE_KEY", "the PCRs are not those")

    def test_a_running_daemon_notices_a_suspension(self):
        self.start()
        self.expect(self.keyturn("status", "--wait", "30", "--config", self.config))
        self.expect(self.node("suspend"))
        self.assertIn("suspended", self.status()[1].stderr)
        self.expect(self.node("reseal"))
        self.expect(self.keyturn("status", "--config", self.config))


class Signed(Case):
    def measure(self, private, out, *more):
        return self.node("sign-pcrs", "--signing-key", private, "--pcrs", "sha256:11,16", "--out", out, *more)

    def follow(self, kind):
        signatures = self.work / "tpm2-pcr-signature.json"
        private, public = key_pair(self.work, kind, kind)
        self.expect(self.init())
        policy = f"signed:sha256:11,16:{public}"
        self.expect(self.node("reseal", "--tpm-policy", policy, "-o", "json"), 6, "NODE_KEY", "tpm.pcrSignature")
        self.set_config("pcrSignature", signatures)
        self.expect(self.measure(private, signatures))
        self.expect(self.node("reseal", "--tpm-policy", policy))
        self.opens()
        self.assertTrue(self.check()["opens"])
        # A new signature file is enough after an update, and may be made before it, from values that are given.
        self.tpm.extend(11)
        self.refuses("NODE_KEY", "no signature for the present values of the PCRs")
        self.assertIn("no signature for the present values", self.check(status=8)["why"])
        values = {p["pcr"]: p["actual"] for p in self.check(status=8)["pcrs"]}
        self.tpm.reboot()
        self.opens()
        self.expect(self.measure(private, signatures, "--pcr", f"11={values[11]}", "--pcr", f"16={values[16]}"))
        self.opens()
        self.tpm.extend(11)
        self.opens()
        self.assertEqual(self.tpm.left_behind(), "")
        return private, public, signatures

    def test_p256(self):
        self.follow("ec")

    def test_rsa(self):
        self.follow("rsa")

    def test_hostile_signature_files(self):
        private, _, signatures = self.follow("ec")
        good = json.loads(signatures.read_text())
        other, _ = key_pair(self.work, "other", "ec")
        forged = self.work / "forged.json"
        self.expect(self.measure(other, forged))
        entry = json.loads(forged.read_text())["sha256"][0]
        mine = next(e for e in good["sha256"] if e["pol"] == entry["pol"])
        cases = [("{}", "NODE_KEY", "no signature for these PCRs"), ("", "NODE_KEY", "no signature for these PCRs"),
                 ("[]", "CONFIG", "expected JSON"), ("{", "CONFIG", "expected JSON"), ('{"sha256":7}', "NODE_KEY", "no signature"),
                 (json.dumps({"sha256": [entry]}), "NODE_KEY", "no signature for these PCRs by the policy's key"),
                 (json.dumps({"sha256": [{**mine, "sig": entry["sig"]}]}), "NODE_KEY", "did not sign"),
                 (json.dumps({"sha256": [{**mine, "sig": "AAAA"}]}), "NODE_KEY", "did not sign"),
                 (json.dumps({"sha256": [{**mine, "sig": 7}]}), "NODE_KEY", "did not sign"),
                 (json.dumps({"sha256": [{**mine, "pcrs": [11, 99]}]}), "NODE_KEY", "no signature"),
                 (json.dumps({"sha256": [{**mine, "pol": "00" * 32}]}), "NODE_KEY", "present values")]
        for text, code, words in cases:
            with self.subTest(text[:60]):
                signatures.write_text(text)
                self.refuses(code, words, status=2 if code == "CONFIG" else 6)
        signatures.unlink()
        self.refuses("NODE_KEY", "signature file")
        signatures.write_text(json.dumps({"sha256": [entry, {**mine, "sig": "AAAA"}, mine]}))
        self.opens()
        private.chmod(0o644)
        self.expect(self.measure(private, signatures, "-o", "json"), 3, "PERMISSION")

    def test_init_with_it(self):
        private, public = key_pair(self.work, "k", "ec")
        signatures = self.work / "s.json"
        zero = "0" * 64
        self.expect(self.keyturn("node", "sign-pcrs", "--signing-key", private, "--pcrs", "sha256:16", "--pcr", f"16={zero}", "--out",
                                 signatures))
        self.expect(self.init("--tpm-policy", f"signed:sha256:16:{public}", "--pcr-signature", signatures))
        self.opens()
        small = self.work / "small.pem"
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", small],
                       check=True, stderr=subprocess.DEVNULL)
        self.expect(self.node("reseal", "--tpm-policy", f"signed:sha256:16:{small}", "-o", "json"), 2, "USAGE")


class Killed(Case):
    """Killed at any call that changes something on disk, or stopped by a full disk, a reseal leaves a key that opens."""

    def faulted(self, command, more, at, do):
        return self.node(command, *more, env={
            "LD_PRELOAD": str(KILL), "KEYTURN_FAULT_PROGRAM": "keyturn-opener", "KEYTURN_FAULT_AT": str(at), "KEYTURN_FAULT_DO": do,
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **({"KEYTURN_FAULT_COUNT_FILE": self.counts} if do == "count" else {})})

    def test_reseal_and_suspend(self):
        self.expect(self.init())
        with tempfile.NamedTemporaryFile() as counts:
            self.counts = counts.name
            self.expect(self.faulted("reseal", ["--tpm-policy", "pcr:sha256:14"], 0, "count"))
            writes = max(map(int, counts.read().split()))
        self.assertGreater(writes, 4)
        policies = ["none", "pcr:sha256:14", "pcr:sha256:16,9"]
        for do in ("kill", "enospc"):
            for at in range(1, writes + 1):
                with self.subTest(do=do, at=at):
                    policy = policies[at % 3]
                    if at % 4 == 0:
                        self.faulted("suspend", [], at, do)
                    else:
                        self.faulted("reseal", ["--tpm-policy", policy], at, do)
                    self.opens()
        self.expect(self.node("reseal", "--tpm-policy", "none"))
        self.assertEqual(sorted(os.listdir(self.sealed.parent)), ["node.lock", "node.tpm"])

    def test_one_at_a_time(self):
        self.expect(self.init())
        import fcntl
        with open(self.sealed.parent / "node.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.node("reseal").returncode, 5)
        self.expect(self.node("reseal"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
