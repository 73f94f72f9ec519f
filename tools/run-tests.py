#!/usr/bin/env python3
"""Run test suites one after another and count every case; the last line is "N passed, N failed[, N skipped]".

Usage: run-tests.py fast | all | NAME...   (run-tests.py list names them)

What failed is printed in full below its suite; what was skipped with its reason. Unit programs run one a core, and so do the
suites of a stage, which are printed in their order."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PYTHON = ROOT / ".venv" / "bin" / "python"
JOBS = str(os.cpu_count() or 2)


class Outcome:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.notes = []  # printed below the suite's line

    def case(self, ok, name, output=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.notes.append(f"FAILED {name}\n{output[-12000:]}")


def run(command, timeout, env=None):
    """(exit code, output); a command that takes too long is killed and has code -1."""
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as process:
        try:
            output = process.communicate(timeout=timeout)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return -1, process.communicate()[0] + f"\nkilled after {timeout} s"


def make(*arguments):
    return ["make", "--no-print-directory", f"-j{JOBS}", *arguments]


def one(command, timeout=600, env=None):
    """A suite of one case: the command's exit code."""
    def suite(name):
        outcome = Outcome()
        code, output = run(command, timeout, env)
        outcome.case(code == 0, name, output)
        return outcome
    return suite


def unit_programs(variant, only):
    sources = sorted((ROOT / "tests").glob("unit/**/*_test.c")) + sorted((ROOT / "tests").glob("conformance/**/*_test.c"))
    programs = [BUILD / variant / s.relative_to(ROOT).with_suffix("") for s in sources]
    return [p for p in programs if not only or re.search(only, str(p))]


CMOCKA_COUNT = re.compile(r"^\[ *(PASSED|FAILED|SKIPPED|ERROR) *\] (\d+) test", re.M)
CMOCKA_SKIPPED = re.compile(r"^\[ *SKIPPED *\] (?!\d)(.*)", re.M)


def count_cmocka(outcome, program, code, output):
    counts = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0, "ERROR": 0}
    for kind, number in CMOCKA_COUNT.findall(output):
        counts[kind] += int(number)
    failed = counts["FAILED"] + counts["ERROR"]
    if code != 0 and failed == 0:
        failed = 1  # a crash, a sanitizer's finding, a time-out
    outcome.passed += counts["PASSED"]
    outcome.failed += failed
    outcome.skipped += counts["SKIPPED"]
    name = program.relative_to(ROOT)
    if failed:
        outcome.notes.append(f"FAILED {name}\n{output[-12000:]}")
    elif counts["PASSED"] + counts["SKIPPED"] == 0:
        outcome.case(False, name, "it ran no test\n" + output)
    for reason in set(CMOCKA_SKIPPED.findall(output)):
        outcome.notes.append(f"skipped {name}: {reason}")


SUPPRESSIONS = {
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0",
    "TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp",
}


def units(variant, only=None):
    """The C unit and conformance programs of one variant; each is built and run by itself."""
    def suite(name):
        outcome = Outcome()
        programs = unit_programs(variant, only)
        code, output = run(make(f"VARIANT={variant}", *[str(p.relative_to(ROOT)) for p in programs]), 900)
        if code != 0:
            outcome.case(False, f"{name}: build", output)
            return outcome
        with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
            for program, (code, output) in zip(programs, pool.map(lambda p: run([str(p)], 600, SUPPRESSIONS), programs)):
                count_cmocka(outcome, program, code, output)
        return outcome
    return suite


def count_junit(outcome, path):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [e for e in case if e.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            outcome.case(False, name, "\n".join((e.get("message") or "") + "\n" + (e.text or "") for e in bad))
        elif skipped is not None:
            outcome.skipped += 1
            outcome.notes.append(f"skipped {name}: {skipped.get('message')}")
        else:
            outcome.passed += 1


def pytest(folder, variant="release", backend="auto", timeout=900, marks=None, env=None):
    """A folder of pytest cases against one build and back-end."""
    def suite(name):
        outcome = Outcome()
        report = BUILD / "test" / f"{name.replace(' ', '-')}.xml"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        command = [str(PYTHON), "-m", "pytest", f"tests/{folder}", f"--junitxml={report}", *(["-m", marks] if marks else [])]
        code, output = run(command, timeout, {"INGOT_TEST_VARIANT": variant, "INGOT_TEST_BACKEND": backend, **(env or {})})
        if report.exists():
            count_junit(outcome, report)
        if code != 0 and outcome.failed == 0:
            outcome.case(False, f"{name}: pytest left with {code}", output)
        return outcome
    return suite


def power(name):
    """Power cuts: its programs need FUSE's headers; without them the tests say that they are skipped."""
    if pathlib.Path("/usr/include/fuse3/fuse.h").exists():
        code, output = run(make("power-bins"), 900)
        if code != 0:
            outcome = Outcome()
            outcome.case(False, f"{name}: build", output)
            return outcome
    return pytest("power")(name)


def fuzz(seconds):
    """Every fuzz target for some seconds; each is a case."""
    def suite(name):
        outcome = Outcome()
        targets = [p.stem.removeprefix("fuzz_") for p in sorted((ROOT / "tests" / "fuzz").glob("fuzz_*.c"))]
        code, output = run(make("VARIANT=fuzz", "fuzz-bins"), 900)
        if code != 0:
            outcome.case(False, f"{name}: build", output)
            return outcome
        for target in targets:
            code, output = run(make("fuzz", f"FUZZ={target}", f"FUZZ_SECONDS={seconds}"), seconds + 120)
            outcome.case(code == 0, f"fuzz {target}", output)
        return outcome
    return suite


# Processors that have a switch of their own: compiler, and what runs its programs here.
PROCESSORS = {
    "x86-64": ("gcc", []) if os.uname().machine == "x86_64" else ("x86_64-linux-gnu-gcc", ["qemu-x86_64-static"]),
    "aarch64": ("gcc", []) if os.uname().machine == "aarch64" else ("aarch64-linux-gnu-gcc", ["qemu-aarch64-static"]),
}


def switch(name):
    """src/rt/switch.S on every processor that it knows; skipped where the tools for another one are missing."""
    outcome = Outcome()
    for processor, (compiler, runner) in PROCESSORS.items():
        missing = [tool for tool in (compiler, *runner) if not shutil.which(tool)]
        if missing:
            outcome.skipped += 1
            outcome.notes.append(f"skipped {name} {processor}: {missing[0]} is not installed")
            continue
        program = BUILD / "test" / f"switch-{processor}"
        program.parent.mkdir(parents=True, exist_ok=True)
        code, output = run([compiler, "-std=c17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(program),
                            "tests/cross/switch.c", "src/rt/switch.S"], 120)
        if code == 0:
            code, output = run([*runner, str(program)], 120)
        outcome.case(code == 0 and output.startswith("ok"), f"{name} {processor}", output)
    return outcome


def simulation(cuts):
    """Power cuts of the whole server in simulation (tests/sim)."""
    def suite(name):
        outcome = Outcome()
        program = BUILD / "release" / "tests" / "sim" / "torture"
        code, output = run(make("VARIANT=release", str(program.relative_to(ROOT))), 900)
        if code == 0:
            code, output = run([str(program), "--cuts", str(cuts)], 900)
        outcome.case(code == 0, f"{cuts} power cuts in simulation", output)
        return outcome
    return suite


def missing_tests(page):
    """Files and tests (`tests/x.c::test_y`) that the page names and the tree does not have."""
    missing = []
    for path, test in re.findall(r"`(tests/[\w./-]+?)(?:::(\w+))?`", page.read_text()):
        file = ROOT / path
        if not file.exists() or (test and not re.search(rf"\b{test}\(", file.read_text())):
            missing.append(f"{path}::{test}" if test else path)
    return missing


def docs(name):
    """Pages made by the program say what the program says; tests that a page names exist."""
    outcome = Outcome()
    code, output = run([str(BUILD / "release" / "ingot"), "config", "--markdown"], 20)
    outcome.case(code == 0 and output == (ROOT / "docs" / "settings.md").read_text(), "docs/settings.md",
                 "it is not what `build/ingot config --markdown` prints; run `make docs`")
    missing = missing_tests(ROOT / "docs" / "reliability.md")
    outcome.case(not missing, "docs/reliability.md", "it names what does not exist:\n" + "\n".join(missing))
    return outcome


def mutants_fit(name):
    """Each planted bug (tests/mutants) still applies; `make mutants` builds and runs them."""
    outcome = Outcome()
    for patch in sorted((ROOT / "tests" / "mutants").glob("*.patch")):
        code, output = run(["patch", "-p1", "--dry-run", "-s", "-i", str(patch)], 20)
        outcome.case(code == 0, f"{name} {patch.stem}", output)
    return outcome


def format_check():
    files = [str(p.relative_to(ROOT)) for top in ("src", "tests") for p in sorted((ROOT / top).rglob("*.[ch]"))]
    return one(["clang-format", "--dry-run", "-Werror", *files], 120)


SUITES = {
    "build gcc": one(make("VARIANT=release", "build/release/ingot"), 900),
    "build clang": one(make("VARIANT=clang", "build/clang/ingot"), 900),
    "build asan": one(make("VARIANT=asan", "build/asan/ingot"), 900),
    "format": format_check(),
    "includes": one(["python3", "tools/check-includes.py"], 120),
    "live": one(["python3", "tools/check-live.py"], 60),
    "tidy": one(make("tidy"), 900),
    "docs": docs,
    "mutants fit": mutants_fit,
    "switch": switch,
    "unit release": units("release"),
    "unit asan": units("asan"),
    "unit tsan": units("tsan", r"/(rt|store|conformance|metrics|object)/"),
    "wire smoke": pytest("wire", marks="smoke"),
    "wire epoll": pytest("wire", backend="epoll"),
    "compatibility": one([str(PYTHON), "tools/compat.py", "--check", "build/test/wire-epoll.xml"], 60),
    "wire uring": pytest("wire", backend="uring"),
    "wire asan epoll": pytest("wire", variant="asan", backend="epoll"),
    "wire asan uring": pytest("wire", variant="asan", backend="uring"),
    "simulation": simulation(2000),
    "crash": pytest("crash", timeout=600),
    "faults": pytest("faults", timeout=600),
    "power": power,
    "linear": pytest("linear"),
    "overload": pytest("overload", timeout=600),
    "clients": pytest("clients", timeout=900),
    "soak": pytest("soak"),
    "fuzz": fuzz(5),
}
FAST = ["build gcc", "format", "includes", "live", "docs", "mutants fit", "unit release", "wire smoke"]
ALL = [name for name in SUITES if name != "wire smoke"]

# Suites that may run side by side: they build nothing, and each leaves a core idle most of the time.
BESIDE = [{"wire epoll", "wire uring"}, {"wire asan epoll", "wire asan uring"}, {"crash", "linear"}, {"faults", "clients"}]


def stages(names):
    """The names in their order; those that may run side by side in one stage, at the place of the first."""
    left = list(names)
    while left:
        group = next((g for g in BESIDE if left[0] in g), {left[0]})
        stage = [n for n in left if n in group]
        left = [n for n in left if n not in group]
        yield stage


def timed(name):
    began = time.monotonic()
    outcome = SUITES[name](name)
    return outcome, time.monotonic() - began


def say(name, outcome, seconds):
    mark = "FAIL" if outcome.failed else "ok"
    skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
    print(f"{mark:4}  {name:16} {outcome.passed:5} passed, {outcome.failed} failed{skipped}  {seconds:7.1f} s", flush=True)
    for note in outcome.notes:
        print("      " + note.replace("\n", "\n      "), flush=True)


def run_stage(names):
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(timed, names))
    for name, (outcome, seconds) in zip(names, results):
        say(name, outcome, seconds)
    return [outcome for outcome, _ in results]


def main(arguments):
    names = {"fast": FAST, "all": ALL}.get(" ".join(arguments), arguments)
    if not names or names == ["list"]:
        print("\n".join(SUITES))
        return 2 if not names else 0
    unknown = [n for n in names if n not in SUITES]
    if unknown:
        print(f"run-tests.py: '{unknown[0]}' is unknown; `run-tests.py list` names the suites", file=sys.stderr)
        return 2
    outcomes = [outcome for stage in stages(names) for outcome in run_stage(stage)]
    passed, failed, skipped = (sum(getattr(o, k) for o in outcomes) for k in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
