# SPDX-License-Identifier: Apache-2.0
"""This machine with k3s on it that encrypts by itself, as far as keyturn sees it: files, laid out below a root of their own, and put
in place for a single command in a mount namespace."""

import json
import os

UNIT = "usr/local/lib/systemd/system/k3s.service"
DATA = "var/lib/rancher/k3s"
OWN = f"{DATA}/server/cred/encryption-config.json"
IN_ITS_PLACE = """
mount -t tmpfs none /var/lib
mount -t tmpfs none /usr/local/lib
cp -r "$1/var/lib/rancher" /var/lib/
mkdir -p /usr/local/lib/systemd/system
cp "$1/usr/local/lib/systemd/system/k3s.service" /usr/local/lib/systemd/system/
shift
exec "$@"
"""


def lay_out(root):
    """What a host of k3s has besides its own keys."""
    (root / UNIT).parent.mkdir(parents=True, exist_ok=True)
    (root / UNIT).write_text("[Service]\nExecStart=/usr/local/bin/k3s server --secrets-encryption\n")
    (root / OWN).parent.mkdir(parents=True, exist_ok=True)


def own_keys(path, *keys, kind="aescbc"):
    """(name, base64) of each, the first one first: as k3s and RKE2 write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "resources": [
        {"resources": ["secrets"], "providers": [
            {kind: {"keys": [{"name": name, "secret": secret} for name, secret in keys]}}, {"identity": {}}]}]}))


def in_its_place(root):
    """What to put before a command, so that it sees what is below the root as this machine's."""
    spaces = "-m" if os.geteuid() == 0 else "-rm"
    return ["unshare", spaces, "sh", "-ec", IN_ITS_PLACE, "sh", root]
