"""The fixtures of the wire tests, and servers whose file system fails on demand."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

WIRE = pathlib.Path(__file__).resolve().parents[1] / "wire"
sys.path.insert(0, str(WIRE))
_spec = importlib.util.spec_from_file_location("wire_fixtures", WIRE / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})

from ingot import ROOT, VARIANT, Server  # noqa: E402  (found by the path set above)
from iofault import LIBRARY, Faults  # noqa: E402


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
