"""Clients that write down what they ask and what they are told, while the server is killed under them."""

import collections
import hashlib
import itertools
import random
import threading
import time

import quick
from checker import ABSENT, CONFLICT, DONE, MISSING, UNKNOWN, Op


class Finding(AssertionError):
    """An answer that no correct server gives, whatever the order of things."""


class Cluster:
    """The server that is up now. Clients wait here while it is down."""

    def __init__(self, server):
        self.server, self.up, self.life, self.over = server, threading.Event(), 0, False
        self.up.set()

    def crash(self):
        self.up.clear()
        self.server.kill()
        self.server.check_output()
        self.server.start()
        self.life += 1
        self.up.set()

    def client(self):
        if not self.up.wait(120):
            raise Finding("the server does not come back")
        return quick.of(self.server), self.life


class Recorder(threading.Thread):
    """One client: one operation after another on keys that all clients share. A value is the digest of a body that is sent
    only once; an ETag stands for the value that it was given with."""

    KINDS = {"put": 20, "get": 40, "delete": 8, "create": 12, "swap": 14, "complete": 6}
    unique = itertools.count(1)

    def __init__(self, cluster, number, keys, seed):
        super().__init__(daemon=True)
        self.cluster, self.number, self.keys = cluster, number, keys
        self.rng = random.Random(seed * 1000 + number)
        self.history = collections.defaultdict(list)  # key → [Op]
        self.seen = {}      # key → an ETag that was its own at some time
        self.failure = None
        self.unanswered = 0
        self.connection, self.life = cluster.client()

    def run(self):
        try:
            while not self.cluster.over:
                self.one(self.rng.choice(self.keys))
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
        finally:
            self.connection.close()

    def one(self, key):
        kind = self.rng.choices(list(self.KINDS), self.KINDS.values())[0]
        if kind == "swap" and key not in self.seen:
            kind = "get"
        body = f"{next(self.unique)}/{self.number}/".encode() + self.rng.randbytes(self.rng.choice([0, 100, 5000, 90000]))
        etag = hashlib.md5(body).hexdigest()
        try:
            if kind == "complete":
                kind, arguments, etag = self.upload(key, body)
            else:
                arguments = self.arguments(kind, key, body)
        except quick.Dead:  # before the operation itself: nothing that anybody sees
            return self.reconnect()
        op = Op(kind, time.monotonic_ns(), 0, value=etag, expect=self.seen.get(key), client=self.number)
        try:
            reply = self.connection.call(*arguments[0], **arguments[1])
            op.ret = time.monotonic_ns()
            op.answer = self.answer(op, reply)
        except quick.Dead:
            op.ret, op.answer = time.monotonic_ns(), UNKNOWN
            self.unanswered += 1
            self.reconnect()
        self.history[key].append(op)
        if op.kind == "get" and op.answer not in (ABSENT, UNKNOWN) or op.kind != "get" and op.kind != "delete" and op.answer == DONE:
            self.seen[key] = op.answer if op.kind == "get" else op.value
        return None

    def arguments(self, kind, key, body):
        path = f"/linear/{key}"
        if kind == "get":
            return ("GET", path), {}
        if kind == "delete":
            return ("DELETE", path), {}
        conditions = {"put": {}, "create": {"if_none_match": "*"}, "swap": {"if_match": f'"{self.seen.get(key)}"'}}
        return ("PUT", path), {"body": body, **conditions[kind]}

    def upload(self, key, body):
        """Everything up to Complete, which is the operation: a put or a create."""
        path = f"/linear/{key}"
        upload = self.expect(self.connection.call("POST", path, {"uploads": ""})).field("UploadId")
        part = self.expect(self.connection.call("PUT", path, {"partNumber": 1, "uploadId": upload}, body)).etag
        xml = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
        kind, conditions = self.rng.choice([("put", {}), ("create", {"if_none_match": "*"})])
        etag = hashlib.md5(hashlib.md5(body).digest()).hexdigest() + "-1"
        return kind, (("POST", path, {"uploadId": upload}, xml.encode()), conditions), etag

    @staticmethod
    def expect(reply):
        if reply.status != 200:
            raise Finding(f"an upload is refused: {reply!r}")
        return reply

    @staticmethod
    def answer(op, reply):
        if op.kind == "get" and reply.status == 200:
            if "-" not in reply.etag and hashlib.md5(reply.body).hexdigest() != reply.etag:
                raise Finding(f"the bytes are not those of their ETag: {reply.headers}")
            return reply.etag
        answers = {("get", 404): ABSENT, ("delete", 204): DONE, ("put", 200): DONE, ("create", 200): DONE, ("create", 412): CONFLICT,
                   ("swap", 200): DONE, ("swap", 412): CONFLICT, ("swap", 404): MISSING}
        if (op.kind, reply.status) not in answers:
            raise Finding(f"{op.kind}: unexpected answer {reply!r}")
        return answers[op.kind, reply.status]

    def reconnect(self):
        """Only a crash may leave a request without an answer."""
        life, deadline = self.life, time.monotonic() + 120
        self.connection.close()
        while self.cluster.life == life and not self.cluster.over:
            if time.monotonic() > deadline:
                raise Finding("a connection ended, and the server had not been killed")
            time.sleep(0.01)
        self.connection, self.life = self.cluster.client()


def merge(recorders):
    """key → its whole history."""
    merged = collections.defaultdict(list)
    for r in recorders:
        for key, ops in r.history.items():
            merged[key] += ops
    return merged
