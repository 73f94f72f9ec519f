"""The metrics page: every row of the table is there, and says what happened, not about what."""

import os
import pathlib
import re
import time

import pytest
import requests

from ingot import PROMTOOL, ROOT, SANITIZED, STORE

ROWS = re.findall(r'^METRIC\(\w+, (\w+), (\w+), (\w+), "(\w+)"', (ROOT / "src/metrics/metrics.def").read_text(), re.M)
KINDS = {"COUNTER": "counter", "TOTAL": "counter", "TOTAL_NS": "counter", "LATENCY": "histogram", "POWERS": "histogram",
         "GAUGE": "gauge", "GAUGE_NS": "gauge"}
pytestmark = pytest.mark.skipif(STORE == "memory", reason="a store in memory counts no commits")


class Page:
    """What one scrape said: page['name'], page['name', 'PutObject', '200']; 0 for what never occurred."""

    def __init__(self, server):
        self.text = requests.get(server.endpoint + "/-/metrics", timeout=20).text
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", self.text, re.M))
        self.rows = {}
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", self.text, re.M):
            self.rows[(name, *re.findall(r'="([^"]*)"', labels))] = float(value)

    def __getitem__(self, key):
        return self.rows.get(key if isinstance(key, tuple) else (key,), 0)


def settled(server, holds):
    """A scrape for which holds(page); a request is counted after its answer went out."""
    deadline = time.monotonic() + 30
    while not holds(page := Page(server)):
        assert time.monotonic() < deadline, page.text
        time.sleep(0.05)
    return page


def test_every_row_is_on_the_page_with_its_type(start_server):
    s = start_server()
    s3 = s.client()
    s3.create_bucket(Bucket="box")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="box", Key="none")
    page = settled(s, lambda p: p["ingot_request_errors_total", "NO_SUCH_KEY"])
    assert len(ROWS) > 50 and page.types == {name: KINDS[kind] for kind, _, _, name in ROWS}
    assert pathlib.Path(PROMTOOL).exists()


def test_requests_bytes_and_times_are_those_that_were_made(start_server):
    s = start_server()
    s3 = s.client()
    began = time.monotonic()
    s3.create_bucket(Bucket="box")
    before = settled(s, lambda p: p["ingot_requests_total", "CreateBucket", "200"] == 1)
    puts, gets, heads, missing, deletes, size = 7, 5, 3, 4, 2, 10000
    for i in range(puts):
        s3.put_object(Bucket="box", Key=f"k{i}", Body=b"x" * size)
    for i in range(gets):
        s3.get_object(Bucket="box", Key=f"k{i}")["Body"].read()
    s3.get_object(Bucket="box", Key="k0", Range="bytes=0-99")["Body"].read()
    for i in range(heads):
        s3.head_object(Bucket="box", Key=f"k{i}")
    for _ in range(missing):
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket="box", Key="none")
    for i in range(deletes):
        s3.delete_object(Bucket="box", Key=f"k{i}")
    requests.get(s.endpoint + "/box/k0", timeout=20)
    want = {("PutObject", "200"): puts, ("GetObject", "200"): gets, ("GetObject", "206"): 1, ("HeadObject", "200"): heads,
            ("GetObject", "404"): missing, ("DeleteObject", "204"): deletes, ("GetObject", "403"): 1}
    page = settled(s, lambda p: all(p["ingot_requests_total", *k] >= n for k, n in want.items()))
    elapsed = time.monotonic() - began
    got = {k[1:]: n for k, n in page.rows.items() if k[0] == "ingot_requests_total" and k[1] not in ("Internal", "CreateBucket")}
    assert got == want
    assert page["ingot_request_errors_total", "NO_SUCH_KEY"] == missing and page["ingot_request_errors_total", "ACCESS_DENIED"] == 1
    # Latencies: one observation a request, cumulative buckets that end in the count, a sum below what passed here.
    for operation in ("PutObject", "GetObject", "HeadObject", "DeleteObject"):
        count = page["ingot_request_duration_seconds_count", operation]
        assert count == sum(n for (op, _), n in want.items() if op == operation)
        steps = [n for k, n in page.rows.items() if k[0] == "ingot_request_duration_seconds_bucket" and k[1] == operation]
        assert steps == sorted(steps) and steps[-1] == count and len(steps) > 8
        assert 0 < page["ingot_request_duration_seconds_sum", operation] < elapsed
    # Bytes: the bodies, and not much more (headers; boto3 sends PUT bodies in aws-chunked or plain form).
    assert puts * size <= page["ingot_request_received_bytes_total", "PutObject"] < puts * (size + 3000)
    assert gets * size + 100 <= page["ingot_request_sent_bytes_total", "GetObject"] < gets * (size + 1500) + 100 + 6 * 2500
    assert 0 < page["ingot_request_sent_bytes_total", "HeadObject"] < heads * 1500
    # Each write is a commit, each commit in one batch; reads commit nothing.
    made = page["ingot_commits_total"] - before["ingot_commits_total"]
    assert made == puts + deletes
    assert page["ingot_commit_batch_size_sum"] == page["ingot_commits_total"]
    assert 0 < page["ingot_commit_batch_size_count"] <= page["ingot_commits_total"]
    assert page["ingot_commit_sequence"] > before["ingot_commit_sequence"]
    assert page["ingot_commit_bytes_total"] - before["ingot_commit_bytes_total"] >= puts * size  # such bodies ride in the log
    assert page["ingot_commit_queue_depth"] == 0 and page["ingot_flushes_total"] > before["ingot_flushes_total"]
    assert page["ingot_blob_cache_hits_total"] + page["ingot_blob_cache_misses_total"] >= gets + 1
    assert page["ingot_corrupt_blocks_total"] == page["ingot_disk_errors_total"] == 0


def test_connections_requests_and_fibers_now(start_server):
    s = start_server()
    s.client().create_bucket(Bucket="box")
    before = Page(s)
    assert before["ingot_requests_running"] == 1  # the scrape itself
    idle = [s.connect() for _ in range(9)]
    url = s.client().generate_presigned_url("put_object", Params={"Bucket": "box", "Key": "slow"})
    halves = [s.connect() for _ in range(3)]  # bodies that do not come yet: each holds a request and a fiber
    host, port = s.address
    for c in halves:
        c.sendall(f"PUT {url[len(s.endpoint):]} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 5\r\n\r\n".encode())
    page = settled(s, lambda p: p["ingot_requests_running"] == 4 and p["ingot_connections_open"] >= 13)
    assert page["ingot_connections_total"] >= before["ingot_connections_total"] + 13
    assert page["ingot_fibers"] >= 4 and page["ingot_fibers_peak"] >= page["ingot_fibers"]
    assert page["ingot_fibers_started_total"] >= before["ingot_fibers_started_total"] + 4
    assert page["ingot_http_memory_bytes"] > before["ingot_http_memory_bytes"]
    dump = requests.get(s.endpoint + "/-/debug/fibers", timeout=20).text
    assert dump.count('note="reading a request body"') == 3 and " for=" in dump
    for c in halves:
        c.sendall(b"12345")
        assert c.recv(4096).startswith(b"HTTP/1.1 200 ")
    for c in idle + halves:
        c.close()
    settled(s, lambda p: p["ingot_requests_running"] == 1 and p["ingot_connections_open"] <= 4)


def test_what_the_process_and_the_disk_say(start_server):
    s = start_server()
    s3 = s.client()
    s3.create_bucket(Bucket="box")
    empty = Page(s)
    s3.put_object(Bucket="box", Key="large", Body=os.urandom(3 << 20))
    page = Page(s)
    assert page["ingot_live_bytes"] - empty["ingot_live_bytes"] >= 3 << 20 and page["ingot_extent_files"] >= 1
    fs = os.statvfs(s.data)
    assert page["ingot_disk_total_bytes"] == fs.f_blocks * fs.f_frsize
    assert 0 < page["ingot_disk_available_bytes"] < page["ingot_disk_total_bytes"]
    logs = sum(f.stat().st_size for f in (s.data / "log").iterdir())
    assert page["ingot_log_segments"] == len(list((s.data / "log").iterdir())) and 0 < page["ingot_log_bytes"] <= logs
    if not SANITIZED:
        assert 0.5 < page["process_resident_memory_bytes"] / s.rss_bytes() < 2
    assert abs(page["process_open_fds"] - len(os.listdir(f"/proc/{s.pid()}/fd"))) <= 8
    assert 0 < page["process_cpu_seconds_total"] and abs(page["process_start_time_seconds"] - time.time()) < 300
    assert page["ingot_ready"] == 1
    s3.delete_object(Bucket="box", Key="large")
    settled(s, lambda p: p["ingot_live_bytes"] == empty["ingot_live_bytes"])
