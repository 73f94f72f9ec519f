"""Start, one request, SIGTERM at any moment, also while the server still opens: each time it leaves with status 0, what was
acknowledged is there at the next start, and rounds by the thousand leave no more files than a few. INGOT_TERMINATE_ROUNDS sets
how often (make test: 20; make torture-terminate: 2,000), INGOT_TERMINATE_SEED when."""

import os
import pathlib
import random
import signal
import time

import pytest

import load
import quick
from ingot import run_ingot

ROUNDS = int(os.environ.get("INGOT_TERMINATE_ROUNDS", "20"))
SEED = int(os.environ.get("INGOT_TERMINATE_SEED", "20261123"))
BOUND = 60        # seconds to leave: what takes some milliseconds on an idle machine
KEYS = 20
MORE_FILES = 20   # than after the first rounds; of RocksDB's tables some come and go


def takes_signals(server):
    """SIGTERM no longer ends the process by itself: it is blocked, with SIGHUP, which comes last, for the loop to read. All
    signals are blocked before the program begins and while a thread is made."""
    for line in pathlib.Path(f"/proc/{server.pid()}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            blocked = int(line.split()[1], 16)
            return [bool(blocked >> (s - 1) & 1) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)] == [True, True, False]
    return False


def wait_until(server, condition):
    deadline = time.monotonic() + BOUND
    while not condition():
        assert server.process.poll() is None, server.output()[-8000:]
        assert time.monotonic() < deadline, server.output()[-8000:]
        time.sleep(0.0005)


def files_of(server):
    return sorted(str(p.relative_to(server.data)) for p in server.data.rglob("*") if p.is_file())


def terminate(server):
    """One SIGTERM: status 0 within the bound, or the test fails."""
    server.stop(timeout=BOUND)


def while_opening(server, rng):
    server.spawn()
    wait_until(server, lambda: takes_signals(server))
    time.sleep(rng.choice((0, rng.uniform(0, 0.005), rng.uniform(0, 0.1))))
    terminate(server)


def after_one_request(server, rng, stored):
    server.start()
    client = quick.of(server, timeout=BOUND)
    key = f"/plain/k{rng.randrange(KEYS)}"
    answer = client.call("GET", key)
    assert answer.status == 404 if stored.get(key) is None else answer.body == stored[key], (key, answer)
    body = rng.randbytes(rng.choice((10, 3000, 20000, 200000)))
    load.expect(client.call("PUT", key, body=body), 200)
    stored[key] = body
    client.close()
    time.sleep(rng.choice((0, rng.uniform(0, 0.05))))
    terminate(server)


@pytest.mark.parametrize("settings", [{}, load.SETTINGS], ids=["usual", "small"])
def test_start_and_terminate(start_server, settings):
    server = start_server(**{**settings, "access_log": "false"})
    load.expect(quick.of(server).call("PUT", "/plain"), 200)
    terminate(server)
    rng, stored, opening, most, slowest = random.Random(SEED), {}, 0, 0, 0.0
    rounds = (ROUNDS + 1) // 2
    for number in range(rounds):
        began = time.monotonic()
        if rng.random() < 0.4:
            opening += 1
            while_opening(server, rng)
        else:
            after_one_request(server, rng, stored)
        slowest = max(slowest, time.monotonic() - began)
        files = files_of(server)
        if number < 5:
            most = max(most, len(files))
        assert len(files) <= most + MORE_FILES, files
        # RocksDB begins one at each opening; those of earlier openings hold nothing.
        assert sum(f.startswith("index/") and f.endswith(".log") for f in files) <= 2, files
    server.start()
    client = quick.of(server)
    for key, body in stored.items():
        assert client.call("GET", key).body == body, key
    client.close()
    terminate(server)
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"terminate: {rounds} rounds, {opening} while opening, {len(files)} files, the slowest round {slowest:.2f} s")
