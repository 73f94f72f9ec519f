"""Canaries: secrets of every kind go in, on the ways that work and on those that fail, and none comes out in a log, an
answer, a metric, a debug page, or the last words of a server that is killed by a fault. Nor can other users read the data."""

import base64
import os
import pathlib
import signal
import stat
import subprocess

import pytest
import requests

from ingot import SANITIZED, STORE, run_ingot

pytestmark = pytest.mark.once
SECRET = "canary/secret+0123456789/abcdefghijklmno"
TOKEN = "canarytoken" * 8
CUSTOMER_KEY = base64.b64encode(b"canary-customer-key-of-32-bytes!").decode()
BAD_SIGNATURE = "ca4a2f" * 10 + "abcd"


def exercise(s):
    """Requests good and bad; returns the signatures that were sent and what was answered."""
    s3 = s.client(secret_key=SECRET)
    s3.create_bucket(Bucket="quiet")
    sent, answers = [], []

    def ask(method, url, **more):
        answers.append(requests.request(method, url, timeout=20, **more).text)

    def presigned(key, **more):
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "quiet", "Key": key}, **more)
        sent.append(url.split("X-Amz-Signature=")[1].split("&")[0])
        return url

    ask("PUT", presigned("good"), data=b"x")
    ask("GET", presigned("wrong-method"))
    ask("PUT", presigned("changed") + "&extra=1", data=b"x")
    ask("PUT", presigned("token") + "&X-Amz-Security-Token=" + TOKEN, data=b"x")
    ask("PUT", presigned("zz") + "&bad=%zz", data=b"x")
    ask("PUT", presigned("long") + "&x=" + "y" * 20000, data=b"x")
    credential = f"AWS4-HMAC-SHA256 Credential={s.access_key}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={BAD_SIGNATURE}"
    for value in (credential, credential + ", Signature=" + SECRET, "AWS4-HMAC-SHA256 " + SECRET, "Basic " + SECRET, f"AWS {s.access_key}:{SECRET}"):
        ask("GET", s.endpoint + "/quiet/none", headers={"Authorization": value, "x-amz-security-token": TOKEN})
    algorithm = "x-amz-server-side-encryption-customer-"
    ask("PUT", s.endpoint + "/quiet/sse", data=b"x", headers={algorithm + "algorithm": "AES256", algorithm + "key": CUSTOMER_KEY})
    ask("GET", s.endpoint + "/-/nothing?X-Amz-Signature=" + BAD_SIGNATURE)
    with s.connect() as c:  # no request at all
        c.sendall(f"GET /{BAD_SIGNATURE}?X-Amz-Signature={SECRET} HTTP/9.9\r\nAuthorization: {SECRET}\r\n\r\n".encode())
        answers.append(c.recv(65536).decode(errors="replace"))
    answers += [requests.get(s.endpoint + page, timeout=20).text for page in ("/-/metrics", "/-/debug/fibers", "/-/ready")]
    return sent, answers


@pytest.mark.smoke
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_canary_comes_out(start_server, form):
    s = start_server(log_level="debug", log_format=form, env={"INGOT_SECRET_KEY": SECRET})
    sent, answers = exercise(s)
    s.signal(signal.SIGHUP)
    s.stop()
    log = s.output()
    assert "PutObject" in log  # it was written at all
    for canary in [SECRET, SECRET[:20], TOKEN, CUSTOMER_KEY, "X-Amz-Signature", "Credential=", *sent]:
        assert canary not in log, canary
    for answer in answers:  # a refusal may show the client its own signature, never a key
        assert SECRET not in answer and TOKEN not in answer.replace("&quot;", "")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer prints its own report")
def test_last_words_hold_no_secret(start_server):
    s = start_server(log_level="debug", env={"INGOT_SECRET_KEY": SECRET})
    exercise(s)
    s.signal(signal.SIGABRT)
    assert s.wait() == -signal.SIGABRT
    s.process = None
    assert SECRET not in s.output()


def test_a_broken_file_shows_no_secret(tmp_path):
    """The equals sign was forgotten; the value is too short; the name is wrong."""
    conf = tmp_path / "c.conf"
    conf.touch(0o600)
    for text in (f"secret-key {SECRET}\n", f"access-key = AK\nsecret-key = {SECRET} \x01\n", f"secretkey = {SECRET}\n"):
        conf.write_text(text)
        done = run_ingot("config", "--config", conf)
        assert done.returncode == 2 and SECRET not in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_secret_is_no_flag_and_no_command_line(start_server):
    s = start_server(env={"INGOT_SECRET_KEY": SECRET})
    assert SECRET.encode() not in pathlib.Path(f"/proc/{s.pid()}/cmdline").read_bytes()
    done = run_ingot("server", f"--secret-key={SECRET}")
    assert done.returncode == 2 and SECRET not in done.stderr


@pytest.mark.skipif(STORE == "memory", reason="nothing is on disk")
def test_others_can_read_nothing(start_server, tmp_path):
    """Even below a directory that is open to all."""
    data = tmp_path / "open"
    data.mkdir()
    data.chmod(0o755)
    s = start_server(data=data, own_keys=True)
    requests.get(s.endpoint + "/-/live", timeout=20)
    s.stop()
    for entry in data.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) & 0o077 == 0, entry
    fresh = start_server(data=tmp_path / "made" / "here")
    assert stat.S_IMODE(fresh.data.stat().st_mode) == 0o700


@pytest.mark.skipif(STORE == "memory" or os.geteuid() != 0, reason="only root may be somebody else")
def test_somebody_else_cannot_open_the_credentials(start_server, tmp_path):
    s = start_server(own_keys=True)
    os.chmod(s.temp, 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", str(s.data / "credentials")],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "secret-key" not in done.stdout
