"""The fixtures of the wire tests, for the tests of overload."""

import importlib.util
import pathlib
import sys

WIRE = pathlib.Path(__file__).resolve().parents[1] / "wire"
sys.path.insert(0, str(WIRE))
_spec = importlib.util.spec_from_file_location("wire_fixtures", WIRE / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})
