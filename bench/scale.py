#!/usr/bin/env python3
"""What many objects cost: `make bench-scale` loads SCALE_OBJECTS (10,000,000) objects of 1 KiB through the API, beside a store of
10,000, and measures both in turn: listings, 4 KiB PUT, GET, HEAD, restart, memory. Then it deletes half of the large store while it
lists, and waits for the space to return. Prints progress and one table, writes JSON.

  SCALE_OBJECTS=10000000   objects; 200000 is a quick form      SCALE_ROUNDS=3    rounds, of which the median counts
  SCALE_SECONDS=3          of a run                             SCALE_SMALL=10000 objects of the small store
  SCALE_DIR=build/bench    where: 5 KiB an object are needed    SCALE_JSON=build/bench/scale.json
  SCALE_SETTINGS=index-cache=8MiB      settings of the large store alone: less memory shows on fewer objects what many more would meet
  SCALE_MINUTES=600        loading stops then, with what came so far
  SCALE_STAGES=measure,restart,delete                           SCALE_DATA=DIR    keep the large store there, and use it when it is loaded
  bench/scale.py --page build/bench/scale.json    the figures as the section "Scale" of docs/performance.md
"""

import base64
import hashlib
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from figures import BINARY, ROOT
from ingot import Server
from peers import cpu_name, memory_mib
from rawsign import Raw

BUCKET = "ingot-bench"
COUNT = int(os.environ.get("SCALE_OBJECTS", "10000000"))
MINUTES = float(os.environ.get("SCALE_MINUTES", "600"))
SMALL = int(os.environ.get("SCALE_SMALL", "10000"))
ROUNDS = int(os.environ.get("SCALE_ROUNDS", "3"))
SECONDS = float(os.environ.get("SCALE_SECONDS", "3"))
STAGES = os.environ.get("SCALE_STAGES", "measure,restart,delete").split(",")
PLACE = pathlib.Path(os.environ.get("SCALE_DIR", ROOT / "build" / "bench")).resolve()
SETTINGS = dict(one.split("=", 1) for one in os.environ.get("SCALE_SETTINGS", "").replace("-", "_").split(",") if one)
BOUND = 1.5

# name, operation, prefix, connections, among as many as the small store has, further flags
ROWS = [
    ("LIST 1,000", "list", "plain/", 4, False, []),
    ("LIST one level", "list", "deep/", 4, False, ["--delimiter"]),
    ("GET, some", "get", "plain/", 64, True, ["--size", "1KiB"]),
    ("GET, any", "get", "plain/", 64, False, ["--size", "1KiB"]),
    ("HEAD, some", "head", "plain/", 64, True, ["--size", "1KiB"]),
    ("HEAD, any", "head", "plain/", 64, False, ["--size", "1KiB"]),
    ("PUT 4 KiB", "put", "puts/", 64, False, ["--size", "4KiB"]),
]
LISTING = ROWS[0]
WARM_PUTS = "60000"  # so that both stores' logs are full and collected while PUT is measured


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def shares(count):
    """Objects below each prefix: a tenth lies together one level down, where a listing rolls it up."""
    return {"plain/": count - count // 10 - 10, "deep/many/": count // 10, "deep/few-": 10}


def disk_bytes(path):
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Store:
    def __init__(self, name, count, data=None, **settings):
        self.settings = {"access_log": "false", **settings}
        self.name, self.count, self.of = name, count, shares(count)
        self.temp = pathlib.Path(tempfile.mkdtemp(prefix=f"scale-{name}-", dir=PLACE))
        self.data = pathlib.Path(data) if data else self.temp / "data"
        self.server, self.peak = None, 0.0

    def start(self):
        """Seconds from exec to the first 200 of readiness."""
        self.server = Server(data=self.data, **self.settings)
        begin = time.monotonic()
        self.server.spawn()
        while not self.server.ready_file.exists():
            if self.server.process.poll() is not None or time.monotonic() > begin + 600:
                sys.exit(f"the server does not start:\n{self.server.output()[-3000:]}")
            time.sleep(0.001)
        self.server.endpoints = self.server.ready_file.read_text().split()
        with urllib.request.urlopen(self.server.endpoint + "/-/ready", timeout=60) as answer:
            assert answer.status == 200
        return time.monotonic() - begin

    def end(self, kill=False):
        self.look()
        if kill:
            self.server.kill()
        else:
            self.server.stop(timeout=600)
        self.server.remove()
        self.server = None

    def look(self):
        self.peak = max(self.peak, memory_mib(self.server.pid(), "VmHWM"))
        return memory_mib(self.server.pid(), "VmRSS")

    def remove(self):
        if self.server:
            self.server.remove()
        shutil.rmtree(self.temp, ignore_errors=True)

    def client(self, operation, prefix, objects, connections, *more):
        return subprocess.Popen(
            [BINARY, "bench", "--endpoint", self.server.endpoint, "--mix", f"{operation}=1", "--prefix", prefix, "--objects", str(objects),
             "--connections", str(connections), "--server-pid", str(self.server.pid()), "--keep", "--json", "-", *more],
            env={**os.environ, "INGOT_ACCESS_KEY": self.server.access_key, "INGOT_SECRET_KEY": self.server.secret_key},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def bench(self, *what):
        done = self.client(*what)
        out, error = done.communicate()
        if done.returncode != 0:
            sys.exit(f"{self.name}: {what}: {error[-2000:]}{self.server.output()[-2000:]}")
        found, operation = json.loads(out), what[0]
        return {**found["operations"][operation], "cpu": found["server_cpu_us_per_op"]}

    def metric(self, name):
        with urllib.request.urlopen(self.server.endpoint + "/-/metrics", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        return 0.0

    # ---- loading ----

    def load(self):
        begin, cpu = time.monotonic(), cpu_seconds(self.server.pid())
        over = threading.Event()
        threading.Thread(target=self.report, args=(over,), daemon=True).start()
        for prefix in sorted(self.of):
            self.fill(prefix, begin + MINUTES * 60)
        self.count = sum(self.of.values())
        over.set()
        spent = time.monotonic() - begin
        cpu = (cpu_seconds(self.server.pid()) - cpu) * 1e6 / self.count
        say(f"{self.name}: {self.count:,} objects put in {spent:.0f} s, {self.count / spent:,.0f}/s, {cpu:.0f} us of server CPU each; "
            f"RSS {self.look():.0f} MiB, disk {disk_bytes(self.data) / 2**30:.2f} GiB")
        return {"seconds": spent, "per_s": self.count / spent, "cpu": cpu, "of": self.of}

    def fill(self, prefix, until):
        """Puts the objects below a prefix, in the order of their keys; when the time is up, what came so far is all there is."""
        before = self.metric("ingot_commits_total")
        client = self.client("head", prefix, self.of[prefix], 256, "--size", "1KiB", "--count", "1", "--warmup", "0")
        while client.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        if client.poll() is None:
            client.send_signal(signal.SIGINT)
            client.wait()
            self.of[prefix] = int(self.metric("ingot_commits_total") - before) - 1024  # those that were under way
            say(f"  time is up: {self.of[prefix]:,} objects below {prefix}")
        elif client.returncode != 0:
            sys.exit(f"{self.name}: loading {prefix}: {client.stderr.read()[-2000:]}{self.server.output()[-2000:]}")

    def report(self, over):
        began, was = time.monotonic(), self.metric("ingot_commits_total")
        while not over.wait(15):
            try:
                now, t = self.metric("ingot_commits_total"), time.monotonic()
                say(f"  {now:>12,.0f} commits, {(now - was) / (t - began):>8,.0f}/s, RSS {self.look():>5.0f} MiB, "
                    f"write stalls {self.metric('ingot_write_stalls_total'):.0f} ({self.metric('ingot_write_stall_seconds_total'):.1f} s)")
                began, was = t, now
            except OSError:
                pass

    def settle(self, longest=300):
        """Until the server has nothing to do by itself."""
        begin = time.monotonic()
        while time.monotonic() < begin + longest:
            cpu = cpu_seconds(self.server.pid())
            time.sleep(2)
            if cpu_seconds(self.server.pid()) - cpu < 0.06:
                break
        say(f"{self.name}: at rest after {time.monotonic() - begin:.0f} s, RSS {self.look():.0f} MiB")


# ---- the two stores side by side ----


def run(store, row):
    _, operation, prefix, connections, some, more = row
    objects = store.of.get(prefix, store.of["plain/"])
    if some:
        objects = min(objects, shares(SMALL)["plain/"])
    if operation != "put":
        more = [*more, "--existing"]
    return store.bench(operation, prefix, objects, connections, "--duration", f"{int(SECONDS * 1000)}ms", "--warmup", "1s", *more)


def measure(small, large):
    table = []
    for row in ROWS:
        runs = {"small": [], "large": []}
        if row[1] == "put":
            for store in (small, large):
                store.bench("put", "warm/", 1, 64, "--size", "4KiB", "--count", WARM_PUTS, "--warmup", "0")
        if row[4]:  # what is read again and again is in memory
            for store in (small, large):
                run(store, (*row[:5], [*row[5], "--count", str(4 * SMALL)]))
        for _ in range(ROUNDS):
            for store in (small, large):
                runs[store.name].append(run(store, row))
                store.look()
        entry = {"row": row[0], "connections": row[3]}
        for name, v in runs.items():
            entry[name] = {k: statistics.median(r[k] for r in v) for k in ("ops_per_s", "p50_ms", "p99_ms", "cpu")}
        table.append(entry)
        s, b = entry["small"], entry["large"]
        say(f"{row[0]:<15} ops/s {s['ops_per_s']:>9,.0f} {b['ops_per_s']:>9,.0f}  p50 {s['p50_ms']:>6.2f} {b['p50_ms']:>6.2f}  p99 {s['p99_ms']:>7.2f} "
            f"{b['p99_ms']:>7.2f}  CPU us {s['cpu']:>7.1f} {b['cpu']:>7.1f}  x{b['cpu'] / s['cpu']:.2f}")
    return table


def restarts(store):
    store.end()
    found = {"clean_s": store.start()}
    store.bench("put", "burst/", 1, 64, "--size", "1KiB", "--duration", "2s", "--warmup", "0")
    store.end(kill=True)
    found["killed_s"] = store.start()
    found["rss_after"] = store.look()
    say(f"{store.name}: exec to first 200: {found['clean_s'] * 1000:.0f} ms after an orderly stop, {found['killed_s'] * 1000:.0f} ms after kill -9; "
        f"RSS then {found['rss_after']:.0f} MiB")
    return found


# ---- deleting half ----


def doomed(plain):
    """Half of all: four fifths of it in one run from the first key on, the rest every second key behind that."""
    half = plain * 5 // 9
    run_of = half * 4 // 5
    yield from range(run_of)
    yield from range(run_of, run_of + 2 * (half - run_of), 2)


def delete_page(raw, ids):
    body = ("<Delete><Quiet>true</Quiet>" + "".join(f"<Object><Key>plain/{i:012x}</Key></Object>" for i in ids) + "</Delete>").encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = raw.call("POST", f"/{BUCKET}?delete", {"content-md5": md5}, body)
    if answer.status != 200 or b"<Error>" in answer.body:
        sys.exit(f"DeleteObjects: {answer}")
    return len(ids)


def pages(ids, size=1000):
    page = []
    for i in ids:
        page.append(i)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


class Probe(threading.Thread):
    """Lists a page from the first key on, and one from the middle of the alternating keys, ten times a second; keeps the slowest."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.raw, self.over, self.times = Raw(store.server), threading.Event(), []
        plain = store.of["plain/"]
        self.starts = ["plain/", f"plain/{plain * 5 // 9 * 9 // 10:012x}"]

    def run(self):
        while not self.over.wait(0.1):
            for start in self.starts:
                begin = time.monotonic()
                answer = self.raw.call("GET", f"/{BUCKET}?list-type=2&max-keys=1000&prefix=plain%2F&start-after={start.replace('/', '%2F')}")
                assert answer.status == 200 and answer.body.count(b"<Key>") == 1000, answer
                self.times.append((time.monotonic() - begin) * 1000)

    def figures(self):
        self.over.set()
        self.join()
        v = sorted(self.times)
        return {"n": len(v), "p50_ms": v[len(v) // 2], "p99_ms": v[len(v) * 99 // 100], "max_ms": v[-1]}


def probed(store, seconds):
    p = Probe(store)
    p.start()
    time.sleep(seconds)
    return p.figures()


def deletion(store):
    plain = store.of["plain/"]
    found = {"before": probed(store, 5), "before_row": run(store, LISTING)}
    used = disk_bytes(store.data)
    raw, done, begin, said = Raw(store.server), 0, time.monotonic(), time.monotonic()
    cpu = cpu_seconds(store.server.pid())
    probe = Probe(store)
    probe.start()
    with ThreadPoolExecutor(4) as pool:
        waiting = []
        for page in pages(doomed(plain)):
            waiting.append(pool.submit(delete_page, raw, page))
            if len(waiting) == 16:
                done += waiting.pop(0).result()
            if time.monotonic() > said + 15:
                said = time.monotonic()
                say(f"  {done:>10,} deleted, {done / (said - begin):,.0f}/s, slowest LIST {max(probe.times):.0f} ms")
        done += sum(w.result() for w in waiting)
    spent = time.monotonic() - begin
    found["during"] = probe.figures()
    found["cpu"] = (cpu_seconds(store.server.pid()) - cpu) * 1e6 / done
    found.update(deleted=done, seconds=spent)
    say(f"deleted {done:,} in {spent:.0f} s; LIST before, meanwhile: {found['before']} {found['during']}")
    found["after_row"] = run(store, (*LISTING[:5], ["--no-verify"]))
    found["after"] = probed(store, 5)
    say(f"LIST right after: {found['after']}; CPU {found['before_row']['cpu']:.0f} -> {found['after_row']['cpu']:.0f} us, p99 "
        f"{found['before_row']['p99_ms']:.1f} -> {found['after_row']['p99_ms']:.1f} ms")
    least, begin, last = used, time.monotonic(), time.monotonic()
    while time.monotonic() < min(begin + 900, last + (30 if least < used - done * 2048 else 300)):
        time.sleep(2)
        now = disk_bytes(store.data)
        if now < least - (1 << 20):
            least, last = now, time.monotonic()
    returned = last - begin
    store.settle(120)
    found.update(disk_before=used, disk_after=disk_bytes(store.data), returned_s=returned)
    found["rested_row"] = run(store, (*LISTING[:5], ["--no-verify"]))
    say(f"disk {used / 2**30:.2f} -> {found['disk_after'] / 2**30:.2f} GiB, {found['returned_s']:.0f} s after the last deletion; LIST at rest "
        f"{found['rested_row']['cpu']:.0f} us")
    return found


# ---- what comes of it ----


def page(path):
    f = json.loads(pathlib.Path(path).read_text())
    small, large = f"{f['small_objects']:,}", f"{f['objects']:,}"
    print(f"{f['cores']} cores ({f['cpu']}), Linux {f['kernel']}, medians of {f['rounds']} alternating rounds, {f['date']}; {large} objects of 1 KiB were put "
          f"in {f['load']['seconds']:,.0f} s ({f['load']['per_s']:,.0f}/s, {f['load']['cpu']:.0f} µs of server CPU each).\n")
    if "table" in f:
        print(f"| work (connections) | objects | ops/s | p50 ms | p99 ms | server CPU µs/op | CPU ratio |\n|---|---:|---:|---:|---:|---:|---:|")
        for e in f["table"]:
            for name, n in (("small", small), ("large", large)):
                v = e[name]
                ratio = f"{v['cpu'] / e['small']['cpu']:.2f}×" if name == "large" else ""
                print(f"| {e['row']} ({e['connections']}) | {n} | {v['ops_per_s']:,.0f} | {v['p50_ms']:.2f} | {v['p99_ms']:.2f} | {v['cpu']:,.1f} | {ratio} |")
    print(f"\n| | {small} | {large} |\n|---|---:|---:|")
    if "restart" in f:
        for key, text in (("clean_s", "exec to first 200, after an orderly stop, ms"), ("killed_s", "the same after kill -9, ms")):
            print(f"| {text} | {f['restart']['small'][key] * 1000:.0f} | {f['restart']['large'][key] * 1000:.0f} |")
    print(f"| RSS at rest, MiB | {f['rss']['small']:.0f} | {f['rss']['large']:.0f} |")
    print(f"| peak RSS of the whole run, MiB | {f['peak']['small']:.0f} | {f['peak']['large']:.0f} |")
    print(f"| bytes on disk an object | | {f['disk'] / f['objects']:,.0f} |")
    if "deletion" in f:
        d = f["deletion"]
        print(f"\n{d['deleted']:,} deleted in {d['seconds']:.0f} s (DeleteObjects of 1,000, {d['cpu']:.0f} µs of server CPU each): the data directory fell from "
              f"{d['disk_before'] / 2**30:.2f} to {d['disk_after'] / 2**30:.2f} GiB within {d['returned_s']:.0f} s of the last one, while serving.\n")
        print("| LIST of 1,000 keys | before | while deleting | right after | at rest |\n|---|---:|---:|---:|---:|")
        for key, text in (("p50_ms", "from the first key and among every second, one client, p50 ms"), ("p99_ms", "p99 ms"), ("max_ms", "slowest ms")):
            print(f"| {text} | {d['before'][key]:.1f} | {d['during'][key]:.1f} | {d['after'][key]:.1f} | |")
        for key, text in (("cpu", "random keys, 4 connections, server CPU µs"), ("p99_ms", "p99 ms")):
            print(f"| {text} | {d['before_row'][key]:,.1f} | | {d['after_row'][key]:,.1f} | {d['rested_row'][key]:,.1f} |")


def main():
    if sys.argv[1:2] == ["--page"]:
        return page(sys.argv[2])
    PLACE.mkdir(parents=True, exist_ok=True)
    kept = os.environ.get("SCALE_DATA")
    loaded = pathlib.Path(kept + ".loaded") if kept else None
    small, large = Store("small", SMALL), Store("large", COUNT, kept, **SETTINGS)
    found = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cores": os.cpu_count(), "cpu": cpu_name(), "kernel": platform.release(),
             "rounds": ROUNDS, "objects": COUNT, "small_objects": SMALL}
    out = pathlib.Path(os.environ.get("SCALE_JSON", PLACE / "scale.json"))
    try:
        for store in (small, large):
            store.start()
            if store is large and loaded and loaded.exists():
                found["load"] = json.loads(loaded.read_text())
                large.of = found["load"]["of"]
                large.count = sum(large.of.values())
                continue
            found["load"] = store.load()
        if loaded:
            loaded.write_text(json.dumps(found["load"]))
        for store in (small, large):
            store.settle()
        found["disk"] = disk_bytes(large.data)
        found["objects"] = large.count
        found["rss"] = {s.name: s.look() for s in (small, large)}
        if "measure" in STAGES:
            found["table"] = measure(small, large)
        if "restart" in STAGES:
            found["restart"] = {s.name: restarts(s) for s in (small, large)}
        if "delete" in STAGES:
            found["deletion"] = deletion(large)
        for store in (small, large):
            store.look()
        found["peak"] = {s.name: s.peak for s in (small, large)}
        out.write_text(json.dumps(found, indent=1))
        print(f"written: {out}; as a page: {sys.argv[0]} --page {out}")
    finally:
        small.remove()
        large.remove()
    page(out)
    over = [e["row"] for e in found.get("table", []) if e["large"]["cpu"] > BOUND * e["small"]["cpu"]]
    print(f"beyond {BOUND} times the CPU of {SMALL:,} objects: {', '.join(over) or 'nothing'}")


if __name__ == "__main__":
    main()
