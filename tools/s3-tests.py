#!/usr/bin/env python3
"""Run ceph/s3-tests against a fresh server: tools/s3-tests.py CHECKOUT [--python PY] [--filter EXPR] [PYTEST ARGS]

CHECKOUT is a clone of the suite outside this repository. PY is a Python that has the suite's requirements; without it a
virtual environment is made below build/. Prints how many cases of test_s3.py passed and, for each group of cases (the words
after `test_` that several share), how many did not; the names go to build/s3-tests.txt."""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "wire"))

DEFAULT_FILTER = "not fails_on_aws and not bucket_logging and not cloud_transition and not cloud_restore"
ACCOUNTS = {  # section → access key, secret key, canonical id, display name, e-mail
    "s3 main": ("S3TESTSMAINKEY000001", "main-secret-of-the-s3-tests-suite-000001", "a" * 64, "M. Tester", "tester@example.com"),
    "s3 alt": ("S3TESTSALTKEY0000002", "alt-secret-of-the-s3-tests-suite-0000002", "b" * 64, "john.doe", "john.doe@example.com"),
    "s3 tenant": ("S3TESTSTENANTKEY0003", "tenant-secret-of-the-s3-tests-suite-0003", "c" * 64, "tenanted", "tenanted@example.com"),
    "iam": ("S3TESTSIAMKEY0000004", "iam-secret-of-the-s3-tests-suite-0000004", "d" * 64, "iam.user", "iam@example.com"),
    "iam root": ("S3TESTSROOTKEY000005", "root-secret-of-the-s3-tests-suite-000005", "e" * 64, "root.one", "one@example.com"),
    "iam alt root": ("S3TESTSROOTKEY000006", "root-secret-of-the-s3-tests-suite-000006", "f" * 64, "root.two", "two@example.com"),
}


def write_accounts(path):
    rows = [{"access-key": a, "secret-key": s, "canonical-id": c, "display-name": d, "account": f"{n:012d}"}
            for n, (a, s, c, d, _) in enumerate(ACCOUNTS.values(), 1)]
    path.write_text(json.dumps(rows))
    path.chmod(0o600)


def write_conf(path, address):
    host, port = address
    lines = ["[DEFAULT]", f"host = {host}", f"port = {port}", "is_secure = False", "ssl_verify = False", "[fixtures]",
             "bucket prefix = s3tests-{random}-", "iam name prefix = s3-tests-", "iam path prefix = /s3-tests/"]
    for section, (access, secret, canonical, name, mail) in ACCOUNTS.items():
        lines += [f"[{section}]", f"display_name = {name}", f"user_id = {canonical}", f"email = {mail}", "api_name = us-east-1",
                  f"access_key = {access}", f"secret_key = {secret}"]
        if section == "s3 tenant":
            lines.append("tenant = testx")
        if section == "s3 main":
            lines += ["kms_keyid = testkey-1", "kms_keyid2 = testkey-2", "lc_debug_interval = 10"]
    path.write_text("\n".join(lines) + "\n")


def suite_python(checkout, given):
    if given:
        return given
    venv = ROOT / "build" / "s3-tests-venv"
    if not (venv / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "-r", checkout / "requirements.txt", "pytest-timeout"], check=True)
        (venv / "done").touch()
    return str(venv / "bin" / "python")


def results(junit):
    """name → passed | skipped | failed"""
    out = {}
    for case in ET.parse(junit).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        out[case.get("name")] = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    return out


def report(found):
    groups = collections.defaultdict(collections.Counter)
    for name, verdict in found.items():
        words = name.split("[")[0].removeprefix("test_").split("_")
        groups["_".join(words[:2])][verdict] += 1
    total = collections.Counter(found.values())
    for group, counts in sorted(groups.items(), key=lambda g: (-g[1]["failed"], g[0])):
        if counts["failed"]:
            print(f"{counts['failed']:4} of {sum(counts.values()):3} fail  {group}")
    (ROOT / "build" / "s3-tests.txt").write_text("".join(f"{v} {n}\n" for n, v in sorted(found.items())))
    print(f"test_s3.py: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("checkout", type=pathlib.Path)
    p.add_argument("--python")
    p.add_argument("--filter", default=DEFAULT_FILTER, help="pytest's -m; '' runs all")
    o, rest = p.parse_known_args()  # what is not ours goes on to pytest
    suite = o.checkout / "s3tests" / "functional" / "test_s3.py"
    if not suite.exists():
        sys.exit(f"s3-tests: {suite} does not exist; give the path of a clone of ceph/s3-tests")
    from ingot import Server
    with tempfile.TemporaryDirectory() as temp:
        temp = pathlib.Path(temp)
        write_accounts(temp / "accounts.json")
        server = Server(test_accounts=temp / "accounts.json", access_log="false").start()
        try:
            write_conf(temp / "s3tests.conf", server.address)
            env = dict(os.environ, S3TEST_CONF=str(temp / "s3tests.conf"), S3_USE_SIGV4="1")
            subprocess.run([suite_python(o.checkout, o.python), "-m", "pytest", "-q", *(["--tb=no"] if not rest else []), "-p", "no:cacheprovider",
                            "--timeout=120", f"--junitxml={temp}/out.xml", *(["-m", o.filter] if o.filter else []), str(suite), *rest],
                           cwd=o.checkout, env=env, check=False)
            report(results(temp / "out.xml"))
            server.stop()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
