"""kill -9 in the middle of a mixed load, restart, hold the store against what was acknowledged; again and again on the same
data directory, then `ingot check --deep`. INGOT_CRASH_ROUNDS sets how often (make test: 20; long run: 1,000).

SIGKILL proves recovery code, not durability: the page cache survives it."""

import os
import random
import time

from ingot import run_ingot
from load import Worker, verify

ROUNDS = int(os.environ.get("INGOT_CRASH_ROUNDS", "20"))
WORKERS = 6


def test_kill_during_mixed_load(start_server):
    server = start_server()
    s3 = server.client()
    s3.create_bucket(Bucket="plain")
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    rng = random.Random(20261122)
    states = [None] * WORKERS
    acknowledged = 0
    for round_number in range(1, ROUNDS + 1):
        workers = [Worker(server, n, round_number, state=states[n]) for n in range(WORKERS)]
        for w in workers:
            w.start()
        time.sleep(rng.uniform(0.05, 0.8))
        server.kill()
        for w in workers:
            w.join(60)
            assert not w.is_alive()
            assert w.failure is None, f"round {round_number}: {w.failure!r}"
        acknowledged += sum(w.acknowledged for w in workers)
        server.start()
        verify(server.client(), workers)
        states = [w.state for w in workers]
    print(f"{ROUNDS} kills, {acknowledged} operations acknowledged, none lost")
    assert acknowledged > 20 * ROUNDS
    server.stop()
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_recover_without_index(start_server):
    """The index directory is deleted: `ingot recover` brings every object back from log and extents."""
    server = start_server()
    s3 = server.client()
    s3.create_bucket(Bucket="plain")
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    workers = [Worker(server, n, 1) for n in range(WORKERS)]
    for w in workers:
        w.start()
    time.sleep(4)
    server.kill()
    for w in workers:
        w.join(60)
        assert w.failure is None, repr(w.failure)
    before = sorted(p.name for p in server.data.iterdir())
    assert "index" in before, before
    for path in sorted((server.data / "index").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (server.data / "index").rmdir()
    done = run_ingot("recover", f"--data={server.data}", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    server.start()
    verify(server.client(), workers)
    server.stop()
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
