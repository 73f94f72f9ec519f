"""Each file call fails once: for every operation of the API, and for start, stop and the log's collection, the k-th call, ours
or RocksDB's, fails with EIO, ENOSPC, EINTR or is short.

Afterwards: the answer was an error or true; what an error refused is not visible; what was acknowledged is there, now and after
a restart; the server is alive, or takes no more writes and says so in one line, or did not start and says so in one line.

A write whose flush failed is answered with an error, is not visible, and is there or not after the restart (docs/architecture.md).

INGOT_FAULT_RUNS: failures tried of each scenario (make test: a few, drawn by a seed), or "all": every call, every kind."""

import http.client
import itertools
import os
import random
import re
import time

import pytest
import requests

from ingot import ROOT, Server, run_ingot
from iofault import EVERY, INDEX, KINDS, OURS, Faults
from operations import LARGE, SCENARIOS, SMALL, bucket, must, put, shape, shape_of_reply, snapshot
from rawsign import Raw

RUNS = os.environ.get("INGOT_FAULT_RUNS", "1")
ALL = RUNS == "all"
SEED = int(os.environ.get("INGOT_FAULT_SEED", "20261123"))
COLLECTIONS = int(os.environ.get("INGOT_FAULT_COLLECTIONS", "2"))
PATIENCE = 90
FULL = "out of disk: reads go on, writes are refused\n"
FAILED = "the disk refused a write or flush: reads go on, writes have stopped until a restart\n"
ERRORS = (500, 503, 507)
SETTINGS = {"store": "engine", "backend": "epoll", "min_part_size": "1KiB", "blob_cache": "0", "access_log": "false"}


class Harness:
    """A server on which calls fail, what all its buckets must show, and the figures."""

    def __init__(self, **settings):
        self.server = Server(**SETTINGS, **settings)
        self.faults = self.server.faults = Faults(self.server.temp, self.server.data)
        self.server.env.update(self.faults.environment)
        self.must_show = {}  # bucket → its snapshot
        self.numbers = itertools.count()
        self.history = []  # what failed in which run, for whoever has to find out
        self.runs = self.injected = self.restarts = self.answered_error = self.most_calls = 0
        self.server.start()
        self.canaries()

    def canaries(self):
        raw = self.raw()
        bucket(raw, "canary")
        for name, body in (("small", SMALL), ("large", LARGE)):
            put(raw, f"/canary/{name}", body)
        self.must_show["canary"] = snapshot(raw, "canary")

    def raw(self):
        return Raw(self.server)

    def ready(self):
        return requests.get(self.server.endpoint + "/-/ready", timeout=60).text

    def settle(self):
        """"ready", or FAILED; a disk that seemed full recovers alone."""
        deadline = time.monotonic() + PATIENCE
        while (text := self.ready()) == FULL and time.monotonic() < deadline:
            time.sleep(0.05)
        assert text in ("ready\n", FAILED), text
        return text

    def restart(self):
        """In order; the exit code says whether the store had failed."""
        failed = self.settle() == FAILED
        self.server.signal(15)
        code = self.server.wait(PATIENCE)
        assert code == (1 if failed else 0), (code, self.server.output()[-3000:])
        if failed:
            assert self.server.output().count("the store has failed and takes no more writes") >= 1
        self.server.check_output()
        self.server.start(timeout=PATIENCE)
        self.restarts += 1

    def verify_all(self):
        raw = self.raw()
        for b, seen in self.must_show.items():
            assert snapshot(raw, b) == seen, b

    def end(self):
        self.faults.off()
        self.restart()
        self.verify_all()
        self.server.stop()
        done = run_ingot("check", f"--data={self.server.data}", "--deep", timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr + "\n".join(self.history)

    def figures(self, what):
        print(f"\n{what}: {self.runs} runs, {self.injected} failures injected, at most {self.most_calls} calls in one run, "
              f"{self.answered_error} answered with an error, {self.restarts} restarts, bad=0")


@pytest.fixture(scope="module")
def harness():
    h = Harness()
    try:
        yield h
        h.end()
        h.figures(f"each call, {len(SCENARIOS)} scenarios of {len({op for op, _ in SCENARIOS})} operations")
    finally:
        if ALL:  # for whoever has to find out
            print("\n".join(line for line in h.server.output().splitlines() if '"level":"error"' in line))
        h.server.remove()


def asked(call, raw, b, made):
    """The answer, or None: an error, or a connection that was cut (never a clean end)."""
    try:
        reply = call(raw, b, made)
    except (http.client.HTTPException, ConnectionError):
        return None
    if reply.status in ERRORS or (reply.status == 200 and b"<Error>" in reply.body):
        return None
    return reply


def wait_for_the_rest(faults, grace):
    """Work in the background may still come to the call that fails."""
    deadline = time.monotonic() + grace
    while not faults.hits and time.monotonic() < deadline:
        time.sleep(0.005)


def fail_once(h, scenario, k, kind, want_reply, want_shape, cold):
    """One run. Returns whether the k-th call came."""
    prepare, call = SCENARIOS[scenario]
    b = f"b{next(h.numbers):06}"
    made = prepare(h.raw(), b)
    before = snapshot(h.raw(), b)
    if cold:
        h.restart()
    raw = h.raw()
    who = f"{scenario} call {k} {kind}{' cold' if cold else ''}"
    h.faults.fail_once(k, KINDS[kind])
    reply = asked(call, raw, b, made)
    wait_for_the_rest(h.faults, 0.1)
    hit, last = h.faults.hits > 0, h.faults.last
    h.faults.off()
    who += f" ({last})"
    h.runs += 1
    h.injected += hit
    h.history.append(f"{b} {who}")
    assert h.server.process.poll() is None, f"{who}: the server left\n{h.server.output()[-3000:]}"
    state = h.settle()
    now = snapshot(raw, b)
    if reply is None:
        h.answered_error += 1
        assert hit, f"{who}: an error without a failure"
        assert now == before, f"{who}: refused, but visible: {now}"
    else:
        assert shape_of_reply(reply, b) == want_reply, f"{who}: answered {reply}"
        assert shape(now) == want_shape, f"{who}: acknowledged, but {now}"
    if state == FAILED:
        h.restart()
        after = snapshot(h.raw(), b)
        assert after == now or (reply is None and shape(after) == want_shape), f"{who}: after the restart {after}"
        now = after
    h.must_show[b] = now
    return hit


def count_calls(h, scenario, cold):
    """How many calls it makes unharmed, what it answers, and what the bucket looks like after it."""
    prepare, call = SCENARIOS[scenario]
    b = f"b{next(h.numbers):06}"
    made = prepare(h.raw(), b)
    if cold:
        h.restart()
    h.faults.count()
    reply = call(h.raw(), b, made)
    assert reply.status < 300, reply
    time.sleep(0.1)
    calls = h.faults.calls
    h.faults.off()
    seen = snapshot(h.raw(), b)
    h.must_show[b] = seen
    h.most_calls = max(h.most_calls, calls)
    return calls, shape_of_reply(reply, b), shape(seen)


def test_every_operation_of_the_table_is_here():
    rows = re.findall(r'^OP\(\w+, "(\w+)"', (ROOT / "src/api/operations.def").read_text(), re.M)
    assert {op for op, _ in SCENARIOS} == set(rows)


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=" ".join)
def test_each_call_of_an_operation_fails_once(harness, scenario, cold):
    if not ALL and cold and (SEED + list(SCENARIOS).index(scenario)) % 6:
        return  # a start for each run: the short form takes every sixth
    rng = random.Random(f"{SEED} {scenario} {cold}")
    calls, want_reply, want_shape = count_calls(harness, scenario, cold)
    pairs = [(k, kind) for k in range(calls) for kind in KINDS]
    if not ALL:
        pairs = rng.sample(pairs, min(len(pairs), 1 if cold else int(RUNS)))
    for k, kind in pairs:
        fail_once(harness, scenario, k, kind, want_reply, want_shape, cold)
    if ALL:  # how many calls it makes differs from run to run: on until none comes
        k = calls
        while k < calls + 20 and fail_once(harness, scenario, k, "EIO", want_reply, want_shape, cold):
            k += 1
        harness.restart()
        harness.verify_all()
        harness.must_show = {"canary": harness.must_show["canary"]}


# ---- start, stop, collection ----

@pytest.fixture
def lone():
    made = []

    def make(**settings):
        made.append(Harness(**settings))
        return made[-1]

    yield make
    for h in made:
        h.server.remove()


def some(pairs, rng, n):
    return pairs if ALL else rng.sample(pairs, min(n, len(pairs)))


def start_refused_in_one_line(server, said_before):
    assert server.wait(PATIENCE) == 3, server.output()[-3000:]
    lines = [line for line in server.output()[said_before:].splitlines() if line.startswith("ingot: ")]
    assert len(lines) == 1, server.output()[said_before:]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_each_call_of_the_start_fails_once(lone, end):
    """After a stop in order, and after a kill with commits to be replayed."""
    h = lone()
    rng = random.Random(f"{SEED} {end}")

    def down():
        if end == "kill":
            raw = h.raw()
            for n, body in enumerate((SMALL, LARGE)):
                put(raw, f"/canary/again{n}", body)
            h.must_show["canary"] = snapshot(raw, "canary")
            h.server.kill()
        else:
            h.server.stop()

    down()
    h.faults.count()
    h.server.start()
    h.most_calls = calls = h.faults.calls
    for k, kind in some([(k, kind) for k in range(calls) for kind in KINDS], rng, 3):
        h.faults.off()
        down()
        said = len(h.server.output())
        h.faults.fail_once(k, KINDS[kind])
        try:
            h.server.start(timeout=PATIENCE)
        except RuntimeError as e:
            assert "the server left with 3" in str(e), f"call {k} {kind} ({h.faults.last}): {str(e)[-3000:]}"
        h.runs += 1
        h.injected += h.faults.hits
        h.faults.off()
        if h.server.process.poll() is not None:
            start_refused_in_one_line(h.server, said)
            h.answered_error += 1
            h.server.start(timeout=PATIENCE)
        if h.settle() == FAILED:
            h.restart()
        h.verify_all()
    h.end()
    h.figures(f"start after a {end}")


def test_each_call_of_the_stop_fails_once(lone):
    h = lone()
    rng = random.Random(f"{SEED} stop")
    h.faults.count()
    h.server.stop()
    h.most_calls = calls = h.faults.calls
    h.server.start()
    for k, kind in some([(k, kind) for k in range(calls + 3) for kind in KINDS], rng, 4):
        put(h.raw(), "/canary/again", LARGE)
        h.must_show["canary"] = snapshot(h.raw(), "canary")
        h.faults.fail_once(k, KINDS[kind])
        h.server.signal(15)
        code = h.server.wait(PATIENCE)
        h.runs += 1
        h.injected += h.faults.hits
        last = h.faults.last
        h.faults.off()
        assert code in (0, 1), (k, kind, last, h.server.output()[-3000:])
        h.server.start(timeout=PATIENCE)
        h.verify_all()
    h.end()
    h.figures("stop")


def collected(h):
    page = requests.get(h.server.endpoint + "/-/metrics", timeout=60).text
    return float(re.search(r"^ingot_log_segments_collected_total (\S+)$", page, re.M).group(1))


def test_some_call_of_the_logs_collection_fails_once(lone):
    """Bodies are overwritten, deleted and kept until the oldest segment is collected: moves, archive, the index's flush,
    holes, names. Which call of these fails is drawn."""
    h = lone(log_size="16MiB", inline_max="1MiB")
    rng = random.Random(f"{SEED} collection")
    body = bytes(900_000)
    objects = {}
    for _ in range(COLLECTIONS):
        was, k, kind = collected(h), rng.randrange(90), rng.choice(list(KINDS))
        h.faults.fail_once(k, KINDS[kind], classes=EVERY, who=rng.choice([OURS | INDEX, OURS, INDEX]))
        raw = h.raw()
        for n in range(60):
            key = f"k{rng.randrange(12)}"
            new = f"{n}".encode() + body[:rng.choice([300, 40_000, 900_000])]
            try:
                reply = raw.call("PUT", f"/canary/{key}", body=new)
            except (http.client.HTTPException, ConnectionError):
                reply = None
            assert h.server.process.poll() is None, f"{k} {kind} {h.faults.last}: {h.server.output()[-3000:]}"
            if reply and reply.status == 200:
                objects[key] = {new}
            else:
                assert h.faults.hits and (reply is None or reply.status in ERRORS), f"{k} {kind} {h.faults.last}: {reply}"
                objects.setdefault(key, {None}).add(new)
                if h.settle() == FAILED:
                    break
            if collected(h) > was and h.faults.hits:
                break
        h.runs += 1
        h.injected += h.faults.hits
        h.faults.off()
        if h.settle() == FAILED or rng.random() < 0.3:
            h.restart()
        for key, allowed in objects.items():
            reply = h.raw().call("GET", f"/canary/{key}")
            seen = None if reply.status == 404 else must(reply).body
            assert seen in allowed, f"{k} {kind}: {key} is none of what it may be"
            objects[key] = {seen}
        h.must_show["canary"] = snapshot(h.raw(), "canary")
    h.end()
    h.figures("collection")
