"""Regression 20: once RocksDB had gone on after an I/O error, its flush said that all was on disk without having waited. The
log's segments went while the index that they make was still in memory, and a crash lost what had been acknowledged."""

import errno

from iofault import INDEX, SYNC
from test_full_disk import Model, check_deep, eventually, fill_some, metric

RESUMED = '"msg":"the index writes again"'
COLLECTED = "ingot_log_segments_collected_total"
MIB = 1 << 20


def test_the_log_keeps_what_the_index_has_not_flushed(faulty_server):
    s = faulty_server(log_size="16MiB", log_segment_size="8MiB", inline_max="256KiB")
    model = fill_some(s)
    n = 0

    def put():
        nonlocal n
        n += 1
        assert model.put(f"k{n}", 200000)

    s.faults.fail_once(0, errno.EIO, SYNC, INDEX)
    while not s.faults.hits:
        put()
    eventually(lambda: put() or RESUMED in s.output())
    s.faults.slow(3600_000, SYNC, INDEX)  # no flush ends any more
    was = metric(s, COLLECTED)
    # Beyond 32 MiB a commit would wait for collection.
    while metric(s, COLLECTED) < was + 2 and metric(s, "ingot_log_bytes") < 32 * MIB:
        put()
    s.kill()
    s.faults.off()
    s.start()
    model.verify()
    s.stop()
    check_deep(s)
