"""Settings: one table feeds flags, variables, the file, `ingot config` and the documentation."""

import json

import pytest

from ingot import ROOT, run_ingot

pytestmark = pytest.mark.once
COMMANDS = ["server", "check", "recover", "bench", "keys", "config"]


@pytest.mark.smoke
@pytest.mark.parametrize("flag,line", [
    ("--log-level=loud", "log-level: 'loud' (--log-level) is not valid; allowed: debug, info, warn or error"),
    ("--max-memory=1", "max-memory: '1' (--max-memory) is not valid; allowed: a size from 16MiB to 1TiB (units KiB, MiB, GiB, TiB)"),
    ("--idle-timeout=soon", "idle-timeout: 'soon' (--idle-timeout) is not valid; allowed: a time from 100ms to 24h (units ms, s, m, h)"),
    ("--backend=sim", "backend: 'sim' (--backend) is not valid; allowed: auto, epoll or uring"),
    ("--nonsense=1", "--nonsense: is not known here; --help lists the options"),
    ("stray", "stray: is not understood; options start with --, --help lists them"),
])
def test_a_bad_value_is_one_line_and_exit_code_2(flag, line):
    done = run_ingot("server", flag)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ingot: {line}\n")


def test_a_bad_variable_and_a_bad_file_name_themselves(tmp_path):
    done = run_ingot("server", env={"INGOT_LOOPS": "many"})
    assert (done.returncode, done.stderr) == (
        2, "ingot: loops: 'many' (INGOT_LOOPS) is not valid; allowed: a number from 0 to 256\n")
    conf = tmp_path / "ingot.conf"
    conf.write_text("# fine\nregion = here\nworkers = 5000\n")
    done = run_ingot("config", "--config", conf)
    assert (done.returncode, done.stderr) == (
        2, f"ingot: workers: '5000' ({conf}:3) is not valid; allowed: a number from 0 to 1024\n")


def test_config_says_where_each_value_came_from(tmp_path):
    conf = tmp_path / "ingot.conf"
    conf.write_text("region = from-file\ndata = /file\nloops = 2\nsecret-key = a-secret-in-a-file\naccess-key = AKFILE\n")
    conf.chmod(0o600)
    done = run_ingot("config", "--json", "--config", conf, "--region=from-flag",
                     env={"INGOT_REGION": "from-env", "INGOT_DATA": "/env"})
    assert done.returncode == 0 and done.stderr == ""
    rows = json.loads(done.stdout)
    assert rows["region"] == {"value": "from-flag", "from": "--region"}
    assert rows["data"] == {"value": "/env", "from": "INGOT_DATA"}
    assert rows["loops"] == {"value": "2", "from": f"{conf}:3"}
    assert rows["drain-time"] == {"value": "30s", "from": "default"}
    assert rows["secret-key"]["value"] == "********"
    table = run_ingot("config", "--config", conf).stdout
    assert len(table.splitlines()) == len(rows) + 1
    assert "a-secret" not in table + done.stdout


def test_the_documentation_of_settings_is_current():
    assert run_ingot("config", "--markdown").stdout == (ROOT / "docs" / "settings.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_teaches_by_example(command):
    done = run_ingot(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count(f"  ingot {command}") >= 2  # examples
    assert max(len(line) for line in done.stdout.splitlines()) <= 120


@pytest.mark.smoke
def test_help_lists_the_commands_and_an_unknown_one_is_refused():
    text = run_ingot("help").stdout
    assert all(f"  {command}" in text for command in COMMANDS)
    done = run_ingot("serve")
    assert (done.returncode, done.stderr) == (2, "ingot: 'serve' is no command; `ingot help` lists them\n")
    assert run_ingot().returncode == 2
    assert run_ingot("version").stdout.startswith("ingot 0.")
