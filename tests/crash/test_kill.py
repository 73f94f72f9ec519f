"""kill -9 in the middle of a mixed load, restart, hold the store against what was acknowledged; again and again on the same
data directory, with `ingot check --deep` now and then. INGOT_CRASH_ROUNDS sets how often (make test: 20; make torture-kill: 1,000),
INGOT_CRASH_SEED what happens.

SIGKILL proves recovery code, not durability: the page cache survives it."""

import os
import random
import time

import load
import quick
from ingot import SANITIZED, run_ingot

ROUNDS = int(os.environ.get("INGOT_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("INGOT_CRASH_SEED", "20261122"))
WORKERS = 6
CHECK_EACH = 20   # rounds between deep checks
LEAST = 5         # operations that must be acknowledged a round before the kill, so that a slow machine is loaded, too


def check_deep(server):
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def run_until_killed(server, books, seed, rng):
    """One load that ends in a kill; returns how many operations were acknowledged."""
    workers = [load.Worker(quick.of(server), b, seed) for b in books]
    for w in workers:
        w.start()
    deadline = time.monotonic() + 120
    while sum(w.acknowledged for w in workers) < LEAST and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.4))
    server.kill()
    for w in workers:
        w.join(120)
        assert not w.is_alive()
        assert w.failure is None, f"round {seed}: {w.failure!r}"
    return sum(w.acknowledged for w in workers)


def test_kill_during_mixed_load(start_server):
    server = start_server(**load.SETTINGS)
    load.make_buckets(quick.of(server))
    rng = random.Random(SEED)
    books = [load.Book(n) for n in range(WORKERS)]
    acknowledged = early = 0
    began = time.monotonic()
    for number in range(1, ROUNDS + 1):
        acknowledged += run_until_killed(server, books, SEED + number, rng)
        if rng.random() < 0.2:  # killed again while it opens
            server.spawn()
            time.sleep(rng.uniform(0, 0.1))
            server.kill()
            early += 1
        server.check_output()
        server.start()
        load.verify(quick.of(server), books)
        if number % CHECK_EACH == 0:
            server.stop()
            check_deep(server)
            server.start()
    print(f"kill: {ROUNDS} kills under load, {early} more while opening, {acknowledged} operations acknowledged, "
          f"none lost, {time.monotonic() - began:.0f} s")
    assert acknowledged > LEAST * ROUNDS
    server.stop()
    check_deep(server)


def test_recover_without_index(start_server):
    """The index directory is deleted: `ingot recover` brings every object back from log and extents."""
    server = start_server(**load.SETTINGS)
    load.make_buckets(quick.of(server))
    books = [load.Book(n) for n in range(WORKERS)]
    for number in range(2 if SANITIZED else 6):
        run_until_killed(server, books, number, random.Random(number))
        server.start()
        load.verify(quick.of(server), books)
    server.kill()
    before = sorted(p.name for p in server.data.iterdir())
    assert "index" in before, before
    for path in sorted((server.data / "index").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (server.data / "index").rmdir()
    done = run_ingot("recover", f"--data={server.data}", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    server.start()
    load.verify(quick.of(server), books)
    server.stop()
    check_deep(server)
