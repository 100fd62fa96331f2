#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a hint says to type is typed, in the situation that it is said in, and helps (keystore/tpm_errors.def)."""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_faults import LOAD, READ_PUBLIC, UNSEAL  # noqa: E402
from test_policies import key_pair  # noqa: E402
from tpm import Case, faulty  # noqa: E402

SAID = set()  # all hints, as they were said
STORAGE = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt"


class Typed(Case):
    def said(self, run, message, *typed):
        """The failure, whose hint names all that is typed next."""
        self.assertNotEqual(run.returncode, 0, run.stdout)
        error = json.loads(run.stderr.splitlines()[-1])["error"]
        SAID.add(error["hint"])
        self.assertIn(message, error["message"])
        for words in typed:
            self.assertIn(words, error["hint"])
        return error

    def verify(self):
        return self.node("verify", "-o", "json")

    def use(self, *more):
        return self.keyturn("recovery", "use", "--dir", self.dir, "--key-file", self.recovery, "--yes", *more)

    def persist(self, *more, noda=True):
        self.tpm.tool("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx", "-a", STORAGE + ("|noda" if noda else ""), *more)
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", *(["-P", "secret"] if "-P" in more else []), "-c", "p.ctx", "0x81000001")
        self.tpm.tool("tpm2_flushcontext", "-t")

    def handle_in(self, error):
        return re.search(r"SRK (0x[0-9a-f]+)", error["message"]).group(1)


class TheStorageRootKey(Typed):
    def test_the_owner_has_a_password(self):
        self.tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        self.said(self.init("-o", "json"), "owner hierarchy has a password", "tpm2_changeauth -c owner -p OLD")
        self.tpm.tool("tpm2_changeauth", "-c", "owner", "-p", "secret")
        self.expect(self.init())

    def test_the_owner_keeps_its_password(self):
        self.tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        self.said(self.init("-o", "json"), "owner hierarchy has a password", "persist an SRK with noDA at 0x81000001")
        self.persist("-P", "secret")
        self.expect(self.init())
        self.opens()

    def test_the_hierarchy_is_off(self):
        self.tpm.tool("tpm2_hierarchycontrol", "-C", "p", "shEnable", "clear")
        self.said(self.init("-o", "json"), "hierarchy is disabled", "reboot")
        self.tpm.reboot()
        self.expect(self.init())

    def test_a_password_before(self):
        self.persist("-p", "secret")
        error = self.said(self.init("-o", "json"), "SRK has a password", "tpm2_evictcontrol -C o -c HANDLE")
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", self.handle_in(error))
        self.expect(self.init())

    def test_a_password_afterwards(self):
        """The same key, made again with one: its name is the same."""
        self.expect(self.init())
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001")
        self.persist("-p", "secret")
        error = self.said(self.verify(), "SRK has a password", "tpm2_evictcontrol -C o -c HANDLE")
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", self.handle_in(error))
        self.opens()

    def test_the_salt_is_not_decrypted(self):
        """A firmware's fault with persistent keys; only the answer can be simulated."""
        self.expect(self.init())
        self.set_tcti(faulty(self.tpm.tcti, do="code", code="0x184", command="0x176", times=1))
        error = self.said(self.verify(), "session's salt", "tpm2_evictcontrol -C o -c HANDLE")
        self.set_tcti(self.tpm.tcti)
        self.tpm.tool("tpm2_evictcontrol", "-C", "o", "-c", self.handle_in(error))
        self.opens()


class TheSealedKey(Typed):
    def comes_back(self, message, *more):
        self.said(self.verify(), message, " ".join(["keyturn recovery use", *more[:1]]))
        self.expect(self.use(*more))
        self.opens()

    def test_gone(self):
        self.expect(self.init())
        self.sealed.unlink()
        self.comes_back("cannot be read")

    def test_damaged(self):
        self.expect(self.init())
        self.sealed.write_bytes(self.sealed.read_bytes()[:-1])
        self.comes_back("damaged")

    def test_does_not_fit(self):
        self.expect(self.init())
        whole = self.sealed.read_bytes()
        self.sealed.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
        self.comes_back("does not fit the SRK")

    def of_somebody_else(self, *more):
        """node.tpm with an object of the same parent that keyturn did not make (docs/keyring-format.md §11)."""
        self.expect(self.init())
        (self.tpm.dir / "any").write_bytes(bytes(range(1, 33)))
        self.tpm.tool("tpm2_create", "-C", "0x81000001", "-i", "any", "-u", "o.pub", "-r", "o.priv", *more)
        self.tpm.tool("tpm2_flushcontext", "-t")
        parts = [(self.tpm.dir / name).read_bytes() for name in ("o.pub", "o.priv")]
        head = self.sealed.read_bytes()[:12 + 34 + 4 + 1 + 1]
        self.sealed.write_bytes(head + b"".join(len(part).to_bytes(4, "big") + part for part in parts) + b"\0\0")

    def test_of_somebody_else_with_a_password(self):
        self.of_somebody_else("-p", "secret", "-a", "fixedtpm|fixedparent|noda|userwithauth")
        self.comes_back("has a password that keyturn did not set")

    def test_of_somebody_else_for_a_policy(self):
        self.of_somebody_else("-a", "fixedtpm|fixedparent|noda|adminwithpolicy")
        self.comes_back("with a policy only")

    def test_another_tpm(self):
        self.expect(self.init())
        self.tpm.tool("tpm2_clear")
        self.comes_back("another TPM, or a cleared one")

    def test_other_pcrs(self):
        self.expect(self.init("--tpm-policy", "pcr:sha256:14"))
        self.tpm.extend(14)
        self.said(self.verify(), "PCRs are not those", "keyturn node check", "keyturn recovery use --force")
        named = self.said(self.node("check", "-o", "json"), "would not open", "keyturn recovery use --force")
        self.assertEqual(named["code"], "FOUND")
        self.comes_back("PCRs are not those", "--force")
        self.expect(self.node("check"))

    def test_a_pcr_that_grows(self):
        self.expect(self.init("--tpm-policy", "pcr:sha256:14"))
        self.set_tcti(faulty(self.tpm.tcti, do="code", code="0x128", command=hex(UNSEAL), times=31))
        self.said(self.verify(), "extended again and again", "keyturn node reseal", "keyturn recovery use --force", "--tpm-policy")
        self.expect(self.use("--force", "--tpm-policy", "none", "--tcti", self.tpm.tcti))
        self.tpm.extend(14)
        self.opens()

    def test_locked_out(self):
        """Neither the SRK nor the sealed key counts, so the answer is simulated; what is typed is done to a TPM that is."""
        self.expect(self.init())
        self.tpm.tool("tpm2_dictionarylockout", "-s", "-n", "1", "-t", "10000", "-l", "10000")
        (self.tpm.dir / "any").write_text("any")
        for words in (["createprimary", "-C", "n", "-c", "n.ctx"], ["create", "-C", "n.ctx", "-p", "right", "-i", "any", "-c", "o.ctx"],
                      ["unseal", "-c", "o.ctx", "-p", "wrong"], ["unseal", "-c", "o.ctx", "-p", "wrong"]):
            self.tpm.tool("tpm2_" + words[0], *words[1:], check=words[0] != "unseal")
            self.tpm.tool("tpm2_flushcontext", "-t")
            self.tpm.tool("tpm2_flushcontext", "-l")
        self.set_tcti(faulty(self.tpm.tcti, do="code", code="0x921", command=hex(LOAD), times=1))
        self.said(self.verify(), "locked out", "tpm2_dictionarylockout -c", "tpm2_getcap properties-variable")
        self.assertRegex(self.tpm.tool("tpm2_getcap", "properties-variable"), r"inLockout: +1")
        self.tpm.tool("tpm2_dictionarylockout", "-c")
        self.assertRegex(self.tpm.tool("tpm2_getcap", "properties-variable"), r"inLockout: +0")


class Others(Typed):
    """What no TPM of ours does by itself: its answer is simulated, and what is typed is there."""

    def setUp(self):
        super().setUp()
        self.expect(self.init())

    def answer(self, code, command, **more):
        self.set_tcti(faulty(self.tpm.tcti, do="code", code=hex(code), command=hex(command), times=1, **more))

    def test_a_code_that_is_not_in_the_table(self):
        self.answer(0x1c4, UNSEAL)
        self.said(self.verify(), "0x1c4", "tpm2_rc_decode CODE", "keyturn node check")
        self.assertIn("value", self.tpm.tool("tpm2_rc_decode", "0x1c4"))
        self.set_tcti(self.tpm.tcti)
        self.expect(self.node("check"))

    def test_a_policy_that_is_not_fulfilled(self):
        self.answer(0x126, UNSEAL)
        self.said(self.verify(), "not fulfilled", "keyturn node check")
        self.expect(self.node("check"))

    def test_the_parent_vanishes(self):
        self.sealed.unlink()
        # Found, and gone when it is looked at.
        self.answer(0x18b, READ_PUBLIC, skip=1)
        self.said(self.use("-o", "json"), "no key there any more", "run it again", "keyturn node check")
        self.set_tcti(self.tpm.tcti)
        self.expect(self.use())
        self.expect(self.node("check"))

    def test_an_answer_by_somebody_else(self):
        self.set_tcti(faulty(self.tpm.tcti, do="flip", command=hex(UNSEAL), times=1))
        self.said(self.verify(), "forged")

    def test_tctis(self):
        for tcti, message, words in (("nothing:x", "no such TCTI module", "device:/dev/tpmrm0"),
                                     (f"device:{self.work}/none", "no such device", "tpm.tcti"),
                                     (f"swtpm:path={self.work}/none", "does not answer", "tpm.tcti")):
            with self.subTest(tcti):
                self.set_tcti(tcti)
                self.said(self.verify(), message, words)
        self.set_tcti(self.tpm.tcti)
        self.opens()


class Policies(Typed):
    def test_no_signature(self):
        private, public = key_pair(self.work, "k", "ec")
        signatures = self.work / "s.json"
        policy = f"signed:sha256:16:{public}"
        self.said(self.init("--tpm-policy", policy, "-o", "json"), "names no signature file", "tpm.pcrSignature", "keyturn node sign-pcrs")
        self.said(self.init("--tpm-policy", policy, "--pcr-signature", signatures, "-o", "json"), "--pcr-signature", "")
        sign = ["node", "sign-pcrs", "--signing-key", private, "--pcrs", "sha256:16", "--pcr", f"16={'0' * 64}", "--out", signatures]
        self.expect(self.keyturn(*sign))
        self.expect(self.init("--tpm-policy", policy, "--pcr-signature", signatures))
        self.tpm.extend(16)
        self.said(self.verify(), "no signature for the present values", "keyturn node sign-pcrs")
        self.said(self.node("check", "-o", "json"), "would not open", "keyturn node sign-pcrs")
        self.expect(self.node("sign-pcrs", "--signing-key", private, "--pcrs", "sha256:16", "--out", signatures))
        self.opens()
        signatures.unlink()
        self.said(self.verify(), "signature file", "keyturn node sign-pcrs")

    def test_a_bank_that_is_not_there(self):
        self.tpm.tool("tpm2_pcrallocate", "sha256:all+sha384:none")
        self.tpm.reboot()
        self.said(self.init("--tpm-policy", "pcr:sha384:14", "-o", "json"), "has no bank sha384", "tpm2_getcap pcrs", "--tpm-policy")
        self.assertRegex(self.tpm.tool("tpm2_getcap", "pcrs"), r"sha384: \[ *\]")
        self.expect(self.init("--tpm-policy", "pcr:sha256:14"))

    def test_a_bank_that_is_there_no_more(self):
        self.expect(self.init("--tpm-policy", "pcr:sha384:14"))
        self.tpm.tool("tpm2_pcrallocate", "sha256:all+sha384:none")
        self.tpm.reboot()
        self.said(self.verify(), "PCRs are not those", "keyturn node check", "keyturn recovery use --force")
        said = "keyturn recovery use --force --tpm-policy"
        self.said(self.node("check", "-o", "json"), "has no bank sha384", said)
        self.said(self.use("--force", "-o", "json"), "has no bank sha384", said)
        self.expect(self.use("--force", "--tpm-policy", "pcr:sha256:14"))
        self.opens()

    def test_a_signing_key_that_the_tpm_does_not_take(self):
        private = self.work / "large.pem"
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096", "-out", private], check=True,
                       stderr=subprocess.DEVNULL)
        private.chmod(0o600)
        _, small = key_pair(self.work, "small", "rsa")
        signatures = self.work / "s.json"
        for key in (private, self.work / "small.pem"):
            self.expect(self.keyturn("node", "sign-pcrs", "--signing-key", key, "--pcrs", "sha256:16", "--pcr", f"16={'0' * 64}", "--out",
                                     signatures))
        self.said(self.init("--tpm-policy", f"signed:sha256:16:{private}", "--pcr-signature", signatures, "-o", "json"),
                  "does not take that signing key", "RSA of 2048 bits or P-256", "--tpm-policy")
        self.expect(self.init("--tpm-policy", f"signed:sha256:16:{small}", "--pcr-signature", signatures))


class WithoutAResourceManager(Typed):
    """What killed processes have left in the TPM."""

    def flush(self):
        for what in ("-t", "-l", "-s"):
            self.tpm.tool("tpm2_flushcontext", what)

    def setUp(self):
        super().setUp()
        self.expect(self.init())

    def test_keys(self):
        for _ in range(3):
            self.tpm.tool("tpm2_createprimary", "-C", "n", "-c", "n.ctx")
        self.said(self.verify(), "no room for another key", "tpm2_flushcontext -t, -l and -s")
        self.flush()
        self.opens()

    def test_loaded_sessions(self):
        self.set_config("timeout", "1s")
        self.set_tcti(faulty(self.tpm.tcti, do="hang", command=hex(LOAD), times=1))
        for _ in range(3):
            self.expect(self.verify(), 7, "TIMEOUT")
        self.set_tcti(self.tpm.tcti)
        self.said(self.verify(), "no room for another session", "tpm2_flushcontext -t, -l and -s")
        self.flush()
        self.opens()

    def test_saved_sessions(self):
        for number in range(64):
            self.tpm.tool("tpm2_startauthsession", "-S", f"{number}.ctx", check=False)
        self.said(self.verify(), "no handle left for another session", "tpm2_flushcontext -t, -l and -s")
        self.flush()
        self.opens()


def hints_to_type():
    """Those of the table that have something to type."""
    rows = (pathlib.Path(os.environ["KEYTURN_SOURCE"]) / "keystore/tpm_errors.def").read_text()
    hints = re.findall(r'^KT_TPM_ERROR\([^"]*"[^"]*",\s*"([^"]*)"\)', rows, re.M)
    assert len(hints) > 40, "the table could not be read"
    return {hint for hint in hints if re.search(r"\b(keyturn [a-z]|tpm2_|systemctl)", hint)}


def tearDownModule():
    """Nobody has typed what a hint says unless it was said above. No tabrmd is here."""
    left = {hint for hint in hints_to_type() - SAID if "tpm2-abrmd" not in hint}
    if len(sys.argv) == 1 and left:
        raise AssertionError("hints that no test here has followed:\n" + "\n".join(sorted(left)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
