#!/usr/bin/env python3
"""Plant classic bugs one at a time; the test that each names must fail.

Usage: mutants.py [NAME...]   (parts of the names of tests/mutants/*.patch; none: all)

A patch begins with three lines: "Mutant:" what is wrong, "Build:" make targets, "Test:" a command. The patches are applied to
a copy of the tree, one after another; before them each test must pass there."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))
TEST_SECONDS = 1800
JOBS = str(os.cpu_count() or 2)


def fields(patch):
    head = patch.read_text().split("\n\n", 1)[0]
    return dict(line.split(": ", 1) for line in head.splitlines())


def copy_tree(to):
    ignore = shutil.ignore_patterns(".git", "build", ".venv", "__pycache__", "data")
    shutil.copytree(ROOT, to, ignore=ignore, symlinks=True)


def run(command, tree, seconds, shell=False):
    """(exit code, output); 124 when it takes too long."""
    env = {**os.environ, "CCACHE_NOHASHDIR": "1"}
    with subprocess.Popen(command, cwd=tree, shell=shell, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as process:
        try:
            output = process.communicate(timeout=seconds)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return 124, process.communicate()[0]


def build(tree, targets):
    return run(["make", "--no-print-directory", f"-j{JOBS}", *targets.split()], tree, 1800)


def apply(tree, patch, *options):
    return run(["patch", "-p1", "--no-backup-if-mismatch", "-s", *options, "-i", str(patch)], tree, 60)


def sound(tree, patches):
    """Without a mutant every test passes."""
    for targets, test in sorted({(f["Build"], f["Test"]) for f in map(fields, patches)}):
        code, output = build(tree, targets)
        if code == 0:
            code, output = run(test, tree, TEST_SECONDS, shell=True)
        if code != 0:
            print(f"FAIL  without a mutant: {test}\n{output[-4000:]}")
            return False
    return True


def caught(tree, patch):
    what = fields(patch)
    began = time.monotonic()
    code, output = apply(tree, patch)
    if code == 0:
        code, output = build(tree, what["Build"])
    if code != 0:
        print(f"FAIL  {patch.stem}: it does not apply or build\n{output[-4000:]}", flush=True)
        return False
    code, output = run(what["Test"], tree, TEST_SECONDS, shell=True)
    apply(tree, patch, "-R")
    good = code not in (0, 124)
    print(f"{'ok' if good else 'FAIL':4}  {patch.stem:36} {'caught' if good else 'NOT CAUGHT'} by {what['Test']}"
          f"  {time.monotonic() - began:.0f} s", flush=True)
    if not good:
        print(output[-2000:])
    return good


def main(names):
    patches = [p for p in PATCHES if not names or any(n in p.stem for n in names)]
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="ingot-mutants-"))
    try:
        tree = scratch / "tree"
        copy_tree(tree)
        if not patches or not sound(tree, patches):
            return 1
        missed = [p.stem for p in patches if not caught(tree, p)]
    finally:
        shutil.rmtree(scratch)
    print(f"{len(patches) - len(missed)} mutants caught, {len(missed)} not")
    return 1 if missed else 0


sys.exit(main(sys.argv[1:]))
