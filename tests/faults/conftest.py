"""The fixtures of the wire tests, and servers whose file system fails on demand."""

import os
import subprocess

import pytest

from ingot import ROOT, VARIANT, Server
from iofault import LIBRARY, Faults

pytest_plugins = ["wire_fixtures"]


def pytest_collection_modifyitems(items):
    """INGOT_FAULT_PART=1/12: the second of twelve parts, that others may take the rest at the same time."""
    part, parts = map(int, os.environ.get("INGOT_FAULT_PART", "0/1").split("/"))
    items[:] = items[part::parts]


@pytest.fixture(scope="session", autouse=True)
def library():
    """The preloaded library, built by the Makefile."""
    name = LIBRARY.relative_to(ROOT)
    subprocess.run(["make", "--no-print-directory", "-C", ROOT, f"VARIANT={VARIANT}", str(name)], check=True)


@pytest.fixture
def faulty_server():
    """faulty_server(**settings) → a ready Server with .faults; it is removed, not stopped: many tests end it themselves."""
    made = []

    def make(**arguments):
        s = Server(store="engine", **{"backend": "epoll", **arguments})
        s.faults = Faults(s.temp, s.data)
        s.env.update(s.faults.environment)
        made.append(s)
        return s.start()

    yield make
    for s in made:
        s.remove()
