"""The test's side of iofault.c: what is to fail, set while the program runs."""

import errno
import mmap
import pathlib
import struct

from ingot import ROOT, VARIANT

LIBRARY = ROOT / "build" / VARIANT / "tests" / "faults" / "iofault.so"
MAGIC = 0x696F6631
OFF, ONCE, ALL, FULL = range(4)
READ, WRITE, SYNC, SPACE, OPEN, NAME, STAT, CLOSE, LOCK = (1 << n for n in range(9))
EVERY = (1 << 9) - 1
OURS, INDEX = 1, 2
SHORT = 0
KINDS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "short": SHORT}
CLASSES = {kind: READ | WRITE if kind == "short" else EVERY for kind in KINDS}  # what cannot be short fails with EIO: said already

FIELDS = {"mode": (4, "<I"), "classes": (8, "<I"), "who": (12, "<I"), "code": (16, "<i"), "delay_ms": (20, "<I"),
          "at": (24, "<Q"), "calls": (32, "<Q"), "hits": (40, "<Q"), "data_calls": (48, "<Q")}
SIZE, LAST = 288, 56


class Faults:
    """`faults.fail(...)` arms, `faults.off()` disarms; `faults.calls` counts what matched, `faults.hits` what failed."""

    def __init__(self, folder, data):
        self.path = pathlib.Path(folder) / "iofault"
        self.path.write_bytes(struct.pack("<I", MAGIC) + bytes(SIZE - 4))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), SIZE)
        self.environment = {"LD_PRELOAD": str(LIBRARY), "IOFAULT_CONTROL": str(self.path), "IOFAULT_DIR": str(data)}

    def _set(self, name, value):
        offset, form = FIELDS[name]
        struct.pack_into(form, self.map, offset, value)

    def _get(self, name):
        offset, form = FIELDS[name]
        return struct.unpack_from(form, self.map, offset)[0]

    @property
    def calls(self):
        return self._get("calls")

    @property
    def data_calls(self):
        """Of calls, those that move bytes."""
        return self._get("data_calls")

    @property
    def hits(self):
        return self._get("hits")

    @property
    def last(self):
        return self.map[LAST:SIZE].split(b"\0")[0].decode(errors="replace")

    def _arm(self, mode, classes, who, code=0, at=0, delay_ms=0):
        self._set("mode", OFF)
        for name, value in (("classes", classes), ("who", who), ("code", code), ("at", at), ("delay_ms", delay_ms),
                            ("calls", 0), ("hits", 0), ("data_calls", 0)):
            self._set(name, value)
        self.map[LAST:SIZE] = bytes(SIZE - LAST)
        self._set("mode", mode)

    def count(self, classes=EVERY, who=OURS | INDEX):
        """Count matching calls from now on; none fails."""
        self._arm(OFF, classes, who)

    def fail_once(self, at, code, classes=EVERY, who=OURS | INDEX):
        self._arm(ONCE, classes, who, code, at)

    def fail_all(self, code, classes=EVERY, who=OURS | INDEX):
        self._arm(ALL, classes, who, code)

    def disk_full(self):
        """Whatever needs new space gets ENOSPC, and nothing is left; what is there can be written over."""
        self._arm(FULL, EVERY, OURS | INDEX)

    def slow(self, delay_ms, classes=EVERY, who=OURS | INDEX):
        self._arm(OFF, classes, who, delay_ms=delay_ms)

    def off(self):
        self._arm(OFF, 0, 0)
