"""`ingot bench` against a server: what it counts is what the server counted; wrong bytes and errors are found; its forms."""

import json
import os
import pty
import re
import subprocess
import threading
import time

import pytest
import requests

from ingot import BINARY, ROOT, SANITIZED, STORE, environment, run_ingot
from test_front_lifecycle import make_certificate

pytestmark = pytest.mark.once
KEYS = {"INGOT_ACCESS_KEY": "INGOTTESTACCESSKEY00", "INGOT_SECRET_KEY": "a/test+secret/of+forty/characters+000000"}


def bench(server, *flags, code=0):
    """Runs it to its end; its JSON."""
    done = run_ingot("bench", f"--endpoint={server.endpoint}", "--objects=20", "--connections=3", "--warmup=0s", "--json=-", *flags, env=KEYS,
                     timeout=100)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def counted(server):
    page = requests.get(server.endpoint + "/-/metrics", timeout=20).text
    return {line.split('"')[1]: int(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith("ingot_request_duration_seconds_count")}


@pytest.mark.smoke
def test_a_mix_of_everything_is_counted_and_verified(start_server):
    s = start_server()
    said, table = bench(s, "--mix=put=3,get=4,head=2,list=1,delete=1,multipart=1", "--size=0,1KiB,300KiB", "--count=120", "--part-size=5MiB",
                        "--multipart-size=6MiB", "--list-keys=7")
    operations = said["operations"]
    assert set(operations) == {"put", "get", "head", "list", "delete", "multipart"} and said["connections"] == 3
    assert 110 <= sum(o["ops"] for o in operations.values()) <= 130  # those that run when the count is reached finish
    for name, o in operations.items():
        assert o["ops"] > 0 and o["errors"] == o["wrong"] == 0, name
        assert 0 < o["p50_ms"] <= o["p90_ms"] <= o["p99_ms"] <= o["p999_ms"] <= o["max_ms"] * 1.02 and o["ops_per_s"] > 0
        assert name in table
    for column in ("ops/s", "MB/s", "p50", "p90", "p99", "p99.9", "errors"):
        assert column in table
    # It left nothing behind.
    assert s.client().list_objects_v2(Bucket="ingot-bench").get("KeyCount") == 0
    assert not s.client().list_multipart_uploads(Bucket="ingot-bench").get("Uploads")


@pytest.mark.parametrize("operation,row", [("put", "PutObject"), ("get", "GetObject"), ("head", "HeadObject"), ("list", "ListObjectsV2"),
                                           ("delete", "DeleteObject"), ("multipart", "CompleteMultipartUpload")])
def test_it_made_as_many_requests_as_it_says(start_server, operation, row):
    s = start_server()
    said, _ = bench(s, f"--mix={operation}=1", "--count=15", "--objects=15", "--keep", "--multipart-size=1KiB")
    assert said["operations"][operation]["ops"] == 15
    prepared = 0 if operation in ("put", "multipart") else 15
    want = {"PutObject": prepared, row: 15}
    deadline = time.monotonic() + 30  # a request is counted after its answer went out
    while (seen := {name: counted(s).get(name, 0) for name in want}) != want:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def test_objects_that_are_there_already(start_server):
    """--existing puts and removes none, --overwrite makes none, --delimiter rolls up, --rate is not passed."""
    s = start_server()
    bench(s, "--mix=get=1", "--count=20", "--keep", "--prefix=deep/many/")
    began = time.monotonic()
    said, _ = bench(s, "--mix=put=1,get=1", "--existing", "--overwrite", "--prefix=deep/many/", "--count=60", "--rate=40")
    assert time.monotonic() - began > 1.4 and said["operations"]["put"]["ops"] > 0
    assert all(o["errors"] == o["wrong"] == 0 for o in said["operations"].values())
    assert s.client().list_objects_v2(Bucket="ingot-bench")["KeyCount"] == 20
    said, _ = bench(s, "--mix=list=1", "--existing", "--delimiter", "--prefix=deep/", "--count=5")
    assert said["operations"]["list"]["ops"] == 5
    said, _ = bench(s, "--mix=list=1", "--existing", "--delimiter", "--prefix=deep/many/", "--count=5", code=1)
    assert said["operations"]["list"]["wrong"] == 5


def test_a_duration_ends_it(start_server):
    said, _ = bench(start_server(), "--duration=1s", "--warmup=100ms", "--connections=2")
    assert said["seconds"] >= 1 and said["operations"]["get"]["ops"] > 0


def test_wrong_bytes_and_errors_are_counted_and_are_exit_code_1(start_server):
    s = start_server()
    s3 = s.client()
    bench(s, "--mix=get=1", "--count=1", "--keep", "--size=1KiB")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="ingot-bench")["Contents"]]
    stop = threading.Event()

    def spoil():  # the prepared objects are replaced by bytes of the same length, over and over
        while not stop.is_set():
            for key in keys:
                s3.put_object(Bucket="ingot-bench", Key=key, Body=b"#" * 1024)

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        said, text = bench(s, "--mix=get=1", "--size=1KiB", "--duration=3s", "--keep", code=1)
    finally:
        stop.set()
        thread.join()
    got = said["operations"]["get"]
    assert got["wrong"] > 0 and got["errors"] >= got["wrong"] and "bytes that differ from what was stored" in text
    said, _ = bench(s, "--mix=get=1", "--size=1KiB", "--count=5", "--no-verify", "--keep")
    assert said["operations"]["get"]["errors"] == 0


def test_a_server_that_is_not_there_or_refuses_is_exit_code_3(start_server):
    done = run_ingot("bench", "--endpoint=http://127.0.0.1:1", env=KEYS)
    assert (done.returncode, done.stderr) == (3, "ingot: bench: http://127.0.0.1:1: cannot reach it: Connection refused\n")
    s = start_server()
    done = run_ingot("bench", f"--endpoint={s.endpoint}", "--secret-key=another-one", env=KEYS)
    assert done.returncode == 3 and "status 403" in done.stderr


@pytest.mark.smoke
@pytest.mark.parametrize("flag,line", [
    ("--mix=get=1,fly=2", "mix: 'get=1,fly=2' (--mix) is not valid; allowed: OP=WEIGHT,... with put get head list delete multipart"),
    ("--connections=0", "connections: '0' (--connections) is not valid; allowed: a number from 1 to 4096"),
    ("--size=4QB", "size: '4QB' (--size) is not valid; allowed: up to 16 sizes such as 4KiB,1MiB"),
    ("--endpoint=ftp://x", "endpoint: 'ftp://x' (--endpoint) is not valid; allowed: http://HOST:PORT or https://HOST:PORT"),
    ("--nonsense=1", "--nonsense: is not known here; --help lists the options"),
    ("stray", "stray: is not understood; options start with --, --help lists them"),
])
def test_a_bad_option_is_one_line_and_exit_code_2(flag, line):
    done = run_ingot("bench", flag, env=KEYS)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ingot: {line}\n")


def test_over_tls_and_by_virtual_host(start_server, tmp_path):
    cert, key = make_certificate(tmp_path, "s3.example.com", ",IP:127.0.0.1")
    s = start_server(listen="https://127.0.0.1:0", tls=f"{cert}:{key}", domain="127.0.0.1")
    flags = ("--mix=put=1,get=2,list=1,delete=1,multipart=1", "--count=40", "--multipart-size=10KiB", "--insecure")
    for style in ((), ("--virtual-host",)):
        said, _ = bench(s, *flags, *style)
        assert sum(o["ops"] for o in said["operations"].values()) >= 40
        assert not any(o["errors"] for o in said["operations"].values())
    done = run_ingot("bench", f"--endpoint={s.endpoint}", "--count=3", "--objects=3", env={**KEYS, "SSL_CERT_FILE": str(cert)})
    assert done.returncode == 0, done.stderr  # by its own certificate, which names the address
    done = run_ingot("bench", f"--endpoint={s.endpoint}", env=KEYS)  # a certificate that nobody vouches for
    assert done.returncode == 3 and done.stderr.startswith(f"ingot: bench: {s.endpoint}: cannot reach it")
    assert "InvalidBucketName" not in s.output()  # a path without its bucket was seen below the bucket's host


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's pace is not ours")
def test_progress_is_live_on_a_terminal(start_server):
    s = start_server()
    screen, terminal = pty.openpty()
    with subprocess.Popen([BINARY, "bench", f"--endpoint={s.endpoint}", "--duration=2s", "--warmup=0s", "--objects=5", "--connections=2"],
                          env=environment(KEYS), stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(screen, 4096):
                shown += chunk
        except OSError:  # the terminal's other end has closed
            pass
        assert process.wait(60) == 0
    os.close(screen)
    assert shown.count(b"ops/s") >= 3 and b"MB/s" in shown


@pytest.mark.skipif(STORE == "memory", reason="once is enough")
def test_presigned_urls_for_wrk_are_of_the_prepared_objects(start_server):
    s = start_server()
    done = run_ingot("bench", f"--endpoint={s.endpoint}", "--objects=3", "--size=100", "--presign", env=KEYS)
    urls = done.stdout.split()
    assert done.returncode == 0 and len(urls) == 3
    assert all(len(requests.get(s.endpoint + url, timeout=20).content) == 100 for url in urls)


def test_help_names_every_option():
    text = run_ingot("bench", "--help").stdout
    table = (ROOT / "src/bench/options.c").read_text().split("static const struct row rows[]")[1].split("};")[0]
    names = re.findall(r'^    \{"([^"]+)"', table, re.M)
    assert len(names) > 20 and not [name for name in names if "--" + name not in text]
