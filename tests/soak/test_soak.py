"""Does any loop block? A mixed load on a server whose watchdog reports every turn of a loop over LIMIT with its stack. README.md says
what is loaded and which reports fail the test.

INGOT_SOAK_SECONDS sets how long a round lasts, INGOT_SOAK_ROUNDS how many there are for each back-end, INGOT_SOAK_MINUTES, if it is
set, how long all take together instead."""

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
SECONDS = int(os.environ.get("INGOT_SOAK_SECONDS", "20" if MINUTES else "1"))
ROUNDS = int(os.environ.get("INGOT_SOAK_ROUNDS", "3"))
LIMIT_MS = 5
WORKERS = 2
BIG = 20000 if MINUTES else 2000  # keys of the bucket that is listed and deleted
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


CALLS = re.compile(  # of the C library, in which a thread waits for another one or for a device
    r"pthread_\w+|sem_\w+|(__)?lll_lock_wait\w*|syscall|malloc|calloc|realloc|free|v?f?open\w*|__open\w*|(__)?close|unlink\w*|rename\w*|f(data)?sync|sync_\w+|ftruncate\w*|"
    r"truncate\w*|fallocate\w*|posix_f\w+|write\w*|pwrite\w*|read|readv|pread|pread64|preadv\w*|mmap\w*|munmap|mprotect|madvise|f?stat\w*|"
    r"getdents\w*|opendir|readdir\w*|mkdir\w*|poll|select|nanosleep|clock_nanosleep|usleep|sleep|getaddrinfo")
COPIES = re.compile(r"recv\w*|send\w*|preadv2|preadv64v2")  # of sockets without blocking, of the page cache
OURS, INDEX, MACHINE = "ours", "index", "machine"


def cause(report):
    """Whose doing a report is; README.md has the rule."""
    named = [f for f in functions(report) if not f.startswith("0x")]
    innermost = named[0] if named else ""
    if report["computing-ms"] >= LIMIT_MS:
        return MACHINE if COPIES.fullmatch(innermost) or report["stack"] == "not taken" else OURS
    if report["sleeps"] == 0 or (not CALLS.fullmatch(innermost) and report["stack"] != "not taken"):
        return MACHINE
    return INDEX if any("rocksdb" in f for f in named[1:3]) else OURS


def functions(report):
    """From the innermost to the outermost; without a name what is not exported from a library."""
    return re.sub(r"\+0x[0-9a-f]+", "", report["stack"]).split(" < ")


def place(report):
    return f"{report['fiber']}: {' < '.join('(a library)' if f.startswith('0x') else f for f in functions(report)[:4])}"


class Reports:
    """What the watchdog said: by cause and place, the milliseconds and the rounds."""

    def __init__(self):
        self.found = collections.defaultdict(list)

    def take(self, text, number):
        """What a loop computed it counts itself; what else is long is the watchdog's to say."""
        for r in [json.loads(line) for line in text.splitlines() if '"msg":"loop ' in line]:
            computed = r["msg"] == "loop computed for long"
            if computed or (r["msg"] == "loop blocked" and r["computing-ms"] < LIMIT_MS):
                why = cause(r)
                self.found[why, "computing" if computed else "blocked", place(r)].append((r["computing-ms"] if computed else r["ms"], number))
                print(f"round {number}: {why}: {r['ms']} ms, {r['computing-ms']} of them computing, {r.get('sleeps', 0)} sleeps: {r['fiber']}: {r['stack'][:700]}")

    def table(self):
        for (why, kind, where), times in sorted(self.found.items(), key=lambda p: (p[0][0], -len(p[1]))):
            print(f"{why}: {kind}: {len(times)} times, the longest {max(times)[0]} ms: {where}")

    def again(self, kinds, least):
        """Places of ours that were reported in so many rounds: what the machine does comes anywhere."""
        return [key for key, times in self.found.items()
                if key[0] == OURS and key[1] in kinds and len({number for _, number in times}) >= least]


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
    assert not (reports.again(("computing", "blocked"), 2) if MINUTES else reports.again(("computing",), count))
