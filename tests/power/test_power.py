"""Power cuts on ext4 and xfs: nothing that was acknowledged is lost, nothing else is there. Then the mutants: a flush left out
must be seen. POWER_STATES sets how many states over all recordings (make test: 100; make torture-power: 10,000), POWER_SEED the
first seed. A recording with bad states is kept, and the command that judges them again is printed."""

import os

import pytest

from recording import Recording, missing

STATES = int(os.environ.get("POWER_STATES", "100"))
SEED = int(os.environ.get("POWER_SEED", "1"))
LONG = STATES > 200
PER_RECORDING = 500 if LONG else STATES // 2
RECORDINGS = max(2, STATES // PER_RECORDING)

if missing():
    print(f"power: SKIPPED: {missing()}")
pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def line_of(output):
    return output.strip().splitlines()[-1] if output.strip() else "no output"


@pytest.mark.parametrize("number", range(RECORDINGS))
def test_states(number):
    fs = ("ext4", "xfs")[number % 2]
    backend = ("auto", "epoll")[number // 2 % 2]
    with Recording(fs) as r:
        r.load(SEED + number, steps=400 if LONG else 250, backend=backend)
        assert r.seen["segments"] > 3 and r.seen["tables"] > 3, r.seen
        code, output = r.replay(PER_RECORDING, SEED + number)
        print(f"power: seed {SEED + number}, {r.seen}: {line_of(output)}")
        if code:
            r.keep = True
            print(f"kept: {r.command(PER_RECORDING, SEED + number, 10)}")
        assert code == 0, output[-6000:]


# Where the flush is left out, and how many of the states must at least be bad. The archive is read by recovery alone.
MUTANTS = {"log": "/data/log/", "extents": "/data/extents/", "index": "/data/index/"}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_seen(name):
    states = 200 if LONG else 20
    with Recording("ext4") as r:
        r.load(SEED, steps=150, nosync=MUTANTS[name], backend="epoll")
        code, output = r.replay(states, SEED, deep_one_in=0)
        print(f"power: without the flush of {name}: {line_of(output)}")
        assert code == 1, output[-6000:]
