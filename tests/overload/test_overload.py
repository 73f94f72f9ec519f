"""Overload: crowds of hostile clients (crowd.py) against one server, while a probe asks as any other client would.

After each crowd must hold: the peak of resident memory is under the documented ceiling (docs/decisions/http.md), the probe
was served within a bounded time, refusals were 503 with Retry-After, and the server came back to idle: connections,
fibers, descriptors, memory.

Short by default; INGOT_OVERLOAD=long is the long form (`make torture-overload`).
"""

import collections
import http.client
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading
import time

import pytest

from ingot import SANITIZED, STORE
from rawsign import Raw
from test_full_disk import mount

LONG = os.environ.get("INGOT_OVERLOAD") == "long"
CROWD = pathlib.Path(__file__).with_name("crowd.py")
MIB = 1 << 20
SMALL, LARGE = 4096, 4 * MIB
BASE = 64 * MIB       # the program, its threads, the index's write buffers, what the allocator holds back
WRITERS = 256 * MIB   # of large objects, all together
KEPT = 128            # MiB of free buffers that an idle server may keep for reuse
BOUND = 120 if LONG else 60  # seconds within which the probe must be served, whatever goes on

pytestmark = [pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours"),
              pytest.mark.skipif(STORE == "memory", reason="a store in memory has no ceiling")]


def raise_descriptors(wanted):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < wanted:
        pytest.skip(f"needs {wanted} open files, the hard limit is {hard}")


class Probe(threading.Thread):
    """GET and PUT of a small object, each on a new connection, again and again; refused ones come again. On a disk that
    fills a PUT may be refused by 507, too."""

    def __init__(self, server, bucket, methods=("PUT", "GET"), fills=False):
        super().__init__(daemon=True)
        self.address, self.raw = server.address, Raw(server)
        self.bucket, self.body = bucket, os.urandom(SMALL)
        self.ending, self.served = threading.Event(), threading.Event()
        self.methods, self.fills = methods, fills
        self.took = {method: [] for method in methods}
        self.said = collections.Counter()
        self.refusals, self.wrong, self.begun = 0, [], None

    def attempt(self, method, key):
        """True: served. A refusal must be a 503 that says when to come again."""
        h = self.raw.signed_headers(method, f"/{self.bucket}/{key}", body=self.body if method == "PUT" else b"")
        c = http.client.HTTPConnection(*self.address, timeout=BOUND)
        try:
            c.request(method, f"/{self.bucket}/{key}", self.body if method == "PUT" else None, h)
            r = c.getresponse()
            data = r.read()
        except (ConnectionError, http.client.HTTPException) as e:
            self.said[type(e).__name__] += 1
            return False
        finally:
            c.close()
        self.said[r.status] += 1
        if r.status == 503:
            if r.getheader("retry-after") is None or (data and b"<Code>SlowDown</Code>" not in data):
                self.wrong.append((r.status, r.getheaders(), data[:200]))
            return False
        if r.status == 507 and self.fills and method == "PUT" and b"<Code>InsufficientStorage</Code>" in data:
            return False
        if r.status != 200 or (method == "GET" and data != self.body):
            self.wrong.append((method, r.status, data[:200]))
        return True

    def once(self, method, key):
        self.begun = time.monotonic()
        while not self.ending.is_set():
            if self.attempt(method, key):
                self.took[method].append(time.monotonic() - self.begun)
                self.served.set()
                break
            self.refusals += 1
            self.ending.wait(0.2)
        self.begun = None

    def run(self):
        while not self.ending.is_set():
            for method in self.methods:
                self.once(method, "probe")
            self.ending.wait(0.05)

    def finish(self):
        waiting = time.monotonic() - (self.begun or time.monotonic())
        self.ending.set()
        self.join(BOUND + 10)
        assert not self.wrong, self.wrong[:5]
        assert waiting < BOUND, f"a probe was not served for {waiting:.1f} s"
        for method, took in self.took.items():
            assert took and max(took) < BOUND, (method, len(took), took and max(took))
        p99 = {m: sorted(t)[int(len(t) * 0.99)] for m, t in self.took.items()}
        return {"probes": {m: len(t) for m, t in self.took.items()}, "p99 ms": {m: round(v * 1000, 1) for m, v in p99.items()},
                "longest ms": {m: round(max(t) * 1000, 1) for m, t in self.took.items()}, "probe refused": self.refusals,
                "probe saw": {str(k): n for k, n in self.said.items()}}


def metrics(server):
    c = http.client.HTTPConnection(*server.address, timeout=BOUND)
    c.request("GET", "/-/metrics")
    lines = c.getresponse().read().decode().splitlines()
    c.close()
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def proc_status(server, field):
    for line in pathlib.Path(f"/proc/{server.pid()}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(field)


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid()}/fd"))


class Scene:
    """A server, a probe, and what is measured."""

    def __init__(self, start_server, name, fills=False, **settings):
        self.name = name
        self.settings = {"index_cache": "8MiB", "blob_cache": "4MiB", "access_log": "false", "watchdog": "5ms", **settings}
        self.server = start_server(**self.settings)
        s3 = self.server.client()
        s3.create_bucket(Bucket="crowd")
        s3.put_object(Bucket="crowd", Key="small", Body=os.urandom(SMALL))
        s3.put_object(Bucket="crowd", Key="large", Body=os.urandom(LARGE))
        s3.close()
        self.probe = Probe(self.server, "crowd", fills=fills)
        self.idle = {"rss": self.server.rss_bytes(), "fds": descriptors(self.server)}
        pathlib.Path(f"/proc/{self.server.pid()}/clear_refs").write_text("5")  # the peak counts from here
        self.probe.start()

    def command(self, role, timeout, **o):
        o = {"address": self.server.address, "access_key": self.server.access_key, "secret_key": self.server.secret_key,
             "bucket": "crowd", "small": "small", "large": "large", "seconds": timeout, **o}
        return [sys.executable, str(CROWD), role, json.dumps(o)]

    def crowd(self, role, timeout, **o):
        done = subprocess.run(self.command(role, timeout, **o), capture_output=True, text=True, timeout=timeout + 120, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    def back_to_idle(self):
        """Connections, fibers and descriptors are as before, and nearly so the memory."""
        end = time.monotonic() + 120
        while True:
            try:
                m = metrics(self.server)
                state = {"connections": m["ingot_connections_open"], "fibers": m["ingot_fibers"],
                         "fds": descriptors(self.server), "http MiB": round(m["ingot_http_memory_bytes"] / MIB, 1),
                         "idle after MiB": round(self.server.rss_bytes() / MIB, 1)}
                calm = (state["connections"] <= 1 and state["fibers"] <= 8 and state["http MiB"] < 24
                        and state["fds"] <= self.idle["fds"] + 40 and state["idle after MiB"] <= self.idle["rss"] / MIB + KEPT)
            except (OSError, http.client.HTTPException, KeyError) as e:
                calm, state = False, repr(e)
            if calm:
                return state
            assert time.monotonic() < end, f"not idle: {state}"
            time.sleep(0.5)

    def finish(self, crowd, max_memory, writers=False):
        probe = self.probe.finish()
        peak = proc_status(self.server, "VmHWM")
        state = self.back_to_idle()
        refused = metrics(self.server)
        ceiling = BASE + 12 * MIB + max_memory + (WRITERS if writers else 0)
        figures = {"scene": self.name, "crowd": crowd, **probe, "idle before MiB": round(self.idle["rss"] / MIB, 1),
                   "peak MiB": round(peak / MIB, 1), "ceiling MiB": ceiling // MIB,
                   **state,
                   "connections refused": refused["ingot_connections_refused_total"],
                   "turns over 5 ms": refused["ingot_loop_blocked_total"]}
        print("\n" + json.dumps(figures))
        assert peak <= ceiling, figures
        assert "503 without Retry-After" not in crowd, figures
        self.server.stop()
        return figures


@pytest.mark.timeout(900)
def test_slow_clients(start_server):
    """Heads byte by byte, bodies and answers drop by drop. They all fit: none is refused. Bodies below the least rate are
    cut."""
    n = 10_000 if LONG else 600
    raise_descriptors(n + 2000)
    limit = 512 if LONG else 64  # the first is the default
    scene = Scene(start_server, "slow clients", max_connections=n + 1000, max_memory=f"{limit}MiB", header_timeout="15s",
                  body_timeout="30s" if LONG else "1s")
    crowd = scene.crowd("slow", 60 if LONG else 5, n=n)
    figures = scene.finish(crowd, limit * MIB)
    assert crowd["400"] > 0 and "503" not in crowd and figures["probe refused"] == 0, figures


@pytest.mark.timeout(900)
def test_idle_connections_and_a_stop(start_server):
    """Idle connections cost little each, and none hinders the stop."""
    n = 10_000 if LONG else 600
    raise_descriptors(n + 2000)
    scene = Scene(start_server, "idle connections", max_connections=n + 1000)
    crowd = subprocess.Popen(scene.command("idle", 300, n=n), stdout=subprocess.PIPE, text=True)
    assert crowd.stdout.readline() == "all were answered\n"
    probe = scene.probe.finish()
    rss = scene.server.rss_bytes()
    began = time.monotonic()
    scene.server.stop()
    took = time.monotonic() - began
    said = json.loads(crowd.communicate(timeout=300)[0])
    slow_turns = [json.loads(line) for line in scene.server.output().splitlines() if '"loop blocked"' in line]
    figures = {"scene": scene.name, "crowd": said, **probe, "idle before MiB": round(scene.idle["rss"] / MIB, 1),
               "with all open MiB": round(rss / MIB, 1), "bytes each": round((rss - scene.idle["rss"]) / n),
               "stop s": round(took, 2), "turns over 5 ms": len(slow_turns),
               "of them in a sweep": sum("conn_sweep" in turn.get("stack", "") for turn in slow_turns)}
    print("\n" + json.dumps(figures))
    # All ask at once: what is above max-requests is refused, and stays connected.
    assert said["200"] + said.get("503", 0) == n and said["still open"] == 0, figures
    assert rss - scene.idle["rss"] < BASE + n * 2048, figures


@pytest.mark.timeout(900)
def test_half_open_uploads(start_server):
    n = 1000 if LONG else 60
    raise_descriptors(n + 2000)
    limit = 512 if LONG else 64
    wait = 30 if LONG else 3
    scene = Scene(start_server, "half-open uploads", max_memory=f"{limit}MiB", body_timeout=f"{wait}s",
                  max_requests=1024 if LONG else 64)
    crowd = scene.crowd("half", 240, n=n, size=MIB)
    assert crowd["still open"] == 0 and crowd.get("400", 0) + crowd.get("503", 0) >= n * 0.9, crowd
    scene.finish(crowd, limit * MIB, writers=True)


@pytest.mark.timeout(1800)
def test_large_uploads(start_server):
    """All at once, more than may run: every one is done in the end."""
    n = 2000 if LONG else 24
    raise_descriptors(n + 2000)
    limit = 512 if LONG else 32
    scene = Scene(start_server, "large uploads", max_memory=f"{limit}MiB", max_requests=1024 if LONG else 16)
    crowd = scene.crowd("puts", 1500 if LONG else 240, n=n, size=8 * MIB, keys=200 if LONG else 8)
    assert crowd["200"] == n and crowd["not done"] == 0, crowd
    scene.finish(crowd, limit * MIB, writers=True)


@pytest.mark.timeout(900)
def test_storm_of_short_connections(start_server):
    n = 100_000 if LONG else 3000
    raise_descriptors(5000)
    limit = 512 if LONG else 64
    scene = Scene(start_server, "short connections", max_memory=f"{limit}MiB")
    crowd = scene.crowd("storm", 600, n=n, width=1000 if LONG else 200)
    assert crowd["not done"] == 0 and crowd["200"] + crowd.get("503", 0) + crowd.get("silent", 0) == crowd["whole"], crowd
    assert crowd.get("silent", 0) == 0, crowd
    scene.finish(crowd, limit * MIB)


@pytest.mark.timeout(900)
def test_more_connections_than_allowed(start_server):
    """Those above max-connections are told so and may come again."""
    raise_descriptors(5000)
    limit = 64
    scene = Scene(start_server, "too many connections", max_memory=f"{limit}MiB", max_connections=100)
    crowd = scene.crowd("storm", 300, n=3000 if LONG else 1000, width=300)
    assert crowd["not done"] == 0 and crowd.get("503", 0) > 0 and crowd["200"] > 0, crowd
    scene.finish(crowd, limit * MIB)


# ---- a full disk ----

@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    mount("tmpfs", folder, (1024 if LONG else 192) * MIB)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.timeout(900)
def test_uploads_fill_the_disk(start_server, small_disk):
    """More than fits: what does not is refused by 507, reading goes on meanwhile, and after deletions so does writing."""
    n = 400 if LONG else 60
    limit = 512 if LONG else 64
    scene = Scene(start_server, "a full disk", fills=True, data=small_disk / "data", log_size="16MiB", log_segment_size="4MiB",
                  max_memory=f"{limit}MiB")
    reader = Probe(scene.server, "crowd", methods=("GET",))
    scene.probe.served.wait(BOUND)
    reader.body = scene.probe.body
    reader.start()
    crowd = scene.crowd("puts", 300, n=n, size=8 * MIB, keys=n, until=500 if LONG else 20)
    s3 = scene.server.client()
    gone = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="crowd", Prefix="put"):
        for o in page.get("Contents", []):
            s3.delete_object(Bucket="crowd", Key=o["Key"])
            gone += 1
    end = time.monotonic() + BOUND
    while metrics(scene.server)["ingot_disk_full"]:
        assert time.monotonic() < end, "still full"
        time.sleep(0.2)
    s3.put_object(Bucket="crowd", Key="after", Body=os.urandom(MIB))
    s3.close()
    crowd["reader"] = reader.finish()
    crowd["listed"] = gone
    assert crowd["507"] > 0 and set(crowd) & {"500", "silent"} == set(), crowd
    assert crowd["200"] <= gone <= crowd["200"] + crowd["not done"], crowd  # whose answer nobody waited for is there or not
    scene.finish(crowd, limit * MIB, writers=True)
