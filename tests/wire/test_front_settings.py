"""Every row of settings.def by every way in: flag, variable, file; and what each refuses, in one line."""

import json
import re

import pytest

from ingot import ROOT, run_ingot

pytestmark = pytest.mark.once
ROW = re.compile(r'^SETTING\((\w+), "([^"]+)", "[^"]+", (\w+), "([^"]*)", "([^"]*)", (\d+), (\d+), ([STRN| ]+),', re.M)
ROWS = [(name, kind, default, allowed, int(least), int(most), set(flags.replace(" ", "").split("|")))
        for _, name, kind, default, allowed, least, most, flags in ROW.findall((ROOT / "src/config/settings.def").read_text())]
NAMES = [row[0] for row in ROWS]
GOOD_TEXT = {"region": "eu-test-9", "access-key": "AKOTHER", "secret-key": "other-secret", "tls": "cert.pem:key.pem", "domain": "s3.example.com"}
BAD_TEXT = {"region": "Upper", "access-key": "x y", "secret-key": "short", "tls": "no-colon", "domain": ".dot"}


def good(row):
    """An allowed value that is not the default."""
    name, kind, default, allowed, least, most, _ = row
    if kind in ("STR", "SECRET", "LIST"):
        return GOOD_TEXT[name]
    if kind == "PATH":
        return "/tmp/ingot-no-such"
    if kind == "ADDRS":
        return "127.0.0.1:7,unix:/tmp/x"
    if kind == "BOOL":
        return "false" if default == "true" else "true"
    if kind == "ENUM":
        return next(word for word in allowed.split("|") if word != default)
    number = str(most if most else least)
    return {"UINT": number, "SIZE": number + "B", "TIME": f"{most // 1000000}ms"}[kind]


def bad(row):
    name, kind, _, _, _, most, _ = row
    if kind in ("STR", "SECRET", "LIST"):
        return BAD_TEXT[name]
    if kind == "PATH":
        return "x" * (most + 1)
    return {"ADDRS": "nowhere", "BOOL": "maybe", "ENUM": "other", "UINT": str(most + 1), "SIZE": str(most + 1),
            "TIME": f"{most // 1000000 + 1}ms"}[kind]


def variable(name):
    return "INGOT_" + name.upper().replace("-", "_")


def partner(name, how):
    """A key pair is given whole: the other half, by variable or file."""
    other = {"access-key": "secret-key", "secret-key": "access-key"}.get(name)
    if not other:
        return {} if how == "env" else ""
    return {variable(other): GOOD_TEXT[other]} if how == "env" else f"{other} = {GOOD_TEXT[other]}\n"


def effective(done, name):
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)[name]


def shown(row):
    return "********" if row[1] == "SECRET" else good(row)


def assert_refused(done, row, source):
    value = "********" if row[1] == "SECRET" else bad(row)[:200]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ingot: {row[0]}: '{value}' ({source}) is not valid; allowed: ")
    assert done.stderr.count("\n") == 1 and not done.stderr.endswith("allowed: \n")


def test_the_table_was_read_whole():
    assert NAMES == list(json.loads(run_ingot("config", "--json").stdout)) and len(NAMES) == len(set(NAMES)) > 30


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_by_flag(row):
    name, flag = row[0], "--" + row[0]
    if "N" in row[6]:
        done = run_ingot("config", f"{flag}={good(row)}")
        assert done.returncode == 2 and "is no flag" in done.stderr and good(row) not in done.stderr
        return
    if name == "config":  # names a file that must be there
        assert run_ingot("config", "--config=/tmp/ingot-no-such").returncode == 2
        return
    env = partner(name, "env")
    got = effective(run_ingot("config", "--json", *(["--tls=a:b"] if name == "listen" else []), f"{flag}={good(row)}", env=env), name)
    assert got == {"value": good(row), "from": flag}
    assert_refused(run_ingot("config", f"{flag}={bad(row)}", env=env), row, flag)
    done = run_ingot("check", f"{flag}={bad(row)}")  # a tool takes its own flags alone
    assert ("is not valid" if "T" in row[6] else "is not known here") in done.stderr and done.returncode == 2


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_by_variable(row, tmp_path):
    name, value = row[0], good(row)
    if name == "config":
        value = str(tmp_path / "c.conf")
        (tmp_path / "c.conf").write_text("")
    got = effective(run_ingot("config", "--json", env={variable(name): value, **partner(name, "env")}), name)
    assert got == {"value": value if name == "config" else shown(row), "from": variable(name)}
    assert_refused(run_ingot("config", env={variable(name): bad(row)}), row, variable(name))


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] != "config"], ids=NAMES[1:])
def test_by_file(row, tmp_path):
    conf = tmp_path / "c.conf"
    conf.touch(0o600)
    conf.write_text(f"# of this test\n{row[0]} = {good(row)}\n{partner(row[0], 'file')}")
    got = effective(run_ingot("config", "--json", "--config", conf), row[0])
    assert got == {"value": shown(row), "from": f"{conf}:2"}
    # A variable wins over the file.
    if row[1] not in ("SECRET",) and row[0] != "access-key":
        assert effective(run_ingot("config", "--json", "--config", conf, env={variable(row[0]): good(row)}), row[0])["from"] == variable(row[0])
    conf.write_text(f"{row[0]} = {bad(row)}\n")
    assert_refused(run_ingot("config", "--config", conf), row, f"{conf}:1")
