"""Each file call fails once: for every operation of the API, and for start, stop and the log's collection, the k-th call, ours
or RocksDB's, fails with EIO, ENOSPC, EINTR or is short.

Afterwards: the answer was an error or true; what an error refused is not visible; what was acknowledged is there, now and after
a restart; the server is alive, or takes no more writes and says so in one line, or did not start and says so in one line.

A write whose flush failed is answered with an error, is not visible, and is there or not after the restart (docs/architecture.md).

INGOT_FAULT_RUNS: failures tried of each scenario (make test: a few, drawn by a seed), or "all": every call, every kind.
INGOT_FAULT_FIGURES: a file to which each test adds its figures, for long.py to sum up."""

import collections
import http.client
import itertools
import json
import os
import random
import re
import time

import pytest
import requests

from ingot import ROOT, Server, run_ingot
from iofault import CLASSES, INDEX, KINDS, OURS, Faults
from operations import LARGE, SCENARIOS, SMALL, Full, bucket, must, put, shape, shape_of_reply, snapshot
from rawsign import Raw

RUNS = os.environ.get("INGOT_FAULT_RUNS", "1")
ALL = RUNS == "all"
SEED = int(os.environ.get("INGOT_FAULT_SEED", "20261123"))
FIGURES = os.environ.get("INGOT_FAULT_FIGURES")
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
        self.scenarios = 0
        self.history = []  # what failed in which run, for whoever has to find out
        self.injected = collections.Counter()  # by kind
        self.runs = self.restarts = self.stopped = self.answered_error = self.most_calls = 0
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
            self.stopped += 1
            assert self.server.output().count("the store has failed and takes no more writes") == self.stopped
        self.server.check_output()
        self.server.start(timeout=PATIENCE)
        self.restarts += 1

    def prepared(self, prepare):
        """A new bucket, and what the scenario needs in it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            b = f"b{next(self.numbers):06}"
            try:
                return b, prepare(self.raw(), b)
            except Full:
                assert time.monotonic() < deadline
                self.settle()
                time.sleep(0.1)

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

    def counted(self):
        """kind → how many of the calls since faults.count() can fail so."""
        data, calls = self.faults.data_calls, self.faults.calls
        self.faults.off()
        self.most_calls = max(self.most_calls, calls)
        return {kind: data if kind == "short" else calls for kind in KINDS}

    def ran(self, kind):
        """A run is over: note whether its call came, and let no more fail."""
        hit = self.faults.hits > 0
        self.faults.off()
        self.runs += 1
        self.injected[kind] += hit
        return hit

    def figures(self, what, scenarios=1):
        numbers = {"scenarios": scenarios, "runs": self.runs, **{kind: self.injected[kind] for kind in KINDS},
                   "answered with an error": self.answered_error, "stopped for writes": self.stopped,
                   "restarts": self.restarts, "bad": 0}
        print(f"\n{what}: {json.dumps(numbers)}, at most {self.most_calls} calls in one run")
        if FIGURES:
            with open(FIGURES, "a") as f:
                f.write(json.dumps({"what": what, **numbers}) + "\n")


def try_some(rng, calls, n, run, kinds=KINDS):
    """run(k, kind) says whether the k-th call came; calls: kind → how many came unharmed. All: that differs from run to run, so
    on until one does not."""
    if not ALL:
        pairs = [(k, kind) for kind in kinds for k in range(calls[kind])]
        for k, kind in rng.sample(pairs, min(n, len(pairs))):
            run(k, kind)
        return
    for kind in kinds:
        k = 0
        while run(k, kind) or k + 1 < calls[kind]:
            k += 1


@pytest.fixture(scope="module")
def harness():
    h = Harness()
    try:
        yield h
        h.end()
        h.figures("operations", h.scenarios)
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
    b, made = h.prepared(prepare)
    before = snapshot(h.raw(), b)
    if cold:
        h.restart()
    raw = h.raw()
    who = f"{scenario} call {k} {kind}{' cold' if cold else ''}"
    h.faults.fail_once(k, KINDS[kind], CLASSES[kind])
    reply = asked(call, raw, b, made)
    wait_for_the_rest(h.faults, 0.1)
    who += f" ({h.faults.last})"
    hit = h.ran(kind)
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
    b, made = h.prepared(prepare)
    if cold:
        h.restart()
    h.faults.count()
    reply = call(h.raw(), b, made)
    assert reply.status < 300, reply
    time.sleep(0.1)
    calls = h.counted()
    seen = snapshot(h.raw(), b)
    h.must_show[b] = seen
    return calls, shape_of_reply(reply, b), shape(seen)


def test_every_operation_of_the_table_is_here():
    rows = re.findall(r'^OP\(\w+, "(\w+)"', (ROOT / "src/api/operations.def").read_text(), re.M)
    assert {op for op, _ in SCENARIOS} == set(rows)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=" ".join)
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_each_call_of_an_operation_fails_once(harness, scenario, cold):
    if not ALL and cold and (SEED + list(SCENARIOS).index(scenario)) % 6:
        return  # a start for each run: the short form takes every sixth
    rng = random.Random(f"{SEED} {scenario} {cold}")
    calls, want_reply, want_shape = count_calls(harness, scenario, cold)
    harness.scenarios += 1
    try_some(rng, calls, 1 if ALL or cold else int(RUNS),
             lambda k, kind: fail_once(harness, scenario, k, kind, want_reply, want_shape, cold))
    if ALL:
        harness.restart()
        harness.verify_all()
        harness.must_show = {"canary": harness.must_show["canary"]}


# ---- start, stop, collection ----

EACH_KIND = [[kind] for kind in KINDS] if ALL else [list(KINDS)]  # the long form takes them apart, to be run side by side


@pytest.fixture
def lone():
    made = []

    def make(**settings):
        made.append(Harness(**settings))
        return made[-1]

    yield make
    for h in made:
        h.server.remove()


def start_refused_in_one_line(server, said_before):
    assert server.wait(PATIENCE) == 3, server.output()[-3000:]
    lines = [line for line in server.output()[said_before:].splitlines() if line.startswith("ingot: ")]
    assert len(lines) == 1, server.output()[said_before:]


def go_down(h, how):
    """Stopped in order, or killed with commits to be replayed."""
    raw = h.raw()
    if how == "stop":
        put(raw, "/canary/again0")  # the index is flushed: each start that has no flush after it leaves a file for the next
        h.must_show["canary"] = snapshot(raw, "canary")
        h.server.stop()
        return
    if h.runs % 8 == 0:
        put(raw, "/canary/again0")
        h.server.restart()
        raw = h.raw()
    for n, body in enumerate((SMALL, LARGE)):
        put(raw, f"/canary/again{n}", body)
    h.must_show["canary"] = snapshot(raw, "canary")
    h.server.kill()


def start_with_failure(h, end, k, kind):
    go_down(h, end)
    said = len(h.server.output())
    h.faults.fail_once(k, KINDS[kind], CLASSES[kind])
    try:
        h.server.start(timeout=PATIENCE)
        wait_for_the_rest(h.faults, 0.1)
    except RuntimeError as e:
        assert "the server left with 3" in str(e), f"call {k} {kind} ({h.faults.last}): {str(e)[-3000:]}"
    who = f"start after a {end}, call {k} {kind} ({h.faults.last})"
    hit = h.ran(kind)
    h.history.append(who)
    if h.server.process.poll() is not None:
        start_refused_in_one_line(h.server, said)
        h.answered_error += 1
        h.server.start(timeout=PATIENCE)
    if h.settle() == FAILED:
        h.restart()
    try:
        h.verify_all()
    except AssertionError as e:
        raise AssertionError(f"{who}: {e}\n{h.server.output()[said:]}") from e
    return hit


@pytest.mark.parametrize("kinds", EACH_KIND, ids=" ".join)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_each_call_of_the_start_fails_once(lone, end, kinds):
    h = lone()
    go_down(h, end)
    h.faults.count()
    h.server.start()
    rng = random.Random(f"{SEED} {end}")
    try_some(rng, h.counted(), 3, lambda k, kind: start_with_failure(h, end, k, kind), kinds)
    h.end()
    h.figures(f"start after a {end}")


def stop_with_failure(h, k, kind):
    put(h.raw(), "/canary/again", LARGE)
    h.must_show["canary"] = snapshot(h.raw(), "canary")
    h.faults.fail_once(k, KINDS[kind], CLASSES[kind])
    h.server.signal(15)
    code = h.server.wait(PATIENCE)
    who = f"stop, call {k} {kind} ({h.faults.last})"
    hit = h.ran(kind)
    h.history.append(who)
    assert code in (0, 1), f"{who}: left with {code}\n{h.server.output()[-3000:]}"
    h.answered_error += code == 1
    h.server.start(timeout=PATIENCE)
    h.verify_all()
    return hit


@pytest.mark.parametrize("kinds", EACH_KIND, ids=" ".join)
def test_each_call_of_the_stop_fails_once(lone, kinds):
    h = lone()
    h.faults.count()
    h.server.stop()
    calls = h.counted()
    h.server.start()
    try_some(random.Random(f"{SEED} stop"), calls, 4, lambda k, kind: stop_with_failure(h, k, kind), kinds)
    h.end()
    h.figures("stop")


class Collecting:
    """Bodies are overwritten, deleted and kept until the oldest segments of the log are collected: the index's flush and
    compaction, moves, archive, holes, names."""

    SIZES = (300, 40_000, 200_000)
    SEGMENTS, FULL = 4, 12 << 20  # collected when the log grows beyond three quarters, down to a half

    def __init__(self, h, who):
        self.h, self.who, self.objects, self.rng = h, who, {}, random.Random(f"{SEED} collection {who}")
        self.n = 0

    def metric(self, name):
        page = requests.get(self.h.server.endpoint + "/-/metrics", timeout=60).text
        return float(re.search(rf"^{name} (\S+)$", page, re.M).group(1))

    def collected(self):
        return self.metric("ingot_log_segments_collected_total")

    def write(self, raw):
        """One PUT or DELETE. Whether it was done."""
        self.n += 1
        key = f"k{self.rng.randrange(12)}"
        new = None if self.rng.random() < 0.1 else f"{self.n}".encode() + bytes(self.rng.choice(self.SIZES))
        try:
            reply = raw.call("PUT", f"/canary/{key}", body=new) if new else raw.call("DELETE", f"/canary/{key}")
        except (http.client.HTTPException, ConnectionError):
            reply = None
        if reply and reply.status < 300:
            self.objects[key] = {new}
            return True
        assert self.h.faults.hits and (reply is None or reply.status in ERRORS), f"{self.h.history[-1:]}: {reply}"
        self.h.answered_error += 1
        self.objects.setdefault(key, {None}).add(new)
        return False

    def until_full(self):
        raw = self.h.raw()
        while self.metric("ingot_log_bytes") < self.FULL - 2 * max(self.SIZES):
            self.write(raw)

    def once(self):
        """Until segments were collected; no further when the store has stopped, or not much when a call failed."""
        was, raw, more = self.collected(), self.h.raw(), 12
        while self.collected() < was + self.SEGMENTS and more:
            done = self.write(raw)
            assert self.h.server.process.poll() is None, self.h.server.output()[-3000:]
            more -= self.h.faults.hits > 0
            if not done and self.h.settle() == FAILED:
                break

    def verify(self, who, last):
        """last: what is seen now stays. What a failed write of the log left is seen after the restart only."""
        for key, allowed in self.objects.items():
            reply = self.h.raw().call("GET", f"/canary/{key}")
            seen = None if reply.status == 404 else must(reply).body
            assert seen in allowed, f"{who}: {key} is none of what it may be"
            if last:
                self.objects[key] = {seen}

    def goes_on(self):
        """The same process collects again, by itself."""
        was, raw, deadline = self.collected(), self.h.raw(), time.monotonic() + PATIENCE
        while self.collected() == was:
            assert time.monotonic() < deadline, self.h.server.output()[-3000:]
            assert self.write(raw), self.h.server.output()[-3000:]

    def with_failure(self, k, kind):
        h = self.h
        self.until_full()
        h.faults.fail_once(k, KINDS[kind], CLASSES[kind], self.who)
        self.once()
        who = f"collection, call {k} {kind} ({h.faults.last})"
        hit = h.ran(kind)
        h.history.append(who)
        failed = h.settle() == FAILED
        self.verify(who, last=not failed)
        if not failed and k % 20 == 0:
            self.goes_on()
        elif hit:  # a collection that failed is tried again after some seconds only
            h.restart()
            self.verify(who, last=True)
        return hit


@pytest.mark.parametrize("kinds", EACH_KIND, ids=" ".join)
@pytest.mark.parametrize("who", [OURS, INDEX], ids=["ours", "index"])
def test_each_call_of_the_logs_collection_fails_once(lone, who, kinds):
    h = lone(log_size="16MiB", log_segment_size="1MiB", inline_max="256KiB")
    c = Collecting(h, who)
    c.until_full()
    h.faults.count(who=who)
    c.once()
    try_some(random.Random(f"{SEED} collection"), h.counted(), 1, c.with_failure, kinds)
    h.must_show["canary"] = snapshot(h.raw(), "canary")
    h.end()
    h.figures("collection, our calls" if who == OURS else "collection, RocksDB's calls")
