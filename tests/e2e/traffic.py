# SPDX-License-Identifier: Apache-2.0
"""Secrets and ConfigMaps that show by a checksum whether they are whole, and writers, deleters and readers at work on them."""

import base64
import contextlib
import hashlib
import http.client
import itertools
import random
import secrets
import threading
import time

KINDS = ("secrets", "configmaps")
WRITE_PAUSE, READ_PAUSE, RETRY_PAUSE = 0.01, 0.004, 0.05  # s between two requests of one thread
AS_BEFORE = "as before"
SPARE = 60  # so many objects more than there were at first, at most


class Wrong(Exception):
    """An object is not what was written."""


class Failed(Exception):
    """A request was not answered, or with an error of the server: whether it was carried out is not known."""


def path_of(kind, name=""):
    return f"/api/v1/namespaces/default/{kind}" + (f"/{name}" if name else "")


def checksum(kind, name, number, text):
    return hashlib.sha256(f"{kind}/{name}/{number}/{text}".encode()).hexdigest()


def body_of(kind, name, number, immutable=False):
    """number: of the write, different in each."""
    text = secrets.token_hex(random.choice((20, 200, 200, 1500)))
    data = {"number": str(number), "text": text, "sum": checksum(kind, name, number, text)}
    if kind == "secrets":
        data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret" if kind == "secrets" else "ConfigMap", "metadata": {"name": name},
            "immutable": immutable, "data": data}


def number_in(kind, name, answer):
    """The number of the write that this is; Wrong where its checksum says that it is none."""
    try:
        data = answer["data"]
        if kind == "secrets":
            data = {key: base64.b64decode(value).decode() for key, value in data.items()}
        number = int(data["number"])
        good = data["sum"] == checksum(kind, name, number, data["text"])
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"{kind} {name}: {error!r}: {str(answer)[:200]}") from error
    if not good:
        raise Wrong(f"{kind} {name}: its checksum is another")
    return number


class Record:
    """What one object may be read as: numbers of writes, None for not there. `changes` counts what was begun and ended."""

    def __init__(self, immutable):
        self.good, self.immutable = {None}, immutable
        self.changes, self.busy = 0, True


class Traffic:
    """Works from start() to stop(). What goes wrong is in `errors`; with outage(), failures are not, wrong contents always."""

    def __init__(self, api, n_secrets, n_configmaps):
        self.api, self.lock, self.numbers = api, threading.Lock(), itertools.count(1)
        self.records, self.live = {}, []  # by (kind, name), also of what was deleted; the names of what was not
        self.errors, self.threads, self.over = [], [], threading.Event()
        self.lenient = {"read": 0, "write": 0}  # outages at the moment
        self.lenient_until = {"read": 0.0, "write": 0.0}
        self.totals = {}
        self.begin()
        self.wanted = [("secrets", f"o-{i}") for i in range(n_secrets)] + [("configmaps", f"o-{i}") for i in range(n_configmaps)]
        self.most = len(self.wanted) + SPARE

    # ---- figures ----

    def begin(self):
        """Figures from now on."""
        with self.lock:
            self.counts = dict.fromkeys(("created", "updated", "deleted", "conflicts", "refused", "read", "failed"), 0)
            self.begun = time.monotonic()
            self.longest = 0.0  # from the first try of a read to its answer, s

    def note(self, what):
        with self.lock:
            self.counts[what] += 1
            self.totals[what] = self.totals.get(what, 0) + 1

    def figures(self):
        with self.lock:
            counts = ", ".join(f"{n} {what}" for what, n in self.counts.items() if n)
            return f"{counts}; the longest read {self.longest * 1000:.0f} ms"

    # ---- outages ----

    @contextlib.contextmanager
    def outage(self, *what):
        """Requests of these sorts ("read", "write") that are on their way meanwhile may fail."""
        with self.lock:
            for sort in what:
                self.lenient[sort] += 1
        try:
            yield
        finally:
            with self.lock:
                for sort in what:
                    self.lenient[sort] -= 1
                    self.lenient_until[sort] = time.monotonic()

    def failed(self, sort, begun, words):
        self.note("failed")
        with self.lock:
            if not self.lenient[sort] and begun > self.lenient_until[sort]:
                self.errors.append(words)

    # ---- requests ----

    @staticmethod
    def ask(client, method, path, body=None):
        """(status, answer); Failed where it may have been carried out or not."""
        try:
            status, answer = client.request(method, path, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Failed(f"{method} {path}: {error!r}") from error
        if status >= 500 or status == 429:
            raise Failed(f"{method} {path}: {status} {str(answer)[:300]}")
        return status, answer

    def take(self, pick):
        """(kind, name) that pick() says, its record busy; None where another one has it."""
        with self.lock:
            at = pick()
            if at is None or self.records[at].busy:
                return None
            self.records[at].busy = True
            return at

    def write(self, at, method, body, number, outcomes):
        """A write of a record that is busy. number: what may be read afterwards; outcomes: that by status. Returns the status, None
        where it is not known whether it was carried out."""
        path = path_of(at[0]) if method == "POST" else path_of(*at)
        record, begun = self.records[at], time.monotonic()
        with self.lock:
            before = set(record.good)
            record.good.add(number)
            record.changes += 1
        status, after = None, before | {number}
        try:
            status, answer = self.ask(self.client(), method, path, body)
            if status not in outcomes:
                raise Wrong(f"{method} {path}: {status} {str(answer)[:300]}")
            after = outcomes[status]
        except Failed as error:
            self.failed("write", begun, str(error))
        finally:
            with self.lock:
                record.good = set(before if after == AS_BEFORE else after)
                record.changes += 1
        return status

    def client(self):
        mine = threading.current_thread()
        if not hasattr(mine, "client"):
            mine.client = self.api.client(keep=True)
        return mine.client

    def create(self, kind, name, immutable):
        number, at = next(self.numbers), (kind, name)
        with self.lock:
            record = self.records[at] = Record(immutable)
        try:
            if self.write(at, "POST", body_of(kind, name, number, immutable), number, {201: {number}}) == 201:
                self.note("created")
        finally:
            with self.lock:
                record.busy = False
                self.live.append(at)

    def update(self, at):
        kind, name = at
        record, begun = self.records[at], time.monotonic()
        try:
            status, found = self.ask(self.client(), "GET", path_of(kind, name))
        except Failed as error:
            self.failed("read", begun, str(error))
            return
        if status == 404:  # where it is not known whether a write was carried out
            if None not in record.good:
                raise Wrong(f"{kind} {name}: is not there")
            return
        number = next(self.numbers)
        found["data"] = body_of(kind, name, number)["data"]
        # 409: it was rewritten meanwhile, as every writer has to expect. 422: it is immutable.
        outcomes = {409: AS_BEFORE, 422: AS_BEFORE} if record.immutable else {200: {number}, 409: AS_BEFORE}
        status = self.write(at, "PUT", found, number, outcomes)
        if status:
            self.note({200: "updated", 409: "conflicts", 422: "refused"}[status])

    def delete(self, at):
        # 404: only where it is not known whether a write was carried out.
        outcomes = {200: {None}, 404: {None}} if None in self.records[at].good else {200: {None}}
        status = self.write(at, "DELETE", None, None, outcomes)
        if status:
            with self.lock:
                self.live.remove(at)
        if status == 200:
            self.note("deleted")

    # ---- reading ----

    def read(self, client, at):
        """True where it is what it has to be; False where it changed meanwhile; Failed; Wrong."""
        record = self.records[at]
        with self.lock:
            changes, good = record.changes, set(record.good)
        status, answer = self.ask(client, "GET", path_of(*at))
        number = number_in(*at, answer) if status == 200 else None
        if status not in (200, 404):
            raise Wrong(f"{at}: {status} {str(answer)[:300]}")
        with self.lock:
            same = record.changes == changes
        if same and number not in good:
            raise Wrong(f"{at}: expected write {good}, found {number}")
        return same

    def check_all(self, threads=4, tries=50):
        """Every object, also those that were deleted. Returns how many there are."""
        with self.lock:
            wanted = list(self.records)
        left, wrong = iter(wanted), []

        def work():
            client = self.api.client(keep=True)
            while not wrong:
                with self.lock:
                    at = next(left, None)
                if at is None:
                    break
                try:
                    if not any(self.read(client, at) for _ in range(tries)):
                        wrong.append(f"{at}: changes all the time")
                except (Failed, Wrong) as error:
                    wrong.append(str(error))
            client.close()
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if wrong:
            raise AssertionError(wrong[0])
        return len(wanted)

    # ---- threads ----

    def populate(self):
        left = iter(enumerate(self.wanted))

        def work():
            while True:
                with self.lock:
                    i, at = next(left, (0, None))
                if at is None:
                    break
                self.create(*at, immutable=i % 7 == 0)
            self.client().close()
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self.errors:
            raise AssertionError(self.errors[0])

    def start(self, writers=2, deleters=1, readers=3):
        works = [self.turn_of_writer] * writers + [self.turn_of_deleter] * deleters + [self.turn_of_reader] * readers
        self.threads = [threading.Thread(target=self.work, args=(turn,), daemon=True) for turn in works]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.threads = []

    def work(self, turn):
        while not self.over.is_set():
            try:
                turn()
            except Exception as error:  # pylint: disable=broad-except
                with self.lock:
                    self.errors.append(repr(error))
        self.client().close()

    def any_live(self):
        return random.choice(self.live) if self.live else None

    def turn_of_writer(self):
        self.over.wait(WRITE_PAUSE)
        if len(self.live) < self.most and random.random() < 0.5:
            self.create(random.choice(KINDS), f"w-{secrets.token_hex(5)}", immutable=random.random() < 0.2)
            return
        at = self.take(self.any_live)
        if at:
            try:
                self.update(at)
            finally:
                self.records[at].busy = False

    def turn_of_deleter(self):
        self.over.wait(2 * WRITE_PAUSE)
        at = self.take(self.any_live) if len(self.live) > self.most - SPARE else None
        if at:
            try:
                self.delete(at)
            finally:
                self.records[at].busy = False

    def turn_of_reader(self):
        """One object, until it was read: however long that takes."""
        self.over.wait(READ_PAUSE)
        with self.lock:
            at = random.choice(self.live) if random.random() < 0.95 else random.choice(list(itertools.islice(self.records, 200)))
        first = time.monotonic()
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                self.read(self.client(), at)
            except Failed as error:
                self.failed("read", begun, str(error))
                self.over.wait(RETRY_PAUSE)
                continue
            self.note("read")
            with self.lock:
                if first >= self.begun:
                    self.longest = max(self.longest, time.monotonic() - first)
            return
