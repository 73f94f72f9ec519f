#!/usr/bin/env python3
"""Does `ingot bench` agree with wrk? Both GET the same 4 KiB objects over 64 connections, wrk by presigned URLs, in turn. The server
has one core for itself and the client the other, so that neither takes from it; wrk's requests are made beforehand. A presigned
URL costs the server more than a signed header, so rates alone differ: what must agree is rate × the server's CPU an operation, the
share of its core that a client keeps busy (1.00: the client was not the limit). Prints both and the ratio of the shares."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from figures import BINARY, Server, bench

ROUNDS = int(os.environ.get("AGREE_ROUNDS", "5"))
LUA = """local made, i = {}, 0
init = function() for line in io.lines(%r) do made[#made + 1] = wrk.format("GET", line) end end
request = function() i = i %% #made + 1; return made[i] end
"""


def server_cpu_us(server):
    fields = pathlib.Path(f"/proc/{server.pid()}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def wrk(server, script):
    """(requests a second, server CPU us a request)"""
    before = server_cpu_us(server)
    done = subprocess.run(["wrk", "-t1", "-c64", "-d4s", "-s", script, server.endpoint], capture_output=True, text=True, check=True)
    used = server_cpu_us(server) - before
    if "Non-2xx" in done.stdout:
        sys.exit(done.stdout)
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)), used / requests


def ours(server):
    found = bench(server, "get", "4KiB", 64, 1000, 4, "--keep")
    return found["ops_per_s"], found["cpu"]


def said(name, rate, cpu):
    return f"{name} {rate:7.0f}/s x {cpu:4.1f} us = {rate * cpu / 1e6:4.2f} of a core"


def main():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the server, one for the client")
    os.sched_setaffinity(0, cores[:1])
    server = Server(access_log="false", loops=1).start()
    os.sched_setaffinity(0, cores[1:2])
    try:
        with tempfile.TemporaryDirectory() as temp:
            keys = {**os.environ, "INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key}
            urls = subprocess.run([BINARY, "bench", "--endpoint", server.endpoint, "--objects", "1000", "--presign", "--quiet"], env=keys,
                                  capture_output=True, text=True, check=True).stdout
            listed, script = pathlib.Path(temp, "urls"), pathlib.Path(temp, "get.lua")
            listed.write_text(urls)
            script.write_text(LUA % str(listed))
            shares = []
            for _ in range(ROUNDS):
                a, b = wrk(server, script), ours(server)
                shares.append((a[0] * a[1], b[0] * b[1]))
                print(said("wrk", *a), "  ", said("ingot bench", *b), flush=True)
            a, b = (statistics.median(s[i] for s in shares) for i in (0, 1))
            print(f"medians: wrk {a / 1e6:.2f}, ingot bench {b / 1e6:.2f} of a core; ratio {b / a:.2f}")
        server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
