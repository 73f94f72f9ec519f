"""The fixtures of the wire tests."""

pytest_plugins = ["wire_fixtures"]
