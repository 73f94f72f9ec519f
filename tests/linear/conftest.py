"""The fixtures of the wire tests, and the quick client of the crash tests."""

import importlib.util
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "wire"), str(TESTS / "crash")]
_spec = importlib.util.spec_from_file_location("wire_fixtures", TESTS / "wire" / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})
