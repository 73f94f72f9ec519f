#!/usr/bin/env python3
"""Include hygiene: no file includes upward across the layers, and every header compiles alone.

Usage: check-includes.py [CC]; prints a line a finding, exit code 1 when there are some."""

import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# A file includes its own module, those of its own tier, and lower tiers.
TIERS = [
    ["base", "sys"],
    ["hash"],
    ["xml"],
    ["rt"],
    ["body"],
    ["metrics"],
    ["config"],
    ["http"],
    ["store"],
    ["object"],
    ["api", "auth", "iam"],
    ["bench"],
    ["server"],
    ["cmd"],
]
# Lower, and yet none of its business: the store and the objects know nothing of the wire, of settings or of XML.
FORBIDDEN = {
    "store": {"http", "config", "metrics", "xml"},
    "object": {"http", "config", "metrics", "xml"},
    "http": {"config", "metrics", "xml"},
    "api": {"config", "metrics"},
    "auth": {"config", "metrics", "store"},
    "iam": {"config", "metrics", "store", "http"},
}
TIER_OF = {module: i for i, tier in enumerate(TIERS) for module in tier}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def layer_findings():
    for path in sorted(p for p in SRC.rglob("*") if p.suffix in (".c", ".h", ".def")):
        module = path.relative_to(SRC).parts[0]
        if module not in TIER_OF:
            yield f"{path.relative_to(ROOT)}: the layer of '{module}' is not known; add it to TIERS"
            continue
        for name in INCLUDE.findall(path.read_text()):
            other = name.split("/")[0]
            if not (SRC / name).exists():
                yield f"{path.relative_to(ROOT)}: \"{name}\" is not a path below src/"
            elif TIER_OF.get(other, 99) > TIER_OF[module] or other in FORBIDDEN.get(module, ()):
                yield f"{path.relative_to(ROOT)}: {module} may not include {name}"


def compile_alone(cc, header):
    command = [cc, "-fsyntax-only", "-std=c17", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-DINGOT_VERSION=\"0\"",
               f"-I{SRC}", "-isystem", "/usr/share/include/llhttp", "-include", "base/banned.h", "-x", "c", "-"]
    text = f'#include "{header.relative_to(SRC)}"\n'
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return f"{header.relative_to(ROOT)} does not compile alone:\n{result.stderr}" if result.returncode else None


def main():
    cc = sys.argv[1] if len(sys.argv) > 1 else "gcc"
    findings = list(layer_findings())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        findings += [f for f in pool.map(lambda h: compile_alone(cc, h), sorted(SRC.rglob("*.h"))) if f]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


sys.exit(main())
