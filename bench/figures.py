#!/usr/bin/env python3
"""The figures of one server on one machine, client on the same cores: `make figures` (FIGURES_OBJECTS=1000000 for the start with
many objects; 0 skips it). Durable: every PUT is on disk before it is answered. Not a test: machines differ; compare runs on one
machine only. Prints a table; each row is the median of ROUNDS runs."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "wire"))
from ingot import BINARY, Server  # noqa: E402

ROUNDS = int(os.environ.get("FIGURES_ROUNDS", "3"))
OBJECTS = int(os.environ.get("FIGURES_OBJECTS", "1000000"))
ROWS = [  # name, operation, size, connections, prepared objects, seconds
    ("PUT 4 KiB", "put", "4KiB", 64, 1000, 8),
    ("GET 4 KiB", "get", "4KiB", 64, 1000, 8),
    ("HEAD", "head", "4KiB", 64, 1000, 5),
    ("PUT 64 KiB", "put", "64KiB", 32, 1000, 8),
    ("GET 64 KiB", "get", "64KiB", 32, 1000, 5),
    ("PUT 1 MiB", "put", "1MiB", 16, 100, 8),
    ("PUT 64 MiB", "put", "64MiB", 4, 4, 10),
    ("GET 64 MiB", "get", "64MiB", 4, 8, 8),
    ("LIST 1,000 keys", "list", "1KiB", 4, 10000, 5),
]


def bench(server, operation, size, connections, objects, seconds, *more):
    done = subprocess.run(
        [BINARY, "bench", "--endpoint", server.endpoint, "--mix", f"{operation}=1", "--size", size, "--connections", str(connections),
         "--objects", str(objects), "--duration", f"{seconds}s", "--warmup", "1s", "--server-pid", str(server.pid()), "--json", "-", *more],
        env={**os.environ, "INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key},
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench failed: {done.stderr}")
    found = json.loads(done.stdout)
    return {**found["operations"][operation], "cpu": found["server_cpu_us_per_op"], "client": found["client_cpu_us_per_op"]}


def row(name, runs):
    middle = {k: statistics.median(r[k] for r in runs) for k in ("ops_per_s", "mb_per_s", "p50_ms", "p99_ms", "cpu", "client")}
    print(f"{name:<16} {middle['ops_per_s']:>10.1f} {middle['mb_per_s']:>9.1f} {middle['p50_ms']:>9.2f} {middle['p99_ms']:>9.2f} "
          f"{middle['cpu']:>12.1f} {middle['client']:>12.1f}", flush=True)


def first_answer(data=None):
    """Seconds from exec to the first 200 of readiness."""
    server = Server(data=data)
    begin = time.monotonic()
    server.spawn()
    try:
        while not server.ready_file.exists():
            time.sleep(0.001)
        server.endpoints = server.ready_file.read_text().split()
        with urllib.request.urlopen(server.endpoint + "/-/ready", timeout=60) as answer:
            assert answer.status == 200
        return server, time.monotonic() - begin
    except BaseException:
        server.remove()
        raise


def main():
    server, seconds = first_answer()
    time.sleep(1)
    print(f"exec to first 200, empty store: {seconds * 1000:.0f} ms; idle RSS {server.rss_bytes() / 2**20:.1f} MiB")
    server.stop()
    server.remove()
    print(f"{'work':<16} {'ops/s':>10} {'MB/s':>9} {'p50 ms':>9} {'p99 ms':>9} {'server us/op':>12} {'client us/op':>12}")
    for name, operation, size, connections, objects, run in ROWS:
        runs = []
        for _ in range(ROUNDS):
            server = Server(access_log="false").start()
            runs.append(bench(server, operation, size, connections, objects, run, "--keep"))
            server.stop()
            server.remove()
        row(name, runs)
    if OBJECTS:
        server = Server(access_log="false").start()
        begin = time.monotonic()
        bench(server, "head", "1KiB", 64, OBJECTS, 1, "--keep")
        print(f"{OBJECTS} objects of 1 KiB put in {time.monotonic() - begin:.0f} s; RSS {server.rss_bytes() / 2**20:.1f} MiB")
        server.stop()
        again, seconds = first_answer(server.data)
        print(f"exec to first 200 with {OBJECTS} objects: {seconds * 1000:.0f} ms")
        again.kill()
        again, seconds = first_answer(server.data)
        print(f"the same after kill -9: {seconds * 1000:.0f} ms")
        again.stop()
        again.remove()
        server.remove()


if __name__ == "__main__":
    main()
