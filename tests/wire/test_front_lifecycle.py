"""Start, readiness, drain, cut, reload; two servers; addresses; how little it needs."""

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests

from ingot import SANITIZED, STORE, Server, run_ingot

engine_only = pytest.mark.skipif(STORE == "memory", reason="a store in memory keeps nothing")


class SlowPut:
    """A PUT whose body comes in two halves."""

    def __init__(self, server, bucket, key, body):
        url = server.client().generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
        self.body, self.half = body, len(body) // 2
        self.socket = server.connect()
        target = url[len(server.endpoint):]
        host = server.endpoint.split("//")[1]
        self.socket.sendall(f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        self.socket.sendall(body[:self.half])

    def finish(self):
        self.socket.sendall(self.body[self.half:])
        return self.read()

    def read(self):
        answer = b""
        while chunk := self.socket.recv(65536):
            answer += chunk
        self.socket.close()
        return answer


def ready(server):
    return requests.get(server.endpoint + "/-/ready", timeout=5)


def refused(server):
    try:
        server.connect().close()
        return False
    except ConnectionError:
        return True


def eventually(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def running(server):
    """Requests that the server works on, the asking one left out."""
    page = requests.get(server.endpoint + "/-/metrics", timeout=20).text
    return int(re.search(r"^ingot_requests_running (\d+)$", page, re.M).group(1)) - 1


# ---- starting ----

def test_while_it_opens_only_health_answers(tmp_path):
    """A file of accounts that cannot be read yet, a pipe, holds the start at its last step."""
    pipe, path = tmp_path / "accounts", tmp_path / "ingot.sock"
    os.mkfifo(pipe)
    s = Server(listen=["127.0.0.1:0", f"unix:{path}"], test_accounts=pipe)
    try:
        s.spawn()

        def listens():
            with socket.socket(socket.AF_UNIX) as u:
                return u.connect_ex(str(path)) == 0

        eventually(listens)

        def ask(target):
            with socket.socket(socket.AF_UNIX) as u:
                u.connect(str(path))
                u.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return b"".join(iter(lambda: u.recv(65536), b"")).lower()

        assert ask("/-/live").startswith(b"http/1.1 200 ")
        answer = ask("/-/ready")
        assert answer.startswith(b"http/1.1 503 ") and answer.endswith(b"opening the store\n")
        answer = ask("/bucket/key")
        assert answer.startswith(b"http/1.1 503 ") and b"<code>serviceunavailable</code>" in answer and b"\r\nretry-after: 1\r\n" in answer
        assert b"ingot_ready 0\n" in ask("/-/metrics")
        assert not s.ready_file.exists()
        with open(pipe, "w", encoding="ascii"):
            pass  # no accounts in it: the start fails in one line
        assert s.wait(60) == 3
        assert f"ingot: test-accounts: {pipe}" in s.output()
        s.check_output()
    finally:
        s.remove()


# ---- ending ----

@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_finishes_what_runs_and_takes_nothing_new(start_server, number):
    s = start_server(drain_time="20s")
    s.client().create_bucket(Bucket="drained")
    put = SlowPut(s, "drained", "k", b"whole" * 1000)
    idle = s.connect()
    eventually(lambda: running(s) == 1)
    s.signal(number)
    eventually(lambda: refused(s))
    assert idle.recv(100) == b""  # idle connections are closed
    assert s.process.poll() is None
    answer = put.finish()
    assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close\r\n" in answer.lower()
    assert s.wait(60) == 0
    assert not s.ready_file.exists()
    s.process = None
    if STORE == "engine":
        assert s.start().client().get_object(Bucket="drained", Key="k")["Body"].read() == b"whole" * 1000


@pytest.mark.parametrize("local", [False, True])
def test_a_drain_answers_who_stands_in_the_queue(start_server, tmp_path, local):
    """The server stands still while clients connect and ask: they are in the kernel's queue when the signal is seen."""
    path = str(tmp_path / "socket")
    s = start_server(listen=["127.0.0.1:0", f"unix:{path}"], drain_time="60s")
    s.signal(signal.SIGSTOP)
    clients = []
    for i in range(300):
        c = socket.socket(socket.AF_UNIX) if local else socket.socket()
        c.settimeout(60)
        c.connect(path if local else s.address)
        if i < 270:
            c.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n")
        clients.append(c)
    s.signal(signal.SIGTERM)
    s.signal(signal.SIGCONT)
    for c in clients[270:]:  # connected, and the request comes only now
        c.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n")
    for i, c in enumerate(clients):
        answer = b"".join(iter(lambda c=c: c.recv(65536), b"")).lower()
        assert answer.startswith(b"http/1.1 200 "), (i, answer)
        c.close()
    assert s.wait(60) == 0
    s.process = None


def test_readiness_is_false_while_the_load_balancer_looks_away(start_server):
    s = start_server(drain_delay="6s")
    s.client().create_bucket(Bucket="drained")
    s.signal(signal.SIGTERM)
    eventually(lambda: ready(s).status_code == 503)
    assert ready(s).text == "draining\n"
    s.client().put_object(Bucket="drained", Key="late", Body=b"still served")
    assert s.wait(60) == 0


def test_what_outlasts_the_drain_time_is_cut(start_server):
    s = start_server(drain_time="300ms")
    s.client().create_bucket(Bucket="drained")
    put = SlowPut(s, "drained", "k", b"x" * 1000)
    eventually(lambda: running(s) == 1)
    began = time.monotonic()
    s.signal(signal.SIGTERM)
    assert s.wait(60) == 1
    assert 0.2 < time.monotonic() - began < 30  # not the 60 s that a silent client has
    assert b" 200 " not in put.read()
    assert "are cut" in s.output()
    s.process = None


def test_a_second_signal_ends_at_once(start_server):
    s = start_server(drain_time="60s")
    s.client().create_bucket(Bucket="drained")
    put = SlowPut(s, "drained", "k", b"x" * 1000)
    eventually(lambda: running(s) == 1)
    s.signal(signal.SIGTERM)
    eventually(lambda: refused(s))
    s.signal(signal.SIGTERM)
    assert s.wait(40) == 1  # drain-time is longer
    assert b" 200 " not in put.read()
    s.process = None


@engine_only
def test_no_accepted_request_is_lost_by_a_drain_under_load(start_server):
    s = start_server(drain_time="20s")
    s.client().create_bucket(Bucket="drained")
    acknowledged, broken = [], []

    clients = [s.client() for _ in range(8)]

    def load(worker):
        s3 = clients[worker]
        for i in range(100000):
            try:
                s3.put_object(Bucket="drained", Key=f"{worker}/{i}", Body=b"%d" % i)
                acknowledged.append((f"{worker}/{i}", b"%d" % i))
            except Exception as e:  # the end: the connection was refused or closed between requests
                broken.append(repr(e))
                return

    threads = [threading.Thread(target=load, args=(w,)) for w in range(8)]
    for t in threads:
        t.start()
    eventually(lambda: len(acknowledged) > 50 or broken)
    s.signal(signal.SIGTERM)
    assert s.wait(60) == 0
    for t in threads:
        t.join(30)
    s.process = None
    assert len(acknowledged) > 20, broken
    # A request that was taken was answered: nobody saw half an answer.
    assert not [b for b in broken if "IncompleteRead" in b or "ReadTimeout" in b], broken
    s3 = s.start().client()
    for key, body in acknowledged:
        assert s3.get_object(Bucket="drained", Key=key)["Body"].read() == body


# ---- reloading ----

def log_lines(server):
    return [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]


def test_hup_takes_what_may_change_and_says_what_may_not(start_server, tmp_path):
    conf = tmp_path / "ingot.conf"
    conf.write_text("access-log = false\n")
    s = start_server(config=conf)
    s.client().list_buckets()
    conf.write_text("access-log = true\nregion = elsewhere\n")
    s.signal(signal.SIGHUP)
    eventually(lambda: any(line["msg"] == "reloaded" for line in log_lines(s)))
    s.client().list_buckets()
    eventually(lambda: any(line["msg"] == "request" for line in log_lines(s)))
    lines = log_lines(s)
    assert len([line for line in lines if line["msg"] == "request"]) == 1
    assert [(line["name"], line["value"]) for line in lines if line["msg"] == "setting changed"] == [("access-log", "true")]
    assert [line["name"] for line in lines if "restart" in line["msg"]] == ["region"]


def hup(server):
    """SIGHUP, and wait until it is done."""
    before = sum(line["msg"] == "reloaded" for line in log_lines(server))
    server.signal(signal.SIGHUP)
    eventually(lambda: sum(line["msg"] == "reloaded" for line in log_lines(server)) > before, 30)


def answer_to(server, request):
    """What comes back on a connection of its own until the server closes it, and after how long."""
    began = time.monotonic()
    with server.connect(timeout=60) as c:
        c.sendall(request)
        answer = b"".join(iter(lambda: c.recv(65536), b""))
    return answer, time.monotonic() - began


GET_LIVE = b"GET /-/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"


def test_hup_changes_http_limits_and_time_outs(start_server, tmp_path):
    conf = tmp_path / "ingot.conf"
    conf.write_text("")
    s = start_server(config=conf)
    many = GET_LIVE % b"".join(b"x-%d: y\r\n" % i for i in range(40))
    assert answer_to(s, many)[0].startswith(b"HTTP/1.1 200 ")

    conf.write_text("header-count = 20\nheader-timeout = 500ms\nmax-connections = 3\nrequest-memory = 2MiB\n")
    hup(s)
    changed = {line["name"]: line["value"] for line in log_lines(s) if line["msg"] == "setting changed"}
    assert changed == {"header-count": "20", "header-timeout": "500ms", "max-connections": "3", "request-memory": "2MiB"}
    assert answer_to(s, many)[0].startswith(b"HTTP/1.1 400 ")
    assert answer_to(s, b"GET / HT")[1] < 15  # header-timeout: 500 ms, not 20 s
    kept = [s.connect(timeout=60) for _ in range(3)]
    for c in kept:
        c.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert answer_to(s, GET_LIVE % b"")[0].startswith(b"HTTP/1.1 503 ")
    for c in kept:
        c.close()

    conf.write_text("idle-timeout = 300ms\nmax-requests = 1\nbody-timeout = 500ms\n")
    hup(s)
    eventually(lambda: answer_to(s, GET_LIVE % b"")[0].startswith(b"HTTP/1.1 200 "), 30)
    assert answer_to(s, many)[0].startswith(b"HTTP/1.1 200 ")  # back to the default
    assert answer_to(s, b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n")[1] < 30  # idle-timeout: not 60 s
    conf.write_text("body-timeout = 500ms\n")
    hup(s)
    s.client().create_bucket(Bucket="slow")
    put = SlowPut(s, "slow", "k", b"x" * 1000)
    began = time.monotonic()
    assert b"<Code>RequestTimeout</Code>" in put.read() and time.monotonic() - began < 20  # body-timeout: not 30 s


def test_hup_names_each_setting_that_waits_for_a_restart(start_server, tmp_path):
    conf = tmp_path / "ingot.conf"
    conf.write_text("")
    s = start_server(config=conf)
    conf.write_text("header-size = 64KiB\nloops = 3\nmin-part-size = 1MiB\nmax-memory = 64MiB\n")
    hup(s)
    lines = log_lines(s)
    assert [line["name"] for line in lines if line["msg"] == "setting changed"] == ["max-memory"]
    waits = [line for line in lines if line["msg"] == "setting changed, but holds only after a restart"]
    assert [line["name"] for line in waits] == ["loops", "header-size", "min-part-size"]
    assert {line["level"] for line in waits} == {"warn"}


def test_hup_with_a_bad_file_changes_nothing(start_server, tmp_path):
    conf = tmp_path / "ingot.conf"
    conf.write_text("log-level = info\n")
    s = start_server(config=conf)
    conf.write_text("log-level = loud\n")
    s.signal(signal.SIGHUP)
    eventually(lambda: any(line["msg"] == "settings not reloaded" for line in log_lines(s)))
    why = [line["why"] for line in log_lines(s) if line["msg"] == "settings not reloaded"]
    assert why == [f"log-level: 'loud' ({conf}:1) is not valid; allowed: debug, info, warn or error"]
    s.client().list_buckets()


def make_certificate(folder, name, also=""):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}{also}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def served_certificate(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(server.address, 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        return tls.getpeercert(True)


def test_hup_reloads_certificates(start_server, tmp_path):
    cert, key = make_certificate(tmp_path, "one.example")
    s = start_server(listen="https://127.0.0.1:0", tls=f"{cert}:{key}")
    assert s.endpoint.startswith("https://")
    first = served_certificate(s)
    make_certificate(tmp_path, "two.example")
    assert served_certificate(s) == first
    s.signal(signal.SIGHUP)
    eventually(lambda: served_certificate(s) != first)
    second = served_certificate(s)
    cert.write_text("no certificate")
    s.signal(signal.SIGHUP)
    eventually(lambda: any("certificates not reloaded" in line["msg"] for line in log_lines(s)))
    assert served_certificate(s) == second
    # Over this TLS the API works as over plain HTTP.
    import botocore.config
    import boto3
    s3 = boto3.client("s3", endpoint_url=s.endpoint, verify=False, region_name="us-east-1", aws_access_key_id=s.access_key,
                      aws_secret_access_key=s.secret_key, config=botocore.config.Config(s3={"addressing_style": "path"}))
    s3.create_bucket(Bucket="tls")
    s3.put_object(Bucket="tls", Key="k", Body=b"z" * 300000)
    assert s3.get_object(Bucket="tls", Key="k")["Body"].read() == b"z" * 300000


def test_a_certificate_that_cannot_be_read_stops_the_start(tmp_path):
    done = run_ingot("server", "--listen=https://127.0.0.1:0", f"--tls={tmp_path}/a:{tmp_path}/b", f"--data={tmp_path}/d")
    assert done.returncode == 3 and done.stderr.startswith("ingot: tls: ") and len(done.stderr.splitlines()) == 1


# ---- addresses ----

@pytest.mark.smoke
def test_ipv4_ipv6_and_a_unix_socket_at_once(start_server, tmp_path):
    path = tmp_path / "ingot.sock"
    s = start_server(listen=["127.0.0.1:0", "[::1]:0", f"unix:{path}"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", s.endpoints[0])
    assert re.fullmatch(r"http://\[::1\]:\d+", s.endpoints[1])
    assert s.endpoints[2] == f"unix:{path}"
    s.client().create_bucket(Bucket="one")
    assert [b["Name"] for b in s.client(endpoint=s.endpoints[1]).list_buckets()["Buckets"]] == ["one"]
    with socket.socket(socket.AF_UNIX) as u:
        u.connect(str(path))
        u.sendall(b"GET /-/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := u.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ") and b"ingot_requests_total" in answer
    s.stop()
    assert not path.exists()


def test_a_name_is_served_at_all_its_addresses(start_server):
    s = start_server(listen="localhost:0")
    want = {a[4][0] for a in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    if not usable_ipv6():
        want.discard("::1")
    assert {e.split("//")[1].rsplit(":", 1)[0].strip("[]") for e in s.endpoints} == want
    for endpoint in s.endpoints:
        assert requests.get(endpoint + "/-/live", timeout=20).text == "live\n"


def usable_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.parametrize("form", [":0", "*:0", "http://*:0"])
def test_all_addresses(start_server, form):
    s = start_server(listen=form)
    port = int(s.endpoint.rsplit(":", 1)[1])
    for host in ["127.0.0.1"] + (["[::1]"] if usable_ipv6() else []):
        assert requests.get(f"http://{host}:{port}/-/live", timeout=20).text == "live\n"


@pytest.mark.parametrize("text", ["localhost", "localhost:", "1.2.3:80", "[::1:80", "localhost:70000", "bad name:80", "::1:80"])
def test_a_bad_address_is_one_line_and_exit_code_2(tmp_path, text):
    done = run_ingot("server", f"--listen={text}", f"--data={tmp_path}/d")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"ingot: listen: '{text}' (--listen) is not valid; allowed: HOST:PORT, [V6]:PORT, :PORT, *:PORT or "
                           "unix:/path, after https:// for TLS\n")


def test_a_name_without_an_address_is_one_line_and_exit_code_2(tmp_path):
    done = run_ingot("server", "--listen=no-such-name.invalid:9000", f"--data={tmp_path}/d")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("ingot: listen: 'no-such-name.invalid:9000' names no address of this machine; allowed: a name that can be "
                           "looked up\n")


def test_a_taken_port_is_said_in_one_line(server, tmp_path):
    host, port = server.address
    done = run_ingot("server", f"--listen={host}:{port}", f"--data={tmp_path}/d")
    assert done.returncode == 3
    assert f"ingot: listen: cannot serve on {host}:{port}:" in done.stderr
    assert ready(server).status_code == 200


@engine_only
@pytest.mark.smoke
def test_a_second_server_on_the_same_data_is_refused(start_server):
    s = start_server()
    done = run_ingot("server", f"--data={s.data}", "--listen=127.0.0.1:0", "--log-level=error")
    assert done.returncode == 3
    assert done.stderr.startswith("ingot: ") and "in use" in done.stderr and str(s.pid()) in done.stderr
    assert done.stdout == ""
    for tool in ("check", "recover"):
        done = run_ingot(tool, f"--data={s.data}")
        assert done.returncode == 3 and "in use" in done.stderr
    s.client().create_bucket(Bucket="unharmed")


# ---- how little it needs ----

@engine_only
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is not ours")
def test_idle_memory_with_an_empty_store(start_server):
    s = start_server()
    ready(s)
    time.sleep(1)
    mib = s.rss_bytes() / 2**20
    print(f"idle RSS {mib:.1f} MiB")
    assert mib <= 32


@pytest.mark.skipif(SANITIZED, reason="a sanitizer starts slowly")
def test_start_to_the_first_answer(tmp_path):
    times = []
    while len(times) < 20 and min(times, default=9) >= 1.0:  # the best of what a busy machine gives
        s = Server(listen="127.0.0.1:0")
        began = time.monotonic()
        s.start()
        assert ready(s).status_code == 200
        times.append(time.monotonic() - began)
        s.stop()
        s.remove()
    print(f"exec to first 200: {min(times) * 1000:.0f} ms")
    assert min(times) < 1.0


def test_open_files_and_threads_do_not_grow_with_connections(start_server):
    s = start_server(max_connections=50)
    sockets = [s.connect() for _ in range(60)]
    # Those above the ceiling are told so before they have asked.
    eventually(lambda: len(select.select(sockets, [], [], 0)[0]) == 10)
    refused_ones = select.select(sockets, [], [], 0)[0]
    for c in sockets:
        c.settimeout(60)
        if c not in refused_ones:
            c.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert c.recv(4096).startswith(b"HTTP/1.1 503 " if c in refused_ones else b"HTTP/1.1 200 ")
        c.close()
    eventually(lambda: len(os.listdir(f"/proc/{s.pid()}/fd")) < 60)
