"""Listing while keys come and go: a key that is there for the whole call is listed exactly once, one that is not there is not
listed, none is listed twice, and what is listed can be read. LINEAR_ROUNDS scales how much."""

import os
import random
import threading
import time

import quick

ROUNDS = int(os.environ.get("LINEAR_ROUNDS", "6"))
SEED = int(os.environ.get("LINEAR_SEED", "1"))
WRITERS, LISTERS = 3, 2
LISTINGS = 4 * ROUNDS  # of each lister
CHANGES = 10           # at least, before each listing
SETTINGS = {"access_log": "false", "log_size": "16MiB", "log_segment_size": "4MiB", "index_buffer": "256KiB"}


class Writer(threading.Thread):
    """Makes and removes keys of its own, and writes down when each was certainly there and certainly not."""

    def __init__(self, server, number, stop):
        super().__init__(daemon=True)
        self.client, self.stop, self.rng = quick.of(server), stop, random.Random(SEED * 100 + number)
        self.keys = [f"{'abcd'[i % 4]}/{i:03}/w{number}" for i in range(60)]
        self.events = {k: [(0, 0, False)] for k in self.keys}  # (call, return, there afterwards)
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                key = self.rng.choice(self.keys)
                there = not self.events[key][-1][2]
                call = time.monotonic_ns()
                # Written down before it is sent: who looks while it runs sees that nothing is certain.
                self.events[key].append((call, 1 << 62, there))
                reply = self.client.call("PUT" if there else "DELETE", f"/list/{key}", body=b"x" * self.rng.choice([0, 3000]) if there else b"")
                assert reply.status == (200 if there else 204), reply
                self.events[key][-1] = (call, time.monotonic_ns(), there)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e


def certain(events, start, end):
    """True or False: there, or not, from start to end; None: it changed."""
    before = [e for e in events if e[0] < end]
    return before[-1][2] if before[-1][1] < start else None


def list_all(client, rng):
    """One whole listing by pages: the keys in the order in which they came."""
    keys, query = [], {"list-type": 2, "max-keys": rng.choice([1, 3, 17, 100, 1000])}
    if query["max-keys"] < 17:
        query["prefix"] = rng.choice("abcd") + "/"
    prefix = query.get("prefix", "")
    while True:
        reply = client.call("GET", "/list", query)
        assert reply.status == 200, reply
        keys += [quick.inner(e, "Key") for e in quick.elements(reply.body, "Contents")]
        token = reply.field("NextContinuationToken")
        assert (reply.field("IsTruncated") == "true") == (token is not None)
        if token is None:
            return prefix, keys
        query["continuation-token"] = token


def changes(writers):
    return sum(len(e) - 1 for w in writers for e in w.events.values())


def listing(server, writers, seed, failures):
    client, rng = quick.of(server), random.Random(seed)
    try:
        for number in range(LISTINGS):
            while changes(writers) < number * CHANGES and not any(w.failure for w in writers):
                time.sleep(0.001)  # the writers are slower than the listers
            start = time.monotonic_ns()
            prefix, keys = list_all(client, rng)
            end = time.monotonic_ns()
            assert keys == sorted(set(keys)), "twice, or out of order"
            listed = set(keys)
            for w in writers:
                for key, events in w.events.items():
                    there = certain(list(events), start, end) if key.startswith(prefix) else None
                    assert there is None or there == (key in listed), f"{key} was there: {there}, listed: {key in listed}"
            for key in rng.sample(keys, min(5, len(keys))):
                reply = client.call("GET", f"/list/{key}")
                owner = next(w for w in writers if key in w.events)
                there = certain(list(owner.events[key]), start, time.monotonic_ns())
                assert reply.status == 200 or there is not True, f"{key} is listed and cannot be read: {reply}"
    except Exception as e:  # pylint: disable=broad-except
        failures.append(e)


def test_list_while_keys_change(start_server):
    server = start_server(**SETTINGS)
    assert quick.of(server).call("PUT", "/list").status == 200
    stop, failures = threading.Event(), []
    writers = [Writer(server, n, stop) for n in range(WRITERS)]
    listers = [threading.Thread(target=listing, args=(server, writers, SEED * 10 + n, failures), daemon=True) for n in range(LISTERS)]
    for t in writers + listers:
        t.start()
    for t in listers:
        t.join(3600)
        assert not t.is_alive()
    stop.set()
    for w in writers:
        w.join(120)
        assert w.failure is None, repr(w.failure)
    assert not failures, repr(failures[0])
    print(f"list: {LISTERS * LISTINGS} listings during {changes(writers)} changes: each true")
