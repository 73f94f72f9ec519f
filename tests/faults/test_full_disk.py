"""A full disk: reads and LIST go on, writes are refused with 507, DELETE works, readiness says why; when space returns
everything recovers alone, nothing acknowledged is lost and nothing refused is visible.

Once with the preloaded library, once with really full small file systems (where root may mount them)."""

import errno
import os
import re
import subprocess
import threading
import time

import botocore.exceptions
import pytest
import requests

from ingot import Server, run_ingot
from iofault import INDEX, OURS, WRITE

BUCKET = "disk"
PATIENCE = 90  # seconds for what happens at once on an idle machine


def eventually(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def content(key, size):
    return (key.encode() + b" ") * (size // (len(key) + 1)) + b"." * (size % (len(key) + 1))


def ready(server):
    answer = requests.get(server.endpoint + "/-/ready", timeout=30)
    return answer.status_code, answer.text


def metric(server, name):
    page = requests.get(server.endpoint + "/-/metrics", timeout=30).text
    return float(re.search(rf"^{name} (\S+)$", page, re.M).group(1))


class Model:
    """What was acknowledged and what was refused."""

    def __init__(self, server):
        self.server, self.objects, self.refused = server, {}, set()
        self.s3 = server.client()

    def put(self, key, size):
        """True: stored. False: refused as it should be."""
        body = content(key, size)
        try:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        except botocore.exceptions.ClientError as e:
            self.expect_full(e)
            if key not in self.objects:
                self.refused.add(key)
            return False
        self.objects[key] = body
        self.refused.discard(key)
        return True

    @staticmethod
    def expect_full(e):
        code, status = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (status, code) == (507, "InsufficientStorage"), e.response
        assert e.response["Error"]["Message"]

    def delete(self, key):
        self.s3.delete_object(Bucket=BUCKET, Key=key)
        self.objects.pop(key, None)

    def verify(self):
        self.s3 = self.server.client()
        listed = {o["Key"]: o["Size"] for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
                  for o in page.get("Contents", [])}
        assert listed == {k: len(v) for k, v in self.objects.items()}
        for key, body in self.objects.items():
            assert self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body, key
        for key in self.refused:
            with pytest.raises(self.s3.exceptions.NoSuchKey):
                self.s3.get_object(Bucket=BUCKET, Key=key)


def check_deep(server):
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def recovered(server, model, key):
    """Ready again without any request for writing, then writes go on, and a restart shows the same."""
    model.s3 = server.client()
    eventually(lambda: ready(server) == (200, "ready\n"))
    assert (metric(server, "ingot_disk_full"), metric(server, "ingot_ready")) == (0, 1)
    assert model.put(key + "-small", 100) and model.put(key + "-large", 3 << 20)
    model.verify()
    server.stop()
    check_deep(server)
    server.start()
    model.verify()
    server.stop()


def while_full(server, model):
    """What holds on a full disk; some key of the model is deleted."""
    model.s3 = server.client()
    assert ready(server) == (503, "out of disk: reads go on, writes are refused\n")
    assert (metric(server, "ingot_disk_full"), metric(server, "ingot_ready")) == (1, 0)
    for size in (0, 100, 70000, 3 << 20):
        assert not model.put(f"refused-{size}", size)
    victim = sorted(model.objects)[0]
    overwritten = sorted(model.objects)[-1]
    assert not model.put(overwritten, 5000)  # the old bytes stay
    refused = [lambda: model.s3.create_multipart_upload(Bucket=BUCKET, Key="refused-upload"),
               lambda: model.s3.copy_object(Bucket=BUCKET, Key="refused-copy", CopySource={"Bucket": BUCKET, "Key": overwritten}),
               lambda: model.s3.create_bucket(Bucket="refused-bucket")]
    for ask in refused:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            ask()
        model.expect_full(e.value)
    model.refused |= {"refused-upload", "refused-copy"}
    model.delete(victim)
    answer = model.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "never-was"}]})
    assert not answer.get("Errors")
    model.verify()
    assert [b["Name"] for b in model.s3.list_buckets()["Buckets"]] == [BUCKET]


def fill_some(server):
    server.client().create_bucket(Bucket=BUCKET)
    model = Model(server)
    for i, size in enumerate((0, 10, 4096, 70000, 300000, 2 << 20)):
        assert model.put(f"before-{i}", size)
    return model


def test_every_call_that_needs_space_fails(faulty_server):
    s = faulty_server()
    model = fill_some(s)
    upload = model.s3.create_multipart_upload(Bucket=BUCKET, Key="upload")["UploadId"]
    s.faults.disk_full()
    assert not model.put("refused-first", 3 << 20)
    while_full(s, model)
    with pytest.raises(botocore.exceptions.ClientError) as e:
        model.s3.upload_part(Bucket=BUCKET, Key="upload", UploadId=upload, PartNumber=1, Body=b"x" * 100000)
    model.expect_full(e.value)
    assert "Parts" not in model.s3.list_parts(Bucket=BUCKET, Key="upload", UploadId=upload)
    model.s3.abort_multipart_upload(Bucket=BUCKET, Key="upload", UploadId=upload)
    assert "the disk is full" in s.output()
    s.faults.off()
    recovered(s, model, "after")


def test_the_log_meets_a_full_disk(faulty_server):
    """A file system that needs new space to write over what is there: then even the log's file, written ahead, cannot be
    written. Nobody waits: all that write are refused, also those that delete, and nothing of it is there afterwards."""
    s = faulty_server()
    model = fill_some(s)
    began = time.monotonic()
    s.faults.fail_all(errno.ENOSPC, classes=WRITE, who=OURS)
    answers, lock = [], threading.Lock()

    def ask(number):
        client = s.client(read_timeout=2 * PATIENCE)
        for i in range(5):
            try:
                if i % 2:
                    client.delete_object(Bucket=BUCKET, Key="before-2")
                else:
                    client.put_object(Bucket=BUCKET, Key=f"refused-{number}-{i}", Body=content("b", 100 * number))
                answer = None
            except botocore.exceptions.ClientError as e:
                answer = e
            with lock:
                answers.append(answer)

    writers = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for w in writers:
        w.start()
    for w in writers:
        w.join(2 * PATIENCE)
        assert not w.is_alive(), "a writer hangs"
    took = time.monotonic() - began
    assert len(answers) == 40 and all(answers)
    for answer in answers:
        model.expect_full(answer)
    assert s.faults.hits > 0
    model.refused |= {f"refused-{n}-{i}" for n in range(8) for i in (0, 2, 4)}
    model.verify()
    assert "commit waits for space" not in s.output()
    print(f"40 refusals in {took:.1f} s")
    s.kill()  # what was refused is not in the log
    s.faults.off()
    s.start()
    model.verify()
    recovered(s, model, "after")


def test_the_index_meets_a_full_disk(faulty_server):
    """RocksDB cannot write its tables: whatever it makes of it, when space returns so do writes."""
    s = faulty_server(log_size="16MiB", inline_max="1MiB")
    model = fill_some(s)
    model.s3 = s.client(read_timeout=2 * PATIENCE)
    s.faults.fail_all(errno.ENOSPC, who=INDEX)
    stop, failures = threading.Event(), []

    def churn():
        """Turns the log over; its collection asks the index to write what it has in memory."""
        try:
            while not stop.is_set():
                model.put("churn", 900000)
        except Exception as e:
            failures.append(e)

    # A commit that was in the log when the index met the full disk can be neither finished nor refused: it waits until there
    # is space. All others are refused, also those that only delete.
    writer = threading.Thread(target=churn)
    writer.start()
    try:
        eventually(lambda: s.faults.hits > 0 or failures)
        eventually(lambda: ready(s)[0] == 503 or failures)
        other = s.client()
        assert other.get_object(Bucket=BUCKET, Key="before-2")["Body"].read() == model.objects["before-2"]
        for ask in (lambda: other.put_object(Bucket=BUCKET, Key="refused", Body=b"x"),
                    lambda: other.delete_object(Bucket=BUCKET, Key="before-2")):
            with pytest.raises(botocore.exceptions.ClientError) as e:
                ask()
            model.expect_full(e.value)
        model.refused.add("refused")
    finally:
        s.faults.off()
        stop.set()
        writer.join(3 * PATIENCE)
    assert not writer.is_alive() and not failures, failures
    model.refused.discard("churn")
    recovered(s, model, "after")


# ---- file systems that are really full ----

def mount(kind, folder, bytes_):
    """A small file system at folder, or a skipped test with the reason."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    image = folder.parent / "image"
    folder.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={bytes_}", "tmpfs", str(folder)]
    else:
        with open(image, "wb") as f:
            f.truncate(bytes_)
        made = subprocess.run([f"mkfs.{kind}", "-q", str(image)], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"mkfs.{kind}: {made.stderr.strip()}")
        command = ["mount", "-o", "loop", str(image), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        pytest.skip(str(e))
    if done.returncode != 0:
        pytest.skip(f"{' '.join(command[:4])}: {done.stderr.strip()}")


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    folder = tmp_path / "disk"
    mount(request.param, folder, 160 << 20)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_with_a_file(folder):
    """Take all the space that is left, as another program would."""
    path = folder / "filler"
    with open(path, "ab", buffering=0) as f:
        block = bytes(1 << 20)
        try:
            while True:
                if f.write(block) < len(block):
                    break
        except OSError as e:
            assert e.errno == errno.ENOSPC
        try:
            while f.write(block[:4096]) == 4096:
                pass
        except OSError as e:
            assert e.errno == errno.ENOSPC
    return path


@pytest.fixture
def server_on(small_disk):
    s = Server(data=small_disk / "data", store="engine", log_size="16MiB")
    try:
        yield s.start()
    finally:
        s.remove()


def test_another_program_fills_the_disk(server_on, small_disk):
    model = fill_some(server_on)
    filler = fill_with_a_file(small_disk)
    # The first writes may still fit into what is reserved; soon none does.
    eventually(lambda: not model.put("filling", 200000))
    while_full(server_on, model)
    for i in range(50):  # deletes go on for long, out of the reserve
        model.delete(f"never-was-{i}")
    filler.unlink()
    recovered(server_on, model, "after")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_starts_on_a_full_disk(server_on, small_disk, end):
    """Else nobody could delete what fills it. Readiness recovers although nobody writes."""
    model = fill_some(server_on)
    getattr(server_on, end)()
    filler = fill_with_a_file(small_disk)
    server_on.start()
    while_full(server_on, model)
    server_on.kill()
    fill_with_a_file(small_disk)
    filler.unlink()
    filler = fill_with_a_file(small_disk)
    with open(filler, "r+b") as f:  # some room for the start: the ballast is gone
        f.truncate(filler.stat().st_size - (20 << 20))
    server_on.start()
    assert ready(server_on)[0] == 503
    filler.unlink()
    recovered(server_on, model, "after")


def test_objects_fill_the_disk_and_deletes_empty_it(server_on):
    model = fill_some(server_on)
    n = 0
    while model.put(f"fill-{n:04}", 1 << 20):
        n += 1
    assert n > 20
    while_full(server_on, model)
    for i in range(n * 3 // 4):
        model.delete(f"fill-{i:04}")
    recovered(server_on, model, "after")


def test_many_writers_meet_the_end_of_the_disk(server_on):
    """Overwrites, deletes and puts of all sizes by several clients, again and again into the full disk."""
    s = server_on
    s.client().create_bucket(Bucket=BUCKET)
    models, failures = [Model(s) for _ in range(6)], []
    stop = threading.Event()

    def work(number, model):
        try:
            for i in range(60):
                if stop.is_set():
                    return
                key = f"w{number}/{i % 40}"
                if model.put(key, (300, 20000, 150000, 1 << 20, 3 << 20)[(i * 7 + number) % 5]) or i % 2:
                    continue
                model.delete(key)
        except Exception as e:
            failures.append(e)
            stop.set()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(models)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE * 3)
    assert not failures, failures
    assert any(m.refused for m in models) or "the disk is full" in s.output()
    everything = Model(s)
    for m in models:
        everything.objects.update(m.objects)
        everything.refused |= m.refused
    everything.verify()
    for key in sorted(everything.objects)[::2]:
        everything.delete(key)
    recovered(s, everything, "after")
