"""The paths below /-/: liveness, readiness, metrics, fibers."""

import re
import subprocess

import botocore.handlers
import pytest
import requests

from ingot import PROMTOOL, STORE


def get(server, path, **kw):
    return requests.get(server.endpoint + path, timeout=20, **kw)


@pytest.mark.smoke
def test_live_and_ready(server):
    assert (get(server, "/-/live").status_code, get(server, "/-/live").text) == (200, "live\n")
    answer = get(server, "/-/ready")
    assert (answer.status_code, answer.text) == (200, "ready\n")
    assert answer.headers["cache-control"] == "no-store"
    assert requests.head(server.endpoint + "/-/ready", timeout=20).status_code == 200


def test_only_get_and_head_and_only_known_names(server):
    answer = requests.put(server.endpoint + "/-/ready", data=b"x", timeout=20)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert get(server, "/-/nothing").status_code == 404


def test_the_paths_can_be_no_bucket(server):
    s3 = server.client()
    s3.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    with pytest.raises(s3.exceptions.ClientError) as e:
        s3.create_bucket(Bucket="-")
    assert e.value.response["Error"]["Code"] == "InvalidBucketName"


def test_under_a_buckets_host_they_are_objects(start_server):
    s = start_server(domain="s3.example.com")
    inside = {"Host": "bucket.s3.example.com"}
    assert get(s, "/-/live", headers=inside).status_code == 403
    assert get(s, "/-/live", headers={"Host": "s3.example.com"}).status_code == 200


@pytest.mark.smoke
def test_metrics_are_clean_and_count(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000)
    for _ in range(3):
        s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="none")
    answer = get(server, "/-/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=answer.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def value(row):
        found = re.search("^" + re.escape(row) + r" (\S+)$", answer.text, re.M)
        assert found, row
        return float(found.group(1))

    assert value('ingot_requests_total{operation="GetObject",status="200"}') >= 3
    assert value('ingot_requests_total{operation="GetObject",status="404"}') >= 1
    assert value('ingot_request_errors_total{error="NO_SUCH_KEY"}') >= 1
    assert value('ingot_request_duration_seconds_count{operation="PutObject"}') >= 1
    assert value('ingot_request_received_bytes_total{operation="PutObject"}') >= 1000
    assert value('ingot_request_sent_bytes_total{operation="GetObject"}') >= 3000
    for name in ("ingot_connections_open", "ingot_fibers", "ingot_work_queue_depth", "process_resident_memory_bytes"):
        value(name)
    if STORE == "engine":
        assert value("ingot_commits_total") >= 1
        assert value("ingot_commit_batch_size_count") >= 1
        assert value("ingot_disk_total_bytes") >= value("ingot_disk_available_bytes") > 0
        assert value("ingot_corrupt_blocks_total") == 0


def test_the_debug_page_lists_fibers(server):
    answer = get(server, "/-/debug/fibers")
    assert answer.status_code == 200
    assert re.search(r"^loop=\d+ fiber=\S+ state=\S+", answer.text, re.M), answer.text


def test_requests_that_change_something_give_way_to_those_that_read(start_server):
    s = start_server()
    s3 = s.client()
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="large", Body=bytes(48 << 20))
    host, port = s.address

    def begin(operation, key, more=""):
        """A request that does not come to its end: its body is not sent, or its answer not read."""
        url = s3.generate_presigned_url(operation, Params={"Bucket": "box", "Key": key})
        c = s.connect()
        c.sendall(f"{operation[:3].upper()} {url[len(s.endpoint):]} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}\r\n".encode())
        assert c.recv(9).startswith(b"HTTP/1.1 ")
        return c

    def fibers():
        lines = get(s, "/-/debug/fibers").text.splitlines()
        return [line for line in lines if 'note="reading a request body"' in line], [line for line in lines if 'note="sending a body"' in line]

    held = [begin("put_object", "slow", "Content-Length: 5\r\nExpect: 100-continue\r\n"), begin("get_object", "large")]
    writes, reads = fibers()
    assert len(writes) == 1 and " patient " in writes[0], writes
    assert len(reads) == 1 and " patient " not in reads[0], reads
    for c in held:
        c.close()
