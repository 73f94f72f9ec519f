"""Regression 6: a PUT whose log record did not quite reach the disk was answered with an error, and its extent freed. The restart
found the record whole and applied it: the key then named bytes that were gone, and the old ones were freed, too."""

import time

import pytest

from iofault import OURS, SHORT, WRITE
from operations import LARGE, must, put
from rawsign import Raw

NEW = b"N" * 200_000
SHARED = b"S" * 50_000  # of a size that is written together with others


@pytest.mark.parametrize("body", [NEW, SHARED], ids=["own", "shared"])
def test_a_commit_of_unknown_outcome_keeps_its_bytes(faulty_server, body):
    s = faulty_server(blob_cache="0", inline_max="4KiB")
    raw = Raw(s)
    must(raw.call("PUT", "/unknown"))
    put(raw, "/unknown/k", LARGE)
    s.faults.count(WRITE, OURS)
    put(raw, "/unknown/other", body)
    log_write = s.faults.calls - 1
    # Half of the block that holds the record: all of the record.
    s.faults.fail_once(log_write, SHORT, WRITE, OURS)
    assert raw.call("PUT", "/unknown/k", body=body).status == 500
    assert s.faults.hits and "/log/" in s.faults.last
    assert raw.call("GET", "/unknown/k").body == LARGE
    s.faults.off()
    time.sleep(0.3)  # what was freed would be punched within some 20 ms
    s.signal(15)
    assert s.wait(60) == 1
    s.start()
    assert must(Raw(s).call("GET", "/unknown/k")).body in (LARGE, body)
    assert must(Raw(s).call("GET", "/unknown/other")).body == body
    s.stop()
