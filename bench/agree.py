#!/usr/bin/env python3
"""Does `ingot bench` agree with wrk? Both GET the same 4 KiB objects over 64 connections, wrk by presigned URLs, in turn; prints
both rates of each round and the ratio of the medians. wrk neither signs nor verifies, so bench may be a little slower."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from figures import BINARY, Server, bench

ROUNDS = int(os.environ.get("AGREE_ROUNDS", "5"))
LUA = """local urls = {}
for line in io.lines(%r) do urls[#urls + 1] = line end
local i = 0
request = function() i = i %% #urls + 1; return wrk.format("GET", urls[i]) end
"""


def wrk(server, script):
    done = subprocess.run(["wrk", "-t2", "-c64", "-d4s", "-s", script, server.endpoint], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        sys.exit(done.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))


def main():
    server = Server(access_log="false").start()
    try:
        with tempfile.TemporaryDirectory() as temp:
            keys = {**os.environ, "INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key}
            urls = subprocess.run([BINARY, "bench", "--endpoint", server.endpoint, "--objects", "1000", "--presign", "--quiet"], env=keys,
                                  capture_output=True, text=True, check=True).stdout
            listed, script = pathlib.Path(temp, "urls"), pathlib.Path(temp, "get.lua")
            listed.write_text(urls)
            script.write_text(LUA % str(listed))
            rates = []
            for _ in range(ROUNDS):
                rates.append((wrk(server, script), bench(server, "get", "4KiB", 64, 1000, 4, "--keep")["ops_per_s"]))
                print(f"wrk {rates[-1][0]:9.0f}/s   ingot bench {rates[-1][1]:9.0f}/s", flush=True)
            a, b = (statistics.median(r[i] for r in rates) for i in (0, 1))
            print(f"medians: wrk {a:.0f}/s, ingot bench {b:.0f}/s, ratio {b / a:.2f}")
        server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
