"""What README.md and the first start say is pasted as it stands, and works."""

import re
import shutil
import subprocess
import sys
import textwrap

import pytest

from ingot import ROOT, STORE, environment

pytestmark = [pytest.mark.once, pytest.mark.skipif(STORE == "memory", reason="a store in memory keeps no credentials")]
CLIENTS = ["awscli", "boto3", "rclone"]


def keys_of(server):
    return re.search(r"access key  (\S+)\n  secret key  (\S+)\n", server.output()).groups()


def from_readme(server, client):
    """The block below **client**, with this server's address and keys in their places."""
    block = re.search(rf"^\*\*{client}\*\*\n\n((?:    .*\n)+)", (ROOT / "README.md").read_text(), re.M).group(1)
    for key in keys_of(server):
        block = block.replace("…", key, 1)
    assert "…" not in block
    return textwrap.dedent(block).replace("http://127.0.0.1:9000", server.endpoint)


def from_printout(server, client):
    return textwrap.dedent(re.search(rf"^{client}:\n((?:  .*\n)+)", server.output(), re.M).group(1))


def paste(client, lines, home):
    """Into a shell, or into Python, of a user who has nothing set."""
    command = [sys.executable, "-"] if client == "boto3" else ["sh", "-eu"]
    env = environment({"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true"})
    done = subprocess.run(command, input=lines, env=env, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.smoke
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("source,shows", [(from_readme, {"awscli": "README.md", "boto3": "b'hello'", "rclone": "docs/architecture.md"}),
                                          (from_printout, {"awscli": "first", "boto3": "mine", "rclone": "mine"})])
def test_the_lines_to_paste_work(start_server, tmp_path, source, shows, client):
    if client != "boto3" and not shutil.which(client.replace("awscli", "aws"), path="/usr/bin:/bin"):
        pytest.skip(f"{client} is not installed")
    s = start_server(own_keys=True)
    if source is from_printout:
        s.client(*keys_of(s)).create_bucket(Bucket="mine")
    assert shows[client] in paste(client, source(s, client), tmp_path)


def test_who_listens_on_a_unix_socket_alone_is_given_keys_and_no_lines(start_server, tmp_path):
    s = start_server(own_keys=True, listen=f"unix:{tmp_path}/ingot.sock")
    assert all(keys_of(s)) and "aws " not in s.output()


def test_make_names_its_targets_and_readme_names_only_such():
    """README.md promises no target, command or file that is not there."""
    text = (ROOT / "README.md").read_text()
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    targets = set(re.findall(r"^  make (\S+)", told, re.M))
    assert {"run", "test", "test-fast", "build"} <= targets
    assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.M)) <= targets | {"help"}
    for path in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / path).exists(), path
