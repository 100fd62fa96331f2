# SPDX-License-Identifier: Apache-2.0
"""Certificates, a client of ours to drive (etcd_probe.c), and what else the tests of the store need."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
from harness import BUILD  # noqa: E402

PROBE = BUILD / "tests" / "etcd_probe"


class Authority:
    """A CA of the test's own. Certificates are NAME.crt and NAME.key beside it."""

    def __init__(self, directory, name):
        self.dir, self.name = directory, name
        self.ca, self.ca_key = directory / f"{name}.crt", directory / f"{name}.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", f"/CN={name}", "-keyout", self.ca_key, "-out", self.ca)

    @staticmethod
    def _openssl(*words):
        run = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(run.stderr)

    def issue(self, name, names="", dates=(), rsa=False):
        """(certificate, key). names: as subjectAltName has them. dates: -not_before, -not_after of `openssl ca`."""
        certificate, key, request = (self.dir / f"{name}.{end}" for end in ("crt", "key", "csr"))
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("req", "-new", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.dir / f"{name}.ext"
        extensions.write_text("extendedKeyUsage=serverAuth,clientAuth\n" +
                              (f"subjectAltName={names}\n" if names else ""))
        if dates:
            base = self.dir / f"{name}.ca"
            base.mkdir()
            (base / "index").touch()
            (base / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={base}/index\nnew_certs_dir={base}\nrand_serial=yes\n"
                                       "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            self._openssl("ca", "-batch", "-config", base / "conf", "-cert", self.ca, "-keyfile", self.ca_key, "-in", request,
                          "-out", certificate, "-extfile", extensions, "-startdate", dates[0], "-enddate", dates[1], "-notext")
        else:
            self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days",
                          "2", "-extfile", extensions, "-out", certificate)
        key.chmod(0o600)
        return certificate, key


class Probe:
    """A client that lives until close()."""

    def __init__(self, endpoints, ca=None, pair=None, server_name=None, timeout_ms=20000, environment=None):
        words = [PROBE, "--endpoints", ",".join(endpoints), "--timeout", timeout_ms]
        words += ["--cacert", ca] if ca else []
        words += ["--cert", pair[0], "--key", pair[1]] if pair else []
        words += ["--server-name", server_name] if server_name else []
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})})
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the probe ended: {self.process.wait()} {self.process.stderr.read()}")
        return json.loads(line)

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, text):
        self.say(text)
        return self.read()

    def get(self, key):
        """The bytes, None, or the error; and the seconds that it took."""
        begin = time.monotonic()
        answer = self.ask(f"get {key}")
        seconds = time.monotonic() - begin
        if "error" in answer:
            return answer, seconds
        return base64.b64decode(answer["value"]) if answer["found"] else None, seconds

    def close(self):
        """What it says at its end; it must end well, and with nothing on standard error."""
        out, error = self.process.communicate(timeout=60)
        if self.process.returncode != 0 or error:
            raise RuntimeError(f"the probe ended with {self.process.returncode}: {error}")
        return json.loads(out) if out else {}

    def drop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
