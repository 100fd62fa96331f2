# SPDX-License-Identifier: Apache-2.0
"""A keyturnd of a test's own, with a stand-in for the front (tests/tools/stand_in_front.c), and its control socket."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BUILD = os.environ["KEYTURN_BUILD"]
MAKE_STATE = os.path.join(BUILD, "tests", "make_state")
PATIENCE = 60

STATUS, WRAP, UNWRAP, STATE = 1, 2, 3, 4
LOSE = 99  # the stand-in closes its end of the pair
REQUEST = struct.Struct("=IIQ32s1024s")
ANSWER = struct.Struct("=IIQQQII32s1024s")


def codes():
    """Names of base/errors.def by number."""
    with open(os.path.join(os.environ["KEYTURN_SOURCE"], "base", "errors.def")) as source:
        return ["OK"] + re.findall(r"^KT_ERROR\((\w+),", source.read(), re.M)


CODES = codes()


def until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {patience} s: {what}")


def make_state(*args, check=True):
    result = subprocess.run([MAKE_STATE, *args], capture_output=True, text=True)
    if check and result.returncode != 0:
        raise AssertionError(result.stderr)
    return result


def keys_of(text):
    return [line.split()[1] for line in text.splitlines() if line.startswith("key ")]


def fields_of(data):
    """Protobuf wire format: {field: [values]}; numbers and bytes only."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        elif tag & 7 == 2:
            length = varint()
            value = data[at:at + length]
            at += length
        else:
            raise AssertionError(f"wire type {tag & 7}")
        found.setdefault(tag >> 3, []).append(value)
    return found


class Reply:
    """keyturn.control.v1.Reply."""

    def __init__(self, data):
        fields = fields_of(data)
        self.error = self.hint = None
        if 1 in fields:
            error = fields_of(fields[1][0])
            self.error = CODES[error[1][0]]
            self.message = error.get(2, [b""])[0].decode()
            self.hint = error.get(3, [b""])[0].decode()
        self.status = fields_of(fields[2][0]) if 2 in fields else None
        self.offer = fields_of(fields[3][0]) if 3 in fields else None

    def warnings(self):
        source, number = (self.offer, 5) if self.offer is not None else (self.status, 22)
        return [warning.decode() for warning in source.get(number, [])]


class Answer:
    def __init__(self, data):
        (self.op, code, self.tag, self.membership, self.generation, length, self.flags, key_id,
         body) = ANSWER.unpack(data)
        self.code = CODES[code]
        self.key_id = key_id.rstrip(b"\0").decode()
        self.data = body[:length]


def receive(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


class Daemon:
    def __init__(self, *settings):
        self.dir = tempfile.mkdtemp(prefix="kt")
        os.chmod(self.dir, 0o755)
        self.log_path = os.path.join(self.dir, "log")
        self.process = None
        self.extra_env = {}
        self.prefix = os.path.join(self.dir, "prefix")
        self.place = os.path.join(self.dir, "d")
        self.state = os.path.join(self.place, "state")
        self.config = os.path.join(self.place, "keyturn.yaml")
        self.install()
        self.first_key = keys_of(make_state("new", self.place, *settings).stdout)[0]

    def install(self):
        os.makedirs(os.path.join(self.prefix, "sbin"))
        os.makedirs(os.path.join(self.prefix, "libexec", "keyturn"))
        shutil.copy(os.path.join(BUILD, "sbin", "keyturnd"), os.path.join(self.prefix, "sbin"))
        for name in ("keeper", "opener", "exporter"):
            shutil.copy(os.path.join(BUILD, "libexec", "keyturn", "keyturn-" + name), self.program(name))
        shutil.copy(os.path.join(BUILD, "tests", "stand_in_front"), self.program("front"))

    def program(self, name):
        return os.path.join(self.prefix, "libexec", "keyturn", "keyturn-" + name)

    def replace_program(self, name, script):
        """By a script, or by bytes; from the next start of it on. Whole at once, for it may be started just now."""
        fresh = self.program(name) + ".new"
        with open(fresh, "wb") as out:
            out.write(script if isinstance(script, bytes) else script.encode())
        os.chmod(fresh, 0o755)
        os.rename(fresh, self.program(name))

    def hold_opener(self):
        """From now on one waits; what is returned lets all go on."""
        gate, sound = os.path.join(self.dir, "gate"), os.path.join(self.dir, "sound", "libexec", "keyturn", "keyturn-opener")
        if not os.path.exists(sound):
            os.makedirs(os.path.dirname(sound))
            shutil.copy(self.program("opener"), sound)
        self.replace_program("opener", f'#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.02; done\nexec {sound} "$@"\n')
        if os.path.exists(gate):
            os.unlink(gate)
        return lambda: open(gate, "w").close()

    def change_config(self, pattern, replacement):
        text = self.text(self.config)
        changed = re.sub(pattern, replacement, text)
        assert changed != text, pattern
        with open(self.config, "w") as out:
            out.write(changed)

    def text(self, path):
        with open(path, errors="replace") as source:
            return source.read()

    def gone(self, pid):
        """It has ended, though its parent may not have asked yet. It may end while it is looked at."""
        try:
            return ") Z " in self.text(f"/proc/{pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            return True

    def bytes(self, path):
        with open(path, "rb") as source:
            return source.read()

    def start(self, wait=True, command=None, **popen):
        self.notify_path = os.path.join(self.dir, "notify")
        if self.process:
            self.notify.close()
            os.unlink(self.notify_path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        self.notify.setblocking(False)
        self.notified = []
        log = open(self.log_path, "ab")
        env = dict(os.environ, NOTIFY_SOCKET=self.notify_path, **self.extra_env)
        command = command or [os.path.join(self.prefix, "sbin", "keyturnd"), "--config", self.config]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True, **popen)
        log.close()
        if wait:
            self.tells(lambda: self.heard("READY=1"), "READY=1")
            self.tells(lambda: self.try_status() is not None, "an answer on the control socket")
        return self

    def tells(self, condition, what):
        """Waits for a sign of life; the log says why there is none."""
        try:
            until(lambda: condition() or self.process.poll() is not None, what)
            if self.process.poll() is not None:
                raise AssertionError(f"ended with status {self.process.returncode}, expected {what}")
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nlog of keyturnd:\n{self.log()[-4000:]}") from None

    def heard(self, line):
        """Whether keyturnd has told the service manager (sd_notify) that line; all that it told is in `notified`."""
        try:
            while True:
                self.notified += self.notify.recv(65536).decode().split("\n")
        except BlockingIOError:
            pass
        return line in self.notified

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.heard("")
        self.notify.close()
        return status

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process:
            self.notify.close()
        log = self.log() if self.process else ""
        if os.environ.get("KEYTURN_TEST_KEEP"):
            print(self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        for sign in ("Sanitizer", "runtime error", "signal=31", "signal=11", "signal=6"):
            if sign in log:
                raise AssertionError(f"{sign!r} in the log:\n{log}")

    def log(self):
        return self.text(self.log_path)

    # The control socket

    def connect_control(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(os.path.join(self.place, "run", "control.sock"))
        return connection

    def control(self, op, document=b""):
        with self.connect_control() as connection:
            body = struct.pack(">IHH", 0x4B544354, 1, op) + document
            connection.sendall(struct.pack(">I", len(body)) + body)
            length = struct.unpack(">I", receive(connection, 4))[0]
            return Reply(receive(connection, length))

    def status(self):
        reply = self.control(1)
        assert reply.error is None, reply.error
        return reply

    def try_status(self):
        try:
            return self.status()
        except OSError:
            return None

    def healthz(self):
        reply = self.try_status()
        return reply.status.get(3, [b""])[0].decode() if reply else ""

    def wait_healthz(self, part):
        return until(lambda: part in (text := self.healthz()) and text, f"healthz with {part!r}")

    def offer(self, path):
        with open(path, "rb") as document:
            return self.control(2, document.read())

    def processes(self):
        """{role: (pid, restarts, uid)}"""
        found = {}
        for entry in self.status().status[19]:
            fields = fields_of(entry)
            found[fields[1][0].decode()] = tuple(fields.get(n, [0])[0] for n in (2, 3, 4))
        return found

    # The KMS socket, as the stand-in serves it

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(os.path.join(self.place, "run", "kms", "kms.sock"))
        return connection

    def ask(self, op, data=b"", key_id="", connection=None):
        own = connection or self.connect()
        try:
            own.sendall(REQUEST.pack(op, len(data), 7, key_id.encode(), data))
            return Answer(receive(own, ANSWER.size))
        finally:
            if not connection:
                own.close()

    # Metrics

    def get(self, path, patience=PATIENCE):
        address = self.status().status[27][0].decode()
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=patience) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None
