"""Does any loop block? A mixed load on a server whose watchdog reports every turn of a loop over LIMIT with its stack. README.md says
what is loaded and which reports fail the test.

INGOT_SOAK_SECONDS sets how long a round lasts, INGOT_SOAK_ROUNDS how many there are for each back-end, INGOT_SOAK_MINUTES, if it is
set, how long rounds go on instead; then the reports are held to the strict rule."""

import collections
import json
import os
import re
import subprocess
import time

import pytest

import load
import quick
from ingot import BINARY, SANITIZED, environment
from sundry import Sundry

MINUTES = float(os.environ.get("INGOT_SOAK_MINUTES", "0"))
SECONDS = int(os.environ.get("INGOT_SOAK_SECONDS", "20" if MINUTES else "3"))
ROUNDS = int(os.environ.get("INGOT_SOAK_ROUNDS", "2"))
LIMIT_MS = 5
WORKERS = 2
BIG = 20000 if MINUTES else 3000  # keys of the bucket that is listed and deleted
LOADS = {  # by bucket, for `ingot bench`
    "mixed": ["--mix=put=20,get=40,head=10,list=2,delete=18", "--size=0,1KiB,16KiB,64KiB,1MiB", "--objects=200", "--connections=16"],
    "large": ["--mix=put=1,get=1,multipart=1", "--size=16MiB", "--objects=2", "--multipart-size=16MiB", "--part-size=8MiB", "--connections=2"],
    "many": ["--mix=list=1,delete=40", "--size=1KiB", f"--objects={BIG}", "--connections=8"],
}

pytestmark = pytest.mark.skipif(SANITIZED, reason="under a sanitizer all turns are long")


def begin(server, name, arguments):
    env = environment({"INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key})
    return subprocess.Popen([str(BINARY), "bench", f"--endpoint={server.endpoint}", f"--bucket=soak-{name}", "--warmup=0s", "--quiet",
                             f"--duration={SECONDS}s", "--json=-", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def one_round(server, books, number):
    """All loads at once, then the end of the server; returns how many operations they made."""
    runs = [begin(server, *load_) for load_ in LOADS.items()]
    workers = [load.Worker(quick.of(server, timeout=300), b, number) for b in books]
    sundry = Sundry(quick.of(server, timeout=300), number, time.monotonic() + SECONDS, "soak-many")
    for w in (*workers, sundry):
        w.start()
    done = 0
    for run in runs:
        out, error = run.communicate(timeout=600 + 10 * SECONDS)
        assert run.returncode == 0, error + out
        done += sum(o["ops"] for o in json.loads(out)["operations"].values())
    sundry.join(300)
    assert not sundry.is_alive() and sundry.failure is None, sundry.failure
    server.stop(timeout=300)
    for w in workers:
        w.join(300)
        assert not w.is_alive() and w.failure is None, w.failure
        done += w.acknowledged
    return done + sundry.done


class Reports:
    """What the watchdog said, by place: the fiber and the innermost functions, without offsets."""

    def __init__(self):
        self.blocked = collections.defaultdict(list)    # place → ms
        self.computed = collections.defaultdict(list)   # place → computing ms
        self.rounds = collections.defaultdict(set)      # place of a computing one → rounds

    def take(self, text, number):
        """What a loop computed it counts itself; the reports of blocking are the watchdog's."""
        for r in [json.loads(line) for line in text.splitlines() if '"msg":"loop ' in line]:
            if r["msg"] == "loop computed for long":
                self.computed[self.place(r)].append(r["computing-ms"])
                self.rounds[self.place(r)].add(number)
            elif r["msg"] == "loop blocked" and r["computing-ms"] < LIMIT_MS:
                self.blocked[self.place(r)].append(r["ms"])
            else:
                continue
            print(f"round {number}: {r['ms']} ms, {r['computing-ms']} of them computing: {r['fiber']}: {r['stack'][:700]}")

    @staticmethod
    def place(report):
        functions = re.sub(r"\+0x[0-9a-f]+", "", report["stack"]).split(" < ")
        return f"{report['fiber']}: {' < '.join(functions[:4])}"

    def table(self):
        for kind, places in (("blocked", self.blocked), ("computing", self.computed)):
            for place, times in sorted(places.items(), key=lambda p: -len(p[1])):
                print(f"{kind}: {len(times)} times, the longest {max(times)} ms: {place}")


def rounds():
    """Their numbers: ROUNDS of them, or for MINUTES."""
    began, number = time.monotonic(), 0
    while (number < ROUNDS) if not MINUTES else (time.monotonic() - began < 60 * MINUTES / 2):
        yield number
        number += 1


@pytest.mark.parametrize("backend", ["epoll", "uring"])
def test_no_loop_blocks(start_server, backend):
    server = start_server(watchdog=f"{LIMIT_MS}ms", **{**load.SETTINGS, "backend": backend})
    load.make_buckets(quick.of(server))
    books = [load.Book(n) for n in range(WORKERS)]
    reports, done, said, count = Reports(), 0, 0, 0
    for number in rounds():
        done += one_round(server, books, number)
        text = server.output()
        reports.take(text[said:], number)
        said, count = len(text), count + 1
        server.start()
    reports.table()
    print(f"{backend}: {count} rounds of {SECONDS} s, {done} operations")
    if MINUTES:
        assert not reports.blocked and not reports.computed
    again = {place: found for place, found in reports.rounds.items() if len(found) > 1}
    assert not again, f"computing for more than {LIMIT_MS} ms in more than one round: {again}"
