#!/usr/bin/env python3
"""Nothing is there for nothing: every row of a table is used, every function of a header has a caller in the program.

  settings   read by something other than src/config; one that may be reloaded is applied by server_apply
  metrics    counted or sampled
  errors     given by something other than the table's own code
  functions  declared in a header and used by some source beside their definition (tests do not count)

Usage: check-live.py; prints a line a finding, exit code 1 when there are some."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
COMMENT = re.compile(r"/\*.*?\*/", re.S)
TEXT = re.compile(r'"(?:\\.|[^"\\\n])*"')

# Kept on purpose, each with its reason; the simulator (sim.h) and injected faults (sys_fault_*) are driven by tests alone.
EXPECTED = {
    **dict.fromkeys(["err_cos_code", "hmac_sha1"], "the COS dialect, whose column errors.def has"),
    **dict.fromkeys(["bucket_get_config", "bucket_set_config"], "configurations of buckets, which come as rows of operations.def"),
    **dict.fromkeys(["arena_defer", "rt_cond_signal", "rt_pwrite", "body_of_bytes"], "the half of its pair that only tests use"),
    **dict.fromkeys(["memory_blob_corrupt", "blob_cache_remove", "extents_get_live", "arena_used"], "how tests break and see what no caller may"),
}


def read(path):
    return TEXT.sub('""', COMMENT.sub("", path.read_text()))


def ids(table, macro):
    return re.findall(rf"^{macro}\((\w+),", (SRC / table).read_text(), re.M)


def words(text):
    return re.findall(r"\w+", text)


def findings():
    sources = {p: read(p) for p in sorted([*SRC.rglob("*.[chS]"), *SRC.rglob("*.cc")])}
    code = {p: set(words(t)) for p, t in sources.items()}

    def used(word, outside):
        return any(word in have for p, have in code.items() if outside not in p.parents)

    for row in ids("config/settings.def", "SETTING"):
        if row != "CONFIG" and not used(f"SET_{row}", SRC / "config"):
            yield f"src/config/settings.def: nothing reads {row}"
    for row in ids("metrics/metrics.def", "METRIC"):
        if not used(f"METRIC_{row}", SRC / "metrics"):
            yield f"src/metrics/metrics.def: nothing counts {row}"
    for row in ids("base/errors.def", "ERR"):
        if row != "OK" and not any(f"ERR_{row}" in have for p, have in code.items() if p.name not in ("errors.c", "errors.h")):
            yield f"src/base/errors.def: nothing gives {row}"
    times = {}
    for text in sources.values():
        for word in words(text):
            times[word] = times.get(word, 0) + 1
    # A prototype, at the start of a line or after what qualifies it.
    prototype = re.compile(r"^(?!static|typedef|#)[a-z][\w \*]*?[ \*](\w+)\([^;{}]*?\)(?:\s*__attribute__\(\(.*?\)\))?;", re.M)
    for path, text in sources.items():
        if path.suffix != ".h":
            continue
        for name in prototype.findall(text):
            # Once declared, once defined.
            if times[name] <= 2 and name not in EXPECTED and not name.startswith("sys_fault_") and path.name != "sim.h":
                yield f"{path.relative_to(ROOT)}: {name} has no caller"


def main():
    found = list(findings())
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main())
