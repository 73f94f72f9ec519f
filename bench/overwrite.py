#!/usr/bin/env python3
"""What heavy overwriting does to reads: `make bench-overwrite`. GET of 4 KiB at a fixed rate, first alone, then beside PUTs of new keys
into a log that has room, then beside overwrites that keep the log's collection, the archive, RocksDB's compaction and the freeing of extents at
work. Client and server share the cores, so the second column says what the PUTs themselves cost and the third what reclaiming adds.
Rounds alternate; a figure is the median over them. Prints one table, writes JSON.

  OVERWRITE_OBJECTS=50000      OVERWRITE_GETS=500   a second     OVERWRITE_PUTS=5000  a second      OVERWRITE_SECONDS=10   OVERWRITE_ROUNDS=3
  OVERWRITE_LOG=256MiB   of the third phase; 8GiB is too long to be collected
  OVERWRITE_DIR=build/bench    OVERWRITE_JSON=build/bench/overwrite.json
  bench/overwrite.py --page build/bench/overwrite.json    as a part of docs/performance.md
"""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from figures import BINARY, ROOT
from ingot import Server
from peers import cpu_name

OBJECTS = os.environ.get("OVERWRITE_OBJECTS", "50000")
GETS, PUTS = os.environ.get("OVERWRITE_GETS", "500"), os.environ.get("OVERWRITE_PUTS", "5000")
SECONDS = float(os.environ.get("OVERWRITE_SECONDS", "10"))
ROUNDS = int(os.environ.get("OVERWRITE_ROUNDS", "3"))
LOG = os.environ.get("OVERWRITE_LOG", "256MiB")
PLACE = pathlib.Path(os.environ.get("OVERWRITE_DIR", ROOT / "build" / "bench")).resolve()
FILL = "60000"  # PUTs that fill the usual log
BOUND = 3.0

COUNTERS = {
    "collected": "ingot_log_segments_collected_total",
    "stalls": "ingot_write_stalls_total",
    "stall_s": "ingot_write_stall_seconds_total",
    "log_waits": "ingot_log_waits_total",
    "log_wait_s": "ingot_log_wait_seconds_total",
    "freed": "ingot_freed_bytes_total",
}


def client(server, operation, rate, seconds, *more):
    return subprocess.Popen(
        [BINARY, "bench", "--endpoint", server.endpoint, "--mix", f"{operation}=1", "--size", "4KiB", "--objects", OBJECTS, "--rate", rate,
         "--duration", f"{int(seconds * 1000)}ms", "--warmup", "1s", "--keep", "--json", "-", *more],
        env={**os.environ, "INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def figures(process, operation):
    out, error = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{operation}: {error[-2000:]}")
    return json.loads(out)["operations"][operation]


def counters(server):
    with urllib.request.urlopen(server.endpoint + "/-/metrics", timeout=60) as answer:
        lines = dict(line.split(" ", 1) for line in answer.read().decode().splitlines() if line.startswith("ingot_") and "{" not in line)
    return {k: float(lines[name]) for k, name in COUNTERS.items()}


def gets(server):
    return client(server, "get", GETS, SECONDS, "--existing", "--connections", "8", "--loops", "1")


def phase(server, puts):
    """GET figures while `puts` (the flags of a PUT load, or None) runs around them."""
    before = counters(server)
    load = client(server, "put", PUTS, SECONDS + 2, "--connections", "32", "--loops", "1", *puts) if puts is not None else None
    if load:
        time.sleep(1)
    found = {"get": figures(gets(server), "get")}
    if load:
        found["put"] = figures(load, "put")
    after = counters(server)
    found["did"] = {k: after[k] - before[k] for k in COUNTERS}
    return found


def one_round(temp):
    """Two servers: one with a log so long that nothing is reclaimed, one with little, which overwriting has filled before."""
    found = {}
    for name, log in (("roomy", "64GiB"), ("usual", LOG)):
        server = Server(data=temp / name, access_log="false", log_size=log).start()
        try:
            figures(client(server, "head", "1000000", 0.2), "head")
            if name == "roomy":
                found["quiet"] = phase(server, None)
                found["put"] = phase(server, ["--prefix", "new/"])
            else:
                figures(client(server, "put", "1000000", 1, "--existing", "--overwrite", "--connections", "64", "--count", FILL), "put")
                found["overwrite"] = phase(server, ["--existing", "--overwrite"])
            server.stop(timeout=300)
        finally:
            server.remove()
            shutil.rmtree(temp / name, ignore_errors=True)
    return found


PHASES = (("quiet", "alone"), ("put", "PUT of new keys, nothing reclaimed"), ("overwrite", "overwriting"))


def page(path):
    f = json.loads(pathlib.Path(path).read_text())
    print(f"{f['cores']} cores ({f['cpu']}), Linux {f['kernel']}, medians of {f['rounds']} rounds, {f['date']}. GET of 4 KiB, {f['gets']} a second over 8 connections, among "
          f"{int(f['objects']):,} objects; PUT of 4 KiB, {int(f['puts']):,} a second asked for over 32 connections.\n")
    print("| beside the GETs | GET p50 ms | p99 ms | p99 is | PUT/s | PUT p99 ms | log segments collected | MiB freed | waits for the index | for the log |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for key, text in PHASES:
        e = f["phases"][key]
        put = (f"{e['put_per_s']:,.0f}", f"{e['put_p99']:.1f}") if "put_p99" in e else ("", "")
        print(f"| {text} | {e['p50']:.2f} | {e['p99']:.2f} | {e['p99'] / f['phases']['quiet']['p99']:.2f}× | {put[0]} | {put[1]} | {e['collected']:.0f} | "
              f"{e['freed'] / 2**20:,.0f} | {e['stalls']:.0f} ({e['stall_s']:.2f} s) | {e['log_waits']:.0f} ({e['log_wait_s']:.2f} s) |")


def main():
    if sys.argv[1:2] == ["--page"]:
        return page(sys.argv[2])
    PLACE.mkdir(parents=True, exist_ok=True)
    rounds = []
    for n in range(ROUNDS):
        temp = pathlib.Path(tempfile.mkdtemp(prefix="overwrite-", dir=PLACE))
        try:
            rounds.append(one_round(temp))
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        print(f"round {n + 1}: GET p99 " + ", ".join(f"{text} {rounds[-1][key]['get']['p99_ms']:.2f} ms" for key, text in PHASES), flush=True)
    phases = {}
    for key, _ in PHASES:
        runs = [r[key] for r in rounds]
        e = {k: statistics.median(r["get"][f"{k}_ms"] for r in runs) for k in ("p50", "p99", "max")}
        if "put" in runs[0]:
            e["put_p99"] = statistics.median(r["put"]["p99_ms"] for r in runs)
            e["put_per_s"] = statistics.median(r["put"]["ops_per_s"] for r in runs)
        e.update({k: statistics.median(r["did"][k] for r in runs) for k in COUNTERS})
        phases[key] = e
    found = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cores": os.cpu_count(), "cpu": cpu_name(), "kernel": platform.release(),
             "rounds": ROUNDS, "objects": OBJECTS, "gets": GETS, "puts": PUTS, "phases": phases}
    out = pathlib.Path(os.environ.get("OVERWRITE_JSON", PLACE / "overwrite.json"))
    out.write_text(json.dumps(found, indent=1))
    print(f"written: {out}; as a page: {sys.argv[0]} --page {out}")
    page(out)
    ratio = phases["overwrite"]["p99"] / phases["quiet"]["p99"]
    print(f"GET p99 beside overwrites is {ratio:.2f} times that alone; the goal is {BOUND:.0f}")


if __name__ == "__main__":
    main()
