"""A disk that refuses a flush or a write of the log: the server says so in one clear line, serves reads, refuses writes, is not
ready; a restart opens and has every acknowledged write."""

import errno
import json
import os
import signal
import time

import botocore.exceptions
import pytest

from ingot import run_ingot
from iofault import INDEX, NAME, OPEN, OURS, SYNC, WRITE
from test_full_disk import BUCKET, PATIENCE, Model, check_deep, eventually, fill_some, metric, ready

SOME = (SYNC, 0), (SYNC, 1), (SYNC, 3), (WRITE, 0), (WRITE, 1), (OPEN, 0), (NAME, 0)
EACH = tuple((classes, at) for classes in (SYNC, WRITE, OPEN, NAME) for at in range(8))
NOT_READY = "the disk refused a write or flush: reads go on, writes have stopped until a restart\n"


def failed_lines(server):
    lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    return [line for line in lines if line["msg"].startswith("the store has failed and takes no more writes")]


def stop_failed(server):
    """SIGTERM to a server whose store has failed: it leaves in order, but with exit code 1."""
    server.signal(signal.SIGTERM)
    assert server.wait(PATIENCE) == 1, server.output()[-4000:]
    server.check_output()


def refuses(ask):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        ask()
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), e.value.response


def put(model, key, size):
    model.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * size)


def stopped_for_writes(server, model, step):
    """What holds from the failure on, and after a restart. `model` has no key that begins with "maybe"."""
    assert ready(server) == (503, NOT_READY)
    assert (metric(server, "ingot_store_failed"), metric(server, "ingot_ready")) == (1, 0)
    server.faults.off()  # the disk is well again, but what it lost is not known: writes stay refused
    for size in (100, 300000):
        refuses(lambda: put(model, "refused", size))
    refuses(lambda: model.s3.delete_object(Bucket=BUCKET, Key="before-1"))
    refuses(lambda: model.s3.create_bucket(Bucket="refused-bucket"))
    model.refused.add("refused")
    model.verify()  # reads and LIST go on, the failed write is not seen
    assert [line["step"] for line in failed_lines(server)] == [step]
    stop_failed(server)
    server.start()
    assert ready(server) == (200, "ready\n")
    # The write in flight may have reached the disk; whole, or not at all.
    maybe = [o["Key"] for o in server.client().list_objects_v2(Bucket=BUCKET).get("Contents", []) if o["Key"].startswith("maybe")]
    for key in maybe:
        body = server.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert set(body) <= {ord("x")}
        server.client().delete_object(Bucket=BUCKET, Key=key)
    model.verify()
    assert model.put("after", 1000) and model.put("after-large", 1 << 20)
    model.verify()
    server.stop()
    check_deep(server)


@pytest.mark.parametrize("size", [100, 300000])
def test_the_log_cannot_be_written(faulty_server, size):
    s = faulty_server()
    model = fill_some(s)
    put(model, "warm", 300000)
    model.delete("warm")
    # The log writes and flushes in one call; of a large body the extent is written before.
    s.faults.fail_all(errno.EIO, WRITE | SYNC if size == 100 else WRITE, OURS)
    if size == 100:
        refuses(lambda: put(model, "maybe", size))
        stopped_for_writes(s, model, "write the log")
        return
    # A write of an extent that fails is no flush: this object is refused, others are not.
    refuses(lambda: put(model, "refused-large", size))
    s.faults.off()
    model.refused.add("refused-large")
    assert ready(s) == (200, "ready\n")
    assert model.put("next", size)
    model.verify()
    s.stop()
    check_deep(s)


def test_an_extent_cannot_be_flushed(faulty_server):
    s = faulty_server()
    model = fill_some(s)
    s.faults.fail_all(errno.EIO, SYNC, OURS)
    refuses(lambda: put(model, "maybe", 300000))
    stopped_for_writes(s, model, "flush an extent file")


def test_the_index_cannot_be_flushed(faulty_server):
    s = faulty_server(log_size="16MiB", inline_max="1MiB")
    model = fill_some(s)
    s.faults.fail_all(errno.EIO, SYNC, INDEX)
    deadline = time.monotonic() + PATIENCE
    n = 0
    while not failed_lines(s) and time.monotonic() < deadline:  # the log's collection has the index flushed
        try:
            put(model, f"maybe-{n % 4}", 900000)
        except botocore.exceptions.ClientError as e:
            assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        n += 1
    eventually(lambda: failed_lines(s))
    model.refused.discard("maybe")
    listed = {o["Key"] for o in model.s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    for key in listed:
        if key.startswith("maybe"):
            model.objects[key] = b"x" * 900000
    step = failed_lines(s)[0]["step"]
    assert step in ("flush the index", "apply to the index")
    assert ready(s) == (503, NOT_READY)
    s.faults.off()
    model.verify()
    stop_failed(s)
    s.start()
    model.verify()
    assert model.put("after", 1000)
    s.stop()
    check_deep(s)


def test_an_error_of_the_index_that_does_not_come_again_loses_nothing(faulty_server):
    """A flush that failed is resumed, a compaction that failed is done again, and no write is refused meanwhile."""
    s = faulty_server(log_size="16MiB", log_segment_size="1MiB", inline_max="256KiB")
    model = fill_some(s)
    n = 0
    # The flush, the write, the making of a table or of the manifest, the name of a new one; later ones are compaction's.
    for classes, at in EACH if os.environ.get("INGOT_FAULT_RUNS") == "all" else SOME:
        s.faults.fail_once(at, errno.EIO, classes, INDEX)
        was = metric(s, "ingot_log_segments_collected_total")
        deadline = time.monotonic() + PATIENCE
        # Each segment that is collected has the index flushed; every fourth time it compacts.
        while not s.faults.hits or metric(s, "ingot_log_segments_collected_total") < was + 2:
            n += 1
            assert model.put(f"k{n % 4}", 200000)
            assert time.monotonic() < deadline, (classes, at, s.faults.calls, s.faults.hits, s.output()[-4000:])
        assert ready(s) == (200, "ready\n")
    output = s.output()
    resumed, again = output.count('"msg":"the index writes again"'), output.count('"msg":"the index could not be compacted')
    print(f"faults: index resumed {resumed} times, compacted again {again} times")
    assert resumed > 0
    model.verify()
    s.kill()
    s.start()
    model.verify()
    s.stop()
    check_deep(s)


def test_a_second_server_is_refused_and_harms_nothing(faulty_server):
    s = faulty_server()
    model = fill_some(s)
    done = run_ingot("server", f"--data={s.data}", "--listen=127.0.0.1:0", "--log-level=error")
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 1
    assert "in use" in done.stderr and str(s.pid()) in done.stderr
    model.verify()
    assert model.put("after", 100)
