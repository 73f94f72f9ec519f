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


METHODS = {"put_object": "PUT", "get_object": "GET", "head_object": "HEAD", "delete_object": "DELETE", "list_objects_v2": "GET"}


def presigned(server, client, operation, size=4096, **parameters):
    """A connection and a function that performs one request on it, always the same bytes."""
    url = client.generate_presigned_url(operation, Params={"Bucket": "bucket", **(parameters or {"Key": "key"})})
    path = url[len(server.endpoint):]
    connection = http.client.HTTPConnection(*server.address)
    method = METHODS[operation]
    body = bytes(size) if method == "PUT" else None

    def one(_):
        connection.request(method, path, body)
        answer = connection.getresponse()
        assert answer.status == (204 if method == "DELETE" else 200)
        got = len(answer.read())
        assert operation != "get_object" or got == size

    return connection, one


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_read_small(counted, operation):
    """A GET of 4 KiB that are in memory, or a HEAD: one receive, one send, and one wait for the client, who sends nothing before it has
    its answer. No allocation."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="key", Body=bytes(4096))
    connection, read = presigned(server, client, operation)
    found = each(counters, read)
    connection.close()
    assert {name: round(n) for name, n in found.items()} == {
        "recv": 1, "send": 1, "wait": 1, "control": 0, "read": 0, "write": 0, "pwrite": 0, "flush": 0, "alloc": 0}, found


def test_put_small(counted):
    """A PUT of 4 KiB alone is one write that is also the flush (RWF_DSYNC), made by a worker, which wakes the loop by another
    call; so does the worker that writes the index, unless the loop is awake. One allocation outlives the request: the body, which is
    kept for readers."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    connection, put = presigned(server, client, "put_object")
    found = each(counters, put)
    connection.close()
    assert {name: round(found[name]) for name in ("send", "control", "read", "pwrite", "flush", "alloc")} == {
        "send": 1, "control": 0, "read": 0, "pwrite": 1, "flush": 1, "alloc": 1}, found
    assert found["write"] <= 2.2 and found["recv"] <= 3, found


def test_put_and_delete(counted):
    """Six allocations at most for a PUT and the DELETE of what it put, one write and one flush for each."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    (put_connection, put), (delete_connection, delete) = presigned(server, client, "put_object"), presigned(server, client, "delete_object")
    found = each(counters, lambda i: (put(i), delete(i)))
    put_connection.close()
    delete_connection.close()
    assert (round(found["pwrite"]), round(found["flush"])) == (2, 2) and found["alloc"] <= 6.5, found


def test_list(counted):
    """A page of 1,000 takes two or three allocations more than one of ten: RocksDB's iterator and the page's memory, none an entry."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    for i in range(1000):
        client.put_object(Bucket="bucket", Key=f"{i:04}", Body=b"")
    found = {}
    for keys in (10, 1000):
        connection, page = presigned(server, client, "list_objects_v2", MaxKeys=keys)
        found[keys] = each(counters, page)
        connection.close()
        assert round(found[keys]["recv"]) == 1, found
    assert found[10]["alloc"] <= 12 and found[1000]["alloc"] <= found[10]["alloc"] + 3, found


def batches(server):
    with urllib.request.urlopen(server.endpoint + "/-/metrics") as answer:
        text = answer.read().decode()
    return int(re.search(r"^ingot_commit_batch_size_count (\d+)", text, re.M).group(1))


def test_puts_together(counted):
    """One write and one flush a batch, however many commits it holds. A few more belong to the log's next segment."""
    server, counters = counted
    client = server.client()
    client.create_bucket(Bucket="bucket")
    before, begun = batches(server), counters()

    def several(_):
        connection, put = presigned(server, client, "put_object")
        for i in range(20):
            put(i)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(several, range(8)))
    made, ended = batches(server) - before, counters()
    assert made <= 160
    for call in ("pwrite", "flush"):
        assert made <= ended[call] - begun[call] <= made + 8
