#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each executable links what it needs and nothing more, so that code that parses strangers' bytes never holds a key. The
table below is the whole of it: a new library in an executable is a decision, to be written down here."""
import os
import re
import subprocess
import unittest

BUILD = os.environ["KEYTURN_BUILD"]

# By the name before ".so". Every one has libc and libseccomp (base/harden.c, kt_harden_filter).
EVERYWHERE = {"libc", "libseccomp"}
NEEDED = {
    "sbin/keyturnd": {
        "libyaml-0": "reads keyturn.yaml, root's own file",
        "libsystemd": "sd_notify, inherited sockets",
    },
    "libexec/keyturn/keyturn-front": {
        "libgrpc_unsecure": "strangers' HTTP/2; the one without TLS, which loads no OpenSSL either",
        "libgpr": "its clock and log",
        "libprotobuf-c": "strangers' KMS v2 messages",
    },
    "libexec/keyturn/keyturn-keeper": {
        "libcrypto": "AES-256-GCM",
        "libprotobuf-c": "packs replies of the control socket; it unpacks none",
    },
    "libexec/keyturn/keyturn-exporter": {
        "libmicrohttpd": "strangers' HTTP",
    },
    "libexec/keyturn/keyturn-opener": {
        "libcrypto": "signatures, HPKE, AES-256-GCM",
        "libyaml-0": "keyrings, after their signatures were verified",
        "libjansson": "tpm.pcrSignature, a file of systemd's form",
        "libtss2-esys": "the TPM",
        "libtss2-mu": "the TPM's structures",
        "libtss2-tctildr": "how the TPM is reached",
    },
    "bin/keyturn": {
        "libcrypto": "the recovery key",
        "libyaml-0": "keyturn.yaml",
        "libjansson": "-o json",
        "libprotobuf-c": "replies of the control socket, KMS v2 messages of probe",
        "libgrpc": "probe, etcd",
        "libgpr": "probe, etcd",
        "libcurl": "kube-apiserver",
        "libsqlite3": "backups of kine",
        "libssl": "why etcd refuses a connection, which gRPC does not say",
    },
}
# What the design forbids, whatever the table above should come to say (DESIGN: code that parses strangers' bytes never
# holds a key; the keeper parses neither YAML nor strangers' protobuf).
NEVER = {
    "sbin/keyturnd": {"libcrypto", "libgrpc", "libgrpc_unsecure", "libprotobuf-c", "libmicrohttpd", "libcurl"},
    "libexec/keyturn/keyturn-front": {"libcrypto", "libssl", "libyaml-0", "libmicrohttpd", "libtss2-esys", "libsystemd"},
    "libexec/keyturn/keyturn-keeper": {"libyaml-0", "libgrpc", "libgrpc_unsecure", "libmicrohttpd", "libtss2-esys", "libsystemd",
                                       "libssl"},
    "libexec/keyturn/keyturn-exporter": {"libcrypto", "libyaml-0", "libgrpc", "libgrpc_unsecure", "libprotobuf-c", "libtss2-esys", "libsystemd"},
    "libexec/keyturn/keyturn-opener": {"libgrpc", "libgrpc_unsecure", "libmicrohttpd", "libprotobuf-c", "libsystemd", "libcurl"},
    "bin/keyturn": {"libtss2-esys"},
}
SANITIZERS = re.compile(r"lib(asan|ubsan|tsan|clang_rt|m|gcc_s|stdc\+\+|pthread|dl|rt|resolv)\b|ld-linux")
WITHOUT_CRYPTO = ("sbin/keyturnd", "libexec/keyturn/keyturn-front", "libexec/keyturn/keyturn-exporter")


def read(*arguments):
    return subprocess.run(["readelf", "--wide", *arguments], capture_output=True, text=True, check=True).stdout


def needed(program):
    names = re.findall(r"\(NEEDED\).*\[(.+?)\]", read("--dynamic", os.path.join(BUILD, program)))
    return {re.sub(r"\.so(\.\d+)*$", "", name) for name in names if not SANITIZERS.match(name)}


class Links(unittest.TestCase):
    def test_needed_libraries(self):
        for program, table in NEEDED.items():
            with self.subTest(program):
                self.assertEqual(needed(program), EVERYWHERE | set(table))

    def test_forbidden_libraries(self):
        for program, names in NEVER.items():
            with self.subTest(program):
                self.assertEqual(needed(program) & names, set())

    def test_the_opener_alone_loads_tpm2_tss(self):
        """Neither by itself nor by way of another library; and no program loads a TCTI module before it is asked to."""
        for program in NEEDED:
            with self.subTest(program):
                loaded = subprocess.run(["ldd", os.path.join(BUILD, program)], capture_output=True, text=True, check=True).stdout
                found = set(re.findall(r"libtss2-[a-z-]+", loaded))
                if program == "libexec/keyturn/keyturn-opener":
                    self.assertTrue({"libtss2-esys", "libtss2-tctildr"} <= found, found)
                else:
                    self.assertEqual(found, set())
                self.assertFalse({name for name in found if name.startswith("libtss2-tcti-")})

    def test_every_executable_is_in_the_table(self):
        found = {os.path.join(folder, name) for folder in ("bin", "sbin", "libexec/keyturn")
                 for name in os.listdir(os.path.join(BUILD, folder)) if os.access(os.path.join(BUILD, folder, name), os.X_OK)}
        self.assertEqual(found, set(NEEDED))

    def test_who_holds_no_key_cannot_use_one(self):
        """Neither do front, exporter and supervisor load OpenSSL by way of another library, but where systemd's does."""
        for program in WITHOUT_CRYPTO[1:]:
            with self.subTest(program):
                loaded = subprocess.run(["ldd", os.path.join(BUILD, program)], capture_output=True, text=True, check=True).stdout
                self.assertNotRegex(loaded, r"lib(crypto|ssl)\.so")
        for program in WITHOUT_CRYPTO:
            with self.subTest(program):
                self.assertNotIn("OPENSSL_", read("--dyn-syms", os.path.join(BUILD, program)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
