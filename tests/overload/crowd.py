"""Crowds of clients that do harm, each one process over raw sockets. Run as `crowd.py ROLE ARGUMENTS-AS-JSON`; prints its
figures as JSON when done. Every client has one of many source addresses 127.0.x.y, so that ports do not run out.

    idle    N connections that each ask once and then stay; until the server ends them
    slow    N connections for SECONDS: most send a head byte by byte, some a body, some read an answer drop by drop
    half    N uploads that send half of their body and then nothing; until all have ended
    puts    N uploads of SIZE bytes at once; a refused one comes again after Retry-After, until all are done or UNTIL of
            them were refused by a full disk that took some
    storm   N short connections, WIDTH at a time: complete, half a head and gone, reset, answer not read
"""

import collections
import heapq
import itertools
import json
import os
import pathlib
import random
import resource
import select
import socket
import struct
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "wire"))
from rawsign import Raw  # noqa: E402

NOBODY = (BlockingIOError, InterruptedError)
SLICE = 256 << 10


class Client:
    """A non-blocking connection that begins to connect at once."""

    numbers = itertools.count(1)

    def __init__(self, address, receive_buffer=0):
        n = next(self.numbers)
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer known
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.bind((f"127.{os.getpid() % 50 + 1}.{n // 250 % 250}.{n % 250 + 1}", 0))
        self.got = b""
        self.sent = 0
        try:
            self.sock.connect(address)
        except NOBODY:
            pass

    def fileno(self):
        return self.sock.fileno()

    def send(self, data):
        """How much of data went out now."""
        try:
            return self.sock.send(data)
        except (*NOBODY, BrokenPipeError, ConnectionResetError):
            return 0

    def receive(self, n=65536):
        """False: the connection has ended. Only the beginning of what came is kept."""
        try:
            data = self.sock.recv(n)
        except NOBODY:
            return True
        except OSError:
            return False
        if len(self.got) < 4096:
            self.got += data
        return bool(data)

    def status(self):
        return int(self.got[9:12]) if self.got.startswith(b"HTTP/1.1 ") and len(self.got) > 12 else None

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Target:
    def __init__(self, o):
        self.raw = Raw(types.SimpleNamespace(address=tuple(o["address"]), access_key=o["access_key"], secret_key=o["secret_key"]))
        self.address = tuple(o["address"])
        self.bucket = o["bucket"]

    def put(self, key, size):
        target = self.raw.presign("PUT", f"/{self.bucket}/{key}", expires=3600)
        return f"PUT {target} HTTP/1.1\r\nHost: {self.raw.host}\r\nContent-Length: {size}\r\n\r\n".encode()

    def get(self, key):
        target = self.raw.presign("GET", f"/{self.bucket}/{key}", expires=3600)
        return f"GET {target} HTTP/1.1\r\nHost: {self.raw.host}\r\n\r\n".encode()


def tally(figures, client):
    """Count how a connection ended: a status, or nothing said."""
    status = client.status()
    figures[str(status or "silent")] += 1
    if status == 503 and b"\r\nretry-after:" not in client.got.lower():
        figures["503 without Retry-After"] += 1


# ---- idle ----

def receive_all(clients, figures):
    """Those that are still open; what the others were told is counted."""
    still = []
    for c in clients:
        if c.receive():
            still.append(c)
        else:
            tally(figures, c)
            c.close()
    return still


def idle(o):
    target = Target(o)
    request = target.get(o["small"])
    figures = collections.Counter()
    clients = [Client(target.address) for _ in range(o["n"])]
    end = time.monotonic() + o["seconds"]
    while clients and time.monotonic() < end:
        for c in clients:
            if not c.sent:
                c.sent = c.send(request)
        clients = receive_all(clients, figures)
        if not figures["told"] and all(c.status() for c in clients):
            print("all were answered", flush=True)
            figures["told"] = 1
        time.sleep(0.1)
    figures["still open"] = len(clients)
    return figures


# ---- slow ----

def slow_kind(i):
    return "body" if i % 20 == 0 else "reader" if i % 20 == 1 else "head"


def slow_open(target, i):
    kind = slow_kind(i)
    c = Client(target.address, receive_buffer=4096 if kind == "reader" else 0)
    c.kind = kind
    if kind == "reader":
        c.rest = target.large
    elif kind == "body":
        c.rest = target.upload + b"x" * 4096
    else:
        c.rest = target.large[:-2]
    return c


def slow_step(c):
    """A step a second. False: it has ended."""
    most = len(c.rest) if c.kind == "reader" and not c.sent else 400 if c.kind == "body" and not c.sent else 3
    n = c.send(c.rest[c.sent:c.sent + most])
    c.sent += n
    return c.receive(512)


def slow(o):
    target = Target(o)
    target.large, target.upload = target.get(o["large"]), target.put("slow", 1 << 20)
    figures = collections.Counter()
    clients = [slow_open(target, i) for i in range(o["n"])]
    end = time.monotonic() + o["seconds"]
    while time.monotonic() < end or figures["rounds"] < 6:
        began = time.monotonic()
        for i, c in enumerate(clients):
            if not slow_step(c):
                tally(figures, c)
                c.close()
                clients[i] = slow_open(target, i)
        figures["rounds"] += 1
        time.sleep(max(0, 1 - (time.monotonic() - began)))
    for c in clients:
        if c.status():
            figures["answered and open"] += 1
        c.close()
    return figures


# ---- half-open uploads ----

def half(o):
    target = Target(o)
    figures = collections.Counter()
    clients = []
    for i in range(o["n"]):
        c = Client(target.address)
        c.rest = target.put(f"half{i % 50}", o["size"]) + b"x" * (o["size"] // 2)
        clients.append(c)
    end = time.monotonic() + o["seconds"]
    while clients and time.monotonic() < end:
        for c in clients:
            if c.sent < len(c.rest):
                c.sent += c.send(c.rest[c.sent:c.sent + SLICE])
        clients = receive_all(clients, figures)
        time.sleep(0.2)
    figures["still open"] = len(clients)
    for c in clients:
        c.close()
    return figures


# ---- large uploads ----

class Puts:
    def __init__(self, o):
        self.o, self.target = o, Target(o)
        self.figures = collections.Counter()
        self.poll = select.epoll()
        self.live, self.later = {}, []
        self.body = memoryview(os.urandom(1 << 20) * (o["size"] >> 20))

    def begin(self, i):
        c = Client(self.target.address)
        c.i = i
        c.head = self.target.put(f"put{i % self.o['keys']}", len(self.body))
        self.live[c.fileno()] = c
        self.poll.register(c.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def over(self, c):
        self.poll.unregister(c.fileno())
        del self.live[c.fileno()]
        tally(self.figures, c)
        if c.status() != 200:
            heapq.heappush(self.later, (time.monotonic() + 1 + random.random(), c.i))
        c.close()

    def push(self, c):
        at = c.sent - len(c.head)
        n = c.send(c.head[c.sent:]) if at < 0 else c.send(self.body[at:at + SLICE])
        c.sent += n
        if c.sent == len(c.head) + len(self.body):
            self.poll.modify(c.fileno(), select.EPOLLIN)

    def step(self, fd, events):
        c = self.live[fd]
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            alive = c.receive()
            if not alive or b"\r\n\r\n" in c.got:
                self.over(c)
                return
        if events & select.EPOLLOUT:
            self.push(c)

    def run(self):
        for i in range(self.o["n"]):
            self.begin(i)
        end = time.monotonic() + self.o["seconds"]
        enough = self.o.get("until", float("inf"))
        while (self.live or self.later) and time.monotonic() < end and not (self.figures["507"] >= enough and self.figures["200"]):
            while self.later and self.later[0][0] <= time.monotonic():
                self.begin(heapq.heappop(self.later)[1])
            for fd, events in self.poll.poll(0.1, 256):
                if fd in self.live:
                    self.step(fd, events)
        self.figures["not done"] = len(self.live) + len(self.later)
        return self.figures


# ---- a storm of short connections ----

class Storm:
    def __init__(self, o):
        self.o, self.target = o, Target(o)
        self.figures = collections.Counter()
        self.poll = select.epoll()
        self.live = {}
        self.request = self.target.get(o["small"])

    def begin(self, i):
        c = Client(self.target.address)
        c.kind = ("whole", "whole", "half a head", "reset", "unread")[i % 5]
        self.live[c.fileno()] = c
        self.poll.register(c.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def over(self, c):
        self.poll.unregister(c.fileno())
        del self.live[c.fileno()]
        if c.kind == "whole":
            tally(self.figures, c)
        self.figures[c.kind] += 1
        c.close(reset=c.kind == "reset")

    def step(self, fd, events):
        c = self.live[fd]
        if events & select.EPOLLOUT and not c.sent:
            data = self.request[:60] if c.kind == "half a head" else self.request
            c.sent = c.send(data)
            if c.kind != "whole":
                self.over(c)
                return
            self.poll.modify(fd, select.EPOLLIN)
        if events & ~select.EPOLLOUT and (not c.receive() or b"\r\n\r\n" in c.got):
            self.over(c)

    def run(self):
        begun = 0
        end = time.monotonic() + self.o["seconds"]
        while (begun < self.o["n"] or self.live) and time.monotonic() < end:
            while begun < self.o["n"] and len(self.live) < self.o["width"]:
                self.begin(begun)
                begun += 1
            for fd, events in self.poll.poll(0.1, 256):
                if fd in self.live:
                    self.step(fd, events)
        self.figures["not done"] = self.o["n"] - begun + len(self.live)
        return self.figures


ROLES = {"idle": idle, "slow": slow, "half": half, "puts": lambda o: Puts(o).run(), "storm": lambda o: Storm(o).run()}


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    figures = ROLES[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps({**figures, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
