"""tools/gdb/ingot.py on a serving process and on its core file: live fibers, what each waits for, a parked one's stack."""

import os
import re
import shutil
import subprocess

import pytest
import requests

from ingot import BINARY, ROOT, SANITIZED

pytestmark = [pytest.mark.once, pytest.mark.timeout(400),
              pytest.mark.skipif(SANITIZED, reason="gdb and sanitizers do not mix"),
              pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")]
COMMANDS = ["-ex", "ingot fibers", "-ex", "ingot bt all"]


def gdb(*arguments):
    done = subprocess.run(["gdb", "-nx", "-batch", "-x", str(ROOT / "tools/gdb/ingot.py"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=110, check=False)
    if "ptrace: Operation not permitted" in done.stderr:
        pytest.skip("this machine does not let gdb trace")
    return done.stdout + done.stderr


def half_a_request(server):
    """A request whose body does not come: its fiber parks in the middle of PutObject."""
    server.client().create_bucket(Bucket="box")
    url = server.client().generate_presigned_url("put_object", Params={"Bucket": "box", "Key": "slow"})
    c = server.connect()
    host, port = server.address
    c.sendall(f"PUT {url[len(server.endpoint):]} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode())
    assert c.recv(100).startswith(b"HTTP/1.1 100 ")  # so it was let in
    return c


def assert_tells(text):
    fibers = re.findall(r"^ *\d+  loop \d+  \w+ +\d+ ms  .*$", text, re.M)
    assert f"{len(set(fibers))} fibers" in text, text
    body = [line for line in fibers if line.endswith("(reading a request body)")]
    assert body and " waiting " in body[0] and " waits for " in body[0], text
    assert re.search(r"#\d+ .* in (obj_put|s3_put_object) \(", text) and "in fiber_boot (" in text and "corrupt" not in text, text


def test_a_serving_process_and_its_core(start_server, tmp_path):
    s = start_server(body_timeout="300s")
    c = half_a_request(s)
    assert_tells(gdb("-p", s.pid(), *COMMANDS))
    assert requests.get(s.endpoint + "/-/live", timeout=20).status_code == 200  # it was only looked at
    core = tmp_path / "core"
    gdb("-p", s.pid(), "-ex", f"generate-core-file {core}")
    assert os.path.getsize(core) > 0
    c.sendall(b"12345")
    assert c.recv(1000).startswith(b"HTTP/1.1 200 ")
    s.stop()
    assert_tells(gdb(BINARY, core, *COMMANDS))  # from the file alone
