"""The access log: one line a request with its id, never a secret."""

import json
import os
import pty
import subprocess

import pytest
import requests

from ingot import BINARY, environment, run_ingot


def lines(server):
    return [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]


def requests_of(server):
    return [line for line in lines(server) if line["msg"] == "request"]


@pytest.mark.smoke
def test_one_line_a_request_with_its_id(start_server):
    s = start_server()
    s3 = s.client()
    made = s3.create_bucket(Bucket="logged")
    put = s3.put_object(Bucket="logged", Key="a/\u00fc\nb", Body=b"x" * 5000)
    with pytest.raises(s3.exceptions.NoSuchKey) as none:
        s3.get_object(Bucket="logged", Key="none")
    s.stop()
    rows = requests_of(s)
    assert len(rows) == 3
    ids = [r["ResponseMetadata"]["RequestId"] for r in (made, put, none.value.response)]
    assert [r["id"] for r in rows] == ids
    assert [r["op"] for r in rows] == ["CreateBucket", "PutObject", "GetObject"]
    assert [r["status"] for r in rows] == [200, 200, 404]
    assert [r["error"] for r in rows] == ["", "", "NoSuchKey"]
    assert (rows[1]["bucket"], rows[1]["key"], rows[1]["who"]) == ("logged", "a/\u00fc\nb", s.access_key)
    assert rows[1]["in"] > 5000 and rows[1]["ms"] > 0 and rows[1]["remote"].startswith("127.0.0.1:")


def test_no_secret_and_no_signature_reaches_the_log(start_server):
    s = start_server(log_level="debug")
    s3 = s.client()
    s3.create_bucket(Bucket="quiet")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "quiet", "Key": "k"})
    assert requests.put(url, data=b"x", timeout=20).status_code == 200
    assert requests.get(s.endpoint + "/quiet/k?X-Amz-Signature=deadbeef&broken=%zz", timeout=20).status_code >= 400
    s.stop()
    text = s.output()
    signature = url.split("X-Amz-Signature=")[1].split("&")[0]
    assert s.secret_key not in text and signature not in text and "Signature" not in text and "deadbeef" not in text


def test_probes_are_not_logged_and_the_log_can_be_off(start_server):
    s = start_server(access_log="false")
    s.client().list_buckets()
    requests.get(s.endpoint + "/-/ready", timeout=20)
    s.stop()
    assert requests_of(s) == []


def test_text_form(start_server):
    s = start_server(log_format="text")
    s.client().list_buckets()
    s.stop()
    row = [line for line in s.output().splitlines() if " op=ListBuckets" in line]
    assert len(row) == 1 and "status=200" in row[0] and not row[0].startswith("{")


@pytest.mark.parametrize("terminal", [True, False])
def test_text_for_a_terminal_json_otherwise(tmp_path, terminal):
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = [BINARY, "server", "--store=memory", "--listen=127.0.0.1:0", f"--data={tmp_path}"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=writer) as process:
        os.close(writer)
        said = b""
        while b"serving" not in said or not said.endswith(b"\n"):
            said += os.read(reader, 4096)
        process.terminate()
        try:
            while more := os.read(reader, 4096):
                said += more
        except OSError:  # the other end of a terminal has closed
            pass
        assert process.wait(60) == 0
    os.close(reader)
    rows = [line for line in said.decode().splitlines() if line]
    assert rows and all(line.startswith("{") != terminal for line in rows), rows
    if not terminal:
        assert [json.loads(line)["msg"] for line in rows][-1] == "stopped"


def test_a_warning_for_a_readable_secret(tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text("access-key = AKFILE\nsecret-key = not-so-secret\n")
    conf.chmod(0o644)
    done = run_ingot("config", "--config", conf)
    assert done.returncode == 0
    assert done.stderr == f"ingot: {conf} holds secret-key and may be read by others; chmod 600 it\n"
