"""Regression 7: a stop while the sweeper of the object layer was at work freed what it worked on, and the server crashed."""

from iofault import INDEX, OURS, SYNC, WRITE
from rawsign import Raw
from operations import must

BUCKETS = 400


def test_a_stop_while_the_sweeper_reads(faulty_server):
    s = faulty_server()
    raw = Raw(s)
    for n in range(BUCKETS):
        must(raw.call("PUT", f"/swept-{n}"))
    for _ in range(3):
        s.stop()
        s.start()  # the sweep begins
        s.faults.slow(30, WRITE | SYNC, OURS | INDEX)  # closing takes longer than the sweep's next step
        s.stop()
        s.faults.off()
        s.start()
    assert must(Raw(s).call("GET", "/")).body.count(b"<Name>swept-") == BUCKETS
    s.stop()
