# SPDX-License-Identifier: Apache-2.0
"""A real etcd and kube-apiserver on private loopback ports, a client for Secrets, and a look into etcd."""

import base64
import http.client
import json
import os
import secrets
import signal
import ssl
import urllib.request

from harness import Server, free_ports, wait_for

READY_TIMEOUT = 150
PREFIX = b"k8s:enc:kms:v2:keyturn:"


def ec_private_key():
    """A P-256 private key in PEM (SEC 1, without the public half, which readers can tell from it)."""
    scalar = bytes([0x40]) + secrets.token_bytes(31)  # surely below the order and not zero
    der = bytes.fromhex("303102010104 20".replace(" ", "")) + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    return f"-----BEGIN EC PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END EC PRIVATE KEY-----\n"


class Etcd:
    """One member, on two ports of its own. more: other URLs for clients, with {port} where a third port belongs; options:
    more of its flags."""

    def __init__(self, binary, directory, more=(), options=()):
        self.binary, self.dir, self.more, self.options = binary, directory, more, options
        self.dir.mkdir()
        self.server = None
        self.ports = None

    def start(self):
        for _ in range(3):
            self.ports = self.ports or free_ports(3)
            client, peer = (f"http://127.0.0.1:{port}" for port in self.ports[:2])
            clients = ",".join([client, *(url.format(port=self.ports[2]) for url in self.more)])
            command = [self.binary, "--name=e2e", f"--data-dir={self.dir}/data", f"--listen-client-urls={clients}",
                       f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
                       f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=e2e={peer}", *self.options]
            self.server = Server("etcd", command, self.dir / "etcd.log")
            wait_for("etcd answers or ends", lambda: not self.server.alive() or self.healthy(), 60)
            if self.server.alive():
                return
            if (self.dir / "data").exists():
                break
            self.ports = None  # somebody else took one
        self.server.check()

    def url(self):
        return f"http://127.0.0.1:{self.ports[0]}"

    def healthy(self):
        with urllib.request.urlopen(f"{self.url()}/health", timeout=5) as answer:
            return json.load(answer).get("health") == "true"

    def call(self, what, **fields):
        """By etcd's own JSON gateway (linearizable). Fields are bytes."""
        body = json.dumps({name: base64.b64encode(value).decode() for name, value in fields.items()}).encode()
        request = urllib.request.Request(f"{self.url()}/v3/kv/{what}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def get(self, key):
        """The stored bytes."""
        found = self.call("range", key=key.encode()).get("kvs", [])
        return base64.b64decode(found[0]["value"]) if found else None

    def all(self, prefix):
        """[(key, value)] of all that begins with it."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call("range", key=prefix.encode(), range_end=end.encode()).get("kvs", [])
        return [(base64.b64decode(kv["key"]).decode(), base64.b64decode(kv.get("value", ""))) for kv in found]

    def put(self, key, value):
        self.call("put", key=key.encode(), value=value)

    def delete(self, key):
        self.call("deleterange", key=key.encode())

    def secret(self, name, namespace="default"):
        return self.get(secret_key(name, namespace))

    def stop(self, number=signal.SIGTERM):
        if self.server:
            self.server.stop(number)


def secret_key(name, namespace="default"):
    return f"/registry/secrets/{namespace}/{name}"


def on_host(hostname, command):
    """The command in a UTS namespace of its own: kube-apiserver's identity is made from the host's name. Its pid stays."""
    unshare = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--uts"]
    return [*unshare, "sh", "-c", 'hostname "$0" && exec "$@"', hostname, *command]


class ApiServer:
    """kube-apiserver with a static token of system:masters; its certificate is the one that it makes itself. With a
    hostname it has a host of that name, and with it an identity of its own among others on the same etcd."""

    def __init__(self, binary, directory, etcd_url, encryption_config, hostname=None, token=None):
        self.binary, self.dir, self.etcd_url, self.config = binary, directory, etcd_url, encryption_config
        self.hostname = hostname
        self.dir.mkdir()
        self.token = token or secrets.token_hex(16)
        for name, text in (("service-account.key", ec_private_key()),
                           ("tokens.csv", f"{self.token},admin,admin,system:masters\n")):
            (self.dir / name).touch(mode=0o600)
            (self.dir / name).write_text(text)
        self.server = None
        self.port = None

    def start(self, wait=True):
        for _ in range(3):
            self.port = self.port or free_ports(1)[0]
            self.server = Server("kube-apiserver", self.command(), self.dir / "kube-apiserver.log")
            wait_for("kube-apiserver answers or ends",
                     lambda: not self.server.alive() or self.client().get("/livez")[0], READY_TIMEOUT, 0.2)
            if self.server.alive():
                break
            self.port = None  # somebody else took it
        self.server.check()
        if wait:
            self.wait_ready()

    def command(self):
        command = self.bare_command()
        return on_host(self.hostname, command) if self.hostname else command

    def bare_command(self):
        return [
            self.binary, f"--etcd-servers={self.etcd_url}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self.port}", f"--cert-dir={self.dir}",
            "--endpoint-reconciler-type=none", "--authorization-mode=RBAC", "--anonymous-auth=false",
            f"--token-auth-file={self.dir}/tokens.csv", "--service-account-issuer=https://e2e.invalid",
            f"--service-account-key-file={self.dir}/service-account.key",
            f"--service-account-signing-key-file={self.dir}/service-account.key",
            "--service-cluster-ip-range=10.96.0.0/16", "--disable-admission-plugins=ServiceAccount",
            f"--encryption-provider-config={self.config}", "--encryption-provider-config-automatic-reload=true",
        ]

    def client(self, keep=False):
        return Client(self, keep)

    def ready(self):
        self.server.check()
        return self.client().get("/readyz")[0] == 200

    def wait_ready(self, timeout=READY_TIMEOUT):
        wait_for("kube-apiserver is ready", self.ready, timeout, 0.2)
        wait_for("the namespace default is there",
                 lambda: self.client().get("/api/v1/namespaces/default")[0] == 200, timeout, 0.2)

    def stop(self, number=signal.SIGTERM):
        if self.server:
            self.server.stop(number)


def write_kubeconfig(path, servers):
    """For the first of them, with the certificates of all, beside it."""
    ca = path.parent / "ca.pem"
    ca.write_text("".join((api.dir / "apiserver.crt").read_text() for api in servers))
    path.touch(mode=0o600)
    path.write_text(json.dumps({
        "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": f"https://127.0.0.1:{servers[0].port}",
                                               "certificate-authority": "ca.pem"}}],
        "users": [{"name": "x", "user": {"token": servers[0].token}}]}))


class Client:
    """A connection for each request, or, with keep, one for all; each thread has a client of its own."""

    def __init__(self, server, keep=False):
        self.server, self.keep = server, keep
        self.connection = None

    def _connect(self):
        context = ssl.create_default_context(cafile=str(self.server.dir / "apiserver.crt"))
        context.check_hostname = False  # the certificate itself is pinned, names do not matter
        self.connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=70, context=context)

    def request(self, method, path, body=None, content_type="application/json"):
        """(status, JSON or text)."""
        if self.connection is None:
            self._connect()
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": content_type}
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if not self.keep:
            self.close()
        if answer.getheader("Content-Type", "").startswith("application/json"):
            return answer.status, json.loads(data)
        return answer.status, data.decode(errors="replace")

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path):
        return self.request("GET", path)

    def create_secret(self, name, value, namespace="default"):
        """(status, answer); value is bytes."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                "data": {"value": base64.b64encode(value).decode()}}
        return self.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body)

    def read_secret(self, name, namespace="default"):
        """The bytes; AssertionError where kube-apiserver does not answer 200."""
        status, answer = self.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if status != 200:
            raise AssertionError(f"GET of secret {name}: {status} {answer}")
        return base64.b64decode(answer["data"]["value"])


class Cluster:
    """etcd and kube-apiserver."""

    def __init__(self, assets, directory, encryption_config):
        self.etcd = Etcd(assets / "etcd", directory / "etcd")
        self.assets, self.dir, self.config = assets, directory, encryption_config
        self.api = None

    def start(self, wait=True):
        self.etcd.start()
        self.api = self.api or ApiServer(self.assets / "kube-apiserver", self.dir / "api", self.etcd.url(), self.config)
        self.api.start(wait)

    def stop(self, number=signal.SIGTERM):
        if self.api:
            self.api.stop(number)
        self.etcd.stop(number)


# What is stored: k8s:enc:kms:v2:NAME: and the protobuf message EncryptedObject of k8s.io/apiserver.

def _varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def protobuf_fields(data):
    """[(number, value)]; a value is bytes, or a number for a varint."""
    fields, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field is longer than the message")
            value, at = data[at:at + length], at + length
        else:
            raise ValueError(f"wire type {tag & 7}")
        fields.append((tag >> 3, value))
    return fields


class EncryptedObject:
    """A stored value that a KMS v2 provider encrypted."""

    def __init__(self, stored, prefix=PREFIX):
        if not stored.startswith(prefix):
            raise ValueError(f"the stored value begins with {stored[:40]!r}")
        fields = protobuf_fields(stored[len(prefix):])
        found = dict(fields)
        self.data, self.key_id, self.seed = found[1], found[2].decode(), found[3]
        self.annotations = [value for number, value in fields if number == 4]
        self.source_type = found.get(5, 0)


def hexdump(data):
    lines = []
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        text = "".join(chr(b) if 0x20 <= b < 0x7f else "." for b in row)
        octets = " ".join(f"{b:02x}" for b in row[:8]).ljust(23) + "  " + " ".join(f"{b:02x}" for b in row[8:]).ljust(23)
        lines.append(f"{at:08x}  {octets}  |{text}|")
    return "\n".join(lines)
