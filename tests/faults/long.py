"""The long form of test_each_call.py, whole: its tests in parts, some at the same time, each with servers of its own; then the
sums. `make torture-faults`; INGOT_FAULT_JOBS: how many at the same time (2)."""

import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PARTS = 24
JOBS = int(os.environ.get("INGOT_FAULT_JOBS", "2"))


def run(part, folder):
    """One part; whether it passed."""
    environment = {**os.environ, "INGOT_FAULT_RUNS": "all", "INGOT_FAULT_PART": f"{part}/{PARTS}",
                   "INGOT_FAULT_FIGURES": str(folder / f"{part}.json")}
    done = subprocess.run([sys.executable, "-m", "pytest", HERE / "test_each_call.py", "-s", "--timeout=0"], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(f"part {part} of {PARTS}:\n{done.stdout}", flush=True)
    return done.returncode == 0


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ingot-faults-") as temp, concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        folder = pathlib.Path(temp)
        passed = list(pool.map(lambda part: run(part, folder), reversed(range(PARTS))))
        sums = collections.defaultdict(collections.Counter)
        for path in folder.iterdir():
            for line in path.read_text().splitlines():
                numbers = json.loads(line)
                sums[numbers.pop("what")].update(numbers)
                sums["all"].update(numbers)
    for what in sorted(sums):
        print(f"{what}: {json.dumps(sums[what])}")
    print(f"{PARTS} parts, {passed.count(False)} failed, {(time.monotonic() - began) / 60:.0f} minutes")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
