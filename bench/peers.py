#!/usr/bin/env python3
"""Ingot beside its peers on one machine: `make bench-peers MINIO=/path/to/minio RUSTFS=… WEED=… NGINX=…` (NGINX defaults to
nginx of the path, the others are left out when no path is given). Each server runs alone, durable, on a new directory of one
file system (BENCH_DIR), under the same client, `ingot bench`, on the same cores; rounds alternate between the servers. Prints one
table: medians, Ingot's ratio to each peer, CPU of the server's processes an operation, p99, memory; writes it as JSON too.

  PEERS_ROUNDS=3  rounds       PEERS_SECONDS=1.0  stretches every run       PEERS_ROWS=put-4KiB,list-1KiB  some rows only
  PEERS_JSON=build/bench/peers.json
  bench/peers.py --page build/bench/peers.json > docs/performance.md   the page from such a file
"""

import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from figures import BINARY, ROOT, ROWS, Server
from ingot import environment

KEYS = ("benchaccess", "benchsecretbenchsecret")
PLACE = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build" / "bench")).resolve()


def free_port(highest=65535):
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port <= highest:
            return port


def tree(pid):
    """A process and those below it."""
    found = [pid]
    for p in found:
        try:
            found += [int(c) for t in pathlib.Path(f"/proc/{p}/task").iterdir() for c in (t / "children").read_text().split()]
        except OSError:
            pass
    return found


def memory_mib(pid, field):
    total = 0
    for p in tree(pid):
        try:
            lines = pathlib.Path(f"/proc/{p}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(field))
    return total / 1024


class Peer:
    """A server of another project. durable: it answers a write only when the bytes are on disk."""

    env = {}
    durable = True
    highest_port = 65535
    does = ("put", "get", "head", "list")

    def __init__(self, binary):
        self.binary = binary
        self.access_key, self.secret_key = KEYS

    def start(self, temp):
        self.port = free_port(self.highest_port)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.temp = temp
        (temp / "data").mkdir()
        with open(temp / "output", "wb") as out:
            self.process = subprocess.Popen(self.command(temp / "data"), env={**environment(), **self.env}, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT, cwd=temp)
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.name} does not start:\n" + (temp / "output").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        return self

    def answers(self):
        try:
            with urllib.request.urlopen(self.endpoint + self.probe, timeout=5):
                return True
        except urllib.error.HTTPError as e:
            return e.code < 500
        except OSError:
            return False

    probe = "/"

    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Minio(Peer):
    name = "MinIO"
    env = {"MINIO_ROOT_USER": KEYS[0], "MINIO_ROOT_PASSWORD": KEYS[1], "MINIO_UPDATE": "off", "MINIO_BROWSER": "off"}
    probe = "/minio/health/ready"

    def command(self, data):
        return [self.binary, "server", "--quiet", "--address", f"127.0.0.1:{self.port}", data]


class Rustfs(Peer):
    name = "RustFS"
    env = {"RUSTFS_ACCESS_KEY": KEYS[0], "RUSTFS_SECRET_KEY": KEYS[1], "RUSTFS_CONSOLE_ENABLE": "false",
           "RUSTFS_DURABILITY_MODE": "strict", "RUSTFS_NEW_BUCKET_DURABILITY_MODE": "strict", "RUSTFS_DRIVE_SYNC_ENABLE": "true"}

    def command(self, data):
        return [self.binary, "server", "--address", f"127.0.0.1:{self.port}", data]


class Weed(Peer):
    """Does not flush before it answers, so only its reads are compared."""

    name = "SeaweedFS"
    durable = False
    highest_port = 55535  # it listens 10,000 above each of its ports as well
    does = ("get", "head", "list")

    def command(self, data):
        config = {"identities": [{"name": "bench", "credentials": [{"accessKey": KEYS[0], "secretKey": KEYS[1]}],
                                  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
        (self.temp / "s3.json").write_text(json.dumps(config))
        ports = [str(free_port(self.highest_port)) for _ in range(3)]
        self.master = f"http://127.0.0.1:{ports[0]}"
        return [self.binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-s3", f"-s3.port={self.port}", f"-s3.config={self.temp / 's3.json'}",
                f"-master.port={ports[0]}", f"-volume.port={ports[1]}", f"-filer.port={ports[2]}", "-volume.max=50"]

    def answers(self):
        """It answers before it has a volume to write to."""
        try:
            with urllib.request.urlopen(self.master + "/dir/assign", timeout=5) as answer:
                return "fid" in json.load(answer) and super().answers()
        except (OSError, ValueError):
            return False


class Nginx(Peer):
    """Files behind sendfile, no signatures: the ceiling for GET. Objects come in by WebDAV, not durable."""

    name = "nginx"
    durable = False
    does = ("get",)
    probe = "/ingot-bench"

    def command(self, data):
        (self.temp / "nginx.conf").write_text(f"""daemon off; worker_processes auto; pid {self.temp}/pid; error_log stderr error; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_max_body_size 0; root {data};
  open_file_cache max=20000 inactive=60s; open_file_cache_valid 60s; default_type application/octet-stream;
  client_body_temp_path {self.temp}/body; proxy_temp_path {self.temp}/proxy; fastcgi_temp_path {self.temp}/fastcgi;
  uwsgi_temp_path {self.temp}/uwsgi; scgi_temp_path {self.temp}/scgi;
  server {{
    listen 127.0.0.1:{self.port} backlog=1024;
    location = /ingot-bench {{ return 200; }}
    location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
  }}
}}
""")
        return [self.binary, "-c", str(self.temp / "nginx.conf"), "-e", "stderr"]


class Ingot:
    name = "Ingot"
    durable = True
    does = ("put", "get", "head", "list")

    def start(self, temp):
        self.server = Server(data=temp / "data", access_log="false").start()
        self.endpoint, self.access_key, self.secret_key = self.server.endpoint, self.server.access_key, self.server.secret_key
        return self

    def pid(self):
        return self.server.pid()

    def stop(self):
        self.server.stop()
        self.server.remove()


def run(peer, row, stretch):
    """One run of one row against a new store; its figures, or None when the client met errors."""
    _, operation, size, connections, objects, seconds = row
    PLACE.mkdir(parents=True, exist_ok=True)
    temp = pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=PLACE))
    try:
        peer.start(temp)
        time.sleep(1)
        idle = memory_mib(peer.pid(), "VmRSS")
        done = subprocess.run(
            [BINARY, "bench", "--endpoint", peer.endpoint, "--mix", f"{operation}=1", "--size", size, "--connections", str(connections),
             "--objects", str(objects), "--duration", f"{max(int(seconds * stretch * 1000), 200)}ms", "--warmup", "1s", "--server-pid",
             str(peer.pid()), "--keep", "--json", "-"],
            env={**os.environ, "INGOT_ACCESS_KEY": peer.access_key, "INGOT_SECRET_KEY": peer.secret_key},
            capture_output=True, text=True, check=False)
        peak = memory_mib(peer.pid(), "VmHWM")
        peer.stop()
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    if done.returncode != 0:
        print(f"{row[0]}: {peer.name}: {done.stderr[-500:]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout)
    one = found["operations"][operation]
    return {"ops": one["ops_per_s"], "mb": one["mb_per_s"], "p50": one["p50_ms"], "p99": one["p99_ms"],
            "cpu": found["server_cpu_us_per_op"], "idle": idle, "peak": peak}


def measure(peers, rows, rounds, stretch):
    table = []
    for row in rows:
        runs = {p.name: [] for p in peers if row[1] in p.does}
        for _ in range(rounds):
            for peer in peers:
                if peer.name in runs:
                    figures = run(peer, row, stretch)
                    if figures:
                        runs[peer.name].append(figures)
        medians = {n: {k: statistics.median(r[k] for r in v) for k in v[0]} for n, v in runs.items() if v}
        table.append({"row": row[0], "operation": row[1], "connections": row[3], "servers": medians})
        print_row(table[-1])
    return table


HEADING = (f"{'work (connections)':<22} {'server':<10} {'ops/s':>10} {'MB/s':>9} {'p50 ms':>9} {'p99 ms':>9} {'CPU us/op':>11} "
           f"{'RSS MiB':>8} {'Ingot is':>10}")


def ratio(entry, name):
    own = entry["servers"].get("Ingot")
    return f"{own['ops'] / entry['servers'][name]['ops']:.2f}x" if own and name != "Ingot" else ""


def print_row(entry):
    for name, f in entry["servers"].items():
        print(f"{entry['row'] + ' (' + str(entry['connections']) + ')':<22} {name:<10} {f['ops']:>10.1f} {f['mb']:>9.1f} {f['p50']:>9.2f} "
              f"{f['p99']:>9.2f} {f['cpu']:>11.1f} {f['peak']:>8.1f} {ratio(entry, name):>10}", flush=True)


PAGE = """# Performance, beside others

`make bench-peers MINIO=PATH RUSTFS=PATH WEED=PATH` starts each server alone on a new directory of one file system, durable where it can
be, drives it by `ingot bench` on the same cores over loopback, and goes round the servers, so that a busy moment hits all alike. A
row's figures are medians over the rounds. CPU is user and system time of all of a server's processes. What Ingot does for it, with
the figure of each step, is in `decisions/0012-speed.md`.

MinIO and Ingot run as they come, RustFS with its strict durability. SeaweedFS does not flush before it answers and nginx serves files without
signatures, so only their reads are compared; nginx is the ceiling for GET.
"""


def page(path):
    """docs/performance.md."""
    found = json.loads(pathlib.Path(path).read_text())
    print(PAGE)
    print(f"{found['cores']} cores ({found['cpu']}), Linux {found['kernel']}, {found['rounds']} alternating rounds, medians, {found['date']}.\n")
    print("| work (connections) | server | ops/s | MB/s | p50 ms | p99 ms | server CPU µs/op | peak RSS MiB | Ingot is |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for entry in found["table"]:
        for name, f in entry["servers"].items():
            print(f"| {entry['row']} ({entry['connections']}) | {name} | {f['ops']:,.1f} | {f['mb']:,.1f} | {f['p50']:.2f} | {f['p99']:.2f} "
                  f"| {f['cpu']:,.1f} | {f['peak']:.0f} | {ratio(entry, name).replace('x', '×')} |")
    print("\n| server | idle RSS MiB | peak RSS MiB of all runs |\n|---|---:|---:|")
    names = list(dict.fromkeys(n for entry in found["table"] for n in entry["servers"]))
    for name in names:
        figures = [entry["servers"][name] for entry in found["table"] if name in entry["servers"]]
        print(f"| {name} | {statistics.median(f['idle'] for f in figures):.0f} | {max(f['peak'] for f in figures):.0f} |")


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    if sys.argv[1:2] == ["--page"]:
        return page(sys.argv[2])
    peers = [Ingot()]
    for kind, variable in ((Minio, "MINIO"), (Rustfs, "RUSTFS"), (Weed, "WEED"), (Nginx, "NGINX")):
        binary = os.environ.get(variable) or (shutil.which("nginx") if kind is Nginx else None)
        if binary:
            peers.append(kind(binary))
    chosen = os.environ.get("PEERS_ROWS", "").split(",")
    rows = [r for r in ROWS if chosen == [""] or f"{r[1]}-{r[2]}" in chosen]
    rounds, stretch = int(os.environ.get("PEERS_ROUNDS", "3")), float(os.environ.get("PEERS_SECONDS", "1.0"))
    print(HEADING, flush=True)
    found = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cores": os.cpu_count(), "cpu": cpu_name(), "kernel": platform.release(),
             "rounds": rounds, "table": measure(peers, rows, rounds, stretch)}
    out = pathlib.Path(os.environ.get("PEERS_JSON", PLACE / "peers.json"))
    out.write_text(json.dumps(found, indent=1))
    print(f"written: {out}; as a page: {sys.argv[0]} --page {out}")


if __name__ == "__main__":
    main()
