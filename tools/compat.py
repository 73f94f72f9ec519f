#!/usr/bin/env python3
"""Write docs/compatibility/s3.md from the table of operations and the results of the wire tests.

Usage: compat.py [--check] REPORT.xml...

An operation works when at least one test that is marked with it (pytest.mark.op) passed and none failed. The reports are
JUnit files of pytest. --check writes nothing and fails when the page would change."""

import pathlib
import re
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "src" / "api" / "operations.def"
ROUTER = ROOT / "src" / "api" / "route.c"
PAGE = ROOT / "docs" / "compatibility" / "s3.md"

ROW = re.compile(r'^OP\(\w+,\s*"(\w+)",\s*HTTP_(\w+),\s*API_(\w+),\s*([\w |]+),\s*"([^"]*)"', re.M)
SCOPES = {"SERVICE": ("Service", "/"), "BUCKET": ("Buckets", "/bucket"), "OBJECT": ("Objects", "/bucket/key")}

INTRODUCTION = """# S3 operations

Written by `make compat` from the table of operations (`src/api/operations.def`) and the results of the wire tests
(`tests/wire`); do not edit. *works* means that tests which are marked with the operation ran and passed, and none failed.
"""

DEPARTURES = """## Headers that ask for what is not there

Encryption (`x-amz-server-side-encryption*`), object lock (`x-amz-object-lock-*`), ACLs other than `private` and
`bucket-owner-full-control` (`x-amz-acl`, `x-amz-grant-*`), `x-amz-write-offset-bytes`, the storage classes `GLACIER` and
`DEEP_ARCHIVE`, and object ownership other than `BucketOwnerEnforced` are refused by 501 NotImplemented, which names the
header. None is dropped in silence.

## Where this server departs from AWS

- `CreateBucket` without a location constraint makes the bucket in this server's region, whichever that is, and the
  constraint `us-east-1` is accepted there.
- `If-None-Match` on writes takes ETags besides `*`, and may stand beside `If-Match`.
- Bodies in `Transfer-Encoding: chunked` without a length are taken, up to what one request may have.
- The copy of a multipart object keeps its parts, its ETag and its checksums: bytes are shared, not copied. AWS makes one part
  of it, with an ETag of its own.
- `DELETE` takes `x-amz-if-match-size` and `x-amz-if-match-last-modified-time`, which AWS has for directory buckets alone.
- User metadata that is not ASCII comes back as an RFC 2047 word of the UTF-8 that was sent; AWS takes the bytes for Latin-1.
- `If-Range` is honoured, as RFC 9110 wants it.
- CRC32, CRC32C, CRC64NVME, SHA-1 and SHA-256 are the checksums; those that AWS added later are refused by name.
- A query parameter without a value that no operation knows is answered by 501 NotImplemented; AWS ignores it.
- Signature version 2 is refused everywhere.
"""


def rows():
    return [dict(zip(("name", "method", "scope", "dialects", "select"), m)) for m in ROW.findall(TABLE.read_text())
            if "API_S3" in m[3]]


def results(paths):
    """{operation: [passed, failed]}"""
    count = {}
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            bad = any(e.tag in ("failure", "error") for e in case)
            if case.find("skipped") is not None:
                continue
            for p in case.iter("property"):
                if p.get("name") == "op":
                    count.setdefault(p.get("value"), [0, 0])[bad] += 1
    return count


def request(row):
    conditions = row["select"].split("&") if row["select"] else []
    query = "&".join(c for c in conditions if not c.startswith("@"))
    headers = ", ".join(f"`{c[1:]}`" for c in conditions if c.startswith("@"))
    return f"`{row['method']} {SCOPES[row['scope']][1]}{'?' + query if query else ''}`" + (f" with {headers}" if headers else "")


def state(count):
    passed, failed = count
    if failed:
        return f"fails: {failed} of {passed + failed} tests"
    return f"works ({passed} test{'s' if passed != 1 else ''})" if passed else "not shown by a test"


def absent(table):
    """Sub-resources that the router knows and no row selects."""
    names = re.search(r"sub_resources\[\] = \{(.*?)\};", ROUTER.read_text(), re.S).group(1)
    selected = {c for r in table for c in r["select"].split("&")}
    return [n for n in re.findall(r'"([^"]+)"', names) if n not in selected]


def page(table, count):
    lines = [INTRODUCTION]
    for scope, (title, _) in SCOPES.items():
        lines += [f"## {title}", "", "| Operation | Request | State |", "|---|---|---|"]
        lines += [f"| {r['name']} | {request(r)} | {state(count.get(r['name'], [0, 0]))} |" for r in table if r["scope"] == scope]
        lines.append("")
    names = ", ".join(f"`{n}`" for n in absent(table))
    lines += ["## Sub-resources that are not there", "", f"Answered by 501 NotImplemented on every method: {names}.", "", DEPARTURES]
    return "\n".join(lines)


def main(arguments):
    check = "--check" in arguments
    reports = [a for a in arguments if a != "--check"]
    if not reports or any(a.startswith("-") for a in reports):
        sys.exit(__doc__)
    table, count = rows(), results(reports)
    unknown = sorted(set(count) - {r["name"] for r in table})
    if unknown:
        sys.exit(f"compat.py: tests are marked with operations that the table has not: {', '.join(unknown)}")
    text = page(table, count)
    if check:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"compat.py: {PAGE.relative_to(ROOT)} is out of date; run make compat")
        return
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    works = sum(1 for r in table if count.get(r["name"], [0, 0])[0] and not count[r["name"]][1])
    print(f"{PAGE.relative_to(ROOT)}: {works} of {len(table)} operations work")


if __name__ == "__main__":
    main(sys.argv[1:])
