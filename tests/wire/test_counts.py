"""What a request takes from the kernel and from the allocator, counted by a preloaded library: machine speed does not matter.
Over epoll, whose calls go through libc."""

import concurrent.futures
import http.client
import mmap
import pathlib
import re
import struct
import subprocess
import urllib.request

import pytest

from ingot import SANITIZED, Server

NAMES = ("recv", "send", "wait", "control", "read", "write", "pwrite", "flush", "alloc")
SOURCE = pathlib.Path(__file__).parent / "preload" / "count.c"
ROUNDS, REQUESTS = 5, 80

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizers have an allocator of their own")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    out = tmp_path_factory.mktemp("preload") / "count.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", out, SOURCE, "-ldl"], check=True)
    return out


@pytest.fixture
def counted(library, tmp_path):
    """A server of one loop and a function that gives its counters."""
    path = tmp_path / "counters"
    path.write_bytes(bytes(4096))
    server = Server(env={"LD_PRELOAD": str(library), "INGOT_COUNT_FILE": str(path)}, backend="epoll", store="engine", loops=1, access_log="false").start()
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        yield server, lambda: dict(zip(NAMES, struct.unpack_from(f"{len(NAMES)}Q", memory)))
    server.stop()
    server.remove()


def each(counters, what):
    """Counts a request: the least of some rounds, for on a slow machine background work falls into others. The first round fills
    what is kept for reuse."""
    rounds = []
    for _ in range(ROUNDS):
        before = counters()
        for i in range(REQUESTS):
            what(i)
        after = counters()
        rounds.append({name: (after[name] - before[name]) / REQUESTS for name in NAMES})
    return {name: min(r[name] for r in rounds[1:]) for name in NAMES}


def presigned(server, client, operation):
    """A connection and a function that performs one request on it, always the same bytes."""
    url = client.generate_presigned_url(operation, Params={"Bucket": "bucket", "Key": "key"})
    path = url[len(server.endpoint):]
    connection = http.client.HTTPConnection(*server.address)
    body = bytes(4096) if operation == "put_object" else None

    def one(_):
        connection.request("PUT" if body else "GET", path, body)
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(answer.read()) == (0 if body else 4096)

    return connection, one


def test_get_small(counted):
    """A GET of 4 KiB that are in memory: one receive, one send, and one wait for the client, who sends nothing before it has its
    answer. Two allocations are RocksDB's (what it returns, and a copy out of its memory table), none is ours."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="key", Body=bytes(4096))
    connection, get = presigned(server, client, "get_object")
    found = each(counters, get)
    connection.close()
    assert {name: round(n) for name, n in found.items()} == {
        "recv": 1, "send": 1, "wait": 1, "control": 0, "read": 0, "write": 0, "pwrite": 0, "flush": 0, "alloc": 2}, found


def test_put_small(counted):
    """A PUT of 4 KiB alone is one write that is also the flush (RWF_DSYNC), made by a worker, which wakes the loop by another call."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    connection, put = presigned(server, client, "put_object")
    found = each(counters, put)
    connection.close()
    assert {name: round(found[name]) for name in ("send", "control", "read", "write", "pwrite", "flush")} == {
        "send": 1, "control": 0, "read": 0, "write": 1, "pwrite": 1, "flush": 1}, found
    assert found["recv"] <= 3 and found["alloc"] < 18, found


def batches(server):
    with urllib.request.urlopen(server.endpoint + "/-/metrics") as answer:
        text = answer.read().decode()
    return int(re.search(r"^ingot_commit_batch_size_count (\d+)", text, re.M).group(1))


def test_puts_together(counted):
    """One flush a batch, however many commits it holds. A few more belong to the log's next segment."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    before, flushes = batches(server), counters()["flush"]

    def several(_):
        connection, put = presigned(server, client, "put_object")
        for i in range(20):
            put(i)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(several, range(8)))
    made = batches(server) - before
    assert made <= 160
    assert made <= counters()["flush"] - flushes <= made + 8
