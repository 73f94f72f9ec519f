"""Many clients, few keys, crashes: every answer must be one that some order of the operations explains. LINEAR_ROUNDS sets how
many crashes (make test: 6; make torture-linear: 400), LINEAR_SEED what is asked."""

import os
import random
import threading
import time

import quick
from checker import check
from clients import Cluster, Recorder, merge

ROUNDS = int(os.environ.get("LINEAR_ROUNDS", "6"))
SEED = int(os.environ.get("LINEAR_SEED", "1"))
CLIENTS, KEYS = 8, 4
RACERS = 12
PER_HISTORY = 10  # crashes; then keys of their own begin, and what was recorded is checked
LEAST = 150       # operations between two crashes
SETTINGS = {"access_log": "false", "min_part_size": 1, "log_size": "16MiB", "log_segment_size": "4MiB", "index_buffer": "1MiB"}


def make_bucket(server):
    assert quick.of(server).call("PUT", "/linear").status == 200


def count(recorders):
    return sum(len(ops) for r in recorders for ops in r.history.values())


def record(cluster, number, crashes, rng):
    """Clients over some crashes; their history by key."""
    cluster.over = False
    keys = [f"h{number}/k{i}" for i in range(KEYS)]
    recorders = [Recorder(cluster, n, keys, SEED * 1000 + number) for n in range(CLIENTS)]
    for r in recorders:
        r.start()
    for crash in range(crashes + 1):
        want, deadline = count(recorders) + LEAST, time.monotonic() + 120
        while count(recorders) < want and time.monotonic() < deadline and not any(r.failure for r in recorders):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        if crash < crashes:
            cluster.crash()
    cluster.over = True
    for r in recorders:
        r.join(180)
        assert not r.is_alive() and r.failure is None, repr(r.failure)
    return merge(recorders), sum(r.unanswered for r in recorders)


def test_histories_through_crashes(start_server):
    server = start_server(**SETTINGS)
    make_bucket(server)
    cluster, rng = Cluster(server), random.Random(SEED)
    operations = unknown = 0
    for number, first in enumerate(range(0, ROUNDS, PER_HISTORY)):
        history, unanswered = record(cluster, number, min(PER_HISTORY, ROUNDS - first), rng)
        for key, ops in history.items():
            wrong = check(ops)
            assert wrong is None, f"{key}: {wrong}"
        operations += sum(map(len, history.values()))
        unknown += unanswered
    print(f"linear: {operations} operations of {CLIENTS} clients through {ROUNDS} crashes, {unknown} without an answer: linearizable")
    assert operations >= LEAST * ROUNDS


def race(server, calls):
    """All at once; their replies."""
    replies, gate = [None] * len(calls), threading.Barrier(len(calls))

    def one(i):
        client = quick.of(server)
        client.connect()
        gate.wait(60)
        replies[i] = client.call(*calls[i][0], **calls[i][1])
        client.close()

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert all(replies), replies
    return replies


def one_winner(replies, refused):
    won = [i for i, r in enumerate(replies) if r.status == 200]
    assert len(won) == 1 and all(r.status == refused for i, r in enumerate(replies) if i != won[0]), replies
    return won[0]


def test_racing_creates_and_swaps(start_server):
    """N racing If-None-Match: * give one 200, whose bytes are read afterwards; so do N racing If-Match of one ETag."""
    server = start_server(**SETTINGS)
    make_bucket(server)
    client = quick.of(server)
    for n in range(ROUNDS * 3):
        path = f"/linear/race{n}"
        bodies = [f"{n}/{i}".encode() * (1 + 30000 * (n % 2)) for i in range(RACERS)]
        won = one_winner(race(server, [(("PUT", path), {"body": b, "if_none_match": "*"}) for b in bodies]), 412)
        reply = client.call("GET", path)
        assert reply.body == bodies[won]
        bodies = [b + b"again" for b in bodies]
        etag = f'"{reply.etag}"'
        won = one_winner(race(server, [(("PUT", path), {"body": b, "if_match": etag}) for b in bodies]), 412)
        assert client.call("GET", path).body == bodies[won]


def test_racing_completes(start_server):
    """N uploads of one key, completed at once with If-None-Match: *: one wins."""
    server = start_server(**SETTINGS)
    make_bucket(server)
    client = quick.of(server)
    for n in range(ROUNDS):
        path, calls, bodies = f"/linear/complete{n}", [], []
        for i in range(RACERS):
            bodies.append(f"{n}/{i}".encode() * 1000)
            upload = client.call("POST", path, {"uploads": ""}).field("UploadId")
            etag = client.call("PUT", path, {"partNumber": 1, "uploadId": upload}, bodies[i]).etag
            xml = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
            calls.append((("POST", path, {"uploadId": upload}, xml.encode()), {"if_none_match": "*"}))
        won = one_winner(race(server, calls), 412)
        assert client.call("GET", path).body == bodies[won]
