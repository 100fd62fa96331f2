# SPDX-License-Identifier: Apache-2.0
"""Certificates for the tests of this folder."""
import subprocess


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Authority:
    """A certificate authority in a directory, and what it has signed."""

    def __init__(self, directory, name="ca"):
        self.dir, self.cert, self.key = directory, directory / f"{name}.pem", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def sign(self, name, *alternatives, rsa=False, dates=()):
        """(certificate, key): files in PEM. dates: notBefore and notAfter, YYYYMMDDHHMMSSZ."""
        cert, key, request, extra = (self.dir / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        extra.write_text(f"subjectAltName={','.join(alternatives)}\n" if alternatives else "")
        openssl("req", "-new", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        if dates:
            self._sign_for(dates, name, request, cert, extra)
        else:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "2",
                    "-extfile", extra, "-out", cert)
        return cert, key

    def _sign_for(self, dates, name, request, cert, extra):
        """`openssl x509` of Debian 12 knows days from now only; `openssl ca` wants a directory."""
        base = self.dir / f"{name}.ca"
        base.mkdir()
        (base / "index").touch()
        (base / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={base}/index\nnew_certs_dir={base}\nrand_serial=yes\n"
                                   "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", base / "conf", "-cert", self.cert, "-keyfile", self.key, "-in", request,
                "-out", cert, "-extfile", extra, "-startdate", dates[0], "-enddate", dates[1])
